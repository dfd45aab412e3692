//! Completion scripts: a template in the language of each shell, filled from the table of options
//! and the list of signals.

use crate::cli::options::{Arity, OPTIONS, Opt, table as opt};
use crate::plan::Product;
use crate::signal::Signal;

/// What completes a value.
struct Kind {
    /// The name of the value in the help. `@NAME@` in a template stands for the options that take
    /// one.
    name: &'static str,
    /// The action of a specification for `_arguments` (zshcompsys(1)).
    zsh: &'static str,
    /// Arguments of complete(1).
    fish: &'static str,
}

const fn kind(name: &'static str, zsh: &'static str, fish: &'static str) -> Kind {
    Kind { name, zsh, fish }
}

/// The last one is for a value that only the user knows.
static KINDS: [Kind; 9] = [
    kind("SIGNAL", "_sigsend_signals", " -x -a '(__sigsend_signals)'"),
    kind("PID", "_sigsend_pids", " -x -a '(__sigsend_pids)'"),
    kind("NAME", "_sigsend_names", " -x -a '(__sigsend_names)'"),
    kind("USER", "_users", " -x -a '(__fish_complete_users)'"),
    kind("FILE", "_files", " -r -F"),
    kind("DIR", "_files -/", " -x -a '(__fish_complete_directories)'"),
    kind(
        "GROUP",
        "_sigsend_groups",
        " -x -a '(__fish_complete_directories; __sigsend_groups)'",
    ),
    kind("WHAT", "(@PRODUCTS@)", " -x -a '@PRODUCTS@'"),
    kind("NOTHING", " ", " -x"),
];

/// What completes a value of an option.
fn kind_of(option: &Opt, value: &str) -> &'static Kind {
    let name = match value {
        "X" => "SIGNAL",
        "DIR" if option.id() == opt::CGROUP.id() => "GROUP",
        value => value,
    };
    let kind = KINDS.iter().find(|kind| kind.name == name);
    kind.unwrap_or(&KINDS[KINDS.len() - 1])
}

pub fn bash() -> String {
    let options: Vec<String> = OPTIONS.into_iter().flat_map(Opt::spellings).collect();
    let template = include_str!("completions/sigsend.bash");
    fill(&template.replace("@OPTIONS@", &options.join(" ")))
}

pub fn zsh() -> String {
    let described = |signal: Signal| {
        let description = signal.description().replace('\\', r"\\");
        zsh_quoted(&format!("{signal}:{description}"))
    };
    let options: String = OPTIONS.into_iter().flat_map(zsh_options).collect();
    let template = include_str!("completions/sigsend.zsh");
    let script = template.replace("@OPTIONS@", &options);
    fill(&script.replace("@DESCRIBED@", &each_signal(described)))
}

/// A specification for each spelling.
fn zsh_options(option: &Opt) -> impl Iterator<Item = String> {
    let mut help = String::new();
    for c in option.help.chars() {
        help.extend(['[', ']', ':', '\\'].contains(&c).then_some('\\'));
        help.push(c);
    }
    // A value that may be left out has two colons.
    let (colons, short, long) = match option.arity {
        Arity::Flag => ("", "", ""),
        Arity::Attached => ("::", "-", "=-"),
        Arity::Values => (":", "+", "="),
    };
    let value = |value: &&str| format!("{colons}{value}:{}", kind_of(option, value).zsh);
    let values: Vec<String> = option.values.iter().map(value).collect();
    let values = values.concat();
    option.spellings().map(move |spelling| {
        let attached = if spelling.starts_with("--") {
            long
        } else {
            short
        };
        let option = zsh_quoted(&format!("*{spelling}{attached}[{help}]{values}"));
        format!("        {option} \\\n")
    })
}

fn zsh_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

pub fn fish() -> String {
    let described = |signal: Signal| format!("{signal} {}", fish_quoted(signal.description()));
    let options: String = OPTIONS.into_iter().map(fish_option).collect();
    let template = include_str!("completions/sigsend.fish");
    let script = template.replace("@OPTIONS@", &options);
    fill(&script.replace("@DESCRIBED@", &each_signal(described)))
}

fn fish_option(option: &Opt) -> String {
    let shorts = option.shorts.chars().map(|short| format!(" -s {short}"));
    let long = option.long.map(|long| format!(" -l {long}"));
    let value = option.values.first();
    let value = value.map_or("", |value| kind_of(option, value).fish);
    let spellings: String = shorts.chain(long).collect();
    let help = fish_quoted(option.help);
    format!("complete -c sigsend{spellings}{value} -d {help}\n")
}

fn fish_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

/// Puts the signals, the products, and the spellings of the options of each kind into a script.
fn fill(script: &str) -> String {
    let products = Product::NAMES.map(|(name, _)| name).join(" ");
    let script = script.replace("@PRODUCTS@", &products);
    let mut script = script.replace("@SIGNALS@", &each_signal(|signal| signal.to_string()));
    for kind in &KINDS {
        let takes_it = |option: &&Opt| {
            let value = option.values.first();
            value.is_some_and(|value| kind_of(option, value).name == kind.name)
        };
        let options = OPTIONS.into_iter().filter(takes_it);
        let spellings: Vec<String> = options.flat_map(Opt::spellings).collect();
        script = script.replace(&format!("@{}@", kind.name), &spellings.join("|"));
    }
    script
}

fn each_signal(words: impl Fn(Signal) -> String) -> String {
    let signals = Signal::all().filter(|signal| signal.has_name());
    signals.map(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_is_filled() {
        for script in [bash(), zsh(), fish()] {
            let is_name =
                |part: &&str| part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase());
            assert_eq!(script.split('@').find(is_name), None);
            assert!(
                script.contains("RTMIN+15") && script.contains("timeout"),
                "{script}"
            );
        }
    }
}
