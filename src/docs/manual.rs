//! The help and the man page, made from the table of options.

use std::fmt::Write;
use std::io;

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::Style;
use clap::{ArgAction, Command};

use crate::cli::options::{self, Arity, GENERATE, LONG_HELP, OPTIONS, Opt};
use crate::docs::completions;
use crate::output::terminal::Stream;
use crate::plan::{Detail, Product};
use crate::signal::Signal;

/// clap's default styles for headings and for literal text.
const HEADING: Style = Style::new().bold().underline();
const LITERAL: Style = Style::new().bold();

/// The forms of the command line, without the name of the program.
const FORMS: [&str; 4] = [
    "[options] [-SIGNAL | -s SIGNAL] TARGET...",
    "-l [SIGNAL | STATUS | 0xMASK]...",
    "-L | -t [SIGNAL]...",
    "-d PID...",
];

/// The command with its help texts.
fn command(program: &str) -> Command {
    let documented = |option: &Opt| {
        let arg = option
            .arg()
            .help(option.help)
            .long_help(option.long_help)
            .help_heading(option.group);
        // The parser counts flags. In the help, that would show them as options to be repeated.
        let arg = if option.arity == Arity::Flag {
            arg.action(ArgAction::SetTrue)
        } else {
            arg
        };
        arg.hide_short_help(matches!(option.id, GENERATE | LONG_HELP))
    };
    let forms: Vec<String> = FORMS
        .iter()
        .map(|form| format!("{LITERAL}{program}{LITERAL:#} {form}"))
        .collect();
    options::bare_command()
        .args(OPTIONS.iter().map(documented))
        .bin_name(program)
        .version(env!("CARGO_PKG_VERSION"))
        .override_usage(forms.join("\n       "))
        .after_help(format!(
            "{HEADING}TARGET:{HEADING:#} PID, -PGID, 0 (own group), -1 (everyone), PID:INODE, NAME or :PORT"
        ))
        .after_long_help(epilogue(program))
        .help_template("{usage-heading} {usage}\n\n{all-args}{after-help}\n")
        .term_width(Stream::Output.width().unwrap_or(100).min(100))
}

const TARGETS: [(&str, &str); 7] = [
    (
        "PID",
        "one process; leading zeros and blanks around it are fine",
    ),
    ("-PGID", "a process group; only after a signal or --"),
    ("0", "the process group of the caller, itself included"),
    (
        "-1",
        "every process that may be signalled; only after a signal or --",
    ),
    (
        "PID:INODE",
        "that process only, even if its PID is reused (see --id)",
    ),
    (
        "NAME",
        "the caller's own processes with this command name (-a: of all users)",
    ),
    (
        ":PORT",
        "the caller's own processes that listen there, TCP or UDP (-a: of all users)",
    ),
];

const STATUSES: [(&str, &str); 4] = [
    (
        "0",
        "every target was signalled and, if waiting was requested, is gone",
    ),
    ("1", "nothing was signalled, or output could not be written"),
    (
        "64",
        "some processes were signalled, others were not, or one got no follow-up",
    ),
    (
        "124",
        "a target was still there when the time of --within or --grace was over",
    ),
];

/// Arguments and what they do.
const EXAMPLES: [(&str, &str); 12] = [
    ("-HUP 4242", "make a daemon read its configuration again"),
    ("-r -HUP nginx", "the same by name, unless it would kill it"),
    ("-0 4242", "check whether it may be signalled"),
    (
        "--alive --pidfile x.pid",
        "check whether a service is alive",
    ),
    (
        "--grace 10s 4242",
        "TERM, KILL after 10 s, return when it is gone",
    ),
    ("--grace 10s -- -4242", "the same for a process group"),
    ("--tree -KILL 4242", "a process and all its descendants"),
    ("--grace 5s :8080", "stop what listens on a port"),
    (
        "--grace 10s --cgroup DIR",
        "a whole control group, detached processes too",
    ),
    (
        "--timeout 5s KILL -w 4242",
        "TERM, KILL after 5 s, wait without limit",
    ),
    (
        "--dry-run -HUP -- -1",
        "show who would get it and what it would do",
    ),
    ("--id 4242", "print a token for exactly this process"),
];

/// What follows the options in the long help.
fn epilogue(program: &str) -> String {
    let examples = EXAMPLES.map(|(args, meaning)| (format!("{program} {args}"), meaning));
    let examples = examples
        .each_ref()
        .map(|(line, meaning)| (line.as_str(), *meaning));
    let mut text = String::new();
    for (heading, rows) in [
        ("Targets", &TARGETS[..]),
        ("Exit status", &STATUSES),
        ("Examples", &examples),
    ] {
        let width = rows
            .iter()
            .map(|(term, _)| term.chars().count())
            .max()
            .unwrap_or_default();
        let _ = writeln!(text, "{HEADING}{heading}:{HEADING:#}");
        for (term, meaning) in rows {
            let _ = writeln!(
                text,
                "  {LITERAL}{term}{LITERAL:#}{:1$}  {meaning}",
                "",
                width - term.chars().count()
            );
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

/// The short or the long help, coloured if standard output is a terminal and the environment allows
/// it.
pub fn help(program: &str, detail: Detail) -> Vec<u8> {
    let mut command = command(program);
    let text = match detail {
        Detail::Short => command.render_help(),
        Detail::Long => command.render_long_help(),
    };
    let text = match AutoStream::choice(&io::stdout()) {
        ColorChoice::Never => text.to_string(),
        _ => text.ansi().to_string(),
    };
    text.into_bytes()
}

/// The man page, or the completion script for a shell.
pub fn generate(product: Product) -> String {
    match product {
        Product::Man => page(),
        Product::Bash => completions::bash(),
        Product::Zsh => completions::zsh(),
        Product::Fish => completions::fish(),
        Product::Elvish => completions::elvish(),
        Product::Powershell => completions::powershell(),
    }
}

/// The man page: its text, with the tables of options and signals put in.
fn page() -> String {
    include_str!("manual/sigsend.man")
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@FORMS@\n", &forms())
        .replace("@SIGNALS@\n", &signals())
        .replace("@OPTIONS@\n", &options())
}

/// A subsection for each group of the help, a paragraph for each option.
fn options() -> String {
    let mut text = String::new();
    let mut group = "";
    for option in &OPTIONS {
        if option.group != group {
            group = option.group;
            let _ = writeln!(text, ".SS {group}");
        }
        let spellings: Vec<String> = completions::spellings(option)
            .iter()
            .map(|spelling| format!("\\fB{}\\fR", roff(spelling)))
            .collect();
        let _ = write!(text, ".TP\n{}", spellings.join(", "));
        for value in option.values {
            let _ = match option.arity {
                Arity::Attached => write!(text, " [\\fI{value}\\fR]"),
                _ => write!(text, " \\fI{value}\\fR"),
            };
        }
        let _ = writeln!(text, "\n{}", roff(option.long_help).replace(". ", ".\n"));
    }
    text
}

/// Escapes a text for roff(7). A dash is literal, not a hyphen.
fn roff(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

/// The rows of a tbl(1) table: number, name, default action and meaning.
fn signals() -> String {
    let plain = |signal: &Signal| {
        signal.has_name()
            && (!signal.is_realtime() || [Signal::RTMIN, Signal::RTMAX].contains(signal))
    };
    let row = |signal: Signal| {
        let (number, action, meaning) = (
            signal.number(),
            signal.default_action(),
            signal.description(),
        );
        format!(
            "{number}\t{signal}\t{action}\tT{{\n{}\nT}}\n",
            roff(meaning)
        )
    };
    Signal::all().filter(plain).map(row).collect()
}

/// The synopsis: literal words in bold, placeholders in italics.
fn forms() -> String {
    let word = |word: &str| {
        let stem = word.trim_matches(|c: char| "[].".contains(c));
        let style = match stem {
            "" | "|" => return word.to_owned(),
            _ if stem.starts_with('-') && stem != "-SIGNAL" => "\\fB",
            _ => "\\fI",
        };
        word.replacen(stem, &format!("{style}{stem}\\fR"), 1)
            .replace('-', "\\-")
    };
    let form = |form: &&str| {
        format!(
            "\\fBsigsend\\fR {}\n",
            form.split(' ').map(word).collect::<Vec<_>>().join(" ")
        )
    };
    FORMS.iter().map(form).collect::<Vec<_>>().join(".br\n")
}
