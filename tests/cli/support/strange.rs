//! Rare situations: a process whose main thread has exited, an idle thread, a sandbox without
//! pidfds, and sigsend held between a look-up and its next call.
#![expect(
    unsafe_code,
    reason = "seccomp filters and Landlock have no safe wrapper"
)]

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::fmt::Display;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, gettid};

use super::roles::player;
use super::sys::succeeded;
use super::{
    Done, Runs, SIGSEND, Trace, Victim, eventually, program, status_field, tempdir, tool, victim,
    words,
};

/// A process whose main thread has exited while another one runs: its state is `Z`, but it is
/// alive. Also returns the ID of the running thread. Its command name is `name`. It exits on a line
/// of standard input.
pub fn leaderless(name: &str) -> (Victim, i32) {
    let mut options = victim().named(name);
    let mut command = player("leaderless", options.linked_test().as_deref());
    command.stderr(Stdio::null());
    let mut victim = options.command(command);
    loop {
        if let Some(thread) = victim.read_line().strip_prefix("ready ") {
            return (victim, thread.parse().expect("a thread ID"));
        }
    }
}

/// The ID of a thread of the test itself, other than its main one; it waits until the sender is
/// dropped.
pub fn idle_thread() -> (i32, mpsc::Sender<()>) {
    let (release, wait) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let _ = tell.send(gettid().as_raw());
        let _ = wait.recv();
    });
    (told.recv().expect("the thread sends its ID"), release)
}

/// Puts `command` into a sandbox where pidfd_open(2) fails with `errno`.
pub fn without_pidfds(command: &mut Command, errno: c_int) {
    let errno = errno.unsigned_abs() & libc::SECCOMP_RET_DATA;
    let number = u32::try_from(libc::SYS_pidfd_open).expect("a small number");
    let step = |code: u32, jf, k| {
        let code = u16::try_from(code).expect("a BPF code");
        libc::sock_filter { code, jt: 0, jf, k }
    };
    let answer = libc::BPF_RET | libc::BPF_K;
    let mut filter = [
        // The number of the system call is the first field of seccomp_data.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, number),
        step(answer, 0, libc::SECCOMP_RET_ERRNO | errno),
        step(answer, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let enter = move || {
        let program = libc::sock_fprog {
            len: 4,
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: `program` and the four steps it points to outlive the calls, which copy them.
        succeeded(unsafe {
            let mode = libc::SECCOMP_MODE_FILTER;
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                | libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program)
        })
    };
    // SAFETY: between fork and exec only two system calls are made, on memory of the closure
    // itself.
    unsafe { command.pre_exec(enter) };
}

/// Puts `command` into a Landlock domain whose processes may signal one another only (Linux 6.12).
/// `false` if the kernel does not support that.
pub fn without_signals_to_others(command: &mut Command) -> bool {
    const VERSION: c_int = 1;
    const SCOPE_SIGNAL: u64 = 1 << 1;
    let create = |attributes: Option<&[u64; 3]>, flags: c_int| {
        let (pointer, size) = attributes.map_or((std::ptr::null(), 0), |all| {
            (all.as_ptr(), size_of_val(all))
        });
        // SAFETY: the attributes, if any, outlive the call, which copies them.
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, pointer, size, flags) }
    };
    if create(None, VERSION) < 6 {
        return false;
    }
    let enter = move || {
        // Handled file accesses, handled network accesses, scopes.
        let ruleset = create(Some(&[0, 0, SCOPE_SIGNAL]), 0);
        // SAFETY: both take integers.
        succeeded(unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                | i32::from(libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0) != 0)
        })
    };
    // SAFETY: between fork and exec only system calls are made, on memory of the closure itself.
    unsafe { command.pre_exec(enter) };
    true
}

/// The points at which sigsend is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// A name was read for a PID that is not pinned yet.
    BeforePinning,
    /// The pidfd is open, and nothing was read after that.
    AfterPinning,
    /// All checks were done, and the signal is about to be sent.
    BeforeSending,
}

pub const WINDOWS: [Window; 3] = [
    Window::BeforePinning,
    Window::AfterPinning,
    Window::BeforeSending,
];

/// A sigsend that strace holds in a window until [`Self::go`], so that an event in the window is no
/// race.
pub struct Held {
    child: Child,
    /// `None` if it ended before the tracer was found.
    tracer: Option<i32>,
}

impl Held {
    /// Starts `sigsend LINE` and waits until it has reached the window. To be used in a PID
    /// namespace, which reaps the tracer.
    #[track_caller]
    pub fn at(window: Window, line: &str) -> Self {
        let (name, number) = match window {
            Window::BeforeSending => ("pidfd_send_signal", libc::SYS_pidfd_send_signal),
            _ => ("pidfd_open", libc::SYS_pidfd_open),
        };
        let call = Call::nth(name, 1);
        let held = match window {
            Window::AfterPinning => Self::after(&call, line),
            _ => Self::before(&call, line),
        };
        held.has_entered(number);
        assert_eq!(held.has_pinned(), window != Window::BeforePinning);
        held
    }

    /// Starts `sigsend LINE` and waits until it enters a system call for the nth time, or ends
    /// without that. To be used in a PID namespace, which reaps the tracer.
    pub fn before(call: &Call, line: &str) -> Self {
        Self::on(call, "delay_enter", line)
    }

    /// The same, held when the system call has done its work and has not returned.
    pub fn after(call: &Call, line: &str) -> Self {
        Self::on(call, "delay_exit", line)
    }

    fn on(call: &Call, delay: &str, line: &str) -> Self {
        let dir = tempdir();
        let log = dir.path().join("strace");
        let Call { name, nth } = call;
        // C libraries differ in which of the two they call, and not every architecture has both.
        let names = match &**name {
            "epoll_wait" => vec!["epoll_wait", "epoll_pwait"],
            name => vec![name],
        };
        let set = names.iter().map(|name| format!("?{name}"));
        let set = set.collect::<Vec<_>>().join(",");
        // The tracer as a grandchild: sigsend is our child, and continues when the tracer is gone.
        let inject = format!("inject={set}:{delay}={LONGEST_DELAY}:when={nth}");
        let mut command = tool(&format!("strace -D -qq -e trace={set} -e {inject} -o"));
        command.arg(&log).arg(*SIGSEND).args(words(line));
        command.stdin(Stdio::null());
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = piped.spawn().expect("strace starts");
        let mut tracer = None;
        eventually("sigsend to reach the system call", || {
            // A line is complete when a call returns. With all but one of them in the log, the next
            // one is held.
            let log = fs::read_to_string(&log).unwrap_or_default();
            let is_of_call = |line: &&str| {
                let name = line.split_once('(').map_or("", |(name, _)| name);
                names.contains(&name) && line.contains(" = ")
            };
            let returned = log.lines().filter(is_of_call).count();
            // When held at the exit, the line may already be complete.
            let is_there = returned + 1 == *nth || delay == "delay_exit" && returned == *nth;
            let status = status_of(child.id());
            tracer = tracer.or(tracer_in(&status));
            is_there && tracer.is_some_and(|tracer| is_delayed(child.id(), tracer))
                || status.contains("State:\tZ")
        });
        Self { child, tracer }
    }

    /// Waits until it is in the system call of this number. Between two calls it may be stopped by
    /// its tracer, too.
    #[track_caller]
    pub fn has_entered(&self, number: i64) {
        let is_there = || is_in(self.child.id(), number);
        eventually("sigsend to enter the system call", is_there);
    }

    pub fn has_pinned(&self) -> bool {
        has_open(self.child.id(), "pidfd")
    }

    #[track_caller]
    pub fn go(self) -> Done {
        let tracer = self.tracer.map(Pid::from_raw);
        if let Some(tracer) = tracer {
            kill(tracer, Signal::SIGKILL).expect("the tracer is ours");
        }
        let output = self.child.wait_with_output().expect("sigsend ends");
        if let Some(tracer) = tracer {
            waitpid(tracer, None).expect("orphans are reparented to process 1, which is the test");
        }
        Done::of("a held sigsend", output)
    }
}

/// A system call of sigsend: its name, and which of those with this name it is, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    pub nth: usize,
}

impl Call {
    pub fn nth(name: &str, nth: usize) -> Self {
        let name = name.to_owned();
        Self { name, nth }
    }
}

/// The system calls of a trace, numbered by name.
pub fn calls(trace: &Trace) -> Vec<Call> {
    let all = numbered(trace.calls.iter().map(String::as_str));
    all.map(|(name, nth, _)| Call::nth(name, nth)).collect()
}

/// The name of each system call of a trace, which of those with this name it is, and its line.
pub fn numbered<'a>(
    lines: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = (&'a str, usize, &'a str)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let named = lines.filter_map(|line| Some((line.split_once('(')?.0, line)));
    named.map(move |(name, line)| {
        let count = counts.entry(name).or_default();
        *count += 1;
        (name, *count, line)
    })
}

/// The system calls of a trace after the first one whose line contains this text.
#[track_caller]
pub fn calls_after(trace: &Trace, text: &str) -> Vec<Call> {
    let first = trace.calls.iter().position(|call| call.contains(text));
    calls(trace).split_off(first.expect("the call is in the trace") + 1)
}

/// Whether a process has a descriptor of this kind, as its link in /proc/PID/fd names it.
pub fn has_open(pid: impl Display, kind: &str) -> bool {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter();
    let fds = fds.flatten();
    let mut links = fds.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    links.any(|to| to.to_string_lossy().contains(kind))
}

/// Whether a process is in the system call of this number.
fn is_in(pid: u32, number: i64) -> bool {
    let call = fs::read_to_string(format!("/proc/{pid}/syscall"));
    call.is_ok_and(|call| call.starts_with(&format!("{number} ")))
}

/// The longest that a test can take, in microseconds.
const LONGEST_DELAY: &str = "100000000";

fn status_of(pid: impl Display) -> String {
    fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

/// Whether strace delays a process. strace stops it at each of its calls, and when it attaches, but
/// sleeps while it is stopped only during a delay.
fn is_delayed(pid: u32, tracer: i32) -> bool {
    // A tracer that has run in between has slept once more.
    let sleeps = || {
        let is_asleep = status_field(tracer, "State").starts_with('S');
        is_asleep.then(|| status_field(tracer, "voluntary_ctxt_switches"))
    };
    let before = sleeps();
    let is_stopped = status_of(pid).contains("State:\tt");
    is_stopped && before.is_some() && sleeps() == before
}

/// The PID of the tracer in the text of /proc/PID/status.
fn tracer_in(status: &str) -> Option<i32> {
    let mut lines = status.lines();
    let tracer = lines.find_map(|line| line.strip_prefix("TracerPid:\t"))?;
    tracer.parse().ok().filter(|tracer| *tracer != 0)
}

/// Whether strace can be used here at all. Determined once.
pub fn may_trace() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    let try_it = || tool("strace -D -qq -o /dev/null true").run(&[]).status == Some(0);
    *ANSWER.get_or_init(|| program("strace").is_some() && try_it())
}
