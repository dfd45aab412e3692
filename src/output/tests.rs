//! Every reason and every event: its words, its hint, its keys in JSON, its rows in the reference.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::unistd::geteuid;
use serde_json::Value;

use crate::event::{
    Core, Effect, Ending, Mask, NoControlGroup, NoProcess, Nobody, Obstacle, Outcome, Preview,
    Reason, Says, Status, Subject, Tally, Typed, What,
};
use crate::output::hint::{About, hint};
use crate::output::json;
use crate::output::keys::{EVENTS, KEYS, rows};
use crate::output::line::line;
use crate::plan::{FollowUp, Mode, Question};
use crate::signal::Signal;
use crate::target::{Inode, Pid, Target};

const REFERENCE: &str = include_str!("../../docs/reference.md");

pub fn pid(number: i32) -> Pid {
    Pid::try_from(number).expect("a PID")
}

/// What a text on the command line means.
fn typed(text: &str) -> Typed {
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

/// The words about an outcome, and its hint if it has one.
fn told(mode: Mode, text: &str, pid: Option<Pid>, outcome: &Outcome) -> (String, String) {
    let typed = typed(text);
    let subject = subject(&typed);
    let pid = pid.or(subject.pid);
    let subject = Subject { pid, ..subject };
    let hint = hint("sigsend", None, &subject, outcome);
    let hint = hint.map(|hint| hint.text).unwrap_or_default();
    (line(mode, &subject, outcome), hint)
}

/// Every reason, each with the text of a target.
fn reasons() -> Vec<(&'static str, Reason)> {
    let signal = Signal::HUP;
    let bytes = |text: &str| text.as_bytes().to_vec();
    let hour = |hours: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(3600 * hours);
    let (sh, nginx, root) = (bytes("sh"), bytes("nginx"), || "root".to_owned());
    let not_permitted = |errno, owner| Reason::NotPermitted { errno, owner };
    let not_listening = |of_others, other_protocol| Reason::NotListening {
        of_others,
        other_protocol,
    };
    let only_spared = |first, name| Reason::OnlySpared { first, name };
    let nobody = || Nobody::default();
    let reasons = [
        ("4242", Reason::Absent(NoProcess::Gone)),
        (
            "4243",
            Reason::Absent(NoProcess::Thread {
                of: Some(pid(4242)),
            }),
        ),
        ("", Reason::EmptyWord),
        (
            "-4243",
            Reason::NoGroup {
                leader_is_in: Some(pid(17)),
            },
        ),
        ("4242", not_permitted(Errno::EPERM, Some(root()))),
        ("4242", not_permitted(Errno::EACCES, None)),
        ("4242", Reason::Refused(Errno::EAGAIN)),
        ("4242:7", Reason::Recycled),
        (
            "ngnix",
            Reason::Nobody(Nobody {
                nearest: Some("nginx".to_owned()),
                ..nobody()
            }),
        ),
        (
            "node",
            Reason::Nobody(Nobody {
                executables: 2,
                called: vec![bytes("MainThread")],
                ..nobody()
            }),
        ),
        (
            "worker.py",
            Reason::Nobody(Nobody {
                of_others: 3,
                ..nobody()
            }),
        ),
        (
            "/srv",
            Reason::Nobody(Nobody {
                hidden: true,
                ..nobody()
            }),
        ),
        ("./web", Reason::Nobody(nobody())),
        (":8080", not_listening(0, true)),
        (":8080", not_listening(1, false)),
        (":8080", Reason::HolderUnseen { owner: None }),
        ("kill", Reason::OnlySigsend),
        ("sh", only_spared(pid(4242), sh.clone())),
        (":8080", only_spared(pid(4242), sh.clone())),
        (":8080", only_spared(Pid::INIT, bytes("systemd"))),
        (
            "4242",
            Reason::Stale {
                file: "pidfile x.pid".to_owned(),
                started: hour(3),
                written: hour(2),
            },
        ),
        (
            "4242",
            Reason::NotExpected {
                expected: nginx.clone(),
                name: sh.clone(),
            },
        ),
        (
            "4242",
            Reason::NoSuchText {
                text: bytes("worker.py"),
                name: sh.clone(),
            },
        ),
        (
            "4242",
            Reason::WorksElsewhere {
                wanted: bytes("/srv"),
                directory: bytes("/root"),
            },
        ),
        (
            "4242",
            Reason::OtherUser {
                wanted: "www".to_owned(),
                user: root(),
            },
        ),
        ("4242", Reason::Unverified { expected: nginx }),
        ("4242", Reason::NotCaught { signal, name: sh }),
        ("4242", Reason::CatchUnknown { signal }),
        ("1", Reason::Everyone),
        ("4242", Reason::PerhapsAncestor { hidden: pid(17) }),
        ("2", Reason::KernelThread),
        ("1", Reason::Protected),
        ("4242", Reason::ChildrenUnread),
        ("./web", Reason::OtherNamespace { count: 2 }),
    ];
    let control_groups = [
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
    let control_groups = control_groups.map(|reason| ("./web", Reason::ControlGroup(reason)));
    reasons.into_iter().chain(control_groups).collect()
}

#[test]
fn the_reference_has_every_reason_with_its_hint() {
    let code = |text: &str| match text {
        "" => String::new(),
        text => format!("`{text}`"),
    };
    let rows = reasons().into_iter().map(|(text, reason)| {
        let (line, hint) = told(Mode::Send, text, None, &Outcome::Failed(&reason));
        let facts = reason.facts();
        let errno = facts.errno.map(|errno| format!("{errno:?}"));
        let errno = code(&errno.unwrap_or_default());
        let says = match facts.says {
            Says::Gone => "gone",
            Says::Refused => "refused",
            Says::Unclear => "unclear",
            Says::Lives => "lives",
        };
        format!("| `{line}` | {errno} | {says} | {} |", code(&hint))
    });
    assert_in_reference(rows);
}

#[track_caller]
fn assert_in_reference(rows: impl Iterator<Item = String>) {
    let table = rows.collect::<Vec<_>>().join("\n");
    let is_there = REFERENCE.contains(&table);
    assert!(is_there, "docs/reference.md lacks:\n{table}");
}

/// Every event but failures, each with the text of a target.
fn outcomes(preview: &Preview) -> Vec<(&'static str, Outcome<'_>)> {
    let (signal, after) = (Signal::TERM, Duration::from_millis(5010));
    let sent = |signal, value, after| Outcome::Sent {
        signal,
        value,
        after,
    };
    let unseen = |count, after| Outcome::SentUnseen {
        signal,
        count,
        after,
    };
    let gone = |ending| ("4242", Outcome::Gone { ending, after });
    let killed = |core| gone(Ending::Killed { signal, core });
    let still = |state| ("4242", Outcome::StillThere { after, state });
    vec![
        ("4242", sent(signal, None, None)),
        ("4242", sent(signal, Some(-7), Some(after))),
        ("4242", sent(Signal::NULL, None, None)),
        ("/srv", sent(signal, None, Some(after))),
        ("./web", unseen(1, None)),
        ("./web", unseen(2, Some(after))),
        ("./web", Outcome::WouldSendUnseen { signal, count: 2 }),
        ("4242", Outcome::Skipped),
        ("4242", Outcome::Unstopped),
        ("4242", Outcome::Escaped),
        ("4242", Outcome::AlreadyGone(None)),
        ("4242", Outcome::AlreadyGone(Some(&Reason::EmptyWord))),
        gone(Ending::Exited(3)),
        killed(Core::Unknown),
        killed(Core::Dumped),
        gone(Ending::Unknown),
        still(None),
        still(Some(Obstacle::Stopped)),
        still(Some(Obstacle::TracedBy(pid(17)))),
        still(Some(Obstacle::Blocked)),
        still(Some(Obstacle::Ignores(signal))),
        ("4242", Outcome::Found),
        ("4242", Outcome::Alive),
        ("4242", Outcome::WouldSend(preview)),
    ]
}

fn preview(hold: Option<Obstacle>) -> Preview {
    let (signal, after) = (Signal::TERM, Duration::from_millis(500));
    Preview {
        signal,
        follow_ups: vec![FollowUp { after, signal }],
        effect: Effect::Caught,
        mask: Mask::Open,
        hold,
        user: "www".to_owned(),
        age: Some(after),
        command: b"cat".to_vec(),
        sought: None,
        directory: Some(b"/srv".to_vec()),
    }
}

#[test]
fn every_event_has_its_line() {
    let preview = preview(None);
    let lines = outcomes(&preview).into_iter().map(|(text, outcome)| {
        let typed = typed(text);
        let subject = Subject {
            name: Some(b"s\x1bh"),
            ..subject(&typed)
        };
        line(Mode::Send, &subject, &outcome).replace("4242 (s\\x1bh)", "WHO") + "\n"
    });
    let expected = "\
        sent TERM (15) to WHO\n\
        sent TERM (15) with value -7 to WHO after 5.01 s\n\
        WHO may be signalled\n\
        sent TERM (15) to /srv (s\\x1bh) in /srv after 5.01 s\n\
        sent TERM (15) to 1 process of another PID namespace in ./web\n\
        sent TERM (15) to 2 processes of another PID namespace in ./web after 5.01 s\n\
        would send TERM (15) to 2 processes of another PID namespace in ./web\n\
        WHO is sigsend itself or an ancestor of it: skipped\n\
        WHO could not be kept stopped; it may have forked before it was killed\n\
        WHO may be a child that a killed member left behind\n\
        WHO is already gone\n\
        '4242': invalid target: already gone\n\
        WHO exited with status 3 after 5.01 s\n\
        WHO was killed by TERM after 5.01 s\n\
        WHO was killed by TERM (core dumped) after 5.01 s\n\
        WHO ended in an unknown way after 5.01 s\n\
        WHO is still there after 5.01 s\n\
        WHO is still there after 5.01 s: stopped (CONT continues it)\n\
        WHO is still there after 5.01 s: traced by 17\n\
        WHO is still there after 5.01 s: blocked in the kernel\n\
        WHO is still there after 5.01 s: ignores TERM\n\
        WHO\n\
        WHO is alive\n\
        would send TERM (15) to WHO: caught by a handler, TERM (15) 0.50 s later; \
        user www, age 0s, in /srv: cat\n";
    assert_eq!(lines.collect::<String>(), expected);
}

/// Every event as JSON, with every key that it may have.
fn objects() -> Vec<Value> {
    let typed = typed("4242");
    let subject = Subject {
        inode: Some(Inode::new(7)),
        name: Some(b"cat"),
        ..subject(&typed)
    };
    let object = |outcome: &Outcome| {
        let hint = hint("sigsend", None, &subject, outcome).map(|hint| hint.text);
        let line = line(Mode::Send, &subject, outcome);
        json::event(&subject, outcome, &line, hint.as_deref())
    };
    let preview = preview(Some(Obstacle::Stopped));
    let outcomes = outcomes(&preview)
        .into_iter()
        .map(|(_, outcome)| object(&outcome));
    let failures = reasons()
        .into_iter()
        .map(|(_, reason)| object(&Outcome::Failed(&reason)));
    let ends = [
        json::error("reason", Some("hint")),
        json::summary(Tally::FAILURE, Status::Failure),
    ];
    let objects = outcomes.chain(failures).chain(ends);
    let parsed = |object: json::Object| serde_json::from_str(&object.to_string());
    objects
        .map(|object| parsed(object).expect("JSON"))
        .collect()
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
fn the_reference_has_every_event_and_key() {
    assert_in_reference(rows(EVENTS).map(|[event, meaning, keys]| {
        let keys = match keys {
            "" => String::new(),
            keys => format!("`{}`", keys.replace(", ", "`, `")),
        };
        let end = match event {
            "error" | "summary" => "; no target",
            _ => "",
        };
        format!("| `{event}` | {meaning} | {keys}{end} |")
    }));
    assert_in_reference(
        rows(KEYS).map(|[key, kind, meaning]| format!("| `{key}` | {kind} | {meaning} |")),
    );
}

#[test]
fn a_target_of_many_processes_is_told_with_the_pid() {
    let gone = Reason::Absent(NoProcess::Gone);
    let targets = ["4242", "4242:7", "04242", "-17", "nginx", "worker.py"];
    let lines = targets.map(|text| {
        let (line, _) = told(
            Mode::Ask(Question::Pid),
            text,
            Some(pid(4242)),
            &Outcome::Failed(&gone),
        );
        line
    });
    let expected = "\
        4242: No such process, 4242:7: No such process, 04242 (PID 4242): No such process, \
        -17 (PID 4242): No such process, nginx (PID 4242): No such process, \
        worker.py (PID 4242): No such process";
    assert_eq!(lines.join(", "), expected);
}

#[test]
fn what_could_not_be_read_is_not_claimed() {
    let (wanted, directory) = (b"/srv".to_vec(), Vec::new());
    let (expected, name) = (b"nginx".to_vec(), Vec::new());
    let reasons = [
        Reason::WorksElsewhere { wanted, directory },
        Reason::NotExpected { expected, name },
        Reason::Absent(NoProcess::Thread { of: None }),
    ];
    let told = reasons.map(|reason| told(Mode::Send, "4242", None, &Outcome::Failed(&reason)).0);
    let expected = [
        "4242 does not work in /srv",
        "4242 is not nginx",
        "sending signal to 4242 failed: 4242 is a thread",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_name_that_nobody_has_is_answered_with_who_may_be_meant() {
    let called = |names: &[&str]| Nobody {
        executables: names.len().max(1),
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
        let reason = Reason::Nobody(nobody);
        let (_, hint) = told(Mode::Send, text, None, &Outcome::AlreadyGone(Some(&reason)));
        hint + "\n"
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
        /proc hides processes of other users; did you mean nginx?\n\
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

/// A script that calls this program as kill(1) gets one line an error, but for what it has typed.
#[test]
fn hints_about_processes_are_told_apart() {
    let reasons = reasons();
    let about_words = reasons.iter().filter(|(text, reason)| {
        let typed = typed(text);
        let hint = hint("sigsend", None, &subject(&typed), &Outcome::Failed(reason));
        hint.is_some_and(|hint| hint.about == About::Words)
    });
    let texts: Vec<&str> = about_words.map(|(text, _)| *text).collect();
    assert_eq!(texts, ["4243", "", "4242", "./web", "./web"]);
}

#[test]
fn a_port_in_use_with_the_other_protocol_is_answered_with_what_to_type() {
    let in_use = Reason::NotListening {
        of_others: 0,
        other_protocol: true,
    };
    let (_, hint) = told(Mode::Send, ":53/udp", None, &Outcome::Failed(&in_use));
    assert_eq!(hint, "the port is in use with TCP: ':53'");
}

#[test]
fn a_hidden_listener_is_told_with_who_may_see_it() {
    let owner = Some("www".to_owned());
    let unseen = Reason::HolderUnseen { owner };
    let (line, hint) = told(Mode::Send, ":53", None, &Outcome::Failed(&unseen));
    assert_eq!(
        line,
        "cannot tell which process listens on port 53, whose socket belongs to www"
    );
    if !geteuid().is_root() {
        assert_eq!(
            hint,
            "only that user and root may look at the descriptors of www's processes"
        );
    }
}
