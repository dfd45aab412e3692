//! What a victim has received: read from the victim itself, from its pending signals, or from its
//! wait status.

use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;

use super::{Victim, field, zombie_status};

use crate::fuzz::roles::Habit;
use crate::fuzz::victim::{REAPED, RECEIPT, Receipt, SIGNALS, Slot};
use crate::support::prelude::*;

/// What a victim has received while a command line ran.
#[derive(Debug, Default)]
pub struct Observation {
    /// Indexed by signal. Standard signals that were blocked have merged.
    pub counts: Vec<u32>,
    pub receipts: Vec<Receipt>,
    /// The signal that ended it.
    pub killed: Option<i32>,
    pub exited: Option<i32>,
    pub stopped: bool,
    /// Signals are still pending.
    pub unanswered: bool,
    /// It is in another group than before, or has forked a process that is.
    pub moved: bool,
    /// Such a process, if it outlives this one.
    pub escaped: Option<i32>,
}

impl Observation {
    /// The number of signals known to have arrived.
    pub fn total(&self) -> u64 {
        let received = self.counts.iter().map(|&count| u64::from(count));
        received.sum::<u64>() + u64::from(self.killed.is_some())
    }

    pub fn is_dead(&self) -> bool {
        self.killed.is_some() || self.exited.is_some()
    }

    fn new() -> Self {
        let counts = vec![0; SIGNALS];
        Self {
            counts,
            ..Self::default()
        }
    }

    fn end(&mut self, status: ExitStatus) {
        (self.killed, self.exited) = (status.signal(), status.code());
        self.stopped = false;
    }

    fn take(&mut self, receipts: Vec<Receipt>) {
        // A positive code is set by the kernel (a child ended, a group was orphaned).
        for receipt in receipts.iter().filter(|receipt| receipt[1] <= 0) {
            self.counts[usize::try_from(receipt[0]).expect("a signal")] += 1;
        }
        self.receipts = receipts;
    }
}

impl Victim {
    /// Waits until the victim is at rest, so that every signal sent before has been delivered.
    pub fn observe(&self, slot: &Slot) -> Observation {
        let mut observation = Observation::new();
        if self.is_zombie() {
            return observation;
        }
        if self.habit == Habit::ReusesPid {
            return self.observe_reuser(slot);
        }
        let mut pending = 0;
        eventually(&self.describe(), || {
            let text = self.status();
            let mask = |label| u64::from_str_radix(field(&text, label)?, 16).ok();
            let [private, shared, blocked] =
                ["SigPnd", "ShdPnd", "SigBlk"].map(|label| mask(label).unwrap_or(0));
            pending = private | shared;
            match field(&text, "State").and_then(|state| state.chars().next()) {
                // Asleep and no unblocked signal pending: every signal sent so far was handled.
                Some('D') if self.habit == Habit::Vforks => true,
                Some('S') => pending & !blocked == 0,
                Some('T') => {
                    observation.stopped = true;
                    pending & 1 << 8 == 0
                }
                // Dead, or the second thread has exited and its status file cannot be read.
                Some('Z' | 'X') | None => Self::end_in(slot, &mut observation),
                _ => false,
            }
        });
        let has_moved = || stat_field(self.pid, 5) != self.group;
        let moves = matches!(self.habit, Habit::Moves(_)) && observation.killed.is_none();
        observation.moved = moves && has_moved();
        let forked = slot.forked.load(Ordering::Acquire);
        if self.habit == Habit::Escapes && forked != 0 {
            observation.moved = true;
            let outlives = observation.killed.is_some() && !"ZX".contains(state(forked));
            observation.escaped = outlives.then_some(forked);
        }
        let at_rest = !observation.is_dead() && !observation.stopped;
        if pending != 0 && at_rest && self.habit.reports() {
            observation.take(self.drain());
            return observation;
        }
        observation.unanswered = pending != 0;
        // The sender of pending signals is unknown; CHLD may come from the kernel.
        pending &= !(1 << 16);
        for (index, count) in observation.counts.iter_mut().enumerate().skip(1) {
            let is_pending = u32::from(pending >> (index - 1) & 1 == 1);
            *count = slot.counts[index].swap(0, Ordering::Relaxed) + is_pending;
        }
        observation
    }

    /// Its /proc/PID/status, or nothing once it is reaped. The open file stays that of the victim:
    /// by its PID it could be taken for a process that reuses the PID.
    fn status(&self) -> String {
        let mut text = [0; 4096];
        let read = self.status.as_ref();
        let read = read.and_then(|status| status.read_at(&mut text, 0).ok());
        String::from_utf8_lossy(&text[..read.unwrap_or(0)]).into_owned()
    }

    /// Whether it has not ended.
    pub fn runs(&self) -> bool {
        let text = self.status();
        field(&text, "State").is_some_and(|state| state.starts_with(['S', 'R', 'T', 'D']))
    }

    /// How the process has ended, if it has: another victim has reaped it or is about to, or is dead
    /// itself.
    fn end_in(slot: &Slot, observation: &mut Observation) -> bool {
        let stored = slot.status.load(Ordering::Acquire);
        let pid = slot.pid.load(Ordering::Acquire);
        let status = if stored != 0 {
            Some(stored & !REAPED)
        } else {
            zombie_status(pid)
        };
        status
            .inspect(|status| observation.end(ExitStatus::from_raw(*status)))
            .is_some()
    }

    /// What the process that reuses a PID has received, if it exists.
    fn observe_reuser(&self, slot: &Slot) -> Observation {
        let mut observation = Observation::new();
        let pid = slot.pid.load(Ordering::Acquire);
        if pid == 0 {
            return observation;
        }
        let mut line = self.line.as_ref().expect("it has a socket from the start");
        let is_ready = line.read_exact(&mut [0]).is_ok();
        eventually("the process that reuses a PID", || {
            if Self::end_in(slot, &mut observation) {
                return true;
            }
            observation.stopped = state(pid) == 'T';
            observation.stopped || state(pid) == 'S'
        });
        if is_ready && !observation.stopped && !observation.is_dead() {
            observation.take(self.drain());
        }
        // The leader is dead, so the family must be replaced.
        observation.moved = true;
        observation
    }

    /// Has the victim dequeue and report all pending signals.
    fn drain(&self) -> Vec<Receipt> {
        let line = self.line.as_ref();
        let mut line = line.expect("a victim that blocks signals has a socket");
        line.write_all(b"?").expect("a victim at rest");
        let next = || {
            let mut bytes = [0; RECEIPT];
            line.read_exact(&mut bytes).expect("a victim that answers");
            let number = |at: usize| bytes[at..at + 4].try_into().expect("four bytes");
            let receipt = [0, 4, 8, 12].map(|at| i32::from_ne_bytes(number(at)));
            Some(receipt).filter(|receipt| receipt[0] != 0)
        };
        std::iter::from_fn(next).collect()
    }
}
