//! The sending form: finds all recipients, then carries out the plan.

use anyhow::Result;

use crate::find::prepare::prepare;
use crate::outcome::Tally;
use crate::output::report::Report;
use crate::plan::Plan;
use crate::run::call::Call;
use crate::run::schedule;

/// Carries out a plan.
pub fn send(plan: &Plan, report: &mut Report) -> Result<Tally> {
    let found = prepare(plan, report.voice.labels())?;
    Ok(schedule::run(Call::new(plan, found, report)))
}
