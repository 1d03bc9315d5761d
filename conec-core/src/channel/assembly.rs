//! How much memory a channel spends on messages that are being put together, or wait to be taken.
//!
//! Streams may read ahead as long as the channel is below its budget. Above it, one stream at a time may go on until its
//! message was taken, so that something can always be completed and memory stays below the budget plus one message.

use std::collections::BTreeSet;

#[derive(Debug)]
pub(super) struct Assembly {
    budget: usize,
    used: usize,
    /// The one stream that may exceed the budget.
    favoured: Option<u64>,
    /// Streams that wait for memory.
    starved: BTreeSet<u64>,
}

impl Assembly {
    pub(super) fn new(budget: usize) -> Self {
        Self {
            budget,
            used: 0,
            favoured: None,
            starved: BTreeSet::new(),
        }
    }

    /// Whether a stream may take more memory now. If not it will be [named](Self::next_to_feed) later.
    pub(super) fn may_grow(&mut self, stream: u64) -> bool {
        let may = self.used < self.budget || *self.favoured.get_or_insert(stream) == stream;
        if !may {
            self.starved.insert(stream);
        }
        may
    }

    /// A stream that held `before` bytes now holds `after`.
    pub(super) fn update(&mut self, stream: u64, before: usize, after: usize) {
        self.used = self.used - before + after;
        if after == 0 && self.favoured == Some(stream) {
            self.favoured = None;
        }
    }

    /// A stream that waited for memory and may take some now.
    pub(super) fn next_to_feed(&mut self) -> Option<u64> {
        if self.used < self.budget || self.favoured.is_none() {
            self.starved.pop_first()
        } else {
            None
        }
    }

    #[cfg(test)]
    fn used(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_the_budget_one_stream_goes_on_and_the_others_wait_their_turn() {
        let mut assembly = Assembly::new(100);
        assert!(assembly.may_grow(1) && assembly.may_grow(2));
        assembly.update(1, 0, 60);
        assembly.update(2, 0, 60);
        assert!(assembly.may_grow(2), "the first to ask is favoured");
        assert!(!assembly.may_grow(1));
        assert_eq!(assembly.next_to_feed(), None);
        assembly.update(2, 60, 0);
        assert_eq!(assembly.next_to_feed(), Some(1));
        assert!(assembly.may_grow(1));
        assert_eq!(assembly.used(), 60);
    }
}
