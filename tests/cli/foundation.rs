//! Tests of the test helpers: with a victim that does not run, a namespace that is none or a
//! recorder that misses a signal, every other test would pass without checking anything.

use nix::sys::signal::killpg;
use nix::unistd::{getpgrp, getpid};

use crate::support::prelude::*;

#[test]
fn the_wait_status_of_a_victim_is_known() {
    let sleeper = Victim::sleeping();
    sleeper.assert_alive();
    send(sleeper.pid(), Signal::SIGUSR1);
    sleeper.assert_killed_by(10);

    let mut shell = Victim::shell(&format!("trap 'echo bye; exit 7' TERM; echo ready; {IDLE}"));
    send(shell.pid(), Signal::SIGTERM);
    assert_eq!(shell.read_line(), "bye");
    assert_eq!(shell.reap(), Ending::Exited(7));
}

#[test]
fn a_victim_can_be_stopped_dead_or_a_member_of_a_group() {
    let leader = victim().stopped();
    leader.assert_alive();
    let member = victim().in_group_of(&leader).sleeping();
    killpg(Pid::from_raw(leader.pid()), Signal::SIGKILL).expect("the group is ours");
    leader.assert_killed_by(9);
    member.assert_killed_by(9);
    Victim::zombie().assert_state('Z');
}

#[test]
fn a_victim_can_have_any_name_and_user() {
    let named = victim().named("sleeping-beauty-and-the-prince");
    let named = named.argv0("somebody").sleeping();
    assert_eq!(named.status_field("Name"), "sleeping-beauty");
    let argv = fs::read(format!("/proc/{named}/cmdline")).expect("it is alive");
    assert_eq!(argv, b"somebody\0");
    needs!(may_change_user(), "root");
    let other = victim().owned_by(NOBODY).sleeping();
    for field in ["Uid", "Gid"] {
        assert_eq!(other.status_field(field), ["65534"; 4].join("\t"));
    }
    assert_eq!(other.status_field("Groups"), "");
}

#[test]
fn a_recorder_reports_every_signal_that_can_be_caught() {
    let mut recorder = Recorder::new();
    recorder.assert_untouched();
    let is_catchable = |signal: &Signal| ![Signal::SIGKILL, Signal::SIGSTOP].contains(signal);
    for signal in Signal::iterator().filter(is_catchable) {
        send(recorder.victim().pid(), signal);
        assert_eq!(recorder.signals(), [signal as i32]);
    }
    let mut holding = Recorder::holding();
    for signal in [Signal::SIGUSR2, Signal::SIGHUP, Signal::SIGUSR2] {
        send(holding.victim().pid(), signal);
    }
    // Lowest number first, and standard signals do not queue.
    assert_eq!(holding.signals(), [1, 12]);
}

#[test]
fn a_namespace_has_only_the_test_in_it() {
    in_pid_namespace!();
    assert_eq!(all_pids(), [1]);
    assert_eq!(getpgrp(), getpid(), "the test does not lead its group");
}

#[test]
fn a_process_can_be_given_a_pid_repeatedly() {
    in_pid_namespace!();
    let mut first = victim().with_pid(4242).named("first").sleeping();
    assert_eq!((first.pid(), &*first.status_field("Name")), (4242, "first"));
    send(first.pid(), Signal::SIGTERM);
    assert_eq!(first.reap(), Ending::Killed(15));
    let mut second = victim().with_pid(4242).argv0("second");
    if may_change_user() {
        second = second.owned_by(NOBODY);
    }
    let second = second.sleeping();
    assert_eq!(second.pid(), 4242);
    second.assert_alive();
    assert_ne!(Victim::gone(), 4242);
}

#[test]
fn a_file_can_be_old_and_is_removed_with_its_directory() {
    let dir = tempdir();
    let file = dir.file("pid", "4242\n");
    back_date(&file, Duration::from_secs(3600));
    let modified = file.metadata().and_then(|data| data.modified());
    let age = modified.expect("a time").elapsed().expect("in the past");
    assert!((3599..3660).contains(&age.as_secs()));
    drop(dir);
    assert!(!file.exists());
}

#[test]
fn a_line_is_split_into_words_and_a_table_into_rows() {
    assert_eq!(words("-s '' 'a b'  x''y \n"), ["-s", "", "a b", "xy", "\n"]);
    let table = "
        a |  b c |
        'd e' | | f";
    let parts: Vec<[&str; 3]> = rows(table).collect();
    assert_eq!(parts, [["a", "b c", ""], ["'d e'", "", "f"]]);
    assert_eq!(each("a | b c|").collect::<Vec<_>>(), ["a", "b c", ""]);
}

#[test]
fn children_start_with_default_signal_dispositions() {
    const INSIDE: &str = "SIGSEND_TEST_IGNORING";
    let mut ignored = Command::new("sed");
    ignored.args(["-n", "s/^SigIgn:\t//p", "/proc/self/status"]);
    let ignored = u64::from_str_radix(ignored.run(&[]).out.trim(), 16).expect("a mask");
    // Except for the two that the C library reserves.
    assert_eq!(ignored & !(0b11 << 31), 0, "{ignored:x}");
    if env::var_os(INSIDE).is_none() {
        let script = "trap '' HUP INT QUIT TERM TSTP TTIN TTOU USR1; exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        let own = env::current_exe().expect("it has a path");
        command.args(["-c", script]).arg(own).env(INSIDE, "1");
        let test = "foundation::children_start_with_default_signal_dispositions";
        call!(command, "--exact --nocapture {test}").code(0);
    }
}
