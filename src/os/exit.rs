//! How a process ended, child or not: from its pidfd after it was reaped (Linux 6.15), from /proc
//! before.

use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::os::pidfd::{Life, Pinned};
use crate::os::proc::{self, State};
use crate::os::sys;
use crate::outcome::Ending;

/// How long to wait for the parent to reap, if the ending is not known before.
const REAPING: Duration = Duration::from_millis(100);

/// How each of these exited processes ended. All of them together are waited for at most 100 ms.
pub fn endings<'a>(processes: impl Iterator<Item = &'a Pinned>) -> Vec<Ending> {
    let deadline = Instant::now() + REAPING;
    processes
        .map(|process| ending(process, deadline).unwrap_or(Ending::Unknown))
        .collect()
}

fn ending(process: &Pinned, deadline: Instant) -> Option<Ending> {
    let reaped = || {
        process
            .fd()
            .ok()
            .and_then(sys::exit_status)
            .map(Ending::from_wait_status)
    };
    if let Some(ending) = reaped().or_else(|| of_zombie(process)) {
        return Some(ending);
    }
    let mut fds = [PollFd::new(process.fd().ok()?, PollFlags::empty())];
    let left = deadline
        .saturating_duration_since(Instant::now())
        .as_millis();
    let left = PollTimeout::try_from(i32::try_from(left).ok()?).ok()?;
    poll(&mut fds, left).ok()?;
    reaped()
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
