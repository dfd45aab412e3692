//! `Recorder`: a victim that catches every signal that can be caught and reports what arrived, in
//! the order of handling. It is another instance of this test binary, run for one test that does
//! nothing unless the environment asks for it.
#![expect(
    unsafe_code,
    reason = "a signal handler must be async-signal-safe, which std cannot express"
)]

use std::env;
use std::ffi::{c_int, c_void};
use std::io::{self, BufRead, Write};
use std::process::{Command, Stdio};

use nix::libc;

use super::sys;
use super::victim::{Victim, VictimOptions, victim};

/// Makes a test binary record: `open` handles each signal at once, `holding` at the next query.
const MODE: &str = "SIGSEND_TEST_RECORDER";

/// One signal as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// `si_code`: `SI_USER` of kill(2), `SI_QUEUE` of sigqueue(3).
    pub code: i32,
    /// `si_value`, meaningful with `SI_QUEUE`.
    pub value: i32,
}

/// A victim that catches everything; see the module.
pub struct Recorder(Victim);

impl Recorder {
    /// Handles each signal at once.
    #[track_caller]
    pub fn new() -> Self {
        Self::start(victim(), "open")
    }

    /// Blocks signals until the next query, so that they queue up.
    #[track_caller]
    pub fn holding() -> Self {
        Self::start(victim(), "holding")
    }

    /// Handles each signal at once, with the name, group and user of `options`.
    #[track_caller]
    pub fn of(options: VictimOptions) -> Self {
        Self::start(options, "open")
    }

    #[track_caller]
    fn start(mut options: VictimOptions, mode: &str) -> Self {
        let mut command =
            Command::new(options.linked(env::current_exe().expect("a running test has a path")));
        command.args([
            "--exact",
            "support::recorder::records_when_asked",
            "--nocapture",
            "--test-threads=1",
        ]);
        command.env(MODE, mode).stderr(Stdio::null());
        sys::start_with_signals_blocked(&mut command);
        let mut victim = options.command(command);
        while victim.read_line() != "ready" {}
        Self(victim)
    }

    /// The process.
    pub fn victim(&self) -> &Victim {
        &self.0
    }

    /// Its PID as an operand.
    pub fn arg(&self) -> String {
        self.0.arg()
    }

    /// What arrived since the last query, in order.
    #[track_caller]
    pub fn received(&mut self) -> Vec<Received> {
        self.0.write_line("what?");
        let mut received = Vec::new();
        loop {
            let line = self.0.read_line();
            if line == "done" {
                return received;
            }
            let numbers: Vec<i32> = line
                .split(' ')
                .filter_map(|number| number.parse().ok())
                .collect();
            let [signal, code, value] = numbers[..] else {
                panic!("not a record: {line:?}")
            };
            received.push(Received {
                signal,
                code,
                value,
            });
        }
    }

    /// The signal numbers that arrived since the last query, in order.
    #[track_caller]
    pub fn signals(&mut self) -> Vec<i32> {
        self.received()
            .iter()
            .map(|received| received.signal)
            .collect()
    }

    /// No signal arrived.
    #[track_caller]
    pub fn assert_untouched(&mut self) {
        assert_eq!(self.received(), [], "{} must get no signal", self.0.pid());
    }
}

/// Writes one record. Formats without allocating: the handler may interrupt anything.
extern "C" fn record(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    let (code, value) = sys::origin(info);
    let mut line = [0; 64];
    let mut rest = &mut line[..];
    let _ = writeln!(rest, "{signal} {code} {value}");
    let length = 64 - rest.len();
    // SAFETY: the first `length` bytes of `line` were written above; write(2) is async-signal-safe.
    unsafe { libc::write(1, line.as_ptr().cast(), length) };
}

#[test]
fn records_when_asked() {
    let Ok(mode) = env::var(MODE) else { return };
    let catchable =
        (1..=libc::SIGRTMAX()).filter(|n| ![libc::SIGKILL, libc::SIGSTOP, 32, 33].contains(n));
    catchable.for_each(|signal| sys::catch(signal, record).expect("a signal that can be caught"));
    let say = |line: &str| {
        io::stdout()
            .write_all(line.as_bytes())
            .and_then(|()| io::stdout().flush())
    };
    // All threads start with every signal blocked. Only this one unblocks them, so they are handled
    // in the order of their delivery, and those that were sent before a query are handled before
    // it is read.
    if mode == "open" {
        sys::mask_all(libc::SIG_UNBLOCK);
    }
    // The test harness has written an incomplete line.
    say("\nready\n").expect("the test reads");
    for _query in io::stdin().lock().lines() {
        if mode == "holding" {
            sys::mask_all(libc::SIG_UNBLOCK);
            sys::mask_all(libc::SIG_BLOCK);
        }
        say("done\n").expect("the test reads");
    }
}
