//! What happened to whom: the events of a call, as they are told to the user, and the count of them that becomes the exit status.

use std::time::Duration;

use crate::find::prepare::Reason;
use crate::find::recipients::Recipient;
use crate::run::send::Step;
use crate::run::wait::Ending;
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

impl<'a> From<&'a Recipient> for Subject<'a> {
    fn from(recipient: &'a Recipient) -> Self {
        Self {
            typed: &recipient.typed,
            pid: Some(recipient.pid()),
            inode: recipient.inode,
            name: recipient.name.as_deref(),
        }
    }
}

/// One thing that happened, or was found out.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// A signal was sent; a follow-up so long after the first one.
    Sent {
        signal: Signal,
        value: Option<i32>,
        after: Option<Duration>,
    },
    /// Nothing was sent, which counts as a failure.
    Missed(&'a Reason),
    /// A member of a tree was left out on purpose.
    Spared,
    /// It did not stop within a second, and may have forked before it was killed.
    Unstopped,
    AlreadyGone,
    Gone {
        ending: Ending,
        after: Duration,
    },
    StillThere {
        after: Duration,
    },
    Found,
    Alive,
    Would(&'a Preview),
}

/// What a plan would do to one process, for a dry run.
#[derive(Debug)]
pub struct Preview {
    pub signal: Signal,
    /// What would come later, if the process is still there.
    pub follow_ups: Vec<Step>,
    pub effect: Effect,
    pub user: String,
    pub age: Option<Duration>,
    pub command: Vec<u8>,
}

/// What a signal does where it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Caught,
    Blocked,
    Ignored,
    Default(DefaultAction),
    /// Nothing at all, as with the null signal, a zombie or process 1.
    Nothing,
}

/// How many processes met which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Signalled, or gone as wished.
    pub done: usize,
    pub failed: usize,
    /// Still there when the time ran out.
    pub left: usize,
}

impl Tally {
    pub fn status(self) -> Status {
        match self {
            Self { left: 1.., .. } => Status::TimedOut,
            Self { failed: 0, .. } => Status::Success,
            Self { done: 0, .. } => Status::Failure,
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
    /// Some processes were signalled, others were not.
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
            ((0, 0, 0), 0),
            ((3, 0, 0), 0),
            ((0, 1, 0), 1),
            ((0, 3, 0), 1),
            ((1, 1, 0), 64),
            ((5, 1, 0), 64),
            ((0, 0, 1), 124),
            ((5, 1, 1), 124),
        ];
        for ((done, failed, left), code) in table {
            assert_eq!(Tally { done, failed, left }.status().code(), code, "{done} {failed} {left}");
        }
    }
}
