//! Runs one command line in the world. Ends it by force if it hangs or is stopped.

use std::io::Write;
use std::os::fd::AsFd;
use std::process::Child;
use std::time::SystemTime;

use super::handlers::{limit_files, with_open_mask};
use super::line::{Age, Line, Sink};
use super::model::{Forecast, KILLED, STOPPED};
use super::world::{PATIENCE, World};
use nix::poll::{PollFd, PollFlags, poll};

use crate::hidden::hide;
use crate::support::prelude::*;

#[derive(Debug)]
pub struct Ended {
    pub pid: i32,
    /// The exit status, or KILLED plus the signal, or STOPPED.
    pub exit: i32,
    /// It did not end and was killed.
    pub hung: bool,
    pub stdout: String,
    pub stderr: String,
}

/// Where sigsend runs: a copy that every user can reach, and a directory for pidfiles.
pub struct Runner {
    program: PathBuf,
    dir: TempDir,
}

impl Runner {
    pub fn new() -> Self {
        let dir = tempdir();
        let program = dir.path().join("sigsend");
        copy(*SIGSEND, &program);
        Self { program, dir }
    }

    fn write_files(&self, line: &Line) {
        for (name, content, age) in &line.files {
            let path = self.dir.file(name, content);
            let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
            let time = match age {
                Age::Now => continue,
                Age::Old => now - hour,
                Age::Future => now + hour,
            };
            let file = File::options().write(true).open(path);
            let set = file.and_then(|file| file.set_modified(time));
            set.expect("our own file");
        }
    }

    /// Runs the line. An endless wait is ended by TERM, a stopped sigsend by KILL.
    pub fn run(&self, line: &Line, world: &World, forecast: &Forecast) -> Ended {
        self.write_files(line);
        if line.hidden {
            assert!(hide(2), "remounting /proc");
        }
        let ended = self.start_and_wait(line, world, forecast);
        if line.hidden {
            assert!(hide(0), "remounting /proc");
        }
        for (name, ..) in &line.files {
            fs::remove_file(self.dir.path().join(name)).expect("our own file");
        }
        ended
    }

    fn start_and_wait(&self, line: &Line, world: &World, forecast: &Forecast) -> Ended {
        let [out, err] = ["out", "err"].map(|name| self.dir.path().join(name));
        let mut child = self.start(line, world, &out, &err);
        let pid = i32::try_from(child.id()).expect("a PID");
        let fd = pidfd(pid).expect("unreaped");
        let since = Instant::now();
        let patience = Duration::from_millis(forecast.patience);
        let (mut stopped, mut hung) = (false, false);
        let send = |signal| kill(Pid::from_raw(pid), signal).expect("unreaped");
        while poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], 25_u16).expect("poll") == 0 {
            let waited = since.elapsed();
            let is_idle = waited > patience;
            if state(pid) == 'T' {
                stopped = true;
                send(Signal::SIGKILL);
            } else if waited > PATIENCE {
                hung = true;
                send(Signal::SIGKILL);
            } else if forecast.hangs && is_idle && (waits_without_end(pid) || waited > PATIENCE / 2)
            {
                send(Signal::SIGTERM);
            }
        }
        let status = child.wait().expect("our own child");
        let by_signal = status.signal().map(|signal| KILLED + signal);
        let exit = by_signal.unwrap_or(status.code().unwrap_or(-1));
        let read = |path| String::from_utf8_lossy(&fs::read(path).expect("our own")).into_owned();
        Ended {
            pid,
            exit: if stopped { STOPPED } else { exit },
            hung,
            stdout: read(out),
            stderr: read(err),
        }
    }

    fn start(&self, line: &Line, world: &World, out: &Path, err: &Path) -> Child {
        let (stdin, mut content) = io::pipe().expect("a pipe");
        let written = content.write_all(&line.stdin);
        written.expect("less than a pipe holds");
        drop(content);
        let empty = |path| File::create(path).expect("our own file");
        let (stdout, stderr) = (empty(out), empty(err));
        let full = || File::options().write(true).open("/dev/full");
        let mut command = Command::new(&self.program);
        command.args(&line.args).env_clear();
        command.current_dir(self.dir.path());
        command.stdin(stdin).stderr(stderr);
        match line.sink {
            Sink::Full => command.stdout(full().expect("a device")),
            Sink::File | Sink::Limited(_) => command.stdout(stdout),
        };
        command.process_group(if line.is_at_home { world.home() } else { 0 });
        if line.user != 0 {
            command.uid(line.user).gid(line.user);
        }
        if let Sink::Limited(bytes) = line.sink {
            limit_files(&mut command, bytes);
        }
        with_open_mask(|| command.spawn()).expect("sigsend starts")
    }
}

/// epoll_wait(2); newer architectures have only epoll_pwait(2).
const EPOLL_WAITS: &[i64] = &[
    libc::SYS_epoll_pwait,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
];

/// Whether a process waits for events without a time limit, so that it has nothing left to send.
fn waits_without_end(pid: i32) -> bool {
    let call = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let mut fields = call.split_whitespace();
    let number = fields.next().and_then(|number| number.parse::<i64>().ok());
    let hex = |field: &str| u64::from_str_radix(field.trim_start_matches("0x"), 16).ok();
    let args: Vec<u64> = fields.filter_map(hex).collect();
    match number {
        // The time limit is passed by pointer.
        Some(libc::SYS_ppoll) => args.get(2) == Some(&0),
        // In milliseconds, -1 for none.
        Some(number) if EPOLL_WAITS.contains(&number) => {
            args.get(3).map(|limit| limit & 0xffff_ffff) == Some(0xffff_ffff)
        }
        _ => false,
    }
}
