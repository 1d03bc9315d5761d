//! What is known of an endpoint beyond its core: the channels and streams that handles are about, and who waits.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::RangeInclusive,
    task::{Poll, Waker},
};

use bytes::Bytes;
use conec_core::{
    ChannelEvent, ChannelId, CloseReason, Direction, PeerInfo, RecvEnd, SendEnd, StreamId,
};

use crate::shared::{Channels, PATIENCE, now};

/// What is known of the endpoint beyond the core: what events have told, and who waits for them.
#[derive(Default)]
pub(crate) struct Table {
    /// Whether the driver has ended.
    pub(crate) ended: bool,
    /// Transmits that the system refused.
    pub(crate) send_errors: u64,
    pub(crate) channels: BTreeMap<ChannelId, Entry>,
    /// The halves of streams that somebody holds or may yet accept, and how they ended.
    pub(crate) sends: BTreeMap<StreamId, Option<SendEnd>>,
    pub(crate) recvs: BTreeMap<StreamId, Option<RecvEnd>>,
    handles: usize,
    wakers: BTreeMap<Key, Waker>,
    next_ticket: u64,
    driver: Option<Waker>,
    /// To be woken as soon as the lock is released.
    woken: Vec<Waker>,
}

/// A channel, from when it is first heard of until it is over and nobody holds it.
#[derive(Default)]
pub(crate) struct Entry {
    home: bool,
    pub(crate) peer: Option<PeerInfo>,
    pub(crate) opened: bool,
    pub(crate) closed: Option<CloseReason>,
    /// Streams of the other side that were not accepted yet.
    pub(crate) streams: VecDeque<(StreamId, Bytes)>,
    handles: usize,
    /// Everybody has let go of it.
    dropped: bool,
}

impl Entry {
    pub(crate) fn new(peer: Option<PeerInfo>) -> Self {
        Self {
            peer,
            ..Self::default()
        }
    }

    /// A home channel: stays open when nobody holds it.
    pub(crate) fn home(peer: Option<PeerInfo>) -> Self {
        Self {
            home: true,
            ..Self::new(peer)
        }
    }
}

/// What a task can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Interest {
    /// Offers at a Client, events at a Coordinator.
    News,
    /// The end of the driver.
    End,
    Channel(ChannelId, Topic),
    Send(StreamId),
    Recv(StreamId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    Life,
    Streams,
    Available(Direction),
    DatagramsReadable,
    DatagramsWritable,
}

/// An interest and a number that tells those apart who share it.
pub(crate) type Key = (Interest, u64);

impl Table {
    pub(crate) fn wake_driver(&mut self) {
        self.woken.extend(self.driver.take());
    }

    pub(crate) fn wake(&mut self, interest: Interest) {
        self.wake_range((interest, 0)..=(interest, u64::MAX));
    }

    pub(crate) fn wake_channel(&mut self, id: ChannelId) {
        let first = Interest::Channel(id, Topic::Life);
        let last = Interest::Channel(id, Topic::DatagramsWritable);
        self.wake_range((first, 0)..=(last, u64::MAX));
    }

    fn wake_range(&mut self, range: RangeInclusive<Key>) {
        while let Some((&key, _)) = self.wakers.range(range.clone()).next() {
            self.woken.extend(self.wakers.remove(&key));
        }
    }

    /// For changes that concern everybody, or nearly.
    pub(crate) fn wake_all(&mut self) {
        let wakers = std::mem::take(&mut self.wakers);
        self.woken.extend(wakers.into_values());
    }

    pub(crate) fn take_woken(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.woken)
    }

    /// A number for a [`Key`]. 0 is for those who cannot be two.
    pub(crate) fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// Has a task woken, instead of the one that is returned.
    #[must_use = "to be dropped outside of the lock, as dropping a waker can run anything"]
    pub(crate) fn register(&mut self, key: Key, waker: Waker) -> Option<Waker> {
        self.wakers.insert(key, waker)
    }

    #[must_use = "to be dropped outside of the lock, as dropping a waker can run anything"]
    pub(crate) fn unregister(&mut self, key: Key) -> Option<Waker> {
        self.wakers.remove(&key)
    }

    /// Has the driver woken by [`wake_driver`](Self::wake_driver), once.
    pub(crate) fn register_driver(&mut self, waker: Waker) {
        self.driver = Some(waker);
    }

    /// How a channel ended, if it has.
    pub(crate) fn closed(&self, id: ChannelId) -> Option<CloseReason> {
        match self.channels.get(&id) {
            Some(entry) => entry.closed,
            None => Some(CloseReason::Local),
        }
    }

    /// Ready once a channel is open, or over.
    pub(crate) fn poll_opened(&self, id: ChannelId) -> Poll<Result<(), CloseReason>> {
        match (self.closed(id), self.channels.get(&id)) {
            (Some(reason), _) => Poll::Ready(Err(reason)),
            (None, Some(entry)) if entry.opened => Poll::Ready(Ok(())),
            (None, _) => Poll::Pending,
        }
    }

    pub(crate) fn hold(&mut self, channel: Option<ChannelId>) {
        self.handles += 1;
        if let Some(entry) = channel.and_then(|id| self.channels.get_mut(&id)) {
            entry.handles += 1;
        }
    }

    pub(crate) fn release(&mut self, role: &mut dyn Channels, channel: Option<ChannelId>) {
        self.handles -= 1;
        if let Some(id) = channel {
            self.release_channel(role, id);
        }
        if self.handles == 0 {
            role.close(now(), PATIENCE);
            self.wake_driver();
        }
    }

    fn release_channel(&mut self, role: &mut dyn Channels, id: ChannelId) {
        let Some(entry) = self.channels.get_mut(&id) else {
            return;
        };
        entry.handles -= 1;
        if entry.handles > 0 {
            return;
        }
        if entry.closed.is_some() {
            self.channels.remove(&id);
        } else if !entry.home {
            entry.dropped = true;
            // Nobody will ever accept these, and they must not hold up the end.
            for (stream, _) in std::mem::take(&mut entry.streams) {
                self.discard(role, stream);
            }
            if let Some(mut channel) = role.channel(id) {
                channel.close(now(), PATIENCE);
            }
            self.wake_driver();
        }
    }

    pub(crate) fn handle_channel_event(
        &mut self,
        role: &mut dyn Channels,
        id: ChannelId,
        event: ChannelEvent,
    ) {
        match event {
            ChannelEvent::Opened => {
                if let Some(entry) = self.channels.get_mut(&id) {
                    entry.opened = true;
                }
                self.wake(Interest::Channel(id, Topic::Life));
            }
            ChannelEvent::StreamOpened { stream, label } => match self.channels.get_mut(&id) {
                Some(entry) if !entry.dropped => {
                    entry.streams.push_back((stream, label));
                    if stream.direction() == Direction::Bi {
                        self.sends.insert(stream, None);
                    }
                    self.recvs.insert(stream, None);
                    self.wake(Interest::Channel(id, Topic::Streams));
                }
                Some(_) | None => self.discard(role, stream),
            },
            ChannelEvent::Readable { stream } => self.wake(Interest::Recv(stream)),
            ChannelEvent::Writable { stream } => self.wake(Interest::Send(stream)),
            ChannelEvent::SendEnded { stream, end } => {
                if let Some(slot) = self.sends.get_mut(&stream) {
                    *slot = Some(end);
                }
                self.wake(Interest::Send(stream));
            }
            ChannelEvent::RecvEnded { stream, end } => {
                if let Some(slot) = self.recvs.get_mut(&stream) {
                    *slot = Some(end);
                }
                self.wake(Interest::Recv(stream));
                self.drop_if_pointless(role, stream, end);
            }
            ChannelEvent::StreamsAvailable { direction } => {
                self.wake(Interest::Channel(id, Topic::Available(direction)));
            }
            ChannelEvent::DatagramsReadable => {
                self.wake(Interest::Channel(id, Topic::DatagramsReadable));
            }
            ChannelEvent::DatagramsWritable => {
                self.wake(Interest::Channel(id, Topic::DatagramsWritable));
            }
            // Who waits to open a stream waits in vain.
            ChannelEvent::Closing => self.wake_channel(id),
            ChannelEvent::Closed { reason } => self.end_channel(id, reason),
            // What this adapter does not know of.
            _ => {}
        }
    }

    fn end_channel(&mut self, id: ChannelId, reason: CloseReason) {
        if let Some(entry) = self.channels.get_mut(&id) {
            entry.closed = Some(reason);
            for (stream, _) in std::mem::take(&mut entry.streams) {
                self.sends.remove(&stream);
                self.recvs.remove(&stream);
            }
            if entry.handles == 0 {
                self.channels.remove(&id);
            }
        }
        self.wake_channel(id);
    }

    /// A stream that ended before anybody accepted it is of no use, except as a signal if it ended regularly. The
    /// other side can make any number of these, as it costs no credit.
    fn drop_if_pointless(&mut self, role: &mut dyn Channels, stream: StreamId, end: RecvEnd) {
        let Some(entry) = self.channels.get_mut(&stream.channel()) else {
            return;
        };
        let signal = end == RecvEnd::Finished && entry.streams.len() <= MAX_SIGNALS;
        if signal || end == RecvEnd::Finished && stream.direction() == Direction::Bi {
            return;
        }
        if let Some(at) = entry.streams.iter().position(|&(id, _)| id == stream) {
            entry.streams.remove(at);
            self.discard(role, stream);
        }
    }

    /// Lets go of a stream that nobody has accepted.
    fn discard(&mut self, role: &mut dyn Channels, id: StreamId) {
        self.sends.remove(&id);
        self.recvs.remove(&id);
        if let Some(mut channel) = role.channel(id.channel()) {
            let mut stream = channel.stream(id);
            // Either half may have ended or never been.
            let _ = stream.abandon_send();
            let _ = stream.abandon_recv();
        }
    }

    /// Nothing will ever happen again.
    pub(crate) fn end(&mut self) {
        self.ended = true;
        let reason = CloseReason::Local;
        for slot in self.sends.values_mut() {
            slot.get_or_insert(SendEnd::Closed(reason));
        }
        for slot in self.recvs.values_mut() {
            slot.get_or_insert(RecvEnd::Closed(reason));
        }
        for entry in self.channels.values_mut() {
            entry.closed.get_or_insert(reason);
        }
        self.wake_all();
    }
}

/// How many empty streams may wait to be accepted.
const MAX_SIGNALS: usize = 1024;
