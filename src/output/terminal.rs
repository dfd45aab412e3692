//! Terminals: how wide they are, whose they are, and texts that fit them. And standard output as it really is.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::libc::STDOUT_FILENO;
use nix::unistd::{self, getpgrp, tcgetpgrp};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::os::sys;

/// Columns of the terminal that a stream is; `None` if it is something else. 80 if the terminal reports no size,
/// as a serial console does.
pub fn terminal_width(stream: impl AsFd) -> Option<usize> {
    match terminal_size::terminal_size_of(stream.as_fd()) {
        Some((width, _)) => Some(usize::from(width.0)),
        None => stream.as_fd().is_terminal().then_some(80),
    }
}

/// Whether the terminal belongs to this job. A terminal that does not control this session has no
/// foreground job, so it may be written to.
pub fn is_in_foreground(terminal: impl AsFd) -> bool {
    tcgetpgrp(terminal).map_or(true, |foreground| foreground == getpgrp())
}

/// Columns that a text takes up on a terminal.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// A line that fits the columns of a terminal, with an ellipsis in place of what it loses.
pub fn cut(mut line: String, width: Option<usize>) -> String {
    let Some(width) = width.filter(|width| columns(&line) > *width) else { return line };
    let mut taken = 0;
    let fits = |(_, c): &(usize, char)| {
        taken += c.width().unwrap_or_default();
        taken < width
    };
    let end = line.char_indices().take_while(fits).last().map_or(0, |(start, c)| start + c.len_utf8());
    line.truncate(end);
    line.push('…');
    line
}

/// Standard output, unbuffered, with every failed write an error. That of the standard library takes EBADF
/// for success: a descriptor that is closed, or open for reading only.
pub struct StandardOutput;

impl Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if sys::started_without(STDOUT_FILENO) {
            return Err(Errno::EBADF.into());
        }
        Ok(unistd::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_by_the_columns_that_it_takes() {
        let table = [
            ("plain", None, "plain"),
            ("plain", Some(5), "plain"),
            ("plain", Some(4), "pla…"),
            ("plain", Some(1), "…"),
            ("日本語", Some(6), "日本語"),
            ("日本語", Some(5), "日本…"),
            ("日本語", Some(4), "日…"),
            ("日本語", Some(2), "…"),
            ("", Some(1), ""),
        ];
        for (line, width, shown) in table {
            assert_eq!(cut(line.to_owned(), width), shown, "{line} {width:?}");
        }
    }
}
