//! What is printed: events as text or JSON lines on standard output, failures on standard
//! error, each line in one write. Output that fails stops nothing and becomes the exit status.

use crate::event::{Outcome, Status, Subject, Tally, What};
use crate::output::describe::describe;
use crate::output::hint::{Hint, hint};
use crate::output::json;
use crate::output::progress::{self, Pending, Progress};
use crate::output::queue::{Queue, Screen, Writer};
use crate::output::terminal::Stream;
use crate::output::text::{error_words, refusal, sentence};
use crate::plan::{Mode, Voice};
use crate::target::{Pid, Target};
use crate::usage::UsageError;

/// Prints events, in the form that was requested.
pub struct Report<'a> {
    program: &'a str,
    pub voice: Voice,
    mode: Mode,
    /// A first word such as `9` that other targets follow.
    perhaps_signal: Option<Pid>,
    queue: Queue,
    pub progress: Progress,
}

impl<'a> Report<'a> {
    pub fn new(program: &'a str, voice: Voice, mode: Mode, perhaps_signal: Option<Pid>) -> Self {
        let writer = match mode {
            Mode::Send => Writer::Nobody,
            Mode::Rehearse | Mode::Ask(_) => Writer::Caller(Screen::default()),
        };
        Self {
            program,
            voice,
            mode,
            perhaps_signal,
            queue: Queue::new(writer),
            progress: Progress::default(),
        }
    }

    /// An error that concerns no single target.
    pub fn fail(&mut self, error: &anyhow::Error) {
        self.clear();
        let usage = error.downcast_ref::<UsageError>();
        let lines = match usage {
            Some(usage) => refusal(self.program, usage),
            None => format!("{}: {}\n", self.program, sentence(error)),
        };
        if self.voice == Voice::Json {
            let hint = usage.and_then(|usage| usage.hint_for(self.program));
            self.print(&json::error(&sentence(error), hint.as_deref()).to_string());
        }
        self.queue.push(Stream::Error, lines);
    }

    /// Writes the rest and returns the exit status: `on_error` if output was lost, which a closed
    /// pipe is not.
    pub fn finish(mut self, tally: Tally, status: Status, on_error: Status) -> Status {
        self.clear();
        let (mut screen, dropped) = self.queue.close();
        if self.voice == Voice::Json {
            let summary = format!("{}\n", json::summary(tally, status));
            screen.write(Stream::Output, &summary);
        }
        let lost = (dropped > 0)
            .then(|| format!("{dropped} lines were dropped, since nobody read them in time"));
        let failed = screen.failure(Stream::Output).map(error_words);
        let problems: Vec<String> = lost.into_iter().chain(failed).collect();
        for why in &problems {
            let line = format!("{}: write error: {why}\n", self.program);
            screen.write(Stream::Error, &line);
        }
        // A failure of standard error cannot be reported.
        let is_whole = problems.is_empty() && screen.failure(Stream::Error).is_none();
        if is_whole { status } else { on_error }
    }

    /// Reports one event. A failure goes to standard error alone, except that `--json` has all
    /// events.
    pub fn tell(&mut self, subject: &Subject, outcome: &Outcome) {
        let is_failure = matches!(
            outcome,
            Outcome::Failed(_) | Outcome::Unstopped | Outcome::Escaped | Outcome::StillThere { .. }
        );
        let is_terminal = Stream::Error.is_terminal();
        // The preview is what a dry run is for, so it is printed without -v too.
        let is_verbose = match self.voice {
            Voice::Quiet => self.mode == Mode::Rehearse,
            voice => voice == Voice::Verbose,
        };
        // What is printed need not be told twice.
        let is_error = is_failure || is_notice(subject, outcome) && !is_verbose && is_terminal;
        if self.voice == Voice::Quiet && !is_error && !is_verbose {
            return;
        }
        let (line, object) = describe(self.mode, subject, outcome);
        let hint = hint(self.program, self.perhaps_signal, subject, outcome);
        if self.voice == Voice::Json {
            let hint = hint.as_ref().map(|hint| &*hint.text);
            self.print(&object.with_some("hint", hint).to_string());
        } else if is_verbose && !is_failure {
            self.print(&line);
        }
        if is_error {
            let is_told =
                |hint: &Hint| !hint.is_of_processes || self.voice != Voice::Quiet || is_terminal;
            let hint = hint.filter(is_told).map(|hint| hint.text + "\n");
            let hint = hint.unwrap_or_default();
            let lines = format!("{}: {line}\n{hint}", self.program);
            self.queue.push(Stream::Error, lines);
        }
    }

    /// Writes one line to standard output.
    pub fn print(&mut self, line: &str) {
        self.queue.push(Stream::Output, format!("{line}\n"));
    }

    pub fn draw(&mut self, pending: &Pending) {
        self.queue.show(progress::line(pending));
    }

    /// Starts to write what is queued. To be called before the caller sleeps.
    pub fn before_sleep(&mut self) {
        self.queue.start();
    }

    /// Wipes the line of progress.
    pub fn clear(&mut self) {
        self.progress.stop();
        self.queue.show(String::new());
    }

    /// Wipes the line of progress and waits a moment for output to be written. To be called before
    /// a signal that may end this program or stop it.
    pub fn settle(&mut self) {
        self.clear();
        self.queue.settle();
    }
}

/// Whether an event is success, but its name may be a typing error.
fn is_notice(subject: &Subject, outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::AlreadyGone(Some(_)))
        && matches!(subject.typed.what, What::Target(Target::Name(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Reason;
    use crate::output::tests::typed;

    #[test]
    fn success_because_nobody_has_a_name_is_told_on_a_terminal() {
        let is_notice = |text, outcome| is_notice(&Subject::target(&typed(text)), &outcome);
        let nobody = || Outcome::AlreadyGone(Some(&Reason::OnlySigsend));
        assert!(is_notice("ngnix", nobody()));
        for text in [":8080", "/srv", "4242"] {
            assert!(!is_notice(text, nobody()), "{text}");
        }
        assert!(!is_notice("ngnix", Outcome::AlreadyGone(None)));
    }
}
