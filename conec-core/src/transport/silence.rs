//! Silence on a link: whether there is one, when to break one's own, and what not to believe after it.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Silence {
    /// When something has arrived last; at first, when there was reason to expect something.
    since: Instant,
    /// Timers that fired since, where an acknowledgement was owed.
    timeouts: u32,
    /// When to say something.
    speak_at: Option<Instant>,
    /// Since when nothing that was sent is known to have arrived, though an acknowledgement is owed.
    owed_since: Option<Instant>,
    /// What was sent before says nothing of how long the way is.
    trusted_since: Option<Instant>,
    /// How long a silence lasts until the link ends, where `connected`; until then what this side wants.
    idle_timeout: Duration,
    connected: bool,
    /// Whether the other side was asked in this silence for a sign of life.
    asked: bool,
    /// Since when something waits for an acknowledgement, where more is sent all the time.
    unanswered: Option<Instant>,
    /// Whether the silence was one to be told of.
    missed: bool,
}

impl Silence {
    pub(super) fn new(now: Instant, idle_timeout: Duration) -> Self {
        Self {
            since: now,
            timeouts: 0,
            speak_at: None,
            owed_since: None,
            trusted_since: None,
            idle_timeout,
            connected: false,
            asked: false,
            unanswered: None,
            missed: false,
        }
    }

    /// It is known what the other side wants, if anything: the shorter one counts (RFC 9000, 10.1).
    pub(super) fn connected(&mut self, theirs: Option<Duration>) {
        self.connected = true;
        self.idle_timeout = theirs.map_or(self.idle_timeout, |it| it.min(self.idle_timeout));
    }

    /// Something has arrived. Whether the other side was [missed](Self::is_missed).
    pub(super) fn end(&mut self, now: Instant) -> bool {
        self.since = now;
        self.timeouts = 0;
        self.asked = false;
        std::mem::take(&mut self.missed)
    }

    /// Something that was sent is known to have arrived.
    pub(super) fn acknowledged(&mut self) {
        self.speak_at = None;
        self.owed_since = None;
        self.unanswered = None;
    }

    /// This side could say nothing for a while: nobody owes it anything.
    pub(super) fn pause(&mut self) {
        self.owed_since = None;
        self.unanswered = None;
    }

    /// One of the link's timers has fired, and something that was sent is owed an acknowledgement.
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
            self.owed_since = None;
        } else {
            self.owed_since.get_or_insert(now);
            self.speak_at
                .get_or_insert_with(|| now + MAX_PAUSE.max(3 * rtt));
        }
        due && owed
    }

    /// Whether to tell that nothing is heard though an acknowledgement is owed: once, when that has lasted for so long that it is
    /// more than a few lost packets.
    ///
    /// To be asked when something was sent that is to be acknowledged, as is done [every second](Self::is_time_to_speak) then at
    /// least. The engine's timers begin anew with each packet, and never fire where the next one is always sent before that.
    pub(super) fn is_missed(&mut self, now: Instant, rtt: Duration) -> bool {
        let began = (*self.unanswered.get_or_insert(now)).max(self.since);
        let due = !self.missed && began + MISSED.max(3 * rtt) <= now;
        self.missed |= due;
        due
    }

    /// Whether to ask for a sign of life: once, when the silence has lasted for half of what ends the link.
    ///
    /// The other side's keep-alive is late then, or it keeps to a longer idle timeout than the one that counts. Its machine
    /// may have slept, by a clock that has stood still, and not know that it has been silent for long. To ask also
    /// begins the idle timeout anew (RFC 9000, 10.1), so that it has that long to wake up.
    pub(super) fn is_time_to_ask(&mut self, now: Instant) -> bool {
        let due = self.ask_due().is_some_and(|at| at <= now);
        self.asked |= due;
        due
    }

    /// Whether nothing that is sent arrives, for as long as ends a link on which nothing is heard: what is heard of somebody
    /// who hears nothing leads nowhere.
    pub(super) fn is_deaf(&self, now: Instant) -> bool {
        let (since, timeout) = (self.owed_since, self.idle_timeout());
        since
            .zip(timeout)
            .is_some_and(|(since, timeout)| now >= since + timeout)
    }

    /// Whether the silence has lasted for so long that the other side, whatever it has asked, waits no more.
    pub(super) fn is_final(&self, now: Instant) -> bool {
        self.final_at().is_some_and(|at| now >= at)
    }

    /// When it will have.
    pub(super) fn final_at(&self) -> Option<Instant> {
        let timeout = self.idle_timeout()?;
        Some(self.since + timeout + timeout / 2)
    }

    /// When something is to be said.
    pub(super) fn next_due(&self) -> Option<Instant> {
        [self.speak_at, self.ask_due()].into_iter().flatten().min()
    }

    fn idle_timeout(&self) -> Option<Duration> {
        self.connected.then_some(self.idle_timeout)
    }

    fn ask_due(&self) -> Option<Instant> {
        let timeout = self.idle_timeout().filter(|_| !self.asked)?;
        Some(self.since + timeout / 2)
    }

    /// There was a silence, or this machine slept: acknowledgements of what was sent before are late for other reasons than
    /// the way.
    pub(super) fn distrust(&mut self, now: Instant) {
        self.trusted_since = Some(now);
    }

    /// Whether the engine is to forget the round-trip time that it has from an acknowledgement, which is for a packet of
    /// that time.
    ///
    /// It may be the second one that was sent, since the first was lost, or one that somebody on the way has kept, and be
    /// as late as the silence was long. The engine would wait many times that long for what else is lost, and the
    /// paths' health would be judged by it. Who really is so far away shows it by what is sent from now on.
    pub(super) fn is_doubtful(&self, now: Instant, sent: Instant) -> bool {
        self.trusted_since.is_some_and(|since| sent < since) && now >= sent + DOUBTFUL
    }
}

/// How long nothing is said, at most, while something waits for its acknowledgement.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// For how long nothing is heard of somebody who is missed.
const MISSED: Duration = Duration::from_millis(1500);
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
        let mut silence = Silence::new(start, ms(60_000));
        silence.timer_fired();
        assert!(!silence.lasts(start + ms(70), RTT), "once is nothing");
        silence.timer_fired();
        assert!(!silence.lasts(start + ms(60), RTT));
        assert!(silence.lasts(start + ms(61), RTT));
        silence.end(start + ms(100));
        assert!(!silence.lasts(start + ms(1000), RTT));
    }

    #[test]
    fn who_gets_no_acknowledgement_speaks_every_second() {
        let start = Instant::now();
        let mut silence = Silence::new(start, ms(60_000));
        let mut fire = |at, owed| silence.is_time_to_speak(start + ms(at), RTT, owed);
        assert!(!fire(200, true));
        assert!(!fire(1199, true));
        assert!(fire(1200, true));
        assert!(!fire(1201, true));
        assert!(fire(2200, true));
        assert!(!fire(4200, false), "there is nothing to wait for");
        assert_eq!(silence.next_due(), None);
        // What is heard is not what is waited for.
        assert!(!silence.is_time_to_speak(start + ms(5000), RTT, true));
        silence.end(start + ms(5100));
        assert_eq!(silence.next_due(), Some(start + ms(6000)));
        silence.acknowledged();
        assert!(!silence.is_time_to_speak(start + ms(6000), RTT, true));
        // A long way takes its time.
        silence.acknowledged();
        assert!(!silence.is_time_to_speak(start + ms(6000), ms(500), true));
        assert_eq!(silence.next_due(), Some(start + ms(7500)));
    }

    #[test]
    fn who_sends_all_the_time_misses_the_other_side_as_soon() {
        let start = Instant::now();
        let mut silence = Silence::new(start, ms(60_000));
        let missed = |silence: &mut Silence, from: u64, to: u64| {
            let mut times = (from..to).step_by(5);
            times.find(|&at| silence.is_missed(start + ms(at), RTT))
        };
        assert_eq!(missed(&mut silence, 0, 9000), Some(1500));
        assert_eq!(missed(&mut silence, 1505, 9000), None, "once");
        assert!(silence.end(start + ms(9000)));
        silence.acknowledged();
        assert_eq!(missed(&mut silence, 9000, 20_000), Some(10_500));
        silence.end(start + ms(20_000));
        // What is heard is no acknowledgement, and no silence.
        assert_eq!(missed(&mut silence, 20_005, 21_000), None);
        silence.pause();
        assert_eq!(missed(&mut silence, 30_000, 40_000), Some(31_500));
    }

    #[test]
    fn a_sign_of_life_is_asked_for_once_in_a_silence() {
        let start = Instant::now();
        let mut silence = Silence::new(start, ms(60_000));
        assert!(!silence.is_time_to_ask(start + ms(60_000)), "not connected");
        silence.connected(Some(ms(30_000)));
        assert_eq!(silence.next_due(), Some(start + ms(15_000)));
        assert!(!silence.is_time_to_ask(start + ms(14_999)));
        assert!(silence.is_time_to_ask(start + ms(15_000)));
        assert!(!silence.is_time_to_ask(start + ms(29_000)));
        assert_eq!(silence.next_due(), None);
        // The other side has begun to wait after up to so long, and then waits for as long as it ever does.
        assert!(!silence.is_final(start + ms(44_999)));
        assert!(silence.is_final(start + ms(45_000)));
        silence.end(start + ms(30_000));
        assert_eq!(silence.next_due(), Some(start + ms(45_000)));
        assert!(!silence.is_final(start + ms(60_000)));
    }

    #[test]
    fn round_trip_times_are_doubted_of_what_was_sent_before_the_silence_ended() {
        let start = Instant::now();
        let mut silence = Silence::new(start, ms(60_000));
        assert!(!silence.is_doubtful(start + ms(9000), start));
        silence.distrust(start + ms(1500));
        assert!(!silence.is_doubtful(start + ms(1500), start + ms(600)));
        assert!(silence.is_doubtful(start + ms(1500), start + ms(500)));
        assert!(silence.is_doubtful(start + ms(3000), start + ms(1499)));
        assert!(!silence.is_doubtful(start + ms(3100), start + ms(1500)));
    }
}
