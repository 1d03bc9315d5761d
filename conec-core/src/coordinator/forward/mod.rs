//! Forwarding: which packets go where, at what rate, and in which order.

mod cost;
mod lane;
mod queue;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Instant,
};

use bytes::BytesMut;

use self::{
    cost::{cost, count},
    queue::{Queue, SenderId},
};
use super::place::Place;
use crate::{
    ClientId, CoordinatorLimits, Ecn, Transmit,
    util::Bucket,
    wire::{PacketKind, Route, classify},
};

/// Forwards the packets of peer channels.
///
/// The rule: a packet goes to the owner of the route that it names, if it comes from the confirmed address of the
/// Client at the other end. Nothing else is forwarded.
#[derive(Debug)]
pub(super) struct Forwarder {
    routes: BTreeMap<Route, Entry>,
    senders: BTreeMap<ClientId, SenderId>,
    next_sender: u64,
    /// What may still be forwarded for each.
    rates: BTreeMap<SenderId, Rate>,
    /// What it [costs](cost()) may be this much in a second.
    rate: u64,
    /// Those whose packets were dropped, to be told.
    throttled: BTreeSet<SenderId>,
    queue: Queue,
    counts: Forwarded,
}

/// What was counted so far: datagrams, but for `bytes`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Forwarded {
    pub(super) datagrams: u64,
    pub(super) bytes: u64,
    /// Not forwarded, as the queue was full or the Client's rate exceeded.
    pub(super) dropped: u64,
    /// From another address than the confirmed one.
    pub(super) denied: u64,
}

/// What may be forwarded for a Client.
#[derive(Debug)]
struct Rate {
    client: ClientId,
    cost: Bucket,
    /// Packets dropped since the Client was last told.
    dropped: u64,
    /// How often it is told.
    news: Bucket,
}

#[derive(Debug)]
struct Entry {
    /// The Client at the other end, from which packets come.
    from: ClientId,
    sender: SenderId,
    from_address: SocketAddr,
    /// The Client that the route belongs to.
    to: ClientId,
    to_place: Place,
    carried: Carried,
}

/// What was taken to be forwarded for a route.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Carried {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

/// A run of packets from one GRO batch.
pub(super) struct Run {
    pub(super) source: SocketAddr,
    pub(super) ecn: Option<Ecn>,
    pub(super) segment_size: usize,
    pub(super) payload: BytesMut,
    /// How much memory the payload keeps.
    pub(super) memory: usize,
}

impl Forwarder {
    pub(super) fn new(limits: &CoordinatorLimits) -> Self {
        Self {
            routes: BTreeMap::new(),
            senders: BTreeMap::new(),
            next_sender: 0,
            rates: BTreeMap::new(),
            rate: limits.forward_rate(),
            throttled: BTreeSet::new(),
            queue: Queue::new(limits.forward_queue),
            counts: Forwarded::default(),
        }
    }

    pub(super) fn knows(&self, route: Route) -> bool {
        self.routes.contains_key(&route)
    }

    pub(super) fn counts(&self) -> Forwarded {
        self.counts
    }

    /// From now on, packets for `route` are forwarded.
    pub(super) fn add(&mut self, route: Route, from: (ClientId, Place), to: (ClientId, Place)) {
        let sender = *self.senders.entry(from.0).or_insert_with(|| {
            self.next_sender += 1;
            SenderId(self.next_sender)
        });
        self.rates.entry(sender).or_insert_with(|| Rate {
            client: from.0,
            cost: Bucket::per_second(self.rate, self.rate),
            dropped: 0,
            news: Bucket::per_second(1, 1),
        });
        let entry = Entry {
            from: from.0,
            sender,
            from_address: from.1.address(),
            to: to.0,
            to_place: to.1,
            carried: self.carried(route),
        };
        self.routes.insert(route, entry);
    }

    /// What was taken to be forwarded for a route, as long as it is known.
    pub(super) fn carried(&self, route: Route) -> Carried {
        self.routes
            .get(&route)
            .map_or_else(Carried::default, |entry| entry.carried)
    }

    pub(super) fn remove(&mut self, route: Route) {
        self.routes.remove(&route);
    }

    /// The Client has confirmed that it is now at another place. `routes` are those that it is at either end of.
    pub(super) fn moved(
        &mut self,
        client: ClientId,
        place: Place,
        routes: impl IntoIterator<Item = Route>,
    ) {
        for route in routes {
            if let Some(entry) = self.routes.get_mut(&route) {
                if entry.from == client {
                    entry.from_address = place.address();
                }
                if entry.to == client {
                    entry.to_place = place;
                }
            }
        }
    }

    pub(super) fn forget(&mut self, client: ClientId) {
        if let Some(sender) = self.senders.remove(&client) {
            self.rates.remove(&sender);
            self.queue.forget(sender);
        }
    }

    /// Forwards packets for a route, or drops them.
    pub(super) fn forward(&mut self, now: Instant, route: Route, mut run: Run) {
        let size = run.segment_size.clamp(1, run.payload.len().max(1));
        let packets = run.payload.len().div_ceil(size);
        let Some(entry) = self.routes.get_mut(&route) else {
            return;
        };
        if entry.from_address != run.source {
            self.counts.denied += packets as u64;
            return;
        }
        let Some(rate) = self.rates.get_mut(&entry.sender) else {
            return;
        };
        let affordable = rate.take(now, packets, size);
        if affordable < packets {
            let dropped = (packets - affordable) as u64;
            self.counts.dropped += dropped;
            rate.dropped += dropped;
            if rate.news.take(now, 1) {
                self.throttled.insert(entry.sender);
            }
            run.payload.truncate(affordable * size);
        }
        if affordable > 0 {
            entry.carried.packets += affordable as u64;
            entry.carried.bytes += run.payload.len() as u64;
            let packets = Transmit {
                destination: entry.to_place.address(),
                source_ip: entry.to_place.local_ip(),
                ecn: run.ecn,
                segment_size: (affordable > 1).then_some(size),
                payload: run.payload.freeze(),
            };
            let dropped = self.queue.push(entry.sender, packets, run.memory);
            self.counts.dropped += dropped as u64;
        }
    }

    /// A Client that is to be told how many of its packets were dropped.
    pub(super) fn pop_throttled(&mut self) -> Option<(ClientId, u64)> {
        let sender = self.throttled.pop_first()?;
        let rate = self.rates.get_mut(&sender)?;
        Some((rate.client, std::mem::take(&mut rate.dropped)))
    }

    pub(super) fn poll_transmit(&mut self, max_segments: usize) -> Option<Transmit> {
        let packets = self.queue.pop(max_segments)?;
        self.counts.datagrams += count(&packets) as u64;
        self.counts.bytes += packets.payload.len() as u64;
        Some(packets)
    }

    /// How many things are kept, and how many bytes of packets.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        let tables = self.routes.len() + self.senders.len() + self.rates.len();
        tables + self.throttled.len() + self.queue.entries()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

impl Rate {
    /// Takes what so many packets of this size cost, or as many as can be had. Gives how many.
    fn take(&mut self, now: Instant, packets: usize, size: usize) -> usize {
        let level = usize::try_from(self.cost.level(now)).unwrap_or(usize::MAX);
        let affordable = packets.min(level / cost(1, size));
        self.cost.take(now, cost(affordable, size) as u64);
        affordable
    }
}

/// How many bytes at the front of a batch go the way of its first packet.
pub(crate) fn run_length(payload: &[u8], segment_size: usize, route: Route) -> usize {
    let same_way = |packet: &&[u8]| match classify(packet) {
        PacketKind::Short(way) | PacketKind::Long(way) => way == Some(route),
        PacketKind::Probe(_) | PacketKind::Other => false,
    };
    payload
        .chunks(segment_size)
        .take_while(same_way)
        .map(<[u8]>::len)
        .sum()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use std::net::IpAddr;

    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    const SEGMENT: usize = 100;

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    /// Where the Coordinator is for who is at that port.
    fn own_ip(port: u16) -> IpAddr {
        [198, 51, 100, port as u8].into()
    }

    fn client(number: u8) -> ClientId {
        ClientId::from_bytes([number; 32])
    }

    fn place(port: u16) -> Place {
        Place::test(address(port), own_ip(port))
    }

    fn packet(route: Route) -> Vec<u8> {
        let mut packet = vec![0x40; SEGMENT];
        packet[1..7].copy_from_slice(&route.to_bytes());
        packet
    }

    fn run(route: Route, source: u16, packets: usize) -> Run {
        Run {
            source: address(source),
            ecn: Some(Ecn::Ect0),
            segment_size: SEGMENT,
            payload: BytesMut::from(&packet(route).repeat(packets)[..]),
            memory: packets * SEGMENT,
        }
    }

    fn forwarder(limits: &CoordinatorLimits) -> (Forwarder, Route) {
        let mut forwarder = Forwarder::new(limits);
        let route = Route::from_bits(1);
        forwarder.add(route, (client(1), place(1)), (client(2), place(2)));
        (forwarder, route)
    }

    #[test]
    fn a_batch_goes_on_as_a_batch_without_a_copy() {
        let (mut forwarder, route) = forwarder(&CoordinatorLimits::default());
        let run = run(route, 1, 40);
        let at = run.payload.as_ptr();
        forwarder.forward(Instant::now(), route, run);
        let first = forwarder.poll_transmit(30).expect("forwarded");
        assert_eq!(first.payload.as_ptr(), at);
        assert_eq!(first.destination, address(2));
        assert_eq!(first.source_ip, Some(own_ip(2)));
        assert_eq!(first.ecn, Some(Ecn::Ect0));
        assert_eq!(
            (first.payload.len(), first.segment_size),
            (3000, Some(SEGMENT))
        );
        let second = forwarder.poll_transmit(30).expect("the rest");
        assert_eq!(second.payload.len(), 1000);
        assert!(forwarder.poll_transmit(30).is_none());
        assert_eq!(forwarder.queue.memory(), 0);
        assert_eq!(
            (forwarder.counts.datagrams, forwarder.counts.bytes),
            (40, 4000)
        );
    }

    #[test]
    fn only_the_other_end_is_forwarded_and_only_from_where_it_is() {
        let (mut forwarder, route) = forwarder(&CoordinatorLimits::default());
        let now = Instant::now();
        // The owner itself, and a stranger.
        for source in [2, 3] {
            forwarder.forward(now, route, run(route, source, 2));
        }
        assert!(forwarder.poll_transmit(10).is_none());
        assert_eq!(forwarder.counts.denied, 4);
        forwarder.moved(client(1), place(3), [route]);
        forwarder.forward(now, route, run(route, 3, 1));
        assert!(forwarder.poll_transmit(10).is_some());
        forwarder.remove(route);
        forwarder.forward(now, route, run(route, 3, 1));
        assert!(forwarder.poll_transmit(10).is_none() && forwarder.is_empty());
    }

    #[test]
    fn the_rate_is_by_packet_and_by_byte() {
        // 65,536 bytes are 54 packets of up to 1200 bytes, or 32 of 2000.
        for (size, packets, more) in [(9, 54, 27), (1200, 54, 27), (2000, 32, 17)] {
            let limits = CoordinatorLimits {
                forward_rate: Some(65_536),
                ..CoordinatorLimits::default()
            };
            let (mut forwarder, route) = forwarder(&limits);
            let now = Instant::now();
            let mut sent = |now| {
                let before = forwarder.counts.datagrams;
                for _ in 0..100 {
                    let run = Run {
                        segment_size: size,
                        payload: BytesMut::zeroed(7 * size),
                        ..run(route, 1, 1)
                    };
                    forwarder.forward(now, route, run);
                }
                while let Some(transmit) = forwarder.poll_transmit(10) {
                    assert!(!transmit.payload.is_empty());
                }
                forwarder.counts.datagrams - before
            };
            assert_eq!(sent(now), packets);
            assert_eq!(sent(now), 0);
            let half_a_second = now + std::time::Duration::from_millis(500);
            assert_eq!(sent(half_a_second), more);
            let dropped = 3 * 700 - packets - more;
            assert_eq!(forwarder.counts.dropped, dropped);
            assert_eq!(forwarder.pop_throttled(), Some((client(1), dropped)));
        }
    }

    #[test]
    fn nothing_is_left_of_a_client_that_is_gone() {
        let (mut forwarder, route) = forwarder(&CoordinatorLimits::default());
        forwarder.forward(Instant::now(), route, run(route, 1, 1));
        forwarder.remove(route);
        forwarder.forget(client(1));
        assert!(forwarder.poll_transmit(10).is_some(), "it was on its way");
        assert!(forwarder.poll_transmit(10).is_none());
        assert!(forwarder.senders.is_empty() && forwarder.rates.is_empty());
        assert!(forwarder.queue.is_forgotten(SenderId(1)));
    }

    #[test]
    fn small_runs_that_follow_each_other_go_on_together() {
        let (mut forwarder, route) = forwarder(&CoordinatorLimits::default());
        let now = Instant::now();
        for packets in [1, 2, 1, 3] {
            forwarder.forward(now, route, run(route, 1, packets));
        }
        // One with a shorter end, after which there can be no other.
        let mut short = run(route, 1, 2);
        short.payload.truncate(150);
        forwarder.forward(now, route, short);
        forwarder.forward(now, route, run(route, 1, 1));
        let mut marked = run(route, 1, 1);
        marked.ecn = None;
        forwarder.forward(now, route, marked);
        // One that is larger than others, alone; then some with a shorter end.
        let mut large = run(route, 1, 3);
        large.segment_size = 3 * SEGMENT;
        forwarder.forward(now, route, large);
        for len in [SEGMENT, SEGMENT, 50] {
            let mut run = run(route, 1, 1);
            run.payload.truncate(len);
            forwarder.forward(now, route, run);
        }
        let sizes = std::iter::from_fn(|| forwarder.poll_transmit(10))
            .map(|transmit| (transmit.payload.len(), transmit.segment_size))
            .collect::<Vec<_>>();
        let expected = [
            (850, Some(SEGMENT)),
            (100, None),
            (100, None),
            (300, None),
            (250, Some(SEGMENT)),
        ];
        assert_eq!(sizes, expected);
    }

    /// However they are put together, each packet arrives as it was, those for one destination in order, and no batch is too
    /// large.
    #[test]
    fn packets_stay_as_they_are() {
        for seed in 0..300 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut forwarder, route) = forwarder(&CoordinatorLimits::default());
            let other = Route::from_bits(2);
            forwarder.add(other, (client(1), place(1)), (client(3), place(3)));
            let mut expected = Vec::new();
            let in_turn = rng.random_bool(0.5);
            for number in 0..40 {
                let to_other = (in_turn && number % 2 == 1) || rng.random_bool(0.1);
                let (route, to) = [(route, 2), (other, 3)][usize::from(to_other)];
                let segment_size = 500 * rng.random_range(1..3);
                let max = [segment_size, 5 * segment_size, 30_000][rng.random_range(0..3)];
                let payload = vec![number; rng.random_range(1..=max)];
                let ecn = rng.random_bool(0.1).then_some(Ecn::Ce);
                let packets = payload.chunks(segment_size);
                expected.extend(packets.map(|packet| (address(to), ecn, packet.to_vec())));
                let run = Run {
                    source: address(1),
                    ecn,
                    segment_size,
                    payload: BytesMut::from(&payload[..]),
                    memory: payload.len(),
                };
                forwarder.forward(Instant::now(), route, run);
            }
            let max_segments = rng.random_range(1..70);
            let mut sent = Vec::new();
            while let Some(transmit) = forwarder.poll_transmit(max_segments) {
                let size = transmit.segment_size.unwrap_or(transmit.payload.len());
                let packets = transmit.payload.chunks(size);
                assert!(packets.len() <= max_segments, "seed {seed}");
                assert_eq!(transmit.segment_size.is_some(), packets.len() > 1);
                let to = (transmit.destination, transmit.ecn);
                sent.extend(packets.map(|packet| (to.0, to.1, packet.to_vec())));
            }
            // Sorting keeps the order of those for one destination.
            sent.sort_by_key(|packet| packet.0);
            expected.sort_by_key(|packet| packet.0);
            assert!(sent == expected, "seed {seed}");
            assert_eq!(forwarder.queue.memory(), 0);
        }
    }

    #[test]
    fn a_run_ends_where_another_route_begins() {
        let (a, b) = (Route::from_bits(1), Route::from_bits(2));
        let mut batch = packet(a).repeat(3);
        batch.extend(packet(b));
        batch.extend(packet(a));
        assert_eq!(run_length(&batch, SEGMENT, a), 300);
        assert_eq!(run_length(&batch[300..], SEGMENT, b), 100);
        batch.truncate(450);
        assert_eq!(run_length(&batch[400..], SEGMENT, a), 50);
    }
}
