//! Little memory: no process is left stopped when an allocation fails.

use crate::limits::may_open;
use crate::support::prelude::*;

#[test]
fn a_freeze_that_runs_out_of_memory_leaves_no_process_stopped() {
    // Elsewhere a daemon that another test starts may look like an orphan.
    in_pid_namespace!();
    let has_both = program("strace").is_some() && program("prlimit").is_some();
    needs!(has_both && may_open(1600), "strace, prlimit, open files");
    let mut family = Family::with_role("children 1500");
    let members = family.children();
    let dir = tempdir();
    let log = dir.arg("strace", "");
    let limited = |kilobytes: u64, args: &str| {
        let traced = format!("strace -f -qq -e signal=none -e trace=pidfd_send_signal -o {log}");
        let limit = format!("prlimit --as={}", kilobytes * 1024);
        call!(through(&format!("{traced} {limit}")), "{args}")
    };
    // The smallest limit with which sigsend starts.
    let mut least = 0;
    for bit in (4..20).rev() {
        if limited(least + (1 << bit), "-V").status != Some(0) {
            least += 1 << bit;
        }
    }
    let mut refused = 0;
    let stride = if in_full() { 96 } else { 288 };
    for step in 0.. {
        let done = limited(least + step * stride, &format!("--tree -KILL {family}"));
        if done.status == Some(0) {
            break;
        }
        refused += usize::from(done.err.contains("stopping a tree: memory"));
        let signals = std::fs::read_to_string(&log).unwrap_or_default();
        assert!(!signals.contains("SIGKILL"), "{signals}");
        let is_asleep = |pid: &i32| state(*pid) == 'S';
        let all_sleep = || members.iter().all(is_asleep);
        eventually("all processes to continue", all_sleep);
        let holds = step < 1000;
        assert!(holds, "with {} KiB it still fails", least + step * stride);
    }
    assert!(refused > 0, "memory never ran out in the freeze");
    family.assert_killed_by(9);
    family.assert_all_ended();
}
