//! Losses that say nothing of congestion.
//!
//! On radio links packets get lost though there is room. A path that is full shows it in other ways too: packets wait in
//! a queue before they are lost, or a large part of them is lost. Where neither is the case, a loss says nothing.
//!
//! Where queues are so short that waiting cannot be noticed, this takes bandwidth from those who reduce their window for every
//! loss.

use super::feedback::{Ack, Loss};

/// How much of the last round trips was lost.
#[derive(Debug, Clone, Default)]
pub(super) struct Tolerance {
    /// Bytes that have arrived, and that were lost.
    delivered: f32,
    lost: f32,
}

impl Tolerance {
    pub(super) fn on_ack(&mut self, ack: &Ack<'_>) {
        if ack.round_began {
            self.delivered *= MEMORY;
            self.lost *= MEMORY;
        }
        self.delivered += ack.bytes as f32;
    }

    /// Packets of this size were lost. Whether that is a sign of congestion.
    pub(super) fn on_loss(&mut self, loss: &Loss, mtu: u16, queue_builds: bool) -> bool {
        self.lost += loss.bytes as f32;
        let allowed = TOLERATED * (self.delivered + self.lost) + ALWAYS_TOLERATED * f32::from(mtu);
        // Without lost bytes it is a router that has marked packets (RFC 9002, section 7.1).
        let counts = loss.bytes == 0 || loss.persistent || queue_builds || self.lost > allowed;
        if counts {
            // Once.
            *self = Self::default();
        }
        counts
    }
}

/// Which part of what is sent may get lost without a consequence.
const TOLERATED: f32 = 0.05;
/// How many packets, in any case: where few are sent, one is soon a large part.
const ALWAYS_TOLERATED: f32 = 4.0;
/// What is remembered of the round trips before, with each.
const MEMORY: f32 = 0.875;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use std::time::{Duration, Instant};

    use super::{super::round_trips::RoundTrips, *};

    const MTU: u16 = 1000;
    const RTT: Duration = Duration::from_millis(20);

    struct Path {
        now: Instant,
        trips: RoundTrips,
        tolerance: Tolerance,
    }

    impl Path {
        fn new() -> Self {
            let now = Instant::now();
            Self {
                now,
                trips: RoundTrips::new(now),
                tolerance: Tolerance::default(),
            }
        }

        fn lose(&mut self, packets: u32, persistent: bool, queue_builds: bool) -> bool {
            let loss = Loss {
                now: self.now,
                sent: self.now,
                bytes: u64::from(packets * u32::from(MTU)),
                persistent,
            };
            self.tolerance.on_loss(&loss, MTU, queue_builds)
        }

        /// A hundred packets, of which so many get lost. How many of these count.
        fn round(&mut self, lost: u32, queue_builds: bool) -> u32 {
            let sent = self.now;
            self.now += RTT;
            for _ in lost..100 {
                let round_began = self.trips.on_ack(self.now, sent, 1);
                self.tolerance.on_ack(&Ack {
                    now: self.now,
                    sent,
                    bytes: MTU.into(),
                    app_limited: false,
                    rtt: RTT,
                    trips: &self.trips,
                    round_began,
                    cautious: false,
                });
            }
            (0..lost)
                .map(|_| u32::from(self.lose(1, false, queue_builds)))
                .sum()
        }
    }

    #[test]
    fn some_losses_without_a_queue_say_nothing() {
        let mut path = Path::new();
        let counted: u32 = (0..100).map(|_| path.round(3, false)).sum();
        assert_eq!(counted, 0);
    }

    #[test]
    fn many_losses_mean_that_there_is_no_room() {
        let mut path = Path::new();
        for _ in 0..10 {
            assert!(path.round(20, false) > 0);
        }
    }

    #[test]
    fn a_loss_with_a_queue_means_that_it_is_full() {
        let mut path = Path::new();
        assert_eq!((path.round(0, true), path.round(1, true)), (0, 1));
    }

    #[test]
    fn marks_of_routers_are_heeded_and_persistent_congestion_is() {
        for (lost, persistent) in [(0, false), (1, true)] {
            let mut path = Path::new();
            path.round(0, false);
            assert!(path.lose(lost, persistent, false));
            assert!(!path.lose(1, false, false));
        }
    }

    #[test]
    fn what_arrived_long_ago_does_not_outweigh_what_is_lost_now() {
        let mut path = Path::new();
        for _ in 0..100 {
            path.round(0, false);
        }
        // Of what about eight round trips bring, a twentieth may be lost.
        assert!(!path.lose(35, false, false));
        assert!(path.lose(20, false, false));
    }
}
