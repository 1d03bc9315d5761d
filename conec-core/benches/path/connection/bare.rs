//! A connection of bare quinn-proto.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use bytes::Bytes;
use quinn_proto::{ConnectionHandle, Dir, Side, StreamId, TransportConfig, VarInt};

use super::{Connection, End};
use crate::harness::{
    Node,
    bare::{Bare, World},
};

pub(super) struct BareConnection {
    world: World,
    client: Bare,
    handle: ConnectionHandle,
    /// At the near end and the far one: the rest of each stream's message in hand.
    rest: [Vec<Bytes>; 2],
}

impl BareConnection {
    pub(super) fn new(world: u8, now: Instant, transport: TransportConfig) -> Self {
        let transport = Arc::new(transport);
        let mut world = World::with(world, Arc::clone(&transport), transport);
        world.network.now = now;
        let (client, handle) = world.client();
        Self {
            world,
            client,
            handle,
            rest: [Vec::new(), Vec::new()],
        }
    }

    fn connection(&mut self, end: End) -> Option<&mut quinn_proto::Connection> {
        match end {
            End::Near => Some(self.client.connection(self.handle)),
            End::Far => {
                let handle = self.world.server.connections.keys().next().copied()?;
                Some(self.world.server.connection(handle))
            }
        }
    }

    /// Writes as much of the message in hand as is taken.
    fn write(&mut self, from: End, stream: usize) {
        let rest = &mut self.rest[from as usize][stream];
        if rest.is_empty() {
            return;
        }
        let mut chunk = std::mem::take(rest);
        let id = stream_id(from, stream);
        if let Some(connection) = self.connection(from) {
            // What is not taken stays in the chunk, whatever the reason.
            let _ = connection
                .send_stream(id)
                .write_chunks(std::slice::from_mut(&mut chunk));
        }
        self.rest[from as usize][stream] = chunk;
    }
}

impl Connection for BareConnection {
    fn nodes(&mut self) -> Vec<&mut dyn Node> {
        vec![&mut self.world.server, &mut self.client]
    }

    fn way(&self) -> Vec<SocketAddr> {
        vec![self.client.address(), self.world.server.address()]
    }

    fn turn(&mut self, _: Instant) {
        for end in [End::Near, End::Far] {
            for stream in 0..self.rest[end as usize].len() {
                self.write(end, stream);
            }
        }
    }

    fn is_ready(&mut self) -> bool {
        self.client.connected > 0 && self.world.server.connected > 0
    }

    fn open(&mut self, from: End, priority: i32) -> usize {
        let connection = self.connection(from).expect("it is ready");
        let stream = connection.streams().open(Dir::Uni);
        let stream = stream.expect("streams are allowed");
        let prioritised = connection.send_stream(stream).set_priority(priority);
        prioritised.expect("just opened");
        let rest = &mut self.rest[from as usize];
        rest.push(Bytes::new());
        rest.len() - 1
    }

    fn send(&mut self, from: End, stream: usize, message: &Bytes) -> bool {
        self.write(from, stream);
        let rest = &mut self.rest[from as usize][stream];
        let takes = rest.is_empty();
        if takes {
            *rest = message.clone();
            self.write(from, stream);
        }
        takes
    }

    fn receive(&mut self, at: End, take: &mut dyn FnMut(usize, &[u8])) {
        let streams = self.rest[at.other() as usize].len();
        let Some(connection) = self.connection(at) else {
            return;
        };
        while connection.streams().accept(Dir::Uni).is_some() {}
        for stream in 0..streams {
            let mut incoming = connection.recv_stream(stream_id(at.other(), stream));
            let Ok(mut chunks) = incoming.read(true) else {
                continue;
            };
            while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                take(stream, &chunk.bytes);
            }
            let _ = chunks.finalize();
        }
    }

    fn end(&mut self) -> Option<String> {
        let ends = [&self.client, &self.world.server];
        ends.into_iter().find_map(|end| end.lost.clone())
    }
}

pub(super) fn defaults() -> TransportConfig {
    TransportConfig::default()
}

/// With windows that never hold it up.
pub(super) fn unbounded() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from_u32(u32::MAX))
        .receive_window(VarInt::from_u32(u32::MAX))
        .send_window(1 << 30);
    transport
}

fn stream_id(from: End, stream: usize) -> StreamId {
    let side = match from {
        End::Near => Side::Client,
        End::Far => Side::Server,
    };
    StreamId::new(side, Dir::Uni, stream as u64)
}
