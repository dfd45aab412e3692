//! The command line of the benchmark, and the list of jobs.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::sleepers;

/// The names for `--only`, in the order of the report.
const JOBS: [&str; 20] = [
    "null",
    "s-hup",
    "hup",
    "list",
    "main",
    "help",
    "table",
    "100000-pids",
    "memory",
    "size",
    "port",
    "name",
    "full",
    "cwd",
    "tree",
    "kill-tree",
    "group",
    "wait-1",
    "wait-1000",
    "wait-10000",
];

pub const HELP: &str = "\
Usage: cargo bench --bench whole_process -- [OPTIONS]

  --rounds N   rounds of the start-up jobs (1000); heavier jobs run a fixed share of them
  --quick      the same as --rounds 50
  --only JOB   only the jobs whose name begins with JOB; may be repeated:
               null, s-hup, hup, list, main, help, table, 100000-pids, memory, size,
               port, name, full, cwd, tree, kill-tree, group,
               wait-1, wait-1000, wait-10000
  --plot FILE  how the cost of a look grows, as SVG
  --json       one JSON document instead of Markdown tables
";

pub enum Request {
    Measure(Options),
    Help,
    /// `cargo test` also runs benchmarks, without `--bench`, to check that they start.
    Test,
    /// This program, started by itself as the helper that forks the sleeping processes.
    Sleepers,
}

pub struct Options {
    pub rounds: usize,
    pub json: bool,
    pub plot: Option<PathBuf>,
    only: Vec<String>,
}

impl Options {
    pub fn wants(&self, job: &str) -> bool {
        debug_assert!(JOBS.contains(&job), "{job} is missing in the list of jobs");
        self.only.is_empty() || self.only.iter().any(|only| job.starts_with(only.as_str()))
    }
}

pub fn parse(args: &[String]) -> Result<Request> {
    if args.iter().any(|arg| arg == sleepers::FLAG) {
        return Ok(Request::Sleepers);
    }
    if !args.iter().any(|arg| arg == "--bench") {
        return Ok(Request::Test);
    }
    let mut options = Options {
        rounds: 1000,
        json: false,
        plot: None,
        only: Vec::new(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--bench" => {}
            "--json" => options.json = true,
            "--quick" => options.rounds = 50,
            "--rounds" => options.rounds = positive(value()?)?,
            "--plot" => options.plot = Some(value()?.into()),
            "--only" => options.only.push(known(value()?)?),
            "--help" | "-h" => return Ok(Request::Help),
            _ => bail!("unknown option {arg}\n{HELP}"),
        }
    }
    Ok(Request::Measure(options))
}

fn positive(number: &str) -> Result<usize> {
    number
        .parse()
        .ok()
        .filter(|&number| number > 0)
        .context("--rounds needs a positive number")
}

fn known(job: &str) -> Result<String> {
    if JOBS.iter().any(|known| known.starts_with(job)) {
        return Ok(job.to_owned());
    }
    bail!("no job begins with {job}; the jobs are {}", JOBS.join(", "))
}
