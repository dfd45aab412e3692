//! Waiting for process groups: every member, later members too, and never a group with a reused ID.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

use crate::family::Family;
use crate::strange::{Held, calls_after, may_trace};
use crate::support::{
    Ending, NOBODY, Recorder, SIGSEND, STUBBORN, Unprivileged, Victim, in_pid_namespace,
    may_change_user, sigsend, skip, stderr, stdout, strace, victim,
};

/// Forks on TERM, so that its child does not get that signal.
const HEIR_AFTER_TERM: &str =
    "exec 3<&0; trap 'cat <&3 & exit 3' TERM; echo ready; while read line; do :; done";

#[test]
fn a_group_is_gone_when_every_member_is() {
    let mut bystander = Recorder::new();
    let leader = Victim::sleeping();
    let members = [
        victim().in_group_of(&leader).sleeping(),
        victim().in_group_of(&leader).shell(STUBBORN),
    ];
    let told = sigsend()
        .args(["-v", "--grace", "200ms", "--", &leader.group_arg()])
        .assert()
        .success()
        .stderr("");
    leader.assert_killed_by(15);
    members[0].assert_killed_by(15);
    members[1].assert_killed_by(9);
    for member in [&leader, &members[0], &members[1]] {
        assert!(
            stdout(&told).contains(&format!("sent TERM (15) to {} (", member.pid())),
            "{}",
            stdout(&told)
        );
    }
    assert_eq!(
        stdout(&told).matches("sent KILL").count(),
        1,
        "{}",
        stdout(&told)
    );
    bystander.assert_untouched();
}

#[test]
fn a_group_lives_without_its_leader() {
    let mut leader = Victim::sleeping();
    let members = [
        victim().in_group_of(&leader).sleeping(),
        victim().in_group_of(&leader).shell(STUBBORN),
    ];
    let group = leader.group_arg();
    sigsend().args(["-KILL", &leader.arg()]).assert().success();
    leader.reap();
    sigsend()
        .args(["-0", "--within", "30ms", "--", &group])
        .assert()
        .code(124);
    let told = sigsend()
        .args(["-v", "--grace", "200ms", "--", &group])
        .assert()
        .success()
        .stderr("");
    members[0].assert_killed_by(15);
    members[1].assert_killed_by(9);
    assert_eq!(
        stdout(&told).matches("sent TERM").count(),
        2,
        "{}",
        stdout(&told)
    );
}

#[test]
fn a_zombie_leader_does_not_hide_other_members() {
    let leader = Victim::zombie();
    sigsend()
        .args(["--grace", "15s", "--", &leader.group_arg()])
        .assert()
        .success()
        .stderr("");
    let other = Victim::sleeping();
    let member = victim().in_group_of(&other).sleeping();
    sigsend()
        .args(["-KILL", "--wait", &other.arg()])
        .assert()
        .success();
    let group = other.group_arg();
    sigsend()
        .args(["-0", "--within", "0s", "--", &group])
        .assert()
        .code(124);
    sigsend()
        .args(["--wait", "--", &group])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    member.assert_killed_by(15);
}

#[test]
fn a_member_that_comes_later_is_waited_for_and_killed() {
    let mut family = Family::shell(HEIR_AFTER_TERM);
    sigsend()
        .args(["--grace", "500ms", "--", &family.group_arg()])
        .assert()
        .success()
        .stderr("");
    family.assert_exited_with(3);
    family.assert_all_ended();
}

/// The child is forked long after the scans that accompany a signal, right before the last known
/// member exits.
#[test]
fn a_child_that_the_last_member_leaves_is_waited_for_and_killed() {
    let mut family = Family::shell(
        "exec 3<&0; trap 'sleep 0.3; cat <&3 & exit 3' TERM; echo ready; while read line; do :; done",
    );
    sigsend()
        .args(["--grace", "1s", "--", &family.group_arg()])
        .assert()
        .success()
        .stderr("");
    family.assert_exited_with(3);
    family.assert_all_ended();
}

#[test]
fn a_member_that_comes_later_is_found_without_a_leader_too() {
    let mut leader = Victim::sleeping();
    let group = leader.group_arg();
    let mut family = Family::shell_in_group_of(&leader, HEIR_AFTER_TERM);
    sigsend()
        .args(["-KILL", "--wait", &leader.arg()])
        .assert()
        .success();
    leader.reap();
    sigsend()
        .args(["--grace", "500ms", "--", &group])
        .assert()
        .success()
        .stderr("");
    family.assert_exited_with(3);
    family.assert_all_ended();
}

#[test]
fn a_group_that_keeps_forking_does_not_delay_the_follow_up() {
    let mut leader = Victim::sleeping();
    let group = leader.group_arg();
    let mut family = Family::with_role_in_group_of(&leader, "short-lived 100 1500");
    sigsend()
        .args(["-HUP", "--within", "100ms", "--", &group])
        .assert()
        .code(124);
    sigsend()
        .args(["-KILL", "--wait", &leader.arg()])
        .assert()
        .success();
    leader.reap();
    sigsend()
        .args(["--timeout", "200ms", "KILL", "--wait", "--", &group])
        .assert()
        .success();
    family.assert_killed_by(9);
    family.assert_all_ended();
}

#[test]
fn the_own_group_cannot_be_waited_for() {
    for waiting in ["--wait", "--within 1s", "--grace 1s", "--timeout 1s KILL"] {
        let script = format!("echo ready; \"$0\" {waiting} -- -$$ 2>&1; echo status $?; exec cat");
        let mut command = Command::new("sh");
        command.args(["-c", &script, SIGSEND]);
        let mut shell = victim().command(command);
        assert_eq!(shell.read_line(), "ready");
        let refusal = shell.read_line();
        assert!(refusal.contains("own process group"), "{refusal}");
        while shell.read_line() != "status 1" {}
        shell.assert_alive();
    }
}

#[test]
fn members_of_another_user_are_reported_and_not_waited_for() {
    if !may_change_user() {
        return skip("needs root");
    }
    let unprivileged = Unprivileged::new();
    let mut foreign = Recorder::of(victim());
    let mut own = victim()
        .in_group_of(foreign.victim())
        .owned_by(NOBODY)
        .sleeping();
    let group = foreign.victim().group_arg();
    let told = unprivileged
        .sigsend()
        .args(["--wait", "--", &group])
        .assert()
        .code(64);
    assert_eq!(own.reap(), Ending::Killed(15));
    let words = format!(
        "sigsend: sending signal to {group} (PID {}) failed: Operation not permitted\n",
        foreign.arg()
    );
    assert!(stderr(&told).starts_with(&words), "{}", stderr(&told));
    let told = unprivileged
        .sigsend()
        .args(["--within", "15s", "--", &group])
        .assert()
        .code(1);
    assert!(
        stderr(&told).contains("Operation not permitted"),
        "{}",
        stderr(&told)
    );
    foreign.assert_untouched();
}

#[test]
fn a_group_typed_beside_its_members_gets_each_step_once() {
    let mut leader = Recorder::of(victim());
    let mut member = Recorder::of(victim().in_group_of(leader.victim()));
    let group = leader.victim().group_arg();
    let args = [
        "-USR1",
        "--timeout",
        "10",
        "USR2",
        &member.arg(),
        "--",
        &group,
    ];
    sigsend().args(args).assert().success();
    assert_eq!(
        (leader.signals(), member.signals()),
        (vec![10, 12], vec![10, 12])
    );
}

#[test]
fn a_group_beside_another_process_is_signalled_as_a_whole() {
    let (leader, other) = (Victim::sleeping(), Victim::sleeping());
    let _member = victim().in_group_of(&leader).sleeping();
    let args = [
        "-CONT",
        "--within",
        "0s",
        "--",
        &leader.group_arg(),
        &other.arg(),
    ];
    let Some(trace) = strace("trace=pidfd_send_signal", &args) else {
        return;
    };
    if !trace
        .calls
        .iter()
        .any(|call| call.contains(", 0, NULL, 0x4)") && call.ends_with("= 0"))
    {
        return skip("no signal to a process group by pidfd before Linux 6.9");
    }
    let sent: Vec<_> = trace
        .calls
        .iter()
        .filter(|call| call.contains("SIGCONT"))
        .collect();
    assert!(
        sent.len() == 2 && sent.iter().any(|call| call.contains("0x4")),
        "{sent:?}"
    );
}

#[test]
fn a_child_that_was_forked_before_the_deadline_is_still_there_after_it() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        // It says when it has got TERM, and on a line after that it forks a child and exits.
        let leader = || {
            let family = Family::shell(
                "exec 3<&0; trap 'echo caught; read line; cat <&3 & exit 3' TERM; echo ready; while read line; do :; done",
            );
            let args = ["-TERM", "--within", "0s", "--"]
                .map(str::to_owned)
                .into_iter()
                .chain([family.group_arg()]);
            (family, args.collect::<Vec<_>>())
        };
        let (family, args) = leader();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let trace = strace("trace=poll,pidfd_send_signal", &args)
            .expect("strace is usable, as checked before");
        drop(family);
        for point in calls_after(&trace, "SIGTERM") {
            let (mut family, args) = leader();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let held = Held::before(&point, &args);
            assert_eq!(family.read_line(), "caught");
            family.write_line("exit");
            family.assert_exited_with(3);
            let output = held.go();
            assert_eq!(
                output.status.code(),
                Some(124),
                "{point:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    });
}

#[test]
fn every_signal_to_the_own_group_affects_sigsend_as_well() {
    let own = |signal: i32, ignored: bool| {
        let trap = if ignored {
            format!("trap '' {signal}; ")
        } else {
            String::new()
        };
        let mut command = Command::new("sh");
        command.args([
            "-c",
            &format!("ulimit -c 0; {trap}exec \"$0\" -{signal} 0"),
            SIGSEND,
        ]);
        command.process_group(0).status().expect("sh starts")
    };
    for signal in (1..=31).filter(|signal| !matches!(signal, 17..=23 | 28)) {
        assert_eq!(own(signal, false).signal(), Some(signal));
    }
    for signal in [7, 11, 13, 15, 25] {
        assert_eq!(own(signal, true).code(), Some(0), "{signal} is ignored");
    }
}
