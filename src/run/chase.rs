//! New members of a source get the signals of the step that is under way. A chase is a state of the
//! engine's loop: it sends, never waits, and says when it wants to look again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;

use crate::find::recipients::{RecipientId, SourceId};
use crate::find::source::Source;
use crate::os::proc;
use crate::os::sys::HeldSignals;
use crate::run::call::Call;
use crate::run::sender::Step;

/// How long new members are looked for after a signal: a member that survives it may fork for ever,
/// and children that it forks later are no targets.
const CHASE: Duration = Duration::from_secs(1);

/// Between two looks while the signal is pending for a member.
const PAUSE: Duration = Duration::from_micros(200);

/// A fork in flight when the signal came shows only when its parent takes the signal, so that one
/// look must find nobody new after all have taken it.
const QUIET_LOOKS: u32 = 2;

/// The search for new members of one source.
pub struct Chase {
    pub source: SourceId,
    /// The signals that new members get.
    pub steps: Vec<Step>,
    quiet_looks: u32,
    /// When it wants to look again.
    pub next: Instant,
    until: Instant,
    /// The group is frozen, so that no member forks, and must be thawed.
    frozen: Option<HeldSignals>,
}

impl Chase {
    /// Begins after the first of its signals was sent. A control group that has no cgroup.kill is
    /// frozen while its members are killed.
    pub fn new(call: &Call, source: SourceId, step: Step) -> Result<Self> {
        let now = Instant::now();
        let mut chase = Self {
            source,
            steps: vec![step],
            quiet_looks: 0,
            next: now,
            until: now + CHASE,
            frozen: None,
        };
        if step.is_kill()
            && let Some(control) = call.found[source].control()
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

    /// Looks once if it is time, and signals each new member when it is found. Whether it is over;
    /// then, and after an error, it must be ended.
    pub fn look(&mut self, call: &mut Call) -> Result<bool> {
        if Instant::now() < self.next {
            return Ok(false);
        }
        let is_new = call.look(self.source, &self.steps)?;
        let is_pending = self.is_pending(call)?;
        let now = Instant::now();
        self.next = now;
        if is_new || is_pending {
            self.quiet_looks = 0;
        } else {
            self.quiet_looks += 1;
        }
        if is_pending && !is_new {
            self.next += PAUSE;
        }
        Ok(self.quiet_looks >= QUIET_LOOKS || now >= self.until)
    }

    /// Whether one of the signals is pending for a member that neither blocks it nor is stopped.
    fn is_pending(&self, call: &Call) -> Result<bool> {
        let source = &call.found[self.source];
        if let Some(control) = source.control() {
            let is_frozen = control.is_frozen();
            if is_frozen || self.frozen.is_some() {
                // No member of a frozen group takes a signal, or forks.
                return Ok(!is_frozen);
            }
        }
        let recipients = &call.found.recipients;
        let is_tree = matches!(source, Source::Trees);
        let is_member = |id: &RecipientId| is_tree || recipients[*id].group() == Some(self.source);
        for id in recipients.present().filter(is_member) {
            for step in &self.steps {
                let takes = proc::is_taking(recipients[id].pid(), step.signal);
                if takes.context("looking at pending signals")? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Thaws what it froze.
    pub fn end(self, call: &Call) -> Result<()> {
        if let Some(_held) = self.frozen
            && let Some(control) = call.found[self.source].control()
        {
            match control.thaw() {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(errno).context("thawing the control group"),
            }
        }
        Ok(())
    }
}
