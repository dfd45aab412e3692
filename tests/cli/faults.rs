//! Every system call of the program fails in turn, with each error that its manual lists: it ends
//! in time and without a panic, what it says is true, nobody but the targets is touched, and no
//! tree is left stopped. `SIGSEND_FAULTS=all` injects them all instead of a sample.

mod circumstances;
mod errnos;
mod inject;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Output};

use inject::{Fault, calls, faults, run_with, traced};
use stage::{Deed, Kind, Stage};

use crate::strange::may_trace;
use crate::support::{Recorder, in_pid_namespace, skip, tempdir};

/// Asks for all faults.
const ALL: &str = "SIGSEND_FAULTS";
/// Set for the processes that do the work: which part of the faults, and where to write the
/// figures.
const PART: &str = "SIGSEND_FAULTS_PART";
const FIGURES: &str = "SIGSEND_FAULTS_FIGURES";

/// Faults of one scene in the normal run.
const SAMPLE: usize = 40;
/// Faults that one namespace sees when all are wanted.
const CHUNK: usize = 300;

/// A command line, for whom, and what it comes to when nothing goes wrong.
struct Scene {
    kind: Kind,
    line: &'static str,
    /// What listeners hear.
    heard: &'static [i32],
    status: i32,
}

const fn sends(kind: Kind, line: &'static str, heard: &'static [i32]) -> Scene {
    Scene { kind, line, heard, status: 0 }
}

const fn asks(line: &'static str) -> Scene {
    Scene { kind: Kind::Listeners, line, heard: &[], status: 0 }
}

impl Scene {
    fn is_question(&self) -> bool {
        self.heard.is_empty() && self.kind == Kind::Listeners
    }

    fn means_one(&self) -> bool {
        self.line.contains("PID") || self.line.contains("TOKEN")
    }

    /// What is not true of how a run ended.
    fn lies(&self, fault: &Fault, output: &Output, clean: &[u8], deeds: &[Deed]) -> Vec<String> {
        let mut lies = Vec::new();
        let said = String::from_utf8_lossy(&output.stderr);
        // The run closed a directory where the undisturbed one had closed a file; see
        // `is_excepted`.
        if fault.call.name == "close" && said.contains("unexpected error during closedir") {
            return lies;
        }
        let touched = deeds.iter().any(Deed::is_touched);
        let missed = deeds.iter().enumerate().any(|(index, deed)| {
            let is_target = index == 0 || self.kind == Kind::MortalTree || !self.means_one();
            is_target && !matches!(deed, Deed::Died) && *deed != Deed::Heard(self.heard.to_vec())
        });
        let failed_output = said.contains("write error: ");
        let Some(code) = output.status.code() else {
            return vec![format!("it ended with {}", output.status)];
        };
        if said.contains("panicked") || ![0, 1, 2, 64, 124].contains(&code) {
            lies.push("it panicked".to_owned());
        }
        if code != 0 && said.is_empty() && self.status == 0 {
            lies.push("it failed without a word".to_owned());
        }
        if said.lines().any(str::is_empty) || (code != 0 && !said.is_empty() && !said.starts_with("sigsend: ")) {
            lies.push("its words are no message".to_owned());
        }
        if deeds.contains(&Deed::LeftStopped) {
            lies.push("a target was left stopped".to_owned());
        }
        if self.kind == Kind::Listeners && self.means_one() && deeds[1].is_touched() {
            lies.push("a neighbour was touched".to_owned());
        }
        if self.is_question() && touched {
            lies.push("a question touched somebody".to_owned());
        }
        if fault.call.text.starts_with("write(1,") && !self.is_question() {
            if missed {
                lies.push("an output that failed kept a signal from a target".to_owned());
            }
            let forgiven = ["EAGAIN", "EINTR", "EPIPE"].contains(&fault.errno);
            if failed_output == forgiven || (!forgiven && code != 1) {
                lies.push("it did not say whether its output was written".to_owned());
            }
        }
        if fault.says_gone() {
            return lies;
        }
        match code {
            0 if self.is_question()
                && output.stdout != clean
                && fault.errno != "EPIPE"
                && !self.line.contains("dry") =>
            {
                lies.push("its answer is another one".to_owned());
            }
            0 if !self.is_question() && missed => lies.push("it claims to have reached everybody".to_owned()),
            1 if !failed_output && touched => lies.push("it claims that nothing was signalled".to_owned()),
            1 if !failed_output && self.line.contains("--alive") => {
                lies.push("it claims that a target is gone".to_owned());
            }
            64 if !touched && !self.is_question() => lies.push("it claims to have reached somebody".to_owned()),
            124 if self.kind != Kind::Listeners && !deeds.contains(&Deed::Unharmed) => {
                lies.push("it claims that somebody is still there".to_owned());
            }
            _ => {}
        }
        lies
    }
}

/// Runs a scene in namespaces of its own, as often as its faults need.
fn play(test: &str, scene: &Scene) {
    if !may_trace() {
        return skip("strace cannot be used");
    }
    let mut findings = String::new();
    let mut part = |part: usize| {
        let dir = tempdir();
        let figures = dir.file("figures", "");
        let mut command = Command::new(env::current_exe().expect("a running test has a path"));
        command.args(["--exact", &format!("faults::{test}"), "--nocapture"]);
        command.env("RUST_BACKTRACE", "0").env(PART, part.to_string()).env(FIGURES, &figures);
        let output = command.output().expect("the test binary starts again");
        if !output.status.success() {
            findings += &String::from_utf8_lossy(&output.stderr);
        }
        let figures = fs::read_to_string(figures).expect("our own file");
        let mut numbers = figures.split_whitespace().filter_map(|number| number.parse::<usize>().ok());
        (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
    };
    let (mut injected, total) = part(0);
    if env::var_os(ALL).is_some() {
        for chunk in 1..total.div_ceil(CHUNK) {
            injected += part(chunk).0;
        }
    }
    writeln!(std::io::stdout(), "faults in 'sigsend {}': {injected} of some {total}", scene.line).expect("stdout");
    assert!(findings.is_empty(), "{findings}");
    if total == 0 {
        skip("no PID namespaces");
    }
}

/// The work itself, as the first process of a namespace.
fn perform(scene: &Scene) {
    let part: usize = env::var(PART).expect("set by the outer test").parse().expect("a number");
    let dir = tempdir();
    let log = dir.path().join("strace");
    let mut bystander = Recorder::new();
    let mut stage = Stage::new(scene.kind);
    let clean = traced(&log, &[], &stage.args(scene.line));
    stage.deeds();
    assert_eq!(clean.status.code(), Some(scene.status), "{}: {}", scene.line, String::from_utf8_lossy(&clean.stderr));
    let calls = calls(&log);
    let faults = faults(&calls);
    let chosen: Vec<&Fault> = if env::var_os(ALL).is_some() {
        faults.iter().skip(part * CHUNK).take(CHUNK).collect()
    } else {
        sample(&faults)
    };
    let (mut injected, mut findings) = (0, String::new());
    for fault in chosen {
        stage.reset();
        let args = stage.args(scene.line);
        let Some(output) = run_with(fault, &log, &args) else { continue };
        injected += 1;
        let deeds = stage.deeds();
        let lies = scene.lies(fault, &output, &clean.stdout, &deeds);
        if !lies.is_empty() {
            let (said, status, call) = (String::from_utf8_lossy(&output.stderr), output.status, &fault.call.text);
            let line = scene.line;
            write!(
                findings,
                "{}: strace -e {fault} sigsend {line} # {status}, {deeds:?}, {call}\n{said}",
                lies.join("; ")
            )
            .expect("a String takes everything");
        }
    }
    bystander.assert_untouched();
    fs::write(env::var(FIGURES).expect("set by the outer test"), format!("{injected} {}", faults.len()))
        .expect("our own file");
    assert!(findings.is_empty(), "\n{findings}");
}

/// At least one fault of each system call and of each signal that is sent, another error for each,
/// and more spread evenly.
fn sample<'a>(faults: &'a [Fault<'a>]) -> Vec<&'a Fault<'a>> {
    let mut of_calls: BTreeMap<(&str, usize), Vec<usize>> = BTreeMap::new();
    for (index, fault) in faults.iter().enumerate() {
        let which = if fault.call.name == "pidfd_send_signal" { fault.call.number } else { 0 };
        of_calls.entry((&fault.call.name, which)).or_default().push(index);
    }
    let of_each = of_calls.values().enumerate().map(|(turn, indices)| indices[indices.len() * (turn % 7) / 7]);
    let rest = SAMPLE.saturating_sub(of_calls.len()).max(1);
    let spread = (0..rest).map(|step| step * faults.len() / rest);
    let chosen: BTreeSet<usize> = of_each.chain(spread).collect();
    chosen.into_iter().map(|index| &faults[index]).collect()
}

macro_rules! scenes {
    ($($test:ident: $scene:expr;)*) => { $(
        #[test]
        fn $test() {
            const SCENE: Scene = $scene;
            if env::var_os(PART).is_some() {
                return in_pid_namespace(|| perform(&SCENE));
            }
            play(stringify!($test), &SCENE);
        }
    )* };
}

scenes! {
    a_plain_signal: sends(Kind::Listeners, "-USR1 PID", &[10]);
    plain_signals: sends(Kind::Listeners, "-USR1 BOTH", &[10]);
    a_plain_signal_sent_by_main: sends(Kind::Listeners, "-USR1 -- PID", &[10]);
    plain_signals_told_as_they_go: sends(Kind::Listeners, "-v -USR1 BOTH", &[10]);
    plain_signals_told_in_json: sends(Kind::Listeners, "--json -RTMIN BOTH", &[34]);
    a_queued_value: sends(Kind::Listeners, "-q 5 -USR1 BOTH", &[10]);
    a_plain_group: sends(Kind::Listeners, "-USR1 -- GROUP", &[10]);
    a_name: sends(Kind::Listeners, "-USR1 NAME", &[10]);
    a_name_told_in_json: sends(Kind::Listeners, "--json -USR1 NAME", &[10]);
    a_token: sends(Kind::Listeners, "-USR1 TOKEN", &[10]);
    a_pidfile: sends(Kind::Listeners, "-USR1 --allow-stale --pidfile FILE", &[10]);
    a_pidfile_that_may_be_stale: sends(Kind::Mortal, "-v --pidfile FILE", &[]);
    an_expectation: sends(Kind::Listeners, "-USR1 --expect NAME BOTH", &[10]);
    a_required_handler: sends(Kind::Listeners, "-r -USR1 BOTH", &[10]);
    a_follow_up: Scene { kind: Kind::Listeners, line: "-USR1 --timeout 5 USR2 --within 5ms BOTH", heard: &[10, 12], status: 124 };
    a_wait: sends(Kind::Mortal, "--wait PID", &[]);
    a_wait_of_main: sends(Kind::Mortal, "--wait -- PID", &[]);
    a_wait_told_as_it_goes: sends(Kind::Mortal, "-v --within 9s PID", &[]);
    a_grace_told_in_json: sends(Kind::Mortal, "--json --grace 9s PID", &[]);
    a_group_waited_for: sends(Kind::MortalGroup, "-KILL --wait -- GROUP", &[]);
    a_group_given_grace: sends(Kind::MortalGroup, "-v --grace 9s -- GROUP", &[]);
    a_tree: sends(Kind::MortalTree, "--tree -TERM PID", &[]);
    a_tree_killed: sends(Kind::MortalTree, "--tree -KILL PID", &[]);
    a_tree_killed_and_told: sends(Kind::MortalTree, "--json --tree -KILL PID", &[]);
    a_tree_given_grace: sends(Kind::MortalTree, "--tree --grace 9s PID", &[]);
    a_question_for_life: asks("--alive BOTH");
    a_question_for_life_by_name: asks("--alive NAME");
    a_question_for_tokens: asks("--id NAME");
    a_question_for_pids: asks("-p NAME");
    a_question_for_state: asks("-d PID");
    a_rehearsal: asks("--dry-run BOTH");
    a_rehearsed_tree: asks("--dry-run --json --tree PID");
    a_list: asks("-l");
    a_list_of_main: asks("-l --");
    a_translation: asks("-l 9 HUP 0x4001");
    a_table: asks("-t");
    a_page_of_help: asks("--help");
}
