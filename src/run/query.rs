//! Questions about targets, which signal nobody: PIDs (`-p`), tokens (`--id`) and life (`--alive`).

use anyhow::Result;

use crate::find::prepare::{Miss, Resolution, resolve};
use crate::find::recipients::{Recipient, Roster};
use crate::find::tree::Lineage;
use crate::os::pidfd::Life;
use crate::outcome::{NoProcess, Reason};
use crate::outcome::{Outcome, Status, Subject, Tally};
use crate::output::report::Report;
use crate::plan::{Question, Reach, Selection, Voice};
use crate::target::Target;

/// Answers a question about each process that the selection means.
pub fn ask(question: Question, selection: &Selection, report: &mut Report) -> Result<(Tally, Status)> {
    let Resolution { mut roster, misses } = resolve(selection, report.voice.labels())?;
    if selection.reach == Reach::Tree {
        // Asking hurts nobody, so ancestors may be asked about.
        Lineage::own(report.voice.labels())?.grow(&mut roster)?;
    }
    if question == Question::Alive {
        return alive(&roster, &misses, report);
    }
    for recipient in roster.iter_mut() {
        find(question, recipient, report)?;
    }
    tell_misses(&misses, report);
    let tally = Tally { signalled: roster.len(), failed: misses.len(), ..Tally::default() };
    Ok((tally, tally.status()))
}

fn find(question: Question, recipient: &mut Recipient, report: &mut Report) -> Result<()> {
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
    Ok(())
}

/// A pidfd's poll decides: neither the state letter, which is the main thread's, nor permission.
fn alive(roster: &Roster, misses: &[Miss], report: &mut Report) -> Result<(Tally, Status)> {
    let mut tally = Tally::default();
    for recipient in roster.iter() {
        if recipient.process.life()? == Life::Running {
            tally.signalled += 1;
            report.tell(&Subject::from(recipient), &Outcome::Alive);
        } else {
            tally.failed += 1;
            report.tell(&Subject::from(recipient), &Outcome::Failed(&Reason::Absent(NoProcess::Gone)));
        }
    }
    tell_misses(misses, report);
    tally.failed += misses.len();
    // Whoever cannot be told from another is neither alive nor gone; one that is surely gone settles the question.
    let is_unclear = |miss: &Miss| {
        matches!(miss.reason, Reason::Unverified { .. } | Reason::Absent(NoProcess::Thread { .. }) | Reason::Refused(_))
    };
    let unclear = misses.iter().filter(|miss| is_unclear(miss)).count();
    let status = match tally {
        Tally { failed: 0, signalled: 1.., .. } => Status::Success,
        Tally { failed, .. } if failed > 0 && failed == unclear => Status::Undecided,
        _ => Status::Failure,
    };
    Ok((tally, status))
}

fn tell_misses(misses: &[Miss], report: &mut Report) {
    for miss in misses {
        let subject = Subject { typed: &miss.typed, pid: miss.pid, inode: None, name: None };
        report.tell(&subject, &Outcome::Failed(&miss.reason));
    }
}
