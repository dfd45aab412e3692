//! The table of options: one row each, from which come the clap command, the argument splitter's shapes, help, man page and completions.

use crate::cli::argv::{Arity, SIGNAL, Shape};

/// One option: how it is spelled, what it takes, and its words in the short and the long help.
pub struct Opt {
    pub shape: Shape,
    pub values: &'static [&'static str],
    pub group: &'static str,
    pub help: &'static str,
    pub long_help: &'static str,
}

const SIGNALS: &str = "Signal";
const TARGETS: &str = "Target";
const SAFETY: &str = "Safety";
const WAITING: &str = "Waiting";
const OUTPUT: &str = "Output";

pub const QUEUE: &str = "queue";
pub const LIST: &str = "list";
pub const NUMBERS: &str = "numbers";
pub const TABLE: &str = "table";
pub const STATE: &str = "show-process-state";
pub const ALL: &str = "all";
pub const PID: &str = "pid";
pub const PIDFILE: &str = "pidfile";
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
pub const HELP: &str = "help";
pub const VERSION: &str = "version";

const fn flag(group: &'static str, id: &'static str, shorts: &'static str) -> Opt {
    let shape = Shape { id, long: Some(id), shorts, arity: Arity::Flag };
    Opt { shape, values: &[], group, help: "", long_help: "" }
}

const fn valued(group: &'static str, id: &'static str, shorts: &'static str, values: &'static [&'static str]) -> Opt {
    let shape = Shape { id, long: Some(id), shorts, arity: Arity::Values(values.len()) };
    Opt { shape, values, group, help: "", long_help: "" }
}

impl Opt {
    const fn says(self, help: &'static str, long_help: &'static str) -> Self {
        Self { help, long_help, ..self }
    }

    const fn shaped(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }
}

/// Every option, in the order of the help.
pub static OPTIONS: [Opt; 25] = [
    valued(SIGNALS, SIGNAL, "sn", &["SIGNAL"]).says(
        "signal to send, also -SIGNAL [default: TERM]",
        "Send SIGNAL instead of TERM: a name with or without SIG in any case, or a number from 0 to 64. The old form -SIGNAL (-9, -HUP, \
         -RTMIN+3) and bash's -n SIGNAL mean the same. Signal 0 sends nothing and only checks that a signal could be sent.",
    ),
    valued(SIGNALS, QUEUE, "q", &["VALUE"]).says(
        "queue the signal with a 32-bit VALUE",
        "Send with sigqueue(3): a handler set with SA_SIGINFO receives VALUE (-2147483648 to 2147483647) in si_value. Follow-up signals \
         carry it too. Not for process groups, 0 and -1.",
    ),
    valued(SIGNALS, LIST, "l", &["X"]).shaped(Shape { id: LIST, long: Some(LIST), shorts: "l", arity: Arity::Attached }).says(
        "list signal names, or translate each X",
        "Without operand list every signal name. A number, an exit status or a wait status is translated to the name of its signal (9, \
         137 and 265 to KILL), a name to its number, and a mask such as 0x4001, as /proc/PID/status shows them, to the names in it. \
         The first X may be attached: -l9, --list=9.",
    ),
    flag(SIGNALS, NUMBERS, "L").shaped(Shape { id: NUMBERS, long: None, shorts: "L", arity: Arity::Flag }).says(
        "list signal numbers and names",
        "List numbers and names: in columns on a terminal, otherwise one pair a line. Operands restrict the list to those signals.",
    ),
    flag(SIGNALS, TABLE, "t").says(
        "list signals with action and description",
        "List number, name, default action (terminate, core, stop, continue, ignore) and a description of every signal, or of those \
         that are named as operands.",
    ),
    flag(TARGETS, ALL, "a").says(
        "select names among all users' processes",
        "Select processes of all users by NAME, not only the caller's own. A name is a claim that any user can make: combine this with \
         --expect and an executable's name, or better with --pidfile or PID:INODE.",
    ),
    valued(TARGETS, PIDFILE, "", &["FILE"]).says(
        "read targets from FILE, - for stdin",
        "Read targets from FILE: PIDs or PID:INODE tokens with white space between. A process that started more than two seconds after \
         the file was last modified did not write it and is refused as stale. Groups, 0, -1 and names are refused in a file. FILE may be \
         - for standard input, where no target at all is success and nothing is done.",
    ),
    flag(TARGETS, TREE, "").says(
        "each process and all its descendants",
        "Signal each process and all its descendants, children of every thread included, from the root down. KILL stops the whole tree \
         first, so that it cannot outrun the signal by forking, and then kills it from the leaves up. A process whose parent has exited \
         before it was seen has left the tree. sigsend never signals itself or its ancestors in a tree.",
    ),
    flag(TARGETS, PID, "p").says(
        "print the PIDs, signal nobody",
        "Print the PID of each process that the targets mean and signal nobody.",
    ),
    flag(TARGETS, ID, "").says(
        "print PID:INODE, signal nobody",
        "Print a PID:INODE token for each process and signal nobody. Used as a target later, the token means this one process, whoever \
         holds its PID by then. Needs Linux 6.9.",
    ),
    flag(SAFETY, HANDLER, "r").says(
        "skip processes that don't catch it",
        "Signal only processes that catch the signal; the others are reported and count as failed. So a HUP never kills a daemon that \
         has no handler for it. Not with 0, KILL and STOP, which no process can catch.",
    ),
    valued(SAFETY, EXPECT, "", &["NAME"]).says(
        "refuse a process that is not NAME",
        "Refuse a target unless its command name, the basename of its executable or the basename of its argv[0] is NAME. A target that \
         cannot be verified is refused too. Command name and argv[0] are what a process claims; the executable is what the kernel knows.",
    ),
    flag(SAFETY, ALLOW_STALE, "").says(
        "accept a process newer than its pidfile",
        "Signal a process from a pidfile even if it started more than two seconds after the file was last modified.",
    ),
    flag(SAFETY, ALIVE, "").says(
        "ask who lives: 0 all, 1 not all, 2 unclear",
        "Ask instead of signalling: exit status 0 if every target is alive, 1 if one is gone, 2 if it could not be told, usage errors \
         included. A zombie is gone, a process that may not be signalled is alive, and so is one whose main thread has exited while \
         others run.",
    ),
    flag(SAFETY, DRY_RUN, "").says(
        "say who would get what, signal nobody",
        "Look everything up, signal nobody, and say for each process who owns it, how old it is, what it runs, and what the signal would \
         do there: be caught, ignored or blocked, or its default action. The exit status is that of the real call.",
    ),
    flag(WAITING, WAIT, "w").says(
        "return when every target is gone",
        "Return only when every target is gone; a zombie is gone. A target that was gone before is gone as wished. One that may not be \
         signalled is reported and not waited for, except with signal 0.",
    ),
    valued(WAITING, WITHIN, "", &["DURATION"]).says(
        "the same, at most DURATION long",
        "Wait like --wait, but at most DURATION after the last signal; exit status 124 if a target is still there then. DURATION needs a \
         unit: 500ms, 5s, 1m30s. 0s looks once.",
    ),
    valued(WAITING, TIMEOUT, "", &["DURATION", "SIGNAL"]).says(
        "then SIGNAL to those still there",
        "Send SIGNAL to the targets that are still there DURATION after the previous signal. May be repeated; the follow-ups are sent in \
         order. A bare number is milliseconds, as in util-linux; 500ms, 5s and 1m30s work too.",
    ),
    valued(WAITING, GRACE, "", &["DURATION"]).says(
        "TERM, then KILL after DURATION; wait",
        "Stop it properly: send the signal (TERM), then CONT so that a stopped process can act on it, KILL to those that remain after \
         DURATION, and return when all are gone, at most DURATION later. DURATION needs a unit: 500ms, 5s, 1m30s.",
    ),
    flag(OUTPUT, VERBOSE, "v").says(
        "say what happens, a line each",
        "Print a line on standard output for each thing that happens: sent, skipped, gone and how, still there.",
    ),
    flag(OUTPUT, JSON, "").says(
        "the same as JSON Lines",
        "Print the same as JSON Lines: one object for each event and a last one with the summary and the exit status. \
         sigsend(1) lists the keys under OUTPUT.",
    ),
    valued(OUTPUT, STATE, "d", &["PID"]).says(
        "show pending, blocked, caught signals",
        "Show which signals are pending for the process and its main thread, which are blocked, ignored and caught: \
         a line for each set that is not empty. More PIDs may follow.",
    ),
    valued(OUTPUT, GENERATE, "", &["WHAT"]).says(
        "print the man page or a completion script",
        "Print the man page (man) or the completion script for a shell: bash, zsh, fish, elvish or powershell.",
    ),
    flag(OUTPUT, HELP, "h").says("help; --help says more", "Print help: -h in short, --help at length."),
    flag(OUTPUT, VERSION, "V").says("version", "Print the version."),
];
