//! What is printed: events as text or JSON lines on standard output, failures on standard
//! error, each line in one write. Output that fails stops nothing and becomes the exit status.

use crate::outcome::{Outcome, Status, Subject, Tally};
use crate::output::errno::plain;
use crate::output::json;
use crate::output::progress::{self, Pending, Progress};
use crate::output::queue::{Pace, Queue};
use crate::output::screen::Line;
use crate::output::terminal::Stream;
use crate::output::text::{self, Work, refusal, sentence};
use crate::plan::Voice;
use crate::usage::UsageError;

/// Prints events, in the form that was requested.
pub struct Report<'a> {
    program: &'a str,
    pub voice: Voice,
    task: Work,
    queue: Queue,
    pub progress: Progress,
}

impl<'a> Report<'a> {
    pub fn new(program: &'a str, voice: Voice, task: Work, pace: Pace) -> Self {
        Self {
            program,
            voice,
            task,
            queue: Queue::new(pace),
            progress: Progress::default(),
        }
    }

    /// An error that concerns no single target.
    pub fn fail(&mut self, error: &anyhow::Error) {
        self.clear();
        let lines = match error.downcast_ref::<UsageError>() {
            Some(mistake) => refusal(self.program, mistake),
            None => format!("{}: {}\n", self.program, sentence(error)),
        };
        if self.voice == Voice::Json {
            self.print(&json::error(&sentence(error)).to_string());
        }
        self.queue.push(Stream::Error, lines);
    }

    /// Writes the rest and returns the exit status: `on_error` if output was lost, which a closed
    /// pipe is not.
    pub fn finish(mut self, tally: Tally, status: Status, on_error: Status) -> Status {
        self.clear();
        let (mut screen, dropped) = self.queue.close();
        if self.voice == Voice::Json {
            screen.write(
                Stream::Output,
                &format!("{}\n", json::summary(tally, status)),
            );
        }
        let lost = (dropped > 0)
            .then(|| format!("{dropped} lines were dropped, since nobody read them in time"));
        let failed = screen.failure(Stream::Output).map(plain);
        for why in lost.iter().chain(&failed) {
            screen.write(
                Stream::Error,
                &format!("{}: write error: {why}\n", self.program),
            );
        }
        // A failure of standard error cannot be reported.
        let is_whole =
            lost.is_none() && failed.is_none() && screen.failure(Stream::Error).is_none();
        if is_whole { status } else { on_error }
    }

    /// Reports one event. A failure goes to standard error alone, except that `--json` has all
    /// events.
    pub fn tell(&mut self, subject: &Subject, outcome: &Outcome) {
        let complaint = text::complaint(self.task, subject, outcome);
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
            let hint = hint.map(|hint| format!("{hint}\n")).unwrap_or_default();
            self.queue
                .push(Stream::Error, format!("{}: {text}\n{hint}", self.program));
        }
    }

    /// Writes one line to standard output.
    pub fn print(&mut self, line: &str) {
        self.queue.push(Stream::Output, format!("{line}\n"));
    }

    pub fn draw(&mut self, pending: &Pending) {
        self.queue.show(Some(Line::new(&progress::line(pending))));
    }

    /// Starts to write what is queued. To be called before the caller sleeps.
    pub fn before_sleep(&mut self) {
        self.queue.start();
    }

    /// Wipes the line of progress.
    pub fn clear(&mut self) {
        self.progress.stop();
        self.queue.show(None);
    }

    /// Wipes the line of progress and waits a moment for output to be written. To be called before
    /// a signal that may end this program.
    pub fn settle(&mut self) {
        self.clear();
        self.queue.settle();
    }
}
