//! Hints about words that are no option or no value of their kind: what they mean elsewhere, or
//! were typed for, and what to type here. `{program}` stands for the name of the program. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::cli::duration::{duration, follow_up_time};
use crate::cli::options::OPTIONS;
use crate::digits::is_number;
use crate::escape::escape;
use crate::signal::{Signal, nearest};
use crate::target::Target;

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
-o --oldest: 'pgrep --oldest -x NAME | {program} --pidfile -' selects the oldest process
--newest: 'pgrep --newest -x NAME | {program} --pidfile -' selects the newest process
-O --older --older-than: 'pgrep --older SECONDS -x NAME | {program} --pidfile -' selects by age
-y --younger-than: 'ps -o etimes= -p PID' prints how many seconds ago a process started
-P --parent --ppid: '--tree PID' means all descendants; \
    'pgrep -P PID | {program} --pidfile -' the children
-g --group --pgid --pgroup --process-group: '-- -PGID' means a process group
--session: 'pgrep --session SID | {program} --pidfile -' selects by session
--terminal --tty: 'pgrep --terminal TTY | {program} --pidfile -' selects by terminal
-U --euid --uid: '-u USER' means the processes of a user
-F: '--pidfile FILE' reads targets from a file
-H: '-r' signals only processes that have a handler for the signal
-c --count: '{program} -p NAME | wc -l' counts processes
-R --children --recursive: '--tree PID' means a process and all its descendants
-C --name --comm: a command name is a target, without an option
--stop: '--grace 10s' stops a process for good; '-STOP' suspends it
--retry: '--grace 5s' sends TERM, and KILL after 5 seconds";

/// What stands in for a dash in text that was typeset.
const NO_DASHES: [char; 6] = [
    '\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2212}',
];

/// Columns of ps(1) that stand where a target should.
const PS_LINE: &str = "this looks like a line of ps: 'ps -o pid=' prints nothing but the PID";

/// A process group from ps(1) is padded, so that blanks come behind a dash.
pub const PADDED_GROUP: &str =
    "ps pads its numbers: -- \"-$(ps -o pgid= -p PID | tr -d ' ')\" means the group";

/// For an option that does not exist, and the word after it.
pub fn option(typed: &str, next: Option<&str>) -> Option<String> {
    let mut foreign = FOREIGN.lines().filter_map(|row| row.split_once(": "));
    if let Some((_, hint)) = foreign.find(|(names, _)| names.split(' ').any(|name| name == typed)) {
        return Some(hint.to_owned());
    }
    let name = match typed {
        "- " => return Some(PADDED_GROUP.to_owned()),
        "--port" => {
            let port = next.map(|digits| format!(":{digits}"));
            let port = port.filter(|port| port.parse::<Target>().is_ok());
            let port = port.as_deref().unwrap_or(":PORT");
            return Some(format!(
                "'{{program}} {port}' signals what listens on a port"
            ));
        }
        typed => typed.strip_prefix("--")?,
    };
    if let Ok(signal) = name.parse::<Signal>() {
        return Some(format!("did you mean -{signal}?"));
    }
    let long = nearest(name, OPTIONS.iter().filter_map(|option| option.long))?;
    Some(format!("did you mean --{long}?"))
}

/// For a flag that waits without limit and is given a time: `-w5`, `--wait=5s`.
pub fn within(time: &str) -> Option<String> {
    let unit = if is_number(time) { "s" } else { "" };
    let time = format!("{time}{unit}");
    duration(OsStr::new(&time)).ok()?;
    Some(format!("'--within {time}' waits at most that long"))
}

/// For a text that names no signal.
pub fn signal(text: &OsStr) -> Option<String> {
    let text = text.to_str()?;
    if let Some(rest) = text.strip_prefix('-')
        && rest.parse::<Signal>().is_ok()
    {
        return Some(format!("'-s {rest}' and '-{rest}' name the signal"));
    }
    let signals = text.split(',').map(str::parse);
    let signals: Vec<Signal> = signals.collect::<Result<_, _>>().ok()?;
    let [first, then, ..] = signals[..] else {
        return None;
    };
    Some(match (first, then) {
        (Signal::TERM, Signal::KILL) if signals.len() == 2 => {
            "'--grace 5s' sends TERM, and KILL to what is left after 5 seconds".to_owned()
        }
        _ => format!("'-{first} --timeout 5s {then}' sends {then} to what is left after 5 seconds"),
    })
}

/// For a text that is no duration: `1s:KILL`, as timeouts are written elsewhere.
pub fn timeout(text: &OsStr) -> Option<String> {
    let (after, signal) = text.to_str()?.split_once(':')?;
    follow_up_time(OsStr::new(after)).ok()?;
    signal.parse::<Signal>().ok()?;
    Some(format!("'--timeout {after} {signal}' takes two words"))
}

/// For the old form of a signal as a value of `--timeout`: `--timeout 5s -KILL`.
pub fn dashed_follow_up(after: &OsStr, signal: &OsStr) -> Option<String> {
    let signal = signal.to_str()?.strip_prefix('-')?.parse::<Signal>().ok()?;
    let after = escape(after.as_bytes());
    Some(format!(
        "'--timeout {after} {signal}' has no dash before the signal"
    ))
}

/// For a text that is no target.
pub fn target(token: &OsStr) -> Option<String> {
    let bytes = token.as_bytes();
    let fixed = match bytes {
        b"-" => {
            "'--pidfile -' reads targets from standard input; or is a variable unset after the '-'?"
        }
        [b'-', b' ', ..] => PADDED_GROUP,
        [b'%', ..] => {
            "job numbers belong to the shell: use its own kill, or the PID that 'jobs -p' prints"
        }
        [b':', ..] => "':PORT', ':PORT/tcp' and ':PORT/udp' take one port, 1 to 65535",
        b"?" | [b'p', b't', b's', b'/', ..] | [_, _, b':', _, _, b':', _, _] => PS_LINE,
        digits if is_number(digits) => "a PID is 1 to 2147483647",
        [digits @ .., b'\r'] if is_number(digits) => {
            "it ends with a carriage return, which 'tr -d \"\\r\"' removes"
        }
        _ => {
            return no_dash(token)
                .or_else(|| port(token))
                .or_else(|| path(token))
                .or_else(|| several(token));
        }
    };
    Some(fixed.to_owned())
}

/// For a word whose dash was typeset.
fn no_dash(token: &OsStr) -> Option<String> {
    let rest = escape(token.to_str()?.strip_prefix(NO_DASHES)?.as_bytes());
    Some(format!(
        "it begins with a character that is no dash: write -{rest}"
    ))
}

/// For a port as other tools take it.
fn port(token: &OsStr) -> Option<String> {
    let port = Target::port_in(token.to_str()?)?;
    Some(format!("'{port}' means what listens on that port"))
}

/// For a path: that of a pidfile, or of a program.
fn path(token: &OsStr) -> Option<String> {
    if !token.as_bytes().contains(&b'/') {
        return None;
    }
    let shown = escape(token.as_bytes());
    let pidfile = format!("'--pidfile {shown}' reads targets from a file");
    let name = token.to_str().and_then(|path| path.rsplit('/').next());
    let name = name.filter(|name| matches!(name.parse(), Ok(Target::Name(_))));
    Some(match name {
        Some(name) if Path::new(name).extension() != Some(OsStr::new("pid")) => format!(
            "'{{program}} {name}' selects by command name, '--expect {name}' verifies; {pidfile}"
        ),
        _ => pidfile,
    })
}

/// For PIDs in a list with commas, or in one that was quoted as a whole.
fn several(token: &OsStr) -> Option<String> {
    let words = token.to_str()?.split([',', ';', ' ', '\t', '\n']);
    let words = words.filter(|word| !word.is_empty());
    let pid = |word: &str| Some(word.parse::<Target>().ok()?.process()?.to_string());
    let pids: Vec<String> = words.map(pid).collect::<Option<_>>()?;
    let is_list = (2..=8).contains(&pids.len());
    is_list.then(|| format!("each target is a word of its own: {}", pids.join(" ")))
}
