//! Help, man page and completion scripts, all from the one clap command.

use std::io;

use anstream::{AutoStream, ColorChoice};
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::{Detail, Product, command};
use crate::completions;
use crate::options::OPTIONS;
use crate::signal::Signal;

/// The short or the long help, in colour where standard output shows it and the environment does not forbid it.
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
pub fn generate(product: Product) -> io::Result<Vec<u8>> {
    let shell = match product {
        Product::Man => return page().map(String::into_bytes),
        Product::Bash => Shell::Bash,
        Product::Zsh => Shell::Zsh,
        Product::Fish => Shell::Fish,
        Product::Elvish => Shell::Elvish,
        Product::Powershell => Shell::PowerShell,
    };
    completions::script(shell).map(String::into_bytes)
}

/// The hand-written page, with the tables of options and signals put in.
fn page() -> io::Result<String> {
    let page = include_str!("manual/sigsend.man");
    let options = options()?;
    Ok(page
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@SIGNALS@\n", &signals())
        .replace("@OPTIONS@\n", &options))
}

/// One subsection for each group of the help.
fn options() -> io::Result<String> {
    let command = command("sigsend");
    let mut groups: Vec<&str> = OPTIONS.iter().map(|option| option.group).collect();
    groups.dedup();
    let mut text = String::new();
    for group in groups {
        let members = command.get_arguments().filter(|arg| arg.get_help_heading() == Some(group));
        let members = Command::new("sigsend")
            .disable_help_flag(true)
            .disable_version_flag(true)
            .args(members.cloned().map(|arg| arg.help_heading(None)));
        let mut section = Vec::new();
        Man::new(members).render_options_section(&mut section)?;
        text += &String::from_utf8(section).map_err(io::Error::other)?.replace(".SH OPTIONS", &format!(".SS {group}"));
    }
    Ok(text.replace("\\fI<", "\\fI").replace(">\\fR", "\\fR"))
}

/// The rows of a tbl(1) table: number, name, default action and meaning.
fn signals() -> String {
    let plain = |signal: &Signal| {
        signal.has_name() && (!signal.is_realtime() || [Signal::RTMIN, Signal::RTMAX].contains(signal))
    };
    let row = |signal: Signal| {
        let (number, action, meaning) = (signal.number(), signal.default_action(), signal.description());
        format!("{number}\t{signal}\t{action}\t{}\n", meaning.replace('\\', "\\e"))
    };
    Signal::all().filter(plain).map(row).collect()
}
