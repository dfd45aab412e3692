//! Process trees: descendants found and pinned, and the frozen kill that no tree outruns by forking.
//!
//! A tree is whoever is a child of a member that lives when its children are read. A process whose parent has exited before it was
//! seen has left the tree: nothing in the kernel says any more where it came from.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::ppoll;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::time::TimeSpec;
use nix::unistd::getpid;

use crate::deliver::{self, Delivery};
use crate::pin::Pinned;
use crate::proc::{self, Motion};
use crate::resolve::check_proc;
use crate::roster::{Admission, Labels, Recipient, Roster};
use crate::signal::Signal;
use crate::sys::Scope;
use crate::target::Pid;

/// sigsend and its ancestors, which no tree reaches.
#[derive(Clone)]
pub struct Lineage {
    spared: Rc<BTreeSet<Pid>>,
    labels: Labels,
}

/// What growing a tree found.
#[derive(Default)]
pub struct Growth {
    /// Indices of members found anew, parents before their children.
    pub new: Vec<usize>,
    /// Members that were left out: sigsend or an ancestor.
    pub spared: Vec<Pid>,
}

impl Lineage {
    /// Reads the chain of parents up to the first process of this PID namespace, or to one that is hidden from this user, who cannot
    /// signal it either.
    pub fn own(labels: Labels) -> Result<Self> {
        check_proc()?;
        let mut spared = BTreeSet::new();
        // Twice, since a parent that exits meanwhile breaks the first chain, and hands its children on.
        for _ in 0..2 {
            let mut next = Pid::try_from(getpid().as_raw()).ok();
            while let Some(pid) = next {
                spared.insert(pid);
                let stat = proc::if_visible(proc::stat(pid));
                let stat = stat.with_context(|| format!("looking for the parent of process {pid}"))?;
                next = stat.and_then(|stat| Pid::try_from(stat.parent).ok());
            }
        }
        Ok(Self { spared: Rc::new(spared), labels })
    }

    fn spares(&self, pid: Pid) -> bool {
        self.spared.contains(&pid)
    }

    /// Takes sigsend and its ancestors out of the roots and returns them.
    pub fn refuse_own(&self, roots: &mut Roster) -> Result<Vec<Recipient>> {
        let (refused, kept): (Vec<_>, Vec<_>) =
            std::mem::take(roots).into_members().into_iter().partition(|root| self.spares(root.pid()));
        for root in kept {
            roots.admit(root)?;
        }
        Ok(refused)
    }

    /// Takes in every descendant that the members have now.
    pub fn grow(&self, roster: &mut Roster) -> Result<Growth> {
        let mut growth = Growth::default();
        let mut index = 0;
        while index < roster.len() {
            self.adopt(roster, index, &mut growth)?;
            index += 1;
        }
        Ok(growth)
    }

    /// Takes in the children of one member: each is pinned first, then proved to be its child still.
    fn adopt(&self, roster: &mut Roster, parent: usize, growth: &mut Growth) -> Result<()> {
        let pid = roster[parent].pid();
        let deed = || format!("looking for the children of process {pid}");
        // A member that has gone has no children any more.
        let children = proc::if_visible(proc::children(pid)).with_context(deed)?.unwrap_or_default();
        if children.is_empty() || !roster[parent].process.holds_its_number()? {
            return Ok(());
        }
        for child in children {
            if self.spares(child) {
                growth.spared.push(child);
                continue;
            }
            if let Some(known) = roster.index_of(child)? {
                roster[known].parent.get_or_insert(parent);
                continue;
            }
            let Ok(process) = Pinned::open(child)? else { continue };
            let stat = proc::if_visible(proc::stat(child)).with_context(deed)?;
            let is_child = stat.is_some_and(|stat| stat.parent == pid.number());
            if !is_child || !process.holds_its_number()? || !roster[parent].process.holds_its_number()? {
                continue;
            }
            let typed = Rc::clone(&roster[parent].typed);
            let mut recipient = Recipient::new(process, typed, self.labels);
            recipient.parent = Some(parent);
            if roster.admit(recipient)? == Admission::New {
                growth.new.push(roster.len() - 1);
            }
        }
        Ok(())
    }

    /// Kills all members and their descendants: stops them from the roots down, reading each one's children when it can fork no more,
    /// then kills from the leaves up. If anything fails before the first KILL, all that were stopped are continued.
    ///
    /// Members that are exempt get neither signal; their children are looked for all the same. Signals to sigsend are held back
    /// meanwhile, since its death would leave a stopped tree behind.
    pub fn kill(&self, roster: &mut Roster, exempt: &Exemption) -> Result<Killed> {
        let _held = HeldSignals::hold()?;
        let mut freeze = Freeze::default();
        if let Err(error) = freeze.spread(self, roster, exempt) {
            freeze.thaw(roster, &|_| true);
            return Err(error);
        }
        let kill =
            |index: usize| (index, deliver::by_pidfd(roster[index].process.fd(), Signal::KILL, None, Scope::Process));
        let leaves_first = roster.root_first().into_iter().rev();
        let deliveries: Vec<_> = leaves_first.filter(|index| !exempt(*index, &roster[*index])).map(kill).collect();
        let refused =
            deliveries.iter().filter(|(_, delivery)| *delivery != Delivery::Sent).map(|(index, _)| *index).collect();
        freeze.thaw(roster, &|index| BTreeSet::contains(&refused, &index));
        Ok(Killed { deliveries, unstopped: freeze.unstopped, spared: freeze.growth.spared })
    }
}

/// Whether the member at an index is to be left alone.
pub type Exemption<'a> = dyn Fn(usize, &Recipient) -> bool + 'a;

/// What the frozen kill did.
pub struct Killed {
    /// From the leaves up.
    pub deliveries: Vec<(usize, Delivery)>,
    /// Members that did not stop within a second and may have forked after their children were read.
    pub unstopped: Vec<usize>,
    pub spared: Vec<Pid>,
}

/// How long a member may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(1);
/// How long a member must be blocked in one and the same wait to count as stopped.
const BLOCKED_PATIENCE: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_micros(200);

/// A tree being stopped.
#[derive(Default)]
struct Freeze {
    /// Members that ran before.
    stopped: Vec<usize>,
    unstopped: Vec<usize>,
    /// Members that were seen blocked instead.
    blocked: Vec<usize>,
    /// Members that can fork on; their children are read once and not chased.
    loose: BTreeSet<usize>,
    growth: Growth,
}

impl Freeze {
    /// Stops all members and whoever is found below them, until nobody new appears.
    fn spread(&mut self, lineage: &Lineage, roster: &mut Roster, exempt: &Exemption) -> Result<()> {
        let mut fresh = roster.root_first();
        while !fresh.is_empty() {
            let mut stopping = Vec::with_capacity(fresh.len());
            for index in fresh {
                let since = if exempt(index, &roster[index]) { None } else { self.stop(roster, index)? };
                stopping.push((index, since));
            }
            for (index, since) in stopping {
                match since.map(|since| settle(roster[index].pid(), since)).transpose()? {
                    Some(Motion::Rests) => {}
                    Some(Motion::Blocked(_)) => self.blocked.push(index),
                    Some(Motion::Runs) if roster[index].process.holds_its_number()? => {
                        self.unstopped.push(index);
                        self.loose.insert(index);
                    }
                    Some(Motion::Runs) | None => {
                        self.loose.insert(index);
                    }
                }
                lineage.adopt(roster, index, &mut self.growth)?;
            }
            if self.growth.new.is_empty() {
                // A fork that was in flight when its parent was seen blocked has come down by now; last are looked at, right before the
                // KILL that makes such a fork fail, those who may be in one still.
                let settled = (0..roster.len()).filter(|index| !self.loose.contains(index));
                for index in settled.chain(self.blocked.iter().copied()) {
                    lineage.adopt(roster, index, &mut self.growth)?;
                }
            }
            fresh = std::mem::take(&mut self.growth.new);
        }
        Ok(())
    }

    /// Sends STOP; the time when it was sent. Whoever may not be signalled is not waited for; the KILL will say so.
    fn stop(&mut self, roster: &Roster, index: usize) -> Result<Option<Instant>> {
        let process = &roster[index].process;
        let ran = motion(process.pid)? != Motion::Rests;
        match deliver::by_pidfd(process.fd(), Signal::STOP, None, Scope::Process) {
            Delivery::Sent if ran => self.stopped.push(index),
            Delivery::Sent => {}
            Delivery::Refused(Errno::EPERM | Errno::ESRCH) => return Ok(None),
            Delivery::Refused(errno) => return Err(errno).with_context(|| format!("stopping process {}", process.pid)),
        }
        Ok(Some(Instant::now()))
    }

    /// Continues whom this has stopped and who is not to stay so, children before their parents.
    fn thaw(&self, roster: &Roster, concerns: &dyn Fn(usize) -> bool) {
        for index in self.stopped.iter().rev().filter(|index| concerns(**index)) {
            deliver::by_pidfd(roster[*index].process.fd(), Signal::CONT, None, Scope::Process);
        }
    }
}

/// A short while between two looks at something that the kernel tells nobody of. Whatever cuts it short, its callers have a deadline.
pub fn pause() {
    let _ = ppoll(&mut [], Some(TimeSpec::from_duration(LOOK)), None);
}

/// Waits until a process that was sent STOP can fork no more: stopped, dead, or blocked in the kernel as a vfork(2) parent is, whose child
/// is stopped. Being blocked has to last without a context switch, since a fork in flight is blocked now and then by the locks it takes.
fn settle(pid: Pid, since: Instant) -> Result<Motion> {
    // Whoever is looked at late gets the time to show that it is blocked for good.
    let deadline = (since + STOP_PATIENCE).max(Instant::now() + 2 * BLOCKED_PATIENCE);
    let mut last = (Motion::Runs, Instant::now());
    loop {
        let motion = motion(pid)?;
        if motion == Motion::Rests {
            return Ok(motion);
        }
        if motion != last.0 {
            last = (motion, Instant::now());
        }
        if motion != Motion::Runs && last.1.elapsed() >= BLOCKED_PATIENCE {
            return Ok(motion);
        }
        if Instant::now() >= deadline {
            return Ok(Motion::Runs);
        }
        pause();
    }
}

fn motion(pid: Pid) -> Result<Motion> {
    let motion =
        proc::if_visible(proc::motion(pid)).with_context(|| format!("looking at the threads of process {pid}"))?;
    // There is nobody left to run.
    Ok(motion.unwrap_or(Motion::Rests))
}

/// All signals that can be held back, held back until dropped.
struct HeldSignals(SigSet);

impl HeldSignals {
    fn hold() -> Result<Self> {
        SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK).map(Self).context("holding signals back")
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        // Setting a mask that was in force before cannot fail.
        let _ = self.0.thread_set_mask();
    }
}
