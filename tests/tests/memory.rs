//! What things cost in memory, counted by the allocator. One test, since the allocator counts for the whole process.

use std::time::Duration;

use bytes::BytesMut;
use conec_core::{CoordinatorConfig, Datagram, Direction, Endpoint, Policy};
use conec_tests::{
    budget::share_out,
    keys,
    raw::{Dial, Key, Raw, message, route_of},
    sim::{Packet, Tap, World},
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn memory_is_spent_where_it_should_be() {
    let _profiler = dhat::Profiler::builder().testing().build();
    forwarding_allocates_nothing_for_a_packet();
    a_full_forwarding_queue_takes_no_more_than_it_may();
    a_channel_leaves_nothing_behind();
    channels_that_are_over_take_no_more_than_messages_may();
    newcomers_take_no_more_than_is_reckoned();
    clients_at_every_limit_take_no_more_than_the_worst_case(|_| {});
    // Nor does it help to have streams with gaps.
    clients_at_every_limit_take_no_more_than_the_worst_case(|raw| {
        let mut count = 0;
        raw.filter_outgoing(move |packet| {
            count += 1;
            count % 2 == 0 || packet.len() < 1000
        });
    });
    windows_full_of_packets_with_hardly_anything_take_no_more_than_is_reckoned();
}

fn forwarding_allocates_nothing_for_a_packet() {
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
fn a_full_forwarding_queue_takes_no_more_than_it_may() {
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

fn a_channel_leaves_nothing_behind() {
    let mut world = World::new(2);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let mut live = Vec::new();
    for _ in 0..6 {
        for _ in 0..10 {
            let (at_alice, at_bob) = world.open_channel(alice, bob);
            let ours = world.open(at_alice, Direction::Uni, b"");
            world.send(ours, vec![0; 100_000]);
            world.finish(ours);
            let theirs = world.accept_stream(at_bob);
            world.recv(theirs);
            let now = world.now();
            let mut channel = world.channel(alice, at_alice.channel).expect("open");
            channel.close(now, Duration::from_secs(5));
            world.closed(at_alice);
            world.closed(at_bob);
        }
        world.run_for(Duration::from_secs(10));
        while world.next_event(alice).is_some() || world.next_event(bob).is_some() {}
        live.push(dhat::HeapStats::get().curr_bytes);
    }
    // The trace of the run is full after the first rounds. The world itself notes who was met and what is over, which
    // takes some hundred bytes; a connection that stayed would take thousands.
    let grown = live[5].saturating_sub(live[4]) / 10;
    assert!(grown < 600, "{grown} bytes for each channel: {live:?}");
}

/// Whatever they send: nothing, part of a message, one with a gap in front, in one piece or many, or one that is asked about.
fn newcomers_take_no_more_than_is_reckoned() {
    const COUNT: usize = 20;
    let hello = message::frame(&message::hello(&[b'n'; 64], &[7; 4096]));
    let part = [&message::varint(8192)[..], &[1; 8191]].concat();
    for (what, bytes, piece, lose) in [
        ("nothing", vec![], 1, 0),
        ("part of a message", part, 9000, 0),
        ("a gap", vec![1; 50_000], 50_000, 1),
        ("a gap and little", vec![1; 900], 1, 1),
        ("a hello", hello, 9000, 0),
    ] {
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.admission = Policy::Ask;
        config.limits.hello_timeout = Duration::from_secs(600);
        config.limits.answer_timeout = Duration::from_secs(600);
        let with = |count| {
            let mut config = config.clone();
            config.limits.handshakes = count;
            config.memory = 0;
            config.worst_case_bytes()
        };
        let reckoned = (with(2 * COUNT) - with(COUNT)) as usize / COUNT;
        let mut world = World::new(6);
        let coordinator = world.add_coordinator_with(config.clone());
        let raw = Raw::new(6);
        world.add_stranger(raw.clone());
        world.set_lagging(coordinator, true);
        for number in 0..COUNT {
            raw.stop_filtering();
            let (now, address) = (world.now(), world.address(coordinator));
            let dial = Dial {
                initial_window: 4 << 20,
                keep_alive: None,
                ..Dial::home(Key::Identity(700 + number as u16))
            };
            let conn = raw.connect(now, address, &dial);
            world.run_for(Duration::from_millis(200));
            assert!(conn.is_connected());
            let mut sent = 0;
            raw.filter_outgoing(move |_| {
                sent += 1;
                sent > lose
            });
            for piece in bytes.chunks(piece) {
                conn.control_bytes(piece.to_vec());
                // One after the other, and none again.
                world.run_for(Duration::from_micros(10));
            }
            assert_eq!(conn.open_uni(), None);
            for _ in 0..500 {
                conn.send_datagram(vec![4; 1000]);
            }
            world.run_for(Duration::from_millis(50));
            // What was lost stays lost.
            raw.filter_outgoing(|_| false);
            world.run_for(Duration::from_millis(200));
        }
        let before = dhat::HeapStats::get().curr_bytes;
        world.crash(coordinator);
        world.restart_coordinator(coordinator, config);
        let held = before.saturating_sub(dhat::HeapStats::get().curr_bytes) / COUNT;
        println!("a newcomer that sends {what} holds {held} bytes of {reckoned}");
        assert!(held <= reckoned, "{held} bytes of {reckoned}: {what}");
        assert!(
            what != "a gap" || held >= reckoned / 2,
            "{held} bytes of {reckoned}"
        );
    }
}

/// Whether they leave few streams or many, with labels or without.
fn channels_that_are_over_take_no_more_than_messages_may() {
    const LIMIT: usize = 512 << 10;
    let mut empty = None;
    for (channels, streams, label) in [
        (0, 0, &[][..]),
        (120, 1, &[]),
        (120, 1, &[1; 255]),
        (120, 7, &[]),
        (60, 16, &[1; 255]),
    ] {
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.limits.clients = 8;
        share_out(&mut config, LIMIT);
        let mut world = World::new(5);
        let coordinator = world.add_coordinator_with(config.clone());
        let raw = Raw::new(5);
        world.add_stranger(raw.clone());
        world.set_lagging(coordinator, true);
        for number in 0..channels {
            let (now, address) = (world.now(), world.address(coordinator));
            let conn = raw.connect(now, address, &Dial::home(Key::Identity(700 + number)));
            world.run_for(Duration::from_secs(1));
            conn.control(&message::hello(b"", b""));
            world.run_for(Duration::from_secs(1));
            for _ in 0..streams {
                let stream = conn.open_uni().expect("as many as are allowed");
                conn.write(stream, message::preamble(label));
                conn.write(stream, message::frame(b"x"));
            }
            conn.send_datagram(vec![4; 1000]);
            world.run_for(Duration::from_secs(1));
            conn.close(world.now(), 0);
            world.run_for(Duration::from_secs(1));
            let endpoint = world.coordinator(coordinator);
            while endpoint.poll_channel_event().is_some() {}
            while endpoint.poll_application_event().is_some() {}
        }
        world.run_for(Duration::from_secs(20));
        let before = dhat::HeapStats::get().curr_bytes;
        world.crash(coordinator);
        world.restart_coordinator(coordinator, config);
        let held = before.saturating_sub(dhat::HeapStats::get().curr_bytes);
        let Some(empty) = empty else {
            empty = Some(held);
            continue;
        };
        let held = held - empty;
        println!("{held} bytes of {LIMIT} are left of channels with {streams} streams");
        assert!(held <= LIMIT, "{held} bytes, {streams} streams");
        assert!(held >= LIMIT / 2, "{held} bytes, {streams} streams");
    }
}

/// The engine keeps packets for the sake of the few bytes that they bring.
fn windows_full_of_packets_with_hardly_anything_take_no_more_than_is_reckoned() {
    const WINDOW: usize = 16 << 10;
    const MESSAGE: usize = 70_000;
    let config = || {
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.limits.clients = 4;
        config.home.receive_window = WINDOW as u32;
        config.home.max_receive_window = WINDOW as u32;
        config
    };
    let with = |clients| {
        let mut config = config();
        config.limits.clients = clients;
        config.memory = 0;
        config.worst_case_bytes() as usize
    };
    let reckoned = with(5) - with(4);
    let mut world = World::new(7);
    let coordinator = world.add_coordinator_with(config());
    let raw = Raw::new(7);
    world.add_stranger(raw.clone());
    let (now, address) = (world.now(), world.address(coordinator));
    let conn = raw.connect(now, address, &Dial::home(Key::Identity(600)));
    world.run_for(Duration::from_secs(1));
    conn.control(&message::hello(b"", b""));
    world.run_for(Duration::from_secs(1));
    let stream = conn.open_uni().expect("as many as are allowed");
    conn.write(stream, message::preamble(b""));
    // It waits for its reader. What comes next stays in the window.
    conn.write(stream, message::frame(&[2; MESSAGE]));
    world.run_for(Duration::from_secs(1));
    let mut sent = 0;
    while conn.is_flushed() {
        conn.write(stream, vec![1]);
        world.run_for(Duration::from_micros(500));
        sent += 1;
        assert!(sent < 10 * WINDOW, "the window is not full");
    }
    let before = dhat::HeapStats::get().curr_bytes;
    world.crash(coordinator);
    world.restart_coordinator(coordinator, config());
    let held = before.saturating_sub(dhat::HeapStats::get().curr_bytes);
    let held = held - MESSAGE;
    println!("a window full of single bytes holds {held} bytes of {reckoned}");
    assert!(held <= reckoned, "{held} bytes of {reckoned}");
}

fn clients_at_every_limit_take_no_more_than_the_worst_case(lose: impl FnOnce(&Raw)) {
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.limits.clients = 3;
    config.limits.clients_per_network = Some(3);
    config.limits.handshakes = 1;
    config.limits.channels_per_client = 8;
    config.limits.events = 100;
    config.limits.pairs = 8;
    config.limits.forward_queue = 100 << 10;
    share_out(&mut config, 8 << 20);
    let worst = config.worst_case_bytes();
    let mut world = World::new(3);
    let coordinator = world.add_coordinator_with(config.clone());
    let raw = Raw::new(3);
    world.add_stranger(raw.clone());
    let dialled = [600, 601, 602].map(|number| {
        let (now, address) = (world.now(), world.address(coordinator));
        let dial = Dial {
            initial_window: 4 << 20,
            ..Dial::home(Key::Identity(number))
        };
        let conn = raw.connect(now, address, &dial);
        world.run_for(Duration::from_secs(1));
        conn.control(&message::hello(
            format!("raw-{number}").as_bytes(),
            &[7; 4096],
        ));
        world.run_for(Duration::from_secs(1));
        conn
    });
    lose(&raw);
    // Nobody receives. Each stream has one message that waits and part of another, and all that the windows let in.
    for conn in &dialled {
        while let Some(stream) = conn.open_uni().or_else(|| conn.open_bi()) {
            conn.write(stream, message::preamble(&[1; 255]));
            conn.write(stream, message::frame(&[2; 60_000]));
            conn.write(stream, message::frame(&[3; 60_000]));
            conn.write(stream, message::frame(&[4; 200_000]));
        }
        for _ in 0..2000 {
            conn.send_datagram(vec![4; 200]);
        }
    }
    world.run_for(Duration::from_secs(20));
    let connected = dialled.iter().filter(|conn| conn.end().is_none()).count();
    assert_eq!(connected, 3, "they stay below the limits");
    // What goes with the Coordinator is what it held.
    let before = dhat::HeapStats::get().curr_bytes;
    world.crash(coordinator);
    world.restart_coordinator(coordinator, config);
    let held = before.saturating_sub(dhat::HeapStats::get().curr_bytes) as u64;
    println!("3 clients hold {held} bytes of at most {worst}");
    assert!(held <= worst, "{held} bytes of at most {worst}");
    assert!(held > 4 << 20, "{held} bytes are no test of a limit");
}
