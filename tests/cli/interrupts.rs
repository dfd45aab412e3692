//! Ctrl-C and other terminal signals during a wait, with and without a terminal, and job control.

use crate::support::prelude::*;
use crate::support::screen;

#[test]
fn ctrl_c_ends_a_wait_at_once_and_clears_its_line() {
    let stubborn = Victim::shell(STUBBORN);
    let mut terminal = Terminal::running(&format!("{} --grace 5m {stubborn}", *SIGSEND));
    let written = terminal.next_until(&format!("waiting for {stubborn} (sh)"));
    assert!(!written.contains('\n'), "{written:?}");
    terminal.type_in("\x03");
    let (written, status) = terminal.end();
    assert_eq!(status.signal(), Some(2), "{status}");
    assert!(screen(written).is_empty(), "{written:?}");
    stubborn.assert_alive();
}

#[test]
fn the_progress_line_is_cleared_when_the_wait_is_over() {
    let mut other = Victim::shell("echo ready; read word");
    let mut terminal = Terminal::running(&format!("{} -v -0 --wait {other}", *SIGSEND));
    terminal.next_until(&format!("waiting for {other} (sh)"));
    other.write_line("exit");
    let (written, status) = terminal.end();
    assert_eq!(status.code(), Some(0), "{status}");
    let lines = screen(written);
    let told = format!("{other} (sh) may be signalled");
    assert_eq!(lines[0], told, "{written:?}");
    let ended = format!("{other} (sh) exited with status 0 after ");
    let holds = lines[1].starts_with(&ended) && lines.len() == 2;
    assert!(holds, "{written:?}");
    // A wait that is over soon shows nothing.
    let victim = Victim::sleeping();
    let mut terminal = Terminal::running(&format!("{} --wait {victim}", *SIGSEND));
    let (written, status) = terminal.end();
    assert_eq!((written, status.code()), ("", Some(0)));
}

#[test]
fn an_interrupt_ends_a_wait_by_that_signal() {
    let stubborn = Victim::shell(STUBBORN);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut patient = background!("-v --grace 5m {stubborn}");
        while !patient.read_line().starts_with("sent CONT") {}
        send(patient.pid(), signal);
        patient.assert_killed_by(signal as i32);
    }
    stubborn.assert_alive();
}

#[test]
fn a_signal_ignored_at_the_start_stays_ignored() {
    let script = "trap '' INT HUP; \"$0\" -v --grace 1s \"$1\" & echo \"its PID is $! \"
        wait; echo status $?";
    let pid_in = |line: &str| {
        let (_, pid) = line.split_once("its PID is ").expect("the shell prints it");
        pid.trim().parse::<i32>().expect("a PID")
    };
    let interrupt = |pid| {
        send(pid, Signal::SIGINT);
        send(pid, Signal::SIGHUP);
    };
    let stubborn = Victim::shell(STUBBORN);
    let mut command = sh(script);
    command.arg(stubborn.arg());
    let mut shell = victim().command(command);
    let (mut pid, mut is_under_way) = (None, false);
    while pid.is_none() || !is_under_way {
        let line = shell.read_line();
        pid = pid.or(line.starts_with("its PID").then(|| pid_in(&line)));
        is_under_way |= line.starts_with("sent CONT");
    }
    interrupt(pid.expect("it was read"));
    while shell.read_line() != "status 0" {}
    stubborn.assert_killed_by(9);

    let stubborn = Victim::shell(STUBBORN);
    let dir = tempdir();
    let script = dir.arg("script", script.replace("$0", *SIGSEND));
    let mut terminal = Terminal::running(&format!("sh {script} {stubborn}"));
    let written = terminal.next_until("waiting for");
    let line = written.lines().find(|line| line.contains("its PID is"));
    interrupt(pid_in(line.expect("the shell prints it")));
    terminal.next_until("status 0");
    stubborn.assert_killed_by(9);
}

/// An interactive shell; without editing all control sequences come from sigsend.
fn shell() -> Option<Terminal> {
    if program("bash").is_none() {
        skip("no bash");
        return None;
    }
    Some(Terminal::running("bash --norc --noprofile --noediting -i"))
}

#[test]
fn a_shell_does_not_take_its_job_for_stopped() {
    let Some(mut terminal) = shell() else { return };
    let job = "trap \"echo heard\"\"-hup\" HUP; echo job $$ is
        while :; do sleep 60 & wait $!; done";
    terminal.type_in(&format!("sh -c '{job}'\n"));
    let written = terminal.next_until(" is\r\n");
    let (_, rest) = written.rsplit_once("job ").expect("a PID");
    let job: i32 = rest.trim_end_matches(" is\r\n").parse().expect("a PID");
    eventually("the job to sleep", || !children(job).is_empty());
    run!("--tree -HUP {job}").code(0);
    terminal.next_until("heard-hup");
    eventually("the job to sleep", || !children(job).is_empty());
    run!("--tree --grace 15s {job}").code(0);
    terminal.type_in("echo the shell goes'' on; jobs; exit 4\n");
    let (written, status) = terminal.end();
    assert_eq!(status.code(), Some(4), "{written:?}");
    let goes_on = written.contains("the shell goes on");
    assert!(goes_on && !written.contains("Stopped"), "{written:?}");
}

#[test]
fn without_a_terminal_no_signal_is_blocked() {
    let victim = Victim::sleeping();
    let trace = traced!("trace=rt_sigprocmask,signalfd4", "--wait {victim}");
    let blocks = |call: &String| call.contains("SIG_BLOCK") && call.contains("INT");
    assert!(!trace.calls.iter().any(blocks), "{:#?}", trace.calls);
}

/// Runs `sigsend args` in a shell, stops it once its progress line is shown, and continues it in
/// the background for the second that the next line would take.
fn in_the_background(terminal: &mut Terminal, args: &str) {
    let sigsend = *SIGSEND;
    terminal.type_in(&format!("{sigsend} {args}\n"));
    terminal.next_until("waiting for");
    terminal.type_in("\x1a");
    terminal.next_until("Stopped");
    let stubborn = Victim::shell(STUBBORN);
    let waits = format!("{sigsend} -0 --within 1s {stubborn} 2>/dev/null");
    terminal.type_in(&format!("bg; {waits}; echo it passed'':\n"));
    terminal.next_until("it passed:");
}

#[test]
fn ctrl_z_leaves_no_progress_line_behind_and_fg_draws_it_again() {
    let stubborn = Victim::shell(STUBBORN);
    let Some(mut terminal) = shell() else { return };
    let waiting = format!("waiting for {stubborn} (sh)");
    terminal.type_in(&format!("{} --grace 5m {stubborn}\n", *SIGSEND));
    let mut before = terminal.next_until(&waiting);
    terminal.type_in("\x1a");
    before += &terminal.next_until("Stopped");
    assert!(!screen(&before).concat().contains("waiting"), "{before:?}");
    terminal.type_in("fg\n");
    terminal.next_until(&waiting);
    terminal.type_in("\x03");
    terminal.next_until("$ ");
    terminal.type_in("echo status $?; exit 4\n");
    terminal.next_until("status 130");
    let (written, status) = terminal.end();
    assert_eq!(status.code(), Some(4), "{written:?}");
    stubborn.assert_alive();
}

#[test]
fn a_background_job_writes_no_progress_line() {
    for mode in ["-tostop", "tostop"] {
        let mut other = Victim::shell("echo ready; read word");
        let Some(mut terminal) = shell() else { return };
        terminal.type_in(&format!("stty {mode}\n"));
        in_the_background(&mut terminal, &format!("-0 --wait {other}"));
        other.write_line("exit");
        terminal.type_in("wait; jobs; echo it en''ded; exit 4\n");
        let (written, status) = terminal.end();
        assert_eq!(status.code(), Some(4), "{written:?}");
        let (_, since) = written.split_once("Stopped").expect("it was read");
        contains!(since, "it ended");
        for progress in ["Stopped", "waiting for", "\x1b[2K"] {
            assert!(!since.contains(progress), "{mode}: {written:?}");
        }
    }
}

#[test]
fn with_tostop_a_background_job_writes_when_it_is_in_the_foreground_again() {
    let stubborn = Victim::shell(STUBBORN);
    let Some(mut terminal) = shell() else { return };
    terminal.type_in("stty tostop\n");
    let call = format!("-v --timeout 3s KILL --wait {stubborn}");
    in_the_background(&mut terminal, &call);
    stubborn.assert_killed_by(9);
    terminal.type_in("echo before'' fg; wait; fg; echo status $?; exit 4\n");
    terminal.next_until("before fg");
    let (written, status) = terminal.end();
    assert_eq!(status.code(), Some(4), "{written:?}");
    let (before, end) = written.split_once("before fg").expect("it was read");
    assert!(!before.contains("sent KILL"), "{written:?}");
    for word in ["sent KILL", "was killed by KILL", "status 0"] {
        contains!(end, "{word}");
    }
}
