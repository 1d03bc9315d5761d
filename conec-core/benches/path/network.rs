//! A network with distances, in virtual time.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use conec_core::{Datagram, Ecn};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::harness::{Node, SEGMENTS};

/// What lies between two nodes, in one direction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    pub(crate) bytes_per_second: u64,
    /// Of one direction.
    pub(crate) delay: Duration,
    /// Which part of the packets gets lost.
    pub(crate) loss: f64,
    /// How long a packet may wait for those before it, if not for ever.
    pub(crate) queue: Option<Duration>,
}

/// Paths of one kind between all nodes.
pub(crate) struct Network {
    pub(crate) now: Instant,
    path: Path,
    wires: BTreeMap<(SocketAddr, SocketAddr), Wire>,
    rng: StdRng,
}

/// From one node to another.
struct Wire {
    free_at: Instant,
    /// Packets under way, with the times of their arrival.
    packets: VecDeque<(Instant, Option<Ecn>, Bytes)>,
}

impl Wire {
    /// The next packet, if it is as it should be: its arrival, its mark and its length.
    fn pop(
        &mut self,
        is_right: impl FnOnce(Instant, Option<Ecn>, usize) -> bool,
    ) -> Option<(Option<Ecn>, Bytes)> {
        let &(at, ecn, ref packet) = self.packets.front()?;
        if !is_right(at, ecn, packet.len()) {
            return None;
        }
        self.packets
            .pop_front()
            .map(|(_, ecn, packet)| (ecn, packet))
    }
}

impl Network {
    pub(crate) fn new(now: Instant, path: Path) -> Self {
        Self {
            now,
            path,
            wires: BTreeMap::new(),
            rng: StdRng::seed_from_u64(1),
        }
    }

    /// Lets all that nodes have to say set out, time pass until something is to happen, and that happen.
    pub(crate) fn turn(&mut self, nodes: &mut [&mut dyn Node]) {
        for node in nodes.iter_mut() {
            self.collect(*node);
        }
        let here: Vec<_> = nodes.iter().map(|node| node.address()).collect();
        let arrivals = self
            .wires
            .iter()
            .filter(|((_, to), _)| here.contains(to))
            .filter_map(|(_, wire)| Some(wire.packets.front()?.0 + TICK));
        let timeouts = nodes.iter_mut().filter_map(|node| node.poll_timeout());
        let next = arrivals.chain(timeouts).min();
        self.now = next.map_or(self.now + TICK, |next| next.max(self.now));
        for node in nodes.iter_mut() {
            self.deliver(*node);
            if node.poll_timeout().is_some_and(|at| at <= self.now) {
                node.handle_timeout(self.now);
            }
        }
    }

    fn collect(&mut self, node: &mut dyn Node) {
        let source = node.address();
        while let Some(transmit) = node.poll_transmit(self.now, SEGMENTS) {
            let now = self.now;
            let wire = self
                .wires
                .entry((source, transmit.destination))
                .or_insert_with(|| Wire {
                    free_at: now,
                    packets: VecDeque::new(),
                });
            let mut payload = transmit.payload;
            let size = transmit.segment_size.unwrap_or(payload.len());
            while !payload.is_empty() {
                let packet = payload.split_to(size.min(payload.len()));
                let starts = wire.free_at.max(now);
                let waits = starts - now;
                if self.path.queue.is_some_and(|queue| waits > queue)
                    || packet.len() > MTU
                    || self.rng.random_bool(self.path.loss)
                {
                    continue;
                }
                let nanos = (packet.len() + HEADERS) as u64 * 1_000_000_000;
                wire.free_at = starts + Duration::from_nanos(nanos / self.path.bytes_per_second);
                let arrival = wire.free_at + self.path.delay;
                wire.packets.push_back((arrival, transmit.ecn, packet));
            }
        }
    }

    /// What has arrived, in batches of one size as a system makes them.
    fn deliver(&mut self, node: &mut dyn Node) {
        let (now, to) = (self.now, node.address());
        for (&(source, _), wire) in self.wires.iter_mut().filter(|((_, at), _)| *at == to) {
            while let Some((ecn, first)) = wire.pop(|at, _, _| at <= now) {
                let segment_size = first.len();
                let mut payload = BytesMut::from(&first[..]);
                while payload.len() % segment_size == 0
                    && payload.len() + segment_size <= MAX_BATCH
                    && let Some((_, packet)) =
                        wire.pop(|at, mark, len| at <= now && mark == ecn && len <= segment_size)
                {
                    payload.extend_from_slice(&packet);
                }
                let datagram = Datagram {
                    source,
                    destination_ip: None,
                    ecn,
                    segment_size,
                    payload,
                };
                node.handle_datagram(now, datagram);
            }
        }
    }
}

/// What arrives within that time arrives together.
const TICK: Duration = Duration::from_micros(100);
/// As on the Internet.
const MTU: usize = 1472;
/// Of UDP and IPv4.
const HEADERS: usize = 28;
const MAX_BATCH: usize = 65_000;
