//! sigsend and its ancestors, which no description, list on standard input, control group or tree
//! selects. What is typed by number means them.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use nix::unistd::{getpgrp, getpid};

use crate::event::Reason;
use crate::os::pidfd::Pinned;
use crate::os::proc;
use crate::target::{Pid, Target};

/// sigsend and its ancestors, as far as they can be seen.
#[derive(Default)]
pub struct Spared {
    pub pids: BTreeSet<Pid>,
    /// Where the chain of parents breaks off, because /proc hides a process (hidepid).
    hidden: Option<Hidden>,
}

struct Hidden {
    pid: Pid,
    /// The start of its child, in clock ticks. Every ancestor above has started before.
    child_started: u64,
}

impl Spared {
    /// Reads the chain of parents up to the first process of this PID namespace.
    pub fn read() -> Result<Self> {
        let mut spared = Self::default();
        // Twice: a parent that exits meanwhile breaks the first chain, and its children get another
        // parent.
        for _ in 0..2 {
            spared.hidden = climb(own(), &mut spared.pids)?;
        }
        Ok(spared)
    }

    /// sigsend alone, for targets that are typed and need no /proc.
    pub fn only_sigsend() -> Self {
        Self {
            pids: BTreeSet::from([own()]),
            hidden: None,
        }
    }

    pub fn has(&self, pid: Pid) -> bool {
        self.pids.contains(&pid)
    }

    /// Whether a process may be an ancestor above one that is hidden. An ancestor starts before its
    /// descendants, so a process that started later is none.
    pub fn perhaps_has(&self, process: &Pinned) -> Result<Option<Reason>> {
        let Some(hidden) = &self.hidden else {
            return Ok(None);
        };
        let stat = proc::if_visible(proc::stat(process.pid));
        let stat = stat.with_context(|| format!("reading when process {} started", process.pid))?;
        let is_younger = stat.is_some_and(|stat| stat.start > hidden.child_started);
        Ok((!is_younger).then_some(Reason::PerhapsAncestor { hidden: hidden.pid }))
    }
}

/// sigsend's own PID.
pub fn own() -> Pid {
    Pid::try_from(getpid().as_raw()).expect("a process has a PID")
}

/// Whether a target is the group that sigsend is in.
pub fn is_own_group(target: &Target) -> bool {
    match target {
        Target::OwnGroup => true,
        Target::Group(group) => group.number() == getpgrp().as_raw(),
        _ => false,
    }
}

/// Whether a signal to the target reaches sigsend.
pub fn ends_sigsend(target: &Target) -> bool {
    is_own_group(target) || target.process() == Some(own())
}

/// The processes above these: one of them becomes the parent of what a member leaves behind. `None`
/// if they cannot be read up to the first process.
pub fn above(roots: impl IntoIterator<Item = Pid>) -> Option<BTreeSet<Pid>> {
    let mut above = BTreeSet::from([Pid::INIT]);
    for root in roots {
        if climb(root, &mut above).ok()?.is_some() {
            return None;
        }
        above.remove(&root);
    }
    Some(above)
}

/// Collects a process and its ancestors, up to the first process of this PID namespace or to one
/// that /proc hides, which is returned.
fn climb(from: Pid, ancestors: &mut BTreeSet<Pid>) -> Result<Option<Hidden>> {
    let mut next = Some(from);
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
