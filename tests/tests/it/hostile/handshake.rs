//! Before anyone has said who it is.

use conec_core::{CloseReason, ErrorCode};
use conec_tests::{
    raw::{Dial, End, Key, initial_len},
    sim::Tap,
};

use super::*;

/// TLS alerts as QUIC carries them (RFC 9001, 4.8).
const fn alert(number: u64) -> End {
    End::Transport(0x100 + number)
}

#[test]
fn spoofed_handshakes_get_retries_then_silence_and_never_more_than_three_times_their_bytes() {
    let mut scene = Scene::with(1, |config| {
        config.limits.handshakes_before_retry = 4;
        config.limits.handshakes = 12;
    });
    let tap = Tap::default();
    scene.world.network.tap = Some(tap.clone());
    let (now, to) = (scene.world.now(), scene.coordinator_address());
    let spoofed = |number: u16| ([198, 51, 100, 7], number).into();
    for number in 0..100 {
        let initial = scene.raw.initial(now, to, &Dial::home(MALLORY));
        scene.world.inject(spoofed(number), to, &initial);
    }
    // Those before whom a Retry lies keep the others from being remembered at all.
    scene.pair.talk(&mut scene.world);
    let victim = spoofed(0).ip();
    let retries = tap.count(|packet| {
        packet.destination.ip() == victim && packet.payload.first().is_some_and(|b| b >> 4 == 0xf)
    });
    assert_eq!(retries, 96);

    // Somebody honest gets in all the same.
    let client = scene.world.add_client("carol");
    scene.world.connect(client, scene.coordinator);

    // Attackers that do prove their addresses, and then stall, fill the rest.
    let stalled = (0..20).map(|_| scene.dial(&Dial::home(MALLORY)));
    let stalled: Vec<_> = stalled.collect();
    scene.raw.filter_outgoing({
        let mut initials = 0;
        move |packet| {
            // The first one, and the one with the Retry's token.
            let initial = initial_len(packet).is_some();
            initials += usize::from(initial);
            initial && initials <= 40
        }
    });
    scene.world.run_for(secs(2));
    let before = tap.count(|packet| packet.destination.ip() == victim);
    let refused = scene.stats().handshakes_refused;
    let now = scene.world.now();
    for number in 100..150 {
        let initial = scene.raw.initial(now, to, &Dial::home(MALLORY));
        scene.world.inject(spoofed(number), to, &initial);
    }
    scene.world.run_for(Duration::from_millis(50));
    assert_eq!(scene.stats().handshakes_refused, refused + 50);
    let to_late = |packet: &&conec_tests::sim::Packet| {
        packet.destination.ip() == victim && packet.destination.port() >= 100
    };
    assert_eq!(tap.count(to_late), 0, "answered though full");
    assert!(before >= 96);
    scene.pair.talk(&mut scene.world);

    // After the deadline there is room again.
    scene.world.run_for(secs(11));
    let client = scene.world.add_client("dave");
    scene.world.connect(client, scene.coordinator);
    assert_eq!(scene.world.coordinator(scene.coordinator).clients(), 4);
    // None of those that stalled has got anywhere.
    assert!(stalled.iter().all(|conn| conn.received(0).bytes.is_empty()));

    // In all, no more was reflected than three times what came.
    let bytes = std::cell::Cell::new([0, 0]);
    tap.count(|packet| {
        let [mut out, mut into] = bytes.get();
        if packet.destination.ip() == victim {
            out += packet.payload.len();
        }
        if packet.source.ip() == victim {
            into += packet.payload.len();
        }
        bytes.set([out, into]);
        true
    });
    let [out, into] = bytes.get();
    assert!(out <= 3 * into, "{out} bytes for {into}");
    scene.all_is_well(&[]);
}

#[test]
fn handshakes_that_are_closed_at_once_take_no_place_that_others_need() {
    let mut scene = Scene::with(1, |config| {
        config.limits.handshakes_before_retry = 4;
        config.limits.handshakes = 12;
        config.limits.clients = 8;
    });
    let tap = Tap::default();
    scene.world.network.tap = Some(tap.clone());
    let to = scene.coordinator_address();
    let victim: std::net::IpAddr = [198, 51, 100, 7].into();
    for number in 0..100 {
        let now = scene.world.now();
        for forged in scene.raw.initial_and_close(now, to, &Dial::home(MALLORY)) {
            scene.world.inject((victim, number).into(), to, &forged);
        }
        scene.world.run_for(Duration::from_millis(1));
    }
    // What ends is no proof: as before, all but a few would have to prove that they are there.
    let answered = tap.count(|packet| packet.destination.ip() == victim);
    let retries = tap.count(|packet| {
        packet.destination.ip() == victim && packet.payload.first().is_some_and(|b| b >> 4 == 0xf)
    });
    assert!(retries >= 90, "{retries} of {answered}");

    let client = scene.world.add_client("carol");
    scene.world.connect(client, scene.coordinator);
    scene.pair.talk(&mut scene.world);
    scene.all_is_well(&[]);
}

#[test]
fn an_address_is_not_answered_for_what_comes_from_others() {
    let mut scene = Scene::new(8);
    let tap = Tap::default();
    scene.world.network.tap = Some(tap.clone());
    let (now, to) = (scene.world.now(), scene.coordinator_address());
    let initial = scene.raw.initial(now, to, &Dial::home(MALLORY));
    // Whoever knows the connection ID can send packets that seem to belong to the handshake.
    let victim = ([198, 51, 100, 7], 1).into();
    scene.world.inject(victim, to, &initial);
    for port in 2..22 {
        let elsewhere = ([198, 51, 100, 8], port).into();
        scene.world.inject(elsewhere, to, &initial);
    }
    scene.world.run_for(secs(12));
    let mut bytes = 0;
    tap.count(|packet| {
        let answer = packet.destination == victim;
        bytes += if answer { packet.payload.len() } else { 0 };
        answer
    });
    assert!(bytes > 0);
    assert!(bytes <= 3 * initial.len(), "{bytes} bytes");
    scene.all_is_well(&[]);
}

#[test]
fn a_handshake_kept_alive_by_pings_is_ended_at_its_deadline() {
    let mut scene = Scene::new(2);
    let conn = scene.dial(&Dial::home(MALLORY));
    // All but the server's first packet is lost on the way, so that the handshake cannot be completed; what is short
    // passes, since the end is short.
    scene.raw.filter_incoming(|datagram| {
        if datagram.len() > 200
            && let Some(len) = initial_len(datagram)
        {
            datagram.truncate(len);
        }
        datagram.len() <= 200
    });
    let begin = scene.world.elapsed();
    while conn.end().is_none() && scene.world.elapsed() - begin < secs(25) {
        conn.ping();
        scene.world.run_for(Duration::from_millis(500));
    }
    assert!(!conn.is_connected());
    // An application may not say more than this in a handshake (RFC 9000, 10.2.3).
    assert_eq!(conn.end(), Some(End::Transport(0xc)));
    assert!(scene.world.elapsed() - begin <= secs(11));
    assert_eq!(scene.stats().handshakes_refused, 1);
    scene.all_is_well(&[]);
}

#[test]
fn who_says_nothing_after_the_handshake_is_thrown_out() {
    let mut scene = Scene::new(3);
    let conn = scene.shake_hands();
    let begin = scene.world.elapsed();
    scene.expect_end(&conn, HELLO_TIMEOUT);
    assert!(scene.world.elapsed() - begin <= secs(6));
    // The application has never heard of it.
    scene.all_is_well(&[]);
}

#[test]
fn a_network_full_of_silent_clients_leaves_room_for_those_of_others() {
    let mut scene = Scene::with(5, |config| {
        config.limits.handshakes_before_retry = 1;
        config.limits.handshakes = 20;
        config.limits.handshakes_per_network = 6;
    });
    let conns: Vec<_> = (0..20).map(|_| scene.dial(&Dial::home(MALLORY))).collect();
    scene.world.run_for(secs(1));
    // That they have a key does not make them less of a crowd before they have introduced themselves.
    let connected = conns.iter().filter(|conn| conn.is_connected()).count();
    assert_eq!(connected, 6);

    let elsewhere = scene.world.add_client("elsewhere");
    let address = ([198, 51, 100, 7], 4433).into();
    scene.world.rebind(elsewhere, address);
    scene.world.connect(elsewhere, scene.coordinator);
    scene.pair.are_well(&mut scene.world);

    // The deadline makes room again.
    scene.world.run_for(secs(40));
    scene.log_in();
    scene.pair.are_well(&mut scene.world);
}

#[test]
fn three_hundred_silent_clients_are_thrown_out_at_one_instant() {
    let mut scene = Scene::with(4, |config| {
        config.limits.handshakes_before_retry = 2000;
        config.limits.handshakes = 2000;
    });
    let conns: Vec<_> = (0..300).map(|_| scene.dial(&Dial::home(MALLORY))).collect();
    scene.pair.talk(&mut scene.world);
    scene.world.run_for(secs(2));
    assert!(conns.iter().all(|conn| conn.is_connected()));
    for conn in &conns {
        assert_eq!(scene.until("the end", || conn.end()), HELLO_TIMEOUT);
    }
    scene.all_is_well(&[]);
}

/// As with keys against quantum computers. What comes before the first packet was looked at waits with it.
#[test]
fn a_handshake_that_begins_with_two_packets_takes_no_longer_than_others() {
    let took = [0, 5].map(|other_protocols| {
        let mut scene = Scene::new(11);
        let dial = Dial {
            other_protocols,
            ..Dial::home(MALLORY)
        };
        let begin = scene.world.elapsed();
        scene.shake_hands_with(&dial);
        scene.world.elapsed() - begin
    });
    assert_eq!(took[0], took[1]);
}

#[test]
fn another_protocol_is_refused_as_such() {
    for (seed, alpn) in [&b"h3"[..], b"conec/2", b"conec-peer/1"].iter().enumerate() {
        let mut scene = Scene::new(seed as u64);
        let mut dial = Dial::home(MALLORY);
        dial.alpn = alpn.to_vec();
        let conn = scene.dial(&dial);
        // no_application_protocol.
        scene.expect_end(&conn, alert(120));
        scene.all_is_well(&[]);
    }
}

#[test]
fn nobody_gets_in_without_a_raw_key_of_its_own() {
    let refused = [
        // certificate_required.
        (Key::None, vec![alert(116), alert(43), alert(40)]),
        // It does not offer a raw key where one is wanted.
        (Key::Certificate(5), vec![alert(43), alert(40), alert(116)]),
        // bad_certificate.
        (Key::Padded(666), vec![alert(42)]),
        // decrypt_error: the signature is not by that key.
        (Key::Stolen(1), vec![alert(51), alert(42)]),
    ];
    for (seed, (key, alerts)) in refused.into_iter().enumerate() {
        let mut scene = Scene::new(seed as u64);
        let conn = scene.dial(&Dial::home(key));
        let end = scene.until("refused", || conn.end());
        assert!(alerts.contains(&end), "{key:?}: {end:?}");
        assert!(conn.next_control().is_none());
        scene.all_is_well(&[]);
    }
}

#[test]
fn a_stolen_public_key_does_not_disturb_its_owner() {
    let mut scene = Scene::new(5);
    // The first bystander's.
    let conn = scene.dial(&Dial::home(Key::Stolen(1)));
    let end = scene.until("refused", || conn.end());
    assert!(matches!(end, End::Transport(0x100..0x200)), "{end:?}");
    scene.all_is_well(&[]);
}

#[test]
fn a_client_whose_certificate_is_refused_is_never_connected() {
    // TLS is done for a client before the server has looked at its key: only the Coordinator's word counts.
    let mut world = World::new(6);
    let raw = Raw::new(6);
    let false_coordinator = world.add_stranger(raw.clone());
    raw.listen(&Dial::home(Key::Certificate(1)));
    let alice = world.add_client("alice");
    world.start_connecting(alice, false_coordinator);
    let conn = world.wait_for("a client", secs(10), |_| raw.accept());
    world.wait_for("hello", secs(10), |_| conn.next_control());
    assert!(!world.client(alice).is_connected());
    let now = world.now();
    conn.close(now, 4);
    assert_eq!(
        world.closed(crate::connecting::home(alice)),
        CloseReason::Remote(ErrorCode::Refused)
    );
}
