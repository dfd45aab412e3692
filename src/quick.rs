//! Everyday calls without clap, which takes most of the time of a short run:
//! `[-w] [-SIGNAL | -s SIGNAL] PID...` and `-l`. What is not understood here, and what does not
//! succeed, is left to the parser and the plan.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{getpgid, getpid};

use crate::os::sys::{self, Scope, retry};
use crate::output::list;
use crate::output::terminal::Stream;
use crate::plan::{Begun, Until};
use crate::signal::Signal;
use crate::target::Pid;

/// Carries out an everyday call; whether its output was written. `arguments` are those after
/// argv\[0\]. Another call is left to the parser, with what is done of it.
pub fn carry_out(
    arguments: impl Iterator<Item = &'static OsStr> + Clone,
) -> Result<io::Result<()>, Begun> {
    if arguments.clone().eq(["-l"]) && !Stream::Output.is_terminal() {
        return Ok(list());
    }
    let (signal, until, mut pids) = read(arguments).ok_or_else(Begun::default)?;
    if until == Until::Sent {
        return send(pids, signal).map(Ok);
    }
    match (pids.next(), pids.next()) {
        (Some(pid), None) => wait(pid, signal).map(Ok),
        // Each must be pinned before the first signal.
        _ => Err(Begun::default()),
    }
}

/// Writes the names in one write(2), from a buffer that is not allocated.
fn list() -> io::Result<()> {
    let mut names = [0; 512];
    let mut room = names.as_mut_slice();
    for signal in list::named() {
        writeln!(room, "{signal}")?;
    }
    let length = 512 - room.len();
    Stream::Output.write_all(&names[..length])
}

/// Reads a whole line; `None` if any word of it is not understood.
fn read<'a>(
    mut words: impl Iterator<Item = &'a OsStr> + Clone,
) -> Option<(Signal, Until, impl Iterator<Item = Pid>)> {
    let (mut signal, mut until) = (None, Until::Sent);
    let targets = loop {
        let rest = words.clone();
        match words.next()?.as_bytes() {
            b"-w" | b"--wait" => until = Until::Gone,
            b"-s" if signal.is_none() => signal = Some(named(words.next()?.as_bytes())?),
            [b'-', old @ ..] if signal.is_none() => signal = Some(named(old)?),
            _ => break rest,
        }
    };
    let own = getpid();
    // sigsend's own PID comes last, with the dispositions that sigsend was started with.
    let other =
        move |word: &OsStr| Pid::unpadded(word.to_str()?).filter(|pid| pid.process() != own);
    let mut checked = targets.clone();
    checked.all(|word| other(word).is_some()).then(|| {
        (
            signal.unwrap_or(Signal::TERM),
            until,
            targets.filter_map(other),
        )
    })
}

fn named(text: &[u8]) -> Option<Signal> {
    str::from_utf8(text).ok()?.parse().ok()
}

fn send(pids: impl Iterator<Item = Pid>, signal: Signal) -> Result<(), Begun> {
    for (done, pid) in pids.enumerate() {
        sys::kill(pid.process(), signal).map_err(|errno| Begun {
            done,
            refusal: Some(errno),
        })?;
    }
    Ok(())
}

/// Sends the signal through a pidfd and waits for the end.
fn wait(pid: Pid, signal: Signal) -> Result<(), Begun> {
    let nothing = |_| Begun::default();
    let pidfd = sys::pidfd_open(pid).map_err(nothing)?;
    // No signal ends a kernel thread, which is in no process group, and perhaps none process 1.
    let may_end = pid != Pid::INIT && getpgid(Some(pid.process())).is_ok_and(|of| of.as_raw() > 0);
    let is_shown = Stream::Error.is_terminal();
    if !may_end || is_shown || has_exited(pidfd.as_fd(), PollTimeout::ZERO) != Ok(false) {
        return Err(Begun::default());
    }
    sys::pidfd_send_signal(pidfd.as_fd(), signal, None, Scope::Process).map_err(nothing)?;
    match has_exited(pidfd.as_fd(), PollTimeout::NONE) {
        Ok(true) => Ok(()),
        _ => Err(Begun {
            done: 1,
            refusal: None,
        }),
    }
}

fn has_exited(pidfd: BorrowedFd, timeout: PollTimeout) -> nix::Result<bool> {
    let mut fds = [PollFd::new(pidfd, PollFlags::POLLIN)];
    retry(|| poll(&mut fds, timeout)).map(|ready| ready > 0)
}
