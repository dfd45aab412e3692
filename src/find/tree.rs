//! Process trees: the children of each member, pinned and checked, and the ancestors that a tree
//! spares.
//!
//! A process belongs to a tree if it is a child of a member when that member's children are read.
//! One whose parent has exited before has left the tree: the kernel keeps no record of where it
//! came from.

use std::collections::BTreeSet;
use std::rc::Rc;

use anyhow::{Context, Result};
use nix::unistd::getpid;

use crate::find::names::check_proc;
use crate::find::recipients::{Recipient, Recipients};
use crate::os::pidfd::Pinned;
use crate::os::pids;
use crate::os::proc::{self, State};
use crate::outcome::Reason;
use crate::plan::Labels;
use crate::target::Pid;

/// sigsend and its ancestors, which get no signal wherever they stand in a tree.
pub struct Lineage {
    spared: BTreeSet<Pid>,
    /// An ancestor whose own parent cannot be read, because /proc hides it.
    hidden: Option<Hidden>,
    labels: Labels,
}

/// Where the chain of parents breaks off.
struct Hidden {
    pid: Pid,
    /// The start of its child, in clock ticks. Every ancestor above has started before.
    child_started: u64,
}

impl Lineage {
    /// Reads the chain of parents up to the first process of this PID namespace.
    pub fn own(labels: Labels) -> Result<Self> {
        check_proc()?;
        let mut lineage = Self {
            spared: BTreeSet::new(),
            hidden: None,
            labels,
        };
        // Twice: a parent that exits meanwhile breaks the first chain, and its children get another
        // parent.
        for _ in 0..2 {
            lineage.hidden = climb(getpid().as_raw(), &mut lineage.spared)?;
        }
        Ok(lineage)
    }

    /// The processes above these roots: one of them becomes the parent of what a member leaves
    /// behind. `None` if they cannot be read up to the first process.
    pub fn above(roots: impl IntoIterator<Item = Pid>) -> Option<BTreeSet<Pid>> {
        let mut above = BTreeSet::from([Pid::INIT]);
        for root in roots {
            let hidden = climb(root.number(), &mut above).ok()?;
            if hidden.is_some() {
                return None;
            }
            above.remove(&root);
        }
        Some(above)
    }

    pub fn spares(&self, pid: Pid) -> bool {
        self.spared.contains(&pid)
    }

    /// Why a root may not be signalled: it may be an ancestor above one that is hidden. An ancestor
    /// starts before its descendants, so a process that started later is none.
    pub fn refuses(&self, root: &Pinned) -> Result<Option<Reason>> {
        let Some(hidden) = &self.hidden else {
            return Ok(None);
        };
        if self.spares(root.pid) {
            return Ok(None);
        }
        let stat = proc::if_visible(proc::stat(root.pid));
        let stat = stat.with_context(|| format!("reading when process {} started", root.pid))?;
        let is_younger = stat.is_some_and(|stat| stat.start > hidden.child_started);
        Ok((!is_younger).then_some(Reason::PerhapsAncestor { hidden: hidden.pid }))
    }

    /// Admits every descendant that the members from an index on have now.
    pub fn grow(&self, recipients: &mut Recipients, from: usize) -> Result<()> {
        let mut index = from;
        while index < recipients.len() {
            self.adopt(recipients, index, None)?;
            index += 1;
        }
        Ok(())
    }

    /// Admits the children of one member: those of its threads, if these are known already. Each
    /// child is pinned first and then proved to be a child still.
    pub fn adopt(
        &self,
        recipients: &mut Recipients,
        parent: usize,
        threads: Option<&[i32]>,
    ) -> Result<()> {
        let pid = recipients[parent].pid();
        if !recipients[parent].process.holds_its_number()? {
            return Ok(());
        }
        let task = || format!("looking for the children of process {pid}");
        let read = || {
            let children = threads.map_or_else(
                || pids::children(pid),
                |threads| pids::children_of(pid, threads),
            );
            proc::if_visible(children)
                .with_context(task)
                .map(Option::unwrap_or_default)
        };
        let mut children = Vec::new();
        for child in read()? {
            if let Some(index) = recipients.index_of(child)? {
                children.push(Child::Known(index));
                continue;
            }
            let Ok(process) = Pinned::open(child)? else {
                continue;
            };
            let stat = proc::if_visible(proc::stat(child)).with_context(task)?;
            let is_child = match &stat {
                Some(stat) => stat.parent == pid.number(),
                // Hidden in /proc (hidepid): if its parent lists it again, the pidfd is of the
                // child.
                None => read()?.contains(&child),
            };
            if is_child && process.holds_its_number()? {
                children.push(Child::New(process, stat.map(|stat| stat.state)));
            }
        }
        // What was read by the parent's PID is true of the parent if it holds the PID still.
        if children.is_empty() || !recipients[parent].process.holds_its_number()? {
            return Ok(());
        }
        for child in children {
            match child {
                Child::Known(index) if index != parent => {
                    _ = recipients[index].parent.get_or_insert(parent);
                }
                Child::Known(_) => {}
                Child::New(process, state) => {
                    let (typed, named_by) = (
                        Rc::clone(&recipients[parent].typed),
                        recipients[parent].named_by,
                    );
                    let recipient = Recipient::new(process, typed, named_by, self.labels);
                    recipients.admit(Recipient {
                        parent: Some(parent),
                        state,
                        ..recipient
                    })?;
                }
            }
        }
        Ok(())
    }
}

/// Collects a process and its ancestors, up to the first process of this PID namespace or to one
/// that /proc hides, which is returned.
fn climb(from: i32, ancestors: &mut BTreeSet<Pid>) -> Result<Option<Hidden>> {
    let mut next = Pid::try_from(from).ok();
    let mut child_started = 0;
    while let Some(pid) = next {
        ancestors.insert(pid);
        let stat = proc::if_visible(proc::stat(pid));
        let stat = stat.with_context(|| format!("looking for the parent of process {pid}"))?;
        let Some(stat) = stat else {
            return Ok((pid != Pid::INIT).then_some(Hidden { pid, child_started }));
        };
        next = Pid::try_from(stat.parent).ok();
        child_started = stat.start;
    }
    Ok(None)
}

enum Child {
    Known(usize),
    New(Pinned, Option<State>),
}
