//! The waiting part of a campaign: who has gone, who is left, and what the terminal shows meanwhile.

use std::time::Instant;

use anyhow::Result;

use super::{Campaign, Fate};
use crate::os::pidfd::Life;
use crate::outcome::Ending;
use crate::outcome::{Outcome, Subject};
use crate::output::progress::Pending;
use crate::output::text::described;
use crate::plan::Labels;
use crate::run::wait::{Watch, Woken, endings};
use crate::signal::Signal;

impl Campaign<'_, '_> {
    /// Waits until nobody is left (false) or the deadline has come with somebody still there (true).
    pub(super) fn someone_stays(&mut self, deadline: Option<Instant>, next: Option<Signal>) -> Result<bool> {
        loop {
            self.watch_newcomers()?;
            if !self.fates.contains(&Fate::Present) && !self.groups_have_newcomers()? {
                self.report.progress.clear();
                return Ok(false);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.look_at_everybody()?;
                return Ok(self.fates.contains(&Fate::Present) || self.groups_have_newcomers()?);
            }
            let draw = self.report.progress.next_draw();
            let earliest = [deadline, draw].into_iter().flatten().min();
            let watch = self.watch.as_mut().expect("newcomers are watched first");
            match watch.next(earliest)? {
                Woken::Exited(indices) => self.take_leave(&indices)?,
                Woken::Interrupted => {
                    self.report.progress.clear();
                    watch.release_interrupts();
                }
                Woken::Due => self.draw_progress(deadline, next),
            }
        }
    }

    /// Asks each one who is present, once: at the deadline it counts who is there, not whose exit has been told already.
    fn look_at_everybody(&mut self) -> Result<()> {
        let mut exited = Vec::new();
        for (index, recipient) in self.roster.iter().enumerate() {
            if self.fates[index] == Fate::Present && recipient.process.life()? != Life::Running {
                exited.push(index);
            }
        }
        self.take_leave(&exited)
    }

    /// Watches everybody who is present and not watched yet.
    pub(super) fn watch_newcomers(&mut self) -> Result<()> {
        if self.watch.is_none() {
            let mut watch = Watch::new()?;
            self.report.progress.start();
            if self.report.progress.next_draw().is_some() {
                watch.hold_interrupts()?;
            }
            self.watch = Some(watch);
        }
        let watch = self.watch.as_ref().expect("made above");
        for index in self.watched..self.roster.len() {
            if self.fates[index] == Fate::Present {
                watch.add(index, &self.roster[index].process)?;
            }
        }
        self.watched = self.roster.len();
        Ok(())
    }

    /// With every known member gone, asks each group whether it has others.
    fn groups_have_newcomers(&mut self) -> Result<bool> {
        for group in 0..self.groups.len() {
            if self.groups[group].may_have_members() && !self.reread(group)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes who has exited. A group without its leader's pidfd is read again at once, while the dead may still be unreaped.
    fn take_leave(&mut self, exited: &[usize]) -> Result<()> {
        let exited: Vec<usize> = exited.iter().copied().filter(|index| self.fates[*index] == Fate::Present).collect();
        for group in 0..self.groups.len() {
            if !self.groups[group].has_leader() {
                self.reread(group)?;
            }
        }
        let after = self.began.elapsed();
        let endings = match self.report.voice.labels() {
            Labels::Wanted => endings(exited.iter().map(|index| &self.roster[*index].process)),
            Labels::Unwanted => vec![Ending::Unknown; exited.len()],
        };
        for (index, ending) in exited.into_iter().zip(endings) {
            self.fates[index] = Fate::Gone;
            self.tell(index, &Outcome::Gone { ending, after });
        }
        Ok(())
    }

    fn draw_progress(&mut self, deadline: Option<Instant>, next: Option<Signal>) {
        let present = || self.fates.iter().enumerate().filter(|(_, fate)| **fate == Fate::Present);
        let Some((example, _)) = present().next() else { return };
        let recipient = &mut self.roster[example];
        recipient.learn_name();
        let pending = Pending {
            left: present().count(),
            example: &described(&Subject::from(&*recipient)),
            waited: self.began.elapsed(),
            due: deadline.map(|deadline| (deadline.saturating_duration_since(Instant::now()), next)),
        };
        self.report.draw(&pending);
    }
}
