//! Processes by their command line and working directory, `-f` and `--cwd`.

use std::ffi::OsString;
use std::io;

use anyhow::Result;

use crate::event::Nobody;
use crate::find::demands::contains;
use crate::find::filter::{Rules, Verdict, Way};
use crate::find::names::{hides, processes};
use crate::find::spared::own;
use crate::os::pidfd::Pinned;
use crate::os::proc;
use crate::target::Pid;

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
    let mut pids = Vec::new();
    for (pid, answer) in answers {
        pids.extend(
            answer
                .unwrap_or_else(|error| !proc::is_gone(&error))
                .then_some(pid),
        );
    }
    pids
}

/// Why no process is described: what could be meant, and what speaks against it.
pub fn nobody_described(rules: &Rules) -> Result<Nobody> {
    let mut nobody = Nobody::default();
    let texts = &rules.plan.selection.full;
    let folded: Vec<OsString> = texts.iter().map(|text| text.to_ascii_lowercase()).collect();
    let mut pids = processes()?;
    pids.retain(|pid| *pid != own() && !texts.is_empty());
    let similar = move |arguments: Vec<Vec<u8>>| {
        let line = arguments.join(&b' ');
        has_all(&line.to_ascii_lowercase(), &folded).then_some(line)
    };
    for (pid, line) in proc::each_arguments(pids, similar) {
        let Ok(Some(line)) = line else {
            continue;
        };
        let owned = Pinned::open_if(pid, |process| rules.is_owned(process))?;
        match owned.process() {
            Some((_, true)) if rules.spared.has(pid) || nobody.nearest.is_some() => {}
            Some((_, true)) => nobody.nearest = Some(String::from_utf8_lossy(&line).into_owned()),
            Some((_, false)) => nobody.of_others += usize::from(has_all(&line, texts)),
            None => {}
        }
    }
    nobody.hidden = hides(rules)?;
    Ok(nobody)
}

fn has_all(line: &[u8], texts: &[OsString]) -> bool {
    let mut texts = texts.iter();
    texts.all(|text| contains(line, text.as_encoded_bytes()))
}
