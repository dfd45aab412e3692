//! KILL for trees: each is stopped from the root down, so that no member can fork, and killed when
//! all of it is at rest, in an order in which no death continues a member that has no KILL yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};

use crate::event::{Outcome, Reason, Subject};
use crate::find::recipients::{Place, Recipient, RecipientId, SourceId, Standing};
use crate::find::select::Found;
use crate::find::spared::above;
use crate::os::pids;
use crate::os::proc;
use crate::os::sys::{self, HeldSignals};
use crate::run::call::Call;
use crate::run::kill_order::{Hangup, Member, kill_order};
use crate::run::orphans::{Traces, orphans};
use crate::run::sender::{Answer, Sender, Step};
use crate::run::stopping::{Change, Rest, Stopping, Tree};

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
pub fn kill_trees(call: &mut Call, step: Step) -> Result<()> {
    let known = call.found.recipients.len();
    // The death of sigsend would leave a stopped tree behind.
    let held = HeldSignals::hold().context("holding signals back")?;
    let recipients = call.found.recipients.iter();
    let roots = recipients.filter(|recipient| recipient.parent().is_none());
    let above = above(roots.map(Recipient::pid));
    let mut kill = Kill {
        began: Instant::now(),
        found: &mut call.found,
        sender: call.sender,
        step,
        killed: Vec::new(),
        answers: Vec::new(),
        continued: 0,
        looked_from: None,
        windows: Vec::new(),
        error: None,
    };
    kill.run();
    kill.kill_newcomers();
    let orphans = orphans(&kill.traces(), &kill.found.recipients, above.as_ref());
    kill.thaw_refused();
    // From here on writing may block.
    drop(held);
    let Kill {
        killed,
        answers,
        error,
        ..
    } = kill;
    call.report_skipped(known);
    for tree in &killed {
        if let Some(error) = &tree.failed {
            report_unstoppable(call, tree, step, error);
        }
    }
    call.record_all(&answers);
    for member in killed.iter().flat_map(|tree| &tree.members) {
        if member.rest == Rest::Late {
            call.tell(member.id, &Outcome::Unstopped);
        }
    }
    for (id, orphan) in orphans {
        call.tally.failed += 1;
        let name = proc::name(orphan).ok();
        let subject = Subject::target(&call.found.recipients[id].typed);
        let subject = subject.process(Some(orphan), name.as_deref());
        call.report.tell(&subject, &Outcome::Escaped);
    }
    call.found.miss_unread();
    call.report_misses();
    if let Some(error) = error {
        call.fail_source(SourceId(0), &error);
    }
    Ok(())
}

/// Reports a tree that could not be stopped. It is out of the call if it has got no KILL.
fn report_unstoppable(call: &mut Call, tree: &Tree, step: Step, error: &Error) {
    if !step.is_first() {
        call.fail_source(SourceId(0), error);
        return;
    }
    call.report.fail(error);
    for member in &tree.members {
        let recipient = &mut call.found.recipients[member.id];
        if recipient.is_present() {
            recipient.standing = Standing::Refused(Reason::from_error(error));
        }
    }
}

/// Trees being killed.
struct Kill<'a, 'p> {
    began: Instant,
    found: &'a mut Found<'p>,
    sender: Sender,
    step: Step,
    /// Trees that have got KILL, or that could not be stopped.
    killed: Vec<Tree>,
    answers: Vec<Answer>,
    /// How many looks found a member that ran again after it had stopped.
    continued: u32,
    /// The PID that was handed out last before the children were read for the last time that found
    /// no new one; if every time found one, before the first.
    looked_from: Option<i32>,
    windows: Vec<(i32, i32)>,
    /// The first error of a look after the KILL.
    error: Option<Error>,
}

impl Kill<'_, '_> {
    fn run(&mut self) {
        let mut trees = self.stop();
        while !trees.is_empty() {
            let mut is_changed = false;
            for tree in &mut trees {
                let is_over = self.is_over();
                is_changed |= tree.look(self.found, is_over);
            }
            let (mut resting, busy) = split_resting(trees);
            trees = busy;
            if !resting.is_empty() && (self.is_confirmed(&mut resting) || self.is_over()) {
                self.kill(&resting);
                self.killed.extend(resting);
                continue;
            }
            trees.extend(resting);
            if !is_changed {
                sys::sleep_until(Instant::now() + PAUSE);
            }
        }
        self.killed.sort_by_key(|tree| tree.root);
    }

    /// Sends STOP to all members that are known, from the roots down.
    fn stop(&mut self) -> Vec<Tree> {
        let recipients = &self.found.recipients;
        let roots: BTreeMap<_, _> = recipients.ids().zip(recipients.roots()).collect();
        let mut trees: BTreeMap<RecipientId, Tree> = BTreeMap::new();
        for id in recipients.root_first() {
            if matches!(recipients[id].place, Place::Tree { .. }) {
                let root = roots[&id];
                let tree = trees.entry(root).or_insert_with(|| Tree::new(root));
                tree.stop(recipients, id);
            }
        }
        trees.into_values().collect()
    }

    fn is_over(&self) -> bool {
        self.continued > TRIES || self.began.elapsed() > LONGEST
    }

    /// Looks at all members of these trees once more. Whether none runs again and no child is new.
    fn is_confirmed(&mut self, trees: &mut [Tree]) -> bool {
        let last_pid = pids::last_pid();
        let mut change = Change::None;
        for tree in &mut *trees {
            let is_over = self.is_over();
            change = change.max(tree.look_again(self.found, is_over));
        }
        // A fork that was in flight when its parent was seen blocked completes in time; those
        // parents are looked at last, and twice, right before the KILL that makes such a fork fail.
        for _ in 0..2 {
            for tree in &mut *trees {
                change = change.max(tree.look_at_blocked(self.found));
            }
        }
        let is_quiet = change == Change::None;
        self.continued += u32::from(change == Change::Continued);
        if is_quiet || self.looked_from.is_none() {
            self.looked_from = last_pid;
        }
        is_quiet
    }

    /// Kills trees that are at rest. Nothing is read or written between two KILLs.
    fn kill(&mut self, trees: &[Tree]) {
        let recipients = &self.found.recipients;
        let due = trees.iter().filter(|tree| self.gets_kill(tree));
        let due = due.flat_map(|tree| &tree.members);
        let due: Vec<&Stopping> = due
            .filter(|member| recipients[member.id].is_present())
            .collect();
        let order_of = |member: &&Stopping| {
            let pid = recipients[member.id].pid().number();
            member.stat.unwrap_or(Member {
                pid,
                parent: 0,
                group: pid,
                session: pid,
                session_of_parent: 0,
                hangup: Hangup::Survives,
            })
        };
        let (places, _) = kill_order(&due.iter().map(order_of).collect::<Vec<_>>());
        self.answers.reserve(due.len());
        for place in places {
            let id = due[place].id;
            let answer = self.sender.send_to(id, &recipients[id], self.step);
            self.answers.push(answer);
        }
        self.windows
            .extend(self.looked_from.take().zip(pids::last_pid()));
    }

    fn gets_kill(&self, tree: &Tree) -> bool {
        tree.failed.is_none() || !self.step.is_first()
    }

    /// Whether a member may have forked unseen: it did not stop, or may not be stopped, or somebody
    /// continues it.
    fn is_leaky(&self) -> bool {
        let runs = |member: &Stopping| matches!(member.rest, Rest::Never | Rest::Late);
        let mut members = self.killed.iter().flat_map(|tree| &tree.members);
        self.continued > 0 || members.any(runs)
    }

    /// Kills what members have forked before their KILL, until no new process appears. With KILL
    /// pending no fork succeeds, so what is read now is complete unless it has exited.
    fn kill_newcomers(&mut self) {
        let end = Instant::now() + CHASE;
        let is_leaky = self.is_leaky();
        let killed = self.killed.iter().filter(|tree| self.gets_kill(tree));
        let members = killed.flat_map(|tree| &tree.members);
        let mut known: Vec<RecipientId> = members.map(|member| member.id).collect();
        let mut parents = known.clone();
        while !parents.is_empty() && Instant::now() < end {
            let mut newcomers = Vec::new();
            for parent in parents {
                let (new, adopted) = self.found.adopt(parent);
                if let Err(error) = adopted {
                    self.error.get_or_insert(error);
                }
                newcomers.extend(new);
            }
            for id in &newcomers {
                let recipient = &self.found.recipients[*id];
                if recipient.is_present() {
                    let answer = self.sender.send_to(*id, recipient, self.step);
                    self.answers.push(answer);
                }
            }
            known.extend(&newcomers);
            parents = if is_leaky && !newcomers.is_empty() {
                known.clone()
            } else {
                newcomers
            };
        }
    }

    /// What a process that escaped is told by.
    fn traces(&self) -> Traces {
        let groups = self.killed.iter();
        let groups = groups.flat_map(|tree| tree.groups().map(|group| (group, tree.root)));
        let killed = self.answers.iter().filter(|answer| answer.sent.is_ok());
        Traces {
            windows: self.windows.clone(),
            root: self.killed.first().map(|tree| tree.root),
            groups: groups.collect(),
            killed: killed.map(|answer| answer.id).collect(),
        }
    }

    /// Continues those that were stopped and refused KILL.
    fn thaw_refused(&self) {
        let refused = self.answers.iter().filter(|answer| answer.sent.is_err());
        let refused: BTreeSet<RecipientId> = refused.map(|answer| answer.id).collect();
        for member in self.killed.iter().flat_map(|tree| &tree.members) {
            if refused.contains(&member.id) {
                member.resume(&self.found.recipients[member.id]);
            }
        }
    }
}

/// The trees of which every member is at rest, but for those that share a process group with a tree
/// that is not, since they are killed together; and the others.
fn split_resting(trees: Vec<Tree>) -> (Vec<Tree>, Vec<Tree>) {
    let (mut resting, mut busy): (Vec<Tree>, Vec<Tree>) =
        trees.into_iter().partition(Tree::is_at_rest);
    loop {
        let groups: BTreeSet<i32> = busy.iter().flat_map(Tree::groups).collect();
        let is_free = |tree: &Tree| tree.groups().all(|group| !groups.contains(&group));
        let (free, held): (Vec<Tree>, Vec<Tree>) = resting.into_iter().partition(is_free);
        resting = free;
        if held.is_empty() {
            return (resting, busy);
        }
        busy.extend(held);
    }
}
