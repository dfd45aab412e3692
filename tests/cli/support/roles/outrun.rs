//! Members that run again although they were stopped, and then leave their tree by forking.
//!
//! The kernel sends HUP and CONT to a stopped process group when it becomes orphaned (setpgid(2)):
//! when the last member dies that has a parent in another group of the session, or that parent. The
//! roles bring a group into this state by the KILLs to the tree itself.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::libc;
use nix::sys::signal::Signal;

use super::{Side, catch, exit_now, fork, ignore, ready, report, stay};

/// Runs the role of this name, with `idle` members that do nothing in each of its groups.
pub fn run(name: &str, idle: u32) -> ! {
    match name {
        "tied-by-a-grandchild" => tied_by_a_grandchild(idle, Plain),
        "circle-of-groups" => tied_by_a_grandchild(idle, Escapes),
        "tied-by-its-parent" => tied_by_its_parent(idle),
        "tied-by-another-tree" => tied_by_another_tree(idle),
        "told-of-its-parent" => told_of_its_parent(idle),
        // The number is that of the processes.
        "hops" => hops(idle),
        // The numbers are those of the escapes.
        "escapes" => escapes(idle, Way::SameGroup),
        "escapes-to-a-session" => escapes(idle, Way::Session),
        "escapes-beside" => escapes(idle, Way::Sibling),
        role => panic!("no such role: {role}"),
    }
}

/// What a member does when it is continued.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awake {
    Plain,
    Escapes,
}
use Awake::{Escapes, Plain};

/// How a process leaves its tree.
#[derive(Clone, Copy)]
enum Way {
    /// It is forked by a child that exits.
    SameGroup = 1,
    /// The same, and it leads a session of its own.
    Session,
    /// It is a sibling of the process that forks it (`CLONE_PARENT`), in a session of its own.
    Sibling,
}

/// How often a member that is continued escapes, and how.
static ESCAPES: AtomicU32 = AtomicU32::new(100);
static WAY: AtomicU32 = AtomicU32::new(Way::Session as u32);

impl Awake {
    fn install(self) {
        if self == Escapes {
            catch(Signal::SIGHUP, ignore);
            catch(Signal::SIGCONT, escape);
        } else {
            // SAFETY: the default action is no handler.
            unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) };
            // SAFETY: as above.
            unsafe { libc::signal(libc::SIGCONT, libc::SIG_DFL) };
        }
    }
}

/// A session leader that escapes, M1; its child P in another group; P's child M2, which joins the
/// leader's group and is all that keeps it from being orphaned. If P escapes, too, the groups form a
/// circle: P's hangs on M1.
fn tied_by_a_grandchild(idle: u32, parent: Awake) -> ! {
    child(|| {
        let group = new_session();
        Escapes.install();
        crowd(idle);
        child(|| {
            own_group();
            parent.install();
            crowd(idle);
            child(|| {
                Plain.install();
                join(group);
                crowd(idle);
                ready();
            });
        });
    });
    stay()
}

/// A session leader; its child leads a group that hangs on it, and escapes.
fn tied_by_its_parent(idle: u32) -> ! {
    child(|| {
        new_session();
        crowd(idle);
        child(|| {
            own_group();
            Escapes.install();
            crowd(idle);
            ready();
        });
    });
    stay()
}

/// Two trees in one group, which hangs on the first one; the root of the second one escapes. The
/// head and a session leader are in no tree. Reports `root PID` for both.
fn tied_by_another_tree(idle: u32) -> ! {
    child(|| {
        new_session();
        child(|| {
            own_group();
            report("root");
            if fork() == Side::Child {
                child(|| {
                    Escapes.install();
                    crowd(idle);
                    report("root");
                    ready();
                });
                exit_now();
            }
            // SAFETY: the status is not wanted.
            unsafe { libc::wait(ptr::null_mut()) };
        });
    });
    stay()
}

/// A child in the same group, and one in another group, each of which gets CONT when its parent dies
/// (prctl(2)).
fn told_of_its_parent(idle: u32) -> ! {
    let told = || {
        // SAFETY: takes integers.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGCONT) };
        Escapes.install();
        crowd(idle);
    };
    child(|| {
        told();
        child(|| {
            own_group();
            told();
            ready();
        });
    });
    stay()
}

/// After a byte on standard input, forks this many processes one after another, each the parent of the next one, and exits itself
/// first.
fn hops(count: u32) -> ! {
    ready();
    let mut byte = 0_u8;
    // SAFETY: one byte that is ours.
    unsafe { libc::read(0, (&raw mut byte).cast(), 1) };
    for _ in 0..count {
        if fork() == Side::Parent {
            exit_now();
        }
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    exit_now()
}

/// A process that escapes this many times when it is continued, and reports `escaped PID`.
fn escapes(times: u32, way: Way) -> ! {
    ESCAPES.store(times, Ordering::Relaxed);
    WAY.store(way as u32, Ordering::Relaxed);
    Escapes.install();
    ready();
    stay()
}

/// Forks processes that leave the tree, one after another, and is blocked in vfork(2) meanwhile.
extern "C" fn escape(_: c_int) {
    extern "C" fn intermediate(_: *mut c_void) -> c_int {
        if WAY.load(Ordering::Relaxed) != Way::SameGroup as u32 {
            new_session();
        }
        if raw_fork(0) == 0 {
            report("escaped");
            stay();
        }
        exit_now()
    }
    static mut STACK: [u8; 1 << 14] = [0; 1 << 14];
    for _ in 0..ESCAPES.load(Ordering::Relaxed) {
        if WAY.load(Ordering::Relaxed) == Way::Sibling as u32 {
            if raw_fork(libc::CLONE_PARENT) == 0 {
                new_session();
                report("escaped");
                stay();
            }
            continue;
        }
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the new process runs on the static stack, and this one is blocked until it has
        // exited.
        unsafe {
            let top = (&raw mut STACK).add(1);
            libc::clone(intermediate, top.cast(), flags, ptr::null_mut());
        }
    }
}

/// fork(2) without the handlers of the C library, which a signal handler must not run.
fn raw_fork(flags: c_int) -> libc::c_long {
    // SAFETY: without CLONE_VM this is a fork; the child only ever makes system calls.
    unsafe { libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD, 0, 0, 0, 0) }
}

fn child(role: impl FnOnce()) {
    if fork() == Side::Child {
        role();
        stay();
    }
}

/// Children that do nothing when they are continued.
fn crowd(count: u32) {
    for _ in 0..count {
        child(|| Plain.install());
    }
}

/// Makes this process a session leader. Returns its group.
fn new_session() -> libc::pid_t {
    // SAFETY: takes nothing.
    unsafe { libc::setsid() }
}

fn own_group() {
    join(0);
}

fn join(group: libc::pid_t) {
    // SAFETY: takes integers.
    let joined = unsafe { libc::setpgid(0, group) };
    assert_eq!(joined, 0, "a group of this session");
}
