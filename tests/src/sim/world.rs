//! Endpoints in a network, in virtual time.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use conec_core::{
    Channel, ChannelEvent, ChannelId, Client, ClientConfig, ClientId, Coordinator,
    CoordinatorConfig, Datagram, Endpoint, PathPolicy, PeerInfo, TimeoutCause, Transmit, Trust,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    nat::Outbound,
    network::{Network, Packet},
    node::{Entity, Event, Node, NodeId, Stranger},
    topology::{Host, NatId, Net, Topology},
    trace::Trace,
};
use crate::{keys, logs};

/// Endpoints, the network between them, and the time.
pub struct World {
    seed: u64,
    start: Instant,
    now: Instant,
    rng: StdRng,
    pub(super) nodes: Vec<Node>,
    /// Nodes that may have something to say, or something else to wait for, than when they were asked last.
    pub(super) touched: BTreeSet<NodeId>,
    /// These are touched behind the world's back.
    strangers: Vec<NodeId>,
    /// When nodes are to be woken.
    due: BTreeSet<(Instant, NodeId)>,
    pub(super) topology: Topology,
    /// What happens to datagrams.
    pub network: Network,
    in_flight: BTreeMap<(Instant, u64), Packet>,
    sent: u64,
    trace: Trace,
    /// Since somebody wants to know.
    wakeups: Option<Vec<Wakeup>>,
    max_segments: NonZeroUsize,
}

/// A node had to be woken, as nothing else happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wakeup {
    /// When, since the world began.
    pub at: Duration,
    /// Who.
    pub node: NodeId,
    /// What for, if it is one of conec's endpoints and says so.
    pub cause: Option<TimeoutCause>,
    /// Whether it had something to say then: a datagram to send, an event to tell.
    pub said: bool,
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
            touched: BTreeSet::new(),
            strangers: Vec::new(),
            due: BTreeSet::new(),
            topology: Topology::default(),
            network: Network::new(),
            in_flight: BTreeMap::new(),
            sent: 0,
            wakeups: None,
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

    /// What a node's clock shows.
    pub fn clock(&self, node: NodeId) -> Instant {
        self.now - self.nodes[node.0].slow
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
        let (seed, second_port) = (self.rng.random(), config.second_port);
        let coordinator = Coordinator::new(config, seed).expect("a valid configuration");
        let node = self.add("coordinator", Entity::Coordinator(Box::new(coordinator)));
        self.nodes[node.0].second_port = second_port;
        node
    }

    /// The default settings of a Client of this name, whose identity follows from the number of nodes.
    pub fn client_config(&self, name: &str) -> ClientConfig {
        let identity = keys::identity(self.nodes.len() as u16);
        let mut config = ClientConfig::new(identity, Trust::Pin(keys::certificate().pin()));
        config.name = Some(name.parse().expect("a valid name"));
        config.auto_accept = true;
        // Most stories are about what follows when it is lost. Those of `resuming` are about what does not.
        config.reconnect = false;
        config
    }

    /// A Client like that of [`add_client`](Self::add_client) whose channels go through the Coordinator alone.
    pub fn add_proxied_client(&mut self, name: &str) -> NodeId {
        let mut config = self.client_config(name);
        config.paths.policy = PathPolicy::ProxiedOnly;
        self.add_client_with(config)
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
        let node = self.add(&name, Entity::Client(Box::new(client)));
        self.report_addresses(node);
        node
    }

    /// A participant of another kind.
    pub fn add_stranger(&mut self, stranger: impl Stranger + 'static) -> NodeId {
        let node = self.add("stranger", Entity::Stranger(Box::new(stranger)));
        self.strangers.push(node);
        node
    }

    /// The Client at a node.
    pub fn client(&mut self, node: NodeId) -> &mut Client {
        self.touched.insert(node);
        match &mut self.nodes[node.0].entity {
            Entity::Client(client) => client,
            Entity::Coordinator(_) | Entity::Stranger(_) => panic!("{node:?} is not a client"),
        }
    }

    /// Who the Client at a node is.
    pub fn client_id(&self, node: NodeId) -> ClientId {
        match &self.nodes[node.0].entity {
            Entity::Client(client) => client.id(),
            Entity::Coordinator(_) | Entity::Stranger(_) => panic!("{node:?} is not a client"),
        }
    }

    /// The Coordinator at a node.
    pub fn coordinator(&mut self, node: NodeId) -> &mut Coordinator {
        self.touched.insert(node);
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
        self.touched.insert(node);
        self.nodes[node.0].entity.channel(id)
    }

    /// Stops a node in its tracks. It says goodbye to nobody.
    pub fn crash(&mut self, node: NodeId) {
        self.note(node, format_args!("crashes"));
        self.nodes[node.0].alive = false;
        self.touched.insert(node);
    }

    /// Has a node's application ask for no events, or ask again.
    pub fn set_lagging(&mut self, node: NodeId, lagging: bool) {
        self.nodes[node.0].lagging = lagging;
        self.touched.insert(node);
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
        self.report_addresses(node);
    }

    /// Tells a Client its addresses, as a driver does that watches the interfaces.
    pub(super) fn report_addresses(&mut self, node: NodeId) {
        let (now, addresses) = (self.clock(node), self.host_addresses(node).to_vec());
        if let Entity::Client(client) = &mut self.nodes[node.0].entity {
            client.handle_host_addresses(now, &addresses);
        }
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

    /// Sends a datagram on the Internet as it is, whoever `source` may be.
    pub fn inject(&mut self, source: SocketAddr, destination: SocketAddr, payload: &[u8]) {
        let packet = Packet {
            net: Net::Internet,
            source,
            destination,
            ecn: None,
            payload: payload.to_vec(),
        };
        let from = self.topology.owner(Net::Internet, source.ip());
        self.dispatch(from, packet);
    }

    /// Lets the next thing happen, if anything is ever going to.
    pub fn step(&mut self) -> bool {
        let Some(at) = self.next_step() else {
            return false;
        };
        self.now = self.now.max(at);
        if self.next_arrival().is_some_and(|at| at <= self.now) {
            self.arrive();
        } else if let Some((_, node)) = self.due.first().copied() {
            let processor = self.nodes[node.0].processor.as_mut();
            if let Some(datagram) = processor.and_then(|it| it.next_waiting(self.now)) {
                self.hand_over(node, datagram);
            }
            let now = self.clock(node);
            let entity = &mut self.nodes[node.0].entity;
            let cause = entity.timeout_cause();
            entity.handle_timeout(now);
            let said = self.flush(node);
            let at = self.elapsed();
            if let Some(wakeups) = &mut self.wakeups {
                wakeups.push(Wakeup {
                    at,
                    node,
                    cause,
                    said,
                });
            }
        }
        true
    }

    /// Whom it was woken for since this was called last; the first call gives nothing.
    pub fn wakeups(&mut self) -> Vec<Wakeup> {
        self.wakeups.replace(Vec::new()).unwrap_or_default()
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step_by(end) {}
    }

    /// Lets the next thing happen, if it does by then, or else the time pass until then. Whether it happened.
    pub fn step_by(&mut self, end: Instant) -> bool {
        let happens = self.next_step().is_some_and(|at| at <= end);
        if happens {
            self.step();
        } else {
            self.now = self.now.max(end);
        }
        happens
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

    /// Adds to the trace what somebody has to say about the course of things.
    pub fn remark(&mut self, what: std::fmt::Arguments<'_>) {
        let elapsed = self.elapsed();
        self.trace.record(elapsed, what);
    }

    /// Fails the test.
    pub fn fail(&self, why: &str) -> ! {
        panic!("{why}");
    }

    /// When the next thing happens.
    fn next_step(&mut self) -> Option<Instant> {
        self.touched.extend(&self.strangers);
        while let Some(&node) = self.touched.first() {
            self.flush(node);
        }
        let due = self.due.first().map(|&(at, _)| at);
        [self.next_arrival(), due].into_iter().flatten().min()
    }

    fn next_arrival(&self) -> Option<Instant> {
        self.in_flight.keys().next().map(|&(at, _)| at)
    }

    /// Takes a packet one step further: to its destination, or to the box that leads there.
    fn arrive(&mut self) {
        let Some((_, packet)) = self.in_flight.pop_first() else {
            return;
        };
        match self.topology.next_hop(packet.net, packet.destination.ip()) {
            Some(Host::Node(node)) => self.deliver(node, packet),
            Some(Host::Nat(nat)) if packet.net == Net::Behind(nat) => self.leave(nat, packet),
            Some(Host::Nat(nat)) => self.enter(nat, packet),
            None => {}
        }
    }

    /// Hands a packet over, and with it all that arrive now from the same source, as one batch where sizes allow.
    fn deliver(&mut self, node: NodeId, first: Packet) {
        let segment_size = first.payload.len();
        let mut batch = BytesMut::from(&first.payload[..]);
        while let Some(next) = self.in_flight.first_entry() {
            let packet = next.get();
            let joins = next.key().0 <= self.now
                && packet.net == first.net
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
        let is_there = self.topology.addresses(node).iter().any(|address| {
            let port = first.destination.port();
            address.ip() == first.destination.ip()
                && (address.port() == port || self.nodes[node.0].second_port == Some(port))
        });
        if !is_there || !self.nodes[node.0].alive {
            return;
        }
        let datagram = Datagram {
            source: first.source,
            destination_ip: Some(first.destination.ip()),
            second_port: self.nodes[node.0].second_port == Some(first.destination.port()),
            ecn: first.ecn,
            segment_size,
            payload: batch,
        };
        let now = self.now;
        let Node {
            sleep, processor, ..
        } = &mut self.nodes[node.0];
        let datagram = match (sleep, processor) {
            (Some(sleep), _) => return sleep.keep(datagram),
            (None, Some(processor)) => processor.take(now, datagram),
            (None, None) => Some(datagram),
        };
        if let Some(datagram) = datagram {
            self.hand_over(node, datagram);
            self.flush(node);
        }
    }

    /// Gives a node a datagram. [`flush`](Self::flush) is to follow.
    pub(super) fn hand_over(&mut self, node: NodeId, mut datagram: Datagram) {
        let now = self.clock(node);
        self.trace.count((node.0, datagram.payload.len()));
        let Node {
            entity, processor, ..
        } = &mut self.nodes[node.0];
        if let Some(processor) = processor {
            processor.received();
        }
        if let Some(mut buffer) = entity.take_buffer()
            && datagram.payload.len() > datagram.segment_size
        {
            buffer.extend_from_slice(&datagram.payload);
            datagram.payload = buffer;
        }
        entity.handle_datagram(now, datagram);
    }

    /// Passes a packet on from inside a box.
    fn leave(&mut self, nat: NatId, packet: Packet) {
        let (inner, remote) = (packet.source, packet.destination);
        match self.topology.nat(nat).outbound(self.now, packet) {
            Outbound::Out { mut packet, new } => {
                if new {
                    let outer = packet.source;
                    self.note(
                        nat,
                        format_args!("maps {inner} to {outer} towards {remote}"),
                    );
                }
                packet.net = self.topology.outside(nat);
                self.dispatch(Some(nat.into()), packet);
            }
            Outbound::Back(packet) => {
                self.trace.count((packet.source, packet.destination));
                self.dispatch(Some(nat.into()), packet);
            }
            Outbound::Dropped(why) => {
                self.note(
                    nat,
                    format_args!("drops what {inner} sends to {remote}: it {why}"),
                );
            }
        }
    }

    /// Passes a packet on from outside a box, if it may get in.
    fn enter(&mut self, nat: NatId, packet: Packet) {
        let (remote, outer) = (packet.source, packet.destination);
        match self.topology.nat(nat).inbound(self.now, packet) {
            Some(mut packet) => {
                packet.net = nat.into();
                self.dispatch(Some(nat.into()), packet);
            }
            None => self.note(
                nat,
                format_args!("lets nothing in from {remote} to {outer}"),
            ),
        }
    }

    /// Takes a node's events and sends its datagrams until it has nothing more to say for now. Whether it had anything.
    fn flush(&mut self, id: NodeId) -> bool {
        self.touched.remove(&id);
        let mut said = false;
        while self.nodes[id.0].is_up() {
            let mut quiet = true;
            while !self.nodes[id.0].lagging
                && let Some(event) = self.nodes[id.0].entity.poll_event()
            {
                quiet = false;
                self.take_note(id, event);
            }
            let transmits: Vec<_> = std::iter::from_fn(|| self.next_transmit(id)).collect();
            for transmit in transmits {
                quiet = false;
                self.send_all(id, &transmit);
            }
            if quiet {
                break;
            }
            said = true;
        }
        self.wait(id);
        said
    }

    /// The next that a node has to send, and has time for.
    fn next_transmit(&mut self, id: NodeId) -> Option<Transmit> {
        let now = self.clock(id);
        let Node {
            entity, processor, ..
        } = &mut self.nodes[id.0];
        if let Some(processor) = processor
            && !processor.may_send(self.now)
        {
            return None;
        }
        // A driver may ask first when it is to come back.
        let due = entity.poll_timeout();
        let transmit = entity.poll_transmit(now, self.max_segments)?;
        if let Some(processor) = processor {
            processor.sent();
        }
        if due.is_none_or(|due| due > now) && !matches!(entity, Entity::Stranger(_)) {
            let to = transmit.destination;
            self.fail(&format!(
                "node {} sends to {to}, and was not due before {due:?}",
                id.0
            ));
        }
        Some(transmit)
    }

    /// Notes when a node is to be woken.
    fn wait(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.0];
        let mut due = node.entity.poll_timeout().filter(|_| node.is_up());
        due = due.map(|due| due + node.slow);
        if node.lagging {
            // Events that nobody asks for are due all the time.
            due = due.map(|due| due.max(self.now + Duration::from_millis(10)));
        }
        if let Some(processor) = &mut node.processor {
            due = processor.rest(self.now).or(due);
        }
        if due != node.due {
            let before = std::mem::replace(&mut node.due, due);
            if let Some(before) = before {
                self.due.remove(&(before, id));
            }
            self.due.extend(due.map(|due| (due, id)));
        }
    }

    /// Keeps an event for the story, and sees to it that none comes after a channel's last one.
    fn take_note(&mut self, id: NodeId, event: Event) {
        self.note(id, format_args!("{event:?}"));
        if let Some((channel, what)) = event.channel() {
            if self.nodes[id.0].closed.contains(&channel) {
                self.fail(&format!("an event after the last: {event:?}"));
            }
            if matches!(what, ChannelEvent::Opened)
                && let Entity::Client(client) = &self.nodes[id.0].entity
                && let Some(peer) = client.peer(channel)
            {
                self.nodes[id.0].peers.insert(channel, peer);
            }
            if matches!(what, ChannelEvent::Closed { .. }) {
                self.nodes[id.0].closed.insert(channel);
            }
        }
        self.nodes[id.0].events.push_back(event);
    }

    fn send_all(&mut self, from: NodeId, transmit: &Transmit) {
        let Some(source) = self.topology.source(from, transmit.destination) else {
            let entity = &mut self.nodes[from.0].entity;
            return entity.handle_unreachable(self.now, transmit.destination);
        };
        let net = self.topology.net(from);
        let size = transmit.segment_size.unwrap_or(transmit.payload.len());
        for payload in transmit.payload.chunks(size.max(1)) {
            let packet = Packet {
                net,
                source,
                destination: transmit.destination,
                ecn: transmit.ecn,
                payload: payload.to_vec(),
            };
            self.dispatch(Some(from.into()), packet);
        }
    }

    /// Sends a packet on its way through a network.
    fn dispatch(&mut self, from: Option<Host>, packet: Packet) {
        self.sent += 1;
        self.trace
            .count((packet.source, packet.destination, packet.payload.len()));
        let to = self.topology.next_hop(packet.net, packet.destination.ip());
        let arrivals = self
            .network
            .carry(self.now, &mut self.rng, (from, to), packet);
        for (at, packet) in arrivals {
            self.sent += 1;
            self.in_flight.insert((at, self.sent), packet);
        }
    }

    fn restart(&mut self, id: NodeId, entity: Entity) {
        self.note(id, format_args!("restarts"));
        let node = &mut self.nodes[id.0];
        node.entity = entity;
        node.alive = true;
        node.sleep = None;
        node.events.clear();
        node.closed.clear();
        node.peers.clear();
        self.touched.insert(id);
    }

    fn add(&mut self, name: &str, entity: Entity) -> NodeId {
        self.nodes.push(Node::new(name, entity));
        let node = self.topology.add_node();
        self.touched.insert(node);
        node
    }

    pub(super) fn note(&mut self, host: impl Into<Host>, what: std::fmt::Arguments<'_>) {
        let name = match host.into() {
            Host::Node(node) => &self.nodes[node.0].name,
            Host::Nat(nat) => self.topology.nat_name(nat),
        };
        self.trace
            .record(self.now - self.start, format_args!("{name}: {what}"));
    }
}

impl Drop for World {
    /// Whatever made the test fail: this is how to see it again.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "{}at {:?}; replay with CONEC_SEED={}",
                self.trace,
                self.elapsed(),
                self.seed
            );
        }
    }
}

const MAX_BATCH: usize = 65_000;
