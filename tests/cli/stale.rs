//! How old a pidfile may be: a process that started more than two seconds after it was last
//! modified did not write it.

use std::time::SystemTime;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use crate::support::prelude::*;

/// When a process started, by the wall clock; the resolution is 10 ms.
fn birth(target: &Victim) -> SystemTime {
    let stat = fs::read_to_string(format!("/proc/{target}/stat")).expect("it is alive");
    let (_, fields) = stat.rsplit_once(") ").expect("stat");
    let ticks = fields.split(' ').nth(19).and_then(|t| t.parse().ok());
    let ticks: u64 = ticks.expect("its start");
    let up = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).expect("a clock"));
    SystemTime::now() - up.saturating_sub(Duration::from_millis(ticks * 10))
}

fn set_modified(file: &str, time: SystemTime) {
    let time = match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => TimeSpec::from_duration(since),
        Err(before) => {
            let before = i64::try_from(before.duration().as_secs());
            TimeSpec::new(-before.expect("recent"), 0)
        }
    };
    let set = utimensat(AT_FDCWD, file, &time, &time, UtimensatFlags::FollowSymlink);
    set.expect("the file is ours");
}

#[test]
fn a_process_more_than_two_seconds_younger_than_its_file_is_refused() {
    let (dir, target) = (tempdir(), Victim::sleeping());
    let file = dir.arg("x.pid", target.arg());
    let (birth, ms) = (birth(&target), Duration::from_millis);
    for older in [0, 1000, 1900] {
        set_modified(&file, birth - ms(older));
        run!("-0 --pidfile {file}").ok();
    }
    for younger in [1000, 3_600_000, 1 << 43] {
        set_modified(&file, birth + ms(younger));
        run!("-0 --pidfile {file}").ok();
    }
    for older in [2100, 3000, 86_400_000 * 365] {
        set_modified(&file, birth - ms(older));
        run!("-KILL --pidfile {file}").fails(1, "sigsend: ");
        run!("--alive --pidfile {file}").fails(1, "sigsend: ");
        run!("-0 --allow-stale --pidfile {file}").fine();
    }
    let begin = format!("sigsend: pidfile {file} is stale: ");
    set_modified(&file, SystemTime::UNIX_EPOCH - ms(86_400_000 * 400));
    run!("-KILL --pidfile {file}").begins(1, &begin);
    // Both times are told, with a hint.
    let leap_day = SystemTime::UNIX_EPOCH + Duration::from_secs(951_782_400);
    set_modified(&file, leap_day);
    let told = run!("-KILL --pidfile {file}").begins(1, format!("{begin}{target} started at 2"));
    let (line, hint) = told.err.split_once('\n').expect("a line and a hint");
    let end = ", the file was last modified at 2000-02-29T00:00:00.000Z";
    assert!(line.ends_with(end), "{line}");
    let holds = hint.contains("--allow-stale") && hint.contains("--expect");
    assert!(holds, "{hint}");
    target.assert_alive();
}

#[test]
fn a_token_or_a_typed_target_has_no_age() {
    let (dir, mut target) = (tempdir(), Recorder::new());
    let token = token(&target);
    let old_file = |content: &str| {
        let file = dir.arg("old.pid", content);
        back_date(Path::new(&file), Duration::from_secs(60));
        file
    };
    run!("-USR1 --pidfile {}", old_file(&token)).fine();
    assert_eq!(target.signals(), [10]);
    // One signal for the operand and none for its stale pidfile.
    run!("-USR1 {target} --pidfile {}", old_file(&target.arg())).code(64);
    assert_eq!(target.signals(), [10]);
    run!("-USR1 --pidfile {}", old_file(&format!("{target} {token}"))).code(64);
    assert_eq!(target.signals(), [10]);
}

#[test]
fn in_a_time_namespace_a_pidfile_has_the_same_age() {
    let (dir, target) = (tempdir(), Victim::sleeping());
    let [fresh, stale] = ["fresh", "stale"].map(|name| dir.arg(name, target.arg()));
    back_date(Path::new(&stale), Duration::from_secs(3600));
    for shift in ["0", "864000", "-1"] {
        let unshare = |program: &str| {
            let shifts = format!("--boottime {shift} --monotonic {shift}");
            tool(&format!("unshare --time --fork {shifts} {program}"))
        };
        let permitted = unshare("true").run(&[]);
        if permitted.status != Some(0) {
            return skip(format!("no time namespaces: {}", permitted.err.trim()));
        }
        call!(unshare(&SIGSEND), "-0 --pidfile {fresh}").ok();
        call!(unshare(&SIGSEND), "-0 --pidfile {stale}").fails(1, "is stale");
    }
    target.assert_alive();
}
