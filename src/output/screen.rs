//! Writing to both standard streams: texts, and the line of progress, which is wiped before a text
//! is written.

use std::io::{self, Write};
use std::mem;

use crate::output::terminal::Stream;

const WIPE: &str = "\r\x1b[2K";

/// What is written in one write.
pub enum Entry {
    Text(Stream, String),
    /// The line of progress, in place of the last one. An empty one wipes it.
    Line(String),
}

impl Entry {
    /// The bytes of a text. A line of progress takes no room: there is one at most between texts.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(_, text) => text.len(),
            Self::Line(_) => 0,
        }
    }

    pub fn text_to(&self) -> Option<Stream> {
        match self {
            Self::Text(stream, _) => Some(*stream),
            Self::Line(_) => None,
        }
    }
}

/// Both standard streams, and whether the line of progress is on the terminal that is standard
/// error.
#[derive(Default)]
pub struct Screen {
    is_drawn: bool,
    broken: [Option<io::Error>; 2],
}

impl Screen {
    /// Nothing more is written to a stream that has failed.
    pub fn write(&mut self, entry: &Entry) {
        match entry {
            Entry::Line(line) => self.draw(line),
            Entry::Text(stream, text) => {
                self.draw("");
                let broken = &mut self.broken[*stream as usize];
                if broken.is_none() {
                    let mut stream = *stream;
                    *broken = stream.write_all(text.as_bytes()).err();
                }
            }
        }
    }

    /// The first failed write to a stream. A closed pipe (EPIPE) is no failure.
    pub fn failure(&self, stream: Stream) -> Option<&io::Error> {
        self.broken[stream as usize]
            .as_ref()
            .filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
    }

    /// In the background nothing is drawn: the cursor is at the shell's prompt.
    fn draw(&mut self, line: &str) {
        let was_drawn = mem::take(&mut self.is_drawn);
        if (was_drawn || !line.is_empty()) && Stream::Error.is_in_foreground() {
            // Losing the line is no error.
            let drawn = Stream::Error.write_all(format!("{WIPE}{line}").as_bytes());
            self.is_drawn = drawn.is_ok() && !line.is_empty();
        }
    }
}
