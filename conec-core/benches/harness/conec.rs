//! Coordinators and Clients as nodes.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::{Bytes, BytesMut};
use conec_core::{
    Authorities, Certificate, ChannelConfig, ChannelEvent, ChannelId, Client, ClientConfig,
    Coordinator, CoordinatorConfig, Credential, Datagram, Direction, Endpoint, Identity, KeyPin,
    StreamId, Target, Transmit, Trust,
};

use super::{Authority, Network, Node, address, certificate};

/// An endpoint whose application notes what happens on channels.
pub(crate) struct Conec<E> {
    pub(crate) endpoint: E,
    pub(crate) address: SocketAddr,
    pub(crate) events: VecDeque<(ChannelId, ChannelEvent)>,
}

impl<E: Endpoint> Conec<E> {
    pub(crate) fn drain_events(&mut self) {
        while let Some(event) = self.endpoint.poll_event() {
            self.events.extend(E::channel_event(event).ok());
        }
    }

    /// The first event that is wanted; those before it are forgotten.
    pub(crate) fn find<T>(
        &mut self,
        wanted: impl Fn(ChannelId, &ChannelEvent) -> Option<T>,
    ) -> Option<T> {
        self.drain_events();
        while let Some((channel, event)) = self.events.pop_front() {
            if let Some(found) = wanted(channel, &event) {
                return Some(found);
            }
        }
        None
    }

    pub(crate) fn opened_channel(&mut self) -> Option<ChannelId> {
        self.find(|channel, event| (*event == ChannelEvent::Opened).then_some(channel))
    }

    pub(crate) fn opened_stream(&mut self) -> Option<StreamId> {
        self.find(|_, event| {
            if let ChannelEvent::StreamOpened { stream, .. } = event {
                Some(*stream)
            } else {
                None
            }
        })
    }

    pub(crate) fn send(&mut self, stream: StreamId, message: Bytes) -> bool {
        let mut channel = self
            .endpoint
            .channel(stream.channel())
            .expect("the channel is there");
        channel.stream(stream).send(message).is_ok()
    }

    pub(crate) fn recv(&mut self, stream: StreamId) -> Option<Bytes> {
        let mut channel = self
            .endpoint
            .channel(stream.channel())
            .expect("the channel is there");
        channel.stream(stream).recv().ok()
    }
}

impl<E: Endpoint> Node for Conec<E> {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        self.endpoint.handle_datagram(now, datagram);
        self.drain_events();
    }

    fn take_buffer(&mut self) -> Option<BytesMut> {
        self.endpoint.take_buffer()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.drain_events();
    }

    fn poll_transmit(&mut self, now: Instant, max_segments: NonZeroUsize) -> Option<Transmit> {
        self.endpoint.poll_transmit(now, max_segments).or_else(|| {
            self.drain_events();
            // Whatever the application has done takes effect with its events.
            self.endpoint.poll_transmit(now, max_segments)
        })
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.endpoint.poll_timeout()
    }
}

/// A Coordinator, and the Clients' way to it.
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) coordinator: Conec<Coordinator>,
    number: u8,
    settings: Box<dyn Fn(&mut ChannelConfig)>,
    authority: Option<Arc<Authority>>,
    pin: KeyPin,
    clients: u16,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(0, |_| {})
    }

    /// With Clients for whom an authority vouches, and nobody else.
    pub(crate) fn certified(authority: &Arc<Authority>) -> Self {
        let mut config = coordinator_config();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        config.unix_time = now.expect("it is later than 1970");
        config.authorities = Some(Authorities::new(authority.roots()));
        Self {
            authority: Some(Arc::clone(authority)),
            ..Self::of(0, config, |_| {})
        }
    }

    /// One of several worlds in a network, whose channels are all set like this.
    pub(crate) fn with(number: u8, settings: impl Fn(&mut ChannelConfig) + 'static) -> Self {
        let mut config = coordinator_config();
        settings(&mut config.home);
        Self::of(number, config, settings)
    }

    fn of(
        number: u8,
        config: CoordinatorConfig,
        settings: impl Fn(&mut ChannelConfig) + 'static,
    ) -> Self {
        Self {
            network: Network::new(),
            number,
            settings: Box::new(settings),
            authority: None,
            pin: config.certificate.pin(),
            coordinator: Conec {
                endpoint: Coordinator::new(config, [1; 32]).expect("a valid configuration"),
                address: address(number, 0),
                events: VecDeque::new(),
            },
            clients: 0,
        }
    }

    /// A Client that does nothing yet.
    pub(crate) fn client(&mut self) -> Conec<Client> {
        self.clients += 1;
        let mut config = client_config(self.pin);
        if let Some(authority) = &self.authority {
            let (certificate, key) = authority.client();
            config.identity = Identity::from_pkcs8(key).expect("a key");
            config.credential = Credential::new(vec![certificate]).ok();
        }
        (self.settings)(&mut config.home);
        (self.settings)(&mut config.peer);
        let mut seed = [2; 32];
        seed[..2].copy_from_slice(&self.clients.to_be_bytes());
        Conec {
            endpoint: Client::new(config, seed).expect("a valid configuration"),
            address: address(self.number, self.clients),
            events: VecDeque::new(),
        }
    }

    pub(crate) fn connect(&mut self, client: &mut Conec<Client>) {
        let to = self.coordinator.address;
        client
            .endpoint
            .connect(self.network.now, "localhost", &[to])
            .expect("a valid address");
        let give_up = self.network.now + SETTLED;
        while !client.endpoint.is_connected() {
            assert!(self.network.now < give_up, "the Coordinator takes everyone");
            self.network.turn(&mut [&mut self.coordinator, client]);
        }
    }

    /// A Client that is connected, and has nothing more to settle.
    pub(crate) fn idle_client(&mut self) -> Conec<Client> {
        let mut client = self.client();
        self.connect(&mut client);
        self.network
            .run_for(SETTLED, &mut [&mut self.coordinator, &mut client]);
        client
    }

    /// A channel between two Clients, as each of them names it.
    pub(crate) fn channel(
        &mut self,
        from: &mut Conec<Client>,
        to: &mut Conec<Client>,
    ) -> (ChannelId, ChannelId) {
        from.drain_events();
        to.drain_events();
        from.events.clear();
        to.events.clear();
        let target = Target::from(to.endpoint.id());
        let id = from
            .endpoint
            .open_channel(self.network.now, target, b"")
            .expect("connected");
        let mut accepted = None;
        let mut opened = None;
        while accepted.is_none() || opened.is_none() {
            self.network.turn(&mut [&mut self.coordinator, from, to]);
            accepted = accepted.or_else(|| to.opened_channel());
            opened = opened.or_else(|| from.opened_channel());
        }
        (id, accepted.expect("just seen"))
    }
}

pub(crate) fn coordinator_config() -> CoordinatorConfig {
    let (certificate, key) = certificate();
    let certificate = Certificate::new(vec![certificate], key.into()).expect("a valid certificate");
    let mut config = CoordinatorConfig::new(certificate);
    config.home.idle_timeout = PATIENCE;
    config.limits.clients = MAX_CLIENTS;
    config.memory = 16 << 30;
    config.limits.clients_per_network = Some(MAX_CLIENTS);
    // Where the clock stands still, nothing would be added to it.
    config.limits.forward_rate = Some(u64::MAX);
    config
}

pub(crate) fn client_config(pin: KeyPin) -> ClientConfig {
    let mut config = ClientConfig::new(Identity::generate().expect("a key"), Trust::Pin(pin));
    config.auto_accept = true;
    config.home.idle_timeout = PATIENCE;
    config.peer.idle_timeout = PATIENCE;
    config
}

/// Opens a stream on a channel.
pub(crate) fn open(client: &mut Conec<Client>, channel: ChannelId) -> StreamId {
    let mut channel = client
        .endpoint
        .channel(channel)
        .expect("the channel is there");
    channel
        .open(Direction::Uni, b"load")
        .expect("streams are allowed")
}

/// More than any benchmark has.
const MAX_CLIENTS: usize = 20_000;
/// Who has come stays, silent as it may be, while others come.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// After so long everything is said that is said at the beginning of a connection.
pub(crate) const SETTLED: Duration = Duration::from_secs(2);
