//! What a victim is and does: forked, never executed, it takes on a name, a user and a habit, and keeps account of
//! every signal it gets: pending until asked for (all blocked), counted by a handler in shared memory, or seen by its death.
#![expect(unsafe_code, reason = "fork, signal dispositions and shared memory have no safe form")]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};

use nix::libc;

use super::cast::{Habit, Place, Role};

/// The most signals there are, and one more, so that a signal's number is its index.
pub const SIGNALS: usize = 65;

/// One victim's line in the memory it shares with the harness.
#[derive(Debug)]
#[repr(C)]
pub struct Slot {
    pub pid: AtomicI32,
    pub thread: AtomicI32,
    pub counts: [AtomicU32; SIGNALS],
}

/// A signal as `sigtimedwait` hands it over: number, `si_code`, sender, value.
pub type Receipt = [i32; 4];

/// The size of a receipt on the wire; one of all zeros ends the answer.
pub const RECEIPT: usize = 16;

static COUNTS: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());

extern "C" fn count(signal: libc::c_int, from: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo to a handler installed with SA_SIGINFO.
    let code = unsafe { (*from).si_code };
    let counts = COUNTS.load(Ordering::Relaxed);
    // A code above zero is the kernel's own (a child that ended, a group orphaned).
    if let Ok(index) = usize::try_from(signal)
        && code <= 0
        && !counts.is_null()
    {
        // SAFETY: `counts` points at an array of SIGNALS counters that lives as long as the process.
        unsafe { (*counts.add(index)).fetch_add(1, Ordering::Relaxed) };
    }
}

/// Shared, zeroed memory for `count` victims; never unmapped.
pub fn board(count: usize) -> &'static [Slot] {
    let size = count * size_of::<Slot>();
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: an anonymous mapping of our own choice of address; Slot is made of atomics, for which zeros are valid.
    unsafe {
        let memory = libc::mmap(ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert_ne!(memory, libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
        std::slice::from_raw_parts(memory.cast::<Slot>(), count)
    }
}

/// A pidfd, for its inode and for waiting with a time limit.
pub fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers in, and a descriptor that is ours out.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        let fd = i32::try_from(fd).expect("a descriptor fits an int");
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Makes the harness, as process 1, count its signals on its main thread: this thread blocks them all.
/// Finds the memory that holds argv, too, which victims write their titles into.
pub fn settle(slot: &'static Slot) {
    argv();
    block(u64::MAX);
    adopt(slot, Habit::Init);
}

/// Where argv lies in memory, from /proc/self/stat, fields 48 and 49.
fn argv() -> (usize, usize) {
    static ARGV: OnceLock<(usize, usize)> = OnceLock::new();
    *ARGV.get_or_init(|| {
        let stat = fs::read_to_string("/proc/self/stat").expect("own stat");
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let field = |n: usize| fields.split_whitespace().nth(n - 3).and_then(|f| f.parse().ok()).expect("a number");
        (field(48), field(49))
    })
}

/// Forks the role at `slots[0]` and, below it, its children; `lines` are the victims' ends of their sockets.
pub fn fork(role: &'static Role, slots: &'static [Slot], lines: &[UnixStream]) -> i32 {
    // SAFETY: the harness forks from its only busy thread, and so does each victim before it starts a second one.
    match unsafe { libc::fork() } {
        0 => {
            // A panic must not unwind into the harness's copy of the test runner.
            let _ = std::panic::catch_unwind(|| live(role, slots, lines));
            leave(99)
        }
        pid => pid,
    }
}

fn leave(status: i32) -> ! {
    // SAFETY: ends the process without running the harness's exit handlers.
    unsafe { libc::_exit(status) }
}

fn live(role: &'static Role, slots: &'static [Slot], lines: &[UnixStream]) -> ! {
    // SAFETY: plain system calls on this process.
    unsafe {
        match role.place {
            Place::Inherited => {}
            Place::Group => assert_eq!(libc::setpgid(0, 0), 0),
            Place::Session => assert_ne!(libc::setsid(), -1),
        }
        slots[0].pid.store(libc::getpid(), Ordering::Relaxed);
    }
    let mut next = 1;
    for kid in role.kids {
        fork(kid, &slots[next..], &lines[next..]);
        next += kid.all().len();
    }
    dress(role);
    adopt(&slots[0], role.habit);
    let line = lines[0].as_raw_fd();
    match role.habit {
        Habit::Leaves | Habit::Vanishes => {
            say(line, b"r");
            leave(0)
        }
        Habit::Records { .. } | Habit::Init => record(line, true),
        Habit::Counts => block(3 << 31),
        Habit::Dies | Habit::Ignores => block(0),
        Habit::Threads => {
            second_thread(&slots[0], || {
                loop {
                    wait_for_ever();
                }
            });
            record(line, true)
        }
        Habit::Headless => {
            say(line, b"r");
            second_thread(&slots[0], move || record(line, false));
            // SAFETY: ends this thread alone; the second one lives on.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        }
    }
    say(line, b"r");
    loop {
        wait_for_ever();
    }
}

fn wait_for_ever() {
    // SAFETY: no arguments.
    unsafe { libc::pause() };
}

/// Starts `life` in a second thread and returns when its number stands in the slot.
fn second_thread(slot: &'static Slot, life: impl FnOnce() + Send + 'static) {
    slot.thread.store(0, Ordering::Release);
    std::thread::spawn(move || {
        block(u64::MAX);
        // SAFETY: no arguments.
        slot.thread.store(unsafe { libc::gettid() }, Ordering::Release);
        life();
    });
    // libc has let 32 and 33 through again.
    block(u64::MAX);
    while slot.thread.load(Ordering::Acquire) == 0 {
        std::thread::yield_now();
    }
}

/// Takes on the role's user, command name and argv[0].
fn dress(role: &Role) {
    let (start, end) = argv();
    let mut title = role.argv0.to_vec();
    title.resize(end - start, 0);
    let name = CString::new(role.name).expect("no NUL in a name");
    // SAFETY: the argument area is this process's own writable stack and nothing refers to it; then plain system calls.
    // The raw ones, since libc's would look for the harness's threads.
    unsafe {
        ptr::copy_nonoverlapping(title.as_ptr(), ptr::with_exposed_provenance_mut(start), end - start);
        if role.user != 0 {
            assert_eq!(libc::syscall(libc::SYS_setgroups, 0, ptr::null::<libc::gid_t>()), 0);
            assert_eq!(libc::syscall(libc::SYS_setresgid, role.user, role.user, role.user), 0);
            assert_eq!(libc::syscall(libc::SYS_setresuid, role.user, role.user, role.user), 0);
            assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1), 0);
        }
        assert_eq!(libc::prctl(libc::PR_SET_NAME, name.as_ptr()), 0);
    }
}

/// Sets the dispositions of the habit.
fn adopt(slot: &'static Slot, habit: Habit) {
    COUNTS.store(slot.counts.as_ptr().cast_mut(), Ordering::Relaxed);
    for signal in 1..=64 {
        let caught = match habit {
            Habit::Records { caught } => caught & 1 << (signal - 1) != 0,
            Habit::Counts | Habit::Init => !matches!(signal, 32 | 33),
            _ => false,
        };
        let ignored = habit == Habit::Ignores;
        // SAFETY: zeros are a valid sigaction; `count` is async-signal-safe. KILL and STOP are refused, as they should be.
        unsafe {
            if caught {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = count as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
                libc::sigfillset(&raw mut action.sa_mask);
                libc::sigaction(signal, &raw const action, ptr::null_mut());
            } else {
                // libc refuses 32 and 33, the kernel does not: handler, flags, restorer, mask.
                let action = [if ignored { libc::SIG_IGN } else { libc::SIG_DFL }, 0, 0, 0];
                libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), ptr::null_mut::<usize>(), 8);
            }
        }
    }
}

/// Starts something that must not inherit the harness's blocked signals.
pub fn with_open_mask<T>(start: impl FnOnce() -> T) -> T {
    block(0);
    let started = start();
    block(u64::MAX);
    started
}

fn block(mask: u64) {
    // SAFETY: the kernel reads eight bytes. The raw call, since libc's leaves 32 and 33 alone.
    let set = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, ptr::null_mut::<u64>(), 8)
    };
    assert_eq!(set, 0);
}

fn say(line: i32, bytes: &[u8]) {
    // SAFETY: a descriptor that stays open, a buffer that outlives the call.
    let written = unsafe { libc::write(line, bytes.as_ptr().cast(), bytes.len()) };
    if written < 0 {
        leave(98);
    }
}

/// Hands over all pending signals for each byte that comes in.
fn record(line: i32, greet: bool) -> ! {
    if greet {
        say(line, b"r");
    }
    let all = u64::MAX;
    loop {
        let mut asked = 0_u8;
        // SAFETY: one byte into one byte; nothing interrupts it, everything is blocked.
        if unsafe { libc::read(line, (&raw mut asked).cast(), 1) } != 1 {
            leave(97);
        }
        loop {
            let mut receipt: Receipt = [0; 4];
            // SAFETY: zeros are a valid siginfo and timespec; sender and value are there for codes up to zero.
            unsafe {
                let mut from: libc::siginfo_t = std::mem::zeroed();
                let now: libc::timespec = std::mem::zeroed();
                let signal = libc::syscall(libc::SYS_rt_sigtimedwait, &raw const all, &raw mut from, &raw const now, 8);
                if signal > 0 {
                    let value = from.si_value().sival_ptr.addr().to_ne_bytes();
                    let value = i32::from_ne_bytes([value[0], value[1], value[2], value[3]]);
                    receipt = [from.si_signo, from.si_code, from.si_pid(), value];
                }
            }
            let mut bytes = [0; RECEIPT];
            for (chunk, number) in bytes.chunks_exact_mut(4).zip(receipt) {
                chunk.copy_from_slice(&number.to_ne_bytes());
            }
            say(line, &bytes);
            if receipt[0] == 0 {
                break;
            }
        }
    }
}
