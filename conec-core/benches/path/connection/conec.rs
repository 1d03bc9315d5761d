//! Channels of conec.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_core::{
    ChannelEvent, ChannelId, Client, CloseReason, Coordinator, Direction, Endpoint, StreamId,
    Target,
};

use super::{Connection, End};
use crate::{
    control::Control,
    harness::{
        Node,
        conec::{Conec, World},
    },
};

pub(super) struct Channel {
    coordinator: Conec<Coordinator>,
    clients: Vec<Conec<Client>>,
    /// The near end and the far one.
    sides: [Side; 2],
}

/// One end of a channel.
#[derive(Default)]
struct Side {
    /// Where it is: 0 is the Coordinator, then come the Clients.
    place: usize,
    channel: Option<ChannelId>,
    outgoing: Vec<StreamId>,
    /// By the numbers that their labels have.
    incoming: Vec<Option<StreamId>>,
    end: Option<CloseReason>,
}

impl Channel {
    pub(super) fn to_coordinator(world: u8, now: Instant, control: Control) -> Self {
        Self::new(world, now, control, [1, 0])
    }

    pub(super) fn from_coordinator(world: u8, now: Instant, control: Control) -> Self {
        Self::new(world, now, control, [0, 1])
    }

    pub(super) fn between_clients(world: u8, now: Instant, control: Control) -> Self {
        Self::new(world, now, control, [1, 2])
    }

    fn new(world: u8, now: Instant, control: Control, places: [usize; 2]) -> Self {
        let mut world = World::with(world, move |config| {
            // The harness lets channels be silent for ever. Here they are to end when they are stuck.
            config.idle_timeout = IDLE_TIMEOUT;
            control.configure(config);
        });
        let clients = places.into_iter().filter(|&place| place != COORDINATOR);
        let mut clients = clients.map(|_| world.client()).collect::<Vec<_>>();
        for client in &mut clients {
            let to = [world.coordinator.address()];
            let connected = client.endpoint.connect(now, "localhost", &to);
            connected.expect("a valid address");
        }
        let side = |place| Side {
            place,
            ..Side::default()
        };
        Self {
            coordinator: world.coordinator,
            clients,
            sides: places.map(side),
        }
    }

    fn node(&mut self, place: usize) -> (&mut dyn Endpoint, &mut Events) {
        if place == COORDINATOR {
            (&mut self.coordinator.endpoint, &mut self.coordinator.events)
        } else {
            let client = &mut self.clients[place - 1];
            (&mut client.endpoint, &mut client.events)
        }
    }

    fn channel(&mut self, end: End) -> Option<conec_core::Channel<'_>> {
        let Side { place, channel, .. } = self.sides[end as usize];
        self.node(place).0.channel(channel?)
    }

    /// Has the channel arranged, once all are connected.
    fn arrange(&mut self, now: Instant) {
        let ids = self
            .clients
            .iter()
            .map(|client| client.endpoint.id())
            .collect::<Vec<_>>();
        if !ids
            .iter()
            .all(|&id| self.coordinator.endpoint.find(id).is_some())
            || !self
                .clients
                .iter()
                .all(|client| client.endpoint.is_connected())
        {
            return;
        }
        if let [client] = ids[..] {
            for side in &mut self.sides {
                side.channel = if side.place == COORDINATOR {
                    self.coordinator.endpoint.find(client)
                } else {
                    Some(ChannelId::HOME)
                };
            }
        } else if self.sides[0].channel.is_none() {
            let opener = &mut self.clients[self.sides[0].place - 1].endpoint;
            let to = Target::from(ids[self.sides[1].place - 1]);
            let channel = opener.open_channel(now, to, b"");
            self.sides[0].channel = Some(channel.expect("it is connected"));
        }
    }

    /// Notes what has happened to the channel at one of its ends.
    fn note_events(&mut self, end: End) {
        let mut side = std::mem::take(&mut self.sides[end as usize]);
        for (channel, event) in std::mem::take(self.node(side.place).1) {
            if side.channel.is_none()
                && event == ChannelEvent::Opened
                && channel != ChannelId::HOME
                && side.place != COORDINATOR
            {
                side.channel = Some(channel);
            }
            if side.channel != Some(channel) {
                continue;
            }
            // Everything else is asked for in each turn.
            if let ChannelEvent::StreamOpened { stream, label } = event {
                let number = label.first().map_or(0, |&number| usize::from(number));
                let len = side.incoming.len().max(number + 1);
                side.incoming.resize(len, None);
                side.incoming[number] = Some(stream);
            } else if let ChannelEvent::Closed { reason } = event {
                side.end = Some(reason);
            }
        }
        self.sides[end as usize] = side;
    }
}

impl Connection for Channel {
    fn nodes(&mut self) -> Vec<&mut dyn Node> {
        let clients = self
            .clients
            .iter_mut()
            .map(|client| client as &mut dyn Node);
        std::iter::once(&mut self.coordinator as &mut dyn Node)
            .chain(clients)
            .collect()
    }

    fn way(&self) -> Vec<SocketAddr> {
        let mut places = vec![self.sides[0].place, self.sides[1].place];
        if !places.contains(&COORDINATOR) {
            places.insert(1, COORDINATOR);
        }
        let address = |place: usize| {
            let client = place.checked_sub(1);
            client.map_or_else(
                || self.coordinator.address(),
                |client| self.clients[client].address(),
            )
        };
        places.into_iter().map(address).collect()
    }

    fn turn(&mut self, now: Instant) {
        if self.sides[0].channel.is_none() {
            self.arrange(now);
        }
        self.coordinator.drain_events();
        for client in &mut self.clients {
            client.drain_events();
        }
        self.note_events(End::Near);
        self.note_events(End::Far);
    }

    fn is_ready(&mut self) -> bool {
        [End::Near, End::Far]
            .into_iter()
            .all(|end| self.channel(end).is_some_and(|channel| channel.is_open()))
    }

    fn open(&mut self, from: End, _: i32) -> usize {
        let number = self.sides[from as usize].outgoing.len();
        let mut channel = self.channel(from).expect("it is ready");
        let stream = channel.open(Direction::Uni, &[number as u8]);
        let stream = stream.expect("streams are allowed");
        self.sides[from as usize].outgoing.push(stream);
        number
    }

    fn send(&mut self, from: End, stream: usize, message: &Bytes) -> bool {
        let stream = self.sides[from as usize].outgoing[stream];
        let Some(mut channel) = self.channel(from) else {
            return false;
        };
        channel.stream(stream).send(message.clone()).is_ok()
    }

    fn receive(&mut self, at: End, take: &mut dyn FnMut(usize, &[u8])) {
        for number in 0..self.sides[at as usize].incoming.len() {
            let Some(stream) = self.sides[at as usize].incoming[number] else {
                continue;
            };
            let Some(mut channel) = self.channel(at) else {
                return;
            };
            while let Ok(message) = channel.stream(stream).recv() {
                take(number, &message);
            }
        }
    }

    fn end(&mut self) -> Option<String> {
        let ends = self.sides.iter().filter_map(|side| side.end.as_ref());
        let ends = ends.map(|reason| format!("{reason:?}"));
        ends.reduce(|near, far| format!("{near}, {far}"))
    }
}

type Events = std::collections::VecDeque<(ChannelId, ChannelEvent)>;
const COORDINATOR: usize = 0;
/// The engine's default.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
