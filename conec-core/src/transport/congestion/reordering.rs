//! Packets that others have overtaken, and that came all the same.
//!
//! The engine gives a packet up when some time has passed, and others that were sent later have arrived. Where packets overtake
//! each other by about that time, what it gives up is mostly just late, and it never says so when that comes. Whether a loss
//! may be one of these is to be seen from those that came while it still waited for them.

use std::time::Duration;

use super::feedback::Loss;

#[derive(Debug, Clone, Default)]
pub(super) struct Reordering {
    /// The [mark](super::Control::mark) of the latest of what earlier acknowledgements were for.
    before: u64,
    /// About the longest of the latest round trips of packets that were overtaken, in nanoseconds.
    longest: u32,
}

impl Reordering {
    /// Packets that were sent together, with this mark, are acknowledged after so long.
    pub(super) fn on_ack(&mut self, took: Duration, mark: u64, round_began: bool) {
        if round_began {
            self.longest -= self.longest.div_ceil(FADING);
        }
        if mark < self.before {
            let took = u32::try_from(took.as_nanos()).unwrap_or(u32::MAX);
            self.longest = self.longest.max(took);
        }
    }

    /// That was all of this acknowledgement, what it is for has arrived in whatever order, and the latest of all has this mark.
    pub(super) fn on_end_acks(&mut self, latest: u64) {
        self.before = latest;
    }

    /// Whether what was given up may have been overtaken, and no more: others that were have come about as late.
    pub(super) fn explains(&self, loss: &Loss) -> bool {
        let waited = loss.now.saturating_duration_since(loss.sent);
        Duration::from_nanos(self.longest.into()) >= waited.mul_f64(ABOUT)
    }
}

/// After each round, the longest counts for a 128th less. So it explains losses of what took just as long for seventeen rounds.
const FADING: u32 = 128;
const ABOUT: f64 = 0.875;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use std::time::Instant;

    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Packets that were sent at these milliseconds are acknowledged together at that one.
    fn ack(reordering: &mut Reordering, now: u64, sent: &[u64]) {
        for &sent in sent {
            reordering.on_ack(ms(now - sent), 1 + sent, false);
        }
        let latest = sent.iter().map(|&sent| 1 + sent).max();
        reordering.on_end_acks(reordering.before.max(latest.unwrap_or_default()));
    }

    /// Something is given up after so long.
    fn explains(reordering: &Reordering, waited: u64) -> bool {
        let now = Instant::now();
        reordering.explains(&Loss {
            now: now + ms(waited),
            sent: now,
            bytes: 1000,
            persistent: false,
        })
    }

    #[test]
    fn who_came_late_explains_those_who_do_not_come() {
        let mut path = Reordering::default();
        ack(&mut path, 20, &[0, 2]);
        ack(&mut path, 29, &[1]);
        // 28 ms, which is 0.875 of 32.
        assert!(explains(&path, 32) && !explains(&path, 33));
    }

    #[test]
    fn what_comes_in_order_explains_nothing_however_late() {
        let mut path = Reordering::default();
        ack(&mut path, 20, &[0]);
        // The engine goes through what one acknowledgement is for in its own order.
        ack(&mut path, 90, &[3, 1, 2]);
        ack(&mut path, 95, &[3]);
        assert!(!explains(&path, 15));
    }

    #[test]
    fn it_is_forgotten_after_some_round_trips() {
        let mut path = Reordering::default();
        ack(&mut path, 20, &[0, 2]);
        ack(&mut path, 29, &[1]);
        for round in 0..=17 {
            assert!(explains(&path, 28), "{round}");
            path.on_ack(ms(20), 9, true);
        }
        assert!(!explains(&path, 28));
        for _ in 0..10_000 {
            path.on_ack(ms(20), 9, true);
        }
        assert_eq!(path.longest, 0);
    }

    #[test]
    fn what_takes_longer_than_can_be_noted_counts_as_long_as_that() {
        let mut path = Reordering::default();
        ack(&mut path, 20_000, &[0, 2]);
        ack(&mut path, 20_000, &[1]);
        assert!(explains(&path, 4294) && !explains(&path, 5000));
    }
}
