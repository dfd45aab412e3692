//! What keeps a process alive, and processes that cannot be read: nothing is claimed without proof,
//! and one process delays no other.

use std::os::unix::fs::fchown;

use nix::sys::ptrace;
use serde_json::Value;

use crate::hidden::set_user_id;
use crate::kinds::effect;
use crate::port::{SERVES, holding, tcp};
use crate::support::prelude::*;
use crate::trees;

/// A victim that this thread traces and holds stopped.
fn traced() -> Victim {
    let victim = Victim::sleeping();
    let pid = Pid::from_raw(victim.pid());
    ptrace::attach(pid).expect("a child can be traced");
    waitpid(pid, None).expect("it stops");
    victim.assert_state('t');
    victim
}

/// A process blocked in vfork(2) that catches TERM, as the child of the head of a family.
fn blocked() -> (Family, i32) {
    let family = trees::blocked("catching-vfork");
    let blocked = family.children()[0];
    (family, blocked)
}

/// When the last KILL of a call went to a process, in milliseconds.
#[track_caller]
fn killed_at(done: &Done, process: &Victim) -> u64 {
    let is_it = |event: &&Value| event["pid"] == process.pid() && event["signal"] == "KILL";
    let events = done.json();
    let kill = events.iter().rfind(is_it).expect("it was killed");
    kill["elapsed_ms"].as_u64().expect("a number")
}

#[test]
fn what_keeps_a_process_is_told() {
    let (stopped, stubborn, traced) = (victim().stopped(), Victim::shell(STUBBORN), traced());
    let (_family, blocked) = blocked();
    for (pid, words, state) in [
        (stopped.pid(), "CONT", "stopped"),
        (stubborn.pid(), "ignores TERM", "ignores TERM"),
        (traced.pid(), "traced by ", "traced by"),
        (blocked, "blocked in the kernel", "blocked"),
    ] {
        let done = run!("--json -TERM --within 50ms {pid}").code(124);
        let done = done.has(words).has(state);
        let is_late = |event: &Value| event["event"] == "still-there";
        let event = done.json().into_iter().find(is_late).expect("an event");
        let told = event["state"].as_str().unwrap_or_default();
        assert!(told.starts_with(state), "{event}");
    }
}

#[test]
fn a_dry_run_knows_a_stopped_a_traced_and_a_leaderless_process() {
    let (leaderless, _) = leaderless("leaderless");
    let (stopped, traced) = (victim().stopped(), traced());
    for (signal, process) in [
        ("-TERM", &leaderless),
        ("-KILL", &leaderless),
        ("-KILL", &stopped),
    ] {
        assert_eq!(effect(signal, process.pid()), "terminates it");
    }
    contains!(effect("-TERM", stopped.pid()), "stopped");
    contains!(effect("-TERM", traced.pid()), "traced");
}

#[test]
fn a_hidden_list_of_children_hides_no_child() {
    in_pid_namespace!();
    needs!(program("setpriv").is_some(), "setpriv");
    if !hide_processes() {
        return;
    }
    let (user, dir) = (Unprivileged::new(), tempdir());
    let sh = set_user_id(&dir, "sh");
    // The user may signal both; only the child is visible.
    let drop = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    let child = format!("{drop} sh -c 'echo $$; exec cat'");
    let script = format!("trap : HUP; exec 3<&0; {child} <&3 & wait; wait");
    let start = || {
        let mut command = Command::new(&sh);
        command.args(["-p", "-c", &script]);
        let mut head = victim().owned_by(NOBODY).command(command);
        let child: i32 = head.read_line().parse().expect("a PID");
        (head, child)
    };
    let (head, _child) = start();
    for form in ["-r -HUP", "--dry-run -HUP"] {
        let done = call!(user.sigsend(), "{form} {head}");
        done.lacks("does not catch").lacks("terminates it");
    }
    head.assert_alive();
    for form in each("-KILL --wait | --grace 15s | -KILL") {
        let (head, child) = start();
        call!(user.sigsend(), "--tree {form} {head}").fine();
        head.assert_killed_by(if form.contains("-KILL") { 9 } else { 15 });
        assert!("ZX".contains(state(child)), "{form}: {}", state(child));
    }
}

#[test]
fn a_blocked_process_delays_nobody_else() {
    in_pid_namespace!();
    // Members of groups without a leader, which are found by search.
    let groups = [(); 2].map(|()| {
        let mut leader = Victim::sleeping();
        let member = victim().in_group_of(&leader).shell(STUBBORN);
        leader.kill();
        (leader.group_arg(), member)
    });
    let (family, blocked) = blocked();
    let follow_up = "--json -TERM --timeout 10ms KILL --within 15s";
    let [(one, first), (two, second)] = &groups;
    let done = run!("{follow_up} -- {blocked} {one} {two}").code(0);
    for member in [first, second] {
        assert!(killed_at(&done, member) < 800, "{done:?}");
        member.assert_killed_by(9);
    }
    drop(family);
    // Nor does a tree that takes time to stop delay another.
    let (mut slow, _) = self::blocked();
    let stubborn = Victim::shell(STUBBORN);
    let done = run!("{follow_up} --tree {slow} {stubborn}").code(0);
    assert!(killed_at(&done, &stubborn) < 800, "{done:?}");
    stubborn.assert_killed_by(9);
    slow.assert_all_ended();
}

#[test]
fn a_security_module_that_refuses_is_told_as_such() {
    let target = Victim::sleeping();
    let refused = "inject=kill,pidfd_send_signal:error=EACCES";
    for (line, status, hint) in [
        ("-0 --within 1ms", 124, ""),
        ("--alive", 0, ""),
        ("-v -TERM", 1, "audit"),
        ("-v -TERM --within 15s", 1, "audit"),
    ] {
        let trace = traced!(refused, "{line} {target}");
        contains!(trace.done.code(status).err, "{hint}");
    }
    target.assert_alive();
}

#[test]
fn root_without_a_capability_is_not_told_to_be_root() {
    in_pid_namespace!();
    let is_possible = program("setpriv").is_some() && may_change_user() && entered_network();
    needs!(is_possible, "root and setpriv");
    let socket = tcp("0.0.0.0:8080");
    fchown(&socket, Some(NOBODY), None).expect("root may");
    let server = holding(victim().owned_by(NOBODY), socket, SERVES);
    let confined = through("setpriv --bounding-set -sys_ptrace");
    let done = call!(confined, "-v -a :8080").code(1);
    done.has("CAP_SYS_PTRACE").lacks("root may");
    server.assert_alive();
}
