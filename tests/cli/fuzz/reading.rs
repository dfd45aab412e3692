//! A naive parser of the command line, written from the manual. If the manual does not define
//! something, the reading is marked as loose, and the forecast accepts a usage error as well.

pub mod value;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use value::{Invalid, PID_MAX, Read, digits, duration, named_signal, positive, signal};

/// A target, as in the manual's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Pid(i32),
    Group(i32),
    OwnGroup,
    Everyone,
    Token(i32, u64),
    Name(Vec<u8>),
    Port(u16, Protocol),
    /// What the options describe, without a target.
    Described,
    /// The directory of a control group.
    Cgroup(Vec<u8>),
    /// An empty word.
    Nobody,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// What the command line does with the targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Send,
    DryRun,
    Pids,
    Ids,
    Alive,
    /// More than one of `--pid`, `--id` and `--alive`.
    Mixed,
}

/// A command line that may be carried out.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub mode: Mode,
    pub signal: Option<u8>,
    pub queue: Option<i32>,
    pub targets: Vec<Target>,
    pub pidfiles: Vec<Vec<u8>>,
    pub cgroup: Option<Vec<u8>>,
    pub expect: Vec<Vec<u8>>,
    pub full: Vec<Vec<u8>>,
    pub cwd: Option<Vec<u8>>,
    /// A user that does not exist has no process.
    pub user: Option<u32>,
    /// Follow-ups: milliseconds and signal.
    pub steps: Vec<(u64, u8)>,
    pub within: Option<u64>,
    pub grace: Option<u64>,
    pub loose: bool,
    flags: Vec<&'static str>,
    question: Option<Mode>,
    quiet: bool,
    escaped: bool,
    /// What a word spells where a signal could be named.
    dashless: Option<(u8, bool)>,
}

/// The reading of a whole command line.
#[derive(Debug)]
pub enum Reading {
    /// A usage error: no signal is sent.
    Refused,
    /// A listing, a state or a text: no signal is sent.
    Quiet,
    Request(Box<Request>),
}

/// Long options and the number of their values. `list` may have one, joined by `=`.
const LONG: &[(&str, usize)] = &[
    ("signal", 1),
    ("queue", 1),
    ("list", 0),
    ("table", 0),
    ("show-process-state", 0),
    ("all", 0),
    ("pid", 0),
    ("require-handler", 0),
    ("pidfile", 1),
    ("cgroup", 1),
    ("allow-stale", 0),
    ("user", 1),
    ("full", 1),
    ("cwd", 1),
    ("mixed", 0),
    ("expect", 1),
    ("alive", 0),
    ("id", 0),
    ("tree", 0),
    ("timeout", 2),
    ("wait", 0),
    ("within", 1),
    ("grace", 1),
    ("dry-run", 0),
    ("verbose", 0),
    ("json", 0),
    ("generate", 1),
    ("help", 0),
    ("version", 0),
];

impl Request {
    /// Whether the flag of this long name was given.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.contains(&flag)
    }

    pub fn is_tree(&self) -> bool {
        self.has("tree") || self.has("mixed")
    }

    /// Whether a process that is named by its number must fit a description.
    pub fn verifies(&self) -> bool {
        !self.expect.is_empty() || self.narrows() || self.user.is_some()
    }

    /// Whether what a description selects must fit another one.
    pub fn narrows(&self) -> bool {
        !self.full.is_empty() || self.cwd.is_some()
    }

    fn target(&mut self, text: &[u8]) -> Read<()> {
        let pid = |n: u128| i32::try_from(n).map_err(|_| Invalid);
        let text = str::from_utf8(text).map_err(|_| Invalid)?;
        let spelled = self.signal.is_some() || self.escaped;
        let target = if text.is_empty() {
            Target::Nobody
        } else if text == "0" {
            Target::OwnGroup
        } else if text == "-1" && spelled {
            Target::Everyone
        } else if let Some(group) = text.strip_prefix('-') {
            let group = positive(group, PID_MAX)
                .ok()
                .filter(|&n| n > 1 && spelled && !group.starts_with('0'))
                .ok_or(Invalid)?;
            Target::Group(pid(group)?)
        } else if let Some(port) = text.strip_prefix(':') {
            self.loose |= port.starts_with('0');
            let (port, protocol) = match port.split_once('/') {
                Some((port, "tcp")) => (port, Protocol::Tcp),
                Some((port, "udp")) => (port, Protocol::Udp),
                _ => (port, Protocol::Tcp),
            };
            let port = u16::try_from(positive(port, 65_535)?).map_err(|_| Invalid)?;
            Target::Port(port, protocol)
        } else if let Some(n) = Some(text.trim_matches([' ', '\t', '\n'])).filter(|n| digits(n)) {
            Target::Pid(pid(positive(n, PID_MAX)?)?)
        } else if let Some((n, inode)) = text.split_once(':').filter(|(n, _)| digits(n)) {
            self.loose |= n.starts_with('0') || inode.starts_with('0');
            let inode = positive(inode, u128::from(u64::MAX))?;
            Target::Token(
                pid(positive(n, PID_MAX)?)?,
                u64::try_from(inode).map_err(|_| Invalid)?,
            )
        } else if text.starts_with(|c: char| c.is_alphabetic() || c == '_' || c == '.') {
            // The manual does not define whether letters outside ASCII are letters.
            self.loose |= text.starts_with(|c: char| !c.is_ascii());
            if text.contains(|c: char| c == '/' || c.is_control()) {
                return Err(Invalid);
            }
            let dashless = named_signal(text).filter(|_| !spelled);
            self.dashless = self.dashless.or(dashless);
            Target::Name(text.into())
        } else {
            return Err(Invalid);
        };
        self.targets.push(target);
        Ok(())
    }

    fn name(&mut self, (signal, loose): (u8, bool)) -> Read<()> {
        self.loose |= loose;
        // Two signals are a usage error.
        if self.signal.replace(signal).is_some() {
            Err(Invalid)
        } else {
            Ok(())
        }
    }

    fn value(&mut self, option: &str, value: &[u8]) -> Read<()> {
        match option {
            "signal" => self.name(signal(value)?)?,
            "queue" => {
                let text = str::from_utf8(value).map_err(|_| Invalid)?;
                let number = text.parse().map_err(|_| Invalid)?;
                self.loose |= text.starts_with('+') || self.queue.is_some();
                self.queue = Some(number);
            }
            "pidfile" => {
                self.loose |= !self.pidfiles.is_empty() || value.is_empty();
                self.pidfiles.push(value.to_vec());
            }
            "cgroup" => {
                self.loose |= self.cgroup.is_some() || value.is_empty();
                self.cgroup = Some(value.to_vec());
            }
            "expect" => {
                self.loose |= !self.expect.is_empty()
                    || value.is_empty()
                    || str::from_utf8(value).is_err()
                    || value.contains(&b'/');
                self.expect.push(value.to_vec());
            }
            "full" => {
                self.loose |= !self.full.is_empty();
                self.full.push(value.to_vec());
                return if value.is_empty() {
                    Err(Invalid)
                } else {
                    Ok(())
                };
            }
            "cwd" => {
                self.loose |= self.cwd.is_some();
                self.cwd = Some(value.to_vec());
                return match value {
                    b"" | b"/" => Err(Invalid),
                    _ => Ok(()),
                };
            }
            "user" => {
                let text = str::from_utf8(value).map_err(|_| Invalid)?;
                let number = text.parse().ok().or_else(|| (text == "root").then_some(0));
                self.loose |= self.user.is_some() || number.is_none() || !digits(text);
                self.user = Some(number.unwrap_or(u32::MAX));
            }
            "within" | "grace" => {
                let (time, loose) = duration(value, false)?;
                let place = if option == "within" {
                    &mut self.within
                } else {
                    &mut self.grace
                };
                self.loose |= place.is_some() || loose;
                *place = Some(time.max(place.unwrap_or(0)));
            }
            _ => self.quiet = true,
        }
        Ok(())
    }

    fn ask(&mut self, question: Mode) {
        self.question = Some(if self.question.is_some_and(|q| q != question) {
            Mode::Mixed
        } else {
            question
        });
    }

    fn flag(&mut self, option: &'static str) {
        match option {
            "pid" => self.ask(Mode::Pids),
            "id" => self.ask(Mode::Ids),
            "alive" => self.ask(Mode::Alive),
            "dry-run" | "require-handler" | "allow-stale" | "all" | "tree" | "mixed" | "wait"
            | "verbose" | "json" => {
                self.flags.push(option);
            }
            _ => self.quiet = true,
        }
    }

    fn long<'a>(&mut self, text: &'a [u8], rest: &mut impl Iterator<Item = &'a [u8]>) -> Read<()> {
        let sign = text.iter().position(|&b| b == b'=');
        let joined = sign.map(|sign| &text[sign + 1..]);
        let name = str::from_utf8(&text[..sign.unwrap_or(text.len())]).map_err(|_| Invalid)?;
        let mut fitting = LONG.iter().filter(|(long, _)| long.starts_with(name));
        let exact = LONG.iter().find(|(long, _)| *long == name);
        let found = exact.or_else(|| fitting.next().filter(|_| fitting.next().is_none()));
        let &(option, values) = found.ok_or(Invalid)?;
        match (option, joined) {
            ("list", _) => self.quiet = true,
            (_, None) if values == 0 => self.flag(option),
            (_, Some(_)) if values == 0 => return Err(Invalid),
            ("timeout", _) => {
                self.loose |= joined.is_some();
                let time = joined.or_else(|| rest.next()).ok_or(Invalid)?;
                let (signal, loose) = signal(rest.next().ok_or(Invalid)?)?;
                let (time, loose_time) = duration(time, true)?;
                self.loose |= loose || loose_time;
                self.steps.push((time, signal));
            }
            _ => self.value(option, joined.or_else(|| rest.next()).ok_or(Invalid)?)?,
        }
        Ok(())
    }

    fn cluster<'a>(
        &mut self,
        text: &'a [u8],
        rest: &mut impl Iterator<Item = &'a [u8]>,
    ) -> Read<()> {
        for (index, letter) in text.iter().enumerate() {
            let option = match letter {
                b'a' => "all",
                b'p' => "pid",
                b'r' => "require-handler",
                b'w' => "wait",
                b'v' => "verbose",
                b'L' | b't' | b'd' | b'h' | b'V' => "help",
                b'l' => {
                    self.quiet = true;
                    return Ok(());
                }
                b's' | b'n' | b'q' | b'f' | b'u' => {
                    let option = match *letter {
                        b'q' => "queue",
                        b'f' => "full",
                        b'u' => "user",
                        _ => "signal",
                    };
                    let joined = &text[index + 1..];
                    if let Some(value) = joined.strip_prefix(b"=") {
                        // The manual does not define this spelling: getopt keeps the `=`, other
                        // parsers drop it.
                        self.loose = true;
                        return self.value(option, value);
                    }
                    return self.value(
                        option,
                        if joined.is_empty() {
                            rest.next().ok_or(Invalid)?
                        } else {
                            joined
                        },
                    );
                }
                _ => return Err(Invalid),
            };
            self.flag(option);
        }
        Ok(())
    }

    fn read(args: &[OsString]) -> Read<Self> {
        let mut request = Self::default();
        let mut rest = args.iter().map(|arg| arg.as_bytes());
        while let Some(arg) = rest.next() {
            let Some(short) = arg
                .strip_prefix(b"-")
                .filter(|short| !request.escaped && !short.is_empty())
            else {
                request.target(arg)?;
                continue;
            };
            let name = str::from_utf8(short).unwrap_or_default();
            if short == b"-" {
                request.escaped = true;
            } else if let Some(long) = short.strip_prefix(b"-") {
                request.long(long, &mut rest)?;
            } else if digits(name) && request.signal.is_some() {
                request.target(arg)?;
            } else if digits(name) {
                // After the first target, `-N` is not a signal.
                let first = request.targets.is_empty();
                request.name(signal(short).ok().filter(|_| first).ok_or(Invalid)?)?;
            } else if let Some(named) = named_signal(name) {
                request.name(named)?;
            } else if short[0].is_ascii_uppercase() && short.len() > 1 && request.targets.is_empty()
            {
                return Err(Invalid);
            } else {
                request.cluster(short, &mut rest)?;
            }
        }
        request.check()?;
        Ok(request)
    }

    /// Rejects combinations that exclude each other.
    fn check(&mut self) -> Read<()> {
        let dry = self.has("dry-run");
        let follow = !self.steps.is_empty();
        let waits = self.has("wait") || self.within.is_some() || self.grace.is_some();
        self.mode = self
            .question
            .unwrap_or(if dry { Mode::DryRun } else { Mode::Send });
        self.loose |= self.question.is_some() && (dry || self.has("require-handler"));
        if self.quiet {
            return Ok(());
        }
        let asks_and_sends = self.question.is_some()
            && (self.signal.is_some() || self.queue.is_some() || follow || waits);
        let two_plans = self.grace.is_some() && (follow || self.within.is_some());
        let nothing_to_catch =
            self.has("require-handler") && matches!(self.signal, Some(0 | 9 | 19));
        let many = |target: &Target| {
            matches!(
                target,
                Target::Group(_) | Target::OwnGroup | Target::Everyone
            )
        };
        let checked = self.question.is_some()
            || self.queue.is_some()
            || self.verifies()
            || self.has("require-handler")
            || self.is_tree();
        let own = |target: &Target| matches!(target, Target::OwnGroup | Target::Everyone);
        let unfit = checked && self.targets.iter().any(many)
            || (waits || follow) && self.targets.iter().any(own);
        let null_grace = self.grace.is_some() && self.signal == Some(0);
        // The manual defines only in part how checks and values combine with a control group.
        self.loose |= self.cgroup.is_some()
            && (self.is_tree()
                || self.has("require-handler")
                || self.queue.is_some()
                || self.verifies());
        // How the steps of a mixed tree end depends on the order in which its members die.
        self.loose |= self.has("mixed");
        let mut no_target =
            self.targets.is_empty() && self.pidfiles.is_empty() && self.cgroup.is_none();
        if no_target && (!self.full.is_empty() || self.cwd.is_some()) {
            let selects = |text: &Vec<u8>| text.len() >= 3 && !text.iter().all(u8::is_ascii_digit);
            no_target = !self.full.is_empty() && !self.full.iter().any(selects);
            self.targets.push(Target::Described);
        }
        let two_users = self.user.is_some() && self.has("all");
        let wrong = asks_and_sends
            || two_plans
            || nothing_to_catch
            || unfit
            || null_grace
            || no_target
            || two_users
            || self.dashless.is_some();
        if wrong { Err(Invalid) } else { Ok(()) }
    }
}

/// Reads a whole command line.
pub fn read(args: &[OsString]) -> Reading {
    match Request::read(args) {
        Err(Invalid) => Reading::Refused,
        Ok(request) if request.quiet => Reading::Quiet,
        Ok(request) => Reading::Request(Box::new(request)),
    }
}
