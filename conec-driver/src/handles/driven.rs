use std::{ops::ControlFlow, sync::Arc, time::Instant};

use conec_core::{Endpoint, hub::Role};

use super::{Shared, Wake};
use crate::{Access, Pump};

/// A driver's part in an endpoint that is shared.
///
/// # Dropping
///
/// However the driver ends, nobody waits in vain: whoever waits is told of the end when this is dropped. So it is to be
/// dropped after the socket, for those who wait to find that closed.
pub struct Driven<W: Wake, E: Role>(Arc<Shared<W, E>>);

impl<W: Wake, E: Role> Driven<W, E> {
    /// The part of the one driver there is.
    pub fn new(shared: Arc<Shared<W, E>>) -> Self {
        Self(shared)
    }

    /// To be called before each [turn of the pump](Pump::turn). From here on, whoever changes anything wakes the driver,
    /// once.
    pub fn begin_turn(&mut self, driver: W) {
        self.0.with(|hub| {
            hub.set_driver(driver);
            self.0.collect(hub);
        });
    }

    /// When the next turn [is due](Pump::due), or `Break` once the endpoint has ended and nothing is left to do.
    pub fn next_turn(&self, pump: &Pump) -> ControlFlow<(), Option<Instant>> {
        let (finished, timeout) = self
            .0
            .with(|hub| (hub.is_finished(), hub.endpoint().poll_timeout()));
        if finished && !pump.is_blocked() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(pump.due(timeout))
    }
}

impl<W: Wake, E: Role> Access for Driven<W, E> {
    fn with<T>(&mut self, f: impl FnOnce(&mut dyn Endpoint) -> T) -> T {
        self.0.with(|hub| f(hub.endpoint_mut()))
    }

    fn settle(&mut self) {
        self.0.with(|hub| hub.settle());
    }
}

impl<W: Wake, E: Role> Drop for Driven<W, E> {
    fn drop(&mut self) {
        self.0.with(|hub| {
            hub.end();
            // Nobody comes for these any more.
            self.0.collect(hub);
        });
    }
}
