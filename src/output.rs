//! What is printed: events as text or JSON lines, hints, lists, the line of progress. What happened
//! is known from `event`; nothing is looked up here. Text from other processes is escaped here.

pub mod describe;
pub mod failure;
pub mod hint;
pub mod json;
pub mod keys;
pub mod list;
pub mod preview;
pub mod progress;
pub mod queue;
pub mod report;
pub mod terminal;
pub mod text;

#[cfg(test)]
mod tests;
