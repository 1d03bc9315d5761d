//! How links come to be: engines connect and accept.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Instant};

use quinn_proto::{
    ConnectError, ConnectionId, EndpointConfig, Incoming, ServerConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};

use super::{Accepting, Engine, EngineId, EngineKind, HomeEnd, PeerEnd};
use crate::{
    Certificate, ChannelConfig, ChannelId, ConfigError, Identity, Secret,
    transport::{
        LinkChange, Received, Transport, VIRTUAL,
        cid::CidGenerator,
        event,
        handshakes::{Admission, Admissions, Newcomer},
        keys::{ResetKey, TokenKey},
        link::Link,
        observer::Observer,
        settings::{End, transport_config},
        tls,
    },
    wire::{CID_LEN, Route},
};

impl Transport {
    /// An engine that accepts home channels from everyone.
    pub(crate) fn listen(
        &mut self,
        certificate: &Certificate,
        channel: &ChannelConfig,
        admissions: Admissions,
        reset_key: Option<Secret<[u8; 32]>>,
    ) -> Result<EngineId, ConfigError> {
        let tls = tls::home_server(certificate, channel)?;
        let accepting = self.accepting(tls, channel, admissions.handshakes);
        let kind = EngineKind::Public(accepting, admissions);
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
    ) -> Option<Box<Link>> {
        let mut first_cid = self.random::<MAX_CID>();
        first_cid[0] &= 0x7f;
        let engine = engine
            .filter(|engine| self.engines.contains_key(engine))
            .unwrap_or_else(|| self.add_engine(EngineKind::Single, None, channel, None));
        let (to, tls) = ((end.address, end.host_name), Arc::clone(&end.tls.0));
        self.connect(now, engine, id, to, tls, channel, first_cid)
            .ok()
    }

    /// A link to the other end of a peer channel, on an engine of its own.
    pub(crate) fn connect_peer(
        &mut self,
        now: Instant,
        id: ChannelId,
        identity: &Identity,
        peer: &PeerEnd,
        channel: &ChannelConfig,
    ) -> Result<Box<Link>, ConfigError> {
        let tls = tls::peer_client(identity, peer.id, channel)?;
        let mut first_cid = self.random::<CID_LEN>();
        first_cid[..Route::LEN].copy_from_slice(&peer.peer_route.to_bytes());
        let engine = self.add_engine(EngineKind::Single, Some(peer.own_route), channel, None);
        let to = (VIRTUAL, PEER_NAME);
        self.connect(now, engine, id, to, tls, channel, first_cid)
            .map_err(|error| ConfigError::Tls(error.to_string()))
    }

    /// An engine that accepts the link from the other end of a peer channel.
    pub(crate) fn await_peer(
        &mut self,
        id: ChannelId,
        identity: &Identity,
        peer: &PeerEnd,
        channel: &ChannelConfig,
    ) -> Result<EngineId, ConfigError> {
        let tls = tls::peer_server(identity, peer.id, channel)?;
        let accepting = self.accepting(tls, channel, 1);
        let kind = EngineKind::Awaiting(id, accepting);
        Ok(self.add_engine(kind, Some(peer.own_route), channel, None))
    }

    /// Forgets an engine that has no link.
    pub(crate) fn remove_engine(&mut self, id: EngineId) {
        self.engines.remove(&id);
    }

    pub(in crate::transport) fn handle_incoming(
        &mut self,
        now: Instant,
        engine_id: EngineId,
        incoming: Incoming,
    ) -> Received {
        let Some(engine) = self.engines.get_mut(&engine_id) else {
            return Received::Nothing;
        };
        match &engine.kind {
            EngineKind::Single => engine.endpoint.ignore(incoming),
            EngineKind::Awaiting(..) => return self.accept(now, engine_id, incoming, None),
            EngineKind::Public(_, admissions) => {
                let proven = incoming.remote_address_validated();
                let ip = incoming.remote_address().ip();
                let links = engine.links.len() + self.lobby.strangers();
                match self.handshakes.admission(ip, proven, links, admissions) {
                    Admission::Accept => {
                        let newcomer = self.handshakes.begin(ip, proven);
                        self.lobby.add_stranger(engine_id, incoming, newcomer);
                    }
                    Admission::Retry => {
                        match engine.endpoint.retry(incoming, self.packets.clear()) {
                            Ok(transmit) => self.respond(&transmit),
                            Err(error) => engine.endpoint.ignore(error.into_incoming()),
                        }
                    }
                    Admission::Ignore => {
                        self.counts.refused += 1;
                        engine.endpoint.ignore(incoming);
                    }
                }
            }
        }
        Received::Nothing
    }

    /// Accepts a link: from whom a channel waits for, or from a newcomer.
    pub(in crate::transport) fn accept(
        &mut self,
        now: Instant,
        engine_id: EngineId,
        incoming: Incoming,
        newcomer: Option<Box<Newcomer>>,
    ) -> Received {
        let Some(engine) = self.engines.get_mut(&engine_id) else {
            return Received::Nothing;
        };
        let buf = self.packets.clear();
        let (accepting, id, end) = match &engine.kind {
            EngineKind::Single => {
                engine.endpoint.ignore(incoming);
                return Received::Nothing;
            }
            EngineKind::Awaiting(id, accepting) => (accepting.clone(), Some(*id), End::Awaiting),
            EngineKind::Public(accepting, _) => (accepting.clone(), None, End::Public),
        };
        let (transport, control) = transport_config(now, &accepting.channel, id, end);
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
                if let Some(id) = id {
                    engine.kind = EngineKind::Single;
                    engine.links.insert(handle.0, id);
                }
                if let Some(newcomer) = newcomer {
                    link.begin_as(newcomer);
                }
                link.tell(LinkChange::Accepted);
                Received::Accepted(Box::new(link), id)
            }
            Err(error) => {
                if let Some(newcomer) = newcomer {
                    self.handshakes.end(&newcomer);
                }
                self.counts.refused += 1;
                // Without an answer it was no more than a damaged packet.
                let Some(transmit) = error.response else {
                    return Received::Nothing;
                };
                self.respond(&transmit);
                id.map_or(Received::Nothing, |id| {
                    Received::Failed(id, event::close_reason(error.cause))
                })
            }
        }
    }

    fn accepting(
        &mut self,
        tls: Arc<QuicServerConfig>,
        channel: &ChannelConfig,
        handshakes: usize,
    ) -> Accepting {
        let token_key = TokenKey::new(&self.random::<64>());
        let mut server = ServerConfig::new(tls, Arc::new(token_key));
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
        reset_key: Option<Secret<[u8; 32]>>,
    ) -> EngineId {
        let (cid_seed, engine_seed) = (self.random(), self.random());
        let reset_key = ResetKey::new(reset_key.unwrap_or_else(|| self.random::<32>().into()));
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
        let id = EngineId(self.next_engine);
        self.next_engine += 1;
        let links = BTreeMap::new();
        self.engines.insert(
            id,
            Engine {
                endpoint,
                links,
                kind,
            },
        );
        id
    }

    #[expect(clippy::too_many_arguments, reason = "two callers, right above")]
    fn connect<const N: usize>(
        &mut self,
        now: Instant,
        engine_id: EngineId,
        id: ChannelId,
        (address, name): (SocketAddr, &str),
        tls: Arc<QuicClientConfig>,
        channel: &ChannelConfig,
        first_cid: [u8; N],
    ) -> Result<Box<Link>, ConnectError> {
        let engine = self.engines.get_mut(&engine_id);
        let engine = engine.ok_or(ConnectError::EndpointStopping)?;
        let (transport, control) = transport_config(now, channel, Some(id), End::Client);
        let observer = Observer::new();
        let mut config = quinn_proto::ClientConfig::new(observer.watch_client(tls));
        config
            .transport_config(transport)
            .initial_dst_cid_provider(Arc::new(move || ConnectionId::new(&first_cid)));
        match engine.endpoint.connect(now, config, address, name) {
            Ok((handle, conn)) => {
                engine.links.insert(handle.0, id);
                let link = Link::new(now, conn, engine_id, handle, control, observer, channel);
                Ok(Box::new(link))
            }
            Err(error) => {
                tracing::debug!(%error, %address, "cannot connect");
                self.release_engine(engine_id);
                Err(error)
            }
        }
    }
}

/// Not sent: peers are known by their keys. TLS wants a name all the same.
const PEER_NAME: &str = "peer.invalid";
const QUIC_V1: u32 = 1;
const MAX_CID: usize = 20;
/// Bytes held for a handshake before it is accepted.
const INCOMING_BUFFER: u64 = 8 << 10;
