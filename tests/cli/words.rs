//! The exact messages: errors on standard error with the program's name as called and the token as
//! typed, and no output on success.

use std::process::Stdio;

use assert_cmd::Command;
use predicates::prelude::*;

use crate::support::{
    NOBODY, Recorder, SIGSEND, Timed, Unprivileged, Victim, in_pid_namespace, link,
    may_change_user, program, raw_sigsend, sigsend, sigsend_as, skip, stderr, stdout, victim,
};

/// The message of `kill args`, which must fail.
fn complaint(args: &[&str]) -> String {
    let refused = sigsend_as("kill").args(args).assert().code(1).stdout("");
    stderr(&refused)
}

#[test]
fn a_value_that_does_not_parse_is_quoted() {
    let table: [(&[&str], &str); 18] = [
        (&["-s", "65", "1"], "kill: '65': invalid signal"),
        (&["-65", "7"], "kill: '65': invalid signal"),
        (&["-NOPE", "7"], "kill: 'NOPE': invalid signal"),
        (&["--signal=UNUSED", "7"], "kill: 'UNUSED': invalid signal"),
        (&["-n", "137", "7"], "kill: '137': invalid signal"),
        (&["-s", "RTMIN3", "7"], "kill: 'RTMIN3': invalid signal"),
        (&["-s", "+1", "7"], "kill: '+1': invalid signal"),
        (&["-s", "", "7"], "kill: '': invalid signal"),
        (&["12,34"], "kill: '12,34': invalid target"),
        (&[""], "kill: '': invalid target"),
        (&["-"], "kill: '-': invalid target"),
        (&["+1"], "kill: '+1': invalid target"),
        (&["--", "-0"], "kill: '-0': invalid target"),
        (&["-9", "-01"], "kill: '-01': invalid target"),
        (&["0x7b"], "kill: '0x7b': invalid target"),
        (&[" -5"], "kill: ' -5': invalid target"),
        (&["4294967295"], "kill: '4294967295': invalid target"),
        (&["%1"], "kill: '%1': invalid target"),
    ];
    for (args, line) in table {
        let complaint = complaint(args);
        assert_eq!(complaint.lines().next(), Some(line), "{args:?}");
    }
}

#[test]
fn job_numbers_are_refused_with_a_hint_at_the_shell() {
    assert!(complaint(&["%1"]).contains("shell"));
    assert!(complaint(&["-TERM", "%%"]).contains("shell"));
}

#[test]
fn a_usage_error_shows_the_usage_and_points_to_help() {
    let complaint = complaint(&[]);
    let lines: Vec<_> = complaint.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "kill: no process ID specified",
            "Usage: kill [options] <pid>..."
        ]
    );
    assert!(lines[2..].concat().contains("kill --help"), "{complaint}");
    for args in [
        &["-9"][..],
        &["--"],
        &["-s", "TERM"],
        &["-a"],
        &["-q", "-1"],
        &["-p"],
    ] {
        assert_eq!(self::complaint(args), complaint, "{args:?}");
    }
}

#[test]
fn a_negative_number_after_a_target_gets_both_hints() {
    for (args, number) in [
        (["123", "-9"], "-9"),
        (["123", "-15"], "-15"),
        (["123", "-0"], "-0"),
    ] {
        let complaint = complaint(&args);
        assert!(
            complaint.contains("Usage: kill [options] <pid>..."),
            "{complaint}"
        );
        assert!(
            complaint.contains(&format!("'kill {number} PID' puts the signal first")),
            "{complaint}"
        );
        assert!(
            complaint.contains("-- "),
            "no hint for the group: {complaint}"
        );
    }
}

/// Refused lines with the error and the hint, including options that took a PID as their value.
const HINTS: [(&[&str], &str, &str); 33] = [
    (
        &[""],
        "'': invalid target",
        "the token was empty; is a variable unset?",
    ),
    (
        &["-s", "", "7"],
        "'': invalid signal",
        "the signal was empty; is a variable unset?",
    ),
    (
        &["-"],
        "'-': invalid target",
        "'--pidfile -' reads targets from standard input; or is a variable unset after the '-'?",
    ),
    (
        &["-TERM", "-"],
        "'-': invalid target",
        "'--pidfile -' reads targets from standard input; or is a variable unset after the '-'?",
    ),
    (
        &["/run/x.pid"],
        "'/run/x.pid': invalid target",
        "'--pidfile /run/x.pid' reads targets from a file",
    ),
    (
        &["-HUP", "./x\x1b"],
        "'./x\\x1b': invalid target",
        "'--pidfile ./x\\x1b' reads targets from a file",
    ),
    (
        &["12,34"],
        "'12,34': invalid target",
        "each target is a word of its own: 12 34",
    ),
    (
        &["12 34"],
        "'12 34': invalid target",
        "each target is a word of its own: 12 34",
    ),
    (
        &["12\n34\n"],
        "'12\\x0a34\\x0a': invalid target",
        "each target is a word of its own: 12 34",
    ),
    (&["12,x"], "'12,x': invalid target", ""),
    (
        &["4294967295"],
        "'4294967295': invalid target",
        "a PID is 1 to 2147483647",
    ),
    (
        &["qz.service"],
        "cannot find process \"qz.service\"",
        "'systemctl kill qz.service' signals a systemd unit, --cgroup DIR a control group",
    ),
    (
        &["-TRM", "7"],
        "'TRM': invalid signal",
        "did you mean TERM?",
    ),
    (
        &["-4242"],
        "'4242': invalid signal",
        "'kill -- -4242' means the process group",
    ),
    (&["-help"], "unknown option '-e'", "did you mean --help?"),
    (
        &["-wait", "7"],
        "unknown option '-i'",
        "did you mean --wait?",
    ),
    (
        &["--sginal=9", "7"],
        "unknown option '--sginal'",
        "did you mean --signal?",
    ),
    (
        &["--kill", "7"],
        "unknown option '--kill'",
        "did you mean -KILL?",
    ),
    (
        &["--force", "7"],
        "unknown option '--force'",
        "'-KILL' is the signal that no process can catch; '--grace 10s' sends TERM first",
    ),
    (&["--zzz", "7"], "unknown option '--zzz'", ""),
    (&["-ax", "7"], "unknown option '-x'", ""),
    (&["--all=1", "7"], "'--all' takes no value", ""),
    (&["-q"], "'--queue' is missing a value: --queue VALUE", ""),
    (
        &["--timeout", "5s"],
        "'--timeout' is missing a value: --timeout DURATION SIGNAL",
        "",
    ),
    (&["-q1", "-q2", "7"], "'--queue' can be given only once", ""),
    (
        &["--expect", "4242"],
        "no process ID specified",
        "'--expect' took '4242' as its value",
    ),
    (
        &["--grace", "4242"],
        "4242 needs a unit, such as 4242s",
        "'--grace' took '4242' as its value",
    ),
    (
        &["--within", "4242"],
        "4242 needs a unit, such as 4242s",
        "'--within' took '4242' as its value",
    ),
    (
        &["--timeout", "5s", "4242"],
        "'4242': invalid signal",
        "'--timeout' took '4242' as its value",
    ),
    (
        &["--timeout", "5s", "15"],
        "no process ID specified",
        "'--timeout' took '15' as its value",
    ),
    (
        &["-q", "4242"],
        "no process ID specified",
        "'-q' took '4242' as its value",
    ),
    (&["-d", "0"], "'0': invalid process ID", ""),
    (&["--grace", "5", "7"], "5 needs a unit, such as 5s", ""),
];

#[test]
fn errors_with_a_known_cause_have_a_hint() {
    for (args, error, hint) in HINTS {
        let mut command = raw_sigsend();
        std::os::unix::process::CommandExt::arg0(&mut command, "kill");
        let output = command
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("it starts");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        let mut lines = stderr
            .lines()
            .filter(|line| !line.starts_with("Usage: ") && !line.starts_with("Try "));
        assert_eq!(
            lines.next(),
            Some(format!("kill: {error}").as_str()),
            "{args:?}: {stderr}"
        );
        assert_eq!(lines.next().unwrap_or_default(), hint, "{args:?}: {stderr}");
        assert_eq!(
            (output.status.code(), lines.next()),
            (Some(1), None),
            "{args:?}: {stderr}"
        );
    }
}

#[test]
fn targets_on_a_pipe_need_an_option() {
    let hint = "'--pidfile -' reads targets from standard input\n";
    let piped = sigsend().write_stdin("4242\n").assert().code(1).stdout("");
    assert!(stderr(&piped).contains(hint), "{}", stderr(&piped));
    let output = raw_sigsend()
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    assert!(
        !String::from_utf8_lossy(&output.stderr).contains(hint),
        "a hint although standard input is no pipe"
    );
}

#[test]
fn the_process_of_a_thread_is_suggested() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        sender
            .send(nix::unistd::gettid().to_string())
            .expect("it is received");
        // Returns when the other end is dropped.
        wait.recv().unwrap_err();
    });
    let (id, process) = (receiver.recv().expect("a thread ID"), std::process::id());
    let line = format!("sending signal to {id} failed: {id} is a thread of {process}");
    let refused = sigsend()
        .args(["-0", "--within", "5s", &id])
        .assert()
        .code(1)
        .stdout("");
    refused.stderr(format!("sigsend: {line}\ndid you mean {process}?\n"));
    drop(done);
    thread.join().expect("the thread ends");
}

#[test]
fn a_similar_name_is_suggested_and_escaped() {
    in_pid_namespace(|| {
        let nginx = victim().named("nginx").sleeping();
        for near in ["NGINX", "ngnix", "nginxx"] {
            let refused = sigsend().arg(near).assert().code(1).stdout("");
            refused.stderr(format!(
                "sigsend: cannot find process \"{near}\"\ndid you mean nginx?\n"
            ));
        }
        nginx.assert_alive();
        let hostile = victim().named("q\x1bzq").sleeping();
        let refused = sigsend().arg("qzq").assert().code(1).stdout("");
        refused.stderr("sigsend: cannot find process \"qzq\"\ndid you mean q\\x1bzq?\n");
        hostile.assert_alive();
    });
}

#[test]
fn a_kernel_thread_is_not_waited_for() {
    if std::fs::read_to_string("/proc/2/comm").unwrap_or_default() != "kthreadd\n" {
        return skip("no kernel threads in this PID namespace");
    }
    for args in [
        &["-0", "--within", "5s"][..],
        &["--dry-run", "--wait"],
        &["--dry-run", "--grace", "5s"],
    ] {
        let refused = sigsend().args(args).arg("2").assert().code(1);
        let stderr = stderr(&refused);
        assert!(
            stderr.contains("is a kernel thread, which no signal ends"),
            "{args:?}: {stderr}"
        );
    }
}

#[test]
fn a_process_in_a_group_of_another_pid_namespace_is_no_kernel_thread() {
    let script = "sleep 60 & \"$0\" -0 --within 0s $!; exec echo $?";
    let mut command = Command::new("unshare");
    command.args([
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        "sh",
        "-c",
        script,
        SIGSEND,
    ]);
    let output = command.timed().output().expect("unshare starts");
    let told = String::from_utf8_lossy(&output.stderr);
    if told.starts_with("unshare: ") {
        return skip(told);
    }
    assert_eq!(
        (&*output.stdout, told.contains("is still there after")),
        (&b"124\n"[..], true),
        "{told}"
    );
}

#[test]
fn an_error_about_two_signals_names_both() {
    for args in [["-TERM", "-HUP", "7"], ["-s15", "-sHUP", "7"]] {
        let complaint = complaint(&args);
        assert!(
            complaint.contains("TERM")
                && complaint.contains("HUP")
                && complaint.contains("Usage: kill"),
            "{complaint}"
        );
    }
}

#[test]
fn messages_start_with_the_name_by_which_the_program_was_called() {
    for (argv0, name) in [
        ("kill", "kill"),
        ("/some/where/kill", "kill"),
        ("./x y", "x y"),
        ("sigsend", "sigsend"),
    ] {
        let refused = sigsend_as(argv0).arg("12,34").assert().code(1);
        refused.stderr(predicate::str::starts_with(format!(
            "{name}: '12,34': invalid target\n"
        )));
        let refused = sigsend_as(argv0).assert().code(1);
        refused.stderr(predicate::str::contains(format!(
            "\nUsage: {name} [options] <pid>...\n"
        )));
    }
    let (_dir, kill) = link(SIGSEND.as_ref(), "kill");
    let refused = Command::new(kill).timed().arg("12,34").assert().code(1);
    refused.stderr(predicate::str::starts_with(
        "kill: '12,34': invalid target\n",
    ));
}

#[test]
fn an_outcome_is_reported_with_the_text_of_its_errno() {
    in_pid_namespace(|| {
        let gone = Victim::gone().to_string();
        let failed =
            |target: &str| format!("kill: sending signal to {target} failed: No such process\n");
        sigsend_as("kill")
            .arg(&gone)
            .assert()
            .code(1)
            .stdout("")
            .stderr(failed(&gone));
        // The token as typed, not only its parsed value, and always on one line.
        let spellings = [
            format!("00{gone}"),
            format!(" {gone} "),
            format!("{gone}\n"),
        ];
        for (spelling, shown) in spellings.iter().zip([
            format!("00{gone}"),
            format!(" {gone} "),
            format!("{gone}\\x0a"),
        ]) {
            let failed = sigsend_as("kill")
                .args(["-HUP", spelling])
                .assert()
                .code(1)
                .stdout("");
            let line = stderr(&failed);
            assert!(
                line.starts_with(&format!("kill: sending signal to {shown}")),
                "{line}"
            );
            assert!(
                line.ends_with(" failed: No such process\n") && line.lines().count() == 1,
                "{line}"
            );
        }
        let group = format!("-{gone}");
        sigsend_as("kill")
            .args(["--", &group])
            .assert()
            .code(1)
            .stderr(failed(&group));
        sigsend_as("kill")
            .arg("ngnix")
            .assert()
            .code(1)
            .stderr("kill: cannot find process \"ngnix\"\n");
    });
}

#[test]
fn a_permission_error_names_the_owner_of_the_process() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        let refused = Unprivileged::new()
            .sigsend()
            .arg("1")
            .assert()
            .code(1)
            .stdout("");
        let stderr = stderr(&refused);
        assert!(
            stderr.starts_with("sigsend: sending signal to 1 failed: Operation not permitted\n"),
            "{stderr}"
        );
        assert!(
            stderr.lines().count() == 2 && stderr.contains("root"),
            "{stderr}"
        );
    });
}

#[test]
fn a_permission_error_names_no_owner_to_root() {
    let Some(setpriv) = program("setpriv").filter(|_| may_change_user()) else {
        return skip("needs root and setpriv");
    };
    let theirs = victim().owned_by(NOBODY).sleeping();
    let mut command = Command::new(setpriv).timed();
    command.args([
        "--bounding-set=-kill",
        "--inh-caps=-kill",
        SIGSEND,
        &theirs.arg(),
    ]);
    let line = format!(
        "sigsend: sending signal to {} failed: Operation not permitted\n",
        theirs.pid()
    );
    command.assert().code(1).stdout("").stderr(line);
    theirs.assert_alive();
}

#[test]
fn control_characters_never_reach_the_terminal() {
    for token in ["a\nb", "12\x1b[31m", "\u{9b}1", "x\r", "-s\x07"] {
        let complaint = complaint(&["--", token]);
        let safe = complaint
            .trim_end_matches('\n')
            .split('\n')
            .all(|line| !line.contains(char::is_control));
        assert!(safe, "{complaint:?}");
        assert_eq!(
            complaint
                .lines()
                .next()
                .map(|line| line.ends_with("invalid target")),
            Some(true),
            "{complaint:?}"
        );
    }
    let bad_signal = complaint(&["-s", "\x1b]0;x\x07", "7"]);
    assert!(
        !bad_signal.replace('\n', "").contains(char::is_control),
        "{bad_signal:?}"
    );
    for (option, shown) in [
        ("--no\x1bpe", r"--no\x1bpe"),
        ("--foo\nbar", r"--foo\x0abar"),
        ("-\n", r"-\x0a"),
    ] {
        let complaint = complaint(&[option, "7"]);
        assert_eq!(
            complaint.lines().next(),
            Some(format!("kill: unknown option '{shown}'").as_str()),
            "{complaint:?}"
        );
    }
}

#[test]
fn success_prints_nothing() {
    let mut recorders = [(); 2].map(|()| Recorder::new());
    let pids = recorders.each_ref().map(Recorder::arg);
    sigsend()
        .arg("-HUP")
        .args(pids)
        .assert()
        .success()
        .stdout("")
        .stderr("");
    for recorder in &mut recorders {
        assert_eq!(recorder.signals(), [1]);
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (option, long) in [("-h", false), ("--help", true)] {
        let help = sigsend_as("kill").arg(option).assert().success().stderr("");
        let text = stdout(&help);
        assert!(text.contains("Usage: kill [options]"), "{text}");
        assert_eq!(text.contains("--generate"), long, "{option}");
        for word in [
            "--signal",
            "--queue",
            "--list",
            "--table",
            "--all",
            "--pid",
            "--require-handler",
        ] {
            assert!(text.contains(word), "{option} lacks {word}");
        }
    }
    let version = concat!(" ", env!("CARGO_PKG_VERSION"), "\n");
    for option in ["-V", "--version"] {
        sigsend()
            .arg(option)
            .assert()
            .success()
            .stdout(format!("sigsend{version}"))
            .stderr("");
    }
}

#[test]
fn closed_standard_descriptors_do_not_crash() {
    // std would open /dev/null in place of a closed descriptor, so a shell closes it.
    let run = |redirections: &str, args: &[&str]| {
        let mut shell = std::process::Command::new("sh");
        let script = format!("exec \"$0\" \"$@\" {redirections}");
        shell
            .args(["-c", &script])
            .arg(raw_sigsend().get_program())
            .args(args);
        Command::from_std(shell)
            .timed()
            .output()
            .expect("sh starts")
            .status
            .code()
    };
    let mut recorder = Recorder::new();
    for redirections in ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"] {
        assert_eq!(
            run(redirections, &["-HUP", &recorder.arg()]),
            Some(0),
            "{redirections}"
        );
        assert_eq!(recorder.signals(), [1], "{redirections}");
        assert_eq!(run(redirections, &["12,34"]), Some(1), "{redirections}");
        assert_eq!(run(redirections, &["-HUP"]), Some(1), "{redirections}");
    }
}
