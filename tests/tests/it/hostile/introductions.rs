//! Introducers that take all the places they can get, and Coordinators that mix up what they answer, or do not answer.

use conec_core::{ClientEvent, Code, IntroductionId};

use super::{
    asks::{
        ASKERS, askers, can_reach_and_be_reached, can_reach_and_be_reached_by, careful, take_offer,
    },
    coordinator::Den,
    *,
};

/// A Coordinator by whose rules anybody may introduce others.
fn scene(seed: u64) -> Scene {
    Scene::with(seed, |config| {
        let rules = "connect allow any\nreach allow any to any\nintroduce allow any";
        config.rules = Some(rules.parse().unwrap());
    })
}

/// Mallory introduces two others to each other as often as it can.
fn introduce_often(scene: &mut Scene, mallory: &RawConn, from: NodeId, to: &[u8]) {
    let from = scene.world.client_id(from);
    for round in 0..4 {
        for number in 0..64 {
            let request = round * 64 + number;
            mallory.control(&message::introduce(request, from, to, b"more"));
        }
        scene.world.run_for(secs(2));
    }
}

/// The two have a channel that one of them asks for, in either direction.
fn have_each_other(scene: &mut Scene, [one, other]: [NodeId; 2]) {
    for [from, to] in [[one, other], [other, one]] {
        while take_offer(scene, to).is_some() {}
        while has_opened(&mut scene.world, from) {}
        let target = Target::Id(scene.world.client_id(to));
        let asked = scene.world.request_channel(from, target);
        for _ in 0..50 {
            scene.world.run_for(Duration::from_millis(20));
            if let Some(offer) = take_offer(scene, to) {
                let now = scene.world.now();
                scene.world.client(to).accept(now, offer).unwrap();
            }
        }
        assert_eq!(opened_or_closed(&mut scene.world, from), Ok(asked));
    }
}

#[test]
fn who_introduces_two_that_do_not_answer_takes_only_its_own_places() {
    let mut scene = scene(1);
    let mallory = scene.log_in();
    let nodes = ["victim", "other"].map(|name| careful(&mut scene, name));
    introduce_often(&mut scene, &mallory, nodes[0], b"other");
    let pairs = scene.world.coordinator(scene.coordinator).pairs(None, 999);
    let its = |it: &&conec_core::PairInfo| it.asked_by == mallory_id();
    let own = pairs.iter().filter(its).count();
    println!("{own} introductions wait");
    assert!((64..=112).contains(&own), "{own}");
    for (node, name) in nodes.into_iter().zip(["carol", "dave"]) {
        can_reach_and_be_reached_by(&mut scene, node, name);
    }
    have_each_other(&mut scene, nodes);
    scene.all_is_well(&[]);
}

#[test]
fn who_introduces_two_that_accept_takes_only_its_own_places() {
    let mut scene = scene(2);
    let mallory = scene.log_in();
    let nodes = ["victim", "other"].map(|name| {
        let client = scene.world.add_client(name);
        scene.world.connect(client, scene.coordinator);
        client
    });
    introduce_often(&mut scene, &mallory, nodes[0], b"other");
    scene.world.run_for(secs(5));
    let mut introduced = 0;
    while mallory.next_of_kind(25).is_some() {
        introduced += 1;
    }
    println!("they have {introduced} channels");
    assert!((64..=112).contains(&introduced), "{introduced}");
    // It goes, and its places with what stands.
    let now = scene.world.now();
    mallory.close(now, 0);
    scene.world.run_for(secs(2));
    let pairs = scene.world.coordinator(scene.coordinator).pairs(None, 999);
    assert_eq!(pairs.len(), introduced + 1);
    for (node, name) in nodes.into_iter().zip(["carol", "dave"]) {
        while has_opened(&mut scene.world, node) {}
        can_reach_and_be_reached_by(&mut scene, node, name);
        while has_opened(&mut scene.world, node) {}
    }
    let [one, other] = nodes;
    scene.world.open_channel(one, other);
    scene.world.open_channel(other, one);
    scene.pair.are_well(&mut scene.world);
}

/// It offers the victim what two accomplices are to have with it, who cannot have as much by themselves.
#[test]
fn who_introduces_accomplices_has_no_more_of_a_clients_places() {
    let mut scene = Scene::with(3, |config| {
        let rules = "connect allow any\nreach allow any to any\nintroduce allow any";
        config.rules = Some(rules.parse().unwrap());
        config.limits.channels_per_client = 16;
    });
    let mallory = scene.log_in();
    let victim = careful(&mut scene, "victim");
    let accomplice = careful(&mut scene, "accomplice");
    for from in [accomplice, victim] {
        introduce_often(&mut scene, &mallory, from, b"victim");
    }
    let pairs = scene.world.coordinator(scene.coordinator).pairs(None, 999);
    let at_victim = |it: &&conec_core::PairInfo| it.asked_by == mallory_id();
    assert!(pairs.iter().filter(at_victim).count() <= 7);
    can_reach_and_be_reached(&mut scene, victim);
    have_each_other(&mut scene, [victim, accomplice]);
}

/// As their initiator, a Client has no more of them than as their acceptor.
#[test]
fn who_introduces_one_to_many_has_no_more_of_its_places() {
    let mut scene = scene(8);
    let mallory = scene.log_in();
    // It takes whatever it is offered.
    let victim = askers(&mut scene, 1).remove(0);
    let id = keys::identity(ASKERS).id();
    for (name, first) in [("one", 0), ("two", 64), ("three", 128)] {
        careful(&mut scene, name);
        for number in first..first + 64 {
            mallory.control(&message::introduce(number, id, name.as_bytes(), b"more"));
        }
        scene.world.run_for(secs(3));
    }
    let mut offers = 0;
    while let Some(offer) = victim.next_offer() {
        assert_eq!(offer.role, 0);
        offers += 1;
    }
    assert_eq!(offers, 112);
    scene.pair.are_well(&mut scene.world);
}

#[test]
fn an_introducer_is_cut_off_at_its_own_rate() {
    let mut scene = scene(4);
    let mallory = scene.log_in();
    let nodes = ["victim", "other"].map(|name| careful(&mut scene, name));
    let from = scene.world.client_id(nodes[0]);
    for round in 0..20 {
        for number in 0..50 {
            let request = round * 50 + number;
            mallory.control(&message::introduce(request, from, b"other", b"more"));
        }
        scene.world.run_for(Duration::from_millis(100));
        for node in nodes {
            while let Some(offer) = take_offer(&mut scene, node) {
                let now = scene.world.now();
                scene.world.client(node).reject(now, offer, Code(1)).ok();
            }
        }
    }
    assert_eq!(mallory.end(), Some(RATE_LIMITED));
    for (node, name) in nodes.into_iter().zip(["carol", "dave"]) {
        can_reach_and_be_reached_by(&mut scene, node, name);
    }
}

fn next_failure(den: &mut Den, client: NodeId) -> Option<(IntroductionId, CloseReason)> {
    den.scene.world.take_event(client, |event| match event {
        Event::Client(ClientEvent::IntroductionFailed {
            introduction,
            reason,
        }) => Some((*introduction, *reason)),
        Event::Client(_) | Event::Coordinator(_) => None,
    })
}

/// An older Coordinator skips what it does not know. That takes its time, and nothing else from the Client.
#[test]
fn a_coordinator_that_knows_no_introductions_holds_up_nothing_for_ever() {
    let mut den = Den::new(5);
    let (alice, conn) = den.welcome("alice");
    let now = den.scene.world.now();
    let client = den.scene.world.client(alice);
    let (bob, carol) = (mallory_id(), Target::Name("carol".parse().unwrap()));
    for _ in 0..200 {
        client.introduce(now, bob, carol.clone(), b"").unwrap();
    }
    den.scene.world.run_for(secs(64));
    assert_eq!(next_failure(&mut den, alice), None);
    den.scene.world.run_for(secs(70));
    for _ in 0..200 {
        let (_, reason) = next_failure(&mut den, alice).unwrap();
        assert_eq!(reason, CloseReason::TimedOut);
    }
    assert_eq!(next_failure(&mut den, alice), None);
    den.scene.world.request_channel(alice, Target::Id(bob));
    den.scene.until("a request", || conn.next_of_kind(2));
    // An answer comes too late, and says nothing.
    conn.control(&message::introduced(0));
    conn.control(&message::open_failed(1, 7));
    den.scene.world.run_for(secs(1));
    assert!(den.scene.world.client(alice).is_connected());
    den.scene.all_is_well(&[]);
}

#[test]
fn an_answer_to_another_kind_of_request_is_a_violation() {
    for introduces in [false, true] {
        let mut den = Den::new(6);
        let (alice, conn) = den.welcome("alice");
        let target = Target::Id(mallory_id());
        if introduces {
            let now = den.scene.world.now();
            let client = den.scene.world.client(alice);
            let from = client.id();
            client.introduce(now, from, target, b"test").unwrap();
            den.scene.until("a request", || conn.next_of_kind(15));
            let offer = message::Offer {
                request: Some(0),
                role: 0,
                own_route: [0x80, 0, 0, 0, 0, 1],
                peer_route: [0x80, 0, 0, 0, 0, 2],
                channel: 1,
                peer: mallory_id(),
                peer_name: Vec::new(),
                label: b"test".to_vec(),
            };
            conn.control(&message::offer(&offer));
        } else {
            den.scene.world.request_channel(alice, target);
            den.scene.until("a request", || conn.next_of_kind(2));
            conn.control(&message::introduced(0));
        }
        den.scene.expect_end(&conn, PROTOCOL);
        den.scene.world.run_for(secs(1));
        let lost = CloseReason::CoordinatorLost;
        let failed = next_failure(&mut den, alice).map(|(_, reason)| reason);
        assert_eq!(failed, introduces.then_some(lost));
    }
}

/// Who has introduced the two is said of the next offer, and of no other.
#[test]
fn an_introducer_is_that_of_the_next_offer() {
    let mut den = Den::new(7);
    let (alice, conn) = den.welcome_with("alice", |config| config.auto_accept = false);
    let somebody = keys::identity(777).id();
    let offer = |number| message::Offer {
        request: None,
        role: 1,
        own_route: [0x80, 0, 0, 0, number, 1],
        peer_route: [0x80, 0, 0, 0, number, 2],
        channel: 1,
        peer: mallory_id(),
        peer_name: Vec::new(),
        label: Vec::new(),
    };
    let introducer = message::introducer(offer(1).own_route, somebody);
    conn.control(&introducer);
    for number in [1, 2] {
        conn.control(&message::offer(&offer(number)));
    }
    conn.control(&message::introducer(offer(4).own_route, somebody));
    for number in [3, 4] {
        conn.control(&message::offer(&offer(number)));
    }
    den.scene.world.run_for(secs(1));
    let mut introducers = Vec::new();
    while let Some(offer) = take_offer(&mut den.scene, alice) {
        let info = den.scene.world.client(alice).peer(offer).unwrap();
        introducers.push(info.introducer);
    }
    assert_eq!(introducers, [Some(somebody), None, None, None]);
}
