//! Who waits for what.

use std::{collections::BTreeMap, ops::RangeInclusive, task::Waker};

use conec_core::{ChannelId, Direction, GroupId, StreamId};

/// What has to happen before another try is worthwhile: the error of what cannot be done yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// Offers at a Client and its state, events at a Coordinator.
    Application,
    /// That nobody drives the endpoint any more.
    End,
    Channel(ChannelId, Topic),
    Send(StreamId),
    Recv(StreamId),
    /// That there is something to hear in a group, or it is over.
    Hear(GroupId),
    /// That something can be published in a group, or it is over.
    Publish(GroupId),
    /// That all that was published in a group has its number, or the membership is over.
    Confirm(GroupId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// That it is open, or over.
    Life,
    Streams,
    Available(Direction),
    DatagramsReadable,
    DatagramsWritable,
    Presence,
    Path,
}

/// A subject, and a number that tells those apart who share it.
type Key = (Subject, u64);

/// A place among those who wait, if it is taken.
#[derive(Debug, Default)]
pub(crate) struct Place(Option<Key>);

impl Place {
    pub(crate) fn is_taken(&self) -> bool {
        self.0.is_some()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiting: BTreeMap<Key, Waker>,
    next_number: u64,
    driver: Option<Waker>,
    woken: Woken,
}

/// Those who are to be woken, and wakers that are no longer needed: dropping one can run any code, as waking can, so both are
/// done after the lock was released.
#[derive(Debug, Default)]
pub(crate) struct Woken {
    woken: Vec<Waker>,
    stale: Vec<Waker>,
}

impl Woken {
    pub(crate) fn wake(self) {
        self.woken.into_iter().for_each(Waker::wake);
    }
}

impl Waiters {
    /// Has somebody woken, once, when something happens to the subject.
    pub(crate) fn enter(&mut self, place: &mut Place, subject: Subject, waker: &Waker) {
        let key = match place.0 {
            Some(key) if key.0 == subject => key,
            Some(_) | None => {
                self.leave(place);
                self.next_number += 1;
                (subject, self.next_number)
            }
        };
        place.0 = Some(key);
        let stale = self.waiting.insert(key, waker.clone());
        self.woken.stale.extend(stale);
    }

    /// Gives up a place, with or without what it was for. Who was woken and has given up may have left that to the next.
    pub(crate) fn leave(&mut self, place: &mut Place) {
        let Some(key) = place.0.take() else {
            return;
        };
        match (self.waiting.remove(&key), key.0) {
            (None, Subject::Channel(_, Topic::Available(_))) => self.wake_first(key.0, 1),
            (waker, _) => self.woken.stale.extend(waker),
        }
    }

    /// Has the driver woken, once, when it is given something to do.
    pub(crate) fn set_driver(&mut self, driver: &Waker) {
        match &mut self.driver {
            Some(known) if known.will_wake(driver) => {}
            known => self.woken.stale.extend(known.replace(driver.clone())),
        }
    }

    pub(crate) fn wake_driver(&mut self) {
        self.woken.woken.extend(self.driver.take());
    }

    pub(crate) fn wake(&mut self, subject: Subject) {
        self.wake_first(subject, usize::MAX);
    }

    /// For what there is only so much of: those who have waited longest. The others would find nothing, each time.
    pub(crate) fn wake_first(&mut self, subject: Subject, count: usize) {
        self.wake_range((subject, 0)..=(subject, u64::MAX), count);
    }

    pub(crate) fn wake_channel(&mut self, id: ChannelId) {
        let first = Subject::Channel(id, Topic::Life);
        let last = Subject::Channel(id, Topic::Path);
        self.wake_range((first, 0)..=(last, u64::MAX), usize::MAX);
    }

    /// For changes that concern everybody, or nearly.
    pub(crate) fn wake_all(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.woken.woken.extend(waiting.into_values());
    }

    /// Those who are to be woken, as soon as the lock is released.
    pub(crate) fn take_woken(&mut self) -> Woken {
        std::mem::take(&mut self.woken)
    }

    fn wake_range(&mut self, range: RangeInclusive<Key>, count: usize) {
        for _ in 0..count {
            let Some((&key, _)) = self.waiting.range(range.clone()).next() else {
                return;
            };
            self.woken.woken.extend(self.waiting.remove(&key));
        }
    }
}
