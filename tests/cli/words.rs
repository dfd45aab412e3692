//! The exact messages: errors on standard error with the program's name as called and the token as
//! typed, and no output on success.

use crate::support::prelude::*;

/// The message of `kill args`, which must fail.
#[track_caller]
fn complaint(args: &[&str]) -> String {
    let mut command = raw_sigsend();
    command.arg0("kill").args(args);
    command.run(&[]).begins(1, "kill: ").err
}

/// Refused lines with the error and the hint (`*`: any), including options that took a PID as their
/// value.
const HINTS: &str = r"
    -s 65 1          | '65': invalid signal         | *
    -65 7            | '65': invalid signal         | *
    -NOPE 7          | 'NOPE': invalid signal       | *
    --signal=UNUSED 7 | 'UNUSED': invalid signal    | *
    -n 137 7         | '137': invalid signal        | *
    -s RTMIN3 7      | 'RTMIN3': invalid signal     | *
    -s +1 7          | '+1': invalid signal         | *
    -s '' 7          | '': invalid signal           | the signal was empty; is a variable unset?
    -                | '-': invalid target          | '--pidfile -' reads targets from standard input; or is a variable unset after the '-'?
    -TERM -          | '-': invalid target          | '--pidfile -' reads targets from standard input; or is a variable unset after the '-'?
    +1               | '+1': invalid target         | *
    -- -0            | '-0': invalid target         | *
    -9 -01           | '-01': invalid target        | *
    0x7b             | '0x7b': invalid target       | *
    ' -5'            | ' -5': invalid target        | *
    %1               | '%1': invalid target         | *
    -TERM %%         | '%%': invalid target         | *
    /run/x.pid       | '/run/x.pid': invalid target | '--pidfile /run/x.pid' reads targets from a file
    -HUP ./x␛        | './x\x1b': invalid target    | '--pidfile ./x\x1b' reads targets from a file
    12,34            | '12,34': invalid target      | each target is a word of its own: 12 34
    '12 34'          | '12 34': invalid target      | each target is a word of its own: 12 34
    12␤34␤           | '12\x0a34\x0a': invalid target | each target is a word of its own: 12 34
    12,x             | '12,x': invalid target       |
    4294967295       | '4294967295': invalid target | a PID is 1 to 2147483647
    qz.service       | cannot find process `qz.service` | 'systemctl kill qz.service' signals a systemd unit, --cgroup DIR a control group
    -TRM 7           | 'TRM': invalid signal        | did you mean TERM?
    -4242            | '4242': invalid signal       | 'kill -- -4242' means the process group
    -help            | unknown option '-e'          | did you mean --help?
    -wait 7          | unknown option '-i'          | did you mean --wait?
    --sginal=9 7     | unknown option '--sginal'    | did you mean --signal?
    --kill 7         | unknown option '--kill'      | did you mean -KILL?
    --force 7        | unknown option '--force'     | '-KILL' is the signal that no process can catch; '--grace 10s' sends TERM first
    --zzz 7          | unknown option '--zzz'       |
    --no␛pe 7        | unknown option '--no\x1bpe'  |
    --foo␤bar 7      | unknown option '--foo\x0abar' |
    -␤ 7             | unknown option '-\x0a'       |
    -ax 7            | unknown option '-x'          | a NAME is always the whole command name
    --all=1 7        | '--all' takes no value       |
    -q               | '--queue' is missing a value: --queue VALUE |
    --timeout 5s     | '--timeout' is missing a value: --timeout DURATION SIGNAL |
    -q1 -q2 7        | '--queue' can be given only once |
    --expect 4242    | no process ID specified      | '--expect' took '4242' as its value
    --grace 4242     | 4242 needs a unit, such as 4242s | '--grace' took '4242' as its value
    --within 4242    | 4242 needs a unit, such as 4242s | '--within' took '4242' as its value
    --timeout 5s 4242 | '4242': invalid signal      | '--timeout' took '4242' as its value
    --timeout 5s 15  | no process ID specified      | '--timeout' took '15' as its value
    -q 4242          | no process ID specified      | '-q' took '4242' as its value
    -d 0             | '0': invalid process ID      |
    --grace 5 7      | 5 needs a unit, such as 5s   |
";

#[test]
fn an_error_quotes_what_it_refuses_and_has_a_hint_where_the_cause_is_known() {
    for [line, error, hint] in rows(HINTS) {
        let line = words(&line.replace('␛', "\x1b").replace('␤', "\n"));
        let args: Vec<&str> = line.iter().map(String::as_str).collect();
        let complaint = complaint(&args);
        let is_hint = |line: &&str| !line.starts_with("Usage: ") && !line.starts_with("Try ");
        let mut told = complaint.lines().filter(is_hint);
        let got = told.next();
        assert_eq!(got, Some(&*format!("kill: {}", error.replace('`', "\""))));
        if hint != "*" {
            assert_eq!(told.next().unwrap_or_default(), hint, "{complaint}");
            assert_eq!(told.next(), None, "{complaint}");
        }
    }
}

#[test]
fn job_numbers_are_refused_with_a_hint_at_the_shell() {
    assert!(complaint(&["%1"]).contains("shell"));
    assert!(complaint(&["-TERM", "%%"]).contains("shell"));
}

#[test]
fn a_usage_error_shows_the_usage_and_points_to_help() {
    let nothing = complaint(&[]);
    let lines: Vec<_> = nothing.lines().collect();
    let wanted = [
        "kill: no process ID specified",
        "Usage: kill [options] <pid>...",
    ];
    assert_eq!(lines[..2], wanted);
    assert!(lines[2..].concat().contains("kill --help"), "{nothing}");
    for args in [
        &["-9"][..],
        &["--"],
        &["-s", "TERM"],
        &["-a"],
        &["-q", "-1"],
        &["-p"],
    ] {
        assert_eq!(complaint(args), nothing, "{args:?}");
    }
}

#[test]
fn a_negative_number_after_a_target_gets_both_hints() {
    for number in ["-9", "-15", "-0"] {
        let told = complaint(&["123", number]);
        let signal = format!("'kill {number} PID' puts the signal first");
        for hint in ["Usage: kill [options] <pid>...", &signal, "-- "] {
            assert!(told.contains(hint), "{hint}: {told}");
        }
    }
}

#[test]
fn targets_on_a_pipe_need_an_option() {
    let hint = "'--pidfile -' reads targets from standard input\n";
    let told = call!(piped("4242\n"), "").begins(1, "sigsend: ").err;
    assert!(told.contains(hint), "{told}");
    let holds = !complaint(&[]).contains(hint);
    assert!(holds, "a hint although standard input is no pipe");
}

#[test]
fn a_similar_name_is_suggested_and_escaped() {
    in_pid_namespace(|| {
        let names = ["nginx", "q\x1bzq"].map(|name| victim().named(name).sleeping());
        for (typed, near) in [
            ("NGINX", "nginx"),
            ("ngnix", "nginx"),
            ("nginxx", "nginx"),
            ("qzq", "q\\x1bzq"),
        ] {
            let line = format!("sigsend: cannot find process \"{typed}\"\n");
            run!("{typed}").fails(1, &line);
            run!("-v {typed}").fails(1, format!("{line}did you mean {near}?\n"));
        }
        alive(&names);
    });
}

#[test]
fn a_kernel_thread_is_not_waited_for() {
    let kernel = std::fs::read_to_string("/proc/2/comm").unwrap_or_default();
    needs!(
        kernel == "kthreadd\n",
        "kernel threads in this PID namespace"
    );
    for args in each("-0 --within 5s | --dry-run --wait | --dry-run --grace 5s") {
        let refused = run!("{args} 2").code(1);
        assert!(
            refused
                .err
                .contains("is a kernel thread, which no signal ends"),
            "{refused:?}"
        );
    }
}

#[test]
fn a_process_in_a_group_of_another_pid_namespace_is_no_kernel_thread() {
    let script = "sleep 60 & \"$0\" -0 --within 0s $!; exec echo $?";
    let mut command = std::process::Command::new("unshare");
    command
        .args(words("--pid --fork --mount-proc --kill-child sh -c"))
        .args([script, *SIGSEND]);
    let done = command.run(&[]);
    if done.err.starts_with("unshare: ") {
        return skip(done.err);
    }
    done.is(0, "124\n", "is still there after");
}

#[test]
fn an_error_about_two_signals_names_both() {
    for args in [["-TERM", "-HUP", "7"], ["-s15", "-sHUP", "7"]] {
        let told = complaint(&args);
        assert!(
            ["TERM", "HUP", "Usage: kill"]
                .iter()
                .all(|word| told.contains(word)),
            "{told}"
        );
    }
}

#[test]
fn messages_start_with_the_name_by_which_the_program_was_called() {
    let called = |argv0: &str, name: &str| {
        let refused = format!("{name}: '12,34': invalid target\n");
        call!(sigsend_as(argv0), "12,34").begins(1, refused);
        let usage = call!(sigsend_as(argv0), "").begins(1, name).err;
        let holds = usage.contains(&format!("\nUsage: {name} [options] <pid>...\n"));
        assert!(holds, "{usage}");
    };
    called("kill", "kill");
    called("/some/where/kill", "kill");
    called("./x y", "x y");
    called("sigsend", "sigsend");
    let (_dir, kill) = link(SIGSEND.as_ref(), "kill");
    call!(std::process::Command::new(kill), "12,34").begins(1, "kill: '12,34': invalid target\n");
}

#[test]
fn an_outcome_is_reported_with_the_text_of_its_errno() {
    in_pid_namespace(|| {
        let gone = Victim::gone();
        // The token as typed, not only its parsed value, and always on one line.
        for (typed, shown) in [
            (format!("{gone}"), format!("{gone} failed")),
            (format!("-- -{gone}"), format!("-{gone} failed")),
            (format!("-HUP 00{gone}"), format!("00{gone}")),
            (format!("-HUP ' {gone} '"), format!(" {gone} ")),
            (format!("-HUP {gone}\n"), format!("{gone}\\x0a")),
        ] {
            let line = format!("kill: sending signal to {shown}");
            let told = call!(sigsend_as("kill"), "{typed}").begins(1, line).err;
            assert!(told.ends_with(" failed: No such process\n"), "{told}");
            assert_eq!(told.lines().count(), 1, "{told}");
        }
        let line = "kill: cannot find process \"ngnix\"\n";
        call!(sigsend_as("kill"), "ngnix").fails(1, line);
    });
}

#[test]
fn control_characters_never_reach_the_terminal() {
    let is_safe = |told: &str| !told.replace('\n', "").contains(char::is_control);
    for token in ["a\nb", "12\x1b[31m", "\u{9b}1", "x\r", "-s\x07"] {
        let told = complaint(&["--", token]);
        let is_one_line = told
            .lines()
            .next()
            .is_some_and(|line| line.ends_with("invalid target"));
        assert!(is_one_line && is_safe(&told), "{told:?}");
    }
    let bad_signal = complaint(&["-s", "\x1b]0;x\x07", "7"]);
    assert!(is_safe(&bad_signal), "{bad_signal:?}");
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (option, long) in [("-h", false), ("--help", true)] {
        let text = call!(sigsend_as("kill"), "{option}").told();
        assert_eq!(text.contains("--generate"), long, "{option}");
        for word in each("Usage: kill [options]|--signal|--list|--all|--pid|--require-handler") {
            assert!(text.contains(word), "{option} lacks {word}: {text}");
        }
    }
    for option in ["-V", "--version"] {
        run!("{option}").says(concat!("sigsend ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}
