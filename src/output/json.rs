//! JSON objects, one a line. The keys are stable; the reference has the table of them.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::event::{Status, Tally};
use crate::signal::Signal;

/// A JSON object whose keys keep the order in which they are read: event and target first.
/// serde_json's own map sorts them, or needs three more crates not to.
pub struct Object(String);

impl Object {
    pub fn new(event: &'static str) -> Self {
        Self(format!("{{\"event\":{}", Value::from(event)))
    }

    pub fn with(self, key: &'static str, value: impl Into<Value>) -> Self {
        let value = value.into();
        Self(format!("{},{}:{value}", self.0, Value::from(key)))
    }

    pub fn with_some(self, key: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    pub fn with_signal(self, signal: Signal) -> Self {
        self.with("signal", signal.to_string())
            .with("number", signal.number())
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}}}", self.0)
    }
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

pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
