//! A plan that needs pinned recipients under way: first signal, wait, follow-ups, wait; every fate is kept and counted at the end.

mod vigil;

use std::time::{Duration, Instant};

use anyhow::Result;
use nix::errno::Errno;
use nix::unistd::getpgrp;

use crate::argv::Mistake;
use crate::deliver::{self, Delivery};
use crate::group::Group;
use crate::outcome::{Outcome, Subject, Tally};
use crate::pin::Life;
use crate::proc;
use crate::report::Report;
use crate::resolve::{Miss, Reach, Reason, resolve};
use crate::roster::{Labels, Roster};
use crate::send::{Plan, Until, send_by_number};
use crate::signal::Signal;
use crate::sys::Scope;
use crate::target::{Pid, Target};
use crate::tree::Lineage;
use crate::wait::{Ending, Watch, endings};

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
    /// Targets that were no process of the roster.
    tally: Tally,
    began: Instant,
}

impl<'a, 'r> Campaign<'a, 'r> {
    /// Looks everybody up and pins them; nothing is sent yet.
    pub fn prepare(plan: &'a Plan, report: &'a mut Report<'r>) -> Result<Self> {
        let own_group = Target::Group(Pid::try_from(getpgrp().as_raw()).unwrap_or(Pid::INIT));
        let pins_groups = !plan.is_single();
        if pins_groups && plan.selection.targets.contains(&own_group) {
            let mistake =
                Mistake::usage(format!("'{own_group}' is sigsend's own process group, which it cannot wait for"));
            return Err(mistake.into());
        }
        let labels = report.labels();
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
        campaign.greet();
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
            self.report.tell(&Subject::from(&root), &Outcome::Missed(&Reason::Spared));
        }
        let growth = lineage.grow(&mut self.roster)?;
        self.lineage = Some(lineage);
        self.tell_spared(&growth.spared);
        Ok(())
    }

    /// Whoever is gone before the first signal is gone as wished, where that was the wish.
    fn greet(&mut self) {
        for recipient in self.roster.iter() {
            let exited = self.plan.waits() && recipient.process.life().is_ok_and(|life| life != Life::Running);
            if exited {
                self.report.tell(&Subject::from(recipient), &Outcome::AlreadyGone);
            }
            self.fates.push(if exited { Fate::Gone } else { Fate::Present });
        }
    }

    fn miss(&mut self, miss: &Miss) {
        let subject = Subject { typed: &miss.typed, pid: miss.pid, inode: None, name: None };
        if self.plan.waits() && miss.reason.is_gone() {
            self.tally.done += 1;
            self.report.tell(&subject, &Outcome::AlreadyGone);
        } else {
            self.tally.failed += 1;
            self.report.tell(&subject, &Outcome::Missed(&miss.reason));
        }
    }

    /// Carries out all steps and waits as long as the plan says.
    pub fn run(mut self) -> Result<Tally> {
        let plan = self.plan;
        self.began = Instant::now();
        let mut last = self.began;
        for (number, step) in plan.steps.iter().enumerate() {
            let next = step.signals.first().copied();
            if number > 0 && !self.someone_stays(Some(last + step.after), next)? {
                return Ok(self.count());
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
            Until::Sent => return Ok(self.count()),
            Until::Gone => None,
            Until::Within(duration) => Some(last + duration),
        };
        if self.someone_stays(deadline, None)? {
            self.tell_survivors();
        }
        Ok(self.count())
    }

    /// Sends one signal to all who are present: trees from the root down and KILL from the leaves up, groups as a whole, others singly.
    fn deliver(&mut self, signal: Signal, occasion: Occasion) -> Result<()> {
        match self.lineage.take() {
            Some(lineage) => {
                let done = self.deliver_to_trees(&lineage, signal, occasion);
                self.lineage = Some(lineage);
                return done;
            }
            None => self.deliver_singly(0, signal, occasion),
        }
        for index in 0..self.groups.len() {
            self.deliver_to_group(index, signal, occasion)?;
        }
        if self.plan.is_single() {
            for target in self.plan.selection.targets.iter().filter(|target| target.is_many()) {
                send_by_number(target, signal, self.plan.value, self.report, &mut self.tally);
            }
        }
        Ok(())
    }

    /// Sends to each recipient from this index on that no group takes care of.
    fn deliver_singly(&mut self, from: usize, signal: Signal, occasion: Occasion) {
        for index in from..self.roster.len() {
            if self.roster[index].group.is_none() {
                self.deliver_to(index, signal, occasion);
            }
        }
    }

    fn deliver_to(&mut self, index: usize, signal: Signal, occasion: Occasion) {
        if self.fates[index] == Fate::Present {
            let fd = self.roster[index].process.fd();
            let delivery = deliver::by_pidfd(fd, signal, self.plan.value, Scope::Process);
            self.settle(index, signal, delivery, occasion);
        }
    }

    fn deliver_to_trees(&mut self, lineage: &Lineage, signal: Signal, occasion: Occasion) -> Result<()> {
        if signal == Signal::KILL {
            let killed = lineage.kill(&mut self.roster)?;
            self.fates.resize(self.roster.len(), Fate::Present);
            for (index, delivery) in killed.deliveries {
                if self.fates[index] == Fate::Present {
                    self.settle(index, signal, delivery, occasion);
                }
            }
            for index in killed.unstopped {
                self.report.tell(&Subject::from(&self.roster[index]), &Outcome::Unstopped);
            }
            self.tell_spared(&killed.spared);
            return Ok(());
        }
        for index in self.roster.root_first() {
            self.deliver_to(index, signal, occasion);
        }
        // Whoever was forked before its parent was signalled is found now, and whoever that one forked, until nobody new appears.
        loop {
            let growth = lineage.grow(&mut self.roster)?;
            self.fates.resize(self.roster.len(), Fate::Present);
            if growth.new.is_empty() {
                return Ok(());
            }
            for index in growth.new {
                self.deliver_to(index, signal, occasion);
            }
        }
    }

    /// Sends to a group as a whole where that is possible, and asks each known member whether it may be signalled; else to each member,
    /// until nobody new appears.
    fn deliver_to_group(&mut self, group: usize, signal: Signal, occasion: Occasion) -> Result<()> {
        let is_member = |campaign: &Self, index: usize| campaign.roster[index].group == Some(group);
        let as_a_whole = self.groups[group].signal(signal);
        for index in 0..self.roster.len() {
            if !is_member(self, index) || self.fates[index] != Fate::Present {
                continue;
            }
            if as_a_whole.is_none() {
                self.deliver_to(index, signal, occasion);
            } else {
                let probe = deliver::by_pidfd(self.roster[index].process.fd(), Signal::NULL, None, Scope::Process);
                // Whoever was reaped since then has got it.
                let reaped_since = probe == Delivery::Refused(Errno::ESRCH) && as_a_whole == Some(Delivery::Sent);
                self.settle(index, signal, if reaped_since { Delivery::Sent } else { probe }, occasion);
            }
        }
        loop {
            let new = self.reread(group)?;
            if new.is_empty() || as_a_whole.is_some() {
                return Ok(());
            }
            for index in new {
                self.deliver_to(index, signal, occasion);
            }
        }
    }

    fn reread(&mut self, group: usize) -> Result<Vec<usize>> {
        let new = self.groups[group].reread(&mut self.roster)?;
        self.fates.resize(self.roster.len(), Fate::Present);
        Ok(new)
    }

    /// Tells what came of one signal to one recipient and keeps its fate.
    fn settle(&mut self, index: usize, signal: Signal, delivery: Delivery, occasion: Occasion) {
        let waits = self.plan.waits();
        let is_root = self.roster[index].parent.is_none();
        let elapsed = self.began.elapsed();
        match delivery {
            Delivery::Sent => {
                let after = (occasion == Occasion::FollowUp).then_some(elapsed);
                self.tell(index, &Outcome::Sent { signal, value: self.plan.value, after });
            }
            // Whoever only waits needs no permission.
            Delivery::Refused(Errno::EPERM) if signal.is_null() && waits => {}
            Delivery::Refused(Errno::ESRCH) if occasion != Occasion::First => self.mark_gone(index, elapsed),
            Delivery::Refused(Errno::ESRCH) if waits || !is_root => {
                self.fates[index] = Fate::Gone;
                self.tell(index, &Outcome::AlreadyGone);
            }
            Delivery::Refused(errno) => {
                self.fates[index] = Fate::Failed;
                self.tell(index, &Outcome::Missed(&Reason::Refused(errno)));
            }
        }
    }

    fn mark_gone(&mut self, index: usize, after: Duration) {
        let ending = match self.report.labels() {
            Labels::Wanted => endings(std::iter::once(&self.roster[index].process)).into_iter().next(),
            Labels::Unwanted => None,
        };
        self.fates[index] = Fate::Gone;
        self.tell(index, &Outcome::Gone { ending: ending.unwrap_or(Ending::Unknown), after });
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
            self.report.tell(&subject, &Outcome::Spared);
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
                Fate::Present | Fate::Gone => tally.done += 1,
                Fate::Failed => tally.failed += 1,
            }
        }
        tally
    }
}
