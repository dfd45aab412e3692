//! KILL for trees: each is stopped from the root down, so that no member can fork, and killed when
//! all of it is at rest, in an order in which no death continues a member that has no KILL yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};

use crate::event::{Outcome, Reason, Subject};
use crate::find::recipients::{Place, Recipient, RecipientId, SourceId, Standing};
use crate::find::select::Found;
use crate::os::pids;
use crate::os::proc;
use crate::os::sys::{self, HeldSignals};
use crate::run::call::Call;
use crate::run::kill_order::kill_order;
use crate::run::orphans::Traces;
use crate::run::sender::{Answer, Sender, Step};
use crate::run::stopping::{Rest, Tree};

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
    let mut kill = Kill {
        traces: Traces::above(roots.map(Recipient::pid)),
        found: &mut call.found,
        sender: call.sender,
        step,
        killed: Vec::new(),
        answers: Vec::new(),
        looked_from: None,
        error: None,
    };
    kill.run();
    kill.kill_newcomers();
    let orphans = kill.traces.orphans(&kill.found.recipients, &kill.answers);
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
    found: &'a mut Found<'p>,
    sender: Sender,
    step: Step,
    /// Trees that have got KILL, or that could not be stopped.
    killed: Vec<Tree>,
    answers: Vec<Answer>,
    traces: Traces,
    /// The PID that was handed out last before the children were read for the last time that found
    /// no new one; if every time found one, before the first.
    looked_from: Option<i32>,
    /// The first error of a look after the KILL.
    error: Option<Error>,
}

impl Kill<'_, '_> {
    fn run(&mut self) {
        let mut trees = self.stop();
        while !trees.is_empty() {
            let mut is_changed = false;
            for tree in &mut trees {
                is_changed |= tree.look(self.found);
            }
            let (mut resting, busy) = split_resting(trees);
            trees = busy;
            if self.is_confirmed(&mut resting) || resting.iter().any(Tree::is_over) {
                self.kill(resting);
                continue;
            }
            trees.extend(resting);
            if !is_changed {
                sys::sleep_until(Instant::now() + PAUSE);
            }
        }
    }

    /// Sends STOP to all members that are known, from the roots down.
    fn stop(&mut self) -> Vec<Tree> {
        let recipients = &self.found.recipients;
        let mut roots: BTreeMap<RecipientId, RecipientId> = BTreeMap::new();
        let mut trees: BTreeMap<RecipientId, Tree> = BTreeMap::new();
        for id in recipients.root_first() {
            if let Place::Tree { parent } = recipients[id].place {
                let root = parent.and_then(|parent| roots.get(&parent).copied());
                let root = root.unwrap_or(id);
                roots.insert(id, root);
                let tree = trees.entry(root).or_insert_with(|| Tree::new(root));
                tree.stop(recipients, id);
            }
        }
        trees.into_values().collect()
    }

    /// Looks at all members of these trees once more. Whether none runs again and no child is new.
    fn is_confirmed(&mut self, trees: &mut [Tree]) -> bool {
        if trees.is_empty() {
            return false;
        }
        let last_pid = pids::last_pid();
        let mut is_quiet = true;
        for tree in &mut *trees {
            is_quiet &= tree.look_again(self.found);
        }
        // A fork that was in flight when its parent was seen blocked completes in time; those
        // parents are looked at last, and twice, right before the KILL that makes such a fork fail.
        for _ in 0..2 {
            for tree in &mut *trees {
                is_quiet &= tree.look_at_blocked(self.found);
            }
        }
        if is_quiet || self.looked_from.is_none() {
            self.looked_from = last_pid;
        }
        is_quiet
    }

    /// Kills trees that are at rest. Nothing is read or written between two KILLs.
    fn kill(&mut self, trees: Vec<Tree>) {
        let recipients = &self.found.recipients;
        let due = trees.iter().filter(|tree| self.gets_kill(tree));
        let due = due.flat_map(|tree| &tree.members);
        let due = due.filter(|member| recipients[member.id].is_present());
        let (ids, stats): (Vec<_>, Vec<_>) = due.map(|member| (member.id, member.stat)).unzip();
        let places = kill_order(&stats);
        self.answers.reserve(ids.len());
        for place in places {
            let id = ids[place];
            let answer = self.sender.send_to(id, &recipients[id], self.step);
            self.answers.push(answer);
        }
        let window = self.looked_from.take().zip(pids::last_pid());
        self.traces.windows.extend(window);
        for tree in &trees {
            let groups = tree.groups().map(|group| (group, tree.root));
            self.traces.groups.extend(groups);
        }
        self.killed.extend(trees);
    }

    fn gets_kill(&self, tree: &Tree) -> bool {
        tree.failed.is_none() || !self.step.is_first()
    }

    /// Kills what members have forked before their KILL, until no new process appears. With KILL
    /// pending no fork succeeds, so what is read now is complete unless it has exited.
    fn kill_newcomers(&mut self) {
        let end = Instant::now() + CHASE;
        let is_leaky = self.killed.iter().any(Tree::is_leaky);
        let killed = self.killed.iter().filter(|tree| self.gets_kill(tree));
        let members = killed.flat_map(|tree| &tree.members);
        let mut members: Vec<RecipientId> = members.map(|member| member.id).collect();
        let (mut asked, mut is_grown) = (0, false);
        while asked < members.len() && Instant::now() < end {
            let (new, adopted) = self.found.adopt(members[asked]);
            asked += 1;
            if let Err(error) = adopted {
                self.error.get_or_insert(error);
            }
            for id in &new {
                let recipient = &self.found.recipients[*id];
                if recipient.is_present() {
                    let answer = self.sender.send_to(*id, recipient, self.step);
                    self.answers.push(answer);
                }
            }
            is_grown |= !new.is_empty();
            members.extend(new);
            if is_leaky && is_grown && asked == members.len() {
                (asked, is_grown) = (0, false);
            }
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
