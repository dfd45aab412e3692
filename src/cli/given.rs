//! The options of one line, as clap has parsed them.

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::cli::options::{ALIVE, DRY_RUN, ID, JSON, Opt, PID, VERBOSE, option};
use crate::plan::{Mode, Question, Voice};

/// The options of a line and their values.
pub struct Given(pub ArgMatches);

impl Given {
    pub fn has(&self, id: &str) -> bool {
        self.0.value_source(id) == Some(ValueSource::CommandLine)
    }

    /// The value of an option that may be given once.
    pub fn one<T: Clone + Send + Sync + 'static>(&self, id: &str) -> Option<T> {
        self.0.get_one(id).cloned()
    }

    /// All values of an option that may be repeated.
    pub fn all<T: Clone + Send + Sync + 'static>(&self, id: &str) -> Vec<T> {
        let values = self.0.get_many(id).into_iter().flatten();
        values.cloned().collect()
    }

    /// The first of these options that is given.
    pub fn first(&self, mut ids: impl Iterator<Item = &'static str>) -> Option<&'static Opt> {
        ids.find(|id| self.has(id)).map(option)
    }

    pub fn mode(&self) -> Mode {
        match () {
            () if self.has(PID) => Mode::Ask(Question::Pid),
            () if self.has(ID) => Mode::Ask(Question::Id),
            () if self.has(ALIVE) => Mode::Ask(Question::Alive),
            () if self.has(DRY_RUN) => Mode::Rehearse,
            () => Mode::Send,
        }
    }

    pub fn voice(&self) -> Voice {
        // The preview is what a dry run is for, so it is printed without -v too.
        match () {
            () if self.has(JSON) => Voice::Json,
            () if self.has(VERBOSE) || self.mode() == Mode::Rehearse => Voice::Verbose,
            () => Voice::Quiet,
        }
    }
}
