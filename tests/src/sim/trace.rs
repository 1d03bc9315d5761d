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
    lines: VecDeque<Line>,
}

struct Line {
    at: Duration,
    what: String,
    /// How often the same happened after that, with nothing else in between.
    again: u64,
}

impl Trace {
    pub(super) fn new() -> Self {
        Self {
            hasher: DefaultHasher::new(),
            lines: VecDeque::new(),
        }
    }

    pub(super) fn record(&mut self, at: Duration, what: fmt::Arguments<'_>) {
        let what = what.to_string();
        (at, &what).hash(&mut self.hasher);
        if let Some(last) = self.lines.back_mut()
            && last.what == what
        {
            last.again += 1;
            return;
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { at, what, again: 0 });
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
        for Line { at, what, again } in &self.lines {
            write!(f, "{:>12.6} {what}", at.as_secs_f64())?;
            match again {
                0 => writeln!(f)?,
                _ => writeln!(f, " ({again} times more)")?,
            }
        }
        Ok(())
    }
}

const LINES: usize = 400;
