//! The sending part of a campaign: who gets a signal by which way and in which order, and what came of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::{Campaign, Fate, Occasion};
use crate::find::prepare::not_caught;
use crate::find::tree::{Growth, Lineage, pause};
use crate::os::proc;
use crate::os::sys::Scope;
use crate::outcome::Outcome;
use crate::outcome::{Ending, Reason};
use crate::plan::Labels;
use crate::run::deliver::{self, Delivery};
use crate::run::send::send_by_number;
use crate::run::wait::endings;
use crate::signal::Signal;

/// How long newborn members are looked for: one that outlives the signal may fork for ever, and what it forks then was never meant.
const CHASE: Duration = Duration::from_secs(1);

impl Campaign<'_, '_> {
    /// Sends one signal to all who are present: trees from the root down and KILL from the leaves up, groups as a whole, others singly.
    pub(super) fn deliver(&mut self, signal: Signal, occasion: Occasion) -> Result<()> {
        if let Some(lineage) = self.lineage.clone() {
            return if signal == Signal::KILL {
                self.kill_trees(&lineage, occasion)
            } else {
                self.deliver_to_trees(&lineage, signal, occasion)
            };
        }
        self.deliver_singly(signal, occasion);
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

    /// Sends to each recipient that no group takes care of.
    fn deliver_singly(&mut self, signal: Signal, occasion: Occasion) {
        for index in 0..self.roster.len() {
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
        for index in self.roster.root_first() {
            self.deliver_to(index, signal, occasion);
        }
        // Whoever was forked before its parent was signalled is found now, and whoever that one forked, until nobody new appears. A fork
        // in flight when the signal came shows only when its parent takes the signal, so one pass must be quiet after all have.
        let end = Instant::now() + CHASE;
        let mut all_have_taken = false;
        while Instant::now() < end {
            let is_quiet = self.deliver_to_newborn(lineage, signal, occasion, end)? == 0;
            if is_quiet && all_have_taken {
                break;
            }
            all_have_taken = is_quiet && !self.somebody_has_yet_to_take(signal)?;
            if is_quiet && !all_have_taken {
                pause();
            }
        }
        Ok(())
    }

    /// Looks once for children of each member, and sends to each as soon as it is found; how many there were.
    fn deliver_to_newborn(
        &mut self,
        lineage: &Lineage,
        signal: Signal,
        occasion: Occasion,
        end: Instant,
    ) -> Result<usize> {
        let known = self.roster.len();
        let mut parent = 0;
        while parent < self.roster.len() && Instant::now() < end {
            let found = self.roster.len();
            lineage.adopt(&mut self.roster, parent, None, &mut Growth::default())?;
            self.welcome();
            for index in found..self.roster.len() {
                self.deliver_to(index, signal, occasion);
            }
            parent += 1;
        }
        Ok(self.roster.len() - known)
    }

    /// Whether the signal is still on its way to somebody who will take it: pending, not blocked, and the process is not stopped.
    fn somebody_has_yet_to_take(&self, signal: Signal) -> Result<bool> {
        for (recipient, fate) in self.roster.iter().zip(&self.fates) {
            if *fate == Fate::Present
                && proc::is_taking(recipient.pid(), signal).context("looking at pending signals")?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// KILL, which no tree outruns. Nothing is told before it is done.
    fn kill_trees(&mut self, lineage: &Lineage, occasion: Occasion) -> Result<()> {
        let (fates, selection) = (&self.fates, &self.plan.selection);
        let killed = lineage.kill(&mut self.roster, &|index, recipient| match fates.get(index) {
            Some(fate) => *fate == Fate::Failed,
            None => not_caught(selection, recipient.pid()).is_some(),
        })?;
        let known = self.fates.len();
        self.fates.resize(self.roster.len(), Fate::Present);
        for index in
            (known..self.roster.len()).filter(|index| !killed.deliveries.iter().any(|(killed, _)| killed == index))
        {
            self.fates[index] = Fate::Failed;
            if let Some(reason) = not_caught(&self.plan.selection, self.roster[index].pid()) {
                self.tell(index, &Outcome::Failed(&reason));
            }
        }
        for (index, delivery) in killed.deliveries {
            if self.fates[index] == Fate::Present {
                self.settle(index, Signal::KILL, delivery, occasion);
            }
        }
        for index in killed.unstopped {
            self.tell(index, &Outcome::Unstopped);
        }
        self.tell_spared(&killed.spared);
        Ok(())
    }

    /// Sends to a group as a whole where that is possible, and asks each known member whether it may be signalled; else to each member,
    /// until nobody new appears.
    fn deliver_to_group(&mut self, group: usize, signal: Signal, occasion: Occasion) -> Result<()> {
        let was_sent = self.groups[group].signal(signal) == Some(Delivery::Sent);
        for index in 0..self.roster.len() {
            if self.roster[index].group != Some(group) || self.fates[index] != Fate::Present {
                continue;
            }
            if was_sent {
                let probe = deliver::by_pidfd(self.roster[index].process.fd(), Signal::NULL, None, Scope::Process);
                // Whoever was reaped since then has got it; and CONT needs no other permission than to be of one session.
                let got_it = probe == Delivery::Refused(Errno::ESRCH) || signal == Signal::CONT;
                self.settle(index, signal, if got_it { Delivery::Sent } else { probe }, occasion);
            } else {
                self.deliver_to(index, signal, occasion);
            }
        }
        let chase = Instant::now();
        while chase.elapsed() < CHASE {
            let new = self.reread(group)?;
            if new.is_empty() || was_sent {
                break;
            }
            for index in new {
                self.deliver_to(index, signal, occasion);
            }
        }
        Ok(())
    }

    pub(super) fn reread(&mut self, group: usize) -> Result<Vec<usize>> {
        let new = self.groups[group].reread(&mut self.roster)?;
        self.welcome();
        Ok(new)
    }

    /// Tells what came of one signal to one recipient and keeps its fate.
    fn settle(&mut self, index: usize, signal: Signal, delivery: Delivery, occasion: Occasion) {
        let waits = self.plan.waits();
        let is_root = self.roster[index].parent.is_none();
        let elapsed = self.began.elapsed();
        match delivery {
            Delivery::Sent => {
                self.reached += usize::from(occasion == Occasion::First);
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
                // It got the signal that this one was to go with, so its end is waited for all the same.
                if occasion != Occasion::Companion {
                    self.fates[index] = Fate::Failed;
                }
                self.tell(index, &Outcome::Failed(&Reason::Refused(errno)));
            }
        }
    }

    fn mark_gone(&mut self, index: usize, after: Duration) {
        let ending = match self.report.voice.labels() {
            Labels::Wanted => endings(std::iter::once(&self.roster[index].process)).into_iter().next(),
            Labels::Unwanted => None,
        };
        self.fates[index] = Fate::Gone;
        self.tell(index, &Outcome::Gone { ending: ending.unwrap_or(Ending::Unknown), after });
    }
}
