//! The socket as a task sees it.

use std::{
    io,
    task::{Context, Poll},
};

use conec_core::{Datagram, Transmit};
use conec_driver::{Io, Rejected, SockRef, Udp, is_blocked};
use tokio::{io::Interest, net::UdpSocket};

/// A socket, a second one to receive from if there is one, and the task that is woken when they are ready.
pub(crate) struct Watched<'a, 'b> {
    pub(crate) socket: &'a mut UdpSocket,
    pub(crate) second: Option<&'a UdpSocket>,
    pub(crate) cx: &'a mut Context<'b>,
}

impl Io for Watched<'_, '_> {
    fn recv(&mut self, udp: &mut Udp, into: &mut Vec<Datagram>) -> io::Result<()> {
        let socket = &*self.socket;
        let received = recv(socket, self.cx, || udp.recv(socket, into));
        match self.second {
            Some(second) if is_blocked(&received) => {
                recv(second, self.cx, || udp.recv_second(second, into))
            }
            Some(_) | None => received,
        }
    }

    fn send(&mut self, udp: &Udp, transmit: &Transmit) -> io::Result<()> {
        let mut asked = 0;
        loop {
            match self.socket.poll_send_ready(self.cx) {
                Poll::Ready(Ok(())) => {}
                // The system is asked once in any case: what the runtime knows may be out of date.
                Poll::Pending if asked == 0 => return udp.send(&*self.socket, transmit),
                Poll::Pending | Poll::Ready(Err(_)) => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
            }
            asked += 1;
            let sent = self
                .socket
                .try_io(Interest::WRITABLE, || udp.send(&*self.socket, transmit));
            if !is_blocked(&sent) {
                return sent;
            }
            if asked == STUCK {
                self.register_again()?;
            }
        }
    }

    fn recv_unreachable(&mut self, udp: &mut Udp, wanted: bool, into: &mut Rejected) {
        udp.recv_unreachable(&*self.socket, wanted, into);
    }
}

impl Watched<'_, '_> {
    /// Makes the runtime forget what it knows of the socket. It takes the error event of an ICMP message to mean that the
    /// socket is closed for writing, which for it is to be ready for ever, even while there is no room.
    fn register_again(&mut self) -> io::Result<()> {
        let same = SockRef::from(&*self.socket).try_clone()?;
        *self.socket = UdpSocket::from_std(same.into())?;
        // So that the task is woken by the new one when something arrives.
        self.cx.waker().wake_by_ref();
        Ok(())
    }
}

fn recv(
    socket: &UdpSocket,
    cx: &mut Context<'_>,
    mut take: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    loop {
        // A socket that cannot be polled any more is silent: the endpoint ends by its timeouts.
        let Poll::Ready(Ok(())) = socket.poll_recv_ready(cx) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let received = socket.try_io(Interest::READABLE, &mut take);
        if !is_blocked(&received) {
            return received;
        }
    }
}

/// How often in a row the runtime has to say wrongly that there is room, before the socket is registered again.
const STUCK: u32 = 3;
