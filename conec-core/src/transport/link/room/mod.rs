//! How much the engine may get of what waits on a link's streams.

mod flush;

use std::time::Instant;

/// What streams get through the engine with.
pub(super) struct Room {
    /// How much the engine has got since the beginning.
    handed_over: u64,
    /// How much credit is kept free for each kind of stream that comes before the others.
    spare_credit: u64,
    /// The whole send window, and how much of it those others use.
    window: u64,
    path: u64,
    /// The credit that the other side was last told to be used up, and when it may be told again.
    told: u64,
    tell_next: Option<Instant>,
    /// It is to be told then.
    tell_at: Option<Instant>,
}

/// What a stream is to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Control,
    Passing,
    Waiting,
}

impl Room {
    pub(super) fn new(window: u32) -> Self {
        let mut room = Self {
            handed_over: 0,
            spare_credit: 0,
            window: window.into(),
            path: 0,
            told: 0,
            tell_next: None,
            tell_at: None,
        };
        room.follow(0);
        room
    }

    /// Keeps some of the credit free that there is now. It may have been little at first.
    fn spare(&mut self, limit: u64) {
        let free = limit.saturating_sub(self.handed_over);
        self.spare_credit = self.spare_credit.max(spare(free));
    }

    /// When the other side is to be told that its credit is used up.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.tell_at
    }

    /// How much credit is there for streams of this kind, where the other side lets so much be sent in all.
    pub(super) fn credit(&self, kind: Kind, limit: u64) -> u64 {
        let left = limit.saturating_sub(self.handed_over);
        left.saturating_sub(match kind {
            // What is kept for it is all that there is.
            Kind::Control => 0,
            Kind::Passing => self.spare_credit,
            Kind::Waiting => 2 * self.spare_credit,
        })
    }

    /// Adapts the send window of streams that have to wait to the congestion window.
    fn follow(&mut self, congestion_window: u64) {
        let most = self.window - 2 * spare(self.window);
        self.path = congestion_window
            .saturating_mul(PATHS)
            .clamp(MIN_WINDOW.min(most), most);
    }

    /// Below this it is worth while to take more from those that have to wait: many small pieces make the engine slow.
    fn low_mark(&self) -> u64 {
        self.path - (self.path / 8).min(MAX_STEP)
    }
}

/// How much of something is kept free for each kind of stream that comes before the others.
fn spare(of: u64) -> u64 {
    (of / 8).min(MAX_SPARE)
}

const MAX_SPARE: u64 = 64 << 10;
/// How many congestion windows the engine gets of streams that have to wait. It must be more than one, since what was
/// acknowledged counts as long as something before it was not; with two, reordering already leaves it with nothing to send.
const PATHS: u64 = 4;
const MIN_WINDOW: u64 = 256 << 10;
const MAX_STEP: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// An eighth for control messages, and as much for those with little to send, but no more than 64 KiB.
    #[test]
    fn the_send_window_is_never_full_of_what_can_wait() {
        for (window, left) in [(80_000, 60_000), (16 << 20, (16 << 20) - (128 << 10))] {
            let mut room = Room::new(window);
            room.follow(u64::MAX);
            assert_eq!(room.path, left);
        }
    }
}
