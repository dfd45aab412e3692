//! Internet sockets as /proc shows them: who listens on a port (/proc/net), and which sockets a
//! process holds (/proc/PID/fd). Both speak of sigsend's own network namespace only.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::num::NonZeroU16;
use std::path::Path;

use procfs_core::net::{TcpNetEntries, TcpState, UdpNetEntries};
use procfs_core::{ExplicitSystemInfo, FromReadSI};

use crate::os::proc;
use crate::target::Pid;

/// A listening TCP socket or a bound UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    pub inode: u64,
    /// The effective user who made it.
    pub owner: u32,
}

/// The sockets on a port, whatever their address.
pub fn sockets(port: NonZeroU16) -> io::Result<BTreeSet<Socket>> {
    let port = port.get();
    let mut sockets = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let rows = read::<TcpNetEntries>(table)?
            .map(|table| table.0)
            .unwrap_or_default();
        let rows = rows
            .into_iter()
            .filter(|row| row.state == TcpState::Listen && row.local_address.port() == port);
        sockets.extend(rows.map(|row| Socket {
            inode: row.inode,
            owner: row.uid,
        }));
    }
    for table in ["udp", "udp6"] {
        let rows = read::<UdpNetEntries>(table)?
            .map(|table| table.0)
            .unwrap_or_default();
        let rows = rows
            .into_iter()
            .filter(|row| row.local_address.port() == port);
        sockets.extend(rows.map(|row| Socket {
            inode: row.inode,
            owner: row.uid,
        }));
    }
    Ok(sockets)
}

/// A table of /proc/net; `None` for IPv6 where the kernel has none. /proc itself must not be
/// missing: no rows would read as "nothing listens".
fn read<T: FromReadSI>(table: &str) -> io::Result<Option<T>> {
    // Only the byte order matters for these tables.
    let system = ExplicitSystemInfo {
        boot_time_secs: 0,
        ticks_per_second: 0,
        page_size: 0,
        is_little_endian: cfg!(target_endian = "little"),
    };
    let path = format!("/proc/net/{table}");
    let text = match proc::slurp(Path::new(&path)) {
        Err(error) if error.kind() == ErrorKind::NotFound && table.ends_with('6') => {
            return Ok(None);
        }
        text => text.map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?,
    };
    T::from_read(&*text, &system)
        .map(Some)
        .map_err(io::Error::other)
}

/// Which of these sockets a process has a descriptor of. `PermissionDenied` if the caller may not
/// look: that takes the permission to ptrace(2) the process.
pub fn held(pid: Pid, sockets: &BTreeSet<Socket>) -> io::Result<Vec<Socket>> {
    let held = among(&proc::path(pid, "fd")?, sockets)?;
    // A main thread that has exited holds nothing, whatever the other threads do.
    if held.is_empty() && proc::is_zombie(pid) {
        for thread in proc::threads(pid)? {
            let held = proc::if_visible(among(
                &proc::path(pid, &format!("task/{thread}/fd"))?,
                sockets,
            ))?;
            if let Some(held) = held.filter(|held| !held.is_empty()) {
                return Ok(held);
            }
        }
    }
    Ok(held)
}

fn among(directory: &Path, sockets: &BTreeSet<Socket>) -> io::Result<Vec<Socket>> {
    let mut held = Vec::new();
    for entry in fs::read_dir(directory)? {
        // A descriptor that was closed meanwhile is not held.
        let Some(link) = proc::if_visible(entry?.path().read_link())? else {
            continue;
        };
        let Some(inode) = link.to_str().and_then(inode_in) else {
            continue;
        };
        held.extend(sockets.iter().find(|socket| socket.inode == inode));
    }
    Ok(held)
}

/// The inode of a socket in the link of its descriptor, `socket:[4711]`.
fn inode_in(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_descriptors_name_sockets() {
        for (link, inode) in [
            ("socket:[4711]", Some(4711)),
            ("socket:[x]", None),
            ("pipe:[4711]", None),
            ("/x", None),
        ] {
            assert_eq!(inode_in(link), inode, "{link}");
        }
    }
}
