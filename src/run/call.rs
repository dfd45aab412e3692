//! A call in progress: the result for each recipient so far, reported when it happens and counted
//! at the end.

use std::time::Instant;

use anyhow::Error;
use nix::errno::Errno;

use crate::find::prepare::{Found, Miss};
use crate::find::recipients::Standing;
use crate::os::exit::endings;
use crate::os::express;
use crate::outcome::{Ending, Outcome, Reason, Subject, Tally};
use crate::output::report::Report;
use crate::plan::{Labels, Plan};
use crate::run::route::{Receipt, refusal};
use crate::signal::Signal;

/// Whether a signal is sent for the first time or to processes that are still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    First,
    /// Directly after the first signal.
    Companion,
    FollowUp,
}

/// A call in progress.
pub struct Call<'a, 'r> {
    pub plan: &'a Plan,
    pub report: &'a mut Report<'r>,
    pub found: Found<'a>,
    /// Targets that are no recipients.
    pub tally: Tally,
    /// When the first signal was sent.
    pub began: Instant,
    has_failed_tree: bool,
}

impl<'a, 'r> Call<'a, 'r> {
    /// Takes over what was found, and reports targets that were not found or get no signal.
    pub fn new(plan: &'a Plan, found: Found<'a>, report: &'a mut Report<'r>) -> Self {
        let mut call = Self {
            plan,
            report,
            found,
            tally: Tally::default(),
            began: Instant::now(),
            has_failed_tree: false,
        };
        for recipient in call
            .found
            .recipients
            .iter_mut()
            .take(express::progress().done)
        {
            recipient.signalled = true;
        }
        call.tell_standings(0);
        for miss in std::mem::take(&mut call.found.misses) {
            call.tell_miss(&miss);
        }
        for error in std::mem::take(&mut call.found.errors) {
            call.fail(&error);
        }
        call
    }

    /// Classifies the recipients from an index on, and reports those that get no signal.
    pub fn classify(&mut self, from: usize) {
        self.found.rules.classify(&mut self.found.recipients, from);
        self.tell_standings(from);
    }

    /// Reports why recipients from an index on get no signal.
    pub fn tell_standings(&mut self, from: usize) {
        for index in from..self.found.recipients.len() {
            self.tell_standing(index);
        }
    }

    /// Reports why a recipient gets no signal, if it gets none.
    pub fn tell_standing(&mut self, index: usize) {
        let recipient = &self.found.recipients[index];
        let outcome = match &recipient.standing {
            Standing::Present => return,
            Standing::Gone => Outcome::AlreadyGone,
            Standing::Refused(reason) => Outcome::Failed(reason),
            Standing::Skipped => Outcome::Skipped,
        };
        self.report.tell(&Subject::from(recipient), &outcome);
    }

    fn tell_miss(&mut self, miss: &Miss) {
        let subject = Subject {
            typed: &miss.typed,
            pid: miss.pid,
            inode: None,
            name: None,
        };
        self.tell_failure(&subject, &miss.reason);
    }

    /// Reports and counts a target that nothing is sent to. If the call waits, a target that is
    /// gone is success.
    pub fn tell_failure(&mut self, subject: &Subject, reason: &Reason) {
        if self.plan.waits() && reason.is_gone() {
            self.tally.settled += 1;
            self.report.tell(subject, &Outcome::AlreadyGone);
        } else {
            self.tally.failed += reason.count();
            self.report.tell(subject, &Outcome::Failed(reason));
        }
    }

    /// Reports an error that concerns part of the call only; the call continues.
    pub fn fail(&mut self, error: &Error) {
        self.tally.failed += 1;
        self.report.fail(error);
    }

    /// Reports an error about the descendants of a tree. One is enough: with too few descriptors
    /// each look fails.
    pub fn fail_tree(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.has_failed_tree, true) {
            self.fail(error);
        }
    }

    pub fn tell(&mut self, index: usize, outcome: &Outcome) {
        if matches!(outcome, Outcome::StillThere { .. }) {
            self.found.recipients[index].learn_name();
        }
        self.report
            .tell(&Subject::from(&self.found.recipients[index]), outcome);
    }

    /// The indices of the recipients that are present, in order of admission.
    pub fn present(&self) -> Vec<usize> {
        let recipients = self.found.recipients.iter().enumerate();
        recipients
            .filter(|(_, recipient)| recipient.is_present())
            .map(|(index, _)| index)
            .collect()
    }

    /// Reports and records the result of one signal to one recipient.
    pub fn record(
        &mut self,
        index: usize,
        signal: Signal,
        result: nix::Result<Receipt>,
        occasion: Occasion,
    ) {
        let waits = self.plan.waits();
        let elapsed = self.began.elapsed();
        let recipient = &mut self.found.recipients[index];
        match result {
            Ok(receipt) => {
                recipient.signalled |= occasion == Occasion::First;
                self.tell(
                    index,
                    &receipt.outcome((occasion == Occasion::FollowUp).then_some(elapsed)),
                );
            }
            // Waiting needs no permission.
            Err(Errno::EPERM) if signal.is_null() && waits => {}
            Err(Errno::ESRCH) if occasion != Occasion::First => self.record_exits(&[index]),
            Err(Errno::ESRCH)
                if waits || recipient.parent.is_some() || recipient.group.is_some() =>
            {
                recipient.standing = Standing::Gone;
                self.tell(index, &Outcome::AlreadyGone);
            }
            Err(errno) => {
                let reason = refusal(errno, Some(recipient.pid()));
                self.report
                    .tell(&Subject::from(&*recipient), &Outcome::Failed(&reason));
                // A process that refuses a companion got the signal that this one was to go with,
                // so its end is waited for all the same.
                if occasion != Occasion::Companion {
                    recipient.standing = Standing::Refused(reason);
                }
            }
        }
    }

    /// Reports the processes that have exited, and how if output shows it.
    pub fn record_exits(&mut self, exited: &[usize]) {
        let exited: Vec<usize> = exited
            .iter()
            .copied()
            .filter(|index| self.found.recipients[*index].is_present())
            .collect();
        let after = self.began.elapsed();
        let endings = match self.report.voice.labels() {
            Labels::Wanted => endings(
                exited
                    .iter()
                    .map(|index| &self.found.recipients[*index].process),
            ),
            Labels::Unwanted => vec![Ending::Unknown; exited.len()],
        };
        for (index, ending) in exited.into_iter().zip(endings) {
            self.found.recipients[index].standing = Standing::Gone;
            self.tell(index, &Outcome::Gone { ending, after });
            // Closing thousands of pidfds after the last exit would take longer than all that is
            // left to do.
            if self.found.is_complete() {
                self.found.recipients[index].process.release();
            }
        }
    }

    /// Checks each recipient that is present: at a deadline it counts which process is there, not
    /// which exit was reported.
    pub fn record_all_exits(&mut self) {
        let has_exited = |index: &usize| {
            !self.found.recipients[*index]
                .process
                .is_running()
                .unwrap_or(true)
        };
        let exited: Vec<usize> = self.present().into_iter().filter(has_exited).collect();
        self.record_exits(&exited);
    }

    pub fn tally(&self) -> Tally {
        let mut tally = self.tally;
        for recipient in self.found.recipients.iter() {
            tally.signalled += usize::from(recipient.signalled);
            match &recipient.standing {
                Standing::Present => tally.left += usize::from(self.plan.waits()),
                Standing::Gone => tally.settled += usize::from(!recipient.signalled),
                Standing::Refused(_) | Standing::Skipped => tally.failed += 1,
            }
        }
        tally
    }

    /// The count after an error that ended the call: those whose end was to be waited for are not
    /// known to be there or gone.
    pub fn tally_of_broken(&self) -> Tally {
        let tally = self.tally();
        let unsent = self
            .found
            .recipients
            .iter()
            .filter(|recipient| recipient.is_present() && !recipient.signalled);
        let failed = tally.failed + unsent.count();
        Tally {
            failed: failed.max(1),
            left: 0,
            ..tally
        }
    }
}
