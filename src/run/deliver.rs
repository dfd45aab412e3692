//! One signal to one recipient: by number through kill(2), or through a pidfd; the kernel's refusal is an outcome, not an error.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::signal;
use nix::unistd;

use crate::os::sys::{self, Scope};
use crate::signal::Signal;
use crate::target::Target;

/// What became of one signal to one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Sent,
    Refused(Errno),
}

impl From<nix::Result<()>> for Delivery {
    fn from(result: nix::Result<()>) -> Self {
        result.map_or_else(Self::Refused, |()| Self::Sent)
    }
}

/// Sends to whom the target means by its number: one process, a group, the own group (`0`) or everyone (`-1`).
/// Names and tokens mean nobody until they were resolved, so there is no such process.
pub fn by_number(target: &Target, signal: Signal, value: Option<i32>) -> Delivery {
    let pid = match (target, value) {
        (Target::Process(pid) | Target::Padded(pid, _), Some(value)) => {
            return sys::sigqueue(*pid, signal, value).into();
        }
        (Target::Process(pid) | Target::Padded(pid, _), None) => pid.process(),
        (Target::Group(pgid), _) => pgid.group(),
        (Target::OwnGroup, _) => unistd::Pid::from_raw(0),
        (Target::Everyone, _) => unistd::Pid::from_raw(-1),
        (Target::Token(..) | Target::Name(_) | Target::Port(_), _) => return Delivery::Refused(Errno::ESRCH),
    };
    match signal.named() {
        Some(named) => signal::kill(pid, named),
        None if signal.is_null() => signal::kill(pid, None),
        None => sys::kill(pid, signal),
    }
    .into()
}

/// Sends to the process, or the group of the leader, that the pidfd means.
pub fn by_pidfd(fd: BorrowedFd, signal: Signal, value: Option<i32>, scope: Scope) -> Delivery {
    sys::pidfd_send_signal(fd, signal, value, scope).into()
}
