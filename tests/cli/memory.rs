//! Little memory: no process is left stopped when an allocation fails.

use std::process::Command;

use nix::sys::resource::{Resource, getrlimit};

use crate::family::{Family, state};
use crate::support::{SIGSEND, eventually, program, skip, tempdir};

#[test]
fn a_freeze_that_runs_out_of_memory_leaves_no_process_stopped() {
    let (Some(strace), Some(prlimit)) = (program("strace"), program("prlimit")) else {
        return skip("no strace or no prlimit");
    };
    let children = 1500;
    if getrlimit(Resource::RLIMIT_NOFILE).is_ok_and(|(_, hard)| hard < children + 100) {
        return skip("too few open files");
    }
    let mut family = Family::with_role(&format!("children {children}"));
    let members = family.children();
    let dir = tempdir();
    let log = dir.path().join("strace");
    let limited = |kilobytes: u64, args: &[&str]| {
        let mut command = Command::new(&strace);
        command
            .args([
                "-f",
                "-qq",
                "-e",
                "signal=none",
                "-e",
                "trace=pidfd_send_signal",
                "-o",
            ])
            .arg(&log);
        command
            .arg(&prlimit)
            .arg(format!("--as={}", kilobytes * 1024))
            .arg(*SIGSEND)
            .args(args);
        let output = command
            .current_dir(dir.path())
            .output()
            .expect("strace starts");
        let signals = std::fs::read_to_string(&log).unwrap_or_default();
        (output, signals)
    };
    // The smallest limit with which sigsend starts.
    let mut least = 0;
    for bit in (4..20).rev() {
        if !limited(least + (1 << bit), &["-V"]).0.status.success() {
            least += 1 << bit;
        }
    }
    let mut refused = 0;
    for step in 0.. {
        let (output, signals) = limited(least + step * 96, &["--tree", "-KILL", &family.arg()]);
        if output.status.success() {
            break;
        }
        refused += usize::from(
            String::from_utf8_lossy(&output.stderr).contains("stopping a tree: memory"),
        );
        assert!(!signals.contains("SIGKILL"), "{signals}");
        eventually("all processes to continue", || {
            members.iter().all(|pid| state(*pid) == 'S')
        });
        assert!(step < 1000, "with {} KiB it still fails", least + step * 96);
    }
    assert!(refused > 0, "memory never ran out in the freeze");
    family.assert_killed_by(9);
    family.assert_all_ended();
}
