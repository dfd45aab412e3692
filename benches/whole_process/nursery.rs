//! Processes to signal, find and wait for: forked by a helper, which is this program started once
//! more, and which ends them by their PIDs, reaps them and tells when. They die with the helper,
//! and the helper with the benchmark.

use std::env;
use std::ffi::CString;
use std::io::{self, BufRead as _, BufReader, Write};
use std::mem;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, getpid};

use crate::process;

pub const FLAG: &str = "--nursery";

/// The helper as the benchmark sees it.
pub struct Nursery {
    helper: Child,
    answers: BufReader<ChildStdout>,
}

impl Nursery {
    pub fn open() -> Result<Self> {
        let mut helper = Command::new(env::current_exe()?)
            .arg(FLAG)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the helper")?;
        let answers = BufReader::new(helper.stdout.take().context("the helper has no output")?);
        Ok(Self { helper, answers })
    }

    /// Brings up `count` sleeping processes with the command name `name`, which ignore HUP.
    pub fn admit(&mut self, count: usize, name: &str) -> Result<Vec<String>> {
        self.ask(&format!("{count} {name}"))?;
        let pids: Vec<String> = self.answer()?.split_whitespace().map(str::to_owned).collect();
        if pids.len() != count {
            bail!("could start only {} of {count} processes", pids.len());
        }
        Ok(pids)
    }

    /// Has everyone killed; does not wait for it.
    pub fn dismiss(&mut self) -> Result<()> {
        self.ask("dismiss")
    }

    /// The moment on the monotonic clock at which the last of the dismissed was seen dead; by now
    /// all are reaped, too.
    pub fn emptied(&mut self) -> Result<Duration> {
        Ok(Duration::from_nanos(self.answer()?.trim().parse()?))
    }

    fn ask(&mut self, request: &str) -> Result<()> {
        let mut requests = self.helper.stdin.as_ref().context("the helper has no input")?;
        requests.write_all(format!("{request}\n").as_bytes()).context("asking the helper")
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("reading the helper's answer")?;
        Ok(line)
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        // Closes the helper's standard input first, which tells it to end everyone. Nothing is left
        // to do if that fails.
        let _ = self.helper.wait();
    }
}

/// The helper itself. `COUNT NAME` admits processes, `dismiss` ends all, and so does the end of the
/// input.
pub fn serve() -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    process::ignore_hangups()?;
    let mut residents = Vec::new();
    let mut output = io::stdout().lock();
    for request in io::stdin().lock().lines() {
        let request = request?;
        match request.split_once(' ') {
            Some((count, name)) => {
                let admitted = admit(count.parse()?, name)?;
                writeln!(output, "{}", admitted.iter().map(Pid::to_string).collect::<Vec<_>>().join(" "))?;
                residents.extend(admitted);
            }
            None => writeln!(output, "{}", end(&mem::take(&mut residents))?.as_nanos())?,
        }
    }
    end(&residents)?;
    Ok(())
}

/// As many as the machine allows, at most `count`.
fn admit(count: usize, name: &str) -> Result<Vec<Pid>> {
    let own = prctl::get_name()?;
    prctl::set_name(&CString::new(name)?)?; // inherited, so that nobody is ever seen under another name
    let nursery = getpid();
    let admitted = (0..count).map_while(|_| process::fork_sleeper(nursery).ok()).collect();
    prctl::set_name(&own)?;
    Ok(admitted)
}

/// Nobody is reaped before all are dead: where the kernel tells of both, pidwait counts the death
/// and the reaping of one process as two deaths, and leaves early.
fn end(residents: &[Pid]) -> Result<Duration> {
    for &pid in residents {
        kill(pid, Signal::SIGKILL)?;
    }
    for &pid in residents {
        waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
    }
    let dead = now()?;
    for &pid in residents {
        waitpid(pid, None)?;
    }
    Ok(dead)
}

pub fn now() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}
