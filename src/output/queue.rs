//! Output that never delays a signal: while signals are sent, texts are queued, and a thread writes
//! them while the caller sleeps.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::os::sys::HeldSignals;
use crate::output::screen::{Line, Screen};
use crate::output::terminal::Stream;

/// How many bytes are queued at most; texts that do not fit are dropped and counted.
const MOST: usize = 4 << 20;
/// The thread is started before the caller sleeps if this many bytes are queued.
const MANY: usize = 4 << 10;
/// How long a signal that may end this program waits for output.
const MOMENT: Duration = Duration::from_millis(250);
/// Between two looks at a terminal that stops writers in the background.
const LOOK: Duration = Duration::from_millis(100);

/// When texts are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// At once, however long it takes.
    AtOnce,
    /// Later, without delay for the caller.
    Queued,
}

/// Texts for both standard streams, in the order in which they were pushed.
pub struct Queue {
    shared: Arc<Shared>,
    writer: Writer,
}

enum Writer {
    /// The caller.
    Caller(Screen),
    /// Nothing writes yet. Most calls say little and end soon; they need no thread.
    Nobody,
    Thread(JoinHandle<Screen>),
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    texts: VecDeque<(Stream, String)>,
    /// The bytes of all texts.
    size: usize,
    /// How many lines did not fit.
    dropped: usize,
    /// The line of progress.
    line: Option<Arc<Line>>,
    phase: Phase,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// All is written.
    #[default]
    Idle,
    Busy,
    /// The thread is to end; the caller writes the rest.
    Closing,
}

impl Queue {
    pub fn new(pace: Pace) -> Self {
        let writer = match pace {
            Pace::AtOnce => Writer::Caller(Screen::default()),
            Pace::Queued => Writer::Nobody,
        };
        Self {
            shared: Arc::default(),
            writer,
        }
    }

    /// Writes a text or queues it.
    pub fn push(&mut self, stream: Stream, text: String) {
        if let Writer::Caller(screen) = &mut self.writer {
            return screen.write(stream, &text);
        }
        let mut state = self.shared.lock();
        if state.size + text.len() > MOST {
            state.dropped += text.matches('\n').count();
            return;
        }
        state.size += text.len();
        state.texts.push_back((stream, text));
        let is_much = state.size >= MANY;
        self.wake(state);
        if is_much {
            self.start();
        }
    }

    /// Replaces the line of progress, or wipes it. It is drawn once all texts are written.
    pub fn show(&mut self, line: Option<Line>) {
        let line = line.map(Arc::new);
        if let Writer::Caller(screen) = &mut self.writer {
            return screen.show(line);
        }
        let mut state = self.shared.lock();
        if state.line != line {
            state.line = line;
            self.wake(state);
        }
    }

    fn wake(&self, mut state: MutexGuard<State>) {
        state.phase = Phase::Busy;
        drop(state);
        if let Writer::Thread(_) = self.writer {
            self.shared.changed.notify_all();
        }
    }

    /// Starts the thread if there is something to write. To be called before the caller sleeps. If
    /// the thread cannot be started, texts stay queued until the next try or the end, so that no
    /// signal is delayed.
    pub fn start(&mut self) {
        if matches!(self.writer, Writer::Nobody) && self.shared.lock().phase == Phase::Busy {
            // The thread inherits this mask: signals to this process must reach the caller, which
            // may block them.
            let Ok(_held) = HeldSignals::hold() else {
                return;
            };
            let shared = Arc::clone(&self.shared);
            let thread = Builder::new()
                .stack_size(64 << 10)
                .spawn(move || shared.write());
            self.writer = thread.map_or(Writer::Nobody, Writer::Thread);
        }
    }

    /// Waits a moment for the queue to be written.
    pub fn settle(&mut self) {
        self.start();
        if let Writer::Thread(_) = self.writer {
            let is_busy = |state: &mut State| state.phase == Phase::Busy;
            let waited =
                self.shared
                    .changed
                    .wait_timeout_while(self.shared.lock(), MOMENT, is_busy);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Writes all that is queued, however long it takes. Returns the screen, for what is left to
    /// say, and the number of lines that were dropped.
    pub fn close(self) -> (Screen, usize) {
        let mut screen = match self.writer {
            Writer::Caller(screen) => screen,
            Writer::Nobody => Screen::default(),
            Writer::Thread(thread) => {
                self.shared.lock().phase = Phase::Closing;
                self.shared.changed.notify_all();
                thread.join().expect("writing does not panic")
            }
        };
        let mut state = self.shared.lock();
        for (stream, text) in mem::take(&mut state.texts) {
            screen.write(stream, &text);
        }
        screen.show(state.line.take());
        (screen, state.dropped)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: writes until it is told to end. The lock is not held during a system call that
    /// may block. Nothing is allocated here, see `os::memory`.
    fn write(&self) -> Screen {
        let mut screen = Screen::default();
        let mut state = self.lock();
        while state.phase != Phase::Closing {
            let next = state.texts.front().map(|(stream, _)| *stream);
            if let Some(stream) = next {
                drop(state);
                // With TTOU blocked, as here, the write would succeed in spite of `stty tostop`. It
                // is put off until the job is in the foreground; at the end the caller writes, and
                // is stopped.
                if stream.stops_writers() {
                    state = self.pause();
                    continue;
                }
                state = self.lock();
                let Some((stream, text)) = state.texts.pop_front() else {
                    continue;
                };
                state.size -= text.len();
                drop(state);
                screen.write(stream, &text);
                state = self.lock();
            } else if !screen.shows(state.line.as_ref()) {
                let line = state.line.clone();
                drop(state);
                screen.show(line);
                state = self.lock();
            } else {
                state.phase = Phase::Idle;
                self.changed.notify_all();
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
        screen
    }

    fn pause(&self) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout(self.lock(), LOOK);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
