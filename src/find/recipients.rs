//! The pinned processes of a call, each once, however often and by whatever way it was meant.
//! An index into it means the same process for as long as the call lasts.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use anyhow::Result;

use crate::os::pidfd::Pinned;
use crate::os::proc;
use crate::outcome::Subject;
use crate::plan::Labels;
use crate::target::{Inode, Pid};

/// A pinned process that is to be signalled, asked about or waited for.
#[derive(Debug)]
pub struct Recipient {
    pub process: Pinned,
    /// What the user typed to mean it.
    pub typed: Rc<str>,
    /// The command name when it was pinned, where output wants it.
    pub name: Option<Vec<u8>>,
    /// Its inode, where output wants it and the kernel has one.
    pub inode: Option<Inode>,
    /// Which of the call's process groups it was found in.
    pub group: Option<usize>,
    /// Its parent's index, where it was found as a descendant.
    pub parent: Option<usize>,
}

impl Recipient {
    pub fn new(process: Pinned, typed: Rc<str>, labels: Labels) -> Self {
        let (name, inode) = match labels {
            Labels::Wanted => (proc::name(process.pid).ok(), process.inode().ok()),
            Labels::Unwanted => (None, None),
        };
        Self { process, typed, name, inode, group: None, parent: None }
    }

    /// Reads the command name if it was not wanted before now.
    pub fn learn_name(&mut self) {
        let is_unknown = self.name.is_none() && self.process.holds_its_number().unwrap_or(false);
        if is_unknown {
            self.name = proc::name(self.process.pid).ok();
        }
    }

    pub fn pid(&self) -> Pid {
        self.process.pid
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
pub struct Roster {
    members: Vec<Recipient>,
    by_number: BTreeMap<Pid, usize>,
}

impl Roster {
    /// Takes a recipient in, or joins it with the one that is the same process; the index and whether it was new.
    ///
    /// Two pidfds with one number mean one process as long as the first has not been reaped, and after that if their inodes agree.
    pub fn admit(&mut self, recipient: Recipient) -> Result<Admission> {
        let pid = recipient.pid();
        if let Some(&index) = self.by_number.get(&pid)
            && is_same(&self.members[index].process, &recipient.process)?
        {
            let known = &mut self.members[index];
            known.group = known.group.or(recipient.group);
            known.parent = known.parent.or(recipient.parent);
            return Ok(Admission::Known);
        }
        self.by_number.insert(pid, self.members.len());
        self.members.push(recipient);
        Ok(Admission::New)
    }

    /// Where the process that has this number now stands, if it is in.
    pub fn index_of(&self, pid: Pid) -> Result<Option<usize>> {
        let Some(&index) = self.by_number.get(&pid) else { return Ok(None) };
        Ok(self.members[index].process.holds_its_number()?.then_some(index))
    }

    pub fn into_members(self) -> Vec<Recipient> {
        self.members
    }

    /// All indices, parents before their children.
    pub fn root_first(&self) -> Vec<usize> {
        let depth = |index: &usize| {
            std::iter::successors(Some(*index), |index| self.members[*index].parent).take(self.members.len()).count()
        };
        let mut indices: Vec<usize> = (0..self.members.len()).collect();
        indices.sort_by_cached_key(depth);
        indices
    }
}

/// Whether two pidfds with one number mean one process.
fn is_same(known: &Pinned, other: &Pinned) -> Result<bool> {
    Ok(known.holds_its_number()? || known.inode().is_ok_and(|inode| other.inode().is_ok_and(|other| inode == other)))
}

/// Whether a recipient was in already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    New,
    Known,
}

impl Deref for Roster {
    type Target = [Recipient];

    fn deref(&self) -> &[Recipient] {
        &self.members
    }
}

impl DerefMut for Roster {
    fn deref_mut(&mut self) -> &mut [Recipient] {
        &mut self.members
    }
}
