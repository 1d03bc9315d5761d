//! One stream from a client to a server: bytes and messages per second of one thread that does both sides' work.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use conec_core::{Client, StreamId};
use quinn_proto::ConnectionHandle;
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

use crate::harness::{
    bare::{self, Bare},
    conec::{self, Conec},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    Bulk,
    Messages(usize),
}

impl Load {
    pub(crate) const ALL: [Self; 4] = [
        Self::Bulk,
        Self::Messages(64 << 10),
        Self::Messages(1 << 10),
        Self::Messages(64),
    ];

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Bulk => "MB/s",
            Self::Messages(_) => "K/s",
        }
    }

    pub(crate) fn wanted(self) -> Option<(&'static str, f64)> {
        (self == Self::Bulk || self == Self::Messages(64 << 10)).then_some(("≥", 0.95))
    }

    fn size(self) -> usize {
        match self {
            Self::Bulk => PIECE,
            Self::Messages(size) => size,
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bulk => f.write_str("bulk"),
            Self::Messages(size @ ..1024) => write!(f, "messages of {size} B"),
            Self::Messages(size) => write!(f, "messages of {} KiB", size >> 10),
        }
    }
}

/// What can be measured.
trait Pair {
    /// Takes a message, if there is room.
    fn send(&mut self, message: &Bytes) -> bool;
    /// Lets everything arrive that was sent.
    fn turn(&mut self);
    /// The size of the next message, or of the next part of one where messages do not matter.
    fn recv(&mut self) -> Option<usize>;
}

/// Over a home channel.
pub(crate) fn conec(load: Load, time: Duration) -> f64 {
    let mut world = conec::World::new();
    let mut client = world.idle_client();
    let stream = conec::open(&mut client, conec_core::ChannelId::HOME);
    let accepted = loop {
        world
            .network
            .turn(&mut [&mut world.coordinator, &mut client]);
        if let Some(stream) = world.coordinator.opened_stream() {
            break stream;
        }
    };
    measure(
        load,
        time,
        ConecPair {
            world,
            client,
            stream,
            accepted,
        },
    )
}

/// Over a quinn-proto connection with the settings of a home channel, messages by tokio-util's codec.
pub(crate) fn bare(load: Load, time: Duration) -> f64 {
    let server = conec::coordinator_config();
    let client = conec::client_config(server.certificate.pin()).home;
    let mut world = bare::World::new(&server.home, &client);
    let (mut client, handle) = world.idle_client();
    let stream = bare::open(&mut client, handle);
    let accepted = world
        .server
        .connections
        .keys()
        .copied()
        .next()
        .expect("just connected");
    let codec = (load != Load::Bulk).then(LengthDelimitedCodec::new);
    measure(
        load,
        time,
        BarePair {
            world,
            client,
            handle,
            accepted,
            stream,
            codec,
            outgoing: VecDeque::new(),
            outgoing_len: 0,
            tail: BytesMut::new(),
            chunks: VecDeque::new(),
            incoming: BytesMut::new(),
        },
    )
}

fn measure(load: Load, time: Duration, mut pair: impl Pair) -> f64 {
    let message = Bytes::from(vec![0x5a; load.size()]);
    let (mut start, mut bytes, mut messages) = (Instant::now(), 0, 0);
    let mut warm = false;
    loop {
        while pair.send(&message) {}
        pair.turn();
        while let Some(size) = pair.recv() {
            bytes += size;
            messages += 1;
        }
        match start.elapsed() {
            elapsed if !warm && elapsed > time / 4 => {
                (warm, start, bytes, messages) = (true, Instant::now(), 0, 0);
            }
            elapsed if elapsed > time => {
                let count = match load {
                    Load::Bulk => bytes as f64 / 1e6,
                    Load::Messages(_) => f64::from(messages) / 1e3,
                };
                return count / elapsed.as_secs_f64();
            }
            _ => {}
        }
    }
}

struct ConecPair {
    world: conec::World,
    client: Conec<Client>,
    stream: StreamId,
    accepted: StreamId,
}

impl Pair for ConecPair {
    fn send(&mut self, message: &Bytes) -> bool {
        self.client.send(self.stream, message.clone())
    }

    fn turn(&mut self) {
        self.world
            .network
            .turn(&mut [&mut self.world.coordinator, &mut self.client]);
        // Nobody looks at them here.
        self.client.events.clear();
        self.world.coordinator.events.clear();
    }

    fn recv(&mut self) -> Option<usize> {
        Some(self.world.coordinator.recv(self.accepted)?.len())
    }
}

struct BarePair {
    world: bare::World,
    client: Bare,
    handle: ConnectionHandle,
    accepted: ConnectionHandle,
    stream: quinn_proto::StreamId,
    /// None where bytes are all that matters.
    codec: Option<LengthDelimitedCodec>,
    outgoing: VecDeque<Bytes>,
    outgoing_len: usize,
    tail: BytesMut,
    chunks: VecDeque<Bytes>,
    incoming: BytesMut,
}

impl BarePair {
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.outgoing_len += self.tail.len();
            self.outgoing.push_back(self.tail.split().freeze());
        }
    }

    fn flush(&mut self) {
        let mut stream = self.client.connection(self.handle).send_stream(self.stream);
        while !self.outgoing.is_empty() {
            let Ok(written) = stream.write_chunks(self.outgoing.make_contiguous()) else {
                break;
            };
            self.outgoing_len -= written.bytes;
            self.outgoing.drain(..written.chunks);
        }
    }
}

impl Pair for BarePair {
    fn send(&mut self, message: &Bytes) -> bool {
        if self.outgoing_len + self.tail.len() >= SEND_BUFFER {
            return false;
        }
        match &mut self.codec {
            Some(codec) => {
                codec
                    .encode(message.clone(), &mut self.tail)
                    .expect("not too long");
                if self.tail.len() >= TAIL {
                    self.seal();
                }
            }
            None => {
                self.outgoing_len += message.len();
                self.outgoing.push_back(message.clone());
            }
        }
        true
    }

    fn turn(&mut self) {
        self.seal();
        self.flush();
        self.world
            .network
            .turn(&mut [&mut self.world.server, &mut self.client]);
        let mut stream = self
            .world
            .server
            .connection(self.accepted)
            .recv_stream(self.stream);
        let Ok(mut chunks) = stream.read(true) else {
            return;
        };
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            match self.codec {
                Some(_) => self.incoming.extend_from_slice(&chunk.bytes),
                None => self.chunks.push_back(chunk.bytes),
            }
        }
        let _ = chunks.finalize();
    }

    fn recv(&mut self) -> Option<usize> {
        let part = match &mut self.codec {
            Some(codec) => codec
                .decode(&mut self.incoming)
                .expect("not too long")?
                .freeze(),
            None => self.chunks.pop_front()?,
        };
        Some(part.len())
    }
}

const PIECE: usize = 256 << 10;
const SEND_BUFFER: usize = 256 << 10;
const TAIL: usize = 32 << 10;
