//! Processes by command name, and the rules for believing /proc.

use anyhow::{Context, Result, bail};
use nix::unistd::{getpid, getuid};

use crate::os::pidfd::Pinned;
use crate::os::pids;
use crate::os::proc;
use crate::outcome::Reason;
use crate::plan::Users;
use crate::signal::nearest;
use crate::target::Pid;

const LOOKING: &str = "looking processes up in /proc";

/// All processes that /proc shows. An error where it is missing or of another PID namespace: an
/// empty answer would read as "no such process".
pub fn processes() -> Result<Vec<Pid>> {
    check_proc()?;
    pids::pids().context(LOOKING)
}

/// Fails where /proc is missing, or where its numbers mean processes of another PID namespace.
pub fn check_proc() -> Result<()> {
    if !proc::is_ours().context(LOOKING)? {
        bail!("{LOOKING}: it belongs to another PID namespace");
    }
    Ok(())
}

/// The living processes with this command name, pinned. sigsend itself is never one of them.
pub fn named(name: &str, users: Users) -> Result<Vec<Pinned>> {
    let own = getpid().as_raw();
    let mut found = Vec::new();
    for pid in processes()? {
        if pid.number() == own || !may_be_named(pid, name)? {
            continue;
        }
        let Ok(process) = Pinned::open(pid)? else {
            continue;
        };
        if is_named(pid, name)? && belongs(pid, users)? && process.is_running()? {
            found.push(process);
        }
    }
    Ok(found)
}

/// Why no process was found: the nearest name that a process has, and how many processes of other
/// users have exactly this one.
pub fn nameless(name: &str, users: Users) -> Result<Reason> {
    let own = getpid().as_raw();
    let mut of_others = 0;
    let mut names = Vec::new();
    for pid in processes()?.into_iter().filter(|pid| pid.number() != own) {
        if belongs(pid, users)? {
            // A zombie may have exactly the name that no living process has.
            let known = proc::name(pid)
                .ok()
                .and_then(|name| String::from_utf8(name).ok());
            names.extend(known.filter(|known| known != name));
        } else if is_named(pid, name)? && !proc::is_zombie(pid) {
            of_others += 1;
        }
    }
    let same_letters = names.iter().find(|known| known.eq_ignore_ascii_case(name));
    let nearest = same_letters
        .map(String::as_str)
        .or_else(|| nearest(name, names.iter().map(String::as_str)));
    Ok(Reason::Nameless {
        nearest: nearest.map(str::to_owned),
        of_others,
    })
}

/// Whether the command name alone allows a process to have the name. Cheap: one small read.
fn may_be_named(pid: Pid, name: &str) -> Result<bool> {
    let Some(known) = proc::if_visible(proc::name(pid)).context(LOOKING)? else {
        return Ok(false);
    };
    Ok(if name.len() <= proc::NAME_LENGTH {
        known == name.as_bytes()
    } else {
        name.as_bytes().starts_with(&known)
    })
}

/// Whether a process has the name. A command name holds 15 bytes, so a longer one must also be that
/// of argv[0] or of the executable.
fn is_named(pid: Pid, name: &str) -> Result<bool> {
    let may_be = may_be_named(pid, name)?;
    if !may_be || name.len() <= proc::NAME_LENGTH {
        return Ok(may_be);
    }
    let argument = proc::if_visible(proc::first_argument(pid))
        .context(LOOKING)?
        .flatten();
    let executable = proc::if_visible(proc::executable(pid)).context(LOOKING)?;
    Ok([argument, executable]
        .iter()
        .flatten()
        .any(|claim| claim == name.as_bytes()))
}

/// Whether a process is one of the selected users'.
pub fn belongs(pid: Pid, users: Users) -> Result<bool> {
    if users == Users::All {
        return Ok(true);
    }
    let status = proc::if_visible(proc::status(pid)).context(LOOKING)?;
    Ok(status.is_some_and(|status| status.real_user == getuid().as_raw()))
}
