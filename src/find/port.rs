//! Processes by the port that they listen on: from a port to its sockets, from these to their
//! holders.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::unistd::{getpid, getuid};

use crate::find::names::{belongs, processes};
use crate::os::net::{self, Socket};
use crate::os::pidfd::Pinned;
use crate::os::proc;
use crate::outcome::Reason;
use crate::plan::Users;
use crate::target::Pid;

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
    /// The processes of the selected users, pinned. sigsend itself is never one of them.
    pub selected: Vec<Pinned>,
    /// Why sockets or processes were passed over, if the caller should know: the target means them,
    /// or no process was selected.
    pub passed_over: Option<Reason>,
}

/// Finds who holds a listening TCP socket or a bound UDP socket on a port.
///
/// Each holder is pinned, then its socket is looked up again, on the port and among its
/// descriptors, and then it is proved alive. All processes are looked at until no new one holds
/// such a socket and no other socket is on the port, so that none is handed past the look.
pub fn holders(port: NonZeroU16, users: Users) -> Result<Holders> {
    let start = Instant::now();
    let mut selected: Vec<Pinned> = Vec::new();
    loop {
        let sockets = listed(port)?;
        let mut look = Look::default();
        let processes = if sockets.is_empty() {
            Vec::new()
        } else {
            processes()?
        };
        for pid in processes {
            look.at(pid, &sockets, users, &mut selected)?;
        }
        let is_settled = look.found == 0 && listed(port)? == sockets;
        if !is_settled && start.elapsed() < LOOKING {
            continue;
        }
        if look.unseen(&sockets, users, selected.is_empty()).is_some() && start.elapsed() < EXITING
        {
            thread::sleep(PAUSE);
            continue;
        }
        let mut holders = Vec::with_capacity(selected.len());
        for process in selected {
            if !held(process.pid, &sockets)?.is_empty() && process.is_running()? {
                holders.push(process);
            }
        }
        let passed_over = look.passed_over(&sockets, users, holders.is_empty());
        return Ok(Holders {
            selected: holders,
            passed_over,
        });
    }
}

/// One look at all processes.
#[derive(Default)]
struct Look {
    /// Processes of the selected users that were not known before.
    found: usize,
    of_others: usize,
    /// The sockets whose holders were seen.
    seen: BTreeSet<Socket>,
}

impl Look {
    fn at(
        &mut self,
        pid: Pid,
        sockets: &BTreeSet<Socket>,
        users: Users,
        selected: &mut Vec<Pinned>,
    ) -> Result<()> {
        let of_process = held(pid, sockets)?;
        self.seen.extend(&of_process);
        // sigsend can have inherited the socket that it is to look for.
        if of_process.is_empty() || pid.number() == getpid().as_raw() {
            return Ok(());
        }
        if !belongs(pid, users)? {
            self.of_others += 1;
            return Ok(());
        }
        for known in selected.iter().filter(|known| known.pid == pid) {
            if known.holds_its_number()? {
                return Ok(());
            }
        }
        let Ok(process) = Pinned::open(pid)? else {
            return Ok(());
        };
        if !held(pid, sockets)?.is_empty() && belongs(pid, users)? && process.is_running()? {
            selected.push(process);
            self.found += 1;
        }
        Ok(())
    }

    /// A socket without a visible holder that the caller should know of. It is another user's, so
    /// it is passed over in silence like the other processes of that user; unless it is the
    /// caller's own, those of all users are selected, or there is no other.
    fn unseen(&self, sockets: &BTreeSet<Socket>, users: Users, nobody: bool) -> Option<Socket> {
        let is_meant = |socket: &&Socket| users == Users::All || socket.owner == getuid().as_raw();
        let mut unseen = sockets.difference(&self.seen);
        let meant = unseen.clone().find(is_meant);
        meant
            .or_else(|| unseen.next().filter(|_| nobody && self.of_others == 0))
            .copied()
    }

    fn passed_over(self, sockets: &BTreeSet<Socket>, users: Users, nobody: bool) -> Option<Reason> {
        if let Some(socket) = self.unseen(sockets, users, nobody) {
            let owner = (socket.owner != getuid().as_raw()).then(|| proc::user_name(socket.owner));
            return Some(Reason::HolderUnseen { owner });
        }
        nobody.then_some(Reason::NotListening {
            of_others: self.of_others,
        })
    }
}

fn listed(port: NonZeroU16) -> Result<BTreeSet<Socket>> {
    net::sockets(port).with_context(|| format!("looking for the sockets on port {port}"))
}

/// Which of these sockets a process holds, as far as the caller may see.
fn held(pid: Pid, sockets: &BTreeSet<Socket>) -> Result<Vec<Socket>> {
    let held = proc::if_visible(net::held(pid, sockets));
    Ok(held
        .with_context(|| format!("looking for sockets of process {pid}"))?
        .unwrap_or_default())
}
