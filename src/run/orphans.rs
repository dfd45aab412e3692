//! Processes that escaped while a tree was killed: children that a killed member left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::find::recipients::{RecipientId, Recipients};
use crate::find::spared::{above, own};
use crate::os::pids;
use crate::os::proc::{self, State};
use crate::os::sys;
use crate::run::sender::Answer;
use crate::target::Pid;

/// How long killed members may take to die before their children are looked for.
const DYING: Duration = Duration::from_millis(100);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);
/// How many of the PIDs handed out meanwhile are looked at.
const BIRTHS: usize = 1 << 16;

/// What a process that escaped is recognised by.
pub struct Traces {
    /// The processes above the trees; `None` if they could not be read.
    above: Option<BTreeSet<Pid>>,
    /// When sigsend started, in clock ticks: an older process is no orphan.
    started: u64,
    /// For each time that trees were killed, the PID that was handed out last before the children
    /// of their members were read for the last time, and the one after the KILLs: with KILL pending
    /// no fork succeeds.
    pub windows: Vec<(i32, i32)>,
    /// The process groups of the members, each with the root of a tree that has it.
    pub groups: BTreeMap<i32, RecipientId>,
}

impl Traces {
    /// None yet, of trees with these roots.
    pub fn above(roots: impl IntoIterator<Item = Pid>) -> Self {
        Self {
            above: above(roots),
            started: proc::stat(own()).map_or(0, |stat| stat.start),
            windows: Vec::new(),
            groups: BTreeMap::new(),
        }
    }

    /// The processes that a member may have left behind: they have appeared between the last look
    /// at the children and the KILLs, are none of the recipients, have a parent above the trees, as
    /// the children of an exited process have, and are in the group of a member or in a session
    /// that is as new as they are: others start processes at the same time.
    pub fn orphans(
        &mut self,
        recipients: &Recipients,
        answers: &[Answer],
    ) -> Vec<(RecipientId, Pid)> {
        if self.births().is_empty() {
            return Vec::new();
        }
        // The children of a member have another parent once it is dead.
        let end = Instant::now() + DYING;
        let killed = answers.iter().filter(|answer| answer.sent.is_ok());
        let runs = |one: &Answer| recipients[one.id].process.is_running().unwrap_or(false);
        while killed.clone().any(runs) && Instant::now() < end {
            sys::sleep_until(Instant::now() + PAUSE);
        }
        // One that is about to lose its parent shows at the next look.
        let mut left = Vec::new();
        loop {
            let births = self.births();
            let found = births.iter().filter_map(|pid| {
                let root = self.left_by(*pid, &births, recipients)?;
                Some((root, *pid))
            });
            let found: Vec<_> = found.collect();
            if found.is_empty() || found == left || Instant::now() >= end {
                return found;
            }
            left = found;
            sys::sleep_until(Instant::now() + PAUSE);
        }
    }

    /// The PIDs that were handed out in the windows. The last one has no end, since a process that
    /// escaped may fork on.
    fn births(&mut self) -> BTreeSet<Pid> {
        if let (Some((_, last)), Some(now)) = (self.windows.last_mut(), pids::last_pid()) {
            *last = now;
        }
        let windows = self.windows.iter();
        let births = windows.flat_map(|(first, last)| pids::handed_out(*first, *last));
        births.take(BIRTHS).collect()
    }

    /// The root of the tree that a process may be an orphan of. If it is in no known group, this is
    /// any of them.
    fn left_by(
        &self,
        pid: Pid,
        births: &BTreeSet<Pid>,
        recipients: &Recipients,
    ) -> Option<RecipientId> {
        let stat = proc::stat(pid).ok()?;
        let is_in = |pids: &BTreeSet<Pid>, number| {
            proc::pid_of(number).is_some_and(|pid| pids.contains(&pid))
        };
        let root = match self.groups.get(&stat.group) {
            None if is_in(births, stat.session) => self.groups.values().min(),
            root => root,
        }?;
        let above = self.above.as_ref();
        let is_left = stat.state != State::Dead
            && stat.start >= self.started
            && above.is_none_or(|above| is_in(above, stat.parent))
            && proc::process_of_thread(pid).is_none()
            && recipients.id_of(pid).is_ok_and(|id| id.is_none());
        is_left.then_some(*root)
    }
}
