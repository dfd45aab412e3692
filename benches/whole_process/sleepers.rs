//! Processes to signal, find and wait for. They are forked by a helper, a second instance of this
//! program, which kills and reaps them and reports when. They die with the helper, and the helper
//! dies with the benchmark.

use std::env;
use std::ffi::CString;
use std::io::{self, BufRead as _, BufReader, Write};
use std::mem;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, getpid, pipe, setpgid};

use crate::process;

pub const FLAG: &str = "--sleepers";

/// The helper as the benchmark sees it.
pub struct Sleepers {
    helper: Child,
    answers: BufReader<ChildStdout>,
}

impl Sleepers {
    pub fn open() -> Result<Self> {
        Self::open_called("sleepers", &env::current_dir()?)
    }

    /// The helper has a word on its command line, and works in a directory, as all that it starts.
    pub fn open_called(word: &str, directory: &Path) -> Result<Self> {
        let mut helper = Command::new(env::current_exe()?)
            .args([FLAG, word])
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the helper")?;
        let answers = BufReader::new(helper.stdout.take().context("the helper has no output")?);
        Ok(Self { helper, answers })
    }

    /// Starts `count` sleeping processes with the command name `name`, which ignore HUP.
    pub fn start(&mut self, count: usize, name: &str) -> Result<Vec<String>> {
        self.ask(&format!("{count} {name}"))?;
        let pids: Vec<String> = self
            .answer()?
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        if pids.len() != count {
            bail!("could start only {} of {count} processes", pids.len());
        }
        Ok(pids)
    }

    /// The helper, the parent of the processes and the leader of their process group.
    pub fn helper(&self) -> String {
        self.helper.id().to_string()
    }

    /// Has the helper listen on a TCP port.
    pub fn listen(&mut self) -> Result<String> {
        self.ask("listen")?;
        Ok(self.answer()?.trim().to_owned())
    }

    /// Has all processes killed; does not wait for it.
    pub fn kill_all(&mut self) -> Result<()> {
        self.ask("kill")
    }

    /// The time on the monotonic clock at which the last of the killed processes was dead. When
    /// this returns, all of them are reaped.
    pub fn last_death(&mut self) -> Result<Duration> {
        Ok(Duration::from_nanos(self.answer()?.trim().parse()?))
    }

    fn ask(&mut self, request: &str) -> Result<()> {
        let mut requests = self
            .helper
            .stdin
            .as_ref()
            .context("the helper has no input")?;
        requests
            .write_all(format!("{request}\n").as_bytes())
            .context("asking the helper")
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .context("reading the helper's answer")?;
        Ok(line)
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        // This closes the helper's standard input first, at which it kills all processes. Nothing
        // is left to do if that fails.
        let _ = self.helper.wait();
    }
}

/// The main loop of the helper. `COUNT NAME` starts processes; `listen` opens a port; `kill` and
/// end of input kill all.
pub fn serve() -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    process::ignore_hangups()?;
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    // With the standard ones each process has 11 descriptors, like a small daemon.
    let _descriptors = [pipe()?, pipe()?, pipe()?, pipe()?];
    let mut listeners = Vec::new();
    let mut pids = Vec::new();
    let mut output = io::stdout().lock();
    for request in io::stdin().lock().lines() {
        let request = request?;
        if request == "listen" {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            writeln!(output, "{}", listener.local_addr()?.port())?;
            listeners.push(listener);
            continue;
        }
        match request.split_once(' ') {
            Some((count, name)) => {
                let started = fork_sleepers(count.parse()?, name)?;
                writeln!(
                    output,
                    "{}",
                    started
                        .iter()
                        .map(Pid::to_string)
                        .collect::<Vec<_>>()
                        .join(" ")
                )?;
                pids.extend(started);
            }
            None => writeln!(output, "{}", end(&mem::take(&mut pids))?.as_nanos())?,
        }
    }
    end(&pids)?;
    Ok(())
}

/// Forks as many as the system allows, at most `count`.
fn fork_sleepers(count: usize, name: &str) -> Result<Vec<Pid>> {
    let own = prctl::get_name()?;
    prctl::set_name(&CString::new(name)?)?; // inherited, so that no child ever has another name
    let helper = getpid();
    let started = (0..count)
        .map_while(|_| process::fork_sleeper(helper).ok())
        .collect();
    prctl::set_name(&own)?;
    Ok(started)
}

/// No process is reaped before all are dead: on kernels that report both, pidwait counts the death
/// and the reaping of one process as two deaths, and exits early.
fn end(pids: &[Pid]) -> Result<Duration> {
    for &pid in pids {
        kill(pid, Signal::SIGKILL)?;
    }
    for &pid in pids {
        waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
    }
    let dead = now()?;
    for &pid in pids {
        waitpid(pid, None)?;
    }
    Ok(dead)
}

pub fn now() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}
