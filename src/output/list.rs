//! Lists of signals: names (`-l`), numbers and names (`-L`), the table (`-t`).

use std::ffi::OsString;

use crate::digits::is_number;
use crate::output::text::invalid_signal;
use crate::signal::Signal;
use crate::signal_set::SignalSet;
use crate::usage::UsageError;

/// A list, and errors about operands: one about one of them stops none of the others.
#[derive(Default)]
pub struct Listing {
    pub text: String,
    pub errors: Vec<UsageError>,
}

impl From<String> for Listing {
    fn from(text: String) -> Self {
        let errors = Vec::new();
        Self { text, errors }
    }
}

/// `-l`: every name, in columns on a terminal, or a translation of each operand.
pub fn names(operands: &[OsString], width: Option<usize>) -> Listing {
    let name = |signal: Signal| signal.to_string();
    match width {
        _ if !operands.is_empty() => each(operands, translation),
        Some(width) => columns(short_list().map(name), width).into(),
        None => columns(named().map(name), 1).into(),
    }
}

/// `-L`: numbers and names, in columns on a terminal.
pub fn numbers(operands: &[OsString], width: Option<usize>) -> Listing {
    let pair = |signal: Signal| format!("{:>2} {signal}", signal.number());
    if !operands.is_empty() {
        return each(operands, |text| Some(pair(text.parse().ok()?) + "\n"));
    }
    let signals = short_list().filter(|signal| !signal.is_null());
    columns(signals.map(pair), width.unwrap_or(1)).into()
}

/// `-t`: one row per signal.
pub fn table(operands: &[OsString]) -> Listing {
    let row = |signal: Signal| -> String {
        let (number, name) = (signal.number(), signal.to_string());
        let (action, meaning) = (signal.default_action(), signal.description());
        format!("{number:>2} {name:<8} {action:<9} {meaning}\n")
    };
    if !operands.is_empty() {
        return each(operands, |text| Some(row(text.parse().ok()?)));
    }
    Signal::all().map(row).collect::<String>().into()
}

/// Answers each operand with whole lines. One that has no answer is an error.
fn each(operands: &[OsString], answer: impl Fn(&str) -> Option<String>) -> Listing {
    let mut listing = Listing::default();
    for operand in operands {
        match operand.to_str().and_then(&answer) {
            Some(lines) => listing.text += &lines,
            None => listing.errors.push(invalid_signal(operand)),
        }
    }
    listing
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
    if is_number(text) {
        return Some(format!("{}\n", Signal::from_status(text.parse().ok()?)?));
    }
    let signal: Signal = text.parse().ok()?;
    Some(format!("{}\n", signal.number()))
}

/// The signals that have a name.
pub fn named() -> impl Iterator<Item = Signal> {
    Signal::all().filter(|signal| signal.has_name())
}

/// The signals of the lists on a terminal: of the realtime range only its ends.
pub fn short_list() -> impl Iterator<Item = Signal> {
    named()
        .filter(|signal| !signal.is_realtime() || matches!(*signal, Signal::RTMIN | Signal::RTMAX))
}

/// Items in as many columns as fit, filled from top to bottom, without trailing blanks.
fn columns(items: impl Iterator<Item = String>, width: usize) -> String {
    let items: Vec<String> = items.collect();
    let cell = items.iter().map(String::len).max().unwrap_or(0) + 2;
    let count = ((width + 2) / cell).clamp(1, items.len().max(1));
    let rows = items.len().div_ceil(count);
    let row = |row: usize| {
        let cells = items.iter().skip(row).step_by(rows);
        let cells: Vec<String> = cells.map(|item| format!("{item:<cell$}")).collect();
        cells.concat().trim_end().to_owned() + "\n"
    };
    (0..rows).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_the_width_and_hold_everything() {
        let items: Vec<String> = (0..33).map(|n| format!("SIG{n}")).collect();
        for width in [1, 7, 20, 80, 200, 1000] {
            let text = columns(items.iter().cloned(), width);
            assert!(
                text.lines().all(|line| line.len() <= width.max(5)),
                "{width}: {text}"
            );
            assert_eq!(text.split_whitespace().count(), items.len(), "{width}");
        }
    }
}
