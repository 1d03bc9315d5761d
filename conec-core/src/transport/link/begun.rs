//! How many large messages of a link are under way at a time.
//!
//! What has come of a message takes memory at the other side until the rest has come. So a message is begun when few others of
//! about its size are under way, and waits for one of them to end otherwise. Those do not count whose reader holds them up, so that
//! nobody waits for it. Nor do those of other priorities, since these must not wait either.

use std::collections::{BTreeMap, BTreeSet};

/// The streams that are in the middle of a large message, and those that wait to begin one. Boxed: few links have any.
#[derive(Debug, Default)]
pub(super) struct Begun(Option<Box<Streams>>);

#[derive(Debug, Default)]
struct Streams {
    begun: BTreeMap<u64, Message>,
    waiting: BTreeSet<u64>,
}

#[derive(Debug)]
struct Message {
    kind: Kind,
    /// The engine takes no more of it for now.
    blocked: bool,
}

/// Messages that are counted together: by priority, and by how many times four their sizes are.
type Kind = (i8, u32);

impl Begun {
    /// Whether a stream may send of a message of this size. If not, it waits for [`end`](Self::end) or
    /// [`block`](Self::block).
    pub(super) fn begin(&mut self, stream: u64, priority: i8, size: usize) -> bool {
        let streams = self.0.get_or_insert_default();
        if streams.begun.contains_key(&stream) {
            return true;
        }
        let kind = (priority, size.saturating_sub(HEADER).max(1).ilog2() / 2);
        let alike = |it: &&Message| it.kind == kind && !it.blocked;
        let may = streams.begun.values().filter(alike).count() < MAX_BEGUN;
        if may {
            let blocked = false;
            streams.begun.insert(stream, Message { kind, blocked });
        } else {
            streams.waiting.insert(stream);
        }
        may
    }

    /// A stream is not in the middle of a message any more. Who may try to begin one then.
    pub(super) fn end(&mut self, stream: u64) -> BTreeSet<u64> {
        let Some(streams) = &mut self.0 else {
            return BTreeSet::new();
        };
        streams.waiting.remove(&stream);
        match streams.begun.remove(&stream) {
            Some(_) => std::mem::take(&mut streams.waiting),
            None => BTreeSet::new(),
        }
    }

    /// The engine takes no more of a stream for now. Who may try to begin a message then: if it takes something of them, it is
    /// the stream's reader that holds it up.
    pub(super) fn block(&mut self, stream: u64) -> BTreeSet<u64> {
        let Some(streams) = &mut self.0 else {
            return BTreeSet::new();
        };
        match streams.begun.get_mut(&stream) {
            Some(message) => {
                message.blocked = true;
                std::mem::take(&mut streams.waiting)
            }
            None => BTreeSet::new(),
        }
    }

    /// The engine takes more of a stream.
    pub(super) fn unblock(&mut self, stream: u64) {
        let streams = self.0.as_mut();
        if let Some(message) = streams.and_then(|it| it.begun.get_mut(&stream)) {
            message.blocked = false;
        }
    }

    /// Forgets all streams.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// At least a header's length: a message of 1 MiB is still one of the largest of those that have up to so much.
const HEADER: usize = 9;
/// How many messages of one kind may be under way.
const MAX_BEGUN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Begins messages of this size on streams from the first on, as long as that is allowed. How many.
    fn begin_all(begun: &mut Begun, first: u64, priority: i8, size: usize) -> usize {
        (0..20)
            .take_while(|number| begun.begin(first + number, priority, size))
            .count()
    }

    #[test]
    fn messages_of_about_the_same_size_and_priority_wait_for_each_other() {
        let mut begun = Begun::default();
        let header = 5;
        for (number, size) in [70_000, 256 << 10, 300_000, 1 << 20, 16 << 20]
            .iter()
            .enumerate()
        {
            let begins = begin_all(&mut begun, 100 * number as u64, 0, size + header);
            assert_eq!(begins, [4, 0, 4, 0, 4][number], "{size}");
        }
        assert_eq!(begin_all(&mut begun, 1000, 1, 70_000), 4);
        assert!(begun.begin(0, 0, 70_000), "it has begun");
        assert_eq!(begun.end(0), [4, 100, 204, 300, 404, 1004].into());
        assert_eq!(begin_all(&mut begun, 100, 0, 256 << 10), 1);
    }

    #[test]
    fn nobody_waits_for_a_reader() {
        let mut begun = Begun::default();
        assert_eq!(begin_all(&mut begun, 0, 0, 1 << 20), 4);
        assert_eq!(begun.block(2), [4].into());
        assert!(begun.begin(4, 0, 1 << 20));
        begun.unblock(2);
        // There are five now.
        assert_eq!(begun.end(0), [].into());
        assert!(!begun.begin(5, 0, 1 << 20));
        assert_eq!(begun.end(1), [5].into());
        assert!(begun.begin(5, 0, 1 << 20));
        assert_eq!(begun.end(99), [].into());
    }
}
