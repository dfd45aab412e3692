//! Hints after errors of a command line: what is typed for other tools, or by accident, and what
//! to type here. `{program}` stands for the name of the program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::cli::argv::Line;
use crate::cli::duration::{Bare, duration};
use crate::cli::options::{OPTIONS, STATE, WAIT};
use crate::cli::value_hints::PADDED_GROUP;
use crate::escape::escape;
use crate::signal::{Signal, nearest};
use crate::target::Target;
use crate::usage::UsageError;

/// Options of pgrep(1), pkill(1), killall(1), fuser(1), timeout(1) and start-stop-daemon(8).
const FOREIGN: [(&str, &str); 18] = [
    (
        "--force",
        "'-KILL' is the signal that no process can catch; '--grace 10s' sends TERM first",
    ),
    (
        "-k --kill-after",
        "'-KILL :PORT' is fuser -k; '--timeout 5s KILL' sends KILL later",
    ),
    (
        "-i --interactive",
        "'--dry-run' shows who would get the signal",
    ),
    ("-e --echo", "'-v' prints what was signalled"),
    ("-x --exact", "a NAME is always the whole command name"),
    (
        "-I --ignore-case --regexp",
        "a NAME is exact: 'pgrep PATTERN | {program} --pidfile -' selects by a pattern",
    ),
    (
        "-o -O -y --newest --oldest --older --older-than --younger-than",
        "pgrep selects by age: 'pgrep --newest NAME | {program} --pidfile -'",
    ),
    (
        "-P --parent",
        "'--tree PID' means all descendants; 'pgrep -P PID | {program} --pidfile -' the children",
    ),
    (
        "-g --pgroup --process-group",
        "'-- -PGID' means a process group",
    ),
    (
        "--session",
        "'pgrep --session SID | {program} --pidfile -' selects by session",
    ),
    (
        "--terminal",
        "'pgrep --terminal TTY | {program} --pidfile -' selects by terminal",
    ),
    ("-U --euid --uid", "'-u USER' means the processes of a user"),
    ("-F", "'--pidfile FILE' reads targets from a file"),
    (
        "-H",
        "'-r' signals only processes that have a handler for the signal",
    ),
    ("-c --count", "'{program} -p NAME | wc -l' counts processes"),
    (
        "-R --children --recursive",
        "'--tree PID' means a process and all its descendants",
    ),
    (
        "-C --name --comm",
        "a command name is a target, without an option",
    ),
    (
        "--retry",
        "'--grace 5s' sends TERM, and KILL after 5 seconds",
    ),
];

/// For an option that does not exist, as it was typed.
pub fn option(typed: &str, line: &Line) -> Option<String> {
    let is_it = |(names, _): &&(&str, &str)| names.split(' ').any(|name| name == typed);
    if let Some((_, hint)) = FOREIGN.iter().find(is_it) {
        return Some((*hint).to_owned());
    }
    if typed == "- " {
        return Some(PADDED_GROUP.to_owned());
    }
    let name = typed.strip_prefix("--").unwrap_or_default();
    if name == "port" {
        let attached = line.options.iter().find_map(|word| {
            let word = word.to_str()?;
            word.strip_prefix("--port=")
        });
        let next = line.operands.first().and_then(|word| word.to_str());
        let port = attached.or(next).map(|digits| format!(":{digits}"));
        let port = port.filter(|port| port.parse::<Target>().is_ok());
        let port = port.unwrap_or_else(|| ":PORT".to_owned());
        return Some(format!(
            "'{{program}} {port}' signals what listens on a port"
        ));
    }
    if let Ok(signal) = name.parse::<Signal>() {
        return Some(format!("did you mean -{signal}?"));
    }
    let long = nearest(name, OPTIONS.iter().filter_map(|option| option.long));
    long.map(|long| format!("did you mean --{long}?"))
}

/// For `-w5` and `--wait=5s`: a flag that is given a time.
pub fn time_for_wait(line: &Line) -> Option<String> {
    line.options.iter().find_map(|word| {
        let word = word.to_str()?;
        let (_, time) = match word.strip_prefix("--") {
            Some(long) => long.split_once('='),
            None => word.split_once('w'),
        }?;
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
    let text = token.to_str()?;
    let place = line.operands.iter().position(|operand| *operand == token);
    let next = place.and_then(|place| line.operands.get(place + 1)?.to_str());
    if text == "-"
        && next.is_some_and(|next| {
            next.parse()
                .is_ok_and(|next: Target| next.process().is_some())
        })
    {
        return Some(PADDED_GROUP.to_owned());
    }
    line.has(WAIT).then(|| within(text))?
}

/// Adds the hint that only the whole line gives.
pub fn with_hint(error: UsageError, line: &Line) -> UsageError {
    let hint = match (single_dash(&line.options), &error.hint) {
        (Some(hint), _) => Some(hint),
        (None, Some(_)) => None,
        (None, None) => taken(line).or_else(|| unnamed_group(&line.options)),
    };
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// A long option with one dash, such as `-help`.
fn single_dash(options: &[OsString]) -> Option<String> {
    let longs = || OPTIONS.iter().filter_map(|option| option.long);
    let long = options
        .iter()
        .find_map(|option| longs().find(|long| option.to_str() == Some(&format!("-{long}"))))?;
    Some(format!("did you mean --{long}?"))
}

/// A number that is the value of the last option although there is no target, as in `--expect
/// 4242`.
fn taken(line: &Line) -> Option<String> {
    let (value, before) = line.options.split_last()?;
    let option = before
        .iter()
        .rev()
        .find(|word| word.as_bytes().starts_with(b"-"))?;
    let is_number = value.as_bytes().iter().all(u8::is_ascii_digit);
    (line.operands.is_empty() && is_number && !line.has(STATE)).then(|| {
        format!(
            "'{}' took '{}' as its value",
            escape(option.as_bytes()),
            escape(value.as_bytes())
        )
    })
}

/// A process group without a signal or `--` before it, which reads as a signal.
fn unnamed_group(options: &[OsString]) -> Option<String> {
    let number = |option: &OsString| {
        option
            .to_str()?
            .strip_prefix("--signal=")?
            .parse::<u32>()
            .ok()
    };
    let group = options
        .iter()
        .find_map(number)
        .filter(|number| *number > 64)?;
    Some(format!("'{{program}} -- -{group}' means the process group"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse::parse;

    /// Command lines, and what their hint must contain.
    const LINES: &str = "
        8080/tcp                | ':8080'
        8080/udp                | ':8080/udp'
        http://localhost:8080/  | ':8080'
        https://[::1]:8080/x?y  | ':8080'
        127.0.0.1:8080          | ':8080'
        [::]:8080               | ':8080'
        :http                   | ':PORT' takes the number of a port
        /usr/sbin/nginx         | 'kill nginx' selects by command name, '--expect nginx' verifies; '--pidfile /usr/sbin/nginx' reads
        /run/nginx.pid          | '--pidfile /run/nginx.pid'
        ./a/                    | '--pidfile ./a/'
        -w5 7                   | '--within 5s'
        -vw5 7                  | '--within 5s'
        -w10m 7                 | '--within 10m'
        --wait=5s 7             | '--within 5s'
        --wait=5 7              | '--within 5s'
        --wait 5s 7             | '--within 5s'
        7 -w 1m30s              | '--within 1m30s'
        --grace 1S 7            | units are ms, s, m, h and d
        --timeout 5M KILL 7     | units are ms, s, m, h and d
        -TERM,KILL 7            | '--grace 5s'
        -s term,9 7             | '--grace 5s'
        -INT,TERM,KILL 7        | '-INT --timeout 5s TERM'
        -s -9 7                 | '-s 9'
        -n -HUP 7               | '-s HUP' and '-HUP'
        --timeout=1s:KILL 7     | '--timeout 1s KILL'
        --timeout 1s:KILL 7     | '--timeout 1s KILL'
        7 --timeout=1s:KILL     | '--timeout 1s KILL'
        −9 7                    | write -9
        –TERM 7                 | write -TERM
        -TERM - 20005           | tr -d ' '
        -TERM '- 20005'         | tr -d ' '
        -TERM -                 | '--pidfile -'
        4242 pts/0 00:00:00 sleep | 'ps -o pid='
        4242 ? 00:00:00 cron    | 'ps -o pid='
        --newest nginx          | 'pgrep --newest NAME | kill --pidfile -'
        -k 7                    | '-KILL :PORT' is fuser -k
        -i nginx                | '--dry-run'
        -ei nginx               | '-v'
        -x nginx                | whole command name
        --port 8080             | 'kill :8080'
        --port=8080             | 'kill :8080'
        --port x                | 'kill :PORT'
        --force 7               | '--grace 10s'
        -P 7                    | '--tree PID'
        --user-name bob         | 
        --hup 7                 | did you mean -HUP?
        --sginal 9 7            | did you mean --signal?
        12,34                   | each target is a word of its own: 12 34
        %1                      | 'jobs -p'
        4294967295              | a PID is 1 to 2147483647
        nginx HUP               | '-HUP'
        -f 4242                 | 'kill 4242'
        -9 -f 4242              | 'kill -9 4242'
        -p HUP                  | '-- HUP'
    ";

    #[test]
    fn what_is_typed_by_habit_or_accident_is_answered_with_what_to_type() {
        for row in LINES.lines().filter(|row| !row.trim().is_empty()) {
            let (line, wanted) = row
                .split_once("  | ")
                .or(row.split_once(" | "))
                .expect("two columns");
            let quoted = line.trim().split('\'').enumerate();
            let words: Vec<&'static OsStr> = quoted
                .flat_map(|(index, part)| match index % 2 {
                    1 => vec![part],
                    _ => part.split_whitespace().collect(),
                })
                .map(OsStr::new)
                .collect();
            let refused = parse(&words).expect_err(line);
            let hint = refused
                .error
                .hint
                .unwrap_or_default()
                .replace("{program}", "kill");
            let is_wanted = match wanted.trim() {
                "" => hint.is_empty(),
                wanted => hint.contains(wanted),
            };
            assert!(is_wanted, "{line}: {} / {hint}", refused.error.text);
        }
    }
}
