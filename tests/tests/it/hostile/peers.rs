//! The other end of a peer channel lies about who it is or which channel this is, or will not let go.

use conec_core::{ErrorCode, RecvError, Violation};
use conec_tests::raw::message::Offer;

use super::*;

/// Mallory asks for a channel to `victim`, and connects to it.
pub(super) fn initiate(scene: &mut Scene, home: &RawConn, victim: NodeId) -> (Offer, RawConn) {
    initiate_with(scene, home, victim, &Dial::peer(MALLORY))
}

fn initiate_with(
    scene: &mut Scene,
    home: &RawConn,
    victim: NodeId,
    dial: &Dial,
) -> (Offer, RawConn) {
    let offer = request(scene, home, victim);
    home.control(&message::accept(offer.own_route));
    scene.until("start", || home.next_of_kind(4));
    let (now, via) = (scene.world.now(), scene.coordinator_address());
    let conn = scene.raw.connect_peer(now, &offer, via, dial);
    scene.until("connected or refused", || {
        (conn.is_connected() || conn.end().is_some()).then_some(())
    });
    (offer, conn)
}

/// Mallory asks for a channel to `victim`.
fn request(scene: &mut Scene, home: &RawConn, victim: NodeId) -> Offer {
    let id = scene.world.client(victim).id();
    home.control(&message::open_by_id(7, id, b"test"));
    scene.until("offer", || home.next_offer())
}

/// The right binding message for a channel that Mallory has initiated.
fn right_bind(scene: &mut Scene, offer: &Offer, victim: NodeId) -> Vec<u8> {
    let id = scene.world.client(victim).id();
    message::bind(offer.channel, mallory_id(), id, b"test")
}

/// Binds a channel that Mallory has initiated, and waits until it is open.
pub(super) fn bind(scene: &mut Scene, offer: &Offer, conn: &RawConn, victim: NodeId) -> At {
    let bind = right_bind(scene, offer, victim);
    conn.control(&bind);
    scene.until("bound", || conn.next_of_kind(2));
    opened_or_closed(&mut scene.world, victim).expect("opens")
}

/// A victim and Mallory with an open channel.
pub(super) fn open(scene: &mut Scene) -> (At, RawConn) {
    open_with(scene, &Dial::peer(MALLORY))
}

pub(super) fn open_with(scene: &mut Scene, dial: &Dial) -> (At, RawConn) {
    let victim = scene.victim();
    let home = scene.log_in();
    let (offer, conn) = initiate_with(scene, &home, victim, dial);
    let at_victim = bind(scene, &offer, &conn, victim);
    (at_victim, conn)
}

/// `victim` asks for a channel to Mallory, who accepts it with this key.
fn be_called(
    scene: &mut Scene,
    home: &RawConn,
    victim: NodeId,
    key: Key,
) -> (At, Offer, Option<RawConn>) {
    let at_victim = scene.world.request_channel(victim, mallory_id().into());
    let offer = scene.until("offer", || home.next_offer());
    assert_eq!((offer.role, offer.request), (1, None));
    let via = scene.coordinator_address();
    scene.raw.await_peer(offer.own_route, via, &Dial::peer(key));
    home.control(&message::accept(offer.own_route));
    scene.world.run_for(secs(1));
    let conn = scene.raw.accept();
    (at_victim, offer, conn)
}

#[test]
fn a_lie_about_which_channel_this_is_ends_it_before_it_opens() {
    let mut scene = Scene::new(1);
    let victim = scene.victim();
    let home = scene.log_in();
    let id = scene.world.client(victim).id();
    let ann = scene.world.client(scene.pair.ends[0].node).id();
    let me = mallory_id();
    let lies = [
        ("number", 1, me, id, "test"),
        ("label", 0, me, id, "tset"),
        ("initiator", 0, ann, id, "test"),
        ("acceptor", 0, me, ann, "test"),
        ("roles", 0, id, me, "test"),
    ];
    for (what, change, initiator, acceptor, label) in lies {
        let (offer, conn) = initiate(&mut scene, &home, victim);
        let number = offer.channel ^ change;
        conn.control(&message::bind(
            number,
            initiator,
            acceptor,
            label.as_bytes(),
        ));
        scene.expect_end(&conn, BINDING);
        assert_eq!(
            opened_or_closed(&mut scene.world, victim),
            Err(CloseReason::Violation(Violation::Binding)),
            "{what}"
        );
    }
    assert_eq!(scene.world.client(victim).stats().violations, 5);
    scene.all_is_well(&[]);
}

#[test]
fn an_initiator_that_breaks_the_order_of_binding_is_cut_off() {
    let mut scene = Scene::new(2);
    let victim = scene.victim();
    let home = scene.log_in();
    let wrong: [(&str, Vec<u8>, CloseReason); 5] = [
        (
            "bound from the wrong side",
            message::frame(&message::bound()),
            CloseReason::Violation(Violation::Unexpected),
        ),
        (
            "nothing at all in a message",
            message::frame(b""),
            CloseReason::Violation(Violation::Malformed),
        ),
        (
            "an unknown type",
            message::frame(&[0x3e]),
            CloseReason::Violation(Violation::Malformed),
        ),
        (
            "closing before opening",
            message::frame(&message::closing(0, 0)),
            CloseReason::Violation(Violation::Unexpected),
        ),
        (
            "a huge message",
            message::varint(9 << 10),
            CloseReason::Violation(Violation::Malformed),
        ),
    ];
    for (what, bytes, reason) in wrong {
        let (_, conn) = initiate(&mut scene, &home, victim);
        conn.control_bytes(bytes);
        scene.expect_end(&conn, PROTOCOL);
        let end = opened_or_closed(&mut scene.world, victim);
        assert_eq!(end, Err(reason), "{what}");
    }
    scene.all_is_well(&[]);
}

#[test]
fn binding_twice_ends_a_channel() {
    let mut scene = Scene::new(3);
    let victim = scene.victim();
    let home = scene.log_in();
    let (offer, conn) = initiate(&mut scene, &home, victim);
    let at_victim = bind(&mut scene, &offer, &conn, victim);
    let again = right_bind(&mut scene, &offer, victim);
    conn.control(&again);
    scene.expect_end(&conn, PROTOCOL);
    let reason = CloseReason::Violation(Violation::Unexpected);
    assert_eq!(scene.world.closed(at_victim), reason);
    scene.all_is_well(&[]);
}

#[test]
fn who_is_ready_for_direct_paths_says_so_once_and_before_the_binding() {
    let mut scene = Scene::new(12);
    let victim = scene.victim();
    let home = scene.log_in();
    for twice in [true, false] {
        let (offer, conn) = initiate(&mut scene, &home, victim);
        if twice {
            conn.control(&message::direct(false));
            conn.control(&message::direct(false));
            scene.expect_end(&conn, PROTOCOL);
            let bind = opened_or_closed(&mut scene.world, victim);
            assert_eq!(bind, Err(CloseReason::Violation(Violation::Unexpected)));
        } else {
            let at_victim = bind(&mut scene, &offer, &conn, victim);
            conn.control(&message::direct(false));
            scene.expect_end(&conn, PROTOCOL);
            let reason = CloseReason::Violation(Violation::Unexpected);
            assert_eq!(scene.world.closed(at_victim), reason);
        }
    }
    scene.all_is_well(&[]);
}

#[test]
fn data_before_the_binding_waits_for_it_and_does_not_replace_it() {
    let mut scene = Scene::new(4);
    let victim = scene.victim();
    let home = scene.log_in();
    // With the binding late, the data is there afterwards.
    let (offer, conn) = initiate(&mut scene, &home, victim);
    let bind_message = right_bind(&mut scene, &offer, victim);
    assert_eq!(conn.open_bi(), Some(0));
    let early = conn.open_uni().unwrap();
    conn.write(early, message::preamble(b"early"));
    conn.write(early, message::frame(b"news"));
    assert!(conn.send_datagram(&b"early"[..]));
    scene.world.run_for(secs(1));
    assert!(!has_opened(&mut scene.world, victim));
    let announced = count_events(&mut scene.world, victim, |event| {
        matches!(event, ChannelEvent::StreamOpened { .. })
    });
    assert_eq!(announced, 0);
    conn.control(&bind_message);
    let at_victim = opened_or_closed(&mut scene.world, victim).expect("opens");
    let (stream, label) = scene.world.accept_labelled(at_victim);
    assert_eq!(label, "early");
    assert_eq!(scene.world.recv(stream), "news");
    // Without it, the channel never opens, and ends in time.
    let (offer, conn) = initiate(&mut scene, &home, victim);
    let begin = scene.world.elapsed();
    let early = conn.open_uni().unwrap();
    conn.write(early, message::preamble(b"early"));
    let closed = scene.until("closed", || home.next_of_kind(6));
    assert_eq!(closed, message::channel_closed(offer.own_route, 9));
    let took = scene.world.elapsed() - begin;
    assert!(took <= secs(16), "{took:?}");
    assert_eq!(
        opened_or_closed(&mut scene.world, victim),
        Err(CloseReason::TimedOut)
    );
    scene.all_is_well(&[]);
}

#[test]
fn an_acceptor_that_breaks_the_order_of_binding_is_cut_off() {
    let mut scene = Scene::new(5);
    let victim = scene.victim();
    let home = scene.log_in();
    let id = scene.world.client(victim).id();
    for wrong in ["bind", "malformed", "silence"] {
        let (at_victim, offer, conn) = be_called(&mut scene, &home, victim, MALLORY);
        let conn = conn.expect("the victim calls");
        scene.until("bind", || conn.next_of_kind(0));
        let end = match wrong {
            "bind" => {
                conn.control(&message::bind(offer.channel, id, mallory_id(), b"test"));
                PROTOCOL
            }
            "malformed" => {
                conn.control(&[2, 2, 2]);
                PROTOCOL
            }
            _ => {
                // Told by way of the Coordinator, as the route is gone.
                let closed = scene.until("closed", || home.next_of_kind(6));
                assert_eq!(closed, message::channel_closed(offer.own_route, 9));
                assert_eq!(scene.world.closed(at_victim), CloseReason::TimedOut);
                assert!(!has_opened(&mut scene.world, victim));
                continue;
            }
        };
        scene.expect_end(&conn, end);
        let reason = scene.world.closed(at_victim);
        assert!(matches!(reason, CloseReason::Violation(_)), "{reason:?}");
        assert!(!has_opened(&mut scene.world, victim));
    }
    // Agreeing twice is no better.
    let (at_victim, _, conn) = be_called(&mut scene, &home, victim, MALLORY);
    let conn = conn.expect("the victim calls");
    scene.until("bind", || conn.next_of_kind(0));
    conn.control(&message::bound());
    conn.control(&message::bound());
    scene.expect_end(&conn, PROTOCOL);
    assert!(has_opened(&mut scene.world, victim));
    assert_eq!(
        scene.world.closed(at_victim),
        CloseReason::Violation(Violation::Unexpected)
    );
    scene.all_is_well(&[]);
}

#[test]
fn another_key_than_the_one_asked_for_opens_nothing() {
    let mut scene = Scene::new(6);
    let victim = scene.victim();
    let home = scene.log_in();
    // Called: under another key, under the right one without its private half, and with a certificate.
    for key in [Key::Identity(667), Key::Stolen(666), Key::Certificate(1)] {
        let (at_victim, ..) = be_called(&mut scene, &home, victim, key);
        let reason = scene.world.closed(at_victim);
        let identity = matches!(reason, CloseReason::Identity);
        let no_tls = matches!(reason, CloseReason::Transport(_));
        assert!(identity || no_tls, "{key:?}: {reason:?}");
        assert!(!has_opened(&mut scene.world, victim));
    }
    // Calling: the same.
    for key in [Key::Identity(667), Key::Stolen(666), Key::Padded(666)] {
        is_refused(&mut scene, &home, victim, key);
    }
    scene.all_is_well(&[]);
}

/// Mallory calls under this key, and is told why not.
fn is_refused(scene: &mut Scene, home: &RawConn, victim: NodeId, key: Key) {
    let (offer, conn) = initiate_with(scene, home, victim, &Dial::peer(key));
    let bind = right_bind(scene, &offer, victim);
    if conn.end().is_none() {
        conn.control(&bind);
    }
    let end = scene.until("refused", || conn.end());
    assert!(
        matches!(end, End::Transport(0x100..0x200)),
        "{key:?}: {end:?}"
    );
    let end = opened_or_closed(&mut scene.world, victim);
    assert!(
        matches!(end, Err(CloseReason::Identity | CloseReason::Transport(_))),
        "{key:?}: {end:?}"
    );
}

#[test]
fn a_caller_without_a_raw_key_is_told_so_at_once() {
    let mut scene = Scene::new(16);
    let victim = scene.victim();
    let home = scene.log_in();
    for key in [Key::Certificate(1), Key::None] {
        is_refused(&mut scene, &home, victim, key);
    }
    scene.all_is_well(&[]);
}

#[test]
fn a_home_channels_protocol_is_not_taken_for_a_peers() {
    let mut scene = Scene::new(7);
    let victim = scene.victim();
    let home = scene.log_in();
    let (_, conn) = initiate_with(&mut scene, &home, victim, &Dial::home(MALLORY));
    assert_eq!(conn.end(), Some(End::Transport(0x178)));
    assert_eq!(
        opened_or_closed(&mut scene.world, victim),
        Err(CloseReason::Version)
    );
    scene.all_is_well(&[]);
}

#[test]
fn an_acceptor_takes_one_connection_and_no_other() {
    let mut scene = Scene::new(8);
    let victim = scene.victim();
    let home = scene.log_in();
    let (offer, conn) = initiate(&mut scene, &home, victim);
    let at_victim = bind(&mut scene, &offer, &conn, victim);
    let (now, via) = (scene.world.now(), scene.coordinator_address());
    let dial = Dial::peer(MALLORY);
    let others: Vec<_> = (0..20)
        .map(|_| scene.raw.connect_peer(now, &offer, via, &dial))
        .collect();
    scene.world.run_for(secs(5));
    assert!(others.iter().all(|conn| !conn.is_connected()));
    let stream = conn.open_uni().unwrap();
    conn.write(stream, message::preamble(b"still here"));
    scene.world.accept_stream(at_victim);
    scene.all_is_well(&[]);
}

#[test]
fn a_client_that_never_starts_what_it_asked_for_is_given_up_in_time() {
    let mut scene = Scene::new(9);
    let victim = scene.victim();
    let home = scene.log_in();
    let offer = request(&mut scene, &home, victim);
    home.control(&message::accept(offer.own_route));
    assert_eq!(
        opened_or_closed(&mut scene.world, victim),
        Err(CloseReason::TimedOut)
    );
    // The one that asked is told.
    let closed = scene.until("closed", || home.next_of_kind(6));
    assert_eq!(closed, message::channel_closed(offer.own_route, 9));
    scene.all_is_well(&[]);
}

/// Clients give up by themselves what their application does not answer. The Coordinator does not rely on that.
#[test]
fn an_end_that_never_answers_an_offer_is_given_up_by_the_coordinator() {
    let mut scene = Scene::new(13);
    let home = scene.log_in();
    let silent = scene.log_in_with(&Dial::home(Key::Identity(667)), b"silent");
    let id = keys::identity(667).id();
    home.control(&message::open_by_id(7, id, b"test"));
    let offer = scene.until("offer", || home.next_offer());
    home.control(&message::accept(offer.own_route));
    for (conn, route) in [(&home, offer.own_route), (&silent, offer.peer_route)] {
        let closed = scene.until("closed", || conn.next_of_kind(6));
        assert_eq!(closed, message::channel_closed(route, 9));
    }
    scene.all_is_well(&[]);
}

#[test]
fn a_peer_that_never_lets_go_is_left_when_patience_ends() {
    let mut scene = Scene::new(10);
    let (at_victim, conn) = open(&mut scene);
    let stream = conn.open_uni().unwrap();
    conn.write(stream, message::preamble(b"never ends"));
    scene.world.accept_stream(at_victim);
    let now = scene.world.now();
    let mut channel = scene
        .world
        .channel(at_victim.node, at_victim.channel)
        .unwrap();
    channel.close(now, secs(3));
    scene.expect_end(&conn, End::Application(0));
    assert_eq!(scene.world.closed(at_victim), CloseReason::Local);
    assert!(scene.world.now() - now <= secs(4));
    scene.all_is_well(&[]);
}

#[test]
fn a_peer_cannot_be_drained_before_it_closes_nor_close_twice() {
    for (seed, lies) in [
        vec![message::drained()],
        vec![message::closing(0, 0), message::closing(0, 0)],
        vec![
            message::closing(1, 0),
            message::drained(),
            message::drained(),
        ],
    ]
    .into_iter()
    .enumerate()
    {
        let mut scene = Scene::new(seed as u64);
        let (at_victim, conn) = open(&mut scene);
        for lie in lies {
            conn.control(&lie);
        }
        scene.expect_end(&conn, PROTOCOL);
        assert_eq!(
            scene.world.closed(at_victim),
            CloseReason::Violation(Violation::Unexpected)
        );
        scene.all_is_well(&[]);
    }
}

#[test]
fn a_peer_cannot_be_drained_without_having_said_what_it_opened() {
    let mut scene = Scene::new(17);
    let (at_victim, conn) = open(&mut scene);
    let now = scene.world.now();
    let mut channel = scene
        .world
        .channel(at_victim.node, at_victim.channel)
        .unwrap();
    channel.close(now, secs(30));
    scene.until("closing", || conn.next_of_kind(0x20));
    conn.control(&message::drained());
    scene.expect_end(&conn, PROTOCOL);
    assert_eq!(
        scene.world.closed(at_victim),
        CloseReason::Violation(Violation::Unexpected)
    );
    scene.all_is_well(&[]);
}

#[test]
fn a_peer_that_counts_wrongly_ends_by_patience_or_silence() {
    let mut scene = Scene::new(11);
    let (at_victim, conn) = open(&mut scene);
    // Streams that will never come, as many as can be said.
    conn.control(&message::closing((1 << 62) - 1, (1 << 62) - 1));
    conn.control(&message::drained());
    scene.world.run_for(secs(3));
    let now = scene.world.now();
    let mut channel = scene
        .world
        .channel(at_victim.node, at_victim.channel)
        .unwrap();
    assert!(channel.open(Direction::Bi, b"").is_err());
    channel.close(now, secs(2));
    assert_eq!(scene.world.closed(at_victim), CloseReason::Local);
    scene.expect_end(&conn, End::Application(0));
    scene.all_is_well(&[]);
}

#[test]
fn a_peer_that_stops_reading_stops_its_own_streams_and_nothing_else() {
    let mut scene = Scene::new(12);
    let mut dial = Dial::peer(MALLORY);
    dial.stream_window = 16 << 10;
    dial.window = 1 << 20;
    let (at_victim, conn) = open_with(&mut scene, &dial);
    conn.set_reading(false);
    let stuck = scene.world.open(at_victim, Direction::Uni, b"stuck");
    let mut taken = 0;
    loop {
        match scene.world.try_send(stuck, vec![0; 10_000].into()) {
            Ok(()) => taken += 10_000,
            Err(error) => {
                assert_eq!(error, conec_core::SendError::Blocked);
                scene.world.run_for(secs(1));
                let more = scene.world.try_send(stuck, vec![0; 10_000].into());
                if more.is_err() {
                    break;
                }
                taken += 10_000;
            }
        }
        assert!(taken < 2 << 20, "endless room");
    }
    // Its own window, and what waits here.
    assert!(taken <= (256 << 10) + (16 << 10) + 20_000, "{taken}");
    // A stream that is read goes on, on this channel and on others.
    let ben = scene.pair.ends[1].node;
    let (other, at_ben) = scene.world.open_channel(at_victim.node, ben);
    let flowing = scene.world.open_stream(other, b"");
    scene.world.send(flowing, "on we go");
    let flowing = scene.world.accept_stream(at_ben);
    assert_eq!(scene.world.recv(flowing), "on we go");
    scene.pair.talk(&mut scene.world);
    // Reading again loses nothing.
    conn.set_reading(true);
    scene.world.run_for(secs(5));
    let stream = conn.accept().unwrap();
    let frames = taken / 10_000;
    let expected = 2 + 5 + frames * (2 + 10_000);
    assert_eq!(conn.received(stream).bytes.len(), expected);
    scene.all_is_well(&[]);
}

#[test]
fn a_peer_that_falls_silent_is_noticed_once() {
    let mut scene = Scene::new(13);
    let (at_victim, conn) = open(&mut scene);
    let stream = conn.open_uni().unwrap();
    conn.write(stream, message::preamble(b"half a message"));
    conn.write(stream, message::varint(100));
    conn.write(stream, &b"half"[..]);
    let received = scene.world.accept_stream(at_victim);
    assert_eq!(scene.world.try_recv(received), Err(RecvError::Blocked));
    scene.raw.filter_outgoing(|_| false);
    let reason = scene.world.closed(at_victim);
    assert!(matches!(
        reason,
        CloseReason::TimedOut | CloseReason::Remote(ErrorCode::PeerGone)
    ));
    assert_eq!(
        scene.world.recv_ended(received),
        conec_core::RecvEnd::Closed(reason)
    );
    scene.world.run_for(secs(60));
    scene.all_is_well(&[CloseReason::TimedOut]);
}

#[test]
fn a_control_stream_between_peers_must_neither_end_nor_flood() {
    type Act = dyn Fn(&RawConn);
    let offences: [(&Act, End, Violation); 4] = [
        (&|conn| conn.finish(0), PROTOCOL, Violation::ControlStream),
        (&|conn| conn.reset(0, 5), PROTOCOL, Violation::ControlStream),
        (&|conn| conn.stop(0, 5), PROTOCOL, Violation::ControlStream),
        (
            &|conn| conn.control_bytes(message::frame(&[0x3f]).repeat(5000)),
            RATE_LIMITED,
            Violation::Flood,
        ),
    ];
    for (seed, (offence, end, violation)) in offences.into_iter().enumerate() {
        let mut scene = Scene::new(seed as u64);
        let (at_victim, conn) = open(&mut scene);
        offence(&conn);
        scene.expect_end(&conn, end);
        let reason = CloseReason::Violation(violation);
        assert_eq!(scene.world.closed(at_victim), reason);
        scene.all_is_well(&[]);
    }
}
