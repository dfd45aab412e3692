//! Internet sockets: which are on a port, from the kernel's sock_diag(7) or else from /proc/net,
//! and which of them a process holds (/proc/PID/fd). All of sigsend's own network namespace.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::num::NonZeroU16;
use std::str;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use nix::unistd;

use crate::os::directory;
use crate::os::proc;
use crate::os::procfs::{self, if_visible, number_in};
use crate::os::sys::{self, retry};
use crate::target::{Pid, Transport};

/// The number of a transport in IP packets, its name in /proc/net, and the state that makes a
/// socket a server's (tcp_states.h): LISTEN, or CLOSE, which UDP has until it is connected.
fn names(transport: Transport) -> (u8, &'static str, u8) {
    match transport {
        Transport::Unsaid | Transport::Tcp => (6, "tcp", 10),
        Transport::Udp => (17, "udp", 7),
    }
}

/// A socket that waits for clients on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    pub inode: u64,
    /// The effective user who made it.
    pub owner: u32,
}

/// The servers' sockets on a port, whatever their address.
pub fn sockets(port: NonZeroU16, transport: Transport) -> io::Result<BTreeSet<Socket>> {
    // Where a kernel or sandbox lacks sock_diag(7), any of its steps may fail in any way.
    diagnosed(port, transport).or_else(|_| listed(port, transport))
}

/// Asks the kernel for these sockets alone, so that a table of others costs nothing.
fn diagnosed(port: NonZeroU16, transport: Transport) -> io::Result<BTreeSet<Socket>> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    let mut sockets = BTreeSet::new();
    let mut answer = vec![0; 32 << 10];
    for family in [AF_INET, AF_INET6] {
        retry(|| unistd::write(&netlink, &request(port, transport, family)))?;
        loop {
            let length = retry(|| unistd::read(&netlink, &mut answer))?;
            if take(&answer[..length], &mut sockets)? {
                break;
            }
        }
    }
    Ok(sockets)
}

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// A `nlmsghdr` (netlink(7)) and an `inet_diag_req_v2` (sock_diag(7)).
fn request(port: NonZeroU16, transport: Transport, family: u8) -> Vec<u8> {
    let (protocol, _, server) = names(transport);
    let states = 1_u32 << server;
    [
        &72_u32.to_ne_bytes()[..],
        &SOCK_DIAG_BY_FAMILY.to_ne_bytes(),
        &NLM_F_REQUEST_DUMP.to_ne_bytes(),
        &[0; 8],
        &[family, protocol, 0, 0],
        &states.to_ne_bytes(),
        &port.get().to_be_bytes(),
        &[0; 46],
    ]
    .concat()
}

/// Takes the sockets (`inet_diag_msg`) from a part of the answer. Whether it is the last part.
fn take(mut answer: &[u8], sockets: &mut BTreeSet<Socket>) -> io::Result<bool> {
    while !answer.is_empty() {
        let kind = u16::from_ne_bytes(bytes(answer, 4)?);
        match kind {
            // Both carry an errno, negative.
            NLMSG_DONE | NLMSG_ERROR => match i32::from_ne_bytes(bytes(answer, 16)?) {
                0 if kind == NLMSG_DONE => return Ok(true),
                errno => return Err(io::Error::from_raw_os_error(-errno)),
            },
            SOCK_DIAG_BY_FAMILY => {
                sockets.insert(Socket {
                    owner: u32::from_ne_bytes(bytes(answer, 80)?),
                    inode: u32::from_ne_bytes(bytes(answer, 84)?).into(),
                });
            }
            _ => {}
        }
        // Each message begins at a multiple of four bytes.
        let length = usize::try_from(u32::from_ne_bytes(bytes(answer, 0)?));
        let length = length
            .map_err(io::Error::other)?
            .max(16)
            .next_multiple_of(4);
        answer = answer.get(length..).unwrap_or_default();
    }
    Ok(false)
}

fn bytes<const N: usize>(message: &[u8], at: usize) -> io::Result<[u8; N]> {
    let field = message.get(at..).and_then(|rest| rest.first_chunk());
    field
        .copied()
        .ok_or_else(|| ErrorKind::UnexpectedEof.into())
}

/// The sockets as /proc/net has them, which lists those on all ports.
fn listed(port: NonZeroU16, transport: Transport) -> io::Result<BTreeSet<Socket>> {
    let mut sockets = BTreeSet::new();
    let (_, name, server) = names(transport);
    for table in [name.to_owned(), format!("{name}6")] {
        match procfs::slurp(&format!("net/{table}")) {
            Ok(text) => {
                let rows = text.split(|byte| *byte == b'\n');
                sockets.extend(rows.filter_map(|row| in_row(row, port, server)));
            }
            // A kernel without IPv6. /proc itself must not be missing: no rows would read as
            // "nothing listens".
            Err(error) if error.kind() == ErrorKind::NotFound && table.ends_with('6') => {}
            Err(error) => {
                let what = format!("/proc/net/{table}: {error}");
                return Err(io::Error::new(error.kind(), what));
            }
        }
    }
    Ok(sockets)
}

/// The socket in a row of /proc/net/tcp or udp (proc_pid_net(5)), if it is a server's on the port.
fn in_row(row: &[u8], port: NonZeroU16, server: u8) -> Option<Socket> {
    let fields: Vec<&str> = str::from_utf8(row).ok()?.split_ascii_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let state = u8::from_str_radix(fields.get(3)?, 16).ok()?;
    let is_meant = u16::from_str_radix(local, 16) == Ok(port.get()) && state == server;
    is_meant.then_some(Socket {
        owner: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// Which of these sockets a process has a descriptor of. `PermissionDenied` if the caller may not
/// look: that takes the permission to ptrace(2) the process.
///
/// A thread may have a descriptor table of its own (unshare(2), `CLONE_FILES`), and a main thread
/// that has exited has none.
pub fn held(pid: Pid, sockets: &BTreeSet<Socket>) -> io::Result<BTreeSet<Socket>> {
    let mut held = among(&format!("{pid}/fd"), sockets)?;
    if held.len() == sockets.len() {
        return Ok(held);
    }
    let mut tables = vec![pid.number()];
    for thread in proc::threads(pid)? {
        let is_known = |table: &i32| *table == thread || sys::share_descriptors(*table, thread);
        if !tables.iter().any(is_known) {
            tables.push(thread);
            let of_thread = among(&format!("{pid}/task/{thread}/fd"), sockets);
            held.extend(if_visible(of_thread)?.unwrap_or_default());
        }
    }
    Ok(held)
}

fn among(descriptors: &str, sockets: &BTreeSet<Socket>) -> io::Result<BTreeSet<Socket>> {
    let descriptors = directory::open(procfs::root()?, descriptors)?;
    let (mut held, mut link) = (BTreeSet::new(), [0; 64]);
    directory::each_entry(&descriptors, |entry| {
        // A descriptor that was closed meanwhile is not held.
        let link = directory::read_link(&descriptors, entry.name, &mut link);
        if let Some(inode) = if_visible(link.map_err(io::Error::from))?.and_then(inode_in) {
            held.extend(sockets.iter().find(|socket| socket.inode == inode));
        }
        io::Result::Ok(())
    })?;
    Ok(held)
}

/// The inode of a socket in the link of its descriptor, `socket:[4711]`.
fn inode_in(link: &[u8]) -> Option<u64> {
    number_in(link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn links_of_descriptors_name_sockets() {
        for (link, inode) in [
            ("socket:[4711]", Some(4711)),
            ("socket:[x]", None),
            ("pipe:[4711]", None),
            ("/x", None),
        ] {
            assert_eq!(inode_in(link.as_bytes()), inode, "{link}");
        }
    }

    /// Asks the kernel in both ways.
    fn both(port: u16, transport: Transport) -> BTreeSet<Socket> {
        let port = NonZeroU16::new(port).expect("a socket is bound to a port");
        let found = diagnosed(port, transport).expect("this kernel has sock_diag(7)");
        assert_eq!(listed(port, transport).expect("/proc is mounted"), found);
        found
    }

    #[test]
    fn servers_are_found_and_clients_are_not() {
        let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = server.local_addr().expect("it is bound");
        let client = TcpStream::connect(address).expect("it listens");
        assert_eq!(both(address.port(), Transport::Tcp).len(), 1);
        let of_client = client.local_addr().expect("it is bound");
        assert_eq!(both(of_client.port(), Transport::Tcp).len(), 0);

        let server = UdpSocket::bind("[::1]:0").or_else(|_| UdpSocket::bind("127.0.0.1:0"));
        let server = server.expect("a free port");
        let address = server.local_addr().expect("it is bound");
        let found = both(address.port(), Transport::Udp);
        let socket = found.first().expect("it is bound");
        assert_eq!(socket.owner, nix::unistd::getuid().as_raw());
        let own = Pid::try_from(unistd::getpid().as_raw()).expect("a process has a PID");
        let held = held(own, &found).expect("of this process");
        assert_eq!(held, BTreeSet::from([*socket]));
        server.connect(address).expect("to itself");
        assert_eq!(both(address.port(), Transport::Udp).len(), 0);
    }
}
