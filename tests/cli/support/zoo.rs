//! Tables of calls: each row starts the processes that it names, runs sigsend, and says how it
//! ended, what it wrote, and how each process ended.

use std::io::{Write as _, stderr};
use std::thread;

use super::victim::{Victim, victim};
use super::{NOBODY, Recorder, Runs, STUBBORN, Unprivileged};
use super::{numbers, raw_sigsend, rows, send, words};
use nix::sys::signal::Signal;

pub const POLITE: &str = "trap 'exit 3' TERM; echo ready; while read line; do :; done";

/// Runs the rows of a table: the call, the status, what is written, and how the processes ended.
///
/// * A process is named by its kind: `CAT` has every signal at its default, `STOPPED` is one that is
///   stopped, `STUBBORN` ignores TERM and HUP, `POLITE` exits with 3 on TERM, `FROZEN` is one that is
///   stopped, `ZOMBIE` has exited with 0, `GONE` is a free PID, `RECORDER` catches all signals. A
///   digit tells two of a kind apart, `~` is one of NOBODY, and `CAT2@CAT` is in the group of `CAT`.
/// * `nobody:` in front of the call makes NOBODY its caller.
/// * What is written are parts of it with `&` between, `!` in front of what must not be there;
///   `silent` is nothing at all.
/// * An end is `NAME=15` for a signal, `NAME=x3` for an exit status, `NAME=T` for stopped; for a
///   recorder `RECORDER=10,12` are the signals. All others must be alive and untouched.
#[track_caller]
pub fn table(table: &str) {
    let nobody = table.contains("nobody:").then(Unprivileged::new);
    for row in rows::<4>(table) {
        let _row = Row(row);
        run_row(row, nobody.as_ref());
    }
}

/// Tells in which row a check has failed.
struct Row<'a>([&'a str; 4]);

impl Drop for Row<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = writeln!(stderr(), "in the row {}", self.0.join(" | "));
        }
    }
}

enum Process {
    Victim(Victim),
    Recorder(Recorder),
    Gone(i32),
}

impl Process {
    fn victim(&self) -> &Victim {
        match self {
            Self::Victim(victim) => victim,
            Self::Recorder(recorder) => recorder.victim(),
            Self::Gone(pid) => panic!("{pid} is no process"),
        }
    }

    fn pid(&self) -> i32 {
        match self {
            Self::Gone(pid) => *pid,
            process => process.victim().pid(),
        }
    }

    #[track_caller]
    fn assert_end(&mut self, end: Option<&str>) {
        match (self, end.filter(|end| !end.is_empty())) {
            (Self::Gone(_), _) => {}
            (Self::Recorder(recorder), end) => {
                let wanted = numbers(&end.unwrap_or_default().replace(',', " "));
                assert_eq!(recorder.signals(), wanted, "{recorder}");
            }
            (Self::Victim(victim), None) => victim.assert_alive(),
            (Self::Victim(victim), Some("T")) => victim.assert_state('T'),
            (Self::Victim(victim), Some(end)) => match end.strip_prefix('x') {
                Some(status) => victim.assert_exited_with(status.parse().expect("a status")),
                None => victim.assert_killed_by(end.parse().expect("a signal")),
            },
        }
    }
}

#[track_caller]
fn start(name: &str, started: &[(&str, Process)]) -> Process {
    let (name, leader) = name.split_once('@').unwrap_or((name, ""));
    let mut options = victim();
    if !leader.is_empty() {
        let leader = started.iter().find(|(known, _)| *known == leader);
        options = options.in_group_of(leader.expect("named before").1.victim());
    }
    if name.ends_with('~') {
        options = options.owned_by(NOBODY);
    }
    Process::Victim(match kind_of(name) {
        "CAT" => options.sleeping(),
        "STOPPED" => options.stopped(),
        "STUBBORN" => options.shell(STUBBORN),
        "POLITE" => {
            // A trap that becomes due right before read(2) would wait for a line.
            let polite = options.shell(POLITE);
            polite.assert_state('S');
            polite
        }
        "FROZEN" => {
            let polite = options.shell(POLITE);
            send(polite.pid(), Signal::SIGSTOP);
            polite.assert_state('T');
            polite
        }
        "ZOMBIE" => {
            let zombie = options.shell("echo ready");
            zombie.assert_exited_with(0);
            zombie
        }
        "RECORDER" => return Process::Recorder(Recorder::of(options)),
        _ => return Process::Gone(Victim::gone()),
    })
}

fn kind_of(name: &str) -> &str {
    let end = name.find(|c: char| !c.is_ascii_uppercase());
    &name[..end.unwrap_or(name.len())]
}

#[track_caller]
fn run_row([call, status, told, ends]: [&str; 4], nobody: Option<&Unprivileged>) {
    const KINDS: &str = "CAT STOPPED STUBBORN POLITE FROZEN ZOMBIE GONE RECORDER";
    let is_kind = |word: &&str| KINDS.split(' ').any(|kind| kind == kind_of(word));
    let ends = ends.split(' ').filter_map(|end| end.split_once('='));
    let ends: Vec<(&str, &str)> = ends.collect();
    let is_apart = |c: char| !(c.is_ascii_alphanumeric() || c == '~' || c == '@');
    let named = call.split(is_apart).filter(is_kind);
    let named = named.chain(ends.iter().map(|(name, _)| *name));
    let mut processes: Vec<(&str, Process)> = Vec::new();
    // A leader starts before the members of its group.
    for name in named.flat_map(|name| [name.rsplit('@').next().unwrap_or(name), name]) {
        if !processes.iter().any(|(known, _)| *known == name) {
            let process = start(name, &processes);
            processes.push((name, process));
        }
    }
    let pids = |text: &str| {
        let mut text = text.to_owned();
        // The longer names first, since others begin like them.
        let pids = processes.iter().map(|(name, it)| (*name, it.pid()));
        let mut pids: Vec<_> = pids.collect();
        pids.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        for (name, pid) in pids {
            text = text.replace(name, &pid.to_string());
        }
        text
    };
    let done = match nobody.zip(call.strip_prefix("nobody:")) {
        Some((nobody, call)) => nobody.sigsend().run(&words(&pids(call))),
        None => raw_sigsend().run(&words(&pids(call))),
    };
    let mut done = done.code(status.parse().expect("a status"));
    let all = told.split('&').map(str::trim);
    for part in all.filter(|part| !part.is_empty()) {
        done = match part.strip_prefix('!') {
            Some(part) => done.lacks(pids(part)),
            None if part == "silent" => done.is(status.parse().expect("a status"), "", ""),
            None => done.has(pids(part)),
        };
    }
    for (name, process) in &mut processes {
        let end = ends.iter().find(|(known, _)| known == name);
        let end = end.map(|(_, end)| *end);
        let end = end.or((kind_of(name) == "ZOMBIE").then_some("x0"));
        process.assert_end(end);
    }
}
