//! Two control groups for victims, one below the other. Without permission to create them there are
//! none.

use crate::cgroup::group::Group;
use crate::fuzz::roles::{Cgroup, Habit};
use crate::support::prelude::*;

/// The two groups, created below the test's own group and removed on drop.
pub struct Cgroups(Option<[Group; 2]>);

impl Cgroups {
    pub fn new() -> Self {
        Self(control_group().map(|upper| {
            let lower = upper.child("lower");
            [upper, lower]
        }))
    }

    pub fn path(&self, cgroup: Cgroup) -> Option<PathBuf> {
        let [upper, lower] = self.0.as_ref()?;
        let is_lower = cgroup == Cgroup::Lower;
        let group = if is_lower { lower } else { upper };
        Some(group.path().to_owned())
    }

    /// Moves a victim into its group. Returns whether it is a member.
    pub fn take(&self, cgroup: Cgroup, pid: i32, habit: Habit) -> bool {
        let procs = self.path(cgroup).map(|path| path.join("cgroup.procs"));
        // A zombie is not listed as a member.
        let moved = procs.filter(|_| habit != Habit::Zombie);
        moved.is_some_and(|procs| fs::write(procs, pid.to_string()).is_ok())
    }
}
