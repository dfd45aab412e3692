//! What clap refuses, in the words of this program. clap's rendered text is not used: it is cut at a line break, and
//! shows control characters as they are.

use std::error::Error;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::argv::candidates;
use crate::cli::options::OPTIONS;
use crate::output::escape::escape;
use crate::signal::{Signal, nearest};
use crate::usage::UsageError;

/// A clap error as a usage error. The error of a value parser is passed on as it is.
pub fn usage_error(error: &clap::Error) -> UsageError {
    if let Some(value) = error.source().and_then(|source| source.downcast_ref::<UsageError>()) {
        return value.clone();
    }
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    // Names of values follow the option, in angle brackets.
    let argument = context(ContextKind::InvalidArg);
    let option = argument.split(" <").next().unwrap_or_default().split(" [").next().unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => unknown(argument),
        ErrorKind::ArgumentConflict => UsageError::new(format!("'{option}' can be given only once")),
        ErrorKind::TooManyValues => UsageError::new(format!("'{option}' takes no value")),
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            let values = argument.strip_prefix(option).unwrap_or_default().replace(['<', '>'], "");
            UsageError::new(format!("'{option}' is missing a value: {option}{values}"))
        }
        kind => UsageError::new(escape(format!("{kind}: {argument}").as_bytes())),
    }
}

/// An option that does not exist, or an abbreviation that means more than one.
fn unknown(argument: &str) -> UsageError {
    let shown = escape(argument.as_bytes());
    let Some(name) = argument.strip_prefix("--") else { return UsageError::new(format!("unknown option '{shown}'")) };
    let meant: Vec<_> = candidates(name.as_bytes()).iter().map(|option| option.spelled()).collect();
    if meant.len() > 1 && !name.is_empty() {
        return UsageError::new(format!("'{shown}' is ambiguous: {}", meant.join(", ")));
    }
    let error = UsageError::new(format!("unknown option '{shown}'"));
    if name == "force" {
        return error.hint("'-KILL' is the signal that no process can catch; '--grace 10s' sends TERM first");
    }
    if let Ok(signal) = name.parse::<Signal>() {
        return error.hint(format!("did you mean -{signal}?"));
    }
    match nearest(name, OPTIONS.iter().filter_map(|option| option.long)) {
        Some(long) => error.hint(format!("did you mean --{long}?")),
        None => error,
    }
}
