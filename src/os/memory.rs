//! The allocator: malloc(3), and what is done before the program aborts because memory has run out:
//! stopped processes are continued.

#![expect(unsafe_code, reason = "the interface of an allocator is unsafe")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::TryReserveError;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::os::sys::{self, Scope};
use crate::signal::Signal;

/// Pidfds of processes that get CONT if memory runs out while the value lives. One value at a time.
pub struct LastResort {
    fds: Vec<RawFd>,
}

/// The list of the one `LastResort`, where the allocator finds it. Only one thread allocates: the
/// one that writes output takes what was made before.
static FDS: AtomicPtr<RawFd> = AtomicPtr::new(ptr::null_mut());
static COUNT: AtomicUsize = AtomicUsize::new(0);

impl LastResort {
    pub fn new() -> Self {
        Self { fds: Vec::new() }
    }

    /// Adds a process, whose pidfd must stay open as long as this value lives.
    pub fn add(&mut self, fd: BorrowedFd) -> Result<(), TryReserveError> {
        // If this fails, the old list is still in its place.
        self.fds.try_reserve(1)?;
        self.fds.push(fd.as_raw_fd());
        FDS.store(self.fds.as_mut_ptr(), Ordering::Relaxed);
        COUNT.store(self.fds.len(), Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for LastResort {
    fn drop(&mut self) {
        COUNT.store(0, Ordering::Relaxed);
    }
}

/// Continues all of the list, without allocating.
fn resort() {
    let (fds, count) = (FDS.load(Ordering::Relaxed), COUNT.load(Ordering::Relaxed));
    for index in 0..count {
        // SAFETY: the list has `count` elements, each an open descriptor, until the LastResort is
        // dropped.
        let fd = unsafe { BorrowedFd::borrow_raw(*fds.add(index)) };
        // One that cannot be continued is dead or another user's.
        let _ = sys::pidfd_send_signal(fd, Signal::CONT, None, Scope::Process);
    }
}

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

impl Allocator {
    fn checked(memory: *mut u8) -> *mut u8 {
        if memory.is_null() {
            resort();
        }
        memory
    }
}

// SAFETY: every call is passed on to the system's allocator as it is, and so is what that returns.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to the contract of alloc, which is the same.
        Self::checked(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        Self::checked(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        Self::checked(unsafe { System.realloc(memory, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
