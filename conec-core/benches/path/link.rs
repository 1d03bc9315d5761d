//! One direction of a faulty path: what happens to packets on it, in virtual time.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use conec_core::{Datagram, Ecn};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// What lies between two places, the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Path {
    pub(crate) rate: Rate,
    /// Of one direction.
    pub(crate) delay: Duration,
    /// Up to how much more or less a packet takes, at random. Packets overtake each other.
    pub(crate) jitter: Duration,
    /// Which part of the packets gets lost at random.
    pub(crate) loss: f64,
    /// How much may wait for the link, as the time that it takes at the highest rate; everything, where there is none.
    /// What comes when it is full is dropped (tail drop).
    pub(crate) queue: Option<Duration>,
    /// Drops what exceeds a rate, before the link.
    pub(crate) policer: Option<Policer>,
}

/// How fast a link is, in bits per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rate {
    Constant(u64),
    /// One rate, then another, then the first again, each for a third of this time.
    Thirds(u64, u64, Duration),
    /// Another rate between these each time, at random.
    Random(u64, u64, Duration),
}

/// A token bucket that nothing waits for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Policer {
    /// In bits per second.
    pub(crate) rate: u64,
    /// How much may come at once, as the time that it takes at the rate.
    pub(crate) burst: Duration,
}

/// What became of the packets from one node.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    /// By a full queue, a policer, or at random. Not what is too large for the path.
    pub(crate) dropped: u64,
    pub(crate) arrived: u64,
    /// In UDP payloads.
    pub(crate) bytes_arrived: u64,
}

pub(crate) struct Link {
    path: Path,
    seed: u64,
    rng: StdRng,
    /// When the path's rate begins to change.
    began: Instant,
    free_at: Instant,
    /// What waits for the link: until when, and how many bytes.
    waiting: VecDeque<(Instant, usize)>,
    backlog: usize,
    tokens: f64,
    tokens_at: Instant,
    under_way: BinaryHeap<Reverse<Packet>>,
    sequence: u64,
    counts: BTreeMap<SocketAddr, Counts>,
}

impl Link {
    pub(crate) fn new(now: Instant, path: Path, seed: u64) -> Self {
        Self {
            path,
            seed,
            rng: StdRng::seed_from_u64(seed),
            began: now,
            free_at: now,
            waiting: VecDeque::new(),
            backlog: 0,
            tokens: path.policer.map_or(0.0, |policer| policer.depth()),
            tokens_at: now,
            under_way: BinaryHeap::new(),
            sequence: 0,
            counts: BTreeMap::new(),
        }
    }

    /// Lets the path's rate begin to change, and counts from now on.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.began = now;
        self.counts.clear();
    }

    pub(crate) fn send(
        &mut self,
        now: Instant,
        source: SocketAddr,
        destination: SocketAddr,
        ecn: Option<Ecn>,
        payload: Bytes,
    ) {
        if payload.len() > MTU {
            return;
        }
        let size = payload.len() + HEADERS;
        let takes =
            !self.rng.random_bool(self.path.loss) && self.polices(now, size) && self.has_room(now);
        let counts = self.counts.entry(source).or_default();
        counts.sent += 1;
        if !takes {
            counts.dropped += 1;
            return;
        }
        let starts = self.free_at.max(now);
        let elapsed = starts.saturating_duration_since(self.began);
        let rate = self.path.rate.at(elapsed, self.seed);
        self.free_at = starts + Duration::from_nanos(size as u64 * 8_000_000_000 / rate);
        self.waiting.push_back((self.free_at, size));
        self.backlog += size;
        let mut delay = self.path.delay;
        if !self.path.jitter.is_zero() {
            delay += self.rng.random_range(Duration::ZERO..=self.path.jitter * 2);
            delay = delay.saturating_sub(self.path.jitter);
        }
        self.sequence += 1;
        self.under_way.push(Reverse(Packet {
            at: self.free_at + delay,
            sequence: self.sequence,
            source,
            destination,
            ecn,
            payload,
        }));
    }

    /// When the next packet arrives.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        Some(self.under_way.peek()?.0.at)
    }

    /// What has arrived, in batches of one size as a system makes them, and for whom.
    pub(crate) fn receive(&mut self, now: Instant) -> Option<(SocketAddr, Datagram)> {
        let first = self.pop(|packet| packet.at <= now)?;
        let segment_size = first.payload.len();
        let mut payload = BytesMut::from(&first.payload[..]);
        while payload.len() % segment_size == 0
            && payload.len() + segment_size <= MAX_BATCH
            && let Some(packet) = self.pop(|packet| {
                packet.at <= now
                    && packet.source == first.source
                    && packet.destination == first.destination
                    && packet.ecn == first.ecn
                    && packet.payload.len() <= segment_size
            })
        {
            payload.extend_from_slice(&packet.payload);
        }
        let datagram = Datagram {
            source: first.source,
            destination_ip: None,
            ecn: first.ecn,
            segment_size,
            payload,
        };
        Some((first.destination, datagram))
    }

    pub(crate) fn counts(&self, source: SocketAddr) -> Counts {
        self.counts.get(&source).copied().unwrap_or_default()
    }

    fn pop(&mut self, is_right: impl FnOnce(&Packet) -> bool) -> Option<Packet> {
        if !is_right(&self.under_way.peek()?.0) {
            return None;
        }
        let Reverse(packet) = self.under_way.pop()?;
        let counts = self.counts.entry(packet.source).or_default();
        counts.arrived += 1;
        counts.bytes_arrived += packet.payload.len() as u64;
        Some(packet)
    }

    /// Whether a policer, if there is one, lets so much pass.
    fn polices(&mut self, now: Instant, size: usize) -> bool {
        let Some(policer) = self.path.policer else {
            return true;
        };
        let came = (now - self.tokens_at).as_secs_f64() * policer.rate as f64 / 8.0;
        self.tokens = (self.tokens + came).min(policer.depth());
        self.tokens_at = now;
        let passes = self.tokens >= size as f64;
        if passes {
            self.tokens -= size as f64;
        }
        passes
    }

    fn has_room(&mut self, now: Instant) -> bool {
        while let Some(&(until, size)) = self.waiting.front()
            && until <= now
        {
            self.waiting.pop_front();
            self.backlog -= size;
        }
        let Some(queue) = self.path.queue else {
            return true;
        };
        let room = queue.as_secs_f64() * self.path.rate.highest() as f64 / 8.0;
        self.backlog as f64 <= room
    }
}

impl Rate {
    pub(crate) fn highest(self) -> u64 {
        match self {
            Self::Constant(rate) => rate,
            Self::Thirds(outer, inner, _) => outer.max(inner),
            Self::Random(low, high, _) => low.max(high),
        }
    }

    fn at(self, elapsed: Duration, seed: u64) -> u64 {
        match self {
            Self::Constant(rate) => rate,
            Self::Thirds(outer, inner, time) => {
                let third = time / 3;
                if (third..third * 2).contains(&elapsed) {
                    inner
                } else {
                    outer
                }
            }
            Self::Random(low, high, every) => {
                let step = elapsed.as_nanos() / every.as_nanos();
                let seed = seed.wrapping_mul(1 << 32).wrapping_add(step as u64);
                StdRng::seed_from_u64(seed).random_range(low..=high)
            }
        }
    }
}

impl Policer {
    fn depth(self) -> f64 {
        self.burst.as_secs_f64() * self.rate as f64 / 8.0
    }
}

/// A packet under way. The order is that of arrival.
struct Packet {
    at: Instant,
    sequence: u64,
    source: SocketAddr,
    destination: SocketAddr,
    ecn: Option<Ecn>,
    payload: Bytes,
}

impl Packet {
    fn order(&self) -> (Instant, u64) {
        (self.at, self.sequence)
    }
}

impl Ord for Packet {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Packet {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Packet {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Packet {}

/// As on the Internet.
const MTU: usize = 1472;
/// Of UDP and IPv4.
const HEADERS: usize = 28;
const MAX_BATCH: usize = 65_000;
