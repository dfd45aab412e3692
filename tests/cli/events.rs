//! The output of `--verbose`, `--json` and `--dry-run` for real processes.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{
    Unprivileged, Victim, in_pid_namespace, may_change_user, raw_sigsend, shown_on_terminal,
    sigsend, skip, stderr, stdout, strace, victim,
};

/// Exits with 3 on TERM.
const POLITE: &str = "trap 'exit 3' TERM; echo ready; while :; do read -r _ || exit 9; done";
/// Ignores TERM.
const STUBBORN: &str = "trap '' TERM; echo ready; read -r _";

fn json(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .collect()
}

/// The objects that `--json` prints, each checked against the table in the README and the manual.
fn events(args: &[&str]) -> Vec<Value> {
    let objects = json(&stdout(&sigsend().arg("--json").args(args).assert()));
    objects.iter().for_each(validate);
    assert!(
        objects
            .last()
            .is_some_and(|last| last["event"] == "summary"),
        "{objects:?}"
    );
    objects
}

/// The keys that each event has beside `event`; those with a question mark may be missing.
fn keys_of(event: &str) -> &'static str {
    match event {
        "sent" => "target pid? inode? name? signal number value? elapsed_ms",
        "failed" => "target pid? inode? name? reason errno?",
        "skipped" | "not-stopped" => "target pid inode? name? reason",
        "already-gone" => "target pid? inode? name?",
        "gone" => "target pid inode? name? ending exit_code? exit_signal? core_dumped? elapsed_ms",
        "still-there" => "target pid inode? name? elapsed_ms",
        "found" | "alive" => "target pid inode? name?",
        "would-send" => {
            "target pid inode? name? signal number effect blocked user age_ms? command follow_ups"
        }
        "error" => "reason",
        "summary" => "signalled already_gone failed remaining status",
        other => panic!("an event that the table does not have: {other}"),
    }
}

#[track_caller]
fn validate(object: &Value) {
    let event = object["event"].as_str().expect("every object has an event");
    let keys: Vec<&str> = keys_of(event).split(' ').collect();
    for (key, value) in object
        .as_object()
        .expect("an object")
        .iter()
        .filter(|(key, _)| *key != "event")
    {
        let is_known = keys.iter().any(|known| known.trim_end_matches('?') == key);
        assert!(is_known, "{event} has {key}");
        let is_number = matches!(
            key.as_str(),
            "pid"
                | "inode"
                | "number"
                | "value"
                | "exit_code"
                | "elapsed_ms"
                | "age_ms"
                | "signalled"
                | "already_gone"
                | "failed"
                | "remaining"
                | "status"
        );
        assert!(!is_number || value.is_number(), "{key} of {object}");
    }
    for key in keys.iter().filter(|key| !key.ends_with('?')) {
        assert!(object.get(key).is_some(), "{object} has no {key}");
    }
}

fn kinds(objects: &[Value]) -> Vec<&str> {
    objects
        .iter()
        .filter_map(|object| object["event"].as_str())
        .collect()
}

#[test]
fn verbose_reports_a_normal_end_in_order() {
    let victim = Victim::shell(POLITE);
    let pid = victim.pid();
    let said = stdout(
        &sigsend()
            .args(["-v", "--wait", &victim.arg()])
            .assert()
            .success(),
    );
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], format!("sent TERM (15) to {pid} (sh)"));
    assert!(
        lines[1].starts_with(&format!("{pid} (sh) exited with status 3 after 0.")),
        "{said}"
    );
    assert!(lines[1].ends_with(" s"), "{said}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn verbose_reports_an_escalation_with_its_follow_up() {
    let victim = Victim::shell(STUBBORN);
    let pid = victim.pid();
    let said = stdout(
        &sigsend()
            .args(["-v", "--grace", "50ms", &victim.arg()])
            .assert()
            .success(),
    );
    let starts = [
        format!("sent TERM (15) to {pid} (sh)"),
        format!("sent CONT (18) to {pid} (sh)"),
        format!("sent KILL (9) to {pid} (sh) after "),
        format!("{pid} (sh) was killed by KILL after "),
    ];
    assert_eq!(said.lines().count(), starts.len(), "{said}");
    for (line, start) in said.lines().zip(&starts) {
        assert!(line.starts_with(start), "{line} / {start}");
    }
    victim.assert_killed_by(9);
}

#[test]
fn json_reports_an_escalation_with_stable_keys() {
    let victim = Victim::shell(STUBBORN);
    let objects = events(&["--grace", "50ms", &victim.arg()]);
    assert_eq!(kinds(&objects), ["sent", "sent", "sent", "gone", "summary"]);
    let first = &objects[0];
    assert_eq!(first["target"], victim.arg());
    assert_eq!(first["pid"], victim.pid());
    assert_eq!(
        (&first["name"], &first["signal"], &first["number"]),
        (&"sh".into(), &"TERM".into(), &15.into())
    );
    assert!(objects[2]["elapsed_ms"].as_u64() >= Some(50));
    let gone = &objects[3];
    assert_eq!(
        (&gone["ending"], &gone["exit_signal"], &gone["core_dumped"]),
        (&"killed".into(), &"KILL".into(), &false.into())
    );
    assert_eq!(objects[4]["status"], 0);
}

#[test]
fn json_reports_an_exit_status_and_a_queued_value() {
    let victim = Victim::shell(POLITE);
    let objects = events(&["-q", "-7", "--wait", &victim.arg()]);
    assert_eq!(objects[0]["value"], -7);
    assert_eq!(
        (&objects[1]["ending"], &objects[1]["exit_code"]),
        (&"exited".into(), &3.into())
    );
}

#[test]
fn json_reports_survivors_failures_and_already_gone_targets() {
    let (stubborn, gone) = (Victim::shell(STUBBORN), Victim::gone().to_string());
    let objects = events(&["--within", "20ms", &stubborn.arg(), &gone]);
    assert_eq!(
        kinds(&objects),
        ["already-gone", "sent", "still-there", "summary"]
    );
    assert_eq!(
        (&objects[3]["remaining"], &objects[3]["status"]),
        (&1.into(), &124.into())
    );

    let objects = events(&["-0", &stubborn.arg(), &gone]);
    assert_eq!(kinds(&objects), ["sent", "failed", "summary"]);
    assert_eq!(
        (&objects[1]["errno"], &objects[1]["target"]),
        (&"ESRCH".into(), &gone.as_str().into())
    );
    assert_eq!(objects[2]["status"], 64);
    stubborn.assert_alive();
}

#[test]
fn a_process_keeps_the_name_that_it_was_found_with() {
    let victim = Victim::shell("trap 'exec cat' TERM; echo ready; read line");
    let told = sigsend()
        .args(["-v", "-TERM", "--within", "100ms", &victim.arg()])
        .assert()
        .code(124);
    assert!(
        stdout(&told).starts_with(&format!("sent TERM (15) to {} (sh)", victim.pid())),
        "{}",
        stdout(&told)
    );
    assert!(
        stderr(&told).starts_with(&format!("sigsend: {} (sh) is still there", victim.pid())),
        "{}",
        stderr(&told)
    );
}

#[test]
fn json_reports_print_id_and_alive() {
    let victim = Victim::sleeping();
    assert_eq!(kinds(&events(&["-p", &victim.arg()])), ["found", "summary"]);
    let found = events(&["--id", &victim.arg()]);
    assert!(found[0]["inode"].is_u64());
    assert_eq!(
        kinds(&events(&["--alive", &victim.arg()])),
        ["alive", "summary"]
    );
    let gone = events(&["--alive", &Victim::gone().to_string()]);
    assert_eq!(
        (kinds(&gone), &gone[1]["status"]),
        (vec!["failed", "summary"], &1.into())
    );
}

#[test]
fn errors_are_in_the_json_and_on_standard_error() {
    for args in [
        &["12,34"][..],
        &["--pidfile", "/nonexistent/file"],
        &["-TERM", "-HUP", "7"],
        &["--json", "-l"],
    ] {
        let refused = sigsend().arg("--json").args(args).assert().code(1);
        let objects = json(&stdout(&refused));
        objects.iter().for_each(validate);
        assert_eq!(kinds(&objects), ["error", "summary"], "{args:?}");
        let reason = objects[0]["reason"].as_str().expect("a reason");
        assert!(
            stderr(&refused).starts_with(&format!("sigsend: {reason}\n")),
            "{args:?}"
        );
    }
}

#[test]
fn the_summary_after_an_error_counts_the_processes_without_a_signal() {
    let victims = [Victim::sleeping(), Victim::sleeping()];
    let args = [
        "--json",
        "-CONT",
        "--within",
        "9s",
        &victims[0].arg(),
        &victims[1].arg(),
    ];
    for (call, counts) in [
        ("?epoll_create,?epoll_create1", [0, 2, 0, 1]),
        ("?epoll_wait,?epoll_pwait", [2, 1, 0, 64]),
    ] {
        // An error when the wait is prepared comes before the first signal.
        let Some(trace) = strace(&format!("inject={call}:error=ENOMEM"), &args) else {
            return;
        };
        let objects = json(&String::from_utf8_lossy(&trace.output.stdout));
        let summary = objects.last().expect("a summary");
        assert_eq!(
            ["signalled", "failed", "remaining", "status"].map(|key| &summary[key]),
            counts.map(Value::from).each_ref()
        );
    }
}

#[test]
fn a_failure_is_reported_once_on_standard_error() {
    let victim = Victim::sleeping();
    let refused = sigsend()
        .args(["-v", "-r", "-HUP", &victim.arg()])
        .assert()
        .code(1)
        .stdout("");
    assert_eq!(
        stderr(&refused),
        format!("sigsend: {} (cat) does not catch HUP\n", victim.pid())
    );
    victim.assert_alive();
    let late = sigsend()
        .args(["-v", "-0", "--within", "0s", &victim.arg()])
        .assert()
        .code(124);
    assert_eq!(
        stdout(&late),
        format!("{} (cat) may be signalled\n", victim.pid())
    );
    let stderr = stderr(&late);
    assert!(
        stderr.starts_with(&format!(
            "sigsend: {} (cat) is still there after 0.",
            victim.pid()
        )),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    in_pid_namespace(|| {
        let gone = Victim::gone().to_string();
        let line = format!("sigsend: sending signal to {gone} failed: No such process\n");
        sigsend()
            .args(["-v", &gone])
            .assert()
            .code(1)
            .stdout("")
            .stderr(line);
    });
}

#[test]
fn a_dry_run_reports_the_effect_of_a_signal_and_sends_none() {
    let cases = [
        (
            "trap 'exit 3' TERM; echo ready; read -r _",
            "-TERM",
            "caught",
        ),
        ("trap '' TERM; echo ready; read -r _", "-TERM", "ignored"),
        ("echo ready; read -r _", "-TERM", "terminate"),
        ("echo ready; read -r _", "-SEGV", "core"),
        ("echo ready; read -r _", "-TSTP", "stop"),
        ("echo ready; read -r _", "-WINCH", "nothing"),
        ("trap '' TERM; echo ready; read -r _", "-KILL", "terminate"),
        ("echo ready; read -r _", "-0", "nothing"),
    ];
    for (script, signal, effect) in cases {
        let victim = Victim::shell(script);
        let objects = events(&["--dry-run", signal, &victim.arg()]);
        assert_eq!(kinds(&objects), ["would-send", "summary"]);
        assert_eq!(objects[0]["effect"], effect, "{script} {signal}");
        let line = stdout(
            &sigsend()
                .args(["--dry-run", signal, &victim.arg()])
                .assert()
                .success(),
        );
        assert!(
            line.contains(&format!("to {} (sh): ", victim.pid())),
            "{line}"
        );
        victim.assert_alive();
    }
}

#[test]
fn a_dry_run_lists_the_members_of_a_group_and_its_follow_ups() {
    let leader = Victim::sleeping();
    let member = victim().in_group_of(&leader).sleeping();
    let objects = events(&["--dry-run", "--grace", "10s", "--", &leader.group_arg()]);
    let mut pids: Vec<_> = objects
        .iter()
        .filter_map(|object| object["pid"].as_i64())
        .collect();
    pids.sort_unstable();
    let mut expected = [i64::from(leader.pid()), i64::from(member.pid())];
    expected.sort_unstable();
    assert_eq!(pids, expected);
    let follow_ups = &objects[0]["follow_ups"];
    assert_eq!(
        (&follow_ups[0]["signals"][0], &follow_ups[0]["after_ms"]),
        (&"CONT".into(), &0.into())
    );
    assert_eq!(
        (&follow_ups[1]["signals"][0], &follow_ups[1]["after_ms"]),
        (&"KILL".into(), &10_000.into())
    );
    leader.assert_alive();
    member.assert_alive();
}

#[test]
fn a_dry_run_returns_what_the_real_call_would() {
    if !may_change_user() {
        return skip("needs root");
    }
    let victim = Victim::sleeping();
    sigsend()
        .args(["--dry-run", &Victim::gone().to_string()])
        .assert()
        .code(1);
    sigsend()
        .args(["--dry-run", &victim.arg(), &Victim::gone().to_string()])
        .assert()
        .code(64);
    sigsend()
        .args(["--dry-run", "--wait", &Victim::gone().to_string()])
        .assert()
        .success();
    sigsend()
        .args(["--dry-run", "no-such-name-here"])
        .assert()
        .code(1);
    Unprivileged::new()
        .sigsend()
        .args(["--dry-run", &victim.arg()])
        .assert()
        .code(1);
    victim.assert_alive();
}

/// Names with control sequences, as bytes for printf(1) and as sigsend prints them.
const HOSTILE: [(&str, &str); 6] = [
    ("a\\033[31mb", "a\\x1b[31mb"),
    ("x\\377\\376y", "x\\xff\\xfey"),
    ("l1\\nl2", "l1\\x0al2"),
    ("\\342\\200\\256txt", "\\u{202e}txt"),
    ("n\\343\\205\\244x", "n\\u{3164}x"),
    ("n\\357\\270\\217x", "n\\u{fe0f}x"),
];

#[test]
fn hostile_names_are_escaped_in_every_output() {
    for (bytes, shown) in HOSTILE {
        let victim = Victim::shell(&format!(
            "printf '{bytes}' >/proc/$$/comm; trap '' TERM; echo ready; read -r _"
        ));
        let pid = victim.pid();
        let named = format!("{pid} ({shown})");
        let spoken = [
            stdout(
                &sigsend()
                    .args(["-v", "-0", &victim.arg()])
                    .assert()
                    .success(),
            ),
            stdout(
                &sigsend()
                    .args(["--dry-run", &victim.arg()])
                    .assert()
                    .success(),
            ),
            stdout(
                &sigsend()
                    .args(["-v", "--id", "--alive", &victim.arg()])
                    .assert()
                    .code(2),
            ) + &named,
            stderr(
                &sigsend()
                    .args(["--expect", "nginx", &victim.arg()])
                    .assert()
                    .code(1),
            ),
            stderr(
                &sigsend()
                    .args(["--within", "1ms", &victim.arg()])
                    .assert()
                    .code(124),
            ),
            stderr(
                &sigsend()
                    .args(["-r", "-USR1", &victim.arg()])
                    .assert()
                    .code(1),
            ),
        ];
        for text in spoken {
            assert!(text.contains(&named), "{named} / {text:?}");
            assert!(
                text.chars()
                    .all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'),
                "{text:?}"
            );
        }
        let objects = events(&["-0", &victim.arg()]);
        assert_eq!(objects[0]["name"], shown);
        victim.assert_alive();
    }
}

#[test]
fn a_reader_that_closes_the_json_pipe_does_not_stop_an_escalation() {
    let victim = Victim::shell(STUBBORN);
    for voice in ["-v", "--json"] {
        let victim = if voice == "-v" {
            &victim
        } else {
            &Victim::shell(STUBBORN)
        };
        let mut child = raw_sigsend()
            .args([voice, "--grace", "200ms", &victim.arg()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("sigsend starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("one line");
        assert!(line.contains("TERM"), "{line}");
        assert_eq!(child.wait().expect("sigsend ends").code(), Some(0));
        victim.assert_killed_by(9);
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error_after_the_work_is_done() {
    for voice in ["-v", "--json"] {
        let victim = Victim::shell(STUBBORN);
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full is there");
        let mut command = raw_sigsend();
        command
            .args([voice, "--grace", "50ms", &victim.arg()])
            .stdout(full);
        let failed = command.output().expect("sigsend runs");
        assert_eq!(failed.status.code(), Some(1));
        assert_eq!(
            String::from_utf8_lossy(&failed.stderr),
            "sigsend: write error: No space left on device\n"
        );
        victim.assert_killed_by(9);
    }
}

/// What `sigsend args` writes to standard error when that is a terminal with this many columns.
fn on_stderr_terminal(columns: u16, args: &[&str]) -> String {
    let mut command = raw_sigsend();
    command
        .args(args)
        .env("TERM", "xterm")
        .stdout(Stdio::null());
    shown_on_terminal(columns, command, Command::stderr)
}

#[test]
fn a_long_wait_on_a_terminal_shows_one_line_and_wipes_it() {
    for columns in [20, 80, 200] {
        let victim = Victim::shell(STUBBORN);
        let screen = on_stderr_terminal(columns, &["-0", "--within", "800ms", &victim.arg()]);
        let drawn: Vec<&str> = screen.split("\r\x1b[2K").collect();
        let line = drawn
            .iter()
            .find(|text| text.contains("giving up in"))
            .unwrap_or_else(|| panic!("{screen:?}"));
        assert!(line.chars().count() < usize::from(columns), "{line:?}");
        assert!(columns < 80 || line.starts_with("waiting for"), "{line:?}");
        let last = drawn.last().expect("split gives one part at least");
        assert!(!last.contains("giving up"), "{screen:?}");
        victim.assert_alive();
    }
}

#[test]
fn the_progress_line_is_written_when_it_changes_and_counts_down() {
    let victim = Victim::shell(STUBBORN);
    let screen = on_stderr_terminal(
        100,
        &[
            "-0",
            "--timeout",
            "1500ms",
            "CONT",
            "--within",
            "1s",
            &victim.arg(),
        ],
    );
    let drawn: Vec<&str> = screen
        .split("\r\x1b[2K")
        .filter(|text| text.starts_with("waiting for"))
        .collect();
    for pair in drawn.windows(2) {
        assert_ne!(pair[0], pair[1], "{screen:?}");
    }
    assert!(drawn.len() <= 6, "{screen:?}");
    let mut ends: Vec<&str> = drawn
        .iter()
        .filter_map(|line| Some(line.split_once(" s, ")?.1))
        .collect();
    ends.dedup();
    // On a busy machine it begins with a rounded "2 s".
    assert!(ends.contains(&"CONT in 1 s"), "{screen:?}");
    assert_eq!(ends.last(), Some(&"giving up in 1 s"), "{screen:?}");
    victim.assert_alive();
}

#[test]
fn a_short_wait_shows_nothing() {
    let victim = Victim::shell(POLITE);
    assert_eq!(on_stderr_terminal(80, &["--wait", &victim.arg()]), "");
    victim.assert_exited_with(3);
}
