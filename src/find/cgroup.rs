//! A control group as a target: found by its path, its members pinned and looked for again, its end
//! known from cgroup.events. What is sent to it, and in which order, is decided in `run`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result};
use nix::errno::Errno;

use crate::event::{NoControlGroup, Reason, Typed, What};
use crate::find::filter::Way;
use crate::find::member::Member;
use crate::find::recipients::{Place, Recipients, SourceId, Standing};
use crate::find::spared::own;
use crate::os::cgroup::{Directory, InterfaceFile, Members, directories};
use crate::plan::Plan;
use crate::signal::Signal;
use crate::target::Pid;

/// A control group and all groups below it.
pub struct ControlGroup {
    directory: Directory,
    /// Wakes a wait when the group becomes empty.
    pub events: InterfaceFile,
    /// How KILL reaches all of it; `None` if it goes to each member.
    pub kill_file: Option<KillFile>,
    pub typed: Rc<Typed>,
    id: SourceId,
    /// Members without a PID here, at the last look.
    pub unseen: usize,
    pub awaited: Awaited,
}

/// Which members of a group are waited for, beside those that are recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// None: `-f`, `--cwd` or `-u` selects some of them.
    Recipients,
    /// Those that were not refused.
    Signalled,
    /// Those without a PID here, too.
    Unseen,
    /// Whom KILL has reached: all but kernel threads.
    Killed,
}

/// What kills a whole group, newborn members included.
pub enum KillFile {
    /// cgroup.kill, Linux 5.14.
    Kill(InterfaceFile),
    /// cgroup.freeze, before 5.14: no member can fork while all are killed.
    Freeze(InterfaceFile),
}

impl ControlGroup {
    /// Opens a group by what was typed: the path of its directory or, if that is none, the path
    /// that /proc/PID/cgroup shows. What a KILL will need is opened now, so that a missing
    /// permission is known before anything was sent.
    pub fn open(
        path: &OsStr,
        typed: &Rc<Typed>,
        id: SourceId,
        plan: &Plan,
    ) -> Result<Self, NoControlGroup> {
        let directory = resolve(path)?;
        let kill_file = plan.kills_whole().then(|| KillFile::of(&directory));
        let awaited = if plan.selection.narrows() {
            Awaited::Recipients
        } else {
            Awaited::Signalled
        };
        Ok(Self {
            kill_file: kill_file.transpose().map_err(NoControlGroup::NoKill)?,
            events: directory.events().map_err(NoControlGroup::Refused)?,
            directory,
            typed: Rc::clone(typed),
            id,
            unseen: 0,
            awaited,
        })
    }

    /// What messages call a group, so that it cannot be mistaken for another target.
    pub fn typed(path: &OsStr) -> Rc<Typed> {
        let text = path.to_string_lossy();
        let here = if text.contains('/') { "" } else { "./" };
        Rc::new(Typed {
            text: format!("{here}{text}").into(),
            what: What::ControlGroup,
        })
    }

    /// The first look: refuses a group whose members the call must not signal.
    pub fn look_first(&mut self, recipients: &mut Recipients) -> Result<Option<NoControlGroup>> {
        let rules = &recipients.rules;
        let members = self.list()?;
        let holds = |pid: &Pid| members.pids.contains(pid);
        if holds(&own()) {
            return Ok(Some(NoControlGroup::Own));
        }
        let is_killed = rules.plan.signals().any(|signal| signal == Signal::KILL);
        if (is_killed || rules.plan.waits())
            && !rules.is_question()
            && let Some(ancestor) = rules.spared.pids.iter().find(|pid| holds(pid))
        {
            return Ok(Some(NoControlGroup::Ancestor(*ancestor)));
        }
        let mut is_empty = members.unseen == 0 && members.pids.is_empty();
        let known = recipients.len();
        self.admit(members, recipients)?;
        // Those that were listed may have left others behind, which are found later.
        if recipients.len() == known {
            is_empty |= !self.is_populated();
        }
        // It may have become threaded, so that it lists no processes any more.
        if self.directory.check() == Err(NoControlGroup::Threaded) {
            return Ok(Some(NoControlGroup::Threaded));
        }
        Ok(is_empty.then_some(NoControlGroup::Empty))
    }

    /// Admits members that are not known yet.
    pub fn look(&mut self, recipients: &mut Recipients) -> Result<()> {
        let members = self.list()?;
        self.admit(members, recipients)
    }

    /// Admits those of these members that are not known, each pinned and decided about, then seen
    /// in the group again.
    fn admit(&mut self, listed: Members, recipients: &mut Recipients) -> Result<()> {
        self.unseen = listed.unseen;
        let listed: BTreeSet<Pid> = listed.pids.into_iter().collect();
        let members = recipients.pin_new(listed, Way::ControlGroup, |_| Ok(true))?;
        let is_new = |member: &Member| matches!(member, Member::New(..));
        let mut again = BTreeSet::new();
        if members.iter().any(is_new) {
            let listed = self.list()?;
            again.extend(listed.pids);
            // A process that is reaped while it is listed has no PID, either.
            self.unseen = self.unseen.min(listed.unseen);
        }
        for member in members {
            if let Member::New(process, _) = &member
                && !(again.contains(&process.pid) && process.still_has_pid()?)
            {
                continue;
            }
            recipients.join(member, &self.typed, Place::Member(self.id))?;
        }
        Ok(())
    }

    /// The PIDs of all members that have one here.
    pub fn pids(&self) -> Result<BTreeSet<Pid>> {
        Ok(self.list()?.pids.into_iter().collect())
    }

    /// Freezes the group if that is how it is killed, unless it is frozen already; whether it was
    /// frozen now, so that it is to be thawed later.
    pub fn freeze(&self) -> nix::Result<bool> {
        match &self.kill_file {
            Some(KillFile::Freeze(file)) if !file.says("1")? => file.write("1").map(|()| true),
            _ => Ok(false),
        }
    }

    pub fn thaw(&self) -> nix::Result<()> {
        match &self.kill_file {
            Some(KillFile::Freeze(file)) => file.write("0"),
            _ => Ok(()),
        }
    }

    pub fn is_frozen(&self) -> bool {
        self.events.says("frozen 1").unwrap_or(false)
    }

    /// Whether there are living processes in the group and below, as far as that can be told.
    fn is_populated(&self) -> bool {
        self.events.says("populated 1").unwrap_or(true)
    }

    /// Whether any member is waited for that is no recipient. What is unknown counts as yes: the
    /// group is not known to be empty.
    pub fn is_awaited(&self, recipients: &Recipients) -> bool {
        if self.awaited == Awaited::Recipients || !self.is_populated() {
            return false;
        }
        let Ok(members) = self.list() else {
            return true;
        };
        if members.unseen > 0 && matches!(self.awaited, Awaited::Unseen | Awaited::Killed) {
            return true;
        }
        // Populated without members: the last ones are exiting.
        let is_empty = members.pids.is_empty() && members.unseen == 0;
        let is_awaited = |pid: &Pid| match recipients.id_of(*pid) {
            Ok(Some(id)) => match &recipients[id].standing {
                Standing::Refused(Reason::KernelThread) => false,
                Standing::Refused(_) => self.awaited == Awaited::Killed,
                _ => true,
            },
            Ok(None) => *pid != own(),
            Err(_) => true,
        };
        is_empty || members.pids.iter().any(is_awaited)
    }

    fn list(&self) -> Result<Members> {
        let members = self.directory.members();
        members.with_context(|| format!("looking for the members of {}", self.typed.text))
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

/// The group that a path means. A directory that is a control group wins over a path that /proc
/// shows.
fn resolve(typed: &OsStr) -> Result<Directory, NoControlGroup> {
    let (direct, shown) = match typed.as_bytes().strip_prefix(b"0::") {
        // A whole line of /proc/PID/cgroup is no name that a directory has.
        Some(shown) if shown.starts_with(b"/") => (Err(NoControlGroup::Missing), shown),
        _ => (Directory::open(Path::new(typed)), typed.as_bytes()),
    };
    let may_be_shown = matches!(
        direct,
        Err(NoControlGroup::Missing | NoControlGroup::Other | NoControlGroup::Version1)
    );
    if !may_be_shown || !shown.starts_with(b"/") {
        return direct;
    }
    let mounted = directories(shown).map_err(NoControlGroup::Refused)?;
    let mut found = mounted.iter().map(|path| Directory::open(path));
    let found = found.find(|found| !matches!(found, Err(NoControlGroup::Missing)));
    found.unwrap_or(direct)
}
