//! What /proc says of a process (proc(5)): name, state, parent, start time, owner, signal masks,
//! command line, working directory; `pids` says which processes there are. It answers for a PID,
//! not for a process: `Pinned::open_if` makes it true of one.

use std::convert::{Infallible, identity};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStringExt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

use crate::os::bounded;
use crate::os::cwd;
pub use crate::os::cwd::Place;
use crate::os::procfs::{self, first, number_in, numbers, read, words};
pub use crate::os::procfs::{if_visible, is_gone, pid_of, root};
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
    /// Process group and session; 0 for a thread of the kernel, and if the number is of another PID
    /// namespace.
    pub group: i32,
    pub session: i32,
    /// Clock ticks since boot, in this time namespace.
    pub start: u64,
    /// Wait status of a zombie; 0 too if the caller may not see it.
    pub wait_status: i32,
    threads: u32,
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

impl FromStr for State {
    type Err = Infallible;

    fn from_str(letter: &str) -> Result<Self, Infallible> {
        Ok(match letter {
            "D" => Self::Blocked,
            "T" | "t" => Self::Stopped,
            "Z" | "X" | "x" => Self::Dead,
            _ => Self::Live,
        })
    }
}

/// A process as /proc/PID/status has it (proc_pid_status(5)).
pub struct Status {
    pub state: State,
    /// The process that a thread belongs to; itself for a process.
    pub thread_group: i32,
    /// 0 if no process traces it, or one in another PID namespace.
    pub tracer: i32,
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
    parse_stat(&read(pid, "stat", 512)?)
}

fn parse_stat(text: &[u8]) -> io::Result<Stat> {
    // The second field is the command name in parentheses, which may hold any byte.
    let end = text.iter().rposition(|byte| *byte == b')').unwrap_or(0);
    let fields: Vec<&[u8]> = text[end..].split(u8::is_ascii_whitespace).collect();
    Ok(Stat {
        state: field(&fields, 3)?,
        parent: field(&fields, 4)?,
        group: field(&fields, 5)?,
        session: field(&fields, 6)?,
        start: field(&fields, 22)?,
        wait_status: field(&fields, 52)?,
        threads: field(&fields, 20)?,
        flags: field(&fields, 9)?,
    })
}

/// A field by its number in the manual; the first one here is the second.
fn field<T: FromStr>(fields: &[&[u8]], number: usize) -> io::Result<T> {
    let value = fields.get(number - 2).and_then(|word| number_in(word));
    value.ok_or_else(|| io::Error::other(format!("no valid field {number} in /proc/PID/stat")))
}

pub fn status(pid: Pid) -> io::Result<Status> {
    parse_status(&read(pid, "status", 2048)?)
}

fn parse_status(text: &[u8]) -> io::Result<Status> {
    let set = |label| first(text, label, |word| u64::from_str_radix(word, 16)).map(SignalSet);
    Ok(Status {
        state: first(text, "State", str::parse)?,
        thread_group: first(text, "Tgid", str::parse)?,
        tracer: first(text, "TracerPid", str::parse)?,
        real_user: first(text, "Uid", str::parse)?,
        is_init: words(text, "NSpid").is_some_and(|numbers| numbers.last() == Some("1")),
        pending_thread: set("SigPnd")?,
        pending_process: set("ShdPnd")?,
        blocked: set("SigBlk")?,
        ignored: set("SigIgn")?,
        caught: set("SigCgt")?,
    })
}

/// The effective user. The real one needs a look at more: see `Pinned::real_user`.
pub fn effective_user(pid: Pid) -> io::Result<u32> {
    Ok(procfs::metadata(&pid.to_string())?.st_uid)
}

/// The command name, at most 15 bytes of any value but NUL.
pub fn name(pid: Pid) -> io::Result<Vec<u8>> {
    let mut name = read(pid, "comm", 64)?;
    if name.ends_with(b"\n") {
        name.pop();
    }
    Ok(name)
}

/// The basename of the executable, or of its old name if it was deleted. EACCES if ptrace(2) would
/// not be permitted, ENOENT for kernel threads and zombies.
pub fn executable(pid: Pid) -> io::Result<Vec<u8>> {
    let link = |file: &str| procfs::link(&format!("{pid}/{file}"));
    let target = link("exe")
        .or_else(|error| by_other_threads(pid, "exe", link).ok_or(error))?
        .into_vec();
    let target = target.strip_suffix(b" (deleted)").unwrap_or(&target);
    Ok(basename(target).to_vec())
}

/// The arguments, as they stand in the memory of the process. Empty for kernel threads and zombies.
/// `TimedOut` if that memory blocks any process that reads it.
pub fn arguments(pid: Pid) -> io::Result<Vec<Vec<u8>>> {
    only(each_arguments(vec![pid], identity))
}

/// What `look` makes of the arguments of each process.
pub fn each_arguments<T: Send + 'static>(
    pids: Vec<Pid>,
    look: impl Fn(Vec<Vec<u8>>) -> T + Clone + Send + 'static,
) -> Vec<(Pid, io::Result<T>)> {
    bounded::each(pids, move |pid| read_arguments(pid).map(&look))
}

fn read_arguments(pid: Pid) -> io::Result<Vec<Vec<u8>>> {
    let mut line = read(pid, "cmdline", 4096)?;
    if line.is_empty() {
        let of_thread = |file: &str| match read(pid, file, 4096)? {
            line if line.is_empty() => Err(ErrorKind::NotFound.into()),
            line => Ok(line),
        };
        line = by_other_threads(pid, "cmdline", of_thread).unwrap_or_default();
    }
    // A process that sets its title leaves NULs at the end.
    while line.ends_with(b"\0") {
        line.pop();
    }
    let arguments = line.split(|byte| *byte == 0).map(<[u8]>::to_vec);
    Ok(arguments.filter(|_| !line.is_empty()).collect())
}

/// The answer of another thread, for a process whose main thread has exited and has no memory.
fn by_other_threads<T>(pid: Pid, file: &str, ask: impl Fn(&str) -> io::Result<T>) -> Option<T> {
    let threads = threads(pid).ok()?.into_iter();
    let mut others = threads.filter(|thread| *thread != pid.number());
    others.find_map(|thread| ask(&format!("task/{thread}/{file}")).ok())
}

pub fn basename(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// The path of the working directory, as the process sees it. Never blocks. `NotFound` for a
/// zombie.
pub fn working_directory(pid: Pid) -> io::Result<Vec<u8>> {
    let found = cwd::link(pid)?.map(|(_, text)| text.into_vec());
    found.ok_or_else(|| ErrorKind::NotFound.into())
}

/// Whether a process works in a directory or below it. `PermissionDenied` if the caller may not
/// see, `TimedOut` if a file system does not answer.
pub fn works_in(pid: Pid, place: &Place) -> io::Result<bool> {
    only(each_works_in(vec![pid], place))
}

/// Whether each process works in a directory or below it.
pub fn each_works_in(pids: Vec<Pid>, place: &Place) -> Vec<(Pid, io::Result<bool>)> {
    let place = place.clone();
    bounded::each(pids, move |pid| place.has(pid))
}

/// The result for the only process that was asked about.
fn only<T>(mut results: Vec<(Pid, io::Result<T>)>) -> io::Result<T> {
    let result = results.pop().map(|(_, result)| result);
    result.unwrap_or_else(|| Err(ErrorKind::NotFound.into()))
}

/// A process, with the state of its liveliest thread: the main one may have exited.
pub fn liveliest(pid: Pid) -> io::Result<Stat> {
    let mut stat = stat(pid)?;
    // The state of the only thread is the state of the process.
    if stat.threads <= 1 {
        return Ok(stat);
    }
    stat.state = State::Dead;
    for thread in threads(pid)? {
        // The thread may have ended meanwhile.
        if let Some(text) = if_visible(read(pid, &format!("task/{thread}/stat"), 512))? {
            stat.state = stat.state.max(parse_stat(&text)?.state);
        }
    }
    Ok(stat)
}

/// Whether a signal is pending for a process that neither blocks it nor is stopped or dead, so that
/// it will take it at once.
pub fn is_taking(pid: Pid, signal: Signal) -> io::Result<bool> {
    let Some(status) = if_visible(status(pid))? else {
        return Ok(false);
    };
    let pending = [status.pending_process, status.pending_thread];
    Ok(pending.iter().any(|pending| pending.contains(signal))
        && !status.blocked.contains(signal)
        && matches!(status.state, State::Live | State::Blocked))
}

/// The IDs of the threads of a process.
pub fn threads(pid: Pid) -> io::Result<Vec<i32>> {
    let directory = format!("{pid}/task");
    // The links of a directory of threads are two more than there are threads.
    match procfs::metadata(&directory)?.st_nlink {
        ..=3 => Ok(vec![pid.number()]),
        _ => numbers(&directory),
    }
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

/// The login names and numbers in /etc/passwd. getpwnam(3) would load shared objects, which a
/// static program cannot.
fn users() -> io::Result<Vec<(Vec<u8>, u32)>> {
    let users = fs::read("/etc/passwd")?;
    let user = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b':');
        Some((fields.next()?.to_vec(), number_in(fields.nth(1)?)?))
    };
    Ok(users
        .split(|byte| *byte == b'\n')
        .filter_map(user)
        .collect())
}

/// The login name of a user, or else the number.
pub fn user_name(uid: u32) -> String {
    let mut users = users().unwrap_or_default().into_iter();
    let known = users.find(|(_, id)| *id == uid);
    known.map_or_else(
        || uid.to_string(),
        |(name, _)| String::from_utf8_lossy(&name).into_owned(),
    )
}

/// The user with a login name, or with a number.
pub fn user_id(user: &OsStr) -> io::Result<Option<u32>> {
    if let Some(id) = number_in(user.as_encoded_bytes()) {
        return Ok(Some(id));
    }
    let mut users = users()?.into_iter();
    let known = users.find(|(name, _)| name == user.as_encoded_bytes());
    Ok(known.map(|(_, id)| id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tTgid:\\nUid:\t7\nUmask:\t0022\nState:\tT (stopped)\nTgid:\t4242\nPid:\t4243\nPPid:\t1\nTracerPid:\t7\n\
        Uid:\t1000\t0\t0\t0\nNStgid:\t4242\t1\nNSpid:\t4243\t1\nThreads:\t2\nSigQ:\t0/1\n\
        SigPnd:\t0000000000000001\nShdPnd:\t8000000000000000\nSigBlk:\t0000000000000002\n\
        SigIgn:\t0000000000001000\nSigCgt:\t0000000180000000\n";

    #[test]
    fn a_stat_is_read_behind_the_last_parenthesis() {
        let text = b"7 (a) Z 1 (b\n) S 5 6 7 34816 7 4194560 1 2 3 4 5 6 7 8 20 0 3 0 99 8192 9 \
            18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 256\n";
        let stat = parse_stat(text).expect("all fields are there");
        assert_eq!(
            (stat.state, stat.parent, stat.group, stat.session),
            (State::Live, 5, 6, 7)
        );
        assert_eq!(
            (stat.threads, stat.start, stat.wait_status, stat.flags),
            (3, 99, 256, 4_194_560)
        );
        for text in ["", "7 (a)", "7 (a) S 5 6 7", "7 (a S 5 6 7 8 9 0 1 2"] {
            assert!(parse_stat(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_status_is_read_by_its_labels() {
        let status = parse_status(STATUS.as_bytes()).expect("all lines are there");
        assert_eq!(
            (status.thread_group, status.real_user, status.is_init),
            (4242, 1000, true)
        );
        assert_eq!((status.state, status.tracer), (State::Stopped, 7));
        let pending = [status.pending_thread, status.pending_process];
        assert_eq!(pending.map(|set| set.0), [1, 1 << 63]);
        let masks = [status.blocked, status.ignored, status.caught];
        assert_eq!(masks.map(|set| set.0), [2, 0x1000, 0x1_8000_0000]);
    }

    #[test]
    fn a_status_without_a_needed_line_is_an_error() {
        for label in "Tgid TracerPid Uid SigPnd ShdPnd SigBlk SigIgn SigCgt".split(' ') {
            for wrong in ["Other:", &format!("{label}: x"), &format!("{label}:\n")] {
                let text = STATUS.replace(&format!("\n{label}:"), &format!("\n{wrong}"));
                let error = parse_status(text.as_bytes())
                    .err()
                    .expect("a line is missing");
                let told = format!("no valid {label} in /proc/PID/status");
                assert_eq!(error.to_string(), told, "{text}");
            }
        }
        let without = STATUS.replace("NSpid", "Other");
        let status = parse_status(without.as_bytes()).expect("only since Linux 4.1");
        assert!(!status.is_init);
    }
}
