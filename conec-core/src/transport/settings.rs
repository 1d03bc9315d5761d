//! From conec's settings to the engine's.

use std::{sync::Arc, time::Instant};

use quinn_proto::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use super::{congestion::Control, handshakes::NEWCOMER};
use crate::ChannelConfig;

/// Which end of a connection it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Client,
    /// That which waits for the other.
    Awaiting,
    /// That which waits for everyone. Who comes is to say who it is, and no more until it is let in.
    Public,
}

/// The engine's settings for one connection, and what is shared with its congestion controller.
pub(super) fn transport_config(
    now: Instant,
    config: &ChannelConfig,
    end: End,
) -> (Arc<TransportConfig>, Control) {
    let control = Control::new(now, config.congestion);
    let mut transport = TransportConfig::default();
    let (all, newcomers) = (config.receive_window, config.receive_window.min(NEWCOMER));
    // Control streams are opened by the client.
    let (bi_streams, uni_streams, window) = match end {
        End::Client => (config.bi_streams, config.uni_streams, all),
        End::Awaiting => (config.bi_streams + 1, config.uni_streams, all),
        End::Public => (1, 0, newcomers),
    };
    let keep_alive = !matches!(end, End::Awaiting);
    transport
        .max_concurrent_bidi_streams(VarInt::from(bi_streams))
        .max_concurrent_uni_streams(VarInt::from(uni_streams))
        .stream_receive_window(VarInt::from(config.stream_window))
        .receive_window(VarInt::from(window))
        .send_window(config.send_window.into())
        .datagram_receive_buffer_size(Some(config.datagram_buffer))
        .datagram_send_buffer_size(config.datagram_buffer)
        .max_idle_timeout(IdleTimeout::try_from(config.idle_timeout).ok())
        .keep_alive_interval(config.keep_alive.filter(|_| keep_alive))
        .initial_rtt(config.initial_rtt)
        .packet_threshold(PACKET_THRESHOLD)
        .time_threshold(TIME_THRESHOLD)
        .congestion_controller_factory(control.factory());
    if config.max_mtu > MIN_MTU {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(config.max_mtu);
        transport.mtu_discovery_config(Some(discovery));
    } else {
        transport.mtu_discovery_config(None);
    }
    (Arc::new(transport), control)
}

/// How many packets sent later have to have arrived before one counts as lost. On radio links, and where several links are
/// used as one, packets overtake each other: with the usual 3 (RFC 9002, section 6.1.1) most of them count as lost. The
/// engine's receiver drops what comes more than 128 packets late.
const PACKET_THRESHOLD: u32 = 128;
/// The same in round-trip times, for when packets do not come close after each other. More makes repairs
/// slower. What comes later still is sent twice, and is [no sign of congestion](super::congestion).
const TIME_THRESHOLD: f32 = 1.75;
const MIN_MTU: u16 = 1200;
