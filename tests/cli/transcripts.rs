//! The commands of README and docs/ are run as printed, and their output is compared.
//!
//! A `console` block is a transcript: `$ command` and what it prints. Each line of a `sh` block
//! must succeed; one that begins with `#!` is a script, which must leave no process running. HTML
//! comments before a block give its requirements: `<!-- before: … -->` is run in the same shell
//! first, `<!-- needs: … -->` names programs (or root, or cgroup) without which the block is
//! skipped, `<!-- not run: … -->` says why it is not run at all.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::cgroup::group::{Group, control_group};
use crate::support::prelude::*;

/// The commands that `before:` can use.
const PRELUDE: &str = r#"
set -m
# Gives the next command the status of the one before it.
again() { return $status; }
# The next process gets this PID.
at() { echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid; }
# daemon NAME [PID [TITLE]]: a process of this name that catches HUP and USR1, and its NAME.pid. Sets pid.
daemon() {
    ln -sf "$(type -P bash)" "$1"
    rm -f "$1.fifo" "$1.ready"
    mkfifo "$1.fifo"
    echo "trap : HUP USR1; exec 8<>$1.fifo; : >$1.ready; while :; do read -u 8; done" >"$1.script"
    if [[ -n ${2-} ]]; then at "$2"; fi
    (exec -a "${3:-$1}" "./$1") <"$1.script" >/dev/null 2>&1 &
    pid=$!
    until [[ -e $1.ready ]]; do :; done
    echo "$pid" >"$1.pid"
}
# A process that listens on this port.
listen() {
    python3 -c "import socket, time; held = socket.create_server(('', $1)); time.sleep(1000)" &
    until sigsend -p ":$1" >/dev/null 2>&1; do :; done
}
"#;

/// The pages that this test runs, those without commands, and those that others run or nobody.
const PAGES: &str = "README.md docs/recipes.md docs/reference.md";
const WITHOUT_COMMANDS: &str = "SECURITY.md docs/ARCHITECTURE.md docs/benchmark.md \
    docs/comparison.md docs/kernels.md docs/safety.md docs/tried.md CHANGELOG.md";
const ELSEWHERE: &str = "CONTRIBUTING.md docs/fleet.md docs/from-pkill.md";

/// A fenced block and the comments before it.
#[derive(Default)]
struct Block {
    place: String,
    language: String,
    lines: Vec<String>,
    before: String,
    needs: String,
    is_not_run: bool,
}

impl Block {
    /// Takes a comment before the block.
    fn note(&mut self, comment: &str) {
        match comment.split_once(": ") {
            Some(("before", commands)) => self.before = commands.into(),
            Some(("needs", what)) => self.needs = what.into(),
            Some(("not run", _)) => self.is_not_run = true,
            _ => {}
        }
    }

    fn has_commands(&self) -> bool {
        ["console", "sh"].contains(&&*self.language) && !self.is_not_run
    }

    fn missing(&self) -> Option<&str> {
        self.needs.split_whitespace().find(|need| match *need {
            "root" => !may_change_user(),
            "cgroup" => false,
            name => program(name).is_none(),
        })
    }

    /// The lines that begin a part, each with those that belong to it.
    fn parts(&self, begins: impl Fn(&str) -> bool) -> Vec<&[String]> {
        let mut parts = Vec::new();
        let mut rest = &self.lines[..];
        while let Some((_, more)) = rest.split_first() {
            let end = more
                .iter()
                .position(|line| begins(line))
                .unwrap_or(more.len());
            let (part, next) = rest.split_at(end + 1);
            parts.push(part);
            rest = next;
        }
        parts
    }
}

fn blocks(page: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{page}: {error}"));
    let mut lines = text.lines().zip(1..);
    let (mut blocks, mut block) = (Vec::new(), Block::default());
    while let Some((line, number)) = lines.next() {
        let comment = line
            .strip_prefix("<!-- ")
            .and_then(|rest| rest.strip_suffix(" -->"));
        if let Some(language) = line.strip_prefix("```") {
            (block.place, block.language) = (format!("{page}:{number}"), language.into());
            let inside = lines
                .by_ref()
                .map(|(line, _)| line)
                .take_while(|line| *line != "```");
            block.lines = inside.map(str::to_owned).collect();
            blocks.push(std::mem::take(&mut block));
        } else if let Some(comment) = comment {
            block.note(comment);
        } else if !line.is_empty() {
            block = Block::default();
        }
    }
    blocks
}

/// A bash that runs commands in order, in a directory of its own.
struct Shell {
    child: Child,
    say: ChildStdin,
    answers: BufReader<ChildStdout>,
    dir: TempDir,
    outputs: TempDir,
}

impl Shell {
    fn new() -> Self {
        let (dir, outputs) = (tempdir(), tempdir());
        // The PIDs on the pages are all greater and stay free.
        fs::write("/proc/sys/kernel/ns_last_pid", "100").expect("the namespace is ours");
        let sigsend = Path::new(*SIGSEND)
            .parent()
            .expect("it has a directory")
            .display();
        let path = format!("{sigsend}:{}", std::env::var("PATH").unwrap_or_default());
        // In a network namespace of its own every port is free.
        let mut command = clean(Command::new("unshare"));
        command
            .args(["--net", "bash", "--noprofile", "--norc"])
            .current_dir(dir.path());
        command
            .env("PATH", path)
            .env("USER", "root")
            .process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("unshare starts");
        let say = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut shell = Self {
            child,
            say,
            answers,
            dir,
            outputs,
        };
        shell.tell("status=0; again() { :; }");
        shell.run(PRELUDE);
        shell
    }

    fn tell(&mut self, commands: &str) {
        writeln!(self.say, "{commands}").expect("bash reads");
    }

    /// The status of a command and what it prints.
    fn run(&mut self, command: &str) -> (i32, String) {
        let output = self.outputs.path().join("output");
        let _ = fs::remove_file(&output);
        let redirected = format!("</dev/null >{} 2>&1", output.display());
        self.tell(&format!(
            "again; {{ {command}\n}} {redirected}; status=$?; echo $status"
        ));
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("bash answers");
        let status = answer.trim().parse();
        let text = String::from_utf8(fs::read(output).expect("the output")).expect("UTF-8");
        let text = text
            .split_inclusive('\n')
            .filter(|line| !is_notice(line))
            .collect();
        (
            status.unwrap_or_else(|_| panic!("bash ended at {command}")),
            text,
        )
    }

    #[track_caller]
    fn must_run(&mut self, place: &str, command: &str) {
        let (status, text) = self.run(command);
        assert_eq!(status, 0, "{place}: {command}\nprints\n{text}");
    }
}

impl Drop for Shell {
    /// Every process in this PID namespace except process 1, which this is.
    fn drop(&mut self) {
        assert_eq!(std::process::id(), 1);
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        let _ = self.child.wait();
        while waitpid(None, None) != Err(Errno::ECHILD) {}
    }
}

/// Whether it is bash's notice about a killed job.
fn is_notice(line: &str) -> bool {
    let mut ends = ["Terminated", "Killed", "Hangup", "Interrupt"].iter();
    ends.any(|end| line.contains(end)) && (line.starts_with('[') || line.contains("bash: line "))
}

/// PID, name and state of every process except this one and zombies.
fn processes() -> BTreeSet<String> {
    let names = fs::read_dir("/proc")
        .expect("a /proc")
        .flatten()
        .map(|entry| entry.file_name());
    let pids = names.filter_map(|name| name.to_str()?.parse::<u32>().ok());
    let process = |pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.rsplit_once(')')?;
        (!rest.starts_with(" Z")).then(|| format!("{name}{}", &rest[..2]))
    };
    pids.filter(|pid| *pid != std::process::id())
        .filter_map(process)
        .collect()
}

/// Waits until no process starts or runs any more.
fn settle() {
    let mut last = BTreeSet::new();
    eventually("all processes to be idle", || {
        thread::sleep(Duration::from_millis(20));
        let now = processes();
        let is_busy = now.iter().any(|process| process.ends_with(['R', 'D']));
        let is_quiet = now == last && !is_busy;
        last = now;
        is_quiet
    });
}

/// A line without the parts that differ between runs, and the seconds in it.
fn masked(line: &str) -> (String, Vec<f64>) {
    let mut seconds = Vec::new();
    let is_time = |word: &str| {
        let end = word.trim_end_matches([',', ':']);
        word.len() > 20 && word.starts_with("20") && word.contains('T') && end.ends_with('Z')
    };
    let words = line.split(' ').map(|word| match word {
        word if is_time(word) => "TIME".into(),
        word => numbers_masked(word, &mut seconds),
    });
    let text = words.collect::<Vec<_>>().join(" ");
    (
        text.replace("age 0s", "age T").replace("age 1s", "age T"),
        seconds,
    )
}

/// A word without inodes and times.
fn numbers_masked(word: &str, seconds: &mut Vec<f64>) -> String {
    let (mut text, mut rest) = (String::new(), word);
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let is_end = |c: char| !c.is_ascii_digit() && c != '.';
        let end = rest[start..]
            .find(is_end)
            .map_or(rest.len(), |length| start + length);
        let number = &rest[start..end];
        text.push_str(&rest[..start]);
        let is_token = text.ends_with(':') && text[..text.len() - 1].ends_with(char::is_numeric);
        let mut keys = ["\"inode\":", "\"elapsed_ms\":", "\"age_ms\":"].iter();
        let is_time = number
            .split_once('.')
            .is_some_and(|(_, after)| after.len() == 2);
        text.push_str(match number.parse() {
            Ok(time) if is_time => {
                seconds.push(time);
                "S"
            }
            _ if is_token || keys.any(|key| text.ends_with(key)) => "N",
            _ => number,
        });
        rest = &rest[end..];
    }
    text + rest
}

/// Compares line by line. Processes that end at the same time may be in another order, and one may
/// have ended before CONT is sent to it.
#[track_caller]
fn assert_same(place: &str, expected: &[String], actual: &str) {
    let mut want: Vec<_> = expected.iter().map(|line| masked(line)).collect();
    let mut have: Vec<_> = actual.lines().map(masked).collect();
    want.retain(|line| have.contains(line) || !line.0.starts_with("sent CONT "));
    want.sort_by(|a, b| a.0.cmp(&b.0));
    have.sort_by(|a, b| a.0.cmp(&b.0));
    let (wanted, had): (Vec<_>, Vec<_>) = want.into_iter().unzip();
    let (text, seconds): (Vec<_>, Vec<_>) = have.into_iter().unzip();
    assert_eq!(wanted, text, "{place}\nprints\n{actual}");
    for (want, have) in had.concat().iter().zip(seconds.concat()) {
        let is_near = (want - 0.02..want + 5.0).contains(&have);
        assert!(is_near, "{place}: {have} s instead of {want} s");
    }
}

fn run_transcript(shell: &mut Shell, block: &Block) {
    for part in block.parts(|line| line.starts_with("$ ")) {
        let place = format!("{}: {}", block.place, part[0]);
        let command = part[0]
            .strip_prefix("$ ")
            .expect("a transcript begins with a command");
        match &part[1..] {
            // The process that it starts in the background gets the printed PID.
            [job] if job.starts_with('[') => {
                let (_, pid) = job.split_once("] ").expect("a PID");
                shell.run(&format!("at {pid}\n{command}"));
                let (_, started) = shell.run("echo $!");
                settle();
                assert_eq!(started.trim(), pid, "{place} did not get its PID");
            }
            printed => assert_same(&place, printed, &shell.run(command).1),
        }
    }
}

fn run_script(shell: &mut Shell, block: &Block) {
    let before = processes();
    let script = shell.dir.arg("script", block.lines.join("\n") + "\n");
    shell.must_run(&block.place, &format!("bash {script}"));
    settle();
    let place = &block.place;
    assert_eq!(
        processes(),
        before,
        "{place}: what the script started is still there"
    );
}

fn run_page(page: &str) {
    let mut run = 0;
    for block in blocks(page).iter().filter(|block| block.has_commands()) {
        if let Some(missing) = block.missing() {
            skip(format!("{}: no {missing}", block.place));
            continue;
        }
        let mut group = None;
        if block.needs.contains("cgroup") {
            group = control_group();
            if group.is_none() {
                continue;
            }
        }
        let mut shell = Shell::new();
        let directory = group.as_ref().map_or_else(String::new, Group::arg);
        shell.must_run(
            &block.place,
            &format!("cgroup={directory}\n{}", block.before),
        );
        settle();
        match block.lines.first() {
            Some(line) if line.starts_with("#!") => run_script(&mut shell, block),
            _ if block.language == "console" => run_transcript(&mut shell, block),
            _ => {
                let parts = block.parts(|line| !line.starts_with([' ', '}']));
                parts
                    .iter()
                    .for_each(|part| shell.must_run(&block.place, &part.join("\n")));
            }
        }
        run += 1;
    }
    assert!(run > 0, "{page} has no block that is run");
}

#[test]
fn every_command_of_the_readme_works_as_it_says() {
    in_pid_namespace(|| run_page("README.md"));
}

#[test]
fn every_command_of_the_recipes_works_as_it_says() {
    in_pid_namespace(|| run_page("docs/recipes.md"));
}

#[test]
fn every_command_of_the_reference_works_as_it_says() {
    in_pid_namespace(|| run_page("docs/reference.md"));
}

/// The recipe for a script's children, in the environment of cron, with each ending of a script.
#[test]
fn children_end_with_the_script_in_every_shell() {
    // A child of bash that has not executed anything yet would run the trap of the script.
    const STARTED: &str = "until [ \"$(sigsend -p sleep | wc -l)\" -eq 3 ]; do :; done";
    in_pid_namespace(|| {
        let page = blocks("docs/recipes.md");
        let has_trap = |block: &&Block| block.lines.iter().any(|line| line.ends_with(" EXIT"));
        let recipe = page.iter().find(has_trap).expect("the recipe");
        let recipe = recipe.lines.join("\n").replace("2s", "500ms");
        for name in ["sh", "bash", "zsh", "busybox sh"] {
            if program(&words(name)[0]).is_none() {
                skip(format!("no {name}"));
                continue;
            }
            let mut shell = Shell::new();
            settle();
            let before = processes();
            for (ending, status) in [("", 0), ("false", 1), ("sigsend $$; wait", 143)] {
                let script = format!("{recipe}\n{STARTED}\n{ending}\n");
                let script = shell.dir.arg("script", script);
                let (ended, text) = shell.run(&format!("env -i PATH=\"$PATH\" {name} {script}"));
                assert_eq!(ended, status, "{name}: {ending}\nprints\n{text}");
                settle();
                assert_eq!(processes(), before, "{name}: {ending}: left behind");
            }
        }
    });
}

#[test]
fn no_page_is_left_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |dir: &'static str| {
        let entries = fs::read_dir(root.join(dir)).expect("a directory").flatten();
        entries.map(move |entry| format!("{dir}{}", entry.file_name().to_string_lossy()))
    };
    let is_page = |name: &String| Path::new(name).extension() == Some("md".as_ref());
    let pages: BTreeSet<String> = names("").chain(names("docs/")).filter(is_page).collect();
    let known = [PAGES, WITHOUT_COMMANDS, ELSEWHERE].join(" ");
    assert_eq!(pages, words(&known).into_iter().collect());
    for block in words(WITHOUT_COMMANDS).iter().flat_map(|page| blocks(page)) {
        assert!(
            !block.has_commands(),
            "{}: commands that are not run",
            block.place
        );
    }
}
