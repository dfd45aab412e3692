//! The kernel: its system calls, /proc, control groups and sockets, as values. What they mean for a
//! target is decided in `find` and `run`. The only place of `unsafe` code.

#[cfg(not(target_os = "linux"))]
compile_error!("sigsend is for Linux: it needs pidfds, /proc and Linux's signals");

mod bounded;
pub mod cgroup;
mod cwd;
pub mod exit;
pub mod net;
pub mod pidfd;
pub mod pids;
pub mod proc;
mod procfs;
pub mod sys;
