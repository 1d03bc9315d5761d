//! A token bucket: so many at once, so many in a time.

use std::time::{Duration, Instant};

#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    /// How many tokens come in a period.
    count: u64,
    /// In nanoseconds.
    period: u64,
    burst: u64,
    tokens: u64,
    /// Up to when tokens were added. `None` while none was ever taken.
    since: Option<Instant>,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(count: u64, period: Duration, burst: u64) -> Self {
        Self {
            count: count.max(1),
            period: u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1),
            burst,
            tokens: burst,
            since: None,
        }
    }

    /// So many a second.
    pub(crate) fn per_second(count: u64, burst: u64) -> Self {
        Self::new(count, Duration::from_secs(1), burst)
    }

    /// Takes `count` tokens, if there are as many.
    pub(crate) fn take(&mut self, now: Instant, count: u64) -> bool {
        self.take_leaving(now, count, 0)
    }

    /// Takes `count` tokens, if there are `rest` more than that.
    pub(crate) fn take_leaving(&mut self, now: Instant, count: u64, rest: u64) -> bool {
        self.refill(now);
        match self.tokens.checked_sub(count) {
            Some(left) if left >= rest => {
                self.tokens = left;
                true
            }
            Some(_) | None => false,
        }
    }

    /// How many tokens there are.
    pub(crate) fn level(&mut self, now: Instant) -> u64 {
        self.refill(now);
        self.tokens
    }

    /// Gives tokens back that were taken.
    pub(crate) fn give(&mut self, count: u64) {
        self.tokens = self.tokens.saturating_add(count).min(self.burst);
    }

    /// When there will be a token: at once, if that is not later than `now`.
    pub(crate) fn next(&mut self, now: Instant) -> Instant {
        self.refill(now);
        match self.since {
            Some(since) if self.tokens == 0 => {
                since + Duration::from_nanos(self.period.div_ceil(self.count))
            }
            Some(_) | None => now,
        }
    }

    fn refill(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since).as_nanos();
        // Within a turn, as for the packets of a batch, there is nothing to divide.
        if passed == 0 {
            return;
        }
        let gained = u128::from(self.count) * passed / u128::from(self.period);
        // Time that did not make a whole token yet stays to be counted.
        if gained > 0 {
            let took = (gained * u128::from(self.period)).div_ceil(self.count.into());
            self.since = Some(since + Duration::from_nanos(took as u64));
            let gained = u64::try_from(gained).unwrap_or(u64::MAX);
            self.tokens = self.tokens.saturating_add(gained).min(self.burst);
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_a_steady_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::per_second(10, 3);
        assert_eq!((0..5).filter(|_| bucket.take(start, 1)).count(), 3);
        let later = start + Duration::from_millis(250);
        assert_eq!((0..5).filter(|_| bucket.take(later, 1)).count(), 2);
        let much_later = start + Duration::from_secs(1000);
        assert_eq!((0..5).filter(|_| bucket.take(much_later, 1)).count(), 3);
        assert!(!bucket.take(start, 1), "time does not run backwards");
    }

    /// Who takes its tokens at uneven times gets as many as who does not.
    #[test]
    fn no_time_is_lost() {
        let start = Instant::now();
        let mut bucket = Bucket::per_second(100, 20);
        assert!(bucket.take(start, 20));
        let mut at = start;
        for round in 0..300 {
            at += Duration::from_millis([15, 15, 1][round % 3]);
            assert!(bucket.take(at, 1), "number {round}, {:?}", at - start);
        }
        // 310 came in 3.1 seconds.
        assert_eq!(bucket.level(at), 10);
    }

    #[test]
    fn it_tells_when_there_is_a_token_again() {
        let start = Instant::now();
        let mut bucket = Bucket::new(3, Duration::from_secs(60), 1);
        assert_eq!(bucket.next(start), start);
        assert!(bucket.take(start, 1));
        let next = bucket.next(start);
        assert_eq!(next, start + Duration::from_secs(20));
        assert!(!bucket.take(next - Duration::from_millis(1), 1));
        assert!(bucket.take(next, 1));
    }
}
