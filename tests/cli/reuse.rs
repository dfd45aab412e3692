//! PID reuse: each PID that sigsend gets belongs to an unrelated process by the time it acts, a
//! hundred times over, and that process gets no signal. In private PID namespaces, where a PID can
//! be chosen.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::strange::{Held, Window, may_trace};
use crate::support::{
    Victim, back_date, in_pid_namespace, sigsend, skip, stderr, stdout, tempdir, victim,
};

const ROUNDS: usize = 100;

/// The PID that is reused.
const NUMBER: &str = "4242";

/// The process that has the PID at present; every signal would end it.
fn owner(name: &str) -> Victim {
    victim().with_pid(4242).named(name).sleeping()
}

/// Ends the owner of the PID, and starts another process with it.
fn reuse_pid(mut owner: Victim, name: &str) -> Victim {
    kill(Pid::from_raw(owner.pid()), Signal::SIGKILL).expect("a child can be killed");
    owner.reap();
    self::owner(name)
}

/// The commands for one process, and whether they succeed when that process is gone.
const COMMANDS: [(&[&str], i32); 13] = [
    (&["-KILL"], 1),
    (&["-HUP", "-v"], 1),
    (&["-0"], 1),
    (&["-RTMIN+3", "-q", "7"], 1),
    (&["--tree", "-KILL"], 1),
    (&["--timeout", "0", "KILL"], 1),
    (&["--expect", "daemon"], 1),
    (&["--alive"], 1),
    (&["--id"], 1),
    (&["-p"], 1),
    (&["--wait"], 0),
    (&["--within", "5s", "--json"], 0),
    (&["--grace", "5s"], 0),
];

#[test]
fn a_stale_pidfile_never_hits_the_next_owner_of_its_pid() {
    in_pid_namespace(|| {
        let dir = tempdir();
        for (args, _) in COMMANDS.iter().cycle().take(ROUNDS) {
            let daemon = owner("daemon");
            let file = dir.file("daemon.pid", format!("{NUMBER}\n"));
            let unrelated = reuse_pid(daemon, "daemon");
            back_date(&file, Duration::from_secs(3600));
            let refused = sigsend()
                .args(*args)
                .arg("--pidfile")
                .arg(&file)
                .assert()
                .code(1);
            let expected = format!("pidfile {} is stale: {NUMBER} started at ", file.display());
            assert!(
                stderr(&refused).contains(&expected),
                "{args:?}: {}",
                stderr(&refused)
            );
            unrelated.assert_alive();
        }
    });
}

#[test]
fn a_token_never_hits_the_next_owner_of_its_pid() {
    in_pid_namespace(|| {
        for (args, status) in COMMANDS.iter().cycle().take(ROUNDS) {
            let daemon = owner("daemon");
            let token = stdout(&sigsend().args(["--id", NUMBER]).assert().success());
            let token = token.trim_end();
            let unrelated = reuse_pid(daemon, "daemon");
            let done = sigsend().args(*args).arg(token).assert().code(*status);
            let said = stderr(&done);
            if *status == 0 {
                assert_eq!(said, "", "{args:?}: already gone counts as success");
            } else {
                assert!(
                    said.contains(token) && said.contains("No such process"),
                    "{args:?}: {said}"
                );
                assert!(
                    said.contains("this PID now belongs to another process"),
                    "{args:?}: {said}"
                );
            }
            unrelated.assert_alive();
        }
    });
}

/// Reuses the PID while sigsend, started with these arguments, is held in the window.
#[track_caller]
fn swap(window: Window, args: &[&str], new_name: &str) -> String {
    let daemon = owner("daemon");
    let held = Held::at(window, args);
    let unrelated = reuse_pid(daemon, new_name);
    let output = held.go();
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{window:?} {args:?}: {said}");
    unrelated.assert_alive();
    said
}

#[test]
fn a_name_never_hits_a_pid_reused_before_it_is_pinned() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        for _round in 0..ROUNDS {
            let said = swap(Window::BeforePinning, &["-KILL", "daemon"], "unrelated");
            assert!(
                said.starts_with("sigsend: cannot find process \"daemon\"\n"),
                "{said}"
            );
        }
    });
}

#[test]
fn a_name_never_hits_a_pid_reused_after_it_is_pinned_by_the_same_name() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        for _round in 0..ROUNDS {
            let said = swap(Window::AfterPinning, &["-KILL", "daemon"], "daemon");
            assert!(
                said.starts_with("sigsend: cannot find process \"daemon\"\n"),
                "{said}"
            );
        }
    });
}

#[test]
fn a_name_never_hits_a_pid_reused_just_before_the_signal() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        for round in 0..ROUNDS {
            let unrelated = if round % 2 == 0 {
                "unrelated"
            } else {
                "daemon"
            };
            let said = swap(Window::BeforeSending, &["-KILL", "daemon"], unrelated);
            assert_eq!(
                said,
                "sigsend: sending signal to daemon (PID 4242) failed: No such process\n"
            );
        }
    });
}

#[test]
fn a_check_never_passes_for_the_next_owner_of_the_pid() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        let dir = tempdir();
        let file = dir.file("daemon.pid", format!("{NUMBER}\n"));
        let file = file.to_str().expect("a path of ours");
        let checks: [&[&str]; 5] = [
            &["--expect", "daemon", NUMBER],
            &["--pidfile", file],
            &["--pidfile", file, "--expect", "daemon"],
            &["--timeout", "0", "KILL", NUMBER],
            &["--tree", "-KILL", NUMBER],
        ];
        for (round, check) in checks.iter().cycle().take(ROUNDS).enumerate() {
            let window = if round % 2 == 0 {
                Window::AfterPinning
            } else {
                Window::BeforeSending
            };
            // New in each round, so that only the pidfd distinguishes the two.
            back_date(file.as_ref(), Duration::ZERO);
            let said = swap(window, check, "daemon");
            assert_eq!(
                said,
                format!("sigsend: sending signal to {NUMBER} failed: No such process\n"),
                "{check:?}"
            );
        }
    });
}
