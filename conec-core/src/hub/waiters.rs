//! Who waits for what.

use std::{collections::BTreeMap, ops::RangeInclusive, vec};

use crate::{ChannelId, Direction, StreamId};

/// What came of trying something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt<T> {
    /// It is done, or will never be.
    Done(T),
    /// It is worth another try when this has happened.
    Wait(Interest),
}

impl<T> Attempt<T> {
    /// What was done, or `None` where that takes waiting.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(result) => Some(result),
            Self::Wait(_) => None,
        }
    }

    /// The same with another result.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Attempt<U> {
        match self {
            Self::Done(result) => Attempt::Done(f(result)),
            Self::Wait(interest) => Attempt::Wait(interest),
        }
    }
}

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interest(Subject);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// Offers at a Client, events at a Coordinator.
    News,
    /// That nobody drives the endpoint any more.
    End,
    Channel(ChannelId, Topic),
    Send(StreamId),
    Recv(StreamId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Life,
    Streams,
    Available(Direction),
    DatagramsReadable,
    DatagramsWritable,
    Path,
}

impl Subject {
    pub(super) fn wait<T>(self) -> Attempt<T> {
        Attempt::Wait(Interest(self))
    }
}

/// A caller's place among those who wait, if it has one.
#[derive(Debug, Default)]
pub struct Ticket(Option<Key>);

impl Ticket {
    /// Whether the caller may be among those who wait.
    pub fn is_waiting(&self) -> bool {
        self.0.is_some()
    }
}

/// A subject, and a number that tells those apart who share it.
type Key = (Subject, u64);

/// Those who are to be woken. Whatever else it holds is no longer needed; dropping that can run anything, so drop it
/// outside of locks.
#[derive(Debug)]
pub struct Woken<W> {
    woken: Vec<W>,
    _stale: Vec<W>,
}

impl<W> IntoIterator for Woken<W> {
    type Item = W;
    type IntoIter = vec::IntoIter<W>;

    fn into_iter(self) -> vec::IntoIter<W> {
        self.woken.into_iter()
    }
}

#[derive(Debug)]
pub(super) struct Waiters<W> {
    waiting: BTreeMap<Key, W>,
    next_number: u64,
    driver: Option<W>,
    woken: Vec<W>,
    stale: Vec<W>,
}

impl<W> Default for Waiters<W> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            next_number: 0,
            driver: None,
            woken: Vec::new(),
            stale: Vec::new(),
        }
    }
}

impl<W> Waiters<W> {
    pub(super) fn enter(&mut self, ticket: &mut Ticket, Interest(subject): Interest, waiter: W) {
        let key = match ticket.0 {
            Some(key) if key.0 == subject => key,
            Some(_) | None => {
                self.leave(ticket);
                self.next_number += 1;
                (subject, self.next_number)
            }
        };
        ticket.0 = Some(key);
        self.stale.extend(self.waiting.insert(key, waiter));
    }

    pub(super) fn leave(&mut self, ticket: &mut Ticket) {
        if let Some(key) = ticket.0.take() {
            self.stale.extend(self.waiting.remove(&key));
        }
    }

    pub(super) fn set_driver(&mut self, waiter: W) {
        self.stale.extend(self.driver.replace(waiter));
    }

    pub(super) fn wake_driver(&mut self) {
        self.woken.extend(self.driver.take());
    }

    pub(super) fn wake(&mut self, subject: Subject) {
        self.wake_range((subject, 0)..=(subject, u64::MAX));
    }

    pub(super) fn wake_channel(&mut self, id: ChannelId) {
        let first = Subject::Channel(id, Topic::Life);
        let last = Subject::Channel(id, Topic::Path);
        self.wake_range((first, 0)..=(last, u64::MAX));
    }

    /// For changes that concern everybody, or nearly.
    pub(super) fn wake_all(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.woken.extend(waiting.into_values());
    }

    pub(super) fn take_woken(&mut self) -> Woken<W> {
        Woken {
            woken: std::mem::take(&mut self.woken),
            _stale: std::mem::take(&mut self.stale),
        }
    }

    fn wake_range(&mut self, range: RangeInclusive<Key>) {
        while let Some((&key, _)) = self.waiting.range(range.clone()).next() {
            self.woken.extend(self.waiting.remove(&key));
        }
    }
}
