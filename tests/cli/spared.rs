//! sigsend and its ancestors are spared wherever processes are described. A typed PID or a regular
//! pidfile still means them, and then they come last.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use assert_cmd::Command as Bounded;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sched::{CloneFlags, unshare};

use crate::cgroup::group::control_group;
use crate::family::state;
use crate::support::{
    Recorder, SIGSEND, STUBBORN, Timed, Victim, clean, in_pid_namespace, program, sigsend, skip,
    stderr, tempdir, victim,
};

/// A shell that runs the calls that it is given; `$S` is sigsend, `$$` the shell. It says `caught`
/// after USR1.
struct Caller(Victim);

impl Caller {
    /// Gives it this command name, and `words` at the end of its command line.
    #[track_caller]
    fn named(name: &str, words: &[&str]) -> Self {
        const SCRIPT: &str = "trap 'echo caught' USR1; echo ready\n\
            while read -r call; do eval \"$call\" 2>&1; echo \"status $?\"; done";
        let mut options = victim().named(name);
        let mut command = Command::new(options.linked(program("sh").expect("a shell")));
        command.args(["-c", SCRIPT]).args(words).env("S", *SIGSEND);
        let mut shell = options.command(command);
        assert_eq!(shell.read_line(), "ready");
        Self(shell)
    }

    /// The output and the status of a call.
    #[track_caller]
    fn run(&mut self, call: &str) -> (String, i32) {
        self.0.write_line(call);
        let mut told = String::new();
        loop {
            let line = self.0.read_line();
            if let Some(status) = line.strip_prefix("status ") {
                return (told, status.parse().expect("a status"));
            }
            told += &line;
            told.push('\n');
        }
    }
}

/// The PIDs to which a call says that it has sent, in order.
fn sent_to(told: &str) -> Vec<String> {
    let sent = told
        .lines()
        .filter_map(|line| line.strip_prefix("sent ")?.split_once(" to "));
    sent.map(|(_, to)| to.split(' ').next().unwrap_or_default().to_owned())
        .collect()
}

/// Moves this thread and its children to a network namespace of their own, where a port is free.
#[track_caller]
fn listening(port: u16) -> Option<TcpListener> {
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
        skip(format!("no network namespace: {error}"));
        return None;
    }
    Some(TcpListener::bind(("0.0.0.0", port)).expect("a free port"))
}

/// All living processes of a PID namespace.
fn living() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("a /proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut living: Vec<i32> = pids.filter(|pid| !"ZX".contains(state(*pid))).collect();
    living.sort_unstable();
    living
}

#[test]
fn a_description_selects_the_others_and_not_the_ancestors() {
    in_pid_namespace(|| {
        let Some(socket) = listening(8080) else {
            return;
        };
        // Both hold the socket, are called webd, have this directory and these words.
        let dir = tempdir();
        std::env::set_current_dir(dir.path()).expect("the only test of this process");
        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty())).expect("a descriptor of ours");
        let mut other = Recorder::of(victim().named("webd"));
        let mut caller = Caller::named("webd", &["plays_its_role"]);
        drop(socket);
        let (own, pid) = (caller.0.arg(), other.arg());
        let list = format!("printf '%s\\n' $$ {pid} |");
        for (call, is_told) in [
            ("$S -v -USR1 webd".into(), true),
            ("$S -v -USR1 -a webd".into(), true),
            ("$S -v -USR1 --tree webd".into(), true),
            ("($S -v -USR1 webd; exit $?)".into(), true),
            ("$S -v -USR1 :8080".into(), true),
            (format!("{list} $S -v -USR1 --pidfile -"), false),
            (format!("{list} $S -v -USR1 --tree --pidfile -"), false),
            ("$S -v -USR1 --full=plays_its_role".into(), false),
            ("$S -v -USR1 --cwd .".into(), false),
        ] {
            let (told, status) = caller.run(&call);
            assert_eq!(status, 0, "{call}: {told}");
            assert_eq!(other.signals(), [10], "{call}: {told}");
            assert_eq!(sent_to(&told), [&*pid], "{call}: {told}");
            assert!(!told.contains("caught"), "{call}: {told}");
            assert_eq!(told.lines().count() > 1, is_told, "{call}: {told}");
        }
        let (told, status) = caller.run("$S --json -USR1 webd");
        let skipped = format!("{{\"event\":\"skipped\",\"target\":\"webd\",\"pid\":{own},");
        assert!(told.contains(&skipped), "{told}");
        assert!(told.contains("\"signalled\":1,\"already_gone\":0,\"failed\":0,"));
        assert_eq!(status, 0, "{told}");
        caller.0.assert_alive();
    });
}

#[test]
fn a_typed_ancestor_and_one_in_a_pidfile_are_meant_and_come_last() {
    in_pid_namespace(|| {
        let dir = tempdir();
        let mut other = Recorder::of(victim().named("webd"));
        let mut caller = Caller::named("webd", &[]);
        let (own, pid) = (caller.0.arg(), other.arg());
        let both = dir.file("both.pid", format!("{own}\n{pid}\n"));
        let last = [&*pid, &*own];
        for (call, order) in [
            (
                format!("$S -v -USR1 --expect webd $$ {pid}"),
                last.as_slice(),
            ),
            (format!("$S -v -USR1 --pidfile {}", both.display()), &last),
            (format!("$S -v -USR1 webd $$ {pid}"), &last),
            // The plain kill(2) form keeps the typed order.
            (format!("$S -v -USR1 $$ {pid}"), &[&*own, &*pid]),
        ] {
            let (told, status) = caller.run(&call);
            assert_eq!(status, 0, "{call}: {told}");
            assert_eq!(sent_to(&told), order, "{call}: {told}");
            assert!(told.contains("caught"), "{call}: {told}");
            assert_eq!(other.signals(), [10], "{call}");
        }
        // sigsend's own PID is last in every form, and the signal does what it does to any program.
        let own_file = dir.path().join("own.pid");
        let own_file = own_file.display();
        for call in [
            format!("exec \"$S\" -USR1 $$ {pid}"),
            format!("echo $$ {pid} >{own_file}; exec \"$S\" -USR1 --pidfile {own_file}"),
        ] {
            let (told, status) = caller.run(&format!("sh -c '{call}'"));
            assert_eq!(status, 128 + 10, "{call}: {told}");
            assert_eq!(other.signals(), [10], "{call}");
        }
    });
}

#[test]
fn the_descendants_of_a_typed_ancestor_are_signalled_and_that_is_success() {
    const START: &str = "sleep 60 >/dev/null & sh -c \"sleep 61 & wait\" >/dev/null &";
    in_pid_namespace(|| {
        let dir = tempdir();
        let mut caller = Caller::named("webd", &[]);
        let file = dir.file("own.pid", caller.0.arg());
        let alone = living();
        let grow = |caller: &mut Caller| {
            caller.run(START);
            crate::support::eventually("three descendants", || living().len() == alone.len() + 3);
        };
        for call in [
            "$S --tree --wait $$".into(),
            "$S --tree -KILL --wait $$".into(),
            "$S --tree --grace 15s $$".into(),
            format!("$S --tree --wait --pidfile {}", file.display()),
            "($S --tree --wait $$; exit $?)".into(),
        ] {
            grow(&mut caller);
            assert_eq!(caller.run(&call), (String::new(), 0), "{call}");
            assert_eq!(living(), alone, "{call}");
            assert_eq!(caller.run(&call), (String::new(), 0), "{call}: no children");
        }
        // Where it is described, it is no root.
        grow(&mut caller);
        for (call, expected) in [
            ("$S --tree webd", 1),
            ("$S --tree -KILL webd", 1),
            ("echo $$ | $S --tree -KILL --pidfile -", 0),
        ] {
            let (told, status) = caller.run(call);
            assert_eq!(status, expected, "{call}: {told}");
            assert_eq!(living().len(), alone.len() + 3, "{call}: {told}");
        }
    });
}

#[test]
fn a_description_of_nobody_but_ancestors_is_told_and_signals_nobody() {
    in_pid_namespace(|| {
        let Some(socket) = listening(8080) else {
            return;
        };
        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::empty())).expect("a descriptor of ours");
        let mut caller = Caller::named("lonely", &["nobody_else"]);
        drop(socket);
        for (call, expected, words) in [
            ("$S -USR1 lonely", 1, "lonely"),
            ("$S -KILL -a lonely", 1, "lonely"),
            ("$S -KILL --tree lonely", 1, "lonely"),
            ("$S -KILL :8080", 1, "8080"),
            ("$S -p lonely", 1, "lonely"),
            ("$S --json lonely", 1, "\"event\":\"skipped\""),
            ("$S -KILL --full=nobody_else", 1, "sigsend: "),
            ("$S --alive lonely", 1, "lonely"),
            // A socket answers for itself.
            ("$S --alive :8080", 0, ""),
            // A list of nobody else is an empty list.
            ("echo $$ | $S -KILL --pidfile -", 0, ""),
            ("echo $$ | $S --grace 15s --pidfile -", 0, ""),
        ] {
            let (told, status) = caller.run(call);
            assert_eq!(status, expected, "{call}: {told}");
            assert!(told.contains(words), "{call}: {told}");
            assert!(!words.is_empty() || told.is_empty(), "{call}: {told}");
        }
        caller.0.assert_alive();
    });
}

#[test]
fn process_1_that_listens_for_a_service_is_spared() {
    in_pid_namespace(|| {
        let Some(_socket) = listening(8080) else {
            return;
        };
        let mut bystander = Recorder::new();
        for args in [
            &["-INT"][..],
            &["-a", "-INT"],
            &["--tree", "-KILL"],
            &["--grace", "15s"],
        ] {
            let told = sigsend().arg("-v").args(args).arg(":8080").assert().code(1);
            let told = stderr(&told);
            for words in ["process 1 ", "systemctl stop", "socket"] {
                assert!(told.contains(words), "{args:?}: {told}");
            }
            bystander.assert_untouched();
        }
        sigsend().args(["--alive", ":8080"]).assert().success();
    });
}

#[test]
fn an_ancestor_in_a_control_group_is_spared() {
    let Some((group, outside)) = control_group().zip(control_group()) else {
        return;
    };
    let mut other = Recorder::new();
    let mut caller = Caller::named("webd", &[]);
    let out = format!("echo $$ >{}/cgroup.procs", outside.arg());
    group.take(other.victim().pid());
    group.take(caller.0.pid());
    let mut run = |words: &str| {
        let call = format!("exec \"$S\" {words} --cgroup {}", group.arg());
        caller.run(&format!("sh -c '{out}; {call}'"))
    };
    let (told, status) = run("--json -USR1");
    assert_eq!((status, other.signals()), (0, vec![10]), "{told}");
    assert!(told.contains("\"event\":\"skipped\"") && !told.contains("caught"));
    for words in ["-KILL", "-USR1 --wait", "--grace 15s", "--timeout 15s KILL"] {
        let (told, status) = run(words);
        assert_eq!(status, 1, "{words}: {told}");
        other.assert_untouched();
    }
    caller.0.assert_alive();
}

/// A script that a shell runs with `-c`, as a terminal, make or ssh would, or as cron does in a
/// session of its own. `$S` is sigsend.
fn script(in_session: &[&str], shell: &str, script: &str) -> Bounded {
    let words = [in_session, &[shell, "-c", script]].concat();
    let mut command = clean(Command::new(words[0]));
    command.args(&words[1..]).env("S", *SIGSEND);
    Bounded::from_std(command).timed()
}

const SESSIONS: [&[&str]; 2] = [&[], &["setsid"]];

#[test]
fn a_list_may_hold_the_shell_that_makes_it_and_sigsend() {
    in_pid_namespace(|| {
        for session in SESSIONS {
            if program("pgrep").is_some() {
                let mut command = Command::new("sleep");
                command.arg("9871");
                let sleeper = victim().command(command);
                sleeper.await_name("sleep");
                let recipe = "pgrep -f 'sleep 9871' | \"$S\" --pidfile -; echo next";
                let told = script(session, "sh", recipe).assert().success();
                told.stdout("next\n").stderr("");
                sleeper.assert_killed_by(15);
            } else {
                skip("no pgrep");
            }
            // As `fuser DIR | sigsend --grace` has it, whose list holds all that work in DIR.
            let stubborn = Victim::shell(STUBBORN);
            let list = format!("$$ {}", stubborn.arg());
            let recipe = format!("exec \"$S\" --grace 50ms --pidfile - <<END\n{list}\nEND");
            script(session, "sh", &recipe).assert().success().stderr("");
            stubborn.assert_killed_by(9);
        }
    });
}

#[test]
fn a_script_ends_its_descendants_and_keeps_its_status() {
    in_pid_namespace(|| {
        let alone = living();
        for (shell, trap) in [
            ("sh", "\"$S\" --tree --wait $$"),
            ("bash", "\"$S\" --tree --wait $$"),
            ("bash", "jobs -pr | \"$S\" --tree --wait --pidfile -"),
        ] {
            if program(shell).is_none() {
                skip(format!("no {shell}"));
                continue;
            }
            let code =
                format!("set -e; trap '{trap}' EXIT; sleep 60 & sh -c 'sleep 61 & wait' & exit 3");
            for session in SESSIONS {
                let told = script(session, shell, &code).assert().code(3);
                let told = told.stdout("");
                // bash may tell what became of its own jobs.
                let said = stderr(&told);
                assert!(said.lines().all(|line| line == "Terminated"), "{said}");
                assert_eq!(living(), alone, "{shell}: {trap}");
            }
        }
    });
}

#[test]
fn a_script_stops_its_older_self() {
    in_pid_namespace(|| {
        let dir = tempdir();
        let job = dir.file(
            "nightly",
            "#!/bin/sh\n\"$S\" --grace 15s nightly\necho alone $?\n",
        );
        fs::set_permissions(&job, fs::Permissions::from_mode(0o755)).expect("ours");
        for session in SESSIONS {
            let older = victim().named("nightly").sleeping();
            let call = format!("{}; echo next", job.display());
            let told = script(session, "sh", &call).assert().success();
            told.stdout("alone 0\nnext\n");
            older.assert_killed_by(15);
        }
    });
}
