//! What happened, as a hash to compare and as text to read.

use std::{
    collections::VecDeque,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

/// The trace of a run: a hash over everything, and the last lines.
pub struct Trace {
    hasher: DefaultHasher,
    lines: VecDeque<String>,
}

impl Trace {
    pub(super) fn new() -> Self {
        Self {
            hasher: DefaultHasher::new(),
            lines: VecDeque::new(),
        }
    }

    pub(super) fn record(&mut self, at: Duration, what: fmt::Arguments<'_>) {
        let line = format!("{:>12.6} {what}", at.as_secs_f64());
        line.hash(&mut self.hasher);
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Adds to the hash alone.
    pub(super) fn count(&mut self, what: impl Hash) {
        what.hash(&mut self.hasher);
    }

    /// A number that two runs share if, and practically only if, the same happened in both.
    pub fn hash(&self) -> u64 {
        self.hasher.finish()
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

const LINES: usize = 400;
