//! The permitted outcomes for a process, and whether it is alive after a number of signals.

use super::{
    Aim, CONT, FAIL, GONE, HANG, KILL, LATE, OK, Origin, Outcome, PART, Predictor, SPARED, STOPS,
    UNSURE, is_fatal,
};

use crate::fuzz::line::Start;
use crate::fuzz::reading::{Mode, Target};
use crate::fuzz::roles::Habit;
use crate::fuzz::world::Victim;
use crate::support::prelude::*;

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
        self.line.hidden && self.is_opaque(victim)
    }

    /// Whether /proc hides processes from the caller.
    pub fn hides(&self) -> bool {
        self.line.hidden && self.line.user != 0
    }

    /// Whether the caller may not ptrace(2) the victim, and so not read what its executable is.
    pub fn is_opaque(&self, victim: &Victim) -> bool {
        self.is_foreign(victim) || self.line.user != 0 && victim.undumpable
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

    /// Whether only its number selects the victim: process 1, the harness, is an ancestor, too.
    pub fn is_spared(&self, index: usize) -> bool {
        self.world.victims[index].pid == 1 || self.is_ancestor(index)
    }

    /// Whether the victim is one of those that a description selects from.
    pub fn is_selected(&self, victim: &Victim) -> bool {
        let all = self.request.has("all") || self.request.mode == Mode::Alive;
        match self.request.user {
            Some(user) => victim.user == user && !self.is_hidden(victim),
            None => (all || victim.user == self.line.user) && !self.is_hidden(victim),
        }
    }

    /// Whether the victim fits `-f` and `--cwd`.
    pub fn is_described(&self, victim: &Victim) -> bool {
        let holds = |text: &Vec<u8>| {
            let mut windows = victim.command_line.windows(text.len());
            windows.any(|window| window == text)
        };
        let works_in = |directory: &Vec<u8>| {
            let directory = Path::new(OsStr::from_bytes(directory));
            self.world.directory.starts_with(directory)
        };
        !victim.is_zombie()
            && self.request.full.iter().all(holds)
            && self.request.cwd.iter().all(works_in)
    }

    /// Whether a victim that is named by its number is what the line says it is.
    pub fn is_fit(&self, victim: &Victim) -> bool {
        self.is_expected(victim)
            && (!self.request.narrows() || self.is_described(victim))
            && self.request.user.is_none_or(|user| victim.user == user)
    }

    /// The permitted outcomes for a process that a target stands for.
    pub fn outcome(&mut self, index: usize, aim: &Aim) -> Outcome {
        let victim = &self.world.victims[index];
        let is_verified = !self.request.expect.is_empty() || aim.dated;
        let is_plain = self.request.mode == Mode::Alive && !is_verified;
        let is_unseen = self.is_hidden(victim) && !is_plain;
        let hidden = if is_unseen { FAIL | UNSURE } else { 0 };
        // What it forks when the storm or the death of another continues it is named, and counts
        // as failed.
        let may_escape = victim.habit == Habit::Escapes
            && self.request.is_tree()
            && self.signals.contains(&KILL);
        let escaped = if may_escape { FAIL } else { 0 };
        match self.outcome_if_visible(index, aim) {
            FAIL => FAIL,
            SPARED => SPARED,
            outcome => outcome | hidden | escaped,
        }
    }

    /// The same if /proc hid no process.
    fn outcome_if_visible(&mut self, index: usize, aim: &Aim) -> Outcome {
        let victim = &self.world.victims[index];
        let request = self.request;
        let asks = !matches!(request.mode, Mode::Send | Mode::DryRun);
        let thread = matches!(aim.target, Target::Pid(n) if n == victim.thread);
        if request.is_tree() && victim.pid == 1 {
            self.loose = true;
            return FAIL | UNSURE;
        }
        if thread && (self.pinned || request.queue.is_some() || asks) {
            let is_checked = request.verifies() || request.has("require-handler");
            let must = self.waits || self.signals.len() > 1 || is_checked || request.is_tree();
            return if must && !asks {
                FAIL
            } else {
                OK | FAIL | UNSURE
            };
        }
        let is_meant = aim.origin == Origin::Below || self.is_fit(victim);
        if request.is_tree() && self.is_ancestor(index) && is_meant {
            return SPARED;
        }
        let catches = |&signal: &usize| signal > 0 && victim.caught & 1 << (signal - 1) != 0;
        if victim.habit == Habit::Init
            && (self.waits || self.signals.len() > 1)
            && !self.signals.iter().any(catches)
        {
            let must = self.waits && self.signals != [0];
            return if must {
                FAIL
            } else {
                OK | FAIL | self.end(index)
            };
        }
        if victim.is_zombie() {
            let is_unseen = aim.dated && self.is_hidden(victim);
            let unverified = aim.stale || request.verifies() || is_unseen;
            return match request.mode {
                Mode::Alive if unverified => FAIL | UNSURE,
                Mode::Alive => FAIL,
                _ if aim.stale || aim.origin != Origin::Below && !self.is_fit(victim) => {
                    GONE | FAIL
                }
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
        let is_opaque = self.is_opaque(victim) && request.verifies();
        if aim.origin != Origin::Below && !self.is_fit(victim) {
            return FAIL | UNSURE;
        }
        if asks {
            return if is_opaque { OK | FAIL | UNSURE } else { OK };
        }
        let first = self.signals[0];
        if request.has("require-handler") && victim.caught & 1 << (first - 1) == 0 {
            return FAIL;
        }
        let reachable = self.permitted(victim, first) || first == 0 && self.waits;
        if !reachable {
            return FAIL;
        }
        let checks = if is_opaque { FAIL } else { 0 };
        // CONT may be permitted within a session while a later signal is not.
        let is_refused = |&signal: &usize| !self.permitted(victim, signal);
        if first != 0 && self.signals.iter().any(is_refused) {
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
        let may_continue = !victim.stopped || is_stormy || signals.contains(&CONT);
        match victim.habit {
            Habit::Init => Life::Alive,
            _ if !self.permitted(victim, self.signals[0]) => Life::Alive,
            _ if signals.contains(&KILL) => Life::Gone,
            Habit::Dies if fatal && stopped && may_continue => Life::Unknown,
            Habit::Dies if fatal && !stopped => Life::Gone,
            // Its child may be stopped by a later STOP.
            Habit::Forks if signals.contains(&15) && self.signals.contains(&19) => Life::Unknown,
            Habit::Forks if signals.contains(&15) => Life::Gone,
            _ => Life::Alive,
        }
    }
}
