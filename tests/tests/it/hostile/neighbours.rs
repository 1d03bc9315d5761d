//! Lies about who is in whose network. Addresses of private networks are told to neighbours and tried for neighbours, and who
//! is one is for the Coordinator to say.

use std::net::{IpAddr, SocketAddr};

use conec_tests::{
    raw::message::Offer,
    sim::{NatConfig, NatId, Net, Packet, Tap},
};

use super::*;

/// Mallory says that she has the victim's public address, and that hosts of its network are she.
#[test]
fn who_lies_about_its_addresses_is_told_no_private_ones_and_has_none_probed() {
    let mut scene = Scene::new(80);
    let (victim, home) = at_home(&mut scene, NatConfig::home());
    let (_, conn) = meet(&mut scene, victim);
    let tap = Tap::default();
    scene.world.network.tap = Some(tap.clone());
    let public = scene.world.outer_ip(home).unwrap();
    let lies = [
        (public, 4000),
        (inside(&scene, victim, 200), 5000),
        ([10, 0, 0, 9].into(), 5000),
        ([172, 16, 3, 4].into(), 5000),
        ([100, 64, 3, 4].into(), 5000),
    ]
    .map(SocketAddr::from);
    for (generation, told) in [(1, &lies[..]), (2, &lies[1..])] {
        conn.control(&message::candidates(generation, told));
        scene.world.run_for(secs(20));
        // The same generation again adds to it.
        conn.control(&message::candidates(generation, &lies));
        scene.world.run_for(secs(20));
    }
    assert_eq!(probes_inside(&scene, &tap, victim), 0);
    let told: Vec<_> = std::iter::from_fn(|| conn.next_of_kind(3)).collect();
    assert!(!told.is_empty());
    for told in told {
        let is_private = |it: &[u8]| it == [4, 192, 168];
        assert!(!told.windows(3).any(is_private), "{told:?}");
    }
    scene.all_is_well(&[]);
}

/// Mallory's pings bear addresses of the victim's network, and its NAT lets them in.
#[test]
fn a_ping_that_seems_to_come_from_inside_has_nothing_probed_there() {
    let mut scene = Scene::new(81);
    let (victim, _) = at_home(&mut scene, NatConfig::full_cone());
    let (offer, conn) = meet(&mut scene, victim);
    let tap = Tap::default();
    scene.world.network.tap = Some(tap.clone());
    let seen_at = scene.world.client(victim).observed_address().unwrap();
    let sealer = conn.sealer(probing::PROBES);
    for host in 200..210 {
        let ping = sealer.seal(offer.peer_route, host.into(), probing::PING);
        let source = SocketAddr::from((inside(&scene, victim, host), 5000));
        scene.world.inject(source, seen_at, &ping);
        scene.world.run_for(secs(10));
    }
    // Each is answered, as any ping is where it comes from.
    assert_eq!(probes_inside(&scene, &tap, victim), 10);
    scene.all_is_well(&[]);
}

/// Mallory is in the victim's network, and goes.
#[test]
fn who_leaves_is_a_neighbour_no_more() {
    let mut scene = Scene::new(82);
    let (victim, nat) = at_home(&mut scene, NatConfig::home());
    scene.world.put(scene.mallory, nat);
    let home = scene.log_in();
    let offer = accepted(&mut scene, &home, victim);
    let told = |neighbour| message::neighbour(offer.own_route, neighbour);
    assert_eq!(home.next_control(), Some(told(true)));
    assert_eq!(home.next_control(), Some(message::start(offer.own_route)));
    let conn = bind(&mut scene, &offer, victim);
    let host = SocketAddr::from((inside(&scene, victim, 200), 5000));
    let tap = Tap::default();
    scene.world.network.tap = Some(tap.clone());
    conn.control(&message::candidates(1, &[host]));
    scene.world.run_for(secs(10));
    let probed = probes_inside(&scene, &tap, victim);
    assert!(probed > 0, "a neighbour's addresses are tried");

    scene.world.put(scene.mallory, Net::Internet);
    let mut news = Vec::new();
    echo(&mut scene, &home, &mut news, secs(6));
    assert_eq!(news, [told(false)]);
    for generation in 2..5 {
        conn.control(&message::candidates(generation, &[host]));
        scene.world.run_for(secs(10));
    }
    assert_eq!(probes_inside(&scene, &tap, victim), probed);
    scene.all_is_well(&[]);
}

/// Mallory is in the victim's network and is not, ten times a second.
#[test]
fn who_flaps_has_others_told_now_and_then() {
    let mut scene = Scene::new(83);
    let (victim, nat) = at_home(&mut scene, NatConfig::home());
    let home = scene.log_in();
    let offer = accepted(&mut scene, &home, victim);
    let told = |neighbour| message::neighbour(offer.own_route, neighbour);
    assert_eq!(home.next_control(), Some(message::start(offer.own_route)));
    bind(&mut scene, &offer, victim);
    let mut news = Vec::new();
    for _ in 0..100 {
        for net in [nat.into(), Net::Internet] {
            scene.world.put(scene.mallory, net);
            echo(&mut scene, &home, &mut news, Duration::from_millis(100));
        }
    }
    // In 20 seconds.
    assert!((2..=5).contains(&news.len()), "{news:?}");
    // What is so in the end is told.
    for (net, is_one) in [(nat.into(), true), (Net::Internet, false)] {
        scene.world.put(scene.mallory, net);
        echo(&mut scene, &home, &mut news, secs(11));
        assert_eq!(news.last(), Some(&told(is_one)));
    }
    scene.all_is_well(&[]);
}

/// Mallory is in the network of somebody who keeps away from direct paths.
#[test]
fn who_wants_no_direct_paths_is_called_nobodys_neighbour() {
    let mut scene = Scene::new(84);
    let nat = scene.world.add_nat("home", NatConfig::home());
    let victim = scene.world.add_proxied_client("victim");
    for node in [scene.mallory, victim] {
        scene.world.put(node, nat);
    }
    scene.world.connect(victim, scene.coordinator);
    let home = scene.log_in();
    let offer = accepted(&mut scene, &home, victim);
    assert_eq!(home.next_control(), Some(message::start(offer.own_route)));
    let mut news = Vec::new();
    for net in [Net::Internet, nat.into()] {
        scene.world.put(scene.mallory, net);
        echo(&mut scene, &home, &mut news, secs(10));
    }
    assert!(news.is_empty(), "{news:?}");
    scene.all_is_well(&[]);
}

/// A victim behind a box of its own.
fn at_home(scene: &mut Scene, nat: NatConfig) -> (NodeId, NatId) {
    let home = scene.world.add_nat("home", nat);
    let victim = scene.world.add_client("victim");
    scene.world.put(victim, home);
    scene.world.connect(victim, scene.coordinator);
    (victim, home)
}

/// Mallory's channel to a victim, on which both are ready for direct paths.
fn meet(scene: &mut Scene, victim: NodeId) -> (Offer, RawConn) {
    let home = scene.log_in();
    let offer = accepted(scene, &home, victim);
    scene.until("start", || home.next_of_kind(4));
    let conn = bind(scene, &offer, victim);
    (offer, conn)
}

/// Mallory asks for a channel, and both accept.
fn accepted(scene: &mut Scene, home: &RawConn, victim: NodeId) -> Offer {
    let id = scene.world.client_id(victim);
    home.control(&message::open_by_id(7, id, b"test"));
    let offer = scene.until("offer", || home.next_offer());
    home.control(&message::accept(offer.own_route));
    scene.world.run_for(secs(1));
    offer
}

/// Binds a channel on which both are ready for direct paths.
fn bind(scene: &mut Scene, offer: &Offer, victim: NodeId) -> RawConn {
    let (now, via) = (scene.world.now(), scene.coordinator_address());
    let conn = scene
        .raw
        .connect_peer(now, offer, via, &Dial::peer(MALLORY));
    scene.until("connected", || conn.is_connected().then_some(()));
    conn.control(&message::direct(false));
    peers::bind(scene, offer, &conn, victim);
    conn
}

/// Lets time pass, in which Mallory answers all questions for her address, and takes note of what else she is told.
fn echo(scene: &mut Scene, home: &RawConn, news: &mut Vec<Vec<u8>>, time: Duration) {
    home.ping();
    let end = scene.world.elapsed() + time;
    while scene.world.elapsed() < end {
        scene.world.run_for(Duration::from_millis(10));
        while let Some(told) = home.next_control() {
            match told[..] {
                [10, a, b, c, d, e, f, g, h, ..] => {
                    let nonce = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                    home.control(&message::address_echo(nonce));
                }
                _ => news.push(told),
            }
        }
    }
}

/// A host in the network of a node.
fn inside(scene: &Scene, node: NodeId, host: u8) -> IpAddr {
    match scene.world.address(node).ip() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            [a, b, c, host].into()
        }
        IpAddr::V6(_) => unreachable!("nodes have an IPv4 address"),
    }
}

/// How many probes a node has sent to addresses that are private.
fn probes_inside(scene: &Scene, tap: &Tap, node: NodeId) -> usize {
    let from = scene.world.address(node);
    let is_private = |ip| match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.octets()[0] == 100,
        IpAddr::V6(_) => false,
    };
    tap.count(|packet: &&Packet| {
        packet.source == from && is_private(packet.destination.ip()) && packet.payload[0] == 0x0c
    })
}
