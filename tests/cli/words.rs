//! What the program says, to the letter: errors on standard error with the caller's name for the program and the user's
//! own token, nothing when all is well.

use assert_cmd::Command;
use predicates::prelude::*;

use crate::support::{
    Recorder, SIGSEND, Timed, Unprivileged, Victim, in_pid_namespace, link, may_change_user, raw_sigsend, sigsend,
    sigsend_as, skip, stderr, stdout,
};

/// What `kill args` says when it refuses.
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
fn job_numbers_belong_to_the_shell() {
    assert!(complaint(&["%1"]).contains("shell"));
    assert!(complaint(&["-TERM", "%%"]).contains("shell"));
}

#[test]
fn a_usage_error_shows_the_usage_and_where_to_read_on() {
    let complaint = complaint(&[]);
    let lines: Vec<_> = complaint.lines().collect();
    assert_eq!(lines[..2], ["kill: no process ID specified", "Usage: kill [options] <pid>..."]);
    assert!(lines[2..].concat().contains("kill --help"), "{complaint}");
    for args in [&["-9"][..], &["--"], &["-s", "TERM"], &["-a"], &["-q", "1"], &["-p"]] {
        assert_eq!(self::complaint(args), complaint, "{args:?}");
    }
}

#[test]
fn a_number_behind_a_target_gets_both_cures() {
    for (args, number) in [(["123", "-9"], "-9"), (["123", "-15"], "-15"), (["123", "-0"], "-0")] {
        let complaint = complaint(&args);
        assert!(complaint.contains("Usage: kill [options] <pid>..."), "{complaint}");
        assert!(complaint.contains(&format!("'kill {number} PID' puts the signal first")), "{complaint}");
        assert!(complaint.contains("-- "), "how to mean the group: {complaint}");
    }
}

#[test]
fn two_signals_are_named_in_the_complaint() {
    for args in [["-TERM", "-HUP", "7"], ["-s15", "-sHUP", "7"]] {
        let complaint = complaint(&args);
        assert!(
            complaint.contains("TERM") && complaint.contains("HUP") && complaint.contains("Usage: kill"),
            "{complaint}"
        );
    }
}

#[test]
fn the_program_is_called_what_its_caller_calls_it() {
    for (argv0, name) in [("kill", "kill"), ("/some/where/kill", "kill"), ("./x y", "x y"), ("sigsend", "sigsend")] {
        let refused = sigsend_as(argv0).arg("12,34").assert().code(1);
        refused.stderr(predicate::str::starts_with(format!("{name}: '12,34': invalid target\n")));
        let refused = sigsend_as(argv0).assert().code(1);
        refused.stderr(predicate::str::contains(format!("\nUsage: {name} [options] <pid>...\n")));
    }
    let (_dir, kill) = link(SIGSEND.as_ref(), "kill");
    let refused = Command::new(kill).timed().arg("12,34").assert().code(1);
    refused.stderr(predicate::str::starts_with("kill: '12,34': invalid target\n"));
}

#[test]
fn an_outcome_is_said_in_the_words_of_the_kernel() {
    in_pid_namespace(|| {
        let gone = Victim::gone().to_string();
        let failed = |target: &str| format!("kill: sending signal to {target} failed: No such process\n");
        sigsend_as("kill").arg(&gone).assert().code(1).stdout("").stderr(failed(&gone));
        // The user's own spelling, not only what was read from it, and on one line whatever it holds.
        let spellings = [format!("00{gone}"), format!(" {gone} "), format!("{gone}\n")];
        for (spelling, shown) in
            spellings.iter().zip([format!("00{gone}"), format!(" {gone} "), format!("{gone}\\x0a")])
        {
            let failed = sigsend_as("kill").args(["-HUP", spelling]).assert().code(1).stdout("");
            let line = stderr(&failed);
            assert!(line.starts_with(&format!("kill: sending signal to {shown}")), "{line}");
            assert!(line.ends_with(" failed: No such process\n") && line.lines().count() == 1, "{line}");
        }
        let group = format!("-{gone}");
        sigsend_as("kill").args(["--", &group]).assert().code(1).stderr(failed(&group));
        sigsend_as("kill").arg("ngnix").assert().code(1).stderr("kill: cannot find process \"ngnix\"\n");
    });
}

#[test]
fn what_is_not_permitted_comes_with_its_owner() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        let refused = Unprivileged::new().sigsend().arg("1").assert().code(1).stdout("");
        let stderr = stderr(&refused);
        assert!(stderr.starts_with("sigsend: sending signal to 1 failed: Operation not permitted\n"), "{stderr}");
        assert!(stderr.lines().count() == 2 && stderr.contains("root"), "{stderr}");
    });
}

#[test]
fn control_characters_never_reach_the_terminal() {
    for token in ["a\nb", "12\x1b[31m", "\u{9b}1", "x\r", "-s\x07"] {
        let complaint = complaint(&["--", token]);
        let safe = complaint.trim_end_matches('\n').split('\n').all(|line| !line.contains(char::is_control));
        assert!(safe, "{complaint:?}");
        assert_eq!(complaint.lines().next().map(|line| line.ends_with("invalid target")), Some(true), "{complaint:?}");
    }
    let bad_signal = complaint(&["-s", "\x1b]0;x\x07", "7"]);
    assert!(!bad_signal.replace('\n', "").contains(char::is_control), "{bad_signal:?}");
    let bad_option = complaint(&["--no\x1bpe", "7"]);
    assert!(!bad_option.replace('\n', "").contains(char::is_control), "{bad_option:?}");
}

#[test]
fn silence_is_success() {
    let mut recorders = [(); 2].map(|()| Recorder::new());
    let pids = recorders.each_ref().map(Recorder::arg);
    sigsend().arg("-HUP").args(pids).assert().success().stdout("").stderr("");
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
        for word in ["--signal", "--queue", "--list", "--table", "--all", "--pid", "--require-handler"] {
            assert!(text.contains(word), "{option} knows {word}");
        }
    }
    let version = concat!(" ", env!("CARGO_PKG_VERSION"), "\n");
    for option in ["-V", "--version"] {
        sigsend().arg(option).assert().success().stdout(format!("sigsend{version}")).stderr("");
    }
}

#[test]
fn closed_standard_files_are_survived() {
    // std opens /dev/null in place of what is closed; the shell closes it for real.
    let run = |redirections: &str, args: &[&str]| {
        let mut shell = std::process::Command::new("sh");
        let script = format!("exec \"$0\" \"$@\" {redirections}");
        shell.args(["-c", &script]).arg(raw_sigsend().get_program()).args(args);
        Command::from_std(shell).timed().output().expect("sh starts").status.code()
    };
    let mut recorder = Recorder::new();
    for redirections in ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"] {
        assert_eq!(run(redirections, &["-HUP", &recorder.arg()]), Some(0), "{redirections}");
        assert_eq!(recorder.signals(), [1], "{redirections}");
        assert_eq!(run(redirections, &["12,34"]), Some(1), "{redirections}");
        assert_eq!(run(redirections, &["-HUP"]), Some(1), "{redirections}");
    }
}
