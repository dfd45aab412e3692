//! The processes that the targets of a line stand for, including targets in pidfiles.

use std::os::unix::ffi::OsStrExt;

use super::{Aim, FAIL, GONE, Hit, OK, Predictor, UNSURE};
use crate::fuzz::line::{Age, Pidfile, Start};
use crate::fuzz::reading::{Mode, Target};
use crate::fuzz::roles::Cgroup;
use crate::fuzz::world::Victim;

impl Predictor<'_> {
    /// The targets of the line and of its pidfiles.
    pub fn aims(&mut self) -> Vec<Aim> {
        let mut aims: Vec<Aim> = self.request.targets.iter().cloned().map(Aim::at).collect();
        if let Some(directory) = &self.request.cgroup {
            self.pinned = true;
            aims.push(Aim::at(Target::Cgroup(directory.clone())));
        }
        for path in &self.request.pidfiles {
            self.pinned = true;
            let (mut stale, mut dated) = (false, false);
            let named = || {
                self.line
                    .files
                    .iter()
                    .find(|(name, _)| name.as_bytes() == path)
                    .map(|(_, file)| file)
            };
            let content = if path == b"-" {
                // The shell's is a file, otherwise it is a pipe.
                dated = self.line.start == Start::Shell && !self.request.has("allow-stale");
                Some(&self.line.stdin)
            } else {
                match named() {
                    Some(Pidfile::File(content, age)) => {
                        dated = !self.request.has("allow-stale");
                        stale = *age == Age::Old && dated;
                        Some(content)
                    }
                    Some(Pidfile::Unreadable(content)) if self.line.user == 0 => Some(content),
                    Some(Pidfile::Device) => {
                        self.loose = true;
                        self.outcomes.push(OK | FAIL);
                        continue;
                    }
                    _ => None,
                }
            };
            let entries = content.and_then(|content| self.entries(content));
            match entries {
                Some(entries) if !entries.is_empty() || path == b"-" => {
                    if entries.is_empty() && self.request.mode != Mode::Send {
                        self.outcomes.push(OK | FAIL);
                    }
                    aims.extend(entries.into_iter().map(|target| {
                        let is_number = matches!(target, Target::Pid(_));
                        Aim {
                            target,
                            stale: stale && is_number,
                            dated: dated && is_number,
                            below: false,
                        }
                    }));
                }
                _ => {
                    self.loose = true;
                    self.outcomes.push(FAIL | UNSURE);
                }
            }
        }
        aims
    }

    /// The entries of a pidfile; `None` if there is anything but PIDs and tokens.
    fn entries(&mut self, content: &[u8]) -> Option<Vec<Target>> {
        self.loose |= content.iter().any(|b| matches!(b, b'\r' | 0x0b | 0x0c));
        let text = str::from_utf8(content).ok()?;
        let number = |text: &str| {
            text.parse::<u64>()
                .ok()
                .filter(|&n| n > 0 && !text.starts_with('+'))
        };
        let pid = |text: &str| number(text).and_then(|n| i32::try_from(n).ok());
        let entry = |word: &str| match word.split_once(':') {
            None => pid(word).map(Target::Pid),
            Some((n, inode)) => Some(Target::Token(pid(n)?, number(inode)?)),
        };
        text.split([' ', '\t', '\n', '\r'])
            .filter(|word| !word.is_empty())
            .map(entry)
            .collect()
    }

    /// sigsend's own group, if it is that of victims.
    fn own(&self) -> Option<i32> {
        (self.line.start == Start::Home).then(|| self.world.home())
    }

    /// Whether a target is the group that sigsend is in.
    pub fn is_own(&self, target: &Target) -> bool {
        *target == Target::OwnGroup
            || matches!(target, Target::Group(group) if Some(*group) == self.own())
    }

    /// The processes that a target stands for. If there are none, the outcome is recorded here.
    pub fn hits(&mut self, aim: &Aim) -> Vec<Hit> {
        let own = self.own();
        let asks = !matches!(self.request.mode, Mode::Send | Mode::DryRun);
        let checked = self.request.has("require-handler")
            || !self.request.expect.is_empty()
            || self.request.has("tree")
            || asks;
        let everyone = aim.target == Target::Everyone;
        let many = everyone || matches!(aim.target, Target::Group(_) | Target::OwnGroup);
        let own_group = self.is_own(&aim.target);
        let follows = self.waits || self.signals.len() > 1;
        if many && (checked || self.request.queue.is_some()) || (own_group || everyone) && follows {
            self.loose = true;
            self.outcomes.push(FAIL | UNSURE);
            return Vec::new();
        }
        // If an ancestor is hidden, sigsend cannot tell which targets are ancestors.
        self.loose |=
            self.request.has("tree") && self.line.hidden && self.line.start == Start::Shell;
        // `--tree 1` means all processes, in every spelling.
        self.loose |=
            self.request.has("tree") && matches!(aim.target, Target::Pid(1) | Target::Token(1, _));
        let victims = self.world.victims.iter();
        let found: Vec<usize> = match &aim.target {
            Target::Pid(n) => victims
                .enumerate()
                .filter(|(_, v)| v.pid == *n || v.thread == *n)
                .map(|(i, _)| i)
                .collect(),
            Target::Token(n, inode) => self.indices(|v| v.pid == *n && v.inode == *inode),
            Target::Group(n) => self.indices(|v| v.group == *n),
            Target::OwnGroup => self.indices(|v| Some(v.group) == own),
            Target::Everyone => self.indices(|v| v.pid != 1),
            Target::Port(port) => {
                let holders = self.indices(|v| v.port == Some(*port));
                let is_own = |v: &Victim| self.request.has("all") || v.user == self.line.user;
                let is_seen = |v: &Victim| self.line.user == 0 || v.user == self.line.user;
                if holders
                    .iter()
                    .any(|&index| !is_seen(&self.world.victims[index]))
                {
                    // The kernel does not show the descriptors of other users' processes.
                    self.outcomes.push(OK | GONE | FAIL | UNSURE);
                }
                let victim = |index: usize| &self.world.victims[index];
                holders
                    .into_iter()
                    .filter(|&index| is_own(victim(index)) && is_seen(victim(index)))
                    .collect()
            }
            Target::Cgroup(directory) => {
                let cgroup = |cgroup| {
                    self.world
                        .cgroups
                        .path(cgroup)
                        .is_some_and(|path| path.as_os_str().as_bytes() == directory)
                };
                let (upper, lower) = (cgroup(Cgroup::Upper), cgroup(Cgroup::Lower));
                if !upper && !lower {
                    // The root of the hierarchy, or no control group.
                    self.outcomes.push(FAIL | UNSURE);
                    return Vec::new();
                }
                // Killing a whole group requires permission to write to its files.
                self.loose |= self.line.user != 0 && self.signals.contains(&9);
                self.indices(|v| {
                    upper && v.cgroup.is_some() || lower && v.cgroup == Some(Cgroup::Lower)
                })
            }
            Target::Name(name) => {
                let named = |v: &Victim| {
                    if name.len() > 15 {
                        (v.title == *name || v.program == *name) && name.starts_with(&v.name)
                    } else {
                        v.name == *name
                    }
                };
                // A zombie is not found by name.
                let selected = |v: &Victim| {
                    self.request.has("all") && !self.is_hidden(v) || v.user == self.line.user
                };
                self.indices(|v| named(v) && !v.is_zombie() && selected(v))
            }
        };
        if own_group && self.request.mode == Mode::Send {
            self.set_own_end();
        }
        if aim.target == Target::OwnGroup {
            self.outcomes.push(OK);
        } else if found.is_empty() {
            // Gone, which is success if waiting was asked for.
            let name = matches!(aim.target, Target::Name(_) | Target::Port(_));
            let gone = if self.waits && !name { GONE } else { FAIL };
            let unsure = if name && self.line.hidden { UNSURE } else { 0 };
            self.outcomes
                .push(gone | unsure | if aim.stale && self.waits { FAIL } else { 0 });
            return Vec::new();
        }
        let mut hits: Vec<Hit> = found
            .iter()
            .map(|&victim| Hit {
                victim,
                outcome: self.outcome(victim, aim),
            })
            .collect();
        if many && !self.waits && (own_group || hits.iter().any(|hit| hit.outcome == OK)) {
            // One kill(2) for the whole group: which members were refused is unknown.
            hits.iter_mut()
                .filter(|hit| hit.outcome == FAIL)
                .for_each(|hit| hit.outcome |= OK);
        }
        if self.request.has("tree") {
            if !asks && hits.iter().any(|hit| self.is_ancestor(hit.victim)) {
                // sigsend itself is skipped.
                self.outcomes.push(FAIL);
            }
            self.add_descendants(aim, &mut hits);
        }
        hits
    }

    /// The descendants of the processes that a target stands for.
    fn add_descendants(&mut self, aim: &Aim, hits: &mut Vec<Hit>) {
        // The manual does not define whether descendants must have the expected name.
        let unsure = if self.request.expect.is_empty() {
            0
        } else {
            FAIL
        };
        let passed = |root: &usize| !aim.stale && self.is_expected(&self.world.victims[*root]);
        let roots: Vec<usize> = hits.iter().map(|hit| hit.victim).filter(passed).collect();
        let below: Vec<usize> = roots
            .into_iter()
            .flat_map(|root| self.descendants(root))
            .collect();
        // The children of a hidden process cannot be listed.
        let is_hidden = |&index: &usize| self.is_hidden(&self.world.victims[index]);
        let is_partly_seen = hits
            .iter()
            .map(|hit| hit.victim)
            .chain(below.iter().copied())
            .any(|i| is_hidden(&i));
        // A process that cannot be verified is refused, and its tree is not looked at.
        let is_foreign = |hit: &Hit| self.is_foreign(&self.world.victims[hit.victim]);
        let is_partly_seen =
            is_partly_seen || !self.request.expect.is_empty() && hits.iter().any(is_foreign);
        let unsure = if is_partly_seen {
            unsure | FAIL
        } else {
            unsure
        };
        for victim in below {
            let below = Aim {
                below: true,
                ..Aim::at(Target::Pid(self.world.victims[victim].pid))
            };
            // What is named by a description is alive while one process that it fits is.
            let described = matches!(aim.target, Target::Name(_) | Target::Port(_));
            let ignored = described
                && self.request.mode == Mode::Alive
                && self.world.victims[victim].is_zombie();
            let outcome = match (ignored, self.request.expect.is_empty()) {
                (true, true) => OK,
                (true, false) => OK | self.outcome(victim, &below),
                (false, _) => self.outcome(victim, &below),
            };
            // The tree of a hidden process is not seen.
            let unseen = if is_partly_seen { OK } else { 0 };
            hits.push(Hit {
                victim,
                outcome: outcome | unsure | unseen,
            });
        }
    }

    fn indices(&self, so: impl Fn(&Victim) -> bool) -> Vec<usize> {
        let victims = self.world.victims.iter().enumerate();
        victims
            .filter(|(_, victim)| victim.exists() && so(victim))
            .map(|(index, _)| index)
            .collect()
    }

    pub fn descendants(&self, root: usize) -> Vec<usize> {
        let parent = self.world.victims[root].pid;
        let mut found = self.indices(|victim| victim.parent == parent);
        for child in found.clone() {
            found.extend(self.descendants(child));
        }
        found
    }
}
