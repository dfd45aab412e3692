//! Every option, in the order of the help. Long texts are sentences for the man page, too.

use crate::cli::options::{Opt, flag, valued};

const SIGNALS: &str = "Signal";
const TARGETS: &str = "Target";
const SAFETY: &str = "Safety";
const WAITING: &str = "Waiting";
const OUTPUT: &str = "Output";

/// All of them, in this order.
pub static OPTIONS: [&Opt; 31] = [
    &SIGNAL, &QUEUE, &LIST, &NUMBERS, &TABLE, &ALL, &USER, &FULL, &CWD, &PIDFILE, &CGROUP, &TREE,
    &MIXED, &PID, &ID, &HANDLER, &EXPECT, &STALE, &ALIVE, &DRY_RUN, &WAIT, &WITHIN, &TIMEOUT,
    &GRACE, &VERBOSE, &JSON, &STATE, &GENERATE, &HELP, &LONG_HELP, &VERSION,
];

/// Those of the short help, in this order.
pub static DAILY: [&Opt; 14] = [
    &SIGNAL, &LIST, &ALL, &FULL, &PIDFILE, &TREE, &PID, &HANDLER, &ALIVE, &DRY_RUN, &WAIT, &WITHIN,
    &GRACE, &VERBOSE,
];

/// Options that ask about the targets, so that no signal can be named.
pub static QUESTIONS: [&Opt; 3] = [&PID, &ID, &ALIVE];

/// Options that list, show or print. Each stands alone, except for `--verbose`.
static ALONE: [&Opt; 5] = [&LIST, &NUMBERS, &TABLE, &STATE, &GENERATE];

/// Options of which two cannot be combined: any of the first list with any other of the second.
pub static EXCLUSIONS: [(&[&Opt], &[&Opt]); 5] = [
    (&ALONE, &OPTIONS),
    (
        &QUESTIONS,
        &[
            &PID, &ID, &ALIVE, &SIGNAL, &QUEUE, &TIMEOUT, &WAIT, &WITHIN, &GRACE, &DRY_RUN,
        ],
    ),
    (&[&GRACE], &[&TIMEOUT, &WITHIN]),
    // The descendants of members are members, and what has left the group is not meant.
    (&[&TREE, &MIXED], &[&CGROUP]),
    (&[&USER], &[&ALL]),
];

/// Options with which groups, `0` and `-1` are refused.
pub static NOT_FOR_GROUPS: [&Opt; 11] = [
    &HANDLER, &EXPECT, &FULL, &CWD, &USER, &PID, &ID, &ALIVE, &TREE, &MIXED, &QUEUE,
];

/// Options with which `0` and `-1` are refused: sigsend would wait for itself.
pub static NOT_FOR_ITSELF: [&Opt; 4] = [&WAIT, &WITHIN, &TIMEOUT, &GRACE];

pub static SIGNAL: Opt = valued(SIGNALS, "signal", "sn", &["SIGNAL"]).repeats().says(
    "signal to send, also as -SIGNAL [default: TERM]",
    "Send SIGNAL instead of TERM: a name with or without SIG in any case, or a number from 0 to \
     64. The old form -SIGNAL (-9, -HUP, -RTMIN+3) and bash's -n SIGNAL mean the same. Signal 0 \
     sends nothing and only checks that a signal could be sent.",
);

pub static QUEUE: Opt = valued(SIGNALS, "queue", "q", &["VALUE"]).says(
    "queue the signal with a 32-bit VALUE",
    "Send with sigqueue(3): a handler that was installed with SA_SIGINFO receives VALUE \
     (-2147483648 to 2147483647) in si_value. Follow-up signals carry it too. Not for process \
     groups, 0 and -1.",
);

pub static LIST: Opt = valued(SIGNALS, "list", "l", &["X"]).attached().says(
    "list signal names, or translate each X",
    "Without operand, list every signal name. A number, an exit status or a wait status is \
     translated to the name of its signal (9, 137, 265 and 393 to KILL), a name to its number, and \
     a mask of /proc/PID/status with 0x in front, such as 0x4001, to the names in it. The first X \
     may be attached: -l9, --list=9.",
);

pub static NUMBERS: Opt = flag(SIGNALS, "", "L").says(
    "list signal numbers and names",
    "List numbers and names: in columns on a terminal, otherwise one pair per line. Operands \
     restrict the list to those signals.",
);

pub static TABLE: Opt = flag(SIGNALS, "table", "t").says(
    "list signals with action and description",
    "List the number, name, default action (terminate, core, stop, continue, ignore) and \
     description of every signal, or of those given as operands.",
);

pub static ALL: Opt = flag(TARGETS, "all", "a").says(
    "NAME, :PORT, -f, --cwd: all users' processes",
    "Select processes of all users by NAME, :PORT, -f and --cwd, not only the caller's own. Any \
     user can give a process any name: combine this with --expect and the name of an executable, \
     or better, use --pidfile or PID:INODE.",
);

pub static USER: Opt = valued(TARGETS, "user", "u", &["USER"]).says(
    "NAME, :PORT, -f, --cwd: processes of USER",
    "Select processes of USER, a login name from /etc/passwd or a number, by NAME, :PORT, -f and \
     --cwd, instead of the caller's own. A PID, a token or a pidfile is refused if its process is \
     not USER's. The real user of a process counts. -u selects nobody by itself: all processes of \
     a user are a control group (see --cgroup).",
);

pub static FULL: Opt = valued(TARGETS, "full", "f", &["TEXT"]).repeats().says(
    "only processes with TEXT in the command line",
    "Signal only processes whose command line contains TEXT, which is fixed text and not a \
     pattern. The command line is the arguments with a blank between them, as ps shows it; a \
     zombie and a kernel thread have none. Names, ports and control groups are narrowed to such \
     processes; a PID, a token or a pidfile is refused if its process does not match. Without any \
     target, pidfile or control group, -f selects by itself among the processes of the caller, or \
     with -a or -u of other users. TEXT must have three bytes at least then, and not be a number. \
     If -f is repeated, each TEXT must match. sigsend and its ancestors are never selected.",
);

pub static CWD: Opt = valued(TARGETS, "cwd", "", &["DIR"]).says(
    "only processes that work in DIR or below",
    "Signal only processes whose working directory is DIR or below it. Like -f, it narrows names, \
     ports and control groups, verifies a PID, a token or a pidfile, and selects by itself if \
     there is no target. DIR means the directory itself: the same path in another mount namespace \
     is another directory. A directory that was removed is compared by its path. / is refused.",
);

pub static PIDFILE: Opt = valued(TARGETS, "pidfile", "", &["FILE"]).repeats().says(
    "read targets from FILE; - is standard input",
    "Read targets from FILE: PIDs or PID:INODE tokens, separated by white space. If the first line \
     is one PID or token and the second line does not begin with a digit, only the first line \
     counts, as in postmaster.pid. A process that started more than two seconds after the file was \
     last modified did not write it and is refused as stale. Groups, 0, -1 and names are refused \
     in a file, and so are files of /proc and /sys. If FILE is -, standard input is read; if that \
     is empty, nothing is done and the exit status is 0. May be repeated.",
);

pub static CGROUP: Opt = valued(TARGETS, "cgroup", "", &["DIR"]).says(
    "all processes in a control group or below",
    "Signal every process in the control group DIR (version 2) and in those below it. DIR is the \
     path of its directory, or the path that /proc/PID/cgroup shows. KILL goes to the whole group \
     at once through cgroup.kill (Linux 5.14), so that nothing escapes by forking. With -f, --cwd, \
     -u, -r or --expect, and for other signals, each member gets the signal, and the group is read \
     again until nobody new appears. Waiting ends when the group is empty. The root group, a group \
     that sigsend is in, version 1 and threaded groups are refused; for KILL and for waiting, so \
     is a group that an ancestor of sigsend is in.",
);

pub static TREE: Opt = flag(TARGETS, "tree", "").says(
    "each process and all its descendants",
    "Signal each process and all its descendants, children of every thread included, from the root \
     down. KILL stops the whole tree first, so that it cannot outrun the signal by forking. A \
     process whose parent exited before it was seen has left the tree. --expect, -f, --cwd and -u \
     are asked of the roots, -r of every member. sigsend spares itself and its ancestors.",
);

pub static MIXED: Opt = flag(TARGETS, "mixed", "").says(
    "signal the targets, but KILL their whole trees",
    "Like --tree, but signals other than KILL go to the targets alone, as with systemd's \
     KillMode=mixed: TERM lets a master finish its workers, and KILL and the wait concern what is \
     left of the tree. Not with --cgroup.",
);

pub static PID: Opt = flag(TARGETS, "pid", "p").says(
    "print the PIDs of the targets, signal nobody",
    "Print the PID of each process that the targets select, and signal nobody.",
);

pub static ID: Opt = flag(TARGETS, "id", "").says(
    "print PID:INODE of the targets, signal nobody",
    "Print a PID:INODE token for each process and signal nobody. As a target, the token selects \
     this process only, even if the PID is reused. Needs Linux 6.9.",
);

pub static HANDLER: Opt = flag(SAFETY, "require-handler", "r").says(
    "signal only processes that catch the signal",
    "Signal only processes that catch the signal; the others are reported and count as failed. \
     This way HUP never kills a daemon that has no handler for it. Not with 0, KILL and STOP, \
     which no process can catch.",
);

pub static EXPECT: Opt = valued(SAFETY, "expect", "", &["NAME"]).says(
    "refuse a process that is not NAME",
    "Refuse a target unless its command name, the basename of its executable or the basename of \
     its argv[0] is NAME. A target that cannot be verified is refused too. A process can choose \
     its command name and argv[0]; the executable is what the kernel reports.",
);

pub static STALE: Opt = flag(SAFETY, "allow-stale", "").says(
    "accept a process newer than its pidfile",
    "Signal a process from a pidfile even if it started more than two seconds after the file was \
     last modified.",
);

pub static ALIVE: Opt = flag(SAFETY, "alive", "").says(
    "ask who lives: status 0 all, 1 not all, 2 unclear",
    "Check instead of signalling: the exit status is 0 if every target is alive, 1 if one is gone, \
     2 if that cannot be told, which includes usage errors. A zombie is gone. A process that the \
     caller may not signal is alive, and so is a process whose main thread has exited while others \
     run. All users' processes are looked at unless -u is given.",
);

pub static DRY_RUN: Opt = flag(SAFETY, "dry-run", "").says(
    "say who would get which signal, signal nobody",
    "Look everything up, signal nobody, and print for each process its owner, age and command \
     line, and what the signal would do: be caught, ignored or blocked, or its default action. The \
     exit status is that of the real call.",
);

pub static WAIT: Opt = flag(WAITING, "wait", "w").says(
    "return when every target is gone",
    "Return only when every target is gone; a zombie is gone. What is not there at the start \
     counts as gone: a PID, a token or a group that does not exist, an empty control group, and a \
     NAME, a :PORT, -f or --cwd that no process answers to. A target that the caller may not \
     signal is reported and not waited for, except with signal 0.",
);

pub static WITHIN: Opt = valued(WAITING, "within", "", &["DURATION"]).says(
    "return when all are gone, or after DURATION",
    "Wait like --wait, but at most DURATION after the last signal; the exit status is 124 if a \
     target is still there then. DURATION needs a unit: 500ms, 5s, 1m30s. 0s looks once.",
);

pub static TIMEOUT: Opt = valued(WAITING, "timeout", "", &["DURATION", "SIGNAL"]).repeats().says(
    "send SIGNAL to what is left after DURATION",
    "Send SIGNAL to the targets that are still there DURATION after the previous signal. May be \
     repeated; the follow-ups are sent in order. A bare number is milliseconds, as in util-linux; \
     500ms, 5s and 1m30s work too.",
);

pub static GRACE: Opt = valued(WAITING, "grace", "", &["DURATION"]).says(
    "TERM, then KILL after DURATION, and wait",
    "Stop processes cleanly: send the signal (TERM), then CONT so that a stopped process can act \
     on it, then KILL to those that remain after DURATION, and return when all are gone, at most \
     DURATION later. DURATION needs a unit: 500ms, 5s, 1m30s.",
);

pub static VERBOSE: Opt = flag(OUTPUT, "verbose", "v").says(
    "print a line for each thing that happens",
    "Print a line on standard output for each event: sent, gone and how it ended, already gone. \
     Failures go to standard error only, with a hint if one is known.",
);

pub static JSON: Opt = flag(OUTPUT, "json", "").says(
    "print what happens as JSON Lines",
    "Print events as JSON Lines: one object for each event, and a last one with the summary and \
     the exit status. sigsend(1) lists the keys under OUTPUT.",
);

pub static STATE: Opt = valued(OUTPUT, "show-process-state", "d", &["PID"]).repeats().says(
    "show pending, blocked and caught signals of PID",
    "Show which signals are pending for the process and its main thread, and which are blocked, \
     ignored and caught: one line for each set that is not empty. More PIDs may follow.",
);

pub static GENERATE: Opt = valued(OUTPUT, "generate", "", &["WHAT"]).says(
    "print the man page or a completion script",
    "Print the man page (man) or the completion script for a shell: bash, zsh or fish.",
);

pub static HELP: Opt = flag(OUTPUT, "", "h").says("print a short help", "Print a short help.");

pub static LONG_HELP: Opt = flag(OUTPUT, "help", "").says(
    "print the help of all options",
    "Print this help of all options.",
);

pub static VERSION: Opt =
    flag(OUTPUT, "version", "V").says("print the version", "Print the version.");
