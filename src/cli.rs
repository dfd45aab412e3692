//! The command line: from arguments to an action, and the words of what is refused. Nothing is
//! looked up here, except for hints ([`lookup`]): `find` is the first to look at the system.

pub mod argv;
pub mod duration;
pub mod given;
pub mod hints;
pub mod lookup;
pub mod options;
pub mod parse;
pub mod selection;
pub mod value_hints;
pub mod values;
