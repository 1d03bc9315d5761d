//! The protocol of `conec/bench`: who measures opens bidirectional streams, and their labels say what for.
//!
//! * `echo`: every message comes back as it is.
//! * `up`: pieces, and a clean end. Then the other end answers how fast they came, as JSON ([`Throughput`]).
//! * `down`: how long, as JSON ([`Order`]). Then the other end sends pieces for so long, and ends cleanly.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(super) const SERVICE: &str = "conec/bench";
pub(super) const ECHO: &str = "echo";
pub(super) const UP: &str = "up";
pub(super) const DOWN: &str = "down";

/// For how long to send.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Order {
    milliseconds: u64,
}

/// How much came in which time, warming up aside.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Throughput {
    pub(super) bytes: u64,
    pub(super) seconds: f64,
}

impl Order {
    pub(super) fn new(time: Duration) -> Self {
        Self {
            milliseconds: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// However long the other end wants it.
    pub(super) fn time(self) -> Duration {
        Duration::from_millis(self.milliseconds).min(LONGEST)
    }
}

impl Throughput {
    pub(super) fn megabytes_per_second(self) -> f64 {
        match self.seconds > 0.0 {
            true => self.bytes as f64 / self.seconds / 1e6,
            false => 0.0,
        }
    }
}

/// Nobody sends for longer.
pub(super) const LONGEST: Duration = Duration::from_secs(60);
