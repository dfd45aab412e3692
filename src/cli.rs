//! The command line: from arguments to an action, and the words of what is refused. Nothing is
//! looked up here, except for hints ([`refusal`]): `find` is the first to look at the system.

pub mod argv;
pub mod duration;
pub mod hints;
pub mod options;
pub mod parse;
pub mod refusal;
pub mod selection;
pub mod values;
