//! Targets as written on the command line: from text to value and back, without a look-up.
//! A text is parsed to exactly what it spells or refused; no PID is computed here.

use std::ffi::OsStr;
use std::fmt;
use std::num::NonZeroU16;
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use nix::unistd;

/// A process ID, 1 to 2147483647 (credentials(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(i32);

impl Pid {
    pub const INIT: Self = Self(1);

    /// Reads digits without padding: no leading zero, no blank.
    pub fn unpadded(digits: impl Iterator<Item = u8> + Clone) -> Option<Self> {
        if digits.clone().next() == Some(b'0') {
            None
        } else {
            number(digits)
        }
    }

    pub const fn number(self) -> i32 {
        self.0
    }

    /// For kill(2) to this one process.
    pub fn process(self) -> unistd::Pid {
        unistd::Pid::from_raw(self.0)
    }
}

/// The ID of a process group, 2 to 2147483647 (credentials(7)): its negative is never -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pgid(Pid);

impl Pgid {
    pub const fn number(self) -> i32 {
        self.0.0
    }

    /// The process that leads the group, or led it.
    pub const fn leader(self) -> Pid {
        self.0
    }

    /// For kill(2) to the whole group.
    pub fn group(self) -> unistd::Pid {
        unistd::Pid::from_raw(-self.number())
    }
}

impl TryFrom<Pid> for Pgid {
    type Error = InvalidTarget;

    fn try_from(pid: Pid) -> Result<Self, InvalidTarget> {
        if pid == Pid::INIT {
            Err(InvalidTarget)
        } else {
            Ok(Self(pid))
        }
    }
}

impl fmt::Display for Pgid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<i32> for Pid {
    type Error = InvalidTarget;

    fn try_from(number: i32) -> Result<Self, InvalidTarget> {
        if number >= 1 {
            Ok(Self(number))
        } else {
            Err(InvalidTarget)
        }
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The inode of a pidfd: unique for each process until the next boot, since Linux 6.9
/// (pidfd_open(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inode(u64);

impl Inode {
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Inode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The processes that a token selects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// `PID`: one process.
    Process(Pid),
    /// The same, with leading zeros or surrounding blanks, which messages repeat.
    Padded(Pid, Box<str>),
    /// `-PGID`: a process group, 2 to 2147483647.
    Group(Pgid),
    /// `0`: the caller's process group.
    OwnGroup,
    /// `-1`: every process that the caller may signal.
    Everyone,
    /// `PID:INODE`: one process, even if its PID is reused.
    Token(Pid, Inode),
    /// `NAME`: processes by command name.
    Name(Box<str>),
    /// `:PORT`, `:PORT/tcp`, `:PORT/udp`: processes that hold a listening TCP socket or a bound,
    /// unconnected UDP socket on this port.
    Port(NonZeroU16, Transport),
    /// The empty word, which names nobody: a variable may be unset.
    Nobody,
}

/// What follows the number of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Nothing, which means TCP.
    Unsaid,
    Tcp,
    Udp,
}

/// The targets of a command line, in order. They are kept as they were written: a hundred thousand
/// values would take more memory than everything else that a call needs.
#[derive(Debug)]
pub struct Targets {
    tokens: Vec<&'static OsStr>,
    // Known once, since each look at the targets reads all tokens.
    has_unknown: bool,
}

impl Targets {
    /// Checks each token: that it is a target, and then by `check`.
    pub fn new<E>(
        tokens: &[&'static OsStr],
        invalid: impl Fn(&OsStr) -> E,
        check: impl Fn(&Target) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut has_unknown = false;
        for &token in tokens {
            let target = Target::try_from(token).map_err(|_| invalid(token))?;
            check(&target)?;
            has_unknown |= matches!(
                target,
                Target::Name(_) | Target::Token(..) | Target::Port(..)
            );
        }
        Ok(Self {
            tokens: tokens.to_vec(),
            has_unknown,
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = Target> {
        self.tokens
            .iter()
            .filter_map(|token| Target::try_from(*token).ok())
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether any target has to be looked up before it can be signalled.
    pub fn has_unknown(&self) -> bool {
        self.has_unknown
    }
}

/// Text that names no target.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidTarget;

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(token: &str) -> Result<Self, InvalidTarget> {
        Self::try_from(OsStr::new(token))
    }
}

impl TryFrom<&OsStr> for Target {
    type Error = InvalidTarget;

    /// Reads an argument. Only names must be UTF-8; everything else is ASCII.
    fn try_from(token: &OsStr) -> Result<Self, InvalidTarget> {
        match token.as_bytes() {
            b"" => Ok(Self::Nobody),
            b"0" => Ok(Self::OwnGroup),
            b"-1" => Ok(Self::Everyone),
            [b'-', pgid @ ..] => Pid::unpadded(pgid.iter().copied())
                .ok_or(InvalidTarget)
                .and_then(|pgid| Pgid::try_from(pgid).map(Self::Group)),
            [b':', port @ ..] => self::port(port).ok_or(InvalidTarget),
            bytes => match Pid::unpadded(bytes.iter().copied()) {
                Some(pid) => Ok(Self::Process(pid)),
                None => token.to_str().ok_or(InvalidTarget).and_then(|token| {
                    match padded(token.as_bytes()) {
                        Some(pid) => Ok(Self::Padded(pid, token.into())),
                        None => token_or_name(token),
                    }
                }),
            },
        }
    }
}

impl Target {
    /// A word of a pidfile: `PID` or `PID:INODE`, the only targets that a file may contain.
    pub fn in_pidfile(word: &str) -> Result<Self, InvalidTarget> {
        match word.parse()? {
            target @ (Self::Process(_) | Self::Padded(..) | Self::Token(..)) => Ok(target),
            _ => Err(InvalidTarget),
        }
    }

    /// The port in a text that other tools take for one: `8080/tcp`, `localhost:8080`,
    /// `http://localhost:8080/`.
    pub fn port_in(text: &str) -> Option<Self> {
        if let Some(Self::Port(number, transport)) = port(text.as_bytes()) {
            let transport = match transport {
                Transport::Udp => Transport::Udp,
                _ => Transport::Unsaid,
            };
            return Some(Self::Port(number, transport));
        }
        let address = text.split_once("://").map_or(text, |(_scheme, rest)| rest);
        let (host, number) = address.split('/').next()?.rsplit_once(':')?;
        let is_host = host.contains(|c: char| !c.is_ascii_digit() && c != ':');
        port(number.as_bytes()).filter(|_| is_host)
    }

    /// The process, if it is selected by its number alone.
    pub const fn process(&self) -> Option<Pid> {
        match self {
            Self::Process(pid) | Self::Padded(pid, _) => Some(*pid),
            _ => None,
        }
    }

    /// Whether kill(2) reaches several processes through it at once.
    #[cfg(test)]
    pub const fn is_many(&self) -> bool {
        matches!(self, Self::Group(_) | Self::OwnGroup | Self::Everyone)
    }
}

/// Digits with leading zeros, which do not mean octal, and surrounding blanks, as `ps -o pid=`
/// prints.
fn padded(token: &[u8]) -> Option<Pid> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n');
    let start = token.iter().position(|byte| !blank(byte))?;
    let end = token.iter().rposition(|byte| !blank(byte))?;
    number(token[start..=end].iter().copied())
}

/// Digits without leading zero whose value is 1 to 65535, and perhaps `/tcp` or `/udp`.
fn port(text: &[u8]) -> Option<Target> {
    let (digits, transport) = if let Some(digits) = text.strip_suffix(b"/tcp") {
        (digits, Transport::Tcp)
    } else if let Some(digits) = text.strip_suffix(b"/udp") {
        (digits, Transport::Udp)
    } else {
        (text, Transport::Unsaid)
    };
    let number = Pid::unpadded(digits.iter().copied())?;
    let number = u16::try_from(number.0).ok().and_then(NonZeroU16::new)?;
    Some(Target::Port(number, transport))
}

/// One or more digits whose value is 1 to 2147483647.
fn number(digits: impl Iterator<Item = u8>) -> Option<Pid> {
    let mut value = 0i32;
    for digit in digits {
        let digit = digit.is_ascii_digit().then(|| i32::from(digit - b'0'))?;
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    Pid::try_from(value).ok()
}

fn token_or_name(token: &str) -> Result<Target, InvalidTarget> {
    if let Some((pid, inode)) = token.split_once(':')
        && let Some(pid) = Pid::unpadded(pid.bytes())
    {
        return inode_number(inode)
            .map(|inode| Target::Token(pid, inode))
            .ok_or(InvalidTarget);
    }
    let starts_a_name = |c: char| c.is_alphabetic() || c == '_' || c == '.';
    if token.starts_with(starts_a_name) && !token.contains(|c: char| c == '/' || c.is_control()) {
        Ok(Target::Name(token.into()))
    } else {
        Err(InvalidTarget)
    }
}

fn inode_number(digits: &str) -> Option<Inode> {
    let all_digits = digits.bytes().all(|digit| digit.is_ascii_digit());
    (all_digits && !digits.starts_with('0')).then(|| digits.parse().ok().map(Inode))?
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(pid) => pid.fmt(f),
            Self::Padded(_, typed) => f.write_str(typed),
            Self::Group(pgid) => write!(f, "-{pgid}"),
            Self::OwnGroup => f.write_str("0"),
            Self::Everyone => f.write_str("-1"),
            Self::Token(pid, inode) => write!(f, "{pid}:{inode}"),
            Self::Name(name) => f.write_str(name),
            Self::Port(port, transport) => write!(
                f,
                ":{port}{}",
                match transport {
                    Transport::Unsaid => "",
                    Transport::Tcp => "/tcp",
                    Transport::Udp => "/udp",
                }
            ),
            Self::Nobody => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_target_is_read() {
        let process = |pid| Target::Process(Pid(pid));
        let padded = |pid, typed: &str| Target::Padded(Pid(pid), typed.into());
        let table = [
            ("1", process(1)),
            ("4242", process(4242)),
            ("2147483647", process(i32::MAX)),
            ("0007", padded(7, "0007")),
            ("010", padded(10, "010")),
            (
                "00000000000000000000001",
                padded(1, "00000000000000000000001"),
            ),
            ("  4242", padded(4242, "  4242")),
            ("\t42\n", padded(42, "\t42\n")),
            ("0", Target::OwnGroup),
            ("-1", Target::Everyone),
            ("-2", Target::Group(Pgid(Pid(2)))),
            ("-2147483647", Target::Group(Pgid(Pid(i32::MAX)))),
            ("42:7", Target::Token(Pid(42), Inode(7))),
            (
                "42:18446744073709551615",
                Target::Token(Pid(42), Inode(u64::MAX)),
            ),
            (":1", Target::Port(NonZeroU16::MIN, Transport::Unsaid)),
            (
                ":8080",
                Target::Port(NonZeroU16::new(8080).expect("not zero"), Transport::Unsaid),
            ),
            (":65535", Target::Port(NonZeroU16::MAX, Transport::Unsaid)),
            (":65535/tcp", Target::Port(NonZeroU16::MAX, Transport::Tcp)),
            (":65535/udp", Target::Port(NonZeroU16::MAX, Transport::Udp)),
            ("", Target::Nobody),
            ("nginx", Target::Name("nginx".into())),
            ("_x", Target::Name("_x".into())),
            (".hidden", Target::Name(".hidden".into())),
            ("Web Content", Target::Name("Web Content".into())),
            ("größe", Target::Name("größe".into())),
        ];
        for (token, target) in table {
            assert_eq!(token.parse(), Ok(target), "{token:?}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let refused = [
            " ",
            "\n",
            "-",
            "--",
            "+1",
            "00",
            "000",
            "-0",
            "-00",
            "-01",
            "-02",
            "-1 ",
            " -1",
            " 0",
            "0 ",
            "0\n",
            "- 1",
            "-+1",
            " -5",
            "--5",
            "0x7b",
            "1e5",
            "1.5",
            "123abc",
            "12,34",
            "1 2",
            "2147483648",
            "4294967295",
            "4294967296",
            "4294967297",
            "18446744073709551615",
            "99999999999999999999",
            "-2147483648",
            "-2147483649",
            "-4294967295",
            "-4294967296",
            "-18446744073709551615",
            "%1",
            "%%",
            "a/b",
            "a\nb",
            "a\u{1b}[m",
            "\u{a0}5",
            "٣",
            "5\u{b}",
            "1:",
            "1:x",
            "1: 2",
            "01:2",
            "1:02",
            "1:0",
            "1:18446744073709551616",
            "0:1",
            "-1:2",
            "1:2:3",
            "*",
            "?x",
            ":",
            ":0",
            ":00",
            ":080",
            ":65536",
            ":4294967376",
            ":-1",
            ":+1",
            ": 80",
            ":80 ",
            " :80",
            ":80x",
            ":http",
            ":80/",
            ":80/TCP",
            ":80/tcp ",
            ":80/sctp",
            ":80/tcp/udp",
            ":/udp",
            ":0/udp",
            "80/tcp",
            "::80",
            ":80:",
            ":0x50",
            "[::]:80",
            "localhost:80x/",
        ];
        for token in refused {
            assert_eq!(token.parse::<Target>(), Err(InvalidTarget), "{token:?}");
        }
    }

    #[test]
    fn a_port_is_found_in_what_other_tools_take() {
        for (text, port) in [
            ("8080/tcp", ":8080"),
            ("8080/udp", ":8080/udp"),
            ("localhost:8080", ":8080"),
            ("http://localhost:8080/", ":8080"),
            ("https://a.example:443/b:1?c", ":443"),
            ("127.0.0.1:80", ":80"),
            ("*:80", ":80"),
            ("[::1]:80", ":80"),
        ] {
            let found = Target::port_in(text).map(|port| port.to_string());
            assert_eq!(found.as_deref(), Some(port), "{text}");
        }
        for text in [
            "nginx",
            "localhost",
            "a:b",
            "a:0",
            "a:65536",
            "1:2",
            "::",
            "http://a/",
            "",
            "a/b:80",
        ] {
            assert_eq!(Target::port_in(text), None, "{text}");
        }
    }

    #[test]
    fn pidfiles_name_processes_only() {
        assert_eq!(Target::in_pidfile("42"), Ok(Target::Process(Pid(42))));
        assert_eq!(
            Target::in_pidfile("42:7"),
            Ok(Target::Token(Pid(42), Inode(7)))
        );
        for word in ["0", "-1", "-42", "nginx", "", "0x2", ":80"] {
            assert_eq!(Target::in_pidfile(word), Err(InvalidTarget), "{word}");
        }
    }

    #[test]
    fn printing_and_reading_are_inverse() {
        for token in [
            "", "1", "007", " 7", "-2", "0", "-1", "42:7", "nginx", ":80", ":80/tcp", ":80/udp",
        ] {
            assert_eq!(
                token.parse::<Target>().map(|target| target.to_string()),
                Ok(token.to_owned())
            );
        }
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    fn nearly() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[ \t\n\r+-]{0,2}0{0,3}[0-9]{0,12}[ \t\n\r]{0,2}",
            "-?(21474836|42949672|184467440737095516)[0-9]{0,3}",
            "[0-9 -]{0,3}:[0-9 +]{0,22}",
            "[ +-]{0,1}:0{0,2}[0-9]{0,6}[ x:]{0,1}(/tcp|/udp|/|)",
            "[A-Za-z_.%0-9é]{1,3}[ -~\u{0}-\u{a0}]{0,6}",
        ]
    }

    fn any_transport() -> impl Strategy<Value = Transport> {
        prop::sample::select(vec![Transport::Unsaid, Transport::Tcp, Transport::Udp])
    }

    fn any_target() -> impl Strategy<Value = Target> {
        let pid = || (1..=i32::MAX).prop_map(Pid);
        prop_oneof![
            pid().prop_map(Target::Process),
            (2..=i32::MAX).prop_map(|pgid| Target::Group(Pgid(Pid(pgid)))),
            Just(Target::OwnGroup),
            Just(Target::Everyone),
            (1..=u16::MAX, any_transport()).prop_map(|(port, transport)| Target::Port(
                NonZeroU16::new(port).expect("not zero"),
                transport
            )),
            Just(Target::Nobody),
            (pid(), 1..=u64::MAX).prop_map(|(pid, inode)| Target::Token(pid, Inode(inode))),
            "[a-zA-Z_.ß][a-z0-9: %-]{0,20}".prop_map(|name| Target::Name(name.into())),
            ("[ \t\n]{1,3}", "0{0,12}", pid(), "[ \t\n]{0,3}").prop_map(
                |(before, zeros, pid, after)| Target::Padded(
                    pid,
                    format!("{before}{zeros}{pid}{after}").into()
                )
            ),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn a_text_is_read_as_exactly_what_it_spells_or_refused(text in nearly()) {
            let Ok(target) = text.parse::<Target>() else { return Ok(()) };
            prop_assert_eq!(target.to_string(), &*text);
            let spelled = |digits: &str| digits.trim_start_matches('0').to_owned();
            match target {
                Target::OwnGroup => prop_assert_eq!(text, "0"),
                Target::Everyone => prop_assert_eq!(text, "-1"),
                Target::Process(pid) => prop_assert_eq!(text, pid.0.to_string()),
                Target::Padded(pid, _) => prop_assert_eq!(spelled(text.trim_matches([' ', '\t', '\n'])), pid.0.to_string()),
                Target::Group(pgid) => {
                    prop_assert!(pgid.number() >= 2);
                    prop_assert_eq!(text, format!("-{}", pgid.number()));
                }
                Target::Token(pid, inode) => prop_assert_eq!(text, format!("{}:{}", pid.0, inode.0)),
                Target::Port(port, transport) => {
                    let suffix = match transport {
                        Transport::Unsaid => "",
                        Transport::Tcp => "/tcp",
                        Transport::Udp => "/udp",
                    };
                    prop_assert_eq!(text, format!(":{port}{suffix}"));
                }
                Target::Nobody => prop_assert_eq!(text, ""),
                Target::Name(_) => {
                    prop_assert!(!text.starts_with(|c: char| c.is_ascii_digit() || "-+% ".contains(c)));
                    prop_assert!(!text.contains(|c: char| c == '/' || c.is_control()));
                }
            }
        }

        #[test]
        fn every_target_is_read_back(target in any_target()) {
            prop_assert_eq!(target.to_string().parse(), Ok(target));
        }

        #[test]
        fn a_pidfile_names_single_processes_by_number(text in nearly()) {
            if let Ok(target) = Target::in_pidfile(&text) {
                prop_assert!(matches!(target, Target::Process(_) | Target::Padded(..) | Target::Token(..)));
                prop_assert_eq!(text.parse(), Ok(target));
            }
        }

        #[test]
        fn bytes_that_are_no_text_name_nobody(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let is_text = str::from_utf8(&bytes).is_ok();
            prop_assert!(is_text || Target::try_from(OsStr::from_bytes(&bytes)).is_err());
        }
    }
}
