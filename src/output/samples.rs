//! For tests: a sample of every reason, with its words.

use std::time::{Duration, SystemTime};

use nix::errno::Errno;

use crate::event::{NoControlGroup, NoProcess, Nobody, Reason, Typed, What};
use crate::signal::Signal;
use crate::target::{Pid, Target};

/// A failure of one target.
pub struct Sample {
    pub typed: Typed,
    pub pid: Option<Pid>,
    pub reason: Reason,
    /// The line on standard error.
    pub text: &'static str,
    /// The hint of a caller who is not root.
    pub hint: &'static str,
}

pub fn pid(number: i32) -> Pid {
    Pid::try_from(number).expect("a PID")
}

/// What a text on the command line means.
pub fn typed(text: &str) -> Typed {
    let what = match text {
        "/srv" => What::Directory,
        "worker.py" => What::CommandLine,
        "./web" => What::ControlGroup,
        target => What::Target(target.parse().expect("a target")),
    };
    Typed {
        text: text.into(),
        what,
    }
}

/// Every reason.
pub fn samples() -> Vec<Sample> {
    let signal = Signal::HUP;
    let bytes = |text: &str| text.as_bytes().to_vec();
    let nearest = Some("nginx".to_owned());
    let not_listening = |of_others, other_protocol| Reason::NotListening {
        of_others,
        other_protocol,
    };
    let hour = |hours: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(3600 * hours);
    let rows = [
        (
            "4242",
            Reason::Absent(NoProcess::Gone),
            "sending signal to 4242 failed: No such process",
            "",
        ),
        (
            "4243",
            Reason::Absent(NoProcess::Thread {
                of: Some(pid(4242)),
            }),
            "sending signal to 4243 failed: 4243 is a thread of 4242",
            "did you mean 4242?",
        ),
        (
            "",
            Reason::EmptyWord,
            "'': invalid target",
            "the token was empty; is a variable unset?",
        ),
        (
            "-4243",
            Reason::NoGroup {
                leader_is_in: Some(pid(17)),
            },
            "sending signal to -4243 failed: No such process",
            "4243 lives in group 17: '--tree 4243'",
        ),
        (
            "4242",
            Reason::NotPermitted {
                errno: Errno::EPERM,
                owner: Some("root".to_owned()),
            },
            "sending signal to 4242 failed: Operation not permitted",
            "process 4242 belongs to root; only root may signal it",
        ),
        (
            "4242",
            Reason::NotPermitted {
                errno: Errno::EACCES,
                owner: None,
            },
            "sending signal to 4242 failed: Operation not permitted",
            "a security module forbids it; its audit log says which and why",
        ),
        (
            "4242",
            Reason::Refused(Errno::EAGAIN),
            "sending signal to 4242 failed: Resource temporarily unavailable",
            "",
        ),
        (
            "4242:7",
            Reason::Recycled,
            "sending signal to 4242:7 failed: No such process: this PID now belongs to another process",
            "",
        ),
        (
            "ngnix",
            Reason::Nobody(Nobody {
                nearest,
                ..Nobody::default()
            }),
            "cannot find process \"ngnix\"",
            "did you mean nginx?",
        ),
        (
            "node",
            Reason::Nobody(Nobody {
                executables: 2,
                called: vec![bytes("MainThread")],
                ..Nobody::default()
            }),
            "cannot find process \"node\"",
            "2 processes have the executable node and call themselves MainThread: \
             'sigsend --expect node MainThread'",
        ),
        (
            "worker.py",
            Reason::Nobody(Nobody {
                of_others: 3,
                ..Nobody::default()
            }),
            "cannot find a process with \"worker.py\" in its command line",
            "3 processes of other users match; -a selects them",
        ),
        (
            "/srv",
            Reason::Nobody(Nobody {
                hidden: true,
                ..Nobody::default()
            }),
            "cannot find a process that works in /srv",
            "/proc hides processes of other users",
        ),
        (
            "./web",
            Reason::Nobody(Nobody::default()),
            "control group ./web holds no such process",
            "",
        ),
        (
            ":8080",
            not_listening(0, true),
            "nothing listens on port 8080",
            "the port is in use with UDP: ':8080/udp'",
        ),
        (
            ":8080",
            not_listening(1, false),
            "only processes of other users listen on port 8080",
            "another user's process listens there; -a selects it",
        ),
        (
            ":8080",
            Reason::HolderUnseen {
                owner: Some("root".to_owned()),
            },
            "cannot tell which process listens on port 8080, whose socket belongs to root",
            "only root may look at the descriptors of root's processes",
        ),
        (
            "kill",
            Reason::OnlySigsend,
            "only sigsend itself answers to \"kill\"",
            "",
        ),
        (
            "sh",
            Reason::OnlySpared {
                first: pid(4242),
                name: bytes("sh"),
            },
            "only sigsend and its ancestors answer to \"sh\", such as 4242 (sh)",
            "",
        ),
        (
            ":8080",
            Reason::OnlySpared {
                first: pid(4242),
                name: bytes("sh"),
            },
            "only sigsend and its ancestors listen on port 8080, such as 4242 (sh)",
            "",
        ),
        (
            ":8080",
            Reason::OnlySpared {
                first: Pid::INIT,
                name: bytes("systemd"),
            },
            "only process 1 (systemd), an ancestor of sigsend, listens on port 8080",
            "it may listen for a service: 'systemctl stop NAME.socket'",
        ),
        (
            "4242",
            Reason::Stale {
                file: "pidfile x.pid".to_owned(),
                started: hour(3),
                written: hour(2),
            },
            "pidfile x.pid is stale: 4242 started at 1970-01-01T03:00:00.000Z, \
             the file was last modified at 1970-01-01T02:00:00.000Z",
            "--allow-stale signals it anyway, best with --expect NAME; \
             a PID:INODE in the file depends on no clock",
        ),
        (
            "4242",
            Reason::NotExpected {
                expected: bytes("nginx"),
                name: bytes("sh"),
            },
            "4242 (sh) is not nginx",
            "",
        ),
        (
            "4242",
            Reason::NoSuchText {
                text: bytes("worker.py"),
                name: bytes("sh"),
            },
            "4242 (sh) does not have \"worker.py\" in its command line",
            "",
        ),
        (
            "4242",
            Reason::WorksElsewhere {
                wanted: bytes("/srv"),
                directory: bytes("/root"),
            },
            "4242 works in /root, not in /srv",
            "",
        ),
        (
            "4242",
            Reason::OtherUser {
                wanted: "www".to_owned(),
                user: "root".to_owned(),
            },
            "4242 belongs to root, not to www",
            "",
        ),
        (
            "4242",
            Reason::Unverified {
                expected: bytes("nginx"),
            },
            "4242 cannot be verified to be nginx",
            "",
        ),
        (
            "4242",
            Reason::NotCaught {
                signal,
                name: bytes("sh"),
            },
            "4242 (sh) does not catch HUP",
            "",
        ),
        (
            "4242",
            Reason::CatchUnknown { signal },
            "cannot tell whether 4242 catches HUP",
            "",
        ),
        (
            "1",
            Reason::Everyone,
            "the tree of process 1 is every process: refused",
            "",
        ),
        (
            "4242",
            Reason::PerhapsAncestor { hidden: pid(17) },
            "4242 may be an ancestor of sigsend, whose ancestor 17 is hidden in /proc: refused",
            "",
        ),
        (
            "2",
            Reason::KernelThread,
            "2 is a kernel thread, which no signal ends",
            "",
        ),
        (
            "1",
            Reason::Protected,
            "1 is process 1 of this PID namespace and catches none of the signals, \
             so that the kernel drops them: refused",
            "",
        ),
        (
            "4242",
            Reason::ChildrenUnread,
            "the children of 4242 cannot be read, and may have got no signal",
            "",
        ),
        (
            "./web",
            Reason::OtherNamespace { count: 2 },
            "cannot signal 2 processes of another PID namespace in ./web, \
             which only KILL without -r and --expect reaches",
            "",
        ),
    ];
    let sample = |(text, reason, line, hint)| {
        let typed = typed(text);
        let pid = match &typed.what {
            What::Target(Target::Token(pid, _)) => Some(*pid),
            What::Target(target) => target.process(),
            _ => None,
        };
        Sample {
            typed,
            pid,
            reason,
            text: line,
            hint,
        }
    };
    let of_control_group =
        |(refused, line, hint)| ("./web", Reason::ControlGroup(refused), line, hint);
    let rows = rows.into_iter();
    let rows = rows.chain(control_groups().into_iter().map(of_control_group));
    rows.map(sample).collect()
}

fn control_groups() -> [(NoControlGroup, &'static str, &'static str); 10] {
    use NoControlGroup::{
        Ancestor, Empty, Missing, NoKill, Other, Own, Refused, Root, Threaded, Version1,
    };
    let plain = |refused, line| (refused, line, "");
    [
        plain(Missing, "control group ./web does not exist"),
        plain(Other, "./web is not the directory of a control group"),
        plain(
            Version1,
            "./web is a control group of version 1, only version 2 will do",
        ),
        plain(
            Root,
            "./web is the root control group, which holds every process: refused",
        ),
        plain(Own, "control group ./web holds sigsend itself: refused"),
        plain(
            Ancestor(pid(17)),
            "control group ./web holds 17, an ancestor of sigsend: refused",
        ),
        (
            Threaded,
            "control group ./web is threaded: it holds threads, not processes",
            "the processes belong to its nearest ancestor that is not threaded",
        ),
        plain(Empty, "control group ./web is empty"),
        plain(
            Refused(Errno::ENOMEM),
            "opening control group ./web failed: Cannot allocate memory",
        ),
        (
            NoKill(Errno::EACCES),
            "control group ./web cannot be killed as a whole: Permission denied",
            "that takes the permission to write to its cgroup.kill; \
             -p prints its members, which '--pidfile -' reads",
        ),
    ]
}
