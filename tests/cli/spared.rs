//! sigsend and its ancestors are spared wherever processes are described. A typed PID or a regular
//! pidfile still means them, and then they come last.

use crate::port::with_inheritable;
use crate::support::prelude::*;

/// A shell that runs the calls that it is given; `$S` is sigsend, `$$` the shell. It says `caught`
/// after USR1.
struct Caller(Victim);

impl Caller {
    /// Gives it this command name, and `words` at the end of its command line.
    fn named(name: &str, words: &[&str]) -> Self {
        const SCRIPT: &str = "trap 'echo caught' USR1; echo ready\n\
            while read -r call; do eval \"$call\" 2>&1; echo \"status $?\"; done";
        let mut options = victim().named(name);
        let mut command = Command::new(options.linked(program("sh").expect("a shell")));
        command.args(["-c", SCRIPT]).args(words).env("S", *SIGSEND);
        Self(options.ready(&mut command))
    }

    /// The output of a call, whose status must be this one.
    #[track_caller]
    fn run(&mut self, call: &str, expected: i32) -> String {
        self.0.write_line(call);
        let mut told = String::new();
        loop {
            let line = self.0.read_line();
            if let Some(status) = line.strip_prefix("status ") {
                assert_eq!(status, expected.to_string(), "{call}: {told}");
                return told;
            }
            told += &line;
            told.push('\n');
        }
    }
}

/// A socket that listens in a network namespace of this thread and its children.
fn listening(port: u16) -> Option<TcpListener> {
    if !entered_network() {
        skip("no network namespace");
        return None;
    }
    Some(TcpListener::bind(("0.0.0.0", port)).expect("a free port"))
}

fn living() -> Vec<i32> {
    sorted(all_pids().into_iter().filter(|pid| !is_dead(*pid)))
}

#[test]
fn a_description_selects_the_others_and_not_the_ancestors() {
    in_pid_namespace!();
    let Some(socket) = listening(8080) else {
        return;
    };
    // Both hold the socket, are called webd, have this directory and these words.
    let dir = tempdir();
    std::env::set_current_dir(dir.path()).expect("the only test of this process");
    let (mut other, mut caller) = with_inheritable(&socket, || {
        let other = Recorder::of(victim().named("webd"));
        (other, Caller::named("webd", &["plays_its_role"]))
    });
    drop(socket);
    let list = format!("printf '%s\\n' $$ {other}");
    let told_too = "webd ; -a webd ; --tree webd ; :8080";
    let silent = "--full=plays_its_role ; --cwd .";
    let described = |line: &str, is_told| (format!("$S -v -USR1 {line}"), is_told);
    let calls = told_too.split(" ; ").map(|line| described(line, true));
    let mut calls: Vec<_> = calls.collect();
    calls.push(("($S -v -USR1 webd; exit $?)".into(), true));
    calls.extend(silent.split(" ; ").map(|line| described(line, false)));
    for tree in ["", "--tree"] {
        calls.push((format!("{list} | $S -v -USR1 {tree} --pidfile -"), false));
    }
    for (call, is_told) in calls {
        let told = caller.run(&call, 0);
        assert_eq!(other.signals(), [10], "{call}: {told}");
        assert_eq!(sent_to(&told), [other.victim().pid()], "{call}: {told}");
        assert!(!told.contains("caught"), "{call}: {told}");
        assert_eq!(told.lines().count() > 1, is_told, "{call}: {told}");
    }
    let told = caller.run("$S --json -USR1 webd", 0);
    let own = &caller.0;
    let skipped = "{\"event\":\"skipped\",\"target\":\"webd\",\"pid\":";
    contains!(told, "{skipped}{own},");
    contains!(told, "\"signalled\":1,\"already_gone\":0,\"failed\":0,");
    caller.0.assert_alive();
}

#[test]
fn a_typed_ancestor_and_one_in_a_pidfile_are_meant_and_come_last() {
    in_pid_namespace!();
    let dir = tempdir();
    let mut other = Recorder::of(victim().named("webd"));
    let mut caller = Caller::named("webd", &[]);
    let (own, pid) = (caller.0.pid(), other.victim().pid());
    let both = dir.arg("both.pid", format!("{own}\n{pid}\n"));
    let pinned = format!("--expect webd $$ {pid} | --pidfile {both} | webd $$ {pid}");
    let pinned = each(&pinned).map(|line| (line, [pid, own]));
    // The plain kill(2) form keeps the typed order.
    let plain = format!("$$ {pid}");
    for (line, order) in pinned.chain([(&*plain, [own, pid])]) {
        let told = caller.run(&format!("$S -v -USR1 {line}"), 0);
        assert_eq!(sent_to(&told), order, "{line}: {told}");
        contains!(told, "caught");
        assert_eq!(other.signals(), [10], "{line}");
    }
    // sigsend's own PID is last in every form, and the signal does what it does to any program.
    let own_file = dir.arg("own.pid", "");
    for call in [
        format!("exec \"$S\" -USR1 $$ $PPID {pid}"),
        format!("echo $$ $PPID {pid} >{own_file}; exec \"$S\" -USR1 --pidfile {own_file}"),
    ] {
        let told = caller.run(&format!("sh -c '{call}'"), 128 + 10);
        contains!(told, "caught");
        assert_eq!(other.signals(), [10], "{call}");
    }
}

#[test]
fn the_descendants_of_a_typed_ancestor_are_signalled_and_that_is_success() {
    const START: &str = "sleep 60 >/dev/null & sh -c \"sleep 61 & wait\" >/dev/null &";
    in_pid_namespace!();
    let dir = tempdir();
    let mut caller = Caller::named("webd", &[]);
    let file = dir.arg("own.pid", caller.0.arg());
    let alone = living();
    let grow = |caller: &mut Caller| {
        caller.run(START, 0);
        eventually("three descendants", || living().len() == alone.len() + 3);
    };
    let lines = format!("--wait $$ | -KILL --wait $$ | --grace 15s $$ | --wait --pidfile {file}");
    let calls = each(&lines).map(|line| format!("$S --tree {line}"));
    let mut calls: Vec<_> = calls.collect();
    calls.push("($S --tree --wait $$; exit $?)".into());
    for call in calls {
        grow(&mut caller);
        assert_eq!(caller.run(&call, 0), "", "{call}");
        assert_eq!(living(), alone, "{call}");
        assert_eq!(caller.run(&call, 0), "", "{call}: no children");
    }
    // The root is an ancestor of an ancestor. It, the shell between and sigsend are skipped.
    for (signal, number) in [("-KILL", 9), ("-TERM --wait", 15)] {
        grow(&mut caller);
        let beside = Victim::sleeping();
        let inner = format!("\"$S\" -v {signal} --tree $PPID {beside}");
        let told = caller.run(&format!("sh -c '{inner}; exit $?'"), 0);
        let skipped = told.lines().filter(|line| line.ends_with(": skipped"));
        assert_eq!((skipped.count(), sent_to(&told).len()), (3, 4), "{told}");
        contains!(told, "{} (webd) is sigsend itself or an ancestor", caller.0);
        beside.assert_killed_by(number);
        drop(beside);
        eventually("the descendants to be gone", || living() == alone);
    }
    // Where it is described, it is no root.
    grow(&mut caller);
    for (call, expected) in [
        ("$S --tree webd", 1),
        ("$S --tree -KILL webd", 1),
        ("echo $$ | $S --tree -KILL --pidfile -", 0),
    ] {
        let told = caller.run(call, expected);
        assert_eq!(living().len(), alone.len() + 3, "{call}: {told}");
    }
}

/// Calls of a shell that is all that is described, the status, and a part of the output. A socket
/// answers for itself, and a list of nobody else is an empty list.
const LONELY: &str = "
    $S -USR1 lonely                     ; 1 ; lonely
    $S -KILL -a lonely                  ; 1 ; lonely
    $S -KILL --tree lonely              ; 1 ; lonely
    $S -KILL :8080                      ; 1 ; 8080
    $S -p lonely                        ; 1 ; lonely
    $S --json lonely                    ; 1 ; \"event\":\"skipped\"
    $S -KILL --full=nobody_else         ; 1 ; sigsend: 
    $S --alive lonely                   ; 1 ; lonely
    $S --alive :8080                    ; 0 ;
    echo $$ | $S -KILL --pidfile -      ; 0 ;
    echo $$:1 | $S -KILL --pidfile -    ; 1 ; now belongs to another process
    echo $$:1 | $S --alive --pidfile -  ; 1 ; now belongs to another process
    echo $$ | $S --grace 15s --pidfile - ; 0 ;";

#[test]
fn a_description_of_nobody_but_ancestors_is_told_and_signals_nobody() {
    in_pid_namespace!();
    let Some(socket) = listening(8080) else {
        return;
    };
    let start = || Caller::named("lonely", &["nobody_else"]);
    let mut caller = with_inheritable(&socket, start);
    drop(socket);
    for row in LONELY.lines().skip(1) {
        let row: Vec<&str> = row.split(';').map(str::trim).collect();
        let (call, words) = (row[0], row[2]);
        let told = caller.run(call, row[1].parse().expect("a status"));
        assert!(told.contains(words), "{call}: {told}");
        assert!(!words.is_empty() || told.is_empty(), "{call}: {told}");
    }
    caller.0.assert_alive();
}

#[test]
fn process_1_that_listens_for_a_service_is_spared() {
    in_pid_namespace!();
    let Some(_socket) = listening(8080) else {
        return;
    };
    let mut bystander = Recorder::new();
    for line in each("-INT | -a -INT | --tree -KILL | --grace 15s") {
        let done = run!("-v {line} :8080").code(1);
        done.has("process 1 ").has("systemctl stop").has("socket");
        bystander.assert_untouched();
    }
    run!("--alive :8080").code(0);
}

#[test]
fn an_ancestor_in_a_control_group_is_spared() {
    let Some((group, outside)) = control_group().zip(control_group()) else {
        return;
    };
    let mut other = Recorder::new();
    let mut caller = Caller::named("webd", &[]);
    group.take(other.victim().pid());
    group.take(caller.0.pid());
    let mut run = |words: &str, status| {
        let out = format!("echo $$ >{outside}/cgroup.procs");
        let call = format!("exec \"$S\" {words} --cgroup {group}");
        caller.run(&format!("sh -c '{out}; {call}'"), status)
    };
    let told = run("--json -USR1", 0);
    assert_eq!(other.signals(), [10], "{told}");
    assert!(told.contains("\"event\":\"skipped\"") && !told.contains("caught"));
    for words in each("-KILL | -USR1 --wait | --grace 15s | --timeout 15s KILL") {
        run(words, 1);
        other.assert_untouched();
    }
    caller.0.assert_alive();
}

/// A script that a shell runs with `-c`, as a terminal, make or ssh would, or as cron does in a
/// session of its own. `$S` is sigsend.
fn script(in_session: &str, shell: &str, script: &str) -> Done {
    let mut command = tool(&format!("{in_session} {shell} -c"));
    command.arg(script).env("S", *SIGSEND);
    command.run(&[])
}

const SESSIONS: [&str; 2] = ["", "setsid"];

#[test]
fn a_list_may_hold_the_shell_that_makes_it_and_sigsend() {
    in_pid_namespace!();
    for session in SESSIONS {
        if program("pgrep").is_some() {
            let sleeper = victim().command(tool("sleep 9871"));
            sleeper.await_name("sleep");
            let recipe = "pgrep -f 'sleep 9871' | \"$S\" --pidfile -; echo next";
            script(session, "sh", recipe).says("next\n");
            sleeper.assert_killed_by(15);
        } else {
            skip("no pgrep");
        }
        // As `fuser DIR | sigsend --grace` has it, whose list holds all that work in DIR.
        let stubborn = Victim::shell(STUBBORN);
        let call = "exec \"$S\" --grace 50ms --pidfile -";
        script(session, "sh", &format!("{call} <<END\n$$ {stubborn}\nEND")).fine();
        stubborn.assert_killed_by(9);
    }
}

#[test]
fn a_typed_ancestor_gets_the_signal_before_the_own_group() {
    in_pid_namespace!();
    needs!(program("setsid").is_some(), "setsid");
    let dir = tempdir();
    let file = dir.path().join("x.pid");
    let call = "setsid \"$S\" --allow-stale --pidfile \"$0\" 0";
    let code = format!("trap 'exit 7' TERM; echo $$ >\"$0\"; {call}; exit 3");
    let code = code.replace("$0", &file.display().to_string());
    script("", "sh", &code).code(7);
}

#[test]
fn a_script_stops_its_older_self() {
    in_pid_namespace!();
    let dir = tempdir();
    let content = "#!/bin/sh\n\"$S\" --grace 15s nightly\necho alone $?\n";
    let job = dir.file("nightly", content);
    fs::set_permissions(&job, fs::Permissions::from_mode(0o755)).expect("ours");
    for session in SESSIONS {
        let older = victim().named("nightly").sleeping();
        let done = script(session, "sh", &format!("{}; echo next", job.display()));
        assert_eq!(done.code(0).out, "alone 0\nnext\n");
        older.assert_killed_by(15);
    }
}
