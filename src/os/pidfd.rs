//! A process held by a pidfd: whatever was read of it under its number was read of it, as long as it proves alive afterwards.
//! What is checked of a pinned process is `resolve`'s business.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::fstat;
use nix::sys::statfs::{FsType, fstatfs};

use crate::os::proc;
use crate::os::sys::{self, Scope};
use crate::outcome::NoProcess;
use crate::signal::Signal;
use crate::target::{Inode, Pid};

/// The file system of pidfds since Linux 6.9, on which an inode belongs to one process only (`PID_FS_MAGIC`).
const PIDFS: FsType = FsType(0x5049_4446);

/// A process and the pidfd that means it; the number is for reading /proc and for telling people.
#[derive(Debug)]
pub struct Pinned {
    pub pid: Pid,
    fd: OwnedFd,
}

/// How far the life of a pinned process has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// At least one of its threads runs.
    Running,
    /// A zombie: it has exited, and its number stays taken until its parent reaps it.
    Exited,
    /// Reaped: its number may belong to another process.
    Reaped,
}

impl Pinned {
    /// Opens a pidfd. The error is for what no process is to blame for: a kernel or sandbox without pidfds, no descriptors, no memory.
    pub fn open(pid: Pid) -> Result<Result<Self, NoProcess>> {
        let deed = || format!("pinning process {pid}");
        let mut again = true;
        loop {
            match sys::pidfd_open(pid) {
                Ok(fd) => {
                    keep_reserve(&fd).with_context(deed)?;
                    return Ok(Ok(Self { pid, fd }));
                }
                Err(Errno::ESRCH) => return Ok(Err(NoProcess::Gone)),
                Err(Errno::EINVAL | Errno::ENOENT) => match proc::process_of_thread(pid) {
                    Some(process) => return Ok(Err(NoProcess::Thread { of: Some(process) })),
                    // A dying process can give EINVAL too: look once more before believing that it is gone.
                    None if again => again = false,
                    None => return Ok(Err(NoProcess::Gone)),
                },
                Err(errno @ (Errno::ENOSYS | Errno::EPERM)) => {
                    let why = "this kernel or sandbox has no pidfds, only plain PIDs with one signal work";
                    return Err(errno).context(why).with_context(deed);
                }
                Err(errno) => return Err(errno).with_context(deed),
            }
        }
    }

    pub fn life(&self) -> Result<Life> {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        retry(|| poll(&mut fds, PollTimeout::ZERO)).with_context(|| format!("polling process {}", self.pid))?;
        let seen = fds[0].revents().unwrap_or(PollFlags::empty());
        if seen.contains(PollFlags::POLLHUP) {
            return Ok(Life::Reaped);
        }
        if !seen.contains(PollFlags::POLLIN) {
            return Ok(Life::Running);
        }
        // Kernels before 6.9 do not say POLLHUP, but a reaped process takes no signal.
        let reaped = sys::pidfd_send_signal(self.fd(), Signal::NULL, None, Scope::Process) == Err(Errno::ESRCH);
        Ok(if reaped { Life::Reaped } else { Life::Exited })
    }

    /// Whether the number still means this process, so that what was read under it since it was pinned was read of it.
    pub fn holds_its_number(&self) -> Result<bool> {
        self.life().map(|life| life != Life::Reaped)
    }

    /// The inode of the pidfd, which no other process has until the next boot.
    pub fn inode(&self) -> Result<Inode> {
        let pid = self.pid;
        let deed = || format!("reading the pidfd inode of process {pid}");
        if retry(|| fstatfs(&self.fd)).with_context(deed)?.filesystem_type() != PIDFS {
            bail!("{}: pidfd inodes are not unique on this kernel, PID:INODE needs Linux 6.9", deed());
        }
        retry(|| fstat(&self.fd)).map(|stat| Inode::new(stat.st_ino)).with_context(deed)
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Calls again whatever a signal interrupted.
pub fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Descriptors that pidfds leave alone: for /proc, an epoll and a signalfd, so that reading never fails for want of one, which would
/// read as if there were nothing to be read.
const RESERVE: u64 = 8;

/// Sees to it that there is room above a new descriptor; raises the soft limit of open files to the hard one for it if need be.
fn keep_reserve(fd: &OwnedFd) -> Result<()> {
    static LIMIT: AtomicU64 = AtomicU64::new(0);
    let needed = u64::try_from(fd.as_raw_fd()).unwrap_or(u64::MAX).saturating_add(RESERVE);
    if needed < LIMIT.load(Ordering::Relaxed) {
        return Ok(());
    }
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("reading the limit of open files")?;
    let limit = if needed < soft { soft } else { hard };
    if limit > soft {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("raising the limit of open files")?;
    }
    LIMIT.store(limit, Ordering::Relaxed);
    if needed < limit { Ok(()) } else { bail!("too many processes for the limit of {limit} open files (ulimit -Hn)") }
}
