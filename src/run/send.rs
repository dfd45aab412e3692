//! The plan of a call, and its plain form: one kill(2) for each target. Everything that pins, waits or follows up is a `campaign`.

use anyhow::Result;
use nix::unistd::getpgrp;

use crate::mistake::Mistake;
use crate::os::proc;
use crate::outcome::Reason;
use crate::outcome::{Outcome, Subject, Tally};
use crate::output::report::Report;
use crate::plan::{Plan, Voice};
use crate::run::deliver::{self, Delivery};
use crate::run::schedule::Campaign;
use crate::signal::Signal;
use crate::target::Target;

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
        tally.signalled += 1;
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
        Delivery::Refused(errno) => report.tell(&subject, &Outcome::Failed(&Reason::Refused(errno))),
    }
}
