//! From options and operands to the selection of processes, and whether they go together.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::cli::argv::Line;
use crate::cli::hints;
use crate::cli::options::table as opt;
use crate::cli::values::{self, not_empty};
use crate::digits::is_number;
use crate::plan::{Age, Pidfile, Reach, Selection, Users};
use crate::signal::Signal;
use crate::target::{Pid, Target, Targets};
use crate::usage::{Lookup, UsageError};

/// What a line selects, of which `signal` is the first signal.
pub fn selection(line: &Line, signal: Signal) -> Result<Selection, UsageError> {
    let age = line.choice(Age::Checked, &[(&opt::STALE, Age::Any)]);
    let pidfile = |path: &OsStr| {
        let path = not_empty(path, "pidfile")?;
        Ok(Pidfile { path, age })
    };
    let reaches = [(&opt::MIXED, Reach::Mixed), (&opt::TREE, Reach::Tree)];
    let user = line.value(&opt::USER, values::user)?;
    let texts = line.values(&opt::FULL).map(|text| not_empty(text, "text"));
    let selection = Selection {
        targets: targets(line)?,
        pidfiles: line
            .values(&opt::PIDFILE)
            .map(pidfile)
            .collect::<Result<_, _>>()?,
        cgroup: line.value(&opt::CGROUP, |path| not_empty(path, "control group"))?,
        users: match user {
            Some(user) => Users::Of(user),
            None if line.has(&opt::ALL) => Users::All,
            None => Users::Own,
        },
        expect: line.value(&opt::EXPECT, values::expected_name)?,
        catching: line.has(&opt::HANDLER).then_some(signal),
        full: texts.collect::<Result<_, _>>()?,
        cwd: line.value(&opt::CWD, values::directory)?,
        reach: line.choice(Reach::Process, &reaches),
    };
    if selection.is_description_alone() {
        check_texts(&selection.full, line)?;
    } else if selection.is_empty() {
        return Err(match selection.users {
            Users::Of(user) => {
                UsageError::new("'--user' selects nobody by itself").lookup(Lookup::User(user))
            }
            _ => UsageError::no_target(),
        });
    }
    Ok(selection)
}

/// The operands, each of which must be a target that goes together with the options.
fn targets(line: &Line) -> Result<Targets, UsageError> {
    check_dashes(line)?;
    let not_for_groups = line.first(&opt::NOT_FOR_GROUPS);
    let not_for_itself = line.first(&opt::NOT_FOR_ITSELF);
    let is_tree = line.has(&opt::TREE) || line.has(&opt::MIXED);
    let mut targets = Targets::default();
    for token in &line.operands {
        let Ok(target) = targets.push(token) else {
            let hint = hint_from(line, token);
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
                let error = "the tree of process 1 is every process: refused";
                return Err(UsageError::new(error));
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

/// For a text that is no target, from the rest of its line.
fn hint_from(line: &Line, token: &OsStr) -> Option<String> {
    let mut rest = line.operands.iter().skip_while(|word| **word != token);
    let next = rest.nth(1).and_then(|next| next.to_str());
    let process = next.and_then(|next| next.parse::<Target>().ok()?.process());
    if token == "-"
        && let Some(process) = process
    {
        return Some(if process.number() <= Signal::RTMAX.number() {
            format!("did you mean -{process}?")
        } else {
            hints::PADDED_GROUP.to_owned()
        });
    }
    line.has(&opt::WAIT)
        .then(|| hints::within(token.to_str()?))?
}

/// Refuses a word that spells a signal where a signal could still be named: `HUP nginx`.
fn check_dashes(line: &Line) -> Result<(), UsageError> {
    for word in &line.operands[..line.before_signal] {
        if let Ok(Target::Name(name)) = Target::try_from(*word)
            && let Ok(signal) = name.parse::<Signal>()
        {
            let by_name = format!("'-- {name}' means processes of that name");
            let error = UsageError::new(format!("'{name}' is a signal without its dash"));
            return Err(error.hint(match line.first(&opt::QUESTIONS) {
                Some(_) => by_name,
                None if signal == Signal::STOP => format!(
                    "'-STOP' suspends a process, '--grace 10s' stops it for good; {by_name}"
                ),
                None => format!("'-{signal}' names the signal; {by_name}"),
            }));
        }
    }
    Ok(())
}

/// Refuses texts that select by themselves and would select too many, or a PID after `-f` where it
/// means "force" elsewhere.
fn check_texts(texts: &[OsString], line: &Line) -> Result<(), UsageError> {
    if texts.is_empty()
        || texts
            .iter()
            .any(|text| text.len() >= 3 && !is_number(text.as_bytes()))
    {
        return Ok(());
    }
    let error = UsageError::new(
        "'--full' selects by itself only with at least three bytes, not all digits",
    );
    let pid = texts.iter().find(|text| is_number(text.as_bytes()));
    Err(error.better_hint(pid.map(|pid| {
        let mut options = line.options.iter();
        let named = options.find_map(|word| word.to_str()?.strip_prefix("--signal="));
        let named = named.map_or(String::new(), |signal| format!("-{signal} "));
        let pid = pid.display();
        format!("'{{program}} {named}{pid}' signals the process {pid}")
    })))
}
