//! The dry run: finds all recipients as the real call does, and shows what the signal would do to
//! each. Sends no signal.

use std::time::SystemTime;

use anyhow::Result;
use nix::errno::Errno;
use nix::unistd::{getpgrp, getpid};

use crate::find::cgroup::ControlGroup;
use crate::find::names::{check_proc, processes};
use crate::find::prepare::prepare;
use crate::find::recipients::Standing;
use crate::os::pids::GroupMembers;
use crate::os::proc::{self, State, Status};
use crate::outcome::{Effect, Mask, Outcome, Preview, Subject, Tally};
use crate::output::report::Report;
use crate::plan::{Labels, Plan};
use crate::run::call::Call;
use crate::run::control::tell_unseen;
use crate::run::deliver::is_permitted_cont;
use crate::run::route::{Route, refusal, send};
use crate::signal::{DefaultAction, Signal};
use crate::target::{Pid, Target};

/// Reports what the plan would do and counts as the real call would.
pub fn rehearse(plan: &Plan, report: &mut Report) -> Result<Tally> {
    check_proc()?;
    let mut call = Call::new(plan, prepare(plan, Labels::Wanted)?, report);
    for index in call.present() {
        to_recipient(&mut call, index);
    }
    for group in 0..call.found.groups.len() {
        to_unseen(&mut call, group);
    }
    for target in call.found.by_number() {
        by_number(&mut call, &target)?;
    }
    // The wait of the real call is taken to succeed, so none is counted as still there.
    Ok(Tally {
        left: 0,
        ..call.tally()
    })
}

fn to_recipient(call: &mut Call, index: usize) {
    let signal = call.plan.first_signal();
    let recipient = &mut call.found.recipients[index];
    let pid = recipient.pid();
    let group = recipient
        .group
        .and_then(|group| call.found.groups[group].control());
    let is_killed_whole = group.is_some_and(ControlGroup::is_killed_whole);
    let probe = recipient.process.probe();
    let answer = |signal: Signal| match probe {
        // It is not sent to the process, but written to a file of the group.
        Err(Errno::EPERM) if signal == Signal::KILL && is_killed_whole => Ok(()),
        probe => really(pid, signal, probe),
    };
    match answer(signal) {
        // Waiting needs no permission.
        Err(Errno::EPERM) if signal.is_null() && call.plan.waits() => {
            recipient.standing = Standing::Gone;
        }
        Ok(()) => {
            recipient.signalled = true;
            let recipient = &call.found.recipients[index];
            let preview = preview(call.plan, pid);
            call.report
                .tell(&Subject::from(recipient), &Outcome::WouldSend(&preview));
            // CONT needs less permission than what may follow.
            let follow_ups = call.plan.steps[1..].iter().flat_map(|step| &step.signals);
            let refused = follow_ups
                .filter(|signal| !signal.is_null())
                .find_map(|signal| answer(*signal).err());
            if let Some(errno) = refused {
                call.found.recipients[index].standing =
                    Standing::Refused(refusal(errno, Some(pid)));
                call.tell_standing(index);
            }
        }
        Err(errno) => {
            recipient.standing = Standing::Refused(refusal(errno, Some(pid)));
            call.tell_standing(index);
        }
    }
}

/// The members of a control group that have no PID here.
fn to_unseen(call: &mut Call, group: usize) {
    let signal = call.plan.first_signal();
    match call.found.groups[group].control() {
        Some(control) if signal == Signal::KILL && control.is_killed_whole() => {
            let count = control.unseen;
            if count > 0 {
                call.tally.signalled += count;
                call.report.tell(
                    &Subject::target(control.typed()),
                    &Outcome::WouldSendUnseen { signal, count },
                );
            }
        }
        _ => tell_unseen(call, group, signal),
    }
}

/// A target that kill(2) reaches by its number; one for many processes is shown by its members.
fn by_number(call: &mut Call, target: &Target) -> Result<()> {
    let signal = call.plan.first_signal();
    let typed = target.to_string();
    let mut refused = (Errno::ESRCH, target.process());
    let mut is_found = false;
    for pid in members(target)? {
        match really(
            pid,
            signal,
            send(Route::Number(&Target::Process(pid)), Signal::NULL, None).map(drop),
        ) {
            Ok(()) => {
                is_found = true;
                call.tally.signalled += 1;
                let name = proc::name(pid).ok();
                let subject = Subject {
                    typed: &typed,
                    pid: Some(pid),
                    inode: None,
                    name: name.as_deref(),
                };
                let preview = preview(call.plan, pid);
                call.report.tell(&subject, &Outcome::WouldSend(&preview));
            }
            // A real call to several processes also passes over those that it may not signal.
            Err(errno) => refused.0 = errno,
        }
    }
    if !is_found {
        let (errno, pid) = refused;
        let subject = Subject {
            typed: &typed,
            pid,
            inode: None,
            name: None,
        };
        call.tell_failure(&subject, &refusal(errno, pid));
    }
    Ok(())
}

/// The processes that kill(2) would reach by a number: not sigsend itself and process 1 for
/// everyone.
fn members(target: &Target) -> Result<Vec<Pid>> {
    Ok(match target {
        Target::Group(group) => GroupMembers::of(*group).list()?,
        // 0 if the group was made in a PID namespace above: it has no number here.
        Target::OwnGroup => match Pid::try_from(getpgrp().as_raw()) {
            Ok(group) => GroupMembers::of(group).list()?,
            Err(_) => Vec::new(),
        },
        Target::Everyone => {
            let own = getpid().as_raw();
            processes()?
                .into_iter()
                .filter(|pid| *pid != Pid::INIT && pid.number() != own)
                .collect()
        }
        one => one.process().into_iter().collect(),
    })
}

/// What kill(2) would return for the signal if it has returned this for the null signal.
fn really(pid: Pid, signal: Signal, probe: nix::Result<()>) -> nix::Result<()> {
    match probe {
        Err(Errno::EPERM) if is_permitted_cont(pid, signal) => Ok(()),
        probe => probe,
    }
}

fn preview(plan: &Plan, pid: Pid) -> Preview {
    let status = proc::status(pid).ok();
    let stat = proc::stat(pid).ok();
    let signal = plan.first_signal();
    let takes_nothing = stat
        .as_ref()
        .is_some_and(|stat| stat.state == State::Dead || stat.is_kernel_thread());
    let is_blocked = status
        .as_ref()
        .is_some_and(|status| status.blocked.contains(signal));
    Preview {
        signal,
        follow_ups: plan.follow_ups(),
        effect: if takes_nothing {
            Effect::Nothing
        } else {
            effect(signal, pid, status.as_ref())
        },
        mask: if is_blocked && !takes_nothing {
            Mask::Blocked
        } else {
            Mask::Open
        },
        user: status.map_or_else(
            || "unknown".to_owned(),
            |status| proc::user_name(status.real_user),
        ),
        age: stat
            .and_then(|stat| stat.started().ok())
            .and_then(|started| SystemTime::now().duration_since(started).ok()),
        command: proc::arguments(pid).unwrap_or_default().join(&b' '),
    }
}

/// What the signal would do to the process, by its signal masks.
fn effect(signal: Signal, pid: Pid, status: Option<&Status>) -> Effect {
    let is_sure = matches!(signal, Signal::KILL | Signal::STOP);
    // The kernel drops what the first process of a PID namespace does not catch, but for KILL and
    // STOP from a namespace above (pid_namespaces(7)).
    let is_protected =
        pid == Pid::INIT || (!is_sure && status.is_some_and(|status| status.is_init));
    let default = match signal.default_action() {
        DefaultAction::Ignore => Effect::Nothing,
        _ if is_protected => Effect::Nothing,
        action => Effect::Default(action),
    };
    match status {
        _ if signal.is_null() => Effect::Nothing,
        _ if is_sure => default,
        Some(status) if status.ignored.contains(signal) => Effect::Ignored,
        Some(status) if status.caught.contains(signal) => Effect::Caught,
        _ => default,
    }
}
