//! Without pidfds, or with the /proc of another PID namespace: plain PIDs keep working, and every
//! form that needs a pidfd fails with a message and sends no signal.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use nix::libc::{ENOSYS, EPERM};

use crate::strange::{without_pidfds, without_signals_to_others};
use crate::support::{
    NOBODY, Recorder, SIGSEND, Unprivileged, Victim, in_pid_namespace, may_change_user, program,
    raw_sigsend, running_as_root, sigsend, skip, stdout, tempdir, victim,
};

/// The errors of kernels and sandboxes without pidfds.
const ERRORS: [(i32, &str); 2] = [
    (EPERM, "Operation not permitted"),
    (ENOSYS, "Function not implemented"),
];

fn confined(errno: i32, args: &[&str]) -> Output {
    let mut command = raw_sigsend();
    command.args(args).stdin(Stdio::null());
    without_pidfds(&mut command, errno);
    command.output().expect("sigsend starts")
}

#[test]
fn plain_pids_with_one_signal_work_without_pidfds() {
    for (errno, _) in ERRORS {
        let mut target = Recorder::new();
        let (pid, group) = (target.arg(), target.victim().group_arg());
        let works: [(&[&str], &[i32]); 7] = [
            (&["-HUP", &pid], &[1]),
            (&[&pid], &[15]),
            (&["-0", &pid], &[]),
            (&["-RTMIN", &pid, &pid], &[34, 34]),
            (&["-RTMIN+1", "-q", "7", &pid], &[35]),
            (&["-USR1", "--", &group], &[10]),
            (&["-v", "-USR2", &pid], &[12]),
        ];
        for (args, signals) in works {
            let output = confined(errno, args);
            assert_eq!(
                (output.status.code(), output.stderr),
                (Some(0), Vec::new()),
                "{args:?}"
            );
            assert_eq!(target.signals(), *signals, "{args:?}");
        }
        let gone = Victim::gone().to_string();
        let output = confined(errno, &["-HUP", &gone, &pid]);
        assert_eq!(output.status.code(), Some(64));
        assert_eq!(target.signals(), [1]);
    }
}

#[test]
fn a_form_that_needs_pidfds_fails_without_them_and_sends_no_signal() {
    let dir = tempdir();
    let name = format!("confined{}", std::process::id());
    let mut target = Recorder::of(victim().named(&name));
    let (pid, group) = (target.arg(), target.victim().group_arg());
    let token = stdout(&sigsend().args(["--id", &pid]).assert().success());
    let token = token.trim_end();
    let file = dir.file("x.pid", &pid);
    let file = file.to_str().expect("UTF-8");
    let promises: [(&[&str], i32); 22] = [
        (&["-USR1", &name], 1),
        (&["-a", &name], 1),
        (&["-USR1", token], 1),
        (&["-USR1", "--pidfile", file], 1),
        (&["-USR1", "--pidfile", file, "--allow-stale"], 1),
        (&["-USR1", "--expect", &name, &pid], 1),
        (&["-r", "-USR1", &pid], 1),
        (&["--wait", &pid], 1),
        (&["-0", "--wait", &pid], 1),
        (&["--within", "9s", &pid], 1),
        (&["--grace", "9s", &pid], 1),
        (&["--grace", "9s", "--", &group], 1),
        (&["--timeout", "9s", "KILL", &pid], 1),
        (&["--tree", &pid], 1),
        (&["--tree", "-KILL", &pid], 1),
        (&["--id", &pid], 1),
        (&["-p", &name], 1),
        (&["--alive", &pid], 2),
        (&["--alive", &name], 2),
        (&["--alive", "--pidfile", file, "--expect", &name], 2),
        // A plain target together with one that must be pinned gets nothing either.
        (&["-USR1", &pid, token], 1),
        (&["-USR1", &pid, &pid, "--pidfile", file], 1),
    ];
    for (errno, reason) in ERRORS {
        for (args, status) in promises {
            let output = confined(errno, args);
            let said = String::from_utf8(output.stderr).expect("UTF-8");
            assert_eq!(
                (output.status.code(), output.stdout),
                (Some(status), Vec::new()),
                "{args:?}: {said}"
            );
            let begin =
                format!("sigsend: pinning process {pid}: this kernel or sandbox has no pidfds");
            assert!(
                said.starts_with(&begin) && said.contains(reason),
                "{args:?}: {said}"
            );
            assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
        }
    }
    target.assert_untouched();
}

#[test]
fn a_form_that_needs_no_pidfd_works_without_pidfds() {
    for (errno, _) in ERRORS {
        // Without a target nothing is pinned.
        assert_eq!(confined(errno, &["--pidfile", "-"]).status.code(), Some(0));
        assert_eq!(confined(errno, &["-l", "9"]).stdout, b"KILL\n");
    }
}

/// In a child namespace with the /proc of ours: an unrelated process gets a PID that another
/// process has in that /proc, and sigsend runs with a chosen PID. The exit status of the unrelated
/// process shows whether it reached the end of its input.
const INSIDE: &str = r#"
exec 3<&0
echo ready
read number <&3
echo 299 >/proc/sys/kernel/ns_last_pid
(read line <&3; exit 7) &
unrelated=$!
echo $((number - 1)) >/proc/sys/kernel/ns_last_pid
"$@" 2>&1
echo "status $?"
wait $unrelated
echo "unrelated $unrelated $?"
read line <&3
"#;

/// The PID of sigsend outside.
const OUTER: i32 = 5000;

#[test]
fn a_proc_of_another_namespace_never_selects_an_unrelated_process() {
    in_pid_namespace(|| {
        if !running_as_root() {
            return skip("needs root");
        }
        let dir = tempdir();
        let file = dir.file("x.pid", "300\n");
        let file = file.to_str().expect("UTF-8");
        let wanted = victim().with_pid(300).named("wanted").sleeping();
        let confused: [(&[&str], i32); 10] = [
            (&["-KILL", "wanted"], 1),
            (&["-a", "-KILL", "wanted"], 1),
            (&["-KILL", "--expect", "wanted", "300"], 1),
            (&["-KILL", "--pidfile", file], 1),
            (&["-r", "-HUP", "300"], 1),
            (&["--tree", "-KILL", "300"], 1),
            (&["-KILL", "--wait", "--", "-300"], 1),
            (&["-p", "wanted"], 1),
            (&["--alive", "wanted"], 2),
            (&["--alive", "--expect", "wanted", "300"], 2),
        ];
        // Also when sigsend happens to have the same number in both namespaces.
        for number in [OUTER, 400] {
            for (args, status) in confused {
                let said = run_inside(number, args);
                let [error, told, unrelated] = &said[..] else {
                    panic!("{args:?}: {said:?}")
                };
                assert!(
                    error.starts_with("sigsend: ") && error.contains("/proc"),
                    "{args:?}: {error}"
                );
                assert!(error.contains("another PID namespace"), "{args:?}: {error}");
                assert_eq!(
                    (&**told, &**unrelated),
                    (&*format!("status {status}"), "unrelated 300 7"),
                    "{args:?}"
                );
            }
            // Forms that do not read /proc use the PIDs of the caller's namespace.
            for (args, end) in [
                (&["-0", "300"][..], 7),
                (&["--alive", "300"], 7),
                (&["-KILL", "300"], 137),
            ] {
                let expected = ["status 0".to_owned(), format!("unrelated 300 {end}")];
                assert_eq!(run_inside(number, args), expected, "{args:?}");
            }
        }
        wanted.assert_alive();
    });
}

/// The lines that sigsend and [`INSIDE`] print; sigsend has this PID inside and [`OUTER`] outside.
fn run_inside(number: i32, args: &[&str]) -> Vec<String> {
    let mut command = Command::new("unshare");
    command
        .args([
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            INSIDE,
            "sh",
            SIGSEND,
        ])
        .args(args);
    let mut outer = victim().command(command);
    assert_eq!(outer.read_line(), "ready");
    // No other process forks in this namespace: the unrelated process gets the next PID, sigsend
    // the one after it.
    fs::write("/proc/sys/kernel/ns_last_pid", (OUTER - 2).to_string())
        .expect("the namespace is ours");
    outer.write_line(&number.to_string());
    let mut lines = vec![outer.read_line()];
    while !lines.last().is_some_and(|line| line.starts_with("status ")) {
        lines.push(outer.read_line());
    }
    outer.write_line("the end");
    lines.push(outer.read_line());
    lines
}

#[test]
fn a_refusal_names_no_owner_to_the_owner_or_to_root() {
    if !may_change_user() {
        return skip("needs root");
    }
    let refused = |mut command: Command, args: &[&str]| {
        let output = command.args(args).output().expect("it starts");
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let target = args.last().expect("a PID");
        let expected =
            format!("sigsend: sending signal to {target} failed: Operation not permitted\n");
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            expected,
            "{args:?}"
        );
    };
    let copy = Unprivileged::new();
    let mut own = Recorder::of(victim().owned_by(NOBODY));
    let pid = own.arg();
    for args in [&["-TERM"][..], &["-KILL", "--wait"], &["-TERM", "--tree"]] {
        let args = [args, &[&pid]].concat();
        if program("setpriv").is_some() {
            let mut root = Command::new("setpriv");
            root.args(["--inh-caps=-kill", "--bounding-set=-kill", SIGSEND]);
            refused(root, &args);
        }
        for user in [0, NOBODY] {
            let mut command = Command::new(copy.path());
            command.uid(user).gid(user);
            if !without_signals_to_others(&mut command) {
                return skip("no Landlock that restricts signals");
            }
            refused(command, &args);
        }
    }
    own.assert_untouched();
}
