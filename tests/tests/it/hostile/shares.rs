//! Clients that take all the places that they can get: those of Clients at the Coordinator, and at others those of channels
//! that are and of those that are asked for.

use std::net::SocketAddr;

use conec_core::Code;

use super::{
    asks::{ASKERS, ask, askers, can_reach_and_be_reached, careful, take_offer},
    *,
};

/// Two hold as many channels with a third as they can get.
#[test]
fn who_has_channels_with_greedy_clients_can_be_reached_and_reach_others() {
    let mut scene = Scene::new(5);
    let victim = scene.victim();
    let askers = askers(&mut scene, 2);
    let mut held = [0; 2];
    for (asker, held) in askers.iter().zip(&mut held) {
        for round in 0..4 {
            ask(&scene, std::slice::from_ref(asker), victim, 64, round);
            scene.world.run_for(secs(2));
            while let Some(offer) = asker.next_offer() {
                asker.control(&message::accept(offer.own_route));
                *held += 1;
            }
            scene.world.run_for(secs(1));
        }
    }
    println!("they hold {held:?}");
    assert!(held[0] >= 64, "{held:?}");
    assert!(scene.world.client(victim).is_connected());
    can_reach_and_be_reached(&mut scene, victim);
    scene.all_is_well(&[]);
}

/// Two ask for as many as they can, and the third's application does not answer.
#[test]
fn who_does_not_answer_greedy_clients_can_be_reached_and_reach_others() {
    let mut scene = Scene::new(6);
    let victim = careful(&mut scene, "victim");
    let askers = askers(&mut scene, 2);
    for round in 0..4 {
        ask(&scene, &askers, victim, 64, round);
        scene.world.run_for(secs(1));
    }
    let mut waiting = 0;
    while take_offer(&mut scene, victim).is_some() {
        waiting += 1;
    }
    println!("{waiting} offers wait");
    assert!((64..=256).contains(&waiting), "{waiting}");
    can_reach_and_be_reached(&mut scene, victim);
    scene.all_is_well(&[]);
}

/// Whoever holds most of what waits at a Client gives way to those who have less.
#[test]
fn offers_that_wait_are_shared_out_among_those_who_ask() {
    let mut scene = Scene::with(7, |config| config.limits.channels_per_client = 16);
    let victim = careful(&mut scene, "victim");
    let askers = askers(&mut scene, 4);
    for asker in &askers {
        ask(&scene, std::slice::from_ref(asker), victim, 16, 0);
        scene.world.run_for(secs(1));
    }
    let mut left = [0; 4];
    while let Some(offer) = take_offer(&mut scene, victim) {
        let now = scene.world.now();
        // Some have given way.
        let Some(from) = scene.world.client(victim).peer(offer).map(|peer| peer.id) else {
            continue;
        };
        let at = (0..4).find(|&at| keys::identity(ASKERS + at as u16).id() == from);
        left[at.unwrap()] += usize::from(
            scene
                .world
                .client(victim)
                .reject(now, offer, Code(0))
                .is_ok(),
        );
    }
    println!("{left:?} wait");
    assert!(left.iter().sum::<usize>() <= 16, "{left:?}");
    assert!(left.iter().all(|&left| left >= 3), "{left:?}");
    can_reach_and_be_reached(&mut scene, victim);
}

/// One host has any number of keys, and gets in with as many as it can.
#[test]
fn a_host_with_many_keys_leaves_places_for_other_networks() {
    let mut scene = Scene::with(8, |config| config.limits.clients = 32);
    let crowded: SocketAddr = ([198, 51, 100, 1], 1).into();
    scene.world.rebind(scene.mallory, crowded);
    let knock = |scene: &mut Scene, number| {
        let conn = scene.shake_hands_with(&Dial::home(Key::Identity(number)));
        conn.control(&message::hello(b"", b""));
        scene.world.run_for(secs(1));
        conn
    };
    let conns: Vec<_> = (0..40).map(|at| knock(&mut scene, ASKERS + at)).collect();
    let let_in = |conn: &&RawConn| conn.end().is_none() && conn.next_of_kind(0).is_some();
    let inside = conns.iter().take_while(let_in).count();
    assert_eq!(inside, 13, "of the 30 that were free");
    assert!(conns[inside..].iter().all(|conn| conn.end() == Some(LIMIT)));

    // Whoever is in has its place, and may begin anew.
    let again = knock(&mut scene, ASKERS);
    assert!(let_in(&&again));
    assert_eq!(conns[0].end(), Some(SUPERSEDED));

    // Others come late, and stay though they move into the crowd.
    for (name, last) in [("carol", 1), ("dave", 2), ("erin", 3)] {
        let carol = scene.world.add_client(name);
        let elsewhere = ([192, 0, 2, last], 4433).into();
        scene.world.rebind(carol, elsewhere);
        scene.world.start_connecting(carol, scene.coordinator);
        scene.world.wait_for("let in", secs(10), |world| {
            world.client(carol).is_connected().then_some(())
        });
        scene
            .world
            .rebind(carol, ([198, 51, 100, 1 + last], 4433).into());
        scene.world.run_for(secs(20));
        assert!(scene.world.client(carol).is_connected());
    }
    assert_eq!(knock(&mut scene, ASKERS + 40).end(), Some(LIMIT));
    scene.pair.are_well(&mut scene.world);
}
