//! Signal handlers, dispositions and masks of the victims.
#![expect(unsafe_code, reason = "signal dispositions have no safe form")]

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::time::Duration;

use nix::libc;

use super::roles::{Habit, MOVING, Place};
use super::victim::{Slot, exit_now};

/// The lifetime of a child that a handler forks.
const CHILD_LIFETIME: Duration = Duration::from_millis(30);

static COUNTS: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// What the handlers of this victim do besides counting, and the slot for the PID that they fork.
static REACTION: OnceLock<(Reaction, &Slot)> = OnceLock::new();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    None,
    Move(Place),
    Fork,
    Escape,
}

extern "C" fn count(signal: libc::c_int, from: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo to a handler installed with SA_SIGINFO.
    let code = unsafe { (*from).si_code };
    let counts = COUNTS.load(Ordering::Relaxed);
    // A positive code is set by the kernel (a child ended, a group was orphaned).
    if let Ok(index) = usize::try_from(signal)
        && code <= 0
        && !counts.is_null()
    {
        // SAFETY: `counts` points at an array of SIGNALS counters that lives as long as the
        // process.
        unsafe { (*counts.add(index)).fetch_add(1, Ordering::Relaxed) };
        react(signal);
    }
    if signal == libc::SIGCONT {
        escape();
    }
}

/// Moves to another group or session, or forks and exits, if the signal is one of those that do.
fn react(signal: libc::c_int) {
    let Some((reaction, slot)) = REACTION.get() else {
        return;
    };
    // SAFETY: system calls; the process has one thread, which does nothing but wait for signals.
    unsafe {
        match reaction {
            Reaction::Move(Place::Group) if MOVING.contains(&signal) => {
                libc::setpgid(0, 0);
            }
            Reaction::Move(_) if MOVING.contains(&signal) => {
                libc::setsid();
            }
            Reaction::Fork if signal == libc::SIGTERM => {
                let forked = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
                if forked == 0 {
                    // All signals are blocked: this is a handler.
                    slot.forked.store(libc::getpid(), Ordering::Release);
                    std::thread::sleep(CHILD_LIFETIME);
                    exit_now(0)
                }
                let forked = i32::try_from(forked).unwrap_or(0);
                slot.forked.store(forked, Ordering::Release);
                exit_now(0)
            }
            _ => {}
        }
    }
}

/// Forks a process that leaves the family, once, if that is what the victim does.
fn escape() {
    let Some((Reaction::Escape, slot)) = REACTION.get() else {
        return;
    };
    if slot.forked.load(Ordering::Acquire) != 0 {
        return;
    }
    let flags = libc::SIGCHLD | libc::CLONE_PARENT_SETTID;
    // SAFETY: without CLONE_VM this is a fork; the kernel stores the PID in the slot before the child
    // runs, which only makes system calls.
    unsafe {
        if libc::syscall(libc::SYS_clone, flags, 0, slot.forked.as_ptr(), 0, 0) == 0 {
            libc::setsid();
            loop {
                libc::pause();
            }
        }
    }
}

/// Sets the dispositions of the habit.
pub fn set_dispositions(slot: &'static Slot, habit: Habit) {
    COUNTS.store(slot.counts.as_ptr().cast_mut(), Ordering::Relaxed);
    let reaction = match habit {
        Habit::Moves(place) => Reaction::Move(place),
        Habit::Forks => Reaction::Fork,
        Habit::Escapes => Reaction::Escape,
        _ => Reaction::None,
    };
    if reaction != Reaction::None {
        let set = REACTION.set((reaction, slot));
        set.expect("a victim has one habit");
    }
    for signal in 1..=64 {
        let caught = match habit {
            Habit::Records { caught } => caught & 1 << (signal - 1) != 0,
            habit => habit.counts() && !matches!(signal, 32 | 33),
        };
        let ignored = habit == Habit::Ignores;
        // SAFETY: zeros are a valid sigaction; `count` is async-signal-safe. The kernel refuses
        // KILL and STOP.
        unsafe {
            if caught {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = count as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
                libc::sigfillset(&raw mut action.sa_mask);
                libc::sigaction(signal, &raw const action, ptr::null_mut());
            } else {
                // libc refuses 32 and 33, the kernel does not: handler, flags, restorer, mask.
                let action = [
                    if ignored {
                        libc::SIG_IGN
                    } else {
                        libc::SIG_DFL
                    },
                    0,
                    0,
                    0,
                ];
                let (new, old) = (action.as_ptr(), ptr::null_mut::<usize>());
                libc::syscall(libc::SYS_rt_sigaction, signal, new, old, 8);
            }
        }
    }
}

/// Calls `start` with no signal blocked, for a process that must not inherit the harness's mask.
pub fn with_open_mask<T>(start: impl FnOnce() -> T) -> T {
    block(0);
    let started = start();
    block(u64::MAX);
    started
}

pub fn block(mask: u64) {
    let (call, old) = (libc::SYS_rt_sigprocmask, ptr::null_mut::<u64>());
    // SAFETY: the kernel reads eight bytes. The raw call, since libc's leaves 32 and 33 alone.
    let set = unsafe { libc::syscall(call, libc::SIG_SETMASK, &raw const mask, old, 8) };
    assert_eq!(set, 0);
}
