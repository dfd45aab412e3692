//! Processes of special kinds: those without a main thread, threads, kernel threads, process 1 of a
//! PID namespace; and what a dry run says that a signal does there.

use std::io::ErrorKind::NotFound;
use std::process::id;

use crate::support::prelude::*;

/// The effect on one process that a dry run reports.
#[track_caller]
pub fn effect(signal: &str, pid: i32) -> String {
    let told = run!("--dry-run {signal} {pid}").told();
    let effect = told.split_once("): ").expect(&told).1;
    effect.split_once("; user ").expect(&told).0.to_owned()
}

#[track_caller]
fn has_effect(signal: &str, pid: i32, expected: &str) {
    assert_eq!(effect(signal, pid), expected, "{signal} {pid}");
}

#[test]
fn a_caught_and_blocked_signal_is_reported_as_both() {
    needs!(program("python3").is_some(), "python3");
    let script = "import signal, sys; signal.signal(signal.SIGHUP, print)\n\
        print('ready', flush=True)\n\
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP, signal.SIGTERM])\n\
        sys.stdin.readline()";
    let caught = victim().ready(tool("python3 -c").arg(script));
    let blocked = || mask(caught.pid(), "SigBlk");
    eventually("the signals to be blocked", || blocked() & 0x4001 == 0x4001);
    let both = "caught by a handler, blocked right now";
    has_effect("-HUP", caught.pid(), both);
    has_effect("-TERM", caught.pid(), "terminates it, blocked right now");
    has_effect("-KILL", caught.pid(), "terminates it");
    let done = run!("--dry-run --json -HUP {caught}").fine();
    done.has("\"effect\":\"caught\"").has("\"blocked\":true");
}

/// Calls for a process whose main thread has exited, the status, and the signal that ends it.
const LEADERLESS: &str = "
    --alive PID               | 0   |
    --alive NAME              | 0   |
    --alive SHORT             | 0   |
    --alive TOKEN             | 0   |
    --alive --expect NAME PID | 0   |
    --alive --expect EXE PID  | 0   |
    --alive --expect cron PID | 1   |
    -0 --within 0s PID        | 124 |
    -HUP NAME                 | 0   | 1
    -TERM --expect EXE PID    | 0   | 15
    --grace 20s PID           | 0   | 15
    -KILL --cwd HERE PID      | 0   | 9";

#[test]
fn a_process_whose_main_thread_has_exited_is_like_any_other() {
    let binary = env::current_exe().expect("a running test has a path");
    let binary = binary.file_name().and_then(|name| name.to_str());
    let here = env::current_dir().expect("it exists").display().to_string();
    let name = || format!("{:x<20}", unique());
    for [call, status, signal] in rows(LEADERLESS) {
        let name = name();
        let (target, _) = leaderless(&name);
        target.assert_state('Z');
        let call = call.replace("PID", &target.arg()).replace("NAME", &name);
        let call = call.replace("SHORT", &name[..15]).replace("HERE", &here);
        let call = call.replace("TOKEN", &token(&target));
        run!("{}", call.replace("EXE", binary.expect("UTF-8"))).code(numbers(status)[0]);
        match numbers(signal).first() {
            Some(signal) => target.assert_killed_by(*signal),
            None => assert!(!target.has_ended(), "{call}"),
        }
    }
    let name = name();
    let (mut target, _) = leaderless(&name);
    selects(&name, &[&target]);
    selects(&name[..15], &[&target]);
    if may_change_user() {
        call!(Unprivileged::new().sigsend(), "--alive {target}").code(0);
    }
    target.write_line("enough");
    target.assert_exited_with(0);
    run!("--alive {target}").code(1);
}

#[test]
fn a_thread_is_no_process() {
    let (thread, _release) = idle_thread();
    let (dir, process, gone) = (tempdir(), id(), Victim::gone());
    let file = dir.arg("x.pid", thread.to_string());
    run!("-0 {thread}").ok();
    let why = format!("{thread} is a thread of {process}\ndid you mean {process}?\n");
    for pinned in each("--wait -0 | --expect cli | -r -HUP | --timeout 9s KILL | --tree") {
        let line = format!("sigsend: sending signal to {thread} failed: {why}");
        run!("{pinned} {thread}").fails(1, line);
    }
    for (asked, status) in [("--id", 1), ("-p", 1), ("--alive", 2)] {
        run!("{asked} {thread}").fails(status, format!("sigsend: {why}"));
    }
    let why = format!("{thread} is a thread of {process}");
    run!("-0 --pidfile {file}").fails(1, why);
    run!("--alive {process} {thread}").code(2);
    // One gone target decides the status.
    run!("--alive {thread} {gone}").code(1);
    let (target, thread) = leaderless("beheaded");
    run!("--alive {thread}").code(2);
    run!("--alive {target}").code(0);
}

/// Whether this PID namespace is that of the kernel threads, of which 2 is one.
fn has_kernel_threads() -> bool {
    fs::read_to_string("/proc/2/comm").is_ok_and(|name| name == "kthreadd\n")
}

#[test]
fn a_kernel_thread_is_alive_and_takes_nothing() {
    needs!(has_kernel_threads(), "kernel threads in this PID namespace");
    run!("--alive 2").ok();
    run!("--alive --expect kthreadd 2").ok();
    // It has no executable, but a caller without permission to read the link cannot tell.
    let may_look = fs::read_link("/proc/2/exe").is_err_and(|error| error.kind() == NotFound);
    run!("--alive --expect nginx 2").code(if may_look { 1 } else { 2 });
    assert!(token(2).starts_with("2:"));
    for args in
        each("-0 --within 5s | --dry-run --wait | --dry-run --grace 5s | --dry-run -KILL --wait")
    {
        run!("{args} 2").fails(1, "is a kernel thread, which no signal ends");
    }
    if running_as_root() {
        has_effect("-KILL", 2, "does nothing");
        has_effect("-TERM", 2, "does nothing");
    }
}

#[test]
fn a_process_in_a_group_of_another_pid_namespace_is_no_kernel_thread() {
    let script = "sleep 60 & \"$0\" -0 --within 0s $!; exec echo $?";
    let mut command = tool("unshare --pid --fork --mount-proc --kill-child sh -c");
    command.args([script, *SIGSEND]);
    let done = command.run(&[]);
    if done.err.starts_with("unshare: ") {
        return skip(done.err);
    }
    done.is(0, "124\n", "is still there after");
}

#[test]
fn process_1_takes_no_kill_and_is_neither_waited_for_nor_a_root() {
    in_pid_namespace!();
    let mut bystander = Recorder::new();
    run!("--alive 1").ok();
    for signal in ["-KILL", "-STOP", "-USR2"] {
        has_effect(signal, 1, "does nothing");
    }
    for form in each("-KILL --wait | --wait | --within 15s | --grace 15s | --timeout 15s KILL") {
        run!("{form} 1").fails(1, "process 1");
    }
    for target in ["1", "0001", "' 1 '", "1:1"] {
        run!("--tree -0 {target}").begins(1, "sigsend: ");
    }
    // In a list it is an ancestor like any other.
    call!(piped("1"), "--tree -0 --pidfile -").ok();
    bystander.assert_untouched();
    // exec keeps the PID, so this is sigsend's own.
    sh("exec \"$0\" --alive $$").run(&[]).ok();
    has_effect("-KILL", Victim::zombie().pid(), "does nothing");
}

#[test]
fn process_1_of_a_child_namespace_takes_caught_signals_and_kill() {
    needs!(running_as_root(), "root");
    let script = "trap : HUP; echo ready; read line; exit";
    let outer = victim().ready(tool("unshare --pid --fork --kill-child sh -c").arg(script));
    let inner = children(outer.pid())[0];
    has_effect("-TERM", inner, "does nothing");
    has_effect("-HUP", inner, "caught by a handler");
    has_effect("-KILL", inner, "terminates it");
    has_effect("-STOP", inner, "stops it");
    has_effect("-TERM", Victim::sleeping().pid(), "terminates it");
    // It has another PID there.
    let token = token(inner);
    run!("--alive --expect sh {token}").ok();
    run!("-TERM {inner}").code(0);
    run!("--alive {inner}").ok();
    run!("-KILL --wait {token}").told();
    outer.ending();
    run!("--alive {inner}").code(1);
}
