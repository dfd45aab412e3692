//! Events as JSON objects, one a line. The keys are stable; the reference has the table of them.

use std::fmt;
use std::time::Duration;

use nix::errno::Errno;
use serde_json::{Value, json};

use crate::outcome::{Core, Ending, Mask, NoControlGroup, Reason};
use crate::outcome::{Effect, Outcome, Preview, Status, Subject, Tally};
use crate::output::escape::escape;
use crate::plan::Step;

/// A JSON object whose keys keep the order in which they are read: event and target first.
/// serde_json's own map sorts them, or needs three more crates not to.
pub struct Object(Vec<(&'static str, Value)>);

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.0.iter().enumerate() {
            let separator = if index == 0 { '{' } else { ',' };
            write!(f, "{separator}{}:{value}", Value::from(*key))?;
        }
        f.write_str("}")
    }
}

/// One event.
pub fn event(subject: &Subject, outcome: &Outcome, reason: &str) -> Object {
    let mut object = vec![
        ("event", outcome.name().into()),
        ("target", subject.typed.into()),
    ];
    object.extend(subject.pid.map(|pid| ("pid", pid.number().into())));
    object.extend(subject.inode.map(|inode| ("inode", inode.number().into())));
    object.extend(subject.name.map(|name| ("name", escape(name).into())));
    object.extend(particulars(outcome, reason));
    Object(object)
}

fn particulars(outcome: &Outcome, reason: &str) -> Vec<(&'static str, Value)> {
    match outcome {
        Outcome::Sent {
            signal,
            value,
            after,
        } => {
            let mut keys = vec![
                ("signal", signal.to_string().into()),
                ("number", signal.number().into()),
            ];
            keys.extend(value.map(|value| ("value", value.into())));
            keys.push(("elapsed_ms", after.map_or(0, milliseconds).into()));
            keys
        }
        Outcome::SentUnseen {
            signal,
            count,
            after,
        } => vec![
            ("signal", signal.to_string().into()),
            ("number", signal.number().into()),
            ("unseen", (*count).into()),
            ("elapsed_ms", after.map_or(0, milliseconds).into()),
        ],
        Outcome::WouldSendUnseen { signal, count } => {
            vec![
                ("signal", signal.to_string().into()),
                ("number", signal.number().into()),
                ("unseen", (*count).into()),
            ]
        }
        Outcome::Failed(why) => {
            let mut keys = vec![("reason", reason.into())];
            if let Reason::OtherNamespace { count } = why {
                keys.push(("unseen", (*count).into()));
            }
            keys.extend(errno(why).map(|errno| ("errno", format!("{errno:?}").into())));
            keys
        }
        Outcome::Gone { ending, after } => {
            let mut keys = ended(*ending);
            keys.push(("elapsed_ms", milliseconds(*after).into()));
            keys
        }
        Outcome::StillThere { after } => vec![("elapsed_ms", milliseconds(*after).into())],
        Outcome::WouldSend(preview) => previewed(preview),
        // A complaint is the reason, if there is one.
        _ if !reason.is_empty() => vec![("reason", reason.into())],
        _ => Vec::new(),
    }
}

fn ended(ending: Ending) -> Vec<(&'static str, Value)> {
    match ending {
        Ending::Exited(code) => vec![("ending", "exited".into()), ("exit_code", code.into())],
        Ending::Killed { signal, core } => vec![
            ("ending", "killed".into()),
            ("exit_signal", signal.to_string().into()),
            (
                "core_dumped",
                if core == Core::Unknown {
                    Value::Null
                } else {
                    (core == Core::Dumped).into()
                },
            ),
        ],
        Ending::Unknown => vec![("ending", "unknown".into())],
    }
}

fn previewed(preview: &Preview) -> Vec<(&'static str, Value)> {
    let follow_up = |step: &Step| {
        let signals = step.signals.iter().map(ToString::to_string);
        json!({"after_ms": milliseconds(step.after), "signals": signals.collect::<Vec<_>>()})
    };
    let mut keys = vec![
        ("signal", preview.signal.to_string().into()),
        ("number", preview.signal.number().into()),
        ("effect", effect(preview.effect).into()),
        ("blocked", (preview.mask == Mask::Blocked).into()),
        (
            "follow_ups",
            preview.follow_ups.iter().map(follow_up).collect(),
        ),
        ("user", preview.user.as_str().into()),
    ];
    keys.extend(preview.age.map(|age| ("age_ms", milliseconds(age).into())));
    keys.push(("command", escape(&preview.command).into()));
    keys
}

/// What a signal would do, in one word.
fn effect(effect: Effect) -> String {
    match effect {
        Effect::Caught => "caught".to_owned(),
        Effect::Ignored => "ignored".to_owned(),
        Effect::Default(action) => action.to_string(),
        Effect::Nothing => "nothing".to_owned(),
    }
}

/// An error that concerns no single target.
pub fn error(reason: &str) -> Object {
    Object(vec![("event", "error".into()), ("reason", reason.into())])
}

/// The last line.
pub fn summary(tally: Tally, status: Status) -> Object {
    Object(vec![
        ("event", "summary".into()),
        ("signalled", tally.signalled.into()),
        ("already_gone", tally.settled.into()),
        ("failed", tally.failed.into()),
        ("remaining", tally.left.into()),
        ("status", status.code().into()),
    ])
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn errno(reason: &Reason) -> Option<Errno> {
    match reason {
        Reason::NotPermitted { .. } => Some(Errno::EPERM),
        Reason::Refused(errno)
        | Reason::ControlGroup(NoControlGroup::Refused(errno) | NoControlGroup::NoKill(errno)) => {
            Some(*errno)
        }
        Reason::ControlGroup(NoControlGroup::Missing) => Some(Errno::ENOENT),
        reason if reason.is_gone() => Some(Errno::ESRCH),
        _ => None,
    }
}
