//! Questions about targets, which send no signal: PIDs (`-p`), tokens (`--id`) and liveness
//! (`--alive`).

use anyhow::Result;
use nix::unistd::getpid;

use crate::find::prepare::{Miss, find};
use crate::find::recipients::{NamedBy, Recipient, Standing};
use crate::outcome::{NoProcess, Outcome, Reason, Status, Subject, Tally};
use crate::output::report::Report;
use crate::plan::{Question, Selection, Voice};
use crate::target::Target;

/// Answers a question about each process that the selection means.
pub fn ask(
    question: Question,
    selection: &Selection,
    report: &mut Report,
) -> Result<(Tally, Status)> {
    let mut found = find(selection, report.voice.labels())?;
    found.recipients.inherit_identity();
    let mut recipients: Vec<Recipient> = found.recipients.into_members();
    if found.rules.lineage.is_some() {
        // Part of its caller's tree only for as long as it asks.
        recipients.retain(|recipient| recipient.pid().number() != getpid().as_raw());
    }
    match question {
        Question::Alive => alive(&recipients, &found.misses, report),
        Question::Pid | Question::Id => list(question, &mut recipients, &found.misses, report),
    }
}

/// Prints the PID or the token of each process.
fn list(
    question: Question,
    recipients: &mut [Recipient],
    misses: &[Miss],
    report: &mut Report,
) -> Result<(Tally, Status)> {
    let mut tally = Tally {
        failed: misses.iter().map(|miss| miss.reason.count()).sum(),
        ..Tally::default()
    };
    for recipient in recipients {
        if let Standing::Refused(reason) = &recipient.standing {
            tally.failed += 1;
            report.tell(&Subject::from(&*recipient), &Outcome::Failed(reason));
            continue;
        }
        tally.settled += 1;
        let token = match question {
            Question::Id => {
                let inode = recipient.process.inode()?;
                recipient.inode = Some(inode);
                Target::Token(recipient.pid(), inode)
            }
            Question::Pid | Question::Alive => Target::Process(recipient.pid()),
        };
        if report.voice == Voice::Json {
            report.tell(&Subject::from(&*recipient), &Outcome::Found);
        } else {
            report.print(&token.to_string());
        }
    }
    tell_misses(misses.iter(), report);
    Ok((tally, tally.status()))
}

/// A poll of the pidfd decides: neither the state letter, which is the main thread's, nor
/// permission.
fn alive(
    recipients: &[Recipient],
    misses: &[Miss],
    report: &mut Report,
) -> Result<(Tally, Status)> {
    let gone = Reason::Absent(NoProcess::Gone);
    // Without a PID here it cannot be signalled, but it is alive.
    let (unseen, misses): (Vec<&Miss>, Vec<&Miss>) = misses
        .iter()
        .partition(|miss| matches!(miss.reason, Reason::OtherNamespace { .. }));
    let mut tally = Tally {
        failed: misses.len(),
        ..Tally::default()
    };
    let mut unclear = misses
        .iter()
        .filter(|miss| is_unclear(&miss.reason))
        .count();
    let mut answered: Vec<&str> = Vec::new();
    let mut exited: Vec<&Recipient> = Vec::new();
    let mut refused: Vec<(&Recipient, &Reason)> = Vec::new();
    for miss in unseen {
        tally.settled += miss.reason.count();
        answered.push(&miss.typed);
        report.tell(&Subject::target(&miss.typed), &Outcome::Alive);
    }
    for recipient in recipients {
        let is_running = recipient.process.is_running()?;
        match &recipient.standing {
            Standing::Refused(reason) if is_running => refused.push((recipient, reason)),
            _ if is_running => {
                tally.settled += 1;
                answered.push(&recipient.typed);
                report.tell(&Subject::from(recipient), &Outcome::Alive);
            }
            _ => exited.push(recipient),
        }
    }
    for (recipient, reason) in refused {
        // A control group is alive while one of its members is what it is expected to be.
        if recipient.group.is_none() || !answered.contains(&&*recipient.typed) {
            tally.failed += 1;
            unclear += usize::from(is_unclear(reason));
            report.tell(&Subject::from(recipient), &Outcome::Failed(reason));
        }
    }
    for recipient in exited {
        // A name is alive while one living process answers to it: one that has just exited does not
        // count.
        let is_replaced =
            recipient.named_by == NamedBy::Description && answered.contains(&&*recipient.typed);
        if !is_replaced {
            tally.failed += 1;
            report.tell(&Subject::from(recipient), &Outcome::Failed(&gone));
        }
    }
    tell_misses(misses, report);
    // What cannot be verified is neither alive nor gone; one that is surely gone settles the
    // question.
    let status = match tally {
        Tally {
            failed: 0,
            settled: 1..,
            ..
        } => Status::Success,
        Tally { failed, .. } if failed > 0 && failed == unclear => Status::Undecided,
        _ => Status::Failure,
    };
    Ok((tally, status))
}

/// Whether a failure says neither that the process is alive nor that it is gone.
fn is_unclear(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Unverified { .. }
            | Reason::HolderUnseen { .. }
            | Reason::Absent(NoProcess::Thread { .. })
            | Reason::NotPermitted { .. }
            | Reason::Refused(_)
    )
}

fn tell_misses<'a>(misses: impl IntoIterator<Item = &'a Miss>, report: &mut Report) {
    for miss in misses {
        let subject = Subject {
            typed: &miss.typed,
            pid: miss.pid,
            inode: None,
            name: None,
        };
        report.tell(&subject, &Outcome::Failed(&miss.reason));
    }
}
