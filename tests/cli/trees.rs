//! Trees: which processes belong to one, the order of the signals, which processes are skipped, and
//! that no process is left stopped.

use crate::support::prelude::*;

/// Three generations of `cat` and `sh`, all of which end with the test.
const GENERATIONS: &str = "exec 3<&0; sh -c 'cat <&3 & cat <&3 & echo ready; wait' & wait";

/// Such a family, once all four members are there.
fn generations() -> Family {
    let family = Family::shell(GENERATIONS);
    let parent = || family.children().first().copied().unwrap_or(0);
    let is_complete = || children(parent()).len() == 2;
    eventually("the family to be complete", is_complete);
    family
}

#[test]
fn a_signal_goes_from_the_root_down_and_kill_from_the_leaves_up() {
    for signal in ["-CONT", "-KILL"] {
        let family = generations();
        let parent = family.children()[0];
        let leaves = children(parent);
        let done = run!("{signal} -v --tree {family}").fine();
        let mut order = done.sent_to();
        if signal == "-KILL" {
            order.reverse();
        }
        assert_eq!(order[..2], [family.pid(), parent]);
        assert_eq!(sorted(order.split_off(2)), sorted(leaves), "{done:?}");
    }
}

#[test]
fn a_tree_is_gone_when_all_of_it_is() {
    let mut bystander = Recorder::new();
    let forks_on_term = || {
        let forks = "trap 'trap \"\" TERM; cat <&3 & wait' TERM";
        let idle = "echo ready; while read line; do :; done";
        Family::shell(&format!("exec 3<&0; {forks}; {idle}"))
    };
    let stopped = || {
        let family = generations();
        send(family.pid(), Signal::SIGSTOP);
        send(family.children()[0], Signal::SIGSTOP);
        family
    };
    // A child of a thread, and a child that is forked on TERM, are members.
    let starts: [(&dyn Fn() -> Family, &str); 7] = [
        (&generations, "-TERM --wait"),
        (&generations, "--grace 15s"),
        (&generations, "-KILL --within 15s"),
        (&stopped, "-KILL --wait"),
        (&|| Family::with_role("threads"), "-KILL --wait"),
        (&|| blocked("vfork"), "-KILL --wait"),
        (&forks_on_term, "--grace 300ms"),
    ];
    for (start, call) in starts {
        let mut family = start();
        run!("--tree {call} {family}").within(10).ok();
        assert!(family.has_ended(), "{call}");
        // A parent in vfork(2) must not be continued before it is killed: it would say so.
        assert_eq!(family.assert_all_ended(), [""; 0], "{call}");
    }
    bystander.assert_untouched();
}

#[test]
fn a_process_that_left_the_tree_before_is_not_part_of_it() {
    let mut family = Family::shell("exec 3<&0; echo ready; (cat <&3 & echo $!); exec cat");
    let away: i32 = family.read_line().parse().expect("a PID");
    run!("--tree --wait -KILL {family}").code(0);
    family.assert_killed_by(9);
    assert_eq!(state(away), 'S');
    // It is in the group of a zombie that we hold.
    send(away, Signal::SIGKILL);
    family.assert_all_ended();
}

#[test]
fn a_stopped_member_stays_stopped_and_no_other_is_left_stopped() {
    let mut family = Family::with_role("catching-children 3");
    let members = [(); 3].map(|()| family.next_pid());
    send(members[1], Signal::SIGSTOP);
    eventually("it to be stopped", || state(members[1]) == 'T');
    run!("--tree -TERM {family}").ok();
    let told = [(); 3].map(|()| family.next_pid());
    let others = sorted(vec![family.pid(), members[0], members[2]]);
    assert_eq!(sorted(told.to_vec()), others);
    assert_eq!(state(members[1]), 'T');
    assert!(others.iter().all(|pid| state(*pid) != 'T'));
    send(members[1], Signal::SIGCONT);
    assert_eq!(family.next_line(), Some(format!("caught {}", members[1])));
}

/// A family whose second member is blocked in vfork(2).
pub fn blocked(role: &str) -> Family {
    let family = Family::with_role(role);
    let is_blocked = || state(family.children()[0]) == 'D';
    eventually("the parent to be blocked", is_blocked);
    family
}

#[test]
fn a_freeze_that_fails_leaves_no_process_stopped() {
    let starts: [fn() -> Family; 2] = [generations, || blocked("vfork")];
    needs!(may_trace(), "strace");
    for start in starts {
        let family = start();
        let line = format!("--tree -KILL {family}");
        let trace = strace("trace=openat,pidfd_send_signal", &line);
        drop(family);
        let mut looks = calls_after(&trace, "SIGSTOP");
        looks.retain(|call| call.name == "openat");
        let mut failed = 0;
        // All members continue, whichever look fails.
        for look in looks.iter().step_by(looks.len() / 5) {
            let mut family = start();
            let parent = family.children()[0];
            let members = [vec![family.pid(), parent], children(parent)].concat();
            let stopped_before = *members.last().expect("members");
            send(stopped_before, Signal::SIGSTOP);
            eventually("it to be stopped", || state(stopped_before) == 'T');
            let fault = format!("inject=openat:error=ENFILE:when={}+", look.nth);
            let trace = strace(&fault, &format!("--tree -KILL {family}"));
            let sent = |signal| trace.calls.iter().any(|call| call.contains(signal));
            // The number of looks before the KILLs varies.
            if sent("SIGKILL") {
                continue;
            }
            failed += 1;
            assert!(sent("SIGSTOP"), "{:#?}", trace.calls);
            trace.done.begins(1, "sigsend: ");
            assert_eq!(state(stopped_before), 'T');
            send(stopped_before, Signal::SIGCONT);
            family.write_line("end the vfork");
            let is_running = |pid: &i32| !"TD".contains(state(*pid));
            let all_run = || members.iter().all(is_running);
            eventually("all processes to continue", all_run);
        }
        assert!(failed > 1, "no look before the KILLs has failed");
    }
}

#[test]
fn a_member_named_together_with_its_root_gets_a_signal_once() {
    let mut family = Family::with_role("catching-children 2");
    let [first, second] = [(); 2].map(|()| family.next_pid());
    run!("--tree -TERM --within 0s {second} {first} {family}").code(124);
    run!("--tree -KILL {second} {first} {family}").code(0);
    assert_eq!(family.assert_all_ended().len(), 3);
    // It gets the signal after its root, although it is named before it.
    let family = generations();
    let child = family.children()[0];
    let done = run!("-CONT -v --tree {child} {family}").code(0);
    assert_eq!(done.sent_to()[..2], [family.pid(), child], "{done:?}");
}

#[test]
fn a_descendant_of_another_user_is_reported_once_and_the_others_are_killed() {
    needs!(may_change_user(), "root");
    // The member that may not be signalled is not stopped and keeps forking.
    for role in ["1 20000000", "50 3000"] {
        let family = Family::with_role(&format!("foreign-short-lived {role}"));
        let foreign = family.children()[0];
        let user = Unprivileged::new();
        let done = call!(user.sigsend(), "--tree -KILL {family}").within(10);
        let told = done.code(64).err;
        family.assert_killed_by(9);
        assert_ne!(state(foreign), 'T');
        let it = format!("(PID {foreign})");
        let is_about_it = |line: &&str| line.starts_with("sigsend: ") && line.contains(&it);
        let about_it: Vec<&str> = told.lines().filter(is_about_it).collect();
        assert_eq!(about_it.len(), 1, "{told}");
        assert!(about_it[0].ends_with("Operation not permitted"), "{told}");
    }
}

/// The PID that is reused.
const NUMBER: i32 = 4242;

#[test]
fn the_next_owner_of_the_pid_of_a_child_is_not_part_of_the_tree() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    let reaps = "exec 3<&0; cat <&3 & echo ready; wait; echo reaped >&2; read line <&3";
    let mut parent = Family::shell(reaps);
    let child = parent.children()[0];
    let pinning_of_child = Call::nth("pidfd_open", 2);
    let held = Held::before(&pinning_of_child, &format!("--tree -TERM {parent}"));
    send(child, Signal::SIGKILL);
    assert_eq!(parent.next_line().as_deref(), Some("reaped"));
    let unrelated = victim().with_pid(child).sleeping();
    held.go().fine();
    parent.assert_killed_by(15);
    unrelated.assert_alive();
}

#[test]
fn the_children_of_a_process_that_reuses_the_pid_of_a_member_are_not_part_of_the_tree() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    let parent = "exec 3<&0; cat <&3 & echo ready; wait";
    let mut swapped = 0;
    for call in ["--tree -TERM --within 9s", "--tree -KILL", "--tree -HUP"] {
        let args = format!("{call} {NUMBER}");
        let owner = victim().with_pid(NUMBER).sleeping();
        // strace itself changes its signal mask before it executes the program.
        let expression = "trace=!mmap,brk,rt_sigaction,rt_sigprocmask";
        let trace = strace(expression, &args);
        drop(owner);
        let points = calls_after(&trace, "pidfd_open(");
        for point in points.iter().filter(|call| !call.name.starts_with("exit")) {
            let mut owner = victim().with_pid(NUMBER).sleeping();
            let held = Held::before(point, &args);
            // Before it is pinned, its PID may be reused.
            if !held.has_pinned() {
                held.go();
                continue;
            }
            let _ = kill(Pid::from_raw(NUMBER), Signal::SIGKILL);
            owner.reap();
            let unrelated = victim().with_pid(NUMBER).shell(parent);
            let child = children(NUMBER)[0];
            let done = held.go();
            assert!(!is_dead(NUMBER) && !is_dead(child), "{point:?} {call:?}");
            assert!(done.status.is_some(), "{point:?} {call:?}: {done:?}");
            swapped += 1;
            drop(unrelated);
            // Orphans are reparented to process 1, which is the test. An unreaped one would
            // keep the ID of its group.
            waitpid(Pid::from_raw(child), None).expect("it dies with its group");
        }
    }
    assert!(swapped > 20, "{swapped} swaps");
}

fn warning(orphan: i32) -> String {
    format!("sigsend: {orphan} (cat) may be a child that a killed member left behind\n")
}

/// Prints `ready`; on CONT it forks a child that prints `created PID`, and exits.
const LEAVES_A_CHILD: &str =
    "exec 3<&0; trap 'sh -c \"echo created \\$\\$ >&2; exec cat <&3\" & exit' CONT
    echo ready; while :; do read -r line; done";

#[test]
fn a_child_forked_between_the_last_scan_and_kill_is_killed_or_warned_about() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    let mut parent = Family::shell(LEAVES_A_CHILD);
    // The first one is STOP.
    let kill_call = Call::nth("pidfd_send_signal", 2);
    let held = Held::before(&kill_call, &format!("--tree -KILL {parent}"));
    held.has_entered(libc::SYS_pidfd_send_signal);
    send(parent.pid(), Signal::SIGCONT);
    let child = parent.next_pid();
    eventually("the parent to exit", || state(parent.pid()) == 'Z');
    let told = held.go().err;
    assert!(told == warning(child) || is_dead(child), "{told}");
    let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
    waitpid(Pid::from_raw(child), None).expect("orphans are reparented to this test");
}

#[test]
fn only_a_process_that_a_killed_member_may_have_left_is_warned_about() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    for new in each("orphan | zombie | ended | in another group | child of another") {
        let killed = Victim::sleeping();
        let forks = "echo ready; read line; sleep 60 & echo $! >&2; wait";
        let mut other = Family::shell_in_group_of(&killed, forks);
        let kill_call = Call::nth("pidfd_send_signal", 2);
        let held = Held::after(&kill_call, &format!("--tree -KILL {killed}"));
        eventually("it to be dead", || state(killed.pid()) == 'Z');
        let in_group = || victim().in_group_of(&killed);
        let started = match new {
            "orphan" => Some(in_group().sleeping()),
            "in another group" => Some(Victim::sleeping()),
            "child of another" => {
                other.write_line("fork");
                other.next_line();
                None
            }
            _ => {
                let mut child = in_group().shell("echo ready");
                child.assert_exited_with(0);
                if new == "ended" {
                    child.reap();
                }
                Some(child)
            }
        };
        let orphan = started.as_ref().filter(|_| new == "orphan");
        let expected = orphan.map(|orphan| warning(orphan.pid()));
        assert_eq!(held.go().err, expected.unwrap_or_default(), "{new}");
        drop(started);
    }
}

#[test]
fn a_member_that_has_yet_to_take_the_signal_may_fork_and_is_looked_at_for_a_second() {
    let family = blocked("catching-vfork");
    let took = run!("--tree -TERM {family}").ok().took;
    assert!(took > Duration::from_millis(900), "{took:?}");
    assert_eq!(state(family.children()[0]), 'D');
}

#[test]
fn an_error_of_the_look_after_kill_is_reported() {
    // How often a freeze looks at its members varies, and so does the number of the call.
    for _attempt in 0..50 {
        let family = Family::shell(GENERATIONS);
        let trace = traced!("trace=openat,pidfd_send_signal", "--tree -KILL {family}");
        let position = |from: usize, text: &str| {
            let mut later = trace.calls[from..].iter();
            let found = later.position(|call| call.contains(text));
            from + found.unwrap_or_else(|| panic!("no {text}: {:?}", trace.calls))
        };
        let look = position(position(0, "SIGKILL"), "/task");
        let nth = calls(&trace)[look].nth;

        let family = Family::shell(GENERATIONS);
        let fault = format!("inject=openat:error=ENFILE:when={nth}");
        let trace = strace(&fault, &format!("--tree -KILL {family}"));
        let kill = trace.calls.iter().position(|call| call.contains("SIGKILL"));
        let is_failed = |call: &String| call.contains("/task") && call.contains("(INJECTED)");
        if kill.is_some() && trace.calls.iter().position(is_failed) > kill {
            trace.done.fails(64, "Too many open files in system");
            return family.assert_killed_by(9);
        }
    }
    panic!("no look after KILL has failed");
}

#[test]
fn a_tree_that_cannot_be_stopped_does_not_affect_another() {
    let (family, other) = (generations(), Victim::sleeping());
    // The third STOP, after those to the roots.
    let fault = "inject=pidfd_send_signal:error=ENOMEM:when=3";
    let trace = traced!(fault, "--json --tree -KILL {family} {other}");
    other.assert_killed_by(9);
    family.assert_alive();
    let counts = "\"signalled\":1,\"already_gone\":0,\"failed\":4,\"remaining\":0,\"status\":64";
    let summary = format!("{{\"event\":\"summary\",{counts}}}\n");
    assert!(trace.done.out.ends_with(&summary), "{:?}", trace.done);
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
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    let mut family = Family::shell(FORKS_ON_HUP);
    let to_last = Call::nth("pidfd_send_signal", 3);
    let held = Held::before(&to_last, &format!("-r --tree -HUP {family}"));
    let child = family.next_pid();
    let refused = format!("sigsend: {child} (sh) does not catch HUP\n");
    held.go().fails(64, refused);
    assert!("RS".contains(state(child)));
}

#[test]
fn a_signal_to_a_quiet_tree_takes_no_second() {
    let family = Family::shell(GENERATIONS);
    let took = || run!("-CONT --tree {family}").code(0).took;
    // Any one of them may be delayed on a busy machine.
    assert!((0..10).any(|_| took() < Duration::from_millis(500)));
}

#[test]
fn the_time_of_a_slow_freeze_counts() {
    let freezer = Path::new("/sys/fs/cgroup/freezer");
    let own = freezer.join(format!("sigsend-test-{}", std::process::id()));
    needs!(fs::create_dir(&own).is_ok(), "a freezer of version 1");
    let victim = Victim::sleeping();
    let set = |file: &str, value: &str| fs::write(own.join(file), value).is_ok();
    let state = || fs::read_to_string(own.join("freezer.state")).unwrap_or_default();
    if set("cgroup.procs", &victim.arg()) && set("freezer.state", "FROZEN") {
        eventually("the victim to be frozen", || state() == "FROZEN\n");
        let done = run!("--tree -KILL --within 2s {victim}");
        let took = done.took;
        let (is_thawed, _) = (set("freezer.state", "THAWED"), victim.ending());
        let in_time = Duration::from_secs(2)..Duration::from_millis(2800);
        assert!(is_thawed && in_time.contains(&took), "{took:?}");
        done.code(124);
    }
    drop(victim);
    let _ = fs::remove_dir(&own);
}
