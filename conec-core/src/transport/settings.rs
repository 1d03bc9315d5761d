//! From conec's settings to the engine's.

use std::{sync::Arc, time::Instant};

use quinn_proto::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use super::{congestion::Control, handshakes::NEWCOMER};
use crate::{ChannelConfig, ChannelId};

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
    id: Option<ChannelId>,
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
    log(&mut transport, now, config, id, end);
    (Arc::new(transport), control)
}

/// Has the engine log what it does, where that is wanted.
#[cfg(feature = "qlog")]
fn log(
    transport: &mut TransportConfig,
    now: Instant,
    config: &ChannelConfig,
    channel: Option<ChannelId>,
    end: End,
) {
    let Some(qlog) = &config.qlog else {
        return;
    };
    let is_initiator = matches!(end, End::Client);
    let connection = crate::QlogConnection {
        channel,
        is_initiator,
    };
    if let Some(writer) = qlog.begin(&connection) {
        let mut qlog = quinn_proto::QlogConfig::default();
        qlog.writer(writer)
            .title(channel.map(|channel| format!("{channel:?}")))
            .start_time(now);
        transport.qlog_stream(qlog.into_stream());
    }
}

#[cfg(not(feature = "qlog"))]
fn log(_: &mut TransportConfig, _: Instant, _: &ChannelConfig, _: Option<ChannelId>, _: End) {}

/// How many packets sent later have to have arrived before one counts as lost. On radio links, and where several links are
/// used as one, packets overtake each other: with the usual 3 (RFC 9002, section 6.1.1) most of them count as lost. The
/// engine's receiver drops what comes more than 128 packets late.
const PACKET_THRESHOLD: u32 = 128;
/// The same in round-trip times, for when packets do not come close after each other. More makes repairs
/// slower. What comes later still is sent twice, and is [no sign of congestion](super::congestion).
const TIME_THRESHOLD: f32 = 1.75;
const MIN_MTU: u16 = 1200;
