//! What a signal would do to a process, for the dry run. The line is cut to the terminal so that
//! what `-f` looked for stays in sight.

use std::time::Duration;

use serde_json::{Value, json};

use crate::escape::escape;
use crate::event::{Effect, Obstacle, Preview};
use crate::output::json::{Object, milliseconds};
use crate::output::terminal::{Stream, columns, cut, ellipsis, tail};
use crate::output::text::{numbered, obstacle, seconds};
use crate::plan::FollowUp;
use crate::signal::{DefaultAction, Signal};

/// The line about a process, as wide as the terminal that is standard output, and its JSON object.
pub fn describe(object: Object, who: &str, signal: Signal, preview: &Preview) -> (String, Object) {
    let line = fitted(who, signal, preview, Stream::Output.width(), ellipsis());
    let follow_up = |step: &FollowUp| json!({"after_ms": milliseconds(step.after), "signals": [step.signal.to_string()]});
    let follow_ups: Value = preview.follow_ups.iter().map(follow_up).collect();
    let object = object
        .with("effect", effect(preview.effect).1)
        .with("blocked", json!(preview.is_blocked))
        .with("follow_ups", follow_ups)
        .with("user", &*preview.user)
        .with_some("age_ms", preview.age.map(milliseconds))
        .with("command", escape(&preview.command))
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

fn fitted(
    who: &str,
    signal: Signal,
    preview: &Preview,
    width: Option<usize>,
    mark: &str,
) -> String {
    let owner = owner(preview);
    let (numbered, does) = (numbered(signal), does(signal, preview));
    let would = format!("would send {numbered} to {who}: {does}");
    let [before, found, after] = command(preview);
    let whole = format!("{would}; {owner}: {before}{found}{after}");
    let Some(width) = width.filter(|width| columns(&whole) > *width) else {
        return whole;
    };
    if found.is_empty() {
        return cut(&whole, width, mark);
    }
    // The less room there is, the less stands before what was looked for.
    let heads = [
        format!("{would}; {owner}: "),
        format!("{would}; "),
        format!("would send {signal} to {who}; "),
        format!("{who}: "),
    ];
    let wanted = columns(&found) + 2 * columns(mark);
    let fits = |head: &String| columns(head) + wanted <= width;
    let head = heads.into_iter().find(fits).unwrap_or_default();
    let room = width - columns(&head);
    let spare = room.saturating_sub(columns(&found) + columns(mark));
    let before = match columns(&before) {
        columns if columns <= spare => before,
        _ => tail(&before, spare / 2, mark),
    };
    head + &cut(&(before + &found + &after), room, mark)
}

/// The command line in parts: what is before the text that `-f` looked for, that text, and the
/// rest. Without `-f` all of it is the rest.
fn command(preview: &Preview) -> [String; 3] {
    let command = &*preview.command;
    let sought = preview.sought.as_deref().unwrap_or_default();
    let mut windows = command.windows(sought.len().max(1));
    let start = windows.position(|window| window == sought);
    let (before, rest) = command.split_at(start.unwrap_or_default());
    let (found, after) = rest.split_at(start.map_or(0, |_| sought.len()));
    [before, found, after].map(escape)
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
    let later =
        |step: &FollowUp| format!("{} {} later", numbered(step.signal), seconds(step.after));
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
        let (after, signal) = (Duration::from_secs(10), Signal::KILL);
        let preview = Preview {
            is_blocked: Some(true),
            follow_ups: vec![FollowUp { after, signal }],
            directory: Some(b"/srv\n".to_vec()),
            command: "\x1b[2Jé\u{301}x y".into(),
            sought: Some("x".into()),
            ..preview()
        };
        let expected = "would send TERM (15) to 4242 (cat): terminates it, blocked right now, \
             KILL (9) 10.00 s later; user www, age 1h, in /srv\\x0a: \\x1b[2Jé\\u{301}x y";
        assert_eq!(
            fitted("4242 (cat)", Signal::TERM, &preview, None, "…"),
            expected
        );
    }

    #[test]
    fn what_was_looked_for_stays_in_sight() {
        let mail = "worker.py --queue mail";
        let widths = [
            (mail, 200),
            ("", 80),
            ("python3", 80),
            ("worker.py", 90),
            (mail, 80),
            (mail, 60),
            (mail, 36),
            (mail, 20),
            ("worker.py", 1),
        ];
        let lines = widths.map(|(sought, width)| {
            let command = b"python3 /opt/jobs/worker.py --queue mail --verbose --retries 5";
            let preview = Preview {
                command: command.to_vec(),
                sought: Some(sought.into()),
                ..preview()
            };
            let line = fitted("42 (sh)", Signal::TERM, &preview, Some(width), "…");
            assert!(columns(&line) <= width);
            line
        });
        let expected = [
            "would send TERM (15) to 42 (sh): terminates it; user www, age 1h: \
                python3 /opt/jobs/worker.py --queue mail --verbose --retries 5",
            "would send TERM (15) to 42 (sh): terminates it; user www, age 1h: python3 /opt/…",
            "would send TERM (15) to 42 (sh): terminates it; user www, age 1h: python3 /opt/…",
            "would send TERM (15) to 42 (sh): terminates it; user www, age 1h: \
                …/jobs/worker.py --queu…",
            "would send TERM (15) to 42 (sh): terminates it; …bs/worker.py --queue mail --ve…",
            "would send TERM to 42 (sh); …bs/worker.py --queue mail --ve…",
            "42 (sh): …/worker.py --queue mail -…",
            "worker.py --queue m…",
            "…",
        ];
        assert_eq!(lines, expected);
    }
}
