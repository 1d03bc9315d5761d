//! From conec's settings to the engine's.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{self, Ordering},
    },
    time::{Duration, Instant},
};

use quinn_proto::{
    IdleTimeout, MtuDiscoveryConfig, RttEstimator, TransportConfig, VarInt,
    congestion::{Controller, ControllerFactory, ControllerMetrics, Cubic, CubicConfig},
};

use crate::ChannelConfig;

/// The engine's settings for one connection, and what is shared with its congestion controller.
pub(super) fn transport_config(
    now: Instant,
    config: &ChannelConfig,
    keep_alive: bool,
) -> (Arc<TransportConfig>, Control) {
    let control = Control::new(now);
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
        .congestion_controller_factory(Arc::new(ControllerBuilder {
            cubic: Arc::new(CubicConfig::default()),
            control: control.clone(),
        }));
    if config.max_mtu > MIN_MTU {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(config.max_mtu);
        transport.mtu_discovery_config(Some(discovery));
    } else {
        transport.mtu_discovery_config(None);
    }
    (Arc::new(transport), control)
}

/// What a link and its congestion controller know of each other.
///
/// The engine owns the controller and lends it to nobody mutably, so both hold this.
#[derive(Clone)]
pub(super) struct Control(Arc<Shared>);

#[expect(
    clippy::disallowed_types,
    reason = "the engine owns the controller and lends it to nobody mutably"
)]
struct Shared {
    closing: atomic::AtomicBool,
    /// The next packet may pass a full window.
    urgent: atomic::AtomicBool,
    began: Instant,
    /// When the latest of the packets that were acknowledged was sent: nanoseconds after `began`, plus 1; 0 for none.
    acked: atomic::AtomicU64,
    /// The window that is thought right for the next path.
    target: atomic::AtomicU64,
    /// Bytes that were sent and are neither acknowledged nor given up.
    in_flight: atomic::AtomicU64,
    /// The engine had nothing more to send when an acknowledgement came last.
    app_limited: atomic::AtomicBool,
}

impl Control {
    #[expect(
        clippy::disallowed_types,
        reason = "the engine owns the controller and lends it to nobody mutably"
    )]
    fn new(now: Instant) -> Self {
        Self(Arc::new(Shared {
            closing: atomic::AtomicBool::new(false),
            urgent: atomic::AtomicBool::new(false),
            began: now,
            acked: atomic::AtomicU64::new(0),
            target: atomic::AtomicU64::new(0),
            in_flight: atomic::AtomicU64::new(0),
            app_limited: atomic::AtomicBool::new(true),
        }))
    }

    /// The engine never sends its closing packet while the congestion window is full (quinn issue 2785). From now on
    /// the window counts as endless, so that the packet leaves; nothing else is sent by a closing connection.
    pub(super) fn close(&self) {
        self.0.closing.store(true, Ordering::Relaxed);
    }

    /// Whether the window counts as endless for a while.
    pub(super) fn set_urgent(&self, urgent: bool) {
        self.0.urgent.store(urgent, Ordering::Relaxed);
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.0.urgent.load(Ordering::Relaxed)
    }

    /// The next path's round trips take `next` where those of the present one take `present`: to carry the same, it
    /// needs that much less in flight.
    pub(super) fn bequeath(&self, window: u64, present: Duration, next: Duration) {
        let target = u128::from(window) * next.as_nanos() / present.as_nanos().max(1);
        let target = u64::try_from(target).map_or(window, |target| target.min(window));
        self.0.target.store(target, Ordering::Relaxed);
    }

    /// When the latest of the packets that were acknowledged was sent.
    pub(super) fn latest_acked(&self) -> Option<Instant> {
        let nanos = self.0.acked.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.0.began + Duration::from_nanos(nanos))
    }

    /// Bytes that were sent and are neither acknowledged nor given up.
    pub(super) fn in_flight(&self) -> u64 {
        self.0.in_flight.load(Ordering::Relaxed)
    }

    /// So much was sent that asks for an acknowledgement. The engine tells its controller of what does not, too.
    pub(super) fn sent(&self, bytes: usize) {
        self.0.in_flight.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn set_in_flight(&self, bytes: u64) {
        self.0.in_flight.store(bytes, Ordering::Relaxed);
    }

    /// Whether the engine had nothing more to send when an acknowledgement came last.
    pub(super) fn is_app_limited(&self) -> bool {
        self.0.app_limited.load(Ordering::Relaxed)
    }

    fn set_app_limited(&self, limited: bool) {
        self.0.app_limited.store(limited, Ordering::Relaxed);
    }

    fn ignores_window(&self) -> bool {
        self.0.closing.load(Ordering::Relaxed) || self.is_urgent()
    }

    fn acked(&self, sent: Instant) {
        let nanos = sent.saturating_duration_since(self.0.began).as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX).saturating_add(1);
        self.0.acked.fetch_max(nanos, Ordering::Relaxed);
    }
}

struct ControllerBuilder {
    cubic: Arc<CubicConfig>,
    control: Control,
}

impl ControllerFactory for ControllerBuilder {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(PathController {
            cubic: Cubic::new(Arc::clone(&self.cubic), now, current_mtu),
            since: now,
            brake: (now > self.control.0.began).then(|| Brake {
                target: self.control.0.target.load(Ordering::Relaxed),
                ..Brake::default()
            }),
            control: self.control.clone(),
            acked: None,
        })
    }
}

/// Congestion control of one path.
#[derive(Clone)]
struct PathController {
    cubic: Cubic,
    /// Since when the path is used.
    since: Instant,
    /// While it starts slowly, but not for a link's first path.
    brake: Option<Brake>,
    control: Control,
    /// When the latest of the packets was sent that the acknowledgement in hand is for.
    acked: Option<Instant>,
}

impl Controller for PathController {
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
        self.acked = self.acked.max(Some(sent));
        let Some(brake) = &mut self.brake else {
            return self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
        };
        let known = self.cubic.window() < brake.target;
        if sent < self.since {
            // What was under way on the former path opens the window as far as that path speaks for it.
            if known {
                self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
            }
            return;
        }
        let bytes = if known { bytes } else { bytes / CAUTION };
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
        if brake.must_stop(now.saturating_duration_since(sent)) {
            self.brake = None;
            self.cubic.on_congestion_event(now, now, false, 0);
        }
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        if let Some(sent) = self.acked.take() {
            self.control.acked(sent);
        }
        self.control.set_in_flight(in_flight);
        self.control.set_app_limited(app_limited);
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
        let in_flight = self.control.in_flight().saturating_sub(lost_bytes);
        self.control.set_in_flight(in_flight);
        // What was sent on the former path says nothing of this one. It may not even be lost, but overtaken.
        if sent >= self.since {
            self.brake = None;
            self.cubic
                .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.control.ignores_window() {
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

/// Makes slow start on a path after the first end when queues begin to build up, instead of when they overflow (the idea
/// of HyStart++, RFC 9406).
///
/// What the former path carried is known to be possible, more or less, and is soon reached again. Doubling from there
/// would end in a burst of losses, right after the path was to make things better.
#[derive(Debug, Clone, Default)]
struct Brake {
    /// Up to which window there is no need for caution.
    target: u64,
    /// The shortest round trip on this path.
    shortest: Option<Duration>,
    /// How many in a row took clearly longer.
    late: u32,
}

impl Brake {
    /// Whether this round trip, on top of those before, means that it is time.
    fn must_stop(&mut self, round_trip: Duration) -> bool {
        let shortest = self
            .shortest
            .map_or(round_trip, |shortest| shortest.min(round_trip));
        self.shortest = Some(shortest);
        if round_trip >= shortest + (shortest / 8).clamp(MIN_DELAY, MAX_DELAY) {
            self.late += 1;
        } else {
            self.late = 0;
        }
        self.late >= LATE_SAMPLES
    }
}

/// How much slower the window grows beyond what is known to be possible (RFC 9406, 4.3).
const CAUTION: u64 = 4;
/// How much later than the fastest an acknowledgement counts as late (RFC 9406, 4.3).
const MIN_DELAY: Duration = Duration::from_millis(4);
const MAX_DELAY: Duration = Duration::from_millis(16);
const LATE_SAMPLES: u32 = 8;
const MIN_MTU: u16 = 1200;
