//! Fault injection: every system call of the program fails in turn, with each error that its manual
//! page lists. The program must end in time and without a panic, its output and status must be
//! true, only targets may get signals, and no tree may be left stopped. `SIGSEND_FAULTS=all`
//! injects all faults instead of a sample.

mod errnos;
mod inject;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Output;

use inject::{Fault, calls, faults, run_with, traced};
use targets::{Effect, Kind, Targets};

use crate::support::prelude::*;

const ALL: &str = "SIGSEND_FAULTS";
/// Set for the worker processes: the row of the case and the part of its faults, and the file that
/// receives the statistics.
const PART: &str = "SIGSEND_FAULTS_PART";
const FIGURES: &str = "SIGSEND_FAULTS_FIGURES";

const SAMPLE: usize = 40;
/// Faults per namespace if all are injected.
const CHUNK: usize = 300;

/// Each case: its targets, the command line, and the signals that recorders receive.
const CASES: &str = "
    recorders | -USR1 PID             | 10
    recorders | -USR1 BOTH            | 10
    recorders | -USR1 -- PID          | 10
    recorders | -v -USR1 BOTH         | 10
    recorders | --json -RTMIN BOTH    | 34
    recorders | -q 5 -USR1 BOTH       | 10
    recorders | -USR1 -- GROUP        | 10
    recorders | -USR1 NAME            | 10
    recorders | --json -USR1 NAME     | 10
    recorders | -USR1 TOKEN           | 10
    recorders | -USR1 --allow-stale --pidfile FILE | 10
    single    | -v --pidfile FILE     |
    recorders | -USR1 -f plays_its_role NAME | 10
    recorders | -USR1 --cwd HERE NAME | 10
    recorders | -USR1 -u 0 BOTH       | 10
    recorders | -USR1 PORT            | 10
    tree      | --mixed --timeout 20ms KILL --wait PID |
    recorders | -USR1 --expect NAME BOTH | 10
    recorders | -r -USR1 BOTH         | 10
    recorders | -USR1 --timeout 5 USR2 --within 5ms BOTH | 10 12
    single    | --wait PID            |
    single    | --wait -- PID         |
    single    | -v --within 9s PID    |
    single    | --json --grace 9s PID |
    group     | -KILL --wait -- GROUP |
    group     | -v --grace 9s -- GROUP |
    tree      | --tree -TERM PID      |
    tree      | --tree -KILL PID      |
    tree      | --json --tree -KILL PID |
    tree      | --tree --grace 9s PID |
    recorders | --alive BOTH          |
    recorders | --alive NAME          |
    recorders | --id NAME             |
    recorders | -p NAME               |
    recorders | -d PID                |
    recorders | --dry-run BOTH        |
    recorders | --dry-run --json --tree PID |
    recorders | -l                    |
    recorders | -l --                 |
    recorders | -l 9 HUP 0x4001       |
    recorders | -t                    |
    recorders | --help                |
";

/// A command line, its targets, and its results without a fault.
struct Case {
    kind: Kind,
    line: &'static str,
    received: Vec<i32>,
    status: i32,
}

impl Case {
    fn of_row([kind, line, received]: [&'static str; 3]) -> Self {
        let is_late = line.contains("--within 5ms");
        Self {
            kind: match kind {
                "recorders" => Kind::Recorders,
                "single" => Kind::Single,
                "group" => Kind::Group,
                "tree" => Kind::Tree,
                other => panic!("no such targets: {other}"),
            },
            line,
            received: numbers(received),
            status: if is_late { 124 } else { 0 },
        }
    }

    fn is_query(&self) -> bool {
        self.received.is_empty() && self.kind == Kind::Recorders
    }

    fn names_one_target(&self) -> bool {
        self.line.contains("PID") || self.line.contains("TOKEN")
    }

    /// What is wrong with the results of a run.
    fn violations(
        &self,
        fault: &Fault,
        output: &Output,
        clean: &[u8],
        effects: &[Effect],
    ) -> Vec<&'static str> {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let Some(code) = output.status.code() else {
            return vec!["it was killed"];
        };
        // The run closed a directory, while the run without a fault closed a file at this place;
        // see `is_excepted`.
        if fault.call.name == "close" && stderr.contains("unexpected error during closedir") {
            return Vec::new();
        }
        let touched = effects.iter().any(Effect::is_touched);
        let names_all = self.kind == Kind::Tree || !self.names_one_target();
        let named = if names_all { effects.len() } else { 1 };
        let received = Effect::Received(self.received.clone());
        let is_missed = |effect: &Effect| *effect != Effect::Died && *effect != received;
        let missed = effects[..named].iter().any(is_missed);
        let failed_output = stderr.contains("write error: ");
        let is_query = self.is_query();
        let is_write = fault.call.text.starts_with("write(1,") && !is_query;
        let ignored = ["EAGAIN", "EINTR", "EPIPE"].contains(&&*fault.errno);
        let is_panic = stderr.contains("panicked") || ![0, 1, 2, 64, 124].contains(&code);
        let is_message = stderr.is_empty() || stderr.starts_with("sigsend: ");
        let bystander = self.kind == Kind::Recorders && self.names_one_target();
        // Where the error means that a process is gone, it is a valid answer.
        let counts = !fault.means_gone();
        let done = |status: i32| counts && code == status;
        let differs =
            output.stdout != clean && fault.errno != "EPIPE" && !self.line.contains("dry");
        let mut wrong = Vec::new();
        let mut check = |is_wrong: bool, what| wrong.extend(is_wrong.then_some(what));
        let is_mute = code != 0 && stderr.is_empty() && self.status == 0;
        check(is_panic, "it panicked");
        check(is_mute, "it failed without a message");
        check(stderr.lines().any(str::is_empty), "an empty line of errors");
        check(code != 0 && !is_message, "its standard error is no message");
        check(
            effects.contains(&Effect::LeftStopped),
            "a target is left stopped",
        );
        let is_hit = bystander && effects[1].is_touched();
        check(is_hit, "a process that is no target got a signal");
        check(is_query && touched, "a query sent a signal");
        check(is_write && missed, "a write error kept a signal back");
        let is_untrue = is_write && failed_output == ignored;
        check(is_untrue, "a write error was ignored, or one was made up");
        let is_lost = is_write && !ignored && code != 1;
        check(is_lost, "a write error is not in the status");
        check(done(0) && is_query && differs, "its answer differs");
        let is_short = done(0) && !is_query && missed;
        check(is_short, "it reports that all targets were signalled");
        let fails = done(1) && !failed_output;
        check(fails && touched, "it reports that nothing was signalled");
        let is_gone = fails && self.line.contains("--alive");
        check(is_gone, "it reports a target gone");
        let is_none = done(64) && !touched && !is_query;
        check(is_none, "it reports that a target was signalled");
        let is_late = done(124) && self.kind != Kind::Recorders;
        let is_there = effects.contains(&Effect::Unharmed);
        check(
            is_late && !is_there,
            "it reports that a target is still there",
        );
        wrong
    }
}

#[test]
fn a_failed_system_call_breaks_no_promise() {
    let cases: Vec<Case> = rows(CASES).map(Case::of_row).collect();
    if let Ok(part) = env::var(PART) {
        let (row, part) = part.split_once(' ').expect("set by the outer test");
        let number = |text: &str| text.parse::<usize>().expect("a number");
        in_pid_namespace!();
        return run_case(&cases[number(row)], number(part));
    }
    if !may_trace() {
        return skip("strace cannot be used");
    }
    side_by_side(cases.len(), |row| run_parts(row, cases[row].line));
}

/// Runs a case in worker processes, one for each part of its faults.
fn run_parts(row: usize, line: &str) {
    let mut findings = String::new();
    let mut part = |part: usize| {
        let test = "faults::a_failed_system_call_breaks_no_promise";
        let (errors, figures) = worker(test, FIGURES, &[(PART, format!("{row} {part}"))]);
        findings += &errors;
        let numbers = figures.split_once(' ').unwrap_or(("0", "0"));
        let [injected, total] = [numbers.0, numbers.1].map(|n| n.parse().expect("a number"));
        (injected, total)
    };
    let (mut injected, total): (usize, usize) = part(0);
    if env::var_os(ALL).is_some() {
        for chunk in 1..total.div_ceil(CHUNK) {
            injected += part(chunk).0;
        }
    }
    let told = format!("faults in 'sigsend {line}': {injected} of some {total}");
    writeln!(std::io::stdout(), "{told}").expect("stdout");
    assert!(findings.is_empty(), "{findings}");
    if total == 0 {
        skip("no PID namespaces");
    }
}

/// The worker, which is process 1 of its namespace.
fn run_case(case: &Case, part: usize) {
    let dir = tempdir();
    let log = dir.path().join("strace");
    let mut bystander = Recorder::new();
    let mut targets = Targets::new(case.kind);
    let clean = traced(&log, &[], &targets.args(case.line));
    targets.effects();
    let said = String::from_utf8_lossy(&clean.stderr);
    let got = clean.status.code();
    assert_eq!(got, Some(case.status), "{}: {said}", case.line);
    let calls = calls(&log);
    let faults = faults(&calls);
    let chosen: Vec<&Fault> = if env::var_os(ALL).is_some() {
        faults.iter().skip(part * CHUNK).take(CHUNK).collect()
    } else {
        sample(&faults)
    };
    let (mut injected, mut findings) = (0, String::new());
    for fault in chosen {
        targets.reset();
        let args = targets.args(case.line);
        let Some(output) = run_with(fault, &log, &args) else {
            continue;
        };
        injected += 1;
        let effects = targets.effects();
        let violations = case.violations(fault, &output, &clean.stdout, &effects);
        if !violations.is_empty() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let (status, call, line) = (output.status, &fault.call.text, case.line);
            let violations = violations.join("; ");
            let run = format!("strace -e {fault} sigsend {line} # {status}, {effects:?}, {call}");
            writeln!(findings, "{violations}: {run}\n{stderr}").expect("a String takes everything");
        }
    }
    bystander.assert_untouched();
    let figures = env::var(FIGURES).expect("set by the outer test");
    fs::write(figures, format!("{injected} {}", faults.len())).expect("our own file");
    assert!(findings.is_empty(), "\n{findings}");
}

/// At least one fault for each system call and each signal that is sent, with varying errors, and
/// more faults at even distances.
fn sample<'a>(faults: &'a [Fault<'a>]) -> Vec<&'a Fault<'a>> {
    let mut of_calls: BTreeMap<(&str, usize), Vec<usize>> = BTreeMap::new();
    for (index, fault) in faults.iter().enumerate() {
        let sends = fault.call.name == "pidfd_send_signal";
        let which = if sends { fault.call.number } else { 0 };
        let indices = of_calls.entry((&fault.call.name, which)).or_default();
        indices.push(index);
    }
    let of_each = of_calls
        .values()
        .enumerate()
        .map(|(turn, indices)| indices[indices.len() * (turn % 7) / 7]);
    let rest = SAMPLE.saturating_sub(of_calls.len()).max(1);
    let spread = (0..rest).map(|step| step * faults.len() / rest);
    let chosen: BTreeSet<usize> = of_each.chain(spread).collect();
    chosen.into_iter().map(|index| &faults[index]).collect()
}
