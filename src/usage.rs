//! Usage errors: what is wrong with a command line or a pidfile, and a hint if the fix is known.

use std::ffi::{OsStr, OsString};
use std::fmt;

use crate::escape::escape;

/// Why the call was refused before anything was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    pub text: String,
    /// One line. `{program}` in it stands for the name of the program.
    pub hint: Option<String>,
    /// Where the system may know a better hint.
    pub lookup: Option<Lookup>,
    pub kind: Kind,
}

/// Whether the message stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that does not parse. The message stands alone.
    Value,
    /// Options and operands that do not go together. The usage line follows.
    Usage,
}

/// What is looked up for a hint. Command lines are read without a look at the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Whether targets are piped in.
    Input,
    /// The number of a service (services(5)).
    Service(String),
    /// The ID of a user, whose control group it names.
    User(OsString),
}

impl UsageError {
    /// An error that the usage line follows.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            hint: None,
            lookup: None,
            kind: Kind::Usage,
        }
    }

    pub fn no_target() -> Self {
        Self::new("no process ID specified").lookup(Lookup::Input)
    }

    /// An error about a single value.
    pub fn value(text: impl Into<String>) -> Self {
        Self {
            kind: Kind::Value,
            ..Self::new(text)
        }
    }

    /// A value that is not what its option or its place wants: `'X': invalid target`.
    pub fn invalid(value: &OsStr, wanted: &str) -> Self {
        let value = escape(value.as_encoded_bytes());
        Self::value(format!("'{value}': invalid {wanted}"))
    }

    /// The hint, with the name of the program.
    pub fn hint_for(&self, program: &str) -> Option<String> {
        let hint = self.hint.as_ref()?;
        Some(hint.replace("{program}", program))
    }

    pub fn hint(self, hint: impl Into<String>) -> Self {
        self.better_hint(Some(hint.into()))
    }

    /// With this hint, if there is one; it is better than one that the error has.
    pub fn better_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// With this hint, if it has none.
    pub fn or_hint(mut self, hint: impl FnOnce() -> Option<String>) -> Self {
        self.hint = self.hint.or_else(hint);
        self
    }

    pub fn lookup(mut self, lookup: Lookup) -> Self {
        self.lookup = Some(lookup);
        self
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for UsageError {}
