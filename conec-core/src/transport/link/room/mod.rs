//! How much the engine may get of what waits on a link's streams.

mod flush;

use std::time::{Duration, Instant};

/// What streams get through the engine with.
pub(super) struct Room {
    /// How much the engine has got since the beginning.
    handed_over: u64,
    /// How much credit is kept free for each kind of stream that comes before the others.
    spare_credit: u64,
    /// The whole send window, and how much of it those others use.
    window: u64,
    path: u64,
    /// Whether nothing but that was left when a stream that has to wait last wanted some.
    short: bool,
    /// The credit that the other side was last told to be used up.
    told: u64,
    /// When it may be told again, or streams may pass by again those that are held up.
    pause_until: Option<Instant>,
    /// When one of these is to be done.
    due_at: Option<Instant>,
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
            short: false,
            told: 0,
            pause_until: None,
            due_at: None,
        };
        room.follow(0);
        room
    }

    /// Keeps some of the credit free that there is now. It may have been little at first.
    fn spare(&mut self, limit: u64) {
        let free = limit.saturating_sub(self.handed_over);
        self.spare_credit = self.spare_credit.max(spare(free));
    }

    /// When something is to be done about streams that are held up.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due_at
    }

    /// Whether the pause since the last time is over, so that what the caller wants is done now. If not, it is due later.
    fn may(&mut self, now: Instant) -> bool {
        let later = self.pause_until.filter(|&at| at > now);
        if later.is_some() {
            self.due_at = later;
        } else {
            self.pause_until = Some(now + PAUSE);
        }
        later.is_none()
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
/// How long it takes at least until the other side is told again that its credit is used up, as control messages are limited in
/// rate, and until streams may pass by again those that it holds up.
const PAUSE: Duration = Duration::from_millis(50);
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

    /// Who comes first may use all that there is.
    #[test]
    fn credit_is_kept_for_who_comes_before_others() {
        let mut room = Room::new(1 << 20);
        let kinds = [Kind::Control, Kind::Passing, Kind::Waiting];
        let credit = |room: &Room, limit| kinds.map(|kind| room.credit(kind, limit));
        room.spare(80_000);
        assert_eq!(credit(&room, 80_000), [80_000, 70_000, 60_000]);
        // As much is kept as of the most that there ever was, which is not much of much.
        room.spare(10_000_000);
        assert_eq!(room.spare_credit, MAX_SPARE);
        room.spare(80_000);
        room.handed_over = 50_000;
        assert_eq!(credit(&room, 200_000), [150_000, 84_464, 18_928]);
        assert_eq!(credit(&room, 100_000), [50_000, 0, 0]);
        assert_eq!(credit(&room, 40_000), [0, 0, 0]);
    }

    #[test]
    fn streams_that_wait_fill_the_path_and_are_asked_again_before_it_is_empty() {
        let mut room = Room::new(16 << 20);
        for (congestion, path, low) in [
            (0, 256 << 10, 224 << 10),
            (64 << 10, 256 << 10, 224 << 10),
            (100 << 10, 400 << 10, 350 << 10),
            (1 << 20, 4 << 20, (4 << 20) - (64 << 10)),
        ] {
            room.follow(congestion);
            assert_eq!((room.path, room.low_mark()), (path, low));
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
    fn what_may_be_done_once_in_a_while_is_due_when_that_is_over() {
        let mut room = Room::new(1 << 20);
        let start = Instant::now();
        assert!(room.may(start));
        assert_eq!(room.next_due(), None);
        assert!(!room.may(start + PAUSE / 2));
        assert_eq!(room.next_due(), Some(start + PAUSE));
        assert!(room.may(start + PAUSE));
        assert!(!room.may(start + PAUSE));
        assert_eq!(room.next_due(), Some(start + 2 * PAUSE));
    }
}
