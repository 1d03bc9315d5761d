//! How much the other side may send ahead of those who read it.

use std::time::{Duration, Instant};

/// The receive window of a link, which grows when the other side fills it.
///
/// How much there is to gain, nobody knows before: it takes a large window to fill a long path, and when streams wait for
/// their readers, one to carry others past them. But what was granted cannot be taken back, and all of it may come. So
/// links begin with little, and what they get on top is shared out.
#[derive(Debug)]
pub(super) struct ReceiveWindow {
    size: u32,
    /// Of how much of it the engine knows.
    told: u64,
    first: u32,
    max: u32,
    /// By how much it grew last.
    growth: u32,
    /// How often the other side has said by a frame that it is held up.
    complaints: u64,
    /// It has, since it was last known to have filled the window.
    held_up: bool,
    /// How many bytes had been received then.
    filled_at: u64,
    /// The window was filled, and has not grown since.
    filled: bool,
    /// When the round trip began in which it is looked at how much comes, and how many bytes had been received then.
    round: Option<(Instant, u64)>,
    /// How many bytes were read since the other side was told what room there is.
    untold: u64,
    /// It waits for room.
    short: bool,
}

impl ReceiveWindow {
    pub(super) fn new(first: u32, max: u32) -> Self {
        Self {
            size: first,
            told: first.into(),
            first,
            max,
            growth: first,
            complaints: 0,
            held_up: false,
            filled_at: 0,
            filled: false,
            round: None,
            untold: 0,
            short: false,
        }
    }

    /// Takes note of how often the other side has said by a frame that it is held up (RFC 9000, 19.12), and how many bytes have come.
    /// Who only says so gets nothing for it: the bytes that fill the window may follow.
    ///
    /// Who sends half of the window within a round trip and may double that in the next, as congestion control has it at the
    /// start, is about to be held up.
    pub(super) fn note(&mut self, now: Instant, rtt: Duration, complaints: u64, received: u64) {
        let (began, before) = *self.round.get_or_insert((now, received));
        let (is_half, is_quick) = (
            received - before >= u64::from(self.size / 2),
            now - began <= rtt,
        );
        if is_half || !is_quick {
            self.round = Some((now, received));
        }
        if complaints > self.complaints {
            self.complaints = complaints;
            self.hold_up();
        }
        // Not all that it grew by can come: senders keep up to a quarter of their credit free.
        let has_come = received - self.filled_at >= u64::from(self.growth / 2);
        if has_come && (self.held_up || (is_half && is_quick)) {
            self.held_up = false;
            self.filled_at = received;
            self.filled = true;
        }
    }

    /// The other side says that it is held up.
    pub(super) fn hold_up(&mut self) {
        self.short = true;
        self.held_up = true;
    }

    /// Grows by no more than so much, if it is to grow. Gives by how much.
    pub(super) fn grow(&mut self, most: u64) -> u64 {
        let more = self.size.min(self.max - self.size);
        let more = u32::try_from(most).map_or(more, |most| most.min(more));
        if !self.filled || more == 0 {
            return 0;
        }
        self.filled = false;
        self.size += more;
        self.growth = more;
        more.into()
    }

    /// So many bytes were read, which makes room for others. Whether the other side is to be told at once.
    ///
    /// The engine waits until an eighth of the window is free. Where nobody reads the rest, that may never be, and what senders
    /// keep free for control messages and small streams is less: it has to be given back before it is used up.
    pub(super) fn give_back(&mut self, bytes: u64, control: bool) -> bool {
        self.untold += bytes;
        let engine_tells = self.untold >= self.told / 8;
        let due = !engine_tells
            && (control || self.short)
            && self.untold >= GIVE_BACK.min(self.told / 16);
        if engine_tells {
            self.short = false;
        }
        if engine_tells || due {
            self.untold = 0;
        }
        due
    }

    /// Of how much the engine knows.
    pub(super) fn told(&self) -> u64 {
        self.told
    }

    /// Whether the other side waits for room.
    pub(super) fn is_short(&self) -> bool {
        self.short
    }

    pub(super) fn size(&self) -> u64 {
        self.size.into()
    }

    /// The engine is to know of so much of it. Whether that is news.
    pub(super) fn tell(&mut self, size: u64) -> bool {
        std::mem::replace(&mut self.told, size) != size
    }

    /// By how much it has grown.
    pub(super) fn extra(&self) -> u64 {
        (self.size - self.first).into()
    }
}

/// A quarter of what senders keep free, at most, for each kind of what comes before the rest.
const GIVE_BACK: u64 = 16 << 10;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    /// Slower than that half of the window comes in a round trip.
    fn note(window: &mut ReceiveWindow, complaints: u64, received: u64) {
        let began = window.round.map_or_else(Instant::now, |round| round.0);
        window.note(began + 2 * RTT, RTT, complaints, received);
    }

    #[test]
    fn it_doubles_whenever_it_was_filled() {
        let mut window = ReceiveWindow::new(1000, 5000);
        let (mut received, mut steps) = (0, Vec::new());
        for complaints in 1..=5 {
            received += 5000;
            note(&mut window, complaints, received);
            steps.push(window.grow(10_000));
            assert_eq!(window.grow(10_000), 0);
        }
        assert_eq!(steps, [1000, 2000, 1000, 0, 0]);
        assert_eq!((window.size(), window.extra()), (5000, 4000));
    }

    #[test]
    fn who_only_says_so_gets_nothing() {
        let mut window = ReceiveWindow::new(1000, 5000);
        for complaints in 1..=100 {
            note(&mut window, complaints, 499);
            assert_eq!(window.grow(10_000), 0);
        }
        // What it said may have come before what it said it of.
        note(&mut window, 100, 500);
        assert_eq!(window.grow(10_000), 1000);
        // And who says nothing does not need more.
        note(&mut window, 100, 1_000_000);
        assert_eq!(window.grow(10_000), 0);
        note(&mut window, 101, 1_000_000);
        assert_eq!(window.grow(10_000), 2000);
        // Each time anew half of what it has grown by.
        note(&mut window, 102, 1_000_999);
        assert_eq!(window.grow(10_000), 0);
        note(&mut window, 102, 1_001_000);
        assert_eq!(window.grow(10_000), 1000);
    }

    #[test]
    fn it_grows_no_more_than_there_is() {
        let mut window = ReceiveWindow::new(1000, 5000);
        note(&mut window, 1, 1000);
        assert_eq!(window.grow(500), 500);
        note(&mut window, 2, 2000);
        assert_eq!(window.grow(0), 0);
        // Who waits gets what others have left.
        assert_eq!(window.grow(10_000), 1500);
    }

    #[test]
    fn who_doubles_what_it_sends_is_not_held_up_first() {
        let (mut window, mut now) = (ReceiveWindow::new(1000, 100_000), Instant::now());
        let mut received = 0;
        let mut send = |window: &mut ReceiveWindow, bytes: u64| {
            for _ in 0..10 {
                now += RTT / 10;
                received += bytes / 10;
                window.note(now, RTT, 0, received);
                window.grow(u64::MAX);
            }
            window.size()
        };
        let sizes = [400, 800, 1600, 3200, 3200, 3200].map(|bytes| send(&mut window, bytes));
        assert_eq!(sizes, [1000, 2000, 4000, 8000, 8000, 8000]);
    }

    #[test]
    fn who_waits_for_room_hears_of_it_before_the_engine_would_tell() {
        const SIZE: u32 = 1 << 20;
        // The engine tells of an eighth.
        for (waits, control, due) in [
            (false, false, None),
            (false, true, Some(GIVE_BACK)),
            (true, false, Some(GIVE_BACK)),
        ] {
            let mut window = ReceiveWindow::new(SIZE, SIZE);
            if waits {
                window.hold_up();
            }
            let told = (1..u64::from(SIZE) / 8 / 1024).find(|_| window.give_back(1024, control));
            assert_eq!(told.map(|kib| 1024 * kib), due, "{waits} {control}");
            assert_eq!(window.is_short(), waits);
            // When the engine does, that is enough for who waits.
            assert!(!window.give_back(u64::from(SIZE) / 8, control));
            assert!(!window.is_short());
            assert_eq!(window.untold, 0);
        }
        // Of a small window, a sixteenth.
        let mut window = ReceiveWindow::new(1600, 1600);
        window.hold_up();
        assert!(!window.give_back(99, false));
        assert!(window.give_back(1, false));
    }

    #[test]
    fn half_of_the_window_in_a_round_trip_is_quick_and_later_is_not() {
        for (millis, received, grown) in [(100, 500, 1000), (100, 499, 0), (101, 500, 0)] {
            let mut window = ReceiveWindow::new(1000, 5000);
            let start = Instant::now();
            window.note(start, RTT, 0, 0);
            window.note(start + Duration::from_millis(millis), RTT, 0, received);
            assert_eq!(window.grow(10_000), grown, "{received} in {millis} ms");
        }
    }

    #[test]
    fn the_engine_is_told_of_another_size_once() {
        let mut window = ReceiveWindow::new(1000, 5000);
        assert_eq!(
            [1000, 900, 900, 1000].map(|size| window.tell(size)),
            [false, true, false, true]
        );
        assert_eq!(window.told(), 1000);
    }
}
