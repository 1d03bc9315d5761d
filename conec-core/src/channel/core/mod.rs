//! A channel's streams and how they react to the link.

mod commands;
mod leftovers;
mod memberships;
mod reading;
mod streams;

pub(crate) use self::{memberships::StreamNotice, reading::Reading};

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};

use super::{
    datagrams::Datagrams,
    event::{ChannelEvent, Path},
    incoming::Incoming,
    memory::MessageMemory,
    state::State,
    stream::DataStream,
    toll::Toll,
};
use crate::{
    ChannelConfig, ChannelId, CloseReason, CongestionControl, Direction, ErrorCode, RecvEnd,
    SendEnd, StreamId, Violation,
    transport::{CONTROL, Link, LinkEvent, Read},
    util::Bucket,
    wire::{ChannelMessage, FrameDecoder, FrameTooLarge, MAX_CONTROL, frame_header},
};

/// What the channel's owner has to deal with.
#[derive(Debug)]
pub(crate) enum Notice {
    /// A control message that is not about the channel itself.
    Control(Bytes),
    /// The other side wants to close the channel.
    Closing,
    /// Something has happened on a stream of the owner's.
    Stream(StreamId, StreamNotice),
    /// The other side allows more streams, after opening one for the owner was in vain.
    StreamsAvailable,
    /// The application does not want the channel any more, which has no link.
    GivenUp,
    /// The channel is over, as the link says; [`ChannelEvent::Closed`] is queued.
    Ended(CloseReason),
}

/// The state of a channel, apart from its link.
#[derive(Debug)]
pub(crate) struct ChannelCore {
    id: ChannelId,
    settings: Settings,
    state: State,
    path: Path,
    /// The other side is missed.
    silent: bool,
    control: Control,
    streams: BTreeMap<u64, DataStream>,
    /// What messages take that have arrived in part, or wait to be received.
    memory: MessageMemory,
    /// What the link takes for streams with gaps, and for what the other side was told and has not read.
    link_memory: usize,
    /// How much the other side may send ahead of what was read, and whether that holds it up.
    window: u32,
    holds_up: bool,
    /// Some of it is kept for messages to come, until then at most.
    keeps_buffers: bool,
    rest_at: Option<Instant>,
    reading: Reading,
    /// In a turn, how it goes.
    turn: Option<Box<reading::Turn>>,
    /// How many bytes of streams were read.
    received: u64,
    /// How many messages lossy readers have lost. An idle channel takes little memory.
    messages_dropped: u32,
    /// Streams that are not read on, as messages of this size are not.
    held_back: BTreeMap<u64, usize>,
    /// Some of them can be read on.
    reads_on: bool,
    /// How many data streams were opened here, and accepted from the other side.
    opened: Counts,
    accepted: Counts,
    /// Opening was blocked, and the application waits to hear that it is not; and the owner.
    open_blocked: [bool; 2],
    owner_blocked: bool,
    datagrams: Datagrams,
    datagrams_blocked: bool,
    /// Counts the streams that the other side opens, where their rate is bounded. Boxed, and made with the first of them: most
    /// channels are idle.
    streams_opened: Option<Box<Bucket>>,
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
    /// Streams that the application has not taken.
    incoming: Incoming,
    /// How the channel ended, until that was told: after everything else.
    closed: Option<CloseReason>,
    /// What has arrived outlives the channel.
    keeps_leftovers: bool,
}

/// What is needed of the channel's configuration all the time. In small numbers: an idle channel takes little memory.
#[derive(Debug)]
struct Settings {
    /// At most 1 GiB.
    max_message_size: u32,
    send_buffer: u32,
    /// How many streams the other side may have open.
    streams: u32,
    /// How many it may open in a second, if that is bounded.
    stream_rate: Option<u32>,
    congestion: CongestionControl,
    /// The other side may have memberships of groups.
    takes_members: bool,
}

#[derive(Debug)]
struct Control {
    /// Whether the other side's control stream was accepted, or ours opened.
    ready: bool,
    /// Bytes not yet looked at.
    input: Bytes,
    decoder: FrameDecoder,
    /// There may be more to read, once there is room for what comes of it.
    paused: bool,
    /// What messages cost the other side, if they do.
    toll: Option<Toll>,
    /// So much waits for the other side that it must have given up reading.
    unread: bool,
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

/// An idle channel keeps no room for what is to come.
fn pop<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if queue.is_empty() {
        *queue = VecDeque::new();
    }
    first
}

impl Settings {
    fn max_message_size(&self) -> usize {
        self.max_message_size as usize
    }

    fn send_buffer(&self) -> usize {
        self.send_buffer as usize
    }
}

/// The number, or the largest that is small.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Counts up to what a small number holds.
fn count(sum: &mut u32, more: u64) {
    *sum = sum.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
}

impl Control {
    /// The next message of what was read.
    fn next(&mut self) -> Result<Option<Bytes>, FrameTooLarge> {
        let mut rest = &self.input[..];
        let message = self.decoder.next(&mut rest);
        let taken = self.input.len() - rest.len();
        self.input.advance(taken);
        message
    }
}

/// Bytes of control messages that may wait for the other side to read them before no more of its own are read.
const MAX_ANSWERS: usize = 64 << 10;

/// Bytes of control messages that may wait in all: what others cause is no more than half of it. Who leaves so much unread
/// is sent away.
const MAX_UNREAD: usize = 128 << 10;

/// How long memory is kept for messages to come. When they come all the time, doing without it once is cheap.
const REST: Duration = Duration::from_secs(1);

// What the owner of a channel calls.
impl ChannelCore {
    pub(crate) fn new(id: ChannelId, config: &ChannelConfig, toll: Option<Toll>) -> Self {
        Self {
            id,
            settings: Settings {
                max_message_size: small(config.max_message_size),
                send_buffer: small(config.send_buffer),
                streams: config.bi_streams + config.uni_streams,
                stream_rate: config.stream_rate,
                congestion: config.congestion,
                takes_members: false,
            },
            state: State::new(),
            path: Path::Proxied,
            silent: false,
            control: Control {
                ready: false,
                input: Bytes::new(),
                decoder: FrameDecoder::new(MAX_CONTROL),
                paused: false,
                toll,
                unread: false,
            },
            streams: BTreeMap::new(),
            memory: MessageMemory::default(),
            link_memory: 0,
            window: 0,
            holds_up: false,
            keeps_buffers: false,
            rest_at: None,
            reading: Reading::All,
            turn: None,
            received: 0,
            messages_dropped: 0,
            held_back: BTreeMap::new(),
            reads_on: false,
            opened: Counts::default(),
            accepted: Counts::default(),
            open_blocked: [false; 2],
            owner_blocked: false,
            datagrams: Datagrams::new(config.datagram_buffer),
            datagrams_blocked: false,
            streams_opened: None,
            deferred: false,
            accept_at: None,
            close_at: None,
            held_open: false,
            notices: VecDeque::new(),
            events: VecDeque::new(),
            incoming: Incoming::default(),
            closed: None,
            keeps_leftovers: false,
        }
    }

    pub(crate) fn id(&self) -> ChannelId {
        self.id
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

    /// The link's handshake is complete.
    pub(crate) fn connected(&self, link: &Link) {
        link.set_congestion(self.settings.congestion);
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
    pub(crate) fn send_control(&mut self, link: &mut Link, payload: Bytes) {
        link.write(CONTROL, &frame_header(payload.len()), payload);
        self.control.unread = link.backlog(CONTROL) > MAX_UNREAD;
    }

    /// Whether so many control messages wait for the other side that it is to be told nothing that can be left.
    pub(crate) fn is_behind(link: &Link) -> bool {
        link.backlog(CONTROL) >= MAX_ANSWERS
    }

    /// Sends a control message that the other side may answer so often.
    pub(crate) fn ask(&mut self, link: &mut Link, payload: Bytes, answers: u32) {
        if let Some(toll) = &mut self.control.toll {
            toll.ask(answers);
        }
        self.send_control(link, payload);
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

    /// Ends the channel, whatever becomes of its link.
    pub(crate) fn abandon(&mut self, link: Option<&mut Link>, reason: CloseReason) {
        if let Some(link) = link {
            self.take_leftovers(link, reason);
        }
        self.end(reason);
    }

    /// Has the owner of a channel without a link end it.
    pub(crate) fn give_up(&mut self) {
        self.notices.push_back(Notice::GivenUp);
    }

    /// What is sent travels on another path now.
    pub(crate) fn path_changed(&mut self, path: Path, rtt: Duration) {
        if self.state.is_ended() {
            return;
        }
        self.path = path;
        self.tell_latest(ChannelEvent::PathChanged { path, rtt }, |event| {
            matches!(event, ChannelEvent::PathChanged { .. })
        });
    }

    pub(super) fn path(&self) -> Path {
        self.path
    }

    fn presence_changed(&mut self, is_there: bool) {
        self.silent = !is_there;
        if self.state.is_open() || self.state.is_closing() {
            let news = if is_there {
                ChannelEvent::Audible
            } else {
                ChannelEvent::Silent
            };
            self.tell_latest(news, |event| {
                matches!(event, ChannelEvent::Silent | ChannelEvent::Audible)
            });
        }
    }

    pub(super) fn is_silent(&self) -> bool {
        self.silent && !self.state.is_ended()
    }

    /// Tells the application something that makes earlier events of its kind worthless, if it lags behind.
    fn tell_latest(&mut self, news: ChannelEvent, is_stale: fn(&ChannelEvent) -> bool) {
        self.events.retain(|event| !is_stale(event));
        self.events.push_back(news);
    }

    /// Whether something else keeps the channel from closing gracefully.
    pub(crate) fn hold_open(&mut self, link: &mut Link, held: bool) {
        self.held_open = held;
        self.drain(link);
    }

    /// Does what the application has made possible, by taking events and streams or by what it did through handles.
    pub(crate) fn resume(&mut self, link: &mut Link, now: Instant) {
        self.reads_on = false;
        if std::mem::take(&mut self.deferred) {
            self.accept_streams(link, now, Direction::Bi);
            self.accept_streams(link, now, Direction::Uni);
        }
        self.look_at(link);
        self.read_on(link);
        self.look_at(link);
        self.rest_later(link, now);
        self.drain(link);
    }

    /// Whether streams wait to be accepted.
    pub(crate) fn is_deferring(&self) -> bool {
        self.deferred
    }

    /// Takes the next step towards a graceful end, if there is one to take.
    fn drain(&mut self, link: &mut Link) {
        if !self.state.is_closing() || link.is_closed() {
            return;
        }
        let accepted = (self.accepted.bi, self.accepted.uni);
        if self.streams.is_empty() && !self.held_open && self.state.drain(accepted) {
            tracing::trace!("drained");
            self.send_control(link, ChannelMessage::Drained.encode());
        }
    }

    /// The other side broke the protocol.
    pub(crate) fn violate(&self, link: &mut Link, now: Instant, violation: Violation) {
        tracing::debug!(%violation, "closing the channel");
        let code = violation.code().into();
        link.close(now, code, CloseReason::Violation(violation));
    }

    /// The next thing to deal with. Once all are dealt with, and their answers are on the way, more is read.
    pub(crate) fn poll_notice(
        &mut self,
        mut link: Option<&mut Link>,
        now: Instant,
    ) -> Option<Notice> {
        if self.control.unread
            && let Some(link) = link.as_deref_mut()
            && !link.is_closed()
        {
            tracing::debug!("closing the channel: nobody reads what is said");
            link.close(now, ErrorCode::Limit.into(), CloseReason::Overloaded);
        }
        if self.notices.is_empty()
            && self.control.paused
            && let Some(link) = link
        {
            self.read_control(link, now);
            // What was read may be the other side's word of the end.
            self.drain(link);
        }
        let notice = pop(&mut self.notices)?;
        if let Notice::Stream(stream, told) = &notice {
            self.stream_notice_taken(*stream, told);
        }
        Some(notice)
    }

    /// The next of all events.
    pub(crate) fn poll_event(&mut self) -> Option<ChannelEvent> {
        if let Some(event) = self.pop_event() {
            return Some(event);
        }
        if let Some((stream, label)) = self.take_stream() {
            return Some(ChannelEvent::StreamOpened { stream, label });
        }
        if let Some(reason) = self.closed {
            // Who takes this knows of all that was left, and has left it.
            self.forget(reason);
        }
        self.pop_event().or_else(|| self.poll_closed())
    }

    /// The next event for who takes the streams by themselves.
    pub(crate) fn poll_signal(&mut self) -> Option<ChannelEvent> {
        if let Some(event) = self.pop_event() {
            return Some(event);
        }
        if self.incoming.announce() {
            return Some(ChannelEvent::StreamsWaiting);
        }
        self.poll_closed()
    }

    fn poll_closed(&mut self) -> Option<ChannelEvent> {
        let reason = self.closed.take()?;
        Some(ChannelEvent::Closed { reason })
    }

    fn pop_event(&mut self) -> Option<ChannelEvent> {
        let event = pop(&mut self.events)?;
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
            ChannelEvent::DatagramsReadable => self.datagrams.asked_for(),
            ChannelEvent::Opened
            | ChannelEvent::StreamOpened { .. }
            | ChannelEvent::StreamsWaiting
            | ChannelEvent::SendEnded { .. }
            | ChannelEvent::RecvEnded { .. }
            | ChannelEvent::StreamsAvailable { .. }
            | ChannelEvent::DatagramsWritable
            | ChannelEvent::PathChanged { .. }
            | ChannelEvent::Silent
            | ChannelEvent::Audible
            | ChannelEvent::Closing
            | ChannelEvent::Closed { .. } => {}
        }
        Some(event)
    }

    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty() || self.incoming.len() > 0 || self.closed.is_some()
    }

    pub(crate) fn handle_link_event(&mut self, link: &mut Link, now: Instant, event: LinkEvent) {
        match event {
            // The role sees to it.
            LinkEvent::Change(_) => {}
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
                if direction == Direction::Bi && std::mem::take(&mut self.owner_blocked) {
                    self.notices.push_back(Notice::StreamsAvailable);
                }
            }
            LinkEvent::Presence(is_there) => self.presence_changed(is_there),
            LinkEvent::HeldUp => self.send_control(link, ChannelMessage::HeldUp.encode()),
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
        }
        self.look_at(link);
        self.rest_later(link, now);
        self.drain(link);
    }
}

// How it is done.
impl ChannelCore {
    fn set_alarm(&self, link: &mut Link) {
        let alarms = [self.accept_at, self.close_at, self.rest_at];
        link.set_alarm(alarms.into_iter().flatten().min());
    }

    /// Sees to it that memory is not kept for messages that do not come.
    fn rest_later(&mut self, link: &mut Link, now: Instant) {
        if self.keeps_buffers && self.rest_at.is_none() {
            self.rest_at = Some(now + REST);
            self.set_alarm(link);
        }
    }

    /// Takes note of what the link takes and lets in.
    fn look_at(&mut self, link: &Link) {
        self.link_memory = link.memory();
        self.window = u32::try_from(link.window()).unwrap_or(u32::MAX);
        self.holds_up = link.holds_up();
    }

    fn alarm(&mut self, link: &mut Link, now: Instant) {
        if self.close_at.is_some_and(|at| at <= now) {
            return link.close(now, ErrorCode::None.into(), CloseReason::Local);
        }
        if self.accept_at.take_if(|at| *at <= now).is_some() {
            self.accept_streams(link, now, Direction::Bi);
            self.accept_streams(link, now, Direction::Uni);
        }
        if self.rest_at.take_if(|at| *at <= now).is_some() {
            self.rest();
        }
        self.set_alarm(link);
    }

    fn read_control(&mut self, link: &mut Link, now: Instant) {
        loop {
            // Who does not read the answers gets no more of them.
            let full = Self::is_behind(link);
            if full {
                link.notify_below(CONTROL, MAX_ANSWERS);
            }
            // One is dealt with before the next is read: what it does may decide whether the next is allowed.
            self.control.paused = full || !self.notices.is_empty();
            if self.control.paused || link.is_closed() {
                return;
            }
            match self.control.next() {
                Ok(Some(payload)) => {
                    let toll = self.control.toll.as_mut();
                    if toll.is_some_and(|toll| !toll.take(now, &payload)) {
                        return self.violate(link, now, Violation::Flood);
                    }
                    self.handle_control(link, now, payload);
                }
                Ok(None) => match link.read(CONTROL, |bytes| {
                    self.control.input = Bytes::copy_from_slice(bytes);
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
        tracing::trace!(?message, "received");
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
            ChannelMessage::HeldUp => {
                link.other_side_is_held_up();
                self.reads_on = true;
                true
            }
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

    fn send_closing(&mut self, link: &mut Link) {
        let Counts { bi, uni } = self.opened;
        self.send_control(link, ChannelMessage::Closing { bi, uni }.encode());
    }

    /// The channel is over: every half that was still there ends with it.
    fn end(&mut self, cause: CloseReason) {
        // The other side may be the first to close the link after both have agreed to.
        let agreed = cause == CloseReason::Remote(ErrorCode::None);
        let reason = if agreed && self.state.is_closing_by_us() {
            CloseReason::Local
        } else {
            cause
        };
        if !self.state.end() {
            return;
        }
        let streams = self.streams.keys().copied().collect::<Vec<_>>();
        for index in streams {
            self.end_send(index, SendEnd::Closed(reason));
            self.end_or_leave(index, RecvEnd::Closed(reason));
        }
        self.rest();
        self.held_back = BTreeMap::new();
        self.reads_on = false;
        self.link_memory = 0;
        self.datagrams = Datagrams::new(0);
        tracing::debug!(?reason, "channel closed");
        self.closed = Some(reason);
        self.notices.push_back(Notice::Ended(cause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_direction_counts_by_itself() {
        let mut counts = Counts::default();
        for direction in [Direction::Bi, Direction::Uni, Direction::Bi] {
            counts.add(direction);
        }
        assert_eq!((counts.bi, counts.uni), (2, 1));
    }
}
