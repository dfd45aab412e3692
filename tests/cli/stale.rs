//! How old a pidfile may be: a process that started more than two seconds after it was last
//! modified did not write it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use crate::support::{
    Recorder, SIGSEND, TempDir, Victim, back_date, sigsend, skip, stderr, stdout, tempdir,
};

fn text(path: &Path) -> &str {
    path.to_str().expect("the paths of tests are UTF-8")
}

/// When a process started, by the wall clock; the resolution is 10 ms.
fn birth(target: &Victim) -> SystemTime {
    let stat = fs::read_to_string(format!("/proc/{}/stat", target.pid())).expect("it is alive");
    let ticks = stat
        .rsplit_once(") ")
        .expect("stat")
        .1
        .split(' ')
        .nth(19)
        .expect("its start")
        .parse::<u64>();
    let since_boot = Duration::from_millis(ticks.expect("a number") * 10);
    let up = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).expect("a clock"));
    SystemTime::now() - up.saturating_sub(since_boot)
}

fn set_modified(file: &Path, time: SystemTime) {
    let time = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => TimeSpec::from_duration(since),
        Err(before) => TimeSpec::new(
            -i64::try_from(before.duration().as_secs()).expect("not that long ago"),
            0,
        ),
    };
    utimensat(
        nix::fcntl::AT_FDCWD,
        file,
        &time,
        &time,
        UtimensatFlags::FollowSymlink,
    )
    .expect("the file is ours");
}

#[test]
fn a_process_more_than_two_seconds_younger_than_its_file_is_refused() {
    let (dir, target) = (tempdir(), Victim::sleeping());
    let file = dir.file("x.pid", target.arg());
    let birth = birth(&target);
    let seconds = Duration::from_secs;
    for older in [Duration::ZERO, seconds(1), Duration::from_millis(1900)] {
        set_modified(&file, birth - older);
        sigsend()
            .args(["-0", "--pidfile", text(&file)])
            .assert()
            .success()
            .stdout("")
            .stderr("");
    }
    for younger in [seconds(1), seconds(3600), seconds(1 << 33)] {
        set_modified(&file, birth + younger);
        sigsend()
            .args(["-0", "--pidfile", text(&file)])
            .assert()
            .success()
            .stdout("")
            .stderr("");
    }
    for older in [
        Duration::from_millis(2100),
        seconds(3),
        seconds(86400 * 365),
    ] {
        set_modified(&file, birth - older);
        sigsend()
            .args(["-KILL", "--pidfile", text(&file)])
            .assert()
            .code(1)
            .stdout("");
        sigsend()
            .args(["--alive", "--pidfile", text(&file)])
            .assert()
            .code(1)
            .stdout("");
        sigsend()
            .args(["-0", "--allow-stale", "--pidfile", text(&file)])
            .assert()
            .success()
            .stderr("");
    }
    set_modified(&file, SystemTime::UNIX_EPOCH - seconds(86400 * 400));
    let stale = sigsend()
        .args(["-KILL", "--pidfile", text(&file)])
        .assert()
        .code(1)
        .stdout("");
    assert!(
        stderr(&stale).starts_with(&format!("sigsend: pidfile {} is stale: ", file.display())),
        "{}",
        stderr(&stale)
    );
    target.assert_alive();
}

#[test]
fn a_stale_pidfile_is_reported_with_both_times_and_a_hint() {
    let (dir, target) = (tempdir(), Victim::sleeping());
    let file = dir.file("x.pid", target.arg());
    set_modified(
        &file,
        SystemTime::UNIX_EPOCH + Duration::from_secs(951_782_400),
    );
    let stale = sigsend()
        .args(["-KILL", "--pidfile", text(&file)])
        .assert()
        .code(1)
        .stdout("");
    let said = stderr(&stale);
    let (line, hint) = said.split_once('\n').expect("a line and a hint");
    let begin = format!(
        "sigsend: pidfile {} is stale: {} started at 2",
        file.display(),
        target.pid()
    );
    assert!(line.starts_with(&begin), "{line}");
    assert!(
        line.ends_with(", the file was last modified at 2000-02-29T00:00:00.000Z"),
        "{line}"
    );
    assert!(
        hint.contains("--allow-stale") && hint.contains("--expect"),
        "{hint}"
    );
    target.assert_alive();
}

#[test]
fn a_token_or_a_typed_target_has_no_age() {
    let dir = tempdir();
    let mut target = Recorder::new();
    let (pid, token) = (
        target.arg(),
        stdout(&sigsend().args(["--id", &target.arg()]).assert().success()),
    );
    let file = old_file(&dir, &token);
    sigsend()
        .args(["-USR1", "--pidfile", &file])
        .assert()
        .success()
        .stderr("");
    assert_eq!(target.signals(), [10]);
    let file = old_file(&dir, &pid);
    sigsend()
        .args(["-USR1", &pid, "--pidfile", &file])
        .assert()
        .code(64);
    assert_eq!(
        target.signals(),
        [10],
        "one signal for the operand and none for its stale pidfile"
    );
    let file = old_file(&dir, &format!("{pid} {token}"));
    sigsend()
        .args(["-USR1", "--pidfile", &file])
        .assert()
        .code(64);
    assert_eq!(target.signals(), [10]);
}

fn old_file(dir: &TempDir, content: &str) -> String {
    let file = dir.file("old.pid", content);
    back_date(&file, Duration::from_secs(60));
    text(&file).to_owned()
}

#[test]
fn a_pidfile_is_not_stale_in_a_time_namespace() {
    let dir = tempdir();
    let target = Victim::sleeping();
    let file = dir.file("x.pid", target.arg());
    for shift in ["864000", "-1"] {
        let mut command = Command::new("unshare");
        command.args(["--time", "--fork", "--boottime", shift]);
        let permitted = command.arg("true").output().expect("unshare starts");
        if !permitted.status.success() {
            return skip(format!(
                "no time namespaces: {}",
                String::from_utf8_lossy(&permitted.stderr).trim()
            ));
        }
        let mut command = Command::new("unshare");
        command
            .args([
                "--time",
                "--fork",
                "--boottime",
                shift,
                SIGSEND,
                "-0",
                "--pidfile",
            ])
            .arg(&file);
        let output = command.output().expect("unshare starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.is_empty(),
            "{shift}: {said}"
        );
    }
    target.assert_alive();
}
