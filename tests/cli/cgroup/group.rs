//! A real control group. Its processes are killed and it is removed at the end of the test.

use std::fmt::{self, Display, Formatter};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::prelude::*;

pub struct Group {
    path: PathBuf,
    /// Whether it is removed on drop. A group below another one is removed with that one.
    is_top: bool,
}

pub fn mount() -> String {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc");
    let whole = |line: &&str| line.contains(" - cgroup2 ") && line.split(' ').nth(3) == Some("/");
    let path = mounts.lines().find(whole);
    let path = path.and_then(|line| line.split(' ').nth(4));
    path.unwrap_or_default().to_owned()
}

/// The mount point of a hierarchy of version 1, if there is one.
pub fn version_1() -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc");
    let mut lines = mounts.lines().filter(|line| line.contains(" - cgroup "));
    Some(lines.next()?.split(' ').nth(4)?.to_owned())
}

/// Creates a group below the test's own group. If that is not possible here, skips the test and
/// returns `None`.
pub fn control_group() -> Option<Group> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::"));
    let own = own.unwrap_or("/").trim_end_matches('/');
    if mount().is_empty() {
        skip("no control groups of version 2 are mounted");
        return None;
    }
    // PIDs repeat between PID namespaces.
    let namespace = fs::read_link("/proc/self/ns/pid").expect("/proc");
    let namespace = namespace.display().to_string();
    let namespace: String = namespace.chars().filter(char::is_ascii_digit).collect();
    let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let name = format!("sigsend-test-{namespace}-{process}-{count}");
    let path = PathBuf::from(format!("{}{own}/{name}", mount()));
    if let Err(error) = fs::create_dir(&path) {
        skip(format!("no control group can be created: {error}"));
        return None;
    }
    let group = Group { path, is_top: true };
    let asleep = Command::new("sleep").arg("60").spawn();
    let mut asleep = asleep.expect("sleep starts");
    let moved = fs::write(group.path.join("cgroup.procs"), asleep.id().to_string());
    let _ = asleep.kill().and_then(|()| asleep.wait());
    if let Err(error) = moved {
        skip(format!("no process can be put into a group: {error}"));
        return None;
    }
    Some(group)
}

impl Display for Group {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        self.path.display().fmt(formatter)
    }
}

impl Group {
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn arg(&self) -> String {
        self.path.to_str().expect("a path of ours").to_owned()
    }

    /// Its path as /proc/PID/cgroup shows it.
    pub fn shown(&self) -> String {
        let arg = self.arg();
        let shown = arg.strip_prefix(&mount());
        shown.expect("below the mount").to_owned()
    }

    pub fn child(&self, name: &str) -> Self {
        let path = self.path.join(name);
        fs::create_dir(&path).expect("a group below one of ours");
        let is_top = false;
        Self { path, is_top }
    }

    /// Removes this group, which must be empty, and creates another one with the same name.
    pub fn recreated(self) -> Self {
        let is_removed = || fs::remove_dir(&self.path).is_ok();
        eventually("the group to be removed", is_removed);
        fs::create_dir(&self.path).expect("the name is free");
        self
    }

    #[track_caller]
    pub fn take(&self, pid: i32) {
        let moved = fs::write(self.path.join("cgroup.procs"), pid.to_string());
        moved.expect("a process of ours can be moved");
    }

    pub fn sleeping(&self) -> Victim {
        let member = victim().sleeping();
        self.take(member.pid());
        member
    }

    /// A member that runs a script, which must `echo ready`.
    pub fn shell(&self, script: &str) -> Victim {
        let member = victim().shell(script);
        self.take(member.pid());
        member
    }

    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).expect("a file of the group")
    }

    pub fn is_populated(&self) -> bool {
        self.read("cgroup.events").contains("populated 1")
    }

    #[track_caller]
    pub fn freeze(&self) {
        fs::write(self.path.join("cgroup.freeze"), "1").expect("a group of ours can be frozen");
        let is_frozen = || self.read("cgroup.events").contains("frozen 1");
        eventually("the group to be frozen", is_frozen);
    }

    #[track_caller]
    pub fn thaw(&self) {
        fs::write(self.path.join("cgroup.freeze"), "0").expect("a group of ours can be thawed");
    }

    /// Removes a group and the groups below it, which must be empty. Returns whether it is gone.
    fn remove(path: &Path) -> bool {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                Self::remove(&entry.path());
            }
        }
        fs::remove_dir(path).is_ok() || !fs::exists(path).unwrap_or(true)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.is_top {
            let _ = fs::write(self.path.join("cgroup.kill"), "1");
            // This fails only if members do not die, which has failed the test before.
            let end = std::time::Instant::now() + crate::support::DEADLINE;
            while !Self::remove(&self.path) && std::time::Instant::now() < end {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
    }
}
