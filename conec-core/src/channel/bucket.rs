//! A token bucket: so many at once, so many a second.

use std::time::Instant;

#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    per_second: u64,
    burst: u64,
    tokens: u64,
    /// Up to when tokens were added. `None` while none was ever taken.
    since: Option<Instant>,
}

impl Bucket {
    pub(crate) fn new(per_second: u64, burst: u64) -> Self {
        Self {
            per_second: per_second.max(1),
            burst,
            tokens: burst,
            since: None,
        }
    }

    /// Takes `count` tokens, if there are as many.
    pub(crate) fn take(&mut self, now: Instant, count: u64) -> bool {
        let since = *self.since.get_or_insert(now);
        let gained = u128::from(self.per_second) * now.saturating_duration_since(since).as_nanos()
            / 1_000_000_000;
        // Time that did not make a whole token yet stays to be counted.
        if gained > 0 {
            let gained = u64::try_from(gained).unwrap_or(u64::MAX);
            self.tokens = self.tokens.saturating_add(gained).min(self.burst);
            self.since = Some(now);
        }
        match self.tokens.checked_sub(count) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_a_steady_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 3);
        assert_eq!((0..5).filter(|_| bucket.take(start, 1)).count(), 3);
        let later = start + Duration::from_millis(250);
        assert_eq!((0..5).filter(|_| bucket.take(later, 1)).count(), 2);
        let much_later = start + Duration::from_secs(1000);
        assert_eq!((0..5).filter(|_| bucket.take(much_later, 1)).count(), 3);
        assert!(!bucket.take(start, 1), "time does not run backwards");
    }
}
