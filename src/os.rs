//! The kernel: its system calls, /proc, control groups and sockets, as values. What they mean for a
//! target is decided in `find` and `run`. The only place of `unsafe` code.

mod bounded;
pub mod cgroup;
mod cwd;
mod directory;
pub mod net;
pub mod pidfd;
pub mod pids;
pub mod proc;
mod procfs;
pub mod sys;
