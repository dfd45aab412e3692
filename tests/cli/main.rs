//! Tests of the program from outside: real processes, real signals, wait statuses.
#![expect(
    clippy::format_push_string,
    clippy::items_after_statements,
    reason = "models of command lines, and handlers that stand where they are used"
)]

mod alive;
mod bad_input;
mod blocked;
mod cgroup;
mod completions;
mod concealed;
mod crowd;
mod cwd;
mod descriptors;
mod endings;
mod escalation;
mod events;
mod faults;
mod fleet;
mod foundation;
mod from_pkill;
mod full;
mod fuzz;
mod groups;
mod hidden;
mod identity;
mod interrupts;
mod kinds;
mod leavers;
mod limits;
mod listing;
mod manual;
mod memory;
mod mixed;
mod names;
mod nested;
mod outrun;
mod pidfile;
mod port;
mod privilege;
mod quick;
mod readers;
mod readme;
mod reuse;
mod sandbox;
mod signals;
mod spared;
mod stale;
mod storms;
mod support;
mod targets;
mod transcripts;
mod trees;
mod users;
mod waiting;
mod words;

use support::{family, strange};
