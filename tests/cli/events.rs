//! The output of `--verbose`, `--json` and `--dry-run` for real processes.

use std::io::{BufRead, BufReader};

use serde_json::{Value, json};

use crate::support::prelude::*;
use crate::support::{on_terminal, shown_on_terminal};

/// The objects of JSON Lines, each checked against the table in the reference and the manual.
#[track_caller]
fn objects(done: &Done) -> Vec<Value> {
    let objects = done.json();
    objects.iter().for_each(validate);
    let last = objects.last().expect("a summary");
    assert_eq!(last["event"], "summary", "{done:?}");
    objects
}

/// The objects that `sigsend --json WORDS` prints, which are these events.
#[track_caller]
fn events(words: &str, events: &str) -> Vec<Value> {
    let objects = objects(&run!("--json {words}"));
    let kinds = objects.iter().filter_map(|object| object["event"].as_str());
    let kinds: Vec<&str> = kinds.collect();
    assert_eq!(kinds.join(" "), events, "{words}");
    objects
}

#[track_caller]
fn has(object: &Value, wanted: &Value) {
    for (key, value) in wanted.as_object().expect("an object") {
        assert_eq!(object[key], *value, "{key} of {object}");
    }
}

macro_rules! events {
    ($events:expr, $($words:tt)*) => { events(&format!($($words)*), $events) };
}

macro_rules! has {
    ($object:expr, $($wanted:tt)*) => { has(&$object, &json!({$($wanted)*})) };
}

/// The keys that each event has beside `event`; those with a question mark may be missing.
const KEYS: &str = "
    sent         | target pid? inode? name? signal number value? elapsed_ms
    failed       | target pid? inode? name? reason errno? hint?
    skipped      | target pid inode? name? reason
    not-stopped  | target pid inode? name? reason
    escaped      | target pid inode? name? reason
    already-gone | target pid? inode? name? reason? hint?
    gone         | target pid inode? name? ending exit_code? exit_signal? core_dumped? elapsed_ms
    still-there  | target pid inode? name? elapsed_ms state?
    found        | target pid inode? name?
    alive        | target pid inode? name?
    would-send   | target pid inode? name? signal number elapsed_ms effect blocked user age_ms? command follow_ups state? directory?
    error        | reason hint?
    summary      | signalled already_gone failed remaining status";

const NUMBERS: &str = "pid inode number value exit_code elapsed_ms age_ms signalled already_gone \
    failed remaining status";

#[track_caller]
fn validate(object: &Value) {
    let event = object["event"].as_str().expect("every object has an event");
    let keys = rows(KEYS).find_map(|[known, keys]| (known == event).then_some(keys));
    let keys = keys.unwrap_or_else(|| panic!("an event that the table does not have: {event}"));
    for (key, value) in object.as_object().expect("an object") {
        let mut known = keys.split(' ');
        let is_known = known.any(|known| known.trim_end_matches('?') == key);
        assert!(is_known || key == "event", "{event} has {key}");
        let is_number = NUMBERS.split(' ').any(|number| number == key);
        assert!(!is_number || value.is_number(), "{key} of {object}");
    }
    for key in keys.split(' ').filter(|key| !key.ends_with('?')) {
        assert!(object.get(key).is_some(), "{object} has no {key}");
    }
}

#[track_caller]
fn begin(told: &str, starts: &[String]) {
    assert_eq!(told.lines().count(), starts.len(), "{told}");
    for (line, start) in told.lines().zip(starts) {
        assert!(line.starts_with(start), "{line} / {start}");
    }
}

#[test]
fn verbose_reports_an_end_and_an_escalation_in_order() {
    let victim = Victim::shell(POLITE);
    let told = run!("-v --wait {victim}").code(0).out;
    let sent = |victim: &Victim| format!("sent TERM (15) to {victim} (sh)");
    let exited = format!("{victim} (sh) exited with status 3 after 0.");
    begin(&told, &[sent(&victim), exited]);
    assert!(told.ends_with(" s\n"), "{told}");

    let victim = Victim::shell(STUBBORN);
    let starts = [
        sent(&victim),
        format!("sent CONT (18) to {victim} (sh)"),
        format!("sent KILL (9) to {victim} (sh) after "),
        format!("{victim} (sh) was killed by KILL after "),
    ];
    begin(&run!("-v --grace 50ms {victim}").code(0).out, &starts);
    victim.assert_killed_by(9);
}

#[test]
fn json_reports_ends_escalations_and_values_with_stable_keys() {
    let victim = Victim::shell(STUBBORN);
    let objects = events!("sent sent sent gone summary", "--grace 50ms {victim}");
    let pid = victim.pid();
    has!(objects[0], "target": victim.arg(), "pid": pid, "name": "sh");
    has!(objects[0], "signal": "TERM", "number": 15);
    assert!(objects[2]["elapsed_ms"].as_u64() >= Some(50));
    has!(objects[3], "ending": "killed", "exit_signal": "KILL", "core_dumped": false);
    has!(objects[4], "status": 0);
    let victim = Victim::shell(POLITE);
    let objects = events!("sent gone summary", "-q -7 --wait {victim}");
    has!(objects[0], "value": -7);
    has!(objects[1], "ending": "exited", "exit_code": 3);
}

#[test]
fn json_reports_survivors_failures_and_already_gone_targets() {
    let (stubborn, gone) = (Victim::shell(STUBBORN), Victim::gone());
    let objects = events!(
        "already-gone sent still-there summary",
        "--within 20ms {stubborn} {gone}"
    );
    has!(objects[2], "target": stubborn.arg(), "state": "ignores TERM");
    has!(objects[3], "signalled": 1, "remaining": 1, "status": 124);
    let objects = events!("sent failed summary", "-0 {stubborn} {gone}");
    has!(objects[1], "errno": "ESRCH", "target": gone.to_string());
    has!(objects[2], "status": 64);
    stubborn.assert_alive();
}

#[test]
fn a_process_keeps_the_name_that_it_was_found_with() {
    let victim = Victim::shell("trap 'exec cat' TERM; echo ready; read line");
    let sent = format!("sent TERM (15) to {victim} (sh)");
    let late = format!("sigsend: {victim} (sh) is still there");
    run!("-v -TERM --within 100ms {victim}").is(124, sent, late);
}

#[test]
fn json_reports_print_id_and_alive() {
    let victim = Victim::sleeping();
    events!("found summary", "-p {victim}");
    assert!(events!("found summary", "--id {victim}")[0]["inode"].is_u64());
    events!("alive summary", "--alive {victim}");
    let gone = Victim::gone();
    let objects = events!("alive failed summary", "--alive {victim} {gone}");
    has!(objects[2], "already_gone": 1, "failed": 1, "status": 1);
}

#[test]
fn errors_are_in_the_json_and_on_standard_error() {
    for args in each("12,34 | --pidfile /nonexistent/file | -TERM -HUP 7 | --json -l") {
        let error = &events(args, "error summary")[0];
        let refused = run!("--json {args}").code(1);
        let line = format!("sigsend: {}\n", error["reason"].as_str().expect("a reason"));
        assert!(refused.err.starts_with(&line), "{refused:?}");
        if let Some(hint) = error["hint"].as_str() {
            contains!(refused.err, "\n{hint}\n");
        }
    }
}

#[test]
fn the_summary_after_an_error_counts_the_processes_without_a_signal() {
    let victims = [Victim::sleeping(), Victim::sleeping()];
    let args = format!("--json -CONT --within 9s {} {}", victims[0], victims[1]);
    // An error when the wait is prepared comes before the first signal.
    let prepared = json!({"signalled": 0, "failed": 2, "remaining": 0, "status": 1});
    let waiting = json!({"signalled": 2, "failed": 1, "remaining": 0, "status": 64});
    for (call, counts) in [
        ("?epoll_create,?epoll_create1", prepared),
        ("?epoll_wait,?epoll_pwait", waiting),
    ] {
        let trace = traced!(&format!("inject={call}:error=ENOMEM"), "{args}");
        let objects = objects(&trace.done);
        has(objects.last().expect("a summary"), &counts);
    }
}

#[test]
fn a_failure_is_reported_once_on_standard_error() {
    in_pid_namespace!();
    let gone = Victim::gone();
    let line = format!("sigsend: sending signal to {gone} failed: No such process\n");
    run!("-v {gone}").fails(1, line);
    let victim = Victim::sleeping();
    let refused = format!("sigsend: {victim} (cat) does not catch HUP\n");
    run!("-v -r -HUP {victim}").fails(1, refused);
    let late = format!("sigsend: {victim} (cat) is still there after 0.");
    let told = format!("{victim} (cat) may be signalled\n");
    let done = run!("-v -0 --within 0s {victim}");
    done.is(124, told, late).complains(1);
}

#[test]
fn a_dry_run_reports_the_effect_of_a_signal_and_sends_none() {
    let cases = "
        -TERM  | caught    | trap 'exit 3' TERM
        -TERM  | ignored   | trap '' TERM
        -TERM  | terminate | :
        -SEGV  | core      | :
        -TSTP  | stop      | :
        -WINCH | nothing   | :
        -KILL  | terminate | trap '' TERM
        -0     | nothing   | :";
    for [signal, effect, script] in rows(cases) {
        let victim = Victim::shell(&format!("{script}; echo ready; read -r _"));
        let objects = events!("would-send summary", "--dry-run {signal} {victim}");
        has!(objects[0], "effect": effect);
        let line = run!("--dry-run {signal} {victim}").code(0);
        contains!(line.out, "to {victim} (sh): ");
        victim.assert_alive();
    }
}

#[test]
fn a_dry_run_lists_the_members_of_a_group_and_its_follow_ups() {
    let leader = Victim::sleeping();
    let member = victim().in_group_of(&leader).sleeping();
    let told = "would-send would-send summary";
    let objects = events!(told, "--dry-run --grace 10s -- -{leader}");
    let pids = [&objects[0]["pid"], &objects[1]["pid"]].map(Value::as_i64);
    let expected = [&leader, &member].map(|victim| Some(i64::from(victim.pid())));
    assert_eq!(sorted(pids), sorted(expected));
    let follow_ups = &objects[0]["follow_ups"];
    has!(follow_ups[0], "signals": ["CONT"], "after_ms": 0);
    has!(follow_ups[1], "signals": ["KILL"], "after_ms": 10_000);
    // A line is as long on a narrow terminal.
    let args = format!("--dry-run --grace 10s -- -{leader}");
    let shown = on_terminal(40, &args.split(' ').collect::<Vec<_>>());
    let told = "(cat): terminates it, then CONT (18), KILL (9) 10s later; user ";
    assert!(shown.contains(told) && shown.ends_with("cat\n"), "{shown}");
    leader.assert_alive();
    member.assert_alive();
}

#[test]
fn a_dry_run_returns_what_the_real_call_would() {
    needs!(may_change_user(), "root");
    table(
        "--dry-run GONE              | 1  | |
         --dry-run CAT GONE          | 64 | |
         --dry-run --wait GONE       | 0  | |
         --dry-run no-such-name-here | 1  | |
         nobody: --dry-run CAT       | 1  | |
         nobody: --dry-run -0 --wait CAT ''  | 64 | |",
    );
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
    let calls = "-v -0|--dry-run|--expect nginx|--within 1ms|-r -USR1|-v --alive";
    for (bytes, shown) in HOSTILE {
        let rename = format!("printf '{bytes}' >/proc/$$/comm");
        let victim = Victim::shell(&format!("{rename}; trap '' TERM; echo ready; read -r _"));
        for call in each(calls) {
            let done = run!("{call} {victim}");
            let told = done.out + &done.err;
            contains!(told, "{victim} ({shown})");
            let is_safe = |c| c == '\n' || !char::is_control(c) && c != '\u{202e}';
            assert!(told.chars().all(is_safe), "{told:?}");
        }
        has!(events!("sent summary", "-0 {victim}")[0], "name": shown);
        victim.assert_alive();
        let killed = run!("-v -KILL --within 9s {victim}").told();
        contains!(killed, "{victim} ({shown}) was killed by KILL");
    }
}

#[test]
fn output_that_cannot_be_written_does_not_stop_an_escalation() {
    for voice in ["-v", "--json", "--json --tree"] {
        // A reader that closes the pipe.
        let stubborn = [(); 2].map(|()| Victim::shell(STUBBORN));
        let line = format!("{voice} --grace 200ms {} {}", stubborn[0], stubborn[1]);
        let mut command = raw_sigsend();
        command.args(words(&line)).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        let mut child = command.spawn().expect("sigsend starts");
        let mut line = String::new();
        let mut reader = BufReader::new(child.stdout.take().expect("piped"));
        reader.read_line(&mut line).expect("one line");
        drop(reader);
        assert!(line.contains("TERM"), "{line}");
        Done::of(voice, child.wait_with_output().expect("sigsend ends")).ok();
        killed(&stubborn, 9);

        // Nobody reads, and the signal is the one that this causes.
        let target = Victim::sleeping();
        let (_, pipe) = std::io::pipe().expect("a pipe");
        let mut command = raw_sigsend();
        command.args(words(&format!("{voice} -PIPE {target}")));
        let output = command.stdout(pipe).output();
        Done::of(voice, output.expect("sigsend starts")).ok();
        target.assert_killed_by(13);

        // Open for reading only, a full disk, and a limit of file sizes.
        let mut target = Recorder::new();
        let closed = "sigsend: write error: Bad file descriptor\n";
        call!(redirected("1</dev/null"), "{voice} -USR1 {target}").fails(1, closed);
        assert_eq!(target.signals(), [10]);
        let dir = tempdir();
        let file = dir.arg("out", "");
        for (limit, sink, why) in [
            ("unlimited", "/dev/full", "No space left on device"),
            ("0", &file, "File too large"),
        ] {
            let stubborn = Victim::shell(STUBBORN);
            let shell = sh(&format!("ulimit -f {limit}; exec \"$0\" \"$@\" >{sink}"));
            let done = call!(shell, "{voice} --grace 50ms {stubborn}");
            done.fails(1, format!("sigsend: write error: {why}\n"));
            stubborn.assert_killed_by(9);
        }
    }
}

/// What `sigsend WORDS` writes to standard error when that is a terminal with this many columns.
fn on_stderr_terminal(columns: u16, line: &str) -> String {
    let mut command = raw_sigsend();
    command.args(words(line)).env("TERM", "xterm");
    command.stdout(Stdio::null());
    shown_on_terminal(columns, command, Command::stderr)
}

#[test]
fn a_long_wait_on_a_terminal_shows_one_line_and_wipes_it() {
    for columns in [20, 80, 200] {
        let victim = Victim::shell(STUBBORN);
        let screen = on_stderr_terminal(columns, &format!("-0 --within 800ms {victim}"));
        let drawn: Vec<&str> = screen.split("\r\x1b[2K").collect();
        let line = drawn.iter().find(|text| text.contains("giving up in"));
        let line = line.unwrap_or_else(|| panic!("{screen:?}"));
        assert!(line.chars().count() < usize::from(columns), "{line:?}");
        assert!(columns < 80 || line.starts_with("waiting for"), "{line:?}");
        let holds = drawn.last().is_some_and(|last| !last.contains("giving up"));
        assert!(holds, "{screen:?}");
        victim.assert_alive();
    }
}

#[test]
fn the_progress_line_is_written_when_it_changes_and_counts_down() {
    let victim = Victim::shell(STUBBORN);
    let line = format!("-0 --timeout 1500ms CONT --within 1s {victim}");
    let screen = on_stderr_terminal(100, &line);
    let drawn = screen.split("\r\x1b[2K");
    let drawn = drawn.filter(|text| text.starts_with("waiting for"));
    let drawn: Vec<&str> = drawn.collect();
    let is_new = |pair: &[&str]| pair[0] != pair[1];
    let holds = drawn.len() <= 6 && drawn.windows(2).all(is_new);
    assert!(holds, "{screen:?}");
    let ends = drawn.iter().filter_map(|line| line.split_once(" s, "));
    let ends: Vec<&str> = ends.map(|(_, end)| end).collect();
    // On a busy machine it begins with a rounded "2 s".
    assert!(ends.contains(&"CONT in 1 s"), "{screen:?}");
    assert_eq!(ends.last(), Some(&"giving up in 1 s"), "{screen:?}");
    victim.assert_alive();
    // A short wait shows nothing.
    let victim = Victim::shell(POLITE);
    assert_eq!(on_stderr_terminal(80, &format!("--wait {victim}")), "");
    victim.assert_exited_with(3);
}
