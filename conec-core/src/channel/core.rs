//! A channel's streams and how they react to the link.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    bucket::Bucket,
    datagrams::Datagrams,
    event::{ChannelEvent, Path},
    state::State,
    stream::{DataStream, RecvHalf, SendHalf},
};
use crate::{
    ChannelConfig, ChannelId, CloseReason, Direction, ErrorCode, OpenStreamError, RecvEnd,
    RecvError, SendDatagramError, SendEnd, SendError, StreamId, Violation,
    error::WireCode,
    transport::{CONTROL, Link, LinkEvent, Read},
    wire::{
        ChannelMessage, FrameDecoder, MAX_CONTROL, MAX_LABEL, PreambleDecoder, encode_preamble,
        frame_header,
    },
};

/// What the channel's owner has to deal with.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The link's handshake is complete.
    Connected { identity: Option<crate::ClientId> },
    /// A control message that is not about the channel itself.
    Control(Bytes),
    /// The other side wants to close the channel.
    Closing,
    /// The channel is over; [`ChannelEvent::Closed`] is queued.
    Ended(CloseReason),
}

/// The state of a channel, apart from its link.
#[derive(Debug)]
pub(crate) struct ChannelCore {
    id: ChannelId,
    config: ChannelConfig,
    state: State,
    path: Path,
    control: Control,
    streams: BTreeMap<u64, DataStream>,
    /// Bytes of messages that have arrived in part, or wait to be received.
    memory: usize,
    /// How many data streams were opened here, and accepted from the other side.
    opened: Counts,
    accepted: Counts,
    /// Opening was blocked, and the application waits to hear that it is not.
    open_blocked: [bool; 2],
    datagrams: Datagrams,
    datagrams_blocked: bool,
    /// How fast the other side may open streams, if that is bounded.
    stream_rate: Option<Bucket>,
    /// Streams wait to be accepted until the application has taken events.
    deferred: bool,
    /// Streams wait to be accepted until then, as they came too fast.
    accept_at: Option<Instant>,
    /// When a graceful end has taken too long.
    close_at: Option<Instant>,
    /// Something that the channel knows nothing of must end first.
    held_open: bool,
    notices: VecDeque<Notice>,
    events: VecDeque<ChannelEvent>,
}

#[derive(Debug)]
struct Control {
    /// Whether the other side's control stream was accepted, or ours opened.
    ready: bool,
    decoder: FrameDecoder,
    /// There may be more to read, once there is room for what comes of it.
    paused: bool,
    /// How fast messages may come.
    rate: Option<Bucket>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    bi: u64,
    uni: u64,
}

impl Counts {
    fn add(&mut self, direction: Direction) {
        match direction {
            Direction::Bi => self.bi += 1,
            Direction::Uni => self.uni += 1,
        }
    }
}

/// Bytes of control messages that may wait for the other side to read them before no more of its own are read.
const MAX_ANSWERS: usize = 64 << 10;
/// Control messages that are read before those read are dealt with.
const MAX_NOTICES: usize = 64;

// What the owner of a channel calls.
impl ChannelCore {
    pub(crate) fn new(id: ChannelId, config: &ChannelConfig, rate: Option<Bucket>) -> Self {
        Self {
            id,
            config: config.clone(),
            state: State::new(),
            path: Path::Proxied,
            control: Control {
                ready: false,
                decoder: FrameDecoder::new(MAX_CONTROL),
                paused: false,
                rate,
            },
            streams: BTreeMap::new(),
            memory: 0,
            opened: Counts::default(),
            accepted: Counts::default(),
            open_blocked: [false; 2],
            datagrams: Datagrams::new(config.datagram_buffer),
            datagrams_blocked: false,
            stream_rate: config
                .stream_rate
                .map(|rate| Bucket::per_second(rate.into(), rate.into())),
            deferred: false,
            accept_at: None,
            close_at: None,
            held_open: false,
            notices: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    pub(crate) fn id(&self) -> ChannelId {
        self.id
    }

    /// Bytes taken by messages that have arrived in part, or wait to be received.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state.is_open()
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.state.is_ended()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.state.is_closing()
    }

    /// Opens the control stream. For the side that is the QUIC client, once connected.
    pub(crate) fn open_control(&mut self, link: &mut Link) {
        let opened = link.open(Direction::Bi);
        // The other side may have closed it in the same breath.
        debug_assert!(
            opened == Some(CONTROL) || link.is_closed(),
            "the first stream of a connected link"
        );
        self.control.ready = true;
    }

    /// Sends a control message.
    pub(crate) fn send_control(&self, link: &mut Link, payload: Bytes) {
        link.write(CONTROL, &frame_header(payload.len()), payload);
    }

    /// Data streams may be used from now on.
    pub(crate) fn open(&mut self, link: &mut Link, now: Instant) {
        if self.state.open() {
            self.events.push_back(ChannelEvent::Opened);
            self.accept_streams(link, now, Direction::Bi);
            self.accept_streams(link, now, Direction::Uni);
            self.announce_datagrams();
        }
    }

    /// Ends a channel that has no link.
    pub(crate) fn abandon(&mut self, reason: CloseReason) {
        self.end(reason);
    }

    /// What is sent travels on another path now.
    pub(crate) fn path_changed(&mut self, path: Path, rtt: Duration) {
        if self.state.is_ended() {
            return;
        }
        self.path = path;
        // Only the latest is of interest to an application that lags behind.
        let stale = |event: &ChannelEvent| matches!(event, ChannelEvent::PathChanged { .. });
        self.events.retain(|event| !stale(event));
        self.events
            .push_back(ChannelEvent::PathChanged { path, rtt });
    }

    pub(super) fn path(&self) -> Path {
        self.path
    }

    /// Whether something else keeps the channel from closing gracefully.
    pub(crate) fn hold_open(&mut self, link: &mut Link, held: bool) {
        self.held_open = held;
        self.drain(link);
    }

    /// Does what the application has made possible, by taking events or by what it did through handles.
    pub(crate) fn resume(&mut self, link: &mut Link, now: Instant) {
        if self.has_room() {
            self.deferred = false;
            self.accept_streams(link, now, Direction::Bi);
            self.accept_streams(link, now, Direction::Uni);
        }
        self.drain(link);
    }

    /// Whether streams wait to be accepted that now can be.
    pub(crate) fn has_room(&self) -> bool {
        self.deferred && self.events.len() < self.max_events()
    }

    /// Takes the next step towards a graceful end, if there is one to take.
    fn drain(&mut self, link: &mut Link) {
        if !self.state.is_closing() || link.is_closed() {
            return;
        }
        let accepted = (self.accepted.bi, self.accepted.uni);
        if self.streams.is_empty() && !self.held_open && self.state.drain(accepted) {
            tracing::trace!(channel = ?self.id, "drained");
            self.send_control(link, ChannelMessage::Drained.encode());
        }
    }

    /// The other side broke the protocol.
    pub(crate) fn violate(&self, link: &mut Link, now: Instant, violation: Violation) {
        tracing::debug!(channel = ?self.id, %violation, "closing the channel");
        let code = violation.code().into();
        link.close(now, code, CloseReason::Violation(violation));
    }

    /// The next thing to deal with. Once all are dealt with, and their answers are on the way, more is read.
    pub(crate) fn poll_notice(&mut self, link: Option<&mut Link>, now: Instant) -> Option<Notice> {
        if self.notices.is_empty()
            && self.control.paused
            && let Some(link) = link
        {
            self.read_control(link, now);
        }
        self.notices.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<ChannelEvent> {
        let event = self.events.pop_front()?;
        match &event {
            ChannelEvent::Readable { stream } => {
                if let Some(recv) = self.recv_half(*stream) {
                    recv.readable_queued = false;
                }
            }
            ChannelEvent::Writable { stream } => {
                if let Some(send) = self.send_half(*stream) {
                    send.writable_queued = false;
                }
            }
            ChannelEvent::DatagramsReadable => self.datagrams.announced = false,
            ChannelEvent::Opened
            | ChannelEvent::StreamOpened { .. }
            | ChannelEvent::SendEnded { .. }
            | ChannelEvent::RecvEnded { .. }
            | ChannelEvent::StreamsAvailable { .. }
            | ChannelEvent::DatagramsWritable
            | ChannelEvent::PathChanged { .. }
            | ChannelEvent::Closing
            | ChannelEvent::Closed { .. } => {}
        }
        Some(event)
    }

    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    pub(crate) fn handle_link_event(&mut self, link: &mut Link, now: Instant, event: LinkEvent) {
        match event {
            // For the owner alone.
            LinkEvent::Accepted | LinkEvent::Moved(_) | LinkEvent::Silent => {}
            LinkEvent::Connected { identity } => {
                self.notices.push_back(Notice::Connected { identity });
            }
            LinkEvent::Opened(direction) => self.accept_streams(link, now, direction),
            LinkEvent::Readable(CONTROL) => self.read_control(link, now),
            LinkEvent::Readable(stream) => self.pump(link, stream),
            LinkEvent::Flushed(CONTROL) => self.read_control(link, now),
            LinkEvent::Flushed(stream) => self.flushed(stream),
            LinkEvent::Finished(stream) => self.end_send(stream, SendEnd::Finished),
            LinkEvent::Stopped(CONTROL, _) => self.violate(link, now, Violation::ControlStream),
            LinkEvent::Stopped(stream, code) => self.stopped(link, stream, code),
            LinkEvent::Available(direction) => {
                if std::mem::take(&mut self.open_blocked[direction as usize]) {
                    self.events
                        .push_back(ChannelEvent::StreamsAvailable { direction });
                }
            }
            LinkEvent::DatagramReceived => {
                while let Some(datagram) = link.recv_datagram() {
                    self.datagrams.push(&datagram);
                }
                self.announce_datagrams();
            }
            LinkEvent::DatagramsWritable => {
                if std::mem::take(&mut self.datagrams_blocked) {
                    self.events.push_back(ChannelEvent::DatagramsWritable);
                }
            }
            LinkEvent::Alarm => self.alarm(link, now),
            LinkEvent::Closed(reason) => self.end(reason),
        }
        self.drain(link);
    }
}

// What the application calls, through the handles.
impl ChannelCore {
    pub(super) fn open_stream(
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
        let Some(index) = link.open(direction) else {
            self.open_blocked[direction as usize] = true;
            return Err(OpenStreamError::Blocked);
        };
        self.opened.add(direction);
        link.write(index, &[], encode_preamble(label));
        let recv = match direction {
            Direction::Bi => Some(RecvHalf::new(None, self.config.max_message_size)),
            Direction::Uni => None,
        };
        let send = Some(SendHalf::default());
        self.streams.insert(index, DataStream::new(send, recv));
        Ok(self.stream_id(index))
    }

    pub(super) fn poll_ready(&mut self, link: &mut Link, id: StreamId) -> Result<(), SendError> {
        let limit = self.config.send_buffer;
        let send = self.send_half(id).ok_or(SendError::Ended)?;
        if send.finished {
            return Err(SendError::Ended);
        }
        if link.backlog(id.index) >= limit {
            send.blocked = true;
            // Half empty, so that news does not come for every packet.
            link.notify_below(id.index, limit.div_ceil(2));
            return Err(SendError::Blocked);
        }
        Ok(())
    }

    pub(super) fn send(
        &mut self,
        link: &mut Link,
        id: StreamId,
        message: Bytes,
    ) -> Result<(), SendError> {
        let max = self.config.max_message_size;
        if message.len() > max {
            return Err(SendError::TooLarge { max });
        }
        self.poll_ready(link, id)?;
        link.write(id.index, &frame_header(message.len()), message);
        Ok(())
    }

    pub(super) fn finish(&mut self, link: &mut Link, id: StreamId) -> Result<(), SendError> {
        let send = self.send_half(id).ok_or(SendError::Ended)?;
        if std::mem::replace(&mut send.finished, true) {
            return Err(SendError::Ended);
        }
        link.finish(id.index);
        Ok(())
    }

    pub(super) fn reset(
        &mut self,
        link: &mut Link,
        id: StreamId,
        code: WireCode,
    ) -> Result<(), SendError> {
        self.send_half(id).ok_or(SendError::Ended)?;
        link.reset(id.index, code);
        self.end_send(id.index, SendEnd::Reset);
        Ok(())
    }

    pub(super) fn recv(&mut self, link: &mut Link, id: StreamId) -> Result<Bytes, RecvError> {
        let recv = self.recv_half(id).ok_or(RecvError::Ended)?;
        let message = recv.pop().ok_or(RecvError::Blocked)?;
        self.pump(link, id.index);
        Ok(message)
    }

    pub(super) fn recv_batch(
        &mut self,
        link: &mut Link,
        id: StreamId,
    ) -> Result<VecDeque<Bytes>, RecvError> {
        let recv = self.recv_half(id).ok_or(RecvError::Ended)?;
        let messages = recv.pop_all().ok_or(RecvError::Blocked)?;
        self.pump(link, id.index);
        Ok(messages)
    }

    pub(super) fn stop(
        &mut self,
        link: &mut Link,
        id: StreamId,
        code: WireCode,
    ) -> Result<(), RecvError> {
        self.recv_half(id).ok_or(RecvError::Ended)?;
        link.stop(id.index, code);
        self.end_recv(id.index, RecvEnd::Stopped);
        Ok(())
    }

    pub(super) fn send_datagram(
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

    pub(super) fn recv_datagram(&mut self) -> Option<Bytes> {
        if self.state.carries_data() {
            self.datagrams.pop()
        } else {
            None
        }
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
}

// How it is done.
impl ChannelCore {
    fn set_alarm(&self, link: &mut Link) {
        link.set_alarm([self.accept_at, self.close_at].into_iter().flatten().min());
    }

    fn alarm(&mut self, link: &mut Link, now: Instant) {
        if self.close_at.is_some_and(|at| at <= now) {
            return link.close(now, ErrorCode::None.into(), CloseReason::Local);
        }
        if self.accept_at.take_if(|at| *at <= now).is_some() {
            self.accept_streams(link, now, Direction::Bi);
            self.accept_streams(link, now, Direction::Uni);
        }
        self.set_alarm(link);
    }

    fn accept_streams(&mut self, link: &mut Link, now: Instant, direction: Direction) {
        if !self.control.ready && direction == Direction::Bi {
            match link.accept(Direction::Bi) {
                Some(CONTROL) => self.control.ready = true,
                Some(_) | None => return,
            }
            // The first bytes of a new stream are not announced.
            self.read_control(link, now);
        }
        // Until the sides know who they are to each other, what the other side opens waits.
        while self.state.carries_data() {
            // And while the application lags behind: streams that were not accepted make no room for others.
            if self.events.len() >= self.max_events() {
                self.deferred = true;
                return;
            }
            let free = self.stream_rate.as_mut().map(|rate| rate.next(now));
            if let Some(at) = free.filter(|&at| at > now) {
                self.accept_at = Some(at);
                return self.set_alarm(link);
            }
            let Some(index) = link.accept(direction) else {
                return;
            };
            if let Some(rate) = &mut self.stream_rate {
                rate.take(now, 1);
            }
            self.accepted.add(direction);
            let preamble = Some(PreambleDecoder::default());
            let recv = Some(RecvHalf::new(preamble, self.config.max_message_size));
            let send = match direction {
                Direction::Bi => Some(SendHalf::default()),
                Direction::Uni => None,
            };
            self.streams.insert(index, DataStream::new(send, recv));
            self.pump(link, index);
            // What was said of it while it waited was said in vain.
            if direction == Direction::Bi
                && let Some(code) = link.stop_code(index)
            {
                self.stopped(link, index, code);
            }
        }
    }

    /// How many events may wait before no more streams are accepted: about all that the allowed streams can cause.
    fn max_events(&self) -> usize {
        4 * (1 + self.config.bi_streams as usize + self.config.uni_streams as usize)
    }

    fn read_control(&mut self, link: &mut Link, now: Instant) {
        loop {
            // Who does not read the answers gets no more of them.
            let full = link.backlog(CONTROL) >= MAX_ANSWERS;
            if full {
                link.notify_below(CONTROL, MAX_ANSWERS);
            }
            self.control.paused = full || self.notices.len() >= MAX_NOTICES;
            if self.control.paused || link.is_closed() {
                return;
            }
            match self.control.decoder.next() {
                Ok(Some(payload)) => {
                    if self
                        .control
                        .rate
                        .as_mut()
                        .is_some_and(|rate| !rate.take(now, 1))
                    {
                        return self.violate(link, now, Violation::Flood);
                    }
                    self.handle_control(link, now, payload);
                }
                Ok(None) => match link.read(CONTROL, |bytes| {
                    self.control.decoder.feed(bytes);
                    false
                }) {
                    Read::Enough => {}
                    Read::Blocked => return,
                    Read::Finished | Read::Reset(_) => {
                        return self.violate(link, now, Violation::ControlStream);
                    }
                },
                Err(_) => return self.violate(link, now, Violation::Malformed),
            }
        }
    }

    fn handle_control(&mut self, link: &mut Link, now: Instant, payload: Bytes) {
        let message = match ChannelMessage::decode(&payload) {
            Ok(Some(message)) => message,
            Ok(None) => return self.notices.push_back(Notice::Control(payload)),
            Err(_) => return self.violate(link, now, Violation::Malformed),
        };
        tracing::trace!(channel = ?self.id, ?message, "received");
        let allowed = match message {
            ChannelMessage::Closing { bi, uni } => {
                let tell = self.state.peer_closing(bi, uni);
                if tell == Ok(true) {
                    self.send_closing(link);
                    self.events.push_back(ChannelEvent::Closing);
                    self.notices.push_back(Notice::Closing);
                }
                tell.is_ok()
            }
            ChannelMessage::Drained => self.state.peer_drained().is_ok(),
        };
        // Whoever hears last closes the link: then everything that was said was heard.
        if self.state.is_drained() {
            let reason = if self.state.is_closing_by_us() {
                CloseReason::Local
            } else {
                CloseReason::Remote(ErrorCode::None)
            };
            link.close(now, ErrorCode::None.into(), reason);
        }
        if !allowed {
            self.violate(link, now, Violation::Unexpected);
        }
    }

    fn send_closing(&self, link: &mut Link) {
        let Counts { bi, uni } = self.opened;
        self.send_control(link, ChannelMessage::Closing { bi, uni }.encode());
    }

    /// Reads on if no message is there. Tells of those that are, or that there will be no more.
    fn pump(&mut self, link: &mut Link, index: u64) {
        self.read_ahead(link, index);
        let Some(recv) = self.recv_half(self.stream_id(index)) else {
            return;
        };
        match recv.end {
            Some(end) if !recv.has_message() => {
                self.end_unannounced_send(link, index);
                self.end_recv(index, end);
            }
            Some(_) | None => {
                let change = recv.memory_change();
                self.memory = self.memory.saturating_add_signed(change);
                self.tell_readable(index);
            }
        }
    }

    fn read_ahead(&mut self, link: &mut Link, index: u64) {
        let id = self.stream_id(index);
        let Some(stream) = self.streams.get_mut(&index) else {
            return;
        };
        let Some(recv) = &mut stream.recv else {
            return;
        };
        if recv.has_message() || recv.end.is_some() {
            return;
        }
        let mut fault = None;
        let read = link.read(index, |mut bytes| {
            if let Some(preamble) = &mut recv.preamble {
                match preamble.feed(&mut bytes) {
                    Ok(None) => return true,
                    Ok(Some(label)) => {
                        recv.preamble = None;
                        let stream_id = id;
                        self.events.push_back(ChannelEvent::StreamOpened {
                            stream: stream_id,
                            label,
                        });
                        if let Some(end) = stream.early_end.take() {
                            self.events.push_back(ChannelEvent::SendEnded {
                                stream: stream_id,
                                end,
                            });
                        }
                    }
                    Err(_) => {
                        fault = Some((RecvEnd::Refused(ErrorCode::Protocol), ErrorCode::Protocol))
                    }
                }
            }
            if fault.is_none() && recv.feed(bytes).is_err() {
                fault = Some((RecvEnd::TooLarge, ErrorCode::TooLarge));
            }
            fault.is_none() && recv.wants_more()
        });
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
    }

    /// Those that came before the sides knew who they are to each other wait until they do.
    fn announce_datagrams(&mut self) {
        if self.state.carries_data() && self.datagrams.announce() {
            self.events.push_back(ChannelEvent::DatagramsReadable);
        }
    }

    fn tell_readable(&mut self, index: u64) {
        let stream = self.stream_id(index);
        if let Some(recv) = self.recv_half(stream)
            && recv.has_message()
            && !std::mem::replace(&mut recv.readable_queued, true)
        {
            self.events.push_back(ChannelEvent::Readable { stream });
        }
    }

    /// The other side wants no more on a stream.
    fn stopped(&mut self, link: &mut Link, index: u64, code: WireCode) {
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

    fn flushed(&mut self, index: u64) {
        let stream = self.stream_id(index);
        if let Some(send) = self.send_half(stream)
            && std::mem::take(&mut send.blocked)
            && !std::mem::replace(&mut send.writable_queued, true)
        {
            self.events.push_back(ChannelEvent::Writable { stream });
        }
    }

    /// Nobody will ever send on a stream that ended before the application heard of it.
    fn end_unannounced_send(&mut self, link: &mut Link, index: u64) {
        if let Some(stream) = self.streams.get_mut(&index)
            && !stream.is_announced()
            && stream.send.take().is_some()
        {
            link.reset(index, ErrorCode::Dropped.into());
        }
    }

    fn end_send(&mut self, index: u64, end: SendEnd) {
        let id = self.stream_id(index);
        if let Some(stream) = self.streams.get_mut(&index)
            && stream.send.take().is_some()
        {
            if stream.is_announced() {
                let stream = id;
                self.events
                    .push_back(ChannelEvent::SendEnded { stream, end });
            } else {
                stream.early_end = Some(end);
            }
            self.forget_if_over(index);
        }
    }

    fn end_recv(&mut self, index: u64, end: RecvEnd) {
        let id = self.stream_id(index);
        if let Some(stream) = self.streams.get_mut(&index) {
            let announced = stream.is_announced();
            let ended = stream.recv.take();
            self.memory -= ended.as_ref().map_or(0, |recv| recv.memory);
            if ended.is_some() && announced {
                let stream = id;
                self.events
                    .push_back(ChannelEvent::RecvEnded { stream, end });
            }
            self.forget_if_over(index);
        }
    }

    fn forget_if_over(&mut self, index: u64) {
        if self.streams.get(&index).is_some_and(DataStream::is_over) {
            self.streams.remove(&index);
        }
    }

    /// The channel is over: every half that was still there ends with it.
    fn end(&mut self, reason: CloseReason) {
        // The other side may be the first to close the link after both have agreed to.
        let agreed = reason == CloseReason::Remote(ErrorCode::None);
        let reason = if agreed && self.state.is_closing_by_us() {
            CloseReason::Local
        } else {
            reason
        };
        if !self.state.end() {
            return;
        }
        let streams = self.streams.keys().copied().collect::<Vec<_>>();
        for index in streams {
            self.end_send(index, SendEnd::Closed(reason));
            self.end_recv(index, RecvEnd::Closed(reason));
        }
        tracing::debug!(channel = ?self.id, ?reason, "channel closed");
        self.events.push_back(ChannelEvent::Closed { reason });
        self.notices.push_back(Notice::Ended(reason));
    }

    fn stream_id(&self, index: u64) -> StreamId {
        StreamId {
            channel: self.id,
            index,
        }
    }

    fn send_half(&mut self, id: StreamId) -> Option<&mut SendHalf> {
        self.stream(id)?.send.as_mut()
    }

    fn recv_half(&mut self, id: StreamId) -> Option<&mut RecvHalf> {
        self.stream(id)?.recv.as_mut()
    }

    fn stream(&mut self, id: StreamId) -> Option<&mut DataStream> {
        self.streams
            .get_mut(&id.index)
            .filter(|_| id.channel == self.id)
    }
}
