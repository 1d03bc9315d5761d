//! A Client that is let in, or nearly, and then breaks the rules of the control stream.

use std::net::SocketAddr;

use conec_core::{ErrorCode, Violation};
use conec_tests::{
    raw::{message::Route, probe, route_of},
    sim::{Packet, Tap},
};

use super::*;

#[test]
fn a_malformed_control_message_ends_that_client_alone() {
    let mut scene = Scene::new(1);
    let mut trailing = message::hello(b"x", b"");
    trailing.push(0);
    let malformed: Vec<(&str, Vec<u8>)> = vec![
        ("an empty message", message::frame(b"")),
        ("an unknown even type", message::frame(&[0x3e, 1, 2])),
        ("half a type", message::frame(&[0xc0])),
        ("trailing bytes", message::frame(&trailing)),
        (
            "a hello cut short",
            message::frame(&message::hello(b"x", b"abc")[..4]),
        ),
        (
            "a name in capitals",
            message::frame(&message::hello(b"Mallory", b"")),
        ),
        (
            "a name with NUL",
            message::frame(&message::hello(b"mal\0lory", b"")),
        ),
        (
            "a name with a newline",
            message::frame(&message::hello(b"mal\nlory", b"")),
        ),
        (
            "a name with an escape",
            message::frame(&message::hello(b"\x1b[31mred", b"")),
        ),
        (
            "a name beyond ASCII",
            message::frame(&message::hello("mällory".as_bytes(), b"")),
        ),
        (
            "a name that is no text",
            message::frame(&message::hello(&[0xff, 0xfe], b"")),
        ),
        (
            "a name too long",
            message::frame(&message::hello(&[b'a'; 65], b"")),
        ),
        (
            "a token too long",
            message::frame(&message::hello(b"x", &[7; 4097])),
        ),
        ("a message too long", message::varint((8 << 10) + 1)),
        ("a message without end", message::varint((1 << 62) - 1)),
        (
            "random bytes",
            (0..255).map(|n: u8| n.wrapping_mul(193)).collect(),
        ),
    ];
    let count = malformed.len() as u64;
    for (what, bytes) in malformed {
        let conn = scene.shake_hands();
        conn.control_bytes(bytes);
        let end = scene.until(what, || conn.end());
        assert_eq!(end, PROTOCOL, "{what}");
        scene.pair.talk(&mut scene.world);
    }
    // Of those, what the channel itself finds is not counted yet: 11 of 16.
    assert!((1..=count).contains(&scene.stats().violations));
    // None of them was ever announced.
    scene.all_is_well(&[]);
}

#[test]
fn a_message_at_the_wrong_time_ends_that_client_alone() {
    let mut scene = Scene::new(2);
    let ann = scene.world.client(scene.pair.ends[0].node).id();
    let before_hello = [
        message::open_by_id(1, ann, b""),
        message::accept([0x80; 6]),
        message::close_channel([0x80; 6], 0),
        message::address_echo(0),
        message::closing(0, 0),
        message::drained(),
    ];
    for early in before_hello {
        let conn = scene.shake_hands();
        conn.control(&early);
        scene.expect_end(&conn, PROTOCOL);
    }
    scene.all_is_well(&[]);
    let after_hello = [
        message::hello(b"mallory", b""),
        message::hello(b"", b""),
        message::drained(),
        // What only a Coordinator says.
        message::observed_address(1, ([192, 0, 2, 1], 1).into()),
    ];
    for late in after_hello {
        let conn = scene.log_in();
        conn.control(&late);
        scene.expect_end(&conn, PROTOCOL);
        let end = scene.session_end();
        assert!(
            matches!(end, Some(CloseReason::Violation(_))),
            "{late:?}: {end:?}"
        );
    }
    scene.all_is_well(&[]);
}

#[test]
fn unknown_messages_that_may_be_skipped_are() {
    let mut scene = Scene::new(3);
    let conn = scene.log_in();
    conn.control(&[0x3f, 1, 2, 3]);
    conn.control(&message::varint(0x1234_5679));
    // A length in more bytes than it needs means the same.
    conn.control_bytes([&[0xc0, 0, 0, 0, 0, 0, 0, 1][..], &[0x3f]].concat());
    conn.control(&message::open_by_name(77, b"nobody", b""));
    let answer = scene.until("an answer", || conn.next_control());
    assert_eq!(answer, message::open_failed(77, 7));
    assert_eq!(conn.end(), None);
    scene.all_is_well(&[]);
}

#[test]
fn damaged_messages_are_refused_or_understood_but_never_more() {
    let mut scene = Scene::new(16);
    let victim = scene.victim();
    let id = scene.world.client(victim).id();
    let sound = [
        message::hello(b"mallory", b"token"),
        message::open_by_id(3, id, b"label"),
        message::open_by_name(4, b"victim", b"label"),
        message::accept([0x80, 1, 2, 3, 4, 5]),
        message::close_channel([0x80, 1, 2, 3, 4, 5], 5),
        message::address_echo(6),
        message::closing(7, 8),
        message::drained(),
    ];
    let mut conn = scene.log_in();
    for round in 0..400 {
        let damaged = damage(scene.world.rng(), &sound[round % sound.len()]);
        conn.control(&damaged);
        scene.world.run_for(Duration::from_millis(50));
        if let Some(end) = conn.end() {
            assert!(matches!(end, PROTOCOL | End::Application(0)), "{end:?}");
            conn = scene.log_in();
        }
    }
    conn.close(scene.world.now(), 0);
    scene.world.run_for(secs(60));
    scene.pair.are_well(&mut scene.world);
}

#[test]
fn a_control_stream_that_ends_takes_the_session_with_it() {
    type Act = dyn Fn(&RawConn);
    let offences: [&Act; 3] = [&|conn| conn.finish(0), &|conn| conn.reset(0, 1), &|conn| {
        conn.stop(0, 1)
    }];
    let mut scene = Scene::new(4);
    for offence in offences {
        let conn = scene.log_in();
        offence(&conn);
        scene.expect_end(&conn, PROTOCOL);
        let reason = CloseReason::Violation(Violation::ControlStream);
        assert_eq!(scene.session_end(), Some(reason));
        assert_eq!(scene.world.coordinator(scene.coordinator).clients(), 2);
    }
    // The same before the first message.
    for offence in offences {
        let conn = scene.shake_hands();
        conn.control_bytes(&b"\x05"[..]);
        offence(&conn);
        let end = scene.until("the end", || conn.end());
        assert!(matches!(end, PROTOCOL | HELLO_TIMEOUT), "{end:?}");
    }
    scene.all_is_well(&[]);
}

#[test]
fn a_flood_of_control_messages_is_cut_off() {
    let mut scene = Scene::new(5);
    let floods = [
        message::close_channel([0x80; 6], 1),
        message::open_by_name(1, b"nobody", b""),
        message::address_echo(u64::MAX),
        vec![0x3f],
    ];
    for flood in floods {
        let conn = scene.log_in();
        conn.control_bytes(message::frame(&flood).repeat(2000));
        scene.expect_end(&conn, RATE_LIMITED);
        let reason = CloseReason::Violation(Violation::Flood);
        assert_eq!(scene.session_end(), Some(reason));
    }
    scene.all_is_well(&[]);
}

#[test]
fn a_dripping_hello_is_as_late_as_none() {
    let mut scene = Scene::new(6);
    let conn = scene.shake_hands();
    for byte in message::frame(&message::hello(b"mallory", b"a token that takes its time")) {
        conn.control_bytes(vec![byte]);
        scene.world.run_for(Duration::from_millis(500));
        scene.pair.talk(&mut scene.world);
    }
    assert_eq!(conn.end(), Some(HELLO_TIMEOUT));
    scene.all_is_well(&[]);
}

#[test]
fn a_dripping_request_harms_nobody() {
    let mut scene = Scene::new(7);
    let conn = scene.log_in();
    for byte in message::frame(&message::open_by_name(5, b"nobody", b"")) {
        conn.control_bytes(vec![byte]);
        scene.world.run_for(secs(1));
        scene.pair.talk(&mut scene.world);
    }
    let answer = scene.until("an answer", || conn.next_control());
    assert_eq!(answer, message::open_failed(5, 7));
    scene.all_is_well(&[]);
}

#[test]
fn a_name_that_is_held_is_refused_and_its_holder_untouched() {
    let mut scene = Scene::new(8);
    let ann = scene.world.client(scene.pair.ends[0].node).id();
    for _ in 0..10 {
        let conn = scene.shake_hands();
        conn.control(&message::hello(b"ann", b""));
        scene.expect_end(&conn, NAME_IN_USE);
    }
    let holder = scene.world.coordinator(scene.coordinator).find(ann);
    assert!(holder.is_some());
    scene.all_is_well(&[]);
}

#[test]
fn one_identity_with_many_connections_holds_one_session() {
    let mut scene = Scene::new(9);
    let conns: Vec<_> = (0..30).map(|_| scene.shake_hands()).collect();
    let (late, conns) = conns.split_first().unwrap();
    for conn in conns {
        conn.control(&message::hello(b"mallory", b""));
        scene.world.run_for(Duration::from_millis(1));
    }
    scene.world.run_for(secs(2));
    let alive = conns.iter().filter(|conn| conn.end().is_none()).count();
    assert_eq!(alive, 1);
    assert_eq!(scene.world.coordinator(scene.coordinator).clients(), 3);
    // So often it may change its mind; the others have not been let in at all.
    for _ in 0..6 {
        assert_eq!(scene.session_end(), Some(CloseReason::Local));
    }
    let ends = |end| conns.iter().filter(|conn| conn.end() == Some(end)).count();
    assert_eq!((ends(SUPERSEDED), ends(RATE_LIMITED)), (6, 22));
    // One that began before does not count as another attempt.
    late.control(&message::hello(b"mallory", b""));
    scene.expect_end(late, SUPERSEDED);
    scene.all_is_well(&[]);
}

#[test]
fn requests_that_share_a_number_are_answered_each() {
    let mut scene = Scene::new(10);
    let victim = scene.victim();
    let id = scene.world.client(victim).id();
    let conn = scene.log_in();
    conn.control(&message::open_by_id(1, id, b"one"));
    conn.control(&message::open_by_id(1, id, b"two"));
    let offers = [
        scene.until("offer", || conn.next_offer()),
        scene.until("offer", || conn.next_offer()),
    ];
    assert_ne!(offers[0].own_route, offers[1].own_route);
    assert_eq!(offers[0].label, b"one");
    assert_eq!(offers[1].label, b"two");
    // A number says nothing about anyone else's channels.
    conn.control(&message::accept(offers[0].peer_route));
    conn.control(&message::close_channel(offers[0].peer_route, 1));
    conn.control(&message::accept(offers[0].own_route));
    scene.until("start", || conn.next_of_kind(4));
    assert_eq!(conn.end(), None);
    // Accepting twice is a violation.
    conn.control(&message::accept(offers[0].own_route));
    scene.expect_end(&conn, PROTOCOL);
    for _ in 0..2 {
        assert_eq!(
            opened_or_closed(&mut scene.world, victim),
            Err(CloseReason::Remote(ErrorCode::PeerGone))
        );
    }
    scene.all_is_well(&[CloseReason::Violation(Violation::Unexpected)]);
}

/// A Client that asks the second port all the time, in vain mostly; and what it says twice, wrongly or elsewhere is not
/// answered at all.
#[test]
fn the_second_port_answers_what_is_new_and_not_too_often() {
    let mut scene = Scene::with(31, |config| config.second_port = Some(4434));
    let conn = scene.log_in();
    let told = scene.until("a second port", || conn.next_of_kind(13));
    let route: Route = told[1..7].try_into().unwrap();
    let second = SocketAddr::new(scene.coordinator_address().ip(), 4434);
    assert_eq!(told, message::second_port(route, second.port()));
    let sealer = conn.sealer(probe::SECOND_PORT);
    let mine = scene.world.address(scene.mallory);
    let answers = |scene: &mut Scene, time: Duration| {
        scene.world.run_for(time);
        let answers = std::iter::from_fn(|| conn.next_of_kind(15));
        answers.collect::<Vec<_>>()
    };
    let ping = sealer.seal(route, 5, 0);
    scene.raw.send_to(second, &ping);
    let first = answers(&mut scene, secs(10));
    assert_eq!(first, [message::seen_at(5, mine)]);
    // The same again, an older one, something else than a ping, another's route, and somebody else's key.
    let other = conn.sealer(b"EXPORTER-conec-probe");
    for refused in [
        ping.clone(),
        sealer.seal(route, 4, 0),
        sealer.seal(route, 6, 1),
        sealer.seal([0x80; 6], 6, 0),
        other.seal(route, 6, 0),
        [&ping[..], &[0]].concat(),
    ] {
        scene.raw.send_to(second, &refused);
    }
    assert_eq!(answers(&mut scene, secs(1)), [] as [Vec<u8>; 0]);
    // Hundreds of new ones in ten seconds.
    let mut count = 0;
    for counter in 10..210 {
        scene.raw.send_to(second, &sealer.seal(route, counter, 0));
        count += answers(&mut scene, Duration::from_millis(50)).len();
    }
    assert!((15..=19).contains(&count), "{count} answers");
    // Nothing but the answers came of it.
    assert_eq!(conn.end(), None);
    scene.all_is_well(&[]);
}

/// What is meant for one of the two ports is nothing at the other.
#[test]
fn each_port_takes_what_it_is_there_for() {
    let mut scene = Scene::with(32, |config| config.second_port = Some(4434));
    let tap = Tap::default();
    scene.world.network.tap = Some(tap.clone());
    let conn = scene.log_in();
    let told = scene.until("a second port", || conn.next_of_kind(13));
    let route: Route = told[1..7].try_into().unwrap();
    let first = scene.coordinator_address();
    let second = SocketAddr::new(first.ip(), 4434);
    let ping = conn.sealer(probe::SECOND_PORT).seal(route, 5, 0);
    scene.raw.send_to(first, &ping);
    scene.world.run_for(secs(1));
    assert_eq!(conn.next_of_kind(15), None);
    scene.raw.send_to(second, &ping);
    scene.until("an answer", || conn.next_of_kind(15));

    // What a bystander sends to the other, from where it is, and to begin a connection.
    scene.pair.talk(&mut scene.world);
    let ann = scene.world.address(scene.pair.ends[0].node);
    let theirs = tap.find(|packet| packet.source == ann && route_of(&packet.payload).is_some());
    let initial = scene
        .raw
        .initial(scene.world.now(), first, &Dial::home(MALLORY));
    scene.world.run_for(secs(1));
    let (before, sent) = (scene.stats(), tap.len());
    scene.world.inject(ann, second, &theirs.unwrap().payload);
    scene.world.inject(ann, second, &initial);
    scene.world.run_for(secs(1));
    let after = scene.stats();
    assert_eq!(after.datagrams_forwarded, before.datagrams_forwarded);
    assert_eq!(after.forwards_denied, before.forwards_denied);
    assert_eq!(after.datagrams_dropped, before.datagrams_dropped + 2);
    assert_eq!(tap.len(), sent + 2, "nobody is answered");
    scene.all_is_well(&[]);
}

#[test]
fn an_end_accepts_a_channel_once() {
    let mut scene = Scene::new(12);
    let mut config = scene.world.client_config("victim");
    config.auto_accept = false;
    let victim = scene.world.add_client_with(config);
    scene.world.connect(victim, scene.coordinator);
    let id = scene.world.client(victim).id();
    let conn = scene.log_in();
    conn.control(&message::open_by_id(1, id, b""));
    let offer = scene.until("offer", || conn.next_offer());
    // The other end has not answered yet.
    for _ in 0..2 {
        conn.control(&message::accept(offer.own_route));
    }
    scene.expect_end(&conn, PROTOCOL);
    scene.all_is_well(&[CloseReason::Violation(Violation::Unexpected)]);
}

#[test]
fn somebody_elses_routes_are_out_of_reach() {
    let mut scene = Scene::new(11);
    let tap = Tap::default();
    scene.world.network.tap = Some(tap.clone());
    scene.pair.talk(&mut scene.world);
    // Suppose that they have become known somehow.
    let mut routes = Vec::new();
    let mut note = |packet: &&Packet| {
        routes.extend(route_of(&packet.payload));
        true
    };
    tap.count(&mut note);
    routes.sort_unstable();
    routes.dedup();
    assert_eq!(routes.len(), 2);
    let conn = scene.log_in();
    for route in routes {
        conn.control(&message::accept(route));
        conn.control(&message::close_channel(route, 8));
        conn.control(&message::close_channel(route, (1 << 62) - 1));
    }
    scene.world.run_for(secs(1));
    assert_eq!(conn.end(), None);
    scene.all_is_well(&[]);
}

#[test]
fn a_new_address_is_used_only_after_the_right_echo() {
    let mut scene = Scene::new(12);
    let victim = scene.victim();
    let home = scene.log_in();
    let (offer, conn) = peers::initiate(&mut scene, &home, victim);
    let at_victim = peers::bind(&mut scene, &offer, &conn, victim);
    let session = scene.session();
    let old = scene.world.address(scene.mallory);
    home.control(&message::address_echo(0));
    scene.world.run_for(secs(1));
    let new = ([198, 51, 100, 66], 1234).into();
    scene.world.rebind(scene.mallory, new);
    home.ping();
    let observed = scene.until("observed", || home.next_of_kind(10));
    let nonce = u64::from_be_bytes(*observed[1..].first_chunk().unwrap());
    assert_eq!(observed, message::observed_address(nonce, new));
    // Wrong echoes move nothing, and what comes from the new address is denied.
    for wrong in [0, nonce ^ 1, !nonce] {
        home.control(&message::address_echo(wrong));
    }
    let before = scene.stats().forwards_denied;
    let stream = conn.open_uni().unwrap();
    conn.write(stream, message::preamble(b"from elsewhere"));
    scene.world.run_for(secs(1));
    assert!(scene.stats().forwards_denied > before);
    let address = |scene: &mut Scene| {
        let coordinator = scene.coordinator;
        scene
            .world
            .coordinator(coordinator)
            .address(session.channel)
    };
    assert_eq!(address(&mut scene), Some(old));
    home.control(&message::address_echo(nonce));
    scene.world.accept_stream(at_victim);
    assert_eq!(address(&mut scene), Some(new));
    scene.all_is_well(&[]);
}

/// Who was asked about one address, and has sent from another since, may have heard of it there.
#[test]
fn an_echo_confirms_nothing_once_packets_have_come_from_elsewhere() {
    let mut scene = Scene::new(17);
    let home = scene.log_in();
    let session = scene.session();
    let old = scene.world.address(scene.mallory);
    let [victim, other] = [66, 67].map(|last| ([198, 51, 100, last], 1234).into());
    let send_from = |scene: &mut Scene, address| {
        scene.world.rebind(scene.mallory, address);
        home.ping();
        scene.world.run_for(Duration::from_millis(100));
    };
    let asked = |scene: &mut Scene| {
        let observed = scene.until("observed", || home.next_of_kind(10));
        let nonce = u64::from_be_bytes(*observed[1..].first_chunk().unwrap());
        assert_eq!(observed, message::observed_address(nonce, victim));
        nonce
    };
    let confirmed = |scene: &mut Scene| {
        scene.world.run_for(secs(1));
        let coordinator = scene.coordinator;
        let coordinator = scene.world.coordinator(coordinator);
        coordinator.address(session.channel)
    };
    send_from(&mut scene, victim);
    let nonce = asked(&mut scene);
    send_from(&mut scene, other);
    send_from(&mut scene, victim);
    home.control(&message::address_echo(nonce));
    assert_eq!(confirmed(&mut scene), Some(old));
    // It is asked anew, and answers from there.
    let nonce = asked(&mut scene);
    home.control(&message::address_echo(nonce));
    assert_eq!(confirmed(&mut scene), Some(victim));
    scene.all_is_well(&[]);
}

#[test]
fn a_client_may_not_have_more_channels_with_another_than_its_share() {
    let mut scene = Scene::with(13, |config| config.limits.channels_per_client = 10);
    let victim = scene.victim();
    let id = scene.world.client(victim).id();
    let conn = scene.log_in();
    for request in 0..100 {
        conn.control(&message::open_by_id(request, id, b"more"));
    }
    scene.world.run_for(secs(2));
    let mut offers = 0;
    let mut refusals = 0;
    while let Some(answer) = conn.next_control() {
        if message::read_offer(&answer).is_some() {
            offers += 1;
        } else {
            refusals += 1;
            assert_eq!(answer.last(), Some(&10), "a limit");
        }
    }
    // Less than half of what the victim may be asked for.
    assert_eq!((offers, refusals), (5, 95));
    // They are all given up in time.
    scene.world.run_for(secs(60));
    assert_eq!(
        count_events(&mut scene.world, victim, |event| matches!(
            event,
            ChannelEvent::Closed { .. }
        )),
        5
    );
    scene.all_is_well(&[]);
}

#[test]
fn a_coordinator_that_closes_does_not_wait_for_those_that_stall() {
    let mut scene = Scene::new(14);
    let silent = scene.log_in();
    let stream = silent.open_uni().unwrap();
    silent.write(stream, message::preamble(b"never ends"));
    scene.world.run_for(secs(1));
    // It neither acknowledges nor agrees.
    scene.raw.filter_outgoing(|_| false);
    let now = scene.world.now();
    let coordinator = scene.world.coordinator(scene.coordinator);
    coordinator.close(now, secs(3));
    coordinator.close(now, secs(3));
    for at in scene.pair.ends {
        scene.world.closed(crate::connecting::home(at.node));
    }
    let node = scene.coordinator;
    scene.world.wait_for("finished", secs(10), |world| {
        world.coordinator(node).is_finished().then_some(())
    });
    assert!(scene.world.now() - now <= secs(8));
}

#[test]
fn answers_that_nobody_reads_do_not_pile_up() {
    let mut scene = Scene::new(15);
    let mut dial = Dial::home(MALLORY);
    dial.stream_window = 1024;
    dial.window = 4096;
    let conn = scene.log_in_with(&dial, b"mallory");
    conn.set_reading(false);
    // Just below the rate that is allowed, each answered in as many bytes as can be had.
    let request = message::frame(&message::open_by_name((1 << 62) - 1, b"nobody", b""));
    for _ in 0..300 {
        conn.control_bytes(request.repeat(95));
        scene.world.run_for(secs(1));
    }
    // Its questions wait, as it does not read the answers.
    assert_eq!(conn.end(), None);
    scene.pair.talk(&mut scene.world);
    let before = conn.received(0).bytes.len();
    for _ in 0..1000 {
        conn.set_reading(true);
        scene.world.run_for(Duration::from_millis(100));
    }
    let piled = conn.received(0).bytes.len() - before;
    assert!(piled <= 128 << 10, "{piled} bytes were waiting");
    scene.world.run_for(secs(1));
    scene.pair.are_well(&mut scene.world);
}

/// It has left so little of what it may send that this is used up before the Coordinator's QUIC tells of more by itself.
#[test]
fn requests_make_room_for_others_beside_a_stream_that_nobody_reads() {
    let mut scene = Scene::with(17, |config| {
        config.home.receive_window = 1 << 20;
        config.home.max_receive_window = 1 << 20;
        share_out(config, 8 << 20);
    });
    let conn = scene.log_in();
    scene.world.run_for(secs(1));
    let stream = conn.open_uni().unwrap();
    conn.write(stream, message::preamble(b"unread"));
    for _ in 0..(1 << 20) / 1002 - 30 {
        conn.write(stream, message::frame(&[0; 1000]));
    }
    scene.until("all is sent", || conn.is_flushed().then_some(()));
    scene.world.run_for(secs(2));
    for number in 0..600 {
        conn.control(&message::open_by_name(number, b"nobody", &[1; 255]));
        let answer = scene.until("an answer", || conn.next_of_kind(8));
        assert_eq!(answer, message::open_failed(number, 7));
    }
    scene.all_is_well(&[]);
}
