//! sigsend sends signals to processes. `main` turns the arguments into one action and its result
//! into an exit status.

mod cli {
    pub mod argv;
    pub mod options;
    pub mod parse;
    pub mod refusal;
    pub mod values;
}
mod docs {
    pub mod completions;
    pub mod manual;
}
mod run {
    pub mod call;
    pub mod control;
    pub mod deliver;
    pub mod dry_run;
    pub mod kill;
    pub mod query;
    pub mod route;
    pub mod schedule;
    pub mod send;
    pub mod state;
    pub mod wait;
    pub mod watch;
}
mod find {
    pub mod cgroup;
    pub mod classify;
    pub mod freeze;
    pub mod group;
    pub mod names;
    pub mod pidfile;
    pub mod port;
    pub mod prepare;
    pub mod recipients;
    pub mod tree;
}
mod output {
    pub mod errno;
    pub mod escape;
    pub mod json;
    pub mod list;
    pub mod progress;
    pub mod queue;
    pub mod report;
    pub mod screen;
    pub mod terminal;
    pub mod text;
}
mod os {
    pub mod cgroup;
    pub mod exit;
    pub mod express;
    pub mod memory;
    pub mod net;
    pub mod pidfd;
    pub mod pids;
    pub mod proc;
    pub mod sys;
}
mod outcome;
mod plan;
mod signal;
mod signal_set;
mod target;
mod usage;
mod words;

use std::ffi::OsStr;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use cli::parse::{Refusal, parse};
use docs::manual;
use os::{express, sys};
use outcome::{Status, Tally};
use output::errno::plain;
use output::list::Listing;
use output::queue::Pace;
use output::report::Report;
use output::terminal::Stream;
use output::text::{Work, refusal};
use output::{escape, json};
use plan::{Action, Question, Voice};
use run::{dry_run, query, send, state};
use usage::{Kind, UsageError};

fn main() -> ExitCode {
    let (program, args) = express::command_line();
    let program = Path::new(program)
        .file_name()
        .unwrap_or(OsStr::new("sigsend"));
    let program = escape::escape(program.as_encoded_bytes());
    let status = match parse(&args) {
        Ok(action) => act(action, &program),
        Err(refusal) => refuse(refusal, &program),
    };
    ExitCode::from(status.code())
}

fn act(action: Action, program: &str) -> Status {
    match action {
        Action::Send(plan, voice) => {
            let report = Report::new(program, voice, Work::Sending, Pace::Queued);
            tell(report, Status::Failure, |report| {
                send::send(&plan, report).map(|tally| (tally, tally.status()))
            })
        }
        Action::DryRun(plan, voice) => {
            let report = Report::new(program, voice, Work::Sending, Pace::AtOnce);
            tell(report, Status::Failure, |report| {
                dry_run::rehearse(&plan, report).map(|tally| (tally, tally.status()))
            })
        }
        Action::Ask(question, selection, voice) => {
            let unclear = if question == Question::Alive {
                Status::Undecided
            } else {
                Status::Failure
            };
            let report = Report::new(program, voice, Work::Asking, Pace::AtOnce);
            tell(report, unclear, |report| {
                query::ask(question, &selection, report)
            })
        }
        Action::List(operands) => list(program, |listing| listing.names(&operands)),
        Action::Numbers(operands) => list(program, |listing| listing.numbers(&operands)),
        Action::Table(operands) => list(program, |listing| listing.table(&operands)),
        Action::State(pids) => list(program, |listing| state::show(&pids, listing)),
        Action::Help(detail) => print(program, &manual::help(program, detail)),
        Action::Version => print(program, version(program).as_bytes()),
        Action::Generate(product) => print(program, manual::generate(product).as_bytes()),
    }
}

fn version(program: &str) -> String {
    let name = if program == "sigsend" {
        program.to_owned()
    } else {
        format!("{program} (sigsend)")
    };
    format!("{name} {}\n", env!("CARGO_PKG_VERSION"))
}

/// Carries out an action that reports events: a plan, its dry run, a question.
fn tell(
    mut report: Report,
    on_error: Status,
    carry_out: impl FnOnce(&mut Report) -> Result<(Tally, Status)>,
) -> Status {
    let (tally, status) = carry_out(&mut report).unwrap_or_else(|error| {
        report.fail(&error);
        (Tally::FAILURE, on_error)
    });
    report.finish(tally, status, on_error)
}

/// Writes a list. A pipe that the reader closes early is no error.
fn list(program: &str, write: impl FnOnce(&mut Listing) -> io::Result<Status>) -> Status {
    let width = Stream::Output.width();
    let mut out = BufWriter::new(Stream::Output);
    let mut complain = |error: &UsageError| complain(&refusal(program, error));
    let written = write(&mut Listing {
        out: &mut out,
        width,
        complain: &mut complain,
    });
    match written.and_then(|status| out.flush().map(|()| status)) {
        Ok(status) => status,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Status::Success,
        Err(error) => {
            self::complain(&format!("{program}: write error: {}\n", plain(&error)));
            Status::Failure
        }
    }
}

fn print(program: &str, text: &[u8]) -> Status {
    list(program, |listing| {
        listing.out.write_all(text).map(|()| Status::Success)
    })
}

fn refuse(refused: Refusal, program: &str) -> Status {
    let mut error = refused.error;
    if error.kind == Kind::NoTarget && error.hint.is_none() && sys::is_pipe(io::stdin()) {
        error = error.hint("'--pidfile -' reads targets from standard input");
    }
    complain(&refusal(program, &error));
    if refused.voice == Voice::Json {
        let tally = Tally::FAILURE;
        let lines = format!(
            "{}\n{}\n",
            json::error(&error.text),
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
