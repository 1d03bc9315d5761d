//! What is known of a channel beyond the state machine, and what its handles do.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Attempt, Hub, PATIENCE,
    stream::{Receiving, Sending},
    waiters::{Subject, Topic},
};
use crate::{
    Channel, ChannelEvent, ChannelId, CloseReason, Code, Direction, Endpoint, OpenStreamError,
    Path, PathStats, PeerInfo, RecvEnd, SendDatagramError, StreamId,
};

#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Stays open when nobody holds it.
    home: bool,
    pub(super) peer: Option<PeerInfo>,
    opened: bool,
    closed: Option<CloseReason>,
    /// Streams of the other side that were not accepted yet.
    streams: VecDeque<(StreamId, Bytes)>,
    handles: usize,
    /// Everybody has let go of it.
    dropped: bool,
}

impl Entry {
    pub(super) fn new(peer: Option<PeerInfo>) -> Self {
        Self {
            peer,
            ..Self::default()
        }
    }

    pub(super) fn home(peer: Option<PeerInfo>) -> Self {
        Self {
            home: true,
            ..Self::new(peer)
        }
    }

    pub(super) fn hold(&mut self) {
        self.handles += 1;
    }

    pub(super) fn end(&mut self, reason: CloseReason) {
        self.closed.get_or_insert(reason);
    }
}

impl<W, E: Endpoint + ?Sized> Hub<W, E> {
    /// Who is at the other end. `None` if that is the Coordinator.
    pub fn peer(&self, id: ChannelId) -> Option<PeerInfo> {
        self.channels.get(&id)?.peer.clone()
    }

    /// Waits until a channel is open, or over.
    pub fn opened(&self, id: ChannelId) -> Attempt<Result<(), CloseReason>> {
        match (self.close_reason(id), self.channels.get(&id)) {
            (Some(reason), _) => Attempt::Done(Err(reason)),
            (None, Some(entry)) if entry.opened => Attempt::Done(Ok(())),
            (None, _) => Subject::Channel(id, Topic::Life).wait(),
        }
    }

    /// Waits until a channel is over.
    pub fn closed(&self, id: ChannelId) -> Attempt<CloseReason> {
        match self.close_reason(id) {
            Some(reason) => Attempt::Done(reason),
            None => Subject::Channel(id, Topic::Life).wait(),
        }
    }

    /// What is sent on a channel travels on. [`Proxied`](Path::Proxied) once the channel is over.
    pub fn path(&mut self, id: ChannelId) -> Path {
        let channel = self.live_channel(id);
        channel.map_or(Path::Proxied, |channel| channel.path())
    }

    /// Waits until what is sent on a channel travels on another path than this. `None` once the channel is over.
    pub fn path_other_than(&mut self, id: ChannelId, known: Path) -> Attempt<Option<Path>> {
        match self.live_channel(id).map(|channel| channel.path()) {
            Some(path) if path == known => Subject::Channel(id, Topic::Path).wait(),
            path => Attempt::Done(path),
        }
    }

    /// What a peer channel's packets have travelled on so far. `None` for home channels, and once the channel is over.
    pub fn path_stats(&self, id: ChannelId) -> Option<PathStats> {
        match self.close_reason(id) {
            Some(_) => None,
            None => self.endpoint.path_stats(id),
        }
    }

    /// Closes a channel gracefully, as [`Channel::close`] does.
    pub fn close_channel(&mut self, now: Instant, id: ChannelId, patience: Duration) {
        if let Some(mut channel) = self.command().channel(id) {
            channel.close(now, patience);
        }
        // Who waits to open a stream waits in vain.
        self.waiters.wake_channel(id);
    }

    /// Ends a channel at once, as [`Channel::abort`] does.
    pub fn abort_channel(&mut self, now: Instant, id: ChannelId, code: Code) {
        if let Some(mut channel) = self.command().channel(id) {
            channel.abort(now, code);
        }
    }

    /// Opens a stream, once the other side allows another. Fails for reasons other than
    /// [`Blocked`](OpenStreamError::Blocked) only.
    pub fn open_stream(
        &mut self,
        id: ChannelId,
        direction: Direction,
        label: &[u8],
    ) -> Attempt<Result<StreamId, OpenStreamError>> {
        let opened = match self.live_channel(id) {
            Some(mut channel) => channel.open(direction, label),
            None => Err(OpenStreamError::Closed),
        };
        match opened {
            Ok(stream) => {
                self.waiters.wake_driver();
                self.enter_stream(stream, true, direction == Direction::Bi);
                self.hold_stream(stream);
                Attempt::Done(Ok(stream))
            }
            Err(OpenStreamError::Blocked) => {
                Subject::Channel(id, Topic::Available(direction)).wait()
            }
            Err(error @ (OpenStreamError::LabelTooLong | OpenStreamError::Closed)) => {
                Attempt::Done(Err(error))
            }
        }
    }

    /// The next stream that the other side has opened, and its label. `None` once the channel is over.
    ///
    /// A stream that the other side gave up before is not seen here.
    pub fn accept_stream(&mut self, id: ChannelId) -> Attempt<Option<(StreamId, Bytes)>> {
        let entry = self.channels.get_mut(&id);
        match entry.and_then(|entry| entry.streams.pop_front()) {
            Some((stream, label)) => {
                self.hold_stream(stream);
                Attempt::Done(Some((stream, label)))
            }
            None if self.close_reason(id).is_some() => Attempt::Done(None),
            None => Subject::Channel(id, Topic::Streams).wait(),
        }
    }

    /// Sends bytes that arrive whole or not at all, once there is room. Fails for reasons other than
    /// [`Blocked`](SendDatagramError::Blocked) only.
    pub fn send_datagram(
        &mut self,
        id: ChannelId,
        bytes: Bytes,
    ) -> Attempt<Result<(), SendDatagramError>> {
        let sent = match self.live_channel(id) {
            Some(mut channel) => channel.send_datagram(bytes),
            None => Err(SendDatagramError::Closed),
        };
        match sent {
            Err(SendDatagramError::Blocked) => {
                Subject::Channel(id, Topic::DatagramsWritable).wait()
            }
            Ok(()) | Err(SendDatagramError::TooLarge { .. } | SendDatagramError::Closed) => {
                self.waiters.wake_driver();
                Attempt::Done(sent)
            }
        }
    }

    /// The next datagram. `None` once the channel is over.
    pub fn recv_datagram(&mut self, id: ChannelId) -> Attempt<Option<Bytes>> {
        if self.close_reason(id).is_some() {
            return Attempt::Done(None);
        }
        let received = self
            .live_channel(id)
            .and_then(|mut channel| channel.recv_datagram());
        match received {
            Some(bytes) => Attempt::Done(Some(bytes)),
            None => Subject::Channel(id, Topic::DatagramsReadable).wait(),
        }
    }

    /// How a channel ended, if it has.
    pub(super) fn close_reason(&self, id: ChannelId) -> Option<CloseReason> {
        match self.channels.get(&id) {
            Some(entry) => entry.closed,
            None => Some(CloseReason::Local),
        }
    }

    pub(super) fn release_channel(&mut self, now: Instant, id: ChannelId) {
        let Some(entry) = self.channels.get_mut(&id) else {
            return;
        };
        entry.handles = entry.handles.saturating_sub(1);
        if entry.handles > 0 {
            return;
        }
        if entry.closed.is_some() {
            self.channels.remove(&id);
        } else if !entry.home {
            entry.dropped = true;
            // Nobody will ever accept these, and they must not hold up the end.
            for (stream, _) in std::mem::take(&mut entry.streams) {
                self.discard_stream(stream);
            }
            self.close_channel(now, id, PATIENCE);
        }
    }

    pub(super) fn handle_channel_event(&mut self, id: ChannelId, event: ChannelEvent) {
        match event {
            ChannelEvent::Opened => {
                if let Some(entry) = self.channels.get_mut(&id) {
                    entry.opened = true;
                }
                self.waiters.wake(Subject::Channel(id, Topic::Life));
            }
            ChannelEvent::StreamOpened { stream, label } => match self.channels.get_mut(&id) {
                Some(entry) if !entry.dropped => {
                    entry.streams.push_back((stream, label));
                    self.enter_stream(stream, stream.direction() == Direction::Bi, true);
                    self.waiters.wake(Subject::Channel(id, Topic::Streams));
                }
                Some(_) | None => self.discard_stream(stream),
            },
            ChannelEvent::StreamsWaiting => {}
            ChannelEvent::Readable { stream } => self.waiters.wake(Subject::Recv(stream)),
            ChannelEvent::Writable { stream } => self.waiters.wake(Subject::Send(stream)),
            ChannelEvent::SendEnded { stream, end } => self.end_sending(stream, end),
            ChannelEvent::RecvEnded { stream, end } => {
                self.end_receiving(stream, end);
                self.discard_if_pointless(stream, end);
            }
            ChannelEvent::StreamsAvailable { direction } => {
                let topic = Topic::Available(direction);
                self.waiters.wake(Subject::Channel(id, topic));
            }
            ChannelEvent::DatagramsReadable => {
                let topic = Topic::DatagramsReadable;
                self.waiters.wake(Subject::Channel(id, topic));
            }
            ChannelEvent::DatagramsWritable => {
                let topic = Topic::DatagramsWritable;
                self.waiters.wake(Subject::Channel(id, topic));
            }
            ChannelEvent::PathChanged { .. } => {
                self.waiters.wake(Subject::Channel(id, Topic::Path));
            }
            // Who waits to open a stream waits in vain.
            ChannelEvent::Closing => self.waiters.wake_channel(id),
            ChannelEvent::Closed { reason } => self.end_channel(id, reason),
        }
    }

    fn end_channel(&mut self, id: ChannelId, reason: CloseReason) {
        if let Some(entry) = self.channels.get_mut(&id) {
            entry.end(reason);
            for (stream, _) in std::mem::take(&mut entry.streams) {
                self.sending.remove(&stream);
                self.receiving.remove(&stream);
            }
            if entry.handles == 0 {
                self.channels.remove(&id);
            }
        }
        self.waiters.wake_channel(id);
    }

    /// A stream that ended before anybody accepted it is of no use, except as a signal if it ended regularly. The
    /// other side can make any number of these, as it costs no credit.
    fn discard_if_pointless(&mut self, stream: StreamId, end: RecvEnd) {
        let Some(entry) = self.channels.get_mut(&stream.channel()) else {
            return;
        };
        let signal = end == RecvEnd::Finished && entry.streams.len() <= MAX_SIGNALS;
        if signal || end == RecvEnd::Finished && stream.direction() == Direction::Bi {
            return;
        }
        if let Some(at) = entry.streams.iter().position(|&(id, _)| id == stream) {
            entry.streams.remove(at);
            self.discard_stream(stream);
        }
    }

    /// The halves of a stream, before anybody holds them.
    fn enter_stream(&mut self, id: StreamId, send: bool, recv: bool) {
        if send {
            self.sending.insert(id, Sending::default());
        }
        if recv {
            self.receiving.insert(id, Receiving::default());
        }
    }

    /// Counts a handle for each half of a stream.
    fn hold_stream(&mut self, id: StreamId) {
        // The half that every stream has, and the one to answer on.
        self.hold(Some(id.channel()));
        if id.direction() == Direction::Bi {
            self.hold(Some(id.channel()));
        }
    }

    /// Lets go of a stream that nobody has accepted.
    fn discard_stream(&mut self, id: StreamId) {
        self.sending.remove(&id);
        self.receiving.remove(&id);
        if let Some(mut channel) = self.endpoint.channel(id.channel()) {
            let mut stream = channel.stream(id);
            // Either half may have ended or never been.
            let _ = stream.abandon_send();
            let _ = stream.abandon_recv();
        }
    }

    /// Access to a channel that is not known to be over.
    fn live_channel(&mut self, id: ChannelId) -> Option<Channel<'_>> {
        match self.close_reason(id) {
            Some(_) => None,
            None => self.endpoint.channel(id),
        }
    }
}

/// How many empty streams may wait to be accepted.
const MAX_SIGNALS: usize = 1024;
