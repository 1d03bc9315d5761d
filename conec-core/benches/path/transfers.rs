//! One stream of large messages, as fast as it goes.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_core::{ChannelId, Direction, Endpoint, StreamId, Target};

use crate::{
    harness::{
        Node,
        bare::{self, Bare},
        conec::{self, Conec},
    },
    network::{Network, Path},
};

/// Megabits per second from one Client to another, through the Coordinator, which is half-way.
pub(crate) fn between_clients(path: Path, time: Duration) -> f64 {
    let half = Path {
        delay: path.delay / 2,
        // Lost on one of the two halves.
        loss: path.loss / 2.0,
        ..path
    };
    let mut world = conec::World::new();
    let mut network = Network::new(world.network.now, half);
    let (mut from, mut to) = (world.client(), world.client());
    let server = &mut world.coordinator;
    connect(&mut network, server, &mut from);
    connect(&mut network, server, &mut to);
    from.events.clear();
    to.events.clear();
    let target = Target::from(to.endpoint.id());
    let opened = from.endpoint.open_channel(network.now, target, b"");
    let channel = opened.expect("connected");
    while from.opened_channel().is_none() {
        network.turn(&mut [server, &mut from, &mut to]);
    }
    let stream = open(&mut from, channel);
    let mut receiver = Receiver::default();
    measure(&mut network, time, |network| {
        while from.send(stream, message()) {}
        network.turn(&mut [server, &mut from, &mut to]);
        receiver.recv(&mut to)
    })
}

/// From the Coordinator to a Client.
pub(crate) fn from_coordinator(path: Path, time: Duration) -> f64 {
    let mut world = conec::World::new();
    let mut network = Network::new(world.network.now, path);
    let mut client = world.client();
    let server = &mut world.coordinator;
    connect(&mut network, server, &mut client);
    let home = loop {
        match server.endpoint.find(client.endpoint.id()) {
            Some(home) => break home,
            None => network.turn(&mut [server, &mut client]),
        }
    };
    let stream = open(server, home);
    let mut receiver = Receiver::default();
    measure(&mut network, time, |network| {
        while server.send(stream, message()) {}
        network.turn(&mut [server, &mut client]);
        receiver.recv(&mut client)
    })
}

/// From a Client to the Coordinator.
pub(crate) fn to_coordinator(path: Path, time: Duration) -> f64 {
    let mut world = conec::World::new();
    let mut network = Network::new(world.network.now, path);
    let mut client = world.client();
    let server = &mut world.coordinator;
    connect(&mut network, server, &mut client);
    let stream = open(&mut client, ChannelId::HOME);
    let mut receiver = Receiver::default();
    measure(&mut network, time, |network| {
        while client.send(stream, message()) {}
        network.turn(&mut [server, &mut client]);
        receiver.recv(server)
    })
}

/// Over a connection of bare quinn-proto, whose flow control never holds it up.
pub(crate) fn bare(path: Path, time: Duration) -> f64 {
    let mut settings = conec::coordinator_config().home;
    settings.stream_window = u32::MAX;
    settings.receive_window = u32::MAX;
    settings.send_window = 1 << 30;
    let mut world = bare::World::new(&settings, &settings);
    let mut network = Network::new(world.network.now, path);
    let (mut client, handle) = world.client();
    while client.connected == 0 || world.server.connected == 0 {
        network.turn(&mut [&mut world.server, &mut client]);
    }
    let accepted = world.server.connections.keys().next().copied();
    let accepted = accepted.expect("just connected");
    let stream = bare::open(&mut client, handle);
    let message = message();
    let mut left = message.clone();
    measure(&mut network, time, |network| {
        let mut sender = client.connection(handle).send_stream(stream);
        while let Ok(written) = sender.write_chunks(std::slice::from_mut(&mut left)) {
            if written.chunks > 0 {
                left = message.clone();
            }
        }
        network.turn(&mut [&mut world.server, &mut client]);
        received(&mut world.server, accepted, stream)
    })
}

/// What a bare server has received.
fn received(
    server: &mut Bare,
    handle: quinn_proto::ConnectionHandle,
    stream: quinn_proto::StreamId,
) -> usize {
    let mut incoming = server.connection(handle).recv_stream(stream);
    let Ok(mut chunks) = incoming.read(true) else {
        return 0;
    };
    let mut bytes = 0;
    while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
        bytes += chunk.bytes.len();
    }
    let _ = chunks.finalize();
    bytes
}

/// The receiving end, once there is a stream.
#[derive(Default)]
struct Receiver(Option<StreamId>);

impl Receiver {
    fn recv<E: Endpoint>(&mut self, node: &mut Conec<E>) -> usize {
        self.0 = self.0.or_else(|| node.opened_stream());
        node.events = VecDeque::new();
        let Some(stream) = self.0 else {
            return 0;
        };
        let mut bytes = 0;
        while let Some(message) = node.recv(stream) {
            bytes += message.len();
        }
        bytes
    }
}

fn connect(
    network: &mut Network,
    server: &mut Conec<conec_core::Coordinator>,
    client: &mut Conec<conec_core::Client>,
) {
    let to = [server.address()];
    let connected = client.endpoint.connect(network.now, "localhost", &to);
    connected.expect("a valid address");
    while !client.endpoint.is_connected() {
        network.turn(&mut [server, client]);
    }
}

fn open<E: Endpoint>(node: &mut Conec<E>, channel: ChannelId) -> StreamId {
    let mut channel = node.endpoint.channel(channel).expect("it is open");
    let opened = channel.open(Direction::Uni, b"load");
    opened.expect("streams are allowed")
}

/// Megabits per second of what arrives.
fn measure(
    network: &mut Network,
    time: Duration,
    mut turn: impl FnMut(&mut Network) -> usize,
) -> f64 {
    let end: Instant = network.now + time;
    let mut bytes = 0;
    while network.now < end {
        bytes += turn(network);
    }
    bytes as f64 * 8.0 / 1e6 / time.as_secs_f64()
}

fn message() -> Bytes {
    Bytes::from_static(&[0x5a; 64 << 10])
}
