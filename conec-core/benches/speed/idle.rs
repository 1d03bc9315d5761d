//! What Clients cost that have nothing to say.

use std::time::{Duration, Instant};

use conec_core::Endpoint;

use crate::harness::{SEGMENTS, conec::World};

/// A Coordinator with connected Clients.
pub(crate) struct Idle {
    world: World,
    count: usize,
}

impl Idle {
    pub(crate) fn new() -> Self {
        Self {
            world: World::new(),
            count: 0,
        }
    }

    pub(crate) fn grow_to(&mut self, count: usize) {
        while self.count < count {
            // Only the Coordinator's side is of interest, and it does not notice.
            drop(self.world.idle_client());
            self.count += 1;
        }
        assert_eq!(self.world.coordinator.endpoint.clients(), count);
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
