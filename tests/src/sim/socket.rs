//! A bare UDP socket, to see what the world does to datagrams.

use std::{
    cell::RefCell,
    collections::VecDeque,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::BytesMut;

use super::{
    node::{NodeId, Stranger},
    world::World,
};

/// A node that sends what the story says, and keeps what it gets.
#[derive(Debug, Clone)]
pub struct Socket {
    /// Where it is.
    pub node: NodeId,
    queues: Rc<RefCell<Queues>>,
}

/// A datagram that a [`Socket`] got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// When it came, since the beginning.
    pub at: Duration,
    /// Where it came from.
    pub source: SocketAddr,
    /// Its bytes.
    pub payload: Vec<u8>,
}

#[derive(Debug, Default)]
struct Queues {
    out: VecDeque<(SocketAddr, Vec<u8>)>,
    received: VecDeque<(Instant, SocketAddr, Vec<u8>)>,
}

impl World {
    /// A node that is just a socket.
    pub fn add_socket(&mut self) -> Socket {
        let queues = Rc::default();
        let node = self.add_stranger(Ends(Rc::clone(&queues)));
        Socket { node, queues }
    }

    /// Takes the next datagram that came to a socket.
    pub fn next_received(&mut self, socket: &Socket) -> Option<Received> {
        let (at, source, payload) = socket.queues.borrow_mut().received.pop_front()?;
        Some(Received {
            at: at - (self.now() - self.elapsed()),
            source,
            payload,
        })
    }
}

impl Socket {
    /// Sends a datagram, as soon as the world goes on.
    pub fn send(&self, to: SocketAddr, payload: impl Into<Vec<u8>>) {
        self.queues.borrow_mut().out.push_back((to, payload.into()));
    }
}

struct Ends(Rc<RefCell<Queues>>);

impl Stranger for Ends {
    fn handle_datagram(&mut self, now: Instant, source: SocketAddr, payload: BytesMut) {
        let received = (now, source, payload.to_vec());
        self.0.borrow_mut().received.push_back(received);
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_transmit(&mut self, _: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        self.0.borrow_mut().out.pop_front()
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }
}
