//! Data streams: how they are accepted, read and ended.

use std::time::Instant;

use bytes::Bytes;

use super::{ChannelCore, Reading, StreamNotice, count};
use crate::{
    Direction, ErrorCode, RecvEnd, SendEnd, StreamId,
    channel::{
        event::ChannelEvent,
        incoming::Waiting,
        memory::MessageMemory,
        stream::{DataStream, RecvHalf, SendHalf, User},
    },
    error::WireCode,
    transport::{CONTROL, Link, Read},
    util::Bucket,
    wire::{PreambleDecoder, StreamKind},
};

impl ChannelCore {
    pub(super) fn accept_streams(&mut self, link: &mut Link, now: Instant, direction: Direction) {
        if !self.control.ready && direction == Direction::Bi {
            match link.accept(Direction::Bi) {
                Some(CONTROL) => self.control.ready = true,
                Some(_) | None => return,
            }
            // The first bytes of a new stream are not announced.
            self.read_control(link, now);
        }
        let mut accepted = 0;
        // Until the sides know who they are to each other, what the other side opens waits.
        while self.state.carries_data() {
            // And while the application lags behind: streams that were not accepted make no room for others.
            if self.is_full() {
                self.deferred = true;
                return;
            }
            if accepted == ACCEPTED_AT_ONCE {
                (self.deferred, self.reads_on) = (true, true);
                return;
            }
            accepted += 1;
            let free = self.streams_opened.as_mut().map(|it| it.next(now));
            if let Some(at) = free.filter(|&at| at > now) {
                self.accept_at = Some(at);
                return self.set_alarm(link);
            }
            let Some(index) = link.accept(direction) else {
                return;
            };
            if let Some(rate) = self.settings.stream_rate.map(u64::from) {
                let full = || Box::new(Bucket::per_second(rate, rate));
                self.streams_opened.get_or_insert_with(full).take(now, 1);
            }
            self.begin(index, direction);
            self.pump(link, index);
            // What was said of it while it waited was said in vain.
            if direction == Direction::Bi
                && let Some(code) = link.stop_code(index)
            {
                self.stopped(link, index, code);
            }
        }
    }

    /// Takes note of a stream that the other side has opened.
    pub(super) fn begin(&mut self, index: u64, direction: Direction) {
        self.accepted.add(direction);
        let preamble = Some(PreambleDecoder::default());
        let recv = Some(RecvHalf::new(preamble, self.settings.max_message_size()));
        let send = match direction {
            Direction::Bi => Some(SendHalf::default()),
            Direction::Uni => None,
        };
        // Whose it is, its preamble says.
        let stream = DataStream::new(User::Application, send, recv);
        self.streams.insert(index, stream);
        let span = self.stream_id(index).span();
        span.in_scope(|| tracing::trace!("accepted"));
    }

    /// Whether no more streams are accepted: so much waits for the application, about all that the allowed streams can cause,
    /// or there are more than a few and no memory is left.
    pub(super) fn is_full(&self) -> bool {
        let lags_behind = {
            let streams = 1 + self.settings.streams as usize;
            self.events.len() + self.incoming.len() >= EVENTS_PER_STREAM * streams
        };
        lags_behind || self.reading == Reading::Nothing && self.streams.len() >= FEW
    }

    /// The next stream that the other side has opened. What has happened on it is told from now on.
    pub(in crate::channel) fn take_stream(&mut self) -> Option<(StreamId, Bytes)> {
        let Waiting {
            index,
            label,
            send_end,
            recv_end,
        } = self.incoming.pop()?;
        let stream = self.stream_id(index);
        if let Some(stream) = self.streams.get_mut(&index) {
            stream.arrival = None;
        }
        if let Some(end) = send_end {
            self.events
                .push_back(ChannelEvent::SendEnded { stream, end });
        }
        match recv_end {
            Some(end) => self
                .events
                .push_back(ChannelEvent::RecvEnded { stream, end }),
            None => self.tell_readable(index),
        }
        Some((stream, label))
    }

    /// Reads on if no message is there. Tells of those that are, or that there will be no more.
    pub(super) fn pump(&mut self, link: &mut Link, index: u64) {
        self.read_ahead(link, index);
        if self
            .recv_half(self.stream_id(index))
            .is_some_and(|it| it.is_over())
        {
            self.end_unannounced_send(link, index);
        }
        self.settle_recv(index);
    }

    /// Takes note of what has become of a receiving half, and tells it.
    pub(super) fn settle_recv(&mut self, index: u64) {
        let Some(recv) = self.recv_half(self.stream_id(index)) else {
            return;
        };
        match recv.end {
            Some(end) if recv.is_over() => self.end_recv(index, end),
            Some(_) | None => {
                let (before, now) = recv.weigh();
                self.keeps_buffers |= recv.keeps_buffers();
                self.memory.replace(before, now);
                self.tell_readable(index);
            }
        }
    }

    /// Keeps no memory for messages to come.
    pub(super) fn rest(&mut self) {
        if std::mem::take(&mut self.keeps_buffers) {
            for recv in self.streams.values_mut().flat_map(|it| &mut it.recv) {
                recv.rest();
                let (before, now) = recv.weigh();
                self.memory.replace(before, now);
            }
        }
    }

    fn read_ahead(&mut self, link: &mut Link, index: u64) {
        let unread = self.unread_size(index);
        if self.wants_message(index, |recv| recv.expects() < unread) {
            self.read(link, index, |recv| {
                recv.wants_more() && recv.expects() < unread
            });
        }
        if self.wants_message(index, |recv| recv.expects() >= unread) {
            self.held_back.insert(index, unread);
        } else if self.wants_message(index, |recv| !recv.wants_more()) {
            self.held_back.insert(index, 0);
            self.reads_on = true;
        }
    }

    /// Whether a message of a stream is wanted, and what comes is so.
    fn wants_message(&mut self, index: u64, is: impl FnOnce(&RecvHalf) -> bool) -> bool {
        let recv = self.recv_half(self.stream_id(index));
        recv.is_some_and(|it| it.wants_message() && is(it))
    }

    /// Reads a stream as long as `more` is wanted.
    pub(super) fn read(&mut self, link: &mut Link, index: u64, more: impl Fn(&RecvHalf) -> bool) {
        let is_bi = self.stream_id(index).direction() == Direction::Bi;
        let Some(stream) = self.streams.get_mut(&index) else {
            return;
        };
        let Some(recv) = stream.recv.as_mut().filter(|it| it.end.is_none()) else {
            return;
        };
        recv.begin_reading();
        let lagged = recv.lagged();
        let (mut fault, mut begun) = (None, None);
        let read = link.read(index, |mut bytes| {
            self.received += bytes.len() as u64;
            if let Some(preamble) = &mut recv.preamble {
                match preamble.feed(&mut bytes) {
                    Ok(None) => return true,
                    Ok(Some((kind, label)))
                        if kind == StreamKind::Data || self.settings.takes_members && is_bi =>
                    {
                        recv.preamble = None;
                        stream.user = User::of(kind);
                        let early_end = stream.early_end.take();
                        match kind {
                            StreamKind::Data => {
                                stream.arrival = Some(self.incoming.push(index, label, early_end));
                            }
                            StreamKind::Membership => begun = Some((label, early_end)),
                        }
                    }
                    Ok(Some((StreamKind::Data | StreamKind::Membership, _))) => {
                        fault = Some((RecvEnd::Refused(ErrorCode::Protocol), ErrorCode::Protocol))
                    }
                    Err(_) => {
                        fault = Some((RecvEnd::Refused(ErrorCode::Protocol), ErrorCode::Protocol))
                    }
                }
            }
            if fault.is_none() && recv.feed(bytes).is_err() {
                fault = Some((RecvEnd::TooLarge, ErrorCode::TooLarge));
            }
            fault.is_none() && more(recv)
        });
        count(&mut self.messages_dropped, recv.lagged() - lagged);
        recv.end = match (fault, read) {
            (Some((end, code)), _) => {
                link.stop(index, code.into());
                Some(end)
            }
            (None, Read::Enough | Read::Blocked) => None,
            (None, Read::Finished) if recv.preamble.is_some() => {
                Some(RecvEnd::Refused(ErrorCode::Protocol))
            }
            (None, Read::Finished) if recv.is_at_boundary() => Some(RecvEnd::Finished),
            (None, Read::Finished) => Some(RecvEnd::Truncated),
            (None, Read::Reset(WireCode::Application(code))) => Some(RecvEnd::Reset(code)),
            (None, Read::Reset(WireCode::Protocol(code))) => Some(RecvEnd::Refused(code)),
        };
        if let Some((group, early_end)) = begun {
            self.membership_begun(index, group, early_end);
        }
    }

    /// Those that came before the sides knew who they are to each other wait until they do.
    pub(super) fn announce_datagrams(&mut self) {
        if self.state.carries_data() && self.datagrams.announce() {
            self.events.push_back(ChannelEvent::DatagramsReadable);
        }
    }

    fn tell_readable(&mut self, index: u64) {
        let stream = self.stream_id(index);
        if let Some(DataStream {
            recv: Some(recv),
            arrival: None,
            ..
        }) = self.streams.get_mut(&index)
            && recv.has_message()
            && !std::mem::replace(&mut recv.readable_queued, true)
        {
            self.tell_of(stream, StreamNotice::Readable);
        }
    }

    /// The other side wants no more on a stream.
    pub(super) fn stopped(&mut self, link: &mut Link, index: u64, code: WireCode) {
        // The engine counts a stream only once it is accepted: before, it must not be reset.
        if !self.streams.contains_key(&index) {
            return;
        }
        // The engine leaves the reset to us.
        link.reset(index, code);
        let end = match code {
            WireCode::Application(code) => SendEnd::Stopped(code),
            WireCode::Protocol(code) => SendEnd::Refused(code),
        };
        self.end_send(index, end);
    }

    pub(super) fn flushed(&mut self, index: u64) {
        let stream = self.stream_id(index);
        if let Some(send) = self.send_half(stream)
            && std::mem::take(&mut send.blocked)
            && !std::mem::replace(&mut send.writable_queued, true)
        {
            self.tell_of(stream, StreamNotice::Writable);
        }
    }

    /// Nobody will ever send on a stream that ended before the application heard of it.
    fn end_unannounced_send(&mut self, link: &mut Link, index: u64) {
        if let Some(stream) = self.streams.get_mut(&index)
            && !stream.is_labelled()
            && stream.send.take().is_some()
        {
            link.reset(index, ErrorCode::Dropped.into());
        }
    }

    pub(super) fn end_send(&mut self, index: u64, end: SendEnd) {
        let id = self.stream_id(index);
        if let Some(stream) = self.streams.get_mut(&index)
            && stream.send.take().is_some()
        {
            id.span()
                .in_scope(|| tracing::trace!(?end, "sending is over"));
            if let Some(arrival) = stream.arrival {
                if let Some(waiting) = self.incoming.get_mut(arrival) {
                    waiting.send_end = Some(end);
                }
            } else if stream.is_labelled() {
                self.tell_of(id, StreamNotice::SendEnded(end));
            } else {
                stream.early_end = Some(end);
            }
            self.forget_if_over(index);
        }
    }

    pub(super) fn end_recv(&mut self, index: u64, end: RecvEnd) {
        let id = self.stream_id(index);
        if let Some(stream) = self.streams.get_mut(&index) {
            let (labelled, arrival) = (stream.is_labelled(), stream.arrival);
            let ended = stream.recv.take();
            if ended.is_some() {
                id.span()
                    .in_scope(|| tracing::trace!(?end, "receiving is over"));
            }
            let gone = ended.as_ref().map(|recv| recv.memory).unwrap_or_default();
            self.memory.replace(gone, MessageMemory::default());
            self.held_back.remove(&index);
            if let Some(waiting) = arrival.and_then(|arrival| self.incoming.get_mut(arrival)) {
                if ended.is_some() {
                    waiting.recv_end = Some(end);
                }
            } else if ended.is_some() && labelled {
                self.tell_of(id, StreamNotice::RecvEnded(end));
            }
            self.forget_if_over(index);
        }
    }

    fn forget_if_over(&mut self, index: u64) {
        if self.streams.get(&index).is_some_and(DataStream::is_over) {
            self.streams.remove(&index);
        }
    }

    pub(super) fn stream_id(&self, index: u64) -> StreamId {
        StreamId {
            channel: self.id,
            index,
        }
    }

    pub(super) fn send_half(&mut self, id: StreamId) -> Option<&mut SendHalf> {
        self.stream(id)?.send.as_mut()
    }

    pub(super) fn recv_half(&mut self, id: StreamId) -> Option<&mut RecvHalf> {
        self.stream(id)?.recv.as_mut()
    }

    fn stream(&mut self, id: StreamId) -> Option<&mut DataStream> {
        self.streams
            .get_mut(&id.index)
            .filter(|_| id.channel == self.id)
    }
}

/// Events that wait, for each stream that is allowed, before no more streams are accepted.
const EVENTS_PER_STREAM: usize = 4;
/// How many streams are accepted before memory is looked at again.
const ACCEPTED_AT_ONCE: usize = 32;
/// So many streams each channel may have, however little memory is left.
const FEW: usize = 8;
