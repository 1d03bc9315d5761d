//! What a link and its congestion controller know of each other.

use std::{
    sync::{
        Arc,
        atomic::{self, Ordering},
    },
    time::{Duration, Instant},
};

use quinn_proto::congestion::ControllerFactory;

use crate::CongestionControl;

/// Held by both: the engine owns the controller and lends it to nobody mutably.
#[derive(Clone)]
pub(in crate::transport) struct Control(pub(super) Arc<Shared>);

#[expect(
    clippy::disallowed_types,
    reason = "the engine owns the controller and lends it to nobody mutably"
)]
pub(super) struct Shared {
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
    /// Which algorithm is wanted: its number in [`CHOICES`].
    choice: atomic::AtomicU8,
}

impl Control {
    #[expect(
        clippy::disallowed_types,
        reason = "the engine owns the controller and lends it to nobody mutably"
    )]
    pub(in crate::transport) fn new(now: Instant, choice: CongestionControl) -> Self {
        let control = Self(Arc::new(Shared {
            closing: atomic::AtomicBool::new(false),
            urgent: atomic::AtomicBool::new(false),
            began: now,
            acked: atomic::AtomicU64::new(0),
            target: atomic::AtomicU64::new(0),
            in_flight: atomic::AtomicU64::new(0),
            app_limited: atomic::AtomicBool::new(true),
            choice: atomic::AtomicU8::new(0),
        }));
        control.choose(choice);
        control
    }

    /// What makes the controllers.
    pub(in crate::transport) fn factory(&self) -> Arc<dyn ControllerFactory + Send + Sync> {
        self.0.clone()
    }

    /// The engine never sends its closing packet while the congestion window is full (quinn issue 2785). From now on
    /// the window counts as endless, so that the packet leaves; nothing else is sent by a closing connection.
    pub(in crate::transport) fn close(&self) {
        self.0.closing.store(true, Ordering::Relaxed);
    }

    /// Whether the window counts as endless for a while.
    pub(in crate::transport) fn set_urgent(&self, urgent: bool) {
        self.0.urgent.store(urgent, Ordering::Relaxed);
    }

    pub(in crate::transport) fn is_urgent(&self) -> bool {
        self.0.urgent.load(Ordering::Relaxed)
    }

    /// The next path's round trips take `next` where those of the present one take `present`: to carry the same, it
    /// needs that much less in flight.
    pub(in crate::transport) fn bequeath(&self, window: u64, present: Duration, next: Duration) {
        let target = u128::from(window) * next.as_nanos() / present.as_nanos().max(1);
        let target = u64::try_from(target).map_or(window, |target| target.min(window));
        self.0.target.store(target, Ordering::Relaxed);
    }

    /// Grows when a later packet is acknowledged than any before.
    pub(in crate::transport) fn acked_mark(&self) -> u64 {
        self.0.acked.load(Ordering::Relaxed)
    }

    /// When the latest of the packets that were acknowledged was sent.
    pub(in crate::transport) fn latest_acked(&self) -> Option<Instant> {
        let nanos = self.acked_mark().checked_sub(1)?;
        Some(self.0.began + Duration::from_nanos(nanos))
    }

    /// From the next acknowledgement on, this algorithm is in charge.
    pub(in crate::transport) fn choose(&self, choice: CongestionControl) {
        let number = CHOICES.iter().position(|&it| it == choice).unwrap_or(0);
        self.0.choice.store(number as u8, Ordering::Relaxed);
    }

    pub(in crate::transport) fn choice(&self) -> CongestionControl {
        let number = usize::from(self.0.choice.load(Ordering::Relaxed));
        CHOICES.get(number).copied().unwrap_or_default()
    }

    /// Bytes that were sent and are neither acknowledged nor given up.
    pub(in crate::transport) fn in_flight(&self) -> u64 {
        self.0.in_flight.load(Ordering::Relaxed)
    }

    /// So much was sent that asks for an acknowledgement. The engine tells its controller of what does not, too.
    pub(in crate::transport) fn sent(&self, bytes: usize) {
        self.0.in_flight.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether the engine had nothing more to send when an acknowledgement came last.
    pub(in crate::transport) fn is_app_limited(&self) -> bool {
        self.0.app_limited.load(Ordering::Relaxed)
    }

    pub(super) fn set_app_limited(&self, limited: bool) {
        self.0.app_limited.store(limited, Ordering::Relaxed);
    }

    pub(super) fn set_in_flight(&self, bytes: u64) {
        self.0.in_flight.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn ignores_window(&self) -> bool {
        self.0.closing.load(Ordering::Relaxed) || self.is_urgent()
    }

    /// When something was sent, so that later is more, and 0 is never.
    pub(super) fn mark(&self, sent: Instant) -> u64 {
        let nanos = sent.saturating_duration_since(self.0.began).as_nanos();
        u64::try_from(nanos).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// What was sent with this mark is acknowledged.
    pub(super) fn acked(&self, mark: u64) {
        self.0.acked.fetch_max(mark, Ordering::Relaxed);
    }

    pub(super) fn began(&self) -> Instant {
        self.0.began
    }

    pub(super) fn target(&self) -> u64 {
        self.0.target.load(Ordering::Relaxed)
    }
}

const CHOICES: [CongestionControl; 3] = [
    CongestionControl::Fair,
    CongestionControl::LossTolerant,
    CongestionControl::Background,
];

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_next_path_gets_less_where_it_is_shorter_and_no_more_where_it_is_longer() {
        let control = Control::new(Instant::now(), CongestionControl::Fair);
        for (present, next, target) in [(40, 10, 25_000), (40, 40, 100_000), (40, 400, 100_000)] {
            control.bequeath(100_000, ms(present), ms(next));
            assert_eq!(control.target(), target, "{present} {next}");
        }
    }

    #[test]
    fn the_latest_packet_that_was_acknowledged_is_known() {
        let start = Instant::now();
        let control = Control::new(start, CongestionControl::Fair);
        assert_eq!(control.latest_acked(), None);
        for (sent, latest) in [(0, 0), (20, 20), (10, 20), (30, 30)] {
            control.acked(control.mark(start + ms(sent)));
            assert_eq!(control.latest_acked(), Some(start + ms(latest)));
        }
    }

    #[test]
    fn each_choice_is_read_as_it_was_made() {
        let control = Control::new(Instant::now(), CongestionControl::Background);
        assert_eq!(control.choice(), CongestionControl::Background);
        for choice in CHOICES {
            control.choose(choice);
            assert_eq!(control.choice(), choice);
        }
    }

    #[test]
    fn what_is_sent_is_in_flight() {
        let control = Control::new(Instant::now(), CongestionControl::Fair);
        control.set_in_flight(1000);
        control.sent(200);
        assert_eq!(control.in_flight(), 1200);
    }
}
