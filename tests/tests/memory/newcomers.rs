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
        let held = held(&mut world, coordinator, config) / COUNT;
        println!("a newcomer that sends {what} holds {held} bytes of {reckoned}");
        assert!(held <= reckoned, "{held} bytes of {reckoned}: {what}");
        assert!(
            what != "a gap" || held >= reckoned / 2,
            "{held} bytes of {reckoned}"
        );
    }
}
