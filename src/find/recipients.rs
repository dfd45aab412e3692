//! The pinned processes of a call: each once, however often and in whatever way it was named.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};
use std::rc::Rc;

use anyhow::{Context, Result};

use crate::event::{Subject, Typed, What};
use crate::find::filter::Rules;
pub use crate::find::filter::Standing;
use crate::os::pidfd::Pinned;
use crate::os::proc;
use crate::plan::Labels;
use crate::target::{Inode, Pid, Target};

/// The number of a recipient, the same for the whole call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecipientId(usize);

impl RecipientId {
    /// The key of its descriptor in an epoll.
    pub fn key(self) -> u64 {
        self.0 as u64
    }

    /// The recipient with this key.
    pub fn from_key(key: u64) -> Option<Self> {
        usize::try_from(key).ok().map(Self)
    }
}

/// The number of a source, the same for the whole call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceId(pub usize);

/// A pinned process that is to be signalled, asked about or waited for.
#[derive(Debug)]
pub struct Recipient {
    pub process: Pinned,
    pub typed: Rc<Typed>,
    pub named_by: NamedBy,
    /// The command name when it was pinned, if output shows it.
    pub name: Option<Vec<u8>>,
    /// The pidfd's inode, if output shows it and the kernel has one.
    pub inode: Option<Inode>,
    pub place: Place,
    pub standing: Standing,
    /// Whether a target means the process itself, and not only a group or tree that it is in.
    pub is_target: bool,
    /// Whether it got a signal.
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

/// Where a recipient stands among the others.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    Alone,
    /// A member of a process group or control group.
    Member(SourceId),
    /// A root of a tree has no parent.
    Tree {
        parent: Option<RecipientId>,
    },
}

impl NamedBy {
    pub fn of(typed: &Typed) -> Self {
        match &typed.what {
            What::Target(Target::Name(_) | Target::Port(..))
            | What::ControlGroup
            | What::CommandLine
            | What::Directory => Self::Description,
            What::Target(_) => Self::Identity,
        }
    }
}

impl Place {
    /// Another place of the same process: a tree's member has the parent that was found first.
    pub fn join(&mut self, other: Self) {
        let gives_way = match self {
            Self::Alone => true,
            Self::Member(_) | Self::Tree { parent: None } => matches!(other, Self::Tree { .. }),
            Self::Tree { parent: Some(_) } => false,
        };
        if gives_way {
            *self = other;
        }
    }
}

impl Recipient {
    /// Reads the command name if that has not been done.
    pub fn learn_name(&mut self) {
        if self.name.is_none() {
            let name = proc::name(self.process.pid).ok();
            self.name = name.filter(|_| self.process.still_has_pid().unwrap_or(false));
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

    /// The group that it is a member of.
    pub fn group(&self) -> Option<SourceId> {
        match self.place {
            Place::Member(group) => Some(group),
            _ => None,
        }
    }

    /// The recipient that it was found as a child of.
    pub fn parent(&self) -> Option<RecipientId> {
        match self.place {
            Place::Tree { parent } => parent,
            _ => None,
        }
    }
}

impl<'a> From<&'a Recipient> for Subject<'a> {
    fn from(recipient: &'a Recipient) -> Self {
        Self {
            pid: Some(recipient.pid()),
            inode: recipient.inode,
            name: recipient.name.as_deref(),
            ..Self::target(&recipient.typed)
        }
    }
}

/// Recipients in order of admission.
pub struct Recipients<'a> {
    pub rules: Rules<'a>,
    members: Vec<Recipient>,
    by_pid: BTreeMap<Pid, RecipientId>,
}

impl<'a> Recipients<'a> {
    pub fn new(rules: Rules<'a>) -> Self {
        Self {
            rules,
            members: Vec::new(),
            by_pid: BTreeMap::new(),
        }
    }

    /// Admits a process, or joins it with the recipient that is the same process.
    ///
    /// Two pidfds for one PID mean one process as long as the first has not been reaped. After that
    /// they count as two, which makes no difference: both get nothing if they are the same.
    pub fn admit(
        &mut self,
        process: Pinned,
        typed: &Rc<Typed>,
        place: Place,
        standing: Standing,
    ) -> Result<()> {
        let pid = process.pid;
        let named_by = NamedBy::of(typed);
        let is_target = matches!(place, Place::Alone | Place::Tree { parent: None });
        if let Some(known) = self.id_of(pid)? {
            let known = &mut self[known];
            known.place.join(place);
            if is_target && !known.is_target {
                known.is_target = true;
                (known.typed, known.named_by) = (Rc::clone(typed), named_by);
            }
            // A process that was named by identity is a failure if it is gone.
            if named_by == NamedBy::Identity {
                known.named_by = named_by;
                if matches!(known.standing, Standing::Skipped) {
                    known.standing = standing;
                }
            }
            return Ok(());
        }
        // An allocation that fails aborts the program, which must not happen while a tree is
        // stopped.
        let room = self.members.try_reserve(1);
        room.with_context(|| format!("taking in process {pid}"))?;
        let (name, inode) = match self.rules.labels {
            Labels::Wanted => (proc::name(pid).ok(), process.inode().ok()),
            Labels::Unwanted => (None, None),
        };
        self.by_pid.insert(pid, RecipientId(self.members.len()));
        self.members.push(Recipient {
            process,
            typed: Rc::clone(typed),
            named_by,
            name,
            inode,
            place,
            standing,
            is_target,
            signalled: false,
        });
        Ok(())
    }

    /// The recipient that has this PID now.
    pub fn id_of(&self, pid: Pid) -> Result<Option<RecipientId>> {
        let Some(&id) = self.by_pid.get(&pid) else {
            return Ok(None);
        };
        Ok(self[id].process.still_has_pid()?.then_some(id))
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Recipient> {
        self.members.iter()
    }

    pub fn ids(&self) -> impl DoubleEndedIterator<Item = RecipientId> + use<> {
        self.ids_from(0)
    }

    /// Those that were admitted when there were `known` already.
    pub fn ids_from(&self, known: usize) -> impl DoubleEndedIterator<Item = RecipientId> + use<> {
        (known..self.members.len()).map(RecipientId)
    }

    /// The recipients that are present, in order of admission.
    pub fn present(&self) -> impl DoubleEndedIterator<Item = RecipientId> {
        self.ids().filter(|id| self[*id].is_present())
    }

    /// The members of a group that are present.
    pub fn members_of(&self, group: SourceId) -> Vec<RecipientId> {
        let members = self.present();
        members
            .filter(|id| self[*id].group() == Some(group))
            .collect()
    }

    /// Forgets the recipients that were admitted when there were `known`, and takes the others out
    /// of the groups from `sources` on, which were not admitted as a whole.
    pub fn forget(&mut self, known: usize, sources: usize) {
        self.members.truncate(known);
        self.by_pid.retain(|_, id| id.0 < known);
        for member in &mut self.members {
            if member.group().is_some_and(|group| group.0 >= sources) {
                member.place = Place::Alone;
            }
        }
    }

    /// Takes refused roots and what is below them out of their trees: a KILL for what is left of a
    /// tree is meant for one whose root has got the signal before. A target below one is a root.
    pub fn leave_refused_trees(&mut self) {
        for id in self.root_first() {
            let Place::Tree { parent } = self[id].place else {
                continue;
            };
            let is_left = parent.is_some_and(|parent| matches!(self[parent].place, Place::Alone));
            if parent.is_some() && !is_left {
                continue;
            }
            let member = &mut self[id];
            let is_root = member.is_target && !member.is_refused();
            if !member.is_target && member.is_present() {
                member.standing = Standing::Skipped;
            }
            member.place = if is_root {
                Place::Tree { parent: None }
            } else {
                Place::Alone
            };
        }
    }

    pub fn into_members(self) -> Vec<Recipient> {
        self.members
    }

    /// All of them, parents before their children.
    pub fn root_first(&self) -> Vec<RecipientId> {
        let mut below: BTreeMap<Option<RecipientId>, Vec<RecipientId>> = BTreeMap::new();
        for id in self.ids() {
            below.entry(self[id].parent()).or_default().push(id);
        }
        let mut ordered = below.remove(&None).unwrap_or_default();
        let mut done = 0;
        while let Some(id) = ordered.get(done) {
            ordered.extend(below.remove(&Some(*id)).unwrap_or_default());
            done += 1;
        }
        // A parent's PID that is reused by its descendant closes a circle.
        ordered.extend(below.into_values().flatten());
        ordered
    }
}

impl Index<RecipientId> for Recipients<'_> {
    type Output = Recipient;

    fn index(&self, id: RecipientId) -> &Recipient {
        &self.members[id.0]
    }
}

impl IndexMut<RecipientId> for Recipients<'_> {
    fn index_mut(&mut self, id: RecipientId) -> &mut Recipient {
        &mut self.members[id.0]
    }
}
