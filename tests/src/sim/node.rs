//! One host's endpoint, and what its application has not asked for yet.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    iter,
    net::SocketAddr,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use conec_core::{
    Channel, ChannelEvent, ChannelId, Client, ClientEvent, Coordinator, CoordinatorEvent, Datagram,
    Endpoint, PeerInfo, TimeoutCause, Transmit, Unreachable,
};

use super::{processor::Processor, sleep::Sleep};

/// One host in a [`World`](super::World).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub(super) usize);

/// What an endpoint has told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A Client.
    Client(ClientEvent),
    /// A Coordinator.
    Coordinator(CoordinatorEvent),
}

impl Event {
    /// The event if it is about a channel's inside.
    pub fn channel(&self) -> Option<(ChannelId, &ChannelEvent)> {
        match self {
            Self::Client(ClientEvent::Channel { channel, event })
            | Self::Coordinator(CoordinatorEvent::Channel { channel, event }) => {
                Some((*channel, event))
            }
            Self::Client(_) | Self::Coordinator(_) => None,
        }
    }
}

/// Something that takes part in a world without being one of conec's endpoints: a raw engine, a source of garbage.
pub trait Stranger {
    /// Takes a datagram.
    fn handle_datagram(&mut self, now: Instant, source: SocketAddr, payload: BytesMut);
    /// Does what is due.
    fn handle_timeout(&mut self, now: Instant);
    /// The next datagram to send, and where to.
    fn poll_transmit(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)>;
    /// When something is due.
    fn poll_timeout(&mut self) -> Option<Instant>;
}

pub(super) struct Node {
    pub(super) name: String,
    pub(super) entity: Entity,
    /// Whether it is running: a crashed node hears and says nothing.
    pub(super) alive: bool,
    /// While its machine sleeps.
    pub(super) sleep: Option<Sleep>,
    /// If what it does takes time.
    pub(super) processor: Option<Processor>,
    /// By how much its clock is slow, since it has stood still.
    pub(super) slow: Duration,
    /// Whether its application asks for no events.
    pub(super) lagging: bool,
    /// Another port that it has at all its addresses, beside that which it sends from.
    pub(super) second_port: Option<u16>,
    /// When it is to be woken.
    pub(super) due: Option<Instant>,
    /// Events that the story has not asked for yet.
    pub(super) events: VecDeque<Event>,
    /// The last event of each of these channels has come.
    pub(super) closed: BTreeSet<ChannelId>,
    /// What was known of the other ends of channels when they opened.
    pub(super) peers: BTreeMap<ChannelId, PeerInfo>,
}

pub(super) enum Entity {
    Client(Box<Client>),
    Coordinator(Box<Coordinator>),
    Stranger(Box<dyn Stranger>),
}

impl Node {
    pub(super) fn new(name: &str, entity: Entity) -> Self {
        Self {
            name: name.to_owned(),
            entity,
            alive: true,
            sleep: None,
            processor: None,
            slow: Duration::ZERO,
            second_port: None,
            lagging: false,
            due: None,
            events: VecDeque::new(),
            closed: BTreeSet::new(),
            peers: BTreeMap::new(),
        }
    }

    /// Whether it takes part in what happens.
    pub(super) fn is_up(&self) -> bool {
        self.alive && self.sleep.is_none()
    }
}

impl Entity {
    pub(super) fn channel(&mut self, id: ChannelId) -> Option<Channel<'_>> {
        match self {
            Self::Client(client) => client.channel(id),
            Self::Coordinator(coordinator) => coordinator.channel(id),
            Self::Stranger(_) => None,
        }
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, mut datagram: Datagram) {
        match self {
            Self::Client(client) => client.handle_datagram(now, datagram),
            Self::Coordinator(coordinator) => coordinator.handle_datagram(now, datagram),
            Self::Stranger(stranger) => {
                let payload = &mut datagram.payload;
                while !payload.is_empty() {
                    let packet = payload.split_to(datagram.segment_size.min(payload.len()));
                    stranger.handle_datagram(now, datagram.source, packet);
                }
            }
        }
    }

    /// The largest of the buffers that the entity gives back; the others are dropped.
    pub(super) fn take_buffer(&mut self) -> Option<BytesMut> {
        iter::from_fn(|| match self {
            Self::Client(client) => client.take_buffer(),
            Self::Coordinator(coordinator) => coordinator.take_buffer(),
            Self::Stranger(_) => None,
        })
        .max_by_key(BytesMut::capacity)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Client(client) => client.handle_timeout(now),
            Self::Coordinator(coordinator) => coordinator.handle_timeout(now),
            Self::Stranger(stranger) => stranger.handle_timeout(now),
        }
    }

    /// The host has no way to that address.
    pub(super) fn handle_unreachable(&mut self, now: Instant, destination: SocketAddr) {
        let reason = Unreachable::NoRoute;
        match self {
            Self::Client(client) => client.handle_unreachable(now, destination, reason),
            Self::Coordinator(coordinator) => {
                coordinator.handle_unreachable(now, destination, reason);
            }
            Self::Stranger(_) => {}
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Client(client) => client.poll_event().map(Event::Client),
            Self::Coordinator(coordinator) => coordinator.poll_event().map(Event::Coordinator),
            Self::Stranger(_) => None,
        }
    }

    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        max_segments: NonZeroUsize,
    ) -> Option<Transmit> {
        match self {
            Self::Client(client) => client.poll_transmit(now, max_segments),
            Self::Coordinator(coordinator) => coordinator.poll_transmit(now, max_segments),
            Self::Stranger(stranger) => {
                let (destination, payload) = stranger.poll_transmit(now)?;
                Some(Transmit {
                    destination,
                    source_ip: None,
                    ecn: None,
                    segment_size: None,
                    payload: payload.into(),
                })
            }
        }
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        match self {
            Self::Client(client) => client.poll_timeout(),
            Self::Coordinator(coordinator) => coordinator.poll_timeout(),
            Self::Stranger(stranger) => stranger.poll_timeout(),
        }
    }

    pub(super) fn timeout_cause(&self) -> Option<TimeoutCause> {
        match self {
            Self::Client(client) => client.poll_timeout_cause(),
            Self::Coordinator(coordinator) => coordinator.poll_timeout_cause(),
            Self::Stranger(_) => None,
        }
        .map(|(_, cause)| cause)
    }
}
