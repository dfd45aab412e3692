//! The pinned processes of a call: each once, however often and in whatever way it was named. The
//! index of a recipient stays the same for the whole call.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use anyhow::{Context, Result};

use crate::os::pidfd::Pinned;
use crate::os::proc::{self, State};
use crate::outcome::{Reason, Subject};
use crate::plan::Labels;
use crate::target::{Inode, Pid};

/// A pinned process that is to be signalled, asked about or waited for.
#[derive(Debug)]
pub struct Recipient {
    pub process: Pinned,
    /// The user's token.
    pub typed: Rc<str>,
    pub named_by: NamedBy,
    /// The command name when it was pinned, if output shows it.
    pub name: Option<Vec<u8>>,
    /// The pidfd's inode, if output shows it and the kernel has one.
    pub inode: Option<Inode>,
    /// The index of the process group that it was found in.
    pub group: Option<usize>,
    /// The index of its parent, if it was found as a descendant.
    pub parent: Option<usize>,
    /// Its state when it was found as a descendant.
    pub state: Option<State>,
    pub standing: Standing,
    /// Whether it got the first signal.
    pub signalled: bool,
}

/// What a token says of a process that is gone by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// The token means this process, dead or alive.
    Identity,
    /// The token means the living processes that answer to it.
    Description,
}

/// Whether a recipient is to be signalled and waited for.
#[derive(Debug)]
pub enum Standing {
    Present,
    Gone,
    /// Gets no signal, or no more, and is not waited for.
    Refused(Reason),
    /// sigsend itself or one of its ancestors, in a tree.
    Skipped,
}

impl Recipient {
    pub fn new(process: Pinned, typed: Rc<str>, named_by: NamedBy, labels: Labels) -> Self {
        let (name, inode) = match labels {
            Labels::Wanted => (proc::name(process.pid).ok(), process.inode().ok()),
            Labels::Unwanted => (None, None),
        };
        Self {
            process,
            typed,
            named_by,
            name,
            inode,
            group: None,
            parent: None,
            state: None,
            standing: Standing::Present,
            signalled: false,
        }
    }

    /// Reads the command name if that has not been done.
    pub fn learn_name(&mut self) {
        let is_unknown = self.name.is_none() && self.process.holds_its_number().unwrap_or(false);
        if is_unknown {
            self.name = proc::name(self.process.pid).ok();
        }
    }

    pub fn pid(&self) -> Pid {
        self.process.pid
    }

    pub fn is_refused(&self) -> bool {
        matches!(self.standing, Standing::Refused(_))
    }

    pub fn is_present(&self) -> bool {
        matches!(self.standing, Standing::Present)
    }
}

impl<'a> From<&'a Recipient> for Subject<'a> {
    fn from(recipient: &'a Recipient) -> Self {
        Self {
            typed: &recipient.typed,
            pid: Some(recipient.pid()),
            inode: recipient.inode,
            name: recipient.name.as_deref(),
        }
    }
}

/// Recipients in order of admission.
#[derive(Debug, Default)]
pub struct Recipients {
    members: Vec<Recipient>,
    by_number: BTreeMap<Pid, usize>,
}

impl Recipients {
    /// Admits a process, or joins it with the recipient that is the same process.
    ///
    /// Two pidfds for one PID mean one process as long as the first has not been reaped. After that
    /// they count as two, which makes no difference: both get nothing if they are the same.
    pub fn admit(&mut self, recipient: Recipient) -> Result<()> {
        let pid = recipient.pid();
        if let Some(&index) = self.by_number.get(&pid)
            && self.members[index].process.holds_its_number()?
        {
            let known = &mut self.members[index];
            known.group = known.group.or(recipient.group);
            known.parent = known.parent.or(recipient.parent);
            // A process that was named by identity is a failure if it is gone.
            if recipient.named_by == NamedBy::Identity {
                known.named_by = NamedBy::Identity;
            }
            return Ok(());
        }
        // An allocation that fails aborts the program, which must not happen while a tree is
        // stopped.
        self.members
            .try_reserve(1)
            .with_context(|| format!("taking in process {pid}"))?;
        self.by_number.insert(pid, self.members.len());
        self.members.push(recipient);
        Ok(())
    }

    /// The index of the recipient that has this PID now.
    pub fn index_of(&self, pid: Pid) -> Result<Option<usize>> {
        let Some(&index) = self.by_number.get(&pid) else {
            return Ok(None);
        };
        Ok(self.members[index]
            .process
            .holds_its_number()?
            .then_some(index))
    }

    /// Makes a tree whose root was named by identity so named as a whole: its members may have been
    /// found for a name or port before.
    pub fn inherit_identity(&mut self) {
        let is_identified = |index: &usize| {
            self.lineage(*index)
                .any(|above| self.members[above].named_by == NamedBy::Identity)
        };
        let identified: Vec<usize> = (0..self.members.len()).filter(is_identified).collect();
        for index in identified {
            self.members[index].named_by = NamedBy::Identity;
        }
    }

    /// Forgets the recipients from an index on.
    pub fn truncate(&mut self, length: usize) {
        self.members.truncate(length);
        self.by_number.retain(|_, index| *index < length);
    }

    /// Takes recipients out of the groups from an index on, which were not admitted as a whole.
    pub fn forget_groups(&mut self, from: usize) {
        for member in &mut self.members {
            member.group = member.group.filter(|group| *group < from);
        }
    }

    pub fn into_members(self) -> Vec<Recipient> {
        self.members
    }

    pub fn has_present(&self) -> bool {
        self.members.iter().any(Recipient::is_present)
    }

    /// All indices, parents before their children.
    pub fn root_first(&self) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..self.members.len()).collect();
        indices.sort_by_cached_key(|index| self.lineage(*index).count());
        indices
    }

    /// The root of the tree that a recipient was found in: itself if it was not found as a
    /// descendant.
    pub fn root_of(&self, index: usize) -> usize {
        self.lineage(index).last().unwrap_or(index)
    }

    /// A recipient, its parent, and so on up to the root.
    fn lineage(&self, index: usize) -> impl Iterator<Item = usize> {
        // Bounded, since a parent's PID that is reused by its descendant could close a circle.
        std::iter::successors(Some(index), |index| self.members[*index].parent)
            .take(self.members.len())
    }
}

impl Deref for Recipients {
    type Target = [Recipient];

    fn deref(&self) -> &[Recipient] {
        &self.members
    }
}

impl DerefMut for Recipients {
    fn deref_mut(&mut self) -> &mut [Recipient] {
        &mut self.members
    }
}
