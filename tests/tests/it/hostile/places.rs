//! Addresses that a Client seems to be at, and has not proved: nothing is forwarded there, in whatever phase it is.

use std::net::SocketAddr;

use conec_core::{CoordinatorEvent, Policy};
use conec_tests::{
    raw::route_of,
    sim::{Packet, Tap},
};

use super::*;

#[test]
fn nothing_is_forwarded_to_an_address_that_was_forged_before_the_hello() {
    let mut scene = Scene::new(50);
    let tap = Tap::default();
    scene.world.network.tap = Some(tap.clone());
    let home = scene.shake_hands();
    let (world, mallory) = (&mut scene.world, scene.mallory);
    let own = forge(world, mallory, || {
        home.control(&message::hello(b"mallory", b""));
    });
    until_let_in(&mut scene, &home);
    expect_all_at(&mut scene, &tap, &home, own);
    scene.all_is_well(&[]);
}

#[test]
fn nothing_is_forwarded_to_an_address_that_was_forged_while_the_application_was_asked() {
    let mut world = World::new(51);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.admission = Policy::Ask;
    let coordinator = world.add_coordinator_with(config);
    let raw = Raw::new(51);
    let mallory = world.add_stranger(raw.clone());
    // Everybody is let in, but nobody at once.
    let admit = |world: &mut World| {
        let asking = world.wait_for("asked", secs(10), |world| {
            world.take_event(coordinator, |event| match event {
                Event::Coordinator(CoordinatorEvent::ClientAsks { client, .. }) => Some(*client),
                Event::Coordinator(_) | Event::Client(_) => None,
            })
        });
        let now = world.now();
        world.coordinator(coordinator).admit(now, asking, None)
    };
    let [ann, ben] = ["ann", "ben"].map(|name| {
        let client = world.add_proxied_client(name);
        world.start_connecting(client, coordinator);
        admit(&mut world).unwrap();
        world.wait_for("connected", secs(10), |world| {
            world.client(client).is_connected().then_some(())
        });
        client
    });
    let (at_ann, at_ben) = world.open_channel(ann, ben);
    let ours = world.open_stream(at_ann, b"");
    let theirs = world.accept_stream(at_ben);

    let tap = Tap::default();
    world.network.tap = Some(tap.clone());
    let (now, address) = (world.now(), world.address(coordinator));
    let home = raw.connect(now, address, &Dial::home(MALLORY));
    world.run_for(secs(1));
    home.control(&message::hello(b"", b""));
    world.run_for(secs(1));
    let own = forge(&mut world, mallory, || home.ping());
    admit(&mut world).unwrap();
    world.run_for(secs(1));
    let session = world.coordinator(coordinator).find(mallory_id()).unwrap();
    let place = world.coordinator(coordinator).address(session);
    assert_eq!(place, Some(own));
    // It is asked for an echo there, as any Client that moves, and the victim hears no more than that.
    assert!(tap.bytes(|packet| packet.destination == victim()) <= 3 * 1200);
    world.send(ours, "undisturbed");
    assert_eq!(world.recv(theirs), "undisturbed");
}

/// Has Mallory do something whose packets bear the victim's address. Gives its own.
fn forge(world: &mut World, mallory: NodeId, act: impl FnOnce()) -> SocketAddr {
    let own = world.address(mallory);
    world.rebind(mallory, victim());
    act();
    world.run_for(Duration::from_millis(1));
    world.rebind(mallory, own);
    world.run_for(secs(1));
    own
}

fn until_let_in(scene: &mut Scene, home: &RawConn) {
    // What was said to the victim is said again, once the next packet comes from elsewhere.
    home.ping();
    scene.until("welcome", || home.next_of_kind(0));
}

/// What an accomplice sends to Mallory arrives where it has proved to be, all of it, and nowhere else.
fn expect_all_at(scene: &mut Scene, tap: &Tap, home: &RawConn, own: SocketAddr) {
    let session = scene.session();
    let place = scene.world.coordinator(scene.coordinator);
    assert_eq!(place.address(session.channel), Some(own));
    let helper = Raw::new(666);
    let node = scene.world.add_stranger(helper.clone());
    let (now, to) = (scene.world.now(), scene.coordinator_address());
    let at_helper = helper.connect(now, to, &Dial::home(Key::Identity(667)));
    scene.until("connected", || at_helper.is_connected().then_some(()));
    at_helper.control(&message::hello(b"helper", b""));
    scene.until("welcome", || at_helper.next_of_kind(0));
    at_helper.control(&message::open_by_id(1, mallory_id(), b""));
    let offer = scene.until("offer", || at_helper.next_offer());
    at_helper.control(&message::accept(offer.own_route));
    home.control(&message::accept(offer.peer_route));
    scene.until("start", || at_helper.next_of_kind(4));
    let mut junk = vec![0x40; 1200];
    junk[1..7].copy_from_slice(&offer.peer_route);
    let from = scene.world.address(node);
    for _ in 0..100 {
        scene.world.inject(from, to, &junk);
    }
    scene.pair.talk(&mut scene.world);
    scene.world.run_for(secs(1));
    let forwarded_to = |to| {
        let such =
            |packet: &&Packet| packet.destination == to && route_of(&packet.payload).is_some();
        tap.count(such)
    };
    assert_eq!((forwarded_to(victim()), forwarded_to(own)), (0, 100));
}

fn victim() -> SocketAddr {
    ([198, 51, 100, 9], 9).into()
}
