//! A program under test: copied next to the others, so that all are loaded from the same file
//! system, and timed from before its spawn until it has been reaped.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::fcntl::OFlag;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::Mode;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use crate::process;

/// A directory of its own on a tmpfs, removed at the end.
pub struct BinDir {
    pub directory: PathBuf,
    pub in_memory: bool,
}

impl BinDir {
    pub fn build() -> Result<Self> {
        let in_memory = ["/dev/shm", "/run", "/tmp"]
            .map(Path::new)
            .into_iter()
            .find(|path| runs_from_memory(path));
        let parent = in_memory.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let directory = parent.join(format!("sigsend-bench-{}", std::process::id()));
        fs::create_dir(&directory).with_context(|| format!("creating {}", directory.display()))?;
        Ok(Self {
            directory,
            in_memory: in_memory.is_some(),
        })
    }

    /// Copies the file `original`, to be run with `called` as its argv[0].
    pub fn add(&self, label: &str, original: &Path, called: &'static str) -> Result<Program> {
        let path = self.directory.join(label.replace(' ', "-"));
        fs::copy(original, &path).with_context(|| format!("copying {}", original.display()))?;
        Ok(Program {
            label: label.to_owned(),
            path,
            called,
        })
    }
}

impl Drop for BinDir {
    fn drop(&mut self) {
        // A failure at exit is left to the system's cleanup of temporary files.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn runs_from_memory(path: &Path) -> bool {
    statfs(path).is_ok_and(|fs| fs.filesystem_type() == TMPFS_MAGIC)
        && statvfs(path).is_ok_and(|fs| {
            !fs.flags()
                .intersects(FsFlags::ST_NOEXEC | FsFlags::ST_RDONLY)
        })
}

#[derive(Clone)]
pub struct Program {
    pub label: String,
    pub path: PathBuf,
    called: &'static str,
}

impl Program {
    pub fn size(&self) -> Result<u64> {
        Ok(fs::metadata(&self.path)?.len())
    }

    pub fn invocation(&self, locale: &str, args: &[String]) -> Result<Invocation> {
        let path = CString::new(self.path.as_os_str().as_bytes())?;
        let called = [self.called.to_owned()];
        let args = called
            .iter()
            .chain(args)
            .map(|arg| CString::new(arg.as_str()))
            .collect::<Result<_, _>>()?;
        let search = std::env::var("PATH").unwrap_or_default();
        let environment = vec![
            CString::new(format!("PATH={search}"))?,
            CString::new(format!("LC_ALL={locale}"))?,
        ];
        Ok(Invocation {
            program: self.clone(),
            locale: locale.to_owned(),
            path,
            args,
            environment,
        })
    }
}

/// One command line, prepared to be run repeatedly.
pub struct Invocation {
    pub program: Program,
    locale: String,
    path: CString,
    args: Vec<CString>,
    environment: Vec<CString>,
}

impl Invocation {
    /// Starts the program with /dev/null as its standard streams.
    pub fn spawn(&self) -> Result<Pid> {
        let mut actions = PosixSpawnFileActions::init()?;
        for fd in 0..=2 {
            actions.add_open(fd, "/dev/null", OFlag::O_RDWR, Mode::empty())?;
        }
        // Rust makes this process ignore PIPE, and the child would inherit that.
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF)?;
        attributes.set_sigdefault(&SigSet::from(Signal::SIGPIPE))?;
        posix_spawn(
            self.path.as_c_str(),
            &actions,
            &attributes,
            &self.args,
            &self.environment,
        )
        .with_context(|| format!("starting {}", self.program.label))
    }

    /// Seconds from before the spawn until the program has been reaped.
    pub fn time(&self) -> Result<f64> {
        let start = Instant::now();
        let pid = self.spawn()?;
        self.finish(pid)?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// Seconds of CPU time, which other processes of a busy machine do not change.
    pub fn cpu_time(&self) -> Result<f64> {
        Ok(self.finish(self.spawn()?)?.as_secs_f64())
    }

    /// Waits for the program, which must succeed; the CPU time that it took.
    pub fn finish(&self, pid: Pid) -> Result<Duration> {
        match process::reap(pid)? {
            (WaitStatus::Exited(_, 0), cpu) => Ok(cpu),
            (status, _) => bail!("{} ended with {status:?}", self.program.label),
        }
    }

    /// The same command line for runs that are not timed.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program.path);
        command
            .arg0(self.program.called)
            .args(
                self.args
                    .iter()
                    .skip(1)
                    .map(|arg| std::ffi::OsStr::from_bytes(arg.to_bytes())),
            )
            .env("LC_ALL", &self.locale)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Runs the program once and returns its standard output; an error if it fails.
    pub fn run_once(&self) -> Result<String> {
        let output = self
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            bail!(
                "{}: {}",
                output.status,
                message.lines().next().unwrap_or_default()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
