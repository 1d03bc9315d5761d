//! What waits for a member's application: no more than it wants, the newest.

use std::collections::VecDeque;

use super::{GroupItem, Joined};
use crate::Lossy;

/// The newest of what a member has heard. What is missing is counted where it is missing.
#[derive(Debug)]
pub(crate) struct Inbox {
    keep: Lossy,
    /// Nothing is dropped: nothing is added where it [is full](Self::is_full).
    lossless: bool,
    /// What was dropped in front of all items: when the member has joined, and how many messages after that.
    joined: Option<Joined>,
    lagged: u64,
    items: VecDeque<GroupItem>,
    bytes: usize,
}

impl Inbox {
    /// Keeps no more than this.
    pub(crate) fn new(keep: Lossy) -> Self {
        Self {
            keep,
            lossless: false,
            joined: None,
            lagged: 0,
            items: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Whether nothing is to be dropped.
    pub(crate) fn set_lossless(&mut self, lossless: bool) {
        self.lossless = lossless;
    }

    /// Adds what was heard last. The oldest may have to go for it.
    pub(crate) fn push(&mut self, item: GroupItem) {
        if let (GroupItem::Lagged(more), Some(GroupItem::Lagged(count))) =
            (&item, self.items.back_mut())
        {
            *count = count.saturating_add(*more);
            return;
        }
        self.bytes += bytes_of(&item);
        self.items.push_back(item);
        while !self.lossless && !self.keep.keeps(self.items.len(), self.bytes) {
            self.drop_first();
        }
    }

    /// Whether something would have to go for what comes next.
    pub(crate) fn is_full(&self) -> bool {
        let (items, bytes) = (self.items.len() + 1, self.bytes + 1);
        !self.keep.keeps(items, bytes)
    }

    pub(crate) fn pop(&mut self) -> Option<GroupItem> {
        if let Some(joined) = self.joined.take() {
            return Some(GroupItem::Joined(joined));
        }
        if self.lagged > 0 {
            return Some(GroupItem::Lagged(std::mem::take(&mut self.lagged)));
        }
        let item = self.items.pop_front()?;
        self.bytes -= bytes_of(&item);
        if self.items.is_empty() {
            self.items = VecDeque::new();
        }
        Some(item)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.joined.is_none() && self.lagged == 0 && self.items.is_empty()
    }

    fn drop_first(&mut self) {
        let Some(item) = self.items.pop_front() else {
            return;
        };
        self.bytes -= bytes_of(&item);
        match item {
            GroupItem::Message(_) | GroupItem::Unopened { .. } => {
                self.lagged = self.lagged.saturating_add(1);
            }
            GroupItem::Lagged(count) => self.lagged = self.lagged.saturating_add(count),
            // What was missing before that is missing still.
            GroupItem::Joined(joined) => {
                let before = self.joined.take();
                let unsure = before.map_or(0, |it| it.unsure);
                let missed = before.map_or(0, |it| it.missed);
                let missed = missed.saturating_add(std::mem::take(&mut self.lagged));
                self.joined = Some(Joined {
                    // A Coordinator may say what it likes.
                    missed: joined.missed.saturating_add(missed),
                    unsure: joined.unsure + unsure,
                    is_new_order: joined.is_new_order || before.is_some_and(|it| it.is_new_order),
                    ..joined
                });
            }
            GroupItem::Withheld { .. } | GroupItem::Arrived(_) | GroupItem::Left(_) => {}
        }
    }
}

fn bytes_of(item: &GroupItem) -> usize {
    match item {
        GroupItem::Message(message) => message.payload.len(),
        GroupItem::Joined(_)
        | GroupItem::Lagged(_)
        | GroupItem::Arrived(_)
        | GroupItem::Left(_)
        | GroupItem::Unopened { .. }
        | GroupItem::Withheld { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::GroupMessage;

    fn message(sequence: u64, len: usize) -> GroupItem {
        GroupItem::Message(GroupMessage {
            sequence,
            sender: None,
            name: None,
            payload: Bytes::from(vec![0; len]),
        })
    }

    fn joined(missed: u64) -> Joined {
        Joined {
            incarnation: 1,
            next: 0,
            end: 0,
            missed,
            is_new_order: false,
            unsure: 1,
        }
    }

    fn all(inbox: &mut Inbox) -> Vec<GroupItem> {
        std::iter::from_fn(|| inbox.pop()).collect()
    }

    #[test]
    fn what_is_dropped_is_counted_in_front_of_what_is_left() {
        let mut inbox = Inbox::new(Lossy::new(3, 1000));
        for sequence in 0..5 {
            inbox.push(message(sequence, 10));
        }
        let left = (2..5).map(|it| message(it, 10));
        let expected: Vec<_> = [GroupItem::Lagged(2)].into_iter().chain(left).collect();
        assert_eq!(all(&mut inbox), expected);
        assert!(inbox.is_empty());
    }

    #[test]
    fn bytes_count_and_the_newest_always_stays() {
        let mut inbox = Inbox::new(Lossy::new(100, 1000));
        inbox.push(message(0, 600));
        assert!(!inbox.is_full());
        inbox.push(message(1, 400));
        assert!(inbox.is_full());
        inbox.push(message(2, 5000));
        assert_eq!(all(&mut inbox), [GroupItem::Lagged(2), message(2, 5000)]);
        // And what was there counts no more.
        inbox.push(message(3, 600));
        inbox.push(message(4, 400));
        assert_eq!(all(&mut inbox), [message(3, 600), message(4, 400)]);
    }

    #[test]
    fn what_the_coordinator_has_left_out_is_added_to_what_was_dropped() {
        let mut inbox = Inbox::new(Lossy::new(2, 1000));
        inbox.push(GroupItem::Lagged(4));
        inbox.push(GroupItem::Lagged(3));
        inbox.push(message(7, 1));
        inbox.push(message(8, 1));
        inbox.push(message(9, 1));
        assert_eq!(
            all(&mut inbox),
            [GroupItem::Lagged(8), message(8, 1), message(9, 1)]
        );
    }

    #[test]
    fn however_much_is_said_to_be_missing_is_counted_as_far_as_numbers_go() {
        let mut inbox = Inbox::new(Lossy::latest());
        for _ in 0..5 {
            inbox.push(GroupItem::Joined(joined(MOST)));
            inbox.push(GroupItem::Lagged(MOST));
            inbox.push(GroupItem::Lagged(MOST));
            inbox.push(message(0, 1));
        }
        let GroupItem::Joined(merged) = all(&mut inbox).remove(0) else {
            panic!("it has not joined");
        };
        assert_eq!((merged.missed, merged.unsure), (u64::MAX, 5));
    }

    #[test]
    fn that_the_order_is_another_is_known_after_more_was_dropped() {
        let joined = |is_new_order| {
            GroupItem::Joined(Joined {
                is_new_order,
                ..joined(0)
            })
        };
        for orders in [[true, false], [false, true], [false, false]] {
            let mut inbox = Inbox::new(Lossy::latest());
            for is_new_order in orders {
                inbox.push(joined(is_new_order));
                inbox.push(message(0, 1));
            }
            let GroupItem::Joined(merged) = all(&mut inbox).remove(0) else {
                panic!("it has not joined");
            };
            assert_eq!(merged.is_new_order, orders.contains(&true), "{orders:?}");
        }
    }

    /// What can be said at once.
    const MOST: u64 = (1 << 62) - 1;

    #[test]
    fn that_it_has_joined_is_never_dropped_and_says_what_is_missing_before() {
        let mut inbox = Inbox::new(Lossy::latest());
        inbox.push(GroupItem::Joined(joined(2)));
        inbox.push(message(0, 1));
        inbox.push(message(1, 1));
        inbox.push(GroupItem::Joined(joined(5)));
        inbox.push(message(9, 1));
        inbox.push(message(10, 1));
        let merged = Joined {
            missed: 2 + 2 + 5,
            unsure: 2,
            ..joined(0)
        };
        assert_eq!(
            all(&mut inbox),
            [
                GroupItem::Joined(merged),
                GroupItem::Lagged(1),
                message(10, 1)
            ]
        );
    }
}
