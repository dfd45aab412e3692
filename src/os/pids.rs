//! Lists of processes: all, the members of a process group, the children of a process. What /proc
//! has about one of them is in `proc`.

use std::collections::BTreeSet;
use std::io;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::unistd::getpgid;

use crate::os::proc::{stat, threads};
use crate::os::procfs::{if_visible, metadata, numbers, pid_in, pid_of, slurp};
use crate::target::{Pgid, Pid};

/// Every process that /proc shows, in one pass.
pub fn pids() -> io::Result<Vec<Pid>> {
    Ok(numbers(".")?.into_iter().filter_map(pid_of).collect())
}

/// Where the members of a process group are looked for. getpgid(2) is asked about each PID: it
/// needs neither /proc nor a permission.
pub struct GroupMembers {
    group: Pgid,
    /// The last PID that was handed out before the previous look, if /proc hides processes.
    last: Option<i32>,
}

impl GroupMembers {
    pub fn of(group: Pgid) -> Self {
        Self { group, last: None }
    }

    /// The living members and the zombies, and some numbers of threads.
    ///
    /// Members that /proc hides (hidepid) are found by asking about every number: 4 million at
    /// most, a tenth of a microsecond each. Later looks ask about those that were handed out since,
    /// besides what /proc shows.
    pub fn list(&mut self) -> io::Result<Vec<Pid>> {
        let hides = hides_processes()?;
        let last = hides.then(last_pid).flatten();
        let perhaps_hidden = match (self.last, last) {
            (Some(before), Some(now)) => handed_out(before, now),
            _ if hides => handed_out(0, highest_pid()),
            _ => handed_out(0, 0),
        };
        self.last = last;
        let mut members = BTreeSet::new();
        for pid in pids()?.into_iter().chain(perhaps_hidden) {
            members.extend((group_of(pid)? == Some(self.group.leader())).then_some(pid));
        }
        Ok(members.into_iter().collect())
    }
}

/// The numbers after one PID up to another, in the order in which the kernel hands them out: round
/// and round.
pub fn handed_out(before: i32, now: i32) -> impl Iterator<Item = Pid> {
    let (end, restart) = if now >= before {
        (now, None)
    } else {
        (highest_pid(), Some(1..=now))
    };
    (before + 1..=end)
        .chain(restart.into_iter().flatten())
        .filter_map(pid_of)
}

/// The PID that was handed out last in this PID namespace: the last field of /proc/loadavg.
pub fn last_pid() -> Option<i32> {
    let text = slurp("loadavg").ok()?;
    pid_in(text.trim_ascii().rsplit(|byte| *byte == b' ').next()?).map(Pid::number)
}

fn highest_pid() -> i32 {
    let highest = slurp("sys/kernel/pid_max")
        .ok()
        .and_then(|text| pid_in(text.trim_ascii()));
    highest.map_or(1 << 22, Pid::number)
}

/// The process group of a process; `None` if there is no such process.
pub fn group_of(pid: Pid) -> io::Result<Option<Pid>> {
    match getpgid(Some(pid.process())) {
        Ok(group) => Ok(pid_of(group.as_raw())),
        Err(Errno::ESRCH) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether /proc may show this caller only some of the processes: it is mounted with `hidepid`.
pub fn hides_processes() -> io::Result<bool> {
    static HIDES: OnceLock<bool> = OnceLock::new();
    if let Some(hides) = HIDES.get() {
        return Ok(*hides);
    }
    let mounts = slurp("self/mountinfo")?;
    let mut mounts = mounts.rsplit(|byte| *byte == b'\n');
    // The last mount on /proc covers the others.
    let proc = mounts.find(|mount| mount.split(|byte| *byte == b' ').nth(4) == Some(b"/proc"));
    let options = proc.and_then(|mount| mount.rsplit(|byte| *byte == b' ').next());
    let mut options = options.unwrap_or_default().split(|byte| *byte == b',');
    let hides = options.any(|option| {
        let how = option.strip_prefix(b"hidepid=");
        how.is_some_and(|how| !matches!(how, b"0" | b"off"))
    });
    Ok(*HIDES.get_or_init(|| hides))
}

/// Children of all threads of a process: from /proc/PID/task/*/children where the kernel has it
/// (`CONFIG_PROC_CHILDREN`), else by one pass over all of /proc. `None` if they cannot be read: the
/// process has gone, or /proc hides it; then [`children_by_parent`] may find them. Complete only
/// while the process neither forks nor loses children.
pub fn children(pid: Pid) -> io::Result<Option<Vec<Pid>>> {
    let Some(threads) = if_visible(threads(pid))? else {
        return Ok(None);
    };
    let exists = |path: &str| metadata(path).is_ok();
    let mut children = Vec::new();
    for thread in threads {
        match if_visible(slurp(&format!("{pid}/task/{thread}/children")))? {
            Some(list) => children.extend(list.split(u8::is_ascii_whitespace).filter_map(pid_in)),
            None if !exists("thread-self/children") => return children_by_parent(pid).map(Some),
            // The thread has ended, or the process is one that /proc hides since it executed a
            // program.
            None if exists(&format!("{pid}/task")) => {}
            None => return Ok(None),
        }
    }
    Ok(Some(children))
}

/// All children that /proc shows, found by their parent's number in one pass over all processes.
pub fn children_by_parent(parent: Pid) -> io::Result<Vec<Pid>> {
    let mut children = Vec::new();
    for pid in pids()? {
        if if_visible(stat(pid))?.is_some_and(|stat| stat.parent == parent.number()) {
            children.push(pid);
        }
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids_are_handed_out_round_and_round() {
        let numbers = |before, now| handed_out(before, now).map(Pid::number);
        assert_eq!(numbers(5, 9).collect::<Vec<_>>(), [6, 7, 8, 9]);
        assert_eq!(numbers(5, 5).count(), 0);
        let mut around = numbers(highest_pid() - 1, 2);
        assert!(around.by_ref().eq([highest_pid(), 1, 2]));
    }
}
