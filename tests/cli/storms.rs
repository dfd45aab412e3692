//! Fork storms: KILL ends every process of a tree that keeps forking, and each process gets any
//! other signal exactly once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::family::Family;
use crate::support::{Recorder, eventually, sigsend, stderr};

/// The maximum of forks, far more than a storm has time for.
const FORKS: usize = 1000;
/// The same for a storm that is not frozen: few enough for a busy machine within the second in
/// which sigsend looks for new processes.
const UNFROZEN_FORKS: usize = 200;

#[test]
fn kill_ends_every_process_of_a_forking_tree() {
    let mut bystander = Recorder::new();
    let mut cut_short = 0;
    for round in 0..100 {
        let mut storm = Family::with_role("storm");
        let forks = storm.start_forking(FORKS);
        // The delay varies, so that the signal comes at different points of the storm.
        for _ in 0..round % 50 {
            storm.next_line();
        }
        sigsend()
            .args(["--tree", "-KILL", &storm.arg()])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        storm.assert_killed_by(9);
        cut_short += usize::from(storm.assert_all_ended().len() + round % 50 < FORKS);
        forks.join().expect("the forking thread ends");
    }
    assert!(
        cut_short > 10,
        "the storms were over before the signal: {cut_short}"
    );
    bystander.assert_untouched();
}

#[test]
fn every_process_of_a_forking_tree_gets_a_signal_once() {
    let mut bystander = Recorder::new();
    let mut cut_short = 0;
    for round in 0..100 {
        let mut storm = Family::with_role("catching-storm");
        let forks = storm.start_forking(UNFROZEN_FORKS);
        // How often each was created and got the signal.
        let mut heard: BTreeMap<String, (usize, usize)> = BTreeMap::from([(storm.arg(), (1, 0))]);
        let mut note = |line: String| {
            let (word, pid) = line.split_once(' ').expect("a word and a PID");
            let (born, told) = heard.entry(pid.to_owned()).or_default();
            *(if word == "created" { born } else { told }) += 1;
            heard.values().all(|(born, told)| (*born, *told) == (1, 1))
        };
        for _ in 0..round % 50 {
            note(storm.next_line().expect("it is alive"));
        }
        sigsend()
            .args(["--tree", "-TERM", &storm.arg()])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        // A process that got the signal no longer forks, so once all have got it no new one can be
        // created.
        while !note(storm.next_line().expect("it is alive")) {}
        sigsend()
            .args(["--tree", "-KILL", &storm.arg()])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        for line in storm.assert_all_ended() {
            note(line);
        }
        assert!(heard.values().all(|times| *times == (1, 1)), "{heard:?}");
        cut_short += usize::from(heard.len() <= UNFROZEN_FORKS);
        forks.join().expect("the forking thread ends");
    }
    assert!(
        cut_short > 10,
        "the storms were over before the signal: {cut_short}"
    );
    bystander.assert_untouched();
}

#[test]
fn a_tree_that_keeps_forking_does_not_block_sigsend() {
    let mut family = Family::with_role("short-lived 200 2500");
    sigsend()
        .args(["--tree", "-HUP", &family.arg()])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    family.assert_alive();
    sigsend()
        .args(["--tree", "--grace", "200ms", &family.arg()])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    family.assert_killed_by(9);
    family.assert_all_ended();
}

#[test]
fn a_process_that_exits_during_pidfd_open_is_no_failure() {
    let family = Family::with_role("short-lived 5 100");
    for signal in ["-HUP", "-0", "-TERM"].into_iter().cycle().take(100) {
        sigsend()
            .args([signal, "--tree", &family.arg()])
            .assert()
            .success()
            .stdout("")
            .stderr("");
    }
    eventually("the family to continue", || !family.children().is_empty());
}

/// Sends CONT to a process group repeatedly, until the value is dropped.
struct Waker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Waker {
    fn of(family: &Family) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (group, told) = (Pid::from_raw(family.pid()), Arc::clone(&stop));
        // The head stays a zombie until the family is dropped, so the group's ID is not reused.
        let wake = move || {
            while !told.load(Ordering::Relaxed) {
                let _ = killpg(group, Signal::SIGCONT);
            }
        };
        Self {
            stop,
            thread: Some(thread::spawn(wake)),
        }
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .take()
            .map(JoinHandle::join)
            .expect("it runs")
            .expect("it only sends signals");
    }
}

#[test]
fn kill_ends_every_process_of_a_forking_tree_that_is_continued() {
    for (role, is_woken_from_outside) in [("continuing-storm", false), ("storm", true)] {
        for round in 0..20 {
            let mut storm = Family::with_role(role);
            let forks = storm.start_forking(UNFROZEN_FORKS);
            for _ in 0..round {
                storm.next_line();
            }
            let waker = is_woken_from_outside.then(|| Waker::of(&storm));
            let begin = Instant::now();
            let told = sigsend()
                .args(["--tree", "-KILL", &storm.arg()])
                .assert()
                .success()
                .stdout("");
            assert!(
                begin.elapsed() < Duration::from_secs(15),
                "{:?}",
                begin.elapsed()
            );
            drop(waker);
            storm.assert_killed_by(9);
            let told = stderr(&told);
            if told.is_empty() {
                storm.assert_all_ended();
            } else {
                // A process that may have forked unseen is named.
                assert!(
                    told.lines()
                        .all(|line| line.contains("could not be kept stopped")),
                    "{told}"
                );
                let _ = killpg(Pid::from_raw(storm.pid()), Signal::SIGKILL);
                storm.assert_all_ended();
            }
            forks.join().expect("the forking thread ends");
        }
    }
}
