//! Words that lines share, and errors of the whole call. Text from other processes is escaped.

use std::ffi::OsStr;
use std::io;
use std::time::Duration;

use nix::errno::Errno;

use crate::escape::escape;
use crate::event::{Obstacle, Subject, What};
use crate::signal::Signal;
use crate::target::Target;
use crate::usage::{Kind, UsageError};

/// The lines about a refused command line: the error, the usage line unless a single value is
/// wrong, and a hint if the fix is known.
pub fn refusal(program: &str, error: &UsageError) -> String {
    let mut lines = vec![format!("{program}: {}", error.text)];
    let is_usage = error.kind != Kind::Value;
    lines.extend(is_usage.then(|| format!("Usage: {program} [options] <pid>...")));
    lines.extend(error.hint_for(program));
    lines.extend(is_usage.then(|| format!("Try '{program} --help' for more information.")));
    lines.join("\n") + "\n"
}

/// A text that should name a signal. The hint is the nearest name.
pub fn invalid_signal(text: &OsStr) -> UsageError {
    let error = UsageError::invalid(text, "signal");
    if text.is_empty() {
        return error.hint("the signal was empty; is a variable unset?");
    }
    match text.to_str().and_then(Signal::nearest) {
        Some(name) => error.hint(format!("did you mean {name}?")),
        None => error,
    }
}

/// An error of the system, in the same words in every build. Where nix's differ from glibc's
/// strerror(3) for an error that a caller may meet, glibc's are used.
pub fn errno_words(errno: Errno) -> &'static str {
    match errno {
        Errno::EAGAIN => "Resource temporarily unavailable",
        Errno::EBADF => "Bad file descriptor",
        Errno::EIO => "Input/output error",
        Errno::ENFILE => "Too many open files in system",
        Errno::ENOMEM => "Cannot allocate memory",
        _ => errno.desc(),
    }
}

/// An I/O error without the number that the standard library adds.
pub fn error_words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => errno_words(Errno::from_raw(errno)).to_owned(),
        None => error.to_string(),
    }
}

/// An error with its causes on one line.
pub fn sentence(error: &anyhow::Error) -> String {
    let causes =
        error.chain().map(
            |cause| match (cause.downcast_ref::<Errno>(), cause.downcast_ref()) {
                (Some(errno), _) => errno_words(*errno).to_owned(),
                (None, Some(error)) => error_words(error),
                (None, None) => cause.to_string(),
            },
        );
    causes.collect::<Vec<_>>().join(": ")
}

/// `4242 (nginx)`, or the target if there is no PID.
pub fn described(subject: &Subject) -> String {
    if let Some(count) = subject.unseen {
        let processes = if count == 1 { "process" } else { "processes" };
        let group = escape(&*subject.typed.text);
        return format!("{count} {processes} of another PID namespace in {group}");
    }
    let target = match (subject.pid, &subject.typed.what) {
        (Some(pid), _) => pid.to_string(),
        (None, What::Target(Target::OwnGroup)) => "sigsend's own process group".to_owned(),
        (None, What::Target(Target::Everyone)) => "everyone".to_owned(),
        (None, What::Target(Target::Group(group))) => format!("process group {group}"),
        (None, _) => escape(&*subject.typed.text),
    };
    match subject.name {
        Some(name) => format!("{target} ({})", escape(name)),
        None => target,
    }
}

/// `TERM (15)`
pub fn numbered(signal: Signal) -> String {
    format!("{signal} ({})", signal.number())
}

/// What keeps a process from acting on a signal.
pub fn obstacle(obstacle: Obstacle) -> String {
    match obstacle {
        Obstacle::Stopped => "stopped".to_owned(),
        Obstacle::TracedBy(tracer) => format!("traced by {tracer}"),
        Obstacle::Blocked => "blocked in the kernel".to_owned(),
        Obstacle::Ignores(signal) => format!("ignores {signal}"),
    }
}

pub fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_words_and_no_number() {
        for errno in [Errno::EBADF, Errno::EMFILE, Errno::ENOSPC, Errno::ESRCH] {
            let told = error_words(&errno.into());
            assert_eq!(told, errno_words(errno));
        }
        assert_eq!(errno_words(Errno::ENOSPC), "No space left on device");
        let other = io::Error::other("something else");
        assert_eq!(error_words(&other), "something else");
    }
}
