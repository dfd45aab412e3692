//! The private PID namespace: families of victims, what is true of each before a command line is run, and what each has
//! received afterwards. The dead are replaced a family at a time; everyone else lives from line to line.

mod account;

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::cast::{FAMILIES, Habit};
use super::victim::{self, Slot};
pub use account::Account;

/// What is true of a victim before a command line is run.
#[derive(Debug)]
pub struct Victim {
    pub pid: i32,
    pub group: i32,
    pub session: i32,
    pub parent: i32,
    /// The second thread of those that have one.
    pub thread: i32,
    pub user: u32,
    pub name: Vec<u8>,
    /// The basename of argv[0].
    pub title: Vec<u8>,
    /// The basename of the executable.
    pub program: Vec<u8>,
    pub inode: u64,
    pub caught: u64,
    pub habit: Habit,
    pub stopped: bool,
    slot: usize,
    family: usize,
    status: Option<File>,
    line: Option<UnixStream>,
}

impl Victim {
    pub fn is_zombie(&self) -> bool {
        self.habit == Habit::Leaves
    }

    pub fn describe(&self) -> String {
        format!(
            "{:?} of user {}, group {}, parent {}, stopped {}",
            self.habit, self.user, self.group, self.parent, self.stopped
        )
    }
}

/// All victims, in the order of their slots; slot 0 is the harness, which is process 1.
#[derive(Debug)]
pub struct World {
    pub victims: Vec<Victim>,
    /// Numbers that nobody has any more.
    pub gone: Vec<i32>,
    replaced: u64,
    slots: &'static [Slot],
}

impl World {
    pub fn new() -> Self {
        assert_eq!(process::id(), 1, "the harness must be the first process of its namespace");
        let count: usize = 1 + FAMILIES.iter().map(|role| role.all().len()).sum::<usize>();
        let slots = victim::board(count);
        victim::settle(&slots[0]);
        slots[0].pid.store(1, Ordering::Relaxed);
        // Its first thread is the one that handles signals.
        let init = Victim::read(1, 1, Habit::Init);
        let mut world = Self { victims: vec![init], gone: Vec::new(), replaced: 0, slots };
        for family in 0..FAMILIES.len() {
            world.spawn(family);
        }
        world
    }

    fn spawn(&mut self, family: usize) {
        let first: usize = 1 + FAMILIES[..family].iter().map(|role| role.all().len()).sum::<usize>();
        let roles = FAMILIES[family].all();
        let pairs = roles.iter().map(|_| UnixStream::pair().expect("a socket pair"));
        let (ours, theirs): (Vec<_>, Vec<_>) = pairs.unzip();
        victim::fork(&FAMILIES[family], &self.slots[first..], &theirs);
        drop(theirs);
        for (offset, (role, mut line)) in roles.into_iter().zip(ours).enumerate() {
            line.set_read_timeout(Some(PATIENCE)).expect("a time limit");
            line.read_exact(&mut [0]).unwrap_or_else(|e| panic!("{:?} is not ready: {e}", role.name.escape_ascii()));
            let slot = first + offset;
            let pid = self.slots[slot].pid.load(Ordering::Relaxed);
            match role.habit {
                Habit::Vanishes => {
                    reap(pid);
                    self.gone.push(pid);
                    continue;
                }
                Habit::Leaves => wait(pid, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT),
                Habit::Headless => until(|| stat(pid).starts_with('Z')),
                Habit::Threads => until(|| self.slots[slot].thread.load(Ordering::Acquire) != 0),
                _ if role.stopped => {
                    signal::kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("our own victim");
                    until(|| stat(pid).starts_with('T'));
                }
                _ => {}
            }
            let thread = self.slots[slot].thread.load(Ordering::Acquire);
            let living = if role.habit == Habit::Headless { thread } else { pid };
            let mut victim = Victim::read(pid, living, role.habit);
            (victim.slot, victim.family, victim.thread) = (slot, family, thread);
            victim.line = Some(line);
            victim.stopped = role.stopped;
            self.victims.push(victim);
        }
        // Parents may have moved on (the leader that vanished), so ask only when all is quiet.
        for victim in self.victims.iter_mut().filter(|victim| victim.family == family) {
            victim.read_relations();
        }
        self.gone.drain(..self.gone.len().saturating_sub(40));
    }

    /// Ends a family, dead or alive, and makes it anew.
    fn replace(&mut self, family: usize) {
        let members = self.victims.extract_if(.., |victim| victim.family == family).collect::<Vec<_>>();
        self.replaced += u64::try_from(members.len()).expect("a count");
        for victim in &members {
            // Unreaped, so the number is still the victim's.
            signal::kill(Pid::from_raw(victim.pid), Signal::SIGKILL).expect("our own victim");
        }
        for victim in &members {
            reap(victim.pid);
            self.gone.push(victim.pid);
        }
        self.spawn(family);
        self.victims.sort_by_key(|victim| victim.slot);
    }

    /// What each victim, in order, has received since the last time, once all are at rest.
    pub fn account(&self) -> Vec<Account> {
        self.victims.iter().map(|victim| victim.account(&self.slots[victim.slot])).collect()
    }

    /// Replaces the families in which someone is not as before.
    pub fn mend(&mut self, accounts: &[Account]) {
        let changed = |(victim, account): (&Victim, &Account)| {
            let dead = account.killed.is_some() || account.exited.is_some();
            let spoilt = dead || account.stopped != victim.stopped || account.unanswered;
            spoilt.then_some(victim.family)
        };
        let mut families: Vec<usize> = self.victims.iter().zip(accounts).filter_map(changed).collect();
        families.dedup();
        for family in families {
            self.replace(family);
        }
    }

    /// After a failure nothing is known for sure: everyone is made anew.
    pub fn renew(&mut self) {
        for family in 0..FAMILIES.len() {
            self.replace(family);
        }
    }

    /// How many victims had to be made anew.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }

    /// The group of the first family.
    pub fn home(&self) -> i32 {
        self.victims[1].group
    }
}

impl Victim {
    /// Reads it from its living thread: the first one's title and program go with it.
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
            program: basename(exe.as_os_str().as_encoded_bytes()),
            user: field("Uid").split_whitespace().next().and_then(|n| n.parse().ok()).expect("a user"),
            caught: u64::from_str_radix(&field("SigCgt"), 16).unwrap_or(0),
            status: File::open(format!("/proc/{pid}/task/{living}/status")).ok(),
            line: None,
            stopped: false,
            group: 0,
            session: 0,
            parent: 0,
            thread: 0,
        };
        victim.read_relations();
        victim
    }

    fn read_relations(&mut self) {
        let stat = stat(self.pid);
        let mut numbers = stat.split(' ').skip(1).map(|n| n.parse().expect("a number"));
        (self.parent, self.group, self.session) =
            (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    }
}

/// The longest that anything may take which is bound to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks until it is so.
#[track_caller]
fn until(mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < PATIENCE, "a victim does not come to rest");
        thread::yield_now();
    }
}

/// The value of one line of a status file.
fn field<'a>(status: &'a str, label: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(':')).map(str::trim)
}

/// /proc/PID/stat from the state on.
fn stat(pid: i32) -> String {
    let stat = fs::read(format!("/proc/{pid}/stat")).map(|stat| String::from_utf8_lossy(&stat).into_owned());
    stat.ok().as_ref().and_then(|stat| stat.rsplit_once(") ")).map_or_else(String::new, |(_, rest)| rest.trim().into())
}

fn basename(path: &[u8]) -> Vec<u8> {
    path.rsplit(|&b| b == b'/').next().unwrap_or_default().to_vec()
}

fn wait(pid: i32, flags: WaitPidFlag) {
    let fd = victim::pidfd(pid).expect("unreaped");
    let mut polls = [nix::poll::PollFd::new(fd.as_fd(), nix::poll::PollFlags::POLLIN)];
    nix::poll::poll(&mut polls, 20_000_u16).expect("poll");
    match waitid(Id::Pid(Pid::from_raw(pid)), flags | WaitPidFlag::WNOHANG) {
        // EINVAL is nix's word for a death by a realtime signal, for which it has no name.
        Ok(_) | Err(Errno::EINVAL) => {}
        Err(error) => panic!("waiting for {pid}: {error}"),
    }
}

fn reap(pid: i32) {
    wait(pid, WaitPidFlag::WEXITED);
}
