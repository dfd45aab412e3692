//! Trees: which processes belong to one, the order of the signals, which processes are skipped, and
//! that no process is left stopped.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::family::{Family, children, state};
use crate::strange::{Call, Held, calls, calls_after, may_trace};
use crate::support::{
    Recorder, SIGSEND, Unprivileged, Victim, eventually, in_pid_namespace, may_change_user,
    program, raw_sigsend, sigsend, skip, stderr, stdout, strace, victim,
};

/// Three generations of `cat` and `sh`, all of which end with the test.
const GENERATIONS: &str = "exec 3<&0; sh -c 'cat <&3 & cat <&3 & echo ready; wait' & wait";

/// The PIDs of the `sent` lines of `-v`, in order.
fn sent_to(told: &str) -> Vec<i32> {
    let pid = |line: &str| {
        line.split_once(" to ")?
            .1
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    told.lines()
        .filter(|line| line.starts_with("sent "))
        .map(|line| pid(line).expect("a PID"))
        .collect()
}

#[test]
fn a_signal_goes_from_the_root_down_and_kill_from_the_leaves_up() {
    for (signal, is_kill) in [("-CONT", false), ("-KILL", true), ("-CONT", false)] {
        let family = Family::shell(GENERATIONS);
        let parent = family.children()[0];
        let leaves = children(parent);
        let told = sigsend()
            .args([signal, "-v", "--tree", &family.arg()])
            .assert()
            .success()
            .stderr("");
        let mut order = sent_to(&stdout(&told));
        if is_kill {
            order.reverse();
        }
        assert_eq!(order.len(), 4, "{}", stdout(&told));
        assert_eq!(order[..2], [family.pid(), parent]);
        assert!(leaves.iter().all(|leaf| order[2..].contains(leaf)));
    }
}

#[test]
fn a_tree_is_gone_when_all_of_it_is() {
    let mut bystander = Recorder::new();
    for call in [
        &["-TERM", "--wait"][..],
        &["--grace", "15s"],
        &["-KILL", "--within", "15s"],
    ] {
        let mut family = Family::shell(GENERATIONS);
        sigsend()
            .arg("--tree")
            .args(call)
            .arg(family.arg())
            .assert()
            .success()
            .stdout("")
            .stderr("");
        assert!(family.has_ended());
        family.assert_all_ended();
    }
    bystander.assert_untouched();
}

#[test]
fn children_of_every_thread_belong_to_it() {
    let mut family = Family::with_role("threads");
    assert_eq!(family.children().len(), 1);
    sigsend()
        .args(["--tree", "-KILL", &family.arg()])
        .assert()
        .success();
    family.assert_all_ended();
}

#[test]
fn a_process_that_forks_on_term_is_killed_with_its_child() {
    let mut family = Family::shell(
        "exec 3<&0; trap 'trap \"\" TERM; cat <&3 & wait' TERM; echo ready; while read line; do :; done",
    );
    sigsend()
        .args(["--tree", "--grace", "300ms", &family.arg()])
        .assert()
        .success()
        .stderr("");
    family.assert_killed_by(9);
    family.assert_all_ended();
}

#[test]
fn a_process_that_left_the_tree_before_is_not_part_of_it() {
    let mut family = Family::shell("exec 3<&0; echo ready; (cat <&3 & echo $!); exec cat");
    let away: i32 = family.read_line().parse().expect("a PID");
    sigsend()
        .args(["--tree", "--wait", "-KILL", &family.arg()])
        .assert()
        .success();
    family.assert_killed_by(9);
    assert_eq!(state(away), 'S');
    kill(Pid::from_raw(away), Signal::SIGKILL)
        .expect("it is in the group of a zombie that we hold");
    family.assert_all_ended();
}

#[test]
fn a_stopped_member_stays_stopped_and_no_other_is_left_stopped() {
    let mut family = Family::with_role("catching-children 3");
    let members: Vec<i32> = (0..3)
        .map(|_| pid_of(&family.next_line().expect("it is alive")))
        .collect();
    kill(Pid::from_raw(members[1]), Signal::SIGSTOP).expect("it is ours");
    eventually("it to be stopped", || state(members[1]) == 'T');
    sigsend()
        .args(["--tree", "-TERM", &family.arg()])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    let mut told: Vec<i32> = (0..3)
        .map(|_| pid_of(&family.next_line().expect("it is alive")))
        .collect();
    told.sort_unstable();
    let mut others = vec![family.pid(), members[0], members[2]];
    others.sort_unstable();
    assert_eq!(told, others);
    assert_eq!(state(members[1]), 'T');
    assert!(others.iter().all(|pid| state(*pid) != 'T'));
    kill(Pid::from_raw(members[1]), Signal::SIGCONT).expect("it is ours");
    assert_eq!(family.next_line(), Some(format!("caught {}", members[1])));
}

fn pid_of(word: &str) -> i32 {
    word.split_once(' ')
        .and_then(|(_, pid)| pid.parse().ok())
        .expect("a word and a PID")
}

#[test]
fn a_stopped_tree_is_killed() {
    let mut family = Family::shell(GENERATIONS);
    for pid in [family.pid(), family.children()[0]] {
        kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("it is ours");
    }
    sigsend()
        .args(["--tree", "-KILL", "--wait", &family.arg()])
        .assert()
        .success()
        .stderr("");
    family.assert_all_ended();
}

#[test]
fn a_vfork_parent_is_killed_with_its_child() {
    let mut family = Family::with_role("vfork");
    eventually("the parent to be blocked", || {
        state(family.children()[0]) == 'D'
    });
    let begin = Instant::now();
    sigsend()
        .args(["--tree", "-KILL", "--wait", &family.arg()])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert!(
        family.assert_all_ended().is_empty(),
        "the parent was continued before it was killed"
    );
}

#[test]
fn a_freeze_that_fails_leaves_no_process_stopped() {
    // All members continue, whichever descriptor could not be opened.
    for failing in 1..=5 {
        for mut family in [Family::shell(GENERATIONS), Family::with_role("vfork")] {
            let blocked = || {
                family
                    .children()
                    .first()
                    .is_some_and(|child| state(*child) == 'D')
            };
            let asleep = || children(family.children()[0]).len() == 2;
            eventually("the family to be complete", || blocked() || asleep());
            let mut members = vec![family.pid(), family.children()[0]];
            members.extend(children(members[1]));
            let stopped_before = *members.last().expect("members");
            kill(Pid::from_raw(stopped_before), Signal::SIGSTOP).expect("it is ours");
            eventually("it to be stopped", || state(stopped_before) == 'T');
            // All members are pinned first, so this fails after they were stopped.
            let fault = format!(
                "inject=pidfd_open:error=ENFILE:when={}+",
                members.len() + failing
            );
            let Some(trace) = strace(&fault, &["--tree", "-KILL", &family.arg()]) else {
                return;
            };
            if trace.output.status.success() {
                continue;
            }
            assert_eq!(trace.output.status.code(), Some(1));
            assert!(trace.output.stderr.starts_with(b"sigsend: "));
            let stopped = trace
                .calls
                .iter()
                .filter(|call| call.contains("SIGSTOP"))
                .count();
            assert!(
                stopped > 0 && !trace.calls.iter().any(|call| call.contains("SIGKILL")),
                "{:#?}",
                trace.calls
            );
            assert_eq!(state(stopped_before), 'T');
            kill(Pid::from_raw(stopped_before), Signal::SIGCONT).expect("it is ours");
            family.write_line("end the vfork");
            eventually("all processes to continue", || {
                members.iter().all(|pid| !"TD".contains(state(*pid)))
            });
        }
    }
}

#[test]
fn sigsend_and_its_ancestors_are_skipped_and_the_rest_of_the_tree_is_signalled() {
    for (call, signal) in [
        ("--tree -KILL", 9),
        ("--tree --grace 9s", 15),
        ("-TERM --tree --wait", 15),
    ] {
        let mut bystander = Recorder::new();
        let beside = Victim::sleeping();
        // The root is an ancestor of an ancestor; only sleep is a descendant that is no ancestor.
        let script = format!(
            "sleep 1000 & echo $!; sh -c '\"$0\" {call} $PPID {} 2>&1; echo status $?' \"$0\"; exec cat",
            beside.arg()
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script, SIGSEND]);
        let mut shell = victim().command(command);
        let sleep: i32 = shell.read_line().parse().expect("a PID");
        let mut told = Vec::new();
        while !told
            .last()
            .is_some_and(|line: &String| line.starts_with("status "))
        {
            told.push(shell.read_line());
        }
        assert_eq!(told.pop().as_deref(), Some("status 64"), "{told:?}");
        assert!(
            told.iter().all(|line| line.ends_with(": skipped")),
            "{told:?}"
        );
        assert!(
            told[0].starts_with(&format!("sigsend: {}", shell.pid())),
            "{told:?}"
        );
        assert_eq!(
            told.len(),
            3,
            "the shell, the shell between, and sigsend: {told:?}"
        );
        shell.assert_alive();
        eventually("the rest of the tree to exit", || {
            "XZ".contains(state(sleep))
        });
        beside.assert_killed_by(signal);
        bystander.assert_untouched();
    }
}

#[test]
fn a_tree_of_only_ancestors_gets_no_signal() {
    let script = "echo ready; \"$0\" --tree -TERM $$ 2>&1; echo status $?; exec cat";
    let mut command = Command::new("sh");
    command.args(["-c", script, SIGSEND]);
    let mut shell = victim().command(command);
    let told: Vec<String> = (0..4).map(|_| shell.read_line()).collect();
    assert_eq!(
        (told[0].as_str(), told[3].as_str()),
        ("ready", "status 1"),
        "{told:?}"
    );
    assert!(
        told[1..3].iter().all(|line| line.ends_with(": skipped")),
        "{told:?}"
    );
    shell.assert_alive();
}

#[test]
fn the_tree_of_process_1_is_refused() {
    for target in ["1", "0001", " 1 ", "1:1"] {
        let refused = sigsend()
            .args(["--tree", "-0", target])
            .assert()
            .code(1)
            .stdout("");
        assert!(
            stderr(&refused).starts_with("sigsend: "),
            "{}",
            stderr(&refused)
        );
    }
    let refused = sigsend()
        .args(["--tree", "-0", "--pidfile", "-"])
        .write_stdin("1")
        .assert()
        .code(1)
        .stdout("");
    assert_eq!(
        stderr(&refused),
        "sigsend: the tree of process 1 is every process: refused\n"
    );
}

#[test]
fn a_member_named_together_with_its_root_gets_a_signal_once() {
    let mut family = Family::with_role("catching-children 2");
    let mut members = vec![family.arg()];
    members.extend((0..2).map(|_| pid_of(&family.next_line().expect("it is alive")).to_string()));
    members.reverse();
    sigsend()
        .args(["--tree", "-TERM", "--within", "0s"])
        .args(&members)
        .assert()
        .code(124);
    sigsend()
        .args(["--tree", "-KILL"])
        .args(&members)
        .assert()
        .success();
    assert_eq!(family.assert_all_ended().len(), 3);
}

#[test]
fn a_member_named_before_its_root_gets_the_signal_after_it() {
    let family = Family::shell(GENERATIONS);
    let child = family.children()[0];
    let args = ["-CONT", "-v", "--tree", &child.to_string(), &family.arg()];
    let told = stdout(&sigsend().args(args).assert().success());
    assert_eq!(sent_to(&told)[..2], [family.pid(), child], "{told}");
}

#[test]
fn a_descendant_of_another_user_is_reported_once_and_the_others_are_killed() {
    if !may_change_user() {
        return skip("needs root");
    }
    // The member that may not be signalled is not stopped and keeps forking.
    for role in [
        "foreign-short-lived 1 20000000",
        "foreign-short-lived 50 3000",
    ] {
        let family = Family::with_role(role);
        let foreign = family.children()[0];
        let begin = Instant::now();
        let told = Unprivileged::new()
            .sigsend()
            .args(["--tree", "-KILL", &family.arg()])
            .assert()
            .code(64);
        assert!(begin.elapsed() < Duration::from_secs(10));
        family.assert_killed_by(9);
        assert_ne!(state(foreign), 'T');
        let told = stderr(&told);
        let it = format!("(PID {foreign})");
        let about_it: Vec<&str> = told
            .lines()
            .filter(|line| line.starts_with("sigsend: ") && line.contains(&it))
            .collect();
        assert_eq!(about_it.len(), 1, "{told}");
        assert!(about_it[0].ends_with("Operation not permitted"), "{told}");
    }
}

#[test]
fn a_deep_tree_and_a_wide_one_take_little_time() {
    for (role, size) in [("chain 100", 101), ("children 1000", 1001)] {
        let mut family = Family::with_role(role);
        let begin = Instant::now();
        let told = sigsend()
            .args(["--tree", "-v", "-KILL", "--wait", &family.arg()])
            .assert()
            .success()
            .stderr("");
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "{:?}",
            begin.elapsed()
        );
        assert_eq!(sent_to(&stdout(&told)).len(), size);
        family.assert_all_ended();
    }
}

#[test]
fn an_interrupt_is_held_back_until_a_frozen_tree_is_killed() {
    if program("strace").is_none() {
        return skip("no strace");
    }
    let mut family = Family::shell(GENERATIONS);
    let root = family.pid();
    // Each signal is delayed, so that there is time for the interrupt.
    let slow = [
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=pidfd_send_signal",
    ];
    let mut command = Command::new("strace");
    command.args(slow).args([
        "-e",
        "inject=pidfd_send_signal:delay_exit=100000",
        SIGSEND,
        "--tree",
        "-KILL",
    ]);
    command.arg(family.arg());
    let tracer = victim().command(command);
    eventually(
        "the root to be stopped or the test to be impossible",
        || state(root) == 'T' || tracer.has_ended(),
    );
    if tracer.has_ended() {
        return skip("no ptrace");
    }
    let sigsend = children(tracer.pid())[0];
    kill(Pid::from_raw(sigsend), Signal::SIGTERM).expect("a child of strace");
    family.assert_all_ended();
    // strace dies as its child did.
    tracer.assert_killed_by(15);
}

#[test]
fn a_tree_that_is_already_gone_counts_as_success() {
    let gone = Victim::gone().to_string();
    sigsend()
        .args(["--tree", "--grace", "15s", &gone])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    sigsend().args(["--tree", "-KILL", &gone]).assert().code(1);
    let zombie = Victim::zombie();
    sigsend()
        .args(["--tree", "--wait", "-KILL", &zombie.arg()])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    assert!(
        raw_sigsend()
            .args(["--tree", "-KILL", &zombie.arg()])
            .status()
            .expect("sigsend starts")
            .success()
    );
}

/// The PID that is reused.
const NUMBER: i32 = 4242;

#[test]
fn the_next_owner_of_the_pid_of_a_child_is_not_part_of_the_tree() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        let mut parent =
            Family::shell("exec 3<&0; cat <&3 & echo ready; wait; echo reaped >&2; read line <&3");
        let child = parent.children()[0];
        let pinning_of_child = Call {
            name: "pidfd_open".into(),
            nth: 2,
        };
        let held = Held::before(&pinning_of_child, &["--tree", "-TERM", &parent.arg()]);
        kill(Pid::from_raw(child), Signal::SIGKILL).expect("it is in the family");
        assert_eq!(parent.next_line().as_deref(), Some("reaped"));
        let unrelated = victim().with_pid(child).sleeping();
        let output = held.go();
        assert_eq!(
            (
                output.status.code(),
                String::from_utf8_lossy(&output.stderr)
            ),
            (Some(0), "".into())
        );
        parent.assert_killed_by(15);
        unrelated.assert_alive();
    });
}

#[test]
fn the_children_of_a_process_that_reuses_the_pid_of_a_member_are_not_part_of_the_tree() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        let parent = "exec 3<&0; cat <&3 & echo ready; wait";
        let mut swapped = 0;
        for call in [
            &["--tree", "-TERM", "--within", "9s"][..],
            &["--tree", "-KILL"],
            &["--tree", "-HUP"],
        ] {
            let args: Vec<&str> = call.iter().copied().chain(["4242"]).collect();
            let points: Vec<Call> = {
                let _owner = victim().with_pid(NUMBER).sleeping();
                // strace itself changes its signal mask before it executes the program.
                let expression = "trace=!mmap,brk,rt_sigaction,rt_sigprocmask";
                let trace = strace(expression, &args).expect("strace is usable, as checked before");
                let after = calls_after(&trace, "pidfd_open(").into_iter();
                after
                    .filter(|call| !call.name.starts_with("exit"))
                    .collect()
            };
            for point in points {
                let mut owner = victim().with_pid(NUMBER).sleeping();
                let held = Held::before(&point, &args);
                // Before it is pinned, its PID may be reused.
                if !held.has_pinned() {
                    held.go();
                    continue;
                }
                let _ = kill(Pid::from_raw(NUMBER), Signal::SIGKILL);
                owner.reap();
                let unrelated = victim().with_pid(NUMBER).shell(parent);
                let child = children(NUMBER);
                let output = held.go();
                assert!(
                    !"XZ".contains(state(NUMBER)) && !"XZ".contains(state(child[0])),
                    "{point:?} {call:?}"
                );
                swapped += 1;
                assert!(
                    output.status.code().is_some(),
                    "{point:?} {call:?}: {output:?}"
                );
                drop(unrelated);
                // Orphans are reparented to process 1, which is the test. An unreaped one would
                // keep the ID of its group.
                waitpid(Pid::from_raw(child[0]), None).expect("it dies with its group");
            }
        }
        assert!(swapped > 20, "{swapped} swaps");
    });
}

/// Prints `ready`; on CONT it forks a child that prints `created PID`, and exits.
const LEAVES_A_CHILD: &str =
    "exec 3<&0; trap 'sh -c \"echo created \\$\\$ >&2; exec cat <&3\" & exit' CONT
    echo ready; while :; do read -r line; done";

#[test]
fn a_child_forked_between_the_last_scan_and_kill_is_killed_or_warned_about() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        let mut parent = Family::shell(LEAVES_A_CHILD);
        // The first one is STOP.
        let kill_call = Call {
            name: "pidfd_send_signal".into(),
            nth: 2,
        };
        let held = Held::before(&kill_call, &["--tree", "-KILL", &parent.arg()]);
        held.has_entered(libc::SYS_pidfd_send_signal);
        kill(Pid::from_raw(parent.pid()), Signal::SIGCONT).expect("it is a child");
        let created = parent.next_line().expect("the child is alive");
        let child = pid_of(&created);
        eventually("the parent to exit", || state(parent.pid()) == 'Z');
        let output = held.go();
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        let warning = format!(
            "sigsend: {} could not be kept stopped; it may have forked before it was killed\n",
            parent.pid()
        );
        assert!(told == warning || "XZ".contains(state(child)), "{told}");
        let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        waitpid(Pid::from_raw(child), None)
            .expect("orphans are reparented to process 1, which is the test");
    });
}

#[test]
fn only_a_process_that_a_killed_member_may_have_left_is_warned_about() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        let kill_call = Call {
            name: "pidfd_send_signal".into(),
            nth: 2,
        };
        for new in [
            "orphan",
            "zombie",
            "ended",
            "in another group",
            "child of another",
        ] {
            let killed = Victim::sleeping();
            let mut other = Family::shell_in_group_of(
                &killed,
                "echo ready; read line; sleep 60 & echo $! >&2; wait",
            );
            let held = Held::after(&kill_call, &["--tree", "-KILL", &killed.arg()]);
            eventually("it to be dead", || state(killed.pid()) == 'Z');
            let started = match new {
                "orphan" => Some(victim().in_group_of(&killed).sleeping()),
                "in another group" => Some(Victim::sleeping()),
                "child of another" => {
                    other.write_line("fork");
                    let _ = other.next_line();
                    None
                }
                _ => {
                    let mut child = victim().in_group_of(&killed).shell("echo ready");
                    child.assert_exited_with(0);
                    if new == "ended" {
                        child.reap();
                    }
                    Some(child)
                }
            };
            let told = String::from_utf8(held.go().stderr).expect("UTF-8");
            let warning = format!(
                "sigsend: {} could not be kept stopped; it may have forked before it was killed\n",
                killed.pid()
            );
            assert_eq!(told, if new == "orphan" { &*warning } else { "" }, "{new}");
            drop(started);
        }
    });
}

#[test]
fn a_member_that_has_yet_to_take_the_signal_may_fork_and_is_looked_at_for_a_second() {
    let family = Family::with_role("catching-vfork");
    eventually("the parent to be blocked", || {
        state(family.children()[0]) == 'D'
    });
    let begin = Instant::now();
    sigsend()
        .args(["--tree", "-TERM", &family.arg()])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    assert!(
        begin.elapsed() > Duration::from_millis(900),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(state(family.children()[0]), 'D');
}

#[test]
fn an_error_of_the_look_after_kill_is_reported() {
    // How often a freeze looks at its members varies, and so does the number of the call.
    for _attempt in 0..50 {
        let family = Family::shell(GENERATIONS);
        let traced = "trace=openat,pidfd_send_signal";
        let Some(trace) = strace(traced, &["--tree", "-KILL", &family.arg()]) else {
            return;
        };
        let kill = trace
            .calls
            .iter()
            .position(|call| call.contains("SIGKILL"))
            .expect("KILL is sent");
        let look = trace.calls[kill..]
            .iter()
            .position(|call| call.contains("/task"))
            .expect("children are looked for");
        let nth = calls(&trace)[kill + look].nth;

        let family = Family::shell(GENERATIONS);
        let fault = format!("inject=openat:error=ENFILE:when={nth}");
        let trace = strace(&fault, &["--tree", "-KILL", &family.arg()]).expect("strace is usable");
        let kill = trace.calls.iter().position(|call| call.contains("SIGKILL"));
        let failed = trace
            .calls
            .iter()
            .position(|call| call.contains("/task") && call.contains("(INJECTED)"));
        if kill.is_some() && failed > kill {
            let told = String::from_utf8_lossy(&trace.output.stderr);
            assert!(
                trace.output.status.code() == Some(64)
                    && told.contains("Too many open files in system"),
                "{told}"
            );
            return family.assert_killed_by(9);
        }
    }
    panic!("no look after KILL has failed");
}

#[test]
fn a_tree_that_cannot_be_stopped_does_not_affect_another() {
    let (family, other) = (Family::shell(GENERATIONS), Victim::sleeping());
    eventually("the family to be complete", || {
        family
            .children()
            .first()
            .is_some_and(|child| children(*child).len() == 2)
    });
    // The third STOP, after those to the roots.
    let fault = "inject=pidfd_send_signal:error=ENOMEM:when=3";
    let args = ["--json", "--tree", "-KILL", &family.arg(), &other.arg()];
    let Some(trace) = strace(fault, &args) else {
        return;
    };
    other.assert_killed_by(9);
    family.assert_alive();
    let summary = "{\"event\":\"summary\",\"signalled\":1,\"already_gone\":0,\"failed\":4,\"remaining\":0,\"status\":64}\n";
    let told = String::from_utf8_lossy(&trace.output.stdout);
    assert!(told.ends_with(summary), "{told}");
}

/// Three generations that catch HUP. The second one then forks a child that does not catch it and
/// prints `created PID`.
const FORKS_ON_HUP: &str = r#"exec 3<&0; trap : HUP
    (
        trap 'sh -c "echo created \$\$ >&2; read -r line" <&3 &' HUP
        (trap : HUP; echo ready; read -r line; read -r line) <&3 &
        wait; wait; wait
    ) &
    wait; wait; wait"#;

#[test]
fn a_child_forked_after_the_signal_must_catch_it_too() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        let mut family = Family::shell(FORKS_ON_HUP);
        let to_last = Call {
            name: "pidfd_send_signal".into(),
            nth: 3,
        };
        let held = Held::before(&to_last, &["-r", "--tree", "-HUP", &family.arg()]);
        let child = pid_of(&family.next_line().expect("the family is alive"));
        let output = held.go();
        assert_eq!(output.status.code(), Some(64));
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(told, format!("sigsend: {child} (sh) does not catch HUP\n"));
        assert!("RS".contains(state(child)));
    });
}

#[test]
fn a_signal_to_a_quiet_tree_takes_no_second() {
    let family = Family::shell(GENERATIONS);
    let took = || {
        let begin = Instant::now();
        sigsend()
            .args(["-CONT", "--tree", &family.arg()])
            .assert()
            .success();
        begin.elapsed()
    };
    // Any one of them may be delayed on a busy machine.
    assert!((0..10).any(|_| took() < Duration::from_millis(500)));
}

#[test]
fn the_time_of_a_slow_freeze_counts() {
    let freezer = Path::new("/sys/fs/cgroup/freezer");
    let own = freezer.join(format!("sigsend-test-{}", std::process::id()));
    if fs::create_dir(&own).is_err() {
        return skip("no freezer of version 1 that can be used");
    }
    let victim = Victim::sleeping();
    let set = |file: &str, value: &str| fs::write(own.join(file), value).is_ok();
    let is_frozen = set("cgroup.procs", &victim.arg()) && set("freezer.state", "FROZEN");
    let frozen =
        || fs::read_to_string(own.join("freezer.state")).is_ok_and(|state| state == "FROZEN\n");
    if is_frozen {
        eventually("the victim to be frozen", frozen);
        let begin = Instant::now();
        let told = sigsend()
            .args(["--tree", "-KILL", "--within", "2s", &victim.arg()])
            .output();
        let took = begin.elapsed();
        let (thawed, _) = (set("freezer.state", "THAWED"), victim.ending());
        assert!(thawed && told.expect("sigsend starts").status.code() == Some(124));
        assert!(
            (Duration::from_secs(2)..Duration::from_millis(2800)).contains(&took),
            "{took:?}"
        );
    }
    drop(victim);
    let _ = fs::remove_dir(&own);
}
