//! What the kernel shows in unusual shapes: without sock_diag(7), and with control groups that are
//! nested very deep.
#![expect(unsafe_code, reason = "a limit is set between fork and exec")]

use nix::fcntl::{OFlag, open, openat};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat, write};

use crate::port::{serving, tcp};
use crate::support::prelude::*;

#[test]
fn ports_are_found_in_proc_where_the_kernel_answers_no_query() {
    in_pid_namespace(|| {
        needs!(entered_network(), "a network namespace");
        let holder = serving(tcp("[::]:8080"));
        let _neighbour = serving(tcp("0.0.0.0:8081"));
        // The whole family may be missing, or what answers for sockets of the internet.
        for inject in ["socket:error=EPROTONOSUPPORT", "write:error=EPERM:when=1"] {
            let expression = format!("inject={inject}");
            let trace = traced!(&expression, "-p :8080");
            let holds = trace.calls.iter().any(|call| call.contains("INJECTED"));
            assert!(holds, "{:?}", trace.calls);
            assert_eq!(trace.done.out, format!("{holder}\n"), "{inject}");
        }
        let netlink = strace("trace=socket", "-0 :8080");
        netlink.done.code(0);
        let holds = netlink.calls.iter().any(|call| call.contains("AF_NETLINK"));
        assert!(holds, "{:?}", netlink.calls);
        holder.assert_alive();
    });
}

const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC);

/// Groups nested in one another. A path to the lowest is too long to be opened.
struct Nest(Vec<OwnedFd>);

impl Nest {
    fn below(group: &Path, depth: usize) -> Self {
        let top = open(group, DIRECTORY, Mode::empty()).expect("a group of ours");
        let mut nest = Self(vec![top]);
        for _ in 0..depth {
            let lowest = nest.0.last().expect("at least the top");
            mkdirat(lowest, "n", Mode::S_IRWXU).expect("a group below one of ours");
            let below = openat(lowest, "n", DIRECTORY, Mode::empty());
            nest.0.push(below.expect("a group of ours"));
        }
        nest
    }

    /// Moves a process into the lowest group.
    fn take(&self, process: &Victim) {
        let lowest = self.0.last().expect("at least the top");
        let procs = openat(lowest, "cgroup.procs", OFlag::O_WRONLY, Mode::empty());
        let taken = write(procs.expect("a group of ours"), process.arg().as_bytes());
        taken.expect("a process of ours can be moved");
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        for above in self.0.iter().rev().skip(1) {
            let is_removed = || unlinkat(above, "n", UnlinkatFlags::RemoveDir).is_ok();
            eventually("the group to be empty", is_removed);
        }
    }
}

#[test]
fn a_group_nested_deeper_than_there_are_descriptors_is_listed_and_killed() {
    let Some(group) = control_group() else { return };
    let nest = Nest::below(group.path(), 300);
    let member = Victim::sleeping();
    nest.take(&member);
    let bystander = Victim::sleeping();
    let confined = |args: &[&str]| {
        let mut command = raw_sigsend();
        command.args(args).args(["--cgroup", &group.arg()]);
        let confine = || setrlimit(Resource::RLIMIT_NOFILE, 32, 32).map_err(io::Error::from);
        // SAFETY: between fork and exec one system call is made.
        unsafe { command.pre_exec(confine) };
        command.output().expect("sigsend starts")
    };
    let output = confined(&["-p"]);
    let got = String::from_utf8_lossy(&output.stdout);
    assert_eq!(got, format!("{}\n", member.pid()));
    let output = confined(&["-KILL", "--wait"]);
    assert_eq!(
        (
            output.status.code(),
            &*String::from_utf8_lossy(&output.stderr)
        ),
        (Some(0), "")
    );
    member.assert_killed_by(9);
    bystander.assert_alive();
}
