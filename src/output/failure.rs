//! Failures in words. `hint` knows what helps. What could not be read is never claimed.

use std::time::SystemTime;

use nix::errno::Errno;

use crate::escape::escape;
use crate::event::{NoControlGroup, NoProcess, Reason, Subject, What};
use crate::output::text::{described, errno_words};
use crate::plan::Mode;
use crate::target::{Pid, Target};

/// Why nothing was sent to a target.
pub fn failure(mode: Mode, subject: &Subject, reason: &Reason) -> String {
    let (who, typed) = (described(subject), escape(&*subject.typed.text));
    let port = subject.typed.text.trim_start_matches(':');
    let pid = subject.pid.map_or(typed.clone(), |pid| pid.to_string());
    let named = |name: &[u8]| match name {
        [] => pid.clone(),
        name => format!("{pid} ({})", escape(name)),
    };
    let no_process = errno_words(Errno::ESRCH);
    // The PID too if the token does not name that very process.
    let addressed = match (subject.pid, &subject.typed.what) {
        (Some(pid), What::Target(Target::Process(own) | Target::Token(own, _))) if *own == pid => {
            typed.clone()
        }
        (Some(pid), _) => format!("{typed} (PID {pid})"),
        (None, _) => typed.clone(),
    };
    let failed = |why: &str| match mode {
        Mode::Ask(_) => format!("{addressed}: {why}"),
        _ => format!("sending signal to {addressed} failed: {why}"),
    };
    match reason {
        Reason::Absent(NoProcess::Gone) | Reason::NoGroup { .. } => failed(no_process),
        Reason::Absent(NoProcess::Thread { of }) => {
            let of = of.map(|process| format!(" of {process}"));
            let is_thread = format!("{pid} is a thread{}", of.unwrap_or_default());
            match mode {
                Mode::Ask(_) => is_thread,
                _ => failed(&is_thread),
            }
        }
        // A security module answers EACCES, which says the same.
        Reason::NotPermitted { .. } => failed(errno_words(Errno::EPERM)),
        Reason::Refused(errno) => failed(errno_words(*errno)),
        Reason::Recycled => failed(&format!(
            "{no_process}: this PID now belongs to another process"
        )),
        Reason::EmptyWord => format!("'{typed}': invalid target"),
        Reason::Nobody(_) => match subject.typed.what {
            What::CommandLine => {
                format!("cannot find a process with \"{typed}\" in its command line")
            }
            What::Directory => format!("cannot find a process that works in {typed}"),
            What::ControlGroup => format!("control group {typed} holds no such process"),
            What::Target(Target::Port(..)) => format!("no such process listens on port {port}"),
            What::Target(_) => format!("cannot find process \"{typed}\""),
        },
        Reason::NotListening { of_others: 0, .. } => format!("nothing listens on port {port}"),
        Reason::NotListening { .. } => {
            format!("only processes of other users listen on port {port}")
        }
        Reason::HolderUnseen { owner } => {
            let cannot_tell = format!("cannot tell which process listens on port {port}");
            match owner {
                Some(owner) => format!("{cannot_tell}, whose socket belongs to {}", escape(owner)),
                None => cannot_tell,
            }
        }
        Reason::OnlySigsend => format!("only sigsend itself answers to \"{typed}\""),
        Reason::OnlySpared { first, name } => {
            let named = format!("{first} ({})", escape(name));
            match subject.typed.what {
                What::Target(Target::Port(..)) if *first == Pid::INIT => {
                    format!("only process {named}, an ancestor of sigsend, listens on port {port}")
                }
                What::Target(Target::Port(..)) => {
                    format!("only sigsend and its ancestors listen on port {port}, such as {named}")
                }
                _ => {
                    format!("only sigsend and its ancestors answer to \"{typed}\", such as {named}")
                }
            }
        }
        Reason::Stale {
            file,
            started,
            written,
        } => {
            let (started, written) = (moment(*started), moment(*written));
            format!(
                "{file} is stale: {pid} started at {started}, the file was last modified at {written}"
            )
        }
        Reason::NotExpected { expected, name } => {
            format!("{} is not {}", named(name), escape(expected))
        }
        Reason::NoSuchText { text, name } => {
            let (who, text) = (named(name), escape(text));
            format!("{who} does not have \"{text}\" in its command line")
        }
        Reason::WorksElsewhere { wanted, directory } => {
            let (directory, wanted) = (escape(directory), escape(wanted));
            match &*directory {
                "" => format!("{pid} does not work in {wanted}"),
                directory => format!("{pid} works in {directory}, not in {wanted}"),
            }
        }
        Reason::OtherUser { wanted, user } => {
            let (user, wanted) = (escape(user), escape(wanted));
            format!("{pid} belongs to {user}, not to {wanted}")
        }
        Reason::Unverified { expected } => {
            format!("{pid} cannot be verified to be {}", escape(expected))
        }
        Reason::NotCaught { signal, name } => format!("{} does not catch {signal}", named(name)),
        Reason::CatchUnknown { signal } => format!("cannot tell whether {who} catches {signal}"),
        Reason::Everyone => "the tree of process 1 is every process: refused".to_owned(),
        Reason::PerhapsAncestor { hidden } => format!(
            "{who} may be an ancestor of sigsend, whose ancestor {hidden} is hidden in /proc: refused"
        ),
        Reason::KernelThread => format!("{who} is a kernel thread, which no signal ends"),
        Reason::Protected => format!(
            "{who} is process 1 of this PID namespace and catches none of the signals, so that the \
             kernel drops them: refused"
        ),
        Reason::ControlGroup(refused) => no_control_group(&typed, *refused),
        Reason::OtherNamespace { count } => format!(
            "cannot signal {}, which only a KILL of the whole group reaches",
            described(&subject.unseen(*count))
        ),
    }
}

fn no_control_group(directory: &str, refused: NoControlGroup) -> String {
    let group = format!("control group {directory}");
    match refused {
        NoControlGroup::Missing => format!("{group} does not exist"),
        NoControlGroup::Other => format!("{directory} is not the directory of a control group"),
        NoControlGroup::Version1 => {
            format!("{directory} is a control group of version 1, only version 2 will do")
        }
        NoControlGroup::Root => {
            format!("{directory} is the root control group, which holds every process: refused")
        }
        NoControlGroup::Own => format!("{group} holds sigsend itself: refused"),
        NoControlGroup::Ancestor(pid) => {
            format!("{group} holds {pid}, an ancestor of sigsend: refused")
        }
        NoControlGroup::Threaded => format!("{group} is threaded: it holds threads, not processes"),
        NoControlGroup::Empty => format!("{group} is empty"),
        NoControlGroup::Refused(errno) => format!("opening {group} failed: {}", errno_words(errno)),
        NoControlGroup::NoKill(errno) => {
            let why = errno_words(errno);
            format!("{group} cannot be killed as a whole: {why}")
        }
    }
}

/// A time as in RFC 3339, which has no years before 1970 here.
fn moment(time: SystemTime) -> String {
    if time < SystemTime::UNIX_EPOCH {
        return "a time before 1970".to_owned();
    }
    humantime::format_rfc3339_millis(time).to_string()
}
