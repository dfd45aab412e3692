//! PID reuse: each PID that sigsend gets belongs to an unrelated process by the time it acts, many
//! times over, and that process gets no signal. In private PID namespaces, where a PID can be
//! chosen.

use crate::support::prelude::*;

/// How often each is done; more often in full.
fn rounds() -> usize {
    if in_full() { 100 } else { 26 }
}

/// The PID that is reused.
const NUMBER: &str = "4242";

/// The process that has the PID at present; every signal would end it.
fn owner(name: &str) -> Victim {
    victim().with_pid(4242).named(name).sleeping()
}

/// The commands for one process; the last three succeed when that process is gone.
const COMMANDS: &str = "-KILL | -HUP -v | -0 | -RTMIN+3 -q 7 | --tree -KILL | --timeout 0 KILL \
    | --expect daemon | --alive | --id | -p | --wait | --within 5s --json | --grace 5s";

#[test]
fn a_stale_pidfile_or_a_token_never_hits_the_next_owner_of_its_pid() {
    in_pid_namespace!();
    let dir = tempdir();
    let commands: Vec<&str> = each(COMMANDS).collect();
    for (round, command) in commands.iter().enumerate().cycle().take(rounds()) {
        let mut daemon = owner("daemon");
        let token = token(&daemon);
        let file = dir.arg("daemon.pid", format!("{NUMBER}\n"));
        daemon.kill();
        let unrelated = owner("daemon");
        back_date(Path::new(&file), Duration::from_secs(3600));
        let stale = format!("pidfile {file} is stale: {NUMBER} started at ");
        run!("{command} --pidfile {file}").code(1).has(stale);
        let done = run!("{command} {token}");
        if round >= commands.len() - 3 {
            done.fine();
        } else {
            let done = done.code(1).has(token).has("No such process");
            done.has("this PID now belongs to another process");
        }
        unrelated.assert_alive();
    }
}

/// Gives the PID of its owner to the next one while sigsend, started with these words, is held in
/// the window. It must fail with this error, and maybe a hint.
#[track_caller]
pub fn swap(
    window: Window,
    line: &str,
    mut owner: Victim,
    next: impl FnOnce() -> Victim,
    error: &str,
) {
    let held = Held::at(window, line);
    owner.kill();
    let unrelated = next();
    assert_eq!(unrelated.pid(), owner.pid());
    held.go().code(1).begins(1, error);
    unrelated.assert_alive();
}

#[test]
fn a_name_never_hits_a_pid_reused_before_the_signal() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    let unfound = "sigsend: cannot find process \"daemon\"\n";
    let failed = "sigsend: sending signal to daemon (PID 4242) failed: No such process\n";
    let swap_name = |window, next: &str, error| {
        swap(
            window,
            "-KILL daemon",
            owner("daemon"),
            || owner(next),
            error,
        );
    };
    for _round in 0..rounds() {
        swap_name(Window::BeforePinning, "unrelated", unfound);
        // By the same name after it is pinned, and by any just before the signal.
        swap_name(Window::AfterPinning, "daemon", unfound);
        swap_name(Window::BeforeSending, "daemon", failed);
        swap_name(Window::BeforeSending, "unrelated", failed);
    }
}

#[test]
fn a_check_never_passes_for_the_next_owner_of_the_pid() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    let dir = tempdir();
    let file = dir.arg("daemon.pid", format!("{NUMBER}\n"));
    let checks = format!(
        "--expect daemon {NUMBER} | --pidfile {file} | --pidfile {file} --expect daemon \
         | --timeout 0 KILL {NUMBER} | --tree -KILL {NUMBER}"
    );
    let windows = [Window::AfterPinning, Window::BeforeSending].into_iter();
    let windows = windows.cycle();
    let checks: Vec<&str> = each(&checks).collect();
    for (check, window) in checks.iter().cycle().zip(windows).take(rounds()) {
        // New in each round, so that only the pidfd distinguishes the two.
        back_date(Path::new(&file), Duration::ZERO);
        let failed = format!("sigsend: sending signal to {NUMBER} failed: No such process\n");
        swap(window, check, owner("daemon"), || owner("daemon"), &failed);
    }
}
