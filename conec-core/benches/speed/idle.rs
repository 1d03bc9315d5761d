//! What Clients cost that have nothing to say.

use std::time::{Duration, Instant};

use conec_core::Endpoint;

use crate::harness::{SEGMENTS, conec::World};

/// A Coordinator with connected Clients.
pub(crate) struct Idle {
    world: World,
}

impl Idle {
    pub(crate) fn new(clients: usize) -> Self {
        let mut world = World::new();
        for _ in 0..clients {
            // Only the Coordinator's side is of interest, and it does not notice.
            drop(world.idle_client());
        }
        assert_eq!(world.coordinator.endpoint.clients(), clients);
        Self { world }
    }

    /// How many Clients there are.
    pub(crate) fn count(&self) -> usize {
        self.world.coordinator.endpoint.clients()
    }

    /// One round of everything that a driver polls.
    pub(crate) fn nanoseconds_per_poll(&mut self, time: Duration) -> f64 {
        let coordinator = &mut self.world.coordinator.endpoint;
        let (start, mut polls) = (Instant::now(), 0);
        loop {
            for _ in 0..1000 {
                let now = self.world.network.now;
                assert!(coordinator.poll_event().is_none());
                assert!(coordinator.poll_transmit(now, SEGMENTS).is_none());
                assert!(coordinator.poll_timeout().is_some());
            }
            polls += 1000;
            let elapsed = start.elapsed();
            if elapsed > time / 4 {
                return elapsed.as_nanos() as f64 / f64::from(polls);
            }
        }
    }
}
