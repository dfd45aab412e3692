//! Benchmark of whole processes, from spawn to wait: sigsend, every installed kill(1), the programs
//! that look processes up, pidwait and a lower bound ("floor"). `cargo bench` prints Markdown
//! tables; `--help` lists the options.

mod jobs;
mod looks;
mod options;
mod peers;
mod plot;
mod process;
mod program;
mod report;
mod sleepers;
mod waits;

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use options::{Options, Request};
use peers::Programs;
use program::BinDir;
use report::Report;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A failed write to standard error cannot be reported.
            let _ = writeln!(io::stderr(), "whole_process: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let (text, outcome) = match options::parse(&env::args().skip(1).collect::<Vec<_>>())? {
        Request::Sleepers => return sleepers::serve(),
        Request::Help => (options::HELP.to_owned(), Ok(())),
        Request::Test => (
            "whole_process: not measured, that is for `cargo bench`\n".to_owned(),
            Ok(()),
        ),
        Request::Measure(options) => measure(&options)?,
    };
    io::stdout().write_all(text.as_bytes())?;
    outcome
}

/// The report, and the error that ended it early, if any.
fn measure(options: &Options) -> Result<(String, Result<()>)> {
    process::defer_interrupts()?;
    // A wait for 10,000 processes needs as many descriptors, and not every program raises the
    // limit.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;

    let bin_dir = BinDir::build()?;
    let programs = Programs::find(&bin_dir)?;
    let mut report = Report::default();
    if !bin_dir.in_memory {
        report.note(format!(
            "no tmpfs to run programs from: they ran from {}",
            bin_dir.directory.display()
        ));
    }
    let outcome = jobs::send_and_list(&programs, options, &mut report)
        .and_then(|()| looks::look(&programs, &bin_dir, options, &mut report))
        .and_then(|()| looks::end(&programs, options, &mut report))
        .and_then(|()| waits::wait(&programs, options, &mut report));
    if let Some(file) = &options.plot {
        let plot = plot::svg(&report.rows);
        fs::write(file, plot).with_context(|| format!("writing {}", file.display()))?;
    }
    let text = if options.json {
        report.json(&programs.missing)
    } else {
        report.markdown(&programs.missing)
    };
    Ok((text, outcome))
}
