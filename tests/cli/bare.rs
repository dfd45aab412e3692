//! Minimal environments: an empty root directory, closed standard descriptors.

use std::process::{Command, Output};

use crate::support::{
    Recorder, SIGSEND, TempDir, Timed, clean, is_dynamic, running_as_root, skip, tempdir,
};

/// A root directory with nothing in it but the program.
fn empty_root() -> TempDir {
    let root = tempdir();
    // Copied by another process: a child of another thread could inherit a descriptor that is open
    // for writing here.
    let copied = Command::new("cp")
        .arg(*SIGSEND)
        .arg(root.path().join("sigsend"))
        .status();
    assert!(copied.expect("cp starts").success());
    root
}

/// `sigsend args` in this root, with these redirections of a shell.
fn inside(root: &TempDir, redirections: &str, args: &[&str]) -> Output {
    let mut command = clean(Command::new("sh"));
    command
        .args([
            "-c",
            &format!("exec chroot \"$0\" /sigsend \"$@\" {redirections}"),
        ])
        .arg(root.path())
        .args(args);
    assert_cmd::Command::from_std(command)
        .timed()
        .output()
        .expect("sh starts")
}

#[test]
fn closed_standard_descriptors_need_no_dev_null() {
    if !running_as_root() {
        return skip("needs root");
    }
    if is_dynamic() {
        return skip("the program needs a dynamic linker, which an empty root lacks");
    }
    let root = empty_root();
    let mut target = Recorder::new();
    let pid = target.arg();
    for closed in [
        "",
        "<&-",
        ">&-",
        "2>&-",
        "<&- >&-",
        "<&- 2>&-",
        ">&- 2>&-",
        "<&- >&- 2>&-",
    ] {
        let sent = inside(&root, closed, &["-USR1", &pid]);
        assert_eq!(
            (sent.status.code(), &*sent.stderr),
            (Some(0), &b""[..]),
            "{closed}"
        );
        assert_eq!(target.signals(), [10], "{closed}");

        let told = inside(&root, closed, &["-v", "-USR1", "--within", "0s", &pid]);
        let is_mute = closed.split(' ').any(|word| word == ">&-");
        assert_eq!(
            told.status.code(),
            Some(if is_mute { 1 } else { 124 }),
            "{closed}"
        );
        assert_eq!(target.signals(), [10], "{closed}");

        let read = inside(&root, closed, &["-USR1", "--allow-stale", "--pidfile", "-"]);
        let status = i32::from(closed.contains("<&-"));
        assert_eq!(
            read.status.code(),
            Some(status),
            "{closed} {}",
            String::from_utf8_lossy(&read.stderr)
        );
    }
    target.assert_untouched();
}
