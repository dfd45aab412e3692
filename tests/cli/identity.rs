//! Identity of targets: `PID:INODE` tokens and `--id`, `--expect`, and one process named in several
//! ways.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::strange::{Held, calls_after, idle_thread, leaderless, may_trace};
use crate::support::{
    NOBODY, Recorder, Unprivileged, Victim, in_pid_namespace, may_change_user, program, sigsend,
    skip, stderr, stdout, strace, tempdir, victim,
};

/// The token that `--id` prints for a process.
fn token(pid: &str) -> String {
    let token = stdout(&sigsend().args(["--id", pid]).assert().success().stderr(""));
    token.strip_suffix('\n').expect("a line").to_owned()
}

/// A name that no other process of this machine has, even if these tests run twice at once.
fn unique(name: &str) -> String {
    format!("{name}{}", std::process::id())
}

#[test]
fn a_token_means_the_process_that_it_was_printed_for() {
    let (target, other) = (Victim::sleeping(), Victim::sleeping());
    let token = token(&target.arg());
    let (pid, inode) = token.split_once(':').expect("PID:INODE");
    assert_eq!(pid, target.arg());
    assert!(inode.parse::<u64>().is_ok_and(|inode| inode > 0), "{inode}");
    assert_eq!(token, self::token(&target.arg()), "it stays the same");
    assert_ne!(
        inode,
        self::token(&other.arg())
            .split_once(':')
            .expect("PID:INODE")
            .1
    );

    sigsend()
        .args(["--alive", &token])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    sigsend()
        .args(["-0", &token])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    sigsend()
        .args(["-HUP", &token])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    target.assert_killed_by(1);
    other.assert_alive();
    sigsend()
        .args(["--id", &token])
        .assert()
        .success()
        .stdout(format!("{token}\n"));
}

#[test]
fn ids_are_printed_in_order_for_existing_processes() {
    let (one, other, gone) = (
        Victim::sleeping(),
        Victim::zombie(),
        Victim::gone().to_string(),
    );
    let [first, second] = [&one, &other].map(|victim| token(&victim.arg()));
    sigsend()
        .args(["--id", &other.arg(), &one.arg()])
        .assert()
        .success()
        .stdout(format!("{second}\n{first}\n"));
    let error = format!("sigsend: {gone}: No such process\n");
    sigsend()
        .args(["--id", &gone])
        .assert()
        .code(1)
        .stdout("")
        .stderr(error.clone());
    sigsend()
        .args(["--id", &gone, &one.arg()])
        .assert()
        .code(64)
        .stdout(format!("{first}\n"))
        .stderr(error);
    one.assert_alive();
}

#[test]
fn a_token_that_matches_no_process_sends_no_signal() {
    let target = Victim::sleeping();
    let (token, own) = (token(&target.arg()), target.arg());
    let (_, inode) = token.split_once(':').expect("PID:INODE");
    // Off by one, off by 2^32, and the inode of one process with the PID of another.
    let inode: u64 = inode.parse().expect("a number");
    let other = self::token(&Victim::sleeping().arg());
    let stranger = other
        .split_once(':')
        .expect("PID:INODE")
        .1
        .parse()
        .expect("a number");
    for wrong in [
        inode + 1,
        inode - 1,
        inode + (1 << 32),
        inode | 1 << 63,
        stranger,
        u64::MAX,
        1,
    ] {
        let wrong = format!("{own}:{wrong}");
        let refused = sigsend()
            .args(["-KILL", &wrong])
            .assert()
            .code(1)
            .stdout("");
        let line = format!(
            "sigsend: sending signal to {wrong} failed: No such process: this PID now belongs to another process\n"
        );
        assert_eq!(stderr(&refused), line);
        sigsend().args(["--alive", &wrong]).assert().code(1);
    }
    for garbled in [
        format!("{own}:"),
        format!("{own}:0"),
        format!("{own}:0x1"),
        format!("{token}:1"),
        format!("0{token}"),
    ] {
        sigsend()
            .args(["-KILL", &garbled])
            .assert()
            .code(1)
            .stderr(format!("sigsend: '{garbled}': invalid target\n"));
        sigsend().args(["--alive", &garbled]).assert().code(2);
    }
    target.assert_alive();

    let mut target = target;
    sigsend().args(["-KILL", &token]).assert().success();
    target.reap();
    let line = format!("sigsend: sending signal to {token} failed: No such process\n");
    sigsend()
        .args(["-KILL", &token])
        .assert()
        .code(1)
        .stdout("")
        .stderr(line);
}

#[test]
fn a_token_may_name_a_process_of_another_user() {
    if !may_change_user() {
        return skip("needs root");
    }
    let (foreign, user) = (Victim::sleeping(), Unprivileged::new());
    let token = token(&foreign.arg());
    user.sigsend()
        .args(["--id", &foreign.arg()])
        .assert()
        .success()
        .stdout(format!("{token}\n"));
    user.sigsend().args(["--alive", &token]).assert().success();
    let refused = user
        .sigsend()
        .args(["-TERM", &token])
        .assert()
        .code(1)
        .stdout("");
    let line = format!("sigsend: sending signal to {token} failed: Operation not permitted\n");
    assert!(stderr(&refused).starts_with(&line), "{}", stderr(&refused));
    assert!(
        stderr(&refused).contains("belongs to root"),
        "{}",
        stderr(&refused)
    );
    foreign.assert_alive();
}

#[test]
fn expect_takes_command_name_executable_or_first_argument() {
    let cat = program("cat")
        .expect("cat")
        .canonicalize()
        .expect("it is there");
    let executable = cat
        .file_name()
        .and_then(|name| name.to_str())
        .expect("UTF-8")
        .to_owned();
    let (command, argument) = (unique("comm"), unique("argument"));
    let target = victim()
        .named(&command)
        .argv0(format!("/opt/x/{argument}"))
        .sleeping();
    for name in [&command, &argument, &executable] {
        sigsend()
            .args(["-0", "--expect", name, &target.arg()])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        sigsend()
            .args(["--alive", "--expect", name, &target.arg()])
            .assert()
            .success();
    }
    for name in [
        "cron",
        &command[..4],
        &format!("{command}x"),
        &command.to_uppercase(),
    ] {
        let refused = sigsend()
            .args(["-KILL", "--expect", name, &target.arg()])
            .assert()
            .code(1)
            .stdout("");
        assert_eq!(
            stderr(&refused),
            format!("sigsend: {} ({command}) is not {name}\n", target.pid())
        );
        sigsend()
            .args(["--alive", "--expect", name, &target.arg()])
            .assert()
            .code(1);
    }
    target.assert_alive();
    sigsend()
        .args(["--expect", &executable, &target.arg()])
        .assert()
        .success();
    target.assert_killed_by(15);
}

#[test]
fn a_name_whose_processes_are_all_refused_is_reported_once() {
    let name = unique("name");
    let target = victim().named(&name).sleeping();
    let refused = sigsend()
        .args(["--expect", "dog", &name])
        .assert()
        .code(1)
        .stdout("");
    assert_eq!(
        stderr(&refused),
        format!("sigsend: {} ({name}) is not dog\n", target.pid())
    );
    target.assert_alive();
}

#[test]
fn expect_cannot_be_empty_or_a_path() {
    let nameless = victim().argv0("").sleeping();
    for name in ["", "/bin/cat", "bin/cat", "cat/", "/"] {
        let refused = sigsend()
            .args(["-KILL", "--expect", name, &nameless.arg()])
            .assert()
            .code(1)
            .stdout("");
        assert!(
            stderr(&refused).starts_with(&format!("sigsend: '{name}': ")),
            "{}",
            stderr(&refused)
        );
        // No process can have such a name, so it is an error and not "gone".
        sigsend()
            .args(["--alive", "--expect", name, &nameless.arg()])
            .assert()
            .code(2);
    }
    nameless.assert_alive();
}

#[test]
fn expect_knows_a_deleted_executable_by_its_old_name() {
    let (dir, name) = (tempdir(), unique("upgraded"));
    let binary = dir.path().join(&name);
    let mut target = copied_program(&binary);
    fs::remove_file(&binary).expect("it is ours");
    assert_eq!(target.status_field("Name"), "other");
    sigsend()
        .args(["--alive", "--expect", &name, &target.arg()])
        .assert()
        .success();
    let deleted = format!("{name} (deleted)");
    sigsend()
        .args(["-KILL", "--expect", &deleted, &target.arg()])
        .assert()
        .code(1);
    target.assert_alive();
    sigsend()
        .args(["-HUP", "--expect", &name, &target.arg()])
        .assert()
        .success();
    target.reap();
}

/// A sleeping process whose executable alone has the name of `binary`.
fn copied_program(binary: &Path) -> Victim {
    // Copied by another process: a descriptor open for writing here could make the program "busy".
    let cat = program("cat").expect("cat");
    assert!(
        Command::new("cp")
            .arg(cat)
            .arg(binary)
            .status()
            .expect("cp starts")
            .success()
    );
    let link = binary.with_file_name("other");
    std::os::unix::fs::symlink(binary, &link).expect("a link in a directory of ours");
    let mut target = victim().argv0("another").command(Command::new(link));
    target.write_line("ready");
    assert_eq!(target.read_line(), "ready");
    target
}

#[test]
fn a_process_that_cannot_be_verified_is_refused_but_not_gone() {
    if !may_change_user() {
        return skip("needs root");
    }
    let (dir, name, user) = (tempdir(), unique("secret"), Unprivileged::new());
    let target = copied_program(&dir.path().join(&name));
    sigsend()
        .args(["--alive", "--expect", &name, &target.arg()])
        .assert()
        .success();
    // An executable that cannot be read may be the expected one.
    let unclear = user
        .sigsend()
        .args(["--alive", "--expect", &name, &target.arg()])
        .assert()
        .code(2);
    assert_eq!(
        stderr(&unclear),
        format!(
            "sigsend: {} cannot be verified to be {name}\n",
            target.pid()
        )
    );
    user.sigsend()
        .args(["--alive", "--expect", "another", &target.arg()])
        .assert()
        .success();
    user.sigsend()
        .args(["-0", "--expect", &name, &target.arg()])
        .assert()
        .code(1);
    target.assert_alive();
}

#[test]
fn expect_knows_a_process_without_its_main_thread() {
    let name = unique("undead");
    let (mut target, _) = leaderless(&name);
    let binary = std::env::current_exe().expect("a running test has a path");
    let executable = binary
        .file_name()
        .and_then(|name| name.to_str())
        .expect("UTF-8");
    for expected in [name.as_str(), executable] {
        sigsend()
            .args(["--alive", "--expect", expected, &target.arg()])
            .assert()
            .success()
            .stderr("");
    }
    sigsend()
        .args(["--alive", "--expect", "cron", &target.arg()])
        .assert()
        .code(1);
    sigsend()
        .args(["-TERM", "--expect", executable, &target.arg()])
        .assert()
        .success();
    target.reap();
}

#[test]
fn a_thread_is_no_process() {
    let (thread, _release) = idle_thread();
    let (thread, process) = (thread.to_string(), std::process::id());
    let dir = tempdir();
    let file = dir.file("x.pid", &thread);
    sigsend()
        .args(["-0", &thread])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    for pinned in [
        &["--wait", "-0"][..],
        &["--expect", "cli"],
        &["-r", "-HUP"],
        &["--timeout", "9s", "KILL"],
        &["--tree"],
    ] {
        let refused = sigsend()
            .args(pinned)
            .arg(&thread)
            .assert()
            .code(1)
            .stdout("");
        let line = format!(
            "sigsend: sending signal to {thread} failed: {thread} is a thread of {process}\n"
        );
        assert_eq!(
            stderr(&refused),
            format!("{line}did you mean {process}?\n"),
            "{pinned:?}"
        );
    }
    for asked in ["--id", "-p"] {
        let refused = sigsend().args([asked, &thread]).assert().code(1).stdout("");
        let said = format!("sigsend: {thread} is a thread of {process}\ndid you mean {process}?\n");
        assert_eq!(stderr(&refused), said);
    }
    let refused = sigsend()
        .args(["-0", "--pidfile"])
        .arg(&file)
        .assert()
        .code(1)
        .stdout("");
    assert!(
        stderr(&refused).contains(&format!("{thread} is a thread of {process}")),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn a_process_named_in_several_ways_gets_a_signal_once() {
    let (name, dir) = (unique("many"), tempdir());
    let mut target = Recorder::of(victim().named(&name));
    let (pid, token) = (target.arg(), token(&target.arg()));
    let file = dir.file("x.pid", format!("{pid} {token}\n{pid}\n"));
    let file = file.to_str().expect("UTF-8");

    // Realtime signals, since the others do not queue.
    sigsend()
        .args(["-RTMIN", &pid, &pid, &format!("0{pid}")])
        .assert()
        .success();
    assert_eq!(
        target.signals(),
        [34, 34, 34],
        "typed plainly, each is one kill(2)"
    );

    let ways: [&[&str]; 9] = [
        &[&pid, &token],
        &[&token, &token],
        &[&name, &pid, &pid],
        &[&name, &name],
        &[&pid, "--pidfile", file],
        &[&pid, &token, &name, "--pidfile", file],
        &[&pid, &pid, "--expect", &name],
        &[&pid, &pid, "-r"],
        &[&pid, &pid, "--tree"],
    ];
    for way in ways {
        sigsend()
            .arg("-RTMIN+1")
            .args(way)
            .assert()
            .success()
            .stdout("")
            .stderr("");
        assert_eq!(target.signals(), [35], "{way:?}");
    }
    sigsend()
        .args(["-p", &pid, &token, &name, "--pidfile", file])
        .assert()
        .success()
        .stdout(format!("{pid}\n"));
    sigsend()
        .args(["--id", &pid, &token, &name, "--pidfile", file])
        .assert()
        .success()
        .stdout(format!("{token}\n"));
    let gone = Victim::gone().to_string();
    sigsend()
        .args(["-WINCH", &pid, &token, &gone, "--pidfile", file])
        .assert()
        .code(64);
    assert_eq!(target.signals(), [28]);
}

#[test]
fn a_queued_value_reaches_a_pinned_process() {
    let mut target = Recorder::new();
    let token = token(&target.arg());
    sigsend()
        .args(["-RTMIN+2", "-q", "-5", &token])
        .assert()
        .success();
    let heard: Vec<_> = target
        .received()
        .iter()
        .map(|heard| (heard.signal, heard.value))
        .collect();
    assert_eq!(heard, [(36, -5)]);
}

#[test]
fn with_require_handler_only_processes_that_catch_a_signal_get_it() {
    let mut catching = Recorder::new();
    let bare = Victim::sleeping();
    let ignoring = Victim::shell("trap '' HUP; echo ready; read line");
    let (name, dir) = (unique("trap"), tempdir());
    sigsend()
        .args(["-r", "-HUP", &catching.arg()])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    assert_eq!(catching.signals(), [1]);

    let refused = sigsend()
        .args(["-r", "-HUP", &bare.arg()])
        .assert()
        .code(1)
        .stdout("");
    assert_eq!(
        stderr(&refused),
        format!("sigsend: {} (cat) does not catch HUP\n", bare.pid())
    );
    sigsend()
        .args(["-r", "-HUP", &ignoring.arg()])
        .assert()
        .code(1);
    sigsend()
        .args(["-r", "-HUP", &bare.arg(), &catching.arg(), &ignoring.arg()])
        .assert()
        .code(64);
    assert_eq!(catching.signals(), [1]);

    let mut daemon = Recorder::of(victim().named(&name));
    let worker = victim().named(&name).sleeping();
    sigsend().args(["-r", "-HUP", &name]).assert().code(64);
    assert_eq!(daemon.signals(), [1]);
    let file = dir.file("x.pid", format!("{} {}", worker.pid(), daemon.arg()));
    sigsend()
        .args(["-r", "-HUP", "--pidfile"])
        .arg(&file)
        .assert()
        .code(64);
    assert_eq!(daemon.signals(), [1]);
    for useless in ["-0", "-KILL", "-STOP"] {
        sigsend()
            .args(["-r", useless, &daemon.arg()])
            .assert()
            .code(1);
    }
    daemon.assert_untouched();
    [bare, ignoring, worker]
        .iter()
        .for_each(Victim::assert_alive);
}

#[test]
fn a_process_that_is_gone_when_its_refusal_is_checked_is_reported_as_gone() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        let checks = [["-r", "-HUP"], ["--expect", "dog"]];
        for (check, wait) in checks
            .into_iter()
            .flat_map(|check| [(check, false), (check, true)])
        {
            let mut args = check.to_vec();
            args.extend(wait.then_some("--wait"));
            let victim = Victim::sleeping();
            let pid = victim.arg();
            let checks = "trace=poll,openat,readlink,pidfd_open";
            let trace = strace(checks, &[&args[..], &[&pid]].concat()).expect("strace is usable");
            for point in calls_after(&trace, "pidfd_open") {
                let mut victim = Victim::sleeping();
                let pid = victim.arg();
                let held = Held::before(&point, &[&args[..], &[&pid]].concat());
                kill(Pid::from_raw(victim.pid()), Signal::SIGKILL).expect("it is ours");
                victim.reap();
                let output = held.go();
                let gone = format!("sigsend: sending signal to {pid} failed: No such process\n");
                let expected = if wait {
                    (Some(0), "")
                } else {
                    (Some(1), &*gone)
                };
                assert_eq!(
                    (
                        output.status.code(),
                        &*String::from_utf8_lossy(&output.stderr)
                    ),
                    expected,
                    "{point:?}"
                );
            }
        }
    });
}

#[test]
fn only_its_own_handlers_count_with_an_unprivileged_caller() {
    if !may_change_user() {
        return skip("needs root");
    }
    let user = Unprivileged::new();
    let (mut foreign, mut own) = (Recorder::new(), Recorder::of(victim().owned_by(NOBODY)));
    let partly = user
        .sigsend()
        .args(["-r", "-HUP", &foreign.arg(), &own.arg()])
        .assert()
        .code(64);
    assert!(
        stderr(&partly).contains("Operation not permitted"),
        "{}",
        stderr(&partly)
    );
    assert_eq!(own.signals(), [1]);
    foreign.assert_untouched();
}
