//! The roles of family members. The environment gives a test binary its role.
#![expect(
    unsafe_code,
    reason = "fork and clone, which std does not offer, followed by nothing but system calls"
)]

use std::env;
use std::ffi::{c_int, c_void};
use std::io::Write;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use nix::libc;

use super::ROLE;
use crate::support::{NOBODY, tempdir};

#[test]
fn runs_role_when_asked() {
    let Ok(role) = env::var(ROLE) else { return };
    let words: Vec<&str> = role.split(' ').collect();
    let number = |index: usize| words[index].parse::<u32>().expect("a number");
    match words[0] {
        "storm" => storm(),
        "daemons" => daemons(),
        "catching-storm" => {
            catch(libc::SIGTERM, report_term);
            storm();
        }
        "children" => keep_children(number(1)),
        "catching-children" => {
            catch(libc::SIGTERM, report_term);
            keep_children(number(1));
        }
        "chain" => chain(number(1)),
        "short-lived" => short_lived(number(1), number(2)),
        "leaver" => {
            catch(libc::SIGTERM, leave_group);
            keep_children(0);
        }
        "becomes-root" => becomes_root(),
        "forks-on-term" => {
            CHILDREN_ON_TERM.store(number(1), Ordering::Relaxed);
            catch(libc::SIGTERM, fork_children);
            keep_children(0);
        }
        "continuing-storm" => {
            CONTINUES.store(true, Ordering::Relaxed);
            storm();
        }
        "dumping-thread" => dumping_thread(),
        "foreign-short-lived" => foreign_short_lived(number(1), number(2)),
        "threads" => forking_thread(),
        "vfork" => vfork_parent(),
        "catching-vfork" => {
            catch(libc::SIGTERM, ignore);
            vfork_parent();
        }
        role => panic!("no such role: {role}"),
    }
}

/// A process that reads a byte from standard input forks a child, which does the same. None exits.
/// [`Family::start_forking`] limits the number, since root is exempt from `RLIMIT_NPROC`. Each
/// child reports `created PID`. With the TERM handler, each process reports `caught PID` and then
/// forks no more.
fn storm() -> ! {
    ready();
    let mut byte = 0_u8;
    // SAFETY: one byte that is ours. A read that a handler interrupts is restarted.
    while unsafe { libc::read(0, (&raw mut byte).cast(), 1) } == 1
        && !GOT_TERM.load(Ordering::Relaxed)
    {
        let side = fork();
        if side == Side::Child {
            report("created");
        }
        if CONTINUES.load(Ordering::Relaxed) {
            // SAFETY: takes integers; the group of the head contains only the family.
            unsafe { libc::kill(-libc::getpgrp(), libc::SIGCONT) };
        }
    }
    stay()
}

/// The same with daemons: each new process has a session of its own and a parent that has exited,
/// so that it is not in the tree.
fn daemons() -> ! {
    ready();
    let mut byte = 0_u8;
    // SAFETY: one byte that is ours.
    while unsafe { libc::read(0, (&raw mut byte).cast(), 1) } == 1 {
        if fork() == Side::Child {
            // SAFETY: takes nothing.
            unsafe { libc::setsid() };
            if fork() == Side::Parent {
                exit_now();
            }
            report("created");
        } else {
            // SAFETY: the status is not wanted.
            unsafe { libc::wait(ptr::null_mut()) };
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
    catch(libc::SIGHUP, ignore);
    catch(libc::SIGTERM, ignore);
    let mut living = 0;
    loop {
        while living < count {
            if fork() == Side::Child {
                sleep_us(life);
                exit_now();
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

/// A child with short-lived children, all of root. The parent becomes an unprivileged user, which
/// may not signal them.
fn foreign_short_lived(count: u32, life: u32) -> ! {
    if fork() == Side::Child {
        short_lived(count, life);
    }
    // SAFETY: takes integers only.
    let done = unsafe { libc::setgid(NOBODY) | libc::setuid(NOBODY) };
    assert_eq!(done, 0, "only root can change its user");
    stay()
}

/// A child forked by a second thread.
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
        let mut byte = 0_u8;
        // SAFETY: one byte that is ours.
        unsafe { libc::read(0, (&raw mut byte).cast(), 1) };
        0
    }
    if fork() == Side::Child {
        let mut stack = vec![0_u8; 1 << 16];
        let top = stack.as_mut_ptr_range().end;
        // SAFETY: the new process runs on a stack of its own, which exists as long as this process
        // is blocked.
        unsafe {
            libc::clone(
                vfork_child,
                top.cast(),
                libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
                ptr::null_mut(),
            )
        };
        report("free");
    }
    stay()
}

/// Leaves its process group for a session of its own, and reports it each time.
extern "C" fn leave_group(_: c_int) {
    // SAFETY: takes nothing. Only the first call succeeds.
    unsafe { libc::setsid() };
    report("left");
}

/// NOBODY may signal this process until it gets TERM. Then it becomes root.
fn becomes_root() -> ! {
    extern "C" fn become_root(_: c_int) {
        // SAFETY: takes integers.
        unsafe { libc::setresuid(0, 0, 0) };
        report("root");
    }
    catch(libc::SIGTERM, become_root);
    // SAFETY: takes integers.
    let changed = unsafe { libc::setresuid(NOBODY, NOBODY, 0) };
    assert_eq!(changed, 0, "only root can do this");
    ready();
    stay()
}

static CHILDREN_ON_TERM: AtomicU32 = AtomicU32::new(0);

/// Forks `CHILDREN_ON_TERM` children, which ignore TERM and stay.
extern "C" fn fork_children(_: c_int) {
    for _ in 0..CHILDREN_ON_TERM.load(Ordering::Relaxed) {
        if fork() == Side::Child {
            catch(libc::SIGTERM, ignore);
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
        // SAFETY: the set is initialised by sigemptyset, and the new thread makes system calls
        // only.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGSEGV);
            let unblock = move || {
                libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut());
                stay()
            };
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
            let most = libc::rlimit {
                rlim_cur: libc::RLIM_INFINITY,
                rlim_max: libc::RLIM_INFINITY,
            };
            libc::setrlimit(libc::RLIMIT_CORE, &raw const most);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut());
            thread::spawn(unblock);
        }
        report("created");
        stay()
    }
    ready();
    // SAFETY: the status is not wanted.
    unsafe { libc::wait(ptr::null_mut()) };
    drop(home);
    stay()
}

static GOT_TERM: AtomicBool = AtomicBool::new(false);

extern "C" fn report_term(_: c_int) {
    GOT_TERM.store(true, Ordering::Relaxed);
    report("caught");
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

/// Forks. A failure counts as the parent's side, since a storm must tolerate it.
fn fork() -> Side {
    // SAFETY: the child of this many-threaded process only ever makes system calls.
    if unsafe { libc::fork() } == 0 {
        Side::Child
    } else {
        Side::Parent
    }
}

fn stay() -> ! {
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::pause() };
    }
}

fn exit_now() -> ! {
    // SAFETY: ends this process without running its parent's exit handlers.
    unsafe { libc::_exit(0) }
}

fn sleep_us(microseconds: u32) {
    // SAFETY: takes an integer.
    unsafe { libc::usleep(microseconds) };
}

/// Writes `WORD PID` to the lifeline, in one write and without allocating, so that a handler may
/// call it.
fn report(word: &str) {
    let mut line = [0; 32];
    let mut rest = &mut line[..];
    // SAFETY: takes nothing.
    let _ = writeln!(rest, "{word} {}", unsafe { libc::getpid() });
    let length = 32 - rest.len();
    write(2, &line[..length]);
}

fn ready() {
    // The test harness has written an incomplete line.
    write(1, b"\nready\n");
}

fn write(fd: c_int, bytes: &[u8]) {
    // SAFETY: the bytes are alive and that many.
    unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
}
