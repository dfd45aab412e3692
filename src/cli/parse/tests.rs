//! Tables of command lines: what is planned, and what is refused with which hint.

use std::time::Duration;

use super::*;
use crate::plan::{Age, Reach, Users};

/// Reads a line of words, of which some are in single quotes.
fn read(line: &'static str) -> Result<Action, Refusal> {
    let parts = line.split('\'').enumerate();
    let words = parts.flat_map(|(index, part)| match index % 2 {
        0 => part.split_whitespace().collect(),
        _ => vec![part],
    });
    parse(&words.map(OsStr::new).collect::<Vec<_>>())
}

#[track_caller]
fn planned(line: &'static str) -> (Plan, Voice) {
    match read(line) {
        Ok(Action::Run(plan, voice)) => (*plan, voice),
        other => panic!("{line}: {other:?}"),
    }
}

/// Lines that are refused, a part of the error, and of the hint if that is given.
const REFUSED: &str = "
    -s HUP -TERM 7          | one signal at a time: HUP and TERM
    7 -9                    | neither a signal nor a process group
    -l -t                   | '--list' cannot be used with '--table'
    -L -f x                 | '-L' cannot be used with '--full'
    -t -u 0                 | '--table' cannot be used with '--user'
    -d 7 --cwd x            | '--show-process-state' cannot be used with '--cwd'
    --generate man --mixed  | '--generate' cannot be used with '--mixed'
    -p -HUP 7               | '--pid' cannot be used with '--signal'
    --id --alive 7          | '--id' cannot be used with '--alive'
    --alive --grace 5s 7    | '--alive' cannot be used with '--grace'
    -p --dry-run 7          | '--pid' cannot be used with '--dry-run'
    --grace 5s --within 5s 7 | '--grace' cannot be used with '--within'
    --grace 5s --timeout 1s KILL 7 | '--grace' cannot be used with '--timeout'
    --grace 5s -0 7         | '--grace' cannot be used with EXIT
    --tree --cgroup /x      | '--tree' cannot be used with '--cgroup'
    --mixed --cgroup /x     | '--mixed' cannot be used with '--cgroup'
    -a -u bob nginx         | '--user' cannot be used with '--all'
    -r -KILL nginx          | '--require-handler' is of no use with KILL
    -r -HUP -- -7           | '--require-handler' cannot be used with the target '-7'
    --expect x 0            | '--expect' cannot be used with the target '0'
    -p 0                    | '--pid' cannot be used with the target '0'
    --alive -- -7           | '--alive' cannot be used with the target '-7'
    -w 0                    | '--wait' cannot be used with the target '0'
    --timeout 1s KILL 0     | '--timeout' cannot be used with the target '0'
    --grace 5s 0            | '--grace' cannot be used with the target '0'
    --tree 1                | the tree of process 1 is every process
    --mixed 01              | the tree of process 1 is every process
    -u bob                  | '--user' selects nobody by itself
    -u bob -KILL -w         | '--user' selects nobody by itself
    -a                      | no process ID specified
    --mixed -KILL           | no process ID specified
    -f ab                   | '--full' selects by itself only with three bytes |
    -f 4242                 | '--full' selects by itself only with three bytes | 'kill 4242'
    -9 -f 4242              | '--full' selects by itself | 'kill -9 4242' signals the process 4242
    -f ab -f 12345 -u bob   | '--full' selects by itself only with three bytes
    --cwd /x -f ab          | '--full' selects by itself only with three bytes
    -f '' nginx             | '': invalid text
    --cwd / nginx           | '/': invalid directory
    --cwd '' nginx          | '': invalid directory
    -u '' nginx             | '': invalid user
    HUP nginx               | 'HUP' is a signal without its dash | '-HUP'
    nginx stop              | 'stop' is a signal without its dash
    nginx HUP -TERM         | 'HUP' is a signal without its dash
    --timeout 1s KILL USR1 7 | 'USR1' is a signal without its dash
    SigTerm --pidfile x     | 'SigTerm' is a signal without its dash
    --alive hup             | 'hup' is a signal without its dash | '-- hup' means processes
    --pidfile x --cgroup    | '--cgroup' is missing a value
    -d ''                   | '': invalid process ID
    --cwd /x --cwd /y       | '--cwd' can be given only once
    8080/udp                | invalid target | ':8080/udp'
    https://[::1]:8080/x?y  | invalid target | ':8080'
    [::]:8080               | invalid target | ':8080'
    :http                   | invalid target | ':PORT' takes the number of a port
    /usr/sbin/nginx         | invalid target | 'kill nginx' selects by command name, '--expect nginx' verifies; '--pidfile /usr/sbin/nginx' reads
    ./a/                    | invalid target | '--pidfile ./a/'
    -vw5 7                  | unknown option '-5' | '--within 5s'
    -w10m 7                 | unknown option '-1' | '--within 10m'
    --wait=5s 7             | '--wait' takes no value | '--within 5s'
    --wait=5 7              | '--wait' takes no value | '--within 5s'
    --wait 5s 7             | invalid target | '--within 5s'
    7 -w 1m30s              | invalid target | '--within 1m30s'
    --grace 1S 7            | invalid duration | units are ms, s, m, h and d
    --timeout 5M KILL 7     | invalid duration | units are ms, s, m, h and d
    -TERM,KILL 7            | invalid signal | '--grace 5s'
    -s term,9 7             | invalid signal | '--grace 5s'
    -INT,TERM,KILL 7        | invalid signal | '-INT --timeout 5s TERM'
    -n -HUP 7               | invalid signal | '-s HUP' and '-HUP'
    --timeout 1s:KILL 7     | invalid duration | '--timeout 1s KILL'
    7 --timeout=1s:KILL     | '--timeout' is missing a value | '--timeout 1s KILL'
    –TERM 7                 | invalid target | write -TERM
    -TERM - 20005           | invalid target | tr -d ' '
    -TERM '- 20005'         | unknown option | tr -d ' '
    -- '- 20005'            | invalid target | tr -d ' '
    4242 ? 00:00:00 cron    | invalid target | 'ps -o pid='
    4242 00:00:00 cron      | invalid target | 'ps -o pid='
    -ei nginx               | unknown option '-e' | '-v'
    --port=8080             | unknown option '--port' | 'kill :8080'
    --port x                | unknown option '--port' | 'kill :PORT'
    -P 7                    | unknown option '-P' | '--tree PID'
    --older 7               | unknown option '--older' | pgrep selects by age: 'pgrep
    --user-name bob         | unknown option '--user-name' |
    --hup 7                 | unknown option '--hup' | did you mean -HUP?
";

#[test]
fn what_does_not_go_together_is_refused_with_what_to_type() {
    for row in REFUSED.lines().skip(1) {
        let mut columns = row.split(" |").map(str::trim);
        let mut column = || columns.next();
        let (line, error) = (column().expect("a line"), column().expect("an error"));
        let refused = read(line).expect_err(line);
        let (told, hint) = (&refused.error.text, refused.error.hint_for("kill"));
        assert!(told.contains(error), "{line}: {told}");
        match column() {
            Some("") => assert_eq!(hint, None, "{line}"),
            Some(wanted) => assert!(
                hint.iter().any(|hint| hint.contains(wanted)),
                "{line}: {hint:?}"
            ),
            None => {}
        }
        let alive = line.contains("--alive");
        assert_eq!(refused.status == Status::Undecided, alive, "{line}");
    }
}

/// Lines that are not refused.
const PLANNED: &str = "nginx ''|'' ''|-w ''|-f ab nginx|-f ab ''|-f 4242 --pidfile -|-f ab -f abc\
    |-f a12 -u bob|--cwd . -a|-u bob nginx|-u 0 7|-u bob --cgroup /x|-f x --cgroup /x -KILL\
    |--tree --mixed 7|-aa -ww -vv -rr nginx|-HUP HUP|-s 1 stop|nginx -- stop|-TERM -- stop\
    |--wait :80/udp :80/tcp :80|--pidfile a --pidfile b|--alive -a nginx|--alive -u bob nginx\
    |-p -r --tree nginx";

#[test]
fn a_plan_says_what_the_line_says() {
    PLANNED.split('|').for_each(|line| _ = planned(line));
    let (plan, voice) = planned("--dry-run --grace 5s --mixed -u bob -f abc -f d --cwd /x");
    let wanted = (Mode::Rehearse, Voice::Verbose, Reach::Mixed);
    assert_eq!((plan.mode, voice, plan.selection.reach), wanted);
    assert_eq!(plan.selection.users, Users::Of("bob".into()));
    assert_eq!(plan.selection.full, ["abc", "d"]);
    assert_eq!(plan.selection.cwd, Some("/x".into()));
    assert_eq!(plan.companions, [Signal::CONT]);
    let (after, signal) = (Duration::from_secs(5), Signal::KILL);
    assert_eq!(plan.follow_ups, [FollowUp { after, signal }]);
    assert_eq!(plan.until, Until::Within(after));
    let (plan, _) = planned(
        "--timeout 9 KILL --timeout 1s INT -w -r -HUP --allow-stale --pidfile a --pidfile -",
    );
    let signals: Vec<Signal> = plan.signals().collect();
    assert_eq!(signals, [Signal::HUP, Signal::KILL, Signal::INT]);
    assert_eq!(plan.until, Until::Gone);
    assert_eq!(plan.selection.catching, Some(Signal::HUP));
    let pidfiles = &plan.selection.pidfiles;
    assert!(pidfiles.iter().all(|pidfile| pidfile.age == Age::Any));
    assert!(pidfiles.iter().map(|pidfile| &pidfile.path).eq(["a", "-"]));
    let (plan, _) = planned("--cgroup /x --grace 1s -KILL");
    assert!(plan.companions.is_empty() && plan.kills_whole());
    assert!(!planned("--cgroup /x -KILL -f abc").0.kills_whole());
}

#[test]
fn a_small_number_in_front_may_be_meant_for_a_signal() {
    let perhaps = |line| planned(line).0.perhaps_signal.map(Pid::number);
    for line in "9 4242|09 4242 7|-p 9 4242".split('|') {
        assert_eq!(perhaps(line), Some(9), "{line}");
    }
    assert_eq!(perhaps("-w 64 nginx"), Some(64));
    let others = "9|65 4242|nginx 9|9:7 4242|-HUP 9 4242|9 4242 -HUP|-- 9 4242|0 4242";
    for line in others.split('|') {
        assert_eq!(perhaps(line), None, "{line}");
    }
}
