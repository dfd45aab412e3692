//! Waiting for process groups: every member, later members too, and never a group with a reused ID.

use crate::support::prelude::*;

/// Runs `commands` on TERM, then forks, so that its child does not get that signal.
fn heir_after(commands: &str) -> String {
    let trap = format!("trap '{commands}cat <&3 & exit 3' TERM");
    format!("exec 3<&0; {trap}; echo ready; while read line; do :; done")
}

#[test]
fn a_group_is_gone_when_every_member_is() {
    let mut bystander = Recorder::new();
    table(
        "-v --grace 200ms -- -CAT | 0 | sent TERM (15) to CAT ( & sent TERM (15) to CAT2@CAT ( \
            & sent TERM (15) to STUBBORN@CAT ( & !sent KILL (9) to CAT ( & !sent KILL (9) to CAT2@CAT ( \
         | CAT=15 CAT2@CAT=15 STUBBORN@CAT=9",
    );
    // It lives without its leader.
    let mut leader = Victim::sleeping();
    let member = || victim().in_group_of(&leader);
    let (mortal, stubborn) = (member().sleeping(), member().shell(STUBBORN));
    run!("-KILL {leader}").code(0);
    leader.reap();
    run!("-0 --within 30ms -- -{leader}").code(124);
    let told = run!("-v --grace 200ms -- -{leader}").told();
    mortal.assert_killed_by(15);
    stubborn.assert_killed_by(9);
    assert_eq!(told.matches("sent TERM").count(), 2, "{told}");
    bystander.assert_untouched();
}

#[test]
fn a_zombie_leader_does_not_hide_other_members() {
    table(
        "--grace 15s -- -ZOMBIE      | 0   |        |
         -0 --within 0s -- -ZOMBIE   | 124 |        | CAT@ZOMBIE=
         --wait -- -ZOMBIE           | 0   | silent | CAT@ZOMBIE=15",
    );
}

#[test]
fn a_member_that_comes_later_is_waited_for_and_killed() {
    // The second child is forked long after the scans that accompany a signal, right before the
    // last known member exits.
    for (commands, grace) in [("", "500ms"), ("sleep 0.3; ", "1s")] {
        let mut family = Family::shell(&heir_after(commands));
        run!("--grace {grace} -- -{family}").fine();
        family.assert_exited_with(3);
        family.assert_all_ended();
    }
    // It is found without a leader, too.
    let mut leader = Victim::sleeping();
    let mut family = Family::shell_in_group_of(&leader, &heir_after(""));
    run!("-KILL --wait {leader}").code(0);
    leader.reap();
    run!("--grace 500ms -- -{leader}").fine();
    family.assert_exited_with(3);
    family.assert_all_ended();
}

#[test]
fn the_own_group_cannot_be_waited_for() {
    for waiting in each("--wait | --within 1s | --grace 1s | --timeout 1s KILL") {
        let script = format!("\"$0\" {waiting} -- -$$ 2>&1; echo status $?; exec cat");
        let mut shell = victim().command(sh(&script));
        contains!(shell.read_line(), "own process group");
        while shell.read_line() != "status 1" {}
        shell.assert_alive();
    }
}

#[test]
fn members_of_another_user_are_reported_and_not_waited_for() {
    needs!(may_change_user(), "root");
    let refused = "failed: Operation not permitted";
    table(&format!(
        "nobody: --wait -- -RECORDER | 64 | sending signal to -RECORDER (PID RECORDER) {refused} \
            | CAT~@RECORDER=15
         nobody: --within 15s -- -RECORDER | 1 | Operation not permitted |"
    ));
}

#[test]
fn a_group_beside_another_process_is_signalled_as_a_whole() {
    let (leader, other) = (Victim::sleeping(), Victim::sleeping());
    let _member = victim().in_group_of(&leader).sleeping();
    let trace = traced!(
        "trace=pidfd_send_signal",
        "-CONT --within 0s -- -{leader} {other}"
    );
    let is_whole = |call: &String| call.contains(", 0, NULL, 0x4)") && call.ends_with("= 0");
    let can = trace.calls.iter().any(is_whole);
    needs!(can, "Linux 6.9: a signal to a group by pidfd");
    let sent = trace.calls.iter().filter(|call| call.contains("SIGCONT"));
    let sent: Vec<_> = sent.collect();
    let holds = sent.len() == 2 && sent.iter().any(|call| call.contains("0x4"));
    assert!(holds, "{sent:?}");
}

#[test]
fn a_child_that_was_forked_before_the_deadline_is_still_there_after_it() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    // It says when it has got TERM, and on a line after that it forks a child and exits.
    let leader = || {
        let family = Family::shell(&heir_after("echo caught; read line; "));
        let args = format!("-TERM --within 0s -- -{family}");
        (family, args)
    };
    let (family, args) = leader();
    let trace = strace("trace=poll,pidfd_send_signal", &args);
    drop(family);
    for point in calls_after(&trace, "SIGTERM") {
        let (mut family, args) = leader();
        let held = Held::before(&point, &args);
        assert_eq!(family.read_line(), "caught");
        family.write_line("exit");
        family.assert_exited_with(3);
        held.go().code(124);
    }
}

#[test]
fn every_signal_to_the_own_group_affects_sigsend_as_well() {
    let own = |trap: &str, signal: i32| {
        let script = format!("ulimit -c 0; {trap} exec \"$0\" -{signal} 0");
        sh(&script).process_group(0).status().expect("sh starts")
    };
    for signal in (1..=31).filter(|signal| !matches!(signal, 17..=23 | 28)) {
        assert_eq!(own("", signal).signal(), Some(signal));
    }
    for signal in [7, 11, 13, 15, 25] {
        let ignored = own(&format!("trap '' {signal};"), signal);
        assert_eq!(ignored.code(), Some(0), "{signal} is ignored");
    }
}

#[test]
fn a_member_that_was_forked_in_answer_to_the_signal_is_reported() {
    let forks = "trap 'sleep 60 & echo forked' TERM; echo ready; while :; do wait; done";
    let mut leader = Victim::shell(forks);
    let told = run!("-v --grace 300ms -- -{leader}").told();
    assert_eq!(leader.read_line(), "forked");
    leader.assert_killed_by(9);
    assert_eq!(told.matches("sent TERM").count(), 1, "{told}");
    assert_eq!(told.matches("sent KILL").count(), 2, "{told}");
    assert!(!told.contains("already gone"), "{told}");
    let leader = Victim::shell(forks);
    run!("--json --grace 300ms -- -{leader}").has("\"signalled\":2,\"already_gone\":0,");
}

#[test]
fn a_process_that_joins_during_the_wait_is_left_at_its_end() {
    let leader = Victim::sleeping();
    let mut waiting = background!("--json -0 --within 500ms -- -{leader}");
    contains!(waiting.read_line(), "sent");
    let _member = victim().in_group_of(&leader).sleeping();
    let mut line = waiting.read_line();
    while !line.contains("summary") {
        line = waiting.read_line();
    }
    contains!(line, "\"remaining\":2,");
}
