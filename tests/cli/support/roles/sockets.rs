//! Processes that listen on a port, and are hard to find.

use std::fs::File;
use std::mem;
use std::net::TcpListener;
use std::thread;

use nix::libc::rlim_t;
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};

use super::{ready, stay};

fn listen(port: u32) -> TcpListener {
    let port = port.try_into().expect("a port");
    TcpListener::bind(("0.0.0.0", port)).expect("a free port")
}

/// Only one thread has the socket open, in a table of descriptors of its own.
pub fn in_a_thread(port: u32) -> ! {
    thread::spawn(move || {
        unshare(CloneFlags::CLONE_FILES).expect("no permission is needed");
        let _listener = listen(port);
        ready();
        stay()
    });
    stay()
}

/// This many descriptors of a file are open, too, and sockets that listen on the next ports.
pub fn crowded(port: u32, descriptors: u32, sockets: u32) -> ! {
    let limit = rlim_t::from(descriptors + sockets + 100);
    // Fails only where the limit is higher already and must not be lowered, or is too low.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, limit, limit);
    let file = File::open("/dev/null").expect("a /dev");
    for _ in 0..descriptors {
        mem::forget(file.try_clone().expect("a descriptor"));
    }
    for other in 1..=sockets {
        mem::forget(listen(port + other));
    }
    let _listener = listen(port);
    ready();
    stay()
}
