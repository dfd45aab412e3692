//! A command line that is refused: why, and the hints that only the whole line or a look at the
//! system gives. clap's rendered text is not used: it is cut at a line break, and shows control
//! characters as they are.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;

use clap::error::ErrorKind;

use crate::cli::argv::{Error, Line};
use crate::cli::hints;
use crate::cli::options::{OPTIONS, Opt, argument_in, misses_value, option_in, table as opt};
use crate::escape::escape;
use crate::event::Status;
use crate::os::{proc, sys};
use crate::plan::Voice;
use crate::signal::Signal;
use crate::usage::{Lookup, UsageError};

/// A command line that was refused, and the exit status for it.
#[derive(Debug)]
pub struct Refusal {
    pub error: UsageError,
    pub status: Status,
    pub voice: Voice,
}

/// Why a line cannot be split or parsed.
pub fn usage_error(error: &Error, line: &Line) -> UsageError {
    match error {
        Error::Number(arg) => {
            let arg = escape(arg.as_bytes());
            let error = format!("'{arg}' after a target may be a signal or a process group");
            let is_signal = arg[1..].parse::<Signal>().is_ok();
            let first = format!("'{{program}} {arg} PID' puts the signal first; ");
            let first = if is_signal { &*first } else { "" };
            let group = format!("'{{program}} -- PID {arg}' means the process group");
            UsageError::new(error).hint(format!("{first}{group}"))
        }
        Error::Options(error) => match option_in(error) {
            Some(option) => misused(option, error, line),
            None => unknown(argument_in(error), line),
        },
    }
}

/// An option that is known, without its values, with a value too many, or once too often.
fn misused(option: &Opt, error: &clap::Error, line: &Line) -> UsageError {
    let name = option.spelled();
    if misses_value(error) {
        let form = option.values.join(" ");
        let mut words = line.options.iter();
        UsageError::new(format!("'{name}' is missing a value: {name} {form}"))
            .or_hint(|| words.find_map(|word| hints::timeout(word)))
    } else if error.kind() == ErrorKind::TooManyValues {
        let error = UsageError::new(format!("'{name}' takes no value"));
        error.or_hint(|| (option.id() == opt::WAIT.id()).then(|| time_for_wait(line))?)
    } else {
        UsageError::new(format!("'{name}' can be given only once"))
    }
}

/// An option that does not exist, or an abbreviation that means more than one.
fn unknown(typed: &str, line: &Line) -> UsageError {
    let shown = escape(typed.as_bytes());
    let name = typed.strip_prefix("--").filter(|name| !name.is_empty());
    let is_meant = |option: &&Opt| option.long.zip(name).is_some_and(|(l, n)| l.starts_with(n));
    let meant = OPTIONS.into_iter().filter(is_meant);
    let meant: Vec<_> = meant.map(Opt::spelled).collect();
    if meant.len() > 1 {
        return UsageError::new(format!("'{shown}' is ambiguous: {}", meant.join(", ")));
    }
    // `-w5`, which is a cluster of options.
    let hint = if matches!(typed.as_bytes(), [b'-', b'0'..=b'9']) {
        time_for_wait(line)
    } else {
        let mut words = line
            .options
            .iter()
            .filter_map(|word| word.to_str()?.split_once('='));
        let attached = words.find(|(name, _)| *name == typed);
        let next = || line.operands.first()?.to_str();
        hints::option(typed, attached.map(|(_, value)| value).or_else(next))
    };
    UsageError::new(format!("unknown option '{shown}'")).better_hint(hint)
}

/// For `-w5` and `--wait=5s`: a flag that is given a time.
fn time_for_wait(line: &Line) -> Option<String> {
    line.options.iter().find_map(|word| {
        let word = word.to_str()?;
        let (_, time) = match word.strip_prefix("--") {
            Some(long) => long.split_once('=')?,
            None => word.split_once('w')?,
        };
        hints::within(time)
    })
}

/// Adds the hint that only the whole line gives.
pub fn with_hint(error: UsageError, line: &Line) -> UsageError {
    let error = error.better_hint(single_dash(&line.options));
    error.or_hint(|| taken(line).or_else(|| unnamed_group(&line.options)))
}

/// A long option with one dash, such as `-help`.
fn single_dash(options: &[OsString]) -> Option<String> {
    let is_typed = |long: &&str| options.contains(&OsString::from(format!("-{long}")));
    let mut longs = OPTIONS.iter().filter_map(|option| option.long);
    let long = longs.find(is_typed)?;
    Some(format!("did you mean --{long}?"))
}

/// A number that is the value of the last option although there is no target, as in `--expect
/// 4242`.
fn taken(line: &Line) -> Option<String> {
    let (value, before) = line.options.split_last()?;
    let is_number = value.as_bytes().iter().all(u8::is_ascii_digit);
    if !is_number || !line.operands.is_empty() || line.has(&opt::STATE) {
        return None;
    }
    let is_option = |word: &&OsString| word.as_bytes().starts_with(b"-");
    let option = before.iter().rfind(is_option)?;
    let [option, value] = [option, value].map(|word| escape(word.as_bytes()));
    Some(format!("'{option}' took '{value}' as its value"))
}

/// A process group without a signal or `--` before it, which reads as a signal.
fn unnamed_group(options: &[OsString]) -> Option<String> {
    let number = |option: &OsString| {
        let signal = option.to_str()?.strip_prefix("--signal=")?;
        signal.parse().ok().filter(|number: &u32| *number > 64)
    };
    let group = options.iter().find_map(number)?;
    Some(format!("'{{program}} -- -{group}' means the process group"))
}

/// Adds the hint that the system knows, or leaves the one that there is.
pub fn complete(error: UsageError) -> UsageError {
    let known = match &error.lookup {
        None => None,
        Some(Lookup::Input) => (error.hint.is_none() && sys::is_pipe(io::stdin()))
            .then(|| "'--pidfile -' reads targets from standard input".to_owned()),
        Some(Lookup::Service(name)) => {
            let services = fs::read_to_string("/etc/services").unwrap_or_default();
            number(&services, name).map(|port| format!("':{port}' means that service"))
        }
        Some(Lookup::User(user)) => proc::user_id(user).ok().flatten().map(users_group),
    };
    error.better_hint(known)
}

/// The control group that systemd gives a user.
fn users_group(id: u32) -> String {
    format!("all processes of a user are a control group: '--cgroup /user.slice/user-{id}.slice'")
}

/// The port of a service in the text of services(5), by its name or an alias.
fn number<'a>(services: &'a str, name: &str) -> Option<&'a str> {
    services.lines().find_map(|line| {
        let line = line.split('#').next()?;
        let mut words = line.split_whitespace();
        let (official, entry) = (words.next()?, words.next()?);
        let is_meant = official == name || words.any(|alias| alias == name);
        entry.strip_suffix("/tcp").filter(|_| is_meant)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_group_of_a_user_is_named_by_number() {
        for (user, id) in [("0", 0), ("root", 0), ("1000", 1000)] {
            let error = complete(UsageError::new("").lookup(Lookup::User(user.into())));
            assert_eq!(error.hint, Some(users_group(id)), "{user}");
        }
        let unknown = UsageError::new("").lookup(Lookup::User("no such user".into()));
        assert_eq!(complete(unknown.clone()), unknown);
    }

    const SERVICES: &str = "# http\t1/tcp

domain\t\t53/udp
domain 53/tcp # DNS
http\t80/tcp\twww
";

    #[test]
    fn a_service_has_the_number_of_its_line() {
        for (name, port) in [("http", "80"), ("www", "80"), ("domain", "53")] {
            assert_eq!(number(SERVICES, name), Some(port), "{name}");
        }
        for name in ["DNS", "", "htt"] {
            assert_eq!(number(SERVICES, name), None, "{name}");
        }
    }
}
