//! Events in words: the lines of `--verbose`, and errors of the whole call; `failure` has those
//! about a target. Text from other processes is escaped.

use std::ffi::OsStr;
use std::fmt::Write;
use std::io;
use std::time::Duration;

use nix::errno::Errno;

use crate::escape::escape;
use crate::event::{Core, Ending, Outcome, Subject, What};
use crate::signal::Signal;
use crate::target::Target;
use crate::usage::{Kind, UsageError};

/// Members of a control group that have no PID here.
pub fn unseen(subject: &Subject, count: usize) -> String {
    let processes = if count == 1 { "process" } else { "processes" };
    format!(
        "{count} {processes} of another PID namespace in {}",
        escape(subject.typed.text.as_bytes())
    )
}

/// The line of `--verbose` on standard output. `None` for what `failure` and `preview`
/// have the words of.
pub fn line(subject: &Subject, outcome: &Outcome) -> Option<String> {
    let who = described(subject);
    Some(match outcome {
        Outcome::Sent { signal, .. } if signal.is_null() => format!("{who} may be signalled"),
        Outcome::Sent {
            signal,
            value,
            after,
        } => {
            let value = value.map(|value| format!(" with value {value}"));
            format!(
                "sent {}{} to {who}{}{}",
                numbered(*signal),
                value.unwrap_or_default(),
                workplace(subject),
                later(*after)
            )
        }
        Outcome::SentUnseen {
            signal,
            count,
            after,
        } => format!(
            "sent {} to {}{}",
            numbered(*signal),
            unseen(subject, *count),
            later(*after)
        ),
        Outcome::WouldSendUnseen { signal, count } => format!(
            "would send {} to {}",
            numbered(*signal),
            unseen(subject, *count)
        ),
        Outcome::Failed(_)
        | Outcome::Skipped
        | Outcome::Escaped
        | Outcome::Unstopped
        | Outcome::StillThere { .. }
        | Outcome::AlreadyGone(Some(_))
        | Outcome::WouldSend(_) => return None,
        Outcome::AlreadyGone(None) => format!("{who} is already gone"),
        Outcome::Gone { ending, after } => {
            format!("{who} {} after {}", ended(*ending), seconds(*after))
        }
        Outcome::Found => who,
        Outcome::Alive => format!("{who} is alive"),
    })
}

/// Where a process works that `--cwd` selected by itself.
fn workplace(subject: &Subject) -> String {
    match subject.typed.what {
        What::Directory => format!(" in {}", escape(subject.typed.text.as_bytes())),
        _ => String::new(),
    }
}

fn later(after: Option<Duration>) -> String {
    after.map_or_else(String::new, |after| format!(" after {}", seconds(after)))
}

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
    let error = UsageError::value(format!(
        "'{}': invalid signal",
        escape(text.as_encoded_bytes())
    ));
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
    let causes = error
        .chain()
        .map(|cause| match cause.downcast_ref::<Errno>() {
            Some(errno) => errno_words(*errno).to_owned(),
            None => cause
                .downcast_ref()
                .map_or_else(|| cause.to_string(), error_words),
        });
    causes.collect::<Vec<_>>().join(": ")
}

/// `4242 (nginx)`, or the target if there is no PID.
pub fn described(subject: &Subject) -> String {
    let mut text = match (subject.pid, &subject.typed.what) {
        (Some(pid), _) => pid.to_string(),
        (None, What::Target(Target::OwnGroup)) => "sigsend's own process group".to_owned(),
        (None, What::Target(Target::Everyone)) => "everyone".to_owned(),
        (None, What::Target(Target::Group(group))) => format!("process group {group}"),
        (None, _) => escape(subject.typed.text.as_bytes()),
    };
    if let Some(name) = subject.name {
        write!(text, " ({})", escape(name)).expect("a String takes everything");
    }
    text
}

/// The number of a `:PORT`, with what follows it.
pub fn port<'a>(subject: &Subject<'a>) -> &'a str {
    subject.typed.text.trim_start_matches(':')
}

/// `TERM (15)`
pub fn numbered(signal: Signal) -> String {
    format!("{signal} ({})", signal.number())
}

fn ended(ending: Ending) -> String {
    match ending {
        Ending::Exited(code) => format!("exited with status {code}"),
        Ending::Killed {
            signal,
            core: Core::Not | Core::Unknown,
        } => format!("was killed by {signal}"),
        Ending::Killed {
            signal,
            core: Core::Dumped,
        } => format!("was killed by {signal} (core dumped)"),
        Ending::Unknown => "ended in an unknown way".to_owned(),
    }
}

pub fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Typed;
    use crate::output::samples::{pid, typed};

    fn process(typed: &Typed) -> Subject<'_> {
        Subject {
            typed,
            pid: Some(pid(4242)),
            inode: None,
            name: Some(b"s\x1bh"),
        }
    }

    #[test]
    fn a_target_is_described_by_what_it_means() {
        let table = [
            ("0", "sigsend's own process group"),
            ("-1", "everyone"),
            ("-17", "process group 17"),
            ("nginx", "nginx"),
            ("./web", "./web"),
            ("worker.py", "worker.py"),
        ];
        for (text, words) in table {
            let typed = typed(text);
            assert_eq!(described(&Subject::target(&typed)), words);
            assert_eq!(described(&process(&typed)), "4242 (s\\x1bh)");
        }
    }

    #[test]
    fn every_event_has_its_line() {
        let signal = Signal::TERM;
        let sent = |signal, value, after| Outcome::Sent {
            signal,
            value,
            after,
        };
        let after = Duration::from_millis(5010);
        let gone = |ending| Outcome::Gone { ending, after };
        let killed = |core| Ending::Killed { signal, core };
        let table = [
            ("4242", sent(signal, None, None), "sent TERM (15) to WHO"),
            (
                "4242",
                sent(signal, Some(-7), Some(after)),
                "sent TERM (15) with value -7 to WHO after 5.01 s",
            ),
            (
                "4242",
                sent(Signal::NULL, None, None),
                "WHO may be signalled",
            ),
            (
                "/srv",
                sent(signal, None, Some(after)),
                "sent TERM (15) to WHO in /srv after 5.01 s",
            ),
            (
                "./web",
                Outcome::SentUnseen {
                    signal,
                    count: 1,
                    after: None,
                },
                "sent TERM (15) to 1 process of another PID namespace in ./web",
            ),
            (
                "./web",
                Outcome::WouldSendUnseen { signal, count: 2 },
                "would send TERM (15) to 2 processes of another PID namespace in ./web",
            ),
            ("4242", Outcome::AlreadyGone(None), "WHO is already gone"),
            (
                "4242",
                gone(Ending::Exited(3)),
                "WHO exited with status 3 after 5.01 s",
            ),
            (
                "4242",
                gone(killed(Core::Unknown)),
                "WHO was killed by TERM after 5.01 s",
            ),
            (
                "4242",
                gone(killed(Core::Dumped)),
                "WHO was killed by TERM (core dumped) after 5.01 s",
            ),
            (
                "4242",
                gone(Ending::Unknown),
                "WHO ended in an unknown way after 5.01 s",
            ),
            ("4242", Outcome::Found, "WHO"),
            ("4242", Outcome::Alive, "WHO is alive"),
        ];
        for (text, outcome, words) in table {
            let words = words.replace("WHO", "4242 (s\\x1bh)");
            assert_eq!(line(&process(&typed(text)), &outcome), Some(words));
        }
        assert_eq!(line(&process(&typed("4242")), &Outcome::Skipped), None);
    }

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
