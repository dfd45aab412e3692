//! Carries out an action, and gives its exit status.

use std::io::{self, BufWriter, Write};

use crate::cli::lookup;
use crate::cli::parse::Refusal;
use crate::docs::{help, manual};
use crate::event::{Status, Tally};
use crate::output::json;
use crate::output::list::Listing;
use crate::output::report::Report;
use crate::output::terminal::Stream;
use crate::output::text::{error_words, refusal};
use crate::plan::{Action, Mode, Plan, Question, Voice};
use crate::run::{engine, query, state};
use crate::usage::UsageError;

pub fn act(action: Action, program: &str) -> Status {
    match action {
        Action::Run(plan, voice) => run(&plan, voice, program),
        Action::List(operands) => list(program, |listing| listing.names(&operands)),
        Action::Numbers(operands) => list(program, |listing| listing.numbers(&operands)),
        Action::Table(operands) => list(program, |listing| listing.table(&operands)),
        Action::State(pids) => list(program, |listing| state::show(&pids, listing)),
        Action::Help(detail) => print(program, &help::help(program, detail)),
        Action::Version => print(program, version(program).as_bytes()),
        Action::Generate(product) => print(program, manual::generate(product).as_bytes()),
    }
}

/// Carries out what reports events: a plan, its dry run, a question.
fn run(plan: &Plan, voice: Voice, program: &str) -> Status {
    let on_error = match plan.mode {
        Mode::Ask(Question::Alive) => Status::Undecided,
        _ => Status::Failure,
    };
    let mut report = Report::new(program, voice, plan);
    let done = match plan.mode {
        Mode::Ask(question) => query::ask(question, plan, &mut report),
        _ => engine::run(plan, &mut report).map(|tally| (tally, tally.status())),
    };
    let (tally, status) = done.unwrap_or_else(|error| {
        report.fail(&error);
        (Tally::FAILURE, on_error)
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

/// Writes a list.
fn list(program: &str, write: impl FnOnce(&mut Listing) -> io::Result<Status>) -> Status {
    let width = Stream::Output.width();
    let mut out = BufWriter::new(Stream::Output);
    let mut complain = |error: &UsageError| complain(&refusal(program, error));
    let result = write(&mut Listing {
        out: &mut out,
        width,
        complain: &mut complain,
    });
    let result = result.and_then(|status| out.flush().map(|()| status));
    written(result, program)
}

/// The status of a list. A pipe that the reader closes early is no error.
pub fn written(result: io::Result<Status>, program: &str) -> Status {
    match result {
        Ok(status) => status,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Status::Success,
        Err(error) => {
            complain(&format!(
                "{program}: write error: {}\n",
                error_words(&error)
            ));
            Status::Failure
        }
    }
}

fn print(program: &str, text: &[u8]) -> Status {
    list(program, |listing| {
        listing.out.write_all(text).map(|()| Status::Success)
    })
}

/// Says why a command line is refused.
pub fn refuse(refused: Refusal, program: &str) -> Status {
    let error = lookup::complete(refused.error);
    complain(&refusal(program, &error));
    if refused.voice == Voice::Json {
        let tally = Tally::FAILURE;
        let lines = format!(
            "{}\n{}\n",
            json::error(&error.text, error.hint_for(program).as_deref()),
            json::summary(tally, refused.status)
        );
        print(program, lines.as_bytes());
    }
    refused.status
}

/// Writes to standard error. If that fails, there is nowhere left to report it.
fn complain(lines: &str) {
    let _ = io::stderr().write_all(lines.as_bytes());
}
