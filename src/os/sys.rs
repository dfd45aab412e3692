//! The system calls that nix lacks, each wrapped in a safe function, and what is done first: the
//! arguments, the standard descriptors, the signals that are ignored. The callers decide what an
//! errno means for a target.

#![expect(unsafe_code, reason = "system calls that no safe wrapper exists for")]

use std::ffi::{CStr, OsStr, c_char};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::libc::{self, c_int, c_long, c_uint};
use nix::poll::ppoll;
use nix::sys::signal;
use nix::sys::stat::{Mode, fstat};
use nix::sys::time::TimeSpec;
use nix::unistd;

use crate::signal::Signal;
use crate::signal_set::SignalSet;
use crate::target::Pid;

/// Whether a standard descriptor was closed when the program started. What takes its place only
/// keeps files opened later from becoming standard descriptors: output written there is lost, input
/// ends at once.
pub fn started_without(descriptor: RawFd) -> bool {
    CLOSED_AT_START.load(Ordering::Relaxed) >> descriptor & 1 == 1
}

/// Whether a descriptor is a pipe or a FIFO.
pub fn is_pipe(descriptor: impl AsFd) -> bool {
    fstat(descriptor).is_ok_and(|status| status.st_mode & libc::S_IFMT == libc::S_IFIFO)
}

static CLOSED_AT_START: AtomicU8 = AtomicU8::new(0);

/// Ignored by this program: a write to a closed pipe or beyond RLIMIT_FSIZE
/// fails with EPIPE or EFBIG, and does not end the program before its last signal.
const IGNORED: [c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];
/// A bit for each of these that was ignored when the program started.
static IGNORED_AT_START: AtomicU8 = AtomicU8::new(0);

/// Lets a signal to this program itself do what it does to any program: PIPE and XFSZ are ignored
/// only if they were at the start.
pub fn restore_disposition(signal: Signal) {
    let number = signal.number();
    if let Some(bit) = IGNORED.iter().position(|ignored| *ignored == number)
        && IGNORED_AT_START.load(Ordering::Relaxed) >> bit & 1 == 0
    {
        set_disposition(number, libc::SIG_DFL);
    }
}

/// Ignores a signal or restores its default action; the disposition that it had.
fn set_disposition(number: c_int, disposition: libc::sighandler_t) -> libc::sighandler_t {
    // SAFETY: no handler is installed.
    unsafe { libc::signal(number, disposition) }
}

/// What Rust's runtime would do before its `main`, without what no call needs. Called once, before
/// anything is opened or written.
pub fn prepare() {
    for descriptor in 0..=2 {
        // SAFETY: takes integers and touches no memory of ours.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
            CLOSED_AT_START.fetch_or(1 << descriptor, Ordering::Relaxed);
            fill(descriptor);
        }
    }
    for (bit, number) in IGNORED.into_iter().enumerate() {
        let was_ignored = set_disposition(number, libc::SIG_IGN) == libc::SIG_IGN;
        IGNORED_AT_START.fetch_or(u8::from(was_ignored) << bit, Ordering::Relaxed);
    }
}

/// The arguments as the C library hands them to `main`, argv\[0\] first: pointers to strings that
/// stay where they are, and a null pointer at the end.
#[derive(Clone)]
#[repr(transparent)]
pub struct Arguments(*const *const c_char);

impl Iterator for Arguments {
    type Item = &'static OsStr;

    fn next(&mut self) -> Option<&'static OsStr> {
        // SAFETY: only the C library makes the first value, and none is moved past the null
        // pointer.
        let argument = unsafe { *self.0 };
        if argument.is_null() {
            return None;
        }
        // SAFETY: the null pointer is further on.
        self.0 = unsafe { self.0.add(1) };
        // SAFETY: a string that nobody changes.
        let argument = unsafe { CStr::from_ptr(argument) };
        Some(OsStr::from_bytes(argument.to_bytes()))
    }
}

/// Puts one end of a pipe, whose other end is closed, in the place of a standard descriptor: the
/// read end for input, the write end for output. Rust's runtime would open /dev/null, and abort if
/// there is none.
fn fill(descriptor: RawFd) {
    let mut ends = [-1; 2];
    // SAFETY: pipe(2) writes two integers into `ends`; the others take integers.
    unsafe {
        if libc::pipe(ends.as_mut_ptr()) == 0 {
            libc::dup2(
                ends[usize::from(descriptor != libc::STDIN_FILENO)],
                descriptor,
            );
            for end in ends.into_iter().filter(|end| *end != descriptor) {
                libc::close(end);
            }
        }
    }
}

/// Repeats a system call that a signal interrupted.
pub fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Opens a file by a path from a directory, close-on-exec. musl's open(2) is two system calls,
/// openat(2) is one.
pub fn open(from: impl AsFd, path: &(impl NixPath + ?Sized), flags: OFlag) -> nix::Result<OwnedFd> {
    retry(|| openat(&from, path, flags | OFlag::O_CLOEXEC, Mode::empty()))
}

/// Sleeps until a time has come, or a signal.
pub fn sleep_until(time: Instant) {
    let left = time.saturating_duration_since(Instant::now());
    // Interrupted early is fine: the callers have deadlines.
    let _ = ppoll(&mut [], Some(TimeSpec::from_duration(left)), None);
}

pub fn standard_output() -> BorrowedFd<'static> {
    // SAFETY: `prepare` opens the standard descriptors that are closed, and nothing closes them.
    unsafe { BorrowedFd::borrow_raw(libc::STDOUT_FILENO) }
}

pub fn standard_error() -> BorrowedFd<'static> {
    // SAFETY: as above.
    unsafe { BorrowedFd::borrow_raw(libc::STDERR_FILENO) }
}

/// kill(2). nix's enum has no names for 32, 33 and the realtime signals.
pub fn kill(pid: unistd::Pid, signal: Signal) -> nix::Result<()> {
    if signal.is_null() || signal.named().is_some() {
        return signal::kill(pid, signal.named());
    }
    // SAFETY: kill(2) takes two integers and touches no memory of ours.
    Errno::result(unsafe { libc::kill(pid.as_raw(), signal.number()) }).map(drop)
}

/// sigqueue(3): one process, a signal and a value for `si_value.sival_int`.
pub fn sigqueue(pid: Pid, signal: Signal, value: i32) -> nix::Result<()> {
    let info = queued(signal, value);
    // SAFETY: `info` is a whole siginfo_t, alive over the call, which only reads it
    // (rt_sigqueueinfo(2)).
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigqueueinfo,
            pid.number(),
            signal.number(),
            &raw const info,
        )
    };
    Errno::result(result).map(drop)
}

/// pidfd_open(2), Linux 5.3: a descriptor that means this process until it is closed,
/// close-on-exec.
///
/// ESRCH if no process has the PID, EINVAL or ENOENT if it is a thread's, ENOSYS or EPERM if the
/// kernel or a sandbox has no pidfds.
pub fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: takes two integers and returns a descriptor.
    let fd: c_long =
        Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.number(), 0) })?;
    let fd = RawFd::try_from(fd).expect("a descriptor fits in a C int");
    // SAFETY: the kernel just returned this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Which processes a signal through a pidfd reaches.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Process,
    /// The process group that the process leads, even after it was reaped (Linux 6.9).
    Group,
}

/// pidfd_send_signal(2), Linux 5.1; with a value it is queued as by sigqueue(3).
///
/// ESRCH after the process was reaped; a zombie accepts signals and ignores them.
pub fn pidfd_send_signal(
    fd: BorrowedFd,
    signal: Signal,
    value: Option<i32>,
    scope: Scope,
) -> nix::Result<()> {
    let info = value.map(|value| queued(signal, value));
    let info = info.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let flags = if scope == Scope::Group {
        libc::PIDFD_SIGNAL_PROCESS_GROUP
    } else {
        0
    };
    // SAFETY: `info` is null or points to a whole siginfo_t that outlives the call, which only
    // reads it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            fd.as_raw_fd(),
            signal.number(),
            info,
            flags,
        )
    };
    Errno::result(result).map(drop)
}

/// Whether two threads are known to have the same descriptor table (kcmp(2)).
pub fn share_descriptors(one: i32, other: i32) -> bool {
    const KCMP_FILES: c_int = 2;
    // SAFETY: takes five integers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, 0, 0) == 0 }
}

/// What a pidfd tells of its process (`PIDFD_GET_INFO`, Linux 6.13; ENOTTY before): its PIDs, its
/// users, or (6.15) how it ended once it was reaped, child or not. ENODATA if not what was asked
/// for, ESRCH if the process was reaped.
pub fn info(fd: BorrowedFd, wanted: c_uint) -> nix::Result<libc::pidfd_info> {
    // SAFETY: pidfd_info holds integers, for which zero is a value.
    let mut info: libc::pidfd_info = unsafe { mem::zeroed() };
    info.mask = u64::from(wanted);
    // SAFETY: the request carries the size of the structure it may write, which is ours and alive.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::PIDFD_GET_INFO, &raw mut info) })?;
    if info.mask & u64::from(wanted) == 0 {
        return Err(Errno::ENODATA);
    }
    Ok(info)
}

/// The part of siginfo_t that sigqueue(3) fills, laid out as the kernel has it
/// (asm-generic/siginfo.h).
#[repr(C)]
#[derive(Clone, Copy)]
struct Queued {
    signo: c_int,
    errno: c_int,
    code: c_int,
    sender: Sender,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Sender {
    pid: libc::pid_t,
    uid: libc::uid_t,
    value: Value,
}

#[repr(C)]
#[derive(Clone, Copy)]
union Value {
    int: c_int,
    pointer: *mut libc::c_void,
}

/// A siginfo_t and the part of it that is written; the rest stays zero.
#[repr(C)]
union Info {
    whole: libc::siginfo_t,
    queued: Queued,
}

fn queued(signal: Signal, value: i32) -> libc::siginfo_t {
    // SAFETY: the union holds integers and pointers, for which zero is a value, and `Queued` is the
    // smaller part.
    let mut info: Info = unsafe { mem::zeroed() };
    // SAFETY: writes into a structure that was zeroed as a whole.
    unsafe {
        info.queued.signo = signal.number();
        info.queued.code = libc::SI_QUEUE;
        info.queued.sender.pid = unistd::getpid().as_raw();
        info.queued.sender.uid = unistd::getuid().as_raw();
        info.queued.sender.value.int = value;
        info.whole
    }
}

/// All signals that can be blocked, blocked in this thread until dropped; the mask before.
pub struct HeldSignals(SignalSet);

impl HeldSignals {
    /// Holds 32, 33 and 34, too, which the C library keeps for itself and leaves out of its masks.
    pub fn hold() -> nix::Result<Self> {
        Self::only(SignalSet(u64::MAX))
    }

    /// The same for these signals.
    pub fn only(set: SignalSet) -> nix::Result<Self> {
        change_mask(libc::SIG_BLOCK, set).map(Self)
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        // Setting a mask that was in force before cannot fail.
        let _ = change_mask(libc::SIG_SETMASK, self.0);
    }
}

/// rt_sigprocmask(2) without the C library: the mask before.
fn change_mask(how: c_int, set: SignalSet) -> nix::Result<SignalSet> {
    let mut before = 0_u64;
    // SAFETY: both masks are alive over the call and have the size that the kernel is told.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            how,
            &raw const set.0,
            &raw mut before,
            size_of::<u64>(),
        )
    };
    Errno::result(result).map(|_| SignalSet(before))
}
