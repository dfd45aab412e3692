//! Completion scripts: what clap_complete makes of the command, and beside each a file in the shell's own language for what the command
//! cannot tell: signals as options, the second value of `--timeout`, processes as targets.

use std::io;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, Command, ValueHint};
use clap_complete::Shell;

use crate::cli::options::{GENERATE, LIST, OPTIONS, PIDFILE, SIGNAL};
use crate::docs::manual::{self, command};
use crate::plan::Product;
use crate::signal::Signal;

/// What `--generate` can print.
pub const PRODUCTS: [&str; 6] = ["man", "bash", "zsh", "fish", "elvish", "powershell"];

/// The man page, or the completion script for a shell.
pub fn generate(product: Product) -> io::Result<Vec<u8>> {
    let shell = match product {
        Product::Man => return manual::page().map(String::into_bytes),
        Product::Bash => Shell::Bash,
        Product::Zsh => Shell::Zsh,
        Product::Fish => Shell::Fish,
        Product::Elvish => Shell::Elvish,
        Product::Powershell => Shell::PowerShell,
    };
    script(shell).map(String::into_bytes)
}

/// The script for a shell.
fn script(shell: Shell) -> io::Result<String> {
    let mut generated = Vec::new();
    clap_complete::generate(shell, &mut completable(), "sigsend", &mut generated);
    let mut script = String::from_utf8(generated).map_err(io::Error::other)?;
    let (companion, edits) = companion(shell);
    for Edit { from, to, times } in edits {
        // In a script that has changed its shape nothing would be right.
        if script.matches(from).count() != *times {
            return Err(io::Error::other(format!("clap_complete's {shell} script has not {times} times {from:?}")));
        }
        script = script.replace(from, to);
    }
    let signals: Vec<String> = signals().map(|signal| signal.to_string()).collect();
    let script = if script.contains(COMPANION) { script.replace(COMPANION, companion) } else { script + companion };
    Ok(script.replace("@SIGNALS@", &signals.join(" ")))
}

fn signals() -> impl Iterator<Item = Signal> {
    Signal::all().filter(|signal| signal.has_name())
}

/// The command with all that clap can say of values and targets.
fn completable() -> Command {
    let with_values = |arg: Arg| match arg.get_id().as_str() {
        SIGNAL => arg.visible_short_alias('n').value_parser(signal_names()),
        LIST => arg.value_parser(signal_names()),
        GENERATE => arg.value_parser(PRODUCTS),
        PIDFILE => arg.value_hint(ValueHint::FilePath),
        _ if arg.get_action().takes_values() => arg.value_hint(ValueHint::Other),
        _ => arg,
    };
    let targets = Arg::new("target").num_args(0..).value_hint(ValueHint::Other);
    OPTIONS.iter().fold(command("sigsend"), |command, option| command.mut_arg(option.id, with_values)).arg(targets)
}

fn signal_names() -> PossibleValuesParser {
    // clap wants texts that live as long as the program, which is over once they are printed.
    let value = |signal: Signal| PossibleValue::new(&*signal.to_string().leak()).help(signal.description());
    signals().map(value).collect::<Vec<_>>().into()
}

/// Text in a generated script that is replaced, as often as it occurs there.
struct Edit {
    from: &'static str,
    to: &'static str,
    times: usize,
}

const fn edit(from: &'static str, to: &'static str, times: usize) -> Edit {
    Edit { from, to, times }
}

/// Where an edit puts the companion; without one it stands at the end.
const COMPANION: &str = "@COMPANION@";

/// The shell's own file, and how the generated script is made to call it.
fn companion(shell: Shell) -> (&'static str, &'static [Edit]) {
    match shell {
        Shell::Bash => (include_str!("completions/sigsend.bash"), &BASH),
        Shell::Zsh => (include_str!("completions/sigsend.zsh"), &ZSH),
        Shell::Fish => (include_str!("completions/sigsend.fish"), &[]),
        Shell::Elvish => (include_str!("completions/sigsend.elv"), &[]),
        Shell::PowerShell => (include_str!("completions/sigsend.ps1"), &POWERSHELL),
        _ => ("", &[]),
    }
}

const BASH: [Edit; 4] = [
    edit("_sigsend() {\n", "@COMPANION@\n_sigsend() {\n", 1),
    edit(
        "            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W \"${opts}\" -- \"${cur}\") )
                return 0
            fi
",
        "            _sigsend_around && return 0\n",
        1,
    ),
    edit(
        "                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W \"${opts}\" -- \"${cur}\") )
",
        "                    _sigsend_targets
                    ;;
            esac
",
        1,
    ),
    // Nothing but --pidfile takes files.
    edit(" -o bashdefault -o default", "", 2),
];

const ZSH: [Edit; 7] = [
    edit("_sigsend() {\n", "@COMPANION@\n_sigsend() {\n", 1),
    edit("    _arguments \"", "    _sigsend_old_form && ret=0\n    _arguments \"", 1),
    edit("&& ret=0\n}", "&& ret=0\n    return ret\n}", 1),
    edit(":PID:'", ":PID:_sigsend_pids'", 2),
    edit(":NAME:'", ":NAME:_sigsend_names'", 1),
    edit(":DURATION::DURATION:'", ":DURATION: :SIGNAL:_sigsend_signals'", 1),
    edit("'*::target:'", "'*:target:_sigsend_targets'", 1),
];

const POWERSHELL: [Edit; 1] = [edit("    $completions = @(", "@COMPANION@    $completions = @(", 1)];

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn every_script_has_the_shape_that_is_edited() {
        for shell in Shell::value_variants() {
            let script = script(*shell).unwrap_or_else(|error| panic!("{error}"));
            assert!(!script.contains("@COMPANION@") && !script.contains("@SIGNALS@"), "{shell}");
            assert!(script.contains("--timeout") && script.contains("RTMIN+15"), "{shell}");
        }
    }
}
