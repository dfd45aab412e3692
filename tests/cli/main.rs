//! Tests of the program from outside: real processes, real signals, wait statuses.

mod bad_input;
mod daemon;
mod foundation;
mod fuzz;
mod listing;
mod signals;
mod support;
mod targets;
mod usage;
mod words;
