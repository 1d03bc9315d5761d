//! An ordered index of deadlines, one for each key: no scans to find what is due.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    order: BTreeSet<(Instant, K)>,
    by_key: BTreeMap<K, Instant>,
    /// The first of them: it is asked for with every poll.
    next: Option<(Instant, K)>,
}

impl<K: Ord + Copy> Deadlines<K> {
    pub(crate) fn new() -> Self {
        Self {
            order: BTreeSet::new(),
            by_key: BTreeMap::new(),
            next: None,
        }
    }

    /// Sets, moves or removes the deadline of `key`.
    pub(crate) fn set(&mut self, key: K, deadline: Option<Instant>) {
        let old = match deadline {
            Some(at) => self.by_key.insert(key, at),
            None => self.by_key.remove(&key),
        };
        if old == deadline {
            return;
        }
        if let Some(old) = old {
            self.order.remove(&(old, key));
        }
        if let Some(at) = deadline {
            self.order.insert((at, key));
        }
        self.find_next();
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(crate) fn entries(&self) -> usize {
        self.order.len() + self.by_key.len()
    }

    /// When the first deadline is.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.first().map(|(at, _)| at)
    }

    /// When the first deadline is, and whose.
    pub(crate) fn first(&self) -> Option<(Instant, K)> {
        self.next
    }

    /// Removes and returns a key whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next?.0 > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.by_key.remove(&key);
        self.find_next();
        Some(key)
    }

    fn find_next(&mut self) {
        self.next = self.order.first().copied();
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn deadlines_come_due_in_order_and_move() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut deadlines = Deadlines::new();
        deadlines.set('a', Some(at(30)));
        deadlines.set('b', Some(at(10)));
        deadlines.set('c', Some(at(20)));
        deadlines.set('a', Some(at(5)));
        deadlines.set('c', None);
        assert_eq!(deadlines.next(), Some(at(5)));
        assert_eq!(deadlines.pop_due(at(4)), None);
        assert_eq!(deadlines.pop_due(at(50)), Some('a'));
        assert_eq!(deadlines.pop_due(at(50)), Some('b'));
        assert_eq!(deadlines.pop_due(at(50)), None);
        assert_eq!(deadlines.next(), None);
    }
}
