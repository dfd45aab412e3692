//! Tests of the program from outside: real processes, real signals, wait statuses.

mod alive;
mod bad_input;
mod completions;
mod crowd;
mod daemon;
mod events;
mod family;
mod foundation;
mod fuzz;
mod identity;
mod listing;
mod manual;
mod names;
mod pidfile;
mod readme;
mod reuse;
mod sandbox;
mod signals;
mod stale;
mod strange;
mod support;
mod targets;
mod usage;
mod waiting;
mod words;
