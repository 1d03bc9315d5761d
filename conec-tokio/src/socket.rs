//! A UDP socket that speaks the core's language: [`Datagram`] in, [`Transmit`] out.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use conec_core::{Datagram, Ecn, Transmit};
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, Type};
use tokio::{io::Interest, net::UdpSocket};

/// All of the driver's contact with the network.
pub(crate) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    /// Whether addresses are IPv6, with IPv4 ones mapped into it.
    v6: bool,
    /// Where batches arrive before they are copied, so that what the core keeps pins no more memory than it must.
    scratch: Box<[u8]>,
}

impl Socket {
    /// Takes datagrams for this address, and for IPv4 too if it is IPv6's unspecified one and the system is able to.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() && address.ip().is_unspecified() {
            // Some systems cannot, and serve IPv6 alone.
            let _ = socket.set_only_v6(false);
        }
        // The system may grant less.
        let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
        let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
        socket.bind(&address.into())?;
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self {
            io: UdpSocket::from_std(socket.into())?,
            state,
            v6: address.is_ipv6(),
            scratch: vec![0; BATCH_SIZE * SLOT].into(),
        })
    }

    /// A port of the system's choice, for IPv6 and IPv4 where there are both.
    pub(crate) fn ephemeral() -> io::Result<Self> {
        Self::bind((Ipv6Addr::UNSPECIFIED, 0).into())
            .or_else(|_| Self::bind((Ipv4Addr::UNSPECIFIED, 0).into()))
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// How many datagrams one transmit may hold. Falls to 1 when the system turns out to be unable.
    pub(crate) fn max_segments(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.state.max_gso_segments()).unwrap_or(NonZeroUsize::MIN)
    }

    /// Receives what one system call gives.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>, into: &mut Vec<Datagram>) -> Poll<()> {
        loop {
            // A socket that cannot be polled any more is silent: the endpoint ends by its timeouts.
            if ready!(self.io.poll_recv_ready(cx)).is_err() {
                return Poll::Pending;
            }
            let mut metas = [RecvMeta::default(); BATCH_SIZE];
            let mut slots = self.scratch.chunks_mut(SLOT);
            let mut slots: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| IoSliceMut::new(slots.next().unwrap_or_default()));
            let received = self.io.try_io(Interest::READABLE, || {
                self.state.recv((&self.io).into(), &mut slots, &mut metas)
            });
            match received {
                Ok(count) => {
                    let filled = metas.iter().zip(self.scratch.chunks(SLOT)).take(count);
                    into.extend(filled.map(|(meta, slot)| datagram(meta, &slot[..meta.len])));
                    return Poll::Ready(());
                }
                // Some systems tell here that an earlier datagram was not welcome where it went.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    tracing::trace!(%error, "receiving failed");
                }
                Err(_) => {}
            }
        }
    }

    /// Sends, or waits until the socket takes it. What the system refuses is an error, and a lost datagram like any
    /// other.
    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        transmit: &Transmit,
    ) -> Poll<io::Result<()>> {
        let transmit = quinn_udp::Transmit {
            destination: self.to_system(transmit.destination),
            ecn: transmit.ecn.map(|ecn| match ecn {
                Ecn::Ect0 => EcnCodepoint::Ect0,
                Ecn::Ect1 => EcnCodepoint::Ect1,
                Ecn::Ce => EcnCodepoint::Ce,
            }),
            contents: &transmit.payload,
            segment_size: transmit.segment_size,
            src_ip: transmit.source_ip,
        };
        loop {
            ready!(self.io.poll_send_ready(cx))?;
            let sent = self.io.try_io(Interest::WRITABLE, || {
                self.state.try_send((&self.io).into(), &transmit)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }

    fn to_system(&self, address: SocketAddr) -> SocketAddr {
        match address.ip() {
            IpAddr::V4(ip) if self.v6 => (ip.to_ipv6_mapped(), address.port()).into(),
            IpAddr::V4(_) | IpAddr::V6(_) => address,
        }
    }
}

fn datagram(meta: &RecvMeta, payload: &[u8]) -> Datagram {
    Datagram {
        source: match meta.addr.ip().to_canonical() {
            ip @ IpAddr::V4(_) => (ip, meta.addr.port()).into(),
            // With its scope.
            IpAddr::V6(_) => meta.addr,
        },
        destination_ip: meta.dst_ip.map(|ip| ip.to_canonical()),
        ecn: meta.ecn.map(|ecn| match ecn {
            EcnCodepoint::Ect0 => Ecn::Ect0,
            EcnCodepoint::Ect1 => Ecn::Ect1,
            EcnCodepoint::Ce => Ecn::Ce,
        }),
        segment_size: meta.stride,
        payload: BytesMut::from(payload),
    }
}

/// Room for what the system coalesces at most.
const SLOT: usize = 64 << 10;
const KERNEL_BUFFER: usize = 4 << 20;
