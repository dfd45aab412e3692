//! Pidfiles: what a file or standard input names as targets, and when it was written. Whether a
//! process is the one that wrote the file is checked in `prepare`, once the process is pinned.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc::{O_NOCTTY, O_NONBLOCK, STDIN_FILENO};
use nix::sys::statfs::{
    CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC, fstatfs,
};

use crate::os::sys::{self, retry};
use crate::output::escape::escape;
use crate::plan::{Age, Pidfile};
use crate::target::Target;
use crate::usage::UsageError;

/// More than any pidfile holds; a file that is larger, or grows while it is read, is not one.
const FILE_LIMIT: u64 = 1 << 20;
/// Enough for every PID that a kernel can hand out, twice.
const INPUT_LIMIT: u64 = 1 << 26;

/// The largest number of processes that a 64-bit kernel allows (`PID_MAX_LIMIT`).
const MOST_PROCESSES: usize = 1 << 22;

/// What a pidfile says.
pub struct Listed {
    pub targets: Vec<Target>,
    /// Where the age of its processes is to be checked.
    pub written: Option<Written>,
}

/// When a file was last modified, and what messages call it.
pub struct Written {
    pub name: String,
    pub at: SystemTime,
}

/// Reads and parses the whole file. Only standard input may be empty, or anything but a regular
/// file.
pub fn read(pidfile: &Pidfile) -> Result<Listed> {
    let is_input = pidfile.path == OsStr::new("-");
    let name = if is_input {
        "standard input".to_owned()
    } else {
        format!("pidfile {}", escape(pidfile.path.as_encoded_bytes()))
    };
    let task = || format!("reading {name}");
    let (file, limit) = if is_input {
        if sys::started_without(STDIN_FILENO) {
            return Err(Errno::EBADF).with_context(task);
        }
        (
            io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .map(File::from)
                .with_context(task)?,
            INPUT_LIMIT,
        )
    } else {
        // Opening a FIFO or a device has effects, so they are refused before. Should the file
        // become one between this look and the next, opening it neither waits for a writer nor
        // takes a terminal.
        regular(fs::metadata(&pidfile.path)).with_context(task)?;
        let options = OpenOptions::new()
            .read(true)
            .custom_flags(O_NONBLOCK | O_NOCTTY)
            .open(&pidfile.path);
        (options.with_context(task)?, FILE_LIMIT)
    };
    let metadata = file.metadata();
    let metadata = if is_input {
        metadata
    } else {
        regular(metadata)
    }
    .with_context(task)?;
    let is_made_by_kernel = is_made_by_kernel(&file).with_context(task)?;
    if is_made_by_kernel && !is_input {
        let refused = UsageError::value(format!(
            "{name} is made by the kernel when it is read, which proves no writer"
        ));
        return Err(refused
            .hint("'--cgroup DIR' means the members of a control group; '--pidfile -' reads them from standard input")
            .into());
    }
    let mut text = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut text)
        .with_context(task)?;
    if text.len() as u64 > limit {
        bail!("{}: more than {limit} bytes, which is no pidfile", task());
    }
    let words = || {
        text.split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
    };
    let count = words().count();
    if count > MOST_PROCESSES {
        bail!(
            "{}: {count} targets, more than there can be processes",
            task()
        );
    }
    let mut targets = Vec::new();
    targets.try_reserve_exact(count).with_context(task)?;
    for word in words() {
        targets.push(target(word).with_context(task)?);
    }
    if targets.is_empty() && !is_input {
        bail!("{}: it is empty", task());
    }
    // A pipe was written by a program that has just looked the processes up.
    let has_time = pidfile.age == Age::Checked && metadata.is_file() && !is_made_by_kernel;
    let written = has_time.then(|| {
        metadata.modified().map(|at| Written {
            name: name.clone(),
            at,
        })
    });
    Ok(Listed {
        targets,
        written: written.transpose().with_context(task)?,
    })
}

/// Whether a file is of a file system whose files the kernel makes up, and dates when they are
/// looked at.
fn is_made_by_kernel(file: &File) -> nix::Result<bool> {
    let kind = retry(|| fstatfs(file))?.filesystem_type();
    Ok([
        PROC_SUPER_MAGIC,
        SYSFS_MAGIC,
        CGROUP_SUPER_MAGIC,
        CGROUP2_SUPER_MAGIC,
    ]
    .contains(&kind))
}

fn regular(metadata: io::Result<Metadata>) -> io::Result<Metadata> {
    metadata.and_then(|metadata| {
        if metadata.is_file() {
            Ok(metadata)
        } else {
            Err(io::Error::other("not a regular file"))
        }
    })
}

fn target(word: &[u8]) -> Result<Target> {
    let target = str::from_utf8(word)
        .ok()
        .and_then(|word| Target::in_pidfile(word).ok());
    // A file of garbage must not fill the screen.
    target.with_context(|| format!("'{}': invalid target", escape(&word[..word.len().min(40)])))
}
