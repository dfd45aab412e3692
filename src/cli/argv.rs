//! The command line before clap sees it: operands are separated from options, and the old `-SIGNAL`
//! form becomes `--signal=SIGNAL`. Pure: works on the arguments and the table of options.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::cli::options::{Arity, OPTIONS, Opt, table as opt};
use crate::escape::escape;
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
    /// Each known option, in order, as often as it was given.
    given: Vec<&'static Opt>,
    /// What is refused here. The rest of the line has been read all the same.
    pub error: Option<UsageError>,
}

/// Splits the arguments after argv[0].
pub fn split(args: &[&'static OsStr]) -> Line {
    let mut line = Line::default();
    let mut args = args.iter().copied();
    while let Some(arg) = args.next() {
        let values = match arg.as_bytes() {
            b"--" => {
                line.operands.extend(args);
                break;
            }
            [b'-', b'-', long @ ..] => line.long(arg, long),
            [b'-', short @ ..] if !short.is_empty() => line.short(arg, short),
            _ => line.operand(arg),
        };
        line.options
            .extend(args.by_ref().take(values).map(OsStr::to_owned));
    }
    line
}

/// The options that a long name, perhaps abbreviated, may mean.
pub fn candidates(name: &[u8]) -> Vec<&'static Opt> {
    let begins = |long: &str| long.as_bytes().starts_with(name);
    let options = OPTIONS.into_iter();
    let candidates: Vec<_> = options
        .filter(|option| option.long.is_some_and(begins))
        .collect();
    let exact = |option: &&&Opt| option.long.is_some_and(|long| long.as_bytes() == name);
    match candidates.iter().find(exact) {
        Some(exact) => vec![exact],
        None => candidates,
    }
}

/// Each of these returns how many of the following arguments belong to the one that it takes.
impl Line {
    fn operand(&mut self, arg: &'static OsStr) -> usize {
        self.before_signal += usize::from(!self.has(&opt::SIGNAL));
        self.operands.push(arg);
        0
    }

    /// Takes what follows a single dash: the old form of a signal, a group, or a cluster of
    /// options.
    fn short(&mut self, arg: &'static OsStr, short: &[u8]) -> usize {
        match short {
            [b'0'..=b'9', ..] if self.has(&opt::SIGNAL) => self.operand(arg),
            [b'0'..=b'9', ..] if self.operands.is_empty() => self.name_signal(short),
            digits if digits.iter().all(u8::is_ascii_digit) => {
                self.error.get_or_insert_with(|| ambiguous_number(arg));
                0
            }
            [b'0'..=b'9' | 0x80.., ..] => self.operand(arg),
            [b'A'..=b'Z', _, ..] => self.name_signal(short),
            _ if str::from_utf8(short).is_ok_and(|text| text.parse::<Signal>().is_ok()) => {
                self.name_signal(short)
            }
            _ => self.cluster(arg, short),
        }
    }

    fn name_signal(&mut self, short: &[u8]) -> usize {
        let mut option = OsString::from("--signal=");
        option.push(OsStr::from_bytes(short));
        self.options.push(option);
        self.given.push(&opt::SIGNAL);
        0
    }

    /// Takes `--name` or `--name=value`.
    fn long(&mut self, arg: &OsStr, long: &[u8]) -> usize {
        let equals = long.iter().position(|byte| *byte == b'=');
        let &[option] = &candidates(&long[..equals.unwrap_or(long.len())])[..] else {
            self.options.push(arg.to_owned());
            return 0;
        };
        self.given.push(option);
        match (equals, option.arity) {
            // clap takes an attached value for the only one; getopt_long(3) does not, and scripts
            // rely on that.
            (Some(equals), Arity::Values(2..)) => {
                let (name, value) = (&arg.as_bytes()[..equals + 2], &long[equals + 1..]);
                self.options
                    .extend([name, value].map(|part| OsStr::from_bytes(part).to_owned()));
            }
            _ => self.options.push(arg.to_owned()),
        }
        option.arity.values_after(equals.is_some())
    }

    /// Takes a cluster of short options. Values belong to the last one.
    fn cluster(&mut self, arg: &OsStr, shorts: &[u8]) -> usize {
        self.options.push(arg.to_owned());
        for (index, short) in shorts.iter().enumerate() {
            let has_short = |option: &&Opt| option.shorts.as_bytes().contains(short);
            let Some(option) = OPTIONS.into_iter().find(has_short) else {
                break;
            };
            self.given.push(option);
            if option.arity != Arity::Flag {
                return option.arity.values_after(index + 1 < shorts.len());
            }
        }
        0
    }

    /// Whether an option was given, in a line that clap may refuse.
    pub fn has(&self, option: &Opt) -> bool {
        self.given.iter().any(|given| given.id == option.id)
    }
}

fn ambiguous_number(arg: &OsStr) -> UsageError {
    let arg = escape(arg.as_bytes());
    UsageError::new(format!("'{arg}' after a target is neither a signal nor a process group")).hint(format!(
        "'{{program}} {arg} PID' puts the signal first; '{{program}} -- PID {arg}' means the process group"
    ))
}

impl Arity {
    /// How many of the following arguments are values.
    fn values_after(self, is_attached: bool) -> usize {
        match self {
            Self::Flag | Self::Attached => 0,
            Self::Values(count) => count - usize::from(is_attached),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            assert_eq!(line.error, None, "{row}");
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

    /// Words that are nearly this and nearly that.
    const WORDS: &str = "- -- -0 -1 -9 -01 -15 -65 -4242 -HUP -TERM -NOPE -hup -pwr -int -RTMIN+1 0 1 \
        42 007 +1 nginx KILL 5s -s -n -sHUP -n9 -s-9 -as -q -q-1 -aq -vq5 -l -l9 -lTERM -L -t -a -v \
        -w -vw -x -ax -é -9x --signal --signal=9 --sig --queue --queue=-1 --timeout --timeout=5s \
        --time --wi --with --list --list=9 --nope --all --pidfile";

    fn lines() -> impl Strategy<Value = Vec<&'static OsStr>> {
        let words = [words(WORDS), vec![OsStr::new(""), OsStr::new(" ")]].concat();
        prop::collection::vec(prop::sample::select(words), 0..9)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn nothing_after_two_dashes_is_read(before in lines(), after in lines()) {
            // Enough dashes that one pair is no option's value.
            let mut args = [before.clone(), words("-- -- --")].concat();
            let with_dashes = split(&args).operands.len();
            args.extend(&after);
            let line = split(&args);
            prop_assert_eq!(&line.operands[with_dashes..], after);
            prop_assert_eq!(line.given.len(), split(&before).given.len());
        }
    }
}
