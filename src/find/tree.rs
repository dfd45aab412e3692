//! Process trees: the children of each member, pinned and checked.
//!
//! A process belongs to a tree if it is a child of a member when that member's children are read.
//! One whose parent has exited before has left the tree: the kernel keeps no record of where it
//! came from.

use std::rc::Rc;

use anyhow::{Context, Result};

use crate::find::filter::Way;
use crate::find::member::Member;
use crate::find::recipients::{Place, Recipient, RecipientId, Recipients};
use crate::os::pidfd::Pinned;
use crate::os::pids;

/// Admits every descendant that the members have now which were admitted when there were `known`;
/// `found` is called with each.
pub fn look(
    known: usize,
    recipients: &mut Recipients,
    mut found: impl FnMut(&Recipient, RecipientId),
) -> Result<()> {
    let mut asked = known;
    let mut looked = Ok(());
    while let Some(id) = recipients.ids_from(asked).next() {
        asked += 1;
        let before = recipients.len();
        // An error about one member concerns no other.
        looked = looked.and(adopt(recipients, id));
        for child in recipients.ids_from(before) {
            found(&recipients[child], child);
        }
    }
    looked
}

/// Admits the children of one member, each pinned first and then proved to be a child still.
pub fn adopt(recipients: &mut Recipients, parent: RecipientId) -> Result<()> {
    let process = &recipients[parent].process;
    if !matches!(recipients[parent].place, Place::Tree { .. }) {
        return Ok(());
    }
    let pid = process.pid;
    let task = || format!("looking for the children of process {pid}");
    let listed = match pids::children(pid).with_context(task)? {
        Some(listed) => listed,
        // It may be hidden (hidepid) while its children are not.
        None if process.still_has_pid()? => pids::children_by_parent(pid).with_context(task)?,
        None => return Ok(()),
    };
    let is_child = |process: &Pinned| {
        if let Some(parent) = process.parent().with_context(task)? {
            return Ok(parent == pid.number());
        }
        // Hidden in /proc: if its parent lists it again, the pidfd is of the child.
        let listed = pids::children(pid).with_context(task)?;
        Ok(listed.is_some_and(|children| children.contains(&process.pid)))
    };
    let children = recipients.pin_new(listed, Way::Child, is_child)?;
    // What was read by the parent's PID is true of the parent if it has the PID still.
    if children.is_empty() || !recipients[parent].process.still_has_pid()? {
        return Ok(());
    }
    let typed = Rc::clone(&recipients[parent].typed);
    let place = Place::Tree {
        parent: Some(parent),
    };
    for child in children {
        // A PID that was reused can make a process its own child.
        if matches!(child, Member::Known(id) if id == parent) {
            continue;
        }
        recipients.join(child, &typed, place)?;
    }
    Ok(())
}
