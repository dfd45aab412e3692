//! Pidfiles: what a file or standard input names as targets, and when it was written. Messages
//! repeat nothing of a file but PIDs and tokens: it may be one that the caller may not read.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::libc::{O_NOCTTY, O_NONBLOCK, STDIN_FILENO};
use nix::sys::statfs::{
    CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC, fstatfs,
};

use crate::escape::escape;
use crate::event::Reason;
use crate::find::filter::Way;
use crate::os::proc;
use crate::os::sys::{self, retry};
use crate::plan::{Age, Pidfile};
use crate::target::{Pid, Target};
use crate::usage::UsageError;

/// More than any pidfile holds; a file that is larger, or grows while it is read, is not one.
const FILE_LIMIT: u64 = 1 << 20;
/// Enough for every PID that a kernel can hand out, twice.
const INPUT_LIMIT: u64 = 1 << 26;

/// The largest number of processes that a 64-bit kernel allows (`PID_MAX_LIMIT`).
const MOST_PROCESSES: usize = 1 << 22;

/// How much later than its pidfile was modified a process may have started: some daemons write the
/// file before they fork.
const LATITUDE: Duration = Duration::from_secs(2);

/// What a pidfile says.
pub struct Listed {
    pub targets: Vec<Target>,
    /// Where the age of its processes is to be checked.
    pub written: Option<Written>,
    pub way: Way,
}

/// When a file was last modified, and what messages call it.
pub struct Written {
    name: String,
    at: SystemTime,
}

impl Written {
    /// Why a process is not the one that wrote the file: it started later.
    pub fn disproves(&self, pid: Pid) -> Result<Option<Reason>> {
        let task = || format!("reading when process {pid} started");
        // One that has gone meanwhile is found out by the check that follows; one that is hidden
        // could be any.
        let Some(stat) = proc::if_visible(proc::stat(pid)).with_context(task)? else {
            let expected = format!("the writer of {}", self.name).into_bytes();
            return Ok(Some(Reason::Unverified { expected }));
        };
        let started = stat.started().with_context(task)?;
        let latest = self.at.checked_add(LATITUDE).unwrap_or(self.at);
        Ok((started > latest).then(|| Reason::Stale {
            file: self.name.clone(),
            started,
            written: self.at,
        }))
    }
}

/// Reads and parses the whole file. Only standard input may be empty, or anything but a regular
/// file.
pub fn read(pidfile: &Pidfile) -> Result<Listed> {
    if pidfile.path == OsStr::new("-") {
        return read_file(input(), "standard input", Way::Input, pidfile.age);
    }
    let name = format!("pidfile {}", escape(pidfile.path.as_encoded_bytes()));
    read_file(regular(&pidfile.path), &name, Way::Number, pidfile.age)
}

fn input() -> io::Result<File> {
    if sys::started_without(STDIN_FILENO) {
        return Err(Errno::EBADF.into());
    }
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

/// Opens a regular file.
fn regular(path: &OsStr) -> io::Result<File> {
    let check = |metadata: Metadata| {
        let other = || io::Error::other("not a regular file");
        metadata.is_file().then_some(()).ok_or_else(other)
    };
    // Opening a FIFO or a device has effects, so they are refused before. Should the file become
    // one between this look and the next, opening it neither waits for a writer nor takes a
    // terminal.
    check(fs::metadata(path)?)?;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(O_NONBLOCK | O_NOCTTY);
    let file = options.open(path)?;
    check(file.metadata()?)?;
    Ok(file)
}

fn read_file(file: io::Result<File>, name: &str, way: Way, age: Age) -> Result<Listed> {
    let task = || format!("reading {name}");
    let file = file.with_context(task)?;
    let is_input = way == Way::Input;
    let metadata = file.metadata().with_context(task)?;
    let is_made_by_kernel = is_made_by_kernel(&file).with_context(task)?;
    if is_made_by_kernel && !is_input {
        let refused = UsageError::value(format!(
            "{name} is made by the kernel when it is read, which proves no writer"
        ));
        return Err(refused
            .hint("'--cgroup DIR' means the members of a control group; '--pidfile -' reads them from standard input")
            .into());
    }
    let limit = if is_input { INPUT_LIMIT } else { FILE_LIMIT };
    let mut text = Vec::new();
    let mut file = file.take(limit + 1);
    file.read_to_end(&mut text).with_context(task)?;
    if file.limit() == 0 {
        bail!("{}: more than {limit} bytes, which is no pidfile", task());
    }
    let counted = if is_input {
        &text
    } else {
        first_line_or_all(&text)
    };
    let targets = targets(counted, way).with_context(task)?;
    if targets.is_empty() && !is_input {
        bail!("{}: it is empty", task());
    }
    // A pipe was written by a program that has just looked the processes up.
    let written = if age == Age::Checked && metadata.is_file() && !is_made_by_kernel {
        Some(Written {
            name: name.to_owned(),
            at: metadata.modified().with_context(task)?,
        })
    } else {
        None
    };
    Ok(Listed {
        targets,
        written,
        way,
    })
}

/// The first line alone if it is one PID or token and the next begins with no digit, as in
/// postmaster.pid and sendmail.pid.
fn first_line_or_all(text: &[u8]) -> &[u8] {
    let (first, rest) = match text.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&text[..end], &text[end + 1..]),
        None => return text,
    };
    let is_one = target(first.trim_ascii()).is_some();
    // Blanks do not count: ps(1) pads PIDs.
    let rest = rest.trim_ascii_start();
    let has_other = rest.first().is_some_and(|byte| !byte.is_ascii_digit());
    if is_one && has_other { first } else { text }
}

fn targets(text: &[u8], way: Way) -> Result<Vec<Target>> {
    let count = words(text).count();
    if count > MOST_PROCESSES {
        bail!("{count} targets, more than there can be processes");
    }
    let mut targets = Vec::new();
    targets.try_reserve_exact(count)?;
    for (line, text) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        for (place, word) in (1..).zip(words(text)) {
            let invalid = || match way {
                // The caller has opened it. A list of garbage must not fill the screen.
                Way::Input => {
                    anyhow!("'{}': invalid target", escape(&word[..word.len().min(40)]))
                }
                _ => anyhow!("word {place} of line {line} is no PID: invalid target"),
            };
            targets.push(target(word).ok_or_else(invalid)?);
        }
    }
    Ok(targets)
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = text.split(u8::is_ascii_whitespace);
    words.filter(|word| !word.is_empty())
}

fn target(word: &[u8]) -> Option<Target> {
    Target::in_pidfile(str::from_utf8(word).ok()?).ok()
}

/// Whether a file is of a file system whose files the kernel makes up, and dates when they are
/// looked at.
fn is_made_by_kernel(file: &File) -> nix::Result<bool> {
    let kind = retry(|| fstatfs(file))?.filesystem_type();
    let made_up = [
        PROC_SUPER_MAGIC,
        SYSFS_MAGIC,
        CGROUP_SUPER_MAGIC,
        CGROUP2_SUPER_MAGIC,
    ];
    Ok(made_up.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts_alone_if_no_number_follows() {
        let table: [(&str, &str); 8] = [
            ("42", "42"),
            ("42\n", "42\n"),
            ("42\n/var/lib/postgresql\n1700000000\n", "42"),
            ("42:7\n/usr/sbin/sendmail -bd\n", "42:7"),
            ("42\n43\n/x\n", "42\n43\n/x\n"),
            ("42 43\n/x\n", "42 43\n/x\n"),
            ("x\n/x\n", "x\n/x\n"),
            ("  42\n\n  43\n", "  42\n\n  43\n"),
        ];
        for (text, counted) in table {
            assert_eq!(
                first_line_or_all(text.as_bytes()),
                counted.as_bytes(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_word_that_is_no_pid_is_told_by_its_place() {
        let error = targets(b"42\n 43 secret\n", Way::Number)
            .expect_err("no PID")
            .to_string();
        assert_eq!(error, "word 2 of line 2 is no PID: invalid target");
    }
}
