//! Peers and Coordinators that would have Clients attack somebody: whatever they say, few small probes go there.

use std::net::{IpAddr, SocketAddr};

use conec_tests::{
    raw::message::{Offer, Route},
    sim::{Packet, Tap},
};

use super::{coordinator::Den, *};
use crate::direct::flow::{Flow, run};

#[test]
fn a_peer_that_names_victims_makes_nobody_attack_them() {
    let mut world = World::new(1);
    let (_, [alice, mallory]) = world.with_clients(["alice", "mallory"]);
    // So that the search goes on.
    world.link(alice, mallory).up = false;
    let tap = Tap::default();
    world.network.tap = Some(tap.clone());
    let channels: Vec<_> = (0..8).map(|_| world.open_channel(mallory, alice)).collect();
    let mut flows: Vec<_> = channels
        .iter()
        .map(|&(at_mallory, at_alice)| Flow::paced(&mut world, at_mallory, at_alice, 10, secs(1)))
        .collect();
    let victim: IpAddr = [198, 51, 100, 7].into();
    let source = world.address(alice);
    let begin = world.elapsed();
    for round in 0..20_u16 {
        // Always the same victim, and others besides, at ever new ports.
        let victims: Vec<_> = (0..12_u16)
            .map(|number| match number % 2 {
                0 => (victim, 2000 + 12 * round + number).into(),
                _ => ([198, 51, (round % 100) as u8, number as u8], 5000).into(),
            })
            .collect();
        let now = world.now();
        world.client(mallory).set_mapped_addresses(now, &victims);
        run(&mut world, &mut flows, secs(6));
    }
    let minutes = (world.elapsed() - begin).as_secs() as usize / 60 + 1;
    let at_victim =
        tap.count(|packet| packet.destination.ip() == victim && packet.source == source);
    println!("{at_victim} packets to one victim in {minutes} minutes");
    assert!(at_victim > 10, "{at_victim}");
    assert!(
        at_victim <= 32 * minutes,
        "{at_victim} in {minutes} minutes"
    );
    // Nobody else gets more either, and nobody gets anything large.
    let stranger = |ip: IpAddr| matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 198);
    let large = tap.count(|packet| {
        packet.source == source && stranger(packet.destination.ip()) && packet.payload.len() > 58
    });
    assert_eq!(large, 0);
    let all = tap.count(|packet| packet.source == source && stranger(packet.destination.ip()));
    // 5000 bytes a search, every 5 seconds at most, on each channel.
    let searches = 8 * (minutes * 12 + 1);
    println!("{all} packets to all of them, in at most {searches} searches");
    assert!(58 * all <= 5000 * searches, "{all}");
    assert!(all <= 200 * 60 * minutes);
    assert!(world.client(alice).stats().probes_sent >= all as u64);
}

#[test]
fn a_coordinator_that_lies_about_addresses_makes_nobody_attack_them() {
    let mut den = Den::new(20);
    let (alice, at_alice) = den.welcome("alice");
    let (bob, at_bob) = den.welcome("bob");
    let ids = [den.id(alice), den.id(bob)];
    let homes = [(&at_alice, alice), (&at_bob, bob)];
    // Its accomplice passes on in the victim's name what Bob sends where Alice is said to be.
    let accomplice = den.scene.world.add_socket();
    let accomplice_is = den.scene.world.address(accomplice.node);
    // So that the searches go on.
    den.scene.world.link(alice, bob).up = false;
    den.scene.world.link(bob, alice).up = false;
    let tap = Tap::default();
    den.scene.world.network.tap = Some(tap.clone());
    let victim: IpAddr = [198, 51, 100, 7].into();
    let begin = den.scene.world.elapsed();
    let mut passed_on = 0;
    for round in 0..20_u8 {
        // One channel after the other, each with searches of its own.
        if round % 2 == 0 {
            arrange(&mut den, homes, ids, round);
        }
        if let Some(old) = round.checked_sub(6) {
            let [of_alice, of_bob] = routes(old);
            at_alice.control(&message::channel_closed(of_alice, 8));
            at_bob.control(&message::channel_closed(of_bob, 8));
        }
        let at_victim = |port: u16| SocketAddr::new(victim, port + u16::from(round));
        let alice_is = match round % 2 {
            0 => accomplice_is,
            _ => at_victim(3000),
        };
        let nonce = u64::from(round);
        at_alice.control(&message::observed_address(nonce, alice_is));
        at_bob.control(&message::observed_address(nonce, at_victim(2000)));
        for _ in 0..60 {
            let world = &mut den.scene.world;
            world.run_for(Duration::from_millis(100));
            while let Some(received) = world.next_received(&accomplice) {
                let destination = world.address(alice);
                world.inject(at_victim(4000), destination, &received.payload);
                passed_on += 1;
            }
        }
    }
    let time = den.scene.world.elapsed() - begin;
    assert!(passed_on > 10, "{passed_on}");
    for (client, answers) in [(alice, passed_on), (bob, 0)] {
        let source = den.scene.world.address(client);
        let aimed = |packet: &&Packet| packet.source == source && packet.destination.ip() == victim;
        let (packets, bytes) = (tap.count(aimed), tap.bytes(aimed));
        println!("{packets} packets with {bytes} bytes in {time:?}, {answers} of them answers");
        assert!(packets > 10, "{packets}");
        // Nobody gets more back than was sent in its name.
        assert!(packets <= most_probes(time) + answers, "{packets}");
        assert_eq!(bytes, PROBE_LEN * packets);
    }
    den.scene.all_is_well(&[]);
}

/// Arranges a channel as an honest Coordinator does.
fn arrange(den: &mut Den, homes: [(&RawConn, NodeId); 2], ids: [ClientId; 2], number: u8) {
    let routes = routes(number);
    for (role, (conn, client)) in homes.into_iter().enumerate() {
        let address = den.scene.world.address(client);
        den.scene.raw.forward(routes[role], address);
        conn.control(&message::offer(&Offer {
            request: None,
            role: role as u8,
            own_route: routes[role],
            peer_route: routes[1 - role],
            channel: number.into(),
            peer: ids[1 - role],
            peer_name: Vec::new(),
            label: b"test".to_vec(),
        }));
    }
    den.scene.world.run_for(secs(1));
    homes[0].0.control(&message::start(routes[0]));
    for (_, client) in homes {
        // Former ones end.
        while opened_or_closed(&mut den.scene.world, client).is_err() {}
    }
}

fn routes(number: u8) -> [Route; 2] {
    [0x81, 0x91].map(|first| [first, 2, 3, 4, 5, number])
}

/// How many probes one IP address may get that answers none: 32, then none for a minute.
fn most_probes(time: Duration) -> usize {
    32 * (time.as_secs() as usize / 60 + 1)
}

const PROBE_LEN: usize = 58;
