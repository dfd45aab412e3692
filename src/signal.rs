//! Signals as signal(7) has them: number, names, default action, and the sets that /proc shows as
//! masks. Pure: `run` sends signals.

use std::fmt;
use std::str::FromStr;

use nix::sys::signal::Signal as Named;

/// A signal number from 0 (the null signal) to 64 (`RTMAX`).
///
/// Numbers 1 to 31 have names. 32 and 33 have none, because the C library uses them for its
/// threads; they can be sent. The realtime signals begin at 34. The numbers are those of
/// asm-generic/signal.h, which all architectures except Alpha, MIPS, PA-RISC and SPARC share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// What the kernel does with a signal that a process neither catches, blocks nor ignores
/// (signal(7), "Standard signals").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    Terminate,
    Core,
    Stop,
    Continue,
    Ignore,
}

impl fmt::Display for DefaultAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Terminate => "terminate",
            Self::Core => "core",
            Self::Stop => "stop",
            Self::Continue => "continue",
            Self::Ignore => "ignore",
        })
    }
}

use DefaultAction::{Continue, Core, Ignore, Stop, Terminate};

/// The null signal and the 31 standard ones, indexed by number.
const STANDARD: [(&str, DefaultAction, &str); 32] = [
    (
        "EXIT",
        Ignore,
        "null signal: only checks whether one could be sent",
    ),
    (
        "HUP",
        Terminate,
        "hangup; daemons reload their configuration",
    ),
    ("INT", Terminate, "interrupt from the keyboard (Ctrl-C)"),
    ("QUIT", Core, "quit from the keyboard (Ctrl-\\)"),
    ("ILL", Core, "illegal instruction"),
    ("TRAP", Core, "breakpoint or trace trap"),
    ("ABRT", Core, "abort(3) was called"),
    ("BUS", Core, "bus error: bad memory access"),
    ("FPE", Core, "arithmetic error, such as division by zero"),
    ("KILL", Terminate, "kill; cannot be caught"),
    ("USR1", Terminate, "user-defined signal 1"),
    ("SEGV", Core, "invalid memory reference"),
    ("USR2", Terminate, "user-defined signal 2"),
    ("PIPE", Terminate, "write to a pipe without readers"),
    ("ALRM", Terminate, "timer of alarm(2) expired"),
    ("TERM", Terminate, "termination request"),
    ("STKFLT", Terminate, "coprocessor stack fault; unused"),
    ("CHLD", Ignore, "child exited, stopped or continued"),
    ("CONT", Continue, "continue if stopped"),
    ("STOP", Stop, "stop; cannot be caught"),
    ("TSTP", Stop, "stop from the keyboard (Ctrl-Z)"),
    ("TTIN", Stop, "background process read from the terminal"),
    ("TTOU", Stop, "background process wrote to the terminal"),
    ("URG", Ignore, "urgent data on a socket"),
    ("XCPU", Core, "CPU time limit exceeded"),
    ("XFSZ", Core, "file size limit exceeded"),
    ("VTALRM", Terminate, "virtual timer expired"),
    ("PROF", Terminate, "profiling timer expired"),
    ("WINCH", Ignore, "terminal window size changed"),
    ("IO", Terminate, "I/O is possible"),
    ("PWR", Terminate, "power failure"),
    ("SYS", Core, "bad or forbidden system call"),
];

/// Aliases that programs and other systems use.
const ALIASES: [(&str, u8); 4] = [("NULL", 0), ("CLD", 17), ("IOT", 6), ("POLL", 29)];

const RTMIN: u8 = 34;
const RTMAX: u8 = 64;
/// The last one written relative to `RTMIN`. Those above are written relative to `RTMAX`.
const RTMIN_HALF: u8 = 49;

impl Signal {
    pub const NULL: Self = Self(0);
    pub const HUP: Self = Self(1);
    pub const INT: Self = Self(2);
    pub const KILL: Self = Self(9);
    pub const TERM: Self = Self(15);
    pub const CONT: Self = Self(18);
    pub const STOP: Self = Self(19);
    pub const TSTP: Self = Self(20);
    pub const RTMIN: Self = Self(RTMIN);
    pub const RTMAX: Self = Self(RTMAX);

    /// The number, 0 to 64.
    pub const fn number(self) -> i32 {
        self.0 as i32
    }

    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    pub const fn is_realtime(self) -> bool {
        self.0 >= RTMIN
    }

    /// The same signal in nix's enum, which has names 1 to 31 only.
    pub fn named(self) -> Option<Named> {
        Named::try_from(self.number()).ok()
    }

    /// Every signal from `EXIT` to `RTMAX`, including 32 and 33, which have no names.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=RTMAX).map(Self)
    }

    /// Whether it has a name; 32 and 33 have none.
    pub const fn has_name(self) -> bool {
        (self.0 as usize) < STANDARD.len() || self.is_realtime()
    }

    /// The signal of a number, an exit status (128 + n of a shell, 256 + n of ksh, 384 + n of yash)
    /// or a wait status: 9, 137, 265 and 393 are KILL. A wait status below 255 is that of a
    /// signalled process, 128 being the core dump flag; a plain exit has its code in the second
    /// byte and gives the null signal.
    pub fn from_status(status: u32) -> Option<Self> {
        let number = match status {
            0..255 => status & 0x7f,
            385..=448 => status - 384,
            _ => status & 0xff,
        };
        u8::try_from(number)
            .ok()
            .filter(|number| *number <= RTMAX)
            .map(Self)
    }

    pub fn default_action(self) -> DefaultAction {
        STANDARD
            .get(usize::from(self.0))
            .map_or(Terminate, |row| row.1)
    }

    /// Why it is sent, in a few words (signal(7)).
    pub fn description(self) -> &'static str {
        match STANDARD.get(usize::from(self.0)) {
            Some(row) => row.2,
            None if self.is_realtime() => "realtime: queued, delivered in order of number",
            None => "used by the C library for its threads",
        }
    }

    /// The name that `text` is most similar to, for the hint after an error.
    pub fn nearest(text: &str) -> Option<&'static str> {
        let text = text.to_ascii_uppercase();
        let text = text.strip_prefix("SIG").unwrap_or(&text);
        nearest(
            text,
            STANDARD.iter().map(|row| row.0).chain(["RTMIN", "RTMAX"]),
        )
    }
}

/// The candidate that differs from `text` by one typing error, or by two in a long word.
pub fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let errors = if text.chars().count() > 5 { 2 } else { 1 };
    let length = text.chars().count();
    // Comparing a name that is much longer or shorter would only take time.
    let alike = candidates.filter(|candidate| candidate.chars().count().abs_diff(length) <= errors);
    let distances =
        alike.map(|candidate| (strsim::damerau_levenshtein(text, candidate), candidate));
    distances
        .filter(|(distance, _)| *distance <= errors)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Text that names no signal.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidSignal;

impl FromStr for Signal {
    type Err = InvalidSignal;

    /// Reads a number (decimal digits, 0 to 64) or a name in any case, with at most one `SIG` in
    /// front.
    fn from_str(text: &str) -> Result<Self, InvalidSignal> {
        let bytes = text.as_bytes();
        let name = strip_prefix_ignoring_case(bytes, b"SIG").unwrap_or(bytes);
        let spells = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let standard = (0..).zip(&STANDARD).map(|(number, row)| (row.0, number));
        digits(bytes)
            .filter(|number| *number <= RTMAX)
            .or_else(|| {
                let mut known = standard.chain(ALIASES);
                known.find(|(known, _)| spells(known)).map(|(_, n)| n)
            })
            .map(Self)
            .or_else(|| realtime(name))
            .ok_or(InvalidSignal)
    }
}

/// Reads `RTMIN`, `RTMIN+n`, `RTMAX`, `RTMAX-n` and `RTn`, within 34 to 64.
fn realtime(name: &[u8]) -> Option<Signal> {
    let rest = strip_prefix_ignoring_case(name, b"RT")?;
    let number = if let Some(offset) = strip_prefix_ignoring_case(rest, b"MIN") {
        match offset {
            [] => Some(RTMIN),
            [b'+', n @ ..] => RTMIN.checked_add(digits(n)?),
            _ => None,
        }
    } else if let Some(offset) = strip_prefix_ignoring_case(rest, b"MAX") {
        match offset {
            [] => Some(RTMAX),
            [b'-', n @ ..] => RTMAX.checked_sub(digits(n)?),
            _ => None,
        }
    } else {
        RTMIN.checked_add(digits(rest)?)
    };
    number
        .filter(|number| (RTMIN..=RTMAX).contains(number))
        .map(Signal)
}

/// The value of one or more decimal digits, unless it is above 255.
fn digits(text: &[u8]) -> Option<u8> {
    let mut value = None;
    for byte in text {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        value = Some(value.unwrap_or(0u8).checked_mul(10)?.checked_add(digit)?);
    }
    value
}

fn strip_prefix_ignoring_case<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

impl fmt::Display for Signal {
    /// The canonical spelling: `EXIT`, `HUP`, `32`, `RTMIN+1`, `RTMAX-14`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            RTMIN => f.write_str("RTMIN"),
            RTMAX => f.write_str("RTMAX"),
            n if n > RTMIN_HALF => write!(f, "RTMAX-{}", RTMAX - n),
            n if n > RTMIN => write!(f, "RTMIN+{}", n - RTMIN),
            n => match STANDARD.get(usize::from(n)) {
                Some(row) => f.write_str(row.0),
                None => n.fmt(f),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_signal_is_read() {
        let spellings = [
            ("0", 0),
            ("EXIT", 0),
            ("null", 0),
            ("SIGNULL", 0),
            ("00", 0),
            ("1", 1),
            ("HUP", 1),
            ("SIGHUP", 1),
            ("hup", 1),
            ("SigHup", 1),
            ("0001", 1),
            ("9", 9),
            ("kill", 9),
            ("IOT", 6),
            ("ABRT", 6),
            ("CLD", 17),
            ("CHLD", 17),
            ("IO", 29),
            ("POLL", 29),
            ("sigpoll", 29),
            ("SYS", 31),
            ("32", 32),
            ("33", 33),
            ("34", 34),
            ("64", 64),
            ("RTMIN", 34),
            ("RTMIN+0", 34),
            ("RTMIN+1", 35),
            ("RTMIN+30", 64),
            ("rtmin+3", 37),
            ("SIGRTMIN+3", 37),
            ("RTMAX", 64),
            ("RTMAX-0", 64),
            ("RTMAX-30", 34),
            ("sigrtmax-1", 63),
            ("RT0", 34),
            ("rt30", 64),
            ("SIGRT5", 39),
        ];
        for (text, number) in spellings {
            assert_eq!(
                text.parse::<Signal>().map(Signal::number),
                Ok(number),
                "{text}"
            );
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let refused = [
            "",
            " ",
            "65",
            "99",
            "137",
            "256",
            "265",
            "4294967296",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1x",
            "0x9",
            "SIG",
            "SIG9",
            "SIGSIGHUP",
            "UNUSED",
            "NOPE",
            "HUPP",
            "HU",
            "RT",
            "RT31",
            "RTMIN3",
            "RTMIN+",
            "RTMIN+31",
            "RTMIN-1",
            "RTMIN+-1",
            "RTMAX+1",
            "RTMAX-31",
            "RTMAX-",
            "RTMIN+256",
            "RTMIN+ 1",
            "HUP ",
            "sigſys",
            "1.0",
            "٣",
        ];
        for text in refused {
            assert_eq!(text.parse::<Signal>(), Err(InvalidSignal), "{text:?}");
        }
    }

    #[test]
    fn printing_and_reading_are_inverse() {
        for signal in Signal::all() {
            assert_eq!(signal.to_string().parse(), Ok(signal));
        }
        let spelled = |number| Signal(number).to_string();
        assert_eq!(
            [0, 29, 32, 34, 35, 49, 50, 63, 64].map(spelled),
            [
                "EXIT", "IO", "32", "RTMIN", "RTMIN+1", "RTMIN+15", "RTMAX-14", "RTMAX-1", "RTMAX"
            ]
        );
    }

    #[test]
    fn numbers_agree_with_the_kernel_headers() {
        for signal in Signal::all().skip(1).take(31) {
            let named = signal.named().expect("nix names 1 to 31").as_str();
            let name = if named == "SIGPOLL" { "SIGIO" } else { named };
            assert_eq!(name, format!("SIG{signal}"));
        }
        assert!(Signal(32).named().is_none() && Signal::RTMIN.named().is_none());
    }

    #[test]
    fn statuses_become_signals() {
        let signal = |status| Signal::from_status(status).map(Signal::number);
        for (status, number) in [
            (9, 9),
            (137, 9),
            (265, 9),
            (0, 0),
            (128, 0),
            (256, 0),
            (512, 0),
            (2304, 0),
            (65280, 0),
            (64, 64),
            (192, 64),
            (320, 64),
            (385, 1),
            (393, 9),
            (416, 32),
            (448, 64),
        ] {
            assert_eq!(signal(status), Some(number), "{status}");
        }
        for status in [65, 99, 127, 193, 255, 321, 384, 449, u32::MAX] {
            assert_eq!(signal(status), None, "{status}");
        }
    }

    #[test]
    fn a_typing_error_finds_its_signal() {
        for (typed, meant) in [
            ("HPU", "HUP"),
            ("trem", "TERM"),
            ("SIGKIL", "KILL"),
            ("USR3", "USR1"),
        ] {
            assert_eq!(Signal::nearest(typed), Some(meant), "{typed}");
        }
        assert_eq!(Signal::nearest("zzzz").or(Signal::nearest("X")), None);
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    /// The signal that a text means, found by trying every spelling of every signal.
    fn spelled(text: &str) -> Option<u8> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let digits = text.trim_start_matches('0');
            return (0..=64).find(|number| {
                if *number == 0 {
                    digits.is_empty()
                } else {
                    digits == number.to_string()
                }
            });
        }
        let text = text.to_ascii_uppercase();
        let name = text.strip_prefix("SIG").unwrap_or(&text);
        let aliases = [
            ("NULL", 0),
            ("CLD", 17),
            ("IOT", 6),
            ("POLL", 29),
            ("RTMIN", 34),
            ("RTMAX", 64),
        ];
        let known = STANDARD
            .iter()
            .map(|row| row.0)
            .zip(0..)
            .chain(aliases)
            .find(|(known, _)| *known == name);
        let from = |prefix: &str, at: &dyn Fn(u8) -> u8| {
            let digits = name.strip_prefix(prefix)?;
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let digits = digits.trim_start_matches('0');
            let spells = |n: &u8| {
                if *n == 0 {
                    digits.is_empty()
                } else {
                    digits == n.to_string()
                }
            };
            (0..=30).filter(|_| is_number).find(spells).map(at)
        };
        known
            .map(|(_, number)| number)
            .or_else(|| from("RTMIN+", &|n| 34 + n))
            .or_else(|| from("RTMAX-", &|n| 64 - n))
            .or_else(|| from("RT", &|n| 34 + n))
    }

    fn nearly() -> impl Strategy<Value = String> {
        let names = prop::sample::select(STANDARD.map(|row| row.0).to_vec());
        prop_oneof![
            any::<String>(),
            "0{0,20}[0-9]{0,4}",
            "(SIG|sig|Sig){0,2}[+ -]?[0-9]{1,3}",
            "(SIG|sig)?[Rr][Tt]([Mm][Ii][Nn]|[Mm][Aa][Xx])?[+-]?0{0,3}[0-9]{0,3}",
            (names, "(SIG|siG|sigsig|)", "[A-Z0-9 ]{0,1}")
                .prop_map(|(name, sig, tail)| format!("{sig}{name}{tail}")),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_text_is_read_as_what_it_spells_or_refused(text in nearly()) {
            prop_assert_eq!(text.parse::<Signal>().ok().map(|signal| signal.0), spelled(&text));
        }

        #[test]
        fn every_signal_is_read_back_in_any_case(number in 0u8..=64, upper in any::<u32>(), prefixed in any::<bool>()) {
            let signal = Signal(number);
            let prefix = if prefixed && signal.has_name() { "SIG" } else { "" };
            let text: String = format!("{prefix}{signal}")
                .chars()
                .enumerate()
                .map(|(index, c)| if upper >> (index % 32) & 1 == 1 { c } else { c.to_ascii_lowercase() })
                .collect();
            prop_assert_eq!(text.parse(), Ok(signal));
        }

        #[test]
        fn a_status_means_a_signal_by_its_lowest_bits(status in prop_oneof![0u32..1000, any::<u32>()]) {
            let signal = Signal::from_status(status).map(|signal| u32::from(signal.0));
            let meant = match status {
                0..255 => status % 128,
                385..=448 => status - 384,
                _ => status % 256,
            };
            prop_assert_eq!(signal, Some(meant).filter(|number| *number <= 64));
        }
    }
}
