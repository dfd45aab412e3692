//! A control group as a target: found by its path, its members pinned and looked for again, its end
//! known from cgroup.events. What is sent to it, and in which order, is decided in `run`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::unistd::getpid;

use crate::find::names::check_proc;
use crate::find::recipients::{NamedBy, Recipient, Recipients};
use crate::os::cgroup::{Directory, Events, Kind, Members, Switch, directories};
use crate::os::memory::LastResort;
use crate::os::pidfd::Pinned;
use crate::outcome::NoControlGroup;
use crate::plan::Labels;
use crate::target::Pid;

/// A control group and all groups below it.
pub struct ControlGroup {
    directory: Directory,
    events: Events,
    /// How KILL reaches all of it; `None` if it goes to each member.
    pub kill_file: Option<KillFile>,
    typed: Rc<str>,
    /// The index that its members carry.
    index: usize,
    labels: Labels,
    /// Members without a PID here, at the last look.
    pub unseen: usize,
    pub awaited: Awaited,
    /// Whether a look for members has failed, which is reported once.
    pub has_failed: bool,
}

/// Which members of a group are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// Those that were not refused.
    Signalled,
    /// Those without a PID here, too.
    Unseen,
    /// The refused ones, too: KILL has reached them.
    All,
}

/// What kills a whole group, newborn members included.
pub enum KillFile {
    /// cgroup.kill, Linux 5.14.
    Kill(Switch),
    /// cgroup.freeze, before 5.14: no member can fork while all are killed.
    Freeze(Switch),
}

/// Whether KILL is to reach the whole group at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killing {
    Whole,
    /// There is no KILL, or each member is checked first.
    Members,
}

impl ControlGroup {
    /// Opens a group by what was typed: the path of its directory or, if that is none, the path
    /// that /proc/PID/cgroup shows. What a KILL will need is opened now, so that a missing
    /// permission is known before anything was sent. `typed` is what messages call it.
    pub fn open(
        path: &OsStr,
        typed: &Rc<str>,
        index: usize,
        killing: Killing,
        labels: Labels,
    ) -> Result<Result<Self, NoControlGroup>> {
        check_proc()?;
        let directory = match resolve(path)? {
            Ok(directory) => directory,
            Err(refused) => return Ok(Err(refused)),
        };
        let kill_file = match killing {
            Killing::Whole => KillFile::of(&directory).map(Some),
            Killing::Members => Ok(None),
        };
        let kill_file = match kill_file {
            Ok(kill_file) => kill_file,
            Err(errno) => return Ok(Err(NoControlGroup::NoKill(errno))),
        };
        let events = match directory.events() {
            Ok(events) => events,
            Err(errno) => return Ok(Err(NoControlGroup::Refused(errno))),
        };
        let typed = Rc::clone(typed);
        let group = Self {
            directory,
            events,
            kill_file,
            typed,
            index,
            labels,
            unseen: 0,
            awaited: Awaited::Signalled,
            has_failed: false,
        };
        let members = group.list()?;
        Ok(if members.pids.contains(&own()) {
            Err(NoControlGroup::Own)
        } else {
            Ok(group)
        })
    }

    /// Admits members that are not known yet, each pinned first, then seen in the group again, then
    /// proved to hold its PID still. How many members there are.
    pub fn look(&mut self, recipients: &mut Recipients) -> Result<usize> {
        let listed = self.list()?;
        let count = listed.pids.len() + listed.unseen;
        self.unseen = listed.unseen;
        let mut newcomers = Vec::new();
        for pid in listed.pids.into_iter().collect::<BTreeSet<_>>() {
            match recipients.index_of(pid)? {
                Some(known) => _ = recipients[known].group.get_or_insert(self.index),
                None if pid == own() => {}
                None => newcomers.extend(Pinned::open(pid)?.ok()),
            }
        }
        if newcomers.is_empty() {
            return Ok(count);
        }
        let members: BTreeSet<Pid> = self.list()?.pids.into_iter().collect();
        for process in newcomers {
            if members.contains(&process.pid) && process.holds_its_number()? {
                let recipient = Recipient::new(
                    process,
                    Rc::clone(&self.typed),
                    NamedBy::Description,
                    self.labels,
                );
                recipients.admit(Recipient {
                    group: Some(self.index),
                    ..recipient
                })?;
            }
        }
        Ok(count)
    }

    pub fn typed(&self) -> &Rc<str> {
        &self.typed
    }

    /// The PIDs of all members that have one here.
    pub fn pids(&self) -> Result<BTreeSet<Pid>> {
        Ok(self.list()?.pids.into_iter().collect())
    }

    /// Whether KILL reaches all members, those of other users and those not seen included.
    pub fn is_killed_whole(&self) -> bool {
        matches!(self.kill_file, Some(KillFile::Kill(_)))
    }

    /// Freezes the group if that is how it is killed; whether it was frozen before.
    pub fn freeze(&self, last_resort: &mut LastResort) -> nix::Result<bool> {
        let Some(KillFile::Freeze(switch)) = &self.kill_file else {
            return Ok(true);
        };
        let was_frozen = switch.is_on()?;
        if !was_frozen {
            last_resort.add_frozen(switch.fd());
        }
        switch.set(true).map(|()| was_frozen)
    }

    pub fn thaw(&self) -> nix::Result<()> {
        let Some(KillFile::Freeze(switch)) = &self.kill_file else {
            return Ok(());
        };
        switch.set(false)
    }

    /// What wakes a wait when the group becomes empty.
    pub fn events(&self) -> BorrowedFd<'_> {
        self.events.fd()
    }

    pub fn is_frozen(&self) -> bool {
        self.events.is_frozen().unwrap_or(false)
    }

    /// Whether any member of the group is waited for. What is unknown counts as yes: the group is
    /// not known to be empty.
    pub fn is_awaited(&self, recipients: &Recipients) -> bool {
        if !self.events.is_populated().unwrap_or(true) {
            return false;
        }
        let Ok(members) = self.list() else {
            return true;
        };
        let is_refused = |pid: &Pid| match recipients.index_of(*pid) {
            Ok(Some(index)) => recipients[index].is_refused(),
            Ok(None) => *pid == own(),
            Err(_) => false,
        };
        if members.pids.is_empty() && members.unseen == 0 {
            // Populated without members: the last ones are exiting.
            return true;
        }
        match self.awaited {
            Awaited::Signalled => !members.pids.iter().all(is_refused),
            Awaited::Unseen => members.unseen > 0 || !members.pids.iter().all(is_refused),
            Awaited::All => true,
        }
    }

    fn list(&self) -> Result<Members> {
        self.directory
            .members()
            .with_context(|| format!("looking for the members of control group {}", self.typed))
    }
}

impl KillFile {
    fn of(directory: &Directory) -> nix::Result<Self> {
        match directory.kill() {
            Err(Errno::ENOENT) => directory.freeze().map(Self::Freeze),
            kill => kill.map(Self::Kill),
        }
    }
}

fn own() -> Pid {
    Pid::try_from(getpid().as_raw()).expect("a process has a PID")
}

/// The group that a path means. A directory that is a control group wins over a path that /proc
/// shows.
fn resolve(typed: &OsStr) -> Result<Result<Directory, NoControlGroup>> {
    let typed = typed.as_encoded_bytes();
    // A whole line of /proc/PID/cgroup is no name that a directory has.
    let line = typed
        .strip_prefix(b"0::")
        .filter(|path| path.starts_with(b"/"));
    let refused = match line {
        Some(_) => NoControlGroup::Missing,
        None => match usable(Path::new(OsStr::from_bytes(typed))) {
            Ok(directory) => return Ok(Ok(directory)),
            Err(refused) => refused,
        },
    };
    let Some(shown) = line.or(typed.starts_with(b"/").then_some(typed)) else {
        return Ok(Err(refused));
    };
    let is_elsewhere = matches!(
        refused,
        NoControlGroup::Missing | NoControlGroup::Other | NoControlGroup::Version1
    );
    let mounted = if is_elsewhere {
        directories(shown).context("looking for control groups")?
    } else {
        Vec::new()
    };
    let mut found = mounted
        .iter()
        .map(|path| usable(path))
        .filter(|found| !matches!(found, Err(NoControlGroup::Missing)));
    Ok(found.next().unwrap_or(Err(refused)))
}

/// Opens a directory if it is a control group that can be a target.
fn usable(path: &Path) -> Result<Directory, NoControlGroup> {
    let directory = Directory::open(path).map_err(refusal)?;
    match directory.kind().map_err(refusal)? {
        Kind::Domain => Ok(directory),
        Kind::None => Err(NoControlGroup::Other),
        Kind::Version1 => Err(NoControlGroup::Version1),
        Kind::Root => Err(NoControlGroup::Root),
        Kind::Threaded => Err(NoControlGroup::Threaded),
    }
}

fn refusal(errno: Errno) -> NoControlGroup {
    match errno {
        Errno::ENOENT | Errno::ENODEV => NoControlGroup::Missing,
        Errno::ENOTDIR => NoControlGroup::Other,
        errno => NoControlGroup::Refused(errno),
    }
}
