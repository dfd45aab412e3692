//! Dry runs of processes that ignore or block a signal, or that no signal affects.

use std::fs;
use std::process::Command;

use crate::support::{
    Victim, eventually, in_pid_namespace, program, running_as_root, sigsend, skip, stdout, victim,
};

/// The effect on one process that a dry run reports.
#[track_caller]
fn effect(signal: &str, pid: &str) -> String {
    let told = sigsend()
        .args(["--dry-run", signal, pid])
        .assert()
        .success()
        .stderr("");
    let told = stdout(&told);
    let effect = told
        .split_once("): ")
        .and_then(|(_, rest)| rest.split_once("; user "))
        .map(|(effect, _)| effect);
    effect
        .unwrap_or_else(|| panic!("no effect in {told:?}"))
        .to_owned()
}

#[test]
fn a_caught_and_blocked_signal_is_reported_as_both() {
    let script = "import signal, sys; signal.signal(signal.SIGHUP, print); print('ready', flush=True)\n\
                  signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP, signal.SIGTERM]); sys.stdin.readline()";
    let Some(python) = program("python3") else {
        return skip("no python3");
    };
    let mut command = Command::new(python);
    command.args(["-c", script]);
    let mut caught = victim().command(command);
    assert_eq!(caught.read_line(), "ready");
    eventually("the signals to be blocked", || {
        u64::from_str_radix(&caught.status_field("SigBlk"), 16)
            .is_ok_and(|mask| mask & 0x4001 == 0x4001)
    });
    assert_eq!(
        effect("-HUP", &caught.arg()),
        "caught by a handler, blocked right now"
    );
    assert_eq!(
        effect("-TERM", &caught.arg()),
        "terminates it, blocked right now"
    );
    assert_eq!(effect("-KILL", &caught.arg()), "terminates it");
    let told = sigsend()
        .args(["--dry-run", "--json", "-HUP", &caught.arg()])
        .assert()
        .success();
    let told = stdout(&told);
    assert!(
        told.contains("\"effect\":\"caught\"") && told.contains("\"blocked\":true"),
        "{told}"
    );
}

#[test]
fn the_init_of_a_child_namespace_takes_caught_signals_and_kill() {
    if !running_as_root() {
        return skip("needs root");
    }
    let mut command = Command::new("unshare");
    command.args([
        "--pid",
        "--fork",
        "--kill-child",
        "sh",
        "-c",
        "trap : HUP; echo ready; read line; exit",
    ]);
    let mut outer = victim().command(command);
    assert_eq!(outer.read_line(), "ready");
    let children = format!("/proc/{0}/task/{0}/children", outer.pid());
    let inner = fs::read_to_string(children).expect("a kernel that lists children");
    let inner = inner.trim();
    assert_eq!(effect("-TERM", inner), "does nothing");
    assert_eq!(effect("-HUP", inner), "caught by a handler");
    assert_eq!(effect("-KILL", inner), "terminates it");
    assert_eq!(effect("-STOP", inner), "stops it");
    assert_eq!(effect("-TERM", &Victim::sleeping().arg()), "terminates it");
}

#[test]
fn the_init_of_the_own_namespace_does_not_take_kill() {
    in_pid_namespace(|| {
        assert_eq!(effect("-KILL", "1"), "does nothing");
        assert_eq!(effect("-STOP", "1"), "does nothing");
        assert_eq!(effect("-USR2", "1"), "does nothing");
    });
}

#[test]
fn a_kernel_thread_takes_nothing() {
    if fs::read_to_string("/proc/2/comm").unwrap_or_default() != "kthreadd\n" || !running_as_root()
    {
        return skip("no kernel threads in this PID namespace");
    }
    assert_eq!(effect("-KILL", "2"), "does nothing");
    assert_eq!(effect("-TERM", "2"), "does nothing");
    sigsend()
        .args(["--dry-run", "-KILL", "--wait", "2"])
        .assert()
        .code(1)
        .stdout("");
}

#[test]
fn a_zombie_takes_nothing() {
    assert_eq!(effect("-KILL", &Victim::zombie().arg()), "does nothing");
}
