//! Usage errors: what is wrong with a command line, in words, and a hint where the cure is known.

use std::fmt;

/// Why a command line was refused before anything was done.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    pub text: String,
    /// One line on how to do better; `{program}` in it stands for the name of the program.
    pub hint: Option<String>,
    pub kind: Kind,
}

/// Whether the words are wrong or the way they were put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that does not parse: its message stands alone.
    Value,
    /// Options and operands that do not go together: the usage line follows.
    Usage,
}

impl Mistake {
    pub fn value(text: String) -> Self {
        Self { text, hint: None, kind: Kind::Value }
    }

    pub fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), hint: None, kind: Kind::Usage }
    }

    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Mistake {}
