//! What is looked at again, because members appear that were not there before: trees, process
//! groups, control groups.

use anyhow::Result;

use crate::find::cgroup::ControlGroup;
use crate::find::filter::Rules;
use crate::find::group::ProcessGroup;
use crate::find::recipients::{RecipientId, Recipients};
use crate::find::tree::Trees;

/// Members that are looked for again.
pub enum Source {
    Trees(Trees),
    Group(ProcessGroup),
    Control(ControlGroup),
}

impl Source {
    /// Looks once for members that are not known yet and admits them, each decided about; `found`
    /// is called with each as soon as it is admitted. Signals nobody, and never sleeps.
    pub fn look(
        &mut self,
        rules: &Rules,
        recipients: &mut Recipients,
        found: &mut dyn FnMut(&mut Recipients, RecipientId),
    ) -> Result<()> {
        let known = recipients.len();
        let looked = match self {
            Self::Trees(trees) => return trees.look(0, rules, recipients, found),
            Self::Group(group) => group.look(rules, recipients),
            Self::Control(group) => group.look(rules, recipients),
        };
        for id in recipients.ids_from(known) {
            found(recipients, id);
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
