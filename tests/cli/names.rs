//! Targets by NAME: which processes a name selects, and that unusual names of other processes do
//! not change that.

mod found;

use std::process::id;

use crate::support::prelude::*;

/// A name of this length that no other process of this machine has.
fn long(length: usize) -> String {
    format!("{:x<length$}", unique())
}

#[test]
fn a_name_selects_exactly_the_processes_of_that_name() {
    let name = format!("_w.{}-1", id());
    let [one, two] = [(); 2].map(|()| victim().named(&name).sleeping());
    let (shorter, upper) = (&name[..name.len() - 1], name.to_uppercase());
    let (longer, other) = (format!("{name}2"), name.replace('.', "x"));
    let near = [shorter, &name[1..], &upper, &longer, &other];
    let others = near.map(|near| victim().named(near).sleeping());
    let titled = victim().argv0(&*name).sleeping();
    selects(&name, &[&one, &two]);
    let sent = run!("-v -HUP {name}").told();
    let expected = [&one, &two].map(|victim| format!("sent HUP (1) to {victim} ({name})"));
    assert_eq!(sorted(sent.lines()), sorted(expected), "one result each");
    killed([one, two], 1);
    let (named, plain) = (victim().named(&name).sleeping(), Victim::sleeping());
    let unfound = "sigsend: cannot find process \"nobody-here\"\n";
    run!("-INT {name} nobody-here {plain}").fails(64, unfound);
    killed([named, plain], 2);
    alive(others.iter().chain([&titled]));
}

#[test]
fn names_of_15_16_and_40_bytes_match_exactly() {
    let long = long(40);
    // Command names are cut to 15 bytes, so these three have the same one.
    let [fifteen, sixteen, forty] =
        [15, 16, 40].map(|length| victim().named(&long[..length]).sleeping());
    selects(&long[..15], &[&fifteen, &sixteen, &forty]);
    selects(&long[..16], &[&sixteen]);
    selects(&long, &[&forty]);
    for nobody in [&long[..14], &long[..17], &long[..39], &format!("{long}x")] {
        run!("-KILL {nobody}").begins(1, format!("sigsend: cannot find process \"{nobody}\"\n"));
    }
    run!("-HUP {}", &long[..16]).code(0);
    sixteen.assert_killed_by(1);
    run!("-HUP {long}").code(0);
    forty.assert_killed_by(1);
    fifteen.assert_alive();
}

#[test]
fn a_long_name_needs_more_than_its_beginning() {
    let (name, other) = (long(24), long(24));
    let path = format!("/usr/sbin/{name}");
    // One matches in its command name, the other in argv[0].
    let claims = victim().named(&other).argv0(&*path).sleeping();
    let half = victim().named(&name).argv0("half").sleeping();
    run!("-KILL {name}").code(1);
    let whole = victim().named(&name).argv0(&*path).sleeping();
    let (_dir, cat) = copied_cat(&name);
    let executable = victim().argv0("other").echoing(&mut Command::new(cat));
    selects(&name, &[&whole, &executable]);
    claims.assert_alive();
    half.assert_alive();
}

pub fn copied_cat(name: &str) -> (TempDir, PathBuf) {
    let dir = tempdir();
    let path = dir.path().join(name);
    copy(program("cat").expect("cat"), &path);
    (dir, path)
}

#[test]
fn unusual_names_of_other_processes_change_no_match() {
    in_pid_namespace!();
    let names: [&[u8]; 12] = [
        b"daemon\n",
        b"\ndaemon",
        b"daemon\nUid:\t7",
        b"a) Z 1 (b",
        b") R 1 1 1 0 -1",
        b"(",
        b"\xff\xfe",
        b"daemon\xff",
        b"\x1b[31m",
        b" daemon",
        b"daemon ",
        b"daemon) S 0 0 0",
    ];
    let mut odd = names.map(named_with);
    let mut daemon = Recorder::of(victim().named("daemon"));
    selects("daemon", &[daemon.victim()]);
    run!("-HUP daemon").ok();
    assert_eq!(daemon.signals(), [1]);
    let dir = tempdir();
    let is_safe = |told: &str| !told.trim_end().contains(char::is_control);
    for victim in &mut odd {
        // The fields after the name are parsed correctly: age, owner, group, handlers.
        let file = dir.file("x.pid", victim.arg());
        run!("-0 --pidfile {}", file.display()).fine();
        run!("-r -HUP {victim}").code(1);
        run!("-0 --within 0s -- -{victim}").code(124);
        let told = run!("-v -0 --tree {victim}").code(0).out;
        assert!(is_safe(&told), "{told:?}");
        let told = run!("-0 --expect daemon {victim}").code(1).err;
        assert!(is_safe(&told), "{told:?}");
        assert_answers(victim);
    }
    selects("'daemon '", &[&odd[10]]);
    run!("-HUP 'daemon) S 0 0 0'").code(0);
    odd[11].assert_killed_by(1);
    for untypable in ["daemon\n", " daemon", "(", "a/b", "\u{1b}[31m", ""] {
        run!("-KILL '{untypable}'").code(1);
    }
    let mut command = sigsend();
    command.arg(OsStr::from_bytes(b"daemon\xff"));
    call!(command, "-KILL").code(1);
    odd[..11].iter_mut().for_each(assert_answers);
    daemon.assert_untouched();
}

/// A sleeping process with a command name of any bytes.
fn named_with(name: &[u8]) -> Victim {
    let dir = tempdir();
    let path = dir.path().join(OsStr::from_bytes(name));
    symlink(program("cat").expect("cat"), &path).expect("a link in a directory of ours");
    victim().echoing(&mut Command::new(path))
}

/// It runs, since it echoes a line, which it could not with a fatal signal pending.
fn assert_answers(victim: &mut Victim) {
    victim.write_line("ready");
    assert_eq!(victim.read_line(), "ready");
}

#[test]
fn other_users_processes_are_counted_in_a_hint_and_selected_with_all_only() {
    in_pid_namespace!();
    needs!(may_change_user(), "root");
    let user = Unprivileged::new();
    let foreign = || victim().named("shared").owned_by(NOBODY).sleeping();
    let unfound = "sigsend: cannot find process \"shared\"\n";
    // A zombie of that name is no process that -a would select.
    let (first, zombie) = (foreign(), foreign());
    run!("-KILL {zombie}").code(0);
    zombie.assert_killed_by(9);
    for form in each(" | -KILL | --tree -KILL | --grace 9s | -p") {
        run!("{form} shared").fails(1, unfound);
    }
    let one = "another user has a process of that name; -a selects it\n";
    run!("-v shared").fails(1, format!("{unfound}{one}"));
    let second = foreign();
    let two = "other users have 2 processes of that name; -a selects them\n";
    run!("-v shared").fails(1, format!("{unfound}{two}"));
    let own = victim().named("shared").sleeping();
    selects("shared", &[&own]);
    selects("-a shared", &[&own, &first, &second]);
    selects("--all shared", &[&own, &first, &second]);
    call!(user.sigsend(), "-p shared").says(format!("{first}\n{second}\n"));
    let failed = format!("sending signal to shared (PID {own}) failed: Operation not permitted\n");
    let failed = format!("sigsend: {failed}");
    call!(user.sigsend(), "-a -0 shared").fails(64, &failed);
    let hint = format!("process {own} belongs to root; only root may signal it\n");
    let sent = |to: &Victim| format!("sent HUP (1) to {to} (shared)\n");
    let done = call!(user.sigsend(), "-v -a -HUP shared");
    done.is(64, sent(&first) + &sent(&second), failed + &hint);
    killed([first, second], 1);
    // Only zombies of its own are left, which no name selects, and a process of another user.
    call!(user.sigsend(), "-KILL shared").fails(1, unfound);
    own.assert_alive();
}

#[test]
fn sigsend_never_selects_itself() {
    let name = long(12);
    let (_dir, program) = link(SIGSEND.as_ref(), &name);
    let named = || Command::new(&program);
    let alone = format!("{name}: only sigsend itself answers to \"{name}\"\n");
    // To wait for it is no success either.
    for form in each("-KILL | -KILL --wait | --grace 5s | -p | --alive | --tree -KILL") {
        call!(named(), "{form} {name}").fails(1, &alone);
    }
    let namesake = victim().named(&name).sleeping();
    call!(named(), "-p {name}").says(format!("{namesake}\n"));
    call!(named(), "-a -KILL {name}").ok();
    namesake.assert_killed_by(9);
}

/// What is typed, and the name of the nearest process.
const NEAR: &str = "
    ngnix  | nginx
    nginxx | nginx
    NGINX  | nginx
    redis  | redis-server
    tmux   | tmux: server
    qzq    | q\\x1bzq";

#[test]
fn a_name_that_no_process_has_is_an_error_with_the_nearest_name_as_hint() {
    in_pid_namespace!();
    let names = ["nginx", "redis-server", "tmux: server", "q\x1bzq"];
    let targets = names.map(|name| victim().named(name).sleeping());
    for [typed, near] in rows(NEAR) {
        let line = format!("sigsend: cannot find process \"{typed}\"\n");
        for form in each(" | -KILL | -p | --id | -r -HUP | --tree") {
            run!("{form} {typed}").fails(1, &line);
            run!("-v {form} {typed}").fails(1, format!("{line}did you mean {near}?\n"));
        }
        run!("--json {typed}").code(1).has("\"hint\":\"");
    }
    let line = "sigsend: cannot find process \"postgres\"\n";
    run!("-v -KILL postgres").fails(1, line);
    run!("-0 nginx postgres").fails(64, line);
    alive(&targets);
    // `-- -$!` in a script, whose jobs lead no group.
    let leader = Victim::sleeping();
    let member = victim().in_group_of(&leader).sleeping();
    run!("-v -KILL -- -{member}").fails(1, format!("--tree {member}"));
    member.assert_alive();
}
