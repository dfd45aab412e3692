//! Who is on the stage while a fault happens: targets that tell what became of them, and a
//! bystander.

use std::fs;

use crate::support::{Recorder, TempDir, Victim, eventually, sigsend, stdout, tempdir, victim};

/// What kind of targets a scene needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two that survive and tell what they heard, in one group.
    Listeners,
    /// A process that dies of the signal.
    Mortal,
    /// Two mortals in one group.
    MortalGroup,
    /// A root, a child with a child, and another child.
    MortalTree,
}

/// The targets, and the texts by which a command line means them.
pub struct Stage {
    kind: Kind,
    listeners: Vec<Recorder>,
    mortals: Vec<Victim>,
    members: Vec<i32>,
    dir: TempDir,
}

/// The command name that all targets have.
pub const NAME: &str = "onstage";

impl Stage {
    pub fn new(kind: Kind) -> Self {
        let mut stage = Self { kind, listeners: Vec::new(), mortals: Vec::new(), members: Vec::new(), dir: tempdir() };
        stage.fill();
        stage
    }

    fn fill(&mut self) {
        let named = || victim().named(NAME);
        match self.kind {
            Kind::Listeners => {
                let first = Recorder::of(named());
                let second = Recorder::of(named().in_group_of(first.victim()));
                self.listeners = vec![first, second];
            }
            Kind::Mortal => self.mortals = vec![named().sleeping()],
            Kind::MortalGroup => {
                let leader = named().sleeping();
                let member = named().in_group_of(&leader).sleeping();
                self.mortals = vec![leader, member];
            }
            Kind::MortalTree => {
                let children = "(read a <&3 & read b <&3) & read c <&3 & echo ready; read d <&3";
                let root = named().shell(&format!("exec 3<&0; {children}"));
                eventually("the tree to be grown", || descendants(root.pid()).len() == 4);
                self.members = descendants(root.pid());
                self.mortals = vec![root];
            }
        }
        let victims = self.listeners.iter().map(Recorder::victim).chain(&self.mortals);
        if self.kind != Kind::MortalTree {
            self.members = victims.map(Victim::pid).collect();
        }
        let pids: Vec<String> = self.members.iter().map(ToString::to_string).collect();
        self.dir.file("pids", pids.join("\n"));
    }

    /// Puts the targets' texts into a command line: `PID`, `BOTH`, `GROUP`, `TOKEN`, `NAME`,
    /// `FILE`.
    pub fn args(&self, line: &str) -> Vec<String> {
        let first = self.members[0].to_string();
        let file = self.dir.path().join("pids");
        let texts = |word: &str| match word {
            "PID" => vec![first.clone()],
            "BOTH" => self.members.iter().map(ToString::to_string).collect(),
            "GROUP" => vec![format!("-{first}")],
            "TOKEN" => vec![stdout(&sigsend().args(["--id", &first]).assert().success()).trim_end().to_owned()],
            "NAME" => vec![NAME.to_owned()],
            "FILE" => vec![file.to_str().expect("UTF-8").to_owned()],
            word => vec![word.to_owned()],
        };
        line.split(' ').flat_map(texts).collect()
    }

    /// The scene is set for the next run: whoever has been hit is replaced.
    pub fn reset(&mut self) {
        if self.kind != Kind::Listeners {
            self.mortals.clear();
            self.fill();
        }
    }

    /// What each target has met with since the last question.
    pub fn deeds(&mut self) -> Vec<Deed> {
        if self.kind == Kind::Listeners {
            return self.listeners.iter_mut().map(|listener| Deed::Heard(listener.signals())).collect();
        }
        // A signal kills some time after it was sent; who was let alone does not change.
        self.members.iter().map(|pid| settled(*pid)).collect()
    }
}

/// What one target has met with.
#[derive(Debug, PartialEq, Eq)]
pub enum Deed {
    Heard(Vec<i32>),
    Died,
    Unharmed,
    LeftStopped,
}

impl Deed {
    pub fn is_touched(&self) -> bool {
        !matches!(self, Self::Unharmed) && *self != Self::Heard(Vec::new())
    }
}

fn settled(pid: i32) -> Deed {
    let mut deed = Deed::Unharmed;
    eventually("a target to be at rest", || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        let is_pending = ["SigPnd:", "ShdPnd:"].iter().any(|name| field(name).contains(|c| c != '0'));
        match field("State:").chars().next() {
            None | Some('Z' | 'X') => deed = Deed::Died,
            Some('T' | 't') => deed = Deed::LeftStopped,
            Some('S') => deed = Deed::Unharmed,
            Some(_) => return false,
        }
        !is_pending || deed != Deed::Unharmed
    });
    deed
}

/// A process and all below it.
fn descendants(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    std::iter::once(pid).chain(children.flat_map(descendants)).collect()
}
