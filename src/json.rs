//! Events as JSON objects, one a line, under keys that stay: README and manual have the table of them.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::escape::escape;
use crate::outcome::{Effect, Outcome, Preview, Status, Subject, Tally};
use crate::resolve::Reason;
use crate::send::Step;
use crate::wait::{Core, Ending};

/// One event.
pub fn event(subject: &Subject, outcome: &Outcome, reason: &str) -> Value {
    let mut object = Map::new();
    object.insert("event".into(), word(outcome).into());
    object.insert("target".into(), subject.typed.into());
    if let Some(pid) = subject.pid {
        object.insert("pid".into(), pid.number().into());
    }
    if let Some(inode) = subject.inode {
        object.insert("inode".into(), inode.number().into());
    }
    if let Some(name) = subject.name {
        object.insert("name".into(), escape(name).into());
    }
    object.extend(particulars(outcome, reason));
    Value::Object(object)
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Sent { .. } => "sent",
        Outcome::Missed(_) => "failed",
        Outcome::Spared => "skipped",
        Outcome::Unstopped => "not-stopped",
        Outcome::AlreadyGone => "already-gone",
        Outcome::Gone { .. } => "gone",
        Outcome::StillThere { .. } => "still-there",
        Outcome::Found => "found",
        Outcome::Alive => "alive",
        Outcome::Would(_) => "would-send",
    }
}

fn particulars(outcome: &Outcome, reason: &str) -> Map<String, Value> {
    let value = match outcome {
        Outcome::Sent { signal, value, after } => {
            let mut object = json!({"signal": signal.to_string(), "number": signal.number()});
            if let Some(value) = value {
                object["value"] = (*value).into();
            }
            object["elapsed_ms"] = after.map_or(0, milliseconds).into();
            object
        }
        Outcome::Missed(why) => {
            let mut object = json!({"reason": reason});
            if let Some(errno) = why.errno() {
                object["errno"] = format!("{errno:?}").into();
            }
            object
        }
        Outcome::Spared | Outcome::Unstopped => json!({"reason": reason}),
        Outcome::Gone { ending, after } => {
            let mut object = ending_object(*ending);
            object["elapsed_ms"] = milliseconds(*after).into();
            object
        }
        Outcome::StillThere { after } => json!({"elapsed_ms": milliseconds(*after)}),
        Outcome::Would(preview) => preview_object(preview),
        Outcome::AlreadyGone | Outcome::Found | Outcome::Alive => json!({}),
    };
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn ending_object(ending: Ending) -> Value {
    match ending {
        Ending::Exited(code) => json!({"ending": "exited", "exit_code": code}),
        Ending::Killed { signal, core } => json!({
            "ending": "killed",
            "exit_signal": signal.to_string(),
            "core_dumped": core == Core::Dumped,
        }),
        Ending::Unknown => json!({"ending": "unknown"}),
    }
}

fn preview_object(preview: &Preview) -> Value {
    let follow_up = |step: &Step| {
        let signals = step.signals.iter().map(ToString::to_string);
        json!({"after_ms": milliseconds(step.after), "signals": signals.collect::<Vec<_>>()})
    };
    let mut object = json!({
        "signal": preview.signal.to_string(),
        "number": preview.signal.number(),
        "effect": effect(preview.effect),
        "user": preview.user,
        "command": escape(&preview.command),
        "follow_ups": preview.follow_ups.iter().map(follow_up).collect::<Vec<_>>(),
    });
    if let Some(age) = preview.age {
        object["age_ms"] = milliseconds(age).into();
    }
    object
}

/// One word for what a signal would do.
fn effect(effect: Effect) -> String {
    match effect {
        Effect::Caught => "caught".to_owned(),
        Effect::Blocked => "blocked".to_owned(),
        Effect::Ignored => "ignored".to_owned(),
        Effect::Default(action) => action.to_string(),
        Effect::Nothing => "nothing".to_owned(),
    }
}

/// An error that is no single target's.
pub fn error(reason: &str) -> Value {
    json!({"event": "error", "reason": reason})
}

/// The last line.
pub fn summary(tally: Tally, status: Status) -> Value {
    json!({
        "event": "summary",
        "signalled": tally.done,
        "failed": tally.failed,
        "remaining": tally.left,
        "status": status.code(),
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Reason {
    fn errno(&self) -> Option<nix::errno::Errno> {
        match self {
            Self::Refused(errno) => Some(*errno),
            reason if reason.is_gone() => Some(nix::errno::Errno::ESRCH),
            _ => None,
        }
    }
}
