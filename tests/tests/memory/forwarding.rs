//! What it costs to forward.

use std::time::Duration;

use bytes::BytesMut;
use conec_core::{Datagram, Direction, Endpoint};
use conec_tests::{
    raw::route_of,
    sim::{Packet, Tap, World},
};

pub(crate) fn forwarding_allocates_nothing_for_a_packet() {
    let mut world = World::new(1);
    let (coordinator, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let (at_alice, _) = world.open_channel(alice, bob);
    // A packet that the coordinator forwards.
    let tap = Tap::default();
    world.network.tap = Some(tap.clone());
    let stream = world.open(at_alice, Direction::Uni, b"");
    world.send(stream, vec![0; 50_000]);
    world.run_for(Duration::from_secs(1));
    let (from, to) = (world.address(alice), world.address(coordinator));
    let packet: Packet = tap
        .find(|packet| {
            packet.source == from
                && packet.destination == to
                && packet.payload.len() > 1000
                && packet.payload[0] & 0xc0 == 0x40
                && packet.payload[1] & 0x80 != 0
        })
        .expect("a packet with a route");
    let now = world.now();
    let coordinator = world.coordinator(coordinator);
    let forwarded_before = coordinator.stats().datagrams_forwarded;
    let mut blocks_for = |packets: usize| {
        let payload = BytesMut::from(&packet.payload.repeat(packets)[..]);
        let at = payload.as_ptr();
        let before = dhat::HeapStats::get().total_blocks;
        coordinator.handle_datagram(
            now,
            Datagram {
                source: from,
                destination_ip: None,
                second_port: false,
                ecn: None,
                segment_size: packet.payload.len(),
                payload,
            },
        );
        let max = 64.try_into().expect("not zero");
        let transmit = coordinator.poll_transmit(now, max).expect("forwarded");
        let blocks = dhat::HeapStats::get().total_blocks - before;
        assert_eq!(transmit.payload.as_ptr(), at, "not copied");
        assert_eq!(transmit.payload.len(), packets * packet.payload.len());
        blocks
    };
    // The queue gets its room with the first, and so does the list of buffers.
    blocks_for(2);
    let (one, forty) = (blocks_for(1), blocks_for(40));
    assert_eq!(one, forty, "blocks for one packet, and for forty");
    assert!(
        one <= 1,
        "sharing the received batch takes a counter: {one}"
    );
    let forwarded = coordinator.stats().datagrams_forwarded - forwarded_before;
    assert_eq!(forwarded, 43);
}

/// Whatever the packets are like, and whatever lies between them in what the system has received.
pub(crate) fn a_full_forwarding_queue_takes_no_more_than_it_may() {
    const LIMIT: usize = 4 << 20;
    /// The batches that are lent and come back, and one that is being dealt with.
    const SLACK: usize = 17 * 65_536;
    // Sizes of packets, how many for each of two routes in turn, and whether most of each batch is nobody's.
    for (size, run, mostly_junk) in [
        (9, 1, false),
        (60, 3, false),
        (1200, 1, false),
        (1200, 20, false),
        (1200, 1, true),
        (1452, 1000, false),
    ] {
        let mut world = World::new(4);
        let (coordinator, [alice, bob, carol]) = world.with_clients(["alice", "bob", "carol"]);
        let tap = Tap::default();
        world.network.tap = Some(tap.clone());
        let from = world.address(alice);
        let mut routes = [bob, carol].map(|to| {
            world.open_channel(alice, to);
            let at = world.address(to);
            let sent = tap.find(|it| it.destination == at && route_of(&it.payload).is_some());
            route_of(&sent.expect("a packet").payload).expect("of a channel")
        });
        let mut receive = |world: &mut World| {
            let mut batch = Vec::new();
            for number in 0..65_000 / size {
                let mut packet = vec![0x40; size];
                if !mostly_junk || number == 0 {
                    packet[1..7].copy_from_slice(&routes[0]);
                }
                batch.extend(packet);
                if (number + 1) % run == 0 {
                    routes.swap(0, 1);
                }
            }
            let now = world.now();
            let datagram = Datagram {
                source: from,
                destination_ip: None,
                second_port: false,
                ecn: None,
                segment_size: size,
                payload: BytesMut::from(&batch[..]),
            };
            world
                .coordinator(coordinator)
                .handle_datagram(now, datagram);
        };
        let before = dhat::HeapStats::get().curr_bytes;
        let mut most = 0;
        while world.coordinator(coordinator).stats().forwards_dropped == 0 {
            receive(&mut world);
            most = most.max(dhat::HeapStats::get().curr_bytes - before);
        }
        println!(
            "{most} bytes of {LIMIT} for packets of {size} bytes, {run} in a row, junk: {mostly_junk}"
        );
        assert!(most <= LIMIT + SLACK, "{most} bytes, packets of {size}");
        assert!(most >= LIMIT / 2, "{most} bytes, packets of {size}");
    }
}
