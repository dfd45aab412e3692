//! Runs one command line in the world. Ends it by force if it hangs or is stopped.

use std::fs::{OpenOptions, Permissions};
use std::io::{ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::handlers::with_open_mask;
use super::launcher::{self, limit_files};
use super::line::{Age, Line, Pidfile, Sink, Start};
use super::model::{Forecast, KILLED, STOPPED};
use super::roles::Habit;
use super::world::{PATIENCE, World, zombie_status};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, poll};

use crate::hidden::hide;
use crate::support::prelude::*;

/// How one run of sigsend ended.
#[derive(Debug)]
pub struct Ended {
    pub pid: i32,
    /// The exit status, or KILLED plus the signal, or STOPPED.
    pub exit: i32,
    /// It did not end and was killed.
    pub hung: bool,
    /// A predicted signal was not sent while output could not be written.
    pub delayed: bool,
    pub stdout: String,
    pub stderr: String,
}

/// The time limit for a predicted signal, for a busy machine.
const DELIVERY_LIMIT: Duration = Duration::from_secs(4);

/// The interval between two CONT to the same process.
const CONT_INTERVAL: Duration = Duration::from_micros(300);

/// Where sigsend runs: a copy that every user can reach, and a directory for pidfiles.
pub struct Runner {
    program: PathBuf,
    dir: TempDir,
}

/// Standard output, and the harness's end of it.
enum Output {
    File(PathBuf),
    /// The reader, and a writer that keeps the pipe open until sigsend has opened it.
    Pipe(PipeReader, PipeWriter, Vec<u8>),
    Discarded(Stdio),
}

/// sigsend, started by the harness itself or by the launcher.
enum Started {
    Child(Child),
    Launched,
}

impl Runner {
    pub fn new() -> Self {
        let dir = tempdir();
        let program = dir.path().join("sigsend");
        copy(*SIGSEND, &program);
        Self { program, dir }
    }

    fn write_files(&self, line: &Line) {
        for (name, file) in &line.files {
            let path = self.dir.path().join(name);
            write_pidfile(&path, file).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }

    fn remove_files(&self, line: &Line) {
        for (name, file) in &line.files {
            let path = self.dir.path().join(name);
            let removed = match file {
                Pidfile::Directory => fs::remove_dir(&path),
                _ => fs::remove_file(&path),
            };
            removed.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }

    /// Runs the line. An endless wait is ended by TERM, a stopped sigsend by KILL.
    pub fn run(&self, line: &Line, world: &mut World, forecast: &Forecast) -> Ended {
        self.write_files(line);
        if line.hidden {
            assert!(hide(2), "remounting /proc");
        }
        let is_over = AtomicBool::new(false);
        let targets = line.storm.map(|family| world.family(family));
        let ended = thread::scope(|scope| {
            if let Some(targets) = &targets {
                scope.spawn(|| send_cont(targets, &is_over));
            }
            let ended = self.start_and_wait(line, world, forecast);
            is_over.store(true, Ordering::Relaxed);
            ended
        });
        if line.hidden {
            assert!(hide(0), "remounting /proc");
        }
        self.remove_files(line);
        ended
    }

    fn start_and_wait(&self, line: &Line, world: &mut World, forecast: &Forecast) -> Ended {
        let err = self.dir.path().join("err");
        File::create(&err).expect("our own file");
        let mut output = self.output(line.sink);
        let (pid, mut started) = self.start(line, world, &mut output, &err);
        let fd = pidfd(pid).expect("unreaped");
        let since = Instant::now();
        let patience = Duration::from_millis(forecast.patience);
        let (mut stopped, mut hung, mut delayed) = (false, false, false);
        let send = |signal| kill(Pid::from_raw(pid), signal).expect("unreaped");
        while poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], 25_u16).expect("poll") == 0 {
            let waited = since.elapsed();
            let is_idle = waited > patience;
            if let Output::Pipe(from, _, read) = &mut output
                && is_idle
            {
                let is_delivered = is_delivered(world, forecast);
                let is_late = !delayed && !is_delivered && waited > patience + DELIVERY_LIMIT;
                delayed |= is_late;
                if is_late || is_delivered {
                    drain(from, read);
                }
            }
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
        let status = started.reap(pid, world);
        let by_signal = status.signal().map(|signal| KILLED + signal);
        let exit = by_signal.unwrap_or(status.code().unwrap_or(-1));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let read = |path: &Path| text(fs::read(path).expect("our own file"));
        let stdout = match output {
            Output::File(path) => read(&path),
            Output::Discarded(_) => String::new(),
            Output::Pipe(mut from, _, mut bytes) => {
                drain(&mut from, &mut bytes);
                bytes.retain(|&byte| byte != FILLER);
                text(bytes)
            }
        };
        let exit = if stopped { STOPPED } else { exit };
        let stderr = read(&err);
        Ended {
            pid,
            exit,
            hung,
            delayed,
            stdout,
            stderr,
        }
    }

    fn output(&self, sink: Sink) -> Output {
        let device = |path: &str| OpenOptions::new().write(true).open(path).expect("a device");
        match sink {
            Sink::File | Sink::Limited(_) => {
                let path = self.dir.path().join("out");
                File::create(&path).expect("our own file");
                Output::File(path)
            }
            Sink::Late => {
                let (reader, writer) = full_pipe().expect("a pipe");
                Output::Pipe(reader, writer, Vec::new())
            }
            Sink::Closed => Output::Discarded(io::pipe().expect("a pipe").1.into()),
            Sink::Full => Output::Discarded(device("/dev/full").into()),
        }
    }

    fn start(&self, line: &Line, world: &World, output: &mut Output, err: &Path) -> (i32, Started) {
        let limit = match line.sink {
            Sink::Limited(bytes) => Some(bytes),
            _ => None,
        };
        if line.start == Start::Shell {
            let input = self.dir.file("in", &line.stdin);
            let out = match output {
                Output::File(path) => path.clone().into(),
                Output::Pipe(_, writer, _) => format!("/proc/1/fd/{}", writer.as_raw_fd()).into(),
                Output::Discarded(_) => "/dev/full".into(),
            };
            let (program, directory) = (self.program.clone().into(), self.dir.path().into());
            let user = line.user.to_string().into();
            let limit = limit.map_or_else(String::new, |limit| limit.to_string());
            let limit = limit.into();
            let mut words = vec![
                program,
                directory,
                input.into(),
                out,
                err.into(),
                user,
                limit,
            ];
            words.extend(line.args.iter().cloned());
            let pid = launcher::request(world.launcher().1, &words);
            return (pid.expect("an answer of the launcher"), Started::Launched);
        }
        let (stdin, mut content) = io::pipe().expect("a pipe");
        let written = content.write_all(&line.stdin);
        written.expect("less than a pipe holds");
        drop(content);
        let append = |path: &Path| OpenOptions::new().append(true).open(path);
        let append = |path: &Path| append(path).expect("our own file");
        let mut command = Command::new(&self.program);
        command.args(&line.args).env_clear();
        command.current_dir(self.dir.path());
        command.stdin(stdin).stderr(append(err));
        match output {
            Output::File(path) => command.stdout(append(path)),
            Output::Pipe(_, writer, _) => command.stdout(writer.try_clone().expect("a descriptor")),
            Output::Discarded(sink) => command.stdout(std::mem::replace(sink, Stdio::null())),
        };
        command.process_group(if line.start == Start::Home {
            world.home()
        } else {
            0
        });
        if line.user != 0 {
            command.uid(line.user).gid(line.user);
        }
        if let Some(limit) = limit {
            limit_files(&mut command, limit);
        }
        let child = with_open_mask(|| command.spawn()).expect("sigsend starts");
        let pid = i32::try_from(child.id()).expect("a PID");
        (pid, Started::Child(child))
    }
}

impl Started {
    /// Reaps sigsend, which must have ended. Returns its wait status.
    fn reap(&mut self, pid: i32, world: &mut World) -> ExitStatus {
        if let Self::Child(child) = self {
            return child.wait().expect("our own child");
        }
        let status = zombie_status(pid).expect("it has ended");
        let (launcher, line) = world.launcher();
        let state = || state(launcher.pid);
        eventually("the launcher", || "STZX".contains(state()));
        if !(state() == 'S' && launcher::request_reap(line, pid)) {
            world.reap_later(pid);
        }
        ExitStatus::from_raw(status)
    }
}

/// The byte that fills a pipe; never part of the output.
const FILLER: u8 = 0;

/// A pipe that is full until it is read.
fn full_pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, mut writer) = io::pipe()?;
    let flags = |fd: &dyn AsFd, flags| fcntl(fd.as_fd(), FcntlArg::F_SETFL(flags));
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096))?;
    flags(&writer, OFlag::O_NONBLOCK)?;
    while writer.write(&[FILLER; 4096]).is_ok() {}
    flags(&writer, OFlag::empty())?;
    flags(&reader, OFlag::O_NONBLOCK)?;
    Ok((reader, writer))
}

fn drain(from: &mut PipeReader, into: &mut Vec<u8>) {
    let mut bytes = [0; 4096];
    loop {
        match from.read(&mut bytes) {
            Ok(0) => return,
            Ok(count) => into.extend(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("reading what sigsend wrote: {error}"),
        }
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
        Some(number) if EPOLL_WAITS.contains(&number) => args
            .get(3)
            .is_some_and(|limit| limit & 0xffff_ffff == 0xffff_ffff),
        _ => false,
    }
}

/// Whether all victims that must get KILL are dead.
fn is_delivered(world: &World, forecast: &Forecast) -> bool {
    let mut bounds = world.victims.iter().zip(&forecast.bounds);
    bounds.all(|(victim, bounds)| {
        let survives = victim.habit == Habit::Init || victim.is_zombie() || !victim.exists();
        survives || bounds.least[9] == 0 || !victim.runs()
    })
}

/// Sends CONT to all targets repeatedly. None of them is reaped before this ends.
fn send_cont(targets: &[i32], is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        for &pid in targets {
            kill(Pid::from_raw(pid), Signal::SIGCONT).expect("unreaped");
        }
        thread::sleep(CONT_INTERVAL);
    }
}

fn write_pidfile(path: &Path, file: &Pidfile) -> io::Result<()> {
    match file {
        Pidfile::File(content, age) => {
            fs::write(path, content)?;
            let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
            let time = match age {
                Age::Now => return Ok(()),
                Age::Old => now - hour,
                Age::Future => now + hour,
            };
            File::options().write(true).open(path)?.set_modified(time)
        }
        Pidfile::Unreadable(content) => {
            fs::write(path, content)?;
            fs::set_permissions(path, Permissions::from_mode(0o000))
        }
        Pidfile::Directory => fs::create_dir(path),
        Pidfile::Dangling => symlink("nowhere", path),
        Pidfile::Device => symlink("/dev/null", path),
    }
}
