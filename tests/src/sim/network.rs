//! What happens to datagrams between two hosts of one network.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use conec_core::Ecn;
use rand::{Rng, rngs::StdRng};

use super::topology::{Host, Net};

/// How one direction between two hosts of one network behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkConfig {
    /// How long a datagram takes.
    pub delay: Duration,
    /// Up to how much longer, at random. Alone, it reorders.
    pub jitter: Duration,
    /// The share of datagrams that are lost, each by itself.
    pub loss: f64,
    /// Losses that come together.
    pub burst: Option<Burst>,
    /// Every datagram of this number is lost, counted in the order in which they are sent: with 2, every second one.
    pub lose_every: Option<u64>,
    /// The share of datagrams that are delayed by another `delay`.
    pub reorder: f64,
    /// The share of datagrams that arrive twice.
    pub duplicate: f64,
    /// The share of datagrams in which a bit is flipped.
    pub corrupt: f64,
    /// Bytes per second, if bounded.
    pub rate: Option<u64>,
    /// How many bytes may wait for their turn where the rate is bounded.
    pub queue: usize,
    /// Larger UDP payloads vanish.
    pub mtu: usize,
    /// Whether anything arrives.
    pub up: bool,
}

/// Losses that come together (a Gilbert model): how likely a good phase ends with each datagram, and a bad one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// How likely a bad phase begins with a datagram.
    pub begin: f64,
    /// How likely it ends with a datagram.
    pub end: f64,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss: 0.0,
            burst: None,
            lose_every: None,
            reorder: 0.0,
            duplicate: 0.0,
            corrupt: 0.0,
            rate: None,
            queue: 256 << 10,
            mtu: 1500 - 28,
            up: true,
        }
    }
}

impl LinkConfig {
    /// A cable or two.
    pub fn lan() -> Self {
        Self {
            delay: Duration::from_millis(1),
            ..Self::default()
        }
    }

    /// A network on a bad day.
    pub fn rough() -> Self {
        Self {
            jitter: Duration::from_millis(8),
            loss: 0.03,
            reorder: 0.02,
            duplicate: 0.02,
            corrupt: 0.01,
            ..Self::default()
        }
    }
}

/// A datagram under way.
#[derive(Debug, Clone)]
pub struct Packet {
    /// In which network it is.
    pub net: Net,
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it is going.
    pub destination: SocketAddr,
    /// Its congestion mark.
    pub ecn: Option<Ecn>,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// Keeps a copy of every datagram in every network that it is sent in.
#[derive(Debug, Clone, Default)]
pub struct Tap(Rc<RefCell<Vec<Packet>>>);

impl Tap {
    /// How many datagrams there are.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Datagram number so-and-so.
    pub fn get(&self, index: usize) -> Option<Packet> {
        self.0.borrow().get(index).cloned()
    }

    /// The first of the datagrams that is such.
    pub fn find(&self, such: impl FnMut(&&Packet) -> bool) -> Option<Packet> {
        self.0.borrow().iter().find(such).cloned()
    }

    /// How many of the datagrams are such.
    pub fn count(&self, such: impl FnMut(&&Packet) -> bool) -> usize {
        self.0.borrow().iter().filter(such).count()
    }

    /// How many bytes of UDP payload the datagrams have that are such.
    pub fn bytes(&self, such: impl FnMut(&&Packet) -> bool) -> usize {
        let packets = self.0.borrow();
        packets.iter().filter(such).map(|it| it.payload.len()).sum()
    }
}

/// All links, each made from its network's default when first used.
#[derive(Debug)]
pub struct Network {
    /// What links on the Internet are like that were not configured one by one.
    pub default: LinkConfig,
    /// The same, for networks behind boxes.
    pub lan: LinkConfig,
    /// Where copies go, if anywhere.
    pub tap: Option<Tap>,
    links: BTreeMap<Way, LinkConfig>,
    states: BTreeMap<Way, LinkState>,
    down: BTreeSet<Host>,
}

/// In which network, from whom, and to whom: nobody where an address is not anybody's.
type Way = (Net, Option<Host>, Option<Host>);

#[derive(Debug, Default)]
struct LinkState {
    bad_phase: bool,
    /// How many datagrams were sent.
    sent: u64,
    /// When the link has sent all that waits.
    busy_until: Option<Instant>,
}

impl Network {
    pub(super) fn new() -> Self {
        Self {
            default: LinkConfig::default(),
            lan: LinkConfig::lan(),
            tap: None,
            links: BTreeMap::new(),
            states: BTreeMap::new(),
            down: BTreeSet::new(),
        }
    }

    /// Changes every link on the Internet, those made later included.
    pub fn set_all(&mut self, config: &LinkConfig) {
        self.default = config.clone();
        self.links.retain(|&(net, ..), _| net != Net::Internet);
    }

    pub(super) fn link(&mut self, net: Net, from: Host, to: Host) -> &mut LinkConfig {
        let default = match net {
            Net::Internet => &self.default,
            Net::Behind(_) => &self.lan,
        };
        self.links
            .entry((net, Some(from), Some(to)))
            .or_insert_with(|| default.clone())
    }

    pub(super) fn set_up(&mut self, host: Host, up: bool) {
        if up {
            self.down.remove(&host);
        } else {
            self.down.insert(host);
        }
    }

    /// When, and how, a datagram arrives: not at all, once, or twice.
    pub(super) fn carry(
        &mut self,
        now: Instant,
        rng: &mut StdRng,
        (from, to): (Option<Host>, Option<Host>),
        packet: Packet,
    ) -> Vec<(Instant, Packet)> {
        if let Some(tap) = &self.tap {
            tap.0.borrow_mut().push(packet.clone());
        }
        let way = (packet.net, from, to);
        let default = match packet.net {
            Net::Internet => &self.default,
            Net::Behind(_) => &self.lan,
        };
        let link = self.links.get(&way).unwrap_or(default);
        let state = self.states.entry(way).or_default();
        let is_down = |host: Option<Host>| host.is_some_and(|host| self.down.contains(&host));
        let cut = is_down(from) || is_down(to);
        if !link.up || cut || packet.payload.len() > link.mtu {
            return Vec::new();
        }
        if let Some(burst) = link.burst {
            let turn = if state.bad_phase {
                burst.end
            } else {
                burst.begin
            };
            state.bad_phase ^= rng.random_bool(turn);
            if state.bad_phase {
                return Vec::new();
            }
        }
        state.sent += 1;
        let in_turn = |every: u64| state.sent.is_multiple_of(every.max(1));
        if link.lose_every.is_some_and(in_turn) || happens(rng, link.loss) {
            return Vec::new();
        }
        let mut leaves = now;
        if let Some(rate) = link.rate {
            let start = state.busy_until.map_or(now, |busy| busy.max(now));
            let waiting = (start - now).as_secs_f64() * rate as f64;
            if waiting > link.queue as f64 {
                return Vec::new();
            }
            leaves = start + Duration::from_secs_f64(packet.payload.len() as f64 / rate as f64);
            state.busy_until = Some(leaves);
        }
        let copies = 1 + usize::from(happens(rng, link.duplicate));
        (0..copies)
            .map(|_| {
                let mut packet = packet.clone();
                let mut at = leaves + link.delay;
                if !link.jitter.is_zero() {
                    at += link.jitter.mul_f64(rng.random());
                }
                if happens(rng, link.reorder) {
                    at += link.delay;
                }
                if happens(rng, link.corrupt) && !packet.payload.is_empty() {
                    let byte = rng.random_range(0..packet.payload.len());
                    packet.payload[byte] ^= 1 << rng.random_range(0..8);
                }
                (at, packet)
            })
            .collect()
    }
}

/// Draws only where there is something to decide, so that networks without faults do not use up randomness.
fn happens(rng: &mut StdRng, share: f64) -> bool {
    share > 0.0 && rng.random_bool(share)
}
