//! The permitted outcomes for a process, and whether it is alive after a number of signals.

use super::{
    Aim, CONT, FAIL, GONE, HANG, KILL, LATE, OK, Outcome, PART, Predictor, STOPS, UNSURE, is_fatal,
};
use crate::fuzz::line::Start;
use crate::fuzz::reading::{Mode, Target};
use crate::fuzz::roles::Habit;
use crate::fuzz::world::Victim;

/// Whether a process is still alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Alive,
    Unknown,
    Gone,
}

impl Predictor<'_> {
    /// Whether the caller may send this signal to the victim.
    pub fn permitted(&self, victim: &Victim, signal: usize) -> bool {
        !self.is_foreign(victim)
            || signal == CONT && victim.session == self.world.victims[0].session
    }

    /// Whether /proc does not show the victim to the caller.
    pub fn is_hidden(&self, victim: &Victim) -> bool {
        self.line.hidden && self.is_foreign(victim)
    }

    /// Whether the caller is neither root nor the victim's user.
    pub fn is_foreign(&self, victim: &Victim) -> bool {
        self.line.user != 0 && victim.user != self.line.user
    }

    /// Whether sigsend runs below the victim.
    pub fn is_ancestor(&self, index: usize) -> bool {
        let launcher = self.world.launcher().0.pid;
        let is_or_has = |below: &usize| self.world.victims[*below].pid == launcher;
        self.line.start == Start::Shell
            && (is_or_has(&index) || self.descendants(index).iter().any(is_or_has))
    }

    /// The permitted outcomes for a process that a target stands for.
    pub fn outcome(&mut self, index: usize, aim: &Aim) -> Outcome {
        let victim = &self.world.victims[index];
        let plain_question = matches!(self.request.mode, Mode::Alive)
            && self.request.expect.is_empty()
            && !aim.dated;
        let hidden = if self.is_hidden(victim) && !plain_question {
            FAIL | UNSURE
        } else {
            0
        };
        match self.outcome_if_visible(index, aim) {
            FAIL => FAIL,
            outcome => outcome | hidden,
        }
    }

    /// The same if /proc hid no process.
    fn outcome_if_visible(&mut self, index: usize, aim: &Aim) -> Outcome {
        let victim = &self.world.victims[index];
        let request = self.request;
        let asks = !matches!(request.mode, Mode::Send | Mode::DryRun);
        let thread = matches!(aim.target, Target::Pid(n) if n == victim.thread);
        if request.has("tree") && victim.pid == 1 {
            self.loose = true;
            return FAIL | UNSURE;
        }
        if thread && (self.pinned || request.queue.is_some() || asks) {
            let must = self.waits
                || self.signals.len() > 1
                || !request.expect.is_empty()
                || request.has("require-handler")
                || request.has("tree");
            return if must && !asks {
                FAIL
            } else {
                OK | FAIL | UNSURE
            };
        }
        // sigsend and its ancestors are skipped.
        if request.has("tree") && !asks && self.is_ancestor(index) {
            return FAIL;
        }
        if victim.is_zombie() {
            let unverified = aim.stale || !request.expect.is_empty();
            return match request.mode {
                Mode::Alive if unverified => FAIL | UNSURE,
                Mode::Alive => FAIL,
                _ if aim.stale || !aim.below && !self.is_expected(victim) => GONE | FAIL,
                // Its command name is left.
                _ if unverified => OK | GONE | FAIL,
                _ if self.waits => GONE,
                // A zombie has no handlers.
                _ if request.has("require-handler") => FAIL,
                _ if self.pinned || asks || request.queue.is_some() => OK | GONE | FAIL,
                _ if self.permitted(victim, self.signals[0]) => OK,
                _ => FAIL,
            };
        }
        if aim.stale {
            return FAIL | UNSURE;
        }
        let foreign = self.is_foreign(victim);
        if !aim.below && !self.is_expected(victim) {
            return FAIL | UNSURE;
        }
        if asks {
            return if foreign && !request.expect.is_empty() {
                OK | FAIL | UNSURE
            } else {
                OK
            };
        }
        let first = self.signals[0];
        if request.has("require-handler") && victim.caught & 1 << (first - 1) == 0 {
            return FAIL;
        }
        let reachable = self.permitted(victim, first) || first == 0 && self.waits;
        if !reachable {
            return FAIL;
        }
        // The executable of another user's process cannot be read.
        let checks = if foreign && !request.expect.is_empty() {
            FAIL
        } else {
            0
        };
        // CONT may be permitted within a session while a later signal is not.
        if first != 0
            && self
                .signals
                .iter()
                .any(|&signal| !self.permitted(victim, signal))
        {
            return checks | PART;
        }
        checks | self.end(index)
    }

    /// Whether a victim has the name given with `--expect`, if any.
    pub fn is_expected(&self, victim: &Victim) -> bool {
        let is = |name: &Vec<u8>| {
            victim.name == *name || victim.title == *name || victim.program == *name
        };
        self.request.expect.is_empty() || self.request.expect.iter().any(is)
    }

    /// The outcome of waiting for a process.
    fn end(&self, index: usize) -> Outcome {
        if !self.waits {
            return OK;
        }
        let limit = self.request.within.or(self.request.grace);
        let stays = match limit {
            Some(_) if self.request.has("wait") => LATE | HANG,
            Some(_) => LATE,
            None => HANG,
        };
        match self.life(index, self.signals.len()) {
            _ if self.request.mode == Mode::DryRun => OK | stays,
            Life::Gone if limit.is_none_or(|limit| limit > 500) => OK,
            Life::Gone => OK | LATE,
            Life::Unknown => OK | stays,
            Life::Alive => stays,
        }
    }

    /// Whether a victim is alive after the first `count` signals.
    pub fn life(&self, index: usize, count: usize) -> Life {
        let victim = &self.world.victims[index];
        let signals = &self.signals[..count];
        let is_stormy = self.line.storm == Some(victim.family);
        let stopped = victim.stopped || signals.iter().any(|signal| STOPS.contains(signal));
        let fatal = signals.iter().any(|&signal| is_fatal(signal));
        match victim.habit {
            Habit::Init => Life::Alive,
            _ if !self.permitted(victim, self.signals[0]) => Life::Alive,
            _ if signals.contains(&KILL) => Life::Gone,
            Habit::Dies
                if fatal
                    && stopped
                    && (!victim.stopped || is_stormy || signals.contains(&CONT)) =>
            {
                Life::Unknown
            }
            Habit::Dies if fatal && !stopped => Life::Gone,
            // Its child may be stopped by a later STOP.
            Habit::Forks if signals.contains(&15) && self.signals.contains(&19) => Life::Unknown,
            Habit::Forks if signals.contains(&15) => Life::Gone,
            _ => Life::Alive,
        }
    }
}
