//! From conec's settings to the engine's.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{self, Ordering},
    },
    time::Instant,
};

use quinn_proto::{
    IdleTimeout, MtuDiscoveryConfig, RttEstimator, TransportConfig, VarInt,
    congestion::{Controller, ControllerFactory, ControllerMetrics, Cubic, CubicConfig},
};

use crate::ChannelConfig;

/// The engine's settings for one connection, and the switch that lets its closing packet pass a full window.
pub(super) fn transport_config(
    config: &ChannelConfig,
    keep_alive: bool,
) -> (Arc<TransportConfig>, CloseSwitch) {
    let switch = CloseSwitch::default();
    let mut transport = TransportConfig::default();
    transport
        // One more for the control stream.
        .max_concurrent_bidi_streams(VarInt::from(config.bi_streams + 1))
        .max_concurrent_uni_streams(VarInt::from(config.uni_streams))
        .stream_receive_window(VarInt::from(config.stream_window))
        .receive_window(VarInt::from(config.receive_window))
        .send_window(config.send_window.into())
        .datagram_receive_buffer_size(Some(config.datagram_buffer))
        .datagram_send_buffer_size(config.datagram_buffer)
        .max_idle_timeout(IdleTimeout::try_from(config.idle_timeout).ok())
        .keep_alive_interval(config.keep_alive.filter(|_| keep_alive))
        .initial_rtt(config.initial_rtt)
        .congestion_controller_factory(Arc::new(ClosableFactory {
            cubic: Arc::new(CubicConfig::default()),
            closing: switch.clone(),
        }));
    if config.max_mtu > MIN_MTU {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(config.max_mtu);
        transport.mtu_discovery_config(Some(discovery));
    } else {
        transport.mtu_discovery_config(None);
    }
    (Arc::new(transport), switch)
}

/// The engine never sends its closing packet while the congestion window is full (quinn issue 2785). Once this switch
/// is thrown the window counts as endless, so that the packet leaves; nothing else is sent by a closing connection.
#[derive(Clone, Default)]
#[expect(
    clippy::disallowed_types,
    reason = "the engine owns the controller and lends it to nobody mutably"
)]
pub(super) struct CloseSwitch(Arc<atomic::AtomicBool>);

impl CloseSwitch {
    pub(super) fn throw(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_thrown(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct ClosableFactory {
    cubic: Arc<CubicConfig>,
    closing: CloseSwitch,
}

impl ControllerFactory for ClosableFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Closable {
            cubic: Cubic::new(Arc::clone(&self.cubic), now, current_mtu),
            closing: self.closing.clone(),
        })
    }
}

#[derive(Clone)]
struct Closable {
    cubic: Cubic,
    closing: CloseSwitch,
}

impl Controller for Closable {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.cubic.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.cubic
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.cubic
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.closing.is_thrown() {
            u64::MAX
        } else {
            self.cubic.window()
        }
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

const MIN_MTU: u16 = 1200;
