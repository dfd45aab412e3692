//! The short and the long help, within the width of the terminal.

use std::iter;

use crate::cli::options::{DAILY, OPTIONS, Opt};
use crate::event::Status;
use crate::output::terminal::Stream;
use crate::plan::Detail;

/// The widest lines, where the output is wider or no terminal.
const WIDEST: usize = 80;
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

/// The short or the long help.
pub fn help(program: &str, detail: Detail) -> String {
    page(program, detail, Stream::Output.width().unwrap_or(WIDEST))
}

fn page(program: &str, detail: Detail, width: usize) -> String {
    let mut page = Page {
        program,
        width: width.min(WIDEST),
        text: String::new(),
    };
    page.usage();
    match detail {
        Detail::Short => page.short(),
        Detail::Long => page.long(),
    }
    page.text
}

/// A text whose lines are no longer than a width, unless a word is.
struct Page<'a> {
    program: &'a str,
    width: usize,
    text: String,
}

impl Page<'_> {
    fn usage(&mut self) {
        let column = 8 + self.program.chars().count();
        let indent = if self.width < NARROW { 4 } else { 15 };
        let mut start = "Usage: ";
        for form in FORMS {
            self.text.extend([start, self.program, " "]);
            self.words(column, column.min(indent), form);
            start = "       ";
        }
        self.text.push('\n');
    }

    fn short(&mut self) {
        let targets = "PID, -PGID, 0 (own group), -1 (everyone), PID:INODE, NAME or :PORT";
        self.rows(&[("TARGET:".to_owned(), targets)]);
        self.rows(&DAILY.map(|option| (term(option), option.help)));
        let program = self.program;
        let more = format!("'{program} --help' explains these and all other options.");
        self.words(0, 0, &more);
    }

    fn long(&mut self) {
        let indent = if self.width < NARROW { 4 } else { 10 };
        for group in OPTIONS.chunk_by(|one, next| one.group == next.group) {
            self.heading(group[0].group);
            for option in group {
                self.term(&term(option));
                self.words(0, indent, option.long_help);
                self.text.push('\n');
            }
        }
        let statuses = Status::MEANINGS;
        let statuses = statuses.map(|(status, meaning)| (status.code().to_string(), meaning));
        self.heading("Targets");
        self.rows(&rows("", TARGETS));
        self.heading("Exit status");
        self.rows(&statuses);
        self.heading("Examples");
        self.rows(&rows(&format!("{} ", self.program), EXAMPLES));
        // Nothing follows the last rows.
        self.text.pop();
    }

    fn heading(&mut self, heading: &str) {
        self.text.extend([heading, ":\n"]);
    }

    /// Terms and what they mean, in two columns or, if that is too narrow, under each other, and a
    /// blank line.
    fn rows(&mut self, rows: &[(String, &str)]) {
        let length = |term: &str| term.chars().count();
        let widest = rows.iter().map(|(term, _)| length(term)).max();
        let indent = widest.unwrap_or_default() + 4;
        for (term, meaning) in rows {
            if self.width < NARROW {
                self.term(term);
                self.words(0, 6, meaning);
            } else {
                self.text.extend(["  ", term]);
                self.words(2 + length(term), indent, meaning);
            }
        }
        self.text.push('\n');
    }

    fn term(&mut self, term: &str) {
        self.text.push_str("  ");
        self.words(2, 2, term.trim_start());
    }

    /// Words, with a blank between, on a line that has `column` columns already, and on further
    /// lines. None begins left of the indent.
    fn words(&mut self, mut column: usize, indent: usize, mut words: &str) {
        while !words.is_empty() {
            let gap = indent.saturating_sub(column);
            self.text.extend(iter::repeat_n(' ', gap));
            let room = self.width.saturating_sub(column + gap);
            let end = match words.char_indices().nth(room) {
                None => words.len(),
                Some((end, _)) => match words.as_bytes()[..=end].iter().rposition(|b| *b == b' ') {
                    Some(blank) => blank,
                    None if column > indent => 0,
                    None => words.find(' ').unwrap_or(words.len()),
                },
            };
            self.text.push_str(&words[..end]);
            self.text.push('\n');
            words = words[end..].trim_start();
            column = 0;
        }
    }
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
    let values = option.shown_values(str::to_owned);
    match option.long {
        Some(long) if option.shorts.is_empty() => format!("{short}  --{long}{values}"),
        Some(long) => format!("{short}, --{long}{values}"),
        None => short + &values,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wider_than_the_terminal() {
        for width in [30, 40, 59, 60, 80, 100] {
            for detail in [Detail::Short, Detail::Long] {
                for line in page("sigsend", detail, width).lines() {
                    assert!(line.chars().count() <= width, "{width}: {line}");
                    assert_eq!(line, line.trim_end(), "{width}");
                }
            }
        }
    }
}
