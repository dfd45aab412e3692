//! The command line's meaning: clap parses the options, `into_action` checks that they go together and turns texts into values.
//! Pure: nothing is looked up and nothing sent. clap appears here, in `manual` and in `completions` alone.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::cli::argv::{self, Arity, Line, SIGNAL};
use crate::cli::options::{
    ALIVE, ALL, ALLOW_STALE, DRY_RUN, EXPECT, GENERATE, GRACE, HANDLER, HELP, ID, JSON, LIST, NUMBERS, OPTIONS, Opt,
    PID, PIDFILE, QUEUE, STATE, TABLE, TIMEOUT, TREE, VERBOSE, VERSION, WAIT, WITHIN,
};
use crate::cli::values::{self, Unit};
use crate::outcome::Status;
use crate::output::escape::escape;
use crate::plan::{Action, Age, Detail, Pidfile, Plan, Question, Reach, Selection, Step, Until, Users, Voice};
use crate::signal::Signal;
use crate::target::{Pid, Target};
use crate::usage::UsageError;

/// A command line that was refused, and the exit status that says so.
#[derive(Debug)]
pub struct Refusal {
    pub error: UsageError,
    pub status: Status,
    pub voice: Voice,
}

/// Reads the arguments behind argv[0].
pub fn parse(args: impl Iterator<Item = &'static OsStr>) -> Result<Action, Refusal> {
    let mut line = argv::split(args, &OPTIONS.each_ref().map(|option| &option.shape));
    // A supervisor must not take a typing error for a dead service: under --alive it is "could not be told".
    let status = if line.given.contains(&ALIVE) { Status::Undecided } else { Status::Failure };
    let voice = if line.given.contains(&JSON) { Voice::Json } else { Voice::Quiet };
    let detail = detail(&line.options);
    let action = match line.error.take() {
        Some(error) => Err(error),
        None => matches(&mut line).and_then(|mut matches| into_action(&mut matches, &line, detail)),
    };
    action.map_err(|error| Refusal { error, status, voice })
}

/// Lets clap read the options, unless the signal is the only one. Its command holds only those that were given, since building and parsing the others costs more than
/// everything else a single signal needs; with an unknown option it holds all, so that clap can suggest one.
fn matches(line: &mut Line) -> Result<ArgMatches, UsageError> {
    if line.options.is_empty() || lone_signal(line).is_some() {
        return Ok(ArgMatches::default());
    }
    let wanted = |option: &&Opt| line.has_unknown || line.given.contains(&option.shape.id);
    bare_command()
        .args(OPTIONS.iter().filter(wanted).map(argument))
        .try_get_matches_from_mut(std::mem::take(&mut line.options))
        .map_err(|error| in_our_words(&error))
}

/// The signal of a line that has no other option, as nearly all have that are typed or run by scripts. To have clap find it costs more than
/// finding the target and sending.
fn lone_signal(line: &Line) -> Option<&OsStr> {
    match line.options.as_slice() {
        [option] => option.as_bytes().strip_prefix(b"--signal=").map(OsStr::from_bytes),
        [option, value] if option == "-s" => Some(value),
        _ => None,
    }
}

/// Whether help was asked for as `-h` or as `--help`, which no other long option begins like.
fn detail(options: &[OsString]) -> Detail {
    if options.iter().any(|option| option.as_encoded_bytes().starts_with(b"--h")) {
        Detail::Long
    } else {
        Detail::Short
    }
}

/// A command without texts and options, in which nothing but the given options and their values is left to clap.
pub fn bare_command() -> Command {
    Command::new("sigsend")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .infer_long_args(true)
}

/// One option as clap has to parse it.
pub fn argument(option: &Opt) -> Arg {
    let mut shorts = option.shape.shorts.chars();
    let arg = Arg::new(option.shape.id).long(option.shape.long).short(shorts.next()).short_aliases(shorts);
    let arg = if option.values.is_empty() { arg } else { arg.value_names(option.values.iter().copied()) };
    match option.shape.arity {
        Arity::Flag => arg.action(ArgAction::Count),
        Arity::Attached => arg.action(ArgAction::Append).num_args(0..=1).value_parser(ValueParser::os_string()),
        Arity::Values(count) => {
            let repeats = matches!(option.shape.id, SIGNAL | TIMEOUT | STATE);
            let action = if repeats { ArgAction::Append } else { ArgAction::Set };
            arg.action(action).num_args(count).allow_hyphen_values(true).value_parser(ValueParser::os_string())
        }
    }
}

/// A clap error as one line; its tip becomes the hint.
fn in_our_words(error: &clap::Error) -> UsageError {
    let rendered = error.render().to_string();
    let mut lines = rendered.lines();
    let text = lines.next().unwrap_or_default().trim_start_matches("error: ").trim_end_matches(':');
    // It repeats the argument as it was typed.
    let error = UsageError::new(escape(text.replace("...'", "'").as_bytes()));
    match lines.find_map(|line| line.trim_start().strip_prefix("tip: ")) {
        Some(tip) => error.hint(escape(tip.as_bytes())),
        None => error,
    }
}

/// Options of which two cannot stand together: any of the first list with any other of the second.
const EXCLUSIONS: [(&[&str], &[&str]); 3] = [
    (
        &[LIST, NUMBERS, TABLE, STATE, GENERATE],
        &[
            LIST, NUMBERS, TABLE, STATE, GENERATE, SIGNAL, QUEUE, ALL, PID, HANDLER, PIDFILE, ALLOW_STALE, EXPECT,
            ALIVE, ID, TREE, TIMEOUT, WAIT, WITHIN, GRACE, DRY_RUN, JSON,
        ],
    ),
    (&[PID, ID, ALIVE], &[PID, ID, ALIVE, SIGNAL, QUEUE, TIMEOUT, WAIT, WITHIN, GRACE, DRY_RUN]),
    (&[GRACE], &[TIMEOUT, WITHIN]),
];

fn check_exclusions(given: &[&str]) -> Result<(), UsageError> {
    for (ones, others) in EXCLUSIONS {
        let pair = given.iter().find(|id| ones.contains(id)).and_then(|one| {
            given
                .iter()
                .find(|other| *other != one && others.contains(other))
                .map(|other| (spelled(one), spelled(other)))
        });
        if let Some((one, other)) = pair {
            return Err(UsageError::new(format!("'{one}' cannot be used with '{other}'")));
        }
    }
    if given.iter().filter(|id| **id == LIST).count() > 1 {
        return Err(UsageError::new("'--list' can be given only once"));
    }
    Ok(())
}

/// An option as messages write it.
fn spelled(id: &str) -> String {
    let option = OPTIONS.iter().find(|option| option.shape.id == id);
    option.and_then(|option| option.shape.long).map_or_else(|| "-L".to_owned(), |long| format!("--{long}"))
}

fn into_action(matches: &mut ArgMatches, line: &Line, detail: Detail) -> Result<Action, UsageError> {
    let given = |id| line.given.contains(&id);
    if given(HELP) {
        return Ok(Action::Help(detail));
    }
    if given(VERSION) {
        return Ok(Action::Version);
    }
    check_exclusions(&line.given)?;
    if given(LIST) {
        return Ok(Action::List(values(matches, LIST).chain(operands(line)).collect()));
    }
    if given(NUMBERS) {
        return Ok(Action::Numbers(operands(line).collect()));
    }
    if given(TABLE) {
        return Ok(Action::Table(operands(line).collect()));
    }
    if given(STATE) {
        let pids = values(matches, STATE).chain(operands(line));
        return pids.map(|pid| values::process_id(&pid)).collect::<Result<_, _>>().map(Action::State);
    }
    if given(GENERATE) {
        let what = value(matches, line, GENERATE).unwrap_or_default();
        return values::product(&what).map(Action::Generate);
    }
    let voice = match (given(JSON), given(VERBOSE)) {
        (true, _) => Voice::Json,
        (false, true) => Voice::Verbose,
        (false, false) => Voice::Quiet,
    };
    let questions = [(PID, Question::Pid), (ID, Question::Id), (ALIVE, Question::Alive)];
    let question = questions.into_iter().find_map(|(id, question)| given(id).then_some(question));
    let dry_run = given(DRY_RUN);
    let plan = plan(matches, line)?;
    Ok(match question {
        Some(question) => Action::Ask(question, plan.selection, voice),
        // What a dry run finds is what was asked for.
        None if dry_run => Action::DryRun(plan, if voice == Voice::Quiet { Voice::Verbose } else { voice }),
        None => Action::Send(plan, voice),
    })
}

/// All values of an option that was given and may be repeated.
fn values(matches: &mut ArgMatches, id: &str) -> impl Iterator<Item = OsString> + use<> {
    matches.remove_many(id).into_iter().flatten()
}

fn operands(line: &Line) -> impl Iterator<Item = OsString> {
    line.operands.iter().map(|operand| (*operand).to_owned())
}

/// The value of an option that may be given once; clap must not be asked for one that its lean command has not.
fn value(matches: &mut ArgMatches, line: &Line, id: &str) -> Option<OsString> {
    line.given.contains(&id).then(|| matches.remove_one(id))?
}

fn plan(matches: &mut ArgMatches, line: &Line) -> Result<Plan, UsageError> {
    let signals = match lone_signal(line) {
        Some(signal) => vec![signal.to_owned()],
        None if line.given.contains(&SIGNAL) => values(matches, SIGNAL).collect(),
        None => Vec::new(),
    };
    let signal = match signals.as_slice() {
        [] => Signal::TERM,
        [one] => values::signal(one)?,
        [one, other, ..] => {
            let (one, other) = (values::signal(one)?, values::signal(other)?);
            return Err(UsageError::new(format!("one signal at a time: {one} and {other} were named")));
        }
    };
    let queued = value(matches, line, QUEUE).map(|text| values::queued_value(&text)).transpose()?;
    // Collected into a Result, the vector would not know its size and double its way up.
    let mut targets = Vec::with_capacity(line.operands.len());
    for token in &line.operands {
        targets.push(values::target(token)?);
    }
    let pidfile = value(matches, line, PIDFILE);
    if targets.is_empty() && pidfile.is_none() {
        return Err(UsageError::new("no process ID specified"));
    }

    let mut steps = vec![Step { after: Duration::ZERO, signals: vec![signal] }];
    let mut until = if line.given.contains(&WAIT) { Until::Gone } else { Until::Sent };
    if line.given.contains(&TIMEOUT) {
        let words: Vec<OsString> = values(matches, TIMEOUT).collect();
        for pair in words.chunks_exact(2) {
            steps.push(Step {
                after: values::duration(&pair[0], Unit::Milliseconds)?,
                signals: vec![values::signal(&pair[1])?],
            });
        }
    }
    if let Some(text) = value(matches, line, WITHIN) {
        until = Until::Within(values::duration(&text, Unit::Required)?);
    }
    if let Some(text) = value(matches, line, GRACE) {
        let grace = values::duration(&text, Unit::Required)?;
        if !matches!(signal, Signal::KILL | Signal::CONT) {
            steps[0].signals.push(Signal::CONT);
        }
        steps.push(Step { after: grace, signals: vec![Signal::KILL] });
        until = Until::Within(grace);
    }
    check_targets(&targets, &line.given)?;

    let given = |id| line.given.contains(&id);
    if given(HANDLER) && matches!(signal, Signal::NULL | Signal::KILL | Signal::STOP) {
        return Err(UsageError::new(format!(
            "'--require-handler' is of no use with {signal}, which no process can catch"
        )));
    }
    let selection = Selection {
        targets,
        pidfile: pidfile.map(|path| Pidfile { path, age: if given(ALLOW_STALE) { Age::Any } else { Age::Checked } }),
        cgroup: None,
        users: if given(ALL) { Users::All } else { Users::Own },
        expect: value(matches, line, EXPECT).map(values::expected_name).transpose()?,
        catching: given(HANDLER).then_some(signal),
        reach: if given(TREE) { Reach::Tree } else { Reach::Process },
    };
    Ok(Plan { selection, value: queued, steps, until })
}

/// Refuses targets that stand for many processes where the options speak of single ones, or where one would wait for oneself.
fn check_targets(targets: &[Target], given: &[&str]) -> Result<(), UsageError> {
    const SINGLE: [&str; 7] = [HANDLER, EXPECT, PID, ID, ALIVE, TREE, QUEUE];
    const WAITING: [&str; 4] = [WAIT, WITHIN, TIMEOUT, GRACE];
    let first = |ids: &[&str]| given.iter().find(|id| ids.contains(id)).map(|id| spelled(id));
    let (single, waiting) = (first(&SINGLE), first(&WAITING));
    for target in targets {
        let refused = match target {
            Target::Group(_) => single.as_ref(),
            Target::OwnGroup | Target::Everyone => single.as_ref().or(waiting.as_ref()),
            Target::Process(Pid::INIT) | Target::Padded(Pid::INIT, _) | Target::Token(Pid::INIT, _)
                if given.contains(&TREE) =>
            {
                return Err(UsageError::new("the tree of process 1 is every process: write -1 if that is meant"));
            }
            _ => None,
        };
        if let Some(option) = refused {
            return Err(UsageError::new(format!("'{option}' cannot be used with the target '{target}'")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod properties;
