//! A victim that starts sigsend, so that sigsend has ancestors among the victims. The harness sends
//! the command over the victim's socket. sigsend stays a zombie until the harness has read its wait
//! status.
#![expect(
    unsafe_code,
    reason = "fork, wait and reading from a bare descriptor have no safe form"
)]

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::ptr;

use super::handlers::block;
use super::victim::{exit_now, send};
use nix::sys::resource::{Resource, setrlimit};

use crate::support::prelude::*;

/// Asks the victim to start sigsend: length and command follow, and the PID is the answer.
pub const LAUNCH: u8 = b'x';
/// Asks the victim to reap sigsend: its PID follows, and one byte is the answer.
pub const REAP: u8 = b'w';

/// Requests the victim at the other end of this socket to start a command. Returns its PID. The
/// words are the program, its directory, three files by their paths, the user, the limit of file
/// sizes or nothing, and the arguments. Descriptors of the harness are named by their links in
/// /proc/1/fd.
pub fn request(mut channel: &UnixStream, words: &[OsString]) -> io::Result<i32> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    let text = words.join(&0);
    channel.write_all(&[LAUNCH])?;
    channel.write_all(&text.len().to_ne_bytes())?;
    channel.write_all(&text)?;
    let mut pid = [0; 4];
    channel.read_exact(&mut pid)?;
    Ok(i32::from_ne_bytes(pid))
}

/// Requests the victim at the other end of this socket to reap sigsend. Returns whether it did.
pub fn request_reap(mut channel: &UnixStream, pid: i32) -> bool {
    channel.write_all(&[REAP]).is_ok()
        && channel.write_all(&pid.to_ne_bytes()).is_ok()
        && channel.read_exact(&mut [0]).is_ok()
}

/// The victim's side of [`request`]: forks the child that becomes sigsend.
pub fn launch(channel: i32) {
    let mut length = [0; size_of::<usize>()];
    read(channel, &mut length);
    let mut text = vec![0; usize::from_ne_bytes(length)];
    read(channel, &mut text);
    // SAFETY: the victim has one thread. Its pending signals are not the child's.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // Not by the parent, which sigsend may kill.
        send(channel, &std::process::id().to_ne_bytes());
        // exec returns only on error. The harness sees the status.
        drop(become_sigsend(&text));
        exit_now(96)
    }
}

fn become_sigsend(text: &[u8]) -> io::Result<()> {
    let words = text.split(|&byte| byte == 0);
    let mut words = words.map(|word| OsString::from_vec(word.to_vec()));
    let mut word = || words.next().ok_or(io::ErrorKind::InvalidInput);
    let mut command = Command::new(word()?);
    command.current_dir(word()?).env_clear().process_group(0);
    command.stdin(File::open(word()?)?);
    let append = |path| OpenOptions::new().append(true).open(path);
    command.stdout(append(word()?)?);
    command.stderr(append(word()?)?);
    let (user, limit) = (word()?, word()?);
    let number = |text: &OsString| text.to_str().and_then(|text| text.parse().ok());
    if let Some(user) = number(&user).filter(|&user| user != 0) {
        command.uid(user).gid(user);
    }
    if let Some(limit) = number(&limit) {
        limit_files(&mut command, limit.into());
    }
    command.args(words);
    block(0);
    Err(command.exec())
}

/// Limits the size of each file that the command writes (`RLIMIT_FSIZE`).
pub fn limit_files(command: &mut Command, bytes: u64) {
    let set = move || setrlimit(Resource::RLIMIT_FSIZE, bytes, bytes).map_err(io::Error::from);
    // SAFETY: one system call between fork and exec.
    unsafe { command.pre_exec(set) };
}

/// The victim's answer to [`REAP`].
pub fn reap(channel: i32) {
    let mut pid = [0; 4];
    read(channel, &mut pid);
    // SAFETY: no memory is written to.
    unsafe { libc::waitpid(i32::from_ne_bytes(pid), ptr::null_mut(), 0) };
    send(channel, b"w");
}

fn read(channel: i32, into: &mut [u8]) {
    let mut done = 0;
    while done < into.len() {
        let rest = &mut into[done..];
        // SAFETY: a descriptor that stays open, a buffer that outlives the call.
        let count = unsafe { libc::read(channel, rest.as_mut_ptr().cast(), rest.len()) };
        match usize::try_from(count) {
            Ok(count) if count > 0 => done += count,
            _ => exit_now(95),
        }
    }
}
