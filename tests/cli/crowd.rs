//! A machine with thousands of processes: a name is found in one pass over /proc that reads one
//! small file of each.

use std::process::Command;

use crate::support::{
    Recorder, Victim, in_pid_namespace, program, raw_sigsend, sigsend, skip, stdout, strace, victim,
};

const CROWD: usize = 5000;

/// `size` children of a shell that execute nothing and sleep until the test ends. `None` if this
/// machine does not allow so many.
fn crowd(size: usize) -> Option<Victim> {
    let all = format!(
        "i=0; while [ $i -lt {size} ]; do read line <&3 & i=$((i+1)); done; echo ready; read line"
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec 3<&0; ({all}) 2>&1 || echo no room")]);
    let mut crowd = victim().command(shell);
    let said = crowd.read_line();
    if said == "ready" {
        return Some(crowd);
    }
    skip(format!("no room for {size} processes: {said}"));
    None
}

#[test]
fn a_name_is_found_among_thousands_in_one_pass() {
    in_pid_namespace(|| {
        let Some(crowd) = crowd(CROWD) else { return };
        let wanted = [(); 3].map(|()| victim().named("wanted").sleeping());
        let expected = wanted.each_ref().map(Victim::arg).join("\n") + "\n";
        sigsend()
            .args(["-p", "wanted"])
            .assert()
            .success()
            .stdout(expected.clone())
            .stderr("");
        let all = sigsend().args(["-p", "sh"]).assert().success();
        assert!(stdout(&all).lines().count() >= CROWD);

        if let Some(trace) = strace(
            "trace=?open,openat,read,getdents64,pidfd_open",
            &["-p", "wanted"],
        ) {
            assert_eq!(String::from_utf8_lossy(&trace.output.stdout), expected);
            let count =
                |what: &dyn Fn(&str) -> bool| trace.calls.iter().filter(|call| what(call)).count();
            assert_eq!(count(&|call| call.contains("\"/proc\"")), 1, "one pass");
            // A batch of 32 KiB names more than a thousand processes; the last one is empty. The C
            // library decides how long a batch is.
            let batches = trace
                .calls
                .iter()
                .filter(|call| call.starts_with("getdents64("));
            let room = |call: &String| {
                call.rsplit_once(") = ")?
                    .0
                    .rsplit_once(", ")?
                    .1
                    .parse::<usize>()
                    .ok()
            };
            let rooms: Vec<_> = batches
                .map(room)
                .collect::<Option<_>>()
                .expect("each batch has a size");
            assert!(
                rooms.iter().sum::<usize>() <= 8 * 32 * 1024,
                "{} batches: {rooms:?}",
                rooms.len()
            );
            assert_eq!(
                count(&|call| call.starts_with("pidfd_open(")),
                3,
                "only processes with the name are pinned"
            );
            let names = count(&|call| call.contains("/comm\""));
            assert!(
                (CROWD..CROWD + 20).contains(&names),
                "{names} command names of {CROWD} processes"
            );
            let of_processes = |call: &str| {
                call.split_once("\"/proc/")
                    .is_some_and(|(_, path)| path.starts_with(|c: char| c.is_ascii_digit()))
            };
            assert_eq!(
                count(&of_processes),
                names + 3,
                "and the owners of the processes with the name"
            );
            let reads = count(&|call| call.starts_with("read("));
            assert!(reads <= names + 60, "{reads} reads of {names} small files");
        }

        sigsend()
            .args(["-HUP", "wanted"])
            .assert()
            .success()
            .stdout("")
            .stderr("");
        for wanted in &wanted {
            wanted.assert_killed_by(1);
        }
        crowd.assert_alive();
    });
}

#[test]
fn a_thousand_of_one_name_are_pinned_beyond_the_soft_limit_of_open_files() {
    in_pid_namespace(|| {
        let Some(crowd) = crowd(1000) else { return };
        let mut bystander = Recorder::new();
        let Some(prlimit) = program("prlimit") else {
            return skip("no prlimit");
        };
        let limited = |limits: &str, args: &[&str]| {
            let sigsend = raw_sigsend();
            let mut command = Command::new(&prlimit);
            command
                .arg(format!("--nofile={limits}"))
                .arg(sigsend.get_program())
                .args(args);
            command.output().expect("prlimit starts")
        };
        let refused = limited("256:256", &["-KILL", "sh"]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("256 open files"), "{said}");
        crowd.assert_alive();

        let killed = limited("256:2048", &["-KILL", "sh"]);
        assert_eq!(
            killed.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&killed.stderr)
        );
        crowd.assert_killed_by(9);
        bystander.assert_untouched();
    });
}
