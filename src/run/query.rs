//! Questions about targets, which send no signal: PIDs (`-p`), tokens (`--id`) and liveness
//! (`--alive`).

use std::rc::Rc;

use anyhow::Result;

use crate::event::{NoProcess, Outcome, Reason, Says, Status, Subject, Tally, Typed};
use crate::find::recipients::{NamedBy, Recipient, Standing};
use crate::find::select::{Miss, select};
use crate::find::spared::own;
use crate::output::report::Report;
use crate::plan::{Plan, Question, Reach, Voice};
use crate::target::Target;

/// Answers a question about each process that the plan means.
pub fn ask(question: Question, plan: &Plan, report: &mut Report) -> Result<(Tally, Status)> {
    let mut found = select(plan, report.voice.labels())?;
    found.recipients.inherit_identity();
    let mut recipients = found.recipients.into_members();
    if plan.selection.reach != Reach::Process {
        // Part of its caller's tree only for as long as it asks.
        recipients.retain(|recipient| recipient.pid() != own());
    }
    for skipped in recipients
        .iter()
        .filter(|one| matches!(one.standing, Standing::Skipped))
    {
        report.tell(&Subject::from(skipped), &Outcome::Skipped);
    }
    recipients.retain(|one| !matches!(one.standing, Standing::Skipped));
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
    let failed = misses.iter().map(|miss| miss.reason.facts().count).sum();
    let mut tally = Tally {
        failed,
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
    report_misses(misses, report);
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
    let lives = |miss: &&Miss| miss.reason.facts().says == Says::Lives;
    let is_unclear = |reason: &Reason| reason.facts().says == Says::Unclear;
    let (living, misses): (Vec<&Miss>, Vec<&Miss>) = misses.iter().partition(lives);
    let mut tally = Tally {
        failed: misses.len(),
        ..Tally::default()
    };
    let mut unclear = misses
        .iter()
        .filter(|miss| is_unclear(&miss.reason))
        .count();
    let mut answered: Vec<&Rc<Typed>> = Vec::new();
    let mut exited: Vec<&Recipient> = Vec::new();
    let mut refused: Vec<(&Recipient, &Reason)> = Vec::new();
    for miss in living {
        tally.settled += miss.reason.facts().count;
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
    let is_answered =
        |typed: &Rc<Typed>| answered.iter().any(|answered| Rc::ptr_eq(answered, typed));
    for (recipient, reason) in refused {
        // A control group is alive while one of its members is what it is expected to be.
        if recipient.group().is_none() || !is_answered(&recipient.typed) {
            tally.failed += 1;
            unclear += usize::from(is_unclear(reason));
            report.tell(&Subject::from(recipient), &Outcome::Failed(reason));
        }
    }
    for recipient in exited {
        // A name is alive while one living process answers to it: one that has just exited does not
        // count.
        if recipient.named_by == NamedBy::Identity || !is_answered(&recipient.typed) {
            tally.failed += 1;
            report.tell(&Subject::from(recipient), &Outcome::Failed(&gone));
        }
    }
    report_misses(misses, report);
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

fn report_misses<'a>(misses: impl IntoIterator<Item = &'a Miss>, report: &mut Report) {
    for Miss { typed, pid, reason } in misses {
        let subject = Subject {
            typed,
            pid: *pid,
            inode: None,
            name: None,
        };
        report.tell(&subject, &Outcome::Failed(reason));
    }
}
