//! Packets that others have overtaken, and that came all the same.
//!
//! The engine gives a packet up when some time has passed, and others that were sent later have arrived. Where packets overtake
//! each other by about that time, what it gives up is mostly just late, and it never says so when that comes. Whether a loss
//! may be one of these is to be seen from those that came while it still waited for them.

use std::time::{Duration, Instant};

use super::feedback::Loss;

#[derive(Debug, Clone, Default)]
pub(super) struct Reordering {
    /// When the latest packet was sent of those that earlier acknowledgements were for.
    before: Option<Instant>,
    /// The longest round trips of packets that were overtaken, in microseconds: of these rounds, and of as many before.
    longest: u32,
    longest_before: u32,
    rounds: u32,
}

impl Reordering {
    /// Packets that were sent together are acknowledged.
    pub(super) fn on_ack(&mut self, now: Instant, sent: Instant, round_began: bool) {
        if round_began {
            self.rounds += 1;
            if self.rounds >= REMEMBERED {
                self.rounds = 0;
                self.longest_before = std::mem::take(&mut self.longest);
            }
        }
        if self.before.is_some_and(|before| sent < before) {
            let took = now.saturating_duration_since(sent).as_micros();
            self.longest = self.longest.max(u32::try_from(took).unwrap_or(u32::MAX));
        }
    }

    /// That was all of this acknowledgement, what it is for has arrived in whatever order, and the latest of all was sent then.
    pub(super) fn on_end_acks(&mut self, latest: Option<Instant>) {
        self.before = latest;
    }

    /// Whether what was given up may have been overtaken, and no more: others that were have come about as late.
    pub(super) fn explains(&self, loss: &Loss) -> bool {
        let waited = loss.now.saturating_duration_since(loss.sent);
        let longest = self.longest.max(self.longest_before);
        Duration::from_micros(longest.into()) >= waited.mul_f64(ABOUT)
    }
}

/// So many rounds count, and up to as many before them.
const REMEMBERED: u32 = 16;
const ABOUT: f64 = 0.875;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Packets that were sent `sent` milliseconds after the start are acknowledged together, `now` milliseconds after it.
    fn ack(reordering: &mut Reordering, start: Instant, now: u64, sent: &[u64]) {
        for &sent in sent {
            reordering.on_ack(start + ms(now), start + ms(sent), false);
        }
        let latest = sent.iter().map(|&sent| start + ms(sent)).max();
        reordering.on_end_acks(reordering.before.max(latest));
    }

    fn loss(start: Instant, now: u64, sent: u64) -> Loss {
        Loss {
            now: start + ms(now),
            sent: start + ms(sent),
            bytes: 1000,
            persistent: false,
        }
    }

    #[test]
    fn who_came_late_explains_those_who_do_not_come() {
        let (start, mut path) = (Instant::now(), Reordering::default());
        ack(&mut path, start, 20, &[0, 2]);
        ack(&mut path, start, 29, &[1]);
        // 28 ms, which is 0.875 of 32.
        assert!(path.explains(&loss(start, 34, 2)));
        assert!(!path.explains(&loss(start, 35, 2)));
    }

    #[test]
    fn what_comes_in_order_explains_nothing_however_late() {
        let (start, mut path) = (Instant::now(), Reordering::default());
        ack(&mut path, start, 20, &[0]);
        // The engine goes through what one acknowledgement is for in its own order.
        ack(&mut path, start, 90, &[3, 1, 2]);
        ack(&mut path, start, 95, &[3]);
        assert!(!path.explains(&loss(start, 20, 5)));
    }

    #[test]
    fn it_is_forgotten_after_some_round_trips() {
        let (start, mut path) = (Instant::now(), Reordering::default());
        ack(&mut path, start, 20, &[0, 2]);
        ack(&mut path, start, 29, &[1]);
        for round in 0..2 * REMEMBERED - 1 {
            path.on_ack(start + ms(30), start + ms(10), true);
            assert!(path.explains(&loss(start, 30, 0)), "{round}");
        }
        path.on_ack(start + ms(30), start + ms(10), true);
        assert!(!path.explains(&loss(start, 30, 0)));
    }
}
