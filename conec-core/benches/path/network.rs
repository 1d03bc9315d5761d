//! A network with distances, in virtual time: servers in one place, and clients in others.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use conec_core::{Datagram, Ecn};

use crate::{
    harness::{Node, SEGMENTS, SERVER_PORT},
    link::{Link, Path},
};

/// Paths of one kind between the place of the servers and those of clients.
///
/// Nodes that have the same number in their worlds are in the same place and share its links. Clients do not reach each
/// other but through servers.
pub(crate) struct Network {
    pub(crate) now: Instant,
    path: Path,
    seed: u64,
    /// By the ports of the places.
    wires: BTreeMap<(u16, u16), Wire>,
}

/// What became of the packets from one node on a link.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    /// By a full queue, a policer, or at random. Not what is too large for the path.
    pub(crate) dropped: u64,
    pub(crate) arrived: u64,
    /// In UDP payloads.
    pub(crate) bytes_arrived: u64,
}

impl Network {
    pub(crate) fn new(now: Instant, path: Path, seed: u64) -> Self {
        Self {
            now,
            path,
            seed,
            wires: BTreeMap::new(),
        }
    }

    /// Lets rates begin to change, and counts from now on.
    pub(crate) fn begin(&mut self) {
        for wire in self.wires.values_mut() {
            wire.link.begin(self.now);
            wire.counts.clear();
        }
    }

    /// Lets all that nodes have to say set out, time pass until something is to happen, and that happen.
    pub(crate) fn turn(&mut self, nodes: &mut [&mut dyn Node], until: Option<Instant>) {
        for node in nodes.iter_mut() {
            self.collect(*node);
        }
        let arrivals = self
            .wires
            .values()
            .filter_map(|wire| Some(wire.link.next_arrival()? + TICK));
        let timeouts = nodes.iter_mut().filter_map(|node| node.poll_timeout());
        let next = arrivals.chain(timeouts).chain(until).min();
        self.now = next.map_or(self.now + TICK, |next| next.max(self.now));
        for wire in self.wires.values_mut() {
            while let Some((destination, datagram)) = wire.receive(self.now) {
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
        let wire = self.wires.get(&(from.port(), to.port()));
        let counts = wire.and_then(|wire| wire.counts.get(&from));
        counts.copied().unwrap_or_default()
    }

    fn collect(&mut self, node: &mut dyn Node) {
        let source = node.address();
        while let Some(transmit) = node.poll_transmit(self.now, SEGMENTS) {
            let destination = transmit.destination;
            let places = (source.port(), destination.port());
            if places.0 != SERVER_PORT && places.1 != SERVER_PORT {
                continue;
            }
            let seed = self.seed * 1000 + self.wires.len() as u64;
            let wire = self.wires.entry(places).or_insert_with(|| Wire {
                link: Link::new(self.now, self.path, seed),
                counts: BTreeMap::new(),
            });
            let mut payload = transmit.payload;
            let size = transmit.segment_size.unwrap_or(payload.len());
            while !payload.is_empty() {
                let packet = Packet {
                    source,
                    destination,
                    ecn: transmit.ecn,
                    payload: payload.split_to(size.min(payload.len())),
                };
                wire.send(self.now, packet);
            }
        }
    }
}

/// From one place to another.
struct Wire {
    link: Link<Packet>,
    /// By the nodes that send.
    counts: BTreeMap<SocketAddr, Counts>,
}

struct Packet {
    source: SocketAddr,
    destination: SocketAddr,
    ecn: Option<Ecn>,
    payload: Bytes,
}

impl Wire {
    fn send(&mut self, now: Instant, packet: Packet) {
        let size = packet.payload.len();
        if size > MTU {
            return;
        }
        let counts = self.counts.entry(packet.source).or_default();
        counts.sent += 1;
        if !self.link.send(now, size + HEADERS, packet) {
            counts.dropped += 1;
        }
    }

    /// What has arrived, in batches of one size as a system makes them, and for whom.
    fn receive(&mut self, now: Instant) -> Option<(SocketAddr, Datagram)> {
        let first = self.link.receive(now, |_| true)?;
        let segment_size = first.payload.len();
        let mut payload = BytesMut::from(&first.payload[..]);
        let counts = self.counts.entry(first.source).or_default();
        counts.arrived += 1;
        while payload.len() % segment_size == 0
            && payload.len() + segment_size <= MAX_BATCH
            && let Some(packet) = self.link.receive(now, |packet| {
                packet.source == first.source
                    && packet.destination == first.destination
                    && packet.ecn == first.ecn
                    && packet.payload.len() <= segment_size
            })
        {
            counts.arrived += 1;
            payload.extend_from_slice(&packet.payload);
        }
        counts.bytes_arrived += payload.len() as u64;
        let datagram = Datagram {
            source: first.source,
            destination_ip: None,
            second_port: false,
            ecn: first.ecn,
            segment_size,
            payload,
        };
        Some((first.destination, datagram))
    }
}

/// What arrives within that time arrives together.
const TICK: Duration = Duration::from_micros(100);
/// As on the Internet.
const MTU: usize = 1472;
/// Of UDP and IPv4.
const HEADERS: usize = 28;
const MAX_BATCH: usize = 65_000;
