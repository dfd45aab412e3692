//! Failures in words: the line on standard error. `hint` knows what helps. What could not be read
//! is never claimed.

use std::time::SystemTime;

use nix::errno::Errno;

use crate::escape::escape;
use crate::event::{NoControlGroup, NoProcess, Obstacle, Outcome, Reason, Subject, What};
use crate::output::text::{described, errno_words, port, seconds, unseen};
use crate::target::{Pid, Target};

/// What the call does, for the wording of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Sending,
    Asking,
}

/// Where a complaint is told, beside `--json`, which has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// On standard error: a failure.
    AsError,
    /// With `--verbose`, and on standard error if that is a terminal.
    OnTerminal,
    /// With `--verbose`.
    AsEvent,
}

/// The line about an event that is a failure, or success of a kind that may surprise.
pub fn complaint(task: Work, subject: &Subject, outcome: &Outcome) -> Option<(String, Told)> {
    // A closure, so that events that are no failures format nothing.
    let about = |what: &str| format!("{} {what}", described(subject));
    let text = match outcome {
        Outcome::Failed(reason) => failure(task, subject, reason),
        Outcome::Unstopped => {
            about("could not be kept stopped; it may have forked before it was killed")
        }
        Outcome::Escaped => about("may be a child that a killed member left behind"),
        Outcome::StillThere { after, state } => {
            let state = match state {
                Some(Obstacle::Stopped) => ": stopped (CONT continues it)".to_owned(),
                Some(state) => format!(": {}", obstacle(*state)),
                None => String::new(),
            };
            about(&format!("is still there after {}{state}", seconds(*after)))
        }
        Outcome::Skipped => {
            let text = about("is sigsend itself or an ancestor of it: skipped");
            return Some((text, Told::AsEvent));
        }
        Outcome::AlreadyGone(Some(reason)) => {
            let text = format!("{}: already gone", failure(task, subject, reason));
            let told = match subject.typed.what {
                What::Target(Target::Name(_)) => Told::OnTerminal,
                _ => Told::AsEvent,
            };
            return Some((text, told));
        }
        _ => return None,
    };
    Some((text, Told::AsError))
}

/// What keeps a process from acting on a signal, in words.
pub fn obstacle(obstacle: Obstacle) -> String {
    match obstacle {
        Obstacle::Stopped => "stopped".to_owned(),
        Obstacle::TracedBy(tracer) => format!("traced by {tracer}"),
        Obstacle::Blocked => "blocked in the kernel".to_owned(),
        Obstacle::Ignores(signal) => format!("ignores {signal}"),
    }
}

fn failure(task: Work, subject: &Subject, reason: &Reason) -> String {
    let failed = |why: &str| match task {
        Work::Sending => format!("sending signal to {} failed: {why}", addressed(subject)),
        Work::Asking => format!("{}: {why}", addressed(subject)),
    };
    let pid = pid(subject);
    let named = |name: &[u8]| match name {
        [] => pid.clone(),
        name => format!("{pid} ({})", escape(name)),
    };
    match reason {
        Reason::Absent(NoProcess::Thread { of }) => {
            let is_thread = format!("{pid} is {}", thread_of(*of));
            match task {
                Work::Sending => failed(&is_thread),
                Work::Asking => is_thread,
            }
        }
        Reason::Absent(NoProcess::Gone) | Reason::NoGroup { .. } => {
            failed(errno_words(Errno::ESRCH))
        }
        // A security module answers EACCES, which says the same.
        Reason::NotPermitted { .. } => failed(errno_words(Errno::EPERM)),
        Reason::Refused(errno) => failed(errno_words(*errno)),
        Reason::Recycled => failed(&format!(
            "{}: this PID now belongs to another process",
            errno_words(Errno::ESRCH)
        )),
        Reason::EmptyWord => format!("'{}': invalid target", typed(subject)),
        Reason::Nobody(_) => nobody(subject),
        Reason::NotListening { of_others: 0, .. } => {
            format!("nothing listens on port {}", port(subject))
        }
        Reason::NotListening { .. } => format!(
            "only processes of other users listen on port {}",
            port(subject)
        ),
        Reason::HolderUnseen { owner } => format!(
            "cannot tell which process listens on port {}{}",
            port(subject),
            of_owner(owner.as_deref())
        ),
        Reason::OnlySigsend => format!("only sigsend itself answers to \"{}\"", typed(subject)),
        Reason::OnlySpared { first, name } => only_spared(subject, *first, name),
        Reason::Stale {
            file,
            started,
            written,
        } => format!(
            "{file} is stale: {pid} started at {}, the file was last modified at {}",
            moment(*started),
            moment(*written),
        ),
        Reason::NotExpected { expected, name } => {
            format!("{} is not {}", named(name), escape(expected))
        }
        Reason::NoSuchText { text, name } => format!(
            "{} does not have \"{}\" in its command line",
            named(name),
            escape(text)
        ),
        Reason::WorksElsewhere { wanted, directory } if directory.is_empty() => {
            format!("{pid} does not work in {}", escape(wanted))
        }
        Reason::WorksElsewhere { wanted, directory } => format!(
            "{pid} works in {}, not in {}",
            escape(directory),
            escape(wanted)
        ),
        Reason::OtherUser { wanted, user } => format!(
            "{pid} belongs to {}, not to {}",
            escape(user.as_bytes()),
            escape(wanted.as_bytes())
        ),
        Reason::Unverified { expected } => {
            format!("{pid} cannot be verified to be {}", escape(expected))
        }
        Reason::NotCaught { signal, name } => format!("{} does not catch {signal}", named(name)),
        Reason::CatchUnknown { signal } => {
            format!(
                "cannot tell whether {} catches {signal}",
                described(subject)
            )
        }
        Reason::Everyone => "the tree of process 1 is every process: refused".to_owned(),
        Reason::PerhapsAncestor { hidden } => format!(
            "{} may be an ancestor of sigsend, whose ancestor {hidden} is hidden in /proc: refused",
            described(subject)
        ),
        Reason::KernelThread => format!(
            "{} is a kernel thread, which no signal ends",
            described(subject)
        ),
        Reason::Protected => format!(
            "{} is process 1 of this PID namespace and catches none of the signals, so that the \
             kernel drops them: refused",
            described(subject)
        ),
        Reason::ChildrenUnread => format!(
            "the children of {} cannot be read, and may have got no signal",
            described(subject)
        ),
        Reason::ControlGroup(refused) => no_control_group(&typed(subject), *refused),
        Reason::OtherNamespace { count } => format!(
            "cannot signal {}, which only KILL without -r and --expect reaches",
            unseen(subject, *count)
        ),
    }
}

/// That nobody answers, with what was looked for.
fn nobody(subject: &Subject) -> String {
    let typed = typed(subject);
    match subject.typed.what {
        What::CommandLine => {
            format!("cannot find a process with \"{typed}\" in its command line")
        }
        What::Directory => format!("cannot find a process that works in {typed}"),
        What::ControlGroup => format!("control group {typed} holds no such process"),
        What::Target(Target::Port(..)) => {
            format!("no such process listens on port {}", port(subject))
        }
        What::Target(_) => format!("cannot find process \"{typed}\""),
    }
}

fn only_spared(subject: &Subject, first: Pid, name: &[u8]) -> String {
    let first_named = format!("{first} ({})", escape(name));
    match subject.typed.what {
        What::Target(Target::Port(..)) if first == Pid::INIT => format!(
            "only process {first_named}, an ancestor of sigsend, listens on port {}",
            port(subject)
        ),
        What::Target(Target::Port(..)) => format!(
            "only sigsend and its ancestors listen on port {}, such as {first_named}",
            port(subject)
        ),
        _ => format!(
            "only sigsend and its ancestors answer to \"{}\", such as {first_named}",
            typed(subject)
        ),
    }
}

fn no_control_group(directory: &str, refused: NoControlGroup) -> String {
    let failed = |deed: &str, errno| format!("{deed}: {}", errno_words(errno));
    match refused {
        NoControlGroup::Missing => format!("control group {directory} does not exist"),
        NoControlGroup::Other => format!("{directory} is not the directory of a control group"),
        NoControlGroup::Version1 => {
            format!("{directory} is a control group of version 1, only version 2 will do")
        }
        NoControlGroup::Root => {
            format!("{directory} is the root control group, which holds every process: refused")
        }
        NoControlGroup::Own => format!("control group {directory} holds sigsend itself: refused"),
        NoControlGroup::Ancestor(pid) => {
            format!("control group {directory} holds {pid}, an ancestor of sigsend: refused")
        }
        NoControlGroup::Threaded => {
            format!("control group {directory} is threaded: it holds threads, not processes")
        }
        NoControlGroup::Empty => format!("control group {directory} is empty"),
        NoControlGroup::Refused(errno) => {
            failed(&format!("opening control group {directory} failed"), errno)
        }
        NoControlGroup::NoKill(errno) => {
            let whole = format!("control group {directory} cannot be killed as a whole");
            failed(&whole, errno)
        }
    }
}

fn typed(subject: &Subject) -> String {
    escape(subject.typed.text.as_bytes())
}

/// The user's own token, and the PID if the token does not name that very process.
fn addressed(subject: &Subject) -> String {
    let typed = typed(subject);
    match (subject.pid, &subject.typed.what) {
        (Some(pid), What::Target(Target::Process(own) | Target::Token(own, _))) if *own == pid => {
            typed
        }
        (Some(pid), _) => format!("{typed} (PID {pid})"),
        (None, _) => typed,
    }
}

fn pid(subject: &Subject) -> String {
    subject
        .pid
        .map_or_else(|| typed(subject), |pid| pid.to_string())
}

fn of_owner(owner: Option<&str>) -> String {
    owner
        .map(|owner| format!(", whose socket belongs to {}", escape(owner.as_bytes())))
        .unwrap_or_default()
}

fn thread_of(process: Option<Pid>) -> String {
    process.map_or_else(
        || "a thread".to_owned(),
        |process| format!("a thread of {process}"),
    )
}

/// A time as in RFC 3339, which has no years before 1970 here.
fn moment(time: SystemTime) -> String {
    if time < SystemTime::UNIX_EPOCH {
        return "a time before 1970".to_owned();
    }
    humantime::format_rfc3339_millis(time).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::{Nobody, Says, Typed};
    use crate::output::samples::{Sample, pid, samples, typed};
    use crate::signal::Signal;

    fn subject(typed: &Typed, pid: Option<Pid>) -> Subject<'_> {
        Subject {
            typed,
            pid,
            inode: None,
            name: None,
        }
    }

    fn told(sample: &Sample) -> String {
        let outcome = Outcome::Failed(&sample.reason);
        let told = complaint(Work::Sending, &subject(&sample.typed, sample.pid), &outcome);
        let (text, told) = told.expect("it is a failure");
        assert_eq!(told, Told::AsError);
        text
    }

    #[test]
    fn every_reason_has_words() {
        for sample in samples() {
            assert_eq!(told(&sample), sample.text, "{:?}", sample.reason);
        }
    }

    /// With its errno, and what it says of the life of the target.
    #[test]
    fn the_reference_has_every_reason() {
        let rows = samples().into_iter().map(|sample| {
            let facts = sample.reason.facts();
            let errno = facts.errno.map(|errno| format!("`{errno:?}`"));
            let says = match facts.says {
                Says::Gone => "gone",
                Says::Refused => "refused",
                Says::Unclear => "unclear",
                Says::Lives => "lives",
            };
            let errno = errno.unwrap_or_default();
            format!("| `{}` | {errno} | {says} |", sample.text)
        });
        let mut rows: Vec<String> = rows.collect();
        rows.dedup();
        let table = rows.join("\n");
        let reference = include_str!("../../docs/reference.md");
        assert!(
            reference.contains(&table),
            "docs/reference.md lacks:\n{table}"
        );
    }

    #[test]
    fn a_target_of_many_processes_is_told_with_the_pid() {
        let reason = Reason::Absent(NoProcess::Gone);
        let table = [
            ("4242", "sending signal to 4242 failed"),
            ("4242:7", "sending signal to 4242:7 failed"),
            ("04242", "sending signal to 04242 (PID 4242) failed"),
            ("17", "sending signal to 17 (PID 4242) failed"),
            ("-17", "sending signal to -17 (PID 4242) failed"),
            ("nginx", "sending signal to nginx (PID 4242) failed"),
            ("worker.py", "sending signal to worker.py (PID 4242) failed"),
        ];
        for (text, words) in table {
            let typed = typed(text);
            let text = failure(Work::Sending, &subject(&typed, Some(pid(4242))), &reason);
            assert_eq!(text, format!("{words}: No such process"));
        }
    }

    #[test]
    fn what_could_not_be_read_is_not_claimed() {
        let typed = typed("4242");
        let subject = subject(&typed, Some(pid(4242)));
        let nameless = Vec::new();
        let table = [
            (
                Reason::WorksElsewhere {
                    wanted: b"/srv".to_vec(),
                    directory: nameless.clone(),
                },
                "4242 does not work in /srv",
            ),
            (
                Reason::NotExpected {
                    expected: b"nginx".to_vec(),
                    name: nameless,
                },
                "4242 is not nginx",
            ),
            (
                Reason::HolderUnseen { owner: None },
                "cannot tell which process listens on port 4242",
            ),
        ];
        for (reason, words) in table {
            assert_eq!(failure(Work::Asking, &subject, &reason), words);
        }
    }

    #[test]
    fn other_events_that_need_words_have_them() {
        let (number, name, port) = (typed("4242"), typed("ngnix"), typed(":8080"));
        let nobody = Reason::Nobody(Nobody::default());
        let free = Reason::NotListening {
            of_others: 0,
            other_protocol: false,
        };
        let named = Subject {
            name: Some(b"sh"),
            ..subject(&number, Some(pid(4242)))
        };
        let still = |state| Outcome::StillThere {
            after: Duration::from_millis(2010),
            state,
        };
        let table = [
            (
                &named,
                Outcome::Skipped,
                "4242 (sh) is sigsend itself or an ancestor of it: skipped",
                Told::AsEvent,
            ),
            (
                &named,
                Outcome::Unstopped,
                "4242 (sh) could not be kept stopped; it may have forked before it was killed",
                Told::AsError,
            ),
            (
                &named,
                Outcome::Escaped,
                "4242 (sh) may be a child that a killed member left behind",
                Told::AsError,
            ),
            (
                &subject(&name, None),
                Outcome::AlreadyGone(Some(&nobody)),
                "cannot find process \"ngnix\": already gone",
                Told::OnTerminal,
            ),
            (
                &subject(&port, None),
                Outcome::AlreadyGone(Some(&free)),
                "nothing listens on port 8080: already gone",
                Told::AsEvent,
            ),
            (
                &named,
                still(None),
                "4242 (sh) is still there after 2.01 s",
                Told::AsError,
            ),
            (
                &named,
                still(Some(Obstacle::Stopped)),
                "4242 (sh) is still there after 2.01 s: stopped (CONT continues it)",
                Told::AsError,
            ),
            (
                &named,
                still(Some(Obstacle::TracedBy(pid(17)))),
                "4242 (sh) is still there after 2.01 s: traced by 17",
                Told::AsError,
            ),
            (
                &named,
                still(Some(Obstacle::Blocked)),
                "4242 (sh) is still there after 2.01 s: blocked in the kernel",
                Told::AsError,
            ),
            (
                &named,
                still(Some(Obstacle::Ignores(Signal::TERM))),
                "4242 (sh) is still there after 2.01 s: ignores TERM",
                Told::AsError,
            ),
        ];
        for (subject, outcome, words, told) in table {
            let expected = Some((words.to_owned(), told));
            assert_eq!(complaint(Work::Sending, subject, &outcome), expected);
        }
        let gone = Outcome::AlreadyGone(None);
        assert_eq!(complaint(Work::Sending, &named, &gone), None);
    }
}
