//! The processes that the targets of a line stand for, including targets in pidfiles.

use std::os::unix::ffi::OsStrExt;

use super::{Aim, FAIL, GONE, HANG, Hit, LATE, OK, Origin, Predictor, UNSURE};
use crate::fuzz::line::{Age, Pidfile, Start};
use crate::fuzz::reading::value::digits;
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
            let is_input = path == b"-";
            let allowed = self.request.has("allow-stale");
            let is_it = |(name, _): &&(String, Pidfile)| name.as_bytes() == path;
            let file = self.line.files.iter().find(is_it).map(|(_, file)| file);
            // The content, whether its age counts, and whether it is old.
            let (content, dated, old) = match file {
                // The shell's is a file, otherwise it is a pipe.
                _ if is_input => (
                    Some(&self.line.stdin),
                    self.line.start == Start::Shell,
                    false,
                ),
                Some(Pidfile::File(content, age)) => (Some(content), true, *age == Age::Old),
                Some(Pidfile::Unreadable(content)) if self.line.user == 0 => {
                    (Some(content), false, false)
                }
                Some(Pidfile::Device) => {
                    self.loose = true;
                    self.outcomes.push(OK | FAIL);
                    continue;
                }
                _ => (None, false, false),
            };
            let (dated, stale) = (dated && !allowed, old && !allowed);
            let whole = |content| {
                if is_input {
                    content
                } else {
                    first_line_or_all(content)
                }
            };
            let entries = content.and_then(|content| self.entries(whole(content)));
            let is_counted = |target: &Target| !is_input || !self.is_spared_number(target);
            let entries = entries.map(|mut entries| {
                entries.retain(is_counted);
                entries
            });
            let Some(entries) = entries.filter(|entries| !entries.is_empty() || is_input) else {
                self.loose = true;
                self.outcomes.push(FAIL | UNSURE);
                continue;
            };
            if entries.is_empty() && self.request.mode != Mode::Send {
                self.outcomes.push(OK | FAIL);
            }
            let origin = if is_input {
                Origin::Input
            } else {
                Origin::Named
            };
            aims.extend(entries.into_iter().map(|target| {
                let is_number = matches!(target, Target::Pid(_));
                let (stale, dated) = (stale && is_number, dated && is_number);
                Aim {
                    target,
                    stale,
                    dated,
                    origin,
                }
            }));
        }
        aims
    }

    /// The entries of a pidfile; `None` if there is anything but PIDs and tokens.
    fn entries(&mut self, content: &[u8]) -> Option<Vec<Target>> {
        self.loose |= content.iter().any(|b| matches!(b, b'\r' | 0x0b | 0x0c));
        let text = str::from_utf8(content).ok()?;
        let number = |text: &str| {
            let number = text.parse::<u64>().ok();
            number.filter(|&n| n > 0 && !text.starts_with('+'))
        };
        let pid = |text: &str| number(text).and_then(|n| i32::try_from(n).ok());
        let entry = |word: &str| match word.split_once(':') {
            None => pid(word).map(Target::Pid),
            Some((n, inode)) => Some(Target::Token(pid(n)?, number(inode)?)),
        };
        let words = text.split([' ', '\t', '\n', '\r']);
        words.filter(|word| !word.is_empty()).map(entry).collect()
    }

    /// Whether a number on standard input is that of an ancestor of sigsend, which is as if it were
    /// not there.
    fn is_spared_number(&self, target: &Target) -> bool {
        let (number, inode) = match target {
            Target::Pid(number) => (*number, None),
            Target::Token(number, inode) => (*number, Some(*inode)),
            _ => return false,
        };
        let mut victims = self.world.victims.iter().enumerate();
        victims.any(|(index, victim)| {
            victim.pid == number
                && inode.is_none_or(|inode| inode == victim.inode)
                && self.is_spared(index)
        })
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
            || self.request.verifies()
            || self.request.is_tree()
            || asks;
        let everyone = aim.target == Target::Everyone;
        let many = aim.target.is_many();
        let own_group = self.is_own(&aim.target);
        let follows = self.waits || self.signals.len() > 1;
        if many && (checked || self.request.queue.is_some()) || (own_group || everyone) && follows {
            self.loose = true;
            self.outcomes.push(FAIL | UNSURE);
            return Vec::new();
        }
        // If an ancestor is hidden, sigsend cannot tell which targets are ancestors.
        self.loose |= self.request.is_tree() && self.line.hidden && self.line.start == Start::Shell;
        // `--tree 1` means all processes, in every spelling.
        self.loose |=
            self.request.is_tree() && matches!(aim.target, Target::Pid(1) | Target::Token(1, _));
        let described = aim.target.is_described() || matches!(aim.target, Target::Cgroup(_));
        let mut found: Vec<usize> = match &aim.target {
            // Whether it lives cannot be told.
            Target::Nobody => {
                self.outcomes.push(FAIL | UNSURE);
                return Vec::new();
            }
            Target::Pid(n) => self.indices(|v| v.pid == *n || v.thread == *n),
            Target::Token(n, inode) => self.indices(|v| v.pid == *n && v.inode == *inode),
            Target::Group(n) => self.indices(|v| v.group == *n),
            Target::OwnGroup => self.indices(|v| Some(v.group) == own),
            Target::Everyone => self.indices(|v| v.pid != 1),
            Target::Described => self.indices(|v| !v.is_zombie() && self.is_selected(v)),
            Target::Port(port, protocol) => {
                let holds = |v: &Victim| v.port == Some(*port) && v.protocol == Some(*protocol);
                let is_seen = |v: &Victim| self.line.user == 0 || v.user == self.line.user;
                if !self.indices(|v| holds(v) && !is_seen(v)).is_empty() {
                    // The kernel does not show the descriptors of other users' processes.
                    self.outcomes.push(OK | GONE | FAIL | UNSURE);
                }
                self.indices(|v| holds(v) && self.is_selected(v) && is_seen(v))
            }
            Target::Cgroup(directory) => {
                let cgroup = |cgroup| {
                    let path = self.world.cgroups.path(cgroup);
                    path.is_some_and(|path| path.as_os_str().as_bytes() == directory)
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
                let named = |v: &Victim| match name.len() {
                    ..=15 => v.name == *name,
                    _ => (v.title == *name || v.program == *name) && name.starts_with(&v.name),
                };
                // A zombie is not found by name.
                self.indices(|v| named(v) && !v.is_zombie() && self.is_selected(v))
            }
        };
        if described && self.request.narrows() {
            // Where another user's process works cannot be read.
            let is_read = |v: &Victim| self.request.cwd.is_none() || !self.is_opaque(v);
            let is_meant = |v: &Victim| self.is_described(v) && is_read(v);
            found.retain(|&index| is_meant(&self.world.victims[index]));
        }
        let before = found.len();
        if described {
            found.retain(|&index| !self.is_spared(index));
        }
        let only_spared = before > 0 && found.is_empty() && aim.target != Target::Described;
        if own_group && self.request.mode == Mode::Send {
            self.set_own_end();
        }
        if aim.target == Target::OwnGroup {
            self.outcomes.push(OK);
        } else if found.is_empty() {
            // Gone, which is success if waiting was asked for, unless other processes answer.
            let other = |v: &Victim| match &aim.target {
                Target::Name(name) => {
                    name.starts_with(&v.name) && !v.is_zombie() || v.program.starts_with(name)
                }
                Target::Port(port, protocol) => {
                    v.port == Some(*port) && v.protocol == Some(*protocol)
                }
                // Where an undumpable process works cannot be read.
                Target::Described => {
                    let is_unread = self.request.cwd.is_some() && self.is_opaque(v);
                    !v.is_zombie() && (self.is_described(v) || is_unread)
                }
                _ => false,
            };
            // Where the processes around the victims work, only root may read.
            let is_unread = aim.target == Target::Described
                && self.request.cwd.is_some()
                && self.line.user != 0;
            let has_others = is_unread || !self.indices(other).is_empty();
            let gone = match () {
                () if only_spared || !self.waits => FAIL,
                () if described && (has_others || self.line.hidden) => GONE | FAIL,
                () => GONE,
            };
            let hides = self.request.mode == Mode::Alive && has_others;
            let is_unsure = described && (self.line.hidden || hides);
            let unsure = if is_unsure { UNSURE } else { 0 };
            // It may be the name of a hidden process.
            let is_hidden = self.request.mode == Mode::Alive && self.hides();
            let is_name = matches!(aim.target, Target::Name(_));
            let gone = if is_name && is_hidden { 0 } else { gone };
            let stale = if aim.stale && self.waits { FAIL } else { 0 };
            self.outcomes.push(gone | unsure | stale);
            return Vec::new();
        }
        let hit = |&victim: &usize| {
            let (outcome, below) = (self.outcome(victim, aim), false);
            Hit {
                victim,
                outcome,
                below,
            }
        };
        let mut hits: Vec<Hit> = found.iter().map(hit).collect();
        // Nobody can tell which of them are above a process that /proc hides.
        let is_below_hidden = self.line.hidden && self.line.start == Start::Shell;
        if (described || aim.origin == Origin::Input) && is_below_hidden {
            hits.iter_mut().for_each(|hit| hit.outcome |= FAIL | UNSURE);
        }
        if many && !self.waits && (own_group || hits.iter().any(|hit| hit.outcome == OK)) {
            // One kill(2) for the whole group: which members were refused is unknown.
            let failed = hits.iter_mut().filter(|hit| hit.outcome == FAIL);
            failed.for_each(|hit| hit.outcome |= OK);
        }
        if self.request.is_tree() {
            self.add_descendants(aim, &mut hits);
        }
        hits
    }

    /// The descendants of the processes that a target stands for.
    fn add_descendants(&mut self, aim: &Aim, hits: &mut Vec<Hit>) {
        let passed = |root: &usize| !aim.stale && self.is_fit(&self.world.victims[*root]);
        let roots: Vec<usize> = hits.iter().map(|hit| hit.victim).filter(passed).collect();
        let below = roots.into_iter().flat_map(|root| self.descendants(root));
        let below: Vec<usize> = below.filter(|&member| !self.is_spared(member)).collect();
        let stays = match (self.waits, self.request.has("mixed")) {
            (true, true) if self.request.within.or(self.request.grace).is_some() => OK | LATE,
            (true, true) => OK | HANG,
            (false, true) => OK | FAIL,
            _ => 0,
        };
        // The children of a hidden process cannot be listed. A process that cannot be verified is
        // refused, and its tree is not looked at.
        let victims = &self.world.victims;
        let is_hidden = |&index: &usize| self.is_hidden(&victims[index]);
        let is_opaque = |index: &usize| self.is_opaque(&victims[*index]);
        let heads: Vec<usize> = hits.iter().map(|hit| hit.victim).collect();
        let is_partly_seen = heads.iter().chain(&below).any(is_hidden)
            || self.request.verifies() && heads.iter().any(is_opaque);
        // If the root of a mixed tree is refused, nobody below it is killed.
        let first = self.signals[0];
        let is_refused = |index: &usize| !self.permitted(&victims[*index], first);
        let is_left = self.request.has("mixed")
            && (self.request.has("require-handler") || heads.iter().any(is_refused));
        let unsure = if is_partly_seen || is_left { FAIL } else { 0 };
        for victim in below {
            let mut below = Aim::at(Target::Pid(self.world.victims[victim].pid));
            below.origin = Origin::Below;
            // A tree is alive although a child has exited.
            let ignored =
                self.request.mode == Mode::Alive && self.world.victims[victim].is_zombie();
            let outcome = match (ignored, self.request.verifies()) {
                (true, false) => OK,
                (true, true) => OK | self.outcome(victim, &below),
                (false, _) => self.outcome(victim, &below),
            };
            // The tree of a hidden process is not seen.
            let unseen = if is_partly_seen { OK } else { 0 };
            let (outcome, below) = (outcome | unsure | unseen | stays, true);
            hits.push(Hit {
                victim,
                outcome,
                below,
            });
        }
    }

    fn indices(&self, so: impl Fn(&Victim) -> bool) -> Vec<usize> {
        let victims = self.world.victims.iter().enumerate();
        let found = victims.filter(|(_, victim)| victim.exists() && so(victim));
        found.map(|(index, _)| index).collect()
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

/// What counts of a regular pidfile: the first line alone if it is one PID or token and what
/// follows begins with no digit.
fn first_line_or_all(content: &[u8]) -> &[u8] {
    let Some(end) = content.iter().position(|&b| b == b'\n') else {
        return content;
    };
    let (first, rest) = content.split_at(end);
    let (first, rest) = (first.trim_ascii(), rest.trim_ascii_start());
    let word = str::from_utf8(first).unwrap_or_default();
    let is_one = word.split(':').count() <= 2 && word.split(':').all(digits);
    match rest.first() {
        Some(byte) if is_one && !byte.is_ascii_digit() => &content[..end],
        _ => content,
    }
}
