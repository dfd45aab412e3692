//! What clap refuses, in the words of this program. clap's rendered text is not used: it is cut at
//! a line break, and shows control characters as they are.

use std::error::Error;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::argv::{Line, candidates};
use crate::cli::hints;
use crate::cli::value_hints;
use crate::escape::escape;
use crate::usage::UsageError;

/// A clap error as a usage error. The error of a value parser is passed on as it is.
pub fn usage_error(error: &clap::Error, line: &Line) -> UsageError {
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
        ErrorKind::UnknownArgument => unknown(argument, line),
        ErrorKind::ArgumentConflict => {
            UsageError::new(format!("'{option}' can be given only once"))
        }
        ErrorKind::TooManyValues => {
            let error = UsageError::new(format!("'{option}' takes no value"));
            error.or_hint(|| (option == "--wait").then(|| hints::time_for_wait(line))?)
        }
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            let values = argument.strip_prefix(option).unwrap_or_default();
            let values = values.replace(['<', '>'], "");
            let error = format!("'{option}' is missing a value: {option}{values}");
            let mut words = line.options.iter();
            UsageError::new(error).or_hint(|| words.find_map(|word| value_hints::timeout(word)))
        }
        kind => UsageError::new(escape(format!("{kind}: {argument}").as_bytes())),
    }
}

/// An option that does not exist, or an abbreviation that means more than one.
fn unknown(argument: &str, line: &Line) -> UsageError {
    let shown = escape(argument.as_bytes());
    let name = argument.strip_prefix("--").unwrap_or_default();
    let meant: Vec<_> = candidates(name.as_bytes())
        .iter()
        .map(|option| option.spelled())
        .collect();
    if meant.len() > 1 && !name.is_empty() {
        return UsageError::new(format!("'{shown}' is ambiguous: {}", meant.join(", ")));
    }
    let digit = argument
        .strip_prefix('-')
        .and_then(|rest| rest.parse::<u8>().ok());
    UsageError::new(format!("unknown option '{shown}'")).or_hint(|| match digit {
        Some(_) => hints::time_for_wait(line),
        None => hints::option(argument, line),
    })
}
