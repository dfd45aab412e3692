//! The forecast: for a reading of a command line, what each victim must and may receive, and how
//! sigsend may end. Written from the manual alone. It knows which processes exist, not how sigsend
//! finds them.

mod listing;
mod outcome;
mod processes;

use std::collections::BTreeSet;

use super::line::{Line, Sink};
use super::reading::{Mode, Reading, Request, Target};
use super::roles::Habit;
use super::victim::SIGNALS;
use super::world::{Victim, World};
use outcome::Life;

/// How often a victim must and may receive each signal.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub least: [u32; SIGNALS],
    pub most: [u32; SIGNALS],
    /// STOP may be sent, but only before KILL.
    pub frozen: bool,
}

/// Results that are not a plain exit status.
pub const KILLED: i32 = 1000;
pub const STOPPED: i32 = 2000;

/// All permitted results of a command line.
#[derive(Debug, Default)]
pub struct Forecast {
    /// By victim.
    pub bounds: Vec<Bounds>,
    pub exits: BTreeSet<i32>,
    /// Lines that `-p` or `--id` must print, and those that it may.
    pub printed: Option<[BTreeSet<String>; 2]>,
    /// What a listing prints, line by line.
    pub listed: Option<Vec<String>>,
    /// The least and the most that the summary may count: signalled, already gone, failed,
    /// remaining.
    pub counts: Option<[[usize; 2]; 4]>,
    /// It may wait for a process that does not end.
    pub hangs: bool,
    /// Milliseconds after which nothing is left to do except waiting.
    pub patience: u64,
}

/// The permitted outcomes for one process, as a bit set.
type Outcome = u16;
const OK: Outcome = 1;
const FAIL: Outcome = 2;
/// Still there when the time ran out.
const LATE: Outcome = 4;
/// Waited for without end.
const HANG: Outcome = 8;
/// Its state could not be determined.
const UNSURE: Outcome = 16;
/// Gone at the start, which counts as success.
const GONE: Outcome = 32;
/// The first signal was sent and a later one refused.
const PART: Outcome = 64;

/// A root of a tree that is spared itself.
const SPARED: Outcome = 128;

const CONT: usize = 18;
const KILL: usize = 9;
const STOPS: [usize; 4] = [19, 20, 21, 22];

pub fn is_fatal(signal: usize) -> bool {
    !matches!(signal, 0 | 17 | CONT | 23 | 28) && !STOPS.contains(&signal)
}

/// One target of the line, or one entry of a pidfile.
struct Aim {
    target: Target,
    stale: bool,
    /// Its age is compared with that of the file.
    dated: bool,
    origin: Origin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Named,
    /// Standard input.
    Input,
    /// A descendant of a named process.
    Below,
}

impl Aim {
    fn at(target: Target) -> Self {
        Self {
            target,
            stale: false,
            dated: false,
            origin: Origin::Named,
        }
    }
}

/// A process that a target stands for, and its permitted outcomes.
struct Hit {
    victim: usize,
    outcome: Outcome,
    below: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OwnEnd {
    None,
    Possible,
    Sure(i32),
}

struct Predictor<'a> {
    request: &'a Request,
    world: &'a World,
    line: &'a Line,
    /// The signals in order. The second and later ones go to the processes that are still alive.
    signals: Vec<usize>,
    waits: bool,
    pinned: bool,
    /// No signal is required: the manual does not define the line, or it may be refused.
    loose: bool,
    /// How sigsend ends when it signals its own group.
    own_end: OwnEnd,
    outcomes: Vec<Outcome>,
    bounds: Vec<Bounds>,
    printed: [BTreeSet<String>; 2],
    exits: BTreeSet<i32>,
}

/// The forecast for a line that sends nothing: an error, or a listing or text.
fn unsent(reading: &Reading, line: &Line, bounds: Vec<Bounds>) -> Forecast {
    // Help and listings may be printed before an error is found, and the status of an error is 2
    // with `--alive`.
    let begins = |arg: &str, starts: &str| starts.split(' ').any(|start| arg.starts_with(start));
    let is_quiet = |arg: &str| {
        let cluster = arg.strip_prefix('-').unwrap_or_default();
        let cluster = cluster.trim_start_matches(['a', 'p', 'r', 'w', 'v']);
        begins(cluster, "h V l L t d") || begins(arg, "--h --ver --l --ta --sh --g")
    };
    let args: Vec<_> = line.args.iter().map(|arg| arg.to_string_lossy()).collect();
    let mut exits = BTreeSet::from([1]);
    if matches!(reading, Reading::Quiet) || args.iter().any(|arg| is_quiet(arg)) {
        exits.insert(0);
    }
    if args.iter().any(|arg| arg.starts_with("--al")) {
        exits.insert(2);
    }
    if matches!(line.sink, Sink::Full | Sink::Limited(_)) {
        exits.insert(1);
    }
    let listed = listing::answers(&line.args).map(|(lines, status)| {
        let may_be_lost = line.sink != Sink::File && line.sink != Sink::Late;
        exits.retain(|&exit| exit == status || may_be_lost);
        lines
    });
    Forecast {
        bounds,
        exits,
        listed,
        ..Forecast::default()
    }
}

/// Predicts what a reading leads to.
pub fn predict(reading: &Reading, world: &World, line: &Line) -> Forecast {
    let nothing = Bounds {
        least: [0; SIGNALS],
        most: [0; SIGNALS],
        frozen: false,
    };
    let mut bounds = vec![nothing; world.victims.len()];
    for (victim, bounds) in world.victims.iter().zip(&mut bounds) {
        if line.storm == Some(victim.family) {
            bounds.most[CONT] = u32::MAX / 2;
        }
    }
    let Reading::Request(request) = reading else {
        return unsent(reading, line, bounds);
    };
    let mut signals = vec![usize::from(request.signal.unwrap_or(15))];
    // Nothing has to act on KILL.
    let continues = (signals[0] != KILL).then_some(CONT);
    let grace = request.grace.iter();
    signals.extend(grace.flat_map(|_| continues.into_iter().chain([KILL])));
    signals.extend(request.steps.iter().map(|&(_, signal)| usize::from(signal)));
    let waits = request.has("wait") || request.within.is_some() || request.grace.is_some();
    // A storm makes it fork processes of the same name.
    let escapes = |victim: &Victim| victim.habit == Habit::Escapes;
    let is_killed = request.is_tree() && signals.contains(&KILL);
    let mut victims = world.victims.iter().filter(|victim| escapes(victim));
    let has_more_names = !is_killed && victims.any(|victim| line.storm == Some(victim.family));
    let predictor = Predictor {
        pinned: waits
            || signals.len() > 1
            || request.has("require-handler")
            || request.verifies()
            || request.is_tree(),
        loose: request.loose || has_more_names,
        own_end: OwnEnd::None,
        outcomes: Vec::new(),
        exits: BTreeSet::new(),
        printed: Default::default(),
        request,
        world,
        line,
        signals,
        waits,
        bounds,
    };
    let mut forecast = predictor.predict();
    forecast.printed = forecast.printed.filter(|_| !has_more_names);
    forecast
}

impl Predictor<'_> {
    fn predict(mut self) -> Forecast {
        let aims = self.aims();
        let is_pinned =
            |target: &Target| target.is_described() || matches!(target, Target::Token(..));
        self.pinned |= aims.iter().any(|aim| is_pinned(&aim.target));
        // Follow-ups and checks that make little sense together may be refused.
        let mut later = self.signals[1..].iter();
        let uncaught = later.any(|signal| matches!(signal, 0 | 9 | 19));
        self.loose |= self.request.has("require-handler") && uncaught;
        self.loose |= self.signals.len() > 1 && self.signals.contains(&0);
        let groups = aims.iter().any(|aim| aim.target.is_many());
        let mut times = vec![0_u32; self.bounds.len()];
        let mut named = vec![0_u32; self.bounds.len()];
        let mut pids_at_risk = 0;
        for aim in &aims {
            // sigsend's own group is signalled last, and once: the signal may end sigsend.
            let is_over = self.own_end != OwnEnd::None && self.is_own(&aim.target);
            let mut hits = self.hits(aim);
            // It may have ended and been reaped because of an earlier target.
            for hit in hits.iter_mut().filter(|_| pids_at_risk > 0) {
                let is_reaped = self.world.victims[hit.victim].has_reaper;
                hit.outcome |= if is_reaped { FAIL } else { 0 };
            }
            pids_at_risk += u32::from(self.may_reuse_pid(aim, &hits));
            for hit in hits {
                self.outcomes.push(hit.outcome);
                named[hit.victim] += 1;
                // A process that is refused for one target may be reached through the next.
                // One that gets nothing as a member of a tree may get it as a target.
                let is_apart = hit.below && self.request.has("mixed");
                let is_reached = hit.outcome & !(FAIL | UNSURE) != 0;
                times[hit.victim] += u32::from(is_reached && !is_apart);
                let nth = times[hit.victim];
                let before = self.bounds[hit.victim].least;
                self.add_bounds(&hit, nth, groups);
                if is_over {
                    self.bounds[hit.victim].least = before;
                }
            }
        }
        // The PGID of a group that was killed by one target may be reused before the next, unless
        // the group was pinned before the first signal.
        let is_new_owner = pids_at_risk > 1 && self.signals.len() == 1 && !self.waits;
        // The process that reuses the PID is a child of the reaper, and so part of its tree.
        let is_reaper =
            |(victim, times): (&Victim, &u32)| victim.habit == Habit::Reaps && *times > 0;
        let has_reaper = self.world.victims.iter().zip(&times).any(is_reaper);
        let is_new_child = self.request.is_tree() && has_reaper;
        if is_new_owner || is_new_child {
            for (victim, bounds) in self.world.victims.iter().zip(&mut self.bounds) {
                if victim.habit == Habit::ReusesPid {
                    bounds.most = [u32::MAX; SIGNALS];
                }
            }
        }
        let mut victims = self.world.victims.iter().zip(&named);
        // Processes that are forked during the run may be counted, too.
        let forks = |victim: &Victim| {
            let forks = matches!(victim.habit, Habit::Forks | Habit::Reaps | Habit::Escapes);
            victim.has_reaper || forks
        };
        let is_counted_once =
            |(victim, &times): (&Victim, &u32)| times == 0 || times == 1 && !forks(victim);
        let is_new = |nth: usize| aims[..nth].iter().all(|aim| aim.target != aims[nth].target);
        let is_one = |aim: &Aim| {
            use Target::{Cgroup, Everyone, Port};
            matches!(aim.target, Everyone | Port(..) | Cgroup(_)) || self.is_own(&aim.target)
        };
        let is_clear = victims.all(is_counted_once)
            && (1..aims.len()).all(is_new)
            && !aims.iter().any(is_one)
            && (self.pinned || !groups);
        self.finish(is_clear)
    }

    /// The permitted numbers of the summary if each process is named once.
    fn counts(&self) -> [[usize; 2]; 4] {
        let sent = OK | LATE | HANG | PART;
        [sent, GONE, FAIL | PART | UNSURE, LATE | HANG].map(|bits| {
            // A process that refuses a follow-up counts as signalled and as failed.
            let must = self.outcomes.iter();
            let must = must.filter(|outcome| **outcome & !bits == 0);
            let may = self.outcomes.iter().filter(|outcome| **outcome & bits != 0);
            [must.count(), may.count()]
        })
    }

    /// Whether a target names a process whose PID may be reused during the run.
    fn may_reuse_pid(&self, aim: &Aim, hits: &[Hit]) -> bool {
        let reaped = |victim: &Victim| victim.has_reaper && victim.habit != Habit::ReusesPid;
        let victims = &self.world.victims;
        let has_pid = |n: i32| {
            let mut all = victims.iter();
            all.any(|victim| reaped(victim) && victim.pid == n)
        };
        hits.iter().any(|hit| reaped(&victims[hit.victim]))
            || matches!(aim.target, Target::Pid(n) | Target::Group(n) if has_pid(n))
    }

    /// Adds what a hit may and must receive to the victim's bounds. `nth` counts how often the line
    /// has named the victim.
    fn add_bounds(&mut self, hit: &Hit, nth: u32, groups: bool) {
        let victim = &self.world.victims[hit.victim];
        if hit.outcome == SPARED {
            return;
        }
        let text = match self.request.mode {
            Mode::Send => None,
            Mode::Pids => Some(victim.pid.to_string()),
            Mode::Ids => Some(format!("{}:{}", victim.pid, victim.inode)),
            _ => return,
        };
        if let Some(text) = text {
            if hit.outcome == OK {
                self.printed[0].insert(text.clone());
            }
            self.printed[1].insert(text);
            return;
        }
        // FAIL alone: the first signal is refused, and so are all later ones, except CONT within
        // the session.
        let refused = hit.outcome & !UNSURE == FAIL;
        let unpermitted = !self.permitted(victim, self.signals[0]);
        if refused && !unpermitted {
            return;
        }
        let sure = hit.outcome & FAIL == 0 && !unpermitted;
        for (step, &signal) in self.signals.iter().enumerate() {
            let life = self.life(hit.victim, step);
            let reachable = self.permitted(victim, signal);
            let bounds = &mut self.bounds[hit.victim];
            let is_apart = hit.below && self.request.has("mixed") && signal != KILL;
            if is_apart {
                continue;
            }
            if reachable && (nth <= 1 || !self.pinned || groups) {
                bounds.most[signal] += 1;
            }
            // After KILL, which only process 1 survives, CONT has no effect.
            let idle = signal == CONT && self.signals[..step].contains(&KILL);
            let repeats = nth <= 1 || !self.pinned && self.request.queue.is_none();
            if sure && reachable && !idle && life == Life::Alive && repeats {
                bounds.least[signal] += 1;
            }
            bounds.frozen |= self.request.is_tree() && signal == KILL;
        }
    }

    /// Records how sigsend ends if it is in the group that it signals.
    fn set_own_end(&mut self) {
        let signal = self.signals[0];
        let number = i32::try_from(signal).expect("a signal");
        if matches!(signal, 32 | 33) {
            // posix_spawn(3) may leave them ignored.
            self.own_end = OwnEnd::Possible;
            self.exits.insert(KILLED + number);
        } else if is_fatal(signal) {
            self.own_end = OwnEnd::Sure(KILLED + number);
        } else if STOPS.contains(&signal) {
            self.own_end = OwnEnd::Sure(STOPPED);
        }
    }

    fn finish(mut self, is_clear: bool) -> Forecast {
        let has_spared = self.outcomes.contains(&SPARED);
        self.outcomes.retain(|&outcome| outcome != SPARED);
        let all = |bit: Outcome| self.outcomes.iter().all(|outcome| outcome & bit != 0);
        let any = |bit: Outcome| self.outcomes.iter().any(|outcome| outcome & bit != 0);
        let hangs = any(HANG);
        let endless = !self.loose && self.outcomes.contains(&HANG);
        if hangs {
            self.exits.insert(KILLED + 15);
        }
        if !endless {
            let alive = matches!(self.request.mode, Mode::Alive | Mode::Mixed);
            let failed = match () {
                () if self.outcomes.is_empty() => alive && !has_spared,
                () if alive => any(FAIL),
                () => all(FAIL),
            };
            let in_time = !self.outcomes.contains(&LATE);
            let partly = any(FAIL) && any(!(FAIL | UNSURE)) || any(PART);
            let ends = [
                (0, all(OK | GONE) && in_time),
                (1, failed && in_time),
                (2, alive && any(UNSURE)),
                (64, partly && !alive && in_time),
                (124, any(LATE)),
            ];
            let ends = ends.iter().filter(|(_, may)| *may);
            self.exits.extend(ends.map(|(exit, _)| exit));
            if self.loose || self.request.mode == Mode::Mixed {
                self.exits.extend([0, 1, 64]);
                self.exits.extend(alive.then_some(2));
                let may_be_late = self.waits && !self.request.has("wait");
                self.exits.extend(may_be_late.then_some(124));
            }
        }
        let is_counted = is_clear && !self.loose && !self.line.hidden && self.signals[0] != 0;
        let counts = (is_counted && self.request.mode == Mode::Send).then(|| self.counts());
        if let OwnEnd::Sure(own_end) = self.own_end {
            if !self.loose {
                self.exits.clear();
            }
            self.exits.insert(own_end);
        } else if matches!(self.line.sink, Sink::Full | Sink::Limited(_)) {
            if self.line.sink == Sink::Full && self.request.has("json") {
                // The summary cannot be written.
                self.exits.retain(|&exit| exit > KILLED);
            }
            self.exits.insert(1);
            let is_asked = matches!(self.request.mode, Mode::Alive | Mode::Mixed);
            self.exits.extend(is_asked.then_some(2));
        }
        if self.loose {
            let all = self.bounds.iter_mut();
            all.for_each(|bounds| bounds.least = [0; SIGNALS]);
            self.printed[0].clear();
        }
        let limit = self.request.within.or(self.request.grace).unwrap_or(0);
        let steps = self.request.steps.iter().map(|&(time, _)| time);
        let times = steps.chain([limit]).map(|time| time.min(1000));
        let patience = 60 + 2 * times.sum::<u64>();
        let lists = matches!(self.request.mode, Mode::Pids | Mode::Ids);
        let asked = lists && !self.request.has("json") && !self.request.has("verbose");
        let printed = asked.then_some(self.printed);
        Forecast {
            bounds: self.bounds,
            exits: self.exits,
            printed,
            listed: None,
            counts,
            hangs,
            patience,
        }
    }
}
