//! One connection: streams of bytes, datagrams, an alarm.

mod begun;
mod convert;
mod datagrams;
mod incoming;
mod line;
mod reassembly;
mod room;
mod stats;
mod streams;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    net::SocketAddr,
    ptr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn_proto::{Connection, ConnectionEvent, ConnectionHandle, Dir, Event, VarInt};

#[cfg(feature = "__testing")]
pub(crate) use self::reassembly::Reassembly;

pub(crate) use self::convert::CONTROL;
use self::{
    begun::Begun, convert::varint, datagrams::DatagramCounts, incoming::Incoming, line::Line,
    room::Room,
};
use super::{
    announced::Parameters,
    arrivals::Arrivals,
    congestion::Control,
    engine::EngineId,
    event::{Handshaken, LinkChange, LinkEvent, close_reason},
    handshakes::{NEWCOMER, Newcomer},
    observer::Observer,
    outgoing::Outgoing,
    silence::Silence,
    tls,
    window::ReceiveWindow,
};
use crate::{
    ChannelConfig, CloseReason, CongestionControl, ErrorCode, SendDatagramError, error::WireCode,
};

/// A QUIC connection with conec's own send queues in front of it.
///
/// Streams are named by their QUIC stream IDs. Whatever is asked of a stream that does not exist, or of a link that has
/// ended, does nothing.
pub(crate) struct Link {
    conn: Connection,
    pub(super) engine: EngineId,
    pub(super) handle: ConnectionHandle,
    control: Control,
    window: ReceiveWindow,
    observer: Observer,
    arrivals: Arrivals,
    incoming: Incoming,
    /// Boxed: an empty table keeps its room for eleven.
    outgoing: BTreeMap<u64, Box<Outgoing>>,
    /// Streams with something that the engine may take now.
    line: Line,
    begun: Begun,
    room: Room,
    /// The engine took something and sent nothing: the network is the bottleneck. What comes now is gathered here
    /// until the engine sends again, instead of reaching it in tiny pieces, unless it passes by.
    saturated: bool,
    datagrams: Option<Box<DatagramCounts>>,
    /// The channel's alarm; of a closed link, when it is to be forgotten at the latest.
    alarm: Option<Instant>,
    /// How often something of the application's was passed on, in either direction.
    activity: u64,
    /// How many streams of each direction this side has opened.
    opened: [u64; 2],
    /// More streams are wanted than the other side allows: how many frames of streams had come before that was last seen to.
    /// Boxed, as what follows is: few have it at a time.
    short_of_streams: Option<Box<u64>>,
    /// Nothing is to be sent.
    pub(super) muted: bool,
    silence: Silence,
    /// The engine's timers wait until it has said something: the machine has slept through them.
    held: bool,
    /// How much was sent that asks for an acknowledgement, and the latest of it when.
    asked: (u64, Option<Instant>),
    /// Which path the engine is on, when that was last looked at.
    path: usize,
    /// The other side's address then.
    remote: SocketAddr,
    /// It has not proved that it is there (RFC 9000, 8.2): how many proofs there had been before.
    unproven: Option<Box<u64>>,
    /// Nothing was sent on this path yet that asks for an answer: what came from there may be too little to be answered (RFC 9000,
    /// 8.1). The engine's timer is still that of what went on another path, and must not go off: the engine asserts that it
    /// only does so where something is under way. What asks for an answer sets it anew.
    unreached: bool,
    pub(super) events: VecDeque<LinkEvent>,
    closed: bool,
    /// The latest time seen.
    now: Instant,
    /// With what this side has closed the connection.
    close_code: Option<WireCode>,
    pub(super) connected: bool,
    /// As what the transport counts this link among its newcomers.
    pub(super) newcomer: Option<Box<Newcomer>>,
    /// The engine has forgotten it.
    pub(super) drained: bool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("remote", &self.remote)
            .field("connected", &self.connected)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// How far a link has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    /// When the latest of the packets that were acknowledged was sent.
    pub(crate) acked: Option<Instant>,
    /// How often something of the application's was passed on, in either direction.
    pub(crate) activity: u64,
    /// How much was sent that asks for an acknowledgement.
    pub(crate) asked: u64,
    pub(crate) rtt: Duration,
}

impl Link {
    pub(super) fn new(
        now: Instant,
        conn: Connection,
        engine: EngineId,
        handle: ConnectionHandle,
        control: Control,
        observer: Observer,
        config: &ChannelConfig,
    ) -> Self {
        Self {
            path: path_of(&conn),
            remote: conn.remote_address(),
            unproven: None,
            unreached: false,
            datagrams: None,
            conn,
            engine,
            handle,
            control,
            window: ReceiveWindow::new(config.receive_window, config.max_receive_window),
            arrivals: Arrivals::new(),
            observer,
            incoming: Incoming::default(),
            outgoing: BTreeMap::new(),
            line: Line::default(),
            begun: Begun::default(),
            room: Room::new(config.send_window),
            saturated: false,
            alarm: None,
            activity: 0,
            opened: [0; 2],
            short_of_streams: None,
            muted: false,
            silence: Silence::new(now, config.idle_timeout),
            held: false,
            asked: (0, None),
            events: VecDeque::new(),
            closed: false,
            now,
            close_code: None,
            connected: false,
            newcomer: None,
            drained: false,
        }
    }

    pub(crate) fn send_datagram(&mut self, bytes: Bytes) -> Result<(), SendDatagramError> {
        if self.closed {
            return Err(SendDatagramError::Closed);
        }
        let max = self.max_datagram_size();
        self.activity += 1;
        self.datagram_counts();
        let sent = self.conn.datagrams().send(bytes, false);
        let counts = self.datagram_counts();
        match sent {
            Ok(()) => counts.queued += 1,
            Err(_) => counts.refused += 1,
        }
        sent.map_err(|error| match error {
            quinn_proto::SendDatagramError::Blocked(_) => SendDatagramError::Blocked,
            quinn_proto::SendDatagramError::TooLarge => SendDatagramError::TooLarge { max },
            quinn_proto::SendDatagramError::UnsupportedByPeer
            | quinn_proto::SendDatagramError::Disabled => SendDatagramError::Closed,
        })
    }

    pub(crate) fn recv_datagram(&mut self) -> Option<Bytes> {
        let datagram = self.conn.datagrams().recv();
        match datagram {
            Some(_) => {
                self.activity += 1;
                self.datagram_counts().taken += 1;
            }
            None => self.count_displaced(),
        }
        datagram
    }

    /// The largest datagram that fits now; 0 when none do.
    pub(crate) fn max_datagram_size(&mut self) -> usize {
        self.conn.datagrams().max_size().unwrap_or(0)
    }

    /// Sets or clears the one alarm.
    pub(crate) fn set_alarm(&mut self, at: Option<Instant>) {
        if !self.closed {
            self.alarm = at;
        }
    }

    /// The other side is a newcomer: so little is taken of it that it has told who it is, and no more.
    pub(super) fn begin_as(&mut self, newcomer: Box<Newcomer>) {
        self.newcomer = Some(newcomer);
        self.window.tell(self.window.size().min(NEWCOMER.into()));
        self.observer.allow(NEWCOMER.into());
    }

    /// The other side is let in, and may send what all may.
    pub(super) fn admit(&mut self, config: &ChannelConfig) {
        self.observer.allow(u64::MAX);
        self.set_receive_window();
        let control = VarInt::from(config.bi_streams + 1);
        self.conn.set_max_concurrent_streams(Dir::Bi, control);
        let uni = VarInt::from(config.uni_streams);
        self.conn.set_max_concurrent_streams(Dir::Uni, uni);
    }

    /// A packet has arrived.
    pub(super) fn handle_packet(&mut self, now: Instant, event: ConnectionEvent) {
        self.now = now;
        let silent = self.silence.lasts(now, self.rtt());
        if silent {
            self.silence.distrust(now);
        }
        let before = self.control.acked_mark();
        self.conn.handle_event(event);
        self.notice_path();
        let gaps = self.arrivals.note(self.observer.latest());
        self.note_gaps(gaps);
        if self.incoming.is_pressing() {
            // One packet may have brought hundreds of pieces.
            self.collect_events();
        }
        if self.silence.end(now) {
            self.events.push_back(LinkEvent::Presence(true));
        }
        if self.control.acked_mark() > before
            && let Some(sent) = self.control.latest_acked()
        {
            self.silence.acknowledged();
            if self.silence.is_doubtful(now, sent) {
                self.forget_way(now);
            }
        }
        self.hasten_streams();
        if silent {
            // The engine keeps its acknowledgement to itself while its window is full of what the silence has swallowed.
            self.nudge();
            self.tell(LinkChange::Audible);
        }
    }

    /// Where more streams are wanted than are allowed, acknowledges at once what comes on those that there are.
    ///
    /// The other side has a place for another stream when it knows that this one has all of the last. The engine is in no hurry
    /// to tell, since who waits for a stream has nothing to send that the acknowledgement could travel with.
    pub(super) fn hasten_streams(&mut self) {
        let Some(before) = &mut self.short_of_streams else {
            return;
        };
        let received = self.conn.stats().frame_rx.stream;
        if received > **before {
            **before = received;
            self.ping();
        }
    }

    /// A timer is due: the engine's or ours.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if self.held && !self.muted {
            return;
        }
        if self.unreached && !self.closed {
            if self.silence.is_final(now) {
                self.close(now, ErrorCode::PeerGone.into(), CloseReason::TimedOut);
            }
            return self.sound_alarm(now);
        }
        self.conn.handle_timeout(now);
        self.notice_path();
        let (rtt, owed) = (self.rtt(), self.asked.1 > self.control.latest_acked());
        // During the handshake, everything that is sent is to be answered.
        if owed || !self.connected {
            self.silence.timer_fired();
        }
        if self.silence.lasts(now, rtt) {
            self.tell(LinkChange::Silent);
        }
        if self.silence.is_time_to_speak(now, rtt, owed) {
            self.nudge();
        }
        if self.silence.is_time_to_ask(now) {
            self.ping();
        }
        if !self.muted && self.silence.is_deaf(now) {
            self.close(now, ErrorCode::PeerGone.into(), CloseReason::TimedOut);
        }
        self.sound_alarm(now);
    }

    fn sound_alarm(&mut self, now: Instant) {
        if !self.closed && self.alarm.take_if(|at| *at <= now).is_some() {
            self.events.push_back(LinkEvent::Alarm);
        }
    }

    /// This machine was asleep, and so has said nothing for as long: perhaps the other side waits no more than a moment
    /// longer. What is due of the engine's own comes after that, since it would give up without having asked.
    pub(crate) fn wake(&mut self, now: Instant) {
        if self.connected && !self.closed && !self.silence.is_final(now) {
            self.silence.distrust(now);
            self.held = true;
            self.silence.pause();
            self.nudge();
        }
    }

    /// Closes the connection with a code. [`LinkChange::Closed`] follows, with `reason`.
    pub(crate) fn close(&mut self, now: Instant, code: WireCode, reason: CloseReason) {
        if !self.closed {
            self.now = now;
            self.control.close();
            self.close_code = Some(code);
            self.conn.close(now, varint(code), Bytes::new());
            self.end(reason);
        }
    }

    /// Queues an event about the link itself.
    pub(super) fn tell(&mut self, change: LinkChange) {
        self.events.push_back(LinkEvent::Change(change));
    }

    /// The next thing that has happened. An idle link keeps no room for others.
    pub(super) fn pop_event(&mut self) -> Option<LinkEvent> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        event
    }

    /// Whether something has happened that was not told yet.
    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Whether there is nothing left to say or to hear.
    pub(crate) fn is_drained(&self) -> bool {
        self.drained
    }

    /// The engine that it belongs to.
    pub(crate) fn engine(&self) -> EngineId {
        self.engine
    }

    /// Whether it was closed so long ago that it is to be forgotten. The engine waits for three of its timeouts (RFC 9000,
    /// 10.2), which the other side can make as long as it likes by answering late.
    pub(super) fn has_left(&self) -> bool {
        self.closed && self.alarm.is_some_and(|at| at <= self.now)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// With what this side has closed the connection, if it was this side.
    pub(crate) fn close_code(&self) -> Option<WireCode> {
        self.close_code
    }

    /// Whether anything at all has come from the other side.
    pub(crate) fn has_heard(&self) -> bool {
        self.conn.stats().udp_rx.datagrams > 0
    }

    /// Makes the other side say something soon.
    pub(crate) fn ping(&mut self) {
        if self.connected && !self.closed {
            self.conn.ping();
        }
    }

    /// Makes the other side say something at once, even if so much is unacknowledged that nothing else may be sent.
    pub(crate) fn nudge(&mut self) {
        if self.connected && !self.closed {
            self.conn.ping();
            self.control.set_urgent(true);
        }
    }

    /// Where the other side's packets come from. It need not be there: packets can be forged, and sent on by others.
    pub(crate) fn remote(&self) -> SocketAddr {
        self.conn.remote_address()
    }

    pub(crate) fn rtt(&self) -> Duration {
        self.conn.rtt()
    }

    /// A secret that only the two ends of a connected link know, of their TLS session (RFC 8446, 7.5).
    pub(crate) fn export_secret<const N: usize>(&self, label: &[u8]) -> Option<[u8; N]> {
        let mut secret = [0; N];
        let session = self.conn.crypto_session();
        session
            .export_keying_material(&mut secret, label, &[])
            .ok()
            .map(|()| secret)
    }

    /// From now on packets travel on another path, with this round-trip time if that is known: what was learned of the
    /// former one's capacity, round-trip time and packet size is forgotten.
    pub(crate) fn path_changed(&mut self, now: Instant, rtt: Option<Duration>) {
        if self.connected && !self.closed {
            let present = self.conn.rtt();
            let window = self.conn.congestion_state().window();
            self.control
                .bequeath(window, present, rtt.unwrap_or(present));
            self.begin_anew(now);
        }
    }

    /// Has the engine know nothing of its path, which stays the same.
    fn begin_anew(&mut self, now: Instant) {
        self.conn.path_changed(now);
        self.path = path_of(&self.conn);
    }

    /// From now on, what is sent shares its path with others like this.
    pub(crate) fn set_congestion(&self, choice: CongestionControl) {
        self.control.choose(choice);
    }

    /// What the engine has just learned of the way is wrong.
    fn forget_way(&mut self, now: Instant) {
        let state = self.conn.congestion_state();
        // When it was wrong before, this is no window to begin with.
        if state.window() > state.initial_window() {
            self.path_changed(now, None);
        } else if self.connected && !self.closed {
            self.begin_anew(now);
        }
    }

    /// Sends nothing, or sends again.
    pub(crate) fn mute(&mut self, muted: bool) {
        if std::mem::replace(&mut self.muted, muted) != muted {
            self.silence.pause();
        }
    }

    /// What an observer of the link's path wants to know.
    pub(crate) fn progress(&self) -> Progress {
        Progress {
            acked: self.control.latest_acked(),
            activity: self.activity,
            asked: self.asked.0,
            rtt: self.conn.rtt(),
        }
    }

    /// Lets the other side have more under way if that holds it up, but no more than so much. Gives how much.
    pub(crate) fn grow_window(&mut self, most: u64) -> u64 {
        if self.newcomer.is_some() || self.closed {
            return 0;
        }
        let more = self.window.grow(most);
        if more > 0 {
            self.set_receive_window();
        }
        more
    }

    /// The other side says that it is held up by the receive window.
    pub(crate) fn other_side_is_held_up(&mut self) {
        self.window.hold_up();
    }

    /// How much the other side may send ahead of what is read.
    pub(crate) fn window(&self) -> u64 {
        self.window.size()
    }

    /// Whether the other side has said that this holds it up, and was not told to go on since.
    pub(crate) fn holds_up(&self) -> bool {
        self.window.is_short()
    }

    /// By how much the receive window has grown.
    pub(crate) fn extra_window(&self) -> u64 {
        self.window.extra()
    }

    pub(super) fn conn(&mut self) -> &mut Connection {
        &mut self.conn
    }

    /// Moves what the engine has to tell into `events`.
    pub(super) fn collect_events(&mut self) {
        while let Some(event) = self.conn.poll() {
            match event {
                Event::HandshakeDataReady => {}
                Event::Connected => {
                    self.connected = true;
                    if let Some(newcomer) = &mut self.newcomer {
                        newcomer.proven = true;
                    }
                    self.silence.connected(self.their_idle_timeout());
                    // The first acknowledgement may have been late for another reason than the way.
                    let first = self.control.latest_acked();
                    if first.is_some_and(|sent| self.silence.is_doubtful(self.now, sent)) {
                        self.forget_way(self.now);
                    }
                    // Nobody has moved before this.
                    let at = Handshaken {
                        remote: self.remote,
                        local_ip: self.conn.local_ip(),
                    };
                    match tls::peer_identity(self.conn.crypto_session()) {
                        Some(identity) => self.tell(LinkChange::Connected { identity, at }),
                        // Cannot be: TLS wants a key of either side.
                        None => {
                            let code = ErrorCode::Protocol.into();
                            self.close(self.now, code, CloseReason::Identity);
                        }
                    }
                }
                Event::ConnectionLost { reason } => {
                    self.end(close_reason(reason));
                    // Who is there, and leaves, makes room at once. What was forged stays, so that it makes none for more.
                    if self.newcomer.as_ref().is_some_and(|it| it.proven) {
                        self.alarm = Some(self.now);
                    }
                }
                Event::Stream(event) => self.collect_stream_event(event),
                Event::DatagramReceived if self.newcomer.is_some() => {
                    while self.conn.datagrams().recv().is_some() {}
                }
                Event::DatagramReceived => self.events.push_back(LinkEvent::DatagramReceived),
                Event::DatagramsUnblocked => self.events.push_back(LinkEvent::DatagramsWritable),
            }
        }
    }

    /// The engine may have begun with another path, or gone back to the one before, at the same address or another. Tells when the
    /// other side has moved.
    fn notice_path(&mut self) {
        let path = path_of(&self.conn);
        if path == self.path || self.closed {
            return;
        }
        self.path = path;
        self.unreached = true;
        self.conn.ping();
        let remote = self.conn.remote_address();
        if remote != self.remote {
            self.remote = remote;
            self.unproven = Some(Box::new(self.proofs()));
            self.tell(LinkChange::Moved(remote));
        }
    }

    /// The link is over, whatever the cause: says so once.
    pub(super) fn end(&mut self, reason: CloseReason) {
        if !self.closed {
            self.closed = true;
            self.alarm = Some(self.now + MAX_LINGER);
            self.outgoing.clear();
            self.line = Line::default();
            self.begun.clear();
            self.tell(LinkChange::Closed(reason));
        }
    }

    /// Nobody will read what has come on a link that is over.
    pub(crate) fn forget_incoming(&mut self) {
        self.incoming = Incoming::default();
    }

    /// When it is to be looked after next.
    pub(crate) fn poll_timeout(&mut self) -> Option<Instant> {
        if self.unreached && !self.closed {
            return [self.silence.final_at(), self.alarm]
                .into_iter()
                .flatten()
                .min();
        }
        let [speak, tell] =
            [self.silence.next_due(), self.room.next_due()].map(|due| due.filter(|_| !self.closed));
        let engine = self.conn.poll_timeout();
        [engine, self.alarm, speak, tell]
            .into_iter()
            .flatten()
            .min()
    }

    /// Has the engine build packets, and passes on to it what waits as long as it sends.
    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        max_segments: usize,
        buf: &mut Vec<u8>,
    ) -> Option<quinn_proto::Transmit> {
        let fit = MAX_BATCH / usize::from(self.conn.current_mtu());
        let max_segments = max_segments.min(fit.max(1));
        self.follow_path();
        self.collect_events();
        let flushed = self.flush(now, !self.saturated);
        let urgent = self.control.is_urgent();
        let max_segments = if urgent { 1 } else { max_segments };
        let mut transmit = self.conn.poll_transmit(now, max_segments, buf);
        while transmit.as_ref().is_some_and(|it| self.is_astray(it)) {
            buf.clear();
            transmit = self.conn.poll_transmit(now, max_segments, buf);
        }
        if urgent {
            self.control.set_urgent(false);
        }
        self.held = false;
        if let Some(transmit) = &transmit {
            let asked = self.asked.0;
            self.take_stock(now, transmit.size);
            self.unreached &= transmit.destination != self.remote || self.asked.0 == asked;
        }
        self.saturated = transmit.is_none() && (self.saturated || flushed);
        transmit
    }

    fn their_idle_timeout(&self) -> Option<Duration> {
        let parameters = self.conn.crypto_session().transport_parameters();
        let theirs = parameters.ok().flatten()?;
        Parameters::new(&theirs).max_idle_timeout()
    }

    /// Takes note of what the engine has counted, now that it has sent something of this size.
    fn take_stock(&mut self, now: Instant, size: usize) {
        let stats = self.conn.stats();
        let complaints = stats.frame_rx.data_blocked;
        let received = stats.udp_rx.bytes;
        self.window.note(now, self.conn.rtt(), complaints, received);
        let sent = stats.frame_tx;
        self.count_discarded(sent.datagram);
        let asking = [
            sent.stream,
            sent.datagram,
            sent.ping,
            sent.max_data,
            sent.max_stream_data,
            sent.max_streams_bidi,
            sent.max_streams_uni,
            sent.reset_stream,
            sent.stop_sending,
            sent.new_connection_id,
            sent.retire_connection_id,
        ];
        let asked = asking.into_iter().sum();
        if asked != self.asked.0 {
            self.asked = (asked, Some(now));
            if self.silence.is_missed(now, self.conn.rtt()) {
                self.events.push_back(LinkEvent::Presence(false));
            }
            self.control.sent(size);
        }
    }

    /// Whether this must not be sent: a search for a larger MTU, at an address that has not proved to be the other
    /// side's. The engine does not count it among the little that it may send there.
    fn is_astray(&mut self, transmit: &quinn_proto::Transmit) -> bool {
        if self
            .unproven
            .as_ref()
            .is_some_and(|before| self.proofs() > **before)
        {
            self.unproven = None;
        }
        let is_search =
            transmit.segment_size.is_none() && transmit.size > usize::from(self.conn.current_mtu());
        self.unproven.is_some() && is_search
    }

    /// How often the other side has shown that it is at the address that it was asked at.
    fn proofs(&self) -> u64 {
        self.conn.stats().frame_rx.path_response
    }
}

/// Tells the engine's paths apart: each has a controller of its own.
fn path_of(conn: &Connection) -> usize {
    ptr::from_ref(conn.congestion_state()).cast::<()>().addr()
}

/// What fits in one UDP datagram's length field, headers aside, and so in one batch.
pub(crate) const MAX_BATCH: usize = 65_000;
/// For how long a closed link stays, to say goodbye once more to whom the first one did not reach.
const MAX_LINGER: Duration = Duration::from_secs(10);
