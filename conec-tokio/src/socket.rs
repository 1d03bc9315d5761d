//! The socket as a task sees it.

use std::{io, net::UdpSocket, task::Context};

use conec_core::{Datagram, Transmit};
use conec_udp::{Io, Udp};

/// A socket that the runtime watches.
pub(crate) struct Watched(system::Watched);

impl Watched {
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        system::Watched::new(socket).map(Self)
    }

    /// The socket, a second one to receive from if there is one, and the task that is woken when they are ready.
    pub(crate) fn by<'a, 'b>(
        &'a mut self,
        second: Option<&'a Self>,
        cx: &'a mut Context<'b>,
    ) -> WatchedBy<'a, 'b> {
        WatchedBy {
            socket: &mut self.0,
            second: second.map(|second| &second.0),
            cx,
        }
    }
}

pub(crate) struct WatchedBy<'a, 'b> {
    socket: &'a mut system::Watched,
    second: Option<&'a system::Watched>,
    cx: &'a mut Context<'b>,
}

impl Io for WatchedBy<'_, '_> {
    fn recv(&mut self, udp: &mut Udp, into: &mut Vec<Datagram>) -> io::Result<()> {
        let received = self.socket.recv(self.cx, udp, into);
        match self.second {
            Some(second) if is_blocked(&received) => second.recv(self.cx, udp, into),
            Some(_) | None => received,
        }
    }

    fn send(&mut self, udp: &Udp, transmit: &Transmit) -> io::Result<()> {
        self.socket.send(self.cx, udp, transmit)
    }
}

fn blocked() -> io::Error {
    io::ErrorKind::WouldBlock.into()
}

fn is_blocked(result: &io::Result<()>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

#[cfg(unix)]
mod system {
    use std::{
        io,
        net::UdpSocket,
        task::{Context, Poll},
    };

    use conec_core::{Datagram, Transmit};
    use conec_udp::Udp;
    use tokio::io::{Interest, unix::AsyncFd};

    use super::{blocked, is_blocked};

    /// Watched for what arrives; for room only while it is full. The runtime's own socket is always watched for both, and
    /// since each datagram that leaves it makes room, its thread would wake up for each.
    pub(super) struct Watched {
        socket: AsyncFd<UdpSocket>,
        full: Option<AsyncFd<UdpSocket>>,
    }

    impl Watched {
        pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
            let socket = watch(socket, Interest::READABLE)?;
            Ok(Self { socket, full: None })
        }

        pub(super) fn recv(
            &self,
            cx: &mut Context<'_>,
            udp: &mut Udp,
            into: &mut Vec<Datagram>,
        ) -> io::Result<()> {
            loop {
                // A socket that cannot be polled any more is silent: the endpoint ends by its timeouts.
                let Poll::Ready(Ok(mut ready)) = self.socket.poll_read_ready(cx) else {
                    return Err(blocked());
                };
                if let Ok(received) = ready.try_io(|socket| udp.recv(socket.get_ref(), into)) {
                    return received;
                }
            }
        }

        pub(super) fn send(
            &mut self,
            cx: &mut Context<'_>,
            udp: &Udp,
            transmit: &Transmit,
        ) -> io::Result<()> {
            // The system is asked in any case: it might take it, and have forgotten to say so.
            let sent = udp.send(self.socket.get_ref(), transmit);
            if !is_blocked(&sent) {
                self.full = None;
                return sent;
            }
            if self.full.is_none() {
                let socket = self.socket.get_ref().try_clone();
                let watched = socket.and_then(|socket| watch(socket, Interest::WRITABLE));
                // Without, the pump asks again by itself, now and then.
                self.full = watched.ok();
            }
            while let Some(full) = &self.full
                && let Poll::Ready(Ok(mut ready)) = full.poll_write_ready(cx)
            {
                if let Ok(sent) = ready.try_io(|socket| udp.send(socket.get_ref(), transmit)) {
                    self.full = None;
                    return sent;
                }
            }
            sent
        }
    }

    #[expect(
        deprecated,
        reason = "its successor is unsafe, for sockets that change their descriptor: this one never does"
    )]
    fn watch(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
        AsyncFd::with_interest(socket, interest)
    }
}

#[cfg(not(unix))]
mod system {
    use std::{
        io,
        task::{Context, Poll},
    };

    use conec_core::{Datagram, Transmit};
    use conec_udp::Udp;
    use tokio::{io::Interest, net::UdpSocket};

    use super::{blocked, is_blocked};

    pub(super) struct Watched(UdpSocket);

    impl Watched {
        pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
            UdpSocket::from_std(socket).map(Self)
        }

        pub(super) fn recv(
            &self,
            cx: &mut Context<'_>,
            udp: &mut Udp,
            into: &mut Vec<Datagram>,
        ) -> io::Result<()> {
            loop {
                // A socket that cannot be polled any more is silent: the endpoint ends by its timeouts.
                let Poll::Ready(Ok(())) = self.0.poll_recv_ready(cx) else {
                    return Err(blocked());
                };
                let received = self
                    .0
                    .try_io(Interest::READABLE, || udp.recv(&self.0, into));
                if !is_blocked(&received) {
                    return received;
                }
            }
        }

        pub(super) fn send(
            &mut self,
            cx: &mut Context<'_>,
            udp: &Udp,
            transmit: &Transmit,
        ) -> io::Result<()> {
            let mut asked = false;
            loop {
                match self.0.poll_send_ready(cx) {
                    Poll::Ready(Ok(())) => {}
                    // The system is asked once in any case: it might take it, and have forgotten to say so.
                    Poll::Pending if !asked => return udp.send(&self.0, transmit),
                    Poll::Pending | Poll::Ready(Err(_)) => return Err(blocked()),
                }
                asked = true;
                let sent = self
                    .0
                    .try_io(Interest::WRITABLE, || udp.send(&self.0, transmit));
                if !is_blocked(&sent) {
                    return sent;
                }
            }
        }
    }
}
