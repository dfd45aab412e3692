//! What a call does, known before anything is done: the action, the targets, the signals.

use std::ffi::OsString;
use std::iter;
use std::time::Duration;

use nix::errno::Errno;

use crate::signal::Signal;
use crate::target::{Pid, Targets};

/// What the command line asks for. The forms exclude each other.
#[derive(Debug)]
pub enum Action {
    /// A plan is carried out, rehearsed, or only asked about: see [`Mode`].
    Run(Box<Plan>, Voice),
    List(Vec<OsString>),
    Numbers(Vec<OsString>),
    Table(Vec<OsString>),
    State(Vec<Pid>),
    Help(Detail),
    Version,
    Generate(Product),
}

/// What a call with targets is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Send,
    /// The dry run: the same walk, nothing is sent.
    Rehearse,
    Ask(Question),
}

/// What is asked about targets instead of signalling them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Pid,
    Id,
    Alive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    Short,
    Long,
}

/// What `--generate` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    Man,
    Bash,
    Zsh,
    Fish,
}

impl Product {
    pub const NAMES: [(&str, Self); 4] = [
        ("man", Self::Man),
        ("bash", Self::Bash),
        ("zsh", Self::Zsh),
        ("fish", Self::Fish),
    ];
}

#[derive(Debug)]
pub struct Plan {
    pub mode: Mode,
    pub selection: Selection,
    pub first: Signal,
    /// Sent directly after the first signal.
    pub companions: Vec<Signal>,
    /// For processes that are still there, in order.
    pub follow_ups: Vec<FollowUp>,
    /// Queued with every signal, as sigqueue(3) does.
    pub value: Option<i32>,
    pub until: Until,
    /// The first of several targets, if no signal was named and its number may mean one: `9 4242`.
    pub perhaps_signal: Option<Pid>,
    pub begun: Begun,
}

/// A signal that is sent `after` the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowUp {
    pub after: Duration,
    pub signal: Signal,
}

/// When the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Sent,
    Gone,
    /// Gone, or this long after the last signal.
    Within(Duration),
}

/// What was done of a plain plan before its command line was read as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// So many targets have got the signal, in order.
    pub done: usize,
    /// What the kernel answered for the next one.
    pub refusal: Option<Errno>,
}

impl Plan {
    /// Whether every process gets one signal and nothing waits.
    pub fn is_single(&self) -> bool {
        !self.waits() && self.follow_ups.is_empty() && self.companions.is_empty()
    }

    /// What follows the first signal, in order; companions follow at once.
    pub fn later(&self) -> impl Iterator<Item = FollowUp> {
        let companions = self.companions.iter().map(|signal| FollowUp {
            after: Duration::ZERO,
            signal: *signal,
        });
        companions.chain(self.follow_ups.iter().copied())
    }

    pub fn signals(&self) -> impl Iterator<Item = Signal> {
        iter::once(self.first).chain(self.later().map(|later| later.signal))
    }

    /// Whether the call waits until targets are gone, so that one that is already gone is success.
    pub fn waits(&self) -> bool {
        self.until != Until::Sent
    }

    /// Whether plain kill(2) calls are enough: one signal, and nothing is looked up or verified.
    pub fn is_plain(&self) -> bool {
        let selection = &self.selection;
        !matches!(self.mode, Mode::Ask(_))
            && self.is_single()
            && selection.pidfiles.is_empty()
            && selection.cgroup.is_none()
            && !selection.checks()
            && selection.reach == Reach::Process
            && !selection.targets.has_unknown()
    }

    /// Whether a control group gets KILL as a whole, because every member may get it.
    pub fn kills_whole(&self) -> bool {
        !self.selection.checks()
            && !matches!(self.mode, Mode::Ask(_))
            && self.signals().any(|signal| signal == Signal::KILL)
    }
}

/// Which processes are selected, and what they must be.
#[derive(Debug)]
pub struct Selection {
    pub targets: Targets,
    pub pidfiles: Vec<Pidfile>,
    /// A control group: the path of its directory, or as /proc/PID/cgroup shows it.
    pub cgroup: Option<OsString>,
    pub users: Users,
    /// The command name, or basename of the executable or argv[0], that every target must have.
    pub expect: Option<OsString>,
    /// The signal that every target must catch.
    pub catching: Option<Signal>,
    /// Texts that the command line must contain, each of them.
    pub full: Vec<OsString>,
    /// The directory in which, or below which, the process must work.
    pub cwd: Option<OsString>,
    pub reach: Reach,
}

/// Whose processes a description selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Users {
    Own,
    All,
    /// A login name, or a number.
    Of(OsString),
}

/// Whether a process is selected with its descendants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Process,
    Tree,
    /// The tree, of which the target alone gets signals other than KILL (systemd's KillMode=mixed).
    Mixed,
}

impl Selection {
    /// Whether `-f` or `--cwd` describes processes.
    pub fn describes(&self) -> bool {
        !self.full.is_empty() || self.cwd.is_some()
    }

    /// Whether only some members of a control group are selected.
    pub fn narrows(&self) -> bool {
        self.describes() || matches!(self.users, Users::Of(_))
    }

    /// Whether each process is asked what it is before it gets a signal.
    fn checks(&self) -> bool {
        self.expect.is_some() || self.catching.is_some() || self.narrows()
    }

    /// Whether a description selects by itself: no target, pidfile or control group is given.
    pub fn is_description_alone(&self) -> bool {
        self.describes() && !self.has_targets()
    }

    pub fn is_empty(&self) -> bool {
        !self.describes() && !self.has_targets()
    }

    fn has_targets(&self) -> bool {
        !self.targets.is_empty() || !self.pidfiles.is_empty() || self.cgroup.is_some()
    }

    /// Whether the content of /proc decides which processes get a signal.
    pub fn needs_proc(&self) -> bool {
        self.expect.is_some()
            || self.catching.is_some()
            || self.describes()
            || self.reach != Reach::Process
            || self.pidfiles.iter().any(|file| file.age == Age::Checked)
    }
}

#[derive(Debug)]
pub struct Pidfile {
    /// A path, or `-` for standard input.
    pub path: OsString,
    pub age: Age,
}

/// Whether a process may be younger than the file that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    Checked,
    Any,
}

/// How much is printed on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    Quiet,
    Verbose,
    Json,
}

/// Whether labels (command name, inode) are read for output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    Wanted,
    Unwanted,
}

impl Voice {
    /// The dry run shows them always.
    pub fn labels(self, mode: Mode) -> Labels {
        if self == Self::Quiet && mode != Mode::Rehearse {
            Labels::Unwanted
        } else {
            Labels::Wanted
        }
    }
}
