//! The options of one line, as clap parses them, and its errors in the words of this program.
//! clap's rendered text is not used: it is cut at a line break, and shows control characters as
//! they are.

use std::ffi::{OsStr, OsString};

use clap::ArgMatches;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::argv::{Line, candidates};
use crate::cli::hints;
use crate::cli::options::{Opt, command};
use crate::cli::value_hints;
use crate::escape::escape;
use crate::usage::UsageError;

/// A line whose options and the number of their values are right.
pub struct Given<'a> {
    pub line: &'a Line,
    values: ArgMatches,
}

impl<'a> Given<'a> {
    pub fn new(line: &'a Line) -> Result<Self, UsageError> {
        match command().try_get_matches_from(&line.options) {
            Ok(values) => Ok(Self { line, values }),
            Err(error) => Err(usage_error(&error, line)),
        }
    }

    pub fn has(&self, option: &Opt) -> bool {
        self.line.has(option)
    }

    /// The first of these options that is given.
    pub fn first(&self, options: &[&'static Opt]) -> Option<&'static Opt> {
        options.iter().copied().find(|option| self.has(option))
    }

    /// The value of an option that may be given once.
    pub fn one<T>(
        &self,
        option: &Opt,
        read: impl Fn(&OsStr) -> Result<T, UsageError>,
    ) -> Result<Option<T>, UsageError> {
        let value = self.values.get_one::<OsString>(option.id);
        value.map(|value| read(value)).transpose()
    }

    /// All values of an option that may be repeated.
    pub fn all<T>(
        &self,
        option: &Opt,
        read: impl Fn(&OsStr) -> Result<T, UsageError>,
    ) -> Result<Vec<T>, UsageError> {
        let values = self.values.get_many::<OsString>(option.id);
        let values = values.into_iter().flatten();
        values.map(|value| read(value)).collect()
    }
}

fn usage_error(error: &clap::Error, line: &Line) -> UsageError {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    // `--queue <VALUE>`, or `--all...` for a flag that is counted.
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
            let form = argument.replace(['<', '>'], "");
            let mut words = line.options.iter();
            UsageError::new(format!("'{option}' is missing a value: {form}"))
                .or_hint(|| words.find_map(|word| value_hints::timeout(word)))
        }
        kind => UsageError::new(escape(format!("{kind}: {argument}").as_bytes())),
    }
}

/// An option that does not exist, or an abbreviation that means more than one.
fn unknown(argument: &str, line: &Line) -> UsageError {
    let shown = escape(argument.as_bytes());
    let name = argument.strip_prefix("--").unwrap_or_default();
    let meant = candidates(name.as_bytes());
    if meant.len() > 1 && !name.is_empty() {
        let meant: Vec<_> = meant.iter().map(|option| option.spelled()).collect();
        return UsageError::new(format!("'{shown}' is ambiguous: {}", meant.join(", ")));
    }
    // `-w5`, which is a cluster of options.
    let is_digit = matches!(argument.as_bytes(), [b'-', b'0'..=b'9']);
    let hint = if is_digit {
        hints::time_for_wait(line)
    } else {
        hints::option(argument, line)
    };
    UsageError::new(format!("unknown option '{shown}'")).better_hint(hint)
}
