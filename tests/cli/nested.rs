//! Control groups that are hard to empty: deep ones, those with kernel threads, delegated ones,
//! ones whose members keep forking, and ones that change their type.

use std::os::unix::fs::chown;

use nix::fcntl::{Flock, FlockArg};

use crate::cgroup::group::{Group, mount};
use crate::strange::WINDOWS;
use crate::support::prelude::*;

/// A chain of groups, each in the previous one. Removed on drop.
struct Chain<'a> {
    top: &'a Group,
    deepest: PathBuf,
}

impl<'a> Chain<'a> {
    fn below(top: &'a Group, depth: usize) -> Self {
        let deepest = top.path().join("d/".repeat(depth));
        fs::create_dir_all(&deepest).expect("groups below one of ours");
        Self { top, deepest }
    }

    fn take(&self, pid: i32) {
        fs::write(self.deepest.join("cgroup.procs"), pid.to_string()).expect("a process of ours");
    }
}

impl Drop for Chain<'_> {
    fn drop(&mut self) {
        let _ = fs::write(self.top.path().join("cgroup.kill"), "1");
        let below = |path: &&Path| *path != self.top.path();
        for path in self.deepest.ancestors().take_while(below) {
            eventually("a group to be removed", || fs::remove_dir(path).is_ok());
        }
    }
}

#[test]
fn a_deep_group_is_killed_with_few_descriptors() {
    needs!(program("prlimit").is_some(), "prlimit");
    // KILL needs no list of the members. For other signals the soft limit is raised.
    for (limits, depth, call, signal) in [
        ("64:64", 100, "-KILL --wait", 9),
        ("64:64", 100, "-KILL", 9),
        ("1024:4096", 1020, "-KILL --wait", 9),
        ("64:4096", 100, "-HUP --wait", 1),
        ("32:32", 300, "-KILL --wait", 9),
    ] {
        let Some(group) = control_group() else { return };
        let chain = Chain::below(&group, depth);
        let members = [group.sleeping(), Victim::sleeping()];
        chain.take(members[1].pid());
        let limited = || through(&format!("prlimit --nofile={limits}"));
        let listed = call!(limited(), "-p --cgroup {group}").told();
        let pids = members.each_ref().map(Victim::arg);
        assert_eq!(sorted(listed.lines()), sorted(pids));
        call!(limited(), "{call} --cgroup {group}").code(0);
        killed(&members, signal);
    }
}

/// A kernel thread in a control group. Back in its own one on drop.
struct KernelThread {
    pid: i32,
    home: PathBuf,
    /// Other runs of the test wait for it.
    _lock: Flock<File>,
}

impl KernelThread {
    /// `None` if none can be moved.
    fn moved_into(group: &Group) -> Option<Self> {
        // Threads of these names do nothing in a quiet machine. Those bound to a CPU cannot be
        // moved.
        const NAMES: [&str; 5] = ["khungtaskd", "ksmd", "oom_reaper", "khugepaged", "kauditd"];
        let lock = File::open(mount()).expect("a directory");
        let lock = Flock::lock(lock, FlockArg::LockExclusive).expect("a lock of our own");
        let about = |pid: i32, file| fs::read_to_string(format!("/proc/{pid}/{file}"));
        let is_named =
            |pid: &i32| about(*pid, "comm").is_ok_and(|name| NAMES.contains(&name.trim()));
        let is_kernel = |pid: &i32| about(*pid, "cmdline").is_ok_and(|line| line.is_empty());
        let mut threads = all_pids().into_iter().filter(is_named).filter(is_kernel);
        let (pid, home) = threads.find_map(|pid| {
            let home = about(pid, "cgroup").ok()?;
            let home = home.lines().find_map(|line| line.strip_prefix("0::/"))?;
            let home = Path::new(&mount()).join(home);
            let moved = fs::write(group.path().join("cgroup.procs"), pid.to_string());
            moved.is_ok().then_some((pid, home))
        })?;
        Some(Self {
            pid,
            home,
            _lock: lock,
        })
    }
}

impl Drop for KernelThread {
    fn drop(&mut self) {
        let back = fs::write(self.home.join("cgroup.procs"), self.pid.to_string());
        back.expect("it came from there");
    }
}

#[test]
fn a_kernel_thread_in_a_group_is_refused_and_not_waited_for() {
    let calls = "-KILL --wait | 9
        -KILL --within 10s | 9
        -TERM --wait | 15
        --grace 5s | 15
        -TERM --timeout 100ms KILL --wait | 15";
    for [call, signal] in rows(calls) {
        let Some(group) = control_group() else { return };
        let Some(_thread) = KernelThread::moved_into(&group) else {
            return skip("no kernel thread can be moved");
        };
        let member = group.sleeping();
        let done = run!("{call} --cgroup {group}");
        member.assert_killed_by(signal.parse().expect("a signal"));
        done.fails(64, "kernel thread");
        // Alone.
        let alone = run!("{call} --cgroup {group}").code(1);
        assert_eq!(alone.out, "", "{call}");
    }
}

#[test]
fn members_that_appear_after_the_time_of_a_freeze_are_killed() {
    needs!(may_trace(), "strace");
    let Some(group) = control_group() else { return };
    let mut hopping = Family::with_role("hops 30000");
    group.take(hopping.pid());
    hopping.write_line("go");
    // A kernel without cgroup.kill, on which the group is not frozen at first.
    let files = format!("-P cgroup.kill -P {group}/cgroup.freeze");
    let faults = "inject=openat:error=ENOENT -e inject=write,pwrite64:retval=1:when=1";
    let traced = through(&format!("strace -qq -o /dev/null {files} -e {faults}"));
    call!(traced, "-KILL --wait --cgroup {group}").ok();
    assert!(!group.is_populated());
    hopping.assert_all_ended();
}

#[test]
fn a_user_kills_a_group_that_was_delegated() {
    needs!(may_change_user(), "root");
    let user = Unprivileged::new();
    for (call, signal, status) in [
        ("-KILL --wait", 9, 0),
        ("-TERM --wait", 15, 64),
        ("--grace 10s", 15, 64),
    ] {
        let Some(group) = control_group() else { return };
        let below = group.child("below");
        for path in [group.path(), below.path()] {
            for file in ["", "cgroup.procs", "cgroup.kill", "cgroup.freeze"] {
                chown(path.join(file), Some(NOBODY), Some(NOBODY)).expect("root may");
            }
        }
        let own = [&group, &below].map(|group| {
            let own = victim().owned_by(NOBODY).sleeping();
            group.take(own.pid());
            own
        });
        // Only the group's own files reach it.
        let foreign = below.sleeping();
        call!(user.sigsend(), "{call} --cgroup {group}").code(status);
        killed(&own, signal);
        match status {
            0 => foreign.assert_killed_by(9),
            _ => foreign.assert_alive(),
        }
    }
}

#[test]
fn a_group_that_becomes_threaded_meanwhile_is_an_error_and_not_waited_for() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    let calls = || each("-HUP | -HUP --wait | --grace 2s");
    let all = WINDOWS.into_iter();
    for (window, call) in all.flat_map(|w| calls().map(move |c| (w, c))) {
        let Some(parent) = control_group() else {
            return;
        };
        let group = parent.child("threaded");
        // It ends a call that waits for it in vain.
        let member = group.shell("echo ready; exec sleep 10");
        let held = Held::at(window, &format!("{call} --cgroup {group}"));
        // Only an empty group can be changed.
        parent.take(member.pid());
        let changed = fs::write(group.path().join("cgroup.type"), "threaded");
        group.take(member.pid());
        let done = held.go();
        if let Err(error) = changed {
            return skip(format!("no threaded group: {error}"));
        }
        let is_told = match done.status {
            Some(0) => matches!(member.ending(), Ending::Killed(_)),
            Some(1 | 64) => !done.err.is_empty(),
            _ => false,
        };
        assert!(is_told, "{window:?} {call}: {done:?}");
    }
}
