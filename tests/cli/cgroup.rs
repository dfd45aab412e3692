//! Control groups as targets: every process of the group and its descendants, including forked and
//! detached ones, and no other process. The tests create real control groups below their own.

pub mod group;

use std::os::unix::fs::chown;

use crate::storms::assert_each_gets_term_once;
use crate::strange::has_open;
use crate::support::prelude::*;
use group::control_group;

#[track_caller]
fn has_members(group: &str, members: &[&Victim]) {
    selects(&format!("--cgroup '{group}'"), members);
}

#[test]
fn a_group_selects_its_members_and_those_of_its_descendants_only() {
    let Some(group) = control_group() else { return };
    let (below, deep) = (group.child("below"), group.child("below/deep"));
    let beside = control_group().expect("another one");
    let members = [group.sleeping(), below.sleeping(), deep.sleeping()];
    let mut bystanders = [Recorder::new(), Recorder::new()];
    beside.take(bystanders[0].victim().pid());
    has_members(&group.arg(), &members.each_ref());
    has_members(&deep.arg(), &[&members[2]]);
    let sent = run!("-v --grace 15s --cgroup {group}").told();
    assert_eq!(sent.matches("sent TERM (15) to").count(), 3, "{sent}");
    killed(&members, 15);
    bystanders.iter_mut().for_each(Recorder::assert_untouched);
}

#[test]
fn a_group_is_found_by_its_directory_or_as_proc_shows_it() {
    let Some(group) = control_group() else { return };
    let below = group.child("a b");
    let member = below.sleeping();
    let (dir, path, shown) = (tempdir(), below.arg(), below.shown());
    let link = dir.path().join("link");
    symlink(&path, &link).expect("a directory of ours");
    let link = link.display();
    let spelled =
        format!("{path}|{path}/|{path}/.././a b|..{path}|{link}|{shown}|{shown}/|0::{shown}");
    each(&spelled).for_each(|spelled| has_members(spelled, &[&member]));
    let mut command = raw_sigsend();
    command.current_dir(group.path());
    call!(command, "-p --cgroup 'a b'").says(format!("{member}\n"));
    member.assert_alive();
}

#[test]
fn an_invalid_group_is_refused_with_the_reason_and_no_signal() {
    let Some(group) = control_group() else { return };
    let member = group.sleeping();
    let domain = control_group().expect("another one");
    let threaded = domain.child("threaded");
    let kind = threaded.path().join("cgroup.type");
    fs::write(kind, "threaded").expect("a fresh group can be threaded");
    let dir = tempdir();
    let root = " is the root control group, which holds every process: refused\n";
    let no_processes =
        " is threaded: it holds threads, not processes\nthe processes belong to its nearest";
    let no_directory = " is not the directory of a control group\n";
    let old = " is a control group of version 1, only version 2 will do\n";
    let mut refused = vec![
        (group::mount(), root),
        ("/".to_owned(), root),
        (threaded.arg(), no_processes),
        (dir.path().display().to_string(), no_directory),
        (dir.arg("x", ""), no_directory),
        (format!("{group}/cgroup.procs"), no_directory),
        (format!("{group}/gone"), " does not exist\n"),
        (format!("{}/../gone", group.shown()), " does not exist\n"),
        ("gone".to_owned(), " does not exist\n"),
    ];
    refused.extend(group::version_1().map(|path| (path, old)));
    for (path, message) in refused {
        for args in each("-KILL | -v | --wait | -p | --dry-run | --alive") {
            run!("{args} --cgroup {path}").code(1).has(message);
        }
    }
    let own = group.child("own");
    let script = format!("echo 0 >'{own}/cgroup.procs'; \"$0\" --cgroup '{group}'");
    let line = format!("sigsend: control group {group} holds sigsend itself: refused\n");
    sh(&script).run(&[]).fails(1, line);
    for args in each("-l --cgroup x | --tree --cgroup x | --cgroup '' | --cgroup") {
        run!("{args}").fails(1, "sigsend: ");
    }
    member.assert_alive();
}

#[test]
fn an_empty_group_is_gone_and_a_missing_one_is_a_failure() {
    let Some(group) = control_group() else { return };
    run!("--cgroup {group}").fails(1, format!("sigsend: control group {group} is empty\n"));
    for args in each("--alive | -p | --id | -0 | --dry-run") {
        run!("{args} --cgroup {group}").code(1);
    }
    for args in each("--wait | --within 0s | --grace 9s | -0 --wait | -KILL --wait") {
        run!("{args} --cgroup {group}").ok();
        run!("{args} --cgroup {group}/gone").code(1);
    }
    run!("-v --wait --cgroup {group}")
        .says(format!("control group {group} is empty: already gone\n"));
    // A zombie is in no group.
    let zombie = Victim::shell(&format!("echo 0 >'{group}/cgroup.procs'; echo ready"));
    zombie.assert_exited_with(0);
    run!("--alive --cgroup {group}").code(1);
    // The other targets get their signal.
    let other = Victim::sleeping();
    run!("-HUP {other} --cgroup {group}").code(64);
    other.assert_killed_by(1);
}

#[test]
fn kill_ends_every_process_of_a_forking_group() {
    let mut bystander = Recorder::new();
    let mut cut_short = 0;
    for round in (0..100).step_by(if in_full() { 1 } else { 9 }) {
        let Some(group) = control_group() else { return };
        let mut storm = Family::with_role(if round % 2 == 0 { "daemons" } else { "storm" });
        group.child("deep").take(storm.pid());
        // Their number varies, so that the signal comes at different points of the storm.
        let before = storm.start_forking(1000, round % 50).len();
        let wait = if round % 4 < 2 { "--wait" } else { "" };
        run!("-KILL {wait} --cgroup {group}").ok();
        let is_over = wait.is_empty() || !group.is_populated();
        assert!(is_over, "--wait returned early");
        storm.assert_killed_by(9);
        cut_short += usize::from(storm.assert_all_ended().len() + before < 1000);
    }
    assert!(cut_short > 1, "the storms ended before they were killed");
    bystander.assert_untouched();
}

#[test]
fn kill_ends_every_process_of_a_forking_group_without_cgroup_kill() {
    needs!(may_trace(), "strace");
    let dir = tempdir();
    let log = dir.arg("log", "");
    for round in (0..12).step_by(if in_full() { 1 } else { 4 }) {
        let Some(group) = control_group() else { return };
        let mut storm = Family::with_role("daemons");
        group.child("deep").take(storm.pid());
        storm.start_forking(1000, round);
        let fault = format!("-P cgroup.kill -e inject=openat:error=ENOENT -o {log}");
        let traced = through(&format!("strace -qq {fault}"));
        call!(traced, "-KILL --wait --cgroup {group}").ok();
        let log = fs::read_to_string(&log).expect("strace writes its log");
        contains!(log, "(INJECTED)");
        assert!(!group.is_populated());
        assert_eq!(group.read("cgroup.freeze"), "0\n", "it was not thawed");
        storm.assert_killed_by(9);
        storm.assert_all_ended();
    }
}

#[test]
fn every_member_gets_a_signal_once_including_new_ones() {
    for round in (0..15).step_by(if in_full() { 1 } else { 5 }) {
        let Some(group) = control_group() else { return };
        let storm = Family::with_role("catching-storm");
        group.take(storm.pid());
        let [term, kill] = ["", "-KILL --wait"].map(|call| format!("{call} --cgroup {group}"));
        assert_each_gets_term_once(storm, round, [&term, &kill]);
    }
}

#[test]
fn a_child_that_detaches_itself_after_the_signal_is_waited_for_and_killed() {
    let Some(group) = control_group() else { return };
    let detaches = "trap 'trap \"\" TERM; (setsid cat <&3 &); exit 3' TERM";
    let idle = "echo ready; while read line; do :; done";
    let mut family = Family::shell(&format!("exec 3<&0; {detaches}; {idle}"));
    group.take(family.pid());
    run!("--within 200ms --cgroup {group}").code(124);
    family.assert_exited_with(3);
    assert!(group.is_populated());
    run!("-v --grace 100ms --cgroup {group}").says("sent KILL (9) to");
    assert!(!group.is_populated());
    family.assert_all_ended();
}

#[test]
fn a_wait_sleeps_until_the_group_is_empty() {
    let Some(group) = control_group() else { return };
    let member = group.shell(STUBBORN);
    let calls = "trace=epoll_wait,epoll_pwait,pread64,getdents64,poll";
    let trace = traced!(calls, "--within 700ms --cgroup {group}");
    // The member is there, so nothing is said of the group.
    trace.done.code(124).complains(1);
    let mut calls = trace.calls.iter();
    let from = calls.position(|call| call.starts_with("epoll_"));
    // Two looks for what the signal has forked, and one when the time is over.
    let holds = trace.calls.len() - from.expect("it waits") < 16;
    assert!(holds, "{:?}", trace.calls);
    member.assert_alive();
}

#[test]
fn members_are_killed_one_by_one_if_each_must_be_checked() {
    let Some(group) = control_group() else { return };
    let catches = group.shell("trap : TERM; echo ready; while :; do read line; done");
    let plain = group.sleeping();
    let refused = format!("sigsend: {plain} (cat) does not catch TERM\n");
    run!("-r --timeout 100ms KILL --wait --cgroup {group}").fails(64, refused);
    catches.assert_killed_by(9);
    plain.assert_alive();
    let expected = group.shell("echo ready; exec sleep 60");
    expected.await_name("sleep");
    run!("--alive --expect sleep --cgroup {group}").ok();
    let refused = format!("sigsend: {plain} (cat) is not sleep\n");
    run!("-p --expect sleep --cgroup {group}").is(64, format!("{expected}\n"), &refused);
    run!("-KILL --wait --expect sleep --cgroup {group}").fails(64, &refused);
    expected.assert_killed_by(9);
    for signal in ["-0", "-HUP"] {
        run!("{signal} --wait --expect sleep --cgroup {group}").fails(1, &refused);
    }
    run!("--alive --expect sleep --cgroup {group}").fails(1, &refused);
    plain.assert_alive();
}

#[test]
fn a_frozen_group_can_be_killed_and_signalled() {
    let Some(group) = control_group() else { return };
    let mut recorder = Recorder::new();
    group.take(recorder.victim().pid());
    group.child("below").take(Family::shell("echo ready").pid());
    group.freeze();
    run!("-USR1 --cgroup {group}").ok();
    group.thaw();
    assert_eq!(recorder.signals(), [10]);
    let stubborn = group.shell(STUBBORN);
    group.freeze();
    run!("--grace 100ms --cgroup {group}").fine();
    stubborn.assert_killed_by(9);
    recorder.victim().assert_killed_by(9);
}

#[test]
fn a_member_that_leaves_is_still_waited_for() {
    let (Some(group), Some(refuge)) = (control_group(), control_group()) else {
        return;
    };
    let leaves = format!("echo 0 >\"{refuge}/cgroup.procs\"; trap \"\" TERM; echo left");
    let idle = "echo ready; while :; do read line; done";
    let leaver = group.shell(&format!("trap '{leaves}' TERM; {idle}"));
    run!("-v --grace 500ms --cgroup {group}").says("sent KILL (9) to");
    leaver.assert_killed_by(9);
}

#[test]
fn a_member_that_appears_between_the_signal_and_kill_is_reported() {
    let Some(group) = control_group() else { return };
    // Long after the group was read again for new members.
    let forks = "trap \"\" TERM; sleep 0.3; sleep 60 <&- >&- 2>&- & echo $!";
    let mut member = group.shell(&format!(
        "trap '{forks}' TERM; echo ready; while :; do read line; done"
    ));
    let told = run!("-v --grace 1500ms --cgroup {group}").told();
    member.assert_killed_by(9);
    contains!(told, "sent KILL (9) to {} ", member.read_line());
}

#[test]
fn a_member_named_in_several_ways_gets_each_signal_once() {
    let Some(group) = control_group() else { return };
    let mut leader = Recorder::new();
    let mut other = Recorder::of(victim().in_group_of(leader.victim()));
    group.take(leader.victim().pid());
    group.take(other.victim().pid());
    run!("-USR1 --timeout 10 USR2 --cgroup {group} {leader} -- -{leader}").code(0);
    assert_eq!([leader.signals(), other.signals()], [[10, 12], [10, 12]]);
    run!("-USR1 -q 7 --cgroup {group}").code(0);
    let received = leader.received();
    assert_eq!((received.len(), received[0].value), (1, 7));
}

#[test]
fn members_of_other_users_are_reported_and_not_waited_for() {
    needs!(may_change_user(), "root");
    let Some(group) = control_group() else { return };
    let user = Unprivileged::new();
    let (foreign, own) = (group.sleeping(), victim().owned_by(NOBODY).sleeping());
    group.take(own.pid());
    for args in each("-KILL | --grace 5s | -TERM --timeout 1s KILL | --dry-run -KILL") {
        let whole = format!("sigsend: control group {group} cannot be killed as a whole");
        let done = call!(user.sigsend(), "{args} --cgroup {group}").code(1);
        done.has(format!("{whole}: Permission denied\n"));
    }
    let refused = format!("(PID {foreign}) failed: Operation not permitted\n");
    let done = call!(user.sigsend(), "-HUP --wait --cgroup {group}").code(64);
    done.has(refused);
    own.assert_killed_by(1);
    foreign.assert_alive();
    call!(user.sigsend(), "-0 --within 50ms --cgroup {group}").code(124);
    // Write permission for cgroup.kill is enough, permission to signal the members is not needed.
    chown(group.path().join("cgroup.kill"), Some(NOBODY), None).expect("root may");
    call!(user.sigsend(), "-KILL --wait --cgroup {group}").fine();
    foreign.assert_killed_by(9);
}

const NAMESPACE: &str = "unshare --pid --fork --mount-proc --kill-child";

#[test]
fn members_of_another_pid_namespace_are_counted_and_only_killed_as_a_whole() {
    let Some(group) = control_group() else { return };
    let members = [group.sleeping(), group.sleeping()];
    let run = |args: &str| call!(through(NAMESPACE), "{args} --cgroup {group}");
    let first = run("-HUP");
    if first.err.starts_with("unshare: ") {
        return skip(first.err);
    }
    let them = format!("2 processes of another PID namespace in {group}");
    let why = "which only a KILL of the whole group reaches";
    let refused = format!("sigsend: cannot signal {them}, {why}\n");
    first.fails(1, &refused);
    for args in each("-p | --wait | --expect cat -KILL") {
        run(args).fails(1, &refused);
    }
    let counts = "\"signalled\":0,\"already_gone\":0,\"failed\":2,\"remaining\":0,\"status\":1}\n";
    assert!(run("--json -HUP").out.ends_with(counts));
    run("--dry-run").code(1);
    run("--alive").ok();
    // Nobody can look at them.
    for args in each("--alive --expect cat | --alive -f cat | --alive --cwd /tmp") {
        run(args).code(2);
    }
    for args in each("--wait -f cat | -KILL --wait --cwd /tmp | -HUP -f cat") {
        run(args).code(1);
    }
    let late = format!("sigsend: {group} is still there after 0.");
    run("-0 --within 50ms").begins(124, late);
    run("--dry-run -KILL").says(format!("would send KILL (9) to {them}\n"));
    // TERM reaches none of them, KILL as a follow-up does.
    let dry = run("--dry-run --grace 5s").code(64);
    dry.has(format!("would send KILL (9) to {them} 5s later\n"));
    run("--dry-run --json -KILL").has("\"signalled\":2,");
    alive(&members);
    run("-v -KILL --wait").says(format!("sent KILL (9) to {them}\n"));
    killed(&members, 9);
    let members = [group.sleeping(), group.sleeping()];
    let done = run("-v --grace 50ms").code(64);
    done.has(format!("sent KILL (9) to {them} after 0."));
    killed(&members, 9);
}

#[test]
fn a_wait_for_members_of_another_pid_namespace_ends_with_the_last_of_them() {
    let Some(group) = control_group() else { return };
    let members = [group.sleeping(), group.sleeping()];
    let mut command = through(NAMESPACE);
    command.args(["-0", "--within", "60s", "--cgroup", &group.arg()]);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let mut waiting = command.spawn().expect("unshare starts");
    let unshare = i32::try_from(waiting.id()).expect("a PID");
    let is_asleep = |pid: &i32| has_open(pid, "eventpoll") && state(*pid) == 'S';
    let mut ended = None;
    eventually("sigsend to wait", || {
        ended = waiting.try_wait().expect("a child of ours");
        ended.is_some() || children(unshare).iter().any(is_asleep)
    });
    needs!(ended.is_none(), "a PID namespace");
    drop(members);
    let begin = Instant::now();
    assert!(waiting.wait().expect("a child of ours").success());
    let is_prompt = begin.elapsed() < Duration::from_secs(30);
    assert!(is_prompt, "it has looked at the end of its time only");
}

#[test]
fn a_group_that_is_removed_and_created_again_is_a_different_group() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    for (window, args) in [
        (Window::BeforePinning, "-KILL"),
        (Window::AfterPinning, "-KILL"),
        (Window::AfterPinning, "-HUP"),
        (Window::BeforeSending, "-HUP"),
        (Window::BeforeSending, "-HUP --wait"),
    ] {
        let Some(parent) = control_group() else {
            return;
        };
        let group = parent.child("again");
        let mut member = victim().with_pid(4242).sleeping();
        group.take(4242);
        let held = Held::at(window, &format!("{args} --cgroup {group}"));
        run!("-KILL --wait 4242").code(0);
        member.reap();
        let group = group.recreated();
        let unrelated = victim().with_pid(4242).sleeping();
        group.take(4242);
        let done = held.go();
        let has_failed_or_not = done.status.is_some_and(|code| code < 2);
        assert!(has_failed_or_not, "{window:?} {args:?}: {done:?}");
        unrelated.assert_alive();
    }
}

#[test]
fn too_few_descriptors_for_a_group_do_not_affect_other_targets() {
    let Some(group) = control_group() else { return };
    let many = "i=0; while [ $i -lt 40 ]; do sleep 60 & i=$((i+1)); done; echo ready; wait";
    let mut many = Family::shell(many);
    let members = many.children().into_iter().chain([many.pid()]);
    members.for_each(|pid| group.take(pid));
    let member = group.sleeping();
    let script = format!("ulimit -n 30; exec \"$0\" -HUP {member} --cgroup '{group}'");
    sh(&script).run(&[]).fails(64, "Too many open files");
    member.assert_killed_by(1);
    many.assert_alive();
    run!("-KILL --wait --cgroup {group}").code(0);
    many.assert_all_ended();
}
