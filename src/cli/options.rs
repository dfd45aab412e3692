//! What an option is: how it is spelled, what it takes, what is said of it. The clap command, the
//! help, the man page and the completions are all made from the [`table`].

pub mod table;

use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command, Error};

pub use table::{DAILY, OPTIONS};

type Text = &'static str;

/// One option, with its texts for the short and the long help. Each text stands alone, since
/// completions sort the options.
#[derive(Debug)]
pub struct Opt {
    pub long: Option<Text>,
    pub shorts: Text,
    pub arity: Arity,
    /// The names of the values in the help.
    pub values: &'static [Text],
    action: ArgAction,
    pub group: Text,
    pub help: Text,
    pub long_help: Text,
}

/// How many arguments belong to an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    Flag,
    /// One that may be attached (`-l9`, `--list=9`). The next argument is never its value.
    Attached,
    /// All of them, whatever they look like. The first may be attached.
    Values,
}

const fn flag(group: Text, long: Text, shorts: Text) -> Opt {
    Opt {
        long: if long.is_empty() { None } else { Some(long) },
        shorts,
        arity: Arity::Flag,
        values: &[],
        // It may be repeated, and has no default that is parsed in each run.
        action: ArgAction::Append,
        group,
        help: "",
        long_help: "",
    }
}

const fn valued(group: Text, long: Text, shorts: Text, values: &'static [Text]) -> Opt {
    Opt {
        arity: Arity::Values,
        values,
        action: ArgAction::Set,
        ..flag(group, long, shorts)
    }
}

impl Opt {
    const fn says(mut self, help: Text, long_help: Text) -> Self {
        (self.help, self.long_help) = (help, long_help);
        self
    }

    const fn repeats(mut self) -> Self {
        self.action = ArgAction::Append;
        self
    }

    const fn attached(mut self) -> Self {
        self.arity = Arity::Attached;
        self
    }

    /// Its name for clap.
    pub fn id(&self) -> &'static str {
        self.long.unwrap_or(self.shorts)
    }

    /// As messages write it.
    pub fn spelled(&self) -> String {
        match self.long {
            Some(long) => format!("--{long}"),
            None => format!("-{}", self.shorts),
        }
    }

    /// Every way to write it, short ones first.
    pub fn spellings(&self) -> impl Iterator<Item = String> {
        let shorts = self.shorts.chars().map(|short| format!("-{short}"));
        shorts.chain(self.long.map(|long| format!("--{long}")))
    }

    /// Its values in a style, each after a blank. One that may be left out is in brackets.
    pub fn shown_values(&self, style: impl Fn(&str) -> String) -> String {
        let shown = |value: &&str| match self.arity {
            Arity::Attached => format!(" [{}]", style(value)),
            _ => format!(" {}", style(value)),
        };
        self.values.iter().map(shown).collect()
    }

    /// As clap parses it.
    fn arg(&self) -> Arg {
        let mut shorts = self.shorts.chars();
        let mut arg = Arg::new(self.id())
            .long(self.long)
            .short(shorts.next())
            .action(self.action.clone())
            .value_parser(ValueParser::os_string());
        if !shorts.as_str().is_empty() {
            arg = arg.short_aliases(shorts);
        }
        match self.arity {
            Arity::Flag => arg.num_args(0),
            Arity::Attached => arg.num_args(0..=1),
            Arity::Values => arg.num_args(self.values.len()).allow_hyphen_values(true),
        }
    }
}

/// The command that parses the options. It has no positional arguments: `argv` separates the
/// operands.
pub fn command() -> Command {
    Command::new("sigsend")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .infer_long_args(true)
        .args(OPTIONS.iter().map(|option| option.arg()))
}

/// Whether an option has not got all its values.
pub fn misses_value(error: &Error) -> bool {
    use ErrorKind::{InvalidValue, TooFewValues, WrongNumberOfValues};
    matches!(
        error.kind(),
        InvalidValue | TooFewValues | WrongNumberOfValues
    )
}

/// The argument that clap refuses: an unknown one as it was typed, or an option and its values.
pub fn argument_in(error: &Error) -> &str {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument,
        _ => "",
    }
}

/// The option that an error is about, if it is known.
pub fn option_in(error: &Error) -> Option<&'static Opt> {
    let spelling = argument_in(error).split(' ').next()?;
    let mut options = OPTIONS.into_iter();
    options.find(|option| option.spelled() == spelling)
}
