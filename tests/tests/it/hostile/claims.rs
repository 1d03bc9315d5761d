//! Claims to ends of channels that are somebody else's, or nobody's, or over; and good ones, again and again.

use conec_core::{Code, CoordinatorEvent, ErrorCode, PairId};
use conec_tests::raw::message::Offer;

use super::*;

/// What a claim is answered with: that it was good, or why the channel is over.
pub(super) fn answer(scene: &mut Scene, home: &RawConn) -> Result<(), u8> {
    scene.until("an answer", || next_answer(home))
}

pub(super) fn next_answer(home: &RawConn) -> Option<Result<(), u8>> {
    loop {
        let payload = home.next_control()?;
        match u64::from(payload[0]) {
            RESUMED => return Some(Ok(())),
            CHANNEL_CLOSED => return Some(Err(payload[7])),
            _ => {}
        }
    }
}

/// An end of a channel to a victim, and what it takes to claim it.
struct Held {
    home: RawConn,
    end: Offer,
    ticket: Vec<u8>,
    conn: RawConn,
    there: At,
}

/// Who has this key, as a Client that keeps its channels, with one to a victim.
fn hold(scene: &mut Scene, key: u16, victim: NodeId) -> Held {
    let home = log_in(scene, key);
    let id = scene.world.client_id(victim);
    home.control(&message::open_by_id(7, id, b"test"));
    let end = scene.until("offer", || home.next_offer());
    home.control(&message::accept(end.own_route));
    scene.until("start", || home.next_of_kind(START));
    let ticket = next_ticket(scene, &home);
    let (now, via) = (scene.world.now(), scene.coordinator_address());
    let dial = Dial::peer(Key::Identity(key));
    let conn = scene.raw.connect_peer(now, &end, via, &dial);
    scene.until("connected", || conn.is_connected().then_some(()));
    let own = keys::identity(key).id();
    conn.control(&message::bind(end.channel, own, id, b"test"));
    let there = opened_or_closed(&mut scene.world, victim).expect("opens");
    Held {
        home,
        end,
        ticket,
        conn,
        there,
    }
}

/// The same, with Mallory.
fn with_ticket(scene: &mut Scene) -> Held {
    let victim = scene.victim();
    hold(scene, MALLORYS, victim)
}

pub(super) fn log_in(scene: &mut Scene, key: u16) -> RawConn {
    let conn = scene.shake_hands_with(&Dial::home(Key::Identity(key)));
    conn.control(&message::hello_as(b"", b"", 7));
    scene.until("welcome", || conn.next_of_kind(0));
    conn
}

pub(super) fn next_ticket(scene: &mut Scene, home: &RawConn) -> Vec<u8> {
    let next = || message::read_ticket(&home.next_of_kind(TICKET)?);
    scene.until("ticket", next)
}

/// An honest Client that keeps its channels.
fn lasting(scene: &mut Scene, name: &str) -> NodeId {
    let mut config = scene.world.client_config(name);
    config.reconnect = true;
    let client = scene.world.add_client_with(config);
    scene.world.connect(client, scene.coordinator);
    client
}

/// The Coordinator begins anew, with nothing but its keys. Others come to use it.
fn restart(scene: &mut Scene) {
    let config = CoordinatorConfig::new(keys::certificate());
    scene.world.crash(scene.coordinator);
    scene.world.restart_coordinator(scene.coordinator, config);
    scene.pair = Bystanders::meet(&mut scene.world, scene.coordinator);
}

/// What is said at one end arrives at the other.
fn goes_on(scene: &mut Scene, held: &Held) {
    let stream = held.conn.open_uni().expect("allowed");
    let said = [message::preamble(b""), message::frame(b"still here")];
    held.conn.write(stream, said.concat());
    let there = scene.world.accept_stream(held.there);
    assert_eq!(scene.world.recv(there), "still here");
}

fn other_end(end: &Offer) -> Offer {
    end.mirrored(mallory_id())
}

#[test]
fn nobody_claims_what_is_not_its_own() {
    let mut scene = Scene::new(40);
    let Held {
        home,
        end: offer,
        ticket,
        there: at_victim,
        ..
    } = with_ticket(&mut scene);
    let forged = {
        let mut ticket = ticket.clone();
        ticket[20] ^= 1;
        ticket
    };
    let elsewhere = |route: u8| {
        let mut route = [route; 6];
        route[0] |= 0x80;
        route
    };
    let new = Offer {
        own_route: elsewhere(1),
        peer_route: elsewhere(2),
        ..offer.clone()
    };
    // The other end's place; and its own with another number, peer or label; and what never was.
    for end in [
        other_end(&offer),
        Offer {
            role: 1,
            ..offer.clone()
        },
        Offer {
            channel: 5,
            ..offer.clone()
        },
        Offer {
            peer: mallory_id(),
            ..offer.clone()
        },
        Offer {
            label: b"other".to_vec(),
            ..offer.clone()
        },
        Offer {
            peer_route: elsewhere(3),
            ..offer.clone()
        },
        Offer {
            own_route: elsewhere(3),
            ..offer.clone()
        },
        new.clone(),
        Offer {
            peer_route: new.own_route,
            ..new
        },
    ] {
        for ticket in [&ticket, &forged, &Vec::new()] {
            home.control(&message::resume(&end, ticket));
            assert_eq!(answer(&mut scene, &home), Err(NOT_RESUMED), "{end:?}");
        }
    }
    assert_eq!(scene.stats().tickets_refused, 27);
    // What stands is not disturbed, and needs no ticket.
    for ticket in [&ticket, &forged] {
        home.control(&message::resume(&offer, ticket));
        assert_eq!(answer(&mut scene, &home), Ok(()));
    }
    assert!(
        scene
            .world
            .channel(at_victim.node, at_victim.channel)
            .unwrap()
            .is_open()
    );
    scene.all_is_well(&[]);
}

#[test]
fn a_claim_alone_has_nothing_forwarded_and_takes_a_place_for_a_while() {
    let mut scene = Scene::new(41);
    let Held {
        end: offer, ticket, ..
    } = with_ticket(&mut scene);
    restart(&mut scene);
    let before = entries(&mut scene);
    let home = log_in(&mut scene, MALLORYS);
    // Twice is once.
    for _ in 0..2 {
        home.control(&message::resume(&offer, &ticket));
    }
    scene.world.run_for(secs(1));
    assert!(entries(&mut scene) > before);
    let begin = scene.world.elapsed();
    assert_eq!(answer(&mut scene, &home), Err(PEER_GONE));
    assert!(scene.world.elapsed() - begin >= secs(28));
    home.close(scene.world.now(), 0);
    scene.world.run_for(secs(20));
    assert_eq!(entries(&mut scene), before);
}

#[test]
fn a_stolen_ticket_is_of_no_use_to_who_stole_it() {
    let mut scene = Scene::new(43);
    let [one, other] = ["one", "other"].map(|name| lasting(&mut scene, name));
    let carols = hold(&mut scene, CAROLS, one);
    let own = hold(&mut scene, MALLORYS, other);
    // Carol's end, with her ticket and with Mallory's own; the ends that are opposite to those that the tickets are for; and
    // Mallory's end in the other role.
    let turned = Offer {
        role: 1,
        ..own.end.clone()
    };
    let claims = [
        message::resume(&carols.end, &carols.ticket),
        message::resume(&carols.end, &own.ticket),
        message::resume(&other_end(&carols.end), &carols.ticket),
        message::resume(&other_end(&own.end), &own.ticket),
        message::resume(&turned, &own.ticket),
    ];
    let refused = |scene: &mut Scene, home: &RawConn, claims: &[Vec<u8>]| {
        scene.world.run_for(secs(1));
        let before = entries(scene);
        for claim in claims {
            home.control(claim);
            assert_eq!(answer(scene, home), Err(NOT_RESUMED), "{claim:02x?}");
        }
        scene.world.run_for(secs(1));
        assert_eq!(entries(scene), before);
    };
    refused(&mut scene, &own.home, &claims);
    goes_on(&mut scene, &carols);
    goes_on(&mut scene, &own);

    // Where nothing is known of the channels, only tickets tell.
    for victim in [one, other] {
        scene.world.set_up(victim, false);
    }
    restart(&mut scene);
    let home = log_in(&mut scene, MALLORYS);
    refused(&mut scene, &home, &claims);
    let for_own = [message::resume(&own.end, &carols.ticket)];
    refused(&mut scene, &home, &for_own);

    // Whose it is comes later, and nothing is in the way.
    let carol = log_in(&mut scene, CAROLS);
    carol.control(&message::resume(&carols.end, &carols.ticket));
    scene.world.set_up(one, true);
    assert_eq!(answer(&mut scene, &carol), Ok(()));
    refused(&mut scene, &home, &claims);
    goes_on(&mut scene, &carols);
    scene.all_is_well(&[]);
}

#[test]
fn a_claim_that_is_made_over_and_over_is_one_claim() {
    let mut scene = Scene::new(44);
    let victim = lasting(&mut scene, "victim");
    let held = hold(&mut scene, MALLORYS, victim);
    scene.world.set_up(victim, false);
    restart(&mut scene);
    let home = log_in(&mut scene, MALLORYS);
    let claim = message::resume(&held.end, &held.ticket);
    home.control(&claim);
    scene.world.run_for(secs(1));
    let waiting = entries(&mut scene);
    for _ in 0..20 {
        home.control(&claim);
    }
    scene.world.run_for(secs(1));
    assert_eq!(entries(&mut scene), waiting);
    assert_eq!(next_answer(&home), None);

    scene.world.set_up(victim, true);
    assert_eq!(answer(&mut scene, &home), Ok(()));
    goes_on(&mut scene, &held);
    let met = entries(&mut scene);
    for _ in 0..20 {
        home.control(&claim);
        assert_eq!(answer(&mut scene, &home), Ok(()));
    }
    goes_on(&mut scene, &held);
    assert_eq!(entries(&mut scene), met);
    scene.all_is_well(&[]);
}

/// The ticket is still good, and the other end, which is gone, does not come.
#[test]
fn a_ticket_brings_nothing_back_that_an_end_has_closed() {
    for closed_by_victim in [false, true] {
        let mut scene = Scene::new(45);
        let victim = lasting(&mut scene, "victim");
        scene.world.run_for(secs(1));
        let held = hold(&mut scene, MALLORYS, victim);
        if closed_by_victim {
            let now = scene.world.now();
            let mut channel = scene.world.channel(victim, held.there.channel).unwrap();
            channel.abort(now, Code(3));
            scene.until("told", || held.home.next_of_kind(CHANNEL_CLOSED));
        } else {
            let route = held.end.own_route;
            held.home.control(&message::close_channel(route, 0));
        }
        let reason = scene.world.closed(held.there);
        let expected = match closed_by_victim {
            true => CloseReason::Local,
            false => CloseReason::Remote(ErrorCode::None),
        };
        assert_eq!(reason, expected);
        scene.world.run_for(secs(1));
        let before = entries(&mut scene);
        let begin = scene.world.elapsed();
        for _ in 0..20 {
            held.home.control(&message::resume(&held.end, &held.ticket));
        }
        scene.world.run_for(secs(1));
        // The victim can have another channel with whom it likes, Mallory included.
        let again = hold(&mut scene, CAROLS, victim);
        goes_on(&mut scene, &again);
        assert_eq!(answer(&mut scene, &held.home), Err(PEER_GONE));
        assert!(scene.world.elapsed() - begin >= secs(29));
        goes_on(&mut scene, &again);
        // One claim, one end.
        scene.world.run_for(secs(1));
        assert_eq!(next_answer(&held.home), None);
        let ended = count_events(&mut scene.world, victim, |event| {
            matches!(event, ChannelEvent::Closed { .. })
        });
        assert_eq!(ended, 0);
        again.home.close(scene.world.now(), 0);
        scene.world.run_for(secs(20));
        assert_eq!(entries(&mut scene), before);
        scene.pair.are_well(&mut scene.world);
    }
}

#[test]
fn a_ticket_brings_nothing_back_that_the_application_has_taken_away() {
    let mut scene = Scene::new(46);
    let victim = lasting(&mut scene, "victim");
    let held = hold(&mut scene, MALLORYS, victim);
    let pair = started(&mut scene, victim);
    let now = scene.world.now();
    let coordinator = scene.world.coordinator(scene.coordinator);
    coordinator.disconnect(now, pair, Code(5)).expect("stands");
    assert_eq!(
        scene.world.closed(held.there),
        CloseReason::Application(Code(5))
    );
    scene.until("told", || held.home.next_of_kind(CHANNEL_CLOSED));
    for _ in 0..20 {
        held.home.control(&message::resume(&held.end, &held.ticket));
        assert_eq!(answer(&mut scene, &held.home), Err(NOT_RESUMED));
    }
    assert_eq!(scene.stats().tickets_refused, 20);
    scene.all_is_well(&[]);
}

/// The channel that has begun with this Client at the other end.
fn started(scene: &mut Scene, client: NodeId) -> PairId {
    let id = scene.world.client_id(client);
    let started = scene
        .world
        .take_event(scene.coordinator, |event| match event {
            Event::Coordinator(CoordinatorEvent::PairStarted { pair, to, .. }) => {
                (*to == id).then_some(*pair)
            }
            Event::Coordinator(_) | Event::Client(_) => None,
        });
    started.expect("it has begun")
}

pub(super) fn entries(scene: &mut Scene) -> usize {
    conec_core::testing::coordinator_entries(scene.world.coordinator(scene.coordinator))
}

pub(super) const MALLORYS: u16 = 666;
const CAROLS: u16 = 667;
const START: u64 = 4;
pub(super) const CHANNEL_CLOSED: u64 = 6;
const TICKET: u64 = 19;
const RESUMED: u64 = 21;
pub(super) const PEER_GONE: u8 = 8;
pub(super) const NOT_RESUMED: u8 = 17;
