//! A Coordinator that its Clients should not trust.

use std::net::SocketAddr;

use conec_core::{ClientConfig, ClientEvent, Endpoint, ErrorCode, Nat, Violation};
use conec_tests::raw::{
    CONTROL,
    message::{Offer, Route},
    route_of,
};

use super::*;
use crate::connecting::home;

/// Clients of a raw Coordinator, while bystanders use an honest one.
pub(super) struct Den {
    pub(super) scene: Scene,
    /// How many Clients were tried: a world has room for two hundred.
    nodes: usize,
}

impl Den {
    pub(super) fn new(seed: u64) -> Self {
        let scene = Scene::new(seed);
        scene.raw.listen(&Dial::home(Key::Certificate(1)));
        Self { scene, nodes: 0 }
    }

    /// A Client that has said hello, and what it was told is still to be decided.
    fn arrive(&mut self, name: &str) -> (NodeId, RawConn) {
        self.arrive_with(name, |_| {})
    }

    fn arrive_with(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut ClientConfig),
    ) -> (NodeId, RawConn) {
        let world = &mut self.scene.world;
        let mut config = world.client_config(name);
        change(&mut config);
        let client = world.add_client_with(config);
        world.start_connecting(client, self.scene.mallory);
        let raw = self.scene.raw.clone();
        let conn = self.scene.until("a client", || raw.accept());
        self.scene.until("hello", || conn.next_control());
        (client, conn)
    }

    /// A Client that believes itself connected.
    pub(super) fn welcome(&mut self, name: &str) -> (NodeId, RawConn) {
        self.welcome_with(name, |_| {})
    }

    fn welcome_with(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut ClientConfig),
    ) -> (NodeId, RawConn) {
        let (client, conn) = self.arrive_with(name, change);
        let address = self.scene.world.address(client);
        conn.control(&message::welcome(name.as_bytes(), address));
        self.scene.world.wait_for("connected", secs(5), |world| {
            world.take_event(client, |event| {
                matches!(event, Event::Client(ClientEvent::Connected { .. })).then_some(())
            })
        });
        (client, conn)
    }

    pub(super) fn id(&mut self, client: NodeId) -> ClientId {
        self.scene.world.client(client).id()
    }

    /// `client` asks for a channel to `to` by id; the number of the request is given.
    fn ask(&mut self, client: NodeId, conn: &RawConn, to: ClientId) -> (At, u64) {
        let at = self.scene.world.request_channel(client, to.into());
        let asked = self.scene.until("a request", || conn.next_of_kind(2));
        let (request, id, label) = message::read_open_by_id(&asked).unwrap();
        assert_eq!((id, &label[..]), (to, &b"test"[..]));
        (at, request)
    }

    /// Arranges a channel between two Clients as an honest Coordinator does, but for what it says about who is who.
    fn arrange(&mut self, channel: &Arranged<'_>) -> [bool; 2] {
        let [(first, at_first), (second, at_second)] = channel.ends;
        for (at, route) in [
            (at_first, channel.routes[0]),
            (at_second, channel.routes[1]),
        ] {
            let address = self.scene.world.address(at);
            self.scene.raw.forward(route, address);
        }
        let offer = |role: u8, request| Offer {
            request,
            role,
            own_route: channel.routes[usize::from(role)],
            peer_route: channel.routes[usize::from(1 - role)],
            channel: 7,
            peer: channel.peers[usize::from(role)],
            peer_name: Vec::new(),
            label: b"test".to_vec(),
        };
        first.control(&message::offer(&offer(0, Some(channel.request))));
        second.control(&message::offer(&offer(1, None)));
        self.scene.world.run_for(secs(1));
        let accepted = [first, second].map(|conn| conn.next_of_kind(4).is_some());
        if accepted == [true, true] {
            first.control(&message::start(channel.routes[0]));
        }
        accepted
    }

    /// The Client is rid of its Coordinator for this reason, and the Coordinator knows by this code.
    fn expect_end(&mut self, client: NodeId, conn: &RawConn, reason: CloseReason, end: End) {
        assert_eq!(self.scene.world.closed(home(client)), reason);
        self.scene.expect_end(conn, end);
    }
}

/// What the ends of a channel are told.
struct Arranged<'a> {
    ends: [(&'a RawConn, NodeId); 2],
    request: u64,
    routes: [Route; 2],
    /// Who each end is told that the other is.
    peers: [ClientId; 2],
}

const ROUTES: [Route; 2] = [[0x81, 2, 3, 4, 5, 6], [0x91, 2, 3, 4, 5, 6]];

fn stray_offer(number: u8, peer: ClientId) -> Offer {
    Offer {
        request: None,
        role: 1,
        own_route: [0x80, 0, 0, 0, number, 1],
        peer_route: [0x80, 0, 0, 0, number, 2],
        channel: 1,
        peer,
        peer_name: b"stranger".to_vec(),
        label: b"for you".to_vec(),
    }
}

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
fn a_flood_of_offers_takes_as_many_channels_as_allowed_and_no_more() {
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
    assert_eq!(offered, 8);
    let mut declined = 0;
    while let Some(answer) = conn.next_of_kind(6) {
        assert_eq!(answer.last(), Some(&10), "a limit");
        declined += 1;
    }
    assert_eq!(declined, 192);
    // Those that nobody answers end in time, once each.
    den.scene.world.run_for(secs(60));
    let ended = count_events(&mut den.scene.world, alice, |event| {
        matches!(event, ChannelEvent::Closed { .. })
    });
    assert_eq!(ended, 8);
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
        ends: [(&at_alice, alice), (&at_bob, bob)],
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
            ends: [(&at_alice, alice), (&at_bob, bob)],
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
            ends: [(&at_alice, alice), (&at_carol, carol)],
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
        ends: [(&at_alice, alice), (&at_bob, bob)],
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
