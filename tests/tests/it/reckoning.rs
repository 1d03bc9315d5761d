//! What others can fill counts into the worst case, by about as much as it takes. `tests/memory.rs` fills it.

use std::ops::RangeInclusive;

use conec_core::{ChannelConfig, ClientConfig, CoordinatorConfig, Trust};
use conec_tests::keys;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

fn client() -> ClientConfig {
    let trust = Trust::Pin(keys::certificate().pin());
    ClientConfig::new(keys::identity(1), trust)
}

fn coordinator() -> CoordinatorConfig {
    CoordinatorConfig::new(keys::certificate())
}

/// By how much a change makes the worst case worse.
#[track_caller]
fn grows<C: Clone>(config: &C, of: fn(&C) -> u64, change: fn(&mut C), by: RangeInclusive<u64>) {
    let mut changed = config.clone();
    change(&mut changed);
    let more = of(&changed) - of(config);
    assert!(by.contains(&more), "{more} bytes more, and not {by:?}");
}

#[test]
fn whatever_a_channel_holds_is_reckoned_with() {
    let of = ChannelConfig::worst_case_bytes;
    let config = ChannelConfig::default();
    grows(&config, of, |it| it.bi_streams += 1, 2 * KIB..=64 * KIB);
    grows(&config, of, |it| it.uni_streams += 1, 2 * KIB..=64 * KIB);
    let window: fn(&mut _) = |it: &mut ChannelConfig| it.receive_window += 1 << 20;
    grows(&config, of, window, MIB..=3 * MIB);
    let window: fn(&mut _) = |it: &mut ChannelConfig| it.send_window += 1 << 20;
    grows(&config, of, window, MIB..=2 * MIB);
    // To be sent, and received.
    let datagrams: fn(&mut _) = |it: &mut ChannelConfig| it.datagram_buffer += 1 << 20;
    grows(&config, of, datagrams, 2 * MIB..=3 * MIB);
    // With nothing in it, a connection and its control stream.
    let mut empty = config;
    (empty.bi_streams, empty.uni_streams) = (0, 0);
    (
        empty.receive_window,
        empty.send_window,
        empty.datagram_buffer,
    ) = (0, 0, 0);
    assert!((128 * KIB..=512 * KIB).contains(&of(&empty)));
}

#[test]
fn whatever_a_coordinator_holds_is_reckoned_with() {
    let of = CoordinatorConfig::worst_case_bytes;
    let config = coordinator();
    let home = config.home.worst_case_bytes();
    let mut one_more = config.clone();
    one_more.limits.clients += 1;
    let more = of(&one_more) - of(&config);
    // And 256 pairs, with both ends and their labels.
    assert!(
        (home + 256 * KIB..=home + 2 * MIB).contains(&more),
        "{more}"
    );
    let pairs: fn(&mut _) = |it: &mut CoordinatorConfig| it.limits.channels_per_client += 1;
    grows(&config, of, pairs, 4096 * KIB..=4096 * 8 * KIB);
    grows(
        &config,
        of,
        |it| it.limits.handshakes += 1,
        16 * KIB..=64 * KIB,
    );
    grows(&config, of, |it| it.limits.events += 1, 4 * KIB..=16 * KIB);
    grows(
        &config,
        of,
        |it| it.limits.forward_queue += 1 << 20,
        MIB..=2 * MIB,
    );
    grows(
        &config,
        of,
        |it| it.limits.message_memory += 1 << 20,
        MIB..=2 * MIB,
    );
    grows(
        &config,
        of,
        |it| it.limits.window_memory += 1 << 20,
        MIB..=3 * MIB,
    );
    grows(
        &config,
        of,
        |it| it.home.max_message_size += 1 << 20,
        MIB..=2 * MIB,
    );
}

#[test]
fn whatever_a_client_holds_is_reckoned_with() {
    let of = ClientConfig::worst_case_bytes;
    let config = client();
    // Channels that it has asked for, and as many that others have.
    let peer = config.peer.worst_case_bytes();
    let mut one_more = config.clone();
    one_more.limits.channels_per_client += 1;
    let more = of(&one_more) - of(&config);
    assert!((2 * peer..=2 * peer + 64 * KIB).contains(&more), "{more}");
    grows(
        &config,
        of,
        |it| it.limits.message_memory += 1 << 20,
        MIB..=2 * MIB,
    );
    grows(
        &config,
        of,
        |it| it.limits.window_memory += 1 << 20,
        MIB..=3 * MIB,
    );
    grows(
        &config,
        of,
        |it| it.home.send_window += 1 << 20,
        MIB..=2 * MIB,
    );
    // The largest message of either kind of channel.
    grows(
        &config,
        of,
        |it| it.home.max_message_size += 1 << 20,
        MIB..=2 * MIB,
    );
    grows(
        &config,
        of,
        |it| it.peer.max_message_size += 1 << 20,
        MIB..=2 * MIB,
    );
}

#[test]
fn what_has_no_bound_is_reckoned_as_endless() {
    let mut config = coordinator();
    config.limits.clients = usize::MAX;
    assert_eq!(config.worst_case_bytes(), u64::MAX);
    let mut config = client();
    config.limits.channels_per_client = usize::MAX;
    assert_eq!(config.worst_case_bytes(), u64::MAX);
    config.limits.channels_per_client = 0;
    config.limits.window_memory = usize::MAX;
    assert!(config.worst_case_bytes() > u64::MAX / 4);
}
