//! Why nothing is sent to a target, and what that means for the errno, the questions and the exit
//! status. The words are in `output`.

use std::io;
use std::time::SystemTime;

use nix::errno::Errno;

use crate::signal::Signal;
use crate::target::Pid;

/// Why nothing is sent to a target.
#[derive(Debug)]
pub enum Reason {
    Absent(NoProcess),
    /// The empty word: a variable may be unset.
    EmptyWord,
    /// ESRCH for a process group. A process with the number lives in another group, if there is
    /// one.
    NoGroup {
        leader_is_in: Option<Pid>,
    },
    /// EPERM or EACCES. `owner` is the owner of the process if that explains the error. It does not
    /// if the caller is root or the owner: then a missing capability, a security module (EACCES),
    /// Landlock or the like is the reason.
    NotPermitted {
        errno: Errno,
        owner: Option<String>,
    },
    /// Any other errno of kill(2) or pidfd_send_signal(2).
    Refused(Errno),
    /// The PID of a `PID:INODE` token belongs to another process now.
    Recycled,
    /// No process of the selected users answers to a name, `-f` or `--cwd`.
    Nobody(Nobody),
    /// No process of the selected users listens on the port.
    NotListening {
        of_others: usize,
        /// Whether the port is in use with the other protocol.
        other_protocol: bool,
    },
    /// A socket is on the port, and no process that the caller may look into holds it. `owner` is
    /// the user who made the socket, if that is not the caller.
    HolderUnseen {
        owner: Option<String>,
    },
    /// Nobody but sigsend itself answers to a name.
    OnlySigsend,
    /// Nobody but ancestors of sigsend, and perhaps sigsend, answers to a name or port.
    OnlySpared {
        first: Pid,
        name: Vec<u8>,
    },
    /// The process started after its pidfile was written.
    Stale {
        file: String,
        started: SystemTime,
        written: SystemTime,
    },
    NotExpected {
        expected: Vec<u8>,
        name: Vec<u8>,
    },
    /// An identified process that `-f` does not match.
    NoSuchText {
        text: Vec<u8>,
        name: Vec<u8>,
    },
    /// An identified process that works elsewhere than `--cwd` says.
    WorksElsewhere {
        wanted: Vec<u8>,
        directory: Vec<u8>,
    },
    /// An identified process of another user than `-u` says.
    OtherUser {
        wanted: String,
        user: String,
    },
    /// Nothing that could be read shows whether it is what was asked for: the name after
    /// `--expect`, a text, a directory, a user, the writer of a pidfile.
    Unverified {
        expected: Vec<u8>,
    },
    NotCaught {
        signal: Signal,
        name: Vec<u8>,
    },
    /// Whether it catches the signal cannot be read.
    CatchUnknown {
        signal: Signal,
    },
    /// Process 1, whose tree is every process.
    Everyone,
    /// An ancestor of sigsend is hidden (hidepid), so this process may be an ancestor too.
    PerhapsAncestor {
        hidden: Pid,
    },
    /// A kernel thread, which no signal ends.
    KernelThread,
    /// Process 1 of this PID namespace, which catches none of the signals, so that the kernel drops
    /// them (pid_namespaces(7)).
    Protected,
    ControlGroup(NoControlGroup),
    /// Members of a control group that have no PID here, since they live in another PID namespace.
    /// Only cgroup.kill reaches them.
    OtherNamespace {
        count: usize,
    },
}

/// What is known beside that nobody answers to a description.
#[derive(Debug, Default)]
pub struct Nobody {
    /// What processes of the selected users are called that is most similar.
    pub nearest: Option<String>,
    /// How many processes of other users answer.
    pub of_others: usize,
    /// How many processes have an executable of that name, and what they call themselves.
    pub executables: usize,
    pub called: Vec<Vec<u8>>,
    /// Whether all of these are the caller's, so that those names select them.
    pub is_own: bool,
    /// Whether /proc hides processes from the caller.
    pub hidden: bool,
}

/// Why a control group is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoControlGroup {
    Missing,
    /// The path exists, but is not a control group.
    Other,
    Version1,
    /// The root, which holds every process.
    Root,
    /// sigsend is in it or in one below.
    Own,
    /// An ancestor of sigsend is in it or in one below.
    Ancestor(Pid),
    /// It holds threads instead of processes.
    Threaded,
    Empty,
    /// It could not be opened.
    Refused(Errno),
    /// It cannot be killed as a whole.
    NoKill(Errno),
}

/// What a reason means, beside its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What the kernel answered, or would answer.
    pub errno: Option<Errno>,
    pub says: Says,
    /// How many processes it concerns.
    pub count: usize,
}

/// What a failure says about the life of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Gone, or nobody there: success if the call waits.
    Gone,
    /// Not what was asked for, so not alive as such; nothing else is known.
    Refused,
    /// Neither that it lives nor that it is gone.
    Unclear,
    /// It lives, though it was not signalled.
    Lives,
}

impl Reason {
    /// The one place that knows what a reason means. Words are in `output`.
    pub fn facts(&self) -> Facts {
        use Says::{Gone, Lives, Refused, Unclear};
        let (says, errno) = match self {
            Self::Absent(NoProcess::Gone)
            | Self::Recycled
            | Self::NoGroup { .. }
            | Self::Refused(Errno::ESRCH)
            | Self::ControlGroup(NoControlGroup::Empty) => (Gone, Some(Errno::ESRCH)),
            Self::Nobody(Nobody {
                executables: 0,
                hidden: false,
                of_others,
                ..
            })
            | Self::NotListening { of_others, .. } => match of_others {
                0 => (Gone, None),
                _ => (Refused, None),
            },
            Self::ControlGroup(NoControlGroup::Missing) => (Refused, Some(Errno::ENOENT)),
            Self::OnlySigsend
            | Self::OnlySpared { .. }
            | Self::Stale { .. }
            | Self::NotExpected { .. }
            | Self::NoSuchText { .. }
            | Self::WorksElsewhere { .. }
            | Self::OtherUser { .. }
            | Self::NotCaught { .. }
            | Self::Everyone
            | Self::KernelThread
            | Self::Protected
            | Self::ControlGroup(
                NoControlGroup::Other
                | NoControlGroup::Version1
                | NoControlGroup::Root
                | NoControlGroup::Own
                | NoControlGroup::Ancestor(_)
                | NoControlGroup::Threaded,
            ) => (Refused, None),
            Self::NotPermitted { errno, .. }
            | Self::Refused(errno)
            | Self::ControlGroup(NoControlGroup::Refused(errno) | NoControlGroup::NoKill(errno)) => {
                (Unclear, Some(*errno))
            }
            Self::Absent(NoProcess::Thread { .. })
            | Self::EmptyWord
            | Self::Nobody(_)
            | Self::HolderUnseen { .. }
            | Self::Unverified { .. }
            | Self::CatchUnknown { .. }
            | Self::PerhapsAncestor { .. } => (Unclear, None),
            Self::OtherNamespace { .. } => (Lives, None),
        };
        let count = match self {
            Self::OtherNamespace { count } => *count,
            _ => 1,
        };
        Facts { errno, says, count }
    }

    /// The errno of an error that has been reported.
    pub fn from_error(error: &anyhow::Error) -> Self {
        // Without one it was memory that Rust's library could not get.
        Self::Refused(errno_of(error).unwrap_or(Errno::ENOMEM))
    }

    /// Whether the target has exited, or nobody is there.
    pub fn is_gone(&self) -> bool {
        self.facts().says == Says::Gone
    }
}

/// The errno that an error is about.
pub fn errno_of(error: &anyhow::Error) -> Option<Errno> {
    error.chain().find_map(|cause| {
        let number = || cause.downcast_ref::<io::Error>()?.raw_os_error();
        let errno = cause.downcast_ref().copied();
        errno.or_else(|| number().map(Errno::from_raw))
    })
}

/// Why a number could not be pinned although pidfds are available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoProcess {
    Gone,
    /// The process is unknown where /proc does not show the thread.
    Thread {
        of: Option<Pid>,
    },
}
