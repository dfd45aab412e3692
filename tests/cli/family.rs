//! `Family`: a victim with descendants that no shell can make (storms, vfork parents, rows of thousands), and the proof
//! that all of them are gone. It is this test binary once more, with one test that does nothing unless it is given a role.
#![expect(unsafe_code, reason = "fork and clone, which std does not offer, with nothing but system calls behind them")]

use std::env;
use std::ffi::{c_int, c_void};
use std::io::{PipeReader, Read, Write, pipe};
use std::ops::{Deref, DerefMut};
use std::os::fd::AsFd;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::support::{DEADLINE, NOBODY, Victim, victim};

/// Gives a test binary a role: its name and numbers, with blanks between.
const ROLE: &str = "SIGSEND_TEST_ROLE";

/// A victim in a group of its own, and all that it forks: whoever lives holds the other end of `lifeline`,
/// which is their standard error.
pub struct Family {
    head: Victim,
    lifeline: PipeReader,
    said: String,
}

impl Family {
    /// A family whose head runs this script, which has to `echo ready`.
    #[track_caller]
    pub fn shell(script: &str) -> Self {
        Self::of(|command| victim().command(command), shell(script))
    }

    /// The same as members of somebody's group, of whom only the head is killed at the end of the test.
    #[track_caller]
    pub fn shell_in_group_of(leader: &Victim, script: &str) -> Self {
        Self::of(|command| victim().in_group_of(leader).command(command), shell(script))
    }

    /// A family of this kind; the roles are at the end of this file.
    #[track_caller]
    pub fn playing(role: &str) -> Self {
        Self::of(|command| victim().command(command), player(role))
    }

    /// The same as members of somebody's group, of whom only the head is killed at the end of the test.
    #[track_caller]
    pub fn playing_in_group_of(leader: &Victim, role: &str) -> Self {
        Self::of(|command| victim().in_group_of(leader).command(command), player(role))
    }

    #[track_caller]
    fn of(start: impl FnOnce(Command) -> Victim, mut command: Command) -> Self {
        let (lifeline, other_end) = pipe().expect("a pipe");
        command.stderr(other_end);
        let mut head = start(command);
        while head.read_line() != "ready" {}
        Self { head, lifeline, said: String::new() }
    }

    /// The next line that a member says; `None` when none of them is left alive.
    #[track_caller]
    pub fn next_word(&mut self) -> Option<String> {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(length) = self.said.find('\n') {
                return Some(self.said.drain(..=length).take(length).collect());
            }
            let left = PollTimeout::try_from(end.saturating_duration_since(Instant::now())).expect("a short time");
            match poll(&mut [PollFd::new(self.lifeline.as_fd(), PollFlags::POLLIN)], left) {
                Err(Errno::EINTR) => continue,
                ready => assert!(ready.expect("poll") > 0, "the family of {} lives and says nothing", self.head.pid()),
            }
            let mut chunk = [0; 4096];
            let length = self.lifeline.read(&mut chunk).expect("a pipe can be read");
            if length == 0 {
                return None;
            }
            self.said += str::from_utf8(&chunk[..length]).expect("families speak UTF-8");
        }
    }

    /// Nobody of the family is left alive; what its members had to say before that.
    #[track_caller]
    pub fn assert_extinct(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next_word()).collect()
    }

    /// Lets a storm fork so many times more while the test goes on, one fork every tenth of a millisecond at most: whoever is
    /// first to take a byte from the pipe forks, and there is never more than one to be had. Ends when nobody is left to take it.
    #[track_caller]
    pub fn rage(&self, forks: usize) -> JoinHandle<()> {
        let mut sky = self.head.stdin();
        // One page holds one packet.
        fcntl(&sky, FcntlArg::F_SETFL(OFlag::O_DIRECT)).expect("a pipe can carry packets");
        fcntl(&sky, FcntlArg::F_SETPIPE_SZ(4096)).expect("an empty pipe can be small");
        thread::spawn(move || {
            let mut forks = 0..forks;
            while forks.next().is_some() && sky.write_all(b"!").is_ok() {
                nap(100);
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

fn player(role: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("a running test has a path"));
    command.args(["--exact", "family::plays_when_asked", "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command
}

/// The children of all threads of a process.
pub fn children(pid: i32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_whitespace().map(|pid| pid.parse().expect("a PID")).collect::<Vec<_>>()).collect()
}

/// The state letter of proc(5), `X` for a process that does not exist.
pub fn state(pid: i32) -> char {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    stat.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next()).unwrap_or('X')
}

#[test]
fn plays_when_asked() {
    let Ok(role) = env::var(ROLE) else { return };
    let words: Vec<&str> = role.split(' ').collect();
    let number = |index: usize| words[index].parse::<u32>().expect("a number");
    match words[0] {
        "storm" => storm(),
        "daemons" => daemons(),
        "catching-storm" => {
            catch(libc::SIGTERM, told);
            storm();
        }
        "row" => row(number(1)),
        "catching-row" => {
            catch(libc::SIGTERM, told);
            row(number(1));
        }
        "chain" => chain(number(1)),
        "nursery" => nursery(number(1), number(2)),
        "foreign-nursery" => foreign_nursery(number(1), number(2)),
        "threads" => forking_thread(),
        "vfork" => vfork_parent(),
        role => panic!("no such role: {role}"),
    }
}

/// Whoever finds a byte on standard input forks a child, which does the same; all of them stay. What [`Family::rage`] hands out is the
/// bound, since root is exempt from `RLIMIT_NPROC`. Each says `born PID`; whoever is told to stop says `told PID` and forks no more.
fn storm() -> ! {
    ready();
    let mut byte = 0_u8;
    // SAFETY: one byte that is ours. A read that a handler interrupts is begun again.
    while unsafe { libc::read(0, (&raw mut byte).cast(), 1) } == 1 && !TOLD.load(Ordering::Relaxed) {
        if fork() == Side::Child {
            say("born");
        }
    }
    stay()
}

/// The same for a storm that no tree holds: whoever is born has a session of its own, and a parent that has exited.
fn daemons() -> ! {
    ready();
    let mut byte = 0_u8;
    // SAFETY: one byte that is ours.
    while unsafe { libc::read(0, (&raw mut byte).cast(), 1) } == 1 {
        if fork() == Side::Child {
            // SAFETY: takes nothing.
            unsafe { libc::setsid() };
            if fork() == Side::Parent {
                leave();
            }
            say("born");
        } else {
            // SAFETY: the status is not wanted.
            unsafe { libc::wait(ptr::null_mut()) };
        }
    }
    stay()
}

/// So many children that stay, told of as `born PID`.
fn row(count: u32) -> ! {
    for _ in 0..count {
        if fork() == Side::Child {
            say("born");
            stay();
        }
    }
    ready();
    stay()
}

/// A child of a child of a child …, so many levels deep; the deepest one says that all are there.
fn chain(depth: u32) -> ! {
    for _ in 0..depth {
        if fork() == Side::Parent {
            stay();
        }
    }
    ready();
    stay()
}

/// Always so many children, each of which lives so many microseconds; HUP and TERM change nothing.
fn nursery(count: u32, life: u32) -> ! {
    catch(libc::SIGHUP, ignore);
    catch(libc::SIGTERM, ignore);
    let mut living = 0;
    loop {
        while living < count {
            if fork() == Side::Child {
                nap(life);
                leave();
            }
            living += 1;
            if living == count {
                ready();
            }
        }
        // SAFETY: the status is not wanted.
        living -= u32::from(unsafe { libc::wait(ptr::null_mut()) } > 0);
    }
}

/// One's own child with a nursery, which a user without rights, as whom one goes on, may not signal.
fn foreign_nursery(count: u32, life: u32) -> ! {
    if fork() == Side::Child {
        nursery(count, life);
    }
    // SAFETY: takes integers only.
    let done = unsafe { libc::setgid(NOBODY) | libc::setuid(NOBODY) };
    assert_eq!(done, 0, "only root can become somebody else");
    stay()
}

/// A child that a second thread has forked.
fn forking_thread() -> ! {
    thread::spawn(|| {
        if fork() == Side::Child {
            ready();
        }
        stay()
    });
    stay()
}

/// A child blocked in vfork(2), whose child shares its memory until a line comes on standard input. Both of them stay.
fn vfork_parent() -> ! {
    extern "C" fn borrower(_: *mut c_void) -> c_int {
        ready();
        let mut byte = 0_u8;
        // SAFETY: one byte that is ours.
        unsafe { libc::read(0, (&raw mut byte).cast(), 1) };
        0
    }
    if fork() == Side::Child {
        let mut stack = vec![0_u8; 1 << 16];
        let top = stack.as_mut_ptr_range().end;
        // SAFETY: the new process runs on a stack of its own, which lives as long as this one is blocked.
        unsafe {
            libc::clone(borrower, top.cast(), libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD, ptr::null_mut())
        };
        say("free");
    }
    stay()
}

static TOLD: AtomicBool = AtomicBool::new(false);

extern "C" fn told(_: c_int) {
    TOLD.store(true, Ordering::Relaxed);
    say("told");
}

extern "C" fn ignore(_: c_int) {}

fn catch(signal: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: the handlers of this file are async-signal-safe. signal(3) restarts system calls.
    unsafe { libc::signal(signal, handler as *const () as libc::sighandler_t) };
}

#[derive(PartialEq, Eq)]
enum Side {
    Parent,
    Child,
}

/// Forks; a refusal counts as the parent's side, since a storm has to bear it.
fn fork() -> Side {
    // SAFETY: the child of this many-threaded process only ever makes system calls.
    if unsafe { libc::fork() } == 0 { Side::Child } else { Side::Parent }
}

fn stay() -> ! {
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::pause() };
    }
}

fn leave() -> ! {
    // SAFETY: ends this process without running anything of its parent's.
    unsafe { libc::_exit(0) }
}

fn nap(microseconds: u32) {
    // SAFETY: takes an integer.
    unsafe { libc::usleep(microseconds) };
}

/// `WORD PID` on the lifeline, in one write and without allocating, so that a handler may say it too.
fn say(word: &str) {
    let mut line = [0; 32];
    let mut rest = &mut line[..];
    // SAFETY: takes nothing.
    let _ = writeln!(rest, "{word} {}", unsafe { libc::getpid() });
    let length = 32 - rest.len();
    write(2, &line[..length]);
}

fn ready() {
    // The harness has begun a line of its own.
    write(1, b"\nready\n");
}

fn write(fd: c_int, bytes: &[u8]) {
    // SAFETY: the bytes are alive and that many.
    unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
}
