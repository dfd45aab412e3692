//! Hints: one line after a failure, if something is known that helps.

use std::path::Path;

use nix::errno::Errno;
use nix::unistd::geteuid;

use crate::escape::escape;
use crate::event::{NoControlGroup, NoProcess, Nobody, Outcome, Reason, Subject, What};
use crate::signal::Signal;
use crate::target::{Pid, Target, Transport};

/// A line that helps.
#[derive(Debug)]
pub struct Hint {
    pub text: String,
    /// Whether it is about what processes are, or say of themselves, and not about what was typed.
    /// A script that calls this program as kill(1) expects one line for each error, so it is
    /// printed on a terminal, with `--verbose` and with `--json` only.
    pub is_of_processes: bool,
}

/// The hint about an event. `perhaps_signal` is a first word such as `9` that other targets follow.
pub fn hint(
    program: &str,
    perhaps_signal: Option<Pid>,
    subject: &Subject,
    outcome: &Outcome,
) -> Option<Hint> {
    let (Outcome::Failed(reason) | Outcome::AlreadyGone(Some(reason))) = outcome else {
        return None;
    };
    let words = about_words(subject, reason);
    // For `9 4242`, where 9 was meant as a signal.
    let forgotten_dash = || {
        let signal = perhaps_signal.filter(|pid| subject.pid == Some(*pid))?;
        let is_refused = matches!(
            reason,
            Reason::Absent(NoProcess::Gone)
                | Reason::Refused(Errno::ESRCH)
                | Reason::NotPermitted { .. }
                | Reason::KernelThread
        );
        is_refused.then(|| format!("'{program} -{signal} PID' puts the signal first"))
    };
    let is_of_processes = words.is_none();
    let text = words
        .or_else(forgotten_dash)
        .or_else(|| about_processes(program, subject, reason))?;
    Some(Hint {
        text,
        is_of_processes,
    })
}

fn about_words(subject: &Subject, reason: &Reason) -> Option<String> {
    Some(match (reason, &subject.typed.what) {
        (Reason::EmptyWord, _) => "the token was empty; is a variable unset?".into(),
        (Reason::Absent(NoProcess::Thread { of }), _) => format!("did you mean {}?", (*of)?),
        (Reason::Nobody(nobody), What::Target(Target::Name(name))) => {
            return about_name(name, nobody);
        }
        (Reason::Nobody(_), What::Directory) if !Path::new(&*subject.typed.text).exists() => {
            "the directory does not exist".into()
        }
        (Reason::Stale { .. }, _) => "--allow-stale signals it anyway, best with --expect NAME; \
             a PID:INODE in the file depends on no clock"
            .into(),
        (Reason::ControlGroup(NoControlGroup::NoKill(Errno::EACCES)), _) => {
            "that takes the permission to write to its cgroup.kill; \
             -p prints its members, which '--pidfile -' reads"
                .into()
        }
        (Reason::ControlGroup(NoControlGroup::Threaded), _) => {
            "the processes belong to its nearest ancestor that is not threaded".into()
        }
        _ => return None,
    })
}

/// For a name that nobody has, and that may be meant for something else.
fn about_name(name: &str, nobody: &Nobody) -> Option<String> {
    let is_known = nobody.of_others > 0 || nobody.executables > 0;
    Some(match name.rsplit_once('.') {
        // Units which hold processes (systemd.unit(5)).
        Some((_, "service" | "scope" | "slice" | "socket")) => {
            let unit = escape(name);
            format!("'systemctl kill {unit}' signals a systemd unit, --cgroup DIR a control group")
        }
        Some((_, "pid")) => format!("'--pidfile {}' reads targets from a file", word(name)?),
        _ if name.contains(' ') && name.len() > 2 && !is_known => {
            format!("'-f {}' selects by command line", word(name)?)
        }
        _ => format!(
            "'{}' means what listens on that port",
            Target::port_in(name)?
        ),
    })
}

fn about_processes(program: &str, subject: &Subject, reason: &Reason) -> Option<String> {
    Some(match (reason, &subject.typed.what) {
        (Reason::Nobody(nobody), _) => return nobody_but(program, subject, nobody),
        (Reason::NoGroup { leader_is_in }, What::Target(Target::Group(number))) => {
            let group = (*leader_is_in)?;
            format!("{number} lives in group {group}: '--tree {number}'")
        }
        (Reason::NotPermitted { errno, .. }, _) if *errno == Errno::EACCES => {
            "a security module forbids it; its audit log says which and why".into()
        }
        (Reason::NotPermitted { owner, .. }, _) => {
            let (pid, user) = (subject.pid?, escape(owner.as_ref()?));
            let who = who_may(&user);
            format!("process {pid} belongs to {user}; {who} may signal it")
        }
        (
            Reason::NotListening {
                of_others,
                other_protocol,
            },
            What::Target(Target::Port(port, wanted)),
        ) => match of_others {
            0 if !other_protocol => return None,
            0 if *wanted == Transport::Udp => format!("the port is in use with TCP: ':{port}'"),
            0 => format!("the port is in use with UDP: ':{port}/udp'"),
            1 => "another user's process listens there; -a selects it".into(),
            _ => format!("{of_others} processes of other users listen there; -a selects them"),
        },
        (Reason::HolderUnseen { owner: Some(owner) }, _) if !geteuid().is_root() => {
            let user = escape(owner);
            let who = who_may(&user);
            format!("{who} may look at the descriptors of {user}'s processes")
        }
        (Reason::HolderUnseen { .. }, _) => {
            "its descriptors may not be looked at without CAP_SYS_PTRACE, \
             or the kernel or another PID namespace holds the socket"
                .into()
        }
        (Reason::OnlySpared { first, .. }, What::Target(Target::Port(..)))
            if *first == Pid::INIT =>
        {
            "it may listen for a service: 'systemctl stop NAME.socket'".into()
        }
        _ => return None,
    })
}

/// What is known of processes that do not answer but may be meant.
fn nobody_but(program: &str, subject: &Subject, nobody: &Nobody) -> Option<String> {
    if nobody.executables > 0 {
        return Some(under_other_names(program, &subject.typed.text, nobody));
    }
    Some(match (nobody.of_others, is_name(subject)) {
        (0, _) => {
            let hidden = "some processes are hidden or cannot be looked at".to_owned();
            let hidden = nobody.hidden.then_some(hidden);
            let nearest = nobody.nearest.as_ref();
            let nearest = nearest.map(|name| format!("did you mean {}?", escape(name)));
            let known: Vec<String> = hidden.into_iter().chain(nearest).collect();
            return (!known.is_empty()).then(|| known.join("; "));
        }
        (1, true) => "another user has a process of that name; -a selects it".into(),
        (1, false) => "a process of another user matches; -a selects it".into(),
        (others, true) => {
            format!("other users have {others} processes of that name; -a selects them")
        }
        (others, false) => {
            format!("{others} processes of other users match; -a selects them")
        }
    })
}

/// Processes that have an executable of the name, and call themselves something else.
fn under_other_names(program: &str, typed: &str, nobody: &Nobody) -> String {
    let typed = escape(typed);
    let (have, call) = match nobody.executables {
        1 => ("1 process has".to_owned(), "calls itself"),
        count => (format!("{count} processes have"), "call themselves"),
    };
    let names: Vec<String> = nobody.called.iter().map(escape).collect();
    if names.is_empty() {
        return format!("{have} the executable {typed}");
    }
    let target = |name: &String| match name.parse() {
        Ok(Target::Name(_)) if nobody.is_own && name.parse::<Signal>().is_err() => word(name),
        _ => None,
    };
    let command = match (word(&typed), names.iter().find_map(target)) {
        (Some(typed), Some(name)) => format!(": '{program} --expect {typed} {name}'"),
        _ => String::new(),
    };
    let names = names.join(", ");
    format!("{have} the executable {typed} and {call} {names}{command}")
}

/// A word for a command line that may be pasted, in double quotes if it needs them. `None` if the
/// shell could find anything to expand in it.
fn word(text: &str) -> Option<String> {
    let is_plain = |c: char| c.is_alphanumeric() || "_-.+@:".contains(c);
    let is_safe = |c: char| is_plain(c) || " ()[]/,=".contains(c);
    match text {
        _ if text.chars().all(is_plain) => Some(text.to_owned()),
        _ if text.chars().all(is_safe) => Some(format!("\"{text}\"")),
        _ => None,
    }
}

fn who_may(user: &str) -> &'static str {
    match user {
        "root" => "only root",
        _ => "only that user and root",
    }
}

fn is_name(subject: &Subject) -> bool {
    matches!(subject.typed.what, What::Target(Target::Name(_)))
}
