//! The members of trees, process groups and control groups: listed by PID, then pinned and seen to
//! be members still.

use anyhow::Result;

use crate::find::filter::{Rules, Way};
use crate::find::recipients::{Origin, Recipient, RecipientId, Recipients, Standing};
use crate::os::pidfd::Pinned;
use crate::target::Pid;

/// A process that was listed as a member.
pub enum Member {
    /// A recipient already.
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

    pub fn admit(self, origin: Origin, rules: &Rules, recipients: &mut Recipients) -> Result<()> {
        match self {
            Self::Known(id) => {
                recipients[id].place.join(origin.place);
                Ok(())
            }
            Self::New(process, standing) => {
                recipients.admit(Recipient::new(process, origin, standing, rules.labels))
            }
        }
    }
}

/// Pins those of the listed processes that are no recipients. `claim` asks of each whether it is
/// a member still.
pub fn members(
    listed: impl IntoIterator<Item = Pid>,
    way: Way,
    rules: &Rules,
    recipients: &Recipients,
    claim: impl Fn(&Pinned) -> Result<bool>,
) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for pid in listed {
        if let Some(known) = recipients.id_of(pid)? {
            members.push(Member::Known(known));
            continue;
        }
        let opened = rules.open_judged(pid, way, |process| Ok(claim(process)?.into()))?;
        if let Some((process, verdict)) = opened.process() {
            let standing = verdict.standing();
            members.extend(standing.map(|standing| Member::New(process, standing)));
        }
    }
    Ok(members)
}
