//! Tables of command lines: what is planned, and what is refused.

use super::*;
use crate::plan::{Age, Mode, Reach, Users};

fn read(line: &'static str) -> Result<Action, Refusal> {
    let words = line.split_whitespace().map(|word| match word {
        "''" => OsStr::new(""),
        word => OsStr::new(word),
    });
    parse(&words.collect::<Vec<_>>())
}

#[track_caller]
fn planned(line: &'static str) -> (Plan, Voice) {
    match read(line) {
        Ok(Action::Run(plan, voice)) => (*plan, voice),
        other => panic!("{line}: {other:?}"),
    }
}

/// Lines that are refused, and a part of the error.
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
    -f abc 0                | '--full' cannot be used with the target '0'
    --cwd /x -- -1          | '--cwd' cannot be used with the target '-1'
    -u bob -- -7            | '--user' cannot be used with the target '-7'
    -p 0                    | '--pid' cannot be used with the target '0'
    --id -- -7              | '--id' cannot be used with the target '-7'
    --alive -- -7           | '--alive' cannot be used with the target '-7'
    --tree 0                | '--tree' cannot be used with the target '0'
    --mixed -- -7           | '--mixed' cannot be used with the target '-7'
    -q 1 -- -7              | '--queue' cannot be used with the target '-7'
    -w 0                    | '--wait' cannot be used with the target '0'
    --within 5s -- -1       | '--within' cannot be used with the target '-1'
    --timeout 1s KILL 0     | '--timeout' cannot be used with the target '0'
    --grace 5s 0            | '--grace' cannot be used with the target '0'
    --tree 1                | the tree of process 1 is every process
    --mixed 01              | the tree of process 1 is every process
    -u bob                  | '--user' selects nobody by itself
    -u bob -KILL -w         | '--user' selects nobody by itself
    -a                      | no process ID specified
    --mixed -KILL           | no process ID specified
    -f ab                   | '--full' selects by itself only with three bytes
    -f 4242                 | '--full' selects by itself only with three bytes
    -f ab -f 12345 -u bob   | '--full' selects by itself only with three bytes
    --cwd /x -f ab          | '--full' selects by itself only with three bytes
    -f '' nginx             | '': invalid text
    --cwd / nginx           | '/': invalid directory
    --cwd '' nginx          | '': invalid directory
    -u '' nginx             | '': invalid user
    HUP nginx               | 'HUP' is a signal without its dash
    nginx stop              | 'stop' is a signal without its dash
    nginx HUP -TERM         | 'HUP' is a signal without its dash
    --timeout 1s KILL USR1 7 | 'USR1' is a signal without its dash
    SigTerm --pidfile x     | 'SigTerm' is a signal without its dash
    --alive hup             | 'hup' is a signal without its dash
    --pidfile x --cgroup    | '--cgroup' is missing a value
    -d ''                   | '': invalid process ID
    --cwd /x --cwd /y       | '--cwd' can be given only once
";

#[test]
fn what_does_not_go_together_is_refused() {
    for row in REFUSED.lines().filter(|row| !row.trim().is_empty()) {
        let (line, error) = row.split_once(" | ").expect("two columns");
        let refused = read(line).expect_err(line);
        let is_it = refused.error.text.contains(error.trim());
        assert!(is_it, "{line}: {}", refused.error.text);
        let alive = line.contains("--alive");
        assert_eq!(refused.status == Status::Undecided, alive, "{line}");
    }
}

#[test]
fn a_plan_says_what_the_line_says() {
    for line in [
        "nginx ''",
        "'' ''",
        "-w ''",
        "-f ab nginx",
        "-f ab ''",
        "-f 4242 --pidfile -",
        "-f ab -f abc",
        "-f a12 -u bob",
        "--cwd . -a",
        "-u bob nginx",
        "-u 0 7",
        "-u bob --cgroup /x",
        "-f x --cgroup /x -KILL",
        "--tree --mixed 7",
        "-aa -ww -vv -rr nginx",
        "-HUP HUP",
        "-s 1 stop",
        "nginx -- stop",
        "-TERM -- stop",
        "--wait :80/udp :80/tcp :80",
        "--pidfile a --pidfile b",
        "--alive -a nginx",
        "--alive -u bob nginx",
        "-p -r --tree nginx",
    ] {
        let _ = planned(line);
    }
    let (plan, voice) = planned("--dry-run --grace 5s --mixed -u bob -f abc -f d --cwd /x");
    let wanted = (Mode::Rehearse, Voice::Verbose, Reach::Mixed);
    assert_eq!((plan.mode, voice, plan.selection.reach), wanted);
    assert_eq!(plan.selection.users, Users::Of("bob".into()));
    assert_eq!(plan.selection.full, ["abc", "d"]);
    assert_eq!(plan.selection.cwd, Some("/x".into()));
    assert_eq!(plan.companions, [Signal::CONT]);
    let five = Duration::from_secs(5);
    let kill = FollowUp {
        after: five,
        signal: Signal::KILL,
    };
    assert_eq!(plan.follow_ups, [kill]);
    assert_eq!(plan.until, Until::Within(five));
    let (plan, _) = planned(
        "--timeout 9 KILL --timeout 1s INT -w -r -HUP --allow-stale --pidfile a --pidfile -",
    );
    assert_eq!(plan.follow_ups.len(), 2);
    assert_eq!((plan.first, plan.until), (Signal::HUP, Until::Gone));
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
    for (line, number) in [
        ("9 4242", Some(9)),
        ("09 4242 7", Some(9)),
        ("-w 64 nginx", Some(64)),
        ("-p 9 4242", Some(9)),
        ("9", None),
        ("65 4242", None),
        ("nginx 9", None),
        ("9:7 4242", None),
        ("-HUP 9 4242", None),
        ("9 4242 -HUP", None),
        ("-- 9 4242", None),
        ("0 4242", None),
    ] {
        let (plan, _) = planned(line);
        let perhaps = plan.perhaps_signal.map(Pid::number);
        assert_eq!(perhaps, number, "{line}");
    }
}
