//! System calls without a safe wrapper: forking a sleeper, tracing a program until it exits, signal
//! dispositions.
#![expect(
    unsafe_code,
    reason = "fork, ptrace and sigaction have no safe interface"
)]

use std::ffi::c_int;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getppid, pause};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_: c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Makes INT and TERM only set a flag, so that an interrupted run still removes its directory.
pub fn defer_interrupts() -> Result<()> {
    let action = SigAction::new(
        SigHandler::Handler(note_interrupt),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the handler does nothing but store to an atomic.
        unsafe { sigaction(signal, &action) }.context("catching interrupts")?;
    }
    Ok(())
}

pub fn fail_if_interrupted() -> Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}

/// Makes this process and its children ignore the HUP that the benchmark sends.
pub fn ignore_hangups() -> Result<()> {
    let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed, only the disposition changes.
    unsafe { sigaction(Signal::SIGHUP, &action) }.context("ignoring HUP")?;
    Ok(())
}

/// Forks a child that sleeps until it is killed or its parent, `helper`, is gone.
pub fn fork_sleeper(helper: Pid) -> nix::Result<Pid> {
    // SAFETY: the helper has a single thread, so no lock can be held in the child.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let tied = prctl::set_pdeathsig(Signal::SIGKILL).is_ok();
            while tied && getppid() == helper {
                pause();
            }
            // SAFETY: _exit does not run the parent's exit handlers.
            unsafe { libc::_exit(1) }
        }
    }
}

/// Waits for a child; how it ended, and the CPU time that it took, which wait4(2) knows exactly.
pub fn reap(child: Pid) -> Result<(WaitStatus, Duration)> {
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: both places are large enough, and all zeros are a valid rusage.
    let (reaped, usage) = unsafe {
        let reaped = libc::wait4(child.as_raw(), &raw mut status, 0, usage.as_mut_ptr());
        (reaped, usage.assume_init())
    };
    Errno::result(reaped)?;
    let time = |value: libc::timeval| -> Result<Duration> {
        Ok(Duration::new(
            u64::try_from(value.tv_sec)?,
            1000 * u32::try_from(value.tv_usec)?,
        ))
    };
    Ok((
        WaitStatus::from_raw(child, status)?,
        time(usage.ru_utime)? + time(usage.ru_stime)?,
    ))
}

/// Reaps what a helper that was killed has left behind, if this process is the first one of a PID
/// namespace: zombies would make each look longer.
pub fn reap_orphans() {
    while matches!(
        waitpid(None, Some(WaitPidFlag::WNOHANG)),
        Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..))
    ) {}
}

/// Runs `command` to its end and returns its peak resident memory in bytes.
///
/// Not from rusage: there a child's peak includes the memory of the process that forked it.
pub fn peak_memory(mut command: Command) -> Result<u64> {
    // SAFETY: the closure is one system call and allocates nothing.
    unsafe { command.pre_exec(|| ptrace::traceme().map_err(io::Error::from)) };
    let mut child = command.spawn().context("starting a traced program")?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    let peak = peak_of_traced(pid);
    if peak.is_err() {
        child
            .kill()
            .and_then(|()| child.wait())
            .context("ending a traced program")?;
    }
    peak
}

fn peak_of_traced(pid: Pid) -> Result<u64> {
    let options = Options::PTRACE_O_TRACEEXIT | Options::PTRACE_O_EXITKILL;
    let mut peak = None;
    // The first stop is the SIGTRAP of the exec, the last one is PTRACE_EVENT_EXIT, when the memory
    // is still mapped.
    loop {
        let pass_on = match waitpid(pid, None)? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                ptrace::setoptions(pid, options)?;
                None
            }
            WaitStatus::Stopped(_, signal) => Some(signal),
            WaitStatus::PtraceEvent(..) => {
                peak = Some(high_water_mark(pid)?);
                None
            }
            WaitStatus::Exited(_, 0) => {
                return peak.context("the program ended without an exit event");
            }
            status => bail!("ended with {status:?}"),
        };
        ptrace::cont(pid, pass_on)?;
    }
}

fn high_water_mark(pid: Pid) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM in /proc/PID/status")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024)
}
