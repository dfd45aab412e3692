//! KILL for trees: each is stopped from the root down, so that no member can fork, and killed when
//! all of it is at rest, in an order in which no death continues a member that has no KILL yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};

use crate::event::{Outcome, Reason, Subject};
use crate::find::recipients::{Place, Recipient, RecipientId, Recipients, SourceId, Standing};
use crate::find::select::Found;
use crate::find::source::Source;
use crate::find::spared::above;
use crate::os::pids;
use crate::os::proc;
use crate::os::sys::{self, HeldSignals};
use crate::run::call::{Answer, Call};
use crate::run::kill_order::{Hangup, Member, kill_order};
use crate::run::orphans::{Traces, orphans};
use crate::run::sender::{Occasion, Route, Sender};
use crate::run::stopping::{Rest, Stopping, resume, signal};
use crate::signal::Signal;

/// How long all of it lasts at most before the KILLs.
const LONGEST: Duration = Duration::from_secs(3);
/// How often members are stopped again because somebody continues them. What they fork after that
/// is found after the KILL.
const TRIES: u32 = 3;
/// How long processes that were forked meanwhile are looked for after the KILL.
const CHASE: Duration = Duration::from_secs(1);
/// A short time between two looks at what the kernel gives no event for.
const PAUSE: Duration = Duration::from_micros(200);

/// Sends KILL to all trees. Nothing is reported before it is over. A tree that cannot be stopped
/// gets no first KILL, and is reported; one that is due as a follow-up is sent all the same.
pub fn kill_trees(call: &mut Call, occasion: Occasion) -> Result<()> {
    let known = call.found.recipients.len();
    // The death of sigsend would leave a stopped tree behind.
    let held = HeldSignals::hold().context("holding signals back")?;
    let Found {
        rules,
        recipients,
        sources,
        ..
    } = &mut call.found;
    let Some(Source::Trees(trees)) = sources.first_mut() else {
        return Ok(());
    };
    let roots = recipients
        .iter()
        .filter(|recipient| recipient.parent().is_none());
    let above = above(roots.map(Recipient::pid));
    let mut kill = Kill {
        began: Instant::now(),
        sender: call.sender,
        value: call.plan.value,
        occasion,
        members: BTreeMap::new(),
        trees: BTreeMap::new(),
        stopping: VecDeque::new(),
        answers: Vec::new(),
        unstopped: Vec::new(),
        disturbed: 0,
        looked_from: None,
        windows: Vec::new(),
        error: None,
    };
    let mut find = |recipients: &mut Recipients, parent: RecipientId| {
        let before = recipients.len();
        let adopted = trees.adopt(rules, recipients, parent);
        (recipients.ids_from(before).collect(), adopted)
    };
    kill.run(recipients, &mut find);
    kill.kill_newcomers(recipients, &mut find);
    let orphans = orphans(&kill.traces(), recipients, above.as_ref());
    kill.thaw_refused(recipients);
    // From here on writing may block.
    drop(held);
    let Kill {
        trees,
        answers,
        unstopped,
        error,
        ..
    } = kill;
    call.report_skipped(known);
    for (root, error) in trees
        .into_iter()
        .filter_map(|(root, tree)| Some((root, tree.failed?)))
    {
        if occasion == Occasion::First {
            call.report.fail(&error);
            refuse_tree(&mut call.found.recipients, root, &error);
        } else {
            call.fail_source(SourceId(0), &error);
        }
    }
    for answer in answers {
        call.record(&answer, occasion);
    }
    for id in unstopped {
        call.tell(id, &Outcome::Unstopped);
    }
    for (id, orphan) in orphans {
        call.tally.failed += 1;
        let name = proc::name(orphan).ok();
        let typed = &call.found.recipients[id].typed;
        let subject = Subject {
            typed,
            pid: Some(orphan),
            inode: None,
            name: name.as_deref(),
        };
        call.report.tell(&subject, &Outcome::Escaped);
    }
    call.found.miss_unread();
    call.report_misses();
    if let Some(error) = error {
        call.fail_source(SourceId(0), &error);
    }
    Ok(())
}

/// Takes a whole tree out of the call because of an error that has been reported.
fn refuse_tree(recipients: &mut Recipients, root: RecipientId, error: &Error) {
    let roots = recipients.roots();
    for (id, of) in recipients.ids().zip(roots) {
        if of == root && recipients[id].is_present() {
            recipients[id].standing = Standing::Refused(Reason::from_error(error));
        }
    }
}

/// Admits the children of a member; who is new.
type Find<'f> = dyn FnMut(&mut Recipients, RecipientId) -> (Vec<RecipientId>, Result<()>) + 'f;

/// Trees being killed.
struct Kill {
    began: Instant,
    sender: Sender,
    value: Option<i32>,
    occasion: Occasion,
    members: BTreeMap<RecipientId, Stopping>,
    trees: BTreeMap<RecipientId, Tree>,
    stopping: VecDeque<RecipientId>,
    answers: Vec<Answer>,
    /// Members that did not stop in time and may have forked after their children were read.
    unstopped: Vec<RecipientId>,
    /// How many looks found a member that ran again after it had stopped: somebody sends CONT.
    disturbed: u32,
    /// The PID that was handed out last before the children were read for the last time that found
    /// no new one; if every time found one, before the first.
    looked_from: Option<i32>,
    windows: Vec<(i32, i32)>,
    /// The first error of a look after the KILL.
    error: Option<Error>,
}

/// The tree below one root.
#[derive(Default)]
struct Tree {
    members: Vec<RecipientId>,
    /// How many of them have yet to come to rest.
    stopping: usize,
    is_killed: bool,
    /// Why it could not be stopped. Its members have been continued.
    failed: Option<Error>,
}

impl Tree {
    fn has_failed(&self) -> bool {
        self.failed.is_some()
    }
}

impl Kill {
    fn run(&mut self, recipients: &mut Recipients, find: &mut Find) {
        let roots = recipients.roots();
        let roots: BTreeMap<RecipientId, RecipientId> = recipients.ids().zip(roots).collect();
        for id in recipients.root_first() {
            if matches!(recipients[id].place, Place::Tree { .. }) {
                self.stop(recipients, id, roots[&id]);
            }
        }
        while self.trees.values().any(|tree| !tree.is_killed) {
            let mut is_changed = false;
            for _ in 0..self.stopping.len() {
                let Some(id) = self.stopping.pop_front() else {
                    break;
                };
                is_changed |= self.look(recipients, id, find);
            }
            let resting = self.at_rest();
            let is_due = !resting.is_empty()
                && (self.is_confirmed(recipients, &resting, find) || self.is_over());
            if is_due {
                self.kill(recipients, &resting);
            } else if !is_changed {
                sys::sleep_until(Instant::now() + PAUSE);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.disturbed > TRIES || self.began.elapsed() > LONGEST
    }

    /// Sends STOP to a member. One that is spared or refused, or may not be signalled, is not
    /// waited for.
    fn stop(&mut self, recipients: &Recipients, id: RecipientId, root: RecipientId) {
        let tree = self.trees.entry(root).or_default();
        tree.members.push(id);
        if tree.failed.is_some() {
            // The rest of a tree that was given up goes on running.
            return;
        }
        tree.stopping += 1;
        let mut member = Stopping::new(root);
        let stopped = member.stop(&recipients[id]);
        self.members.insert(id, member);
        match stopped {
            Ok(()) => self.stopping.push_back(id),
            Err(error) => self.give_up(recipients, root, error),
        }
    }

    /// Leaves a tree alone after an error: its members are continued, children before their
    /// parents.
    fn give_up(&mut self, recipients: &Recipients, root: RecipientId, error: Error) {
        let Some(tree) = self
            .trees
            .get_mut(&root)
            .filter(|tree| tree.failed.is_none())
        else {
            return;
        };
        tree.failed = Some(error);
        tree.stopping = 0;
        for id in tree.members.iter().rev() {
            if self.members.get(id).is_some_and(|member| member.ran) {
                resume(&recipients[*id]);
            }
        }
    }

    /// Looks once at a member that has yet to come to rest, and reads its children if it has.
    fn look(&mut self, recipients: &mut Recipients, id: RecipientId, find: &mut Find) -> bool {
        let is_over = self.is_over();
        let Some(member) = self.members.get_mut(&id) else {
            return false;
        };
        let root = member.root;
        if self.trees.get(&root).is_some_and(Tree::has_failed) {
            return false;
        }
        let rest = match member.look(&recipients[id].process, is_over) {
            Ok(rest) => rest,
            Err(error) => {
                self.give_up(recipients, root, error);
                return true;
            }
        };
        if rest == Rest::NotYet {
            self.stopping.push_back(id);
            return false;
        }
        if let Some(tree) = self.trees.get_mut(&root) {
            tree.stopping -= 1;
        }
        if rest == Rest::Late && !is_over {
            self.unstopped.push(id);
        }
        self.take_children(recipients, id, root, find);
        true
    }

    /// Admits the children of one member and stops those that are new; how many there are.
    fn take_children(
        &mut self,
        recipients: &mut Recipients,
        parent: RecipientId,
        root: RecipientId,
        find: &mut Find,
    ) -> usize {
        let (new, adopted) = find(recipients, parent);
        for id in &new {
            self.stop(recipients, *id, root);
        }
        if let Err(error) = adopted {
            self.give_up(recipients, root, error);
        }
        new.len()
    }

    /// The trees of which every member is at rest, but for those that share a process group with a
    /// tree that is not: they are killed together.
    fn at_rest(&self) -> Vec<RecipientId> {
        let pending = |tree: &Tree| tree.stopping > 0 && !tree.is_killed;
        let mut busy: BTreeSet<i32> = BTreeSet::new();
        let mut resting: Vec<RecipientId> = Vec::new();
        for (root, tree) in self.trees.iter().filter(|(_, tree)| !tree.is_killed) {
            if pending(tree) {
                busy.extend(self.groups(tree));
            } else {
                resting.push(*root);
            }
        }
        loop {
            let is_free = |root: &RecipientId| {
                self.trees
                    .get(root)
                    .is_some_and(|tree| self.groups(tree).all(|group| !busy.contains(&group)))
            };
            let (free, held): (Vec<_>, Vec<_>) = resting.into_iter().partition(is_free);
            resting = free;
            if held.is_empty() {
                return resting;
            }
            let groups = held.iter().filter_map(|root| self.trees.get(root));
            busy.extend(
                groups
                    .flat_map(|tree| self.groups(tree))
                    .collect::<Vec<_>>(),
            );
        }
    }

    fn groups(&self, tree: &Tree) -> impl Iterator<Item = i32> {
        let members = tree.members.iter().filter_map(|id| self.members.get(id));
        members
            .filter_map(|member| member.stat)
            .map(|stat| stat.group)
    }

    /// Looks at all members of these trees once more: one that runs again, because somebody sent it
    /// CONT, is stopped again, and new children are stopped. Whether there was neither.
    fn is_confirmed(
        &mut self,
        recipients: &mut Recipients,
        roots: &[RecipientId],
        find: &mut Find,
    ) -> bool {
        let last_pid = pids::last_pid();
        let mut is_quiet = true;
        let mut is_disturbed = false;
        // A fork that was in flight when its parent was seen blocked completes in time; those
        // parents are looked at last, and twice, right before the KILL that makes such a fork fail.
        let mut blocked = Vec::new();
        for id in self.members_of(roots) {
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            let (rest, root) = (member.rest, member.root);
            if self.trees.get(&root).is_some_and(Tree::has_failed) {
                continue;
            }
            match member.runs_again(&recipients[id].process) {
                Ok(runs) => {
                    is_disturbed |= runs;
                    if runs && !self.is_over() {
                        is_quiet = false;
                        self.stop_again(recipients, id, root);
                    }
                }
                Err(error) => self.give_up(recipients, root, error),
            }
            is_quiet &= self.take_children(recipients, id, root, find) == 0;
            blocked.extend((rest == Rest::Blocked).then_some((id, root)));
        }
        for (id, root) in blocked.iter().chain(&blocked) {
            is_quiet &= self.take_children(recipients, *id, *root, find) == 0;
        }
        self.disturbed += u32::from(is_disturbed);
        self.looked_from = match self.looked_from {
            Some(first) if !is_quiet => Some(first),
            _ => last_pid,
        };
        is_quiet
    }

    fn stop_again(&mut self, recipients: &Recipients, id: RecipientId, root: RecipientId) {
        let stopped = signal(&recipients[id], Signal::STOP).is_ok();
        if let (Some(member), Some(tree)) = (self.members.get_mut(&id), self.trees.get_mut(&root)) {
            (member.got_stop, member.rest) = (stopped, Rest::NotYet);
            tree.stopping += 1;
            self.stopping.push_back(id);
        }
    }

    fn members_of(&self, roots: &[RecipientId]) -> Vec<RecipientId> {
        let trees = roots.iter().filter_map(|root| self.trees.get(root));
        trees
            .flat_map(|tree| tree.members.iter().copied())
            .collect()
    }

    /// Kills trees that are at rest. Nothing is read or written between two KILLs.
    fn kill(&mut self, recipients: &Recipients, roots: &[RecipientId]) {
        let is_due = |id: &RecipientId| {
            let is_stopped = self
                .members
                .get(id)
                .is_some_and(|member| !self.trees.get(&member.root).is_some_and(Tree::has_failed));
            recipients[*id].is_present() && (is_stopped || self.occasion != Occasion::First)
        };
        let due: Vec<RecipientId> = self.members_of(roots).into_iter().filter(is_due).collect();
        let stat = |id: &RecipientId| {
            let pid = recipients[*id].pid().number();
            let known = self.members.get(id).and_then(|member| member.stat);
            known.unwrap_or(Member {
                pid,
                parent: 0,
                group: pid,
                session: pid,
                session_of_parent: 0,
                hangup: Hangup::Survives,
            })
        };
        let (places, _) = kill_order(&due.iter().map(stat).collect::<Vec<_>>());
        self.answers.reserve(due.len());
        for place in places {
            self.kill_one(recipients, due[place]);
        }
        self.windows
            .extend(self.looked_from.take().zip(pids::last_pid()));
        for root in roots {
            if let Some(tree) = self.trees.get_mut(root) {
                tree.is_killed = true;
            }
        }
    }

    fn kill_one(&mut self, recipients: &Recipients, id: RecipientId) {
        let route = Route::Process(&recipients[id].process);
        let answer = self.sender.send(route, Signal::KILL, self.value);
        self.answers.push(Answer::new(id, Signal::KILL, answer));
    }

    /// Whether a member may have forked unseen: it did not stop, or may not be stopped, or somebody
    /// continues it.
    fn is_leaky(&self) -> bool {
        let runs = |member: &Stopping| member.rest == Rest::Never && member.stat.is_some();
        !self.unstopped.is_empty() || self.disturbed > 0 || self.members.values().any(runs)
    }

    /// Kills what members have forked before their KILL, until no new process appears. With KILL
    /// pending no fork succeeds, so what is read now is complete unless it has exited.
    fn kill_newcomers(&mut self, recipients: &mut Recipients, find: &mut Find) {
        let end = Instant::now() + CHASE;
        let mut parents: Vec<RecipientId> = recipients.ids().collect();
        while !parents.is_empty() && Instant::now() < end {
            let mut newcomers = Vec::new();
            for parent in parents {
                let (new, adopted) = find(recipients, parent);
                if let Err(error) = adopted {
                    self.error.get_or_insert(error);
                }
                newcomers.extend(new);
            }
            for id in &newcomers {
                if recipients[*id].is_present() {
                    self.kill_one(recipients, *id);
                }
            }
            let is_to_look_again = !newcomers.is_empty() && self.is_leaky();
            parents = if is_to_look_again {
                recipients.ids().collect()
            } else {
                newcomers
            };
        }
    }

    /// What a process that escaped is told by.
    fn traces(&self) -> Traces {
        let members = self.members.values();
        let groups = members.filter_map(|member| Some((member.stat?.group, member.root)));
        let killed = self.answers.iter().filter(|answer| answer.sent.is_ok());
        Traces {
            windows: self.windows.clone(),
            root: self.trees.keys().next().copied(),
            groups: groups.collect(),
            killed: killed.map(Answer::id).collect(),
        }
    }

    /// Continues those that were stopped and refused KILL.
    fn thaw_refused(&self, recipients: &Recipients) {
        for answer in self.answers.iter().filter(|answer| answer.sent.is_err()) {
            if self
                .members
                .get(&answer.id())
                .is_some_and(|member| member.ran)
            {
                resume(&recipients[answer.id()]);
            }
        }
    }
}
