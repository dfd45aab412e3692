//! `--pidfile`: valid contents, files that are refused, and processes too young to have written it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::strange::{Held, calls, may_trace};
use crate::support::{
    Recorder, SIGSEND, Unprivileged, Victim, back_date, eventually, in_pid_namespace,
    may_change_user, raw_sigsend, sigsend, skip, stderr, stdout, strace, tempdir, victim,
};

fn text(path: &Path) -> &str {
    path.to_str().expect("the paths of tests are UTF-8")
}

/// Every form refuses the file with this line and at most a hint on standard error; `--alive` exits
/// with 2.
#[track_caller]
fn assert_unreadable(path: &str, why: &str) {
    for (form, status) in [
        ("-KILL", 1),
        ("--wait", 1),
        ("--alive", 2),
        ("--id", 1),
        ("-p", 1),
    ] {
        let refused = sigsend()
            .args([form, "--pidfile", path])
            .assert()
            .code(status)
            .stdout("");
        let line = stderr(&refused)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned();
        assert_eq!(
            line,
            format!("sigsend: reading pidfile {path}: {why}"),
            "{form}"
        );
    }
}

#[test]
fn a_pidfile_names_processes_between_white_space() {
    let dir = tempdir();
    let mut targets = [Recorder::new(), Recorder::new()];
    let [one, two] = [targets[0].arg(), targets[1].arg()];
    let token = stdout(&sigsend().args(["--id", &two]).assert().success());
    let both = [
        format!("{one}\n{two}\n"),
        format!("{one} {two}"),
        format!("\n\n  {one}\t\t{two}  \n\n"),
        format!("{one}\r\n{two}\r\n"),
        format!("000{one}\x0c{two}"),
        format!("{one}\n{token}"),
        format!("{token}{one}\n{two}\n{one}\n"),
    ];
    for content in both {
        let file = dir.file("x.pid", &content);
        sigsend()
            .args(["-USR1", "--pidfile", text(&file)])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        for target in &mut targets {
            assert_eq!(target.signals(), [10], "{content:?}");
        }
    }
    let file = dir.file("x.pid", format!("{one}\n"));
    sigsend()
        .args(["-USR2", &two, "--pidfile", text(&file)])
        .assert()
        .success();
    assert_eq!(
        (targets[0].signals(), targets[1].signals()),
        (vec![12], vec![12])
    );
    sigsend()
        .args(["-USR2", &format!("--pidfile={}", text(&file))])
        .assert()
        .success();
    assert_eq!(
        (targets[0].signals(), targets[1].signals()),
        (vec![12], vec![])
    );

    let link = dir.path().join("link");
    symlink("x.pid", &link).expect("a link in a directory of ours");
    sigsend()
        .args(["-HUP", "--pidfile", text(&link)])
        .assert()
        .success();
    assert_eq!(targets[0].signals(), [1]);
    targets[1].assert_untouched();
}

#[test]
fn any_other_content_of_a_pidfile_is_refused_without_a_signal() {
    let dir = tempdir();
    let target = Victim::sleeping();
    let pid = target.arg();
    let words = [
        "0",
        "-1",
        "--",
        "-9",
        &target.group_arg(),
        "cat",
        "%1",
        "+5",
        "00",
        "-0",
        "4294967296",
        "2147483648",
        "0x1f",
        "1e3",
        "12,34",
        ":",
        "5:",
        ":5",
        "5:0",
        "01:5",
        "$PID",
        "PID=5",
        "#5",
        "５",
    ];
    for word in words {
        // The whole file is read before anything is sent, so the valid first word gets no signal.
        let file = dir.file("x.pid", format!("{pid}\n{word}\n"));
        assert_unreadable(text(&file), &format!("'{word}': invalid target"));
    }
    let odd: [(&[u8], &str); 5] = [
        (b"\xff\xfe", r"\xff\xfe"),
        (b"\x1b[2J", r"\x1b[2J"),
        (b"5\0", r"5\x00"),
        (b"\0", r"\x00"),
        (b"\xef\xbb\xbf5", r"\u{feff}5"),
    ];
    for (bytes, shown) in odd {
        let file = dir.file("x.pid", [pid.as_bytes(), b" ", bytes].concat());
        assert_unreadable(text(&file), &format!("'{shown}': invalid target"));
    }
    let file = dir.file("x.pid", "x".repeat(100_000));
    let refused = sigsend()
        .args(["--pidfile", text(&file)])
        .assert()
        .code(1)
        .stdout("");
    assert!(
        stderr(&refused).len() < 400,
        "garbage does not fill the screen: {}",
        stderr(&refused)
    );
    target.assert_alive();
}

#[test]
fn a_missing_or_empty_pidfile_is_an_error() {
    let dir = tempdir();
    let missing = dir.path().join("missing.pid");
    assert_unreadable(text(&missing), "No such file or directory");
    assert_unreadable(text(&missing.join("below")), "No such file or directory");
    for empty in ["", "\n", " \t\r\n\n"] {
        assert_unreadable(text(&dir.file("empty.pid", empty)), "it is empty");
    }
    assert_unreadable(
        text(&dir.file("empty.pid", "").join("below")),
        "Not a directory",
    );
    let dangling = dir.path().join("dangling");
    symlink("nowhere", &dangling).expect("a link in a directory of ours");
    assert_unreadable(text(&dangling), "No such file or directory");
    sigsend().args(["-KILL", "--pidfile", ""]).assert().code(1);
    sigsend()
        .args(["--alive", "--pidfile", ""])
        .assert()
        .code(2);
}

#[test]
fn a_pidfile_that_may_not_be_read_is_an_error() {
    if !may_change_user() {
        return skip("needs root");
    }
    let (dir, user, target) = (tempdir(), Unprivileged::new(), Victim::sleeping());
    let file = dir.file("x.pid", target.arg());
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
    for (form, status) in [("-0", 1), ("--alive", 2)] {
        let refused = user
            .sigsend()
            .args([form, "--pidfile", text(&file)])
            .assert()
            .code(status)
            .stdout("");
        assert_eq!(
            stderr(&refused),
            format!(
                "sigsend: reading pidfile {}: Permission denied\n",
                file.display()
            )
        );
    }
    target.assert_alive();
}

#[test]
fn only_a_regular_file_is_a_pidfile() {
    let dir = tempdir();
    assert_unreadable(text(dir.path()), "not a regular file");
    for device in ["/dev/null", "/dev/zero", "/dev/full"] {
        assert_unreadable(device, "not a regular file");
    }
    let socket = dir.path().join("socket");
    let _listener = UnixListener::bind(&socket).expect("a socket in a directory of ours");
    assert_unreadable(text(&socket), "not a regular file");
    let link = dir.path().join("link");
    symlink("/dev/zero", &link).expect("a link in a directory of ours");
    assert_unreadable(text(&link), "not a regular file");
}

#[test]
fn a_fifo_is_refused_and_not_read_from() {
    let dir = tempdir();
    let fifo = dir.path().join("fifo");
    mkfifo(&fifo, Mode::from_bits_truncate(0o600)).expect("a FIFO in a directory of ours");
    assert_unreadable(text(&fifo), "not a regular file");
    let writer = victim().shell(&format!("echo ready; echo precious >{}", text(&fifo)));
    // It is blocked in open(2) until there is a reader.
    writer.assert_state('S');
    assert_unreadable(text(&fifo), "not a regular file");
    let mut reader = File::open(&fifo).expect("a FIFO of ours");
    let mut read = String::new();
    reader
        .read_to_string(&mut read)
        .expect("a FIFO can be read");
    assert_eq!(read, "precious\n");
    writer.assert_exited_with(0);
}

#[test]
fn a_huge_or_growing_file_is_no_pidfile() {
    let (dir, target) = (tempdir(), Victim::sleeping());
    let huge = dir.file("huge.pid", format!("{}\n", target.pid()));
    OpenOptions::new()
        .write(true)
        .open(&huge)
        .and_then(|file| file.set_len(1 << 40))
        .expect("a sparse file");
    let refused = sigsend()
        .args(["-KILL", "--pidfile", text(&huge)])
        .assert()
        .code(1)
        .stdout("");
    let said = stderr(&refused);
    assert!(
        said.starts_with(&format!(
            "sigsend: reading pidfile {}: more than ",
            huge.display()
        )),
        "{said}"
    );
    assert!(said.ends_with(" bytes, which is no pidfile\n"), "{said}");

    for (size, status) in [(100_000, 0), (1 << 20, 0), ((1 << 20) + 1, 1)] {
        let padded = dir.file(
            "padded.pid",
            " ".repeat(size - target.arg().len()) + &target.arg(),
        );
        sigsend()
            .args(["-0", "--pidfile", text(&padded)])
            .assert()
            .code(status);
    }
    target.assert_alive();
}

#[test]
fn a_file_that_becomes_a_fifo_does_not_block() {
    in_pid_namespace(|| {
        if !may_trace() {
            return skip("no strace");
        }
        let (dir, target) = (tempdir(), Victim::sleeping());
        let file = dir.file("x.pid", target.arg());
        let args = ["-HUP", "--pidfile", text(&file)];
        let trace = strace("trace=?open,openat", &["-0", "--pidfile", text(&file)])
            .expect("strace is usable");
        let open = trace
            .calls
            .iter()
            .position(|call| call.contains("x.pid"))
            .expect("it is opened");
        let held = Held::before(&calls(&trace)[open], &args);
        let fifo = dir.path().join("fifo");
        mkfifo(&fifo, Mode::from_bits_truncate(0o600)).expect("a FIFO in a directory of ours");
        fs::rename(&fifo, &file).expect("both are ours");
        let output = held.go();
        let line = format!(
            "sigsend: reading pidfile {}: not a regular file\n",
            file.display()
        );
        assert_eq!(
            (
                output.status.code(),
                &*String::from_utf8_lossy(&output.stderr)
            ),
            (Some(1), &*line)
        );
        target.assert_alive();
    });
}

#[test]
fn a_file_generated_by_the_kernel_is_no_pidfile() {
    let target = Victim::shell("exec 3<&0; cat <&3 & echo ready; wait");
    // Its modification time is the time of the stat(2), so it proves no writer.
    let children = format!("/proc/{0}/task/{0}/children", target.pid());
    for file in [
        children.as_str(),
        "/proc/sys/kernel/ostype",
        "/sys/kernel/mm/transparent_hugepage/enabled",
    ] {
        if !Path::new(file).exists() {
            skip(format!("no {file}"));
            continue;
        }
        for options in [&["-KILL"][..], &["-KILL", "--allow-stale"]] {
            let refused = sigsend()
                .args(options)
                .args(["--pidfile", file])
                .assert()
                .code(1)
                .stdout("");
            let line = format!(
                "pidfile {file} is made by the kernel when it is read, which proves no writer"
            );
            let hint = "'--cgroup DIR' means the members of a control group; '--pidfile -' reads them from standard input";
            refused.stderr(format!("sigsend: {line}\n{hint}\n"));
        }
    }
    // On standard input it may name processes of any age, as a pipe may.
    let pids = fs::read_to_string(&children).expect("a list of children");
    assert_eq!(
        given(Path::new(&children), &["-0"]),
        (Some(0), String::new()),
        "{pids}"
    );
    target.assert_alive();
}

/// sigsend with `--pidfile -` after these arguments.
fn from_input(args: &[&str]) -> assert_cmd::Command {
    let mut command = sigsend();
    command.args(args).args(["--pidfile", "-"]);
    command
}

#[test]
fn standard_input_may_be_empty() {
    for nothing in ["", "\n", "  \n\t\n"] {
        for form in [
            &["-KILL"][..],
            &["--wait"],
            &["--grace", "5s"],
            &["-p"],
            &["--id"],
            &["-r", "-HUP"],
        ] {
            from_input(form)
                .write_stdin(nothing)
                .assert()
                .success()
                .stdout("")
                .stderr("");
        }
        from_input(&["--alive"])
            .write_stdin(nothing)
            .assert()
            .code(1)
            .stdout("")
            .stderr("");
    }
    // Operands are added to it.
    let target = Victim::sleeping();
    from_input(&["-HUP", &target.arg()])
        .write_stdin("")
        .assert()
        .success();
    target.assert_killed_by(1);
}

#[test]
fn standard_input_names_no_more_targets_than_there_can_be_processes() {
    let refused = from_input(&["-0"])
        .write_stdin("7 ".repeat((1 << 22) + 1))
        .assert()
        .code(1)
        .stdout("");
    let line =
        "sigsend: reading standard input: 4194305 targets, more than there can be processes\n";
    assert_eq!(stderr(&refused), line);
}

#[test]
fn a_closed_standard_input_is_an_error_and_not_an_empty_one() {
    for (form, status) in [("-0", 1), ("--wait", 1), ("--alive", 2)] {
        let script = "exec \"$0\" \"$1\" --pidfile - <&-";
        let output = Command::new("sh")
            .args(["-c", script, SIGSEND, form])
            .output()
            .expect("sh starts");
        assert_eq!(output.status.code(), Some(status), "{form}");
        let line = "sigsend: reading standard input: Bad file descriptor\n";
        assert_eq!(
            String::from_utf8(output.stderr).expect("UTF-8"),
            line,
            "{form}"
        );
    }
}

#[test]
fn standard_input_names_processes_of_any_age() {
    let (one, other, bystander) = (Victim::sleeping(), Victim::sleeping(), Victim::sleeping());
    from_input(&["-HUP"])
        .write_stdin(format!("{}\n  {}", one.pid(), other.pid()))
        .assert()
        .success()
        .stderr("");
    one.assert_killed_by(1);
    other.assert_killed_by(1);
    for word in ["-1", "0", "cat", &bystander.group_arg()] {
        let refused = from_input(&["-KILL"])
            .write_stdin(format!("{} {word}", bystander.pid()))
            .assert()
            .code(1);
        let line = format!("sigsend: reading standard input: '{word}': invalid target");
        assert_eq!(stderr(&refused).lines().next(), Some(line.as_str()));
    }
    bystander.assert_alive();
}

#[test]
fn a_file_on_standard_input_is_checked_like_a_named_one() {
    let (dir, target) = (tempdir(), Victim::sleeping());
    let file = dir.file("x.pid", target.arg());
    assert_eq!(given(&file, &["-0"]), (Some(0), String::new()));
    back_date(&file, Duration::from_secs(60));
    let (status, said) = given(&file, &["-KILL"]);
    assert_eq!(status, Some(1));
    assert!(
        said.starts_with("sigsend: standard input is stale: "),
        "{said}"
    );
    assert_eq!(
        given(&file, &["-0", "--allow-stale"]),
        (Some(0), String::new())
    );
    target.assert_alive();

    fs::write(&file, "").expect("a file of ours");
    assert_eq!(given(&file, &["-KILL"]), (Some(0), String::new()));
    let refused = "sigsend: reading standard input: Is a directory\n".to_owned();
    assert_eq!(given(dir.path(), &["-KILL"]), (Some(1), refused));
    let (status, said) = given("/dev/zero".as_ref(), &["-KILL"]);
    assert_eq!(
        (status, said.ends_with(" bytes, which is no pidfile\n")),
        (Some(1), true),
        "{said}"
    );
}

/// The exit status of sigsend with a file as its standard input, and its messages. (`assert_cmd`
/// allows no files there.)
fn given(file: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = raw_sigsend();
    command
        .args(args)
        .args(["--pidfile", "-"])
        .stdin(File::open(file).expect("a file of ours"));
    let output = command.output().expect("sigsend starts");
    assert_eq!(output.stdout, b"");
    (
        output.status.code(),
        String::from_utf8(output.stderr).expect("UTF-8"),
    )
}

#[test]
fn a_pipe_is_read_to_its_end_before_any_signal_is_sent() {
    let (one, other) = (Victim::sleeping(), Victim::sleeping());
    let (stdin, mut input) = io::pipe().expect("a pipe");
    writeln!(input, "{}", one.pid()).expect("the pipe holds a line");
    let mut command = raw_sigsend();
    let mut child = command
        .args(["-HUP", "--pidfile", "-"])
        .stdin(stdin)
        .spawn()
        .expect("sigsend starts");
    drop(command);
    // It sleeps in read(2), which it does only when nothing is left in the pipe.
    let reading = format!("{} 0x", libc::SYS_read);
    let asleep = || fs::read_to_string(format!("/proc/{}/syscall", child.id()));
    eventually("sigsend to want more", || {
        asleep().is_ok_and(|call| call.starts_with(&reading))
    });
    one.assert_alive();
    input
        .write_all(other.arg().as_bytes())
        .expect("sigsend reads");
    drop(input);
    assert!(child.wait().expect("sigsend ends").success());
    one.assert_killed_by(1);
    other.assert_killed_by(1);
}

#[test]
fn a_pidfile_of_gone_processes_is_a_failure_unless_waited_for() {
    let dir = tempdir();
    let (gone, target) = (Victim::gone().to_string(), Victim::sleeping());
    let file = dir.file("x.pid", &gone);
    let line = format!("sigsend: sending signal to {gone} failed: No such process\n");
    sigsend()
        .args(["-TERM", "--pidfile", text(&file)])
        .assert()
        .code(1)
        .stdout("")
        .stderr(line);
    sigsend()
        .args(["--alive", "--pidfile", text(&file)])
        .assert()
        .code(1);
    sigsend()
        .args(["--wait", "--pidfile", text(&file)])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    sigsend()
        .args(["--grace", "5s", "--pidfile", text(&file)])
        .assert()
        .success();
    let file = dir.file("x.pid", format!("{gone} {}", target.pid()));
    sigsend()
        .args(["-TERM", "--pidfile", text(&file)])
        .assert()
        .code(64);
    target.assert_killed_by(15);
}
