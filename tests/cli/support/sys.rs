//! System calls that neither std nor nix has as a safe function: the state of a child without
//! reaping it, pidfds, handlers with `SA_SIGINFO`, a fork with a chosen PID.
#![expect(
    unsafe_code,
    reason = "each function wraps one system call that has no safe wrapper"
)]

use std::ffi::{c_int, c_void};
use std::io;
use std::mem;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use nix::libc;
use nix::sys::resource::{Resource, setrlimit};

/// How a child ended. The signal is a plain number because nix's enum has no realtime signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Exited(i32),
    Killed(i32),
}

/// Whether a dead child is reaped when it is looked at.
#[derive(Clone, Copy)]
pub enum Look {
    /// It stays a zombie, so its number stays taken.
    Only,
    AndReap,
}

/// How the child `pid` ended, or `None` while it lives. Never blocks.
pub fn ending(pid: i32, look: Look) -> io::Result<Option<Ending>> {
    let keep = match look {
        Look::Only => libc::WNOWAIT,
        Look::AndReap => 0,
    };
    let id = libc::id_t::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: all-zero bytes are a valid siginfo_t, which waitid leaves untouched while the child
    // lives.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | keep;
    // SAFETY: `info` is a siginfo_t that outlives the call.
    succeeded(unsafe { libc::waitid(libc::P_PID, id, &raw mut info, flags) })?;
    // SAFETY: waitid fills in the fields of SIGCHLD, or leaves them zero.
    let (child, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok((child != 0).then_some(match info.si_code {
        libc::CLD_EXITED => Ending::Exited(status),
        _ => Ending::Killed(status),
    }))
}

/// A pidfd of `pid`; it polls readable once the process is a zombie or gone.
pub fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    owned(fd)
}

#[used]
// SAFETY: the section holds pointers to functions that the C library calls once, before any Rust
// code runs. This one makes system calls only.
#[unsafe(link_section = ".init_array")]
static UNIGNORE: extern "C" fn() = {
    /// Installs a handler that does nothing for each ignored signal. For this process nothing
    /// changes, but handlers are reset by execve(2), so that its children start with defaults even
    /// if nohup(1) or a shell's `&` had the signal ignored.
    extern "C" fn unignore() {
        extern "C" fn nothing(_signal: c_int) {}
        for signal in 1..=libc::SIGRTMAX() {
            // SAFETY: all-zero bytes are a valid sigaction; both pointers are to a live one, and
            // the handler does nothing.
            unsafe {
                let mut action: libc::sigaction = mem::zeroed();
                if libc::sigaction(signal, ptr::null(), &raw mut action) == 0
                    && action.sa_sigaction == libc::SIG_IGN
                {
                    action.sa_sigaction = nothing as *const () as libc::sighandler_t;
                    action.sa_flags = libc::SA_RESTART;
                    libc::sigaction(signal, &raw const action, ptr::null_mut());
                }
            }
        }
    }
    unignore
};

/// The handler that [`catch`] installs: number, origin and value of the signal, context.
pub type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// Installs `handler` for `signal`. All other signals are blocked while it runs.
pub fn catch(signal: i32, handler: Handler) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid sigaction, and each field that counts is set below.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: both pointers are to a live sigaction; the handler is required to be
    // async-signal-safe.
    let done = unsafe {
        libc::sigfillset(&raw mut action.sa_mask);
        libc::sigaction(signal, &raw const action, ptr::null_mut())
    };
    succeeded(done)
}

/// The error of a system call that has failed.
pub fn succeeded(result: c_int) -> io::Result<()> {
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Blocks (`SIG_BLOCK`) or unblocks (`SIG_UNBLOCK`) every signal that can be blocked.
pub fn mask_all(how: c_int) {
    // SAFETY: `set` is initialised by sigfillset before it is read.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&raw mut set);
        libc::pthread_sigmask(how, &raw const set, ptr::null_mut());
    }
}

/// Makes `command` start with every signal at its default, including 32 and 33, which glibc's
/// posix_spawn(3) leaves ignored.
pub fn start_with_defaults(command: &mut Command) {
    let reset = || {
        start_clean();
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.pre_exec(reset) };
}

/// Makes `command` start with every signal blocked in each of its threads.
pub fn start_with_signals_blocked(command: &mut Command) {
    let block = || {
        mask_all(libc::SIG_BLOCK);
        Ok(())
    };
    // SAFETY: between fork and exec only the two async-signal-safe functions of mask_all are
    // called.
    unsafe { command.pre_exec(block) };
}

/// Makes `command` start with this PID, which must be free, and in this process group (0 for one of
/// its own). Needs `CAP_SYS_ADMIN` or `CAP_CHECKPOINT_RESTORE` in the PID namespace, so it becomes
/// the user here. The child that is spawned forks again as its own sibling and exits.
pub fn start_with_pid(command: &mut Command, pid: i32, group: i32, user: Option<u32>) {
    let start = move || {
        // SAFETY: all-zero bytes are a valid clone_args: no stack of its own, no descriptors.
        let mut clone: libc::clone_args = unsafe { mem::zeroed() };
        clone.flags = libc::CLONE_PARENT.unsigned_abs().into();
        clone.set_tid = (&raw const pid).addr() as u64;
        clone.set_tid_size = 1;
        let size = size_of::<libc::clone_args>();
        // SAFETY: without CLONE_VM this is a fork; all else are system calls on integers.
        unsafe {
            match libc::syscall(libc::SYS_clone3, &raw const clone, size) {
                0 => {}
                -1 => return Err(io::Error::last_os_error()),
                _ => libc::_exit(0),
            }
            let user = user.map_or(0, |id| {
                libc::setgroups(0, ptr::null()) | libc::setgid(id) | libc::setuid(id)
            });
            succeeded(user | libc::setpgid(0, group))
        }
    };
    // SAFETY: between fork and exec only system calls are made.
    unsafe { command.pre_exec(start) };
}

/// Makes `command` lead a session that the terminal which is its standard input controls.
pub fn start_session(command: &mut Command) {
    let lead = || {
        // SAFETY: two system calls, which take integers.
        succeeded(unsafe {
            libc::setsid();
            libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0)
        })
    };
    // SAFETY: between fork and exec only these are made.
    unsafe { command.pre_exec(lead) };
}

/// Sets every signal of this process to its default, the two of the C library included, and
/// disables core dumps.
fn start_clean() {
    // A kernel sigaction of zeros: SIG_DFL, no flags, nothing masked.
    const DEFAULT: [u64; 4] = [0; 4];
    let (call, old) = (libc::SYS_rt_sigaction, ptr::null::<u64>());
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the kernel reads no more than the 32 bytes of `DEFAULT`; EINVAL for KILL and STOP
        // is fine.
        unsafe { libc::syscall(call, signal, DEFAULT.as_ptr(), old, 8) };
    }
    // It fails only where the limit is zero already.
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
}

/// `si_code` and `si_value` (as the int of sigqueue(3)) from the siginfo passed to a handler.
pub fn origin(info: *const libc::siginfo_t) -> (i32, i32) {
    // SAFETY: the kernel passes a handler installed with SA_SIGINFO a valid siginfo_t, whose union
    // holds a value for signals that a process sent.
    unsafe {
        let value = (*info).si_value().sival_ptr.addr();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "sival_int is the first four bytes of the union"
        )]
        #[expect(clippy::cast_possible_wrap, reason = "the bits of a signed value")]
        let value = value as u32 as i32;
        ((*info).si_code, value)
    }
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = c_int::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just returned this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
