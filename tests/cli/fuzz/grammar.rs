//! Generates random command lines from a grammar of near-valid tokens: every spelling of the
//! manual, and typing errors, overflows and look-alikes, which must never be taken for something
//! valid.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::line::{
    Age::{Future, Now, Old},
    Dice, Line, Pidfile, Sink, Start,
};
use super::reading::Protocol;
use super::roles::{ANNA, Cgroup, Habit};
use super::world::{Victim, World};
use crate::support::tokens::{
    DURATIONS, FLAGS, NOT_DURATIONS, NOT_QUEUED, NOT_SIGNALS, NOT_TARGETS, QUESTIONS, QUEUED,
    SIGNALS, STRANGE, TOO_SHORT, UNSPECIFIED_DURATIONS,
};

fn text(text: impl Into<String>) -> Vec<u8> {
    text.into().into_bytes()
}

/// The state of writing one command line.
struct Writer<'a> {
    dice: &'a mut Dice,
    world: &'a World,
    /// The victim that most parts of the line refer to, so that they fit together sometimes.
    focus: usize,
    /// Typing errors per hundred arguments.
    typo_percent: usize,
    line: Line,
}

/// A random line and the environment that sigsend starts in.
pub fn random(dice: &mut Dice, world: &World) -> Line {
    use Start::{Alone, Home, Shell};
    let start = *dice.pick(&[Home, Home, Home, Home, Alone, Shell]);
    let mut line = Line {
        start,
        ..Line::default()
    };
    if dice.percent(25) {
        line.user = ANNA;
        line.hidden = dice.percent(25);
    }
    if dice.percent(12) {
        use Sink::{Closed, Full, Late, Limited};
        line.sink = *dice.pick(&[Limited(0), Limited(40), Late, Late, Closed, Full]);
        // The launcher would block in open(2) until the pipe has a reader.
        if (line.sink, line.start) == (Closed, Shell) {
            line.sink = Full;
        }
    }
    let focus = dice.below(world.victims.len());
    let typo_percent = *dice.pick(&[0, 0, 0, 0, 1, 3, 10, 30]);
    let mut writer = Writer {
        dice,
        world,
        focus,
        typo_percent,
        line,
    };
    if writer.dice.percent(6) {
        let family = world.victims[focus].family;
        let reaps = |victim: &Victim| victim.family == family && victim.habit == Habit::Reaps;
        // Process 1 has no family, and the PIDs of the reaper's family are reused.
        let is_fit = focus != 0 && !world.victims.iter().any(reaps);
        writer.line.storm = is_fit.then_some(family);
    }
    writer.line.stdin = writer.entries();
    if writer.dice.percent(2) {
        writer.listing();
        return writer.line;
    }
    if writer.dice.percent(20) {
        writer.typo_percent += 2;
        for _ in 0..=writer.dice.below(6) {
            writer.any_argument();
        }
    } else {
        writer.usual_line();
    }
    if writer.typo() {
        writer.swap_or_drop();
    }
    writer.line
}

impl Writer<'_> {
    fn typo(&mut self) -> bool {
        self.dice.percent(self.typo_percent)
    }

    fn one(&mut self, list: &str) -> Vec<u8> {
        text(self.dice.word(list))
    }

    fn victim(&mut self) -> &Victim {
        let is_focus = self.dice.percent(50);
        let other = self.dice.below(self.world.victims.len());
        let index = if is_focus { self.focus } else { other };
        // The victim before it is used for a victim that does not exist yet.
        let mut before = self.world.victims[..=index].iter().rev();
        let found = before.find(|victim| victim.exists());
        found.expect("the first one exists")
    }

    fn gone(&mut self) -> i32 {
        *self.dice.pick(&self.world.gone)
    }

    fn push(&mut self, arg: impl Into<Vec<u8>>) {
        let mut arg = arg.into();
        arg.retain(|&b| b != 0);
        self.line.args.push(OsString::from_vec(arg));
    }

    fn push_two(&mut self, option: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.push(option);
        self.push(value);
    }

    fn push_one(&mut self, list: &str) {
        let arg = self.one(list);
        self.push(arg);
    }

    /// A signal in one of its spellings, or a typing error.
    fn signal(&mut self) -> String {
        if self.typo() {
            return self.dice.word(NOT_SIGNALS);
        }
        let number = self.dice.below(65);
        let name = self.dice.word(SIGNALS);
        let mut odd = |c: char| {
            let is_lower = self.dice.percent(50);
            if is_lower { c.to_ascii_lowercase() } else { c }
        };
        let odd: String = name.chars().map(&mut odd).collect();
        let name = match self.dice.below(4) {
            0 | 1 => name,
            2 => name.to_lowercase(),
            _ => odd,
        };
        match self.dice.below(9) {
            0 | 1 => number.to_string(),
            2 => format!("{number:04}"),
            3 => self.dice.word("0 9 15 18 19 32 33 34 64 1 17"),
            4 => self.dice.word("TERM KILL USR1 RTMIN+3 HUP INT"),
            5 => self.dice.word("SIG sig Sig") + &name,
            _ => name,
        }
    }

    fn duration(&mut self) -> Vec<u8> {
        let from = match self.typo() {
            true if self.dice.percent(30) => UNSPECIFIED_DURATIONS,
            true => NOT_DURATIONS,
            false => DURATIONS,
        };
        self.one(from)
    }

    /// A target, valid or nearly valid; most of them are victims.
    fn target(&mut self) -> Vec<u8> {
        if self.typo() {
            return self.one(NOT_TARGETS);
        }
        if self.dice.percent(1 + self.typo_percent / 2) {
            return self.near_miss();
        }
        if self.dice.percent(1) {
            return self.one("'' '' hup STOP SigTerm Rtmin+1 rt3 Null");
        }
        let gone = self.gone();
        let other = self.victim().inode;
        let blanks = "'' ' ' '  ' '\t' '\n'";
        let (before, after) = (self.dice.word(blanks), self.dice.word(blanks));
        let (kind, fatal) = (self.dice.below(39), self.dice.word("0 -1"));
        let held = |victim: &Victim| Some((victim.port?, victim.protocol?));
        let ports: Vec<_> = self.world.victims.iter().filter_map(held).collect();
        let (port, protocol) = *self.dice.pick(&ports);
        let suffix = match protocol {
            _ if self.dice.percent(10) => self.dice.word("'' /tcp /udp"),
            Protocol::Tcp => String::new(),
            Protocol::Udp => "/udp".to_owned(),
        };
        let victim = self.victim();
        let (pid, group, inode) = (victim.pid, victim.group, victim.inode);
        let thread = if victim.thread == 0 { 1 } else { victim.thread };
        match kind {
            0..=5 => victim.name.clone(),
            6 => victim.title.clone(),
            7..=19 => text(pid.to_string()),
            20..=24 => text(format!("-{group}")),
            25..=27 => text(format!("{pid}:{inode}")),
            28 => text(format!("{pid:07}")),
            29 => text(format!("{before}{pid}{after}")),
            30 => text(gone.to_string()),
            31 => text(fatal),
            32 => text(format!("{pid}:{other}")),
            33 => text(format!("-{gone}")),
            34 => text(format!("{gone}:{inode}")),
            35..=37 => text(format!(":{port}{suffix}")),
            _ => text(thread.to_string()),
        }
    }

    /// An invalid target that would match a victim if it were truncated, wrapped, rounded or read
    /// in another base.
    fn near_miss(&mut self) -> Vec<u8> {
        let tail = self.dice.word("x ,1 .0 ' 1' : \r \u{a0}");
        let head = self.dice.word("' -' '- ' + -- 0x % −");
        let kind = self.dice.below(8);
        let victim = self.victim();
        let (pid, group) = (i128::from(victim.pid), i128::from(victim.group));
        match kind {
            0 => text((pid + (1 << 32)).to_string()),
            1 => text((pid + (1 << 64)).to_string()),
            2 => text(format!("-{}", group + (1 << 32))),
            3 => text(format!("-0{group}")),
            4 => text(format!("{pid}{tail}")),
            5 => text(format!("{head}{group}")),
            _ => self.misspelled(),
        }
    }

    /// A victim's name with one typing error.
    fn misspelled(&mut self) -> Vec<u8> {
        let mut name = self.victim().name.clone();
        match self.dice.below(5) {
            0 => drop(name.pop()),
            1 => name.push(b'x'),
            2 => name.push(b' '),
            3 => name.make_ascii_uppercase(),
            _ => name.insert(0, b' '),
        }
        name
    }

    fn pidfile(&mut self) -> Pidfile {
        let content = self.entries();
        let age = *self.dice.pick(&[Now, Now, Now, Now, Old, Future]);
        match self.dice.below(14) {
            0 => Pidfile::Directory,
            1 => Pidfile::Unreadable(content),
            2 => Pidfile::Dangling,
            3 if self.typo() => Pidfile::Device,
            _ => Pidfile::File(content, age),
        }
    }

    /// The content of a pidfile or of standard input.
    fn entries(&mut self) -> Vec<u8> {
        let mut content = Vec::new();
        for _ in 0..*self.dice.pick(&[0, 1, 1, 1, 1, 1, 1, 2, 3]) {
            let kind = self.dice.below(24);
            let victim = self.victim();
            let token = text(format!("{}:{}", victim.pid, victim.inode));
            let entry = match kind {
                0..=15 => text(victim.pid.to_string()),
                16..=20 => token,
                21 => self.target(),
                22 => text(self.gone().to_string()),
                _ => self.one("0 -1 -5 \0 \u{feff}1 1;2 '# pid' 00 1\r +7 nginx"),
            };
            content.extend(entry);
            content.extend(self.one("\n ' ' \t \n\n '  \n' \n"));
        }
        content
    }

    /// The arguments that name a signal, one or two.
    fn name_signal(&mut self) {
        let signal = self.signal();
        let forms = "- - - - - '-s ' '-s ' -s '-n ' -n '--L ' --L=";
        let form = self.dice.word(forms);
        let form = form.replace('L', &self.dice.word("signal sig si"));
        match form.strip_suffix(' ') {
            Some(option) => self.push_two(option, signal),
            None => self.push(form + &signal),
        }
    }

    /// An option with a value, in one of its spellings.
    fn option(&mut self) {
        let users = "0 1001 1001 1002 root 4294967294 nobody-has-it";
        let (name, mut value) = match self.dice.below(18) {
            13 | 14 => ("full", self.full()),
            15 | 16 => ("user", self.one(users)),
            17 => ("cwd", self.directory()),
            12 => ("cgroup", self.cgroup()),
            0 | 1 if self.typo() => ("queue", self.one(NOT_QUEUED)),
            0 | 1 => ("queue", self.one(QUEUED)),
            2 | 3 => ("expect", self.victim().name.clone()),
            4 => ("expect", self.victim().title.clone()),
            5 if self.dice.percent(50) => ("expect", self.victim().program.clone()),
            5 => ("expect", self.misspelled()),
            6 | 7 => ("within", self.duration()),
            8 => ("grace", self.duration()),
            _ => ("pidfile", self.path()),
        };
        if self.typo() {
            value = self.one("-9 -HUP -- -1 --wait -p --alive 0");
        }
        let least = match name {
            "pidfile" => 4,
            "cgroup" | "queue" | "expect" => 1,
            _ => 2,
        };
        let is_cut = self.dice.percent(25);
        let cut = self.dice.below(name.len() + 1 - least) * usize::from(is_cut);
        let long = text(format!("--{}", &name[..name.len() - cut]));
        let short = match name {
            "queue" => "-q",
            "full" => "-f",
            _ => "-u",
        };
        let has_short = ["queue", "full", "user"].contains(&name);
        match self.dice.below(4) {
            0 if has_short => self.push_two(short, value),
            1 if has_short && name != "user" => self.push([short.into(), value].concat()),
            0 | 1 => self.push_two(long, value),
            _ => self.push([long, b"=".to_vec(), value].concat()),
        }
    }

    /// The path of a pidfile, which mostly exists, or `-`.
    fn path(&mut self) -> Vec<u8> {
        if self.dice.percent(25) {
            return text("-");
        }
        let name = format!("p{}", self.line.files.len());
        if !self.dice.percent(5) {
            let file = self.pidfile();
            self.line.files.push((name.clone(), file));
        }
        name.into_bytes()
    }

    /// A part of a victim's command line.
    fn full(&mut self) -> Vec<u8> {
        let line = self.victim().command_line.clone();
        if line.is_empty() || self.dice.percent(10) {
            return self.one("'' 12 ab 1234 no-such-text .");
        }
        let start = self.dice.below(line.len());
        let length = 1 + self.dice.below(line.len() - start);
        let part = line[start..start + length].to_vec();
        if self.dice.percent(50) { line } else { part }
    }

    /// The directory in which the victims work, or another one.
    fn directory(&mut self) -> Vec<u8> {
        let above = self.dice.below(3);
        let above = self.world.directory.ancestors().nth(above);
        match above {
            Some(above) if self.dice.percent(70) => above.as_os_str().as_bytes().to_vec(),
            _ => self.one("/ '' . /proc /nowhere"),
        }
    }

    /// The directory of a control group, or another path.
    fn cgroup(&mut self) -> Vec<u8> {
        use Cgroup::{Lower, Upper};
        let cgroup = *self.dice.pick(&[Upper, Upper, Lower]);
        match self.world.cgroups.path(cgroup) {
            Some(path) if !self.dice.percent(10) => path.into_os_string().into_vec(),
            _ => self.one("/nowhere . /sys/fs/cgroup"),
        }
    }

    fn timeout(&mut self) {
        let bare = self.dice.percent(30);
        let duration = if bare {
            self.one("0 1 5 10")
        } else {
            self.duration()
        };
        let option = self.dice.word("--timeout --timeout --time --ti");
        self.push_two(option, duration);
        let signal = self.signal();
        self.push(signal);
    }

    /// Any kind of argument, regardless of its position.
    fn any_argument(&mut self) {
        match self.dice.below(22) {
            0..=8 => {
                let target = self.target();
                self.push(target);
            }
            9..=11 => self.name_signal(),
            12 | 13 => self.push_one(FLAGS),
            14 => self.push_one(QUESTIONS),
            15 | 16 => self.option(),
            17 => self.timeout(),
            18 | 19 => self.push_one(STRANGE),
            20 => self.push_one(TOO_SHORT),
            _ => {
                // No UTF-8.
                let mut arg = self.one("-- -- X -X --X 7X -9X");
                let all = arg.iter_mut().filter(|b| **b == b'X');
                all.for_each(|b| *b = 0xff);
                self.push(arg);
            }
        }
    }

    /// `-l` with operands: numbers, exit statuses, wait statuses, names, masks.
    fn listing(&mut self) {
        self.push_one("-l -l --list");
        for _ in 0..=self.dice.below(3) {
            let (exit, signal) = (256 * self.dice.below(256), self.dice.below(70));
            let operand = match self.dice.below(7) {
                0 => signal.to_string(),
                1 => (128 + signal).to_string(),
                2 => exit.to_string(),
                3 => (exit + signal).to_string(),
                4 => self.dice.below(600).to_string(),
                5 => format!("{:#x}", self.dice.roll() >> self.dice.below(64)),
                _ => self.signal(),
            };
            self.push(operand);
        }
    }

    /// Options first, then targets, as most users write.
    fn usual_line(&mut self) {
        let question = self.dice.percent(12);
        let named = !question && self.dice.percent(75);
        if question {
            self.push_one(QUESTIONS);
        } else if named {
            self.name_signal();
        }
        for _ in 0..*self.dice.pick(&[0, 0, 0, 1, 1, 1, 2, 2, 3]) {
            match self.dice.below(10) {
                0..=3 => self.push_one(FLAGS),
                4..=7 => self.option(),
                8 if !question => self.timeout(),
                _ => {}
            }
        }
        let escaped = self.dice.percent(15);
        if escaped {
            self.push("--");
        }
        let describes = |arg: &OsString| {
            let arg = arg.as_bytes();
            arg.starts_with(b"-f") || arg.starts_with(b"--fu") || arg.starts_with(b"--cw")
        };
        let is_described = self.line.args.iter().any(describes);
        let count = *self.dice.pick(&[1, 1, 1, 1, 2, 2, 3]);
        let few = *self.dice.pick(&[0, 0, 1]);
        for _ in 0..if is_described { few } else { count } {
            let mut target = self.target();
            // Without a signal before it, `-PGID` is read as a signal, which few users mean.
            if target.starts_with(b"-") && !named && !escaped && !self.dice.percent(10) {
                target.remove(0);
            }
            self.push(target);
        }
        if self.dice.percent(10) {
            self.any_argument();
        }
    }

    /// Swaps two arguments, drops one, or repeats one.
    fn swap_or_drop(&mut self) {
        let args = &mut self.line.args;
        if args.len() > 1 {
            let (a, b) = (self.dice.below(args.len()), self.dice.below(args.len()));
            match self.dice.below(3) {
                0 => args.swap(a, b),
                1 => drop(args.remove(a)),
                _ => args.insert(a, args[b].clone()),
            }
        }
    }
}
