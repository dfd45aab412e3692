//! KILL for trees: stopped first, then killed from the leaves up, so that none outruns it by
//! forking.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use nix::unistd::getsid;

use crate::find::classify::Rules;
use crate::find::freeze::{Freeze, runs};
use crate::find::prepare::Found;
use crate::find::recipients::{Recipient, Recipients, Standing};
use crate::find::tree::Lineage;
use crate::os::pids;
use crate::os::proc::{self, State};
use crate::outcome::{Outcome, Reason};
use crate::run::call::{Call, Occasion};
use crate::run::route::{Receipt, Route, send};
use crate::signal::Signal;
use crate::target::Pid;

/// How long processes that were forked during the KILL are looked for.
const CHASE: Duration = Duration::from_secs(1);
/// Less than a process needs to be continued and to fork.
const FORKING: Duration = Duration::from_micros(50);
/// PIDs that are looked at for each member that may have forked.
const BIRTHS: usize = 1 << 16;

/// Sends KILL to all trees. Nothing is told before it is over. A tree that cannot be stopped gets
/// no first KILL, and is told; one that is due as a follow-up is sent all the same.
pub fn kill_trees(call: &mut Call, occasion: Occasion) -> Result<()> {
    let known = call.found.recipients.len();
    let mut freeze = Freeze::new()?;
    let Found { rules, recipients, .. } = &mut call.found;
    let lineage = rules.lineage.as_ref().expect("only called for trees");
    let roots = recipients.iter().filter(|recipient| recipient.parent.is_none());
    let above = Lineage::above(roots.map(Recipient::pid));
    freeze.spread(lineage, rules, recipients);
    let leaves_first: Vec<usize> = recipients.root_first().into_iter().rev().collect();
    let mut killing = Killing {
        freeze: &freeze,
        lineage,
        rules,
        value: call.plan.value,
        end: Instant::now() + CHASE,
        results: Vec::new(),
        unsure: Vec::new(),
        gaps: Vec::new(),
        error: None,
    };
    for index in leaves_first {
        let is_stopped = !freeze.has_failed(recipients, index);
        if recipients[index].is_present() && (is_stopped || occasion != Occasion::First) {
            killing.kill(recipients, index);
        }
    }
    killing.kill_newcomers(recipients);
    killing.look_for_orphans(recipients, &above);
    let Killing { results, mut unsure, error, .. } = killing;
    let is_refused = |(index, result): &(usize, nix::Result<Receipt>)| result.is_err().then_some(*index);
    let refused: HashSet<usize> = results.iter().filter_map(is_refused).collect();
    freeze.thaw(recipients, &|index| refused.contains(&index));
    unsure.extend(freeze.unstopped());
    unsure.sort_unstable();
    unsure.dedup();
    // Lets signals through again: from here on writing may block.
    let failed = freeze.into_errors();
    call.tell_standings(known);
    for (root, error) in failed {
        if occasion == Occasion::First {
            call.report.fail(&error);
            refuse_tree(&mut call.found.recipients, root, &error);
        } else {
            call.fail_tree(&error);
        }
    }
    for (index, result) in results {
        call.record(index, Signal::KILL, result, occasion);
    }
    for index in unsure {
        call.tell(index, &Outcome::Unstopped);
    }
    if let Some(error) = error {
        call.fail_tree(&error);
    }
    Ok(())
}

/// Takes a whole tree out of the call because of an error that has been told.
fn refuse_tree(recipients: &mut Recipients, root: usize, error: &Error) {
    for index in 0..recipients.len() {
        if recipients[index].is_present() && recipients.root_of(index) == root {
            recipients[index].standing = Standing::Refused(Reason::from_error(error));
        }
    }
}

/// Trees being killed.
struct Killing<'a> {
    freeze: &'a Freeze,
    lineage: &'a Lineage,
    rules: &'a Rules<'a>,
    value: Option<i32>,
    /// Until when the children of killed processes are looked for.
    end: Instant,
    results: Vec<(usize, nix::Result<Receipt>)>,
    /// Members that may have forked after their children were read.
    unsure: Vec<usize>,
    gaps: Vec<Gap>,
    /// The first error of a look for newcomers.
    error: Option<Error>,
}

/// A time between the last look at a member, which was stopped, and its KILL, long enough for a
/// CONT from outside and a fork.
struct Gap {
    index: usize,
    /// The process group of the member.
    group: Option<Pid>,
    /// The PIDs that were handed out last at its beginning and at its end.
    pids: [i32; 2],
}

impl Killing<'_> {
    /// Kills one member, and admits what it has forked since its children were read, in case that
    /// somebody sent it CONT. With KILL pending no fork succeeds, so what is read now is complete
    /// unless it has exited.
    fn kill(&mut self, recipients: &mut Recipients, index: usize) {
        let process = &recipients[index].process;
        let is_stopped = !self.freeze.has_failed(recipients, index);
        let group = pids::group_of(process.pid).ok().flatten();
        let last_pid = pids::last_pid();
        let look = Instant::now();
        let ran = is_stopped && (self.freeze.is_disturbed() || runs(process).unwrap_or(true));
        let result = send(Route::Process(process), Signal::KILL, self.value);
        let gap = look.elapsed();
        self.results.push((index, result));
        if gap > FORKING
            && let Some(pids) = last_pid.zip(pids::last_pid())
        {
            self.gaps.extend((pids.0 != pids.1).then_some(Gap { index, group, pids: pids.into() }));
        }
        if result.is_err() {
            return;
        }
        let is_late = Instant::now() >= self.end;
        if !is_late {
            let known = recipients.len();
            let adopted = self.lineage.adopt(recipients, index, None);
            self.keep(adopted);
            self.rules.classify(recipients, known);
        }
        let may_have_forked = ran && !recipients[index].process.is_running().unwrap_or(false);
        if is_late || may_have_forked {
            self.unsure.push(index);
        }
    }

    /// Kills what [`Self::kill`] has admitted, and what members fork that could not be stopped,
    /// until nobody new appears.
    fn kill_newcomers(&mut self, recipients: &mut Recipients) {
        let mut next = self.freeze.known();
        loop {
            while next < recipients.len() {
                if recipients[next].is_present() {
                    self.kill(recipients, next);
                }
                next += 1;
            }
            if self.freeze.is_leaky() && Instant::now() < self.end {
                let grown = self.lineage.grow(recipients, 0);
                self.keep(grown);
                self.rules.classify(recipients, next);
            }
            if next == recipients.len() {
                return;
            }
        }
    }

    /// Counts as unsure those members that may have left a child behind in a gap: a process that
    /// appeared in it, is none of the recipients, has a parent above the trees, as the children of
    /// an exited process have, and is in the member's process group or leads a session of its own.
    fn look_for_orphans(&mut self, recipients: &Recipients, above: &BTreeSet<Pid>) {
        let is_orphan = |pid: Pid, of_group: Option<Pid>| {
            let has_parent_above = |stat: proc::Stat| {
                stat.state != State::Dead && Pid::try_from(stat.parent).is_ok_and(|parent| above.contains(&parent))
            };
            let group = pids::group_of(pid).ok().flatten();
            let leads_session = getsid(Some(pid.process())) == Ok(pid.process());
            group.is_some()
                && (group == of_group || leads_session)
                && proc::stat(pid).is_ok_and(has_parent_above)
                && proc::process_of_thread(pid).is_none()
                && recipients.index_of(pid).is_ok_and(|index| index.is_none())
        };
        for Gap { index, group, pids: [first, last] } in std::mem::take(&mut self.gaps) {
            if pids::handed_out(first, last).take(BIRTHS).any(|pid| is_orphan(pid, group)) {
                self.unsure.push(index);
            }
        }
    }

    fn keep(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }
}
