//! What keeps a process alive, and processes that cannot be read: nothing is claimed without proof,
//! and one process delays no other.

use std::os::unix::fs::fchown;
use std::process::Command;

use nix::sys::ptrace;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::door::says;
use crate::dry_run::effect;
use crate::family::{Family, state};
use crate::hidden::{hide_processes, set_user_id};
use crate::port::{SERVES, entered_network, holding, tcp};
use crate::strange::leaderless;
use crate::support::{
    NOBODY, Recorder, SIGSEND, STUBBORN, Unprivileged, Victim, in_pid_namespace, may_change_user,
    program, sigsend, skip, stderr, stdout, strace, tempdir, victim,
};

/// A victim that this thread traces and holds stopped.
fn traced() -> Victim {
    let victim = Victim::sleeping();
    let pid = Pid::from_raw(victim.pid());
    ptrace::attach(pid).expect("a child can be traced");
    waitpid(pid, None).expect("it stops");
    victim.assert_state('t');
    victim
}

/// A process blocked in vfork(2) that catches TERM, as the child of the head of a family.
fn blocked() -> (Family, i32) {
    let family = Family::with_role("catching-vfork");
    let blocked = family.children()[0];
    crate::support::eventually("vfork", || state(blocked) == 'D');
    (family, blocked)
}

/// When the last KILL of a call went to `pid`, in milliseconds.
#[track_caller]
fn killed_at(told: &str, pid: i32) -> u64 {
    let of_pid = format!("\"pid\":{pid},");
    let kill = told
        .lines()
        .rfind(|line| line.contains(&of_pid) && line.contains("\"signal\":\"KILL\""));
    let time = kill.and_then(|line| line.split_once("\"elapsed_ms\":"));
    let (_, time) = time.unwrap_or_else(|| panic!("no KILL to {pid}: {told}"));
    time.trim_end_matches('}').parse().expect("a number")
}

#[test]
fn what_keeps_a_process_is_told() {
    let (stopped, stubborn, traced) = (victim().stopped(), Victim::shell(STUBBORN), traced());
    let (_family, blocked) = blocked();
    for (pid, words) in [
        (stopped.pid(), ["stopped", "CONT"]),
        (stubborn.pid(), ["ignores TERM", ""]),
        (traced.pid(), ["traced by ", ""]),
        (blocked, ["blocked in the kernel", ""]),
    ] {
        let call = ["--json", "-TERM", "--within", "50ms", &pid.to_string()];
        let told = sigsend().args(call).assert().code(124);
        let (text, json) = (stderr(&told), stdout(&told));
        let mut words = words.iter();
        assert!(words.all(|words| text.contains(words)), "{pid}: {text}");
        let line = json.lines().find(|line| line.contains("\"still-there\""));
        let (_, state) = line
            .and_then(|line| line.split_once("\"state\":\""))
            .unwrap_or_else(|| panic!("no state: {json}"));
        let kind = ["stopped", "ignores", "traced", "blocked"];
        assert!(kind.iter().any(|kind| state.starts_with(kind)), "{json}");
    }
}

#[test]
fn a_wait_for_process_1_which_the_kernel_protects_is_refused() {
    in_pid_namespace(|| {
        let mut bystander = Recorder::new();
        for args in [
            &["-KILL", "--wait"][..],
            &["--wait"],
            &["--within", "15s"],
            &["--grace", "15s"],
            &["--timeout", "15s", "KILL"],
        ] {
            let told = sigsend().args(args).arg("1").assert().code(1).stdout("");
            assert!(says(&stderr(&told), "process 1"), "{}", stderr(&told));
        }
        bystander.assert_untouched();
    });
}

#[test]
fn a_dry_run_knows_a_stopped_a_traced_and_a_leaderless_process() {
    let (leaderless, _) = leaderless("leaderless");
    for signal in ["-TERM", "-KILL"] {
        assert_eq!(effect(signal, &leaderless.arg()), "terminates it");
    }
    let (stopped, traced) = (victim().stopped(), traced());
    let told = effect("-TERM", &stopped.arg());
    assert!(says(&told, "stopped"), "{told}");
    assert_eq!(effect("-KILL", &stopped.arg()), "terminates it");
    let told = effect("-TERM", &traced.arg());
    assert!(says(&told, "traced"), "{told}");
}

#[test]
fn a_hidden_list_of_children_hides_no_child() {
    in_pid_namespace(|| {
        let Some(setpriv) = program("setpriv") else {
            return skip("no setpriv");
        };
        if !hide_processes() {
            return;
        }
        let (user, dir) = (Unprivileged::new(), tempdir());
        let sh = set_user_id(&dir, "sh");
        // The user may signal both; only the child is visible.
        let drop = format!(
            "{} --reuid 65534 --regid 65534 --clear-groups",
            setpriv.display()
        );
        let script =
            format!("trap : HUP; exec 3<&0; {drop} sh -c 'echo $$; exec cat' <&3 & wait; wait");
        let start = || {
            let mut command = Command::new(&sh);
            command.args(["-p", "-c", &script]);
            let mut head = victim().owned_by(NOBODY).command(command);
            let child: i32 = head.read_line().parse().expect("a PID");
            (head, child)
        };
        let (head, _child) = start();
        for args in [["-r", "-HUP"], ["--dry-run", "-HUP"]] {
            let told = user.sigsend().args(args).arg(head.arg()).assert();
            let told = stdout(&told) + &stderr(&told);
            for claim in ["does not catch", "terminates it"] {
                assert!(!told.contains(claim), "{args:?}: {told}");
            }
        }
        head.assert_alive();
        for args in [&["-KILL", "--wait"][..], &["--grace", "15s"], &["-KILL"]] {
            let (head, child) = start();
            let mut command = user.sigsend();
            command.arg("--tree").args(args).arg(head.arg());
            command.assert().success().stderr("");
            head.assert_killed_by(if args[0] == "-KILL" { 9 } else { 15 });
            assert!("ZX".contains(state(child)), "{args:?}: {}", state(child));
        }
    });
}

#[test]
fn a_blocked_process_delays_nobody_else() {
    in_pid_namespace(|| {
        // Members of groups without a leader, which are found by search.
        let groups = [(); 2].map(|()| {
            let mut leader = Victim::sleeping();
            let member = victim().in_group_of(&leader).shell(STUBBORN);
            let group = leader.group_arg();
            nix::sys::signal::kill(Pid::from_raw(leader.pid()), nix::sys::signal::SIGKILL)
                .expect("a child");
            leader.reap();
            (group, member)
        });
        let (family, blocked) = blocked();
        let follow_up = [
            "--json",
            "-TERM",
            "--timeout",
            "10ms",
            "KILL",
            "--within",
            "15s",
        ];
        let [(one, first), (two, second)] = &groups;
        let mut command = sigsend();
        command.args(follow_up);
        command.args(["--", &blocked.to_string(), one, two]);
        let told = stdout(&command.assert().success());
        for member in [first, second] {
            let time = killed_at(&told, member.pid());
            assert!(time < 800, "{time}: {told}");
            member.assert_killed_by(9);
        }
        drop(family);
        // Nor does a tree that takes time to stop delay another.
        let (mut slow, _) = self::blocked();
        let stubborn = Victim::shell(STUBBORN);
        let mut command = sigsend();
        command
            .args(follow_up)
            .args(["--tree", &slow.arg(), &stubborn.arg()]);
        let told = stdout(&command.assert().success());
        let time = killed_at(&told, stubborn.pid());
        assert!(time < 800, "{time}: {told}");
        stubborn.assert_killed_by(9);
        slow.assert_all_ended();
    });
}

#[test]
fn a_security_module_that_refuses_is_told_as_such() {
    let target = Victim::sleeping();
    let pid = target.arg();
    let refused = "inject=kill,pidfd_send_signal:error=EACCES";
    for (args, status, words) in [
        (&["-0", "--within", "1ms", &pid][..], 124, ""),
        (&["--alive", &pid], 0, ""),
        (&["-v", "-TERM", &pid], 1, "audit"),
        (&["-v", "-TERM", "--within", "15s", &pid], 1, "audit"),
    ] {
        let Some(trace) = strace(refused, args) else {
            return;
        };
        let told = String::from_utf8_lossy(&trace.output.stderr);
        assert_eq!(trace.output.status.code(), Some(status), "{args:?}: {told}");
        assert!(told.contains(words), "{args:?}: {told}");
    }
    target.assert_alive();
}

#[test]
fn root_without_a_capability_is_not_told_to_be_root() {
    in_pid_namespace(|| {
        let Some(setpriv) = program("setpriv") else {
            return skip("no setpriv");
        };
        if !may_change_user() {
            return skip("needs root");
        }
        if !entered_network() {
            return;
        }
        let socket = tcp("0.0.0.0:8080");
        fchown(&socket, Some(NOBODY), None).expect("root may");
        let server = holding(victim().owned_by(NOBODY), socket, SERVES);
        let mut command = Command::new(setpriv);
        command.args(["--bounding-set", "-sys_ptrace", *SIGSEND]);
        command.args(["-v", "-a", ":8080"]);
        let output = command.output().expect("setpriv starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(!told.contains("root may"), "{told}");
        assert!(told.contains("CAP_SYS_PTRACE"), "{told}");
        server.assert_alive();
    });
}
