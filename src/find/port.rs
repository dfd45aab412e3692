//! Processes by the port that they listen on: from a port to its sockets, from these to their
//! holders.

use std::collections::BTreeSet;
use std::mem;
use std::num::{NonZero, NonZeroU16};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::unistd::getuid;

use crate::event::{Nobody, Reason};
use crate::find::filter::{Rules, Verdict, Way};
use crate::find::names::processes;
use crate::find::spared::own;
use crate::os::net::{self, Socket};
use crate::os::pidfd::Pinned;
use crate::os::proc;
use crate::plan::Users;
use crate::target::{Pid, Transport};

/// How long new holders are looked for, to which a server may hand its socket meanwhile. A server
/// that forks without end would be looked at for ever.
const LOOKING: Duration = Duration::from_secs(1);

/// How long a socket without a visible holder may stay on its port before it is reported: a process
/// that exits has no descriptors in /proc any more when its sockets are released.
const EXITING: Duration = Duration::from_millis(100);

/// The pause between two looks at such a socket.
const PAUSE: Duration = Duration::from_millis(5);

/// How many processes are worth a thread that looks at their descriptors.
const SHARE: usize = 250;

/// Who holds the sockets on a port, as far as it was seen.
pub struct Holders<'a> {
    rules: &'a Rules<'a>,
    port: NonZeroU16,
    transport: Transport,
    sockets: BTreeSet<Socket>,
    /// The processes of the selected users, pinned, and what was decided about each.
    pub selected: Vec<(Pinned, Verdict)>,
    /// Holders of other users.
    others: BTreeSet<Pid>,
    /// The sockets whose holders were seen.
    seen: BTreeSet<Socket>,
}

impl<'a> Holders<'a> {
    /// Finds who holds a listening TCP socket, or a bound and unconnected UDP socket, on a port.
    ///
    /// Each holder is pinned, then its socket is looked up again among its descriptors. One pass
    /// over all processes is enough to be true of the moment when it began, if each socket was seen
    /// in somebody's hand and is on the port still; processes that have appeared since are looked
    /// at, too, so that no socket is handed past the look.
    pub fn find(port: NonZeroU16, transport: Transport, rules: &'a Rules<'a>) -> Result<Self> {
        let start = Instant::now();
        let mut holders = Self {
            rules,
            port,
            transport,
            sockets: listed(port, transport)?,
            selected: Vec::new(),
            others: BTreeSet::new(),
            seen: BTreeSet::new(),
        };
        let mut known: BTreeSet<Pid> = BTreeSet::new();
        while !holders.sockets.is_empty() {
            let mut newer = processes()?;
            newer.retain(|pid| known.insert(*pid));
            let mut owned = Vec::new();
            for pid in &newer {
                // Another user's process may have a hundred thousand descriptors.
                if rules.may_own(*pid)? {
                    owned.push(*pid);
                }
            }
            holders.look_at(&owned)?;
            let sockets = listed(port, transport)?;
            let before = mem::replace(&mut holders.sockets, sockets);
            let is_same = before == holders.sockets;
            let is_late = start.elapsed() >= LOOKING;
            // A new socket may be in anybody's hand.
            if !is_same {
                known.clear();
            }
            if (!is_same || !newer.is_empty()) && !is_late {
                continue;
            }
            // One that has let go of its socket may have handed it to a process that was looked at.
            if holders.drop_former()? && !is_late {
                holders.seen.clear();
                known.clear();
                continue;
            }
            // Nobody is selected, or a socket is in nobody's hand: do others hold it?
            if holders.selected.is_empty() || holders.unseen().is_some() {
                holders.look_at(&processes()?)?;
            }
            if holders.unseen().is_none() || start.elapsed() >= EXITING {
                break;
            }
            thread::sleep(PAUSE);
            known.clear();
        }
        if holders.sockets.is_empty() {
            holders.selected.clear();
        }
        Ok(holders)
    }

    fn look_at(&mut self, pids: &[Pid]) -> Result<()> {
        let holders = holders_among(pids, &self.sockets)?;
        let mut holders = holders.iter();
        holders.try_for_each(|(pid, held)| self.take(*pid, held))
    }

    /// Takes in a process that held these sockets when it was looked at.
    fn take(&mut self, pid: Pid, held: &BTreeSet<Socket>) -> Result<()> {
        // sigsend can have inherited the socket that it is to look for.
        let mut is_known = pid == own();
        for (known, _) in self.selected.iter().filter(|(known, _)| known.pid == pid) {
            is_known |= known.still_has_pid()?;
        }
        if !is_known {
            let judge = |process: &Pinned| {
                let is_holder = is_holder(process, &self.sockets)?;
                let verdict = self.rules.judge(process, Way::Port, |_| Ok(is_holder))?;
                let is_other = verdict.is_none()
                    && !self.rules.is_owned(process)?
                    && self.rules.fails(process, Way::Port)?.is_none();
                Ok(is_holder.then_some((verdict, is_other)))
            };
            match Pinned::open_if(pid, judge)?.process() {
                Some((process, Some((Some(verdict), _)))) => self.selected.push((process, verdict)),
                Some((_, Some((None, true)))) => _ = self.others.insert(pid),
                Some((_, Some((None, false)))) => {}
                // The socket may be in somebody else's hand by now.
                _ => return Ok(()),
            }
        }
        self.seen.extend(held);
        Ok(())
    }

    /// A socket without a visible holder that the caller should know of. It is another user's, so
    /// it is passed over in silence like the other processes of that user; unless it is the
    /// caller's own, those of all users are selected, or there is no other.
    fn unseen(&self) -> Option<Socket> {
        let is_all = self.rules.plan.selection.users == Users::All;
        let is_meant = |socket: &&Socket| is_all || socket.owner == getuid().as_raw();
        let mut unseen = self.sockets.difference(&self.seen);
        let meant = unseen.clone().find(is_meant);
        let nobody = self.selected.is_empty() && self.others.is_empty();
        meant.or_else(|| unseen.next().filter(|_| nobody)).copied()
    }

    /// Forgets those that hold none of the sockets any more; whether there was one.
    fn drop_former(&mut self) -> Result<bool> {
        let known = self.selected.len();
        for (process, verdict) in mem::take(&mut self.selected) {
            if is_holder(&process, &self.sockets)? {
                self.selected.push((process, verdict));
            }
        }
        Ok(self.selected.len() < known)
    }

    /// Why sockets or processes were passed over, if the caller should know: the target means them,
    /// or nobody was selected.
    pub fn passed_over(&self) -> Result<Option<Reason>> {
        if let Some(socket) = self.unseen() {
            let owner = (socket.owner != getuid().as_raw()).then(|| proc::user_name(socket.owner));
            return Ok(Some(Reason::HolderUnseen { owner }));
        }
        if !self.selected.is_empty() {
            return Ok(None);
        }
        if self.others.is_empty() && !self.sockets.is_empty() {
            let hidden = self.rules.unclear.get();
            return Ok(Some(Reason::Nobody(Nobody {
                hidden,
                ..Nobody::default()
            })));
        }
        let other = match self.transport {
            Transport::Unsaid | Transport::Tcp => Transport::Udp,
            Transport::Udp => Transport::Tcp,
        };
        Ok(Some(Reason::NotListening {
            of_others: self.others.len(),
            other_protocol: !listed(self.port, other)?.is_empty(),
        }))
    }
}

/// The processes that hold any of the sockets, and which. Each descriptor is a system call, so that
/// thousands of processes are shared out among the processors.
fn holders_among(pids: &[Pid], sockets: &BTreeSet<Socket>) -> Result<Vec<(Pid, BTreeSet<Socket>)>> {
    let look = |pids: &[Pid]| -> Result<Vec<_>> {
        let mut holders = Vec::new();
        for pid in pids {
            let held = held(*pid, sockets)?;
            if !held.is_empty() {
                holders.push((*pid, held));
            }
        }
        Ok(holders)
    };
    let threads = match pids.len() / SHARE {
        0 | 1 => 1,
        threads => threads.min(thread::available_parallelism().map_or(1, NonZero::get)),
    };
    let mut parts = pids.chunks(pids.len().div_ceil(threads).max(1));
    let own = parts.next().unwrap_or_default();
    thread::scope(|scope| {
        let spawned = parts.map(|part| {
            // Without room for a thread, it is done here.
            let thread = thread::Builder::new().spawn_scoped(scope, move || look(part));
            (part, thread)
        });
        let spawned: Vec<_> = spawned.collect();
        let mut holders = look(own)?;
        for (part, thread) in spawned {
            holders.extend(match thread.map(ScopedJoinHandle::join) {
                Ok(Ok(found)) => found?,
                _ => look(part)?,
            });
        }
        Ok(holders)
    })
}

/// Whether a pinned process lives and holds one of the sockets.
fn is_holder(process: &Pinned, sockets: &BTreeSet<Socket>) -> Result<bool> {
    Ok(!held(process.pid, sockets)?.is_empty() && process.is_running()?)
}

fn listed(port: NonZeroU16, transport: Transport) -> Result<BTreeSet<Socket>> {
    let sockets = net::sockets(port, transport);
    sockets.with_context(|| format!("looking for the sockets on port {port}"))
}

/// Which of these sockets a process holds, as far as the caller may see.
fn held(pid: Pid, sockets: &BTreeSet<Socket>) -> Result<BTreeSet<Socket>> {
    let held = proc::if_visible(net::held(pid, sockets));
    let held = held.with_context(|| format!("looking for sockets of process {pid}"))?;
    Ok(held.unwrap_or_default())
}
