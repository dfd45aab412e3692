//! The plan of a call, and its plain form: one kill(2) for each target. Everything that pins, waits or follows up is a `campaign`.

use std::time::Duration;

use anyhow::Result;
use nix::unistd::getpgrp;

use crate::cli::argv::Mistake;
use crate::find::prepare::{Reason, Selection};
use crate::os::proc;
use crate::outcome::{Outcome, Subject, Tally};
use crate::output::report::{Report, Voice};
use crate::run::deliver::{self, Delivery};
use crate::run::schedule::Campaign;
use crate::signal::Signal;
use crate::target::Target;

/// What is to be done, whole, before anything is.
#[derive(Debug)]
pub struct Plan {
    pub selection: Selection,
    /// Queued with every signal, as sigqueue(3) does.
    pub value: Option<i32>,
    /// The first step has no delay; the others are for those who are still there.
    pub steps: Vec<Step>,
    pub until: Until,
}

/// Signals that are sent together, so long after the step before.
#[derive(Clone, Debug)]
pub struct Step {
    pub after: Duration,
    pub signals: Vec<Signal>,
}

/// When the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Sent,
    Gone,
    /// Gone, but at most so long after the last signal.
    Within(Duration),
}

impl Plan {
    /// Whether one signal is all that anybody gets.
    pub fn is_single(&self) -> bool {
        self.until == Until::Sent && self.steps.len() == 1 && self.steps[0].signals.len() == 1
    }

    /// The one signal of a plan that needs nothing pinned.
    pub fn plain_signal(&self) -> Option<Signal> {
        (self.is_single() && self.selection.is_plain()).then(|| self.steps[0].signals[0])
    }

    /// What would come behind the first signal: its companions at once, the later steps in their time.
    pub fn follow_ups(&self) -> Vec<Step> {
        let companions = Step { after: Duration::ZERO, signals: self.steps[0].signals[1..].to_vec() };
        let steps = std::iter::once(companions).chain(self.steps[1..].iter().cloned());
        steps.filter(|step| !step.signals.is_empty()).collect()
    }

    /// Whether somebody's end is waited for, so that being gone already is success.
    pub fn waits(&self) -> bool {
        self.until != Until::Sent
    }
}

/// Refuses a plan that would wait for sigsend itself, by the number of its own process group.
pub fn check_own_group(plan: &Plan) -> Result<(), Mistake> {
    if plan.is_single() {
        return Ok(());
    }
    let own = getpgrp().as_raw();
    if plan.selection.targets.iter().any(|target| matches!(target, Target::Group(pgid) if pgid.number() == own)) {
        return Err(Mistake::usage(format!("'-{own}' is sigsend's own process group, which it cannot wait for")));
    }
    Ok(())
}

/// Carries the plan out.
pub fn send(plan: &Plan, report: &mut Report) -> Result<Tally> {
    check_own_group(plan)?;
    match plan.plain_signal() {
        Some(signal) => Ok(send_plain(plan, signal, report)),
        None => Ok(Campaign::prepare(plan, report)?.run()),
    }
}

/// One kill(2) for each target as typed, duplicates included. The own group comes last, since the signal may end this program.
fn send_plain(plan: &Plan, signal: Signal, report: &mut Report) -> Tally {
    let targets = &plan.selection.targets;
    let is_own_group = |target: &Target| match target {
        Target::OwnGroup => true,
        Target::Group(pgid) => targets.len() > 1 && pgid.number() == getpgrp().as_raw(),
        _ => false,
    };
    let mut tally = Tally::default();
    let mut last = Vec::new();
    for target in targets {
        if is_own_group(target) {
            last.push(target);
        } else {
            send_by_number(target, signal, plan.value, report, &mut tally);
        }
    }
    for target in last {
        send_by_number(target, signal, plan.value, report, &mut tally);
    }
    tally
}

/// Sends to a target by its number, tells it and counts it.
pub fn send_by_number(target: &Target, signal: Signal, value: Option<i32>, report: &mut Report, tally: &mut Tally) {
    let pid = target.process();
    // The name has to be read first: a killed process may be gone at once.
    let name = if report.voice == Voice::Quiet { None } else { pid.and_then(|pid| proc::name(pid).ok()) };
    let delivery = deliver::by_number(target, signal, value);
    if delivery == Delivery::Sent {
        tally.done += 1;
        if report.voice == Voice::Quiet {
            return;
        }
    } else {
        tally.failed += 1;
    }
    let typed = target.to_string();
    let subject = Subject { typed: &typed, pid, inode: None, name: name.as_deref() };
    match delivery {
        Delivery::Sent => report.tell(&subject, &Outcome::Sent { signal, value, after: None }),
        Delivery::Refused(errno) => report.tell(&subject, &Outcome::Missed(&Reason::Refused(errno))),
    }
}
