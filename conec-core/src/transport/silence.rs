//! Silence on a link: whether there is one, when to break it, and what not to believe after it.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Silence {
    /// When something has arrived last; at first, when there was reason to expect something.
    since: Instant,
    /// Timers that fired since.
    timeouts: u32,
    /// When to say something.
    speak_at: Option<Instant>,
    /// When a round-trip time was doubted last.
    doubted: Option<Instant>,
}

/// What a timer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nothing of this kind.
    None,
    /// Nothing is heard though something should be.
    Silent,
    /// The same, and it is time to say something.
    Speak,
}

impl Silence {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            timeouts: 0,
            speak_at: None,
            doubted: None,
        }
    }

    /// Something has arrived.
    pub(super) fn end(&mut self, now: Instant) {
        self.since = now;
        self.timeouts = 0;
        self.speak_at = None;
    }

    /// One of the link's timers has fired.
    ///
    /// The engine's pauses double while it hears nothing. An outage of seconds would be followed by as many of its own
    /// making, in which a channel can run into its idle timeout: so something is said now and then.
    pub(super) fn timer_fired(&mut self, now: Instant, rtt: Duration) -> Sign {
        self.timeouts = self.timeouts.saturating_add(1);
        let due = self.speak_at.take_if(|at| *at <= now).is_some();
        if !self.lasts(now, rtt) {
            return Sign::None;
        }
        self.speak_at
            .get_or_insert_with(|| now + MAX_PAUSE.max(3 * rtt));
        if due { Sign::Speak } else { Sign::Silent }
    }

    /// Whether nothing is heard though something should be.
    pub(super) fn lasts(&self, now: Instant, rtt: Duration) -> bool {
        // Timers of other kinds fire too, but not twice in a row during a silence as long as this.
        self.timeouts >= 2 && now.saturating_duration_since(self.since) > 3 * rtt
    }

    /// When something is to be said.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.speak_at
    }

    /// Whether the engine is to forget the round-trip time that it has from the first acknowledgement after a silence,
    /// which is for a packet of that time.
    ///
    /// It may be the second one that was sent, since the first was lost, and be as late as the silence was long. The
    /// engine would wait many times that long for what else is lost, and the paths' health would be judged by it. Who
    /// really is so far away shows it once more.
    pub(super) fn is_doubtful(&mut self, now: Instant, sent: Instant) -> bool {
        let doubtful = now >= sent + DOUBTFUL && self.doubted.is_none_or(|at| at <= sent);
        if doubtful {
            self.doubted = Some(now);
        }
        doubtful
    }
}

/// How long nothing is said, at most, while nothing is heard.
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// What is acknowledged so late after a silence may be so for another reason than the way.
const DOUBTFUL: Duration = Duration::from_secs(1);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(20);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_silence_is_broken_every_two_seconds() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        let mut fire = |at| silence.timer_fired(start + ms(at), RTT);
        assert_eq!(fire(70), Sign::None, "once is nothing");
        assert_eq!(fire(200), Sign::Silent);
        assert_eq!(fire(500), Sign::Silent);
        assert_eq!(fire(2199), Sign::Silent);
        assert_eq!(fire(2200), Sign::Speak);
        assert_eq!(fire(2201), Sign::Silent);
        assert_eq!(fire(4200), Sign::Speak);
        silence.end(start + ms(4300));
        assert_eq!(silence.next_due(), None);
        assert_eq!(silence.timer_fired(start + ms(6200), RTT), Sign::None);
    }

    #[test]
    fn a_long_way_takes_its_time() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        let rtt = ms(1500);
        silence.timer_fired(start + ms(3000), rtt);
        assert_eq!(silence.timer_fired(start + ms(4500), rtt), Sign::None);
        assert_eq!(silence.timer_fired(start + ms(4501), rtt), Sign::Silent);
        assert_eq!(silence.next_due(), Some(start + ms(9001)));
    }

    #[test]
    fn a_timer_that_means_no_silence_is_not_due_for_ever() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        silence.timer_fired(start + ms(70), RTT);
        silence.timer_fired(start + ms(200), RTT);
        // The round-trip time is not what it was.
        let rtt = ms(5000);
        assert_eq!(silence.timer_fired(start + ms(2200), rtt), Sign::None);
        assert_eq!(silence.next_due(), None);
    }

    #[test]
    fn a_round_trip_time_is_doubted_once() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        assert!(!silence.is_doubtful(start + ms(999), start));
        assert!(silence.is_doubtful(start + ms(1500), start));
        // Of a packet of before.
        assert!(!silence.is_doubtful(start + ms(1600), start + ms(100)));
        assert!(!silence.is_doubtful(start + ms(3100), start + ms(1499)));
        assert!(silence.is_doubtful(start + ms(9000), start + ms(1600)));
    }
}
