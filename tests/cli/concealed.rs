//! What cannot be seen proves nothing: processes that /proc hides, descriptors of a single thread,
//! and a crowd of other descriptors and sockets.

use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

use crate::family::Family;
use crate::hidden::hide_processes;
use crate::limits::{may_open, size};
use crate::support::{
    NOBODY, Unprivileged, in_pid_namespace, may_change_user, raw, sigsend, skip, stderr, strace,
    victim,
};

/// The name of processes that no other has.
const NAME: &str = "concealed";

#[test]
fn a_name_that_a_hidden_process_may_have_is_not_called_gone() {
    in_pid_namespace(|| {
        if !hide_processes() {
            return;
        }
        let user = Unprivileged::new();
        // One of the caller, which is not dumpable, like ssh-agent; one of another user; and none.
        let own = || Some(Family::with_role(&format!("not-dumpable {NAME}")));
        let foreign = || {
            Some(Family::shell(&format!(
                "echo {NAME} >/proc/$$/comm; echo ready; read line"
            )))
        };
        let process: [&dyn Fn() -> Option<Family>; 3] = [&own, &foreign, &|| None];
        for (row, start) in process.into_iter().enumerate() {
            let process = start();
            let selections = [&[NAME][..], &["-f", NAME]];
            for selection in selections {
                user.sigsend()
                    .arg("--alive")
                    .args(selection)
                    .assert()
                    .code(2);
                for call in [&["-TERM"][..], &["--wait"], &["--grace", "5s"]] {
                    let told = user
                        .sigsend()
                        .arg("-v")
                        .args(call)
                        .args(selection)
                        .assert()
                        .code(1);
                    assert!(
                        stderr(&told).contains("hid"),
                        "{row} {call:?}: {}",
                        stderr(&told)
                    );
                }
            }
            if let Some(process) = process {
                process.assert_alive();
            }
        }
        // What can be seen is enough to be alive, and gets the signal.
        let visible = victim().named(NAME).owned_by(NOBODY).sleeping();
        let _hidden = own();
        user.sigsend().args(["--alive", NAME]).assert().success();
        user.sigsend().args(["-HUP", NAME]).assert().success();
        visible.assert_killed_by(1);
    });
}

/// Moves this thread and its children to a network namespace in which no other process listens.
#[track_caller]
fn entered_network() -> bool {
    let entered = unshare(CloneFlags::CLONE_NEWNET);
    if let Err(error) = entered {
        skip(format!("no network namespace: {error}"));
    }
    entered.is_ok()
}

#[test]
fn a_socket_that_only_a_thread_has_open_is_found() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        let process = Family::with_role("listens-in-a-thread 8080");
        sigsend()
            .args(["-p", ":8080"])
            .assert()
            .success()
            .stdout(format!("{}\n", process.pid()));
        sigsend()
            .args(["-KILL", "--wait", ":8080"])
            .assert()
            .success();
        process.assert_killed_by(9);
    });
}

#[test]
fn descriptors_of_other_users_are_not_looked_at_for_a_port() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        if !entered_network() {
            return;
        }
        let foreign = victim().owned_by(NOBODY).sleeping();
        let own = Family::with_role("crowded 8080 0 0");
        let Some(trace) = strace("trace=openat", &["-p", ":8080"]) else {
            return;
        };
        assert_eq!(
            String::from_utf8_lossy(&trace.output.stdout),
            format!("{}\n", own.pid())
        );
        let looked = format!("/{}/", foreign.pid());
        let looks = trace
            .calls
            .iter()
            .filter(|call| call.contains(&looked) && call.contains("/fd"));
        assert_eq!(looks.collect::<Vec<_>>(), [""; 0]);
    });
}

#[test]
fn a_port_is_found_among_many_descriptors_and_sockets() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        let crowds = size(1, 5);
        let mut sizes = [size(10_000, 100_000), 10_000].into_iter();
        let Some(descriptors) = sizes.find(|size| may_open(*size)) else {
            return skip("a process may not open 10,000 files");
        };
        let crowd = |nth| Family::with_role(&format!("crowded {} 0 9999", 10_000 * nth));
        let _crowds: Vec<_> = (1..=crowds).map(crowd).collect();
        let process = Family::with_role(&format!("crowded 8080 {descriptors} 0"));
        let begin = Instant::now();
        sigsend()
            .args(["-p", ":8080"])
            .assert()
            .success()
            .stdout(format!("{}\n", process.pid()));
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "{:?}",
            begin.elapsed()
        );
    });
}

#[test]
fn a_name_means_the_callers_processes_in_a_user_namespace_too() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        let user = Unprivileged::new();
        // As root of the namespace, and as a user that it does not map.
        for (options, statuses) in [
            (&["--user", "--map-root-user"][..], &[0][..]),
            (&["--user"], &[0, 64]),
        ] {
            let own = victim().named(NAME).owned_by(NOBODY).sleeping();
            let foreign = victim().named(NAME).sleeping();
            let mut command = raw("unshare");
            command
                .uid(NOBODY)
                .gid(NOBODY)
                .args(options)
                .arg(user.path());
            let told = command
                .args(["-HUP", NAME])
                .output()
                .expect("unshare starts");
            let said = String::from_utf8_lossy(&told.stderr);
            if said.starts_with("unshare: ") {
                return skip(said);
            }
            own.assert_killed_by(1);
            foreign.assert_alive();
            let status = told.status.code().expect("it is not killed");
            assert!(statuses.contains(&status), "{status}: {said}");
        }
    });
}
