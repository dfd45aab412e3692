//! A naive parser of the command line, written from the manual. If the manual does not define
//! something, the reading is marked as loose, and the forecast accepts a usage error as well.

pub mod value;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use value::{Invalid, PID_MAX, Read, digits, duration, named_signal, positive, signal, valid};

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

impl Target {
    /// Whether it means a process group or everyone.
    pub fn is_many(&self) -> bool {
        matches!(self, Self::Group(_) | Self::OwnGroup | Self::Everyone)
    }

    /// Whether it describes processes.
    pub fn is_described(&self) -> bool {
        use Target::{Described, Name, Port};
        matches!(self, Name(_) | Port(..) | Described)
    }
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

/// Long options by the number of their values. `list` may have one, joined by `=`.
const LONG: [&str; 3] = [
    "list table show-process-state all pid require-handler allow-stale mixed alive id tree wait \
     dry-run verbose json help version",
    "signal queue pidfile cgroup user full cwd expect within grace generate",
    "timeout",
];

impl Request {
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
        let pid = |text| i32::try_from(positive(text, PID_MAX)?).map_err(|_| Invalid);
        let text = str::from_utf8(text).map_err(|_| Invalid)?;
        let spelled = self.signal.is_some() || self.escaped;
        let trimmed = text.trim_matches([' ', '\t', '\n']);
        let target = if text.is_empty() {
            Target::Nobody
        } else if text == "0" {
            Target::OwnGroup
        } else if text == "-1" && spelled {
            Target::Everyone
        } else if let Some(group) = text.strip_prefix('-') {
            let number = pid(group)?;
            if number < 2 || !spelled || group.starts_with('0') {
                return Err(Invalid);
            }
            Target::Group(number)
        } else if let Some(port) = text.strip_prefix(':') {
            self.loose |= port.starts_with('0');
            let (port, protocol) = match port.split_once('/') {
                Some((port, "tcp")) => (port, Protocol::Tcp),
                Some((port, "udp")) => (port, Protocol::Udp),
                _ => (port, Protocol::Tcp),
            };
            let port = u16::try_from(positive(port, 65_535)?).map_err(|_| Invalid)?;
            Target::Port(port, protocol)
        } else if digits(trimmed) {
            Target::Pid(pid(trimmed)?)
        } else if let Some((n, inode)) = text.split_once(':').filter(|(n, _)| digits(n)) {
            self.loose |= n.starts_with('0') || inode.starts_with('0');
            let inode = positive(inode, u128::from(u64::MAX))?;
            Target::Token(pid(n)?, u64::try_from(inode).map_err(|_| Invalid)?)
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
        let is_first = self.signal.replace(signal).is_none();
        valid(is_first)
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
                let is_odd = str::from_utf8(value).is_err() || value.contains(&b'/');
                self.loose |= !self.expect.is_empty() || value.is_empty() || is_odd;
                self.expect.push(value.to_vec());
            }
            "full" => {
                self.loose |= !self.full.is_empty();
                self.full.push(value.to_vec());
                valid(!value.is_empty())?;
            }
            "cwd" => {
                self.loose |= self.cwd.is_some();
                self.cwd = Some(value.to_vec());
                valid(!matches!(value, b"" | b"/"))?;
            }
            "user" => {
                let text = str::from_utf8(value).map_err(|_| Invalid)?;
                let number = text.parse().ok().or_else(|| (text == "root").then_some(0));
                self.loose |= self.user.is_some() || number.is_none() || !digits(text);
                self.user = Some(number.unwrap_or(u32::MAX));
            }
            "within" | "grace" => {
                let (time, loose) = duration(value, false)?;
                let is_within = option == "within";
                let place = if is_within {
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
        let is_other = self.question.is_some_and(|asked| asked != question);
        self.question = Some(if is_other { Mode::Mixed } else { question });
    }

    fn flag(&mut self, option: &'static str) {
        match option {
            "pid" => self.ask(Mode::Pids),
            "id" => self.ask(Mode::Ids),
            "alive" => self.ask(Mode::Alive),
            "list" | "table" | "show-process-state" | "help" | "version" => self.quiet = true,
            flag => self.flags.push(flag),
        }
    }

    fn long<'a>(&mut self, text: &'a [u8], rest: &mut impl Iterator<Item = &'a [u8]>) -> Read<()> {
        let sign = text.iter().position(|&b| b == b'=');
        let joined = sign.map(|sign| &text[sign + 1..]);
        let name = str::from_utf8(&text[..sign.unwrap_or(text.len())]).map_err(|_| Invalid)?;
        let all = || {
            let lists = LONG.into_iter().enumerate();
            lists.flat_map(|(values, list)| list.split(' ').map(move |long| (long, values)))
        };
        let mut fitting = all().filter(|(long, _)| long.starts_with(name));
        let exact = all().find(|(long, _)| *long == name);
        let found = exact.or_else(|| fitting.next().filter(|_| fitting.next().is_none()));
        let (option, values) = found.ok_or(Invalid)?;
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
                    // The manual does not define `-s=VALUE`: getopt keeps the `=`, other parsers
                    // drop it.
                    let joined = &text[index + 1..];
                    self.loose |= joined.starts_with(b"=");
                    let value = joined.strip_prefix(b"=");
                    let joined = value.or(Some(joined).filter(|j| !j.is_empty()));
                    return self.value(option, joined.or_else(|| rest.next()).ok_or(Invalid)?);
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
            let is_option = |short: &&[u8]| !request.escaped && !short.is_empty();
            let Some(short) = arg.strip_prefix(b"-").filter(is_option) else {
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
            } else {
                let is_signal = short[0].is_ascii_uppercase() && short.len() > 1;
                valid(!is_signal || !request.targets.is_empty())?;
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
        self.mode = match self.question {
            Some(question) => question,
            None if dry => Mode::DryRun,
            None => Mode::Send,
        };
        self.loose |= self.question.is_some() && (dry || self.has("require-handler"));
        if self.quiet {
            return Ok(());
        }
        let asks_and_sends = self.question.is_some()
            && (self.signal.is_some() || self.queue.is_some() || follow || waits);
        let two_plans = self.grace.is_some() && (follow || self.within.is_some());
        let handles = self.has("require-handler");
        let nothing_to_catch = handles && matches!(self.signal, Some(0 | 9 | 19));
        let own = |target: &Target| matches!(target, Target::OwnGroup | Target::Everyone);
        let checked = self.question.is_some()
            || self.queue.is_some()
            || self.verifies()
            || handles
            || self.is_tree();
        let unfit = checked && self.targets.iter().any(Target::is_many)
            || (waits || follow) && self.targets.iter().any(own);
        let null_grace = self.grace.is_some() && self.signal == Some(0);
        // The manual defines only in part how checks and values combine with a control group.
        let combined = self.is_tree() || handles || self.queue.is_some() || self.verifies();
        self.loose |= self.cgroup.is_some() && combined;
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
        valid(!wrong)
    }
}

pub fn read(args: &[OsString]) -> Reading {
    match Request::read(args) {
        Err(Invalid) => Reading::Refused,
        Ok(request) if request.quiet => Reading::Quiet,
        Ok(request) => Reading::Request(Box::new(request)),
    }
}
