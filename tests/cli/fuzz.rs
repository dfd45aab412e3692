//! Whole command lines at random, against the real program in a namespace full of victims, each held against what the
//! manual says. `SIGSEND_FUZZ_LINES` asks for more lines, `SIGSEND_FUZZ_SEED` for other ones.

mod cast;
mod grammar;
mod judge;
mod line;
mod model;
mod reading;
mod tokens;
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

use judge::Stage;
use line::{Dice, Line};
use reading::Reading;
use world::{Account, World};

use crate::support;

const LINES: &str = "SIGSEND_FUZZ_LINES";
const SEED: &str = "SIGSEND_FUZZ_SEED";
/// Set for the processes that do the work, each in a namespace of its own: where to write the figures.
const FIGURES: &str = "SIGSEND_FUZZ_FIGURES";

/// Lines that one namespace sees: few enough that its PIDs do not come round again.
const CHUNK: u64 = 1_000;

/// Failures after which a process gives up.
const ENOUGH: usize = 12;

fn asked_for(name: &str, default: u64) -> u64 {
    let parse = |text: String| text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}"));
    env::var(name).map_or(default, parse)
}

#[test]
fn random_command_lines_reach_only_whom_the_manual_says() {
    if env::var_os(FIGURES).is_some() {
        return support::in_pid_namespace(|| fuzz(asked_for(SEED, 0), asked_for(LINES, 0)));
    }
    if !support::running_as_root() || !support::may_change_user() {
        return support::skip("the fuzzer needs victims of several users, and only root can make them");
    }
    let (seed, lines) = (asked_for(SEED, 20_261_123), asked_for(LINES, 2_000));
    let start = Instant::now();
    let (next, failures, total) = (AtomicU64::new(0), Mutex::new(String::new()), Mutex::new(BTreeMap::new()));
    // Waiting fills much of the time: more workers than processors.
    let workers = 2 * thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let first = next.fetch_add(CHUNK, Ordering::Relaxed);
                    if first >= lines {
                        break;
                    }
                    let (output, figures) = chunk(seed.wrapping_add(first), CHUNK.min(lines - first));
                    add(&mut total.lock().expect("no panic"), &figures);
                    if !output.status.success() {
                        *failures.lock().expect("no panic") += &String::from_utf8_lossy(&output.stderr);
                    }
                }
            });
        }
    });
    let total = total.into_inner().expect("no panic");
    let seconds = start.elapsed().as_secs_f64();
    writeln!(stdout(), "fuzzed with seed {seed} in {seconds:.1} s: {total:?}").expect("stdout");
    let failures = failures.into_inner().expect("no panic");
    assert!(failures.is_empty(), "{failures}");
    assert_eq!(total.get("lines"), Some(&lines), "not every line was run");
}

/// Runs some of the lines in a process of their own.
fn chunk(seed: u64, lines: u64) -> (Output, String) {
    let dir = support::tempdir();
    let figures = dir.file("figures", "");
    let mut command = Command::new(env::current_exe().expect("a running test has a path"));
    command.args(["--exact", "fuzz::random_command_lines_reach_only_whom_the_manual_says", "--nocapture"]);
    command.env("RUST_BACKTRACE", "0").env(SEED, seed.to_string()).env(LINES, lines.to_string()).env(FIGURES, &figures);
    let output = command.output().expect("the test binary starts again");
    (output, fs::read_to_string(figures).expect("our own file"))
}

fn add(total: &mut BTreeMap<String, u64>, figures: &str) {
    for (label, number) in figures.lines().filter_map(|line| line.split_once('\t')) {
        *total.entry(label.to_owned()).or_default() += number.parse::<u64>().expect("a number");
    }
}

/// The work itself, as the first process of a namespace.
fn fuzz(seed: u64, lines: u64) {
    let mut world = World::new();
    let stage = Stage::new();
    let mut figures: BTreeMap<&str, u64> = BTreeMap::new();
    let mut failed = 0;
    for seed in (0..lines).map(|n| seed.wrapping_add(n)) {
        let line = grammar::random(&mut Dice::new(seed), &world);
        let reading = reading::read(&line.args);
        let forecast = model::foretell(&reading, &world, &line);
        let ended = stage.run(&line, &world, &forecast);
        let accounts = world.account();
        let wrong = judge::complaints(&reading, &forecast, &world, &ended, &accounts);
        let kind = match &reading {
            Reading::Refused => "refused",
            Reading::Quiet => "listings and texts",
            Reading::Request(request) if request.loose => "loosely read",
            Reading::Request(_) => "carried out",
        };
        for (label, more) in [("lines", 1), (kind, 1), ("signals received", accounts.iter().map(Account::total).sum())]
        {
            *figures.entry(label).or_default() += more;
        }
        if wrong.is_empty() {
            world.mend(&accounts);
            continue;
        }
        // A line that hangs takes its time: three of them are enough, too.
        failed += if ended.hung() { ENOUGH / 3 } else { 1 };
        let shown = shown(&line, world.home());
        let wrong = wrong.join("\n    ");
        let _ = writeln!(stderr(), "{shown}\n    repeat with {SEED}={seed} {LINES}=1; {ended:?}\n    {wrong}");
        if failed >= ENOUGH {
            break;
        }
        world.renew();
    }
    figures.insert("victims replaced", world.replaced());
    let text: Vec<String> = figures.iter().map(|(label, number)| format!("{label}\t{number}")).collect();
    fs::write(env::var_os(FIGURES).expect("checked by the test"), text.join("\n")).expect("the figures");
    assert_eq!(failed, 0, "lines that did what the manual does not say");
}

/// The line as a shell would take it, and what else belongs to it.
fn shown(line: &Line, home: i32) -> String {
    let quote = |arg: &[u8]| match str::from_utf8(arg) {
        Ok(text) if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_=+:.,/%".contains(c)) => {
            text.to_owned()
        }
        _ => format!("$'{}'", arg.escape_ascii().to_string().replace("\\\"", "\"")),
    };
    let mut text = "sigsend".to_owned();
    for arg in &line.args {
        text.push(' ');
        text += &quote(arg.as_bytes());
    }
    if !line.stdin.is_empty() {
        let _ = write!(text, " <<< {}", quote(&line.stdin));
    }
    let place = if line.at_home { format!("in group {home}") } else { "in a group of its own".into() };
    let _ = write!(text, "    # as user {}, {place}", line.user);
    for (name, file) in &line.files {
        let _ = write!(text, ", {name} is {file:?}");
    }
    text
}
