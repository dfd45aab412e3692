//! Files of /proc, all read relative to one descriptor of it. What they say of a process is in
//! `proc`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::str::{self, FromStr};
use std::sync::OnceLock;

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, readlinkat};
use nix::libc::ESRCH;
use nix::sys::stat::{FileStat, fstatat};
use nix::unistd::{self, getpid};

use crate::os::directory;
use crate::os::sys::{self, retry};
use crate::target::Pid;

/// The directory /proc. An error if there is none, if this process is not in it, or if it belongs
/// to another PID namespace: that one has other PIDs, and must never decide who gets a signal.
///
/// The line NSpid (Linux 4.1) has the PID of this process in the namespace of the mount and in each
/// one below it down to its own, so it must hold a single number.
pub fn root() -> io::Result<BorrowedFd<'static>> {
    static ROOT: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(root) = ROOT.get() {
        return Ok(root.as_fd());
    }
    let root = sys::open(AT_FDCWD, "/proc", OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    let status = slurp_from(&root, "self/status")?;
    let is_ours = match words(&status, "NSpid") {
        Some(numbers) => numbers.count() == 1,
        None => first(&status, "Pid", str::parse::<i32>)? == getpid().as_raw(),
    };
    if !is_ours {
        return Err(io::Error::other("/proc belongs to another PID namespace"));
    }
    Ok(ROOT.get_or_init(|| root).as_fd())
}

/// Opens a file of /proc.
pub fn open(path: &str, flags: OFlag) -> io::Result<File> {
    Ok(sys::open(root()?, path, flags)?.into())
}

/// A file about a process that the kernel writes as one piece, so that a short read is its end.
/// `usual` is a size that it seldom reaches.
pub fn read(pid: Pid, file: &str, usual: usize) -> io::Result<Vec<u8>> {
    let file = open(&format!("{pid}/{file}"), OFlag::O_RDONLY)?;
    let (mut text, mut length) = (vec![0; usual], 0);
    loop {
        length += retry(|| unistd::read(&file, &mut text[length..]))?;
        if length < text.len() {
            text.truncate(length);
            return Ok(text);
        }
        text.resize(2 * length, 0);
    }
}

/// A whole file of /proc.
pub fn slurp(path: &str) -> io::Result<Vec<u8>> {
    slurp_from(root()?, path)
}

/// A whole file that the kernel makes up, by a path from a directory.
pub fn slurp_from(directory: impl AsFd, path: &str) -> io::Result<Vec<u8>> {
    let file = File::from(sys::open(directory, path, OFlag::O_RDONLY)?);
    // Its size is 0, so it is not asked for.
    let mut text = Vec::with_capacity(4096);
    file.take(u64::MAX).read_to_end(&mut text)?;
    Ok(text)
}

/// The text of a symbolic link.
pub fn link(path: &str) -> io::Result<OsString> {
    Ok(readlinkat(root()?, path)?)
}

/// What stat(2) tells of a file, links followed.
pub fn metadata(path: &str) -> io::Result<FileStat> {
    Ok(fstatat(root()?, path, AtFlags::empty())?)
}

/// The entries of a directory that are numbers.
pub fn numbers(path: &str) -> io::Result<Vec<i32>> {
    let mut numbers = Vec::new();
    directory::each_entry(directory::open(root()?, path)?, |entry| {
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
        Err(error) if is_gone(&error) || error.kind() == ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a read failed because the process has gone, or is hidden.
pub fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH)
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
