//! The pump, with a socket that does as it is told.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use conec_core::{
    ChannelEvent, ChannelId, Client, ClientConfig, ClientEvent, CloseReason, Datagram, Endpoint,
    Identity, KeyPin, Transmit, Trust, Unreachable,
};
use conec_driver::{Io, Pump, Rejected, Socket, Udp};

#[test]
fn what_the_socket_does_not_take_is_sent_first_and_once() {
    let mut scene = Scene::new();
    scene.io.send_failures = Some((3, io::ErrorKind::WouldBlock));
    for tries in 1..=3 {
        assert_eq!(scene.turn(), Some(RETRY));
        assert!(scene.pump.is_blocked());
        assert_eq!(scene.io.tried.len(), tries);
        scene.now += RETRY;
    }
    assert_ne!(scene.turn(), Some(Duration::ZERO));
    assert!(!scene.pump.is_blocked());
    let tried = &scene.io.tried;
    assert!(tried[..4].iter().all(|payload| payload == &tried[0]));
    assert!(tried[4..].iter().all(|payload| payload != &tried[0]));
    assert_eq!(scene.client.stats().socket_errors, 0);
}

#[test]
fn an_interrupted_call_is_made_again_at_once() {
    let mut scene = Scene::new();
    scene.io.send_failures = Some((2, io::ErrorKind::Interrupted));
    scene.io.recv_failures = Some((2, io::ErrorKind::Interrupted));
    assert_ne!(scene.turn(), Some(Duration::ZERO));
    assert!(!scene.pump.is_blocked());
    let tried = &scene.io.tried;
    assert!(tried[1] == tried[0] && tried[2] == tried[0]);
    assert!(scene.io.recvs >= 3);
    assert_eq!(scene.client.stats().socket_errors, 0);
}

#[test]
fn a_socket_without_end_is_left_for_others_now_and_then() {
    let mut scene = Scene::new();
    scene.io.flood = true;
    for _ in 0..10 {
        let before = (scene.io.recvs, scene.client.stats().datagrams_dropped);
        assert_eq!(scene.turn(), Some(Duration::ZERO), "wants to go on at once");
        assert_eq!(scene.io.recvs - before.0, RECVS);
        let dropped = scene.client.stats().datagrams_dropped - before.1;
        assert_eq!(dropped, RECVS as u64);
    }
}

#[test]
fn errors_are_counted_as_loss_and_nothing_more() {
    let mut scene = Scene::new();
    scene.io.send_failures = Some((1, io::ErrorKind::PermissionDenied));
    scene.io.recv_failures = Some((2, io::ErrorKind::ConnectionRefused));
    scene.turn();
    assert_eq!(scene.client.stats().socket_errors, 3);
    // What was lost is sent again when it is due.
    let sent = scene.io.tried.len();
    for _ in 0..3 {
        let due = scene.turn().unwrap();
        scene.now += due;
    }
    assert!(scene.io.tried.len() > sent);
    assert_eq!(scene.client.stats().socket_errors, 3);
}

#[test]
fn what_cannot_be_sent_is_told_as_that() {
    for (kind, reason, millis) in [
        (io::ErrorKind::NetworkUnreachable, Unreachable::NoRoute, 0),
        (io::ErrorKind::AddrNotAvailable, Unreachable::NoRoute, 0),
        // A firewall also says so when it has too much to do, which would be over at the second packet.
        (
            io::ErrorKind::PermissionDenied,
            Unreachable::Prohibited,
            600,
        ),
    ] {
        let mut scene = Scene::new();
        scene.io.send_failures = Some((usize::MAX, kind));
        let (told, took) = scene.end();
        assert_eq!(told, CloseReason::Unreachable(reason), "{kind}");
        assert_eq!(took, Duration::from_millis(millis), "{kind}");
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn the_system_is_asked_now_and_then_while_that_is_wanted() {
    let mut scene = Scene::new();
    let (sockets, udp) = Socket::any().unwrap().into_parts();
    scene.pump = Pump::new(udp);
    scene.io.socket = Some(sockets.socket);
    scene.io.rejects = true;
    assert_eq!(scene.turn(), Some(LOOK));
    let (told, took) = scene.end();
    assert_eq!(told, CloseReason::Unreachable(Unreachable::Port));
    assert_eq!(took, Duration::from_millis(600) + LOOK);
    scene.turn();
    assert!(!scene.io.wanted);
}

/// Nothing is hot about it, and nobody waits in vain.
#[test]
fn a_socket_that_is_gone_ends_the_endpoint_by_its_timeouts() {
    for kind in [io::ErrorKind::NotConnected, io::ErrorKind::WouldBlock] {
        let mut scene = Scene::new();
        scene.io.send_failures = Some((usize::MAX, kind));
        scene.io.recv_failures = Some((usize::MAX, kind));
        assert_eq!(scene.end().0, CloseReason::TimedOut, "{kind}");
    }
}

/// A Client that wants to connect, and a socket that does as it is told.
struct Scene {
    now: Instant,
    client: Client,
    pump: Pump,
    io: Script,
    events: Vec<ClientEvent>,
}

impl Scene {
    fn new() -> Self {
        let now = Instant::now();
        let pin = Trust::Pin(KeyPin::from_bytes([0; 32]));
        let config = ClientConfig::new(Identity::from_seed([1; 32]), pin);
        let mut client = Client::new(config, [2; 32]).unwrap();
        let address = SocketAddr::from(([192, 0, 2, 1], 4433));
        client.connect(now, "localhost", &[address]).unwrap();
        let (_, udp) = Socket::any().unwrap().into_parts();
        Self {
            now,
            client,
            pump: Pump::new(udp),
            io: Script::default(),
            events: Vec::new(),
        }
    }

    /// How long to wait after this.
    fn turn(&mut self) -> Option<Duration> {
        let Self {
            now,
            client,
            pump,
            io,
            events,
        } = self;
        pump.turn(*now, io, client);
        while let Some(event) = client.poll_event() {
            events.push(event);
        }
        let due = pump.due(client.poll_timeout());
        due.map(|at| at.saturating_duration_since(*now))
    }
}

impl Scene {
    /// Goes on to the end, which comes after some time for a reason.
    fn end(&mut self) -> (CloseReason, Duration) {
        let begin = self.now;
        for _ in 0..5000 {
            let due = self.turn();
            if let Some(ClientEvent::Channel {
                channel: ChannelId::HOME,
                event: ChannelEvent::Closed { reason },
            }) = self.events.pop()
            {
                return (reason, self.now - begin);
            }
            self.now += due.expect("something to wait for");
        }
        panic!("busy");
    }
}

/// Takes everything and gives nothing, unless told otherwise.
#[derive(Default)]
struct Script {
    tried: Vec<Bytes>,
    recvs: usize,
    /// How often to fail, and how.
    send_failures: Option<(usize, io::ErrorKind)>,
    recv_failures: Option<(usize, io::ErrorKind)>,
    flood: bool,
    /// Each datagram is rejected where it goes.
    rejects: bool,
    rejected: Rejected,
    /// Which can be asked what the system has learned, and whether that was wanted last.
    socket: Option<UdpSocket>,
    wanted: bool,
}

impl Io for Script {
    fn recv(&mut self, _: &mut Udp, into: &mut Vec<Datagram>) -> io::Result<()> {
        self.recvs += 1;
        fail(&mut self.recv_failures)?;
        if !self.flood {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        into.push(Datagram {
            source: ([192, 0, 2, 2], 9).into(),
            destination_ip: None,
            second_port: false,
            ecn: None,
            segment_size: 0,
            payload: BytesMut::from("garbage"),
        });
        Ok(())
    }

    fn send(&mut self, _: &Udp, transmit: &Transmit) -> io::Result<()> {
        self.tried.push(transmit.payload.clone());
        if self.rejects {
            let rejected = (transmit.destination, Unreachable::Port);
            self.rejected.push(rejected);
        }
        fail(&mut self.send_failures)
    }

    fn recv_unreachable(&mut self, udp: &mut Udp, wanted: bool, into: &mut Rejected) {
        self.wanted = wanted;
        into.append(&mut self.rejected);
        if let Some(socket) = &self.socket {
            udp.recv_unreachable(socket, wanted, into);
        }
    }
}

fn fail(left: &mut Option<(usize, io::ErrorKind)>) -> io::Result<()> {
    match left {
        Some((count, kind)) if *count > 0 => {
            *count -= 1;
            Err((*kind).into())
        }
        Some(_) | None => Ok(()),
    }
}

/// How often one turn receives, and when a socket is asked again that does not become ready.
const RECVS: usize = 4;
const RETRY: Duration = Duration::from_millis(20);
/// How often the system is asked at least for what it learns by ICMP.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LOOK: Duration = Duration::from_millis(50);
