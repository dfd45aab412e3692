//! Tests that do more than one process can: parts of them run side by side, in other instances of
//! the test binary.

use std::env;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use super::tempdir;

/// Another instance of the test binary, which runs this test alone.
fn again(test: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("a running test has a path"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env("RUST_BACKTRACE", "0");
    command
}

/// Does `work` for each number below `end`.
pub fn side_by_side(end: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    // Most of the time is spent waiting: more workers than processors.
    let workers = 2 * thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let numbers = std::iter::repeat_with(|| next.fetch_add(1, Relaxed));
                numbers.take_while(|number| *number < end).for_each(&work);
            });
        }
    });
}

/// The worker for a part of a test's work: runs the test again with these variables. `figures` names
/// the variable with a file for its statistics. Returns its errors, if it failed, and the file.
pub fn worker(test: &str, figures: &str, variables: &[(&str, String)]) -> (String, String) {
    let dir = tempdir();
    let file = dir.file("figures", "");
    let mut command = again(test);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let output = command.env(figures, &file).output();
    let output = output.expect("the test binary starts again");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_good = output.status.success();
    let errors = if is_good { String::new() } else { errors };
    (errors, fs::read_to_string(file).expect("our own file"))
}
