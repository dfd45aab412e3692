//! The short and the long help, within the width of the terminal.

use std::fmt::Write;
use std::io;
use std::iter;

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::Style;

use crate::cli::options::{Arity, OPTIONS, Opt, Rank};
use crate::event::Status;
use crate::output::terminal::Stream;
use crate::plan::Detail;

const HEADING: Style = Style::new().bold().underline();
const LITERAL: Style = Style::new().bold();

/// The widest lines, where the output is wider or no terminal.
const WIDEST: usize = 100;
/// Below this width, explanations stand under what they explain.
const NARROW: usize = 60;

/// The forms of the command line, without the name of the program.
pub const FORMS: [&str; 4] = [
    "[options] [-SIGNAL | -s SIGNAL] TARGET...",
    "-l [SIGNAL | STATUS | 0xMASK]...",
    "-L | -t [SIGNAL]...",
    "-d PID...",
];

/// Targets and what they mean.
const TARGETS: &str = "\
PID         one process; leading zeros and blanks around it are fine
-PGID       a process group; only after a signal or --
0           the process group of the caller, itself included
-1          every process that may be signalled; only after a signal or --
PID:INODE   that process only, even if its PID is reused (see --id)
NAME        the caller's own processes with this command name (-a, -u: of other users)
:PORT       the caller's own processes that listen there with TCP (-a, -u: of other users)
:PORT/udp   the same for a bound, unconnected UDP socket";

/// Arguments and what they do.
const EXAMPLES: &str = "\
-HUP 4242                     make a daemon read its configuration again
-r -HUP nginx                 the same by name, unless it would kill it
-0 4242                       check whether it may be signalled
--alive --pidfile x.pid       check whether a service is alive
--grace 10s 4242              TERM, KILL after 10 s, return when it is gone
--grace 10s -- -4242          the same for a process group
--grace 10s --mixed 4242      TERM to a master, KILL to what is left of its tree
--tree -KILL 4242             a process and all its descendants
--grace 5s :8080              stop what listens on a port
-f 'worker.py --queue mail'   what has this text in its command line
--grace 5s --cwd DIR          stop what works in a directory
--grace 10s --cgroup DIR      a whole control group, detached processes too
--timeout 5s KILL -w 4242     TERM, KILL after 5 s, wait without limit
--dry-run -HUP -- -1          show who would get it and what it would do
--id 4242                     print a token for exactly this process";

/// The short or the long help, coloured if standard output is a terminal and the environment allows
/// it.
pub fn help(program: &str, detail: Detail) -> String {
    let width = Stream::Output.width().unwrap_or(WIDEST).min(WIDEST);
    let text = match detail {
        Detail::Short => short(program, width),
        Detail::Long => long(program, width),
    };
    match AutoStream::choice(&io::stdout()) {
        ColorChoice::Never => anstream::adapter::strip_str(&text).to_string(),
        _ => text,
    }
}

fn short(program: &str, width: usize) -> String {
    let mut page = Page::new(width);
    page.usage(program);
    page.rows(&[(
        "TARGET:".to_owned(),
        "PID, -PGID, 0 (own group), -1 (everyone), PID:INODE, NAME or :PORT",
    )]);
    page.text.push('\n');
    let daily = OPTIONS
        .into_iter()
        .filter(|option| option.rank == Rank::Daily);
    page.rows(
        &daily
            .map(|option| (term(option), option.help))
            .collect::<Vec<_>>(),
    );
    page.text.push('\n');
    let more = format!("'{program} --help' explains these and all other options.");
    page.words(0, 0, &more);
    page.text
}

fn long(program: &str, width: usize) -> String {
    let mut page = Page::new(width);
    page.usage(program);
    let mut group = "";
    for option in OPTIONS {
        if option.group != group {
            group = option.group;
            page.heading(group);
        }
        page.term(term(option).trim_start());
        page.words(0, if width < NARROW { 4 } else { 10 }, option.long_help);
        page.text.push('\n');
    }
    let statuses = Status::MEANINGS.map(|(status, meaning)| (status.code().to_string(), meaning));
    page.heading("Targets");
    page.rows(&rows("", TARGETS));
    page.text.push('\n');
    page.heading("Exit status");
    page.rows(&statuses);
    page.text.push('\n');
    page.heading("Examples");
    page.rows(&rows(&format!("{program} "), EXAMPLES));
    page.text
}

/// The rows of a text, the terms with a word in front.
fn rows(front: &str, text: &'static str) -> Vec<(String, &'static str)> {
    let rows = text.lines().filter_map(|row| row.split_once("  "));
    let rows = rows.map(|(term, meaning)| (format!("{front}{term}"), meaning.trim_start()));
    rows.collect()
}

/// The spellings of an option and its values. Long options stand in one column.
fn term(option: &Opt) -> String {
    // Of two letters, the first is the usual one.
    let short = option.shorts.chars().next();
    let short = short.map_or_else(|| "  ".to_owned(), |short| format!("-{short}"));
    let mut term = match option.long {
        Some(long) if option.shorts.is_empty() => format!("{short}  --{long}"),
        Some(long) => format!("{short}, --{long}"),
        None => short,
    };
    for value in option.values {
        let _ = match option.arity {
            Arity::Attached => write!(term, " [{value}]"),
            _ => write!(term, " {value}"),
        };
    }
    term
}

/// A text whose lines are no longer than a width, unless a word is.
struct Page {
    text: String,
    width: usize,
}

impl Page {
    fn new(width: usize) -> Self {
        let text = String::new();
        Self { text, width }
    }

    fn usage(&mut self, program: &str) {
        let mut start = format!("{HEADING}Usage:{HEADING:#}");
        for form in FORMS {
            let _ = write!(self.text, "{start} {LITERAL}{program}{LITERAL:#} ");
            let column = 8 + program.chars().count();
            let indent = if self.width < NARROW { 4 } else { 15 };
            self.words(column, column.min(indent), form);
            start = " ".repeat(6);
        }
        self.text.push('\n');
    }

    fn heading(&mut self, heading: &str) {
        let _ = writeln!(self.text, "{HEADING}{heading}:{HEADING:#}");
    }

    /// Terms and what they mean, in two columns or, if that is too narrow, under each other.
    fn rows(&mut self, rows: &[(String, &str)]) {
        let length = |term: &str| term.chars().count();
        let widest = rows.iter().map(|(term, _)| length(term)).max();
        let indent = widest.unwrap_or_default() + 4;
        for (term, meaning) in rows {
            if self.width < NARROW {
                self.term(term);
                self.words(0, 6, meaning);
            } else {
                let _ = write!(self.text, "  {LITERAL}{term}{LITERAL:#}");
                self.words(2 + length(term), indent, meaning);
            }
        }
    }

    fn term(&mut self, term: &str) {
        let _ = write!(self.text, "  {LITERAL}");
        self.words(2, 2, term);
        self.text.pop();
        let _ = writeln!(self.text, "{LITERAL:#}");
    }

    /// Words on a line that has `column` columns already, and on further lines. None begins left
    /// of the indent.
    fn words(&mut self, mut column: usize, indent: usize, text: &str) {
        let mut gap = indent.saturating_sub(column);
        for word in text.split_whitespace() {
            let length = word.chars().count();
            if column > indent && column + gap + length > self.width {
                self.text.push('\n');
                (column, gap) = (0, indent);
            }
            self.text.extend(iter::repeat_n(' ', gap));
            self.text.push_str(word);
            column += gap + length;
            gap = 1;
        }
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wider_than_the_terminal() {
        for width in [30, 40, 59, 60, 80, 100] {
            for text in [short("sigsend", width), long("sigsend", width)] {
                for line in anstream::adapter::strip_str(&text).to_string().lines() {
                    assert!(line.chars().count() <= width, "{width}: {line}");
                    assert_eq!(line, line.trim_end(), "{width}");
                }
            }
        }
    }
}
