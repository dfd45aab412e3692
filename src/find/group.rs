//! Groups of processes that are looked for again: process groups, whose number is used only
//! while it cannot belong to another one, and control groups.

use std::rc::Rc;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal;

use crate::find::cgroup::ControlGroup;
use crate::find::names::check_proc;
use crate::find::recipients::{NamedBy, Recipient, Recipients};
use crate::os::pidfd::Pinned;
use crate::os::pids::{self, GroupMembers};
use crate::outcome::{NoProcess, Reason};
use crate::plan::Labels;
use crate::target::{Pid, Target};

/// A group whose members are recipients.
pub enum Group {
    Process(ProcessGroup),
    Control(ControlGroup),
}

impl Group {
    /// Looks for members that are not known yet and admits them. Only the first error is returned.
    pub fn look(&mut self, recipients: &mut Recipients) -> Result<()> {
        let (looked, has_failed) = match self {
            Self::Process(group) => (group.look(recipients), &mut group.has_failed),
            Self::Control(group) => (group.look(recipients).map(drop), &mut group.has_failed),
        };
        match looked {
            Err(_) if std::mem::replace(has_failed, true) => Ok(()),
            looked => looked,
        }
    }

    pub fn process(&self) -> Option<&ProcessGroup> {
        if let Self::Process(group) = self {
            Some(group)
        } else {
            None
        }
    }

    pub fn control(&self) -> Option<&ControlGroup> {
        if let Self::Control(group) = self {
            Some(group)
        } else {
            None
        }
    }

    pub fn control_mut(&mut self) -> Option<&mut ControlGroup> {
        if let Self::Control(group) = self {
            Some(group)
        } else {
            None
        }
    }
}

/// A process group and, if kernel and circumstances allow, the pidfd of the process with its
/// number, through which the group can be signalled as a whole: it means this group even after the
/// leader was reaped, and none once the number has been reused (`PIDFD_SIGNAL_PROCESS_GROUP`,
/// Linux 6.9).
pub struct ProcessGroup {
    number: Pid,
    numbers: GroupMembers,
    leader: Option<Pinned>,
    typed: Rc<str>,
    /// The index that its members carry.
    index: usize,
    labels: Labels,
    /// Whether a look for members has failed, which is reported once.
    has_failed: bool,
}

impl ProcessGroup {
    /// Pins the members. A group without any is gone.
    pub fn pin(
        number: Pid,
        index: usize,
        recipients: &mut Recipients,
        labels: Labels,
    ) -> Result<Result<Self, Reason>> {
        let target = Target::Group(number);
        let leader = Pinned::open(number)?
            .ok()
            .filter(|leader| leader.leads_a_group() == Some(true));
        let numbers = GroupMembers::of(number);
        let mut group = Self {
            number,
            numbers,
            leader,
            typed: target.to_string().into(),
            index,
            labels,
            has_failed: false,
        };
        let listed = group.list(recipients)?;
        // The listing may have begun in one group and ended in another that took over the number.
        // Members that are in the group still, all of them seen before this look, belong to one.
        let mut is_empty = true;
        for member in listed {
            if group.contains(member.process(recipients))? {
                is_empty = false;
                group.admit(member, recipients)?;
            }
        }
        if is_empty {
            return match signal::kill(number.group(), None) {
                Err(Errno::ESRCH) => Ok(Err(Reason::Absent(NoProcess::Gone))),
                _ => bail!("process group {number} has members, but none that can be found"),
            };
        }
        Ok(Ok(group))
    }

    pub fn number(&self) -> Pid {
        self.number
    }

    /// The pidfd through which the whole group can be signalled.
    pub fn leader(&self) -> Option<&Pinned> {
        self.leader.as_ref()
    }

    /// Looks for members that are not known yet and admits them.
    ///
    /// What was listed counts only if the number was this group's until after the listing: its
    /// leader's pidfd still finds the group, or a member that was known before the listing is in
    /// it, unreaped. A member that has left the group proves nothing, since the number may have
    /// been reused after it left.
    fn look(&mut self, recipients: &mut Recipients) -> Result<()> {
        let listed = self.list(recipients)?;
        let mut is_same = self.leader.as_ref().and_then(Pinned::leads_a_group) == Some(true);
        for known in recipients
            .iter()
            .filter(|known| known.group == Some(self.index))
        {
            is_same = is_same || self.contains(&known.process)?;
        }
        if is_same {
            for member in listed {
                self.admit(member, recipients)?;
            }
        }
        Ok(())
    }

    /// Whether a pinned process is in the group now. Read first and checked after: the PID was its
    /// own.
    pub fn contains(&self, process: &Pinned) -> Result<bool> {
        let group = pids::group_of(process.pid)
            .with_context(|| format!("asking for the group of {}", process.pid))?;
        Ok(group == Some(self.number) && process.holds_its_number()?)
    }

    /// The processes that are in the group, and not known as its members.
    fn list(&mut self, recipients: &Recipients) -> Result<Vec<Member>> {
        let number = self.number;
        let task = || format!("looking for the members of process group {number}");
        check_proc()?;
        let mut members = Vec::new();
        for pid in self.numbers.list().with_context(task)? {
            if let Some(index) = recipients.index_of(pid)? {
                if recipients[index].group != Some(self.index) {
                    members.push(Member::Known(index));
                }
                continue;
            }
            let Ok(process) = Pinned::open(pid)? else {
                continue;
            };
            if self.contains(&process)? {
                members.push(Member::New(process));
            }
        }
        Ok(members)
    }

    fn admit(&self, member: Member, recipients: &mut Recipients) -> Result<()> {
        match member {
            Member::Known(index) => {
                recipients[index].group = Some(self.index);
                Ok(())
            }
            Member::New(process) => {
                let recipient = Recipient::new(
                    process,
                    Rc::clone(&self.typed),
                    NamedBy::Identity,
                    self.labels,
                );
                recipients.admit(Recipient {
                    group: Some(self.index),
                    ..recipient
                })
            }
        }
    }
}

/// A process that was listed as a member.
enum Member {
    /// A recipient by another target.
    Known(usize),
    New(Pinned),
}

impl Member {
    fn process<'a>(&'a self, recipients: &'a Recipients) -> &'a Pinned {
        match self {
            Self::Known(index) => &recipients[*index].process,
            Self::New(process) => process,
        }
    }
}
