//! Events as JSON objects, one a line. The keys are stable; the reference has the table of them.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::escape::escape;
use crate::event::{Core, Ending, Mask, Reason};
use crate::event::{Effect, Outcome, Preview, Status, Subject, Tally};
use crate::output::failure::obstacle;
use crate::output::preview::held;
use crate::plan::FollowUp;
use crate::signal::Signal;

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

/// One event. The reason and the hint are in words.
pub fn event(
    subject: &Subject,
    outcome: &Outcome,
    reason: Option<&str>,
    hint: Option<&str>,
) -> Object {
    let mut object = vec![
        ("event", outcome.name().into()),
        ("target", (*subject.typed.text).into()),
    ];
    object.extend(subject.pid.map(|pid| ("pid", pid.number().into())));
    object.extend(subject.inode.map(|inode| ("inode", inode.number().into())));
    object.extend(subject.name.map(|name| ("name", escape(name).into())));
    object.extend(particulars(outcome, reason));
    object.extend(hint.map(|hint| ("hint", hint.into())));
    Object(object)
}

fn particulars(outcome: &Outcome, reason: Option<&str>) -> Vec<(&'static str, Value)> {
    let reason = reason.map(|reason| ("reason", reason.into()));
    match outcome {
        Outcome::Sent {
            signal,
            value,
            after,
        } => {
            let mut keys = signalled(*signal);
            keys.extend(value.map(|value| ("value", value.into())));
            keys.push(elapsed(*after));
            keys
        }
        Outcome::SentUnseen {
            signal,
            count,
            after,
        } => {
            let mut keys = signalled(*signal);
            keys.extend([("unseen", (*count).into()), elapsed(*after)]);
            keys
        }
        Outcome::WouldSendUnseen { signal, count } => {
            let mut keys = signalled(*signal);
            keys.push(("unseen", (*count).into()));
            keys
        }
        Outcome::Failed(why) => {
            let facts = why.facts();
            let is_unseen = matches!(why, Reason::OtherNamespace { .. });
            let unseen = is_unseen.then(|| ("unseen", facts.count.into()));
            let errno = facts
                .errno
                .map(|errno| ("errno", format!("{errno:?}").into()));
            reason.into_iter().chain(unseen).chain(errno).collect()
        }
        Outcome::Gone { ending, after } => {
            let mut keys = ended(*ending);
            keys.push(elapsed(Some(*after)));
            keys
        }
        Outcome::StillThere { after, state } => {
            let state = state.map(|state| ("state", obstacle(state).into()));
            [elapsed(Some(*after))].into_iter().chain(state).collect()
        }
        Outcome::WouldSend(preview) => previewed(preview),
        Outcome::Skipped
        | Outcome::Unstopped
        | Outcome::Escaped
        | Outcome::AlreadyGone(_)
        | Outcome::Found
        | Outcome::Alive => reason.into_iter().collect(),
    }
}

fn signalled(signal: Signal) -> Vec<(&'static str, Value)> {
    vec![
        ("signal", signal.to_string().into()),
        ("number", signal.number().into()),
    ]
}

fn elapsed(after: Option<Duration>) -> (&'static str, Value) {
    ("elapsed_ms", after.map_or(0, milliseconds).into())
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
    let follow_up = |step: &FollowUp| json!({"after_ms": milliseconds(step.after), "signals": [step.signal.to_string()]});
    // Without the effect, the mask was not read either.
    let blocked = match preview.effect {
        Effect::Unknown => Value::Null,
        _ => (preview.mask == Mask::Blocked).into(),
    };
    let mut keys = signalled(preview.signal);
    keys.extend([
        ("effect", effect(preview.effect).into()),
        ("blocked", blocked),
        (
            "follow_ups",
            preview.follow_ups.iter().map(follow_up).collect(),
        ),
        ("user", preview.user.as_str().into()),
    ]);
    keys.extend(preview.age.map(|age| ("age_ms", milliseconds(age).into())));
    keys.push(("command", escape(&preview.command).into()));
    keys.extend(held(preview).map(|hold| ("state", obstacle(hold).into())));
    let directory = preview.directory.as_deref();
    keys.extend(directory.map(|directory| ("directory", escape(directory).into())));
    keys
}

/// What a signal would do, in one word.
fn effect(effect: Effect) -> String {
    match effect {
        Effect::Caught => "caught".to_owned(),
        Effect::Ignored => "ignored".to_owned(),
        Effect::Default(action) => action.to_string(),
        Effect::Nothing => "nothing".to_owned(),
        Effect::Unknown => "unknown".to_owned(),
    }
}

/// An error that concerns no single target.
pub fn error(reason: &str, hint: Option<&str>) -> Object {
    let mut object = vec![("event", "error".into()), ("reason", reason.into())];
    object.extend(hint.map(|hint| ("hint", hint.into())));
    Object(object)
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
