//! The reported end of targets, for children and other processes; an unknown end is not guessed.

use crate::support::kernel;
use crate::support::prelude::*;

/// The end of one process as `-v` reports it, without the time.
fn ending(told: &str, pid: i32) -> String {
    let of_it = |line: &&str| line.starts_with(&format!("{pid} ")) && line.contains(" after ");
    let line = told.lines().find(of_it).expect(told);
    let (what, _time) = line.rsplit_once(" after ").expect("it has a time");
    let what = what.split_once(") ").map_or(what, |(_name, what)| what);
    what.to_owned()
}

#[track_caller]
fn reported_end(victim: &Victim, signal: &str) -> String {
    ending(&run!("-v --wait {signal} {victim}").told(), victim.pid())
}

#[test]
fn the_end_of_an_unreaped_zombie_is_reported() {
    table(
        "-v --wait POLITE    | 0 | POLITE (sh) exited with status 3 after | POLITE=x3
         -v --wait -TERM CAT | 0 | CAT (cat) was killed by TERM after     | CAT=15
         -v --wait -KILL CAT | 0 | CAT (cat) was killed by KILL after     | CAT=9
         -v --wait -HUP CAT  | 0 | CAT (cat) was killed by HUP after      | CAT=1
         -v --wait -34 CAT   | 0 | CAT (cat) was killed by RTMIN after    | CAT=34",
    );
    let tidy = Victim::shell("trap 'exit 0' TERM; echo ready; while read line; do :; done");
    assert_eq!(reported_end(&tidy, ""), "exited with status 0");
}

#[test]
fn the_end_of_a_reaped_process_that_is_not_a_child_is_reported() {
    // Its parent is a shell, which reaps it at once.
    for (signal, how) in [
        ("-TERM", "exited with status 7"),
        ("-KILL", "was killed by KILL"),
    ] {
        let child = "sh -c 'trap \"exit 7\" TERM; echo $$; while read line; do :; done' <&3 &";
        let reaps = format!("{child} wait $!; echo reaped $?; exec cat");
        let mut shell = Victim::shell(&format!("exec 3<&0 2>/dev/null; echo ready; {reaps}"));
        let stranger: i32 = shell.read_line().parse().expect("a PID");
        let told = run!("-v --wait {signal} {stranger}").code(0).out;
        assert!(shell.read_line().starts_with("reaped "));
        let told = ending(&told, stranger);
        let holds = told == how || (told.contains("unknown") && lacks_exit_info());
        assert!(holds, "{told}");
    }
}

#[test]
fn a_core_dump_is_reported() {
    let crashing = |home: &TempDir, limit: &str| {
        let mut command = sh(&format!("ulimit -c {limit}; echo ready; exec cat"));
        command.current_dir(home.path());
        let crashing = victim().ready(&mut command);
        let told = reported_end(&crashing, "-SEGV");
        crashing.assert_killed_by(11);
        let mut files = home.path().read_dir().expect("a directory");
        (told, files.next().is_some())
    };
    let home = tempdir();
    let (told, has_core) = crashing(&home, "$(ulimit -Hc)");
    let is_dumped = told == "was killed by SEGV (core dumped)";
    let holds = is_dumped || told == "was killed by SEGV" && !has_core;
    assert!(holds, "{told}, core: {has_core}");
    // If core_pattern is a pipe, the limit does not prevent a dump.
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if !pattern.starts_with('|') {
        let got = crashing(&tempdir(), "0");
        assert_eq!(got, ("was killed by SEGV".to_owned(), false));
    }
}

#[test]
fn a_core_dump_by_another_thread_is_not_denied() {
    for _round in 0..20 {
        let mut family = Family::with_role("dumping-thread");
        let thread = family.next_pid();
        let told = run!("--json -SEGV --wait {thread}").code(0).out;
        let holds = told.contains("\"exit_signal\":\"SEGV\"") || lacks_exit_info();
        assert!(holds, "{told}");
        assert!(!told.contains("\"core_dumped\":false"), "{told}");
    }
    // A signal that never dumps core proves that there was none.
    let victim = Victim::sleeping();
    run!("--json -TERM --wait {victim}")
        .fine()
        .has("\"core_dumped\":false");
}

#[test]
fn the_end_of_a_zombie_that_may_not_be_read_is_unknown() {
    needs!(may_change_user(), "root");
    // It changed its user, so the new user may signal it but not read its /proc files.
    let family = Family::with_role("foreign-short-lived 1 20000");
    let user = Unprivileged::new();
    let done = call!(user.sigsend(), "-v -KILL --wait {family}").code(0);
    family.assert_killed_by(9);
    done.has("unknown").lacks("status 0").lacks("killed by");
}

/// Whether this kernel does not report how a reaped process ended (before Linux 6.15).
fn lacks_exit_info() -> bool {
    kernel() < (6, 15)
}
