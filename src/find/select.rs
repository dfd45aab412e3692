//! From a plan to the recipients that it concerns: each target is looked up, pinned and decided
//! about before the first signal.

use std::ffi::OsStr;
use std::num::NonZeroU16;
use std::ops::Index;
use std::rc::Rc;

use anyhow::{Error, Result};
use nix::unistd::getpgrp;

use crate::event::{Nobody, Reason, Subject, Typed, What};
use crate::find::cgroup::ControlGroup;
use crate::find::description::{described, nobody_described};
use crate::find::filter::{Claim, Rules, Verdict, Way};
use crate::find::group::ProcessGroup;
use crate::find::names::{self, check_proc};
use crate::find::pidfile::{self, Written};
use crate::find::port;
use crate::find::recipients::{
    NamedBy, Origin, Place, Recipient, RecipientId, Recipients, SourceId, Standing,
};
use crate::find::source::Source;
use crate::find::spared::{Spared, own};
use crate::find::tree::Trees;
use crate::os::net::Protocol;
use crate::os::pidfd::{Opened, Pinned, is_exhaustion};
use crate::os::proc;
use crate::plan::{Labels, Plan, Reach};
use crate::target::{Pgid, Pid, Target, Transport};
use crate::usage::UsageError;

/// All recipients that a call concerns.
pub struct Found<'a> {
    pub rules: Rules<'a>,
    pub recipients: Recipients,
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
        let plan = self.rules.plan;
        let targets = &plan.selection.targets;
        let is_plain = plan.is_plain();
        let passes = move |target: &Target| is_plain || is_by_number(target);
        let passing = move || targets.iter().filter(passes);
        let last: Vec<Target> = passing().filter(ends_sigsend).collect();
        let first = passing().filter(|target| !ends_sigsend(target));
        first.chain(last)
    }

    pub fn source_ids(&self) -> impl Iterator<Item = SourceId> + use<> {
        (0..self.sources.len()).map(SourceId)
    }

    /// Looks once for new members of a source; `found` is called with each when it is admitted.
    pub fn look(
        &mut self,
        source: SourceId,
        mut found: impl FnMut(&Recipient, RecipientId),
    ) -> Result<()> {
        let Self {
            rules,
            recipients,
            sources,
            ..
        } = self;
        let mut found = |recipients: &mut Recipients, id| found(&recipients[id], id);
        sources[source.0].look(rules, recipients, &mut found)
    }

    /// Admits the children of a member of a tree; who is new.
    pub fn adopt(&mut self, parent: RecipientId) -> (Vec<RecipientId>, Result<()>) {
        let known = self.recipients.len();
        let adopted = match self.sources.first_mut() {
            Some(Source::Trees(trees)) => trees.adopt(&self.rules, &mut self.recipients, parent),
            _ => Ok(()),
        };
        (self.recipients.ids_from(known).collect(), adopted)
    }

    /// Notes members of trees whose children could not be read.
    pub fn miss_unread(&mut self) {
        for source in &mut self.sources {
            if let Source::Trees(trees) = source {
                for id in trees.take_unread() {
                    let member = &self.recipients[id];
                    self.misses.push(Miss {
                        typed: Rc::clone(&member.typed),
                        pid: Some(member.pid()),
                        reason: Reason::ChildrenUnread,
                    });
                }
            }
        }
    }
}

impl Index<SourceId> for Found<'_> {
    type Output = Source;

    fn index(&self, id: SourceId) -> &Source {
        &self.sources[id.0]
    }
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

/// Whether no member can be pinned and signalled for the target: everyone, or a group that sigsend
/// is in.
fn is_by_number(target: &Target) -> bool {
    *target == Target::Everyone || is_own_group(target)
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
        rules: Rules::new(plan, labels, spared(plan)?)?,
        recipients: Recipients::default(),
        sources: Vec::new(),
        misses: Vec::new(),
        errors: Vec::new(),
    };
    if plan.is_plain() {
        return Ok(found);
    }
    if selection.reach != Reach::Process {
        found.sources.push(Source::Trees(Trees::default()));
    }
    for target in selection.targets.iter() {
        found.all_or_nothing(|found| found.target(target, Way::Number, None))?;
    }
    for listed in listed {
        for target in listed.targets {
            let written = listed.written.as_ref();
            found.all_or_nothing(|found| found.target(target, listed.way, written))?;
        }
    }
    if let Some(path) = &selection.cgroup {
        found.all_or_nothing(|found| found.control_group(path))?;
    }
    if selection.is_description_alone() {
        found.all_or_nothing(Found::description)?;
    }
    found.miss_unread();
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

impl Found<'_> {
    /// Finds all that a target means, its trees included, or nothing of it: with too few
    /// descriptors or too little memory for one target there may be enough for the others.
    fn all_or_nothing(&mut self, find: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let (known, sources) = (self.recipients.len(), self.sources.len());
        let found = find(self).and_then(|()| match self.sources.first_mut() {
            Some(Source::Trees(trees)) => {
                trees.look_from(known, &self.rules, &mut self.recipients, &mut |_, _| {})
            }
            _ => Ok(()),
        });
        match found {
            Err(error) if !self.rules.is_question() && is_exhaustion(&error) => {
                self.recipients.forget(known, sources);
                self.sources.truncate(sources);
                self.errors.push(error);
                Ok(())
            }
            found => found,
        }
    }

    fn target(&mut self, target: Target, way: Way, written: Option<&Written>) -> Result<()> {
        let typed = Rc::new(Typed::target(target));
        let What::Target(target) = &typed.what else {
            return Ok(());
        };
        match target {
            Target::Process(pid) | Target::Padded(pid, _) => {
                self.number(*pid, &typed, way, |process| match written {
                    Some(written) => written.disproves(process.pid),
                    None => Ok(None),
                })
            }
            Target::Token(pid, inode) => self.number(*pid, &typed, way, |process| {
                Ok((process.inode()? != *inode).then_some(Reason::Recycled))
            }),
            Target::Name(name) => {
                let found = names::named(name, &self.rules)?;
                let nobody = |rules: &Rules| names::nobody_named(name, rules);
                self.answers(found, &typed, nobody)
            }
            Target::Port(port, transport) => self.port(*port, *transport, &typed),
            Target::Group(number) if !is_own_group(target) => self.group(*number, &typed),
            Target::Group(_) | Target::OwnGroup | Target::Everyone => Ok(()),
            Target::Nobody => {
                self.miss(&typed, None, Reason::EmptyWord);
                Ok(())
            }
        }
    }

    fn number(
        &mut self,
        pid: Pid,
        typed: &Rc<Typed>,
        way: Way,
        disproof: impl FnOnce(&Pinned) -> Result<Option<Reason>>,
    ) -> Result<()> {
        let claim = |process: &Pinned| Ok(disproof(process)?.map_or(Claim::Holds, Claim::Refused));
        match Pinned::open_if(pid, |process| self.rules.judge(process, way, claim))? {
            Opened::Process(process, verdict) => {
                self.take(process, verdict, typed, NamedBy::Identity)?;
            }
            Opened::Absent(absent) => self.miss(typed, Some(pid), Reason::Absent(absent)),
        }
        Ok(())
    }

    fn port(&mut self, port: NonZeroU16, transport: Transport, typed: &Rc<Typed>) -> Result<()> {
        let protocol = match transport {
            Transport::Unsaid | Transport::Tcp => Protocol::Tcp,
            Transport::Udp => Protocol::Udp,
        };
        let holders = port::holders(port, protocol, &self.rules)?;
        self.answer(holders.selected, typed)?;
        if let Some(reason) = holders.passed_over {
            self.miss(typed, None, reason);
        }
        Ok(())
    }

    /// `-f` and `--cwd` alone.
    fn description(&mut self) -> Result<()> {
        let selection = &self.rules.plan.selection;
        let (text, what) = match (selection.full.first(), &selection.cwd) {
            (Some(text), _) => (text, What::CommandLine),
            (None, Some(directory)) => (directory, What::Directory),
            (None, None) => return Ok(()),
        };
        let typed = Rc::new(Typed {
            text: text.to_string_lossy().into(),
            what,
        });
        let found = described(&self.rules)?;
        self.answers(found, &typed, nobody_described)
    }

    fn group(&mut self, number: Pgid, typed: &Rc<Typed>) -> Result<()> {
        let mut groups = self.sources.iter().filter_map(Source::group);
        if groups.any(|group| group.number() == number) {
            return Ok(());
        }
        let id = SourceId(self.sources.len());
        match ProcessGroup::pin(number, typed, id, &self.rules, &mut self.recipients)? {
            Some(group) => self.sources.push(Source::Group(group)),
            None => self.miss(typed, None, ProcessGroup::missing(number)),
        }
        Ok(())
    }

    fn control_group(&mut self, path: &OsStr) -> Result<()> {
        check_proc()?;
        let rules = &self.rules;
        let typed = ControlGroup::typed(path);
        let id = SourceId(self.sources.len());
        let known = self.recipients.len();
        let found = match ControlGroup::open(path, &typed, id, rules.plan) {
            Ok(mut group) => group
                .look_first(rules, &mut self.recipients)?
                .map_or(Ok(group), Err),
            Err(refused) => Err(refused),
        };
        let group = match found {
            Ok(group) => group,
            Err(refused) => {
                self.miss(&typed, None, Reason::ControlGroup(refused));
                return Ok(());
            }
        };
        if rules.plan.selection.narrows() {
            if self.recipients.len() == known {
                let nobody = nobody_described(rules)?;
                self.miss(&typed, None, Reason::Nobody(nobody));
                return Ok(());
            }
        } else if rules.is_question() && group.unseen > 0 {
            let count = group.unseen;
            self.miss(&typed, None, Reason::OtherNamespace { count });
        }
        self.sources.push(Source::Control(group));
        Ok(())
    }

    /// Takes the processes that answer to a description, or notes why there are none.
    fn answers(
        &mut self,
        found: Vec<(Pinned, Verdict)>,
        typed: &Rc<Typed>,
        nobody: impl FnOnce(&Rules) -> Result<Nobody>,
    ) -> Result<()> {
        if !self.answer(found, typed)? {
            let nobody = nobody(&self.rules)?;
            self.miss(typed, None, Reason::Nobody(nobody));
        }
        Ok(())
    }

    /// Takes the processes that answer to a description. `false` if there are none; those that have
    /// exited since do not count.
    fn answer(&mut self, found: Vec<(Pinned, Verdict)>, typed: &Rc<Typed>) -> Result<bool> {
        let is_spared = |(_, verdict): &(_, Verdict)| matches!(verdict, Verdict::Spared);
        let (spared, others): (Vec<_>, Vec<_>) = found.into_iter().partition(is_spared);
        let mut is_answered = false;
        for (process, verdict) in others {
            is_answered |= self.take(process, verdict, typed, NamedBy::Description)?;
        }
        if !is_answered && !spared.is_empty() {
            is_answered = true;
            let ancestor = spared
                .iter()
                .map(|(one, _)| one.pid)
                .find(|pid| *pid != own());
            let reason = ancestor.map_or(Reason::OnlySigsend, |first| Reason::OnlySpared {
                first,
                name: proc::name(first).unwrap_or_default(),
            });
            self.miss(typed, None, reason);
        }
        for (process, _) in spared {
            self.admit(
                process,
                Standing::Skipped,
                Place::Alone,
                typed,
                NamedBy::Description,
            )?;
        }
        Ok(is_answered)
    }

    /// Admits a process, or notes why it is refused. Whether it is meant at all.
    fn take(
        &mut self,
        process: Pinned,
        verdict: Verdict,
        typed: &Rc<Typed>,
        named_by: NamedBy,
    ) -> Result<bool> {
        match verdict {
            Verdict::Takes(standing) => {
                let place = match self.rules.plan.selection.reach {
                    Reach::Process => Place::Alone,
                    Reach::Tree | Reach::Mixed => Place::Tree { parent: None },
                };
                self.admit(process, standing, place, typed, named_by)?;
            }
            Verdict::Refused(reason) => self.miss(typed, Some(process.pid), reason),
            Verdict::Spared | Verdict::NotMeant => return Ok(false),
        }
        Ok(true)
    }

    fn admit(
        &mut self,
        process: Pinned,
        standing: Standing,
        place: Place,
        typed: &Rc<Typed>,
        named_by: NamedBy,
    ) -> Result<()> {
        let origin = Origin {
            typed: Rc::clone(typed),
            named_by,
            place,
        };
        let labels = self.rules.labels;
        self.recipients
            .admit(Recipient::new(process, origin, standing, labels))
    }

    fn miss(&mut self, typed: &Rc<Typed>, pid: Option<Pid>, reason: Reason) {
        let typed = Rc::clone(typed);
        self.misses.push(Miss { typed, pid, reason });
    }
}
