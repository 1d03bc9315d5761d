//! A socket in an event loop.

use std::{io, net::SocketAddr};

use conec_core::{Datagram, Transmit};
use conec_driver::{Io, Rejected, Sockets, Udp, is_blocked};
use mio::{Interest, Registry, Token, event::Event, net::UdpSocket};

/// A registered socket, and a second one to receive from if there is one.
#[derive(Debug)]
pub(crate) struct Watched {
    socket: UdpSocket,
    /// Received from only.
    second: Option<UdpSocket>,
    registry: Registry,
    token: Token,
    /// From an event, which comes only once, until there is nothing more to receive.
    readable: bool,
    /// Whether events tell that there is room to send. Asked for only while there is none: otherwise one would come after
    /// each datagram.
    full: bool,
}

impl Watched {
    pub(crate) fn new(sockets: Sockets, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut second = sockets.second.map(UdpSocket::from_std);
        if let Some(second) = &mut second {
            registry.register(second, token, Interest::READABLE)?;
        }
        let mut socket = UdpSocket::from_std(sockets.socket);
        registry.register(&mut socket, token, Interest::READABLE)?;
        Ok(Self {
            socket,
            second,
            registry: registry.try_clone()?,
            token,
            readable: true,
            full: false,
        })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(crate) fn ready(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_error();
    }

    /// Asks for an event when there is room to send, if there is none.
    pub(crate) fn watch(&mut self, full: bool) {
        if full == self.full {
            return;
        }
        let interest = match full {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        // If that fails, the pump tries again by itself now and then.
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
            received = second.try_io(|| udp.recv_second(second, into));
        }
        self.readable = !is_blocked(&received);
        received
    }

    fn send(&mut self, udp: &Udp, transmit: &Transmit) -> io::Result<()> {
        self.socket.try_io(|| udp.send(&self.socket, transmit))
    }

    fn recv_unreachable(&mut self, udp: &mut Udp, wanted: bool, into: &mut Rejected) {
        udp.recv_unreachable(&self.socket, wanted, into);
    }
}
