//! Usage errors: what is wrong with a command line or a pidfile, and a hint if the fix is known.

use std::fmt;

/// Why the call was refused before anything was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    pub text: String,
    /// One line. `{program}` in it stands for the name of the program.
    pub hint: Option<String>,
    pub kind: Kind,
}

/// Whether the message stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that does not parse. The message stands alone.
    Value,
    /// Options and operands that do not go together. The usage line follows.
    Usage,
    /// There is no target. The usage line follows.
    NoTarget,
}

impl UsageError {
    /// An error that the usage line follows.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            hint: None,
            kind: Kind::Usage,
        }
    }

    pub fn no_target() -> Self {
        Self {
            kind: Kind::NoTarget,
            ..Self::new("no process ID specified")
        }
    }

    /// An error about a single value.
    pub fn value(text: String) -> Self {
        Self {
            text,
            hint: None,
            kind: Kind::Value,
        }
    }

    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for UsageError {}
