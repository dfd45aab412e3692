//! Trees that outrun KILL: members that run again while the tree is killed, because a KILL to
//! another member continues them, or somebody else does. None survives, or it is named.

use std::fs;
use std::time::Instant;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::family::{Family, children, state};
use crate::strange::{Call, Held, may_trace};
use crate::support::{
    SIGSEND, eventually, in_pid_namespace, raw, sigsend, skip, stderr, strace, victim,
};

/// Members that do nothing in each group. They make the time between two KILLs long.
const IDLE: usize = 100;
const ROUNDS: usize = 20;

/// A field of /proc/PID/stat after the command name, counted as in proc(5).
fn stat_field(pid: i32, field: usize) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    fields
        .split(' ')
        .nth(field - 3)
        .and_then(|field| field.parse().ok())
        .unwrap_or(0)
}

/// All other processes of this PID namespace.
fn others() -> Vec<i32> {
    let processes = fs::read_dir("/proc").expect("a /proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != 1).collect()
}

/// The processes that are alive, when all are at rest.
fn survivors() -> Vec<i32> {
    let mut living = Vec::new();
    eventually("all survivors to be at rest", || {
        living = others();
        living.retain(|pid| !"ZX".contains(state(*pid)));
        living.iter().all(|pid| state(*pid) == 'S')
    });
    living
}

/// Kills all processes of this PID namespace, and reaps all but the head.
fn clean_up(head: &Family) {
    let _ = kill(Pid::from_raw(head.pid()), Signal::SIGKILL);
    eventually("all processes to be gone", || {
        let mut left = others();
        left.retain(|pid| *pid != head.pid());
        for pid in &left {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            if stat_field(*pid, 4) == 1 {
                let _ = waitpid(Pid::from_raw(*pid), None);
            }
        }
        left.is_empty()
    });
}

/// Whether the text names a process or the one that forked it, whose PID is that of its session.
fn is_named(told: &str, pid: i32) -> bool {
    let numbers = told.split(|letter: char| !letter.is_ascii_digit());
    let named: Vec<i32> = numbers.filter_map(|number| number.parse().ok()).collect();
    named.contains(&pid) || named.contains(&stat_field(pid, 6))
}

#[test]
fn no_member_that_a_kill_continues_outruns_its_own() {
    in_pid_namespace(|| {
        for role in [
            "tied-by-a-grandchild",
            "tied-by-its-parent",
            "told-of-its-parent",
        ] {
            for round in 0..ROUNDS {
                let family = Family::with_role(&format!("{role} {IDLE}"));
                let told = sigsend()
                    .args(["--tree", "-KILL", "--wait", &family.arg()])
                    .assert();
                family.assert_killed_by(9);
                let left = survivors();
                let said = stderr(&told);
                assert!(
                    left.is_empty(),
                    "{role}, round {round}: {left:?} survived: {said}"
                );
                told.success().stdout("").stderr("");
                clean_up(&family);
            }
        }
    });
}

#[test]
fn trees_that_share_a_group_are_killed_together() {
    in_pid_namespace(|| {
        for round in 0..ROUNDS {
            let mut family = Family::with_role(&format!("tied-by-another-tree {IDLE}"));
            let mut root = || {
                let line = family.next_line().expect("the family is alive");
                line.strip_prefix("root ").expect("a root").to_owned()
            };
            let mut roots = [root(), root()];
            if round % 2 == 1 {
                roots.reverse();
            }
            let outside = [family.pid(), family.children()[0]];
            let told = sigsend()
                .args(["--tree", "-KILL", "--wait"])
                .args(&roots)
                .assert();
            let mut left = survivors();
            left.retain(|pid| !outside.contains(pid));
            let said = stderr(&told);
            assert!(left.is_empty(), "round {round}: {left:?} survived: {said}");
            told.success().stdout("").stderr("");
            family.assert_alive();
            clean_up(&family);
        }
    });
}

#[test]
fn a_survivor_of_a_circle_of_groups_is_named() {
    in_pid_namespace(|| {
        for round in 0..ROUNDS {
            let family = Family::with_role(&format!("circle-of-groups {IDLE}"));
            let told = sigsend()
                .args(["--tree", "-KILL", "--wait", &family.arg()])
                .assert()
                .stdout("");
            family.assert_killed_by(9);
            let left = survivors();
            let said = stderr(&told);
            assert!(
                left.iter().all(|pid| is_named(&said, *pid)),
                "round {round}: {left:?} survived: {said}"
            );
            told.code(if said.is_empty() { 0 } else { 64 });
            clean_up(&family);
        }
    });
}

#[test]
fn a_process_that_escaped_between_the_freeze_and_kill_is_named_and_counts_as_failed() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        for role in ["escapes", "escapes-to-a-session", "escapes-beside"] {
            let mut family = Family::with_role(&format!("{role} 1"));
            // The first one is STOP.
            let kill_call = Call {
                name: "pidfd_send_signal".into(),
                nth: 2,
            };
            let held = Held::before(&kill_call, &["--json", "--tree", "-KILL", &family.arg()]);
            held.has_entered(libc::SYS_pidfd_send_signal);
            kill(Pid::from_raw(family.pid()), Signal::SIGCONT).expect("it is a child");
            let line = family.next_line().expect("the family is alive");
            let escaped: i32 = line
                .strip_prefix("escaped ")
                .and_then(|pid| pid.parse().ok())
                .expect("a PID");
            let output = held.go();
            let said = String::from_utf8_lossy(&output.stderr);
            family.assert_killed_by(9);
            assert_eq!(survivors(), [escaped], "{role}");
            assert!(said.contains(&escaped.to_string()), "{role}: {said}");
            assert_eq!(output.status.code(), Some(64), "{role}: {said}");
            let summary = String::from_utf8_lossy(&output.stdout);
            assert!(summary.contains("\"failed\":1,"), "{summary}");
            clean_up(&family);
        }
    });
}

#[test]
fn a_deep_tree_takes_linear_time() {
    // Each one executes the shell anew: the kernel itself takes quadratic time for a chain of forks.
    let chain = |depth: u32| {
        let link = r#"[ $1 = 0 ] && echo ready && exec cat; sh -c "$LINK" sh $(($1-1)) <&3 & wait"#;
        format!("exec 3<&0; export LINK='{link}'; sh -c \"$LINK\" sh {depth} <&3 & wait")
    };
    let took = |depth| {
        let round = |_| {
            let mut family = Family::shell(&chain(depth));
            let begin = Instant::now();
            let told = sigsend()
                .args(["--tree", "-KILL", "--wait", &family.arg()])
                .assert();
            let took = begin.elapsed();
            told.success().stdout("").stderr("");
            family.assert_all_ended();
            took
        };
        (0..2).map(round).min().expect("two rounds")
    };
    let (short, long) = (took(250), took(1000));
    assert!(long < short * 10, "{short:?} for 250, {long:?} for 1,000");
}

#[test]
fn no_process_is_named_because_the_kills_take_long() {
    in_pid_namespace(|| {
        let mut family = Family::with_role("chain 100");
        // Each of the 101 members has got STOP before.
        let slow = "inject=pidfd_send_signal:delay_exit=15000:when=102+";
        let Some(trace) = strace(slow, &["--tree", "-KILL", &family.arg()]) else {
            return;
        };
        assert_eq!(String::from_utf8_lossy(&trace.output.stderr), "");
        assert!(trace.output.status.success());
        family.assert_killed_by(9);
        family.assert_all_ended();
    });
}

#[test]
fn a_stop_from_the_terminal_is_held_back_until_a_frozen_tree_is_killed() {
    let mut family = Family::with_role("children 5");
    // Each signal is delayed, so that there is time for the stop.
    let mut slow = raw("strace");
    slow.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=pidfd_send_signal",
    ]);
    slow.args(["-e", "inject=pidfd_send_signal:delay_exit=100000", *SIGSEND]);
    slow.args(["--tree", "-KILL", &family.arg()]);
    if !may_trace() {
        return skip("no strace");
    }
    let tracer = victim().command(slow);
    eventually("the root to be stopped", || state(family.pid()) == 'T');
    let sigsend = children(tracer.pid())[0];
    for signal in [Signal::SIGTSTP, Signal::SIGTTOU, Signal::SIGTTIN] {
        kill(Pid::from_raw(sigsend), signal).expect("a child of strace");
    }
    family.assert_killed_by(9);
    assert_eq!(family.assert_all_ended().len(), 5, "each was created");
    eventually("sigsend to be stopped or to have ended", || {
        if "Tt".contains(state(sigsend)) {
            let _ = kill(Pid::from_raw(sigsend), Signal::SIGCONT);
        }
        tracer.has_ended()
    });
    tracer.assert_exited_with(0);
}
