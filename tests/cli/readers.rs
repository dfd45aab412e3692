//! Slow or missing readers of the output: they delay no signal, and lost lines are reported.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

use crate::support::{
    Recorder, SIGSEND, STUBBORN, Terminal, Victim, eventually, in_pid_namespace, raw_sigsend,
    screen, strace, victim,
};

/// The smallest pipe.
const PIPE: usize = 4096;

/// A pipe that takes nothing until it is read from: read end, write end.
fn full_pipe() -> (File, OwnedFd) {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).expect("a pipe");
    fcntl(&write, FcntlArg::F_SETPIPE_SZ(4096)).expect("an empty pipe can be small");
    File::from(write.try_clone().expect("a descriptor"))
        .write_all(&[b'x'; PIPE])
        .expect("it fits");
    (read.into(), write)
}

/// What was written to the pipe after it was filled.
fn drain(mut pipe: File) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).expect("text");
    text.split_off(PIPE)
}

#[test]
fn a_slow_reader_delays_no_signal_and_gets_all_output() {
    for voice in ["-v", "--json"] {
        let stubborn = Victim::shell(STUBBORN);
        let (reader, pipe) = full_pipe();
        let mut command = raw_sigsend();
        command
            .args([voice, "--grace", "100ms", &stubborn.arg()])
            .stdout(pipe);
        let mut child = command.spawn().expect("sigsend starts");
        drop(command);
        stubborn.assert_killed_by(9);
        assert_eq!(
            child.try_wait().expect("a child"),
            None,
            "sigsend was not blocked by the full pipe"
        );
        let said = drain(reader);
        assert_eq!(child.wait().expect("a child").code(), Some(0));
        let words = ["TERM", "CONT", "KILL", "killed", "summary"];
        let lines = if voice == "-v" { 4 } else { 5 };
        assert_eq!(said.lines().count(), lines, "{said}");
        assert!(
            said.lines()
                .zip(words)
                .all(|(line, word)| line.contains(word)),
            "{said}"
        );
    }
}

#[test]
fn unread_errors_delay_no_signal() {
    let gone = Victim::gone().to_string();
    let stubborn = Victim::shell(STUBBORN);
    let (reader, pipe) = full_pipe();
    let mut command = raw_sigsend();
    command
        .args(["--timeout", "100ms", "KILL", &gone, &stubborn.arg()])
        .stderr(pipe);
    let mut child = command.spawn().expect("sigsend starts");
    drop(command);
    stubborn.assert_killed_by(9);
    let said = drain(reader);
    assert_eq!(child.wait().expect("a child").code(), Some(64));
    assert_eq!(
        said,
        format!("sigsend: sending signal to {gone} failed: No such process\n")
    );
}

#[test]
fn a_paused_terminal_delays_no_signal() {
    let stubborn = Victim::shell(STUBBORN);
    let Some(mut terminal) = Terminal::new(100) else {
        return;
    };
    // Ctrl-S.
    terminal.type_in("\x13");
    terminal.run(&[SIGSEND, "-v", "--grace", "700ms", &stubborn.arg()]);
    stubborn.assert_killed_by(9);
    terminal.type_in("\x11");
    let (written, status) = terminal.end();
    assert_eq!(status.code(), Some(0), "{written:?}");
    let words = ["sent TERM", "sent CONT", "sent KILL", "was killed by KILL"];
    let lines = screen(written);
    assert_eq!(lines.len(), words.len(), "{written:?}");
    assert!(
        lines
            .iter()
            .zip(words)
            .all(|(line, word)| line.contains(word)),
        "{written:?}"
    );
}

#[test]
fn ctrl_c_ends_a_wait_on_a_paused_terminal() {
    let mut stubborn = Recorder::new();
    let Some(mut terminal) = Terminal::new(100) else {
        return;
    };
    terminal.type_in("\x13");
    terminal.run(&[SIGSEND, "-v", "--grace", "5m", &stubborn.arg()]);
    let mut heard = Vec::new();
    eventually("the signals", || {
        heard.extend(stubborn.signals());
        heard == [15, 18]
    });
    terminal.type_in("\x03");
    let (written, status) = terminal.end();
    assert_eq!(status.signal(), Some(2), "{status} {written:?}");
    stubborn.assert_untouched();
}

#[test]
fn output_lines_dropped_while_signals_are_sent_are_counted_and_reported() {
    let deaf = Victim::shell("trap '' USR1; echo ready; read -r _");
    // Each event names the target as it was typed.
    let typed = format!("{:05000}", deaf.pid());
    let mut args = vec!["--json", "-USR1"];
    for _ in 1..1000 {
        args.extend(["--timeout", "0", "USR1"]);
    }
    args.extend(["--timeout", "0", "KILL", "--wait", &typed]);
    let (reader, pipe) = full_pipe();
    let mut command = raw_sigsend();
    command.args(&args).stdout(pipe).stderr(Stdio::piped());
    let child = command.spawn().expect("sigsend starts");
    drop(command);
    deaf.assert_killed_by(9);
    let said = drain(reader);
    let output = child.wait_with_output().expect("a child");
    let written = said.lines().count();
    // A thousand times USR1, once KILL, the end and the summary.
    let dropped = 1003 - written;
    assert!((800..1000).contains(&written), "{written}");
    assert!(
        said.lines()
            .last()
            .is_some_and(|line| line.contains("\"summary\"")),
        "the last line"
    );
    let words = format!(
        "sigsend: write error: {dropped} lines were dropped, since nobody read them in time\n"
    );
    assert_eq!(
        (
            output.status.code(),
            &*String::from_utf8_lossy(&output.stderr)
        ),
        (Some(1), &*words)
    );
}

#[test]
fn listing_output_waits_for_its_reader_and_is_complete() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo ready; read -r _", "sh", &"x".repeat(100_000)]);
    let mut target = victim().command(command);
    assert_eq!(target.read_line(), "ready");
    let pid = target.arg();
    let mut args = vec!["--json", "--dry-run", "-0"];
    args.resize(53, &pid);
    let (reader, pipe) = full_pipe();
    let mut command = raw_sigsend();
    let mut child = command
        .args(&args)
        .stdout(pipe)
        .spawn()
        .expect("sigsend starts");
    drop(command);
    let said = drain(reader);
    assert!(said.len() > 4 << 20, "{}", said.len());
    assert_eq!(said.lines().count(), 50 + 1);
    assert_eq!(child.wait().expect("a child").code(), Some(0));
}

#[test]
fn output_is_written_before_the_own_group_is_signalled() {
    in_pid_namespace(|| {
        let target = Victim::sleeping();
        let mut command = raw_sigsend();
        command.args(["-v", &target.arg(), "0"]);
        let mut sender = victim().command(command);
        assert_eq!(
            sender.read_line(),
            format!("sent TERM (15) to {} (cat)", target.pid())
        );
        sender.assert_killed_by(15);
        target.assert_killed_by(15);

        let target = Victim::sleeping();
        let (_reader, pipe) = full_pipe();
        let mut command = raw_sigsend();
        command.args(["-v", &target.arg(), "0"]).stdout(pipe);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let status = command
            .spawn()
            .expect("sigsend starts")
            .wait()
            .expect("a child");
        assert_eq!(
            status.signal(),
            Some(15),
            "a slow reader delayed the signal: {status}"
        );
        target.assert_killed_by(15);
    });
}

#[test]
fn a_wait_without_output_starts_no_thread() {
    for line in [&["--wait"][..], &["-v"], &["--grace", "5s"]] {
        let victim = Victim::sleeping();
        let pid = victim.arg();
        let args: Vec<&str> = line.iter().copied().chain([&*pid]).collect();
        let Some(trace) = strace("trace=clone,clone3,fork,vfork", &args) else {
            return;
        };
        assert!(trace.output.status.success());
        assert!(trace.calls.is_empty(), "{line:?} {:#?}", trace.calls);
    }
}

#[test]
fn the_writer_thread_takes_no_signal() {
    let stubborn = Victim::shell(STUBBORN);
    let mut command = raw_sigsend();
    command.args(["-v", "--grace", "5m", &stubborn.arg()]);
    let mut patient = victim().command(command);
    while !patient.read_line().starts_with("sent CONT") {}
    let tasks = fs::read_dir(format!("/proc/{}/task", patient.pid())).expect("it waits");
    let tasks: Vec<String> = tasks
        .flatten()
        .map(|task| task.file_name().to_string_lossy().into_owned())
        .collect();
    let threads: Vec<&String> = tasks
        .iter()
        .filter(|task| **task != patient.arg())
        .collect();
    assert_eq!(threads.len(), 1, "{tasks:?}");
    let status = fs::read_to_string(format!(
        "/proc/{}/task/{}/status",
        patient.pid(),
        threads[0]
    ))
    .expect("it waits");
    let blocked = status
        .lines()
        .find_map(|line| line.strip_prefix("SigBlk:\t"))
        .expect("a mask");
    let blocked = u64::from_str_radix(blocked, 16).expect("a mask");
    for signal in [1, 2, 3, 15, 20, 21, 22] {
        assert!(blocked >> (signal - 1) & 1 == 1, "{signal} {blocked:x}");
    }
}

#[test]
fn another_process_may_make_the_output_non_blocking() {
    let stubborn = Victim::shell(STUBBORN);
    let (reader, pipe) = full_pipe();
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a pipe");
    let mut command = raw_sigsend();
    command
        .args(["-v", "--grace", "100ms", &stubborn.arg()])
        .stdout(pipe);
    let mut child = command.spawn().expect("sigsend starts");
    drop(command);
    stubborn.assert_killed_by(9);
    assert_eq!(drain(reader).lines().count(), 4);
    assert_eq!(child.wait().expect("a child").code(), Some(0));
}

#[test]
fn errors_that_cannot_be_written_make_the_status_a_failure() {
    let target = Victim::sleeping();
    let gone = Victim::gone().to_string();
    let mut command = Command::new(SIGSEND);
    command.args([&target.arg(), &gone]);
    command.stderr(
        File::options()
            .write(true)
            .open("/dev/full")
            .expect("a device"),
    );
    assert_eq!(command.status().expect("sigsend starts").code(), Some(1));
    target.assert_killed_by(15);
}
