//! Runs one command line in the world, and holds what came of it against the forecast.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cast::Habit;
use super::line::{Age, Line, Pidfile};
use super::model::{self, Bounds, Forecast, KILLED, STOPPED};
use super::reading::{Mode, Reading};
use super::victim;
use super::world::{Account, PATIENCE, Victim, World};
use crate::support::{SIGSEND, TempDir, tempdir};

/// How one run of sigsend ended.
#[derive(Debug)]
pub struct Ended {
    pid: i32,
    /// The exit status, or KILLED plus the signal, or STOPPED.
    exit: i32,
    hung: bool,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// Whether it had to be ended by force.
    pub fn hung(&self) -> bool {
        self.hung
    }
}

/// Where sigsend runs: a copy that every user can reach, and a directory for pidfiles.
pub struct Stage {
    program: PathBuf,
    dir: TempDir,
}

impl Stage {
    pub fn new() -> Self {
        let dir = tempdir();
        let open = Permissions::from_mode(0o755);
        fs::set_permissions(dir.path(), open.clone()).expect("our own directory");
        let program = dir.path().join("sigsend");
        fs::copy(SIGSEND, &program).expect("a copy of the program");
        fs::set_permissions(&program, open).expect("our own copy");
        Self { program, dir }
    }

    fn lay_out(&self, line: &Line) {
        for (name, file) in &line.files {
            let path = self.dir.path().join(name);
            lay_out(&path, file).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }

    fn clear(&self, line: &Line) {
        for (name, file) in &line.files {
            let path = self.dir.path().join(name);
            let removed =
                if matches!(file, Pidfile::Directory) { fs::remove_dir(&path) } else { fs::remove_file(&path) };
            removed.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }

    /// Runs the line to its end, or as far as it goes: a wait without end is ended by TERM, a stop by KILL.
    pub fn run(&self, line: &Line, world: &World, forecast: &Forecast) -> Ended {
        self.lay_out(line);
        let (stdin, mut content) = io::pipe().expect("a pipe");
        content.write_all(&line.stdin).expect("less than a pipe holds");
        drop(content);
        let (out, err) = (self.dir.path().join("out"), self.dir.path().join("err"));
        let file = |path: &Path| File::create(path).expect("our own file");
        let mut command = Command::new(&self.program);
        command.args(&line.args).env_clear().current_dir(self.dir.path());
        command.stdin(stdin).stdout(Stdio::from(file(&out))).stderr(Stdio::from(file(&err)));
        command.process_group(if line.at_home { world.home() } else { 0 });
        if line.user != 0 {
            command.uid(line.user).gid(line.user);
        }
        let mut child = victim::with_open_mask(|| command.spawn()).expect("sigsend starts");
        let pid = i32::try_from(child.id()).expect("a PID");
        let fd = victim::pidfd(pid).expect("unreaped");
        let since = Instant::now();
        let (mut stopped, mut hung) = (false, false);
        let send = |signal| kill(Pid::from_raw(pid), signal).expect("unreaped");
        while poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], 25_u16).expect("poll") == 0 {
            let waited = since.elapsed();
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat.contains(") T ") {
                stopped = true;
                send(Signal::SIGKILL);
            } else if waited > PATIENCE {
                hung = true;
                send(Signal::SIGKILL);
            } else if forecast.hangs && waited > Duration::from_millis(forecast.patience) && stat.contains(") S ") {
                send(Signal::SIGTERM);
            }
        }
        let status = child.wait().expect("our own child");
        self.clear(line);
        let exit = status.signal().map_or_else(|| status.code().unwrap_or(-1), |signal| KILLED + signal);
        let read = |path| String::from_utf8_lossy(&fs::read(path).expect("our own file")).into_owned();
        Ended { pid, exit: if stopped { STOPPED } else { exit }, hung, stdout: read(out), stderr: read(err) }
    }
}

fn lay_out(path: &Path, file: &Pidfile) -> io::Result<()> {
    match file {
        Pidfile::File(content, age) => {
            fs::write(path, content)?;
            let hour = Duration::from_secs(3600);
            match age {
                Age::Now => Ok(()),
                Age::Old => File::options().write(true).open(path)?.set_modified(SystemTime::now() - hour),
                Age::Future => File::options().write(true).open(path)?.set_modified(SystemTime::now() + hour),
            }
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

/// What is wrong with how the line ended and with what the victims received; empty when all is as foretold.
pub fn complaints(
    reading: &Reading,
    forecast: &Forecast,
    world: &World,
    ended: &Ended,
    accounts: &[Account],
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut complain = |bad: bool, what: String| {
        if bad {
            wrong.push(what);
        }
    };
    complain(ended.hung, format!("did not end within {PATIENCE:?}"));
    let panicked = ended.exit == 101 || ended.exit == 134 || ended.stderr.contains("panicked");
    complain(panicked, format!("panicked: {}", ended.stderr));
    let exits = &forecast.exits;
    complain(!exits.contains(&ended.exit), format!("ended with {}, not one of {exits:?}", ended.exit));
    let text = format!("stdout {:?}, stderr {:?}", ended.stdout, ended.stderr);
    if let Reading::Refused = reading
        && !exits.contains(&0)
    {
        let clear = ended.stderr.starts_with("sigsend: ") && (ended.stdout.is_empty() || ended.stdout.starts_with('{'));
        complain(!clear, format!("no clear usage error: {text}"));
    }
    if let Reading::Request(request) = reading {
        let speaks = request.has("verbose") || request.has("json") || request.mode != Mode::Send;
        let silent = ended.exit == 0 && !speaks && !request.loose;
        complain(
            silent && !(ended.stdout.is_empty() && ended.stderr.is_empty()),
            format!("success is not silent: {text}"),
        );
        complain(
            matches!(ended.exit, 1 | 64) && request.mode == Mode::Send && ended.stderr.is_empty(),
            "no word of the failure".into(),
        );
        let garbage =
            |line: &&str| !serde_json::from_str::<serde_json::Value>(line).is_ok_and(|value| value.is_object());
        let garbage = ended.stdout.lines().find(garbage).filter(|_| request.has("json"));
        complain(garbage.is_some(), format!("no JSON: {garbage:?}"));
    }
    if let Some([must, may]) = &forecast.printed {
        let printed: BTreeSet<String> = ended.stdout.lines().map(str::to_owned).collect();
        complain(
            !(must.is_subset(&printed) && printed.is_subset(may)),
            format!("printed {printed:?}, not {must:?} to {may:?}"),
        );
    }
    for ((victim, account), bounds) in world.victims.iter().zip(accounts).zip(&forecast.bounds) {
        let who = || format!("{} ({:?}, {})", victim.pid, victim.name.escape_ascii().to_string(), victim.describe());
        wrong.extend(against(victim, account, bounds).into_iter().map(|what| format!("{}: {what}", who())));
        wrong.extend(senders(reading, account, ended.pid).into_iter().map(|what| format!("{}: {what}", who())));
    }
    wrong
}

/// Who sent it, by which call, and with which value.
fn senders(reading: &Reading, account: &Account, sigsend: i32) -> Vec<String> {
    let Reading::Request(request) = reading else { return Vec::new() };
    let first = i32::from(request.signal.unwrap_or(15));
    let mut wrong = Vec::new();
    for &[signal, code, sender, value] in account.receipts.iter().filter(|receipt| receipt[1] <= 0) {
        if sender != sigsend {
            wrong.push(format!("{signal} came from {sender}, not from sigsend ({sigsend})"));
        }
        let sent = (code == -1).then_some(value);
        if sent != request.queue && signal == first && !request.loose {
            wrong.push(format!("{signal} came with value {sent:?}, not {:?}", request.queue));
        }
    }
    wrong
}

/// What a victim received beyond its bounds.
fn against(victim: &Victim, account: &Account, bounds: &Bounds) -> Vec<String> {
    let mut wrong = Vec::new();
    let number = |signal: i32| usize::try_from(signal).expect("a signal");
    let (least, most) = (&bounds.least, &bounds.most);
    if let Some(code) = account.exited {
        wrong.push(format!("exited with {code}"));
    }
    if let Some(signal) = account.killed.filter(|&signal| most[number(signal)] == 0) {
        wrong.push(format!("was killed by {signal}"));
    }
    // Each of these discards the other where it is pending.
    let both_ways = most[18] > 0 && [19, 20, 21, 22].iter().any(|&stop| most[stop] > 0);
    // A victim may be stopped on its way into a handler.
    let midway = victim.habit == Habit::Counts && account.stopped;
    let keeps_account = !midway
        && matches!(
            victim.habit,
            Habit::Init | Habit::Counts | Habit::Records { .. } | Habit::Threads | Habit::Headless
        );
    let dead = account.killed.is_some() || account.exited.is_some();
    for signal in (1..=64).filter(|signal| ![9, 19].contains(signal)) {
        let got = account.counts[signal];
        if got > most[signal] {
            wrong.push(format!("received {signal} {got} times, at most {} foretold", most[signal]));
        }
        // The kernel's own CHLD and HUP (a child ended, a group was orphaned) may have stood in for sigsend's.
        let merged = account.receipts.iter().any(|receipt| receipt[1] > 0 && number(receipt[0]) == signal)
            || signal == 17 && account.unanswered;
        let flushed = both_ways && matches!(signal, 18 | 20..=22);
        let unseen = victim.is_zombie() || victim.habit == Habit::Init && matches!(signal, 32 | 33);
        // Standard signals merge while they are pending, and pending realtime signals are not counted.
        let needed = if signal < 32 || account.unanswered { least[signal].min(1) } else { least[signal] };
        if keeps_account && !dead && !merged && !flushed && !unseen && got < needed {
            wrong.push(format!("received {signal} {got} times, at least {needed} foretold"));
        }
    }
    let may_stop = most[19] > 0 || victim.habit == Habit::Dies && [20, 21, 22].iter().any(|&stop| most[stop] > 0);
    if account.stopped && !victim.stopped && !may_stop {
        wrong.push(if bounds.frozen { "was left frozen".into() } else { "was stopped".into() });
    }
    if victim.stopped && !account.stopped && !dead && most[18] == 0 {
        wrong.push("was continued".into());
    }
    if victim.habit != Habit::Init && !victim.is_zombie() && !dead {
        let fatal = |signal: &usize| model::is_fatal(*signal) && least[*signal] > 0;
        let stoppable = victim.stopped || may_stop;
        let must_die =
            least[9] > 0 || victim.habit == Habit::Dies && !stoppable && (1..=64).any(|signal| fatal(&signal));
        if must_die {
            wrong.push("lives on, though it was to be killed".into());
        }
        if least[19] > 0 && most[18] == 0 && !account.stopped {
            wrong.push("was not stopped".into());
        }
    }
    wrong
}
