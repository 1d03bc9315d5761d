//! The Client: its home channel, and its channels with other Clients.

mod event;
mod home;
mod nat;
mod path;
mod peer;
mod race;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    net::SocketAddr,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use bytes::BytesMut;

pub use self::{event::ClientEvent, nat::Nat};
use self::{home::Home, nat::Mapping, path::Paths, peer::Peer, race::Race};
use crate::{
    AnswerError, Channel, ChannelEvent, ChannelId, ClientConfig, ClientId, CloseReason, Code,
    ConfigError, ConnectError, Datagram, Endpoint, EndpointStats, Name, OpenChannelError,
    PathPolicy, PathStats, Target, Transmit, Unreachable,
    buffers::Buffers,
    channel::{ChannelCore, Channels, Notice},
    endpoint::sealed::Sealed,
    error::WireCode,
    transport::{
        Arrival, EngineId, HomeTls, LinkEvent, Transport, VIRTUAL, is_host_name, is_overslept,
    },
    util::Deadlines,
    wire::{PacketKind, RequestId, Route, classify},
};

/// A Client: connects to one Coordinator, and through it to other Clients.
///
/// Methods that change something take effect with the next [`poll_transmit`](Endpoint::poll_transmit). Dropping a
/// Client says goodbye to nobody; the others notice by their idle timeouts. [`close`](Endpoint::close) it first.
pub struct Client {
    config: ClientConfig,
    tls: HomeTls,
    transport: Transport,
    buffers: Buffers,
    channels: Channels<Role>,
    home: Home,
    /// Peer channels by the route of this Client's end.
    routes: BTreeMap<Route, (ChannelId, Option<EngineId>)>,
    paths: Paths,
    mapping: Mapping,
    requests: BTreeMap<RequestId, ChannelId>,
    next_request: RequestId,
    /// Until when a channel must have been set up.
    deadlines: Deadlines<ChannelId>,
    events: VecDeque<ClientEvent>,
    /// Channels that others want, of which the application has not heard.
    offers: BTreeSet<ChannelId>,
    /// Channels that the application, or the other kind of channel, may have ended.
    accessed: BTreeSet<ChannelId>,
    /// The latest time seen.
    now: Option<Instant>,
}

/// What a channel is for.
#[derive(Debug)]
enum Role {
    Home,
    Peer(Peer),
}

/// What a Client knows of the other end of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Who it is: proved by its key, once the channel is open.
    pub id: ClientId,
    /// What the Coordinator calls it.
    pub name: Option<Name>,
    /// What the channel is for, as its opener said.
    pub label: bytes::Bytes,
}

impl Client {
    /// A Client that does nothing yet. All its randomness but that of TLS comes from `seed`, which must be unpredictable
    /// outside of tests.
    pub fn new(config: ClientConfig, seed: [u8; 32]) -> Result<Self, ConfigError> {
        config.validate()?;
        let config = config.fit_link();
        let tls = HomeTls::new(&config.identity, &config.trust)?;
        Ok(Self {
            tls,
            transport: Transport::new(seed, &config.limits),
            buffers: Buffers::default(),
            channels: Channels::new(),
            home: Home::Unused,
            routes: BTreeMap::new(),
            paths: Paths::new(&config.limits),
            mapping: Mapping::default(),
            requests: BTreeMap::new(),
            next_request: 0,
            deadlines: Deadlines::new(),
            events: VecDeque::new(),
            offers: BTreeSet::new(),
            accessed: BTreeSet::new(),
            now: None,
            config,
        })
    }

    /// Connects to the Coordinator at whichever of these addresses leads to it first.
    ///
    /// They are raced (RFC 8305): every 250 ms, or as soon as one has failed, the next one is tried, of IPv6 and IPv4 in
    /// turn, beginning with the first that is given. Those that were tried before are tried on, until one is connected or
    /// the [handshake timeout](crate::Limits::handshake_timeout) is over, which is for all of them together and long enough
    /// for each to get its turn. An IPv4 address that is written as an IPv6 one (`::ffff:192.0.2.1`) is taken as what it is;
    /// one that is given twice is tried once; of more than 16, the first are tried.
    ///
    /// `host_name` is what the Coordinator's certificate is checked against, unless its key is pinned.
    ///
    /// [`ClientEvent::Connected`] follows, within the handshake and hello timeouts of [`Limits`](crate::Limits) after one of
    /// them is connected, or the end of [`ChannelId::HOME`]. Why that is:
    ///
    /// * [`Identity`](CloseReason::Identity), at once, if a server at one of the addresses does not prove to be the
    ///   Coordinator: to try others would only hide it.
    /// * [`Unreachable`](CloseReason::Unreachable), as soon as it is known of all addresses. It takes a
    ///   [driver](Endpoint::handle_unreachable) that asks the system; those of this project do. That nothing listens at an
    ///   address is told within a second where the system hears of it.
    /// * [`TimedOut`](CloseReason::TimedOut) if there was no answer to the end.
    /// * Otherwise what the Coordinator has answered.
    ///
    /// Where addresses differ, the one reason is told that says most of the Coordinator.
    pub fn connect(
        &mut self,
        now: Instant,
        host_name: &str,
        addresses: &[SocketAddr],
    ) -> Result<(), ConnectError> {
        let now = self.advance(now);
        if !matches!(self.home, Home::Unused) {
            return Err(ConnectError::AlreadyUsed);
        }
        if !is_host_name(host_name) {
            return Err(ConnectError::InvalidHostName);
        }
        let limit = self.config.limits.handshake_timeout;
        let race = Race::new(now, host_name, addresses, limit).ok_or(ConnectError::NoAddress)?;
        let core = ChannelCore::new(ChannelId::HOME, &self.config.home, None);
        self.channels.insert(ChannelId::HOME, core, Role::Home);
        self.paths.hosts_in_doubt(now);
        self.begin_race(now, race);
        self.settle(now);
        Ok(())
    }

    /// This Client's identity.
    pub fn id(&self) -> ClientId {
        self.config.identity.id()
    }

    /// The name that the Coordinator has granted.
    pub fn name(&self) -> Option<&Name> {
        self.home.name()
    }

    /// Where this Client's packets come from, as the Coordinator sees it.
    pub fn observed_address(&self) -> Option<SocketAddr> {
        self.home.observed()
    }

    /// Whether the Coordinator has admitted this Client, and the home channel stands.
    pub fn is_connected(&self) -> bool {
        matches!(self.home, Home::Ready { .. })
    }

    /// Asks for a channel to another Client, under a label of at most 255 bytes.
    ///
    /// [`ChannelEvent::Opened`] follows, or [`ChannelEvent::Closed`] within the timeouts of
    /// [`Limits`](crate::Limits).
    pub fn open_channel(
        &mut self,
        now: Instant,
        target: impl Into<Target>,
        label: &[u8],
    ) -> Result<ChannelId, OpenChannelError> {
        self.open_channel_with(now, target, label, self.config.paths.policy)
    }

    /// Like [`open_channel`](Self::open_channel), with a policy for what this channel's packets may travel on.
    pub fn open_channel_with(
        &mut self,
        now: Instant,
        target: impl Into<Target>,
        label: &[u8],
        policy: PathPolicy,
    ) -> Result<ChannelId, OpenChannelError> {
        let now = self.advance(now);
        let opened = self.request_channel(now, target.into(), label, policy);
        self.settle(now);
        opened
    }

    /// Accepts an [offered](ClientEvent::Offered) channel. [`ChannelEvent::Opened`] or [`ChannelEvent::Closed`] follows.
    pub fn accept(&mut self, now: Instant, id: ChannelId) -> Result<(), AnswerError> {
        self.accept_with(now, id, self.config.paths.policy)
    }

    /// Like [`accept`](Self::accept), with a policy for what this channel's packets may travel on.
    pub fn accept_with(
        &mut self,
        now: Instant,
        id: ChannelId,
        policy: PathPolicy,
    ) -> Result<(), AnswerError> {
        let now = self.advance(now);
        self.answerable(id)?;
        self.accept_offer(now, id, policy);
        self.settle(now);
        Ok(())
    }

    /// Rejects an [offered](ClientEvent::Offered) channel; the other end learns the code. [`ChannelEvent::Closed`]
    /// follows.
    pub fn reject(&mut self, now: Instant, id: ChannelId, code: Code) -> Result<(), AnswerError> {
        let now = self.advance(now);
        self.answerable(id)?;
        self.end_peer(id, CloseReason::Local, Some(WireCode::Application(code)));
        self.settle(now);
        Ok(())
    }

    /// The next channel that another Client, or the Coordinator on its own account, wants with this one: to be
    /// [accepted](Self::accept) or [rejected](Self::reject), or open already where it was accepted
    /// [automatically](ClientConfig::auto_accept).
    ///
    /// For drivers that take [channel events by themselves](Endpoint::poll_channel_event). Others are told by
    /// [`Offered`](ClientEvent::Offered). An offer that is withdrawn before it was taken is never seen.
    pub fn poll_offer(&mut self) -> Option<ChannelId> {
        let id = self.offers.pop_first()?;
        self.channels.let_through(id);
        Some(id)
    }

    /// Tells the Client at which other addresses it can be reached, such as that of a port which a router forwards,
    /// instead of those it was told before.
    ///
    /// Where a [`PathPolicy`] allows direct paths, other ends are told them first of all, within 5 seconds on channels
    /// that stand. Only the first 64 are looked at, and 12 addresses of all kinds told.
    pub fn set_mapped_addresses(&mut self, now: Instant, addresses: &[SocketAddr]) {
        let now = self.advance(now);
        self.set_mapped(now, addresses);
        self.settle(now);
    }

    /// Ends all channels at once and tells the other sides this code.
    pub fn abort(&mut self, now: Instant, code: Code) {
        let now = self.advance(now);
        // The home channel, which is the first, is the way to all others: they end before it does.
        for id in self.channels.ids().into_iter().rev() {
            if let Some(mut channel) = self.channel(id) {
                channel.abort(now, code);
            }
            self.settle(now);
        }
    }
}

impl Sealed for Client {}

impl Endpoint for Client {
    type Event = ClientEvent;

    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        let now = self.turn(now);
        let Datagram {
            source,
            destination_ip: _,
            ecn,
            segment_size,
            payload,
        } = datagram;
        let mut batch = self.buffers.batch(payload, segment_size);
        let at_home = Arrival {
            remote: Some(source),
            local_ip: None,
            ecn,
        };
        let on_any_path = Arrival {
            remote: None,
            ..at_home
        };
        while let Some(packet) = batch.first() {
            let len = packet.len();
            let from_home = self.home.address() == Some(source);
            let (engine, peer) = match classify(packet) {
                PacketKind::Long(Some(_)) if !from_home => (None, None),
                PacketKind::Long(Some(route)) => match self.routes.get(&route) {
                    Some(&(id, engine)) => (engine, Some(id)),
                    None => (None, None),
                },
                // A stateless reset looks as if it were going anywhere.
                PacketKind::Short(Some(route)) => match self.routes.get(&route) {
                    Some(&(id, Some(engine))) => (Some(engine), Some(id)),
                    Some((_, None)) | None => (self.home.engine(), None),
                },
                PacketKind::Long(None) | PacketKind::Short(None) => (self.home.engine(), None),
                PacketKind::Probe(route) => {
                    let packet = batch.take_packet();
                    self.handle_probe(now, source, route, packet);
                    continue;
                }
                PacketKind::Other => (None, None),
            };
            let arrival = if peer.is_some() {
                &on_any_path
            } else {
                &at_home
            };
            self.transport
                .handle_packet(now, engine, arrival, &mut batch);
            if let Some(id) = peer {
                self.path_heard(now, id, from_home, len);
            }
        }
        self.settle(now);
    }

    fn take_buffer(&mut self) -> Option<BytesMut> {
        self.buffers.take()
    }

    fn handle_timeout(&mut self, now: Instant) {
        let now = self.turn(now);
        self.transport.handle_timeout(now);
        while let Some(id) = self.deadlines.pop_due(now) {
            self.deadline_passed(now, id);
        }
        while let Some(id) = self.paths.pop_due(now) {
            self.path_due(now, id);
        }
        self.ask_second_port(now);
        self.settle(now);
    }

    fn handle_socket_error(&mut self) {
        self.transport.stats.socket_errors += 1;
        if let Some(now) = self.now {
            self.paths.hosts_in_doubt(now);
        }
    }

    fn handle_unreachable(&mut self, now: Instant, destination: SocketAddr, reason: Unreachable) {
        let now = self.advance(now);
        self.address_unreachable(now, destination, reason);
        self.settle(now);
    }

    fn wants_unreachable(&self) -> bool {
        matches!(self.home, Home::Connecting { .. })
    }

    fn wants_host_addresses(&mut self) -> bool {
        self.now
            .is_some_and(|now| self.paths.wants_host_addresses(now))
    }

    fn handle_host_addresses(&mut self, now: Instant, addresses: &[SocketAddr]) {
        let now = self.advance(now);
        self.set_hosts(now, addresses);
        self.settle(now);
    }

    fn poll_event(&mut self) -> Option<ClientEvent> {
        self.settle_output();
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        while let Some(id) = self.poll_offer() {
            if let Some(offered) = self.offer(id) {
                return Some(offered);
            }
        }
        let (channel, event) = self.next_channel_event(ChannelCore::poll_event)?;
        Some(ClientEvent::Channel { channel, event })
    }

    fn poll_channel_event(&mut self) -> Option<(ChannelId, ChannelEvent)> {
        self.settle_output();
        self.next_channel_event(ChannelCore::poll_signal)
    }

    fn has_application_events(&self) -> bool {
        !self.offers.is_empty()
    }

    fn poll_transmit(&mut self, now: Instant, max_segments: NonZeroUsize) -> Option<Transmit> {
        let now = self.advance(now);
        loop {
            if let Some(transmit) = self.paths.poll_transmit() {
                return Some(transmit);
            }
            let (from, transmit) = self.transport.poll_transmit(now, max_segments)?;
            // A peer channel's packets have no address of their own.
            if transmit.destination != VIRTUAL {
                return Some(transmit);
            }
            if let Some(transmit) = self.send_on_path(now, from, transmit) {
                return Some(transmit);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if !self.events.is_empty() || self.has_application_events() || self.channels.is_eventful() {
            return self.now;
        }
        self.poll_wakeup()
    }

    fn poll_wakeup(&self) -> Option<Instant> {
        if self.transport.has_output()
            || self.paths.has_output()
            || !self.accessed.is_empty()
            || self.home_ends_next()
        {
            return self.now;
        }
        self.next_due()
    }

    fn channel(&mut self, id: ChannelId) -> Option<Channel<'_>> {
        let entry = self.channels.get_mut(id)?;
        let link = self.transport.link(id);
        self.accessed.insert(id);
        Some(Channel {
            core: &mut entry.core,
            link,
        })
    }

    fn peer(&self, id: ChannelId) -> Option<PeerInfo> {
        match &self.channels.get(id)?.role {
            Role::Home => None,
            Role::Peer(peer) => peer.info(),
        }
    }

    fn path_stats(&self, id: ChannelId) -> Option<PathStats> {
        match self.channels.get(id)?.role {
            Role::Home => None,
            Role::Peer(_) => Some(self.paths.stats(id, self.transport.peek(id)?)),
        }
    }

    fn channel_event(event: ClientEvent) -> Result<(ChannelId, ChannelEvent), ClientEvent> {
        match event {
            ClientEvent::Channel { channel, event } => Ok((channel, event)),
            event @ (ClientEvent::Connected { .. }
            | ClientEvent::AddressObserved { .. }
            | ClientEvent::Throttled { .. }
            | ClientEvent::Offered { .. }) => Err(event),
        }
    }

    fn close(&mut self, now: Instant, patience: Duration) {
        let now = self.advance(now);
        self.close_peers(now, patience);
        if let Some(mut home) = self.channel(ChannelId::HOME) {
            home.close(now, patience);
        }
        self.settle(now);
    }

    fn is_finished(&self) -> bool {
        matches!(self.home, Home::Ended) && self.channels.len() == 0 && self.transport.is_empty()
    }

    fn stats(&self) -> EndpointStats {
        self.transport.stats
    }
}

impl Client {
    fn advance(&mut self, now: Instant) -> Instant {
        *self
            .now
            .insert(self.now.map_or(now, |latest| latest.max(now)))
    }

    /// Does what is to be done before events are given.
    fn settle_output(&mut self) {
        if let Some(now) = self.now
            && (self.transport.has_output() || !self.accessed.is_empty())
        {
            self.settle(now);
        }
    }

    fn next_channel_event(
        &mut self,
        poll: fn(&mut ChannelCore) -> Option<ChannelEvent>,
    ) -> Option<(ChannelId, ChannelEvent)> {
        let next = self.channels.poll_event(&mut self.accessed, poll);
        next.or_else(|| {
            // The home channel's end is the last event of all.
            self.end_home_when_alone();
            self.channels.poll_event(&mut self.accessed, poll)
        })
    }

    /// The driver's turn begins, perhaps after a long time.
    fn turn(&mut self, now: Instant) -> Instant {
        let before = self.now;
        let now = self.advance(now);
        if is_overslept(before, self.next_due(), now) {
            self.transport.wake(now);
            self.paths.hosts_in_doubt(now);
        }
        self.paths.awake(now);
        now
    }

    /// When the first of all that waits for its time is due.
    fn next_due(&self) -> Option<Instant> {
        [
            self.transport.poll_timeout(),
            self.deadlines.next(),
            self.paths.next_timeout(),
            self.mapping.next_due(),
        ]
        .into_iter()
        .flatten()
        .min()
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
                    (self.channels.get_mut(id), self.transport.link(id))
                {
                    entry.core.resume(link, now);
                }
                self.handle_notices(now, id);
                self.bound_memory(now, id);
            }
            if !self.transport.has_events() {
                break;
            }
        }
        self.forget_paths();
    }

    fn handle_link_event(&mut self, now: Instant, id: ChannelId, event: LinkEvent) {
        if event == LinkEvent::Silent {
            self.paths.hosts_in_doubt(now);
        }
        let mut id = id;
        if self.home.is_attempt(id) {
            if let LinkEvent::Closed(reason) = event {
                return self.attempt_failed(now, id, reason);
            }
            if let LinkEvent::Connected { .. } = event {
                self.attempt_connected(now, id);
                id = ChannelId::HOME;
            }
        }
        let Some(entry) = self.channels.get_mut(id) else {
            return;
        };
        if let LinkEvent::Closed(reason) = event {
            if id == ChannelId::HOME {
                return self.home_lost(reason);
            }
            entry.core.abandon(reason);
        } else if let Some(link) = self.transport.link(id) {
            entry.core.handle_link_event(link, now, event);
        }
        if event == LinkEvent::Silent && id != ChannelId::HOME {
            // Perhaps a NAT on the way has moved us, which only the Coordinator can notice.
            if let Some(home) = self.transport.link(ChannelId::HOME) {
                home.ping();
            }
            self.path_silent(now, id);
        }
        if event == LinkEvent::Audible {
            self.path_heard_again(now, id);
        }
        self.handle_notices(now, id);
        self.bound_memory(now, id);
    }

    fn bound_memory(&mut self, now: Instant, changed: ChannelId) {
        let limit = self.config.limits.message_memory;
        self.channels
            .bound_memory(&mut self.transport, now, changed, limit);
    }

    fn handle_notices(&mut self, now: Instant, id: ChannelId) {
        while let Some(entry) = self.channels.get_mut(id)
            && let Some(notice) = entry.core.poll_notice(self.transport.link(id), now)
        {
            match (&entry.role, notice) {
                (Role::Home, Notice::Connected { .. }) => self.home_connected(now),
                (Role::Home, Notice::Control(payload)) => self.home_control(now, payload),
                (Role::Home, Notice::Closing) => self.home_closing(now),
                (Role::Home, Notice::GivenUp) => self.home_given_up(now),
                (Role::Home, Notice::Ended(_)) => {}
                (Role::Peer(_), Notice::Connected { identity }) => {
                    self.peer_connected(now, id, identity);
                }
                (Role::Peer(_), Notice::Control(payload)) => self.peer_control(now, id, payload),
                (Role::Peer(_), Notice::Closing | Notice::GivenUp) => {}
                (Role::Peer(_), Notice::Ended(reason)) => self.peer_ended(now, id, reason),
            }
        }
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(crate) fn entries(&self) -> usize {
        let tables = self.routes.len() + self.requests.len() + self.deadlines.entries();
        let queues = self.events.len() + self.accessed.len() + self.paths.entries();
        let queues = queues + self.offers.len();
        tables + queues + self.transport.entries() + self.channels.entries()
    }

    fn deadline_passed(&mut self, now: Instant, id: ChannelId) {
        tracing::debug!(channel = ?id, "not set up in time");
        if id == ChannelId::HOME {
            self.home_deadline_passed(now);
        } else {
            self.peer_deadline_passed(id);
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id())
            .field("home", &self.home)
            .field("channels", &self.channels.len())
            .finish_non_exhaustive()
    }
}
