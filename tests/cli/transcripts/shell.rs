//! A shell that the commands of a page are run in, and what runs beside it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout};

use nix::errno::Errno;

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

/// A bash that runs commands in order, in a directory of its own.
pub struct Shell {
    child: Child,
    say: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub dir: TempDir,
    outputs: TempDir,
}

impl Shell {
    pub fn new() -> Self {
        let (dir, outputs) = (tempdir(), tempdir());
        // The PIDs on the pages are all greater and stay free.
        fs::write("/proc/sys/kernel/ns_last_pid", "100").expect("the namespace is ours");
        let sigsend = Path::new(*SIGSEND).parent().expect("it has a directory");
        let path = env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", sigsend.display());
        // In a network namespace of its own every port is free.
        let mut command = tool("unshare --net bash --noprofile --norc");
        command.current_dir(dir.path()).process_group(0);
        command.env("PATH", path).env("USER", "root");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.stderr(Stdio::null()).spawn();
        let mut child = child.expect("unshare starts");
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
    pub fn run(&mut self, command: &str) -> (i32, String) {
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
        let lines = text.split_inclusive('\n').filter(|line| !is_notice(line));
        let status = status.unwrap_or_else(|_| panic!("bash ended at {command}"));
        (status, lines.collect())
    }

    #[track_caller]
    pub fn must_run(&mut self, place: &str, command: &str) {
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

fn is_notice(line: &str) -> bool {
    let mut ends = ["Terminated", "Killed", "Hangup", "Interrupt"].iter();
    ends.any(|end| line.contains(end)) && (line.starts_with('[') || line.contains("bash: line "))
}

/// PID, name and state of every process except this one and zombies.
pub fn processes() -> BTreeSet<String> {
    let process = |pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.rsplit_once(')')?;
        (pid != 1 && !rest.starts_with(" Z")).then(|| format!("{name}{}", &rest[..2]))
    };
    all_pids().into_iter().filter_map(process).collect()
}

/// Waits until no process starts or runs any more.
pub fn settle() {
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
