//! The dry run: who would get what, and what it would do there. Looks everybody up as the real call does and signals nobody.

use std::io;
use std::time::SystemTime;

use anyhow::Result;
use nix::errno::Errno;
use nix::unistd::{getpgrp, getpid, getsid};

use crate::find::group::Group;
use crate::find::prepare::not_caught;
use crate::find::prepare::{Resolution, check_proc, processes, resolve};
use crate::find::recipients::Roster;
use crate::find::tree::Lineage;
use crate::os::pidfd::Life;
use crate::os::proc::{self, State, Status};
use crate::os::sys::Scope;
use crate::outcome::Reason;
use crate::outcome::{Effect, Outcome, Preview, Subject, Tally};
use crate::output::report::Report;
use crate::plan::{Labels, Plan, Reach};
use crate::run::deliver::{self, Delivery};
use crate::run::send::check_own_group;
use crate::signal::{DefaultAction, Signal};
use crate::target::{Pid, Target};

/// Tells what the plan would do and counts as the real call would.
pub fn rehearse(plan: &Plan, report: &mut Report) -> Result<Tally> {
    check_own_group(plan)?;
    check_proc()?;
    let mut rehearsal = Rehearsal { plan, report, tally: Tally::default() };
    if plan.plain_signal().is_some() {
        for target in &plan.selection.targets {
            rehearsal.by_number(target)?;
        }
    } else {
        rehearsal.pinned()?;
    }
    Ok(rehearsal.tally)
}

struct Rehearsal<'a, 'r> {
    plan: &'a Plan,
    report: &'a mut Report<'r>,
    tally: Tally,
}

impl Rehearsal<'_, '_> {
    /// A target that kill(2) reaches by its number; one for many is shown by its members.
    fn by_number(&mut self, target: &Target) -> Result<()> {
        let typed = target.to_string();
        if let Some(pid) = target.process() {
            let name = proc::name(pid).ok();
            let subject = Subject { typed: &typed, pid: Some(pid), inode: None, name: name.as_deref() };
            self.show(&subject, pid, deliver::by_number(target, Signal::NULL, None));
            return Ok(());
        }
        let mut refused = Errno::ESRCH;
        let mut found = false;
        for pid in members(target)? {
            match self.really(pid, deliver::by_number(&Target::Process(pid), Signal::NULL, None)) {
                Delivery::Sent => {
                    found = true;
                    let name = proc::name(pid).ok();
                    let subject = Subject { typed: &typed, pid: Some(pid), inode: None, name: name.as_deref() };
                    self.show(&subject, pid, Delivery::Sent);
                }
                // Whoever may not be signalled is passed over by the real call, too.
                Delivery::Refused(errno) => refused = errno,
            }
        }
        if !found {
            self.miss(&Subject { typed: &typed, pid: None, inode: None, name: None }, &Reason::Refused(refused));
        }
        Ok(())
    }

    fn pinned(&mut self) -> Result<()> {
        let Resolution { mut roster, misses } = resolve(&self.plan.selection, Labels::Wanted)?;
        for miss in &misses {
            let subject = Subject { typed: &miss.typed, pid: miss.pid, inode: None, name: None };
            self.miss(&subject, &miss.reason);
        }
        let mut groups = Vec::new();
        for target in self.plan.selection.targets.iter().filter(|target| target.is_many()) {
            match target {
                Target::Group(number) if !self.plan.is_single() => {
                    if !groups.contains(number) {
                        self.group(*number, groups.len(), &mut roster)?;
                        groups.push(*number);
                    }
                }
                _ => self.by_number(target)?,
            }
        }
        if self.plan.selection.reach == Reach::Tree {
            self.grow(&mut roster)?;
        }
        for recipient in roster.iter() {
            let subject = Subject::from(recipient);
            if self.plan.waits() && recipient.process.life()? != Life::Running {
                self.tally.signalled += 1;
                self.report.tell(&subject, &Outcome::AlreadyGone);
                continue;
            }
            let refused = if self.plan.selection.reach == Reach::Tree {
                not_caught(&self.plan.selection, recipient.pid())
            } else {
                None
            };
            if let Some(reason) = refused {
                self.miss(&subject, &reason);
                continue;
            }
            let delivery = deliver::by_pidfd(recipient.process.fd(), Signal::NULL, None, Scope::Process);
            self.show(&subject, recipient.pid(), delivery);
        }
        Ok(())
    }

    fn group(&mut self, number: Pid, index: usize, roster: &mut Roster) -> Result<()> {
        if let Err(reason) = Group::pin(number, index, roster, Labels::Wanted)? {
            let typed = Target::Group(number).to_string();
            self.miss(&Subject { typed: &typed, pid: None, inode: None, name: None }, &reason);
        }
        Ok(())
    }

    fn grow(&mut self, roster: &mut Roster) -> Result<()> {
        let lineage = Lineage::own(Labels::Wanted)?;
        for refused in lineage.refuse_own(roster)? {
            self.miss(&Subject::from(&refused), &Reason::Everyone);
        }
        lineage.grow(roster)?;
        Ok(())
    }

    fn show(&mut self, subject: &Subject, pid: Pid, delivery: Delivery) {
        match self.really(pid, delivery) {
            Delivery::Sent => {
                self.tally.signalled += 1;
                self.preview(subject, pid);
            }
            Delivery::Refused(errno) => self.miss(subject, &Reason::Refused(errno)),
        }
    }

    /// What the signal itself would meet where the null signal met this: CONT needs no other permission than to be of one session (kill(2)).
    fn really(&self, pid: Pid, delivery: Delivery) -> Delivery {
        match delivery {
            Delivery::Refused(Errno::EPERM)
                if self.plan.steps[0].signals[0] == Signal::CONT && getsid(Some(pid.process())) == getsid(None) =>
            {
                Delivery::Sent
            }
            delivery => delivery,
        }
    }

    fn miss(&mut self, subject: &Subject, reason: &Reason) {
        if self.plan.waits() && reason.is_gone() {
            self.tally.signalled += 1;
            self.report.tell(subject, &Outcome::AlreadyGone);
        } else {
            self.tally.failed += 1;
            self.report.tell(subject, &Outcome::Failed(reason));
        }
    }

    fn preview(&mut self, subject: &Subject, pid: Pid) {
        let status = proc::status(pid);
        let stat = proc::stat(pid).ok();
        let is_dead = stat.as_ref().is_some_and(|stat| stat.state == State::Dead);
        let signal = self.plan.steps[0].signals[0];
        let preview = Preview {
            signal,
            follow_ups: self.plan.follow_ups(),
            mask: crate::outcome::Mask::Open,
            effect: if is_dead { Effect::Nothing } else { effect(signal, pid, &status) },
            user: status.as_ref().map_or_else(|_| "unknown".to_owned(), |status| proc::user_name(status.real_user)),
            age: stat
                .and_then(|stat| stat.started().ok())
                .and_then(|started| SystemTime::now().duration_since(started).ok()),
            command: proc::arguments(pid).unwrap_or_default().join(&b' '),
        };
        self.report.tell(subject, &Outcome::WouldSend(&preview));
    }
}

/// What the signal would do to the process, from its signal masks.
fn effect(signal: Signal, pid: Pid, status: &io::Result<Status>) -> Effect {
    let default = match signal.default_action() {
        DefaultAction::Ignore => Effect::Nothing,
        // The kernel drops whatever the first process of a PID namespace does not catch.
        _ if pid == Pid::INIT => Effect::Nothing,
        action => Effect::Default(action),
    };
    match status {
        _ if signal.is_null() => Effect::Nothing,
        _ if matches!(signal, Signal::KILL | Signal::STOP) => default,
        Ok(status) if status.ignored.contains(signal) => Effect::Ignored,
        Ok(status) if status.blocked.contains(signal) => Effect::Ignored,
        Ok(status) if status.caught.contains(signal) => Effect::Caught,
        _ => default,
    }
}

/// The processes that kill(2) would reach through a target for many: not sigsend itself and process 1 for everyone.
fn members(target: &Target) -> Result<Vec<Pid>> {
    let group = match target {
        Target::Group(pgid) => Some(pgid.number()),
        Target::OwnGroup => Some(getpgrp().as_raw()),
        _ => None,
    };
    let own = getpid().as_raw();
    let is_member = |pid: &Pid| match group {
        Some(group) => proc::stat(*pid).is_ok_and(|stat| stat.group == group),
        None => *pid != Pid::INIT && pid.number() != own,
    };
    Ok(processes()?.into_iter().filter(is_member).collect())
}
