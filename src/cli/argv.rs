//! The command line before clap sees it: options and operands are told apart, and the old `-SIGNAL` form becomes `--signal=SIGNAL`.
//! Pure: works on the argument list and a table of option shapes alone. What a value means is `cli`'s business.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::output::escape::escape;
use crate::signal::Signal;
use crate::usage::UsageError;

/// What must be known of an option to step over it and its values.
pub struct Shape {
    pub id: &'static str,
    pub long: Option<&'static str>,
    pub shorts: &'static str,
    pub arity: Arity,
}

/// How many arguments belong to an option.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    Flag,
    /// One that may be attached (`-l9`, `--list=9`), never the argument behind.
    Attached,
    /// So many, whatever they look like; the first may be attached.
    Values(usize),
}

/// The id of the option that names the signal, by whichever spelling.
pub const SIGNAL: &str = "signal";

/// A command line taken apart; nothing in it is lost, reordered or changed but the old signal form.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Options and the values that belong to them, for clap.
    pub options: Vec<OsString>,
    /// Everything else, in order. A token that starts with `-` stands here only where it may name a group.
    pub operands: Vec<&'static OsStr>,
    /// The id of each option met, in order, repeated as often as it was given.
    pub given: Vec<&'static str>,
    /// What this file refuses itself; the rest of the line has been read all the same.
    pub error: Option<UsageError>,
    /// Whether some option is not in the table, so that clap should word the refusal.
    pub has_unknown: bool,
}

/// Takes the arguments behind argv[0] apart. They live as long as the process: copying or freeing a hundred thousand of them would cost
/// more than reading them.
pub fn split(args: impl Iterator<Item = &'static OsStr>, shapes: &[&Shape]) -> Line {
    let mut line = Line { operands: Vec::with_capacity(args.size_hint().0), ..Line::default() };
    let mut args = args;
    while let Some(arg) = args.next() {
        let values = match arg.as_encoded_bytes() {
            b"--" => {
                line.operands.extend(args);
                break;
            }
            [b'-', b'-', long @ ..] => line.long(arg, long, shapes),
            [b'-', short @ ..] if !short.is_empty() => match old_form(short, &line) {
                Dash::Signal => {
                    line.name_signal(short);
                    continue;
                }
                Dash::Operand => {
                    line.operands.push(arg);
                    continue;
                }
                Dash::Ambiguous => {
                    line.refuse(ambiguous_number(arg));
                    continue;
                }
                Dash::Options => line.cluster(arg, short, shapes),
            },
            _ => {
                line.operands.push(arg);
                continue;
            }
        };
        line.options.extend(args.by_ref().take(values).map(OsStr::to_owned));
    }
    line
}

/// What an argument with one dash in front is.
enum Dash {
    Signal,
    Operand,
    /// A number that is neither signal nor group where it stands.
    Ambiguous,
    Options,
}

/// Decides by what stands behind the dash and what stood before the argument.
fn old_form(short: &[u8], line: &Line) -> Dash {
    let first = short[0];
    if first.is_ascii_digit() {
        let is_number = short.iter().all(u8::is_ascii_digit);
        if line.given.contains(&SIGNAL) {
            Dash::Operand
        } else if line.operands.is_empty() {
            Dash::Signal
        } else if is_number {
            Dash::Ambiguous
        } else {
            Dash::Operand
        }
    } else if !first.is_ascii() {
        Dash::Operand
    } else if is_signal(short) || (first.is_ascii_uppercase() && short.len() > 1) {
        Dash::Signal
    } else {
        Dash::Options
    }
}

fn is_signal(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| text.parse::<Signal>().is_ok())
}

fn ambiguous_number(arg: &OsStr) -> UsageError {
    let arg = escape(arg.as_encoded_bytes());
    UsageError::new(format!("'{arg}' behind a target is neither a signal nor a process group")).hint(format!(
        "'{{program}} {arg} PID' puts the signal first; '{{program}} -- PID {arg}' means the process group"
    ))
}

impl Line {
    fn refuse(&mut self, error: UsageError) {
        self.error.get_or_insert(error);
    }

    /// Rewrites the old form; `short` is the argument without its dash.
    fn name_signal(&mut self, short: &[u8]) {
        let mut option = OsString::from("--signal=");
        option.push(OsStr::from_bytes(short));
        self.options.push(option);
        self.given.push(SIGNAL);
    }

    /// Takes `--name` or `--name=value` over and tells how many arguments behind it belong to it.
    fn long(&mut self, arg: &OsStr, long: &[u8], shapes: &[&Shape]) -> usize {
        self.options.push(arg.to_owned());
        let equals = long.iter().position(|byte| *byte == b'=');
        let name = &long[..equals.unwrap_or(long.len())];
        let known = |shape: &&&Shape| shape.long.is_some_and(|long| long.as_bytes().starts_with(name));
        let exact = shapes.iter().find(|shape| shape.long.is_some_and(|long| long.as_bytes() == name));
        let mut candidates = shapes.iter().filter(known);
        let shape = match (exact, candidates.next(), candidates.next()) {
            (Some(shape), ..) | (None, Some(shape), None) => shape,
            (None, Some(_), Some(_)) => {
                let names: Vec<_> = shapes.iter().filter(known).filter_map(|shape| shape.long).collect();
                let name = escape(name);
                self.refuse(UsageError::new(format!("'--{name}' is ambiguous: --{}", names.join(", --"))));
                return 0;
            }
            (None, None, _) => {
                self.has_unknown = true;
                return 0;
            }
        };
        self.given.push(shape.id);
        if let (Some(equals), Arity::Values(2..)) = (equals, shape.arity) {
            // clap takes an attached value for the only one; getopt_long(3) does not, and scripts may write it so.
            self.options.pop();
            self.options.extend(
                [&arg.as_bytes()[..equals + 2], &long[equals + 1..]].map(|part| OsStr::from_bytes(part).to_owned()),
            );
        }
        values_behind(shape.arity, equals.is_some())
    }

    /// Takes a cluster of short options over and tells how many arguments behind it belong to its last one.
    fn cluster(&mut self, arg: &OsStr, shorts: &[u8], shapes: &[&Shape]) -> usize {
        self.options.push(arg.to_owned());
        for (index, short) in shorts.iter().enumerate() {
            let Some(shape) = shapes.iter().find(|shape| shape.shorts.as_bytes().contains(short)) else {
                self.has_unknown = true;
                return 0;
            };
            self.given.push(shape.id);
            if shape.arity != Arity::Flag {
                return values_behind(shape.arity, index + 1 < shorts.len());
            }
        }
        0
    }
}

fn values_behind(arity: Arity, attached: bool) -> usize {
    match arity {
        Arity::Flag | Arity::Attached => 0,
        Arity::Values(count) => count - usize::from(attached),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Kind;

    const fn shape(id: &'static str, shorts: &'static str, arity: Arity) -> Shape {
        Shape { id, long: Some(id), shorts, arity }
    }

    const SHAPES: [Shape; 7] = [
        shape(SIGNAL, "sn", Arity::Values(1)),
        shape("queue", "q", Arity::Values(1)),
        shape("list", "l", Arity::Attached),
        shape("all", "a", Arity::Flag),
        shape("timeout", "", Arity::Values(2)),
        shape("wait", "w", Arity::Flag),
        shape("within", "", Arity::Values(1)),
    ];

    fn words(text: &'static str) -> impl Iterator<Item = &'static OsStr> {
        text.split_whitespace().map(OsStr::new)
    }

    fn read(text: &'static str) -> Line {
        split(words(text), &SHAPES.each_ref())
    }

    #[test]
    fn the_old_form_names_the_signal_and_swallows_nothing() {
        let table = [
            ("-9 123", "--signal=9", "123"),
            ("-HUP 123", "--signal=HUP", "123"),
            ("-hup 123", "--signal=hup", "123"),
            ("-RTMIN+3 123", "--signal=RTMIN+3", "123"),
            ("-65 7", "--signal=65", "7"),
            ("-NOPE 7", "--signal=NOPE", "7"),
            ("-9x 7", "--signal=9x", "7"),
            ("-a -9 123", "-a --signal=9", "123"),
            ("123 -HUP", "--signal=HUP", "123"),
            ("123 -HUP -9", "--signal=HUP", "123 -9"),
            ("-9 -1", "--signal=9", "-1"),
            ("-s TERM -5", "-s TERM", "-5"),
            ("-sTERM -5", "-sTERM", "-5"),
            ("-n TERM -5", "-n TERM", "-5"),
            ("--sig TERM -5", "--sig TERM", "-5"),
            ("--signal=TERM -01", "--signal=TERM", "-01"),
            ("-s -9 7", "-s -9", "7"),
            ("--queue 5 -HUP 123", "--queue 5 --signal=HUP", "123"),
            ("--que 5 -HUP 123", "--que 5 --signal=HUP", "123"),
            ("-q -1 123", "-q -1", "123"),
            ("-q-1 -2 123", "-q-1 --signal=2", "123"),
            ("-aq -1 123", "-aq -1", "123"),
            ("--timeout 5s KILL -9 123", "--timeout 5s KILL --signal=9", "123"),
            ("--timeout -9 -9 -9 123", "--timeout -9 -9 --signal=9", "123"),
            ("--time=5s KILL -9 123", "--time 5s KILL --signal=9", "123"),
            ("-- -9 -HUP", "", "-9 -HUP"),
            ("-s -- 123", "-s --", "123"),
            ("-pwr 5", "--signal=pwr", "5"),
            ("-l 9 HUP", "-l", "9 HUP"),
            ("-lTERM -", "-lTERM", "-"),
            ("-wa 1 -- -2", "-wa", "1 -2"),
        ];
        for (text, options, operands) in table {
            let line = read(text);
            assert_eq!(line.options, words(options).collect::<Vec<_>>(), "{text}");
            assert_eq!(line.operands, words(operands).collect::<Vec<_>>(), "{text}");
            assert_eq!((line.error, line.has_unknown), (None, false), "{text}");
        }
    }

    #[test]
    fn a_number_behind_a_target_is_refused_unless_a_signal_was_named() {
        for text in ["123 -9", "123 -1 -HUP", "123 --timeout 5s KILL -9", "-q 5 123 -9", "-l 9 -9"] {
            assert_eq!(read(text).error.map(|error| error.kind), Some(Kind::Usage), "{text}");
        }
    }

    #[test]
    fn abbreviations_count_while_unambiguous() {
        assert_eq!(read("--wit 5s 1").given, ["within"]);
        assert_eq!(read("--wi=5s 1").options, ["--wi=5s"]);
        assert!(read("--w 1").error.is_some());
        assert!(read("--nope 1").has_unknown && read("-x 1").has_unknown && read("-ax 1").has_unknown);
    }

    #[test]
    fn bytes_that_are_not_utf8_go_through_untouched() {
        let bytes = |bytes: &'static [u8]| OsStr::from_bytes(bytes);
        let line =
            split([bytes(b"-\xff"), bytes(b"-s"), bytes(b"\xff"), bytes(b"\xfe")].into_iter(), &SHAPES.each_ref());
        assert_eq!(line.operands, [bytes(b"-\xff"), bytes(b"\xfe")]);
        assert_eq!(line.options, [bytes(b"-s"), bytes(b"\xff")]);
        let line = split([bytes(b"-T\xff")].into_iter(), &SHAPES.each_ref());
        assert_eq!(line.options, [bytes(b"--signal=T\xff")]);
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::options::OPTIONS;

    /// Words that are nearly this and nearly that.
    const WORDS: [&str; 64] = [
        "-", "--", "-0", "-1", "-9", "-01", "-15", "-65", "-4242", "-HUP", "-TERM", "-NOPE", "-hup", "-pwr", "-int",
        "-RTMIN+1", "0", "1", "42", "007", "+1", "", " ", "nginx", "KILL", "5s", "-s", "-n", "-sHUP", "-n9", "-s-9",
        "-as", "-q", "-q-1", "-aq", "-vq5", "-l", "-l9", "-lTERM", "-L", "-t", "-a", "-v", "-w", "-vw", "-x", "-ax",
        "-é", "-9x", "--signal", "--signal=9", "--sig", "--queue", "--queue=-1", "--timeout", "--timeout=5s", "--time",
        "--wi", "--with", "--list", "--list=9", "--nope", "--all", "--pidfile",
    ];

    fn read(args: &[&'static str]) -> Line {
        split(args.iter().map(|arg| OsStr::new(*arg)), &OPTIONS.each_ref().map(|option| &option.shape))
    }

    /// Whether options and operands, each in order, make up the arguments: unchanged but for the old form, a first value that was
    /// attached to its option, and `--`. A word that is refused may be left out.
    fn makes_up(args: &[&str], options: &[OsString], operands: &[&OsStr], may_omit: bool) -> bool {
        let Some((arg, args)) = args.split_first() else { return options.is_empty() && operands.is_empty() };
        let old_form = || format!("--signal={}", arg.strip_prefix('-').unwrap_or("-"));
        if *arg == "--" && options.is_empty() && args.iter().map(OsStr::new).eq(operands.iter().copied()) {
            return true;
        }
        if operands.first().is_some_and(|first| first == arg) && makes_up(args, options, &operands[1..], may_omit) {
            return true;
        }
        if options.first().is_some_and(|first| *first == **arg || **first == *old_form())
            && makes_up(args, &options[1..], operands, may_omit)
        {
            return true;
        }
        if let ([first, second, rest @ ..], Some((name, value))) = (options, arg.split_once('='))
            && **first == *name
            && **second == *value
            && makes_up(args, rest, operands, may_omit)
        {
            return true;
        }
        may_omit && makes_up(args, options, operands, may_omit)
    }

    fn lines() -> impl Strategy<Value = Vec<&'static str>> {
        prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..9)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn arguments_keep_their_number_and_order(args in lines()) {
            let line = read(&args);
            prop_assert!(makes_up(&args, &line.options, &line.operands, line.error.is_some()), "{:?}", line);
        }

        #[test]
        fn nothing_behind_two_dashes_is_read(before in lines(), behind in lines()) {
            let first = read(&before);
            let mut args = before.clone();
            // Enough of it that it is no option's value.
            args.extend(["--", "--", "--"]);
            let with_dashes = read(&args).operands.len();
            args.extend(&behind);
            let line = read(&args);
            prop_assert_eq!(&line.operands[with_dashes..], behind.iter().map(OsStr::new).collect::<Vec<_>>());
            prop_assert_eq!(&line.given, &first.given);
        }

        #[test]
        fn what_belongs_to_an_option_stays_with_it(
            before in lines(),
            option in prop::sample::select(vec!["-s", "-n", "-q", "--signal", "--que", "--expect", "--grace", "-as", "-vq"]),
            value in prop::sample::select(WORDS.to_vec()),
        ) {
            // No word in front may want values of its own, or end the options.
            if read(&[&before[..], &["-a", "-a"]].concat()).given.len() != read(&before).given.len() + 2 {
                return Ok(());
            }
            let line = read(&[&before[..], &[option, value]].concat());
            prop_assert_eq!(&line.operands, &read(&before).operands);
            prop_assert_eq!(line.options[line.options.len() - 2..].to_vec(), vec![option, value]);
        }
    }
}
