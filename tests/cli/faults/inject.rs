//! Lists the system calls of a run, and runs the program with one of them made to fail by strace.

use std::collections::HashSet;
use std::fmt;
use std::process::Output;

use super::errnos::{INFALLIBLE, listed, may_last};

use crate::strange::numbered;
use crate::support::prelude::*;

/// A system call of a run, as written by strace, and its number among the calls of its name.
pub struct Call {
    pub name: String,
    pub text: String,
    pub number: usize,
}

pub struct Fault<'a> {
    pub call: &'a Call,
    pub errno: String,
    /// `+` if all later calls of its name fail, too.
    lasting: &'static str,
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Call { name, number, .. } = self.call;
        let Self { errno, lasting, .. } = self;
        write!(f, "inject={name}:error={errno}:when={number}{lasting}")
    }
}

impl Fault<'_> {
    /// Whether the error means that a process is gone, or hidden from this user (`hidepid`), which
    /// is a valid answer rather than a fault.
    pub fn means_gone(&self) -> bool {
        let text = &self.call.text;
        // Files of /proc are opened relative to it: `openat(3, "4242/comm"`.
        let path = text.split_once('"').map_or("", |(_, path)| path);
        let of_proc = path.starts_with(|first: char| first.is_ascii_digit())
            || ["/proc/", "self/", "thread-self/"]
                .iter()
                .any(|start| path.starts_with(start));
        let of_a_process = of_proc || text.contains("S_IFDIR") || text.starts_with("getdents")
            // A descriptor of a process.
            || text.starts_with("readlinkat");
        match &*self.errno {
            "ESRCH" => true,
            "ENOENT" => of_a_process || self.call.name == "pidfd_open",
            "EACCES" | "EPERM" => of_a_process,
            _ => false,
        }
    }
}

/// Runs sigsend under strace, which writes the calls selected by `expressions` to `log`. Its output
/// goes to files: if sigsend hangs, it survives strace, which is killed, and would keep pipes open.
pub fn traced(log: &Path, expressions: &[&str], args: &[String]) -> Output {
    let mut command = tool("strace -qq -s 200 -e signal=none -o");
    command.arg(log);
    command.args(expressions.iter().flat_map(|expression| ["-e", expression]));
    let files = ["stdout", "stderr"].map(|name| log.with_extension(name));
    let created = |file| File::create(file).expect("our own directory");
    let [stdout, stderr] = files.each_ref().map(created);
    command.arg(*SIGSEND).args(args).stdin(Stdio::null());
    let child = command.stdout(stdout).stderr(stderr).spawn();
    let mut child = child.expect("strace starts");
    let end = Instant::now() + DEADLINE;
    let status = loop {
        if let Some(status) = child.try_wait().expect("our child") {
            break status;
        }
        if Instant::now() > end {
            child.kill().expect("our child");
        }
        thread::sleep(Duration::from_millis(1));
    };
    let [stdout, stderr] = files.map(|file| fs::read(file).expect("our own file"));
    Output {
        status,
        stdout,
        stderr,
    }
}

/// The calls of a run without a fault that can fail, without those before `main`.
pub fn calls(log: &Path) -> Vec<Call> {
    let text = fs::read_to_string(log).expect("strace writes its log");
    let calls = numbered(text.lines()).map(|(name, number, line)| {
        let (name, text) = (name.to_owned(), line.to_owned());
        Call { name, text, number }
    });
    let mut calls: Vec<Call> = calls.collect();
    // The first thing that the program does is to look at its standard descriptors; what is before
    // is the C library's.
    let before_main = calls.iter().position(|call| is_first_look(&call.text));
    let own = calls.split_off(before_main.expect("it looks at its standard descriptors"));
    let directories = own.iter().filter(|call| call.text.contains("O_DIRECTORY"));
    let numbers = directories.filter_map(|call| call.text.rsplit_once("= "));
    let directories: HashSet<String> = numbers.map(|(_, fd)| fd.trim().to_owned()).collect();
    let fails = |call: &Call| !is_excepted(call, &directories);
    own.into_iter().filter(fails).collect()
}

/// Failed writes to standard error cannot be reported. A debug build checks whether a descriptor is
/// open before it closes it, and aborts on purpose if it is not. Rust's library panics if
/// closedir(3) fails, which no kernel does for a directory in /proc.
fn is_excepted(call: &Call, directories: &HashSet<String>) -> bool {
    let name = &call.name;
    let is_known = !listed(name).is_empty() || INFALLIBLE.split(' ').any(|known| known == name);
    assert!(is_known, "{name} is not listed: {}", call.text);
    let closes_directory = call.name == "close" && directories.contains(first_argument(&call.text));
    let checks = call.text.contains("F_GETFD") && !is_first_look(&call.text);
    // An allocation that fails ends the program; `memory` has what it leaves behind.
    let allocates = call
        .text
        .contains("PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1");
    call.text.starts_with("write(2,") || checks || closes_directory || allocates
}

fn is_first_look(call: &str) -> bool {
    call.starts_with("fcntl(0, F_GETFD") || call.starts_with("fcntl(1, F_GETFD")
}

fn first_argument(call: &str) -> &str {
    let arguments = call.split_once('(').map_or("", |(_, arguments)| arguments);
    arguments.split([',', ')']).next().unwrap_or_default()
}

/// Every fault that can be injected into a run with these calls.
pub fn faults(calls: &[Call]) -> Vec<Fault<'_>> {
    let mut faults = Vec::new();
    for call in calls {
        for error in listed(&call.name) {
            // Standard error is looked at after the others.
            let lasts = may_last(&call.name, error) && !is_first_look(&call.text);
            for lasting in lasts.then_some("+").into_iter().chain([""]) {
                let errno = format!("E{error}");
                faults.push(Fault {
                    call,
                    errno,
                    lasting,
                });
            }
        }
    }
    faults
}

/// Runs sigsend with a fault; `None` if the run did not reach the call.
pub fn run_with(fault: &Fault, log: &Path, args: &[String]) -> Option<Output> {
    let (trace, inject) = (format!("trace={}", fault.call.name), fault.to_string());
    let output = traced(log, &[&trace, &inject], args);
    let text = fs::read_to_string(log).expect("strace writes its log");
    text.contains("(INJECTED)").then_some(output)
}
