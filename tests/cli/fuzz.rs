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
use std::io::{Write as _, stderr, stdout};
use std::sync::Mutex;

use line::{Dice, Line, Start};
use reading::Reading;
use runner::Runner;
use world::{Observation, World};

use crate::support::prelude::*;

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
    env::var(name).map_or(default, |text| text.parse().expect(name))
}

#[test]
fn random_command_lines_do_what_the_manual_says() {
    if env::var_os(FIGURES).is_some() {
        in_pid_namespace!();
        return fuzz(env_number(SEED, 0), env_number(LINES, 0));
    }
    if !running_as_root() || !may_change_user() {
        return skip("the fuzzer needs victims of several users, and only root can make them");
    }
    let (seed, lines) = (env_number(SEED, 20_261_123), env_number(LINES, 2_000));
    let begin = Instant::now();
    let results = Mutex::new((String::new(), BTreeMap::<String, u64>::new()));
    let chunks = usize::try_from(lines.div_ceil(CHUNK)).expect("a number of chunks");
    side_by_side(chunks, |chunk| {
        let first = CHUNK * u64::try_from(chunk).expect("a number of lines");
        let size = CHUNK.min(lines - first);
        let (failures, figures) = run_chunk(seed.wrapping_add(first), size);
        let mut results = results.lock().expect("no panic");
        results.0 += &failures;
        for (label, number) in figures.lines().filter_map(|line| line.split_once('\t')) {
            *results.1.entry(label.to_owned()).or_default() += parsed(number);
        }
    });
    let (failures, total) = results.into_inner().expect("no panic");
    let seconds = begin.elapsed().as_secs_f64();
    writeln!(
        stdout(),
        "fuzzed with seed {seed} in {seconds:.1} s: {total:?}"
    )
    .expect("stdout");
    assert!(failures.is_empty(), "{failures}");
    assert_eq!(total.get("lines"), Some(&lines), "not every line was run");
}

fn parsed(number: &str) -> u64 {
    number.parse().expect("a worker writes numbers")
}

/// Runs a chunk of lines in a worker process. Returns its failures and its statistics.
fn run_chunk(seed: u64, lines: u64) -> (String, String) {
    let test = "fuzz::random_command_lines_do_what_the_manual_says";
    let variables = [(SEED, seed.to_string()), (LINES, lines.to_string())];
    worker(test, FIGURES, &variables)
}

/// The worker, which is process 1 of its namespace.
fn fuzz(seed: u64, lines: u64) {
    // Otherwise another worker's socket may be on the same port, and its holder cannot be seen
    // here.
    let _ = entered_network();
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
        let received = observations.iter().map(Observation::total).sum();
        for (label, more) in [("lines", 1), (kind, 1), ("signals received", received)] {
            *figures.entry(label).or_default() += more;
        }
        if wrong.is_empty() {
            world.replace_changed(&observations);
            continue;
        }
        // A hang takes long, so three of them reach the limit.
        failed += if ended.hung { MAX_FAILURES / 3 } else { 1 };
        let told = format!(
            "{}\n    {}; {ended:?}",
            describe(&line, world.home()),
            repeat(seed)
        );
        let _ = writeln!(stderr(), "{told}\n    {}", wrong.join("\n    "));
        if failed >= MAX_FAILURES {
            break;
        }
        world.replace_all();
    }
    figures.insert("victims replaced", world.replaced());
    let text = figures.iter();
    let text = text.map(|(label, number)| format!("{label}\t{number}\n"));
    let file = env::var_os(FIGURES).expect("checked by the test");
    fs::write(file, text.collect::<String>()).expect("the figures");
    assert_eq!(failed, 0, "lines whose result differs from the model");
}

fn repeat(seed: u64) -> String {
    format!("repeat with {SEED}={seed} {LINES}=1")
}

/// Prints how to repeat a line in which the harness itself fails.
struct NameOnPanic(u64);

impl Drop for NameOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = writeln!(stderr(), "    {}: the harness failed", repeat(self.0));
        }
    }
}

/// A word in shell syntax.
fn quoted(word: &[u8]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=+:.,/%".contains(c);
    match str::from_utf8(word) {
        Ok(text) if !text.is_empty() && text.chars().all(is_plain) => text.to_owned(),
        _ => format!(
            "$'{}'",
            word.escape_ascii().to_string().replace("\\\"", "\"")
        ),
    }
}

/// The line in shell syntax, followed by its environment as a comment.
fn describe(line: &Line, home: i32) -> String {
    let words: Vec<String> = line.args.iter().map(|arg| quoted(arg.as_bytes())).collect();
    let start = match line.start {
        Start::Home => format!("in group {home}"),
        Start::Alone => "in a group of its own".into(),
        Start::Shell => "started by the shell".into(),
    };
    let (words, stdin, user, sink) = (words.join(" "), quoted(&line.stdin), line.user, line.sink);
    let storm = line
        .storm
        .map(|family| roles::FAMILIES[family].name.escape_ascii().to_string());
    let (hidden, files) = (line.hidden, &line.files);
    format!(
        "sigsend {words} <<< {stdin}    # as user {user}, {start}, output to {sink:?}, \
         hidepid=2 {hidden}, CONT to the family of {storm:?}, {files:?}"
    )
}
