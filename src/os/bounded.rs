//! Reads that can block for ever: memory behind a mapping that never answers, a directory of a dead
//! file system. A helper thread makes them, and is abandoned together with a read that blocks it.

use std::io::{self, ErrorKind};
use std::iter;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::gettid;

use crate::os::procfs::slurp;
use crate::os::sys::HeldSignals;
use crate::target::Pid;

/// How long a read may take, in milliseconds. Each one that is abandoned halves it, down to
/// [`LEAST_PATIENCE`], so that a crowd of hostile processes costs little more than one.
static PATIENCE: AtomicU64 = AtomicU64::new(200);
const LEAST_PATIENCE: u64 = 10;

/// Reads need little; each abandoned thread keeps its stack.
const STACK: usize = 256 << 10;

/// So many results are handed over at once: to wake a thread costs as much as a read.
const BATCH: usize = 64;

/// The channel to the helper thread, which takes jobs until it is closed.
static HELPER: Mutex<Option<Sender<Job>>> = Mutex::new(None);

/// What the helper thread is to do, given its own number.
type Job = Box<dyn FnOnce(i32) + Send>;

/// Reads something of each process, in order and ahead of the caller. A read that blocks is an
/// error of kind `TimedOut`.
pub fn each<R: Send + 'static>(
    pids: Vec<Pid>,
    read: impl Fn(Pid) -> io::Result<R> + Clone + Send + 'static,
) -> impl Iterator<Item = (Pid, io::Result<R>)> {
    let mut pids = pids.into_iter();
    let mut ahead: Option<Ahead<R>> = None;
    let mut done = Vec::new().into_iter();
    iter::from_fn(move || {
        if done.len() == 0 && pids.len() > 0 {
            if ahead.is_none() {
                ahead = Ahead::start(pids.as_slice().to_vec(), read.clone());
            }
            let results = ahead.as_ref().map_or_else(Vec::new, Ahead::wait);
            done = results.into_iter();
        }
        let pid = pids.next()?;
        let result = done.next().unwrap_or_else(|| {
            if ahead.take().is_some() {
                let patience = PATIENCE.load(Ordering::Relaxed) / 2;
                PATIENCE.store(patience.max(LEAST_PATIENCE), Ordering::Relaxed);
                return Err(ErrorKind::TimedOut.into());
            }
            // No thread can be made: the caller's processes are too many, which is when some have
            // to be found and killed.
            read(pid)
        });
        Some((pid, result))
    })
}

/// What the helper thread reads ahead of the caller. Dropped before it has finished, it abandons
/// the thread.
struct Ahead<R>(Arc<Shared<R>>);

struct Shared<R> {
    progress: Mutex<Progress<R>>,
    changed: Condvar,
}

struct Progress<R> {
    results: Vec<io::Result<R>>,
    /// When the read that is under way began, and in which thread.
    began: Instant,
    thread: Option<i32>,
    is_finished: bool,
}

impl<R: Send + 'static> Ahead<R> {
    /// `None` if no thread can be made.
    fn start(pids: Vec<Pid>, read: impl Fn(Pid) -> io::Result<R> + Send + 'static) -> Option<Self> {
        let shared = Arc::new(Shared {
            progress: Mutex::new(Progress {
                results: Vec::new(),
                began: Instant::now(),
                thread: None,
                is_finished: false,
            }),
            changed: Condvar::new(),
        });
        let caller = Arc::downgrade(&shared);
        let job = move |thread| {
            let mut pids = pids.into_iter();
            let mut result = None;
            // Until the caller has gone.
            while let Some(shared) = caller.upgrade() {
                let mut progress = lock(&shared.progress);
                progress.results.extend(result.take());
                progress.is_finished = pids.len() == 0;
                if progress.is_finished || progress.results.len() >= BATCH {
                    shared.changed.notify_one();
                }
                let Some(pid) = pids.next() else {
                    return;
                };
                progress.began = Instant::now();
                progress.thread = Some(thread);
                drop(progress);
                drop(shared);
                result = Some(read(pid));
            }
        };
        submit(Box::new(job)).then_some(Self(shared))
    }

    /// The results once there are many, once all are there, or once a read blocks: then maybe none.
    fn wait(&self) -> Vec<io::Result<R>> {
        let patience = Duration::from_millis(PATIENCE.load(Ordering::Relaxed));
        let mut progress = lock(&self.0.progress);
        while progress.results.len() < BATCH && !progress.is_finished {
            let left = patience.saturating_sub(progress.began.elapsed());
            if left > Duration::ZERO {
                let waited = self.0.changed.wait_timeout(progress, left);
                progress = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let (began, thread) = (progress.began, progress.thread);
            // The thread may be waiting for this lock alone.
            drop(progress);
            let is_runnable = thread.is_none_or(is_runnable);
            progress = lock(&self.0.progress);
            if is_runnable {
                progress.began = Instant::now();
            } else if progress.began == began {
                break;
            }
        }
        mem::take(&mut progress.results)
    }
}

impl<R> Drop for Ahead<R> {
    fn drop(&mut self) {
        if !lock(&self.0.progress).is_finished {
            *lock(&HELPER) = None;
        }
    }
}

/// Whether a thread of this process waits for nothing but a CPU.
fn is_runnable(thread: i32) -> bool {
    let stat = slurp(&format!("self/task/{thread}/stat"));
    stat.is_ok_and(|stat| stat.windows(4).any(|part| part == b") R "))
}

/// Gives a job to the helper thread. `false` if there is none and none can be made.
fn submit(job: Job) -> bool {
    let mut helper = lock(&HELPER);
    if helper.is_none() {
        *helper = start_helper().ok();
    }
    helper.as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
}

fn start_helper() -> io::Result<Sender<Job>> {
    let (jobs, queue) = channel::<Job>();
    // The thread inherits the mask: a signal to this program is for its main thread, which may hold
    // it back.
    let _held = HeldSignals::hold()?;
    thread::Builder::new().stack_size(STACK).spawn(move || {
        let own = gettid().as_raw();
        for job in queue {
            job(own);
        }
    })?;
    Ok(jobs)
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

    #[test]
    fn the_thread_outlives_those_who_stop_asking() {
        let pids: Vec<Pid> = (1..=200).filter_map(|pid| pid.try_into().ok()).collect();
        for _ in 0..3 {
            let first = each(pids.clone(), |pid| Ok(pid.number())).next();
            let (_, result) = first.expect("there are processes");
            assert_eq!(result.expect("it does not block"), 1);
        }
    }
}
