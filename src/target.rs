//! Targets as written on the command line: from text to value and back, without a look-up.
//! A text is parsed to exactly what it spells or refused; no PID is computed here.

use std::ffi::OsStr;
use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use nix::unistd;

use crate::digits::number;

/// A process ID, 1 to 2147483647 (credentials(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(i32);

impl Pid {
    pub const INIT: Self = Self(1);

    /// Reads digits without padding: no leading zero, no blank.
    pub fn unpadded(digits: &str) -> Option<Self> {
        Self::padded(digits).filter(|_| !digits.starts_with('0'))
    }

    fn padded(digits: &str) -> Option<Self> {
        Self::try_from(number::<i32>(digits)?).ok()
    }

    pub const fn number(self) -> i32 {
        self.0
    }

    /// For kill(2) to this one process.
    pub fn process(self) -> unistd::Pid {
        unistd::Pid::from_raw(self.0)
    }
}

impl TryFrom<i32> for Pid {
    type Error = InvalidTarget;

    fn try_from(number: i32) -> Result<Self, InvalidTarget> {
        let is_pid = number >= 1;
        is_pid.then_some(Self(number)).ok_or(InvalidTarget)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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

    fn try_from(leader: Pid) -> Result<Self, InvalidTarget> {
        let is_pgid = leader != Pid::INIT;
        is_pgid.then_some(Self(leader)).ok_or(InvalidTarget)
    }
}

impl fmt::Display for Pgid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The inode of a pidfd: unique for each process until the next boot, since Linux 6.9
/// (pidfd_open(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inode(pub u64);

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
#[derive(Debug, Default)]
pub struct Targets {
    tokens: Vec<&'static OsStr>,
    // Known once, since each look at the targets reads all tokens.
    has_unknown: bool,
}

impl Targets {
    /// Adds the target that a token spells.
    pub fn push(&mut self, token: &'static OsStr) -> Result<Target, InvalidTarget> {
        let target = Target::try_from(token)?;
        let is_unknown = matches!(
            target,
            Target::Name(_) | Target::Token(..) | Target::Port(..)
        );
        self.has_unknown |= is_unknown;
        self.tokens.push(token);
        Ok(target)
    }

    pub fn iter(&self) -> impl Iterator<Item = Target> {
        let tokens = self.tokens.iter();
        tokens.filter_map(|token| Target::try_from(*token).ok())
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

impl TryFrom<&OsStr> for Target {
    type Error = InvalidTarget;

    fn try_from(token: &OsStr) -> Result<Self, InvalidTarget> {
        token.to_str().ok_or(InvalidTarget)?.parse()
    }
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(token: &str) -> Result<Self, InvalidTarget> {
        match token {
            "" => return Ok(Self::Nobody),
            "0" => return Ok(Self::OwnGroup),
            "-1" => return Ok(Self::Everyone),
            _ => {}
        }
        if let Some(pgid) = token.strip_prefix('-') {
            let leader = Pid::unpadded(pgid).ok_or(InvalidTarget)?;
            return Pgid::try_from(leader).map(Self::Group);
        }
        if let Some(text) = token.strip_prefix(':') {
            return port(text).ok_or(InvalidTarget);
        }
        if let Some(pid) = Pid::unpadded(token) {
            return Ok(Self::Process(pid));
        }
        // As `ps -o pid=` prints. A leading zero does not mean octal.
        if let Some(pid) = Pid::padded(token.trim_matches([' ', '\t', '\n'])) {
            return Ok(Self::Padded(pid, token.into()));
        }
        if let Some((pid, inode)) = token.split_once(':')
            && let Some(pid) = Pid::unpadded(pid)
        {
            let number = number(inode).filter(|_| !inode.starts_with('0'));
            return Ok(Self::Token(pid, Inode(number.ok_or(InvalidTarget)?)));
        }
        let starts_a_name = |c: char| c.is_alphabetic() || c == '_' || c == '.';
        let is_no_name = |c: char| c == '/' || c.is_control();
        if token.starts_with(starts_a_name) && !token.contains(is_no_name) {
            return Ok(Self::Name(token.into()));
        }
        Err(InvalidTarget)
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
        match port(text) {
            Some(Self::Port(number, Transport::Tcp)) => {
                return Some(Self::Port(number, Transport::Unsaid));
            }
            None => {}
            port => return port,
        }
        let address = text.split_once("://").map_or(text, |(_scheme, rest)| rest);
        let (host, number) = address.split('/').next()?.rsplit_once(':')?;
        let is_host = host.contains(|c: char| !c.is_ascii_digit() && c != ':');
        port(number).filter(|_| is_host)
    }

    /// The process, if it is selected by its number alone.
    pub const fn process(&self) -> Option<Pid> {
        match self {
            Self::Process(pid) | Self::Padded(pid, _) => Some(*pid),
            _ => None,
        }
    }
}

/// Digits without leading zero whose value is 1 to 65535, and perhaps `/tcp` or `/udp`.
fn port(text: &str) -> Option<Target> {
    let (digits, transport) = match text.split_once('/') {
        None => (text, Transport::Unsaid),
        Some((digits, "tcp")) => (digits, Transport::Tcp),
        Some((digits, "udp")) => (digits, Transport::Udp),
        Some(_) => return None,
    };
    let number = u16::try_from(Pid::unpadded(digits)?.0).ok()?;
    NonZeroU16::new(number).map(|number| Target::Port(number, transport))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(pid) => pid.fmt(f),
            Self::Padded(_, typed) => f.write_str(typed),
            Self::Group(pgid) => write!(f, "-{pgid}"),
            Self::OwnGroup => f.write_str("0"),
            Self::Everyone => f.write_str("-1"),
            Self::Token(pid, Inode(inode)) => write!(f, "{pid}:{inode}"),
            Self::Name(name) => f.write_str(name),
            Self::Port(port, Transport::Unsaid) => write!(f, ":{port}"),
            Self::Port(port, Transport::Tcp) => write!(f, ":{port}/tcp"),
            Self::Port(port, Transport::Udp) => write!(f, ":{port}/udp"),
            Self::Nobody => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn port(number: u16, transport: Transport) -> Target {
        Target::Port(NonZeroU16::new(number).expect("not zero"), transport)
    }

    #[test]
    fn every_form_of_a_target_is_read() {
        let process = |pid| Target::Process(Pid(pid));
        let padded = |pid, typed: &str| Target::Padded(Pid(pid), typed.into());
        let group = |pgid| Target::Group(Pgid(Pid(pgid)));
        let token = |inode| Target::Token(Pid(42), Inode(inode));
        for (text, target) in [
            ("1", process(1)),
            ("2147483647", process(i32::MAX)),
            ("010", padded(10, "010")),
            ("000000000000000001", padded(1, "000000000000000001")),
            ("  4242", padded(4242, "  4242")),
            ("\t42\n", padded(42, "\t42\n")),
            ("0", Target::OwnGroup),
            ("-1", Target::Everyone),
            ("-2", group(2)),
            ("-2147483647", group(i32::MAX)),
            ("42:7", token(7)),
            ("42:18446744073709551615", token(u64::MAX)),
            (":1", port(1, Transport::Unsaid)),
            (":65535", port(65535, Transport::Unsaid)),
            (":65535/tcp", port(65535, Transport::Tcp)),
            (":65535/udp", port(65535, Transport::Udp)),
            ("", Target::Nobody),
        ] {
            assert_eq!(text.parse(), Ok(target), "{text:?}");
        }
        for name in ["nginx", "_x", ".hidden", "Web Content", "größe"] {
            assert_eq!(name.parse(), Ok(Target::Name(name.into())));
        }
    }

    /// Look-alikes.
    const REFUSED: &str = " |\n|-|--|+1|00|000|-0|-00|-01|-02|-1 | -1| 0|0 |0\n|- 1|-+1| -5|--5|0x7b\
        |1e5|1.5|123abc|12,34|1 2|2147483648|4294967295|4294967296|4294967297|18446744073709551615\
        |99999999999999999999|-2147483648|-2147483649|-4294967295|-4294967296\
        |-18446744073709551615|%1|%%|a/b|a\nb|a\u{1b}[m|\u{a0}5|٣|5\u{b}|1:|1:x|1: 2|1:+2|01:2|1:02\
        |1:0|1:18446744073709551616|0:1|-1:2|1:2:3|*|?x|:|:0|:00|:080|:65536|:4294967376|:-1|:+1\
        |: 80|:80 | :80|:80x|:http|:80/|:80/TCP|:80/tcp |:80/sctp|:80/tcp/udp|:/udp|:0/udp|80/tcp\
        |::80|:80:|:0x50|[::]:80|localhost:80x/";

    #[test]
    fn everything_else_is_refused() {
        for text in REFUSED.split('|') {
            assert_eq!(text.parse::<Target>(), Err(InvalidTarget), "{text:?}");
        }
    }

    #[test]
    fn a_port_is_found_in_what_other_tools_take() {
        for (port, texts) in [
            (
                Some(":8080"),
                "8080/tcp localhost:8080 http://localhost:8080/",
            ),
            (Some(":8080/udp"), "8080/udp"),
            (Some(":443"), "https://a.example:443/b:1?c"),
            (Some(":80"), "127.0.0.1:80 *:80 [::1]:80"),
            (
                None,
                "nginx localhost a:b a:0 a:65536 1:2 :: http://a/ a/b:80",
            ),
        ] {
            for text in texts.split(' ') {
                let found = Target::port_in(text).map(|port| port.to_string());
                assert_eq!(found.as_deref(), port, "{text}");
            }
        }
    }

    #[test]
    fn pidfiles_name_processes_only() {
        for (word, is_named) in [("42", true), ("042", true), ("42:7", true), ("-42", false)] {
            assert_eq!(Target::in_pidfile(word).is_ok(), is_named, "{word}");
        }
        for word in ["0", "-1", "nginx", "", "0x2", ":80"] {
            assert_eq!(Target::in_pidfile(word), Err(InvalidTarget), "{word}");
        }
    }

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

    fn any_target() -> impl Strategy<Value = Target> {
        let pid = || (1..=i32::MAX).prop_map(Pid);
        let transport =
            prop::sample::select(vec![Transport::Unsaid, Transport::Tcp, Transport::Udp]);
        prop_oneof![
            pid().prop_map(Target::Process),
            (2..=i32::MAX).prop_map(|pgid| Target::Group(Pgid(Pid(pgid)))),
            Just(Target::OwnGroup),
            Just(Target::Everyone),
            (1..=u16::MAX, transport).prop_map(|(number, transport)| port(number, transport)),
            Just(Target::Nobody),
            (pid(), 1..=u64::MAX).prop_map(|(pid, inode)| Target::Token(pid, Inode(inode))),
            "[a-zA-Z_.ß][a-z0-9: %-]{0,20}".prop_map(|name| Target::Name(name.into())),
            ("[ \t\n]{1,3}0{0,12}", pid(), "[ \t\n]{0,3}").prop_map(|(before, pid, after)| {
                Target::Padded(pid, format!("{before}{pid}{after}").into())
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn a_text_is_read_as_exactly_what_it_spells_or_refused(text in nearly()) {
            let Ok(target) = text.parse::<Target>() else { return Ok(()) };
            prop_assert_eq!(target.to_string(), &*text);
            let unpadded = text.trim_matches([' ', '\t', '\n']).trim_start_matches('0');
            match target {
                Target::OwnGroup => prop_assert_eq!(text, "0"),
                Target::Everyone => prop_assert_eq!(text, "-1"),
                Target::Nobody => prop_assert_eq!(text, ""),
                Target::Process(pid) => prop_assert_eq!(text, pid.0.to_string()),
                Target::Padded(pid, _) => prop_assert_eq!(unpadded, pid.0.to_string()),
                Target::Group(pgid) => {
                    prop_assert!(pgid.number() >= 2);
                    prop_assert_eq!(text, format!("-{}", pgid.number()));
                }
                Target::Token(pid, inode) => prop_assert_eq!(text, format!("{}:{}", pid.0, inode.0)),
                Target::Port(number, Transport::Unsaid) => prop_assert_eq!(text, format!(":{number}")),
                Target::Port(number, _) => prop_assert_eq!(&text[..text.len() - 4], format!(":{number}")),
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
    }
}
