//! How a process ended, child or not: from its pidfd after it was reaped (Linux 6.15), from /proc
//! before.

use nix::libc;

use crate::event::Ending;
use crate::os::pidfd::{Life, Pinned};
use crate::os::proc::{self, State};
use crate::os::sys;

/// How an exited process ended; `None` if that cannot be told, or not before it is reaped.
pub fn ending(process: &Pinned) -> Option<Ending> {
    let reaped = process.fd().ok().and_then(sys::exit_status);
    reaped
        .map(Ending::from_wait_status)
        .or_else(|| of_zombie(process))
}

/// The wait status of a zombie from /proc, which reads 0 if the caller may not ptrace(2) the
/// process. Another file with the same protection shows it: /proc/PID/exe gives ENOENT if the
/// caller may, and EACCES if not.
fn of_zombie(process: &Pinned) -> Option<Ending> {
    let stat = proc::stat(process.pid)
        .ok()
        .filter(|stat| stat.state == State::Dead)?;
    let may_see = proc::executable(process.pid)
        .is_err_and(|error| error.raw_os_error() == Some(libc::ENOENT));
    let life = process.life().ok()?;
    (may_see && life == Life::Exited).then(|| Ending::from_wait_status(stat.wait_status))
}
