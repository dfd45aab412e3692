//! What a call does, known before anything is done: the action, the targets, the steps.

use std::ffi::OsString;
use std::time::Duration;

use crate::signal::Signal;
use crate::target::{Pid, Targets};

/// What the command line asks for. The forms exclude each other.
#[derive(Debug)]
pub enum Action {
    Send(Plan, Voice),
    DryRun(Plan, Voice),
    Ask(Question, Selection, Voice),
    List(Vec<OsString>),
    Numbers(Vec<OsString>),
    Table(Vec<OsString>),
    State(Vec<Pid>),
    Help(Detail),
    Version,
    Generate(Product),
}

/// What is asked about targets instead of signalling them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Pid,
    Id,
    Alive,
}

/// Which help is printed.
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
    Elvish,
    Powershell,
}

impl Product {
    pub const NAMES: [(&str, Self); 6] = [
        ("man", Self::Man),
        ("bash", Self::Bash),
        ("zsh", Self::Zsh),
        ("fish", Self::Fish),
        ("elvish", Self::Elvish),
        ("powershell", Self::Powershell),
    ];
}

/// Everything a sending call does, known before the first signal.
#[derive(Debug)]
pub struct Plan {
    pub selection: Selection,
    /// Queued with every signal, as sigqueue(3) does.
    pub value: Option<i32>,
    /// The first step has no delay. Later ones are for processes that are still there.
    pub steps: Vec<Step>,
    pub until: Until,
}

/// Signals that are sent together, `after` the step before.
#[derive(Clone, Debug)]
pub struct Step {
    pub after: Duration,
    pub signals: Vec<Signal>,
}

/// When the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Sent,
    Gone,
    /// Gone, or this long after the last signal.
    Within(Duration),
}

impl Plan {
    /// A plan without what options add to it.
    pub fn new(targets: Targets, steps: Vec<Step>, until: Until) -> Self {
        let selection = Selection {
            targets,
            pidfile: None,
            cgroup: None,
            users: Users::Own,
            expect: None,
            catching: None,
            reach: Reach::Process,
        };
        Self {
            selection,
            value: None,
            steps,
            until,
        }
    }

    /// The signal that comes first.
    pub fn first_signal(&self) -> Signal {
        self.steps[0].signals[0]
    }

    /// Whether every process gets one signal and nothing waits.
    pub fn is_single(&self) -> bool {
        self.until == Until::Sent && self.steps.len() == 1 && self.steps[0].signals.len() == 1
    }

    /// The signals after the first one: those of the same step, then the later steps.
    pub fn follow_ups(&self) -> Vec<Step> {
        let companions = Step {
            after: Duration::ZERO,
            signals: self.steps[0].signals[1..].to_vec(),
        };
        let steps = std::iter::once(companions).chain(self.steps[1..].iter().cloned());
        steps.filter(|step| !step.signals.is_empty()).collect()
    }

    /// Whether its control group gets KILL as a whole, because every member may get it.
    pub fn kills_whole(&self) -> bool {
        let is_checked = self.selection.expect.is_some() || self.selection.catching.is_some();
        !is_checked
            && self
                .steps
                .iter()
                .any(|step| step.signals.contains(&Signal::KILL))
    }

    /// Whether the call waits until targets are gone, so that one that is already gone is success.
    pub fn waits(&self) -> bool {
        self.until != Until::Sent
    }
}

/// Which processes are selected, and what they must be.
#[derive(Debug)]
pub struct Selection {
    pub targets: Targets,
    pub pidfile: Option<Pidfile>,
    /// A control group: the path of its directory, or as /proc/PID/cgroup shows it.
    pub cgroup: Option<OsString>,
    pub users: Users,
    /// The command name, or basename of the executable or argv[0], that every target must have.
    pub expect: Option<OsString>,
    /// The signal that every target must catch.
    pub catching: Option<Signal>,
    pub reach: Reach,
}

/// Whose processes a name selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    Own,
    All,
}

/// Whether a process is selected with its descendants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Process,
    Tree,
}

impl Selection {
    /// Whether plain kill(2) calls are enough: nothing is looked up or verified.
    pub fn is_plain(&self) -> bool {
        self.pidfile.is_none()
            && self.cgroup.is_none()
            && self.expect.is_none()
            && self.catching.is_none()
            && self.reach == Reach::Process
            && !self.targets.has_unknown()
    }

    /// Whether the content of /proc decides which processes get a signal.
    pub fn needs_proc(&self) -> bool {
        self.expect.is_some()
            || self.catching.is_some()
            || self
                .pidfile
                .as_ref()
                .is_some_and(|pidfile| pidfile.age == Age::Checked)
    }
}

/// Where `--pidfile` reads from.
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
    pub fn labels(self) -> Labels {
        if self == Self::Quiet {
            Labels::Unwanted
        } else {
            Labels::Wanted
        }
    }
}
