//! Help and man page: content, width, colour, and write errors.

use std::fs::File;
use std::process::{Command as StdCommand, Stdio};

use assert_cmd::Command;

use crate::support::{
    SIGSEND, Timed, link, on_terminal, program, raw_sigsend, shown_on_terminal, sigsend,
    sigsend_as, skip, stdout, tempdir,
};

const GROUPS: [&str; 5] = ["Signal:", "Target:", "Safety:", "Waiting:", "Output:"];

fn output(args: &[&str]) -> String {
    stdout(&sigsend().args(args).assert().success().stderr(""))
}

fn widest(text: &str) -> usize {
    text.lines()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or_default()
}

#[track_caller]
fn assert_in_order(text: &str, lines: &[&str]) {
    let mut rest = text.lines();
    for line in lines {
        assert!(
            rest.any(|found| found == *line),
            "{line} is missing or out of order in:\n{text}"
        );
    }
}

#[test]
fn the_short_help_fits_one_screen() {
    for help in [
        output(&["-h"]),
        on_terminal(80, &["-h"]),
        on_terminal(200, &["-h"]),
    ] {
        assert!(help.lines().count() <= 42, "{} lines", help.lines().count());
        assert!(widest(&help) <= 80, "{} columns", widest(&help));
        assert_in_order(&help, &GROUPS);
        assert!(
            !help.contains("\n\n\n") && !help.ends_with("\n\n") && help.ends_with('\n'),
            "{help:?}"
        );
        assert!(!help.contains("--generate"), "{help}");
    }
}

#[test]
fn the_long_help_explains_everything_within_the_terminal() {
    let long = on_terminal(80, &["--help"]);
    assert!(widest(&long) <= 80, "{} columns", widest(&long));
    assert!(
        !long.contains("\n\n\n") && !long.ends_with("\n\n") && long.ends_with('\n'),
        "{long:?}"
    );
    assert_in_order(&long, &GROUPS);
    assert_in_order(&long, &["Output:", "Targets:", "Exit status:", "Examples:"]);
    for line in output(&["-h"])
        .lines()
        .filter(|line| line.starts_with("  -") || line.starts_with("      --"))
    {
        let option = line
            .split_whitespace()
            .find(|word| word.starts_with("--"))
            .unwrap_or("-L");
        assert!(long.contains(option), "{option}");
    }
    assert!(long.contains("--generate"), "{long}");
}

#[test]
fn help_shows_the_name_by_which_the_program_was_called() {
    let (_dir, kill) = link(SIGSEND.as_ref(), "kill");
    let short = stdout(&Command::new(&kill).timed().arg("-h").assert().success());
    assert!(short.starts_with("Usage: kill [options] "), "{short}");
    let long = stdout(
        &sigsend_as("/usr/local/bin/kill")
            .arg("--help")
            .assert()
            .success(),
    );
    assert!(
        long.contains("\n       kill -l [SIGNAL") && long.contains("\n  kill --grace 10s 4242 "),
        "{long}"
    );
    assert!(
        !long.contains("sigsend -") && !long.contains("/usr/local"),
        "{long}"
    );
}

/// `sigsend -h` on a terminal or in a pipe, with these variables in its environment.
fn help(terminal: bool, environment: &[(&str, &str)]) -> String {
    let mut command = raw_sigsend();
    command
        .arg("-h")
        .env_remove("TERM")
        .envs(environment.iter().copied())
        .stdin(Stdio::null());
    if !terminal {
        return String::from_utf8(
            Command::from_std(command)
                .timed()
                .output()
                .expect("it starts")
                .stdout,
        )
        .expect("UTF-8");
    }
    shown_on_terminal(80, command, StdCommand::stdout)
}

#[test]
fn colour_follows_the_conventions() {
    let (terminal, pipe) = (true, false);
    for (place, environment, coloured) in [
        (terminal, &[("TERM", "xterm")][..], true),
        (terminal, &[("TERM", "xterm"), ("NO_COLOR", "1")], false),
        (terminal, &[("TERM", "xterm"), ("NO_COLOR", "")], true),
        (terminal, &[("TERM", "dumb")], false),
        (terminal, &[("TERM", "xterm"), ("CLICOLOR", "0")], false),
        (pipe, &[("TERM", "xterm")], false),
        (pipe, &[("TERM", "xterm"), ("CLICOLOR_FORCE", "1")], true),
        (pipe, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
    ] {
        let help = help(place, environment);
        assert!(help.contains("Usage:"), "{help:?}");
        assert_eq!(
            help.contains('\x1b'),
            coloured,
            "terminal {place}, {environment:?}: {help:?}"
        );
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let products = ["man", "bash", "zsh", "fish", "elvish", "powershell"]
        .map(|what| format!("--generate={what}"));
    for option in ["-h", "--help", "-V"]
        .into_iter()
        .chain(products.iter().map(String::as_str))
    {
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full opens");
        let mut command = raw_sigsend();
        command
            .arg(option)
            .stdout(full)
            .stderr(Stdio::piped())
            .stdin(Stdio::null());
        let output = command
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .expect("sigsend runs");
        assert_eq!(output.status.code(), Some(1), "{option}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            stderr, "sigsend: write error: No space left on device\n",
            "{option}"
        );
    }
}

#[test]
fn an_unknown_generate_operand_is_refused_with_the_valid_ones() {
    for what in ["tcsh", "", "MAN", "man ", "ba\x1bsh"] {
        let refused = sigsend()
            .args(["--generate", what])
            .assert()
            .code(1)
            .stdout("");
        let stderr = crate::support::stderr(&refused);
        let shown = what.replace('\x1b', "\\x1b");
        assert!(
            stderr.starts_with(&format!("sigsend: '{shown}': ")),
            "{stderr}"
        );
        assert!(
            stderr.contains("man, bash, zsh, fish, elvish, powershell"),
            "{stderr}"
        );
    }
    for args in [
        &["--generate"][..],
        &["--generate", "man", "-l"],
        &["--generate", "man", "-HUP"],
    ] {
        let refused = sigsend().args(args).assert().code(1).stdout("");
        assert!(
            crate::support::stderr(&refused).contains("Usage: "),
            "{args:?}"
        );
    }
}

#[test]
fn the_man_page_has_all_sections() {
    let page = output(&["--generate", "man"]);
    let sections = [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "SIGNALS",
        "TARGETS",
        "OPTIONS",
        "WAITING",
        "EXIT STATUS",
        "OUTPUT",
        "GUARANTEES",
        "ENVIRONMENT",
        "EXAMPLES",
        "NOTES",
        "SEE ALSO",
    ];
    assert_in_order(
        &page,
        &sections
            .map(|section| format!(".SH {section}"))
            .each_ref()
            .map(String::as_str),
    );
    assert_in_order(
        &page,
        &GROUPS
            .map(|group| format!(".SS {}", group.trim_end_matches(':')))
            .each_ref()
            .map(String::as_str),
    );
    for line in output(&["-h"])
        .lines()
        .filter(|line| line.starts_with("  -") || line.starts_with("      --"))
    {
        let option = line
            .split_whitespace()
            .find(|word| word.starts_with("--"))
            .unwrap_or("-L")
            .replace('-', "\\-");
        assert!(page.contains(&format!("\\fB{option}\\fR")), "{option}");
    }
    for signal in output(&["-L"]).lines() {
        let (number, name) = signal
            .trim_start()
            .split_once(' ')
            .expect("number and name");
        assert!(page.contains(&format!("\n{number}\t{name}\t")), "{signal}");
    }
    assert!(!page.contains('@'), "a placeholder was left");
}

#[test]
fn mandoc_finds_nothing_wrong_with_the_man_page() {
    let Some(mandoc) = program("mandoc") else {
        return skip("no mandoc");
    };
    let dir = tempdir();
    let page = dir.file("sigsend.1", output(&["--generate", "man"]));
    let lint = Command::new(mandoc)
        .timed()
        .args(["-T", "lint"])
        .arg(page)
        .output()
        .expect("mandoc starts");
    let lint = String::from_utf8(lint.stdout).expect("UTF-8");
    let above_style: Vec<_> = lint
        .lines()
        .filter(|line| !line.contains(": STYLE: "))
        .collect();
    assert!(above_style.is_empty(), "{above_style:#?}");
}
