//! How options, values and operands combine, and which combinations are refused.

use crate::support::prelude::*;

fn number(text: &str) -> i32 {
    text.parse().expect("a number")
}

#[test]
fn the_value_of_an_option_is_never_taken_for_a_signal() {
    let mut recorder = Recorder::new();
    let lines = "
        --queue 5 -HUP PID | 1 | 5
        --que 5 -HUP PID | 1 | 5
        --q 5 -HUP PID | 1 | 5
        -q 5 -HUP PID | 1 | 5
        -q -1 PID | 15 | -1
        -q -1 -1 PID | 1 | -1
        -1 -q -1 PID | 1 | -1
        --queue -9 PID | 15 | -9
        --queue=-9 -INT PID | 2 | -9
        -q-9 -INT PID | 2 | -9
        -aq -9 PID | 15 | -9
        -aq-9 -INT PID | 2 | -9
        -INT -aq -9 PID | 2 | -9
        PID -q -9 | 15 | -9
        PID -q 7 -INT | 2 | 7";
    for [line, signal, value] in rows(lines) {
        run!("{}", line.replace("PID", &recorder.arg())).ok();
        let sent = Received::queued(number(signal), number(value));
        assert_eq!(recorder.received(), [sent], "{line}");
    }
}

#[test]
fn the_value_of_signal_may_look_like_an_option() {
    let mut recorder = Recorder::new();
    for (option, value) in [
        ("-s", "-9"),
        ("-s", "-HUP"),
        ("-s", "--"),
        ("--signal", "-l"),
    ] {
        let refused = format!("sigsend: '{value}': invalid signal\n");
        run!("{option} {value} {recorder}").begins(1, refused);
    }
    recorder.assert_untouched();
}

/// Lines that send a signal to one process.
const SENT: &str = "
    -- PID           | 15
    PID --           | 15
    -HUP -- PID      | 1
    -s HUP -- PID    | 1
    -HUP PID --      | 1
    -01 PID          | 1
    -1 PID           | 1
    -0034 PID        | 34
    -64 PID          | 64
    --si HUP PID     | 1
    --sig=HUP --all PID | 1
    -HUP --req PID   | 1
    --requi -1 PID   | 1
    -a -HUP --all -aa PID | 1
    -rr -HUP -r PID  | 1
    PID -a -s HUP    | 1";

#[test]
fn options_may_be_abbreviated_repeated_and_anywhere_before_two_dashes() {
    let mut recorder = Recorder::new();
    for [line, signal] in rows(SENT) {
        run!("{}", line.replace("PID", &recorder.arg())).ok();
        assert_eq!(recorder.signals(), [number(signal)], "{line}");
    }
    for null in ["-0", "-00", "-000"] {
        run!("{null} {recorder}").ok();
    }
    run!("-- -HUP {recorder}").fails(1, "sigsend: '-HUP': invalid target\n");
    run!("-p -pp --pid {recorder}").says(format!("{recorder}\n"));
    run!("{recorder} -p").says(format!("{recorder}\n"));
    for ambiguous in ["--t", "--p", "--al", "--ver"] {
        run!("{ambiguous} {recorder}").fails(1, format!("'{ambiguous}' is ambiguous"));
    }
    recorder.assert_untouched();
}

#[test]
fn a_negative_number_after_a_signal_is_a_group() {
    in_pid_namespace(|| {
        for way in each("-TERM | -15 | -s 15 | -sTERM | --sig=TERM | -an 15") {
            let group = victim().with_pid(9).sleeping();
            run!("{way} -9").ok();
            group.assert_killed_by(15);
        }
        let (group, other) = (victim().with_pid(9).sleeping(), Victim::sleeping());
        run!("{other} -HUP -9").code(0);
        group.assert_killed_by(1);
        other.assert_killed_by(1);
    });
}

#[test]
fn forms_that_exclude_each_other_are_refused() {
    let mut recorder = Recorder::new();
    let lines = "-l -l|-l -t|-t -l|-l -L|-t -L|-l -d PID|-d PID -t|-l -HUP|-HUP -l|-l -s HUP\
        |-s HUP -l 9|-l -9|-9 -L|-9 -t|-t -s HUP|-L -q 1|-l -p|-d PID -9|-d PID -s HUP|-HUP -d PID\
        |-p -HUP PID|-p -s HUP PID|-9 -p PID|-p -q 1 PID|-l --list=9|-l9 -lTERM|-l -f PID|-t -u root\
        |-L --cwd /tmp|-d PID --mixed|--id -w PID|-a -u root PID|--mixed --cgroup /x";
    for line in each(lines) {
        let line = line.replace("PID", &recorder.arg());
        run!("{line}").fails(1, "Usage: sigsend [options] <pid>...");
        recorder.assert_untouched();
    }
}

#[test]
fn options_for_single_processes_refuse_groups() {
    in_pid_namespace(|| {
        let mut recorder = Recorder::new();
        let options =
            "-q 1 -HUP|-r -HUP|-p|--id|--expect sh|-f abc|--cwd /tmp|-u root|--tree|--mixed";
        for option in each(options) {
            for target in [&format!("-{recorder}"), "0", "-1"] {
                let told = run!("{option} -- {target}").fails(1, "Usage: ").err;
                assert!(told.contains(target), "{option} {target}: {told}");
                recorder.assert_untouched();
            }
        }
    });
}
