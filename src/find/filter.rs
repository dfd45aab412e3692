//! What a process must be to take part: one list of rules, asked while it is pinned. Each kind of
//! target says by its [`Way`] which of them concern it.

use std::cell::Cell;

use anyhow::{Context, Result, bail};
use nix::unistd::getuid;

use crate::escape::escape;
use crate::event::Reason;
use crate::find::spared::Spared;
use crate::os::pidfd::{Life, Pinned};
use crate::os::proc::{self, Place};
use crate::plan::{Labels, Mode, Plan, Question, Reach, Users};
use crate::target::Pid;
use crate::usage::UsageError;

/// How a process was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By its number, typed or in a pidfile.
    Number,
    /// By its number on standard input.
    Input,
    /// It has a name.
    Name,
    /// It holds a socket.
    Port,
    /// By `-f` or `--cwd` alone.
    Description,
    /// As a member of a process group.
    Group,
    /// As a member of a control group.
    ControlGroup,
    /// As a child of a member of a tree.
    Child,
}

impl Way {
    /// Whether it was found by what it says or holds, among the processes of the selected users.
    pub fn is_described(self) -> bool {
        matches!(self, Self::Name | Self::Port | Self::Description)
    }
}

/// Whether a recipient is to be signalled and waited for.
#[derive(Debug)]
pub enum Standing {
    Present,
    Gone,
    /// Gets no signal, or no more, and is not waited for.
    Refused(Reason),
    /// sigsend itself or one of its ancestors.
    Skipped,
}

/// What is decided about a process that a target means.
#[derive(Debug)]
pub enum Verdict {
    Takes(Standing),
    Refused(Reason),
}

/// The rules of a call.
pub struct Rules<'a> {
    pub plan: &'a Plan,
    /// Whether output shows names and inodes.
    pub labels: Labels,
    pub spared: Spared,
    /// The user whose processes a description selects; `None` for all.
    pub owner: Option<u32>,
    /// The directory of `--cwd`.
    pub directory: Option<Place>,
    /// Whether it could not be told of a running process whether it is meant.
    pub unclear: Cell<bool>,
}

impl<'a> Rules<'a> {
    pub fn new(plan: &'a Plan, labels: Labels, spared: Spared) -> Result<Self> {
        let selection = &plan.selection;
        let owner = match &selection.users {
            Users::Of(user) => {
                let shown = escape(user.as_encoded_bytes());
                let id = proc::user_id(user);
                let Some(id) = id.with_context(|| format!("looking for user '{shown}'"))? else {
                    bail!(UsageError::value(format!("'{shown}': no such user")))
                };
                Some(id)
            }
            // The question harms nobody.
            Users::Own if plan.mode != Mode::Ask(Question::Alive) => Some(getuid().as_raw()),
            Users::Own | Users::All => None,
        };
        let directory = selection.cwd.as_ref().map(|directory| {
            let place = Place::of(directory);
            place.with_context(|| format!("looking at directory {}", directory.display()))
        });
        Ok(Self {
            plan,
            labels,
            spared,
            owner,
            directory: directory.transpose()?,
            unclear: Cell::new(false),
        })
    }

    /// Whether the call is only a question.
    pub fn is_question(&self) -> bool {
        matches!(self.plan.mode, Mode::Ask(_))
    }

    /// Whether a process belongs to those whose processes a description selects. Reads nothing that
    /// the process can hold up.
    pub fn is_owned(&self, process: &Pinned) -> Result<bool> {
        let Some(owner) = self.owner else {
            return Ok(true);
        };
        let user = process.real_user()?;
        if user.is_none() {
            self.note_unclear(process)?;
        }
        Ok(user == Some(owner))
    }

    /// Notes that something could not be read of a process. Of one that exits, nothing can.
    pub fn note_unclear(&self, process: &Pinned) -> Result<()> {
        self.unclear
            .set(self.unclear.get() || process.is_running()?);
        Ok(())
    }

    /// Whether a process may belong to those whose processes a description selects. A hint; its
    /// directory in /proc tells the effective user by one system call.
    pub fn may_own(&self, pid: Pid) -> Result<bool> {
        if self.owner.is_none() || proc::effective_user(pid).ok() == self.owner {
            return Ok(true);
        }
        let is_owned = Pinned::open_if(pid, |process| self.is_owned(process))?;
        Ok(is_owned.process().is_some_and(|(_, is_owned)| is_owned))
    }

    /// Pins a process and decides about it, if the target means it.
    pub fn pin(
        &self,
        pid: Pid,
        way: Way,
        is_meant: impl FnOnce(&Pinned) -> Result<bool>,
    ) -> Result<Option<(Pinned, Verdict)>> {
        let opened = Pinned::open_if(pid, |process| self.judge(process, way, is_meant))?;
        Ok(opened
            .process()
            .and_then(|(process, verdict)| Some((process, verdict?))))
    }

    /// Decides about a pinned process; `None` if the target does not mean it. `is_meant` asks
    /// whether it is what the look-up took it for. What is read by its PID is true of it only if it
    /// has its PID still: see [`Pinned::open_if`].
    pub fn judge(
        &self,
        process: &Pinned,
        way: Way,
        is_meant: impl FnOnce(&Pinned) -> Result<bool>,
    ) -> Result<Option<Verdict>> {
        let pid = process.pid;
        let selection = &self.plan.selection;
        let is_root = selection.reach != Reach::Process && way != Way::Child;
        let is_number = matches!(way, Way::Number | Way::Input);
        let is_spared = self.spares(way) && self.spared.has(pid);
        if is_spared && way == Way::Description {
            return Ok(None);
        }
        if way.is_described() && !is_spared && !self.is_owned(process)? {
            return Ok(None);
        }
        // A token in a list may have the PID of an ancestor and mean another process.
        if !is_meant(process)? || is_spared && way == Way::Input {
            return Ok(None);
        }
        if is_root && is_number && pid == Pid::INIT && !self.is_question() {
            return Ok(Some(Verdict::Refused(Reason::Everyone)));
        }
        if is_spared {
            return Ok(Some(Verdict::Takes(Standing::Skipped)));
        }
        if (self.spares(way) || is_root)
            && way != Way::Child
            && !self.spared.has(pid)
            && !self.is_question()
            && let Some(reason) = self.spared.perhaps_has(process)?
        {
            return Ok(Some(Verdict::Refused(reason)));
        }
        let is_gone = self.plan.waits() && process.life()? != Life::Running;
        if !matches!(way, Way::Group | Way::Child) {
            if !is_gone && let Some(failed) = self.fails(process, way)? {
                if is_number {
                    return Ok(Some(Verdict::Refused(failed)));
                }
                if matches!(failed, Reason::Unverified { .. }) {
                    self.note_unclear(process)?;
                }
                return Ok(None);
            }
            if let Some(reason) = self.unexpected(pid) {
                return Ok(Some(Verdict::Refused(reason)));
            }
        }
        if is_gone {
            return Ok(Some(Verdict::Takes(Standing::Gone)));
        }
        if is_root && way == Way::Number && self.spared.has(pid) {
            return Ok(Some(Verdict::Takes(Standing::Skipped)));
        }
        let refused = self.unreachable(pid, way).or_else(|| self.uncaught(pid));
        let standing = refused.map_or(Standing::Present, Standing::Refused);
        Ok(Some(Verdict::Takes(standing)))
    }

    /// Whether sigsend and its ancestors are not meant by this way.
    fn spares(&self, way: Way) -> bool {
        match way {
            Way::Number | Way::Group => false,
            // An ancestor that listens does so for any caller that asks.
            Way::Port => self.plan.mode != Mode::Ask(Question::Alive),
            _ => true,
        }
    }
}
