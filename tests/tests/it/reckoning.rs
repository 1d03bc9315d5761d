//! What others can fill counts into the worst case, by about as much as it takes. `tests/memory` fills it.

use std::ops::RangeInclusive;

use conec_core::{ClientConfig, CoordinatorConfig, Trust};
use conec_tests::keys;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// With so little memory that whatever there is more of needs more.
fn client() -> ClientConfig {
    let trust = Trust::Pin(keys::certificate().pin());
    let mut config = ClientConfig::new(keys::identity(1), trust);
    config.memory = 0;
    config
}

fn coordinator() -> CoordinatorConfig {
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.memory = 0;
    config
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
fn the_worst_case_is_what_the_budget_says() {
    let mut config = CoordinatorConfig::new(keys::certificate());
    for memory in [512 << 20, (512 << 20) + 1, 1 << 30, 100 << 30] {
        config.memory = memory;
        let unused = memory as u64 - config.worst_case_bytes();
        assert!(unused < 20, "{unused}");
    }
    let trust = Trust::Pin(keys::certificate().pin());
    let config = ClientConfig::new(keys::identity(1), trust);
    assert!((256 << 20) - config.worst_case_bytes() < 20);
}

#[test]
fn whatever_a_coordinator_holds_is_reckoned_with() {
    let of = CoordinatorConfig::worst_case_bytes;
    let config = coordinator();
    let clients: fn(&mut _) = |it: &mut CoordinatorConfig| it.limits.clients += 1;
    grows(&config, of, clients, 80 * KIB..=192 * KIB);
    let window: fn(&mut _) = |it: &mut CoordinatorConfig| it.home.receive_window += 1024;
    grows(&config, of, window, 2048 * KIB..=4 * 2048 * KIB);
    let newcomers: fn(&mut _) = |it: &mut CoordinatorConfig| it.limits.handshakes += 1;
    grows(&config, of, newcomers, 16 * KIB..=64 * KIB);
    let pairs: fn(&mut _) = |it: &mut CoordinatorConfig| it.limits.pairs += 1;
    grows(&config, of, pairs, KIB..=8 * KIB);
    let events: fn(&mut _) = |it: &mut CoordinatorConfig| it.limits.events += 1;
    grows(&config, of, events, 4 * KIB..=16 * KIB);
    let queue: fn(&mut _) = |it: &mut CoordinatorConfig| it.limits.forward_queue += 1 << 20;
    grows(&config, of, queue, MIB..=2 * MIB);
    // So that others have room beside it.
    let largest: fn(&mut _) = |it: &mut CoordinatorConfig| it.home.max_message_size += 1 << 20;
    grows(&config, of, largest, 2 * MIB..=8 * MIB);
}

#[test]
fn whatever_a_client_holds_is_reckoned_with() {
    let of = ClientConfig::worst_case_bytes;
    let config = client();
    // One that it has asked for, and one that others have.
    let channels: fn(&mut _) = |it: &mut ClientConfig| it.limits.channels_per_client += 1;
    grows(&config, of, channels, 160 * KIB..=320 * KIB);
    let window: fn(&mut _) = |it: &mut ClientConfig| it.home.receive_window += 1 << 20;
    grows(&config, of, window, 2 * MIB..=4 * MIB);
    let targets: fn(&mut _) = |it: &mut ClientConfig| it.limits.probe_targets += 1024;
    grows(&config, of, targets, 64 * KIB..=512 * KIB);
    let largest: fn(&mut _) = |it: &mut ClientConfig| it.peer.max_message_size += 1 << 20;
    grows(&config, of, largest, 2 * MIB..=8 * MIB);
}

#[test]
fn what_has_no_bound_is_reckoned_as_endless() {
    let mut config = coordinator();
    config.limits.clients = usize::MAX;
    assert_eq!(config.worst_case_bytes(), u64::MAX);
    let mut config = client();
    config.limits.channels_per_client = usize::MAX;
    assert_eq!(config.worst_case_bytes(), u64::MAX);
}
