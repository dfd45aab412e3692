//! Output that never delays a signal: while signals are sent, texts are queued, and a thread writes
//! them while the caller sleeps.
//!
//! A thread, since no way of writing that cannot block exists for every descriptor: poll(2) calls a
//! regular file writable although its server is dead, a pipe that others write to fills up after
//! the poll, and O_NONBLOCK would be theirs too.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::os::sys::HeldSignals;
use crate::output::terminal::Stream;

/// Bytes that are queued at most. Texts that do not fit are dropped, and their lines counted.
const CAPACITY: usize = 4 << 20;
/// Queued bytes at which the thread starts although the caller does not sleep yet.
const THREAD_THRESHOLD: usize = 4 << 10;
/// How long a signal that may end this program waits for output.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(250);
/// Between two checks of a terminal that stops writers in the background.
const TOSTOP_INTERVAL: Duration = Duration::from_millis(100);

/// Moves the cursor to the begin of the line, and wipes it.
const WIPE: &str = "\r\x1b[2K";

/// Texts for both standard streams, and the line of progress, in order.
pub struct Queue {
    shared: Arc<Shared>,
    writer: Writer,
    /// The line of progress, if it was shown after the last text.
    line: String,
}

/// Who writes.
pub enum Writer {
    /// The caller, at once, however long it takes.
    Caller(Screen),
    /// Nobody yet. Most calls say little and end soon; they need no thread.
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
    /// The line of progress that is to be drawn after them. What was not drawn in time is out of
    /// date.
    line: Option<String>,
    /// How many lines did not fit.
    dropped: usize,
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
    pub fn new(writer: Writer) -> Self {
        Self {
            shared: Arc::default(),
            writer,
            line: String::new(),
        }
    }

    /// Writes a text or queues it.
    pub fn push(&mut self, stream: Stream, text: String) {
        // The text wipes it.
        self.line.clear();
        if let Writer::Caller(screen) = &mut self.writer {
            return screen.write(stream, &text);
        }
        let mut state = self.shared.lock();
        if state.size + text.len() > CAPACITY {
            state.dropped += text.matches('\n').count();
            return;
        }
        state.size += text.len();
        state.line = None;
        state.texts.push_back((stream, text));
        let needs_thread = state.size >= THREAD_THRESHOLD;
        self.shared.wake(state);
        if needs_thread {
            self.start();
        }
    }

    /// Replaces the line of progress; an empty one wipes it.
    pub fn show(&mut self, line: String) {
        if self.line != line {
            self.line.clone_from(&line);
            let mut state = self.shared.lock();
            state.line = Some(line);
            self.shared.wake(state);
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
            let (changed, state) = (&self.shared.changed, self.shared.lock());
            let waited = changed.wait_timeout_while(state, SETTLE_TIMEOUT, is_busy);
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
        if let Some(line) = &state.line {
            screen.draw(line);
        }
        (screen, state.dropped)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut state: MutexGuard<State>) {
        state.phase = Phase::Busy;
        drop(state);
        self.changed.notify_all();
    }

    /// The thread: writes until it is told to end. The lock is not held during a system call that
    /// may block.
    fn write(&self) -> Screen {
        let mut screen = Screen::default();
        let mut state = self.lock();
        while state.phase != Phase::Closing {
            if let Some((stream, _)) = state.texts.front() {
                let stream = *stream;
                drop(state);
                // With TTOU blocked, as here, the write would succeed in spite of `stty tostop`. It
                // is put off until the job is in the foreground; at the end the caller writes, and
                // is stopped. The line of progress is not even tried then.
                let is_stopped = stream.stops_writers();
                state = self.lock();
                if is_stopped {
                    let waited = self.changed.wait_timeout(state, TOSTOP_INTERVAL);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                } else if let Some((stream, text)) = state.texts.pop_front() {
                    state.size -= text.len();
                    drop(state);
                    screen.write(stream, &text);
                    state = self.lock();
                }
            } else if let Some(line) = state.line.take() {
                drop(state);
                screen.draw(&line);
                state = self.lock();
            } else {
                state.phase = Phase::Idle;
                self.changed.notify_all();
                let woken = self.changed.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
            }
        }
        screen
    }
}

/// Both standard streams, and whether the line of progress is on the terminal that is standard
/// error.
#[derive(Default)]
pub struct Screen {
    is_drawn: bool,
    broken: [Option<io::Error>; 2],
}

impl Screen {
    /// Writes a text in one write. Nothing more is written to a stream that has failed.
    pub fn write(&mut self, mut stream: Stream, text: &str) {
        self.draw("");
        let broken = &mut self.broken[stream as usize];
        if broken.is_none() {
            *broken = stream.write_all(text.as_bytes()).err();
        }
    }

    /// The first failed write to a stream. A closed pipe (EPIPE) is no failure.
    pub fn failure(&self, stream: Stream) -> Option<&io::Error> {
        self.broken[stream as usize]
            .as_ref()
            .filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
    }

    /// Draws the line of progress in place of the last one; an empty one wipes it. In the
    /// background nothing is drawn: the cursor is at the shell's prompt.
    pub fn draw(&mut self, line: &str) {
        let was_drawn = mem::take(&mut self.is_drawn);
        if (was_drawn || !line.is_empty()) && Stream::Error.is_in_foreground() {
            // Losing the line is no error.
            let drawn = Stream::Error.write_all(format!("{WIPE}{line}").as_bytes());
            self.is_drawn = drawn.is_ok() && !line.is_empty();
        }
    }
}
