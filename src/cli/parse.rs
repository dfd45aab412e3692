//! From a command line to an action: clap parses the options, and the checks here decide whether
//! they go together. Pure: nothing is looked up and nothing is sent.

use std::ffi::OsStr;

use crate::cli::argv::{self, Line};
use crate::cli::given::Given;
use crate::cli::hints::with_hint;
use crate::cli::options::{Opt, table as opt};
use crate::cli::selection::selection;
use crate::cli::values;
use crate::event::Status;
use crate::plan::{Action, Begun, Detail, FollowUp, Mode, Plan, Question, Until, Voice};
use crate::signal::Signal;
use crate::target::{Pid, Target};
use crate::usage::UsageError;

/// A command line that was refused, and the exit status for it.
#[derive(Debug)]
pub struct Refusal {
    pub error: UsageError,
    pub status: Status,
    pub voice: Voice,
}

/// Reads the arguments after argv[0].
pub fn parse(args: &[&'static OsStr]) -> Result<Action, Refusal> {
    let mut line = argv::split(args);
    let action = match line.error.take() {
        Some(error) => Err(error),
        None => Given::new(&line).and_then(|given| action(&given)),
    };
    action.map_err(|error| Refusal {
        error: with_hint(error, &line),
        // A supervisor must not take a usage error for a dead service: with --alive the answer is
        // "could not be determined".
        status: if line.has(&opt::ALIVE) {
            Status::Undecided
        } else {
            Status::Failure
        },
        voice: voice(&line),
    })
}

fn action(given: &Given) -> Result<Action, UsageError> {
    if given.has(&opt::LONG_HELP) {
        return Ok(Action::Help(Detail::Long));
    } else if given.has(&opt::HELP) {
        return Ok(Action::Help(Detail::Short));
    } else if given.has(&opt::VERSION) {
        return Ok(Action::Version);
    }
    check_exclusions(given)?;
    let operands = given.line.operands.iter();
    let words = operands.clone().map(|&word| word.to_owned());
    Ok(if given.has(&opt::LIST) {
        let attached = given.one(&opt::LIST, |word| Ok(word.to_owned()))?;
        Action::List(attached.into_iter().chain(words).collect())
    } else if given.has(&opt::NUMBERS) {
        Action::Numbers(words.collect())
    } else if given.has(&opt::TABLE) {
        Action::Table(words.collect())
    } else if given.has(&opt::STATE) {
        let mut pids = given.all(&opt::STATE, values::process_id)?;
        for pid in operands {
            pids.push(values::process_id(pid)?);
        }
        Action::State(pids)
    } else if let Some(product) = given.one(&opt::GENERATE, values::product)? {
        Action::Generate(product)
    } else {
        Action::Run(plan(given)?.into(), voice(given.line))
    })
}

fn mode(line: &Line) -> Mode {
    if line.has(&opt::PID) {
        Mode::Ask(Question::Pid)
    } else if line.has(&opt::ID) {
        Mode::Ask(Question::Id)
    } else if line.has(&opt::ALIVE) {
        Mode::Ask(Question::Alive)
    } else if line.has(&opt::DRY_RUN) {
        Mode::Rehearse
    } else {
        Mode::Send
    }
}

fn voice(line: &Line) -> Voice {
    if line.has(&opt::JSON) {
        Voice::Json
    } else if line.has(&opt::VERBOSE) || line.has(&opt::DRY_RUN) {
        // The preview is what a dry run is for, so it is printed without -v too.
        Voice::Verbose
    } else {
        Voice::Quiet
    }
}

fn check_exclusions(given: &Given) -> Result<(), UsageError> {
    for (ones, others) in opt::EXCLUSIONS {
        let Some(one) = given.first(ones) else {
            continue;
        };
        let may_be_both = |other: &Opt| [one.id, opt::VERBOSE.id].contains(&other.id);
        let mut others = others.iter().filter(|other| !may_be_both(other));
        if let Some(other) = others.find(|other| given.has(other)) {
            let (one, other) = (one.spelled(), other.spelled());
            let error = format!("'{one}' cannot be used with '{other}'");
            return Err(UsageError::new(error));
        }
    }
    Ok(())
}

fn plan(given: &Given) -> Result<Plan, UsageError> {
    let first = match given.all(&opt::SIGNAL, values::signal)?[..] {
        [] => Signal::TERM,
        [one] => one,
        [one, other, ..] => {
            let error = format!("one signal at a time: {one} and {other} were named");
            return Err(UsageError::new(error));
        }
    };
    let timeouts = given.all(&opt::TIMEOUT, |word| Ok(word.to_owned()))?;
    let timeouts = timeouts.chunks_exact(2);
    let follow_ups = timeouts.map(|pair| values::follow_up(&pair[0], &pair[1]));
    let mut follow_ups: Vec<FollowUp> = follow_ups.collect::<Result<_, _>>()?;
    let within = given.one(&opt::WITHIN, values::duration_with_unit)?;
    let grace = given.one(&opt::GRACE, values::duration_with_unit)?;
    let value = given.one(&opt::QUEUE, values::queued_value)?;
    let selection = selection(given, first)?;
    if given.has(&opt::HANDLER) && matches!(first, Signal::NULL | Signal::KILL | Signal::STOP) {
        return Err(UsageError::new(format!(
            "'--require-handler' is of no use with {first}, which no process can catch"
        )));
    }
    if grace.is_some() && first.is_null() {
        return Err(UsageError::new(format!(
            "'--grace' cannot be used with {first}, which signals nobody: '--within' waits only"
        )));
    }
    let signal = Signal::KILL;
    follow_ups.extend(grace.map(|after| FollowUp { after, signal }));
    let wants_cont = grace.is_some() && !matches!(first, Signal::KILL | Signal::CONT);
    Ok(Plan {
        mode: mode(given.line),
        perhaps_signal: perhaps_signal(given.line),
        selection,
        first,
        companions: wants_cont.then_some(Signal::CONT).into_iter().collect(),
        follow_ups,
        value,
        until: match within.or(grace) {
            Some(within) => Until::Within(within),
            None if given.has(&opt::WAIT) => Until::Gone,
            None => Until::Sent,
        },
        begun: Begun::default(),
    })
}

/// The first of several targets, if no signal is named and its number may mean one.
fn perhaps_signal(line: &Line) -> Option<Pid> {
    let is_first = line.before_signal > 0 && line.operands.len() > 1 && !line.has(&opt::SIGNAL);
    let target = Target::try_from(*line.operands.first().filter(|_| is_first)?).ok()?;
    let pid = target.process()?;
    (pid.number() <= Signal::RTMAX.number()).then_some(pid)
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests;
