//! The quick way does what the parser and the plan do: `ARGS` and `ARGS --` mean the same, and `--`
//! never takes the quick way. The build under test, and those that `SIGSEND_BIN` names (paths with colons
//! between), such as a release build.

use std::env;
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use assert_cmd::Command as Bounded;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2};

use crate::family::state;
use crate::fuzz::line::Dice;
use crate::support::tokens::{NOT_SIGNALS, NOT_TARGETS, SIGNALS};
use crate::support::{
    IDLE, NOBODY, Recorder, SIGSEND, STUBBORN, TempDir, Timed, Victim, eventually,
    in_pid_namespace, may_change_user, program, raw, skip, strace_of, tempdir, victim,
};

/// Random lines for each build.
const LINES: u64 = 1500;

/// Signals that a recorder does not survive; 32 and 33 cannot be caught here, since the C library
/// refuses to.
const LETHAL: [&str; 6] = ["KILL", "STOP", "9", "19", "32", "33"];

fn builds() -> Vec<PathBuf> {
    let more = env::var_os("SIGSEND_BIN").unwrap_or_default();
    let more: Vec<PathBuf> = env::split_paths(&more)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    assert!(
        more.iter().all(|path| path.is_absolute() && path.is_file()),
        "not the paths of programs: {more:?}"
    );
    [vec![PathBuf::from(*SIGSEND)], more].concat()
}

/// A copy that every user can execute.
fn copy(build: &Path) -> (TempDir, PathBuf) {
    let dir = tempdir();
    let copy = dir.path().join("sigsend");
    assert!(
        Command::new("cp")
            .arg(build)
            .arg(&copy)
            .status()
            .expect("cp starts")
            .success()
    );
    (dir, copy)
}

/// The result of a command line.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    output: Output,
    received: Vec<Vec<i32>>,
}

/// The targets and the users who may signal them.
struct World {
    program: PathBuf,
    recorders: Vec<Recorder>,
    dead: Vec<String>,
}

impl World {
    fn run(&mut self, args: &[String], user: u32) -> Outcome {
        let mut command = raw(&self.program);
        command.args(args).stdin(Stdio::null());
        if user != 0 {
            command.uid(user).gid(user);
        }
        let output = Bounded::from_std(command)
            .timed()
            .output()
            .expect("sigsend starts");
        Outcome {
            output,
            received: self.recorders.iter_mut().map(Recorder::signals).collect(),
        }
    }

    #[track_caller]
    fn assert_same(&mut self, args: &[String], user: u32) {
        let quick = self.run(args, user);
        let parsed = self.run(&[args, &["--".to_owned()]].concat(), user);
        assert_eq!(
            quick,
            parsed,
            "{}: {args:?} of user {user}",
            self.program.display()
        );
    }
}

fn in_odd_case(text: &str, dice: &mut Dice) -> String {
    let odd = |c: char| {
        if dice.percent(50) {
            c.to_ascii_lowercase()
        } else {
            c
        }
    };
    text.chars().map(odd).collect()
}

/// A signal, nearly always a valid one, and whether a recorder survives it.
fn signal(dice: &mut Dice) -> (String, bool) {
    let signal = match dice.below(10) {
        0 => return (dice.word(NOT_SIGNALS), true),
        1..=3 => dice.below(67).to_string(),
        _ => dice.word(SIGNALS),
    };
    let is_harmless = !LETHAL.contains(&signal.as_str());
    let signal = match dice.below(6) {
        0 => format!(
            "{}{signal}",
            dice.pick(&["SIG", "sig", "SiG", "0", "00", "SIGSIG", " "])
        ),
        1 | 2 => in_odd_case(&signal, dice),
        _ => signal,
    };
    (signal, is_harmless)
}

/// A target, most often one of `pids`.
fn target(dice: &mut Dice, pids: &[String]) -> String {
    let pid = dice.pick(pids).clone();
    match dice.below(24) {
        0 => format!(
            "{}{pid}",
            dice.pick(&["0", "00", " ", "\t", "+", "-", "--", "0x", "4294967296"])
        ),
        1 => format!(
            "{pid}{}",
            dice.pick(&[" ", "\n", "x", ":", ":1", ".0", "000000000"])
        ),
        2 => dice.word(NOT_TARGETS),
        3 => (*dice.pick(&[
            "2147483647",
            "2147483648",
            "4294967297",
            "nobody-at-all",
            "é",
        ]))
        .to_owned(),
        _ => pid,
    }
}

/// A common line or one close to it; `None` if it cannot be compared.
fn line(dice: &mut Dice, world: &World) -> Option<Vec<String>> {
    let (signal, is_harmless) = signal(dice);
    let mut pids = world.dead.clone();
    if is_harmless {
        pids.extend(
            world
                .recorders
                .iter()
                .flat_map(|recorder| vec![recorder.arg(); 3]),
        );
    }
    let mut line: Vec<String> = match dice.below(12) {
        0 | 1 => vec![],
        2..=5 => vec![format!("-{signal}")],
        6..=8 => vec!["-s".to_owned(), signal],
        9 => vec![format!("-s{signal}")],
        10 => vec![format!("--signal={signal}")],
        _ => vec!["-n".to_owned(), signal],
    };
    for _ in 0..dice.below(5) {
        line.push(target(dice, &pids));
    }
    if dice.percent(10) {
        let place = dice.below(line.len() + 1);
        let stray = dice.pick(&["-v", "-USR1", "-l", "-2147483646", "-a", "-", "-q1"]);
        line.insert(place, (*stray).to_owned());
    }
    // Another `--` would end the options before the one that forces the parser, and an option would take
    // that as its value.
    let ends_in_option = line
        .last()
        .is_some_and(|last| ["-s", "-n", "--signal"].contains(&last.as_str()));
    // A mistyped target may be a signal, too.
    let is_lethal =
        |arg: &String| is_harmless && LETHAL.contains(&arg.trim_start_matches(['-', '0']));
    let is_comparable = !ends_in_option && !line.iter().any(|arg| arg == "--" || is_lethal(arg));
    is_comparable.then_some(line)
}

#[test]
fn random_lines_do_the_same_when_they_are_parsed() {
    in_pid_namespace(|| {
        for build in builds() {
            let (_dir, program) = copy(&build);
            let recorders = (0..4).map(|_| Recorder::holding()).collect();
            let mut world = World {
                program,
                recorders,
                dead: vec![],
            };
            world.dead = vec![Victim::gone().to_string(), "2147483647".to_owned()];
            let users = if may_change_user() {
                vec![0, 0, 0, NOBODY]
            } else {
                vec![0]
            };
            let mut dice = Dice::new(u64::from(std::process::id()) + LINES);
            let mut compared = 0;
            while compared < LINES {
                if let Some(line) = line(&mut dice, &world) {
                    world.assert_same(&line, *dice.pick(&users));
                    compared += 1;
                }
            }
        }
    });
}

#[test]
fn every_spelling_of_a_standard_signal_does_the_same() {
    for build in builds() {
        let recorders = vec![Recorder::new()];
        let mut world = World {
            program: build,
            recorders,
            dead: vec![],
        };
        let pid = world.recorders[0].arg();
        let mut dice = Dice::new(1);
        let numbers = (0..=70).map(|number| number.to_string());
        let names = crate::support::words(SIGNALS);
        for signal in numbers
            .chain(names)
            .filter(|signal| !LETHAL.contains(&signal.as_str()))
        {
            let odd = [
                in_odd_case(&signal, &mut dice),
                in_odd_case(&format!("SIG{signal}"), &mut dice),
            ];
            world.assert_same(&[format!("-{signal}"), pid.clone()], 0);
            for signal in odd {
                world.assert_same(&["-s".to_owned(), signal, pid.clone()], 0);
            }
        }
    }
}

#[test]
fn signals_that_end_or_stop_a_process_arrive() {
    for build in builds() {
        for (number, spelled) in [
            (9, "-KILL"),
            (9, "-9"),
            (15, "-TERM"),
            (32, "-32"),
            (33, "-33"),
            (34, "-34"),
        ] {
            let victims = [Victim::sleeping(), Victim::sleeping()];
            let output = raw(&build)
                .arg(spelled)
                .args(victims.iter().map(Victim::arg))
                .output()
                .expect("it starts");
            assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
            for victim in &victims {
                victim.assert_killed_by(number);
            }
        }
        let stopped = Victim::sleeping();
        assert!(
            raw(&build)
                .args(["-STOP", &stopped.arg()])
                .status()
                .expect("it starts")
                .success()
        );
        stopped.assert_state('T');
    }
}

/// What the C library does before `main` is its own; what comes after, from the first call on that
/// sigsend makes, is bounded.
fn after_start(calls: &[String]) -> &[String] {
    let first = calls
        .iter()
        .position(|call| call.starts_with("fcntl(0, F_GETFD"));
    &calls[first.expect("the standard descriptors are looked at first")..]
}

/// So few calls that the parser was not reached, which allocates.
#[test]
fn common_calls_make_few_system_calls() {
    for build in builds() {
        let mut recorder = Recorder::new();
        let pid = recorder.arg();
        let lines: [(&[&str], usize, &[i32]); 10] = [
            (&[&pid], 8, &[15]),
            (&["-HUP", &pid], 8, &[1]),
            (&["-sighup", &pid], 8, &[1]),
            (&["-1", &pid], 8, &[1]),
            (&["-0", &pid], 8, &[]),
            (&["-64", &pid], 8, &[64]),
            (&["-s", "HUP", &pid], 8, &[1]),
            (&["-s", "1", &pid], 8, &[1]),
            (&["-s", "Exit", &pid, &pid, &pid], 10, &[]),
            (&["-l"], 16, &[]),
        ];
        for (line, most, received) in lines {
            let Some(trace) = strace_of(&build, "trace=all", line) else {
                return;
            };
            assert!(trace.output.status.success() && trace.output.stderr.is_empty());
            let calls = after_start(&trace.calls);
            assert!(
                calls.len() <= most,
                "{} {line:?}: {calls:#?}",
                build.display()
            );
            let sends = line != ["-l"];
            let is_expected = |call: &String| {
                ["fcntl(", "rt_sigaction(", "getpid(", "kill(", "exit_group("]
                    .iter()
                    .any(|name| call.starts_with(name))
            };
            assert!(
                !sends || calls.iter().all(is_expected),
                "{} {line:?}: {calls:#?}",
                build.display()
            );
            assert_eq!(recorder.signals(), received, "{line:?}");
        }
    }
}

#[test]
fn a_signal_is_not_sent_again_after_a_later_target_failed() {
    let gone = Victim::gone().to_string();
    for build in builds() {
        let mut recorders = [Recorder::holding(), Recorder::holding()];
        let [first, last] = recorders.each_ref().map(Recorder::arg);
        let words = format!("sigsend: sending signal to {gone} failed: No such process\n");
        let lines: [(&[&str], i32, [usize; 2]); 5] = [
            (&[&first, &first, &gone, &last], 64, [2, 1]),
            (&[&gone, &first, &last, &last], 64, [1, 2]),
            (&[&first, &last, &first, &gone], 64, [2, 1]),
            (&[&gone], 1, [0, 0]),
            (&[&first, &last, "00"], 1, [0, 0]),
        ];
        for (targets, status, counts) in lines {
            // Realtime signals queue up, so each one that is sent is received.
            let args = [&["-34"], targets].concat();
            let output = raw(&build).args(&args).output().expect("sigsend starts");
            assert_eq!(output.status.code(), Some(status), "{args:?}");
            let said = String::from_utf8(output.stderr).expect("UTF-8");
            assert!(said == words || args.contains(&"00"), "{args:?}: {said}");
            let received = recorders.each_mut().map(Recorder::signals);
            assert_eq!(received.map(|signals| signals.len()), counts, "{args:?}");
            let Some(trace) = strace_of(&build, "trace=kill", &args) else {
                return;
            };
            let kills = if args.contains(&"00") {
                0
            } else {
                targets.len()
            };
            assert_eq!(
                trace
                    .calls
                    .iter()
                    .filter(|call| call.starts_with("kill("))
                    .count(),
                kills,
                "{args:?}"
            );
            for recorder in &mut recorders {
                recorder.signals();
            }
        }
    }
}

#[test]
fn a_hundred_thousand_targets_with_a_dead_one_among_them_get_each_signal_once() {
    let gone = Victim::gone().to_string();
    for build in builds() {
        let mut recorder = Recorder::holding();
        let mut pids = vec![recorder.arg(); 100];
        pids.resize(60_000, gone.clone());
        pids.push(recorder.arg());
        let output = raw(&build)
            .arg("-34")
            .args(&pids)
            .output()
            .expect("sigsend starts");
        assert_eq!(output.status.code(), Some(64));
        assert_eq!(
            String::from_utf8_lossy(&output.stderr).lines().count(),
            59_900
        );
        assert_eq!(recorder.signals(), [34; 101]);
    }
}

/// How `sh -c 'exec sigsend ARGUMENTS'` ends in a process group of its own, with a signal ignored
/// from the start or not. `$1` is the PID of `other`.
fn to_itself(build: &Path, ignored: &str, arguments: &str, other: &Recorder) -> ExitStatus {
    let script = format!("ulimit -c 0; trap '' {ignored}; exec \"$0\" {arguments}");
    let mut command = raw("sh");
    command.args(["-c", &script]).arg(build).arg(other.arg());
    command
        .stdout(Stdio::null())
        .process_group(0)
        .status()
        .expect("sh starts")
}

#[track_caller]
fn assert_ends_itself(forms: &[&str]) {
    let mut other = Recorder::new();
    for build in builds() {
        let (_dir, program) = copy(&build);
        for (name, number) in [
            ("SEGV", 11),
            ("BUS", 7),
            ("PIPE", 13),
            ("XFSZ", 25),
            ("TERM", 15),
        ] {
            for form in forms {
                let arguments = format!("-{name} {form}");
                let received = vec![number; form.matches("$1").count()];
                let ended = to_itself(&program, "USR2", &arguments, &other);
                assert_eq!(ended.signal(), Some(number), "{arguments}: {ended}");
                assert_eq!(other.signals(), received, "{arguments}");
                let ended = to_itself(&program, name, &arguments, &other);
                assert!(ended.success(), "{arguments}, ignored: {ended}");
                assert_eq!(other.signals(), received, "{arguments}, ignored");
            }
        }
    }
}

/// sigsend ignores PIPE and XFSZ for its own output, and Rust's runtime would catch SEGV and BUS.
#[test]
fn a_signal_to_sigsend_itself_does_what_it_does_to_any_program() {
    assert_ends_itself(&["$$", "-v $$", "--expect sigsend $$", "-- $$"]);
}

#[test]
fn a_signal_to_its_own_group_does_what_it_does_to_any_program() {
    in_pid_namespace(|| assert_ends_itself(&["0", "-- -$$", "-v $1 0"]));
}

/// The others get their signals first, wherever its own PID stands.
#[test]
fn its_own_pid_comes_last() {
    assert_ends_itself(&["$$ $1", "-v $$ $1", "-- $1 $$"]);
    let other = Recorder::new();
    for build in builds() {
        let ended = to_itself(&build, "USR2", "-0 $$ $1", &other);
        assert!(ended.success(), "{ended}");
    }
}

/// write(2) that fails, or writes nothing, is an error and is not repeated for ever.
#[test]
fn a_list_that_cannot_be_written_is_an_error() {
    if program("strace").is_none() {
        return skip("no strace");
    }
    for build in builds() {
        for (result, words) in [
            ("retval=0", "failed to write"),
            ("error=EIO", "Input/output error"),
            ("error=ENOSPC", "No space left on device"),
        ] {
            for line in ["-l", "-l --", "-t", "-L"] {
                let inject = format!("inject=write:{result}:when=1");
                let script = format!("exec strace -qq -e {inject} -o /dev/null \"$0\" {line}");
                let mut command = raw("sh");
                command.args(["-c", &script]).arg(&build);
                let output = Bounded::from_std(command)
                    .timed()
                    .output()
                    .expect("sh starts");
                let said = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(1), "{line} {result}: {said}");
                let line_of_error = format!("sigsend: write error: {words}");
                assert!(said.starts_with(&line_of_error), "{line} {result}: {said}");
            }
        }
    }
}

/// Standard outputs that a list may be written to.
#[derive(Clone, Copy, Debug)]
enum Sink {
    File,
    LimitedFile,
    ReadOnly,
    Full,
    Closed,
    ClosedPipe,
    FullPipe,
}

const SINKS: [Sink; 7] = [
    Sink::File,
    Sink::LimitedFile,
    Sink::ReadOnly,
    Sink::Full,
    Sink::Closed,
    Sink::ClosedPipe,
    Sink::FullPipe,
];

fn list_to(
    build: &Path,
    sink: Sink,
    signals: &str,
    args: &[&str],
) -> (Option<i32>, Vec<u8>, Vec<u8>) {
    let dir = tempdir();
    let file = dir.file("list", "");
    let mut command = raw("sh");
    let limit = if matches!(sink, Sink::LimitedFile) {
        "prlimit --fsize=100"
    } else {
        ""
    };
    let close = if matches!(sink, Sink::Closed) {
        ">&-"
    } else {
        ""
    };
    command
        .args([
            "-c",
            &format!("{signals} exec {limit} \"$0\" \"$@\" {close}"),
        ])
        .arg(build)
        .args(args);
    let mut pipe = None;
    let stdout: Stdio = match sink {
        Sink::File | Sink::LimitedFile => File::create(&file).expect("our own file").into(),
        Sink::ReadOnly => File::open(&file).expect("our own file").into(),
        Sink::Full => File::options()
            .write(true)
            .open("/dev/full")
            .expect("Linux has it")
            .into(),
        Sink::Closed => Stdio::null(),
        Sink::ClosedPipe => pipe2(OFlag::O_CLOEXEC).expect("a pipe").1.into(),
        Sink::FullPipe => {
            let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).expect("a pipe");
            while nix::unistd::write(&write, &[b'x'; 4096]).is_ok() {}
            pipe = Some(File::from(read));
            write.into()
        }
    };
    let child = command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh starts");
    // It holds the other end of the pipe.
    drop(command);
    let read = pipe
        .map(|pipe| read_late(pipe, &child, build).expect("a pipe"))
        .unwrap_or_default();
    let output = child.wait_with_output().expect("our child");
    let written = [fs::read(file).expect("our own file"), read].concat();
    (output.status.code(), written, output.stderr)
}

/// Reads a full pipe to its end once its writer waits for room; returns what was written after the
/// filling.
fn read_late(mut pipe: File, writer: &Child, build: &Path) -> io::Result<Vec<u8>> {
    let pid = i32::try_from(writer.id()).expect("a PID");
    let is_sigsend = || fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == build);
    eventually("a writer that waits", || is_sigsend() && state(pid) == 'S');
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::empty()))?;
    let mut read = Vec::new();
    pipe.read_to_end(&mut read)?;
    Ok(read.into_iter().filter(|byte| *byte != b'x').collect())
}

#[test]
fn a_list_is_written_in_the_same_way_when_it_is_parsed() {
    if program("prlimit").is_none() {
        return skip("no prlimit");
    }
    for build in builds() {
        for sink in SINKS {
            for signals in ["", "trap '' PIPE;", "trap '' XFSZ;"] {
                let quick = list_to(&build, sink, signals, &["-l"]);
                assert_eq!(
                    quick,
                    list_to(&build, sink, signals, &["-l", "--"]),
                    "{sink:?} {signals}"
                );
                let status = i32::from(!matches!(
                    sink,
                    Sink::File | Sink::ClosedPipe | Sink::FullPipe
                ));
                assert_eq!(
                    quick.0,
                    Some(status),
                    "{sink:?} {signals}: {}",
                    quick.2.escape_ascii()
                );
            }
        }
        assert_eq!(list_to(&build, Sink::LimitedFile, "", &["-l"]).1.len(), 100);
    }
}

#[track_caller]
fn assert_equal<T: PartialEq + Debug>(both: [T; 2]) -> T {
    let [quick, parsed] = both;
    assert_eq!(quick, parsed);
    quick
}

/// A wait of each kind and how it ends.
#[test]
fn a_wait_ends_in_the_same_way_when_it_is_parsed() {
    for build in builds() {
        let wait = |args: &[&str], victim: &dyn Fn() -> Victim, signal: i32| {
            let once = |more: &[&str]| {
                let victim = victim();
                let mut command = raw(&build);
                command
                    .args(args)
                    .arg(victim.arg())
                    .args(more)
                    .stdin(Stdio::null());
                let output = Bounded::from_std(command)
                    .timed()
                    .output()
                    .expect("sigsend starts");
                victim.assert_killed_by(signal);
                output
            };
            let output = assert_equal([once(&[]), once(&["--"])]);
            assert_eq!(
                (
                    output.status.code(),
                    output.stdout.len(),
                    output.stderr.len()
                ),
                (Some(0), 0, 0),
                "{args:?}"
            );
        };
        for args in [
            &["--wait"][..],
            &["-w"],
            &["--wait", "-s", "TERM"],
            &["-15", "-w"],
        ] {
            wait(args, &Victim::sleeping, 15);
        }
        wait(&["--wait", "-KILL"], &|| Victim::shell(STUBBORN), 9);
        wait(
            &["-w", "-USR1"],
            &|| victim().shell("trap 'kill -KILL $$' USR1; echo ready; while :; do read x; done"),
            9,
        );
        let zombie = Victim::zombie();
        let gone = Victim::gone().to_string();
        for line in [
            ["-w", &gone],
            ["--wait", &zombie.arg()],
            ["-w", "0"],
            ["-w", "-1"],
            ["-w", "007x"],
        ] {
            let once = |more: &[&str]| {
                raw(&build)
                    .args(line)
                    .args(more)
                    .output()
                    .expect("sigsend starts")
            };
            let status = i32::from(line[1].starts_with(['0', '-']));
            assert_eq!(
                assert_equal([once(&[]), once(&["--"])]).status.code(),
                Some(status),
                "{line:?}"
            );
        }
    }
}

#[test]
fn a_wait_for_one_process_makes_few_system_calls_and_sends_once() {
    for build in builds() {
        let sleeping = Victim::sleeping();
        let Some(trace) = strace_of(&build, "trace=all", &["--wait", &sleeping.arg()]) else {
            return;
        };
        assert!(trace.output.status.success());
        let calls = after_start(&trace.calls);
        assert!(calls.len() <= 15, "{calls:#?}");
        sleeping.assert_killed_by(15);
    }
}

/// When poll(2) fails after the signal, the plan continues to wait and sends no other.
#[test]
fn a_wait_that_fails_after_its_signal_continues_without_a_second_signal() {
    for build in builds() {
        let mut victim = Victim::shell(&format!(
            "trap 'echo got' USR1; trap 'exit 0' USR2; echo ready; {IDLE}"
        ));
        let inject = "inject=?poll,?ppoll:error=EINVAL:when=2";
        let script = format!(
            "exec strace -qq -e trace=?poll,?ppoll -e {inject} -o /dev/null \"$0\" --wait -USR1 {}",
            victim.arg()
        );
        if program("strace").is_none() {
            return skip("no strace");
        }
        let mut waiting = raw("sh")
            .args(["-c", &script])
            .arg(&build)
            .spawn()
            .expect("sh starts");
        assert_eq!(victim.read_line(), "got");
        kill(Pid::from_raw(victim.pid()), Signal::SIGUSR2).expect("a child can be signalled");
        let status = waiting.wait().expect("our child");
        assert!(status.success(), "{status}");
        victim.assert_exited_with(0);
    }
}
