//! Identity of targets: `PID:INODE` tokens and `--id`, `--expect`, and one process named in several
//! ways.

use crate::support::prelude::*;

/// The inode in a token.
fn inode(token: &str) -> u64 {
    let (_, inode) = token.split_once(':').expect("PID:INODE");
    inode.parse().expect("a number")
}

#[test]
fn a_token_means_the_process_that_it_was_printed_for() {
    let (target, other) = (Victim::sleeping(), Victim::sleeping());
    let first = token(&target);
    assert_eq!(first, format!("{target}:{}", inode(&first)));
    assert_ne!(inode(&first), 0);
    assert_eq!(first, token(&target), "it stays the same");
    assert_ne!(inode(&first), inode(&token(&other)));
    run!("--alive {first}").ok();
    run!("-0 {first}").ok();
    run!("-HUP {first}").ok();
    target.assert_killed_by(1);
    other.assert_alive();
    run!("--id {first}").says(format!("{first}\n"));
}

#[test]
fn ids_are_printed_in_order_for_existing_processes() {
    let (one, other, gone) = (Victim::sleeping(), Victim::zombie(), Victim::gone());
    let [first, second] = [&one, &other].map(token);
    run!("--id {other} {one}").says(format!("{second}\n{first}\n"));
    let error = format!("sigsend: {gone}: No such process\n");
    run!("--id {gone}").fails(1, &error);
    run!("--id {gone} {one}").is(64, format!("{first}\n"), &error);
    one.assert_alive();
}

#[test]
fn a_token_that_matches_no_process_sends_no_signal() {
    let mut target = Victim::sleeping();
    let right = token(&target);
    let own = inode(&right);
    // Off by one, off by 2^32, and the inode of one process with the PID of another.
    let stranger = inode(&token(Victim::sleeping()));
    let near = [own + 1, own - 1, own + (1 << 32), own | 1 << 63];
    let wrong = near.into_iter().chain([stranger, u64::MAX, 1]);
    for wrong in wrong.map(|wrong| format!("{target}:{wrong}")) {
        let line = format!("sigsend: sending signal to {wrong} failed: No such process");
        let why = "this PID now belongs to another process";
        run!("-KILL {wrong}").fails(1, format!("{line}: {why}\n"));
        run!("--alive {wrong}").code(1);
        run!("-v --wait {wrong}").says(format!("{wrong} is already gone\n"));
    }
    for garbled in each("PID:|PID:0|PID:0x1|PID:1:1|0PID:1") {
        let garbled = garbled.replace("PID", &target.arg());
        run!("-KILL {garbled}").fails(1, format!("sigsend: '{garbled}': invalid target\n"));
        run!("--alive {garbled}").code(2);
    }
    target.assert_alive();
    run!("-KILL {right}").code(0);
    target.reap();
    let line = format!("sigsend: sending signal to {right} failed: No such process\n");
    run!("-KILL {right}").fails(1, line);
}

#[test]
fn expect_takes_command_name_executable_or_first_argument() {
    let cat = program("cat").and_then(|cat| cat.canonicalize().ok());
    let cat = cat.expect("cat");
    let executable = cat.file_name().and_then(|name| name.to_str());
    let executable = executable.expect("UTF-8");
    let (command, argument) = (unique(), unique());
    let target = victim().named(&command).argv0(format!("/opt/x/{argument}"));
    let target = target.sleeping();
    for name in [&command, &argument, executable] {
        run!("-0 --expect {name} {target}").ok();
        run!("--alive --expect {name} {target}").code(0);
    }
    let near = [
        command[..4].to_owned(),
        format!("{command}x"),
        command.to_uppercase(),
    ];
    for name in near.iter().map(String::as_str).chain(["cron"]) {
        let line = format!("sigsend: {target} ({command}) is not {name}\n");
        run!("-KILL --expect {name} {target}").fails(1, &line);
        run!("--alive --expect {name} {target}").code(1);
        // A name whose processes are all refused is reported once.
        run!("-KILL --expect {name} {command}").fails(1, line);
    }
    target.assert_alive();
    run!("--expect {executable} {target}").code(0);
    target.assert_killed_by(15);
}

#[test]
fn expect_cannot_be_empty_or_a_path() {
    let nameless = victim().argv0("").sleeping();
    for name in ["", "/bin/cat", "bin/cat", "cat/", "/"] {
        run!("-KILL --expect '{name}' {nameless}").begins(1, format!("sigsend: '{name}': "));
        // No process can have such a name, so it is an error and not "gone".
        run!("--alive --expect '{name}' {nameless}").code(2);
    }
    nameless.assert_alive();
}

#[test]
fn expect_knows_a_deleted_executable_by_its_old_name() {
    let (dir, name) = (tempdir(), unique());
    let binary = dir.path().join(&name);
    let mut target = copied_program(&binary);
    fs::remove_file(&binary).expect("it is ours");
    assert_eq!(target.status_field("Name"), "other");
    run!("--alive --expect {name} {target}").code(0);
    run!("-KILL --expect '{name} (deleted)' {target}").code(1);
    target.assert_alive();
    run!("-HUP --expect {name} {target}").code(0);
    target.reap();
}

/// A sleeping process whose executable alone has the name of `binary`.
fn copied_program(binary: &Path) -> Victim {
    copy(program("cat").expect("cat"), binary);
    let link = binary.with_file_name("other");
    std::os::unix::fs::symlink(binary, &link).expect("a link in a directory of ours");
    victim().argv0("another").echoing(&mut Command::new(link))
}

#[test]
fn a_process_that_cannot_be_verified_is_refused_but_not_gone() {
    needs!(may_change_user(), "root");
    let (dir, name, user) = (tempdir(), unique(), Unprivileged::new());
    let target = copied_program(&dir.path().join(&name));
    run!("--alive --expect {name} {target}").code(0);
    // An executable that cannot be read may be the expected one.
    let unclear = format!("sigsend: {target} cannot be verified to be {name}\n");
    call!(user.sigsend(), "--alive --expect {name} {target}").fails(2, unclear);
    call!(user.sigsend(), "--alive --expect another {target}").code(0);
    call!(user.sigsend(), "-0 --expect {name} {target}").code(1);
    target.assert_alive();
}

#[test]
fn a_process_named_in_several_ways_gets_a_signal_once() {
    let (name, dir) = (unique(), tempdir());
    let mut target = Recorder::of(victim().named(&name));
    let (pid, token, gone) = (target.arg(), token(&target), Victim::gone());
    let file = dir.arg("x.pid", format!("{pid} {token}\n{pid}\n"));
    // Realtime signals, since the others do not queue.
    run!("-RTMIN {pid} {pid} 0{pid}").code(0);
    let got = target.signals();
    assert_eq!(got, [34, 34, 34], "typed plainly, each is one kill(2)");
    let ways = "PID TOKEN|TOKEN TOKEN|NAME PID PID|NAME NAME|PID --pidfile FILE\
        |PID TOKEN NAME --pidfile FILE|PID PID --expect NAME|PID PID -r|PID PID --tree";
    let ways = ways.replace("PID", &pid).replace("TOKEN", &token);
    let ways = ways.replace("NAME", &name);
    for way in each(&ways.replace("FILE", &file)) {
        run!("-RTMIN+1 {way}").ok();
        assert_eq!(target.signals(), [35], "{way:?}");
    }
    run!("-p {pid} {token} {name} --pidfile {file}").says(format!("{pid}\n"));
    run!("--id {pid} {token} {name} --pidfile {file}").says(format!("{token}\n"));
    run!("-WINCH {pid} {token} {gone} --pidfile {file}").code(64);
    assert_eq!(target.signals(), [28]);
    run!("-RTMIN+2 -q -5 {token}").code(0);
    assert_eq!(target.received(), [Received::queued(36, -5)]);
}

#[test]
fn with_require_handler_only_processes_that_catch_a_signal_get_it() {
    let mut catching = Recorder::new();
    let bare = Victim::sleeping();
    let ignoring = Victim::shell("trap '' HUP; echo ready; read line");
    let (name, dir) = (unique(), tempdir());
    let mut daemon = Recorder::of(victim().named(&name));
    let worker = victim().named(&name).sleeping();
    let file = dir.arg("x.pid", format!("{worker} {daemon}"));
    for option in ["-r", "--require-handler"] {
        run!("{option} -HUP {catching}").ok();
        assert_eq!(catching.signals(), [1]);
        let refused = format!("sigsend: {bare} (cat) does not catch HUP\n");
        run!("{option} -HUP {bare}").fails(1, refused);
        let told = run!("{option} -s HUP {bare} {ignoring}").code(1).err;
        assert_eq!(told.lines().count(), 2, "{told}");
        run!("{option} -HUP {bare} {catching} {ignoring}").code(64);
        let refused = format!("sigsend: {bare} (cat) does not catch TERM\n");
        run!("{option} -p {bare} {catching}").is(64, format!("{catching}\n"), refused);
        // It is said of each process that has the name.
        run!("{option} --alive {name}").fails(1, format!("sigsend: {worker} ({name})"));
        assert_eq!(catching.signals(), [1]);
        run!("{option} -HUP {name}").fails(64, worker.arg());
        // The kernel keeps one pending HUP, so this one must have been caught before the next.
        assert_eq!(daemon.signals(), [1]);
        run!("{option} -HUP --pidfile {file}").code(64);
        assert_eq!(daemon.signals(), [1]);
    }
    for useless in ["-0", "-KILL", "-STOP"] {
        run!("-r {useless} {daemon}").code(1);
    }
    daemon.assert_untouched();
    alive([bare, ignoring, worker]);
}

#[test]
fn a_process_that_is_gone_when_its_refusal_is_checked_is_reported_as_gone() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    for check in each("-r -HUP | --expect dog | -r -HUP --wait | --expect dog --wait") {
        let args = |victim: &Victim| format!("{check} {victim}");
        let victim = Victim::sleeping();
        let checks = "trace=poll,openat,readlink,pidfd_open";
        let mut trace = strace(checks, &args(&victim));
        // The helper thread, which reads the memory, is not held.
        trace.calls.retain(|call| !call.contains("/cmdline"));
        for point in calls_after(&trace, "pidfd_open") {
            let mut victim = Victim::sleeping();
            let held = Held::before(&point, &args(&victim));
            victim.kill();
            let done = held.go();
            let failed = format!("sending signal to {victim} failed: No such process\n");
            if check.contains("--wait") {
                done.ok()
            } else {
                done.fails(1, format!("sigsend: {failed}"))
            };
        }
    }
}

#[test]
fn only_its_own_handlers_count_with_an_unprivileged_caller() {
    needs!(may_change_user(), "root");
    table("nobody: -r -HUP RECORDER RECORDER~ | 64 | Operation not permitted | RECORDER~=1");
}
