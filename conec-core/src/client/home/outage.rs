//! When to look for the Coordinator again, and when not to.

use std::time::{Duration, Instant};

use super::state::ClientState;
use crate::CloseReason;

/// The time without a home channel.
#[derive(Debug)]
pub(super) struct Outage {
    since: Instant,
    /// How many attempts have failed.
    attempts: u32,
    /// Why the last of them has, or the home channel before.
    reason: CloseReason,
}

impl Outage {
    pub(super) fn new(now: Instant, reason: CloseReason) -> Self {
        Self {
            since: now,
            attempts: 0,
            reason,
        }
    }

    /// An attempt has failed.
    pub(super) fn failed(&mut self, reason: CloseReason) {
        self.attempts = self.attempts.saturating_add(1);
        self.reason = reason;
    }

    /// How long to wait before the next attempt: at first hardly, then twice as long each time, at most; and never all Clients for the
    /// same time, who may all have lost the same Coordinator.
    pub(super) fn pause(&self, random: u64) -> Duration {
        let doubled = 1_u32.checked_shl(self.attempts.min(16)).unwrap_or(u32::MAX);
        let most = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(random % nanos.saturating_add(1))
    }

    pub(super) fn state(&self) -> ClientState {
        ClientState::Reconnecting {
            since: self.since,
            attempts: self.attempts,
            last_error: self.reason,
        }
    }
}

/// Tells when to ask the Coordinator for a sign of life: once, when it has forwarded packets to this Client and then none for a while. A
/// Client that only receives would not notice otherwise that the Coordinator is gone.
#[derive(Debug, Default)]
pub(in crate::client) struct Watch {
    /// When something was forwarded last.
    heard: Option<Instant>,
    due: Option<Instant>,
}

impl Watch {
    /// Something was forwarded.
    pub(in crate::client) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
        // It is looked at when that is due whether more has come since.
        self.due.get_or_insert_with(|| now + PAUSE);
    }

    /// Whether it is time to ask.
    pub(in crate::client) fn is_time_to_ask(&mut self, now: Instant) -> bool {
        if self.due.take_if(|due| *due <= now).is_none() {
            return false;
        }
        let due = self.heard.map(|heard| heard + PAUSE);
        self.due = due.filter(|&due| due > now);
        self.due.is_none()
    }

    pub(in crate::client) fn next_due(&self) -> Option<Instant> {
        self.due
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// What is forwarded pauses for so long before the Coordinator is asked for a sign of life.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    #[test]
    fn a_sign_of_life_is_asked_for_once_after_each_pause() {
        let start = Instant::now();
        let ms = |millis| start + Duration::from_millis(millis);
        let mut watch = Watch::default();
        assert_eq!(watch.next_due(), None);
        watch.heard(ms(0));
        watch.heard(ms(900));
        assert_eq!(watch.next_due(), Some(ms(1000)));
        assert!(!watch.is_time_to_ask(ms(999)));
        assert!(!watch.is_time_to_ask(ms(1000)));
        assert_eq!(watch.next_due(), Some(ms(1900)));
        assert!(watch.is_time_to_ask(ms(1900)));
        assert_eq!(watch.next_due(), None);
        assert!(!watch.is_time_to_ask(ms(5000)));
        watch.heard(ms(6000));
        assert!(watch.is_time_to_ask(ms(7000)));
    }

    #[test]
    fn pauses_become_longer_and_are_not_the_same_for_all() {
        let mut outage = Outage::new(Instant::now(), CloseReason::TimedOut);
        let mut most = Vec::new();
        for _ in 0..100 {
            let pauses = (0..1000).map(|n| outage.pause(u64::MAX / 1000 * n));
            most.push(pauses.max().unwrap());
            assert!(outage.pause(0) < FIRST_PAUSE / 100);
            outage.failed(CloseReason::Reset);
        }
        assert!(most[0] <= FIRST_PAUSE && most[0] > FIRST_PAUSE * 9 / 10);
        assert!(most[3] <= 8 * FIRST_PAUSE && most[3] > 7 * FIRST_PAUSE);
        assert!(
            most.iter()
                .skip(6)
                .all(|&it| it <= LONGEST_PAUSE && it > LONGEST_PAUSE * 9 / 10)
        );
    }
}
