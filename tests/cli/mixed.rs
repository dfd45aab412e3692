//! `--mixed`: signals to the target alone; KILL, and the wait, to what is left of its tree.

use crate::full::{assert_usage_error, assert_works_with_every_option};
use crate::support::prelude::*;

/// A master that runs `master` and waits, and a worker that says on the lifeline if it gets TERM or
/// HUP. `worker` is what the worker does once it is ready; it reads what the master is sent.
fn family(master: &str, worker: &str) -> Family {
    // Asleep, the master knows the worker.
    let asleep = "grep -q \"^State:.S\" /proc/$PPID/status";
    let worker = format!(
        "trap \"echo told >&2\" TERM HUP; until {asleep}; do :; done; echo ready; {worker}"
    );
    Family::shell(&format!(
        "exec 3<&0; {master}; sh -c '{worker}' <&3 & worker=$!; while :; do wait; done"
    ))
}

#[test]
fn a_master_that_waits_for_the_job_of_its_worker_is_given_the_time() {
    let master = "trap 'echo stopping; wait $worker; echo worker $?; exit 7' TERM";
    for options in each("--grace 60s | -TERM --timeout 60s KILL --wait") {
        let mut family = family(master, "read line; exit 5");
        let pid = family.arg();
        thread::scope(|scope| {
            let call = scope.spawn(|| run!("{options} -v --mixed {pid}"));
            assert_eq!(family.read_line(), "stopping");
            family.write_line("the job is done");
            assert_eq!(family.read_line(), "worker 5");
            let told = call.join().expect("sigsend was started").told();
            assert_eq!(told.matches("sent TERM").count(), 1, "{told}");
        });
        family.assert_exited_with(7);
        assert_eq!(family.assert_all_ended(), [""; 0]);
    }
}

#[test]
fn what_is_left_of_the_tree_is_killed() {
    let text = unique();
    let dies = format!(": {text}");
    // What the master does, and which signal ends it.
    for (master, signal) in [
        ("trap 'wait $worker' TERM", 9),
        ("trap '' TERM", 9),
        ("trap 'sleep 60 & wait' TERM", 9),
        (&dies, 15),
    ] {
        for options in each("--grace 200ms | --timeout 200 KILL --wait | --timeout 200ms KILL") {
            let mut family = family(master, IDLE);
            let target = match signal {
                15 => format!("-f {text}"),
                _ => family.arg(),
            };
            let told = run!("{options} -v --mixed {target}").told();
            assert_eq!(told.matches("sent TERM").count(), 1, "{options}: {told}");
            family.assert_killed_by(signal);
            assert_eq!(family.assert_all_ended(), [""; 0], "{master}: {options}");
        }
    }
}

#[test]
fn a_wait_is_for_the_whole_tree() {
    for is_released in [false, true] {
        let mut family = family(":", "read line");
        let (pid, worker) = (family.arg(), family.children()[0]);
        let limit = if is_released {
            "--wait"
        } else {
            "--within 100ms"
        };
        let told = thread::scope(|scope| {
            let call = scope.spawn(|| run!("-v --mixed {limit} {pid}"));
            family.assert_killed_by(15);
            if is_released {
                family.write_line("the job is done");
            }
            call.join().expect("sigsend was started")
        });
        if is_released {
            let told = told.told();
            // Its end.
            contains!(told, "\n{worker} (sh) ");
        } else {
            assert!(told.code(124).err.contains(&worker.to_string()));
            assert_eq!(state(worker), 'S');
            family.write_line("the job is done");
        }
        assert_eq!(family.assert_all_ended(), [""; 0]);
    }
}

#[test]
fn other_signals_and_the_dry_run_know_the_target_from_its_tree() {
    let mut family = family("trap 'echo master >&2' HUP", IDLE);
    let (pid, worker) = (family.arg(), family.children()[0].to_string());
    let done = run!("--dry-run --mixed --grace 5s {pid}").fine();
    let done = done.has(format!("would send TERM (15) to {pid}"));
    // It would get KILL.
    done.lacks(format!("TERM (15) to {worker}")).has(worker);
    run!("-HUP --mixed {pid}").ok();
    assert_eq!(family.next_line().as_deref(), Some("master"));
    run!("-KILL --mixed --wait {pid}").ok();
    family.assert_killed_by(9);
    assert_eq!(family.assert_all_ended(), [""; 0]);
}

#[test]
fn a_target_below_another_target_gets_the_signal_too() {
    for order in ["MASTER WORKER", "WORKER MASTER"] {
        let mut family = family("trap 'echo master >&2' HUP", IDLE);
        let targets = order.replace("MASTER", &family.arg());
        let targets = targets.replace("WORKER", &family.children()[0].to_string());
        let worker = family.children()[0];
        let told = format!("\"target\":\"{worker}\",\"pid\":{worker},");
        run!("--json -HUP --mixed {targets}").code(0).has(told);
        let told = [family.next_line(), family.next_line()];
        assert_eq!(
            sorted(told),
            ["master", "told"].map(|line| Some(line.to_owned()))
        );
    }
    // The other one is spared.
    let script = "sleep 60 & \"$0\" -HUP --mixed $$ $!; wait $!; echo $?";
    assert_eq!(sh(script).run(&[]).code(0).out, "129\n");
}

#[test]
fn a_refused_target_leaves_its_tree_alone() {
    let (master, other) = (family(":", IDLE), family("trap : HUP", IDLE));
    let lives = |family: &Family| !is_dead(family.children()[0]);
    for options in each("-HUP --timeout 1ms KILL --wait | --grace 1ms") {
        for dry in ["", "--dry-run"] {
            let done = run!("-r {dry} {options} --mixed {master}").code(1);
            done.has("does not catch");
            assert!(lives(&master), "{dry} {options}");
        }
    }
    // The tree of another target is not concerned.
    let done = run!("--json -r -HUP --timeout 1ms KILL --wait --mixed {master} {other}");
    done.code(64).has("\"signalled\":2,\"already_gone\":0,");
    other.assert_killed_by(9);
    assert!(lives(&master));
    needs!(may_change_user() && program("setpriv").is_some(), "root");
    let user = Unprivileged::new();
    let runs = "setpriv --reuid 65534 --clear-groups sh -c 'echo ready; exec sleep 60' & wait";
    let roots = Family::shell(runs);
    for dry in ["", "--dry-run"] {
        call!(user.sigsend(), "{dry} --mixed --grace 1ms {roots}").code(1);
        assert!(lives(&roots), "{dry}");
    }
}

#[test]
fn a_refused_target_below_another_one_is_part_of_its_tree() {
    let last = "sh -c \"trap : TERM; echo ready; while :; do sleep 60 & wait; done\"";
    let script = format!("trap : TERM; sh -c '{last} & wait' & while :; do wait; done");
    for is_first in [true, false] {
        let family = Family::shell(&script);
        let middle = family.children()[0];
        let last = children(middle)[0];
        let order = if is_first {
            format!("{family} {middle}")
        } else {
            format!("{middle} {family}")
        };
        let dry = run!("--dry-run -r --grace 50ms --mixed {order}").code(64);
        dry.has(format!("would send KILL (9) to {last} (sh) 50ms later"));
        run!("-r --grace 50ms --mixed {order}").code(64);
        assert!(is_dead(last), "{order}");
        family.assert_killed_by(9);
    }
}

#[test]
fn a_lone_target_works_with_every_option() {
    assert_works_with_every_option(|| {
        let target = Victim::sleeping();
        let words = format!("--mixed {target}");
        (target, words)
    });
}

#[test]
fn what_has_no_tree_is_refused() {
    let leader = Victim::sleeping();
    let refused = format!("--cgroup /some/group | -- -{leader} | -- -1 | 0 | 1");
    for words in each(&refused) {
        assert_usage_error(run!("-0 --mixed {words}"));
    }
}
