//! The count of a call's results, and the exit status that follows from it.

/// The results of a call, counted by process. A target without a process counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Got a signal, whatever happened to them later.
    pub signalled: usize,
    /// Gone at the start when waiting was requested, or the answer yes to a question.
    pub settled: usize,
    /// Got no signal, or refused a later one.
    pub failed: usize,
    /// Still there when the time was over.
    pub left: usize,
}

impl Tally {
    /// One failure.
    pub const FAILURE: Self = Self {
        signalled: 0,
        settled: 0,
        failed: 1,
        left: 0,
    };

    pub fn status(self) -> Status {
        match self {
            Self { left: 1.., .. } => Status::TimedOut,
            Self { failed: 0, .. } => Status::Success,
            Self {
                signalled: 0,
                settled: 0,
                ..
            } => Status::Failure,
            _ => Status::Partial,
        }
    }
}

/// The exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Success = 0,
    /// Nothing was signalled, or output could not be written. With `--alive`: one is gone.
    Failure = 1,
    /// With `--alive`: it could not be determined.
    Undecided = 2,
    /// Some processes were signalled, others were not, or one refused a follow-up.
    Partial = 64,
    /// A target was still there when the time was over.
    TimedOut = 124,
}

impl Status {
    /// Each status with what it means, for the help, the manual and the README.
    pub const MEANINGS: [(Self, &str); 5] = [
        (
            Self::Success,
            "every target was signalled and, with a waiting option, is gone; \
             every question was answered with yes",
        ),
        (
            Self::Failure,
            "nothing was signalled: usage error, no such target, not permitted, refused; \
             or output could not be written",
        ),
        (
            Self::Undecided,
            "only --alive: whether all targets are alive could not be determined",
        ),
        (
            Self::Partial,
            "some processes were signalled and others were not, \
             or one got the first signal and not a later one",
        ),
        (
            Self::TimedOut,
            "a target was still there when the time of --within or --grace ran out",
        ),
    ];

    pub const fn code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_every_status() {
        let readme = include_str!("../../README.md").replace('`', "");
        // The README has those of --alive where it has the option.
        let listed = |(status, _): &(Status, &str)| *status != Status::Undecided;
        for (status, meaning) in Status::MEANINGS.into_iter().filter(listed) {
            let row = format!("| {} | {meaning} |", status.code());
            assert!(readme.contains(&row), "README.md lacks {row}");
        }
    }

    #[test]
    fn the_status_follows_from_the_count() {
        let table = [
            ((0, 0, 0, 0), 0),
            ((3, 0, 0, 0), 0),
            ((0, 2, 0, 0), 0),
            ((0, 0, 1, 0), 1),
            ((0, 0, 3, 0), 1),
            ((1, 0, 1, 0), 64),
            ((0, 1, 1, 0), 64),
            ((5, 0, 1, 0), 64),
            ((0, 0, 0, 1), 124),
            ((5, 1, 1, 1), 124),
        ];
        for ((signalled, settled, failed, left), code) in table {
            let tally = Tally {
                signalled,
                settled,
                failed,
                left,
            };
            assert_eq!(tally.status().code(), code, "{tally:?}");
        }
    }
}
