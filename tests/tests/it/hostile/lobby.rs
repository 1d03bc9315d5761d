//! Newcomers wait until everybody else was served: no handshake is done between what others have sent and its being sent on.

use std::{net::SocketAddr, num::NonZeroUsize};

use bytes::BytesMut;
use conec_core::Datagram;

use super::*;

/// What the Coordinator sends when it is given these packets at once, and then one turn after the other.
fn turns(scene: &mut Scene, packets: &[(SocketAddr, Vec<u8>)]) -> Vec<Vec<SocketAddr>> {
    let now = scene.world.now();
    let coordinator = scene.world.coordinator(scene.coordinator);
    for (source, packet) in packets {
        let payload = BytesMut::from(&packet[..]);
        coordinator.handle_datagram(
            now,
            Datagram {
                source: *source,
                destination_ip: None,
                second_port: false,
                ecn: None,
                segment_size: packet.len(),
                payload,
            },
        );
    }
    let mut turns = Vec::new();
    while coordinator.poll_wakeup().is_some_and(|at| at <= now) {
        coordinator.handle_timeout(now);
        let sent = std::iter::from_fn(|| coordinator.poll_transmit(now, NonZeroUsize::MIN));
        turns.push(sent.map(|transmit| transmit.destination).collect());
    }
    turns
}

fn strangers(scene: &Scene, count: u16) -> Vec<(SocketAddr, Vec<u8>)> {
    let (now, to) = (scene.world.now(), scene.coordinator_address());
    let initial = |number| {
        let initial = scene.raw.initial(now, to, &Dial::home(MALLORY));
        (([198, 51, 100, 7], number).into(), initial)
    };
    (1..=count).map(initial).collect()
}

#[test]
fn one_handshake_is_begun_in_a_turn_after_all_that_others_have_to_send() {
    let mut scene = Scene::new(31);
    let victim = scene.victim();
    let id = scene.world.client(victim).id();
    let coordinator = scene.coordinator;
    let session = scene.world.coordinator(coordinator).find(id).unwrap();
    let at = scene.world.coordinator(coordinator).address(session);
    let mut home = scene
        .world
        .coordinator(coordinator)
        .channel(session)
        .unwrap();
    for _ in 0..3 {
        let stream = home.open(Direction::Uni, b"").unwrap();
        home.stream(stream).send(vec![0; 1000].into()).unwrap();
    }
    let packets = strangers(&scene, 4);
    let mut turns = turns(&mut scene, &packets);
    let first = turns.remove(0);
    let to_strangers = first.iter().skip_while(|&&to| Some(to) == at);
    let to_strangers: Vec<_> = to_strangers.copied().collect();
    assert!(first.len() - to_strangers.len() >= 3, "{first:?}");
    turns.insert(0, to_strangers);
    assert_eq!(turns.len(), packets.len());
    for (sent, (source, _)) in turns.iter().zip(&packets) {
        assert!(
            !sent.is_empty() && sent.iter().all(|to| to == source),
            "{sent:?}"
        );
    }
}

#[test]
fn who_was_not_let_in_has_only_so_much_waiting_and_others_have_their_places() {
    let mut scene = Scene::new(32);
    let packets = strangers(&scene, 2);
    let (first, second) = (&packets[0], &packets[1]);
    assert_eq!(turns(&mut scene, &packets[..1]).len(), 1);
    let before = scene.stats().datagrams_dropped;
    let mut flood = vec![first.clone(); 100];
    flood.push(second.clone());
    let turns = turns(&mut scene, &flood);
    assert!((3..10).contains(&turns.len()), "{turns:?}");
    assert!(scene.stats().datagrams_dropped > before + 90);
    assert!(turns.iter().flatten().any(|&to| to == second.0));
}
