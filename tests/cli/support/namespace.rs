//! Private PID namespaces, for tests that may signal every process or need a certain PID.

use std::any::type_name;
use std::env;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use assert_cmd::Command as Bounded;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use super::{DEADLINE, Recorder, in_full, running_as_root, skip, write_stderr};

/// The environment variable with the name of the test that a test binary in a namespace runs.
pub const INSIDE: &str = "SIGSEND_TEST_NAMESPACE";

/// Puts the test into a PID namespace of its own with its own /proc. There it is PID 1 and leads a
/// session, and all other processes die with it. A bystander outside must get no signal.
///
/// The test binary starts another instance of itself for this test; outside, the test is left here.
macro_rules! in_pid_namespace {
    () => {
        if !$crate::support::is_in_pid_namespace(&|| {}) {
            return;
        }
    };
}

pub(crate) use in_pid_namespace;

/// Runs the test that holds the closure in a namespace; true inside.
#[track_caller]
pub fn is_in_pid_namespace<Closure: Fn()>(_: &Closure) -> bool {
    let test = test_name::<Closure>();
    if env::var(INSIDE).is_ok_and(|inside| inside == test) {
        assert_eq!(std::process::id(), 1, "the namespace is not a fresh one");
        return true;
    }
    if let Err(reason) = permitted() {
        skip(reason);
        return false;
    }
    let mut bystander = Recorder::new();
    let mut inside = unshare();
    inside.arg(env::current_exe().expect("a running test has a path"));
    inside.args(["--exact", &test, "--nocapture", "--test-threads=1"]);
    inside.env(INSIDE, &test);
    let limit = if in_full() { 60 } else { 6 } * DEADLINE;
    let output = Bounded::from_std(inside).timeout(limit).output();
    let output = output.expect("unshare starts");
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|o| String::from_utf8_lossy(o));
    // A run whose filter matches no test succeeds, too.
    let passed = output.status.success() && stdout.contains("test result: ok. 1 passed");
    let how = format!("{test} ended with {}\n{stdout}{stderr}", output.status);
    assert!(passed, "in its namespace, {how}");
    bystander.assert_untouched();
    let skipped = stderr.lines().filter(|line| line.starts_with("skipped: "));
    skipped.for_each(write_stderr);
    false
}

/// `MODULE::TEST`, from the type of the closure that the test holds.
fn test_name<Body>() -> String {
    let path = type_name::<Body>();
    let path = path.split_once("::").map_or(path, |(_crate, path)| path);
    let (test, _closure) = path.split_once("::{{closure}}").unwrap_or((path, ""));
    test.to_owned()
}

/// `unshare … setsid`, to be followed by a program that becomes PID 1 of a new namespace and dies
/// with its parent.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    if !running_as_root() {
        command.arg("--map-root-user");
    }
    // A process group can span PID namespaces, but not sessions.
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child", "setsid"]);
    command.stdin(Stdio::null());
    command
}

/// Whether namespaces can be created here, and if not, why. Determined once.
fn permitted() -> Result<(), String> {
    static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
    let ask = || {
        let mut command = unshare();
        command.arg("true");
        let asked = Bounded::from_std(command).timeout(DEADLINE).output();
        let output = asked.map_err(|error| format!("no PID namespaces: unshare: {error}"))?;
        let why = String::from_utf8_lossy(&output.stderr);
        let is_permitted = output.status.success();
        let answer = is_permitted.then_some(());
        answer.ok_or(format!("no PID namespaces: {}", why.trim()))
    };
    ANSWER.get_or_init(ask).clone()
}

/// Reaps all dead processes whose parent is dead. For tests in a namespace, between two victims.
pub fn reap_orphans() {
    let is_dead = |status: nix::Result<WaitStatus>| {
        status.is_ok_and(|status| status != WaitStatus::StillAlive)
    };
    while is_dead(waitpid(None, Some(WaitPidFlag::WNOHANG))) {}
}

/// Lowers the PID limit of this namespace, which has its own since Linux 6.14: if /proc hides
/// processes, sigsend tries every PID.
pub fn keep_pids_small() {
    if kernel() >= (6, 14) {
        std::fs::write("/proc/sys/kernel/pid_max", "32768").expect("root may set it");
    }
}

pub fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let parts = release.split(['.', '-']);
    let mut numbers = parts.map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
