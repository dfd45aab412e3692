//! Every reason and every event: its words, its hint, its keys in JSON, its rows in the reference.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use serde_json::Value;

use crate::event::{
    Effect, Ending, NoControlGroup, NoProcess, Nobody, Obstacle, Outcome, Preview, Reason, Status,
    Subject, Tally, Typed, What,
};
use crate::output::describe::describe;
use crate::output::hint::{Hint, hint};
use crate::output::json;
use crate::output::keys::{EVENTS, KEYS, rows};
use crate::plan::{FollowUp, Mode, Question};
use crate::signal::{DefaultAction, Signal};
use crate::target::{Inode, Pid, Target};

pub fn pid(number: i32) -> Pid {
    Pid::try_from(number).expect("a PID")
}

/// What a text on the command line means.
pub fn typed(text: &str) -> Typed {
    let what = match text {
        "/srv" => What::Directory,
        "worker.py" => What::CommandLine,
        "./web" => What::ControlGroup,
        target => What::Target(target.parse().expect("a target")),
    };
    Typed {
        text: text.into(),
        what,
    }
}

/// The subject of a typed text, with the process that it identifies.
fn subject(typed: &Typed) -> Subject<'_> {
    let pid = match &typed.what {
        What::Target(Target::Token(pid, _)) => Some(*pid),
        What::Target(target) => target.process(),
        _ => None,
    };
    Subject {
        pid,
        ..Subject::target(typed)
    }
}

fn line(mode: Mode, subject: &Subject, outcome: &Outcome) -> String {
    let (line, _) = describe(mode, subject, outcome);
    line
}

/// The line and the hint about a target that nothing was sent to.
fn failed(text: &str, reason: &Reason) -> (String, Option<Hint>) {
    let typed = typed(text);
    let (subject, outcome) = (subject(&typed), Outcome::Failed(reason));
    let hint = hint("sigsend", None, &subject, &outcome);
    (line(Mode::Send, &subject, &outcome), hint)
}

/// Every reason, each with the text of a target.
fn reasons() -> Vec<(&'static str, Reason)> {
    let signal = Signal::HUP;
    let bytes = |text: &str| text.as_bytes().to_vec();
    let root = || "root".to_owned();
    let hour = |hours: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(3600 * hours);
    let not_permitted = |errno, owner| Reason::NotPermitted { errno, owner };
    let not_listening = |of_others, other_protocol| Reason::NotListening {
        of_others,
        other_protocol,
    };
    let only_spared = |first, name| Reason::OnlySpared {
        first,
        name: bytes(name),
    };
    let nobody = Nobody::default;
    let of_process = vec![
        Reason::Absent(NoProcess::Gone),
        not_permitted(Errno::EPERM, Some(root())),
        not_permitted(Errno::EACCES, None),
        Reason::Refused(Errno::EAGAIN),
        Reason::Stale {
            file: "pidfile x.pid".to_owned(),
            started: hour(3),
            written: hour(2),
        },
        Reason::NotExpected {
            expected: bytes("nginx"),
            name: bytes("sh"),
        },
        Reason::NotExpected {
            expected: bytes("nginx"),
            name: Vec::new(),
        },
        Reason::NoSuchText {
            text: bytes("worker.py"),
            name: bytes("sh"),
        },
        Reason::WorksElsewhere {
            wanted: bytes("/srv"),
            directory: bytes("/root"),
        },
        Reason::WorksElsewhere {
            wanted: bytes("/srv"),
            directory: Vec::new(),
        },
        Reason::OtherUser {
            wanted: "www".to_owned(),
            user: root(),
        },
        Reason::Unverified {
            expected: bytes("nginx"),
        },
        Reason::NotCaught {
            signal,
            name: bytes("sh"),
        },
        Reason::CatchUnknown { signal },
        Reason::PerhapsAncestor { hidden: pid(17) },
    ];
    let thread = |of| Reason::Absent(NoProcess::Thread { of });
    let of_group = Reason::NoGroup {
        leader_is_in: Some(pid(17)),
    };
    let misspelt = Nobody {
        nearest: Some("nginx".to_owned()),
        ..nobody()
    };
    let renamed = Nobody {
        executables: 2,
        is_own: true,
        called: vec![bytes("MainThread")],
        ..nobody()
    };
    let of_others = Nobody {
        of_others: 3,
        ..nobody()
    };
    let hidden = Nobody {
        hidden: true,
        ..nobody()
    };
    let of_port = vec![
        not_listening(0, true),
        not_listening(1, false),
        Reason::HolderUnseen { owner: None },
        only_spared(pid(4242), "sh"),
        only_spared(Pid::INIT, "systemd"),
    ];
    let of_control_group = [
        NoControlGroup::Missing,
        NoControlGroup::Other,
        NoControlGroup::Version1,
        NoControlGroup::Root,
        NoControlGroup::Own,
        NoControlGroup::Ancestor(pid(17)),
        NoControlGroup::Threaded,
        NoControlGroup::Empty,
        NoControlGroup::Refused(Errno::ENOMEM),
        NoControlGroup::NoKill(Errno::EACCES),
    ];
    let of_members = [
        Reason::Nobody(nobody()),
        Reason::OtherNamespace { count: 2 },
    ];
    let of_control_group = of_control_group.into_iter().map(Reason::ControlGroup);
    let rows = [
        ("4242", of_process),
        ("4242:7", vec![Reason::Recycled]),
        ("4243", vec![thread(Some(pid(4242))), thread(None)]),
        ("2", vec![Reason::KernelThread]),
        ("1", vec![Reason::Everyone, Reason::Protected]),
        ("", vec![Reason::EmptyWord]),
        ("-4243", vec![of_group]),
        ("ngnix", vec![Reason::Nobody(misspelt)]),
        ("node", vec![Reason::Nobody(renamed)]),
        ("sh", vec![only_spared(pid(4242), "sh")]),
        ("kill", vec![Reason::OnlySigsend]),
        ("worker.py", vec![Reason::Nobody(of_others)]),
        ("/srv", vec![Reason::Nobody(hidden)]),
        (":8080", of_port),
        (":53/udp", vec![not_listening(0, true)]),
        ("./web", of_control_group.chain(of_members).collect()),
    ];
    let each = |(text, reasons): (_, Vec<_>)| reasons.into_iter().map(move |reason| (text, reason));
    rows.into_iter().flat_map(each).collect()
}

#[track_caller]
fn assert_in_reference(rows: impl Iterator<Item = String>) {
    let table = rows.collect::<Vec<_>>().join("\n");
    let is_there = include_str!("../../docs/reference.md").contains(&table);
    assert!(is_there, "docs/reference.md lacks:\n{table}");
}

/// Hints that are always printed are bold.
#[test]
fn the_reference_has_every_reason_with_its_hint() {
    assert_in_reference(reasons().into_iter().map(|(text, reason)| {
        let (line, hint) = failed(text, &reason);
        let facts = reason.facts();
        let errno = facts
            .errno
            .map_or_else(String::new, |errno| format!("`{errno:?}`"));
        let says = format!("{:?}", facts.says).to_lowercase();
        let hint = match hint {
            Some(hint) if hint.is_of_processes => format!("`{}`", hint.text),
            Some(hint) => format!("**`{}`**", hint.text),
            None => String::new(),
        };
        format!("| `{line}` | {errno} | {says} | {hint} |")
    }));
}

#[test]
fn the_reference_has_every_event_and_key() {
    assert_in_reference(rows(EVENTS).map(|[event, meaning, keys]| {
        let code = format!("`{}`", keys.replace(", ", "`, `"));
        let keys = match event {
            "found" | "alive" => keys.to_owned(),
            "error" | "summary" => code + "; no target",
            _ => code,
        };
        format!("| `{event}` | {meaning} | {keys} |")
    }));
    let row = |[key, kind, meaning]: [&str; 3]| format!("| `{key}` | {kind} | {meaning} |");
    assert_in_reference(rows(KEYS).map(row));
}

/// Every event of a real call but failures, each with the text of a target.
fn outcomes() -> Vec<(&'static str, Outcome<'static>)> {
    let (signal, after) = (Signal::TERM, Duration::from_millis(5010));
    let sent = |signal, value, after| Outcome::Sent {
        signal,
        value,
        after,
    };
    let gone = |ending| ("4242", Outcome::Gone { ending, after });
    let killed = |core_dumped| {
        gone(Ending::Killed {
            signal,
            core_dumped,
        })
    };
    let still = |state| ("4242", Outcome::StillThere { after, state });
    vec![
        ("4242", sent(signal, None, None)),
        ("4242", sent(signal, Some(-7), Some(after))),
        ("4242", sent(Signal::NULL, None, None)),
        ("/srv", sent(signal, None, Some(after))),
        ("4242", Outcome::Skipped),
        ("4242", Outcome::Unstopped),
        ("4242", Outcome::Escaped),
        ("4242", Outcome::AlreadyGone(None)),
        ("4242", Outcome::AlreadyGone(Some(&Reason::EmptyWord))),
        gone(Ending::Exited(3)),
        killed(None),
        killed(Some(true)),
        gone(Ending::Unknown),
        still(None),
        still(Some(Obstacle::Stopped)),
        still(Some(Obstacle::TracedBy(pid(17)))),
        still(Some(Obstacle::Blocked)),
        still(Some(Obstacle::Ignores(signal))),
        ("4242", Outcome::Found),
        ("4242", Outcome::Alive),
    ]
}

#[test]
fn every_event_has_its_line() {
    let lines = outcomes().into_iter().map(|(text, outcome)| {
        let typed = typed(text);
        let subject = Subject {
            name: Some(b"s\x1bh"),
            ..subject(&typed)
        };
        line(Mode::Send, &subject, &outcome).replace("4242 (s\\x1bh)", "WHO")
    });
    let expected = [
        "sent TERM (15) to WHO",
        "sent TERM (15) with value -7 to WHO after 5.01 s",
        "WHO may be signalled",
        "sent TERM (15) to /srv (s\\x1bh) in /srv after 5.01 s",
        "WHO is sigsend itself or an ancestor of it: skipped",
        "WHO could not be kept stopped; it may have forked before it was killed",
        "WHO may be a child that a killed member left behind",
        "WHO is already gone",
        "'4242': invalid target: already gone",
        "WHO exited with status 3 after 5.01 s",
        "WHO was killed by TERM after 5.01 s",
        "WHO was killed by TERM (core dumped) after 5.01 s",
        "WHO ended in an unknown way after 5.01 s",
        "WHO is still there after 5.01 s",
        "WHO is still there after 5.01 s: stopped (CONT continues it)",
        "WHO is still there after 5.01 s: traced by 17",
        "WHO is still there after 5.01 s: blocked in the kernel",
        "WHO is still there after 5.01 s: ignores TERM",
        "WHO",
        "WHO is alive",
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

/// The events about members of a control group without a PID here.
fn unseen() -> [(usize, Outcome<'static>); 3] {
    let (signal, value) = (Signal::KILL, None);
    let sent = |after| Outcome::Sent {
        signal,
        value,
        after,
    };
    let would_send = Outcome::WouldSend {
        after: None,
        signal,
        preview: None,
    };
    let later = Some(Duration::from_secs(5));
    [(1, sent(None)), (2, sent(later)), (2, would_send)]
}

#[test]
fn members_without_a_pid_are_told_by_their_number() {
    let typed = typed("./web");
    let lines = unseen().map(|(count, outcome)| {
        let subject = subject(&typed).unseen(count);
        line(Mode::Send, &subject, &outcome)
    });
    let expected = [
        "sent KILL (9) to 1 process of another PID namespace in ./web",
        "sent KILL (9) to 2 processes of another PID namespace in ./web after 5.00 s",
        "would send KILL (9) to 2 processes of another PID namespace in ./web",
    ];
    assert_eq!(lines, expected);
}

pub fn preview() -> Preview {
    Preview {
        follow_ups: Vec::new(),
        effect: Effect::Default(DefaultAction::Terminate),
        is_blocked: Some(false),
        hold: None,
        user: "www".to_owned(),
        age: Some(Duration::from_millis(3_600_999)),
        command: b"cat -".to_vec(),
        directory: None,
    }
}

/// Every event as JSON, with every key that it may have.
fn objects() -> Vec<Value> {
    let typed = typed("4242");
    let subject = Subject {
        inode: Some(Inode(7)),
        name: Some(b"cat"),
        ..subject(&typed)
    };
    let (after, signal) = (Duration::ZERO, Signal::KILL);
    let preview = Preview {
        follow_ups: vec![FollowUp { after, signal }],
        hold: Some(Obstacle::Stopped),
        directory: Some("/srv".into()),
        ..preview()
    };
    let preview = Outcome::WouldSend {
        after: Some(Duration::from_secs(5)),
        signal: Signal::TERM,
        preview: Some(Box::new(preview)),
    };
    let reasons = reasons();
    let failed = reasons.iter().map(|(_, reason)| Outcome::Failed(reason));
    let outcomes = outcomes().into_iter().map(|(_, outcome)| outcome);
    let outcomes = outcomes.chain([preview]).chain(failed);
    let outcomes = outcomes.map(|outcome| (subject, outcome));
    let unseen = unseen().map(|(count, outcome)| (subject.unseen(count), outcome));
    let events = outcomes.chain(unseen).map(|(subject, outcome)| {
        let hint = hint("sigsend", None, &subject, &outcome).map(|hint| hint.text);
        let (_, object) = describe(Mode::Send, &subject, &outcome);
        object.with_some("hint", hint)
    });
    let ends = [
        json::error("reason", Some("hint")),
        json::summary(Tally::FAILURE, Status::Failure),
    ];
    let parsed = |object: json::Object| serde_json::from_str(&object.to_string()).expect("JSON");
    events.chain(ends).map(parsed).collect()
}

#[test]
fn the_tables_have_what_json_prints_and_nothing_else() {
    let of_target = ["target", "pid", "inode", "name"];
    let mut printed = BTreeSet::new();
    for object in objects() {
        let event = object["event"].as_str().expect("a name");
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
            if !of_target.contains(&&**key) {
                printed.insert(format!("{event} {key}"));
            }
        }
    }
    let listed = rows(EVENTS).flat_map(|[event, _, keys]| {
        let keys = keys.split(", ").filter(|key| !key.is_empty());
        keys.chain(["event"])
            .map(move |key| format!("{event} {key}"))
    });
    assert_eq!(printed, listed.collect());
}

#[test]
fn a_target_of_many_processes_is_told_with_the_pid() {
    let gone = Outcome::Failed(&Reason::Absent(NoProcess::Gone));
    let lines = ["4242", "4242:7", "04242", "17", "-17", "nginx", "worker.py"].map(|text| {
        let typed = typed(text);
        let pid = Some(pid(4242));
        let subject = Subject {
            pid,
            ..Subject::target(&typed)
        };
        line(Mode::Ask(Question::Pid), &subject, &gone).replace(": No such process", "")
    });
    let expected = [
        "4242",
        "4242:7",
        "04242 (PID 4242)",
        "17 (PID 4242)",
        "-17 (PID 4242)",
        "nginx (PID 4242)",
        "worker.py (PID 4242)",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_name_that_nobody_has_is_answered_with_who_may_be_meant() {
    let called = |names: &[&str]| Nobody {
        executables: names.len().max(1),
        is_own: true,
        called: names.iter().map(|name| name.as_bytes().to_vec()).collect(),
        ..Nobody::default()
    };
    let others = |of_others| Nobody {
        of_others,
        nearest: Some("nginx".to_owned()),
        hidden: true,
        ..Nobody::default()
    };
    let rows = [
        ("node", Nobody::default()),
        ("node", called(&[])),
        ("node", called(&["MainThread"])),
        ("tmux", called(&["tmux: server"])),
        ("node", called(&["$(reboot)", "3d", "npm"])),
        ("node", called(&["x\"; `reboot`", "\x1b[m"])),
        ("nginx", others(1)),
        ("nginx", others(2)),
        ("ngnix", others(0)),
        ("x.service", others(1)),
        ("/srv", others(1)),
        ("/srv", others(2)),
    ];
    let hints = rows.map(|(text, nobody)| {
        let (_, hint) = failed(text, &Reason::Nobody(nobody));
        hint.map(|hint| hint.text).unwrap_or_default() + "\n"
    });
    let expected = "\n\
        1 process has the executable node\n\
        1 process has the executable node and calls itself MainThread: \
        'sigsend --expect node MainThread'\n\
        1 process has the executable tmux and calls itself tmux: server: \
        'sigsend --expect tmux \"tmux: server\"'\n\
        3 processes have the executable node and call themselves $(reboot), 3d, npm: \
        'sigsend --expect node npm'\n\
        2 processes have the executable node and call themselves x\"; `reboot`, \\x1b[m\n\
        another user has a process of that name; -a selects it\n\
        other users have 2 processes of that name; -a selects them\n\
        some processes are hidden or cannot be looked at; did you mean nginx?\n\
        'systemctl kill x.service' signals a systemd unit, --cgroup DIR a control group\n\
        a process of another user matches; -a selects it\n\
        2 processes of other users match; -a selects them\n";
    assert_eq!(hints.concat(), expected);
}

#[test]
fn a_forgotten_dash_is_answered_with_what_to_type() {
    let owner = Some("root".to_owned());
    let errno = Errno::EPERM;
    let (signal, name) = (Signal::HUP, Vec::new());
    let dash = Some("'kill -9 PID' puts the signal first");
    let table = [
        (9, Reason::Absent(NoProcess::Gone), dash),
        (9, Reason::Refused(Errno::ESRCH), dash),
        (9, Reason::KernelThread, dash),
        (9, Reason::NotPermitted { errno, owner }, dash),
        (9, Reason::NotCaught { signal, name }, None),
        (15, Reason::KernelThread, None),
    ];
    let typed = typed("9");
    for (first, reason, words) in table {
        let outcome = Outcome::Failed(&reason);
        let hint = hint("kill", Some(pid(first)), &subject(&typed), &outcome);
        assert_eq!(hint.as_ref().map(|hint| &*hint.text), words, "{reason:?}");
    }
}
