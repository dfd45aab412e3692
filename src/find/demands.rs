//! What is read of a pinned process, and why it fails what the call demands: `-f`, `--cwd`, `-u`,
//! `--expect`, `-r`, and that its signals can end it.

use std::io::{self, ErrorKind};

use anyhow::Result;
use nix::unistd::getpgid;

use crate::event::Reason;
use crate::find::filter::{Rules, Way};
use crate::os::pidfd::Pinned;
use crate::os::proc;
use crate::plan::Users;
use crate::signal::Signal;
use crate::target::Pid;

impl Rules<'_> {
    /// Why a process fails `-f`, `--cwd` and, unless it was found by its user, `-u`.
    pub fn fails(&self, process: &Pinned, way: Way) -> Result<Option<Reason>> {
        let pid = process.pid;
        if !way.is_described()
            && let Users::Of(wanted) = &self.plan.selection.users
        {
            let wanted = wanted.display().to_string();
            match process.real_user()? {
                Some(user) if Some(user) == self.owner => {}
                Some(user) => {
                    let user = proc::user_name(user);
                    return Ok(Some(Reason::OtherUser { wanted, user }));
                }
                None => return Ok(Some(unverified(format!("{wanted}'s").as_bytes()))),
            }
        }
        let texts = &self.plan.selection.full;
        if !texts.is_empty() {
            let line = proc::arguments(pid).map(|arguments| arguments.join(&b' '));
            for text in texts.iter().map(|text| text.as_encoded_bytes()) {
                match &line {
                    Ok(line) if contains(line, text) => {}
                    Ok(_) => {
                        let name = proc::name(pid).unwrap_or_default();
                        let text = text.to_vec();
                        return Ok(Some(Reason::NoSuchText { text, name }));
                    }
                    Err(_) => return Ok(Some(unverified(text))),
                }
            }
        }
        if let (Some(place), Some(wanted)) = (&self.directory, &self.plan.selection.cwd) {
            let wanted = wanted.as_encoded_bytes().to_vec();
            match proc::works_in(pid, place) {
                Ok(true) => {}
                Ok(false) => {
                    let directory = proc::working_directory(pid).unwrap_or_default();
                    return Ok(Some(Reason::WorksElsewhere { wanted, directory }));
                }
                Err(_) => return Ok(Some(unverified(&wanted))),
            }
        }
        Ok(None)
    }

    /// Why a process is not what `--expect` wants.
    pub fn unexpected(&self, pid: Pid) -> Option<Reason> {
        let expected = self.plan.selection.expect.as_ref()?.as_encoded_bytes();
        let is = |claim: &[u8]| claim == expected;
        let name = proc::name(pid).ok();
        let executable = proc::executable(pid);
        if name.as_deref().is_some_and(is) || executable.as_deref().is_ok_and(is) {
            return None;
        }
        // The memory of the process is read last.
        let arguments = proc::arguments(pid);
        let first = arguments.as_ref().ok().and_then(|all| all.first());
        if first.is_some_and(|first| is(proc::basename(first))) {
            return None;
        }
        let is_unclear = |kind| matches!(kind, ErrorKind::PermissionDenied | ErrorKind::TimedOut);
        let is_hidden = executable.is_err_and(|error| is_unclear(error.kind()))
            || arguments.is_err_and(|error| is_unclear(error.kind()));
        let expected = expected.to_vec();
        Some(match name {
            Some(name) if !is_hidden => Reason::NotExpected { expected, name },
            _ => Reason::Unverified { expected },
        })
    }

    /// Why the signals of a call that waits or follows up end nothing.
    pub fn unreachable(&self, pid: Pid, way: Way) -> Option<Reason> {
        let plan = self.plan;
        if self.is_question() || plan.is_single() {
            return None;
        }
        if way != Way::Group && is_kernel_thread(pid) {
            return Some(Reason::KernelThread);
        }
        // The kernel drops what the first process of its own PID namespace does not catch, KILL and
        // STOP too (pid_namespaces(7)).
        let mut signals = plan.signals().filter(|signal| !signal.is_null()).peekable();
        let is_protected = pid == Pid::INIT
            && signals.peek().is_some()
            && signals.all(|signal| catches(pid, signal).is_ok_and(|catches| !catches));
        is_protected.then_some(Reason::Protected)
    }

    /// Why a process fails `-r`.
    pub fn uncaught(&self, pid: Pid) -> Option<Reason> {
        let signal = self.plan.selection.catching?;
        match catches(pid, signal) {
            Ok(true) => None,
            Ok(false) => {
                let name = proc::name(pid).unwrap_or_default();
                Some(Reason::NotCaught { signal, name })
            }
            Err(_) => Some(Reason::CatchUnknown { signal }),
        }
    }
}

fn catches(pid: Pid, signal: Signal) -> io::Result<bool> {
    Ok(proc::status(pid)?.caught.contains(signal))
}

/// Threads of the kernel are in no process group that has a number here, which one system call
/// shows.
pub fn is_kernel_thread(pid: Pid) -> bool {
    getpgid(Some(pid.process())).is_ok_and(|group| group.as_raw() == 0)
        && proc::stat(pid).is_ok_and(|stat| stat.is_kernel_thread())
}

pub fn contains(line: &[u8], text: &[u8]) -> bool {
    line.windows(text.len()).any(|window| window == text)
}

fn unverified(expected: &[u8]) -> Reason {
    Reason::Unverified {
        expected: expected.to_vec(),
    }
}
