//! What the other side pays for its control messages: a token for each that it was not asked for.

use std::time::Instant;

use bytes::Bytes;

use crate::util::Bucket;

#[derive(Debug)]
pub(crate) struct Toll {
    unasked: Bucket,
    is_answer: fn(&Bytes) -> bool,
    /// How many answers the other side was asked for and has not given: so many are free.
    owed: u32,
}

impl Toll {
    /// Lets the other side send so many messages a second, and at once, that are no answers to what it was asked.
    pub(crate) fn new(rate: u32, burst: u32, is_answer: fn(&Bytes) -> bool) -> Self {
        Self {
            unasked: Bucket::per_second(rate.into(), burst.into()),
            is_answer,
            owed: 0,
        }
    }

    /// The other side is asked something.
    pub(super) fn ask(&mut self, answers: u32) {
        self.owed = self.owed.saturating_add(answers).min(MAX_OWED);
    }

    /// A message has come. Whether it may.
    pub(super) fn take(&mut self, now: Instant, message: &Bytes) -> bool {
        if self.owed > 0 && (self.is_answer)(message) {
            self.owed -= 1;
            return true;
        }
        self.unasked.take(now, 1)
    }
}

/// Some questions are never answered, such as those about what is over meanwhile, and are good for no more than this. It is
/// twice what one side can have open at once.
const MAX_OWED: u32 = 1024;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use std::time::Duration;

    use super::*;

    const ANSWER: &[u8] = b"answer";

    /// How many messages may come at once.
    fn count(toll: &mut Toll, now: Instant, message: &'static [u8]) -> u32 {
        let message = Bytes::from_static(message);
        (0..5000).take_while(|_| toll.take(now, &message)).count() as u32
    }

    #[test]
    fn what_was_asked_for_is_free() {
        let now = Instant::now();
        let mut toll = Toll::new(10, 3, |message| message == ANSWER);
        toll.ask(2);
        assert_eq!(count(&mut toll, now, b"other"), 3);
        assert_eq!(count(&mut toll, now, ANSWER), 2);
        assert_eq!(count(&mut toll, now, ANSWER), 0);
        let later = now + Duration::from_millis(200);
        toll.ask(1);
        assert_eq!(count(&mut toll, later, ANSWER), 1 + 2);
        // However much is asked.
        toll.ask(MAX_OWED - 1);
        toll.ask(u32::MAX);
        assert_eq!(count(&mut toll, later, ANSWER), MAX_OWED);
    }
}
