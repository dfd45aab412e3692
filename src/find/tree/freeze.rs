//! A tree brought to rest: STOP from the roots down, and the children of each member read when it can fork no more.
//! All members stop side by side, and whoever is found below one gets STOP at once, so that a forking tree has no head start.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::{Exemption, Growth, Lineage, pause};
use crate::find::recipients::Roster;
use crate::os::proc::{self, State};
use crate::os::sys::Scope;
use crate::run::deliver::{self, Delivery};
use crate::signal::Signal;
use crate::target::Pid;

/// How long a member may take to stop, from the first look on. One that is blocked in the kernel gets all of it: it may be a vfork(2)
/// parent whose child is stopped, but on a busy machine a fork in flight can be blocked for long, too, and comes down after all.
const PATIENCE: Duration = Duration::from_secs(1);

/// A tree being stopped.
#[derive(Default)]
pub struct Freeze {
    /// Members that were running before they were stopped.
    pub ran: Vec<usize>,
    /// Members that did not stop in time and may have forked after their children were read.
    pub unstopped: Vec<usize>,
    /// What was found on the way.
    pub growth: Growth,
    /// Members whose children are to be read when they rest.
    stopping: VecDeque<Stopping>,
    /// Members that can fork no more, with their threads.
    still: Vec<(usize, Vec<i32>)>,
    /// The same, of those that were seen blocked instead of stopped.
    blocked: Vec<(usize, Vec<i32>)>,
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
    /// Blocked in the kernel as a vfork(2) parent is, whose child is stopped.
    Blocked(Vec<i32>),
    /// It goes on running for want of a STOP; its children are read once and not chased.
    Never,
    /// It did not stop in time.
    Late,
}

impl Freeze {
    /// Stops all members and whoever is found below them, until nobody new appears.
    pub fn spread(&mut self, lineage: &Lineage, roster: &mut Roster, exempt: &Exemption) -> Result<()> {
        for index in roster.root_first() {
            self.stop(roster, index, None, exempt)?;
        }
        while !self.stopping.is_empty() {
            while !self.stopping.is_empty() {
                if !self.look_at_all(lineage, roster, exempt)? {
                    pause();
                }
            }
            // A fork that was in flight when its parent was seen blocked has come down by now; last are looked at, right before the
            // KILL that makes such a fork fail, those who may be in one still.
            for (index, threads) in self.still.iter().chain(&self.blocked).chain(&self.blocked) {
                lineage.adopt(roster, *index, Some(threads), &mut self.growth)?;
            }
            self.stop_newcomers(roster, exempt)?;
        }
        Ok(())
    }

    /// Looks once at each member that has yet to come to rest, and reads the children of those who have; whether there was one.
    fn look_at_all(&mut self, lineage: &Lineage, roster: &mut Roster, exempt: &Exemption) -> Result<bool> {
        let mut somebody_rests = false;
        for _ in 0..self.stopping.len() {
            let Some(mut member) = self.stopping.pop_front() else { break };
            let index = member.index;
            let Some(rest) = member.look(roster[index].pid())? else {
                self.stopping.push_back(member);
                continue;
            };
            somebody_rests = true;
            lineage.adopt(roster, index, rest.threads(), &mut self.growth)?;
            self.stop_newcomers(roster, exempt)?;
            match rest {
                Rest::Still(threads) => self.still.push((index, threads)),
                Rest::Blocked(threads) => self.blocked.push((index, threads)),
                Rest::Late if roster[index].process.holds_its_number()? => self.unstopped.push(index),
                Rest::Late | Rest::Never => {}
            }
        }
        Ok(somebody_rests)
    }

    fn stop_newcomers(&mut self, roster: &Roster, exempt: &Exemption) -> Result<()> {
        let newcomers = std::mem::take(&mut self.growth.new);
        newcomers.into_iter().try_for_each(|(index, state)| self.stop(roster, index, Some(state), exempt))
    }

    /// Sends STOP to a member, last seen in this state. Whoever is exempt or may not be signalled is not waited for; the KILL will say so.
    fn stop(&mut self, roster: &Roster, index: usize, state: Option<State>, exempt: &Exemption) -> Result<()> {
        let process = &roster[index].process;
        let mut got_stop = false;
        if !exempt(index, &roster[index]) {
            let ran = runs(process.pid, state)?;
            match deliver::by_pidfd(process.fd(), Signal::STOP, None, Scope::Process) {
                Delivery::Sent => {
                    got_stop = true;
                    self.ran.extend(ran.then_some(index));
                }
                Delivery::Refused(Errno::EPERM | Errno::ESRCH) => {}
                Delivery::Refused(errno) => {
                    return Err(errno).with_context(|| format!("stopping process {}", process.pid));
                }
            }
        }
        self.stopping.push_back(Stopping { index, got_stop, first_look: None });
        Ok(())
    }

    /// Continues those members that ran before and are not to stay stopped, children before their parents.
    pub fn thaw(&self, roster: &Roster, concerns: &dyn Fn(usize) -> bool) {
        for index in self.ran.iter().rev().filter(|index| concerns(**index)) {
            deliver::by_pidfd(roster[*index].process.fd(), Signal::CONT, None, Scope::Process);
        }
    }
}

impl Stopping {
    /// How it came to rest, if it has.
    fn look(&mut self, pid: Pid) -> Result<Option<Rest>> {
        if !self.got_stop {
            return Ok(Some(Rest::Never));
        }
        let is_late = self.first_look.get_or_insert_with(Instant::now).elapsed() >= PATIENCE;
        let (state, threads) = liveliest(pid)?;
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

/// Whether a process is neither stopped nor dead. The main thread can tell, unless it has exited before the others.
fn runs(pid: Pid, main_thread: Option<State>) -> Result<bool> {
    let state = match main_thread {
        Some(State::Dead) | None => liveliest(pid)?.0,
        Some(state) => state,
    };
    Ok(state > State::Stopped)
}

/// What a process does, and its threads. One that has gone is dead and has none.
fn liveliest(pid: Pid) -> Result<(State, Vec<i32>)> {
    let found = proc::if_visible(proc::liveliest(pid));
    Ok(found.with_context(|| format!("looking at the threads of process {pid}"))?.unwrap_or((State::Dead, Vec::new())))
}
