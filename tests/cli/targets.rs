//! Which processes a signal reaches: one process, a group, the caller's own group, every process,
//! or processes by name. Tests with more than one target PID run in a private PID namespace.

use std::os::unix::process::{CommandExt, ExitStatusExt};

use assert_cmd::Command;

use crate::support::{
    NOBODY, Recorder, SIGSEND, Timed, Unprivileged, Victim, in_pid_namespace, link,
    may_change_user, raw_sigsend, sigsend, skip, stderr, victim,
};

/// sigsend as a member of the group that `leader` leads.
fn sigsend_in_group_of(leader: &Victim) -> Command {
    let mut command = raw_sigsend();
    command.process_group(leader.pid());
    Command::from_std(command).timed()
}

#[test]
fn a_pid_may_be_padded_but_is_never_octal() {
    in_pid_namespace(|| {
        let sleeper = victim().with_pid(100).sleeping();
        let bystander = victim().with_pid(64).sleeping();
        for padded in [
            "0100",
            "0000000000000000000100",
            "    100",
            "100   ",
            "\t100\n",
            " \n 00100 \t",
        ] {
            sigsend()
                .args(["-0", padded])
                .assert()
                .success()
                .stdout("")
                .stderr("");
        }
        sigsend().arg(" 0100\n").assert().success();
        sleeper.assert_killed_by(15);
        bystander.assert_alive();
    });
}

#[test]
fn a_group_is_signalled_with_all_members_and_no_others() {
    let ways: [&[&str]; 8] = [
        &["-TERM"],
        &["-15"],
        &["-s", "TERM"],
        &["-sTERM"],
        &["--signal=TERM"],
        &["-n", "15"],
        &["--"],
        &["-s", "TERM", "--"],
    ];
    let mut bystander = Recorder::new();
    for way in ways {
        let leader = Victim::sleeping();
        let member = victim().in_group_of(&leader).sleeping();
        sigsend()
            .args(way)
            .arg(leader.group_arg())
            .assert()
            .success()
            .stdout("")
            .stderr("");
        leader.assert_killed_by(15);
        member.assert_killed_by(15);
        bystander.assert_untouched();
    }
}

#[test]
fn a_member_is_not_its_group_and_neither_is_the_leader() {
    let leader = Victim::sleeping();
    let member = victim().in_group_of(&leader).sleeping();
    sigsend().arg(member.arg()).assert().success();
    member.assert_killed_by(15);
    leader.assert_alive();

    let member = victim().in_group_of(&leader).sleeping();
    sigsend().arg(leader.arg()).assert().success();
    leader.assert_killed_by(15);
    member.assert_alive();
}

#[test]
fn a_group_is_signalled_without_its_leader() {
    in_pid_namespace(|| {
        let mut leader = Victim::sleeping();
        let member = victim().in_group_of(&leader).sleeping();
        sigsend().args(["-KILL", &leader.arg()]).assert().success();
        leader.reap();
        sigsend()
            .args(["-0", "--", &leader.group_arg()])
            .assert()
            .success();
        sigsend()
            .args(["-HUP", &leader.group_arg()])
            .assert()
            .success();
        member.assert_killed_by(1);
    });
}

#[test]
fn the_pid_of_a_member_is_no_group() {
    in_pid_namespace(|| {
        let leader = Victim::sleeping();
        let member = victim().in_group_of(&leader).sleeping();
        let line = format!(
            "sigsend: sending signal to {} failed: No such process\n",
            member.group_arg()
        );
        sigsend()
            .args(["-TERM", &member.group_arg()])
            .assert()
            .code(1)
            .stderr(line);
        leader.assert_alive();
        member.assert_alive();
    });
}

#[test]
fn a_realtime_signal_reaches_a_group_too() {
    let mut recorder = Recorder::new();
    sigsend()
        .args(["-RTMIN+1", &recorder.victim().group_arg()])
        .assert()
        .success();
    assert_eq!(recorder.signals(), [35]);
}

#[test]
fn zero_is_the_group_of_the_caller_itself_included() {
    in_pid_namespace(|| {
        let mut bystander = Recorder::new();
        for (args, signal) in [
            (&["0"][..], 15),
            (&["-USR1", "0"], 10),
            (&["--", "0"], 15),
            (&["-RTMIN", "0"], 34),
        ] {
            let leader = Victim::sleeping();
            let member = victim().in_group_of(&leader).sleeping();
            let caller = sigsend_in_group_of(&leader)
                .args(args)
                .output()
                .expect("sigsend starts");
            assert_eq!(caller.status.signal(), Some(signal), "{args:?}");
            leader.assert_killed_by(signal);
            member.assert_killed_by(signal);
            bystander.assert_untouched();
        }
        // The caller ends with its group, but not before the others were signalled.
        let (leader, other) = (Victim::sleeping(), Victim::sleeping());
        let caller = sigsend_in_group_of(&leader)
            .args(["0", &other.arg()])
            .output()
            .expect("sigsend starts");
        assert_eq!(caller.status.signal(), Some(15));
        leader.assert_killed_by(15);
        other.assert_killed_by(15);
        let leader = Victim::sleeping();
        sigsend_in_group_of(&leader)
            .args(["-0", "0"])
            .assert()
            .success();
        leader.assert_alive();
    });
}

#[test]
fn minus_one_is_every_process_but_the_caller_and_init() {
    in_pid_namespace(|| {
        for (args, signal) in [
            (&["--", "-1"][..], 15),
            (&["-TERM", "-1"], 15),
            (&["-1", "-1"], 1),
            (&["-9", "--", "-1"], 9),
            (&["-s", "INT", "-1"], 2),
            (&["-RTMAX", "-1"], 64),
        ] {
            let victims = [Victim::sleeping(), Victim::sleeping(), victim().stopped()];
            let member = victim().in_group_of(&victims[0]).sleeping();
            sigsend()
                .args(args)
                .assert()
                .success()
                .stdout("")
                .stderr("");
            // A stopped process handles signals other than KILL only when it is continued.
            sigsend().args(["-CONT", "-1"]).assert().success();
            victims
                .iter()
                .chain([&member])
                .for_each(|victim| victim.assert_killed_by(signal));
        }
    });
}

#[test]
fn minus_one_without_other_processes_is_an_error() {
    in_pid_namespace(|| {
        let line = "sigsend: sending signal to -1 failed: No such process\n";
        sigsend()
            .args(["-TERM", "-1"])
            .assert()
            .code(1)
            .stdout("")
            .stderr(line);
    });
}

#[test]
fn minus_one_in_front_is_the_signal_hup() {
    in_pid_namespace(|| {
        let (victim, mut bystander) = (Victim::sleeping(), Recorder::new());
        sigsend().args(["-1", &victim.arg()]).assert().success();
        victim.assert_killed_by(1);
        sigsend().arg("-1").assert().code(1);
        bystander.assert_untouched();
    });
}

#[test]
fn a_name_selects_all_processes_of_exactly_that_name() {
    in_pid_namespace(|| {
        let named = [(); 2].map(|()| victim().named("_web.srv-1").sleeping());
        let others = [
            "_web.srv-12",
            "_web.srv-",
            "_WEB.SRV-1",
            "web.srv-1",
            "_webxsrv-1",
        ];
        let mut others = others.map(|name| Recorder::of(victim().named(name)));
        let claims = victim().argv0("_web.srv-1").sleeping();
        sigsend()
            .arg("_web.srv-1")
            .assert()
            .success()
            .stdout("")
            .stderr("");
        for victim in &named {
            victim.assert_killed_by(15);
        }
        claims.assert_alive();
        others.iter_mut().for_each(Recorder::assert_untouched);
        let line = "sigsend: cannot find process \"ngnix\"\n";
        sigsend()
            .args(["-HUP", "ngnix"])
            .assert()
            .code(1)
            .stdout("")
            .stderr(line);
        others.iter_mut().for_each(Recorder::assert_untouched);
    });
}

#[test]
fn a_name_may_stand_among_other_targets() {
    in_pid_namespace(|| {
        let (named, plain) = (victim().named("worker").sleeping(), Victim::sleeping());
        let unfound = sigsend()
            .args(["-INT", "worker", "nobody-here", &plain.arg()])
            .assert()
            .code(64);
        unfound.stderr("sigsend: cannot find process \"nobody-here\"\n");
        named.assert_killed_by(2);
        plain.assert_killed_by(2);
    });
}

#[test]
fn a_long_name_is_looked_up_in_full() {
    in_pid_namespace(|| {
        let long = "sleeping-beauty-and-the-prince";
        let beauty = victim().named(long).sleeping();
        let other = victim().named("sleeping-beauty-and-the-frog").sleeping();
        sigsend().args(["-INT", long]).assert().success();
        beauty.assert_killed_by(2);
        other.assert_alive();
        sigsend()
            .args(["-INT", "sleeping-beauty-"])
            .assert()
            .code(1);
        other.assert_alive();
        sigsend()
            .args(["-QUIT", "sleeping-beauty"])
            .assert()
            .success();
        other.assert_killed_by(3);
    });
}

#[test]
fn a_name_never_selects_the_caller() {
    in_pid_namespace(|| {
        let (_dir, namesake) = link(SIGSEND.as_ref(), "namesake");
        let run = || Command::new(&namesake).timed();
        run()
            .arg("namesake")
            .assert()
            .code(1)
            .stderr("namesake: cannot find process \"namesake\"\n");
        let other = victim().named("namesake").sleeping();
        run().arg("namesake").assert().success();
        other.assert_killed_by(15);
    });
}

#[test]
fn a_name_selects_processes_of_other_users_only_with_all() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        let complaint = |hint: &str| {
            let line = format!("sigsend: cannot find process \"shared\"\n{hint}\n");
            sigsend()
                .arg("shared")
                .assert()
                .code(1)
                .stdout("")
                .stderr(line);
        };
        let theirs = victim().named("shared").owned_by(NOBODY).sleeping();
        // A zombie of that name is no process that -a would select.
        let zombie = victim().named("shared").owned_by(NOBODY).sleeping();
        sigsend().args(["-KILL", &zombie.arg()]).assert().success();
        zombie.assert_killed_by(9);
        complaint("another user has a process of that name; -a selects it");
        let second = victim().named("shared").owned_by(NOBODY).sleeping();
        complaint("other users have 2 processes of that name; -a selects them");
        theirs.assert_alive();
        second.assert_alive();
        drop(second);
        let ours = victim().named("shared").sleeping();
        sigsend().args(["-HUP", "shared"]).assert().success();
        ours.assert_killed_by(1);
        theirs.assert_alive();

        for all in ["-a", "--all"] {
            sigsend().args([all, "-0", "shared"]).assert().success();
        }
        // All processes found are tried; the one of root is refused to others.
        let mut roots = Recorder::of(victim().named("shared"));
        let unprivileged = Unprivileged::new();
        unprivileged
            .sigsend()
            .args(["-a", "-INT", "shared"])
            .assert()
            .code(64);
        theirs.assert_killed_by(2);
        roots.assert_untouched();
    });
}

#[test]
fn pids_are_printed_instead_of_signalled() {
    in_pid_namespace(|| {
        let gone = Victim::gone().to_string();
        let mut listed = [(); 2].map(|()| Recorder::of(victim().named("listed")));
        let pids = listed.each_ref().map(Recorder::arg);
        let both = format!("{}\n{}\n", pids[0], pids[1]);
        for option in ["-p", "--pid"] {
            sigsend()
                .args([option, "listed"])
                .assert()
                .success()
                .stdout(both.clone())
                .stderr("");
        }
        sigsend()
            .args(["-p", &pids[1]])
            .assert()
            .success()
            .stdout(format!("{}\n", pids[1]));
        let some = sigsend()
            .args(["-p", "listed", "nobody-here"])
            .assert()
            .code(64)
            .stdout(both);
        some.stderr("sigsend: cannot find process \"nobody-here\"\n");
        sigsend()
            .args(["-p", "nobody-here"])
            .assert()
            .code(1)
            .stdout("");
        sigsend().args(["-p", &gone]).assert().code(1).stdout("");
        listed.iter_mut().for_each(Recorder::assert_untouched);
    });
}

#[test]
fn with_require_handler_only_processes_with_a_handler_get_the_signal() {
    in_pid_namespace(|| {
        let mut careful = Recorder::of(victim().named("reloads"));
        let (naive, deaf) = (
            victim().named("reloads").sleeping(),
            Victim::shell("trap '' HUP; echo ready; read x"),
        );
        for option in ["-r", "--require-handler"] {
            let by_name = sigsend()
                .args([option, "-HUP", "reloads"])
                .assert()
                .code(64)
                .stdout("");
            let complaint = stderr(&by_name);
            assert!(
                complaint.starts_with("sigsend: ") && complaint.contains(&naive.arg()),
                "{complaint}"
            );
            assert_eq!(careful.signals(), [1]);
            let by_pid = sigsend()
                .args([option, "-s", "HUP", &naive.arg(), &deaf.arg()])
                .assert()
                .code(1);
            assert_eq!(stderr(&by_pid).lines().count(), 2);
            sigsend()
                .args([option, "-HUP", &careful.arg()])
                .assert()
                .success()
                .stderr("");
            assert_eq!(careful.signals(), [1]);
        }
        naive.assert_alive();
        deaf.assert_alive();
    });
}
