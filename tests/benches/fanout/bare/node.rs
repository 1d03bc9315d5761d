//! An endpoint with its connections and its socket, in an event loop.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_core::{Datagram, Ecn, Transmit};
use conec_driver::{Socket, Udp, is_blocked};
use mio::{Interest, Registry, Token, event::Event, net::UdpSocket};
use quinn_proto::{Connection, ConnectionHandle, DatagramEvent, EcnCodepoint, Endpoint};

use crate::result::Result;

pub(super) struct Node {
    pub(super) endpoint: Endpoint,
    /// By their handles, which are small numbers.
    pub(super) connections: Vec<Option<Peer>>,
    /// Those that something has happened to.
    dirty: VecDeque<usize>,
    /// Those that have something to tell.
    news: Vec<usize>,
    socket: UdpSocket,
    udp: Udp,
    readable: bool,
    received: Vec<Datagram>,
    buf: Vec<u8>,
    blocked: Option<Transmit>,
    more: bool,
}

pub(super) struct Peer {
    pub(super) connection: Connection,
    timeout: Option<Instant>,
    is_dirty: bool,
    is_news: bool,
}

impl Node {
    pub(super) fn new(
        endpoint: Endpoint,
        socket: Socket,
        registry: &Registry,
        token: Token,
    ) -> Result<Self> {
        let (sockets, udp) = socket.into_parts();
        let mut socket = UdpSocket::from_std(sockets.socket);
        registry.register(&mut socket, token, Interest::READABLE)?;
        Ok(Self {
            endpoint,
            connections: Vec::new(),
            dirty: VecDeque::new(),
            news: Vec::new(),
            socket,
            udp,
            readable: true,
            received: Vec::new(),
            buf: Vec::new(),
            blocked: None,
            more: false,
        })
    }

    pub(super) fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    pub(super) fn insert(&mut self, handle: ConnectionHandle, connection: Connection) {
        while self.connections.len() <= handle.0 {
            self.connections.push(None);
        }
        self.connections[handle.0] = Some(Peer {
            connection,
            timeout: None,
            is_dirty: false,
            is_news: false,
        });
        self.touch(handle.0);
    }

    /// A connection, which then has its turn to send.
    pub(super) fn touch(&mut self, index: usize) -> Option<&mut Connection> {
        let peer = self.connections.get_mut(index)?.as_mut()?;
        if !std::mem::replace(&mut peer.is_dirty, true) {
            self.dirty.push_back(index);
        }
        if !std::mem::replace(&mut peer.is_news, true) {
            self.news.push(index);
        }
        Some(&mut peer.connection)
    }

    pub(super) fn ready(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_error();
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.more || !self.dirty.is_empty() {
            // It has passed.
            return Some(Instant::now() - Duration::from_nanos(1));
        }
        let timeouts = self.connections.iter().flatten();
        timeouts.filter_map(|it| it.timeout).min()
    }

    /// Those that may have something to tell since this was asked last.
    pub(super) fn take_news(&mut self, into: &mut Vec<usize>) {
        into.append(&mut self.news);
        for &index in &*into {
            if let Some(peer) = &mut self.connections[index] {
                peer.is_news = false;
            }
        }
    }

    /// Receives and does what is due. What connections have to tell is to be taken, and then sent.
    pub(super) fn receive(&mut self, now: Instant) -> Result<()> {
        self.more = false;
        for _ in 0..RECVS {
            if !self.readable {
                break;
            }
            let (socket, udp, received) = (&self.socket, &mut self.udp, &mut self.received);
            let got = socket.try_io(|| udp.recv(socket, received));
            self.readable = !is_blocked(&got);
        }
        self.more |= self.readable;
        let mut received = std::mem::take(&mut self.received);
        for datagram in received.drain(..) {
            self.handle(now, datagram)?;
        }
        self.received = received;
        for index in 0..self.connections.len() {
            let peer = self.connections[index].as_ref();
            if peer.is_some_and(|it| it.timeout.is_some_and(|at| at <= now))
                && let Some(connection) = self.touch(index)
            {
                connection.handle_timeout(now);
            }
        }
        Ok(())
    }

    fn handle(&mut self, now: Instant, datagram: Datagram) -> Result<()> {
        let Datagram {
            source,
            ecn,
            segment_size,
            mut payload,
            ..
        } = datagram;
        let ecn = ecn.map(|ecn| match ecn {
            Ecn::Ect0 => EcnCodepoint::Ect0,
            Ecn::Ect1 => EcnCodepoint::Ect1,
            Ecn::Ce => EcnCodepoint::Ce,
        });
        while !payload.is_empty() {
            let packet = payload.split_to(segment_size.min(payload.len()));
            self.buf.clear();
            let event = self
                .endpoint
                .handle(now, source, None, ecn, packet, &mut self.buf);
            match event {
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    if let Some(connection) = self.touch(handle.0) {
                        connection.handle_event(event);
                    }
                }
                Some(DatagramEvent::NewConnection(incoming)) => {
                    self.buf.clear();
                    let accepted = self.endpoint.accept(incoming, now, &mut self.buf, None);
                    let (handle, connection) = accepted.map_err(|it| it.cause)?;
                    self.insert(handle, connection);
                }
                Some(DatagramEvent::Response(_)) | None => {}
            }
        }
        Ok(())
    }

    /// Sends as much as is fair.
    pub(super) fn send(&mut self, now: Instant) {
        for _ in 0..SENDS {
            let Some(transmit) = self.blocked.take().or_else(|| self.next_transmit(now)) else {
                return;
            };
            let (socket, udp) = (&self.socket, &self.udp);
            let sent = socket.try_io(|| udp.send(socket, &transmit));
            if sent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                self.blocked = Some(transmit);
                self.more = true;
                return;
            }
        }
        self.more = true;
    }

    fn next_transmit(&mut self, now: Instant) -> Option<Transmit> {
        while let Some(&index) = self.dirty.front() {
            if let Some(peer) = &mut self.connections[index] {
                let connection = &mut peer.connection;
                while let Some(event) = connection.poll_endpoint_events() {
                    let handle = ConnectionHandle(index);
                    if let Some(event) = self.endpoint.handle_event(handle, event) {
                        connection.handle_event(event);
                    }
                }
                let most = self.udp.max_segments().get();
                let fit = 65_000 / usize::from(connection.current_mtu());
                self.buf.clear();
                if let Some(transmit) = connection.poll_transmit(now, most.min(fit), &mut self.buf)
                {
                    self.buf.truncate(transmit.size);
                    // A full batch need not be copied.
                    let payload = match self.buf.len() * 2 > self.buf.capacity() {
                        true => std::mem::take(&mut self.buf).into(),
                        false => Bytes::copy_from_slice(&self.buf),
                    };
                    // Others have their turn.
                    self.dirty.rotate_left(1);
                    return Some(Transmit {
                        destination: transmit.destination,
                        source_ip: None,
                        ecn: transmit.ecn.map(|_| Ecn::Ect0),
                        segment_size: transmit.segment_size,
                        payload,
                    });
                }
                peer.timeout = connection.poll_timeout();
                peer.is_dirty = false;
            }
            self.dirty.pop_front();
        }
        None
    }
}

/// As conec's pump has it.
const RECVS: usize = 4;
const SENDS: usize = 16;
