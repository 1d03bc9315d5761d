//! The forwarding table: which packets go where.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Instant,
};

use bytes::BytesMut;

use super::place::Place;
use crate::{
    ClientId, CoordinatorLimits, Ecn, Transmit,
    transport::MAX_BATCH,
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
    /// What may still be forwarded for each Client, where that is bounded.
    rates: BTreeMap<ClientId, Rate>,
    rate: Option<u64>,
    /// Clients whose packets were dropped, to be told.
    throttled: BTreeSet<ClientId>,
    queue: VecDeque<Transmit>,
    queued: usize,
    queue_limit: usize,
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
    bytes: Bucket,
    /// Packets dropped since the Client was last told.
    dropped: u64,
    /// How often it is told.
    news: Bucket,
}

#[derive(Debug)]
struct Entry {
    /// The Client at the other end, from which packets come.
    from: ClientId,
    from_address: SocketAddr,
    /// The Client that the route belongs to.
    to: ClientId,
    to_place: Place,
}

/// A run of packets from one GRO batch.
pub(super) struct Run {
    pub(super) source: SocketAddr,
    pub(super) ecn: Option<Ecn>,
    pub(super) segment_size: usize,
    pub(super) payload: BytesMut,
}

impl Forwarder {
    pub(super) fn new(limits: &CoordinatorLimits) -> Self {
        Self {
            routes: BTreeMap::new(),
            rates: BTreeMap::new(),
            rate: limits.forward_rate,
            throttled: BTreeSet::new(),
            queue: VecDeque::new(),
            queued: 0,
            queue_limit: limits.forward_queue,
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
        if let Some(rate) = self.rate {
            self.rates.entry(from.0).or_insert_with(|| Rate {
                bytes: Bucket::per_second(rate, rate),
                dropped: 0,
                news: Bucket::per_second(1, 1),
            });
        }
        let entry = Entry {
            from: from.0,
            from_address: from.1.address(),
            to: to.0,
            to_place: to.1,
        };
        self.routes.insert(route, entry);
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
        self.rates.remove(&client);
    }

    /// Forwards packets for a route, or drops them.
    pub(super) fn forward(&mut self, now: Instant, route: Route, run: Run) {
        let bytes = run.payload.len();
        let packets = bytes.div_ceil(run.segment_size.max(1)) as u64;
        let Some(entry) = self.routes.get(&route) else {
            return;
        };
        if entry.from_address != run.source {
            self.counts.denied += packets;
            return;
        }
        if let Some(rate) = self.rates.get_mut(&entry.from)
            && !rate.bytes.take(now, bytes as u64)
        {
            self.counts.dropped += packets;
            rate.dropped += packets;
            if rate.news.take(now, 1) {
                self.throttled.insert(entry.from);
            }
            return;
        }
        if self.queued + bytes > self.queue_limit {
            self.counts.dropped += packets;
            return;
        }
        self.counts.datagrams += packets;
        self.counts.bytes += bytes as u64;
        self.queued += bytes;
        self.queue.push_back(Transmit {
            destination: entry.to_place.address(),
            source_ip: entry.to_place.local_ip(),
            ecn: run.ecn,
            segment_size: (bytes > run.segment_size).then_some(run.segment_size),
            payload: run.payload.freeze(),
        });
    }

    /// A Client that is to be told how many of its packets were dropped.
    pub(super) fn pop_throttled(&mut self) -> Option<(ClientId, u64)> {
        let client = self.throttled.pop_first()?;
        let rate = self.rates.get_mut(&client)?;
        Some((client, std::mem::take(&mut rate.dropped)))
    }

    pub(super) fn poll_transmit(&mut self, max_segments: usize) -> Option<Transmit> {
        let front = self.queue.front_mut()?;
        let limit = front
            .segment_size
            .map_or(usize::MAX, |size| size.saturating_mul(max_segments));
        let transmit = if front.payload.len() > limit {
            let payload = front.payload.split_to(limit);
            let several = |bytes: usize| front.segment_size.filter(|&size| bytes > size);
            let (segment_size, left) = (several(payload.len()), several(front.payload.len()));
            front.segment_size = left;
            Transmit {
                segment_size,
                payload,
                ..front.clone()
            }
        } else {
            let front = self.queue.pop_front()?;
            put_together(front, &mut self.queue, max_segments)
        };
        self.queued -= transmit.payload.len();
        Some(transmit)
    }

    /// How many things are kept, and how many bytes of packets.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        self.routes.len() + self.rates.len() + self.queue.len() + self.queued
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.routes.is_empty()
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

/// The first transmit together with those of the next that can be sent with it. To copy small ones costs less than to send
/// each.
fn put_together(first: Transmit, next: &mut VecDeque<Transmit>, max_segments: usize) -> Transmit {
    let segment_size = first.segment_size.unwrap_or(first.payload.len()).max(1);
    let max = segment_size.saturating_mul(max_segments).min(MAX_BATCH);
    let mut bytes = first.payload.len();
    let mut count = 0;
    for next in next.iter() {
        let fits = first.payload.len() <= SMALL
            && next.payload.len() <= SMALL
            && bytes + next.payload.len() <= max
            && (next.destination, next.source_ip) == (first.destination, first.source_ip)
            && next.ecn == first.ecn
            // Only the last packet of a batch may be shorter than the others. And none that is larger than all others: if it
            // searches for a larger MTU, the system may refuse it, and all with it.
            && bytes.is_multiple_of(segment_size)
            && match next.segment_size {
                Some(size) => size == segment_size,
                None if next.payload.len() < segment_size => bytes > segment_size,
                None => next.payload.len() == segment_size,
            };
        if !fits {
            break;
        }
        bytes += next.payload.len();
        count += 1;
    }
    if count == 0 {
        return first;
    }
    let mut payload = BytesMut::with_capacity(bytes);
    payload.extend_from_slice(&first.payload);
    for next in next.drain(..count) {
        payload.extend_from_slice(&next.payload);
    }
    Transmit {
        segment_size: Some(segment_size),
        payload: payload.freeze(),
        ..first
    }
}

/// What is worth a copy: a packet of any size.
const SMALL: usize = 9 << 10;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    const SEGMENT: usize = 100;

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn client(number: u8) -> ClientId {
        ClientId::from_bytes([number; 32])
    }

    fn place(port: u16) -> Place {
        Place::test(address(port))
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
        assert_eq!(first.ecn, Some(Ecn::Ect0));
        assert_eq!(
            (first.payload.len(), first.segment_size),
            (3000, Some(SEGMENT))
        );
        let second = forwarder.poll_transmit(30).expect("the rest");
        assert_eq!(second.payload.len(), 1000);
        assert!(forwarder.poll_transmit(30).is_none());
        assert_eq!(forwarder.queued, 0);
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
    fn queue_and_rate_are_bounded() {
        let limits = CoordinatorLimits {
            forward_queue: 1000,
            forward_rate: Some(65_536),
            ..CoordinatorLimits::default()
        };
        let (mut forwarder, route) = forwarder(&limits);
        let now = Instant::now();
        forwarder.forward(now, route, run(route, 1, 8));
        forwarder.forward(now, route, run(route, 1, 8));
        assert_eq!(
            (forwarder.counts.datagrams, forwarder.counts.dropped),
            (8, 8)
        );
        while forwarder.counts.bytes < 70_000 && forwarder.counts.dropped < 100 {
            while forwarder.poll_transmit(10).is_some() {}
            forwarder.forward(now, route, run(route, 1, 8));
        }
        assert!(forwarder.counts.bytes <= 65_536);
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

    /// However they are put together, each packet arrives as it was, in order, and no batch is too large.
    #[test]
    fn packets_stay_as_they_are() {
        for seed in 0..300 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut forwarder, route) = forwarder(&CoordinatorLimits::default());
            let other = Route::from_bits(2);
            forwarder.add(other, (client(1), place(1)), (client(3), place(3)));
            let mut expected = Vec::new();
            for number in 0..40 {
                let (route, to) = [(route, 2), (other, 3)][usize::from(rng.random_bool(0.1))];
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
            assert!(sent == expected, "seed {seed}");
            assert_eq!(forwarder.queued, 0);
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
