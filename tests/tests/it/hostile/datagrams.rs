//! Datagrams from anywhere, of any content, at any time.

use bytes::BytesMut;
use conec_core::{Datagram, testing::coordinator_entries};
use conec_tests::{
    raw::route_of,
    sim::{LinkConfig, Packet, Tap},
};
use rand::{Rng, RngCore};

use super::*;

/// All datagrams that were sent since `known`, which then counts them.
fn news(tap: &Tap, known: &mut usize) -> Vec<Packet> {
    let news = (*known..tap.len()).filter_map(|index| tap.get(index));
    let news = news.collect();
    *known = tap.len();
    news
}

#[test]
fn garbage_is_dropped_whoever_it_seems_to_come_from() {
    let mut scene = Scene::new(1);
    let coordinator = scene.coordinator_address();
    let ann = scene.world.address(scene.pair.ends[0].node);
    let stranger = ([198, 51, 100, 9], 9).into();
    let tap = Tap::default();
    scene.world.network.tap = Some(tap.clone());
    let mut garbage: Vec<Vec<u8>> = vec![
        vec![],
        vec![0],
        vec![0x40],
        vec![0x40; 9],
        vec![0xc0; 6],
        vec![0xff; 1200],
        vec![0; 1400],
    ];
    // Version negotiation that offers nothing, a version nobody knows, a Retry with a huge token, an Initial whose
    // lengths go beyond its end, one with the longest connection IDs.
    garbage.push([&[0x80, 0, 0, 0, 0, 8][..], &[1; 8], &[8], &[2; 8]].concat());
    let unknown = [
        &[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8][..],
        &[1; 8],
        &[8],
        &[2; 8],
    ]
    .concat();
    garbage.push([unknown, vec![0; 1200]].concat());
    garbage.push(
        [
            &[0xf0, 0, 0, 0, 1, 8][..],
            &[1; 8],
            &[8],
            &[2; 8],
            &[3; 1300],
        ]
        .concat(),
    );
    garbage.push(
        [
            &[0xc0, 0, 0, 0, 1, 8][..],
            &[1; 8],
            &[8],
            &[2; 8],
            &[0xff; 8],
        ]
        .concat(),
    );
    garbage.push([&[0xc0, 0, 0, 0, 1, 20][..], &[0xff; 20], &[20], &[2; 1300]].concat());
    garbage.push([&[0xc0, 0, 0, 0, 1, 255][..], &[0xff; 1300]].concat());
    for len in [20, 30, 100, 1200, 1452] {
        for first in [0x00, 0x40, 0x80, 0xc0, 0xd0, 0xe0, 0xf0] {
            let mut random = vec![0; len];
            scene.world.rng().fill_bytes(&mut random);
            random[0] = first;
            // A route, and none.
            garbage.push(random.clone());
            random[1] ^= 0x80;
            garbage.push(random);
        }
    }
    for bytes in &garbage {
        for (from, to) in [
            (stranger, coordinator),
            (ann, coordinator),
            (coordinator, ann),
            (stranger, ann),
        ] {
            scene.world.inject(from, to, bytes);
        }
    }
    scene.world.run_for(secs(1));
    scene.pair.talk(&mut scene.world);
    let dropped = scene.stats().datagrams_dropped;
    assert!(dropped > garbage.len() as u64 / 2, "{dropped}");
    let at_ann = scene.world.client(scene.pair.ends[0].node).stats();
    assert!(at_ann.datagrams_dropped > garbage.len() as u64 / 2);
    // A Client answers strangers nothing, a Coordinator less than it was sent.
    let to_stranger = |from| {
        let mut bytes = 0;
        tap.count(|packet| {
            if packet.source == from && packet.destination == stranger {
                bytes += packet.payload.len();
            }
            true
        });
        bytes
    };
    assert_eq!(to_stranger(ann), 0);
    let sent: usize = garbage.iter().map(Vec::len).sum();
    assert!(to_stranger(coordinator) <= sent);
    scene.all_is_well(&[]);
}

/// An end whose channel was taken away hears why from the Coordinator, on its home channel. If the Coordinator's QUIC
/// answered what that end still sends to the other, the answer would pass for the other end's.
#[test]
fn stragglers_of_a_channel_are_not_answered() {
    let mut scene = Scene::new(1);
    let coordinator = scene.coordinator_address();
    let ann = scene.world.address(scene.pair.ends[0].node);
    scene.world.run_for(secs(1));
    // Of a version that nobody knows: who answers, answers with the versions it does.
    let first = |cid: &[u8]| {
        let header = [0xc0, 0x1a, 0x2a, 0x3a, 0x4a, cid.len() as u8];
        [&header, cid, &[0], &[0; 1200]].concat()
    };
    for (cid, answers) in [(&[0xff; 8][..], 0), (&[0x7f; 8], 1), (&[0xff; 20], 1)] {
        let tap = Tap::default();
        scene.world.network.tap = Some(tap.clone());
        scene.world.inject(ann, coordinator, &first(cid));
        scene.world.run_for(Duration::from_millis(100));
        let to_ann = tap.count(|packet| packet.source == coordinator && packet.destination == ann);
        assert_eq!(to_ann, answers, "{cid:?}");
    }
    scene.all_is_well(&[]);
}

/// As those of a channel that was taken away.
#[test]
fn what_is_for_a_route_that_nobody_has_is_counted_as_dropped() {
    let mut scene = Scene::new(12);
    let coordinator = scene.coordinator_address();
    let ann = scene.world.address(scene.pair.ends[0].node);
    scene.world.run_for(secs(1));
    let before = scene.stats();
    let cid = [0xff; 8];
    let short = [&[0x40][..], &cid, &[0; 100]].concat();
    let long = [&[0xc0, 0, 0, 0, 1, 8][..], &cid, &[0; 1200]].concat();
    for packet in [short, long] {
        scene.world.inject(ann, coordinator, &packet);
    }
    scene.world.run_for(Duration::from_millis(100));
    let after = scene.stats();
    assert_eq!(after.datagrams_dropped, before.datagrams_dropped + 2);
    assert_eq!(after.forwards_denied, before.forwards_denied);
    scene.all_is_well(&[]);
}

/// Whoever has seen a route can send to its owner from anywhere, as direct paths go.
#[test]
fn a_client_answers_nothing_that_it_cannot_open() {
    let mut scene = Scene::new(10);
    let tap = Tap::default();
    scene.world.network.tap = Some(tap.clone());
    scene.pair.talk(&mut scene.world);
    let ann = scene.world.address(scene.pair.ends[0].node);
    let to_ann = |packet: &Packet| packet.destination == ann && route_of(&packet.payload).is_some();
    let mut known = 0;
    let theirs = news(&tap, &mut known);
    let theirs: Vec<_> = theirs.into_iter().filter(to_ann).collect();
    assert!(!theirs.is_empty());
    scene.world.run_for(secs(3));
    known = tap.len();
    for packet in theirs {
        // Another connection ID with the same route, and room for a stateless reset (RFC 9000, 10.3).
        let mut junk = packet.payload;
        junk[8] ^= 0xff;
        junk.resize(100, 0xaa);
        let stranger = ([198, 51, 100, 9], 9).into();
        scene.world.inject(stranger, ann, &junk);
    }
    scene.world.run_for(Duration::from_millis(200));
    let answers = news(&tap, &mut known);
    let answers = answers.iter().filter(|packet| packet.source == ann);
    assert_eq!(answers.count(), 0);
    scene.all_is_well(&[]);
}

/// Somebody on the way sends a packet on as if it came from a victim. The Coordinator has to ask there whether the Client
/// has moved (RFC 9000, 9.3.1), and no more than that: the engine went on to look for the largest packets that arrive.
#[test]
fn a_captured_packet_brings_a_victim_one_datagram() {
    let mut scene = Scene::new(11);
    let tap = Tap::default();
    scene.world.network.tap = Some(tap.clone());
    let [ann, _] = scene.pair.ends.map(|at| at.node);
    let at_home = ChannelId::HOME;
    let mut home = scene.world.channel(ann, at_home).unwrap();
    home.send_datagram(b"captured"[..].into()).unwrap();
    let (source, coordinator) = (scene.world.address(ann), scene.coordinator_address());
    let from_ann = |packet: &Packet| packet.source == source && packet.destination == coordinator;
    let captured = scene.until("a packet", || news(&tap, &mut 0).into_iter().find(from_ann));
    let victim = ([198, 51, 100, 9], 9).into();
    let now = scene.world.now();
    let redirected = Datagram {
        source: victim,
        destination_ip: None,
        second_port: false,
        ecn: None,
        segment_size: captured.payload.len(),
        payload: BytesMut::from(&captured.payload[..]),
    };
    let entity = scene.world.coordinator(scene.coordinator);
    entity.handle_datagram(now, redirected);
    scene.world.run_for(secs(2));
    let to_victim = news(&tap, &mut 0)
        .into_iter()
        .filter(|packet| packet.destination == victim)
        .map(|packet| packet.payload.len());
    assert_eq!(to_victim.collect::<Vec<_>>(), [1200]);
    scene.all_is_well(&[]);
}

#[test]
fn every_datagram_flipped_cut_short_or_sent_again_changes_nothing() {
    let mut scene = Scene::new(2);
    let tap = Tap::default();
    scene.world.network.tap = Some(tap.clone());
    let mut known = 0;
    // From the first packet of a handshake to the last of a channel.
    let (carol, dave) = (
        scene.world.add_client("carol"),
        scene.world.add_client("dave"),
    );
    scene.world.start_connecting(carol, scene.coordinator);
    scene.world.start_connecting(dave, scene.coordinator);
    let early = LinkConfig {
        delay: Duration::from_millis(5),
        ..LinkConfig::default()
    };
    let mut old: Vec<Packet> = Vec::new();
    let meddle = |world: &mut World, steps: usize, known: &mut usize, old: &mut Vec<Packet>| {
        for _ in 0..steps {
            world.step();
            let fresh = news(&tap, known);
            for packet in &fresh {
                let mut copies = vec![packet.payload.clone(); 3];
                let byte = world.rng().random_range(0..packet.payload.len());
                let bit = world.rng().random_range(0..8);
                copies[0][byte] ^= 1 << bit;
                // The header, which decides about who gets it.
                let byte = world.rng().random_range(0..packet.payload.len().min(24));
                copies[1][byte] ^= 1 << bit;
                let len = world.rng().random_range(0..packet.payload.len());
                copies[2].truncate(len);
                if !old.is_empty() {
                    let index = world.rng().random_range(0..old.len());
                    let again = &old[index];
                    world.inject(again.source, again.destination, &again.payload);
                }
                // Some before the real one, some after it.
                world.network.set_all(&early);
                for copy in &copies {
                    world.inject(packet.source, packet.destination, copy);
                }
                world.network.set_all(&LinkConfig::default());
                for copy in &copies {
                    world.inject(packet.source, packet.destination, copy);
                }
            }
            old.extend(fresh);
            // What was injected is not real.
            news(&tap, known);
        }
    };
    for client in [carol, dave] {
        for _ in 0..1000 {
            if scene.world.client(client).is_connected() {
                break;
            }
            meddle(&mut scene.world, 1, &mut known, &mut old);
        }
        assert!(scene.world.client(client).is_connected());
    }
    let dave_id = scene.world.client(dave).id();
    let at_carol = scene.world.request_channel(carol, dave_id.into());
    for _ in 0..2000 {
        let open = scene.world.channel(carol, at_carol.channel);
        if open.is_some_and(|channel| channel.is_open()) {
            break;
        }
        meddle(&mut scene.world, 1, &mut known, &mut old);
    }
    let stream = scene.world.open(at_carol, Direction::Uni, b"file");
    for number in 0..20_u8 {
        scene.world.send(stream, vec![number; 2000]);
        meddle(&mut scene.world, 10, &mut known, &mut old);
    }
    scene.world.finish(stream);
    let at_dave = opened_or_closed(&mut scene.world, dave).expect("opens");
    let received = scene.world.accept_stream(at_dave);
    for number in 0..20_u8 {
        assert_eq!(scene.world.recv(received), vec![number; 2000]);
    }
    assert_eq!(
        scene.world.recv_ended(received),
        conec_core::RecvEnd::Finished
    );
    assert!(old.len() > 100, "only {} datagrams", old.len());
    scene.all_is_well(&[]);
}

#[test]
fn a_batch_of_impossible_sizes_is_taken_for_what_it_can_be() {
    let mut scene = Scene::new(3);
    let now = scene.world.now();
    let ann = scene.pair.ends[0].node;
    for (segment_size, len) in [(0, 0), (0, 100), (1, 100), (5000, 100), (usize::MAX, 1300)] {
        let datagram = |first| {
            let mut payload = BytesMut::zeroed(len);
            payload.iter_mut().for_each(|byte| *byte = first);
            Datagram {
                source: ([198, 51, 100, 9], 9).into(),
                destination_ip: None,
                second_port: false,
                ecn: None,
                segment_size,
                payload,
            }
        };
        for first in [0x00, 0x40, 0xc0, 0xff] {
            let at_coordinator = scene.world.coordinator(scene.coordinator);
            at_coordinator.handle_datagram(now, datagram(first));
            scene
                .world
                .client(ann)
                .handle_datagram(now, datagram(first));
        }
    }
    scene.all_is_well(&[]);
}

#[test]
fn a_route_serves_only_the_other_ends_confirmed_address() {
    let mut scene = Scene::new(4);
    let tap = Tap::default();
    scene.world.network.tap = Some(tap.clone());
    scene.pair.talk(&mut scene.world);
    // What the bystanders sent each other, routes included, sent again by a stranger and by a Client of another pair.
    let coordinator = scene.coordinator_address();
    let theirs: Vec<_> = news(&tap, &mut 0)
        .into_iter()
        .filter(|packet| packet.destination == coordinator && route_of(&packet.payload).is_some())
        .collect();
    assert!(theirs.len() >= 2);
    scene.log_in();
    let stranger = ([198, 51, 100, 9], 9).into();
    let before = scene.stats();
    let mallory = scene.world.address(scene.mallory);
    for packet in &theirs {
        for source in [stranger, mallory] {
            scene.world.inject(source, coordinator, &packet.payload);
        }
        // The end that a route belongs to has no business sending there either.
        let mut junk = packet.payload.clone();
        junk.truncate(9);
        junk.resize(60, 0xaa);
        scene.world.inject(stranger, coordinator, &junk);
    }
    scene.world.run_for(Duration::from_millis(200));
    let after = scene.stats();
    assert_eq!(
        after.forwards_denied - before.forwards_denied,
        3 * theirs.len() as u64
    );
    assert_eq!(after.datagrams_forwarded, before.datagrams_forwarded);
    // And nobody was answered.
    assert_eq!(tap.count(|packet| packet.destination == stranger), 0);
    scene.all_is_well(&[]);
}

#[test]
fn a_bystanders_own_end_cannot_be_used_to_reach_itself() {
    let mut scene = Scene::new(5);
    let tap = Tap::default();
    scene.world.network.tap = Some(tap.clone());
    scene.pair.talk(&mut scene.world);
    let coordinator = scene.coordinator_address();
    let ben = scene.world.address(scene.pair.ends[1].node);
    // What ann sent to ben, as if ben had sent it.
    let packet = tap
        .find(|packet| {
            packet.destination == coordinator
                && packet.source != ben
                && route_of(&packet.payload).is_some()
        })
        .unwrap();
    let before = scene.stats().forwards_denied;
    scene.world.inject(ben, coordinator, &packet.payload);
    scene.world.run_for(Duration::from_millis(200));
    assert_eq!(scene.stats().forwards_denied, before + 1);
    scene.all_is_well(&[]);
}

#[test]
fn a_hog_has_its_packets_dropped_and_counted() {
    let mut scene = Scene::with(6, |config| config.limits.forward_rate = Some(100_000));
    let victim = scene.victim();
    let home = scene.log_in();
    let (offer, conn) = peers::initiate(&mut scene, &home, victim);
    peers::bind(&mut scene, &offer, &conn, victim);
    let (from, to) = (
        scene.world.address(scene.mallory),
        scene.coordinator_address(),
    );
    let mut junk = vec![0x40; 1200];
    junk[1..7].copy_from_slice(&offer.peer_route);
    let before = scene.stats();
    for _ in 0..20 {
        for _ in 0..100 {
            scene.world.inject(from, to, &junk);
        }
        scene.world.run_for(Duration::from_millis(50));
        scene.pair.talk(&mut scene.world);
    }
    let after = scene.stats();
    let passed = after.bytes_forwarded - before.bytes_forwarded;
    // A second's worth at once, then a second or three at that rate, and the bystanders.
    assert!(passed <= 500_000, "{passed}");
    assert!(after.forwards_dropped - before.forwards_dropped > 1500);
    // What did pass is no packet of the channel's, which the victim can tell.
    let at_victim = scene.world.client(victim).stats();
    assert_eq!(at_victim.violations, 0);
    scene.all_is_well(&[]);
}

#[test]
fn timers_may_come_early_late_twice_or_from_the_past() {
    let mut scene = Scene::new(7);
    let [ann, ben] = scene.pair.ends.map(|at| at.node);
    let now = scene.world.now();
    let long_ago = now.checked_sub(secs(3)).unwrap_or(now);
    for _ in 0..100 {
        scene.world.client(ann).handle_timeout(now);
        scene.world.client(ann).handle_timeout(long_ago);
        let at_coordinator = scene.world.coordinator(scene.coordinator);
        at_coordinator.handle_timeout(long_ago);
        at_coordinator.handle_timeout(now);
    }
    scene.pair.are_well(&mut scene.world);
    // One whose timer comes hours late has lost its connections, and says so once each.
    let client = scene.world.client(ann);
    for _ in 0..3 {
        client.handle_timeout(now + secs(3 * 3600));
    }
    let channel = scene.pair.ends[0];
    assert!(matches!(
        scene.world.closed(channel),
        CloseReason::TimedOut | CloseReason::CoordinatorLost
    ));
    let home = crate::connecting::home(ann);
    assert_eq!(scene.world.closed(home), CloseReason::TimedOut);
    // The others find out in their own time.
    let reason = scene.world.closed(scene.pair.ends[1]);
    assert!(matches!(
        reason,
        CloseReason::TimedOut | CloseReason::Remote(_) | CloseReason::Reset
    ));
    assert!(scene.world.client(ben).is_connected());
}

#[test]
fn datagrams_that_nobody_reads_count_as_memory_whether_or_not_anybody_was_told_of_them() {
    let mut scene = Scene::new(12);
    let conn = scene.log_in();
    let at = scene.session();
    scene.world.run_for(secs(5));
    scene.world.set_lagging(at.node, true);
    let kept = |scene: &mut Scene| coordinator_entries(scene.world.coordinator(at.node));
    let before = kept(&mut scene);
    let mut sent = 0;
    for _ in 0..100 {
        assert!(conn.send_datagram(vec![7; 1000]));
        sent += 1000;
        scene.world.run_for(Duration::from_millis(20));
    }
    scene.world.run_for(secs(1));
    // And little besides for each of them.
    let bounds = before + sent..before + sent * 5 / 4;
    for lagging in [true, false] {
        scene.world.set_lagging(at.node, lagging);
        scene.world.run_for(secs(1));
        let kept = kept(&mut scene);
        assert!(bounds.contains(&kept), "{kept} is not in {bounds:?}");
    }
    let mut session = scene.world.channel(at.node, at.channel).unwrap();
    let taken = std::iter::from_fn(|| session.recv_datagram()).count();
    assert_eq!(taken, 100);
    scene.world.run_for(secs(1));
    assert!(kept(&mut scene) < before + 1000);
    scene.all_is_well(&[]);
}
