//! One signal to every recipient that is present, in the order and by the routes that their kind of
//! target needs. The same in a dry run.

use std::rc::Rc;
use std::slice;

use anyhow::{Context, Result};
use nix::errno::Errno;

use crate::event::{Reason, Subject, Typed};
use crate::find::cgroup::{Awaited, KillFile};
use crate::find::group::ProcessGroup;
use crate::find::recipients::{Place, Recipient, SourceId};
use crate::find::select::ends_sigsend;
use crate::find::source::Source;
use crate::find::spared::own;
use crate::os::proc;
use crate::plan::{Labels, Mode, Reach};
use crate::run::call::Call;
use crate::run::preview::reached_by;
use crate::run::sender::{
    Answer, Route, Step, is_forbidden, is_permitted_cont, refusal, send, send_to,
};
use crate::run::tree_kill::kill_trees;
use crate::signal::Signal;
use crate::target::{Pid, Target};

/// Sends one signal to all that are present: targets alone, then trees and groups, then sigsend's
/// ancestors that were typed, then what is signalled by number, since the signal to the own group
/// may end sigsend, and last sigsend itself. Returns the sources in which new members may appear
/// that are to get the signal, too.
pub fn deliver(call: &mut Call, step: Step) -> Result<Vec<SourceId>> {
    let (mut alone, mut above, mut itself) = (Vec::new(), Vec::new(), Vec::new());
    for id in call.found.recipients.present() {
        let recipient = &call.found.recipients[id];
        match recipient.place {
            Place::Member(_) | Place::Tree { .. } => {}
            Place::Alone if recipient.pid() == own() => itself.push(id),
            Place::Alone if call.found.recipients.rules.spared.has(recipient.pid()) => {
                above.push(id);
            }
            Place::Alone => alone.push(id),
        }
    }
    for id in alone {
        call.send(id, step);
    }
    let mut growing = Vec::new();
    for source in call.found.source_ids() {
        let is_tree = matches!(call.found[source], Source::Trees);
        let is_late_kill = step.is_kill() && !step.is_first() && call.plan.mode == Mode::Send;
        // Members of a group that have joined since are reported like the others. It is killed
        // although they cannot be looked for.
        if is_late_kill
            && !is_tree
            && let Err(error) = call.look(source, &[])
        {
            call.fail_source(source, &error);
        }
        let is_growing = match &call.found[source] {
            // An error here leaves all trees without the signal, so they must not be waited for.
            Source::Trees => Ok(to_trees(call, source, step)?),
            Source::Group(_) => to_group(call, source, step),
            Source::Control(_) => to_control_group(call, source, step),
        };
        match is_growing {
            Ok(true) => growing.push(source),
            Ok(false) => {}
            Err(error) => call.fail_source(source, &error),
        }
    }
    for id in above {
        call.send(id, step);
    }
    by_number(call, step)?;
    for id in itself {
        call.report.settle();
        call.send(id, step);
    }
    Ok(growing)
}

/// Signals trees from the root down. KILL stops them first. Whether new members are to get the
/// signal, too.
fn to_trees(call: &mut Call, source: SourceId, step: Step) -> Result<bool> {
    if step.is_kill() && call.plan.mode == Mode::Send {
        kill_trees(call, source, step)?;
        return Ok(false);
    }
    let is_for_roots = call.plan.selection.reach == Reach::Mixed && !step.is_kill();
    for id in call.found.recipients.root_first() {
        if call.found.recipients[id].is_target || !is_for_roots {
            call.send(id, step);
        }
    }
    if is_for_roots && step.is_first() {
        call.found.recipients.leave_refused_trees();
    }
    Ok(!is_for_roots)
}

/// The targets that are signalled by number. What was done of them before the command line was read
/// as a whole is only counted.
fn by_number(call: &mut Call, step: Step) -> Result<()> {
    let begun = call.plan.begun;
    let mut targets = call.found.by_number();
    call.tally.signalled += targets.by_ref().take(begun.done).count();
    let mut known = begun.refusal;
    for target in targets {
        let typed = Typed::target(target.clone());
        let refused = match known.take() {
            None if target != Target::Nobody => to_number(call, &typed, &target, step)?,
            known => known,
        };
        let pid = target.process();
        let reason = match (&target, refused) {
            (Target::Nobody, _) => Reason::EmptyWord,
            (_, None) => continue,
            (Target::Group(group), Some(Errno::ESRCH)) => ProcessGroup::missing(*group),
            (_, Some(errno)) => refusal(errno, pid),
        };
        let name = name(call, pid);
        let subject = Subject::target(&typed).process(pid, name.as_deref());
        call.report_failure(&subject, &reason);
    }
    Ok(())
}

/// One kill(2). The rehearsal shows a target for many processes by its members; as kill(2) does, it
/// passes over those that it may not signal if there are others. Why it is refused, if it is.
fn to_number(call: &mut Call, typed: &Typed, target: &Target, step: Step) -> Result<Option<Errno>> {
    let members;
    let shown = match call.plan.mode {
        Mode::Rehearse => {
            members = reached_by(target)?;
            &members[..]
        }
        Mode::Send | Mode::Ask(_) => slice::from_ref(target),
    };
    let mut refused = Some(Errno::ESRCH);
    for one in shown {
        let pid = one.process();
        // The name has to be read before: a killed process may be gone at once.
        let name = name(call, pid);
        if ends_sigsend(one) {
            call.report.settle();
        }
        match send(call.plan, Route::Number(one), step) {
            Ok(sent) => {
                refused = None;
                call.tally.signalled += 1;
                let subject = Subject::target(typed).process(pid, name.as_deref());
                let outcome = call.sent(sent, step, pid);
                call.report.tell(&subject, &outcome);
            }
            Err(errno) => refused = refused.and(Some(errno)),
        }
    }
    Ok(refused)
}

/// The command name, if output shows it.
fn name(call: &Call, pid: Option<Pid>) -> Option<Vec<u8>> {
    let pid = pid.filter(|_| call.found.recipients.rules.labels == Labels::Wanted)?;
    proc::name(pid).ok()
}

/// Signals a group as a whole if possible, so that no fork in flight escapes; a member that has
/// left it gets the signal by its own pidfd. Otherwise each member does, until no new one appears.
/// Whether new members may appear that are to get it, too.
fn to_group(call: &mut Call, source: SourceId, step: Step) -> Result<bool> {
    let (plan, signal) = (call.plan, step.signal);
    let recipients = &call.found.recipients;
    let members = recipients.members_of(source);
    // Read before the signal is sent: what members do in answer to it must not count.
    let are_reached = |group: &ProcessGroup| -> Result<Vec<bool>> {
        let members = members.iter().map(|id| &recipients[*id]);
        members.map(|one| is_reached(group, one, signal)).collect()
    };
    // A member that was refused gets no more, so the whole group must not get it either.
    let is_refused = |one: &Recipient| one.group() == Some(source) && one.is_refused();
    if let Some(group) = call.found[source].group()
        && let Some(leader) = &group.leader
        && !recipients.iter().any(is_refused)
        // If it cannot be told who is in the group, each gets the signal by its own pidfd.
        && let Ok(are_reached) = are_reached(group)
    {
        let sent = send(plan, Route::GroupOf(leader), step);
        let answers = members
            .into_iter()
            .zip(are_reached)
            .map(|(id, is_reached)| {
                let member = &recipients[id];
                if sent.is_ok() && is_reached && !was_missed(group, member, signal) {
                    Answer { id, step, sent }
                } else {
                    send_to(plan, id, member, step)
                }
            });
        let answers: Vec<Answer> = answers.collect();
        call.record_all(&answers);
        // Members forked before the signal have got it, and are waited for. With KILL pending no
        // fork succeeds, so another KILL reaches nobody else and is reported.
        let again = [step];
        call.look(source, if step.is_kill() { &again } else { &[] })?;
        return Ok(false);
    }
    for id in members {
        call.send(id, step);
    }
    Ok(true)
}

/// Whether a signal to the whole group reaches a member: it is in the group, and the caller may
/// signal it. The kernel passes over others in silence (kill(2)).
fn is_reached(group: &ProcessGroup, member: &Recipient, signal: Signal) -> Result<bool> {
    let is_passed_over =
        member.process.probe().is_err_and(is_forbidden) && !is_permitted_cont(member.pid(), signal);
    Ok(group.contains(&member.process)? && !is_passed_over)
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
/// Whether new members may appear that are to get the signal, too.
fn to_control_group(call: &mut Call, source: SourceId, step: Step) -> Result<bool> {
    if step.is_kill() && kill_whole(call, source, step)? {
        return Ok(false);
    }
    let waits = call.plan.waits();
    if step.is_first()
        && let Some(control) = call.found.sources[source.0].control_mut()
        && control.awaited != Awaited::Recipients
    {
        // Members that have no PID here are reached by cgroup.kill alone. If the call waits, the
        // null signal needs to reach no process.
        let is_wait = step.signal.is_null() && waits;
        if is_wait || matches!(control.kill_file, Some(KillFile::Kill(_))) {
            control.awaited = Awaited::Unseen;
        }
        if !is_wait && control.unseen > 0 {
            let (typed, count) = (Rc::clone(&control.typed), control.unseen);
            call.report_failure(&Subject::target(&typed), &Reason::OtherNamespace { count });
        }
    }
    for id in call.found.recipients.members_of(source) {
        call.send(id, step);
    }
    Ok(true)
}

/// Kills a control group by its cgroup.kill; whether it has one. A member that has left it gets
/// KILL through its pidfd.
fn kill_whole(call: &mut Call, source: SourceId, step: Step) -> Result<bool> {
    let (plan, found) = (call.plan, &call.found);
    let Some(control) = found[source].control() else {
        return Ok(false);
    };
    let Some(KillFile::Kill(switch)) = &control.kill_file else {
        return Ok(false);
    };
    let inside = control.pids().unwrap_or_default();
    let (count, typed) = (control.unseen, Rc::clone(&control.typed));
    let whole = send(plan, Route::ControlGroup(switch), step);
    let answers = found.recipients.members_of(source).into_iter().map(|id| {
        // For one that is dying already this changes nothing; for one that left at the last moment
        // it does.
        let mut answer = send_to(plan, id, &found.recipients[id], step);
        // cgroup.kill kills all that it reaches, also the processes of other users.
        if whole.is_ok() && inside.contains(&found.recipients[id].pid()) {
            answer.sent = whole;
        }
        answer
    });
    let answers: Vec<Answer> = answers.collect();
    call.record_all(&answers);
    let sent = match whole {
        Ok(sent) => sent,
        // Removed, for which it had to be empty.
        Err(Errno::ESRCH) => return Ok(true),
        Err(errno) => return Err(errno).context("writing to cgroup.kill"),
    };
    if let Some(control) = call.found.sources[source.0].control_mut() {
        control.awaited = Awaited::Killed;
    }
    if count == 0 {
        return Ok(true);
    }
    call.tally.signalled += count;
    // They have no preview that would tell a later KILL.
    let outcome = call.sent(sent, step, None);
    let subject = Subject::target(&typed).unseen(count);
    call.report.tell(&subject, &outcome);
    Ok(true)
}
