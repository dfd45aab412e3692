//! From targets to pinned recipients: numbers, tokens, names and pidfiles looked up, identities checked.
//! Everything is pinned first, read second and proved alive third; nothing here sends a signal.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::unistd::{getpid, getuid};

use crate::find::pidfile::Written;
use crate::find::recipients::{Recipient, Roster};
use crate::os::pidfd::Pinned;
use crate::os::proc;
use crate::outcome::{NoProcess, Reason};
use crate::output::escape::escape;
use crate::plan::{Labels, Pidfile, Reach, Selection, Users};
use crate::signal::nearest;
use crate::target::{Inode, Pid, Target};

/// A target that nothing is sent to.
#[derive(Debug)]
pub struct Miss {
    pub typed: Rc<str>,
    pub pid: Option<Pid>,
    pub reason: Reason,
}

/// The refusal of a process that does not catch the signal which it must.
pub fn not_caught(selection: &Selection, pid: Pid) -> Option<Reason> {
    let signal = selection.catching?;
    let caught = proc::status(pid).is_ok_and(|status| status.caught.contains(signal));
    (!caught).then(|| Reason::NotCaught { signal, name: proc::name(pid).unwrap_or_default() })
}

/// What the single processes of a selection came to.
pub struct Resolution {
    pub roster: Roster,
    pub misses: Vec<Miss>,
}

/// Pins and checks every single process that the selection means; groups, `0` and `-1` are left to the caller.
pub fn resolve(selection: &Selection, labels: Labels) -> Result<Resolution> {
    if selection.needs_proc() {
        check_proc()?;
    }
    let mut resolver = Resolver { selection, labels, roster: Roster::default(), misses: Vec::new() };
    let listed = selection.pidfile.as_ref().map(Pidfile::read).transpose()?;
    for target in &selection.targets {
        resolver.target(target, None)?;
    }
    if let Some(listed) = listed {
        for target in &listed.targets {
            resolver.target(target, listed.written.as_ref())?;
        }
    }
    Ok(Resolution { roster: resolver.roster, misses: resolver.misses })
}

/// What a number must be proved to be.
enum Claim<'a> {
    Nothing,
    Inode(Inode),
    WriterOf(&'a Written),
}

struct Resolver<'a> {
    selection: &'a Selection,
    labels: Labels,
    roster: Roster,
    misses: Vec<Miss>,
}

impl Resolver<'_> {
    fn target(&mut self, target: &Target, written: Option<&Written>) -> Result<()> {
        let typed: Rc<str> = target.to_string().into();
        match target {
            Target::Process(pid) | Target::Padded(pid, _) => {
                self.number(*pid, &typed, &written.map_or(Claim::Nothing, Claim::WriterOf))
            }
            Target::Token(pid, inode) => self.number(*pid, &typed, &Claim::Inode(*inode)),
            Target::Name(name) => self.name(name, &typed),
            Target::Port(_) | Target::Group(_) | Target::OwnGroup | Target::Everyone => Ok(()),
        }
    }

    fn number(&mut self, pid: Pid, typed: &Rc<str>, claim: &Claim) -> Result<()> {
        let verdict = match Pinned::open(pid)? {
            Ok(process) => self.verify(process, claim)?,
            Err(absent) => Err(Reason::Absent(absent)),
        };
        self.settle(pid, typed, verdict)
    }

    fn name(&mut self, name: &str, typed: &Rc<str>) -> Result<()> {
        let own = getpid().as_raw();
        let mut found = false;
        for pid in processes()? {
            if pid.number() == own || !may_be_named(pid, name)? {
                continue;
            }
            let Ok(process) = Pinned::open(pid)? else { continue };
            if is_named(pid, name)? && belongs(pid, self.selection.users)? && process.holds_its_number()? {
                found = true;
                let verdict = self.verify(process, &Claim::Nothing)?;
                self.settle(pid, typed, verdict)?;
            }
        }
        if !found {
            let nearest = nearest_name(name, self.selection.users)?;
            self.misses.push(Miss {
                typed: Rc::clone(typed),
                pid: None,
                reason: Reason::Nameless { nearest, of_others: 0 },
            });
        }
        Ok(())
    }

    /// Puts a pinned process to all checks, then proves that its number was its own all the while.
    fn verify(&self, process: Pinned, claim: &Claim) -> Result<Result<Pinned, Reason>> {
        let pid = process.pid;
        let refused = match claim {
            Claim::Nothing => None,
            Claim::Inode(inode) => (process.inode()? != *inode).then_some(Reason::Recycled),
            Claim::WriterOf(file) => stale(pid, file)?,
        };
        let refused = refused.or_else(|| self.unexpected(pid));
        // In a tree, every member is asked what it catches, and a root that does not still has descendants.
        let refused = match self.selection.reach {
            Reach::Process => refused.or_else(|| not_caught(self.selection, pid)),
            Reach::Tree => refused.or_else(|| (pid == Pid::INIT).then_some(Reason::Everyone)),
        };
        Ok(match refused {
            Some(Reason::Recycled) => Err(Reason::Recycled),
            _ if !process.holds_its_number()? => Err(Reason::Absent(NoProcess::Gone)),
            Some(reason) => Err(reason),
            None => Ok(process),
        })
    }

    fn unexpected(&self, pid: Pid) -> Option<Reason> {
        let expected = self.selection.expect.as_ref()?.as_encoded_bytes();
        let (name, executable) = (proc::name(pid).ok(), proc::executable(pid));
        let may_see = !executable.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        let claims = [name.clone(), executable.ok(), proc::first_argument(pid).ok().flatten()];
        if claims.iter().flatten().any(|claim| claim == expected) {
            return None;
        }
        let expected = expected.to_vec();
        Some(match name {
            Some(name) if may_see => Reason::NotExpected { expected, name },
            _ => Reason::Unverified { expected },
        })
    }

    fn settle(&mut self, pid: Pid, typed: &Rc<str>, verdict: Result<Pinned, Reason>) -> Result<()> {
        match verdict {
            Ok(process) => self.roster.admit(Recipient::new(process, Rc::clone(typed), self.labels)).map(drop),
            Err(reason) => {
                self.misses.push(Miss { typed: Rc::clone(typed), pid: Some(pid), reason });
                Ok(())
            }
        }
    }
}

/// How much younger than its pidfile a process may be: some daemons write the file before they fork.
const LATITUDE: Duration = Duration::from_secs(2);

fn stale(pid: Pid, file: &Written) -> Result<Option<Reason>> {
    let deed = || format!("reading when process {pid} started");
    // Whoever has gone meanwhile is found out by the proof that follows; whoever is hidden cannot be told from a stranger.
    let Some(stat) = proc::if_visible(proc::stat(pid)).with_context(deed)? else {
        return Ok(Some(Reason::Unverified { expected: format!("the one that wrote {}", file.name).into_bytes() }));
    };
    let started = stat.started().with_context(deed)?;
    let latest = file.at.checked_add(LATITUDE).unwrap_or(file.at);
    Ok((started > latest).then(|| Reason::Stale { file: file.name.clone(), started, written: file.at }))
}

/// All processes, as a /proc of this PID namespace shows them: an empty answer would read as "no such process".
pub fn processes() -> Result<Vec<Pid>> {
    check_proc()?;
    proc::pids().context(LOOKING)
}

const LOOKING: &str = "looking processes up in /proc";

/// Fails where /proc is missing, or shows the processes of another PID namespace under numbers that mean others here.
pub fn check_proc() -> Result<()> {
    if !proc::is_ours().context(LOOKING)? {
        bail!("{LOOKING}: it belongs to another PID namespace");
    }
    Ok(())
}

/// Whether the command name alone allows a process to have the name. Cheap: one small read.
fn may_be_named(pid: Pid, name: &str) -> Result<bool> {
    let Some(known) = proc::if_visible(proc::name(pid)).context(LOOKING)? else { return Ok(false) };
    Ok(if name.len() <= proc::NAME_LENGTH { known == name.as_bytes() } else { name.as_bytes().starts_with(&known) })
}

/// Whether a process has the name: a command name holds 15 bytes, so a longer one must be that of argv[0] or the executable too.
fn is_named(pid: Pid, name: &str) -> Result<bool> {
    let may_be = may_be_named(pid, name)?;
    if !may_be || name.len() <= proc::NAME_LENGTH {
        return Ok(may_be);
    }
    let argument = proc::if_visible(proc::first_argument(pid)).context(LOOKING)?.flatten();
    let executable = proc::if_visible(proc::executable(pid)).context(LOOKING)?;
    Ok([argument, executable].iter().flatten().any(|claim| claim == name.as_bytes()))
}

fn belongs(pid: Pid, users: Users) -> Result<bool> {
    if users == Users::All {
        return Ok(true);
    }
    let status = proc::if_visible(proc::status(pid)).context(LOOKING)?;
    Ok(status.is_some_and(|status| status.real_user == getuid().as_raw()))
}

/// The command name most like one that nobody has, for the hint behind the error.
fn nearest_name(name: &str, users: Users) -> Result<Option<String>> {
    let own = getpid().as_raw();
    let mut names = Vec::new();
    for pid in processes()?.into_iter().filter(|pid| pid.number() != own) {
        if belongs(pid, users)? {
            names.extend(proc::name(pid).ok().and_then(|name| String::from_utf8(name).ok()));
        }
    }
    Ok(nearest(name, names.iter().map(String::as_str)).map(|nearest| escape(nearest.as_bytes())))
}
