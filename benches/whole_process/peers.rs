//! Who else is on this machine: every kill(1), told apart by what it says of itself, pgrep and
//! pidwait, a shell, and the floor below them all. Whoever is missing is named together with the
//! way to get it.

use std::collections::HashSet;
use std::env;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::program::{Arena, Program};

/// A program to compare with, and how to recognise, place and get it.
struct Peer {
    name: &'static str,
    /// Files it may be in.
    files: &'static [&'static str],
    /// The argv[0] it is run with.
    called: &'static str,
    /// What `--version` or `--help` says of it and of no other.
    says: &'static str,
    /// The environment variable that names the file when it is not on the PATH.
    variable: &'static str,
    install: &'static str,
}

const KILLS: [Peer; 6] = [
    Peer {
        name: "procps",
        files: &["kill"],
        called: "kill",
        says: "procps",
        variable: "SIGSEND_BENCH_PROCPS",
        install: "`apt-get install procps`",
    },
    Peer {
        name: "GNU",
        files: &["kill", "gkill"],
        called: "kill",
        says: "GNU coreutils",
        variable: "SIGSEND_BENCH_GNU",
        install: "in no Debian package: `apt-get source coreutils`, there `./configure --enable-install-program=kill && make`, the file is `src/kill`",
    },
    Peer {
        name: "util-linux",
        files: &["kill"],
        called: "kill",
        says: "util-linux",
        variable: "SIGSEND_BENCH_UTIL_LINUX",
        install: "in no Debian package: `apt-get source util-linux`, there `./configure --disable-all-programs --enable-kill && make`, the file is `kill`",
    },
    Peer {
        name: "busybox",
        files: &["busybox", "kill"],
        called: "kill",
        says: "BusyBox",
        variable: "SIGSEND_BENCH_BUSYBOX",
        install: "`apt-get install busybox-static`",
    },
    Peer {
        name: "toybox",
        files: &["toybox", "kill"],
        called: "kill",
        says: "toybox",
        variable: "SIGSEND_BENCH_TOYBOX",
        install: "`apt-get install toybox`",
    },
    Peer {
        name: "uutils",
        files: &["kill", "coreutils"],
        called: "kill",
        says: "uutils",
        variable: "SIGSEND_BENCH_UUTILS",
        install: "`cargo install uu_kill --root DIR`, the file is `DIR/bin/kill`",
    },
];

const PGREP: Peer = Peer {
    name: "pgrep",
    files: &["pgrep"],
    called: "pgrep",
    says: "procps",
    variable: "SIGSEND_BENCH_PGREP",
    install: "`apt-get install procps`",
};

const PIDWAIT: Peer = Peer {
    name: "pidwait",
    files: &["pidwait"],
    called: "pidwait",
    says: "procps",
    variable: "SIGSEND_BENCH_PIDWAIT",
    install: "`apt-get install procps` (4.0 or newer)",
};

/// sigsend itself as it was, to see what has become faster or slower.
const EARLIER: Peer = Peer {
    name: "earlier",
    files: &[],
    called: "kill",
    says: "sigsend",
    variable: "SIGSEND_BENCH_EARLIER",
    install: "a release build of an earlier commit",
};

const FLOOR_SOURCE: &str = include_str!("floor.c");

/// The floors, from the one with a C library to the one with nothing.
const FLOORS: [(&str, &[&str]); 2] =
    [("floor, static C", &["-static"]), ("floor, no libc", &["-static", "-nostdlib", "-ffreestanding", "-DBARE"])];

pub struct Field {
    pub sigsend: Program,
    pub kills: Vec<Program>,
    pub earlier: Option<Program>,
    pub floors: Vec<Program>,
    pub pgrep: Option<Program>,
    pub pidwait: Option<Program>,
    pub shell: Option<Program>,
    /// One sentence for each that was not found.
    pub missing: Vec<String>,
}

impl Field {
    pub fn gather(arena: &Arena) -> Result<Self> {
        let mut missing = Vec::new();
        let mut kills = Vec::new();
        for peer in &KILLS {
            kills.extend(peer.gather(arena, &mut missing)?);
        }
        let shell = candidates(&["sh"], None).next();
        Ok(Self {
            sigsend: arena.admit("sigsend", Path::new(env!("CARGO_BIN_EXE_sigsend")), "kill")?,
            kills,
            earlier: EARLIER.gather(arena, &mut missing)?,
            floors: floors(arena, &mut missing)?,
            pgrep: PGREP.gather(arena, &mut missing)?,
            pidwait: PIDWAIT.gather(arena, &mut missing)?,
            shell: shell.map(|path| arena.admit("sh loop", &path, "sh")).transpose()?,
            missing,
        })
    }
}

impl Peer {
    fn gather(&self, arena: &Arena, missing: &mut Vec<String>) -> Result<Option<Program>> {
        let found = candidates(self.files, env::var_os(self.variable).map(PathBuf::from))
            .find_map(|path| Some((self.version(&path)?, path)));
        let Some((version, path)) = found else {
            missing.push(format!(
                "{}: {}; {} names it when it is not on the PATH",
                self.name, self.install, self.variable
            ));
            return Ok(None);
        };
        let label = [self.name, &version, if is_static(&path)? { "static" } else { "" }].join(" ");
        arena.admit(label.trim_end(), &path, self.called).map(Some)
    }

    /// The version of the program in `path` if it is this peer. Nothing that is asked here sends a
    /// signal.
    fn version(&self, path: &Path) -> Option<String> {
        ["--version", "--help"].iter().find_map(|question| {
            let output = Command::new(path).arg0(self.called).arg(question).stdin(Stdio::null()).output().ok()?;
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            let line = text.lines().find(|line| line.contains(self.says))?;
            let version = line.split_whitespace().map(|word| word.trim_start_matches('v'));
            Some(
                version
                    .into_iter()
                    .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
                    .unwrap_or_default()
                    .to_owned(),
            )
        })
    }
}

/// Whether no program interpreter is named, whose path stands near the beginning of an ELF file.
fn is_static(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(4096).read_to_end(&mut start)?;
    Ok(!start.windows(4).any(|bytes| bytes == b"/ld-"))
}

/// The file that the user names, or else every different file of one of these names on the PATH.
fn candidates(names: &[&str], chosen: Option<PathBuf>) -> impl Iterator<Item = PathBuf> {
    let search = env::var_os("PATH").unwrap_or_default();
    let mut seen = HashSet::new();
    let paths: Vec<PathBuf> = match chosen {
        Some(path) => vec![path],
        None => env::split_paths(&search).flat_map(|dir| names.iter().map(move |name| dir.join(name))).collect(),
    };
    paths.into_iter().filter_map(|path| fs::canonicalize(path).ok()).filter(move |path| seen.insert(path.clone()))
}

fn floors(arena: &Arena, missing: &mut Vec<String>) -> Result<Vec<Program>> {
    let source = arena.directory.join("floor.c");
    fs::write(&source, FLOOR_SOURCE)?;
    let mut floors = Vec::new();
    for (label, flags) in FLOORS {
        let binary = arena.directory.join("floor");
        let compiled = Command::new("cc").args(["-O2", "-s"]).args(flags).arg("-o").arg(&binary).arg(&source).output();
        if compiled.is_ok_and(|output| output.status.success()) {
            floors.push(arena.admit(label, &binary, "kill")?);
        } else {
            missing
                .push(format!("{label}: `apt-get install gcc libc6-dev`, or this processor is not known to `floor.c`"));
        }
    }
    Ok(floors)
}
