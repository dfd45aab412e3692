//! Command lines written for other tools: words that mean something else here. No signal is sent on
//! a guess, and the message names what to write instead.

mod found;
mod pidfiles;
mod state;

use std::fs;

use crate::support::{
    NOBODY, Recorder, Unprivileged, Victim, in_pid_namespace, may_change_user, sigsend, skip,
    stderr, stdout, tempdir, victim,
};

/// Whether a message contains one of the fragments, which `|` separates.
fn says(told: &str, fragments: &str) -> bool {
    fragments.split('|').any(|fragment| told.contains(fragment))
}

#[test]
fn a_signal_without_its_dash_is_refused() {
    in_pid_namespace(|| {
        let mut target = Recorder::new();
        let pid = target.arg();
        for (args, status, hint) in [
            (&["HUP", &pid][..], 1, "-HUP"),
            (&["USR1", &pid, &pid], 1, "-USR1"),
            (&["SIGTERM", &pid], 1, "-TERM"),
            (&["stop", &pid], 1, "-STOP"),
            (&["Kill", &pid], 1, "-KILL"),
            (&["RTMIN+1", &pid], 1, "-RTMIN+1"),
            (&[&pid, "hup"], 1, "-HUP"),
            (&["-v", "INT", "--", &pid], 1, "-INT"),
            (&["--grace", "15s", "INT", &pid], 1, "-INT"),
            // The signal of a follow-up is not the first one.
            (&["--timeout", "1ms", "USR2", "USR1", &pid], 1, "-USR1"),
            // No signal can be named there.
            (&["-p", "HUP"], 1, "-- HUP|'--'"),
            (&["--id", "HUP"], 1, "-- HUP|'--'"),
            (&["--alive", "HUP"], 2, "-- HUP|'--'"),
        ] {
            let told = sigsend().args(args).assert().code(status).stdout("");
            let told = stderr(&told).to_uppercase().replace("-SIG", "-");
            assert!(says(&told, hint), "{args:?}: {told}");
            assert!(told.contains("USAGE: "), "{args:?}: {told}");
            target.assert_untouched();
        }
        let mut stop = Recorder::of(victim().named("stop"));
        for args in [
            &["-TERM", "stop"][..],
            &["-s", "15", "stop"],
            &["--", "stop"],
        ] {
            sigsend().args(args).assert().success().stderr("");
            assert_eq!(stop.signals(), [15], "{args:?}");
        }
    });
}

#[test]
fn a_unit_of_time_is_lower_case_and_at_most_a_day() {
    let mut target = Recorder::new();
    let (pid, gone) = (target.arg(), Victim::gone().to_string());
    for time in [
        "5M", "1M", "2y", "1Y", "5S", "5H", "5D", "5MS", "5Min", "5Sec", "1w", "1week", "1month",
        "1year", "1us", "1ns", "1h5M",
    ] {
        for args in [
            &["--grace", time][..],
            &["--within", time],
            &["--timeout", time, "KILL"],
        ] {
            let told = sigsend().args(args).arg(&pid).assert().code(1).stdout("");
            assert!(stderr(&told).contains("ms"), "{args:?}: {}", stderr(&told));
            target.assert_untouched();
        }
    }
    for time in [
        "500ms", "1s", "1sec", "2secs", "1second", "2seconds", "1m", "1min", "2mins", "1minute",
        "2minutes", "1h", "1hour", "2hours", "1d", "1day", "2days", "1m30s",
    ] {
        sigsend().args(["--within", time, &gone]).assert().success();
    }
}

#[test]
fn an_empty_word_fails_alone() {
    let mut target = Recorder::new();
    let pid = target.arg();
    let dir = tempdir();
    let file = dir.file("x.pid", &pid).display().to_string();
    for (args, status, signals) in [
        (&["", &pid][..], 64, &[15][..]),
        (&[&pid, ""], 64, &[15]),
        (&["-HUP", "", &pid, ""], 64, &[1]),
        (&["-HUP", "--", "", &pid], 64, &[1]),
        (&["-0", "", &pid], 64, &[]),
        (&["-HUP", "--pidfile", &file, ""], 64, &[1]),
        (&["-HUP", "--tree", "", &pid], 64, &[1]),
        (
            &["-HUP", "--timeout", "1ms", "USR1", "", &pid],
            64,
            &[1, 10],
        ),
        (&["--json", "-HUP", "", &pid], 64, &[1]),
        (&["-p", "", &pid], 64, &[]),
        (&[""], 1, &[]),
        (&["-KILL", "", ""], 1, &[]),
        (&["--grace", "15s", ""], 1, &[]),
    ] {
        let told = sigsend().args(args).assert().code(status);
        assert!(stderr(&told).contains("unset"), "{}", stderr(&told));
        assert_eq!(target.signals(), signals, "{args:?}");
    }
}

#[test]
fn an_exit_status_of_yash_is_a_signal() {
    let names = |statuses: Vec<i32>| {
        let mut command = sigsend();
        command.arg("-l").args(statuses.iter().map(i32::to_string));
        stdout(&command.assert().success().stderr(""))
    };
    assert_eq!(
        names((385..=448).collect()),
        names((1..=64).collect()),
        "384 and a signal"
    );
    for none in ["384", "449"] {
        sigsend().args(["-l", none]).assert().code(1).stdout("");
    }
}

#[test]
fn a_word_that_means_something_elsewhere_is_answered_with_what_it_is_called_here() {
    let mut target = Recorder::new();
    let pid = target.arg();
    let services = fs::read_to_string("/etc/services").unwrap_or_default();
    let http = if services.contains("\nhttp\t") {
        ":80"
    } else {
        ":PORT"
    };
    // The word, which is removed from the message, the command line, and what the rest must contain.
    let lines: [(&str, &[&str], &str); 20] = [
        ("8080/tcp", &["8080/tcp"], ":8080"),
        ("localhost:8080", &["-v", "localhost:8080"], ":8080"),
        (
            "http://localhost:8080/",
            &["-v", "http://localhost:8080/"],
            ":8080",
        ),
        ("/usr/sbin/nginx", &["/usr/sbin/nginx"], "--expect nginx"),
        (":http", &[":http"], http),
        ("-w5", &["-w5", &pid], "--within 5s"),
        ("5s", &["--wait", "5s", &pid], "--within"),
        ("TERM,KILL", &["-TERM,KILL", &pid], "--grace"),
        ("TERM,KILL", &["-s", "TERM,KILL", &pid], "--grace"),
        ("'-9'", &["-s", "-9", &pid], "-s 9"),
        ("1s:KILL", &["--timeout=1s:KILL", &pid], "--timeout 1s KILL"),
        ("−9", &["−9", &pid], "-9"),
        ("'-'", &["-TERM", "-", &pid], "tr -d"),
        ("'- 4242'", &["-TERM", "- 4242"], "tr -d"),
        ("pts/0", &[&pid, "pts/0", "00:00:00", "sleep"], "-o pid="),
        ("--newest", &["--newest", "sleep"], "pgrep|pkill"),
        ("'-k'", &["-k", &pid], "fuser|-KILL|-9"),
        ("'-i'", &["-i", &pid], "killall|--dry-run"),
        ("'-e'", &["-e", &pid], "pkill|-v"),
        ("--port", &["--port", "8080"], ":8080"),
    ];
    for (word, args, fragments) in lines {
        let told = sigsend().args(args).assert().code(1).stdout("");
        let told = stderr(&told).replace(word, "");
        assert!(says(&told, fragments), "{args:?}: {told}");
        target.assert_untouched();
    }
}

#[test]
fn a_word_that_is_near_a_process_is_answered_with_that_process() {
    in_pid_namespace(|| {
        let mut others = ["redis-server", "tmux: server"].map(|n| Recorder::of(victim().named(n)));
        let leader = Victim::sleeping();
        let member = victim().in_group_of(&leader).sleeping();
        let tree = format!("--tree {}", member.pid());
        for (args, words) in [
            (&["-v", "-KILL", "redis"][..], "redis-server"),
            (&["-v", "-KILL", "tmux"], "tmux: server"),
            (&["--json", "redis"], "redis-server"),
            // `-- -$!` in a script, whose jobs lead no group.
            (&["-v", "-KILL", "--", &member.group_arg()], &tree),
        ] {
            let told = sigsend().args(args).assert().code(1);
            assert!(says(&stderr(&told), words), "{}", stderr(&told));
            let has_hint = stdout(&told).contains("\"hint\":\"");
            assert_eq!(has_hint, args[0] == "--json", "{}", stdout(&told));
        }
        member.assert_alive();
        others.iter_mut().for_each(Recorder::assert_untouched);
    });
}

#[test]
fn a_first_word_9_that_cannot_be_signalled_is_answered_with_the_signal() {
    in_pid_namespace(|| {
        let mut nine = victim().with_pid(9).sleeping();
        if may_change_user() {
            let (user, mut own) = (Unprivileged::new(), Recorder::of(victim().owned_by(NOBODY)));
            let mut command = user.sigsend();
            let told = command.args(["-v", "9", &own.arg()]).assert().code(64);
            assert!(says(&stderr(&told), "-9"), "{}", stderr(&told));
            assert_eq!(own.signals(), [15]);
        } else {
            skip("needs root");
        }
        sigsend().args(["-KILL", "9"]).assert().success();
        nine.reap();
        let mut other = Recorder::new();
        let told = sigsend().args(["-v", "9", &other.arg()]).assert().code(64);
        assert!(says(&stderr(&told), "-9"), "{}", stderr(&told));
        assert_eq!(other.signals(), [15]);
    });
}
