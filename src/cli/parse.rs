//! From a command line to an action: clap parses the options, and the checks here decide whether
//! they go together. Pure: nothing is looked up and nothing is sent.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use crate::cli::argv::{self, Line};
use crate::cli::given::Given;
use crate::cli::hints::with_hint;
use crate::cli::options::{
    ALIVE, ALL, CGROUP, DRY_RUN, GENERATE, GRACE, HANDLER, ID, JSON, LIST, LONG_HELP, MIXED,
    NUMBERS, OPTIONS, PID, QUEUE, SHORT_HELP, SIGNAL, STATE, TABLE, TIMEOUT, TREE, USER, VERBOSE,
    VERSION, WAIT, WITHIN, command,
};
use crate::cli::refusal::usage_error;
use crate::cli::selection::selection;
use crate::cli::values;
use crate::event::Status;
use crate::plan::{Action, Begun, Detail, FollowUp, Plan, Until, Voice};
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
    // A supervisor must not take a usage error for a dead service: with --alive the answer is
    // "could not be determined".
    let status = if line.has(ALIVE) {
        Status::Undecided
    } else {
        Status::Failure
    };
    let voice = if line.has(JSON) {
        Voice::Json
    } else {
        Voice::Quiet
    };
    let error = match line.error.take() {
        Some(error) => error,
        None => match action(&line) {
            Ok(action) => return Ok(action),
            Err(error) => error,
        },
    };
    Err(Refusal {
        error: with_hint(error, &line),
        status,
        voice,
    })
}

fn action(line: &Line) -> Result<Action, UsageError> {
    let given = command()
        .try_get_matches_from(&line.options)
        .map(Given)
        .map_err(|error| usage_error(&error, line))?;
    let early = [
        (LONG_HELP, Action::Help(Detail::Long)),
        (SHORT_HELP, Action::Help(Detail::Short)),
        (VERSION, Action::Version),
    ];
    if let Some((_, action)) = early.into_iter().find(|(id, _)| given.has(id)) {
        return Ok(action);
    }
    check_exclusions(&given)?;
    let operands = || line.operands.iter().map(|operand| (*operand).to_owned());
    Ok(match () {
        () if given.has(LIST) => {
            Action::List(given.one(LIST).into_iter().chain(operands()).collect())
        }
        () if given.has(NUMBERS) => Action::Numbers(operands().collect()),
        () if given.has(TABLE) => Action::Table(operands().collect()),
        () if given.has(STATE) => {
            let more = line.operands.iter().map(|pid| values::process_id(pid));
            let pids = given.all(STATE).into_iter().map(Ok).chain(more);
            Action::State(pids.collect::<Result<_, _>>()?)
        }
        () => match given.one(GENERATE) {
            Some(product) => Action::Generate(product),
            None => Action::Run(plan(&given, line)?.into(), given.voice()),
        },
    })
}

/// Options that list, show or print. Each stands alone, except for `--verbose`.
const ALONE: [&str; 5] = [LIST, NUMBERS, TABLE, STATE, GENERATE];

/// Options of which two cannot be combined: any of the first list with any other of the second.
const EXCLUSIONS: [(&[&str], &[&str]); 4] = [
    (
        &[PID, ID, ALIVE],
        &[
            PID, ID, ALIVE, SIGNAL, QUEUE, TIMEOUT, WAIT, WITHIN, GRACE, DRY_RUN,
        ],
    ),
    (&[GRACE], &[TIMEOUT, WITHIN]),
    // The descendants of members are members, and what has left the group is not meant.
    (&[TREE, MIXED], &[CGROUP]),
    (&[USER], &[ALL]),
];

fn check_exclusions(given: &Given) -> Result<(), UsageError> {
    let all: Vec<&str> = OPTIONS.iter().map(|option| option.id).collect();
    let all: Vec<&str> = all.into_iter().filter(|id| *id != VERBOSE).collect();
    for (ones, others) in [(&ALONE[..], &all[..])].into_iter().chain(EXCLUSIONS) {
        let Some(one) = given.first(ones.iter().copied()) else {
            continue;
        };
        let others = others.iter().copied().filter(|other| *other != one.id);
        if let Some(other) = given.first(others) {
            let (one, other) = (one.spelled(), other.spelled());
            let error = format!("'{one}' cannot be used with '{other}'");
            return Err(UsageError::new(error));
        }
    }
    Ok(())
}

fn plan(given: &Given, line: &Line) -> Result<Plan, UsageError> {
    let signals: Vec<Signal> = given.all(SIGNAL);
    let first = match signals[..] {
        [] => Signal::TERM,
        [one] => one,
        [one, other, ..] => {
            let error = format!("one signal at a time: {one} and {other} were named");
            return Err(UsageError::new(error));
        }
    };
    let timeouts: Vec<OsString> = given.all(TIMEOUT);
    let timeouts = timeouts.chunks_exact(2);
    let mut follow_ups: Vec<FollowUp> = timeouts
        .map(|pair| values::follow_up(&pair[0], &pair[1]))
        .collect::<Result<_, _>>()?;
    let selection = selection(given, line, first)?;
    if given.has(HANDLER) && matches!(first, Signal::NULL | Signal::KILL | Signal::STOP) {
        return Err(UsageError::new(format!(
            "'--require-handler' is of no use with {first}, which no process can catch"
        )));
    }
    let grace: Option<Duration> = given.one(GRACE);
    if grace.is_some() && first.is_null() {
        return Err(UsageError::new(format!(
            "'--grace' cannot be used with {first}, which signals nobody: '--within' waits only"
        )));
    }
    follow_ups.extend(grace.map(|after| FollowUp {
        after,
        signal: Signal::KILL,
    }));
    let wants_cont = grace.is_some() && !matches!(first, Signal::KILL | Signal::CONT);
    let may_be_signal = |pid: &Pid| pid.number() <= Signal::RTMAX.number();
    Ok(Plan {
        mode: given.mode(),
        perhaps_signal: match line.operands[..line.before_signal] {
            [word, ..] if signals.is_empty() && line.operands.len() > 1 => {
                let target = Target::try_from(word).ok();
                target.and_then(|target| target.process().filter(may_be_signal))
            }
            _ => None,
        },
        selection,
        first,
        companions: wants_cont.then_some(Signal::CONT).into_iter().collect(),
        follow_ups,
        value: given.one(QUEUE),
        until: match given.one(WITHIN).or(grace) {
            Some(within) => Until::Within(within),
            None if given.has(WAIT) => Until::Gone,
            None => Until::Sent,
        },
        begun: Begun::default(),
    })
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests;
