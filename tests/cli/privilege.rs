//! Permissions: an unprivileged user cannot signal others and gets the reason; root is not misled
//! by names, pidfiles and environments of other users.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;

use assert_cmd::Command as Bounded;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{
    DEADLINE, NOBODY, Recorder, TempDir, Timed, Unprivileged, Victim, back_date, in_pid_namespace,
    may_change_user, program, raw_sigsend, sigsend, skip, stderr, stdout, tempdir, victim,
};

/// Another unprivileged user than [`NOBODY`].
const MALLORY: u32 = 65533;

#[test]
fn an_unprivileged_user_is_refused_and_sends_no_signal() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        let copy = Unprivileged::new();
        let mut roots = Recorder::of(victim().named("roots"));
        let mut others = Recorder::of(victim().named("others").owned_by(MALLORY));
        let targets = [(&roots, "root"), (&others, "65533")].map(|(recorder, owner)| {
            (
                recorder.arg(),
                recorder.victim().group_arg(),
                recorder.victim().status_field("Name"),
                owner,
            )
        });
        for (pid, group, name, owner) in &targets {
            let token = stdout(&sigsend().args(["--id", pid]).assert().success());
            let token = token.trim_end();
            let refused = "Operation not permitted";
            let lines: [(&[&str], &str); 16] = [
                (&[pid], refused),
                (&["-0", pid], refused),
                (&["-KILL", pid], refused),
                (&["-q", "1", "-USR1", pid], refused),
                (&["-KILL", "--", group], refused),
                (&["-KILL", token], refused),
                (&["-KILL", "--wait", pid], refused),
                (&["-KILL", "--within", "9s", "--", group], refused),
                (&["--grace", "9s", pid], refused),
                (&["--timeout", "1ms", "KILL", pid], refused),
                (&["--tree", pid], refused),
                (&["--tree", "-KILL", pid], refused),
                (&["-a", "-KILL", name], refused),
                (&["--dry-run", pid], refused),
                (&["-KILL", name], "cannot find process"),
                (&["-KILL", "--expect", "somebody", pid], "somebody"),
            ];
            for (line, why) in lines {
                let output = copy.sigsend().args(line).assert().code(1);
                let said = stderr(&output);
                assert!(
                    said.starts_with("sigsend: ") && said.contains(why),
                    "{line:?}: {said}"
                );
                if why == refused {
                    let hint = format!("process {pid} belongs to {owner}");
                    assert!(
                        line.contains(&"--") || said.contains(&hint),
                        "{line:?}: {said}"
                    );
                }
            }
            // `--alive` and `--id` need no permission.
            copy.sigsend()
                .args(["--alive", pid])
                .assert()
                .code(0)
                .stderr("");
            copy.sigsend()
                .args(["--id", pid])
                .assert()
                .success()
                .stdout(format!("{token}\n"));
        }
        // The kernel reports success when every process refuses (kill(2), "-1").
        copy.sigsend()
            .args(["-KILL", "--", "-1"])
            .assert()
            .success();
        roots.assert_untouched();
        others.assert_untouched();
    });
}

#[test]
fn a_process_of_another_user_does_not_affect_the_others() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        let copy = Unprivileged::new();
        let mut roots = Recorder::new();
        let root_pid = roots.arg();
        for line in [
            &[][..],
            &["--wait"],
            &["--grace", "9s"],
            &["-KILL", "--tree"],
        ] {
            let own = victim().owned_by(NOBODY).sleeping();
            let output = copy
                .sigsend()
                .args(line)
                .args([&root_pid, &own.arg()])
                .assert()
                .code(64);
            assert!(
                stderr(&output).contains("Operation not permitted"),
                "{line:?}: {}",
                stderr(&output)
            );
            own.assert_killed_by(if line.contains(&"-KILL") { 9 } else { 15 });
        }
        roots.assert_untouched();
    });
}

/// Within a session CONT needs no permission (kill(2)).
#[test]
fn a_process_that_takes_cont_but_not_the_follow_up_counts_as_both() {
    if !may_change_user() {
        return skip("needs root");
    }
    let copy = Unprivileged::new();
    let mut roots = Recorder::new();
    let pid = roots.arg();
    for options in [
        &["--grace", "1ms"][..],
        &["--timeout", "1ms", "TERM"],
        &["--timeout", "1ms", "KILL", "--wait"],
    ] {
        let args = [&["--json", "-CONT"], options, &[&*pid]].concat();
        for args in [args.clone(), [&["--dry-run"], &*args].concat()] {
            let output = copy.sigsend().args(&args).assert().code(64);
            let told = stdout(&output);
            let counted = "\"signalled\":1,\"already_gone\":0,\"failed\":1,\"remaining\":0";
            assert!(told.contains(counted), "{args:?}: {told}");
            assert!(
                stderr(&output).contains("Operation not permitted"),
                "{args:?}"
            );
        }
    }
    assert_eq!(roots.signals(), [18; 3]);
}

/// Invalid and hostile values for environment variables.
fn nonsense() -> Vec<String> {
    let long = "x".repeat(20_000);
    let values = [
        "",
        "nonsense",
        "-1",
        "0",
        "99999999999999999999",
        "../../../../etc/passwd",
        "%n%s%x",
        "\u{1b}[2J\u{202e}",
        "tcache_count=-1:a=b",
    ];
    values
        .iter()
        .map(ToString::to_string)
        .chain([long])
        .collect()
}

#[test]
fn a_hostile_environment_changes_nothing() {
    const NAMES: [&str; 30] = [
        "LC_ALL",
        "LANG",
        "LANGUAGE",
        "TERM",
        "TERMINFO",
        "COLUMNS",
        "LINES",
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "COLORTERM",
        "RUST_BACKTRACE",
        "RUST_LIB_BACKTRACE",
        "RUST_LOG",
        "RUST_MIN_STACK",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_AUDIT",
        "LD_DEBUG",
        "MALLOC_ARENA_MAX",
        "MALLOC_CHECK_",
        "MALLOC_PERTURB_",
        "MALLOC_TOP_PAD_",
        "MALLOC_MMAP_THRESHOLD_",
        "GLIBC_TUNABLES",
        "PATH",
        "HOME",
        "TMPDIR",
        "TZ",
        "POSIXLY_CORRECT",
    ];
    let mut target = Recorder::new();
    let pid = target.arg();
    // COLUMNS may change the width of the help, but not its words.
    let told = |mut command: Bounded| {
        let output = command.output().expect("it starts");
        let words = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes)
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        (
            output.status.code(),
            words(&output.stdout),
            words(&output.stderr),
        )
    };
    let lines: [&[&str]; 6] = [
        &["-l"],
        &["-t"],
        &["--help"],
        &["-USR1", "--expect", "no-such-name", &pid],
        &["-x"],
        &["-v", "-USR1", &pid],
    ];
    let plain: Vec<_> = lines
        .iter()
        .map(|line| {
            let mut command = sigsend();
            command.args(*line);
            told(command)
        })
        .collect();
    assert_eq!(target.signals(), [10]);
    for value in nonsense() {
        for (line, plain) in lines.iter().zip(&plain) {
            let mut command = raw_sigsend();
            command.args(*line).envs(NAMES.map(|name| (name, &value)));
            let short: String = value.chars().take(30).collect();
            assert!(
                told(Bounded::from_std(command).timed()) == *plain,
                "{short:?} {line:?}"
            );
        }
        assert_eq!(target.signals(), [10]);
    }
    // An empty environment.
    let mut bare = raw_sigsend();
    bare.env_clear().args(["-USR1", &pid]);
    Bounded::from_std(bare)
        .timed()
        .assert()
        .success()
        .stdout("")
        .stderr("");
    assert_eq!(target.signals(), [10]);
}

#[test]
fn a_preloaded_library_is_not_loaded() {
    let dir = tempdir();
    let library = dir.file(
        "evil.so",
        "not a library; a dynamic linker would print an error",
    );
    let mut command = raw_sigsend();
    command.env("LD_PRELOAD", library).args(["-l", "9"]);
    Bounded::from_std(command)
        .timed()
        .assert()
        .success()
        .stdout("KILL\n")
        .stderr("");
}

#[test]
fn a_process_of_another_user_with_the_name_of_a_daemon_is_not_selected() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        let mut mallory = Recorder::of(victim().named("nginx").owned_by(MALLORY));
        for line in [
            &["nginx"][..],
            &["-KILL", "nginx"],
            &["--tree", "-KILL", "nginx"],
            &["--grace", "9s", "nginx"],
        ] {
            let output = sigsend().args(line).assert().code(1);
            assert!(
                stderr(&output).contains("cannot find process \"nginx\""),
                "{line:?}: {}",
                stderr(&output)
            );
        }
        sigsend().args(["-p", "nginx"]).assert().code(1).stdout("");
        let daemon = victim().named("nginx").sleeping();
        sigsend()
            .args(["-p", "nginx"])
            .assert()
            .success()
            .stdout(format!("{}\n", daemon.pid()));
        sigsend()
            .args(["-KILL", "--wait", "nginx"])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        daemon.assert_killed_by(9);
        mallory.assert_untouched();
        // With --all the names of other users' processes count, too.
        sigsend().args(["-a", "-USR1", "nginx"]).assert().success();
        assert_eq!(mallory.signals(), [10]);
    });
}

#[test]
fn only_the_real_uid_decides_who_owns_a_process() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        // The real user ID counts, not the owner of the /proc directory and not the process name.
        let copy = Unprivileged::new();
        let mut roots = Recorder::of(victim().named("shared"));
        let own = victim().named("shared").owned_by(NOBODY).sleeping();
        copy.sigsend()
            .args(["-v", "-KILL", "--wait", "shared"])
            .assert()
            .success();
        own.assert_killed_by(9);
        roots.assert_untouched();
    });
}

/// A pidfile of an attacker in a world-writable directory, younger than every process that it
/// names.
fn planted(dir: &TempDir, name: &str, content: &str) -> String {
    let path = dir.file(name, content);
    nix::unistd::chown(&path, Some(MALLORY.into()), Some(MALLORY.into())).expect("root may");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn with_expect_a_planted_pidfile_signals_no_process_of_another_name() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        let dir = tempdir();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777))
            .expect("the directory is ours");
        let mut sshd = Recorder::of(victim().named("sshd"));
        let mut mallory = Recorder::of(victim().named("mallory").owned_by(MALLORY));
        let file = planted(
            &dir,
            "nginx.pid",
            &format!("{} {}\n", sshd.arg(), mallory.arg()),
        );
        for line in [
            &["-KILL"][..],
            &["--grace", "9s"],
            &["--tree", "-KILL"],
            &["-KILL", "--wait", "--allow-stale"],
        ] {
            let output = sigsend()
                .args(line)
                .args(["--expect", "nginx", "--pidfile", &file])
                .assert()
                .code(1);
            let said = stderr(&output);
            assert!(
                said.contains("(sshd) is not nginx") && said.contains("(mallory) is not nginx"),
                "{line:?}: {said}"
            );
        }
        // A file that names groups, -1 or 0 is refused.
        for content in ["0", "-1", "-2", "1 0", "1\n-1", "nginx"] {
            let file = planted(&dir, "evil.pid", content);
            let output = sigsend()
                .args(["-KILL", "--allow-stale", "--pidfile", &file])
                .assert()
                .code(1);
            assert!(
                stderr(&output).contains("invalid target"),
                "{content:?}: {}",
                stderr(&output)
            );
        }
        sshd.assert_untouched();
        mallory.assert_untouched();
    });
}

#[test]
fn without_expect_only_the_age_limits_a_planted_pidfile() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        let dir = tempdir();
        let mut sshd = Recorder::of(victim().named("sshd"));
        let file = planted(&dir, "nginx.pid", &sshd.arg());
        sigsend()
            .args(["-0", "--pidfile", &file])
            .assert()
            .success();
        // Younger than its file by more than two seconds: it cannot have written it.
        back_date(file.as_ref(), 3 * DEADLINE);
        let output = sigsend()
            .args(["-USR1", "--pidfile", &file])
            .assert()
            .code(1);
        assert!(stderr(&output).contains("is stale"), "{}", stderr(&output));
        sshd.assert_untouched();
    });
}

#[test]
fn a_pidfile_link_to_another_file_reveals_no_content() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        let dir = tempdir();
        let secret = dir.file(
            "secret",
            format!("root:$y$hash{}\nmore secrets\n", "x".repeat(100)),
        );
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("ours");
        let link = dir.path().join("nginx.pid");
        symlink(&secret, &link).expect("a link");
        let link = link.to_str().expect("UTF-8");
        let output = sigsend().args(["--pidfile", link]).assert().code(1);
        let said = stderr(&output);
        assert!(
            said.contains("invalid target") && !said.contains("more secrets"),
            "{said}"
        );
        assert!(
            said.len() < 200,
            "at most the beginning of one word: {said}"
        );
        // An unprivileged caller reads with its own permissions.
        let copy = Unprivileged::new();
        let output = copy.sigsend().args(["--pidfile", link]).assert().code(1);
        assert!(
            stderr(&output).contains("Permission denied"),
            "{}",
            stderr(&output)
        );
    });
}

#[test]
fn control_characters_in_names_are_escaped_for_root() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        let mallory = victim()
            .named("\u{1b}]0;x\u{7}\n")
            .owned_by(MALLORY)
            .sleeping();
        let pid = mallory.arg();
        let lines: [(&[&str], i32); 5] = [
            (&["-v", "-0", &pid], 0),
            (&["--json", "-0", &pid], 0),
            (&["--expect", "nginx", &pid], 1),
            (&["--dry-run", &pid], 0),
            (&["-v", "-KILL", "--within", "9s", &pid], 0),
        ];
        for (line, status) in lines {
            let output = sigsend().args(line).assert().code(status);
            let said = stdout(&output) + &stderr(&output);
            assert!(
                !said.contains(|c: char| c.is_control() && c != '\n'),
                "{line:?}: {said:?}"
            );
            assert!(said.contains("\\x1b]0"), "{line:?}: {said:?}");
        }
        mallory.assert_killed_by(9);
    });
}

#[test]
fn with_set_user_id_names_select_processes_of_the_real_user() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        let Some(setpriv) = program("setpriv") else {
            return skip("no setpriv");
        };
        // As a program with the set-user-ID bit: real user NOBODY, effective user root. Names
        // select processes of the real user.
        let mut roots = Recorder::of(victim().named("daemon"));
        let own = victim().named("daemon").owned_by(NOBODY).sleeping();
        let mut command = Command::new(setpriv);
        command
            .args(["--ruid", "65534", "--"])
            .arg(crate::support::SIGSEND)
            .args(["-KILL", "--wait", "daemon"])
            .env_clear();
        Bounded::from_std(command).timed().assert().success();
        own.assert_killed_by(9);
        roots.assert_untouched();
        Victim::sleeping().assert_alive();
    });
}

#[test]
fn a_wait_needs_no_permission_and_everything_else_does() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        let copy = Unprivileged::new();
        let mut roots = Recorder::new();
        let pid = roots.arg();
        let token = stdout(&sigsend().args(["--id", &pid]).assert().success());
        let token = token.trim_end();
        for target in [&*pid, token] {
            copy.sigsend()
                .args(["--dry-run", "-0", "--wait", target])
                .assert()
                .success()
                .stdout("")
                .stderr("");
            copy.sigsend()
                .args(["-0", "--within", "10ms", target])
                .assert()
                .code(124);
            for refused in [
                &["-0"][..],
                &["--dry-run", "-0"],
                &["-0", "--timeout", "1", "KILL"],
                &["-0", "--tree"],
            ] {
                let told = copy.sigsend().args(refused).arg(target).assert().code(1);
                assert!(
                    stderr(&told).contains("Operation not permitted"),
                    "{refused:?}: {}",
                    stderr(&told)
                );
            }
        }
        roots.assert_untouched();
    });
}

#[test]
fn cont_reaches_only_members_of_the_own_session() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        let Some(setsid) = program("setsid") else {
            return skip("no setsid");
        };
        let copy = Unprivileged::new();
        let own = victim().owned_by(NOBODY).sleeping();
        let roots = victim().in_group_of(&own).sleeping();
        let group = own.group_arg();
        let stop = || {
            kill(Pid::from_raw(roots.pid()), Signal::SIGSTOP).expect("a child can be stopped");
            roots.assert_state('T');
        };
        let to_root = |told: &str, event: &str| {
            let (event, pid) = (
                format!("\"event\":\"{event}\""),
                format!("\"pid\":{},", roots.pid()),
            );
            told.lines()
                .any(|line| line.contains(&event) && line.contains(&pid))
        };
        for dry in [false, true] {
            stop();
            let line = |command: &mut Bounded| {
                command
                    .args(["--json", "-CONT", "--within", "0s"])
                    .args(dry.then_some("--dry-run"));
                command
                    .args(["--", &group])
                    .output()
                    .expect("sigsend starts")
            };
            // The kernel skips it if the sender is in another session.
            let mut foreign = Command::new(&setsid);
            foreign
                .args(["--wait"])
                .arg(copy.path())
                .uid(NOBODY)
                .gid(NOBODY)
                .current_dir("/");
            let output = line(&mut Bounded::from_std(foreign).timed());
            let told = String::from_utf8_lossy(&output.stdout);
            assert!(to_root(&told, "failed") && told.contains("EPERM"), "{told}");
            roots.assert_state('T');
            let output = line(&mut copy.sigsend());
            let told = String::from_utf8_lossy(&output.stdout);
            assert!(
                to_root(&told, if dry { "would-send" } else { "sent" }),
                "{told}"
            );
            roots.assert_state(if dry { 'T' } else { 'S' });
        }
        own.assert_alive();
    });
}
