//! What became of each target: the events of a call, and how a process ended. Why something failed
//! is in `reason`, the count that becomes the exit status in `status`.

mod reason;
mod status;

pub use reason::{NoControlGroup, NoProcess, Nobody, Reason, Says, errno_of};
pub use status::{Status, Tally};

use std::rc::Rc;
use std::time::Duration;

use crate::plan::FollowUp;
use crate::signal::{DefaultAction, Signal};
use crate::target::{Inode, Pid, Target};

/// What selected a process, with the text that messages repeat.
#[derive(Clone, Debug)]
pub struct Typed {
    pub text: Rc<str>,
    pub what: What,
}

/// What a text means.
#[derive(Clone, Debug)]
pub enum What {
    Target(Target),
    /// A path given with `--cgroup`.
    ControlGroup,
    /// A text given with `-f` that selects by itself.
    CommandLine,
    /// A directory given with `--cwd` that selects by itself.
    Directory,
}

impl Typed {
    pub fn target(target: Target) -> Self {
        Self {
            text: target.to_string().into(),
            what: What::Target(target),
        }
    }
}

/// The target or process that an event is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub typed: &'a Typed,
    pub pid: Option<Pid>,
    pub inode: Option<Inode>,
    pub name: Option<&'a [u8]>,
    /// Instead of one process: how many members of a control group that have no PID here.
    pub unseen: Option<usize>,
}

impl<'a> Subject<'a> {
    /// A target that is no single process.
    pub fn target(typed: &'a Typed) -> Self {
        Self {
            typed,
            pid: None,
            inode: None,
            name: None,
            unseen: None,
        }
    }

    /// One process of the target, with its command name if that is known.
    pub fn process(self, pid: Option<Pid>, name: Option<&'a [u8]>) -> Self {
        Self { pid, name, ..self }
    }

    /// So many members of a control group that have no PID here.
    pub fn unseen(self, count: usize) -> Self {
        let unseen = Some(count);
        Self { unseen, ..self }
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
    /// Nothing was sent, which counts as a failure.
    Failed(&'a Reason),
    /// sigsend itself or one of its ancestors, which a description, a list on standard input, a
    /// control group or a tree would have selected. Neither signalled nor failed.
    Skipped,
    /// A member of a tree that did not stop within a second, or was continued by others again and
    /// again, so that it may have forked unseen before it was killed.
    Unstopped,
    /// A process that appeared while a tree was killed and may be a child that a killed member left
    /// behind; counts as a failure.
    Escaped,
    /// Gone before the first signal. Success, because waiting was requested. The reason says what
    /// was looked for, if it was a description that nobody answers to.
    AlreadyGone(Option<&'a Reason>),
    Gone {
        ending: Ending,
        after: Duration,
    },
    StillThere {
        after: Duration,
        state: Option<Obstacle>,
    },
    /// The answer to `-p` and `--id`.
    Found,
    Alive,
    /// The dry run's `Sent`. Without a PID there is no preview.
    WouldSend {
        signal: Signal,
        after: Option<Duration>,
        preview: Option<Box<Preview>>,
    },
}

/// What keeps a process that is still there when the time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Stopped by a signal: CONT continues it.
    Stopped,
    TracedBy(Pid),
    /// In an uninterruptible sleep.
    Blocked,
    /// It ignores the last signal that it got.
    Ignores(Signal),
}

/// What a plan would do to one process.
#[derive(Debug)]
pub struct Preview {
    /// What would be sent later if the process is still there; directly after the signal if the
    /// time is zero.
    pub follow_ups: Vec<FollowUp>,
    pub effect: Effect,
    /// Whether the process blocks the signal now, so that it stays pending; `None` if that cannot
    /// be read.
    pub is_blocked: Option<bool>,
    /// Stopped or traced, so that it acts on the signal only when it continues.
    pub hold: Option<Obstacle>,
    pub user: String,
    pub age: Option<Duration>,
    pub command: Vec<u8>,
    /// Where it works, if `--cwd` was given.
    pub directory: Option<Vec<u8>>,
}

/// What a signal does to a process (signal(7), "Signal dispositions").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Caught,
    Ignored,
    Default(DefaultAction),
    /// Nothing at all: the null signal, a zombie, or a process that the kernel protects.
    Nothing,
    /// What it does cannot be read.
    Unknown,
}

/// How a process ended, if the kernel reports it. Never guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a status from 0 to 255.
    Exited(i32),
    Killed {
        signal: Signal,
        /// `None` if that is unknown.
        core_dumped: Option<bool>,
    },
    Unknown,
}

impl Ending {
    /// Reads a wait status (wait(2)).
    ///
    /// Only wait(2) itself returns a reliable core bit: a thread other than the leader may dump
    /// core after the leader's status was recorded. Without the bit, only a signal that never dumps
    /// core is proof.
    pub fn from_wait_status(status: i32) -> Self {
        let core_dumped = |signal: Signal| match signal.default_action() {
            _ if status & 0x80 != 0 => Some(true),
            DefaultAction::Core => None,
            _ => Some(false),
        };
        match status.cast_unsigned() & 0x7f {
            0 => Self::Exited(status >> 8 & 0xff),
            number => Signal::from_status(number).map_or(Self::Unknown, |signal| Self::Killed {
                signal,
                core_dumped: core_dumped(signal),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses_become_endings() {
        let killed = |number, core_dumped| Ending::Killed {
            signal: Signal::from_status(number).expect("a signal"),
            core_dumped,
        };
        let table = [
            (0, Ending::Exited(0)),
            (3 << 8, Ending::Exited(3)),
            (255 << 8, Ending::Exited(255)),
            (9, killed(9, Some(false))),
            (15, killed(15, Some(false))),
            (11, killed(11, None)),
            (0x8b, killed(11, Some(true))),
            (35, killed(35, Some(false))),
        ];
        for (status, ending) in table {
            assert_eq!(Ending::from_wait_status(status), ending, "{status}");
        }
    }
}
