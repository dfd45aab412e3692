//! One call of the program from its words to its exit status and output, on one line of a test:
//! `run!("-HUP --wait {victim}").fails(1, "not permitted")`.

use std::ffi::OsStr;
use std::fmt::{self, Debug, Display, Formatter};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::Command as Bounded;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::DEADLINE;
use super::victim::{Victim, readable};

/// Runs a command (see [`Runs`]) with more words, a format string that is split at blanks. A word
/// with blanks, or none, stands in single quotes.
macro_rules! call {
    ($command:expr, $($words:tt)*) => {
        $crate::support::Runs::run($command, &$crate::support::words(&format!($($words)*)))
    };
}

/// Runs the program under test; see [`call`].
macro_rules! run {
    ($($words:tt)*) => {
        $crate::support::call!($crate::support::sigsend(), $($words)*)
    };
}

/// Starts the program under test in the background: a victim whose output can be read.
macro_rules! background {
    ($($words:tt)*) => {{
        let mut command = $crate::support::raw_sigsend();
        command.args($crate::support::words(&format!($($words)*)));
        command.stderr(std::process::Stdio::null());
        $crate::support::victim().command(command)
    }};
}

/// The token `PID:INODE` of a process.
#[track_caller]
pub fn token(process: impl Display) -> String {
    run!("--id {process}").told().trim_end().to_owned()
}

/// A program of this system with these words.
pub fn tool(line: &str) -> Command {
    let words = words(line);
    let mut command = super::clean(Command::new(&words[0]));
    command.args(&words[1..]);
    command
}

/// The program under test as it is run by another one, such as `prlimit --nofile=16:16`.
pub fn through(line: &str) -> Command {
    let mut command = tool(line);
    command.arg(*super::SIGSEND);
    command
}

/// `sh -c script`, which gets the program under test as `$0`.
pub fn sh(script: &str) -> Command {
    sh_of(*super::SIGSEND, script)
}

/// The same with another program as `$0`.
pub fn sh_of(program: impl AsRef<OsStr>, script: &str) -> Command {
    let mut command = tool("sh -c");
    command.arg(script).arg(program);
    command
}

/// The program under test with these redirections of a shell.
pub fn redirected(redirections: &str) -> Command {
    sh(&format!("exec \"$0\" \"$@\" {redirections}"))
}

/// Leaves a test that cannot run here, unless the condition is true.
macro_rules! needs {
    ($condition:expr, $what:literal) => {
        if !$condition {
            return $crate::support::skip(concat!("needs ", $what));
        }
    };
}

/// Runs the program under test with these words under strace, which selects and injects by the
/// expression. Leaves a test that cannot trace.
macro_rules! traced {
    ($expression:expr, $($words:tt)*) => {{
        $crate::support::needs!($crate::support::strange::may_trace(), "strace");
        $crate::support::strace($expression, &format!($($words)*))
    }};
}

/// Asserts that a text contains another one, which is a format string.
macro_rules! contains {
    ($text:expr, $($part:tt)*) => {
        let (text, part) = (&$text, format!($($part)*));
        assert!(text.contains(&part), "no {part:?} in {text}");
    };
}

pub(crate) use {background, call, contains, needs, run, traced};

/// The words of a command line: split at blanks, but not inside single quotes.
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for character in line.chars() {
        match character {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    assert!(!quoted, "a quote is open: {line}");
    words.extend(word);
    words
}

/// The rows of a table in a text: lines without the blank ones, columns separated by `|`, each
/// without the blanks around it.
pub fn rows<const COLUMNS: usize>(table: &str) -> impl Iterator<Item = [&str; COLUMNS]> {
    let rows = table.lines().filter(|line| !line.trim().is_empty());
    rows.map(|row| {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let is_fit = columns.len() == COLUMNS;
        assert!(is_fit, "not {COLUMNS} columns: {row}");
        std::array::from_fn(|column| columns[column])
    })
}

/// The parts of a list in a text, separated by `|`, without the blanks around them.
pub fn each(list: &str) -> impl Iterator<Item = &str> {
    list.split('|').map(str::trim)
}

/// The numbers of a list in a text, separated by blanks.
pub fn numbers(list: &str) -> Vec<i32> {
    let numbers = list.split_whitespace();
    numbers.map(|n| n.parse().expect("a number")).collect()
}

/// The PIDs to which a call with `-v` says that it has sent a signal, in order.
pub fn sent_to(told: &str) -> Vec<i32> {
    let sent = told.lines().filter_map(|line| line.strip_prefix("sent "));
    let targets = sent.filter_map(|line| line.split_once(" to ")?.1.split(' ').next());
    targets.filter_map(|pid| pid.parse().ok()).collect()
}

pub fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort_unstable();
    items
}

/// Asserts whom `sigsend -p` selects with these words, of all processes of this machine.
#[track_caller]
pub fn selects(words: &str, selected: &[&Victim]) {
    let done = run!("-p {words}").code(i32::from(selected.is_empty()));
    let wanted = sorted(selected.iter().map(|victim| victim.arg()));
    assert_eq!(sorted(done.out.lines()), wanted, "{words}");
}

/// What can be run to its end: a command with and without the deadline of all tests.
pub trait Runs {
    fn run(self, words: &[String]) -> Done;
}

impl Runs for Bounded {
    fn run(mut self, words: &[String]) -> Done {
        let line = format!("{:?} {words:?}", self.get_args().collect::<Vec<_>>());
        self.args(words);
        let begin = Instant::now();
        Done::of(line, self.output().expect("it starts")).took(begin)
    }
}

impl Runs for Command {
    /// Its standard input is /dev/null.
    fn run(mut self, words: &[String]) -> Done {
        let line = format!("{:?} {words:?}", self.get_args().collect::<Vec<_>>());
        self.args(words).stdin(Stdio::null());
        let child = self.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.unwrap_or_else(|error| panic!("{line}: {error}"));
        let begin = Instant::now();
        let pid = i32::try_from(child.id()).expect("a PID is an i32");
        let life = super::sys::pidfd(pid).expect("it is unreaped");
        thread::spawn(move || {
            if !readable(&life, Instant::now() + DEADLINE) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        });
        let done = Done::of(line, child.wait_with_output().expect("it ends"));
        done.took(begin)
    }
}

pub struct Done {
    line: String,
    /// The exit status; `None` if a signal has ended it.
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
    pub took: Duration,
}

impl Debug for Done {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        let (line, status, out, err) = (&self.line, self.status, &self.out, &self.err);
        let text = format!("{line} ended with {status:?}\n--- out\n{out}--- err\n{err}---");
        formatter.write_str(&text)
    }
}

impl Done {
    /// The end of a command, and what it was, for messages.
    pub fn of(line: impl Into<String>, output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("sigsend writes UTF-8");
        Self {
            line: line.into(),
            status: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
            took: Duration::ZERO,
        }
    }

    fn took(self, since: Instant) -> Self {
        let took = since.elapsed();
        Self { took, ..self }
    }

    /// Asserts that it took less time than this.
    #[track_caller]
    pub fn within(self, seconds: u64) -> Self {
        let is_soon = self.took < Duration::from_secs(seconds);
        assert!(is_soon, "{:?}: {self:?}", self.took);
        self
    }

    /// The objects of JSON lines.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        let object = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
        self.out.lines().map(object).collect()
    }

    /// The PIDs in the `sent` lines of `-v`, in order.
    pub fn sent_to(&self) -> Vec<i32> {
        sent_to(&self.out)
    }

    /// Asserts the exit status and the output: the whole of it if the text is empty or ends with a
    /// line end, otherwise a part of it.
    #[track_caller]
    pub fn is(self, status: i32, out: impl AsRef<str>, err: impl AsRef<str>) -> Self {
        let holds = |text: &str, wanted: &str| match wanted {
            "" => text.is_empty(),
            _ if wanted.ends_with('\n') => text == wanted,
            _ => text.contains(wanted),
        };
        let (out, err) = (out.as_ref(), err.as_ref());
        let is_told = holds(&self.out, out) && holds(&self.err, err);
        let is_it = self.status == Some(status) && is_told;
        assert!(is_it, "{self:?}\nwanted: {status} {out:?} {err:?}");
        self
    }

    /// Asserts the exit status, and that there is only this error, or the beginning of it.
    #[track_caller]
    pub fn begins(self, status: i32, err: impl AsRef<str>) -> Self {
        let begins = self.out.is_empty() && self.err.starts_with(err.as_ref());
        assert!(begins, "{self:?}\nwanted: {}", err.as_ref());
        self.code(status)
    }

    /// Asserts that this is a part of the output or of the errors.
    #[track_caller]
    pub fn has(self, part: impl AsRef<str>) -> Self {
        let part = part.as_ref();
        let is_there = self.out.contains(part) || self.err.contains(part);
        assert!(is_there, "{self:?}\nwanted: {part:?}");
        self
    }

    /// Asserts that this is no part of the output nor of the errors.
    #[track_caller]
    pub fn lacks(self, part: impl AsRef<str>) -> Self {
        let part = part.as_ref();
        let is_there = self.out.contains(part) || self.err.contains(part);
        assert!(!is_there, "{self:?}\nunwanted: {part:?}");
        self
    }

    /// Asserts the number of lines on standard error.
    #[track_caller]
    pub fn complains(self, lines: usize) -> Self {
        assert_eq!(self.err.lines().count(), lines, "{self:?}");
        self
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        self.is(0, "", "")
    }

    #[track_caller]
    pub fn says(self, out: impl AsRef<str>) -> Self {
        self.is(0, out, "")
    }

    /// Asserts this exit status and error, and no output.
    #[track_caller]
    pub fn fails(self, status: i32, err: impl AsRef<str>) -> Self {
        self.is(status, "", err)
    }

    #[track_caller]
    pub fn code(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self:?}");
        self
    }

    #[track_caller]
    pub fn fine(self) -> Self {
        assert_eq!((self.status, &*self.err), (Some(0), ""), "{self:?}");
        self
    }

    /// Asserts success and no error; returns the output.
    #[track_caller]
    pub fn told(self) -> String {
        self.fine().out
    }
}
