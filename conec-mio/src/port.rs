//! A socket in an event loop.

use std::{io, net::SocketAddr, time::Instant};

use conec_core::{Datagram, Transmit, Unreachable};
use conec_udp::{Access, Io, Pump, Socket, Udp};
use mio::{Interest, Registry, Token, event::Event, net::UdpSocket};

/// A registered socket, and what moves datagrams through it.
#[derive(Debug)]
pub(crate) struct Port {
    watched: Watched,
    pump: Pump,
}

impl Port {
    pub(crate) fn new(mut socket: Socket, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut second = socket.take_second().map(UdpSocket::from_std);
        if let Some(second) = &mut second {
            registry.register(second, token, Interest::READABLE)?;
        }
        let (socket, udp) = socket.into_parts();
        let mut socket = UdpSocket::from_std(socket);
        registry.register(&mut socket, token, Interest::READABLE)?;
        let registry = registry.try_clone()?;
        Ok(Self {
            watched: Watched {
                socket,
                second,
                registry,
                token,
                readable: true,
                full: false,
            },
            pump: Pump::new(udp),
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.watched.socket.local_addr()
    }

    pub(crate) fn ready(&mut self, event: &Event) {
        self.watched.readable |= event.is_readable() || event.is_error();
    }

    pub(crate) fn turn(&mut self, now: Instant, endpoint: &mut impl Access) {
        self.pump.turn(now, &mut self.watched, endpoint);
        self.watched.watch(self.pump.is_blocked());
    }

    pub(crate) fn pump(&self) -> &Pump {
        &self.pump
    }
}

#[derive(Debug)]
struct Watched {
    socket: UdpSocket,
    /// Received from only.
    second: Option<UdpSocket>,
    registry: Registry,
    token: Token,
    /// The loop tells once, so until nothing more is there.
    readable: bool,
    /// Whether the loop tells when the socket takes more. Only then: it would after each datagram otherwise.
    full: bool,
}

impl Watched {
    fn watch(&mut self, full: bool) {
        if full == self.full {
            return;
        }
        let interest = match full {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        // Without, the pump asks again by itself, now and then.
        let watched = self
            .registry
            .reregister(&mut self.socket, self.token, interest);
        self.full = full && watched.is_ok();
    }
}

impl Io for Watched {
    fn recv(&mut self, udp: &mut Udp, into: &mut Vec<Datagram>) -> io::Result<()> {
        if !self.readable {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut received = self.socket.try_io(|| udp.recv(&self.socket, into));
        if let Some(second) = &self.second
            && is_blocked(&received)
        {
            received = second.try_io(|| udp.recv(second, into));
        }
        self.readable = !is_blocked(&received);
        received
    }

    fn send(&mut self, udp: &Udp, transmit: &Transmit) -> io::Result<()> {
        self.socket.try_io(|| udp.send(&self.socket, transmit))
    }

    fn recv_unreachable(
        &mut self,
        udp: &mut Udp,
        wanted: bool,
        into: &mut Vec<(SocketAddr, Unreachable)>,
    ) {
        udp.recv_unreachable(&self.socket, wanted, into);
    }
}

fn is_blocked(result: &io::Result<()>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
