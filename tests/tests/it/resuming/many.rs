//! Many Clients that lose one Coordinator at the same moment.

use conec_core::ChannelId;

use super::*;

/// How soon the channels of so many Clients go on, each with so many, when the Coordinator was away for two seconds.
fn many(seed: u64, count: usize, channels: usize) {
    let mut world = World::new(seed);
    let config = coordinator_config();
    let coordinator = world.add_coordinator_with(config.clone());
    let clients: Vec<_> = (0..count)
        .map(|number| {
            let (client, _) = lasting_client(&mut world, &format!("client-{number}"), false);
            world.connect(client, coordinator);
            client
        })
        .collect();
    let mut flows = Vec::new();
    for (number, &from) in clients.iter().enumerate() {
        for step in 1..=channels {
            let to = clients[(number + step) % count];
            let (here, there) = world.open_channel(from, to);
            flows.push(Flow::paced(&mut world, here, there, 100, PACE));
        }
    }
    run(&mut world, &mut flows, secs(2));
    world.crash(coordinator);
    run(&mut world, &mut flows, secs(2));
    world.restart_coordinator(coordinator, config);
    let back = world.elapsed();
    run(&mut world, &mut flows, secs(8));
    let first = |flow: &Flow| flow.arrivals.iter().find(|&&at| at > back).copied();
    let mut pauses: Vec<_> = flows
        .iter()
        .map(|flow| first(flow).expect("it goes on") - back)
        .collect();
    pauses.sort_unstable();
    let p99 = pauses[pauses.len() * 99 / 100];
    let last = pauses[pauses.len() - 1];
    println!(
        "{count} clients, {} channels: p99 {p99:?}, the last {last:?}",
        flows.len()
    );
    assert!(p99 <= secs(3), "{p99:?}");
    for flow in &mut flows {
        flow.drain(&mut world);
    }
    for client in clients {
        assert_ne!(world.client(client).home(), ChannelId::HOME);
    }
}

#[test]
fn all_channels_go_on_soon_after_the_coordinator_is_back() {
    // As many as `CONEC_CLIENTS` says, with five each.
    let count = std::env::var("CONEC_CLIENTS").map_or(20, |count| count.parse().unwrap());
    many(34, count, 5);
}
