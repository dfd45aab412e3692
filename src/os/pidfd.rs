//! A process pinned by a pidfd. What was read by its PID is true of it if it still holds the PID
//! afterwards. `find` decides what is checked.

use std::collections::TryReserveError;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc::{self, c_uint, pidfd_info};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal;
use nix::sys::statfs::{FsType, fstatfs};

use crate::event::{Ending, NoProcess, errno_of};
use crate::os::proc::{self, State};
use crate::os::sys::{self, Scope, retry};
use crate::signal::Signal;
use crate::target::{Inode, Pid};

/// The file system of pidfds since Linux 6.9, whose inodes are unique until the next boot, and
/// which tells when a process was reaped (`PID_FS_MAGIC`).
const PIDFS: FsType = FsType(0x5049_4446);

/// A process and its pidfd. The PID is for reading /proc and for messages.
#[derive(Debug)]
pub struct Pinned {
    pub pid: Pid,
    /// `None` after [`Self::release`].
    fd: Option<File>,
}

/// Liveness of a pinned process. Where the kernel does not tell, nothing is known: the process may
/// still run, and what was read by its PID may be another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// At least one of its threads runs.
    Running,
    /// A zombie: its PID stays taken until its parent reaps it.
    Exited,
    /// Reaped: its PID may belong to another process.
    Reaped,
}

/// What [`Pinned::open_if`] found under a PID.
pub enum Opened<V> {
    Process(Pinned, V),
    Absent(NoProcess),
}

impl<V> Opened<V> {
    pub fn process(self) -> Option<(Pinned, V)> {
        match self {
            Self::Process(process, value) => Some((process, value)),
            Self::Absent(_) => None,
        }
    }
}

impl Pinned {
    /// Pins the process that has a PID, runs `check`, which reads by PID, and asks last whether the
    /// PID is still the process's own, so that the value is true of it.
    ///
    /// An error is one that no process causes: a kernel or sandbox without pidfds, no descriptors,
    /// no memory; or it is `check`'s.
    pub fn open_if<V>(pid: Pid, check: impl FnOnce(&Self) -> Result<V>) -> Result<Opened<V>> {
        let process = match Self::open(pid)? {
            Opened::Process(process, ()) => process,
            Opened::Absent(absent) => return Ok(Opened::Absent(absent)),
        };
        let value = check(&process);
        Ok(if process.still_has_pid()? {
            Opened::Process(process, value?)
        } else {
            Opened::Absent(NoProcess::Gone)
        })
    }

    /// Opens a pidfd (pidfd_open(2)).
    fn open(pid: Pid) -> Result<Opened<()>> {
        let task = || format!("pinning process {pid}");
        for _ in 0..4 {
            match sys::pidfd_open(pid) {
                Ok(fd) => {
                    keep_reserve(&fd).with_context(task)?;
                    let fd = Some(fd.into());
                    return Ok(Opened::Process(Self { pid, fd }, ()));
                }
                Err(Errno::ESRCH) => return Ok(Opened::Absent(NoProcess::Gone)),
                Err(Errno::EINVAL | Errno::ENOENT) => {}
                Err(errno @ (Errno::ENOSYS | Errno::EPERM)) => {
                    let why = "this kernel or sandbox has no pidfds, only plain PIDs with one signal work";
                    return Err(errno).context(why).with_context(task);
                }
                Err(errno) => return Err(errno).with_context(task),
            }
            if let Some(process) = proc::process_of_thread(pid) {
                return Ok(Opened::Absent(NoProcess::Thread { of: Some(process) }));
            }
            // A dying process can give EINVAL, too. If /proc does not tell, kill(2) tells a live
            // thread from a free number.
            if signal::kill(pid.process(), None) == Err(Errno::ESRCH) {
                return Ok(Opened::Absent(NoProcess::Gone));
            }
        }
        Ok(Opened::Absent(NoProcess::Thread { of: None }))
    }

    pub fn life(&self) -> Result<Life> {
        static TELLS_REAPED: OnceLock<bool> = OnceLock::new();
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
        let tells_reaped = *TELLS_REAPED.get_or_init(|| is_of_pidfs(fd).unwrap_or(false));
        let is_reaped = !tells_reaped && self.probe() == Err(Errno::ESRCH);
        Ok(if is_reaped {
            Life::Reaped
        } else {
            Life::Exited
        })
    }

    pub fn is_running(&self) -> Result<bool> {
        Ok(self.life()? == Life::Running)
    }

    /// Sends a signal through the pidfd, with a value as by sigqueue(3).
    pub fn signal(&self, signal: Signal, value: Option<i32>) -> nix::Result<()> {
        sys::pidfd_send_signal(self.fd()?, signal, value, Scope::Process)
    }

    /// Whether the process may be signalled.
    pub fn probe(&self) -> nix::Result<()> {
        self.signal(Signal::NULL, None)
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

    /// The real user, without a look at the memory of the process: from the pidfd, else from
    /// /proc. `None` if the process has gone or is hidden.
    pub fn real_user(&self) -> Result<Option<u32>> {
        let user = match self.info(libc::PIDFD_INFO_CREDS) {
            Ok(info) => return Ok(Some(info.ruid)),
            Err(Errno::ESRCH) => return Ok(None),
            Err(_) => proc::if_visible(proc::status(self.pid)),
        };
        let user = user.with_context(|| format!("looking for the owner of {}", self.pid))?;
        Ok(user.map(|status| status.real_user))
    }

    /// The PID of the parent, in the same way; 0 if it is in another PID namespace.
    pub fn parent(&self) -> io::Result<Option<i32>> {
        match self.info(libc::PIDFD_INFO_PID) {
            Ok(info) => Ok(i32::try_from(info.ppid).ok()),
            Err(Errno::ESRCH) => Ok(None),
            Err(_) => Ok(proc::if_visible(proc::stat(self.pid))?.map(|stat| stat.parent)),
        }
    }

    fn info(&self, wanted: c_uint) -> nix::Result<pidfd_info> {
        sys::info(self.fd()?, wanted)
    }

    /// How it ended, child or not: from the pidfd after it was reaped (Linux 6.15), from /proc
    /// before. `None` if it cannot be told, or not before it is reaped.
    pub fn ending(&self) -> Option<Ending> {
        let reaped = self.info(libc::PIDFD_INFO_EXIT);
        let status = reaped.map_or_else(|_| self.zombie_status(), |info| Some(info.exit_code));
        status.map(Ending::from_wait_status)
    }

    /// The wait status of a zombie, which reads 0 if the caller may not ptrace(2) the process.
    /// Another file with the same protection shows it: /proc/PID/exe gives ENOENT if the caller
    /// may, and EACCES if not.
    fn zombie_status(&self) -> Option<i32> {
        let stat = proc::stat(self.pid).ok()?;
        if stat.state != State::Dead {
            return None;
        }
        let may_see = proc::executable(self.pid)
            .is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT));
        let is_zombie = self.life().ok()? == Life::Exited;
        (may_see && is_zombie).then_some(stat.wait_status)
    }

    /// Whether the PID still belongs to this process, so that what was read by PID since it was
    /// pinned is true of this process.
    pub fn still_has_pid(&self) -> Result<bool> {
        self.life().map(|life| life != Life::Reaped)
    }

    /// The inode of the pidfd, which no other process has until the next boot (Linux 6.9).
    pub fn inode(&self) -> Result<Inode> {
        let task = || format!("reading the pidfd inode of process {}", self.pid);
        let file = self.fd.as_ref().ok_or(Errno::ESRCH).with_context(task)?;
        if !is_of_pidfs(file).with_context(task)? {
            bail!(
                "{}: pidfd inodes are not unique on this kernel, PID:INODE needs Linux 6.9",
                task()
            );
        }
        // std's number has 64 bits everywhere.
        let inode = file.metadata().with_context(task)?.ino();
        Ok(Inode(inode))
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

fn is_of_pidfs(fd: impl AsFd) -> nix::Result<bool> {
    Ok(retry(|| fstatfs(&fd))?.filesystem_type() == PIDFS)
}

/// Descriptors kept free for /proc, an epoll and a signalfd: EMFILE on a file of /proc would read
/// as "no such process".
const RESERVE: i32 = 8;

/// Checks that [`RESERVE`] descriptors are left above a new one; raises the soft limit of open
/// files to the hard limit if need be.
fn keep_reserve(fd: &OwnedFd) -> Result<()> {
    static LIMIT: AtomicI32 = AtomicI32::new(0);
    let needed = fd.as_raw_fd().saturating_add(RESERVE);
    if needed < LIMIT.load(Ordering::Relaxed) {
        return Ok(());
    }
    let count = |limit| i32::try_from(limit).unwrap_or(i32::MAX);
    let (soft, hard) =
        getrlimit(Resource::RLIMIT_NOFILE).context("reading the limit of open files")?;
    let limit = count(if needed < count(soft) { soft } else { hard });
    if limit > count(soft) {
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
    let mut causes = error.chain();
    match errno_of(error) {
        Some(errno) => matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM),
        None => causes.any(|cause| cause.downcast_ref::<TryReserveError>().is_some()),
    }
}
