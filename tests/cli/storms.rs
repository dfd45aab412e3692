//! Fork storms: KILL ends every process of a tree that keeps forking, and each process gets any
//! other signal exactly once. A few rounds each, unless in full. In namespaces: the orphan of another
//! process might be one of the tree.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use nix::sys::signal::killpg;

use crate::support::prelude::*;
use crate::support::reap_orphans;

/// The maximum of forks, far more than a storm has time for.
const FORKS: usize = 1000;
/// The same for a storm that is not frozen: few enough for a busy machine within the second in
/// which sigsend looks for new processes.
const UNFROZEN_FORKS: usize = 200;

/// The number of each round, which is that of the forks before the signal: so it comes at different
/// points of the storm.
fn rounds(most: usize) -> impl Iterator<Item = usize> {
    let step = if in_full() { 1 } else { 10 };
    (0..most).step_by(step).map(|round| round % 50)
}

#[test]
fn kill_ends_every_process_of_a_forking_tree() {
    in_pid_namespace!();
    let mut bystander = Recorder::new();
    let mut cut_short = 0;
    for before in rounds(100) {
        let mut storm = Family::with_role("storm");
        storm.start_forking(FORKS, before);
        run!("--tree -KILL {storm}").ok();
        storm.assert_killed_by(9);
        cut_short += usize::from(storm.assert_all_ended().len() + before < FORKS);
        drop(storm);
        reap_orphans();
    }
    assert!(cut_short > 1, "the storms were over before the signal");
    bystander.assert_untouched();
}

/// A storm of processes that catch TERM, each of which gets it once from the first call. The second
/// one kills them. Returns how many there were.
#[track_caller]
pub fn assert_each_gets_term_once(mut storm: Family, before: usize, calls: [&str; 2]) -> usize {
    // How often each was created and got the signal.
    let mut heard = BTreeMap::from([(storm.arg(), (1, 0))]);
    let mut note = |line: String| {
        let (word, pid) = line.split_once(' ').expect("a word and a PID");
        let (born, told) = heard.entry(pid.to_owned()).or_default();
        *(if word == "created" { born } else { told }) += 1;
        heard.values().all(|times| *times == (1, 1))
    };
    let created = storm.start_forking(UNFROZEN_FORKS, before);
    created.into_iter().for_each(|line| _ = note(line));
    run!("{}", calls[0]).ok();
    // A process that got the signal no longer forks, so once all have got it no new one can be
    // created.
    while !note(storm.next_line().expect("it is alive")) {}
    run!("{}", calls[1]).ok();
    let rest = storm.assert_all_ended().into_iter();
    rest.for_each(|line| _ = note(line));
    assert!(heard.values().all(|times| *times == (1, 1)), "{heard:?}");
    heard.len()
}

#[test]
fn every_process_of_a_forking_tree_gets_a_signal_once() {
    in_pid_namespace!();
    let mut bystander = Recorder::new();
    let mut cut_short = 0;
    for before in rounds(100) {
        let storm = Family::with_role("catching-storm");
        let calls = ["TERM", "KILL"].map(|signal| format!("--tree -{signal} {storm}"));
        let size = assert_each_gets_term_once(storm, before, calls.each_ref().map(|c| &**c));
        cut_short += usize::from(size <= UNFROZEN_FORKS);
        reap_orphans();
    }
    assert!(cut_short > 1, "the storms were over before the signal");
    bystander.assert_untouched();
}

#[test]
fn a_process_that_exits_during_pidfd_open_is_no_failure() {
    let family = Family::with_role("short-lived 5 100");
    for _ in rounds(30) {
        each("-HUP | -0 | -TERM").for_each(|signal| _ = run!("{signal} --tree {family}").ok());
    }
    eventually("the family to continue", || !family.children().is_empty());
}

#[test]
fn kill_ends_every_process_of_a_forking_tree_that_is_continued() {
    in_pid_namespace!();
    for (role, is_woken_from_outside) in [("continuing-storm", false), ("storm", true)] {
        for before in rounds(20) {
            let mut storm = Family::with_role(role);
            storm.start_forking(UNFROZEN_FORKS, before);
            let group = Pid::from_raw(storm.pid());
            let is_over = AtomicBool::new(false);
            let told = thread::scope(|scope| {
                // The head stays a zombie until the family is dropped, so the group's ID is not
                // reused.
                scope.spawn(|| {
                    while is_woken_from_outside && !is_over.load(Relaxed) {
                        let _ = killpg(group, Signal::SIGCONT);
                        thread::yield_now();
                    }
                });
                let done = run!("--tree -KILL {storm}");
                is_over.store(true, Relaxed);
                done.within(15).code(0).err
            });
            storm.assert_killed_by(9);
            if !told.is_empty() {
                // A process that may have forked unseen is named.
                let is_warning = |line: &str| line.contains("could not be kept stopped");
                assert!(told.lines().all(is_warning), "{told}");
                let _ = killpg(group, Signal::SIGKILL);
            }
            storm.assert_all_ended();
            drop(storm);
            reap_orphans();
        }
    }
}
