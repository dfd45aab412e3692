//! Each event described once: its line of words and its JSON object. `failure` has the words of
//! what went wrong.

use serde_json::json;

use crate::escape::escape;
use crate::event::{Ending, Obstacle, Outcome, Reason, Subject, What};
use crate::output::failure::failure;
use crate::output::json::{Object, milliseconds};
use crate::output::preview;
use crate::output::text::{described, numbered, obstacle, seconds};
use crate::plan::Mode;
use crate::target::{Pid, Target};

/// The line about an event and its JSON object. Text from other processes is escaped.
pub fn describe(mode: Mode, subject: &Subject, outcome: &Outcome) -> (String, Object) {
    let who = described(subject);
    let event = |name| {
        Object::new(name)
            .with("target", &*subject.typed.text)
            .with_some("pid", subject.pid.map(Pid::number))
            .with_some("inode", subject.inode.map(|inode| inode.0))
            .with_some("name", subject.name.map(escape))
    };
    let because = |name, line: String| {
        let object = event(name).with("reason", &*line);
        (line, object)
    };
    match outcome {
        Outcome::Sent {
            signal,
            value,
            after,
        } => {
            let sent = event("sent")
                .with_signal(*signal)
                .with_some("value", *value)
                .with_some("unseen", subject.unseen)
                .with("elapsed_ms", milliseconds(after.unwrap_or_default()));
            if signal.is_null() {
                return (format!("{who} may be signalled"), sent);
            }
            let value = value.map(|value| format!(" with value {value}"));
            let place = match subject.typed.what {
                What::Directory => format!(" in {}", escape(&*subject.typed.text)),
                _ => String::new(),
            };
            let later = after.map(|after| format!(" after {}", seconds(after)));
            let (signal, value) = (numbered(*signal), value.unwrap_or_default());
            let later = later.unwrap_or_default();
            (format!("sent {signal}{value} to {who}{place}{later}"), sent)
        }
        Outcome::WouldSend {
            signal,
            after,
            preview,
        } => {
            let object = event("would-send")
                .with_signal(*signal)
                .with_some("unseen", subject.unseen)
                .with("elapsed_ms", milliseconds(after.unwrap_or_default()));
            let later = after.map(|after| format!(" {} later", humantime::format_duration(after)));
            let (numbered, later) = (numbered(*signal), later.unwrap_or_default());
            let line = format!("would send {numbered} to {who}{later}");
            match preview {
                Some(preview) => preview::describe(&line, object, *signal, preview),
                None => (line, object),
            }
        }
        Outcome::Failed(reason) => {
            let unseen = match reason {
                Reason::OtherNamespace { count } => Some(*count),
                _ => None,
            };
            let errno = reason.facts().errno.map(|errno| format!("{errno:?}"));
            let (line, object) = because("failed", failure(mode, subject, reason));
            let object = object.with_some("unseen", unseen);
            (line, object.with_some("errno", errno))
        }
        Outcome::Skipped => because(
            "skipped",
            format!("{who} is sigsend itself or an ancestor of it: skipped"),
        ),
        Outcome::Unstopped => because(
            "not-stopped",
            format!("{who} could not be kept stopped; it may have forked before it was killed"),
        ),
        Outcome::Escaped => because(
            "escaped",
            format!("{who} may be a child that a killed member left behind"),
        ),
        Outcome::AlreadyGone(Some(reason)) => because(
            "already-gone",
            format!("{}: already gone", failure(mode, subject, reason)),
        ),
        Outcome::AlreadyGone(None) => {
            // Its PID may belong to another process.
            let who = match &subject.typed.what {
                What::Target(token @ Target::Token(..)) => token.to_string(),
                _ => who,
            };
            (format!("{who} is already gone"), event("already-gone"))
        }
        Outcome::Gone { ending, after } => {
            let (how, object) = ended(event("gone"), *ending);
            let line = format!("{who} {how} after {}", seconds(*after));
            (line, object.with("elapsed_ms", milliseconds(*after)))
        }
        Outcome::StillThere { after, state } => {
            let object = event("still-there").with("elapsed_ms", milliseconds(*after));
            let object = object.with_some("state", state.map(obstacle));
            let help = match state {
                Some(Obstacle::Stopped) => " (CONT continues it)",
                _ => "",
            };
            let state = state.map(|state| format!(": {}{help}", obstacle(state)));
            let (after, state) = (seconds(*after), state.unwrap_or_default());
            (format!("{who} is still there after {after}{state}"), object)
        }
        Outcome::Found => (who, event("found")),
        Outcome::Alive => (format!("{who} is alive"), event("alive")),
    }
}

/// How a process ended.
fn ended(gone: Object, ending: Ending) -> (String, Object) {
    match ending {
        Ending::Exited(code) => (
            format!("exited with status {code}"),
            gone.with("ending", "exited").with("exit_code", code),
        ),
        Ending::Killed {
            signal,
            core_dumped,
        } => {
            let dumped = match core_dumped {
                Some(true) => " (core dumped)",
                _ => "",
            };
            let gone = gone.with("ending", "killed");
            (
                format!("was killed by {signal}{dumped}"),
                gone.with("exit_signal", signal.to_string())
                    .with("core_dumped", json!(core_dumped)),
            )
        }
        Ending::Unknown => (
            "ended in an unknown way".to_owned(),
            gone.with("ending", "unknown"),
        ),
    }
}
