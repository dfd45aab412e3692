//! The events and keys of `--json`, as the manual and the reference show them. Literal words are in
//! backticks.

/// An event, with the keys that it may have beside those of every target.
pub struct Event {
    pub name: &'static str,
    pub meaning: &'static str,
    pub keys: &'static [&'static str],
}

/// A key, with the type of its value.
pub struct Key {
    pub name: &'static str,
    pub kind: &'static str,
    pub meaning: &'static str,
}

pub const EVENTS: [Event; 13] = [
    event(
        "sent",
        "a signal was sent",
        &["signal", "number", "value", "unseen", "elapsed_ms"],
    ),
    event(
        "failed",
        "no signal was sent, or no process found",
        &["reason", "unseen", "errno", "hint"],
    ),
    event(
        "skipped",
        "sigsend itself or an ancestor of it, which was not typed: it gets no signal",
        &["reason"],
    ),
    event(
        "not-stopped",
        "could not be kept stopped, in a tree that is killed; it may have forked unseen",
        &["reason"],
    ),
    event(
        "escaped",
        "may be a child that a killed member of a tree left behind",
        &["reason"],
    ),
    event(
        "already-gone",
        "was gone before the signal, or nobody answers to the target",
        &["reason", "hint"],
    ),
    event(
        "gone",
        "has exited",
        &[
            "ending",
            "exit_code",
            "exit_signal",
            "core_dumped",
            "elapsed_ms",
        ],
    ),
    event(
        "still-there",
        "was there when the time ran out",
        &["elapsed_ms", "state"],
    ),
    event("found", "answers `-p` and `--id`", &[]),
    event("alive", "answers `--alive`", &[]),
    event(
        "would-send",
        "preview of `--dry-run`",
        &[
            "signal",
            "number",
            "unseen",
            "effect",
            "blocked",
            "follow_ups",
            "user",
            "age_ms",
            "command",
            "state",
            "directory",
        ],
    ),
    event("error", "the call failed as a whole", &["reason", "hint"]),
    event(
        "summary",
        "the last line",
        &["signalled", "already_gone", "failed", "remaining", "status"],
    ),
];

pub const KEYS: [Key; 30] = [
    key("event", "string", "one of the above"),
    key(
        "target",
        "string",
        "the target as it was typed, also for members of a group or tree",
    ),
    key("pid", "number", "the process, if there is a single one"),
    key(
        "inode",
        "number",
        "the inode of its pidfd, if it was pinned (Linux 6.9): `pid:inode` is its token",
    ),
    key("name", "string", "its command name, if known"),
    key("signal", "string", "the name of the signal"),
    key("number", "number", "its number"),
    key("value", "number", "what `--queue` sent along"),
    key(
        "unseen",
        "number",
        "instead of `pid`: how many members of a control group it is about that have no PID here, \
         since they live in another PID namespace",
    ),
    key(
        "elapsed_ms",
        "number",
        "milliseconds since the first signal; 0 for that",
    ),
    key("reason", "string", "why, as on standard error"),
    key(
        "errno",
        "string",
        "the name of the system error, such as `ESRCH` or `EPERM`",
    ),
    key("hint", "string", "what may help, if that is known"),
    key(
        "state",
        "string",
        "what keeps it from ending or from acting on the signal: `stopped`, `traced by` a PID, \
         `blocked in the kernel`, `ignores` a signal",
    ),
    key(
        "ending",
        "string",
        "`exited`, `killed`, or `unknown` if the kernel does not report it",
    ),
    key("exit_code", "number", "of a process that exited"),
    key(
        "exit_signal",
        "string",
        "of a process that was killed: the name of the signal",
    ),
    key(
        "core_dumped",
        "boolean",
        "whether it dumped core; `null` if that is unknown",
    ),
    key(
        "effect",
        "string",
        "what the signal would do: `caught`, `ignored`, `nothing`, the default action `terminate`, \
         `core`, `stop`, `continue`, or `unknown` if that cannot be read",
    ),
    key(
        "blocked",
        "boolean",
        "whether the process blocks the signal now; `null` if that cannot be read",
    ),
    key(
        "follow_ups",
        "array",
        "the later signals: objects with `after_ms` (number) and `signals` (array of names)",
    ),
    key("user", "string", "the owner of the process"),
    key(
        "age_ms",
        "number",
        "milliseconds since it started, if known",
    ),
    key(
        "command",
        "string",
        "its arguments with blanks between them",
    ),
    key(
        "directory",
        "string",
        "where it works, if `--cwd` was given",
    ),
    key("signalled", "number", "processes that got the first signal"),
    key(
        "already_gone",
        "number",
        "processes that were gone at the start; with `-p`, `--id` and `--alive`, those that were \
         found or are alive",
    ),
    key(
        "failed",
        "number",
        "processes that got no signal, or refused a later one",
    ),
    key(
        "remaining",
        "number",
        "processes that were still there when the time ran out",
    ),
    key("status", "number", "the exit status"),
];

const fn event(name: &'static str, meaning: &'static str, keys: &'static [&'static str]) -> Event {
    Event {
        name,
        meaning,
        keys,
    }
}

const fn key(name: &'static str, kind: &'static str, meaning: &'static str) -> Key {
    Key {
        name,
        kind,
        meaning,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::event::{
        Core, Effect, Ending, Mask, Obstacle, Outcome, Preview, Status, Subject, Tally,
    };
    use crate::output::json;
    use crate::output::samples::{pid, samples, typed};
    use crate::plan::FollowUp;
    use crate::signal::Signal;
    use crate::target::Inode;

    /// The keys of every event but `error` and `summary`, which have no target.
    const OF_TARGET: [&str; 5] = ["event", "target", "pid", "inode", "name"];

    /// Every event, with every key that it may have.
    fn objects() -> Vec<json::Object> {
        let (signal, after) = (Signal::TERM, Duration::from_millis(500));
        let preview = Preview {
            signal,
            follow_ups: vec![FollowUp { after, signal }],
            effect: Effect::Caught,
            mask: Mask::Open,
            hold: Some(Obstacle::Stopped),
            user: "www".to_owned(),
            age: Some(after),
            command: b"cat".to_vec(),
            sought: None,
            directory: Some(b"/srv".to_vec()),
        };
        let killed = Ending::Killed {
            signal,
            core: Core::Unknown,
        };
        let (count, after) = (2, Some(after));
        let gone = |ending| Outcome::Gone {
            ending,
            after: Duration::ZERO,
        };
        let reasons: Vec<_> = samples().into_iter().map(|sample| sample.reason).collect();
        let outcomes = [
            Outcome::Sent {
                signal,
                value: Some(7),
                after,
            },
            Outcome::SentUnseen {
                signal,
                count,
                after,
            },
            Outcome::Skipped,
            Outcome::Unstopped,
            Outcome::Escaped,
            Outcome::AlreadyGone(None),
            gone(Ending::Exited(3)),
            gone(killed),
            Outcome::StillThere {
                after: Duration::ZERO,
                state: Some(Obstacle::Blocked),
            },
            Outcome::Found,
            Outcome::Alive,
            Outcome::WouldSend(&preview),
            Outcome::WouldSendUnseen { signal, count },
        ];
        let typed = typed("4242");
        let subject = Subject {
            typed: &typed,
            pid: Some(pid(4242)),
            inode: Some(Inode::new(7)),
            name: Some(b"cat"),
        };
        let failed = reasons.iter().map(Outcome::Failed);
        let gone = reasons
            .iter()
            .map(|reason| Outcome::AlreadyGone(Some(reason)));
        let complaint = |outcome: &Outcome| {
            crate::output::failure::complaint(
                crate::output::failure::Work::Sending,
                &subject,
                outcome,
            )
        };
        let events = outcomes
            .into_iter()
            .chain(failed)
            .chain(gone)
            .map(|outcome| {
                let complaint = complaint(&outcome);
                let reason = complaint.as_ref().map(|(text, _)| &**text);
                let hint = crate::output::hint::hint("sigsend", None, &subject, &outcome);
                json::event(
                    &subject,
                    &outcome,
                    reason,
                    hint.as_ref().map(|hint| &*hint.text),
                )
            });
        let ends = [
            json::error("reason", Some("hint")),
            json::summary(Tally::FAILURE, Status::Failure),
        ];
        events.chain(ends).collect()
    }

    #[test]
    fn the_tables_have_what_is_printed_and_nothing_else() {
        let (mut printed, mut listed) = (BTreeSet::new(), BTreeSet::new());
        for object in objects() {
            let object: Value = serde_json::from_str(&object.to_string()).expect("JSON");
            let event = object["event"].as_str().expect("a name").to_owned();
            for (key, value) in object.as_object().expect("an object") {
                let row = KEYS.iter().find(|row| row.name == key);
                let kind = match value {
                    Value::Null => row.map(|row| row.kind),
                    Value::Bool(_) => Some("boolean"),
                    Value::Number(_) => Some("number"),
                    Value::String(_) => Some("string"),
                    _ => Some("array"),
                };
                assert_eq!(row.map(|row| row.kind), kind, "{key} of {event}");
                if key == "event" || !OF_TARGET.contains(&&**key) {
                    printed.insert((event.clone(), key.clone()));
                }
            }
        }
        for event in &EVENTS {
            for key in ["event"].iter().chain(event.keys) {
                listed.insert((event.name.to_owned(), (*key).to_owned()));
            }
        }
        assert_eq!(printed, listed);
    }

    #[test]
    fn the_reference_has_the_tables() {
        let code = |word: &&str| format!("`{word}`");
        let events = EVENTS.iter().map(|event| {
            let keys: Vec<String> = event.keys.iter().map(code).collect();
            let has_target = !matches!(event.name, "error" | "summary");
            let end = if has_target { "" } else { "; no target" };
            let keys = keys.join(", ") + end;
            format!("| `{}` | {} | {keys} |", event.name, event.meaning)
        });
        let keys = KEYS
            .iter()
            .map(|key| format!("| `{}` | {} | {} |", key.name, key.kind, key.meaning));
        let reference = include_str!("../../docs/reference.md");
        for table in [events.collect::<Vec<_>>(), keys.collect()] {
            let table = table.join("\n");
            assert!(
                reference.contains(&table),
                "docs/reference.md lacks:\n{table}"
            );
        }
    }
}
