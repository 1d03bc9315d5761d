//! Clients that ask others for channels without end: who asks pays, and who is asked does not.

use super::*;
use conec_core::{ClientEvent, Code};

/// Three ask a fourth for 70 channels a second each, and it rejects all of them.
#[test]
fn rejecting_what_others_ask_for_costs_nothing() {
    let mut scene = Scene::new(1);
    let victim = careful(&mut scene, "victim");
    let askers = askers(&mut scene, 3);
    for round in 0..100 {
        ask(&scene, &askers, victim, 7, round);
        scene.world.run_for(Duration::from_millis(100));
        while let Some(offer) = take_offer(&mut scene, victim) {
            let now = scene.world.now();
            scene.world.client(victim).reject(now, offer, Code(1)).ok();
        }
        scene.pair.talk(&mut scene.world);
    }
    assert!(scene.world.client(victim).is_connected());
    assert!(askers.iter().all(|asker| asker.end().is_none()));
    can_reach_and_be_reached(&mut scene, victim);
    scene.all_is_well(&[]);
}

/// It accepts all of them, and they let go of each at once.
#[test]
fn accepting_what_others_ask_for_costs_nothing() {
    let mut scene = Scene::new(2);
    let victim = scene.victim();
    let askers = askers(&mut scene, 3);
    for round in 0..100 {
        ask(&scene, &askers, victim, 7, round);
        scene.world.run_for(Duration::from_millis(100));
        for asker in &askers {
            while let Some(offer) = asker.next_offer() {
                asker.control(&message::close_channel(offer.own_route, 0));
            }
        }
        scene.pair.talk(&mut scene.world);
    }
    assert!(scene.world.client(victim).is_connected());
    can_reach_and_be_reached(&mut scene, victim);
    scene.all_is_well(&[]);
}

#[test]
fn an_asker_is_cut_off_at_its_own_rate() {
    let mut scene = Scene::new(3);
    let victim = careful(&mut scene, "victim");
    let askers = askers(&mut scene, 1);
    for round in 0..20 {
        ask(&scene, &askers, victim, 50, round);
        scene.world.run_for(Duration::from_millis(100));
        while let Some(offer) = take_offer(&mut scene, victim) {
            let now = scene.world.now();
            scene.world.client(victim).reject(now, offer, Code(1)).ok();
        }
    }
    assert_eq!(askers[0].end(), Some(RATE_LIMITED));
    can_reach_and_be_reached(&mut scene, victim);
}

/// What it was asked pays for the answers to that, not for what it says unasked.
#[test]
fn an_answer_is_free_only_to_a_question() {
    let mut scene = Scene::new(4);
    let mallory = scene.log_in();
    let now = scene.world.now();
    let [at_ann, _] = scene.pair.ends;
    for _ in 0..20 {
        let client = scene.world.client(at_ann.node);
        client.open_channel(now, mallory_id(), b"").unwrap();
    }
    scene.world.run_for(secs(1));
    // 40 answers, and some more.
    for _ in 0..700 {
        mallory.control(&message::close_channel([0x80; 6], 1));
    }
    scene.expect_end(&mallory, RATE_LIMITED);
}

/// A Client whose application answers offers itself, or does not.
pub(super) fn careful(scene: &mut Scene, name: &str) -> NodeId {
    let mut config = scene.world.client_config(name);
    config.auto_accept = false;
    let client = scene.world.add_client_with(config);
    scene.world.connect(client, scene.coordinator);
    client
}

/// Accomplices of Mallory's.
pub(super) fn askers(scene: &mut Scene, count: u16) -> Vec<RawConn> {
    (0..count)
        .map(|number| {
            let dial = Dial::home(Key::Identity(ASKERS + number));
            scene.log_in_with(&dial, format!("asker-{number}").as_bytes())
        })
        .collect()
}

pub(super) fn ask(scene: &Scene, askers: &[RawConn], victim: NodeId, count: u64, round: u64) {
    let id = scene.world.client_id(victim);
    for asker in askers {
        for number in 0..count {
            asker.control(&message::open_by_id(round * count + number, id, b"more"));
        }
    }
}

pub(super) fn take_offer(scene: &mut Scene, node: NodeId) -> Option<ChannelId> {
    scene.world.take_event(node, |event| match event {
        Event::Client(ClientEvent::Offered { channel, .. }) => Some(*channel),
        Event::Client(_) | Event::Coordinator(_) => None,
    })
}

/// Somebody who has never been heard of has a channel with it in either direction.
pub(super) fn can_reach_and_be_reached(scene: &mut Scene, victim: NodeId) {
    can_reach_and_be_reached_by(scene, victim, "carol");
}

/// The same of somebody of this name.
pub(super) fn can_reach_and_be_reached_by(scene: &mut Scene, victim: NodeId, name: &str) {
    let carol = scene.world.add_client(name);
    scene.world.connect(carol, scene.coordinator);
    let id = scene.world.client_id(carol);
    scene.world.request_channel(victim, Target::Id(id));
    opened_or_closed(&mut scene.world, carol).expect("reached");
    let id = scene.world.client_id(victim);
    while take_offer(scene, victim).is_some() {}
    let asked = scene.world.request_channel(carol, Target::Id(id));
    for _ in 0..50 {
        scene.world.run_for(Duration::from_millis(20));
        if let Some(offer) = take_offer(scene, victim) {
            let now = scene.world.now();
            scene.world.client(victim).accept(now, offer).unwrap();
        }
    }
    let opened = opened_or_closed(&mut scene.world, carol);
    assert_eq!(opened, Ok(asked), "is reached");
}

pub(super) const ASKERS: u16 = 700;
