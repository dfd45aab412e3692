//! Events in words, one line each. `failure` has the words of what went wrong.

use std::time::Duration;

use crate::escape::escape;
use crate::event::{Core, Ending, Obstacle, Outcome, Subject, What};
use crate::output::failure::failure;
use crate::output::preview;
use crate::output::text::{described, numbered, obstacle, seconds, unseen};
use crate::plan::Mode;

/// The line about an event. Text from other processes is escaped.
pub fn line(mode: Mode, subject: &Subject, outcome: &Outcome) -> String {
    let who = described(subject);
    let later = |after: Option<Duration>| {
        let later = after.map(|after| format!(" after {}", seconds(after)));
        later.unwrap_or_default()
    };
    match outcome {
        Outcome::Sent { signal, .. } if signal.is_null() => format!("{who} may be signalled"),
        Outcome::Sent {
            signal,
            value,
            after,
        } => {
            let (signal, later) = (numbered(*signal), later(*after));
            let value = value.map(|value| format!(" with value {value}"));
            let place = match subject.typed.what {
                What::Directory => format!(" in {}", escape(&*subject.typed.text)),
                _ => String::new(),
            };
            let value = value.unwrap_or_default();
            format!("sent {signal}{value} to {who}{place}{later}")
        }
        Outcome::SentUnseen {
            signal,
            count,
            after,
        } => {
            let (signal, later) = (numbered(*signal), later(*after));
            format!("sent {signal} to {}{later}", unseen(subject, *count))
        }
        Outcome::WouldSend(preview) => preview::line(&who, preview),
        Outcome::WouldSendUnseen { signal, count } => {
            let signal = numbered(*signal);
            format!("would send {signal} to {}", unseen(subject, *count))
        }
        Outcome::Failed(reason) => failure(mode, subject, reason),
        Outcome::Skipped => format!("{who} is sigsend itself or an ancestor of it: skipped"),
        Outcome::Unstopped => {
            format!("{who} could not be kept stopped; it may have forked before it was killed")
        }
        Outcome::Escaped => format!("{who} may be a child that a killed member left behind"),
        Outcome::AlreadyGone(Some(reason)) => {
            format!("{}: already gone", failure(mode, subject, reason))
        }
        Outcome::AlreadyGone(None) => format!("{who} is already gone"),
        Outcome::Gone { ending, after } => {
            format!("{who} {} after {}", ended(*ending), seconds(*after))
        }
        Outcome::StillThere { after, state } => {
            let state = match state {
                Some(Obstacle::Stopped) => ": stopped (CONT continues it)".to_owned(),
                Some(state) => format!(": {}", obstacle(*state)),
                None => String::new(),
            };
            format!("{who} is still there after {}{state}", seconds(*after))
        }
        Outcome::Found => who,
        Outcome::Alive => format!("{who} is alive"),
    }
}

fn ended(ending: Ending) -> String {
    match ending {
        Ending::Exited(code) => format!("exited with status {code}"),
        Ending::Killed {
            signal,
            core: Core::Dumped,
        } => format!("was killed by {signal} (core dumped)"),
        Ending::Killed { signal, .. } => format!("was killed by {signal}"),
        Ending::Unknown => "ended in an unknown way".to_owned(),
    }
}
