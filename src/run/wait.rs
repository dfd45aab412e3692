//! Waiting until all are gone or a deadline has come, and the line on the terminal meanwhile.

use std::time::Instant;

use anyhow::{Error, Result};

use crate::find::group::Group;
use crate::find::prepare::Found;
use crate::find::recipients::Standing;
use crate::outcome::{Outcome, Reason, Subject};
use crate::output::progress::Pending;
use crate::output::text::described;
use crate::run::call::Call;
use crate::run::watch::{Watch, Woken};
use crate::signal::Signal;

/// The descriptors of the recipients that are waited for.
pub struct Wait {
    watch: Watch,
    /// Recipients up to this index are watched, if they were present when it was reached.
    watched: usize,
    /// Recipients up to this index are gone, refused or skipped, for good.
    settled: usize,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    Gone,
    SomeLeft,
}

impl Wait {
    /// Prepares to wait. Before the first signal, so that what waiting lacks is known before
    /// anything was sent.
    pub fn new(call: &mut Call) -> Result<Self> {
        let mut watch = Watch::new()?;
        call.report.progress.start();
        if call.report.progress.next_look().is_some() {
            watch.hold_interrupts()?;
        }
        for control in call.found.groups.iter().filter_map(Group::control) {
            watch.add_control_group(control.events())?;
        }
        let mut wait = Self {
            watch,
            watched: 0,
            settled: 0,
        };
        if let Some((_, error)) = wait.watch_newcomers(call).into_iter().next() {
            return Err(error);
        }
        Ok(wait)
    }

    /// Waits until all are gone or the deadline has come. `next` is what is sent then, for the
    /// terminal.
    pub fn until_gone(
        &mut self,
        call: &mut Call,
        deadline: Option<Instant>,
        next: Option<Signal>,
    ) -> Result<Waited> {
        loop {
            if !self.has_present(call) {
                look_for_members(call);
            }
            for (index, error) in self.watch_newcomers(call) {
                call.report.fail(&error);
                call.found.recipients[index].standing =
                    Standing::Refused(Reason::from_error(&error));
            }
            if !self.is_somebody_left(call) {
                call.report.clear();
                return Ok(Waited::Gone);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                call.record_all_exits();
                if !self.has_present(call) {
                    look_for_members(call);
                }
                return Ok(if self.is_somebody_left(call) {
                    Waited::SomeLeft
                } else {
                    Waited::Gone
                });
            }
            if call.report.progress.is_due() {
                draw_progress(call, deadline, next);
            }
            call.report.before_sleep();
            let look = call.report.progress.next_look();
            match self
                .watch
                .next([deadline, look].into_iter().flatten().min())?
            {
                Woken::Exited(indices) => {
                    // While the exited members are unreaped, they prove that the number is still
                    // their group's.
                    if call
                        .found
                        .groups
                        .iter()
                        .filter_map(Group::process)
                        .any(|group| group.leader().is_none())
                    {
                        look_for_members(call);
                    }
                    call.record_exits(&indices);
                }
                Woken::Interrupted => {
                    call.report.settle();
                    self.watch.release_interrupts();
                }
                Woken::Due => {}
            }
        }
    }

    /// Whether anything is waited for: a recipient, or a member of a control group that is none.
    fn is_somebody_left(&mut self, call: &Call) -> bool {
        let Found {
            groups, recipients, ..
        } = &call.found;
        let mut controls = groups.iter().filter_map(Group::control);
        self.has_present(call) || controls.any(|group| group.is_awaited(recipients))
    }

    /// Whether a recipient is present. Those that were settled before are not looked at again.
    fn has_present(&mut self, call: &Call) -> bool {
        let rest = call.found.recipients[self.settled..].iter();
        self.settled += rest.take_while(|recipient| !recipient.is_present()).count();
        self.settled < call.found.recipients.len()
    }

    /// Watches all that are present and not watched yet; those that cannot be watched, and why.
    fn watch_newcomers(&mut self, call: &Call) -> Vec<(usize, Error)> {
        let recipients = &call.found.recipients;
        let newcomers = recipients
            .iter()
            .enumerate()
            .skip(self.watched)
            .filter(|(_, one)| one.is_present());
        let refused = newcomers
            .filter_map(|(index, one)| Some((index, self.watch.add(index, &one.process).err()?)));
        let refused = refused.collect();
        self.watched = recipients.len();
        refused
    }
}

/// Admits members of groups that were forked, or joined, since the last look. An error is the
/// group's alone.
fn look_for_members(call: &mut Call) {
    let known = call.found.recipients.len();
    for group in 0..call.found.groups.len() {
        if let Err(error) = call.found.groups[group].look(&mut call.found.recipients) {
            call.fail(&error);
        }
    }
    call.classify(known);
}

/// Reports the processes that are still there.
pub fn tell_survivors(call: &mut Call) {
    call.report.clear();
    let after = call.began.elapsed();
    for index in call.present() {
        call.tell(index, &Outcome::StillThere { after });
    }
    let Found {
        groups, recipients, ..
    } = &call.found;
    for group in groups
        .iter()
        .filter_map(Group::control)
        .filter(|_| !recipients.has_present())
    {
        if group.is_awaited(recipients) {
            call.tally.left += group.unseen.max(1);
            call.report.tell(
                &Subject::target(group.typed()),
                &Outcome::StillThere { after },
            );
        }
    }
}

fn draw_progress(call: &mut Call, deadline: Option<Instant>, next: Option<Signal>) {
    let present = call.present();
    let Some(example) = present.first() else {
        return;
    };
    let recipient = &mut call.found.recipients[*example];
    recipient.learn_name();
    let pending = Pending {
        left: present.len(),
        example: &described(&Subject::from(&*recipient)),
        waited: call.began.elapsed(),
        due: deadline.map(|deadline| (deadline.saturating_duration_since(Instant::now()), next)),
    };
    call.report.draw(&pending);
}
