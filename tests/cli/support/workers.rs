//! Tests that do more than one process can: parts of them run side by side, in other instances of
//! the test binary.

use std::env;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

/// Another instance of the test binary, which runs this test alone.
pub fn again(test: &str) -> Command {
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
