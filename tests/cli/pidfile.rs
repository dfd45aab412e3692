//! `--pidfile`: valid contents, files that are refused, and processes too young to have written it.

mod of_others;

use std::fs::{OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::support::prelude::*;

/// Every form refuses the file with this line and at most a hint on standard error; `--alive` exits
/// with 2.
#[track_caller]
fn assert_unreadable(path: impl AsRef<Path>, why: &str) {
    let path = path.as_ref().display();
    for form in ["-KILL", "--wait", "--alive", "--id", "-p"] {
        let status = if form == "--alive" { 2 } else { 1 };
        let line = format!("sigsend: reading pidfile {path}: {why}\n");
        run!("{form} --pidfile {path}").begins(status, line);
    }
}

#[test]
fn a_pidfile_names_processes_between_white_space() {
    let dir = tempdir();
    let mut targets = [Recorder::new(), Recorder::new()];
    let [one, two] = [targets[0].arg(), targets[1].arg()];
    let token = token(&two);
    for content in [
        format!("{one}\n{two}\n"),
        format!("{one} {two}"),
        format!("\n\n  {one}\t\t{two}  \n\n"),
        format!("{one}\r\n{two}\r\n"),
        format!("000{one}\x0c{two}"),
        format!("{one}\n{token}\n"),
        format!("{token}\n{one}\n{two}\n{one}\n"),
    ] {
        run!("-USR1 --pidfile {}", dir.arg("x.pid", &content)).ok();
        for target in &mut targets {
            assert_eq!(target.signals(), [10], "{content:?}");
        }
    }
    let file = dir.arg("x.pid", format!("{one}\n"));
    run!("-USR2 {two} --pidfile {file}").code(0);
    assert_eq!(targets.each_mut().map(Recorder::signals), [[12], [12]]);
    run!("-USR2 --pidfile={file}").code(0);
    assert_eq!(targets[0].signals(), [12]);
    let link = dir.path().join("link");
    symlink("x.pid", &link).expect("a link in a directory of ours");
    run!("-HUP --pidfile {}", link.display()).code(0);
    assert_eq!(targets[0].signals(), [1]);
    targets[1].assert_untouched();
}

#[test]
fn any_other_content_of_a_pidfile_is_refused_without_a_signal() {
    let (dir, target) = (tempdir(), Victim::sleeping());
    let bad = "0 -1 -- -9 -PID cat %1 +5 00 -0 4294967296 2147483648 0x1f 1e3 12,34 : 5: :5 5:0 01:5 \
        $PID PID=5 #5 ５";
    for word in words(&bad.replacen("PID", &target.arg(), 1)) {
        // The whole file is read before anything is sent, so the valid first word gets no signal.
        // The second line begins with a digit, so the first one does not count alone.
        let file = dir.file("x.pid", format!("{target}\n{target} {word}\n"));
        assert_unreadable(file, "word 2 of line 2 is no PID: invalid target");
    }
    let odd: [&[u8]; 5] = [b"\xff\xfe", b"\x1b[2J", b"5\0", b"\0", b"\xef\xbb\xbf5"];
    for bytes in odd {
        let file = dir.file("x.pid", [target.arg().as_bytes(), b" ", bytes].concat());
        assert_unreadable(file, "word 2 of line 1 is no PID: invalid target");
    }
    let file = dir.arg("x.pid", "x".repeat(100_000));
    let told = run!("--pidfile {file}").fails(1, "sigsend: ").err;
    assert!(told.len() < 400, "garbage does not fill the screen: {told}");
    target.assert_alive();
}

#[test]
fn a_missing_or_empty_pidfile_is_an_error() {
    let dir = tempdir();
    let missing = dir.path().join("missing.pid");
    assert_unreadable(&missing, "No such file or directory");
    assert_unreadable(missing.join("below"), "No such file or directory");
    for empty in ["", "\n", " \t\r\n\n"] {
        assert_unreadable(dir.file("empty.pid", empty), "it is empty");
    }
    assert_unreadable(dir.file("empty.pid", "").join("below"), "Not a directory");
    let dangling = dir.path().join("dangling");
    symlink("nowhere", &dangling).expect("a link in a directory of ours");
    assert_unreadable(dangling, "No such file or directory");
    run!("-KILL --pidfile ''").code(1);
    run!("--alive --pidfile ''").code(2);
}

#[test]
fn a_pidfile_that_may_not_be_read_is_an_error() {
    needs!(may_change_user(), "root");
    let (dir, user, target) = (tempdir(), Unprivileged::new(), Victim::sleeping());
    let file = dir.arg("x.pid", target.arg());
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
    let line = format!("sigsend: reading pidfile {file}: Permission denied\n");
    call!(user.sigsend(), "-0 --pidfile {file}").fails(1, &line);
    call!(user.sigsend(), "--alive --pidfile {file}").fails(2, line);
    target.assert_alive();
}

#[test]
fn only_a_regular_file_is_a_pidfile() {
    let dir = tempdir();
    let socket = dir.path().join("socket");
    let _listener = UnixListener::bind(&socket).expect("a socket in a directory of ours");
    let link = dir.path().join("link");
    symlink("/dev/zero", &link).expect("a link in a directory of ours");
    for path in [dir.path(), &socket, &link] {
        assert_unreadable(path, "not a regular file");
    }
    for device in ["/dev/null", "/dev/zero", "/dev/full"] {
        assert_unreadable(device, "not a regular file");
    }
    // A FIFO is not read from.
    let fifo = dir.path().join("fifo");
    mkfifo(&fifo, Mode::from_bits_truncate(0o600)).expect("a FIFO in a directory of ours");
    assert_unreadable(&fifo, "not a regular file");
    let writer = victim().shell(&format!("echo ready; echo precious >{}", fifo.display()));
    // It is blocked in open(2) until there is a reader.
    writer.assert_state('S');
    assert_unreadable(&fifo, "not a regular file");
    let mut read = String::new();
    let reader = File::open(&fifo).and_then(|mut fifo| fifo.read_to_string(&mut read));
    reader.expect("a FIFO of ours");
    assert_eq!(read, "precious\n");
    writer.assert_exited_with(0);
}

#[test]
fn a_huge_file_is_no_pidfile() {
    let (dir, target) = (tempdir(), Victim::sleeping());
    let huge = dir.arg("huge.pid", format!("{target}\n"));
    let sparse = OpenOptions::new().write(true).open(&huge);
    let sparse = sparse.and_then(|file| file.set_len(1 << 40));
    sparse.expect("a sparse file");
    let line = format!("sigsend: reading pidfile {huge}: more than ");
    let told = run!("-KILL --pidfile {huge}").begins(1, line).err;
    assert!(told.ends_with(" bytes, which is no pidfile\n"), "{told}");
    for (size, status) in [(100_000, 0), (1 << 20, 0), ((1 << 20) + 1, 1)] {
        let padded = " ".repeat(size - target.arg().len()) + &target.arg();
        let padded = dir.arg("padded.pid", padded);
        run!("-0 --pidfile {padded}").code(status);
    }
    target.assert_alive();
}

#[test]
fn a_pidfile_that_grows_without_end_is_refused() {
    let (dir, mut target) = (tempdir(), Recorder::new());
    let path = dir.file("pid", format!("{target} "));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let file = OpenOptions::new().append(true).open(&path);
            let mut file = file.expect("our own file");
            let more = format!("{target} ").repeat(4000);
            // Stop before the file system is full.
            let is_small = |file: &File| file.metadata().is_ok_and(|data| data.len() < 1 << 28);
            while !done.load(Relaxed) && is_small(&file) {
                file.write_all(more.as_bytes()).expect("room for it");
            }
        });
        let is_large = || fs::metadata(&path).is_ok_and(|data| data.len() > 1 << 21);
        eventually("the file to have grown", is_large);
        let refused = run!("-USR1 --allow-stale --pidfile {}", path.display());
        done.store(true, Relaxed);
        refused.fails(1, "which is no pidfile");
    });
    target.assert_untouched();
}

#[test]
fn a_file_that_becomes_a_fifo_does_not_block() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    let (dir, target) = (tempdir(), Victim::sleeping());
    let file = dir.arg("x.pid", target.arg());
    let args = |signal| format!("{signal} --pidfile {file}");
    let trace = strace("trace=?open,openat", &args("-0"));
    let open = trace.calls.iter().position(|call| call.contains("x.pid"));
    let held = Held::before(&calls(&trace)[open.expect("it is opened")], &args("-HUP"));
    let fifo = dir.path().join("fifo");
    mkfifo(&fifo, Mode::from_bits_truncate(0o600)).expect("a FIFO in a directory of ours");
    fs::rename(&fifo, &file).expect("both are ours");
    let line = format!("sigsend: reading pidfile {file}: not a regular file\n");
    held.go().fails(1, line);
    target.assert_alive();
}

#[test]
fn a_file_generated_by_the_kernel_is_no_pidfile() {
    let target = Victim::shell("exec 3<&0; cat <&3 & echo ready; wait");
    // Its modification time is the time of the stat(2), so it proves no writer.
    let children = format!("/proc/{target}/task/{target}/children");
    let enabled = "/sys/kernel/mm/transparent_hugepage/enabled";
    for file in [&children, "/proc/sys/kernel/ostype", enabled] {
        if !Path::new(file).exists() {
            skip(format!("no {file}"));
            continue;
        }
        let why = "is made by the kernel when it is read, which proves no writer";
        let hint = "'--cgroup DIR' means the members of a control group; '--pidfile -' reads them \
            from standard input";
        for options in ["-KILL", "-KILL --allow-stale"] {
            let line = format!("sigsend: pidfile {file} {why}\n{hint}\n");
            run!("{options} --pidfile {file}").fails(1, line);
        }
    }
    // On standard input it may name processes of any age, as a pipe may.
    given(&children, "-0").ok();
    target.assert_alive();
}

#[test]
fn standard_input_may_be_empty() {
    for nothing in ["", "\n", "  \n\t\n"] {
        for form in each("-KILL | --wait | --grace 5s | -p | --id | -r -HUP") {
            call!(piped(nothing), "{form} --pidfile -").ok();
        }
        call!(piped(nothing), "--alive --pidfile -").fails(1, "");
    }
    // Operands are added to it.
    let target = Victim::sleeping();
    call!(piped(""), "-HUP {target} --pidfile -").ok();
    target.assert_killed_by(1);
}

#[test]
fn what_standard_input_cannot_be_is_refused() {
    let many = "7 ".repeat((1 << 22) + 1);
    let line =
        "sigsend: reading standard input: 4194305 targets, more than there can be processes\n";
    call!(piped(many), "-0 --pidfile -").fails(1, line);
    // A closed one is an error and not an empty one.
    for (form, status) in [("-0", 1), ("--wait", 1), ("--alive", 2)] {
        let line = "sigsend: reading standard input: Bad file descriptor\n";
        call!(redirected("<&-"), "{form} --pidfile -").fails(status, line);
    }
}

#[test]
fn standard_input_names_processes_of_any_age() {
    let (one, other, bystander) = (Victim::sleeping(), Victim::sleeping(), Victim::sleeping());
    call!(piped(format!("{one}\n  {other}")), "-HUP --pidfile -").ok();
    one.assert_killed_by(1);
    other.assert_killed_by(1);
    for word in ["-1", "0", "cat", &bystander.group_arg()] {
        let line = format!("sigsend: reading standard input: '{word}': invalid target\n");
        call!(piped(format!("{bystander} {word}")), "-KILL --pidfile -").begins(1, line);
    }
    bystander.assert_alive();
}

#[test]
fn a_file_on_standard_input_is_checked_like_a_named_one() {
    let (dir, target) = (tempdir(), Victim::sleeping());
    let file = dir.file("x.pid", target.arg());
    given(&file, "-0").ok();
    back_date(&file, Duration::from_secs(60));
    given(&file, "-KILL").begins(1, "sigsend: standard input is stale: ");
    given(&file, "-0 --allow-stale").ok();
    target.assert_alive();
    fs::write(&file, "").expect("a file of ours");
    given(&file, "-KILL").ok();
    given(dir.path(), "-KILL").fails(1, "sigsend: reading standard input: Is a directory\n");
    given("/dev/zero", "-KILL").fails(1, " bytes, which is no pidfile");
}

/// Runs sigsend with a file as its standard input.
fn given(file: impl AsRef<Path>, args: &str) -> Done {
    let shell = redirected(&format!("<{}", file.as_ref().display()));
    call!(shell, "{args} --pidfile -")
}

#[test]
fn a_pipe_is_read_to_its_end_before_any_signal_is_sent() {
    let (one, other) = (Victim::sleeping(), Victim::sleeping());
    let (stdin, mut input) = io::pipe().expect("a pipe");
    writeln!(input, "{one}").expect("the pipe holds a line");
    let mut command = raw_sigsend();
    command.args(["-HUP", "--pidfile", "-"]).stdin(stdin);
    let mut child = command.spawn().expect("sigsend starts");
    drop(command);
    // It sleeps in read(2), which it does only when nothing is left in the pipe.
    let reading = format!("{} 0x", libc::SYS_read);
    let call = || fs::read_to_string(format!("/proc/{}/syscall", child.id()));
    let wants_more = || call().is_ok_and(|call| call.starts_with(&reading));
    eventually("sigsend to want more", wants_more);
    one.assert_alive();
    let written = input.write_all(other.arg().as_bytes());
    written.expect("sigsend reads");
    drop(input);
    assert!(child.wait().expect("sigsend ends").success());
    one.assert_killed_by(1);
    other.assert_killed_by(1);
}

#[test]
fn a_pidfile_of_gone_processes_is_a_failure_unless_waited_for() {
    let (dir, gone, target) = (tempdir(), Victim::gone(), Victim::sleeping());
    let file = dir.arg("x.pid", gone.to_string());
    let line = format!("sigsend: sending signal to {gone} failed: No such process\n");
    run!("-TERM --pidfile {file}").fails(1, line);
    run!("--alive --pidfile {file}").code(1);
    run!("--wait --pidfile {file}").ok();
    run!("--grace 5s --pidfile {file}").code(0);
    let file = dir.arg("x.pid", format!("{gone} {target}"));
    run!("-TERM --pidfile {file}").code(64);
    target.assert_killed_by(15);
}
