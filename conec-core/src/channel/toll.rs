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
