//! Reads that can block for ever: memory behind a mapping that never answers, a directory of a dead
//! file system. A helper thread makes them, and is abandoned together with a read that blocks it.

use std::io::{self, ErrorKind};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::unistd::gettid;

use crate::os::procfs::slurp;
use crate::os::sys::HeldSignals;
use crate::target::Pid;

/// How long a read may take, in milliseconds. Each one that is abandoned halves it, down to
/// [`LEAST_PATIENCE`], so that a crowd of hostile processes costs little more than one.
static PATIENCE: AtomicU64 = AtomicU64::new(200);
const LEAST_PATIENCE: u64 = 10;

/// A read blocks if so many looks in this time find no progress.
const LOOKS: u32 = 4;

/// Reads need little; each abandoned thread keeps its stack.
const STACK: usize = 256 << 10;

static HELPER: Mutex<Option<Helper>> = Mutex::new(None);

struct Helper {
    thread: i32,
    /// Taken until it is closed.
    jobs: Sender<Job>,
}

type Job = Box<dyn FnOnce() + Send>;

/// Reads something of each process, in order. A read that blocks is an error of kind `TimedOut`.
pub fn each<T: Send + 'static>(
    pids: Vec<Pid>,
    read: impl Fn(Pid) -> io::Result<T> + Clone + Send + 'static,
) -> Vec<(Pid, io::Result<T>)> {
    let mut results = Vec::with_capacity(pids.len());
    while let rest @ [next, ..] = &pids[results.len()..] {
        match by_helper(rest.to_vec(), read.clone()) {
            Some(read) => results.extend(read),
            // No thread can be made: the caller's processes are too many, which is when some have
            // to be found and killed.
            None => results.push(read(*next)),
        }
    }
    pids.into_iter().zip(results).collect()
}

/// The same up to the first read that blocks, in one go: to wake a thread costs as much as a read.
fn by_helper<T: Send + 'static>(
    pids: Vec<Pid>,
    read: impl Fn(Pid) -> io::Result<T> + Send + 'static,
) -> Option<Vec<io::Result<T>>> {
    let mut helper = lock(&HELPER);
    if helper.is_none() {
        *helper = Helper::start().ok();
    }
    let Helper { thread, jobs } = helper.as_ref()?;
    let results = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::downgrade(&results);
    let (finished, is_finished) = channel::<()>();
    let job = move || {
        let _finished = finished;
        for pid in pids {
            let result = read(pid);
            // `None` if the caller has given it up.
            let Some(results) = shared.upgrade() else {
                return;
            };
            lock(&results).push(result);
        }
    };
    jobs.send(Box::new(job)).ok()?;
    let patience = PATIENCE.load(Ordering::Relaxed);
    let interval = Duration::from_millis(patience) / LOOKS;
    let (mut before, mut quiet) = (0, 0);
    while is_finished.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        let is_runnable = is_runnable(*thread);
        let mut results = lock(&results);
        let is_quiet = results.len() == before && !is_runnable;
        quiet = if is_quiet { quiet + 1 } else { 0 };
        before = results.len();
        if quiet == LOOKS {
            PATIENCE.store((patience / 2).max(LEAST_PATIENCE), Ordering::Relaxed);
            results.push(Err(ErrorKind::TimedOut.into()));
            let results = mem::take(&mut *results);
            *helper = None;
            return Some(results);
        }
    }
    let results = mem::take(&mut *lock(&results));
    Some(results)
}

impl Helper {
    fn start() -> io::Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let (own, thread) = channel();
        // The thread inherits the mask: a signal to this program is for its main thread, which may
        // hold it back.
        let _held = HeldSignals::hold()?;
        thread::Builder::new().stack_size(STACK).spawn(move || {
            // The caller waits for it.
            let _ = own.send(gettid().as_raw());
            queue.into_iter().for_each(|job| job());
        })?;
        let thread = thread.recv().map_err(io::Error::other)?;
        Ok(Self { thread, jobs })
    }
}

/// Whether a thread of this process waits for nothing but a CPU.
fn is_runnable(thread: i32) -> bool {
    let stat = slurp(&format!("self/task/{thread}/stat"));
    stat.is_ok_and(|stat| stat.windows(4).any(|part| part == b") R "))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_read_that_blocks_costs_no_other_its_answer() {
        let pids: Vec<Pid> = (1..=200).filter_map(|pid| pid.try_into().ok()).collect();
        let (reader, writer) = UnixStream::pair().expect("two sockets");
        let reader = Arc::new(reader);
        let read = move |pid: Pid| match pid.number() {
            1 | 3 | 150 => (&*reader).read(&mut [0]),
            number => usize::try_from(number).map_err(io::Error::other),
        };
        let mut seen = Vec::new();
        for (pid, result) in each(pids, read) {
            let wanted = usize::try_from(pid.number()).expect("positive");
            match result {
                Ok(found) => assert_eq!(found, wanted),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    seen.push(wanted);
                }
            }
        }
        assert_eq!(seen, [1, 3, 150]);
        drop(writer);
    }
}
