//! Whether a pinned process is to be signalled: one rule for those found at the start and for those
//! found later.

use std::io;

use nix::unistd::getpgid;

use crate::find::recipients::{Recipient, Recipients, Standing};
use crate::find::tree::Lineage;
use crate::os::pidfd::Life;
use crate::os::proc;
use crate::outcome::{NoProcess, Reason};
use crate::plan::Selection;
use crate::target::Pid;

/// What the call is for, as far as it decides who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A question, which sends no signal.
    Ask,
    /// One signal, no wait.
    Signal,
    /// Later signals, which only processes that are still there get.
    FollowUp,
    /// Ends are waited for, so that a process that is already gone is success.
    Wait,
}

/// The rules of a call.
pub struct Rules<'a> {
    pub selection: &'a Selection,
    pub purpose: Purpose,
    /// For trees.
    pub lineage: Option<Lineage>,
}

impl Rules<'_> {
    /// Classifies the recipients from an index on.
    pub fn classify(&self, recipients: &mut Recipients, from: usize) {
        for recipient in recipients.iter_mut().skip(from) {
            recipient.standing = self.standing(recipient);
        }
    }

    fn standing(&self, recipient: &Recipient) -> Standing {
        let pid = recipient.pid();
        let is_spared = self
            .lineage
            .as_ref()
            .is_some_and(|lineage| lineage.spares(pid));
        if is_spared && self.purpose != Purpose::Ask {
            return Standing::Skipped;
        }
        if self.purpose == Purpose::Wait
            && recipient
                .process
                .life()
                .is_ok_and(|life| life != Life::Running)
        {
            return Standing::Gone;
        }
        let Some(reason) = self.refusal(recipient) else {
            return Standing::Present;
        };
        // What was read by PID is true of this process only if it held the PID until now.
        match recipient.process.holds_its_number() {
            Ok(false) if self.purpose == Purpose::Wait => Standing::Gone,
            Ok(false) => Standing::Refused(Reason::Absent(NoProcess::Gone)),
            _ => Standing::Refused(reason),
        }
    }

    fn refusal(&self, recipient: &Recipient) -> Option<Reason> {
        let pid = recipient.pid();
        let follows = matches!(self.purpose, Purpose::FollowUp | Purpose::Wait);
        if follows && is_kernel_thread(pid) {
            return Some(Reason::KernelThread);
        }
        // Members of a control group; other groups exclude the option, other targets were checked
        // when found.
        if recipient.group.is_some()
            && let Some(reason) = self.unexpected(pid)
        {
            return Some(reason);
        }
        let signal = self.selection.catching?;
        let caught = proc::status(pid).is_ok_and(|status| status.caught.contains(signal));
        (!caught).then(|| Reason::NotCaught {
            signal,
            name: proc::name(pid).unwrap_or_default(),
        })
    }

    /// Why a process is not what `--expect` wants.
    pub fn unexpected(&self, pid: Pid) -> Option<Reason> {
        let expected = self.selection.expect.as_ref()?.as_encoded_bytes();
        let (name, executable) = (proc::name(pid).ok(), proc::executable(pid));
        let may_see = !executable
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        let claims = [
            name.clone(),
            executable.ok(),
            proc::first_argument(pid).ok().flatten(),
        ];
        if claims.iter().flatten().any(|claim| claim == expected) {
            return None;
        }
        let expected = expected.to_vec();
        Some(match name {
            Some(name) if may_see => Reason::NotExpected { expected, name },
            _ => Reason::Unverified { expected },
        })
    }
}

/// Threads of the kernel are in no process group that has a number here, which one system call
/// shows.
fn is_kernel_thread(pid: Pid) -> bool {
    getpgid(Some(pid.process())).is_ok_and(|group| group.as_raw() == 0)
        && proc::stat(pid).is_ok_and(|stat| stat.is_kernel_thread())
}
