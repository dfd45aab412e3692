//! The private PID namespace: families of victims, the state of each before a command line is run,
//! and what each has received afterwards. A family in which a member died, moved or was stopped is
//! replaced. The others are kept for the next line.

mod cgroups;
mod observation;

use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, gettid};

use super::reading::Protocol;
use super::roles::{Cgroup, FAMILIES, Habit, Role, Socket};
use super::victim::{self, Slot};
use crate::support::keep_pids_small;
pub use cgroups::Cgroups;
pub use observation::Observation;

/// The state of a victim before a command line is run.
#[derive(Debug)]
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
#[derive(Debug)]
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
        let count: usize = 1 + FAMILIES.iter().map(|role| role.all().len()).sum::<usize>();
        let slots = victim::map_slots(count);
        victim::prepare_harness(&slots[0]);
        keep_pids_small();
        slots[0].pid.store(1, Ordering::Relaxed);
        // Its first thread is the one that handles signals, this one is the second.
        let init = Victim {
            thread: gettid().as_raw(),
            ..Victim::read(1, 1, Habit::Init)
        };
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
        let first: usize = 1 + FAMILIES[..family]
            .iter()
            .map(|role| role.all().len())
            .sum::<usize>();
        let roles = FAMILIES[family].all();
        let pairs = roles
            .iter()
            .map(|_| UnixStream::pair().expect("a socket pair"));
        let (ours, theirs): (Vec<_>, Vec<_>) = pairs.unzip();
        self.slots[first..first + roles.len()]
            .iter()
            .for_each(Slot::clear);
        victim::fork_head(&FAMILIES[family], &self.slots[first..], &theirs);
        drop(theirs);
        for (offset, (role, mut line)) in roles.into_iter().zip(ours).enumerate() {
            line.set_read_timeout(Some(PATIENCE)).expect("a time limit");
            if role.habit == Habit::ReusesPid {
                self.victims
                    .push(Victim::absent(role, first + offset, family, line));
                continue;
            }
            line.read_exact(&mut [0])
                .unwrap_or_else(|e| panic!("{:?} is not ready: {e}", role.name.escape_ascii()));
            let slot = first + offset;
            let pid = self.slots[slot].pid.load(Ordering::Relaxed);
            match role.habit {
                Habit::Reaped => {
                    reap(pid);
                    self.gone.push(pid);
                    continue;
                }
                Habit::Zombie | Habit::LeaderExited => {
                    until("a new victim", || stat(pid).starts_with('Z'));
                }
                Habit::Vforks => until("a new victim", || stat(pid).starts_with('D')),
                Habit::Threads => until("a new victim", || {
                    self.slots[slot].thread.load(Ordering::Acquire) != 0
                }),
                _ if role.stopped => {
                    signal::kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("our own victim");
                    until("a new victim", || stat(pid).starts_with('T'));
                }
                _ => {}
            }
            let thread = self.slots[slot].thread.load(Ordering::Acquire);
            let living = if role.habit == Habit::LeaderExited {
                thread
            } else {
                pid
            };
            let mut victim = Victim::read(pid, living, role.habit);
            (victim.slot, victim.family, victim.thread) = (slot, family, thread);
            victim.line = Some(line);
            victim.stopped = role.stopped;
            victim.undumpable = role.undumpable;
            victim.cgroup = role
                .cgroup
                .filter(|&cgroup| self.cgroups.take(cgroup, pid, role.habit));
            // A zombie has no open sockets.
            let port = self.slots[first].port.load(Ordering::Acquire);
            victim.port = u16::try_from(port)
                .ok()
                .filter(|&port| port != 0 && role.habit != Habit::Zombie);
            victim.protocol = FAMILIES[family].socket.map(|socket| match socket {
                Socket::Tcp => Protocol::Tcp,
                Socket::Udp => Protocol::Udp,
            });
            victim.has_reaper = FAMILIES[family].habit == Habit::Reaps && offset > 0;
            self.victims.push(victim);
        }
        // Orphans of a leader that was reaped have a new parent now.
        for victim in self
            .victims
            .iter_mut()
            .filter(|victim| victim.family == family && victim.exists())
        {
            victim.read_relations();
        }
        self.gone.drain(..self.gone.len().saturating_sub(40));
    }

    /// Kills and reaps the rest of a family, and starts it again.
    fn replace(&mut self, family: usize) {
        let members = self
            .victims
            .extract_if(.., |victim| victim.family == family)
            .collect::<Vec<_>>();
        self.replaced += u64::try_from(members.len()).expect("a count");
        // Kill the reaper first: the harness inherits the children that it has not reaped.
        if let Some(reaper) = members.iter().find(|victim| victim.habit == Habit::Reaps) {
            end(reaper.pid);
            self.gone.push(reaper.pid);
        }
        let slot = |victim: &Victim| &self.slots[victim.slot];
        let rest = members.iter().filter(|victim| victim.habit != Habit::Reaps);
        let rest = rest.filter(|victim| slot(victim).status.load(Ordering::Acquire) == 0);
        let pids: Vec<i32> = rest
            .map(|victim| slot(victim).pid.load(Ordering::Acquire))
            .filter(|&pid| pid != 0)
            .collect();
        for &pid in &pids {
            // It is not reaped, so its PID is not reused.
            signal::kill(Pid::from_raw(pid), Signal::SIGKILL).expect("our own victim");
        }
        for &pid in &pids {
            reap(pid);
            self.gone.push(pid);
        }
        let forked = members
            .iter()
            .map(|victim| slot(victim).forked.swap(0, Ordering::AcqRel));
        forked.filter(|&pid| pid != 0).for_each(end);
        // Members that the reaper has recorded but not reaped.
        let stored = members
            .iter()
            .filter(|victim| slot(victim).status.load(Ordering::Acquire) != 0);
        stored.for_each(|victim| _ = is_reaped(victim.pid));
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
        self.victims
            .iter()
            .map(|victim| victim.observe(&self.slots[victim.slot]))
            .collect()
    }

    /// Replaces the families in which the state of a member has changed.
    pub fn replace_changed(&mut self, observations: &[Observation]) {
        let changed = |(victim, observation): (&Victim, &Observation)| {
            let dead = observation.killed.is_some() || observation.exited.is_some();
            let changed = dead
                || observation.moved
                || observation.stopped != victim.stopped
                || observation.unanswered;
            changed.then_some(victim.family)
        };
        let mut families: Vec<usize> = self
            .victims
            .iter()
            .zip(observations)
            .filter_map(changed)
            .collect();
        families.dedup();
        for family in families {
            self.replace(family);
        }
    }

    /// Replaces all families: after a failure their state is unknown.
    pub fn replace_all(&mut self) {
        for family in 0..FAMILIES.len() {
            self.replace(family);
        }
    }

    /// The number of victims that were replaced.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// The group of the first family.
    pub fn home(&self) -> i32 {
        self.victims[1].group
    }

    /// The launcher, and the socket to it.
    pub fn launcher(&self) -> (&Victim, &UnixStream) {
        let launches = |victim: &&Victim| victim.habit == Habit::Launches;
        let victim = self.victims.iter().find(launches).expect("among the roles");
        (victim, victim.line.as_ref().expect("it answers"))
    }

    /// The PIDs of a family.
    pub fn family(&self, family: usize) -> Vec<i32> {
        let members = self
            .victims
            .iter()
            .filter(|victim| victim.family == family && victim.exists());
        members.map(|victim| victim.pid).collect()
    }
}

impl Victim {
    /// A victim that may be created while a command line runs.
    fn absent(role: &Role, slot: usize, family: usize, line: UnixStream) -> Self {
        Self {
            pid: 0,
            group: 0,
            session: 0,
            parent: 0,
            thread: 0,
            port: None,
            protocol: None,
            cgroup: None,
            user: role.user,
            name: role.name.to_vec(),
            title: role.argv0.to_vec(),
            command_line: Vec::new(),
            program: Vec::new(),
            inode: 0,
            caught: 0,
            habit: role.habit,
            stopped: false,
            undumpable: role.undumpable,
            has_reaper: true,
            family,
            slot,
            status: None,
            line: Some(line),
        }
    }

    /// Reads it through a live thread: a dead one has no arguments and no executable.
    fn read(pid: i32, living: i32, habit: Habit) -> Self {
        let status = fs::read(format!("/proc/{pid}/status")).expect("a victim's status");
        let status = String::from_utf8_lossy(&status);
        let field = |label| field(&status, label).unwrap_or_default().to_owned();
        let cmdline = fs::read(format!("/proc/{pid}/task/{living}/cmdline")).unwrap_or_default();
        let argv0 = cmdline.split(|&b| b == 0).next().unwrap_or_default();
        let exe = fs::read_link(format!("/proc/{pid}/task/{living}/exe")).unwrap_or_default();
        let mut name = fs::read(format!("/proc/{pid}/comm")).expect("a victim's name");
        name.pop();
        let fd = victim::pidfd(pid).expect("pidfd_open");
        let inode = File::from(fd).metadata().expect("a pidfd's inode").ino();
        let mut victim = Self {
            pid,
            name,
            habit,
            slot: 0,
            family: usize::MAX,
            inode,
            title: basename(argv0),
            command_line: joined(&cmdline),
            program: basename(exe.as_os_str().as_encoded_bytes()),
            user: field("Uid")
                .split_whitespace()
                .next()
                .and_then(|n| n.parse().ok())
                .expect("a user"),
            caught: u64::from_str_radix(&field("SigCgt"), 16).unwrap_or(0),
            status: File::open(format!("/proc/{pid}/task/{living}/status")).ok(),
            line: None,
            stopped: false,
            undumpable: false,
            has_reaper: false,
            group: 0,
            session: 0,
            parent: 0,
            thread: 0,
            port: None,
            protocol: None,
            cgroup: None,
        };
        victim.read_relations();
        victim
    }

    fn read_relations(&mut self) {
        let stat = stat(self.pid);
        let mut numbers = stat
            .split(' ')
            .skip(1)
            .map(|n| n.parse().expect("a number"));
        (self.parent, self.group, self.session) = (
            numbers.next().unwrap_or(0),
            numbers.next().unwrap_or(0),
            numbers.next().unwrap_or(0),
        );
    }
}

/// The time limit for everything that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polling interval.
const POLL_INTERVAL: Duration = Duration::from_micros(50);

/// Polls until the condition holds; panics after [`PATIENCE`].
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "timed out waiting for {what}");
        thread::sleep(POLL_INTERVAL);
    }
}

/// The value of one line of a status file.
fn field<'a>(status: &'a str, label: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(label)?.strip_prefix(':'))
        .map(str::trim)
}

/// /proc/PID/stat from the state field on; empty if there is no such process.
pub fn stat(pid: i32) -> String {
    let stat = fs::read(format!("/proc/{pid}/stat"))
        .map(|stat| String::from_utf8_lossy(&stat).into_owned());
    stat.ok()
        .as_ref()
        .and_then(|stat| stat.rsplit_once(") "))
        .map_or_else(String::new, |(_, rest)| rest.trim().into())
}

/// The arguments with blanks between; a title that is overwritten has zeros at its end.
fn joined(cmdline: &[u8]) -> Vec<u8> {
    let arguments = cmdline.split(|&b| b == 0).collect::<Vec<_>>();
    arguments.join(&b' ').trim_ascii_end().to_vec()
}

fn basename(path: &[u8]) -> Vec<u8> {
    path.rsplit(|&b| b == b'/')
        .next()
        .unwrap_or_default()
        .to_vec()
}

/// Reaps a process if it is a dead child of the harness. Returns whether it was reaped.
fn is_reaped(pid: i32) -> bool {
    match waitid(
        Id::Pid(Pid::from_raw(pid)),
        WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG,
    ) {
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
    let fd = victim::pidfd(pid).expect("unreaped");
    let mut polls = [nix::poll::PollFd::new(
        fd.as_fd(),
        nix::poll::PollFlags::POLLIN,
    )];
    nix::poll::poll(&mut polls, 20_000_u16).expect("poll");
    // Its parent may not have exited yet.
    until("a killed process", || is_reaped(pid));
}
