//! What a name or a port selects, what it does not, and the message and status then.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use crate::door::says;
use crate::hidden::hide_processes;
use crate::names::copied_cat;
use crate::port::{SERVES, entered_network, holding, serving, tcp, udp};
use crate::support::{
    NOBODY, Unprivileged, back_date, eventually, in_pid_namespace, link, may_change_user, raw,
    raw_sigsend, shown_on_terminal, sigsend, skip, stderr, stdout, tempdir, victim,
};

/// Asserts the status of each call; nothing is written to standard output.
#[track_caller]
fn assert_statuses(calls: &[(&[&str], i32)]) {
    for (args, status) in calls {
        let told = sigsend().args(*args).assert();
        let output = told.get_output();
        assert_eq!(output.status.code(), Some(*status), "{args:?}: {output:?}");
    }
}

#[test]
fn a_port_is_a_tcp_listener_unless_udp_is_asked_for() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        if !up.is_ok_and(|status| status.success()) {
            return skip("no ip to set a network interface up");
        }
        let datagrams = || serving(udp("127.0.0.1:8080"));
        let (stream, datagram) = (serving(tcp("0.0.0.0:8080")), datagrams());
        // A resolver's socket may happen to have that port.
        let client = UdpSocket::bind("127.0.0.2:8080").expect("a free port");
        client.connect("127.0.0.1:53").expect("no packet is sent");
        let client = serving(client.into());
        for (port, holder) in [
            (":8080", &stream),
            (":8080/tcp", &stream),
            (":8080/udp", &datagram),
        ] {
            let found = sigsend().args(["-p", port]).assert().success().stderr("");
            found.stdout(format!("{}\n", holder.pid()));
            sigsend().args(["--alive", port]).assert().success();
        }
        sigsend().args(["-KILL", ":8080/udp"]).assert().success();
        datagram.assert_killed_by(9);
        let told = sigsend().args(["-v", ":8080/udp"]).assert().code(1);
        assert!(says(&stderr(&told), "TCP|tcp"), "{}", stderr(&told));
        stream.assert_alive();
        sigsend().args(["-KILL", ":8080"]).assert().success();
        stream.assert_killed_by(9);
        let datagram = datagrams();
        let told = sigsend().args(["-v", ":8080"]).assert().code(1);
        assert!(says(&stderr(&told), ":8080/udp"), "{}", stderr(&told));
        sigsend().args(["--alive", ":8080"]).assert().code(1);
        for token in [":8080/sctp", ":8080/", ":/udp", ":0/udp", ":8080/tcp/udp"] {
            let told = sigsend().args(["-KILL", token]).assert().code(1);
            let words = format!("'{token}': invalid target");
            assert!(says(&stderr(&told), &words), "{}", stderr(&told));
        }
        datagram.assert_alive();
        client.assert_alive();
    });
}

#[test]
fn liveness_is_asked_among_all_users_and_other_questions_are_not() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        if !entered_network() {
            return;
        }
        let user = Unprivileged::new();
        let foreign = holding(victim().owned_by(NOBODY), tcp("0.0.0.0:8080"), SERVES);
        let named = victim().named("daemond").owned_by(NOBODY).sleeping();
        let _roots = victim().named("rootd").sleeping();
        assert_statuses(&[
            (&["--alive", "daemond"], 0),
            (&["--alive", ":8080"], 0),
            (&["--alive", "daemond", ":8080"], 0),
            (&["--alive", "-u", "nobody", "daemond"], 0),
            (&["--alive", "-u", "0", "daemond"], 1),
            (&["--alive", "-u", "0", ":8080"], 1),
            (&["--alive", "nosuchd"], 1),
            (&["-p", "daemond"], 1),
            (&["-KILL", "daemond"], 1),
            // A process answers, so waiting for none is no success.
            (&["-KILL", "--wait", "daemond"], 1),
            (&["--grace", "15s", "daemond"], 1),
            (&["--grace", "15s", ":8080"], 1),
        ]);
        named.assert_alive();
        foreign.assert_alive();
        let ask = |args: &[&str], status| user.sigsend().args(args).assert().code(status);
        ask(&["--alive", "rootd"], 0);
        if hide_processes() {
            ask(&["--alive", "rootd"], 2);
            ask(&["--wait", "rootd"], 1);
            ask(&["--alive", "daemond"], 0);
        }
    });
}

#[test]
fn to_wait_for_what_is_not_there_is_success() {
    in_pid_namespace(|| {
        if !entered_network() {
            return;
        }
        let dir = tempdir();
        let path = |name| dir.path().join(name).display().to_string();
        let nginx = victim().named("nginx").sleeping();
        let directory = format!("--cwd={}", dir.path().display());
        for absent in [
            "ngnix",
            ":8080",
            ":8080/tcp",
            ":8080/udp",
            "--full=no such words",
            &directory,
        ] {
            for form in [
                &["--wait"][..],
                &["-KILL", "--wait"],
                &["-0", "--wait"],
                &["--within", "1ms"],
                &["--grace", "15s"],
                &["--tree", "-KILL", "--wait"],
            ] {
                let done = sigsend().args(form).arg(absent).assert().success();
                done.stdout("").stderr("");
            }
            let done = sigsend().args(["-v", "--wait", absent]).assert().success();
            assert!(says(&stdout(&done), "already gone"), "{absent}");
            let mut command = sigsend();
            let done = command.args(["--json", "--wait", absent]).assert();
            assert!(says(&stdout(&done.success()), "already-gone"), "{absent}");
            for form in [&["-KILL"][..], &["--timeout", "1ms", "KILL"], &["-p"]] {
                sigsend().args(form).arg(absent).assert().code(1);
            }
        }
        let mut command = raw_sigsend();
        command.args(["--wait", "ngnix"]);
        let told = shown_on_terminal(80, command, Command::stderr);
        assert!(says(&told, "nginx"), "{told}");
        nginx.assert_alive();
        // What is more likely a typing error or a clock is no success.
        let stale = dir.file("stale.pid", nginx.arg());
        back_date(&stale, Duration::from_secs(3600));
        assert_statuses(&[
            (&["--wait", "--pidfile", &path("none.pid")], 1),
            (&["--wait", "--pidfile", &path("stale.pid")], 1),
            (&["--grace", "15s", "--cgroup", &path("none")], 1),
            (&["--grace", "15s", "ngnix", &nginx.arg()], 0),
        ]);
        nginx.assert_killed_by(15);
    });
}

#[test]
fn a_program_under_another_name_is_told_with_that_name() {
    in_pid_namespace(|| {
        let (_home, program) = copied_cat("engine");
        let (_dir, main_thread) = link(&program, "MainThread");
        let mut running = victim().command(Command::new(main_thread));
        running.write_line("ready");
        assert_eq!(running.read_line(), "ready");
        for (args, status) in [
            (&["-v", "-KILL", "engine"][..], 1),
            (&["-v", "-KILL", "--wait", "engine"], 1),
            (&["-v", "--grace", "15s", "engine"], 1),
            (&["-v", "--alive", "engine"], 2),
        ] {
            let told = sigsend().args(args).assert().code(status);
            let words = "--expect engine MainThread";
            assert!(says(&stderr(&told), words), "{args:?}: {}", stderr(&told));
        }
        sigsend().args(["--alive", "nosuchd"]).assert().code(1);
        running.assert_alive();
    });
}

#[test]
fn a_script_answers_to_its_whole_name() {
    in_pid_namespace(|| {
        let dir = tempdir();
        let script = |name: &str| {
            let file = dir.file(name, "#!/bin/sh\necho ready; read line\n");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("ours");
            let mut script = victim().command(Command::new(file));
            assert_eq!(script.read_line(), "ready");
            script
        };
        let (status, stop) = (
            script("internet_led_status.sh"),
            script("internet_led_stop"),
        );
        // An argument of a program is not its name.
        let mut editor = Command::new("tail");
        editor.args(["-f", "internet_led_status.sh", "/dev/null"]);
        let editor = victim().command(editor);
        eventually("tail to run", || editor.status_field("Name") == "tail");
        let call = ["-TERM", "internet_led_status.sh"];
        sigsend().args(call).assert().success().stderr("");
        status.assert_killed_by(15);
        stop.assert_alive();
        editor.assert_alive();
    });
}

#[test]
fn what_processes_say_of_themselves_is_no_hint_for_a_script() {
    in_pid_namespace(|| {
        if !may_change_user() {
            return skip("needs root");
        }
        let (user, roots) = (Unprivileged::new(), victim().named("rootd").sleeping());
        for (target, hint) in [(&*roots.arg(), "belongs to root"), ("rootd", "-a")] {
            let told = |option: &str| user.sigsend().args([option, target]).assert().code(1);
            let plain = stderr(&told("-KILL"));
            assert_eq!(plain.lines().count(), 1, "{plain}");
            let verbose = stderr(&told("-v"));
            assert!(verbose.lines().count() > 1 && says(&verbose, hint));
            let json = stdout(&told("--json"));
            let (_, json) = json.split_once("\"hint\":\"").expect(&json);
            assert!(says(json, hint), "{json}");
            let mut command = raw(user.path());
            command.uid(NOBODY).gid(NOBODY).args(["-KILL", target]);
            let shown = shown_on_terminal(80, command, Command::stderr);
            assert!(shown.lines().count() > 1 && says(&shown, hint), "{shown}");
        }
        roots.assert_alive();
    });
}
