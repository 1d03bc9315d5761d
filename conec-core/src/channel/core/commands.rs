//! What the application calls, through the handles.

use std::{
    collections::VecDeque,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{ChannelCore, count};
use crate::{
    ChannelStats, CloseReason, CongestionControl, Direction, ErrorCode, OpenStreamError, RecvEnd,
    RecvError, SendBatchError, SendDatagramError, SendEnd, SendError, StreamEnded, StreamId,
    channel::{
        Batch, Lossy,
        stream::{DataStream, RecvHalf, SendHalf, User},
    },
    error::WireCode,
    transport::Link,
    wire::{MAX_LABEL, StreamKind, encode_preamble, frame_header},
};

impl ChannelCore {
    pub(in crate::channel) fn open_stream(
        &mut self,
        link: &mut Link,
        direction: Direction,
        label: &[u8],
    ) -> Result<StreamId, OpenStreamError> {
        if !self.state.is_open() {
            return Err(OpenStreamError::Closed);
        }
        if label.len() > MAX_LABEL {
            return Err(OpenStreamError::LabelTooLong);
        }
        self.open_as(link, direction, StreamKind::Data, label)
            .ok_or_else(|| {
                if !std::mem::replace(&mut self.open_blocked[direction as usize], true) {
                    tracing::debug!(?direction, "the other side allows no more streams for now");
                }
                OpenStreamError::Blocked
            })
    }

    /// Opens a stream, if the other side allows another.
    pub(super) fn open_as(
        &mut self,
        link: &mut Link,
        direction: Direction,
        kind: StreamKind,
        label: &[u8],
    ) -> Option<StreamId> {
        let index = link.open(direction)?;
        self.opened.add(direction);
        link.write(index, &[], encode_preamble(kind, label));
        let recv = match direction {
            Direction::Bi => Some(RecvHalf::new(None, self.settings.max_message_size())),
            Direction::Uni => None,
        };
        let send = Some(SendHalf::default());
        let stream = DataStream::new(User::of(kind), send, recv);
        self.streams.insert(index, stream);
        let id = self.stream_id(index);
        id.span().in_scope(|| tracing::trace!(?kind, "opened"));
        Some(id)
    }

    pub(in crate::channel) fn available_streams(&self, link: &Link, direction: Direction) -> u64 {
        match self.state.is_open() {
            true => link.available(direction),
            false => 0,
        }
    }

    pub(in crate::channel) fn poll_ready(
        &mut self,
        link: &mut Link,
        id: StreamId,
    ) -> Poll<Result<(), StreamEnded>> {
        let limit = self.settings.send_buffer();
        let send = self.unfinished(id)?;
        if link.backlog(id.index) >= limit {
            send.blocked = true;
            // Half empty, so that news does not come for every packet.
            link.notify_below(id.index, limit.div_ceil(2));
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    pub(in crate::channel) fn send(
        &mut self,
        link: &mut Link,
        id: StreamId,
        message: Bytes,
    ) -> Result<(), SendError> {
        let max = self.settings.max_message_size();
        if message.len() > max {
            return Err(SendError::TooLarge { max });
        }
        if self.poll_ready(link, id)?.is_pending() {
            return Err(SendError::Blocked);
        }
        link.write(id.index, &frame_header(message.len()), message);
        Ok(())
    }

    pub(in crate::channel) fn batch(&self) -> Batch {
        Batch::new(self.settings.max_message_size())
    }

    pub(in crate::channel) fn send_batch(
        &mut self,
        link: &mut Link,
        id: StreamId,
        batch: &mut Batch,
    ) -> Result<(), SendBatchError> {
        batch.check(self.settings.max_message_size())?;
        self.unfinished(id)?;
        link.write_gathered(id.index, &mut batch.messages);
        Ok(())
    }

    pub(in crate::channel) fn set_priority(
        &mut self,
        link: &mut Link,
        id: StreamId,
        priority: i8,
    ) -> Result<(), StreamEnded> {
        self.send_half(id).ok_or(StreamEnded)?;
        link.set_priority(id.index, priority);
        Ok(())
    }

    pub(in crate::channel) fn finish(
        &mut self,
        link: &mut Link,
        id: StreamId,
    ) -> Result<(), StreamEnded> {
        self.unfinished(id)?.finished = true;
        link.finish(id.index);
        Ok(())
    }

    pub(in crate::channel) fn reset(
        &mut self,
        link: &mut Link,
        id: StreamId,
        code: WireCode,
    ) -> Result<(), StreamEnded> {
        self.send_half(id).ok_or(StreamEnded)?;
        link.reset(id.index, code);
        self.end_send(id.index, SendEnd::Reset);
        Ok(())
    }

    pub(in crate::channel) fn recv(
        &mut self,
        link: Option<&mut Link>,
        id: StreamId,
    ) -> Result<Bytes, RecvError> {
        let recv = self.recv_half(id).ok_or(RecvError::Ended)?;
        recv.tell_lagged()?;
        let message = recv.pop().ok_or(RecvError::Blocked)?;
        self.go_on(link, id.index);
        Ok(message)
    }

    pub(in crate::channel) fn recv_batch(
        &mut self,
        link: Option<&mut Link>,
        id: StreamId,
    ) -> Result<VecDeque<Bytes>, RecvError> {
        let recv = self.recv_half(id).ok_or(RecvError::Ended)?;
        recv.tell_lagged()?;
        let messages = recv.pop_all().ok_or(RecvError::Blocked)?;
        self.go_on(link, id.index);
        Ok(messages)
    }

    pub(in crate::channel) fn set_lossy(
        &mut self,
        link: Option<&mut Link>,
        id: StreamId,
        lossy: Option<Lossy>,
    ) -> Result<(), StreamEnded> {
        let recv = self.recv_half(id).ok_or(StreamEnded)?;
        let lagged = recv.lagged();
        recv.set_lossy(lossy);
        let dropped = recv.lagged() - lagged;
        count(&mut self.messages_dropped, dropped);
        // What was left of it may be wanted now, or not any more.
        self.held_back.remove(&id.index);
        self.go_on(link, id.index);
        Ok(())
    }

    pub(in crate::channel) fn put_back(
        &mut self,
        id: StreamId,
        messages: &mut VecDeque<Bytes>,
    ) -> Result<(), StreamEnded> {
        let recv = self.recv_half(id).ok_or(StreamEnded)?;
        let lagged = recv.lagged();
        recv.put_back(messages);
        let dropped = recv.lagged() - lagged;
        count(&mut self.messages_dropped, dropped);
        self.settle_recv(id.index);
        Ok(())
    }

    pub(in crate::channel) fn stop(
        &mut self,
        link: Option<&mut Link>,
        id: StreamId,
        code: WireCode,
    ) -> Result<(), StreamEnded> {
        self.recv_half(id).ok_or(StreamEnded)?;
        if let Some(link) = link {
            link.stop(id.index, code);
        }
        self.end_recv(id.index, RecvEnd::Stopped);
        Ok(())
    }

    pub(in crate::channel) fn send_datagram(
        &mut self,
        link: &mut Link,
        bytes: Bytes,
    ) -> Result<(), SendDatagramError> {
        if !self.state.carries_data() {
            return Err(SendDatagramError::Closed);
        }
        let sent = link.send_datagram(bytes);
        self.datagrams_blocked |= sent == Err(SendDatagramError::Blocked);
        sent
    }

    pub(in crate::channel) fn recv_datagram(&mut self) -> Option<Bytes> {
        if self.state.carries_data() {
            self.datagrams.pop()
        } else {
            None
        }
    }

    /// A channel that has no link yet gets one with this choice.
    pub(in crate::channel) fn set_congestion(
        &mut self,
        link: Option<&Link>,
        choice: CongestionControl,
    ) {
        if self.settings.congestion != choice {
            tracing::debug!(?choice, "another congestion control");
        }
        self.settings.congestion = choice;
        if let Some(link) = link {
            link.set_congestion(choice);
        }
    }

    pub(in crate::channel) fn stats(&self, link: &mut Link) -> ChannelStats {
        let mut stats = link.stats();
        stats.streams_open = self.streams.len();
        stats.messages_dropped = self.messages_dropped.into();
        stats.datagrams.displaced += self.datagrams.displaced();
        stats
    }

    pub(crate) fn close(&mut self, link: &mut Link, now: Instant, patience: Duration) {
        if self.state.is_setup() {
            let code = ErrorCode::Dropped.into();
            link.close(now, code, CloseReason::Local);
        } else if self.state.close() {
            self.send_closing(link);
        }
        // As far ahead as the clock can tell, if that is further than it can.
        self.close_at = now.checked_add(patience);
        self.set_alarm(link);
    }

    /// Messages of a stream were taken, or more of them are.
    fn go_on(&mut self, link: Option<&mut Link>, index: u64) {
        match link {
            Some(link) => self.pump(link, index),
            None => self.settle_recv(index),
        }
    }

    /// A half on which more can be sent.
    fn unfinished(&mut self, id: StreamId) -> Result<&mut SendHalf, StreamEnded> {
        let send = self.send_half(id).filter(|send| !send.finished);
        send.ok_or(StreamEnded)
    }
}
