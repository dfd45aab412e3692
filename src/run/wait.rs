//! Many pidfds to one deadline: who has exited, and how. One epoll, no polling; nothing here sends a signal.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, SigmaskHow, Signal as Named};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::getpid;

use crate::os::pidfd::{Life, Pinned};
use crate::os::proc::{self, State};
use crate::os::sys;
use crate::outcome::Ending;
use crate::signal::Signal;
use crate::target::Pid;

/// What ended a wait.
#[derive(Debug, PartialEq, Eq)]
pub enum Woken {
    /// These have exited; each is told once.
    Exited(Vec<usize>),
    /// The deadline has come.
    Due,
    /// A signal is pending that will end this program.
    Interrupted,
}

/// The key of the descriptor that tells of interrupts; no recipient has so high an index.
const INTERRUPT: u64 = u64::MAX;
/// How many exits one wake-up takes in.
const BATCH: usize = 1024;

/// Pidfds that are waited for, each under the index of its recipient.
pub struct Watch {
    epoll: Epoll,
    interrupts: Option<Interrupts>,
}

impl Watch {
    pub fn new() -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("preparing to wait")?;
        Ok(Self { epoll, interrupts: None })
    }

    /// Watches a process until its exit was told. One-shot, since an unreaped zombie would wake a level-triggered epoll for ever.
    pub fn add(&self, index: usize, process: &Pinned) -> Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT, index as u64);
        self.epoll.add(process.fd(), event).with_context(|| format!("preparing to wait for process {}", process.pid))
    }

    /// Has interrupts told of instead of being killed by them, so that a line on the terminal can be wiped first.
    pub fn hold_interrupts(&mut self) -> Result<()> {
        let interrupts = Interrupts::hold()?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, INTERRUPT);
        self.epoll.add(&interrupts.fd, event).context("preparing to wait for interrupts")?;
        self.interrupts = Some(interrupts);
        Ok(())
    }

    /// Lets interrupts through again; one that is pending ends the program here.
    pub fn release_interrupts(&mut self) {
        self.interrupts = None;
    }

    /// Sleeps until a process exits or the deadline comes; without a deadline as long as it takes.
    pub fn next(&self, deadline: Option<Instant>) -> Result<Woken> {
        let mut events = vec![EpollEvent::empty(); BATCH];
        loop {
            match self.epoll.wait(&mut events, deadline.map_or(EpollTimeout::NONE, until)) {
                Ok(0) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {}
                Ok(0) => return Ok(Woken::Due),
                Ok(count) => {
                    let keys = events[..count].iter().map(EpollEvent::data);
                    if keys.clone().any(|key| key == INTERRUPT) {
                        return Ok(Woken::Interrupted);
                    }
                    return Ok(Woken::Exited(keys.filter_map(|key| usize::try_from(key).ok()).collect()));
                }
                // Being stopped and continued interrupts the wait, too.
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).context("waiting"),
            }
        }
    }
}

/// The time left, in milliseconds rounded up so that nothing is done too early; a very long time in several rounds.
fn until(deadline: Instant) -> EpollTimeout {
    let left = deadline.saturating_duration_since(Instant::now());
    let milliseconds = left.as_nanos().div_ceil(1_000_000);
    i32::try_from(milliseconds).ok().and_then(|left| EpollTimeout::try_from(left).ok()).unwrap_or(EpollTimeout::MAX)
}

/// INT, TERM and HUP, as far as they would end this program, held back and told of through a descriptor.
struct Interrupts {
    fd: SignalFd,
    before: SigSet,
}

impl Interrupts {
    fn hold() -> Result<Self> {
        let own = Pid::try_from(getpid().as_raw()).ok();
        // A blocked signal is queued even where it is ignored, so those that are ignored must be left alone.
        let ignored = own.and_then(|own| proc::status(own).ok()).map(|status| status.ignored);
        let mut set = SigSet::empty();
        for (named, signal) in
            [(Named::SIGINT, Signal::INT), (Named::SIGTERM, Signal::TERM), (Named::SIGHUP, Signal::HUP)]
        {
            if ignored.is_some_and(|ignored| !ignored.contains(signal)) {
                set.add(named);
            }
        }
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC).context("preparing to wait for interrupts")?;
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK).context("holding interrupts back")?;
        Ok(Self { fd, before })
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        // Setting a mask that was in force before cannot fail.
        let _ = self.before.thread_set_mask();
    }
}

/// How long the ending of a process is waited for where only its parent's reaping would tell it.
const PATIENCE: Duration = Duration::from_millis(100);

/// How each of these exited processes ended. All of them together are waited for at most 100 ms.
pub fn endings<'a>(processes: impl Iterator<Item = &'a Pinned>) -> Vec<Ending> {
    let deadline = Instant::now() + PATIENCE;
    processes.map(|process| ending(process, deadline).unwrap_or(Ending::Unknown)).collect()
}

fn ending(process: &Pinned, deadline: Instant) -> Option<Ending> {
    let reaped = || sys::exit_status(process.fd()).map(Ending::from_wait_status);
    if let Some(ending) = reaped().or_else(|| zombie(process)) {
        return Some(ending);
    }
    let mut fds = [PollFd::new(process.fd(), PollFlags::empty())];
    let left = deadline.saturating_duration_since(Instant::now()).as_millis();
    let left = PollTimeout::try_from(i32::try_from(left).ok()?).ok()?;
    poll(&mut fds, left).ok()?;
    reaped()
}

/// The wait status of a zombie from /proc, which shows 0 to those who may not ptrace(2) it: whether that is so shows in another link
/// under the same protection, which is missing (ENOENT) for those who may and forbidden (EACCES) for those who may not.
fn zombie(process: &Pinned) -> Option<Ending> {
    let stat = proc::stat(process.pid).ok().filter(|stat| stat.state == State::Dead)?;
    let may_see = proc::executable(process.pid).is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT));
    let life = process.life().ok()?;
    (may_see && life == Life::Exited).then(|| Ending::from_wait_status(stat.wait_status))
}
