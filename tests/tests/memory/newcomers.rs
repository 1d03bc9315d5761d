//! What it costs to have not been let in.

use std::time::Duration;

use conec_core::{CoordinatorConfig, Policy};
use conec_tests::{
    keys,
    raw::{Dial, Key, Raw, message},
    sim::World,
};

use crate::held;

/// Whatever they send: nothing, part of a message, one with a gap in front, in one piece or many, or one that is asked about.
pub(crate) fn newcomers_take_no_more_than_is_reckoned() {
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
        let held = held(&mut world, coordinator, config) / COUNT;
        println!("a newcomer that sends {what} holds {held} bytes of {reckoned}");
        assert!(held <= reckoned, "{held} bytes of {reckoned}: {what}");
        assert!(
            what != "a gap" || held >= reckoned / 2,
            "{held} bytes of {reckoned}"
        );
    }
}

/// As many as one network may have at once.
pub(crate) fn those_who_are_refused_take_no_more_and_leave_nothing() {
    const COUNT: usize = 256;
    let empty = with_refused(0, Duration::ZERO);
    for (what, count, after) in [
        ("refused", COUNT, Duration::from_millis(200)),
        ("there", COUNT, Duration::from_secs(60)),
    ] {
        let each = with_refused(count, after).saturating_sub(empty) / COUNT;
        println!("a newcomer that was {what} holds {each} bytes");
        // Tables keep their room.
        let most = if what == "there" { 1 << 10 } else { 64 << 10 };
        assert!(each <= most, "{each} bytes: {what}");
    }
}

fn with_refused(count: usize, after: Duration) -> usize {
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.admission = Policy::Deny;
    let mut world = World::new(14);
    let coordinator = world.add_coordinator_with(config.clone());
    let raw = Raw::new(14);
    world.add_stranger(raw.clone());
    let (now, address) = (world.now(), world.address(coordinator));
    let conns: Vec<_> = (0..count as u16)
        .map(|number| raw.connect(now, address, &Dial::home(Key::Identity(700 + number))))
        .collect();
    for conn in &conns {
        world.wait_for("a handshake", Duration::from_secs(10), |_| {
            conn.is_connected().then_some(())
        });
    }
    for conn in &conns {
        conn.control(&message::hello(&[b'n'; 64], &[7; 4096]));
    }
    world.run_for(after);
    held(&mut world, coordinator, config)
}
