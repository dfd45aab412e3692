//! What /proc says of a process (proc(5)): name, state, parent, start time, owner, signal masks,
//! command line; `pids` says which processes there are. It answers for a PID, not for a process: a
//! caller that needs certainty holds a pidfd and checks afterwards that the process holds its PID.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::libc::ESRCH;
use nix::sys::stat::Mode;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, getpid, sysconf};
use procfs_core::FromRead;

use crate::os::sys::retry;
use crate::signal::Signal;
use crate::signal_set::SignalSet;
use crate::target::Pid;

/// Command names hold so many bytes (`TASK_COMM_LEN` less its NUL).
pub const NAME_LENGTH: usize = 15;

/// A process as /proc/PID/stat has it (proc_pid_stat(5)).
pub struct Stat {
    pub state: State,
    /// 0 for PID 1, and if the parent is in another PID namespace.
    pub parent: i32,
    /// Clock ticks since boot, in this time namespace.
    pub start: u64,
    /// Wait status of a zombie; 0 too if the caller may not see it.
    pub wait_status: i32,
    threads: i64,
    flags: u32,
}

/// The states that matter here, in order of liveliness; every other one is `Live`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Dead,
    /// Stopped by a signal or a tracer.
    Stopped,
    /// Uninterruptible: blocked in the kernel, as a vfork(2) parent is.
    Blocked,
    Live,
}

impl State {
    fn from_letter(letter: char) -> Self {
        match letter {
            'D' => Self::Blocked,
            'T' | 't' => Self::Stopped,
            'Z' | 'X' | 'x' => Self::Dead,
            _ => Self::Live,
        }
    }
}

/// A process as /proc/PID/status has it (proc_pid_status(5)).
pub struct Status {
    /// The process that a thread belongs to; itself for a process.
    pub thread_group: i32,
    pub real_user: u32,
    /// Whether it is the first process of a PID namespace below this one, or of this one.
    pub is_init: bool,
    pub pending_thread: SignalSet,
    pub pending_process: SignalSet,
    pub blocked: SignalSet,
    pub ignored: SignalSet,
    pub caught: SignalSet,
}

pub fn stat(pid: Pid) -> io::Result<Stat> {
    parse_stat(&read(pid, "stat")?)
}

fn parse_stat(text: &[u8]) -> io::Result<Stat> {
    let stat = procfs_core::process::Stat::from_read(text).map_err(io::Error::other)?;
    Ok(Stat {
        state: State::from_letter(stat.state),
        parent: stat.ppid,
        start: stat.starttime,
        wait_status: stat.exit_code.unwrap_or_default(),
        threads: stat.num_threads,
        flags: stat.flags,
    })
}

pub fn status(pid: Pid) -> io::Result<Status> {
    parse_status(&read(pid, "status")?)
}

fn parse_status(text: &[u8]) -> io::Result<Status> {
    let set = |label| first(text, label, |word| u64::from_str_radix(word, 16)).map(SignalSet);
    Ok(Status {
        thread_group: first(text, "Tgid", str::parse)?,
        real_user: first(text, "Uid", str::parse)?,
        is_init: words(text, "NSpid").is_some_and(|numbers| numbers.last() == Some("1")),
        pending_thread: set("SigPnd")?,
        pending_process: set("ShdPnd")?,
        blocked: set("SigBlk")?,
        ignored: set("SigIgn")?,
        caught: set("SigCgt")?,
    })
}

/// The words of a line of /proc/PID/status. The command name is in it with its newlines escaped, so
/// no process can add a line.
fn words<'a>(status: &'a [u8], label: &str) -> Option<impl Iterator<Item = &'a str>> {
    let mut lines = status.split(|byte| *byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(label.as_bytes())?.strip_prefix(b":"))?;
    Some(str::from_utf8(line).ok()?.split_ascii_whitespace())
}

/// The first word of a line of /proc/PID/status, parsed.
fn first<T, E>(
    status: &[u8],
    label: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> io::Result<T> {
    let word = words(status, label).and_then(|mut words| words.next());
    let value = word.and_then(|word| parse(word).ok());
    value.ok_or_else(|| io::Error::other(format!("no valid {label} in /proc/PID/status")))
}

/// The command name, at most 15 bytes of any value but NUL.
pub fn name(pid: Pid) -> io::Result<Vec<u8>> {
    let mut name = [0; 64];
    let length = open(&path(pid, "comm")?)?.read(&mut name)?;
    Ok(name[..length]
        .strip_suffix(b"\n")
        .unwrap_or(&name[..length])
        .to_vec())
}

/// The basename of the executable, or of its old name if it was deleted. EACCES if ptrace(2) would
/// not be permitted, ENOENT for kernel threads and zombies.
pub fn executable(pid: Pid) -> io::Result<Vec<u8>> {
    let link = |file: &str| fs::read_link(path(pid, file)?);
    let target = link("exe")
        .or_else(|error| by_other_threads(pid, "exe", link).ok_or(error))?
        .into_os_string()
        .into_vec();
    let target = target.strip_suffix(b" (deleted)").unwrap_or(&target);
    Ok(basename(target).to_vec())
}

/// The arguments, as they stand in the memory of the process. Empty for kernel threads and zombies.
pub fn arguments(pid: Pid) -> io::Result<Vec<Vec<u8>>> {
    let mut line = read(pid, "cmdline")?;
    if line.is_empty() {
        let of_thread = |file: &str| {
            read(pid, file).and_then(|line| {
                if line.is_empty() {
                    Err(ErrorKind::NotFound.into())
                } else {
                    Ok(line)
                }
            })
        };
        line = by_other_threads(pid, "cmdline", of_thread).unwrap_or_default();
    }
    // A process that sets its title leaves NULs at the end.
    while line.ends_with(b"\0") {
        line.pop();
    }
    let arguments = line.split(|byte| *byte == 0).map(<[u8]>::to_vec);
    Ok(if line.is_empty() {
        Vec::new()
    } else {
        arguments.collect()
    })
}

/// The answer of another thread, for a process whose main thread has exited and has no memory.
fn by_other_threads<T>(pid: Pid, file: &str, ask: impl Fn(&str) -> io::Result<T>) -> Option<T> {
    let mut others = threads(pid)
        .ok()?
        .into_iter()
        .filter(|thread| *thread != pid.number());
    others.find_map(|thread| ask(&format!("task/{thread}/{file}")).ok())
}

/// The basename of argv[0]; `None` for kernel threads and zombies.
pub fn first_argument(pid: Pid) -> io::Result<Option<Vec<u8>>> {
    Ok(arguments(pid)?
        .first()
        .map(|first| basename(first).to_vec()))
}

fn basename(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Whether the main thread has exited. A process whose other threads run looks the same here.
pub fn is_zombie(pid: Pid) -> bool {
    stat(pid).is_ok_and(|stat| stat.state == State::Dead)
}

/// The entries of a directory that are numbers.
pub fn numbers(directory: &Path) -> io::Result<Vec<i32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        numbers.extend(
            entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok()),
        );
    }
    Ok(numbers)
}

/// `None` if there is nothing to read because the process has gone, or because it is hidden from
/// this user (`hidepid`). Every other error is one: a process must not be missed because something
/// else failed.
pub fn if_visible<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::PermissionDenied
            ) =>
        {
            Ok(None)
        }
        Err(error) if error.raw_os_error() == Some(ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The state of the liveliest thread of a process, and all its threads.
pub fn liveliest(pid: Pid) -> io::Result<(State, Vec<i32>)> {
    let stat = stat(pid)?;
    // The state of the only thread is the state of the process.
    if stat.threads <= 1 {
        return Ok((stat.state, vec![pid.number()]));
    }
    let threads = threads(pid)?;
    let mut liveliest = State::Dead;
    for thread in &threads {
        // The thread has ended meanwhile.
        let Some(text) = if_visible(read(pid, &format!("task/{thread}/stat")))? else {
            continue;
        };
        liveliest = liveliest.max(parse_stat(&text)?.state);
    }
    Ok((liveliest, threads))
}

/// Whether a signal is pending for a process that neither blocks it nor is stopped or dead, so that
/// it will take it at once.
pub fn is_taking(pid: Pid, signal: Signal) -> io::Result<bool> {
    let Some(status) = if_visible(status(pid))? else {
        return Ok(false);
    };
    let is_pending =
        status.pending_process.contains(signal) || status.pending_thread.contains(signal);
    if !is_pending || status.blocked.contains(signal) {
        return Ok(false);
    }
    let state = if_visible(stat(pid))?.map(|stat| stat.state);
    Ok(matches!(state, Some(State::Live | State::Blocked)))
}

/// The IDs of the threads of a process.
pub fn threads(pid: Pid) -> io::Result<Vec<i32>> {
    numbers(&path(pid, "task")?)
}

/// The process that a thread ID belongs to; `None` if the number is a process's or free.
pub fn process_of_thread(id: Pid) -> Option<Pid> {
    let process = pid_of(status(id).ok()?.thread_group)?;
    (process != id).then_some(process)
}

impl Stat {
    /// Whether it is a thread of the kernel (`PF_KTHREAD`), which no signal ends.
    pub fn is_kernel_thread(&self) -> bool {
        const PF_KTHREAD: u32 = 0x0020_0000;
        self.flags & PF_KTHREAD != 0
    }

    /// When the process started: now − time since boot + its start in ticks since boot. So it
    /// survives suspend and time namespaces, and moves with the clock. Exact to 10 ms.
    pub fn started(&self) -> io::Result<SystemTime> {
        let ticks = sysconf(SysconfVar::CLK_TCK)?
            .and_then(|ticks| u64::try_from(ticks).ok())
            .filter(|ticks| *ticks > 0);
        let since_boot =
            Duration::from_millis(self.start.saturating_mul(1000) / ticks.unwrap_or(100));
        let up = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
        let age = up.checked_sub(since_boot).unwrap_or_default();
        SystemTime::now()
            .checked_sub(age)
            .ok_or_else(|| io::Error::other("the clock stands before 1970"))
    }
}

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

pub fn read(pid: Pid, file: &str) -> io::Result<Vec<u8>> {
    slurp(&path(pid, file)?)
}

/// A whole file of /proc, in as few reads as possible: the kernel makes it anew for each read. Its
/// size is 0.
pub fn slurp(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(4096);
    open(path)?.take(u64::MAX).read_to_end(&mut text)?;
    Ok(text)
}

/// musl's open(2) is two system calls, its openat(2) is one.
fn open(path: &Path) -> io::Result<File> {
    Ok(retry(|| {
        openat(
            AT_FDCWD,
            path,
            OFlag::O_RDONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
    })?
    .into())
}

/// The PID that a word of a file spells.
pub fn pid_in(word: &[u8]) -> Option<Pid> {
    str::from_utf8(word).ok()?.parse().ok().and_then(pid_of)
}

pub fn pid_of(number: i32) -> Option<Pid> {
    Pid::try_from(number).ok()
}

/// The login name of a user, from /etc/passwd, or else the number. getpwuid(3) would load shared
/// objects, which a static program cannot.
pub fn user_name(uid: u32) -> String {
    let users = fs::read("/etc/passwd").unwrap_or_default();
    let users = String::from_utf8_lossy(&users);
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| uid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tTgid:\\nUid:\t7\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t4242\nPid:\t4243\nPPid:\t1\n\
        Uid:\t1000\t0\t0\t0\nNStgid:\t4242\t1\nNSpid:\t4243\t1\nThreads:\t2\nSigQ:\t0/1\n\
        SigPnd:\t0000000000000001\nShdPnd:\t8000000000000000\nSigBlk:\t0000000000000002\n\
        SigIgn:\t0000000000001000\nSigCgt:\t0000000180000000\n";

    #[test]
    fn a_status_is_read_by_its_labels() {
        let status = parse_status(STATUS.as_bytes()).expect("all lines are there");
        assert_eq!(
            (status.thread_group, status.real_user, status.is_init),
            (4242, 1000, true)
        );
        let sets = [
            status.pending_thread,
            status.pending_process,
            status.blocked,
            status.ignored,
            status.caught,
        ];
        assert_eq!(
            sets.map(|set| set.0),
            [1, 1 << 63, 2, 0x1000, 0x1_8000_0000]
        );
    }

    #[test]
    fn a_status_without_a_needed_line_is_an_error() {
        for label in [
            "Tgid", "Uid", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt",
        ] {
            for wrong in ["Other:", &format!("{label}: x"), &format!("{label}:\n")] {
                let text = STATUS.replace(&format!("\n{label}:"), &format!("\n{wrong}"));
                let error = parse_status(text.as_bytes())
                    .err()
                    .map(|error| error.to_string());
                assert_eq!(
                    error,
                    Some(format!("no valid {label} in /proc/PID/status")),
                    "{text}"
                );
            }
        }
        let without = STATUS.replace("NSpid", "Other");
        assert!(
            !parse_status(without.as_bytes())
                .expect("only since Linux 4.1")
                .is_init
        );
    }
}
