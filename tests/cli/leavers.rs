//! Members that leave their process group after they were pinned, and group IDs that are reused:
//! each member gets its signals by its own pidfd, and no unrelated process gets any.

use crate::support::prelude::*;

/// The ID that is reused.
const NUMBER: i32 = 4242;

/// A leader that dies of TERM, and a member that leaves the group on TERM and keeps running.
fn group() -> (Victim, Family) {
    let leader = victim().with_pid(NUMBER).sleeping();
    let member = Family::with_role_in_group_of(&leader, "leaver");
    (leader, member)
}

/// Whether TERM was sent to the leader, which dies of it.
fn has_got_term(leader: &Victim) -> bool {
    loop {
        let is_at_rest = leader.status_field("State").starts_with('S');
        let is_pending = mask(leader.pid(), "ShdPnd") != 0;
        if leader.has_ended() || is_at_rest && !is_pending {
            return leader.has_ended();
        }
    }
}

/// How many lines of JSON there are for an event of a process.
fn count(done: &Done, event: &str, process: &Victim) -> usize {
    let events = done.json().into_iter();
    let of_it = events.filter(|it| it["event"] == event && it["pid"] == process.pid());
    of_it.count()
}

#[test]
fn a_follow_up_never_hits_a_group_that_reuses_the_id_of_an_ended_one() {
    in_pid_namespace!();
    for call in each("--timeout 500 KILL --within 10s | --grace 500ms | --wait") {
        let (mut leader, mut member) = group();
        let sigsend = background!("-TERM {call} -- -{NUMBER}");
        assert_eq!(member.next_line(), Some(format!("left {member}")));
        // Stopped while the ID is reused, so that there is no race.
        send(sigsend.pid(), Signal::SIGSTOP);
        leader.reap();
        let stranger = victim().with_pid(NUMBER).sleeping();
        send(sigsend.pid(), Signal::SIGCONT);
        if call == "--wait" {
            member.assert_alive();
            send(member.pid(), Signal::SIGKILL);
        }
        member.assert_killed_by(9);
        sigsend.assert_exited_with(0);
        stranger.assert_alive();
        let told = member.assert_all_ended();
        assert!(told.is_empty(), "TERM came once: {told:?}");
    }
}

#[test]
fn the_id_of_a_group_may_be_reused_before_any_system_call() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    let forms = "-TERM --timeout 50 KILL --within 10s | --grace 50ms -v \
        | --json -TERM --timeout 50 KILL";
    let (mut swapped, mut too_late) = (0, 0);
    for form in each(forms) {
        let args = format!("{form} -- -{NUMBER}");
        // Every system call after the first signal, in a run without reuse.
        let family = group();
        let trace = strace("trace=!rt_sigaction,sigaltstack", &args);
        drop(family);
        let mut points = calls_after(&trace, "SIGTERM");
        points.retain(|call| !call.name.contains("exit"));
        for point in points.iter().step_by(if in_full() { 1 } else { 8 }) {
            let (mut leader, mut member) = group();
            let held = Held::before(point, &args);
            // Calls are counted from the start, and before the first signal their number varies
            // a little. On a busy machine the KILL may be due before the member has left.
            if !has_got_term(&leader) || member.next_line().is_none() {
                held.go();
                too_late += 1;
                continue;
            }
            swapped += 1;
            leader.reap();
            let stranger = victim().with_pid(NUMBER).sleeping();
            let done = held.go();
            stranger.assert_alive();
            member.assert_killed_by(9);
            // After the grace period it may have got the KILL and not exited yet.
            let is_over = form.contains("--grace") && done.status == Some(124);
            let is_good = done.status == Some(0) && done.err.is_empty();
            assert!(is_over || is_good, "{point:?} {form}: {done:?}");
            let told = member.assert_all_ended();
            assert!(told.is_empty(), "TERM came once: {told:?}");
        }
    }
    let least = if in_full() { 100 } else { 10 };
    let is_enough = swapped > least && too_late < swapped;
    assert!(is_enough, "{swapped} swaps, {too_late} too late");
}

#[test]
fn a_member_that_has_left_gets_the_follow_up_itself() {
    for beside in [false, true] {
        let leader = Victim::shell(STUBBORN);
        let mut member = Family::with_role_in_group_of(&leader, "leaver");
        let more = if beside { member.arg() } else { String::new() };
        let done = run!("--json --timeout 300ms KILL -- -{leader} {more}").fine();
        member.assert_killed_by(9);
        leader.assert_killed_by(9);
        assert_eq!(member.assert_all_ended(), [format!("left {member}")]);
        assert_eq!(count(&done, "sent", &member), 2, "{done:?}");
    }
    // One that it catches, too.
    let leader = Victim::shell(STUBBORN);
    let mut member = Family::with_role_in_group_of(&leader, "leaver");
    run!("-TERM --timeout 1s TERM --within 0s -- -{leader}").code(124);
    for _ in 0..2 {
        assert_eq!(member.next_line(), Some(format!("left {member}")));
    }
}

#[test]
fn a_member_that_leaves_before_the_signal_gets_it_itself() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    for (signal, number) in [("-KILL", 9), ("-USR1", 10)] {
        let args = format!("--json {signal} --within 0s -- -{NUMBER}");
        let start = || {
            let leader = victim().with_pid(NUMBER).shell(STUBBORN);
            let member = Family::with_role_in_group_of(&leader, "leaver");
            (leader, member)
        };
        let family = start();
        let trace = strace("trace=getpgid,poll,pidfd_send_signal", &args);
        drop(family);
        for point in calls(&trace) {
            let (leader, mut member) = start();
            let held = Held::before(&point, &args);
            // It leaves on a TERM from the test, before or after it is pinned.
            send(member.pid(), Signal::SIGTERM);
            let word = member.next_line();
            let done = held.go();
            if count(&done, "sent", &member) == 0 {
                let has_left = word.is_some_and(|word| word.starts_with("left"));
                assert!(has_left, "{point:?}: {done:?}");
                member.assert_alive();
            } else {
                member.assert_killed_by(number);
            }
            leader.assert_killed_by(number);
        }
    }
}

#[test]
fn a_group_that_forks_while_it_dies_is_waited_for() {
    for call in each("--wait | --within 15s | --grace 15s") {
        let trap = "trap 'trap \"\" TERM; read line <&3 & exit 3' TERM";
        let idle = "echo ready; while :; do read line; done";
        let mut family = Family::shell(&format!("exec 3<&0; {trap}; {idle}"));
        let mut sigsend = background!("-v {call} -- -{family}");
        let told = sigsend.read_line();
        assert!(told.starts_with("sent TERM"), "{told}");
        family.assert_exited_with(3);
        while !sigsend.read_line().contains("exited with status 3") {}
        // The zombie keeps its number, and its child is in the group: no other process is waited
        // for.
        sigsend.assert_alive();
        family.write_line("end");
        sigsend.assert_exited_with(0);
        assert_eq!(family.assert_all_ended(), Vec::<String>::new());
    }
}

#[test]
fn the_own_group_comes_last_in_every_form() {
    let forms = "0 GROUP NAME|OWN GROUP NAME|0 NAME|OWN 0 NAME GROUP|0 GROUP TOKEN|NAME 0 GROUP";
    in_pid_namespace!();
    for (form, (signal, number)) in
        each(forms).flat_map(|form| [("-TERM", 15), ("-KILL", 9)].map(|signal| (form, signal)))
    {
        let mut member = Recorder::of(victim());
        let named = victim().named("byname").sleeping();
        let targets = form.replace("GROUP", &format!("-{member}"));
        let targets = targets.replace("NAME", "byname");
        let targets = targets.replace("TOKEN", &token(&named));
        let targets = targets.replace("OWN", "-$$");
        let shell = victim().command(sh(&format!("\"$0\" {signal} -- {targets}; exec cat")));
        shell.assert_killed_by(number);
        named.assert_killed_by(number);
        match (form.contains("GROUP"), signal) {
            (true, "-KILL") => member.victim().assert_killed_by(9),
            (true, _) => assert_eq!(member.signals(), [15], "{form}"),
            (false, _) => member.assert_untouched(),
        }
    }
}
