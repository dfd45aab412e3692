//! How processes ended, reported when it is known. A parent has 100 ms to reap its child, while the
//! engine goes on.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::event::Ending;
use crate::find::recipients::RecipientId;
use crate::plan::Labels;
use crate::run::call::Call;
use crate::run::watch::Watch;

/// How long to wait for the parent to reap, if the ending is not known before.
const REAPING: Duration = Duration::from_millis(100);

/// Exited processes whose endings are not known yet.
#[derive(Default)]
pub struct Endings(Vec<Exited>);

struct Exited {
    id: RecipientId,
    /// When it exited, since the first signal.
    after: Duration,
    until: Instant,
}

impl Endings {
    /// Reports how a process ended: at once if that can be told or is not shown, else when its
    /// parent has reaped it.
    pub fn add(&mut self, call: &mut Call, watch: Option<&Watch>, id: RecipientId) -> Result<()> {
        let after = call.began.elapsed();
        let process = &call.found.recipients[id].process;
        let known = match call.found.recipients.rules.labels {
            Labels::Wanted => process.ending(),
            Labels::Unwanted => Some(Ending::Unknown),
        };
        if let Some(ending) = known {
            call.report_gone(id, ending, after);
        } else {
            if let Some(watch) = watch {
                watch.await_reaping(id, process)?;
            }
            let until = Instant::now() + REAPING;
            self.0.push(Exited { id, after, until });
        }
        Ok(())
    }

    /// Reports the endings that are known by now, or whose time is over.
    pub fn report_due(&mut self, call: &mut Call) {
        let now = Instant::now();
        self.0.retain(|exited| {
            let known = call.found.recipients[exited.id].process.ending();
            if known.is_none() && now < exited.until {
                return true;
            }
            call.report_gone(exited.id, known.unwrap_or(Ending::Unknown), exited.after);
            false
        });
    }

    /// When the time of the first one is over; `None` without any.
    pub fn next(&self) -> Option<Instant> {
        self.0.iter().map(|exited| exited.until).min()
    }
}
