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
            tracing::debug!(?choice, "another congestion control");
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
