//! The private PID namespace: families of victims, the state of each before a command line is run,
//! and what each has received afterwards. A family in which a member died, moved or was stopped is
//! replaced. The others are kept for the next line.

mod cgroups;
mod observation;

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::atomic::Ordering;

use super::reading::Protocol;
use super::roles::{Cgroup, FAMILIES, Habit, Role};
use super::victim::{self, Slot};
use nix::errno::Errno;
use nix::sys::signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::gettid;

use crate::support::keep_pids_small;
use crate::support::prelude::*;

pub use cgroups::Cgroups;
pub use observation::Observation;

/// The state of a victim before a command line is run.
#[derive(Default)]
pub struct Victim {
    pub pid: i32,
    pub group: i32,
    pub session: i32,
    pub parent: i32,
    /// The second thread of those that have one.
    pub thread: i32,
    /// The port whose socket it holds.
    pub port: Option<u16>,
    pub protocol: Option<Protocol>,
    pub cgroup: Option<Cgroup>,
    pub user: u32,
    pub name: Vec<u8>,
    /// The arguments with blanks between.
    pub command_line: Vec<u8>,
    /// The basename of argv[0].
    pub title: Vec<u8>,
    /// The basename of the executable.
    pub program: Vec<u8>,
    pub inode: u64,
    pub caught: u64,
    pub habit: Habit,
    pub stopped: bool,
    /// Its user may not ptrace(2) it.
    pub undumpable: bool,
    /// It is reaped by another victim, not by the harness.
    pub has_reaper: bool,
    pub family: usize,
    slot: usize,
    status: Option<File>,
    line: Option<UnixStream>,
}

impl Victim {
    /// Whether the process exists before a command line is run.
    pub fn exists(&self) -> bool {
        self.pid != 0
    }

    pub fn is_zombie(&self) -> bool {
        self.habit == Habit::Zombie
    }

    pub fn describe(&self) -> String {
        format!(
            "{} {:?} of user {}, group {}, parent {}, stopped {}",
            self.pid, self.habit, self.user, self.group, self.parent, self.stopped
        )
    }
}

/// All victims, in the order of their slots; slot 0 is the harness, which is process 1.
pub struct World {
    pub victims: Vec<Victim>,
    /// PIDs of processes that were reaped.
    pub gone: Vec<i32>,
    /// Runs of sigsend whose parent, the launcher, could not reap them.
    to_reap: Vec<i32>,
    pub cgroups: Cgroups,
    /// Where all victims work.
    pub directory: PathBuf,
    replaced: u64,
    slots: &'static [Slot],
}

impl World {
    pub fn new() -> Self {
        assert_eq!(
            process::id(),
            1,
            "the harness must be the first process of its namespace"
        );
        let slots = victim::map_slots(first_slot(FAMILIES.len()));
        victim::prepare_harness(&slots[0]);
        keep_pids_small();
        slots[0].pid.store(1, Ordering::Relaxed);
        // Its first thread is the one that handles signals, this one is the second.
        let mut init = Victim::absent(Habit::Init, usize::MAX);
        init.read(1, 1);
        init.thread = gettid().as_raw();
        let mut world = Self {
            victims: vec![init],
            gone: Vec::new(),
            to_reap: Vec::new(),
            cgroups: Cgroups::new(),
            directory: env::current_dir().expect("it exists"),
            replaced: 0,
            slots,
        };
        for family in 0..FAMILIES.len() {
            world.spawn(family);
        }
        world
    }

    fn spawn(&mut self, family: usize) {
        let (first, head) = (first_slot(family), &FAMILIES[family]);
        let roles = head.all();
        let pairs = roles.iter();
        let pairs = pairs.map(|_| UnixStream::pair().expect("a socket pair"));
        let (ours, theirs): (Vec<_>, Vec<_>) = pairs.unzip();
        let slots = &self.slots[first..first + roles.len()];
        slots.iter().for_each(Slot::clear);
        victim::fork_head(head, &self.slots[first..], &theirs);
        drop(theirs);
        for ((offset, role), line) in roles.into_iter().enumerate().zip(ours) {
            line.set_read_timeout(Some(PATIENCE)).expect("a time limit");
            let mut victim = Victim::absent(role.habit, family);
            victim.slot = first + offset;
            victim.has_reaper = head.habit == Habit::Reaps && offset > 0;
            victim.undumpable = role.undumpable;
            victim.line = Some(line);
            if self.is_started(&mut victim, role) {
                let port = u16::try_from(slots[0].port.load(Ordering::Acquire)).ok();
                // A zombie has no open sockets.
                victim.port = port.filter(|port| *port != 0 && role.habit != Habit::Zombie);
                victim.protocol = head.socket;
                self.victims.push(victim);
            }
        }
        // Orphans of a leader that was reaped have a new parent now.
        let family = |victim: &&mut Victim| victim.family == family && victim.exists();
        let all = self.victims.iter_mut().filter(family);
        all.for_each(Victim::read_relations);
        self.gone.drain(..self.gone.len().saturating_sub(40));
    }

    /// Waits until a process that was forked is as its role says, and reads what it is. `false` if
    /// it was to be reaped at once.
    fn is_started(&mut self, victim: &mut Victim, role: &Role) -> bool {
        if role.habit == Habit::ReusesPid {
            victim.user = role.user;
            (victim.name, victim.title) = (role.name.clone(), role.argv0.clone());
            return true;
        }
        let mut line = victim.line.as_ref().expect("it has a socket");
        let ready = line.read_exact(&mut [0]);
        ready.unwrap_or_else(|e| panic!("{:?} is not ready: {e}", role.name.escape_ascii()));
        let slot = &self.slots[victim.slot];
        let pid = slot.pid.load(Ordering::Relaxed);
        if role.habit == Habit::Reaped {
            reap(pid);
            self.gone.push(pid);
            return false;
        }
        if role.stopped {
            signal::kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("our own victim");
        }
        let thread = || slot.thread.load(Ordering::Acquire);
        eventually("a new victim", || match role.habit {
            Habit::Zombie | Habit::LeaderExited => state(pid) == 'Z',
            Habit::Vforks => state(pid) == 'D',
            Habit::Threads => thread() != 0,
            _ => !role.stopped || state(pid) == 'T',
        });
        let has_leader = role.habit != Habit::LeaderExited;
        victim.read(pid, if has_leader { pid } else { thread() });
        victim.thread = thread();
        victim.stopped = role.stopped;
        let is_taken = |cgroup: &Cgroup| self.cgroups.take(*cgroup, pid, role.habit);
        victim.cgroup = role.cgroup.filter(is_taken);
        true
    }

    /// Kills and reaps the rest of a family, and starts it again.
    fn replace(&mut self, family: usize) {
        let of_family = |victim: &mut Victim| victim.family == family;
        let members: Vec<_> = self.victims.extract_if(.., of_family).collect();
        self.replaced += u64::try_from(members.len()).expect("a count");
        // Kill the reaper first: the harness inherits the children that it has not reaped.
        if let Some(reaper) = members.iter().find(|victim| victim.habit == Habit::Reaps) {
            end(reaper.pid);
            self.gone.push(reaper.pid);
        }
        let slot = |victim: &Victim| &self.slots[victim.slot];
        // Members that the reaper has recorded but not reaped.
        let is_recorded = |victim: &&Victim| slot(victim).status.load(Ordering::Acquire) != 0;
        let (recorded, rest): (Vec<_>, Vec<_>) = members.iter().partition(is_recorded);
        let rest = rest.iter().filter(|victim| victim.habit != Habit::Reaps);
        let pids = rest.map(|victim| slot(victim).pid.load(Ordering::Acquire));
        let pids: Vec<i32> = pids.filter(|&pid| pid != 0).collect();
        for &pid in &pids {
            // It is not reaped, so its PID is not reused.
            signal::kill(Pid::from_raw(pid), Signal::SIGKILL).expect("our own victim");
        }
        pids.iter().for_each(|pid| reap(*pid));
        self.gone.extend(pids);
        let forked = members
            .iter()
            .map(|victim| slot(victim).forked.swap(0, Ordering::AcqRel));
        forked.filter(|&pid| pid != 0).for_each(end);
        recorded.iter().for_each(|victim| _ = is_reaped(victim.pid));
        self.to_reap.retain(|&pid| !is_reaped(pid));
        self.spawn(family);
        self.victims.sort_by_key(|victim| victim.slot);
    }

    /// Remembers a run of sigsend to be reaped after its parent is dead.
    pub fn reap_later(&mut self, pid: i32) {
        self.to_reap.push(pid);
    }

    /// What each victim, in order, has received since the last call. Waits until all are at rest.
    pub fn observe(&self) -> Vec<Observation> {
        let observe = |victim: &Victim| victim.observe(&self.slots[victim.slot]);
        self.victims.iter().map(observe).collect()
    }

    /// Replaces the families in which the state of a member has changed.
    pub fn replace_changed(&mut self, observations: &[Observation]) {
        let changed = |(victim, observation): (&Victim, &Observation)| {
            let is_changed = observation.is_dead()
                || observation.moved
                || observation.stopped != victim.stopped
                || observation.unanswered;
            is_changed.then_some(victim.family)
        };
        let both = self.victims.iter().zip(observations);
        let mut families: Vec<usize> = both.filter_map(changed).collect();
        families.dedup();
        families.into_iter().for_each(|family| self.replace(family));
    }

    /// Replaces all families: after a failure their state is unknown.
    pub fn replace_all(&mut self) {
        (0..FAMILIES.len()).for_each(|family| self.replace(family));
    }

    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    pub fn home(&self) -> i32 {
        self.victims[1].group
    }

    /// The launcher, and the socket to it.
    pub fn launcher(&self) -> (&Victim, &UnixStream) {
        let launches = |victim: &&Victim| victim.habit == Habit::Launches;
        let victim = self.victims.iter().find(launches).expect("among the roles");
        (victim, victim.line.as_ref().expect("it answers"))
    }

    pub fn family(&self, family: usize) -> Vec<i32> {
        let is_member = |victim: &&Victim| victim.family == family && victim.exists();
        let members = self.victims.iter().filter(is_member);
        members.map(|victim| victim.pid).collect()
    }
}

impl Victim {
    /// A victim that does not exist yet.
    fn absent(habit: Habit, family: usize) -> Self {
        Self {
            habit,
            family,
            ..Self::default()
        }
    }

    /// Reads it through a live thread: a dead one has no arguments and no executable.
    fn read(&mut self, pid: i32, living: i32) {
        let task = format!("/proc/{pid}/task/{living}");
        let cmdline = fs::read(format!("{task}/cmdline")).unwrap_or_default();
        let arguments: Vec<&[u8]> = cmdline.split(|&b| b == 0).collect();
        self.title = basename(arguments[0]);
        // A title that is overwritten has zeros at its end.
        self.command_line = arguments.join(&b' ').trim_ascii_end().to_vec();
        let exe = fs::read_link(format!("{task}/exe")).unwrap_or_default();
        self.program = basename(exe.as_os_str().as_encoded_bytes());
        self.name = fs::read(format!("/proc/{pid}/comm")).expect("a victim's name");
        self.name.pop();
        let pidfd = File::from(pidfd(pid).expect("pidfd_open"));
        self.inode = pidfd.metadata().expect("a pidfd's inode").ino();
        let users = status_field(pid, "Uid");
        let user = users.split_whitespace().next().expect("a user");
        self.user = user.parse().expect("a user");
        self.caught = u64::from_str_radix(&status_field(pid, "SigCgt"), 16).unwrap_or(0);
        self.status = File::open(format!("{task}/status")).ok();
        self.pid = pid;
        self.read_relations();
    }

    fn read_relations(&mut self) {
        [self.parent, self.group, self.session] = [4, 5, 6].map(|n| stat_field(self.pid, n));
    }
}

/// The number of slots before those of a family.
fn first_slot(family: usize) -> usize {
    let before = FAMILIES[..family].iter().map(|role| role.all().len());
    1 + before.sum::<usize>()
}

/// The time limit for everything that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

fn field<'a>(status: &'a str, label: &str) -> Option<&'a str> {
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(label)?.strip_prefix(':'));
    value.map(str::trim)
}

/// The wait status of a zombie, from /proc/PID/stat.
pub fn zombie_status(pid: i32) -> Option<i32> {
    let stat = stat(pid);
    let status = stat.rsplit(' ').next()?.parse().ok();
    status.filter(|_| stat.starts_with('Z'))
}

fn basename(path: &[u8]) -> Vec<u8> {
    let last = path.rsplit(|&b| b == b'/').next();
    last.unwrap_or_default().to_vec()
}

/// Reaps a process if it is a dead child of the harness. Returns whether it was reaped.
fn is_reaped(pid: i32) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
    match waitid(Id::Pid(Pid::from_raw(pid)), flags) {
        Ok(status) => status != WaitStatus::StillAlive,
        // nix returns EINVAL if the process was killed by a realtime signal.
        Err(error) => error == Errno::EINVAL,
    }
}

/// Kills and reaps a child of the harness, or a process that the harness is about to inherit.
fn end(pid: i32) {
    signal::kill(Pid::from_raw(pid), Signal::SIGKILL).expect("unreaped");
    reap(pid);
}

fn reap(pid: i32) {
    readable(&pidfd(pid).expect("unreaped"), Instant::now() + PATIENCE);
    // Its parent may not have exited yet.
    eventually("a killed process", || is_reaped(pid));
}
