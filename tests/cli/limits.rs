//! Limits of the kernel: the longest arguments, thousands of processes, wide and deep trees, and
//! very few descriptors, processes or little memory. `SIGSEND_LIMITS=all` uses the full sizes, the
//! normal run smaller ones.

use std::env;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command as Bounded;
use nix::sys::resource::{Resource, getrlimit};

use crate::support::{
    NOBODY, Recorder, SIGSEND, STUBBORN, Timed, Unprivileged, Victim, eventually, in_pid_namespace,
    may_change_user, program, raw_sigsend, sigsend, skip, strace, tempdir, victim,
};

/// The longest single argument (`MAX_ARG_STRLEN` less its NUL).
const LONGEST: usize = 128 * 1024 - 1;

/// The size for the normal run, or the full size.
fn size(normal: usize, all: usize) -> usize {
    if env::var_os("SIGSEND_LIMITS").is_some() {
        all
    } else {
        normal
    }
}

/// `sigsend args` within limits, as prlimit(1) spells them.
fn limited(limits: &[&str], args: &[&str]) -> Output {
    let prlimit = program("prlimit").expect("checked before");
    let program = raw_sigsend();
    let mut command = Command::new(prlimit);
    command.env_clear().envs(
        program
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command
        .args(limits)
        .arg(SIGSEND)
        .args(args)
        .current_dir("/")
        .stdin(Stdio::null());
    Bounded::from_std(command)
        .timed()
        .output()
        .expect("prlimit starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A shell with `size` children that execute nothing, all in its group.
fn crowd(size: usize) -> Victim {
    let script = format!(
        "i=0; while [ $i -lt {size} ]; do read line <&3 & i=$((i+1)); done; echo ready; read line"
    );
    victim()
        .named("crowd")
        .shell(&format!("exec 3<&0; {script}"))
}

/// A chain of shells, each the child of the previous one.
fn chain(depth: usize) -> Victim {
    let link = "f() { if [ $1 = 0 ]; then echo ready; read line <&3; else (f $(($1-1))); :; fi; }";
    victim()
        .named("chain")
        .shell(&format!("exec 3<&0; {link}; f {depth}"))
}

/// The states of all processes of a name, as /proc has them.
fn states(name: &str) -> String {
    let processes = fs::read_dir("/proc").expect("a /proc").flatten();
    let stats =
        processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
    let wanted = format!("({name}) ");
    stats
        .filter_map(|stat| {
            stat.split_once(&wanted)
                .and_then(|(_, rest)| rest.chars().next())
        })
        .collect()
}

fn living(name: &str) -> usize {
    states(name)
        .chars()
        .filter(|state| !"ZX".contains(*state))
        .count()
}

/// Whether this many processes can be pinned here.
fn may_open(count: usize) -> bool {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    usize::try_from(hard).is_ok_and(|hard| hard > count + 20)
}

#[test]
fn a_hundred_thousand_targets_are_read_before_any_signal_is_sent() {
    let mut target = Recorder::new();
    let pid = target.arg();
    let mut args = vec!["-0"];
    args.resize(100_001, &pid);
    sigsend()
        .args(&args)
        .assert()
        .success()
        .stdout("")
        .stderr("");
    args[0] = "-USR1";
    for wrong in ["00", "-01", "4294967296", "-s"] {
        *args.last_mut().expect("many") = wrong;
        sigsend().args(&args).assert().code(1).stdout("");
    }
    target.assert_untouched();
    *args.last_mut().expect("many") = &pid;
    args[0] = "--alive";
    sigsend()
        .args(&args)
        .assert()
        .success()
        .stdout("")
        .stderr("");
    target.assert_untouched();
}

#[test]
fn a_pinned_target_given_a_hundred_thousand_times_gets_one_signal() {
    let mut target = Recorder::new();
    let pid = target.arg();
    let mut args = vec!["-USR1", "--within", "0s"];
    args.resize(100_003, &pid);
    sigsend().args(&args).assert().code(124);
    assert_eq!(target.signals(), [10]);
}

#[test]
fn the_longest_argument_is_refused_in_any_place() {
    let mut bystander = Recorder::new();
    let pid = bystander.arg();
    for byte in ["1", "a", "-", " ", ":", "\u{1}"] {
        let long = byte.repeat(LONGEST);
        let lines: [&[&str]; 9] = [
            &["-USR1", &long],
            &["-0", &pid, &long],
            &["-s", &long, &pid],
            &["-q", &long, &pid],
            &["--within", &long, &pid],
            &["--timeout", "1s", &long, &pid],
            &["--expect", &long, &pid],
            &["--pidfile", &long],
            &["-l", &long],
        ];
        for line in lines {
            let output = sigsend().args(line).output().expect("sigsend starts");
            // As a target it may be a name, which no process has.
            let status = if byte == "a" && line[0] == "-0" {
                64
            } else {
                1
            };
            assert_eq!(output.status.code(), Some(status), "{byte:?} {}", &line[0]);
            assert!(output.stderr.starts_with(b"sigsend: "));
        }
    }
    bystander.assert_untouched();
}

#[test]
fn as_many_arguments_as_the_kernel_allows_are_accepted() {
    let mut target = Recorder::new();
    let pid = target.arg();
    // The maximum is 6 MiB, including a pointer for each argument, for any stack size. Only a shell
    // with a larger stack can create such a line.
    let count = size(100_000, 500_000);
    for (filler, status) in [("-v", 0), ("-a", 0), ("--", 1)] {
        let script = format!(
            "ulimit -s unlimited; exec $0 -0 $1 $(yes -- {filler} | head -n {count}) -- $1"
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script, SIGSEND, &pid]);
        Bounded::from_std(command).timed().assert().code(status);
    }
    target.assert_untouched();
}

#[test]
fn a_large_group_is_ended_and_waited_for() {
    in_pid_namespace(|| {
        let count = size(1000, 5000);
        if !may_open(count) {
            return skip("the hard limit of open files is too low");
        }
        let mut bystander = Recorder::new();
        for args in [
            &["-v", "-KILL", "--wait", "--"][..],
            &["--grace", "9s", "--"],
        ] {
            let crowd = crowd(count);
            assert_eq!(living("crowd"), count + 1);
            let start = Instant::now();
            sigsend()
                .args(args)
                .arg(crowd.group_arg())
                .assert()
                .success();
            assert_eq!(living("crowd"), 0, "{args:?}");
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{:?}",
                start.elapsed()
            );
        }
        bystander.assert_untouched();
    });
}

#[test]
fn a_wide_tree_is_killed_whole() {
    in_pid_namespace(|| {
        let count = size(1000, 5000);
        if !may_open(count) {
            return skip("the hard limit of open files is too low");
        }
        let mut bystander = Recorder::new();
        for signal in ["-KILL", "-TERM"] {
            let crowd = crowd(count);
            let output = sigsend()
                .args(["--tree", signal, &crowd.arg()])
                .output()
                .expect("sigsend starts");
            assert_eq!(output.status.code(), Some(0), "{signal}: {}", said(&output));
            eventually("all processes to exit", || living("crowd") == 0);
        }
        bystander.assert_untouched();
    });
}

#[test]
fn a_deep_tree_is_killed_whole() {
    in_pid_namespace(|| {
        let depth = size(200, 500);
        let mut bystander = Recorder::new();
        for signal in ["-KILL", "-TERM"] {
            let chain = chain(depth);
            assert_eq!(living("chain"), depth + 1);
            let output = sigsend()
                .args(["--tree", signal, &chain.arg()])
                .output()
                .expect("sigsend starts");
            assert_eq!(output.status.code(), Some(0), "{signal}: {}", said(&output));
            eventually("all processes to exit", || living("chain") == 0);
        }
        bystander.assert_untouched();
    });
}

#[test]
fn with_sixteen_descriptors_a_target_is_signalled_as_a_whole_or_not_at_all() {
    in_pid_namespace(|| {
        if program("prlimit").is_none() {
            return skip("no prlimit");
        }
        let mut bystander = Recorder::new();
        let crowd = crowd(40);
        let (pid, group) = (crowd.arg(), crowd.group_arg());
        let lines: [&[&str]; 7] = [
            &["--tree", "-KILL", &pid],
            &["--tree", &pid],
            &["--tree", "--grace", "9s", &pid],
            &["-KILL", "--wait", "--", &group],
            &["--grace", "9s", "--", &group],
            &["-KILL", "crowd"],
            &["--dry-run", "--tree", &pid],
        ];
        for line in lines {
            let output = limited(&["--nofile=16:16"], line);
            let said = said(&output);
            assert_eq!(output.status.code(), Some(1), "{line:?}: {said}");
            assert!(
                said.contains("16 open files") || said.contains("Too many open files"),
                "{line:?}: {said}"
            );
            assert!(
                living("crowd") == 41 && !states("crowd").contains('T'),
                "{line:?}: {}",
                states("crowd")
            );
        }
        // One process fits, and so do targets that need no pidfd.
        let one = Victim::sleeping();
        let works = limited(&["--nofile=16:16"], &["-v", "--grace", "9s", &one.arg()]);
        assert_eq!(works.status.code(), Some(0), "{}", said(&works));
        let works = limited(&["--nofile=16:16"], &["-HUP", "--", &group]);
        assert_eq!(works.status.code(), Some(0), "{}", said(&works));
        eventually("the group to exit", || living("crowd") == 0);

        let crowd = self::crowd(40);
        let raised = limited(&["--nofile=16:1024"], &["--tree", "-KILL", &crowd.arg()]);
        assert_eq!(raised.status.code(), Some(0), "{}", said(&raised));
        eventually("the tree to exit", || living("crowd") == 0);
        bystander.assert_untouched();
    });
}

#[test]
fn at_the_limit_of_processes_everything_works() {
    in_pid_namespace(|| {
        if program("prlimit").is_none() || !may_change_user() {
            return skip("needs root and prlimit");
        }
        let copy = Unprivileged::new();
        let own = || victim().owned_by(NOBODY).named("poor").sleeping();
        let lines: [(&[&str], bool); 6] = [
            (&["PID"], true),
            // No thread can be started, so everything is written at the end.
            (&["-v", "--grace", "9s", "PID"], true),
            (&["poor"], true),
            (&["--grace", "9s", "PID"], true),
            (&["--tree", "-KILL", "PID"], true),
            (&["--alive", "PID"], false),
        ];
        for (line, ends) in lines {
            let victim = own();
            let pid = victim.arg();
            let mut command = Command::new("prlimit");
            let line: Vec<&str> = line
                .iter()
                .map(|word| if *word == "PID" { &pid } else { *word })
                .collect();
            command
                .arg("--nproc=1:1")
                .arg(copy.sigsend().get_program())
                .args(&line);
            std::os::unix::process::CommandExt::uid(&mut command, NOBODY);
            let output = Bounded::from_std(command)
                .timed()
                .output()
                .expect("prlimit starts");
            assert_eq!(output.status.code(), Some(0), "{line:?}: {}", said(&output));
            let told = String::from_utf8_lossy(&output.stdout).lines().count();
            assert_eq!(told, if line.contains(&"-v") { 3 } else { 0 }, "{line:?}");
            if ends {
                victim.assert_killed_by(if line.contains(&"-KILL") { 9 } else { 15 });
            } else {
                victim.assert_alive();
            }
        }
    });
}

#[test]
fn sixty_four_megabytes_are_enough() {
    in_pid_namespace(|| {
        if program("prlimit").is_none() {
            return skip("no prlimit");
        }
        let mut target = Recorder::new();
        let pid = target.arg();
        let mut args = vec!["-0"];
        args.resize(100_001, &pid);
        let dir = tempdir();
        let full = dir.file(
            "full",
            format!("{pid} ").repeat((1 << 20) / (pid.len() + 1)),
        );
        let full = full.to_str().expect("UTF-8");
        for limit in ["--as=67108864", "--data=67108864"] {
            let output = limited(&[limit], &args);
            assert_eq!(output.status.code(), Some(0), "{limit}: {}", said(&output));
            let output = limited(&[limit], &["-USR1", "--allow-stale", "--pidfile", full]);
            assert_eq!(output.status.code(), Some(0), "{limit}: {}", said(&output));
            assert_eq!(target.signals(), [10]);
            let crowd = crowd(900);
            let output = limited(&[limit], &["--json", "--tree", "-KILL", &crowd.arg()]);
            assert_eq!(output.status.code(), Some(0), "{limit}: {}", said(&output));
            eventually("the tree to exit", || living("crowd") == 0);
        }
        target.assert_untouched();
    });
}

#[test]
fn a_list_too_large_for_memory_is_refused() {
    if program("prlimit").is_none() {
        return skip("no prlimit");
    }
    for megabytes in ["7", "16", "40", "70"] {
        let script = "yes 1 | head -c ${1}000000 | prlimit --as=67108864 $0 -0 --pidfile -";
        let mut command = Command::new("sh");
        command.args(["-c", script, SIGSEND, megabytes]);
        let output = Bounded::from_std(command)
            .timed()
            .output()
            .expect("sh starts");
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{megabytes}: {said}");
        assert!(
            said.starts_with("sigsend: reading standard input: ") && said.lines().count() == 1,
            "{megabytes}: {said}"
        );
    }
}

/// Shell redirections that close descriptors, in all combinations.
const CLOSED: [&str; 8] = [
    "",
    "<&-",
    ">&-",
    "2>&-",
    "<&- >&-",
    "<&- 2>&-",
    ">&- 2>&-",
    "<&- >&- 2>&-",
];

fn with_closed(closed: &str, args: &[&str]) -> Output {
    let program = raw_sigsend();
    let mut command = Command::new("sh");
    command.env_clear().envs(
        program
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    command
        .args(["-c", &format!("exec \"$@\" {closed}"), "sh", SIGSEND])
        .args(args)
        .current_dir("/");
    Bounded::from_std(command)
        .timed()
        .write_stdin("")
        .output()
        .expect("sh starts")
}

#[test]
fn closed_standard_descriptors_change_only_the_output() {
    let mut target = Recorder::new();
    let pid = target.arg();
    let dir = tempdir();
    let file = dir.file("pid", &pid);
    let file = file.to_str().expect("UTF-8");
    for closed in CLOSED {
        let mute = closed.split(' ').any(|word| word == ">&-");
        let deaf = closed.contains("2>&-");
        let quiet: [&[&str]; 4] = [
            &["-USR1", &pid],
            &["-USR1", "--allow-stale", "--pidfile", file],
            &["--alive", &pid],
            &["-USR1", "--tree", &pid],
        ];
        for args in quiet {
            let output = with_closed(closed, args);
            assert_eq!(
                (output.status.code(), &*said(&output)),
                (Some(0), ""),
                "{closed} {args:?}"
            );
            let signals: &[i32] = if args.contains(&"-USR1") { &[10] } else { &[] };
            assert_eq!(target.signals(), signals, "{closed} {args:?}");
        }
        let told: [(&[&str], &[i32]); 8] = [
            (&["-l"], &[]),
            (&["-L"], &[]),
            (&["-t"], &[]),
            (&["--help"], &[]),
            (&["-V"], &[]),
            (&["-d", &pid], &[]),
            (&["-v", "-USR1", &pid], &[10]),
            (&["--json", "-USR1", "--within", "0s", &pid], &[10]),
        ];
        for (args, signals) in told {
            let output = with_closed(closed, args);
            let status = match args {
                _ if mute => 1,
                ["--json", ..] => 124,
                _ => 0,
            };
            assert_eq!(
                output.status.code(),
                Some(status),
                "{closed} {args:?}: {}",
                said(&output)
            );
            if mute && !deaf {
                assert!(
                    said(&output).contains("sigsend: write error: Bad file descriptor\n"),
                    "{closed} {args:?}"
                );
            }
            assert_eq!(output.stdout.is_empty(), mute, "{closed} {args:?}");
            assert_eq!(target.signals(), signals, "{closed} {args:?}");
        }
    }
    assert_eq!(
        fs::read_to_string(file).expect("it is still there"),
        pid,
        "the file on standard input was overwritten"
    );
}

#[test]
fn no_opened_file_gets_the_number_of_a_standard_descriptor() {
    let target = Victim::sleeping();
    let pid = target.arg();
    let script =
        |closed: &str| format!("exec {SIGSEND} -v --within 9s --expect cat {pid} {closed}");
    if strace("trace=openat", &["-V"]).is_none() {
        return;
    }
    let dir = tempdir();
    for (index, closed) in CLOSED.into_iter().enumerate() {
        let again = Victim::sleeping();
        let script = script(closed).replace(&format!(" {pid} "), &format!(" {} ", again.pid()));
        let log = dir.path().join(index.to_string());
        let mut command = Command::new("strace");
        command.args([
            "-qq",
            "-e",
            "signal=none",
            "-e",
            "trace=execve,openat,pidfd_open,epoll_create1,fcntl",
            "-o",
        ]);
        command
            .arg(&log)
            .args(["sh", "-c", &script])
            .current_dir("/");
        Bounded::from_std(command)
            .timed()
            .output()
            .expect("strace starts");
        again.assert_killed_by(15);
        let log = fs::read_to_string(log).expect("strace writes its log");
        let own = log.rsplit_once("execve(").expect("it was executed").1;
        for call in own
            .lines()
            .filter(|call| !call.contains("\"/dev/null\"") && !call.contains("ETFD"))
        {
            let taken = ["= 0", "= 1", "= 2"].iter().any(|end| call.ends_with(end))
                && !call.starts_with('"');
            assert!(!taken, "{closed}: {call}");
        }
    }
    target.assert_alive();
}

#[test]
fn a_file_size_limit_does_not_stop_an_escalation() {
    let dir = tempdir();
    for (number, line) in [&["-v"][..], &["--json"]].into_iter().enumerate() {
        let stubborn = Victim::shell(STUBBORN);
        let file = dir.path().join(number.to_string());
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -f 0; exec \"$@\" >\"$0\""])
            .arg(&file)
            .arg(SIGSEND);
        command
            .args(line)
            .args(["--grace", "50ms", &stubborn.arg()]);
        let output = Bounded::from_std(command)
            .timed()
            .output()
            .expect("sh starts");
        stubborn.assert_killed_by(9);
        assert_eq!(
            (output.status.code(), &*said(&output)),
            (Some(1), "sigsend: write error: File too large\n")
        );
        assert_eq!(fs::metadata(&file).expect("it was opened").len(), 0);
    }
    let script = "ulimit -f 0; exec \"$0\" -l >\"$1\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, SIGSEND])
        .arg(dir.path().join("list"));
    let output = Bounded::from_std(command)
        .timed()
        .output()
        .expect("sh starts");
    assert_eq!(
        (output.status.code(), &*said(&output)),
        (Some(1), "sigsend: write error: File too large\n")
    );
}
