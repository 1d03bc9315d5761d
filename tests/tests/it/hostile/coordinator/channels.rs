//! What it says of channels, and does with their packets.

use conec_core::Path;
use conec_tests::sim::{Hairpin, NatConfig};

use super::*;

#[test]
fn an_offer_of_a_route_that_is_in_use_is_a_violation() {
    let mut den = Den::new(6);
    let (alice, conn) = den.welcome("alice");
    let offer = stray_offer(1, mallory_id());
    conn.control(&message::offer(&offer));
    conn.control(&message::offer(&offer));
    let reason = CloseReason::Violation(Violation::Unexpected);
    den.expect_end(alice, &conn, reason, PROTOCOL);
    // The channel that was offered ends once.
    let ended = count_events(&mut den.scene.world, alice, |event| {
        matches!(
            event,
            ChannelEvent::Closed {
                reason: CloseReason::CoordinatorLost
            }
        )
    });
    assert_eq!(ended, 1);
    den.scene.all_is_well(&[]);
}

#[test]
fn a_flood_of_offers_takes_no_more_channels_than_one_may() {
    let mut den = Den::new(7);
    let (alice, conn) = den.welcome_with("alice", |config| {
        config.limits.channels_per_client = 8;
        config.auto_accept = false;
    });
    for number in 0..200 {
        conn.control(&message::offer(&stray_offer(number, mallory_id())));
    }
    den.scene.world.run_for(secs(2));
    let mut offered = 0;
    while den
        .scene
        .world
        .take_event(alice, |event| {
            matches!(event, Event::Client(ClientEvent::Offered { .. })).then_some(())
        })
        .is_some()
    {
        offered += 1;
    }
    // All are said to come from the same Client.
    assert_eq!(offered, 4);
    let mut declined = 0;
    while let Some(answer) = conn.next_of_kind(6) {
        assert_eq!(answer.last(), Some(&10), "a limit");
        declined += 1;
    }
    assert_eq!(declined, 196);
    // Those that nobody answers end in time, once each.
    den.scene.world.run_for(secs(60));
    let ended = count_events(&mut den.scene.world, alice, |event| {
        matches!(event, ChannelEvent::Closed { .. })
    });
    assert_eq!(ended, 4);
    den.scene.all_is_well(&[]);
}

#[test]
fn a_peers_first_packet_comes_by_way_of_the_coordinator_or_not_at_all() {
    let mut den = Den::new(21);
    let (alice, conn) = den.welcome("alice");
    let offer = stray_offer(1, mallory_id());
    conn.control(&message::offer(&offer));
    den.scene.until("accepted", || conn.next_of_kind(4));
    // Somebody who knows the route, and even has the right key, calls directly.
    let stranger = Raw::new(210);
    den.scene.world.add_stranger(stranger.clone());
    let (now, address) = (den.scene.world.now(), den.scene.world.address(alice));
    let reversed = Offer {
        role: 0,
        own_route: offer.peer_route,
        peer_route: offer.own_route,
        ..offer
    };
    let call = stranger.connect_peer(now, &reversed, address, &Dial::peer(MALLORY));
    den.scene.world.run_for(secs(5));
    assert!(!call.is_connected());
    assert_eq!(stranger.heard(), 0, "answered");
    assert!(den.scene.world.client(alice).stats().datagrams_dropped > 0);
    den.scene.all_is_well(&[]);
}

#[test]
fn news_of_unknown_channels_are_no_news() {
    let mut den = Den::new(8);
    let (alice, conn) = den.welcome("alice");
    conn.control(&message::start([0x80; 6]));
    conn.control(&message::neighbour([0x80; 6], true));
    conn.control(&message::channel_closed([0x80; 6], 8));
    conn.control(&message::open_failed(12345, 7));
    let answer = Offer {
        request: Some(777),
        ..stray_offer(1, mallory_id())
    };
    conn.control(&message::offer(&answer));
    let declined = den.scene.until("declined", || conn.next_of_kind(6));
    assert_eq!(declined, message::close_channel(answer.own_route, 13));
    den.scene.world.run_for(secs(1));
    assert!(den.scene.world.client(alice).is_connected());
    den.scene.all_is_well(&[]);
}

#[test]
fn a_channel_is_started_once_by_its_initiator_when_it_has_accepted() {
    // Twice; at the end that waits; at one that was not asked yet.
    for case in ["twice", "acceptor", "unanswered"] {
        let mut den = Den::new(9);
        let (alice, conn) = den.welcome_with("alice", |config| {
            config.auto_accept = case != "unanswered";
        });
        let offer = Offer {
            role: u8::from(case == "acceptor"),
            ..stray_offer(1, mallory_id())
        };
        // Its packets lead nowhere.
        den.scene
            .raw
            .forward(offer.peer_route, ([192, 0, 2, 1], 9).into());
        conn.control(&message::offer(&offer));
        den.scene.world.run_for(secs(1));
        conn.control(&message::start(offer.own_route));
        if case == "twice" {
            den.scene.world.run_for(secs(1));
            assert!(den.scene.world.client(alice).is_connected());
            conn.control(&message::start(offer.own_route));
        }
        let reason = CloseReason::Violation(Violation::Unexpected);
        den.expect_end(alice, &conn, reason, PROTOCOL);
        assert!(!has_opened(&mut den.scene.world, alice));
        den.scene.all_is_well(&[]);
    }
}

#[test]
fn an_honest_arrangement_opens_and_its_coordinator_reads_nothing() {
    let mut den = Den::new(10);
    let (alice, at_alice) = den.welcome("alice");
    let (bob, at_bob) = den.welcome("bob");
    let [alice_id, bob_id] = [den.id(alice), den.id(bob)];
    let (channel, request) = den.ask(alice, &at_alice, bob_id);
    // Everything that reaches the Coordinator, as it is.
    let heard = std::rc::Rc::new(std::cell::RefCell::new(Vec::<u8>::new()));
    den.scene.raw.filter_incoming({
        let heard = heard.clone();
        move |datagram| {
            heard.borrow_mut().extend_from_slice(datagram);
            true
        }
    });
    let arranged = Arranged {
        ends: [&at_alice, &at_bob],
        request,
        routes: ROUTES,
        peers: [bob_id, alice_id],
    };
    assert_eq!(den.arrange(&arranged), [true, true]);
    assert_eq!(opened_or_closed(&mut den.scene.world, alice), Ok(channel));
    let at_bobs = opened_or_closed(&mut den.scene.world, bob).expect("opens");
    let secret = b"a marker that nobody else may see";
    let stream = den.scene.world.open_stream(channel, b"SECRET-LABEL");
    den.scene.world.send(stream, secret.repeat(50));
    let (half, label) = den.scene.world.accept_labelled(at_bobs);
    assert_eq!(label, "SECRET-LABEL");
    assert_eq!(den.scene.world.recv(half), secret.repeat(50));
    // Neither in any datagram, nor in anything that the Coordinator has the keys for.
    let contains = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|part| part == what);
    let mut readable = at_alice.everything();
    readable.extend(at_bob.everything());
    for marker in [&secret[..], b"SECRET-LABEL"] {
        assert!(!contains(&heard.borrow(), marker));
        assert!(!contains(&readable, marker));
    }
    assert!(heard.borrow().len() > 50 * secret.len());
    // What is meant for it, it can read: this finds what there is to find.
    assert!(contains(&readable, b"test"));
    den.scene.all_is_well(&[]);
}

/// It says of nobody that they are neighbours, or calls them that and takes it back without end.
#[test]
fn who_is_called_a_neighbour_by_nobody_or_again_and_again_finds_other_ways() {
    let box_with = |hairpin| NatConfig {
        hairpin,
        ..NatConfig::home()
    };
    for (home, flaps, direct) in [
        (None, 0, true),
        (None, 3000, true),
        (Some(box_with(Hairpin::ExternalSource)), 0, true),
        (Some(box_with(Hairpin::None)), 0, false),
    ] {
        let mut den = Den::new(18);
        let (alice, at_alice) = den.welcome("alice");
        let (bob, at_bob) = den.welcome("bob");
        if let Some(config) = home {
            let home = den.scene.world.add_nat("home", config);
            for (node, conn) in [(alice, &at_alice), (bob, &at_bob)] {
                den.scene.world.put(node, home);
                // Until it says something.
                den.scene.world.run_for(secs(12));
                conn.control(&message::observed_address(1, conn.remote()));
            }
        }
        let [alice_id, bob_id] = [den.id(alice), den.id(bob)];
        let (channel, request) = den.ask(alice, &at_alice, bob_id);
        den.arrange(&Arranged {
            ends: [&at_alice, &at_bob],
            request,
            routes: ROUTES,
            peers: [bob_id, alice_id],
        });
        let world = &mut den.scene.world;
        assert_eq!(opened_or_closed(world, alice), Ok(channel));
        let at_bobs = opened_or_closed(world, bob).expect("opens");
        for number in 0..flaps {
            at_alice.control(&message::neighbour(ROUTES[0], number % 2 == 0));
            world.run_for(Duration::from_millis(1));
        }
        world.run_for(secs(10));
        for at in [channel, at_bobs] {
            let path = world.channel(at.node, at.channel).unwrap().path();
            assert_eq!(matches!(path, Path::Direct(_)), direct);
        }
        let stream = world.open_stream(channel, b"");
        world.send(stream, "hello");
        let half = world.accept_stream(at_bobs);
        assert_eq!(world.recv(half), "hello");
        den.scene.all_is_well(&[]);
    }
}

#[test]
fn swapped_keys_make_opening_by_id_fail() {
    // Alice asks for Bob. She is told that the other end is Mallory; or Bob is told that she is; or both.
    for (case, lie_to_alice, lie_to_bob) in [(1, true, false), (2, false, true), (3, true, true)] {
        let mut den = Den::new(10 + case);
        let (alice, at_alice) = den.welcome("alice");
        let (bob, at_bob) = den.welcome("bob");
        let [alice_id, bob_id] = [den.id(alice), den.id(bob)];
        let (channel, request) = den.ask(alice, &at_alice, bob_id);
        let told = |lie: bool, truth| if lie { mallory_id() } else { truth };
        den.arrange(&Arranged {
            ends: [&at_alice, &at_bob],
            request,
            routes: ROUTES,
            peers: [told(lie_to_alice, bob_id), told(lie_to_bob, alice_id)],
        });
        assert_eq!(
            den.scene.world.closed(channel),
            CloseReason::Identity,
            "case {case}"
        );
        den.scene.world.run_for(secs(60));
        assert!(!has_opened(&mut den.scene.world, alice));
        assert!(!has_opened(&mut den.scene.world, bob));
        den.scene.all_is_well(&[]);
    }
}

#[test]
fn a_coordinator_that_answers_itself_or_leads_elsewhere_opens_nothing() {
    for key in [MALLORY, Key::Stolen(1), Key::Certificate(1)] {
        let mut den = Den::new(14);
        let (alice, at_alice) = den.welcome("alice");
        let (carol, at_carol) = den.welcome("carol");
        let bob_id = keys::identity(2).id();
        // The Coordinator takes the packets for itself, with a key of its own.
        let (channel, request) = den.ask(alice, &at_alice, bob_id);
        let address = den.scene.world.address(alice);
        den.scene
            .raw
            .await_peer(ROUTES[1], address, &Dial::peer(key));
        let offer = Offer {
            request: Some(request),
            role: 0,
            own_route: ROUTES[0],
            peer_route: ROUTES[1],
            channel: 7,
            peer: bob_id,
            peer_name: Vec::new(),
            label: b"test".to_vec(),
        };
        at_alice.control(&message::offer(&offer));
        den.scene.until("accepted", || at_alice.next_of_kind(4));
        at_alice.control(&message::start(ROUTES[0]));
        let reason = den.scene.world.closed(channel);
        assert!(
            matches!(reason, CloseReason::Identity | CloseReason::Transport(_)),
            "{key:?}: {reason:?}"
        );
        // It leads her to Carol, who is told the truth about her.
        let (channel, request) = den.ask(alice, &at_alice, bob_id);
        let alice_id = den.id(alice);
        den.arrange(&Arranged {
            ends: [&at_alice, &at_carol],
            request,
            routes: [[0xa1; 6], [0xb1; 6]],
            peers: [bob_id, alice_id],
        });
        assert_eq!(den.scene.world.closed(channel), CloseReason::Identity);
        den.scene.world.run_for(secs(60));
        assert!(!has_opened(&mut den.scene.world, alice));
        assert!(!has_opened(&mut den.scene.world, carol));
        den.scene.all_is_well(&[]);
    }
}

#[test]
fn an_answer_that_does_not_fit_the_request_is_declined() {
    let mut den = Den::new(15);
    let (alice, conn) = den.welcome("alice");
    let bob_id = keys::identity(2).id();
    let right = |request| Offer {
        request: Some(request),
        role: 0,
        own_route: ROUTES[0],
        peer_route: ROUTES[1],
        channel: 7,
        peer: bob_id,
        peer_name: Vec::new(),
        label: b"test".to_vec(),
    };
    type Change = dyn Fn(&mut Offer);
    let changes: [&Change; 3] = [
        &|offer| offer.peer = mallory_id(),
        &|offer| offer.label = b"tset".to_vec(),
        &|offer| offer.role = 1,
    ];
    for change in changes {
        let (channel, request) = den.ask(alice, &conn, bob_id);
        let mut offer = right(request);
        change(&mut offer);
        conn.control(&message::offer(&offer));
        assert_eq!(den.scene.world.closed(channel), CloseReason::Identity);
        let declined = den.scene.until("declined", || conn.next_of_kind(6));
        assert_eq!(declined, message::close_channel(ROUTES[0], 12));
    }
    // The same route for both ends leads nowhere.
    let (channel, request) = den.ask(alice, &conn, bob_id);
    let mut offer = right(request);
    offer.peer_route = offer.own_route;
    let address = den.scene.world.address(alice);
    den.scene.raw.forward(ROUTES[0], address);
    conn.control(&message::offer(&offer));
    den.scene.world.run_for(secs(1));
    conn.control(&message::start(ROUTES[0]));
    let reason = den.scene.world.closed(channel);
    assert!(!has_opened(&mut den.scene.world, alice), "{reason:?}");
    den.scene.all_is_well(&[]);
}

#[test]
fn a_name_is_what_the_coordinator_says_and_a_wrong_one_is_noticed() {
    let mut den = Den::new(16);
    let (alice, conn) = den.welcome("alice");
    let target = Target::Name("bob".parse().unwrap());
    let channel = den.scene.world.request_channel(alice, target);
    let asked = den.scene.until("a request", || conn.next_of_kind(2));
    assert_eq!(asked, message::open_by_name(0, b"bob", b"test"));
    conn.control(&message::offer(&Offer {
        request: Some(0),
        role: 0,
        peer_name: b"carol".to_vec(),
        label: b"test".to_vec(),
        ..stray_offer(1, mallory_id())
    }));
    assert_eq!(den.scene.world.closed(channel), CloseReason::Identity);
    den.scene.all_is_well(&[]);
}

#[test]
fn packets_that_a_coordinator_makes_up_or_mixes_up_open_and_end_nothing() {
    let mut den = Den::new(17);
    let (alice, at_alice) = den.welcome("alice");
    let (bob, at_bob) = den.welcome("bob");
    let [alice_id, bob_id] = [den.id(alice), den.id(bob)];
    let (channel, request) = den.ask(alice, &at_alice, bob_id);
    den.arrange(&Arranged {
        ends: [&at_alice, &at_bob],
        request,
        routes: ROUTES,
        peers: [bob_id, alice_id],
    });
    let at_bobs = {
        let world = &mut den.scene.world;
        assert_eq!(opened_or_closed(world, alice), Ok(channel));
        opened_or_closed(world, bob).expect("opens")
    };
    let stream = den.scene.world.open_stream(channel, b"");
    den.scene.world.send(stream, "one");
    let half = den.scene.world.accept_stream(at_bobs);
    assert_eq!(den.scene.world.recv(half), "one");
    // Everything is sent three times, back to where it came from too, and with junk in between.
    let raw = den.scene.raw.clone();
    let [to_alice, to_bob] = [alice, bob].map(|node| den.scene.world.address(node));
    den.scene.raw.filter_incoming(move |datagram| {
        if route_of(datagram).is_some() {
            let mut junk = datagram.to_vec();
            let last = junk.len() - 1;
            junk[last] ^= 1;
            for to in [to_alice, to_bob] {
                MIXED.with_borrow_mut(|mixed| {
                    mixed.push((to, datagram.to_vec()));
                    mixed.push((to, junk.clone()));
                });
            }
        }
        true
    });
    for number in 0..20 {
        let message = format!("message {number}");
        den.scene.world.send(stream, message.clone());
        MIXED.with_borrow_mut(|mixed| {
            for (to, bytes) in mixed.drain(..) {
                raw.send_to(to, &bytes);
            }
        });
        assert_eq!(den.scene.world.recv(half), message);
        den.scene.pair.talk(&mut den.scene.world);
    }
    den.scene.world.send(half, "and back");
    assert_eq!(den.scene.world.recv(stream), "and back");
    den.scene.all_is_well(&[]);
}

thread_local! {
    /// What is still to be sent wrongly.
    static MIXED: std::cell::RefCell<Vec<(SocketAddr, Vec<u8>)>> =
        const { std::cell::RefCell::new(Vec::new()) };
}
