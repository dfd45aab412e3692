//! Hints: one line after a failure, if something is known that helps.

use nix::errno::Errno;
use nix::unistd::geteuid;

use crate::escape::escape;
use crate::event::{NoControlGroup, NoProcess, Nobody, Outcome, Reason, Subject, What};
use crate::target::{Pid, Target, Transport};

/// A line that helps.
#[derive(Debug, PartialEq, Eq)]
pub struct Hint {
    pub text: String,
    pub about: About,
}

/// What a hint is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// What was typed. Always told.
    Words,
    /// What processes are, or say of themselves. A script that calls this program as kill(1)
    /// expects one line for each error, so it is told on a terminal, with `--verbose` and with
    /// `--json`.
    Processes,
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
    let hint = |about, text| Some(Hint { text, about });
    if let Some(text) = about_words(subject, reason) {
        return hint(About::Words, text);
    }
    let text = match (perhaps_signal, reason) {
        (
            Some(pid),
            Reason::Absent(NoProcess::Gone)
            | Reason::Refused(Errno::ESRCH)
            | Reason::NotPermitted { .. }
            | Reason::KernelThread,
        ) if subject.pid == perhaps_signal => {
            Some(format!("'{program} -{pid} PID' puts the signal first"))
        }
        _ => about_processes(program, subject, reason),
    };
    hint(About::Processes, text?)
}

fn about_words(subject: &Subject, reason: &Reason) -> Option<String> {
    let typed = &subject.typed.text;
    Some(match reason {
        Reason::EmptyWord => "the token was empty; is a variable unset?".to_owned(),
        Reason::Absent(NoProcess::Thread { of: Some(process) }) => {
            format!("did you mean {process}?")
        }
        Reason::Nobody(_) if is_name(subject) && is_unit(typed) => format!(
            "'systemctl kill {}' signals a systemd unit, --cgroup DIR a control group",
            escape(typed.as_bytes())
        ),
        Reason::Nobody(_) if is_name(subject) && Target::port_in(typed).is_some() => {
            let port = Target::port_in(typed)?;
            format!("'{port}' means what listens on that port")
        }
        Reason::Stale { .. } => "--allow-stale signals it anyway, best with --expect NAME; \
             a PID:INODE in the file depends on no clock"
            .to_owned(),
        Reason::ControlGroup(NoControlGroup::NoKill(Errno::EACCES)) => {
            "that takes the permission to write to its cgroup.kill; \
             -p prints its members, which '--pidfile -' reads"
                .to_owned()
        }
        Reason::ControlGroup(NoControlGroup::Threaded) => {
            "the processes belong to its nearest ancestor that is not threaded".to_owned()
        }
        _ => return None,
    })
}

fn about_processes(program: &str, subject: &Subject, reason: &Reason) -> Option<String> {
    Some(match reason {
        Reason::Nobody(nobody) => return nobody_but(program, subject, nobody),
        Reason::NoGroup {
            leader_is_in: Some(group),
        } => {
            let What::Target(Target::Group(number)) = subject.typed.what else {
                return None;
            };
            format!("{number} lives in group {group}: '--tree {number}'")
        }
        Reason::NotPermitted {
            errno: Errno::EACCES,
            ..
        } => "a security module forbids it; its audit log says which and why".to_owned(),
        Reason::NotPermitted {
            owner: Some(owner), ..
        } => {
            let pid = subject.pid?;
            let user = escape(owner.as_bytes());
            format!(
                "process {pid} belongs to {user}; {} may signal it",
                who_may(&user)
            )
        }
        Reason::NotListening { of_others: 1, .. } => {
            "another user's process listens there; -a selects it".to_owned()
        }
        Reason::NotListening {
            of_others: others @ 2..,
            ..
        } => format!("{others} processes of other users listen there; -a selects them"),
        Reason::NotListening {
            other_protocol: true,
            ..
        } => {
            let What::Target(Target::Port(number, transport)) = subject.typed.what else {
                return None;
            };
            match transport {
                Transport::Udp => format!("the port is in use with TCP: ':{number}'"),
                Transport::Tcp | Transport::Unsaid => {
                    format!("the port is in use with UDP: ':{number}/udp'")
                }
            }
        }
        Reason::HolderUnseen { owner: Some(owner) } if !geteuid().is_root() => {
            let user = escape(owner.as_bytes());
            format!(
                "{} may look at the descriptors of {user}'s processes",
                who_may(&user)
            )
        }
        Reason::HolderUnseen { .. } => {
            "its descriptors may not be looked at without CAP_SYS_PTRACE, \
             or the kernel or another PID namespace holds the socket"
                .to_owned()
        }
        Reason::OnlySpared { first, .. } if *first == Pid::INIT && is_port(subject) => {
            "it may listen for a service: 'systemctl stop NAME.socket'".to_owned()
        }
        _ => return None,
    })
}

/// What is known of processes that do not answer but may be meant.
fn nobody_but(program: &str, subject: &Subject, nobody: &Nobody) -> Option<String> {
    let is_name = is_name(subject);
    if nobody.executables > 0 {
        return Some(under_other_names(program, &subject.typed.text, nobody));
    }
    match nobody.of_others {
        0 => {}
        1 if is_name => {
            return Some("another user has a process of that name; -a selects it".to_owned());
        }
        others if is_name => {
            return Some(format!(
                "other users have {others} processes of that name; -a selects them"
            ));
        }
        1 => return Some("a process of another user matches; -a selects it".to_owned()),
        others => {
            return Some(format!(
                "{others} processes of other users match; -a selects them"
            ));
        }
    }
    let hidden = nobody
        .hidden
        .then(|| "/proc hides processes of other users".to_owned());
    let nearest = nobody
        .nearest
        .as_ref()
        .map(|nearest| format!("did you mean {}?", escape(nearest.as_bytes())));
    let hints: Vec<String> = hidden.into_iter().chain(nearest).collect();
    (!hints.is_empty()).then(|| hints.join("; "))
}

/// Processes that have an executable of the name, and call themselves something else.
fn under_other_names(program: &str, typed: &str, nobody: &Nobody) -> String {
    let typed = escape(typed.as_bytes());
    let (have, call) = match nobody.executables {
        1 => ("1 process has".to_owned(), "calls itself"),
        count => (format!("{count} processes have"), "call themselves"),
    };
    let have = format!("{have} the executable {typed}");
    let names: Vec<String> = nobody.called.iter().map(|name| escape(name)).collect();
    if names.is_empty() {
        return have;
    }
    let target = |name: &String| match name.parse() {
        Ok(Target::Name(_)) => word(name),
        _ => None,
    };
    let command = || {
        let (typed, name) = (word(&typed)?, names.iter().find_map(target)?);
        Some(format!(": '{program} --expect {typed} {name}'"))
    };
    format!(
        "{have} and {call} {}{}",
        names.join(", "),
        command().unwrap_or_default()
    )
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
    if user == "root" {
        "only root"
    } else {
        "only that user and root"
    }
}

fn is_name(subject: &Subject) -> bool {
    matches!(subject.typed.what, What::Target(Target::Name(_)))
}

fn is_port(subject: &Subject) -> bool {
    matches!(subject.typed.what, What::Target(Target::Port(..)))
}

/// Whether a name is that of a systemd unit which holds processes (systemd.unit(5)).
fn is_unit(name: &str) -> bool {
    [".service", ".scope", ".slice", ".socket"]
        .iter()
        .any(|kind| name.ends_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Typed;
    use crate::output::samples::{pid, samples, typed};
    use crate::signal::Signal;

    fn subject(typed: &Typed, pid: Option<Pid>) -> Subject<'_> {
        Subject {
            typed,
            pid,
            inode: None,
            name: None,
        }
    }

    #[test]
    fn every_reason_has_its_hint_or_none() {
        for sample in samples() {
            let subject = subject(&sample.typed, sample.pid);
            let hint = hint("sigsend", None, &subject, &Outcome::Failed(&sample.reason));
            let is_for_a_user = matches!(sample.reason, Reason::HolderUnseen { .. });
            if is_for_a_user && geteuid().is_root() {
                assert!(hint.is_some_and(|hint| hint.text.contains("CAP_SYS_PTRACE")));
                continue;
            }
            let text = hint.map(|hint| hint.text).unwrap_or_default();
            assert_eq!(text, sample.hint, "{:?}", sample.reason);
        }
    }

    #[test]
    fn scripts_are_told_only_what_is_about_their_words() {
        let always = ["", "4243", "./web", "4242"];
        for sample in samples() {
            let subject = subject(&sample.typed, sample.pid);
            let hint = hint("sigsend", None, &subject, &Outcome::Failed(&sample.reason));
            if hint.is_some_and(|hint| hint.about == About::Words) {
                let text = &*sample.typed.text;
                assert!(always.contains(&text), "{text}");
            }
        }
    }

    #[test]
    fn a_name_that_nobody_has_is_answered_with_who_may_be_meant() {
        let called = |names: &[&str]| Nobody {
            executables: names.len().max(1),
            called: names.iter().map(|name| name.as_bytes().to_vec()).collect(),
            ..Nobody::default()
        };
        let others = |of_others| Nobody {
            of_others,
            nearest: Some("nginx".to_owned()),
            hidden: true,
            ..Nobody::default()
        };
        let table = [
            ("node", Nobody::default(), ""),
            ("node", called(&[]), "1 process has the executable node"),
            (
                "node",
                called(&["MainThread"]),
                "1 process has the executable node and calls itself MainThread: \
                 'sigsend --expect node MainThread'",
            ),
            (
                "tmux",
                called(&["tmux: server"]),
                "1 process has the executable tmux and calls itself tmux: server: \
                 'sigsend --expect tmux \"tmux: server\"'",
            ),
            (
                "node",
                called(&["$(reboot)", "3d", "npm"]),
                "3 processes have the executable node and call themselves $(reboot), 3d, npm: \
                 'sigsend --expect node npm'",
            ),
            (
                "node",
                called(&["x\"; `reboot`", "\x1b[m"]),
                "2 processes have the executable node and call themselves \
                 x\"; `reboot`, \\x1b[m",
            ),
            (
                "nginx",
                others(1),
                "another user has a process of that name; -a selects it",
            ),
            (
                "nginx",
                others(2),
                "other users have 2 processes of that name; -a selects them",
            ),
            (
                "ngnix",
                others(0),
                "/proc hides processes of other users; did you mean nginx?",
            ),
            (
                "x.service",
                others(1),
                "'systemctl kill x.service' signals a systemd unit, --cgroup DIR a control group",
            ),
            (
                "/srv",
                others(1),
                "a process of another user matches; -a selects it",
            ),
        ];
        for (text, nobody, words) in table {
            let (typed, reason) = (typed(text), Reason::Nobody(nobody));
            for outcome in [
                Outcome::Failed(&reason),
                Outcome::AlreadyGone(Some(&reason)),
            ] {
                let hint = hint("sigsend", None, &subject(&typed, None), &outcome);
                let text = hint.map(|hint| hint.text).unwrap_or_default();
                assert_eq!(text, words);
            }
        }
    }

    #[test]
    fn the_other_protocol_and_a_forgotten_dash_are_answered_with_what_to_type() {
        let in_use = || Reason::NotListening {
            of_others: 0,
            other_protocol: true,
        };
        let not_permitted = Reason::NotPermitted {
            errno: Errno::EPERM,
            owner: Some("root".to_owned()),
        };
        let not_caught = Reason::NotCaught {
            signal: Signal::HUP,
            name: Vec::new(),
        };
        let signal = "'kill -9 PID' puts the signal first";
        let owner = "process 9 belongs to root; only root may signal it";
        let table = [
            (
                ":53",
                None,
                in_use(),
                "the port is in use with UDP: ':53/udp'",
            ),
            (
                ":53/udp",
                None,
                in_use(),
                "the port is in use with TCP: ':53'",
            ),
            ("9", Some(9), Reason::Absent(NoProcess::Gone), signal),
            ("9", Some(9), Reason::Refused(Errno::ESRCH), signal),
            ("9", Some(9), Reason::KernelThread, signal),
            ("9", Some(9), not_caught, ""),
            ("9", Some(15), Reason::KernelThread, ""),
            ("9", None, not_permitted, owner),
        ];
        for (text, first, reason, words) in table {
            let typed = typed(text);
            let subject = subject(&typed, (text == "9").then(|| pid(9)));
            let hint = hint("kill", first.map(pid), &subject, &Outcome::Failed(&reason));
            let text = hint.map(|hint| hint.text).unwrap_or_default();
            assert_eq!(text, words, "{reason:?}");
        }
    }
}
