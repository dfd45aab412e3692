//! The programs to compare with: every installed kill(1), identified by its version output, pgrep
//! and pidwait, a shell, and the floor, a minimal program that is the lower bound. A missing
//! program is listed together with the way to get it.

use std::collections::HashSet;
use std::env;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::program::{BinDir, Program};

/// A program to compare with, and how to find, recognise and install it.
struct Peer {
    name: &'static str,
    /// Possible file names; none if only the environment variable names it.
    files: &'static [&'static str],
    /// The argv[0] it is run with.
    called: &'static str,
    /// Text in the output of `--version` or `--help` that identifies it.
    identified_by: &'static str,
    install: &'static str,
}

const KILLS: [Peer; 6] = [
    Peer {
        name: "procps",
        files: &["kill"],
        called: "kill",
        identified_by: "procps",
        install: "`apt-get install procps`",
    },
    Peer {
        name: "GNU",
        files: &["kill", "gkill"],
        called: "kill",
        identified_by: "GNU coreutils",
        install: "in no Debian package: `apt-get source coreutils`, there `./configure --enable-install-program=kill && make`, the file is `src/kill`",
    },
    Peer {
        name: "util-linux",
        files: &["kill"],
        called: "kill",
        identified_by: "util-linux",
        install: "in no Debian package: `apt-get source util-linux`, there `./configure --disable-all-programs --enable-kill && make`, the file is `kill`",
    },
    Peer {
        name: "busybox",
        files: &["busybox", "kill"],
        called: "kill",
        identified_by: "BusyBox",
        install: "`apt-get install busybox-static`",
    },
    Peer {
        name: "toybox",
        files: &["toybox", "kill"],
        called: "kill",
        identified_by: "toybox",
        install: "`apt-get install toybox`",
    },
    Peer {
        name: "uutils",
        files: &["kill", "coreutils"],
        called: "kill",
        identified_by: "uutils",
        install: "`cargo install uu_kill --root DIR`, the file is `DIR/bin/kill`",
    },
];

const PROCPS: &str = "`apt-get install procps`";
const PSMISC: &str = "`apt-get install psmisc`";

/// Programs that look for processes: the name, what identifies it, and how to install it.
const FINDERS: [(&[&str; 1], &str, &str); 7] = [
    (&["pgrep"], "procps", PROCPS),
    (&["pkill"], "procps", PROCPS),
    (&["killall"], "PSmisc", PSMISC),
    (&["pstree"], "PSmisc", PSMISC),
    (&["fuser"], "PSmisc", PSMISC),
    (&["ss"], "iproute2", "`apt-get install iproute2`"),
    (&["lsof"], "lsof 4", "`apt-get install lsof`"),
];

const PIDWAIT: Peer = Peer {
    name: "pidwait",
    files: &["pidwait"],
    called: "pidwait",
    identified_by: "procps",
    install: "`apt-get install procps` (4.0 or newer)",
};

/// An earlier build of sigsend, to see what has become faster or slower.
const EARLIER: Peer = Peer {
    name: "earlier",
    files: &[],
    called: "kill",
    identified_by: "sigsend",
    install: "a release build of an earlier commit",
};

const FLOOR_SOURCE: &str = include_str!("floor.c");

/// The floors, with a C library and without.
const FLOORS: [(&str, &[&str]); 2] = [
    ("floor, static C", &["-static"]),
    (
        "floor, no libc",
        &["-static", "-nostdlib", "-ffreestanding", "-DBARE"],
    ),
];

pub struct Programs {
    pub sigsend: Program,
    pub kills: Vec<Program>,
    pub earlier: Option<Program>,
    pub floors: Vec<Program>,
    /// Programs that look for processes, by their names.
    pub finders: Vec<(&'static str, Program)>,
    /// Kills a process group and waits for its members, in C.
    pub group_floor: Option<Program>,
    pub pidwait: Option<Program>,
    pub shell: Option<Program>,
    /// One sentence for each program that was not found.
    pub missing: Vec<String>,
}

impl Programs {
    pub fn find(bin_dir: &BinDir) -> Result<Self> {
        let mut missing = Vec::new();
        let mut kills = Vec::new();
        for peer in &KILLS {
            kills.extend(peer.find(bin_dir, &mut missing)?);
        }
        let mut finders = Vec::new();
        for (files, identified_by, install) in FINDERS {
            let [name] = *files;
            let peer = Peer {
                name,
                files,
                called: name,
                identified_by,
                install,
            };
            let found = peer.find(bin_dir, &mut missing)?;
            finders.extend(found.map(|program| (name, program)));
        }
        let shell = candidates(&["sh"], None).next();
        Ok(Self {
            sigsend: bin_dir.add("sigsend", Path::new(env!("CARGO_BIN_EXE_sigsend")), "kill")?,
            kills,
            earlier: EARLIER.find(bin_dir, &mut missing)?,
            floors: floors(bin_dir, &mut missing)?,
            finders,
            group_floor: compile(bin_dir, "C: kill, pidfd, poll", &["-static", "-DGROUP"])?,
            pidwait: PIDWAIT.find(bin_dir, &mut missing)?,
            shell: shell
                .map(|path| bin_dir.add("sh loop", &path, "sh"))
                .transpose()?,
            missing,
        })
    }
}

impl Peer {
    fn find(&self, bin_dir: &BinDir, missing: &mut Vec<String>) -> Result<Option<Program>> {
        let name = self.name.to_uppercase().replace('-', "_");
        let variable = format!("SIGSEND_BENCH_{name}");
        let found = candidates(self.files, env::var_os(&variable).map(PathBuf::from))
            .find_map(|path| Some((self.version(&path)?, path)));
        let Some((version, path)) = found else {
            missing.push(format!(
                "{}: {}; {variable} names it when it is not on the PATH",
                self.name, self.install
            ));
            return Ok(None);
        };
        let label = [
            self.name,
            &version,
            if is_static(&path)? { "static" } else { "" },
        ]
        .join(" ");
        bin_dir.add(label.trim_end(), &path, self.called).map(Some)
    }

    /// The version of the program at `path` if it is this peer. Only options that send no signal
    /// are used.
    fn version(&self, path: &Path) -> Option<String> {
        ["--version", "--help"].iter().find_map(|option| {
            let output = Command::new(path)
                .arg0(self.called)
                .arg(option)
                .stdin(Stdio::null())
                .output()
                .ok()?;
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            let line = text
                .lines()
                .find(|line| line.contains(self.identified_by))?;
            let version = line
                .split([' ', '-', ','])
                .map(|word| word.trim_start_matches('v'));
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

/// Whether an ELF file names no program interpreter, whose path is near the beginning.
fn is_static(path: &Path) -> Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(4096).read_to_end(&mut start)?;
    Ok(!start.windows(4).any(|bytes| bytes == b"/ld-"))
}

/// The file named by the user, or else every distinct file with one of these names on the PATH.
fn candidates(names: &[&str], chosen: Option<PathBuf>) -> impl Iterator<Item = PathBuf> {
    let search = env::var_os("PATH").unwrap_or_default();
    let mut seen = HashSet::new();
    let paths: Vec<PathBuf> = match chosen {
        Some(path) => vec![path],
        None => env::split_paths(&search)
            .flat_map(|dir| names.iter().map(move |name| dir.join(name)))
            .collect(),
    };
    paths
        .into_iter()
        .filter_map(|path| fs::canonicalize(path).ok())
        .filter(move |path| seen.insert(path.clone()))
}

fn floors(bin_dir: &BinDir, missing: &mut Vec<String>) -> Result<Vec<Program>> {
    let mut floors = Vec::new();
    for (label, flags) in FLOORS {
        match compile(bin_dir, label, flags)? {
            Some(floor) => floors.push(floor),
            None => missing.push(format!(
                "{label}: `apt-get install gcc libc6-dev`, or this processor is not known to `floor.c`"
            )),
        }
    }
    Ok(floors)
}

fn compile(bin_dir: &BinDir, label: &str, flags: &[&str]) -> Result<Option<Program>> {
    let source = bin_dir.directory.join("floor.c");
    let binary = bin_dir.directory.join("floor");
    fs::write(&source, FLOOR_SOURCE)?;
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-s"]).args(flags);
    let compiled = compiler.arg("-o").arg(&binary).arg(&source).output();
    if compiled.is_ok_and(|output| output.status.success()) {
        bin_dir.add(label, &binary, "kill").map(Some)
    } else {
        Ok(None)
    }
}
