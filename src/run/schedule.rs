//! A plan that needs pinned recipients under way: first signal, wait, follow-ups, wait; every fate is kept and counted at the end.

mod dispatch;
mod vigil;

use std::time::Instant;

use anyhow::Result;

use crate::find::group::Group;
use crate::find::prepare::not_caught;
use crate::find::prepare::{Miss, resolve};
use crate::find::recipients::Roster;
use crate::find::tree::Lineage;
use crate::os::pidfd::Life;
use crate::os::proc;
use crate::outcome::Reason;
use crate::outcome::{Outcome, Subject, Tally};
use crate::output::report::Report;
use crate::plan::{Labels, Plan, Reach, Until};
use crate::run::wait::Watch;
use crate::target::{Pid, Target};

/// What has become of a recipient so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Present,
    Gone,
    /// A signal was refused; it gets no more of them and is not waited for.
    Failed,
}

/// Whether a signal is sent for the first time or to those who stayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    First,
    /// Right behind the first signal.
    Companion,
    FollowUp,
}

/// A plan under way, with everybody pinned.
pub struct Campaign<'a, 'r> {
    plan: &'a Plan,
    report: &'a mut Report<'r>,
    roster: Roster,
    /// By index of the roster, as far as they have been looked at.
    fates: Vec<Fate>,
    groups: Vec<Group>,
    /// For trees.
    lineage: Option<Lineage>,
    watch: Option<Watch>,
    /// Recipients that are watched, from the first on.
    watched: usize,
    /// How many recipients got the first signal.
    reached: usize,
    /// Targets that were no process of the roster.
    tally: Tally,
    began: Instant,
}

impl<'a, 'r> Campaign<'a, 'r> {
    /// Looks everybody up and pins them; nothing is sent yet.
    pub fn prepare(plan: &'a Plan, report: &'a mut Report<'r>) -> Result<Self> {
        let pins_groups = !plan.is_single();
        let labels = report.voice.labels();
        let resolution = resolve(&plan.selection, labels)?;
        let mut campaign = Self {
            plan,
            report,
            roster: resolution.roster,
            fates: Vec::new(),
            groups: Vec::new(),
            lineage: None,
            watch: None,
            watched: 0,
            reached: 0,
            tally: Tally::default(),
            began: Instant::now(),
        };
        let mut misses = resolution.misses;
        if pins_groups {
            misses.extend(campaign.pin_groups(labels)?);
        }
        if plan.selection.reach == Reach::Tree {
            campaign.grow_trees(labels)?;
        }
        campaign.welcome();
        if !plan.is_single() {
            // Before the first signal, so that whatever waiting lacks is known before anything was sent.
            campaign.watch_newcomers()?;
        }
        for miss in &misses {
            campaign.miss(miss);
        }
        Ok(campaign)
    }

    fn pin_groups(&mut self, labels: Labels) -> Result<Vec<Miss>> {
        let mut misses = Vec::new();
        for target in &self.plan.selection.targets {
            let Target::Group(number) = target else { continue };
            if self.groups.iter().any(|group| group.number() == *number) {
                continue;
            }
            match Group::pin(*number, self.groups.len(), &mut self.roster, labels)? {
                Ok(group) => self.groups.push(group),
                Err(reason) => misses.push(Miss { typed: target.to_string().into(), pid: None, reason }),
            }
        }
        Ok(misses)
    }

    /// Pins the trees whole. Roots that are sigsend or an ancestor are refused; their descendants are not looked for.
    fn grow_trees(&mut self, labels: Labels) -> Result<()> {
        let lineage = Lineage::own(labels)?;
        for root in lineage.refuse_own(&mut self.roster)? {
            self.tally.failed += 1;
            self.report.tell(&Subject::from(&root), &Outcome::Failed(&Reason::Everyone));
        }
        let growth = lineage.grow(&mut self.roster)?;
        self.lineage = Some(lineage);
        self.tell_spared(&growth.spared);
        Ok(())
    }

    /// Decides about those who are new in the roster: gone already, which is as wished where that was the wish, or not to be signalled.
    fn welcome(&mut self) {
        for index in self.fates.len()..self.roster.len() {
            let recipient = &self.roster[index];
            let exited = self.plan.waits() && recipient.process.life().is_ok_and(|life| life != Life::Running);
            let refused = if self.lineage.is_some() { not_caught(&self.plan.selection, recipient.pid()) } else { None };
            let fate = match refused {
                _ if exited => Fate::Gone,
                Some(_) => Fate::Failed,
                None => Fate::Present,
            };
            self.fates.push(fate);
            match refused {
                _ if exited => self.tell(index, &Outcome::AlreadyGone),
                Some(reason) => self.tell(index, &Outcome::Failed(&reason)),
                None => {}
            }
        }
    }

    fn miss(&mut self, miss: &Miss) {
        let subject = Subject { typed: &miss.typed, pid: miss.pid, inode: None, name: None };
        if self.plan.waits() && miss.reason.is_gone() {
            self.tally.signalled += 1;
            self.report.tell(&subject, &Outcome::AlreadyGone);
        } else {
            self.tally.failed += 1;
            self.report.tell(&subject, &Outcome::Failed(&miss.reason));
        }
    }

    /// Carries out the plan. An error on the way ends it, and is told; what was signalled before counts all the same.
    pub fn run(mut self) -> Tally {
        match self.carry_out() {
            Ok(()) => self.count(),
            Err(error) => {
                self.report.fail(&error);
                let others = self.fates.len().saturating_sub(self.reached) + self.tally.failed;
                Tally { signalled: self.reached + self.tally.signalled, failed: others.max(1), ..Tally::default() }
            }
        }
    }

    /// Takes all steps and waits as long as the plan says.
    fn carry_out(&mut self) -> Result<()> {
        let plan = self.plan;
        self.began = Instant::now();
        let mut last = self.began;
        for (number, step) in plan.steps.iter().enumerate() {
            let next = step.signals.first().copied();
            if number > 0 && !self.someone_stays(Some(last + step.after), next)? {
                return Ok(());
            }
            for (position, signal) in step.signals.iter().enumerate() {
                let occasion = match (number, position) {
                    (0, 0) => Occasion::First,
                    (0, _) => Occasion::Companion,
                    _ => Occasion::FollowUp,
                };
                self.deliver(*signal, occasion)?;
            }
            last = Instant::now();
        }
        let deadline = match plan.until {
            Until::Sent => return Ok(()),
            Until::Gone => None,
            Until::Within(duration) => Some(last + duration),
        };
        if self.someone_stays(deadline, None)? {
            self.tell_survivors();
        }
        Ok(())
    }

    fn tell_survivors(&mut self) {
        self.report.progress.clear();
        let after = self.began.elapsed();
        for index in 0..self.roster.len() {
            if self.fates[index] == Fate::Present {
                self.tell(index, &Outcome::StillThere { after });
            }
        }
    }

    fn tell_spared(&mut self, spared: &[Pid]) {
        for pid in spared {
            let name = proc::name(*pid).ok();
            let typed = pid.to_string();
            let subject = Subject { typed: &typed, pid: Some(*pid), inode: None, name: name.as_deref() };
            self.report.tell(&subject, &Outcome::Skipped);
        }
    }

    fn tell(&mut self, index: usize, outcome: &Outcome) {
        if matches!(outcome, Outcome::StillThere { .. }) {
            self.roster[index].learn_name();
        }
        self.report.tell(&Subject::from(&self.roster[index]), outcome);
    }

    fn count(&self) -> Tally {
        let mut tally = self.tally;
        for fate in &self.fates {
            match fate {
                Fate::Present if self.plan.waits() => tally.left += 1,
                Fate::Present | Fate::Gone => tally.signalled += 1,
                Fate::Failed => tally.failed += 1,
            }
        }
        tally
    }
}
