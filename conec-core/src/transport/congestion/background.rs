//! LEDBAT++ (draft-irtf-iccrg-ledbat-plus-plus): uses what others leave, and gives way to them.
//!
//! The window grows while packets wait in queues for less than a target, and shrinks when they wait longer. Those who
//! reduce their windows only when packets are lost fill queues beyond that, and so get all they want.
//!
//! The target is lower than the draft's 60 ms. Many queues hold no more than 20 ms, and who waits for 60 does not give
//! way there. From time to time the window is reduced to almost nothing, so that the queue runs empty and the path's own
//! round-trip time is seen. The slow start after that goes on beyond the former window, other than in the draft, as long
//! as no queue builds: what others have left is taken soon.

use std::time::{Duration, Instant};

use super::{
    feedback::{Ack, Loss, initial_window},
    round_trips::RoundTrips,
};

#[derive(Debug, Clone)]
pub(super) struct Background {
    window: f64,
    /// Where slow start ends in any case, after a loss.
    threshold: f64,
    mtu: f64,
    phase: Phase,
    /// Losses of what was sent up to here belong to a reduction that was made.
    recovery: Option<Instant>,
}

/// ```text
/// SlowStart ─a queue, or threshold─▶ Avoidance ─time is up─▶ Slowdown ─two round trips─▶ SlowStart
/// ```
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Since when the window has been small, after a slowdown; nothing at first.
    SlowStart {
        slowed_down: Option<Instant>,
    },
    /// A slowdown is due then.
    Avoidance {
        until: Instant,
    },
    Slowdown {
        since: Instant,
        rounds: u32,
    },
}

impl Background {
    pub(super) fn new(mtu: u16) -> Self {
        Self {
            window: initial_window(mtu) as f64,
            threshold: f64::INFINITY,
            mtu: mtu.into(),
            phase: Phase::SlowStart { slowed_down: None },
            recovery: None,
        }
    }

    /// One that goes on from another algorithm's window.
    pub(super) fn resume(now: Instant, mtu: u16, window: u64) -> Self {
        let mut this = Self::new(mtu);
        this.window = this.least().max(window as f64);
        this.threshold = this.window;
        this.phase = Phase::Avoidance { until: now };
        this
    }

    pub(super) fn window(&self) -> u64 {
        self.window as u64
    }

    pub(super) fn set_mtu(&mut self, mtu: u16) {
        self.mtu = mtu.into();
        self.window = self.window.max(self.least());
    }

    pub(super) fn on_ack(&mut self, ack: &Ack<'_>) {
        let gain = gain(ack.trips);
        let queueing = ack.trips.queueing().unwrap_or(Duration::ZERO);
        let bytes = ack.bytes as f64;
        match self.phase {
            Phase::SlowStart { slowed_down } => {
                if queueing > TARGET * 3 / 4 {
                    self.threshold = self.window;
                } else if !ack.app_limited {
                    let growth = if ack.cautious { gain / 4.0 } else { gain };
                    self.window = (self.window + growth * bytes).min(self.threshold);
                }
                if self.window >= self.threshold {
                    let wait = match slowed_down {
                        None => FIRST_SLOWDOWN * ack.rtt,
                        Some(since) => PAUSE * ack.now.saturating_duration_since(since),
                    };
                    let until = ack.now + wait;
                    self.phase = Phase::Avoidance { until };
                }
            }
            Phase::Avoidance { until } => {
                if queueing < TARGET {
                    if !ack.app_limited {
                        self.window += gain * self.mtu * bytes / self.window;
                    }
                } else if ack.round_began {
                    self.give_way(queueing, gain);
                }
                if ack.now >= until && ack.round_began {
                    self.threshold = f64::INFINITY;
                    self.window = self.least();
                    self.phase = Phase::Slowdown {
                        since: ack.now,
                        rounds: 0,
                    };
                }
            }
            Phase::Slowdown { since, rounds } => {
                let rounds = rounds + u32::from(ack.round_began);
                self.phase = if rounds > SLOWDOWN {
                    let slowed_down = Some(since);
                    Phase::SlowStart { slowed_down }
                } else {
                    Phase::Slowdown { since, rounds }
                };
            }
        }
    }

    pub(super) fn on_loss(&mut self, loss: &Loss) {
        if self.recovery.is_some_and(|recovery| loss.sent <= recovery) {
            return;
        }
        self.recovery = Some(loss.now);
        self.threshold = (self.window / 2.0).max(self.least());
        self.window = if loss.persistent {
            self.least()
        } else {
            self.window.min(self.threshold)
        };
        match self.phase {
            // It is over, and no slowdown is due sooner for that.
            Phase::SlowStart { slowed_down: None } => {
                self.phase = Phase::Avoidance { until: loss.now };
            }
            Phase::SlowStart { .. } | Phase::Avoidance { .. } | Phase::Slowdown { .. } => {}
        }
    }

    /// Shrinks the window by what the queue exceeds the target by, to half of it at most.
    fn give_way(&mut self, queueing: Duration, gain: f64) {
        let excess = queueing.as_secs_f64() / TARGET.as_secs_f64() - 1.0;
        let change = gain * self.mtu - self.window * excess;
        self.window = (self.window + change.max(-self.window / 2.0)).max(self.least());
    }

    /// Less would be measured wrongly: the engine keeps one packet back, and who gets a single one waits for another
    /// before it acknowledges (RFC 9000, section 13.2.1).
    fn least(&self) -> f64 {
        4.0 * self.mtu
    }
}

/// How much slower than Reno the window grows: on short paths it would push others aside otherwise.
fn gain(trips: &RoundTrips) -> f64 {
    let base = trips.base().unwrap_or(TARGET).max(Duration::from_millis(1));
    let ratio = 2.0 * TARGET.as_secs_f64() / base.as_secs_f64();
    1.0 / ratio.ceil().clamp(1.0, 16.0)
}

/// How long packets may wait in queues.
const TARGET: Duration = Duration::from_millis(15);
/// How many round trips after the first slow start the first slowdown begins.
const FIRST_SLOWDOWN: u32 = 2;
/// How many round trips a slowdown takes, until the window grows again.
const SLOWDOWN: u32 = 2;
/// How much longer than a slowdown, with the growth after it, the time until the next is: a tenth is lost.
const PAUSE: u32 = 9;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    const MTU: u16 = 1000;

    struct Path {
        now: Instant,
        trips: RoundTrips,
        background: Background,
    }

    impl Path {
        fn new() -> Self {
            let now = Instant::now();
            Self {
                now,
                trips: RoundTrips::new(now),
                background: Background::new(MTU),
            }
        }

        fn segments(&self) -> f64 {
            self.background.window / 1000.0
        }

        /// A round trip of that many milliseconds in which everything arrives.
        fn round(&mut self, millis: u64) {
            self.round_of(Duration::from_millis(millis));
        }

        fn round_of(&mut self, rtt: Duration) {
            let sent = self.now;
            self.now += rtt;
            for _ in 0..self.segments().max(8.0) as u32 {
                let round_began = self.trips.on_ack(self.now, sent, 1);
                self.background.on_ack(&Ack {
                    now: self.now,
                    sent,
                    bytes: MTU.into(),
                    app_limited: false,
                    rtt,
                    trips: &self.trips,
                    round_began,
                    cautious: false,
                });
            }
            self.now += Duration::from_micros(1);
        }

        /// Past slow start and the first slowdown.
        fn settle(&mut self, segments: f64) {
            self.round(60);
            self.background.window = segments * 1000.0;
            self.background.threshold = self.background.window;
            let until = self.now + Duration::from_secs(3600);
            self.background.phase = Phase::Avoidance { until };
        }
    }

    #[test]
    fn slow_start_ends_before_the_target_is_reached() {
        let mut path = Path::new();
        for _ in 0..4 {
            path.round(60);
        }
        let reached = path.segments();
        assert!(reached > 100.0, "{reached}");
        path.round(72);
        path.round(72);
        assert!(path.segments() < reached * 2.1);
        assert!(matches!(path.background.phase, Phase::Avoidance { .. }));
    }

    #[test]
    fn slow_start_puts_up_with_a_queue_of_three_quarters_of_the_target() {
        let base = Duration::from_millis(60);
        let most = base + TARGET * 3 / 4;
        for (rtt, goes_on) in [(most, true), (most + Duration::from_nanos(1), false)] {
            let mut path = Path::new();
            path.round_of(base);
            path.round_of(rtt);
            let phase = path.background.phase;
            assert_eq!(matches!(phase, Phase::SlowStart { .. }), goes_on);
        }
    }

    #[test]
    fn below_the_target_it_grows_by_a_packet_in_a_round_trip() {
        let mut path = Path::new();
        path.settle(100.0);
        for _ in 0..10 {
            path.round(65);
        }
        assert!((109.0..=110.5).contains(&path.segments()));
    }

    #[test]
    fn above_it_the_window_shrinks_by_the_excess() {
        let mut path = Path::new();
        path.settle(100.0);
        // 18 ms of queue are a fifth more than the target.
        path.round(78);
        path.round(78);
        path.round(78);
        let ratio = path.segments() / 100.0;
        assert!((0.6..0.7).contains(&ratio), "{ratio}");
        for _ in 0..20 {
            path.round(500);
        }
        assert_eq!(path.segments(), 4.0);
    }

    #[test]
    fn short_paths_take_smaller_steps() {
        let mut path = Path::new();
        path.settle(100.0);
        // A base of 10 ms: a third.
        path.round(10);
        let before = path.segments();
        for _ in 0..9 {
            path.round(10);
        }
        let grown = path.segments() - before;
        assert!((2.9..3.1).contains(&grown), "{grown}");
    }

    #[test]
    fn from_time_to_time_it_lets_the_queue_run_empty() {
        let mut path = Path::new();
        path.settle(100.0);
        path.background.phase = Phase::Avoidance { until: path.now };
        path.round(60);
        path.round(60);
        assert_eq!(path.segments(), 4.0);
        let began = path.now;
        // Two round trips, after that in which what was under way arrives.
        let Phase::Slowdown { since, .. } = path.background.phase else {
            panic!("{:?}", path.background);
        };
        while path.segments() == 4.0 {
            path.round(60);
        }
        let slow = path.now - since;
        assert!(slow >= Duration::from_millis(3 * 60), "{slow:?}");
        while path.segments() < 100.0 {
            path.round(60);
        }
        // There is room: it goes on until a queue builds.
        assert!(matches!(path.background.phase, Phase::SlowStart { .. }));
        path.round(75);
        path.round(75);
        let Phase::Avoidance { until } = path.background.phase else {
            panic!("{:?}", path.background);
        };
        let took = path.now - began;
        let pause = until - path.now;
        assert!(
            pause >= 7 * took && pause <= 9 * took,
            "{pause:?} after {took:?}"
        );
    }

    #[test]
    fn a_loss_halves_the_window_once() {
        let mut path = Path::new();
        path.settle(100.0);
        let loss = Loss {
            now: path.now,
            sent: path.now,
            bytes: 1000,
            persistent: false,
        };
        path.background.on_loss(&loss);
        path.background.on_loss(&loss);
        assert_eq!(path.segments(), 50.0);
    }
}
