//! A tree on its way to rest: STOP to each member, and what /proc says of it afterwards. When it is
//! killed is decided in `tree_kill`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};
use nix::errno::Errno;
use nix::unistd::{self, getsid};

use crate::find::recipients::{Recipient, RecipientId, Recipients};
use crate::find::select::Found;
use crate::find::tree;
use crate::os::pidfd::Pinned;
use crate::os::proc::{self, State};
use crate::run::kill_order::Member;
use crate::signal::Signal;

/// How long a member may take to stop, from the first look on. One that is blocked in the kernel
/// gets all of it: it may be a vfork(2) parent whose child is stopped, but a fork in flight on a
/// busy machine is blocked, too, and completes.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long all of it lasts at most.
const LONGEST: Duration = Duration::from_secs(3);

/// How often members are stopped again because somebody continues them. What they fork after that
/// is found after the KILL.
const TRIES: u32 = 3;

/// How many bytes of memory must be free before a process is stopped, in 16 pieces.
const ROOM: usize = 1 << 20;

/// A tree that is stopped.
pub struct Tree {
    pub root: RecipientId,
    began: Instant,
    pub members: Vec<Stopping>,
    /// How many looks found a member that ran again after it had stopped: somebody sends CONT.
    continued: u32,
    /// Why it could not be stopped. Its members have been continued.
    pub failed: Option<Error>,
}

/// A member of a tree that is stopped.
pub struct Stopping {
    pub id: RecipientId,
    got_stop: bool,
    /// It ran before, so it must not stay stopped.
    ran: bool,
    first_look: Option<Instant>,
    pub rest: Rest,
    /// What /proc/PID/stat said at the last look.
    pub stat: Member,
}

/// How a member came to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    NotYet,
    /// Stopped or dead.
    Still,
    /// Blocked in the kernel, as a vfork(2) parent is whose child is stopped.
    Blocked,
    /// Goes on running: it got no STOP, or the time for all was over.
    Running,
    /// It did not stop in time.
    Late,
}

impl Tree {
    pub fn new(root: RecipientId) -> Self {
        Self {
            root,
            began: Instant::now(),
            members: Vec::new(),
            continued: 0,
            failed: None,
        }
    }

    /// Whether it is no longer waited for until all its members are at rest.
    pub fn is_over(&self) -> bool {
        self.continued > TRIES || self.began.elapsed() > LONGEST
    }

    pub fn is_at_rest(&self) -> bool {
        let rests = |member: &Stopping| member.rest != Rest::NotYet;
        self.failed.is_some() || self.members.iter().all(rests)
    }

    /// The process groups of its members.
    pub fn groups(&self) -> impl Iterator<Item = i32> {
        self.members.iter().map(|member| member.stat.group)
    }

    /// Takes in a member and sends it STOP.
    pub fn stop(&mut self, recipients: &Recipients, id: RecipientId) {
        let mut member = Stopping {
            id,
            got_stop: false,
            ran: false,
            first_look: None,
            rest: Rest::NotYet,
            stat: Member::unknown(recipients[id].pid().number()),
        };
        // The rest of a tree that was given up goes on running.
        let stopped = if self.failed.is_none() {
            member.stop(&recipients[id])
        } else {
            Ok(())
        };
        self.members.push(member);
        if let Err(error) = stopped {
            self.give_up(recipients, error);
        }
    }

    /// Leaves the tree alone after an error: its members are continued, children before their
    /// parents.
    fn give_up(&mut self, recipients: &Recipients, error: Error) {
        if self.failed.is_none() {
            self.failed = Some(error);
            for member in self.members.iter().rev() {
                member.resume(&recipients[member.id]);
            }
        }
    }

    /// Looks once at each member that is not at rest, and reads the children of each that has come
    /// to rest. Whether one has.
    pub fn look(&mut self, found: &mut Found) -> bool {
        let is_over = self.is_over();
        let mut is_changed = false;
        self.walk(found, |member, process| {
            let rests = member.rest == Rest::NotYet && member.look(process, is_over)?;
            is_changed |= rests;
            Ok(rests)
        });
        is_changed
    }

    /// Looks at all members once more: one that runs again is stopped again unless the time is
    /// over, and new children are stopped. Whether there was neither.
    pub fn look_again(&mut self, found: &mut Found) -> bool {
        let is_over = self.is_over();
        let mut is_continued = false;
        let is_grown = self.walk(found, |member, process| {
            let runs = member.runs_again(process)?;
            is_continued |= runs;
            if runs && !is_over {
                member.got_stop = process.signal(Signal::STOP, None).is_ok();
                member.rest = Rest::NotYet;
            }
            Ok(true)
        });
        self.continued += u32::from(is_continued);
        !is_continued && !is_grown
    }

    /// Reads the children of members that are blocked in the kernel. Whether none is new.
    pub fn look_at_blocked(&mut self, found: &mut Found) -> bool {
        !self.walk(found, |member, _| Ok(member.rest == Rest::Blocked))
    }

    /// Looks at each member that is known by now, and admits and stops the children of those that
    /// `look` says. Whether a child is new.
    fn walk(
        &mut self,
        found: &mut Found,
        mut look: impl FnMut(&mut Stopping, &Pinned) -> Result<bool>,
    ) -> bool {
        let known = self.members.len();
        for place in 0..known {
            if self.failed.is_some() {
                break;
            }
            let member = &mut self.members[place];
            let id = member.id;
            let before = found.recipients.len();
            let looked = match look(member, &found.recipients[id].process) {
                Ok(true) => tree::adopt(&mut found.recipients, id),
                looked => looked.map(drop),
            };
            for child in found.recipients.ids_from(before) {
                self.stop(&found.recipients, child);
            }
            if let Err(error) = looked {
                self.give_up(&found.recipients, error);
            }
        }
        self.members.len() > known
    }

    /// Whether a member may have forked unseen: it did not stop, or may not be stopped, or somebody
    /// continues it.
    pub fn is_leaky(&self) -> bool {
        let runs = |member: &Stopping| matches!(member.rest, Rest::Running | Rest::Late);
        self.continued > 0 || self.members.iter().any(runs)
    }
}

impl Stopping {
    /// Sends STOP. A member that is spared or refused, or may not be signalled, gets none and is
    /// not waited for.
    fn stop(&mut self, recipient: &Recipient) -> Result<()> {
        // Its group is known from now on.
        let state = self.read(&recipient.process)?;
        if !recipient.is_present() {
            return Ok(());
        }
        check_room().context("stopping a tree")?;
        match recipient.process.signal(Signal::STOP, None) {
            Ok(()) => (self.got_stop, self.ran) = (true, state > State::Stopped),
            Err(Errno::EPERM | Errno::EACCES | Errno::ESRCH) => {}
            Err(errno) => {
                let task = || format!("stopping process {}", recipient.pid());
                return Err(errno).with_context(task);
            }
        }
        Ok(())
    }

    /// Whether it has come to rest by now.
    fn look(&mut self, process: &Pinned, is_over: bool) -> Result<bool> {
        let state = self.read(process)?;
        let is_late = self.first_look.get_or_insert_with(Instant::now).elapsed() >= PATIENCE;
        self.rest = match state {
            State::Dead => Rest::Still,
            _ if !self.got_stop => Rest::Running,
            State::Stopped => Rest::Still,
            State::Blocked if is_late || is_over => Rest::Blocked,
            State::Live if is_over => Rest::Running,
            State::Live if is_late => Rest::Late,
            State::Blocked | State::Live => Rest::NotYet,
        };
        Ok(self.rest != Rest::NotYet)
    }

    /// Looks again at one that has come to rest, and learns what the order of the KILLs follows
    /// from. Whether it runs again.
    fn runs_again(&mut self, process: &Pinned) -> Result<bool> {
        let state = self.read(process)?;
        let parent = proc::pid_of(self.stat.parent);
        let session = parent.and_then(|parent| getsid(Some(parent.process())).ok());
        self.stat.session_of_parent = session.map_or(0, unistd::Pid::as_raw);
        self.stat.survives_hangup = proc::status(process.pid).map_or(true, |status| {
            let sets = [status.caught, status.ignored, status.blocked];
            sets.into_iter().any(|set| set.contains(Signal::HUP))
        });
        Ok(self.rest == Rest::Still && state > State::Stopped)
    }

    /// Continues it if it ran before. One that cannot be continued is dead or another user's.
    pub fn resume(&self, recipient: &Recipient) {
        if self.ran {
            let _ = recipient.process.signal(Signal::CONT, None);
        }
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
        self.stat = Member {
            parent: stat.parent,
            group: stat.group,
            session: stat.session,
            ..Member::unknown(pid.number())
        };
        Ok(stat.state)
    }
}

/// Fails while little memory is left: an allocation that fails later ends the program, and what it
/// has stopped stays stopped.
fn check_room() -> Result<()> {
    let mut room: [Vec<u8>; 16] = Default::default();
    for piece in &mut room {
        piece.try_reserve(ROOM / 16)?;
    }
    // An allocation that is never used would be optimized away.
    black_box(&room);
    Ok(())
}
