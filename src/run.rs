//! Carries out a plan: the order of the signals, the waits, the follow-ups. The dry run takes the
//! same way with another sender; questions send nothing. What processes there are is `find`'s, what
//! is printed is `output`'s.

pub mod call;
pub mod chase;
pub mod deliver;
pub mod engine;
pub mod kill_order;
pub mod orphans;
pub mod preview;
pub mod query;
pub mod sender;
pub mod state;
pub mod stopping;
pub mod tree_kill;
pub mod watch;
