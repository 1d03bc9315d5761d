//! The QUIC engine, and nothing of conec's own protocol. The only folder that may name `quinn_proto`.
//!
//! A [`Transport`] holds all of an entity's links and looks after those that something happened to. Links are named by
//! the channels they carry. An *engine* is a QUIC endpoint: one for all home channels, one for each peer channel's end,
//! since each issues connection IDs of its own kind.

mod cid;
mod deadlines;
mod event;
mod handshakes;
mod keys;
mod link;
mod outgoing;
mod packets;
mod settings;
mod silence;
mod tls;
mod window;

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    sync::Arc,
    time::Instant,
};

use bytes::BytesMut;
use quinn_proto::{
    ConnectionId, DatagramEvent, EndpointConfig, EndpointEvent, Incoming, ServerConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};

use self::{
    cid::CidGenerator,
    handshakes::{Admission, Handshakes},
    keys::{ResetKey, TokenKey},
    packets::PacketBuffer,
    settings::transport_config,
};
pub(crate) use self::{
    deadlines::Deadlines,
    event::LinkEvent,
    link::{CONTROL, Link, Progress, Read},
    outgoing::Gathered,
};
use crate::{
    Certificate, ChannelConfig, ChannelId, ClientId, CloseReason, ConfigError, Ecn, EndpointStats,
    Identity, Limits, Transmit, Trust,
    wire::{CID_LEN, Route},
};

/// Names an engine of a [`Transport`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EngineId(u64);

/// All links of an entity.
pub(crate) struct Transport {
    engines: BTreeMap<EngineId, Engine>,
    /// Boxed: over 6 KiB each, and tables are half empty.
    links: BTreeMap<ChannelId, Box<Link>>,
    by_handle: BTreeMap<(EngineId, usize), ChannelId>,
    /// Links that something happened to.
    touched: Vec<ChannelId>,
    /// Links that may have something to send.
    line: VecDeque<ChannelId>,
    deadlines: Deadlines<ChannelId>,
    /// Stateless answers to strangers.
    responses: VecDeque<Transmit>,
    events: VecDeque<(ChannelId, LinkEvent)>,
    /// Accepted links of which it is not known yet whose they are.
    handshakes: Handshakes,
    /// By how many bytes receive windows may still grow.
    window_store: u64,
    next_id: u64,
    rng: StdRng,
    packets: PacketBuffer,
    pub(crate) stats: EndpointStats,
}

struct Engine {
    endpoint: quinn_proto::Endpoint,
    kind: EngineKind,
}

enum EngineKind {
    /// Connects, or has accepted what it was made for.
    Single,
    /// Accepts one link, for this channel.
    Awaiting(ChannelId, Accepting),
    /// Accepts everyone's.
    Public(Accepting, Limits),
}

/// How links are accepted.
#[derive(Clone)]
struct Accepting {
    server: ServerConfig,
    channel: ChannelConfig,
}

impl Transport {
    pub(crate) fn new(seed: [u8; 32], limits: &Limits) -> Self {
        Self {
            engines: BTreeMap::new(),
            links: BTreeMap::new(),
            by_handle: BTreeMap::new(),
            touched: Vec::new(),
            line: VecDeque::new(),
            deadlines: Deadlines::new(),
            responses: VecDeque::new(),
            events: VecDeque::new(),
            handshakes: Handshakes::default(),
            window_store: limits.window_memory as u64,
            next_id: 1,
            rng: StdRng::from_seed(seed),
            packets: PacketBuffer::default(),
            stats: EndpointStats::default(),
        }
    }

    /// An id that was never given before, and is not [`ChannelId::HOME`].
    pub(crate) fn fresh_id(&mut self) -> ChannelId {
        let id = ChannelId(self.next_id);
        self.next_id += 1;
        id
    }

    /// A random number.
    pub(crate) fn random(&mut self) -> u64 {
        self.rng.random()
    }

    /// An engine that accepts home channels from everyone.
    pub(crate) fn listen(
        &mut self,
        certificate: &Certificate,
        channel: &ChannelConfig,
        limits: &Limits,
        reset_key: Option<[u8; 32]>,
    ) -> Result<EngineId, ConfigError> {
        let tls = tls::home_server(certificate)?;
        let accepting = self.accepting(tls, channel, limits.handshakes);
        let kind = EngineKind::Public(accepting, limits.clone());
        Ok(self.add_engine(kind, None, channel, reset_key))
    }

    /// An engine with a link to a Coordinator, under [`ChannelId::HOME`].
    pub(crate) fn connect_home(
        &mut self,
        now: Instant,
        address: SocketAddr,
        host_name: &str,
        tls: &HomeTls,
        channel: &ChannelConfig,
    ) -> Option<EngineId> {
        let mut first_cid = [0; MAX_CID];
        self.rng.fill_bytes(&mut first_cid);
        first_cid[0] &= 0x7f;
        let engine = self.add_engine(EngineKind::Single, None, channel, None);
        let tls = Arc::clone(&tls.0);
        self.connect(
            now,
            engine,
            ChannelId::HOME,
            address,
            host_name,
            tls,
            channel,
            true,
            first_cid,
        )
        .then_some(engine)
    }

    /// An engine with a link to the other end of a peer channel.
    pub(crate) fn connect_peer(
        &mut self,
        now: Instant,
        id: ChannelId,
        identity: &Identity,
        peer: &PeerEnd,
        channel: &ChannelConfig,
    ) -> Result<EngineId, ConfigError> {
        let tls = tls::peer_client(identity, peer.id)?;
        let mut first_cid = [0; CID_LEN];
        self.rng.fill_bytes(&mut first_cid);
        first_cid[..Route::LEN].copy_from_slice(&peer.peer_route.to_bytes());
        let engine = self.add_engine(EngineKind::Single, Some(peer.own_route), channel, None);
        self.connect(
            now, engine, id, VIRTUAL, PEER_NAME, tls, channel, true, first_cid,
        );
        Ok(engine)
    }

    /// An engine that accepts the link from the other end of a peer channel.
    pub(crate) fn await_peer(
        &mut self,
        id: ChannelId,
        identity: &Identity,
        peer: &PeerEnd,
        channel: &ChannelConfig,
    ) -> Result<EngineId, ConfigError> {
        let tls = tls::peer_server(identity, peer.id)?;
        let accepting = self.accepting(tls, channel, 1);
        let kind = EngineKind::Awaiting(id, accepting);
        Ok(self.add_engine(kind, Some(peer.own_route), channel, None))
    }

    /// The other side of an accepted link has said who it is.
    pub(crate) fn introduced(&mut self, id: ChannelId) {
        let link = self.links.get_mut(&id);
        if let Some(network) = link.and_then(|link| link.newcomer.take()) {
            self.handshakes.end(network);
        }
    }

    /// Forgets an engine that has no link.
    pub(crate) fn remove_engine(&mut self, id: EngineId) {
        self.engines.remove(&id);
    }

    /// Forgets a link without a word to the other side, and its engine with it.
    pub(crate) fn discard(&mut self, id: ChannelId) {
        if let Some(link) = self.forget(id) {
            self.engines.remove(&link.engine);
            self.events.retain(|&(of, _)| of != id);
        }
    }

    /// A link, which is then looked after.
    pub(crate) fn link(&mut self, id: ChannelId) -> Option<&mut Link> {
        let link = self.links.get_mut(&id)?;
        touch(id, link, &mut self.touched, &mut self.line);
        Some(link)
    }

    /// A link, only to look at.
    pub(crate) fn peek(&self, id: ChannelId) -> Option<&Link> {
        self.links.get(&id).map(|link| &**link)
    }

    /// Gives one datagram to an engine.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        engine_id: EngineId,
        remote: Option<SocketAddr>,
        local_ip: Option<IpAddr>,
        ecn: Option<Ecn>,
        payload: BytesMut,
    ) {
        let Some(engine) = self.engines.get_mut(&engine_id) else {
            self.stats.datagrams_dropped += 1;
            return;
        };
        let event = engine.endpoint.handle(
            now,
            remote.unwrap_or(VIRTUAL),
            local_ip,
            ecn.map(ecn_to_engine),
            payload,
            self.packets.clear(),
        );
        match event {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let id = self.by_handle.get(&(engine_id, handle.0));
                if let Some((&id, link)) =
                    id.and_then(|id| self.links.get_mut(id).map(|link| (id, link)))
                {
                    // Before the handshake is complete nobody may move (RFC 9000, 9). The engine sees to that too, but
                    // it counts the packet first, and would send three times as much to an address that may be forged.
                    if !link.connected && remote.is_some_and(|remote| remote != link.remote()) {
                        self.stats.datagrams_dropped += 1;
                        return;
                    }
                    link.handle_packet(now, event);
                    touch(id, link, &mut self.touched, &mut self.line);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.handle_incoming(now, engine_id, incoming);
            }
            // Elsewhere than in public, strangers are not answered.
            Some(DatagramEvent::Response(transmit)) => {
                if matches!(engine.kind, EngineKind::Public(..)) {
                    self.respond(&transmit);
                }
            }
            None => self.stats.datagrams_dropped += 1,
        }
    }

    /// Lets due timers fire. Afterwards, [`poll_event`](Self::poll_event) tells.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.deadlines.pop_due(now) {
            if let Some(link) = self.links.get_mut(&id) {
                link.handle_timeout(now);
                touch(id, link, &mut self.touched, &mut self.line);
            }
        }
    }

    /// The next thing that happened on a link.
    pub(crate) fn poll_event(&mut self) -> Option<(ChannelId, LinkEvent)> {
        while self.events.is_empty() {
            let id = self.touched.pop()?;
            self.look_after(id);
        }
        self.events.pop_front()
    }

    /// The next datagrams to send, and the channel that sends them; `None` for answers to strangers.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        max_segments: NonZeroUsize,
    ) -> Option<(Option<ChannelId>, Transmit)> {
        if let Some(response) = self.responses.pop_front() {
            return Some((None, response));
        }
        while let Some(id) = self.line.pop_front() {
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            link.grow_window(&mut self.window_store);
            let buf = self.packets.clear();
            // A muted link lines up again when it is touched.
            if !link.muted
                && let Some(transmit) = link.poll_transmit(now, max_segments.get(), buf)
            {
                // To the back: everyone gets a turn.
                self.line.push_back(id);
                if !link.touched {
                    link.touched = true;
                    self.touched.push(id);
                }
                let transmit = finish_transmit(&transmit, &mut self.packets);
                return Some((Some(id), transmit));
            }
            link.in_line = false;
            self.look_after(id);
        }
        None
    }

    /// When something is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Whether events are there to be polled.
    pub(crate) fn has_events(&self) -> bool {
        !(self.touched.is_empty() && self.events.is_empty())
    }

    /// Whether something is there to be polled.
    pub(crate) fn has_output(&self) -> bool {
        !(self.touched.is_empty()
            && self.line.is_empty()
            && self.responses.is_empty()
            && self.events.is_empty())
    }

    /// Whether no link is left, not even one that is saying goodbye.
    pub(crate) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// How many things are kept, apart from what is there from the beginning.
    #[cfg(feature = "__testing")]
    pub(crate) fn entries(&self) -> usize {
        let made_for_one = |engine: &&Engine| !matches!(engine.kind, EngineKind::Public(..));
        let tables = self.engines.values().filter(made_for_one).count()
            + self.links.len()
            + self.by_handle.len();
        let queues = self.touched.len() + self.line.len() + self.responses.len();
        tables + queues + self.events.len() + self.deadlines.entries() + self.handshakes.entries()
    }

    /// Applies what a link wants of its engine, takes its events, and sets its timer.
    fn look_after(&mut self, id: ChannelId) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.touched = false;
        let mut drained = false;
        if let Some(engine) = self.engines.get_mut(&link.engine) {
            let handle = link.handle;
            while let Some(event) = link.conn().poll_endpoint_events() {
                drained |= event.is_drained();
                if let Some(event) = engine.endpoint.handle_event(handle, event) {
                    link.conn().handle_event(event);
                }
            }
            if !drained && link.has_left() {
                engine
                    .endpoint
                    .handle_event(handle, EndpointEvent::drained());
                drained = true;
            }
        }
        link.collect_events();
        link.notice_move();
        if drained {
            link.end(CloseReason::TimedOut);
        }
        if link.is_closed()
            && let Some(network) = link.newcomer.take()
        {
            self.handshakes.end(network);
        }
        // An idle link keeps no room for events.
        let events = std::mem::take(&mut link.events);
        self.events
            .extend(events.into_iter().map(|event| (id, event)));
        if drained {
            let engine = link.engine;
            self.forget(id);
            self.engines
                .retain(|&of, held| of != engine || matches!(held.kind, EngineKind::Public(..)));
        } else {
            self.deadlines.set(id, link.poll_timeout());
        }
    }

    fn forget(&mut self, id: ChannelId) -> Option<Box<Link>> {
        let link = self.links.remove(&id)?;
        self.by_handle.remove(&(link.engine, link.handle.0));
        self.deadlines.set(id, None);
        self.window_store += link.extra_window();
        Some(link)
    }

    fn handle_incoming(&mut self, now: Instant, engine_id: EngineId, incoming: Incoming) {
        let Some(engine) = self.engines.get_mut(&engine_id) else {
            return;
        };
        let buf = self.packets.clear();
        let (accepting, id) = match &engine.kind {
            EngineKind::Single => {
                engine.endpoint.ignore(incoming);
                return;
            }
            EngineKind::Awaiting(id, accepting) => (accepting.clone(), Some(*id)),
            EngineKind::Public(accepting, limits) => {
                let ip = incoming.remote_address().ip();
                let proven = incoming.remote_address_validated();
                match self.handshakes.admission(ip, proven, limits) {
                    Admission::Accept => {}
                    Admission::Retry => {
                        match engine.endpoint.retry(incoming, buf) {
                            Ok(transmit) => self.respond(&transmit),
                            Err(error) => engine.endpoint.ignore(error.into_incoming()),
                        }
                        return;
                    }
                    Admission::Ignore => {
                        self.stats.handshakes_refused += 1;
                        engine.endpoint.ignore(incoming);
                        return;
                    }
                }
                if self.links.len() >= limits.clients.saturating_add(limits.handshakes) {
                    self.stats.handshakes_refused += 1;
                    let transmit = engine.endpoint.refuse(incoming, buf);
                    self.respond(&transmit);
                    return;
                }
                (accepting.clone(), None)
            }
        };
        let (transport, control) = transport_config(now, &accepting.channel, id.is_none());
        let mut server = accepting.server;
        server.transport_config(transport);
        match engine
            .endpoint
            .accept(incoming, now, buf, Some(Arc::new(server)))
        {
            Ok((handle, conn)) => {
                let mut link = Link::new(now, conn, engine_id, handle, control, &accepting.channel);
                let id = match id {
                    Some(id) => {
                        engine.kind = EngineKind::Single;
                        id
                    }
                    None => {
                        link.newcomer = Some(self.handshakes.begin(link.remote().ip()));
                        self.fresh_id()
                    }
                };
                self.add_link(id, link);
                self.events.push_back((id, LinkEvent::Accepted));
            }
            Err(error) => {
                self.stats.handshakes_refused += 1;
                // Without an answer it was no more than a damaged packet.
                if let Some(transmit) = error.response {
                    self.respond(&transmit);
                    if let Some(id) = id {
                        let reason = event::close_reason(error.cause);
                        self.events.push_back((id, LinkEvent::Closed(reason)));
                    }
                }
            }
        }
    }

    /// Queues an answer to someone without a link.
    fn respond(&mut self, transmit: &quinn_proto::Transmit) {
        if self.responses.len() < MAX_RESPONSES {
            let response = finish_transmit(transmit, &mut self.packets);
            self.responses.push_back(response);
        }
    }

    fn accepting(
        &mut self,
        tls: Arc<QuicServerConfig>,
        channel: &ChannelConfig,
        handshakes: usize,
    ) -> Accepting {
        let mut token_key = [0; 64];
        self.rng.fill_bytes(&mut token_key);
        let mut server = ServerConfig::new(tls, Arc::new(TokenKey::new(&token_key)));
        server
            .max_incoming(handshakes)
            .incoming_buffer_size(INCOMING_BUFFER)
            .incoming_buffer_size_total(INCOMING_BUFFER * 64);
        Accepting {
            server,
            channel: channel.clone(),
        }
    }

    fn add_engine(
        &mut self,
        kind: EngineKind,
        route: Option<Route>,
        channel: &ChannelConfig,
        reset_key: Option<[u8; 32]>,
    ) -> EngineId {
        let mut cid_seed = [0; 32];
        let mut engine_seed = [0; 32];
        let mut random_key = [0; 32];
        self.rng.fill_bytes(&mut cid_seed);
        self.rng.fill_bytes(&mut engine_seed);
        self.rng.fill_bytes(&mut random_key);
        let reset_key = ResetKey::new(&reset_key.unwrap_or(random_key));
        let mut config = EndpointConfig::new(Arc::new(reset_key));
        config
            .rng_seed(Some(engine_seed))
            .supported_versions(vec![QUIC_V1])
            // Probes are told from packets by the fixed bit.
            .grease_quic_bit(false)
            .cid_generator(move || Box::new(CidGenerator::new(route, cid_seed)));
        // Fails below 1200, which the settings cannot be.
        let _ = config.max_udp_payload_size(channel.max_mtu);
        let server = match &kind {
            EngineKind::Single => None,
            EngineKind::Awaiting(_, accepting) | EngineKind::Public(accepting, _) => {
                Some(Arc::new(accepting.server.clone()))
            }
        };
        let endpoint = quinn_proto::Endpoint::new(Arc::new(config), server, true, None);
        let id = EngineId(self.next_id);
        self.next_id += 1;
        self.engines.insert(id, Engine { endpoint, kind });
        id
    }

    #[expect(clippy::too_many_arguments, reason = "two callers, right above")]
    fn connect<const N: usize>(
        &mut self,
        now: Instant,
        engine_id: EngineId,
        id: ChannelId,
        address: SocketAddr,
        name: &str,
        tls: Arc<QuicClientConfig>,
        channel: &ChannelConfig,
        keep_alive: bool,
        first_cid: [u8; N],
    ) -> bool {
        let Some(engine) = self.engines.get_mut(&engine_id) else {
            return false;
        };
        let (transport, control) = transport_config(now, channel, keep_alive);
        let mut config = quinn_proto::ClientConfig::new(tls);
        config
            .transport_config(transport)
            .initial_dst_cid_provider(Arc::new(move || ConnectionId::new(&first_cid)));
        match engine.endpoint.connect(now, config, address, name) {
            Ok((handle, conn)) => {
                self.add_link(
                    id,
                    Link::new(now, conn, engine_id, handle, control, channel),
                );
                true
            }
            Err(error) => {
                tracing::debug!(%error, %address, "cannot connect");
                self.engines.remove(&engine_id);
                false
            }
        }
    }

    fn add_link(&mut self, id: ChannelId, mut link: Link) {
        touch(id, &mut link, &mut self.touched, &mut self.line);
        self.by_handle.insert((link.engine, link.handle.0), id);
        self.links.insert(id, Box::new(link));
    }
}

/// The TLS settings of a Client's home channel, made once.
#[derive(Clone)]
pub(crate) struct HomeTls(Arc<QuicClientConfig>);

impl HomeTls {
    pub(crate) fn new(identity: &Identity, trust: &Trust) -> Result<Self, ConfigError> {
        tls::home_client(identity, trust).map(Self)
    }
}

/// What the ends of a peer channel know of it, seen from one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerEnd {
    pub(crate) own_route: Route,
    pub(crate) peer_route: Route,
    /// Who is at the other end.
    pub(crate) id: ClientId,
}

/// Whether this is a name or address that TLS can take for the server's.
pub(crate) fn is_host_name(name: &str) -> bool {
    rustls::pki_types::ServerName::try_from(name).is_ok()
}

fn touch(
    id: ChannelId,
    link: &mut Link,
    touched: &mut Vec<ChannelId>,
    line: &mut VecDeque<ChannelId>,
) {
    if !link.touched {
        link.touched = true;
        touched.push(id);
    }
    if !link.in_line {
        link.in_line = true;
        line.push_back(id);
    }
}

fn finish_transmit(transmit: &quinn_proto::Transmit, packets: &mut PacketBuffer) -> Transmit {
    Transmit {
        destination: transmit.destination,
        source_ip: transmit.src_ip,
        ecn: transmit.ecn.map(ecn_from_engine),
        segment_size: transmit.segment_size,
        payload: packets.take(transmit.size),
    }
}

fn ecn_to_engine(ecn: Ecn) -> quinn_proto::EcnCodepoint {
    match ecn {
        Ecn::Ect0 => quinn_proto::EcnCodepoint::Ect0,
        Ecn::Ect1 => quinn_proto::EcnCodepoint::Ect1,
        Ecn::Ce => quinn_proto::EcnCodepoint::Ce,
    }
}

fn ecn_from_engine(ecn: quinn_proto::EcnCodepoint) -> Ecn {
    match ecn {
        quinn_proto::EcnCodepoint::Ect0 => Ecn::Ect0,
        quinn_proto::EcnCodepoint::Ect1 => Ecn::Ect1,
        quinn_proto::EcnCodepoint::Ce => Ecn::Ce,
    }
}

/// What the engine of a peer channel takes for the other end's address, whatever path packets travel on: from the
/// discard-only block (RFC 6666), so that nothing is ever sent to it by mistake.
const VIRTUAL: SocketAddr = SocketAddr::V6(std::net::SocketAddrV6::new(
    std::net::Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1),
    1,
    0,
    0,
));
/// Not sent: peers are known by their keys. TLS wants a name all the same.
const PEER_NAME: &str = "peer.invalid";
const QUIC_V1: u32 = 1;
const MAX_CID: usize = 20;
const MAX_RESPONSES: usize = 256;
/// Bytes held for a handshake before it is accepted; it is accepted at once.
const INCOMING_BUFFER: u64 = 16 << 10;
