//! Ends that would have others attack somebody: whatever they say, few small probes go there.

use conec_core::Endpoint;
use conec_tests::sim::World;

use super::{
    flow::{Flow, run},
    secs,
};

#[test]
fn a_peer_that_names_victims_makes_nobody_attack_them() {
    let mut world = World::new(1);
    let (_, [alice, mallory]) = world.with_clients(["alice", "mallory"]);
    // So that the search goes on.
    world.link(alice, mallory).up = false;
    let tap = conec_tests::sim::Tap::default();
    world.network.tap = Some(tap.clone());
    let channels: Vec<_> = (0..8).map(|_| world.open_channel(mallory, alice)).collect();
    let mut flows: Vec<_> = channels
        .iter()
        .map(|&(at_mallory, at_alice)| Flow::paced(&mut world, at_mallory, at_alice, 10, secs(1)))
        .collect();
    let victim: std::net::IpAddr = [198, 51, 100, 7].into();
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
    assert!(at_victim > 10, "{at_victim}");
    assert!(
        at_victim <= 32 * minutes,
        "{at_victim} in {minutes} minutes"
    );
    // Nobody else gets more either, and nobody gets anything large.
    let stranger =
        |ip: std::net::IpAddr| matches!(ip, std::net::IpAddr::V4(ip) if ip.octets()[0] == 198);
    let large = tap.count(|packet| {
        packet.source == source && stranger(packet.destination.ip()) && packet.payload.len() > 58
    });
    assert_eq!(large, 0);
    let all = tap.count(|packet| packet.source == source && stranger(packet.destination.ip()));
    // 5000 bytes a search, every 5 seconds at most, on each channel.
    let searches = 8 * (minutes * 12 + 1);
    assert!(58 * all <= 5000 * searches, "{all}");
    assert!(all <= 200 * 60 * minutes);
    assert!(world.client(alice).stats().probes_sent >= all as u64);
}
