//! One signal by one route: the only code that sends what a plan asks for. The dry run asks for the
//! same permissions and sends nothing.

use std::time::Instant;

use nix::errno::Errno;
use nix::unistd::{self, geteuid, getsid};

use crate::event::Reason;
use crate::find::recipients::{Recipient, RecipientId};
use crate::find::select::ends_sigsend;
use crate::find::spared::own;
use crate::os::cgroup::InterfaceFile;
use crate::os::pidfd::Pinned;
use crate::os::proc;
use crate::os::sys::{self, Scope};
use crate::plan::{Mode, Plan};
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
    /// A whole control group, through its cgroup.kill. KILL only.
    ControlGroup(&'a InterfaceFile),
}

/// One signal of the plan, on its way to the recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub signal: Signal,
    pub occasion: Occasion,
}

/// Whether a signal is sent for the first time or to processes that are still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    First,
    /// Directly after the first signal.
    Companion,
    FollowUp,
}

impl Step {
    pub fn is_first(self) -> bool {
        self.occasion == Occasion::First
    }

    pub fn is_kill(self) -> bool {
        self.signal == Signal::KILL
    }
}

/// What became of a signal that was not refused.
#[derive(Clone, Copy, Debug)]
pub enum Sent {
    Receipt(Receipt),
    /// It would be accepted.
    Rehearsed,
}

/// Proof that the kernel accepted a signal, and when. Only [`send`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Receipt(Instant);

impl Receipt {
    pub fn at(self) -> Instant {
        self.0
    }
}

/// What the sender answered for a recipient.
pub struct Answer {
    pub id: RecipientId,
    pub step: Step,
    pub sent: nix::Result<Sent>,
}

/// Sends a signal, or in a dry run asks for the permission. The errors are those of kill(2) and
/// pidfd_send_signal(2).
pub fn send(plan: &Plan, route: Route, step: Step) -> nix::Result<Sent> {
    let signal = step.signal;
    if plan.mode == Mode::Rehearse {
        let asked = match route {
            Route::ControlGroup(_) => Ok(()),
            route => route.send(Signal::NULL, None),
        };
        match (asked, route.pid()) {
            (Err(Errno::EPERM), Some(pid)) if is_permitted_cont(pid, signal) => Ok(()),
            (asked, _) => asked,
        }?;
        return Ok(Sent::Rehearsed);
    }
    if route.ends_sigsend() {
        sys::restore_disposition(signal);
    }
    route.send(signal, plan.value)?;
    Ok(Sent::Receipt(Receipt(Instant::now())))
}

/// Sends a signal to one recipient through its pidfd.
pub fn send_to(plan: &Plan, id: RecipientId, recipient: &Recipient, step: Step) -> Answer {
    let sent = send(plan, Route::Process(&recipient.process), step);
    Answer { id, step, sent }
}

impl Route<'_> {
    fn send(self, signal: Signal, value: Option<i32>) -> nix::Result<()> {
        match self {
            Self::Number(target) => {
                if let (Some(pid), Some(value)) = (target.process(), value) {
                    return sys::sigqueue(pid, signal, value);
                }
                let number = match target {
                    Target::Group(group) => group.group(),
                    Target::OwnGroup => unistd::Pid::from_raw(0),
                    Target::Everyone => unistd::Pid::from_raw(-1),
                    // A target that has to be looked up means no process before that.
                    target => target.process().ok_or(Errno::ESRCH)?.process(),
                };
                sys::kill(number, signal)
            }
            Self::Process(process) => process.signal(signal, value),
            Self::GroupOf(leader) => {
                sys::pidfd_send_signal(leader.fd()?, signal, value, Scope::Group)
            }
            Self::ControlGroup(file) if signal == Signal::KILL => file.write("1"),
            Self::ControlGroup(_) => Err(Errno::EINVAL),
        }
    }

    fn pid(self) -> Option<Pid> {
        match self {
            Self::Number(target) => target.process(),
            Self::Process(process) => Some(process.pid),
            Self::GroupOf(_) | Self::ControlGroup(_) => None,
        }
    }

    /// Whether it reaches sigsend itself: then the signal does what it does to any program.
    fn ends_sigsend(self) -> bool {
        match self {
            Self::Number(target) => ends_sigsend(target),
            route => route.pid() == Some(own()),
        }
    }
}

/// Whether the signal is CONT to a process of sigsend's session, which needs no other permission
/// (kill(2)).
pub fn is_permitted_cont(pid: Pid, signal: Signal) -> bool {
    signal == Signal::CONT && getsid(Some(pid.process())) == getsid(None)
}

/// Whether an errno means that the signal is not permitted; EACCES is the answer of a security
/// module.
pub fn is_forbidden(errno: Errno) -> bool {
    matches!(errno, Errno::EPERM | Errno::EACCES)
}

/// Why the kernel refused a signal. The owner of the process explains EPERM, unless the caller is
/// root or has the same user: then a missing capability, Landlock or the like forbids it.
pub fn refusal(errno: Errno, pid: Option<Pid>) -> Reason {
    if !is_forbidden(errno) {
        return Reason::Refused(errno);
    }
    let status = pid.and_then(|pid| proc::status(pid).ok());
    let caller = geteuid();
    let explains = |user: &u32| !caller.is_root() && caller.as_raw() != *user;
    let owner = status.map(|status| status.real_user).filter(explains);
    Reason::NotPermitted {
        errno,
        owner: owner.map(proc::user_name),
    }
}
