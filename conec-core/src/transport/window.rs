//! How much the other side may send ahead of those who read it.

/// The receive window of a link, which grows when the other side fills it.
///
/// How much there is to gain, nobody knows before: it takes a large window to fill a long path, and when streams wait for
/// their readers, one to carry others past them. But what was granted cannot be taken back, and all of it may come. So
/// links begin with little, and what they get on top comes out of one store.
#[derive(Debug)]
pub(super) struct ReceiveWindow {
    size: u64,
    /// Of how much of it the engine knows.
    told: u64,
    first: u32,
    max: u32,
    /// How often the other side has said that it is held up.
    complaints: u64,
    /// It has, since it was last known to have filled the window.
    held_up: bool,
    /// How many bytes had been received then.
    filled_at: u64,
    /// The window was filled, and has not grown since.
    filled: bool,
    /// How many bytes were read since the other side was told what room there is.
    untold: u64,
    /// It waits for room.
    short: bool,
}

impl ReceiveWindow {
    pub(super) fn new(first: u32, max: u32) -> Self {
        Self {
            size: first.into(),
            told: first.into(),
            first,
            max,
            complaints: 0,
            held_up: false,
            filled_at: 0,
            filled: false,
            untold: 0,
            short: false,
        }
    }

    /// Takes note of how often the other side has said that it is held up (RFC 9000, 19.12), and how many bytes have come.
    /// Who only says so gets nothing for it: the bytes that fill the window may follow.
    pub(super) fn note(&mut self, complaints: u64, received: u64) {
        self.short |= complaints > self.complaints;
        self.held_up |= complaints > self.complaints;
        self.complaints = complaints;
        if self.held_up && received - self.filled_at >= self.size / 2 {
            self.held_up = false;
            self.filled_at = received;
            self.filled = true;
        }
    }

    /// The new size, if it is to grow and there is something left in the store.
    pub(super) fn grow(&mut self, store: &mut u64) -> Option<u64> {
        let more = self.size.min(u64::from(self.max) - self.size).min(*store);
        if !self.filled || more == 0 {
            return None;
        }
        self.filled = false;
        *store -= more;
        self.size += more;
        Some(self.size)
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

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The engine is to know of so much of it. Whether that is news.
    pub(super) fn tell(&mut self, size: u64) -> bool {
        std::mem::replace(&mut self.told, size) != size
    }

    /// What came out of the store.
    pub(super) fn extra(&self) -> u64 {
        self.size - u64::from(self.first)
    }
}

/// A quarter of what senders keep free, at most, for each kind of what comes before the rest.
const GIVE_BACK: u64 = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_whenever_it_was_filled() {
        let (mut window, mut store) = (ReceiveWindow::new(1000, 5000), 10_000);
        let (mut received, mut sizes) = (0, Vec::new());
        for complaints in 1..=5 {
            received += 5000;
            window.note(complaints, received);
            sizes.push(window.grow(&mut store));
            assert_eq!(window.grow(&mut store), None);
            assert_eq!(window.extra() + store, 10_000);
        }
        assert_eq!(sizes, [Some(2000), Some(4000), Some(5000), None, None]);
    }

    #[test]
    fn who_only_says_so_gets_nothing() {
        let (mut window, mut store) = (ReceiveWindow::new(1000, 5000), 10_000);
        for complaints in 1..=100 {
            window.note(complaints, 499);
            assert_eq!(window.grow(&mut store), None);
        }
        // What it said may have come before what it said it of.
        window.note(100, 500);
        assert_eq!(window.grow(&mut store), Some(2000));
        // And who says nothing does not need more.
        window.note(100, 1_000_000);
        assert_eq!(window.grow(&mut store), None);
        window.note(101, 1_000_000);
        assert_eq!(window.grow(&mut store), Some(4000));
        // Each time anew half of what it is then.
        window.note(102, 1_001_999);
        assert_eq!(window.grow(&mut store), None);
        window.note(102, 1_002_000);
        assert_eq!(window.grow(&mut store), Some(5000));
    }

    #[test]
    fn nobody_gets_more_than_there_is() {
        let mut store = 1500;
        let mut windows = [1, 2, 3].map(|_| ReceiveWindow::new(1000, 5000));
        let sizes = windows.each_mut().map(|window| {
            window.note(1, 1000);
            window.grow(&mut store)
        });
        assert_eq!(sizes, [Some(2000), Some(1500), None]);
        assert_eq!(store, 0);
        // Those who waited get what others have left.
        store += windows[0].extra();
        let sizes = windows.each_mut().map(|window| window.grow(&mut store));
        assert_eq!(sizes, [None, None, Some(2000)]);
    }
}
