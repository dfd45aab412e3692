//! The signal sets of processes (`-d`), as /proc/PID/status shows them.

use std::io;

use nix::errno::Errno;

use crate::event::Status;
use crate::find::names::check_proc;
use crate::os::proc;
use crate::output::list::Listing;
use crate::output::text::{errno_words, error_words, sentence};
use crate::target::Pid;
use crate::usage::UsageError;

/// Writes the sets of each process that are not empty. With several processes, the PID precedes its
/// sets.
pub fn show(pids: &[Pid], listing: &mut Listing) -> io::Result<Status> {
    if let Err(error) = check_proc() {
        (listing.complain)(&UsageError::value(sentence(&error)));
        return Ok(Status::Failure);
    }
    let mut worst = Status::Success;
    for pid in pids {
        let status = match proc::status(*pid) {
            Ok(status) => status,
            Err(error) => {
                let why = match error.kind() {
                    io::ErrorKind::NotFound => errno_words(Errno::ESRCH).to_owned(),
                    _ => error_words(&error),
                };
                (listing.complain)(&UsageError::value(format!(
                    "reading the state of {pid} failed: {why}"
                )));
                worst = Status::Failure;
                continue;
            }
        };
        if pids.len() > 1 {
            writeln!(listing.out, "{pid}:")?;
        }
        let sets = [
            ("Pending (thread)", status.pending_thread),
            ("Pending (process)", status.pending_process),
            ("Blocked", status.blocked),
            ("Ignored", status.ignored),
            ("Caught", status.caught),
        ];
        for (label, set) in sets.into_iter().filter(|(_, set)| !set.is_empty()) {
            writeln!(listing.out, "{label}: {set}")?;
        }
    }
    Ok(worst)
}
