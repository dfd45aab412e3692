//! KILL for trees: each is stopped from the root down, so that no member can fork, and killed when
//! all of it is at rest, in an order in which no death continues a member that has no KILL yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};
use nix::errno::Errno;
use nix::unistd::{self, getsid};

use crate::event::{Outcome, Reason, Subject};
use crate::find::recipients::{Place, Recipient, RecipientId, Recipients, SourceId, Standing};
use crate::find::select::Found;
use crate::find::source::Source;
use crate::find::spared::above;
use crate::os::pidfd::Pinned;
use crate::os::pids;
use crate::os::proc::{self, State};
use crate::os::sys::{self, HeldSignals, Scope};
use crate::run::call::{Answer, Call};
use crate::run::kill_order::{Hangup, Member, kill_order};
use crate::run::sender::{Occasion, Route, Sender};
use crate::signal::Signal;
use crate::target::Pid;

/// How long a member may take to stop, from the first look on. One that is blocked in the kernel
/// gets all of it: it may be a vfork(2) parent whose child is stopped, but a fork in flight on a
/// busy machine is blocked, too, and completes.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long all of it lasts at most before the KILLs.
const LONGEST: Duration = Duration::from_secs(3);
/// How often members are stopped again because somebody continues them. What they fork after that
/// is found after the KILL.
const TRIES: u32 = 3;
/// How long processes that were forked meanwhile are looked for after the KILL.
const CHASE: Duration = Duration::from_secs(1);
/// The memory that must be free before a process is stopped.
const ROOM: [usize; 16] = [64 << 10; 16];
/// A short time between two looks at what the kernel gives no event for.
const PAUSE: Duration = Duration::from_micros(200);
/// How long killed members may take to die before their children are looked for.
const DYING: Duration = Duration::from_millis(100);
/// How many of the PIDs handed out meanwhile are looked at.
const BIRTHS: usize = 1 << 16;

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
        last_pid: None,
        error: None,
    };
    let mut find = |recipients: &mut Recipients, parent: RecipientId| {
        let before = recipients.len();
        let adopted = trees.adopt(rules, recipients, parent);
        (recipients.ids_from(before).collect(), adopted)
    };
    kill.run(recipients, &mut find);
    kill.kill_newcomers(recipients, &mut find);
    let orphans = kill.orphans(recipients, above.as_ref());
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
    /// The PID that was handed out last before the children of the members were read for the last
    /// time.
    last_pid: Option<i32>,
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

/// A member of a tree that is stopped.
struct Stopping {
    root: RecipientId,
    got_stop: bool,
    /// It ran before, so it must not stay stopped.
    ran: bool,
    first_look: Option<Instant>,
    rest: Rest,
    /// What /proc/PID/stat said at the last look.
    stat: Option<Member>,
}

/// How a member came to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    NotYet,
    /// Stopped or dead.
    Still,
    /// Blocked in the kernel, as a vfork(2) parent is whose child is stopped.
    Blocked,
    /// It got no STOP and goes on running.
    Never,
    /// It did not stop in time.
    Late,
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
        let stopped = try_to_stop(&recipients[id]);
        let (got_stop, ran) = *stopped.as_ref().unwrap_or(&(false, false));
        let (first_look, rest, stat) = (None, Rest::NotYet, None);
        let member = Stopping {
            root,
            got_stop,
            ran,
            first_look,
            rest,
            stat,
        };
        self.members.insert(id, member);
        // Its group is known from now on.
        let read = self
            .members
            .get_mut(&id)
            .map(|member| member.read(&recipients[id].process));
        match stopped.and_then(|_| read.transpose()) {
            Ok(_) => self.stopping.push_back(id),
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
                continue_(&recipients[*id]);
            }
        }
    }

    fn has_failed(&self, root: RecipientId) -> bool {
        self.trees
            .get(&root)
            .is_some_and(|tree| tree.failed.is_some())
    }

    /// Looks once at a member that has yet to come to rest, and reads its children if it has.
    fn look(&mut self, recipients: &mut Recipients, id: RecipientId, find: &mut Find) -> bool {
        let is_over = self.is_over();
        let Some(member) = self.members.get_mut(&id) else {
            return false;
        };
        let root = member.root;
        if self
            .trees
            .get(&root)
            .is_some_and(|tree| tree.failed.is_some())
        {
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
            let Some(member) = self.members.get(&id) else {
                continue;
            };
            let (rest, root) = (member.rest, member.root);
            if self.has_failed(root) {
                continue;
            }
            match self.runs_again(recipients, id) {
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
        // Other trees are killed later; what was handed out first counts for all.
        self.last_pid = self.last_pid.or(last_pid.filter(|_| is_quiet));
        is_quiet
    }

    fn runs_again(&mut self, recipients: &Recipients, id: RecipientId) -> Result<bool> {
        let Some(member) = self.members.get_mut(&id) else {
            return Ok(false);
        };
        let state = member.read(&recipients[id].process)?;
        Ok(member.rest == Rest::Still && state > State::Stopped)
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
                .is_some_and(|member| !self.has_failed(member.root));
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

    /// The processes that a member may have left behind: they have appeared since the children were
    /// read, are none of the recipients, have a parent above the trees, as the children of an
    /// exited process have, and are in the group of a member or in a session that is as new as they
    /// are: others start processes at the same time.
    fn orphans(
        &self,
        recipients: &Recipients,
        above: Option<&BTreeSet<Pid>>,
    ) -> Vec<(RecipientId, Pid)> {
        let (Some(first), Some(last)) = (self.last_pid, pids::last_pid()) else {
            return Vec::new();
        };
        let Some(root) = self.trees.keys().next().copied().filter(|_| first != last) else {
            return Vec::new();
        };
        // The children of a member have another parent once it is dead.
        let end = Instant::now() + DYING;
        let killed = self.answers.iter().filter(|answer| answer.sent.is_ok());
        let killed: Vec<RecipientId> = killed.map(Answer::id).collect();
        let runs = |id: &RecipientId| recipients[*id].process.is_running().unwrap_or(false);
        while killed.iter().any(runs) && Instant::now() < end {
            sys::sleep_until(Instant::now() + PAUSE);
        }
        let last = pids::last_pid().unwrap_or(last);
        let is_new = |session: i32| {
            let (is_after, is_before) = (first < session, session <= last);
            if first < last {
                is_after && is_before
            } else {
                is_after || is_before
            }
        };
        let members = self.members.values();
        let members = members.filter_map(|member| Some((member.stat?.group, member.root)));
        let groups: BTreeMap<i32, RecipientId> = members.collect();
        let is_above = |parent: i32| {
            above.is_none_or(|above| proc::pid_of(parent).is_some_and(|pid| above.contains(&pid)))
        };
        let left_by = |pid: Pid| {
            let stat = proc::stat(pid).ok()?;
            let of_group = groups.get(&stat.group).copied();
            let of = of_group.or(is_new(stat.session).then_some(root))?;
            let is_left = stat.state != State::Dead
                && is_above(stat.parent)
                && proc::process_of_thread(pid).is_none()
                && recipients.id_of(pid).is_ok_and(|id| id.is_none());
            is_left.then_some((of, pid))
        };
        // One that is about to lose its parent shows at the next look.
        let mut left = Vec::new();
        loop {
            let now = pids::last_pid().unwrap_or(last);
            let births = pids::handed_out(first, now).take(BIRTHS);
            let found: Vec<(RecipientId, Pid)> = births.filter_map(&left_by).collect();
            if found.is_empty() || found == left || Instant::now() >= end {
                return found;
            }
            left = found;
            sys::sleep_until(Instant::now() + 10 * PAUSE);
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
                continue_(&recipients[answer.id()]);
            }
        }
    }
}

impl Stopping {
    /// How it has come to rest by now.
    fn look(&mut self, process: &Pinned, is_over: bool) -> Result<Rest> {
        let state = self.read(process)?;
        let is_late =
            is_over || self.first_look.get_or_insert_with(Instant::now).elapsed() >= PATIENCE;
        self.rest = match state {
            State::Dead => Rest::Still,
            _ if !self.got_stop => Rest::Never,
            State::Stopped => Rest::Still,
            State::Blocked if is_late => Rest::Blocked,
            State::Live if is_late => Rest::Late,
            State::Blocked | State::Live => Rest::NotYet,
        };
        Ok(self.rest)
    }

    /// The state of the liveliest thread; a process that has gone is dead.
    fn read(&mut self, process: &Pinned) -> Result<State> {
        let pid = process.pid;
        let task = || format!("looking at the threads of process {pid}");
        let stat = proc::if_visible(proc::stat(pid)).with_context(task)?;
        let found = proc::if_visible(proc::liveliest(pid)).with_context(task)?;
        // What was read may be another process that has the PID now.
        let (Some(stat), Some((state, _))) = (stat, found) else {
            return Ok(State::Dead);
        };
        if !process.still_has_pid().unwrap_or(true) {
            return Ok(State::Dead);
        }
        self.stat = Some(Member {
            pid: pid.number(),
            parent: stat.parent,
            group: stat.group,
            session: stat.session,
            session_of_parent: session_of(stat.parent),
            hangup: hangup(pid),
        });
        Ok(state)
    }
}

/// The session of a process; 0 if it cannot be read.
fn session_of(pid: i32) -> i32 {
    getsid(Some(unistd::Pid::from_raw(pid))).map_or(0, unistd::Pid::as_raw)
}

/// What HUP would do to a process.
fn hangup(pid: Pid) -> Hangup {
    let dies = proc::status(pid).is_ok_and(|status| {
        let sets = [status.caught, status.ignored, status.blocked];
        !sets.into_iter().any(|set| set.contains(Signal::HUP))
    });
    if dies { Hangup::Dies } else { Hangup::Survives }
}

/// Stops a process; whether it got STOP, and whether it ran before.
fn try_to_stop(recipient: &Recipient) -> Result<(bool, bool)> {
    if !recipient.is_present() {
        return Ok((false, false));
    }
    let pid = recipient.pid();
    let state = proc::if_visible(proc::liveliest(pid));
    let state = state.with_context(|| format!("looking at the threads of process {pid}"))?;
    let ran = state.is_some_and(|(state, _)| state > State::Stopped);
    check_room().context("stopping a tree")?;
    match signal(recipient, Signal::STOP) {
        Ok(()) => Ok((true, ran)),
        Err(Errno::EPERM | Errno::EACCES | Errno::ESRCH) => Ok((false, false)),
        Err(errno) => Err(errno).with_context(|| format!("stopping process {pid}")),
    }
}

/// Fails while little memory is left: an allocation that fails later ends the program, and what it
/// has stopped stays stopped.
fn check_room() -> Result<()> {
    let mut room = ROOM.map(|_| Vec::<u8>::new());
    for (piece, size) in room.iter_mut().zip(ROOM) {
        piece.try_reserve(size)?;
    }
    // An allocation that is never used would be optimized away.
    black_box(&room);
    Ok(())
}

/// The freeze's own signals, STOP and CONT, which are no part of the plan.
fn signal(recipient: &Recipient, signal: Signal) -> nix::Result<()> {
    sys::pidfd_send_signal(recipient.process.fd()?, signal, None, Scope::Process)
}

/// One that cannot be continued is dead or another user's.
fn continue_(recipient: &Recipient) {
    let _ = signal(recipient, Signal::CONT);
}
