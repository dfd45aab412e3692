//! Several signals in order: how a process is stopped, which processes get a follow-up, and that no
//! follow-up is sent to a reused PID.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, pipe};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::family::Family;
use crate::strange::{Call, Held, may_trace};
use crate::support::{
    Received, Recorder, STUBBORN, Unprivileged, Victim, in_pid_namespace, may_change_user, program,
    raw_sigsend, sigsend, skip, stderr, stdout, tempdir, victim,
};

const WELL_BEHAVED: &str = "trap 'exit 3' TERM; echo ready; while read line; do :; done";

#[test]
fn grace_lets_a_process_end_by_itself() {
    let good = Victim::shell(WELL_BEHAVED);
    let told = sigsend()
        .args(["-v", "--grace", "15s", &good.arg()])
        .assert()
        .success()
        .stderr("");
    good.assert_exited_with(3);
    let lines = stdout(&told);
    let pid = good.pid();
    assert!(
        lines.starts_with(&format!(
            "sent TERM (15) to {pid} (sh)\nsent CONT (18) to {pid} (sh)\n"
        )),
        "{lines}"
    );
    assert!(
        lines.contains(&format!("\n{pid} (sh) exited with status 3 after ")),
        "{lines}"
    );
    assert_eq!(lines.lines().count(), 3, "{lines}");
}

#[test]
fn grace_kills_only_the_processes_that_did_not_end() {
    let mut bystander = Recorder::new();
    let (good, stubborn) = (Victim::shell(WELL_BEHAVED), Victim::shell(STUBBORN));
    let args = ["-v", "--grace", "200ms", &good.arg(), &stubborn.arg()];
    let begin = Instant::now();
    let told = sigsend().args(args).assert().success().stderr("");
    assert!(begin.elapsed() >= Duration::from_millis(200));
    stubborn.assert_killed_by(9);
    good.assert_exited_with(3);
    let told = stdout(&told);
    let killed: Vec<&str> = told
        .lines()
        .filter(|line| line.starts_with("sent KILL"))
        .collect();
    assert_eq!(killed.len(), 1, "{told}");
    assert!(
        killed[0].starts_with(&format!(
            "sent KILL (9) to {} (sh) after 0.",
            stubborn.pid()
        )),
        "{told}"
    );
    bystander.assert_untouched();
}

#[test]
fn grace_wakes_a_stopped_process_so_that_it_can_end() {
    let plain = victim().stopped();
    let good = Victim::shell(WELL_BEHAVED);
    kill(Pid::from_raw(good.pid()), Signal::SIGSTOP).expect("a child can be stopped");
    good.assert_state('T');
    sigsend()
        .args(["--grace", "15s", &plain.arg(), &good.arg()])
        .assert()
        .success()
        .stderr("");
    plain.assert_killed_by(15);
    good.assert_exited_with(3);
}

/// The null signal sends nothing, which contradicts the KILL of `--grace`.
#[test]
fn grace_with_the_null_signal_is_refused() {
    let plain = victim().sleeping();
    for null in ["-0", "-EXIT", "-sNULL"] {
        let refused = sigsend()
            .args([null, "--grace", "0s", &plain.arg()])
            .assert()
            .code(1)
            .stdout("");
        let said = stderr(&refused);
        assert!(
            said.starts_with("sigsend: '--grace' cannot be used with EXIT, which signals nobody"),
            "{said}"
        );
    }
    plain.assert_alive();
}

#[test]
fn grace_sends_each_signal_once_and_in_order() {
    let mut recorder = Recorder::holding();
    let args = ["--grace", "30s", "-HUP", &recorder.arg()];
    let mut command = raw_sigsend();
    command.args(args).arg("-v");
    let mut patient = victim().command(command);
    assert!(patient.read_line().starts_with("sent HUP (1) to "));
    assert!(patient.read_line().starts_with("sent CONT (18) to "));
    assert_eq!(recorder.signals(), [1, 18]);
    patient.assert_alive();
}

#[test]
fn follow_ups_come_in_order_and_carry_the_value() {
    let mut recorder = Recorder::new();
    let steps = [
        "--timeout",
        "10",
        "USR2",
        "--timeout",
        "20ms",
        "HUP",
        "--within",
        "10ms",
    ];
    sigsend()
        .args(["-USR1", "-q", "-42"])
        .args(steps)
        .arg(recorder.arg())
        .assert()
        .code(124);
    let queued = |signal| Received {
        signal,
        code: nix::libc::SI_QUEUE,
        value: -42,
    };
    assert_eq!(recorder.received(), [queued(10), queued(12), queued(1)]);
}

#[test]
fn without_remaining_processes_there_is_no_wait() {
    let victims = [
        Victim::sleeping(),
        Victim::shell(WELL_BEHAVED),
        Victim::zombie(),
    ];
    let steps = [
        "--timeout",
        "5m",
        "INT",
        "--timeout",
        "1h",
        "KILL",
        "--wait",
    ];
    let told = sigsend()
        .args(steps)
        .arg("-v")
        .args(victims.iter().map(Victim::arg))
        .assert()
        .success();
    assert!(
        !stdout(&told).contains("INT") && !stdout(&told).contains("KILL"),
        "{}",
        stdout(&told)
    );
}

#[test]
fn a_follow_up_without_a_wait_ends_with_its_last_signal() {
    let mut recorder = Recorder::new();
    sigsend()
        .args(["-USR1", "--timeout", "10ms", "USR2", &recorder.arg()])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    assert_eq!(recorder.signals(), [10, 12]);
}

#[test]
fn ten_stubborn_processes_take_the_time_of_one() {
    let stubborn: Vec<Victim> = (0..10).map(|_| Victim::shell(STUBBORN)).collect();
    let begin = Instant::now();
    let call = ["--timeout", "1s", "KILL", "--wait"];
    sigsend()
        .args(call)
        .args(stubborn.iter().map(Victim::arg))
        .assert()
        .success()
        .stderr("");
    let took = begin.elapsed();
    assert!(
        (Duration::from_secs(1)..Duration::from_secs(6)).contains(&took),
        "{took:?}"
    );
    for victim in &stubborn {
        victim.assert_killed_by(9);
    }
}

#[test]
fn a_reader_that_closes_the_pipe_does_not_stop_an_escalation() {
    let stubborn = [Victim::shell(STUBBORN), Victim::shell(STUBBORN)];
    let (reader, writer) = pipe().expect("a pipe");
    let errors = tempdir();
    let mut command = raw_sigsend();
    command
        .args(["-v", "--grace", "200ms"])
        .args(stubborn.iter().map(Victim::arg))
        .stdout(writer);
    command.stderr(File::create(errors.path().join("errors")).expect("a file"));
    let mut child = command.spawn().expect("sigsend starts");
    drop(command);
    let mut first = String::new();
    BufReader::new(reader)
        .read_line(&mut first)
        .expect("a line");
    assert!(first.starts_with("sent TERM (15) to "), "{first}");
    for victim in &stubborn {
        victim.assert_killed_by(9);
    }
    assert_eq!(child.wait().expect("sigsend ends").code(), Some(0));
    assert_eq!(
        fs::read_to_string(errors.path().join("errors")).expect("a file"),
        ""
    );
}

#[test]
fn failed_output_does_not_stop_an_escalation_but_is_an_error() {
    let stubborn = Victim::shell(STUBBORN);
    let mut command = raw_sigsend();
    command.args(["-v", "--grace", "100ms", &stubborn.arg()]);
    command.stdout(
        File::options()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full"),
    );
    let output = command.output().expect("sigsend starts");
    stubborn.assert_killed_by(9);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "sigsend: write error: No space left on device\n"
    );
}

#[test]
fn a_survivor_of_every_step_is_named() {
    let mut recorder = Recorder::new();
    let args = [
        "--timeout",
        "10",
        "USR1",
        "--within",
        "10ms",
        &recorder.arg(),
    ];
    let told = sigsend().args(args).assert().code(124);
    assert!(
        stderr(&told).contains(&format!("{} (", recorder.arg())),
        "{}",
        stderr(&told)
    );
    assert_eq!(recorder.signals(), [15, 10]);
}

#[test]
fn a_process_that_got_the_first_signal_but_not_the_next_counts_as_both() {
    if !may_change_user() {
        return skip("needs root");
    }
    let user = Unprivileged::new();
    for (call, status, signalled) in [
        (&["--timeout", "200ms", "KILL"][..], 64, 1),
        (&["--timeout", "200ms", "KILL", "--wait"], 64, 1),
        // CONT and KILL are both refused.
        (&["--grace", "200ms"], 64, 1),
    ] {
        let mut family = Family::with_role("becomes-root");
        let told = user
            .sigsend()
            .arg("--json")
            .args(call)
            .arg(family.arg())
            .assert()
            .code(status);
        let summary = stdout(&told).lines().last().expect("a summary").to_owned();
        assert!(
            summary.contains(&format!("\"signalled\":{signalled},")),
            "{summary}"
        );
        assert!(summary.contains("\"failed\":1,"), "{summary}");
        assert_eq!(family.next_line(), Some(format!("root {}", family.pid())));
        family.assert_alive();
    }
    // A refused CONT does not end the wait.
    let family = Family::with_role("becomes-root");
    let told = user
        .sigsend()
        .args(["--grace", "200ms", "--json", &family.arg()])
        .assert()
        .code(64);
    let refused = stdout(&told)
        .lines()
        .filter(|line| line.contains("\"failed\"") && line.contains("EPERM"))
        .count();
    assert!(refused >= 1, "{}", stdout(&told));
}

#[test]
fn the_first_signals_of_those_still_there_are_counted_too() {
    let stubborn = Victim::shell(STUBBORN);
    let told = sigsend()
        .args(["--json", "--within", "50ms", &stubborn.arg()])
        .assert()
        .code(124);
    let summary = stdout(&told).lines().last().expect("a summary").to_owned();
    assert!(
        summary.contains("\"signalled\":1,") && summary.contains("\"remaining\":1,"),
        "{summary}"
    );
}

#[test]
fn a_grace_that_begins_with_kill_sends_nothing_but_kill() {
    for victim in [Victim::sleeping(), victim().stopped()] {
        let told = sigsend()
            .args(["-v", "-KILL", "--grace", "9s", &victim.arg()])
            .assert()
            .success()
            .stderr("");
        victim.assert_killed_by(9);
        assert_eq!(
            stdout(&told).matches("sent ").count(),
            1,
            "{}",
            stdout(&told)
        );
    }
}

#[test]
fn a_process_that_exits_at_the_deadline_is_gone() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        for call in [
            &["--within", "10ms"][..],
            &["--timeout", "10", "USR1", "--within", "10ms"],
        ] {
            let patient =
                Victim::shell("trap '' TERM USR1; echo ready; while read line; do :; done");
            let pid = patient.arg();
            let mut args = call.to_vec();
            args.push(&pid);
            // The wait has ended without an exit when the process dies.
            let held = Held::after(
                &Call {
                    name: "epoll_wait".to_owned(),
                    nth: call.len() / 2,
                },
                &args,
            );
            kill(Pid::from_raw(patient.pid()), Signal::SIGKILL).expect("a child can be killed");
            patient.assert_killed_by(9);
            let output = held.go();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), &*said), (Some(0), ""), "{call:?}");
        }
    });
}

#[test]
fn a_member_that_uses_up_the_descriptors_does_not_affect_the_others() {
    let Some(prlimit) = program("prlimit") else {
        return skip("no prlimit");
    };
    for (shape, word) in [("group", "--"), ("tree", "--tree")] {
        for first in [true, false] {
            let mut family = Family::with_role("forks-on-term 60");
            let stubborn = [Victim::shell(STUBBORN), Victim::shell(STUBBORN)];
            let head = if shape == "tree" {
                family.arg()
            } else {
                family.group_arg()
            };
            let mut targets = vec![stubborn[0].arg(), stubborn[1].arg()];
            targets.insert(if first { 0 } else { 2 }, head);
            let sigsend = raw_sigsend();
            let mut command = Command::new(&prlimit);
            command
                .arg("--nofile=24:24")
                .arg(sigsend.get_program())
                .args(["--grace", "500ms", word])
                .args(&targets);
            let output = command.output().expect("prlimit starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(64), "{shape}: {said}");
            assert!(said.contains("24 open files"), "{shape}: {said}");
            assert_eq!(said.lines().count(), 1, "reported once: {said}");
            for victim in &stubborn {
                victim.assert_killed_by(9);
            }
            assert_eq!(family.next_line(), Some(format!("forked {}", family.pid())));
        }
    }
}

#[test]
fn a_target_with_too_many_members_does_not_affect_the_others() {
    let Some(prlimit) = program("prlimit") else {
        return skip("no prlimit");
    };
    for word in ["--", "--tree"] {
        let family = Family::with_role("children 60");
        let other = Victim::sleeping();
        let head = if word == "--tree" {
            family.arg()
        } else {
            family.group_arg()
        };
        let sigsend = raw_sigsend();
        let mut command = Command::new(&prlimit);
        command
            .arg("--nofile=24:24")
            .arg(sigsend.get_program())
            .args(["--within", "9s", word, &head, &other.arg()]);
        let output = command.output().expect("prlimit starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(
            said.contains("24 open files") && said.lines().count() == 1,
            "{said}"
        );
        other.assert_killed_by(15);
        family.assert_alive();
    }
}

/// The PID that is reused.
const NUMBER: i32 = 5000;

/// A process ends by the first signal and is reaped, its PID is given to an unrelated process, and
/// then the follow-up is due. sigsend is stopped meanwhile, so that no round is a race.
fn recycle_a_hundred_times(aim: fn(&str, &str) -> Vec<String>) {
    let mut rounds_with_follow_up = 0;
    let errors = tempdir();
    for _ in 0..100 {
        let mut doomed = victim().with_pid(NUMBER).sleeping();
        let stubborn = Victim::shell(STUBBORN);
        let file = errors.path().join("errors");
        let mut command = raw_sigsend();
        command
            .args(["--timeout", "20", "KILL", "--wait"])
            .args(aim(&doomed.arg(), &stubborn.arg()));
        command.stderr(File::create(&file).expect("a file"));
        let patient = victim().command(command);
        doomed.assert_killed_by(15);
        kill(Pid::from_raw(patient.pid()), Signal::SIGSTOP).expect("a child can be stopped");
        doomed.reap();
        let unrelated = victim().with_pid(NUMBER).sleeping();
        rounds_with_follow_up += usize::from(!stubborn.has_ended());
        kill(Pid::from_raw(patient.pid()), Signal::SIGCONT).expect("a child can be continued");
        stubborn.assert_killed_by(9);
        patient.assert_exited_with(0);
        unrelated.assert_alive();
        assert_eq!(fs::read_to_string(&file).expect("a file"), "");
    }
    assert!(
        rounds_with_follow_up > 0,
        "the follow-up was never due after the PID was reused"
    );
}

#[test]
fn a_follow_up_never_hits_a_reused_pid() {
    in_pid_namespace(|| recycle_a_hundred_times(|pid, other| vec![pid.into(), other.into()]));
}

#[test]
fn a_follow_up_never_hits_a_reused_group_id() {
    in_pid_namespace(|| {
        recycle_a_hundred_times(|pid, other| vec!["--".into(), format!("-{pid}"), other.into()]);
    });
}

#[test]
fn a_follow_up_never_hits_the_tree_of_a_reused_pid() {
    in_pid_namespace(|| {
        recycle_a_hundred_times(|pid, other| vec!["--tree".into(), pid.into(), other.into()]);
    });
}
