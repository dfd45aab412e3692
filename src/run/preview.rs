//! What a plan would do to one process, for the dry run: read from /proc, claimed only as far as it
//! could be read.

use std::time::SystemTime;

use anyhow::Result;
use nix::unistd::getpgrp;

use crate::event::{Effect, Obstacle, Preview};
use crate::find::names::processes;
use crate::find::spared::own;
use crate::os::pids::GroupMembers;
use crate::os::proc::{self, Stat, State, Status};
use crate::plan::Plan;
use crate::run::sender::Step;
use crate::signal::{DefaultAction, Signal};
use crate::target::{Pgid, Pid, Target};

/// The processes that kill(2) would reach by a number: not sigsend itself and process 1 for
/// everyone.
pub fn reached_by(target: &Target) -> Result<Vec<Target>> {
    let reached = match target {
        Target::Group(group) => GroupMembers::of(*group).list()?,
        // 0 if the group was made in a PID namespace above: it has no number here.
        Target::OwnGroup => match Pid::try_from(getpgrp().as_raw()).and_then(Pgid::try_from) {
            Ok(group) => GroupMembers::of(group).list()?,
            Err(_) => vec![own()],
        },
        Target::Everyone => {
            let mut others = processes()?;
            others.retain(|pid| *pid != Pid::INIT && *pid != own());
            others
        }
        one => return Ok(vec![one.clone()]),
    };
    Ok(reached.into_iter().map(Target::Process).collect())
}

/// What a signal of the plan would do to a process. The preview of the first signal has those that
/// follow it.
pub fn preview(plan: &Plan, pid: Pid, step: Step) -> Preview {
    let (signal, selection) = (step.signal, &plan.selection);
    let status = proc::status(pid).ok();
    // The state of a process is that of its liveliest thread: the main one may have exited.
    let stat = proc::liveliest(pid).ok();
    let takes_nothing = |stat: &Stat| stat.state == State::Dead || stat.is_kernel_thread();
    let takes_nothing = stat.as_ref().is_some_and(takes_nothing);
    let is_blocked = |status: &Status| status.blocked.contains(signal);
    let is_blocked = !takes_nothing && status.as_ref().is_some_and(is_blocked);
    let effect = if takes_nothing {
        Effect::Nothing
    } else {
        effect(signal, pid, status.as_ref())
    };
    let started = stat.and_then(|stat| stat.started().ok());
    let directory = selection.cwd.as_ref();
    let directory = directory.and_then(|_| proc::working_directory(pid).ok());
    let user = status
        .as_ref()
        .map(|status| proc::user_name(status.real_user));
    Preview {
        follow_ups: plan.later().filter(|_| step.is_first()).collect(),
        effect,
        is_blocked: (effect != Effect::Unknown).then_some(is_blocked),
        hold: status.as_ref().and_then(hold).filter(|_| !takes_nothing),
        user: user.unwrap_or_else(|| "unknown".to_owned()),
        age: started.and_then(|started| SystemTime::now().duration_since(started).ok()),
        command: proc::arguments(pid).unwrap_or_default().join(&b' '),
        directory,
    }
}

/// What the signal would do to the process, by its signal masks.
fn effect(signal: Signal, pid: Pid, status: Option<&Status>) -> Effect {
    if signal.is_null() {
        return Effect::Nothing;
    }
    let is_uncatchable = matches!(signal, Signal::KILL | Signal::STOP);
    // The kernel drops what the first process of a PID namespace does not catch, but for KILL and
    // STOP from a namespace above (pid_namespaces(7)).
    let is_protected =
        pid == Pid::INIT || (!is_uncatchable && status.is_some_and(|status| status.is_init));
    let default = match signal.default_action() {
        DefaultAction::Ignore => Effect::Nothing,
        _ if is_protected => Effect::Nothing,
        action => Effect::Default(action),
    };
    match status {
        _ if is_uncatchable => default,
        None => Effect::Unknown,
        Some(status) if status.ignored.contains(signal) => Effect::Ignored,
        Some(status) if status.caught.contains(signal) => Effect::Caught,
        Some(_) => default,
    }
}

/// What keeps a process from acting on a signal until it continues.
fn hold(status: &Status) -> Option<Obstacle> {
    let tracer = Pid::try_from(status.tracer);
    let hold = tracer.map_or(Obstacle::Stopped, Obstacle::TracedBy);
    (status.state == State::Stopped).then_some(hold)
}

/// What keeps a process that is still there when the time is over.
pub fn obstacle(pid: Pid, last: Signal) -> Option<Obstacle> {
    let status = proc::status(pid).ok()?;
    let is_blocked = proc::liveliest(pid).is_ok_and(|stat| stat.state == State::Blocked);
    let is_ignored = status.ignored.contains(last);
    hold(&status)
        .or(is_blocked.then_some(Obstacle::Blocked))
        .or(is_ignored.then_some(Obstacle::Ignores(last)))
}
