//! Hints about texts that are no value of their kind: what they mean elsewhere, and what it is
//! called here. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::cli::duration::{Bare, duration};
use crate::escape::escape;
use crate::signal::Signal;
use crate::target::Target;

/// What stands in for a dash in text that was typeset.
const NO_DASHES: [char; 6] = [
    '\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}', '\u{2014}', '\u{2212}',
];

/// Columns of ps(1) that stand where a target should.
const PS_LINE: &str = "this looks like a line of ps: 'ps -o pid=' prints nothing but the PID";

/// A process group from ps(1) is padded, so that blanks come behind a dash.
pub const PADDED_GROUP: &str =
    "ps pads its numbers: -- \"-$(ps -o pgid= -p PID | tr -d ' ')\" means the group";

/// For a text that names no signal.
pub fn signal(text: &OsStr) -> Option<String> {
    let text = text.to_str()?;
    if let Some(rest) = text.strip_prefix('-')
        && rest.parse::<Signal>().is_ok()
    {
        return Some(format!("'-s {rest}' and '-{rest}' name the signal"));
    }
    let signals: Option<Vec<Signal>> = text.split(',').map(|one| one.parse().ok()).collect();
    match signals?.as_slice() {
        [Signal::TERM, Signal::KILL] => {
            Some("'--grace 5s' sends TERM, and KILL to what is left after 5 seconds".to_owned())
        }
        [first, then, ..] => Some(format!(
            "'-{first} --timeout 5s {then}' sends {then} to what is left after 5 seconds"
        )),
        _ => None,
    }
}

/// For a text that is no duration: `1s:KILL`, as timeouts are written elsewhere.
pub fn timeout(text: &OsStr) -> Option<String> {
    let (after, signal) = text.to_str()?.split_once(':')?;
    duration(OsStr::new(after), Bare::Milliseconds).ok()?;
    signal.parse::<Signal>().ok()?;
    Some(format!("'--timeout {after} {signal}' takes two words"))
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
        [b':', ..] => "':PORT' takes the number of a port, 1 to 65535, in decimal digits",
        b"?" | [b'p', b't', b's', b'/', ..] | [_, _, b':', _, _, b':', _, _] => PS_LINE,
        digits if digits.iter().all(u8::is_ascii_digit) => "a PID is 1 to 2147483647",
        _ => "",
    };
    if !fixed.is_empty() {
        return Some(fixed.to_owned());
    }
    let text = token.to_str();
    if let Some(rest) = text.and_then(|text| text.strip_prefix(NO_DASHES)) {
        let shown = escape(rest.as_bytes());
        return Some(format!(
            "it begins with a character that is no dash: write -{shown}"
        ));
    }
    if let Some(port) = text.and_then(Target::port_in) {
        return Some(format!("'{port}' means what listens on that port"));
    }
    if bytes.contains(&b'/') {
        return Some(path(token));
    }
    several(text?)
}

/// For a path: that of a pidfile, or of a program.
fn path(token: &OsStr) -> String {
    let shown = escape(token.as_bytes());
    let pidfile = format!("'--pidfile {shown}' reads targets from a file");
    let name = token.to_str().and_then(|path| path.rsplit('/').next());
    let name = name.filter(|name| matches!(name.parse(), Ok(Target::Name(_))));
    match name {
        Some(name) if Path::new(name).extension() != Some(OsStr::new("pid")) => format!(
            "'{{program}} {name}' selects by command name, '--expect {name}' verifies; {pidfile}"
        ),
        _ => pidfile,
    }
}

/// The PIDs in a list with commas, or in one that was quoted as a whole.
fn several(token: &str) -> Option<String> {
    let words = token
        .split([',', ';', ' ', '\t', '\n'])
        .filter(|word| !word.is_empty());
    let pids: Option<Vec<String>> = words
        .map(|word| Some(word.parse::<Target>().ok()?.process()?.to_string()))
        .collect();
    let pids = pids.filter(|pids| (2..=8).contains(&pids.len()))?;
    Some(format!(
        "each target is a word of its own: {}",
        pids.join(" ")
    ))
}
