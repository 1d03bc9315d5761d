//! How a Coordinator stops.

use std::time::{Duration, Instant};

use conec_tokio::{Coordinator, Drain};

use super::signals::{Signal, Signals};
use crate::output::say;

/// Lets the Clients go over to another Coordinator, or know that this one comes back, and stops. At once by a second signal.
pub(super) async fn stop(coordinator: &Coordinator, deadline: Duration, signals: &mut Signals) {
    say("stopping: another signal ends at once");
    tokio::select! {
        () = drained(coordinator, deadline) => {}
        () = stopped(signals) => return,
    }
    tokio::select! {
        () = coordinator.close(AT_LAST) => {}
        () = stopped(signals) => {}
    }
}

/// Until nobody is left, or for so long.
async fn drained(coordinator: &Coordinator, time: Duration) {
    let mut drain = Drain::default();
    drain.spread = drain.spread.min(time / 2);
    drain.deadline = time;
    coordinator.drain(&drain);
    let began = Instant::now();
    while coordinator.clients() > 0 && began.elapsed() < time {
        tokio::time::sleep(LOOK).await;
    }
}

async fn stopped(signals: &mut Signals) {
    while signals.next().await != Signal::Stop {}
}

/// How long streams on home channels have to end.
const AT_LAST: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(50);
