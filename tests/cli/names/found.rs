//! What a name or a port selects, what it does not, and the message and status then.

use std::net::UdpSocket;

use crate::names::copied_cat;
use crate::port::{SERVES, has_loopback, holding, serving, tcp, udp};
use crate::support::prelude::*;
use crate::support::{raw, shown_on_terminal};

#[test]
fn a_port_of_the_other_protocol_is_a_hint_and_a_connected_socket_is_none() {
    in_pid_namespace!();
    needs!(entered_network() && has_loopback(), "a network namespace");
    // A resolver's socket may happen to have that port.
    let client = UdpSocket::bind("127.0.0.2:8080").expect("a free port");
    client.connect("127.0.0.1:53").expect("no packet is sent");
    let client = serving(client.into());
    let stream = serving(tcp("0.0.0.0:8080"));
    run!("-p :8080/tcp").says(format!("{stream}\n"));
    contains!(run!("-v :8080/udp").code(1).err.to_lowercase(), "tcp");
    run!("-KILL :8080").code(0);
    stream.assert_killed_by(9);
    let datagram = serving(udp("127.0.0.1:8080"));
    run!("-v :8080").fails(1, ":8080/udp");
    run!("--alive :8080").code(1);
    alive(&[datagram, client]);
}

#[test]
fn liveness_is_asked_among_all_users_and_other_questions_are_not() {
    in_pid_namespace!();
    needs!(may_change_user() && entered_network(), "root");
    let user = Unprivileged::new();
    let foreign = holding(victim().owned_by(NOBODY), tcp("0.0.0.0:8080"), SERVES);
    let named = victim().named("daemond").owned_by(NOBODY).sleeping();
    let _roots = victim().named("rootd").sleeping();
    let living = "--alive daemond | --alive :8080 | --alive daemond :8080 \
        | --alive -u nobody daemond";
    each(living).for_each(|line| _ = run!("{line}").code(0));
    // A process answers, so waiting for none is no success.
    let refused = "--alive -u 0 daemond | --alive -u 0 :8080 | --alive nosuchd | -p daemond \
        | -KILL daemond | -KILL --wait daemond | --grace 15s daemond | --grace 15s :8080";
    each(refused).for_each(|line| _ = run!("{line}").code(1));
    alive([&named, &foreign]);
    call!(user.sigsend(), "--alive rootd").code(0);
    if hide_processes() {
        call!(user.sigsend(), "--alive rootd").code(2);
        call!(user.sigsend(), "--wait rootd").code(1);
        call!(user.sigsend(), "--alive daemond").code(0);
    }
}

/// Descriptions that nobody answers to, and how that is said. Zombies have the name and the text.
const ABSENT: &str = r#"
    ngnix            | cannot find process "ngnix"
    :8080            | nothing listens on port 8080
    :8080/tcp        | nothing listens on port 8080/tcp
    :8080/udp        | nothing listens on port 8080/udp
    -f no-such-words | cannot find a process with "no-such-words" in its command line
    --cwd=DIR        | cannot find a process that works in DIR
"#;

#[test]
fn what_is_not_there_is_an_error_and_to_wait_for_it_is_success() {
    in_pid_namespace!();
    needs!(entered_network(), "a network namespace");
    let dir = tempdir();
    let path = |name| dir.path().join(name).display().to_string();
    let nginx = victim().named("nginx").sleeping();
    let zombies = ["ngnix", "no-such-words"];
    let zombies = zombies.map(|name| victim().named(name).argv0(name).shell("echo ready"));
    zombies.iter().for_each(|it| it.assert_exited_with(0));
    for [absent, line] in rows(&ABSENT.replace("DIR", &dir.path().display().to_string())) {
        for form in each(
            "--wait | -KILL --wait | -0 --wait | --within 1ms | --grace 15s | --tree -KILL --wait",
        ) {
            run!("{form} {absent}").ok();
        }
        run!("-v --wait {absent}").says(format!("{line}: already gone\n"));
        contains!(run!("--json --wait {absent}").code(0).out, "already-gone");
        for form in each(
            "-KILL | -a -KILL | --timeout 1ms KILL | --tree -KILL | --dry-run | -p | --id | --alive",
        ) {
            run!("{form} {absent}").begins(1, format!("sigsend: {line}\n"));
        }
        // The other target gets its signal.
        run!("-0 {nginx} {absent}").code(if absent.starts_with('-') { 1 } else { 64 });
    }
    let mut command = raw_sigsend();
    command.args(["--wait", "ngnix"]);
    contains!(shown_on_terminal(80, command, Command::stderr), "nginx");
    nginx.assert_alive();
    // What is more likely a typing error or a clock is no success.
    let stale = dir.file("stale.pid", nginx.arg());
    back_date(&stale, Duration::from_secs(3600));
    run!("--wait --pidfile {}", path("none.pid")).code(1);
    run!("--wait --pidfile {}", stale.display()).code(1);
    run!("--grace 15s --cgroup {}", path("none")).code(1);
    run!("--grace 15s ngnix {nginx}").code(0);
    nginx.assert_killed_by(15);
}

#[test]
fn a_program_under_another_name_is_told_with_that_name() {
    in_pid_namespace!();
    let (_home, program) = copied_cat("engine");
    let (_dir, main_thread) = link(&program, "MainThread");
    let running = victim().echoing(&mut Command::new(main_thread));
    for form in each("-KILL | -KILL --wait | --grace 15s | --alive") {
        let status = if form == "--alive" { 2 } else { 1 };
        run!("-v {form} engine").fails(status, "--expect engine MainThread");
    }
    run!("--alive nosuchd").code(1);
    // Each name is told once, and not more than four.
    let _more = ["MainThread", "two", "three", "four", "five"].map(|name| {
        let (_dir, path) = link(&program, name);
        victim().echoing(&mut Command::new(path))
    });
    let told = "6 processes have the executable engine and call themselves MainThread, two, \
                three, four: ";
    run!("-v -KILL engine").code(1).has(told);
    running.assert_alive();
}

#[test]
fn a_process_that_is_excluded_is_not_told_as_another_name_of_the_program() {
    in_pid_namespace!();
    needs!(may_change_user(), "root");
    let (home, program) = copied_cat("engine");
    let owned = victim().echoing(&mut Command::new(&program));
    for form in each("-f no-such-text engine | --cwd /proc engine | -u nobody engine") {
        let told = run!("-v -KILL {form}").code(1).err;
        assert!(!told.contains("executable"), "{told}");
        let status = i32::from(form.contains("-u"));
        run!("--grace 15s {form}").code(status);
        run!("--alive {form}").code(1);
    }
    drop(owned);
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(home.path(), mode).expect("ours");
    let foreign = victim()
        .owned_by(NOBODY)
        .echoing(&mut Command::new(&program));
    run!("-v -KILL engine").fails(1, "-a selects it");
    run!("--alive -u 0 engine").code(1);
    foreign.assert_alive();
}

#[test]
fn a_script_answers_to_its_whole_name() {
    in_pid_namespace!();
    let dir = tempdir();
    let script = |name: &str| {
        let file = dir.file(name, "#!/bin/sh\necho ready; read line\n");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("ours");
        victim().ready(&mut Command::new(file))
    };
    let names = ["internet_led_status.sh", "internet_led_stop"];
    let [status, stop] = names.map(script);
    // An argument of a program is not its name.
    let mut editor = Command::new("tail");
    editor.args(["-f", names[0], "/dev/null"]);
    let editor = victim().command(editor);
    editor.await_name("tail");
    // Nor is it of a program that has a similar name from its own file.
    let (_home, program) = copied_cat("internet_led_status_reader");
    let mut reader = Command::new(program);
    let reader = victim().echoing(reader.args([names[0], "-"]));
    run!("-TERM {}", names[0]).fine();
    status.assert_killed_by(15);
    alive(&[stop, editor, reader]);
}

#[test]
fn what_processes_say_of_themselves_is_no_hint_for_a_script() {
    in_pid_namespace!();
    needs!(may_change_user(), "root");
    let (user, roots) = (Unprivileged::new(), victim().named("rootd").sleeping());
    for (target, hint) in [(&*roots.arg(), "belongs to root"), ("rootd", "-a")] {
        let told = |option| call!(user.sigsend(), "{option} {target}").code(1);
        told("-KILL").complains(1);
        let verbose = told("-v").err;
        let holds = verbose.lines().count() > 1 && verbose.contains(hint);
        assert!(holds, "{verbose}");
        let json = told("--json").out;
        let (_, json) = json.split_once("\"hint\":\"").expect(&json);
        contains!(json, "{hint}");
        let mut command = raw(user.path());
        command.uid(NOBODY).gid(NOBODY).args(["-KILL", target]);
        let shown = shown_on_terminal(80, command, Command::stderr);
        assert!(shown.lines().count() > 1 && shown.contains(hint), "{shown}");
    }
    roots.assert_alive();
}
