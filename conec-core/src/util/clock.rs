//! What time it is outside, as far as the driver has said.

use std::time::{Duration, Instant};

/// A clock that was set once, when its owner was made.
#[derive(Debug)]
pub(crate) struct WallClock {
    /// The time since 1970 when it began to run.
    set_to: Duration,
    began: Option<Instant>,
}

impl WallClock {
    pub(crate) fn new(set_to: Duration) -> Self {
        Self {
            set_to,
            began: None,
        }
    }

    /// The time since 1970. It begins to run when it is first looked at.
    pub(crate) fn read(&mut self, now: Instant) -> Duration {
        let began = *self.began.get_or_insert(now);
        self.set_to + now.saturating_duration_since(began)
    }
}
