//! The listing forms `-l`, `-L`, `-t` and `-d`, in a pipe and on a terminal, and write errors.

use std::fs::File;
use std::process::Stdio;

use assert_cmd::Command;

use crate::support::{
    Recorder, SIGSEND, Timed, Victim, in_pid_namespace, on_terminal, raw_sigsend, sigsend, stderr,
    stdout,
};

/// The output of sigsend, which must succeed.
fn output(args: &[&str]) -> String {
    let success = sigsend().args(args).assert().success().stderr("");
    stdout(&success)
}

/// The numbered names of the standard signals, 1 to 31.
const STANDARD: &str = "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN \
                        TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS";

fn realtime_names() -> impl Iterator<Item = String> {
    let lower = (1..=15).map(|n| format!("RTMIN+{n}"));
    let upper = (1..=14).rev().map(|n| format!("RTMAX-{n}"));
    ["RTMIN".to_owned()]
        .into_iter()
        .chain(lower)
        .chain(upper)
        .chain(["RTMAX".to_owned()])
}

#[test]
fn every_name_is_listed_by_number_one_a_line() {
    let standard = STANDARD.split_whitespace().map(str::to_owned);
    let names: Vec<_> = ["EXIT".to_owned()]
        .into_iter()
        .chain(standard)
        .chain(realtime_names())
        .collect();
    for option in ["-l", "--list", "--li"] {
        assert_eq!(
            output(&[option]).lines().collect::<Vec<_>>(),
            names,
            "{option}"
        );
    }
}

#[test]
fn every_listed_name_is_a_signal_and_back() {
    for name in output(&["-l"]).lines() {
        let number = output(&["-l", name]);
        assert_eq!(output(&["-l", number.trim_end()]).trim_end(), name);
        assert_eq!(output(&["-l", &name.to_lowercase()]), number);
        assert_eq!(output(&["-l", &format!("SIG{name}")]), number);
    }
}

#[test]
fn numbers_statuses_and_names_are_translated() {
    let table = [
        ("9", "KILL"),
        ("09", "KILL"),
        ("137", "KILL"),
        ("265", "KILL"),
        ("0", "EXIT"),
        ("128", "EXIT"),
        ("256", "EXIT"),
        ("512", "EXIT"),
        ("2304", "EXIT"),
        ("65280", "EXIT"),
        ("139", "SEGV"),
        ("29", "IO"),
        ("32", "32"),
        ("33", "33"),
        ("34", "RTMIN"),
        ("35", "RTMIN+1"),
        ("49", "RTMIN+15"),
        ("50", "RTMAX-14"),
        ("64", "RTMAX"),
        ("192", "RTMAX"),
        ("KILL", "9"),
        ("SIGKILL", "9"),
        ("kill", "9"),
        ("POLL", "29"),
        ("CLD", "17"),
        ("IOT", "6"),
        ("EXIT", "0"),
        ("NULL", "0"),
        ("RTMIN+1", "35"),
        ("RT1", "35"),
        ("RTMAX-14", "50"),
        ("rtmax", "64"),
    ];
    for (operand, answer) in table {
        for args in [
            &["-l", operand][..],
            &[&format!("-l{operand}")],
            &[&format!("-l={operand}")],
            &["--list", operand],
        ] {
            assert_eq!(output(args), format!("{answer}\n"), "{args:?}");
        }
        assert_eq!(
            output(&[&format!("--list={operand}")]),
            format!("{answer}\n")
        );
    }
    for operand in [
        "99",
        "393",
        "65",
        "127",
        "255",
        "-1",
        "NOPE",
        "SIG",
        "",
        "+9",
        " 9",
        "99999999999999999999",
        "0x",
        "0xg",
    ] {
        let refused = sigsend()
            .args(["-l", "--", operand])
            .assert()
            .code(1)
            .stdout("");
        let stderr = stderr(&refused);
        assert!(
            stderr.starts_with(&format!("sigsend: '{operand}': invalid signal\n")),
            "{operand:?}: {stderr}"
        );
    }
}

#[test]
fn a_mask_is_decoded() {
    let names = |mask: &str| {
        output(&["-l", mask])
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(names("0x4001"), ["HUP", "TERM"]);
    assert_eq!(names("0x0000000000004001"), ["HUP", "TERM"]);
    assert_eq!(names("0x8000000200000001"), ["HUP", "RTMIN", "RTMAX"]);
    assert_eq!(names("0xffffffffffffffff").len(), 64);
    sigsend()
        .args(["-l", "0x10000000000000000"])
        .assert()
        .code(1)
        .stdout("");
}

#[test]
fn several_operands_are_all_translated() {
    assert_eq!(output(&["-l", "9", "TERM", "137"]), "KILL\n15\nKILL\n");
    assert_eq!(output(&["-l9", "TERM"]), "KILL\n15\n");
    let mixed = sigsend()
        .args(["-l", "9", "NOPE", "15", "99"])
        .assert()
        .code(1)
        .stdout("KILL\nTERM\n");
    let stderr = stderr(&mixed);
    assert!(
        stderr.contains("'NOPE': invalid signal") && stderr.contains("'99': invalid signal"),
        "{stderr}"
    );
}

#[test]
fn numbers_and_names_are_listed_in_pairs() {
    let names = STANDARD
        .split_whitespace()
        .zip(1..)
        .chain([("RTMIN", 34), ("RTMAX", 64)]);
    let pairs: Vec<_> = names
        .map(|(name, number)| format!("{number:>2} {name}"))
        .collect();
    assert_eq!(output(&["-L"]).lines().collect::<Vec<_>>(), pairs);
    assert_eq!(
        output(&["-L", "KILL", "rtmin+1", "1"]),
        " 9 KILL\n35 RTMIN+1\n 1 HUP\n"
    );
    sigsend().args(["-L", "NOPE"]).assert().code(1).stdout("");
}

#[test]
fn the_table_has_a_row_for_each_signal() {
    for option in ["-t", "--table", "--tab"] {
        let table = output(&[option]);
        let numbers = table
            .lines()
            .map(|row| row[..2].trim().parse::<i32>().expect("a number"));
        assert_eq!(
            numbers.collect::<Vec<_>>(),
            (0..=64).collect::<Vec<_>>(),
            "{option}"
        );
        assert!(
            table.starts_with(" 0 EXIT")
                && table
                    .lines()
                    .last()
                    .is_some_and(|row| row.starts_with("64 RTMAX "))
        );
    }
    let table = [
        ("HUP", "terminate"),
        ("QUIT", "core"),
        ("STOP", "stop"),
        ("TTIN", "stop"),
        ("CONT", "continue"),
        ("CHLD", "ignore"),
        ("WINCH", "ignore"),
        ("URG", "ignore"),
        ("RTMIN+3", "terminate"),
        ("SYS", "core"),
    ];
    for (name, action) in table {
        let row = output(&["-t", name]);
        let mut fields = row.split_whitespace().skip(1);
        assert_eq!((fields.next(), fields.next()), (Some(name), Some(action)));
        assert!(fields.next().is_some(), "a description: {row}");
    }
    assert_eq!(
        output(&["-t", "9", "HUP"])
            .lines()
            .map(|row| row[..2].trim())
            .collect::<Vec<_>>(),
        ["9", "1"]
    );
    sigsend().args(["-t", "NOPE"]).assert().code(1).stdout("");
}

#[test]
fn a_terminal_gets_columns() {
    for columns in [40, 80, 132] {
        for option in ["-l", "-L"] {
            let shown = on_terminal(columns, &[option]);
            let words: Vec<_> = shown.split_whitespace().collect();
            assert!(
                shown.lines().count() < 33,
                "{option} in {columns} columns: {shown}"
            );
            assert!(
                shown.lines().all(|line| line.len() <= usize::from(columns)),
                "{option} in {columns} columns: {shown}"
            );
            assert!(
                ["HUP", "KILL", "RTMIN", "RTMAX"]
                    .iter()
                    .all(|name| words.contains(name)),
                "{shown}"
            );
            assert!(
                !shown.contains("RTMIN+") && !shown.contains("RTMAX-"),
                "{shown}"
            );
        }
    }
    assert!(on_terminal(80, &["-l"]).starts_with("EXIT"));
    assert!(!on_terminal(80, &["-L"]).contains("EXIT"));
    assert_eq!(on_terminal(80, &["-l", "9"]), "KILL\n");
    // A serial console reports no size.
    for option in ["-l", "-L"] {
        assert_eq!(
            on_terminal(0, &[option]),
            on_terminal(80, &[option]),
            "{option}"
        );
    }
}

#[test]
fn the_state_of_a_process_is_shown_set_by_set() {
    let shell = Victim::shell("trap '' HUP INT; trap : USR1; echo ready; read x");
    let lines = output(&["-d", &shell.arg()]);
    assert!(
        lines.lines().any(|line| line == "Ignored: HUP INT"),
        "{lines}"
    );
    let caught = lines
        .lines()
        .find_map(|line| line.strip_prefix("Caught: "))
        .expect("something is caught");
    assert!(caught.split(' ').any(|name| name == "USR1"), "{lines}");
    assert!(
        !lines.contains("Pending") && !lines.contains("Blocked"),
        "sets that are empty: {lines}"
    );

    sigsend().args(["-STOP", &shell.arg()]).assert().success();
    shell.assert_state('T');
    sigsend().args(["-USR2", &shell.arg()]).assert().success();
    for option in ["-d", "--show-process-state", "--show"] {
        let lines = output(&[option, &shell.arg()]);
        assert!(lines.starts_with("Pending (process): USR2\n"), "{lines}");
    }

    let lines = output(&["-d", &Recorder::new().arg()]);
    let blocked = lines
        .lines()
        .find_map(|line| line.strip_prefix("Blocked: "))
        .expect("everything is blocked");
    assert!(
        blocked.starts_with("HUP INT QUIT")
            && blocked.ends_with("RTMAX")
            && !blocked.contains("KILL"),
        "{lines}"
    );
}

#[test]
fn the_state_of_several_processes_is_shown_for_those_that_exist() {
    in_pid_namespace(|| {
        let gone = Victim::gone().to_string();
        let shell = Victim::shell("trap '' HUP; echo ready; read x");
        let twice = output(&["-d", &shell.arg(), &shell.arg()]);
        assert_eq!(twice.matches("Ignored: HUP\n").count(), 2);
        assert_eq!(
            twice.matches(&format!("{}:\n", shell.arg())).count(),
            2,
            "{twice}"
        );
        assert!(!output(&["-d", &shell.arg()]).contains(&shell.arg()));
        let failed = sigsend().args(["-d", &gone]).assert().code(1).stdout("");
        let stderr = stderr(&failed);
        assert!(
            stderr.starts_with(&format!(
                "sigsend: reading the state of {gone} failed: No such process\n"
            )),
            "{stderr}"
        );
        let some = sigsend().args(["-d", &gone, &shell.arg()]).assert();
        assert!(stdout(&some).contains("Ignored: HUP"));
        for token in ["0", "-5", "sh", "+1", ""] {
            sigsend()
                .args(["-d", "--", token])
                .assert()
                .code(1)
                .stdout("");
        }
    });
}

#[test]
fn a_full_disk_is_an_error() {
    let sleeper = Victim::shell("trap '' HUP; echo ready; read x");
    let pid = sleeper.arg();
    let forms: [&[&str]; 11] = [
        &["-l"],
        &["-l", "9"],
        &["-lTERM"],
        &["-L"],
        &["-t"],
        &["-t", "HUP"],
        &["-d", &pid],
        &["-p", &pid],
        &["-h"],
        &["--help"],
        &["-V"],
    ];
    for form in forms {
        let mut command = raw_sigsend();
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full");
        let output = command
            .args(form)
            .stdout(full)
            .stderr(Stdio::piped())
            .output()
            .expect("sigsend starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = "sigsend: write error: No space left on device\n";
        assert_eq!(
            (output.status.code(), stderr.as_str()),
            (Some(1), line),
            "{form:?}"
        );
    }
}

#[test]
fn a_reader_that_closes_the_pipe_early_is_no_error() {
    for form in [
        &["-l"][..],
        &["-l", "9"],
        &["-L"],
        &["-t"],
        &["-h"],
        &["--help"],
        &["-V"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = raw_sigsend()
            .args(form)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .expect("sigsend starts");
        assert_eq!(
            (output.status.code(), output.stderr.as_slice()),
            (Some(0), &b""[..]),
            "{form:?}"
        );
    }
}

#[test]
fn an_output_that_is_closed_is_an_error() {
    for form in ["-l", "-L", "-t", "--help", "-V"] {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "exec \"$0\" \"$@\" >&-", SIGSEND, form]);
        let output = Command::from_std(shell)
            .timed()
            .output()
            .expect("sh starts");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = "sigsend: write error: Bad file descriptor\n";
        assert_eq!(
            (output.status.code(), stderr.as_str()),
            (Some(1), line),
            "{form}"
        );
    }
}
