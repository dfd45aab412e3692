//! New members of a source get the signals of the step that is under way. A chase is a state of the
//! engine's loop: it sends, never waits, and says when it wants to look again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;

use crate::find::recipients::SourceId;
use crate::find::select::Found;
use crate::find::source::Source;
use crate::os::proc;
use crate::os::sys::HeldSignals;
use crate::run::call::{Answer, Call};
use crate::run::sender::{Occasion, Route};
use crate::signal::Signal;

/// How long new members are looked for after a signal: one that outlives it may fork for ever, and
/// what it forks then was never meant.
const CHASE: Duration = Duration::from_secs(1);

/// Between two looks at members that have yet to take the signal.
const PAUSE: Duration = Duration::from_micros(200);

/// A fork in flight when the signal came shows only when its parent takes the signal, so that one
/// look must find nobody new after all have taken it.
const QUIET_LOOKS: u32 = 2;

/// New members of one source are looked for.
pub struct Chase {
    pub source: SourceId,
    signals: Vec<Signal>,
    occasion: Occasion,
    quiet_looks: u32,
    next: Instant,
    until: Instant,
    /// The group is frozen, so that no member forks, and must be thawed.
    frozen: Option<HeldSignals>,
    is_over: bool,
}

impl Chase {
    /// Begins after the first of its signals was sent. A control group that has no cgroup.kill is
    /// frozen while its members are killed.
    pub fn new(call: &Call, source: SourceId, signal: Signal, occasion: Occasion) -> Result<Self> {
        let now = Instant::now();
        let mut chase = Self {
            source,
            signals: vec![signal],
            occasion,
            quiet_looks: 0,
            next: now,
            until: now + CHASE,
            frozen: None,
            is_over: false,
        };
        if signal == Signal::KILL
            && let Source::Control(control) = &call.found.sources[source.0]
        {
            let held = HeldSignals::hold().context("holding signals back")?;
            match control.freeze() {
                Ok(is_frozen_now) => chase.frozen = is_frozen_now.then_some(held),
                // Removed, for which it had to be empty.
                Err(Errno::ESRCH) => {}
                Err(errno) => return Err(errno).context("freezing the control group"),
            }
        }
        Ok(chase)
    }

    /// Another signal of the same step.
    pub fn add(&mut self, signal: Signal) {
        self.signals.push(signal);
    }

    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// When it wants to look again.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Looks once, and signals each new member as soon as it is found. An error ends the chase.
    pub fn look(&mut self, call: &mut Call) -> Result<()> {
        let known = call.found.recipients.len();
        let (sender, value) = (call.sender, call.plan.value);
        let Found {
            rules,
            recipients,
            sources,
            ..
        } = &mut call.found;
        let mut answers: Vec<Answer> = Vec::new();
        let looked = sources[self.source.0].look(rules, recipients, &mut |recipients, id| {
            let recipient = &recipients[id];
            for signal in self.signals.iter().filter(|_| recipient.is_present()) {
                let answer = sender.send(Route::Process(&recipient.process), *signal, value);
                answers.push(Answer::new(id, *signal, answer));
            }
        });
        let is_new = !answers.is_empty();
        call.report_skipped(known);
        for answer in answers {
            let is_first = self.signals.first() == Some(&answer.signal());
            let occasion = if is_first {
                self.occasion
            } else {
                Occasion::Companion
            };
            call.record(&answer, occasion);
        }
        call.found.miss_unread();
        call.report_misses();
        let is_pending = looked.and_then(|()| self.is_pending(call));
        let now = Instant::now();
        let is_pending = match is_pending {
            Ok(is_pending) => is_pending,
            Err(error) => {
                self.end(call)?;
                return Err(error);
            }
        };
        self.quiet_looks = if is_new || is_pending {
            0
        } else {
            self.quiet_looks + 1
        };
        self.next = if is_pending && !is_new {
            now + PAUSE
        } else {
            now
        };
        if self.quiet_looks >= QUIET_LOOKS || now >= self.until {
            self.end(call)?;
        }
        Ok(())
    }

    /// Whether a member is yet to take one of the signals: it is pending, not blocked, and the
    /// process is not stopped.
    fn is_pending(&self, call: &Call) -> Result<bool> {
        if let Source::Control(control) = &call.found.sources[self.source.0] {
            let is_frozen = control.is_frozen();
            if is_frozen || self.frozen.is_some() {
                // No member of a frozen group takes a signal, or forks.
                return Ok(!is_frozen);
            }
        }
        for id in call.found.recipients.present() {
            let recipient = &call.found.recipients[id];
            let is_member = match &call.found.sources[self.source.0] {
                Source::Trees(_) => true,
                Source::Group(_) | Source::Control(_) => recipient.group() == Some(self.source),
            };
            for signal in self.signals.iter().filter(|_| is_member) {
                let takes = proc::is_taking(recipient.pid(), *signal);
                if takes.context("looking at pending signals")? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Ends it, and thaws what it froze.
    pub fn end(&mut self, call: &Call) -> Result<()> {
        self.is_over = true;
        if let Some(_held) = self.frozen.take()
            && let Source::Control(control) = &call.found.sources[self.source.0]
        {
            match control.thaw() {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(errno).context("thawing the control group"),
            }
        }
        Ok(())
    }
}
