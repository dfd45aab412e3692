//! Process trees: descendants found and pinned, and the frozen kill that no tree outruns by forking.
//! How a tree is brought to rest for it is `freeze`'s business.
//!
//! A tree is whoever is a child of a member that lives when its children are read. A process whose parent has exited before it was
//! seen has left the tree: nothing in the kernel says any more where it came from.

mod freeze;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::poll::ppoll;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::time::TimeSpec;
use nix::unistd::getpid;

use crate::find::prepare::check_proc;
use crate::find::recipients::{Admission, Recipient, Roster};
use crate::os::pidfd::Pinned;
use crate::os::proc::{self, State};
use crate::os::sys::Scope;
use crate::plan::Labels;
use crate::run::deliver::{self, Delivery};
use crate::signal::Signal;
use crate::target::Pid;
use freeze::Freeze;

/// sigsend and its ancestors, which no tree reaches.
#[derive(Clone)]
pub struct Lineage {
    spared: Rc<BTreeSet<Pid>>,
    labels: Labels,
}

/// What growing a tree found.
#[derive(Default)]
pub struct Growth {
    /// Indices of members found anew, parents before their children, and the state in which each was found.
    pub new: Vec<(usize, State)>,
    /// Members that were left out: sigsend or an ancestor.
    pub spared: Vec<Pid>,
}

/// A child of a member.
enum Kin {
    Spared(Pid),
    Member(usize),
    Newcomer(Pinned, State),
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
            self.adopt(roster, index, None, &mut growth)?;
            index += 1;
        }
        Ok(growth)
    }

    /// Takes in the children of one member and of its threads, where those are known: each is pinned first, then proved to be its
    /// child still.
    pub fn adopt(
        &self,
        roster: &mut Roster,
        parent: usize,
        threads: Option<&[i32]>,
        growth: &mut Growth,
    ) -> Result<()> {
        let pid = roster[parent].pid();
        let deed = || format!("looking for the children of process {pid}");
        let children = threads.map_or_else(|| proc::children(pid), |threads| proc::children_of(pid, threads));
        let mut kin = Vec::new();
        // A member that has gone has no children any more.
        for child in proc::if_visible(children).with_context(deed)?.unwrap_or_default() {
            if self.spares(child) {
                kin.push(Kin::Spared(child));
                continue;
            }
            if let Some(index) = roster.index_of(child)? {
                kin.push(Kin::Member(index));
                continue;
            }
            let Ok(process) = Pinned::open(child)? else { continue };
            let stat = proc::if_visible(proc::stat(child)).with_context(deed)?;
            if let Some(stat) = stat.filter(|stat| stat.parent == pid.number())
                && process.holds_its_number()?
            {
                kin.push(Kin::Newcomer(process, stat.state));
            }
        }
        // What was read under the parent's number was read of the parent if it holds the number still.
        if kin.is_empty() || !roster[parent].process.holds_its_number()? {
            return Ok(());
        }
        for child in kin {
            match child {
                Kin::Spared(pid) => growth.spared.push(pid),
                Kin::Member(index) => _ = roster[index].parent.get_or_insert(parent),
                Kin::Newcomer(process, state) => {
                    let typed = Rc::clone(&roster[parent].typed);
                    let recipient = Recipient { parent: Some(parent), ..Recipient::new(process, typed, self.labels) };
                    if roster.admit(recipient)? == Admission::New {
                        growth.new.push((roster.len() - 1, state));
                    }
                }
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
type Exemption<'a> = dyn Fn(usize, &Recipient) -> bool + 'a;

/// What the frozen kill did.
pub struct Killed {
    /// From the leaves up.
    pub deliveries: Vec<(usize, Delivery)>,
    /// Members that did not stop within a second and may have forked after their children were read.
    pub unstopped: Vec<usize>,
    pub spared: Vec<Pid>,
}

const LOOK: Duration = Duration::from_micros(200);

/// A short while between two looks at something that the kernel tells nobody of. Whatever cuts it short, its callers have a deadline.
pub fn pause() {
    let _ = ppoll(&mut [], Some(TimeSpec::from_duration(LOOK)), None);
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
