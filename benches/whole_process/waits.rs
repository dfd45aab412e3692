//! Waiting for processes that are not children: the time from the last death, directly after which
//! all are reaped, to the exit of the waiting program, and the CPU time of its whole run.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::jobs::{owned, share};
use crate::options::Options;
use crate::peers::Programs;
use crate::process;
use crate::program::Program;
use crate::report::{Entry, Report, Row, Unit};
use crate::sleepers::{self, Sleepers};

/// The job, the number of processes, the divisor of the rounds.
const SIZES: [(&str, usize, usize); 3] = [
    ("wait-1", 1, 10),
    ("wait-1000", 1000, 50),
    ("wait-10000", 10_000, 200),
];
/// The loop that is common in shell scripts.
const LOOP: &str = "for pid; do while kill -0 $pid 2>/dev/null; do sleep 0.1; done; done";
/// A waiter without a context switch for this long has finished its setup.
const STILL: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(60);

pub fn wait(programs: &Programs, options: &Options, report: &mut Report) -> Result<()> {
    let mut sleepers = Sleepers::open()?;
    for (job, count, divisor) in SIZES {
        if !options.wants(job) {
            continue;
        }
        let title = format!("until the last of {count} is gone");
        let mut waiters = Vec::new();
        for waiter in candidates(programs) {
            match once(&waiter, &mut sleepers, 1, Duration::ZERO) {
                Ok(_) => waiters.push(waiter),
                Err(error) => report.note(format!("{title}: {}: {error:#}", waiter.program.label)),
            }
        }
        let entries = || {
            waiters
                .iter()
                .map(|waiter| Entry::new(waiter.program, Vec::new()))
                .collect::<Vec<_>>()
        };
        let (mut delays, mut cpu_times) = (entries(), entries());
        for round in 0..share(options.rounds, divisor) {
            for turn in 0..waiters.len() {
                process::fail_if_interrupted()?;
                let next = (round + turn) % waiters.len();
                // Vary the phase of the shell loop's sleep at the end of the wait.
                let phase = Duration::from_millis(u64::try_from(round * 37 % 100)?);
                let (delay, cpu_time) = once(&waiters[next], &mut sleepers, count, phase)
                    .with_context(|| format!("{title}: {}", waiters[next].program.label))?;
                delays[next].samples.push(delay.as_secs_f64());
                cpu_times[next].samples.push(cpu_time.as_secs_f64());
            }
        }
        report.add(Row::new(job, "Waiting", title, Unit::Seconds, delays));
        report.add(Row::new(
            job,
            "Waiting",
            format!("CPU time, {count}"),
            Unit::Seconds,
            cpu_times,
        ));
    }
    Ok(())
}

struct Waiter<'a> {
    program: &'a Program,
    before_pids: &'a [&'a str],
    /// pidwait takes no PIDs: it waits for all processes with a name.
    by_name: bool,
}

fn candidates(programs: &Programs) -> Vec<Waiter<'_>> {
    let waits = |program| Waiter {
        program,
        before_pids: &["-0", "--wait"],
        by_name: false,
    };
    let pidwait = programs.pidwait.as_ref().map(|program| Waiter {
        program,
        before_pids: &["-x"],
        by_name: true,
    });
    let shell = programs.shell.as_ref().map(|program| Waiter {
        program,
        before_pids: &["-c", LOOP, "sh"],
        by_name: false,
    });
    [
        Some(waits(&programs.sigsend)),
        programs.earlier.as_ref().map(waits),
        pidwait,
        shell,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The time from the last death to the end of the waiter, and the CPU time of the waiter.
fn once(
    waiter: &Waiter,
    sleepers: &mut Sleepers,
    count: usize,
    phase: Duration,
) -> Result<(Duration, Duration)> {
    let name = format!("waited{}", std::process::id());
    let pids = sleepers.start(count, &name)?;
    let mut args = owned(waiter.before_pids);
    args.extend(if waiter.by_name { vec![name] } else { pids });
    let invocation = waiter.program.invocation("C.UTF-8", &args)?;
    let pid = invocation.spawn()?;
    let settled = settle(pid);
    if settled.is_err() {
        kill(pid, Signal::SIGKILL)?;
    }
    thread::sleep(phase);
    sleepers.kill_all()?;
    let finished = invocation.finish(pid);
    let end = sleepers::now()?;
    let last_death = sleepers.last_death()?;
    Ok((end.saturating_sub(last_death), settled.and(finished)?))
}

/// Waits until `pid` sleeps without a context switch for a while.
fn settle(pid: Pid) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut last = None;
    while Instant::now() < deadline {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |label: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(label))
                .map(str::trim)
                .map(str::to_owned)
        };
        let state = field("State:").context("no state")?;
        if state.starts_with('Z') {
            bail!("did not wait");
        }
        let switches = state
            .starts_with('S')
            .then(|| field("voluntary_ctxt_switches:"))
            .flatten();
        if switches.is_some() && switches == last {
            return Ok(());
        }
        last = switches;
        thread::sleep(STILL);
    }
    bail!("was still busy after {} s", PATIENCE.as_secs())
}
