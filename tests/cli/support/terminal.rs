//! Pseudo-terminals: a test types, reads the output, and computes the content of the screen.

use std::env;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use nix::unistd::{Pid, getsid};

use super::{DEADLINE, clean, program, skip};

/// A terminal, and the session that it controls.
pub struct Terminal {
    keyboard_and_screen: File,
    slave: Option<OwnedFd>,
    written: String,
    leader: Option<Child>,
}

impl Terminal {
    /// A terminal of this width, without echo. If there is no setsid(1), skips the test: `None`.
    #[track_caller]
    pub fn new(columns: u16) -> Option<Self> {
        if program("setsid").is_none() {
            skip("no setsid");
            return None;
        }
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).expect("a pseudo-terminal");
        let mut modes = tcgetattr(&pty.slave).expect("it is a terminal");
        modes.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&pty.slave, SetArg::TCSANOW, &modes).expect("it is a terminal");
        let keyboard_and_screen = pty.master.into();
        Some(Self {
            keyboard_and_screen,
            slave: Some(pty.slave),
            written: String::new(),
            leader: None,
        })
    }

    /// Runs a command on a terminal of 100 columns; see [`Self::new`] and [`Self::run`].
    #[track_caller]
    pub fn running(words: &[&str]) -> Option<Self> {
        let mut terminal = Self::new(100)?;
        terminal.run(words);
        Some(terminal)
    }

    /// Runs a command as the leader of the session of the terminal.
    pub fn run(&mut self, words: &[&str]) {
        let slave = self.slave.take().expect("it runs one command");
        let file = || Stdio::from(slave.try_clone().expect("a descriptor"));
        // setsid(1) executes its command without a fork, since this child leads no group.
        let mut command = clean(Command::new("setsid"));
        command
            .arg("--ctty")
            .args(words)
            .stdin(file())
            .stdout(file())
            .stderr(file());
        command
            .env("TERM", "xterm")
            .env("PS1", "$ ")
            .env("HOME", env::temp_dir());
        self.leader = Some(command.spawn().expect("setsid starts"));
    }

    /// Reads until no process has the terminal open. Returns all output, and the leader's status.
    #[track_caller]
    pub fn end(&mut self) -> (&str, ExitStatus) {
        self.read_until(None);
        let leader = self.leader.as_mut().expect("it was run");
        (&self.written, leader.wait().expect("a child"))
    }

    pub fn type_in(&mut self, keys: &str) {
        self.keyboard_and_screen
            .write_all(keys.as_bytes())
            .expect("a keyboard");
    }

    /// All that has been read so far.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Reads until the text has been written, or to the end. Returns all output so far.
    #[track_caller]
    pub fn read_until(&mut self, awaited: Option<&str>) -> &str {
        let end = Instant::now() + DEADLINE;
        while !awaited.is_some_and(|text| self.written.contains(text)) {
            let left = PollTimeout::try_from(end.saturating_duration_since(Instant::now()))
                .expect("a short time");
            match poll(
                &mut [PollFd::new(
                    self.keyboard_and_screen.as_fd(),
                    PollFlags::POLLIN,
                )],
                left,
            ) {
                Err(Errno::EINTR) => continue,
                ready => assert!(
                    ready.expect("poll") > 0,
                    "{awaited:?} does not come: {:?}",
                    self.written
                ),
            }
            let mut chunk = [0; 4096];
            match self.keyboard_and_screen.read(&mut chunk) {
                Ok(length @ 1..) => self.written += &String::from_utf8_lossy(&chunk[..length]),
                // Linux gives EIO after the other side was closed.
                end => {
                    assert!(
                        awaited.is_none(),
                        "{awaited:?} never came: {end:?} {:?}",
                        self.written
                    );
                    break;
                }
            }
        }
        &self.written
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
    let mut is_empty = true;
    for entry in fs::read_dir("/proc").expect("a /proc").flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            .map(Pid::from_raw)
        else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let is_dead = stat
            .rsplit_once(") ")
            .is_none_or(|(_, fields)| fields.starts_with(['Z', 'X']));
        if !is_dead && getsid(Some(pid)) == Ok(session) {
            is_empty = false;
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
    is_empty
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
    let lines = lines
        .into_iter()
        .map(|line| line.into_iter().collect::<String>().trim_end().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}
