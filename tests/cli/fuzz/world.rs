//! The private PID namespace: families of victims, what is true of each before a command line is run, and what each has
//! received afterwards. The dead are replaced a family at a time; everyone else lives from line to line.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, ExitStatus};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::cast::{FAMILIES, Habit};
use super::victim::{self, RECEIPT, Receipt, SIGNALS, Slot};

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

/// What a victim has received while a command line ran.
#[derive(Debug, Default)]
pub struct Account {
    /// By signal; standard signals that were blocked have merged.
    pub counts: Vec<u32>,
    pub receipts: Vec<Receipt>,
    /// The signal that ended it.
    pub killed: Option<i32>,
    pub exited: Option<i32>,
    pub stopped: bool,
}

impl Account {
    /// How many signals are known to have come.
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum::<u64>() + u64::from(self.killed.is_some())
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
        let init = Victim::read(1, Habit::Init, 0, usize::MAX);
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
            let mut victim = Victim::read(pid, role.habit, slot, family);
            victim.thread = self.slots[slot].thread.load(Ordering::Acquire);
            let of = if role.habit == Habit::Headless { victim.thread } else { pid };
            victim.status = File::open(format!("/proc/{pid}/task/{of}/status")).ok();
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
            let undrained = account.receipts.is_empty() && matches!(victim.habit, Habit::Records { .. } | Habit::Dies);
            let spoilt =
                dead || account.stopped != victim.stopped || undrained && account.counts.iter().any(|&n| n > 0);
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
    fn read(pid: i32, habit: Habit, slot: usize, family: usize) -> Self {
        let status = fs::read(format!("/proc/{pid}/status")).expect("a victim's status");
        let status = String::from_utf8_lossy(&status);
        let field = |label| field(&status, label).unwrap_or_default().to_owned();
        let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let argv0 = cmdline.split(|&b| b == 0).next().unwrap_or_default();
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let mut name = fs::read(format!("/proc/{pid}/comm")).expect("a victim's name");
        name.pop();
        let fd = victim::pidfd(pid).expect("pidfd_open");
        let inode = File::from(fd).metadata().expect("a pidfd's inode").ino();
        let mut victim = Self {
            pid,
            name,
            habit,
            slot,
            family,
            inode,
            title: basename(argv0),
            program: basename(exe.as_os_str().as_encoded_bytes()),
            user: field("Uid").split_whitespace().next().and_then(|n| n.parse().ok()).expect("a user"),
            caught: u64::from_str_radix(&field("SigCgt"), 16).unwrap_or(0),
            status: None,
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

    fn account(&self, slot: &Slot) -> Account {
        let mut account = Account { counts: vec![0; SIGNALS], ..Account::default() };
        if self.is_zombie() {
            return account;
        }
        let mut pending = 0;
        if self.habit != Habit::Init {
            until(|| {
                let mut text = [0; 4096];
                let text =
                    self.status.as_ref().and_then(|status| status.read_at(&mut text, 0).ok().map(|n| &text[..n]));
                let text = String::from_utf8_lossy(text.unwrap_or_default());
                let mask = |label| field(&text, label).and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
                pending = mask("SigPnd") | mask("ShdPnd");
                match field(&text, "State").and_then(|state| state.chars().next()) {
                    // Asleep, and nothing that could wake it: every signal sent so far is dealt with.
                    Some('S') => pending & !mask("SigBlk") == 0,
                    Some('T') => {
                        account.stopped = true;
                        pending & 1 << 8 == 0
                    }
                    // Dead, or the second thread has gone with its file.
                    Some('Z' | 'X') | None => {
                        let stat = stat(self.pid);
                        let code = stat.rsplit(' ').next().and_then(|code| code.parse::<i32>().ok()).unwrap_or(-1);
                        let ended = stat.starts_with('Z');
                        let status = ExitStatus::from_raw(code);
                        account.killed = status.signal().filter(|_| ended);
                        account.exited = status.code().filter(|_| ended);
                        account.stopped = false;
                        ended
                    }
                    _ => false,
                }
            });
        }
        for (index, count) in account.counts.iter_mut().enumerate().skip(1) {
            *count = slot.counts[index].swap(0, Ordering::Relaxed) + u32::from(pending >> (index - 1) & 1 == 1);
        }
        if pending != 0 && account.killed.is_none() && account.exited.is_none() && !account.stopped {
            account.receipts = self.drain();
            account.counts.fill(0);
            // A code above zero is the kernel's own (a child that ended, a group orphaned).
            for receipt in account.receipts.iter().filter(|receipt| receipt[1] <= 0) {
                account.counts[usize::try_from(receipt[0]).expect("a signal")] += 1;
            }
        }
        account
    }

    /// Takes over everything that is pending.
    fn drain(&self) -> Vec<Receipt> {
        let mut line = self.line.as_ref().expect("a victim that blocks signals has a socket");
        line.write_all(b"?").expect("a victim at rest");
        let next = || {
            let mut bytes = [0; RECEIPT];
            line.read_exact(&mut bytes).expect("a victim that answers");
            let number = |n: usize| i32::from_ne_bytes(bytes[n * 4..n * 4 + 4].try_into().expect("four bytes"));
            Some([number(0), number(1), number(2), number(3)]).filter(|receipt| receipt[0] != 0)
        };
        std::iter::from_fn(next).collect()
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
