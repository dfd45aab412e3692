//! /proc with hidepid=2, which hides the processes of other users: a process that cannot be seen is
//! not taken for gone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::family::{Family, state};
use crate::support::{
    NOBODY, Recorder, TempDir, Unprivileged, Victim, eventually, in_pid_namespace, may_change_user,
    program, sigsend, skip, stderr, stdout, tempdir, victim,
};

/// Hides the processes of other users in the /proc of this namespace; `false` if that is not
/// possible here.
#[track_caller]
fn hide_processes() -> bool {
    if !may_change_user() {
        skip("needs root");
        return false;
    }
    let mounted = Command::new("mount")
        .args(["-o", "remount,hidepid=2", "/proc"])
        .output()
        .expect("mount starts");
    if !mounted.status.success() {
        skip(format!(
            "no hidepid: {}",
            String::from_utf8_lossy(&mounted.stderr).trim()
        ));
    }
    mounted.status.success()
}

/// A copy of a program that is set-user-ID root.
fn set_user_id(dir: &TempDir, name: &str) -> PathBuf {
    let copy = dir.path().join(name);
    let copied = Command::new("cp")
        .arg(program(name).expect("a program"))
        .arg(&copy)
        .status();
    assert!(copied.expect("cp starts").success());
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).expect("ours");
    copy
}

#[test]
fn a_group_counts_its_hidden_members() {
    in_pid_namespace(|| {
        if !hide_processes() {
            return;
        }
        let user = Unprivileged::new();
        for call in [
            &["-KILL", "--wait"][..],
            &["--grace", "15s"],
            &["-KILL", "--timeout", "10", "KILL"],
        ] {
            let own = victim().owned_by(NOBODY).sleeping();
            let hidden = Recorder::of(victim().in_group_of(&own));
            let told = user
                .sigsend()
                .arg("--json")
                .args(call)
                .args(["--", &own.group_arg()])
                .assert()
                .code(64);
            assert!(stdout(&told).contains("\"failed\":1,"), "{}", stdout(&told));
            let words = format!(
                "sigsend: sending signal to -{} (PID {})",
                own.pid(),
                hidden.arg()
            );
            assert!(stderr(&told).contains(&words), "{}", stderr(&told));
            own.ending();
        }
        // Only hidden members.
        let mut hidden = [Recorder::of(victim()), Recorder::new()];
        let group = hidden[0].victim().group_arg();
        let told = user
            .sigsend()
            .args(["-KILL", "--wait", "--", &group])
            .assert()
            .code(1);
        assert!(
            stderr(&told).contains("Operation not permitted"),
            "{}",
            stderr(&told)
        );
        for recorder in &mut hidden {
            recorder.assert_untouched();
        }
    });
}

#[test]
fn a_tree_counts_its_hidden_members() {
    in_pid_namespace(|| {
        if !hide_processes() {
            return;
        }
        let (user, dir) = (Unprivileged::new(), tempdir());
        if program("setpriv").is_none() {
            return skip("no setpriv");
        }
        let setpriv = set_user_id(&dir, "setpriv");
        for call in [&["-KILL"][..], &["-KILL", "--wait"], &["--grace", "15s"]] {
            let as_root = format!("{} --reuid 0 --regid 0 --clear-groups", setpriv.display());
            let script = format!("exec 3<&0; {as_root} sh -c 'echo $$; exec cat' <&3 & wait");
            let mut command = Command::new("sh");
            command.args(["-c", &script]);
            let mut own = victim().owned_by(NOBODY).command(command);
            let hidden: i32 = own.read_line().parse().expect("a PID");
            let told = user
                .sigsend()
                .args(["--json", "--tree"])
                .args(call)
                .arg(own.arg())
                .assert()
                .code(64);
            assert!(stdout(&told).contains("\"failed\":1,"), "{}", stdout(&told));
            assert!(
                stderr(&told).contains(&format!("PID {hidden}")),
                "{}",
                stderr(&told)
            );
            own.ending();
            assert!("SR".contains(state(hidden)), "{}", state(hidden));
        }
    });
}

#[test]
fn an_ancestor_above_a_hidden_one_is_not_killed_with_its_tree() {
    in_pid_namespace(|| {
        if !hide_processes() {
            return;
        }
        let Some(setpriv) = program("setpriv") else {
            return skip("no setpriv");
        };
        let (user, dir) = (Unprivileged::new(), tempdir());
        let sh = set_user_id(&dir, "sh");
        let user_again = format!(
            "{} --reuid 65534 --regid 65534 --clear-groups",
            setpriv.display()
        );
        // The user's shell, a set-user-ID root shell, which is hidden, and the user's shell again.
        let innermost = dir.file(
            "innermost",
            "for call in '-KILL' '--grace 5s' '-TERM --wait' '-HUP'; do \"$0\" --tree $call $1; echo status $?; done\n\
             start() { cut -d' ' -f22 /proc/$1/stat; }\n\
             while [ \"$(start $$)\" = \"$(start self)\" ]; do :; done\n\
             exec 3<&0; cat <&3 & \"$0\" --tree -KILL --wait $!; echo younger $?\n",
        );
        let inner = format!(
            "{user_again} sh -c \". {}\" {} $1 2>&1",
            innermost.display(),
            user.path().display()
        );
        let script = format!("{} -p -c '{inner}' sh $$; exec cat", sh.display());
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir("/");
        let mut ancestor = victim().owned_by(NOBODY).command(command);
        for _call in 0..4 {
            let told = ancestor.read_line();
            assert!(told.contains("may be an ancestor of sigsend"), "{told}");
            assert_eq!(ancestor.read_line(), "status 1");
        }
        // One that started after the child of the hidden one is no ancestor.
        assert_eq!(ancestor.read_line(), "younger 0");
        ancestor.assert_alive();
    });
}

#[test]
fn a_hidden_thread_id_is_not_gone() {
    in_pid_namespace(|| {
        if !hide_processes() {
            return;
        }
        // Only its second thread has this ID.
        let family = Family::with_role("threads");
        let threads = fs::read_dir(format!("/proc/{}/task", family.pid())).expect("a process");
        let threads = threads.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let thread = threads
            .filter(|id| *id != family.arg())
            .last()
            .expect("a second thread");
        let user = Unprivileged::new();
        for call in [
            &["--wait"][..],
            &["-0", "--wait"],
            &["--grace", "5s"],
            &["--id"],
            &["-KILL", "--wait"],
        ] {
            let told = user
                .sigsend()
                .args(call)
                .arg(&thread)
                .assert()
                .code(1)
                .stdout("");
            assert!(
                stderr(&told).contains(&format!("{thread} is a thread")),
                "{call:?}: {}",
                stderr(&told)
            );
        }
        user.sigsend().args(["--alive", &thread]).assert().code(2);
        sigsend()
            .args(["--alive", &family.arg()])
            .assert()
            .success();
    });
}

#[test]
fn a_live_thread_is_not_gone_without_proc() {
    in_pid_namespace(|| {
        let family = Family::with_role("threads");
        let threads = fs::read_dir(format!("/proc/{}/task", family.pid())).expect("a process");
        let threads = threads.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let thread = threads
            .filter(|id| *id != family.arg())
            .last()
            .expect("a second thread");
        for call in ["--wait", "-0 --within 1s"] {
            let script = format!("mount -t tmpfs none /proc && \"$0\" {call} $1");
            let mut command = Command::new("unshare");
            command.args([
                "--mount",
                "sh",
                "-c",
                &script,
                crate::support::SIGSEND,
                &thread,
            ]);
            let output = command.output().expect("unshare starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains(&format!("{thread} is a thread")), "{said}");
        }
        eventually("the family to continue", || state(family.pid()) == 'S');
        Victim::sleeping().assert_alive();
    });
}
