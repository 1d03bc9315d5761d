use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, UdpSocket},
    num::NonZeroUsize,
};

use bytes::BytesMut;
use conec_core::{Datagram, Ecn, Endpoint, Transmit, Unreachable};
use quinn_udp::{EcnCodepoint, RecvMeta, UdpSocketState};
use socket2::SockRef;

use crate::{
    hosts::Hosts,
    slots::{SLOTS, Slots},
    unreachable::Listener,
};

/// What it takes to send and receive on a socket, apart from the socket itself.
pub struct Udp {
    state: UdpSocketState,
    /// Whether addresses are IPv6, with IPv4 ones mapped into it.
    v6: bool,
    /// At which addresses the socket is to be found.
    hosts: Hosts,
    /// Where batches arrive.
    slots: Slots,
    icmp: Listener,
    #[cfg(feature = "__testing")]
    tap: Option<Box<dyn crate::Tap>>,
}

impl Udp {
    pub(crate) fn new(socket: &UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(socket.into())?;
        disable_timestamps(socket);
        Ok(Self {
            state,
            v6: socket.local_addr()?.is_ipv6(),
            hosts: Hosts::new(socket)?,
            slots: Slots::new(),
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
        let count =
            self.state
                .recv((&*socket.into()).into(), &mut self.slots.room(), &mut metas)?;
        let filled = metas.iter().take(count).enumerate();
        into.extend(filled.map(|(slot, meta)| datagram(meta, self.slots.take(slot, meta.len))));
        if SHORT_IS_ALL && count < SLOTS {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }

    /// Takes buffers back from the endpoint that [received](Self::recv) datagrams were given to, to receive into again.
    pub(crate) fn take_back(&mut self, endpoint: &mut dyn Endpoint) {
        while self.slots.has_room_for_spare()
            && let Some(buffer) = endpoint.take_buffer()
        {
            self.slots.add_spare(buffer);
        }
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
        into: &mut Vec<(SocketAddr, Unreachable)>,
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

    #[cfg(feature = "__testing")]
    pub(crate) fn set_tap(&mut self, tap: Box<dyn crate::Tap>) {
        self.tap = Some(tap);
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

fn datagram(meta: &RecvMeta, payload: BytesMut) -> Datagram {
    Datagram {
        source: from_system(meta.addr),
        destination_ip: meta.dst_ip.map(|ip| ip.to_canonical()),
        ecn: meta.ecn.map(|ecn| match ecn {
            EcnCodepoint::Ect0 => Ecn::Ect0,
            EcnCodepoint::Ect1 => Ecn::Ect1,
            EcnCodepoint::Ce => Ecn::Ce,
        }),
        segment_size: meta.stride,
        payload,
    }
}

/// Of IPv4 addresses is spoken as such.
fn from_system(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => (ip, address.port()).into(),
        // With its scope.
        IpAddr::V6(_) => address,
    }
}

/// How often a call is made again that has failed because of another datagram. Once does, unless one more is rejected
/// in between.
const RETRIES: usize = 2;
/// Whether a call that receives less than it has room for has found nothing more. What arrives later makes the socket
/// ready again, for edge-triggered event loops too.
const SHORT_IS_ALL: bool = cfg!(any(target_os = "linux", target_os = "android"));

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv4Addr, Ipv6Addr},
        time::Duration,
    };

    use bytes::Bytes;

    use super::*;
    use crate::Socket;

    #[test]
    fn batches_arrive_with_ecn_and_boundaries() {
        for ip in [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ] {
            // Not every machine has IPv6.
            let Ok(receiver) = Socket::bind((ip, 0).into()) else {
                assert!(ip.is_ipv6());
                continue;
            };
            let (receiver, mut udp) = receiver.into_parts();
            let (sender, from) = Socket::bind((ip, 0).into()).unwrap().into_parts();
            let segments = from.max_segments().get().min(10);
            let payload = Bytes::from_iter((0..segments * 1000 - 300).map(|at| (at / 7) as u8));
            let transmit = Transmit {
                destination: receiver.local_addr().unwrap(),
                source_ip: Some(ip),
                ecn: Some(Ecn::Ect0),
                segment_size: Some(1000),
                payload: payload.clone(),
            };
            from.send(&sender, &transmit).unwrap();
            let mut received = Vec::new();
            recv(&receiver, &mut udp, &mut received, payload.len());
            let whole = received.iter().flat_map(|datagram| &datagram.payload[..]);
            assert!(whole.eq(&payload[..]));
            for datagram in &received {
                assert_eq!(datagram.source, sender.local_addr().unwrap());
                assert_eq!(datagram.destination_ip, Some(ip));
                assert_eq!(datagram.ecn, Some(Ecn::Ect0), "{datagram:?}");
                assert!(datagram.segment_size.min(datagram.payload.len()) <= 1000);
            }
            let blocked = udp.recv(&receiver, &mut received).unwrap_err();
            assert_eq!(blocked.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn the_last_of_it_is_known_to_be_the_last() {
        let (receiver, mut udp) = on_loopback();
        let (sender, from) = on_loopback();
        let mut received = Vec::new();
        for (sent, calls) in [(1, 1), (SLOTS - 1, 1), (SLOTS, 2), (SLOTS + 1, 2)] {
            for size in 1..=sent {
                let transmit = Transmit {
                    destination: receiver.local_addr().unwrap(),
                    source_ip: None,
                    ecn: None,
                    segment_size: None,
                    // Of several sizes that grow, so that the system does not put them together.
                    payload: Bytes::from(vec![1; size]),
                };
                from.send(&sender, &transmit).unwrap();
            }
            received.clear();
            let results = std::iter::repeat_with(|| udp.recv(&receiver, &mut received));
            let called = 1 + results.take_while(Result::is_ok).count();
            assert_eq!(received.len(), sent);
            // Where the system does not tell, it takes one more that finds nothing.
            assert_eq!(called, if SHORT_IS_ALL { calls } else { sent + 1 });
        }
    }

    #[test]
    fn a_socket_for_both_ip_versions_speaks_of_ipv4_as_such() {
        // Not every machine has IPv6.
        let Ok(both) = Socket::bind((Ipv6Addr::UNSPECIFIED, 0).into()) else {
            return;
        };
        let (both, mut udp) = both.into_parts();
        let (v4, mut from) = on_loopback();
        let to = |destination| Transmit {
            destination,
            source_ip: None,
            ecn: None,
            segment_size: None,
            payload: Bytes::from("hello"),
        };
        let port = both.local_addr().unwrap().port();
        from.send(&v4, &to(([127, 0, 0, 1], port).into())).unwrap();
        let mut received = Vec::new();
        recv(&both, &mut udp, &mut received, 5);
        assert_eq!(received[0].source, v4.local_addr().unwrap());
        assert_eq!(received[0].destination_ip, Some([127, 0, 0, 1].into()));
        udp.send(&both, &to(received[0].source)).unwrap();
        received.clear();
        recv(&v4, &mut from, &mut received, 5);
        assert_eq!(received[0].source, ([127, 0, 0, 1], port).into());
    }

    #[test]
    fn what_cannot_be_sent_is_an_error_and_nothing_worse() {
        let (socket, udp) = on_loopback();
        let mut transmit = Transmit {
            destination: socket.local_addr().unwrap(),
            source_ip: None,
            ecn: None,
            segment_size: None,
            payload: Bytes::from(vec![0; 70_000]),
        };
        let error = udp.send(&socket, &transmit).unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::WouldBlock);
        transmit.payload.truncate(100);
        udp.send(&socket, &transmit).unwrap();
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn what_is_rejected_is_known_and_stops_nothing_else() {
        let (receiver, _) = on_loopback();
        let alive = receiver.local_addr().unwrap();
        for (bound, dead) in [
            ("127.0.0.1", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.1"),
            ("::", "127.0.0.1"),
            ("::", "::1"),
        ] {
            let ip = |text: &str| text.parse::<IpAddr>().unwrap();
            // Not every machine has IPv6.
            let Ok(socket) = Socket::bind((ip(bound), 0).into()) else {
                assert!(ip(bound).is_ipv6());
                continue;
            };
            let (socket, mut udp) = socket.into_parts();
            let nobody = UdpSocket::bind((ip(dead), 0))
                .unwrap()
                .local_addr()
                .unwrap();
            let send = |udp: &Udp, destination| {
                let transmit = Transmit {
                    destination,
                    source_ip: None,
                    ecn: None,
                    segment_size: None,
                    payload: Bytes::from("hello"),
                };
                udp.send(&socket, &transmit)
            };
            let mut found = Vec::new();
            for learns in [true, false] {
                udp.recv_unreachable(&socket, learns, &mut found);
                found.clear();
                for _ in 0..10 {
                    send(&udp, nobody).unwrap();
                    send(&udp, alive).unwrap();
                }
                udp.recv_unreachable(&socket, learns, &mut found);
                let count = if learns { 10 } else { 0 };
                assert_eq!(
                    found,
                    vec![(nobody, Unreachable::Port); count],
                    "{bound} {dead}"
                );
            }
            let blocked = udp.recv(&socket, &mut Vec::new()).unwrap_err();
            assert_eq!(blocked.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_socket_for_ipv4_has_no_way_to_ipv6() {
        let (socket, udp) = on_loopback();
        let transmit = Transmit {
            destination: (Ipv6Addr::LOCALHOST, 4433).into(),
            source_ip: None,
            ecn: None,
            segment_size: None,
            payload: Bytes::from("hello"),
        };
        let error = udp.send(&socket, &transmit).unwrap_err();
        let reason = crate::unreachable::of_send_error(&error);
        assert_eq!(reason, Some(Unreachable::NoRoute));
        // Which costs it no offload.
        assert_eq!(udp.max_segments(), on_loopback().1.max_segments());
    }

    fn on_loopback() -> (UdpSocket, Udp) {
        let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0).into());
        socket.unwrap().into_parts()
    }

    fn recv(socket: &UdpSocket, udp: &mut Udp, into: &mut Vec<Datagram>, bytes: usize) {
        for _ in 0..1000 {
            match udp.recv(socket, into) {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            let got: usize = into.iter().map(|datagram| datagram.payload.len()).sum();
            if got >= bytes {
                assert_eq!(got, bytes);
                return;
            }
        }
        panic!("not all has arrived");
    }
}
