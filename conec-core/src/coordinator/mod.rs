//! The Coordinator: admits Clients, arranges channels between them, forwards their packets.

mod broker;
mod event;
mod forward;
mod pairs;
mod registry;
mod second;
mod session;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

pub use self::event::CoordinatorEvent;
pub(crate) use self::forward::run_length;
use self::{
    broker::Broker,
    event::Events,
    forward::{Forwarding, Run},
    registry::Registry,
    session::Session,
};
use crate::{
    AnswerError, Channel, ChannelEvent, ChannelId, ClientId, Code, ConfigError, CoordinatorConfig,
    Datagram, Endpoint, EndpointStats, KeyPin, Name, OpenChannelError, PairId, PathStats, PeerInfo,
    Target, Transmit, Unreachable,
    buffers::Buffers,
    channel::{ChannelCore, Channels, Notice},
    endpoint::sealed::Sealed,
    transport::{Arrival, EngineId, LinkEvent, Transport, is_overslept},
    util::Deadlines,
    wire::{CoordinatorMessage, PacketKind, Route, classify},
};

/// A Coordinator: the one server that all Clients connect to.
///
/// A Client is named by its home channel, from [`ClientAsks`](CoordinatorEvent::ClientAsks) or
/// [`ClientConnected`](CoordinatorEvent::ClientConnected) until the end of that channel. To disconnect one, end its
/// home channel with [`Channel::close`] or [`Channel::abort`].
///
/// Methods that change something take effect with the next [`poll_transmit`](Endpoint::poll_transmit). Dropping a
/// Coordinator says goodbye to nobody; the Clients notice by their idle timeouts. [`close`](Endpoint::close) it first.
pub struct Coordinator {
    config: CoordinatorConfig,
    transport: Transport,
    buffers: Buffers,
    engine: EngineId,
    sessions: Channels<Session>,
    registry: Registry,
    broker: Broker,
    forwarding: Forwarding,
    /// Whose probes to the second port bear these.
    second_routes: BTreeMap<Route, ChannelId>,
    /// Until when a Client must have completed its handshake, introduced itself, or been answered.
    deadlines: Deadlines<ChannelId>,
    events: Events,
    /// Sessions that the application may have ended.
    accessed: BTreeSet<ChannelId>,
    closing: bool,
    /// Whether forwarded packets or our own are sent next.
    forward_next: bool,
    /// The latest time seen.
    now: Option<Instant>,
}

impl Coordinator {
    /// A Coordinator that waits for Clients. All its randomness but that of TLS comes from `seed`, which must be
    /// unpredictable outside of tests.
    pub fn new(config: CoordinatorConfig, seed: [u8; 32]) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut transport = Transport::new(seed, &config.limits);
        let engine = transport.listen(
            &config.certificate,
            &config.home,
            &config.limits,
            config.reset_key,
        )?;
        Ok(Self {
            transport,
            buffers: Buffers::default(),
            engine,
            sessions: Channels::new(),
            registry: Registry::default(),
            broker: Broker::new(),
            forwarding: Forwarding::new(&config.limits),
            second_routes: BTreeMap::new(),
            deadlines: Deadlines::new(),
            events: Events::new(config.limits.events),
            accessed: BTreeSet::new(),
            closing: false,
            forward_next: false,
            now: None,
            config,
        })
    }

    /// The hash of the Coordinator's key, for [`Trust::Pin`](crate::Trust::Pin).
    pub fn pin(&self) -> KeyPin {
        self.config.certificate.pin()
    }

    /// Lets a Client in that [asked](CoordinatorEvent::ClientAsks), under a name of the application's choice.
    ///
    /// If another identity has taken the name meanwhile, the Client is refused with
    /// [`NameInUse`](crate::ErrorCode::NameInUse).
    pub fn admit(
        &mut self,
        now: Instant,
        client: ChannelId,
        name: Option<Name>,
    ) -> Result<(), AnswerError> {
        let now = self.advance(now);
        let admitted = self.admit_asking(now, client, name);
        self.settle(now);
        admitted
    }

    /// Turns a Client away that [asked](CoordinatorEvent::ClientAsks); it learns the code.
    pub fn refuse(
        &mut self,
        now: Instant,
        client: ChannelId,
        code: Code,
    ) -> Result<(), AnswerError> {
        let now = self.advance(now);
        let refused = self.refuse_asking(now, client, code);
        self.settle(now);
        refused
    }

    /// Connects two Clients. Each is offered the channel and can reject it, `from` as its initiator.
    ///
    /// [`PairStarted`](CoordinatorEvent::PairStarted) follows, or
    /// [`PairClosed`](CoordinatorEvent::PairClosed) within the timeouts of [`Limits`](crate::Limits).
    pub fn connect(
        &mut self,
        now: Instant,
        from: impl Into<Target>,
        to: impl Into<Target>,
        label: &[u8],
    ) -> Result<PairId, OpenChannelError> {
        let now = self.advance(now);
        let pair = self.connect_pair(now, &from.into(), &to.into(), label);
        self.settle(now);
        pair
    }

    /// Lets a Client have the channel that it [asked](CoordinatorEvent::PairAsks) for, if the other end wants it too.
    pub fn grant(&mut self, now: Instant, pair: PairId) -> Result<(), AnswerError> {
        let now = self.advance(now);
        let granted = self.grant_pair(now, pair);
        self.settle(now);
        granted
    }

    /// Denies a Client the channel that it [asked](CoordinatorEvent::PairAsks) for. It learns no more than that no such
    /// Client could be found.
    pub fn deny(&mut self, now: Instant, pair: PairId) -> Result<(), AnswerError> {
        let now = self.advance(now);
        let denied = self.deny_pair(pair);
        self.settle(now);
        denied
    }

    /// Takes a channel from the two Clients that it connects; both learn the code.
    pub fn disconnect(
        &mut self,
        now: Instant,
        pair: PairId,
        code: Code,
    ) -> Result<(), AnswerError> {
        let now = self.advance(now);
        let disconnected = self.disconnect_pair(pair, code);
        self.settle(now);
        disconnected
    }

    /// The next event of those that are not about a channel's inside, and the ends of home channels.
    ///
    /// For drivers that take [channel events by themselves](Endpoint::poll_channel_event), when the application asks for an
    /// event. What nobody asks for waits, and [`Limits::events`](crate::Limits::events) bounds it.
    pub fn poll_application_event(&mut self) -> Option<CoordinatorEvent> {
        self.events.pop()
    }

    /// Says whether the application has no use for events. As long as it has none they hold up nothing: of those that
    /// nobody takes, the oldest give way.
    pub fn ignore_events(&mut self, ignored: bool) {
        self.events.ignore(ignored);
    }

    /// How many events have given way.
    pub fn missed_events(&self) -> u64 {
        self.events.missed()
    }

    /// The home channel of a connected Client.
    pub fn find(&self, target: impl Into<Target>) -> Option<ChannelId> {
        self.registry.find(&target.into())
    }

    /// Who is connected on this home channel, and under which name.
    pub fn client(&self, client: ChannelId) -> Option<(ClientId, Option<&Name>)> {
        self.sessions.get(client)?.role.admitted()
    }

    /// How many Clients are connected.
    pub fn clients(&self) -> usize {
        self.registry.len()
    }

    /// Where a Client's packets come from: the last address that it has confirmed.
    pub fn address(&self, client: ChannelId) -> Option<SocketAddr> {
        let session = &self.sessions.get(client)?.role;
        session.admitted()?;
        Some(session.place().address)
    }
}

impl Sealed for Coordinator {}

impl Endpoint for Coordinator {
    type Event = CoordinatorEvent;

    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        let now = self.turn(now);
        let Datagram {
            source,
            destination_ip,
            ecn,
            segment_size,
            payload,
        } = datagram;
        let mut batch = self.buffers.batch(payload, segment_size);
        let arrival = Arrival {
            remote: Some(source),
            local_ip: destination_ip,
            ecn,
        };
        while let Some(first) = batch.first() {
            let (own, forward) = match classify(first) {
                PacketKind::Short(Some(route)) | PacketKind::Long(Some(route))
                    if self.forwarding.knows(route) =>
                {
                    (false, Some(route))
                }
                // A straggler of a channel that is over. An answer would be taken for the other end's.
                PacketKind::Long(Some(_)) | PacketKind::Short(Some(_)) => (false, None),
                // Others than to the second port go directly or not at all.
                PacketKind::Probe(route) => {
                    let packet = batch.take_packet();
                    self.second_port_heard(now, source, route, packet);
                    continue;
                }
                PacketKind::Other => (false, None),
                PacketKind::Long(None) | PacketKind::Short(None) => (true, None),
            };
            if let Some(route) = forward {
                let segment_size = batch.segment_size;
                let run_length = run_length(batch.rest(), segment_size, route);
                let run = Run {
                    source,
                    ecn,
                    segment_size,
                    payload: batch.take_run(run_length),
                };
                self.forwarding
                    .forward(now, route, run, &mut self.transport.stats);
                continue;
            }
            let engine = own.then_some(self.engine);
            self.transport
                .handle_packet(now, engine, &arrival, &mut batch);
        }
        while let Some((client, packets)) = self.forwarding.pop_throttled() {
            self.tell(client, &CoordinatorMessage::Throttled { packets });
        }
        self.settle(now);
    }

    fn take_buffer(&mut self) -> Option<BytesMut> {
        self.buffers.take()
    }

    fn handle_timeout(&mut self, now: Instant) {
        let now = self.turn(now);
        self.transport.handle_timeout(now);
        while let Some(client) = self.deadlines.pop_due(now) {
            self.session_deadline_passed(now, client);
        }
        while let Some(pair) = self.broker.pop_due(now) {
            self.pair_deadline_passed(pair);
        }
        self.settle(now);
    }

    fn handle_socket_error(&mut self) {
        self.transport.stats.socket_errors += 1;
    }

    fn handle_unreachable(&mut self, _: Instant, _: SocketAddr, _: Unreachable) {}

    fn wants_unreachable(&self) -> bool {
        false
    }

    fn wants_host_addresses(&mut self) -> bool {
        false
    }

    fn handle_host_addresses(&mut self, _: Instant, _: &[SocketAddr]) {}

    fn poll_event(&mut self) -> Option<CoordinatorEvent> {
        self.settle_output();
        if let Some(event) = self.events.pop() {
            return Some(event);
        }
        let poll = ChannelCore::poll_event;
        let (channel, event) = self.sessions.poll_event(&mut self.accessed, poll)?;
        Some(CoordinatorEvent::Channel { channel, event })
    }

    fn poll_channel_event(&mut self) -> Option<(ChannelId, ChannelEvent)> {
        self.settle_output();
        let poll = ChannelCore::poll_signal;
        let (channel, event) = self.sessions.poll_event(&mut self.accessed, poll)?;
        if let ChannelEvent::Closed { .. } = event {
            let event = event.clone();
            self.events
                .push(CoordinatorEvent::Channel { channel, event });
        }
        Some((channel, event))
    }

    fn has_application_events(&self) -> bool {
        self.events.len() > 0
    }

    fn poll_transmit(&mut self, now: Instant, max_segments: NonZeroUsize) -> Option<Transmit> {
        let now = self.advance(now);
        self.forward_next = !self.forward_next;
        if self.forward_next
            && let Some(transmit) = self.forwarding.poll_transmit(max_segments.get())
        {
            return Some(transmit);
        }
        if let Some((_, transmit)) = self.transport.poll_transmit(now, max_segments) {
            return Some(transmit);
        }
        self.forwarding.poll_transmit(max_segments.get())
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.has_application_events() || self.sessions.is_eventful() {
            return self.now;
        }
        self.poll_wakeup()
    }

    fn poll_wakeup(&self) -> Option<Instant> {
        if self.transport.has_output() || !self.accessed.is_empty() || !self.forwarding.is_idle() {
            return self.now;
        }
        self.next_due()
    }

    fn channel(&mut self, id: ChannelId) -> Option<Channel<'_>> {
        let entry = self.sessions.get_mut(id)?;
        let link = self.transport.link(id);
        self.accessed.insert(id);
        Some(Channel {
            core: &mut entry.core,
            link,
        })
    }

    fn peer(&self, id: ChannelId) -> Option<PeerInfo> {
        let (id, name) = self.client(id)?;
        Some(PeerInfo {
            id,
            name: name.cloned(),
            label: Bytes::new(),
        })
    }

    fn path_stats(&self, _: ChannelId) -> Option<PathStats> {
        None
    }

    fn channel_event(
        event: CoordinatorEvent,
    ) -> Result<(ChannelId, ChannelEvent), CoordinatorEvent> {
        match event {
            CoordinatorEvent::Channel { channel, event } => Ok((channel, event)),
            event @ (CoordinatorEvent::ClientAsks { .. }
            | CoordinatorEvent::ClientConnected { .. }
            | CoordinatorEvent::PairAsks { .. }
            | CoordinatorEvent::PairStarted { .. }
            | CoordinatorEvent::PairClosed { .. }) => Err(event),
        }
    }

    fn close(&mut self, now: Instant, patience: Duration) {
        let now = self.advance(now);
        self.closing = true;
        for id in self.sessions.ids() {
            if let Some(mut home) = self.channel(id) {
                home.close(now, patience);
            }
        }
        self.settle(now);
    }

    fn is_finished(&self) -> bool {
        self.closing && self.sessions.len() == 0 && self.transport.is_empty()
    }

    fn stats(&self) -> EndpointStats {
        self.transport.stats
    }
}

impl Coordinator {
    fn advance(&mut self, now: Instant) -> Instant {
        *self
            .now
            .insert(self.now.map_or(now, |latest| latest.max(now)))
    }

    /// The driver's turn begins, perhaps after a long time.
    fn turn(&mut self, now: Instant) -> Instant {
        let before = self.now;
        let now = self.advance(now);
        if is_overslept(before, self.next_due(), now) {
            self.transport.wake(now);
        }
        now
    }

    /// When the first of all that waits for its time is due.
    fn next_due(&self) -> Option<Instant> {
        [
            self.transport.poll_timeout(),
            self.deadlines.next(),
            self.broker.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(crate) fn entries(&self) -> usize {
        let tables = self.sessions.entries() + self.registry.entries() + self.broker.entries();
        let queues = self.events.len() + self.accessed.len() + self.deadlines.entries();
        let tables = tables + self.second_routes.len();
        tables + queues + self.forwarding.entries() + self.transport.entries()
    }

    /// Whether so many events wait that nothing may begin which leads to more.
    fn is_lagging(&self) -> bool {
        self.events.is_full()
    }

    /// Does what is to be done before events are given.
    fn settle_output(&mut self) {
        if let Some(now) = self.now
            && (self.transport.has_output() || !self.accessed.is_empty())
        {
            self.settle(now);
        }
    }

    /// Reacts to what happened on the links until nothing is left to react to.
    fn settle(&mut self, now: Instant) {
        loop {
            while let Some((id, event)) = self.transport.poll_event() {
                self.handle_link_event(now, id, event);
            }
            // What the application did through handles has consequences too.
            while let Some(id) = self.accessed.pop_first() {
                if let (Some(entry), Some(link)) =
                    (self.sessions.get_mut(id), self.transport.link(id))
                {
                    entry.core.resume(link, now);
                }
                self.handle_notices(now, id);
                self.bound_memory(now, id);
            }
            if !self.transport.has_events() {
                return;
            }
        }
    }

    fn handle_link_event(&mut self, now: Instant, id: ChannelId, event: LinkEvent) {
        if event == LinkEvent::Accepted {
            self.session_accepted(now, id);
        }
        let Some(entry) = self.sessions.get_mut(id) else {
            return;
        };
        if let LinkEvent::Closed(reason) = event {
            entry.core.abandon(reason);
        } else if let Some(link) = self.transport.link(id) {
            entry.core.handle_link_event(link, now, event);
        }
        if let LinkEvent::Moved(address) = event {
            self.session_moved(id, address);
        }
        self.handle_notices(now, id);
        self.bound_memory(now, id);
    }

    fn bound_memory(&mut self, now: Instant, changed: ChannelId) {
        let limit = self.config.limits.message_memory;
        self.sessions
            .bound_memory(&mut self.transport, now, changed, limit);
    }

    fn handle_notices(&mut self, now: Instant, id: ChannelId) {
        while let Some(entry) = self.sessions.get_mut(id)
            && let Some(notice) = entry.core.poll_notice(self.transport.link(id), now)
        {
            match notice {
                Notice::Connected { identity } => self.session_connected(now, id, identity),
                Notice::Control(payload) => self.session_control(now, id, payload),
                // The Client's own business: it lets go of its channels by itself.
                Notice::Closing | Notice::GivenUp => {}
                Notice::Ended(reason) => self.session_ended(id, reason),
            }
        }
    }
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coordinator")
            .field("clients", &self.registry.len())
            .finish_non_exhaustive()
    }
}
