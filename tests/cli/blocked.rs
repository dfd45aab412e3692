//! One target never waits for another: processes that block, fork for ever or are not reaped delay
//! neither the signals to others nor a later signal to themselves.

mod fuse;
mod state;

use std::fmt::Debug;

use nix::sys::signal::killpg;

use crate::cgroup::group::Group;
use crate::support::prelude::*;
use crate::support::raw;
use fuse::Unreadable;

/// What is due earlier has come by then, even on a busy machine. What waits for a look that lasts a
/// second comes later.
const SOON: Duration = Duration::from_millis(900);

/// The measurements that were late each of three times, since a busy machine may spoil one.
fn late<T: Copy + Debug>(rows: &[T], took: impl Fn(T) -> Option<Duration>) -> Vec<String> {
    let is_late = |took: &Duration| *took >= SOON;
    let measured = rows.iter().map(|row| {
        let times = (0..3).map_while(|_| took(*row)).take_while(is_late);
        (row, times.collect::<Vec<_>>())
    });
    let found = measured.filter(|(_, times)| times.len() == 3);
    found.map(|late| format!("{late:?}")).collect()
}

/// Too long for a command name, so that the whole of it is only in the memory of the process.
const LONG_NAME: &str = "blocked-in-the-kernel";

#[test]
fn a_command_line_that_cannot_be_read_holds_up_no_call() {
    in_pid_namespace!();
    needs!(may_change_user(), "root");
    let Some(unreadable) = Unreadable::named(&LONG_NAME[..15]) else {
        return;
    };
    let run = |call: &str| {
        let call = call.replace("LONG", LONG_NAME);
        let begin = Instant::now();
        let done = run!("{}", call.replace("PID", &unreadable.arg()));
        assert!(begin.elapsed() < Duration::from_secs(10), "{done:?}");
        unreadable.assert_untouched();
        done
    };
    // Another user's, and whether it has the name cannot be told.
    let calls = "-HUP LONG | -HUP --within 1s LONG | -HUP -a LONG | -HUP -a -f LONG | -p -a LONG \
        | --alive LONG | --alive -f LONG | -HUP --expect LONG PID \
        | -HUP --expect LONG --within 1s PID | -HUP -f LONG PID | -HUP --tree -f LONG PID";
    for call in each(calls) {
        run(call).code(if call.contains("--alive") { 2 } else { 1 });
    }
    for call in each("-HUP LONG | -HUP -a LONG | -HUP -a -f LONG | -HUP --within 10s LONG") {
        let other = victim().named(LONG_NAME).sleeping();
        run(call);
        other.assert_killed_by(1);
    }
}

/// Processes that TERM does not end and that have yet to take it, or fork for ever. All of them are
/// in one process group, and gone at the end of the test.
struct Undecided {
    head: Family,
    leader: Victim,
    control: Option<Group>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    GroupWithoutLeader,
    Tree,
    ControlGroup,
}

/// A role, and where it is tried.
const UNDECIDED: [(&str, Place); 7] = [
    ("catching-vfork", Place::GroupWithoutLeader),
    ("catching-vfork", Place::Tree),
    ("catching-vfork", Place::ControlGroup),
    ("short-lived 20 3000", Place::GroupWithoutLeader),
    ("short-lived 20 3000", Place::Tree),
    ("short-lived 20 3000", Place::ControlGroup),
    // The leader is frozen in a group below.
    ("frozen", Place::ControlGroup),
];

impl Undecided {
    /// `None` if there are no control groups here.
    fn start(role: &str, place: Place) -> Option<Self> {
        let mut leader = Victim::sleeping();
        let control = match place {
            Place::ControlGroup => Some(control_group()?),
            Place::Tree | Place::GroupWithoutLeader => None,
        };
        let head = match role {
            "frozen" => Family::shell_in_group_of(&leader, STUBBORN),
            role => Family::with_role_in_group_of(&leader, role),
        };
        if let Some(control) = &control {
            control.take(head.pid());
            for pid in head.children() {
                // One that is gone was a short-lived one, and the next ones start in the group.
                let members = children(pid).into_iter().chain([pid]);
                for pid in members {
                    let _ = fs::write(control.path().join("cgroup.procs"), pid.to_string());
                }
            }
        }
        match &control {
            Some(control) if role == "frozen" => {
                let below = control.child("frozen");
                below.take(leader.pid());
                below.freeze();
            }
            _ => {
                leader.kill();
            }
        }
        Some(Self {
            head,
            leader,
            control,
        })
    }

    fn call(&self, options: &str, place: Place) -> Victim {
        let (head, leader) = (&self.head, &self.leader);
        match (&self.control, place) {
            (Some(control), _) => background!("{options} --cgroup {control}"),
            (None, Place::Tree) => background!("{options} --tree {head}"),
            (None, _) => background!("{options} -- -{leader}"),
        }
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        // The head is in the group and not reaped yet, so that the number is the group's.
        let _ = killpg(Pid::from_raw(self.leader.pid()), Signal::SIGKILL);
    }
}

#[test]
fn a_wait_for_processes_that_have_yet_to_take_a_signal_ends_on_time() {
    let late = late(&UNDECIDED, |(role, place)| {
        let undecided = Undecided::start(role, place)?;
        let begin = Instant::now();
        let call = undecided.call("--within 100ms", place);
        call.assert_exited_with(124);
        Some(begin.elapsed())
    });
    assert!(late.is_empty(), "{late:#?}");
}

#[test]
fn a_group_does_not_wait_for_another_whose_members_have_yet_to_take_the_signal() {
    let late = late(&UNDECIDED, |(role, place)| {
        let undecided = Undecided::start(role, place).filter(|_| place != Place::Tree)?;
        let others = [Victim::sleeping(), Victim::sleeping()];
        let control = undecided.control.as_ref();
        let control = control.map_or(String::new(), |group| format!("--cgroup {group}"));
        let [one, two] = others.each_ref().map(Victim::group_arg);
        let groups = format!("{one} {} {two}", undecided.leader.group_arg());
        let begin = Instant::now();
        let call = background!("-TERM --timeout 1200ms KILL {control} -- {groups}");
        killed(&others, 15);
        let took = begin.elapsed();
        call.ending();
        Some(took)
    });
    assert!(late.is_empty(), "{late:#?}");
}

#[test]
fn a_kill_of_processes_that_have_yet_to_take_a_signal_is_on_time() {
    for call in ["--grace 100ms", "--timeout 200ms KILL"] {
        let late = late(&UNDECIDED, |(role, place)| {
            let undecided = Undecided::start(role, place)?;
            let begin = Instant::now();
            let call = undecided.call(call, place);
            // A tree is stopped before it is killed, which takes a second if a member is blocked.
            let is_stopped = || "TZ".contains(state(undecided.head.pid()));
            eventually("KILL, or the STOP before it", is_stopped);
            let took = begin.elapsed();
            call.ending();
            undecided.head.assert_killed_by(9);
            Some(took)
        });
        assert!(late.is_empty(), "{call}: {late:#?}");
    }
}

#[test]
fn a_tree_is_killed_while_another_is_still_being_stopped() {
    // Alone, since what starts with a session of its own meanwhile may be an escaped member.
    in_pid_namespace!();
    let late = late(&[[0, 1], [1, 0]], |order| {
        let (mut blocked, other) = (Family::with_role("vfork"), Victim::sleeping());
        let roots = [blocked.arg(), other.arg()];
        let begin = Instant::now();
        let [first, second] = order.map(|nth| &roots[nth]);
        let call = background!("--tree -KILL {first} {second}");
        other.assert_killed_by(9);
        let took = begin.elapsed();
        call.assert_exited_with(0);
        blocked.assert_killed_by(9);
        assert_eq!(blocked.assert_all_ended(), Vec::<String>::new());
        Some(took)
    });
    assert!(late.is_empty(), "{late:#?}");
}

#[test]
fn a_process_that_appears_after_the_kill_of_one_tree_is_no_orphan_of_it() {
    in_pid_namespace!();
    needs!(program("setsid").is_some(), "setsid");
    let (mut blocked, other) = (Family::with_role("vfork"), Victim::sleeping());
    let mut call = raw_sigsend();
    call.args(["--tree", "-KILL", &blocked.arg(), &other.arg()]);
    let call = call.stderr(Stdio::piped()).spawn();
    let call = call.expect("sigsend starts");
    other.assert_killed_by(9);
    // The KILLs of this tree are over when sigsend sleeps until the other one is stopped.
    let pid = i32::try_from(call.id()).expect("a PID");
    eventually("sigsend waits for the other tree", || state(pid) == 'S');
    // It loses its parent and has a session of its own, as an escaped member would.
    let stranger = tool("setsid --fork sleep 60").status();
    assert!(stranger.expect("setsid starts").success());
    Done::of("--tree -KILL", call.wait_with_output().expect("a child")).fine();
    assert_eq!(blocked.assert_all_ended(), Vec::<String>::new());
}

#[test]
fn a_step_does_not_wait_until_it_is_known_how_a_process_ended() {
    needs!(may_change_user(), "root");
    // Each step ends one process, which is not reaped, and how it ended is hidden from the user.
    let steps = [1, 2, 3, 5, 6, 10, 12, 14, 15, 24, 25, 26, 27];
    let user = Unprivileged::new();
    let late = late(&["-v", "--json", "-q1"], |option| {
        let dies_of = |signal| Family::with_role(&format!("dies-of {signal}"));
        let (ended, last) = (steps.map(dies_of), dies_of(9));
        let mut call = raw(user.path());
        call.uid(NOBODY).gid(NOBODY).stdout(Stdio::piped());
        call.args([option, "-s", &steps[0].to_string()]);
        for signal in steps[1..].iter().chain(&[9]) {
            call.args(["--timeout", "20ms", &signal.to_string()]);
        }
        call.args(ended.iter().chain([&last]).map(|process| process.arg()));
        let begin = Instant::now();
        let call = call.spawn().expect("sigsend starts");
        last.assert_killed_by(9);
        let took = begin.elapsed();
        call.wait_with_output().expect("a child");
        for (process, signal) in ended.iter().zip(steps) {
            process.assert_killed_by(signal);
        }
        Some(took)
    });
    assert!(late.is_empty(), "{late:#?}");
}
