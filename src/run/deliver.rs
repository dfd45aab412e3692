//! One signal to every recipient that is present, in the order and by the routes that their kind of
//! target needs. Knows not whether the sender is the kernel's or the rehearsal.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use nix::errno::Errno;

use crate::event::{Outcome, Reason, Subject, Typed};
use crate::find::cgroup::{Awaited, KillFile};
use crate::find::group::ProcessGroup;
use crate::find::recipients::{Place, Recipient, SourceId};
use crate::find::select::{Found, Miss, ends_sigsend};
use crate::find::source::Source;
use crate::find::spared::own;
use crate::os::proc;
use crate::plan::{Mode, Reach, Voice};
use crate::run::call::{Answer, Call};
use crate::run::preview::{preview, reached_by};
use crate::run::sender::{Occasion, Route, Sent, is_forbidden, is_permitted_cont, refusal};
use crate::run::tree_kill::kill_trees;
use crate::signal::Signal;
use crate::target::{Pid, Target};

/// Sends one signal to all that are present: trees from the root down, then groups, then the
/// targets that are signalled by number, and last sigsend's ancestors that were typed, and sigsend
/// itself. Returns the sources in which new members may appear that are to get the signal, too.
pub fn deliver(call: &mut Call, signal: Signal, occasion: Occasion) -> Result<Vec<SourceId>> {
    let mut growing = Vec::new();
    if call.plan.selection.reach != Reach::Process {
        if signal == Signal::KILL && call.plan.mode == Mode::Send {
            kill_trees(call, occasion)?;
            return Ok(growing);
        }
        let is_mixed = call.plan.selection.reach == Reach::Mixed && signal != Signal::KILL;
        for id in call.found.recipients.root_first() {
            let is_root = call.found.recipients[id].parent().is_none();
            if is_root || !is_mixed {
                call.send(id, signal, occasion);
            }
        }
        if !is_mixed {
            growing.push(SourceId(0));
        }
        return Ok(growing);
    }
    let (mut alone, mut last) = (Vec::new(), Vec::new());
    for id in call.found.recipients.present() {
        let recipient = &call.found.recipients[id];
        match recipient.place {
            Place::Member(_) => {}
            _ if call.found.rules.spared.has(recipient.pid()) => last.push(id),
            _ => alone.push(id),
        }
    }
    for id in alone {
        call.send(id, signal, occasion);
    }
    for source in (0..call.found.sources.len()).map(SourceId) {
        let delivered = match &call.found.sources[source.0] {
            Source::Trees(_) => Ok(Growth::Settled),
            Source::Group(_) => to_group(call, source, signal, occasion),
            Source::Control(_) => to_control_group(call, source, signal, occasion),
        };
        match delivered {
            Ok(Growth::Settled) => {}
            Ok(Growth::Growing) => growing.push(source),
            Err(error) => call.fail_source(source, &error),
        }
    }
    by_number(call, signal)?;
    last.sort_by_key(|id| call.found.recipients[*id].pid() == own());
    for id in last {
        if call.found.recipients[id].pid() == own() {
            call.report.settle();
        }
        call.send(id, signal, occasion);
    }
    Ok(growing)
}

/// Whether members may appear that have not got a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    Settled,
    Growing,
}

/// The targets that are signalled by number. What was done of them before the command line was read
/// as a whole is only counted.
fn by_number(call: &mut Call, signal: Signal) -> Result<()> {
    let mut targets = call.found.by_number();
    let begun = call.plan.begun;
    call.tally.signalled += targets.by_ref().take(begun.done).count();
    if let Some(errno) = begun.refusal
        && let Some(target) = targets.next()
    {
        record_number(call, &target, None, Err(errno));
    }
    for target in targets {
        if target == Target::Nobody {
            let (typed, reason) = (Typed::target(target).into(), Reason::EmptyWord);
            call.found.misses.push(Miss {
                typed,
                pid: None,
                reason,
            });
            call.report_misses();
        } else if call.plan.mode == Mode::Rehearse {
            rehearse_number(call, &target, signal)?;
        } else {
            send_number(call, &target, signal);
        }
    }
    Ok(())
}

fn send_number(call: &mut Call, target: &Target, signal: Signal) {
    let pid = target.process();
    let is_quiet = call.report.voice == Voice::Quiet;
    // The name has to be read before: a killed process may be gone at once.
    let name = if is_quiet {
        None
    } else {
        pid.and_then(|pid| proc::name(pid).ok())
    };
    if ends_sigsend(target) {
        call.report.settle();
    }
    let answer = call
        .sender
        .send(Route::Number(target), signal, call.plan.value);
    record_number(call, target, name.as_deref(), answer);
}

fn record_number(call: &mut Call, target: &Target, name: Option<&[u8]>, answer: nix::Result<Sent>) {
    if answer.is_ok() {
        call.tally.signalled += 1;
        if call.report.voice == Voice::Quiet {
            return;
        }
    }
    let pid = target.process();
    let typed = Typed::target(target.clone());
    let subject = Subject {
        typed: &typed,
        pid,
        inode: None,
        name,
    };
    match answer {
        Ok(Sent::Receipt(receipt)) => call.report.tell(&subject, &receipt.outcome(None)),
        Ok(Sent::Rehearsed) => {}
        Err(errno) => {
            call.tally.failed += 1;
            let reason = match target {
                Target::Group(group) if errno == Errno::ESRCH => ProcessGroup::missing(*group),
                _ => refusal(errno, pid),
            };
            call.report.tell(&subject, &Outcome::Failed(&reason));
        }
    }
}

/// A target for many processes is shown by its members.
fn rehearse_number(call: &mut Call, target: &Target, signal: Signal) -> Result<()> {
    let typed = Typed::target(target.clone());
    let mut refused = Errno::ESRCH;
    let mut is_found = false;
    for pid in reached_by(target)? {
        match call
            .sender
            .send(Route::Number(&Target::Process(pid)), signal, None)
        {
            Ok(_) => {
                is_found = true;
                call.tally.signalled += 1;
                let name = proc::name(pid).ok();
                let name = name.as_deref();
                let subject = Subject {
                    typed: &typed,
                    pid: Some(pid),
                    inode: None,
                    name,
                };
                let preview = preview(call.plan, pid, signal, Occasion::First);
                call.report.tell(&subject, &Outcome::WouldSend(&preview));
            }
            // A real call to several processes also passes over those that it may not signal.
            Err(errno) => refused = errno,
        }
    }
    if !is_found {
        record_number(call, target, None, Err(refused));
    }
    Ok(())
}

/// Signals a group as a whole if possible, so that no fork in flight escapes; a member that has
/// left it gets the signal by its own pidfd. Otherwise each member does, until no new one appears.
fn to_group(
    call: &mut Call,
    source: SourceId,
    signal: Signal,
    occasion: Occasion,
) -> Result<Growth> {
    let members = call.found.recipients.members_of(source);
    let Found {
        sources,
        recipients,
        ..
    } = &call.found;
    // A member that was refused gets no more, so the whole group must not get it either.
    let is_whole =
        |recipient: &Recipient| recipient.group() != Some(source) || !recipient.is_refused();
    let whole = sources[source.0]
        .group()
        .filter(|_| recipients.iter().all(is_whole));
    let whole = whole.and_then(|whole| Some((whole, whole.leader()?)));
    let shares = |group| -> Result<Vec<Share>> {
        members
            .iter()
            .map(|id| share(group, &recipients[*id], signal))
            .collect()
    };
    // If it cannot be told who is in the group, each gets the signal by its own pidfd.
    let whole = whole.and_then(|(whole, leader)| Some((whole, leader, shares(whole).ok()?)));
    let Some((whole, leader, shares)) = whole else {
        for id in members {
            call.send(id, signal, occasion);
        }
        return Ok(Growth::Growing);
    };
    let sent = call.sender.send(Route::GroupOf(leader), signal, None);
    let answers = members.into_iter().zip(shares).map(|(id, share)| {
        let member = &recipients[id];
        let answer = match (sent, share) {
            (Ok(sent), Share::Whole) if !was_missed(whole, member, signal) => Ok(sent),
            (Ok(_), Share::Forbidden) => Err(Errno::EPERM),
            _ => call
                .sender
                .send(Route::Process(&member.process), signal, None),
        };
        Answer::new(id, signal, answer)
    });
    for answer in answers.collect::<Vec<Answer>>() {
        call.record(&answer, occasion);
    }
    // Members forked before the signal have got it, and are waited for.
    look(call, source)?;
    Ok(Growth::Settled)
}

/// Admits new members of a source, and reports those that get no signal.
pub fn look(call: &mut Call, source: SourceId) -> Result<()> {
    let Found {
        rules,
        recipients,
        sources,
        ..
    } = &mut call.found;
    let known = recipients.len();
    let looked = sources[source.0].look(rules, recipients, &mut |_, _| {});
    call.report_skipped(known);
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
        Err(errno) if is_forbidden(errno) && !is_permitted_cont(member.pid(), signal) => {
            Share::Forbidden
        }
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

/// Signals the members of a control group; KILL goes to all of it at once if it has such a file.
fn to_control_group(
    call: &mut Call,
    source: SourceId,
    signal: Signal,
    occasion: Occasion,
) -> Result<Growth> {
    let is_kill = signal == Signal::KILL && call.found.sources[source.0].control().is_some();
    if is_kill && call.plan.mode == Mode::Send && occasion != Occasion::First {
        // Members that have joined since are reported like the others.
        look(call, source)?;
    }
    let Some(control) = call.found.sources[source.0].control() else {
        return Ok(Growth::Settled);
    };
    if is_kill && control.is_killed_whole() {
        kill_whole(call, source, occasion)?;
        return Ok(Growth::Settled);
    }
    if occasion == Occasion::First {
        report_unseen(call, source, signal);
    }
    for id in call.found.recipients.members_of(source) {
        call.send(id, signal, occasion);
    }
    Ok(Growth::Growing)
}

/// Reports and counts the members that only cgroup.kill reaches, since they have no PID here. If
/// the call waits, the null signal needs to reach no process.
fn report_unseen(call: &mut Call, source: SourceId, signal: Signal) {
    let waits = call.plan.waits();
    let Some(control) = call.found.sources[source.0].control_mut() else {
        return;
    };
    if control.awaited == Awaited::Recipients {
        return;
    }
    if signal.is_null() && waits {
        control.awaited = Awaited::Unseen;
    } else if control.unseen > 0 {
        let (typed, count) = (control.subject().clone(), control.unseen);
        call.report_failure(&Subject::target(&typed), &Reason::OtherNamespace { count });
    }
}

/// Kills a control group by its cgroup.kill. A member that has left it gets KILL through its pidfd.
fn kill_whole(call: &mut Call, source: SourceId, occasion: Occasion) -> Result<()> {
    let signal = Signal::KILL;
    let members = call.found.recipients.members_of(source);
    let Found {
        sources,
        recipients,
        ..
    } = &mut call.found;
    let Some(control) = sources[source.0].control_mut() else {
        return Ok(());
    };
    let Some(KillFile::Kill(switch)) = &control.kill_file else {
        return Ok(());
    };
    let inside: BTreeSet<Pid> = control.pids().unwrap_or_default();
    let whole = call.sender.send(Route::ControlGroup(switch), signal, None);
    let answers: Vec<Answer> = members
        .into_iter()
        .map(|id| {
            let process = &recipients[id].process;
            // For one that is dying already this changes nothing; for one that left at the last
            // moment it does.
            let direct = call.sender.send(Route::Process(process), signal, None);
            // cgroup.kill kills all that it reaches, also the processes of other users.
            let answer = match whole {
                Ok(sent) if inside.contains(&process.pid) => Ok(sent),
                _ => direct,
            };
            Answer::new(id, signal, answer)
        })
        .collect();
    if whole.is_ok() {
        control.awaited = Awaited::Killed;
    }
    let (unseen, typed) = (control.unseen, control.subject().clone());
    for answer in answers {
        call.record(&answer, occasion);
    }
    match whole {
        Ok(sent) if unseen > 0 => {
            if occasion == Occasion::First {
                call.tally.signalled += unseen;
            }
            let after = (occasion == Occasion::FollowUp).then(|| call.began.elapsed());
            let outcome = match sent {
                Sent::Receipt(receipt) => receipt.unseen(unseen, after),
                Sent::Rehearsed if occasion == Occasion::First => Outcome::WouldSendUnseen {
                    signal,
                    count: unseen,
                },
                Sent::Rehearsed => return Ok(()),
            };
            call.report.tell(&Subject::target(&typed), &outcome);
        }
        // Removed, for which it had to be empty.
        Ok(_) | Err(Errno::ESRCH) => {}
        Err(errno) => return Err(errno).context("writing to cgroup.kill"),
    }
    Ok(())
}
