//! The options and operands of a command line. Only the old `-SIGNAL` form, and numbers that may
//! mean a group, are read here: which arguments belong to an option, clap is asked. Pure.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt;

use clap::{ArgMatches, Command, Id};

use crate::cli::options::{Opt, command, misses_value, option_in, table as opt};
use crate::digits::is_number;
use crate::signal::Signal;
use crate::usage::UsageError;

/// A command line whose options and operands are separated. Nothing is lost, reordered or changed
/// except the old form of the signal.
#[derive(Debug, Default)]
pub struct Line {
    /// Options and their values, for clap.
    pub options: Vec<OsString>,
    /// Everything else, in order. A token that starts with `-` is here only if it may name a group.
    pub operands: Vec<&'static OsStr>,
    /// How many of the operands stand before `--` and before a signal was named.
    pub before_signal: usize,
    /// The known options that were given.
    given: BTreeSet<Id>,
    /// What clap reads in the options.
    values: ArgMatches,
    /// What is refused here. The rest of the line has been read all the same.
    pub error: Option<Error>,
}

#[derive(Debug)]
pub enum Error {
    /// A number after a target, which may be meant as a signal or as a process group.
    Number(&'static OsStr),
    Options(clap::Error),
}

/// How the value of an option is read.
pub type Read<T> = fn(&OsStr) -> Result<T, UsageError>;

/// Splits the arguments after argv[0].
pub fn split(args: &[&'static OsStr]) -> Line {
    let mut line = Line::default();
    // Never freed: that would take a tenth of a short run.
    let mut command = ManuallyDrop::new(command());
    let mut rest = args.iter().copied();
    while let Some(arg) = rest.next() {
        match arg.as_bytes().strip_prefix(b"-") {
            None | Some(b"") => line.operand(arg),
            Some(b"-") => {
                line.operands.extend(rest);
                break;
            }
            Some([b'0'..=b'9', ..]) if line.has(&opt::SIGNAL) => line.operand(arg),
            Some(signal @ [b'0'..=b'9', ..]) if line.operands.is_empty() => line.signal(signal),
            Some(digits) if is_number(digits) => {
                line.error.get_or_insert(Error::Number(arg));
            }
            Some([b'0'..=b'9' | 0x80.., ..]) => line.operand(arg),
            Some(signal @ [b'A'..=b'Z', _, ..]) => line.signal(signal),
            Some(word) if str::from_utf8(word).is_ok_and(|word| word.parse::<Signal>().is_ok()) => {
                line.signal(word);
            }
            Some(_) => line.option(&mut command, arg, &mut rest),
        }
    }
    match command.try_get_matches_from_mut(&line.options) {
        Ok(values) => line.values = values,
        Err(error) => _ = line.error.get_or_insert(Error::Options(error)),
    }
    line
}

impl Line {
    /// Whether an option was given, in a line that may be refused.
    pub fn has(&self, option: &Opt) -> bool {
        self.given.contains(option.id())
    }

    /// The first of these options that is given.
    pub fn first(&self, options: &[&'static Opt]) -> Option<&'static Opt> {
        options.iter().copied().find(|option| self.has(option))
    }

    /// The values of an option, in order.
    pub fn values(&self, option: &Opt) -> impl Iterator<Item = &OsStr> {
        let values = self.values.get_many::<OsString>(option.id());
        values.into_iter().flatten().map(OsString::as_os_str)
    }

    /// The value of an option that may be given once.
    pub fn value<T>(&self, option: &Opt, read: Read<T>) -> Result<Option<T>, UsageError> {
        self.values(option).next().map(read).transpose()
    }

    /// What the first of these options that is given stands for, or the default.
    pub fn choice<T: Copy>(&self, default: T, choices: &[(&Opt, T)]) -> T {
        let mut choices = choices.iter();
        let choice = choices.find(|(option, _)| self.has(option));
        choice.map_or(default, |(_, meaning)| *meaning)
    }

    fn operand(&mut self, arg: &'static OsStr) {
        self.before_signal += usize::from(!self.has(&opt::SIGNAL));
        self.operands.push(arg);
    }

    /// Takes the old form of a signal.
    fn signal(&mut self, signal: &[u8]) {
        let mut option = OsString::from("--signal=");
        option.push(OsStr::from_bytes(signal));
        self.options.push(option);
        self.given.insert(opt::SIGNAL.id().into());
    }

    /// Takes an option or a cluster of options, and the arguments after it as long as clap misses
    /// a value.
    fn option(
        &mut self,
        command: &mut Command,
        arg: &OsStr,
        rest: &mut impl Iterator<Item = &'static OsStr>,
    ) {
        let mut words = vec![arg.to_owned()];
        let parts = arg.as_bytes().splitn(2, |byte| *byte == b'=');
        let parts: Vec<_> = parts
            .map(|part| OsStr::from_bytes(part).to_owned())
            .collect();
        while self.misses_value(command, &words) {
            if words.len() < parts.len() {
                // clap takes an attached value for the only one; getopt_long(3) does not, and
                // scripts rely on that.
                words.clone_from(&parts);
            } else if let Some(value) = rest.next() {
                words.push(value.to_owned());
            } else {
                break;
            }
        }
        self.options.append(&mut words);
    }

    /// Notes the options that clap sees in these words. Whether the last one misses a value.
    fn misses_value(&mut self, command: &mut Command, words: &[OsString]) -> bool {
        match command.try_get_matches_from_mut(words) {
            Ok(matches) => {
                self.given.extend(matches.ids().cloned());
                false
            }
            Err(error) => {
                self.given
                    .extend(option_in(&error).map(|option| option.id().into()));
                misses_value(&error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &'static str) -> Vec<&'static OsStr> {
        text.split_whitespace().map(OsStr::new).collect()
    }

    /// A line, its options for clap, and its operands.
    const LINES: &str = "
        -65 7                   | --signal=65               | 7
        -NOPE 7                 | --signal=NOPE             | 7
        -9x 7                   | --signal=9x               | 7
        -a -9 123               | -a --signal=9             | 123
        123 -HUP -9             | --signal=HUP              | 123 -9
        -9 -1                   | --signal=9                | -1
        --signal=TERM -01       | --signal=TERM             | -01
        -q-1 -2 123             | -q-1 --signal=2           | 123
        --timeout 5s KILL -9 1  | --timeout 5s KILL --signal=9 | 1
        --timeout -9 -9 -9 1    | --timeout -9 -9 --signal=9 | 1
        --time=5s KILL -9 1     | --time 5s KILL --signal=9 | 1
        --wi=5s 1               | --wi=5s                   | 1
        -- -9 -HUP              |                           | -9 -HUP
        -pwr 5                  | --signal=pwr              | 5
        -l 9 HUP                | -l                        | 9 HUP
        -lTERM -                | -lTERM                    | -
        -wa 1 -- -2             | -wa                       | 1 -2";

    #[test]
    fn the_old_form_names_the_signal_and_swallows_nothing() {
        for row in LINES.lines().skip(1) {
            let columns: Vec<_> = row.split(" | ").map(words).collect();
            let line = split(&columns[0]);
            assert_eq!(line.options, columns[1], "{row}");
            assert_eq!(line.operands, columns[2], "{row}");
            assert!(line.error.is_none(), "{row}");
        }
    }

    #[test]
    fn a_number_after_a_target_is_refused_unless_a_signal_was_named() {
        for text in "123 -9|123 -1 -HUP|123 --timeout 5s KILL -9|-q 5 123 -9|-l 9 -9".split('|') {
            assert!(split(&words(text)).error.is_some(), "{text}");
        }
    }

    #[test]
    fn abbreviations_count_while_unambiguous() {
        assert!(split(&words("--wit 5s 1")).has(&opt::WITHIN));
        for unknown in ["--w 1", "--nope 1", "-x 1"] {
            let line = split(&words(unknown));
            assert!(line.given.is_empty(), "{unknown}: {line:?}");
            assert_eq!(line.operands, ["1"], "{unknown}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_go_through_untouched() {
        let line = split(&[&b"-\xff"[..], b"-s", b"\xff", b"-T\xff"].map(OsStr::from_bytes));
        assert_eq!(line.operands, [OsStr::from_bytes(b"-\xff")]);
        let options = [&b"-s"[..], b"\xff", b"--signal=T\xff"].map(OsStr::from_bytes);
        assert_eq!(line.options, options);
    }
}
