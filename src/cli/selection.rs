//! From options and operands to the selection of processes, and whether they go together.

use std::ffi::OsString;

use crate::cli::argv::Line;
use crate::cli::given::Given;
use crate::cli::hints;
use crate::cli::options::{
    ALIVE, ALL, ALLOW_STALE, CGROUP, CWD, EXPECT, FULL, GRACE, HANDLER, ID, MIXED, PID, PIDFILE,
    QUEUE, TIMEOUT, TREE, USER, WAIT, WITHIN,
};
use crate::cli::values;
use crate::plan::{Age, Mode, Pidfile, Reach, Selection, Users};
use crate::signal::Signal;
use crate::target::{Pid, Target, Targets};
use crate::usage::{Lookup, UsageError};

/// What a line selects, of which `signal` is the first signal.
pub fn selection(given: &Given, line: &Line, signal: Signal) -> Result<Selection, UsageError> {
    let age = if given.has(ALLOW_STALE) {
        Age::Any
    } else {
        Age::Checked
    };
    let pidfile = |path| Pidfile { path, age };
    let user: Option<OsString> = given.one(USER);
    let selection = Selection {
        targets: targets(given, line)?,
        pidfiles: given.all(PIDFILE).into_iter().map(pidfile).collect(),
        cgroup: given.one(CGROUP),
        users: match &user {
            Some(user) => Users::Of(user.clone()),
            None if given.has(ALL) => Users::All,
            None => Users::Own,
        },
        expect: given.one(EXPECT),
        catching: given.has(HANDLER).then_some(signal),
        full: given.all(FULL),
        cwd: given.one(CWD),
        reach: match () {
            () if given.has(MIXED) => Reach::Mixed,
            () if given.has(TREE) => Reach::Tree,
            () => Reach::Process,
        },
    };
    if selection.is_description_alone() {
        check_texts(&selection.full, line)?;
    } else if selection.is_empty() {
        return Err(match user {
            Some(user) => {
                UsageError::new("'--user' selects nobody by itself").lookup(Lookup::User(user))
            }
            None => UsageError::no_target(),
        });
    }
    Ok(selection)
}

/// The operands, each of which must be a target that goes together with the options.
fn targets(given: &Given, line: &Line) -> Result<Targets, UsageError> {
    const SINGLE: [&str; 11] = [
        HANDLER, EXPECT, FULL, CWD, USER, PID, ID, ALIVE, TREE, MIXED, QUEUE,
    ];
    const WAITING: [&str; 4] = [WAIT, WITHIN, TIMEOUT, GRACE];
    check_dashes(given, line)?;
    let single = given.first(SINGLE.into_iter());
    let waiting = given.first(WAITING.into_iter());
    let check = |target: &Target| {
        let refused = match target {
            Target::Group(_) => single,
            Target::OwnGroup | Target::Everyone => single.or(waiting),
            Target::Process(Pid::INIT)
            | Target::Padded(Pid::INIT, _)
            | Target::Token(Pid::INIT, _)
                if given.has(TREE) || given.has(MIXED) =>
            {
                return Err(UsageError::new(
                    "the tree of process 1 is every process: write -1 if that is meant",
                ));
            }
            _ => None,
        };
        refused.map_or(Ok(()), |option| {
            let option = option.spelled();
            let error = format!("'{option}' cannot be used with the target '{target}'");
            Err(UsageError::new(error))
        })
    };
    let mut targets = Targets::default();
    for token in &line.operands {
        let Ok(target) = targets.push(token) else {
            let error = values::invalid_target(token);
            return Err(match hints::target_of(line, token) {
                Some(hint) => error.hint(hint),
                None => error,
            });
        };
        check(&target)?;
    }
    Ok(targets)
}

/// Refuses a word that spells a signal where a signal could still be named: `HUP nginx`.
fn check_dashes(given: &Given, line: &Line) -> Result<(), UsageError> {
    for word in &line.operands[..line.before_signal] {
        if let Ok(Target::Name(name)) = Target::try_from(*word)
            && let Ok(signal) = name.parse::<Signal>()
        {
            let by_name = format!("'-- {name}' means processes of that name");
            return Err(
                UsageError::new(format!("'{name}' is a signal without its dash")).hint(match given
                    .mode()
                {
                    Mode::Ask(_) => by_name,
                    _ => format!("'-{signal}' names the signal; {by_name}"),
                }),
            );
        }
    }
    Ok(())
}

/// Refuses texts that select by themselves and would select too many, or a PID after `-f` where it
/// means "force" elsewhere.
fn check_texts(texts: &[OsString], line: &Line) -> Result<(), UsageError> {
    let is_number = |text: &OsString| text.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    if texts.is_empty() || texts.iter().any(|text| text.len() >= 3 && !is_number(text)) {
        return Ok(());
    }
    let error =
        UsageError::new("'--full' selects by itself only with three bytes that are not all digits");
    let Some(pid) = texts.iter().find(|text| is_number(text)) else {
        return Err(error);
    };
    let named = line
        .options
        .iter()
        .find_map(|word| word.to_str()?.strip_prefix("--signal="));
    let named = named
        .map(|signal| format!("-{signal} "))
        .unwrap_or_default();
    let pid = pid.display();
    Err(error.hint(format!(
        "'{{program}} {named}{pid}' signals the process {pid}"
    )))
}
