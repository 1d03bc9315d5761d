//! For how long a direct path is not taken again after it has failed.

use std::time::{Duration, Instant};

/// Direct paths that have failed lately.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: u32,
    last: Option<Instant>,
}

impl Failures {
    /// Another failure. For how long no direct path is to be taken.
    pub(super) fn hold(&mut self, now: Instant, useless: bool) -> Duration {
        if self.last.is_some_and(|last| now > last + FORGIVEN) {
            self.count = 0;
        }
        self.last = Some(now);
        self.count += 1;
        let (first, doublings) = match useless {
            true => (HOLD_USELESS, self.count - 1),
            // A path that fails may come back at any time. One that does so again and again is no use.
            false if self.count <= PATIENCE => return Duration::ZERO,
            false => (HOLD, self.count - PATIENCE - 1),
        };
        (first * (1 << doublings.min(10))).min(MAX_HOLD)
    }
}

/// How many failures make no path wait.
const PATIENCE: u32 = 6;
/// For how long no direct path is taken after the next one; doubled with each further one.
const HOLD: Duration = Duration::from_secs(10);
/// The same, after the first failure of a path that carries probes only.
const HOLD_USELESS: Duration = Duration::from_secs(30);
const MAX_HOLD: Duration = Duration::from_secs(600);
/// Failures count until there was none for this long.
const FORGIVEN: Duration = Duration::from_secs(600);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    #[test]
    fn failures_count_until_there_was_none_for_ten_minutes() {
        let start = Instant::now();
        for (pause, held) in [
            (FORGIVEN, HOLD),
            (FORGIVEN + Duration::from_nanos(1), Duration::ZERO),
        ] {
            let mut failures = Failures::default();
            for _ in 0..PATIENCE {
                assert_eq!(failures.hold(start, false), Duration::ZERO);
            }
            assert_eq!(failures.hold(start + pause, false), held);
        }
    }
}
