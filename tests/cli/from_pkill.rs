//! docs/from-pkill.md: every command of a right column is run as printed, and hits what it should.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::wait::waitpid;

use crate::family::children;
use crate::full::started;
use crate::support::{VictimOptions, clean, prelude::*};

const PAGE: &str = include_str!("../../docs/from-pkill.md");

/// Its child is a `sleep`, without which it exits with 50.
const NGINX: &str = "trap 'exit 101' HUP; trap 'exit 110' USR1; exec 4>>nginx.log; \
    sleep 1000 4>&- & echo ready; wait $!; exit 50";

/// Each command in the order of the page, and whom it ends and how, or what it prints.
const COMMANDS: &str = r#"
sigsend nginx => both killed 15
sigsend -HUP nginx => both exited 101
sigsend -9 nginx => both killed 9
sigsend -r -HUP nginx => both exited 101
sigsend -q 42 -USR1 nginx => both exited 110
sigsend -f 'worker.py --queue mail' => worker killed 15
sigsend -u nobody node => node killed 15
sigsend -u nobody -f server.js => node killed 15
sigsend --pidfile nginx.pid => nginx killed 15
sigsend --pidfile nginx.pid --expect nginx => nginx killed 15
sigsend -- -4242 => nginx killed 15
sigsend --tree 4242 => nginx killed 15
sigsend --grace 5s nginx => both killed 15
sigsend --wait nginx => both killed 15
sigsend -v nginx => both killed 15
sigsend --dry-run nginx => prints would send TERM (15) to 4300 (nginx)
sigsend -p -a nginx => prints 4242 4300
sigsend -p -a -f server.js => prints 4400 4500
sigsend --dry-run -a nginx => prints would send TERM (15) to 4300 (nginx)
sigsend -p -a nginx | wc -l => prints 2
sigsend --alive nginx => prints nothing
sigsend -KILL :8080 => web killed 9
sigsend :5353/udp => dns killed 15
sigsend -KILL --cwd build => make killed 9
pgrep 'ngin[xz]' | sigsend --pidfile - => both killed 15
pgrep -n -x nginx | sigsend --pidfile - --expect nginx => nginx2 killed 15
pgrep -o -x nginx | sigsend --pidfile - --expect nginx => nginx killed 15
pgrep -t "$tty" | sigsend --pidfile - => terminal killed 15
pgrep -U nobody | sigsend --pidfile - => node killed 15
pgrep -P 4242 | sigsend --pidfile - => nginx exited 50
fuser nginx.log 2>/dev/null | sigsend --pidfile - => both killed 15
"#;

/// The last cells of the rows of the page that are a command.
fn on_page() -> Vec<String> {
    let rows = PAGE.lines().filter_map(|line| line.strip_suffix("` |"));
    let cells = rows.filter_map(|row| Some(row.rsplit_once(" | `")?.1));
    cells.map(|cell| cell.replace("\\|", "|")).collect()
}

/// Who is there before each command; `dir` is where it is run.
fn world(dir: &Path) -> Vec<(&'static str, Victim)> {
    let script = NGINX.replace("nginx.log", &dir.join("nginx.log").display().to_string());
    let nginx = |pid| {
        let nginx = victim().named("nginx").with_pid(pid).shell(&script);
        eventually("its child not to be called nginx any more", || {
            let name = |child| fs::read_to_string(format!("/proc/{child}/comm"));
            let mut names = children(pid).into_iter().map(name);
            names.all(|name| name.is_ok_and(|name| name == "sleep\n"))
        });
        nginx
    };
    let node = |options: VictimOptions, pid| {
        let node = options.named("node").argv0("node server.js");
        node.with_pid(pid).sleeping()
    };
    let holding = |socket: OwnedFd| {
        started(victim(), |command| {
            command.stderr(socket);
        })
    };
    let build = dir.join("build");
    fs::create_dir(&build).expect("a directory of ours");
    let make = started(victim(), |command| {
        command.current_dir(build);
    });
    let worker = started(victim().argv0("worker.py --queue mail"), |_| {});
    let tcp = TcpListener::bind("0.0.0.0:8080").expect("a free port");
    let udp = UdpSocket::bind("0.0.0.0:5353").expect("a free port");
    let first = nginx(4242);
    fs::write(dir.join("nginx.pid"), first.arg()).expect("a directory of ours");
    vec![
        ("nginx", first),
        ("worker", worker),
        ("node", node(victim().owned_by(NOBODY), 4400)),
        ("root's node", node(victim(), 4500)),
        ("web", holding(tcp.into())),
        ("dns", holding(udp.into())),
        ("make", make),
        ("nginx2", nginx(4300)),
    ]
}

#[test]
fn every_command_for_users_of_pkill_hits_what_it_should() {
    in_pid_namespace!();
    let rows = COMMANDS.lines().filter_map(|line| line.split_once(" => "));
    assert_eq!(on_page(), rows.clone().map(|row| row.0).collect::<Vec<_>>());
    let is_possible = may_change_user() && entered_network();
    needs!(is_possible, "root and a network namespace");
    let bin = Path::new(*SIGSEND).parent().expect("it has a directory");
    let path = env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", bin.display());
    for (command, effect) in rows {
        let tool = command.split(' ').next().unwrap_or_default();
        if tool != "sigsend" && program(tool).is_none() {
            skip(format!("no {tool}"));
            continue;
        }
        let dir = tempdir();
        let mut terminal = Terminal::running("sh -c 'tty; exec cat'");
        let tty = terminal.next_until("\n");
        let tty = tty.trim().trim_start_matches("/dev/").to_owned();
        let victims = world(dir.path());
        let mut shell = clean(Command::new("sh"));
        shell.args(["-c", command]).current_dir(dir.path());
        shell.env("PATH", &path).env("tty", tty);
        let told = shell.run(&[]).told();
        let (who, what) = effect.split_once(' ').expect("two words");
        if who == "prints" {
            let told = told.replace('\n', " ");
            let is_so = told.contains(what) || told.is_empty() && what == "nothing";
            assert!(is_so, "{command}: {told}");
        }
        for (name, victim) in &victims {
            if who == *name || who == "both" && name.starts_with("nginx") {
                let ending = format!("{:?}", victim.ending()).to_lowercase();
                let ending = ending.replace(['(', ')'], " ");
                assert_eq!(ending.trim(), what, "{command}: {name}");
            } else {
                victim.assert_alive();
            }
        }
        if who == "terminal" {
            assert_eq!(terminal.end().1.to_string(), "signal: 15 (SIGTERM)");
        }
        drop((victims, terminal));
        // Orphans keep the number of the group until they are reaped.
        while waitpid(None, None) != Err(Errno::ECHILD) {}
    }
}
