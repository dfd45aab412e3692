//! Waiting for many pidfds to one deadline: one epoll, no polling in a loop. Nothing here sends a
//! signal.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use anyhow::{Context, Error, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::find::recipients::{Recipient, RecipientId, Recipients};
use crate::find::spared::own;
use crate::os::pidfd::Pinned;
use crate::os::proc;
use crate::os::sys::HeldSignals;
use crate::signal::Signal;
use crate::signal_set::SignalSet;

/// The epoll key of interrupts; no recipient has so high an index.
const INTERRUPT: u64 = u64::MAX;
/// The epoll key of control groups.
const CONTROL_GROUP: u64 = u64::MAX - 1;
/// How many exits one call of epoll_wait(2) returns at most.
const BATCH: usize = 1024;

/// Pidfds that are waited for, each with the index of its recipient as the key.
pub struct Watch {
    epoll: Epoll,
    /// Interrupts that are pending, and those that are held back.
    interrupts: Option<(SignalFd, HeldSignals)>,
    /// So many recipients are watched, or were not present when they were reached.
    reached: usize,
}

impl Watch {
    pub fn new() -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("preparing to wait")?;
        Ok(Self {
            epoll,
            interrupts: None,
            reached: 0,
        })
    }

    /// Watches the recipients that are present and not watched yet, until their exits were
    /// reported; an error is about one of them, after which the others can be tried. One-shot: an
    /// unreaped zombie would wake a level-triggered epoll again and again.
    pub fn add_newcomers(&mut self, recipients: &Recipients) -> Result<(), (RecipientId, Error)> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT;
        for id in recipients.ids_from(self.reached) {
            self.reached += 1;
            let Recipient { process, .. } = &recipients[id];
            if recipients[id].is_present() {
                let event = EpollEvent::new(flags, id.key());
                let added = process.fd().and_then(|fd| self.epoll.add(fd, event));
                let added =
                    added.with_context(|| format!("preparing to wait for process {}", process.pid));
                added.map_err(|error| (id, error))?;
            }
        }
        Ok(())
    }

    /// Watches an exited process until it is reaped: epoll always reports EPOLLHUP.
    pub fn await_reaping(&self, id: RecipientId, process: &Pinned) -> Result<()> {
        let mut event = EpollEvent::new(EpollFlags::EPOLLONESHOT, id.key());
        let fd = process.fd();
        let changed = fd.and_then(|fd| self.epoll.modify(fd, &mut event));
        changed.with_context(|| format!("waiting for process {} to be reaped", process.pid))
    }

    /// Watches the cgroup.events of a control group. Edge-triggered: it stays readable once it has
    /// changed.
    pub fn add_control_group(&self, events: BorrowedFd) -> Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLPRI | EpollFlags::EPOLLET, CONTROL_GROUP);
        let added = self.epoll.add(events, event);
        added.context("preparing to wait for a control group")
    }

    /// Reports INT, TERM, HUP and TSTP, so that a line on the terminal can be wiped before they end
    /// this program or stop it.
    pub fn hold_interrupts(&mut self) -> Result<()> {
        let (mut set, mut mask) = (SigSet::empty(), SignalSet(0));
        // A blocked signal is queued even if it is ignored, so those that are ignored must be left
        // alone. One that was blocked before would stay pending for ever.
        if let Ok(status) = proc::status(own()) {
            let left_alone = [status.ignored, status.blocked];
            let is_open = |of: &Signal| !left_alone.iter().any(|set| set.contains(*of));
            let all = [Signal::INT, Signal::TERM, Signal::HUP, Signal::TSTP];
            for signal in all.into_iter().filter(is_open) {
                set.extend(signal.named());
                mask.insert(signal);
            }
        }
        let task = "preparing to wait for interrupts";
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC).context(task)?;
        let held = HeldSignals::only(mask).context("holding interrupts back")?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, INTERRUPT);
        self.epoll.add(&fd, event).context(task)?;
        self.interrupts = Some((fd, held));
        Ok(())
    }

    /// Lets a pending interrupt through: it ends the program here, or stops it until it is
    /// continued. Then interrupts are held again.
    pub fn let_interrupts_through(&mut self) -> Result<()> {
        self.interrupts = None;
        self.hold_interrupts()
    }

    /// Sleeps until a process exits or the deadline comes, at most 24 days; without a deadline as
    /// long as it takes. Who has exited or was reaped, each reported once; nobody if the time is
    /// over, or a control group has become empty or populated. `None` if a signal is pending that
    /// will end this program, or stop it.
    pub fn next(&self, deadline: Option<Instant>) -> Result<Option<Vec<RecipientId>>> {
        let mut events = vec![EpollEvent::empty(); BATCH];
        let count = loop {
            // In milliseconds rounded up, so that nothing is done too early.
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout = left.map_or(EpollTimeout::NONE, |left| {
                let milliseconds = left.as_nanos().div_ceil(1_000_000);
                EpollTimeout::try_from(milliseconds).unwrap_or(EpollTimeout::MAX)
            });
            match self.epoll.wait(&mut events, timeout) {
                // Being stopped and continued interrupts the wait, too.
                Err(Errno::EINTR) => {}
                woken => break woken.context("waiting")?,
            }
        };
        let keys = events[..count].iter().map(EpollEvent::data);
        if keys.clone().any(|key| key == INTERRUPT) {
            return Ok(None);
        }
        let exited = keys.filter(|key| *key != CONTROL_GROUP);
        let exited = exited.filter_map(RecipientId::from_key);
        Ok(Some(exited.collect()))
    }
}
