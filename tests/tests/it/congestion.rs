//! Bulk on networks that reorder, lose or hold back packets: how much arrives, and that nothing ends by it.

use std::time::Duration;

use conec_core::{CongestionControl, Path, Target};
use conec_tests::sim::{At, Clock, LinkConfig, World};

use crate::{
    direct::flow::{Flow, run},
    pair, proxied_pair,
};

/// 200 Mbit/s with a queue of 200 ms. Once bulk ended the channel after 0.7 s: slow start filled the queue, and left more
/// gaps behind than the engine puts up with.
#[test]
fn bulk_on_a_deep_queue_ends_no_channel() {
    let (mut world, _, from, to) = proxied_pair(1);
    world.network.set_all(&LinkConfig {
        rate: Some(5 * RATE),
        ..queue(RATE as usize)
    });
    let rate = bulk(&mut world, from, to, Duration::from_secs(2));
    assert!(rate > 0.8 * 5.0, "{rate} times 40 Mbit/s");
}

/// Once a channel with a millisecond of jitter carried 4 % of what it does without.
#[test]
fn reordering_costs_nothing() {
    for jitter in [1, 2] {
        let (mut world, _, from, to) = proxied_pair(jitter);
        let network = LinkConfig {
            jitter: Duration::from_millis(jitter),
            ..queue(RATE as usize / 20)
        };
        world.network.set_all(&network);
        let rate = bulk(&mut world, from, to, Duration::from_secs(3));
        assert!(rate > 0.8, "{rate} with {jitter} ms of jitter");
    }
}

/// Each packet takes 5 to 15 ms. Those that were overtaken by more than the engine waits for were taken for lost, five in a
/// second, and the window never grew to where packets wait in the queue and all take about as long: 0.2 of the rate.
#[test]
fn what_was_only_overtaken_is_no_sign_of_congestion() {
    for seed in 1..=8 {
        let (mut world, _, from, to) = pair(seed);
        world.run_for(Duration::from_secs(2));
        let network = LinkConfig {
            jitter: Duration::from_millis(10),
            ..queue(RATE as usize / 20)
        };
        world.network.set_all(&network);
        let mut flow = Flow::new(&mut world, from, to, 64 << 10);
        rate_of(&mut world, &mut flow, Duration::from_secs(1));
        let rate = rate_of(&mut world, &mut flow, Duration::from_secs(3));
        assert!(rate > 0.8, "seed {seed}: {rate}");
    }
}

/// The choice takes effect while the channel lives, each end's for what it sends.
#[test]
fn a_channel_can_be_told_that_losses_say_nothing() {
    let (mut world, _, from, to) = proxied_pair(1);
    let network = LinkConfig {
        loss: 0.005,
        ..queue(RATE as usize / 20)
    };
    world.network.set_all(&network);
    let mut flow = Flow::new(&mut world, from, to, 64 << 10);
    let mut rates = [CongestionControl::Fair, CongestionControl::LossTolerant].map(|choice| {
        choose(&mut world, from, choice);
        rate_of(&mut world, &mut flow, Duration::from_secs(4))
    });
    rates.reverse();
    let [tolerant, fair] = rates;
    assert!(tolerant > 0.7, "{tolerant}");
    assert!(fair < 0.4, "{fair}");
    flow.drain(&mut world);
}

/// A choice that is made while the channel is being arranged is there when it stands, and on every path after.
#[test]
fn a_choice_made_early_outlives_the_change_of_paths() {
    let mut world = World::new(1);
    let (_, [alice, bob]) = world.with_clients(["alice", "bob"]);
    let target = Target::Id(world.client_id(bob));
    let from = world.request_channel(alice, target);
    choose(&mut world, from, CongestionControl::LossTolerant);
    let to = world.opened(bob);
    let network = LinkConfig {
        loss: 0.01,
        ..queue(RATE as usize / 20)
    };
    world.network.set_all(&network);
    world.wait_for("a direct path", Duration::from_secs(10), |world| {
        let channel = world.channel(alice, from.channel)?;
        matches!(channel.path(), Path::Direct(_)).then_some(())
    });
    let rate = bulk(&mut world, from, to, Duration::from_secs(4));
    assert!(rate > 0.7, "{rate}");
}

/// Alone it uses the path; in the queues that somebody else fills, it is nearly silent.
#[test]
fn background_channels_leave_no_queue() {
    let (mut world, _, from, to) = pair(1);
    world.network.set_all(&queue(RATE as usize / 2));
    choose(&mut world, from, CongestionControl::Background);
    let mut flow = Flow::new(&mut world, from, to, 64 << 10);
    rate_of(&mut world, &mut flow, Duration::from_secs(2));
    let rate = rate_of(&mut world, &mut flow, Duration::from_secs(4));
    assert!(rate > 0.6, "{rate}");
    let rtt = world.channel(from.node, from.channel).unwrap().rtt();
    assert!(
        rtt.unwrap() < Duration::from_millis(80),
        "{rtt:?} where there are 20 ms without a queue, and 520 ms with a full one"
    );
}

/// Acknowledgements that have waited while the machine slept say nothing of the way. What it carries is known all the same.
#[test]
fn who_wakes_up_is_soon_as_fast_as_before() {
    let (mut world, _, from, to) = proxied_pair(2);
    world.network.set_all(&LinkConfig {
        delay: Duration::from_millis(25),
        ..queue(RATE as usize / 5)
    });
    let mut flow = Flow::new(&mut world, from, to, 64 << 10);
    let before = rate_of(&mut world, &mut flow, Duration::from_secs(4));
    world.sleep(from.node, Clock::Runs, 1 << 20);
    world.run_for(Duration::from_secs(5));
    world.wake(from.node);
    let after = rate_of(&mut world, &mut flow, Duration::from_millis(1500));
    assert!(after > 0.7 * before, "{after} after {before}");
    flow.drain(&mut world);
}

fn queue(bytes: usize) -> LinkConfig {
    LinkConfig {
        delay: Duration::from_millis(5),
        rate: Some(RATE),
        queue: bytes,
        ..LinkConfig::default()
    }
}

fn choose(world: &mut World, at: At, choice: CongestionControl) {
    let mut channel = world.channel(at.node, at.channel).unwrap();
    channel.set_congestion(choice);
}

/// Which part of what the network carries arrives, of a single stream.
fn bulk(world: &mut World, from: At, to: At, time: Duration) -> f64 {
    let mut flow = Flow::new(world, from, to, 64 << 10);
    let rate = rate_of(world, &mut flow, time);
    flow.drain(world);
    rate
}

/// The same, without the first half second.
fn rate_of(world: &mut World, flow: &mut Flow, time: Duration) -> f64 {
    let start = world.elapsed() + Duration::from_millis(500);
    run(world, std::slice::from_mut(flow), time);
    let end = world.elapsed();
    flow.bytes(start, end) as f64 / (end - start).as_secs_f64() / RATE as f64
}

/// Bytes in a second: 40 Mbit/s.
const RATE: u64 = 5_000_000;
