//! Round-trip times, measured round by round.
//!
//! A single round-trip time says little: it contains jitter, and acknowledgements come late. The least one of a whole
//! round is free of both, and what it exceeds the least one of the path by is the time spent in queues.

use std::time::{Duration, Instant};

/// The round-trip times of one path.
#[derive(Debug, Clone)]
pub(super) struct RoundTrips {
    /// When the present round began, with the first acknowledgement of all. It ends when a packet is acknowledged that
    /// was sent since.
    began: Option<Instant>,
    /// The least of the present round, and of how many.
    present: Option<Duration>,
    samples: u32,
    /// The least of the round before.
    last: Option<Duration>,
    base: Base,
}

impl RoundTrips {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: None,
            present: None,
            samples: 0,
            last: None,
            base: Base::new(now),
        }
    }

    /// Packets that were sent together were acknowledged. Whether that has begun another round.
    pub(super) fn on_ack(&mut self, now: Instant, sent: Instant, packets: u32) -> bool {
        let began = *self.began.get_or_insert(now);
        let ended = sent >= began && self.samples > 0;
        if ended {
            self.began = Some(now);
            self.last = self.present.take();
            self.samples = 0;
        }
        let sample = now.saturating_duration_since(sent);
        self.present = Some(least(self.present, sample));
        self.samples = self.samples.saturating_add(packets);
        self.base.note(now, sample);
        ended
    }

    /// The least one of the present round, once there were enough to believe it.
    pub(super) fn present(&self) -> Option<Duration> {
        self.present.filter(|_| self.samples >= ENOUGH)
    }

    /// The least one of the round before the present one.
    pub(super) fn last(&self) -> Option<Duration> {
        self.last
    }

    /// The least one of the last minutes: of the path without any queue, as far as that is known.
    pub(super) fn base(&self) -> Option<Duration> {
        self.base.get()
    }

    /// How long packets wait in queues, according to the latest round that says something.
    pub(super) fn queueing(&self) -> Option<Duration> {
        let latest = self.present().or(self.last)?;
        Some(latest.saturating_sub(self.base()?))
    }

    /// Whether a queue builds up.
    pub(super) fn queue_builds(&self) -> bool {
        self.base()
            .zip(self.queueing())
            .is_some_and(|(base, queueing)| queueing >= tolerance(base))
    }
}

/// By how much a round-trip time may exceed another one before that means a queue (RFC 9406, section 4.2).
pub(super) fn tolerance(base: Duration) -> Duration {
    (base / 8).clamp(Duration::from_millis(4), Duration::from_millis(16))
}

/// The least of the last [`PERIOD`] at least and twice that at most. Routes change, so that it must not last for ever.
#[derive(Debug, Clone)]
struct Base {
    began: Instant,
    present: Option<Duration>,
    before: Option<Duration>,
}

impl Base {
    fn new(now: Instant) -> Self {
        Self {
            began: now,
            present: None,
            before: None,
        }
    }

    fn note(&mut self, now: Instant, sample: Duration) {
        if now.saturating_duration_since(self.began) >= PERIOD {
            self.began = now;
            self.before = self.present.take();
        }
        self.present = Some(least(self.present, sample));
    }

    fn get(&self) -> Option<Duration> {
        let both = [self.present, self.before];
        both.into_iter().flatten().min()
    }
}

fn least(known: Option<Duration>, sample: Duration) -> Duration {
    known.map_or(sample, |known| known.min(sample))
}

/// How many acknowledgements of a round have to have come before its least round-trip time counts (RFC 9406, section
/// 4.3: N_RTT_SAMPLE).
const ENOUGH: u32 = 8;
/// LEDBAT remembers for ten minutes (RFC 6817, section 4.2).
const PERIOD: Duration = Duration::from_secs(300);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_round_ends_when_what_was_sent_in_it_is_acknowledged() {
        let start = Instant::now();
        let mut trips = RoundTrips::new(start);
        assert!(!trips.on_ack(start + ms(20), start, 1));
        assert!(!trips.on_ack(start + ms(21), start + ms(1), 1));
        assert!(!trips.on_ack(start + ms(39), start + ms(19), 1));
        assert!(trips.on_ack(start + ms(40), start + ms(20), 1));
        assert!(!trips.on_ack(start + ms(41), start + ms(21), 1));
        assert!(!trips.on_ack(start + ms(59), start + ms(39), 1));
        assert!(trips.on_ack(start + ms(60), start + ms(40), 1));
    }

    #[test]
    fn the_least_of_enough_samples_counts() {
        let start = Instant::now();
        let mut trips = RoundTrips::new(start);
        for sample in [29, 25, 30, 31, 28, 40, 33] {
            trips.on_ack(start + ms(sample), start, 1);
            assert_eq!(trips.present(), None);
        }
        trips.on_ack(start + ms(50), start, 1);
        assert_eq!(trips.present(), Some(ms(25)));
        trips.on_ack(start + ms(90), start + ms(50), 1);
        assert_eq!((trips.present(), trips.last()), (None, Some(ms(25))));
    }

    #[test]
    fn a_queue_is_what_exceeds_the_path_without_one() {
        let start = Instant::now();
        let mut trips = RoundTrips::new(start);
        let mut round = |at: u64, sample| {
            for _ in 0..8 {
                trips.on_ack(start + ms(at + sample), start + ms(at), 1);
            }
            (trips.queueing(), trips.queue_builds())
        };
        assert_eq!(round(0, 40), (Some(ms(0)), false));
        assert_eq!(round(100, 44), (Some(ms(4)), false));
        assert_eq!(round(200, 45), (Some(ms(5)), true));
        assert_eq!(round(300, 30), (Some(ms(0)), false));
        assert_eq!(
            round(400, 33),
            (Some(ms(3)), false),
            "jitter of milliseconds"
        );
    }

    #[test]
    fn the_base_is_forgotten_after_minutes() {
        let start = Instant::now();
        let mut trips = RoundTrips::new(start);
        trips.on_ack(start + ms(10), start, 1);
        for second in 0..299 {
            let at = start + Duration::from_secs(second);
            trips.on_ack(at + ms(80), at, 1);
        }
        assert_eq!(trips.base(), Some(ms(10)));
        for second in 300..900 {
            let at = start + Duration::from_secs(second);
            trips.on_ack(at + ms(80), at, 1);
        }
        assert_eq!(trips.base(), Some(ms(80)));
    }
}
