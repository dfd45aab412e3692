//! Ctrl-C and other terminal signals during a wait, with and without a terminal, and job control.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::family::{children, state};
use crate::support::{
    Recorder, SIGSEND, STUBBORN, Terminal, Victim, eventually, program, raw_sigsend, screen,
    sigsend, skip, strace, victim,
};

#[test]
fn ctrl_c_ends_a_wait_at_once_and_clears_its_line() {
    let stubborn = Victim::shell(STUBBORN);
    let Some(mut terminal) = Terminal::running(&[SIGSEND, "--grace", "5m", &stubborn.arg()]) else {
        return;
    };
    let waiting = format!("waiting for {} (sh)", stubborn.pid());
    let written = terminal.read_until(Some(&waiting)).to_owned();
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
    let Some(mut terminal) = Terminal::running(&[SIGSEND, "-v", "-0", "--wait", &other.arg()])
    else {
        return;
    };
    terminal.read_until(Some(&format!("waiting for {} (sh)", other.pid())));
    other.write_line("exit");
    let (written, status) = terminal.end();
    assert_eq!(status.code(), Some(0), "{status}");
    let lines = screen(written);
    assert_eq!(
        lines[0],
        format!("{} (sh) may be signalled", other.pid()),
        "{written:?}"
    );
    assert!(
        lines[1].starts_with(&format!("{} (sh) exited with status 0 after ", other.pid())),
        "{written:?}"
    );
    assert_eq!(lines.len(), 2, "{written:?}");
}

#[test]
fn a_wait_that_is_over_soon_shows_nothing() {
    let victim = Victim::sleeping();
    let Some(mut terminal) = Terminal::running(&[SIGSEND, "--wait", &victim.arg()]) else {
        return;
    };
    let (written, status) = terminal.end();
    assert_eq!((written, status.code()), ("", Some(0)));
}

#[test]
fn an_interrupt_ends_a_wait_by_that_signal() {
    let stubborn = Victim::shell(STUBBORN);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut command = raw_sigsend();
        command.args(["-v", "--grace", "5m", &stubborn.arg()]);
        let mut patient = victim().command(command);
        while !patient.read_line().starts_with("sent CONT") {}
        kill(Pid::from_raw(patient.pid()), signal).expect("a child");
        patient.assert_killed_by(signal as i32);
    }
    stubborn.assert_alive();
}

#[test]
fn a_signal_ignored_at_the_start_stays_ignored() {
    for terminal in [false, true] {
        let stubborn = Victim::shell(STUBBORN);
        let script = "trap '' INT HUP; \"$0\" -v --grace 1s \"$1\" & echo \"its PID is $! \"; wait; echo status $?";
        let words = ["sh", "-c", script, SIGSEND, &stubborn.arg()].map(str::to_owned);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let pid_in = |line: &str| {
            line.split_whitespace()
                .find_map(|word| word.parse::<i32>().ok())
                .expect("a PID")
        };
        let interrupt = |pid: i32| {
            for signal in [Signal::SIGINT, Signal::SIGHUP] {
                kill(Pid::from_raw(pid), signal).expect("it waits");
            }
        };
        if terminal {
            let Some(mut terminal) = Terminal::running(&words) else {
                return;
            };
            let written = terminal.read_until(Some("waiting for")).to_owned();
            let line = written
                .lines()
                .find(|line| line.contains("its PID is"))
                .expect("the shell prints it");
            interrupt(pid_in(
                line.split_once("its PID is").expect("it is there").1,
            ));
            terminal.read_until(Some("status 0"));
        } else {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]);
            let mut shell = victim().command(command);
            let (mut pid, mut under_way) = (None, false);
            while pid.is_none() || !under_way {
                let line = shell.read_line();
                pid = pid.or(line.starts_with("its PID").then(|| pid_in(&line)));
                under_way |= line.starts_with("sent CONT");
            }
            interrupt(pid.expect("it was read"));
            while shell.read_line() != "status 0" {}
        }
        stubborn.assert_killed_by(9);
    }
}

#[test]
fn a_shell_does_not_take_its_job_for_stopped() {
    if program("bash").is_none() {
        return skip("no bash");
    }
    let Some(mut terminal) = Terminal::running(&["bash", "--norc", "--noprofile", "-i"]) else {
        return;
    };
    let job = "trap 'echo heard''-hup' HUP; echo job $$ is; while :; do sleep 60 & wait $!; done";
    terminal.type_in(&format!("sh -c {}\n", quoted(job)));
    let written = terminal.read_until(Some(" is\r\n")).to_owned();
    let pid = written
        .split_once("job ")
        .and_then(|(_, rest)| rest.split_once(" is\r\n"))
        .expect("a PID")
        .0;
    let job: i32 = pid.parse().expect("a PID");
    eventually("the job to sleep", || !children(job).is_empty());
    sigsend().args(["--tree", "-HUP", pid]).assert().success();
    terminal.read_until(Some("heard-hup"));
    eventually("the job to sleep", || !children(job).is_empty());
    sigsend()
        .args(["--tree", "--grace", "15s", pid])
        .assert()
        .success();
    terminal.type_in("echo the shell goes'' on; jobs; exit 4\n");
    let (written, status) = terminal.end();
    assert_eq!(status.code(), Some(4), "{written:?}");
    assert!(
        written.contains("the shell goes on") && !written.contains("Stopped"),
        "{written:?}"
    );
}

fn quoted(script: &str) -> String {
    format!("'{}'", script.replace('\'', "'\\''"))
}

#[test]
fn a_stop_and_continue_does_not_change_a_wait() {
    let mut bystander = Recorder::new();
    let stubborn = Victim::shell(STUBBORN);
    let mut command = raw_sigsend();
    command.args([
        "-v",
        "--timeout",
        "300ms",
        "KILL",
        "--wait",
        &stubborn.arg(),
    ]);
    let mut patient = victim().command(command);
    assert!(patient.read_line().starts_with("sent TERM"));
    for _ in 0..3 {
        kill(Pid::from_raw(patient.pid()), Signal::SIGSTOP).expect("a child");
        eventually("it to be stopped", || state(patient.pid()) == 'T');
        kill(Pid::from_raw(patient.pid()), Signal::SIGCONT).expect("a child");
    }
    stubborn.assert_killed_by(9);
    patient.assert_exited_with(0);
    bystander.assert_untouched();
}

#[test]
fn without_a_terminal_no_signal_is_blocked() {
    let victim = Victim::sleeping();
    let Some(trace) = strace("trace=rt_sigprocmask,signalfd4", &["--wait", &victim.arg()]) else {
        return;
    };
    assert!(
        !trace
            .calls
            .iter()
            .any(|call| call.contains("SIG_BLOCK") && call.contains("INT")),
        "{:#?}",
        trace.calls
    );
}

/// A shell that reads its terminal without editing, so that all control sequences come from
/// sigsend.
fn shell() -> Option<Terminal> {
    if program("bash").is_none() {
        skip("no bash");
        return None;
    }
    Terminal::running(&["bash", "--norc", "--noprofile", "--noediting", "-i"])
}

/// Runs `sigsend args` in a shell, stops it once its progress line is shown, and continues it in
/// the background for the second that the next line would take.
fn in_the_background(terminal: &mut Terminal, args: &str, waiting: &str) {
    terminal.type_in(&format!("{SIGSEND} {args}\n"));
    terminal.read_until(Some(waiting));
    terminal.type_in("\x1a");
    terminal.read_until(Some("Stopped"));
    let stubborn = Victim::shell(STUBBORN);
    terminal.type_in(&format!(
        "bg; {SIGSEND} -0 --within 1s {} 2>/dev/null; echo it passed'':\n",
        stubborn.pid()
    ));
    terminal.read_until(Some("it passed:"));
}

#[test]
fn a_background_job_writes_no_progress_line() {
    for mode in ["-tostop", "tostop"] {
        let mut other = Victim::shell("echo ready; read word");
        let Some(mut terminal) = shell() else { return };
        terminal.type_in(&format!("stty {mode}\n"));
        in_the_background(
            &mut terminal,
            &format!("-0 --wait {}", other.pid()),
            "waiting for",
        );
        other.write_line("exit");
        terminal.type_in("wait; jobs; echo it en''ded; exit 4\n");
        let (written, status) = terminal.end();
        assert_eq!(status.code(), Some(4), "{written:?}");
        let (_, since) = written.split_once("Stopped").expect("it was read");
        assert!(
            since.contains("it ended") && since.matches("Stopped").count() == 0,
            "{mode}: {written:?}"
        );
        assert!(
            !since.contains("waiting for") && !since.contains("\x1b[2K"),
            "{mode}: {written:?}"
        );
    }
}

#[test]
fn with_tostop_a_background_job_writes_when_it_is_in_the_foreground_again() {
    let stubborn = Victim::shell(STUBBORN);
    let Some(mut terminal) = shell() else { return };
    terminal.type_in("stty tostop\n");
    let args = format!("-v --timeout 3s KILL --wait {}", stubborn.pid());
    in_the_background(&mut terminal, &args, "waiting for");
    stubborn.assert_killed_by(9);
    assert!(
        !terminal.written().contains("sent KILL"),
        "{:?}",
        terminal.written()
    );
    terminal.type_in("wait; fg; echo status $?; exit 4\n");
    let (written, status) = terminal.end();
    assert_eq!(status.code(), Some(4), "{written:?}");
    let (_, end) = written.split_once("it passed:").expect("it was read");
    for word in ["sent KILL", "was killed by KILL", "status 0"] {
        assert!(end.contains(word), "{word}: {written:?}");
    }
}
