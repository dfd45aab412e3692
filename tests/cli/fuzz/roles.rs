//! The victims of each world, grouped into families, and how each of them handles signals. A new
//! scenario is a row of [`TABLE`].

use std::iter::Peekable;
use std::str::Lines;
use std::sync::LazyLock;

use super::reading::Protocol;
use crate::support::words;

/// How a victim handles signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    #[default]
    Init,
}

impl Habit {
    /// Whether it blocks all signals and reports the pending ones.
    pub fn reports(self) -> bool {
        use Habit::{Launches, LeaderExited, Reaps, Records, ReusesPid, Threads};
        let plain = [Threads, LeaderExited, Launches, Reaps, ReusesPid];
        matches!(self, Records { .. }) || plain.contains(&self)
    }

    /// Whether it has handlers that count all signals.
    pub fn counts(self) -> bool {
        use Habit::{Counts, Escapes, Forks, Init, Moves, Vforks};
        matches!(self, Moves(_)) || [Counts, Forks, Escapes, Vforks, Init].contains(&self)
    }
}

/// The signals whose handler makes a victim of the habit `Moves` move.
pub const MOVING: [i32; 3] = [1, 10, 15];

/// The process group of a victim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The parent's group.
    #[default]
    Inherited,
    /// A group of its own.
    Group,
    /// A session of its own.
    Session,
    /// The group of the session's leader.
    Leader,
}

/// The control group of a victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cgroup {
    Upper,
    /// Below the other one.
    Lower,
}

/// The description of a victim and its children.
#[derive(Debug, Default)]
pub struct Role {
    pub name: Vec<u8>,
    pub argv0: Vec<u8>,
    pub habit: Habit,
    pub place: Place,
    pub user: u32,
    pub stopped: bool,
    /// Its user may not ptrace(2) it, so that hidepid hides it.
    pub undumpable: bool,
    /// Its socket, inherited by its children.
    pub socket: Option<Protocol>,
    pub cgroup: Option<Cgroup>,
    pub children: Vec<Role>,
}

impl Role {
    /// A line of the table: the name, the habit, and what else there is to say.
    fn of_line(line: &str) -> Self {
        let words = words(line);
        let name = bytes(&words[0]);
        let mut role = Self {
            argv0: name.clone(),
            name,
            habit: habit(&words[1]),
            ..Self::default()
        };
        for word in &words[2..] {
            match &**word {
                "group" => role.place = Place::Group,
                "session" => role.place = Place::Session,
                "leader" => role.place = Place::Leader,
                "anna" => role.user = ANNA,
                "bert" => role.user = BERT,
                "stopped" => role.stopped = true,
                "undumpable" => role.undumpable = true,
                "tcp" => role.socket = Some(Protocol::Tcp),
                "udp" => role.socket = Some(Protocol::Udp),
                "upper" => role.cgroup = Some(Cgroup::Upper),
                "lower" => role.cgroup = Some(Cgroup::Lower),
                title => role.argv0 = bytes(title.strip_prefix("as=").expect(title)),
            }
        }
        role
    }

    /// The role and its descendants, parents first: the order of the slots.
    pub fn all(&self) -> Vec<&Self> {
        let mut roles = vec![self];
        roles.extend(self.children.iter().flat_map(Self::all));
        roles
    }
}

/// Two users that are not root.
pub const ANNA: u32 = 1001;
pub const BERT: u32 = 1002;

fn habit(word: &str) -> Habit {
    match word {
        "blocks" => Habit::Records { caught: 0 },
        "catches" => Habit::Records {
            caught: 1 | 1 << 1 | 1 << 9 | 1 << 11 | 1 << 14 | 1 << 34,
        },
        "counts" => Habit::Counts,
        "dies" => Habit::Dies,
        "ignores" => Habit::Ignores,
        "zombie" => Habit::Zombie,
        "reaped" => Habit::Reaped,
        "threads" => Habit::Threads,
        "leader-exited" => Habit::LeaderExited,
        "moves-to-a-group" => Habit::Moves(Place::Group),
        "moves-to-a-session" => Habit::Moves(Place::Session),
        "forks" => Habit::Forks,
        "escapes" => Habit::Escapes,
        "vforks" => Habit::Vforks,
        "launches" => Habit::Launches,
        "reaps" => Habit::Reaps,
        "reuses" => Habit::ReusesPid,
        other => panic!("no such habit: {other}"),
    }
}

/// A text of the table: Latin-1, and ␤ is a line end.
fn bytes(text: &str) -> Vec<u8> {
    let byte = |c: char| {
        if c == '␤' {
            b'\n'
        } else {
            u8::try_from(c).expect("Latin-1")
        }
    };
    text.chars().map(byte).collect()
}

/// The families, a process a line and children indented below their parents: the name, the habit,
/// and what else is not as usual. sigsend is often started in the group of the first family.
const TABLE: &str = "
home                  blocks        group
  housemate           counts
  lodger              dies
chief                 catches       group
  member              dies
  guest               blocks        anna
vanished              reaped        group
  heir                catches
  heir                dies
ghost                 zombie        group
  haunted             blocks
zombie                zombie        group
hoarder               catches       group
  hoarded             zombie
  hoarded             dies
service               catches       group
  service             zombie
leaver                blocks        group
  leaver              moves-to-a-session
  leaver              moves-to-a-group
  left                catches       group
annas-move            dies          group anna
  annas-move          moves-to-a-session anna
  annas-move          blocks        bert
forker                forks         group
  forker              forks
  forker              dies
server                catches       group tcp
  worker              dies
  worker              blocks        anna
  worker              zombie
annas-port            blocks        group anna udp
caged                 catches       group upper
  caged               dies          lower
  caged               moves-to-a-session upper
  caged               zombie        lower
  uncaged             blocks
terminal              blocks        group
  shell               launches      group
    command           dies
    command           catches
subreaper             reaps         group
  reuser              reuses        group
  mortal              dies          group
    mortal            dies
    escaped           moves-to-a-session
login                 blocks        session
  job                 catches       group
  sub                 counts
tree                  blocks        group
  branch              dies          group
    leaf              catches
    leaf              blocks        stopped
  twig                counts
  bud                 dies
rogue                 escapes       session
  between             counts        group
    tie               counts        leader
stuck                 vforks        group
  sticky              blocks        as=stuck
agent                 blocks        group anna undumpable
  agent               dies          anna
annas                 blocks        group anna
  annas               dies          anna
nginx                 blocks        group anna
nginx                 dies          group bert
nginx                 catches       group
  nginx               dies
frozen                blocks        group stopped
frozen                dies          group stopped
stubborn              ignores       group
threads               threads       group
headless              leader-exited group
'my app'              blocks        group 'as=/opt/my app/bin/my app'
.hidden               catches       group as=./.hidden
a-very-long-nam       blocks        group as=/usr/lib/a-very-long-name-indeed
a-very-long-nam       blocks        group as=a-very-long-name-else
fifteen-letters       catches       group 'as=worker: fifteen/letters'
TERM                  blocks        group
9lives                blocks        group
-x                    catches       group
a:1                   blocks        group
two␤lines             blocks        group
café                  blocks        group
sigsend               blocks        group as=kill
_init                 blocks        group as=nginx
";

/// The families of [`TABLE`].
pub static FAMILIES: LazyLock<Vec<Role>> =
    LazyLock::new(|| indented(&mut TABLE.trim().lines().peekable(), 0));

/// The processes that are indented by this many blanks, with those below them.
fn indented(lines: &mut Peekable<Lines>, blanks: usize) -> Vec<Role> {
    let mut roles = Vec::new();
    let is_here = |line: &&str| line.len() - line.trim_start().len() == blanks;
    while let Some(line) = lines.next_if(is_here) {
        let mut role = Role::of_line(line);
        role.children = indented(lines, blanks + 2);
        roles.push(role);
    }
    roles
}
