//! HyStart++ (RFC 9406): slow start ends when a queue builds up, instead of when it overflows.
//!
//! Slow start that goes on until packets are lost loses half a window of them at once. That is bad for everyone on the
//! path, and leaves more gaps in the streams than the engine's receiver puts up with.

use std::time::Duration;

use super::round_trips::{RoundTrips, tolerance};

/// One slow start.
#[derive(Debug, Clone, Default)]
pub(super) struct HyStart {
    phase: Phase,
}

/// ```text
/// Standard ─delay rises─▶ Conservative ─five rounds─▶ Over
///     ▲──────delay falls again─────┘
/// ```
#[derive(Debug, Clone, Copy, Default)]
enum Phase {
    #[default]
    Standard,
    /// The delay has risen to `baseline`. Perhaps that was a burst of somebody else's.
    Conservative {
        baseline: Duration,
        rounds: u32,
    },
    Over,
}

/// How the window is to grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    /// By what is acknowledged.
    Full,
    /// By a fourth of it.
    Quarter,
    /// Slow start is over.
    Over,
}

impl HyStart {
    /// A packet was acknowledged, which has begun another round or not.
    pub(super) fn on_ack(&mut self, trips: &RoundTrips, round_began: bool) -> Growth {
        self.phase = match self.phase {
            Phase::Standard => match trips.present().zip(trips.last()) {
                Some((present, last)) if present >= last + tolerance(last) => Phase::Conservative {
                    baseline: present,
                    rounds: 0,
                },
                Some(_) | None => Phase::Standard,
            },
            Phase::Conservative { baseline, rounds } => {
                let rounds = rounds + u32::from(round_began);
                if trips.present().is_some_and(|present| present < baseline) {
                    Phase::Standard
                } else if rounds >= CONSERVATIVE_ROUNDS {
                    Phase::Over
                } else {
                    Phase::Conservative { baseline, rounds }
                }
            }
            Phase::Over => Phase::Over,
        };
        match self.phase {
            Phase::Standard => Growth::Full,
            Phase::Conservative { .. } => Growth::Quarter,
            Phase::Over => Growth::Over,
        }
    }
}

/// RFC 9406, section 4.3: CSS_ROUNDS.
const CONSERVATIVE_ROUNDS: u32 = 5;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use std::time::Instant;

    use super::*;

    struct Path {
        now: Instant,
        trips: RoundTrips,
        hystart: HyStart,
    }

    impl Path {
        fn new() -> Self {
            let now = Instant::now();
            Self {
                now,
                trips: RoundTrips::new(now),
                hystart: HyStart::default(),
            }
        }

        /// A round with so many packets that took this long, and what was said in the end.
        fn round(&mut self, packets: u32, millis: u64) -> Growth {
            let sent = self.now;
            self.now += Duration::from_millis(millis);
            let mut growth = Growth::Full;
            for _ in 0..packets {
                let began = self.trips.on_ack(self.now, sent, 1);
                growth = self.hystart.on_ack(&self.trips, began);
                // The others of the round were sent before it.
                self.now += Duration::from_micros(1);
            }
            growth
        }
    }

    #[test]
    fn slow_start_goes_on_while_the_delay_stays() {
        let mut path = Path::new();
        for _ in 0..20 {
            assert_eq!(path.round(10, 40), Growth::Full);
        }
        // An eighth of the delay, at least 4 ms, is tolerated.
        assert_eq!(path.round(10, 44), Growth::Full);
    }

    #[test]
    fn it_slows_down_when_the_delay_rises_and_ends_five_rounds_later() {
        let mut path = Path::new();
        path.round(10, 40);
        assert_eq!(path.round(10, 46), Growth::Quarter);
        for _ in 0..4 {
            assert_eq!(path.round(10, 50), Growth::Quarter);
        }
        assert_eq!(path.round(10, 50), Growth::Over);
        assert_eq!(path.round(10, 40), Growth::Over, "for good");
    }

    #[test]
    fn it_goes_on_when_the_delay_falls_again() {
        let mut path = Path::new();
        path.round(10, 40);
        assert_eq!(path.round(10, 60), Growth::Quarter);
        assert_eq!(path.round(10, 41), Growth::Full);
    }

    #[test]
    fn few_packets_prove_nothing() {
        let mut path = Path::new();
        path.round(10, 40);
        assert_eq!(path.round(7, 80), Growth::Full);
    }

    #[test]
    fn one_that_is_in_time_outweighs_those_that_are_late() {
        let mut path = Path::new();
        path.round(10, 40);
        let sent = path.now;
        path.round(1, 40);
        for late in 1..20 {
            let now = sent + Duration::from_millis(50 + late);
            let began = path.trips.on_ack(now, sent, 1);
            assert_eq!(path.hystart.on_ack(&path.trips, began), Growth::Full);
        }
    }
}
