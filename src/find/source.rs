//! What is looked at again, because members appear that were not there before: trees, process
//! groups, control groups.

use anyhow::Result;

use crate::find::cgroup::ControlGroup;
use crate::find::group::ProcessGroup;
use crate::find::recipients::{Recipient, RecipientId, Recipients};
use crate::find::tree;

/// Members that are looked for again.
pub enum Source {
    Trees,
    Group(ProcessGroup),
    Control(ControlGroup),
}

impl Source {
    /// Looks once for members that are not known yet and admits them, each decided about; `found`
    /// is called with each as soon as it is admitted. Signals nobody, and never sleeps.
    pub fn look(
        &mut self,
        recipients: &mut Recipients,
        mut found: impl FnMut(&Recipient, RecipientId),
    ) -> Result<()> {
        let known = recipients.len();
        let looked = match self {
            Self::Trees => return tree::look(0, recipients, found),
            Self::Group(group) => group.look(recipients),
            Self::Control(group) => group.look(recipients),
        };
        for id in recipients.ids_from(known) {
            found(&recipients[id], id);
        }
        looked
    }

    pub fn control(&self) -> Option<&ControlGroup> {
        match self {
            Self::Control(group) => Some(group),
            _ => None,
        }
    }

    pub fn control_mut(&mut self) -> Option<&mut ControlGroup> {
        match self {
            Self::Control(group) => Some(group),
            _ => None,
        }
    }

    pub fn group(&self) -> Option<&ProcessGroup> {
        match self {
            Self::Group(group) => Some(group),
            _ => None,
        }
    }
}
