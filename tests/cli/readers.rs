//! Slow or missing readers of the output: they delay no signal, and lost lines are reported.

use std::io::{Read, Write};
use std::process::Child;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

use crate::support::prelude::*;
use crate::support::screen;

/// The smallest pipe.
const PIPE: usize = 4096;

/// A pipe that takes nothing until it is read from: read end, write end.
fn full_pipe() -> (File, OwnedFd) {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).expect("a pipe");
    fcntl(&write, FcntlArg::F_SETPIPE_SZ(4096)).expect("an empty pipe can be small");
    let mut filler = File::from(write.try_clone().expect("a descriptor"));
    filler.write_all(&[b'x'; PIPE]).expect("it fits");
    (read.into(), write)
}

/// What was written to the pipe after it was filled.
fn drain(mut pipe: File) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).expect("text");
    text.split_off(PIPE)
}

/// sigsend with a full pipe as its standard output, and the end to read from.
fn blocked(line: &str, flags: OFlag) -> (Child, File) {
    let (reader, pipe) = full_pipe();
    fcntl(&pipe, FcntlArg::F_SETFL(flags)).expect("a pipe");
    let mut command = raw_sigsend();
    command.args(words(line)).stdout(pipe);
    command.stderr(Stdio::piped());
    (command.spawn().expect("sigsend starts"), reader)
}

#[track_caller]
fn assert_lines<'a>(text: &str, lines: impl IntoIterator<Item = &'a str>, words: &[&str]) {
    let lines: Vec<&str> = lines.into_iter().collect();
    let mut both = lines.iter().zip(words);
    let fit = both.all(|(line, word)| line.contains(word));
    assert!(lines.len() == words.len() && fit, "{text:?}");
}

#[test]
fn a_slow_reader_delays_no_signal_and_gets_all_output() {
    for (voice, end) in [("-v", 4), ("--json", 5)] {
        // Another process may make the output non-blocking.
        for flags in [OFlag::empty(), OFlag::O_NONBLOCK] {
            let stubborn = Victim::shell(STUBBORN);
            let (mut child, reader) = blocked(&format!("{voice} --grace 100ms {stubborn}"), flags);
            stubborn.assert_killed_by(9);
            let is_there = child.try_wait().expect("a child").is_none();
            assert!(is_there, "sigsend was not blocked by the full pipe");
            let told = drain(reader);
            assert_eq!(child.wait().expect("a child").code(), Some(0));
            let words = ["TERM", "CONT", "KILL", "killed", "summary"];
            assert_lines(&told, told.lines(), &words[..end]);
        }
    }
}

#[test]
fn unread_errors_delay_no_signal() {
    let (gone, stubborn) = (Victim::gone(), Victim::shell(STUBBORN));
    let (reader, pipe) = full_pipe();
    let mut command = raw_sigsend();
    let line = format!("--timeout 100ms KILL {gone} {stubborn}");
    command.args(words(&line)).stderr(pipe);
    let mut child = command.spawn().expect("sigsend starts");
    drop(command);
    stubborn.assert_killed_by(9);
    let line = format!("sigsend: sending signal to {gone} failed: No such process\n");
    assert_eq!(drain(reader), line);
    assert_eq!(child.wait().expect("a child").code(), Some(64));
}

#[test]
fn a_paused_terminal_delays_no_signal() {
    let stubborn = Victim::shell(STUBBORN);
    let mut terminal = Terminal::new(24, 100);
    // Ctrl-S.
    terminal.type_in("\x13");
    terminal.run(&format!("{} -v --grace 700ms {stubborn}", *SIGSEND));
    stubborn.assert_killed_by(9);
    terminal.type_in("\x11");
    let (written, status) = terminal.end();
    assert_eq!(status.code(), Some(0), "{written:?}");
    let words = ["sent TERM", "sent CONT", "sent KILL", "was killed by KILL"];
    assert_lines(written, screen(written).iter().map(String::as_str), &words);
}

#[test]
fn ctrl_c_ends_a_wait_on_a_paused_terminal() {
    let mut stubborn = Recorder::new();
    let mut terminal = Terminal::new(24, 100);
    terminal.type_in("\x13");
    terminal.run(&format!("{} -v --grace 5m {stubborn}", *SIGSEND));
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
    let steps = "--timeout 0 USR1 ".repeat(999);
    let steps = format!("{steps} --timeout 0 KILL");
    let line = format!("--json -USR1 {steps} --wait {:05000}", deaf.pid());
    let (child, reader) = blocked(&line, OFlag::empty());
    deaf.assert_killed_by(9);
    let told = drain(reader);
    let written = told.lines().count();
    assert!((800..1000).contains(&written), "{written}");
    contains!(told.lines().last().unwrap_or_default(), "\"summary\"");
    // A thousand times USR1, once KILL, the end and the summary.
    let dropped = 1003 - written;
    let dropped = format!("{dropped} lines were dropped, since nobody read them in time");
    let output = child.wait_with_output().expect("a child");
    let done = Done::of("a thousand steps", output);
    done.fails(1, format!("sigsend: write error: {dropped}\n"));
}

#[test]
fn a_list_waits_for_its_reader() {
    for line in ["-l", "-l --", "-t", "-L"] {
        let (mut child, reader) = blocked(line, OFlag::empty());
        let pid = i32::try_from(child.id()).expect("a PID");
        let exe = || fs::read_link(format!("/proc/{pid}/exe"));
        let is_sigsend = || exe().is_ok_and(|exe| exe.as_os_str() == *SIGSEND);
        eventually("a writer that waits", || is_sigsend() && state(pid) == 'S');
        assert_eq!(drain(reader), run!("{line}").told(), "{line}");
        assert_eq!(child.wait().expect("a child").code(), Some(0));
    }
}

#[test]
fn listing_output_waits_for_its_reader_and_is_complete() {
    let mut command = sh("echo ready; read -r _");
    let target = victim().ready(command.arg("x".repeat(100_000)));
    let targets = format!("{target} ").repeat(50);
    let (mut child, reader) = blocked(&format!("--json --dry-run -0 {targets}"), OFlag::empty());
    let told = drain(reader);
    assert!(told.len() > 4 << 20, "{}", told.len());
    assert_eq!(told.lines().count(), 50 + 1);
    assert_eq!(child.wait().expect("a child").code(), Some(0));
}

#[test]
fn output_is_written_before_the_own_group_is_signalled() {
    in_pid_namespace!();
    let target = Victim::sleeping();
    let mut sender = background!("-v {target} 0");
    let got = sender.read_line();
    assert_eq!(got, format!("sent TERM (15) to {target} (cat)"));
    sender.assert_killed_by(15);
    target.assert_killed_by(15);
    // A slow reader does not delay the signal.
    let target = Victim::sleeping();
    let (_reader, pipe) = full_pipe();
    let mut command = raw_sigsend();
    command.args(["-v", &target.arg(), "0"]).stdout(pipe);
    command.process_group(0);
    let status = command.status().expect("sigsend starts");
    assert_eq!(status.signal(), Some(15), "{status}");
    target.assert_killed_by(15);
}

#[test]
fn a_wait_without_output_starts_no_thread() {
    for line in ["--wait", "-v", "--grace 5s"] {
        let victim = Victim::sleeping();
        let trace = traced!("trace=clone,clone3,fork,vfork", "{line} {victim}");
        trace.done.code(0);
        assert!(trace.calls.is_empty(), "{line:?} {:#?}", trace.calls);
    }
}

#[test]
fn the_writer_thread_takes_no_signal() {
    let stubborn = Victim::shell(STUBBORN);
    let mut patient = background!("-v --grace 5m {stubborn}");
    while !patient.read_line().starts_with("sent CONT") {}
    let tasks = fs::read_dir(format!("/proc/{patient}/task")).expect("it waits");
    let tasks = tasks.flatten();
    let is_other = |task: &fs::DirEntry| *task.file_name() != *patient.arg();
    let threads: Vec<_> = tasks.filter(is_other).collect();
    assert_eq!(threads.len(), 1, "{threads:?}");
    let thread = threads[0].file_name().to_string_lossy().parse();
    let blocked = mask(thread.expect("a thread ID"), "SigBlk");
    for signal in [1, 2, 3, 15, 20, 21, 22] {
        assert!(blocked >> (signal - 1) & 1 == 1, "{signal} {blocked:x}");
    }
}

#[test]
fn errors_that_cannot_be_written_make_the_status_a_failure() {
    let (target, gone) = (Victim::sleeping(), Victim::gone());
    call!(redirected("2>/dev/full"), "{target} {gone}").code(1);
    target.assert_killed_by(15);
}
