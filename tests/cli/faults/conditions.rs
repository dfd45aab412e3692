//! Conditions that are not the failure of a single system call: no /proc, /proc with hidepid,
//! output that is closed during the run, a pidfile that grows while it is read, clocks that differ
//! or jump.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use assert_cmd::Command as Bounded;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::inject::traced;
use crate::strange::may_trace;
use crate::support::{
    NOBODY, Recorder, SIGSEND, Timed, Unprivileged, Victim, back_date, eventually,
    in_pid_namespace, may_change_user, program, raw_sigsend, running_as_root, sigsend, skip,
    stderr, tempdir, victim,
};

/// Runs `prelude && exec ARGS` in a mount namespace of its own.
fn run_after(prelude: &str, args: &[&str]) -> Output {
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "sh",
            "-c",
            &format!("{prelude} && exec \"$@\""),
            "sh",
        ])
        .args(args)
        .current_dir("/");
    Bounded::from_std(command)
        .timed()
        .output()
        .expect("unshare starts")
}

#[test]
fn without_proc_no_process_is_confused_with_another() {
    in_pid_namespace(|| {
        if !running_as_root() {
            return skip("needs root");
        }
        let dir = tempdir();
        let mut target = Recorder::of(victim().named("target"));
        let (pid, group) = (target.arg(), target.victim().group_arg());
        let file = dir.file("pid", &pid);
        let file = file.to_str().expect("UTF-8");
        let run =
            |line: &[&str]| run_after("mount -t tmpfs none /proc", &[&[*SIGSEND], line].concat());
        let refused: [(&[&str], i32); 11] = [
            (&["target"], 1),
            (&["-a", "-KILL", "target"], 1),
            (&["-KILL", "--expect", "target", &pid], 1),
            (&["-r", "-USR1", &pid], 1),
            (&["-KILL", "--pidfile", file], 1),
            (&["--tree", "-KILL", &pid], 1),
            (&["--tree", &pid], 1),
            (&["-KILL", "--wait", "--", &group], 1),
            (&["--alive", "target"], 2),
            (&["--alive", "--expect", "target", &pid], 2),
            (&["-d", &pid], 1),
        ];
        for (line, status) in refused {
            let output = run(line);
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(status), "{line:?}: {stderr}");
            assert!(
                stderr.starts_with("sigsend: ") && stderr.lines().count() == 1,
                "{line:?}: {stderr}"
            );
        }
        target.assert_untouched();
        let works: [(&[&str], &[i32]); 6] = [
            (&["-USR1", &pid], &[10]),
            (&["-v", "-USR1", &pid], &[10]),
            (&["-USR1", "--", &group], &[10]),
            (
                &["--json", "-USR1", "--allow-stale", "--pidfile", file],
                &[10],
            ),
            (&["--alive", &pid], &[]),
            (&["--id", &pid], &[]),
        ];
        for (line, signals) in works {
            let output = run(line);
            assert_eq!(
                output.status.code(),
                Some(0),
                "{line:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert_eq!(target.signals(), signals, "{line:?}");
        }
        let mortal = Victim::sleeping();
        assert_eq!(
            run(&["-v", "--grace", "9s", &mortal.arg()]).status.code(),
            Some(0)
        );
        mortal.assert_killed_by(15);
    });
}

#[test]
fn with_hidepid_own_processes_are_found() {
    in_pid_namespace(|| {
        let Some(_) = program("setpriv").filter(|_| may_change_user()) else {
            return skip("needs root and setpriv");
        };
        let copy = Unprivileged::new();
        let copy = copy.sigsend().get_program().to_owned();
        let copy = copy.to_str().expect("UTF-8");
        let mut roots = Recorder::of(victim().named("hidden"));
        let (pid, group) = (roots.arg(), roots.victim().group_arg());
        for hidden in ["1", "2"] {
            let prelude = format!("mount -t proc -o hidepid={hidden} proc /proc");
            let run = |line: &[&str]| {
                let identity = [
                    "setpriv",
                    "--reuid",
                    "65534",
                    "--regid",
                    "65534",
                    "--clear-groups",
                    copy,
                ];
                run_after(&prelude, &[&identity, line].concat())
            };
            let lines: [(&[&str], i32); 11] = [
                (&["-KILL", &pid], 1),
                (&["-KILL", "hidden"], 1),
                (&["-a", "-KILL", "hidden"], 1),
                (&["-KILL", "--wait", &pid], 1),
                (&["-KILL", "--expect", "hidden", &pid], 1),
                (&["-r", "-USR1", &pid], 1),
                (&["--tree", "-KILL", &pid], 1),
                (&["--grace", "9s", "--", &group], 1),
                (&["--alive", &pid], 0),
                (&["--alive", "--expect", "hidden", &pid], 2),
                (&["--dry-run", &pid], 1),
            ];
            for (line, status) in lines {
                let output = run(line);
                let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
                assert_eq!(
                    output.status.code(),
                    Some(status),
                    "hidepid={hidden} {line:?}: {stderr}"
                );
                assert!(
                    status == 0 || stderr.starts_with("sigsend: "),
                    "{line:?}: {stderr}"
                );
            }
            for line in [
                &["NAME"][..],
                &["--expect", "own", "PID"],
                &["--tree", "PID"],
                &["--grace", "9s", "--", "GROUP"],
            ] {
                let own = victim().named("own").owned_by(NOBODY).sleeping();
                let (pid, group) = (own.arg(), own.group_arg());
                let argument = |word: &&str| match *word {
                    "NAME" => "own".to_owned(),
                    "PID" => pid.clone(),
                    "GROUP" => group.clone(),
                    word => word.to_owned(),
                };
                let words: Vec<String> = line.iter().map(argument).collect();
                let output = run(&words.iter().map(String::as_str).collect::<Vec<_>>());
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert_eq!(
                    output.status.code(),
                    Some(0),
                    "hidepid={hidden} {line:?}: {stderr}"
                );
                own.assert_killed_by(15);
            }
        }
        roots.assert_untouched();
    });
}

#[test]
fn output_that_is_closed_during_the_run_stops_nothing() {
    let mut bystander = Recorder::new();
    for line in [&["--json"][..], &["-v"], &["--json", "--tree"]] {
        let stubborn = [(); 2].map(|()| Victim::shell("trap '' TERM; echo ready; read line"));
        let mut command = raw_sigsend();
        command
            .args(line)
            .args(["--grace", "50ms"])
            .args(stubborn.each_ref().map(Victim::arg));
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut first = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut first)
            .expect("a first line");
        assert!(first.contains("sent"), "{first}");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(
            (output.status.code(), output.stderr),
            (Some(0), Vec::new()),
            "{line:?}"
        );
        for victim in &stubborn {
            victim.assert_killed_by(9);
        }

        let stubborn = Victim::shell("trap '' TERM; echo ready; read line");
        let mut command = raw_sigsend();
        command
            .args(line)
            .args(["--grace", "50ms", &stubborn.arg()]);
        command.stdout(
            OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .expect("a device"),
        );
        let output = command.output().expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &*stderr),
            (Some(1), "sigsend: write error: No space left on device\n")
        );
        stubborn.assert_killed_by(9);
    }
    bystander.assert_untouched();
}

#[test]
fn output_that_is_open_for_reading_only_is_an_error() {
    let mut target = Recorder::new();
    let pid = target.arg();
    for (line, signals) in [
        (&["-l"][..], &[][..]),
        (&["--help"], &[]),
        (&["-v", "-USR1", &pid], &[10]),
    ] {
        let mut command = raw_sigsend();
        command
            .args(line)
            .stdout(File::open("/dev/null").expect("a device"));
        let output = command.output().expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &*stderr),
            (Some(1), "sigsend: write error: Bad file descriptor\n"),
            "{line:?}"
        );
        assert_eq!(target.signals(), signals);
    }
}

#[test]
fn a_wait_that_fails_after_the_signal_has_left_reports_a_signal() {
    if !may_trace() {
        return skip("strace cannot be used");
    }
    let (mut target, dir) = (Recorder::new(), tempdir());
    let polls = ["trace=/^p?poll$", "inject=/^p?poll$:error=ENOMEM:when=2+"];
    let args = ["-USR1".to_owned(), "--wait".to_owned(), target.arg()];
    let output = traced(&dir.path().join("strace"), &polls, &args);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert!(told.contains("Cannot allocate memory"), "{told}");
    assert_eq!(target.signals(), [10]);
}

#[test]
fn a_pidfile_that_grows_without_end_is_refused() {
    let mut target = Recorder::new();
    let dir = tempdir();
    let path = dir.file("pid", format!("{} ", target.arg()));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = OpenOptions::new()
                .append(true)
                .open(&path)
                .expect("our own file");
            let more = format!("{} ", target.arg()).repeat(4000);
            // Stop before the file system is full.
            while !done.load(Ordering::Relaxed)
                && file.metadata().is_ok_and(|data| data.len() < 1 << 28)
            {
                file.write_all(more.as_bytes()).expect("room for it");
            }
        });
        eventually("the file to have grown", || {
            fs::metadata(&path).is_ok_and(|data| data.len() > 1 << 21)
        });
        let output = sigsend()
            .args(["-USR1", "--allow-stale", "--pidfile"])
            .arg(&path)
            .assert()
            .code(1);
        done.store(true, Ordering::Relaxed);
        assert!(
            stderr(&output).contains("which is no pidfile"),
            "{}",
            stderr(&output)
        );
    });
    target.assert_untouched();
}

#[test]
fn standard_input_that_never_ends_is_refused() {
    let mut target = Recorder::new();
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" -USR1 --pidfile - </dev/zero", *SIGSEND]);
    let output = Bounded::from_std(command).timed().assert().code(1);
    assert!(
        stderr(&output).contains("which is no pidfile"),
        "{}",
        stderr(&output)
    );
    target.assert_untouched();
}

#[test]
fn in_a_time_namespace_a_pidfile_has_the_same_age() {
    in_pid_namespace(|| {
        if !running_as_root() {
            return skip("needs root");
        }
        let dir = tempdir();
        let target = Recorder::new();
        let fresh = dir.file("fresh", target.arg());
        let stale = dir.file("stale", target.arg());
        back_date(&stale, Duration::from_secs(3600));
        for offset in ["0", "1000000"] {
            let run = |file: &std::path::Path| {
                let mut command = Command::new("unshare");
                command.args([
                    "--time",
                    "--boottime",
                    offset,
                    "--monotonic",
                    offset,
                    "--fork",
                    *SIGSEND,
                    "-0",
                    "--pidfile",
                ]);
                command.arg(file);
                Bounded::from_std(command)
                    .timed()
                    .output()
                    .expect("unshare starts")
            };
            let output = run(&fresh);
            let stderr = String::from_utf8_lossy(&output.stderr);
            if stderr.starts_with("unshare: ") {
                return skip(stderr.trim());
            }
            assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{offset}");
            let output = run(&stale);
            assert!(
                String::from_utf8_lossy(&output.stderr).contains("is stale"),
                "{offset}"
            );
            assert_eq!(output.status.code(), Some(1), "{offset}");
        }
    });
}

#[test]
fn a_clock_that_has_jumped_past_the_deadline_ends_the_wait_at_once() {
    let mut target = Recorder::new();
    let pid = target.arg();
    let mut command = raw_sigsend();
    command.args([
        "-USR1",
        "--timeout",
        "300ms",
        "USR2",
        "--within",
        "300ms",
        &pid,
    ]);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    let own = Pid::from_raw(i32::try_from(child.id()).expect("a PID"));
    let mut received = Vec::new();
    eventually("the first signal", || {
        received.extend(target.signals());
        received.contains(&10)
    });
    // For a stopped process, the clock seems to jump.
    kill(own, Signal::SIGSTOP).expect("our child");
    let stopped = Instant::now();
    eventually("the deadline to pass", || {
        stopped.elapsed() > Duration::from_millis(400)
    });
    kill(own, Signal::SIGCONT).expect("our child");
    assert_eq!(child.wait().expect("it ends").code(), Some(124));
    received.extend(target.signals());
    assert_eq!(received, [10, 12]);
}
