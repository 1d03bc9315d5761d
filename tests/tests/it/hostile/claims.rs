//! Claims to ends of channels that are somebody else's, or nobody's.

use conec_tests::raw::message::Offer;

use super::{
    peers::{bind, initiate},
    *,
};

/// What a claim is answered with: that it was good, or why the channel is over.
fn answer(scene: &mut Scene, home: &RawConn) -> Result<(), u8> {
    scene.until("an answer", || {
        let payload = home.next_control()?;
        match payload[0] {
            RESUMED => Some(Ok(())),
            CHANNEL_CLOSED => Some(Err(payload[7])),
            _ => None,
        }
    })
}

/// Mallory as a Client that keeps its channels, with one to a victim, and the ticket for that.
fn with_ticket(scene: &mut Scene) -> (RawConn, Offer, Vec<u8>, At) {
    let victim = scene.victim();
    let home = log_in(scene, 7);
    let (offer, conn) = initiate(scene, &home, victim);
    let at_victim = bind(scene, &offer, &conn, victim);
    let ticket = scene.until("ticket", || {
        message::read_ticket(&home.next_of_kind(TICKET)?)
    });
    (home, offer, ticket, at_victim)
}

fn log_in(scene: &mut Scene, instance: u64) -> RawConn {
    let conn = scene.shake_hands_with(&Dial::home(MALLORY));
    conn.control(&message::hello_as(b"mallory", b"", instance));
    scene.until("welcome", || conn.next_of_kind(0));
    conn
}

fn other_end(offer: &Offer) -> Offer {
    Offer {
        role: 1 - offer.role,
        own_route: offer.peer_route,
        peer_route: offer.own_route,
        peer: mallory_id(),
        ..offer.clone()
    }
}

#[test]
fn nobody_claims_what_is_not_its_own() {
    let mut scene = Scene::new(40);
    let (home, offer, ticket, at_victim) = with_ticket(&mut scene);
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
    let (_, offer, ticket, _) = with_ticket(&mut scene);
    let config = CoordinatorConfig::new(keys::certificate());
    scene.world.crash(scene.coordinator);
    scene.world.restart_coordinator(scene.coordinator, config);
    scene.pair = Bystanders::meet(&mut scene.world, scene.coordinator);
    let before = entries(&mut scene);
    let home = log_in(&mut scene, 7);
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
fn who_claims_without_end_is_cut_off() {
    let mut scene = Scene::new(42);
    let (home, offer, ticket, _) = with_ticket(&mut scene);
    let end = other_end(&offer);
    for _ in 0..600 {
        home.control(&message::resume(&end, &ticket));
    }
    let flood = CloseReason::Violation(conec_core::Violation::Flood);
    scene.expect_end(&home, End::Application(11));
    scene.all_is_well(&[flood]);
}

fn entries(scene: &mut Scene) -> usize {
    conec_core::testing::coordinator_entries(scene.world.coordinator(scene.coordinator))
}

const CHANNEL_CLOSED: u8 = 6;
const TICKET: u64 = 19;
const RESUMED: u8 = 21;
const PEER_GONE: u8 = 8;
const NOT_RESUMED: u8 = 17;
