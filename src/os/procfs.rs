//! Files of /proc: where they are and how they are read. What they say of a process is in `proc`.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::str::{self, FromStr};
use std::sync::OnceLock;

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::libc::ESRCH;
use nix::sys::stat::Mode;
use nix::unistd::{self, getpid};

use crate::os::directory;
use crate::os::sys::retry;
use crate::target::Pid;

/// Whether /proc belongs to this PID namespace. One that was mounted in another has other PIDs, and
/// must never decide who gets a signal. An error if there is no /proc, or if this process is not in
/// it.
///
/// The line NSpid (Linux 4.1) has the PID of this process in the namespace of the mount and in each
/// one below it down to its own, so it must hold a single number.
pub fn is_ours() -> io::Result<bool> {
    static OURS: OnceLock<bool> = OnceLock::new();
    if let Some(ours) = OURS.get() {
        return Ok(*ours);
    }
    let status = slurp("/proc/self/status".as_ref())?;
    let ours = match words(&status, "NSpid") {
        Some(numbers) => numbers.count() == 1,
        None => first(&status, "Pid", str::parse::<i32>)? == getpid().as_raw(),
    };
    Ok(*OURS.get_or_init(|| ours))
}

/// A file about a process, in the /proc of this PID namespace.
pub fn path(pid: Pid, file: &str) -> io::Result<PathBuf> {
    if !is_ours()? {
        return Err(io::Error::other("/proc belongs to another PID namespace"));
    }
    Ok(format!("/proc/{pid}/{file}").into())
}

/// A file about a process that the kernel writes as one piece, so that a short read is its end.
pub fn read(pid: Pid, file: &str) -> io::Result<Vec<u8>> {
    let file = open(&path(pid, file)?)?;
    let (mut text, mut length) = (vec![0; 4096], 0);
    loop {
        length += retry(|| unistd::read(&file, &mut text[length..]))?;
        if length < text.len() {
            text.truncate(length);
            return Ok(text);
        }
        text.resize(2 * length, 0);
    }
}

/// A whole file of /proc, up to its end. Its size is 0.
pub fn slurp(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(4096);
    open(path)?.take(u64::MAX).read_to_end(&mut text)?;
    Ok(text)
}

/// musl's open(2) is two system calls, its openat(2) is one.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    Ok(retry(|| openat(AT_FDCWD, path, flags, Mode::empty()))?.into())
}

/// The entries of a directory that are numbers.
pub fn numbers(path: &Path) -> io::Result<Vec<i32>> {
    let mut numbers = Vec::new();
    directory::each_entry(directory::open(AT_FDCWD, path)?, |entry| {
        numbers.extend(number_in::<i32>(entry.name.to_bytes()));
        io::Result::Ok(())
    })?;
    Ok(numbers)
}

/// `None` if there is nothing to read because the process has gone, or because it is hidden from
/// this user (`hidepid`). Every other error is one: a process must not be missed because something
/// else failed.
pub fn if_visible<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => Ok(None),
            _ if error.raw_os_error() == Some(ESRCH) => Ok(None),
            _ => Err(error),
        },
    }
}

/// The words of a line of /proc/PID/status. The command name is in it with its newlines escaped, so
/// no process can add a line.
pub fn words<'a>(status: &'a [u8], label: &str) -> Option<impl Iterator<Item = &'a str>> {
    let mut lines = status.split(|byte| *byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(label.as_bytes())?.strip_prefix(b":"))?;
    Some(str::from_utf8(line).ok()?.split_ascii_whitespace())
}

/// The first word of a line of /proc/PID/status, parsed.
pub fn first<T, E>(
    status: &[u8],
    label: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> io::Result<T> {
    let word = words(status, label).and_then(|mut words| words.next());
    let value = word.and_then(|word| parse(word).ok());
    value.ok_or_else(|| io::Error::other(format!("no valid {label} in /proc/PID/status")))
}

/// The number that a word of a file spells.
pub fn number_in<T: FromStr>(word: &[u8]) -> Option<T> {
    str::from_utf8(word).ok()?.parse().ok()
}

/// The PID that a word of a file spells.
pub fn pid_in(word: &[u8]) -> Option<Pid> {
    number_in(word).and_then(pid_of)
}

pub fn pid_of(number: i32) -> Option<Pid> {
    Pid::try_from(number).ok()
}
