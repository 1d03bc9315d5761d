//! A Coordinator and two Clients in a network without delay, each behind a hub. Who waits is known by a number.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]
#![expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]

use std::{
    collections::VecDeque,
    net::SocketAddr,
    num::NonZeroUsize,
    task::Poll,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    Certificate, ChannelEvent, Client, ClientConfig, Code, Coordinator, CoordinatorConfig,
    Datagram, Direction, ErrorCode, Identity, RecvEnd, SendEnd, Transmit, Trust,
};

#[test]
fn who_waits_is_woken_once_and_for_what_it_waits() {
    let mut world = World::new();
    let (at_alice, at_bob) = world.channel();
    let mut stream = Ticket::default();
    let mut datagram = Ticket::default();
    let waits = world
        .bob
        .attempt(&mut stream, || 1, |hub| hub.accept_stream(at_bob));
    assert_eq!(waits, Poll::Pending);
    let waits = world
        .bob
        .attempt(&mut datagram, || 2, |hub| hub.recv_datagram(at_bob));
    assert_eq!(waits, Poll::Pending);
    assert_eq!(world.run(), []);

    let sender = done(world.alice.open_stream(at_alice, Direction::Uni, b"hello")).unwrap();
    assert_eq!(world.run(), [1]);
    let again = world
        .bob
        .attempt(&mut stream, || 1, |hub| hub.accept_stream(at_bob));
    let Poll::Ready(Some((receiver, label))) = again else {
        panic!("{again:?}");
    };
    assert_eq!(label, "hello");

    // Waiting twice with one ticket is waiting once, for what was waited for last.
    let mut ticket = Ticket::default();
    for waiter in [3, 4] {
        let waits = world
            .bob
            .attempt(&mut ticket, || waiter, |hub| hub.recv(receiver));
        assert_eq!(waits, Poll::Pending);
    }
    assert_eq!(done(world.alice.send(sender, "one".into())), Ok(()));
    assert_eq!(world.run(), [4]);
    // Who has given up is not woken.
    let waits = world
        .bob
        .attempt(&mut ticket, || 5, |hub| hub.closed(at_bob));
    assert_eq!(waits, Poll::Pending);
    assert!(ticket.is_waiting());
    world.bob.leave(&mut ticket);
    world.alice.abort_channel(world.now, at_alice, Code(1));
    // The one who waits for a datagram waits in vain.
    assert_eq!(world.run(), [2]);
    let last = world
        .bob
        .attempt(&mut datagram, || 2, |hub| hub.recv_datagram(at_bob));
    assert_eq!(last, Poll::Ready(None));
    assert!(!datagram.is_waiting());
}

#[test]
fn how_a_stream_ended_is_known_as_long_as_it_is_held() {
    let mut world = World::new();
    let (at_alice, at_bob) = world.channel();
    let sender = done(world.alice.open_stream(at_alice, Direction::Bi, b"")).unwrap();
    world.run();
    let (receiver, _) = done(world.bob.accept_stream(at_bob)).unwrap();
    assert_eq!(world.bob.try_recv(receiver), Err(TryRecvError::Blocked));
    assert_eq!(world.alice.try_send(sender, "only".into()), Ok(()));
    assert_eq!(world.alice.finish(sender), Ok(()));
    assert_eq!(world.alice.finish(sender), Err(SendError::Finished));
    world.run();
    for _ in 0..2 {
        assert_eq!(done(world.alice.send_end(sender)), SendEnd::Finished);
    }
    assert_eq!(world.bob.try_recv(receiver), Ok(Some("only".into())));
    world.run();
    for _ in 0..2 {
        assert_eq!(world.bob.try_recv(receiver), Ok(None));
        assert_eq!(done(world.bob.recv_next(receiver)), None);
    }
    // The way back.
    world.bob.reset(receiver, Code(3));
    world.run();
    let failed = RecvEnd::Reset(Code(3));
    assert_eq!(done(world.alice.recv_next(sender)), Some(Err(failed)));
    assert_eq!(done(world.alice.recv_next(sender)), None);
    assert_eq!(done(world.alice.recv(sender)), Err(failed));
    let ended = SendError::Ended(SendEnd::Reset);
    assert_eq!(world.bob.try_send(receiver, "late".into()), Err(ended));
    // Released, and asked nevertheless.
    world.alice.release_sender(world.now, sender);
    world.alice.release_receiver(world.now, sender);
    let gone = SendEnd::Closed(CloseReason::Local);
    assert_eq!(done(world.alice.send_end(sender)), gone);
    assert_eq!(done(world.alice.recv_next(sender)), None);
    assert_eq!(world.alice.sending.len() + world.alice.receiving.len(), 0);
}

#[test]
fn what_nobody_holds_is_closed() {
    let mut world = World::new();
    let (at_alice, at_bob) = world.channel();
    let sender = done(world.alice.open_stream(at_alice, Direction::Uni, b"")).unwrap();
    let early = done(
        world
            .bob
            .open_stream(at_bob, Direction::Uni, b"never accepted"),
    )
    .unwrap();
    world.run();
    let (receiver, _) = done(world.bob.accept_stream(at_bob)).unwrap();
    // The sender alone keeps the channel, and the channel's handle was the application's.
    world.alice.release(world.now, Some(at_alice));
    world.run();
    assert!(world.bob.closed(at_bob).done().is_none());
    world.alice.release_sender(world.now, sender);
    world.run();
    let dropped = SendEnd::Refused(ErrorCode::Dropped);
    assert_eq!(done(world.bob.send_end(early)), dropped);
    let dropped = RecvEnd::Refused(ErrorCode::Dropped);
    assert_eq!(done(world.bob.recv(receiver)), Err(dropped));
    assert_eq!(
        done(world.bob.closed(at_bob)),
        CloseReason::Remote(ErrorCode::None)
    );
    // Known until nobody asks any more.
    world.bob.release_receiver(world.now, receiver);
    world.bob.release_sender(world.now, early);
    assert!(world.bob.channels.contains_key(&at_bob));
    world.bob.release(world.now, Some(at_bob));
    assert_eq!(world.bob.channels.len(), 1, "only home");

    // The home channel was the last that anybody held.
    world.bob.set_driver(9);
    world.bob.release(world.now, Some(ChannelId::HOME));
    assert_eq!(world.run(), [9]);
    assert!(world.bob.is_finished());
}

#[test]
fn a_flood_of_empty_streams_leaves_little_behind() {
    let mut world = World::new();
    let (at_alice, at_bob) = world.channel();
    for _ in 0..100 {
        for _ in 0..32 {
            let id = done(world.alice.open_stream(at_alice, Direction::Uni, b"")).unwrap();
            world.alice.finish(id).unwrap();
            world.alice.release_sender(world.now, id);
        }
        world.run();
    }
    let waiting = world.bob.receiving.len();
    assert!((1000..1100).contains(&waiting), "{waiting} of 3200");
    // Those that are there are clean ends, in order.
    for _ in 0..waiting {
        let (id, _) = done(world.bob.accept_stream(at_bob)).unwrap();
        assert_eq!(done(world.bob.recv(id)), Ok(None));
        world.bob.release_receiver(world.now, id);
    }
    assert!(world.bob.accept_stream(at_bob).done().is_none());
}

#[test]
fn offers_that_were_withdrawn_are_not_given_out() {
    let mut world = World::new();
    let bob = world.bob.endpoint().id();
    let opened = world.alice.open_channel(world.now, bob, b"", None).unwrap();
    world.run();
    assert_eq!(world.bob.offers.len(), 1);
    world.alice.release(world.now, Some(opened));
    world.run();
    assert!(world.bob.next_offer().done().is_none());
    assert_eq!(world.bob.channels.len(), 1, "only home");
}

#[test]
fn events_that_nobody_takes_are_dropped_and_counted() {
    let mut world = World::new();
    let home = world.coordinator.endpoint().find(world.bob.endpoint().id());
    let closed = || ChannelEvent::Closed {
        reason: CloseReason::Local,
    };
    let taken = world.coordinator.events.len();
    for _ in 0..(1 << 16) + 10 - taken {
        let channel = home.unwrap();
        let event = closed();
        world
            .coordinator
            .tell(CoordinatorEvent::Channel { channel, event });
    }
    assert_eq!(world.coordinator.missed_events(), 10);
    let mut left = 0;
    while world.coordinator.next_event().done().is_some() {
        left += 1;
    }
    assert_eq!(left, 1 << 16);
}

#[test]
fn without_a_driver_nobody_waits() {
    let mut world = World::new();
    let (at_alice, at_bob) = world.channel();
    let sender = done(world.alice.open_stream(at_alice, Direction::Bi, b"")).unwrap();
    world.run();
    let mut tickets: [Ticket; 5] = Default::default();
    let hub = &mut world.alice;
    let [a, b, c, d, e] = &mut tickets;
    assert!(hub.attempt(a, || 1, |hub| hub.recv(sender)).is_pending());
    assert!(
        hub.attempt(b, || 2, |hub| hub.send_end(sender))
            .is_pending()
    );
    assert!(
        hub.attempt(c, || 3, |hub| hub.closed(at_alice))
            .is_pending()
    );
    assert!(hub.attempt(d, || 4, |hub| hub.next_offer()).is_pending());
    assert!(hub.attempt(e, || 5, |hub| hub.ended()).is_pending());
    hub.end();
    let mut woken = hub.take_woken().into_iter().collect::<Vec<_>>();
    woken.sort_unstable();
    assert_eq!(woken, [1, 2, 3, 4, 5]);
    let reason = CloseReason::Local;
    assert_eq!(done(hub.recv(sender)), Err(RecvEnd::Closed(reason)));
    assert_eq!(done(hub.send_end(sender)), SendEnd::Closed(reason));
    assert_eq!(done(hub.closed(at_alice)), reason);
    assert_eq!(done(hub.next_offer()), None);
    done(hub.ended());
    let opened = hub.open_channel(world.now, world.bob.endpoint().id(), b"", None);
    assert_eq!(opened, Err(crate::OpenChannelError::NotConnected));
    assert!(world.bob.closed(at_bob).done().is_none());
}

/// At whatever moment: the other end may begin in the same one.
#[test]
fn a_channel_that_is_let_go_of_while_it_is_set_up_leaves_nothing() {
    for steps in 0..20 {
        let mut world = World::new();
        let bob = world.bob.endpoint().id();
        let opened = world.alice.open_channel(world.now, bob, b"", None).unwrap();
        world.run();
        let accepted = done(world.bob.next_offer()).unwrap();
        world.bob.accept_offer(world.now, accepted, None);
        for _ in 0..steps {
            world.step();
        }
        world.bob.release(world.now, Some(accepted));
        world.run();
        assert!(world.alice.closed(opened).done().is_some(), "{steps}");
        for client in [&mut world.alice, &mut world.bob] {
            client.close(world.now, PATIENCE);
        }
        for _ in 0..3 {
            world.run();
        }
        assert!(
            world.bob.is_finished() && world.alice.is_finished(),
            "{steps}"
        );
    }
}

struct World {
    now: Instant,
    coordinator: Hub<u32, Coordinator>,
    alice: Hub<u32, Client>,
    bob: Hub<u32, Client>,
    network: VecDeque<(SocketAddr, Transmit)>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let certificate = Certificate::self_signed(["localhost"]).unwrap();
        let client = || {
            let trust = Trust::Pin(certificate.pin());
            let config = ClientConfig::new(Identity::generate().unwrap(), trust);
            Hub::client(now, "localhost", &[address(0)], config).unwrap()
        };
        let (alice, bob) = (client(), client());
        let config = CoordinatorConfig::new(certificate);
        let mut world = Self {
            now,
            coordinator: Hub::coordinator(config).unwrap(),
            alice,
            bob,
            network: VecDeque::new(),
        };
        world.run();
        for client in [&world.alice, &world.bob] {
            assert_eq!(client.opened(ChannelId::HOME), Attempt::Done(Ok(())));
        }
        world
    }

    /// A channel from Alice to Bob.
    fn channel(&mut self) -> (ChannelId, ChannelId) {
        let bob = self.bob.endpoint().id();
        let opened = self.alice.open_channel(self.now, bob, b"", None).unwrap();
        self.run();
        let accepted = done(self.bob.next_offer()).unwrap();
        self.bob.accept_offer(self.now, accepted, None);
        self.run();
        assert_eq!(done(self.alice.opened(opened)), Ok(()));
        assert_eq!(done(self.bob.opened(accepted)), Ok(()));
        (opened, accepted)
    }

    /// Lets a second pass, and tells who was woken.
    fn run(&mut self) -> Vec<u32> {
        (0..1000).flat_map(|_| self.step()).collect()
    }

    /// Lets a millisecond pass: everybody has a turn.
    fn step(&mut self) -> Vec<u32> {
        let mut woken = Vec::new();
        self.now += Duration::from_millis(1);
        let network = &mut self.network;
        drive(&mut self.coordinator, 0, self.now, network, &mut woken);
        drive(&mut self.alice, 1, self.now, network, &mut woken);
        drive(&mut self.bob, 2, self.now, network, &mut woken);
        woken
    }
}

fn drive<E: Role>(
    hub: &mut Hub<u32, E>,
    number: u8,
    now: Instant,
    network: &mut VecDeque<(SocketAddr, Transmit)>,
    woken: &mut Vec<u32>,
) {
    for _ in 0..network.len() {
        let (source, transmit) = network.pop_front().unwrap();
        if transmit.destination != address(number) {
            network.push_back((source, transmit));
            continue;
        }
        let datagram = Datagram {
            source,
            destination_ip: None,
            ecn: transmit.ecn,
            segment_size: transmit.payload.len(),
            payload: transmit.payload[..].into(),
        };
        hub.endpoint_mut().handle_datagram(now, datagram);
    }
    hub.settle();
    if hub.endpoint().poll_timeout().is_some_and(|at| at <= now) {
        hub.endpoint_mut().handle_timeout(now);
    }
    while let Some(transmit) = hub.endpoint_mut().poll_transmit(now, NonZeroUsize::MIN) {
        network.push_back((address(number), transmit));
    }
    hub.settle();
    woken.extend(hub.take_woken());
}

fn address(number: u8) -> SocketAddr {
    ([192, 0, 2, number + 1], 4433).into()
}

fn done<T>(attempt: Attempt<T>) -> T {
    attempt.done().expect("takes no waiting")
}
