//! Fuzzing: random command lines are run by the real program in a PID namespace full of victims,
//! and the results are compared with a model of the manual. `SIGSEND_FUZZ_LINES` sets the number of
//! lines, `SIGSEND_FUZZ_SEED` selects them.

mod compare;
mod grammar;
mod handlers;
mod launcher;
pub mod line;
mod model;
mod reading;
mod reaper;
mod roles;
mod runner;
mod victim;
mod world;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{Write as _, stderr, stdout};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use line::{Dice, Line, Start};
use nix::sched::{CloneFlags, unshare};
use reading::Reading;
use runner::Runner;
use world::{Observation, World};

use crate::support;

const LINES: &str = "SIGSEND_FUZZ_LINES";
const SEED: &str = "SIGSEND_FUZZ_SEED";
/// Set for the worker processes, each of which has its own PID namespace: the file that receives
/// the statistics.
const FIGURES: &str = "SIGSEND_FUZZ_FIGURES";

/// Lines per namespace. Few enough that PIDs do not wrap and that a chunk fits into the time limit
/// of a test on a busy machine.
const CHUNK: u64 = 200;

/// A worker stops after this many failures.
const MAX_FAILURES: usize = 12;

fn env_number(name: &str, default: u64) -> u64 {
    let parse = |text: String| {
        text.parse()
            .unwrap_or_else(|e| panic!("{name}={text}: {e}"))
    };
    env::var(name).map_or(default, parse)
}

#[test]
fn random_command_lines_do_what_the_manual_says() {
    if env::var_os(FIGURES).is_some() {
        return support::in_pid_namespace(|| fuzz(env_number(SEED, 0), env_number(LINES, 0)));
    }
    if !support::running_as_root() || !support::may_change_user() {
        return support::skip(
            "the fuzzer needs victims of several users, and only root can make them",
        );
    }
    let (seed, lines) = (env_number(SEED, 20_261_123), env_number(LINES, 2_000));
    let start = Instant::now();
    let (next, failures, total) = (
        AtomicU64::new(0),
        Mutex::new(String::new()),
        Mutex::new(BTreeMap::new()),
    );
    // Most of the time is spent waiting: more workers than processors.
    let workers = 2 * thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let first = next.fetch_add(CHUNK, Ordering::Relaxed);
                    if first >= lines {
                        break;
                    }
                    let (output, figures) =
                        run_chunk(seed.wrapping_add(first), CHUNK.min(lines - first));
                    add_figures(&mut total.lock().expect("no panic"), &figures);
                    if !output.status.success() {
                        *failures.lock().expect("no panic") +=
                            &String::from_utf8_lossy(&output.stderr);
                    }
                }
            });
        }
    });
    let total = total.into_inner().expect("no panic");
    let seconds = start.elapsed().as_secs_f64();
    writeln!(
        stdout(),
        "fuzzed with seed {seed} in {seconds:.1} s: {total:?}"
    )
    .expect("stdout");
    let failures = failures.into_inner().expect("no panic");
    assert!(failures.is_empty(), "{failures}");
    assert_eq!(total.get("lines"), Some(&lines), "not every line was run");
}

/// Runs a chunk of lines in a worker process. Returns its output and its statistics.
fn run_chunk(seed: u64, lines: u64) -> (Output, String) {
    let dir = support::tempdir();
    let figures = dir.file("figures", "");
    let mut command = Command::new(env::current_exe().expect("a running test has a path"));
    command.args([
        "--exact",
        "fuzz::random_command_lines_do_what_the_manual_says",
        "--nocapture",
    ]);
    command
        .env("RUST_BACKTRACE", "0")
        .env(SEED, seed.to_string())
        .env(LINES, lines.to_string())
        .env(FIGURES, &figures);
    let output = command.output().expect("the test binary starts again");
    (output, fs::read_to_string(figures).expect("our own file"))
}

fn add_figures(total: &mut BTreeMap<String, u64>, figures: &str) {
    for (label, number) in figures.lines().filter_map(|line| line.split_once('\t')) {
        *total.entry(label.to_owned()).or_default() += number.parse::<u64>().expect("a number");
    }
}

/// The worker, which is process 1 of its namespace.
fn fuzz(seed: u64, lines: u64) {
    // Otherwise another worker's socket may be on the same port, and its holder cannot be seen here.
    let _ = unshare(CloneFlags::CLONE_NEWNET);
    let mut world = World::new();
    let runner = Runner::new();
    let mut figures: BTreeMap<&str, u64> = BTreeMap::new();
    let mut failed = 0;
    for seed in (0..lines).map(|n| seed.wrapping_add(n)) {
        let _repeat = NameOnPanic(seed);
        let line = grammar::random(&mut Dice::new(seed), &world);
        let reading = reading::read(&line.args);
        let forecast = model::predict(&reading, &world, &line);
        let ended = runner.run(&line, &mut world, &forecast);
        let observations = world.observe();
        let wrong = compare::differences(&line, &reading, &forecast, &world, &ended, &observations);
        let kind = match &reading {
            Reading::Refused => "refused",
            Reading::Quiet => "listings and texts",
            Reading::Request(request) if request.loose => "loosely read",
            Reading::Request(_) => "carried out",
        };
        for (label, more) in [
            ("lines", 1),
            (kind, 1),
            (
                "signals received",
                observations.iter().map(Observation::total).sum(),
            ),
        ] {
            *figures.entry(label).or_default() += more;
        }
        if wrong.is_empty() {
            world.replace_changed(&observations);
            continue;
        }
        // A hang takes long, so three of them reach the limit.
        failed += if ended.hung { MAX_FAILURES / 3 } else { 1 };
        let description = describe(&line, world.home());
        let wrong = wrong.join("\n    ");
        let _ = writeln!(
            stderr(),
            "{description}\n    repeat with {SEED}={seed} {LINES}=1; {ended:?}\n    {wrong}"
        );
        if failed >= MAX_FAILURES {
            break;
        }
        world.replace_all();
    }
    figures.insert("victims replaced", world.replaced());
    let text: Vec<String> = figures
        .iter()
        .map(|(label, number)| format!("{label}\t{number}"))
        .collect();
    fs::write(
        env::var_os(FIGURES).expect("checked by the test"),
        text.join("\n"),
    )
    .expect("the figures");
    assert_eq!(failed, 0, "lines whose result differs from the model");
}

/// Prints how to repeat a line in which the harness itself fails.
struct NameOnPanic(u64);

impl Drop for NameOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = writeln!(
                stderr(),
                "    repeat with {SEED}={} {LINES}=1: the harness failed",
                self.0
            );
        }
    }
}

/// The line in shell syntax, followed by its environment as a comment.
fn describe(line: &Line, home: i32) -> String {
    let quote = |arg: &[u8]| match str::from_utf8(arg) {
        Ok(text)
            if !text.is_empty()
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_=+:.,/%".contains(c)) =>
        {
            text.to_owned()
        }
        _ => format!(
            "$'{}'",
            arg.escape_ascii().to_string().replace("\\\"", "\"")
        ),
    };
    let mut text = "sigsend".to_owned();
    for arg in &line.args {
        text.push(' ');
        text += &quote(arg.as_bytes());
    }
    if !line.stdin.is_empty() {
        let _ = write!(text, " <<< {}", quote(&line.stdin));
    }
    let start = match line.start {
        Start::Home => format!("in group {home}"),
        Start::Alone => "in a group of its own".into(),
        Start::Shell => "started by the shell".into(),
    };
    let _ = write!(
        text,
        "    # as user {}, {start}, output to {:?}",
        line.user, line.sink
    );
    if line.hidden {
        text += ", with hidepid=2";
    }
    if let Some(family) = line.storm {
        let _ = write!(
            text,
            ", CONT to the family of {:?}",
            roles::FAMILIES[family].name.escape_ascii().to_string()
        );
    }
    for (name, file) in &line.files {
        let _ = write!(text, ", {name} is {file:?}");
    }
    text
}
