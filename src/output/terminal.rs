//! Standard output and standard error: writing, and if they are terminals, width and foreground.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc::STDOUT_FILENO;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::{self, getpgrp, tcgetpgrp};

use crate::os::sys;

/// A standard stream, unbuffered, with every failed write an error. Those of the standard library
/// take EBADF for success: a descriptor that is closed, or open for reading only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Output,
    Error,
}

impl Stream {
    pub fn is_terminal(self) -> bool {
        self.as_fd().is_terminal()
    }

    /// Columns of the terminal; `None` if it is something else. 80 if the terminal reports no size,
    /// as a serial console does.
    pub fn width(self) -> Option<usize> {
        match terminal_size::terminal_size_of(self) {
            Some((width, _)) => Some(usize::from(width.0)),
            None => self.is_terminal().then_some(80),
        }
    }

    /// Whether this job is in the foreground of the terminal. True too for what is no terminal, or
    /// does not control this session.
    pub fn is_in_foreground(self) -> bool {
        tcgetpgrp(self).map_or(true, |foreground| foreground == getpgrp())
    }

    /// Whether this job is in the background of a terminal that stops jobs that write to it (`stty
    /// tostop`).
    pub fn stops_writers(self) -> bool {
        let stops =
            || tcgetattr(self).is_ok_and(|modes| modes.local_flags.contains(LocalFlags::TOSTOP));
        !self.is_in_foreground() && stops()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Output => sys::standard_output(),
            Self::Error => sys::standard_error(),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if *self == Self::Output && sys::started_without(STDOUT_FILENO) {
            return Err(Errno::EBADF.into());
        }
        loop {
            match unistd::write(*self, bytes) {
                // Another process that shares the open file has made it non-blocking.
                Err(Errno::EAGAIN) => poll(
                    &mut [PollFd::new(self.as_fd(), PollFlags::POLLOUT)],
                    PollTimeout::NONE,
                )?,
                written => return Ok(written?),
            };
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
