//! What became of each target: the events of a call, why something failed, how a process ended, and the
//! count that becomes the exit status.

use std::io;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;

use crate::plan::Step;
use crate::signal::{DefaultAction, Signal};
use crate::target::{Inode, Pid};

/// Whom an event is about.
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
        Self { typed, pid: None, inode: None, name: None }
    }
}

/// One thing that happened, or was found out.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// The kernel accepted the signal. `after` is set for a follow-up: the time since the first signal.
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
    /// A member of a tree that did not stop within a second, or was continued by others again and again, so that
    /// it may have forked unseen before it was killed.
    Unstopped,
    /// Gone before the first signal, where waiting was asked for.
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

/// What a plan would do to one process.
#[derive(Debug)]
pub struct Preview {
    pub signal: Signal,
    /// What would be sent later to a process that is still there.
    pub follow_ups: Vec<Step>,
    pub effect: Effect,
    pub mask: Mask,
    pub user: String,
    pub age: Option<Duration>,
    pub command: Vec<u8>,
}

/// What a signal does where it arrives (signal(7), "Signal dispositions").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Caught,
    Ignored,
    Default(DefaultAction),
    /// Nothing at all: the null signal, a zombie, or a process that the kernel protects.
    Nothing,
}

/// Whether the process blocks the signal now, so that it stays pending for the time being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    Open,
    Blocked,
}

/// Why nothing is sent to a target.
#[derive(Debug)]
pub enum Reason {
    Absent(NoProcess),
    /// EPERM. `owner` is the user that the process belongs to, where that explains it: not if the caller
    /// is root or the owner, whom something else forbids it (Landlock, a missing capability).
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
    /// A socket is on the port, and no process that the caller may look into holds it. `owner` is the user who
    /// made the socket, if that is not the caller.
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
    /// Nothing could be read that would show whether it is the expected process.
    Unverified {
        expected: Vec<u8>,
    },
    NotCaught {
        signal: Signal,
        name: Vec<u8>,
    },
    /// Process 1, whose tree is everyone.
    Everyone,
    /// An ancestor of sigsend is hidden (hidepid), so this process may be an ancestor, too.
    PerhapsAncestor {
        hidden: Pid,
    },
    /// A kernel thread, which no signal ends.
    KernelThread,
    ControlGroup(NoControlGroup),
    /// Members of a control group that have no PID here, since they live in another PID namespace. Only
    /// cgroup.kill reaches them.
    OtherNamespace {
        count: usize,
    },
}

/// Why a control group is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoControlGroup {
    Missing,
    /// There is something by that name, but no control group.
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
    /// An error that was told already, as far as it says what the system refused.
    pub fn from_error(error: &anyhow::Error) -> Self {
        let errno = error.chain().find_map(|cause| {
            let of_io = || cause.downcast_ref::<io::Error>()?.raw_os_error().map(Errno::from_raw);
            cause.downcast_ref().copied().or_else(of_io)
        });
        // Without one it was memory that Rust's library could not get.
        Self::Refused(errno.unwrap_or(Errno::ENOMEM))
    }

    /// Whether the process that was meant has exited and been reaped, or is a zombie.
    pub fn is_gone(&self) -> bool {
        matches!(
            self,
            Self::Absent(NoProcess::Gone)
                | Self::Refused(Errno::ESRCH)
                | Self::Recycled
                | Self::ControlGroup(NoControlGroup::Empty)
        )
    }

    /// How many processes it is about.
    pub fn count(&self) -> usize {
        if let Self::OtherNamespace { count } = self { *count } else { 1 }
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

/// How a process ended, as far as the kernel tells; never guessed.
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
    /// The core bit is set for sure only in what wait(2) itself returns: another thread than the leader may
    /// dump after the leader's status was recorded. Without it, only a signal that never dumps core is proof.
    pub fn from_wait_status(status: i32) -> Self {
        let core = |signal: Signal| match signal.default_action() {
            _ if status & 0x80 != 0 => Core::Dumped,
            DefaultAction::Core => Core::Unknown,
            _ => Core::Not,
        };
        match u32::try_from(status & 0x7f) {
            Ok(0) => Self::Exited(status >> 8 & 0xff),
            Ok(number) => {
                Signal::from_status(number).map_or(Self::Unknown, |signal| Self::Killed { signal, core: core(signal) })
            }
            Err(_) => Self::Unknown,
        }
    }
}

/// How many processes, and targets that are none, came to which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Got the first signal, whatever became of them after it.
    pub signalled: usize,
    /// Already gone at the start, where waiting was asked for; or the answer yes to a question.
    pub settled: usize,
    /// Got no signal, or refused a later one.
    pub failed: usize,
    /// Still there when the time ran out.
    pub left: usize,
}

impl Tally {
    /// Nothing but one failure.
    pub const FAILURE: Self = Self { signalled: 0, settled: 0, failed: 1, left: 0 };

    pub fn status(self) -> Status {
        match self {
            Self { left: 1.., .. } => Status::TimedOut,
            Self { failed: 0, .. } => Status::Success,
            Self { signalled: 0, settled: 0, .. } => Status::Failure,
            _ => Status::Partial,
        }
    }
}

/// The exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Success,
    /// Nothing was signalled, or output could not be written; under `--alive`, one is gone.
    Failure,
    /// Under `--alive`: it could not be told.
    Undecided,
    /// Some processes were signalled, others were not, or one refused a follow-up.
    Partial,
    /// A target was still there when the time ran out.
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
            let tally = Tally { signalled, settled, failed, left };
            assert_eq!(tally.status().code(), code, "{tally:?}");
        }
    }

    #[test]
    fn wait_statuses_become_endings() {
        let killed = |number, core| Ending::Killed { signal: Signal::from_status(number).expect("a signal"), core };
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
