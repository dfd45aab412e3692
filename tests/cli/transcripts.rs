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
use std::iter::Peekable;
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
use crate::support::{
    SIGSEND, TempDir, clean, eventually, in_pid_namespace, may_change_user, program, skip, tempdir,
};

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

/// The pages that this test runs; fleet.md has a test of its own.
const PAGES: [&str; 3] = ["README.md", "docs/recipes.md", "docs/reference.md"];
const WITHOUT_COMMANDS: [&str; 7] = [
    "SECURITY.md",
    "docs/ARCHITECTURE.md",
    "docs/benchmark.md",
    "docs/kernels.md",
    "docs/safety.md",
    "docs/tried.md",
    "CHANGELOG.md",
];
const ELSEWHERE: [&str; 2] = ["CONTRIBUTING.md", "docs/fleet.md"];

fn read(page: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A fenced block and the comments before it.
struct Block {
    place: String,
    language: String,
    lines: Vec<String>,
    before: String,
    needs: Vec<String>,
    reason: Option<String>,
}

impl Block {
    fn new() -> Self {
        let (place, language, lines, needs) = Default::default();
        Self {
            place,
            language,
            lines,
            before: ":".into(),
            needs,
            reason: None,
        }
    }

    /// Takes a comment before the block.
    fn note(&mut self, comment: &str) {
        match comment.split_once(": ") {
            Some(("before", commands)) => self.before = commands.into(),
            Some(("needs", what)) => self.needs = what.split(' ').map(str::to_owned).collect(),
            Some(("not run", reason)) => self.reason = Some(reason.into()),
            _ => {}
        }
    }

    fn missing(&self) -> Option<&String> {
        self.needs.iter().find(|need| match need.as_str() {
            "root" => !may_change_user(),
            "cgroup" => false,
            name => program(name).is_none(),
        })
    }
}

fn blocks(page: &str) -> Vec<Block> {
    let text = read(page);
    let mut lines = text.lines().zip(1..);
    let mut blocks = Vec::new();
    let mut block = Block::new();
    while let Some((line, number)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            block.place = format!("{page}:{number}");
            block.language = language.into();
            let inside = lines
                .by_ref()
                .map(|(line, _)| line)
                .take_while(|line| *line != "```");
            block.lines = inside.map(str::to_owned).collect();
            blocks.push(std::mem::replace(&mut block, Block::new()));
        } else if let Some(comment) = line
            .strip_prefix("<!-- ")
            .and_then(|rest| rest.strip_suffix(" -->"))
        {
            block.note(comment);
        } else if !line.is_empty() {
            block = Block::new();
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

struct Answer {
    status: i32,
    text: String,
}

impl Shell {
    fn new() -> Self {
        let (dir, outputs) = (tempdir(), tempdir());
        // The PIDs on the pages are all greater and stay free.
        fs::write("/proc/sys/kernel/ns_last_pid", "100").expect("the namespace is ours");
        let sigsend = Path::new(SIGSEND).parent().expect("it has a directory");
        let path = format!(
            "{}:{}",
            sigsend.display(),
            std::env::var("PATH").unwrap_or_default()
        );
        // In a network namespace of its own every port is free.
        let mut command = clean(Command::new("unshare"));
        command
            .args(["--net", "bash", "--noprofile", "--norc"])
            .current_dir(dir.path())
            .env("PATH", path)
            .env("USER", "root");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
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

    fn run(&mut self, command: &str) -> Answer {
        let output = self.outputs.path().join("output");
        let _ = fs::remove_file(&output);
        self.tell(&format!(
            "again; {{ {command}\n}} </dev/null >{} 2>&1; status=$?; echo $status",
            output.display()
        ));
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("bash answers");
        let status = answer
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("bash ended at {command}"));
        let text = String::from_utf8(fs::read(output).expect("the output")).expect("UTF-8");
        Answer {
            status,
            text: text
                .split_inclusive('\n')
                .filter(|line| !is_notice(line))
                .collect(),
        }
    }

    /// Makes the next process get this PID, and runs a command that starts one in the background.
    fn run_at(&mut self, pid: &str, command: &str) {
        self.run(&format!("at {pid}\n{command}"));
        let started = self.run("echo $!");
        settle();
        assert_eq!(started.text.trim(), pid, "{command} did not get its PID");
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
    let ended = ["Terminated", "Killed", "Hangup", "Interrupt"]
        .iter()
        .any(|word| line.contains(word));
    ended && (line.starts_with('[') || line.contains("bash: line "))
}

/// PID, name and state of every process except this one and zombies.
fn processes() -> BTreeSet<String> {
    let names = fs::read_dir("/proc")
        .expect("a /proc")
        .flatten()
        .map(|entry| entry.file_name());
    let pids = names
        .filter_map(|name| name.to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != std::process::id());
    pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.rsplit_once(')')?;
        (!rest.starts_with(" Z")).then(|| format!("{name}{}", &rest[..2]))
    })
    .collect()
}

/// Waits until no process starts or runs any more.
fn settle() {
    let mut last = BTreeSet::new();
    eventually("all processes to be idle", || {
        thread::sleep(Duration::from_millis(20));
        let now = processes();
        let quiet = now == last
            && !now
                .iter()
                .any(|process| process.ends_with(" R") || process.ends_with(" D"));
        last = now;
        quiet
    });
}

/// A line without the parts that differ between runs, and the seconds in it.
fn masked(line: &str) -> (String, Vec<f64>) {
    let mut seconds = Vec::new();
    let words = line.split(' ').map(|word| {
        let is_time = word.len() > 20
            && word.starts_with("20")
            && word.contains('T')
            && word.trim_end_matches([',', ':']).ends_with('Z');
        if is_time {
            "TIME".into()
        } else {
            numbers_masked(word, &mut seconds)
        }
    });
    let words: Vec<String> = words.collect();
    (
        words
            .join(" ")
            .replace("age 0s", "age T")
            .replace("age 1s", "age T"),
        seconds,
    )
}

/// A word without inodes and times.
fn numbers_masked(word: &str, seconds: &mut Vec<f64>) -> String {
    let mut text = String::new();
    let mut rest = word;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let end = rest[start..]
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .map_or(rest.len(), |length| start + length);
        let number = &rest[start..end];
        text.push_str(&rest[..start]);
        let is_token =
            text.ends_with(':') && text[..text.len() - 1].ends_with(|c: char| c.is_ascii_digit());
        let is_key = ["\"inode\":", "\"elapsed_ms\":", "\"age_ms\":"]
            .iter()
            .any(|key| text.ends_with(key));
        match number.parse() {
            Ok(time)
                if number
                    .split_once('.')
                    .is_some_and(|(_, after)| after.len() == 2) =>
            {
                seconds.push(time);
                text.push('S');
            }
            _ if is_token || is_key => text.push('N'),
            _ => text.push_str(number),
        }
        rest = &rest[end..];
    }
    text + rest
}

/// Compares line by line. Processes that end at the same time may be in another order, and one may
/// have ended before CONT is sent to it.
#[track_caller]
fn assert_same(place: &str, command: &str, expected: &[String], actual: &str) {
    let sorted = |lines: &mut Vec<(String, Vec<f64>)>| lines.sort_by(|a, b| a.0.cmp(&b.0));
    let mut want: Vec<_> = expected.iter().map(|line| masked(line)).collect();
    let mut have: Vec<_> = actual.lines().map(masked).collect();
    want.retain(|line| have.contains(line) || !line.0.starts_with("sent CONT "));
    sorted(&mut want);
    sorted(&mut have);
    let texts = |lines: &[(String, Vec<f64>)]| {
        lines
            .iter()
            .map(|(text, _)| text.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        texts(&want),
        texts(&have),
        "{place}: {command}\nprints\n{actual}"
    );
    for (want, have) in want
        .iter()
        .zip(&have)
        .flat_map(|(want, have)| want.1.iter().zip(&have.1))
    {
        assert!(
            (want - 0.02..want + 5.0).contains(have),
            "{place}: {command}: {have} s instead of {want} s"
        );
    }
}

/// The lines of a transcript up to the next command.
fn printed<'a>(lines: &mut Peekable<impl Iterator<Item = &'a String>>) -> Vec<String> {
    let mut printed = Vec::new();
    while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
        printed.push(line.clone());
    }
    printed
}

fn run_transcript(shell: &mut Shell, block: &Block) {
    let mut lines = block.lines.iter().peekable();
    while let Some(line) = lines.next() {
        let place = &block.place;
        let command = line
            .strip_prefix("$ ")
            .unwrap_or_else(|| panic!("{place}: {line} is no command"));
        let expected = printed(&mut lines);
        match expected.as_slice() {
            [job] if job.starts_with('[') => {
                shell.run_at(job.split_once("] ").expect("a PID").1, command);
            }
            _ => {
                let actual = shell.run(command);
                assert_same(place, command, &expected, &actual.text);
            }
        }
    }
}

fn run_commands(shell: &mut Shell, block: &Block) {
    let mut lines = block.lines.iter().peekable();
    while let Some(line) = lines.next() {
        let mut command = line.clone();
        while let Some(more) = lines.next_if(|line| line.starts_with([' ', '}'])) {
            command = format!("{command}\n{more}");
        }
        let answer = shell.run(&command);
        assert_eq!(
            answer.status, 0,
            "{}: {command}\nprints\n{}",
            block.place, answer.text
        );
    }
}

fn run_script(shell: &mut Shell, block: &Block) {
    let before = processes();
    let script = shell.dir.file("script", block.lines.join("\n") + "\n");
    let answer = shell.run(&format!("bash {}", script.display()));
    assert_eq!(answer.status, 0, "{}\nprints\n{}", block.place, answer.text);
    settle();
    assert_eq!(
        processes(),
        before,
        "{}: what the script started is still there",
        block.place
    );
}

fn run_page(page: &str) {
    let mut run = 0;
    for block in blocks(page)
        .iter()
        .filter(|block| ["console", "sh"].contains(&block.language.as_str()))
    {
        if block.reason.is_some() {
            continue;
        }
        if let Some(missing) = block.missing() {
            skip(format!("{}: no {missing}", block.place));
            continue;
        }
        let group = if block.needs.iter().any(|need| need == "cgroup") {
            let Some(group) = control_group() else {
                continue;
            };
            Some(group)
        } else {
            None
        };
        let mut shell = Shell::new();
        shell.run(&format!(
            "cgroup={}",
            group.as_ref().map_or_else(String::new, Group::arg)
        ));
        let before = shell.run(&block.before);
        assert_eq!(
            before.status, 0,
            "{}: {}: {}",
            block.place, block.before, before.text
        );
        settle();
        match block.lines.first() {
            Some(line) if line.starts_with("#!") => run_script(&mut shell, block),
            _ if block.language == "console" => run_transcript(&mut shell, block),
            _ => run_commands(&mut shell, block),
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

#[test]
fn no_page_is_left_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = |dir: &str| fs::read_dir(root.join(dir)).expect("a directory").flatten();
    let names = |dir: &'static str| {
        listed(dir).map(move |entry| format!("{dir}{}", entry.file_name().to_string_lossy()))
    };
    let pages: BTreeSet<String> = names("")
        .chain(names("docs/"))
        .filter(|name| Path::new(name).extension() == Some("md".as_ref()))
        .collect();
    let known = PAGES
        .iter()
        .chain(&WITHOUT_COMMANDS)
        .chain(&ELSEWHERE)
        .map(ToString::to_string)
        .collect();
    assert_eq!(pages, known);
    for page in WITHOUT_COMMANDS {
        for block in blocks(page) {
            let has_reason =
                block.reason.is_some() || !["console", "sh"].contains(&block.language.as_str());
            assert!(has_reason, "{}: commands that are not run", block.place);
        }
    }
}
