//! Whole processes against each other, from spawn to reaped: sigsend, every kill(1) that is
//! installed, pgrep, pidwait and the floor. `cargo bench` prints Markdown tables, `--help` tells
//! the options.

mod jobs;
mod nursery;
mod options;
mod peers;
mod process;
mod program;
mod report;
mod waits;

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use options::{Options, Request};
use peers::Field;
use program::Arena;
use report::Report;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr leaves no place to say so.
            let _ = writeln!(io::stderr(), "whole_process: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let (text, outcome) = match options::parse(&env::args().skip(1).collect::<Vec<_>>())? {
        Request::Nursery => return nursery::serve(),
        Request::Help => (options::HELP.to_owned(), Ok(())),
        Request::Test => ("whole_process: not measured, that is for `cargo bench`\n".to_owned(), Ok(())),
        Request::Measure(options) => measure(&options)?,
    };
    io::stdout().write_all(text.as_bytes())?;
    outcome
}

/// The report, and what has cut it short.
fn measure(options: &Options) -> Result<(String, Result<()>)> {
    process::defer_interrupts()?;
    // A waiter for 10,000 needs as many descriptors, and not everyone raises the limit himself.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;

    let arena = Arena::build()?;
    let field = Field::gather(&arena)?;
    let mut report = Report::default();
    if !arena.in_memory {
        report.note(format!("no tmpfs to run programs from: they ran from {}", arena.directory.display()));
    }
    let outcome = jobs::send_and_list(&field, options, &mut report)
        .and_then(|()| jobs::find(&field, options, &mut report))
        .and_then(|()| waits::wait(&field, options, &mut report));
    let text = if options.json { report.json(&field.missing) } else { report.markdown(&field.missing) };
    Ok((text, outcome))
}
