//! Process trees: the children of each member, pinned and checked.
//!
//! A process belongs to a tree if it is a child of a member when that member's children are read.
//! One whose parent has exited before has left the tree: the kernel keeps no record of where it
//! came from.

use std::collections::BTreeSet;
use std::rc::Rc;

use anyhow::{Context, Result};

use crate::find::filter::{Claim, Rules, Verdict, Way};
use crate::find::recipients::{Place, Recipient, RecipientId, Recipients, Standing};
use crate::os::pidfd::{Opened, Pinned};
use crate::os::pids;

/// All trees of a call.
#[derive(Default)]
pub struct Trees {
    /// Members whose children could not be read.
    unread: BTreeSet<RecipientId>,
}

impl Trees {
    /// Admits every descendant that the members have now.
    pub fn look(
        &mut self,
        rules: &Rules,
        recipients: &mut Recipients,
        found: &mut dyn FnMut(&mut Recipients, RecipientId),
    ) -> Result<()> {
        self.look_from(0, rules, recipients, found)
    }

    /// The same for the members that were admitted when there were `known`.
    pub fn look_from(
        &mut self,
        known: usize,
        rules: &Rules,
        recipients: &mut Recipients,
        found: &mut dyn FnMut(&mut Recipients, RecipientId),
    ) -> Result<()> {
        let mut asked = known;
        while let Some(id) = recipients.ids_from(asked).next() {
            asked += 1;
            let before = recipients.len();
            let adopted = self.adopt(rules, recipients, id);
            for child in recipients.ids_from(before) {
                found(recipients, child);
            }
            adopted?;
        }
        Ok(())
    }

    /// Members whose children could not be read since this was asked last.
    pub fn take_unread(&mut self) -> BTreeSet<RecipientId> {
        std::mem::take(&mut self.unread)
    }

    /// Admits the children of one member, each pinned first and then proved to be a child still.
    pub fn adopt(
        &mut self,
        rules: &Rules,
        recipients: &mut Recipients,
        parent: RecipientId,
    ) -> Result<()> {
        let process = &recipients[parent].process;
        if !matches!(recipients[parent].place, Place::Tree { .. }) {
            return Ok(());
        }
        let pid = process.pid;
        let task = || format!("looking for the children of process {pid}");
        let listed = match pids::children(pid).with_context(task)? {
            None if !process.still_has_pid()? => return Ok(()),
            // It may be hidden (hidepid) while its children are not.
            None => pids::children_by_parent(pid).ok(),
            listed => listed,
        };
        let Some(listed) = listed else {
            self.unread.insert(parent);
            return Ok(());
        };
        let mut children = Vec::new();
        for child in listed {
            if let Some(id) = recipients.id_of(child)? {
                children.push(Child::Known(id));
                continue;
            }
            let opened = Pinned::open_if(child, |process| {
                let is_child = match process.parent().with_context(task)? {
                    Some(parent) => parent == pid.number(),
                    // Hidden in /proc: if its parent lists it again, the pidfd is of the child.
                    None => pids::children(pid)
                        .with_context(task)?
                        .is_some_and(|children| children.contains(&child)),
                };
                let claim = if is_child { Claim::Holds } else { Claim::Fails };
                rules.judge(process, Way::Child, |_| Ok(claim))
            })?;
            match opened {
                Opened::Process(process, Verdict::Takes(standing)) => {
                    children.push(Child::New(process, standing));
                }
                Opened::Process(process, Verdict::Refused(reason)) => {
                    children.push(Child::New(process, Standing::Refused(reason)));
                }
                Opened::Process(..) | Opened::Absent(_) => {}
            }
        }
        // What was read by the parent's PID is true of the parent if it has the PID still.
        if children.is_empty() || !recipients[parent].process.still_has_pid()? {
            return Ok(());
        }
        for child in children {
            match child {
                Child::Known(id) if id != parent => recipients[id].become_child_of(parent),
                Child::Known(_) => {}
                Child::New(process, standing) => {
                    let (typed, named_by) = (
                        Rc::clone(&recipients[parent].typed),
                        recipients[parent].named_by,
                    );
                    let recipient = Recipient::new(process, typed, named_by, rules.labels);
                    recipients.admit(Recipient {
                        place: Place::Tree {
                            parent: Some(parent),
                        },
                        standing,
                        ..recipient
                    })?;
                }
            }
        }
        Ok(())
    }
}

enum Child {
    Known(RecipientId),
    New(Pinned, Standing),
}

impl Recipient {
    /// Notes its parent, if it was known for another reason.
    fn become_child_of(&mut self, above: RecipientId) {
        match &mut self.place {
            Place::Tree {
                parent: parent @ None,
            } => *parent = Some(above),
            Place::Tree { .. } => {}
            place => {
                *place = Place::Tree {
                    parent: Some(above),
                }
            }
        }
    }
}
