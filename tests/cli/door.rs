//! Command lines written for other tools: words that mean something else here. No signal is sent on
//! a guess, and the message names what to write instead.

mod found;
mod pidfiles;
mod state;

use crate::support::prelude::*;

/// The numbers in a column of a table.
fn numbers(column: &str) -> Vec<i32> {
    let numbers = column.split_whitespace();
    let numbers = numbers.map(|number| number.parse().expect("a number"));
    numbers.collect()
}

/// Whether a message contains one of the fragments, which `|` separates.
fn says(told: &str, fragments: &str) -> bool {
    fragments.split('|').any(|fragment| told.contains(fragment))
}

/// Lines, and the hint in the message. The signal of a follow-up is not the first one.
const DASHLESS: &str = "
    HUP PID                    | -HUP
    USR1 PID PID               | -USR1
    SIGTERM PID                | -TERM
    stop PID                   | -STOP
    Kill PID                   | -KILL
    RTMIN+1 PID                | -RTMIN+1
    PID hup                    | -HUP
    -v INT -- PID              | -INT
    --grace 15s INT PID        | -INT
    --timeout 1ms USR2 USR1 PID | -USR1
    -p HUP                     | --
    --id HUP                   | --
    --alive HUP                | --";

#[test]
fn a_signal_without_its_dash_is_refused() {
    in_pid_namespace(|| {
        let mut target = Recorder::new();
        for [line, hint] in rows(DASHLESS) {
            let status = if line.contains("--alive") { 2 } else { 1 };
            let done = run!("{}", line.replace("PID", &target.arg())).is(status, "", "Usage: ");
            let told = done.err.to_uppercase().replace("-SIG", "-");
            // Where no signal can be named, the name of a process can.
            let hint = if hint == "--" { "-- HUP|'--'" } else { hint };
            assert!(says(&told, hint), "{line}: {told}");
            target.assert_untouched();
        }
        let mut stop = Recorder::of(victim().named("stop"));
        for line in each("-TERM stop | -s 15 stop | -- stop") {
            run!("{line}").fine();
            assert_eq!(stop.signals(), [15], "{line}");
        }
    });
}

#[test]
fn a_unit_of_time_is_lower_case_and_at_most_a_day() {
    let (mut target, gone) = (Recorder::new(), Victim::gone());
    let refused = "5M 1M 2y 1Y 5S 5H 5D 5MS 5Min 5Sec 1w 1week 1month 1year 1us 1ns 1h5M";
    for time in refused.split(' ') {
        for option in ["--grace T", "--within T", "--timeout T KILL"] {
            run!("{} {target}", option.replace('T', time)).fails(1, "ms");
            target.assert_untouched();
        }
    }
    let good = "500ms 1s 1sec 2secs 1second 2seconds 1m 1min 2mins 1minute 2minutes 1h 1hour 2hours \
        1d 1day 2days 1m30s";
    for time in good.split(' ') {
        run!("--within {time} {gone}").code(0);
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
        let done = run!("{line}").code(numbers(status)[0]);
        contains!(done.err, "unset");
        assert_eq!(target.signals(), numbers(signals), "{line}");
    }
}

#[test]
fn an_exit_status_of_yash_is_a_signal() {
    let names = |statuses: std::ops::RangeInclusive<i32>| {
        let statuses: Vec<String> = statuses.map(|status| status.to_string()).collect();
        run!("-l {}", statuses.join(" ")).told()
    };
    assert_eq!(names(385..=448), names(1..=64), "384 and a signal");
    for none in ["384", "449"] {
        let done = run!("-l {none}").code(1);
        assert_eq!(done.out, "");
    }
}

/// A word, which is removed from the message, the command line with it (`@`), and what the rest of
/// the message must contain: one of these, separated by `/`.
const ELSEWHERE: &str = "
    8080/tcp               | @           | :8080
    localhost:8080         | -v @        | :8080
    http://localhost:8080/ | -v @        | :8080
    /usr/sbin/nginx        | @           | --expect nginx
    :http                  | @           | HTTP
    -w5                    | @ PID       | --within 5s
    5s                     | --wait @ PID | --within
    TERM,KILL              | -@ PID      | --grace
    TERM,KILL              | -s @ PID    | --grace
    '-9'                   | -s -9 PID   | -s 9
    1s:KILL                | --timeout=@ PID | --timeout 1s KILL
    −9                     | @ PID       | -9
    '-'                    | -TERM - PID | tr -d
    '- 4242'               | -TERM @     | tr -d
    pts/0                  | PID @ 00:00:00 sleep | -o pid=
    --newest               | @ sleep     | pgrep/pkill
    '-k'                   | -k PID      | fuser/-KILL/-9
    '-i'                   | -i PID      | killall/--dry-run
    '-e'                   | -e PID      | pkill/-v
    --port                 | @ 8080      | :8080";

#[test]
fn a_word_that_means_something_elsewhere_is_answered_with_what_it_is_called_here() {
    let mut target = Recorder::new();
    let services = fs::read_to_string("/etc/services").unwrap_or_default();
    let knows_http = services.contains("\nhttp\t");
    let http = if knows_http { ":80" } else { ":PORT" };
    for [word, line, fragments] in rows(ELSEWHERE) {
        let line = line.replace('@', word).replace("PID", &target.arg());
        let done = run!("{line}").code(1);
        let told = done.err.replace(word, "");
        let fragments = fragments.replace("HTTP", http).replace('/', "|");
        let holds = done.out.is_empty() && says(&told, &fragments);
        assert!(holds, "{line}: {told}");
        target.assert_untouched();
    }
}

#[test]
fn a_word_that_is_near_a_process_is_answered_with_that_process() {
    in_pid_namespace(|| {
        let mut others = ["redis-server", "tmux: server"].map(|n| Recorder::of(victim().named(n)));
        let leader = Victim::sleeping();
        let member = victim().in_group_of(&leader).sleeping();
        let tree = format!("--tree {member}");
        // `-- -$!` in a script, whose jobs lead no group.
        let no_group = format!("-v -KILL -- -{member}");
        for (line, words) in [
            ("-v -KILL redis", "redis-server"),
            ("-v -KILL tmux", "tmux: server"),
            ("--json redis", "redis-server"),
            (&no_group, &tree),
        ] {
            let done = run!("{line}").code(1);
            contains!(done.err, "{words}");
            let has_hint = done.out.contains("\"hint\":\"");
            assert_eq!(has_hint, line.starts_with("--json"), "{done:?}");
        }
        member.assert_alive();
        others.iter_mut().for_each(Recorder::assert_untouched);
    });
}

#[test]
fn a_first_word_9_that_cannot_be_signalled_is_answered_with_the_signal() {
    in_pid_namespace(|| {
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
    });
}
