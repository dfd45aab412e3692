//! One loop on one clock: the steps of a plan, chases after new members, exits, endings, and the
//! line of progress. Nothing in it waits for one target while another is due.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::event::{Ending, Outcome, Reason, Subject, Tally};
use crate::find::recipients::{RecipientId, SourceId, Standing};
use crate::find::select::select;
use crate::find::source::Source;
use crate::os::sys;
use crate::output::progress::Pending;
use crate::output::report::Report;
use crate::output::text::described;
use crate::plan::{FollowUp, Labels, Mode, Plan, Until};
use crate::run::call::Call;
use crate::run::chase::Chase;
use crate::run::deliver::{deliver, look};
use crate::run::ending::Endings;
use crate::run::preview::obstacle;
use crate::run::sender::Occasion;
use crate::run::watch::{Watch, Woken};
use crate::signal::Signal;

/// How long a process may take to die that got KILL only when the time was up.
const DYING: Duration = Duration::from_millis(100);

/// Carries out a plan, or rehearses it. An error in between ends it, and is reported; what was done
/// before counts.
pub fn run(plan: &Plan, report: &mut Report) -> Result<Tally> {
    let labels = match plan.mode {
        Mode::Rehearse => Labels::Wanted,
        _ => report.voice.labels(),
    };
    let found = match select(plan, labels) {
        // Signals have left.
        Err(error) if plan.begun.done > 0 => {
            report.fail(&error);
            return Ok(Tally {
                signalled: plan.begun.done,
                ..Tally::FAILURE
            });
        }
        found => found?,
    };
    let call = Call::new(plan, found, report);
    let mut engine = Engine {
        call,
        labels,
        watch: None,
        chases: Vec::new(),
        endings: Endings::default(),
        watched: 0,
        settled: 0,
        last_signal: plan.first,
    };
    let done = match plan.mode {
        Mode::Rehearse => engine.rehearse(),
        _ => engine.take_steps(),
    };
    Ok(match done {
        Ok(()) => engine.call.tally(),
        Err(error) => {
            engine.call.report.fail(&error);
            engine.call.tally_of_broken()
        }
    })
}

/// A plan under way.
struct Engine<'a, 'r> {
    call: Call<'a, 'r>,
    labels: Labels,
    /// `None` if nothing is waited for.
    watch: Option<Watch>,
    chases: Vec<Chase>,
    endings: Endings,
    /// So many recipients are watched, or were not present when they were reached.
    watched: usize,
    /// So many recipients are gone, refused or skipped, for good.
    settled: usize,
    last_signal: Signal,
}

/// When the engine stops waiting for its targets.
#[derive(Clone, Copy)]
enum Deadline {
    /// Once every signal was sent.
    Sent,
    Never,
    At(Instant),
}

impl Engine<'_, '_> {
    /// The same walk as the real call, without its waits: nothing changes meanwhile.
    fn rehearse(&mut self) -> Result<()> {
        let plan = self.call.plan;
        deliver(&mut self.call, plan.first, Occasion::First)?;
        for signal in &plan.companions {
            deliver(&mut self.call, *signal, Occasion::Companion)?;
        }
        for follow_up in plan
            .follow_ups
            .iter()
            .filter(|later| !later.signal.is_null())
        {
            deliver(&mut self.call, follow_up.signal, Occasion::FollowUp)?;
        }
        Ok(())
    }

    /// Takes all steps and waits as long as the plan says. A step's time is when it begins: what a
    /// freeze takes is part of the time until the next.
    fn take_steps(&mut self) -> Result<()> {
        let plan = self.call.plan;
        let mut follow_ups: VecDeque<FollowUp> = plan.follow_ups.iter().copied().collect();
        if plan.waits() || !follow_ups.is_empty() {
            self.prepare_to_wait()?;
        }
        self.call.began = Instant::now();
        let mut last = self.call.began;
        self.step(plan.first, Occasion::First)?;
        for signal in &plan.companions {
            self.step(*signal, Occasion::Companion)?;
        }
        let mut deadline = self.deadline(&follow_ups, last);
        loop {
            if let Some(next) = follow_ups.front().copied()
                && Instant::now() >= last + next.after
            {
                self.note_exits()?;
                last = Instant::now();
                if self.is_anybody_left()? {
                    follow_ups.pop_front();
                    self.step(next.signal, Occasion::FollowUp)?;
                    deadline = self.deadline(&follow_ups, last);
                    continue;
                }
            }
            self.advance_chases();
            self.note_exited()?;
            self.endings.report_due(&mut self.call);
            if self.is_over(deadline)? {
                return Ok(());
            }
            let next = follow_ups
                .front()
                .map(|next| (last + next.after, next.signal));
            self.sleep(next, deadline)?;
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
            watch.add_control_group(control.events())?;
        }
        self.watch = Some(watch);
        let refused = self.watch_newcomers().into_iter().next();
        refused.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Sends one signal of the plan. Chases of a step before are over: new members get this
    /// step's signals.
    fn step(&mut self, signal: Signal, occasion: Occasion) -> Result<()> {
        if occasion != Occasion::Companion {
            self.end_chases()?;
        }
        self.last_signal = signal;
        for source in deliver(&mut self.call, signal, occasion)? {
            self.chase(source, signal, occasion)?;
        }
        Ok(())
    }

    fn chase(&mut self, source: SourceId, signal: Signal, occasion: Occasion) -> Result<()> {
        if signal.is_null() {
            return Ok(());
        }
        match self.chases.iter_mut().find(|chase| chase.source == source) {
            Some(chase) => chase.add(signal),
            None => self
                .chases
                .push(Chase::new(&self.call, source, signal, occasion)?),
        }
        Ok(())
    }

    /// When waiting ends, once the last signal was sent.
    fn deadline(&self, follow_ups: &VecDeque<FollowUp>, last: Instant) -> Deadline {
        match self.call.plan.until {
            _ if !follow_ups.is_empty() => Deadline::Never,
            Until::Sent => Deadline::Sent,
            Until::Gone => Deadline::Never,
            Until::Within(duration) => {
                // If a slow freeze has used up the time, those that have just got KILL still need a
                // moment to die.
                let moment = if last.elapsed() > DYING {
                    DYING
                } else {
                    Duration::ZERO
                };
                Deadline::At((last + duration).max(Instant::now() + moment))
            }
        }
    }

    fn advance_chases(&mut self) {
        let now = Instant::now();
        for chase in self.chases.iter_mut().filter(|chase| chase.next() <= now) {
            // What goes wrong concerns the source alone; the others get their later signals.
            if let Err(error) = chase.look(&mut self.call) {
                self.call.fail_source(chase.source, &error);
            }
        }
        self.chases.retain(|chase| !chase.is_over());
    }

    /// Whether all is done: everything was sent, and nobody is waited for or the time is over.
    fn is_over(&mut self, deadline: Deadline) -> Result<bool> {
        if self.watch.is_none() {
            return Ok(self.chases.is_empty());
        }
        let is_late = matches!(deadline, Deadline::At(end) if Instant::now() >= end);
        if is_late {
            self.note_exits()?;
        }
        if !self.is_anybody_left()? {
            let is_over = self.chases.is_empty() && self.endings.is_empty();
            if is_over {
                self.call.report.clear();
            }
            return Ok(is_over);
        }
        match deadline {
            Deadline::Sent => Ok(self.chases.is_empty() && self.endings.is_empty()),
            Deadline::At(_) if is_late => {
                self.end_chases()?;
                // The line of progress would be drawn again below the survivors.
                self.call.report.clear();
                self.report_survivors();
                self.wait_for_endings()?;
                Ok(true)
            }
            Deadline::At(_) | Deadline::Never => Ok(false),
        }
    }

    fn end_chases(&mut self) -> Result<()> {
        let mut chases = std::mem::take(&mut self.chases).into_iter();
        chases.try_for_each(|mut chase| chase.end(&self.call))
    }

    /// Reports how those ended that have exited, once their time is over at the latest.
    fn wait_for_endings(&mut self) -> Result<()> {
        while let (Some(until), Some(watch)) = (self.endings.next(), &self.watch) {
            watch.next(Some(until))?;
            self.endings.report_due(&mut self.call);
        }
        Ok(())
    }

    /// Sleeps until something happens or is due.
    fn sleep(&mut self, next: Option<(Instant, Signal)>, deadline: Deadline) -> Result<()> {
        let chase = self.chases.iter().map(Chase::next).min();
        let Some(watch) = &mut self.watch else {
            if let Some(until) = chase {
                sys::sleep_until(until);
            }
            return Ok(());
        };
        let end = if let Deadline::At(end) = deadline {
            Some(end)
        } else {
            None
        };
        let due = next.map_or_else(
            || end.map(|end| (end, None)),
            |(at, signal)| Some((at, Some(signal))),
        );
        if self.call.report.progress.is_due() {
            draw_progress(&mut self.call, due);
        }
        self.call.report.before_sleep();
        let look = self.call.report.progress.next_look();
        let at = due.map(|(at, _)| at);
        let earliest = [at, chase, look, self.endings.next()]
            .into_iter()
            .flatten()
            .min();
        match watch.next(earliest)? {
            Woken::Exited(ids) => {
                // While the exited members are unreaped, they prove that the number is still their
                // group's.
                let groups = self.call.found.sources.iter().filter_map(Source::group);
                if groups.into_iter().any(|group| group.leader().is_none()) {
                    self.look_for_members()?;
                }
                for id in ids {
                    self.note_exit(id)?;
                }
            }
            Woken::Interrupted => {
                self.end_chases()?;
                self.call.report.settle();
                if let Some(watch) = &mut self.watch {
                    watch.let_interrupts_through()?;
                }
                self.call.report.progress.start();
            }
            Woken::Due => {}
        }
        Ok(())
    }

    /// Takes note of those whose exit a later signal has shown.
    fn note_exited(&mut self) -> Result<()> {
        for id in std::mem::take(&mut self.call.exited) {
            self.note_exit(id)?;
        }
        Ok(())
    }

    /// Checks each recipient that is present: at a deadline it counts who is there, not whose exit
    /// was reported.
    fn note_exits(&mut self) -> Result<()> {
        let recipients = &self.call.found.recipients;
        let runs = |id: &RecipientId| recipients[*id].process.is_running().unwrap_or(true);
        let exited: Vec<RecipientId> = recipients.present().filter(|id| !runs(id)).collect();
        exited.into_iter().try_for_each(|id| self.note_exit(id))
    }

    fn note_exit(&mut self, id: RecipientId) -> Result<()> {
        let recipient = &mut self.call.found.recipients[id];
        if !recipient.is_present() {
            return Ok(());
        }
        recipient.standing = Standing::Gone;
        match self.labels {
            Labels::Wanted => self.endings.add(&mut self.call, self.watch.as_ref(), id),
            Labels::Unwanted => {
                let after = self.call.began.elapsed();
                self.call.report_gone(id, Ending::Unknown, after);
                Ok(())
            }
        }
    }

    /// Whether anything is waited for: a recipient, or a member of a group that is none yet.
    fn is_anybody_left(&mut self) -> Result<bool> {
        if !self.has_present() {
            self.look_for_members()?;
        }
        self.watch_or_refuse();
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

    /// Watches all that are present and not watched yet; those that cannot be watched, and why.
    fn watch_newcomers(&mut self) -> Vec<(RecipientId, anyhow::Error)> {
        let Some(watch) = &self.watch else {
            return Vec::new();
        };
        let recipients = &self.call.found.recipients;
        let newcomers = recipients.ids_from(self.watched);
        let newcomers = newcomers.filter(|id| recipients[*id].is_present());
        let refused =
            newcomers.filter_map(|id| Some((id, watch.add(id, &recipients[id].process).err()?)));
        let refused = refused.collect();
        self.watched = recipients.len();
        refused
    }

    /// Admits members of groups that were forked, or joined, since the last look. If the group is
    /// being killed, they get KILL.
    fn look_for_members(&mut self) -> Result<()> {
        for source in (0..self.call.found.sources.len()).map(SourceId) {
            if matches!(self.call.found.sources[source.0], Source::Trees(_)) {
                continue;
            }
            let known = self.call.found.recipients.len();
            if let Err(error) = look(&mut self.call, source) {
                self.call.fail_source(source, &error);
            }
            let recipients = &self.call.found.recipients;
            let newcomers: Vec<RecipientId> = recipients
                .ids_from(known)
                .filter(|id| recipients[*id].is_present())
                .collect();
            if self.last_signal == Signal::KILL && !newcomers.is_empty() {
                for id in newcomers {
                    self.call.send(id, Signal::KILL, Occasion::FollowUp);
                }
                self.chase(source, Signal::KILL, Occasion::FollowUp)?;
            }
        }
        Ok(())
    }

    /// Watches those that were admitted since; one that cannot be watched is refused.
    fn watch_or_refuse(&mut self) {
        for (id, error) in self.watch_newcomers() {
            self.call.report.fail(&error);
            self.call.found.recipients[id].standing = Standing::Refused(Reason::from_error(&error));
        }
    }

    /// Reports the processes that are still there, and what keeps them.
    fn report_survivors(&mut self) {
        let after = self.call.began.elapsed();
        let present: Vec<RecipientId> = self.call.found.recipients.present().collect();
        for id in &present {
            let state = obstacle(self.call.found.recipients[*id].pid(), self.last_signal);
            self.call.tell(*id, &Outcome::StillThere { after, state });
        }
        if !present.is_empty() {
            return;
        }
        let call = &mut self.call;
        for group in call.found.sources.iter().filter_map(Source::control) {
            if group.is_awaited(&call.found.recipients) {
                call.tally.left += group.unseen.max(1);
                let outcome = Outcome::StillThere { after, state: None };
                call.report
                    .tell(&Subject::target(group.subject()), &outcome);
            }
        }
    }
}

fn draw_progress(call: &mut Call, due: Option<(Instant, Option<Signal>)>) {
    let left = call.found.recipients.present().count();
    let Some(example) = call.found.recipients.present().next() else {
        return;
    };
    let recipient = &mut call.found.recipients[example];
    recipient.learn_name();
    let until = |at: Instant| at.saturating_duration_since(Instant::now());
    let pending = Pending {
        left,
        example: &described(&Subject::from(&*recipient)),
        waited: call.began.elapsed(),
        due: due.map(|(at, signal)| (until(at), signal)),
    };
    call.report.draw(&pending);
}
