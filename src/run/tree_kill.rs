//! KILL for trees: each is stopped from the root down, so that no member can fork, and killed when
//! all of it is at rest, in an order in which no death continues a member that has no KILL yet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::event::{Outcome, Reason, Subject};
use crate::find::recipients::{Place, Recipient, RecipientId, Recipients, SourceId, Standing};
use crate::find::select::Found;
use crate::os::pids;
use crate::os::proc;
use crate::os::sys::{self, HeldSignals};
use crate::run::call::Call;
use crate::run::kill_order::{Member, kill_order};
use crate::run::orphans::Traces;
use crate::run::sender::{Answer, Step, send_to};
use crate::run::stopping::{Rest, Stopping, Tree};

/// How long processes that were forked meanwhile are looked for after the KILL.
const CHASE: Duration = Duration::from_secs(1);
/// A short time between two looks at what the kernel gives no event for.
const PAUSE: Duration = Duration::from_micros(200);

/// Sends KILL to all trees. Nothing is reported while one is stopped. A tree that cannot be stopped
/// gets no first KILL, and is reported; one that is due as a follow-up is sent all the same.
pub fn kill_trees(call: &mut Call, source: SourceId, step: Step) -> Result<()> {
    let known = call.found.recipients.len();
    // The death of sigsend would leave a stopped tree behind.
    let held = HeldSignals::hold().context("holding signals back")?;
    let recipients = call.found.recipients.iter();
    let roots = recipients.filter(|recipient| recipient.parent().is_none());
    let traces = Traces::above(roots.map(Recipient::pid));
    let mut kill = Kill {
        step,
        done: Vec::new(),
        answers: Vec::new(),
        looked_from: None,
        traces,
    };
    kill.run(call);
    call.report_skipped(known);
    for tree in &kill.done {
        let Some(error) = &tree.failed else {
            continue;
        };
        if !step.is_first() {
            call.fail_source(source, error);
            continue;
        }
        // It has got no KILL, so it is out of the call.
        call.report.fail(error);
        for member in &tree.members {
            let recipient = &mut call.found.recipients[member.id];
            if recipient.is_present() {
                recipient.standing = Standing::Refused(Reason::from_error(error));
            }
        }
    }
    // What members have forked before their KILL gets it, too. With KILL pending no fork succeeds,
    // so one look finds all, unless a member ran while its children were read.
    let is_leaky = kill.done.iter().any(Tree::is_leaky);
    let end = Instant::now() + CHASE;
    let mut looks_again = Ok(!kill.answers.is_empty());
    while let Ok(true) = looks_again {
        let is_new = call.look(source, &[step]);
        looks_again = is_new.map(|is_new| is_new && is_leaky && Instant::now() < end);
    }
    let recipients = &call.found.recipients;
    let orphans = kill.traces.orphans(recipients, &kill.answers);
    drop(held);
    call.record_all(&kill.answers);
    for member in kill.done.iter().flat_map(|tree| &tree.members) {
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
    if let Err(error) = looks_again {
        call.fail_source(source, &error);
    }
    Ok(())
}

struct Kill {
    step: Step,
    /// Trees that have got KILL, or that could not be stopped.
    done: Vec<Tree>,
    answers: Vec<Answer>,
    /// The PID that was handed out last before the children were read for the last time that found
    /// no new one; if every time found one, before the first.
    looked_from: Option<i32>,
    traces: Traces,
}

impl Kill {
    fn run(&mut self, call: &mut Call) {
        let mut trees = stop(&call.found.recipients);
        while !trees.is_empty() {
            let mut is_changed = false;
            for tree in &mut trees {
                is_changed |= tree.look(&mut call.found);
            }
            let (mut resting, busy) = split_resting(trees);
            trees = busy;
            if self.is_confirmed(&mut call.found, &mut resting) || resting.iter().any(Tree::is_over)
            {
                self.kill(call, resting);
                continue;
            }
            trees.extend(resting);
            if !is_changed {
                sys::sleep_until(Instant::now() + PAUSE);
            }
        }
    }

    /// Looks at all members of these trees once more. Whether none runs again and no child is new.
    fn is_confirmed(&mut self, found: &mut Found, trees: &mut [Tree]) -> bool {
        if trees.is_empty() {
            return false;
        }
        let last_pid = pids::last_pid();
        let mut is_quiet = true;
        for tree in &mut *trees {
            is_quiet &= tree.look_again(found);
        }
        // A fork that was in flight when its parent was seen blocked completes in time; those
        // parents are looked at last, and twice, right before the KILL that makes such a fork fail.
        for _ in 0..2 {
            for tree in &mut *trees {
                is_quiet &= tree.look_at_blocked(found);
            }
        }
        if is_quiet || self.looked_from.is_none() {
            self.looked_from = last_pid;
        }
        is_quiet
    }

    /// Kills trees that are at rest. Nothing is read or written between two KILLs.
    fn kill(&mut self, call: &Call, trees: Vec<Tree>) {
        let recipients = &call.found.recipients;
        let is_due = |tree: &&Tree| tree.failed.is_none() || !self.step.is_first();
        let due = trees.iter().filter(is_due).flat_map(|tree| &tree.members);
        let due = due.filter(|member| recipients[member.id].is_present());
        let mut due: BTreeMap<RecipientId, &Stopping> =
            due.map(|member| (member.id, member)).collect();
        // Also if the root of one tree has become a child of a member of another one.
        let parents_first = recipients.root_first().into_iter();
        let due: Vec<&Stopping> = parents_first.filter_map(|id| due.remove(&id)).collect();
        let stats: Vec<Member> = due.iter().map(|member| member.stat).collect();
        let due = kill_order(&stats).into_iter().map(|place| due[place]);
        let due: Vec<&Stopping> = due.collect();
        let known = self.answers.len();
        self.answers.reserve(due.len());
        for Stopping { id, .. } in &due {
            let answer = send_to(call.plan, *id, &recipients[*id], self.step);
            self.answers.push(answer);
        }
        let window = self.looked_from.take().zip(pids::last_pid());
        self.traces.windows.extend(window);
        for (member, answer) in due.iter().zip(&self.answers[known..]) {
            if answer.sent.is_err() {
                member.resume(&recipients[member.id]);
            }
        }
        for tree in &trees {
            let groups = tree.groups().map(|group| (group, tree.root));
            self.traces.groups.extend(groups);
        }
        self.done.extend(trees);
    }
}

/// Sends STOP to all members that are known, from the roots down.
fn stop(recipients: &Recipients) -> Vec<Tree> {
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
