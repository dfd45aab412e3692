//! One member of a tree on its way to rest: STOP, and what /proc says of it afterwards. The trees
//! are `tree_kill`'s.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::unistd::{self, getsid};

use crate::find::recipients::{Recipient, RecipientId};
use crate::os::pidfd::Pinned;
use crate::os::proc::{self, State};
use crate::os::sys::{self, Scope};
use crate::run::kill_order::{Hangup, Member};
use crate::signal::Signal;
use crate::target::Pid;

/// How long a member may take to stop, from the first look on. One that is blocked in the kernel
/// gets all of it: it may be a vfork(2) parent whose child is stopped, but a fork in flight on a
/// busy machine is blocked, too, and completes.
const PATIENCE: Duration = Duration::from_secs(1);

/// The memory that must be free before a process is stopped.
const ROOM: [usize; 16] = [64 << 10; 16];

/// A member of a tree that is stopped.
pub struct Stopping {
    pub root: RecipientId,
    pub got_stop: bool,
    /// It ran before, so it must not stay stopped.
    pub ran: bool,
    first_look: Option<Instant>,
    pub rest: Rest,
    /// What /proc/PID/stat said at the last look.
    pub stat: Option<Member>,
}

/// How a member came to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    NotYet,
    /// Stopped or dead.
    Still,
    /// Blocked in the kernel, as a vfork(2) parent is whose child is stopped.
    Blocked,
    /// It got no STOP and goes on running.
    Never,
    /// It did not stop in time.
    Late,
}

impl Stopping {
    pub fn new(root: RecipientId) -> Self {
        Self {
            root,
            got_stop: false,
            ran: false,
            first_look: None,
            rest: Rest::NotYet,
            stat: None,
        }
    }

    /// Sends STOP. A member that is spared or refused, or may not be signalled, gets none.
    pub fn stop(&mut self, recipient: &Recipient) -> Result<()> {
        // Its group is known from now on.
        let state = self.read(&recipient.process)?;
        if !recipient.is_present() {
            return Ok(());
        }
        check_room().context("stopping a tree")?;
        match signal(recipient, Signal::STOP) {
            Ok(()) => (self.got_stop, self.ran) = (true, state > State::Stopped),
            Err(Errno::EPERM | Errno::EACCES | Errno::ESRCH) => {}
            Err(errno) => {
                let task = || format!("stopping process {}", recipient.pid());
                return Err(errno).with_context(task);
            }
        }
        Ok(())
    }

    /// How it has come to rest by now.
    pub fn look(&mut self, process: &Pinned, is_over: bool) -> Result<Rest> {
        let state = self.read(process)?;
        let is_late =
            is_over || self.first_look.get_or_insert_with(Instant::now).elapsed() >= PATIENCE;
        self.rest = match state {
            State::Dead => Rest::Still,
            _ if !self.got_stop => Rest::Never,
            State::Stopped => Rest::Still,
            State::Blocked if is_late => Rest::Blocked,
            State::Live if is_late => Rest::Late,
            State::Blocked | State::Live => Rest::NotYet,
        };
        Ok(self.rest)
    }

    /// Looks again at one that has come to rest, and learns what the order of the KILLs follows
    /// from. Whether it runs again.
    pub fn runs_again(&mut self, process: &Pinned) -> Result<bool> {
        let state = self.read(process)?;
        if let Some(stat) = &mut self.stat {
            stat.session_of_parent = session_of(stat.parent);
            stat.hangup = hangup(process.pid);
        }
        Ok(self.rest == Rest::Still && state > State::Stopped)
    }

    /// The state of the liveliest thread; a process that has gone is dead.
    fn read(&mut self, process: &Pinned) -> Result<State> {
        let pid = process.pid;
        let stat = proc::if_visible(proc::liveliest(pid));
        let stat = stat.with_context(|| format!("looking at the threads of process {pid}"))?;
        // What was read may be another process that has the PID now.
        let Some(stat) = stat.filter(|_| process.still_has_pid().unwrap_or(true)) else {
            return Ok(State::Dead);
        };
        self.stat = Some(Member {
            pid: pid.number(),
            parent: stat.parent,
            group: stat.group,
            session: stat.session,
            session_of_parent: 0,
            hangup: Hangup::Survives,
        });
        Ok(stat.state)
    }
}

/// The session of a process; 0 if it cannot be read.
fn session_of(pid: i32) -> i32 {
    getsid(Some(unistd::Pid::from_raw(pid))).map_or(0, unistd::Pid::as_raw)
}

/// What HUP would do to a process.
fn hangup(pid: Pid) -> Hangup {
    let dies = proc::status(pid).is_ok_and(|status| {
        let sets = [status.caught, status.ignored, status.blocked];
        !sets.into_iter().any(|set| set.contains(Signal::HUP))
    });
    if dies { Hangup::Dies } else { Hangup::Survives }
}

/// Fails while little memory is left: an allocation that fails later ends the program, and what it
/// has stopped stays stopped.
fn check_room() -> Result<()> {
    let mut room = ROOM.map(|_| Vec::<u8>::new());
    for (piece, size) in room.iter_mut().zip(ROOM) {
        piece.try_reserve(size)?;
    }
    // An allocation that is never used would be optimized away.
    black_box(&room);
    Ok(())
}

/// The freeze's own signals, STOP and CONT, which are no part of the plan.
pub fn signal(recipient: &Recipient, signal: Signal) -> nix::Result<()> {
    sys::pidfd_send_signal(recipient.process.fd()?, signal, None, Scope::Process)
}

/// Continues a process. One that cannot be continued is dead or another user's.
pub fn resume(recipient: &Recipient) {
    let _ = signal(recipient, Signal::CONT);
}
