//! What the handles of channels do.

use std::time::{Duration, Instant};

use bytes::Bytes;
use conec_core::{
    Channel, ChannelId, CloseReason, Direction, Endpoint, Path, PeerInfo, RecvEnd, StreamId,
};

use super::{
    State,
    state::{Held, PATIENCE, Sending},
    waiters::{Subject, Topic},
};
use crate::{OpenStreamError, SendDatagramError};

// What the handles call.
impl<E: Endpoint + ?Sized> State<E> {
    pub(crate) fn peer(&self, id: ChannelId) -> Option<PeerInfo> {
        self.channels.get(&id)?.peer.clone()
    }

    /// How a channel ended, if it has.
    pub(crate) fn close_reason(&self, id: ChannelId) -> Option<CloseReason> {
        match self.channels.get(&id) {
            Some(held) => held.closed,
            None => Some(CloseReason::Local),
        }
    }

    /// Access to a channel that is not known to be over.
    pub(crate) fn live_channel(&mut self, id: ChannelId) -> Option<Channel<'_>> {
        match self.close_reason(id) {
            Some(_) => None,
            None => self.endpoint.channel(id),
        }
    }

    /// Whether a channel is open, or over.
    pub(crate) fn opened(&self, id: ChannelId) -> Result<Result<(), CloseReason>, Subject> {
        match (self.close_reason(id), self.channels.get(&id)) {
            (Some(reason), _) => Ok(Err(reason)),
            (None, Some(Held { opened: true, .. })) => Ok(Ok(())),
            (None, _) => Err(Subject::Channel(id, Topic::Life)),
        }
    }

    /// Whether a channel is over.
    pub(crate) fn closed(&self, id: ChannelId) -> Result<CloseReason, Subject> {
        let life = Subject::Channel(id, Topic::Life);
        self.close_reason(id).ok_or(life)
    }

    pub(crate) fn path(&mut self, id: ChannelId) -> Path {
        let channel = self.live_channel(id);
        channel.map_or(Path::Proxied, |channel| channel.path())
    }

    pub(crate) fn path_other_than(
        &mut self,
        id: ChannelId,
        known: Path,
    ) -> Result<Option<Path>, Subject> {
        match self.live_channel(id).map(|channel| channel.path()) {
            Some(path) if path == known => Err(Subject::Channel(id, Topic::Path)),
            path => Ok(path),
        }
    }

    pub(crate) fn is_silent(&mut self, id: ChannelId) -> bool {
        let channel = self.live_channel(id);
        channel.is_some_and(|channel| channel.is_silent())
    }

    /// Whether the other side is silent, or is not; the reason if the channel is over.
    pub(crate) fn presence(
        &mut self,
        id: ChannelId,
        silent: bool,
    ) -> Result<Result<(), CloseReason>, Subject> {
        match self.close_reason(id) {
            Some(reason) => Ok(Err(reason)),
            None if self.is_silent(id) == silent => Ok(Ok(())),
            None => Err(Subject::Channel(id, Topic::Presence)),
        }
    }

    /// Closes a channel gracefully, as [`Channel::close`] does.
    pub(crate) fn close_channel(&mut self, now: Instant, id: ChannelId, patience: Duration) {
        self.command(|endpoint| {
            if let Some(mut channel) = endpoint.channel(id) {
                channel.close(now, patience);
            }
        });
        // Calls that wait to open a stream fail now.
        self.waiters.wake_channel(id);
    }

    /// Opens a stream, once the other side allows another.
    pub(crate) fn open_stream(
        &mut self,
        id: ChannelId,
        direction: Direction,
        label: &[u8],
    ) -> Result<Result<StreamId, OpenStreamError>, Subject> {
        let opened = match self.live_channel(id) {
            Some(mut channel) => channel.open(direction, label),
            None => Err(conec_core::OpenStreamError::Closed),
        };
        match opened {
            Ok(stream) => {
                self.waiters.wake_driver();
                self.hold_stream(stream, true, direction == Direction::Bi);
                Ok(Ok(stream))
            }
            Err(conec_core::OpenStreamError::Blocked) => {
                Err(Subject::Channel(id, Topic::Available(direction)))
            }
            Err(conec_core::OpenStreamError::LabelTooLong) => {
                Ok(Err(OpenStreamError::LabelTooLong))
            }
            Err(_) => Ok(Err(OpenStreamError::Closed)),
        }
    }

    /// The next stream that the other side has opened, and not given up meanwhile. Some may be left of a channel that is over.
    pub(crate) fn accept_stream(
        &mut self,
        id: ChannelId,
    ) -> Result<Option<(StreamId, Bytes)>, Subject> {
        while let Some((stream, label)) = self.next_stream(id) {
            // The engine may take another one now.
            self.waiters.wake_driver();
            self.hold_stream(stream, stream.direction() == Direction::Bi, true);
            self.settle();
            match self.recv_end(stream) {
                Some(RecvEnd::Reset(_) | RecvEnd::Refused(_)) => self.discard_held(stream),
                Some(_) | None => return Ok(Some((stream, label))),
            }
        }
        let over = self.close_reason(id);
        over.map(|_| None)
            .ok_or(Subject::Channel(id, Topic::Streams))
    }

    fn next_stream(&mut self, id: ChannelId) -> Option<(StreamId, Bytes)> {
        let over = self.close_reason(id).is_some();
        let channel = self.endpoint.channel(id);
        channel.filter(|it| !over || it.has_ended())?.accept()
    }

    /// Sends bytes that arrive whole or not at all, once there is room.
    pub(crate) fn send_datagram(
        &mut self,
        id: ChannelId,
        bytes: Bytes,
    ) -> Result<Result<(), SendDatagramError>, Subject> {
        let sent = match self.live_channel(id) {
            Some(mut channel) => channel.send_datagram(bytes),
            None => Err(conec_core::SendDatagramError::Closed),
        };
        match sent {
            Ok(()) => {
                self.waiters.wake_driver();
                Ok(Ok(()))
            }
            Err(conec_core::SendDatagramError::Blocked) => {
                Err(Subject::Channel(id, Topic::DatagramsWritable))
            }
            Err(conec_core::SendDatagramError::TooLarge { max }) => {
                Ok(Err(SendDatagramError::TooLarge { max }))
            }
            Err(_) => Ok(Err(SendDatagramError::Closed)),
        }
    }

    /// The next datagram. `None` once the channel is over.
    pub(crate) fn recv_datagram(&mut self, id: ChannelId) -> Result<Option<Bytes>, Subject> {
        if self.close_reason(id).is_some() {
            return Ok(None);
        }
        let received = self.live_channel(id).and_then(|mut it| it.recv_datagram());
        received
            .map(Some)
            .ok_or(Subject::Channel(id, Topic::DatagramsReadable))
    }
}

// What the endpoint tells, and what follows from it.
impl<E: Endpoint + ?Sized> State<E> {
    pub(super) fn channel_opened(&mut self, id: ChannelId) {
        if let Some(held) = self.channels.get_mut(&id) {
            held.opened = true;
            if !held.home {
                held.peer = self.endpoint.peer(id);
            }
        }
        self.waiters.wake(Subject::Channel(id, Topic::Life));
    }

    pub(super) fn channel_closed(&mut self, id: ChannelId, reason: CloseReason) {
        if let Some(held) = self.channels.get_mut(&id) {
            held.closed.get_or_insert(reason);
            if held.handles == 0 {
                self.channels.remove(&id);
            }
        }
        if !self.channels.contains_key(&id) {
            self.discard_streams(id);
        }
        self.waiters.wake_channel(id);
        // If it is the home channel, no more offers come.
        self.waiters.wake(Subject::Application);
    }

    pub(super) fn streams_waiting(&mut self, id: ChannelId) {
        match self.channels.get(&id) {
            Some(held) if held.handles == 0 => self.discard_streams(id),
            // Without a handle to it, a home channel's streams wait.
            Some(_) | None => self.waiters.wake(Subject::Channel(id, Topic::Streams)),
        }
    }

    pub(super) fn streams_available(&mut self, id: ChannelId, direction: Direction) {
        let channel = self.live_channel(id);
        let count = channel.map_or(0, |channel| channel.available_streams(direction));
        // One more than there are: whoever finds none has the core announce the next.
        let count = usize::try_from(count).map_or(usize::MAX, |count| count.saturating_add(1));
        let available = Subject::Channel(id, Topic::Available(direction));
        self.waiters.wake_first(available, count);
    }

    /// A handle is gone. With the last one, the channel is closed.
    pub(super) fn release_channel(&mut self, now: Instant, id: ChannelId) {
        let Some(held) = self.channels.get_mut(&id) else {
            return;
        };
        held.handles -= 1;
        if held.handles > 0 {
            return;
        }
        if held.closed.is_some() {
            self.channels.remove(&id);
            self.discard_streams(id);
            self.settle();
        } else if held.home {
            self.channels.remove(&id);
        } else {
            // Nobody will ever accept these, and they must not hold up the end.
            self.discard_streams(id);
            self.close_channel(now, id, PATIENCE);
        }
    }

    /// Abandons the streams that nobody has accepted.
    fn discard_streams(&mut self, id: ChannelId) {
        let Some(mut channel) = self.endpoint.channel(id) else {
            return;
        };
        while let Some((stream, _)) = channel.accept() {
            let mut stream = channel.stream(stream);
            // Either half may have ended, or not exist.
            let _ = stream.abandon_send();
            let _ = stream.abandon_recv();
        }
    }

    /// Abandons a stream before anybody has a handle to it.
    fn discard_held(&mut self, id: StreamId) {
        self.sending.remove(&id);
        self.receiving.remove(&id);
        if let Some(mut channel) = self.endpoint.channel(id.channel()) {
            // It may have ended.
            let _ = channel.stream(id).abandon_send();
        }
    }

    /// The halves of a stream, each of which somebody holds.
    fn hold_stream(&mut self, id: StreamId, send: bool, recv: bool) {
        if send {
            self.sending.insert(id, Sending::default());
        }
        if recv {
            self.receiving.insert(id, None);
        }
    }
}
