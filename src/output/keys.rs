//! The events and keys of `--json`, from which the manual and the reference are made. Literal words
//! are in backticks.

/// An event, what it means, and the keys that it may have beside those of every target.
pub const EVENTS: &str = "\
    sent | a signal was sent | signal, number, value, unseen, elapsed_ms
    failed | no signal was sent, or no process found | reason, unseen, errno, hint
    skipped | sigsend itself or an ancestor of it, which was not typed: it gets no signal | reason
    not-stopped | could not be kept stopped, in a tree that is killed; it may have forked unseen \
        | reason
    escaped | may be a child that a killed member of a tree left behind | reason
    already-gone | was gone before the signal, or nobody answers to the target | reason, hint
    gone | has exited | ending, exit_code, exit_signal, core_dumped, elapsed_ms
    still-there | was there when the time ran out | elapsed_ms, state
    found | answers `-p` and `--id` |
    alive | answers `--alive` |
    would-send | preview of `--dry-run` | signal, number, unseen, effect, blocked, follow_ups, \
        user, age_ms, command, state, directory
    error | the call failed as a whole | reason, hint
    summary | the last line | signalled, already_gone, failed, remaining, status";

/// A key, the type of its value, and what it means.
pub const KEYS: &str = "\
    event | string | one of the above
    target | string | the target as it was typed, also for members of a group or tree
    pid | number | the process, if there is a single one
    inode | number | the inode of its pidfd, if it was pinned (Linux 6.9): `pid:inode` is its \
        token
    name | string | its command name, if known
    signal | string | the name of the signal
    number | number | its number
    value | number | what `--queue` sent along
    unseen | number | instead of `pid`: how many members of a control group it is about that have \
        no PID here, since they live in another PID namespace
    elapsed_ms | number | milliseconds since the first signal; 0 for that
    reason | string | why, as on standard error
    errno | string | the name of the system error, such as `ESRCH` or `EPERM`
    hint | string | what may help, if that is known
    state | string | what keeps it from ending or from acting on the signal: `stopped`, `traced \
        by` a PID, `blocked in the kernel`, `ignores` a signal
    ending | string | `exited`, `killed`, or `unknown` if the kernel does not report it
    exit_code | number | of a process that exited
    exit_signal | string | of a process that was killed: the name of the signal
    core_dumped | boolean | whether it dumped core; `null` if that is unknown
    effect | string | what the signal would do: `caught`, `ignored`, `nothing`, the default \
        action `terminate`, `core`, `stop`, `continue`, or `unknown` if that cannot be read
    blocked | boolean | whether the process blocks the signal now; `null` if that cannot be read
    follow_ups | array | the later signals: objects with `after_ms` (number) and `signals` (array \
        of names)
    user | string | the owner of the process
    age_ms | number | milliseconds since it started, if known
    command | string | its arguments with blanks between them
    directory | string | where it works, if `--cwd` was given
    signalled | number | processes that got the first signal
    already_gone | number | processes that were gone at the start; with `-p`, `--id` and \
        `--alive`, those that were found or are alive
    failed | number | processes that got no signal, or refused a later one
    remaining | number | processes that were still there when the time ran out
    status | number | the exit status";

/// The rows of a table, each with three cells.
pub fn rows(table: &'static str) -> impl Iterator<Item = [&'static str; 3]> {
    let cells = |row: &'static str| {
        let mut cells = row.split('|').map(str::trim);
        std::array::from_fn(|_| cells.next().unwrap_or_default())
    };
    table.lines().map(cells)
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
                let listed = rows(KEYS).find_map(|[name, kind, _]| (name == key).then_some(kind));
                let kind = match value {
                    Value::Null => listed,
                    Value::Bool(_) => Some("boolean"),
                    Value::Number(_) => Some("number"),
                    Value::String(_) => Some("string"),
                    _ => Some("array"),
                };
                assert_eq!(listed, kind, "{key} of {event}");
                if key == "event" || !OF_TARGET.contains(&&**key) {
                    printed.insert((event.clone(), key.clone()));
                }
            }
        }
        for [event, _, keys] in rows(EVENTS) {
            let keys = keys.split(", ").filter(|key| !key.is_empty());
            for key in keys.chain(["event"]) {
                listed.insert((event.to_owned(), key.to_owned()));
            }
        }
        assert_eq!(printed, listed);
    }

    #[test]
    fn the_reference_has_the_tables() {
        let code = |words: &str| match words {
            "" => String::new(),
            words => format!("`{}`", words.replace(", ", "`, `")),
        };
        let events = rows(EVENTS).map(|[name, meaning, keys]| {
            let end = match name {
                "error" | "summary" => "; no target",
                _ => "",
            };
            format!("| `{name}` | {meaning} | {}{end} |", code(keys))
        });
        let keys =
            rows(KEYS).map(|[name, kind, meaning]| format!("| `{name}` | {kind} | {meaning} |"));
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
