//! One trace of a socket, through each adapter: what came and what was sent while two Clients talked, call by call.
//!
//! TLS makes each run of an endpoint another one, so the endpoint that hears the trace is a player, which says what the
//! recorded one said at that point, and sleeps where that one slept. Everything below it is real: loop, task or thread,
//! locks and pump. Whatever an adapter lost, repeated, reordered or changed on the way would show.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use conec_core::{
    Channel, ChannelEvent, ChannelId, Client, ClientEvent, Datagram, Ecn, Endpoint, EndpointStats,
    GroupEvent, GroupId, Identity, PathStats, PeerInfo, TimeoutCause, Transmit, Unreachable,
    testing::Sealed,
};
use conec_driver::{Socket, Tap, testing::driver};
use conec_mio::{Driver, blocking};
use mio::{Poll, Token};

use crate::{
    Kind, client_config, coordinators,
    coordinators::Running,
    handles::{self, Turn},
    scripts, start_bob, within,
};

#[test]
fn one_trace_gives_the_same_events_with_each_adapter() {
    within(|| {
        let trace = Arc::new(record());
        let count = |f: fn(&Step) -> bool| trace.iter().filter(|&step| f(step)).count();
        let received = count(|step| matches!(step, Step::Received(_)));
        assert!(received > 50 && count(|step| matches!(step, Step::Sent(_))) > 50);
        assert!(count(|step| matches!(step, Step::Slept)) > 0);
        for faulty in [false, true] {
            for kind in [Kind::Tokio, Kind::Mio, Kind::Blocking] {
                let what = format!("{kind:?}, faulty: {faulty}");
                let heard = play(kind, &trace, faulty);
                assert_eq!(heard.seen.len(), trace.len(), "{what}");
                for (at, (seen, step)) in heard.seen.iter().zip(&*trace).enumerate() {
                    assert!(seen == step, "{what}: step {at} is {seen:?}, not {step:?}");
                }
                assert!(heard.events.into_iter().eq(0..received), "{what}");
                // What the system refuses is lost, and nothing else is.
                let sent = trace.iter().filter_map(|step| match step {
                    Step::Sent(batch) => Some(batch),
                    Step::Received(_) | Step::Slept => None,
                });
                let sent = sent.enumerate();
                let kept = sent.filter(|(at, _)| !(faulty && is_refused(*at)));
                assert!(heard.wire.iter().eq(kept.map(|(_, batch)| batch)), "{what}");
                assert_eq!(heard.errors, heard.refused, "{what}");
                assert_eq!(heard.refused > 0, faulty, "{what}");
            }
        }
    });
}

/// What a driver and its endpoint have to do with each other.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Received(Piece),
    Sent(Piece),
    /// Until a timeout.
    Slept,
}

/// A batch of datagrams, either way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    peer: SocketAddr,
    own_ip: Option<IpAddr>,
    ecn: Option<Ecn>,
    segment_size: Option<usize>,
    payload: Bytes,
}

impl From<&Datagram> for Piece {
    fn from(datagram: &Datagram) -> Self {
        Self {
            peer: datagram.source,
            own_ip: datagram.destination_ip,
            ecn: datagram.ecn,
            segment_size: Some(datagram.segment_size),
            payload: Bytes::copy_from_slice(&datagram.payload),
        }
    }
}

impl From<&Transmit> for Piece {
    fn from(transmit: &Transmit) -> Self {
        Self {
            peer: transmit.destination,
            own_ip: transmit.source_ip,
            ecn: transmit.ecn,
            segment_size: transmit.segment_size,
            payload: transmit.payload.clone(),
        }
    }
}

impl Piece {
    fn to_datagram(&self) -> Datagram {
        Datagram {
            source: self.peer,
            destination_ip: self.own_ip,
            second_port: false,
            ecn: self.ecn,
            segment_size: self.segment_size.unwrap(),
            payload: self.payload[..].into(),
        }
    }

    fn to_transmit(&self) -> Transmit {
        Transmit {
            destination: self.peer,
            source_ip: self.own_ip,
            ecn: self.ecn,
            segment_size: self.segment_size,
            payload: self.payload.clone(),
        }
    }
}

/// A Client's part in a talk through a Coordinator, from its first packet to its last.
fn record() -> Vec<Step> {
    let coordinator = Running::start(Kind::Blocking);
    let (address, pin) = (coordinator.address, coordinator.pin);
    let (bob, bobs_id) = start_bob(address, pin);
    let seed = Identity::generate_seed().unwrap();
    let mut client = Client::new(client_config(pin), seed).unwrap();
    let now = Instant::now();
    client.connect(now, "localhost", &[address]).unwrap();
    let steps = Arc::new(Mutex::new(Vec::new()));
    let recorder = Recorder {
        client,
        steps: Arc::clone(&steps),
        now,
    };
    let poll = Poll::new().unwrap();
    let socket = Socket::any().unwrap();
    let driver = Driver::new(recorder, socket, poll.registry(), Token(0)).unwrap();
    let alice = handles::Client::connect(Recording { driver, poll });
    scripts::looped::alice(alice, bobs_id);
    bob.join().unwrap();
    coordinator.close();
    std::mem::take(&mut *steps.lock().unwrap())
}

struct Recording {
    driver: Driver<Recorder>,
    poll: Poll,
}

impl Turn for Recording {
    fn client(&mut self) -> &mut Client {
        &mut self.driver.endpoint_mut().client
    }

    fn turn(&mut self) {
        handles::turn(&mut self.driver, &mut self.poll);
    }
}

/// A Client, and what it and its driver have to do with each other.
struct Recorder {
    client: Client,
    steps: Arc<Mutex<Vec<Step>>>,
    now: Instant,
}

impl Recorder {
    fn record(&self, step: Step) {
        let mut steps = self.steps.lock().unwrap();
        // Sleeping on is sleeping.
        if step != Step::Slept || steps.last() != Some(&Step::Slept) {
            steps.push(step);
        }
    }
}

impl Sealed for Recorder {}

impl Endpoint for Recorder {
    type Event = ClientEvent;

    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        self.now = now;
        self.record(Step::Received((&datagram).into()));
        self.client.handle_datagram(now, datagram);
    }

    fn take_buffer(&mut self) -> Option<BytesMut> {
        self.client.take_buffer()
    }

    fn handle_timeout(&mut self, now: Instant) {
        // Otherwise there is something to send.
        if self.client.poll_timeout().is_some_and(|at| at > self.now) {
            self.record(Step::Slept);
        }
        self.now = now;
        self.client.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Instant, max_segments: NonZeroUsize) -> Option<Transmit> {
        self.now = now;
        let transmit = self.client.poll_transmit(now, max_segments)?;
        self.record(Step::Sent((&transmit).into()));
        Some(transmit)
    }

    fn handle_socket_error(&mut self) {
        self.client.handle_socket_error();
    }

    fn handle_unreachable(&mut self, now: Instant, destination: SocketAddr, reason: Unreachable) {
        self.client.handle_unreachable(now, destination, reason);
    }

    fn wants_unreachable(&self) -> bool {
        self.client.wants_unreachable()
    }

    fn wants_host_addresses(&mut self) -> bool {
        self.client.wants_host_addresses()
    }

    fn handle_host_addresses(&mut self, now: Instant, addresses: &[SocketAddr]) {
        self.client.handle_host_addresses(now, addresses);
    }

    fn poll_event(&mut self) -> Option<ClientEvent> {
        self.client.poll_event()
    }

    fn poll_channel_event(&mut self) -> Option<(ChannelId, ChannelEvent)> {
        self.client.poll_channel_event()
    }

    fn poll_group_event(&mut self) -> Option<(GroupId, GroupEvent)> {
        self.client.poll_group_event()
    }

    fn has_application_events(&self) -> bool {
        self.client.has_application_events()
    }

    fn state_changed(&mut self) -> bool {
        self.client.state_changed()
    }

    fn poll_timeout_cause(&self) -> Option<(Instant, TimeoutCause)> {
        self.client.poll_timeout_cause()
    }

    fn poll_wakeup(&self) -> Option<Instant> {
        self.client.poll_wakeup()
    }

    fn channel(&mut self, id: ChannelId) -> Option<Channel<'_>> {
        self.client.channel(id)
    }

    fn channel_event(event: ClientEvent) -> Result<(ChannelId, ChannelEvent), ClientEvent> {
        Client::channel_event(event)
    }

    fn close(&mut self, now: Instant, patience: Duration) {
        self.client.close(now, patience);
    }

    fn is_finished(&self) -> bool {
        self.client.is_finished()
    }

    fn stats(&self) -> EndpointStats {
        self.client.stats()
    }

    fn peer(&self, id: ChannelId) -> Option<PeerInfo> {
        self.client.peer(id)
    }

    fn path_stats(&self, id: ChannelId) -> Option<PathStats> {
        self.client.path_stats(id)
    }
}

/// Lets an adapter drive a player through a trace.
fn play(kind: Kind, trace: &Arc<Vec<Step>>, faulty: bool) -> Heard {
    let socket = Socket::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let script = Arc::new(Mutex::new(Script {
        trace: Arc::clone(trace),
        faulty,
        bell: UdpSocket::bind("127.0.0.1:0").unwrap(),
        door: socket.local_addr().unwrap(),
        fed: 0,
        done: 0,
        received: 0,
        sent: 0,
        began: Instant::now(),
        asleep_since: None,
        had: BTreeSet::new(),
        heard: Heard::default(),
    }));
    let player = Player {
        script: Arc::clone(&script),
        told: 0,
    };
    let socket = socket.tapped(Arc::new(System(Arc::clone(&script))));
    match kind {
        Kind::Tokio => coordinators::runtime().block_on(async {
            let (driver, sockets) = driver(player, socket, Instant::now);
            conec_tokio::drive(driver, sockets).unwrap().await;
        }),
        Kind::Blocking => {
            let (driver, sockets) = driver(player, socket, Instant::now);
            blocking::drive(driver, sockets).unwrap();
            while !script.lock().unwrap().is_over() {
                thread::sleep(Duration::from_millis(1));
            }
        }
        Kind::Mio | Kind::Custom => {
            let mut poll = Poll::new().unwrap();
            let mut driver = Driver::new(player, socket, poll.registry(), Token(0)).unwrap();
            while !driver.is_finished() {
                handles::turn(&mut driver, &mut poll);
                while let Some(event) = driver.poll_event() {
                    script.lock().unwrap().heard.events.push(event);
                }
            }
        }
    }
    std::mem::take(&mut script.lock().unwrap().heard)
}

/// What came of a trace.
#[derive(Debug, Default)]
struct Heard {
    /// What the endpoint has seen and said, in its order.
    seen: Vec<Step>,
    /// Numbers of batches received, as the application has heard of them.
    events: Vec<usize>,
    /// What the system has taken.
    wire: Vec<Piece>,
    /// Errors that the system has made, and that the endpoint was told of.
    refused: usize,
    errors: usize,
}

/// Where in the trace everybody is.
struct Script {
    trace: Arc<Vec<Step>>,
    faulty: bool,
    /// Makes the socket readable.
    bell: UdpSocket,
    door: SocketAddr,
    /// How many steps the system has brought, or seen done.
    fed: usize,
    /// How many steps the endpoint has done.
    done: usize,
    /// How many batches the endpoint has been given, and the system has.
    received: usize,
    sent: usize,
    began: Instant,
    asleep_since: Option<Instant>,
    /// Faults that were had already.
    had: BTreeSet<Fault>,
    heard: Heard,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// A batch is not received at once, or not sent.
    RecvInterrupted(usize),
    RecvRefused(usize),
    SendInterrupted(usize),
    SendBlocked(usize),
}

impl Script {
    /// The next step that the system has to do with, if the endpoint has done what comes before.
    fn next(&self) -> Option<&Step> {
        self.trace.get(self.fed)
    }

    /// The endpoint has done its next step.
    fn advance(&mut self, step: Step) {
        self.heard.seen.push(step);
        self.done += 1;
        if self.trace.get(self.done) == Some(&Step::Slept) {
            self.asleep_since = Some(Instant::now());
        }
    }

    /// Something was sent, or slept through.
    fn go_on(&mut self) {
        self.fed += 1;
        if let Some(Step::Received(_)) = self.next() {
            self.bell.send_to(b"ring", self.door).unwrap();
        }
    }

    fn has(&mut self, fault: Fault, every: usize, at: usize) -> bool {
        self.faulty && at % every == every - 1 && self.had.insert(fault)
    }

    fn is_over(&self) -> bool {
        self.done == self.trace.len() && self.fed == self.trace.len()
    }
}

/// Whether the system refuses to send the batch of this number.
fn is_refused(number: usize) -> bool {
    number % 17 == 16
}

/// What the system does.
struct System(Arc<Mutex<Script>>);

impl Tap for System {
    fn recv(&self, into: &mut Vec<Datagram>) -> Option<io::Result<()>> {
        let mut script = self.0.lock().unwrap();
        let at = script.fed;
        if script.has(Fault::RecvInterrupted(at), 7, at) {
            return Some(Err(io::ErrorKind::Interrupted.into()));
        }
        if script.has(Fault::RecvRefused(at), 11, at) {
            script.heard.refused += 1;
            return Some(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        // Up to three batches with one call.
        let before = into.len();
        while into.len() < before + 3
            && let Some(Step::Received(piece)) = script.next()
        {
            into.push(piece.to_datagram());
            script.fed += 1;
        }
        if into.len() == before {
            return Some(Err(io::ErrorKind::WouldBlock.into()));
        }
        Some(Ok(()))
    }

    fn send(&self, transmit: &Transmit) -> Option<io::Result<()>> {
        let mut script = self.0.lock().unwrap();
        let at = script.sent;
        if script.has(Fault::SendInterrupted(at), 13, at) {
            return Some(Err(io::ErrorKind::Interrupted.into()));
        }
        if script.has(Fault::SendBlocked(at), 5, at) {
            return Some(Err(io::ErrorKind::WouldBlock.into()));
        }
        script.sent += 1;
        let refused = script.faulty && is_refused(at);
        if refused {
            script.heard.refused += 1;
        } else {
            script.heard.wire.push(transmit.into());
        }
        script.go_on();
        Some(match refused {
            true => Err(io::ErrorKind::PermissionDenied.into()),
            false => Ok(()),
        })
    }

    fn max_segments(&self, _: NonZeroUsize) -> NonZeroUsize {
        NonZeroUsize::MIN
    }
}

/// Says what the recorded endpoint said.
struct Player {
    script: Arc<Mutex<Script>>,
    /// How many events the application has heard.
    told: usize,
}

impl Player {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }
}

impl Sealed for Player {}

impl Endpoint for Player {
    /// The number of a batch that was received.
    type Event = usize;

    fn handle_datagram(&mut self, _: Instant, datagram: Datagram) {
        let mut script = self.script();
        script.received += 1;
        script.advance(Step::Received((&datagram).into()));
    }

    fn take_buffer(&mut self) -> Option<BytesMut> {
        None
    }

    fn handle_timeout(&mut self, now: Instant) {
        let mut script = self.script();
        if script.asleep_since.is_some_and(|since| now >= since + NAP) {
            script.asleep_since = None;
            script.advance(Step::Slept);
            script.go_on();
        }
    }

    fn handle_socket_error(&mut self) {
        self.script().heard.errors += 1;
    }

    fn handle_unreachable(&mut self, _: Instant, _: SocketAddr, _: Unreachable) {}

    fn wants_unreachable(&self) -> bool {
        false
    }

    fn wants_host_addresses(&mut self) -> bool {
        false
    }

    fn handle_host_addresses(&mut self, _: Instant, _: &[SocketAddr]) {}

    fn poll_event(&mut self) -> Option<usize> {
        let (next, received) = (self.told, self.script().received);
        (next < received).then(|| {
            self.told += 1;
            next
        })
    }

    /// Drivers with handles take these after whatever was done: everything is heard in time then.
    fn poll_channel_event(&mut self) -> Option<(ChannelId, ChannelEvent)> {
        while let Some(event) = self.poll_event() {
            self.script().heard.events.push(event);
        }
        None
    }

    fn poll_group_event(&mut self) -> Option<(GroupId, GroupEvent)> {
        None
    }

    fn has_application_events(&self) -> bool {
        false
    }

    fn state_changed(&mut self) -> bool {
        false
    }

    fn poll_transmit(&mut self, _: Instant, _: NonZeroUsize) -> Option<Transmit> {
        let mut script = self.script();
        let Some(Step::Sent(piece)) = script.trace.get(script.done) else {
            return None;
        };
        let piece = piece.clone();
        let transmit = piece.to_transmit();
        script.advance(Step::Sent(piece));
        Some(transmit)
    }

    fn poll_timeout_cause(&self) -> Option<(Instant, TimeoutCause)> {
        let script = self.script();
        match script.trace.get(script.done)? {
            Step::Sent(_) => Some((script.began, TimeoutCause::Output)),
            Step::Slept => Some((script.asleep_since? + NAP, TimeoutCause::Connection)),
            Step::Received(_) => None,
        }
    }

    fn poll_wakeup(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn channel(&mut self, _: ChannelId) -> Option<Channel<'_>> {
        None
    }

    fn channel_event(event: usize) -> Result<(ChannelId, ChannelEvent), usize> {
        Err(event)
    }

    fn close(&mut self, _: Instant, _: Duration) {}

    fn is_finished(&self) -> bool {
        self.script().is_over()
    }

    fn stats(&self) -> EndpointStats {
        EndpointStats::default()
    }

    fn peer(&self, _: ChannelId) -> Option<PeerInfo> {
        None
    }

    fn path_stats(&self, _: ChannelId) -> Option<PathStats> {
        None
    }
}

const NAP: Duration = Duration::from_millis(2);
