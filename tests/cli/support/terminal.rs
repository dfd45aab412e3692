//! Pseudo-terminals: a test types, reads the output, and computes the content of the screen.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Instant;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::{Pid, getsid};

use super::family::{all_pids, is_dead};
use super::sys::start_session;
use super::victim::readable;
use super::{DEADLINE, tool};

/// A terminal, and the session that it controls.
pub struct Terminal {
    keyboard_and_screen: File,
    slave: Option<OwnedFd>,
    written: String,
    /// How much of it was returned by [`Self::next_until`].
    taken: usize,
    leader: Option<Child>,
}

impl Terminal {
    /// A terminal of this size, without echo.
    pub fn new(rows: u16, columns: u16) -> Self {
        let pty = openpty(&winsize(rows, columns), None).expect("a pseudo-terminal");
        let mut modes = tcgetattr(&pty.slave).expect("it is a terminal");
        modes.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &modes).expect("it is a terminal");
        Self {
            keyboard_and_screen: pty.master.into(),
            slave: Some(pty.slave),
            written: String::new(),
            taken: 0,
            leader: None,
        }
    }

    /// Runs a command on a terminal of 100 columns.
    pub fn running(line: &str) -> Self {
        let mut terminal = Self::new(24, 100);
        terminal.run(line);
        terminal
    }

    /// Runs a command as the leader of the session of the terminal.
    pub fn run(&mut self, line: &str) {
        self.run_in("/".as_ref(), "xterm", line);
    }

    /// The same in this directory, which is its home, too.
    pub fn run_in(&mut self, home: &Path, kind: &str, line: &str) {
        let slave = self.slave.take().expect("it runs one command");
        let file = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let mut command = tool(line);
        command.stdin(file()).stdout(file()).stderr(file());
        start_session(&mut command);
        // A shell that is given no file for its history leaves none.
        command.env("TERM", kind).env("PS1", "$ ");
        command.env("HISTFILE", "");
        command.env("HOME", home).env("ZDOTDIR", home);
        command.current_dir(home);
        self.leader = Some(command.spawn().expect("it starts"));
    }

    /// Reads until the text has been written; returns the output since the last such text.
    #[track_caller]
    pub fn next_until(&mut self, awaited: &str) -> String {
        loop {
            if let Some(at) = self.written[self.taken..].find(awaited) {
                let end = self.taken + at + awaited.len();
                let taken = std::mem::replace(&mut self.taken, end);
                return self.written[taken..end].to_owned();
            }
            let has_more = self.read_more(awaited);
            assert!(has_more, "{awaited:?} never came: {:?}", self.written);
        }
    }

    /// Reads until no process has the terminal open. Returns all output, and the leader's status.
    #[track_caller]
    pub fn end(&mut self) -> (&str, ExitStatus) {
        while self.read_more("the end") {}
        let leader = self.leader.as_mut().expect("it was run");
        (&self.written, leader.wait().expect("a child"))
    }

    pub fn type_in(&mut self, keys: &str) {
        let typed = self.keyboard_and_screen.write_all(keys.as_bytes());
        typed.expect("a keyboard");
    }

    /// Reads what is written next; false after the other side was closed.
    #[track_caller]
    fn read_more(&mut self, awaited: &str) -> bool {
        let is_readable = readable(&self.keyboard_and_screen, Instant::now() + DEADLINE);
        assert!(is_readable, "{awaited:?} does not come: {:?}", self.written);
        let mut chunk = [0; 4096];
        // Linux gives EIO after the other side was closed.
        let length = self.keyboard_and_screen.read(&mut chunk).unwrap_or(0);
        self.written += &String::from_utf8_lossy(&chunk[..length]);
        length > 0
    }
}

pub fn winsize(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

impl Drop for Terminal {
    /// Ends the whole session: a job that handles HUP would outlive its terminal.
    fn drop(&mut self) {
        let Some(leader) = &mut self.leader else {
            return;
        };
        let _ = leader.kill();
        // The leader is reaped last: a zombie keeps the number of the session from being reused.
        let session = Pid::from_raw(i32::try_from(leader.id()).expect("a PID is an i32"));
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end && !end_members(session) {}
        let _ = leader.wait();
    }
}

/// Kills all living processes of a session; whether there were none.
fn end_members(session: Pid) -> bool {
    let mut living = all_pids();
    let of_session = |pid: &i32| getsid(Some(Pid::from_raw(*pid))) == Ok(session);
    living.retain(|pid| !is_dead(*pid) && of_session(pid));
    for pid in &living {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    living.is_empty()
}

/// The lines on a screen after `written` was output, without blank ones.
pub fn screen(written: &str) -> Vec<String> {
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
                    other => panic!("unsupported escape sequence {other:?}"),
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
    let lines = lines.into_iter().map(String::from_iter);
    let lines = lines.map(|line| line.trim_end().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}
