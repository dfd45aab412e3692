//! `Family`: a victim with descendants that a shell cannot create (storms, vfork parents, rows of
//! thousands), and a check that all of them are gone. The test binary runs itself in one of the
//! roles of `roles`.

mod roles;

use std::env;
use std::io::{PipeReader, Read, Write, pipe};
use std::ops::{Deref, DerefMut};
use std::os::fd::AsFd;
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::support::{DEADLINE, Victim, victim};

/// The role of a test binary: its name and numbers, separated by blanks.
pub const ROLE: &str = "SIGSEND_TEST_ROLE";

/// A victim in a group of its own and all its descendants: each live one holds the other end of
/// `lifeline`, which is its standard error.
pub struct Family {
    head: Victim,
    lifeline: PipeReader,
    output: String,
}

impl Family {
    /// A family whose head runs this script, which must `echo ready`.
    #[track_caller]
    pub fn shell(script: &str) -> Self {
        Self::of(|command| victim().command(command), shell(script))
    }

    /// The same in the group of another victim. At the end of the test only the head is killed.
    #[track_caller]
    pub fn shell_in_group_of(leader: &Victim, script: &str) -> Self {
        Self::of(
            |command| victim().in_group_of(leader).command(command),
            shell(script),
        )
    }

    /// A family with a role from `roles`.
    #[track_caller]
    pub fn with_role(role: &str) -> Self {
        Self::of(|command| victim().command(command), role_command(role))
    }

    /// The same in the group of another victim. At the end of the test only the head is killed.
    #[track_caller]
    pub fn with_role_in_group_of(leader: &Victim, role: &str) -> Self {
        Self::of(
            |command| victim().in_group_of(leader).command(command),
            role_command(role),
        )
    }

    #[track_caller]
    fn of(start: impl FnOnce(Command) -> Victim, mut command: Command) -> Self {
        let (lifeline, other_end) = pipe().expect("a pipe");
        command.stderr(other_end);
        let mut head = start(command);
        while head.read_line() != "ready" {}
        Self {
            head,
            lifeline,
            output: String::new(),
        }
    }

    /// The next line that a member prints; `None` when no member is left.
    #[track_caller]
    pub fn next_line(&mut self) -> Option<String> {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(length) = self.output.find('\n') {
                return Some(self.output.drain(..=length).take(length).collect());
            }
            let left = PollTimeout::try_from(end.saturating_duration_since(Instant::now()))
                .expect("a short time");
            match poll(
                &mut [PollFd::new(self.lifeline.as_fd(), PollFlags::POLLIN)],
                left,
            ) {
                Err(Errno::EINTR) => continue,
                ready => assert!(
                    ready.expect("poll") > 0,
                    "the family of {} writes nothing",
                    self.head.pid()
                ),
            }
            let mut chunk = [0; 4096];
            let length = self.lifeline.read(&mut chunk).expect("a pipe can be read");
            if length == 0 {
                return None;
            }
            self.output += str::from_utf8(&chunk[..length]).expect("members write UTF-8");
        }
    }

    /// Checks that no member is left alive; returns the lines that were not read yet.
    #[track_caller]
    pub fn assert_all_ended(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next_line()).collect()
    }

    /// Lets a storm fork up to `forks` times while the test continues, at most once every 0.1 ms:
    /// the process that reads a byte from the pipe forks, and the pipe never holds more than one.
    /// Ends when no process is left to read it.
    #[track_caller]
    pub fn start_forking(&self, forks: usize) -> JoinHandle<()> {
        let mut stdin = self.head.stdin();
        // A pipe of one page holds one packet.
        fcntl(&stdin, FcntlArg::F_SETFL(OFlag::O_DIRECT)).expect("a pipe can carry packets");
        fcntl(&stdin, FcntlArg::F_SETPIPE_SZ(4096)).expect("an empty pipe can be small");
        thread::spawn(move || {
            let mut forks = 0..forks;
            while forks.next().is_some() && stdin.write_all(b"!").is_ok() {
                thread::sleep(Duration::from_micros(100));
            }
        })
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

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn role_command(role: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("a running test has a path"));
    command
        .args([
            "--exact",
            "family::roles::runs_role_when_asked",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(ROLE, role);
    command
}

/// The children of all threads of a process.
pub fn children(pid: i32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let lists = threads
        .map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .map(|pid| pid.parse().expect("a PID"))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The state letter of proc(5), `X` for a process that does not exist.
pub fn state(pid: i32) -> char {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    stat.rsplit_once(") ")
        .and_then(|(_, fields)| fields.chars().next())
        .unwrap_or('X')
}
