//! Engines: how links come to be.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use quinn_proto::{
    ConnectionId, EndpointConfig, Incoming, ServerConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rand::RngCore;

use super::{
    LinkEvent, Transport, VIRTUAL,
    cid::CidGenerator,
    event,
    handshakes::{Admission, Verdict},
    keys::{ResetKey, TokenKey},
    link::Link,
    observer::Observer,
    settings::transport_config,
    tls,
};
use crate::{
    Certificate, ChannelConfig, ChannelId, ClientId, ConfigError, Identity, Trust,
    wire::{CID_LEN, Route},
};

/// Names an engine of a [`Transport`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EngineId(u64);

pub(super) struct Engine {
    pub(super) endpoint: quinn_proto::Endpoint,
    pub(super) kind: EngineKind,
}

pub(super) enum EngineKind {
    /// Connects to one place, or has accepted what it was made for.
    Single,
    /// Accepts one link, for this channel.
    Awaiting(ChannelId, Accepting),
    /// Accepts everyone's.
    Public(Accepting, Admission),
}

/// How links are accepted.
#[derive(Clone)]
pub(super) struct Accepting {
    server: ServerConfig,
    channel: ChannelConfig,
}

impl Transport {
    /// An engine that accepts home channels from everyone.
    pub(crate) fn listen(
        &mut self,
        certificate: &Certificate,
        channel: &ChannelConfig,
        admission: Admission,
        reset_key: Option<[u8; 32]>,
    ) -> Result<EngineId, ConfigError> {
        let tls = tls::home_server(certificate)?;
        let accepting = self.accepting(tls, channel, admission.handshakes);
        let kind = EngineKind::Public(accepting, admission);
        Ok(self.add_engine(kind, None, channel, reset_key))
    }

    /// A link to a Coordinator, on the engine that has others to it already, or on a new one.
    pub(crate) fn connect_home(
        &mut self,
        now: Instant,
        engine: Option<EngineId>,
        id: ChannelId,
        end: &HomeEnd<'_>,
        channel: &ChannelConfig,
    ) -> Option<EngineId> {
        let mut first_cid = [0; MAX_CID];
        self.rng.fill_bytes(&mut first_cid);
        first_cid[0] &= 0x7f;
        let engine = engine
            .filter(|engine| self.engines.contains_key(engine))
            .unwrap_or_else(|| self.add_engine(EngineKind::Single, None, channel, None));
        self.connect(
            now,
            engine,
            id,
            end.address,
            end.host_name,
            Arc::clone(&end.tls.0),
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

    /// Forgets an engine that has no link.
    pub(crate) fn remove_engine(&mut self, id: EngineId) {
        self.engines.remove(&id);
    }

    pub(super) fn handle_incoming(
        &mut self,
        now: Instant,
        engine_id: EngineId,
        incoming: Incoming,
    ) {
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
            EngineKind::Public(accepting, admission) => {
                let ip = incoming.remote_address().ip();
                let proven = incoming.remote_address_validated();
                match self.handshakes.judge(ip, proven, admission) {
                    Verdict::Accept => {}
                    Verdict::Retry => {
                        match engine.endpoint.retry(incoming, buf) {
                            Ok(transmit) => self.respond(&transmit),
                            Err(error) => engine.endpoint.ignore(error.into_incoming()),
                        }
                        return;
                    }
                    Verdict::Ignore => {
                        self.stats.handshakes_refused += 1;
                        engine.endpoint.ignore(incoming);
                        return;
                    }
                }
                if self.links.len() >= admission.links {
                    self.stats.handshakes_refused += 1;
                    let transmit = engine.endpoint.refuse(incoming, buf);
                    self.respond(&transmit);
                    return;
                }
                (accepting.clone(), None)
            }
        };
        let (transport, control) = transport_config(now, &accepting.channel, id.is_none());
        let observer = Observer::new();
        let mut server = accepting.server;
        server.crypto = observer.watch_server(server.crypto);
        server.transport_config(transport);
        match engine
            .endpoint
            .accept(incoming, now, buf, Some(Arc::new(server)))
        {
            Ok((handle, conn)) => {
                let config = &accepting.channel;
                let mut link = Link::new(now, conn, engine_id, handle, control, observer, config);
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
        let observer = Observer::new();
        let mut config = quinn_proto::ClientConfig::new(observer.watch_client(tls));
        config
            .transport_config(transport)
            .initial_dst_cid_provider(Arc::new(move || ConnectionId::new(&first_cid)));
        match engine.endpoint.connect(now, config, address, name) {
            Ok((handle, conn)) => {
                let link = Link::new(now, conn, engine_id, handle, control, observer, channel);
                self.add_link(id, link);
                true
            }
            Err(error) => {
                tracing::debug!(%error, %address, "cannot connect");
                self.release_engine(engine_id);
                false
            }
        }
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

/// A Coordinator, seen from a Client.
#[derive(Clone, Copy)]
pub(crate) struct HomeEnd<'a> {
    pub(crate) address: SocketAddr,
    /// What its certificate is checked against.
    pub(crate) host_name: &'a str,
    pub(crate) tls: &'a HomeTls,
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

/// Not sent: peers are known by their keys. TLS wants a name all the same.
const PEER_NAME: &str = "peer.invalid";
const QUIC_V1: u32 = 1;
const MAX_CID: usize = 20;
/// Bytes held for a handshake before it is accepted; it is accepted at once.
const INCOMING_BUFFER: u64 = 16 << 10;
