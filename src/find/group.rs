//! A process group as a target, whose number is used only while it cannot belong to another one.

use std::rc::Rc;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal;

use crate::event::{NoProcess, Reason, Typed};
use crate::find::filter::Way;
use crate::find::member::Member;
use crate::find::names::check_proc;
use crate::find::recipients::{Place, Recipient, Recipients, SourceId};
use crate::os::pidfd::Pinned;
use crate::os::pids::{self, GroupMembers};
use crate::target::Pgid;

/// A process group and, if kernel and circumstances allow, the pidfd of the process with its
/// number, through which the group can be signalled as a whole: it means this group even after the
/// leader was reaped, and none once the number has been reused (`PIDFD_SIGNAL_PROCESS_GROUP`,
/// Linux 6.9).
pub struct ProcessGroup {
    pub number: Pgid,
    numbers: GroupMembers,
    pub leader: Option<Pinned>,
    typed: Rc<Typed>,
    id: SourceId,
}

impl ProcessGroup {
    /// Pins the members. `None` if the group is gone: it has none.
    ///
    /// The listing may have begun in one group and ended in another that took over the number. If
    /// the leader's pidfd finds the group before and after it, there was one group. Else those
    /// belong to one that were pinned after a member that is in the group still.
    pub fn pin(
        number: Pgid,
        typed: &Rc<Typed>,
        id: SourceId,
        recipients: &mut Recipients,
    ) -> Result<Option<Self>> {
        let leader = Pinned::open_if(number.leader(), |leader| Ok(leader.leads_a_group()))?;
        let leader = leader.process().filter(|(_, leads)| *leads == Some(true));
        let mut group = Self {
            number,
            numbers: GroupMembers::of(number),
            leader: leader.map(|(leader, _)| leader),
            typed: Rc::clone(typed),
            id,
        };
        let listed = group.list(recipients)?;
        let (mut is_same, mut is_empty) = (group.is_led(), true);
        for member in listed {
            is_same = is_same || group.contains(member.process(recipients))?;
            if is_same {
                is_empty = false;
                group.admit(member, recipients)?;
            }
        }
        if !is_empty {
            return Ok(Some(group));
        }
        match signal::kill(number.group(), None) {
            Err(Errno::ESRCH) => Ok(None),
            _ => bail!("process group {number} has members, but none that can be found"),
        }
    }

    /// Why there is no group with the number: its process lives in another one, if there is one.
    pub fn missing(number: Pgid) -> Reason {
        let leader_is_in = pids::group_of(number.leader()).ok().flatten();
        match leader_is_in {
            Some(other) if other != number.leader() => Reason::NoGroup { leader_is_in },
            _ => Reason::Absent(NoProcess::Gone),
        }
    }

    /// Looks for members that are not known yet and admits them.
    ///
    /// What was listed counts only if the number was this group's until after the listing: its
    /// leader's pidfd still finds the group or, without one, a member that was known before the
    /// listing is in it, unreaped. A member that has left the group proves nothing, since the
    /// number may have been reused after it left.
    pub fn look(&mut self, recipients: &mut Recipients) -> Result<()> {
        let mut listed = self.list(recipients)?;
        let is_in = |known: &Recipient| known.group() == Some(self.id);
        listed.retain(|member| match member {
            Member::Known(id) => !is_in(&recipients[*id]),
            Member::New(..) => true,
        });
        if listed.is_empty() {
            return Ok(());
        }
        let mut is_same = self.is_led();
        for known in recipients.iter().filter(|known| is_in(known)) {
            is_same = is_same || self.leader.is_none() && self.contains(&known.process)?;
        }
        if is_same {
            for member in listed {
                self.admit(member, recipients)?;
            }
        }
        Ok(())
    }

    /// Whether the leader's pidfd finds the group: the number is still this group's.
    fn is_led(&self) -> bool {
        self.leader.as_ref().and_then(Pinned::leads_a_group) == Some(true)
    }

    /// Whether a pinned process is in the group now. Read first and checked after: the PID was its
    /// own.
    pub fn contains(&self, process: &Pinned) -> Result<bool> {
        Ok(self.has(process)? && process.still_has_pid()?)
    }

    fn has(&self, process: &Pinned) -> Result<bool> {
        let group = pids::group_of(process.pid);
        let group = group.with_context(|| format!("asking for the group of {}", process.pid))?;
        Ok(group == Some(self.number.leader()))
    }

    /// The processes that are in the group.
    fn list(&mut self, recipients: &Recipients) -> Result<Vec<Member>> {
        let number = self.number;
        check_proc()?;
        let pids = self.numbers.list();
        let pids = pids.with_context(|| format!("looking for the members of group {number}"))?;
        recipients.pin_new(pids, Way::Group, |process| self.has(process))
    }

    fn admit(&self, member: Member, recipients: &mut Recipients) -> Result<()> {
        let place = Place::Member(self.id);
        // It may have come from another group.
        if let Member::Known(id) = member {
            recipients[id].place = place;
        }
        recipients.join(member, &self.typed, place)
    }
}
