//! The reported end of targets, for children and other processes; an unknown end is not guessed.

use std::process::Command;

use crate::family::Family;
use crate::support::{
    Unprivileged, Victim, may_change_user, sigsend, skip, stdout, tempdir, victim,
};

/// The end of one process as `-v` reports it, without the time.
fn ending(told: &str, pid: i32) -> String {
    let of_it = |line: &&str| line.starts_with(&format!("{pid} ")) && line.contains(" after ");
    let line = told
        .lines()
        .find(of_it)
        .unwrap_or_else(|| panic!("no ending of {pid} in {told:?}"));
    let (what, _time) = line.rsplit_once(" after ").expect("it has a time");
    what.split_once(") ")
        .map_or(what, |(_name, what)| what)
        .to_owned()
}

/// The end of a process as sigsend reports it.
fn reported_end(victim: &Victim, args: &[&str]) -> String {
    let told = sigsend()
        .args(["-v", "--wait"])
        .args(args)
        .arg(victim.arg())
        .assert()
        .success()
        .stderr("");
    ending(&stdout(&told), victim.pid())
}

#[test]
fn the_end_of_an_unreaped_zombie_is_reported() {
    let polite = Victim::shell("trap 'exit 3' TERM; echo ready; while read line; do :; done");
    assert_eq!(reported_end(&polite, &[]), "exited with status 3");
    let clean = Victim::shell("trap 'exit 0' TERM; echo ready; while read line; do :; done");
    assert_eq!(reported_end(&clean, &[]), "exited with status 0");
    for (option, name) in [
        ("-TERM", "TERM"),
        ("-KILL", "KILL"),
        ("-HUP", "HUP"),
        ("-34", "RTMIN"),
    ] {
        assert_eq!(
            reported_end(&Victim::sleeping(), &[option]),
            format!("was killed by {name}")
        );
    }
}

#[test]
fn the_end_of_a_reaped_process_that_is_not_a_child_is_reported() {
    // Its parent is a shell, which reaps it at once.
    for (option, how) in [
        ("-TERM", "exited with status 7"),
        ("-KILL", "was killed by KILL"),
    ] {
        let child = "sh -c 'trap \"exit 7\" TERM; echo $$; while read line; do :; done' <&3 & wait $!; echo reaped $?";
        let mut shell = Victim::shell(&format!(
            "exec 3<&0 2>/dev/null; echo ready; {child}; exec cat"
        ));
        let stranger: i32 = shell.read_line().parse().expect("a PID");
        let told = sigsend()
            .args(["-v", "--wait", option, &stranger.to_string()])
            .assert()
            .success();
        assert!(shell.read_line().starts_with("reaped "));
        let told = ending(&stdout(&told), stranger);
        assert!(
            told == how || (told.contains("unknown") && lacks_exit_info()),
            "{told}"
        );
    }
}

#[test]
fn a_core_dump_is_reported() {
    let home = tempdir();
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -c $(ulimit -Hc); echo ready; exec cat"])
        .current_dir(home.path());
    let mut crashing = victim().command(command);
    assert_eq!(crashing.read_line(), "ready");
    let told = reported_end(&crashing, &["-SEGV"]);
    crashing.assert_killed_by(11);
    let has_core = home
        .path()
        .read_dir()
        .expect("a directory")
        .next()
        .is_some();
    match told.as_str() {
        "was killed by SEGV (core dumped)" => {}
        "was killed by SEGV" if !has_core => {}
        other => panic!("{other}, core: {has_core}"),
    }

    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -c 0; echo ready; exec cat"])
        .current_dir("/");
    let mut crashing = victim().command(command);
    assert_eq!(crashing.read_line(), "ready");
    // If core_pattern is a pipe, the limit does not prevent a dump.
    if !std::fs::read_to_string("/proc/sys/kernel/core_pattern")
        .is_ok_and(|pattern| pattern.starts_with('|'))
    {
        assert_eq!(reported_end(&crashing, &["-SEGV"]), "was killed by SEGV");
    }
}

#[test]
fn a_core_dump_by_another_thread_is_not_denied() {
    for _round in 0..20 {
        let mut family = Family::with_role("dumping-thread");
        let thread: i32 = family
            .next_line()
            .expect("it is alive")
            .trim_start_matches("created ")
            .parse()
            .expect("a PID");
        let told = sigsend()
            .args(["--json", "-SEGV", "--wait", &thread.to_string()])
            .assert()
            .success();
        let told = stdout(&told);
        assert!(
            told.contains("\"exit_signal\":\"SEGV\"") || lacks_exit_info(),
            "{told}"
        );
        assert!(!told.contains("\"core_dumped\":false"), "{told}");
        drop(family);
    }
    // A signal that never dumps core proves that there was none.
    let told = sigsend()
        .args(["--json", "-TERM", "--wait", &Victim::sleeping().arg()])
        .assert()
        .success();
    assert!(
        stdout(&told).contains("\"core_dumped\":false"),
        "{}",
        stdout(&told)
    );
}

#[test]
fn the_end_of_a_zombie_that_may_not_be_read_is_unknown() {
    if !may_change_user() {
        return skip("needs root");
    }
    // It changed its user, so the new user may signal it but not read its /proc files.
    let family = Family::with_role("foreign-short-lived 1 20000");
    let told = Unprivileged::new()
        .sigsend()
        .args(["-v", "-KILL", "--wait", &family.arg()])
        .assert()
        .success();
    family.assert_killed_by(9);
    let told = stdout(&told);
    assert!(
        told.contains("unknown") && !told.contains("status 0") && !told.contains("killed by"),
        "{told}"
    );
}

/// Whether this kernel does not report how a reaped process ended (before Linux 6.15).
fn lacks_exit_info() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) < (Some(6), Some(15))
}
