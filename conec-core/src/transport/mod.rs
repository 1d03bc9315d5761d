//! The QUIC engine, and nothing of conec's own protocol. The only folder that may name `quinn_proto`.
//!
//! An *engine* is a QUIC endpoint: one for all home channels, one for each peer channel's end, since each issues connection
//! IDs of its own kind. A [`Transport`] holds an entity's engines. The [`Link`]s that they make are kept by who made them,
//! under a channel's id.

mod announced;
mod arrivals;
mod cid;
mod congestion;
mod engine;
mod event;
mod handshakes;
mod intake;
mod keys;
mod link;
mod lobby;
mod observer;
mod outgoing;
mod packets;
mod settings;
mod silence;
mod tls;
mod unopened;
mod window;

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    time::Instant,
};

use quinn_proto::{DatagramEvent, EndpointEvent};
use rand::{RngCore, SeedableRng, rngs::StdRng};

#[cfg(feature = "__testing")]
pub(crate) use self::link::Reassembly;
use self::{
    engine::Engine,
    handshakes::Handshakes,
    lobby::{Lobby, Stranger, Waiting},
    packets::PacketBuffer,
};
pub(crate) use self::{
    engine::{EngineId, HomeEnd, HomeTls, PeerEnd, is_host_name},
    event::{Handshaken, LinkChange, LinkEvent, Read},
    handshakes::Admissions,
    link::{CONTROL, Link, MAX_BATCH, Progress},
    outgoing::Gathered,
};
use crate::{ChannelId, CloseReason, Ecn, Transmit, buffers::Batch};

/// How packets have come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// Where from; `None` where they may take any path.
    pub(crate) remote: Option<SocketAddr>,
    /// To which address of ours, where known.
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) ecn: Option<Ecn>,
}

/// All engines of an entity.
pub(crate) struct Transport {
    engines: BTreeMap<EngineId, Engine>,
    /// Stateless answers to strangers.
    responses: VecDeque<Transmit>,
    /// Accepted links whose other sides were not let in yet.
    handshakes: Handshakes,
    lobby: Lobby,
    next_engine: u64,
    rng: StdRng,
    packets: PacketBuffer,
    counts: Counts,
}

/// What came in that was of no use.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Datagrams that belonged to nobody.
    pub(crate) dropped: u64,
    /// Connection attempts turned away.
    pub(crate) refused: u64,
}

/// What came of a packet, besides what its link has to tell.
pub(crate) enum Received {
    Nothing,
    /// A link has come about: for the channel that was waiting for it, or a stranger's.
    Accepted(Box<Link>, Option<ChannelId>),
    /// None has, for the channel that was waiting for it.
    Failed(ChannelId, CloseReason),
}

impl Transport {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            engines: BTreeMap::new(),
            responses: VecDeque::new(),
            handshakes: Handshakes::default(),
            lobby: Lobby::default(),
            next_engine: 0,
            rng: StdRng::from_seed(seed),
            packets: PacketBuffer::default(),
            counts: Counts::default(),
        }
    }

    /// Gives the first packet of a batch to an engine. `find` gives a channel's link.
    ///
    /// The packet leaves the batch at the last moment, and `arrival` is made once for a batch: what is written in small
    /// parts and copied as a whole right after makes the processor wait, which is felt with every packet.
    #[inline]
    pub(crate) fn handle_packet<'a>(
        &mut self,
        now: Instant,
        engine_id: EngineId,
        arrival: &Arrival,
        batch: &mut Batch,
        find: impl FnOnce(ChannelId) -> Option<&'a mut Link>,
    ) -> Received {
        if batch.begins_with(0x80) && self.is_forged(arrival, batch) {
            self.drop_packet(batch);
            return Received::Nothing;
        }
        let Some(engine) = self.engines.get_mut(&engine_id) else {
            self.drop_packet(batch);
            return Received::Nothing;
        };
        let len = batch.first_len();
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
                if let Some((id, link)) = engine
                    .links
                    .get(&handle.0)
                    .and_then(|&id| Some((id, find(id)?)))
                {
                    // Before the handshake is complete nobody may move (RFC 9000, 9). The engine sees to that too, but
                    // it counts the packet first, and would send three times as much to an address that may be forged.
                    if !link.connected
                        && arrival.remote.is_some_and(|remote| remote != link.remote())
                    {
                        self.counts.dropped += 1;
                    } else if let Some(newcomer) = &mut link.newcomer {
                        let unopened = &mut newcomer.unopened;
                        if !unopened.has_room(len) {
                            self.counts.dropped += 1;
                        } else if unopened.add(event, len) {
                            self.lobby.add_packet(id);
                        }
                    } else {
                        link.handle_packet(now, event);
                    }
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                return self.handle_incoming(now, engine_id, incoming);
            }
            // Elsewhere than in public, strangers are not answered.
            Some(DatagramEvent::Response(transmit)) => {
                if engine.is_public() {
                    self.respond(&transmit);
                }
            }
            None => self.counts.dropped += 1,
        }
        Received::Nothing
    }

    /// Whether a packet with a long header is for who waits for a link, but comes from elsewhere.
    #[cold]
    fn is_forged(&mut self, arrival: &Arrival, batch: &Batch) -> bool {
        let packet = batch.first().unwrap_or_default();
        self.lobby.is_forged(packet, arrival.remote)
    }

    /// Whether newcomers wait to be served.
    pub(crate) fn has_newcomers(&self) -> bool {
        !self.lobby.is_empty()
    }

    /// A turn begins, in which one newcomer may be served.
    pub(crate) fn open_lobby(&mut self) {
        self.lobby.open();
    }

    /// Serves a newcomer, if none was in this turn. Gives what came of it, if one was. `find` gives a channel's link.
    pub(crate) fn serve_newcomer<'a>(
        &mut self,
        now: Instant,
        find: impl FnOnce(ChannelId) -> Option<&'a mut Link>,
    ) -> Option<Received> {
        match self.lobby.next()? {
            Waiting::Stranger(stranger) => {
                let Stranger {
                    engine,
                    incoming,
                    newcomer,
                    ..
                } = *stranger;
                return Some(self.accept(now, engine, incoming, Some(newcomer)));
            }
            Waiting::Link(id) => {
                // It may be gone meanwhile, or have been let in.
                if let Some(link) = find(id)
                    && let Some(newcomer) = &mut link.newcomer
                    && let Some(packet) = newcomer.unopened.pop()
                {
                    if !newcomer.unopened.is_empty() {
                        self.lobby.add_packet(id);
                    }
                    link.handle_packet(now, packet);
                }
            }
        }
        Some(Received::Nothing)
    }

    /// Drops the first packet of a batch, which is for nobody.
    pub(crate) fn drop_packet(&mut self, batch: &mut Batch) {
        batch.skip_packet();
        self.counts.dropped += 1;
    }

    /// The next thing that happened on a link. What it and its engine have to tell each other is told before it says that
    /// there is nothing.
    pub(crate) fn next_event(&mut self, link: &mut Link) -> Option<LinkEvent> {
        let event = link.pop_event();
        if event.is_some() || link.drained {
            return event;
        }
        self.look_after(link);
        link.pop_event()
    }

    /// The next datagrams that a link has to send, if any.
    pub(crate) fn poll_transmit(
        &mut self,
        now: Instant,
        link: &mut Link,
        max_segments: NonZeroUsize,
    ) -> Option<Transmit> {
        let buf = self.packets.clear();
        let sent = match link.muted {
            false => link.poll_transmit(now, max_segments.get(), buf),
            true => None,
        };
        if sent.is_none() {
            self.look_after(link);
        }
        Some(finish_transmit(&sent?, &mut self.packets))
    }

    /// The next answer to a stranger.
    pub(crate) fn poll_response(&mut self) -> Option<Transmit> {
        self.responses.pop_front()
    }

    pub(crate) fn has_responses(&self) -> bool {
        !self.responses.is_empty()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// The other side of an accepted link was let in.
    pub(crate) fn admitted(&mut self, now: Instant, link: &mut Link) {
        if let Some(mut newcomer) = link.newcomer.take() {
            self.handshakes.end(&newcomer);
            let engine = self.engines.get(&link.engine);
            if let Some(config) = engine.and_then(Engine::let_in) {
                link.admit(config);
            }
            while let Some(packet) = newcomer.unopened.pop() {
                link.handle_packet(now, packet);
            }
        }
    }

    /// Gives a link to another channel.
    pub(crate) fn assign(&mut self, link: &Link, to: ChannelId) {
        if let Some(engine) = self.engines.get_mut(&link.engine) {
            engine.links.insert(link.handle.0, to);
        }
    }

    /// Lets go of a link, without a word to the other side if it has not ended, and of its engine if that was the last one.
    pub(crate) fn forget(&mut self, link: &mut Link) {
        if let Some(newcomer) = link.newcomer.take() {
            self.handshakes.end(&newcomer);
        }
        if let Some(engine) = self.engines.get_mut(&link.engine)
            && !link.drained
        {
            let drained = EndpointEvent::drained();
            engine.endpoint.handle_event(link.handle, drained);
            engine.links.remove(&link.handle.0);
        }
        self.release_engine(link.engine);
    }

    /// How many things are kept, apart from what is there from the beginning.
    #[cfg(feature = "__testing")]
    pub(crate) fn entries(&self) -> usize {
        let engines = self.engines.values().filter(|it| !it.is_public()).count();
        let links = self.engines.values().map(|engine| engine.links.len());
        engines + links.sum::<usize>() + self.responses.len() + self.handshakes.entries()
    }

    /// Applies what a link wants of its engine, and takes its events.
    fn look_after(&mut self, link: &mut Link) {
        link.collect_events();
        if let Some(engine) = self.engines.get_mut(&link.engine)
            && !link.drained
        {
            while let Some(event) = link.conn().poll_endpoint_events() {
                link.drained |= event.is_drained();
                if let Some(event) = engine.endpoint.handle_event(link.handle, event) {
                    link.conn().handle_event(event);
                }
            }
            if !link.drained && link.has_left() {
                let drained = EndpointEvent::drained();
                engine.endpoint.handle_event(link.handle, drained);
                link.drained = true;
            }
            if link.drained {
                // The engine gives its number to the next link, whether this one is still there or not.
                engine.links.remove(&link.handle.0);
            }
        }
        if link.drained {
            link.end(CloseReason::TimedOut);
        }
    }

    /// Forgets an engine if its last link is gone, unless it is there for everyone's.
    fn release_engine(&mut self, id: EngineId) {
        let engine = self.engines.get(&id);
        if engine.is_some_and(|it| it.links.is_empty() && !it.is_public()) {
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

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
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
const MAX_RESPONSES: usize = 256;
