//! Processes by the port that they listen on: from a port to its sockets, from these to their
//! holders.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::unistd::getuid;

use crate::event::Reason;
use crate::find::filter::{Rules, Verdict, Way};
use crate::find::names::processes;
use crate::find::spared::own;
use crate::os::net::{self, Socket};
use crate::os::pidfd::{Opened, Pinned};
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

/// Who holds the sockets on a port.
pub struct Holders {
    /// The processes of the selected users, pinned, and what was decided about each.
    pub selected: Vec<(Pinned, Verdict)>,
    /// Why sockets or processes were passed over, if the caller should know: the target means them,
    /// or nobody was selected.
    pub passed_over: Option<Reason>,
}

/// Finds who holds a listening TCP socket, or a bound and unconnected UDP socket, on a port.
///
/// Each holder is pinned, then its socket is looked up again among its descriptors. One pass over
/// all processes is enough to be true of the moment when it began, if each socket was seen in
/// somebody's hand and is on the port still; processes that have appeared since are looked at, too,
/// so that no socket is handed past the look.
pub fn holders(port: NonZeroU16, transport: Transport, rules: &Rules) -> Result<Holders> {
    let start = Instant::now();
    let mut look = Look {
        rules,
        selected: Vec::new(),
        others: BTreeSet::new(),
        seen: BTreeSet::new(),
    };
    let mut known: BTreeSet<Pid> = BTreeSet::new();
    let mut sockets = listed(port, transport)?;
    loop {
        let mut newer = if sockets.is_empty() {
            Vec::new()
        } else {
            processes()?
        };
        newer.retain(|pid| known.insert(*pid));
        for pid in &newer {
            // Another user's process may have a hundred thousand descriptors.
            if rules.may_own(*pid)? {
                look.at(*pid, &sockets)?;
            }
        }
        let before = std::mem::replace(&mut sockets, listed(port, transport)?);
        let is_same = before == sockets;
        if (!is_same || !newer.is_empty()) && !sockets.is_empty() && start.elapsed() < LOOKING {
            // A new socket may be in anybody's hand.
            if !is_same {
                known.clear();
            }
            continue;
        }
        // One that has let go of its socket may have handed it to a process that was looked at.
        if look.drop_former(&sockets)? && start.elapsed() < LOOKING {
            look.seen.clear();
            known.clear();
            continue;
        }
        // Nobody is selected, or a socket is in nobody's hand: do others hold it?
        let is_open = look.selected.is_empty() || look.unseen(&sockets).is_some();
        if is_open && !sockets.is_empty() {
            for pid in processes()? {
                look.at(pid, &sockets)?;
            }
        }
        if look.unseen(&sockets).is_some() && start.elapsed() < EXITING {
            thread::sleep(PAUSE);
            known.clear();
            continue;
        }
        return look.finish(&sockets, port, transport);
    }
}

/// What was seen of the processes so far.
struct Look<'a> {
    rules: &'a Rules<'a>,
    selected: Vec<(Pinned, Verdict)>,
    /// Holders of other users.
    others: BTreeSet<Pid>,
    /// The sockets whose holders were seen.
    seen: BTreeSet<Socket>,
}

impl Look<'_> {
    fn at(&mut self, pid: Pid, sockets: &BTreeSet<Socket>) -> Result<()> {
        let of_process = held(pid, sockets)?;
        self.seen.extend(&of_process);
        // sigsend can have inherited the socket that it is to look for.
        if of_process.is_empty() || pid == own() {
            return Ok(());
        }
        for (known, _) in self.selected.iter().filter(|(known, _)| known.pid == pid) {
            if known.still_has_pid()? {
                return Ok(());
            }
        }
        let objection = |process: &Pinned| Ok(Verdict::unless(holds(process, sockets)?));
        match self.rules.open_judged(pid, Way::Port, objection)? {
            Opened::Process(process, Verdict::NotMeant) => {
                if !self.rules.is_owned(&process)? {
                    self.others.insert(pid);
                }
            }
            Opened::Process(process, verdict) => self.selected.push((process, verdict)),
            Opened::Absent(_) => {}
        }
        Ok(())
    }

    /// A socket without a visible holder that the caller should know of. It is another user's, so
    /// it is passed over in silence like the other processes of that user; unless it is the
    /// caller's own, those of all users are selected, or there is no other.
    fn unseen(&self, sockets: &BTreeSet<Socket>) -> Option<Socket> {
        let is_all = self.rules.plan.selection.users == Users::All;
        let is_meant = |socket: &&Socket| is_all || socket.owner == getuid().as_raw();
        let mut unseen = sockets.difference(&self.seen);
        let meant = unseen.clone().find(is_meant);
        let nobody = self.selected.is_empty() && self.others.is_empty();
        meant.or_else(|| unseen.next().filter(|_| nobody)).copied()
    }

    /// Forgets those that hold none of the sockets any more; whether there was one.
    fn drop_former(&mut self, sockets: &BTreeSet<Socket>) -> Result<bool> {
        let known = self.selected.len();
        for (process, verdict) in std::mem::take(&mut self.selected) {
            if holds(&process, sockets)? {
                self.selected.push((process, verdict));
            }
        }
        Ok(self.selected.len() < known)
    }

    /// Those that were selected, and why others were passed over.
    fn finish(
        self,
        sockets: &BTreeSet<Socket>,
        port: NonZeroU16,
        transport: Transport,
    ) -> Result<Holders> {
        let passed_over = if let Some(socket) = self.unseen(sockets) {
            let owner = (socket.owner != getuid().as_raw()).then(|| proc::user_name(socket.owner));
            Some(Reason::HolderUnseen { owner })
        } else if self.selected.is_empty() {
            let other = match transport {
                Transport::Unsaid | Transport::Tcp => Transport::Udp,
                Transport::Udp => Transport::Tcp,
            };
            Some(Reason::NotListening {
                of_others: self.others.len(),
                other_protocol: !listed(port, other)?.is_empty(),
            })
        } else {
            None
        };
        Ok(Holders {
            selected: self.selected,
            passed_over,
        })
    }
}

/// Whether a pinned process lives and holds one of the sockets.
fn holds(process: &Pinned, sockets: &BTreeSet<Socket>) -> Result<bool> {
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
