//! Sockets of the system, on the loopback interface.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use bytes::Bytes;
use conec_core::{ClientConfig, Datagram, Ecn, Identity, KeyPin, Transmit, Trust, Unreachable};
use conec_driver::{Socket, Udp, look_up_link};

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
        let (receiver, mut udp) = parts(receiver);
        let (sender, from) = parts(Socket::bind((ip, 0).into()).unwrap());
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
    let (both, mut udp) = parts(both);
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

#[test]
fn a_socket_for_all_interfaces_is_found_at_each() {
    let socket = Socket::bind((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
    let (socket, udp) = parts(socket);
    let port = socket.local_addr().unwrap().port();
    let found = udp.host_addresses().unwrap();
    assert!(found.iter().all(|it| it.is_ipv4() && it.port() == port));
    // Of all machines, this is known; and it comes last.
    assert_eq!(found.last(), Some(&(Ipv4Addr::LOCALHOST, port).into()));
    let first = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    // An address that is nobody's (RFC 5737), so that the default route leads there.
    if first.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).is_ok() {
        assert_eq!(found[0].ip(), first.local_addr().unwrap().ip());
    }
}

#[test]
fn a_socket_for_one_address_is_found_there() {
    let (socket, udp) = on_loopback();
    let found = udp.host_addresses().unwrap();
    assert_eq!(found, [socket.local_addr().unwrap()]);
}

#[test]
fn a_socket_for_both_ip_versions_is_found_in_both() {
    // Not every machine has IPv6.
    let Ok(socket) = Socket::bind((Ipv6Addr::UNSPECIFIED, 0).into()) else {
        return;
    };
    let (socket, udp) = parts(socket);
    let port = socket.local_addr().unwrap().port();
    let found = udp.host_addresses().unwrap();
    assert!(found.contains(&(Ipv4Addr::LOCALHOST, port).into()));
    let v6 = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None).unwrap();
    v6.set_only_v6(true).unwrap();
    v6.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())
        .unwrap();
    let (_socket, udp) = parts(Socket::from_std(v6.into()).unwrap());
    let found = udp.host_addresses().unwrap();
    assert!(found.iter().all(SocketAddr::is_ipv6));
}

#[test]
fn the_loopback_interface_takes_more_than_ethernet() {
    assert!(link_mtu(None, &[LOOPBACK]) > Some(1500));
}

#[test]
fn a_link_mtu_that_is_set_or_cannot_be_known_stays() {
    assert_eq!(link_mtu(Some(1300), &[LOOPBACK]), Some(1300));
    assert_eq!(link_mtu(None, &[]), None);
}

fn link_mtu(set: Option<u16>, coordinator: &[SocketAddr]) -> Option<u16> {
    let pin = Trust::Pin(KeyPin::from_bytes([0; 32]));
    let mut config = ClientConfig::new(Identity::from_seed([1; 32]), pin);
    config.link_mtu = set;
    look_up_link(&mut config, coordinator);
    config.link_mtu
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
        let (socket, mut udp) = parts(socket);
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
    assert_eq!(error.kind(), io::ErrorKind::NetworkUnreachable);
    // Which costs it no offload.
    assert_eq!(udp.max_segments(), on_loopback().1.max_segments());
}

fn on_loopback() -> (UdpSocket, Udp) {
    let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0).into());
    parts(socket.unwrap())
}

fn parts(socket: Socket) -> (UdpSocket, Udp) {
    let (sockets, udp) = socket.into_parts();
    (sockets.socket, udp)
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

/// How many batches one call receives, and whether one that receives less has found nothing more.
const SLOTS: usize = 8;
const SHORT_IS_ALL: bool = cfg!(any(target_os = "linux", target_os = "android"));
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4433);
