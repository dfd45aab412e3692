//! The signal sets of processes (`-d`), as /proc/PID/status shows them.

use std::io::ErrorKind;

use nix::errno::Errno;
use nix::sys::signal::kill;

use crate::find::names::check_proc;
use crate::os::proc;
use crate::output::list::Listing;
use crate::output::text::{errno_words, error_words, sentence};
use crate::target::Pid;
use crate::usage::UsageError;

/// The sets of each process that are not empty. With several processes, the PID precedes its sets.
pub fn sets(pids: &[Pid]) -> Listing {
    let mut listing = Listing::default();
    if let Err(error) = check_proc() {
        listing.errors.push(UsageError::value(sentence(&error)));
        return listing;
    }
    for pid in pids {
        let status = match proc::status(*pid) {
            Ok(status) => status,
            Err(error) => {
                let why = match (error.kind(), kill(pid.process(), None)) {
                    (ErrorKind::NotFound, Err(errno)) => errno_words(errno).to_owned(),
                    // It is hidden (hidepid).
                    (ErrorKind::NotFound, Ok(())) => errno_words(Errno::EPERM).to_owned(),
                    _ => error_words(&error),
                };
                let text = format!("reading the state of {pid} failed: {why}");
                listing.errors.push(UsageError::value(text));
                continue;
            }
        };
        if pids.len() > 1 {
            listing.text.extend([&pid.to_string(), ":\n"]);
        }
        let sets = [
            ("Pending (thread)", status.pending_thread),
            ("Pending (process)", status.pending_process),
            ("Blocked", status.blocked),
            ("Ignored", status.ignored),
            ("Caught", status.caught),
        ];
        for (label, set) in sets.into_iter().filter(|(_, set)| !set.is_empty()) {
            let line = format!("{label}: {set}\n");
            listing.text.push_str(&line);
        }
    }
    listing
}
