//! Hints after errors of a command line: what is typed for other tools, or by accident, and what
//! to type here. `{program}` stands for the name of the program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::cli::argv::Line;
use crate::cli::duration::{Bare, duration};
use crate::cli::options::{OPTIONS, table as opt};
use crate::cli::value_hints::PADDED_GROUP;
use crate::escape::escape;
use crate::signal::{Signal, nearest};
use crate::target::Target;
use crate::usage::UsageError;

/// Options of pgrep(1), pkill(1), killall(1), fuser(1), timeout(1) and start-stop-daemon(8), and
/// the hint for each.
const FOREIGN: &str = "\
--force: '-KILL' is the signal that no process can catch; '--grace 10s' sends TERM first
-k --kill-after: '-KILL :PORT' is fuser -k; '--timeout 5s KILL' sends KILL later
-i --interactive: '--dry-run' shows who would get the signal
-e --echo: '-v' prints what was signalled
-x --exact: a NAME is always the whole command name
-I --ignore-case --regexp: a NAME is exact: \
    'pgrep PATTERN | {program} --pidfile -' selects by a pattern
-o -O -y --newest --oldest --older --older-than --younger-than: pgrep selects by age: \
    'pgrep --newest NAME | {program} --pidfile -'
-P --parent: '--tree PID' means all descendants; \
    'pgrep -P PID | {program} --pidfile -' the children
-g --pgroup --process-group: '-- -PGID' means a process group
--session: 'pgrep --session SID | {program} --pidfile -' selects by session
--terminal: 'pgrep --terminal TTY | {program} --pidfile -' selects by terminal
-U --euid --uid: '-u USER' means the processes of a user
-F: '--pidfile FILE' reads targets from a file
-H: '-r' signals only processes that have a handler for the signal
-c --count: '{program} -p NAME | wc -l' counts processes
-R --children --recursive: '--tree PID' means a process and all its descendants
-C --name --comm: a command name is a target, without an option
--retry: '--grace 5s' sends TERM, and KILL after 5 seconds";

/// For an option that does not exist, as it was typed.
pub fn option(typed: &str, line: &Line) -> Option<String> {
    let mut foreign = FOREIGN.lines().filter_map(|row| row.split_once(": "));
    if let Some((_, hint)) = foreign.find(|(names, _)| names.split(' ').any(|name| name == typed)) {
        return Some(hint.to_owned());
    }
    if typed == "- " {
        return Some(PADDED_GROUP.to_owned());
    }
    let name = typed.strip_prefix("--").unwrap_or_default();
    if name == "port" {
        return Some(port(line));
    }
    if let Ok(signal) = name.parse::<Signal>() {
        return Some(format!("did you mean -{signal}?"));
    }
    let long = nearest(name, OPTIONS.iter().filter_map(|option| option.long))?;
    Some(format!("did you mean --{long}?"))
}

/// For `--port 8080` and `--port=8080`.
fn port(line: &Line) -> String {
    let attached = |word: &OsString| Some(word.to_str()?.strip_prefix("--port=")?.to_owned());
    let attached = line.options.iter().find_map(attached);
    let next = || Some(line.operands.first()?.to_str()?.to_owned());
    let port = attached.or_else(next).map(|digits| format!(":{digits}"));
    let port = port.filter(|port| port.parse::<Target>().is_ok());
    let port = port.as_deref().unwrap_or(":PORT");
    format!("'{{program}} {port}' signals what listens on a port")
}

/// For `-w5` and `--wait=5s`: a flag that is given a time.
pub fn time_for_wait(line: &Line) -> Option<String> {
    line.options.iter().find_map(|word| {
        let word = word.to_str()?;
        let (_, time) = match word.strip_prefix("--") {
            Some(long) => long.split_once('=')?,
            None => word.split_once('w')?,
        };
        within(time)
    })
}

fn within(time: &str) -> Option<String> {
    let is_bare = time.bytes().all(|byte| byte.is_ascii_digit());
    let time = format!("{time}{}", if is_bare { "s" } else { "" });
    duration(OsStr::new(&time), Bare::Refused).ok()?;
    Some(format!("'--within {time}' waits at most that long"))
}

/// For a text that is no target, from the rest of its line.
pub fn target_of(line: &Line, token: &OsStr) -> Option<String> {
    let mut rest = line.operands.iter().skip_while(|word| **word != token);
    let next = rest.nth(1).and_then(|next| Target::try_from(*next).ok());
    if token == "-" && next.is_some_and(|next| next.process().is_some()) {
        return Some(PADDED_GROUP.to_owned());
    }
    line.has(&opt::WAIT).then(|| within(token.to_str()?))?
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
