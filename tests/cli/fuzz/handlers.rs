//! Signal handlers, dispositions and masks of the victims.
#![expect(unsafe_code, reason = "signal dispositions have no safe form")]

use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use nix::sys::resource::{Resource, setrlimit};

use super::roles::{Habit, MOVING, Place};
use super::victim::Slot;
use crate::support::prelude::*;

static COUNTS: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

/// The group or session of its own that the handlers move this victim to.
static MOVES_TO: OnceLock<Place> = OnceLock::new();

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
        let place = MOVES_TO.get().filter(|_| MOVING.contains(&signal));
        // SAFETY: system calls, which take integers or nothing.
        unsafe {
            match place {
                Some(Place::Group) => _ = libc::setpgid(0, 0),
                Some(_) => _ = libc::setsid(),
                None => {}
            }
        }
    }
}

/// Sets the dispositions of the habit.
pub fn set_dispositions(slot: &'static Slot, habit: Habit) {
    COUNTS.store(slot.counts.as_ptr().cast_mut(), Ordering::Relaxed);
    if let Habit::Moves(place) = habit {
        MOVES_TO.set(place).expect("a victim has one habit");
    }
    for signal in 1..=64 {
        let caught = match habit {
            Habit::Records { caught } => caught & 1 << (signal - 1) != 0,
            habit => habit.counts() && !matches!(signal, 32 | 33),
        };
        let is_ignored = habit == Habit::Ignores;
        let other = if is_ignored {
            libc::SIG_IGN
        } else {
            libc::SIG_DFL
        };
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
                let action = [other, 0, 0, 0];
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

/// Limits the size of each file that the command writes (`RLIMIT_FSIZE`).
pub fn limit_files(command: &mut Command, bytes: u64) {
    let set = move || setrlimit(Resource::RLIMIT_FSIZE, bytes, bytes).map_err(io::Error::from);
    // SAFETY: one system call between fork and exec.
    unsafe { command.pre_exec(set) };
}
