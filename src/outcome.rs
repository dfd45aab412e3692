//! What became of each target: the events of a call, why something failed, how a process ended, and
//! the count that becomes the exit status.

use std::io;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;

use crate::plan::Step;
use crate::signal::{DefaultAction, Signal};
use crate::target::{Inode, Pid};

/// The target or process that an event is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The user's own token.
    pub typed: &'a str,
    pub pid: Option<Pid>,
    pub inode: Option<Inode>,
    pub name: Option<&'a [u8]>,
}

impl<'a> Subject<'a> {
    /// A target that is no single process.
    pub fn target(typed: &'a str) -> Self {
        Self {
            typed,
            pid: None,
            inode: None,
            name: None,
        }
    }
}

/// One event: something that happened, or the answer to a question.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// The kernel accepted the signal. `after` is set for a follow-up: the time since the first
    /// signal.
    Sent {
        signal: Signal,
        value: Option<i32>,
        after: Option<Duration>,
    },
    /// The same for processes of a control group that have no PID here.
    SentUnseen {
        signal: Signal,
        count: usize,
        after: Option<Duration>,
    },
    /// Nothing was sent, which counts as a failure.
    Failed(&'a Reason),
    /// A member of a tree that is sigsend itself or one of its ancestors; counts as a failure.
    Skipped,
    /// A member of a tree that did not stop within a second, or was continued by others again and
    /// again, so that it may have forked unseen before it was killed.
    Unstopped,
    /// Gone before the first signal. Success, because waiting was requested.
    AlreadyGone,
    Gone {
        ending: Ending,
        after: Duration,
    },
    StillThere {
        after: Duration,
    },
    /// The answer to `-p` and `--id`.
    Found,
    Alive,
    /// The dry run's `Sent`.
    WouldSend(&'a Preview),
    /// The dry run's `SentUnseen`.
    WouldSendUnseen {
        signal: Signal,
        count: usize,
    },
}

impl Outcome<'_> {
    /// The name of the event in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sent { .. } | Self::SentUnseen { .. } => "sent",
            Self::Failed(_) => "failed",
            Self::Skipped => "skipped",
            Self::Unstopped => "not-stopped",
            Self::AlreadyGone => "already-gone",
            Self::Gone { .. } => "gone",
            Self::StillThere { .. } => "still-there",
            Self::Found => "found",
            Self::Alive => "alive",
            Self::WouldSend(_) | Self::WouldSendUnseen { .. } => "would-send",
        }
    }
}

/// What a plan would do to one process.
#[derive(Debug)]
pub struct Preview {
    pub signal: Signal,
    /// What would be sent later if the process is still there.
    pub follow_ups: Vec<Step>,
    pub effect: Effect,
    pub mask: Mask,
    pub user: String,
    pub age: Option<Duration>,
    pub command: Vec<u8>,
}

/// What a signal does to a process (signal(7), "Signal dispositions").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Caught,
    Ignored,
    Default(DefaultAction),
    /// Nothing at all: the null signal, a zombie, or a process that the kernel protects.
    Nothing,
}

/// Whether the process blocks the signal now, so that it stays pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    Open,
    Blocked,
}

/// Why nothing is sent to a target.
#[derive(Debug)]
pub enum Reason {
    Absent(NoProcess),
    /// EPERM. `owner` is the owner of the process if that explains the error. It does not if the
    /// caller is root or the owner: then a missing capability, Landlock or the like is the reason.
    NotPermitted {
        owner: Option<String>,
    },
    /// Any other errno of kill(2) or pidfd_send_signal(2).
    Refused(Errno),
    /// The PID of a `PID:INODE` token belongs to another process now.
    Recycled,
    /// No process of the selected users has the name.
    Nameless {
        nearest: Option<String>,
        of_others: usize,
    },
    /// No process of the selected users listens on the port.
    NotListening {
        of_others: usize,
    },
    /// A socket is on the port, and no process that the caller may look into holds it. `owner` is
    /// the user who made the socket, if that is not the caller.
    HolderUnseen {
        owner: Option<String>,
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
    /// Nothing that could be read shows whether it is the expected process.
    Unverified {
        expected: Vec<u8>,
    },
    NotCaught {
        signal: Signal,
        name: Vec<u8>,
    },
    /// Process 1, whose tree is every process.
    Everyone,
    /// An ancestor of sigsend is hidden (hidepid), so this process may be an ancestor too.
    PerhapsAncestor {
        hidden: Pid,
    },
    /// A kernel thread, which no signal ends.
    KernelThread,
    ControlGroup(NoControlGroup),
    /// Members of a control group that have no PID here, since they live in another PID namespace.
    /// Only cgroup.kill reaches them.
    OtherNamespace {
        count: usize,
    },
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
    /// It holds threads instead of processes.
    Threaded,
    Empty,
    /// It could not be opened.
    Refused(Errno),
    /// It cannot be killed as a whole.
    NoKill(Errno),
}

impl Reason {
    /// The errno of an error that has been reported.
    pub fn from_error(error: &anyhow::Error) -> Self {
        let errno = error.chain().find_map(|cause| {
            let of_io = || {
                cause
                    .downcast_ref::<io::Error>()?
                    .raw_os_error()
                    .map(Errno::from_raw)
            };
            cause.downcast_ref().copied().or_else(of_io)
        });
        // Without one it was memory that Rust's library could not get.
        Self::Refused(errno.unwrap_or(Errno::ENOMEM))
    }

    /// Whether the target has exited and been reaped, or is a zombie.
    pub fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::Absent(NoProcess::Gone)
                | Self::Refused(Errno::ESRCH)
                | Self::Recycled
                | Self::ControlGroup(NoControlGroup::Empty)
        )
    }

    /// The number of processes that it concerns.
    pub fn count(&self) -> usize {
        if let Self::OtherNamespace { count } = self {
            *count
        } else {
            1
        }
    }
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

/// How a process ended, if the kernel reports it. Never guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a status from 0 to 255.
    Exited(i32),
    Killed {
        signal: Signal,
        core: Core,
    },
    Unknown,
}

/// Whether a process that was killed left a core dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Core {
    Dumped,
    Not,
    Unknown,
}

impl Ending {
    /// Reads a wait status (wait(2)).
    ///
    /// Only wait(2) itself returns a reliable core bit: a thread other than the leader may dump
    /// core after the leader's status was recorded. Without the bit, only a signal that never dumps
    /// core is proof.
    pub fn from_wait_status(status: i32) -> Self {
        let core = |signal: Signal| match signal.default_action() {
            _ if status & 0x80 != 0 => Core::Dumped,
            DefaultAction::Core => Core::Unknown,
            _ => Core::Not,
        };
        match u32::try_from(status & 0x7f) {
            Ok(0) => Self::Exited(status >> 8 & 0xff),
            Ok(number) => {
                Signal::from_status(number).map_or(Self::Unknown, |signal| Self::Killed {
                    signal,
                    core: core(signal),
                })
            }
            Err(_) => Self::Unknown,
        }
    }
}

/// The results of a call, counted by process. A target without a process counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Got the first signal, whatever happened to them later.
    pub signalled: usize,
    /// Gone at the start when waiting was requested, or the answer yes to a question.
    pub settled: usize,
    /// Got no signal, or refused a later one.
    pub failed: usize,
    /// Still there when the time was over.
    pub left: usize,
}

impl Tally {
    /// One failure.
    pub const FAILURE: Self = Self {
        signalled: 0,
        settled: 0,
        failed: 1,
        left: 0,
    };

    pub fn status(self) -> Status {
        match self {
            Self { left: 1.., .. } => Status::TimedOut,
            Self { failed: 0, .. } => Status::Success,
            Self {
                signalled: 0,
                settled: 0,
                ..
            } => Status::Failure,
            _ => Status::Partial,
        }
    }
}

/// The exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Success,
    /// Nothing was signalled, or output could not be written. With `--alive`: one is gone.
    Failure,
    /// With `--alive`: it could not be determined.
    Undecided,
    /// Some processes were signalled, others were not, or one refused a follow-up.
    Partial,
    /// A target was still there when the time was over.
    TimedOut,
}

impl Status {
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Undecided => 2,
            Self::Partial => 64,
            Self::TimedOut => 124,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_follows_from_the_count() {
        let table = [
            ((0, 0, 0, 0), 0),
            ((3, 0, 0, 0), 0),
            ((0, 2, 0, 0), 0),
            ((0, 0, 1, 0), 1),
            ((0, 0, 3, 0), 1),
            ((1, 0, 1, 0), 64),
            ((0, 1, 1, 0), 64),
            ((5, 0, 1, 0), 64),
            ((0, 0, 0, 1), 124),
            ((5, 1, 1, 1), 124),
        ];
        for ((signalled, settled, failed, left), code) in table {
            let tally = Tally {
                signalled,
                settled,
                failed,
                left,
            };
            assert_eq!(tally.status().code(), code, "{tally:?}");
        }
    }

    #[test]
    fn wait_statuses_become_endings() {
        let killed = |number, core| Ending::Killed {
            signal: Signal::from_status(number).expect("a signal"),
            core,
        };
        let table = [
            (0, Ending::Exited(0)),
            (3 << 8, Ending::Exited(3)),
            (255 << 8, Ending::Exited(255)),
            (9, killed(9, Core::Not)),
            (15, killed(15, Core::Not)),
            (11, killed(11, Core::Unknown)),
            (0x8b, killed(11, Core::Dumped)),
            (35, killed(35, Core::Not)),
        ];
        for (status, ending) in table {
            assert_eq!(Ending::from_wait_status(status), ending, "{status}");
        }
    }
}
