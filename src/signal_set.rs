//! Sets of signals, as /proc shows them and `-l` takes them apart. Pure.

use std::fmt;
use std::str::FromStr;

use crate::signal::{InvalidSignal, Signal};

/// A set of signals as /proc/PID/status writes it: bit 0 is signal 1 (proc_pid_status(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    pub fn contains(self, signal: Signal) -> bool {
        !signal.is_null() && self.0 >> (signal.number() - 1) & 1 == 1
    }

    /// Adds a signal that is not the null one.
    pub fn insert(&mut self, signal: Signal) {
        self.0 |= 1 << (signal.number() - 1);
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its members, by number.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        Signal::all().filter(move |signal| self.contains(*signal))
    }
}

impl FromStr for SignalSet {
    type Err = InvalidSignal;

    /// Reads `0x` and one to sixteen hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, InvalidSignal> {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        // `from_str_radix` would take a sign in front.
        let is_hex = |digits: &&str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let digits = digits.filter(is_hex).ok_or(InvalidSignal)?;
        let mask = u64::from_str_radix(digits, 16);
        mask.map(Self).map_err(|_| InvalidSignal)
    }
}

impl fmt::Display for SignalSet {
    /// The names of its members with a blank between.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, signal) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{signal}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn masks_hold_signals_from_one_to_sixty_four() {
        let set: SignalSet = "0x4001".parse().expect("valid mask");
        assert_eq!(set.to_string(), "HUP TERM");
        assert_eq!(SignalSet(u64::MAX).iter().count(), 64);
        assert!(!SignalSet(u64::MAX).contains(Signal::NULL));
        assert!(SignalSet(1 << 63).contains(Signal::RTMAX));
        for text in "|0x|0xg|0x+1|4001|0x10000000000000000|0x 1".split('|') {
            assert_eq!(text.parse::<SignalSet>(), Err(InvalidSignal), "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_mask_and_its_names_are_the_same_set(mask in any::<u64>()) {
            let set: SignalSet = format!("{mask:#x}").parse().expect("a mask");
            prop_assert_eq!(set.0, mask);
            let names = set.to_string();
            let signals = names.split_whitespace().map(|name| name.parse::<Signal>().expect("a name"));
            prop_assert_eq!(signals.fold(0, |mask, signal| mask | 1 << (signal.number() - 1)), mask);
        }
    }
}
