//! Living processes by what they say of themselves: command names, `-f` and `--cwd`; what is said
//! when nobody answers; and the rules for believing /proc.

use std::ffi::OsString;
use std::io;

use anyhow::{Context, Result};

use crate::event::{Nobody, Reason};
use crate::find::demands::contains;
use crate::find::filter::{Rules, Verdict, Way};
use crate::os::pidfd::{Opened, Pinned};
use crate::os::pids;
use crate::os::proc;
use crate::plan::Users;
use crate::signal::nearest;
use crate::target::Pid;

const LOOKING: &str = "looking processes up in /proc";

/// How many names that processes call themselves by are told.
const TOLD: usize = 4;

/// All processes that /proc shows. An error where it is missing or of another PID namespace: an
/// empty answer would read as "no such process".
pub fn processes() -> Result<Vec<Pid>> {
    pids::pids().context(LOOKING)
}

/// Fails where /proc is missing, or where its numbers mean processes of another PID namespace.
pub fn check_proc() -> Result<()> {
    proc::root().map(drop).context(LOOKING)
}

/// The living processes that have a name, pinned, and what was decided about each.
pub fn named(name: &str, rules: &Rules) -> Result<Vec<(Pinned, Verdict)>> {
    let mut found = Vec::new();
    for pid in processes()? {
        let known = proc::if_visible(proc::name(pid)).context(LOOKING)?;
        if !known.is_some_and(|known| may_mean(name, &known)) {
            continue;
        }
        let is_meant = |process: &Pinned| {
            let is_named = is_named(pid, name)?;
            if is_named.is_none() {
                rules.note_unclear(process)?;
            }
            Ok(is_named == Some(true) && process.is_running()?)
        };
        found.extend(rules.pin(pid, Way::Name, is_meant)?);
    }
    Ok(found)
}

/// A command name holds 15 bytes.
fn may_mean(name: &str, known: &[u8]) -> bool {
    if name.len() <= proc::NAME_LENGTH {
        known == name.as_bytes()
    } else {
        name.as_bytes().starts_with(known)
    }
}

/// Whether a process has the name. A longer one than command names hold must also be that of
/// argv[0], of the executable, or of argv[1], where the interpreter of a script has it. `None` if
/// that cannot be read.
fn is_named(pid: Pid, name: &str) -> Result<Option<bool>> {
    let known = proc::if_visible(proc::name(pid)).context(LOOKING)?;
    let Some(known) = known.filter(|known| may_mean(name, known)) else {
        return Ok(Some(false));
    };
    if name.len() <= proc::NAME_LENGTH {
        return Ok(Some(true));
    }
    let is = |claim: &[u8]| claim == name.as_bytes();
    let executable = proc::executable(pid).unwrap_or_default();
    if is(&executable) {
        return Ok(Some(true));
    }
    // A program that has its name from its own file interprets no script.
    let is_program = executable.starts_with(&known);
    let claims = if is_program { 1 } else { 2 };
    let is_argument = |argument: &Vec<u8>| is(proc::basename(argument));
    let arguments = proc::arguments(pid).ok();
    Ok(arguments.map(|arguments| arguments.iter().take(claims).any(is_argument)))
}

/// Why no process has the name: what could be meant, and what speaks against it.
pub fn nobody_named(name: &str, rules: &Rules) -> Result<Nobody> {
    let mut nobody = Nobody {
        is_own: rules.plan.selection.users == Users::Own,
        ..Nobody::default()
    };
    let mut names = Vec::new();
    let mut look = |process: &Pinned| {
        let pid = process.pid;
        let Ok(known) = proc::name(pid) else {
            return Ok(());
        };
        let is_named = is_named(pid, name)?;
        let is_owned = rules.is_owned(process)?;
        if is_owned {
            let is_fit = rules.fails(process, Way::Name)?.is_none();
            names.extend(String::from_utf8(known.clone()).ok().filter(|_| is_fit));
        } else if process.is_running()? {
            match is_named {
                Some(true) => count_other(&mut nobody, rules, process)?,
                Some(false) => {}
                None => nobody.hidden = true,
            }
        }
        // One that has the name, or that `-f`, `--cwd` or `-u` excludes, is not the one meant.
        if is_named == Some(false)
            && proc::executable(pid).is_ok_and(|executable| executable == name.as_bytes())
            && rules.fails(process, Way::Number)?.is_none()
        {
            nobody.executables += 1;
            nobody.is_own &= is_owned;
            if nobody.called.len() < TOLD && !nobody.called.contains(&known) {
                nobody.called.push(known);
            }
        }
        Ok(())
    };
    for pid in unspared(processes()?, rules) {
        let _: Opened<()> = Pinned::open_if(pid, &mut look)?;
    }
    // A zombie may have exactly the name that no living process has.
    names.retain(|known| known != name);
    let lowercase = name.to_lowercase();
    let same_letters = names.iter().find(|known| known.eq_ignore_ascii_case(name));
    let similar = || nearest(name, names.iter().map(String::as_str)).map(str::to_owned);
    let prefixed = || {
        let longer = |known: &&String| known.to_lowercase().starts_with(&lowercase);
        let longer = names.iter().filter(longer);
        longer.min_by_key(|known| known.len()).cloned()
    };
    nobody.nearest = same_letters.cloned().or_else(similar).or_else(prefixed);
    nobody.hidden |= hides(rules)?;
    Ok(nobody)
}

/// The living processes that are described, pinned, and what was decided about each.
pub fn described(rules: &Rules) -> Result<Vec<(Pinned, Verdict)>> {
    let mut found = Vec::new();
    for pid in candidates(rules)? {
        found.extend(rules.pin(pid, Way::Description, Pinned::is_running)?);
    }
    Ok(found)
}

/// The processes that may be meant, as they look before they are pinned. Nothing is read of those
/// of other users.
fn candidates(rules: &Rules) -> Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for pid in processes()? {
        if !rules.spared.has(pid) && rules.may_own(pid)? {
            pids.push(pid);
        }
    }
    if !rules.plan.selection.full.is_empty() {
        let texts = rules.plan.selection.full.clone();
        let has_all = move |arguments: Vec<Vec<u8>>| has_all(&arguments.join(&b' '), &texts);
        pids = passing(proc::each_arguments(pids, has_all));
    }
    if let Some(place) = &rules.directory {
        pids = passing(proc::each_works_in(pids, place));
    }
    Ok(pids)
}

/// The processes that pass, or that do not answer: [`Rules::judge`] decides.
fn passing(answers: Vec<(Pid, io::Result<bool>)>) -> Vec<Pid> {
    let passes = |answer: io::Result<bool>| answer.unwrap_or_else(|error| !proc::is_gone(&error));
    let answers = answers.into_iter();
    let passing = answers.filter_map(|(pid, answer)| passes(answer).then_some(pid));
    passing.collect()
}

/// Why none of these processes is described: what could be meant, and what speaks against it.
pub fn nobody_described(rules: &Rules, pids: Vec<Pid>) -> Result<Nobody> {
    let mut nobody = Nobody::default();
    let texts = &rules.plan.selection.full;
    let folded: Vec<OsString> = texts.iter().map(|text| text.to_ascii_lowercase()).collect();
    let pids = unspared(pids, rules)
        .filter(|_| !texts.is_empty())
        .collect();
    let similar = move |arguments: Vec<Vec<u8>>| {
        let line = arguments.join(&b' ');
        has_all(&line.to_ascii_lowercase(), &folded).then_some(line)
    };
    for (pid, line) in proc::each_arguments(pids, similar) {
        let Ok(Some(line)) = line else {
            continue;
        };
        let _: Opened<()> = Pinned::open_if(pid, |process| {
            if !rules.is_owned(process)? {
                return count_other(&mut nobody, rules, process);
            }
            // One that has the text is excluded by `--cwd`.
            if !has_all(&line, texts) {
                let nearest = &mut nobody.nearest;
                nearest.get_or_insert_with(|| String::from_utf8_lossy(&line).into_owned());
            }
            Ok(())
        })?;
    }
    nobody.hidden |= hides(rules)?;
    Ok(nobody)
}

/// Those that are no ancestors of sigsend: the sudo(8) that runs it has the same words in its
/// command line.
fn unspared(pids: Vec<Pid>, rules: &Rules) -> impl Iterator<Item = Pid> {
    pids.into_iter().filter(|pid| !rules.spared.has(*pid))
}

/// Counts a process of another user unless `-f` or `--cwd` excludes it.
fn count_other(nobody: &mut Nobody, rules: &Rules, process: &Pinned) -> Result<()> {
    match rules.fails(process, Way::Name)? {
        None => nobody.of_others += 1,
        Some(Reason::Unverified { .. }) => nobody.hidden = true,
        Some(_) => {}
    }
    Ok(())
}

fn has_all(line: &[u8], texts: &[OsString]) -> bool {
    let mut texts = texts.iter();
    texts.all(|text| contains(line, text.as_encoded_bytes()))
}

pub fn hides(rules: &Rules) -> Result<bool> {
    Ok(rules.unclear.get() || pids::hides_processes().context(LOOKING)?)
}
