//! How options, values and operands combine, and which combinations are refused.

use crate::support::{Received, Recorder, Victim, in_pid_namespace, sigsend, stderr, victim};

#[test]
fn the_value_of_an_option_is_never_taken_for_a_signal() {
    let mut recorder = Recorder::new();
    let pid = recorder.arg();
    let table: [(&[&str], i32, i32); 15] = [
        (&["--queue", "5", "-HUP", &pid], 1, 5),
        (&["--que", "5", "-HUP", &pid], 1, 5),
        (&["--q", "5", "-HUP", &pid], 1, 5),
        (&["-q", "5", "-HUP", &pid], 1, 5),
        (&["-q", "-1", &pid], 15, -1),
        (&["-q", "-1", "-1", &pid], 1, -1),
        (&["-1", "-q", "-1", &pid], 1, -1),
        (&["--queue", "-9", &pid], 15, -9),
        (&["--queue=-9", "-INT", &pid], 2, -9),
        (&["-q-9", "-INT", &pid], 2, -9),
        (&["-aq", "-9", &pid], 15, -9),
        (&["-aq-9", "-INT", &pid], 2, -9),
        (&["-INT", "-aq", "-9", &pid], 2, -9),
        (&[&pid, "-q", "-9"], 15, -9),
        (&[&pid, "-q", "7", "-INT"], 2, 7),
    ];
    for (args, signal, value) in table {
        sigsend()
            .args(args)
            .assert()
            .success()
            .stdout("")
            .stderr("");
        assert_eq!(
            recorder.received(),
            [Received {
                signal,
                code: -1,
                value
            }],
            "{args:?}"
        );
    }
}

#[test]
fn the_value_of_signal_may_look_like_an_option() {
    let mut recorder = Recorder::new();
    let pid = recorder.arg();
    for (args, quoted) in [
        (["-s", "-9"], "-9"),
        (["-s", "-HUP"], "-HUP"),
        (["-s", "--"], "--"),
        (["--signal", "-l"], "-l"),
    ] {
        let refused = sigsend().args(args).arg(&pid).assert().code(1).stdout("");
        let stderr = stderr(&refused);
        assert!(
            stderr.starts_with(&format!("sigsend: '{quoted}': invalid signal\n")),
            "{args:?}: {stderr}"
        );
    }
    recorder.assert_untouched();
}

#[test]
fn two_dashes_end_the_options_in_any_place() {
    let mut recorder = Recorder::new();
    let pid = recorder.arg();
    for (args, signal) in [
        (&["--", &pid][..], 15),
        (&[&pid, "--"], 15),
        (&["-HUP", "--", &pid], 1),
        (&["-s", "HUP", "--", &pid], 1),
        (&["-HUP", &pid, "--"], 1),
    ] {
        sigsend()
            .args(args)
            .assert()
            .success()
            .stdout("")
            .stderr("");
        assert_eq!(recorder.signals(), [signal], "{args:?}");
    }
    let refused = sigsend().args(["--", "-HUP", &pid]).assert().code(1);
    refused.stderr("sigsend: '-HUP': invalid target\n");
    recorder.assert_untouched();
}

#[test]
fn leading_numbers_are_signals_with_or_without_zeros() {
    let mut recorder = Recorder::new();
    let pid = recorder.arg();
    for null in ["-0", "-00", "-000"] {
        sigsend()
            .args([null, &pid])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        recorder.assert_untouched();
    }
    for (text, signal) in [("-01", 1), ("-1", 1), ("-0034", 34), ("-64", 64)] {
        sigsend()
            .args([text, &pid])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        assert_eq!(recorder.signals(), [signal], "{text}");
    }
}

#[test]
fn a_negative_number_after_a_signal_is_a_group() {
    in_pid_namespace(|| {
        for way in [
            &["-TERM"][..],
            &["-15"],
            &["-s", "15"],
            &["-sTERM"],
            &["--sig=TERM"],
            &["-an", "15"],
        ] {
            let group = victim().with_pid(9).sleeping();
            sigsend()
                .args(way)
                .arg("-9")
                .assert()
                .success()
                .stdout("")
                .stderr("");
            group.assert_killed_by(15);
        }
        let (group, other) = (victim().with_pid(9).sleeping(), Victim::sleeping());
        sigsend()
            .args([&other.arg(), "-HUP", "-9"])
            .assert()
            .success();
        group.assert_killed_by(1);
        other.assert_killed_by(1);
    });
}

#[test]
fn long_options_may_be_abbreviated_while_unambiguous() {
    let mut recorder = Recorder::new();
    let pid = recorder.arg();
    for args in [
        ["--si", "HUP"],
        ["--sig=HUP", "--all"],
        ["-HUP", "--req"],
        ["--requi", "-1"],
    ] {
        sigsend()
            .args(args)
            .arg(&pid)
            .assert()
            .success()
            .stdout("")
            .stderr("");
        assert_eq!(recorder.signals(), [1], "{args:?}");
    }
    for ambiguous in ["--t", "--p", "--al", "--ver"] {
        let refused = sigsend()
            .args([ambiguous, &pid])
            .assert()
            .code(1)
            .stdout("");
        let stderr = stderr(&refused);
        assert!(
            stderr.contains(&format!("'{ambiguous}' is ambiguous")),
            "{stderr}"
        );
    }
    recorder.assert_untouched();
}

#[test]
fn a_flag_given_twice_counts_once() {
    let mut recorder = Recorder::new();
    let pid = recorder.arg();
    sigsend()
        .args(["-a", "-HUP", "--all", "-aa", &pid])
        .assert()
        .success();
    assert_eq!(recorder.signals(), [1]);
    sigsend()
        .args(["-p", "-pp", "--pid", &pid])
        .assert()
        .success()
        .stdout(format!("{pid}\n"));
    sigsend()
        .args(["-rr", "-HUP", "-r", &pid])
        .assert()
        .success();
    assert_eq!(recorder.signals(), [1]);
}

#[test]
fn options_may_follow_targets() {
    let mut recorder = Recorder::new();
    let pid = recorder.arg();
    sigsend()
        .args([&pid, "-p"])
        .assert()
        .success()
        .stdout(format!("{pid}\n"));
    sigsend().args([&pid, "-a", "-s", "HUP"]).assert().success();
    assert_eq!(recorder.signals(), [1]);
}

#[test]
fn forms_that_exclude_each_other_are_refused() {
    let mut recorder = Recorder::new();
    let pid = recorder.arg();
    let lines = [
        "-l -l",
        "-l -t",
        "-t -l",
        "-l -L",
        "-t -L",
        "-l -d PID",
        "-d PID -t",
        "-l -HUP",
        "-HUP -l",
        "-l -s HUP",
        "-s HUP -l 9",
        "-l -9",
        "-9 -L",
        "-9 -t",
        "-t -s HUP",
        "-L -q 1",
        "-l -p",
        "-d PID -9",
        "-d PID -s HUP",
        "-HUP -d PID",
        "-p -HUP PID",
        "-p -s HUP PID",
        "-9 -p PID",
        "-p -q 1 PID",
        "-l --list=9",
        "-l9 -lTERM",
    ];
    for line in lines {
        let args = line
            .split(' ')
            .map(|word| if word == "PID" { pid.as_str() } else { word });
        let refused = sigsend().args(args).assert().code(1).stdout("");
        let stderr = stderr(&refused);
        assert!(
            stderr.contains("Usage: sigsend [options] <pid>..."),
            "{line}: {stderr}"
        );
        recorder.assert_untouched();
    }
}

#[test]
fn options_for_single_processes_refuse_groups() {
    in_pid_namespace(|| {
        let mut recorder = Recorder::new();
        let group = recorder.victim().group_arg();
        for option in [&["-q", "1"][..], &["-r"], &["-p"]] {
            for target in [group.as_str(), "0", "-1"] {
                let mut command = sigsend();
                command.args(option);
                if option != ["-p"] {
                    command.arg("-HUP");
                }
                let refused = command.args(["--", target]).assert().code(1).stdout("");
                let stderr = stderr(&refused);
                assert!(
                    stderr.contains(target) && stderr.contains("Usage: "),
                    "{option:?} {target}: {stderr}"
                );
                recorder.assert_untouched();
            }
        }
    });
}

#[test]
fn an_unknown_option_is_named() {
    let mut recorder = Recorder::new();
    for (option, named) in [
        ("--nope", "--nope"),
        ("--sginal=9", "--sginal"),
        ("-x", "-x"),
        ("-ax", "-x"),
    ] {
        let refused = sigsend()
            .args([option, &recorder.arg()])
            .assert()
            .code(1)
            .stdout("");
        let stderr = stderr(&refused);
        assert!(
            stderr.contains(named) && stderr.contains("Usage: sigsend"),
            "{stderr}"
        );
    }
    recorder.assert_untouched();
}
