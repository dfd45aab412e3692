//! A command line and the environment that sigsend starts in, and the random number generator that
//! both are made from.

use std::ffi::OsString;

use crate::support::words;

/// A splitmix64 generator: small, seeded, the same everywhere.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(end).expect("a length"))
            .expect("below a length")
    }

    /// True in `chance` of a hundred cases.
    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// A word of a list, see [`words`].
    pub fn word(&mut self, list: &str) -> String {
        let mut words = words(list);
        words.swap_remove(self.below(words.len()))
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// The age of a pidfile when sigsend reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    Now,
    Old,
    Future,
}

/// What is at the path that `--pidfile` names.
#[derive(Clone, Debug)]
pub enum Pidfile {
    File(Vec<u8>, Age),
    Unreadable(Vec<u8>),
    Directory,
    Dangling,
    Device,
}

/// Where sigsend's standard output goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sink {
    #[default]
    File,
    /// A file limited to this size in bytes (`RLIMIT_FSIZE`, which limits standard error, too).
    Limited(u64),
    /// A pipe that stays full until the predicted signals have arrived.
    Late,
    /// A pipe without a reader.
    Closed,
    /// /dev/full.
    Full,
}

/// The process group and the parent that sigsend starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// A group of its own; the harness is its parent.
    #[default]
    Alone,
    /// The group of the first family; the harness is its parent.
    Home,
    /// A group of its own; the launcher is its parent.
    Shell,
}

/// One run of sigsend: its arguments and its environment.
#[derive(Debug, Default)]
pub struct Line {
    pub args: Vec<OsString>,
    pub stdin: Vec<u8>,
    pub files: Vec<(String, Pidfile)>,
    pub user: u32,
    pub start: Start,
    pub sink: Sink,
    /// /proc hides other users' processes from users other than root (`hidepid=2`).
    pub hidden: bool,
    /// The family whose members are sent CONT repeatedly while sigsend runs.
    pub storm: Option<usize>,
}
