//! The members of trees, process groups and control groups: listed by PID, then pinned and seen to
//! be members still.

use std::rc::Rc;

use anyhow::Result;

use crate::event::Typed;
use crate::find::filter::{Standing, Verdict, Way};
use crate::find::recipients::{Place, RecipientId, Recipients};
use crate::os::pidfd::Pinned;
use crate::target::Pid;

/// A process that was listed as a member of a source.
pub enum Member {
    Known(RecipientId),
    New(Pinned, Standing),
}

impl Member {
    pub fn process<'a>(&'a self, recipients: &'a Recipients) -> &'a Pinned {
        match self {
            Self::Known(id) => &recipients[*id].process,
            Self::New(process, _) => process,
        }
    }
}

impl Recipients<'_> {
    /// Pins those of the listed processes that are no recipients. `is_member` asks of each whether
    /// it is a member still.
    pub fn pin_new(
        &self,
        listed: impl IntoIterator<Item = Pid>,
        way: Way,
        is_member: impl Fn(&Pinned) -> Result<bool>,
    ) -> Result<Vec<Member>> {
        let mut members = Vec::new();
        for pid in listed {
            if let Some(known) = self.id_of(pid)? {
                members.push(Member::Known(known));
                continue;
            }
            if let Some((process, verdict)) = self.rules.pin(pid, way, &is_member)? {
                let standing = match verdict {
                    Verdict::Takes(standing) => standing,
                    Verdict::Refused(reason) => Standing::Refused(reason),
                };
                members.push(Member::New(process, standing));
            }
        }
        Ok(members)
    }

    /// Admits a member of a source.
    pub fn join(&mut self, member: Member, typed: &Rc<Typed>, place: Place) -> Result<()> {
        match member {
            Member::Known(id) => self[id].place.join(place),
            Member::New(process, standing) => self.admit(process, typed, place, standing)?,
        }
        Ok(())
    }
}
