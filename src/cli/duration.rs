//! Durations: numbers with units, such as `1m30s`.

use std::ffi::OsStr;
use std::time::Duration;

use crate::escape::escape;
use crate::usage::UsageError;

/// Every unit in its spellings, and its milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("ms msec msecs", 1),
    ("s sec secs second seconds", 1000),
    ("m min mins minute minutes", 60_000),
    ("h hr hrs hour hours", 3_600_000),
    ("d day days", 86_400_000),
];

/// The longest duration that is accepted. A longer one is an error, and would overflow the clock.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What a number without a unit means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bare {
    /// An error, so that a PID is never read as a time.
    Refused,
    Milliseconds,
}

/// Reads one or more numbers, each with its unit, without blanks: `1m30s`, `0.5s`.
pub fn duration(text: &OsStr, bare: Bare) -> Result<Duration, UsageError> {
    let invalid = || UsageError::invalid(text, "duration");
    let parsed = match text.to_str() {
        Some(digits) if is_number(digits) => match bare {
            Bare::Refused => {
                let shown = escape(text.as_encoded_bytes());
                let needs = format!("{shown} needs a unit, such as {shown}s");
                return Err(UsageError::value(needs));
            }
            Bare::Milliseconds => Some(Duration::from_millis(number(digits))),
        },
        Some(text) => sum(text),
        None => None,
    };
    match parsed {
        Some(parsed) if parsed <= LONGEST => Ok(parsed),
        Some(_) => Err(invalid().hint("it is longer than a hundred years")),
        None => Err(invalid().hint("units are ms, s, m, h and d, in lower case: 500ms, 5s, 1m30s")),
    }
}

fn sum(mut text: &str) -> Option<Duration> {
    let in_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut sum = Duration::ZERO;
    loop {
        let (count, rest) = text.split_at(text.find(|c| !in_number(c))?);
        let (unit, rest) = rest.split_at(rest.find(in_number).unwrap_or(rest.len()));
        let spells = |(spellings, _): &&(&str, u64)| spellings.split(' ').any(|one| one == unit);
        let (_, milliseconds) = UNITS.iter().find(spells)?;
        sum = sum.saturating_add(part(count, u128::from(*milliseconds) * 1_000_000)?);
        if rest.is_empty() {
            return Some(sum);
        }
        text = rest;
    }
}

/// `count` times this many nanoseconds. A fraction has at most nine digits.
fn part(count: &str, unit: u128) -> Option<Duration> {
    let (whole, fraction) = count.split_once('.').unwrap_or((count, "0"));
    if !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let fraction = u128::from(number(&format!("{fraction:0<9}"))) * unit / 1_000_000_000;
    let nanoseconds = u128::from(number(whole)) * unit + fraction;
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(u64::MAX);
    let rest = u32::try_from(nanoseconds % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, rest))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The value of digits. What is too large for it is longer than [`LONGEST`] in any unit.
fn number(digits: &str) -> u64 {
    digits.parse().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_no_other() {
        let read = |text: &str| duration(OsStr::new(text), Bare::Refused).ok();
        for (spellings, length) in UNITS {
            for unit in spellings.split(' ') {
                let meant = Duration::from_millis(7 * length);
                assert_eq!(read(&format!("7{unit}")), Some(meant), "{unit}");
                assert_eq!(read(&format!("7{}", unit.to_uppercase())), None, "{unit}");
            }
        }
        assert_eq!(read("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(read("0s"), Some(Duration::ZERO));
        assert_eq!(read("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(read("0.25m0.5ms"), Some(Duration::from_micros(15_000_500)));
        for text in "5M 1M 2y 1S 1w 1week 1month 1us 1ns 1h5M 5Min s ms 5s5 .5s 5.s 1.2.3s 1.0000000000s 1e3s -5s +5s 5ſ ٣s"
            .split(' ')
            .chain(["", " ", "5 s", " 5s", "5s ", "5s\n"])
        {
            let refused = duration(OsStr::new(text), Bare::Milliseconds).expect_err(text);
            assert!(
                refused.hint.is_some_and(|hint| hint.contains("ms, s, m, h")),
                "{text}"
            );
        }
        assert_eq!(read("36500d"), Some(LONGEST));
        for text in ["36501d", "18446744073709551615d", "99999999999999999999ms"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, bare: Bare) -> Option<Duration> {
        duration(OsStr::new(text), bare).ok()
    }

    fn nearly() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[0-9]{0,25}(ms|s|m|h|d|w|y|ns|us| |\\.|-){0,1}[0-9]{0,12}(ms|s|)",
            "[+-]?[0-9.,e]{1,5}s?"
        ]
    }

    fn unit() -> impl Strategy<Value = (&'static str, u64)> {
        let spellings = UNITS.iter().flat_map(|(spellings, length)| {
            let spellings = spellings.split(' ');
            spellings.map(|spelling| (spelling, *length))
        });
        prop::sample::select(spellings.collect::<Vec<_>>())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_duration_is_the_sum_of_its_parts(
            parts in prop::collection::vec((0u64..1_000_000, unit()), 1..4),
        ) {
            let words: Vec<String> =
                parts.iter().map(|(count, (unit, _))| format!("{count}{unit}")).collect();
            let text = words.concat();
            let sum = parts.iter().map(|(count, (_, length))| count * length).sum();
            let sum = Duration::from_millis(sum);
            let meant = (sum <= LONGEST).then_some(sum);
            prop_assert_eq!(read(&text, Bare::Refused), meant);
            prop_assert_eq!(read(&text, Bare::Milliseconds), meant);
        }

        #[test]
        fn a_number_alone_is_milliseconds_or_refused(number in any::<u64>(), zeros in 0usize..4) {
            let text = format!("{}{number}", "0".repeat(zeros));
            let meant = Some(Duration::from_millis(number)).filter(|meant| *meant <= LONGEST);
            prop_assert_eq!(read(&text, Bare::Refused), None);
            prop_assert_eq!(read(&text, Bare::Milliseconds), meant);
        }

        #[test]
        fn whatever_is_read_can_be_printed_and_read_again(text in nearly()) {
            for bare in [Bare::Refused, Bare::Milliseconds] {
                let Some(duration) = read(&text, bare) else { continue };
                prop_assert!(duration <= LONGEST && text.starts_with(|c: char| c.is_ascii_digit()));
                prop_assert!(text.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase() || c == '.'));
                let nanoseconds = duration.subsec_nanos();
                let printed = format!("{}.{nanoseconds:09}s", duration.as_secs());
                prop_assert_eq!(read(&printed, Bare::Refused), Some(duration), "{}", printed);
            }
        }
    }
}
