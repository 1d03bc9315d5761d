//! What a configuration may not be. Each bound from both sides: what is just within it is taken.

use std::time::Duration;

use conec_core::{
    ChannelConfig, Client, ClientConfig, ConfigError, Coordinator, CoordinatorConfig, PathPolicy,
    Secret, Trust,
};
use conec_tests::keys;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Enough for all that a configuration can ask for.
const PLENTY: usize = 1 << 40;
const NANOSECOND: Duration = Duration::from_nanos(1);

fn refusal(result: Result<(), ConfigError>) -> Option<&'static str> {
    match result {
        Ok(()) => None,
        Err(ConfigError::OutOfRange(what, _)) => Some(what),
        Err(error) => panic!("{error}"),
    }
}

/// Which setting a Client refuses, if any.
fn client(set: impl FnOnce(&mut ClientConfig)) -> Option<&'static str> {
    let trust = Trust::Pin(keys::certificate().pin());
    let mut config = ClientConfig::new(keys::identity(1), trust);
    set(&mut config);
    refusal(Client::new(config, [1; 32]).map(|_| ()))
}

fn coordinator(set: impl FnOnce(&mut CoordinatorConfig)) -> Option<&'static str> {
    let mut config = CoordinatorConfig::new(keys::certificate());
    set(&mut config);
    refusal(Coordinator::new(config, [1; 32]).map(|_| ()))
}

/// What a channel's setting comes to: the same for all kinds of channels.
#[track_caller]
fn channel(set: impl Fn(&mut ChannelConfig)) -> Option<&'static str> {
    let refused = client(|config| {
        config.memory = PLENTY;
        set(&mut config.peer);
    });
    let home = client(|config| {
        config.memory = PLENTY;
        set(&mut config.home);
    });
    assert_eq!(home, refused);
    let home = coordinator(|config| {
        config.memory = PLENTY;
        set(&mut config.home);
    });
    assert_eq!(home, refused);
    refused
}

#[test]
fn the_defaults_are_taken() {
    assert_eq!(client(|_| {}), None);
    assert_eq!(coordinator(|_| {}), None);
}

#[test]
fn a_channel_has_room_for_something() {
    assert_eq!(channel(|it| it.stream_window = 0), Some("stream_window"));
    assert_eq!(channel(|it| it.receive_window = 0), Some("receive_window"));
    assert_eq!(channel(|it| it.send_window = 0), Some("send_window"));
    assert_eq!(channel(|it| it.send_buffer = 0), Some("send_buffer"));
    assert_eq!(
        channel(|it| it.max_message_size = 0),
        Some("max_message_size")
    );
    assert_eq!(channel(|it| it.stream_rate = Some(0)), Some("stream_rate"));
    let least = channel(|it| {
        (it.stream_window, it.receive_window, it.send_window) = (1, 1, 1);
        (it.send_buffer, it.max_message_size) = (1, 1);
        it.stream_rate = Some(1);
    });
    assert_eq!(least, None);
}

#[test]
fn a_channel_is_no_larger_than_can_be_reckoned_with() {
    let streams = Some("bi_streams or uni_streams");
    assert_eq!(channel(|it| it.bi_streams = 65_537), streams);
    assert_eq!(channel(|it| it.uni_streams = 65_537), streams);
    let most = channel(|it| (it.bi_streams, it.uni_streams) = (65_536, 65_536));
    assert_eq!(most, None);
    assert_eq!(
        channel(|it| it.max_message_size = (1 << 30) + 1),
        Some("max_message_size")
    );
    assert_eq!(channel(|it| it.max_message_size = 1 << 30), None);
    assert_eq!(
        channel(|it| it.datagram_buffer = 65_999),
        Some("datagram_buffer")
    );
    assert_eq!(channel(|it| it.datagram_buffer = 66_000), None);
    assert_eq!(
        channel(|it| it.max_receive_window = it.receive_window - 1),
        Some("max_receive_window")
    );
    assert_eq!(
        channel(|it| it.max_receive_window = it.receive_window),
        None
    );
}

#[test]
fn there_is_memory_for_what_the_limits_allow() {
    let fits = |memory: usize| {
        let set = move |config: &mut CoordinatorConfig| {
            config.limits.clients = 100_000;
            config.memory = memory;
        };
        coordinator(set)
    };
    let mut config = CoordinatorConfig::new(keys::certificate());
    config.limits.clients = 100_000;
    config.memory = 0;
    let least = config.worst_case_bytes() as usize;
    assert_eq!(fits(least), None);
    assert_eq!(fits(least - 1), Some("memory"));
    let mut least = ClientConfig::new(keys::identity(1), Trust::Pin(keys::certificate().pin()));
    least.memory = 0;
    let least = least.worst_case_bytes() as usize;
    assert_eq!(client(|it| it.memory = least), None);
    assert_eq!(client(|it| it.memory = least - 1), Some("memory"));
}

/// Of what the budget must be at least, without any for what other sides send but the largest messages.
#[test]
fn each_thing_that_is_allowed_takes_its_part_of_the_memory() {
    const KIB: u64 = 1 << 10;
    let least = |set: fn(&mut CoordinatorConfig)| {
        let mut config = CoordinatorConfig::new(keys::certificate());
        config.memory = 0;
        set(&mut config);
        config.worst_case_bytes()
    };
    let before = least(|_| {});
    let more = |set| least(set) - before;
    assert_eq!(more(|it| it.limits.clients += 1), 176 * KIB);
    assert_eq!(more(|it| it.limits.groups += 1), 3 * KIB);
    assert_eq!(more(|it| it.limits.group_memory += 1), 1);
    assert_eq!(more(|it| it.limits.member_memory += 1), 2);
    assert_eq!(more(|it| it.limits.handshakes += 1), 64 * KIB);
    assert_eq!(more(|it| it.limits.pairs += 1), 2 * KIB);
    assert_eq!(more(|it| it.limits.events += 1), 8 * KIB);
    assert_eq!(more(|it| it.limits.forward_queue += 1), 1);
    let window = more(|it| it.home.receive_window += 1);
    assert_eq!(
        window,
        2 * CoordinatorConfig::new(keys::certificate()).limits.clients as u64
    );
    assert_eq!(more(|it| it.home.max_message_size += 8), 5 * 8 + 4);

    let least = |set: fn(&mut ClientConfig)| {
        let trust = Trust::Pin(keys::certificate().pin());
        let mut config = ClientConfig::new(keys::identity(1), trust);
        config.memory = 0;
        config.limits.channels_per_client = 10;
        set(&mut config);
        config.worst_case_bytes()
    };
    let before = least(|_| {});
    let more = |set| least(set) - before;
    // Those that it has asked for, and those that others have.
    assert_eq!(more(|it| it.peer.receive_window += 1), 2 * 2 * 10);
    assert_eq!(more(|it| it.home.receive_window += 1), 2);
    assert_eq!(more(|it| it.limits.probe_targets += 1), 128);
    let channels = [1, 3].map(|count| {
        let mut config =
            ClientConfig::new(keys::identity(1), Trust::Pin(keys::certificate().pin()));
        (config.memory, config.limits.channels_per_client) = (0, 10 + count);
        config.worst_case_bytes() - before
    });
    assert_eq!(channels[1], 3 * channels[0]);
    assert!(
        (100 * KIB..400 * KIB).contains(&channels[0]),
        "{channels:?}"
    );
}

#[test]
fn a_channels_times_and_packets_are_within_reason() {
    for (time, refused) in [
        (Duration::from_secs(1) - NANOSECOND, Some("idle_timeout")),
        (Duration::from_secs(1), None),
        (DAY, None),
        (DAY + NANOSECOND, Some("idle_timeout")),
    ] {
        let set = |it: &mut ChannelConfig| (it.idle_timeout, it.keep_alive) = (time, None);
        assert_eq!(channel(set), refused, "{time:?}");
    }
    for (before, refused) in [
        (Duration::ZERO, Some("keep_alive")),
        (NANOSECOND, None),
        (Duration::from_secs(9), None),
        (Duration::from_secs(10), Some("keep_alive")),
    ] {
        let set = |it: &mut ChannelConfig| {
            (it.idle_timeout, it.keep_alive) = (Duration::from_secs(10), Some(before));
        };
        assert_eq!(channel(set), refused, "{before:?}");
    }
    for (rtt, refused) in [
        (Duration::from_micros(999), Some("initial_rtt")),
        (Duration::from_millis(1), None),
        (Duration::from_secs(2), None),
        (Duration::from_millis(2001), Some("initial_rtt")),
    ] {
        assert_eq!(channel(|it| it.initial_rtt = rtt), refused, "{rtt:?}");
    }
    for (mtu, refused) in [
        (1199, Some("max_mtu")),
        (1200, None),
        (9000, None),
        (9001, Some("max_mtu")),
    ] {
        assert_eq!(channel(|it| it.max_mtu = mtu), refused, "{mtu}");
    }
}

#[test]
fn a_client_is_told_what_it_may_not_have() {
    assert_eq!(
        client(|it| it.token = Secret::from(vec![0; 4097])),
        Some("token")
    );
    assert_eq!(client(|it| it.token = Secret::from(vec![0; 4096])), None);
    assert_eq!(client(|it| it.link_mtu = Some(1199)), Some("link_mtu"));
    assert_eq!(client(|it| it.link_mtu = Some(1200)), None);
    assert_eq!(
        client(|it| it.paths.keep_warm = Some(DAY + NANOSECOND)),
        Some("keep_warm")
    );
    assert_eq!(client(|it| it.paths.keep_warm = Some(DAY)), None);
    for (deadline, refused) in [
        (Duration::ZERO, Some("DirectOnly")),
        (NANOSECOND, None),
        (DAY, None),
        (DAY + NANOSECOND, Some("DirectOnly")),
    ] {
        let set = |it: &mut ClientConfig| it.paths.policy = PathPolicy::DirectOnly(deadline);
        assert_eq!(client(set), refused, "{deadline:?}");
    }
}

#[test]
fn limits_leave_something() {
    assert_eq!(client(|it| it.memory = 128 << 20), Some("memory"));
    assert_eq!(client(|it| it.limits.probe_rate = 0), Some("probe_rate"));
    assert_eq!(
        client(|it| it.limits.probe_targets = 0),
        Some("probe_targets")
    );
    let least = client(|it| {
        (it.limits.probe_rate, it.limits.probe_targets) = (1, 1);
        it.limits.channels_per_client = 0;
    });
    assert_eq!(least, None);

    assert_eq!(
        coordinator(|it| it.second_port = Some(0)),
        Some("second_port")
    );
    assert_eq!(coordinator(|it| it.limits.clients = 0), Some("clients"));
    assert_eq!(
        coordinator(|it| it.limits.clients_per_network = Some(0)),
        Some("clients_per_network")
    );
    assert_eq!(
        coordinator(|it| it.limits.handshakes = 0),
        Some("handshakes")
    );
    assert_eq!(
        coordinator(|it| it.limits.handshakes_per_network = 0),
        Some("handshakes_per_network")
    );
    assert_eq!(coordinator(|it| it.memory = 128 << 20), Some("memory"));
    assert_eq!(coordinator(|it| it.limits.pairs = 0), Some("pairs"));
    assert_eq!(coordinator(|it| it.limits.events = 0), Some("events"));
    assert_eq!(
        coordinator(|it| it.limits.forward_queue = 99_999),
        Some("forward_queue")
    );
    assert_eq!(
        coordinator(|it| it.limits.forward_rate = Some(65_535)),
        Some("forward_rate")
    );
    let least = coordinator(|it| {
        it.second_port = Some(1);
        (it.limits.clients, it.limits.clients_per_network) = (1, Some(1));
        (it.limits.handshakes, it.limits.handshakes_per_network) = (1, 1);
        (it.limits.pairs, it.limits.events, it.limits.forward_queue) = (1, 1, 100_000);
        it.limits.forward_rate = Some(65_536);
    });
    assert_eq!(least, None);
}

#[test]
fn nobody_is_cut_off_who_keeps_to_the_pace() {
    for (rate, burst, refused) in [
        (99, 512, Some("control_rate")),
        (100, 511, Some("control_burst")),
        (100, 512, None),
    ] {
        let limits = client(|it| {
            (it.limits.control_rate, it.limits.control_burst) = (rate, burst);
        });
        assert_eq!(limits, refused);
        let limits = coordinator(|it| {
            (it.limits.control_rate, it.limits.control_burst) = (rate, burst);
        });
        assert_eq!(limits, refused);
    }
}

#[test]
fn waits_end() {
    for (time, ends) in [
        (Duration::ZERO, false),
        (NANOSECOND, true),
        (DAY, true),
        (DAY + NANOSECOND, false),
    ] {
        let refused = |what| (!ends).then_some(what);
        let handshake = refused("handshake_timeout");
        assert_eq!(client(|it| it.limits.handshake_timeout = time), handshake);
        let both = coordinator(|it| it.limits.handshake_timeout = time);
        assert_eq!(both, handshake);
        let hello = refused("hello_timeout");
        assert_eq!(client(|it| it.limits.hello_timeout = time), hello);
        assert_eq!(coordinator(|it| it.limits.hello_timeout = time), hello);
        let answer = refused("answer_timeout");
        assert_eq!(client(|it| it.limits.answer_timeout = time), answer);
        assert_eq!(coordinator(|it| it.limits.answer_timeout = time), answer);
    }
}
