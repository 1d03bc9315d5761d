//! Endpoints in a network, in virtual time.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use conec_core::{
    Channel, ChannelEvent, ChannelId, Client, ClientConfig, ClientEvent, Coordinator,
    CoordinatorConfig, CoordinatorEvent, Datagram, Endpoint, PeerInfo, Transmit, Trust,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    network::{Network, Packet},
    trace::Trace,
};
use crate::{keys, logs};

/// One host in a [`World`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub(super) usize);

/// What an endpoint has told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A Client.
    Client(ClientEvent),
    /// A Coordinator.
    Coordinator(CoordinatorEvent),
}

impl Event {
    /// The event if it is about a channel's inside.
    pub fn channel(&self) -> Option<(ChannelId, &ChannelEvent)> {
        match self {
            Self::Client(ClientEvent::Channel { channel, event })
            | Self::Coordinator(CoordinatorEvent::Channel { channel, event }) => {
                Some((*channel, event))
            }
            Self::Client(_) | Self::Coordinator(_) => None,
        }
    }
}

/// Something that takes part in a world without being one of conec's endpoints: a raw engine, a source of garbage.
pub trait Stranger {
    /// Takes a datagram.
    fn handle_datagram(&mut self, now: Instant, source: SocketAddr, payload: BytesMut);
    /// Does what is due.
    fn handle_timeout(&mut self, now: Instant);
    /// The next datagram to send, and where to.
    fn poll_transmit(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)>;
    /// When something is due.
    fn poll_timeout(&mut self) -> Option<Instant>;
}

struct Node {
    name: String,
    address: SocketAddr,
    entity: Entity,
    /// Whether it is running: a crashed node hears and says nothing.
    alive: bool,
    /// Whether its application asks for no events.
    lagging: bool,
    /// Events that the story has not asked for yet.
    events: VecDeque<Event>,
    /// The last event of each channel has come.
    closed: BTreeMap<ChannelId, ()>,
    /// What was known of the other ends of channels when they opened.
    peers: BTreeMap<ChannelId, PeerInfo>,
}

enum Entity {
    Client(Box<Client>),
    Coordinator(Box<Coordinator>),
    Stranger(Box<dyn Stranger>),
}

/// Endpoints, the network between them, and the time.
pub struct World {
    seed: u64,
    start: Instant,
    now: Instant,
    rng: StdRng,
    nodes: Vec<Node>,
    /// What happens to datagrams.
    pub network: Network,
    in_flight: BTreeMap<(Instant, u64), Packet>,
    sent: u64,
    trace: Trace,
    max_segments: NonZeroUsize,
}

impl World {
    /// A world whose course follows from `seed`, or from the environment's `CONEC_SEED` where that is set.
    pub fn new(seed: u64) -> Self {
        logs::init();
        let seed = match std::env::var("CONEC_SEED") {
            Ok(seed) => seed.parse().expect("CONEC_SEED must be a number"),
            Err(_) => seed,
        };
        // Only differences matter; each world measures from its own beginning.
        let start = Instant::now();
        Self {
            seed,
            start,
            now: start,
            rng: StdRng::seed_from_u64(seed),
            nodes: Vec::new(),
            network: Network::new(),
            in_flight: BTreeMap::new(),
            sent: 0,
            trace: Trace::new(),
            max_segments: NonZeroUsize::new(10).expect("not zero"),
        }
    }

    /// How many datagrams endpoints may send at once.
    pub fn set_max_segments(&mut self, max: usize) {
        self.max_segments = NonZeroUsize::new(max).expect("at least one");
    }

    /// The seed that this world follows from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The virtual time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Randomness that is part of the run.
    pub fn rng(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    /// What happened so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Datagrams sent so far.
    pub fn datagrams_sent(&self) -> u64 {
        self.sent
    }

    /// A Coordinator with default settings.
    pub fn add_coordinator(&mut self) -> NodeId {
        self.add_coordinator_with(CoordinatorConfig::new(keys::certificate()))
    }

    /// A Coordinator.
    pub fn add_coordinator_with(&mut self, config: CoordinatorConfig) -> NodeId {
        let seed = self.rng.random();
        let coordinator = Coordinator::new(config, seed).expect("a valid configuration");
        self.add("coordinator", Entity::Coordinator(Box::new(coordinator)))
    }

    /// The default settings of a Client of this name, whose identity follows from the number of nodes.
    pub fn client_config(&self, name: &str) -> ClientConfig {
        let identity = keys::identity(self.nodes.len() as u16);
        let mut config = ClientConfig::new(identity, Trust::Pin(keys::certificate().pin()));
        config.name = Some(name.parse().expect("a valid name"));
        config.auto_accept = true;
        config
    }

    /// A Client with default settings that accepts every channel.
    pub fn add_client(&mut self, name: &str) -> NodeId {
        let config = self.client_config(name);
        self.add_client_with(config)
    }

    /// A Client.
    pub fn add_client_with(&mut self, config: ClientConfig) -> NodeId {
        let name = config.name.as_ref().map_or("client", |name| name.as_str());
        let name = name.to_owned();
        let client = Client::new(config, self.rng.random()).expect("a valid configuration");
        self.add(&name, Entity::Client(Box::new(client)))
    }

    /// A participant of another kind.
    pub fn add_stranger(&mut self, stranger: impl Stranger + 'static) -> NodeId {
        self.add("stranger", Entity::Stranger(Box::new(stranger)))
    }

    /// A node's address.
    pub fn address(&self, node: NodeId) -> SocketAddr {
        self.nodes[node.0].address
    }

    /// Gives a node another address, as a NAT that forgets its mapping does.
    pub fn rebind(&mut self, node: NodeId, address: SocketAddr) {
        self.note(node, format_args!("moves to {address}"));
        self.nodes[node.0].address = address;
    }

    /// The Client at a node.
    pub fn client(&mut self, node: NodeId) -> &mut Client {
        match &mut self.nodes[node.0].entity {
            Entity::Client(client) => client,
            Entity::Coordinator(_) | Entity::Stranger(_) => panic!("{node:?} is not a client"),
        }
    }

    /// The Coordinator at a node.
    pub fn coordinator(&mut self, node: NodeId) -> &mut Coordinator {
        match &mut self.nodes[node.0].entity {
            Entity::Coordinator(coordinator) => coordinator,
            Entity::Client(_) | Entity::Stranger(_) => panic!("{node:?} is not a coordinator"),
        }
    }

    /// Whom a channel at a node was opened with, even if that is over.
    pub fn opened_with(&self, node: NodeId, id: ChannelId) -> Option<&PeerInfo> {
        self.nodes[node.0].peers.get(&id)
    }

    /// A channel at a node.
    pub fn channel(&mut self, node: NodeId, id: ChannelId) -> Option<Channel<'_>> {
        match &mut self.nodes[node.0].entity {
            Entity::Client(client) => client.channel(id),
            Entity::Coordinator(coordinator) => coordinator.channel(id),
            Entity::Stranger(_) => None,
        }
    }

    /// Stops a node in its tracks. It says goodbye to nobody.
    pub fn crash(&mut self, node: NodeId) {
        self.note(node, format_args!("crashes"));
        self.nodes[node.0].alive = false;
    }

    /// Has a node's application ask for no events, or ask again.
    pub fn set_lagging(&mut self, node: NodeId, lagging: bool) {
        self.nodes[node.0].lagging = lagging;
    }

    /// Brings a crashed node back with nothing but its configuration.
    pub fn restart_coordinator(&mut self, node: NodeId, config: CoordinatorConfig) {
        let seed = self.rng.random();
        let coordinator = Coordinator::new(config, seed).expect("a valid configuration");
        self.restart(node, Entity::Coordinator(Box::new(coordinator)));
    }

    /// Brings a crashed node back with nothing but its configuration.
    pub fn restart_client(&mut self, node: NodeId, config: ClientConfig) {
        let client = Client::new(config, self.rng.random()).expect("a valid configuration");
        self.restart(node, Entity::Client(Box::new(client)));
    }

    /// Takes the next event of a node, in order.
    pub fn next_event(&mut self, node: NodeId) -> Option<Event> {
        self.flush(node);
        self.nodes[node.0].events.pop_front()
    }

    /// Takes the first waiting event of a node for which `wanted` has an answer; the others stay.
    pub fn take_event<T>(
        &mut self,
        node: NodeId,
        mut wanted: impl FnMut(&Event) -> Option<T>,
    ) -> Option<T> {
        self.flush(node);
        let events = &mut self.nodes[node.0].events;
        let (at, found) = events
            .iter()
            .enumerate()
            .find_map(|(at, event)| Some((at, wanted(event)?)))?;
        events.remove(at);
        Some(found)
    }

    /// Sends a datagram from a node as it is, past its endpoint.
    pub fn inject(&mut self, source: SocketAddr, destination: SocketAddr, payload: &[u8]) {
        self.dispatch(Packet {
            source,
            destination,
            ecn: None,
            payload: payload.to_vec(),
        });
    }

    /// Lets the next thing happen, if anything is ever going to.
    pub fn step(&mut self) -> bool {
        for index in 0..self.nodes.len() {
            self.flush(NodeId(index));
        }
        let arrival = self.in_flight.keys().next().map(|&(at, _)| at);
        let timeout = (0..self.nodes.len())
            .filter_map(|index| Some((self.timeout(index)?, index)))
            .min();
        let now = match (arrival, timeout) {
            (Some(arrival), Some((timeout, _))) => arrival.min(timeout),
            (Some(at), None) | (None, Some((at, _))) => at,
            (None, None) => return false,
        };
        self.now = self.now.max(now);
        if arrival.is_some_and(|at| at <= self.now) {
            self.deliver();
        } else if let Some((_, index)) = timeout {
            let now = self.now;
            let node = &mut self.nodes[index];
            match &mut node.entity {
                Entity::Client(client) => client.handle_timeout(now),
                Entity::Coordinator(coordinator) => coordinator.handle_timeout(now),
                Entity::Stranger(stranger) => stranger.handle_timeout(now),
            }
            self.flush(NodeId(index));
        }
        true
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.next_step().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until `done` has an answer. Panics when it has none within `patience`.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        patience: Duration,
        mut done: impl FnMut(&mut Self) -> Option<T>,
    ) -> T {
        let end = self.now + patience;
        loop {
            if let Some(answer) = done(self) {
                return answer;
            }
            let in_time = self.next_step().is_some_and(|at| at <= end);
            if !in_time || !self.step() {
                self.fail(&format!("waited in vain for {patience:?}: {what}"));
            }
        }
    }

    /// Fails the test with the seed and what happened last.
    pub fn fail(&self, why: &str) -> ! {
        panic!(
            "{}\n{why}\nat {:?}; replay with CONEC_SEED={}",
            self.trace,
            self.elapsed(),
            self.seed
        );
    }

    fn next_step(&mut self) -> Option<Instant> {
        for index in 0..self.nodes.len() {
            self.flush(NodeId(index));
        }
        let arrival = self.in_flight.keys().next().map(|&(at, _)| at);
        let timeout = (0..self.nodes.len())
            .filter_map(|index| self.timeout(index))
            .min();
        [arrival, timeout].into_iter().flatten().min()
    }

    fn timeout(&mut self, index: usize) -> Option<Instant> {
        let node = &mut self.nodes[index];
        if !node.alive {
            return None;
        }
        let due = match &mut node.entity {
            Entity::Client(client) => client.poll_timeout(),
            Entity::Coordinator(coordinator) => coordinator.poll_timeout(),
            Entity::Stranger(stranger) => stranger.poll_timeout(),
        };
        // Events that nobody asks for are due all the time.
        let earliest = self.now + Duration::from_millis(10);
        if node.lagging {
            due.map(|due| due.max(earliest))
        } else {
            due
        }
    }

    /// Hands everything that arrives next from one source to one destination over, as one batch where sizes allow.
    fn deliver(&mut self) {
        let Some((_, first)) = self.in_flight.pop_first() else {
            return;
        };
        let segment_size = first.payload.len();
        let mut batch = BytesMut::from(&first.payload[..]);
        while let Some(next) = self.in_flight.first_entry() {
            let packet = next.get();
            let joins = next.key().0 <= self.now
                && packet.source == first.source
                && packet.destination == first.destination
                && packet.ecn == first.ecn
                && packet.payload.len() <= segment_size
                && batch.len() % segment_size.max(1) == 0
                && batch.len() + packet.payload.len() <= MAX_BATCH;
            if !joins || segment_size == 0 {
                break;
            }
            batch.extend_from_slice(&next.remove().payload);
        }
        let Some(index) = self
            .nodes
            .iter()
            .position(|node| node.alive && node.address == first.destination)
        else {
            return;
        };
        self.trace.count((index, batch.len()));
        let now = self.now;
        let datagram = Datagram {
            source: first.source,
            destination_ip: Some(first.destination.ip()),
            ecn: first.ecn,
            segment_size,
            payload: batch,
        };
        match &mut self.nodes[index].entity {
            Entity::Client(client) => client.handle_datagram(now, datagram),
            Entity::Coordinator(coordinator) => coordinator.handle_datagram(now, datagram),
            Entity::Stranger(stranger) => {
                let mut payload = datagram.payload;
                while !payload.is_empty() {
                    let packet = payload.split_to(segment_size.min(payload.len()));
                    stranger.handle_datagram(now, datagram.source, packet);
                }
            }
        }
        self.flush(NodeId(index));
    }

    /// Takes a node's events and sends its datagrams until it has nothing more to say for now.
    fn flush(&mut self, id: NodeId) {
        let (now, max_segments) = (self.now, self.max_segments);
        if !self.nodes[id.0].alive {
            return;
        }
        loop {
            let mut quiet = true;
            while !self.nodes[id.0].lagging
                && let Some(event) = self.poll_event(id)
            {
                quiet = false;
                self.take_note(id, event);
            }
            let node = &mut self.nodes[id.0];
            let source = node.address;
            let mut transmits = Vec::new();
            match &mut node.entity {
                Entity::Client(client) => {
                    while let Some(transmit) = client.poll_transmit(now, max_segments) {
                        transmits.push(transmit);
                    }
                }
                Entity::Coordinator(coordinator) => {
                    while let Some(transmit) = coordinator.poll_transmit(now, max_segments) {
                        transmits.push(transmit);
                    }
                }
                Entity::Stranger(stranger) => {
                    while let Some((destination, payload)) = stranger.poll_transmit(now) {
                        transmits.push(Transmit {
                            destination,
                            source_ip: None,
                            ecn: None,
                            segment_size: None,
                            payload: payload.into(),
                        });
                    }
                }
            }
            for transmit in transmits {
                quiet = false;
                self.send_all(source, &transmit);
            }
            if quiet {
                return;
            }
        }
    }

    fn poll_event(&mut self, id: NodeId) -> Option<Event> {
        match &mut self.nodes[id.0].entity {
            Entity::Client(client) => client.poll_event().map(Event::Client),
            Entity::Coordinator(coordinator) => coordinator.poll_event().map(Event::Coordinator),
            Entity::Stranger(_) => None,
        }
    }

    /// Keeps an event for the story, and sees to it that none comes after a channel's last one.
    fn take_note(&mut self, id: NodeId, event: Event) {
        self.note(id, format_args!("{event:?}"));
        if let Some((channel, what)) = event.channel() {
            if self.nodes[id.0].closed.contains_key(&channel) {
                self.fail(&format!("an event after the last: {event:?}"));
            }
            if matches!(what, ChannelEvent::Opened)
                && let Entity::Client(client) = &self.nodes[id.0].entity
                && let Some(peer) = client.peer(channel)
            {
                self.nodes[id.0].peers.insert(channel, peer);
            }
            if matches!(what, ChannelEvent::Closed { .. }) {
                self.nodes[id.0].closed.insert(channel, ());
            }
        }
        self.nodes[id.0].events.push_back(event);
    }

    fn send_all(&mut self, source: SocketAddr, transmit: &Transmit) {
        let size = transmit.segment_size.unwrap_or(transmit.payload.len());
        for payload in transmit.payload.chunks(size.max(1)) {
            self.dispatch(Packet {
                source,
                destination: transmit.destination,
                ecn: transmit.ecn,
                payload: payload.to_vec(),
            });
        }
    }

    fn dispatch(&mut self, packet: Packet) {
        self.sent += 1;
        self.trace
            .count((packet.source, packet.destination, packet.payload.len()));
        for (at, packet) in self.network.carry(self.now, &mut self.rng, packet) {
            self.sent += 1;
            self.in_flight.insert((at, self.sent), packet);
        }
    }

    fn restart(&mut self, node: NodeId, entity: Entity) {
        self.note(node, format_args!("restarts"));
        let node = &mut self.nodes[node.0];
        node.entity = entity;
        node.alive = true;
        node.events.clear();
        node.closed.clear();
        node.peers.clear();
    }

    fn add(&mut self, name: &str, entity: Entity) -> NodeId {
        let number = self.nodes.len() as u8;
        self.nodes.push(Node {
            name: name.to_owned(),
            address: ([203, 0, 113, number + 1], 4433).into(),
            entity,
            alive: true,
            lagging: false,
            events: VecDeque::new(),
            closed: BTreeMap::new(),
            peers: BTreeMap::new(),
        });
        NodeId(self.nodes.len() - 1)
    }

    fn note(&mut self, node: NodeId, what: std::fmt::Arguments<'_>) {
        let name = &self.nodes[node.0].name;
        self.trace
            .record(self.now - self.start, format_args!("{name}: {what}"));
    }
}

const MAX_BATCH: usize = 65_000;
