//! A process group that is waited for: its members pinned, its number trusted only while it cannot have been taken by another group.

use std::rc::Rc;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;

use crate::find::prepare::processes;
use crate::find::recipients::{Admission, Recipient, Roster};
use crate::os::pidfd::Pinned;
use crate::os::proc;
use crate::os::sys::Scope;
use crate::outcome::{NoProcess, Reason};
use crate::plan::Labels;
use crate::run::deliver::{self, Delivery};
use crate::signal::Signal;
use crate::target::{Pid, Target};

/// A group and, where kernel and circumstances allow, the pidfd of its leader, through which the whole group can be signalled at once
/// and asked for: it means the group even when the leader was reaped, and nobody once the number has another owner (Linux 6.9).
pub struct Group {
    number: Pid,
    leader: Option<Pinned>,
    typed: Rc<str>,
    /// The group's index among the call's groups, which its members carry.
    index: usize,
    labels: Labels,
}

impl Group {
    /// Pins the members. A group without any is gone.
    pub fn pin(number: Pid, index: usize, roster: &mut Roster, labels: Labels) -> Result<Result<Self, Reason>> {
        let target = Target::Group(number);
        let mut group =
            Self { number, leader: Pinned::open(number)?.ok(), typed: target.to_string().into(), index, labels };
        if matches!(group.signal(Signal::NULL), Some(Delivery::Refused(Errno::ESRCH | Errno::EINVAL | Errno::ENOSYS))) {
            // Not a leader, or a kernel that does not know the scope: member by member then.
            group.leader = None;
        }
        let members = group.strangers(roster)?;
        if members.is_empty() && !group.knows_any(roster) {
            return match deliver::by_number(&target, Signal::NULL, None) {
                Delivery::Refused(Errno::ESRCH) => Ok(Err(Reason::Absent(NoProcess::Gone))),
                _ => bail!("process group {number} has members, but /proc does not show them"),
            };
        }
        group.admit(members, roster)?;
        Ok(Ok(group))
    }

    /// Signals the group as a whole through its leader's pidfd; `None` where it must be done member by member.
    pub fn signal(&self, signal: Signal) -> Option<Delivery> {
        let leader = self.leader.as_ref()?;
        Some(deliver::by_pidfd(leader.fd(), signal, None, Scope::Group))
    }

    /// Whether any member is left, zombies included, as far as the leader's pidfd can tell.
    pub fn may_have_members(&self) -> bool {
        self.signal(Signal::NULL) != Some(Delivery::Refused(Errno::ESRCH))
    }

    pub fn number(&self) -> Pid {
        self.number
    }

    pub fn has_leader(&self) -> bool {
        self.leader.is_some()
    }

    fn knows_any(&self, roster: &Roster) -> bool {
        roster.iter().any(|known| known.group == Some(self.index))
    }

    /// Looks for members that are not known yet; the indices of those found.
    ///
    /// What is read counts only if the number is still the group's afterwards: a member known before is unreaped, or the leader's
    /// pidfd still finds the group.
    pub fn reread(&self, roster: &mut Roster) -> Result<Vec<usize>> {
        let members = self.strangers(roster)?;
        let mut is_same = self.leader.is_some() && self.may_have_members();
        for known in roster.iter().filter(|known| known.group == Some(self.index)) {
            is_same = is_same || known.process.holds_its_number()?;
        }
        if is_same { self.admit(members, roster) } else { Ok(Vec::new()) }
    }

    /// The members that are not in the roster yet, pinned and then proved to be in the group; those that are there are noted as members.
    fn strangers(&self, roster: &mut Roster) -> Result<Vec<Pinned>> {
        let is_member = |pid: Pid| -> Result<bool> {
            let stat = proc::if_visible(proc::stat(pid))
                .with_context(|| format!("looking for the members of process group {}", self.number))?;
            Ok(stat.is_some_and(|stat| stat.group == self.number.number()))
        };
        let mut members = Vec::new();
        for pid in processes()? {
            if !is_member(pid)? {
                continue;
            }
            if let Some(known) = roster.index_of(pid)? {
                roster[known].group.get_or_insert(self.index);
                continue;
            }
            let Ok(process) = Pinned::open(pid)? else { continue };
            if is_member(pid)? && process.holds_its_number()? {
                members.push(process);
            }
        }
        Ok(members)
    }

    fn admit(&self, members: Vec<Pinned>, roster: &mut Roster) -> Result<Vec<usize>> {
        let mut new = Vec::new();
        for process in members {
            let mut recipient = Recipient::new(process, Rc::clone(&self.typed), self.labels);
            recipient.group = Some(self.index);
            if roster.admit(recipient)? == Admission::New {
                new.push(roster.len() - 1);
            }
        }
        Ok(new)
    }
}
