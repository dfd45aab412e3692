//! What clap refuses, in the words of this program. clap's rendered text is not used: it is cut at
//! a line break, and shows control characters as they are.

use std::error::Error;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::argv::{Line, candidates};
use crate::cli::options::{OPTIONS, STATE};
use crate::output::escape::escape;
use crate::signal::{Signal, nearest};
use crate::usage::UsageError;

/// A clap error as a usage error. The error of a value parser is passed on as it is.
pub fn usage_error(error: &clap::Error) -> UsageError {
    if let Some(value) = error
        .source()
        .and_then(|source| source.downcast_ref::<UsageError>())
    {
        return value.clone();
    }
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    // `--queue <VALUE>`, or `--all...` for a flag that is counted.
    let argument = context(ContextKind::InvalidArg);
    let option = argument.split([' ', '.']).next().unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => unknown(argument),
        ErrorKind::ArgumentConflict => {
            UsageError::new(format!("'{option}' can be given only once"))
        }
        ErrorKind::TooManyValues => UsageError::new(format!("'{option}' takes no value")),
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            let values = argument
                .strip_prefix(option)
                .unwrap_or_default()
                .replace(['<', '>'], "");
            UsageError::new(format!("'{option}' is missing a value: {option}{values}"))
        }
        kind => UsageError::new(escape(format!("{kind}: {argument}").as_bytes())),
    }
}

/// An option that does not exist, or an abbreviation that means more than one.
fn unknown(argument: &str) -> UsageError {
    let shown = escape(argument.as_bytes());
    let Some(name) = argument.strip_prefix("--") else {
        return UsageError::new(format!("unknown option '{shown}'"));
    };
    let meant: Vec<_> = candidates(name.as_bytes())
        .iter()
        .map(|option| option.spelled())
        .collect();
    if meant.len() > 1 && !name.is_empty() {
        return UsageError::new(format!("'{shown}' is ambiguous: {}", meant.join(", ")));
    }
    let error = UsageError::new(format!("unknown option '{shown}'"));
    if name == "force" {
        return error.hint(
            "'-KILL' is the signal that no process can catch; '--grace 10s' sends TERM first",
        );
    }
    if let Ok(signal) = name.parse::<Signal>() {
        return error.hint(format!("did you mean -{signal}?"));
    }
    match nearest(name, OPTIONS.iter().filter_map(|option| option.long)) {
        Some(long) => error.hint(format!("did you mean --{long}?")),
        None => error,
    }
}

/// Adds the hint that only the whole line gives.
pub fn with_hint(error: UsageError, line: &Line) -> UsageError {
    let hint = match (single_dash(&line.options), &error.hint) {
        (Some(hint), _) => Some(hint),
        (None, Some(_)) => None,
        (None, None) => taken(line).or_else(|| unnamed_group(&line.options)),
    };
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// A long option with one dash, such as `-help`.
fn single_dash(options: &[OsString]) -> Option<String> {
    let longs = || OPTIONS.iter().filter_map(|option| option.long);
    let long = options
        .iter()
        .find_map(|option| longs().find(|long| option.to_str() == Some(&format!("-{long}"))))?;
    Some(format!("did you mean --{long}?"))
}

/// A number that is the value of the last option although there is no target, as in `--expect
/// 4242`.
fn taken(line: &Line) -> Option<String> {
    let (value, before) = line.options.split_last()?;
    let option = before
        .iter()
        .rev()
        .find(|word| word.as_bytes().starts_with(b"-"))?;
    let is_number = value.as_bytes().iter().all(u8::is_ascii_digit);
    (line.operands.is_empty() && is_number && !line.has(STATE)).then(|| {
        format!(
            "'{}' took '{}' as its value",
            escape(option.as_bytes()),
            escape(value.as_bytes())
        )
    })
}

/// A process group without a signal or `--` before it, which reads as a signal.
fn unnamed_group(options: &[OsString]) -> Option<String> {
    let number = |option: &OsString| {
        option
            .to_str()?
            .strip_prefix("--signal=")?
            .parse::<u32>()
            .ok()
    };
    let group = options
        .iter()
        .find_map(number)
        .filter(|number| *number > 64)?;
    Some(format!("'{{program}} -- -{group}' means the process group"))
}
