//! How much a thread may do.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};

/// Keeps a thread to its share of one processor.
pub(crate) struct Pace {
    share: f64,
    /// Since when the share counts, and how much the thread had used by then.
    since: (Instant, Duration),
}

impl Pace {
    pub(crate) fn new(share: f64) -> Self {
        Self {
            share,
            since: (Instant::now(), used()),
        }
    }

    /// Sleeps if it was too much.
    pub(crate) fn keep(&mut self) {
        let mine = self.since.0.elapsed().mul_f64(self.share);
        let took = used() - self.since.1;
        if took > mine {
            thread::sleep((took - mine).div_f64(self.share));
        } else if mine - took > SAVED {
            *self = Self::new(self.share);
        }
    }
}

/// So many things a second.
pub(crate) struct Ticks {
    rate: f64,
    since: Instant,
    done: u64,
}

impl Ticks {
    pub(crate) fn new(rate: f64) -> Self {
        Self {
            rate,
            since: Instant::now(),
            done: 0,
        }
    }

    /// How many are due, at most so many at once.
    pub(crate) fn take(&mut self, most: u64) -> u64 {
        let due = (self.since.elapsed().as_secs_f64() * self.rate) as u64;
        let taken = (due - self.done).min(most);
        self.done += taken;
        taken
    }
}

/// The processor time of this thread.
pub(crate) fn used() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// How much of its share a thread may save up.
const SAVED: Duration = Duration::from_millis(1);
