//! Writing to both standard streams: texts, and the line of progress, which is wiped before a text
//! is written.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;

use crate::output::terminal::Stream;

const WIPE: &str = "\r\x1b[2K";

/// A line of progress as it is written, in one write: the line before it is wiped first.
#[derive(PartialEq, Eq)]
pub struct Line(String);

impl Line {
    pub fn new(text: &str) -> Self {
        Self(format!("{WIPE}{text}"))
    }
}

/// Both standard streams, and the line of progress on the terminal that is standard error.
#[derive(Default)]
pub struct Screen {
    /// The line that was asked for last, drawn or not.
    line: Option<Arc<Line>>,
    is_drawn: bool,
    broken: [Option<io::Error>; 2],
}

impl Screen {
    /// Writes a text after the line was wiped. Nothing more is written to a stream that has failed.
    pub fn write(&mut self, mut stream: Stream, text: &str) {
        self.show(None);
        let broken = &mut self.broken[stream as usize];
        if broken.is_none() {
            *broken = stream.write_all(text.as_bytes()).err();
        }
    }

    /// The first failed write to a stream. A closed pipe (EPIPE) is no failure.
    pub fn failure(&self, stream: Stream) -> Option<&io::Error> {
        self.broken[stream as usize]
            .as_ref()
            .filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
    }

    pub fn shows(&self, line: Option<&Arc<Line>>) -> bool {
        self.line.as_ref() == line
    }

    /// Draws a line in place of the last one, or wipes that. In the background nothing is drawn:
    /// the cursor is at the shell's prompt.
    pub fn show(&mut self, line: Option<Arc<Line>>) {
        let was_drawn = mem::take(&mut self.is_drawn);
        if (was_drawn || line.is_some()) && Stream::Error.is_in_foreground() {
            // Losing the line is no error.
            let drawn =
                Stream::Error.write_all(line.as_ref().map_or(WIPE, |line| &line.0).as_bytes());
            self.is_drawn = drawn.is_ok() && line.is_some();
        }
        self.line = line;
    }
}
