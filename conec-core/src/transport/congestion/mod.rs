//! How much may be under way: congestion control, for each path of a link.
//!
//! The engine asks a [`PathController`], one for each path. It measures round trips, sees to what is special about
//! links that change their paths, and leaves the size of the window to one of two algorithms. Not every loss is told to it.

mod background;
mod control;
mod cubic;
mod feedback;
mod hystart;
mod reordering;
mod round_trips;
mod tolerance;

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn_proto::{
    RttEstimator,
    congestion::{Controller, ControllerFactory},
};

pub(super) use self::control::Control;
use self::{
    background::Background,
    control::Shared,
    cubic::Cubic,
    feedback::{Ack, Loss, initial_window},
    reordering::Reordering,
    round_trips::RoundTrips,
    tolerance::Tolerance,
};
use crate::CongestionControl;

/// What a link shares with its controllers is also what makes them.
impl ControllerFactory for Shared {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        let control = Control(self);
        let choice = control.choice();
        Box::new(PathController {
            since: now,
            known: if now > control.began() {
                control.target()
            } else {
                u64::MAX
            },
            trips: RoundTrips::new(now),
            reordering: Reordering::default(),
            tolerance: Tolerance::default(),
            algorithm: Algorithm::new(choice, mtu),
            choice,
            mtu,
            control,
            acked: None,
            initial_window: initial_window(mtu),
        })
    }
}

#[derive(Debug, Clone)]
enum Algorithm {
    Cubic(Cubic),
    Background(Background),
}

impl Algorithm {
    fn new(choice: CongestionControl, mtu: u16) -> Self {
        match choice {
            CongestionControl::Fair | CongestionControl::LossTolerant => {
                Self::Cubic(Cubic::new(mtu))
            }
            CongestionControl::Background => Self::Background(Background::new(mtu)),
        }
    }

    /// One that goes on where another one was.
    fn resume(choice: CongestionControl, now: Instant, mtu: u16, window: u64) -> Self {
        match choice {
            CongestionControl::Fair | CongestionControl::LossTolerant => {
                Self::Cubic(Cubic::resume(mtu, window))
            }
            CongestionControl::Background => Self::Background(Background::resume(now, mtu, window)),
        }
    }

    fn on_ack(&mut self, ack: &Ack<'_>) {
        match self {
            Self::Cubic(cubic) => cubic.on_ack(ack),
            Self::Background(background) => background.on_ack(ack),
        }
    }

    fn on_loss(&mut self, loss: &Loss) {
        match self {
            Self::Cubic(cubic) => cubic.on_loss(loss),
            Self::Background(background) => background.on_loss(loss),
        }
    }

    fn set_mtu(&mut self, mtu: u16) {
        match self {
            Self::Cubic(cubic) => cubic.set_mtu(mtu),
            Self::Background(background) => background.set_mtu(mtu),
        }
    }

    fn window(&self) -> u64 {
        match self {
            Self::Cubic(cubic) => cubic.window(),
            Self::Background(background) => background.window(),
        }
    }
}

/// Congestion control of one path.
#[derive(Clone)]
struct PathController {
    /// Since when the path is used.
    since: Instant,
    /// Up to which window the path before says that there is no need for caution. All, on a link's first path.
    known: u64,
    trips: RoundTrips,
    reordering: Reordering,
    tolerance: Tolerance,
    algorithm: Algorithm,
    choice: CongestionControl,
    mtu: u16,
    control: Control,
    /// Of the acknowledgement in hand, what the algorithm has not learned yet.
    acked: Option<Acked>,
    initial_window: u64,
}

/// Packets that were sent together, as the engine sends them, and are acknowledged together. Each by itself would say the same.
#[derive(Debug, Clone, Copy)]
struct Acked {
    now: Instant,
    sent: Instant,
    packets: u32,
    bytes: u64,
    app_limited: bool,
    rtt: Duration,
}

impl PathController {
    fn learn(&mut self) {
        let Some(acked) = self.acked.take() else {
            return;
        };
        let (now, sent) = (acked.now, acked.sent);
        let mark = self.control.mark(sent);
        self.control.acked(mark);
        let cautious = self.algorithm.window() >= self.known;
        // What was under way on the former path opens the window as far as that path speaks for it.
        let is_former = sent < self.since;
        if is_former && cautious {
            return;
        }
        let round_began = !is_former && self.trips.on_ack(now, sent, acked.packets);
        if !is_former {
            let took = now.saturating_duration_since(sent);
            self.reordering.on_ack(took, mark, round_began);
        }
        let ack = Ack {
            now,
            sent,
            bytes: acked.bytes,
            app_limited: acked.app_limited,
            rtt: acked.rtt,
            trips: &self.trips,
            round_began,
            cautious,
        };
        self.tolerance.on_ack(&ack);
        self.algorithm.on_ack(&ack);
    }
}

impl Controller for PathController {
    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        if let Some(acked) = &mut self.acked
            && acked.sent == sent
        {
            acked.packets += 1;
            acked.bytes += bytes;
            return;
        }
        self.learn();
        self.acked = Some(Acked {
            now,
            sent,
            packets: 1,
            bytes,
            app_limited,
            rtt: rtt.get(),
        });
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, _: Option<u64>) {
        self.learn();
        self.reordering.on_end_acks(self.control.acked_mark());
        self.control.set_in_flight(in_flight);
        self.control.set_app_limited(app_limited);
        let choice = self.control.choice();
        if choice != self.choice {
            let window = self.algorithm.window();
            self.algorithm = Algorithm::resume(choice, now, self.mtu, window);
            self.choice = choice;
        }
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
            let loss = Loss {
                now,
                sent,
                bytes: lost_bytes,
                persistent: is_persistent_congestion,
            };
            let is_doubtful =
                self.choice == CongestionControl::LossTolerant || self.reordering.explains(&loss);
            let queue_builds = self.trips.queue_builds();
            let is_congestion = self.tolerance.on_loss(&loss, self.mtu, queue_builds);
            if is_congestion || !is_doubtful {
                self.algorithm.on_loss(&loss);
            }
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu;
        self.algorithm.set_mtu(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.control.ignores_window() {
            u64::MAX
        } else {
            self.algorithm.window()
        }
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.initial_window
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
mod tests {
    use super::*;

    const MTU: u16 = 1000;
    const RTT: Duration = Duration::from_millis(40);

    /// A link's congestion control on one of its paths.
    struct Path {
        control: Control,
        controller: PathController,
        now: Instant,
    }

    impl Path {
        /// The link's first one.
        fn first(choice: CongestionControl) -> Self {
            let now = Instant::now();
            Self::of(Control::new(now, choice), now)
        }

        /// One after another, which says that so many packets may be under way here.
        fn later(packets: u64) -> Self {
            let now = Instant::now();
            let control = Control::new(now, CongestionControl::Fair);
            control.bequeath(packets * u64::from(MTU), RTT, RTT);
            Self::of(control, now + Duration::from_secs(10))
        }

        fn of(control: Control, now: Instant) -> Self {
            let controller = control.factory().build(now, MTU).into_any();
            Self {
                control,
                controller: *controller.downcast().expect("one of these"),
                now,
            }
        }

        fn packets(&self) -> f64 {
            self.controller.window() as f64 / f64::from(MTU)
        }

        /// A packet is acknowledged that was sent so long ago.
        fn ack(&mut self, ago: Duration) {
            self.controller.acked = Some(Acked {
                now: self.now,
                sent: self.now - ago,
                packets: 1,
                bytes: MTU.into(),
                app_limited: false,
                rtt: ago,
            });
            self.controller.on_end_acks(self.now, 7000, false, None);
        }

        /// A window arrives within a round trip that takes so long. By how much the window grows.
        fn round(&mut self, rtt: Duration) -> f64 {
            let before = self.packets();
            for _ in 0..before as u32 {
                self.now += rtt / before as u32;
                self.ack(rtt);
            }
            self.packets() / before
        }

        /// Packets are lost of which the last was sent so long ago.
        fn lose(&mut self, ago: Duration, packets: u64, persistent: bool) -> f64 {
            let (before, sent) = (self.packets(), self.now - ago);
            let bytes = packets * u64::from(MTU);
            self.controller
                .on_congestion_event(self.now, sent, persistent, bytes);
            self.packets() / before
        }
    }

    /// By a round trip that takes twice as long, which may have been a burst of somebody else's.
    #[test]
    fn on_the_first_path_slow_start_is_bold_and_on_a_later_one_careful() {
        let mut first = Path::first(CongestionControl::Fair);
        let mut later = Path::later(15);
        for path in [&mut first, &mut later] {
            assert_eq!(path.controller.initial_window(), 10_000);
            path.round(RTT);
            path.round(RTT);
            path.round(2 * RTT);
            assert_eq!(path.controller.initial_window(), 10_000, "for ever");
        }
        let grown = [first.round(2 * RTT), later.round(2 * RTT)];
        assert!((1.2..1.4).contains(&grown[0]), "{grown:?}");
        assert!((1.0..1.1).contains(&grown[1]), "{grown:?}");
    }

    #[test]
    fn what_was_sent_on_the_former_path_opens_the_window_as_far_as_that_speaks_for_it() {
        let mut path = Path::later(30);
        path.now += RTT;
        for _ in 0..100 {
            path.ack(2 * RTT);
        }
        assert_eq!(path.packets(), 30.0);
        // It says nothing of how long the way is.
        assert_eq!(path.controller.trips.base(), None);
        // What was sent at once on the present one does, and takes the window on.
        path.ack(RTT);
        assert_eq!(path.controller.trips.base(), Some(RTT));
        assert!((30.1..30.5).contains(&path.packets()), "{}", path.packets());
    }

    #[test]
    fn losses_on_the_former_path_say_nothing_of_this_one() {
        let mut path = Path::later(30);
        path.now += RTT;
        path.control.set_in_flight(9000);
        assert_eq!(path.lose(2 * RTT, 5, false), 1.0);
        // But they are under way no more.
        assert_eq!(path.control.in_flight(), 4000);
        assert_eq!(path.lose(RTT, 1, false), 0.7);
        assert_eq!(path.control.in_flight(), 3000);
    }

    #[test]
    fn a_few_losses_count_unless_they_are_to_be_tolerated() {
        let [fair, tolerant] = [CongestionControl::Fair, CongestionControl::LossTolerant];
        for (choice, lost, persistent, counts) in [
            (fair, 1, false, true),
            (fair, 1, true, true),
            (tolerant, 1, false, false),
            (tolerant, 9, false, true),
            (tolerant, 1, true, true),
        ] {
            let mut path = Path::first(choice);
            path.round(RTT);
            path.round(RTT);
            let left = path.lose(RTT / 2, lost, persistent);
            assert_eq!(left < 1.0, counts, "{choice:?} {lost} {persistent}");
        }
    }

    #[test]
    fn another_choice_goes_on_from_the_same_window() {
        let mut path = Path::first(CongestionControl::Fair);
        path.round(RTT);
        let before = path.packets();
        path.ack(RTT);
        assert_eq!(path.packets(), before + 1.0, "still in slow start");
        path.control.choose(CongestionControl::Background);
        path.ack(RTT);
        assert!(matches!(
            path.controller.algorithm,
            Algorithm::Background(_)
        ));
        assert_eq!(path.packets(), before + 2.0);
        assert_eq!(path.control.in_flight(), 7000);
        assert!(!path.control.is_app_limited());
    }

    #[test]
    fn while_a_link_closes_the_window_counts_as_endless() {
        let mut path = Path::first(CongestionControl::Fair);
        for urgent in [true, false] {
            path.control.set_urgent(urgent);
            assert_eq!(path.controller.window() == u64::MAX, urgent);
        }
        path.control.close();
        assert_eq!(path.controller.window(), u64::MAX);
        path.controller.on_mtu_update(9000);
        assert_eq!(path.controller.mtu, 9000);
    }
}
