//! KILL for trees: stopped first, then killed from the leaves up, so that none outruns it by
//! forking.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use nix::errno::Errno;

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
/// How many PIDs are looked at for each member that may have forked.
const BIRTHS: usize = 1 << 16;

/// Sends KILL to all trees. Nothing is reported before it is over. A tree that cannot be stopped
/// gets no first KILL, and is reported; one that is due as a follow-up is sent all the same.
pub fn kill_trees(call: &mut Call, occasion: Occasion) -> Result<()> {
    let known = call.found.recipients.len();
    let mut freeze = Freeze::new()?;
    let Found {
        rules, recipients, ..
    } = &mut call.found;
    let lineage = rules.lineage.as_ref().expect("only called for trees");
    let roots = recipients
        .iter()
        .filter(|recipient| recipient.parent.is_none());
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
    killing.look_for_orphans(recipients, above.as_ref());
    let Killing {
        results,
        mut unsure,
        error,
        ..
    } = killing;
    let is_refused =
        |(index, result): &(usize, nix::Result<Receipt>)| result.is_err().then_some(*index);
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

/// Takes a whole tree out of the call because of an error that has been reported.
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

/// A time before the KILL of a member in which it may have forked and exited.
struct Gap {
    index: usize,
    /// Whether the member is known to have run, so that it is no mere possibility.
    ran: bool,
    /// The process group of the member.
    group: Option<Pid>,
    /// The PIDs that were handed out last at its beginning and at its end.
    pids: (i32, i32),
}

impl Killing<'_> {
    /// Kills one member, and admits what it has forked since its children were read, in case that
    /// somebody sent it CONT. With KILL pending no fork succeeds, so what is read now is complete
    /// unless it has exited.
    fn kill(&mut self, recipients: &mut Recipients, index: usize) {
        let process = &recipients[index].process;
        let group = pids::group_of(process.pid).ok().flatten();
        let last_pid = pids::last_pid();
        let look = Instant::now();
        let is_stopped = !self.freeze.has_failed(recipients, index);
        let ran = is_stopped && (self.freeze.is_disturbed() || runs(process).unwrap_or(true));
        let result = send(Route::Process(process), Signal::KILL, self.value);
        let may_have_run = ran || look.elapsed() > FORKING;
        self.results.push((index, result));
        if result.is_err_and(|errno| errno != Errno::ESRCH) {
            return;
        }
        if Instant::now() >= self.end {
            self.unsure.push(index);
            return;
        }
        let known = recipients.len();
        let adopted = self.lineage.adopt(recipients, index, None);
        self.keep(adopted);
        self.rules.classify(recipients, known);
        if may_have_run && !recipients[index].process.is_running().unwrap_or(false) {
            let first = if ran {
                self.freeze.last_pid()
            } else {
                last_pid
            };
            match first.zip(pids::last_pid()) {
                Some(pids) => self.gaps.extend((pids.0 != pids.1).then_some(Gap {
                    index,
                    ran,
                    group,
                    pids,
                })),
                None => self.unsure.push(index),
            }
        }
    }

    /// Kills what [`Self::kill`] has admitted, and what members fork that could not be stopped,
    /// until no new process appears.
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
    /// appeared in it, is none of the recipients, and has a parent above the trees, as the children
    /// of an exited process have. If it is not known that the member ran, the process must be in
    /// its group too: others start processes at the same time.
    fn look_for_orphans(&mut self, recipients: &Recipients, above: Option<&BTreeSet<Pid>>) {
        let is_orphan = |pid: Pid, gap: &Gap| {
            let is_above = |parent: i32| {
                above.is_none_or(|above| {
                    proc::pid_of(parent).is_some_and(|parent| above.contains(&parent))
                })
            };
            let is_left = |stat: proc::Stat| stat.state != State::Dead && is_above(stat.parent);
            let is_like = |group| gap.ran || group == gap.group;
            pids::group_of(pid).is_ok_and(|group| group.is_some() && is_like(group))
                && proc::stat(pid).is_ok_and(is_left)
                && proc::process_of_thread(pid).is_none()
                && recipients.index_of(pid).is_ok_and(|index| index.is_none())
        };
        for gap in std::mem::take(&mut self.gaps) {
            if pids::handed_out(gap.pids.0, gap.pids.1)
                .take(BIRTHS)
                .any(|pid| is_orphan(pid, &gap))
            {
                self.unsure.push(gap.index);
            }
        }
    }

    fn keep(&mut self, result: Result<()>) {
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }
}
