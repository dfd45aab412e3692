//! Shared by all tests: the program under test, victims to send signals to, private PID namespaces,
//! terminals, and a way to skip a test that cannot run here.

mod call;
pub mod family;
mod namespace;
mod recorder;
mod roles;
pub mod strange;
mod sys;
mod terminal;
pub mod tokens;
mod victim;
mod workers;
mod zoo;

/// What many tests need: a module lists only what is its own.
pub mod prelude {
    pub use super::family::{Family, all_pids, children, is_dead, stat, stat_field, state};
    pub use super::strange::{
        Call, Held, Window, calls, calls_after, idle_thread, leaderless, may_trace,
    };
    pub use super::{
        DEADLINE, Done, Ending, IDLE, NOBODY, POLITE, Received, Recorder, Runs, SIGSEND, STUBBORN,
        TempDir, Terminal, Unprivileged, Victim, alive, back_date, copy, each, eventually, in_full,
        killed, link, mask, may_change_user, numbers, on_terminal, pidfd, piped, program,
        raw_sigsend, readable, redirected, rows, running_as_root, selects, send, sent_to, sh,
        side_by_side, sigsend, sigsend_as, skip, sorted, status_field, strace, table, tempdir,
        through, token, tool, unique, victim, words, worker,
    };
    pub use crate::cgroup::group::control_group;
    pub use crate::hidden::hide_processes;
    pub use crate::port::entered_network;
    pub use nix::libc;
    pub use nix::sys::signal::{Signal, kill};
    pub use nix::sys::wait::waitpid;
    pub use nix::unistd::Pid;
    pub use std::ffi::OsStr;
    pub use std::fs::{self, File};
    pub use std::net::TcpListener;
    pub use std::os::fd::OwnedFd;
    pub use std::os::unix::ffi::OsStrExt;
    pub use std::os::unix::fs::{PermissionsExt, symlink};
    pub use std::os::unix::process::{CommandExt, ExitStatusExt};
    pub use std::path::{Path, PathBuf};
    pub use std::process::{Command, Stdio};
    pub use std::time::{Duration, Instant};
    pub use std::{env, io, thread};

    pub(crate) use super::{background, call, contains, in_pid_namespace, needs, run, traced};
}

use std::env;
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::{Command as StdCommand, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use assert_cmd::Command;
use nix::fcntl::AT_FDCWD;
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;

pub use call::{
    Done, Runs, each, numbers, redirected, rows, selects, sent_to, sh, sh_of, sorted, through,
    token, tool, words,
};
pub(crate) use call::{background, call, contains, needs, run, traced};
pub(crate) use namespace::in_pid_namespace;
pub use namespace::{is_in_pid_namespace, keep_pids_small, kernel, reap_orphans};
pub use recorder::{Received, Recorder};
pub use sys::{Ending, pidfd};
pub use terminal::{Terminal, screen};
pub use victim::{
    Victim, VictimOptions, alive, killed, link, mask, readable, status_field, victim,
};
pub use workers::{side_by_side, worker};
pub use zoo::{POLITE, table};

/// Whether the long tests run in full, as in `.ci/run`, which sets `SIGSEND_FULL`: all rounds of the
/// storms, all faults, all lines of the fuzzer.
pub fn in_full() -> bool {
    env::var_os("SIGSEND_FULL").is_some()
}

/// How long a test waits for something that should happen at once. Long enough for a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub const NOBODY: u32 = 65534;

/// Shell code that waits and runs its traps at once. It ends after two minutes or eight signals.
pub const IDLE: &str = "for i in 1 2 3 4 5 6 7 8; do sleep 15 & wait; done";

/// Ignores TERM and HUP; ends with its standard input.
pub const STUBBORN: &str = "trap '' TERM HUP; echo ready; while read line; do :; done";

/// The path of the program under test: the last of [`BUILDS`].
pub static SIGSEND: LazyLock<&str> = LazyLock::new(|| BUILDS.last().expect("never empty"));

/// The builds that `SIGSEND_BIN` names (paths with colons between), or the one that cargo has made.
pub static BUILDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let named = env::var("SIGSEND_BIN").unwrap_or_default();
    let named = Some(named).filter(|paths| !paths.is_empty());
    let paths = named.unwrap_or_else(|| env!("CARGO_BIN_EXE_sigsend").to_owned());
    let paths = paths.leak().split(':');
    paths.filter(|path| !path.is_empty()).collect()
});

/// The program under test in a clean, fixed environment, with no signal ignored; killed if it
/// hangs.
pub fn sigsend() -> Command {
    Command::from_std(raw_sigsend()).timed()
}

/// The same as std's type, to spawn it or to redirect it.
pub fn raw_sigsend() -> StdCommand {
    raw(*SIGSEND)
}

/// The same for another build of the program under test.
pub fn raw(program: impl AsRef<OsStr>) -> StdCommand {
    clean(StdCommand::new(program))
}

pub fn sigsend_as(argv0: &str) -> Command {
    let mut command = raw_sigsend();
    command.arg0(argv0);
    Command::from_std(command).timed()
}

/// sigsend with this on its standard input, a pipe.
pub fn piped(input: impl Into<Vec<u8>>) -> Command {
    let mut command = sigsend();
    command.write_stdin(input);
    command
}

/// sigsend run by an unprivileged user, from a copy that this user can execute. Needs
/// [`may_change_user`].
pub struct Unprivileged {
    dir: TempDir,
}

impl Unprivileged {
    pub fn new() -> Self {
        Self::of(*SIGSEND)
    }

    /// Makes the copy of this build, which is removed with the value.
    pub fn of(build: &str) -> Self {
        let dir = tempdir();
        copy(build, &dir.path().join("sigsend"));
        Self { dir }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("sigsend")
    }

    pub fn sigsend(&self) -> Command {
        let mut command = clean(StdCommand::new(self.path()));
        command.uid(NOBODY).gid(NOBODY);
        Command::from_std(command).timed()
    }
}

/// Copies a program by another process: a child of another thread could inherit a descriptor that
/// is open for writing here, and exec would fail with ETXTBSY.
pub fn copy(program: impl AsRef<OsStr>, to: &Path) {
    let copied = StdCommand::new("cp").arg(program).arg(to).status();
    assert!(copied.expect("cp starts").success());
}

/// Gives a command the deadline of all tests.
pub trait Timed {
    fn timed(self) -> Self;
}

impl Timed for Command {
    fn timed(mut self) -> Self {
        self.timeout(DEADLINE);
        self
    }
}

/// A command in a clean, fixed environment, with no signal ignored.
pub fn clean(mut command: StdCommand) -> StdCommand {
    command.env_clear();
    command.env("PATH", env::var_os("PATH").unwrap_or_default());
    command.env("LC_ALL", "C").env("TERM", "dumb");
    command.current_dir("/");
    sys::start_with_defaults(&mut command);
    command
}

/// Whether the program under test needs a dynamic linker, as a build with other flags than
/// .cargo/config.toml has: the path of the linker is near the start of the file (elf(5)).
pub fn is_dynamic() -> bool {
    let mut start = [0; 4096];
    let read = File::open(*SIGSEND).and_then(|mut file| file.read_exact(&mut start));
    read.expect("the program under test");
    start.windows(4).any(|window| window == b"/ld-")
}

/// What `sigsend args` writes to a terminal with this many columns, with the line ends of the
/// program.
pub fn on_terminal(columns: u16, args: &[&str]) -> String {
    let mut command = raw_sigsend();
    command.args(args).stdin(Stdio::null());
    command.stderr(Stdio::null());
    shown_on_terminal(columns, command, StdCommand::stdout).replace("\r\n", "\n")
}

/// What a command writes to a terminal with this many columns, which becomes its standard output or
/// its standard error.
pub fn shown_on_terminal(
    columns: u16,
    mut command: StdCommand,
    stream: fn(&mut StdCommand, OwnedFd) -> &mut StdCommand,
) -> String {
    let pty = openpty(&terminal::winsize(50, columns), None).expect("a pseudo-terminal");
    let child = stream(&mut command, pty.slave).spawn();
    let mut child = child.expect("sigsend starts");
    // The command holds the other side open, so there would be no end of file.
    drop(command);
    let mut written = Vec::new();
    // A terminal whose other side was closed ends with EIO.
    let end = File::from(pty.master).read_to_end(&mut written);
    assert!(end.is_ok() || end.is_err_and(|error| error.raw_os_error() == Some(nix::libc::EIO)));
    child.wait().expect("sigsend ends");
    String::from_utf8(written).expect("UTF-8")
}

pub struct Trace {
    pub done: Done,
    pub pid: String,
    /// The selected system calls of its main thread, one per line, without the PID in front.
    pub calls: Vec<String>,
}

/// Runs `sigsend LINE` under `strace -f -e expression`. Needs [`strange::may_trace`].
pub fn strace(expression: &str, line: &str) -> Trace {
    strace_of(*SIGSEND, expression, line)
}

/// The same for another build of the program under test.
pub fn strace_of(traced: impl AsRef<OsStr>, expression: &str, line: &str) -> Trace {
    let dir = tempdir();
    let log = dir.path().join("strace");
    let mut command = tool(&format!("strace -f -qq -e signal=none -e {expression} -o"));
    command.arg(&log).arg(traced).args(words(line));
    let output = Command::from_std(command).timed().output();
    let done = Done::of(line, output.expect("strace starts"));
    let log = fs::read_to_string(log).expect("strace writes its log");
    let lines = log.lines().filter_map(|line| line.split_once(' '));
    let pid = lines.clone().next().map_or("", |(pid, _call)| pid);
    let pid = pid.to_owned();
    let own = lines.filter(|(thread, _call)| *thread == pid);
    let calls = own.map(|(_thread, call)| call.trim_start().to_owned());
    let calls = calls.filter(|call| !call.starts_with("+++")).collect();
    Trace { done, pid, calls }
}

/// Reports on standard error, bypassing the capture of the test harness, that a test cannot run
/// here.
#[track_caller]
pub fn skip(reason: impl Display) {
    let thread = thread::current();
    let named = thread.name().filter(|name| *name != "main");
    let inside = env::var(namespace::INSIDE).ok();
    let test = inside.or(named.map(str::to_owned));
    let test = test.unwrap_or_else(|| Location::caller().to_string());
    write_stderr(&format!("skipped: {test}: {reason}"));
}

fn write_stderr(line: &str) {
    // In one write, so that lines of parallel tests are not mixed.
    let written = io::stderr().write_all(format!("{line}\n").as_bytes());
    written.expect("standard error can be written");
}

/// Sends a signal to a process that the test has started and that is not reaped.
#[track_caller]
pub fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap_or_else(|error| panic!("signalling {pid}: {error}"));
}

/// Whether the tests run as root in this namespace.
pub fn running_as_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether a child can become another user: root can, unless the user namespace maps no other user.
pub fn may_change_user() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let ranges = map.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().map(str::parse::<u32>);
        Some((fields.next()?.ok()?, fields.nth(1)?.ok()?))
    });
    let is_mapped = |(first, count): (u32, u32)| NOBODY.wrapping_sub(first) < count;
    running_as_root() && ranges.into_iter().any(is_mapped)
}

/// The path of a program of this system, or `None` when it is not installed.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let is_program = |data: fs::Metadata| data.is_file() && data.permissions().mode() & 1 == 1;
    let runs = |file: &PathBuf| file.metadata().is_ok_and(is_program);
    dirs.map(|dir| dir.join(name)).find(runs)
}

/// Waits for a condition; fails if it is not true by [`DEADLINE`].
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "timed out waiting for {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sets the modification time of a file to `age` ago.
pub fn back_date(path: &Path, age: Duration) {
    let then = (SystemTime::now() - age).duration_since(SystemTime::UNIX_EPOCH);
    let then = TimeSpec::from_duration(then.expect("after 1970"));
    let set = utimensat(AT_FDCWD, path, &then, &then, UtimensatFlags::FollowSymlink);
    set.expect("the file is ours");
}

/// A directory that every user can read. Removed on drop.
pub struct TempDir(PathBuf);

pub fn tempdir() -> TempDir {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // PIDs repeat between PID namespaces, so a name may be taken; making the directory decides.
        let path = env::temp_dir().join(format!("sigsend-test-{}-{count}", std::process::id()));
        match fs::DirBuilder::new().mode(0o755).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                made.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                return TempDir(path);
            }
        }
    }
}

/// A name, or a text of a command line, that no other process of this machine has, and that is no
/// part of another one.
pub fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("f{}-{count}.", std::process::id())
}

impl TempDir {
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it and returns the path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// The same; returns the path as an argument.
    pub fn arg(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        self.file(name, content).display().to_string()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
