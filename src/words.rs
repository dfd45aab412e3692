//! Words of a command line, which stay where they are: a hundred thousand copies would take more
//! time and memory than everything else that a call needs.

use std::ffi::OsStr;
use std::fmt;
use std::iter;
use std::ops::Range;

/// Words of one command line, in order.
#[derive(Clone)]
pub struct Words {
    line: &'static dyn Fn(usize) -> &'static OsStr,
    /// Neighbours are one range.
    ranges: Vec<Range<usize>>,
}

impl Words {
    /// All `count` words of a line; `line` finds one by its place.
    pub fn new(line: &'static dyn Fn(usize) -> &'static OsStr, count: usize) -> Self {
        Self {
            line,
            ranges: iter::once(0..count).collect(),
        }
    }

    /// None of the words of the same line.
    pub fn none(&self) -> Self {
        Self {
            line: self.line,
            ranges: Vec::new(),
        }
    }

    /// Removes the first word.
    pub fn take_first(&mut self) -> Option<&'static OsStr> {
        let first = self.ranges.first_mut()?.next()?;
        Some((self.line)(first))
    }

    /// Adds the word in a place after all others.
    pub fn push(&mut self, place: usize) {
        match self.ranges.last_mut() {
            Some(last) if last.end == place => last.end += 1,
            _ => self.ranges.push(place..place + 1),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &'static OsStr> {
        self.placed().map(|(_, word)| word)
    }

    /// The words with their places in the line.
    pub fn placed(&self) -> impl Iterator<Item = (usize, &'static OsStr)> {
        self.ranges
            .iter()
            .cloned()
            .flatten()
            .map(|place| (place, (self.line)(place)))
    }

    pub fn len(&self) -> usize {
        self.ranges.iter().map(Range::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
impl FromIterator<&'static OsStr> for Words {
    fn from_iter<I: IntoIterator<Item = &'static OsStr>>(words: I) -> Self {
        let words: Vec<_> = words.into_iter().collect();
        let count = words.len();
        Self::new(Box::leak(Box::new(move |place: usize| words[place])), count)
    }
}
