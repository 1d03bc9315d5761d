//! Silence on a link: whether there is one, when to break one's own, and what not to believe after it.

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
    }

    /// Something that was sent is known to have arrived.
    pub(super) fn acknowledged(&mut self) {
        self.speak_at = None;
    }

    /// One of the link's timers has fired.
    pub(super) fn timer_fired(&mut self) {
        self.timeouts = self.timeouts.saturating_add(1);
    }

    /// Whether nothing is heard though something should be.
    pub(super) fn lasts(&self, now: Instant, rtt: Duration) -> bool {
        // Timers of other kinds fire too, but not twice in a row during a silence as long as this.
        self.timeouts >= 2 && now.saturating_duration_since(self.since) > 3 * rtt
    }

    /// Whether to say something now that a timer has fired, where something sent is `owed` an acknowledgement.
    ///
    /// The engine's pauses double while it gets none. An outage of seconds would be followed by as many of its own making,
    /// in which a channel can run into its idle timeout. And it acknowledges nothing while its window is full: two ends
    /// of which that is true would wait for each other.
    pub(super) fn is_time_to_speak(&mut self, now: Instant, rtt: Duration, owed: bool) -> bool {
        let due = self.speak_at.take_if(|at| *at <= now).is_some();
        if !owed {
            self.speak_at = None;
        } else if self.speak_at.is_none() {
            self.speak_at = Some(now + MAX_PAUSE.max(3 * rtt));
        }
        due && owed
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

/// How long nothing is said, at most, while something waits for its acknowledgement.
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
    fn there_is_silence_when_timers_fire_and_nothing_is_heard_for_long() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        silence.timer_fired();
        assert!(!silence.lasts(start + ms(70), RTT), "once is nothing");
        silence.timer_fired();
        assert!(!silence.lasts(start + ms(60), RTT));
        assert!(silence.lasts(start + ms(61), RTT));
        silence.end(start + ms(100));
        assert!(!silence.lasts(start + ms(1000), RTT));
    }

    #[test]
    fn who_gets_no_acknowledgement_speaks_every_two_seconds() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        let mut fire = |at, owed| silence.is_time_to_speak(start + ms(at), RTT, owed);
        assert!(!fire(200, true));
        assert!(!fire(2199, true));
        assert!(fire(2200, true));
        assert!(!fire(2201, true));
        assert!(fire(4200, true));
        assert!(!fire(6200, false), "there is nothing to wait for");
        assert_eq!(silence.next_due(), None);
        // What is heard is not what is waited for.
        assert!(!silence.is_time_to_speak(start + ms(7000), RTT, true));
        silence.end(start + ms(7100));
        assert_eq!(silence.next_due(), Some(start + ms(9000)));
        silence.acknowledged();
        assert!(!silence.is_time_to_speak(start + ms(9000), RTT, true));
        // A long way takes its time.
        silence.acknowledged();
        assert!(!silence.is_time_to_speak(start + ms(9000), ms(1500), true));
        assert_eq!(silence.next_due(), Some(start + ms(13_500)));
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
