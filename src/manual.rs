//! Help, man page and completion scripts, all from the one clap command.

use std::io;

use clap_complete::Shell;

use crate::cli::{Detail, Product, command};

/// The short or the long help.
pub fn help(program: &str, detail: Detail) -> Vec<u8> {
    let mut command = command(program);
    let text = match detail {
        Detail::Short => command.render_help(),
        Detail::Long => command.render_long_help(),
    };
    text.to_string().into_bytes()
}

/// The man page, or the completion script for a shell.
pub fn generate(product: Product) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let shell = match product {
        Product::Man => {
            clap_mangen::Man::new(command("sigsend")).render(&mut text)?;
            return Ok(text);
        }
        Product::Bash => Shell::Bash,
        Product::Zsh => Shell::Zsh,
        Product::Fish => Shell::Fish,
        Product::Elvish => Shell::Elvish,
        Product::Powershell => Shell::PowerShell,
    };
    clap_complete::generate(shell, &mut command("sigsend"), "sigsend", &mut text);
    Ok(text)
}
