//! Lists of signals: names (`-l`), numbers and names (`-L`), the table (`-t`).

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, Write};

use crate::event::Status;
use crate::output::text::invalid_signal;
use crate::signal::Signal;
use crate::signal_set::SignalSet;
use crate::usage::UsageError;

/// Where a list is written, and how errors are reported. An error about one operand stops none of
/// the others.
pub struct Listing<'a> {
    pub out: &'a mut dyn Write,
    /// Columns of the terminal that `out` is; `None` if it is something else.
    pub width: Option<usize>,
    pub complain: &'a mut dyn FnMut(&UsageError),
}

impl Listing<'_> {
    /// `-l`: every name, or a translation of each operand.
    pub fn names(&mut self, operands: &[OsString]) -> io::Result<Status> {
        match self.width {
            _ if !operands.is_empty() => return self.each(operands, translation),
            Some(width) => {
                let names: Vec<String> = short_list().map(|signal| signal.to_string()).collect();
                columns(self.out, &names, width)?;
            }
            None => names(self.out)?,
        }
        Ok(Status::Success)
    }

    /// `-L`: numbers and names, in columns on a terminal.
    pub fn numbers(&mut self, operands: &[OsString]) -> io::Result<Status> {
        let pair = |signal: Signal| format!("{:>2} {signal}", signal.number());
        if !operands.is_empty() {
            return self.each(operands, |text| Some(pair(text.parse().ok()?) + "\n"));
        }
        let signals = short_list().filter(|signal| !signal.is_null());
        let pairs: Vec<String> = signals.map(pair).collect();
        match self.width {
            Some(width) => columns(self.out, &pairs, width)?,
            None => writeln!(self.out, "{}", pairs.join("\n"))?,
        }
        Ok(Status::Success)
    }

    /// `-t`: one row per signal, cut to the width of the terminal.
    pub fn table(&mut self, operands: &[OsString]) -> io::Result<Status> {
        let width = self.width.unwrap_or(usize::MAX);
        let row = |signal: Signal| {
            let (number, name) = (signal.number(), signal.to_string());
            let (action, meaning) = (signal.default_action(), signal.description());
            let row = format!("{number:>2} {name:<8} {action:<9} {meaning}");
            row.chars().take(width).chain(['\n']).collect()
        };
        if !operands.is_empty() {
            return self.each(operands, |text| Some(row(text.parse().ok()?)));
        }
        let rows: String = Signal::all().map(row).collect();
        self.out.write_all(rows.as_bytes())?;
        Ok(Status::Success)
    }

    /// Answers each operand with whole lines. One that has no answer is an error and makes the
    /// status a failure.
    fn each(
        &mut self,
        operands: &[OsString],
        answer: impl Fn(&str) -> Option<String>,
    ) -> io::Result<Status> {
        let mut status = Status::Success;
        for operand in operands {
            if let Some(lines) = operand.to_str().and_then(&answer) {
                self.out.write_all(lines.as_bytes())?;
            } else {
                (self.complain)(&invalid_signal(operand));
                status = Status::Failure;
            }
        }
        Ok(status)
    }
}

/// What `-l` prints for an operand: the names in a mask, the name for a number or a status, the
/// number for a name.
fn translation(text: &str) -> Option<String> {
    if text.starts_with("0x") || text.starts_with("0X") {
        let set: SignalSet = text.parse().ok()?;
        let lines = set
            .iter()
            .flat_map(|signal| [signal.to_string(), "\n".to_owned()]);
        return Some(lines.collect());
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(format!("{}\n", Signal::from_status(text.parse().ok()?)?));
    }
    let signal: Signal = text.parse().ok()?;
    Some(format!("{}\n", signal.number()))
}

/// Every name, one a line.
pub fn names(out: &mut dyn Write) -> io::Result<()> {
    Signal::all()
        .filter(|signal| signal.has_name())
        .try_for_each(|signal| writeln!(out, "{signal}"))
}

/// The signals of the lists on a terminal: of the realtime range only its ends.
pub fn short_list() -> impl Iterator<Item = Signal> {
    Signal::all().filter(|signal| {
        signal.has_name()
            && (!signal.is_realtime() || matches!(*signal, Signal::RTMIN | Signal::RTMAX))
    })
}

/// Writes items in as many columns as fit, filled from top to bottom, without trailing blanks.
fn columns(out: &mut dyn Write, items: &[String], width: usize) -> io::Result<()> {
    let cell = items.iter().map(String::len).max().unwrap_or(0) + 2;
    let count = ((width + 2) / cell).clamp(1, items.len().max(1));
    let rows = items.len().div_ceil(count);
    for row in 0..rows {
        let mut line = String::new();
        for item in items.iter().skip(row).step_by(rows) {
            write!(line, "{item:<cell$}").expect("writing to a String cannot fail");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_the_width_and_hold_everything() {
        let items: Vec<String> = (0..33).map(|n| format!("SIG{n}")).collect();
        for width in [1, 7, 20, 80, 200, 1000] {
            let mut out = Vec::new();
            columns(&mut out, &items, width).expect("writing to a Vec cannot fail");
            let text = String::from_utf8(out).expect("ASCII");
            assert!(
                text.lines().all(|line| line.len() <= width.max(5)),
                "{width}: {text}"
            );
            assert_eq!(text.split_whitespace().count(), items.len(), "{width}");
        }
    }
}
