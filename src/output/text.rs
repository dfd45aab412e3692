//! Events in words: the lines of `--verbose`, the errors and their hints. Text from other processes
//! is escaped.

use std::ffi::OsStr;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;

use crate::outcome::{Core, Ending, Mask, NoControlGroup, NoProcess, Reason};
use crate::outcome::{Effect, Outcome, Preview, Subject};
use crate::output::errno::{errno_words, plain};
use crate::output::escape::escape;
use crate::output::terminal::{Stream, cut};
use crate::signal::{DefaultAction, Signal};
use crate::target::Pid;
use crate::usage::{Kind, UsageError};

/// What the call does, for the wording of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Sending,
    Asking,
}

/// The line on standard error about an event that is a failure, and a hint if the fix is known.
pub fn complaint(
    task: Work,
    subject: &Subject,
    outcome: &Outcome,
) -> Option<(String, Option<String>)> {
    // A closure, so that events that are no failures format nothing.
    let warning = |what: &str| Some((format!("{} {what}", described(subject)), None));
    match outcome {
        Outcome::Failed(reason) => Some((failure(task, subject, reason), hint(subject, reason))),
        Outcome::Skipped => warning("is sigsend itself or an ancestor of it: skipped"),
        Outcome::Unstopped => {
            warning("could not be kept stopped; it may have forked before it was killed")
        }
        Outcome::StillThere { after } => {
            warning(&format!("is still there after {}", seconds(*after)))
        }
        _ => None,
    }
}

fn failure(task: Work, subject: &Subject, reason: &Reason) -> String {
    let failed = |why: &str| match task {
        Work::Sending => format!("sending signal to {} failed: {why}", addressed(subject)),
        Work::Asking => format!("{}: {why}", addressed(subject)),
    };
    match reason {
        Reason::Absent(NoProcess::Thread { of }) => {
            let is_thread = format!("{} is {}", pid(subject), thread_of(*of));
            if task == Work::Sending {
                failed(&is_thread)
            } else {
                is_thread
            }
        }
        Reason::Absent(NoProcess::Gone) => failed(&errno_words(Errno::ESRCH)),
        Reason::NotPermitted { .. } => failed(&errno_words(Errno::EPERM)),
        Reason::Refused(errno) => failed(&errno_words(*errno)),
        Reason::Recycled => failed(&format!(
            "{}: this PID now belongs to another process",
            errno_words(Errno::ESRCH)
        )),
        Reason::Nameless { .. } => format!(
            "cannot find process \"{}\"",
            escape(subject.typed.as_bytes())
        ),
        Reason::NotListening { of_others: 0 } => {
            format!("nothing listens on port {}", port(subject))
        }
        Reason::NotListening { of_others: _ } => {
            format!(
                "only processes of other users listen on port {}",
                port(subject)
            )
        }
        Reason::HolderUnseen { owner } => {
            format!(
                "cannot tell which process listens on port {}{}",
                port(subject),
                of_owner(owner.as_deref())
            )
        }
        Reason::Stale {
            file,
            started,
            written,
        } => format!(
            "{file} is stale: {} started at {}, the file was last modified at {}",
            pid(subject),
            moment(*started),
            moment(*written),
        ),
        Reason::NotExpected { expected, name } => {
            format!(
                "{} ({}) is not {}",
                pid(subject),
                escape(name),
                escape(expected)
            )
        }
        Reason::Unverified { expected } => {
            format!(
                "{} cannot be verified to be {}",
                pid(subject),
                escape(expected)
            )
        }
        Reason::NotCaught { signal, name } => format!(
            "{} ({}) does not catch {signal}",
            pid(subject),
            escape(name)
        ),
        Reason::Everyone => "the tree of process 1 is every process: refused".to_owned(),
        Reason::PerhapsAncestor { hidden } => format!(
            "{} may be an ancestor of sigsend, whose ancestor {hidden} is hidden in /proc: refused",
            described(subject)
        ),
        Reason::KernelThread => format!(
            "{} is a kernel thread, which no signal ends",
            described(subject)
        ),
        Reason::ControlGroup(refused) => {
            no_control_group(&escape(subject.typed.as_bytes()), *refused)
        }
        Reason::OtherNamespace { count } => {
            format!(
                "cannot signal {}, which only KILL without -r and --expect reaches",
                unseen(subject, *count)
            )
        }
    }
}

fn no_control_group(directory: &str, refused: NoControlGroup) -> String {
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
        NoControlGroup::Threaded => {
            format!("control group {directory} is threaded: it holds threads, not processes")
        }
        NoControlGroup::Empty => format!("control group {directory} is empty"),
        NoControlGroup::Refused(errno) => format!(
            "opening control group {directory} failed: {}",
            errno_words(errno)
        ),
        NoControlGroup::NoKill(errno) => {
            format!(
                "control group {directory} cannot be killed as a whole: {}",
                errno_words(errno)
            )
        }
    }
}

/// Members of a control group that have no PID here.
fn unseen(subject: &Subject, count: usize) -> String {
    let processes = if count == 1 { "process" } else { "processes" };
    format!(
        "{count} {processes} of another PID namespace in {}",
        escape(subject.typed.as_bytes())
    )
}

/// The line of `--verbose` on standard output. `None` for failures, which are reported on standard
/// error alone.
pub fn line(subject: &Subject, outcome: &Outcome) -> Option<String> {
    let who = described(subject);
    Some(match outcome {
        Outcome::Sent { signal, .. } if signal.is_null() => format!("{who} may be signalled"),
        Outcome::Sent {
            signal,
            value,
            after,
        } => {
            let value = value
                .map(|value| format!(" with value {value}"))
                .unwrap_or_default();
            let after = after
                .map(|after| format!(" after {}", seconds(after)))
                .unwrap_or_default();
            format!("sent {signal} ({}){value} to {who}{after}", signal.number())
        }
        Outcome::SentUnseen {
            signal,
            count,
            after,
        } => {
            let after = after
                .map(|after| format!(" after {}", seconds(after)))
                .unwrap_or_default();
            format!(
                "sent {signal} ({}) to {}{after}",
                signal.number(),
                unseen(subject, *count)
            )
        }
        Outcome::WouldSendUnseen { signal, count } => {
            format!(
                "would send {signal} ({}) to {}",
                signal.number(),
                unseen(subject, *count)
            )
        }
        Outcome::Failed(_) | Outcome::Skipped | Outcome::Unstopped | Outcome::StillThere { .. } => {
            return None;
        }
        Outcome::AlreadyGone => format!("{who} is already gone"),
        Outcome::Gone { ending, after } => {
            format!("{who} {} after {}", ended(*ending), seconds(*after))
        }
        Outcome::Found => who,
        Outcome::Alive => format!("{who} is alive"),
        Outcome::WouldSend(would) => preview(&who, would),
    })
}

fn preview(who: &str, preview: &Preview) -> String {
    let age = preview.age.map_or_else(
        || "unknown".to_owned(),
        |age| humantime::format_duration(Duration::from_secs(age.as_secs())).to_string(),
    );
    let signal = preview.signal;
    let blocked = if preview.mask == Mask::Blocked {
        ", blocked right now"
    } else {
        ""
    };
    let does = match preview.effect {
        Effect::Caught => "caught by a handler",
        Effect::Ignored => "ignored",
        Effect::Default(DefaultAction::Terminate) => "terminates it",
        Effect::Default(DefaultAction::Core) => "terminates it and dumps core",
        Effect::Default(DefaultAction::Stop) => "stops it",
        Effect::Default(DefaultAction::Continue) => "continues it",
        Effect::Default(DefaultAction::Ignore) | Effect::Nothing => "does nothing",
    };
    let user = escape(preview.user.as_bytes());
    let command = escape(&preview.command);
    let mut line = format!(
        "would send {signal} ({}) to {who}: {does}{blocked}",
        signal.number()
    );
    for step in &preview.follow_ups {
        for signal in &step.signals {
            write!(
                line,
                ", {signal} ({}) {} later",
                signal.number(),
                seconds(step.after)
            )
            .expect("writing to a String cannot fail");
        }
    }
    write!(line, "; user {user}, age {age}: {command}").expect("writing to a String cannot fail");
    cut(line, Stream::Output.width())
}

/// The lines about a refused command line: the error, the usage line unless a single value is
/// wrong, and a hint if the fix is known.
pub fn refusal(program: &str, error: &UsageError) -> String {
    let mut lines = vec![format!("{program}: {}", error.text)];
    let is_usage = error.kind != Kind::Value;
    lines.extend(is_usage.then(|| format!("Usage: {program} [options] <pid>...")));
    lines.extend(
        error
            .hint
            .as_ref()
            .map(|hint| hint.replace("{program}", program)),
    );
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

/// An error with its causes on one line. Errors of the system are in the words of strerror(3),
/// without a number.
pub fn sentence(error: &anyhow::Error) -> String {
    let causes = error
        .chain()
        .map(|cause| match cause.downcast_ref::<Errno>() {
            Some(errno) => errno_words(*errno),
            None => cause
                .downcast_ref()
                .map_or_else(|| cause.to_string(), plain),
        });
    causes.collect::<Vec<_>>().join(": ")
}

/// `4242 (nginx)`, or the token if there is no PID.
pub fn described(subject: &Subject) -> String {
    let mut text = match subject.pid {
        Some(pid) => pid.to_string(),
        None => match subject.typed {
            "0" => "sigsend's own process group".to_owned(),
            "-1" => "everyone".to_owned(),
            typed => match typed.strip_prefix('-') {
                Some(group) => format!("process group {group}"),
                None => escape(typed.as_bytes()),
            },
        },
    };
    if let Some(name) = subject.name {
        write!(text, " ({})", escape(name)).expect("writing to a String cannot fail");
    }
    text
}

/// The user's own token, and the PID if the token is something else.
fn addressed(subject: &Subject) -> String {
    let typed = escape(subject.typed.as_bytes());
    match subject.pid {
        Some(pid) if typed.split(':').next() != Some(&pid.to_string()) => {
            format!("{typed} (PID {pid})")
        }
        _ => typed,
    }
}

fn pid(subject: &Subject) -> String {
    subject
        .pid
        .map_or_else(|| escape(subject.typed.as_bytes()), |pid| pid.to_string())
}

/// The number of a `:PORT`.
fn port<'a>(subject: &Subject<'a>) -> &'a str {
    subject.typed.trim_start_matches(':')
}

fn of_owner(owner: Option<&str>) -> String {
    owner
        .map(|owner| format!(", whose socket belongs to {}", escape(owner.as_bytes())))
        .unwrap_or_default()
}

fn hint(subject: &Subject, reason: &Reason) -> Option<String> {
    Some(match reason {
        Reason::Absent(NoProcess::Thread { of: Some(process) }) => format!("did you mean {process}?"),
        Reason::Nameless { .. } if is_unit(subject.typed) => format!(
            "'systemctl kill {}' signals a systemd unit, --cgroup DIR a control group",
            escape(subject.typed.as_bytes())
        ),
        Reason::Nameless { of_others: 1, .. } => "another user has a process of that name; -a selects it".to_owned(),
        Reason::Nameless { of_others: others @ 2.., .. } => {
            format!("other users have {others} processes of that name; -a selects them")
        }
        Reason::Nameless { nearest: Some(nearest), .. } => format!("did you mean {}?", escape(nearest.as_bytes())),
        Reason::NotListening { of_others: 1 } => "another user's process listens there; -a selects it".to_owned(),
        Reason::NotListening { of_others: others @ 2.. } => {
            format!("{others} processes of other users listen there; -a selects them")
        }
        Reason::HolderUnseen { owner: Some(owner) } => {
            let user = escape(owner.as_bytes());
            let who_may = if user == "root" { "only root" } else { "only that user and root" };
            format!("{who_may} may look at the descriptors of {user}'s processes")
        }
        Reason::HolderUnseen { owner: None } => {
            "its descriptors may not be looked at without CAP_SYS_PTRACE, or the kernel or another PID namespace holds the socket"
                .to_owned()
        }
        Reason::Stale { .. } => {
            "--allow-stale signals it anyway, best with --expect NAME; a PID:INODE in the file depends on no clock"
                .to_owned()
        }
        Reason::ControlGroup(NoControlGroup::NoKill(Errno::EACCES)) => {
            "that takes the permission to write to its cgroup.kill; -p prints its members, which '--pidfile -' reads"
                .to_owned()
        }
        Reason::ControlGroup(NoControlGroup::Threaded) => {
            "the processes belong to its nearest ancestor that is not threaded".to_owned()
        }
        Reason::NotPermitted { owner: Some(owner) } => {
            let (pid, user) = (subject.pid?, escape(owner.as_bytes()));
            let who_may = if user == "root" { "only root" } else { "only that user and root" };
            format!("process {pid} belongs to {user}; {who_may} may signal it")
        }
        _ => return None,
    })
}

/// Whether a name is that of a systemd unit which holds processes (systemd.unit(5)).
fn is_unit(name: &str) -> bool {
    [".service", ".scope", ".slice", ".socket"]
        .iter()
        .any(|kind| name.ends_with(kind))
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

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
