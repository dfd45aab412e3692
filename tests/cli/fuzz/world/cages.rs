//! Control groups for victims: one, and one below it. Without permission to make them there are
//! none.

use std::fs;
use std::path::PathBuf;

use crate::cgroup::group::mount;
use crate::fuzz::cast::{Cage, Habit};

/// The two groups, made below the one that the test is in; removed with the value.
#[derive(Debug)]
pub struct Cages {
    upper: Option<PathBuf>,
}

impl Cages {
    pub fn new() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").trim_end_matches('/').to_owned();
        // In each PID namespace this process is 1; the namespace itself tells them apart.
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default().to_string_lossy().into_owned();
        let number: String = namespace.chars().filter(char::is_ascii_digit).collect();
        let path = PathBuf::from(format!("{}{own}/sigsend-fuzz-{number}", mount()));
        let is_made = !mount().is_empty() && fs::create_dir(&path).is_ok();
        let mut cages = Self { upper: Some(path).filter(|_| is_made) };
        if let Some(lower) = cages.path(Cage::Lower) {
            fs::create_dir(lower).expect("below one of our own");
        }
        // A first process shows whether there may be any in it.
        let idle = std::process::Command::new("sleep").arg("60").spawn();
        let mut idle = idle.expect("sleep starts");
        let file = cages.path(Cage::Upper).map(|path| path.join("cgroup.procs"));
        let is_usable = file.is_some_and(|file| fs::write(file, idle.id().to_string()).is_ok());
        let _ = idle.kill().and_then(|()| idle.wait());
        if !is_usable {
            cages.remove();
            cages.upper = None;
        }
        cages
    }

    pub fn path(&self, cage: Cage) -> Option<PathBuf> {
        let upper = self.upper.clone()?;
        Some(if cage == Cage::Lower { upper.join("lower") } else { upper })
    }

    /// Puts a victim into its group, if there is one; whether it is in.
    pub fn take(&self, cage: Cage, pid: i32, habit: Habit) -> bool {
        let Some(path) = self.path(cage) else { return false };
        // A zombie is in no list of members.
        habit != Habit::Leaves && fs::write(path.join("cgroup.procs"), pid.to_string()).is_ok()
    }

    fn remove(&self) {
        for path in [Cage::Lower, Cage::Upper].into_iter().filter_map(|cage| self.path(cage)) {
            let _ = fs::write(path.join("cgroup.kill"), "1");
            let end = std::time::Instant::now() + super::PATIENCE;
            while fs::remove_dir(&path).is_err() && std::time::Instant::now() < end {
                std::thread::yield_now();
            }
        }
    }
}

impl Drop for Cages {
    fn drop(&mut self) {
        self.remove();
    }
}
