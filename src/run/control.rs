//! KILL for a whole control group: by cgroup.kill or, on a kernel without it, while the group is
//! frozen. Either way no member escapes by forking.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;

use crate::find::cgroup::{Awaited, ControlGroup, KillFile};
use crate::find::freeze::pause;
use crate::find::prepare::Found;
use crate::find::recipients::Recipients;
use crate::os::cgroup::Switch;
use crate::os::memory::LastResort;
use crate::os::sys::HeldSignals;
use crate::outcome::{Reason, Subject};
use crate::run::call::{Call, Occasion};
use crate::run::route::{Receipt, Route, send};
use crate::signal::Signal;
use crate::target::Pid;

/// How long a group may take to freeze, and how long it is frozen again and again while new
/// members appear.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reports and counts the members that only [`kill_control_group`] reaches, since they have no PID
/// here. If the call waits, the null signal needs to reach no process.
pub fn tell_unseen(call: &mut Call, group: usize, signal: Signal) {
    let waits = call.plan.waits();
    let Some(control) = call.found.groups[group].control_mut() else {
        return;
    };
    if signal.is_null() && waits {
        control.awaited = Awaited::Unseen;
    } else if control.unseen > 0 {
        let (typed, count) = (control.typed().clone(), control.unseen);
        call.tell_failure(&Subject::target(&typed), &Reason::OtherNamespace { count });
    }
}

/// Sends KILL to a whole control group. `false` if it has no such file, so that its members get it
/// one by one.
pub fn kill_control_group(call: &mut Call, group: usize, occasion: Occasion) -> Result<bool> {
    let known = call.found.recipients.len();
    // Members that have joined since are reported like the others.
    let Found {
        groups, recipients, ..
    } = &mut call.found;
    let looked = match groups[group].control() {
        Some(control) if control.kill_file.is_some() => groups[group].look(recipients),
        _ => return Ok(false),
    };
    call.classify(known);
    if let Err(error) = looked {
        call.fail(&error);
    }
    let Found {
        groups, recipients, ..
    } = &mut call.found;
    let control = groups[group].control_mut().expect("it is one");
    match &control.kill_file {
        Some(KillFile::Kill(switch)) => {
            let members = members(recipients, group);
            let (whole, results) = by_switch(control, switch, recipients, &members);
            let unseen = control.unseen;
            if whole.is_ok() {
                control.awaited = Awaited::All;
            }
            for (index, result) in results {
                call.record(index, Signal::KILL, result, occasion);
            }
            match whole {
                Ok(receipt) => tell_killed(call, group, receipt, unseen, occasion),
                // Removed, for which it had to be empty.
                Err(Errno::ESRCH) => {}
                Err(errno) => return Err(errno).context("writing to cgroup.kill"),
            }
        }
        Some(KillFile::Freeze(_)) => {
            let (results, frozen) = while_frozen(&mut call.found, group)?;
            call.tell_standings(known);
            for (index, result) in results {
                call.record(index, Signal::KILL, result, occasion);
            }
            if occasion == Occasion::First {
                tell_unseen(call, group, Signal::KILL);
            }
            frozen?;
        }
        None => {}
    }
    Ok(true)
}

/// The members that may get a signal.
fn members(recipients: &Recipients, group: usize) -> Vec<usize> {
    let members = recipients.iter().enumerate();
    members
        .filter(|(_, one)| one.group == Some(group) && one.is_present())
        .map(|(index, _)| index)
        .collect()
}

type Results = Vec<(usize, nix::Result<Receipt>)>;

/// Kills by cgroup.kill. A member that has left the group gets KILL through its pidfd.
fn by_switch(
    control: &ControlGroup,
    switch: &Switch,
    recipients: &Recipients,
    members: &[usize],
) -> (nix::Result<Receipt>, Results) {
    let inside: BTreeSet<Pid> = control.pids().unwrap_or_default();
    let whole = send(Route::ControlGroup(switch), Signal::KILL, None);
    let results = members.iter().map(|index| {
        let process = &recipients[*index].process;
        // For one that is dying already this changes nothing; for one that left at the last moment
        // it does.
        let direct = send(Route::Process(process), Signal::KILL, None);
        // cgroup.kill kills all that it reaches, also the processes of other users.
        let result = match whole {
            Ok(receipt) if inside.contains(&process.pid) => Ok(receipt),
            _ => direct,
        };
        (*index, result)
    });
    (whole, results.collect())
}

/// Kills each member while the group is frozen, so that none forks meanwhile, and thaws it; again
/// until no new member appears. Nothing is reported before that is over.
fn while_frozen(found: &mut Found, group: usize) -> Result<(Results, Result<()>)> {
    let _held = HeldSignals::hold().context("holding signals back")?;
    let mut last_resort = LastResort::new();
    let end = Instant::now() + PATIENCE;
    let mut results = Results::new();
    loop {
        let killed = results.len();
        let round = kill_frozen(found, group, end, &mut last_resort, &mut results);
        if round.is_err() || results.len() == killed || Instant::now() >= end {
            return Ok((results, round));
        }
    }
}

/// Freezes the group, kills each member that was not killed before, and thaws it.
fn kill_frozen(
    found: &mut Found,
    group: usize,
    end: Instant,
    last_resort: &mut LastResort,
    results: &mut Results,
) -> Result<()> {
    let Found {
        groups,
        recipients,
        rules,
        ..
    } = found;
    let Some(control) = groups[group].control_mut() else {
        return Ok(());
    };
    let was_frozen = match control.freeze(last_resort) {
        Ok(was_frozen) => was_frozen,
        // Removed, for which it had to be empty.
        Err(Errno::ESRCH) => return Ok(()),
        Err(errno) => return Err(errno).context("freezing the control group"),
    };
    while !control.is_frozen() && Instant::now() < end {
        pause();
    }
    let known = recipients.len();
    let looked = control.look(recipients);
    rules.classify(recipients, known);
    for index in members(recipients, group) {
        if !results.iter().any(|(killed, _)| *killed == index) {
            results.push((
                index,
                send(
                    Route::Process(&recipients[index].process),
                    Signal::KILL,
                    None,
                ),
            ));
        }
    }
    if !was_frozen {
        match control.thaw() {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(errno).context("thawing the control group"),
        }
    }
    looked.map(drop)
}

/// Reports and counts the members without a PID here that cgroup.kill has killed.
fn tell_killed(call: &mut Call, group: usize, receipt: Receipt, count: usize, occasion: Occasion) {
    let Some(control) = call.found.groups[group].control().filter(|_| count > 0) else {
        return;
    };
    if occasion == Occasion::First {
        call.tally.signalled += count;
    }
    let after = (occasion == Occasion::FollowUp).then(|| call.began.elapsed());
    call.report.tell(
        &Subject::target(control.typed()),
        &receipt.unseen(count, after),
    );
}
