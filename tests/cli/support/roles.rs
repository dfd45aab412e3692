//! What the test binary itself does as another process, which no shell can do: it records signals,
//! forks in storms, runs without its main thread. The environment gives it its role.
#![expect(
    unsafe_code,
    reason = "fork, clone and signal handlers, followed by nothing but system calls"
)]

mod blocked;
mod outrun;
mod sockets;

use std::env;
use std::ffi::{c_int, c_void};
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::{Command, id};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use nix::libc;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal, killpg, signal};
use nix::sys::wait::wait;
use nix::unistd::{Gid, Uid, getpgrp, gettid, pause, setgid, setresuid, setsid, setuid};

use super::{NOBODY, eventually, sys, tempdir};

/// The role of a test binary: its name and numbers, separated by blanks.
const ROLE: &str = "SIGSEND_TEST_ROLE";

/// The test binary, by itself or by a link to it, in a role.
pub fn player(role: &str, link: Option<&Path>) -> Command {
    let binary = env::current_exe().expect("a running test has a path");
    let mut command = Command::new(link.unwrap_or(&binary));
    let test = "support::roles::plays_its_role";
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role);
    command
}

#[test]
fn plays_its_role() {
    let Ok(role) = env::var(ROLE) else { return };
    let words: Vec<&str> = role.split(' ').collect();
    let number = |index: usize| words[index].parse::<u32>().expect("a number");
    // What it does on TERM.
    match words[0] {
        "catching-storm" | "catching-children" => catch(Signal::SIGTERM, report_term),
        "leaver" => catch(Signal::SIGTERM, leave_group),
        "catching-vfork" => catch(Signal::SIGTERM, ignore),
        "forks-on-term" => {
            CHILDREN_ON_TERM.store(number(1), Relaxed);
            catch(Signal::SIGTERM, fork_children);
        }
        "continuing-storm" => CONTINUES.store(true, Relaxed),
        _ => {}
    }
    match words[0] {
        "recorder" => record(words[1]),
        "leaderless" => run_without_main_thread(),
        "storm" | "catching-storm" | "continuing-storm" => storm(),
        "daemons" => daemons(),
        "children" | "catching-children" => keep_children(number(1)),
        "leaver" | "forks-on-term" => keep_children(0),
        "chain" => chain(number(1)),
        "short-lived" => short_lived(number(1), number(2)),
        "foreign-short-lived" => foreign_short_lived(number(1), number(2)),
        "becomes-root" => becomes_root(),
        "dumping-thread" => dumping_thread(),
        "threads" => forking_thread(),
        "vfork" | "catching-vfork" => vfork_parent(),
        "dies-of" => blocked::dies_of(number(1)),
        "not-dumpable" => blocked::not_dumpable(words[1]),
        "listens-in-a-thread" => sockets::in_a_thread(number(1)),
        "crowded" => sockets::crowded(number(1), number(2), number(3)),
        "unreadable" => blocked::unreadable(words[1], words[2]),
        role => outrun::run(role, number(1)),
    }
}

/// Catches every signal that can be caught and reports what has arrived, in the order of handling:
/// `open` handles each signal at once, `holding` at the next query. Formats without allocating: the
/// handler may interrupt anything.
fn record(mode: &str) {
    extern "C" fn record(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
        let (code, value) = sys::origin(info);
        write_line(1, format_args!("{signal} {code} {value}"));
    }
    let catchable =
        (1..=libc::SIGRTMAX()).filter(|n| ![libc::SIGKILL, libc::SIGSTOP, 32, 33].contains(n));
    catchable.for_each(|signal| sys::catch(signal, record).expect("a signal that can be caught"));
    // All threads start with every signal blocked. Only this one unblocks them, so they are handled
    // in the order of their delivery, and those that were sent before a query are handled before
    // it is read.
    if mode == "open" {
        sys::mask_all(libc::SIG_UNBLOCK);
    }
    ready();
    for _query in io::stdin().lock().lines() {
        if mode == "holding" {
            sys::mask_all(libc::SIG_UNBLOCK);
            sys::mask_all(libc::SIG_BLOCK);
        }
        write_line(1, format_args!("done"));
    }
}

/// Runs in a second thread after the main one has exited, until a line arrives on standard input.
fn run_without_main_thread() {
    extern "C" fn end_this_thread(_signal: c_int) {
        // SAFETY: the system call ends only the calling thread and does not return.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
    // The test harness owns the main thread, so that thread exits from a signal handler.
    catch(Signal::SIGUSR1, end_this_thread);
    // SAFETY: takes integers; the signal goes to the main thread of this very process.
    unsafe { libc::syscall(libc::SYS_tgkill, id(), id(), libc::SIGUSR1) };
    let state = || std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    eventually("the main thread to exit", || state().contains("State:\tZ"));
    write_line(1, format_args!("\nready {}", gettid()));
    let _ = io::stdin().lock().read_line(&mut String::new());
    // The exited main thread cannot be joined.
    exit_now();
}

/// A process that reads a byte from standard input forks a child, which does the same. None exits.
/// `Family::start_forking` limits the number, since root is exempt from `RLIMIT_NPROC`. Each
/// child reports `created PID`. With the TERM handler, each process reports `caught PID` and then
/// forks no more.
fn storm() -> ! {
    ready();
    while read_byte() && !GOT_TERM.load(Relaxed) {
        if fork() == Side::Child {
            report("created");
        }
        if CONTINUES.load(Relaxed) {
            // The group of the head contains only the family.
            let _ = killpg(getpgrp(), Signal::SIGCONT);
        }
    }
    stay()
}

/// The same with daemons: each new process has a session of its own and a parent that has exited,
/// so that it is not in the tree.
fn daemons() -> ! {
    ready();
    while read_byte() {
        if fork() == Side::Child {
            let _ = setsid();
            if fork() == Side::Parent {
                exit_now();
            }
            report("created");
        } else {
            let _ = wait();
        }
    }
    stay()
}

/// Whether each member of a storm sends CONT to all others after each fork.
static CONTINUES: AtomicBool = AtomicBool::new(false);

/// Forks `count` children, which report `created PID` and stay.
fn keep_children(count: u32) -> ! {
    for _ in 0..count {
        if fork() == Side::Child {
            report("created");
            stay();
        }
    }
    ready();
    stay()
}

/// A chain of children, `depth` levels deep. The deepest one reports that the chain is complete.
fn chain(depth: u32) -> ! {
    for _ in 0..depth {
        if fork() == Side::Parent {
            stay();
        }
    }
    ready();
    stay()
}

/// Keeps `count` children, each of which lives `life` microseconds. HUP and TERM have no effect.
fn short_lived(count: u32, life: u32) -> ! {
    catch(Signal::SIGHUP, ignore);
    catch(Signal::SIGTERM, ignore);
    let mut living = 0;
    loop {
        while living < count {
            if fork() == Side::Child {
                thread::sleep(Duration::from_micros(life.into()));
                exit_now();
            }
            living += 1;
            if living == count {
                ready();
            }
        }
        living -= u32::from(wait().is_ok());
    }
}

/// A child with short-lived children, all of root. The parent becomes an unprivileged user, which
/// may not signal them.
fn foreign_short_lived(count: u32, life: u32) -> ! {
    if fork() == Side::Child {
        short_lived(count, life);
    }
    let changed = setgid(Gid::from_raw(NOBODY)).and(setuid(Uid::from_raw(NOBODY)));
    changed.expect("only root can change its user");
    stay()
}

fn forking_thread() -> ! {
    thread::spawn(|| {
        if fork() == Side::Child {
            ready();
        }
        stay()
    });
    stay()
}

/// A child blocked in vfork(2), whose child shares its memory until a line arrives on standard
/// input. Both stay.
fn vfork_parent() -> ! {
    extern "C" fn vfork_child(_: *mut c_void) -> c_int {
        ready();
        read_byte();
        0
    }
    if fork() == Side::Child {
        let mut stack = vec![0_u8; 1 << 16];
        let top = stack.as_mut_ptr_range().end;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the new process runs on a stack of its own, which exists as long as this process
        // is blocked.
        unsafe { libc::clone(vfork_child, top.cast(), flags, ptr::null_mut()) };
        report("free");
    }
    stay()
}

/// Leaves its process group for a session of its own, and reports it each time.
extern "C" fn leave_group(_: c_int) {
    // Only the first call succeeds.
    let _ = setsid();
    report("left");
}

/// NOBODY may signal this process until it gets TERM. Then it becomes root.
fn becomes_root() -> ! {
    let [root, nobody] = [0, NOBODY].map(Uid::from_raw);
    extern "C" fn become_root(_: c_int) {
        let root = Uid::from_raw(0);
        let _ = setresuid(root, root, root);
        report("root");
    }
    catch(Signal::SIGTERM, become_root);
    setresuid(nobody, nobody, root).expect("only root can do this");
    ready();
    stay()
}

static CHILDREN_ON_TERM: AtomicU32 = AtomicU32::new(0);

/// Forks `CHILDREN_ON_TERM` children, which ignore TERM and stay.
extern "C" fn fork_children(_: c_int) {
    for _ in 0..CHILDREN_ON_TERM.load(Relaxed) {
        if fork() == Side::Child {
            catch(Signal::SIGTERM, ignore);
            stay();
        }
    }
    report("forked");
}

/// A child whose second thread receives SEGV, so that a thread other than the first dumps the core.
/// The parent reaps it at once.
fn dumping_thread() -> ! {
    let home = tempdir();
    env::set_current_dir(home.path()).expect("the directory of the core");
    if fork() == Side::Child {
        // SAFETY: the default action needs no handler.
        let _ = unsafe { signal(Signal::SIGSEGV, SigHandler::SigDfl) };
        let endless = libc::RLIM_INFINITY;
        let _ = setrlimit(Resource::RLIMIT_CORE, endless, endless);
        let segv = SigSet::from(Signal::SIGSEGV);
        let _ = segv.thread_block();
        thread::spawn(move || {
            let _ = segv.thread_unblock();
            stay()
        });
        report("created");
        stay()
    }
    ready();
    let _ = wait();
    drop(home);
    stay()
}

static GOT_TERM: AtomicBool = AtomicBool::new(false);

extern "C" fn report_term(_: c_int) {
    GOT_TERM.store(true, Relaxed);
    report("caught");
}

extern "C" fn ignore(_: c_int) {}

fn catch(caught: Signal, handler: extern "C" fn(c_int)) {
    // SAFETY: the handlers of this file are async-signal-safe. signal(3) restarts system calls.
    let _ = unsafe { signal(caught, SigHandler::Handler(handler)) };
}

#[derive(PartialEq, Eq)]
enum Side {
    Parent,
    Child,
}

/// Forks. A failure counts as the parent's side, since a storm must tolerate it.
fn fork() -> Side {
    // SAFETY: the child of this many-threaded process only ever makes system calls.
    if unsafe { libc::fork() } == 0 {
        Side::Child
    } else {
        Side::Parent
    }
}

/// Takes a byte from standard input. A read that a handler interrupts is restarted.
fn read_byte() -> bool {
    nix::unistd::read(io::stdin(), &mut [0]) == Ok(1)
}

fn stay() -> ! {
    loop {
        pause();
    }
}

fn exit_now() -> ! {
    // SAFETY: ends this process without running its parent's exit handlers.
    unsafe { libc::_exit(0) }
}

/// Writes `WORD PID` to the lifeline.
fn report(word: &str) {
    write_line(2, format_args!("{word} {}", id()));
}

fn ready() {
    // The test harness has written an incomplete line.
    write_line(1, format_args!("\nready"));
}

/// Writes a line in one write and without allocating, so that a handler may call it.
fn write_line(fd: c_int, text: std::fmt::Arguments) {
    let mut line = [0; 64];
    let mut rest = &mut line[..];
    let _ = writeln!(rest, "{text}");
    let length = 64 - rest.len();
    // SAFETY: the first `length` bytes of `line` are alive; write(2) is async-signal-safe.
    unsafe { libc::write(fd, line.as_ptr().cast(), length) };
}
