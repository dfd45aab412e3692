//! Help and man page: content, width, colour.

use crate::completions::options;
use crate::support::prelude::*;

const GROUPS: [&str; 5] = ["Signal:", "Target:", "Safety:", "Waiting:", "Output:"];

fn widest(text: &str) -> usize {
    let widest = text.lines().map(|line| line.chars().count()).max();
    widest.unwrap_or_default()
}

fn is_tidy(text: &str) -> bool {
    !text.contains("\n\n\n") && !text.ends_with("\n\n") && text.ends_with('\n')
}

#[track_caller]
fn assert_in_order<'a>(text: &str, lines: impl IntoIterator<Item = &'a str>) {
    let mut rest = text.lines();
    for line in lines {
        let is_found = rest.any(|found| found == line);
        assert!(is_found, "{line} is missing or out of order in:\n{text}");
    }
}

#[test]
fn the_short_help_fits_one_screen() {
    let shown = [80, 200].map(|columns| on_terminal(columns, &["-h"]));
    for help in shown.into_iter().chain([run!("-h").told()]) {
        let (rows, columns) = (help.lines().count(), widest(&help));
        // The prompt takes a line.
        let holds = rows <= 23 && columns <= 80;
        assert!(holds, "{rows} lines, {columns} columns");
        assert!(is_tidy(&help) && !help.contains("--generate"), "{help:?}");
        contains!(help, "'sigsend --help'");
    }
}

#[test]
fn the_long_help_explains_everything() {
    let long = on_terminal(80, &["--help"]);
    assert!(is_tidy(&long), "{long:?}");
    assert_in_order(&long, GROUPS);
    assert_in_order(&long, ["Output:", "Targets:", "Exit status:", "Examples:"]);
    for option in options().iter().map(String::as_str).chain(["--generate"]) {
        assert!(long.contains(option), "{option}");
    }
}

#[test]
fn help_fits_any_terminal_and_breaks_no_word() {
    for option in ["-h", "--help"] {
        let wide = on_terminal(200, &[option]);
        for columns in [30, 40, 60, 80] {
            let narrow = on_terminal(columns, &[option]);
            assert!(widest(&narrow) <= columns.into(), "{columns}: {narrow}");
            let holds = narrow.split_whitespace().eq(wide.split_whitespace());
            assert!(holds, "{columns}: {narrow}");
        }
    }
}

#[test]
fn help_shows_the_name_by_which_the_program_was_called() {
    let (_dir, kill) = link(SIGSEND.as_ref(), "kill");
    let short = call!(Command::new(&kill), "-h").code(0);
    assert!(short.out.starts_with("Usage: kill [options] "), "{short:?}");
    let long = call!(sigsend_as("/usr/local/bin/kill"), "--help").code(0);
    let long = long.out;
    contains!(long, "\n       kill -l [SIGNAL");
    contains!(long, "\n  kill --grace 10s 4242 ");
    let holds = !long.contains("sigsend -") && !long.contains("/usr/local");
    assert!(holds, "{long}");
}

#[test]
fn an_unknown_generate_operand_is_refused_with_the_valid_ones() {
    for what in ["tcsh", "", "MAN", "man ", "ba\x1bsh"] {
        let line = format!("sigsend: '{}': ", what.replace('\x1b', "\\x1b"));
        run!("--generate '{what}'")
            .begins(1, line)
            .has("man, bash, zsh, fish");
    }
    for args in ["--generate", "--generate man -l", "--generate man -HUP"] {
        run!("{args}").fails(1, "Usage: ");
    }
}

#[test]
fn the_man_page_has_all_sections() {
    let page = run!("--generate man").told();
    let sections = "NAME|SYNOPSIS|DESCRIPTION|EXAMPLES|SIGNALS|TARGETS|OPTIONS|WAITING|EXIT STATUS\
        |OUTPUT|GUARANTEES|ENVIRONMENT|NOTES|SEE ALSO";
    let of = |macro_name: &str| page.replace(&format!("\n.{macro_name} "), "\n");
    assert_in_order(&of("SH"), each(sections));
    assert_in_order(&of("SS"), GROUPS.map(|group| group.trim_end_matches(':')));
    for option in options() {
        contains!(page, "\\fB{}\\fR", option.replace('-', "\\-"));
    }
    for signal in run!("-L").told().lines() {
        let (number, name) = signal.trim_start().split_once(' ').expect("a pair");
        contains!(page, "\n{number}\t{name}\t");
    }
    assert!(!page.contains('@'), "a placeholder was left");
}

#[test]
fn mandoc_finds_nothing_wrong_with_the_man_page() {
    needs!(program("mandoc").is_some(), "mandoc");
    let dir = tempdir();
    let page = dir.arg("sigsend.1", run!("--generate man").told());
    let lint = call!(tool("mandoc -T lint"), "{page}").out;
    let is_wrong = |line: &&str| !line.contains(": STYLE: ");
    let above_style: Vec<_> = lint.lines().filter(is_wrong).collect();
    assert!(above_style.is_empty(), "{above_style:#?}");
}
