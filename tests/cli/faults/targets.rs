//! The targets of a run with a fault, and what happened to them.

use crate::port::with_inheritable;
use crate::support::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two recorders in one group.
    Recorders,
    /// A process that the signal kills.
    Single,
    /// Two of these in one group.
    Group,
    /// A root, a child with a child, and another child.
    Tree,
}

/// The targets, and the operands that name them.
pub struct Targets {
    kind: Kind,
    recorders: Vec<Recorder>,
    victims: Vec<Victim>,
    members: Vec<i32>,
    /// Recorders inherit it. The test holds it, too, and is spared as an ancestor of sigsend.
    listener: TcpListener,
    dir: TempDir,
}

pub const NAME: &str = "faulttarget";

impl Targets {
    pub fn new(kind: Kind) -> Self {
        let mut targets = Self {
            kind,
            recorders: Vec::new(),
            victims: Vec::new(),
            members: Vec::new(),
            listener: TcpListener::bind("127.0.0.1:0").expect("a free port"),
            dir: tempdir(),
        };
        targets.fill();
        targets
    }

    fn fill(&mut self) {
        let named = || victim().named(NAME);
        match self.kind {
            Kind::Recorders => {
                self.recorders = with_inheritable(&self.listener, || {
                    let first = Recorder::of(named());
                    let second = Recorder::of(named().in_group_of(first.victim()));
                    vec![first, second]
                });
            }
            Kind::Single => self.victims = vec![named().sleeping()],
            Kind::Group => {
                let leader = named().sleeping();
                let member = named().in_group_of(&leader).sleeping();
                self.victims = vec![leader, member];
            }
            Kind::Tree => {
                let children = "(read a <&3 & read b <&3) & read c <&3 & echo ready; read d <&3";
                let root = named().shell(&format!("exec 3<&0; {children}"));
                let is_complete = || descendants(root.pid()).len() == 4;
                eventually("the tree to be complete", is_complete);
                self.members = descendants(root.pid());
                self.victims = vec![root];
            }
        }
        let recorders = self.recorders.iter().map(Recorder::victim);
        let victims = recorders.chain(&self.victims);
        if self.kind != Kind::Tree {
            self.members = victims.map(Victim::pid).collect();
        }
        let pids: Vec<String> = self.members.iter().map(ToString::to_string).collect();
        self.dir.file("pids", pids.join("\n"));
    }

    /// Replaces the placeholders in a command line: `PID`, `BOTH`, `GROUP`, `TOKEN`, `NAME`,
    /// `FILE`, `HERE` (its directory), `PORT`.
    pub fn args(&self, line: &str) -> Vec<String> {
        let first = self.members[0].to_string();
        let file = self.dir.path().join("pids");
        let texts = |word: &str| match word {
            "PID" => vec![first.clone()],
            "BOTH" => self.members.iter().map(ToString::to_string).collect(),
            "GROUP" => vec![format!("-{first}")],
            "TOKEN" => vec![token(&first)],
            "NAME" => vec![NAME.to_owned()],
            "HERE" => vec![env::current_dir().expect("it exists").display().to_string()],
            "PORT" => {
                let address = self.listener.local_addr().expect("bound");
                vec![format!(":{}", address.port())]
            }
            "FILE" => vec![file.to_str().expect("UTF-8").to_owned()],
            word => vec![word.to_owned()],
        };
        line.split(' ').flat_map(texts).collect()
    }

    /// Prepares the next run: victims that were killed are replaced.
    pub fn reset(&mut self) {
        if self.kind != Kind::Recorders {
            self.victims.clear();
            self.fill();
        }
    }

    pub fn effects(&mut self) -> Vec<Effect> {
        if self.kind == Kind::Recorders {
            let received = |recorder: &mut Recorder| Effect::Received(recorder.signals());
            return self.recorders.iter_mut().map(received).collect();
        }
        // A signal kills some time after it was sent, so wait until each target is at rest.
        self.members.iter().map(|pid| final_effect(*pid)).collect()
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    Received(Vec<i32>),
    Died,
    Unharmed,
    LeftStopped,
}

impl Effect {
    pub fn is_touched(&self) -> bool {
        !matches!(self, Self::Unharmed) && *self != Self::Received(Vec::new())
    }
}

fn final_effect(pid: i32) -> Effect {
    let mut effect = Effect::Unharmed;
    eventually("a target to be at rest", || {
        let is_pending = mask(pid, "SigPnd") | mask(pid, "ShdPnd") != 0;
        match status_field(pid, "State").chars().next() {
            None | Some('Z' | 'X') => effect = Effect::Died,
            Some('T' | 't') => effect = Effect::LeftStopped,
            Some('S') => effect = Effect::Unharmed,
            Some(_) => return false,
        }
        !is_pending || effect != Effect::Unharmed
    });
    effect
}

fn descendants(pid: i32) -> Vec<i32> {
    let below = children(pid).into_iter().flat_map(descendants);
    std::iter::once(pid).chain(below).collect()
}
