//! Ctrl-C and its kin while one waits, on real terminals and off them, and what a shell says of its jobs.

use std::env;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::Pid;

use crate::family::{children, state};
use crate::support::{
    DEADLINE, Recorder, SIGSEND, STUBBORN, Victim, eventually, program, raw_sigsend, sigsend, skip, strace, victim,
};

/// A terminal with somebody in its foreground.
struct Terminal {
    keyboard_and_screen: File,
    written: String,
    leader: Child,
}

impl Terminal {
    /// Runs a command as the leader of a session on a terminal of its own, without echo. `None` (said) where setsid(1) is missing.
    #[track_caller]
    fn running(words: &[&str]) -> Option<Self> {
        if program("setsid").is_none() {
            skip("no setsid");
            return None;
        }
        let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a pseudo-terminal");
        let mut modes = tcgetattr(&pty.slave).expect("it is a terminal");
        modes.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &modes).expect("it is a terminal");
        let slave = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        // setsid(1) becomes what it runs, since this child leads no group.
        let mut command = Command::new("setsid");
        command.arg("--ctty").args(words).stdin(slave()).stdout(slave()).stderr(slave()).current_dir("/");
        command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
        command.env("LC_ALL", "C").env("TERM", "xterm").env("PS1", "$ ");
        let leader = command.spawn().expect("setsid starts");
        Some(Self { keyboard_and_screen: pty.master.into(), written: String::new(), leader })
    }

    /// All that was written, once nobody writes any more, and how the leader ended.
    #[track_caller]
    fn end(&mut self) -> (&str, ExitStatus) {
        self.read_until(None);
        (&self.written, self.leader.wait().expect("a child"))
    }

    fn type_in(&mut self, keys: &str) {
        self.keyboard_and_screen.write_all(keys.as_bytes()).expect("a keyboard");
    }

    /// Reads until the text has been written, or to the end; all that was written so far.
    #[track_caller]
    fn read_until(&mut self, awaited: Option<&str>) -> &str {
        let end = Instant::now() + DEADLINE;
        while !awaited.is_some_and(|text| self.written.contains(text)) {
            let left = PollTimeout::try_from(end.saturating_duration_since(Instant::now())).expect("a short time");
            match poll(&mut [PollFd::new(self.keyboard_and_screen.as_fd(), PollFlags::POLLIN)], left) {
                Err(Errno::EINTR) => continue,
                ready => assert!(ready.expect("poll") > 0, "{awaited:?} does not come: {:?}", self.written),
            }
            let mut chunk = [0; 4096];
            match self.keyboard_and_screen.read(&mut chunk) {
                Ok(length @ 1..) => self.written += &String::from_utf8_lossy(&chunk[..length]),
                // EIO is how Linux says that nobody has the other side open any more.
                end => {
                    assert!(awaited.is_none(), "{awaited:?} never came: {end:?} {:?}", self.written);
                    break;
                }
            }
        }
        &self.written
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Without its leader the session loses its terminal and gets HUP.
        let _ = self.leader.kill();
        let _ = self.leader.wait();
    }
}

/// The lines that are left on a screen on which this was written, without those that are blank.
fn screen(written: &str) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let mut column = 0;
    let mut rest = written;
    while let Some(character) = rest.chars().next() {
        let line = lines.last_mut().expect("there is always one");
        let mut length = character.len_utf8();
        match character {
            '\r' => column = 0,
            '\n' => lines.push(Vec::new()),
            '\x1b' => {
                length = rest.find(char::is_alphabetic).expect("a whole sequence") + 1;
                match &rest[..length] {
                    "\x1b[2K" => line.clear(),
                    "\x1b[K" => line.truncate(column),
                    other => panic!("a screen does not know {other:?}"),
                }
            }
            _ => {
                line.resize(line.len().max(column + 1), ' ');
                line[column] = character;
                column += 1;
            }
        }
        rest = &rest[length..];
    }
    let lines = lines.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

#[test]
fn ctrl_c_ends_a_wait_at_once_and_wipes_its_line() {
    let stubborn = Victim::shell(STUBBORN);
    let Some(mut terminal) = Terminal::running(&[SIGSEND, "--grace", "5m", &stubborn.arg()]) else { return };
    let waiting = format!("waiting for {} (sh)", stubborn.pid());
    let written = terminal.read_until(Some(&waiting)).to_owned();
    assert!(!written.contains('\n'), "{written:?}");
    terminal.type_in("\x03");
    let (written, status) = terminal.end();
    assert_eq!(status.signal(), Some(2), "{status}");
    assert!(screen(written).is_empty(), "{written:?}");
    stubborn.assert_alive();
}

#[test]
fn the_line_on_the_terminal_goes_when_the_wait_is_over() {
    let mut other = Victim::shell("echo ready; read word");
    let Some(mut terminal) = Terminal::running(&[SIGSEND, "-v", "-0", "--wait", &other.arg()]) else { return };
    terminal.read_until(Some(&format!("waiting for {} (sh)", other.pid())));
    other.say("exit");
    let (written, status) = terminal.end();
    assert_eq!(status.code(), Some(0), "{status}");
    let lines = screen(written);
    assert_eq!(lines[0], format!("{} (sh) may be signalled", other.pid()), "{written:?}");
    assert!(lines[1].starts_with(&format!("{} (sh) exited with status 0 after ", other.pid())), "{written:?}");
    assert_eq!(lines.len(), 2, "{written:?}");
}

#[test]
fn a_wait_that_is_over_soon_shows_nothing() {
    let victim = Victim::sleeping();
    let Some(mut terminal) = Terminal::running(&[SIGSEND, "--wait", &victim.arg()]) else { return };
    let (written, status) = terminal.end();
    assert_eq!((written, status.code()), ("", Some(0)));
}

#[test]
fn an_interrupt_ends_a_wait_by_that_very_signal() {
    let stubborn = Victim::shell(STUBBORN);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut command = raw_sigsend();
        command.args(["-v", "--grace", "5m", &stubborn.arg()]);
        let mut patient = victim().command(command);
        while !patient.read_line().starts_with("sent CONT") {}
        kill(Pid::from_raw(patient.pid()), signal).expect("a child");
        patient.assert_killed_by(signal as i32);
    }
    stubborn.assert_alive();
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_so() {
    for terminal in [false, true] {
        let stubborn = Victim::shell(STUBBORN);
        let script = "trap '' INT HUP; \"$0\" -v --grace 1s \"$1\" & echo \"its PID is $! \"; wait; echo status $?";
        let words = ["sh", "-c", script, SIGSEND, &stubborn.arg()].map(str::to_owned);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let pid_in = |line: &str| line.split_whitespace().find_map(|word| word.parse::<i32>().ok()).expect("a PID");
        let interrupt = |pid: i32| {
            for signal in [Signal::SIGINT, Signal::SIGHUP] {
                kill(Pid::from_raw(pid), signal).expect("it waits");
            }
        };
        if terminal {
            let Some(mut terminal) = Terminal::running(&words) else { return };
            let written = terminal.read_until(Some("waiting for")).to_owned();
            let line = written.lines().find(|line| line.contains("its PID is")).expect("the shell says it");
            interrupt(pid_in(line.split_once("its PID is").expect("it is there").1));
            terminal.read_until(Some("status 0"));
        } else {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]);
            let mut shell = victim().command(command);
            let (mut pid, mut under_way) = (None, false);
            while pid.is_none() || !under_way {
                let line = shell.read_line();
                pid = pid.or(line.starts_with("its PID").then(|| pid_in(&line)));
                under_way |= line.starts_with("sent CONT");
            }
            interrupt(pid.expect("it was read"));
            while shell.read_line() != "status 0" {}
        }
        stubborn.assert_killed_by(9);
    }
}

#[test]
fn a_shell_does_not_take_its_job_for_stopped() {
    if program("bash").is_none() {
        return skip("no bash");
    }
    let Some(mut terminal) = Terminal::running(&["bash", "--norc", "--noprofile", "-i"]) else { return };
    let job = "trap 'echo heard''-hup' HUP; echo job $$ is; while :; do sleep 60 & wait $!; done";
    terminal.type_in(&format!("sh -c {}\n", quoted(job)));
    let written = terminal.read_until(Some(" is\r\n")).to_owned();
    let pid = written.split_once("job ").and_then(|(_, rest)| rest.split_once(" is\r\n")).expect("a PID").0;
    let job: i32 = pid.parse().expect("a PID");
    eventually("the job to sleep", || !children(job).is_empty());
    sigsend().args(["--tree", "-HUP", pid]).assert().success();
    terminal.read_until(Some("heard-hup"));
    eventually("the job to sleep", || !children(job).is_empty());
    sigsend().args(["--tree", "--grace", "15s", pid]).assert().success();
    terminal.type_in("echo the shell goes'' on; jobs; exit 4\n");
    let (written, status) = terminal.end();
    assert_eq!(status.code(), Some(4), "{written:?}");
    assert!(written.contains("the shell goes on") && !written.contains("Stopped"), "{written:?}");
}

fn quoted(script: &str) -> String {
    format!("'{}'", script.replace('\'', "'\\''"))
}

#[test]
fn being_stopped_and_continued_changes_no_wait() {
    let mut bystander = Recorder::new();
    let stubborn = Victim::shell(STUBBORN);
    let mut command = raw_sigsend();
    command.args(["-v", "--timeout", "300ms", "KILL", "--wait", &stubborn.arg()]);
    let mut patient = victim().command(command);
    assert!(patient.read_line().starts_with("sent TERM"));
    for _ in 0..3 {
        kill(Pid::from_raw(patient.pid()), Signal::SIGSTOP).expect("a child");
        eventually("it to be stopped", || state(patient.pid()) == 'T');
        kill(Pid::from_raw(patient.pid()), Signal::SIGCONT).expect("a child");
    }
    stubborn.assert_killed_by(9);
    patient.assert_exited_with(0);
    bystander.assert_untouched();
}

#[test]
fn off_a_terminal_no_signal_is_held_back() {
    let victim = Victim::sleeping();
    let Some(trace) = strace("trace=rt_sigprocmask,signalfd4", &["--wait", &victim.arg()]) else { return };
    assert!(!trace.calls.iter().any(|call| call.contains("SIG_BLOCK") && call.contains("INT")), "{:#?}", trace.calls);
}
