//! Members that leave their process group after they were pinned, and group IDs that are reused:
//! each member gets its signals by its own pidfd, and no unrelated process gets any.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::family::Family;
use crate::strange::{Call, Held, calls, calls_after, may_trace};
use crate::support::{
    Recorder, SIGSEND, STUBBORN, Victim, in_pid_namespace, raw_sigsend, sigsend, skip, stdout,
    strace, victim,
};

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
        let is_pending = leader
            .status_field("ShdPnd")
            .bytes()
            .any(|byte| byte != b'0');
        if leader.has_ended() || is_at_rest && !is_pending {
            return leader.has_ended();
        }
    }
}

/// The lines of JSON for an event of a process.
fn events<'a>(told: &'a str, event: &str, pid: i32) -> Vec<&'a str> {
    let (event, pid) = (format!("\"event\":\"{event}\""), format!("\"pid\":{pid},"));
    told.lines()
        .filter(|line| line.contains(&event) && line.contains(&pid))
        .collect()
}

#[test]
fn a_follow_up_never_hits_a_group_that_reuses_the_id_of_an_ended_one() {
    in_pid_namespace(|| {
        for call in [
            &["--timeout", "100", "KILL", "--within", "10s"][..],
            &["--grace", "100ms"],
            &["--wait"],
        ] {
            let (mut leader, mut member) = group();
            let mut command = raw_sigsend();
            command
                .arg("-TERM")
                .args(call)
                .args(["--", &format!("-{NUMBER}")]);
            let sigsend = victim().command(command);
            assert_eq!(member.next_line(), Some(format!("left {}", member.pid())));
            // Stopped while the ID is reused, so that there is no race.
            kill(Pid::from_raw(sigsend.pid()), Signal::SIGSTOP).expect("a child can be stopped");
            leader.reap();
            let stranger = victim().with_pid(NUMBER).sleeping();
            kill(Pid::from_raw(sigsend.pid()), Signal::SIGCONT).expect("a child can be continued");
            if call == ["--wait"] {
                member.assert_alive();
                kill(Pid::from_raw(member.pid()), Signal::SIGKILL).expect("a child can be killed");
            }
            member.assert_killed_by(9);
            sigsend.assert_exited_with(0);
            stranger.assert_alive();
            assert_eq!(
                member.assert_all_ended(),
                Vec::<String>::new(),
                "TERM came once"
            );
        }
    });
}

/// Every system call after the first signal, in a run without reuse.
fn points(args: &[&str]) -> Vec<Call> {
    let (_leader, _leaver) = group();
    let trace = strace("trace=!rt_sigaction,sigaltstack", args)
        .expect("strace is usable, as checked before");
    calls_after(&trace, "SIGTERM")
        .into_iter()
        .filter(|call| !call.name.contains("exit"))
        .collect()
}

#[test]
fn the_id_of_a_group_may_be_reused_before_any_system_call() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        let target = format!("-{NUMBER}");
        let forms: [&[&str]; 3] = [
            &[
                "-TERM",
                "--timeout",
                "50",
                "KILL",
                "--within",
                "10s",
                "--",
                &target,
            ],
            &["--grace", "50ms", "-v", "--", &target],
            &["--json", "-TERM", "--timeout", "50", "KILL", "--", &target],
        ];
        let (mut swapped, mut too_late) = (0, 0);
        for args in forms {
            for point in points(args) {
                let (mut leader, mut member) = group();
                let held = Held::before(&point, args);
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
                let output = held.go();
                stranger.assert_alive();
                member.assert_killed_by(9);
                let said = String::from_utf8_lossy(&output.stderr);
                // After the grace period it may have got the KILL and not exited yet.
                let is_over = args[0] == "--grace" && output.status.code() == Some(124);
                assert!(
                    is_over || (output.status.code(), &*said) == (Some(0), ""),
                    "{point:?} {args:?}: {said}"
                );
                assert_eq!(
                    member.assert_all_ended(),
                    Vec::<String>::new(),
                    "TERM came once"
                );
            }
        }
        assert!(
            swapped > 100 && too_late < swapped,
            "{swapped} swaps, {too_late} too late"
        );
    });
}

#[test]
fn a_member_that_has_left_gets_the_follow_up_itself() {
    for beside in [false, true] {
        let leader = Victim::shell(STUBBORN);
        let mut member = Family::with_role_in_group_of(&leader, "leaver");
        let pid = member.arg();
        let mut call = sigsend();
        call.args([
            "--json",
            "--timeout",
            "300ms",
            "KILL",
            "--",
            &leader.group_arg(),
        ])
        .args(beside.then_some(&pid));
        let told = stdout(&call.assert().success().stderr(""));
        member.assert_killed_by(9);
        leader.assert_killed_by(9);
        assert_eq!(member.assert_all_ended(), [format!("left {pid}")]);
        assert_eq!(events(&told, "sent", member.pid()).len(), 2, "{told}");
    }
}

#[test]
fn a_member_that_has_left_gets_a_follow_up_that_it_catches() {
    let leader = Victim::shell(STUBBORN);
    let mut member = Family::with_role_in_group_of(&leader, "leaver");
    let args = [
        "-TERM",
        "--timeout",
        "1s",
        "TERM",
        "--within",
        "0s",
        "--",
        &leader.group_arg(),
    ];
    sigsend().args(args).assert().code(124);
    for _ in 0..2 {
        assert_eq!(member.next_line(), Some(format!("left {}", member.pid())));
    }
}

#[test]
fn a_member_that_leaves_before_the_signal_gets_it_itself() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        let target = format!("-{NUMBER}");
        for (signal, number) in [("-KILL", 9), ("-USR1", 10)] {
            let args = ["--json", signal, "--within", "0s", "--", &target];
            let start = || {
                let leader = victim().with_pid(NUMBER).shell(STUBBORN);
                let member = Family::with_role_in_group_of(&leader, "leaver");
                (leader, member)
            };
            let family = start();
            let trace = strace("trace=getpgid,poll,pidfd_send_signal", &args)
                .expect("strace is usable, as checked before");
            drop(family);
            for point in calls(&trace) {
                let (leader, mut member) = start();
                let held = Held::before(&point, &args);
                // It leaves on a TERM from the test, before or after it is pinned.
                kill(Pid::from_raw(member.pid()), Signal::SIGTERM).expect("a child of ours");
                let word = member.next_line();
                let output = held.go();
                let told = String::from_utf8_lossy(&output.stdout);
                if events(&told, "sent", member.pid()).is_empty() {
                    assert!(
                        word.is_some_and(|word| word.starts_with("left")),
                        "{point:?}: {told}"
                    );
                    member.assert_alive();
                } else {
                    member.assert_killed_by(number);
                }
                leader.assert_killed_by(number);
            }
        }
    });
}

#[test]
fn a_group_that_forks_while_it_dies_is_waited_for() {
    for call in [
        &["-v", "--wait"][..],
        &["-v", "--within", "15s"],
        &["-v", "--grace", "15s"],
    ] {
        let mut family = Family::shell(
            "exec 3<&0; trap 'trap \"\" TERM; read line <&3 & exit 3' TERM; echo ready; while :; do read line; done",
        );
        let mut command = raw_sigsend();
        command.args(call).args(["--", &family.group_arg()]);
        let mut sigsend = victim().command(command);
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
    in_pid_namespace(|| {
        let forms = [
            "0 GROUP NAME",
            "OWN GROUP NAME",
            "0 NAME",
            "OWN 0 NAME GROUP",
            "0 GROUP TOKEN",
            "NAME 0 GROUP",
        ];
        for (form, signal) in forms
            .into_iter()
            .flat_map(|form| [(form, "-TERM"), (form, "-KILL")])
        {
            let mut member = Recorder::of(victim());
            let named = victim().named("byname").sleeping();
            let token = stdout(&sigsend().args(["--id", &named.arg()]).assert().success());
            let target = |word| match word {
                "GROUP" => member.victim().group_arg(),
                "NAME" => "byname".to_owned(),
                "TOKEN" => token.trim_end().to_owned(),
                "OWN" => "-$$".to_owned(),
                word => word.to_owned(),
            };
            let targets: Vec<String> = form.split(' ').map(target).collect();
            let script = format!(
                "echo ready; \"$0\" {signal} -- {}; exec cat",
                targets.join(" ")
            );
            let mut shell = Command::new("sh");
            shell.args(["-c", &script, SIGSEND]);
            let shell = victim().command(shell);
            let number = if signal == "-TERM" { 15 } else { 9 };
            shell.assert_killed_by(number);
            named.assert_killed_by(number);
            match (form.contains("GROUP"), signal) {
                (true, "-KILL") => member.victim().assert_killed_by(9),
                (true, _) => assert_eq!(member.signals(), [15], "{form}"),
                (false, _) => member.assert_untouched(),
            }
        }
    });
}
