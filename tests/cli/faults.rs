//! Fault injection: every system call of the program fails in turn, with each error that its manual
//! page lists. The program must end in time and without a panic, its output and status must be
//! true, only targets may get signals, and no tree may be left stopped. `SIGSEND_FAULTS=all`
//! injects all faults instead of a sample.

mod conditions;
mod errnos;
mod inject;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Output};

use inject::{Fault, calls, faults, run_with, traced};
use targets::{Effect, Kind, Targets};

use crate::strange::may_trace;
use crate::support::{Recorder, in_pid_namespace, skip, tempdir};

/// Set to `all` for all faults.
const ALL: &str = "SIGSEND_FAULTS";
/// Set for the worker processes: the part of the faults to inject, and the file that receives the
/// statistics.
const PART: &str = "SIGSEND_FAULTS_PART";
const FIGURES: &str = "SIGSEND_FAULTS_FIGURES";

/// Faults per case in the normal run.
const SAMPLE: usize = 40;
/// Faults per namespace if all are injected.
const CHUNK: usize = 300;

/// A command line, its targets, and its results without a fault.
struct Case {
    kind: Kind,
    line: &'static str,
    /// The signals that recorders receive.
    received: &'static [i32],
    status: i32,
}

const fn sends(kind: Kind, line: &'static str, received: &'static [i32]) -> Case {
    Case {
        kind,
        line,
        received,
        status: 0,
    }
}

const fn queries(line: &'static str) -> Case {
    Case {
        kind: Kind::Recorders,
        line,
        received: &[],
        status: 0,
    }
}

impl Case {
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
    ) -> Vec<String> {
        let mut violations = Vec::new();
        let stderr = String::from_utf8_lossy(&output.stderr);
        // The run closed a directory, while the run without a fault closed a file at this place;
        // see `is_excepted`.
        if fault.call.name == "close" && stderr.contains("unexpected error during closedir") {
            return violations;
        }
        let touched = effects.iter().any(Effect::is_touched);
        let missed = effects.iter().enumerate().any(|(index, effect)| {
            let is_target = index == 0 || self.kind == Kind::Tree || !self.names_one_target();
            is_target
                && !matches!(effect, Effect::Died)
                && *effect != Effect::Received(self.received.to_vec())
        });
        let failed_output = stderr.contains("write error: ");
        let Some(code) = output.status.code() else {
            return vec![format!("it ended with {}", output.status)];
        };
        if stderr.contains("panicked") || ![0, 1, 2, 64, 124].contains(&code) {
            violations.push("it panicked".to_owned());
        }
        if code != 0 && stderr.is_empty() && self.status == 0 {
            violations.push("it failed without a message".to_owned());
        }
        if stderr.lines().any(str::is_empty)
            || (code != 0 && !stderr.is_empty() && !stderr.starts_with("sigsend: "))
        {
            violations.push("its standard error is not a message".to_owned());
        }
        if effects.contains(&Effect::LeftStopped) {
            violations.push("a target was left stopped".to_owned());
        }
        if self.kind == Kind::Recorders && self.names_one_target() && effects[1].is_touched() {
            violations.push("a process that is no target got a signal".to_owned());
        }
        if self.is_query() && touched {
            violations.push("a query sent a signal".to_owned());
        }
        if fault.call.text.starts_with("write(1,") && !self.is_query() {
            if missed {
                violations.push("a signal was not sent because of a write error".to_owned());
            }
            let ignored = ["EAGAIN", "EINTR", "EPIPE"].contains(&fault.errno);
            if failed_output == ignored || (!ignored && code != 1) {
                violations
                    .push("it did not report correctly whether its output was written".to_owned());
            }
        }
        if fault.means_gone() {
            return violations;
        }
        match code {
            0 if self.is_query()
                && output.stdout != clean
                && fault.errno != "EPIPE"
                && !self.line.contains("dry") =>
            {
                violations.push("its answer differs".to_owned());
            }
            0 if !self.is_query() && missed => {
                violations.push("it reports that all targets were signalled".to_owned());
            }
            1 if !failed_output && touched => {
                violations.push("it reports that nothing was signalled".to_owned());
            }
            1 if !failed_output && self.line.contains("--alive") => {
                violations.push("it reports that a target is gone".to_owned());
            }
            64 if !touched && !self.is_query() => {
                violations.push("it reports that a target was signalled".to_owned());
            }
            124 if self.kind != Kind::Recorders && !effects.contains(&Effect::Unharmed) => {
                violations.push("it reports that a target is still there".to_owned());
            }
            _ => {}
        }
        violations
    }
}

/// Runs a case in worker processes, one for each part of its faults.
fn run_parts(test: &str, case: &Case) {
    if !may_trace() {
        return skip("strace cannot be used");
    }
    let mut findings = String::new();
    let mut part = |part: usize| {
        let dir = tempdir();
        let figures = dir.file("figures", "");
        let mut command = Command::new(env::current_exe().expect("a running test has a path"));
        command.args(["--exact", &format!("faults::{test}"), "--nocapture"]);
        command
            .env("RUST_BACKTRACE", "0")
            .env(PART, part.to_string())
            .env(FIGURES, &figures);
        let output = command.output().expect("the test binary starts again");
        if !output.status.success() {
            findings += &String::from_utf8_lossy(&output.stderr);
        }
        let figures = fs::read_to_string(figures).expect("our own file");
        let mut numbers = figures
            .split_whitespace()
            .filter_map(|number| number.parse::<usize>().ok());
        (
            numbers.next().unwrap_or_default(),
            numbers.next().unwrap_or_default(),
        )
    };
    let (mut injected, total) = part(0);
    if env::var_os(ALL).is_some() {
        for chunk in 1..total.div_ceil(CHUNK) {
            injected += part(chunk).0;
        }
    }
    writeln!(
        std::io::stdout(),
        "faults in 'sigsend {}': {injected} of some {total}",
        case.line
    )
    .expect("stdout");
    assert!(findings.is_empty(), "{findings}");
    if total == 0 {
        skip("no PID namespaces");
    }
}

/// The worker, which is process 1 of its namespace.
fn run_case(case: &Case) {
    let part: usize = env::var(PART)
        .expect("set by the outer test")
        .parse()
        .expect("a number");
    let dir = tempdir();
    let log = dir.path().join("strace");
    let mut bystander = Recorder::new();
    let mut targets = Targets::new(case.kind);
    let clean = traced(&log, &[], &targets.args(case.line));
    targets.effects();
    assert_eq!(
        clean.status.code(),
        Some(case.status),
        "{}: {}",
        case.line,
        String::from_utf8_lossy(&clean.stderr)
    );
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
            let (stderr, status, call) = (
                String::from_utf8_lossy(&output.stderr),
                output.status,
                &fault.call.text,
            );
            let line = case.line;
            write!(
                findings,
                "{}: strace -e {fault} sigsend {line} # {status}, {effects:?}, {call}\n{stderr}",
                violations.join("; ")
            )
            .expect("a String takes everything");
        }
    }
    bystander.assert_untouched();
    fs::write(
        env::var(FIGURES).expect("set by the outer test"),
        format!("{injected} {}", faults.len()),
    )
    .expect("our own file");
    assert!(findings.is_empty(), "\n{findings}");
}

/// At least one fault for each system call and each signal that is sent, with varying errors, and
/// more faults at even distances.
fn sample<'a>(faults: &'a [Fault<'a>]) -> Vec<&'a Fault<'a>> {
    let mut of_calls: BTreeMap<(&str, usize), Vec<usize>> = BTreeMap::new();
    for (index, fault) in faults.iter().enumerate() {
        let which = if fault.call.name == "pidfd_send_signal" {
            fault.call.number
        } else {
            0
        };
        of_calls
            .entry((&fault.call.name, which))
            .or_default()
            .push(index);
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

macro_rules! cases {
    ($($test:ident: $case:expr;)*) => { $(
        #[test]
        fn $test() {
            const CASE: Case = $case;
            if env::var_os(PART).is_some() {
                return in_pid_namespace(|| run_case(&CASE));
            }
            run_parts(stringify!($test), &CASE);
        }
    )* };
}

cases! {
    a_plain_signal: sends(Kind::Recorders, "-USR1 PID", &[10]);
    plain_signals: sends(Kind::Recorders, "-USR1 BOTH", &[10]);
a_plain_signal_without_the_fast_path: sends(Kind::Recorders, "-USR1 -- PID", &[10]);
plain_signals_verbose: sends(Kind::Recorders, "-v -USR1 BOTH", &[10]);
plain_signals_json: sends(Kind::Recorders, "--json -RTMIN BOTH", &[34]);
    a_queued_value: sends(Kind::Recorders, "-q 5 -USR1 BOTH", &[10]);
    a_plain_group: sends(Kind::Recorders, "-USR1 -- GROUP", &[10]);
    a_name: sends(Kind::Recorders, "-USR1 NAME", &[10]);
a_name_json: sends(Kind::Recorders, "--json -USR1 NAME", &[10]);
    a_token: sends(Kind::Recorders, "-USR1 TOKEN", &[10]);
    a_pidfile: sends(Kind::Recorders, "-USR1 --allow-stale --pidfile FILE", &[10]);
    a_pidfile_that_may_be_stale: sends(Kind::Single, "-v --pidfile FILE", &[]);
    a_command_line: sends(Kind::Recorders, "-USR1 -f plays_its_role NAME", &[10]);
    a_directory: sends(Kind::Recorders, "-USR1 --cwd HERE NAME", &[10]);
    a_user: sends(Kind::Recorders, "-USR1 -u 0 BOTH", &[10]);
    a_port: sends(Kind::Recorders, "-USR1 PORT", &[10]);
    a_mixed_tree: sends(Kind::Tree, "--mixed --timeout 20ms KILL --wait PID", &[]);
    an_expectation: sends(Kind::Recorders, "-USR1 --expect NAME BOTH", &[10]);
    a_required_handler: sends(Kind::Recorders, "-r -USR1 BOTH", &[10]);
    a_follow_up: Case { kind: Kind::Recorders, line: "-USR1 --timeout 5 USR2 --within 5ms BOTH", received: &[10, 12], status: 124 };
    a_wait: sends(Kind::Single, "--wait PID", &[]);
a_wait_without_the_fast_path: sends(Kind::Single, "--wait -- PID", &[]);
a_wait_verbose: sends(Kind::Single, "-v --within 9s PID", &[]);
a_grace_period_json: sends(Kind::Single, "--json --grace 9s PID", &[]);
    a_group_waited_for: sends(Kind::Group, "-KILL --wait -- GROUP", &[]);
a_group_with_grace_period: sends(Kind::Group, "-v --grace 9s -- GROUP", &[]);
    a_tree: sends(Kind::Tree, "--tree -TERM PID", &[]);
    a_tree_killed: sends(Kind::Tree, "--tree -KILL PID", &[]);
a_tree_killed_json: sends(Kind::Tree, "--json --tree -KILL PID", &[]);
a_tree_with_grace_period: sends(Kind::Tree, "--tree --grace 9s PID", &[]);
alive: queries("--alive BOTH");
alive_by_name: queries("--alive NAME");
id_by_name: queries("--id NAME");
pids_by_name: queries("-p NAME");
process_state: queries("-d PID");
dry_run: queries("--dry-run BOTH");
dry_run_of_a_tree: queries("--dry-run --json --tree PID");
    a_list: queries("-l");
a_list_without_the_fast_path: queries("-l --");
    a_translation: queries("-l 9 HUP 0x4001");
    a_table: queries("-t");
help: queries("--help");
}
