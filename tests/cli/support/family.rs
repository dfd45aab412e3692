//! `Family`: a victim with descendants, also those that a shell cannot create (storms, vfork
//! parents, rows of thousands), and a check that all of them are gone.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::io::{PipeReader, Read, Write, pipe};
use std::ops::{Deref, DerefMut};
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::roles::player;
use super::victim::{VictimOptions, readable};
use super::{DEADLINE, Victim, sh, victim};

/// A victim in a group of its own and all its descendants: each live one holds the other end of
/// `lifeline`, which is its standard error.
pub struct Family {
    head: Victim,
    lifeline: PipeReader,
    output: String,
    forking: Option<JoinHandle<()>>,
}

impl Family {
    /// A family whose head runs this script, which must `echo ready`.
    pub fn shell(script: &str) -> Self {
        Self::of(victim(), sh(script))
    }

    /// The same in the group of another victim. At the end of the test only the head is killed.
    pub fn shell_in_group_of(leader: &Victim, script: &str) -> Self {
        Self::of(victim().in_group_of(leader), sh(script))
    }

    /// A family with a role from `roles`.
    pub fn with_role(role: &str) -> Self {
        Self::of(victim(), player(role, None))
    }

    /// The same in the group of another victim. At the end of the test only the head is killed.
    pub fn with_role_in_group_of(leader: &Victim, role: &str) -> Self {
        Self::of(victim().in_group_of(leader), player(role, None))
    }

    fn of(options: VictimOptions, mut command: Command) -> Self {
        let (lifeline, other_end) = pipe().expect("a pipe");
        command.stderr(other_end);
        let mut head = options.command(command);
        while head.read_line() != "ready" {}
        Self {
            head,
            lifeline,
            output: String::new(),
            forking: None,
        }
    }

    /// The next line that a member prints; `None` when no member is left.
    pub fn next_line(&mut self) -> Option<String> {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(length) = self.output.find('\n') {
                return Some(self.output.drain(..=length).take(length).collect());
            }
            let is_readable = readable(&self.lifeline, end);
            assert!(is_readable, "the family of {} writes nothing", self.head);
            let mut chunk = [0; 4096];
            let length = self.lifeline.read(&mut chunk).expect("a pipe can be read");
            if length == 0 {
                return None;
            }
            self.output += str::from_utf8(&chunk[..length]).expect("members write UTF-8");
        }
    }

    /// The PID in the next line that a member prints, `WORD PID`.
    #[track_caller]
    pub fn next_pid(&mut self) -> i32 {
        let line = self.next_line().expect("a member is alive");
        let pid = line.split_once(' ').and_then(|(_, pid)| pid.parse().ok());
        pid.unwrap_or_else(|| panic!("no PID: {line}"))
    }

    /// Checks that no member is left alive; returns the lines that were not read yet.
    #[track_caller]
    pub fn assert_all_ended(&mut self) -> Vec<String> {
        let lines = std::iter::from_fn(|| self.next_line()).collect();
        if let Some(forking) = self.forking.take() {
            forking.join().expect("it ends when nobody reads");
        }
        lines
    }

    /// Lets a storm fork up to `forks` times while the test continues, at most once every 0.1 ms:
    /// the process that reads a byte from the pipe forks, and the pipe never holds more than one.
    /// Returns the first `before` lines that members print.
    #[track_caller]
    pub fn start_forking(&mut self, forks: usize, before: usize) -> Vec<String> {
        let mut stdin = self.head.stdin();
        // A pipe of one page holds one packet.
        fcntl(&stdin, FcntlArg::F_SETFL(OFlag::O_DIRECT)).expect("a pipe can carry packets");
        fcntl(&stdin, FcntlArg::F_SETPIPE_SZ(4096)).expect("an empty pipe can be small");
        self.forking = Some(thread::spawn(move || {
            let mut forks = 0..forks;
            while forks.next().is_some() && stdin.write_all(b"!").is_ok() {
                thread::sleep(Duration::from_micros(100));
            }
        }));
        let lines = std::iter::from_fn(|| self.next_line());
        lines.take(before).collect()
    }

    /// The children of the head, oldest first.
    pub fn children(&self) -> Vec<i32> {
        children(self.head.pid())
    }
}

impl Deref for Family {
    type Target = Victim;

    fn deref(&self) -> &Victim {
        &self.head
    }
}

impl DerefMut for Family {
    fn deref_mut(&mut self) -> &mut Victim {
        &mut self.head
    }
}

impl Display for Family {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        self.head.fmt(formatter)
    }
}

/// The children of all threads of a process.
pub fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    let threads = threads.flatten();
    let list = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children"));
    let lists = threads.flatten().filter_map(|thread| list(thread).ok());
    let lists: String = lists.collect();
    let pids = lists.split_whitespace();
    pids.map(|pid| pid.parse().expect("a PID")).collect()
}

/// /proc/PID/stat from its third field on, the state; empty for a process that does not exist.
pub fn stat(pid: i32) -> String {
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    let fields = stat.rsplit_once(") ");
    fields.map_or_else(String::new, |(_, fields)| fields.trim().to_owned())
}

/// A numeric field of /proc/PID/stat after the command name, counted as in proc(5).
pub fn stat_field(pid: i32, field: usize) -> i32 {
    let stat = stat(pid);
    let field = stat.split(' ').nth(field - 3);
    field.and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// The state letter of proc(5), `X` for a process that does not exist.
pub fn state(pid: i32) -> char {
    stat(pid).chars().next().unwrap_or('X')
}

pub fn all_pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("a /proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.collect()
}

/// Whether a process has ended, reaped or not.
pub fn is_dead(pid: i32) -> bool {
    matches!(state(pid), 'X' | 'Z')
}
