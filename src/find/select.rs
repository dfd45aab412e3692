//! From a plan to the recipients that it concerns: each target is looked up, pinned and decided
//! about before the first signal.

use std::ops::Index;
use std::rc::Rc;

use anyhow::{Error, Result};

use crate::event::{Reason, Subject, Typed};
use crate::find::filter::{Rules, Way};
use crate::find::names::check_proc;
use crate::find::pidfile;
use crate::find::recipients::{Recipients, SourceId};
use crate::find::source::Source;
pub use crate::find::spared::ends_sigsend;
use crate::find::spared::{Spared, is_own_group};
use crate::find::tree;
use crate::os::pidfd::is_exhaustion;
use crate::plan::{Labels, Plan, Reach};
use crate::target::{Pid, Target};
use crate::usage::UsageError;

/// All recipients that a call concerns.
pub struct Found<'a> {
    pub recipients: Recipients<'a>,
    pub sources: Vec<Source>,
    pub misses: Vec<Miss>,
    /// Why targets could not be pinned, one error for each: too few descriptors or too little
    /// memory for all of it. Nothing of such a target is among the recipients.
    pub errors: Vec<Error>,
}

/// A target that nothing is sent to.
#[derive(Debug)]
pub struct Miss {
    pub typed: Rc<Typed>,
    pub pid: Option<Pid>,
    pub reason: Reason,
}

impl<'a> From<&'a Miss> for Subject<'a> {
    fn from(miss: &'a Miss) -> Self {
        Subject::target(&miss.typed).process(miss.pid, None)
    }
}

impl<'a> Found<'a> {
    /// Whether no recipient can be admitted later, so that none has to be distinguished from those
    /// that are known.
    pub fn is_complete(&self) -> bool {
        self.sources.is_empty()
    }

    /// The targets that are signalled by number, in the order in which they get the signal: all of
    /// them in the plain form, else everyone and sigsend's own group. sigsend itself and its own
    /// group come last, since the signal may end sigsend.
    pub fn by_number(&self) -> impl Iterator<Item = Target> + use<'a> {
        let plan = self.recipients.rules.plan;
        let is_meant = |target: &Target| {
            plan.is_plain() || *target == Target::Everyone || is_own_group(target)
        };
        let passing = move |is_last: bool| {
            let targets = plan.selection.targets.iter();
            targets.filter(move |one| is_meant(one) && ends_sigsend(one) == is_last)
        };
        passing(false).chain(passing(true))
    }

    pub fn source_ids(&self) -> impl Iterator<Item = SourceId> + use<> {
        (0..self.sources.len()).map(SourceId)
    }

    /// Finds all that a target means, its trees included, or nothing of it: with too few
    /// descriptors or too little memory for one target there may be enough for the others.
    fn all_or_nothing(&mut self, find: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let (known, sources) = (self.recipients.len(), self.sources.len());
        let found = find(self).and_then(|()| tree::look(known, &mut self.recipients, |_, _| {}));
        match found {
            Err(error) if !self.recipients.rules.is_question() && is_exhaustion(&error) => {
                self.recipients.forget(known, sources);
                self.sources.truncate(sources);
                self.errors.push(error);
                Ok(())
            }
            found => found,
        }
    }
}

impl Index<SourceId> for Found<'_> {
    type Output = Source;

    fn index(&self, id: SourceId) -> &Source {
        &self.sources[id.0]
    }
}

/// Finds all recipients that a plan concerns.
pub fn select(plan: &Plan, labels: Labels) -> Result<Found<'_>> {
    check_own(plan)?;
    let selection = &plan.selection;
    if selection.needs_proc() {
        check_proc()?;
    }
    // Read before anything is looked up: a file that is garbage refuses the call.
    let listed = selection
        .pidfiles
        .iter()
        .map(pidfile::read)
        .collect::<Result<Vec<_>>>()?;
    let mut found = Found {
        recipients: Recipients::new(Rules::new(plan, labels, spared(plan)?)?),
        sources: Vec::new(),
        misses: Vec::new(),
        errors: Vec::new(),
    };
    if plan.is_plain() {
        return Ok(found);
    }
    if selection.reach != Reach::Process {
        found.sources.push(Source::Trees);
    }
    for target in selection.targets.iter() {
        found.all_or_nothing(|found| found.target(&target, Way::Number, None))?;
    }
    for listed in listed {
        for target in listed.targets {
            let written = listed.written.as_ref();
            found.all_or_nothing(|found| found.target(&target, listed.way, written))?;
        }
    }
    if let Some(path) = &selection.cgroup {
        found.all_or_nothing(|found| found.control_group(path))?;
    }
    if selection.is_description_alone() {
        found.all_or_nothing(Found::description)?;
    }
    Ok(found)
}

/// Refuses a plan that would wait for sigsend itself.
fn check_own(plan: &Plan) -> Result<(), UsageError> {
    if plan.is_single() {
        return Ok(());
    }
    match plan.selection.targets.iter().find(ends_sigsend) {
        Some(own @ Target::Group(_)) => Err(UsageError::new(format!(
            "'{own}' is sigsend's own process group, which it cannot wait for"
        ))),
        Some(own @ (Target::Process(_) | Target::Padded(..))) => Err(UsageError::new(format!(
            "'{own}' is sigsend itself, which cannot wait for its own end"
        ))),
        _ => Ok(()),
    }
}

/// The spared, as far as the plan needs to know them.
fn spared(plan: &Plan) -> Result<Spared> {
    let selection = &plan.selection;
    let is_needed = selection.targets.has_unknown()
        || selection.describes()
        || selection.cgroup.is_some()
        || selection.reach != Reach::Process
        || !selection.pidfiles.is_empty();
    if is_needed {
        return Spared::read();
    }
    // For the order of targets alone, which needs no /proc.
    let is_ordered = !plan.is_plain() && selection.targets.len() > 1;
    let spared = is_ordered.then(|| Spared::read().ok()).flatten();
    Ok(spared.unwrap_or_else(Spared::only_sigsend))
}
