//! Tests of the test helpers: with a victim that does not run, a namespace that is none or a
//! recorder that misses a signal, every other test would pass without checking anything.

use std::env;
use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::support::{
    Ending, IDLE, NOBODY, Recorder, SIGSEND, Unprivileged, Victim, back_date, in_pid_namespace,
    link, may_change_user, program, sigsend_as, skip, strace, tempdir, victim,
};

fn send(victim: &Victim, signal: Signal) {
    kill(Pid::from_raw(victim.pid()), signal).expect("a victim can be signalled");
}

#[test]
fn the_wait_status_of_a_victim_is_known() {
    let sleeper = Victim::sleeping();
    sleeper.assert_alive();
    send(&sleeper, Signal::SIGUSR1);
    sleeper.assert_killed_by(10);

    let mut shell = Victim::shell(&format!("trap 'echo bye; exit 7' TERM; echo ready; {IDLE}"));
    send(&shell, Signal::SIGTERM);
    assert_eq!(shell.read_line(), "bye");
    assert_eq!(shell.reap(), Ending::Exited(7));
}

#[test]
fn a_victim_can_be_stopped_dead_or_a_member_of_a_group() {
    let leader = victim().stopped();
    leader.assert_alive();
    let member = victim().in_group_of(&leader).sleeping();
    killpg(Pid::from_raw(leader.pid()), Signal::SIGKILL).expect("the group is ours");
    leader.assert_killed_by(9);
    member.assert_killed_by(9);
    Victim::zombie().assert_state('Z');
}

#[test]
fn a_victim_can_have_any_name() {
    let named = victim()
        .named("sleeping-beauty-and-the-prince")
        .argv0("somebody")
        .sleeping();
    assert_eq!(named.status_field("Name"), "sleeping-beauty");
    let argv = fs::read(format!("/proc/{}/cmdline", named.pid())).expect("it is alive");
    assert_eq!(argv, b"somebody\0");
}

#[test]
fn a_victim_can_be_another_user() {
    if !may_change_user() {
        return skip("needs root");
    }
    let other = victim().owned_by(NOBODY).sleeping();
    let nobody = ["65534"; 4];
    assert_eq!(
        other.status_field("Uid").split('\t').collect::<Vec<_>>(),
        nobody
    );
    assert_eq!(
        other.status_field("Gid").split('\t').collect::<Vec<_>>(),
        nobody
    );
    assert_eq!(other.status_field("Groups"), "");
}

#[test]
fn a_recorder_reports_every_signal_that_can_be_caught() {
    let mut recorder = Recorder::new();
    recorder.assert_untouched();
    let catchable: Vec<_> = Signal::iterator()
        .filter(|s| ![Signal::SIGKILL, Signal::SIGSTOP].contains(s))
        .collect();
    for signal in catchable {
        send(recorder.victim(), signal);
        assert_eq!(recorder.signals(), [signal as i32]);
    }

    let mut holding = Recorder::holding();
    for signal in [Signal::SIGUSR2, Signal::SIGHUP, Signal::SIGUSR2] {
        send(holding.victim(), signal);
    }
    assert_eq!(
        holding.signals(),
        [1, 12],
        "lowest number first, and standard signals do not queue"
    );
}

#[test]
fn a_namespace_has_only_the_test_in_it() {
    in_pid_namespace(|| {
        let processes = fs::read_dir("/proc").expect("a /proc").flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        assert_eq!(pids.collect::<Vec<_>>(), [1]);
        assert_eq!(
            nix::unistd::getpgrp(),
            nix::unistd::getpid(),
            "the test does not lead its process group"
        );
    });
}

#[test]
fn a_process_can_be_given_a_pid_repeatedly() {
    in_pid_namespace(|| {
        let mut first = victim().with_pid(4242).named("first").sleeping();
        assert_eq!(
            (first.pid(), first.status_field("Name")),
            (4242, "first".into())
        );
        send(&first, Signal::SIGTERM);
        assert_eq!(first.reap(), Ending::Killed(15));

        let second = victim().with_pid(4242).argv0("second");
        let second = if may_change_user() {
            second.owned_by(NOBODY)
        } else {
            second
        }
        .sleeping();
        assert_eq!(second.pid(), 4242);
        second.assert_alive();
        assert_ne!(Victim::gone(), 4242);
    });
}

#[test]
fn a_program_can_have_another_name_user_or_observer() {
    let (_dir, kill) = link(SIGSEND.as_ref(), "kill");
    assert_eq!(
        Command::new(kill)
            .arg("-V")
            .output()
            .expect("it starts")
            .stderr,
        b""
    );
    sigsend_as("kill").arg("-V").assert().success();
    if may_change_user() {
        Unprivileged::new().sigsend().arg("-V").assert().success();
    }
    if let Some(trace) = strace("trace=execve", &["-V"]) {
        assert!(trace.output.status.success());
        assert!(
            trace.calls.iter().all(|call| call.starts_with("execve(")) && trace.calls.len() == 1,
            "{:?}",
            trace.calls
        );
    }
}

#[test]
fn a_file_can_be_old_and_is_removed_with_its_directory() {
    assert!(program("sh").is_some() && program("no such program").is_none());
    let dir = tempdir();
    let file = dir.file("pid", "4242\n");
    back_date(&file, Duration::from_secs(3600));
    let age = SystemTime::now().duration_since(
        file.metadata()
            .expect("it is there")
            .modified()
            .expect("a time"),
    );
    assert!((3599..3660).contains(&age.expect("in the past").as_secs()));
    drop(dir);
    assert!(!file.exists());
}

#[test]
fn children_start_with_default_signal_dispositions() {
    const INSIDE: &str = "SIGSEND_TEST_IGNORING";
    let ignored = Command::new("sed")
        .args(["-n", "s/^SigIgn:\t//p", "/proc/self/status"])
        .output()
        .expect("sed starts");
    let ignored =
        u64::from_str_radix(String::from_utf8_lossy(&ignored.stdout).trim(), 16).expect("a mask");
    // Except for the two that the C library reserves.
    assert_eq!(ignored & !(0b11 << 31), 0, "{ignored:x}");
    if env::var_os(INSIDE).is_none() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "trap '' HUP INT QUIT TERM TSTP TTIN TTOU USR1; exec \"$0\" \"$@\"",
        ]);
        command
            .arg(env::current_exe().expect("a running test has a path"))
            .args(["--exact", "--nocapture"]);
        command
            .arg("foundation::children_start_with_default_signal_dispositions")
            .env(INSIDE, "1");
        let output = command.output().expect("sh starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}
