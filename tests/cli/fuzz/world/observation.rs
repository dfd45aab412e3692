//! What a victim has received: read from the victim itself, from its pending signals, or from its
//! wait status.

use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;

use super::{Victim, field, stat, until};
use crate::fuzz::roles::Habit;
use crate::fuzz::victim::{REAPED, RECEIPT, Receipt, SIGNALS, Slot};

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
        self.counts
            .iter()
            .map(|&count| u64::from(count))
            .sum::<u64>()
            + u64::from(self.killed.is_some())
    }
}

impl Observation {
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
        let mut observation = Observation {
            counts: vec![0; SIGNALS],
            ..Observation::default()
        };
        if self.is_zombie() {
            return observation;
        }
        if self.habit == Habit::ReusesPid {
            return self.observe_reuser(slot);
        }
        let mut pending = 0;
        until(&self.describe(), || {
            let mut text = [0; 4096];
            let text = self
                .status
                .as_ref()
                .and_then(|status| status.read_at(&mut text, 0).ok().map(|n| &text[..n]));
            let text = String::from_utf8_lossy(text.unwrap_or_default());
            let mask = |label| {
                field(&text, label)
                    .and_then(|mask| u64::from_str_radix(mask, 16).ok())
                    .unwrap_or(0)
            };
            pending = mask("SigPnd") | mask("ShdPnd");
            match field(&text, "State").and_then(|state| state.chars().next()) {
                // Asleep and no unblocked signal pending: every signal sent so far was handled.
                Some('D') if self.habit == Habit::Vforks => true,
                Some('S') => pending & !mask("SigBlk") == 0,
                Some('T') => {
                    observation.stopped = true;
                    pending & 1 << 8 == 0
                }
                // Another victim has reaped it or is about to.
                Some('Z' | 'X') | None if slot.status.load(Ordering::Acquire) != 0 => {
                    observation.end(ExitStatus::from_raw(
                        slot.status.load(Ordering::Acquire) & !REAPED,
                    ));
                    true
                }
                // Dead, or the second thread has exited and its status file cannot be read.
                Some('Z' | 'X') | None => {
                    let stat = stat(self.pid);
                    let code = stat
                        .rsplit(' ')
                        .next()
                        .and_then(|code| code.parse::<i32>().ok())
                        .unwrap_or(-1);
                    let ended = stat.starts_with('Z');
                    if ended {
                        observation.end(ExitStatus::from_raw(code));
                    }
                    ended
                }
                _ => false,
            }
        });
        observation.moved = matches!(self.habit, Habit::Moves(_))
            && observation.killed.is_none()
            && stat(self.pid)
                .split(' ')
                .nth(2)
                .and_then(|group| group.parse().ok())
                != Some(self.group);
        let forked = slot.forked.load(Ordering::Acquire);
        if self.habit == Habit::Escapes && forked != 0 {
            observation.moved = true;
            let outlives = observation.killed.is_some() && !stat(forked).starts_with(['Z', 'X']);
            observation.escaped = outlives.then_some(forked);
        }
        let at_rest =
            observation.killed.is_none() && observation.exited.is_none() && !observation.stopped;
        if pending != 0 && at_rest && self.habit.reports() {
            observation.take(self.drain());
        } else {
            observation.unanswered = pending != 0;
            // The sender of pending signals is unknown; CHLD may come from the kernel.
            pending &= !(1 << 16);
            for (index, count) in observation.counts.iter_mut().enumerate().skip(1) {
                *count = slot.counts[index].swap(0, Ordering::Relaxed)
                    + u32::from(pending >> (index - 1) & 1 == 1);
            }
        }
        observation
    }

    /// What the process that reuses a PID has received, if it exists.
    fn observe_reuser(&self, slot: &Slot) -> Observation {
        let mut observation = Observation {
            counts: vec![0; SIGNALS],
            ..Observation::default()
        };
        let pid = slot.pid.load(Ordering::Acquire);
        if pid == 0 {
            return observation;
        }
        let status = || slot.status.load(Ordering::Acquire);
        let mut greeting = [0];
        let mut line = self.line.as_ref().expect("it has a socket from the start");
        let is_ready = line.read_exact(&mut greeting).is_ok();
        until("the process that reuses a PID", || {
            let stat = stat(pid);
            let ended = Some(status())
                .filter(|&status| status != 0)
                .map(|status| status & !REAPED);
            // The reaper may be dead itself.
            let unreaped = || {
                stat.starts_with('Z')
                    .then(|| stat.rsplit(' ').next()?.parse().ok())
                    .flatten()
            };
            if let Some(status) = ended.or_else(unreaped) {
                observation.end(ExitStatus::from_raw(status));
                return true;
            }
            observation.stopped = stat.starts_with('T');
            observation.stopped || stat.starts_with('S')
        });
        if is_ready
            && !observation.stopped
            && observation.killed.is_none()
            && observation.exited.is_none()
        {
            observation.take(self.drain());
        }
        // The leader is dead, so the family must be replaced.
        observation.moved = true;
        observation
    }

    /// Has the victim dequeue and report all pending signals.
    fn drain(&self) -> Vec<Receipt> {
        let mut line = self
            .line
            .as_ref()
            .expect("a victim that blocks signals has a socket");
        line.write_all(b"?").expect("a victim at rest");
        let next = || {
            let mut bytes = [0; RECEIPT];
            line.read_exact(&mut bytes).expect("a victim that answers");
            let number = |n: usize| {
                i32::from_ne_bytes(bytes[n * 4..n * 4 + 4].try_into().expect("four bytes"))
            };
            Some([number(0), number(1), number(2), number(3)]).filter(|receipt| receipt[0] != 0)
        };
        std::iter::from_fn(next).collect()
    }
}
