//! Too few descriptors: the soft limit is raised as needed, and if the hard one is too low, a
//! target that cannot be pinned as a whole is an error and gets no signal.

use std::process::Command;

use crate::family::{Family, children, state};
use crate::support::{Recorder, SIGSEND, Timed, Victim, eventually, stderr, stdout, victim};

/// `sigsend args` with these limits of open files.
fn limited(soft: usize, hard: usize, args: &[&str]) -> assert_cmd::Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
    command
        .args(["-c", &script, SIGSEND])
        .args(args)
        .current_dir("/")
        .env("LC_ALL", "C");
    assert_cmd::Command::from_std(command).timed()
}

/// Whether all was done; otherwise nothing was, and an error was printed.
fn all_or_nothing(soft: usize, hard: usize, args: &[&str]) -> bool {
    let done = limited(soft, hard, args).assert();
    let said = stderr(&done);
    match done.get_output().status.code() {
        Some(0) => assert_eq!(said, "", "limit {hard}"),
        Some(1) => assert!(
            said.starts_with("sigsend: ") && said.contains("open files"),
            "limit {hard}: {said}"
        ),
        other => panic!("limit {hard}: {other:?} {said}"),
    }
    done.get_output().status.success()
}

#[test]
fn with_too_few_descriptors_each_target_that_cannot_be_pinned_is_an_error() {
    let (mut whole, mut partial) = (0, 0);
    for limit in 4..24 {
        let victims: Vec<Victim> = (0..8).map(|_| Victim::sleeping()).collect();
        let args: Vec<String> = ["--wait".into()]
            .into_iter()
            .chain(victims.iter().map(Victim::arg))
            .collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let done = limited(limit, limit, &args).assert();
        let said = stderr(&done);
        // sigsend waited, so each one that got the signal has ended.
        let signalled = victims.iter().filter(|victim| victim.has_ended()).count();
        match done.get_output().status.code() {
            Some(0) => {
                whole += 1;
                assert_eq!((signalled, said.as_str()), (8, ""), "limit {limit}");
                for victim in &victims {
                    victim.assert_killed_by(15);
                }
            }
            Some(64) => {
                partial += 1;
                assert!((1..8).contains(&signalled), "limit {limit}: {signalled}");
                assert_eq!(
                    said.lines()
                        .filter(|line| line.contains("open files"))
                        .count(),
                    8 - signalled,
                    "{said}"
                );
            }
            Some(1) => {
                assert_eq!(signalled, 0, "limit {limit}");
                assert!(
                    said.starts_with("sigsend: ") && said.contains("open files"),
                    "limit {limit}: {said}"
                );
            }
            other => panic!("limit {limit}: {other:?} {said}"),
        }
    }
    assert!(whole > 0 && partial > 0, "{whole} {partial}");
}

#[test]
fn with_too_few_descriptors_no_member_of_a_group_is_signalled() {
    let mut enough = 0;
    for limit in 4..24 {
        let leader = Victim::sleeping();
        let members: Vec<Victim> = (0..6)
            .map(|_| victim().in_group_of(&leader).sleeping())
            .collect();
        if all_or_nothing(limit, limit, &["--wait", "--", &leader.group_arg()]) {
            enough += 1;
            for victim in &members {
                victim.assert_killed_by(15);
            }
        } else {
            members.iter().for_each(Victim::assert_alive);
            leader.assert_alive();
        }
    }
    assert!((1..19).contains(&enough), "{enough}");
}

#[test]
fn a_group_that_cannot_be_pinned_does_not_affect_targets_before_and_after_it() {
    let (mut before, mut leader) = (Recorder::new(), Recorder::new());
    let mut member = Recorder::of(victim().in_group_of(leader.victim()));
    let others: Vec<Victim> = (0..12)
        .map(|_| victim().in_group_of(leader.victim()).sleeping())
        .collect();
    let (first, group) = (before.victim().group_arg(), leader.victim().group_arg());
    let (member_pid, leader_pid) = (member.arg(), leader.arg());
    // The member is named before and after its group, the leader after it.
    let targets = [&*first, &member_pid, &group, &member_pid, &leader_pid];
    let args = [&["-RTMIN", "--within", "0s", "--"], &targets[..]].concat();
    let done = limited(20, 20, &args).assert().code(124);
    assert_eq!(
        stderr(&done)
            .lines()
            .filter(|line| line.contains("open files"))
            .count(),
        1,
        "{}",
        stderr(&done)
    );
    for recorder in [&mut before, &mut member, &mut leader] {
        assert_eq!(recorder.signals(), [34]);
    }
    others.iter().for_each(Victim::assert_alive);
}

#[test]
fn with_too_few_descriptors_a_tree_is_signalled_as_a_whole_or_not_at_all() {
    for call in [
        &["--tree", "-KILL"][..],
        &["--tree", "-TERM"],
        &["--tree", "--grace", "15s"],
    ] {
        let mut enough = 0;
        for limit in 4..24 {
            let mut family = Family::with_role("children 8");
            let members = children(family.pid());
            let pid = family.arg();
            let args: Vec<&str> = call.iter().copied().chain([pid.as_str()]).collect();
            if all_or_nothing(limit, limit, &args) {
                enough += 1;
                family.assert_all_ended();
            } else {
                family.assert_alive();
                eventually("all to sleep as before", || {
                    members.iter().all(|pid| state(*pid) == 'S')
                });
            }
        }
        assert!((1..19).contains(&enough), "{call:?} {enough}");
    }
}

#[test]
fn a_tree_that_cannot_be_pinned_may_be_named_twice() {
    let family = Family::with_role("children 20");
    let pid = family.arg();
    let refused = limited(16, 16, &["--tree", "-CONT", &pid, &pid])
        .assert()
        .code(1);
    assert_eq!(
        stderr(&refused)
            .lines()
            .filter(|line| line.contains("open files"))
            .count(),
        2,
        "{}",
        stderr(&refused)
    );
}

#[test]
fn the_soft_limit_is_raised_as_needed() {
    // With each of these limits the descriptors run out at a different point.
    for soft in 8..20 {
        let victims: Vec<Victim> = (0..8).map(|_| Victim::sleeping()).collect();
        let args: Vec<String> = ["--wait".into()]
            .into_iter()
            .chain(victims.iter().map(Victim::arg))
            .collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        limited(soft, 200, &args)
            .assert()
            .success()
            .stdout("")
            .stderr("");

        let mut family = Family::with_role("children 8");
        limited(soft, 200, &["--tree", "-KILL", &family.arg()])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        family.assert_all_ended();

        let mut family = Family::with_role("children 8");
        limited(soft, 200, &["--grace", "15s", "--", &family.group_arg()])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        family.assert_all_ended();
    }
    let mut family = Family::with_role("children 300");
    limited(64, 1000, &["--tree", "-KILL", &family.arg()])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    family.assert_all_ended();
}

#[test]
fn with_too_few_descriptors_no_process_of_a_name_is_missed() {
    let name = format!("lack{}", std::process::id());
    let victims: Vec<Victim> = (0..8).map(|_| victim().named(&name).sleeping()).collect();
    let mut enough = 0;
    for limit in 4..24 {
        let done = limited(limit, limit, &["-v", "-0", &name]).assert();
        if done.get_output().status.success() {
            enough += 1;
            assert_eq!(stdout(&done).lines().count(), 8, "limit {limit}");
        } else {
            assert_eq!(stdout(&done), "", "limit {limit}");
            assert!(
                stderr(&done).contains("open files"),
                "limit {limit}: {}",
                stderr(&done)
            );
        }
    }
    assert!((1..19).contains(&enough), "{enough}");
    limited(8, 200, &["-TERM", "--wait", &name])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    for victim in &victims {
        victim.assert_killed_by(15);
    }
}
