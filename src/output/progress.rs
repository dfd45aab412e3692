//! The line on the terminal that shows who is left while one waits; it is updated in place and wiped at the end.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::output::terminal::{cut, is_in_foreground, terminal_width};
use crate::signal::Signal;

/// A wait that is over sooner shows nothing.
const QUIET_TIME: Duration = Duration::from_millis(500);
/// Between two updates.
const TICK: Duration = Duration::from_millis(100);

/// Who is left, and what comes next.
pub struct Pending<'a> {
    pub left: usize,
    /// One of those who are left.
    pub example: &'a str,
    pub waited: Duration,
    /// Until the next signal, or until the wait is given up.
    pub due: Option<(Duration, Option<Signal>)>,
}

/// Hidden until a wait has started and outlasted its quiet time.
pub enum Progress {
    Hidden,
    Since(Instant),
    Shown(ProgressBar),
}

impl Progress {
    /// Starts the quiet time, if standard error is a terminal that can move its cursor; anywhere else nothing is ever drawn.
    pub fn start(&mut self) {
        let can_draw = std::env::var_os("TERM").is_some_and(|term| term != "dumb") && io::stderr().is_terminal();
        if can_draw && !matches!(self, Self::Shown(_)) {
            *self = Self::Since(Instant::now());
        }
    }

    /// When to draw next; `None` where nothing is ever drawn.
    pub fn next_draw(&mut self) -> Option<Instant> {
        match self {
            Self::Hidden => None,
            Self::Since(start) => Some(*start + QUIET_TIME),
            Self::Shown(_) => Some(Instant::now() + TICK),
        }
    }

    pub fn draw(&mut self, pending: &Pending) {
        if let Self::Since(start) = self
            && start.elapsed() >= QUIET_TIME
        {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::term_like_with_hz(Box::new(Screen), 20));
            let style = ProgressStyle::with_template("{msg}").expect("the template is valid");
            *self = Self::Shown(bar.with_style(style));
        }
        if let Self::Shown(bar) = self
            && is_in_foreground(io::stderr())
        {
            bar.set_message(cut(sentence(pending), Some(Screen.width().into())));
            bar.tick();
        }
    }

    /// Writes to the terminal with the line out of the way.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        match self {
            Self::Shown(bar) => bar.suspend(write),
            Self::Hidden | Self::Since(_) => write(),
        }
    }

    pub fn clear(&mut self) {
        if let Self::Shown(bar) = self {
            bar.finish_and_clear();
            *self = Self::Hidden;
        }
    }
}

/// Standard error as a terminal a little narrower than it is: the line is padded to the full width, and the two characters that Ctrl-C
/// echoes behind it must not wrap, or what is wiped would be the wrong line.
#[derive(Debug)]
struct Screen;

impl Screen {
    fn steer(count: usize, direction: char) -> io::Result<()> {
        if count == 0 { Ok(()) } else { write!(io::stderr(), "\x1b[{count}{direction}") }
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        let columns = terminal_width(io::stderr()).unwrap_or(80);
        u16::try_from(columns.saturating_sub(3)).unwrap_or(u16::MAX).max(1)
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        Self::steer(lines, 'A')
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        Self::steer(lines, 'B')
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        Self::steer(columns, 'C')
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        Self::steer(columns, 'D')
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        writeln!(io::stderr(), "{line}")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        io::stderr().write_all(text.as_bytes())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.write_str("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn sentence(pending: &Pending) -> String {
    let who = match pending.left {
        1 => pending.example.to_owned(),
        left => format!("{} and {} more", pending.example, left - 1),
    };
    let waited = pending.waited.as_secs();
    let next = match pending.due {
        Some((left, Some(signal))) => format!(", {signal} in {} s", left.as_secs_f32().ceil()),
        Some((left, None)) => format!(", giving up in {} s", left.as_secs_f32().ceil()),
        None => String::new(),
    };
    format!("waiting for {who}: {waited} s{next}")
}
