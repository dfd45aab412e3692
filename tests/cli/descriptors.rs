//! Too few descriptors: the soft limit is raised as needed, and if the hard one is too low, a
//! target that cannot be pinned as a whole is an error and gets no signal.

use crate::support::prelude::*;

/// sigsend with these limits of open files.
fn limited(soft: usize, hard: usize, line: &str) -> Done {
    let limits = format!("ulimit -Sn {soft} && ulimit -Hn {hard}");
    sh(&format!("{limits} && exec \"$0\" \"$@\"")).run(&words(line))
}

/// Whether all was done; otherwise nothing was, and an error was printed.
fn all_or_nothing(limit: usize, line: &str) -> bool {
    let done = limited(limit, limit, line);
    let is_whole = done.status == Some(0);
    if is_whole {
        done.fine()
    } else {
        done.begins(1, "sigsend: ").fails(1, "open files")
    };
    is_whole
}

fn sleepers(count: usize) -> (Vec<Victim>, String) {
    let victims: Vec<Victim> = (0..count).map(|_| Victim::sleeping()).collect();
    let pids: Vec<String> = victims.iter().map(Victim::arg).collect();
    (victims, pids.join(" "))
}

fn count(told: &str) -> usize {
    let found = told.lines().filter(|line| line.contains("open files"));
    found.count()
}

/// From too few to enough.
const LIMITS: std::ops::Range<usize> = 4..24;

#[test]
fn each_target_that_cannot_be_pinned_is_an_error() {
    let (mut whole, mut partial) = (0, 0);
    for limit in LIMITS {
        let (victims, pids) = sleepers(8);
        let done = limited(limit, limit, &format!("--wait {pids}"));
        // sigsend waited, so each one that got the signal has ended.
        let signalled = victims.iter().filter(|victim| victim.has_ended()).count();
        match done.status {
            Some(0) => {
                whole += 1;
                assert_eq!((signalled, &*done.err), (8, ""), "limit {limit}");
                killed(&victims, 15);
            }
            Some(64) => {
                partial += 1;
                assert!((1..8).contains(&signalled), "limit {limit}: {signalled}");
                assert_eq!(count(&done.err), 8 - signalled, "{done:?}");
            }
            _ => {
                assert_eq!(signalled, 0, "limit {limit}");
                done.begins(1, "sigsend: ").fails(1, "open files");
            }
        }
    }
    assert!(whole > 0 && partial > 0, "{whole} {partial}");
}

#[test]
fn no_member_of_a_group_is_signalled_that_cannot_be_pinned_whole() {
    let mut enough = 0;
    for limit in LIMITS {
        let leader = Victim::sleeping();
        let members = (0..6).map(|_| victim().in_group_of(&leader).sleeping());
        let members: Vec<Victim> = members.collect();
        if all_or_nothing(limit, &format!("--wait -- -{leader}")) {
            enough += 1;
            killed(&members, 15);
        } else {
            alive(&members);
            leader.assert_alive();
        }
    }
    assert!((1..19).contains(&enough), "{enough}");
}

#[test]
fn a_group_that_cannot_be_pinned_does_not_affect_targets_before_and_after_it() {
    let (before, leader) = (Recorder::new(), Recorder::new());
    let member = Recorder::of(victim().in_group_of(leader.victim()));
    let others = [(); 12].map(|()| victim().in_group_of(leader.victim()).sleeping());
    // The member is named before and after its group, the leader after it.
    let targets = format!("-{before} {member} -{leader} {member} {leader}");
    let done = limited(20, 20, &format!("-RTMIN --within 0s -- {targets}")).code(124);
    assert_eq!(count(&done.err), 1, "{done:?}");
    alive(&others);
    for mut recorder in [before, member, leader] {
        assert_eq!(recorder.signals(), [34]);
    }
}

#[test]
fn a_tree_is_signalled_as_a_whole_or_not_at_all() {
    for call in ["--tree -KILL", "--tree -TERM", "--tree --grace 15s"] {
        let mut enough = 0;
        for limit in LIMITS {
            let mut family = Family::with_role("children 8");
            let members = children(family.pid());
            if all_or_nothing(limit, &format!("{call} {family}")) {
                enough += 1;
                family.assert_all_ended();
            } else {
                family.assert_alive();
                let is_asleep = |pid: &i32| state(*pid) == 'S';
                eventually("all to sleep as before", || members.iter().all(is_asleep));
            }
        }
        assert!((1..19).contains(&enough), "{call:?} {enough}");
    }
    // A dry run has what the call would have, and a signal to a group needs no descriptor.
    let family = Family::with_role("children 40");
    for line in [
        format!("--dry-run --tree {family}"),
        format!("-v --grace 9s -- -{family}"),
    ] {
        assert!(!all_or_nothing(16, &line));
    }
    let one = Victim::sleeping();
    limited(16, 16, &format!("--grace 9s {one}")).ok();
    limited(16, 16, &format!("-HUP -- -{family}")).ok();
    family.assert_killed_by(1);
    // It may be named twice.
    let family = Family::with_role("children 20");
    let refused = limited(16, 16, &format!("--tree -CONT {family} {family}")).code(1);
    assert_eq!(count(&refused.err), 2, "{refused:?}");
}

#[test]
fn the_soft_limit_is_raised_as_needed() {
    // With each of these limits the descriptors run out at a different point.
    for soft in 8..20 {
        let (_victims, pids) = sleepers(8);
        limited(soft, 200, &format!("--wait {pids}")).ok();
        for call in ["--tree -KILL ", "--grace 15s -- -"] {
            let mut family = Family::with_role("children 8");
            limited(soft, 200, &format!("{call}{family}")).ok();
            family.assert_all_ended();
        }
    }
    let mut family = Family::with_role("children 300");
    limited(64, 1000, &format!("--tree -KILL {family}")).ok();
    family.assert_all_ended();
}

#[test]
fn no_process_of_a_name_is_missed() {
    let name = format!("lack{}", std::process::id());
    let victims: Vec<Victim> = (0..8).map(|_| victim().named(&name).sleeping()).collect();
    let mut enough = 0;
    for limit in LIMITS {
        let done = limited(limit, limit, &format!("-v -0 {name}"));
        if done.status == Some(0) {
            enough += 1;
            assert_eq!(done.out.lines().count(), 8, "limit {limit}");
        } else {
            let status = done.status.expect("it exits");
            done.fails(status, "open files");
        }
    }
    assert!((1..19).contains(&enough), "{enough}");
    limited(8, 200, &format!("-TERM --wait {name}")).ok();
    killed(&victims, 15);
}
