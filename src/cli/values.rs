//! Values of options and operands: from text to a value or an error. What does not parse never has
//! a default.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use crate::output::escape::escape;
use crate::output::text::invalid_signal;
use crate::plan::{Product, Step};
use crate::signal::Signal;
use crate::target::{Pid, Target};
use crate::usage::UsageError;

pub fn signal(text: &OsStr) -> Result<Signal, UsageError> {
    text.to_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| invalid_signal(text))
}

pub fn target(token: &OsStr) -> Result<Target, UsageError> {
    Target::try_from(token).map_err(|_| invalid_target(token))
}

pub fn invalid_target(token: &OsStr) -> UsageError {
    let bytes = token.as_encoded_bytes();
    let error = UsageError::value(format!("'{}': invalid target", escape(bytes)));
    match bytes {
        [] => error.hint("the token was empty; is a variable unset?"),
        b"-" => error.hint("'--pidfile -' reads targets from standard input; or is a variable unset after the '-'?"),
        [b'%', ..] => error.hint("job numbers belong to the shell: use its own kill, or the PID that 'jobs -p' prints"),
        [b':', ..] => error.hint("':PORT' takes the number of a port, 1 to 65535, in decimal digits"),
        path if path.contains(&b'/') => error.hint(format!("'--pidfile {}' reads targets from a file", escape(path))),
        _ if bytes.iter().all(u8::is_ascii_digit) => error.hint("a PID is 1 to 2147483647"),
        _ => match several(bytes) {
            Some(pids) => error.hint(format!("each target is a word of its own: {pids}")),
            None => error,
        },
    }
}

/// The PIDs in a list with commas, or in one that was quoted as a whole.
fn several(token: &[u8]) -> Option<String> {
    let words = str::from_utf8(token)
        .ok()?
        .split([',', ';', ' ', '\t', '\n'])
        .filter(|word| !word.is_empty());
    let pids: Option<Vec<String>> = words
        .map(|word| Some(word.parse::<Target>().ok()?.process()?.to_string()))
        .collect();
    pids.filter(|pids| (2..=8).contains(&pids.len()))
        .map(|pids| pids.join(" "))
}

/// A PID where no other target makes sense.
pub fn process_id(token: &OsStr) -> Result<Pid, UsageError> {
    match target(token)? {
        Target::Process(pid) | Target::Padded(pid, _) => Ok(pid),
        _ => Err(UsageError::value(format!(
            "'{}': invalid process ID",
            escape(token.as_encoded_bytes())
        ))),
    }
}

/// A name to compare with. One that no process can have is a usage error, which must not read as a
/// process that is gone.
pub fn expected_name(name: &OsStr) -> Result<OsString, UsageError> {
    let bytes = name.as_encoded_bytes();
    let invalid = || UsageError::value(format!("'{}': invalid name to expect", escape(bytes)));
    match bytes {
        [] => Err(invalid().hint("the name was empty; is a variable unset?")),
        path if path.contains(&b'/') => {
            Err(invalid().hint("it is compared with command names and the last part of paths"))
        }
        _ => Ok(name.to_owned()),
    }
}

/// The path of a control group, which is looked up later. An empty one must not come to mean a
/// directory.
pub fn control_group(path: &OsStr) -> Result<OsString, UsageError> {
    if path.is_empty() {
        let error = UsageError::value("'': invalid control group".to_owned());
        return Err(error.hint("the path was empty; is a variable unset?"));
    }
    Ok(path.to_owned())
}

pub fn queued_value(text: &OsStr) -> Result<i32, UsageError> {
    let invalid = || {
        UsageError::value(format!(
            "'{}': invalid value to queue",
            escape(text.as_encoded_bytes())
        ))
    };
    let value = text.to_str().and_then(|text| text.parse().ok());
    value
        .ok_or_else(|| invalid().hint("the value is a whole number from -2147483648 to 2147483647"))
}

pub fn product(what: &OsStr) -> Result<Product, UsageError> {
    let product = Product::NAMES
        .iter()
        .find(|(name, _)| what == *name)
        .map(|(_, product)| *product);
    product.ok_or_else(|| {
        let error = UsageError::value(format!(
            "'{}': nothing that could be generated",
            escape(what.as_encoded_bytes())
        ));
        error.hint(format!(
            "one of {}",
            Product::NAMES.map(|(name, _)| name).join(", ")
        ))
    })
}

/// A duration that needs a unit, so that a PID is never read as a time.
pub fn duration_with_unit(text: &OsStr) -> Result<Duration, UsageError> {
    duration(text, Unit::Required)
}

/// The values of `--timeout`. A bare number is milliseconds.
pub fn follow_up(after: &OsStr, text: &OsStr) -> Result<Step, UsageError> {
    Ok(Step {
        after: duration(after, Unit::Milliseconds)?,
        signals: vec![signal(text)?],
    })
}

/// What a duration without a unit means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Required,
    Milliseconds,
}

/// The longest duration that is accepted. A longer one is an error, and would overflow the clock.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

fn duration(text: &OsStr, unit: Unit) -> Result<Duration, UsageError> {
    let shown = escape(text.as_encoded_bytes());
    let invalid = || UsageError::value(format!("'{shown}': invalid duration"));
    let words = text.to_str().ok_or_else(invalid)?;
    // humantime adds nanoseconds without checking for overflow, so no number may come near the
    // range of an integer.
    let too_long = words.len() > 64
        || words
            .split(|c: char| !c.is_ascii_digit())
            .any(|digits| digits.len() > 10);
    let bare = !words.is_empty() && words.bytes().all(|byte| byte.is_ascii_digit());
    let duration = match unit {
        Unit::Required if bare => {
            return Err(UsageError::value(format!(
                "{shown} needs a unit, such as {shown}s"
            )));
        }
        _ if too_long => return Err(invalid().hint("it has too many digits")),
        Unit::Milliseconds if bare => words
            .parse()
            .map(Duration::from_millis)
            .map_err(|_| invalid())?,
        _ if words.contains(char::is_whitespace) => return Err(invalid()),
        _ => humantime::parse_duration(words).map_err(|error| invalid().hint(error.to_string()))?,
    };
    if duration > LONGEST {
        Err(invalid().hint("it is longer than a hundred years"))
    } else {
        Ok(duration)
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    const UNITS: [(&str, u64); 8] = [
        ("ms", 1),
        ("msec", 1),
        ("s", 1000),
        ("sec", 1000),
        ("m", 60_000),
        ("min", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];

    fn read(text: &str, unit: Unit) -> Option<Duration> {
        duration(OsStr::new(text), unit).ok()
    }

    fn nearly() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[0-9]{0,25}(ms|s|m|h|d|w|y|ns|us| |\\.|-){0,1}[0-9]{0,12}(ms|s|)",
            "[+-]?[0-9.,e]{1,5}s?"
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_duration_is_the_sum_of_its_parts(
            parts in prop::collection::vec((0u64..1_000_000, prop::sample::select(UNITS.to_vec())), 1..4),
        ) {
            let words: Vec<String> = parts.iter().map(|(count, (unit, _))| format!("{count}{unit}")).collect();
            let text = words.concat();
            let sum = Duration::from_millis(parts.iter().map(|(count, (_, length))| count * length).sum());
            let meant = (sum <= LONGEST).then_some(sum);
            prop_assert_eq!(read(&text, Unit::Required), meant);
            prop_assert_eq!(read(&text, Unit::Milliseconds), meant);
        }

        #[test]
        fn a_number_alone_is_milliseconds_or_refused(number in any::<u64>(), zeros in 0usize..4) {
            let text = format!("{}{number}", "0".repeat(zeros));
            prop_assert_eq!(read(&text, Unit::Required), None);
            if let Some(duration) = read(&text, Unit::Milliseconds) {
                prop_assert_eq!(duration, Duration::from_millis(number));
            } else {
                prop_assert!(text.len() > 10);
            }
        }

        #[test]
        fn whatever_is_read_can_be_printed_and_read_again(text in nearly()) {
            for unit in [Unit::Required, Unit::Milliseconds] {
                let Some(duration) = read(&text, unit) else { continue };
                prop_assert!(duration <= LONGEST && text.starts_with(|c: char| c.is_ascii_digit()));
                prop_assert!(!text.contains(char::is_whitespace), "{text:?}");
                let printed = humantime::format_duration(duration).to_string().replace(' ', "");
                prop_assert_eq!(read(&printed, Unit::Required), Some(duration), "{}", printed);
            }
        }

        #[test]
        fn a_value_to_queue_is_itself_or_refused(number in prop_oneof![any::<i64>(), -0x1_0000_0000i64..0x1_0000_0000]) {
            let value = queued_value(OsStr::new(&number.to_string())).ok();
            prop_assert_eq!(value, i32::try_from(number).ok());
        }
    }
}
