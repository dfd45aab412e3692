//! `--alive`: 0 if a target runs and 1 if all are gone, regardless of state letters, permissions
//! and hidden PIDs; 2 if that is unknown.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::family::state;
use crate::strange::{Held, calls, idle_thread, leaderless, may_trace};
use crate::support::{
    Recorder, SIGSEND, Unprivileged, Victim, back_date, eventually, in_pid_namespace,
    may_change_user, program, running_as_root, sigsend, skip, stderr, stdout, strace, tempdir,
    victim,
};

/// The exit status of `sigsend --alive args`, which prints nothing on standard output.
#[track_caller]
fn alive(args: &[&str]) -> i32 {
    let asked = sigsend().arg("--alive").args(args).assert().stdout("");
    let status = asked.get_output().status.code().expect("an exit");
    assert_eq!(
        status == 0,
        stderr(&asked).is_empty(),
        "status 0 prints no error: {args:?} {}",
        stderr(&asked)
    );
    status
}

#[test]
fn running_processes_are_alive_and_ended_ones_are_gone() {
    let (sleeping, stopped) = (Victim::sleeping(), victim().stopped());
    let (zombie, gone) = (Victim::zombie(), Victim::gone().to_string());
    let ignoring = Victim::shell("trap '' HUP INT TERM; echo ready; read line");
    assert_eq!(alive(&[&sleeping.arg()]), 0);
    assert_eq!(
        alive(&[&sleeping.arg(), &stopped.arg(), &ignoring.arg()]),
        0
    );
    assert_eq!(alive(&[&zombie.arg()]), 1);
    assert_eq!(alive(&[&gone]), 1);
    assert_eq!(alive(&["2147483647"]), 1);
    assert_eq!(alive(&[&sleeping.arg(), &zombie.arg()]), 1);
    assert_eq!(alive(&[&gone, &sleeping.arg(), &stopped.arg()]), 1);
    stopped.assert_state('T');
    sleeping.assert_alive();
}

#[test]
fn a_process_that_exits_during_the_look_up_counts_only_if_it_was_named_by_pid() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        let other = victim().named("service").sleeping();
        for named_by_pid in [false, true] {
            let start = || {
                let worker = victim().named("service").sleeping();
                let args = [
                    "--alive".to_owned(),
                    "service".to_owned(),
                    "service".to_owned(),
                ];
                let args: Vec<String> = args
                    .into_iter()
                    .chain(named_by_pid.then(|| worker.arg()))
                    .collect();
                (worker, args)
            };
            let (worker, args) = start();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let trace = strace("trace=poll", &args).expect("strace is usable");
            drop(worker);
            for point in calls(&trace) {
                let (mut worker, args) = start();
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                let held = Held::before(&point, &args);
                kill(Pid::from_raw(worker.pid()), Signal::SIGKILL).expect("it is ours");
                worker.ending();
                let status = held.go().status.code();
                worker.reap();
                // The last look may have been before.
                assert!(
                    status == Some(i32::from(named_by_pid)) || named_by_pid && status == Some(0),
                    "{point:?}"
                );
            }
        }
        other.assert_alive();
    });
}

#[test]
fn alive_sends_no_signal() {
    let mut asked = Recorder::new();
    assert_eq!(alive(&[&asked.arg(), &asked.arg()]), 0);
    asked.assert_untouched();
}

#[test]
fn a_zombie_is_gone_without_permission_to_signal_it() {
    if !may_change_user() {
        return skip("needs root");
    }
    let (user, zombie, alive) = (Unprivileged::new(), Victim::zombie(), Victim::sleeping());
    let gone = user
        .sigsend()
        .args(["--alive", &zombie.arg()])
        .assert()
        .code(1)
        .stdout("");
    assert_eq!(
        stderr(&gone),
        format!("sigsend: {}: No such process\n", zombie.pid())
    );
    user.sigsend().args(["-0", &alive.arg()]).assert().code(1);
    user.sigsend()
        .args(["--alive", &alive.arg()])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    user.sigsend()
        .args(["--alive", &alive.arg(), &zombie.arg()])
        .assert()
        .code(1);
}

#[test]
fn process_1_sigsend_itself_and_kernel_threads_are_alive() {
    assert_eq!(alive(&["1"]), 0);
    assert_eq!(alive(&[&std::process::id().to_string()]), 0);
    // exec keeps the PID, so this is sigsend's own.
    let script = "exec \"$0\" --alive $$";
    assert!(
        Command::new("sh")
            .args(["-c", script, SIGSEND])
            .status()
            .expect("sh starts")
            .success()
    );
    if may_change_user() {
        Unprivileged::new()
            .sigsend()
            .args(["--alive", "1"])
            .assert()
            .success()
            .stderr("");
    }
    let kernel = fs::read_to_string("/proc/2/comm").unwrap_or_default();
    if kernel != "kthreadd\n" {
        return skip("no kernel threads in this PID namespace");
    }
    assert_eq!(alive(&["2"]), 0);
    assert_eq!(alive(&["--expect", "kthreadd", "2"]), 0);
    // It has no executable, but a caller without permission to read the link cannot tell.
    let may_look =
        fs::read_link("/proc/2/exe").is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    assert_eq!(
        alive(&["--expect", "nginx", "2"]),
        if may_look { 1 } else { 2 }
    );
    assert!(stdout(&sigsend().args(["--id", "2"]).assert().success()).starts_with("2:"));
}

#[test]
fn a_process_whose_main_thread_has_exited_is_alive() {
    let name = format!("orphaned{}", std::process::id());
    let (mut target, _) = leaderless(&name);
    target.assert_state('Z');
    assert_eq!(alive(&[&target.arg()]), 0);
    assert_eq!(alive(&[&name]), 0);
    assert_eq!(alive(&["--expect", &name, &target.arg()]), 0);
    let token = stdout(&sigsend().args(["--id", &target.arg()]).assert().success());
    assert_eq!(alive(&[token.trim_end()]), 0);
    if may_change_user() {
        Unprivileged::new()
            .sigsend()
            .args(["--alive", &target.arg()])
            .assert()
            .success();
    }
    sigsend()
        .args(["-0", "--within", "0s", &target.arg()])
        .assert()
        .code(124);
    assert!(!target.has_ended());
    target.write_line("enough");
    target.assert_exited_with(0);
    assert_eq!(alive(&[&target.arg()]), 1);
    target.reap();
}

#[test]
fn a_process_without_its_main_thread_can_be_waited_for_and_ended() {
    let (target, _) = leaderless("headless");
    sigsend()
        .args(["--grace", "20s", &target.arg()])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    target.assert_killed_by(15);
}

#[test]
fn the_id_of_a_thread_is_neither_alive_nor_gone() {
    let (thread, _release) = idle_thread();
    let (thread, process) = (thread.to_string(), std::process::id().to_string());
    let unclear = sigsend()
        .args(["--alive", &thread])
        .assert()
        .code(2)
        .stdout("");
    let said = format!("sigsend: {thread} is a thread of {process}\ndid you mean {process}?\n");
    assert_eq!(stderr(&unclear), said);
    assert_eq!(alive(&[&process, &thread]), 2);
    assert_eq!(
        alive(&[&thread, &Victim::gone().to_string()]),
        1,
        "one gone target decides the status"
    );
    let (target, thread) = leaderless("beheaded");
    assert_eq!(alive(&[&thread.to_string()]), 2);
    assert_eq!(alive(&[&target.arg()]), 0);
}

#[test]
fn a_process_in_a_child_pid_namespace_is_alive_by_its_outer_pid() {
    if !running_as_root() {
        return skip("needs root");
    }
    let mut command = Command::new("unshare");
    command
        .args([
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            "echo ready; read line",
        ])
        .stderr(Stdio::null());
    let mut outer = victim().command(command);
    assert_eq!(outer.read_line(), "ready");
    let children = format!("/proc/{0}/task/{0}/children", outer.pid());
    let inner = fs::read_to_string(children).expect("a kernel that lists children");
    let inner = inner.trim();
    assert_eq!(alive(&[inner]), 0);
    let token = stdout(&sigsend().args(["--id", inner]).assert().success());
    assert_eq!(alive(&["--expect", "sh", token.trim_end()]), 0);
    // Process 1 of its namespace: only signals that it catches reach it, except KILL from an
    // ancestor namespace.
    sigsend().args(["-TERM", inner]).assert().success();
    assert_eq!(alive(&[inner]), 0);
    sigsend()
        .args(["-KILL", "--wait", token.trim_end()])
        .assert()
        .success()
        .stderr("");
    outer.ending();
    assert_eq!(alive(&[inner]), 1);
}

#[test]
fn a_usage_error_never_reports_a_process_as_gone() {
    let target = Victim::sleeping();
    let pid = target.arg();
    let dir = tempdir();
    let missing = dir.path().join("missing.pid");
    let garbage = dir.file("garbage.pid", "nginx\n");
    let empty = dir.file("empty.pid", "");
    let [missing, garbage, empty] =
        [&missing, &garbage, &empty].map(|path| path.to_str().expect("UTF-8"));
    let mistakes: [&[&str]; 25] = [
        &[],
        &[""],
        &["-"],
        &["0x1"],
        &["12,34"],
        &["4294967296"],
        &["00"],
        &["%1"],
        &[&pid, ""],
        &[&pid, "--nonsense"],
        &[&pid, "-x"],
        &[&pid, "-9"],
        &["-9", &pid],
        &["-s", "HUP", &pid],
        &["-s", "NOPE", &pid],
        &["0"],
        &["--", &target.group_arg()],
        &["--", "-1"],
        &["--wait", &pid],
        &["--grace", "5s", &pid],
        &["--id", &pid],
        &["--expect"],
        &["--pidfile", missing],
        &["--pidfile", garbage],
        &["--pidfile", empty],
    ];
    for mistake in mistakes {
        assert_eq!(alive(mistake), 2, "{mistake:?}");
        // The option may be in any place where it is not an operand or a value.
        if !mistake.contains(&"--") && mistake != ["--expect"] {
            sigsend()
                .args(mistake)
                .arg("--alive")
                .assert()
                .code(2)
                .stdout("");
        }
    }
    // Abbreviations and clusters are accepted.
    sigsend().args(["--ali", "0x1"]).assert().code(2);
    sigsend().args(["-v", "--alive", "0x1"]).assert().code(2);
    sigsend()
        .args(["--json", "--alive", "0x1"])
        .assert()
        .code(2);
    target.assert_alive();
}

#[test]
fn alive_takes_pidfiles_expect_names_and_tokens() {
    let dir = tempdir();
    let name = format!("asked{}", std::process::id());
    let mut target = victim().named(&name).sleeping();
    let pid = target.arg();
    let token = stdout(&sigsend().args(["--id", &pid]).assert().success());
    let token = token.trim_end();
    let file = dir.file("x.pid", format!("{pid}\n"));
    let file = file.to_str().expect("UTF-8");
    let forms: [&[&str]; 6] = [
        &["--pidfile", file],
        &["--pidfile", file, "--expect", &name],
        &[&name],
        &[token],
        &[token, &name, &pid, "--pidfile", file, "--expect", &name],
        &["-a", &name],
    ];
    for form in forms {
        assert_eq!(alive(form), 0, "{form:?}");
    }
    assert_eq!(alive(&["--pidfile", file, "--expect", "somebody"]), 1);
    let asked = sigsend()
        .args(["--alive", "-v", "--pidfile", file])
        .assert()
        .success();
    assert_eq!(stdout(&asked), format!("{pid} ({name}) is alive\n"));
    let mut input = sigsend();
    input
        .args(["--alive", "--pidfile", "-"])
        .write_stdin(pid.clone())
        .assert()
        .success();

    back_date(file.as_ref(), std::time::Duration::from_secs(60));
    assert_eq!(alive(&["--pidfile", file]), 1);
    assert_eq!(alive(&["--pidfile", file, "--allow-stale"]), 0);
    sigsend().args(["-KILL", token]).assert().success();
    target.assert_killed_by(9);
    for form in forms {
        assert_eq!(alive(form), 1, "a zombie: {form:?}");
    }
    target.reap();
    for form in forms {
        assert_eq!(alive(form), 1, "{form:?}");
    }
}

#[test]
fn a_pid_that_proc_hides_is_alive() {
    in_pid_namespace(|| {
        // An empty /proc, as hidepid makes it, does not mean that the process is gone.
        let (target, zombie) = (Victim::sleeping(), Victim::zombie());
        let ask = |pid: i32| {
            let mut command = Command::new("unshare");
            let script = "mount -t tmpfs none /proc && exec \"$0\" --alive \"$1\"";
            command
                .args(["--mount", "sh", "-c", script])
                .arg(SIGSEND)
                .arg(pid.to_string());
            command.output().expect("unshare starts").status.code()
        };
        assert_eq!(ask(target.pid()), Some(0));
        assert_eq!(ask(zombie.pid()), Some(1));
    });
}

#[test]
fn a_name_is_alive_while_one_process_has_it() {
    let name = format!("reloads{}", std::process::id());
    let Some(perl) = program("perl") else {
        return skip("no perl");
    };
    // Its child, which has the same name, is a zombie.
    let mut options = victim().named(&name);
    let mut command = Command::new(options.linked(perl));
    command.args([
        "-e",
        "$| = 1; exit unless fork; print qq(ready\\n); <STDIN>",
    ]);
    let mut parent = options.command(command);
    assert_eq!(parent.read_line(), "ready");
    let list = format!("/proc/{0}/task/{0}/children", parent.pid());
    let child = || {
        fs::read_to_string(&list)
            .unwrap_or_default()
            .trim()
            .parse()
            .unwrap_or(0)
    };
    eventually("the child to be a zombie", || state(child()) == 'Z');
    let zombie: i32 = child();
    for _poll in 0..20 {
        assert_eq!(alive(&[&name]), 0);
    }
    assert_eq!(alive(&["-a", &name]), 0);
    assert_eq!(alive(&[&zombie.to_string()]), 1, "by its PID it is gone");
    assert_eq!(alive(&["--tree", &name]), 0);
    let pid = parent.arg();
    for named_by_pid in [&[&*pid][..], &[&name, &pid], &[&pid, &name]] {
        assert_eq!(
            alive(&[&["--tree"], named_by_pid].concat()),
            1,
            "{named_by_pid:?}"
        );
    }
    let told = sigsend().args(["-p", &name]).assert().success();
    assert_eq!(stdout(&told), format!("{}\n", parent.pid()));
    // Zombies do not count: no process has the name now.
    sigsend().args(["-KILL", &parent.arg()]).assert().success();
    parent.assert_killed_by(9);
    for call in [
        &["-HUP"][..],
        &["--wait"],
        &["-p"],
        &["--id"],
        &["--grace", "1s"],
    ] {
        let told = sigsend().args(call).arg(&name).assert().code(1).stdout("");
        assert!(
            stderr(&told).starts_with("sigsend: cannot find process"),
            "{call:?}: {}",
            stderr(&told)
        );
    }
    assert_eq!(alive(&[&name]), 1);
}

#[test]
fn a_service_that_reloads_is_always_alive() {
    let name = format!("workers{}", std::process::id());
    let mut options = victim().named(&name);
    let mut command = Command::new(options.linked(program("sh").expect("sh")));
    // Its children have the same name, exit at once and are zombies until they are reaped.
    command.args([
        "-c",
        "echo ready; while :; do (exit 0) & (exit 0) & wait; done",
    ]);
    let mut service = options.command(command);
    assert_eq!(service.read_line(), "ready");
    for _poll in 0..200 {
        assert_eq!(alive(&[&name]), 0);
    }
}

#[test]
fn a_zombie_with_handlers_is_gone() {
    let zombie = Victim::zombie();
    let pid = zombie.arg();
    for call in [
        &["-r", "-HUP", "--wait"][..],
        &["-r", "-HUP", "--wait", "--tree"],
        &["-r", "--grace", "5s"],
    ] {
        let told = sigsend()
            .args(call)
            .args(["-v", &pid])
            .assert()
            .success()
            .stderr("");
        assert!(
            stdout(&told).contains("already gone"),
            "{call:?}: {}",
            stdout(&told)
        );
    }
}
