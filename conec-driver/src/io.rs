//! Sending and receiving on a UDP socket, in batches.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, UdpSocket},
    num::NonZeroUsize,
    time::Duration,
};

use bytes::BytesMut;
use conec_core::{Datagram, Ecn, Transmit};
use quinn_udp::{EcnCodepoint, RecvMeta, UdpSocketState};
use socket2::SockRef;

use crate::{
    hosts::Hosts,
    slots::{self, SLOTS},
    unreachable::{Listener, Rejected},
};

/// What sending and receiving on a socket takes, apart from the socket itself.
pub struct Udp {
    state: UdpSocketState,
    /// Whether addresses are IPv6, with IPv4 ones mapped into it.
    v6: bool,
    /// At which addresses the socket is to be found.
    hosts: Hosts,
    /// If it was set.
    busy_poll: Option<Duration>,
    icmp: Listener,
    #[cfg(feature = "__testing")]
    pub(crate) tap: Option<std::sync::Arc<dyn crate::Tap>>,
}

impl Udp {
    pub(crate) fn new(socket: &UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(socket.into())?;
        disable_timestamps(socket);
        Ok(Self {
            state,
            v6: socket.local_addr()?.is_ipv6(),
            hosts: Hosts::new(socket)?,
            busy_poll: None,
            icmp: Listener::default(),
            #[cfg(feature = "__testing")]
            tap: None,
        })
    }

    /// How many datagrams one transmit may hold. Falls to 1 when the system turns out to be unable.
    pub fn max_segments(&self) -> NonZeroUsize {
        let max = NonZeroUsize::new(self.state.max_gso_segments()).unwrap_or(NonZeroUsize::MIN);
        #[cfg(feature = "__testing")]
        let max = self.tap.as_ref().map_or(max, |tap| tap.max_segments(max));
        max
    }

    /// How many datagrams of one sender the system may give at once; 1 where it gives each by itself.
    pub fn max_received_segments(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.state.gro_segments()).unwrap_or(NonZeroUsize::MIN)
    }

    /// The addresses of this machine at which the socket is to be found now, for
    /// [`handle_host_addresses`](conec_core::Endpoint::handle_host_addresses): that of the default route first, loopback
    /// addresses last.
    ///
    /// Takes a few system calls, unless the socket is bound to one address: some ten microseconds for each interface.
    pub fn host_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        #[cfg(feature = "__testing")]
        if let Some(addresses) = self.tap.as_ref().and_then(|tap| tap.host_addresses()) {
            return Ok(addresses);
        }
        self.hosts.look()
    }

    pub(crate) fn set_busy_poll(&mut self, limit: Duration) {
        self.busy_poll = Some(limit.min(MAX_BUSY_POLL));
    }

    pub(crate) fn busy_poll(&self) -> Option<Duration> {
        self.busy_poll
    }

    /// Receives what one system call gives.
    ///
    /// Fails with [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing more is there: it may have received the last of it
    /// all the same, which spares the system call that would find nothing. Other errors are mostly about a datagram that
    /// was sent earlier; receiving may well succeed the next time.
    pub fn recv<'a>(
        &mut self,
        socket: impl Into<SockRef<'a>>,
        into: &mut Vec<Datagram>,
    ) -> io::Result<()> {
        #[cfg(feature = "__testing")]
        if let Some(received) = self.tap.as_ref().and_then(|tap| tap.recv(into)) {
            return received;
        }
        let mut metas = [RecvMeta::default(); SLOTS];
        slots::with(|slots| {
            let count = self
                .state
                .recv((&*socket.into()).into(), &mut slots.room(), &mut metas)?;
            let filled = metas.iter().take(count).enumerate();
            into.extend(filled.map(|(slot, meta)| datagram(meta, slots.take(slot, meta.len))));
            if SHORT_IS_ALL && count < SLOTS {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        })
    }

    /// Receives as [`recv`](Self::recv) does, from the socket of a Coordinator's
    /// [second port](conec_core::CoordinatorConfig::second_port).
    pub fn recv_second<'a>(
        &mut self,
        socket: impl Into<SockRef<'a>>,
        into: &mut Vec<Datagram>,
    ) -> io::Result<()> {
        let known = into.len();
        let received = self.recv(socket, into);
        for datagram in &mut into[known..] {
            datagram.second_port = true;
        }
        received
    }

    /// Takes what the system has learned by ICMP of datagrams that did not get to where they were sent, since the last time
    /// that it was wanted; and has it learn more, or no more. To be called before anything is sent. On Linux and Android;
    /// other systems tell nothing.
    ///
    /// Meanwhile each such message makes the socket ready with an error (`EPOLLERR`), which some event loops take for its end.
    pub fn recv_unreachable<'a>(
        &mut self,
        socket: impl Into<SockRef<'a>>,
        wanted: bool,
        into: &mut Rejected,
    ) {
        let new = into.len();
        self.icmp.take(&socket.into(), wanted, into);
        for (destination, _) in &mut into[new..] {
            *destination = from_system(*destination);
        }
    }

    /// Whether the system learns of such datagrams.
    pub(crate) fn learns_unreachable(&self) -> bool {
        self.icmp.is_listening()
    }

    /// Sends, with one system call.
    ///
    /// Apart from [`WouldBlock`](io::ErrorKind::WouldBlock), what the system refuses is as good as lost on the way: it
    /// refuses probes for larger packets, for one. Tell the endpoint of it by
    /// [`handle_socket_error`](conec_core::Endpoint::handle_socket_error), and go on.
    pub fn send<'a>(&self, socket: impl Into<SockRef<'a>>, transmit: &Transmit) -> io::Result<()> {
        #[cfg(feature = "__testing")]
        if let Some(sent) = self.tap.as_ref().and_then(|tap| tap.send(transmit)) {
            return sent;
        }
        let transmit = quinn_udp::Transmit {
            destination: self.to_system(transmit.destination)?,
            ecn: transmit.ecn.map(|ecn| match ecn {
                Ecn::Ect0 => EcnCodepoint::Ect0,
                Ecn::Ect1 => EcnCodepoint::Ect1,
                Ecn::Ce => EcnCodepoint::Ce,
            }),
            contents: &transmit.payload,
            segment_size: transmit.segment_size,
            src_ip: transmit.source_ip,
        };
        let socket = socket.into();
        let send = || self.state.try_send((&*socket).into(), &transmit);
        let mut sent = send();
        for _ in 0..RETRIES {
            match sent {
                Err(error) if self.icmp.is_about_another(&error) => sent = send(),
                sent => return sent,
            }
        }
        sent
    }

    fn to_system(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        match address.ip() {
            IpAddr::V4(ip) if self.v6 => Ok((ip.to_ipv6_mapped(), address.port()).into()),
            IpAddr::V6(_) if !self.v6 => Err(io::ErrorKind::NetworkUnreachable.into()),
            IpAddr::V4(_) | IpAddr::V6(_) => Ok(address),
        }
    }
}

impl fmt::Debug for Udp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Udp")
            .field("v6", &self.v6)
            .field("max_segments", &self.max_segments())
            .finish_non_exhaustive()
    }
}

/// quinn-udp 0.6.3 asks for timestamps, for which its buffer of control messages has no room beside those of a GRO
/// batch: the last one would be lost, which is the ECN codepoint.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn disable_timestamps(socket: &UdpSocket) {
    use nix::sys::socket::{setsockopt, sockopt::ReceiveTimestampns};
    // Where there are none, none can be disabled.
    let _ = setsockopt(socket, ReceiveTimestampns, &false);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn disable_timestamps(_: &UdpSocket) {}

/// Whether a socket has nothing to receive, or no room to send.
pub fn is_blocked(result: &io::Result<()>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn datagram(meta: &RecvMeta, payload: BytesMut) -> Datagram {
    Datagram {
        source: from_system(meta.addr),
        destination_ip: meta.dst_ip.map(|ip| ip.to_canonical()),
        second_port: false,
        ecn: meta.ecn.map(|ecn| match ecn {
            EcnCodepoint::Ect0 => Ecn::Ect0,
            EcnCodepoint::Ect1 => Ecn::Ect1,
            EcnCodepoint::Ce => Ecn::Ce,
        }),
        segment_size: meta.stride,
        payload,
    }
}

/// An IPv4 address that is mapped into IPv6 becomes an IPv4 one.
fn from_system(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => (ip, address.port()).into(),
        // The address keeps its scope.
        IpAddr::V6(_) => address,
    }
}

/// How often a call is made again that has failed because of another datagram. Once does, unless one more is rejected
/// in between.
const RETRIES: usize = 2;
/// Whether a call that receives less than it has room for has found nothing more. What arrives later makes the socket
/// ready again, for edge-triggered event loops too.
const SHORT_IS_ALL: bool = cfg!(any(target_os = "linux", target_os = "android"));
const MAX_BUSY_POLL: Duration = Duration::from_millis(10);
