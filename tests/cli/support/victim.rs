//! `Victim`: a child to send signals to. The constructors return when it is ready. On drop it is
//! killed with its group, and reaped. If it ends before, it stays a zombie, so its PID is not
//! reused.

use std::borrow::Borrow;
use std::ffi::OsString;
use std::fmt::{self, Display, Formatter};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::sys::{self, Ending, Look};
use super::{DEADLINE, TempDir, eventually, program, tempdir};

/// Options for a victim. By default it leads a group, has the user of the tests and the name of its
/// program.
#[derive(Default)]
pub struct VictimOptions {
    name: Option<String>,
    argv0: Option<OsString>,
    group: i32,
    user: Option<u32>,
    pid: Option<i32>,
    home: Option<TempDir>,
}

pub struct Victim {
    pid: i32,
    leads: bool,
    pidfd: OwnedFd,
    stdin: File,
    stdout: File,
    unread: Vec<u8>,
    reaped: bool,
    _home: Option<TempDir>,
}

/// A victim with default options; the methods of [`VictimOptions`] change them and start it.
pub fn victim() -> VictimOptions {
    VictimOptions::default()
}

impl VictimOptions {
    /// Gives it this command name (in /proc/PID/comm, cut to 15 bytes, and in argv[0]) through a
    /// symbolic link.
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    pub fn argv0(mut self, argv0: impl Into<OsString>) -> Self {
        self.argv0 = Some(argv0.into());
        self
    }

    pub fn in_group_of(mut self, leader: &Victim) -> Self {
        self.group = leader.pid;
        self
    }

    /// Gives it this user and group and no supplementary groups. Needs [`super::may_change_user`].
    pub fn owned_by(mut self, id: u32) -> Self {
        self.user = Some(id);
        self
    }

    /// Gives it this PID, which must be free. For tests inside [`super::namespace`].
    pub fn with_pid(mut self, pid: i32) -> Self {
        self.pid = Some(pid);
        self
    }

    /// Starts one that sleeps, with every signal at its default. It ends with the test process.
    pub fn sleeping(self) -> Victim {
        // cat proves that it has started by echoing a line.
        let mut victim = self.start("cat", &[]);
        victim.write_line("ready");
        victim.await_ready()
    }

    /// Starts `sh -c script`. The script must `echo ready` when it is ready.
    pub fn shell(self, script: &str) -> Victim {
        self.start("sh", &["-c", script]).await_ready()
    }

    /// Starts one like [`Self::sleeping`] and stops it.
    pub fn stopped(self) -> Victim {
        let victim = self.sleeping();
        kill(Pid::from_raw(victim.pid), Signal::SIGSTOP).expect("a child can be stopped");
        victim.assert_state('T');
        victim
    }

    /// Starts `command`, which has its own name, with pipes as standard input and output.
    pub fn command(self, mut command: Command) -> Victim {
        self.spawned(&mut command)
    }

    #[expect(
        clippy::zombie_processes,
        reason = "a victim reaps by its PID, so that it can look without reaping"
    )]
    fn spawned(self, command: &mut Command) -> Victim {
        assert_eq!(self.name, None, "a command has its own name");
        if let Some(argv0) = &self.argv0 {
            command.arg0(argv0);
        }
        if let Some(pid) = self.pid {
            sys::start_with_pid(command, pid, self.group, self.user);
        } else {
            command.process_group(self.group);
            self.user.map(|user| command.uid(user).gid(user));
        }
        sys::start_with_defaults(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // The child that forks again with a chosen PID may itself have got it.
        let child = command.spawn().or_else(|_| command.spawn());
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdin = OwnedFd::from(child.stdin.take().expect("stdin is a pipe"));
        let stdout = OwnedFd::from(child.stdout.take().expect("stdout is a pipe"));
        if self.pid.is_some() {
            child.wait().expect("it was spawned");
        }
        let own = i32::try_from(child.id()).expect("a PID is an i32");
        let pid = self.pid.unwrap_or(own);
        Victim {
            pid,
            leads: self.group == 0,
            pidfd: sys::pidfd(pid).expect("a pidfd of an unreaped child"),
            stdin: stdin.into(),
            stdout: stdout.into(),
            unread: Vec::new(),
            reaped: false,
            _home: self.home,
        }
    }

    /// Starts `command`, which must print `ready` when it is ready.
    pub fn ready(self, command: &mut Command) -> Victim {
        self.spawned(command).await_ready()
    }

    /// The same with a `command` that echoes what it reads.
    pub fn echoing(self, command: &mut Command) -> Victim {
        let mut victim = self.spawned(command);
        victim.write_line("ready");
        victim.await_ready()
    }

    fn start(mut self, name: &str, words: &[&str]) -> Victim {
        let path = self.linked(program(name).unwrap_or_else(|| panic!("no {name} in PATH")));
        let mut command = Command::new(path);
        command.args(words);
        self.command(command)
    }

    /// The path by which to execute `program` so that it gets the chosen name.
    pub fn linked(&mut self, program: PathBuf) -> PathBuf {
        let Some(name) = self.name.take() else {
            return program;
        };
        let (dir, path) = link(&program, &name);
        self.home = Some(dir);
        path
    }

    /// The path by which to execute this test binary so that it gets the chosen name, if any.
    pub fn linked_test(&mut self) -> Option<PathBuf> {
        self.name.as_ref()?;
        Some(self.linked(std::env::current_exe().expect("a running test has a path")))
    }
}

impl Victim {
    /// The plain victim: sleeps in a group of its own, every signal at its default.
    pub fn sleeping() -> Self {
        victim().sleeping()
    }

    /// `sh -c script` in a group of its own. The script must `echo ready` when it is ready.
    pub fn shell(script: &str) -> Self {
        victim().shell(script)
    }

    /// A child that has exited with status 0 and is not reaped.
    pub fn zombie() -> Self {
        let victim = Self::shell("echo ready");
        victim.assert_exited_with(0);
        victim
    }

    /// A PID that was in use before and is free now. Outside a private PID namespace another
    /// process may take it.
    #[track_caller]
    pub fn gone() -> i32 {
        let mut victim = Self::zombie();
        victim.reap();
        victim.pid
    }

    /// Waits until it has this command name: a shell has executed another program.
    #[track_caller]
    pub fn await_name(&self, name: &str) {
        let comm = || fs::read_to_string(format!("/proc/{}/comm", self.pid));
        let has_name = || comm().is_ok_and(|known| known.strip_suffix('\n') == Some(name));
        eventually("the command name", has_name);
    }

    /// Its PID, and that of its group unless it was put into another.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn arg(&self) -> String {
        self.pid.to_string()
    }

    /// Its group as an operand: `-PGID`.
    pub fn group_arg(&self) -> String {
        format!("-{}", self.pid)
    }

    #[track_caller]
    pub fn write_line(&mut self, line: &str) {
        writeln!(self.stdin, "{line}")
            .unwrap_or_else(|error| panic!("writing to {}: {error}", self.pid));
    }

    /// Another handle on the pipe that is its standard input.
    #[track_caller]
    pub fn stdin(&self) -> File {
        self.stdin.try_clone().expect("a descriptor")
    }

    #[track_caller]
    pub fn read_line(&mut self) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(length) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line = self.unread.drain(..=length).take(length).collect();
                return String::from_utf8(line).expect("victims write UTF-8");
            }
            let (mut chunk, pid, unread) = ([0; 4096], self.pid, &mut self.unread);
            let is_readable = readable(&self.stdout, end);
            assert!(is_readable, "{pid} writes nothing; so far {unread:?}");
            match self.stdout.read(&mut chunk) {
                Ok(0) => panic!("{pid} has closed its output; so far {unread:?}"),
                Ok(length) => unread.extend_from_slice(&chunk[..length]),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::Interrupted, "{error}"),
            }
        }
    }

    fn await_ready(mut self) -> Self {
        let line = self.read_line();
        assert_eq!(line, "ready", "the first line of {}", self.pid);
        self
    }

    /// Waits until it has ended. Returns how it ended.
    #[track_caller]
    pub fn ending(&self) -> Ending {
        let has_ended = readable(&self.pidfd, Instant::now() + DEADLINE);
        assert!(has_ended, "{} is still alive", self.pid);
        let ending = self.look(Look::Only);
        ending.expect("a readable pidfd means an end")
    }

    pub fn has_ended(&self) -> bool {
        self.look(Look::Only).is_some()
    }

    #[track_caller]
    pub fn assert_killed_by(&self, signal: i32) {
        let (ending, killed) = (self.ending(), Ending::Killed(signal));
        assert_eq!(ending, killed, "the end of {}", self.pid);
    }

    #[track_caller]
    pub fn assert_exited_with(&self, status: i32) {
        let (ending, exited) = (self.ending(), Ending::Exited(status));
        assert_eq!(ending, exited, "the end of {}", self.pid);
    }

    /// Asserts that it has survived all signals sent until now. Only for victims that mostly sleep.
    #[track_caller]
    pub fn assert_alive(&self) {
        // A signal may kill after kill(2) has returned. If it sleeps and no signal is pending, it
        // has survived.
        eventually("the victim to be at rest", || {
            assert_eq!(self.look(Look::Only), None, "the end of {}", self.pid);
            match self.state() {
                'S' => self.pending() == 0,
                state => state == 'T',
            }
        });
    }

    /// Waits until it has this state of proc(5): `T` stopped, `S` asleep, `Z` a zombie.
    #[track_caller]
    pub fn assert_state(&self, state: char) {
        let what = format!("{} to be in state {state}", self.pid);
        eventually(&what, || self.state() == state);
    }

    /// A field of /proc/PID/status, or an empty string when the process is gone.
    pub fn status_field(&self, field: &str) -> String {
        status_field(self.pid, field)
    }

    fn state(&self) -> char {
        self.status_field("State").chars().next().unwrap_or('X')
    }

    fn pending(&self) -> u64 {
        let mask = |field| mask(self.pid, field);
        (mask("SigPnd") | mask("ShdPnd")) & !mask("SigBlk")
    }

    /// Waits for its end and reaps it. Afterwards its PID is free.
    #[track_caller]
    pub fn reap(&mut self) -> Ending {
        let ending = self.ending();
        self.look(Look::AndReap);
        self.reaped = true;
        ending
    }

    /// Kills and reaps it. Afterwards its PID is free.
    #[track_caller]
    pub fn kill(&mut self) {
        super::send(self.pid, Signal::SIGKILL);
        self.reap();
    }

    fn look(&self, look: Look) -> Option<Ending> {
        assert!(!self.reaped, "{} was reaped", self.pid);
        sys::ending(self.pid, look).expect("only reap() reaps a victim")
    }
}

impl Display for Victim {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        self.pid.fmt(formatter)
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        // Until it is reaped, its PID and that of its group are not reused.
        let pid = Pid::from_raw(self.pid);
        let end = if self.leads { killpg } else { kill };
        let _ = end(pid, Signal::SIGKILL);
        if readable(&self.pidfd, Instant::now() + DEADLINE) {
            self.look(Look::AndReap);
        }
    }
}

/// A field of /proc/PID/status, or an empty string when the process is gone.
pub fn status_field(pid: i32, field: &str) -> String {
    // A victim may have a name that is not UTF-8.
    let status = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_default().trim().to_owned()
}

/// A set of signals of /proc/PID/status; bit `n - 1` is signal `n`.
pub fn mask(pid: i32, field: &str) -> u64 {
    u64::from_str_radix(&status_field(pid, field), 16).unwrap_or(0)
}

#[track_caller]
pub fn killed(victims: impl IntoIterator<Item = impl Borrow<Victim>>, signal: i32) {
    for victim in victims {
        victim.borrow().assert_killed_by(signal);
    }
}

#[track_caller]
pub fn alive(victims: impl IntoIterator<Item = impl Borrow<Victim>>) {
    for victim in victims {
        victim.borrow().assert_alive();
    }
}

/// Waits until `fd` is readable; false if `end` comes first.
pub fn readable(fd: &impl AsFd, end: Instant) -> bool {
    loop {
        let left = PollTimeout::try_from(end.saturating_duration_since(Instant::now()));
        let polled = PollFd::new(fd.as_fd(), PollFlags::POLLIN);
        match poll(&mut [polled], left.expect("a short time")) {
            Err(nix::errno::Errno::EINTR) => {}
            ready => return ready.expect("poll of one descriptor") > 0,
        }
    }
}

/// A link to `program` under another name, in a directory that is removed with the value.
pub fn link(program: &Path, name: &str) -> (TempDir, PathBuf) {
    let dir = tempdir();
    let link = dir.path().join(name);
    std::os::unix::fs::symlink(program, &link).expect("a link in a fresh directory");
    (dir, link)
}
