//! The man page, made from its text and the table of options.

use std::fmt::Write;

use crate::cli::options::OPTIONS;
use crate::docs::completions;
use crate::event::Status;
use crate::output::keys::{EVENTS, KEYS, rows};
use crate::output::list::short_list;
use crate::plan::Product;
use crate::signal::Signal;

/// The man page, or the completion script for a shell.
pub fn generate(product: Product) -> String {
    match product {
        Product::Man => page(),
        Product::Bash => completions::bash(),
        Product::Zsh => completions::zsh(),
        Product::Fish => completions::fish(),
    }
}

/// The man page: its text, with the tables of options and signals put in.
fn page() -> String {
    include_str!("manual/sigsend.man")
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@SIGNALS@\n", &signals())
        .replace("@OPTIONS@\n", &options())
        .replace("@KEYS@\n", &keys())
        .replace("@EVENTS@\n", &events())
        .replace("@STATUSES@\n", &statuses())
}

/// A subsection for each group of the help, a paragraph for each option.
fn options() -> String {
    let mut text = String::new();
    for group in OPTIONS.chunk_by(|one, next| one.group == next.group) {
        let _ = writeln!(text, ".SS {}", group[0].group);
        for option in group {
            let bold = |spelling: String| format!("\\fB{}\\fR", roff(&spelling));
            let spellings: Vec<String> = option.spellings().map(bold).collect();
            let values = option.shown_values(|value| format!("\\fI{value}\\fR"));
            let _ = writeln!(text, ".TP\n{}{values}", spellings.join(", "));
            let _ = writeln!(text, "{}", roff(option.long_help).replace(". ", ".\n"));
        }
    }
    text
}

/// Escapes a text for roff(7). A dash is literal, not a hyphen.
fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

/// The rows of a tbl(1) table: number, name, default action and meaning.
fn signals() -> String {
    let row = |signal: Signal| {
        let (number, action) = (signal.number(), signal.default_action());
        let meaning = roff(signal.description());
        format!("{number}\t{signal}\t{action}\tT{{\n{meaning}\nT}}\n")
    };
    short_list().map(row).collect()
}

/// The rows of a tbl(1) table: the keys of JSON output.
fn keys() -> String {
    let row = |[name, kind, meaning]: [&str; 3]| {
        format!("\\%{name}\t{kind}\tT{{\n{}\nT}}\n", literal(meaning))
    };
    rows(KEYS).map(row).collect()
}

/// The rows of a tbl(1) table: the events, each with its keys.
fn events() -> String {
    let row = |[name, meaning, keys]: [&str; 3]| {
        let (name, meaning) = (roff(name), literal(meaning));
        let keys = match keys {
            "" => "none".to_owned(),
            keys => format!("\\%{}", keys.replace(", ", ", \\%")),
        };
        format!("{name}\tT{{\n{meaning}\nT}}\tT{{\n{keys}\nT}}\n")
    };
    rows(EVENTS).map(row).collect()
}

/// A paragraph for each exit status, the options in it bold.
fn statuses() -> String {
    let word = |word: &str| match word.strip_prefix("--") {
        Some(_) => format!("\\fB{}\\fR", roff(word)),
        None => roff(word),
    };
    let paragraph = |(status, meaning): (Status, &str)| {
        let words: Vec<String> = meaning.split(' ').map(word).collect();
        format!(".TP\n.B {}\n{}.\n", status.code(), words.join(" "))
    };
    Status::MEANINGS.map(paragraph).concat()
}

/// A text for roff(7), the words in backticks bold.
fn literal(text: &str) -> String {
    let words = text.split('`').enumerate();
    let style = |(index, part): (usize, &str)| match index % 2 {
        0 => roff(part),
        _ => format!("\\%\\fB{}\\fR", roff(part)),
    };
    words.map(style).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docs::help::FORMS;

    #[test]
    fn the_page_has_every_event_and_key() {
        let page = page();
        let events = rows(EVENTS).map(|[event, ..]| format!("\n{}\t", roff(event)));
        let keys = rows(KEYS).map(|[key, ..]| format!("\n\\%{key}\t"));
        for row in events.chain(keys) {
            assert!(page.contains(&row), "{row}");
        }
    }

    #[test]
    fn the_synopsis_is_the_usage_of_the_help() {
        let page = page().replace("\\fB", "").replace("\\fI", "");
        let synopsis = page.replace("\\fR", "").replace("\\-", "-");
        let forms = FORMS.map(|form| format!("sigsend {form}\n"));
        let wanted = format!(".SH SYNOPSIS\n{}.SH", forms.join(".br\n"));
        assert!(synopsis.contains(&wanted), "{wanted}");
    }
}
