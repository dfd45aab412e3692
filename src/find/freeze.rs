//! Stops whole trees, so that no member can fork while they are killed: STOP from the roots down,
//! and the children of each member read when it is seen stopped, dead, or blocked in the kernel.
//! All members stop side by side, and each new child gets STOP as soon as it is found.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};
use nix::errno::Errno;
use nix::poll::ppoll;
use nix::sys::time::TimeSpec;

use crate::find::classify::Rules;
use crate::find::recipients::Recipients;
use crate::find::tree::Lineage;
use crate::os::memory::LastResort;
use crate::os::pidfd::Pinned;
use crate::os::pids;
use crate::os::proc::{self, State};
use crate::os::sys::{self, HeldSignals, Scope};
use crate::signal::Signal;

/// How long a member may take to stop, from the first look on. One that is blocked in the kernel
/// gets all of it: it may be a vfork(2) parent whose child is stopped, but a fork in flight on a
/// busy machine is blocked, too, and completes.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the freeze lasts at most.
const LONGEST: Duration = Duration::from_secs(3);
/// How often all members are stopped again because somebody continues them. What they fork after
/// that is found after the KILL.
const TRIES: u32 = 3;

/// Trees being stopped.
pub struct Freeze {
    began: Instant,
    /// How many recipients have got STOP.
    known: usize,
    /// Members that were running before, which must not stay stopped.
    ran: Vec<usize>,
    last_resort: LastResort,
    stopping: VecDeque<Stopping>,
    /// Members that have come to rest, with their threads.
    resting: Vec<(Stopping, Rest)>,
    /// Members that did not stop in time and may have forked after their children were read.
    unstopped: Vec<usize>,
    /// How many looks at all members found one that ran again after it had stopped: somebody sends
    /// CONT.
    disturbed: u32,
    /// The PID that was handed out last before the last look at all members.
    last_pid: Option<i32>,
    /// The root of each tree that could not be stopped because of an error. Its members have been
    /// continued.
    failed: Vec<(usize, Error)>,
    _held: HeldSignals,
}

/// A member on its way to rest.
struct Stopping {
    index: usize,
    got_stop: bool,
    first_look: Option<Instant>,
}

/// How a member came to rest.
enum Rest {
    /// Stopped or dead, with these threads.
    Still(Vec<i32>),
    /// Blocked in the kernel, as a vfork(2) parent is whose child is stopped.
    Blocked(Vec<i32>),
    /// It got no STOP and goes on running.
    Never,
    /// It did not stop in time.
    Late,
}

impl Freeze {
    /// Holds signals back until the value is dropped: the death of sigsend would leave a stopped
    /// tree behind.
    pub fn new() -> Result<Self> {
        Ok(Self {
            began: Instant::now(),
            known: 0,
            ran: Vec::new(),
            last_resort: LastResort::new(),
            stopping: VecDeque::new(),
            resting: Vec::new(),
            unstopped: Vec::new(),
            disturbed: 0,
            last_pid: None,
            failed: Vec::new(),
            _held: HeldSignals::hold().context("holding signals back")?,
        })
    }

    /// Stops all members and everything found below them, until one look at all of them shows
    /// no member that runs and no new child. An error ends this for the tree that it concerns.
    pub fn spread(&mut self, lineage: &Lineage, rules: &Rules, recipients: &mut Recipients) {
        for index in recipients.root_first() {
            self.stop(recipients, index);
        }
        self.known = recipients.len();
        loop {
            while !self.stopping.is_empty() {
                if !self.look_at_all(lineage, rules, recipients) {
                    pause();
                }
            }
            if self.is_confirmed(lineage, rules, recipients) || self.is_over() {
                return;
            }
        }
    }

    /// How many recipients took part.
    pub fn known(&self) -> usize {
        self.known
    }

    fn is_over(&self) -> bool {
        self.disturbed > TRIES || self.began.elapsed() > LONGEST
    }

    /// Members that may have forked after their children were read.
    pub fn unstopped(&self) -> &[usize] {
        &self.unstopped
    }

    pub fn is_disturbed(&self) -> bool {
        self.disturbed > 0
    }

    /// The PID that was handed out last before the children of all members were read.
    pub fn last_pid(&self) -> Option<i32> {
        self.last_pid
    }

    /// Whether a member may have forked unseen: it did not stop, or may not be stopped.
    pub fn is_leaky(&self) -> bool {
        let runs = |(_, rest): &(Stopping, Rest)| matches!(rest, Rest::Never);
        !self.unstopped.is_empty() || self.disturbed > TRIES || self.resting.iter().any(runs)
    }

    /// Whether the tree of a member could not be stopped.
    pub fn has_failed(&self, recipients: &Recipients, index: usize) -> bool {
        !self.failed.is_empty()
            && self
                .failed
                .iter()
                .any(|(root, _)| *root == recipients.root_of(index))
    }

    /// Why trees could not be stopped, one error for each. Releases the signals that were held
    /// back.
    pub fn into_errors(self) -> Vec<(usize, Error)> {
        self.failed
    }

    /// Continues those members that ran before and are not to stay stopped, children before their
    /// parents.
    pub fn thaw(&self, recipients: &Recipients, concerns: &dyn Fn(usize) -> bool) {
        for index in self.ran.iter().rev().filter(|index| concerns(**index)) {
            // One that cannot be continued is dead or another user's.
            let _ = signal(recipients, *index, Signal::CONT);
        }
    }

    /// Leaves a tree alone after an error: its members are continued.
    fn give_up(&mut self, recipients: &Recipients, index: usize, error: Error) {
        if !self.has_failed(recipients, index) {
            let root = recipients.root_of(index);
            self.thaw(recipients, &|index| recipients.root_of(index) == root);
            self.failed.push((root, error));
        }
    }

    /// Looks once at each member that has yet to come to rest, and reads the children of those that
    /// have; whether there was one.
    fn look_at_all(
        &mut self,
        lineage: &Lineage,
        rules: &Rules,
        recipients: &mut Recipients,
    ) -> bool {
        let mut somebody_rests = false;
        for _ in 0..self.stopping.len() {
            let Some(mut member) = self.stopping.pop_front() else {
                break;
            };
            let index = member.index;
            if self.has_failed(recipients, index) {
                continue;
            }
            let is_over = self.began.elapsed() > LONGEST;
            match member.look(&recipients[index].process, is_over) {
                Ok(Some(rest)) => {
                    somebody_rests = true;
                    self.take_children(lineage, rules, recipients, index, rest.threads());
                    if matches!(rest, Rest::Late) {
                        self.unstopped.push(index);
                    }
                    self.resting.push((member, rest));
                }
                Ok(None) => self.stopping.push_back(member),
                Err(error) => self.give_up(recipients, index, error),
            }
        }
        somebody_rests
    }

    /// Looks at all members once more: one that runs again, because somebody sent it CONT, is
    /// stopped again, and new children are stopped. Whether there was neither.
    fn is_confirmed(
        &mut self,
        lineage: &Lineage,
        rules: &Rules,
        recipients: &mut Recipients,
    ) -> bool {
        let known = recipients.len();
        self.last_pid = pids::last_pid();
        // A fork that was in flight when its parent was seen blocked completes in time; those
        // parents are looked at last, and twice, right before the KILL that makes such a fork fail.
        let mut blocked = Vec::new();
        let mut is_disturbed = false;
        for (mut member, rest) in std::mem::take(&mut self.resting) {
            let index = member.index;
            if self.has_failed(recipients, index) {
                continue;
            }
            let state = match rest {
                Rest::Still(_) => liveliest(&recipients[index].process).map(|(state, _)| state),
                _ => Ok(State::Dead),
            };
            let runs = match state {
                Ok(state) => state > State::Stopped,
                Err(error) => {
                    self.give_up(recipients, index, error);
                    continue;
                }
            };
            is_disturbed |= runs;
            self.take_children(lineage, rules, recipients, index, rest.threads());
            if runs && !self.is_over() {
                member.got_stop = signal(recipients, index, Signal::STOP).is_ok();
                self.stopping.push_back(member);
            } else {
                blocked.extend(matches!(rest, Rest::Blocked(_)).then_some(index));
                self.resting.push((member, rest));
            }
        }
        for index in blocked.iter().chain(&blocked) {
            self.take_children(lineage, rules, recipients, *index, None);
        }
        self.disturbed += u32::from(is_disturbed);
        self.stopping.is_empty() && recipients.len() == known
    }

    /// Admits the children of one member and stops those that are new.
    fn take_children(
        &mut self,
        lineage: &Lineage,
        rules: &Rules,
        recipients: &mut Recipients,
        parent: usize,
        threads: Option<&[i32]>,
    ) {
        let adopted = lineage.adopt(recipients, parent, threads);
        rules.classify(recipients, self.known);
        while self.known < recipients.len() {
            self.known += 1;
            self.stop(recipients, self.known - 1);
        }
        if let Err(error) = adopted {
            self.give_up(recipients, parent, error);
        }
    }

    /// Sends STOP to a member. One that is spared or refused, or may not be signalled, is not
    /// waited for.
    fn stop(&mut self, recipients: &Recipients, index: usize) {
        // The rest of a tree that was given up goes on running.
        if self.has_failed(recipients, index) {
            return;
        }
        match self.try_to_stop(recipients, index) {
            Ok(got_stop) => self.stopping.push_back(Stopping {
                index,
                got_stop,
                first_look: None,
            }),
            Err(error) => self.give_up(recipients, index, error),
        }
    }

    fn try_to_stop(&mut self, recipients: &Recipients, index: usize) -> Result<bool> {
        let recipient = &recipients[index];
        if !recipient.is_present() {
            return Ok(false);
        }
        // The main thread's state is enough, unless it has exited before the others.
        let ran = match recipient.state {
            Some(State::Dead) | None => liveliest(&recipient.process)?.0 > State::Stopped,
            Some(state) => state > State::Stopped,
        };
        if ran {
            self.last_resort
                .add(recipient.process.fd()?)
                .context("stopping a tree")?;
        }
        match signal(recipients, index, Signal::STOP) {
            Ok(()) => {
                self.ran.extend(ran.then_some(index));
                Ok(true)
            }
            Err(Errno::EPERM | Errno::ESRCH) => Ok(false),
            Err(errno) => {
                Err(errno).with_context(|| format!("stopping process {}", recipient.pid()))
            }
        }
    }
}

/// The freeze's own signals, STOP and CONT, which are no part of the plan.
fn signal(recipients: &Recipients, index: usize, signal: Signal) -> nix::Result<()> {
    sys::pidfd_send_signal(
        recipients[index].process.fd()?,
        signal,
        None,
        Scope::Process,
    )
}

impl Stopping {
    /// How it came to rest, if it has.
    fn look(&mut self, process: &Pinned, is_over: bool) -> Result<Option<Rest>> {
        if !self.got_stop {
            return Ok(Some(Rest::Never));
        }
        let is_late =
            is_over || self.first_look.get_or_insert_with(Instant::now).elapsed() >= PATIENCE;
        let (state, threads) = liveliest(process)?;
        Ok(match state {
            State::Dead | State::Stopped => Some(Rest::Still(threads)),
            State::Blocked if is_late => Some(Rest::Blocked(threads)),
            State::Live if is_late => Some(Rest::Late),
            State::Blocked | State::Live => None,
        })
    }
}

impl Rest {
    fn threads(&self) -> Option<&[i32]> {
        match self {
            Self::Still(threads) | Self::Blocked(threads) => Some(threads),
            Self::Never | Self::Late => None,
        }
    }
}

/// Whether a process runs, so that it may fork.
pub fn runs(process: &Pinned) -> Result<bool> {
    Ok(liveliest(process)?.0 == State::Live)
}

/// The state of the liveliest thread, and all threads. A process that has gone is dead and has
/// none.
fn liveliest(process: &Pinned) -> Result<(State, Vec<i32>)> {
    let found = proc::if_visible(proc::liveliest(process.pid));
    let found =
        found.with_context(|| format!("looking at the threads of process {}", process.pid))?;
    // What was read may be another process that has the PID now.
    Ok(found
        .filter(|_| process.holds_its_number().unwrap_or(true))
        .unwrap_or((State::Dead, Vec::new())))
}

/// A short time between two looks at what the kernel gives no event for.
pub fn pause() {
    const LOOK: Duration = Duration::from_micros(200);
    // Interrupted early is fine: the callers have deadlines.
    let _ = ppoll(&mut [], Some(TimeSpec::from_duration(LOOK)), None);
}
