//! What the user is told: events as text or JSON lines on standard output, failures on standard error, each line written at once.
//! Output that fails stops nothing; it is remembered and becomes the exit status.

use std::io::{self, Write};

use crate::outcome::{Outcome, Status, Subject, Tally};
use crate::output::json;
use crate::output::progress::{Pending, Progress};
use crate::output::terminal::StandardOutput;
use crate::output::text::{self, Deed, plain, refusal, sentence};
use crate::plan::Voice;
use crate::usage::UsageError;

/// Where everything that is to be told goes.
pub struct Report<'a> {
    program: &'a str,
    pub voice: Voice,
    deed: Deed,
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    pub progress: Progress,
    /// The first failure of standard output; nothing more is written to it after that.
    broken: Option<io::Error>,
}

impl<'a> Report<'a> {
    /// Tells on standard output and standard error.
    pub fn new(program: &'a str, voice: Voice, deed: Deed) -> Self {
        let (out, err) = (Box::new(StandardOutput), Box::new(io::stderr()));
        Self { program, voice, deed, out, err, progress: Progress::Hidden, broken: None }
    }

    /// An error that is no single target's, and that ended the call.
    pub fn fail(&mut self, error: &anyhow::Error) {
        self.progress.clear();
        let lines = match error.downcast_ref::<UsageError>() {
            Some(error) => refusal(self.program, error),
            None => format!("{}: {}\n", self.program, sentence(error)),
        };
        if self.voice == Voice::Json {
            self.print(&json::error(&sentence(error)).to_string());
        }
        self.write_error(&lines);
    }

    /// Closes the report and gives the status that the program ends with: a closed pipe changes nothing, any other failed write does.
    pub fn finish(mut self, tally: Tally, status: Status, on_error: Status) -> Status {
        self.progress.clear();
        if self.voice == Voice::Json {
            self.print(&json::summary(tally, status).to_string());
        }
        match self.broken.take() {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let line = format!("{}: write error: {}\n", self.program, plain(&error));
                self.write_error(&line);
                on_error
            }
            _ => status,
        }
    }

    /// Tells one event. A failure goes to standard error alone, except that `--json` has all events.
    pub fn tell(&mut self, subject: &Subject, outcome: &Outcome) {
        let complaint = text::complaint(self.deed, subject, outcome);
        match self.voice {
            Voice::Quiet => {}
            Voice::Verbose => {
                if let Some(line) = text::line(subject, outcome) {
                    self.print(&line);
                }
            }
            Voice::Json => {
                let reason = complaint.as_ref().map_or("", |(text, _)| text);
                self.print(&json::event(subject, outcome, reason).to_string());
            }
        }
        if let Some((text, hint)) = complaint {
            self.complain(&text, hint.as_deref());
        }
    }

    pub fn draw(&mut self, pending: &Pending) {
        self.progress.draw(pending);
    }

    /// Writes one line to standard output.
    pub fn print(&mut self, line: &str) {
        if self.broken.is_none() {
            let line = format!("{line}\n");
            let out = &mut self.out;
            let written = self.progress.suspend(|| out.write_all(line.as_bytes()).and_then(|()| out.flush()));
            self.broken = written.err();
        }
    }

    /// One line on standard error, and one for the hint.
    fn complain(&mut self, text: &str, hint: Option<&str>) {
        let hint = hint.map(|hint| format!("{hint}\n")).unwrap_or_default();
        self.write_error(&format!("{}: {text}\n{hint}", self.program));
    }

    fn write_error(&mut self, lines: &str) {
        let err = &mut self.err;
        // There is nowhere left to say that standard error cannot be written.
        let _ = self.progress.suspend(|| err.write_all(lines.as_bytes()));
    }
}
