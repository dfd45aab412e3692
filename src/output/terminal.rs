//! Standard output and standard error: writing, and if they are terminals, width and foreground.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc::STDOUT_FILENO;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::{self, getpgrp, tcgetpgrp};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

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

/// The display width of a text.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// What stands for the part of a line that is cut: a single character where the locale has it
/// (locale(7)). Where nothing is set it is the C locale, whose characters are ASCII.
pub fn ellipsis() -> &'static str {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty());
    match locale {
        Some(locale) if names_utf8(&locale.to_string_lossy()) => "…",
        _ => "...",
    }
}

fn names_utf8(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// The first columns of a text, with a mark in place of what is lost.
pub fn cut(text: &str, width: usize, mark: &str) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(columns(mark));
    let kept = &text[..fitting(text.chars(), room)];
    let mark = &mark[..fitting(mark.chars(), width)];
    format!("{kept}{mark}")
}

/// How many bytes the first characters have that take at most so many columns.
fn fitting(chars: impl Iterator<Item = char>, width: usize) -> usize {
    let mut taken = 0;
    let fits = |c: &char| {
        taken += c.width().unwrap_or_default();
        taken <= width
    };
    chars.take_while(fits).map(char::len_utf8).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_by_the_columns_that_it_takes() {
        let table = [
            ("plain", 5, "plain", "plain"),
            ("plain", 4, "pla…", "p..."),
            ("plain", 3, "pl…", "..."),
            ("plain", 1, "…", "."),
            ("plain", 0, "", ""),
            ("日本語", 6, "日本語", "日本語"),
            ("日本語", 5, "日本…", "日..."),
            ("日本語", 4, "日…", "..."),
            ("日本語", 2, "…", ".."),
            ("", 1, "", ""),
        ];
        for (line, width, shown, ascii) in table {
            assert_eq!(cut(line, width, "…"), shown, "{line} {width}");
            assert_eq!(cut(line, width, "..."), ascii, "{line} {width}");
        }
    }

    #[test]
    fn a_locale_says_what_its_characters_are() {
        for locale in ["C", "POSIX", "en_US", "de_DE.ISO-8859-1"] {
            assert!(!names_utf8(locale), "{locale}");
        }
        for locale in ["de_DE.UTF-8", "C.utf8"] {
            assert!(names_utf8(locale), "{locale}");
        }
    }
}
