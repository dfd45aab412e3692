//! The steps of a plan on their clock: first signal, companions, waits and follow-ups.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::outcome::Tally;
use crate::plan::Until;
use crate::run::call::{Call, Occasion};
use crate::run::deliver::deliver;
use crate::run::wait::{Wait, Waited, tell_survivors};

/// Carries out the plan of a call. An error in between ends it, and is reported; what was done
/// before counts.
pub fn run(mut call: Call) -> Tally {
    match take_steps(&mut call) {
        Ok(()) => call.tally(),
        Err(error) => {
            call.report.fail(&error);
            call.tally_of_broken()
        }
    }
}

/// How long a process may take to die that got KILL only when the time was up.
const DYING: Duration = Duration::from_millis(100);

/// Takes all steps and waits as long as the plan says. A step's time is when it begins: what a
/// freeze takes is part of the time until the next.
fn take_steps(call: &mut Call) -> Result<()> {
    let plan = call.plan;
    if plan.is_single() {
        return deliver(call, plan.first_signal(), Occasion::First);
    }
    let mut wait = Wait::new(call)?;
    call.began = Instant::now();
    let mut last = call.began;
    for (number, step) in plan.steps.iter().enumerate() {
        let next = step.signals.first().copied();
        if number > 0 && wait.until_gone(call, Some(last + step.after), next)? == Waited::Gone {
            return Ok(());
        }
        last = Instant::now();
        for (position, signal) in step.signals.iter().enumerate() {
            let occasion = match (number, position) {
                (0, 0) => Occasion::First,
                (0, _) => Occasion::Companion,
                _ => Occasion::FollowUp,
            };
            deliver(call, *signal, occasion)?;
        }
    }
    let deadline = match plan.until {
        Until::Sent => return Ok(()),
        Until::Gone => None,
        Until::Within(duration) => Some(last + duration),
    };
    // If a slow freeze has used up the time, those that have just got KILL still need a moment to
    // die.
    let moment = if last.elapsed() > DYING {
        DYING
    } else {
        Duration::ZERO
    };
    let deadline = deadline.map(|deadline| deadline.max(Instant::now() + moment));
    if wait.until_gone(call, deadline, None)? == Waited::SomeLeft {
        tell_survivors(call);
    }
    Ok(())
}
