//! `Recorder`: a victim that catches every signal that can be caught and reports what arrived, in
//! the order of handling.

use std::fmt::{self, Display, Formatter};
use std::process::Stdio;

use super::numbers;
use super::roles::player;
use super::sys;
use super::victim::{Victim, VictimOptions, victim};

/// One signal as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    pub signal: i32,
    /// `si_code`: `SI_USER` of kill(2), `SI_QUEUE` of sigqueue(3).
    pub code: i32,
    /// `si_value`, meaningful with `SI_QUEUE`.
    pub value: i32,
}

impl Received {
    /// One of sigqueue(3).
    pub fn queued(signal: i32, value: i32) -> Self {
        Self::of([signal, nix::libc::SI_QUEUE, value])
    }

    fn of([signal, code, value]: [i32; 3]) -> Self {
        Self {
            signal,
            code,
            value,
        }
    }
}

pub struct Recorder(Victim);

impl Recorder {
    /// Handles each signal at once.
    pub fn new() -> Self {
        Self::start(victim(), "recorder open")
    }

    /// Blocks signals until the next query, so that they queue up.
    pub fn holding() -> Self {
        Self::start(victim(), "recorder holding")
    }

    /// Handles each signal at once, with the name, group and user of `options`.
    pub fn of(options: VictimOptions) -> Self {
        Self::start(options, "recorder open")
    }

    fn start(mut options: VictimOptions, role: &str) -> Self {
        let mut command = player(role, options.linked_test().as_deref());
        command.stderr(Stdio::null());
        sys::start_with_signals_blocked(&mut command);
        let mut victim = options.command(command);
        while victim.read_line() != "ready" {}
        Self(victim)
    }

    pub fn victim(&self) -> &Victim {
        &self.0
    }

    pub fn arg(&self) -> String {
        self.0.arg()
    }

    /// What arrived since the last query, in order.
    #[track_caller]
    pub fn received(&mut self) -> Vec<Received> {
        self.0.write_line("what?");
        let lines = std::iter::from_fn(|| Some(self.0.read_line()).filter(|line| line != "done"));
        let record = |line: String| {
            let numbers: [i32; 3] = numbers(&line).try_into().expect("a record");
            Received::of(numbers)
        };
        lines.map(record).collect()
    }

    /// The signal numbers that arrived since the last query, in order.
    #[track_caller]
    pub fn signals(&mut self) -> Vec<i32> {
        let received = self.received();
        received.iter().map(|received| received.signal).collect()
    }

    #[track_caller]
    pub fn assert_untouched(&mut self) {
        assert_eq!(self.received(), [], "{} must get no signal", self.0);
    }
}

impl Display for Recorder {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
