//! Two control groups for victims, one below the other. Without permission to create them there are
//! none.

use std::fs;
use std::path::PathBuf;

use crate::cgroup::group::mount;
use crate::fuzz::roles::{Cgroup, Habit};

/// The two groups, created below the test's own group and removed on drop.
#[derive(Debug)]
pub struct Cgroups {
    upper: Option<PathBuf>,
}

impl Cgroups {
    pub fn new() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let own = own
            .lines()
            .find_map(|line| line.strip_prefix("0::"))
            .unwrap_or("/")
            .trim_end_matches('/')
            .to_owned();
        // This process is PID 1 in every namespace, so the inode of the namespace makes the name
        // unique.
        let namespace = fs::read_link("/proc/self/ns/pid")
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let number: String = namespace.chars().filter(char::is_ascii_digit).collect();
        let path = PathBuf::from(format!("{}{own}/sigsend-fuzz-{number}", mount()));
        let is_made = !mount().is_empty() && fs::create_dir(&path).is_ok();
        let mut cgroups = Self {
            upper: Some(path).filter(|_| is_made),
        };
        if let Some(lower) = cgroups.path(Cgroup::Lower) {
            fs::create_dir(lower).expect("below one of our own");
        }
        // Whether processes may be moved into it is known only after one was.
        let idle = std::process::Command::new("sleep").arg("60").spawn();
        let mut idle = idle.expect("sleep starts");
        let file = cgroups
            .path(Cgroup::Upper)
            .map(|path| path.join("cgroup.procs"));
        let is_usable = file.is_some_and(|file| fs::write(file, idle.id().to_string()).is_ok());
        let _ = idle.kill().and_then(|()| idle.wait());
        if !is_usable {
            cgroups.remove();
            cgroups.upper = None;
        }
        cgroups
    }

    pub fn path(&self, cgroup: Cgroup) -> Option<PathBuf> {
        let upper = self.upper.clone()?;
        Some(if cgroup == Cgroup::Lower {
            upper.join("lower")
        } else {
            upper
        })
    }

    /// Moves a victim into its group. Returns whether it is a member.
    pub fn take(&self, cgroup: Cgroup, pid: i32, habit: Habit) -> bool {
        let Some(path) = self.path(cgroup) else {
            return false;
        };
        // A zombie is not listed as a member.
        habit != Habit::Zombie && fs::write(path.join("cgroup.procs"), pid.to_string()).is_ok()
    }

    fn remove(&self) {
        for path in [Cgroup::Lower, Cgroup::Upper]
            .into_iter()
            .filter_map(|cgroup| self.path(cgroup))
        {
            let _ = fs::write(path.join("cgroup.kill"), "1");
            let end = std::time::Instant::now() + super::PATIENCE;
            while fs::remove_dir(&path).is_err() && std::time::Instant::now() < end {
                std::thread::yield_now();
            }
        }
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        self.remove();
    }
}
