use std::{
    io,
    net::{SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use conec_core::{Datagram, Endpoint, Transmit, Unreachable};

use crate::{Udp, busy_poll::BusyPoll, unreachable};

/// Moves datagrams and time between a socket and an endpoint: all of a driver but waiting.
///
/// ```
/// use std::{io, net::UdpSocket, thread, time::{Duration, Instant}};
/// use conec_core::*;
/// use conec_udp::{Pump, Socket};
///
/// let config = CoordinatorConfig::new(Certificate::self_signed(["localhost"])?);
/// let mut coordinator = Coordinator::new(config, Identity::generate_seed()?)?;
/// let (mut socket, udp) = Socket::bind(([127, 0, 0, 1], 0).into())?.into_parts();
/// let mut pump = Pump::new(udp);
///
/// coordinator.close(Instant::now(), Duration::from_secs(5));
/// while !coordinator.is_finished() {
///     pump.turn(Instant::now(), &mut socket, &mut coordinator);
///     while let Some(event) = coordinator.poll_event() {
///         println!("{event:?}");
///     }
///     // Not all drivers have to ask again and again: one that can wait for the socket waits until then, or until the
///     // socket is ready.
///     let due = pump.due(coordinator.poll_timeout());
///     thread::sleep(Duration::from_millis(1));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pump {
    udp: Udp,
    received: Vec<Datagram>,
    unreachable: Vec<(SocketAddr, Unreachable)>,
    /// What the socket did not take yet.
    blocked: Option<Transmit>,
    /// How often receiving has failed in a row.
    failures: u32,
    /// When the last turn was, and whether it left something to receive.
    last: Option<Instant>,
    more: bool,
    busy: BusyPoll,
}

/// A socket as its event loop sees it. [`WouldBlock`](io::ErrorKind::WouldBlock) says that the loop will call when the
/// socket is ready.
pub trait Io {
    /// Receives as [`Udp::recv`] does.
    fn recv(&mut self, udp: &mut Udp, into: &mut Vec<Datagram>) -> io::Result<()>;

    /// Sends as [`Udp::send`] does.
    fn send(&mut self, udp: &Udp, transmit: &Transmit) -> io::Result<()>;

    /// Asks as [`Udp::recv_unreachable`] does, whether the socket is ready or not.
    fn recv_unreachable(
        &mut self,
        udp: &mut Udp,
        wanted: bool,
        into: &mut Vec<(SocketAddr, Unreachable)>,
    );
}

/// For loops that ask again and again.
impl Io for UdpSocket {
    fn recv(&mut self, udp: &mut Udp, into: &mut Vec<Datagram>) -> io::Result<()> {
        udp.recv(&*self, into)
    }

    fn send(&mut self, udp: &Udp, transmit: &Transmit) -> io::Result<()> {
        udp.send(&*self, transmit)
    }

    fn recv_unreachable(
        &mut self,
        udp: &mut Udp,
        wanted: bool,
        into: &mut Vec<(SocketAddr, Unreachable)>,
    ) {
        udp.recv_unreachable(&*self, wanted, into);
    }
}

/// Where a driver finds its endpoint: in itself, or behind a lock.
pub trait Access {
    /// Does something to the endpoint.
    fn with<T>(&mut self, f: impl FnOnce(&mut dyn Endpoint) -> T) -> T;

    /// Takes note of what the endpoint has to tell, if that is not left to the application.
    fn settle(&mut self);
}

impl<E: Endpoint> Access for E {
    fn with<T>(&mut self, f: impl FnOnce(&mut dyn Endpoint) -> T) -> T {
        f(self)
    }

    fn settle(&mut self) {}
}

impl Pump {
    /// A pump that has moved nothing yet.
    pub fn new(udp: Udp) -> Self {
        Self {
            udp,
            received: Vec::new(),
            unreachable: Vec::new(),
            blocked: None,
            failures: 0,
            last: None,
            more: false,
            busy: BusyPoll::new(),
        }
    }

    /// Receives, does what is due, sends, and reports the machine's addresses when they are wanted: as much of it as
    /// is fair to others in the same loop.
    ///
    /// To be called when the socket is ready, and when it is [due](Self::due).
    ///
    /// While it waits [awake](Endpoint::busy_poll), a turn that finds nothing to do yields the processor to other threads.
    ///
    /// Errors of the socket are counted in [`EndpointStats`](conec_core::EndpointStats) and otherwise as good as loss: a
    /// socket that fails for good is one that nothing arrives at, so that the endpoint ends by its timeouts.
    pub fn turn(&mut self, now: Instant, io: &mut impl Io, endpoint: &mut impl Access) {
        self.last = Some(now);
        let wants_unreachable = endpoint.with(|endpoint| {
            self.udp.take_back(endpoint);
            endpoint.wants_unreachable()
        });
        if wants_unreachable || self.udp.learns_unreachable() {
            io.recv_unreachable(&mut self.udp, wants_unreachable, &mut self.unreachable);
        }
        let errors = self.recv(io);
        let received = self.received_bytes();
        endpoint.with(|endpoint| {
            for datagram in self.received.drain(..) {
                endpoint.handle_datagram(now, datagram);
            }
            for _ in 0..errors {
                endpoint.handle_socket_error();
            }
            for (destination, reason) in self.unreachable.drain(..) {
                endpoint.handle_unreachable(now, destination, reason);
            }
            if endpoint.poll_timeout().is_some_and(|at| at <= now) {
                endpoint.handle_timeout(now);
            }
        });
        endpoint.settle();
        let sent = self.send(now, io, endpoint);
        let (busy_poll, wants_addresses) =
            endpoint.with(|endpoint| (endpoint.busy_poll(), endpoint.wants_host_addresses()));
        if wants_addresses {
            self.report_addresses(now, endpoint);
        }
        // Sending makes room.
        endpoint.settle();
        self.busy.handle_turn(now, busy_poll, received, sent);
        if self.busy.is_active() && received + sent == 0 {
            // Whoever is to send what is waited for may need this very processor.
            thread::yield_now();
        }
    }

    /// When the next turn is due, unless the socket is ready before; a time that has passed says at once.
    ///
    /// `timeout` is the endpoint's [`poll_timeout`](Endpoint::poll_timeout), after events were taken from it and commands
    /// given to it.
    pub fn due(&self, timeout: Option<Instant>) -> Option<Instant> {
        let Some(last) = self.last.filter(|_| !self.more) else {
            // At once.
            return self.last.or(timeout);
        };
        let retry = Some(last + RETRY);
        if self.is_blocked() {
            // As long as there is something to send, the endpoint wants to be heard all the time.
            timeout.filter(|&at| at > last).or(retry).min(retry)
        } else if self.failures >= MAX_FAILURES {
            timeout.or(retry).min(retry)
        } else if self.busy.is_active() {
            Some(last)
        } else if self.udp.learns_unreachable() {
            // Not all event loops notice it by themselves.
            let look = Some(last + LOOK);
            timeout.or(look).min(look)
        } else {
            timeout
        }
    }

    /// Whether something waits that the socket has not taken yet.
    pub fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    fn report_addresses(&self, now: Instant, endpoint: &mut impl Access) {
        match self.udp.host_addresses() {
            Ok(addresses) => {
                endpoint.with(|endpoint| endpoint.handle_host_addresses(now, &addresses));
            }
            // It goes on with those that it knows of, and will ask again.
            Err(error) => tracing::debug!(%error, "the machine's addresses are not to be had"),
        }
    }

    /// Receives until nothing more is there, or others want to be served; how often it failed.
    fn recv(&mut self, io: &mut impl Io) -> u32 {
        let mut errors = 0;
        self.more = false;
        for _ in 0..RECVS {
            if self.received_bytes() >= RECV_BYTES {
                break;
            }
            match io.recv(&mut self.udp, &mut self.received) {
                Ok(()) => self.failures = 0,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.failures = 0;
                    return errors;
                }
                // Some systems tell here that an earlier datagram was not welcome where it went.
                Err(error) => {
                    tracing::trace!(%error, "receiving failed");
                    errors += 1;
                    self.failures = self.failures.saturating_add(1);
                    if self.failures >= MAX_FAILURES {
                        return errors;
                    }
                }
            }
        }
        self.more = true;
        errors
    }

    fn received_bytes(&self) -> usize {
        let sizes = self.received.iter().map(|datagram| datagram.payload.len());
        sizes.sum()
    }

    /// Sends as much as is fair; how many bytes.
    fn send(&mut self, now: Instant, io: &mut impl Io, endpoint: &mut impl Access) -> usize {
        let mut sent = 0;
        for _ in 0..SENDS {
            let max_segments = self.udp.max_segments();
            let next = self
                .blocked
                .take()
                .or_else(|| endpoint.with(|endpoint| endpoint.poll_transmit(now, max_segments)));
            let Some(transmit) = next else {
                return sent;
            };
            match io.send(&self.udp, &transmit) {
                Ok(()) => sent += transmit.payload.len(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = Some(transmit);
                    return sent;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.blocked = Some(transmit);
                }
                Err(error) => {
                    tracing::trace!(%error, to = %transmit.destination, "sending failed");
                    let reason = unreachable::of_send_error(&error);
                    endpoint.with(|endpoint| {
                        endpoint.handle_socket_error();
                        if let Some(reason) = reason {
                            endpoint.handle_unreachable(now, transmit.destination, reason);
                        }
                    });
                }
            }
        }
        sent
    }
}

/// How often one turn receives and sends.
const RECVS: usize = 4;
/// After so much has been received in a turn it is dealt with, as long as it is in the processor's cache; and the other
/// side hears of it before it has to stop.
const RECV_BYTES: usize = 256 << 10;
const SENDS: usize = 16;
/// A socket that fails so often in a row is asked no more than every so often, as is one that does not become ready.
const MAX_FAILURES: u32 = 16;
const RETRY: Duration = Duration::from_millis(20);
/// How often the system is asked at least for what it learns by ICMP, while that is wanted.
const LOOK: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use bytes::{Bytes, BytesMut};
    use conec_core::{
        ChannelEvent, ChannelId, Client, ClientConfig, ClientEvent, CloseReason, Identity, KeyPin,
        Trust,
    };

    use super::*;
    use crate::Socket;

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
        let (socket, udp) = Socket::any().unwrap().into_parts();
        scene.pump = Pump::new(udp);
        scene.io.socket = Some(socket);
        scene.io.rejects = true;
        assert_eq!(scene.turn(), Some(LOOK));
        let (told, took) = scene.end();
        assert_eq!(told, CloseReason::Unreachable(Unreachable::Port));
        assert_eq!(took, Duration::from_millis(600) + LOOK);
        scene.turn();
        assert!(!scene.pump.udp.learns_unreachable());
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
            let pin = Trust::Pin("00".repeat(32).parse::<KeyPin>().unwrap());
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
        rejected: Vec<(SocketAddr, Unreachable)>,
        /// Which can be asked what the system has learned.
        socket: Option<UdpSocket>,
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

        fn recv_unreachable(
            &mut self,
            udp: &mut Udp,
            wanted: bool,
            into: &mut Vec<(SocketAddr, Unreachable)>,
        ) {
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
}
