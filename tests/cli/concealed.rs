//! What cannot be seen proves nothing: processes that /proc hides, descriptors of a single thread,
//! and a crowd of other descriptors and sockets.

use crate::limits::{may_open, size};
use crate::support::prelude::*;

const NAME: &str = "concealed";

#[test]
fn a_hidden_process_that_may_fit_is_neither_signalled_nor_called_gone() {
    in_pid_namespace!();
    if !hide_processes() {
        return;
    }
    let user = Unprivileged::new();
    let alive = |words: &str| _ = call!(user.sigsend(), "--alive {words}").code(2);
    let refuses = |words: &str, why: &str| {
        for call in ["-TERM", "--wait", "--grace 5s"] {
            call!(user.sigsend(), "-v {call} {words}").fails(1, why);
        }
    };
    // One of the caller, which is not dumpable, like ssh-agent; one of another user; and none.
    let own = || Some(Family::with_role(&format!("not-dumpable {NAME}")));
    let renamed = format!("echo {NAME} >/proc/$$/comm; echo ready; read line");
    let foreign = || Some(Family::shell(&renamed));
    let process: [&dyn Fn() -> Option<Family>; 3] = [&own, &foreign, &|| None];
    for start in process {
        let process = start();
        for selection in [NAME, &format!("-f {NAME}"), &format!("-u root {NAME}")] {
            alive(selection);
            refuses(selection, "hid");
        }
        if let Some(process) = process {
            alive(&format!("-f {NAME} {process}"));
            refuses(&format!("-f {NAME} {process}"), &process.arg());
            refuses(&format!("-u root {process}"), &process.arg());
            process.assert_alive();
        }
    }
    // Only sigsend itself is seen to have this one.
    alive("sigsend");
    // What can be seen is enough to be alive, and gets the signal.
    for selection in [NAME, &format!("-f {NAME}")] {
        let visible = victim().named(NAME).owned_by(NOBODY).sleeping();
        let _hidden = own();
        call!(user.sigsend(), "--alive {selection}").code(0);
        call!(user.sigsend(), "-HUP {selection}").code(0);
        visible.assert_killed_by(1);
    }
}

#[test]
fn a_socket_that_only_a_thread_has_open_is_found() {
    in_pid_namespace!();
    needs!(entered_network(), "a network namespace");
    let process = Family::with_role("listens-in-a-thread 8080");
    assert_eq!(run!("-p :8080").code(0).out, format!("{process}\n"));
    run!("-KILL --wait :8080").code(0);
    process.assert_killed_by(9);
}

#[test]
fn descriptors_of_other_users_are_not_looked_at_for_a_port() {
    in_pid_namespace!();
    needs!(may_change_user() && entered_network(), "root");
    let foreign = victim().owned_by(NOBODY).sleeping();
    let own = Family::with_role("crowded 8080 0 0");
    let trace = traced!("trace=openat", "-p :8080");
    assert_eq!(trace.done.out, format!("{own}\n"));
    // Opened from the descriptor of /proc.
    let looks_at = |process: &str| {
        let calls = &mut trace.calls.iter();
        calls.any(|call| call.contains(&format!("\"{process}/fd")))
    };
    assert!(looks_at(&own.arg()));
    assert!(!looks_at(&foreign.arg()));
}

#[test]
fn a_port_is_found_among_many_descriptors_and_sockets() {
    in_pid_namespace!();
    needs!(entered_network(), "a network namespace");
    let mut sizes = [size(10_000, 100_000), 10_000].into_iter();
    let Some(descriptors) = sizes.find(|size| may_open(*size)) else {
        return skip("a process may not open 10,000 files");
    };
    let crowd = |nth| Family::with_role(&format!("crowded {} 0 9999", 10_000 * nth));
    let _crowds: Vec<_> = (1..=size(1, 5)).map(crowd).collect();
    let process = Family::with_role(&format!("crowded 8080 {descriptors} 0"));
    let done = run!("-p :8080").within(10).code(0);
    assert_eq!(done.out, format!("{process}\n"));
}

#[test]
fn a_name_means_the_callers_processes_in_a_user_namespace_too() {
    in_pid_namespace!();
    needs!(may_change_user(), "root");
    let user = Unprivileged::new();
    // As root of the namespace, and as a user that it does not map.
    for (options, statuses) in [("--user --map-root-user", &[0][..]), ("--user", &[0, 64])] {
        let own = victim().named(NAME).owned_by(NOBODY).sleeping();
        let foreign = victim().named(NAME).sleeping();
        let mut command = tool(&format!("unshare {options}"));
        command.uid(NOBODY).gid(NOBODY).arg(user.path());
        let done = call!(command, "-HUP {NAME}");
        if done.err.starts_with("unshare: ") {
            return skip(done.err);
        }
        own.assert_killed_by(1);
        foreign.assert_alive();
        let status = done.status.expect("it is not killed");
        assert!(statuses.contains(&status), "{done:?}");
    }
}
