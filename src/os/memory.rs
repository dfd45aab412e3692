//! The allocator. A short run takes its memory from the program's own image: the system calls and
//! page faults of malloc(3) would cost it more than its work. malloc(3) serves what does not fit,
//! and the end of the image what malloc(3) refuses. Before the program aborts because all of it has
//! run out, stopped processes are continued and a frozen control group is thawed.

#![expect(unsafe_code, reason = "the interface of an allocator is unsafe")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::collections::TryReserveError;
use std::hint;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering};

use nix::{libc, unistd};

use crate::os::sys::{self, Scope};
use crate::signal::Signal;

/// Pidfds of processes that get CONT, and the control group that is thawed, if memory runs out
/// while the value lives. One value at a time.
pub struct LastResort {
    fds: Vec<RawFd>,
}

/// The list of the one `LastResort`, where the allocator finds it. Only one thread allocates: the
/// one that writes output takes what was made before.
static FDS: AtomicPtr<RawFd> = AtomicPtr::new(ptr::null_mut());
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// The cgroup.freeze of the group, -1 for none.
static FROZEN: AtomicI32 = AtomicI32::new(-1);

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

    /// Adds a control group by its cgroup.freeze, which must stay open as long as this value lives.
    #[expect(
        clippy::unused_self,
        reason = "the group is thawed only while the value lives"
    )]
    pub fn add_frozen(&mut self, freeze: BorrowedFd) {
        FROZEN.store(freeze.as_raw_fd(), Ordering::Relaxed);
    }
}

impl Drop for LastResort {
    fn drop(&mut self) {
        COUNT.store(0, Ordering::Relaxed);
        FROZEN.store(-1, Ordering::Relaxed);
    }
}

/// Continues and thaws all of the value, without allocating.
fn resort() {
    let (fds, count) = (FDS.load(Ordering::Relaxed), COUNT.load(Ordering::Relaxed));
    for index in 0..count {
        // SAFETY: the list has `count` elements, each an open descriptor, until the LastResort is
        // dropped.
        let fd = unsafe { BorrowedFd::borrow_raw(*fds.add(index)) };
        // One that cannot be continued is dead or another user's.
        let _ = sys::pidfd_send_signal(fd, Signal::CONT, None, Scope::Process);
    }
    let frozen = FROZEN.load(Ordering::Relaxed);
    if frozen != -1 {
        // SAFETY: an open descriptor until the LastResort is dropped.
        let _ = unistd::write(unsafe { BorrowedFd::borrow_raw(frozen) }, b"0");
    }
}

/// How much memory the image has. A page of it takes real memory after it was first written.
const IMAGE: usize = 512 << 10;
/// What of it is kept for when malloc(3) has none.
const RESERVE: usize = 64 << 10;
/// What every run writes to: the pages are had by one system call instead of a fault each.
const ALWAYS: usize = 64 << 10;
/// The size and the alignment of the smallest block. The others are powers of two.
const BLOCK: usize = 16;

#[repr(C, align(4096))]
struct Image([u8; IMAGE]);

/// The blocks of the image.
struct Blocks {
    image: Image,
    /// Where the part begins that was in no block yet.
    used: usize,
    /// For each size the last block that was freed. A free block begins with the one freed before.
    free: [*mut u8; IMAGE.ilog2() as usize + 1],
}

impl Blocks {
    /// The size of the block for an allocation, if it can be in the image.
    fn size(layout: Layout) -> Option<usize> {
        let size = layout.size().max(BLOCK);
        (layout.align() <= BLOCK && size <= IMAGE).then(|| size.next_power_of_two())
    }

    fn take(&mut self, size: usize, limit: usize) -> *mut u8 {
        let free = &mut self.free[size.ilog2() as usize];
        if !free.is_null() {
            let block = *free;
            // SAFETY: `give` has written it there.
            *free = unsafe { block.cast::<*mut u8>().read_unaligned() };
            return block;
        }
        if size > limit.saturating_sub(self.used) {
            return ptr::null_mut();
        }
        let image = self.image.0.as_mut_ptr();
        if self.used == 0 {
            // SAFETY: pages of ours; their content stays. Before Linux 5.14 it is an error, which
            // changes nothing.
            unsafe { libc::madvise(image.cast(), ALWAYS, libc::MADV_POPULATE_WRITE) };
        }
        // SAFETY: inside the image.
        let block = unsafe { image.add(self.used) };
        self.used += size;
        block
    }

    fn give(&mut self, block: *mut u8, size: usize) {
        let free = &mut self.free[size.ilog2() as usize];
        // SAFETY: the block is at least as long as a pointer, and nobody uses it any more.
        unsafe { block.cast::<*mut u8>().write_unaligned(*free) };
        *free = block;
    }
}

struct Allocator {
    blocks: UnsafeCell<Blocks>,
    is_locked: AtomicBool,
}

// SAFETY: `with` gives the blocks to one thread at a time.
unsafe impl Sync for Allocator {}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator {
    blocks: UnsafeCell::new(Blocks {
        image: Image([0; IMAGE]),
        used: 0,
        free: [ptr::null_mut(); IMAGE.ilog2() as usize + 1],
    }),
    is_locked: AtomicBool::new(false),
};

impl Allocator {
    fn with<T>(&self, act: impl FnOnce(&mut Blocks) -> T) -> T {
        while self.is_locked.swap(true, Ordering::Acquire) {
            hint::spin_loop();
        }
        // SAFETY: the lock is held, and `act` never allocates.
        let result = act(unsafe { &mut *self.blocks.get() });
        self.is_locked.store(false, Ordering::Release);
        result
    }

    /// Whether an allocation is in the image.
    fn has(&self, memory: *mut u8) -> bool {
        memory.addr().wrapping_sub(self.blocks.get().addr()) < size_of::<Blocks>()
    }

    fn take(&self, layout: Layout, limit: usize) -> *mut u8 {
        match Blocks::size(layout) {
            Some(size) => self.with(|blocks| blocks.take(size, limit)),
            None => ptr::null_mut(),
        }
    }

    /// Memory from the image, else by `system`, else from the reserve.
    fn first(&self, layout: Layout, system: impl FnOnce() -> *mut u8) -> *mut u8 {
        let mut memory = self.take(layout, IMAGE - RESERVE);
        if memory.is_null() {
            memory = system();
        }
        if memory.is_null() {
            memory = self.take(layout, IMAGE);
        }
        if memory.is_null() {
            resort();
        }
        memory
    }
}

// SAFETY: a block of the image belongs to one allocation at a time, is long enough and aligned;
// everything else is passed on to the system's allocator.
unsafe impl GlobalAlloc for Allocator {
    // Inlined everywhere, these would make the program a tenth larger, and so slower to start.
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to the contract of alloc, which is the same.
        self.first(layout, || unsafe { System.alloc(layout) })
    }

    #[inline(never)]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(size, layout.align()) else {
            return ptr::null_mut();
        };
        let new = if !self.has(memory) {
            // SAFETY: the system's allocator made it, and the caller keeps to the contract.
            let new = unsafe { System.realloc(memory, layout, size) };
            if !new.is_null() {
                return new;
            }
            self.first(wanted, ptr::null_mut)
        } else if Blocks::size(layout) == Blocks::size(wanted) {
            return memory;
        } else {
            // SAFETY: as above.
            unsafe { self.alloc(wanted) }
        };
        if !new.is_null() {
            // SAFETY: two allocations, each at least as long.
            unsafe { ptr::copy_nonoverlapping(memory, new, layout.size().min(size)) };
            // SAFETY: the caller gives it up.
            unsafe { self.dealloc(memory, layout) };
        }
        new
    }

    #[inline(never)]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        match Blocks::size(layout).filter(|_| self.has(memory)) {
            Some(size) => self.with(|blocks| blocks.give(memory, size)),
            // SAFETY: as above.
            None => unsafe { System.dealloc(memory, layout) },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;

    use proptest::prelude::*;

    use super::*;

    /// Another allocator, too large for a stack.
    #[expect(
        clippy::cast_ptr_alignment,
        reason = "the memory has the layout of an allocator"
    )]
    fn allocator() -> &'static Allocator {
        // SAFETY: an allocator whose bytes are all 0 has used nothing of its image.
        unsafe {
            &*System
                .alloc_zeroed(Layout::new::<Allocator>())
                .cast::<Allocator>()
        }
    }

    /// An allocation of the test: where it is, and the byte that all of it holds.
    struct Held {
        memory: *mut u8,
        layout: Layout,
        byte: u8,
    }

    impl Held {
        fn bytes(&self) -> &[u8] {
            // SAFETY: `hold` filled the allocation.
            unsafe { std::slice::from_raw_parts(self.memory, self.layout.size()) }
        }

        fn hold(memory: *mut u8, layout: Layout, byte: u8) -> Self {
            assert!(!memory.is_null() && memory.addr().is_multiple_of(layout.align()));
            // SAFETY: the allocation is as long.
            unsafe { memory.write_bytes(byte, layout.size()) };
            Self {
                memory,
                layout,
                byte,
            }
        }
    }

    fn layout() -> impl Strategy<Value = Layout> {
        let size = prop_oneof![1..200usize, 1..70_000usize];
        (size, prop::sample::select(vec![1, 8, 16, 32, 4096])).prop_map(|(size, align)| {
            Layout::from_size_align(size, align).expect("small and a power of two")
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn no_allocation_changes_another(steps in prop::collection::vec((0..3, layout(), any::<u8>(), any::<usize>()), 1..80)) {
            let allocator = allocator();
            let mut held: Vec<Held> = Vec::new();
            for (step, layout, byte, which) in steps {
                if step == 0 || held.is_empty() {
                    // SAFETY: not of size 0.
                    held.push(Held::hold(unsafe { allocator.alloc(layout) }, layout, byte));
                    continue;
                }
                let Held { memory, layout: old, byte: before } = held.swap_remove(which % held.len());
                if step == 1 {
                    // SAFETY: allocated with this layout.
                    unsafe { allocator.dealloc(memory, old) };
                } else {
                    let new = Layout::from_size_align(layout.size(), old.align()).expect("small");
                    // SAFETY: as above.
                    let memory = unsafe { allocator.realloc(memory, old, new.size()) };
                    let kept = old.size().min(new.size());
                    // SAFETY: realloc keeps what fits.
                    let is_kept = (0..kept).all(|index| unsafe { *memory.add(index) } == before);
                    prop_assert!(is_kept);
                    held.push(Held::hold(memory, new, byte));
                }
                for each in &held {
                    prop_assert!(each.bytes().iter().all(|byte| *byte == each.byte));
                }
            }
            for Held { memory, layout, .. } in held {
                // SAFETY: as above.
                unsafe { allocator.dealloc(memory, layout) };
            }
        }
    }

    #[test]
    fn the_reserve_is_for_when_the_system_has_no_memory() {
        let allocator = allocator();
        let page = Layout::from_size_align(4096, 8).expect("a power of two");
        let count = |limit| {
            (0..IMAGE)
                .take_while(|_| !allocator.take(page, limit).is_null())
                .count()
        };
        assert_eq!(count(IMAGE - RESERVE), (IMAGE - RESERVE) / 4096);
        // SAFETY: not of size 0.
        let of_system = unsafe { allocator.alloc(page) };
        assert!(!of_system.is_null() && !allocator.has(of_system));
        assert!(allocator.has(allocator.first(page, ptr::null_mut)));
        assert_eq!(count(IMAGE), RESERVE / 4096 - 1);
        // SAFETY: allocated with this layout.
        unsafe { allocator.dealloc(of_system, page) };
    }

    #[test]
    fn a_frozen_group_is_thawed_while_the_value_lives() {
        let path = std::env::temp_dir().join(format!("sigsend-memory-{}", std::process::id()));
        let file = File::create_new(&path).expect("a file of ours");
        let mut last_resort = LastResort::new();
        last_resort.add_frozen(file.as_fd());
        resort();
        drop(last_resort);
        resort();
        let written = fs::read(&path).expect("a file of ours");
        fs::remove_file(path).expect("a file of ours");
        assert_eq!(written, b"0");
    }
}
