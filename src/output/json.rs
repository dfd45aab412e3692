//! Events as JSON objects, one a line. The keys are stable; the reference has the table of them.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::escape::escape;
use crate::event::{Core, Effect, Ending, Mask, Outcome, Preview, Reason, Status, Subject, Tally};
use crate::output::preview::held;
use crate::output::text::obstacle;
use crate::plan::FollowUp;
use crate::signal::Signal;
use crate::target::Pid;

/// A JSON object whose keys keep the order in which they are read: event and target first.
/// serde_json's own map sorts them, or needs three more crates not to.
pub struct Object(Vec<(&'static str, Value)>);

impl Object {
    fn new(event: &'static str) -> Self {
        Self(vec![("event", event.into())])
    }

    fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((key, value.into()));
        self
    }

    fn with_some(self, key: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    fn with_signal(self, signal: Signal) -> Self {
        self.with("signal", signal.to_string())
            .with("number", signal.number())
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.0.iter().enumerate() {
            let separator = if index == 0 { '{' } else { ',' };
            write!(f, "{separator}{}:{value}", Value::from(*key))?;
        }
        f.write_str("}")
    }
}

/// One event. The line says why, in words.
pub fn event(subject: &Subject, outcome: &Outcome, line: &str, hint: Option<&str>) -> Object {
    let event = |name| {
        Object::new(name)
            .with("target", &*subject.typed.text)
            .with_some("pid", subject.pid.map(Pid::number))
            .with_some("inode", subject.inode.map(|inode| inode.0))
            .with_some("name", subject.name.map(escape))
    };
    let object = match outcome {
        Outcome::Sent {
            signal,
            value,
            after,
        } => event("sent")
            .with_signal(*signal)
            .with_some("value", *value)
            .with("elapsed_ms", milliseconds(after.unwrap_or_default())),
        Outcome::SentUnseen {
            signal,
            count,
            after,
        } => event("sent")
            .with_signal(*signal)
            .with("unseen", *count)
            .with("elapsed_ms", milliseconds(after.unwrap_or_default())),
        Outcome::WouldSend(preview) => previewed(event("would-send"), preview),
        Outcome::WouldSendUnseen { signal, count } => event("would-send")
            .with_signal(*signal)
            .with("unseen", *count),
        Outcome::Failed(reason) => {
            let unseen = match reason {
                Reason::OtherNamespace { count } => Some(*count),
                _ => None,
            };
            let errno = reason.facts().errno;
            event("failed")
                .with("reason", line)
                .with_some("unseen", unseen)
                .with_some("errno", errno.map(|errno| format!("{errno:?}")))
        }
        Outcome::Skipped => event("skipped").with("reason", line),
        Outcome::Unstopped => event("not-stopped").with("reason", line),
        Outcome::Escaped => event("escaped").with("reason", line),
        Outcome::AlreadyGone(reason) => {
            event("already-gone").with_some("reason", reason.map(|_| line))
        }
        Outcome::Gone { ending, after } => {
            ended(event("gone"), *ending).with("elapsed_ms", milliseconds(*after))
        }
        Outcome::StillThere { after, state } => event("still-there")
            .with("elapsed_ms", milliseconds(*after))
            .with_some("state", state.map(obstacle)),
        Outcome::Found => event("found"),
        Outcome::Alive => event("alive"),
    };
    object.with_some("hint", hint)
}

fn ended(object: Object, ending: Ending) -> Object {
    match ending {
        Ending::Exited(code) => object.with("ending", "exited").with("exit_code", code),
        Ending::Killed { signal, core } => {
            let dumped = match core {
                Core::Dumped => Value::Bool(true),
                Core::Not => Value::Bool(false),
                Core::Unknown => Value::Null,
            };
            object
                .with("ending", "killed")
                .with("exit_signal", signal.to_string())
                .with("core_dumped", dumped)
        }
        Ending::Unknown => object.with("ending", "unknown"),
    }
}

fn previewed(object: Object, preview: &Preview) -> Object {
    let follow_up = |step: &FollowUp| json!({"after_ms": milliseconds(step.after), "signals": [step.signal.to_string()]});
    let effect = match preview.effect {
        Effect::Caught => "caught".to_owned(),
        Effect::Ignored => "ignored".to_owned(),
        Effect::Default(action) => action.to_string(),
        Effect::Nothing => "nothing".to_owned(),
        Effect::Unknown => "unknown".to_owned(),
    };
    // Without the effect, the mask was not read either.
    let blocked = match preview.effect {
        Effect::Unknown => Value::Null,
        _ => (preview.mask == Mask::Blocked).into(),
    };
    let follow_ups: Value = preview.follow_ups.iter().map(follow_up).collect();
    object
        .with_signal(preview.signal)
        .with("effect", effect)
        .with("blocked", blocked)
        .with("follow_ups", follow_ups)
        .with("user", &*preview.user)
        .with_some("age_ms", preview.age.map(milliseconds))
        .with("command", escape(&preview.command))
        .with_some("state", held(preview).map(obstacle))
        .with_some("directory", preview.directory.as_ref().map(escape))
}

/// An error that concerns no single target.
pub fn error(reason: &str, hint: Option<&str>) -> Object {
    Object::new("error")
        .with("reason", reason)
        .with_some("hint", hint)
}

/// The last line.
pub fn summary(tally: Tally, status: Status) -> Object {
    Object::new("summary")
        .with("signalled", tally.signalled)
        .with("already_gone", tally.settled)
        .with("failed", tally.failed)
        .with("remaining", tally.left)
        .with("status", status.code())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
