//! What networks do to datagrams, and what conec makes of it.

use std::{num::NonZeroUsize, time::Duration};

use conec_core::{
    ChannelConfig, CloseReason, CoordinatorConfig, Datagram, Direction, Endpoint, ErrorCode,
    RecvEnd, SendEnd,
};
use conec_tests::{
    keys,
    raw::route_of,
    sim::{At, Burst, Half, LinkConfig, Packet, Tap, World},
};

use crate::{
    connecting::home,
    direct::flow::{Flow, run},
    pair, proxied_pair,
};

/// Sends numbered messages of this size from end to end, and sees them arrive.
pub(crate) fn transfer(world: &mut World, from: At, to: At, messages: u32, size: usize) {
    let ours = world.open(from, Direction::Uni, b"transfer");
    let mut next = 0;
    let mut theirs: Option<Half> = None;
    let message = |number: u32| {
        let mut message = number.to_be_bytes().to_vec();
        message.resize(size.max(4), number as u8);
        message
    };
    for number in 0..messages {
        world.send(ours, message(number));
        if let Some(theirs) = theirs {
            while let Ok(received) = world.try_recv(theirs) {
                assert_eq!(received, message(next));
                next += 1;
            }
        } else if number == 3 {
            theirs = Some(world.accept_stream(to));
        }
    }
    world.finish(ours);
    let theirs = theirs.unwrap_or_else(|| world.accept_stream(to));
    while next < messages {
        assert_eq!(world.recv(theirs), message(next));
        next += 1;
    }
    assert_eq!(world.recv_ended(theirs), RecvEnd::Finished);
}

#[test]
fn every_fault_is_survived() {
    let faults = [
        LinkConfig {
            loss: 0.1,
            ..LinkConfig::default()
        },
        LinkConfig {
            burst: Some(Burst {
                begin: 0.01,
                end: 0.2,
            }),
            ..LinkConfig::default()
        },
        LinkConfig {
            jitter: Duration::from_millis(50),
            reorder: 0.2,
            ..LinkConfig::default()
        },
        LinkConfig {
            duplicate: 0.5,
            ..LinkConfig::default()
        },
        LinkConfig {
            corrupt: 0.1,
            ..LinkConfig::default()
        },
        LinkConfig {
            rate: Some(500_000),
            queue: 20_000,
            ..LinkConfig::default()
        },
        LinkConfig {
            mtu: 1252,
            ..LinkConfig::default()
        },
        LinkConfig::rough(),
    ];
    for (seed, fault) in faults.iter().enumerate() {
        let (mut world, _, at_alice, at_bob) = pair(seed as u64);
        world.network.set_all(fault);
        transfer(&mut world, at_alice, at_bob, 300, 3000);
    }
}

#[test]
fn an_mtu_that_shrinks_is_survived() {
    let (mut world, _, at_alice, at_bob) = pair(1);
    transfer(&mut world, at_alice, at_bob, 100, 10_000);
    world.network.default.mtu = 1220;
    transfer(&mut world, at_alice, at_bob, 100, 10_000);
}

#[test]
fn a_path_below_quics_minimum_is_a_time_out() {
    let mut world = World::new(2);
    let coordinator = world.add_coordinator();
    world.network.default.mtu = 1199;
    let alice = world.add_client("alice");
    world.start_connecting(alice, coordinator);
    assert_eq!(world.closed(home(alice)), CloseReason::TimedOut);
}

#[test]
fn an_outage_shorter_than_the_idle_timeout_is_survived() {
    let (mut world, _, at_alice, at_bob) = pair(3);
    let ours = world.open_stream(at_alice, b"");
    world.send(ours, "before");
    let theirs = world.accept_stream(at_bob);
    assert_eq!(world.recv(theirs), "before");
    for host in [at_alice.node, at_bob.node] {
        world.set_up(host, false);
    }
    world.send(ours, "during");
    world.run_for(Duration::from_secs(15));
    for host in [at_alice.node, at_bob.node] {
        world.set_up(host, true);
    }
    assert_eq!(world.recv(theirs), "during");
}

/// An engine that doubles its pauses for as long as it hears nothing says its next word when the Coordinator has given the
/// Client up.
#[test]
fn a_client_comes_back_soon_after_an_outage() {
    for second in 0..10 {
        let mut world = World::new(second);
        let (coordinator, [alice]) = world.with_clients(["alice"]);
        world.run_for(Duration::from_secs(second));
        world.set_up(coordinator, false);
        // With a keep-alive every 10 seconds, and a word every second from then on, this is what the idle timeout of
        // 30 seconds leaves.
        world.run_for(Duration::from_millis(17_500));
        world.set_up(coordinator, true);
        world.run_for(Duration::from_secs(60));
        assert!(world.client(alice).is_connected(), "{second}");
        assert_eq!(world.coordinator(coordinator).clients(), 1, "{second}");
    }
}

/// The Clients do not know, nor need to, how short the Coordinator's patience is. The other way round it is the same.
#[test]
fn a_quiet_channel_stays_however_short_one_sides_idle_timeout_is() {
    for (theirs, ours) in [(1, 30), (5, 30), (30, 5), (30, 1)] {
        let mut world = World::new(theirs);
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.home.idle_timeout = Duration::from_secs(theirs);
        let coordinator = world.add_coordinator_with(config);
        let mut config = world.client_config("alice");
        config.home.idle_timeout = Duration::from_secs(ours);
        config.home.keep_alive = Some(Duration::from_secs(10)).filter(|it| it.as_secs() < ours);
        let alice = world.add_client_with(config);
        world.connect(alice, coordinator);
        let sent = world.datagrams_sent();
        world.run_for(Duration::from_secs(600));
        assert!(world.client(alice).is_connected(), "{theirs} {ours}");
        // There and back, by both of them.
        let most = 4 * 600 * 2 / theirs.min(ours) + 50;
        let sent = world.datagrams_sent() - sent;
        assert!(sent / 2 <= most, "{theirs} {ours}: {sent}");
    }
}

/// Those who are heard often enough are not asked.
#[test]
fn a_quiet_world_costs_keep_alives_and_no_more() {
    let (mut world, _, at_alice, at_bob) = proxied_pair(14);
    world.run_for(Duration::from_secs(30));
    let sent = world.datagrams_sent();
    world.run_for(Duration::from_secs(3600));
    // Counted by the world when they are sent, and when they arrive. Every 10 seconds, there and back, for each Client;
    // every 20 seconds, there and back over two hops, for the channel.
    let sent = (world.datagrams_sent() - sent) / 2;
    assert!(
        (3600 / 10 * 4 + 3600 / 20 * 4 - 20..3600 / 10 * 4 + 3600 / 20 * 4 + 20).contains(&sent),
        "{sent}"
    );
    for at in [at_alice, at_bob] {
        assert!(world.channel(at.node, at.channel).is_some());
    }
}

/// An engine whose window is full acknowledges nothing until its own timer goes off, after as long as the outage took. Of
/// two such engines each waits for the other.
#[test]
fn two_ends_that_have_sent_all_they_may_go_on_soon_after_an_outage() {
    for seed in 0..25 {
        let (mut world, coordinator, at_alice, at_bob) = proxied_pair(seed);
        let mut flows = [(at_alice, at_bob), (at_bob, at_alice)]
            .map(|(from, to)| Flow::new(&mut world, from, to, 1000));
        world.network.default.rate = Some(500_000);
        world.network.default.queue = 20_000;
        run(&mut world, &mut flows, Duration::from_secs(1));
        world.set_up(coordinator, false);
        run(
            &mut world,
            &mut flows,
            Duration::from_millis(1_000 + 1_030 * seed),
        );
        world.set_up(coordinator, true);
        let back = world.elapsed();
        run(&mut world, &mut flows, Duration::from_secs(20));
        for flow in &flows {
            let next = flow.arrivals.iter().find(|&&at| at > back);
            let pause = next.map(|&at| at - back);
            assert!(pause <= Some(Duration::from_secs(2)), "{seed}: {pause:?}");
            assert!(pause.is_some(), "{seed}");
        }
    }
}

/// What was lost with the acknowledgement is only how long the way takes. An engine that believes what the next one says
/// waits for seconds when a packet is lost.
#[test]
fn an_acknowledgement_that_was_lost_makes_no_way_longer() {
    for moment in 0..20 {
        let (mut world, coordinator, at_alice, at_bob) = proxied_pair(moment);
        let ours = world.open_stream(at_alice, b"");
        let theirs = world.accept_stream(at_bob);
        world.run_for(Duration::from_secs(3));
        world.link(coordinator, at_alice.node).up = false;
        world.send(ours, "heard, and not answered");
        world.run_for(Duration::from_millis(5_000 + 100 * moment));
        world.link(coordinator, at_alice.node).up = true;
        // In one packet with another acknowledgement of whatever has come last.
        world.send(theirs, "by the way");
        assert_eq!(world.recv(ours), "by the way");
        world.run_for(Duration::from_secs(1));
        let channel = world.channel(at_alice.node, at_alice.channel).unwrap();
        let rtt = channel.rtt().unwrap();
        assert!(rtt < Duration::from_millis(200), "{moment}: {rtt:?}");
    }
}

/// Each of the halves of a stream, and its channel, have ended at this end because the other one is gone.
fn ended_by_the_peers_absence(world: &mut World, at: At, half: Half) {
    let gone = CloseReason::Remote(ErrorCode::PeerGone);
    assert_eq!(world.recv_ended(half), RecvEnd::Closed(gone));
    assert_eq!(world.send_ended(half), SendEnd::Closed(gone));
    assert_eq!(world.closed(at), gone);
}

#[test]
fn an_outage_in_either_direction_or_both_ends_the_connection_at_both_sides() {
    for (up, down) in [(false, true), (true, false), (false, false)] {
        let (mut world, coordinator, at_alice, at_bob) = pair(9);
        let ours = world.open_stream(at_alice, b"");
        world.send(ours, "before");
        let theirs = world.accept_stream(at_bob);
        assert_eq!(world.recv(theirs), "before");
        world.link(at_alice.node, coordinator).up = up;
        world.link(coordinator, at_alice.node).up = down;
        let start = world.elapsed();
        // Neither side can know which direction it is.
        ended_by_the_peers_absence(&mut world, at_bob, theirs);
        let lost = CloseReason::CoordinatorLost;
        assert_eq!(world.recv_ended(ours), RecvEnd::Closed(lost));
        assert_eq!(world.closed(at_alice), lost);
        assert_eq!(world.closed(home(at_alice.node)), CloseReason::TimedOut);
        // The idle timeout begins with the first word that is not answered: a keep-alive, or, on the Coordinator's side, its
        // question when there is none. Where the Coordinator still hears her, that is when she has given up.
        let took = world.elapsed() - start;
        let idle = ChannelConfig::default().idle_timeout;
        let most = if up { 5 * idle } else { 3 * idle } / 2 + Duration::from_secs(15);
        assert!(took >= idle / 2 && took <= most, "{took:?}");
        // Those who still hear each other are not concerned.
        assert!(world.client(at_bob.node).is_connected());
        assert_eq!(world.coordinator(coordinator).clients(), 1);
    }
}

/// What is too large for it waits, and arrives once the path is wide enough again. Others, whose packets are small, do not
/// notice.
#[test]
fn a_path_that_becomes_too_narrow_for_quic_holds_up_those_who_fill_it() {
    let (mut world, coordinator, at_alice, at_bob) = proxied_pair(10);
    let quiet = world.open_channel(at_alice.node, at_bob.node);
    let ours = world.open_stream(at_alice, b"");
    world.send(ours, vec![1; 100_000]);
    let theirs = world.accept_stream(at_bob);
    assert_eq!(world.recv(theirs).len(), 100_000);
    let set_mtu = |world: &mut World, mtu| {
        world.link(at_alice.node, coordinator).mtu = mtu;
        world.link(coordinator, at_alice.node).mtu = mtu;
    };
    set_mtu(&mut world, 1000);
    world.send(ours, vec![2; 100_000]);
    world.run_for(Duration::from_secs(300));
    assert!(world.try_recv(theirs).is_err());
    let small = world.open_stream(quiet.0, b"");
    world.send(small, "still here");
    let at_quiet = world.accept_stream(quiet.1);
    assert_eq!(world.recv(at_quiet), "still here");
    set_mtu(&mut world, 1472);
    assert_eq!(world.recv(theirs), vec![2; 100_000]);
    transfer(&mut world, at_alice, at_bob, 50, 10_000);
}

#[test]
fn an_mtu_that_shrinks_on_one_leg_and_grows_again_is_survived() {
    let (mut world, coordinator, at_alice, at_bob) = proxied_pair(11);
    for mtu in [1452, 1200, 1300, 1201, 1472] {
        // The peers' packets are not cut to fit: they find out by themselves.
        world.link(coordinator, at_bob.node).mtu = mtu;
        let start = world.elapsed();
        transfer(&mut world, at_alice, at_bob, 50, 10_000);
        assert!(world.elapsed() - start < Duration::from_secs(10), "{mtu}");
    }
}

#[test]
fn a_network_that_comes_and_goes_is_survived() {
    let (mut world, _, at_alice, at_bob) = pair(12);
    let ours = world.open(at_alice, Direction::Uni, b"");
    let theirs = world.accept_stream(at_bob);
    let mut received = 0_u32;
    for number in 0..60_u32 {
        let host = [at_alice.node, at_bob.node][number as usize % 2];
        world.set_up(host, false);
        world.send(ours, [&number.to_be_bytes()[..], &[0; 5000]].concat());
        world.run_for(Duration::from_millis(700));
        world.set_up(host, true);
        world.run_for(Duration::from_millis(800));
        while let Ok(message) = world.try_recv(theirs) {
            assert_eq!(message[..4], received.to_be_bytes());
            received += 1;
        }
    }
    while received < 60 {
        assert_eq!(world.recv(theirs)[..4], received.to_be_bytes());
        received += 1;
    }
}

#[test]
fn a_narrow_link_slows_the_sender_down_and_is_shared_fairly() {
    let (mut world, coordinator, at_alice, at_bob) = proxied_pair(13);
    world.link(coordinator, at_bob.node).rate = Some(200_000);
    let streams = [(); 4].map(|()| {
        let ours = world.open(at_alice, Direction::Uni, b"");
        (ours, world.accept_stream(at_bob))
    });
    let (mut sent, mut received) = ([0; 4], [0; 4]);
    let start = world.elapsed();
    while world.elapsed() - start < Duration::from_secs(20) {
        for (number, &(ours, theirs)) in streams.iter().enumerate() {
            while world.try_send(ours, vec![0; 10_000].into()).is_ok() {
                sent[number] += 10_000;
            }
            while let Ok(message) = world.try_recv(theirs) {
                received[number] += message.len();
            }
        }
        world.run_for(Duration::from_millis(50));
    }
    let total: usize = received.iter().sum();
    assert!((2_500_000..4_000_000).contains(&total), "{total}");
    for number in 0..4 {
        let share = received[number] * 4;
        assert!(share > total / 2 && share < total * 2, "{received:?}");
        // What waits is bounded, however slow it goes.
        let waiting = sent[number] - received[number];
        let config = ChannelConfig::default();
        assert!(
            waiting <= config.send_buffer + config.send_window as usize,
            "{waiting}"
        );
    }
}

#[test]
fn congestion_marks_cross_the_coordinator() {
    use conec_core::Ecn;
    let (mut world, coordinator, at_alice, at_bob) = proxied_pair(7);
    let tap = Tap::default();
    world.network.tap = Some(tap.clone());
    transfer(&mut world, at_alice, at_bob, 50, 5000);
    let from = world.address(coordinator);
    let to = world.address(at_bob.node);
    let marked = tap.count(|packet| {
        packet.source == from && packet.destination == to && packet.ecn == Some(Ecn::Ect0)
    });
    assert!(marked > 50, "{marked}");
}

/// However much there is of either.
#[test]
fn a_coordinators_own_packets_and_those_that_it_forwards_go_in_turn() {
    let (mut world, coordinator, at_alice, at_bob) = proxied_pair(9);
    let tap = Tap::default();
    world.network.tap = Some(tap.clone());
    transfer(&mut world, at_alice, at_bob, 1, 100);
    let [alice, bob] = [at_alice, at_bob].map(|at| world.address(at.node));
    let forwarded =
        |packet: &&Packet| packet.source == alice && route_of(&packet.payload).is_some();
    let theirs = tap.find(forwarded).unwrap().payload;
    let bobs_id = world.client_id(at_bob.node);
    let at = At {
        node: coordinator,
        channel: world.coordinator(coordinator).find(bobs_id).unwrap(),
    };
    let ours = world.open(at, Direction::Uni, b"");
    world.run_for(Duration::from_secs(1));

    let now = world.now();
    let endpoint = world.coordinator(coordinator);
    for _ in 0..5 {
        endpoint.handle_datagram(
            now,
            Datagram {
                source: alice,
                destination_ip: None,
                second_port: false,
                ecn: None,
                segment_size: theirs.len(),
                payload: theirs[..].into(),
            },
        );
    }
    let mut channel = endpoint.channel(at.channel).unwrap();
    channel
        .stream(ours.stream)
        .send(vec![1; 100_000].into())
        .unwrap();
    let sent: Vec<_> = (0..8)
        .map(|_| endpoint.poll_transmit(now, NonZeroUsize::MIN).unwrap())
        .collect();
    assert!(sent.iter().all(|it| it.destination == bob));
    let is_theirs: Vec<_> = sent.iter().map(|it| it.payload == theirs).collect();
    assert!(
        is_theirs.windows(2).all(|it| it[0] != it[1]),
        "{is_theirs:?}"
    );
}

#[test]
fn two_runs_of_one_seed_are_the_same() {
    let run = |seed| {
        let (mut world, _, at_alice, at_bob) = pair(seed);
        world.network.set_all(&LinkConfig::rough());
        transfer(&mut world, at_alice, at_bob, 200, 2000);
        world.crash(at_bob.node);
        world.closed(at_alice);
        world.trace().hash()
    };
    for seed in 0..5 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1), run(2));
}

#[test]
fn a_hundred_clients_exchange_ten_thousand_messages() {
    let mut world = World::new(8);
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.limits.handshakes_before_retry = 1000;
    let coordinator = world.add_coordinator_with(config);
    let clients: Vec<_> = (0..100)
        .map(|number| {
            let client = world.add_client(&format!("client-{number}"));
            world.connect(client, coordinator);
            client
        })
        .collect();
    let streams: Vec<_> = (0..50)
        .map(|number| {
            let (from, to) = world.open_channel(clients[2 * number], clients[2 * number + 1]);
            let ours = world.open_stream(from, b"");
            (ours, world.accept_stream(to))
        })
        .collect();
    for _ in 0..100 {
        for &(ours, theirs) in &streams {
            world.send(ours, vec![1; 500]);
            world.send(theirs, vec![2; 500]);
        }
    }
    for &(ours, theirs) in &streams {
        for _ in 0..100 {
            assert_eq!(world.recv(theirs), vec![1; 500]);
            assert_eq!(world.recv(ours), vec![2; 500]);
        }
    }
    assert_eq!(world.coordinator(coordinator).stats().forwards_dropped, 0);
}

/// Its Clients' keep-alives fit what was negotiated.
#[test]
fn a_coordinator_that_waits_less_than_a_keep_alive_keeps_its_quiet_clients() {
    for idle in [2, 5, 8] {
        let mut world = World::new(idle);
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.home.idle_timeout = Duration::from_secs(idle);
        let coordinator = world.add_coordinator_with(config);
        let [alice, bob] = ["alice", "bob"].map(|name| world.add_client(name));
        for client in [alice, bob] {
            world.connect(client, coordinator);
        }
        let (at_alice, at_bob) = world.open_channel(alice, bob);
        world.run_for(Duration::from_secs(200));
        for client in [alice, bob] {
            assert!(world.client(client).is_connected(), "{idle} s");
        }
        transfer(&mut world, at_alice, at_bob, 3, 100);
    }
}
