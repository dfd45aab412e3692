//! A call in progress: the result for each recipient so far, reported when it happens and counted
//! at the end.

use std::mem;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use nix::errno::Errno;

use crate::event::{Ending, Outcome, Reason, Subject, Tally};
use crate::find::recipients::{RecipientId, SourceId, Standing};
use crate::find::select::Found;
use crate::find::source::Source;
use crate::output::progress::Pending;
use crate::output::report::Report;
use crate::output::text::described;
use crate::plan::{Labels, Mode, Plan};
use crate::run::preview::{obstacle, preview};
use crate::run::sender::{Answer, Occasion, Sent, Step, is_forbidden, refusal, send_to};
use crate::run::watch::Watch;
use crate::signal::Signal;
use crate::target::Pid;

/// How long a parent may take to reap a child whose ending is not known before.
const REAPING: Duration = Duration::from_millis(100);

pub struct Call<'a, 'r> {
    pub plan: &'a Plan,
    pub report: &'a mut Report<'r>,
    pub found: Found<'a>,
    /// Targets that are no recipients.
    pub tally: Tally,
    /// When the first signal was sent.
    pub began: Instant,
    /// How long after the first signal this step of a rehearsal would come.
    pub rehearsed: Duration,
    /// Sources of which a look has failed.
    blind: Vec<SourceId>,
    exited: Vec<Exited>,
}

/// An exited process whose ending is not known yet.
struct Exited {
    id: RecipientId,
    /// When it exited, since the first signal.
    after: Duration,
    until: Instant,
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
            rehearsed: Duration::ZERO,
            blind: Vec::new(),
            exited: Vec::new(),
        };
        if !plan.is_plain() {
            // Some that have got the signal may be gone, so that they are no recipients.
            let recipients = &mut call.found.recipients;
            call.tally.signalled = plan.begun.done.saturating_sub(recipients.len());
            for id in recipients.ids().take(plan.begun.done) {
                recipients[id].signalled = true;
            }
        }
        call.report_skipped(0);
        call.report_misses();
        for error in mem::take(&mut call.found.errors) {
            call.fail(&error);
        }
        call
    }

    /// Reports why recipients that were admitted when there were `known` get no signal.
    pub fn report_skipped(&mut self, known: usize) {
        for id in self.found.recipients.ids_from(known) {
            let recipient = &self.found.recipients[id];
            let outcome = match &recipient.standing {
                Standing::Present => continue,
                // One that a later look finds dead was not there at the start.
                Standing::Gone if known > 0 => continue,
                Standing::Gone => Outcome::AlreadyGone(None),
                Standing::Refused(reason) => Outcome::Failed(reason),
                Standing::Skipped => Outcome::Skipped,
            };
            self.report.tell(&Subject::from(recipient), &outcome);
        }
    }

    /// Reports and counts targets that nothing is sent to.
    pub fn report_misses(&mut self) {
        for miss in mem::take(&mut self.found.misses) {
            self.report_failure(&Subject::from(&miss), &miss.reason);
        }
    }

    /// Reports and counts a target that nothing is sent to. If the call waits, a target that is
    /// gone is success.
    pub fn report_failure(&mut self, subject: &Subject, reason: &Reason) {
        let facts = reason.facts();
        if self.plan.waits() && reason.is_gone() {
            self.tally.settled += 1;
            let is_told = matches!(
                reason,
                Reason::Nobody(_) | Reason::NotListening { .. } | Reason::ControlGroup(_)
            );
            let reason = is_told.then_some(reason);
            self.report.tell(subject, &Outcome::AlreadyGone(reason));
        } else {
            self.tally.failed += facts.count;
            self.report.tell(subject, &Outcome::Failed(reason));
        }
    }

    /// Reports an error that does not end the call.
    pub fn fail(&mut self, error: &Error) {
        self.tally.failed += 1;
        self.report.fail(error);
    }

    /// The same about one source. One error is enough: with too few descriptors each look fails.
    pub fn fail_source(&mut self, source: SourceId, error: &Error) {
        if !self.blind.contains(&source) {
            self.blind.push(source);
            self.fail(error);
        }
    }

    pub fn tell(&mut self, id: RecipientId, outcome: &Outcome) {
        let subject = Subject::from(&self.found.recipients[id]);
        self.report.tell(&subject, outcome);
    }

    /// Admits new members of a source, and sends them these signals as soon as each is found.
    /// Whether there was one that is present.
    pub fn look(&mut self, source: SourceId, steps: &[Step]) -> Result<bool> {
        let known = self.found.recipients.len();
        let plan = self.plan;
        let mut answers = Vec::new();
        let recipients = &mut self.found.recipients;
        let looked = self.found.sources[source.0].look(recipients, |recipient, id| {
            for step in steps.iter().filter(|_| recipient.is_present()) {
                answers.push(send_to(plan, id, recipient, *step));
            }
        });
        self.report_skipped(known);
        self.record_all(&answers);
        looked.map(|()| !answers.is_empty())
    }

    /// Sends a signal to one recipient, if it is present and has not had it.
    pub fn send(&mut self, id: RecipientId, step: Step) {
        let recipient = &self.found.recipients[id];
        let is_done = step.is_first() && recipient.signalled;
        if recipient.is_present() && !is_done {
            let answer = send_to(self.plan, id, recipient, step);
            self.record(&answer);
        }
    }

    /// The event that a signal was sent, or would be.
    pub fn sent(&self, sent: Sent, step: Step, pid: Option<Pid>) -> Outcome<'static> {
        match sent {
            Sent::Receipt(receipt) => Outcome::Sent {
                signal: step.signal,
                value: self.plan.value.filter(|_| pid.is_some()),
                after: (step.occasion == Occasion::FollowUp)
                    .then(|| receipt.at().saturating_duration_since(self.began)),
            },
            Sent::Rehearsed => Outcome::WouldSend {
                signal: step.signal,
                after: (step.occasion == Occasion::FollowUp).then_some(self.rehearsed),
                preview: pid.map(|pid| Box::new(preview(self.plan, pid, step))),
            },
        }
    }

    pub fn record_all(&mut self, answers: &[Answer]) {
        for answer in answers {
            self.record(answer);
        }
    }

    /// Reports and records the result of one signal to one recipient.
    fn record(&mut self, answer: &Answer) {
        let Answer { id, step, sent } = *answer;
        let waits = self.plan.waits();
        let recipient = &mut self.found.recipients[id];
        match sent {
            // The preview of the first signal has what would be sent later.
            Ok(Sent::Rehearsed) if !step.is_first() && recipient.signalled => {}
            Ok(sent) => {
                recipient.signalled = true;
                let pid = recipient.pid();
                self.tell(id, &self.sent(sent, step, Some(pid)));
            }
            // Waiting needs no permission, so EPERM is no failure here.
            Err(errno) if is_forbidden(errno) && step.signal.is_null() && waits => {}
            Err(Errno::ESRCH) if !step.is_first() => {
                recipient.standing = Standing::Gone;
                let ending = recipient.process.ending();
                let after = self.began.elapsed();
                self.report_gone(id, ending.unwrap_or(Ending::Unknown), after);
            }
            Err(Errno::ESRCH) if waits || !recipient.is_target => {
                recipient.standing = Standing::Gone;
                self.tell(id, &Outcome::AlreadyGone(None));
            }
            Err(errno) => {
                let reason = refusal(errno, Some(recipient.pid()));
                let subject = Subject::from(&*recipient);
                self.report.tell(&subject, &Outcome::Failed(&reason));
                // A process that refuses a companion got the signal that this one was to go with,
                // so its end is waited for all the same.
                if step.occasion != Occasion::Companion {
                    recipient.standing = Standing::Refused(reason);
                }
            }
        }
    }

    /// Notes that a recipient has exited. How it ended is reported at once if that can be told or
    /// is not shown, else when its parent has reaped it.
    pub fn note_exit(&mut self, id: RecipientId, watch: Option<&Watch>) -> Result<()> {
        let labels = self.found.recipients.rules.labels;
        let recipient = &mut self.found.recipients[id];
        if !recipient.is_present() {
            return Ok(());
        }
        recipient.standing = Standing::Gone;
        let after = self.began.elapsed();
        let known = match labels {
            Labels::Wanted => recipient.process.ending(),
            Labels::Unwanted => Some(Ending::Unknown),
        };
        if let Some(ending) = known {
            self.report_gone(id, ending, after);
        } else {
            if let Some(watch) = watch {
                watch.await_reaping(id, &recipient.process)?;
            }
            let until = Instant::now() + REAPING;
            self.exited.push(Exited { id, after, until });
        }
        Ok(())
    }

    /// Reports the endings that are known by now, or whose time is over.
    pub fn report_endings(&mut self) {
        let now = Instant::now();
        for exited in mem::take(&mut self.exited) {
            let known = self.found.recipients[exited.id].process.ending();
            if known.is_none() && now < exited.until {
                self.exited.push(exited);
            } else {
                let ending = known.unwrap_or(Ending::Unknown);
                self.report_gone(exited.id, ending, exited.after);
            }
        }
    }

    /// When the time of the first ending is over; `None` if all are reported.
    pub fn next_ending(&self) -> Option<Instant> {
        self.exited.iter().map(|exited| exited.until).min()
    }

    /// Reports the end of a process.
    fn report_gone(&mut self, id: RecipientId, ending: Ending, after: Duration) {
        self.tell(id, &Outcome::Gone { ending, after });
        // Closing thousands of pidfds after the last exit would take longer than all that is left
        // to do.
        if self.found.is_complete() {
            self.found.recipients[id].process.release();
        }
    }

    /// Reports the processes that are still there, and what keeps them from acting on the last
    /// signal; or the control groups, if none of their members has a PID here.
    pub fn report_survivors(&mut self, last: Signal) {
        let after = self.began.elapsed();
        let present: Vec<RecipientId> = self.found.recipients.present().collect();
        for id in &present {
            let recipient = &mut self.found.recipients[*id];
            recipient.learn_name();
            let state = obstacle(recipient.pid(), last);
            self.tell(*id, &Outcome::StillThere { after, state });
        }
        let recipients = &self.found.recipients;
        let groups = self.found.sources.iter().filter_map(Source::control);
        for group in groups.filter(|group| present.is_empty() && group.is_awaited(recipients)) {
            self.tally.left += group.unseen.max(1);
            let outcome = Outcome::StillThere { after, state: None };
            self.report.tell(&Subject::target(&group.typed), &outcome);
        }
    }

    /// Draws the line of progress. `due` is the next signal, or the end of the wait.
    pub fn draw_progress(&mut self, due: Option<(Instant, Option<Signal>)>) {
        let recipients = &mut self.found.recipients;
        let left = recipients.present().count();
        let Some(example) = recipients.present().next() else {
            return;
        };
        recipients[example].learn_name();
        let until = |at: Instant| at.saturating_duration_since(Instant::now());
        self.report.draw(&Pending {
            left,
            example: &described(&Subject::from(&recipients[example])),
            waited: self.began.elapsed(),
            due: due.map(|(at, signal)| (until(at), signal)),
        });
    }

    /// The count. After an error that ended the call it is not known of recipients that were waited
    /// for whether they are gone.
    pub fn tally(&self, ended: &Result<()>) -> Tally {
        let mut tally = self.tally;
        let waits = self.plan.waits();
        let is_left = waits && self.plan.mode == Mode::Send;
        // A rehearsal expects those that are waited for to be gone in time.
        let is_settled = waits && self.plan.mode == Mode::Rehearse;
        for recipient in self.found.recipients.iter() {
            tally.signalled += usize::from(recipient.signalled);
            match &recipient.standing {
                Standing::Present if ended.is_err() => {
                    tally.failed += usize::from(!recipient.signalled);
                }
                Standing::Present => {
                    tally.left += usize::from(is_left);
                    tally.settled += usize::from(is_settled && !recipient.signalled);
                }
                Standing::Gone => tally.settled += usize::from(!recipient.signalled),
                Standing::Refused(_) => tally.failed += 1,
                Standing::Skipped => {}
            }
        }
        if ended.is_err() {
            tally.failed = tally.failed.max(1);
            tally.left = 0;
        }
        tally
    }
}
