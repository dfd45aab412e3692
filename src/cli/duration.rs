//! Durations: numbers with units, such as `1m30s`.

use std::ffi::OsStr;
use std::time::Duration;

use crate::digits::is_number;
use crate::usage::UsageError;

/// Every unit in its spellings, and its milliseconds.
const UNITS: [(&str, u128); 5] = [
    ("ms msec msecs", 1),
    ("s sec secs second seconds", 1000),
    ("m min mins minute minutes", 60_000),
    ("h hr hrs hour hours", 3_600_000),
    ("d day days", 86_400_000),
];

/// The longest duration that is accepted. A longer one is an error, and would overflow the clock.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Reads numbers, each with its unit, without blanks: `1m30s`, `0.5s`. A number alone is an error,
/// so that a PID is never read as a time.
pub fn duration(text: &OsStr) -> Result<Duration, UsageError> {
    match text.to_str() {
        Some(digits) if is_number(digits) => {
            let needs = format!("{digits} needs a unit, such as {digits}s");
            Err(UsageError::value(needs))
        }
        parts => checked(parts.and_then(sum), text),
    }
}

/// The same, but a number alone is milliseconds.
pub fn follow_up_time(text: &OsStr) -> Result<Duration, UsageError> {
    match text.to_str() {
        Some(digits) if is_number(digits) => checked(part(digits, 1), text),
        _ => duration(text),
    }
}

fn checked(read: Option<Duration>, text: &OsStr) -> Result<Duration, UsageError> {
    let hint = match read {
        Some(duration) if duration <= LONGEST => return Ok(duration),
        Some(_) => "it is longer than a hundred years",
        None => "units are ms, s, m, h and d, in lower case: 500ms, 5s, 1m30s",
    };
    Err(UsageError::invalid(text, "duration").hint(hint))
}

fn sum(mut text: &str) -> Option<Duration> {
    let in_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut sum = Duration::ZERO;
    loop {
        let (count, rest) = text.split_at(text.find(|c| !in_number(c))?);
        let (unit, rest) = rest.split_at(rest.find(in_number).unwrap_or(rest.len()));
        let spells = |(spellings, _): &&(&str, u128)| spellings.split(' ').any(|one| one == unit);
        let (_, milliseconds) = UNITS.iter().find(spells)?;
        sum = sum.saturating_add(part(count, *milliseconds)?);
        if rest.is_empty() {
            return Some(sum);
        }
        text = rest;
    }
}

/// `count` times this many milliseconds, or, where that is longer than [`LONGEST`], some time that
/// is longer. A fraction has at most nine digits.
fn part(count: &str, milliseconds: u128) -> Option<Duration> {
    let (whole, fraction) = count.split_once('.').unwrap_or((count, "0"));
    if !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let billionths = format!("{whole}{fraction:0<9}")
        .parse()
        .unwrap_or(u128::MAX);
    let nanoseconds = billionths.saturating_mul(milliseconds) / 1000;
    let nanoseconds = u64::try_from(nanoseconds).unwrap_or(u64::MAX);
    Some(Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Duration> {
        duration(OsStr::new(text)).ok()
    }

    /// Every spelling of a unit, and its milliseconds.
    fn units() -> impl Iterator<Item = (&'static str, u64)> {
        UNITS.into_iter().flat_map(|(spellings, length)| {
            let length = u64::try_from(length).expect("at most a day");
            spellings.split(' ').map(move |spelling| (spelling, length))
        })
    }

    const REFUSED: &str = "| |5M|1M|2y|1S|1w|1week|1month|1us|1ns|1h5M|5Min|s|ms|5s5|.5s|5.s|1.2.3s\
        |1.0000000000s|1e3s|-5s|+5s|5ſ|٣s|5 s| 5s|5s |5s\n";

    #[test]
    fn every_unit_is_read_and_no_other() {
        for (unit, length) in units() {
            let meant = Some(Duration::from_millis(7 * length));
            assert_eq!(read(&format!("7{unit}")), meant, "{unit}");
            let upper = format!("7{}", unit.to_uppercase());
            assert_eq!(read(&upper), None, "{unit}");
        }
        for (text, microseconds) in [
            ("1m30s", 90_000_000),
            ("0s", 0),
            ("1.5s", 1_500_000),
            ("0.25m0.5ms", 15_000_500),
            ("1.500000000s", 1_500_000),
            ("36500d", 36500 * 24 * 3_600_000_000),
        ] {
            let meant = Some(Duration::from_micros(microseconds));
            assert_eq!(read(text), meant, "{text}");
        }
        for text in REFUSED.split('|') {
            let refused = follow_up_time(OsStr::new(text)).expect_err(text);
            let hint = refused.hint.unwrap_or_default();
            assert!(hint.contains("ms, s, m, h"), "{text}: {hint}");
        }
        for text in [
            "36501d",
            "18446744073709551615d",
            "99999999999999999999999999999999ms",
        ] {
            let refused = duration(OsStr::new(text)).expect_err(text);
            assert!(
                refused
                    .hint
                    .is_some_and(|hint| hint.contains("longer than")),
                "{text}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_duration_is_the_sum_of_its_parts(
            parts in prop::collection::vec((0u64..1_000_000, prop::sample::select(units().collect::<Vec<_>>())), 1..4),
        ) {
            let words: Vec<String> = parts.iter().map(|(count, (unit, _))| format!("{count}{unit}")).collect();
            let sum = Duration::from_millis(parts.iter().map(|(count, (_, length))| count * length).sum());
            prop_assert_eq!(read(&words.concat()), (sum <= LONGEST).then_some(sum));
        }

        #[test]
        fn a_number_alone_is_milliseconds_or_refused(number in 0u64..1 << 43, zeros in "0{0,3}") {
            let text = format!("{zeros}{number}");
            let meant = Some(Duration::from_millis(number)).filter(|meant| *meant <= LONGEST);
            prop_assert_eq!(read(&text), None);
            prop_assert_eq!(follow_up_time(OsStr::new(&text)).ok(), meant);
        }
    }
}
