//! CUBIC (RFC 9438), with HyStart++ (RFC 9406) for slow start.
//!
//! The window grows with time since the last loss: fast at first, slowly around where the loss happened, then faster and
//! faster. Windows are in bytes, where the RFC has segments.

use std::time::{Duration, Instant};

use super::{
    feedback::{Ack, Loss, initial_window, minimum_window},
    hystart::{Growth, HyStart},
};

#[derive(Debug, Clone)]
pub(super) struct Cubic {
    window: f64,
    /// Below this it is slow start.
    threshold: f64,
    mtu: f64,
    /// The window before the last reduction, or somewhat less: `W_max`.
    plateau: f64,
    /// The window before the last reduction: `cwnd_prior`.
    prior: f64,
    /// Congestion avoidance, since it has begun. Boxed: most paths are idle, and never come that far.
    epoch: Option<Box<Epoch>>,
    /// Losses of what was sent up to here belong to a reduction that was made.
    recovery: Option<Instant>,
    hystart: HyStart,
}

/// A time of growth without a loss.
#[derive(Debug, Clone)]
struct Epoch {
    began: Instant,
    /// How many seconds it takes to get to the plateau: `K`.
    ascent: f64,
    /// What the window of Reno would be: `W_est`.
    reno: f64,
    /// Since when there is too little to send, so that the window says nothing.
    idle: Option<Instant>,
}

impl Cubic {
    pub(super) fn new(mtu: u16) -> Self {
        Self {
            window: initial_window(mtu) as f64,
            threshold: f64::INFINITY,
            mtu: mtu.into(),
            plateau: 0.0,
            prior: 0.0,
            epoch: None,
            recovery: None,
            hystart: HyStart::default(),
        }
    }

    /// One that goes on from another algorithm's window.
    pub(super) fn resume(mtu: u16, window: u64) -> Self {
        let window = window.max(minimum_window(mtu)) as f64;
        Self {
            window,
            threshold: window,
            ..Self::new(mtu)
        }
    }

    pub(super) fn window(&self) -> u64 {
        self.window as u64
    }

    pub(super) fn set_mtu(&mut self, mtu: u16) {
        self.mtu = mtu.into();
        self.window = self.window.max(minimum_window(mtu) as f64);
    }

    pub(super) fn on_ack(&mut self, ack: &Ack<'_>) {
        if self.recovery.is_some_and(|recovery| ack.sent <= recovery) {
            return;
        }
        if ack.app_limited {
            if let Some(epoch) = &mut self.epoch {
                epoch.idle.get_or_insert(ack.now);
            }
        } else if self.window < self.threshold {
            self.start_slowly(ack);
        } else {
            self.avoid_congestion(ack);
        }
    }

    pub(super) fn on_loss(&mut self, loss: &Loss) {
        if self.recovery.is_some_and(|recovery| loss.sent <= recovery) {
            return;
        }
        let least = 2.0 * self.mtu;
        self.prior = self.window;
        // Fast convergence: who has not come back to where it was before makes room for others (section 4.7).
        self.plateau = if self.window < self.plateau {
            self.window * (1.0 + BETA) / 2.0
        } else {
            self.window
        };
        self.window = (self.window * BETA).max(least);
        self.threshold = self.window;
        self.recovery = Some(loss.now);
        self.epoch = None;
        if loss.persistent {
            // As after a timeout (section 4.8): what was known of the path may be wrong.
            self.window = least;
            self.plateau = 0.0;
            self.recovery = None;
            self.hystart = HyStart::default();
        }
    }

    fn start_slowly(&mut self, ack: &Ack<'_>) {
        let bytes = ack.bytes as f64;
        let growth = match self.hystart.on_ack(ack.trips, ack.round_began) {
            // Beyond what is known to be possible, the first sign is enough.
            Growth::Quarter if ack.cautious => Growth::Over,
            Growth::Full if ack.cautious => Growth::Quarter,
            growth @ (Growth::Full | Growth::Quarter | Growth::Over) => growth,
        };
        match growth {
            Growth::Full => self.window += bytes,
            Growth::Quarter => self.window += bytes / 4.0,
            Growth::Over => self.threshold = self.window,
        }
        self.window = self.window.min(self.threshold);
    }

    fn avoid_congestion(&mut self, ack: &Ack<'_>) {
        let epoch = self.epoch.get_or_insert_with(|| {
            // Without a loss before, or with another window than that left, there is no plateau ahead (section 4.8).
            if self.plateau < self.window {
                self.plateau = self.window;
                self.prior = self.window;
            }
            Box::new(Epoch {
                began: ack.now,
                ascent: ((self.plateau - self.window) / self.mtu / C).cbrt(),
                reno: self.window,
                idle: None,
            })
        });
        if let Some(idle) = epoch.idle.take() {
            epoch.began += ack.now.saturating_duration_since(idle);
        }
        let share = ack.bytes as f64 / self.window;
        // Once it is where it was, as fast as Reno (section 4.3).
        let alpha = if epoch.reno < self.prior { ALPHA } else { 1.0 };
        epoch.reno += alpha * self.mtu * share;
        let time = ack.now.saturating_duration_since(epoch.began);
        let (ascent, reno) = (epoch.ascent, epoch.reno);
        if self.at(time, ascent) < reno {
            self.window = self.window.max(reno);
        } else {
            let ahead = self.at(time + ack.rtt, ascent);
            let target = ahead.clamp(self.window, 1.5 * self.window);
            self.window += (target - self.window) * share;
        }
    }

    /// The window that is right so long after an epoch has begun: `W_cubic` (section 4.2).
    fn at(&self, time: Duration, ascent: f64) -> f64 {
        C * (time.as_secs_f64() - ascent).powi(3) * self.mtu + self.plateau
    }
}

/// How steep the curve is (RFC 9438, section 5.1).
const C: f64 = 0.4;
/// What is left of the window after a loss (section 4.6).
const BETA: f64 = 0.7;
/// With which share of Reno's growth a window that is reduced to `BETA` is on average as large as Reno's (section 4.3).
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::{super::round_trips::RoundTrips, *};

    const MTU: u16 = 1000;

    struct Path {
        start: Instant,
        now: Instant,
        rtt: Duration,
        trips: RoundTrips,
        cubic: Cubic,
        cautious: bool,
    }

    impl Path {
        /// A path on which the window is so many segments.
        fn new(segments: u64, rtt: u64) -> Self {
            let start = Instant::now();
            Self {
                start,
                now: start,
                rtt: Duration::from_millis(rtt),
                trips: RoundTrips::new(start),
                cubic: Cubic::resume(MTU, segments * 1000),
                cautious: false,
            }
        }

        fn segments(&self) -> f64 {
            self.cubic.window / 1000.0
        }

        fn ack(&mut self, app_limited: bool) {
            let (now, sent) = (self.now, self.now - self.rtt);
            let round_began = self.trips.on_ack(now, sent, 1);
            self.cubic.on_ack(&Ack {
                now,
                sent,
                bytes: MTU.into(),
                app_limited,
                rtt: self.rtt,
                trips: &self.trips,
                round_began,
                cautious: self.cautious,
            });
        }

        /// A round trip in which everything arrives.
        fn round(&mut self) {
            let packets = self.segments() as u32;
            for _ in 0..packets {
                self.now += self.rtt / packets;
                self.ack(false);
            }
        }

        fn lose(&mut self, persistent: bool) {
            self.now += Duration::from_millis(1);
            self.cubic.on_loss(&Loss {
                now: self.now,
                sent: self.now,
                bytes: MTU.into(),
                persistent,
            });
            // What is acknowledged from now on was sent after that.
            self.now += self.rtt + Duration::from_millis(1);
        }

        fn seconds(&self) -> f64 {
            (self.now - self.start).as_secs_f64()
        }
    }

    /// RFC 9438, figure 1: `W_cubic(t) = C * (t - K)^3 + W_max`.
    #[test]
    fn the_window_follows_the_curve_back_to_where_it_was() {
        let mut path = Path::new(1000, 100);
        path.lose(false);
        assert_eq!(path.segments(), 700.0);
        // K = cbrt(W_max * (1 - beta) / C)
        let ascent = (1000.0_f64 * 0.3 / 0.4).cbrt();
        assert!((9.0..9.2).contains(&ascent));
        path.round();
        let began = path.cubic.epoch.as_ref().unwrap().began;
        for _ in 0..150 {
            path.round();
            let time = (path.now - began).as_secs_f64();
            let expected = 0.4 * (time - ascent).powi(3) + 1000.0;
            let actual = path.segments();
            assert!(
                (actual / expected - 1.0).abs() < 0.03,
                "after {time} s: {actual} instead of {expected}"
            );
        }
        // Beyond the plateau.
        assert!(path.segments() > 1050.0);
    }

    #[test]
    fn on_short_paths_it_grows_as_reno_does() {
        // The curve takes seconds for what Reno does in 40 round trips of 5 ms.
        let mut path = Path::new(20, 5);
        path.lose(false);
        let before = path.segments();
        assert_eq!(before, 14.0);
        let mut rounds = 0;
        while path.segments() < 20.0 {
            path.round();
            rounds += 1;
        }
        // By 3 * 0.3 / 1.7 = 0.53 segments in a round trip.
        assert!((10..=13).contains(&rounds), "{rounds}");
        // By one, where it was before.
        let before = path.segments();
        for _ in 0..10 {
            path.round();
        }
        let grown = path.segments() - before;
        assert!((9.0..11.0).contains(&grown), "{grown}");
    }

    #[test]
    fn what_was_lost_together_counts_once() {
        let mut path = Path::new(100, 20);
        let sent = path.now;
        path.lose(false);
        for _ in 0..10 {
            path.cubic.on_loss(&Loss {
                now: path.now,
                sent,
                bytes: MTU.into(),
                persistent: false,
            });
        }
        assert_eq!(path.segments(), 70.0);
    }

    #[test]
    fn who_comes_not_as_far_as_before_makes_room() {
        let mut path = Path::new(1000, 100);
        path.lose(false);
        path.lose(false);
        assert_eq!(path.segments().round(), 490.0);
        // W_max = cwnd * (1 + beta) / 2
        assert_eq!(path.cubic.plateau, 700_000.0 * 0.85);
    }

    #[test]
    fn who_comes_just_as_far_as_before_makes_no_room() {
        let mut path = Path::new(1000, 100);
        path.cubic.plateau = 1_000_000.0;
        path.lose(false);
        assert_eq!(path.cubic.plateau, 1_000_000.0);
    }

    /// Slow start in rounds of a growing delay: how much the window grows in each that comes after the delay has risen.
    fn slow_start(cautious: bool) -> (Path, Vec<f64>) {
        let mut path = Path::new(10, 40);
        path.cubic = Cubic::new(MTU);
        path.cautious = cautious;
        for _ in 0..3 {
            path.round();
        }
        path.rtt = Duration::from_millis(80);
        path.round();
        let grown = [(); 3].map(|()| {
            let before = path.segments();
            path.round();
            path.segments() / before
        });
        (path, grown.to_vec())
    }

    #[test]
    fn when_the_delay_rises_slow_start_goes_on_with_a_quarter_of_its_growth() {
        let (path, grown) = slow_start(false);
        assert!(grown.iter().all(|it| (1.2..1.3).contains(it)), "{grown:?}");
        assert_eq!(path.cubic.threshold, f64::INFINITY);
    }

    #[test]
    fn when_the_delay_rises_a_cautious_slow_start_is_over() {
        let (path, grown) = slow_start(true);
        assert!(grown.iter().all(|&it| it < 1.1), "{grown:?}");
        assert!(path.cubic.threshold.is_finite());
    }

    #[test]
    fn persistent_congestion_begins_anew() {
        let mut path = Path::new(1000, 100);
        path.lose(true);
        assert_eq!(path.segments(), 2.0);
        assert_eq!(path.cubic.threshold, 700_000.0);
        path.round();
        assert_eq!(path.segments(), 4.0, "slow start");
        while path.segments() < 700.0 {
            path.round();
        }
        path.round();
        // From there on its own curve, not that of before (section 4.8).
        assert!(path.segments() < 702.0);
        assert_eq!(path.cubic.epoch.as_ref().unwrap().ascent, 0.0);
    }

    #[test]
    fn time_without_anything_to_send_does_not_count() {
        let mut busy = Path::new(1000, 100);
        let mut pausing = Path::new(1000, 100);
        for path in [&mut busy, &mut pausing] {
            path.lose(false);
            path.round();
        }
        pausing.ack(true);
        pausing.now += Duration::from_secs(3600);
        for _ in 0..20 {
            busy.round();
            pausing.round();
        }
        assert!(pausing.seconds() > 3600.0);
        let ratio = pausing.segments() / busy.segments();
        assert!((0.98..1.02).contains(&ratio), "{ratio}");
    }

    #[test]
    fn it_grows_by_half_in_a_round_trip_at_most() {
        let mut path = Path::new(10, 100);
        path.lose(false);
        path.round();
        path.now += Duration::from_secs(24 * 60 * 60);
        let before = path.segments();
        path.round();
        assert!(path.segments() / before < 1.7);
    }

    #[test]
    fn the_window_never_goes_below_two_packets() {
        let mut path = Path::new(3, 20);
        for _ in 0..10 {
            path.lose(false);
        }
        assert_eq!(path.segments(), 2.0);
        path.cubic.set_mtu(9000);
        assert_eq!(path.cubic.window(), 18_000);
    }
}
