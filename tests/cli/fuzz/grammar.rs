//! Random command lines from a grammar of near-valid tokens: every spelling that the manual knows and, beside each,
//! the slips of hand, overflows and look-alikes that must never become something else.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::cast::ANNA;
use super::tokens::{
    DURATIONS, FLAGS, NOT_DURATIONS, NOT_SIGNALS, NOT_TARGETS, PERHAPS_DURATIONS, QUESTIONS, SIGNALS, STRANGE,
};
use super::world::World;

/// A splitmix64 generator: small, seeded, the same everywhere.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(end).expect("a length")).expect("below a length")
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// How old a pidfile is when sigsend reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    Now,
    Old,
    Future,
}

/// What stands at the path that `--pidfile` names.
#[derive(Clone, Debug)]
pub enum Pidfile {
    File(Vec<u8>, Age),
    Unreadable(Vec<u8>),
    Directory,
    Dangling,
    Device,
}

/// One run of sigsend: its arguments and all that it starts with.
#[derive(Debug, Default)]
pub struct Line {
    pub args: Vec<OsString>,
    pub stdin: Vec<u8>,
    pub files: Vec<(String, Pidfile)>,
    pub user: u32,
    /// In the group of the first family, or in one of its own.
    pub at_home: bool,
}

fn text(words: impl Into<String>) -> Vec<u8> {
    words.into().into_bytes()
}

fn case(dice: &mut Dice, name: &str) -> String {
    match dice.below(4) {
        0 | 1 => name.to_owned(),
        2 => name.to_lowercase(),
        _ => name.chars().map(|c| if dice.percent(50) { c.to_ascii_lowercase() } else { c }).collect(),
    }
}

/// A signal as it may be spelled, or nearly so.
fn signal(dice: &mut Dice, sloppy: usize) -> String {
    if dice.percent(sloppy) {
        return (*dice.pick(NOT_SIGNALS)).to_owned();
    }
    match dice.below(9) {
        0 | 1 => format!("{}", dice.below(65)),
        2 => format!("{:04}", dice.below(65)),
        3 => (*dice.pick(&["0", "9", "15", "18", "19", "32", "33", "34", "64", "1", "17"])).to_owned(),
        4 => (*dice.pick(&["TERM", "KILL", "USR1", "RTMIN+3", "HUP", "INT"])).to_owned(),
        5 => {
            let name = *dice.pick(SIGNALS);
            case(dice, &format!("SIG{name}"))
        }
        _ => {
            let name = *dice.pick(SIGNALS);
            case(dice, name)
        }
    }
}

fn duration(dice: &mut Dice, sloppy: usize) -> String {
    let from = match dice.percent(sloppy) {
        true if dice.percent(30) => PERHAPS_DURATIONS,
        true => NOT_DURATIONS,
        false => DURATIONS,
    };
    (*dice.pick(from)).to_owned()
}

/// A target that exists or nearly so; most of them are victims.
fn target(dice: &mut Dice, world: &World, sloppy: usize) -> Vec<u8> {
    if dice.percent(sloppy) {
        return text(*dice.pick(NOT_TARGETS));
    }
    let victim = dice.pick(&world.victims);
    let (pid, group, inode) = (victim.pid, victim.group, victim.inode);
    let big = i64::from(pid);
    match dice.below(40) {
        0..=11 => text(pid.to_string()),
        12..=15 => text(format!("-{group}")),
        16..=18 => text(format!("{pid}:{inode}")),
        19..=24 => victim.name.clone(),
        25 => victim.title.clone(),
        26 => text(format!("{pid:07}")),
        27 => {
            let blanks = ["", " ", "  ", "\t", "\n"];
            text(format!("{}{pid}{}", dice.pick(&blanks), dice.pick(&blanks)))
        }
        28 => text(dice.pick(&world.gone).to_string()),
        29 => text(*dice.pick(&["0", "-1"])),
        30 => text(format!("{pid}:{}", dice.pick(&world.victims).inode)),
        31 => text(format!("-{}", dice.pick(&world.gone))),
        32 => text(format!("{}:{inode}", dice.pick(&world.gone))),
        33 => text(if victim.thread == 0 { world.victims[0].pid } else { victim.thread }.to_string()),
        34 => text((big + (1 << 32)).to_string()),
        35 => text(format!("-{}", i64::from(group) + (1 << 32))),
        36 => text(format!("-0{group}")),
        37 => text((i128::from(big) + (1 << 64)).to_string()),
        38 => nearly(dice, &victim.name),
        _ => {
            let odd = [" -", "- ", "+", "--", "0x", "%", "−"];
            text(format!("{}{group}", dice.pick(&odd)))
        }
    }
}

/// A name that is one slip away.
fn nearly(dice: &mut Dice, name: &[u8]) -> Vec<u8> {
    let mut name = name.to_vec();
    match dice.below(5) {
        0 => drop(name.pop()),
        1 => name.push(b'x'),
        2 => name.push(b' '),
        3 => name.make_ascii_uppercase(),
        _ => name.insert(0, b' '),
    }
    name
}

fn pidfile(dice: &mut Dice, world: &World) -> Pidfile {
    let content = entries(dice, world);
    let age = *dice.pick(&[Age::Now, Age::Now, Age::Now, Age::Now, Age::Old, Age::Future]);
    match dice.below(12) {
        0 => dice.pick(&[Pidfile::Directory, Pidfile::Dangling, Pidfile::Device]).clone(),
        1 => Pidfile::Unreadable(content),
        _ => Pidfile::File(content, age),
    }
}

/// What a pidfile or standard input says.
fn entries(dice: &mut Dice, world: &World) -> Vec<u8> {
    let mut content = Vec::new();
    for _ in 0..*dice.pick(&[0, 1, 1, 1, 1, 1, 2, 3]) {
        let victim = dice.pick(&world.victims);
        let entry = match dice.below(14) {
            0..=8 => text(victim.pid.to_string()),
            9 | 10 => text(format!("{}:{}", victim.pid, victim.inode)),
            11 => target(dice, world, 30),
            12 => text(dice.pick(&world.gone).to_string()),
            _ => text(*dice.pick(&["0", "-1", "-5", "\0", "\u{feff}1", "1;2", "# pid", "00", "1\r", "+7"])),
        };
        content.extend(entry);
        content.extend(dice.pick(&["\n", " ", "\t", "\n\n", "", "  \n"]).bytes());
    }
    content
}

impl Line {
    /// The arguments that name a signal, one or two.
    fn name_signal(&mut self, dice: &mut Dice, sloppy: usize) {
        let signal = signal(dice, sloppy);
        let long = *dice.pick(&["--signal", "--sig", "--s", "--si"]);
        match dice.below(12) {
            0..=4 => self.push(format!("-{signal}")),
            5 | 6 => self.push_two("-s", signal),
            7 => self.push(format!("-s{signal}")),
            8 => self.push_two("-n", signal),
            9 => self.push(format!("-n{signal}")),
            10 => self.push_two(long, signal),
            _ => self.push(format!("{long}={signal}")),
        }
    }

    /// One option with a value, spelled in one of its ways.
    fn option(&mut self, dice: &mut Dice, world: &World, sloppy: usize) {
        let victim = dice.pick(&world.victims);
        let bait =
            dice.percent(sloppy / 2).then(|| *dice.pick(&["-9", "-HUP", "--", "-1", "--wait", "-p", "--alive", "0"]));
        let (name, mut value) = match dice.below(10) {
            0 | 1 => (
                "queue",
                text(*dice.pick(&[
                    "0", "7", "-1", "2147483647", "-2147483648", "2147483648", "", "x", "4294967295", "-2147483649",
                    "1.5",
                ])),
            ),
            2 | 3 => ("expect", if dice.percent(70) { victim.name.clone() } else { victim.title.clone() }),
            4 => ("expect", if dice.percent(50) { victim.program.clone() } else { nearly(dice, &victim.name) }),
            5 | 6 => ("within", text(duration(dice, sloppy))),
            7 => ("grace", text(duration(dice, sloppy))),
            _ => {
                let stdin = dice.percent(25);
                let name = if stdin { "-".to_owned() } else { format!("p{}", self.files.len()) };
                let file = pidfile(dice, world);
                if !stdin && !dice.percent(5) {
                    self.files.push((name.clone(), file));
                }
                ("pidfile", name.into_bytes())
            }
        };
        if let Some(bait) = bait {
            value = text(bait);
        }
        let least = match name {
            "pidfile" => 4,
            "queue" | "expect" => 1,
            _ => 2,
        };
        let cut = if dice.percent(25) { dice.below(name.len() + 1 - least) } else { 0 };
        let mut long = text(format!("--{}", &name[..name.len() - cut]));
        if name == "queue" && dice.percent(50) {
            if dice.percent(50) {
                self.push_two("-q", value);
            } else {
                self.push([b"-q".to_vec(), value].concat());
            }
        } else if dice.percent(50) {
            self.push_two(long, value);
        } else {
            long.push(b'=');
            long.extend(value);
            self.push(long);
        }
    }

    fn timeout(&mut self, dice: &mut Dice, sloppy: usize) {
        let duration =
            if dice.percent(30) { text(*dice.pick(&["0", "1", "5", "10"])) } else { text(duration(dice, sloppy)) };
        self.push_two(*dice.pick(&["--timeout", "--timeout", "--time", "--ti"]), duration);
        let signal = signal(dice, sloppy);
        self.push(signal);
    }

    fn push(&mut self, arg: impl Into<Vec<u8>>) {
        let mut arg = arg.into();
        arg.retain(|&b| b != 0);
        self.args.push(OsString::from_vec(arg));
    }

    fn push_two(&mut self, option: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.push(option);
        self.push(value);
    }

    /// A word of any kind, wherever it may stand.
    fn word(&mut self, dice: &mut Dice, world: &World, sloppy: usize) {
        match dice.below(20) {
            0..=8 => self.push(target(dice, world, sloppy)),
            9..=11 => self.name_signal(dice, sloppy),
            12 | 13 => self.push(*dice.pick(FLAGS)),
            14 => self.push(*dice.pick(QUESTIONS)),
            15 | 16 => self.option(dice, world, sloppy),
            17 => self.timeout(dice, sloppy),
            18 => self.push(*dice.pick(STRANGE)),
            _ => self.push(*dice.pick(&[&b"--"[..], b"--", b"\xff", b"-\xff", b"--\xff", b"7\xff", b"-9\xff"])),
        }
    }

    /// A line as someone may type it, then as often as not with a slip of the hand.
    pub fn random(dice: &mut Dice, world: &World) -> Self {
        let mut line = Self { at_home: dice.percent(70), ..Self::default() };
        if dice.percent(25) {
            line.user = ANNA;
        }
        line.stdin = entries(dice, world);
        let sloppy = *dice.pick(&[0, 0, 1, 3, 10, 30]);
        if dice.percent(25) {
            for _ in 0..=dice.below(6) {
                line.word(dice, world, sloppy + 5);
            }
        } else {
            line.sensible(dice, world, sloppy);
        }
        if dice.percent(sloppy) && line.args.len() > 1 {
            let (a, b) = (dice.below(line.args.len()), dice.below(line.args.len()));
            match dice.below(3) {
                0 => line.args.swap(a, b),
                1 => drop(line.args.remove(a)),
                _ => line.args.insert(a, line.args[b].clone()),
            }
        }
        line
    }

    fn sensible(&mut self, dice: &mut Dice, world: &World, sloppy: usize) {
        let question = dice.percent(12);
        if question {
            self.push(*dice.pick(QUESTIONS));
        } else if dice.percent(75) {
            self.name_signal(dice, sloppy);
        }
        for _ in 0..*dice.pick(&[0, 0, 0, 1, 1, 2]) {
            match dice.below(10) {
                0..=4 => self.push(*dice.pick(FLAGS)),
                5..=8 => self.option(dice, world, sloppy),
                _ => self.timeout(dice, sloppy),
            }
        }
        if dice.percent(15) {
            self.push("--");
        }
        for _ in 0..*dice.pick(&[1, 1, 1, 1, 2, 2, 3]) {
            self.push(target(dice, world, sloppy));
        }
        if dice.percent(15) {
            self.word(dice, world, sloppy);
        }
    }
}
