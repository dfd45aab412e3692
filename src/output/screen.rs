//! Writing to both standard streams: texts, and the line of progress, which is wiped before a text
//! is written.

use std::io::{self, Write};
use std::mem;

use crate::output::terminal::Stream;

const WIPE: &str = "\r\x1b[2K";

/// Both standard streams, and whether the line of progress is on the terminal that is standard
/// error.
#[derive(Default)]
pub struct Screen {
    is_drawn: bool,
    broken: [Option<io::Error>; 2],
}

impl Screen {
    /// Writes a text in one write. Nothing more is written to a stream that has failed.
    pub fn write(&mut self, mut stream: Stream, text: &str) {
        self.draw("");
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

    /// Draws the line of progress in place of the last one; an empty one wipes it. In the
    /// background nothing is drawn: the cursor is at the shell's prompt.
    pub fn draw(&mut self, line: &str) {
        let was_drawn = mem::take(&mut self.is_drawn);
        if (was_drawn || !line.is_empty()) && Stream::Error.is_in_foreground() {
            // Losing the line is no error.
            let drawn = Stream::Error.write_all(format!("{WIPE}{line}").as_bytes());
            self.is_drawn = drawn.is_ok() && !line.is_empty();
        }
    }
}
