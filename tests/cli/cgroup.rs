//! Control groups as targets: every process of the group and its descendants, including forked and
//! detached ones, and no other process. The tests create real control groups below their own.

pub mod group;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::family::{Family, children, state};
use crate::strange::{Held, Window, has_open, may_trace};
use crate::support::{
    NOBODY, Recorder, SIGSEND, STUBBORN, Timed, Unprivileged, Victim, eventually, in_pid_namespace,
    may_change_user, raw_sigsend, sigsend, skip, stderr, stdout, strace, tempdir, victim,
};
use group::control_group;

/// The PIDs that a command line prints, sorted.
#[track_caller]
fn pids(group: &str) -> Vec<i32> {
    let found = sigsend()
        .args(["-p", "--cgroup", group])
        .assert()
        .success()
        .stderr("");
    let mut pids: Vec<i32> = stdout(&found)
        .lines()
        .map(|pid| pid.parse().expect("a PID"))
        .collect();
    pids.sort_unstable();
    pids
}

#[test]
fn a_group_selects_its_members_and_those_of_its_descendants_only() {
    let Some(group) = control_group() else { return };
    let (below, deep, beside) = (
        group.child("below"),
        group.child("below/deep"),
        control_group().expect("another one"),
    );
    let members = [group.sleeping(), below.sleeping(), deep.sleeping()];
    let mut bystanders = [Recorder::new(), Recorder::new()];
    beside.take(bystanders[0].victim().pid());
    let mut expected = members.each_ref().map(Victim::pid);
    expected.sort_unstable();
    assert_eq!(pids(&group.arg()), expected);
    assert_eq!(pids(&deep.arg()), [members[2].pid()]);
    let sent = sigsend()
        .args(["-v", "--grace", "15s", "--cgroup", &group.arg()])
        .assert()
        .success()
        .stderr("");
    assert_eq!(
        stdout(&sent).matches("sent TERM (15) to").count(),
        3,
        "{}",
        stdout(&sent)
    );
    for member in &members {
        member.assert_killed_by(15);
    }
    for bystander in &mut bystanders {
        bystander.assert_untouched();
    }
}

#[test]
fn a_group_is_found_by_its_directory_or_as_proc_shows_it() {
    let Some(group) = control_group() else { return };
    let below = group.child("a b");
    let member = below.sleeping();
    let (dir, path) = (tempdir(), below.arg());
    symlink(&path, dir.path().join("link")).expect("a directory of ours");
    let link = dir.path().join("link").to_str().expect("UTF-8").to_owned();
    let shown = below.shown();
    for spelled in [
        path.clone(),
        format!("{path}/"),
        format!("{path}/.././a b"),
        format!("..{path}"),
        link,
        shown.clone(),
        format!("{shown}/"),
        format!("0::{shown}"),
    ] {
        assert_eq!(pids(&spelled), [member.pid()], "{spelled}");
    }
    let mut command = raw_sigsend();
    command
        .current_dir(group.path())
        .args(["-p", "--cgroup", "a b"]);
    assert_cmd::Command::from_std(command)
        .timed()
        .assert()
        .success()
        .stdout(format!("{}\n", member.pid()));
    member.assert_alive();
}

#[test]
fn an_invalid_group_is_refused_with_the_reason_and_no_signal() {
    let Some(group) = control_group() else { return };
    let member = group.sleeping();
    let domain = control_group().expect("another one");
    let threaded = domain.child("threaded");
    fs::write(threaded.path().join("cgroup.type"), "threaded")
        .expect("a fresh group can be threaded");
    let dir = tempdir();
    let file = dir.file("x", "");
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let mut refused = vec![
        (
            group::mount(),
            " is the root control group, which holds every process: refused\n",
        ),
        (
            "/".to_owned(),
            " is the root control group, which holds every process: refused\n",
        ),
        (
            threaded.arg(),
            " is threaded: it holds threads, not processes\nthe processes belong to its nearest",
        ),
        (
            text(dir.path()),
            " is not the directory of a control group\n",
        ),
        (text(&file), " is not the directory of a control group\n"),
        (
            format!("{}/cgroup.procs", group.arg()),
            " is not the directory of a control group\n",
        ),
        (format!("{}/gone", group.arg()), " does not exist\n"),
        (format!("{}/../gone", group.shown()), " does not exist\n"),
        ("gone".to_owned(), " does not exist\n"),
    ];
    refused.extend(group::version_1().map(|path| {
        (
            path,
            " is a control group of version 1, only version 2 will do\n",
        )
    }));
    for (path, message) in refused {
        for args in [
            &["-KILL"][..],
            &["-v"],
            &["--wait"],
            &["-p"],
            &["--dry-run"],
            &["--alive"],
        ] {
            let output = sigsend()
                .args(args)
                .args(["--cgroup", &path])
                .assert()
                .code(1);
            assert!(
                stderr(&output).contains(message),
                "{path} {args:?}: {}",
                stderr(&output)
            );
        }
    }
    let script = format!(
        "echo 0 >'{}/cgroup.procs'; \"$0\" --cgroup '{}' 2>&1; echo $?",
        group.child("own").arg(),
        group.arg()
    );
    let output = Command::new("sh")
        .args(["-c", &script, SIGSEND])
        .output()
        .expect("sh starts");
    let message = format!(
        "sigsend: control group {} holds sigsend itself: refused\n1\n",
        group.arg()
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), message);
    for args in [
        &["-l", "--cgroup", "x"][..],
        &["--tree", "--cgroup", "x"],
        &["--cgroup", ""],
        &["--cgroup"],
    ] {
        sigsend().args(args).assert().code(1).stdout("");
    }
    member.assert_alive();
}

#[test]
fn an_empty_group_is_gone_and_a_missing_one_is_a_failure() {
    let Some(group) = control_group() else { return };
    let output = sigsend().args(["--cgroup", &group.arg()]).assert().code(1);
    assert_eq!(
        stderr(&output),
        format!("sigsend: control group {} is empty\n", group.arg())
    );
    for args in [
        &["--alive"][..],
        &["-p"],
        &["--id"],
        &["-0"],
        &["--dry-run"],
    ] {
        sigsend()
            .args(args)
            .args(["--cgroup", &group.arg()])
            .assert()
            .code(1);
    }
    for args in [
        &["--wait"][..],
        &["--within", "0s"],
        &["--grace", "9s"],
        &["-0", "--wait"],
        &["-KILL", "--wait"],
    ] {
        sigsend()
            .args(args)
            .args(["--cgroup", &group.arg()])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        sigsend()
            .args(args)
            .args(["--cgroup", &format!("{}/gone", group.arg())])
            .assert()
            .code(1);
    }
    let output = sigsend()
        .args(["-v", "--wait", "--cgroup", &group.arg()])
        .assert()
        .success();
    assert_eq!(
        stdout(&output),
        format!("{} is already gone\n", group.arg())
    );
    // A zombie is in no group.
    let zombie = Victim::shell(&format!(
        "echo 0 >'{}/cgroup.procs'; echo ready",
        group.arg()
    ));
    zombie.assert_exited_with(0);
    sigsend()
        .args(["--alive", "--cgroup", &group.arg()])
        .assert()
        .code(1);
    // The other targets get their signal.
    let other = Victim::sleeping();
    sigsend()
        .args(["-HUP", &other.arg(), "--cgroup", &group.arg()])
        .assert()
        .code(64);
    other.assert_killed_by(1);
}

#[test]
fn kill_ends_every_process_of_a_forking_group() {
    let mut bystander = Recorder::new();
    let mut cut_short = 0;
    for round in 0..100 {
        let Some(group) = control_group() else { return };
        let mut storm = Family::with_role(if round % 2 == 0 { "daemons" } else { "storm" });
        group.child("deep").take(storm.pid());
        let forks = storm.start_forking(1000);
        // The delay varies, so that the signal comes at different points of the storm.
        for _ in 0..round % 50 {
            storm.next_line();
        }
        let end = if round % 4 < 2 {
            &["-KILL", "--wait"][..]
        } else {
            &["-KILL"]
        };
        sigsend()
            .args(end)
            .args(["--cgroup", &group.arg()])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        assert!(
            end.len() == 1 || !group.is_populated(),
            "--wait returned early"
        );
        storm.assert_killed_by(9);
        cut_short += usize::from(storm.assert_all_ended().len() + round % 50 < 1000);
        forks.join().expect("it ends");
    }
    assert!(
        cut_short > 10,
        "the storms ended before they were killed: {cut_short}"
    );
    bystander.assert_untouched();
}

#[test]
fn kill_ends_every_process_of_a_forking_group_without_cgroup_kill() {
    if !may_trace() {
        return skip("no strace");
    }
    let dir = tempdir();
    let log = dir.path().join("log");
    for round in 0..12 {
        let Some(group) = control_group() else { return };
        let mut storm = Family::with_role("daemons");
        group.child("deep").take(storm.pid());
        let forks = storm.start_forking(1000);
        for _ in 0..round {
            storm.next_line();
        }
        let mut command = Command::new("strace");
        command
            .args([
                "-qq",
                "-P",
                "cgroup.kill",
                "-e",
                "inject=openat:error=ENOENT",
                "-o",
            ])
            .arg(&log);
        command.args([SIGSEND, "-KILL", "--wait", "--cgroup", &group.arg()]);
        assert_cmd::Command::from_std(command)
            .timed()
            .assert()
            .success()
            .stdout("")
            .stderr("");
        assert!(
            fs::read_to_string(&log).is_ok_and(|log| log.contains("(INJECTED)")),
            "cgroup.kill was not opened"
        );
        assert!(!group.is_populated());
        assert_eq!(group.read("cgroup.freeze"), "0\n", "it was not thawed");
        storm.assert_killed_by(9);
        storm.assert_all_ended();
        forks.join().expect("it ends");
    }
}

#[test]
fn every_member_gets_a_signal_once_including_new_ones() {
    for round in 0..15 {
        let Some(group) = control_group() else { return };
        let mut storm = Family::with_role("catching-storm");
        group.take(storm.pid());
        let forks = storm.start_forking(200);
        let (mut created, mut caught) = (vec![storm.arg()], Vec::new());
        let mut note = |line: String| {
            let (word, pid) = line.split_once(' ').expect("a word and a PID");
            if word == "created" {
                &mut created
            } else {
                &mut caught
            }
            .push(pid.to_owned());
            created.len() == caught.len()
        };
        for _ in 0..round {
            note(storm.next_line().expect("it is alive"));
        }
        sigsend()
            .args(["--cgroup", &group.arg()])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        // A process that got the signal no longer forks, so once all have got it no new one can be
        // created.
        while !note(storm.next_line().expect("it is alive")) {}
        sigsend()
            .args(["-KILL", "--wait", "--cgroup", &group.arg()])
            .assert()
            .success();
        storm
            .assert_all_ended()
            .into_iter()
            .for_each(|line| _ = note(line));
        created.sort_unstable();
        caught.sort_unstable();
        assert_eq!(created, caught);
        forks.join().expect("it ends");
    }
}

#[test]
fn a_child_that_detaches_itself_after_the_signal_is_waited_for_and_killed() {
    let Some(group) = control_group() else { return };
    let heir = "exec 3<&0; trap 'trap \"\" TERM; (setsid cat <&3 &); exit 3' TERM; echo ready; while read line; do :; done";
    let mut family = Family::shell(heir);
    group.take(family.pid());
    sigsend()
        .args(["--within", "200ms", "--cgroup", &group.arg()])
        .assert()
        .code(124);
    family.assert_exited_with(3);
    assert!(group.is_populated());
    let output = sigsend()
        .args(["-v", "--grace", "100ms", "--cgroup", &group.arg()])
        .assert()
        .success()
        .stderr("");
    assert!(
        stdout(&output).contains("sent KILL (9) to"),
        "{}",
        stdout(&output)
    );
    assert!(!group.is_populated());
    family.assert_all_ended();
}

#[test]
fn a_wait_sleeps_until_the_group_is_empty() {
    let Some(group) = control_group() else { return };
    let member = group.shell(STUBBORN);
    let args = ["--within", "700ms", "--cgroup", &group.arg()];
    let Some(trace) = strace(
        "trace=epoll_wait,epoll_pwait,pread64,getdents64,poll",
        &args,
    ) else {
        return;
    };
    assert_eq!(trace.output.status.code(), Some(124));
    // The member is there, so nothing is said of the group.
    assert_eq!(
        String::from_utf8_lossy(&trace.output.stderr)
            .lines()
            .count(),
        1
    );
    let from = trace
        .calls
        .iter()
        .position(|call| call.starts_with("epoll_"))
        .expect("it waits");
    assert!(trace.calls.len() - from < 12, "{:?}", trace.calls);
    member.assert_alive();
}

#[test]
fn members_are_killed_one_by_one_if_each_must_be_checked() {
    let Some(group) = control_group() else { return };
    let catches = group.shell("trap : TERM; echo ready; while :; do read line; done");
    let plain = group.sleeping();
    let output = sigsend()
        .args(["-r", "--grace", "100ms", "--cgroup", &group.arg()])
        .assert()
        .code(64);
    assert_eq!(
        stderr(&output),
        format!("sigsend: {} (cat) does not catch TERM\n", plain.pid())
    );
    catches.assert_killed_by(9);
    plain.assert_alive();
    let expected = group.shell("echo ready; exec sleep 60");
    expected.await_name("sleep");
    let message = format!("sigsend: {} (cat) is not sleep\n", plain.pid());
    sigsend()
        .args(["--alive", "--expect", "sleep", "--cgroup", &group.arg()])
        .assert()
        .success()
        .stderr("");
    let output = sigsend()
        .args([
            "-KILL",
            "--wait",
            "--expect",
            "sleep",
            "--cgroup",
            &group.arg(),
        ])
        .assert()
        .code(64);
    assert_eq!(stderr(&output), message);
    expected.assert_killed_by(9);
    for signal in ["-0", "-HUP"] {
        let output = sigsend()
            .args([
                signal,
                "--wait",
                "--expect",
                "sleep",
                "--cgroup",
                &group.arg(),
            ])
            .assert()
            .code(1);
        assert_eq!(stderr(&output), message);
    }
    plain.assert_alive();
}

#[test]
fn a_frozen_group_can_be_killed_and_signalled() {
    let Some(group) = control_group() else { return };
    let mut recorder = Recorder::new();
    group.take(recorder.victim().pid());
    group.child("below").take(Family::shell("echo ready").pid());
    group.freeze();
    sigsend()
        .args(["-USR1", "--cgroup", &group.arg()])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    group.thaw();
    assert_eq!(recorder.signals(), [10]);
    let stubborn = group.shell(STUBBORN);
    group.freeze();
    sigsend()
        .args(["--grace", "100ms", "--cgroup", &group.arg()])
        .assert()
        .success()
        .stderr("");
    stubborn.assert_killed_by(9);
    recorder.victim().assert_killed_by(9);
}

#[test]
fn a_member_that_leaves_is_still_waited_for() {
    let (Some(group), Some(refuge)) = (control_group(), control_group()) else {
        return;
    };
    let leaver = group.shell(&format!(
        "trap 'echo 0 >\"{}/cgroup.procs\"; trap \"\" TERM; echo left' TERM; echo ready; while :; do read line; done",
        refuge.arg()
    ));
    let output = sigsend()
        .args(["-v", "--grace", "500ms", "--cgroup", &group.arg()])
        .assert()
        .success()
        .stderr("");
    assert!(
        stdout(&output).contains("sent KILL (9) to"),
        "{}",
        stdout(&output)
    );
    leaver.assert_killed_by(9);
}

#[test]
fn a_member_named_in_several_ways_gets_each_signal_once() {
    let Some(group) = control_group() else { return };
    let mut leader = Recorder::new();
    let mut other = Recorder::of(victim().in_group_of(leader.victim()));
    for member in [&leader, &other] {
        group.take(member.victim().pid());
    }
    let pgid = leader.victim().group_arg();
    let args = [
        "-USR1",
        "--timeout",
        "10",
        "USR2",
        "--cgroup",
        &group.arg(),
        &leader.arg(),
        "--",
        &pgid,
    ];
    sigsend().args(args).assert().success();
    assert_eq!(
        (leader.signals(), other.signals()),
        (vec![10, 12], vec![10, 12])
    );
    sigsend()
        .args(["-USR1", "-q", "7", "--cgroup", &group.arg()])
        .assert()
        .success();
    assert_eq!(
        leader
            .received()
            .iter()
            .map(|received| received.value)
            .collect::<Vec<_>>(),
        [7]
    );
}

#[test]
fn members_of_other_users_are_reported_and_not_waited_for() {
    if !may_change_user() {
        return skip("needs root");
    }
    let Some(group) = control_group() else { return };
    let unprivileged = Unprivileged::new();
    let (foreign, own) = (group.sleeping(), victim().owned_by(NOBODY).sleeping());
    group.take(own.pid());
    for args in [
        &["-KILL"][..],
        &["--grace", "5s"],
        &["-TERM", "--timeout", "1s", "KILL"],
        &["--dry-run", "-KILL"],
    ] {
        let output = unprivileged
            .sigsend()
            .args(args)
            .args(["--cgroup", &group.arg()])
            .assert()
            .code(1);
        let message = format!(
            "sigsend: control group {} cannot be killed as a whole: Permission denied\n",
            group.arg()
        );
        assert!(
            stderr(&output).starts_with(&message),
            "{args:?}: {}",
            stderr(&output)
        );
    }
    let output = unprivileged
        .sigsend()
        .args(["-HUP", "--wait", "--cgroup", &group.arg()])
        .assert()
        .code(64);
    let message = format!("(PID {}) failed: Operation not permitted\n", foreign.pid());
    assert!(stderr(&output).contains(&message), "{}", stderr(&output));
    own.assert_killed_by(1);
    foreign.assert_alive();
    unprivileged
        .sigsend()
        .args(["-0", "--within", "50ms", "--cgroup", &group.arg()])
        .assert()
        .code(124);
    // Write permission for cgroup.kill is enough, permission to signal the members is not needed.
    std::os::unix::fs::chown(group.path().join("cgroup.kill"), Some(NOBODY), None)
        .expect("root may");
    unprivileged
        .sigsend()
        .args(["-KILL", "--wait", "--cgroup", &group.arg()])
        .assert()
        .success()
        .stderr("");
    foreign.assert_killed_by(9);
}

#[test]
fn members_of_another_pid_namespace_are_counted_and_only_killed_as_a_whole() {
    let Some(group) = control_group() else { return };
    let members = [group.sleeping(), group.sleeping()];
    let run = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["--pid", "--fork", "--mount-proc", "--kill-child", SIGSEND])
            .args(args);
        command
            .args(["--cgroup", &group.arg()])
            .stdin(Stdio::null());
        let output = assert_cmd::Command::from_std(command)
            .timed()
            .output()
            .expect("unshare starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let them = format!("2 processes of another PID namespace in {}", group.arg());
    let message =
        format!("sigsend: cannot signal {them}, which only KILL without -r and --expect reaches\n");
    let refused = (Some(1), String::new(), message);
    let first = run(&["-HUP"]);
    if first.2.starts_with("unshare: ") {
        return skip(first.2);
    }
    assert_eq!(first, refused);
    let summary = "\"signalled\":0,\"already_gone\":0,\"failed\":2,\"remaining\":0,\"status\":1}\n";
    assert!(run(&["--json", "-HUP"]).1.ends_with(summary));
    for args in [&["-p"][..], &["--wait"], &["--expect", "cat", "-KILL"]] {
        assert_eq!(run(args), refused, "{args:?}");
    }
    assert_eq!(run(&["--dry-run"]).0, Some(1));
    assert_eq!(run(&["--alive"]), (Some(0), String::new(), String::new()));
    let (status, _, stderr) = run(&["-0", "--within", "50ms"]);
    let still_there = format!("sigsend: {} is still there after 0.", group.arg());
    assert!(
        status == Some(124) && stderr.starts_with(&still_there),
        "{stderr}"
    );
    let would = format!("would send KILL (9) to {them}\n");
    assert_eq!(
        run(&["--dry-run", "-KILL"]),
        (Some(0), would, String::new())
    );
    members.iter().for_each(Victim::assert_alive);
    assert_eq!(
        run(&["-v", "-KILL", "--wait"]),
        (Some(0), format!("sent KILL (9) to {them}\n"), String::new())
    );
    for member in &members {
        member.assert_killed_by(9);
    }
}

#[test]
fn a_wait_for_members_of_another_pid_namespace_ends_with_the_last_of_them() {
    let Some(group) = control_group() else { return };
    let members = [group.sleeping(), group.sleeping()];
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    command.args([SIGSEND, "-0", "--within", "60s", "--cgroup", &group.arg()]);
    let mut waiting = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("unshare starts");
    let unshare = i32::try_from(waiting.id()).expect("a PID");
    let is_asleep = |pid: &i32| has_open(pid, "eventpoll") && state(*pid) == 'S';
    let mut ended = None;
    eventually("sigsend to wait", || {
        ended = waiting.try_wait().expect("a child of ours");
        ended.is_some() || children(unshare).iter().any(is_asleep)
    });
    if ended.is_some() {
        return skip("no PID namespace");
    }
    drop(members);
    let begin = Instant::now();
    assert!(waiting.wait().expect("a child of ours").success());
    assert!(
        begin.elapsed() < Duration::from_secs(30),
        "it has looked at the end of its time only"
    );
}

#[test]
fn a_group_that_is_removed_and_created_again_is_a_different_group() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        for (window, args) in [
            (Window::BeforePinning, &["-KILL"][..]),
            (Window::AfterPinning, &["-KILL"]),
            (Window::AfterPinning, &["-HUP"]),
            (Window::BeforeSending, &["-HUP"]),
            (Window::BeforeSending, &["-HUP", "--wait"]),
        ] {
            let Some(parent) = control_group() else {
                return;
            };
            let group = parent.child("again");
            let mut member = victim().with_pid(4242).sleeping();
            group.take(4242);
            let held = Held::at(window, &[args, &["--cgroup", &group.arg()]].concat());
            sigsend()
                .args(["-KILL", "--wait", "4242"])
                .assert()
                .success();
            member.reap();
            let group = group.recreated();
            let unrelated = victim().with_pid(4242).sleeping();
            group.take(4242);
            let output = held.go();
            assert!(
                output.status.code().is_some_and(|code| code < 2),
                "{window:?} {args:?}: {output:?}"
            );
            unrelated.assert_alive();
        }
    });
}

#[test]
fn too_few_descriptors_for_a_group_do_not_affect_other_targets() {
    let Some(group) = control_group() else { return };
    let mut many =
        Family::shell("i=0; while [ $i -lt 40 ]; do sleep 60 & i=$((i+1)); done; echo ready; wait");
    for pid in many.children().into_iter().chain([many.pid()]) {
        group.take(pid);
    }
    let member = group.sleeping();
    let script = format!(
        "ulimit -n 30; exec \"$0\" -HUP {} --cgroup '{}'",
        member.pid(),
        group.arg()
    );
    let output = Command::new("sh")
        .args(["-c", &script, SIGSEND])
        .output()
        .expect("sh starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(64) && stderr.contains("Too many open files"),
        "{stderr}"
    );
    member.assert_killed_by(1);
    many.assert_alive();
    sigsend()
        .args(["-KILL", "--wait", "--cgroup", &group.arg()])
        .assert()
        .success();
    many.assert_all_ended();
}
