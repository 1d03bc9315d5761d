//! What it says of itself and of the Client.

use super::*;

#[test]
fn a_coordinator_that_never_welcomes_is_left_in_time() {
    let mut den = Den::new(1);
    let (alice, conn) = den.arrive("alice");
    let begin = den.scene.world.elapsed();
    den.expect_end(alice, &conn, CloseReason::TimedOut, NO_ANSWER);
    assert!(den.scene.world.elapsed() - begin <= secs(16));
    den.scene.all_is_well(&[]);
}

#[test]
fn refusals_are_told_by_their_codes() {
    let mut den = Den::new(2);
    for (code, reason) in [
        (4, CloseReason::Remote(ErrorCode::Refused)),
        (3, CloseReason::Remote(ErrorCode::NameInUse)),
        (77, CloseReason::Remote(ErrorCode::Unknown)),
        ((1 << 32) + 9, CloseReason::Application(conec_core::Code(9))),
        ((1 << 62) - 1, CloseReason::Remote(ErrorCode::Unknown)),
    ] {
        let (alice, conn) = den.arrive("alice");
        let now = den.scene.world.now();
        conn.close(now, code);
        assert_eq!(den.scene.world.closed(home(alice)), reason);
    }
    // By QUIC itself, before anything was said.
    den.scene.raw.set_refusing(true);
    let alice = den.scene.world.add_client("alice");
    den.scene.world.start_connecting(alice, den.scene.mallory);
    assert_eq!(
        den.scene.world.closed(home(alice)),
        CloseReason::Remote(ErrorCode::Limit)
    );
    den.scene.all_is_well(&[]);
}

#[test]
fn another_protocol_is_told_as_such() {
    let scene = Scene::new(3);
    let mut dial = Dial::home(Key::Certificate(1));
    dial.alpn = b"h3".to_vec();
    scene.raw.listen(&dial);
    let mut scene = scene;
    let alice = scene.world.add_client("alice");
    scene.world.start_connecting(alice, scene.mallory);
    assert_eq!(scene.world.closed(home(alice)), CloseReason::Version);
    scene.all_is_well(&[]);
}

#[test]
fn only_the_pinned_key_is_a_coordinators() {
    for key in [Key::Certificate(2), Key::Identity(1), Key::Stolen(1)] {
        let mut scene = Scene::new(4);
        scene.raw.listen(&Dial::home(key));
        let alice = scene.world.add_client("alice");
        scene.world.start_connecting(alice, scene.mallory);
        let reason = scene.world.closed(home(alice));
        assert!(
            matches!(reason, CloseReason::Identity | CloseReason::Transport(_)),
            "{key:?}: {reason:?}"
        );
        scene.all_is_well(&[]);
    }
}

#[test]
fn a_coordinator_that_breaks_the_protocol_is_left_with_its_code() {
    let mut den = Den::new(5);
    let observed = ([192, 0, 2, 1], 1).into();
    let mut trailing = message::welcome(b"", observed);
    trailing.push(0);
    let before_welcome = [
        ("an offer", message::offer(&stray_offer(1, mallory_id()))),
        ("a start", message::start(ROUTES[0])),
        ("an address", message::observed_address(1, observed)),
        ("trailing bytes", trailing),
        ("an unknown type", vec![0x3e]),
        ("nothing", vec![]),
        (
            "an unknown address family",
            [&[0, 0, 5][..], &[0; 6]].concat(),
        ),
        ("a bad name", message::welcome(b"NOT A NAME", observed)),
        ("closing", message::closing(0, 0)),
    ];
    for (what, early) in before_welcome {
        let (alice, conn) = den.arrive("alice");
        conn.control(&early);
        let reason = den.scene.world.closed(home(alice));
        assert!(
            matches!(reason, CloseReason::Violation(_)),
            "{what}: {reason:?}"
        );
        den.scene.expect_end(&conn, PROTOCOL);
    }
    let mut no_route = message::offer(&stray_offer(1, mallory_id()));
    no_route[3] &= 0x7f;
    let after_welcome = [
        ("welcome again", message::welcome(b"alice", observed)),
        ("a route that is none", no_route),
        ("a role that is none", {
            let mut offer = message::offer(&stray_offer(1, mallory_id()));
            offer[2] = 2;
            offer
        }),
        ("drained", message::drained()),
        ("what only Clients say", message::hello(b"", b"")),
    ];
    for (what, late) in after_welcome {
        let (alice, conn) = den.welcome("alice");
        conn.control(&late);
        let reason = den.scene.world.closed(home(alice));
        assert!(
            matches!(reason, CloseReason::Violation(_)),
            "{what}: {reason:?}"
        );
        den.scene.expect_end(&conn, PROTOCOL);
    }
    // The control stream itself.
    type Act = dyn Fn(&RawConn);
    let offences: [&Act; 4] = [
        &|conn| conn.finish(CONTROL),
        &|conn| conn.reset(CONTROL, 1),
        &|conn| conn.stop(CONTROL, 1),
        &|conn| conn.control_bytes(message::varint(9000)),
    ];
    for offence in offences {
        let (alice, conn) = den.welcome("alice");
        offence(&conn);
        let reason = den.scene.world.closed(home(alice));
        assert!(matches!(reason, CloseReason::Violation(_)), "{reason:?}");
        den.scene.expect_end(&conn, PROTOCOL);
    }
    den.scene.all_is_well(&[]);
}

#[test]
fn damaged_messages_are_refused_or_understood_but_never_more() {
    let mut den = Den::new(20);
    let observed = ([192, 0, 2, 1], 1).into();
    let sound = [
        message::welcome(b"alice", observed),
        message::offer(&stray_offer(1, mallory_id())),
        message::start([0x80, 0, 0, 0, 1, 1]),
        message::channel_closed([0x80, 0, 0, 0, 1, 1], 5),
        message::open_failed(0, 7),
        message::observed_address(6, observed),
        message::closing(7, 8),
        message::drained(),
    ];
    let (mut alice, mut conn) = den.welcome("alice");
    for round in 0..400 {
        let damaged = damage(den.scene.world.rng(), &sound[round % sound.len()]);
        conn.control(&damaged);
        den.scene.world.run_for(Duration::from_millis(50));
        if let Some(end) = conn.end() {
            assert!(matches!(end, PROTOCOL | End::Application(0)), "{end:?}");
            assert!(!den.scene.world.client(alice).is_connected());
            if den.nodes > 100 {
                break;
            }
            (alice, conn) = den.welcome("alice");
            den.nodes += 1;
        }
    }
    den.scene.all_is_well(&[]);
}

#[test]
fn an_address_that_changes_all_the_time_is_reported_each_time_it_does() {
    let mut den = Den::new(18);
    let (alice, conn) = den.welcome("alice");
    let addresses = [
        ([192, 0, 2, 1], 1).into(),
        ([192, 0, 2, 1], 1).into(),
        ([0, 0, 0, 0], 0).into(),
    ];
    for (nonce, address) in addresses.into_iter().enumerate() {
        conn.control(&message::observed_address(nonce as u64, address));
        let echo = den.scene.until("echo", || conn.next_of_kind(8));
        assert_eq!(echo, message::address_echo(nonce as u64));
    }
    let mut reported = Vec::new();
    while let Some(address) = den.scene.world.take_event(alice, |event| match event {
        Event::Client(ClientEvent::AddressObserved { address }) => Some(*address),
        Event::Client(_) | Event::Coordinator(_) => None,
    }) {
        reported.push(address);
    }
    assert_eq!(reported, addresses[1..]);
    den.scene.all_is_well(&[]);
}

#[test]
fn a_second_port_is_announced_once_and_is_one() {
    let mut den = Den::new(20);
    let first = message::second_port(ROUTES[0], 4434);
    let mut cut = first.clone();
    cut.pop();
    for second in [&first, &message::second_port(ROUTES[1], 0), &cut] {
        let (alice, conn) = den.welcome("alice");
        conn.control(&first);
        conn.control(second);
        let reason = den.scene.world.closed(home(alice));
        assert!(matches!(reason, CloseReason::Violation(_)), "{reason:?}");
        den.scene.expect_end(&conn, PROTOCOL);
    }
    den.scene.all_is_well(&[]);
}

/// Neither what it says of probes that were never sent is believed, nor does it have a Client send many.

#[test]
fn a_second_port_cannot_be_made_a_target() {
    let mut den = Den::new(21);
    let (alice, conn) = den.welcome("alice");
    let elsewhere: SocketAddr = ([192, 0, 2, 1], 1).into();
    conn.control(&message::seen_at(1, elsewhere));
    conn.control(&message::second_port(ROUTES[0], 4434));
    for echo in [0, 7, u64::MAX] {
        conn.control(&message::seen_at(echo, elsewhere));
    }
    den.scene.world.run_for(secs(1));
    assert_eq!(den.scene.world.client(alice).nat(), Nat::Absent);
    // It seems to move all the time.
    for number in 0..600 {
        let address = ([192, 0, 2, 1], number as u16).into();
        conn.control(&message::observed_address(number, address));
        den.scene.world.run_for(Duration::from_millis(100));
    }
    let sent = den.scene.world.client(alice).stats().probes_sent;
    assert!((12..=30).contains(&sent), "{sent} in a minute");
    // What it says of the last one is of no use: the Client has moved since. Of the next one it is believed.
    conn.control(&message::seen_at(sent, elsewhere));
    den.scene.world.run_for(secs(6));
    assert_eq!(den.scene.world.client(alice).nat(), Nat::Unclassified);
    let sent = den.scene.world.client(alice).stats().probes_sent;
    let told = message::seen_at(sent, elsewhere);
    conn.control(&told);
    den.scene.world.run_for(secs(1));
    assert_eq!(den.scene.world.client(alice).nat(), Nat::PortDependent);
    den.scene.all_is_well(&[]);
}

#[test]
fn answers_that_a_coordinator_does_not_read_do_not_pile_up() {
    let mut den = Den::new(19);
    let mut dial = Dial::home(Key::Certificate(1));
    dial.stream_window = 1024;
    dial.window = 4096;
    den.scene.raw = Raw::new(190);
    den.scene.raw.listen(&dial);
    den.scene.mallory = den.scene.world.add_stranger(den.scene.raw.clone());
    let (_, conn) = den.welcome_with("alice", |config| config.home.stream_window = 64 << 10);
    conn.set_reading(false);
    // 18 bytes each, answered with 10. What the client does not take beyond its window shows when it stops answering.
    let address = ([192, 0, 2, 1], 1).into();
    let question = message::frame(&message::observed_address(1, address));
    let (bound, window) = (128 << 10, 64 << 10);
    let questions = (bound / 10 + window / question.len()) + 1000;
    conn.control_bytes(question.repeat(questions));
    den.scene.world.run_for(secs(10));
    assert!(conn.end().is_none());
    assert!(
        !conn.is_flushed(),
        "more than {bound} bytes of answers wait"
    );
    den.scene.pair.talk(&mut den.scene.world);
    // It goes on when they are read.
    for _ in 0..500 {
        conn.set_reading(true);
        den.scene.world.run_for(Duration::from_millis(100));
    }
    assert!(conn.is_flushed());
    assert!(conn.received(CONTROL).bytes.len() >= 10 * questions);
    den.scene.pair.are_well(&mut den.scene.world);
}
