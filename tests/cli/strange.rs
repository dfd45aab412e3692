//! Rare situations: a process whose main thread has exited, an idle thread, a sandbox without
//! pidfds, and sigsend held between a look-up and its next call.
#![expect(
    unsafe_code,
    reason = "seccomp filters and the end of a single thread have no safe wrapper"
)]

use std::collections::BTreeMap;
use std::env;
use std::ffi::c_int;
use std::fmt::Display;
use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, gettid};

use crate::support::{SIGSEND, Trace, Victim, eventually, tempdir, victim};

/// Tells a test binary to keep running without its main thread.
const MODE: &str = "SIGSEND_TEST_LEADERLESS";

/// A process whose main thread has exited while another one runs: its state is `Z`, but it is
/// alive. Also returns the ID of the running thread. Its command name is `name`. It exits on a line
/// of standard input.
#[track_caller]
pub fn leaderless(name: &str) -> (Victim, i32) {
    let mut options = victim().named(name);
    let mut command =
        Command::new(options.linked(env::current_exe().expect("a running test has a path")));
    command.args([
        "--exact",
        "strange::keeps_running_without_its_main_thread",
        "--nocapture",
    ]);
    command.env(MODE, "1").stderr(Stdio::null());
    let mut victim = options.command(command);
    loop {
        if let Some(thread) = victim.read_line().strip_prefix("ready ") {
            return (victim, thread.parse().expect("a thread ID"));
        }
    }
}

extern "C" fn end_this_thread(_signal: c_int) {
    // SAFETY: the system call ends only the calling thread and does not return.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

#[test]
fn keeps_running_without_its_main_thread() {
    if env::var_os(MODE).is_none() {
        return;
    }
    // The test harness owns the main thread, so that thread exits from a signal handler. SAFETY:
    // the handler makes one system call; the signal goes to the main thread of this very process.
    unsafe {
        libc::signal(
            libc::SIGUSR1,
            end_this_thread as *const () as libc::sighandler_t,
        );
        let process = libc::getpid();
        libc::syscall(libc::SYS_tgkill, process, process, libc::SIGUSR1);
    }
    let state = || fs::read_to_string("/proc/self/status").unwrap_or_default();
    eventually("the main thread to exit", || state().contains("State:\tZ"));
    let said = write!(io::stdout(), "\nready {}\n", gettid()).and_then(|()| io::stdout().flush());
    said.expect("the test listens");
    let _ = io::stdin().lock().read_line(&mut String::new());
    // The exited main thread cannot be joined. SAFETY: ends the process, which has nothing to clean
    // up.
    unsafe { libc::_exit(0) };
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
    let step = |code: u32, yes, no, operand| libc::sock_filter {
        code: u16::try_from(code).expect("a BPF code"),
        jt: yes,
        jf: no,
        k: operand,
    };
    let filter = [
        // The number of the system call is the first field of seccomp_data.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
        step(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | errno,
        ),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let enter = move || {
        let mut filter = filter;
        let program = libc::sock_fprog {
            len: 4,
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: `program` and the four steps it points to outlive the calls, which copy them.
        let refused = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                | libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const program,
                )
        };
        if refused == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
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
    // SAFETY: no ruleset is created, the call returns the version.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u64>(),
            0_usize,
            VERSION,
        )
    };
    if version < 6 {
        return false;
    }
    let enter = move || {
        // Handled file accesses, handled network accesses, scopes.
        let attributes = [0, 0, SCOPE_SIGNAL];
        // SAFETY: the attributes outlive the call, which copies them.
        let refused = unsafe {
            let size = size_of_val(&attributes);
            let ruleset = libc::syscall(
                libc::SYS_landlock_create_ruleset,
                attributes.as_ptr(),
                size,
                0,
            );
            libc::c_long::from(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
                | libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0)
        };
        if refused == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
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

/// A sigsend that strace holds in a window until [`Self::go`], so that an event in the window is no
/// race.
pub struct Held {
    child: Child,
    /// `None` if it ended before the tracer was found.
    tracer: Option<i32>,
}

impl Held {
    /// Starts `sigsend args` and waits until it has reached the window. To be used in a PID
    /// namespace, which reaps the tracer.
    #[track_caller]
    pub fn at(window: Window, args: &[&str]) -> Self {
        let (call, number, delay) = match window {
            Window::BeforePinning => ("pidfd_open", libc::SYS_pidfd_open, "delay_enter"),
            Window::AfterPinning => ("pidfd_open", libc::SYS_pidfd_open, "delay_exit"),
            Window::BeforeSending => (
                "pidfd_send_signal",
                libc::SYS_pidfd_send_signal,
                "delay_enter",
            ),
        };
        let child = held(
            &format!("inject={call}:{delay}={LONGEST_DELAY}"),
            "/dev/null",
            args,
        );
        let about = |file: &str| {
            fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap_or_default()
        };
        eventually("sigsend to reach the window", || {
            about("syscall").starts_with(&format!("{number} "))
                && has_open(child.id(), "pidfd") == (window != Window::BeforePinning)
        });
        let tracer = Some(tracer_in(&status_of(child.id())).expect("held by a tracer"));
        Self { child, tracer }
    }

    /// Starts `sigsend args` and waits until it enters a system call for the nth time, or ends
    /// without that. To be used in a PID namespace, which reaps the tracer.
    #[track_caller]
    pub fn before(call: &Call, args: &[&str]) -> Self {
        Self::on(call, "delay_enter", args)
    }

    /// The same, held when the system call has done its work and has not returned.
    #[track_caller]
    pub fn after(call: &Call, args: &[&str]) -> Self {
        Self::on(call, "delay_exit", args)
    }

    #[track_caller]
    fn on(call: &Call, delay: &str, args: &[&str]) -> Self {
        let dir = tempdir();
        let log = dir.path().join("strace");
        let Call { name, nth } = call;
        // C libraries differ in which of the two they call, and not every architecture has both.
        let names = if name == "epoll_wait" {
            vec![name, "epoll_pwait"]
        } else {
            vec![&**name]
        };
        let set = names
            .iter()
            .map(|name| format!("?{name}"))
            .collect::<Vec<_>>()
            .join(",");
        let inject = format!("inject={set}:{delay}={LONGEST_DELAY}:when={nth}");
        let child = held(&inject, log.to_str().expect("UTF-8"), args);
        let mut tracer = None;
        eventually("sigsend to reach the system call", || {
            // A line is complete when a call returns. With all but one of them in the log, the next
            // one is held.
            let log = fs::read_to_string(&log).unwrap_or_default();
            let of_call = log.lines().filter(|line| {
                line.split_once('(')
                    .is_some_and(|(name, _)| names.contains(&name))
            });
            let returned = of_call.filter(|line| line.contains(" = ")).count();
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
        let path = format!("/proc/{}/syscall", self.child.id());
        let is_in =
            || fs::read_to_string(&path).is_ok_and(|call| call.starts_with(&format!("{number} ")));
        eventually("sigsend to enter the system call", is_in);
    }

    /// Whether it has opened a pidfd.
    pub fn has_pinned(&self) -> bool {
        has_open(self.child.id(), "pidfd")
    }

    /// Lets it continue; returns its output and status.
    #[track_caller]
    pub fn go(self) -> Output {
        let tracer = self.tracer.map(Pid::from_raw);
        if let Some(tracer) = tracer {
            kill(tracer, Signal::SIGKILL).expect("the tracer is ours");
        }
        let output = self.child.wait_with_output().expect("sigsend ends");
        if let Some(tracer) = tracer {
            waitpid(tracer, None).expect("orphans are reparented to process 1, which is the test");
        }
        output
    }
}

/// A system call of sigsend: its name, and which of those with this name it is, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    pub nth: usize,
}

/// The system calls of a trace, numbered by name.
pub fn calls(trace: &Trace) -> Vec<Call> {
    let mut counts = BTreeMap::new();
    let names = trace
        .calls
        .iter()
        .filter_map(|line| line.split_once('('))
        .map(|(name, _)| name);
    names
        .map(|name| {
            let nth = counts
                .entry(name)
                .and_modify(|count| *count += 1)
                .or_insert(1_usize);
            Call {
                name: name.to_owned(),
                nth: *nth,
            }
        })
        .collect()
}

/// The system calls of a trace after the first one whose line contains this text.
#[track_caller]
pub fn calls_after(trace: &Trace, text: &str) -> Vec<Call> {
    let first = trace
        .calls
        .iter()
        .position(|call| call.contains(text))
        .expect("the call is in the trace");
    calls(trace).split_off(first + 1)
}

/// Whether a process has a descriptor of this kind, as its link in /proc/PID/fd names it.
pub fn has_open(pid: impl Display, kind: &str) -> bool {
    let fds = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    fds.filter_map(|fd| fs::read_link(fd.path()).ok())
        .any(|to| to.to_string_lossy().contains(kind))
}

/// The longest that a test can take, in microseconds.
const LONGEST_DELAY: &str = "100000000";

/// Starts `sigsend args` under strace with an injection.
fn held(inject: &str, log: &str, args: &[&str]) -> Child {
    let call = inject
        .trim_start_matches("inject=")
        .split(':')
        .next()
        .unwrap_or_default();
    let mut command = Command::new("strace");
    // The tracer as a grandchild: sigsend is our child, and continues when the tracer is gone.
    command
        .args([
            "-D",
            "-qq",
            "-o",
            log,
            "-e",
            &format!("trace={call}"),
            "-e",
            inject,
        ])
        .arg(SIGSEND)
        .args(args);
    command
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .current_dir("/");
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    child.expect("strace starts")
}

fn status_of(pid: impl Display) -> String {
    fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

/// Whether strace delays a process. strace stops it at each of its calls, and when it attaches, but
/// sleeps while it is stopped only during a delay.
fn is_delayed(pid: u32, tracer: i32) -> bool {
    // A tracer that has run in between has slept once more.
    let sleeps = || {
        let status = status_of(tracer);
        let count = status
            .lines()
            .find(|line| line.starts_with("voluntary_ctxt_switches:"));
        count
            .filter(|_| status.contains("State:\tS"))
            .map(str::to_owned)
    };
    let before = sleeps();
    let is_stopped = status_of(pid).contains("State:\tt");
    is_stopped && before.is_some() && sleeps() == before
}

/// The PID of the tracer in the text of /proc/PID/status.
fn tracer_in(status: &str) -> Option<i32> {
    let tracer = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:\t"))?;
    tracer.parse().ok().filter(|tracer| *tracer != 0)
}

/// Whether strace can be used here at all.
pub fn may_trace() -> bool {
    let mut traced = Command::new("strace");
    traced
        .args(["-D", "-qq", "-o", "/dev/null", "true"])
        .stderr(Stdio::null());
    traced.status().is_ok_and(|status| status.success())
}
