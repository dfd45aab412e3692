//! Completion scripts: a template in the language of each shell, filled from the table of options
//! and the list of signals. What completes the value of an option follows from the name of the
//! value.

use crate::cli::options::{Arity, OPTIONS, Opt};
use crate::plan::Product;
use crate::signal::Signal;

/// Placeholders for the options, by the values that they take.
const KINDS: [(&str, &[&str]); 7] = [
    ("@SIGNAL@", &["SIGNAL", "X"]),
    ("@PID@", &["PID"]),
    ("@NAME@", &["NAME"]),
    ("@FILE@", &["FILE"]),
    ("@DIR@", &["DIR"]),
    ("@WHAT@", &["WHAT"]),
    ("@NUMBER@", &["VALUE", "DURATION"]),
];

pub fn bash() -> String {
    let template = include_str!("completions/sigsend.bash");
    fill(template, "|", str::to_owned).replace(
        "@OPTIONS@",
        &OPTIONS
            .iter()
            .flat_map(spellings)
            .collect::<Vec<_>>()
            .join(" "),
    )
}

pub fn zsh() -> String {
    let template = include_str!("completions/sigsend.zsh");
    let described = |signal: Signal| {
        quoted(
            &format!("{signal}:{}", signal.description().replace('\\', r"\\")),
            r"'\''",
        )
    };
    fill(template, "|", str::to_owned)
        .replace("@DESCRIBED@", &each_signal(described))
        .replace("@OPTIONS@", &lines(zsh_option))
}

/// An `_arguments` specification for each spelling (zshcompsys(1)).
fn zsh_option(option: &Opt) -> String {
    let mut help = String::new();
    for c in option.help.chars() {
        help.extend(['[', ']', ':', '\\'].contains(&c).then_some('\\'));
        help.push(c);
    }
    let value = |name: &&str| match *name {
        "SIGNAL" | "X" => format!("{name}:_sigsend_signals"),
        "PID" => format!("{name}:_sigsend_pids"),
        "NAME" => format!("{name}:_sigsend_names"),
        "FILE" => format!("{name}:_files"),
        "DIR" => format!("{name}:_sigsend_groups"),
        "WHAT" => format!("{name}:({})", products().join(" ")),
        _ => format!("{name}: "),
    };
    // Two colons before a value that may be left out.
    let colons = if option.arity == Arity::Attached {
        "::"
    } else {
        ":"
    };
    let values = option
        .values
        .iter()
        .map(|name| colons.to_owned() + &value(name))
        .collect::<String>();
    let specification = |spelling: String| {
        let attached = match (values.is_empty(), spelling.starts_with("--")) {
            (true, _) => "",
            (false, true) => "=",
            (false, false) => "+",
        };
        format!(
            "        {} \\\n",
            quoted(&format!("*{spelling}{attached}[{help}]{values}"), r"'\''")
        )
    };
    spellings(option).into_iter().map(specification).collect()
}

pub fn fish() -> String {
    let template = include_str!("completions/sigsend.fish");
    let described = |signal: Signal| format!("{signal} {}", quoted(signal.description(), r"\'"));
    fill(template, " ", str::to_owned)
        .replace("@DESCRIBED@", &each_signal(described))
        .replace("@OPTIONS@", &lines(fish_option))
}

fn fish_option(option: &Opt) -> String {
    let shorts = option
        .shorts
        .chars()
        .flat_map(|short| [" -s ".to_owned(), short.to_string()])
        .collect::<String>();
    let long = option
        .long
        .map(|long| format!(" -l {long}"))
        .unwrap_or_default();
    let value = match option.values.first() {
        None => String::new(),
        Some(&("SIGNAL" | "X")) => " -x -a '(__sigsend_signals)'".to_owned(),
        Some(&"PID") => " -x -a '(__sigsend_pids)'".to_owned(),
        Some(&"NAME") => " -x -a '(__sigsend_names)'".to_owned(),
        Some(&"FILE") => " -r -F".to_owned(),
        Some(&"DIR") => " -x -a '(__fish_complete_directories; __sigsend_groups)'".to_owned(),
        Some(&"WHAT") => format!(" -x -a '{}'", products().join(" ")),
        Some(_) => " -x".to_owned(),
    };
    format!(
        "complete -c sigsend{shorts}{long}{value} -d {}\n",
        quoted(option.help, r"\'")
    )
}

pub fn elvish() -> String {
    let option =
        |spelling: &str, help: &str| format!("        option {spelling} {}\n", quoted(help, "''"));
    let template = include_str!("completions/sigsend.elv");
    fill(template, " ", str::to_owned)
        .replace("@OPTIONS@", &lines(|row| each_spelling(row, option)))
}

pub fn powershell() -> String {
    let option =
        |spelling: &str, help: &str| format!("        , @('{spelling}', {})\n", quoted(help, "''"));
    let template = include_str!("completions/sigsend.ps1");
    fill(template, ", ", |spelling| quoted(spelling, "''"))
        .replace("@OPTIONS@", &lines(|row| each_spelling(row, option)))
}

/// Puts the signals, the products, and the spellings of the options of each kind into a template.
fn fill(template: &str, separator: &str, spelled: fn(&str) -> String) -> String {
    let mut script = template.replace("@SIGNALS@", &each_signal(|signal| signal.to_string()));
    script = script.replace("@PRODUCTS@", &products().join(" "));
    for (placeholder, names) in KINDS {
        let options = OPTIONS.iter().filter(|option| {
            option
                .values
                .first()
                .is_some_and(|name| names.contains(name))
        });
        let spellings: Vec<_> = options
            .flat_map(spellings)
            .map(|spelling| spelled(&spelling))
            .collect();
        script = script.replace(placeholder, &spellings.join(separator));
    }
    script
}

fn products() -> [&'static str; 6] {
    Product::NAMES.map(|(name, _)| name)
}

fn each_signal(words: impl Fn(Signal) -> String) -> String {
    let signals = Signal::all().filter(|signal| signal.has_name());
    signals.map(words).collect::<Vec<_>>().join(" ")
}

fn lines(line: impl Fn(&Opt) -> String) -> String {
    OPTIONS.iter().map(line).collect()
}

fn each_spelling(option: &Opt, line: impl Fn(&str, &str) -> String) -> String {
    spellings(option)
        .iter()
        .map(|spelling| line(spelling, option.help))
        .collect()
}

/// Every way to write an option, short ones first.
pub fn spellings(option: &Opt) -> Vec<String> {
    let shorts = option.shorts.chars().map(|short| format!("-{short}"));
    shorts
        .chain(option.long.map(|long| format!("--{long}")))
        .collect()
}

/// A text in single quotes, in which a single quote is written as `escaped`.
fn quoted(text: &str, escaped: &str) -> String {
    // fish alone knows the backslash in single quotes.
    let text = if escaped == r"\'" {
        text.replace('\\', r"\\")
    } else {
        text.to_owned()
    };
    format!("'{}'", text.replace('\'', escaped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_is_filled() {
        for script in [bash(), zsh(), fish(), elvish(), powershell()] {
            for (placeholder, _) in KINDS.iter().chain(&[
                ("@OPTIONS@", &[][..]),
                ("@SIGNALS@", &[]),
                ("@DESCRIBED@", &[]),
            ]) {
                assert!(!script.contains(placeholder), "{placeholder}");
            }
            assert!(
                script.contains("RTMIN+15") && script.contains("--timeout"),
                "{script}"
            );
        }
    }

    #[test]
    fn every_value_has_a_kind() {
        for name in OPTIONS.iter().filter_map(|option| option.values.first()) {
            assert!(
                KINDS.iter().any(|(_, names)| names.contains(name)),
                "{name}"
            );
        }
    }
}
