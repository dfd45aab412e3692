//! The line of progress on the terminal during a long wait: what is left, and what comes next.

use std::time::{Duration, Instant};

use crate::output::terminal::Stream;
use crate::signal::Signal;

/// A shorter wait shows no line.
const QUIET_TIME: Duration = Duration::from_millis(500);
/// Between two looks at whether the line has changed.
const TICK: Duration = Duration::from_millis(100);
/// Columns that stay free at the end of the line: the cursor and the two characters that Ctrl-C
/// echoes must not wrap, or another line would be wiped.
const MARGIN: usize = 3;

/// Which processes are left, and what comes next.
pub struct Pending<'a> {
    pub left: usize,
    /// One of the processes that are left.
    pub example: &'a str,
    pub waited: Duration,
    /// Until the next signal, or until the wait is given up.
    pub due: Option<(Duration, Option<Signal>)>,
}

/// When the line is shown first; `None` if there is no wait that may show one.
#[derive(Default)]
pub struct Progress(Option<Instant>);

impl Progress {
    /// Begins a wait. Only a terminal that can move its cursor shows a line.
    pub fn start(&mut self) {
        let can_draw = std::env::var_os("TERM").is_some_and(|term| term != "dumb")
            && Stream::Error.is_terminal();
        self.0 = can_draw.then(|| Instant::now() + QUIET_TIME);
    }

    pub fn stop(&mut self) {
        self.0 = None;
    }

    pub fn is_due(&self) -> bool {
        self.0.is_some_and(|from| Instant::now() >= from)
    }

    /// When to look again; `None` if no line is ever shown.
    pub fn next_look(&self) -> Option<Instant> {
        self.0.map(|from| from.max(Instant::now() + TICK))
    }
}

/// The line, cut to the terminal on standard error.
pub fn line(pending: &Pending) -> String {
    let columns = Stream::Error.width().unwrap_or(80);
    fitted(pending, columns.saturating_sub(MARGIN).max(1))
}

/// As much as fits. The countdown is dropped last.
fn fitted(pending: &Pending, width: usize) -> String {
    let example = ascii(pending.example);
    let who = match pending.left {
        1 => example,
        left => format!("{example} and {} more", left - 1),
    };
    let waited = format!("{} s", pending.waited.as_secs());
    let next = pending.due.map(|(left, signal)| {
        let what = signal.map_or_else(|| "giving up".to_owned(), |signal| signal.to_string());
        format!("{what} in {} s", left.as_secs_f64().ceil())
    });
    let whole = match &next {
        Some(next) => format!("waiting for {who}: {waited}, {next}"),
        None => format!("waiting for {who}: {waited}"),
    };
    let end = next.unwrap_or(waited);
    let room = width.saturating_sub(end.len() + ": ".len());
    let shorter = [
        whole,
        format!("waiting for {who}: {end}"),
        format!("{}: {end}", cut(&who, room)),
    ];
    let fits = |line: &String| room > 0 && line.len() <= width;
    let line = shorter.into_iter().find(fits);
    line.unwrap_or_else(|| cut(&end, width))
}

/// The begin of an ASCII text, with a mark in place of what is lost.
fn cut(text: &str, width: usize) -> String {
    if text.len() <= width {
        return text.to_owned();
    }
    let mark = &"..."[..width.min(3)];
    format!("{}{mark}", &text[..width - mark.len()])
}

/// A text with other characters by their numbers, so that each takes one column in any locale.
fn ascii(text: &str) -> String {
    let shown = |c: char| match c {
        c if c.is_ascii() => c.to_string(),
        c => c.escape_unicode().to_string(),
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(left: usize, example: &str) -> Pending<'_> {
        Pending {
            left,
            example,
            waited: Duration::from_millis(1700),
            due: None,
        }
    }

    #[test]
    fn the_narrower_the_terminal_the_less_beside_the_countdown() {
        let kill = Some((Duration::from_millis(4100), Some(Signal::KILL)));
        let end = Some((Duration::from_millis(1), None));
        let rows = [
            (1, "42 (sh)", kill, 80),
            (3, "42 (sh)", kill, 80),
            (1, "42 (sh)", None, 80),
            (1, "42 (sh)", end, 80),
            (1, "42 (sh)", kill, 36),
            (1, "4242 (sleep)", kill, 27),
            (1, "4242 (sleep)", end, 27),
            (1, "42 (größe)", None, 80),
            (1, "42 (größe)", None, 24),
            (1, "4242 (sleep)", kill, 14),
            (1, "4242 (sleep)", kill, 13),
            (1, "4242 (sleep)", kill, 4),
            (1, "4242 (sleep)", None, 17),
        ];
        let lines = rows.map(|(left, example, due, width)| {
            let pending = Pending {
                due,
                ..pending(left, example)
            };
            fitted(&pending, width)
        });
        let expected = [
            "waiting for 42 (sh): 1 s, KILL in 5 s",
            "waiting for 42 (sh) and 2 more: 1 s, KILL in 5 s",
            "waiting for 42 (sh): 1 s",
            "waiting for 42 (sh): 1 s, giving up in 1 s",
            "waiting for 42 (sh): KILL in 5 s",
            "4242 (sleep): KILL in 5 s",
            "4242 (...: giving up in 1 s",
            "waiting for 42 (gr\\u{f6}\\u{df}e): 1 s",
            "42 (gr\\u{f6}\\u{d...: 1 s",
            ".: KILL in 5 s",
            "KILL in 5 s",
            "K...",
            "4242 (sleep): 1 s",
        ];
        assert_eq!(lines, expected);
    }
}
