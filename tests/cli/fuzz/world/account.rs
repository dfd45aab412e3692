//! What a victim has received: taken over from the victim itself, from its pending signals, or from how it ended.

use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;

use super::{Victim, field, stat, until};
use crate::fuzz::cast::Habit;
use crate::fuzz::victim::{RECEIPT, Receipt, SIGNALS, Slot};

/// What a victim has received while a command line ran.
#[derive(Debug, Default)]
pub struct Account {
    /// By signal; standard signals that were blocked have merged.
    pub counts: Vec<u32>,
    pub receipts: Vec<Receipt>,
    /// The signal that ended it.
    pub killed: Option<i32>,
    pub exited: Option<i32>,
    pub stopped: bool,
    /// Signals are pending still.
    pub unanswered: bool,
}

impl Account {
    /// How many signals are known to have come.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum::<u64>() + u64::from(self.killed.is_some())
    }
}

impl Victim {
    /// Looks until the victim is at rest, so that nothing sent before is still under way.
    pub fn account(&self, slot: &Slot) -> Account {
        let mut account = Account { counts: vec![0; SIGNALS], ..Account::default() };
        if self.is_zombie() {
            return account;
        }
        let mut pending = 0;
        until(|| {
            let mut text = [0; 4096];
            let text = self.status.as_ref().and_then(|status| status.read_at(&mut text, 0).ok().map(|n| &text[..n]));
            let text = String::from_utf8_lossy(text.unwrap_or_default());
            let mask = |label| field(&text, label).and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
            pending = mask("SigPnd") | mask("ShdPnd");
            match field(&text, "State").and_then(|state| state.chars().next()) {
                // Asleep, and nothing that could wake it: every signal sent so far is dealt with.
                Some('S') => pending & !mask("SigBlk") == 0,
                Some('T') => {
                    account.stopped = true;
                    pending & 1 << 8 == 0
                }
                // Dead, or the second thread has gone with its file.
                Some('Z' | 'X') | None => {
                    let stat = stat(self.pid);
                    let code = stat.rsplit(' ').next().and_then(|code| code.parse::<i32>().ok()).unwrap_or(-1);
                    let ended = stat.starts_with('Z');
                    let status = ExitStatus::from_raw(code);
                    account.killed = status.signal().filter(|_| ended);
                    account.exited = status.code().filter(|_| ended);
                    account.stopped = false;
                    ended
                }
                _ => false,
            }
        });
        let at_rest = account.killed.is_none() && account.exited.is_none() && !account.stopped;
        let answers = matches!(self.habit, Habit::Records { .. } | Habit::Threads | Habit::Headless);
        if pending != 0 && at_rest && answers {
            account.receipts = self.drain();
            // A code above zero is the kernel's own (a child that ended, a group orphaned).
            for receipt in account.receipts.iter().filter(|receipt| receipt[1] <= 0) {
                account.counts[usize::try_from(receipt[0]).expect("a signal")] += 1;
            }
        } else {
            account.unanswered = pending != 0;
            // Nobody says who sent what is pending here; CHLD is the kernel's, as likely as not.
            pending &= !(1 << 16);
            for (index, count) in account.counts.iter_mut().enumerate().skip(1) {
                *count = slot.counts[index].swap(0, Ordering::Relaxed) + u32::from(pending >> (index - 1) & 1 == 1);
            }
        }
        account
    }

    /// Takes over everything that is pending.
    fn drain(&self) -> Vec<Receipt> {
        let mut line = self.line.as_ref().expect("a victim that blocks signals has a socket");
        line.write_all(b"?").expect("a victim at rest");
        let next = || {
            let mut bytes = [0; RECEIPT];
            line.read_exact(&mut bytes).expect("a victim that answers");
            let number = |n: usize| i32::from_ne_bytes(bytes[n * 4..n * 4 + 4].try_into().expect("four bytes"));
            Some([number(0), number(1), number(2), number(3)]).filter(|receipt| receipt[0] != 0)
        };
        std::iter::from_fn(next).collect()
    }
}
