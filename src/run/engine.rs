//! One loop on one clock: the steps of a plan, chases after new members, exits, endings, and the
//! line of progress. Nothing in it waits for one target while another is due.

use std::mem;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::event::{Reason, Tally};
use crate::find::recipients::{RecipientId, Standing};
use crate::find::select::select;
use crate::find::source::Source;
use crate::os::sys;
use crate::output::report::Report;
use crate::plan::{FollowUp, Mode, Plan, Until};
use crate::run::call::Call;
use crate::run::chase::Chase;
use crate::run::deliver::deliver;
use crate::run::sender::{Occasion, Step};
use crate::run::watch::Watch;
use crate::signal::Signal;

/// How long a process may take to die that got KILL only when the time was up.
const DYING: Duration = Duration::from_millis(100);

/// Carries out a plan, or rehearses it. An error after the look-up ends it, and is reported; what
/// was done before counts.
pub fn run(plan: &Plan, report: &mut Report) -> Result<Tally> {
    let found = select(plan, report.voice.labels(plan.mode))?;
    let mut engine = Engine {
        call: Call::new(plan, found, report),
        follow_ups: &plan.follow_ups,
        step_began: Instant::now(),
        end: None,
        watch: None,
        chases: Vec::new(),
        settled: 0,
        last_signal: plan.first,
    };
    let ended = engine.take_steps();
    if let Err(error) = &ended {
        engine.call.report.fail(error);
    }
    Ok(engine.call.tally(&ended))
}

struct Engine<'a, 'r> {
    call: Call<'a, 'r>,
    /// The follow-ups that are still to come.
    follow_ups: &'a [FollowUp],
    /// When the last step began: what a freeze takes is part of the time until the next.
    step_began: Instant,
    /// When waiting ends, once the last signal was sent.
    end: Option<Instant>,
    /// `None` if nothing is waited for.
    watch: Option<Watch>,
    chases: Vec<Chase>,
    /// So many recipients are gone, refused or skipped, for good.
    settled: usize,
    last_signal: Signal,
}

impl Engine<'_, '_> {
    /// Takes all steps and waits as long as the plan says. The rehearsal waits for nothing: nothing
    /// changes meanwhile.
    fn take_steps(&mut self) -> Result<()> {
        let plan = self.call.plan;
        let is_rehearsal = plan.mode == Mode::Rehearse;
        if !is_rehearsal && (plan.waits() || !self.follow_ups.is_empty()) {
            self.prepare_to_wait()?;
        }
        self.call.began = Instant::now();
        self.step_began = self.call.began;
        self.step(plan.first, Occasion::First)?;
        for signal in &plan.companions {
            self.step(*signal, Occasion::Companion)?;
        }
        if is_rehearsal {
            for later in &plan.follow_ups {
                self.call.rehearsed += later.after;
                self.step(later.signal, Occasion::FollowUp)?;
            }
            return Ok(());
        }
        loop {
            if let [next, rest @ ..] = self.follow_ups
                && Instant::now() >= self.step_began + next.after
            {
                self.note_exits()?;
                self.step_began = Instant::now();
                if self.is_anybody_left()? {
                    self.follow_ups = rest;
                    self.step(next.signal, Occasion::FollowUp)?;
                    continue;
                }
            }
            self.advance_chases();
            self.call.report_endings();
            if self.is_over()? {
                return Ok(());
            }
            self.sleep()?;
        }
    }

    /// Before the first signal, so that what waiting lacks is known before anything was sent.
    fn prepare_to_wait(&mut self) -> Result<()> {
        let mut watch = Watch::new()?;
        self.call.report.progress.start();
        if self.call.report.progress.next_look().is_some() {
            watch.hold_interrupts()?;
        }
        for control in self.call.found.sources.iter().filter_map(Source::control) {
            watch.add_control_group(control.events.fd())?;
        }
        let added = watch.add_newcomers(&self.call.found.recipients);
        added.map_err(|(_, error)| error)?;
        self.watch = Some(watch);
        Ok(())
    }

    /// Sends one signal of the plan. Chases of a step before are over: new members get this
    /// step's signals.
    fn step(&mut self, signal: Signal, occasion: Occasion) -> Result<()> {
        if occasion != Occasion::Companion {
            self.end_chases()?;
        }
        self.last_signal = signal;
        let step = Step { signal, occasion };
        let growing = deliver(&mut self.call, step)?;
        if self.call.plan.mode == Mode::Send && !signal.is_null() {
            for source in growing {
                match self.chases.iter_mut().find(|chase| chase.source == source) {
                    Some(chase) => chase.steps.push(step),
                    None => self.chases.push(Chase::new(&self.call, source, step)?),
                }
            }
        }
        self.end = match self.call.plan.until {
            Until::Within(duration) if self.follow_ups.is_empty() => {
                // If a slow freeze has used up the time, processes that have just got KILL still
                // need a moment to die.
                let moment = DYING * u32::from(self.step_began.elapsed() > DYING);
                Some((self.step_began + duration).max(Instant::now() + moment))
            }
            _ => None,
        };
        Ok(())
    }

    fn advance_chases(&mut self) {
        for mut chase in mem::take(&mut self.chases) {
            let looked = chase.look(&mut self.call);
            if matches!(looked, Ok(false)) {
                self.chases.push(chase);
                continue;
            }
            let source = chase.source;
            if let Err(error) = chase.end(&self.call).and(looked) {
                // Other sources get their later signals all the same.
                self.call.fail_source(source, &error);
            }
        }
    }

    /// Whether all is done: everything was sent, and nobody is waited for or the time is over.
    fn is_over(&mut self) -> Result<bool> {
        let is_late = self.end.is_some_and(|end| Instant::now() >= end);
        if is_late {
            self.look_for_members()?;
            self.note_exits()?;
        }
        let is_left = self.watch.is_some() && self.is_anybody_left()?;
        if is_left && is_late {
            self.end_chases()?;
            // The line of progress would be drawn again below the survivors.
            self.call.report.clear();
            self.call.report_survivors(self.last_signal);
            while let (Some(until), Some(watch)) = (self.call.next_ending(), &self.watch) {
                watch.next(Some(until))?;
                self.call.report_endings();
            }
            return Ok(true);
        }
        let is_awaited = is_left && (self.call.plan.waits() || !self.follow_ups.is_empty());
        Ok(!is_awaited && self.chases.is_empty() && self.call.next_ending().is_none())
    }

    fn end_chases(&mut self) -> Result<()> {
        let mut chases = mem::take(&mut self.chases).into_iter();
        chases.try_for_each(|chase| chase.end(&self.call))
    }

    /// Sleeps until something happens or is due.
    fn sleep(&mut self) -> Result<()> {
        let chase = self.chases.iter().map(|chase| chase.next).min();
        let Some(watch) = &mut self.watch else {
            if let Some(until) = chase {
                sys::sleep_until(until);
            }
            return Ok(());
        };
        let due = match self.follow_ups.first() {
            Some(next) => Some((self.step_began + next.after, Some(next.signal))),
            None => self.end.map(|end| (end, None)),
        };
        if self.call.report.progress.is_due() {
            self.call.draw_progress(due);
        }
        self.call.report.before_sleep();
        let look = self.call.report.progress.next_look();
        let due = due.map(|(at, _)| at);
        let times = [due, chase, look, self.call.next_ending()];
        let earliest = times.into_iter().flatten().min();
        let Some(exited) = watch.next(earliest)? else {
            return self.let_interrupts_through();
        };
        // While the exited members are unreaped, they prove that the number is still their group's.
        let mut groups = self.call.found.sources.iter().filter_map(Source::group);
        if !exited.is_empty() && groups.any(|group| group.leader.is_none()) {
            self.look_for_members()?;
        }
        self.note(exited)
    }

    /// Lets a pending interrupt through, which ends this program or stops it until it is continued.
    fn let_interrupts_through(&mut self) -> Result<()> {
        self.end_chases()?;
        self.call.report.settle();
        if let Some(watch) = &mut self.watch {
            watch.let_interrupts_through()?;
        }
        self.call.report.progress.start();
        // Exits that were reported together with the interrupt are not reported again.
        self.note_exits()
    }

    /// Checks each recipient that is present: at a deadline it counts who is there, not whose exit
    /// was reported.
    fn note_exits(&mut self) -> Result<()> {
        let recipients = &self.call.found.recipients;
        let runs = |id: &RecipientId| recipients[*id].process.is_running().unwrap_or(true);
        let exited = recipients.present().filter(|id| !runs(id)).collect();
        self.note(exited)
    }

    fn note(&mut self, exited: Vec<RecipientId>) -> Result<()> {
        let watch = self.watch.as_ref();
        let mut exited = exited.into_iter();
        exited.try_for_each(|id| self.call.note_exit(id, watch))
    }

    /// Whether anything is waited for: a recipient, or a member of a group that is none yet.
    fn is_anybody_left(&mut self) -> Result<bool> {
        if !self.has_present() {
            self.look_for_members()?;
        }
        let recipients = &mut self.call.found.recipients;
        while let Some(watch) = &mut self.watch
            && let Err((id, error)) = watch.add_newcomers(recipients)
        {
            self.call.report.fail(&error);
            recipients[id].standing = Standing::Refused(Reason::from_error(&error));
        }
        if self.has_present() {
            return Ok(true);
        }
        let recipients = &self.call.found.recipients;
        let mut controls = self.call.found.sources.iter().filter_map(Source::control);
        Ok(controls.any(|group| group.is_awaited(recipients)))
    }

    /// Whether a recipient is present. Those that were settled before are not looked at again.
    fn has_present(&mut self) -> bool {
        let recipients = &self.call.found.recipients;
        let rest = recipients.ids_from(self.settled);
        self.settled += rest.take_while(|id| !recipients[*id].is_present()).count();
        self.settled < recipients.len()
    }

    /// Admits members of groups that were forked, or joined, since the last look. If the group is
    /// being killed, they get KILL.
    fn look_for_members(&mut self) -> Result<()> {
        let kill = Step {
            signal: Signal::KILL,
            occasion: Occasion::FollowUp,
        };
        let is_killed = self.last_signal == Signal::KILL;
        let steps = if is_killed { &[kill][..] } else { &[] };
        for source in self.call.found.source_ids() {
            if matches!(self.call.found[source], Source::Trees) {
                continue;
            }
            match self.call.look(source, steps) {
                Err(error) => self.call.fail_source(source, &error),
                Ok(true) if self.chases.iter().all(|chase| chase.source != source) => {
                    self.chases.push(Chase::new(&self.call, source, kill)?);
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }
}
