//! The victims of each world, grouped into families, and how each of them handles signals.

/// How a victim handles signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Blocks all signals and reports the pending ones when asked. Has handlers for the signals of
    /// the mask (bit `n - 1`).
    Records { caught: u64 },
    /// Handlers for all signals that can be caught. Only 32 and 33 are blocked, which libc uses.
    Counts,
    /// Default actions, nothing blocked.
    Dies,
    /// Everything ignored, nothing blocked.
    Ignores,
    /// Exits as soon as its children exist, and stays a zombie.
    Zombie,
    /// Like `Zombie`, but is reaped at once: its group continues without a leader.
    Reaped,
    /// Records, and has a second thread.
    Threads,
    /// Records in a second thread; the first one has exited.
    LeaderExited,
    /// Counts, and its handlers for HUP, USR1 and TERM move it to a group or session of its own.
    Moves(Place),
    /// Counts, and its handler for TERM forks a child that blocks all signals and exits soon; then
    /// it exits itself.
    Forks,
    /// Counts, and its first CONT, which may be the kernel's, makes it fork a process that blocks
    /// all signals, in a session of its own.
    Escapes,
    /// Has handlers like `Counts`, but is blocked in vfork(2) and takes no signal as long as its only
    /// child lives.
    Vforks,
    /// Records, and starts sigsend, so that it is the parent.
    Launches,
    /// Records, is the subreaper of its descendants and reaps them at once. Starts a process with
    /// the PID of a dead group leader among them as soon as the PID is free.
    Reaps,
    /// The process that `Reaps` starts with a reused PID: records, in a group of its own.
    ReusesPid,
    /// Process 1 of the namespace, which is the harness itself: counts, and cannot be killed.
    Init,
}

impl Habit {
    /// Whether it blocks all signals and reports the pending ones.
    pub fn reports(self) -> bool {
        matches!(
            self,
            Self::Records { .. }
                | Self::Threads
                | Self::LeaderExited
                | Self::Launches
                | Self::Reaps
                | Self::ReusesPid
        )
    }

    /// Whether it has handlers that count all signals.
    pub fn counts(self) -> bool {
        matches!(
            self,
            Self::Counts | Self::Moves(_) | Self::Forks | Self::Escapes | Self::Vforks | Self::Init
        )
    }
}

/// The signals whose handler makes a victim of the habit `Moves` move.
pub const MOVING: [i32; 3] = [1, 10, 15];

/// The process group of a victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The parent's group.
    Inherited,
    /// A group of its own.
    Group,
    /// A session of its own.
    Session,
    /// The group of the session's leader.
    Leader,
}

/// A socket of a victim, inherited by its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    Tcp,
    Udp,
}

/// The control group of a victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cgroup {
    Upper,
    /// Below the other one.
    Lower,
}

/// The description of a victim and its children.
#[derive(Debug)]
pub struct Role {
    pub name: &'static [u8],
    pub argv0: &'static [u8],
    pub habit: Habit,
    pub place: Place,
    pub user: u32,
    pub stopped: bool,
    /// Its user may not ptrace(2) it, so that hidepid hides it.
    pub undumpable: bool,
    pub socket: Option<Socket>,
    pub cgroup: Option<Cgroup>,
    pub children: &'static [Role],
}

impl Role {
    pub const fn new(name: &'static [u8], habit: Habit) -> Self {
        Self {
            name,
            argv0: name,
            habit,
            place: Place::Inherited,
            user: 0,
            stopped: false,
            undumpable: false,
            socket: None,
            cgroup: None,
            children: &[],
        }
    }

    pub const fn titled(self, argv0: &'static [u8]) -> Self {
        Self { argv0, ..self }
    }

    pub const fn owned(self, user: u32) -> Self {
        Self { user, ..self }
    }

    pub const fn placed(self, place: Place) -> Self {
        Self { place, ..self }
    }

    pub const fn stopped(self) -> Self {
        Self {
            stopped: true,
            ..self
        }
    }

    pub const fn undumpable(self) -> Self {
        Self {
            undumpable: true,
            ..self
        }
    }

    pub const fn serving(self, socket: Socket) -> Self {
        Self {
            socket: Some(socket),
            ..self
        }
    }

    pub const fn in_cgroup(self, cgroup: Cgroup) -> Self {
        Self {
            cgroup: Some(cgroup),
            ..self
        }
    }

    pub const fn with(self, children: &'static [Role]) -> Self {
        Self { children, ..self }
    }

    /// The role and its descendants, parents first: the order of the slots.
    pub fn all(&'static self) -> Vec<&'static Role> {
        let mut roles = vec![self];
        roles.extend(self.children.iter().flat_map(Role::all));
        roles
    }
}

/// Two users that are not root.
pub const ANNA: u32 = 1001;
pub const BERT: u32 = 1002;

const BLOCKS_ALL: Habit = Habit::Records { caught: 0 };
const CATCHES_SOME: Habit = Habit::Records {
    caught: 1 | 1 << 1 | 1 << 9 | 1 << 11 | 1 << 14 | 1 << 34,
};

const fn group(name: &'static [u8], habit: Habit) -> Role {
    Role::new(name, habit).placed(Place::Group)
}

/// The families. sigsend is often started in the group of the first.
pub const FAMILIES: &[Role] = &[
    group(b"home", BLOCKS_ALL).with(&[
        Role::new(b"housemate", Habit::Counts),
        Role::new(b"lodger", Habit::Dies),
    ]),
    group(b"chief", CATCHES_SOME).with(&[
        Role::new(b"member", Habit::Dies),
        Role::new(b"guest", BLOCKS_ALL).owned(ANNA),
    ]),
    group(b"vanished", Habit::Reaped).with(&[
        Role::new(b"heir", CATCHES_SOME),
        Role::new(b"heir", Habit::Dies),
    ]),
    group(b"ghost", Habit::Zombie).with(&[Role::new(b"haunted", BLOCKS_ALL)]),
    group(b"zombie", Habit::Zombie),
    // Parents that never reap.
    group(b"hoarder", CATCHES_SOME).with(&[
        Role::new(b"hoarded", Habit::Zombie),
        Role::new(b"hoarded", Habit::Dies),
    ]),
    group(b"service", CATCHES_SOME).with(&[Role::new(b"service", Habit::Zombie)]),
    group(b"leaver", BLOCKS_ALL).with(&[
        Role::new(b"leaver", Habit::Moves(Place::Session)),
        Role::new(b"leaver", Habit::Moves(Place::Group)),
        Role::new(b"left", CATCHES_SOME).placed(Place::Group),
    ]),
    group(b"annas-move", Habit::Dies).owned(ANNA).with(&[
        Role::new(b"annas-move", Habit::Moves(Place::Session)).owned(ANNA),
        Role::new(b"annas-move", BLOCKS_ALL).owned(BERT),
    ]),
    group(b"forker", Habit::Forks).with(&[
        Role::new(b"forker", Habit::Forks),
        Role::new(b"forker", Habit::Dies),
    ]),
    group(b"server", CATCHES_SOME).serving(Socket::Tcp).with(&[
        Role::new(b"worker", Habit::Dies),
        Role::new(b"worker", BLOCKS_ALL).owned(ANNA),
        Role::new(b"worker", Habit::Zombie),
    ]),
    group(b"annas-port", BLOCKS_ALL)
        .owned(ANNA)
        .serving(Socket::Udp),
    group(b"caged", CATCHES_SOME)
        .in_cgroup(Cgroup::Upper)
        .with(&[
            Role::new(b"caged", Habit::Dies).in_cgroup(Cgroup::Lower),
            Role::new(b"caged", Habit::Moves(Place::Session)).in_cgroup(Cgroup::Upper),
            Role::new(b"caged", Habit::Zombie).in_cgroup(Cgroup::Lower),
            Role::new(b"uncaged", BLOCKS_ALL),
        ]),
    group(b"terminal", BLOCKS_ALL).with(&[group(b"shell", Habit::Launches).with(&[
        Role::new(b"command", Habit::Dies),
        Role::new(b"command", CATCHES_SOME),
    ])]),
    group(b"subreaper", Habit::Reaps).with(&[
        group(b"reuser", Habit::ReusesPid),
        group(b"mortal", Habit::Dies).with(&[
            Role::new(b"mortal", Habit::Dies),
            Role::new(b"escaped", Habit::Moves(Place::Session)),
        ]),
    ]),
    Role::new(b"login", BLOCKS_ALL)
        .placed(Place::Session)
        .with(&[
            group(b"job", CATCHES_SOME),
            Role::new(b"sub", Habit::Counts),
        ]),
    group(b"tree", BLOCKS_ALL).with(&[
        group(b"branch", Habit::Dies).with(&[
            Role::new(b"leaf", CATCHES_SOME),
            Role::new(b"leaf", BLOCKS_ALL).stopped(),
        ]),
        Role::new(b"twig", Habit::Counts),
        Role::new(b"bud", Habit::Dies),
    ]),
    // The last member of the leader's group keeps that group from being orphaned.
    Role::new(b"rogue", Habit::Escapes)
        .placed(Place::Session)
        .with(&[group(b"between", Habit::Counts)
            .with(&[Role::new(b"tie", Habit::Counts).placed(Place::Leader)])]),
    group(b"stuck", Habit::Vforks).with(&[Role::new(b"sticky", BLOCKS_ALL).titled(b"stuck")]),
    group(b"agent", BLOCKS_ALL)
        .owned(ANNA)
        .undumpable()
        .with(&[Role::new(b"agent", Habit::Dies).owned(ANNA)]),
    group(b"annas", BLOCKS_ALL)
        .owned(ANNA)
        .with(&[Role::new(b"annas", Habit::Dies).owned(ANNA)]),
    group(b"nginx", BLOCKS_ALL).owned(ANNA),
    group(b"nginx", Habit::Dies).owned(BERT),
    group(b"nginx", CATCHES_SOME).with(&[Role::new(b"nginx", Habit::Dies)]),
    group(b"frozen", BLOCKS_ALL).stopped(),
    group(b"frozen", Habit::Dies).stopped(),
    group(b"stubborn", Habit::Ignores),
    group(b"threads", Habit::Threads),
    group(b"headless", Habit::LeaderExited),
    group(b"my app", BLOCKS_ALL).titled(b"/opt/my app/bin/my app"),
    group(b".hidden", CATCHES_SOME).titled(b"./.hidden"),
    group(b"a-very-long-nam", BLOCKS_ALL).titled(b"/usr/lib/a-very-long-name-indeed"),
    group(b"a-very-long-nam", BLOCKS_ALL).titled(b"a-very-long-name-else"),
    group(b"fifteen-letters", CATCHES_SOME).titled(b"worker: fifteen/letters"),
    group(b"TERM", BLOCKS_ALL),
    group(b"9lives", BLOCKS_ALL),
    group(b"-x", CATCHES_SOME),
    group(b"a:1", BLOCKS_ALL),
    group(b"two\nlines", BLOCKS_ALL),
    group(b"caf\xe9", BLOCKS_ALL),
    group(b"sigsend", BLOCKS_ALL).titled(b"kill"),
    group(b"_init", BLOCKS_ALL).titled(b"nginx"),
];
