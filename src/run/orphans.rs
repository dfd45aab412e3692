//! Processes that escaped while a tree was killed: children that a killed member left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::find::recipients::{RecipientId, Recipients};
use crate::os::pids;
use crate::os::proc::{self, State};
use crate::os::sys;
use crate::target::Pid;

/// How long killed members may take to die before their children are looked for.
const DYING: Duration = Duration::from_millis(100);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);
/// How many of the PIDs handed out meanwhile are looked at.
const BIRTHS: usize = 1 << 16;

/// What a process that escaped is told by.
pub struct Traces {
    /// For each time that trees were killed, the PID that was handed out last before the children
    /// of their members were read for the last time, and the one after the KILLs: with KILL pending
    /// no fork succeeds.
    pub windows: Vec<(i32, i32)>,
    /// The tree that is named where it cannot be told which one it was.
    pub root: Option<RecipientId>,
    /// The process groups of the members, each with the root of a tree that has it.
    pub groups: BTreeMap<i32, RecipientId>,
    pub killed: Vec<RecipientId>,
}

/// The processes that a member may have left behind: they have appeared between the last look at
/// the children and the KILLs, are none of the recipients, have a parent above the trees, as the
/// children of an exited process have, and are in the group of a member or in a session that is as
/// new as they are: others start processes at the same time. The last window has no end, since a
/// process that escaped may fork on.
pub fn orphans(
    traces: &Traces,
    recipients: &Recipients,
    above: Option<&BTreeSet<Pid>>,
) -> Vec<(RecipientId, Pid)> {
    let (Some(root), Some(now)) = (traces.root, pids::last_pid()) else {
        return Vec::new();
    };
    let mut windows = traces.windows.clone();
    extend(&mut windows, now);
    if windows.iter().all(|(first, last)| first == last) {
        return Vec::new();
    }
    // The children of a member have another parent once it is dead.
    let end = Instant::now() + DYING;
    let runs = |id: &RecipientId| recipients[*id].process.is_running().unwrap_or(false);
    while traces.killed.iter().any(runs) && Instant::now() < end {
        sys::sleep_until(Instant::now() + PAUSE);
    }
    let is_above = |parent: i32| {
        above.is_none_or(|above| proc::pid_of(parent).is_some_and(|pid| above.contains(&pid)))
    };
    let left_by = |pid: Pid, windows: &[(i32, i32)]| {
        let stat = proc::stat(pid).ok()?;
        let of_group = traces.groups.get(&stat.group).copied();
        let contains = |(first, last): &(i32, i32)| is_between(*first, stat.session, *last);
        let is_new = || windows.iter().any(contains);
        let of = of_group.or_else(|| is_new().then_some(root))?;
        let is_left = stat.state != State::Dead
            && is_above(stat.parent)
            && proc::process_of_thread(pid).is_none()
            && recipients.id_of(pid).is_ok_and(|id| id.is_none());
        is_left.then_some((of, pid))
    };
    // One that is about to lose its parent shows at the next look.
    let mut left = Vec::new();
    loop {
        extend(&mut windows, pids::last_pid().unwrap_or(now));
        let births = windows
            .iter()
            .flat_map(|(first, last)| pids::handed_out(*first, *last));
        let found: Vec<_> = births
            .take(BIRTHS)
            .filter_map(|pid| left_by(pid, &windows))
            .collect();
        if found.is_empty() || found == left || Instant::now() >= end {
            return found;
        }
        left = found;
        sys::sleep_until(Instant::now() + PAUSE);
    }
}

/// Has the last window end at this PID.
fn extend(windows: &mut [(i32, i32)], now: i32) {
    if let Some((_, last)) = windows.last_mut() {
        *last = now;
    }
}

/// Whether a PID was handed out after one and up to another. They are handed out round and round.
fn is_between(first: i32, pid: i32, last: i32) -> bool {
    let (is_after, is_before) = (first < pid, pid <= last);
    if first <= last {
        is_after && is_before
    } else {
        is_after || is_before
    }
}
