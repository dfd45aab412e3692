//! A process whose command line cannot be read: one of its threads waits for the content of a file
//! and holds the lock of the address space, and another one waits for that lock, so that no other
//! process gets it any more.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::thread;

use nix::libc;

use super::{ready, stay};
use crate::support::NOBODY;

/// A process of NOBODY with this command name that reads the file through a mapping, and then waits
/// for the lock when it gets a line.
pub fn unreadable(file: &str, name: &str) -> ! {
    const PAGE: u64 = 4096;
    let file = File::open(file).expect("the test has made it");
    // The kernel asks for the length only now, and no page beyond it can be read.
    let length = file.metadata().expect("the length of the file").len();
    assert!(length >= PAGE, "{length} bytes");
    let memory = File::open("/proc/self/mem").expect("a /proc");
    let mapped = map_page(file.as_raw_fd(), 0);
    become_nobody(name);
    ready();
    thread::spawn(move || memory.read_at(&mut [0], mapped as u64));
    let line = io::stdin().read_line(&mut String::new());
    line.expect("the test writes a line");
    map_page(-1, libc::MAP_ANONYMOUS);
    stay()
}

fn map_page(fd: i32, flags: i32) -> usize {
    // SAFETY: a new mapping, which only the kernel reads.
    let mapped = unsafe {
        let flags = libc::MAP_PRIVATE | flags;
        libc::mmap(ptr::null_mut(), 4096, libc::PROT_READ, flags, fd, 0)
    };
    assert_ne!(mapped, libc::MAP_FAILED, "{}", io::Error::last_os_error());
    mapped.addr()
}

/// A process that one signal ends and that ignores all others. NOBODY may signal it, but not read
/// how it has ended.
pub fn dies_of(signal: u32) -> ! {
    for other in 1..libc::SIGSYS {
        if other != libc::SIGCHLD && other.unsigned_abs() != signal {
            // SAFETY: no handler is installed; KILL and STOP give an error.
            unsafe { libc::signal(other, libc::SIG_IGN) };
        }
    }
    // SAFETY: takes integers.
    let changed = unsafe { libc::setresuid(NOBODY, NOBODY, 0) };
    assert_eq!(changed, 0, "only root can change its user");
    ready();
    stay()
}

/// A process of NOBODY with this command name that NOBODY may not ptrace(2), as each one is that
/// changed its user.
pub fn not_dumpable(name: &str) -> ! {
    become_nobody(name);
    ready();
    stay()
}

fn become_nobody(name: &str) {
    fs::write("/proc/self/comm", name).expect("the name of this process");
    // SAFETY: takes integers.
    let changed = unsafe { libc::setgid(NOBODY) | libc::setuid(NOBODY) };
    assert_eq!(changed, 0, "only root can change its user");
}
