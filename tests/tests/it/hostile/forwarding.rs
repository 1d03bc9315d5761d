//! One Client sends all that it can through the Coordinator, of any size and on any routes: what it costs the others.

use bytes::BytesMut;
use conec_core::Datagram;
use conec_tests::{raw::route_of, sim::Tap};

use super::*;

/// Packets of 9 bytes, in turn to two others: none can be sent together with the one before. The socket has been blocked for a
/// moment, then a bystander's packet comes.
#[test]
fn small_packets_in_turn_to_two_others_hold_up_nobody() {
    let mut scene = Scene::new(60);
    let (ann, ben) = (scene.pair.ends[0].node, scene.pair.ends[1].node);
    let tap = Tap::default();
    scene.world.network.tap = Some(tap.clone());
    scene.pair.talk(&mut scene.world);
    let (ann, ben) = (scene.world.address(ann), scene.world.address(ben));
    let theirs = tap.find(|packet| packet.source == ann && route_of(&packet.payload).is_some());
    let theirs = theirs.unwrap().payload;
    let others = packets_to_two(&mut scene);
    let (now, mallory) = (scene.world.now(), scene.world.address(scene.mallory));
    let coordinator = scene.world.coordinator(scene.coordinator);
    let before = coordinator.stats();
    for _ in 0..2000 {
        let batch = others.concat().repeat(500);
        coordinator.handle_datagram(now, datagram(mallory, 9, &batch));
    }
    coordinator.handle_datagram(now, datagram(ann, theirs.len(), &theirs));
    let mut sent_before = Vec::new();
    loop {
        let max = 64.try_into().unwrap();
        let transmit = coordinator.poll_transmit(now, max).expect("it is sent");
        if transmit.destination == ben {
            assert_eq!(transmit.payload, theirs);
            break;
        }
        sent_before.push(transmit.payload.len() / 9);
    }
    let (sends, packets) = (sent_before.len(), sent_before.iter().sum::<usize>());
    assert!(
        sends <= 10 && packets <= 200,
        "{packets} packets in {sends} sends come first"
    );
    let after = coordinator.stats();
    assert!(after.forwards_dropped - before.forwards_dropped > 1_000_000);
    scene.all_is_well(&[]);
}

/// The same from afar, twice as fast as the Coordinator's processor can send on.
#[test]
fn a_client_at_full_rate_costs_others_less_than_two_milliseconds() {
    let micros = Duration::from_micros;
    let mut scene = Scene::with(61, |config| {
        config.limits.forward_queue = 500_000;
        config.limits.forward_rate = Some(u64::MAX);
    });
    let others = packets_to_two(&mut scene);
    let (coordinator, to) = (scene.coordinator, scene.coordinator_address());
    scene
        .world
        .set_processor(coordinator, micros(20), micros(20), 200_000);
    let slowest = |scene: &mut Scene| {
        let times = (0..5).map(|_| scene.pair.exchange(&mut scene.world));
        times.max().expect("some")
    };
    let quiet = slowest(&mut scene);
    let packets = others.map(|packet| vec![packet; 100]).concat();
    scene.raw.flood(scene.world.now(), micros(200), to, packets);
    scene.world.run_for(micros(100_000));
    let busy = slowest(&mut scene);
    let stats = scene.world.coordinator(coordinator).stats();
    assert!(stats.forwards_dropped > 1000);
    assert!(
        busy <= quiet + micros(2000),
        "{busy:?}, and {quiet:?} before"
    );
    let at_ann = scene.pair.ends[0];
    let mut channel = scene.world.channel(at_ann.node, at_ann.channel).unwrap();
    assert_eq!(channel.stats().unwrap().packets_lost, 0);
}

/// A packet of 9 bytes from Mallory to each of two others, to be forwarded.
fn packets_to_two(scene: &mut Scene) -> [Vec<u8>; 2] {
    let home = scene.log_in();
    ["one", "two"].map(|name| {
        let other = scene.world.add_client(name);
        scene.world.connect(other, scene.coordinator);
        let (offer, _) = peers::initiate(scene, &home, other);
        let mut packet = vec![0x40; 9];
        packet[1..7].copy_from_slice(&offer.peer_route);
        packet
    })
}

fn datagram(source: std::net::SocketAddr, segment_size: usize, payload: &[u8]) -> Datagram {
    Datagram {
        source,
        destination_ip: None,
        second_port: false,
        ecn: None,
        segment_size,
        payload: BytesMut::from(payload),
    }
}
