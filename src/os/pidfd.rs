//! A process pinned by a pidfd. What was read by its PID is true of it if it still holds the PID
//! afterwards. `find` decides what is checked.

use std::collections::TryReserveError;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal;
use nix::sys::stat::fstat;
use nix::sys::statfs::{FsType, fstatfs};

use crate::os::proc;
use crate::os::sys::{self, Scope, retry};
use crate::outcome::NoProcess;
use crate::signal::Signal;
use crate::target::{Inode, Pid};

/// The file system of pidfds since Linux 6.9, whose inodes are unique until the next boot
/// (`PID_FS_MAGIC`).
const PIDFS: FsType = FsType(0x5049_4446);

/// A process and its pidfd. The PID is for reading /proc and for messages.
#[derive(Debug)]
pub struct Pinned {
    pub pid: Pid,
    /// `None` after [`Self::release`].
    fd: Option<OwnedFd>,
}

/// Liveness of a pinned process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// At least one of its threads runs.
    Running,
    /// A zombie: its PID stays taken until its parent reaps it.
    Exited,
    /// Reaped: its PID may belong to another process.
    Reaped,
}

impl Pinned {
    /// Opens a pidfd (pidfd_open(2)). The outer error is one that no process causes: a kernel or
    /// sandbox without pidfds, no descriptors, no memory.
    pub fn open(pid: Pid) -> Result<Result<Self, NoProcess>> {
        let task = || format!("pinning process {pid}");
        let mut tries = 0;
        loop {
            match sys::pidfd_open(pid) {
                Ok(fd) => {
                    keep_reserve(&fd).with_context(task)?;
                    return Ok(Ok(Self { pid, fd: Some(fd) }));
                }
                Err(Errno::ESRCH) => return Ok(Err(NoProcess::Gone)),
                Err(Errno::EINVAL | Errno::ENOENT) => {
                    if let Some(process) = proc::process_of_thread(pid) {
                        return Ok(Err(NoProcess::Thread { of: Some(process) }));
                    }
                    // A dying process can give EINVAL, too. If /proc does not tell, kill(2) tells a
                    // live thread from a free number.
                    if signal::kill(pid.process(), None) == Err(Errno::ESRCH) {
                        return Ok(Err(NoProcess::Gone));
                    }
                    tries += 1;
                    if tries > 3 {
                        return Ok(Err(NoProcess::Thread { of: None }));
                    }
                }
                Err(errno @ (Errno::ENOSYS | Errno::EPERM)) => {
                    let why = "this kernel or sandbox has no pidfds, only plain PIDs with one signal work";
                    return Err(errno).context(why).with_context(task);
                }
                Err(errno) => return Err(errno).with_context(task),
            }
        }
    }

    pub fn life(&self) -> Result<Life> {
        let Ok(fd) = self.fd() else {
            return Ok(Life::Reaped);
        };
        let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
        retry(|| poll(&mut fds, PollTimeout::ZERO))
            .with_context(|| format!("polling process {}", self.pid))?;
        let seen = fds[0].revents().unwrap_or(PollFlags::empty());
        if seen.contains(PollFlags::POLLHUP) {
            return Ok(Life::Reaped);
        }
        if !seen.contains(PollFlags::POLLIN) {
            return Ok(Life::Running);
        }
        // Kernels before 6.9 give no POLLHUP, but a reaped process takes no signal.
        let reaped = self.probe() == Err(Errno::ESRCH);
        Ok(if reaped { Life::Reaped } else { Life::Exited })
    }

    pub fn is_running(&self) -> Result<bool> {
        Ok(self.life()? == Life::Running)
    }

    /// Whether the process may be signalled: the null signal through its pidfd.
    pub fn probe(&self) -> nix::Result<()> {
        sys::pidfd_send_signal(self.fd()?, Signal::NULL, None, Scope::Process)
    }

    /// Whether the process group with this PID as its number has members, zombies included; `None`
    /// if the kernel cannot tell (before 6.9). True of the group even after its leader was reaped,
    /// and false once the number has been reused.
    pub fn leads_a_group(&self) -> Option<bool> {
        let fd = self.fd().ok()?;
        match sys::pidfd_send_signal(fd, Signal::NULL, None, Scope::Group) {
            Ok(()) | Err(Errno::EPERM) => Some(true),
            Err(Errno::ESRCH) => Some(false),
            Err(_) => None,
        }
    }

    /// Whether the PID still belongs to this process, so that what was read by PID since it was
    /// pinned is true of this process.
    pub fn holds_its_number(&self) -> Result<bool> {
        self.life().map(|life| life != Life::Reaped)
    }

    /// The inode of the pidfd, which no other process has until the next boot (Linux 6.9).
    pub fn inode(&self) -> Result<Inode> {
        let pid = self.pid;
        let task = || format!("reading the pidfd inode of process {pid}");
        if retry(|| fstatfs(self.fd()?))
            .with_context(task)?
            .filesystem_type()
            != PIDFS
        {
            bail!(
                "{}: pidfd inodes are not unique on this kernel, PID:INODE needs Linux 6.9",
                task()
            );
        }
        retry(|| fstat(self.fd()?))
            .map(|stat| Inode::new(stat.st_ino))
            .with_context(task)
    }

    /// The pidfd; ESRCH after [`Self::release`].
    pub fn fd(&self) -> nix::Result<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd).ok_or(Errno::ESRCH)
    }

    /// Closes the pidfd of a process that has exited and that nothing more will be asked about. The
    /// process counts as reaped from now on.
    pub fn release(&mut self) {
        self.fd = None;
    }
}

/// Descriptors kept free for /proc, an epoll and a signalfd: EMFILE on a file of /proc would read
/// as "no such process".
const RESERVE: u64 = 8;

/// Checks that [`RESERVE`] descriptors are left above a new one; raises the soft limit of open
/// files to the hard limit if need be.
fn keep_reserve(fd: &OwnedFd) -> Result<()> {
    static LIMIT: AtomicU64 = AtomicU64::new(0);
    let needed = u64::try_from(fd.as_raw_fd())
        .unwrap_or(u64::MAX)
        .saturating_add(RESERVE);
    if needed < LIMIT.load(Ordering::Relaxed) {
        return Ok(());
    }
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).context("reading the limit of open files")?;
    let limit = if needed < soft { soft } else { hard };
    if limit > soft {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
            .context("raising the limit of open files")?;
    }
    LIMIT.store(limit, Ordering::Relaxed);
    if needed < limit {
        return Ok(());
    }
    Err(Errno::EMFILE).with_context(|| {
        format!("too many processes for the limit of {limit} open files (ulimit -Hn)")
    })
}

/// Whether an error means that there are no descriptors or no memory left for what was tried.
pub fn is_exhaustion(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let of_io = || {
            cause
                .downcast_ref::<io::Error>()?
                .raw_os_error()
                .map(Errno::from_raw)
        };
        let errno = cause.downcast_ref().copied().or_else(of_io);
        matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM))
            || cause.is::<TryReserveError>()
    })
}
