//! CUBIC that does not take every loss for congestion.
//!
//! On radio links packets get lost though there is room. A path that is full shows it in other ways too: packets wait in
//! a queue before they are lost, or a large part of them is lost. Where neither is the case, a loss says nothing.
//!
//! Where queues are so short that waiting cannot be noticed, this takes bandwidth from those who do reduce their window.

use super::{
    cubic::Cubic,
    feedback::{Ack, Loss},
};

#[derive(Debug, Clone)]
pub(super) struct LossTolerant {
    cubic: Cubic,
    mtu: f64,
    /// Bytes of the last round trips that have arrived, and that were lost.
    delivered: f64,
    lost: f64,
}

impl LossTolerant {
    pub(super) fn new(mtu: u16, cubic: Cubic) -> Self {
        Self {
            cubic,
            mtu: mtu.into(),
            delivered: 0.0,
            lost: 0.0,
        }
    }

    pub(super) fn window(&self) -> u64 {
        self.cubic.window()
    }

    pub(super) fn set_mtu(&mut self, mtu: u16) {
        self.mtu = mtu.into();
        self.cubic.set_mtu(mtu);
    }

    pub(super) fn on_ack(&mut self, ack: &Ack<'_>) {
        if ack.round_began {
            self.delivered *= MEMORY;
            self.lost *= MEMORY;
        }
        self.delivered += ack.bytes as f64;
        self.cubic.on_ack(ack);
    }

    pub(super) fn on_loss(&mut self, loss: &Loss, queue_builds: bool) {
        self.lost += loss.bytes as f64;
        let allowed = TOLERATED * (self.delivered + self.lost) + ALWAYS_TOLERATED * self.mtu;
        // Without lost bytes it is a router that has marked packets (RFC 9002, section 7.1).
        if loss.bytes == 0 || loss.persistent || queue_builds || self.lost > allowed {
            self.cubic.on_loss(loss);
            // It counts once.
            self.delivered = 0.0;
            self.lost = 0.0;
        }
    }
}

/// Which part of what is sent may get lost without a consequence.
const TOLERATED: f64 = 0.05;
/// How many packets, in any case: where few are sent, one is soon a large part.
const ALWAYS_TOLERATED: f64 = 4.0;
/// What is remembered of the round trips before, with each.
const MEMORY: f64 = 0.875;

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
        tolerant: LossTolerant,
    }

    impl Path {
        fn new() -> Self {
            let now = Instant::now();
            Self {
                now,
                trips: RoundTrips::new(now),
                tolerant: LossTolerant::new(MTU, Cubic::resume(MTU, 100_000)),
            }
        }

        /// A hundred packets, of which so many get lost.
        fn round(&mut self, lost: u32, queue_builds: bool) {
            let sent = self.now;
            self.now += RTT;
            for at in 0..100 {
                let now = self.now;
                if at < lost {
                    self.tolerant.on_loss(
                        &Loss {
                            now,
                            sent,
                            bytes: MTU.into(),
                            persistent: false,
                        },
                        queue_builds,
                    );
                } else {
                    let round_began = self.trips.on_ack(now, sent, 1);
                    self.tolerant.on_ack(&Ack {
                        now,
                        sent,
                        bytes: MTU.into(),
                        app_limited: false,
                        rtt: RTT,
                        trips: &self.trips,
                        round_began,
                        cautious: false,
                    });
                }
            }
        }
    }

    #[test]
    fn some_losses_without_a_queue_say_nothing() {
        let mut path = Path::new();
        for _ in 0..100 {
            path.round(3, false);
        }
        assert!(path.tolerant.window() >= 100_000);
    }

    #[test]
    fn many_losses_mean_that_there_is_no_room() {
        let mut path = Path::new();
        for _ in 0..10 {
            path.round(20, false);
        }
        assert!(path.tolerant.window() < 40_000);
    }

    #[test]
    fn a_loss_with_a_queue_means_that_it_is_full() {
        let mut path = Path::new();
        path.round(0, true);
        path.round(1, true);
        assert!(path.tolerant.window() < 75_000);
    }

    #[test]
    fn marks_of_routers_are_heeded_and_persistent_congestion_is() {
        for persistent in [false, true] {
            let mut path = Path::new();
            path.round(0, false);
            path.tolerant.on_loss(
                &Loss {
                    now: path.now,
                    sent: path.now,
                    bytes: if persistent { 1000 } else { 0 },
                    persistent,
                },
                false,
            );
            assert!(path.tolerant.window() < 75_000);
        }
    }
}
