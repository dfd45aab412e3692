//! The exact messages: errors on standard error with the program's name as called and the token as
//! typed, and no output on success.

use crate::support::prelude::*;

/// The message of `kill args`, which must fail. Its standard input is no pipe.
#[track_caller]
fn complaint(line: &str) -> String {
    let mut command = raw_sigsend();
    command.arg0("kill");
    call!(command, "{line}").begins(1, "kill: ").err
}

/// Refused lines with the error and the hint (`*`: any): typing errors, options that took a PID as
/// their value, and words that mean something in other tools.
const HINTS: &str = r"
    -s 65 1          | '65': invalid signal         | *
    -65 PID          | '65': invalid signal         | *
    -NOPE PID        | 'NOPE': invalid signal       | *
    --signal=UNUSED PID | 'UNUSED': invalid signal  | *
    -n 137 PID       | '137': invalid signal        | *
    -s RTMIN3 PID    | 'RTMIN3': invalid signal     | *
    -s +1 PID        | '+1': invalid signal         | *
    -s '' PID        | '': invalid signal           | the signal was empty; is a variable unset?
    -s -- PID        | '--': invalid signal         |
    -s -9 PID        | '-9': invalid signal         | '-s 9' and '-9' name the signal
    -s -HUP PID      | '-HUP': invalid signal       | '-s HUP' and '-HUP' name the signal
    --signal -l PID  | '-l': invalid signal         |
    -s ␛]0;x PID     | '\x1b]0;x': invalid signal   |
    -                | '-': invalid target          | '--pidfile -' reads targets from standard input; or is a variable unset after the '-'?
    -TERM -          | '-': invalid target          | '--pidfile -' reads targets from standard input; or is a variable unset after the '-'?
    - 9 PID          | '-': invalid target          | did you mean -9?
    -KLL PID         | 'KLL': invalid signal        | did you mean KILL?
    54␍              | '54\x0d': invalid target    | it ends with a carriage return, which 'tr -d `\r`' removes
    qz.pid           | cannot find process `qz.pid` | '--pidfile qz.pid' reads targets from a file
    'qz mail.py'     | cannot find process `qz mail.py` | '-f `qz mail.py`' selects by command line
    --cwd=/nosuchd   | cannot find a process that works in /nosuchd | the directory does not exist
    -TERM - PID      | '-': invalid target          | ps pads its numbers: -- `-$(ps -o pgid= -p PID ¦ tr -d ' ')` means the group
    -TERM '- 4242'   | unknown option '- '          | ps pads its numbers: -- `-$(ps -o pgid= -p PID ¦ tr -d ' ')` means the group
    +1               | '+1': invalid target         | *
    -- -0            | '-0': invalid target         | *
    -- -HUP PID      | '-HUP': invalid target       |
    -9 -01           | '-01': invalid target        | *
    0x7b             | '0x7b': invalid target       | *
    ' -5'            | ' -5': invalid target        | *
    −9 PID           | '−9': invalid target         | it begins with a character that is no dash: write -9
    %1               | '%1': invalid target         | job numbers belong to the shell: use its own kill, or the PID that 'jobs -p' prints
    -TERM %%         | '%%': invalid target         | job numbers belong to the shell: use its own kill, or the PID that 'jobs -p' prints
    /run/x.pid       | '/run/x.pid': invalid target | '--pidfile /run/x.pid' reads targets from a file
    -HUP ./x␛        | './x\x1b': invalid target    | '--pidfile ./x\x1b' reads targets from a file
    /usr/sbin/nginx  | '/usr/sbin/nginx': invalid target | 'kill nginx' selects by command name, '--expect nginx' verifies; '--pidfile /usr/sbin/nginx' reads targets from a file
    12,34            | '12,34': invalid target      | each target is a word of its own: 12 34
    '12 34'          | '12 34': invalid target      | each target is a word of its own: 12 34
    12␤34␤           | '12\x0a34\x0a': invalid target | each target is a word of its own: 12 34
    12,x             | '12,x': invalid target       |
    a␤b              | 'a\x0ab': invalid target     |
    12␛[31m          | '12\x1b[31m': invalid target |
    \u{9b}1          | '\u{9b}1': invalid target    |
    4294967295       | '4294967295': invalid target | a PID is 1 to 2147483647
    PID pts/0 00:00:00 sleep | 'pts/0': invalid target | this looks like a line of ps: 'ps -o pid=' prints nothing but the PID
    8080/tcp         | '8080/tcp': invalid target   | ':8080' means what listens on that port
    localhost:8080   | cannot find process `localhost:8080` | ':8080' means what listens on that port
    http://localhost:8080/ | 'http://localhost:8080/': invalid target | ':8080' means what listens on that port
    :http            | ':http': invalid target      | HTTP
    --port 8080      | unknown option '--port'      | 'kill :8080' signals what listens on a port
    qz.service       | cannot find process `qz.service` | 'systemctl kill qz.service' signals a systemd unit, --cgroup DIR a control group
    HUP PID          | 'HUP' is a signal without its dash | '-HUP' names the signal; '-- HUP' means processes of that name
    USR1 PID PID     | 'USR1' is a signal without its dash | '-USR1' names the signal; '-- USR1' means processes of that name
    SIGTERM PID      | 'SIGTERM' is a signal without its dash | '-TERM' names the signal; '-- SIGTERM' means processes of that name
    stop PID         | 'stop' is a signal without its dash | '-STOP' suspends a process, '--grace 10s' stops it for good; '-- stop' means processes of that name
    RTMIN+1 PID      | 'RTMIN+1' is a signal without its dash | '-RTMIN+1' names the signal; '-- RTMIN+1' means processes of that name
    PID hup          | 'hup' is a signal without its dash | '-HUP' names the signal; '-- hup' means processes of that name
    -v INT -- PID    | 'INT' is a signal without its dash | '-INT' names the signal; '-- INT' means processes of that name
    --grace 15s INT PID | 'INT' is a signal without its dash | '-INT' names the signal; '-- INT' means processes of that name
    --timeout 1ms USR2 USR1 PID | 'USR1' is a signal without its dash | '-USR1' names the signal; '-- USR1' means processes of that name
    -p HUP           | 'HUP' is a signal without its dash | '-- HUP' means processes of that name
    --id HUP         | 'HUP' is a signal without its dash | '-- HUP' means processes of that name
    --alive HUP      | 'HUP' is a signal without its dash | '-- HUP' means processes of that name
    -TRM PID         | 'TRM': invalid signal        | did you mean TERM?
    -4242            | '4242': invalid signal       | 'kill -- -4242' means the process group
    -TERM,KILL PID   | 'TERM,KILL': invalid signal  | '--grace 5s' sends TERM, and KILL to what is left after 5 seconds
    -s TERM,KILL PID | 'TERM,KILL': invalid signal  | '--grace 5s' sends TERM, and KILL to what is left after 5 seconds
    -TERM -HUP PID   | one signal at a time: TERM and HUP were named |
    -s15 -sHUP PID   | one signal at a time: TERM and HUP were named |
    PID -9           | '-9' after a target may be a signal or a process group | 'kill -9 PID' puts the signal first; 'kill -- PID -9' means the process group
    PID -0           | '-0' after a target may be a signal or a process group | 'kill -0 PID' puts the signal first; 'kill -- PID -0' means the process group
    -help            | unknown option '-e'          | did you mean --help?
    -wait PID        | unknown option '-i'          | did you mean --wait?
    --sginal=9 PID   | unknown option '--sginal'    | did you mean --signal?
    --kill PID       | unknown option '--kill'      | did you mean -KILL?
    --force PID      | unknown option '--force'     | '-KILL' is the signal that no process can catch; '--grace 10s' sends TERM first
    -k PID           | unknown option '-k'          | '-KILL :PORT' is fuser -k; '--timeout 5s KILL' sends KILL later
    -i PID           | unknown option '-i'          | '--dry-run' shows who would get the signal
    -e PID           | unknown option '-e'          | '-v' prints what was signalled
    --newest sleep   | unknown option '--newest'    | 'pgrep --newest -x NAME ¦ kill --pidfile -' selects the newest process
    -o sleep         | unknown option '-o'          | 'pgrep --oldest -x NAME ¦ kill --pidfile -' selects the oldest process
    --group 5        | unknown option '--group'     | '-- -PGID' means a process group
    --stop PID       | unknown option '--stop'      | '--grace 10s' stops a process for good; '-STOP' suspends it
    --zzz PID        | unknown option '--zzz'       |
    --no␛pe PID      | unknown option '--no\x1bpe'  |
    --foo␤bar PID    | unknown option '--foo\x0abar' |
    -␤ PID           | unknown option '-\x0a'       |
    -ax PID          | unknown option '-x'          | a NAME is always the whole command name
    --all=1 PID      | '--all' takes no value       |
    --t PID          | '--t' is ambiguous: --table, --tree, --timeout |
    --p PID          | '--p' is ambiguous: --pidfile, --pid |
    --al PID         | '--al' is ambiguous: --all, --allow-stale, --alive |
    --ver PID        | '--ver' is ambiguous: --verbose, --version |
    -q               | '--queue' is missing a value: --queue VALUE |
    --timeout 5s     | '--timeout' is missing a value: --timeout DURATION SIGNAL |
    --timeout=1s:KILL PID | '1s:KILL': invalid duration | '--timeout 1s KILL' takes two words
    --timeout 5s -KILL PID | '-KILL': invalid signal | '--timeout 5s KILL' has no dash before the signal
    --tree 1         | the tree of process 1 is every process: refused |
    -w5 PID          | unknown option '-5'          | '--within 5s' waits at most that long
    --wait 5s PID    | '5s': invalid target         | '--within 5s' waits at most that long
    -q1 -q2 PID      | '--queue' can be given only once |
    --expect 4242    | no process ID specified      | '--expect' took '4242' as its value
    --grace 4242     | 4242 needs a unit, such as 4242s | '--grace' took '4242' as its value
    --within 4242    | 4242 needs a unit, such as 4242s | '--within' took '4242' as its value
    --timeout 5s 4242 | '4242': invalid signal      | '--timeout' took '4242' as its value
    --timeout 5s 15  | no process ID specified      | '--timeout' took '15' as its value
    -q 4242          | no process ID specified      | '-q' took '4242' as its value
    -d 0             | '0': invalid process ID      |
    --grace 5 PID    | 5 needs a unit, such as 5s   |
    --grace 99999999999999999999s PID | '99999999999999999999s': invalid duration | it is longer than a hundred years
    -EXIT --grace 0s PID | '--grace' cannot be used with EXIT, which signals nobody: '--within' waits only |
    -0 --grace 0s PID | '--grace' cannot be used with EXIT, which signals nobody: '--within' waits only |
";

#[test]
fn an_error_quotes_what_it_refuses_and_has_a_hint_where_the_cause_is_known() {
    let mut target = Recorder::new();
    let services = fs::read_to_string("/etc/services").unwrap_or_default();
    let http = if services.contains("\nhttp\t") {
        "':80' means that service"
    } else {
        "':PORT', ':PORT/tcp' and ':PORT/udp' take one port, 1 to 65535"
    };
    for [line, error, hint] in rows(HINTS) {
        // A hint may name a PID of the example.
        let typed = line.replace("PID", &target.arg());
        let typed = typed
            .replace('␛', "\x1b")
            .replace('␤', "\n")
            .replace('␍', "\r");
        let typed = typed.replace(r"\u{9b}", "\u{9b}");
        let status = if line.starts_with("--alive") { 2 } else { 1 };
        let told = call!(sigsend_as("kill"), "{typed}").code(status);
        let is_hint = |line: &&str| !line.starts_with("Usage: ") && !line.starts_with("Try ");
        let mut lines = told.err.lines().filter(is_hint);
        let wanted = format!("kill: {}", error.replace('`', "\""));
        assert_eq!(lines.next(), Some(&*wanted));
        if hint != "*" {
            let hint = hint.replace("HTTP", http).replace('`', "\"");
            let hint = hint.replace('¦', "|");
            assert_eq!(lines.next().unwrap_or_default(), hint, "{told:?}");
            assert_eq!(lines.next(), None, "{told:?}");
        }
        assert_eq!(told.out, "");
        target.assert_untouched();
    }
    // Where it can only be a name, it is one.
    let mut stop = Recorder::of(victim().named("stop"));
    for line in each("-TERM stop | -s 15 stop | -- stop") {
        run!("{line}").fine();
        assert_eq!(stop.signals(), [15], "{line}");
    }
}

#[test]
fn a_usage_error_shows_the_usage_and_points_to_help() {
    let nothing = complaint("");
    let begin = "kill: no process ID specified\nUsage: kill [options] <pid>...\n";
    assert!(nothing.starts_with(begin) && nothing.contains("kill --help"));
    for line in each("-9 | -- | -s TERM | -a | -q -1 | -p") {
        assert_eq!(complaint(line), nothing, "{line}");
    }
}

#[test]
fn targets_on_a_pipe_need_an_option() {
    let hint = "'--pidfile -' reads targets from standard input\n";
    call!(piped("4242\n"), "").begins(1, "sigsend: ").has(hint);
    assert!(!complaint("").contains(hint), "standard input is no pipe");
}

#[test]
fn messages_start_with_the_name_by_which_the_program_was_called() {
    let called = |argv0: &str, name: &str| {
        let refused = format!("{name}: '12,34': invalid target\n");
        call!(sigsend_as(argv0), "12,34").begins(1, refused);
        let usage = call!(sigsend_as(argv0), "").begins(1, name).err;
        let holds = usage.contains(&format!("\nUsage: {name} [options] <pid>...\n"));
        assert!(holds, "{usage}");
    };
    called("kill", "kill");
    called("/some/where/kill", "kill");
    called("./x y", "x y");
    called("sigsend", "sigsend");
    let (_dir, kill) = link(SIGSEND.as_ref(), "kill");
    let mut recorder = Recorder::new();
    for signal in ["-HUP", "-1", "-s1"] {
        call!(Command::new(&kill), "{signal} {recorder}").ok();
        assert_eq!(recorder.signals(), [1]);
    }
    call!(Command::new(&kill), "-l 9").says("KILL\n");
    call!(Command::new(kill), "12,34").begins(1, "kill: '12,34': invalid target\n");
}

#[test]
fn an_outcome_is_reported_with_the_text_of_its_errno() {
    in_pid_namespace!();
    let gone = Victim::gone();
    // The token as typed, not only its parsed value, and always on one line.
    for (typed, shown) in [
        (format!("{gone}"), format!("{gone} failed")),
        (format!("-- -{gone}"), format!("-{gone} failed")),
        (format!("-HUP 00{gone}"), format!("00{gone}")),
        (format!("-HUP ' {gone} '"), format!(" {gone} ")),
        (format!("-HUP {gone}\n"), format!("{gone}\\x0a")),
    ] {
        let line = format!("kill: sending signal to {shown}");
        let told = call!(sigsend_as("kill"), "{typed}").begins(1, line);
        told.complains(1).has(" failed: No such process\n");
    }
}

#[test]
fn the_version_goes_to_standard_output() {
    for option in ["-V", "--version"] {
        run!("{option}").says(concat!("sigsend ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}

/// Lines with an empty word, the status, and the signals that the other target gets.
const EMPTY_WORDS: &str = "
    '' PID                           | 64 | 15
    PID ''                           | 64 | 15
    -HUP '' PID ''                   | 64 | 1
    -HUP -- '' PID                   | 64 | 1
    -0 '' PID                        | 64 |
    -HUP --pidfile FILE ''           | 64 | 1
    -HUP --tree '' PID               | 64 | 1
    -HUP --timeout 1ms USR1 '' PID   | 64 | 1 10
    --json -HUP '' PID               | 64 | 1
    -p '' PID                        | 64 |
    ''                               | 1  |
    -KILL '' ''                      | 1  |
    --grace 15s ''                   | 1  |";

#[test]
fn an_empty_word_fails_alone() {
    let (mut target, dir) = (Recorder::new(), tempdir());
    let file = dir.arg("x.pid", target.arg());
    for [line, status, signals] in rows(EMPTY_WORDS) {
        let line = line.replace("PID", &target.arg()).replace("FILE", &file);
        run!("{line}").code(numbers(status)[0]).has("unset");
        assert_eq!(target.signals(), numbers(signals), "{line}");
    }
}

#[test]
fn a_first_word_9_that_cannot_be_signalled_is_answered_with_the_signal() {
    in_pid_namespace!();
    let mut nine = victim().with_pid(9).sleeping();
    if may_change_user() {
        let (user, mut own) = (Unprivileged::new(), Recorder::of(victim().owned_by(NOBODY)));
        contains!(call!(user.sigsend(), "-v 9 {own}").code(64).err, "-9");
        assert_eq!(own.signals(), [15]);
    } else {
        skip("needs root");
    }
    run!("-KILL 9").code(0);
    nine.reap();
    let mut other = Recorder::new();
    contains!(run!("-v 9 {other}").code(64).err, "-9");
    assert_eq!(other.signals(), [15]);
}

#[test]
fn a_duration_has_a_unit_in_lower_case_of_at_most_a_day() {
    let (mut target, gone) = (Recorder::new(), Victim::gone());
    let refused = "5M 1M 2y 1Y 5S 5H 5D 5MS 5Min 5Sec 1w 1week 1month 1year 1us 1ns 1h5M -1 -5s '' s \
        '10 parsecs' 18446744073709551615y 1e3s x 1s2";
    for time in words(refused) {
        for option in ["--grace T", "--within T", "--timeout T KILL"] {
            let line = format!("sigsend: '{time}': invalid duration\n");
            let option = option.replace('T', &format!("'{time}'"));
            let done = run!("{option} {target}").begins(1, line);
            done.has("units are ms, s, m, h and d");
            target.assert_untouched();
        }
    }
    let good = "500ms 1s 1sec 2secs 1second 2seconds 1m 1min 2mins 1minute 2minutes 1h 1hour 2hours \
        1d 1day 2days 1m30s";
    for time in good.split(' ') {
        run!("--within {time} {gone}").code(0);
    }
}
