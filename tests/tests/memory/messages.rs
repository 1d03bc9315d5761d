//! What waits for readers, or for the rest of a message.

use std::time::Duration;

use conec_core::CoordinatorConfig;
use conec_tests::{
    budget::share_out,
    keys,
    raw::{Raw, RawConn, message},
    sim::World,
};

use crate::{held, log_in};

const LIMIT: usize = 2 << 20;
const CLIENTS: u16 = 2;

pub(crate) fn whatever_waits_for_readers_or_senders_fills_what_messages_may_take() {
    let idle = fill(|_| {});
    fills("whole messages", idle, |conn| {
        for _ in 0..60 {
            let stream = conn.open_uni().expect("as many as are allowed");
            conn.write(stream, message::preamble(b""));
            conn.write(stream, message::frame(&[2; 30_000]));
        }
    });
    fills("parts of messages", idle, |conn| {
        // With more, they would have to go: there is room for the whole message.
        for _ in 0..14 {
            let stream = conn.open_uni().expect("as many as are allowed");
            conn.write(stream, message::preamble(b""));
            let message = message::frame(&[3; 60_000]);
            conn.write(stream, message[..40_000].to_vec());
        }
    });
    fills("unaccepted streams", idle, |conn| {
        while let Some(stream) = conn.open_uni() {
            conn.write(stream, message::preamble(&[1; 255]));
        }
    });
    fills("the smallest messages", idle, |conn| {
        while let Some(stream) = conn.open_uni() {
            conn.write(stream, message::preamble(b""));
            conn.write(stream, message::frame(b"x").repeat(1000));
        }
    });
}

fn fills(what: &str, idle: usize, write: impl Fn(&RawConn)) {
    let held = fill(write) - idle;
    println!("{what}: {held} bytes of {LIMIT}");
    // What is under way when the limit is reached may take more. What stays in the windows is not of messages.
    let windows = CLIENTS as usize * (88 << 10);
    let most = LIMIT / 8 * 9 + windows;
    assert!(held <= most, "{what}: {held} bytes");
    assert!(held >= LIMIT / 2, "{what}: {held} bytes");
}

/// What a Coordinator holds whose application takes nothing, when Clients have done this.
fn fill(write: impl Fn(&RawConn)) -> usize {
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.limits.clients = CLIENTS.into();
    config.home.uni_streams = 8192;
    config.home.max_receive_window = config.home.receive_window;
    share_out(&mut config, LIMIT);
    let mut world = World::new(8);
    let coordinator = world.add_coordinator_with(config.clone());
    let raw = Raw::new(8);
    world.add_stranger(raw.clone());
    world.set_lagging(coordinator, true);
    for number in 0..CLIENTS {
        write(&log_in(&mut world, &raw, coordinator, 600 + number));
        world.run_for(Duration::from_secs(10));
    }
    held(&mut world, coordinator, config)
}
