//! A machine with thousands of processes: a name is found in one pass over /proc that reads one
//! small file of each.

use crate::port::{entered_network, serving, tcp};
use crate::support::prelude::*;

const CROWD: usize = 5000;

/// `size` children of a shell that execute nothing and sleep until the test ends. `None` if this
/// machine does not allow so many.
fn crowd(size: usize) -> Option<Victim> {
    let all = format!("while [ $i -lt {size} ]; do read line <&3 & i=$((i+1)); done");
    let all = format!("i=0; {all}; echo ready; read line");
    let mut crowd = victim().command(sh(&format!("exec 3<&0; ({all}) 2>&1 || echo no room")));
    let told = crowd.read_line();
    if told == "ready" {
        return Some(crowd);
    }
    skip(format!("no room for {size} processes: {told}"));
    None
}

#[test]
fn a_name_is_found_among_thousands_in_one_pass() {
    in_pid_namespace!();
    let Some(crowd) = crowd(CROWD) else { return };
    let wanted = [(); 3].map(|()| victim().named("wanted").sleeping());
    let expected = wanted.each_ref().map(Victim::arg).join("\n") + "\n";
    run!("-p wanted").says(&expected);
    assert!(run!("-p sh").code(0).out.lines().count() >= CROWD);
    let calls = "trace=?open,openat,read,getdents64,pidfd_open";
    if let Some(trace) = may_trace().then(|| strace(calls, "-p wanted")) {
        assert_eq!(trace.done.out, expected);
        let count =
            |what: &dyn Fn(&str) -> bool| trace.calls.iter().filter(|call| what(call)).count();
        // Everything in /proc is opened relative to it, its list too.
        assert_eq!(count(&|call| call.contains("\"/proc\"")), 1, "one /proc");
        assert_eq!(count(&|call| call.contains(", \".\", ")), 1, "one pass");
        // A batch of 32 KiB names more than a thousand processes; the last one is empty. The C
        // library decides how long a batch is.
        let is_batch = |call: &&String| call.starts_with("getdents64(");
        let batches = trace.calls.iter().filter(is_batch);
        let room = |call: &String| {
            let (arguments, _) = call.rsplit_once(") = ")?;
            arguments.rsplit_once(", ")?.1.parse::<usize>().ok()
        };
        let rooms: Option<Vec<_>> = batches.map(room).collect();
        let rooms = rooms.expect("each batch has a size");
        assert!(rooms.iter().sum::<usize>() <= 8 * 32 * 1024, "{rooms:?}");
        let pinned = count(&|call| call.starts_with("pidfd_open("));
        assert_eq!(pinned, 3, "only processes with the name are pinned");
        let names = count(&|call| call.contains("/comm\""));
        let is_each = (CROWD..CROWD + 20).contains(&names);
        assert!(is_each, "{names} names of {CROWD} processes");
        // Relative to a descriptor of /proc.
        let of_processes = |call: &str| {
            let path = call.split_once('"').map_or("", |(_, path)| path);
            path.starts_with(|c: char| c.is_ascii_digit())
        };
        // All but those of the ancestors are command names.
        let all = count(&of_processes);
        let holds = (names..names + 20).contains(&all);
        assert!(holds, "{all} files, {names} names");
        let reads = count(&|call| call.starts_with("read("));
        assert!(reads <= names + 60, "{reads} reads of {names} small files");
    }
    run!("-HUP wanted").ok();
    killed(&wanted, 1);
    crowd.assert_alive();
}

#[test]
fn a_port_is_found_among_many_with_or_without_another_thread() {
    in_pid_namespace!();
    needs!(entered_network(), "a network namespace");
    let Some(crowd) = crowd(1000) else { return };
    let server = serving(tcp("0.0.0.0:8080"));
    let expected = format!("{server}\n");
    run!("-p :8080").says(&expected);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    // Without room for a thread, too.
    for expression in ["trace=clone,clone3", "inject=clone,clone3:error=EAGAIN"] {
        let trace = traced!(expression, "-p :8080");
        assert_eq!(trace.done.out, expected);
        let threads = trace.calls.iter().filter(|call| call.starts_with("clone"));
        assert_eq!(threads.count(), processors.min(4) - 1, "{expression}");
    }
    run!("-HUP :8080").ok();
    killed(&[server], 1);
    crowd.assert_alive();
}
