//! Targets by NAME: which processes a name selects, and that unusual names of other processes do
//! not change that.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use crate::strange::leaderless;
use crate::support::{
    NOBODY, Recorder, SIGSEND, TempDir, Unprivileged, Victim, in_pid_namespace, link,
    may_change_user, program, sigsend, skip, stderr, stdout, tempdir, victim,
};

/// A name of this length that no other process of this machine has and that is no prefix of another
/// name created here.
fn unique(letter: char, length: usize) -> String {
    let start = format!("{letter}{}-", std::process::id());
    format!("{start:x<length$}")
}

/// The PIDs that a selection prints, sorted.
fn pids(args: &[&str]) -> Vec<i32> {
    let found = sigsend().arg("-p").args(args).assert().success().stderr("");
    let mut pids: Vec<i32> = stdout(&found)
        .lines()
        .map(|pid| pid.parse().expect("a PID"))
        .collect();
    pids.sort_unstable();
    pids
}

#[test]
fn a_name_selects_exactly_the_processes_of_that_name() {
    let name = unique('a', 12);
    let [one, two] = [(); 2].map(|()| victim().named(&name).sleeping());
    let others = [
        victim().named(&format!("{name}x")).sleeping(),
        victim().named(&name[..11]).sleeping(),
        victim().named(&name.to_uppercase()).sleeping(),
        victim().argv0(&*name).sleeping(),
    ];
    let mut both = [one.pid(), two.pid()];
    both.sort_unstable();
    assert_eq!(pids(&[&name]), both);
    let sent = sigsend()
        .args(["-v", "-HUP", &name])
        .assert()
        .success()
        .stderr("");
    let mut lines: Vec<String> = stdout(&sent).lines().map(str::to_owned).collect();
    lines.sort_unstable();
    let mut expected = both.map(|pid| format!("sent HUP (1) to {pid} ({name})"));
    expected.sort_unstable();
    assert_eq!(lines, expected, "one result per process");
    one.assert_killed_by(1);
    two.assert_killed_by(1);
    others.iter().for_each(Victim::assert_alive);
}

#[test]
fn names_of_15_16_and_40_bytes_match_exactly() {
    let long = unique('b', 40);
    // Command names are cut to 15 bytes, so these three have the same one.
    let [fifteen, sixteen, forty] =
        [15, 16, 40].map(|length| victim().named(&long[..length]).sleeping());
    let mut all = [fifteen.pid(), sixteen.pid(), forty.pid()];
    all.sort_unstable();
    assert_eq!(pids(&[&long[..15]]), all, "the kernel keeps 15 bytes");
    assert_eq!(pids(&[&long[..16]]), [sixteen.pid()]);
    assert_eq!(pids(&[&long]), [forty.pid()]);
    for nobody in [&long[..14], &long[..17], &long[..39], &format!("{long}x")] {
        let line = format!("sigsend: cannot find process \"{nobody}\"");
        let refused = sigsend()
            .args(["-KILL", nobody])
            .assert()
            .code(1)
            .stdout("");
        assert_eq!(stderr(&refused).lines().next(), Some(line.as_str()));
    }
    sigsend().args(["-HUP", &long[..16]]).assert().success();
    sixteen.assert_killed_by(1);
    sigsend().args(["-HUP", &long]).assert().success();
    forty.assert_killed_by(1);
    fifteen.assert_alive();
}

#[test]
fn a_long_name_needs_more_than_its_beginning() {
    let (name, other) = (unique('c', 24), unique('d', 24));
    // One matches in its command name, the other in argv[0].
    let claims = victim()
        .named(&other)
        .argv0(format!("/usr/sbin/{name}"))
        .sleeping();
    let half = victim().named(&name).argv0("half").sleeping();
    sigsend().args(["-KILL", &name]).assert().code(1);
    let whole = victim()
        .named(&name)
        .argv0(format!("/usr/sbin/{name}"))
        .sleeping();
    let (_dir, copy) = copied_cat(&name);
    let mut executable = victim().argv0("other").command(Command::new(copy));
    assert_answers(&mut executable);
    let mut both = [whole.pid(), executable.pid()];
    both.sort_unstable();
    assert_eq!(pids(&[&name]), both);
    claims.assert_alive();
    half.assert_alive();
}

fn copied_cat(name: &str) -> (TempDir, PathBuf) {
    let dir = tempdir();
    let copy = dir.path().join(name);
    // Copied by another process: a descriptor open for writing here could cause ETXTBSY.
    let cp = Command::new("cp")
        .arg(program("cat").expect("cat"))
        .arg(&copy)
        .status();
    assert!(cp.expect("cp starts").success());
    (dir, copy)
}

#[test]
fn unusual_names_of_other_processes_change_no_match() {
    in_pid_namespace(|| {
        let names: [&[u8]; 12] = [
            b"daemon\n",
            b"\ndaemon",
            b"daemon\nUid:\t7",
            b"a) Z 1 (b",
            b") R 1 1 1 0 -1",
            b"(",
            b"\xff\xfe",
            b"daemon\xff",
            b"\x1b[31m",
            b" daemon",
            b"daemon ",
            b"daemon) S 0 0 0",
        ];
        let mut odd = names.map(named_with);
        let mut daemon = Recorder::of(victim().named("daemon"));
        assert_eq!(pids(&["daemon"]), [daemon.victim().pid()]);
        sigsend()
            .args(["-HUP", "daemon"])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        assert_eq!(daemon.signals(), [1]);
        let dir = tempdir();
        for victim in &mut odd {
            // The fields after the name are parsed correctly: age, owner, group, handlers.
            let file = dir.file("x.pid", victim.arg());
            sigsend()
                .args(["-0", "--pidfile"])
                .arg(&file)
                .assert()
                .success()
                .stderr("");
            sigsend()
                .args(["-r", "-HUP", &victim.arg()])
                .assert()
                .code(1);
            sigsend()
                .args(["-0", "--within", "0s", "--", &victim.group_arg()])
                .assert()
                .code(124);
            let said = sigsend()
                .args(["-v", "-0", "--tree", &victim.arg()])
                .assert()
                .success();
            assert!(
                !stdout(&said).trim_end().contains(|c: char| c.is_control()),
                "{:?}",
                stdout(&said)
            );
            let refused = sigsend()
                .args(["-0", "--expect", "daemon", &victim.arg()])
                .assert()
                .code(1);
            assert!(
                !stderr(&refused)
                    .trim_end()
                    .contains(|c: char| c.is_control()),
                "{:?}",
                stderr(&refused)
            );
            assert_answers(victim);
        }
        assert_eq!(pids(&["daemon "]), [odd[10].pid()]);
        sigsend()
            .args(["-HUP", "daemon) S 0 0 0"])
            .assert()
            .success();
        odd[11].assert_killed_by(1);
        for untypable in ["daemon\n", " daemon", "(", "a/b", "\u{1b}[31m", ""] {
            sigsend().args(["-KILL", untypable]).assert().code(1);
        }
        let mut command = sigsend();
        command
            .arg("-KILL")
            .arg(OsStr::from_bytes(b"daemon\xff"))
            .assert()
            .code(1);
        odd[..11].iter_mut().for_each(assert_answers);
        daemon.assert_untouched();
    });
}

/// A sleeping process with a command name of any bytes.
fn named_with(name: &[u8]) -> Victim {
    let dir = tempdir();
    let path = dir.path().join(OsStr::from_bytes(name));
    symlink(program("cat").expect("cat"), &path).expect("a link in a directory of ours");
    let mut victim = victim().command(Command::new(path));
    assert_answers(&mut victim);
    victim
}

/// It runs, since it echoes a line, which it could not with a fatal signal pending.
fn assert_answers(victim: &mut Victim) {
    victim.write_line("ready");
    assert_eq!(victim.read_line(), "ready");
}

#[test]
fn a_name_may_hold_blanks_and_parentheses() {
    let name = format!("w{} (x) y", std::process::id());
    let target = victim().named(&name).sleeping();
    assert_eq!(pids(&[&name]), [target.pid()]);
    sigsend()
        .args(["-HUP", &name])
        .assert()
        .success()
        .stdout("")
        .stderr("");
    target.assert_killed_by(1);
}

#[test]
fn other_users_processes_are_selected_with_all_only() {
    if !may_change_user() {
        return skip("needs root");
    }
    let (name, user) = (unique('e', 12), Unprivileged::new());
    let own = victim().named(&name).sleeping();
    let foreign = victim().named(&name).owned_by(NOBODY).sleeping();
    assert_eq!(
        pids(&[&name]),
        [own.pid()],
        "root also has processes of its own"
    );
    let mut both = [own.pid(), foreign.pid()];
    both.sort_unstable();
    assert_eq!(pids(&["-a", &name]), both);
    assert_eq!(pids(&["--all", &name]), both);

    user.sigsend()
        .args(["-p", &name])
        .assert()
        .success()
        .stdout(format!("{}\n", foreign.pid()));
    let partly = user
        .sigsend()
        .args(["-a", "-HUP", &name])
        .assert()
        .code(64)
        .stdout("");
    let said = stderr(&partly);
    let line = format!(
        "sigsend: sending signal to {name} (PID {}) failed: Operation not permitted\n",
        own.pid()
    );
    assert!(
        said.starts_with(&line) && said.contains("belongs to root"),
        "{said}"
    );
    foreign.assert_killed_by(1);
    own.assert_alive();
    // Only a zombie is left, which no name selects.
    let none = user.sigsend().args(["-KILL", &name]).assert().code(1);
    assert!(
        stderr(&none).starts_with(&format!("sigsend: cannot find process \"{name}\"\n")),
        "{}",
        stderr(&none)
    );
    own.assert_alive();
}

#[test]
fn a_name_that_only_other_users_have_is_not_found() {
    if !may_change_user() {
        return skip("needs root");
    }
    let (name, user) = (unique('f', 12), Unprivileged::new());
    let foreign = victim().named(&name).sleeping();
    let refused = user
        .sigsend()
        .args(["-HUP", &name])
        .assert()
        .code(1)
        .stdout("");
    assert_eq!(
        stderr(&refused).lines().next(),
        Some(&*format!("sigsend: cannot find process \"{name}\""))
    );
    foreign.assert_alive();
}

#[test]
fn sigsend_never_selects_itself() {
    let name = unique('g', 12);
    let (_dir, program) = link(SIGSEND.as_ref(), &name);
    let named = |args: &[&str]| {
        let output = Command::new(&program)
            .args(args)
            .output()
            .expect("sigsend starts");
        (
            output.status.code(),
            String::from_utf8(output.stdout).expect("UTF-8"),
        )
    };
    assert_eq!(named(&["-KILL", &name]), (Some(1), String::new()));
    assert_eq!(named(&["-p", &name]), (Some(1), String::new()));
    assert_eq!(named(&["--alive", &name]), (Some(1), String::new()));
    let namesake = victim().named(&name).sleeping();
    assert_eq!(
        named(&["-p", &name]),
        (Some(0), format!("{}\n", namesake.pid()))
    );
    assert_eq!(named(&["-a", "-KILL", &name]), (Some(0), String::new()));
    namesake.assert_killed_by(9);
}

#[test]
fn a_name_that_no_process_has_is_an_error_with_a_hint() {
    in_pid_namespace(|| {
        let target = victim().named("nginx").sleeping();
        for form in [
            &["-KILL"][..],
            &["--wait"],
            &["--grace", "5s"],
            &["-p"],
            &["--id"],
            &["-r", "-HUP"],
            &["--tree"],
        ] {
            let refused = sigsend()
                .args(form)
                .arg("ngnix")
                .assert()
                .code(1)
                .stdout("");
            assert_eq!(
                stderr(&refused),
                "sigsend: cannot find process \"ngnix\"\ndid you mean nginx?\n",
                "{form:?}"
            );
        }
        sigsend().args(["--alive", "ngnix"]).assert().code(1);
        let line = "sigsend: cannot find process \"postgres\"\n";
        sigsend()
            .args(["-KILL", "postgres"])
            .assert()
            .code(1)
            .stdout("")
            .stderr(line);
        sigsend()
            .args(["-0", "nginx", "postgres"])
            .assert()
            .code(64)
            .stdout("")
            .stderr(line);
        target.assert_alive();
    });
}

#[test]
fn a_name_finds_a_process_without_its_main_thread() {
    let name = unique('h', 20);
    let (target, _) = leaderless(&name);
    assert_eq!(pids(&[&name[..15]]), [target.pid()]);
    assert_eq!(pids(&[&name]), [target.pid()]);
    sigsend().args(["-HUP", &name]).assert().success();
    target.assert_killed_by(1);
}
