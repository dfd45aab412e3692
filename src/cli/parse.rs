//! From a command line to an action: clap parses the options, [`Options`] holds their values, and
//! the checks here decide whether they go together. Pure: nothing is looked up and nothing is sent.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::cli::argv::{self, Line};
use crate::cli::options::{
    ALIVE, ALL, ALLOW_STALE, CGROUP, DRY_RUN, EXPECT, GENERATE, GRACE, HANDLER, ID, JSON, LIST,
    LONG_HELP, NUMBERS, OPTIONS, PID, PIDFILE, QUEUE, SHORT_HELP, SIGNAL, STATE, TABLE, TIMEOUT,
    TREE, VERBOSE, VERSION, WAIT, WITHIN, command, option,
};
use crate::cli::refusal::{usage_error, with_hint};
use crate::cli::values;
use crate::outcome::Status;
use crate::plan::{Action, Age, Detail, Pidfile, Plan, Product, Question, Step, Until, Voice};
use crate::signal::Signal;
use crate::target::{Pid, Target, Targets};
use crate::usage::UsageError;
use crate::words::Words;

/// A command line that was refused, and the exit status for it.
#[derive(Debug)]
pub struct Refusal {
    pub error: UsageError,
    pub status: Status,
    pub voice: Voice,
}

/// Reads the arguments after argv[0].
pub fn parse(args: &Words) -> Result<Action, Refusal> {
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
    let operands = &line.operands;
    let matches = command()
        .try_get_matches_from(&line.options)
        .map_err(|error| usage_error(&error))?;
    if is_given(&matches, LONG_HELP) {
        return Ok(Action::Help(Detail::Long));
    }
    if is_given(&matches, SHORT_HELP) {
        return Ok(Action::Help(Detail::Short));
    }
    if is_given(&matches, VERSION) {
        return Ok(Action::Version);
    }
    check_exclusions(&matches)?;
    let options = Options::from_matches(&matches)?;
    let voice = options.voice;
    let signals = || operands.iter().map(OsStr::to_owned);
    Ok(match options.form {
        Form::List(first) => Action::List(first.into_iter().chain(signals()).collect()),
        Form::Numbers => Action::Numbers(signals().collect()),
        Form::Table => Action::Table(signals().collect()),
        Form::State(mut pids) => {
            for operand in operands.iter() {
                pids.push(values::process_id(operand)?);
            }
            Action::State(pids)
        }
        Form::Generate(product) => Action::Generate(product),
        Form::Ask(question) => Action::Ask(question, options.plan(operands)?.selection, voice),
        // The preview is what a dry run is for, so it is printed without -v too.
        Form::DryRun if voice == Voice::Quiet => {
            Action::DryRun(options.plan(operands)?, Voice::Verbose)
        }
        Form::DryRun => Action::DryRun(options.plan(operands)?, voice),
        Form::Send => Action::Send(options.plan(operands)?, voice),
    })
}

fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// Options of which two cannot be combined: any of the first list with any other of the second.
const EXCLUSIONS: [(&[&str], &[&str]); 4] = [
    (
        &[LIST, NUMBERS, TABLE, STATE, GENERATE],
        &[
            LIST,
            NUMBERS,
            TABLE,
            STATE,
            GENERATE,
            SIGNAL,
            QUEUE,
            ALL,
            PID,
            HANDLER,
            PIDFILE,
            CGROUP,
            ALLOW_STALE,
            EXPECT,
            ALIVE,
            ID,
            TREE,
            TIMEOUT,
            WAIT,
            WITHIN,
            GRACE,
            DRY_RUN,
            JSON,
        ],
    ),
    (
        &[PID, ID, ALIVE],
        &[
            PID, ID, ALIVE, SIGNAL, QUEUE, TIMEOUT, WAIT, WITHIN, GRACE, DRY_RUN,
        ],
    ),
    (&[GRACE], &[TIMEOUT, WITHIN]),
    // The descendants of members are members, and what has left the group is not meant.
    (&[TREE], &[CGROUP]),
];

fn check_exclusions(matches: &ArgMatches) -> Result<(), UsageError> {
    for (ones, others) in EXCLUSIONS {
        let Some(one) = first_given(matches, ones) else {
            continue;
        };
        let others: Vec<&str> = others
            .iter()
            .copied()
            .filter(|other| *other != one)
            .collect();
        if let Some(other) = first_given(matches, &others) {
            let (one, other) = (option(one).spelled(), option(other).spelled());
            return Err(UsageError::new(format!(
                "'{one}' cannot be used with '{other}'"
            )));
        }
    }
    Ok(())
}

fn first_given(matches: &ArgMatches, ids: &[&'static str]) -> Option<&'static str> {
    ids.iter().copied().find(|id| is_given(matches, id))
}

/// The options of one command line.
struct Options {
    form: Form,
    voice: Voice,
    signals: Vec<Signal>,
    value: Option<i32>,
    follow_ups: Vec<Step>,
    wait: bool,
    within: Option<Duration>,
    grace: Option<Duration>,
    pidfile: Option<OsString>,
    cgroup: Option<OsString>,
    expect: Option<OsString>,
    require_handler: bool,
    tree: bool,
    /// What options change that mean nothing else.
    changes: Vec<fn(&mut Plan)>,
    /// An option that works on single processes only, as messages write it.
    single: Option<String>,
    /// An option that waits for the targets or signals them again.
    waiting: Option<String>,
}

/// What the call is for. The forms exclude each other.
enum Form {
    List(Option<OsString>),
    Numbers,
    Table,
    State(Vec<Pid>),
    Generate(Product),
    Ask(Question),
    DryRun,
    Send,
}

impl Form {
    fn from_matches(matches: &ArgMatches) -> Self {
        let given = |id| is_given(matches, id);
        match () {
            () if given(LIST) => Self::List(one(matches, LIST)),
            () if given(NUMBERS) => Self::Numbers,
            () if given(TABLE) => Self::Table,
            () if given(STATE) => Self::State(all(matches, STATE)),
            () if given(PID) => Self::Ask(Question::Pid),
            () if given(ID) => Self::Ask(Question::Id),
            () if given(ALIVE) => Self::Ask(Question::Alive),
            () if given(DRY_RUN) => Self::DryRun,
            () => one(matches, GENERATE).map_or(Self::Send, Self::Generate),
        }
    }
}

/// The value of an option that may be given once.
fn one<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, id: &str) -> Option<T> {
    matches.get_one(id).cloned()
}

/// All values of an option that may be repeated.
fn all<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, id: &str) -> Vec<T> {
    matches
        .get_many(id)
        .into_iter()
        .flatten()
        .cloned()
        .collect()
}

impl Options {
    fn from_matches(matches: &ArgMatches) -> Result<Self, UsageError> {
        const SINGLE: [&str; 7] = [HANDLER, EXPECT, PID, ID, ALIVE, TREE, QUEUE];
        const WAITING: [&str; 4] = [WAIT, WITHIN, TIMEOUT, GRACE];
        let given = |id| is_given(matches, id);
        let first = |ids: &[&'static str]| first_given(matches, ids).map(|id| option(id).spelled());
        let timeouts: Vec<OsString> = all(matches, TIMEOUT);
        Ok(Self {
            form: Form::from_matches(matches),
            voice: match (given(JSON), given(VERBOSE)) {
                (true, _) => Voice::Json,
                (false, true) => Voice::Verbose,
                (false, false) => Voice::Quiet,
            },
            signals: all(matches, SIGNAL),
            value: one(matches, QUEUE),
            follow_ups: timeouts
                .chunks_exact(2)
                .map(|pair| values::follow_up(&pair[0], &pair[1]))
                .collect::<Result<_, _>>()?,
            wait: given(WAIT),
            within: one(matches, WITHIN),
            grace: one(matches, GRACE),
            pidfile: one(matches, PIDFILE),
            cgroup: one(matches, CGROUP),
            expect: one(matches, EXPECT),
            require_handler: given(HANDLER),
            tree: given(TREE),
            changes: OPTIONS
                .iter()
                .filter(|option| given(option.id))
                .map(|option| option.change)
                .collect(),
            single: first(&SINGLE),
            waiting: first(&WAITING),
        })
    }

    fn plan(self, operands: &Words) -> Result<Plan, UsageError> {
        let signal = match self.signals.as_slice() {
            [] => Signal::TERM,
            [one] => *one,
            [one, other, ..] => {
                return Err(UsageError::new(format!(
                    "one signal at a time: {one} and {other} were named"
                )));
            }
        };
        if operands.is_empty() && self.pidfile.is_none() && self.cgroup.is_none() {
            return Err(UsageError::no_target());
        }
        let targets = Targets::new(operands, values::invalid_target, |target| {
            self.check_target(target)
        })?;
        if self.require_handler && matches!(signal, Signal::NULL | Signal::KILL | Signal::STOP) {
            return Err(UsageError::new(format!(
                "'--require-handler' is of no use with {signal}, which no process can catch"
            )));
        }
        if self.grace.is_some() && signal.is_null() {
            return Err(UsageError::new(format!(
                "'--grace' cannot be used with {signal}, which signals nobody: '--within' waits only"
            )));
        }
        let mut steps = vec![Step {
            after: Duration::ZERO,
            signals: vec![signal],
        }];
        steps.extend(self.follow_ups);
        let mut until = match self.within {
            Some(within) => Until::Within(within),
            None if self.wait => Until::Gone,
            None => Until::Sent,
        };
        if let Some(grace) = self.grace {
            if !matches!(signal, Signal::KILL | Signal::CONT) {
                steps[0].signals.push(Signal::CONT);
            }
            steps.push(Step {
                after: grace,
                signals: vec![Signal::KILL],
            });
            until = Until::Within(grace);
        }
        let mut plan = Plan::new(targets, steps, until);
        plan.value = self.value;
        plan.selection.pidfile = self.pidfile.map(|path| Pidfile {
            path,
            age: Age::Checked,
        });
        plan.selection.cgroup = self.cgroup;
        plan.selection.expect = self.expect;
        for change in self.changes {
            change(&mut plan);
        }
        Ok(plan)
    }

    /// Refuses a target that means several processes if an option works on single ones, or if
    /// sigsend would wait for itself.
    fn check_target(&self, target: &Target) -> Result<(), UsageError> {
        let refused = match target {
            Target::Group(_) => self.single.as_ref(),
            Target::OwnGroup | Target::Everyone => self.single.as_ref().or(self.waiting.as_ref()),
            Target::Process(Pid::INIT)
            | Target::Padded(Pid::INIT, _)
            | Target::Token(Pid::INIT, _)
                if self.tree =>
            {
                return Err(UsageError::new(
                    "the tree of process 1 is every process: write -1 if that is meant",
                ));
            }
            _ => None,
        };
        match refused {
            Some(option) => Err(UsageError::new(format!(
                "'{option}' cannot be used with the target '{target}'"
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod properties;
