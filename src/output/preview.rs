//! What a signal would do to a process, for the dry run.

use std::time::Duration;

use serde_json::{Value, json};

use crate::escape::escape;
use crate::event::{Effect, Obstacle, Preview};
use crate::output::json::{Object, milliseconds};
use crate::output::text::{numbered, obstacle};
use crate::plan::FollowUp;
use crate::signal::{DefaultAction, Signal};

/// The line about a process, and its JSON object. The line is not cut to the terminal: all of it is
/// needed to decide whether the signal is meant.
pub fn describe(
    would: &str,
    object: Object,
    signal: Signal,
    preview: &Preview,
) -> (String, Object) {
    let (owner, command) = (owner(preview), escape(&preview.command));
    let does = does(signal, preview);
    let line = format!("{would}: {does}; {owner}: {command}");
    let follow_up = |step: &FollowUp| json!({"after_ms": milliseconds(step.after), "signals": [step.signal.to_string()]});
    let follow_ups: Value = preview.follow_ups.iter().map(follow_up).collect();
    let object = object
        .with("effect", effect(preview.effect).1)
        .with("blocked", json!(preview.is_blocked))
        .with("follow_ups", follow_ups)
        .with("user", &*preview.user)
        .with_some("age_ms", preview.age.map(milliseconds))
        .with("command", command)
        .with_some("state", held(signal, preview).map(obstacle))
        .with_some("directory", preview.directory.as_ref().map(escape));
    (line, object)
}

/// What a signal does, in words and in JSON.
fn effect(effect: Effect) -> (&'static str, &'static str) {
    match effect {
        Effect::Caught => ("caught by a handler", "caught"),
        Effect::Ignored => ("ignored", "ignored"),
        Effect::Default(DefaultAction::Terminate) => ("terminates it", "terminate"),
        Effect::Default(DefaultAction::Core) => ("terminates it and dumps core", "core"),
        Effect::Default(DefaultAction::Stop) => ("stops it", "stop"),
        Effect::Default(DefaultAction::Continue) => ("continues it", "continue"),
        Effect::Default(DefaultAction::Ignore) => ("does nothing", "ignore"),
        Effect::Nothing => ("does nothing", "nothing"),
        Effect::Unknown => ("what it does there cannot be read", "unknown"),
    }
}

/// What the signal does, and what comes later.
fn does(signal: Signal, preview: &Preview) -> String {
    let (effect, _) = effect(preview.effect);
    let when = match held(signal, preview) {
        Some(hold @ Obstacle::TracedBy(_)) => {
            format!(" when its tracer lets it ({})", obstacle(hold))
        }
        Some(hold) => format!(" when it continues ({})", obstacle(hold)),
        None => String::new(),
    };
    let mut parts = vec![format!("{effect}{when}")];
    if preview.is_blocked == Some(true) {
        parts.push("blocked right now".to_owned());
    }
    let later = |step: &FollowUp| match (numbered(step.signal), step.after) {
        (signal, Duration::ZERO) => format!("then {signal}"),
        (signal, after) => format!("{signal} {} later", humantime::format_duration(after)),
    };
    parts.extend(preview.follow_ups.iter().map(later));
    parts.join(", ")
}

/// What keeps the process from acting on the signal. Nothing holds KILL back, and only a tracer
/// CONT.
fn held(signal: Signal, preview: &Preview) -> Option<Obstacle> {
    let acts = matches!(preview.effect, Effect::Caught | Effect::Default(_));
    preview.hold.filter(|hold| match signal {
        Signal::KILL => false,
        Signal::CONT => acts && *hold != Obstacle::Stopped,
        _ => acts,
    })
}

/// User, age, and the directory if `--cwd` was given.
fn owner(preview: &Preview) -> String {
    let user = escape(&preview.user);
    let age = preview.age.map(|age| Duration::from_secs(age.as_secs()));
    let age = age.map_or("unknown".to_owned(), |age| {
        humantime::format_duration(age).to_string()
    });
    let directory = preview.directory.as_ref();
    let directory = directory.map(|directory| format!(", in {}", escape(directory)));
    format!("user {user}, age {age}{}", directory.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::{pid, preview};

    #[test]
    fn what_a_signal_does_is_told_as_far_as_it_is_known() {
        let (traced, stopped) = (Obstacle::TracedBy(pid(17)), Some(Obstacle::Stopped));
        let traced = Some(traced);
        let terminate = Effect::Default(DefaultAction::Terminate);
        let proceed = Effect::Default(DefaultAction::Continue);
        let rows = [
            (Signal::TERM, terminate, None),
            (Signal::TERM, terminate, stopped),
            (Signal::HUP, Effect::Caught, traced),
            (Signal::KILL, terminate, stopped),
            (Signal::CONT, proceed, stopped),
            (Signal::CONT, proceed, traced),
            (Signal::HUP, Effect::Ignored, stopped),
            (Signal::NULL, Effect::Nothing, stopped),
            (Signal::HUP, Effect::Unknown, None),
        ];
        let told = rows.map(|(signal, effect, hold)| {
            let preview = Preview {
                effect,
                hold,
                ..preview()
            };
            does(signal, &preview)
        });
        let expected = [
            "terminates it",
            "terminates it when it continues (stopped)",
            "caught by a handler when its tracer lets it (traced by 17)",
            "terminates it",
            "continues it",
            "continues it when its tracer lets it (traced by 17)",
            "ignored",
            "does nothing",
            "what it does there cannot be read",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_preview_tells_what_comes_later_and_where_it_works() {
        let later = [(0, Signal::CONT), (90, Signal::KILL)].map(|(after, signal)| FollowUp {
            after: Duration::from_secs(after),
            signal,
        });
        let preview = Preview {
            is_blocked: Some(true),
            follow_ups: later.into(),
            directory: Some(b"/srv\n".to_vec()),
            command: "\x1b[2Jé\u{301}x y".into(),
            ..preview()
        };
        let (line, _) = describe("42 (cat)", Object::new("x"), Signal::TERM, &preview);
        let expected = "42 (cat): terminates it, blocked right now, \
             then CONT (18), KILL (9) 1m 30s later; user www, age 1h, in /srv\\x0a: \
             \\x1b[2Jé\\u{301}x y";
        assert_eq!(line, expected);
    }
}
