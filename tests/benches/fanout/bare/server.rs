//! The least that a server can do: one order of all that is published, and a stream for each member.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use bytes::{Bytes, BytesMut};
use conec_driver::Socket;
use mio::{Events, Poll, Token};
use quinn_proto::{
    Dir, Endpoint, EndpointConfig, Event, ReadError, ServerConfig, StreamEvent, StreamId,
    WriteError, crypto::rustls::QuicServerConfig,
};
use rustls::{pki_types::PrivatePkcs8KeyDer, version::TLS13};

use super::{HEADER, NAME, node::Node, provider, transport};
use crate::{process::ready, result::Result};

/// Takes messages of this size.
pub(crate) fn serve(size: usize, mtu: u16) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut server = Server::new(size, mtu, &poll)?;
    let mut events = Events::with_capacity(16);
    loop {
        let deadline = server.node.deadline();
        let wait = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        poll.poll(&mut events, wait)?;
        events.iter().for_each(|event| server.node.ready(event));
        server.turn()?;
    }
}

struct Server {
    size: usize,
    node: Node,
    news: Vec<usize>,
    peers: Vec<Peer>,
    /// The last pieces of the order, of whole messages each.
    log: VecDeque<Bytes>,
    /// The number of the first of them.
    first: u64,
    tail: BytesMut,
    sequence: u64,
}

/// What is known of a connection.
#[derive(Default)]
struct Peer {
    stream: Option<StreamId>,
    hears: bool,
    /// The part of a message that has come.
    partial: BytesMut,
    readable: bool,
    /// The number of the next piece for it, and what is left of the one before.
    next: u64,
    rest: Bytes,
    blocked: bool,
}

impl Server {
    fn new(size: usize, mtu: u16, poll: &Poll) -> Result<Self> {
        let certified = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let certificate = certified.cert.der().clone();
        let tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())?;
        let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
        config.transport_config(transport(mtu));
        let endpoint = EndpointConfig::default();
        let endpoint = Endpoint::new(Arc::new(endpoint), Some(Arc::new(config)), true, None);
        let socket = Socket::bind(([127, 0, 0, 1], 0).into())?;
        let node = Node::new(endpoint, socket, poll.registry(), Token(0))?;
        ready(node.local_addr()?, certificate.to_vec())?;
        Ok(Self {
            size,
            node,
            news: Vec::new(),
            peers: Vec::new(),
            log: VecDeque::new(),
            first: 0,
            tail: BytesMut::new(),
            sequence: 0,
        })
    }

    fn turn(&mut self) -> Result<()> {
        let now = Instant::now();
        self.node.receive(now)?;
        let mut news = std::mem::take(&mut self.news);
        self.node.take_news(&mut news);
        for index in news.drain(..) {
            self.look_after(index)?;
        }
        self.news = news;
        for index in 0..self.peers.len() {
            self.read(index)?;
        }
        self.seal();
        for index in 0..self.peers.len() {
            self.write(index)?;
        }
        self.forget();
        self.node.send(now);
        Ok(())
    }

    fn look_after(&mut self, index: usize) -> Result<()> {
        while self.peers.len() <= index {
            self.peers.push(Peer::default());
        }
        let peer = &mut self.peers[index];
        let Some(it) = &mut self.node.connections[index] else {
            return Ok(());
        };
        while let Some(event) = it.connection.poll() {
            match event {
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => {
                    peer.stream = it.connection.streams().accept(Dir::Bi);
                    peer.readable = true;
                }
                Event::Stream(StreamEvent::Readable { .. }) => peer.readable = true,
                Event::Stream(StreamEvent::Writable { .. }) => peer.blocked = false,
                Event::ConnectionLost { reason } => return Err(reason.into()),
                Event::Stream(
                    StreamEvent::Opened { dir: Dir::Uni }
                    | StreamEvent::Available { .. }
                    | StreamEvent::Finished { .. }
                    | StreamEvent::Stopped { .. },
                )
                | Event::Connected
                | Event::HandshakeDataReady
                | Event::DatagramReceived
                | Event::DatagramsUnblocked => {}
            }
        }
        Ok(())
    }

    /// The first byte says whether it wants to hear; then come messages.
    fn read(&mut self, index: usize) -> Result<()> {
        let held_up = self.log.len() >= MOST;
        let peer = &mut self.peers[index];
        let Some(stream) = peer.stream.filter(|_| peer.readable && !held_up) else {
            return Ok(());
        };
        let Some(connection) = self.node.touch(index) else {
            return Ok(());
        };
        let mut receiver = connection.recv_stream(stream);
        let mut chunks = receiver.read(true)?;
        let mut taken = 0;
        while taken < TURN {
            let mut bytes = match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => chunk.bytes,
                Ok(None) | Err(ReadError::Blocked) => {
                    peer.readable = false;
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            taken += bytes.len();
            if peer.partial.is_empty() && bytes[0] == HEAR {
                peer.hears = true;
                peer.next = self.first + self.log.len() as u64;
                continue;
            }
            while !bytes.is_empty() {
                if peer.partial.is_empty() {
                    // As `HEADER` says: whatever is in there.
                    peer.partial.reserve(HEADER + self.size);
                    peer.partial.extend_from_slice(&[0; HEADER - 8]);
                    peer.partial.extend_from_slice(&self.sequence.to_be_bytes());
                    self.sequence += 1;
                }
                let missing = HEADER + self.size - peer.partial.len();
                let part = bytes.split_to(missing.min(bytes.len()));
                peer.partial.extend_from_slice(&part);
                if part.len() == missing {
                    if self.tail.len() + peer.partial.len() > PIECE {
                        self.log.push_back(self.tail.split().freeze());
                    }
                    self.tail.reserve(PIECE);
                    self.tail.extend_from_slice(&peer.partial);
                    peer.partial.clear();
                }
            }
        }
        // The connection has its turn to send anyhow.
        let _ = chunks.finalize();
        Ok(())
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.log.push_back(self.tail.split().freeze());
        }
    }

    fn write(&mut self, index: usize) -> Result<()> {
        let peer = &mut self.peers[index];
        let end = self.first + self.log.len() as u64;
        let Some(stream) = peer.stream.filter(|_| peer.hears && !peer.blocked) else {
            return Ok(());
        };
        if peer.rest.is_empty() && peer.next == end {
            return Ok(());
        }
        let Some(connection) = self.node.touch(index) else {
            return Ok(());
        };
        let mut sender = connection.send_stream(stream);
        loop {
            if peer.rest.is_empty() {
                let Some(piece) = self.log.get((peer.next - self.first) as usize) else {
                    return Ok(());
                };
                peer.rest = piece.clone();
                peer.next += 1;
            }
            match sender.write_chunks(std::slice::from_mut(&mut peer.rest)) {
                Ok(_) => {}
                Err(WriteError::Blocked) => {
                    peer.blocked = true;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn forget(&mut self) {
        let end = self.first + self.log.len() as u64;
        let hear = self.peers.iter().filter(|it| it.hears);
        let slowest = hear.map(|it| it.next).min().unwrap_or(end);
        while self.first < slowest {
            self.log.pop_front();
            self.first += 1;
        }
    }
}

/// What a member says first that wants to hear.
pub(super) const HEAR: u8 = 1;
/// How many pieces may wait for the slowest member.
const MOST: usize = 256;
/// How much is written at once, and taken from one publisher: as a group does.
const PIECE: usize = 32 << 10;
const TURN: usize = 256 << 10;
