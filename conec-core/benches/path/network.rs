//! A network with distances, in virtual time: servers in one place, and clients in others.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    harness::{Node, SEGMENTS, SERVER_PORT},
    link::{Counts, Link, Path},
};

/// Paths of one kind between the place of the servers and those of clients.
///
/// Nodes that have the same number in their worlds are in the same place and share its links. Clients do not reach each
/// other but through servers.
pub(crate) struct Network {
    pub(crate) now: Instant,
    path: Path,
    seed: u64,
    /// By the numbers of the places.
    links: BTreeMap<(u16, u16), Link>,
}

impl Network {
    pub(crate) fn new(now: Instant, path: Path, seed: u64) -> Self {
        Self {
            now,
            path,
            seed,
            links: BTreeMap::new(),
        }
    }

    /// Lets rates begin to change, and counts from now on.
    pub(crate) fn begin(&mut self) {
        for link in self.links.values_mut() {
            link.begin(self.now);
        }
    }

    /// Lets all that nodes have to say set out, time pass until something is to happen, and that happen.
    pub(crate) fn turn(&mut self, nodes: &mut [&mut dyn Node], until: Option<Instant>) {
        for node in nodes.iter_mut() {
            self.collect(*node);
        }
        let arrivals = self
            .links
            .values()
            .filter_map(|link| Some(link.next_arrival()? + TICK));
        let timeouts = nodes.iter_mut().filter_map(|node| node.poll_timeout());
        let next = arrivals.chain(timeouts).chain(until).min();
        self.now = next.map_or(self.now + TICK, |next| next.max(self.now));
        for link in self.links.values_mut() {
            while let Some((destination, datagram)) = link.receive(self.now) {
                let node = nodes.iter_mut().find(|node| node.address() == destination);
                if let Some(node) = node {
                    node.handle_datagram(self.now, datagram);
                }
            }
        }
        for node in nodes.iter_mut() {
            if node.poll_timeout().is_some_and(|at| at <= self.now) {
                node.handle_timeout(self.now);
            }
        }
    }

    /// What became of what one node has sent to another's place.
    pub(crate) fn counts(&self, from: SocketAddr, to: SocketAddr) -> Counts {
        self.links
            .get(&(from.port(), to.port()))
            .map_or_else(Counts::default, |link| link.counts(from))
    }

    fn collect(&mut self, node: &mut dyn Node) {
        let source = node.address();
        while let Some(transmit) = node.poll_transmit(self.now, SEGMENTS) {
            let places = (source.port(), transmit.destination.port());
            if places.0 != SERVERS && places.1 != SERVERS {
                continue;
            }
            let (now, path) = (self.now, self.path);
            let seed = self.seed * 1000 + self.links.len() as u64;
            let link = self
                .links
                .entry(places)
                .or_insert_with(|| Link::new(now, path, seed));
            let mut payload = transmit.payload;
            let size = transmit.segment_size.unwrap_or(payload.len());
            while !payload.is_empty() {
                let packet = payload.split_to(size.min(payload.len()));
                link.send(now, source, transmit.destination, transmit.ecn, packet);
            }
        }
    }
}

/// What arrives within that time arrives together.
const TICK: Duration = Duration::from_micros(100);
/// Where servers are.
const SERVERS: u16 = SERVER_PORT;
