//! The table of options, one row each. The clap command, the shapes that `argv` needs, the help,
//! the man page and the completions are all made from it.

use std::ffi::{OsStr, OsString};

use clap::builder::{OsStringValueParser, TypedValueParser, ValueParser};
use clap::{Arg, ArgAction, Command};

use crate::cli::values;
use crate::plan::{Age, Plan, Reach, Users};
use crate::usage::UsageError;

/// One option: how it is spelled, what it takes, and its texts for the short and the long help.
pub struct Opt {
    pub id: &'static str,
    pub long: Option<&'static str>,
    pub shorts: &'static str,
    pub arity: Arity,
    /// The names of the values in the help.
    pub values: &'static [&'static str],
    parser: fn() -> ValueParser,
    action: ArgAction,
    /// What the option changes in the plan, if that is all that it means.
    pub change: fn(&mut Plan),
    pub group: &'static str,
    pub help: &'static str,
    pub long_help: &'static str,
}

/// How many arguments belong to an option.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    Flag,
    /// One that may be attached (`-l9`, `--list=9`). The next argument is never its value.
    Attached,
    /// This many, whatever they look like. The first may be attached.
    Values(usize),
}

const SIGNALS: &str = "Signal";
const TARGETS: &str = "Target";
const SAFETY: &str = "Safety";
const WAITING: &str = "Waiting";
const OUTPUT: &str = "Output";

pub const SIGNAL: &str = "signal";
pub const QUEUE: &str = "queue";
pub const LIST: &str = "list";
pub const NUMBERS: &str = "numbers";
pub const TABLE: &str = "table";
pub const STATE: &str = "show-process-state";
pub const ALL: &str = "all";
pub const PID: &str = "pid";
pub const PIDFILE: &str = "pidfile";
pub const CGROUP: &str = "cgroup";
pub const TREE: &str = "tree";
pub const HANDLER: &str = "require-handler";
pub const EXPECT: &str = "expect";
pub const ALLOW_STALE: &str = "allow-stale";
pub const ID: &str = "id";
pub const ALIVE: &str = "alive";
pub const DRY_RUN: &str = "dry-run";
pub const WAIT: &str = "wait";
pub const WITHIN: &str = "within";
pub const TIMEOUT: &str = "timeout";
pub const GRACE: &str = "grace";
pub const VERBOSE: &str = "verbose";
pub const JSON: &str = "json";
pub const GENERATE: &str = "generate";
pub const SHORT_HELP: &str = "short-help";
pub const LONG_HELP: &str = "help";
pub const VERSION: &str = "version";

const fn flag(group: &'static str, id: &'static str, shorts: &'static str) -> Opt {
    Opt {
        id,
        long: Some(id),
        shorts,
        arity: Arity::Flag,
        values: &[],
        parser: ValueParser::os_string,
        // Count may be repeated, and costs less at start-up than SetTrue, whose default is parsed
        // in each run.
        action: ArgAction::Count,
        change: |_| {},
        group,
        help: "",
        long_help: "",
    }
}

const fn valued(
    group: &'static str,
    id: &'static str,
    shorts: &'static str,
    values: &'static [&'static str],
) -> Opt {
    Opt {
        arity: Arity::Values(values.len()),
        values,
        action: ArgAction::Set,
        ..flag(group, id, shorts)
    }
}

impl Opt {
    const fn says(self, help: &'static str, long_help: &'static str) -> Self {
        Self {
            help,
            long_help,
            ..self
        }
    }

    const fn reads(self, parser: fn() -> ValueParser) -> Self {
        Self { parser, ..self }
    }

    const fn changes(self, change: fn(&mut Plan)) -> Self {
        Self { change, ..self }
    }

    const fn repeats(self) -> Self {
        Self {
            action: ArgAction::Append,
            ..self
        }
    }

    const fn attached(self) -> Self {
        Self {
            arity: Arity::Attached,
            ..self
        }
    }

    const fn short_only(self) -> Self {
        Self { long: None, ..self }
    }

    /// As messages write it.
    pub fn spelled(&self) -> String {
        self.long
            .map_or_else(|| format!("-{}", self.shorts), |long| format!("--{long}"))
    }

    /// The option as clap parses it, without help texts.
    pub fn arg(&self) -> Arg {
        let mut shorts = self.shorts.chars();
        let arg = Arg::new(self.id)
            .long(self.long)
            .short(shorts.next())
            .short_aliases(shorts);
        let arg = arg.action(self.action.clone());
        let arg = match self.arity {
            Arity::Flag => return arg,
            Arity::Attached => arg.num_args(0..=1),
            Arity::Values(count) => arg.num_args(count).allow_hyphen_values(true),
        };
        arg.value_names(self.values.iter().copied())
            .value_parser((self.parser)())
    }
}

/// The option with this id.
pub fn option(id: &str) -> &'static Opt {
    OPTIONS
        .iter()
        .find(|option| option.id == id)
        .expect("every id has a row in the table")
}

/// The command that parses the options. It has no positional arguments: `argv` separates the
/// operands.
pub fn command() -> Command {
    bare_command().args(OPTIONS.iter().map(Opt::arg))
}

/// The command without its options.
pub fn bare_command() -> Command {
    Command::new("sigsend")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .infer_long_args(true)
}

/// A value parser from one of the functions in `values`, whose error clap passes on as the source
/// of its own.
fn typed<T: Clone + Send + Sync + 'static>(
    read: fn(&OsStr) -> Result<T, UsageError>,
) -> ValueParser {
    OsStringValueParser::new()
        .try_map(move |text: OsString| read(&text))
        .into()
}

/// Every option, in the order of the help.
pub static OPTIONS: [Opt; 27] = [
    valued(SIGNALS, SIGNAL, "sn", &["SIGNAL"]).repeats().reads(|| typed(values::signal)).says(
        "signal to send, also -SIGNAL [default: TERM]",
        "Send SIGNAL instead of TERM: a name with or without SIG in any case, or a number from 0 to 64. The old form -SIGNAL (-9, -HUP, \
         -RTMIN+3) and bash's -n SIGNAL mean the same. Signal 0 sends nothing and only checks that a signal could be sent.",
    ),
    valued(SIGNALS, QUEUE, "q", &["VALUE"]).reads(|| typed(values::queued_value)).says(
        "queue the signal with a 32-bit VALUE",
        "Send with sigqueue(3): a handler that was installed with SA_SIGINFO receives VALUE (-2147483648 to 2147483647) in si_value. \
         Follow-up signals carry it too. Not for process groups, 0 and -1.",
    ),
    valued(SIGNALS, LIST, "l", &["X"]).attached().says(
        "list signal names, or translate each X",
        "Without operand, list every signal name. A number, an exit status or a wait status is translated to the name of its signal (9, \
         137 and 265 to KILL), a name to its number, and a mask such as 0x4001, as /proc/PID/status shows it, to the names in it. \
         The first X may be attached: -l9, --list=9.",
    ),
    flag(SIGNALS, NUMBERS, "L").short_only().says(
        "list signal numbers and names",
        "List numbers and names: in columns on a terminal, otherwise one pair per line. Operands restrict the list to those signals.",
    ),
    flag(SIGNALS, TABLE, "t").says(
        "list signals with action and description",
        "List the number, name, default action (terminate, core, stop, continue, ignore) and description of every signal, or of those \
         given as operands.",
    ),
    flag(TARGETS, ALL, "a").changes(|plan| plan.selection.users = Users::All).says(
        "names and ports: of all users",
        "Select processes of all users by NAME and :PORT, not only the caller's own. Any user can give a process any name: combine \
         this with --expect and the name of an executable, or better, use --pidfile or PID:INODE.",
    ),
    valued(TARGETS, PIDFILE, "", &["FILE"]).says(
        "read targets from FILE, - for stdin",
        "Read targets from FILE: PIDs or PID:INODE tokens separated by white space. A process that started more than two seconds after \
         the file was last modified did not write it and is refused as stale. Groups, 0, -1 and names are refused in a file. Files of \
         /proc and /sys are refused. If FILE is -, standard input is read; if it names no target, nothing is done and the exit status \
         is 0.",
    ),
    valued(TARGETS, CGROUP, "", &["DIR"]).reads(|| typed(values::control_group)).says(
        "all of a control group and those below",
        "Signal every process in the control group DIR (version 2) and in those below it. DIR is the path of its directory, or the path \
         that /proc/PID/cgroup shows. KILL goes to the whole group at once through cgroup.kill (Linux 5.14), so that nothing escapes by \
         forking; with -r or --expect, and with other signals, each member gets it, and the group is read again until nobody new \
         appears. Waiting ends when the group is empty. The root group, a group that holds sigsend, version 1 and threaded groups are \
         refused.",
    ),
    flag(TARGETS, TREE, "").changes(|plan| plan.selection.reach = Reach::Tree).says(
        "each process and all its descendants",
        "Signal each process and all its descendants, children of every thread included, from the root down. KILL stops the whole tree \
         first, so that it cannot outrun the signal by forking, and then kills it from the leaves up. A process whose parent exited \
         before it was seen has left the tree. sigsend never signals itself or its ancestors in a tree.",
    ),
    flag(TARGETS, PID, "p").says(
        "print the PIDs, signal nobody",
        "Print the PID of each process that the targets select, and signal nobody.",
    ),
    flag(TARGETS, ID, "").says(
        "print PID:INODE, signal nobody",
        "Print a PID:INODE token for each process and signal nobody. As a target, the token selects this process only, even if the PID \
         is reused. Needs Linux 6.9.",
    ),
    flag(SAFETY, HANDLER, "r").changes(|plan| plan.selection.catching = Some(plan.first_signal())).says(
        "skip processes that don't catch it",
        "Signal only processes that catch the signal; the others are reported and count as failed. This way HUP never kills a daemon \
         that has no handler for it. Not with 0, KILL and STOP, which no process can catch.",
    ),
    valued(SAFETY, EXPECT, "", &["NAME"]).reads(|| typed(values::expected_name)).says(
        "refuse a process that is not NAME",
        "Refuse a target unless its command name, the basename of its executable or the basename of its argv[0] is NAME. A target that \
         cannot be verified is refused too. A process can choose its command name and argv[0]; the executable is what the kernel reports.",
    ),
    flag(SAFETY, ALLOW_STALE, "").changes(|plan| {
        if let Some(pidfile) = &mut plan.selection.pidfile {
            pidfile.age = Age::Any;
        }
    }).says(
        "accept a process newer than its pidfile",
        "Signal a process from a pidfile even if it started more than two seconds after the file was last modified.",
    ),
    flag(SAFETY, ALIVE, "").says(
        "ask who lives: 0 all, 1 not all, 2 unclear",
        "Check instead of signalling: the exit status is 0 if every target is alive, 1 if one is gone, 2 if that cannot be told, which \
         includes usage errors. A zombie is gone. A process that the caller may not signal is alive, and so is a process whose main \
         thread has exited while others run.",
    ),
    flag(SAFETY, DRY_RUN, "").says(
        "say who would get what, signal nobody",
        "Look everything up, signal nobody, and print for each process its owner, age and command line, and what the signal would do: \
         be caught, ignored or blocked, or its default action. The exit status is that of the real call.",
    ),
    flag(WAITING, WAIT, "w").says(
        "return when every target is gone",
        "Return only when every target is gone; a zombie is gone. A target that was gone from the start counts as success. A target \
         that the caller may not signal is reported and not waited for, except with signal 0.",
    ),
    valued(WAITING, WITHIN, "", &["DURATION"]).reads(|| typed(values::duration_with_unit)).says(
        "the same, at most DURATION long",
        "Wait like --wait, but at most DURATION after the last signal; the exit status is 124 if a target is still there then. DURATION \
         needs a unit: 500ms, 5s, 1m30s. 0s looks once.",
    ),
    valued(WAITING, TIMEOUT, "", &["DURATION", "SIGNAL"]).repeats().says(
        "then SIGNAL to those still there",
        "Send SIGNAL to the targets that are still there DURATION after the previous signal. May be repeated; the follow-ups are sent in \
         order. A bare number is milliseconds, as in util-linux; 500ms, 5s and 1m30s work too.",
    ),
    valued(WAITING, GRACE, "", &["DURATION"]).reads(|| typed(values::duration_with_unit)).says(
        "TERM, then KILL after DURATION; wait",
        "Stop processes cleanly: send the signal (TERM), then CONT so that a stopped process can act on it, then KILL to those that \
         remain after DURATION, and return when all are gone, at most DURATION later. DURATION needs a unit: 500ms, 5s, 1m30s.",
    ),
    flag(OUTPUT, VERBOSE, "v").says(
        "say what happens, a line each",
        "Print a line on standard output for each event: sent, gone and how it ended, already gone. Failures go to standard error only.",
    ),
    flag(OUTPUT, JSON, "").says(
        "the same as JSON Lines",
        "Print events as JSON Lines: one object for each event, and a last one with the summary and the exit status. \
         sigsend(1) lists the keys under OUTPUT.",
    ),
    valued(OUTPUT, STATE, "d", &["PID"]).repeats().reads(|| typed(values::process_id)).says(
        "show pending, blocked, caught signals",
        "Show which signals are pending for the process and its main thread, and which are blocked, ignored and caught: \
         one line for each set that is not empty. More PIDs may follow.",
    ),
    valued(OUTPUT, GENERATE, "", &["WHAT"]).reads(|| typed(values::product)).says(
        "print the man page or a completion script",
        "Print the man page (man) or the completion script for a shell: bash, zsh, fish, elvish or powershell.",
    ),
    flag(OUTPUT, SHORT_HELP, "h").short_only().says("help; --help says more", "Print a short help."),
    flag(OUTPUT, LONG_HELP, "").says("long help", "Print this help."),
    flag(OUTPUT, VERSION, "V").says("version", "Print the version."),
];
