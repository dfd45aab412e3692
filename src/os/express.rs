//! The express way: common calls are carried out before the C library starts, since its start
//! takes most of the time of a short run. Every other call, and everything that does not succeed,
//! is left to `main`.
//!
//! build.rs links static programs with `--wrap=__libc_start_main`: the entry code calls the
//! function here, which calls the C library's. Until then nothing of the C library works: memcpy(3)
//! and its like are not resolved, there is no thread-local storage and no errno.

#![expect(unsafe_code, reason = "reads the arguments where the kernel put them")]

use std::env;
use std::ffi::{CStr, OsStr, OsString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering::Relaxed};

use nix::errno::Errno;

use crate::words::Words;

/// How far the express way got with the call that it left to `main`.
pub struct Progress {
    /// How many of the first targets were signalled, or how many bytes of the list were written.
    pub done: usize,
    /// The error that the next target's kill(2) gave.
    pub refusal: Option<Errno>,
}

static DONE: AtomicUsize = AtomicUsize::new(0);
static REFUSAL: AtomicI32 = AtomicI32::new(0);

pub fn progress() -> Progress {
    let refusal = REFUSAL.load(Relaxed);
    Progress {
        done: DONE.load(Relaxed),
        refusal: (refusal != 0).then(|| Errno::from_raw(refusal)),
    }
}

static COUNT: AtomicUsize = AtomicUsize::new(0);
static ARGUMENTS: AtomicPtr<*const c_char> = AtomicPtr::new(ptr::null_mut());

/// The name of the program, argv\[0\], and the arguments after it, where the kernel put them. A
/// program that was linked without the express way has no other than std's copies.
pub fn command_line() -> (&'static OsStr, Words) {
    static COPIES: OnceLock<Vec<OsString>> = OnceLock::new();
    let count = COUNT.load(Relaxed);
    let (line, count): (&'static dyn Fn(usize) -> &'static OsStr, usize) = if count > 0 {
        (&in_place, count)
    } else {
        let copies = COPIES.get_or_init(|| env::args_os().collect());
        (
            Box::leak(Box::new(|place: usize| &*copies[place])),
            copies.len(),
        )
    };
    let mut words = Words::new(line, count);
    let program = words.take_first().unwrap_or_default();
    (program, words)
}

/// The argument in a place less than `COUNT`.
fn in_place(place: usize) -> &'static OsStr {
    assert!(place < COUNT.load(Relaxed));
    // SAFETY: the kernel's argument vector has so many pointers to strings, which nobody changes.
    let argument = unsafe { CStr::from_ptr(*ARGUMENTS.load(Relaxed).add(place)) };
    OsStr::from_bytes(argument.to_bytes())
}

#[cfg(express)]
mod start {
    use std::ffi::{c_char, c_int, c_void};

    unsafe extern "C" {
        fn __real___libc_start_main(
            main: *const c_void,
            count: c_int,
            arguments: *mut *const c_char,
            init: *const c_void,
            fini: *const c_void,
            rtld_fini: *const c_void,
            stack_end: *const c_void,
        ) -> c_int;
    }

    /// What the entry code calls instead of the C library's function. musl's has only the first
    /// three parameters and ignores the others.
    ///
    /// It stands next to the entry code, so that one page fault brings both.
    #[unsafe(no_mangle)]
    #[unsafe(link_section = ".text.hot.start")]
    unsafe extern "C" fn __wrap___libc_start_main(
        main: *const c_void,
        count: c_int,
        arguments: *mut *const c_char,
        init: *const c_void,
        fini: *const c_void,
        rtld_fini: *const c_void,
        stack_end: *const c_void,
    ) -> c_int {
        // The harness of the unit tests is linked in the same way, and its arguments are other
        // ones.
        #[cfg(not(test))]
        super::way::take(count, arguments);
        // SAFETY: called once with what the entry code gave.
        unsafe {
            __real___libc_start_main(main, count, arguments, init, fini, rtld_fini, stack_end)
        }
    }
}

/// Only what works before the C library has started: integers, iterators over them, system calls.
/// No value may be larger than 32 bytes or have a default for many: a debug build would call
/// memcpy(3) or memset(3) for it.
#[cfg(all(express, not(test)))]
mod way {
    use std::arch::asm;
    use std::ffi::{c_char, c_int, c_long};
    use std::mem::MaybeUninit;
    use std::slice;
    use std::sync::atomic::Ordering::Relaxed;

    use nix::libc::{self, EINTR, ENOTTY};

    use super::{ARGUMENTS, COUNT, DONE, REFUSAL};
    use crate::signal::{NAMES, Signal};
    use crate::target::Pid;

    /// An argument where the kernel put it: ended by a zero byte.
    #[derive(Clone)]
    #[repr(transparent)]
    struct Argument(*const u8);

    impl Argument {
        fn is(&self, word: &[u8]) -> bool {
            self.clone().eq(word.iter().copied())
        }

        fn begins_with(&self, byte: u8) -> bool {
            self.clone().next() == Some(byte)
        }
    }

    impl Iterator for Argument {
        type Item = u8;

        fn next(&mut self) -> Option<u8> {
            // SAFETY: never moved past the zero byte.
            let byte = unsafe { *self.0 };
            if byte == 0 {
                return None;
            }
            // SAFETY: the zero byte is further on.
            self.0 = unsafe { self.0.add(1) };
            Some(byte)
        }
    }

    /// Carries out an everyday call and ends the program, or returns with nothing or only a part of
    /// it done.
    pub fn take(count: c_int, arguments: *mut *const c_char) {
        let Ok(count) = usize::try_from(count) else {
            return;
        };
        // SAFETY: the kernel made so many pointers to strings, and an `Argument` is such a pointer.
        let all = unsafe { slice::from_raw_parts(arguments.cast::<Argument>(), count) };
        if let [_, rest @ ..] = all {
            read(rest);
        }
        // Not before: the first write to a static is a page fault, which takes longer than a
        // signal.
        COUNT.store(count, Relaxed);
        ARGUMENTS.store(arguments, Relaxed);
    }

    /// Reads `[-w | --wait] [-SIGNAL | -s SIGNAL] PID...` or `-l`, and goes the way of it.
    fn read(mut rest: &[Argument]) -> Option<()> {
        let (mut signal, mut waits) = (None, false);
        loop {
            match rest {
                [list] if list.is(b"-l") && signal.is_none() && !waits => return write_list(),
                [flag, after @ ..] if flag.is(b"--wait") || flag.is(b"-w") => {
                    (rest, waits) = (after, true);
                }
                [option, value, after @ ..] if option.is(b"-s") && signal.is_none() => {
                    (rest, signal) = (after, Some(Signal::everyday(value.clone())?));
                }
                [old, after @ ..] if old.begins_with(b'-') && signal.is_none() => {
                    (rest, signal) = (after, Some(Signal::everyday(old.clone().skip(1))?));
                }
                _ => break,
            }
        }
        let signal = signal.unwrap_or(Signal::TERM);
        let own = call(libc::SYS_getpid, 0, 0, 0, 0);
        let is_other = |pid: Pid| pid.number() as isize != own;
        // Everything is read before the first signal.
        for pid in rest {
            Pid::unpadded(pid.clone()).filter(|pid| is_other(*pid))?;
        }
        match rest {
            [] => None,
            [pid] if waits => wait(Pid::unpadded(pid.clone())?, signal),
            _ if waits => None,
            _ => send(rest, signal),
        }
    }

    fn send(pids: &[Argument], signal: Signal) -> Option<()> {
        let mut done = 0;
        for pid in pids {
            let pid = Pid::unpadded(pid.clone())?;
            let result = call(
                libc::SYS_kill,
                number(pid.number()),
                number(signal.number()),
                0,
                0,
            );
            if result != 0 {
                DONE.store(done, Relaxed);
                REFUSAL.store(i32::try_from(result.wrapping_neg()).ok()?, Relaxed);
                return None;
            }
            done = done.wrapping_add(1);
        }
        exit()
    }

    fn write_list() -> Option<()> {
        if !is_no_terminal(libc::STDOUT_FILENO) {
            return None;
        }
        // As for `main`: a closed pipe and the limit of file sizes are errors of write(2).
        for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
            static IGNORE: [usize; 4] = [libc::SIG_IGN, 0, 0, 0];
            call(
                libc::SYS_rt_sigaction,
                number(signal),
                IGNORE.as_ptr().addr(),
                0,
                size_of::<u64>(),
            );
        }
        let mut rest = NAMES.as_slice();
        while !rest.is_empty() {
            let written = call(
                libc::SYS_write,
                number(libc::STDOUT_FILENO),
                rest.as_ptr().addr(),
                rest.len(),
                0,
            );
            let Some(after) = usize::try_from(written)
                .ok()
                .and_then(|written| rest.get(written..))
            else {
                DONE.store(NAMES.len().wrapping_sub(rest.len()), Relaxed);
                return None;
            };
            rest = after;
        }
        exit()
    }

    /// Whether a descriptor is open and no terminal, on which lists are set in columns and waits
    /// are shown.
    fn is_no_terminal(descriptor: c_int) -> bool {
        /// Its type differs between the C libraries (asm-generic/ioctls.h).
        const TCGETS: usize = 0x5401;
        let mut settings = MaybeUninit::<[u8; 64]>::uninit();
        let result = call(
            libc::SYS_ioctl,
            number(descriptor),
            TCGETS,
            settings.as_mut_ptr().addr(),
            0,
        );
        result == -(ENOTTY as isize)
    }

    /// Sends the signal through a pidfd and waits for the end. What can be refused is tried before
    /// the signal.
    fn wait(pid: Pid, signal: Signal) -> Option<()> {
        // A kernel thread, which does not end, is in no process group.
        let group = call(libc::SYS_getpgid, number(pid.number()), 0, 0, 0);
        if group <= 0 || !is_no_terminal(libc::STDERR_FILENO) {
            return None;
        }
        let pidfd =
            c_int::try_from(call(libc::SYS_pidfd_open, number(pid.number()), 0, 0, 0)).ok()?;
        let is_running = poll(
            pidfd,
            Some(&libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            }),
        ) == 0;
        let send = || {
            call(
                libc::SYS_pidfd_send_signal,
                number(pidfd),
                number(signal.number()),
                0,
                0,
            )
        };
        if is_running && send() == 0 {
            DONE.store(1, Relaxed);
            let mut exited = poll(pidfd, None);
            while exited == -(EINTR as isize) {
                exited = poll(pidfd, None);
            }
            if exited == 1 {
                exit();
            }
        }
        call(libc::SYS_close, number(pidfd), 0, 0, 0);
        None
    }

    /// ppoll(2): how many of one descriptor can be read, which a pidfd can after the process has
    /// exited.
    fn poll(descriptor: c_int, timeout: Option<&libc::timespec>) -> isize {
        let mut fd = libc::pollfd {
            fd: descriptor,
            events: libc::POLLIN,
            revents: 0,
        };
        let timeout = timeout.map_or(0, |timeout| (&raw const *timeout).addr());
        call(libc::SYS_ppoll, (&raw mut fd).addr(), 1, timeout, 0)
    }

    fn exit() -> ! {
        loop {
            call(libc::SYS_exit_group, 0, 0, 0, 0);
        }
    }

    /// A C int as an argument of a system call, which looks at its lower half only.
    fn number(int: c_int) -> usize {
        int.cast_unsigned() as usize
    }

    /// A system call with up to four arguments; negative results are errors.
    fn call(number: c_long, a: usize, b: usize, c: usize, d: usize) -> isize {
        let result: isize;
        // SAFETY: the calls made here read and write only what their arguments point to, which is
        // alive and large enough. The kernel changes no other register than the ones named.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
                lateout("rcx") _, lateout("r11") _, options(nostack));
        }
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        unsafe {
            asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c, in("x3") d,
                options(nostack));
        }
        result
    }
}
