//! Dry runs of processes that ignore or block a signal, or that no signal affects.

use crate::support::prelude::*;
use crate::words::has_kernel_threads;

/// The effect on one process that a dry run reports.
#[track_caller]
pub fn effect(signal: &str, pid: i32) -> String {
    let told = run!("--dry-run {signal} {pid}").told();
    let effect = told.split_once("): ").expect(&told).1;
    effect.split_once("; user ").expect(&told).0.to_owned()
}

#[track_caller]
fn has_effect(signal: &str, pid: i32, expected: &str) {
    assert_eq!(effect(signal, pid), expected, "{signal} {pid}");
}

#[test]
fn a_caught_and_blocked_signal_is_reported_as_both() {
    needs!(program("python3").is_some(), "python3");
    let script = "import signal, sys; signal.signal(signal.SIGHUP, print)\n\
        print('ready', flush=True)\n\
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP, signal.SIGTERM])\n\
        sys.stdin.readline()";
    let caught = victim().ready(tool("python3 -c").arg(script));
    let blocked = || mask(caught.pid(), "SigBlk");
    eventually("the signals to be blocked", || blocked() & 0x4001 == 0x4001);
    let both = "caught by a handler, blocked right now";
    has_effect("-HUP", caught.pid(), both);
    has_effect("-TERM", caught.pid(), "terminates it, blocked right now");
    has_effect("-KILL", caught.pid(), "terminates it");
    let done = run!("--dry-run --json -HUP {caught}").fine();
    done.has("\"effect\":\"caught\"").has("\"blocked\":true");
}

#[test]
fn the_init_of_a_child_namespace_takes_caught_signals_and_kill() {
    needs!(running_as_root(), "root");
    let script = "trap : HUP; echo ready; read line; exit";
    let outer = victim().ready(tool("unshare --pid --fork --kill-child sh -c").arg(script));
    let inner = children(outer.pid())[0];
    has_effect("-TERM", inner, "does nothing");
    has_effect("-HUP", inner, "caught by a handler");
    has_effect("-KILL", inner, "terminates it");
    has_effect("-STOP", inner, "stops it");
    has_effect("-TERM", Victim::sleeping().pid(), "terminates it");
}

#[test]
fn the_init_of_the_own_namespace_does_not_take_kill() {
    in_pid_namespace!();
    for signal in ["-KILL", "-STOP", "-USR2"] {
        has_effect(signal, 1, "does nothing");
    }
}

#[test]
fn a_kernel_thread_or_a_zombie_takes_nothing() {
    let zombie = Victim::zombie();
    has_effect("-KILL", zombie.pid(), "does nothing");
    let may_look = has_kernel_threads() && running_as_root();
    needs!(may_look, "kernel threads in this PID namespace");
    has_effect("-KILL", 2, "does nothing");
    has_effect("-TERM", 2, "does nothing");
    run!("--dry-run -KILL --wait 2").fails(1, "sigsend: ");
}
