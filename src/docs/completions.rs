//! Completion scripts: a template in the language of each shell, filled from the table of options
//! and the list of signals. What completes the value of an option follows from the name of the
//! value.

use crate::cli::options::{Arity, OPTIONS, Opt, id};
use crate::plan::Product;
use crate::signal::Signal;

/// What completes the value of an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Signal,
    Pid,
    Name,
    User,
    File,
    Directory,
    ControlGroup,
    Product,
    Nothing,
}

/// Placeholders for the options whose values are of a kind.
const KINDS: [(&str, Kind); 9] = [
    ("@SIGNAL@", Kind::Signal),
    ("@PID@", Kind::Pid),
    ("@NAME@", Kind::Name),
    ("@USER@", Kind::User),
    ("@FILE@", Kind::File),
    ("@DIR@", Kind::Directory),
    ("@GROUP@", Kind::ControlGroup),
    ("@WHAT@", Kind::Product),
    ("@NOTHING@", Kind::Nothing),
];

/// The kind of a value by its name, or `None` for a flag.
fn kind(option: &Opt) -> Option<Kind> {
    Some(match *option.values.first()? {
        "DIR" if option.id == id::CGROUP => Kind::ControlGroup,
        "SIGNAL" | "X" => Kind::Signal,
        "PID" => Kind::Pid,
        "NAME" => Kind::Name,
        "USER" => Kind::User,
        "FILE" => Kind::File,
        "DIR" => Kind::Directory,
        "WHAT" => Kind::Product,
        _ => Kind::Nothing,
    })
}

pub fn bash() -> String {
    let template = include_str!("completions/sigsend.bash");
    fill(template).replace(
        "@OPTIONS@",
        &OPTIONS
            .iter()
            .flat_map(Opt::spellings)
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
    fill(template)
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
    let value = |name: &&str| match kind(option) {
        // The second value of --timeout.
        _ if *name == "SIGNAL" => format!("{name}:_sigsend_signals"),
        Some(Kind::Signal) => format!("{name}:_sigsend_signals"),
        Some(Kind::Pid) => format!("{name}:_sigsend_pids"),
        Some(Kind::Name) => format!("{name}:_sigsend_names"),
        Some(Kind::User) => format!("{name}:_users"),
        Some(Kind::File) => format!("{name}:_files"),
        Some(Kind::Directory) => format!("{name}:_files -/"),
        Some(Kind::ControlGroup) => format!("{name}:_sigsend_groups"),
        Some(Kind::Product) => format!("{name}:({})", products().join(" ")),
        Some(Kind::Nothing) | None => format!("{name}: "),
    };
    let values = option.values.iter().map(|name| match option.arity {
        // It may be left out, and is attached.
        Arity::Attached => format!("::{}", value(name)),
        _ => format!(":{}", value(name)),
    });
    let values: String = values.collect();
    let specification = |spelling: String| {
        let attached = match (option.arity, spelling.starts_with("--")) {
            (Arity::Flag, _) => "",
            (Arity::Attached, true) => "=-",
            (Arity::Attached, false) => "-",
            (Arity::Values(_), true) => "=",
            (Arity::Values(_), false) => "+",
        };
        format!(
            "        {} \\\n",
            quoted(&format!("*{spelling}{attached}[{help}]{values}"), r"'\''")
        )
    };
    option.spellings().map(specification).collect()
}

pub fn fish() -> String {
    let template = include_str!("completions/sigsend.fish");
    let described = |signal: Signal| format!("{signal} {}", quoted(signal.description(), r"\'"));
    fill(template)
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
    let value = match kind(option) {
        None => String::new(),
        Some(Kind::Signal) => " -x -a '(__sigsend_signals)'".to_owned(),
        Some(Kind::Pid) => " -x -a '(__sigsend_pids)'".to_owned(),
        Some(Kind::Name) => " -x -a '(__sigsend_names)'".to_owned(),
        Some(Kind::User) => " -x -a '(__fish_complete_users)'".to_owned(),
        Some(Kind::File) => " -r -F".to_owned(),
        Some(Kind::Directory) => " -x -a '(__fish_complete_directories)'".to_owned(),
        Some(Kind::ControlGroup) => {
            " -x -a '(__fish_complete_directories; __sigsend_groups)'".to_owned()
        }
        Some(Kind::Product) => format!(" -x -a '{}'", products().join(" ")),
        Some(Kind::Nothing) => " -x".to_owned(),
    };
    format!(
        "complete -c sigsend{shorts}{long}{value} -d {}\n",
        quoted(option.help, r"\'")
    )
}

/// Puts the signals, the products, and the spellings of the options of each kind into a template.
fn fill(template: &str) -> String {
    let mut script = template.replace("@SIGNALS@", &each_signal(|signal| signal.to_string()));
    script = script.replace("@PRODUCTS@", &products().join(" "));
    for (placeholder, wanted) in KINDS {
        let options = OPTIONS.iter();
        let options = options.filter(|option| kind(option) == Some(wanted));
        let spellings: Vec<String> = options.flat_map(Opt::spellings).collect();
        script = script.replace(placeholder, &spellings.join("|"));
    }
    script
}

fn products() -> [&'static str; 4] {
    Product::NAMES.map(|(name, _)| name)
}

fn each_signal(words: impl Fn(Signal) -> String) -> String {
    let signals = Signal::all().filter(|signal| signal.has_name());
    signals.map(words).collect::<Vec<_>>().join(" ")
}

fn lines(line: impl Fn(&Opt) -> String) -> String {
    OPTIONS.iter().map(line).collect()
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
        for script in [bash(), zsh(), fish()] {
            let is_placeholder =
                |part: &str| part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase());
            let left: Vec<_> = script
                .split('@')
                .filter(|part| is_placeholder(part))
                .collect();
            assert!(left.is_empty(), "{left:?}");
            let is_filled = script.contains("RTMIN+15") && script.contains("timeout");
            assert!(is_filled, "{script}");
        }
    }
}
