//! Signals as signal(7) has them: number, names, default action, and the sets that /proc shows as
//! masks. Pure: `run` sends signals.

use std::fmt;
use std::str::FromStr;

use nix::sys::signal::Signal as Named;

use crate::digits::number;

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

const RTMIN: u8 = 34;
const RTMAX: u8 = 64;
/// The last one written relative to `RTMIN`. Those above are written relative to `RTMAX`.
const RTMIN_HALF: u8 = 49;

/// Further names. The aliases are used by programs and other systems.
const NAMES: [(&str, u8); 6] = [
    ("RTMIN", RTMIN),
    ("RTMAX", RTMAX),
    ("NULL", 0),
    ("CLD", 17),
    ("IOT", 6),
    ("POLL", 29),
];

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
        let number = u8::try_from(number).ok()?;
        (number <= RTMAX).then_some(Self(number))
    }

    pub fn default_action(self) -> DefaultAction {
        let row = STANDARD.get(usize::from(self.0));
        row.map_or(Terminate, |row| row.1)
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
        let names = STANDARD.iter().map(|row| row.0);
        nearest(text, names.chain(["RTMIN", "RTMAX"]))
    }
}

/// The candidate that differs from `text` by one typing error, or by two in a long word. Of equal
/// ones, the first letter is more likely to be right.
pub fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = text.chars().count();
    let errors = if length > 5 { 2 } else { 1 };
    // Comparing a name that is much longer or shorter would only take time.
    let alike = candidates.filter(|candidate| candidate.chars().count().abs_diff(length) <= errors);
    alike
        .map(|candidate| (strsim::damerau_levenshtein(text, candidate), candidate))
        .filter(|(distance, _)| *distance <= errors)
        .min_by_key(|(distance, known)| (*distance, known.chars().next() != text.chars().next()))
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
        let name = strip_prefix_ignoring_case(text, "SIG").unwrap_or(text);
        let standard = STANDARD.iter().map(|row| row.0).zip(0..);
        let named = |(known, _): &(&str, u8)| known.eq_ignore_ascii_case(name);
        let value = number(text)
            .or_else(|| Some(standard.chain(NAMES).find(named)?.1))
            .or_else(|| realtime(name));
        let known = value.filter(|number| *number <= RTMAX);
        known.map(Self).ok_or(InvalidSignal)
    }
}

/// Reads `RTMIN+n`, `RTMAX-n` and `RTn`, if that is not below `RTMIN`.
fn realtime(name: &str) -> Option<u8> {
    let after = |prefix| strip_prefix_ignoring_case(name, prefix).and_then(number);
    let value = match after("RTMAX-") {
        Some(n) => RTMAX.checked_sub(n),
        None => RTMIN.checked_add(after("RTMIN+").or_else(|| after("RT"))?),
    };
    value.filter(|number| *number >= RTMIN)
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
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
    use proptest::prelude::*;

    use super::*;

    /// Each number and its spellings.
    const SPELLINGS: &str = "0 EXIT null SIGNULL 00|1 HUP SIGHUP hup SigHup 0001|9 kill|6 IOT ABRT\
        |17 CLD CHLD|29 IO POLL sigpoll|31 SYS|32|33|34 RTMIN RTMIN+0 RTMAX-30 RT0|35 RTMIN+1\
        |37 rtmin+3 SIGRTMIN+3|39 SIGRT5|63 sigrtmax-1|64 RTMIN+30 RTMAX RTMAX-0 rt30";

    #[test]
    fn every_spelling_of_a_signal_is_read() {
        for spellings in SPELLINGS.split('|').map(|row| row.split(' ')) {
            let number = spellings.clone().next().expect("a number");
            for text in spellings {
                let signal: Signal = text.parse().expect(text);
                assert_eq!(signal.number().to_string(), number, "{text}");
            }
        }
    }

    /// Look-alikes.
    const REFUSED: &str = "| |65|99|137|256|265|4294967296|+1|-1| 1|1 |1x|0x9|SIG|SIG9|SIGSIGHUP\
        |UNUSED|NOPE|HUPP|HU|RT|RT31|RTMIN3|RTMIN+|RTMIN+31|RTMIN-1|RTMIN+-1|RTMIN++1|RTMAX+1\
        |RTMAX-31|RTMAX-|RTMIN+256|RTMIN+ 1|HUP |sigſys|1.0|٣";

    #[test]
    fn everything_else_is_refused() {
        for text in REFUSED.split('|') {
            assert_eq!(text.parse::<Signal>(), Err(InvalidSignal), "{text:?}");
        }
    }

    #[test]
    fn printing_and_reading_are_inverse() {
        for signal in Signal::all() {
            assert_eq!(signal.to_string().parse(), Ok(signal));
        }
        let spelled = [0, 29, 32, 34, 35, 49, 50, 63, 64].map(|n| Signal(n).to_string());
        let wanted = "EXIT IO 32 RTMIN RTMIN+1 RTMIN+15 RTMAX-14 RTMAX-1 RTMAX";
        assert_eq!(spelled.join(" "), wanted);
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
        for (number, statuses) in [
            (Some(9), &[9, 137, 265, 393][..]),
            (Some(0), &[0, 128, 256, 512, 2304, 65280]),
            (Some(64), &[64, 192, 320, 448]),
            (Some(1), &[385]),
            (Some(32), &[416]),
            (None, &[65, 99, 127, 193, 255, 321, 384, 449, u32::MAX]),
        ] {
            for status in statuses {
                let signal = Signal::from_status(*status).map(Signal::number);
                assert_eq!(signal, number, "{status}");
            }
        }
    }

    #[test]
    fn a_typing_error_finds_its_signal() {
        let pairs = "HPU HUP|trem TERM|SIGKIL KILL|USR3 USR1|VTLARN VTALRM";
        for (typed, meant) in pairs.split('|').filter_map(|pair| pair.split_once(' ')) {
            assert_eq!(Signal::nearest(typed), Some(meant), "{typed}");
        }
        for unlike in ["zzzz", "X", "WINXX"] {
            assert_eq!(Signal::nearest(unlike), None, "{unlike}");
        }
    }

    /// The signal that a text means, found by trying every spelling of every signal.
    fn spelled(text: &str) -> Option<u8> {
        let text = text.to_ascii_uppercase();
        let name = text.strip_prefix("SIG").unwrap_or(&text);
        let is_digit = |c: char| c.is_ascii_digit();
        // Zeros in front of a number do not count.
        let name = match name.split_at(name.find(is_digit).unwrap_or(name.len())) {
            (prefix @ ("" | "RT" | "RTMIN+" | "RTMAX-"), digits) => digits
                .parse()
                .map_or(name.to_owned(), |n: u64| format!("{prefix}{n}")),
            _ => name.to_owned(),
        };
        let standard = STANDARD.iter().map(|row| row.0.to_owned()).zip(0..);
        let others = NAMES.map(|(name, number)| (name.to_owned(), number));
        let numbers = (0..=64).filter(|_| !text.starts_with("SIG"));
        let numbers = numbers.map(|n| (n.to_string(), n));
        let realtime = (0..=30).flat_map(|n| {
            let up = [format!("RTMIN+{n}"), format!("RT{n}")].map(|name| (name, 34 + n));
            up.into_iter().chain([(format!("RTMAX-{n}"), 64 - n)])
        });
        let mut all = standard.chain(others).chain(numbers).chain(realtime);
        all.find(|(known, _)| *known == name)
            .map(|(_, number)| number)
    }

    fn nearly() -> impl Strategy<Value = String> {
        let names = prop::sample::select(STANDARD.map(|row| row.0).to_vec());
        prop_oneof![
            any::<String>(),
            "0{0,20}[0-9]{0,4}",
            "(SIG|sig|Sig){0,2}[+ -]?[0-9]{1,3}",
            "(SIG|sig)?[Rr][Tt]([Mm][Ii][Nn]|[Mm][Aa][Xx])?[+-]?0{0,3}[0-9]{0,3}",
            ("(SIG|siG|sigsig|)", names, "[A-Z0-9 ]{0,1}")
                .prop_map(|(sig, name, tail)| format!("{sig}{name}{tail}")),
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
