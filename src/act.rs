//! Carries out an action, and gives its exit status.

use std::io::{self, Write};

use crate::cli::refusal::{Refusal, complete};
use crate::docs::{help, manual};
use crate::event::{Status, Tally};
use crate::output::list::{self, Listing};
use crate::output::report::Report;
use crate::output::terminal::Stream;
use crate::output::text::{error_words, refusal};
use crate::plan::{Action, Begun, Mode, Plan, Question, Voice};
use crate::run::{engine, query, state};

/// Carries out an action, of which so much is done.
pub fn act(action: Action, begun: Begun, program: &str) -> Status {
    let width = || Stream::Output.width();
    let listing = match action {
        Action::Run(mut plan, voice) => {
            plan.begun = begun;
            return run(&plan, voice, program);
        }
        Action::List(operands) => list::names(&operands, width()),
        Action::Numbers(operands) => list::numbers(&operands, width()),
        Action::Table(operands) => list::table(&operands),
        Action::State(pids) => state::sets(&pids),
        Action::Help(detail) => help::help(program, detail).into(),
        Action::Version => version(program).into(),
        Action::Generate(product) => manual::generate(product).into(),
    };
    show(&listing, program)
}

/// Carries out what reports events: a plan, its dry run, a question.
fn run(plan: &Plan, voice: Voice, program: &str) -> Status {
    let on_error = match plan.mode {
        Mode::Ask(Question::Alive) => Status::Undecided,
        _ => Status::Failure,
    };
    let mut report = Report::new(program, voice, plan.mode, plan.perhaps_signal);
    let done = match plan.mode {
        Mode::Ask(question) => query::ask(question, plan, &mut report),
        _ => engine::run(plan, &mut report).map(|tally| (tally, tally.status())),
    };
    let (tally, status) = done.unwrap_or_else(|error| {
        report.fail(&error);
        let mut tally = Tally::FAILURE;
        tally.signalled = plan.begun.done;
        let status = match tally.signalled {
            0 => on_error,
            _ => tally.status(),
        };
        (tally, status)
    });
    report.finish(tally, status, on_error)
}

fn version(program: &str) -> String {
    let number = env!("CARGO_PKG_VERSION");
    match program {
        "sigsend" => format!("sigsend {number}\n"),
        link => format!("{link} (sigsend) {number}\n"),
    }
}

/// Writes a list, errors about operands first.
fn show(listing: &Listing, program: &str) -> Status {
    for error in &listing.errors {
        complain(&refusal(program, error));
    }
    match Stream::Output.write_all(listing.text.as_bytes()) {
        Ok(()) if listing.errors.is_empty() => Status::Success,
        Ok(()) => Status::Failure,
        Err(error) => unwritten(&error, program),
    }
}

/// The status of a list that could not be written. A pipe that the reader closes early is no error.
pub fn unwritten(error: &io::Error, program: &str) -> Status {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Status::Success;
    }
    let why = error_words(error);
    complain(&format!("{program}: write error: {why}\n"));
    Status::Failure
}

/// Says why a command line is refused.
pub fn refuse(refused: Refusal, program: &str) -> Status {
    let error = complete(refused.error).into();
    let mut report = Report::new(program, refused.voice, Mode::Send, None);
    report.fail(&error);
    report.finish(Tally::FAILURE, refused.status, refused.status)
}

/// Writes to standard error. If that fails, there is nowhere left to report it.
fn complain(lines: &str) {
    let _ = io::stderr().write_all(lines.as_bytes());
}
