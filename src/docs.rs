//! What the program says of itself: help, man page and completion scripts, made from the table of
//! options.

pub mod completions;
pub mod help;
pub mod manual;
