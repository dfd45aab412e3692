//! The dry run's line: what a signal would do to a process, cut to the terminal so that what `-f`
//! looked for stays in sight.

use std::time::Duration;

use crate::escape::escape;
use crate::event::{Effect, Mask, Obstacle, Preview};
use crate::output::terminal::{Stream, columns, cut, ellipsis, tail};
use crate::output::text::{numbered, obstacle, seconds};
use crate::plan::FollowUp;
use crate::signal::{DefaultAction, Signal};

/// The line about a process, as wide as the terminal that is standard output.
pub fn line(who: &str, preview: &Preview) -> String {
    fitted(who, preview, Stream::Output.width(), ellipsis())
}

fn fitted(who: &str, preview: &Preview, width: Option<usize>, mark: &str) -> String {
    let would = format!(
        "would send {} to {who}: {}",
        numbered(preview.signal),
        does(preview)
    );
    let command = Command::of(preview);
    let whole = format!("{would}; {}: {}", owner(preview), command.text());
    let Some(width) = width.filter(|width| columns(&whole) > *width) else {
        return whole;
    };
    if command.found.is_empty() {
        return cut(whole, Some(width), mark);
    }
    // The less room there is, the less stands before what was looked for.
    let heads = [
        format!("{would}; {}: ", owner(preview)),
        format!("{would}; "),
        format!("would send {} to {who}; ", preview.signal),
        format!("{who}: "),
    ];
    let wanted = columns(&command.found) + 2 * columns(mark);
    let head = heads
        .into_iter()
        .find(|head| columns(head) + wanted <= width)
        .unwrap_or_default();
    let room = width - columns(&head);
    head + &command.around_found(room, mark)
}

/// The command line, in parts: what is before the text that `-f` looked for, that text, and the
/// rest. Without `-f` all of it is the rest.
struct Command {
    before: String,
    found: String,
    after: String,
}

impl Command {
    fn of(preview: &Preview) -> Self {
        let command = &preview.command;
        let sought = preview.sought.as_deref().unwrap_or_default();
        let at = match sought {
            [] => None,
            sought => command
                .windows(sought.len())
                .position(|window| window == sought),
        };
        let (start, end) = at.map_or((0, 0), |start| (start, start + sought.len()));
        Self {
            before: escape(&command[..start]),
            found: escape(&command[start..end]),
            after: escape(&command[end..]),
        }
    }

    fn text(&self) -> String {
        format!("{}{}{}", self.before, self.found, self.after)
    }

    /// As much as fits, from so far before what was found that it is in sight.
    fn around_found(&self, room: usize, mark: &str) -> String {
        let is_in_sight = columns(&self.before) + columns(&self.found) + columns(mark) <= room;
        if is_in_sight {
            return cut(self.text(), Some(room), mark);
        }
        let spare = room.saturating_sub(columns(&self.found) + columns(mark));
        let before = tail(&self.before, spare / 2, mark);
        cut(before + &self.found + &self.after, Some(room), mark)
    }
}

/// What the signal does, and what comes later.
fn does(preview: &Preview) -> String {
    let effect = match preview.effect {
        Effect::Caught => "caught by a handler",
        Effect::Ignored => "ignored",
        Effect::Default(DefaultAction::Terminate) => "terminates it",
        Effect::Default(DefaultAction::Core) => "terminates it and dumps core",
        Effect::Default(DefaultAction::Stop) => "stops it",
        Effect::Default(DefaultAction::Continue) => "continues it",
        Effect::Default(DefaultAction::Ignore) | Effect::Nothing => "does nothing",
        Effect::Unknown => "what it does there cannot be read",
    };
    let when = match held(preview) {
        Some(hold @ Obstacle::TracedBy(_)) => {
            format!(" when its tracer lets it ({})", obstacle(hold))
        }
        Some(hold) => format!(" when it continues ({})", obstacle(hold)),
        None => String::new(),
    };
    let mut parts = vec![format!("{effect}{when}")];
    if preview.mask == Mask::Blocked {
        parts.push("blocked right now".to_owned());
    }
    let later =
        |step: &FollowUp| format!("{} {} later", numbered(step.signal), seconds(step.after));
    parts.extend(preview.follow_ups.iter().map(later));
    parts.join(", ")
}

/// What keeps the process from acting on the signal. Nothing holds KILL back, and only a tracer
/// CONT.
pub fn held(preview: &Preview) -> Option<Obstacle> {
    let acts = matches!(preview.effect, Effect::Caught | Effect::Default(_));
    preview.hold.filter(|hold| match preview.signal {
        Signal::KILL => false,
        Signal::CONT => acts && *hold != Obstacle::Stopped,
        _ => acts,
    })
}

/// User, age, and the directory if `--cwd` was given.
fn owner(preview: &Preview) -> String {
    let user = escape(&preview.user);
    let age = preview.age.map_or_else(
        || "unknown".to_owned(),
        |age| humantime::format_duration(Duration::from_secs(age.as_secs())).to_string(),
    );
    let directory = preview.directory.as_deref().map(escape);
    let directory = directory.map(|directory| format!(", in {directory}"));
    format!("user {user}, age {age}{}", directory.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::pid;

    fn preview(command: &str, sought: Option<&str>) -> Preview {
        Preview {
            signal: Signal::TERM,
            follow_ups: Vec::new(),
            effect: Effect::Default(DefaultAction::Terminate),
            mask: Mask::Open,
            hold: None,
            user: "www".to_owned(),
            age: Some(Duration::from_millis(3_600_999)),
            command: command.as_bytes().to_vec(),
            sought: sought.map(|text| text.as_bytes().to_vec()),
            directory: None,
        }
    }

    #[test]
    fn what_a_signal_does_is_told_as_far_as_it_is_known() {
        let later = FollowUp {
            after: Duration::from_secs(10),
            signal: Signal::KILL,
        };
        let terminate = Effect::Default(DefaultAction::Terminate);
        let traced = Some(Obstacle::TracedBy(pid(17)));
        let stopped = Some(Obstacle::Stopped);
        let table = [
            (Signal::TERM, terminate, None, "terminates it"),
            (
                Signal::TERM,
                terminate,
                stopped,
                "terminates it when it continues (stopped)",
            ),
            (
                Signal::HUP,
                Effect::Caught,
                traced,
                "caught by a handler when its tracer lets it (traced by 17)",
            ),
            (Signal::KILL, terminate, stopped, "terminates it"),
            (
                Signal::CONT,
                Effect::Default(DefaultAction::Continue),
                stopped,
                "continues it",
            ),
            (
                Signal::CONT,
                Effect::Default(DefaultAction::Continue),
                traced,
                "continues it when its tracer lets it (traced by 17)",
            ),
            (Signal::HUP, Effect::Ignored, stopped, "ignored"),
            (Signal::NULL, Effect::Nothing, stopped, "does nothing"),
            (
                Signal::HUP,
                Effect::Unknown,
                None,
                "what it does there cannot be read",
            ),
        ];
        for (signal, effect, hold, words) in table {
            let preview = Preview {
                signal,
                effect,
                hold,
                ..preview("cat", None)
            };
            assert_eq!(does(&preview), words);
        }
        let preview = Preview {
            mask: Mask::Blocked,
            follow_ups: vec![later],
            directory: Some(b"/srv\n".to_vec()),
            ..preview("cat -", None)
        };
        assert_eq!(
            fitted("4242 (cat)", &preview, None, "…"),
            "would send TERM (15) to 4242 (cat): terminates it, blocked right now, \
             KILL (9) 10.00 s later; user www, age 1h, in /srv\\x0a: cat -"
        );
    }

    #[test]
    fn what_was_looked_for_stays_in_sight() {
        let long = "python3 /opt/jobs/worker.py --queue mail --verbose --retries 5";
        let table = [
            (
                "cat -",
                Some("cat"),
                120,
                "would send TERM (15) to 42 (sh): terminates it; user www, age 1h: cat -",
            ),
            (
                long,
                None,
                80,
                "would send TERM (15) to 42 (sh): terminates it; user www, age 1h: python3 /opt/…",
            ),
            (
                long,
                Some("python3"),
                80,
                "would send TERM (15) to 42 (sh): terminates it; user www, age 1h: python3 /opt/…",
            ),
            (
                long,
                Some("worker.py"),
                90,
                "would send TERM (15) to 42 (sh): terminates it; user www, age 1h: \
                 …/jobs/worker.py --queu…",
            ),
            (
                long,
                Some("worker.py --queue mail"),
                80,
                "would send TERM (15) to 42 (sh): terminates it; …bs/worker.py --queue mail --ve…",
            ),
            (
                long,
                Some("worker.py --queue mail"),
                60,
                "would send TERM to 42 (sh); …bs/worker.py --queue mail --ve…",
            ),
            (
                long,
                Some("worker.py --queue mail"),
                36,
                "42 (sh): …/worker.py --queue mail -…",
            ),
            (
                long,
                Some("worker.py --queue mail"),
                20,
                "worker.py --queue m…",
            ),
            (long, Some("worker.py"), 1, "…"),
        ];
        for (command, sought, width, line) in table {
            let shown = fitted("42 (sh)", &preview(command, sought), Some(width), "…");
            assert_eq!(shown, line);
            assert!(columns(&shown) <= width);
        }
        let hostile = preview("\x1b[2Jé\u{301}x y", Some("x"));
        let shown = fitted("42 (sh)", &hostile, None, "…");
        assert!(shown.ends_with(": \\x1b[2Jé\\u{301}x y"), "{shown}");
    }
}
