//! From targets to recipients: processes are looked up, pinned, checked and classified before the
//! first signal, and trees, groups and control groups are looked at again. Nothing here sends a
//! signal; that is `run`'s.

pub mod cgroup;
mod demands;
pub mod filter;
pub mod group;
mod lookup;
mod member;
pub mod names;
pub mod pidfile;
pub mod port;
pub mod recipients;
pub mod select;
pub mod source;
pub mod spared;
pub mod tree;
