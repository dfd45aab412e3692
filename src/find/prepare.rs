//! From targets to recipients: everything looked up, pinned, verified and classified before the
//! first signal. A process is pinned first, then read, then proved to hold its PID still; nothing
//! here sends a signal.

use std::ffi::OsStr;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Error, Result};
use nix::unistd::getpgrp;

use crate::find::cgroup::{ControlGroup, Killing};
use crate::find::classify::{Purpose, Rules};
use crate::find::group::{Group, ProcessGroup};
use crate::find::names::{check_proc, named, nameless};
use crate::find::pidfile::{self, Written};
use crate::find::port::holders;
use crate::find::recipients::{NamedBy, Recipient, Recipients};
use crate::find::tree::Lineage;
use crate::os::pidfd::{Pinned, is_exhaustion};
use crate::os::proc;
use crate::outcome::{NoControlGroup, NoProcess, Reason};
use crate::plan::{Labels, Plan, Reach, Selection, Until};
use crate::target::{Inode, Pid, Target, Targets};
use crate::usage::UsageError;

/// All recipients that a call concerns.
pub struct Found<'a> {
    pub rules: Rules<'a>,
    pub recipients: Recipients,
    pub groups: Vec<Group>,
    pub misses: Vec<Miss>,
    /// Why targets could not be pinned, one error for each: too few descriptors or too little
    /// memory for all of it. Nothing of such a target is among the recipients.
    pub errors: Vec<Error>,
}

impl<'a> Found<'a> {
    /// Whether kill(2) is all that the call needs: one signal and nothing to look up.
    pub fn is_plain(&self) -> bool {
        self.rules.purpose == Purpose::Signal && self.rules.selection.is_plain()
    }

    /// Whether no recipient can be admitted later, so that none has to be distinguished from those
    /// that are known.
    pub fn is_complete(&self) -> bool {
        self.groups.is_empty() && self.rules.lineage.is_none()
    }

    /// The targets that are signalled by number, in the order in which they get the signal: all of
    /// them in the plain form, else everyone and sigsend's own group.
    pub fn by_number(&self) -> impl Iterator<Item = Target> + use<'a> {
        let passes = if self.is_plain() {
            |_: &Target| true
        } else {
            is_by_number
        };
        own_group_last(&self.rules.selection.targets, passes)
    }
}

/// A target that nothing is sent to.
#[derive(Debug)]
pub struct Miss {
    pub typed: Rc<str>,
    pub pid: Option<Pid>,
    pub reason: Reason,
}

/// Finds all recipients that a plan concerns.
pub fn prepare(plan: &Plan, labels: Labels) -> Result<Found<'_>> {
    check_own_group(plan)?;
    let purpose = match plan.until {
        Until::Sent if plan.is_single() => Purpose::Signal,
        Until::Sent => Purpose::FollowUp,
        Until::Gone | Until::Within(_) => Purpose::Wait,
    };
    let killing = if plan.kills_whole() {
        Killing::Whole
    } else {
        Killing::Members
    };
    find_for(&plan.selection, purpose, killing, labels)
}

/// Finds all recipients that a question is about.
pub fn find(selection: &Selection, labels: Labels) -> Result<Found<'_>> {
    find_for(selection, Purpose::Ask, Killing::Members, labels)
}

fn find_for(
    selection: &Selection,
    purpose: Purpose,
    killing: Killing,
    labels: Labels,
) -> Result<Found<'_>> {
    if selection.needs_proc() {
        check_proc()?;
    }
    let lineage = match selection.reach {
        Reach::Tree => Some(Lineage::own(labels)?),
        Reach::Process => None,
    };
    let found = Found {
        rules: Rules {
            selection,
            purpose,
            lineage,
        },
        recipients: Recipients::default(),
        groups: Vec::new(),
        misses: Vec::new(),
        errors: Vec::new(),
    };
    if found.is_plain() {
        return Ok(found);
    }
    let mut finder = Finder { found, labels };
    let listed = selection.pidfile.as_ref().map(pidfile::read).transpose()?;
    for target in selection.targets.iter() {
        finder.all_or_nothing(|finder| finder.target(&target, None))?;
    }
    for target in listed.iter().flat_map(|listed| &listed.targets) {
        let written = listed.as_ref().and_then(|listed| listed.written.as_ref());
        finder.all_or_nothing(|finder| finder.target(target, written))?;
    }
    if let Some(path) = &selection.cgroup {
        finder.all_or_nothing(|finder| finder.control_group(path, killing))?;
    }
    let mut found = finder.found;
    found.rules.classify(&mut found.recipients, 0);
    Ok(found)
}

/// Refuses a plan that would wait for sigsend itself, by the number of its own process group.
fn check_own_group(plan: &Plan) -> Result<(), UsageError> {
    if plan.is_single() {
        return Ok(());
    }
    match plan.selection.targets.iter().find(is_own_group) {
        Some(own @ Target::Group(_)) => Err(UsageError::new(format!(
            "'{own}' is sigsend's own process group, which it cannot wait for"
        ))),
        _ => Ok(()),
    }
}

/// The targets that pass a test, sigsend's own process group last: the signal may end sigsend.
fn own_group_last(targets: &Targets, passes: fn(&Target) -> bool) -> impl Iterator<Item = Target> {
    let part = move |last: bool| {
        let is_own = move |target: &Target| targets.len() > 1 && is_own_group(target);
        targets
            .iter()
            .filter(move |target| passes(target) && is_own(target) == last)
    };
    // Each pass reads all targets.
    part(false).chain(
        targets
            .has_groups()
            .then(|| part(true))
            .into_iter()
            .flatten(),
    )
}

pub fn is_own_group(target: &Target) -> bool {
    match target {
        Target::OwnGroup => true,
        Target::Group(group) => group.number() == getpgrp().as_raw(),
        _ => false,
    }
}

/// Whether no member can be pinned and signalled for the target: everyone, or a group that sigsend
/// is in.
fn is_by_number(target: &Target) -> bool {
    *target == Target::Everyone || is_own_group(target)
}

/// What a process must be proved to be.
enum Claim<'a> {
    Nothing,
    Inode(Inode),
    WriterOf(&'a Written),
}

struct Finder<'a> {
    found: Found<'a>,
    labels: Labels,
}

impl Finder<'_> {
    /// Finds all that a target means, its trees included, or nothing of it: with too few
    /// descriptors or too little memory for one target there may be enough for the others.
    fn all_or_nothing(&mut self, find: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let known = self.found.recipients.len();
        let found = find(self).and_then(|()| match &self.found.rules.lineage {
            Some(lineage) => lineage.grow(&mut self.found.recipients, known),
            None => Ok(()),
        });
        match found {
            Err(error) if self.found.rules.purpose != Purpose::Ask && is_exhaustion(&error) => {
                self.found.recipients.truncate(known);
                self.found.recipients.forget_groups(self.found.groups.len());
                self.found.errors.push(error);
                Ok(())
            }
            found => found,
        }
    }

    fn target(&mut self, target: &Target, written: Option<&Written>) -> Result<()> {
        let typed: Rc<str> = target.to_string().into();
        match target {
            Target::Process(pid) | Target::Padded(pid, _) => self.number(
                *pid,
                &typed,
                &written.map_or(Claim::Nothing, Claim::WriterOf),
            ),
            Target::Token(pid, inode) => self.number(*pid, &typed, &Claim::Inode(*inode)),
            Target::Name(name) => self.name(name, &typed),
            Target::Port(port) => self.port(*port, &typed),
            Target::Group(number) if !is_own_group(target) => self.group(*number, &typed),
            Target::Group(_) | Target::OwnGroup | Target::Everyone => Ok(()),
        }
    }

    fn number(&mut self, pid: Pid, typed: &Rc<str>, claim: &Claim) -> Result<()> {
        match Pinned::open(pid)? {
            Ok(process) => self
                .verified(process, typed, NamedBy::Identity, claim)
                .map(drop),
            Err(absent) => {
                self.miss(typed, Some(pid), Reason::Absent(absent));
                Ok(())
            }
        }
    }

    fn name(&mut self, name: &str, typed: &Rc<str>) -> Result<()> {
        let users = self.found.rules.selection.users;
        if !self.described(named(name, users)?, typed)? {
            self.miss(typed, None, nameless(name, users)?);
        }
        Ok(())
    }

    fn port(&mut self, port: NonZeroU16, typed: &Rc<str>) -> Result<()> {
        let holders = holders(port, self.found.rules.selection.users)?;
        let is_answered = self.described(holders.selected, typed)?;
        match holders.passed_over {
            Some(reason) => self.miss(typed, None, reason),
            None if !is_answered => self.miss(typed, None, Reason::NotListening { of_others: 0 }),
            None => {}
        }
        Ok(())
    }

    /// Admits or reports the processes that answer to a name or port. `false` if there are none:
    /// those that have exited since do not count.
    fn described(&mut self, processes: Vec<Pinned>, typed: &Rc<str>) -> Result<bool> {
        let misses = self.found.misses.len();
        let mut is_answered = false;
        for process in processes {
            is_answered |= self.verified(process, typed, NamedBy::Description, &Claim::Nothing)?;
        }
        Ok(is_answered || self.found.misses.len() > misses)
    }

    fn group(&mut self, number: Pid, typed: &Rc<str>) -> Result<()> {
        if self
            .found
            .groups
            .iter()
            .filter_map(Group::process)
            .any(|group| group.number() == number)
        {
            return Ok(());
        }
        let index = self.found.groups.len();
        match ProcessGroup::pin(number, index, &mut self.found.recipients, self.labels)? {
            Ok(group) => self.found.groups.push(Group::Process(group)),
            Err(reason) => self.miss(typed, None, reason),
        }
        Ok(())
    }

    fn control_group(&mut self, path: &OsStr, killing: Killing) -> Result<()> {
        let typed = path.to_string_lossy();
        // So that it cannot be mistaken for another target.
        let typed: Rc<str> = if typed.contains('/') {
            typed.into()
        } else {
            format!("./{typed}").into()
        };
        let (index, labels) = (self.found.groups.len(), self.labels);
        match ControlGroup::open(path, &typed, index, killing, labels)? {
            Ok(mut group) => match group.look(&mut self.found.recipients)? {
                0 => self.miss(&typed, None, Reason::ControlGroup(NoControlGroup::Empty)),
                _ if self.found.rules.purpose == Purpose::Ask && group.unseen > 0 => {
                    self.miss(
                        &typed,
                        None,
                        Reason::OtherNamespace {
                            count: group.unseen,
                        },
                    );
                }
                _ => self.found.groups.push(Group::Control(group)),
            },
            Err(refused) => self.miss(&typed, None, Reason::ControlGroup(refused)),
        }
        Ok(())
    }

    fn miss(&mut self, typed: &Rc<str>, pid: Option<Pid>, reason: Reason) {
        self.found.misses.push(Miss {
            typed: Rc::clone(typed),
            pid,
            reason,
        });
    }

    /// Admits a pinned process if it passes all checks, and held its PID until after them. Whether
    /// it did.
    fn verified(
        &mut self,
        process: Pinned,
        typed: &Rc<str>,
        named_by: NamedBy,
        claim: &Claim,
    ) -> Result<bool> {
        let pid = process.pid;
        let refused = match claim {
            Claim::Nothing => None,
            Claim::Inode(inode) => (process.inode()? != *inode).then_some(Reason::Recycled),
            Claim::WriterOf(file) => stale(pid, file)?,
        };
        let refused = refused.or_else(|| self.found.rules.unexpected(pid));
        let refused = match (&self.found.rules.lineage, self.found.rules.purpose) {
            (None, _) | (_, Purpose::Ask) => refused,
            (Some(_), _) if pid == Pid::INIT => refused.or(Some(Reason::Everyone)),
            (Some(lineage), _) => refused.or(lineage.refuses(&process)?),
        };
        match refused {
            _ if !process.holds_its_number()? => {
                if named_by == NamedBy::Identity {
                    self.miss(typed, Some(pid), Reason::Absent(NoProcess::Gone));
                }
            }
            Some(reason) => self.miss(typed, Some(pid), reason),
            None => {
                let recipient = Recipient::new(process, Rc::clone(typed), named_by, self.labels);
                self.found.recipients.admit(recipient)?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// How much later than its pidfile was modified a process may have started: some daemons write the
/// file before they fork.
const LATITUDE: Duration = Duration::from_secs(2);

fn stale(pid: Pid, file: &Written) -> Result<Option<Reason>> {
    let task = || format!("reading when process {pid} started");
    // One that has gone meanwhile is found out by the check that follows; one that is hidden could
    // be any.
    let Some(stat) = proc::if_visible(proc::stat(pid)).with_context(task)? else {
        let expected = format!("the writer of {}", file.name).into_bytes();
        return Ok(Some(Reason::Unverified { expected }));
    };
    let started = stat.started().with_context(task)?;
    let latest = file.at.checked_add(LATITUDE).unwrap_or(file.at);
    Ok((started > latest).then(|| Reason::Stale {
        file: file.name.clone(),
        started,
        written: file.at,
    }))
}
