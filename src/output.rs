//! What is printed: events as text or JSON, lists, progress. Text from other processes is escaped
//! here.

pub mod failure;
pub mod hint;
pub mod json;
pub mod keys;
pub mod list;
pub mod preview;
pub mod progress;
pub mod queue;
pub mod report;
#[cfg(test)]
pub mod samples;
pub mod screen;
pub mod terminal;
pub mod text;
