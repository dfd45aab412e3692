//! One signal to every recipient that is present, in the order and by the routes that their kind of
//! target needs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::unistd::getsid;

use crate::find::cgroup::ControlGroup;
use crate::find::freeze::pause;
use crate::find::group::ProcessGroup;
use crate::find::prepare::{Found, is_own_group};
use crate::find::recipients::Recipient;
use crate::os::express;
use crate::os::proc;
use crate::os::sys;
use crate::outcome::{Outcome, Subject};
use crate::plan::Voice;
use crate::run::call::{Call, Occasion};
use crate::run::control::{kill_control_group, tell_unseen};
use crate::run::kill::kill_trees;
use crate::run::route::{Receipt, Route, refusal, send};
use crate::signal::Signal;
use crate::target::{Pid, Target};

/// How long new members are looked for after a signal: one that outlives it may fork for ever, and
/// what it forks then was never meant.
const CHASE: Duration = Duration::from_secs(1);

/// Sends one signal to all that are present: trees from the root down and KILL from the leaves up,
/// then groups, and last the targets that are signalled by number.
pub fn deliver(call: &mut Call, signal: Signal, occasion: Occasion) -> Result<()> {
    if call.found.rules.lineage.is_some() {
        if signal == Signal::KILL {
            return kill_trees(call, occasion);
        }
        for index in call.found.recipients.root_first() {
            to_recipient(call, index, signal, occasion);
        }
        chase(call, Family::Trees, signal, occasion);
        return Ok(());
    }
    for index in call.present() {
        if call.found.recipients[index].group.is_none() {
            to_recipient(call, index, signal, occasion);
        }
    }
    for group in 0..call.found.groups.len() {
        if let Err(error) = to_group(call, group, signal, occasion) {
            call.fail(&error);
        }
    }
    let mut targets = call.found.by_number();
    // Only a quiet call for plain PIDs can have been begun before main.
    let begun = express::progress();
    call.tally.signalled += targets.by_ref().take(begun.done).count();
    if let Some(errno) = begun.refusal
        && let Some(target) = targets.next()
    {
        record_by_number(call, &target, None, Err(errno));
    }
    for target in targets {
        by_number(call, &target, signal);
    }
    Ok(())
}

fn to_recipient(call: &mut Call, index: usize, signal: Signal, occasion: Occasion) {
    let recipient = &call.found.recipients[index];
    let is_done = occasion == Occasion::First && recipient.signalled;
    if recipient.is_present() && !is_done {
        let result = send(Route::Process(&recipient.process), signal, call.plan.value);
        call.record(index, signal, result, occasion);
    }
}

/// Signals a target by its number, and reports and counts it.
fn by_number(call: &mut Call, target: &Target, signal: Signal) {
    let pid = target.process();
    let is_quiet = call.report.voice == Voice::Quiet;
    // The name has to be read before: a killed process may be gone at once.
    let name = if is_quiet {
        None
    } else {
        pid.and_then(|pid| proc::name(pid).ok())
    };
    if is_own_group(target) {
        // It may end this program, and must if it is one that ends the others.
        call.report.settle();
        sys::restore_disposition(signal);
    }
    let result = send(Route::Number(target), signal, call.plan.value);
    record_by_number(call, target, name.as_deref(), result);
}

fn record_by_number(
    call: &mut Call,
    target: &Target,
    name: Option<&[u8]>,
    result: nix::Result<Receipt>,
) {
    if result.is_ok() {
        call.tally.signalled += 1;
        if call.report.voice == Voice::Quiet {
            return;
        }
    }
    let pid = target.process();
    let typed = target.to_string();
    let subject = Subject {
        typed: &typed,
        pid,
        inode: None,
        name,
    };
    match result {
        Ok(receipt) => call.report.tell(&subject, &receipt.outcome(None)),
        Err(errno) => {
            call.tally.failed += 1;
            call.report
                .tell(&subject, &Outcome::Failed(&refusal(errno, pid)));
        }
    }
}

/// Signals a group as a whole if possible, so that no fork in flight escapes; a member that has
/// left it gets the signal by its own pidfd. Otherwise each member does, until no new one appears.
fn to_group(call: &mut Call, group: usize, signal: Signal, occasion: Occasion) -> Result<()> {
    if signal == Signal::KILL && kill_control_group(call, group, occasion)? {
        return Ok(());
    }
    if occasion == Occasion::First {
        tell_unseen(call, group, signal);
    }
    let mut members = call.present();
    members.retain(|index| call.found.recipients[*index].group == Some(group));
    let Found {
        groups, recipients, ..
    } = &call.found;
    // A member that was refused gets no more, so the whole group must not get it either.
    let is_whole =
        |recipient: &Recipient| recipient.group != Some(group) || !recipient.is_refused();
    let whole = groups[group]
        .process()
        .filter(|_| recipients.iter().all(is_whole));
    let whole = whole.and_then(|whole| Some((whole, whole.leader()?)));
    let shares = |group| -> Result<Vec<Share>> {
        members
            .iter()
            .map(|index| share(group, &recipients[*index], signal))
            .collect()
    };
    // If it cannot be told who is in the group, each gets the signal by its own pidfd.
    let Some((whole, leader, shares)) =
        whole.and_then(|(whole, leader)| Some((whole, leader, shares(whole).ok()?)))
    else {
        for index in members {
            to_recipient(call, index, signal, occasion);
        }
        chase(call, Family::Group(group), signal, occasion);
        return Ok(());
    };
    let sent = send(Route::GroupOf(leader), signal, None);
    let results = members.into_iter().zip(shares).map(|(index, share)| {
        let member = &recipients[index];
        let result = match (sent, share) {
            (Ok(receipt), Share::Whole) if !was_missed(whole, member, signal) => Ok(receipt),
            (Ok(_), Share::Forbidden) => Err(Errno::EPERM),
            _ => send(Route::Process(&member.process), signal, None),
        };
        (index, result)
    });
    for (index, result) in results.collect::<Vec<_>>() {
        call.record(index, signal, result, occasion);
    }
    // Members forked before the signal have got it, and are waited for.
    let known = call.found.recipients.len();
    let looked = call.found.groups[group].look(&mut call.found.recipients);
    call.classify(known);
    looked
}

/// What a signal to the whole group means for a member.
#[derive(Clone, Copy)]
enum Share {
    /// It gets the signal.
    Whole,
    /// The kernel passes over it, and says nothing (kill(2)).
    Forbidden,
    /// It has left the group.
    None,
}

/// A member's share, read right before the signal: what it does in answer to it must not count.
fn share(group: &ProcessGroup, member: &Recipient, signal: Signal) -> Result<Share> {
    Ok(match member.process.probe() {
        _ if !group.contains(&member.process)? => Share::None,
        Err(Errno::EPERM) if !is_permitted_cont(member.pid(), signal) => Share::Forbidden,
        _ => Share::Whole,
    })
}

/// Whether a member surely left the group before the signal came: it is not in it, runs, and
/// neither catches the signal, so that leaving could be its answer, nor can have it pending.
fn was_missed(group: &ProcessGroup, member: &Recipient, signal: Signal) -> bool {
    let is_out = member.process.is_running().unwrap_or(false)
        && !group.contains(&member.process).unwrap_or(true);
    let may_have_it = || {
        proc::status(member.pid())
            .is_ok_and(|of| of.caught.contains(signal) || of.blocked.contains(signal))
    };
    is_out && (signal == Signal::KILL || !may_have_it())
}

/// Whether the signal is CONT to a process of sigsend's session, which needs no other permission
/// (kill(2)).
pub fn is_permitted_cont(pid: Pid, signal: Signal) -> bool {
    signal == Signal::CONT && getsid(Some(pid.process())) == getsid(None)
}

/// Whose new members are looked for.
#[derive(Clone, Copy)]
enum Family {
    Trees,
    Group(usize),
}

/// Signals processes that were forked before their parents took the signal, until nobody new
/// appears. What goes wrong here concerns the family alone: it is told, and the others get their
/// later signals.
fn chase(call: &mut Call, family: Family, signal: Signal, occasion: Occasion) {
    let end = Instant::now() + CHASE;
    // A fork in flight when the signal came shows only when its parent takes the signal, so one
    // look must find nobody new after all have taken it.
    let mut all_have_taken = false;
    while Instant::now() < end {
        let looked = to_newcomers(call, family, signal, occasion, end);
        let pending =
            looked.and_then(|new| Ok((new, somebody_has_yet_to_take(call, family, signal)?)));
        match pending {
            Ok((0, _)) if all_have_taken => break,
            Ok((new, pending)) => {
                all_have_taken = new == 0 && !pending;
                if new == 0 && pending {
                    pause();
                }
            }
            Err(error) => {
                match family {
                    Family::Trees => call.fail_tree(&error),
                    Family::Group(_) => call.fail(&error),
                }
                break;
            }
        }
    }
}

/// Looks once for new members and signals each as soon as it is found; how many there were.
fn to_newcomers(
    call: &mut Call,
    family: Family,
    signal: Signal,
    occasion: Occasion,
    end: Instant,
) -> Result<usize> {
    let known = call.found.recipients.len();
    let mut step = 0;
    loop {
        let from = call.found.recipients.len();
        let Found {
            rules,
            recipients,
            groups,
            ..
        } = &mut call.found;
        let found = match (family, &rules.lineage) {
            (Family::Group(group), _) => groups[group].look(recipients),
            (Family::Trees, Some(lineage)) if step < recipients.len() => {
                lineage.adopt(recipients, step, None)
            }
            (Family::Trees, _) => Ok(()),
        };
        call.classify(from);
        for index in from..call.found.recipients.len() {
            to_recipient(call, index, signal, occasion);
        }
        found?;
        step += 1;
        let is_last = matches!(family, Family::Group(_)) || step >= call.found.recipients.len();
        if is_last || Instant::now() >= end {
            return Ok(call.found.recipients.len() - known);
        }
    }
}

/// Whether the signal is pending for somebody who will take it: it is not blocked, and the process
/// is not stopped.
fn somebody_has_yet_to_take(call: &Call, family: Family, signal: Signal) -> Result<bool> {
    // No member of a frozen group takes a signal, or forks.
    if let Family::Group(group) = family
        && call.found.groups[group]
            .control()
            .is_some_and(ControlGroup::is_frozen)
    {
        return Ok(false);
    }
    for recipient in call
        .found
        .recipients
        .iter()
        .filter(|recipient| recipient.is_present())
    {
        if proc::is_taking(recipient.pid(), signal).context("looking at pending signals")? {
            return Ok(true);
        }
    }
    Ok(false)
}
