//! Waiting until targets are gone: what counts as gone, which processes are waited for, exit
//! statuses, number of wake-ups.

use std::time::{Duration, Instant};

use crate::family::Family;
use crate::support::{
    NOBODY, Recorder, STUBBORN, Unprivileged, Victim, link, may_change_user, raw_sigsend, sigsend,
    skip, stderr, stdout, strace, victim,
};

#[test]
fn a_wait_is_over_when_the_last_target_is_gone() {
    let at_once = Victim::shell("echo ready");
    let soon = Victim::shell("echo ready; sleep 0.05");
    let on_demand = Victim::shell("echo ready; read word");
    let args = [
        "-0",
        "--wait",
        "-v",
        &at_once.arg(),
        &soon.arg(),
        &on_demand.arg(),
    ]
    .map(String::from);
    let mut command = raw_sigsend();
    command.args(args);
    let mut waiting = victim().command(command);
    // On a busy machine it may be gone before sigsend has started.
    let ends =
        ["exited with status 0", "is already gone"].map(|end| format!("{} (sh) {end}", soon.pid()));
    let is_its_end = |line: String| ends.iter().any(|end| line.starts_with(end));
    while !is_its_end(waiting.read_line()) {}
    waiting.assert_alive();
    drop(on_demand);
    waiting.assert_exited_with(0);
}

#[test]
fn a_process_that_remains_is_named_at_the_timeout() {
    let stubborn = Victim::shell(STUBBORN);
    let patient = sigsend()
        .args(["--within", "50ms", &stubborn.arg()])
        .assert()
        .code(124)
        .stdout("");
    let named = format!("sigsend: {} (sh) is still there after 0.", stubborn.pid());
    assert!(stderr(&patient).starts_with(&named), "{}", stderr(&patient));
    assert_eq!(stderr(&patient).lines().count(), 1);
    stubborn.assert_alive();
}

#[test]
fn a_wait_of_zero_checks_once() {
    let stubborn = Victim::shell(STUBBORN);
    sigsend()
        .args(["--within", "0s", &stubborn.arg()])
        .assert()
        .code(124);
    let dead: Vec<Victim> = (0..20).map(|_| Victim::zombie()).collect();
    sigsend()
        .args(["-0", "--within", "0s"])
        .args(dead.iter().map(Victim::arg))
        .assert()
        .success()
        .stderr("");
    sigsend()
        .args(["--timeout", "0", "KILL", "--wait", &stubborn.arg()])
        .assert()
        .success()
        .stderr("");
    stubborn.assert_killed_by(9);
}

#[test]
fn an_unreaped_zombie_is_gone() {
    let zombie = Victim::zombie();
    for waiting in [&["--wait"][..], &["--within", "20s"], &["--grace", "20s"]] {
        sigsend()
            .args(waiting)
            .arg(zombie.arg())
            .assert()
            .success()
            .stdout("")
            .stderr("");
    }
    // Its end is reported in addition to the wait.
    let killed = Victim::sleeping();
    sigsend().args(["--wait", &killed.arg()]).assert().success();
    killed.assert_killed_by(15);
}

#[test]
fn a_process_that_is_already_gone_counts_as_success() {
    let gone = Victim::gone().to_string();
    let group = format!("-{gone}");
    for waiting in [
        &["--wait"][..],
        &["--within", "20s"],
        &["--grace", "20s"],
        &["--within", "0s"],
    ] {
        sigsend()
            .args(waiting)
            .arg(&gone)
            .assert()
            .success()
            .stdout("")
            .stderr("");
        sigsend()
            .args(waiting)
            .args(["--", &group])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        let told = sigsend()
            .args(waiting)
            .args(["-v", &gone])
            .assert()
            .success();
        assert_eq!(stdout(&told), format!("{gone} is already gone\n"));
    }
    let told = sigsend()
        .args(["-v", "--wait", "--", &group])
        .assert()
        .success()
        .stderr("");
    assert_eq!(
        stdout(&told),
        format!("process group {gone} is already gone\n")
    );
}

#[test]
fn with_only_a_follow_up_an_already_gone_process_is_a_failure() {
    let gone = Victim::gone().to_string();
    for operands in [&[gone.as_str()][..], &["--", &format!("-{gone}")]] {
        let refused = sigsend()
            .args(["--timeout", "20s", "KILL"])
            .args(operands)
            .assert()
            .code(1)
            .stdout("");
        let last = operands.last().expect("an operand");
        assert_eq!(
            stderr(&refused),
            format!("sigsend: sending signal to {last} failed: No such process\n")
        );
    }
    let victim = Victim::sleeping();
    sigsend()
        .args(["--timeout", "20s", "KILL", &gone, &victim.arg()])
        .assert()
        .code(64);
    victim.assert_killed_by(15);
}

#[test]
fn a_name_without_a_process_is_a_failure_even_with_wait() {
    sigsend().args(["--wait", "nobody-at-all"]).assert().code(1);
    let victim = Victim::sleeping();
    sigsend()
        .args(["--wait", "nobody-at-all", &victim.arg()])
        .assert()
        .code(64);
    victim.assert_killed_by(15);
}

#[test]
fn a_process_that_may_not_be_signalled_is_reported_and_not_waited_for() {
    if !may_change_user() {
        return skip("needs root");
    }
    let unprivileged = Unprivileged::new();
    let mut foreign = Recorder::new();
    for waiting in [
        &["--wait"][..],
        &["--within", "20s"],
        &["--grace", "20s"],
        &["--timeout", "20s", "KILL"],
    ] {
        let refused = unprivileged
            .sigsend()
            .args(waiting)
            .arg(foreign.arg())
            .assert()
            .code(1)
            .stdout("");
        let words = format!(
            "sigsend: sending signal to {} failed: Operation not permitted\n",
            foreign.arg()
        );
        assert!(stderr(&refused).starts_with(&words), "{}", stderr(&refused));

        let own = victim().owned_by(NOBODY).sleeping();
        let operands = [foreign.arg(), own.arg()];
        unprivileged
            .sigsend()
            .args(waiting)
            .args(operands)
            .assert()
            .code(64);
        own.assert_killed_by(15);
    }
    let stubborn = victim().owned_by(NOBODY).shell(STUBBORN);
    let both = [foreign.arg(), stubborn.arg()];
    unprivileged
        .sigsend()
        .args(["--within", "50ms"])
        .args(both)
        .assert()
        .code(124);
    foreign.assert_untouched();
}

#[test]
fn the_null_signal_waits_without_permission_and_sends_nothing() {
    if !may_change_user() {
        return skip("needs root");
    }
    let unprivileged = Unprivileged::new();
    let mut foreign = Recorder::new();
    unprivileged
        .sigsend()
        .args(["-0", "--within", "50ms", &foreign.arg()])
        .assert()
        .code(124);
    foreign.assert_untouched();
    let mut shell = Victim::shell("echo ready; read word; exit 5");
    let dying = shell.arg();
    shell.write_line("exit");
    unprivileged
        .sigsend()
        .args(["-0", "--wait", &dying])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    shell.assert_exited_with(5);
}

#[test]
fn a_thousand_targets_are_waited_for_side_by_side() {
    let mut family = Family::with_role("children 2000");
    let mut pids: Vec<String> = Vec::new();
    family
        .children()
        .iter()
        .for_each(|pid| pids.push(pid.to_string()));
    assert_eq!(pids.len(), 2000);
    let begin = Instant::now();
    sigsend()
        .args(["--grace", "15s"])
        .args(&pids)
        .assert()
        .success()
        .stdout("")
        .stderr("");
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
    family.assert_alive();
    sigsend()
        .args(["-KILL", "--wait", &family.arg()])
        .assert()
        .success();
    family.assert_all_ended();
}

#[test]
fn a_wait_wakes_up_once_for_each_exit() {
    let mut victims: Vec<Victim> = (0..5).map(|_| Victim::sleeping()).collect();
    victims.push(Victim::zombie());
    let args = victims.iter().map(Victim::arg).collect::<Vec<_>>();
    let args: Vec<&str> = ["--wait"]
        .into_iter()
        .chain(args.iter().map(String::as_str))
        .collect();
    let Some(trace) = strace(
        "trace=epoll_wait,epoll_pwait,epoll_pwait2,poll,ppoll,nanosleep",
        &args,
    ) else {
        return;
    };
    assert!(trace.output.status.success());
    let wakes = trace
        .calls
        .iter()
        .filter(|call| call.starts_with("epoll_"))
        .count();
    assert!(
        (1..=victims.len() + 1).contains(&wakes),
        "{:#?}",
        trace.calls
    );
    assert!(
        !trace.calls.iter().any(|call| call.contains("sleep")),
        "{:#?}",
        trace.calls
    );
}

#[test]
fn an_idle_wait_does_not_wake_up() {
    let stubborn = Victim::shell(STUBBORN);
    let zombie = Victim::zombie();
    let args = ["-0", "--within", "300ms", &zombie.arg(), &stubborn.arg()];
    let Some(trace) = strace(
        "trace=epoll_wait,epoll_pwait,epoll_pwait2,nanosleep,clock_nanosleep",
        &args,
    ) else {
        return;
    };
    assert_eq!(trace.output.status.code(), Some(124));
    assert!(trace.calls.len() <= 3, "{:#?}", trace.calls);
}

#[test]
fn without_verbose_no_exit_status_is_looked_up() {
    let victim = Victim::sleeping();
    let Some(trace) = strace(
        "trace=ioctl,openat,open,readlink",
        &["--wait", &victim.arg()],
    ) else {
        return;
    };
    assert!(trace.output.status.success());
    let is_of_pidfd = |call: &String| call.starts_with("ioctl") && !call.contains("TCGETS");
    assert!(!trace.calls.iter().any(is_of_pidfd), "{:#?}", trace.calls);
    assert!(
        !trace.calls.iter().any(|call| call.contains(&victim.arg())),
        "{:#?}",
        trace.calls
    );
}

#[test]
fn a_duration_has_a_unit_and_a_maximum() {
    let mut bystander = Recorder::new();
    let refusals = [
        (["--grace", "10"], "10 needs a unit, such as 10s"),
        (["--within", "10"], "10 needs a unit, such as 10s"),
        (["--grace", "-1s"], "-1s"),
        (["--within", "-5s"], "-5s"),
        (["--within", ""], "''"),
        (["--within", "s"], "'s'"),
        (["--within", "10 parsecs"], "10 parsecs"),
        (
            ["--grace", "99999999999999999999s"],
            "99999999999999999999s",
        ),
        (
            ["--within", "18446744073709551615y"],
            "18446744073709551615y",
        ),
        (["--within", "1e3s"], "1e3s"),
    ];
    for ([option, value], words) in refusals {
        let refused = sigsend()
            .args([option, value, &bystander.arg()])
            .assert()
            .code(1)
            .stdout("");
        assert!(
            stderr(&refused).contains(words),
            "{option} {value}: {}",
            stderr(&refused)
        );
    }
    for value in ["-1", "99999999999999999999", "", "x", "1s2"] {
        let refused = sigsend()
            .args(["--timeout", value, "KILL", &bystander.arg()])
            .assert()
            .code(1)
            .stdout("");
        assert!(
            stderr(&refused).contains(value),
            "{value}: {}",
            stderr(&refused)
        );
    }
    bystander.assert_untouched();
}

#[test]
fn a_process_named_in_several_ways_gets_each_step_once() {
    let mut recorder = Recorder::of(victim());
    let (pid, group) = (recorder.arg(), recorder.victim().group_arg());
    let operands = [pid.as_str(), &pid, "--", &group, &group];
    sigsend()
        .args(["-USR1", "--timeout", "10", "USR2", "--within", "50ms"])
        .args(operands)
        .assert()
        .code(124);
    assert_eq!(recorder.signals(), [10, 12]);
}

#[test]
fn a_program_called_kill_waits_as_kill() {
    let (_dir, kill) = link(crate::support::SIGSEND.as_ref(), "kill");
    let stubborn = Victim::shell(STUBBORN);
    let patient = assert_cmd::Command::new(kill)
        .args(["--within", "10ms", &stubborn.arg()])
        .assert()
        .code(124);
    assert!(stderr(&patient).starts_with(&format!("kill: {} (sh) is still there", stubborn.pid())));
}

#[test]
fn a_process_whose_time_was_used_up_by_the_freeze_gets_a_moment_to_die() {
    let waits_after_kill = |delay: &str| {
        let victim = Victim::sleeping();
        let slow = format!("inject=pidfd_send_signal:delay_enter={delay}:when=1");
        let trace = strace(&slow, &["--tree", "-KILL", "--within", "0s", &victim.arg()])?;
        let kill = trace
            .calls
            .iter()
            .position(|call| call.contains("SIGKILL"))
            .expect("KILL is sent");
        Some(
            trace.calls[kill..]
                .iter()
                .any(|call| call.starts_with("epoll_wait(") || call.starts_with("epoll_pwait(")),
        )
    };
    let Some(after_slow_freeze) = waits_after_kill("150000") else {
        return;
    };
    assert!(after_slow_freeze);
    // On a busy machine any freeze may be slow.
    assert!((0..20).any(|_| waits_after_kill("1") == Some(false)));
}
