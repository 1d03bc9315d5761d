//! How a Coordinator stops.

use std::time::{Duration, Instant};

use conec_tokio::{Coordinator, Drain};

use super::signals::{Signal, Signals};

/// As the library has it by default, but within this time.
pub(super) fn within(time: Duration) -> Drain {
    let mut drain = Drain::default();
    drain.spread = drain.spread.min(time / 2);
    drain.deadline = time;
    drain
}

/// Lets the Clients go over to another Coordinator, or know that this one comes back, and stops. At once by a second signal.
pub(super) async fn stop(coordinator: &Coordinator, drain: &Drain, signals: &mut Signals) {
    tracing::info!("stopping: another signal ends at once");
    tokio::select! {
        () = drained(coordinator, drain) => {}
        () = stopped(signals) => return,
    }
    tokio::select! {
        () = coordinator.close(AT_LAST) => {}
        () = stopped(signals) => {}
    }
}

/// Until nobody is left, or for so long.
async fn drained(coordinator: &Coordinator, drain: &Drain) {
    coordinator.drain(drain);
    let began = Instant::now();
    while coordinator.clients() > 0 && began.elapsed() < drain.deadline {
        tokio::time::sleep(LOOK).await;
    }
}

async fn stopped(signals: &mut Signals) {
    while signals.next().await != Signal::Stop {}
}

/// How long streams on home channels have to end.
const AT_LAST: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(50);
