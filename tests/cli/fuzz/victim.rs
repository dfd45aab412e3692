//! Victims are forked from the harness and take the name, user and habit of their role. Each
//! records the signals it gets: as pending signals (all blocked) until the harness asks, as counts
//! in shared memory, or by its wait status.
#![expect(unsafe_code, reason = "fork and shared memory have no safe form")]

use std::ffi::CString;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use super::handlers::{block, set_dispositions};
use super::reading::Protocol;
use super::roles::{Habit, Place, Role};
use super::{launcher, reaper};

use crate::support::prelude::*;

/// The highest signal number plus one, so that a signal's number is its index.
pub const SIGNALS: usize = 65;

/// One victim's record in the memory that it shares with the harness.
#[derive(Debug)]
#[repr(C)]
pub struct Slot {
    pub pid: AtomicI32,
    pub thread: AtomicI32,
    /// The port of its socket.
    pub port: AtomicI32,
    /// The PID of the child that a handler forked.
    pub forked: AtomicI32,
    /// The wait status and [`REAPED`], if another victim reaps it.
    pub status: AtomicI32,
    pub counts: [AtomicU32; SIGNALS],
}

impl Slot {
    /// Makes the slot ready for a new victim.
    pub fn clear(&self) {
        for number in [
            &self.pid,
            &self.thread,
            &self.port,
            &self.forked,
            &self.status,
        ] {
            number.store(0, Ordering::Release);
        }
        // The old one may have taken a signal while its family was killed.
        for count in &self.counts {
            count.store(0, Ordering::Relaxed);
        }
    }
}

/// Set in the status of a victim that was reaped; no wait status has this bit.
pub const REAPED: i32 = 1 << 20;

/// A signal as returned by sigtimedwait(2): number, `si_code`, sender, value.
pub type Receipt = [i32; 4];

/// The size of a receipt in bytes on the socket. A receipt of zeros ends the answer.
pub const RECEIPT: usize = 16;

/// Shared, zeroed memory for `count` victims; never unmapped.
pub fn map_slots(count: usize) -> &'static [Slot] {
    let size = count * size_of::<Slot>();
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: an anonymous mapping of our own choice of address; Slot is made of atomics, for which
    // zeros are valid.
    unsafe {
        let memory = libc::mmap(ptr::null_mut(), size, access, flags, -1, 0);
        assert_ne!(memory, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        std::slice::from_raw_parts(memory.cast::<Slot>(), count)
    }
}

/// Makes the harness, which is process 1, count its signals on its main thread, by blocking all
/// signals in this thread. Also locates argv, which victims overwrite with their titles.
pub fn prepare_harness(slot: &'static Slot) {
    argv();
    block(u64::MAX);
    set_dispositions(slot, Habit::Init);
}

/// The addresses of argv, from /proc/self/stat, fields 48 and 49.
fn argv() -> (usize, usize) {
    static ARGV: OnceLock<(usize, usize)> = OnceLock::new();
    *ARGV.get_or_init(|| {
        let stat = stat(1);
        let field = |n: usize| stat.split(' ').nth(n - 3).and_then(|f| f.parse().ok());
        field(48).zip(field(49)).expect("two addresses")
    })
}

/// Forks the head of a family. It keeps none of the harness's descriptors except `channels`, since
/// every open descriptor slows down the search for sockets.
pub fn fork_head(role: &'static Role, slots: &'static [Slot], channels: &[UnixStream]) -> i32 {
    // SAFETY: the harness forks from its only busy thread.
    match unsafe { libc::fork() } {
        0 => {
            close_all_but(channels);
            start(role, slots, channels)
        }
        pid => pid,
    }
}

fn close_all_but(channels: &[UnixStream]) {
    let mut kept: Vec<i32> = channels.iter().map(AsRawFd::as_raw_fd).collect();
    kept.sort_unstable();
    let mut first = libc::STDERR_FILENO + 1;
    for next in kept.into_iter().chain([i32::MAX]) {
        if first < next {
            // SAFETY: the child uses none of these.
            unsafe { libc::syscall(libc::SYS_close_range, first, next - 1, 0) };
        }
        first = next.saturating_add(1);
    }
}

/// Forks a process for the role, with `slots[0]`, and below it those for its children. `channels`
/// are the victims' ends of their sockets.
fn fork(role: &'static Role, slots: &'static [Slot], channels: &[UnixStream]) -> i32 {
    // SAFETY: the harness forks from its only busy thread, and so does each victim before it
    // starts a second one.
    match unsafe { libc::fork() } {
        0 => start(role, slots, channels),
        pid => pid,
    }
}

/// The same as [`fork`] with this PID, which must be free. The kernel stores it in the slot before
/// the child runs: if this process is killed then, the harness knows of the child.
pub fn fork_at(
    number: i32,
    role: &'static Role,
    slots: &'static [Slot],
    channels: &[UnixStream],
) -> io::Result<()> {
    // SAFETY: zeros are a valid clone_args; without CLONE_VM this is a fork, and the caller has one
    // thread.
    unsafe {
        let mut clone: libc::clone_args = std::mem::zeroed();
        clone.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
        clone.flags = u64::try_from(libc::CLONE_PARENT_SETTID).expect("a flag");
        clone.parent_tid = slots[0].pid.as_ptr().addr() as u64;
        clone.set_tid = (&raw const number).addr() as u64;
        clone.set_tid_size = 1;
        let size = size_of::<libc::clone_args>();
        match libc::syscall(libc::SYS_clone3, &raw const clone, size) {
            0 => start(role, slots, channels),
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

fn start(role: &'static Role, slots: &'static [Slot], channels: &[UnixStream]) -> ! {
    // A panic must not unwind into the harness's copy of the test runner.
    let _ = std::panic::catch_unwind(|| run(role, slots, channels));
    exit_now(99)
}

/// Ends a forked process without cleanup.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: ends the process without running the harness's exit handlers.
    unsafe { libc::_exit(status) }
}

fn run(role: &'static Role, slots: &'static [Slot], channels: &[UnixStream]) -> ! {
    // SAFETY: plain system calls on this process.
    unsafe {
        match role.place {
            Place::Inherited => {}
            Place::Group => assert_eq!(libc::setpgid(0, 0), 0),
            Place::Session => assert_ne!(libc::setsid(), -1),
            Place::Leader => assert_eq!(libc::setpgid(0, libc::getsid(0)), 0),
        }
        slots[0].pid.store(libc::getpid(), Ordering::Relaxed);
    }
    if role.habit == Habit::Reaps {
        reaper::prepare();
    }
    // The children of a server inherit its socket. A socket of a user must be created by that user.
    let socket = |so| {
        let protocol = role.socket.filter(|_| so);
        protocol.map(|socket| serve(socket, &slots[0]))
    };
    let shared = socket(role.user == 0);
    let mut next = 1;
    for child in &role.children {
        if child.habit != Habit::ReusesPid && role.habit != Habit::Vforks {
            fork(child, &slots[next..], &channels[next..]);
        }
        next += child.all().len();
    }
    set_identity(role);
    std::mem::forget((shared, socket(role.user != 0)));
    set_dispositions(&slots[0], role.habit);
    let channel = channels[0].as_raw_fd();
    match role.habit {
        Habit::Zombie | Habit::Reaped => {
            send(channel, b"r");
            exit_now(0)
        }
        Habit::Records { .. } | Habit::Init | Habit::Launches | Habit::ReusesPid => {
            record(channel, true)
        }
        Habit::Reaps => reaper::run(role, slots, channels),
        Habit::Counts | Habit::Moves(_) | Habit::Forks | Habit::Escapes => block(3 << 31),
        Habit::Vforks => {
            block(3 << 31);
            send(channel, b"r");
            vfork(role, slots, channels);
            stay()
        }
        Habit::Dies | Habit::Ignores => block(0),
        Habit::Threads => {
            second_thread(&slots[0], || stay());
            record(channel, true)
        }
        Habit::LeaderExited => {
            send(channel, b"r");
            second_thread(&slots[0], move || record(channel, false));
            // SAFETY: ends this thread alone; the second one continues.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        }
    }
    send(channel, b"r");
    stay()
}

/// Starts the only child of a role in the memory of its parent, and returns when it is dead.
fn vfork(role: &'static Role, slots: &'static [Slot], channels: &[UnixStream]) {
    struct Child {
        name: CString,
        slot: &'static Slot,
        channel: i32,
    }
    extern "C" fn run(child: *mut libc::c_void) -> i32 {
        block(u64::MAX);
        // SAFETY: the parent is blocked and keeps it.
        let child = unsafe { &*child.cast::<Child>() };
        // SAFETY: a string that outlives the call.
        unsafe { libc::prctl(libc::PR_SET_NAME, child.name.as_ptr()) };
        let pid = i32::try_from(std::process::id()).expect("a PID");
        child.slot.pid.store(pid, Ordering::Relaxed);
        record(child.channel, true)
    }
    let mut child = Child {
        name: CString::new(&*role.children[0].name).expect("no NUL in a name"),
        slot: &slots[1],
        channel: channels[1].as_raw_fd(),
    };
    let mut stack = vec![0_u8; 1 << 20];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let top = stack.as_mut_ptr_range().end;
    // SAFETY: the child runs on a stack of its own, and this process is blocked as long as it lives.
    unsafe { libc::clone(run, top.cast(), flags, (&raw mut child).cast()) };
}

/// Listens on a free port and stores the port in the slot.
fn serve(protocol: Protocol, slot: &Slot) -> OwnedFd {
    let (address, socket) = match protocol {
        Protocol::Tcp => {
            let socket = TcpListener::bind("0.0.0.0:0").expect("a free port");
            (socket.local_addr(), OwnedFd::from(socket))
        }
        Protocol::Udp => {
            let socket = UdpSocket::bind("[::]:0").or_else(|_| UdpSocket::bind("0.0.0.0:0"));
            let socket = socket.expect("a free port");
            (socket.local_addr(), OwnedFd::from(socket))
        }
    };
    let port = address.expect("bound").port();
    slot.port.store(port.into(), Ordering::Release);
    socket
}

fn stay() -> ! {
    loop {
        nix::unistd::pause();
    }
}

/// Starts `main` in a second thread and returns when its TID is in the slot.
fn second_thread(slot: &'static Slot, main: impl FnOnce() + Send + 'static) {
    slot.thread.store(0, Ordering::Release);
    std::thread::spawn(move || {
        block(u64::MAX);
        let thread = nix::unistd::gettid().as_raw();
        slot.thread.store(thread, Ordering::Release);
        main();
    });
    // libc has unblocked 32 and 33.
    block(u64::MAX);
    while slot.thread.load(Ordering::Acquire) == 0 {
        std::thread::yield_now();
    }
}

/// Sets the role's user, command name and argv[0].
fn set_identity(role: &Role) {
    let (start, end) = argv();
    let mut title = role.argv0.clone();
    title.resize(end - start, 0);
    let name = CString::new(&*role.name).expect("no NUL in a name");
    let user = role.user;
    let done = |result: libc::c_long| assert_eq!(result, 0, "{}", io::Error::last_os_error());
    // SAFETY: the argument area is this process's own writable stack and nothing refers to it; then
    // plain system calls, the raw ones, because libc's would look for the harness's threads.
    unsafe {
        let area = ptr::with_exposed_provenance_mut(start);
        ptr::copy_nonoverlapping(title.as_ptr(), area, end - start);
        if user != 0 {
            done(libc::syscall(
                libc::SYS_setgroups,
                0,
                ptr::null::<libc::gid_t>(),
            ));
            done(libc::syscall(libc::SYS_setresgid, user, user, user));
            done(libc::syscall(libc::SYS_setresuid, user, user, user));
            done(libc::prctl(libc::PR_SET_DUMPABLE, libc::c_int::from(!role.undumpable)).into());
        }
        done(libc::prctl(libc::PR_SET_NAME, name.as_ptr()).into());
    }
}

pub fn send(channel: i32, bytes: &[u8]) {
    // SAFETY: a descriptor that stays open, a buffer that outlives the call.
    let written = unsafe { libc::write(channel, bytes.as_ptr().cast(), bytes.len()) };
    if written < 0 {
        exit_now(98);
    }
}

/// Answers requests of the harness until the process ends.
fn record(channel: i32, greet: bool) -> ! {
    if greet {
        send(channel, b"r");
    }
    loop {
        answer(channel);
    }
}

/// Answers one request: reports all pending signals, starts sigsend, or reaps it.
pub fn answer(channel: i32) {
    let mut asked = 0_u8;
    // SAFETY: one byte into one byte; nothing interrupts it, everything is blocked.
    if unsafe { libc::read(channel, (&raw mut asked).cast(), 1) } != 1 {
        exit_now(97);
    }
    match asked {
        launcher::LAUNCH => launcher::launch(channel),
        launcher::REAP => launcher::reap(channel),
        _ => report(channel),
    }
}

fn report(channel: i32) {
    let all = u64::MAX;
    loop {
        let mut receipt: Receipt = [0; 4];
        // SAFETY: zeros are a valid siginfo and timespec; sender and value are there for codes up
        // to zero.
        unsafe {
            let mut from: libc::siginfo_t = std::mem::zeroed();
            let now: libc::timespec = std::mem::zeroed();
            let (all, now) = (&raw const all, &raw const now);
            let wait = libc::SYS_rt_sigtimedwait;
            if libc::syscall(wait, all, &raw mut from, now, 8) > 0 {
                let value = from.si_value().sival_ptr.addr().to_ne_bytes();
                let value = i32::from_ne_bytes([value[0], value[1], value[2], value[3]]);
                receipt = [from.si_signo, from.si_code, from.si_pid(), value];
            }
        }
        let mut bytes = [0; RECEIPT];
        for (chunk, number) in bytes.chunks_exact_mut(4).zip(receipt) {
            chunk.copy_from_slice(&number.to_ne_bytes());
        }
        send(channel, &bytes);
        if receipt[0] == 0 {
            break;
        }
    }
}
