//! Trees that outrun KILL: members that run again while the tree is killed, because a KILL to
//! another member continues them, or somebody else does. None survives, or it is named.

use crate::support::prelude::*;

/// Members that do nothing in each group. They make the time between two KILLs long.
const IDLE_MEMBERS: usize = 100;
fn rounds() -> std::ops::Range<usize> {
    0..if in_full() { 20 } else { 6 }
}

fn others() -> Vec<i32> {
    all_pids().into_iter().filter(|pid| *pid != 1).collect()
}

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
    in_pid_namespace!();
    for role in each("tied-by-a-grandchild | tied-by-its-parent | told-of-its-parent") {
        for round in rounds() {
            let family = Family::with_role(&format!("{role} {IDLE_MEMBERS}"));
            let done = run!("--tree -KILL --wait {family}");
            family.assert_killed_by(9);
            assert_eq!(survivors(), [0; 0], "{role}, round {round}: {done:?}");
            done.ok();
            clean_up(&family);
        }
    }
}

#[test]
fn trees_that_share_a_group_are_killed_together() {
    in_pid_namespace!();
    for round in rounds() {
        let mut family = Family::with_role(&format!("tied-by-another-tree {IDLE_MEMBERS}"));
        let mut roots = [family.next_pid(), family.next_pid()];
        roots.rotate_left(round % 2);
        let outside = [family.pid(), family.children()[0]];
        let done = run!("--tree -KILL --wait {} {}", roots[0], roots[1]);
        let mut left = survivors();
        left.retain(|pid| !outside.contains(pid));
        assert_eq!(left, [0; 0], "round {round}: {done:?}");
        done.ok();
        family.assert_alive();
        clean_up(&family);
    }
}

#[test]
fn a_survivor_of_a_circle_of_groups_is_named() {
    in_pid_namespace!();
    for round in rounds() {
        let family = Family::with_role(&format!("circle-of-groups {IDLE_MEMBERS}"));
        let done = run!("--tree -KILL --wait {family}");
        family.assert_killed_by(9);
        let left = survivors();
        let are_named = left.iter().all(|pid| is_named(&done.err, *pid));
        assert!(are_named, "round {round}: {left:?} survived: {done:?}");
        assert_eq!(done.out, "");
        let status = if done.err.is_empty() { 0 } else { 64 };
        done.code(status);
        clean_up(&family);
    }
}

#[test]
fn a_process_that_escaped_between_the_freeze_and_kill_is_named_and_counts_as_failed() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    for role in ["escapes", "escapes-to-a-session", "escapes-beside"] {
        let mut family = Family::with_role(&format!("{role} 1"));
        // The first one is STOP.
        let kill_call = Call::nth("pidfd_send_signal", 2);
        let held = Held::before(&kill_call, &format!("--json --tree -KILL {family}"));
        held.has_entered(libc::SYS_pidfd_send_signal);
        send(family.pid(), Signal::SIGCONT);
        let escaped = family.next_pid();
        let done = held.go();
        family.assert_killed_by(9);
        assert_eq!(survivors(), [escaped], "{role}");
        done.is(64, "\"failed\":1,", escaped.to_string());
        clean_up(&family);
    }
}

#[test]
fn the_children_of_a_member_that_is_found_at_the_last_look_are_killed_too() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    let idle = "i=0; while [ $i -lt 100 ]; do i=$((i+1)); cat <&3 & done";
    let forks = "trap 'sh -c \"cat <&3 & echo forked \\$! >&2; wait\" &' CONT";
    let mut family = Family::shell(&format!(
        "exec 3<&0; {idle}; {forks}; echo ready; while :; do read line; done"
    ));
    // All are at rest, and the children of the head are to be read once more. Those of the others
    // are read first after the KILLs.
    let look = Call::nth("getsid", 1);
    let held = Held::before(&look, &format!("--tree -KILL {family}"));
    held.has_entered(libc::SYS_getsid);
    send(family.pid(), Signal::SIGCONT);
    family.next_pid();
    held.go().fine();
    family.assert_killed_by(9);
    family.assert_all_ended();
}

#[test]
fn a_process_that_is_older_than_sigsend_is_no_orphan() {
    in_pid_namespace!();
    let go_on_after = |pid: u32| fs::write("/proc/sys/kernel/ns_last_pid", pid.to_string()).is_ok();
    if !may_trace() || program("setsid").is_none() || !go_on_after(400) {
        return skip("no strace, no setsid or no right to choose PIDs");
    }
    // It has a session of its own and no parent, and the PIDs pass it while the tree is killed.
    let mut stranger = Command::new("setsid");
    let started = stranger.args(["--fork", "sleep", "60"]).status();
    assert!(started.expect("setsid starts").success() && go_on_after(100));
    let started = others().into_iter().map(|pid| stat_field(pid, 22)).max();
    eventually("a clock tick to pass", || {
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let ticks = uptime.split(' ').next().map(|ticks| ticks.replace('.', ""));
        ticks.and_then(|ticks| ticks.parse().ok()) > started
    });
    let family = Family::shell("echo ready; exec cat");
    // The first one is STOP.
    let kill_call = Call::nth("pidfd_send_signal", 2);
    let held = Held::before(&kill_call, &format!("--tree -KILL {family}"));
    held.has_entered(libc::SYS_pidfd_send_signal);
    assert!(go_on_after(500));
    assert!(Command::new("true").status().expect("it starts").success());
    held.go().fine();
    family.assert_killed_by(9);
    clean_up(&family);
}

#[test]
fn a_deep_tree_takes_linear_time() {
    // Each one executes the shell anew: the kernel itself takes quadratic time for a chain of forks.
    let chain = |depth: u32| {
        let link = r#"[ $1 = 0 ] && echo ready && exec cat; sh -c "$LINK" sh $(($1-1)) <&3 & wait"#;
        format!("exec 3<&0; export LINK='{link}'; sh -c \"$LINK\" sh {depth} <&3 & wait")
    };
    let took = |depth| {
        let mut family = Family::shell(&chain(depth));
        let done = run!("--tree -KILL --wait {family}").ok();
        family.assert_all_ended();
        done.took
    };
    // The better of two, since a busy machine may spoil one.
    let [short, long] = [250, 1000].map(|depth| took(depth).min(took(depth)));
    assert!(long < short * 10, "{short:?} for 250, {long:?} for 1,000");
}

#[test]
fn no_process_is_named_because_the_kills_take_long() {
    in_pid_namespace!();
    let mut family = Family::with_role("chain 100");
    // Each of the 101 members has got STOP before.
    let slow = "inject=pidfd_send_signal:delay_exit=15000:when=102+";
    let trace = traced!(slow, "--tree -KILL {family}");
    trace.done.fine();
    family.assert_killed_by(9);
    family.assert_all_ended();
}

#[test]
fn an_interrupt_or_a_stop_is_held_back_until_a_frozen_tree_is_killed() {
    needs!(may_trace(), "strace");
    for (signals, ending) in [
        ("TSTP TTOU TTIN", Ending::Exited(0)),
        // strace dies as its child did.
        ("TERM", Ending::Killed(15)),
        ("34", Ending::Killed(34)),
        // strace's C library does not let it die of this one.
        ("32", Ending::Exited(160)),
    ] {
        let mut family = Family::with_role("children 5");
        // Each signal is delayed, so that there is time for these.
        let mut slow = through(SLOW_SIGNALS);
        slow.args(["--tree", "-KILL", &family.arg()]);
        let tracer = victim().command(slow);
        eventually("the root to be stopped", || state(family.pid()) == 'T');
        let sigsend = children(tracer.pid())[0];
        for signal in signals.split(' ') {
            run!("-{signal} {sigsend}").fine();
        }
        family.assert_killed_by(9);
        assert_eq!(family.assert_all_ended().len(), 5, "each was created");
        eventually("sigsend to be stopped or to have ended", || {
            if "Tt".contains(state(sigsend)) {
                let _ = kill(Pid::from_raw(sigsend), Signal::SIGCONT);
            }
            tracer.has_ended()
        });
        assert_eq!(tracer.ending(), ending);
    }
}

/// sigsend under it takes a tenth of a second for each signal.
const SLOW_SIGNALS: &str = "strace -f -qq -o /dev/null -e trace=pidfd_send_signal \
    -e inject=pidfd_send_signal:delay_exit=100000";
