//! The QUIC engine, and nothing of conec's own protocol. The only folder that may name `quinn_proto`.
//!
//! A [`Transport`] holds all of an entity's links and looks after those that something happened to. Links are named by
//! the channels they carry. An *engine* is a QUIC endpoint: one for all home channels, one for each peer channel's end,
//! since each issues connection IDs of its own kind.

mod arrivals;
mod cid;
mod congestion;
mod credit;
mod engines;
mod event;
mod handshakes;
mod idle;
mod keys;
mod link;
mod observer;
mod outgoing;
mod packets;
mod settings;
mod silence;
mod tls;
mod window;

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use quinn_proto::{DatagramEvent, EndpointEvent};
use rand::{Rng, SeedableRng, rngs::StdRng};

#[cfg(feature = "__testing")]
pub(crate) use self::link::Reassembly;
use self::{
    engines::{Engine, EngineKind},
    handshakes::Handshakes,
    packets::PacketBuffer,
};
pub(crate) use self::{
    engines::{EngineId, HomeEnd, HomeTls, PeerEnd, is_host_name},
    event::LinkEvent,
    link::{CONTROL, Link, MAX_BATCH, Progress, Read},
    outgoing::Gathered,
};
use crate::{
    ChannelId, CloseReason, Ecn, EndpointStats, Limits, Transmit, buffers::Batch, util::Deadlines,
};

/// How packets have come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// Where from; `None` where they may take any path.
    pub(crate) remote: Option<SocketAddr>,
    /// To which address of ours, where known.
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) ecn: Option<Ecn>,
}

/// All links of an entity.
pub(crate) struct Transport {
    engines: BTreeMap<EngineId, Engine>,
    /// Boxed: over 6 KiB each, and tables are half empty.
    links: BTreeMap<ChannelId, Box<Link>>,
    by_handle: BTreeMap<(EngineId, usize), ChannelId>,
    /// Links that something happened to.
    touched: Vec<ChannelId>,
    /// Links that may have something to send.
    line: VecDeque<ChannelId>,
    deadlines: Deadlines<ChannelId>,
    /// Stateless answers to strangers.
    responses: VecDeque<Transmit>,
    events: VecDeque<(ChannelId, LinkEvent)>,
    /// Accepted links of which it is not known yet whose they are.
    handshakes: Handshakes,
    /// By how many bytes receive windows may still grow.
    window_store: u64,
    next_id: u64,
    rng: StdRng,
    packets: PacketBuffer,
    pub(crate) stats: EndpointStats,
}

impl Transport {
    pub(crate) fn new(seed: [u8; 32], limits: &Limits) -> Self {
        Self {
            engines: BTreeMap::new(),
            links: BTreeMap::new(),
            by_handle: BTreeMap::new(),
            touched: Vec::new(),
            line: VecDeque::new(),
            deadlines: Deadlines::new(),
            responses: VecDeque::new(),
            events: VecDeque::new(),
            handshakes: Handshakes::default(),
            window_store: limits.window_memory as u64,
            next_id: 1,
            rng: StdRng::from_seed(seed),
            packets: PacketBuffer::default(),
            stats: EndpointStats::default(),
        }
    }

    /// An id that was never given before, and is not [`ChannelId::HOME`].
    pub(crate) fn fresh_id(&mut self) -> ChannelId {
        let id = ChannelId(self.next_id);
        self.next_id += 1;
        id
    }

    /// A random number.
    pub(crate) fn random(&mut self) -> u64 {
        self.rng.random()
    }

    /// The other side of an accepted link has said who it is.
    pub(crate) fn introduced(&mut self, id: ChannelId) {
        let link = self.links.get_mut(&id);
        if let Some(network) = link.and_then(|link| link.newcomer.take()) {
            self.handshakes.end(network);
        }
    }

    /// Forgets a link without a word to the other side.
    pub(crate) fn discard(&mut self, id: ChannelId) {
        if let Some(link) = self.forget(id) {
            if let Some(engine) = self.engines.get_mut(&link.engine) {
                let drained = EndpointEvent::drained();
                engine.endpoint.handle_event(link.handle, drained);
            }
            self.release_engine(link.engine);
            self.events.retain(|&(of, _)| of != id);
        }
    }

    /// Gives a link another channel's id, under which no link is.
    pub(crate) fn rename(&mut self, from: ChannelId, to: ChannelId) {
        debug_assert!(!self.links.contains_key(&to), "a link has its id alone");
        let Some(link) = self.links.remove(&from) else {
            return;
        };
        self.by_handle.insert((link.engine, link.handle.0), to);
        self.links.insert(to, link);
        self.deadlines.set(from, None);
        let events = self.events.iter_mut().map(|(id, _)| id);
        let ids = self.touched.iter_mut().chain(&mut self.line).chain(events);
        for id in ids.filter(|id| **id == from) {
            *id = to;
        }
        // Its timer is set again when it is looked after.
        self.link(to);
    }

    /// A link, which is then looked after.
    pub(crate) fn link(&mut self, id: ChannelId) -> Option<&mut Link> {
        let link = self.links.get_mut(&id)?;
        touch(id, link, &mut self.touched, &mut self.line);
        Some(link)
    }

    /// A link, only to look at.
    pub(crate) fn peek(&self, id: ChannelId) -> Option<&Link> {
        self.links.get(&id).map(|link| &**link)
    }

    /// Gives the first packet of a batch to an engine, or drops it if it is for none.
    ///
    /// The packet leaves the batch at the last moment, and `arrival` is made once for a batch: what is written in small
    /// parts and copied as a whole right after makes the processor wait, which is felt with every packet.
    #[inline]
    pub(crate) fn handle_packet(
        &mut self,
        now: Instant,
        engine_id: Option<EngineId>,
        arrival: &Arrival,
        batch: &mut Batch,
    ) {
        let engine = engine_id.and_then(|id| Some((id, self.engines.get_mut(&id)?)));
        let Some((engine_id, engine)) = engine else {
            batch.skip_packet();
            self.stats.datagrams_dropped += 1;
            return;
        };
        let event = engine.endpoint.handle(
            now,
            arrival.remote.unwrap_or(VIRTUAL),
            arrival.local_ip,
            arrival.ecn.map(ecn_to_engine),
            batch.take_packet(),
            self.packets.clear(),
        );
        match event {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                let id = self.by_handle.get(&(engine_id, handle.0));
                if let Some((&id, link)) =
                    id.and_then(|id| self.links.get_mut(id).map(|link| (id, link)))
                {
                    // Before the handshake is complete nobody may move (RFC 9000, 9). The engine sees to that too, but
                    // it counts the packet first, and would send three times as much to an address that may be forged.
                    if !link.connected
                        && arrival.remote.is_some_and(|remote| remote != link.remote())
                    {
                        self.stats.datagrams_dropped += 1;
                        return;
                    }
                    link.handle_packet(now, event);
                    touch(id, link, &mut self.touched, &mut self.line);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.handle_incoming(now, engine_id, incoming);
            }
            // Elsewhere than in public, strangers are not answered.
            Some(DatagramEvent::Response(transmit)) => {
                if matches!(engine.kind, EngineKind::Public(..)) {
                    self.respond(&transmit);
                }
            }
            None => self.stats.datagrams_dropped += 1,
        }
    }

    /// Lets due timers fire. Afterwards, [`poll_event`](Self::poll_event) tells.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.deadlines.pop_due(now) {
            if let Some(link) = self.links.get_mut(&id) {
                link.handle_timeout(now);
                touch(id, link, &mut self.touched, &mut self.line);
            }
        }
    }

    /// This machine was asleep: all links show that they are still there, before their timers say otherwise.
    pub(crate) fn wake(&mut self, now: Instant) {
        tracing::debug!(links = self.links.len(), "the machine has slept");
        for (&id, link) in &mut self.links {
            link.wake(now);
            touch(id, link, &mut self.touched, &mut self.line);
        }
    }

    /// The next thing that happened on a link.
    pub(crate) fn poll_event(&mut self) -> Option<(ChannelId, LinkEvent)> {
        while self.events.is_empty() {
            let id = self.touched.pop()?;
            self.look_after(id);
        }
        self.events.pop_front()
    }

    /// The next datagrams to send, and the channel that sends them; `None` for answers to strangers.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        max_segments: NonZeroUsize,
    ) -> Option<(Option<ChannelId>, Transmit)> {
        if let Some(response) = self.responses.pop_front() {
            return Some((None, response));
        }
        while let Some(id) = self.line.pop_front() {
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            link.grow_window(&mut self.window_store);
            let buf = self.packets.clear();
            // A muted link lines up again when it is touched.
            if !link.muted
                && let Some(transmit) = link.poll_transmit(now, max_segments.get(), buf)
            {
                // To the back: everyone gets a turn.
                self.line.push_back(id);
                if !link.touched {
                    link.touched = true;
                    self.touched.push(id);
                }
                let transmit = finish_transmit(&transmit, &mut self.packets);
                return Some((Some(id), transmit));
            }
            link.in_line = false;
            self.look_after(id);
        }
        None
    }

    /// When something is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Whether events are there to be polled.
    pub(crate) fn has_events(&self) -> bool {
        !(self.touched.is_empty() && self.events.is_empty())
    }

    /// Whether something is there to be polled.
    pub(crate) fn has_output(&self) -> bool {
        !(self.touched.is_empty()
            && self.line.is_empty()
            && self.responses.is_empty()
            && self.events.is_empty())
    }

    /// Whether no link is left, not even one that is saying goodbye.
    pub(crate) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// How many things are kept, apart from what is there from the beginning.
    #[cfg(feature = "__testing")]
    pub(crate) fn entries(&self) -> usize {
        let made_for_one = |engine: &&Engine| !matches!(engine.kind, EngineKind::Public(..));
        let tables = self.engines.values().filter(made_for_one).count()
            + self.links.len()
            + self.by_handle.len();
        let queues = self.touched.len() + self.line.len() + self.responses.len();
        tables + queues + self.events.len() + self.deadlines.entries() + self.handshakes.entries()
    }

    /// Applies what a link wants of its engine, takes its events, and sets its timer.
    fn look_after(&mut self, id: ChannelId) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.touched = false;
        let mut drained = false;
        if let Some(engine) = self.engines.get_mut(&link.engine) {
            let handle = link.handle;
            while let Some(event) = link.conn().poll_endpoint_events() {
                drained |= event.is_drained();
                if let Some(event) = engine.endpoint.handle_event(handle, event) {
                    link.conn().handle_event(event);
                }
            }
            if !drained && link.has_left() {
                engine
                    .endpoint
                    .handle_event(handle, EndpointEvent::drained());
                drained = true;
            }
        }
        link.collect_events();
        link.notice_move();
        if drained {
            link.end(CloseReason::TimedOut);
        }
        if link.is_closed()
            && let Some(network) = link.newcomer.take()
        {
            self.handshakes.end(network);
        }
        // An idle link keeps no room for events.
        let events = std::mem::take(&mut link.events);
        self.events
            .extend(events.into_iter().map(|event| (id, event)));
        if drained {
            let engine = link.engine;
            self.forget(id);
            self.release_engine(engine);
        } else {
            self.deadlines.set(id, link.poll_timeout());
        }
    }

    fn forget(&mut self, id: ChannelId) -> Option<Box<Link>> {
        let link = self.links.remove(&id)?;
        self.by_handle.remove(&(link.engine, link.handle.0));
        self.deadlines.set(id, None);
        self.window_store += link.extra_window();
        Some(link)
    }

    /// Forgets an engine if its last link is gone, unless it is there for everyone's.
    fn release_engine(&mut self, id: EngineId) {
        let mut links = self.by_handle.range((id, 0)..=(id, usize::MAX));
        let public = |engine: &Engine| matches!(engine.kind, EngineKind::Public(..));
        if links.next().is_none() && !self.engines.get(&id).is_some_and(public) {
            self.engines.remove(&id);
        }
    }

    /// Queues an answer to someone without a link.
    fn respond(&mut self, transmit: &quinn_proto::Transmit) {
        if self.responses.len() < MAX_RESPONSES {
            let response = finish_transmit(transmit, &mut self.packets);
            self.responses.push_back(response);
        }
    }

    fn add_link(&mut self, id: ChannelId, mut link: Link) {
        touch(id, &mut link, &mut self.touched, &mut self.line);
        self.by_handle.insert((link.engine, link.handle.0), id);
        self.links.insert(id, Box::new(link));
    }
}

/// Whether the machine must have slept since it was last seen up, as what was due has to wait for so long.
pub(crate) fn is_overslept(up: Option<Instant>, due: Option<Instant>, now: Instant) -> bool {
    let waits_since = due.map(|due| up.map_or(due, |up| up.max(due)));
    waits_since.is_some_and(|since| now >= since + OVERSLEPT)
}

fn touch(
    id: ChannelId,
    link: &mut Link,
    touched: &mut Vec<ChannelId>,
    line: &mut VecDeque<ChannelId>,
) {
    if !link.touched {
        link.touched = true;
        touched.push(id);
    }
    if !link.in_line {
        link.in_line = true;
        line.push_back(id);
    }
}

fn finish_transmit(transmit: &quinn_proto::Transmit, packets: &mut PacketBuffer) -> Transmit {
    Transmit {
        destination: transmit.destination,
        source_ip: transmit.src_ip,
        ecn: transmit.ecn.map(ecn_from_engine),
        segment_size: transmit.segment_size,
        payload: packets.take(transmit.size),
    }
}

fn ecn_to_engine(ecn: Ecn) -> quinn_proto::EcnCodepoint {
    match ecn {
        Ecn::Ect0 => quinn_proto::EcnCodepoint::Ect0,
        Ecn::Ect1 => quinn_proto::EcnCodepoint::Ect1,
        Ecn::Ce => quinn_proto::EcnCodepoint::Ce,
    }
}

fn ecn_from_engine(ecn: quinn_proto::EcnCodepoint) -> Ecn {
    match ecn {
        quinn_proto::EcnCodepoint::Ect0 => Ecn::Ect0,
        quinn_proto::EcnCodepoint::Ect1 => Ecn::Ect1,
        quinn_proto::EcnCodepoint::Ce => Ecn::Ce,
    }
}

/// What the engine of a peer channel takes for the other end's address, whatever path packets travel on: from the
/// discard-only block (RFC 6666), so that nothing is ever sent to it by mistake.
pub(crate) const VIRTUAL: SocketAddr = SocketAddr::V6(std::net::SocketAddrV6::new(
    std::net::Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1),
    1,
    0,
    0,
));
/// A busy machine is late by less.
const OVERSLEPT: Duration = Duration::from_secs(2);
const MAX_RESPONSES: usize = 256;
