//! Fork storms: no tree outruns KILL by forking, and every other signal comes to each process of it exactly once.

use std::collections::BTreeMap;

use crate::family::Family;
use crate::support::{Recorder, eventually, sigsend};

/// So many forks at most, far more than sigsend gives a storm time for.
const FORKS: usize = 1000;
/// The same where nothing freezes the storm: few enough that a busy machine gets over them in the second for which newborns are looked for.
const HEARING: usize = 200;

#[test]
fn no_storm_outruns_a_kill() {
    let mut bystander = Recorder::new();
    let mut cut_short = 0;
    for round in 0..100 {
        let mut storm = Family::playing("storm");
        let wind = storm.rage(FORKS);
        // The moment at which it is hit wanders through the storm.
        for _ in 0..round % 50 {
            storm.next_word();
        }
        sigsend().args(["--tree", "-KILL", &storm.arg()]).assert().success().stdout("").stderr("");
        storm.assert_killed_by(9);
        cut_short += usize::from(storm.assert_extinct().len() + round % 50 < FORKS);
        wind.join().expect("it calms down");
    }
    assert!(cut_short > 10, "the storms were over before they were hit: {cut_short}");
    bystander.assert_untouched();
}

#[test]
fn every_process_of_a_storm_hears_a_signal_once() {
    let mut bystander = Recorder::new();
    let mut cut_short = 0;
    for round in 0..100 {
        let mut storm = Family::playing("catching-storm");
        let wind = storm.rage(HEARING);
        // How often each was born and told.
        let mut heard: BTreeMap<String, (usize, usize)> = BTreeMap::from([(storm.arg(), (1, 0))]);
        let mut note = |line: String| {
            let (word, pid) = line.split_once(' ').expect("a word and a PID");
            let (born, told) = heard.entry(pid.to_owned()).or_default();
            *(if word == "born" { born } else { told }) += 1;
            heard.values().all(|(born, told)| (*born, *told) == (1, 1))
        };
        for _ in 0..round % 50 {
            note(storm.next_word().expect("it lives"));
        }
        sigsend().args(["--tree", "-TERM", &storm.arg()]).assert().success().stdout("").stderr("");
        // Whoever was told forks no more, so when all have been told, all have been born.
        while !note(storm.next_word().expect("it lives")) {}
        sigsend().args(["--tree", "-KILL", &storm.arg()]).assert().success().stdout("").stderr("");
        for line in storm.assert_extinct() {
            note(line);
        }
        assert!(heard.values().all(|times| *times == (1, 1)), "{heard:?}");
        cut_short += usize::from(heard.len() <= HEARING);
        wind.join().expect("it calms down");
    }
    assert!(cut_short > 10, "the storms were over before they were hit: {cut_short}");
    bystander.assert_untouched();
}

#[test]
fn a_tree_that_never_rests_does_not_hold_sigsend() {
    let mut nursery = Family::playing("nursery 200 2500");
    sigsend().args(["--tree", "-HUP", &nursery.arg()]).assert().success().stdout("").stderr("");
    nursery.assert_alive();
    sigsend().args(["--tree", "--grace", "200ms", &nursery.arg()]).assert().success().stdout("").stderr("");
    nursery.assert_killed_by(9);
    nursery.assert_extinct();
}

#[test]
fn who_dies_while_it_is_opened_is_no_failure() {
    let nursery = Family::playing("nursery 5 100");
    for signal in ["-HUP", "-0", "-TERM"].into_iter().cycle().take(100) {
        sigsend().args([signal, "--tree", &nursery.arg()]).assert().success().stdout("").stderr("");
    }
    eventually("the nursery to go on", || !nursery.children().is_empty());
}
