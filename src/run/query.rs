//! Questions about targets, which send no signal: PIDs (`-p`), tokens (`--id`) and liveness
//! (`--alive`).

use std::rc::Rc;

use anyhow::Result;

use crate::event::{NoProcess, Outcome, Reason, Says, Status, Subject, Tally, Typed};
use crate::find::recipients::{NamedBy, Place, Recipient, Standing};
use crate::find::select::{Miss, select};
use crate::find::spared::own;
use crate::output::report::Report;
use crate::plan::{Plan, Question, Reach, Voice};
use crate::target::Target;

/// Answers a question about each process that the plan selects.
pub fn ask(question: Question, plan: &Plan, report: &mut Report) -> Result<(Tally, Status)> {
    let found = select(plan, report.voice.labels(plan.mode))?;
    let mut recipients = found.recipients.into_members();
    if plan.selection.reach != Reach::Process {
        // Part of its caller's tree only for as long as it asks.
        recipients.retain(|recipient| recipient.pid() != own());
    }
    let mut has_spared_root = false;
    for skipped in recipients.extract_if(.., |one| matches!(one.standing, Standing::Skipped)) {
        has_spared_root |= matches!(skipped.place, Place::Tree { .. }) && skipped.is_target;
        report.tell(&Subject::from(&skipped), &Outcome::Skipped);
    }
    match question {
        // All of the descendants that it has are alive.
        Question::Alive if has_spared_root && recipients.is_empty() && found.misses.is_empty() => {
            Ok((Tally::default(), Status::Success))
        }
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
    let mut tally = Tally::default();
    for recipient in recipients {
        if let Standing::Refused(reason) = &recipient.standing {
            tally.failed += 1;
            report.tell(&Subject::from(&*recipient), &Outcome::Failed(reason));
            continue;
        }
        tally.settled += 1;
        let mut target = Target::Process(recipient.pid());
        if question == Question::Id {
            let inode = recipient.process.inode()?;
            recipient.inode = Some(inode);
            target = Target::Token(recipient.pid(), inode);
        }
        if report.voice == Voice::Json {
            report.tell(&Subject::from(&*recipient), &Outcome::Found);
        } else {
            report.print(&target.to_string());
        }
    }
    for miss in misses {
        tally.failed += miss.reason.facts().count;
        report.tell(&Subject::from(miss), &Outcome::Failed(&miss.reason));
    }
    Ok((tally, tally.status()))
}

/// A poll of the pidfd decides: neither the state letter, which is the main thread's, nor
/// permission.
fn alive(
    recipients: &[Recipient],
    misses: &[Miss],
    report: &mut Report,
) -> Result<(Tally, Status)> {
    let mut settled = 0;
    let mut answered: Vec<&Rc<Typed>> = Vec::new();
    let (mut refused, mut exited) = (Vec::new(), Vec::new());
    // Without a PID here it cannot be signalled, but it is alive.
    let lives = |miss: &&Miss| miss.reason.facts().says == Says::Lives;
    let (living, misses): (Vec<&Miss>, Vec<&Miss>) = misses.iter().partition(lives);
    for miss in living {
        settled += miss.reason.facts().count;
        answered.push(&miss.typed);
        report.tell(&Subject::target(&miss.typed), &Outcome::Alive);
    }
    for recipient in recipients {
        let is_running = recipient.process.is_running()?;
        match &recipient.standing {
            Standing::Refused(reason) if is_running => refused.push((recipient, reason)),
            _ if is_running => {
                settled += 1;
                answered.push(&recipient.typed);
                report.tell(&Subject::from(recipient), &Outcome::Alive);
            }
            _ => exited.push((recipient, &Reason::Absent(NoProcess::Gone))),
        }
    }
    let is_unanswered =
        |typed: &Rc<Typed>| !answered.iter().any(|answered| Rc::ptr_eq(answered, typed));
    // A control group is alive while one of its members is what it is expected to be.
    refused.retain(|(one, _)| one.group().is_none() || is_unanswered(&one.typed));
    // A name is alive while one living process answers to it: one that has just exited does not
    // count, nor does a child of a member of a tree.
    let counts = |one: &Recipient| match one.place {
        Place::Tree { .. } if !one.is_target => false,
        _ => one.named_by == NamedBy::Identity || is_unanswered(&one.typed),
    };
    exited.retain(|(one, _)| counts(one));
    let failed = refused.into_iter().chain(exited);
    let failed = failed.map(|(recipient, reason)| (Subject::from(recipient), reason));
    let missed = misses
        .iter()
        .map(|miss| (Subject::from(*miss), &miss.reason));
    let failed: Vec<(Subject, &Reason)> = failed.chain(missed).collect();
    for (subject, reason) in &failed {
        report.tell(subject, &Outcome::Failed(reason));
    }
    let is_unclear = |(_, reason): &(Subject, &Reason)| reason.facts().says == Says::Unclear;
    // A process that cannot be verified is neither alive nor gone; one that is surely gone decides.
    let status = match failed.len() {
        0 if settled > 0 => Status::Success,
        1.. if failed.iter().all(is_unclear) => Status::Undecided,
        _ => Status::Failure,
    };
    let tally = Tally {
        settled,
        failed: failed.len(),
        ..Tally::default()
    };
    Ok((tally, status))
}
