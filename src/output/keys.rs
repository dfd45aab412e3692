//! The events and keys of `--json`, from which the manual and the reference are made. Literal words
//! are in backticks.

/// An event, what it means, and the keys that it may have beside those of every target.
pub const EVENTS: &str = "\
    sent | a signal was sent | signal, number, value, unseen, elapsed_ms
    failed | no signal was sent, or no process found | reason, unseen, errno, hint
    skipped | sigsend itself or an ancestor of it, which was not typed: it gets no signal | reason
    not-stopped | could not be kept stopped, in a tree that is killed; it may have forked unseen \
        | reason
    escaped | may be a child that a killed member of a tree left behind | reason
    already-gone | was gone before the signal, or nobody answers to the target | reason, hint
    gone | has exited | ending, exit_code, exit_signal, core_dumped, elapsed_ms
    still-there | was there when the time ran out | elapsed_ms, state
    found | answers `-p` and `--id` |
    alive | answers `--alive` |
    would-send | preview of `--dry-run` | signal, number, unseen, elapsed_ms, effect, blocked, \
        follow_ups, user, age_ms, command, state, directory
    error | the call failed as a whole | reason, hint
    summary | the last line | signalled, already_gone, failed, remaining, status";

/// A key, the type of its value, and what it means.
pub const KEYS: &str = "\
    event | string | one of the events in the other table
    target | string | the target as it was typed, also for members of a group or tree
    pid | number | the process, if there is a single one
    inode | number | the inode of its pidfd, if known (Linux 6.9): `pid:inode` is its token
    name | string | its command name, if known
    signal | string | the name of the signal
    number | number | its number
    value | number | what `--queue` sent along
    unseen | number | instead of `pid`: how many members of a control group it is about that have \
        no PID here, since they live in another PID namespace
    elapsed_ms | number | milliseconds since the first signal; 0 for that
    reason | string | why, as on standard error
    errno | string | the name of the system error, such as `ESRCH` or `EPERM`
    hint | string | what may help, if that is known
    state | string | what keeps it from ending or from acting on the signal: `stopped`, `traced \
        by` a PID, `blocked in the kernel`, `ignores` a signal
    ending | string | `exited`, `killed`, or `unknown` if the kernel does not report it
    exit_code | number | of a process that exited
    exit_signal | string | of a process that was killed: the name of the signal
    core_dumped | boolean | whether it dumped core; `null` if that is unknown
    effect | string | what the signal would do: `caught`, `ignored`, `nothing`, the default \
        action `terminate`, `core`, `stop`, `continue`, or `unknown` if that cannot be read
    blocked | boolean | whether the process blocks the signal now; `null` if that cannot be read
    follow_ups | array | the later signals: objects with `after_ms` (number) and `signals` (array \
        of names)
    user | string | the owner of the process
    age_ms | number | milliseconds since it started, if known
    command | string | its arguments with blanks between them
    directory | string | where it works, if `--cwd` was given
    signalled | number | processes that got a signal
    already_gone | number | processes that were gone at the start, or ended without a signal; \
        with `-p`, `--id` and `--alive`, those that were found or are alive
    failed | number | processes that got no signal, or not every one
    remaining | number | processes that were still there when the time ran out
    status | number | the exit status";

/// The rows of a table, each with three cells.
pub fn rows(table: &'static str) -> impl Iterator<Item = [&'static str; 3]> {
    let cells = |row: &'static str| {
        let mut cells = row.split('|').map(str::trim);
        std::array::from_fn(|_| cells.next().unwrap_or_default())
    };
    table.lines().map(cells)
}
