//! One signal by one route. Everything that a plan sends is sent here.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal;
use nix::unistd::{self, geteuid};

use crate::os::cgroup::Switch;
use crate::os::pidfd::Pinned;
use crate::os::proc;
use crate::os::sys::{self, Scope};
use crate::outcome::{Outcome, Reason};
use crate::signal::Signal;
use crate::target::{Pid, Target};

/// How a signal reaches its recipient.
#[derive(Clone, Copy)]
pub enum Route<'a> {
    /// kill(2) or sigqueue(3) with the target's number: a process, a group, the own group or
    /// everyone.
    Number(&'a Target),
    Process(&'a Pinned),
    /// The whole process group, through the pidfd of the process with its number (Linux 6.9).
    GroupOf(&'a Pinned),
    /// A whole control group, through its cgroup.kill. KILL only, without a value.
    ControlGroup(&'a Switch),
}

/// Proof that the kernel accepted a signal. Only [`send`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Receipt {
    signal: Signal,
    value: Option<i32>,
}

impl Receipt {
    /// `after` is the time since the first signal, for a follow-up.
    pub fn outcome(self, after: Option<Duration>) -> Outcome<'static> {
        Outcome::Sent {
            signal: self.signal,
            value: self.value,
            after,
        }
    }

    /// The same for so many processes that have no PID here.
    pub fn unseen(self, count: usize, after: Option<Duration>) -> Outcome<'static> {
        Outcome::SentUnseen {
            signal: self.signal,
            count,
            after,
        }
    }
}

/// Sends a signal, with a value as by sigqueue(3). The errors are those of kill(2) and
/// pidfd_send_signal(2).
pub fn send(route: Route, signal: Signal, value: Option<i32>) -> nix::Result<Receipt> {
    match route {
        Route::Number(target) => by_number(target, signal, value),
        Route::Process(process) => {
            sys::pidfd_send_signal(process.fd()?, signal, value, Scope::Process)
        }
        Route::GroupOf(leader) => sys::pidfd_send_signal(leader.fd()?, signal, value, Scope::Group),
        Route::ControlGroup(switch) if signal == Signal::KILL && value.is_none() => {
            switch.set(true)
        }
        Route::ControlGroup(_) => Err(Errno::EINVAL),
    }
    .map(|()| Receipt { signal, value })
}

/// A target that has to be looked up means no process before that: ESRCH.
fn by_number(target: &Target, signal: Signal, value: Option<i32>) -> nix::Result<()> {
    let pid = match (target, value) {
        (Target::Process(pid) | Target::Padded(pid, _), Some(value)) => {
            return sys::sigqueue(*pid, signal, value);
        }
        (Target::Process(pid) | Target::Padded(pid, _), None) => pid.process(),
        (Target::Group(pgid), _) => pgid.group(),
        (Target::OwnGroup, _) => unistd::Pid::from_raw(0),
        (Target::Everyone, _) => unistd::Pid::from_raw(-1),
        _ => return Err(Errno::ESRCH),
    };
    match signal.named() {
        Some(named) => signal::kill(pid, named),
        None if signal.is_null() => signal::kill(pid, None),
        None => sys::kill(pid, signal),
    }
}

/// Why the kernel refused a signal. The owner of the process explains EPERM, unless the caller is
/// root or has the same user: then a missing capability, Landlock or the like forbids it.
pub fn refusal(errno: Errno, pid: Option<Pid>) -> Reason {
    if errno != Errno::EPERM {
        return Reason::Refused(errno);
    }
    let status = pid.and_then(|pid| proc::status(pid).ok());
    let caller = geteuid();
    let explains = |user: u32| !caller.is_root() && caller.as_raw() != user;
    let owner = status
        .map(|status| status.real_user)
        .filter(|user| explains(*user));
    Reason::NotPermitted {
        owner: owner.map(proc::user_name),
    }
}
