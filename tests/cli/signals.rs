//! Which signal arrives, how often, with which value, and its effect on the target.

use crate::support::{
    IDLE, NOBODY, Received, Recorder, SIGSEND, Unprivileged, Victim, eventually, in_pid_namespace,
    link, may_change_user, sigsend, skip, stderr, strace, tempdir, victim,
};

/// `si_code` of kill(2) and of sigqueue(3).
const SI_USER: i32 = 0;
const SI_QUEUE: i32 = -1;

/// Every form of a signal on the command line.
fn ways(signal: &str) -> [Vec<String>; 9] {
    let words = |words: &[&str]| words.iter().map(|word| word.replace('X', signal)).collect();
    [
        words(&["-s", "X"]),
        words(&["-sX"]),
        words(&["--signal", "X"]),
        words(&["--signal=X"]),
        words(&["--sig", "X"]),
        words(&["-n", "X"]),
        words(&["-nX"]),
        words(&["-X"]),
        words(&["-a", "-X"]),
    ]
}

#[test]
fn every_spelling_of_a_signal_arrives_as_that_signal() {
    let spellings = [
        ("HUP", 1),
        ("SIGHUP", 1),
        ("hup", 1),
        ("SigHup", 1),
        ("1", 1),
        ("01", 1),
        ("0000000001", 1),
        ("int", 2),
        ("IOT", 6),
        ("ABRT", 6),
        ("usr1", 10),
        ("SIGUSR2", 12),
        ("15", 15),
        ("CLD", 17),
        ("SIGCLD", 17),
        ("CHLD", 17),
        ("POLL", 29),
        ("IO", 29),
        ("pwr", 30),
        ("34", 34),
        ("RTMIN", 34),
        ("RTMIN+0", 34),
        ("RTMIN+3", 37),
        ("sigrtmin+3", 37),
        ("RT3", 37),
        ("RTMAX-14", 50),
        ("rtmax-1", 63),
        ("SIGRTMAX", 64),
        ("RT30", 64),
        ("RTMIN+30", 64),
        ("064", 64),
    ];
    let mut recorder = Recorder::new();
    for (spelling, number) in spellings {
        for way in ways(spelling) {
            sigsend()
                .args(&way)
                .arg(recorder.arg())
                .assert()
                .success()
                .stdout("")
                .stderr("");
            assert_eq!(recorder.signals(), [number], "{way:?}");
        }
    }
}

#[test]
fn a_signal_after_the_target_is_still_the_signal() {
    let mut recorder = Recorder::new();
    for way in [
        ["-HUP", ""],
        ["-hup", ""],
        ["-s", "HUP"],
        ["--signal=1", ""],
        ["-n", "1"],
    ] {
        sigsend()
            .arg(recorder.arg())
            .args(way.iter().filter(|word| !word.is_empty()))
            .assert()
            .success();
        assert_eq!(recorder.signals(), [1], "{way:?}");
    }
}

#[test]
fn every_number_that_can_be_caught_arrives_once_through_kill() {
    let mut recorder = Recorder::new();
    for signal in (1..=64).filter(|signal| ![9, 19, 32, 33].contains(signal)) {
        sigsend()
            .args([format!("-{signal}"), recorder.arg()])
            .assert()
            .success();
        let heard: Vec<_> = recorder
            .received()
            .iter()
            .map(|heard| (heard.signal, heard.code))
            .collect();
        assert_eq!(heard, [(signal, SI_USER)]);
    }
}

#[test]
fn the_default_signal_is_term() {
    let sleeper = Victim::sleeping();
    sigsend()
        .arg(sleeper.arg())
        .assert()
        .success()
        .stdout("")
        .stderr("");
    sleeper.assert_killed_by(15);
}

#[test]
fn numbers_without_a_name_are_sent() {
    for number in [32, 33] {
        let sleeper = Victim::sleeping();
        sigsend()
            .args(["-s", &number.to_string(), &sleeper.arg()])
            .assert()
            .success();
        sleeper.assert_killed_by(number);
    }
}

#[test]
fn stop_cont_and_kill_have_their_effect() {
    let sleeper = Victim::sleeping();
    sigsend().args(["-STOP", &sleeper.arg()]).assert().success();
    sleeper.assert_state('T');
    sigsend().args(["-TERM", &sleeper.arg()]).assert().success();
    sleeper.assert_alive();
    sleeper.assert_state('T');
    sigsend().args(["-CONT", &sleeper.arg()]).assert().success();
    sleeper.assert_killed_by(15);

    let stopped = victim().stopped();
    sigsend().args(["-9", &stopped.arg()]).assert().success();
    stopped.assert_killed_by(9);
}

#[test]
fn a_child_that_traps_term_cleans_up_first() {
    let dir = tempdir();
    let lock = dir.file("lock", "");
    let script = format!(
        "trap 'rm \"{}\"; echo clean; exit 3' TERM; echo ready; {IDLE}",
        lock.display()
    );
    let mut child = Victim::shell(&script);
    sigsend().arg(child.arg()).assert().success();
    assert_eq!(child.read_line(), "clean");
    child.assert_exited_with(3);
    assert!(!lock.exists());
}

#[test]
fn a_child_that_ignores_term_needs_kill() {
    let deaf = Victim::shell(&format!("trap '' TERM; echo ready; {IDLE}"));
    sigsend().arg(deaf.arg()).assert().success();
    deaf.assert_alive();
    sigsend().args(["-KILL", &deaf.arg()]).assert().success();
    deaf.assert_killed_by(9);
}

#[test]
fn a_child_that_reloads_on_hup_reloads_each_time() {
    let mut daemon = Victim::shell(&format!("trap 'echo reloaded' HUP; echo ready; {IDLE}"));
    for _ in 0..2 {
        sigsend().args(["-HUP", &daemon.arg()]).assert().success();
        assert_eq!(daemon.read_line(), "reloaded");
    }
    daemon.assert_alive();
}

#[test]
fn realtime_signals_queue_up_and_arrive_by_number() {
    let mut recorder = Recorder::holding();
    let pid = recorder.arg();
    for args in [
        ["-RTMAX", "-q1"],
        ["-RTMIN+2", "-q2"],
        ["-RTMIN+1", "-q3"],
        ["-RTMIN+1", "-q4"],
        ["-USR1", "-q5"],
        ["-RTMIN+1", "-q6"],
    ] {
        sigsend().args(args).arg(&pid).assert().success();
    }
    let heard: Vec<_> = recorder
        .received()
        .iter()
        .map(|heard| (heard.signal, heard.value))
        .collect();
    assert_eq!(
        heard,
        [(10, 5), (35, 3), (35, 4), (35, 6), (36, 2), (64, 1)]
    );
}

#[test]
fn a_pid_typed_twice_is_signalled_twice() {
    let mut recorder = Recorder::holding();
    sigsend()
        .args(["-RTMIN", &recorder.arg(), &format!("0{}", recorder.arg())])
        .assert()
        .success();
    assert_eq!(recorder.signals(), [34, 34]);
}

#[test]
fn a_queued_value_is_received_with_the_signal() {
    let mut recorder = Recorder::new();
    for (args, value) in [
        (&["-q", "42"][..], 42),
        (&["-q42"], 42),
        (&["-q", "0"], 0),
        (&["-q", "-1"], -1),
        (&["-q-7"], -7),
        (&["--queue", "-2147483648"], i32::MIN),
        (&["--queue=2147483647"], i32::MAX),
        (&["--que", "5"], 5),
    ] {
        for signal in ["-USR1", "-sUSR1", "-n10"] {
            sigsend()
                .args(args)
                .args([signal, &recorder.arg()])
                .assert()
                .success()
                .stdout("")
                .stderr("");
            assert_eq!(
                recorder.received(),
                [Received {
                    signal: 10,
                    code: SI_QUEUE,
                    value
                }],
                "{args:?} {signal}"
            );
        }
    }
    sigsend()
        .args(["-q", "8", &recorder.arg()])
        .assert()
        .success();
    assert_eq!(
        recorder.received(),
        [Received {
            signal: 15,
            code: SI_QUEUE,
            value: 8
        }]
    );
    sigsend()
        .args(["-q", "8", "-0", &recorder.arg()])
        .assert()
        .success();
    recorder.assert_untouched();
}

#[test]
fn a_queued_value_reaches_processes_by_name() {
    in_pid_namespace(|| {
        let mut recorders = [(); 2].map(|()| Recorder::of(victim().named("queueing")));
        let mut bystander = Recorder::of(victim().named("queuein"));
        sigsend()
            .args(["-q", "-3", "-RTMIN+4", "queueing"])
            .assert()
            .success();
        for recorder in &mut recorders {
            assert_eq!(
                recorder.received(),
                [Received {
                    signal: 38,
                    code: SI_QUEUE,
                    value: -3
                }]
            );
        }
        bystander.assert_untouched();
    });
}

#[test]
fn signal_0_checks_and_sends_nothing() {
    let mut recorder = Recorder::new();
    for null in ["0", "00", "EXIT", "exit", "NULL", "SIGNULL", "SIGEXIT"] {
        for way in ways(null) {
            sigsend()
                .args(&way)
                .arg(recorder.arg())
                .assert()
                .success()
                .stdout("")
                .stderr("");
            recorder.assert_untouched();
        }
    }
    // A zombie still has its PID, and kill(2) succeeds.
    sigsend()
        .args(["-0", &Victim::zombie().arg()])
        .assert()
        .success()
        .stdout("")
        .stderr("");
}

#[test]
fn signal_0_reports_that_a_process_is_gone() {
    in_pid_namespace(|| {
        let gone = Victim::gone().to_string();
        let line = format!("sigsend: sending signal to {gone} failed: No such process\n");
        sigsend()
            .args(["-0", &gone])
            .assert()
            .code(1)
            .stdout("")
            .stderr(line);
    });
}

#[test]
fn a_process_of_another_user_is_neither_signalled_nor_gone() {
    if !may_change_user() {
        return skip("needs root");
    }
    let mut ours = Recorder::new();
    let unprivileged = Unprivileged::new();
    for signal in ["-0", "-TERM", "-RTMIN", "-q1"] {
        let refused = unprivileged
            .sigsend()
            .args([signal, &ours.arg()])
            .assert()
            .code(1)
            .stdout("");
        let stderr = stderr(&refused);
        let line = format!(
            "sigsend: sending signal to {} failed: Operation not permitted\n",
            ours.arg()
        );
        assert!(stderr.starts_with(&line), "{signal}: {stderr}");
        assert!(stderr.contains("root"), "no owner in {stderr}");
        ours.assert_untouched();
    }
    let theirs = victim().owned_by(NOBODY).sleeping();
    unprivileged
        .sigsend()
        .args(["-0", &theirs.arg()])
        .assert()
        .success();
    sigsend().args(["-0", &theirs.arg()]).assert().success();
    unprivileged.sigsend().arg(theirs.arg()).assert().success();
    theirs.assert_killed_by(15);
}

#[test]
fn a_target_that_fails_does_not_affect_the_others() {
    in_pid_namespace(|| {
        let gone = Victim::gone().to_string();
        let line = format!("sigsend: sending signal to {gone} failed: No such process\n");
        let (first, last) = (Victim::sleeping(), Victim::sleeping());
        let mut bystander = Recorder::new();
        let targets = [&first.arg(), &gone, &last.arg()];
        sigsend()
            .args(targets)
            .assert()
            .code(64)
            .stdout("")
            .stderr(line.clone());
        first.assert_killed_by(15);
        last.assert_killed_by(15);
        sigsend()
            .args(["-HUP", &gone, &gone])
            .assert()
            .code(1)
            .stderr(line.repeat(2));
        bystander.assert_untouched();
    });
}

#[test]
fn a_link_called_kill_is_kill() {
    let (_dir, kill) = link(SIGSEND.as_ref(), "kill");
    let mut recorder = Recorder::new();
    let run = |args: &[&str]| {
        assert_cmd::Command::new(&kill)
            .args(args)
            .assert()
            .success()
    };
    for args in [["-HUP"], ["-1"], ["-s1"]] {
        run(&[args[0], &recorder.arg()]).stdout("").stderr("");
        assert_eq!(recorder.signals(), [1]);
    }
    run(&["-l", "9"]).stdout("KILL\n");
}

#[test]
fn a_plain_pid_makes_one_kill_call_and_reads_no_proc() {
    let mut recorder = Recorder::new();
    let pid = recorder.arg();
    let Some(trace) = strace("trace=all", &["-HUP", &pid]) else {
        return;
    };
    assert!(trace.output.status.success());
    eventually("the signal", || recorder.signals() == [1]);
    let kills: Vec<_> = trace
        .calls
        .iter()
        .filter(|call| call.contains("kill") && !call.starts_with("execve"))
        .collect();
    assert_eq!(kills.len(), 1, "{kills:#?}");
    assert!(
        kills[0].starts_with(&format!("kill({pid}, SIGHUP)")),
        "{kills:?}"
    );
    let looks = [
        "pidfd",
        "wait",
        "ptrace",
        "process_",
        "sched_get",
        "getpgid",
        "getsid",
        "getpriority",
        "prlimit",
    ];
    for call in &trace.calls {
        let at_itself = [
            "/proc/self/",
            "prlimit64(0,",
            &format!("sched_getaffinity({},", trace.pid),
        ];
        let at_itself = at_itself.iter().any(|own| call.contains(own));
        let looks = call.contains("/proc") || looks.iter().any(|look| call.starts_with(look));
        assert!(at_itself || !looks, "{call}");
        assert!(
            call.starts_with("execve(") || call.starts_with("kill(") || !call.contains(&pid),
            "{call}"
        );
    }
}
