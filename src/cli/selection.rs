//! From options and operands to the selection of processes, and whether they go together.

use std::ffi::OsString;

use crate::cli::given::Given;
use crate::cli::hints;
use crate::cli::options::table as opt;
use crate::cli::values::{self, not_empty};
use crate::plan::{Age, Pidfile, Reach, Selection, Users};
use crate::signal::Signal;
use crate::target::{Pid, Target, Targets};
use crate::usage::{Lookup, UsageError};

/// What a line selects, of which `signal` is the first signal.
pub fn selection(given: &Given, signal: Signal) -> Result<Selection, UsageError> {
    let age = if given.has(&opt::STALE) {
        Age::Any
    } else {
        Age::Checked
    };
    let user = given.one(&opt::USER, values::user)?;
    let selection = Selection {
        targets: targets(given)?,
        pidfiles: given.all(&opt::PIDFILE, |path| {
            let path = path.to_owned();
            Ok(Pidfile { path, age })
        })?,
        cgroup: given.one(&opt::CGROUP, |path| not_empty(path, "control group"))?,
        users: match &user {
            Some(user) => Users::Of(user.clone()),
            None if given.has(&opt::ALL) => Users::All,
            None => Users::Own,
        },
        expect: given.one(&opt::EXPECT, values::expected_name)?,
        catching: given.has(&opt::HANDLER).then_some(signal),
        full: given.all(&opt::FULL, |text| not_empty(text, "text"))?,
        cwd: given.one(&opt::CWD, values::directory)?,
        reach: if given.has(&opt::MIXED) {
            Reach::Mixed
        } else if given.has(&opt::TREE) {
            Reach::Tree
        } else {
            Reach::Process
        },
    };
    if selection.is_description_alone() {
        check_texts(&selection.full, given)?;
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
fn targets(given: &Given) -> Result<Targets, UsageError> {
    check_dashes(given)?;
    let not_for_groups = given.first(&opt::NOT_FOR_GROUPS);
    let not_for_itself = given.first(&opt::NOT_FOR_ITSELF);
    let is_tree = given.has(&opt::TREE) || given.has(&opt::MIXED);
    let mut targets = Targets::default();
    for token in &given.line.operands {
        let Ok(target) = targets.push(token) else {
            let hint = hints::target_of(given.line, token);
            return Err(values::invalid_target(token).better_hint(hint));
        };
        let refused = match target {
            Target::Group(_) => not_for_groups,
            Target::OwnGroup | Target::Everyone => not_for_groups.or(not_for_itself),
            Target::Process(Pid::INIT)
            | Target::Padded(Pid::INIT, _)
            | Target::Token(Pid::INIT, _)
                if is_tree =>
            {
                return Err(UsageError::new(
                    "the tree of process 1 is every process: write -1 if that is meant",
                ));
            }
            _ => None,
        };
        if let Some(option) = refused {
            let option = option.spelled();
            let error = format!("'{option}' cannot be used with the target '{target}'");
            return Err(UsageError::new(error));
        }
    }
    Ok(targets)
}

/// Refuses a word that spells a signal where a signal could still be named: `HUP nginx`.
fn check_dashes(given: &Given) -> Result<(), UsageError> {
    for word in &given.line.operands[..given.line.before_signal] {
        if let Ok(Target::Name(name)) = Target::try_from(*word)
            && let Ok(signal) = name.parse::<Signal>()
        {
            let by_name = format!("'-- {name}' means processes of that name");
            let error = UsageError::new(format!("'{name}' is a signal without its dash"));
            return Err(error.hint(match given.first(&opt::QUESTIONS) {
                Some(_) => by_name,
                None => format!("'-{signal}' names the signal; {by_name}"),
            }));
        }
    }
    Ok(())
}

/// Refuses texts that select by themselves and would select too many, or a PID after `-f` where it
/// means "force" elsewhere.
fn check_texts(texts: &[OsString], given: &Given) -> Result<(), UsageError> {
    let is_number = |text: &OsString| text.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    if texts.is_empty() || texts.iter().any(|text| text.len() >= 3 && !is_number(text)) {
        return Ok(());
    }
    let error =
        UsageError::new("'--full' selects by itself only with three bytes that are not all digits");
    let pid = texts.iter().find(|text| is_number(text));
    Err(error.better_hint(pid.map(|pid| {
        let mut options = given.line.options.iter();
        let named = options.find_map(|word| word.to_str()?.strip_prefix("--signal="));
        let named = named.map_or(String::new(), |signal| format!("-{signal} "));
        let pid = pid.display();
        format!("'{{program}} {named}{pid}' signals the process {pid}")
    })))
}
