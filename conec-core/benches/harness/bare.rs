//! Bare quinn-proto: the same identities, the same settings, nothing on top.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    num::NonZeroUsize,
    sync::Arc,
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use conec_core::{
    Certificate, ChannelConfig, Datagram, Ecn, KeyPin, Transmit,
    testing::{client_verifier, server_verifier},
};
use quinn_proto::{
    Connection, ConnectionEvent, ConnectionHandle, DatagramEvent, Dir, EcnCodepoint, Endpoint,
    EndpointConfig, Event, IdleTimeout, StreamId, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
#[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
use rustls::crypto::aws_lc_rs as crypto;
#[cfg(feature = "ring")]
use rustls::crypto::ring as crypto;
use rustls::{
    CipherSuite,
    client::{AlwaysResolvesClientRawPublicKeys, Resumption},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
    version::TLS13,
};

use super::{Authority, Network, Node, address, certificate, conec::SETTLED};

/// An endpoint and its connections.
pub(crate) struct Bare {
    endpoint: Endpoint,
    address: SocketAddr,
    pub(crate) connections: BTreeMap<ConnectionHandle, Box<Connection>>,
    /// Connections that something happened to.
    dirty: VecDeque<ConnectionHandle>,
    buf: Vec<u8>,
    /// Connections whose handshakes are complete.
    pub(crate) connected: usize,
    /// Why the first connection ended that did.
    pub(crate) lost: Option<String>,
}

impl Bare {
    fn new(endpoint: Endpoint, address: SocketAddr) -> Self {
        Self {
            endpoint,
            address,
            connections: BTreeMap::new(),
            dirty: VecDeque::new(),
            buf: Vec::new(),
            connected: 0,
            lost: None,
        }
    }

    /// A connection, which is then looked after.
    pub(crate) fn connection(&mut self, handle: ConnectionHandle) -> &mut Connection {
        self.touch(handle);
        self.connections
            .get_mut(&handle)
            .expect("the connection is there")
    }

    fn touch(&mut self, handle: ConnectionHandle) {
        if !self.dirty.contains(&handle) {
            self.dirty.push_back(handle);
        }
    }

    fn handle_event(&mut self, handle: ConnectionHandle, event: ConnectionEvent) {
        if let Some(connection) = self.connections.get_mut(&handle) {
            connection.handle_event(event);
            self.touch(handle);
        }
    }

    fn look_after(&mut self, handle: ConnectionHandle) {
        let Some(connection) = self.connections.get_mut(&handle) else {
            return;
        };
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            match event {
                Event::Connected => self.connected += 1,
                Event::ConnectionLost { reason } if self.lost.is_none() => {
                    self.lost = Some(reason.to_string());
                }
                Event::ConnectionLost { .. }
                | Event::HandshakeDataReady
                | Event::Stream(_)
                | Event::DatagramReceived
                | Event::DatagramsUnblocked => {}
            }
        }
    }
}

impl Node for Bare {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        let Datagram {
            source,
            ecn,
            segment_size,
            mut payload,
            ..
        } = datagram;
        let ecn = ecn.map(|ecn| match ecn {
            Ecn::Ect0 => EcnCodepoint::Ect0,
            Ecn::Ect1 => EcnCodepoint::Ect1,
            Ecn::Ce => EcnCodepoint::Ce,
        });
        while !payload.is_empty() {
            let packet = payload.split_to(segment_size.min(payload.len()));
            self.buf.clear();
            match self
                .endpoint
                .handle(now, source, None, ecn, packet, &mut self.buf)
            {
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    self.handle_event(handle, event)
                }
                Some(DatagramEvent::NewConnection(incoming)) => {
                    self.buf.clear();
                    let accepted = self.endpoint.accept(incoming, now, &mut self.buf, None);
                    let Ok((handle, connection)) = accepted else {
                        panic!("a valid handshake");
                    };
                    self.connections.insert(handle, Box::new(connection));
                    self.touch(handle);
                }
                Some(DatagramEvent::Response(_)) | None => {}
            }
        }
        for index in 0..self.dirty.len() {
            self.look_after(self.dirty[index]);
        }
    }

    fn take_buffer(&mut self) -> Option<BytesMut> {
        None
    }

    fn handle_timeout(&mut self, now: Instant) {
        let due = self
            .connections
            .iter_mut()
            .filter_map(|(&handle, connection)| {
                connection
                    .poll_timeout()
                    .is_some_and(|at| at <= now)
                    .then_some(handle)
            });
        for handle in due.collect::<Vec<_>>() {
            self.connection(handle).handle_timeout(now);
            self.look_after(handle);
        }
    }

    fn poll_transmit(&mut self, now: Instant, max_segments: NonZeroUsize) -> Option<Transmit> {
        while let Some(&handle) = self.dirty.front() {
            if let Some(connection) = self.connections.get_mut(&handle) {
                self.buf.clear();
                let fit = 65_000 / usize::from(connection.current_mtu());
                let transmit =
                    connection.poll_transmit(now, max_segments.get().min(fit), &mut self.buf);
                if let Some(transmit) = transmit {
                    self.buf.truncate(transmit.size);
                    // A full batch need not be copied.
                    let payload = if self.buf.len() * 2 > self.buf.capacity() {
                        std::mem::take(&mut self.buf).into()
                    } else {
                        Bytes::copy_from_slice(&self.buf)
                    };
                    return Some(Transmit {
                        destination: transmit.destination,
                        source_ip: None,
                        ecn: transmit.ecn.map(|_| Ecn::Ect0),
                        segment_size: transmit.segment_size,
                        payload,
                    });
                }
                self.look_after(handle);
            }
            self.dirty.pop_front();
        }
        None
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.connections
            .values_mut()
            .filter_map(|connection| connection.poll_timeout())
            .min()
    }
}

/// A server, and the clients' way to it.
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) server: Bare,
    number: u8,
    transport: Arc<TransportConfig>,
    pin: KeyPin,
    authority: Option<Arc<Authority>>,
    clients: u16,
}

impl World {
    /// With the settings of a channel: what the server's side has, and what clients have.
    pub(crate) fn new(server: &ChannelConfig, client: &ChannelConfig) -> Self {
        Self::with(0, transport(server, false), transport(client, true))
    }

    /// The same with the default settings of channels, and clients whose certificates an authority has issued.
    pub(crate) fn certified(authority: &Arc<Authority>) -> Self {
        let config = ChannelConfig::default();
        let (server, client) = (transport(&config, false), transport(&config, true));
        Self::of(0, server, client, Some(Arc::clone(authority)))
    }

    /// One of several worlds in a network, with the engine's own settings: the server's, and the clients'.
    pub(crate) fn with(
        number: u8,
        server: Arc<TransportConfig>,
        client: Arc<TransportConfig>,
    ) -> Self {
        Self::of(number, server, client, None)
    }

    fn of(
        number: u8,
        server: Arc<TransportConfig>,
        client: Arc<TransportConfig>,
        authority: Option<Arc<Authority>>,
    ) -> Self {
        let (certificate, key) = certificate();
        let pin = Certificate::new(vec![certificate.clone()], key.clone_key().into());
        let pin = pin.expect("a valid certificate").pin();
        let verifier = match &authority {
            None => client_verifier(),
            Some(authority) => {
                WebPkiClientVerifier::builder_with_provider(authority.roots(), provider())
                    .build()
                    .expect("roots")
            }
        };
        let tls = server_tls(certificate, key, verifier);
        let mut config = quinn_proto::ServerConfig::with_crypto(Arc::new(tls));
        config.transport_config(server);
        let seed = Some([1; 32]);
        let endpoint = Endpoint::new(endpoint_config(), Some(Arc::new(config)), true, seed);
        Self {
            network: Network::new(),
            server: Bare::new(endpoint, address(number, 0)),
            number,
            transport: client,
            pin,
            authority,
            clients: 0,
        }
    }

    pub(crate) fn client(&mut self) -> (Bare, ConnectionHandle) {
        self.clients += 1;
        let mut seed = [2; 32];
        seed[..2].copy_from_slice(&self.clients.to_be_bytes());
        let mut client = Bare::new(
            Endpoint::new(endpoint_config(), None, true, Some(seed)),
            address(self.number, self.clients),
        );
        let mut config = quinn_proto::ClientConfig::new(Arc::new(client_tls(
            self.pin,
            self.authority.as_deref(),
        )));
        config.transport_config(Arc::clone(&self.transport));
        let server = self.server.address;
        let connected = client
            .endpoint
            .connect(self.network.now, config, server, "localhost");
        let (handle, connection) = connected.expect("a valid configuration");
        client.connections.insert(handle, Box::new(connection));
        client.touch(handle);
        (client, handle)
    }

    pub(crate) fn connect(&mut self, client: &mut Bare) {
        let before = self.server.connected;
        while client.connected == 0 || self.server.connected == before {
            self.network.turn(&mut [&mut self.server, client]);
        }
    }

    /// A client that is connected, and has nothing more to settle.
    pub(crate) fn idle_client(&mut self) -> (Bare, ConnectionHandle) {
        let (mut client, handle) = self.client();
        self.connect(&mut client);
        self.network
            .run_for(SETTLED, &mut [&mut self.server, &mut client]);
        (client, handle)
    }
}

pub(crate) fn open(client: &mut Bare, handle: ConnectionHandle) -> StreamId {
    client
        .connection(handle)
        .streams()
        .open(Dir::Uni)
        .expect("streams are allowed")
}

fn endpoint_config() -> Arc<EndpointConfig> {
    Arc::new(EndpointConfig::default())
}

fn transport(config: &ChannelConfig, keep_alive: bool) -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from(config.bi_streams))
        .max_concurrent_uni_streams(VarInt::from(config.uni_streams))
        .stream_receive_window(VarInt::from(config.stream_window))
        .receive_window(VarInt::from(RECEIVE_WINDOW))
        .send_window(config.send_window.into())
        .max_idle_timeout(IdleTimeout::try_from(config.idle_timeout).ok())
        .keep_alive_interval(config.keep_alive.filter(|_| keep_alive));
    Arc::new(transport)
}

fn server_tls(
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    verifier: Arc<dyn ClientCertVerifier>,
) -> QuicServerConfig {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3 is there")
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key.into())
        .expect("a valid certificate");
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    QuicServerConfig::try_from(config).expect("a valid configuration")
}

fn client_tls(pin: KeyPin, authority: Option<&Authority>) -> QuicClientConfig {
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3 is there")
        .dangerous()
        .with_custom_certificate_verifier(server_verifier(pin));
    let mut config = match authority {
        Some(authority) => {
            let (certificate, key) = authority.client();
            let config = config.with_client_auth_cert(vec![certificate], key.into());
            config.expect("a valid certificate")
        }
        None => {
            let (_, key) = certificate();
            let key = crypto::sign::any_eddsa_type(&key).expect("a key");
            let public = CertificateDer::from(key.public_key().expect("has one").to_vec());
            let certified = Arc::new(CertifiedKey::new(vec![public], key));
            let resolver = AlwaysResolvesClientRawPublicKeys::new(certified);
            config.with_client_cert_resolver(Arc::new(resolver))
        }
    };
    config.resumption = Resumption::disabled();
    QuicClientConfig::try_from(config).expect("a valid configuration")
}

/// With the suite that conec prefers, where processors have instructions for it.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = crypto::default_provider();
    let preferred = CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != preferred);
    Arc::new(provider)
}

/// Enough for what is under way between two ends in one process.
const RECEIVE_WINDOW: u32 = 2 << 20;
