//! What drives an endpoint that has handles.

use std::{ops::ControlFlow, sync::Arc, task::Waker, time::Instant};

use conec_core::Endpoint;

use crate::{Access, Io, Pump, Socket, Sockets, shared::Shared};

/// The one driver of an endpoint with handles, apart from waiting: that is done by a task of some executor, or by a thread.
///
/// It is to be [turned](Self::turn) when its socket is ready, when its waker is woken, and when it said that the next turn is
/// due. `examples/other_executor.rs` is a whole one.
///
/// # Dropping
///
/// However the driver ends, nobody waits in vain: whoever waits is told of the end when this is dropped. So it is to be
/// dropped after the socket, for those who wait to find that closed.
pub struct Driver<E: Endpoint> {
    pump: Pump,
    shared: Arc<Shared<E>>,
}

impl<E: Endpoint> Driver<E> {
    pub(crate) fn new(socket: Socket, shared: Arc<Shared<E>>) -> (Self, Sockets) {
        let (sockets, udp) = socket.into_parts();
        let pump = Pump::new(udp);
        (Self { pump, shared }, sockets)
    }

    /// [Turns the pump](Pump::turn). When the next turn [is due](Pump::due), or `Break` once the endpoint has ended and nothing
    /// is left to do.
    ///
    /// `waker` is woken once when a handle gives the driver something to do before that.
    pub fn turn(
        &mut self,
        now: Instant,
        waker: &Waker,
        io: &mut impl Io,
    ) -> ControlFlow<(), Option<Instant>> {
        let Self { pump, shared } = self;
        let mut turn = Turn {
            shared,
            waker,
            finished: false,
            wakeup: None,
        };
        pump.turn(now, io, &mut turn);
        if turn.finished && !pump.is_blocked() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(pump.due(turn.wakeup))
    }

    /// Whether something waits that the socket has not taken yet.
    pub fn is_blocked(&self) -> bool {
        self.pump.is_blocked()
    }
}

/// A turn's access to the endpoint.
struct Turn<'a, E: Endpoint> {
    shared: &'a Shared<E>,
    waker: &'a Waker,
    /// Whether the endpoint has ended, and when it wants to be woken, as they were last seen.
    finished: bool,
    wakeup: Option<Instant>,
}

impl<E: Endpoint> Access for Turn<'_, E> {
    fn with<T>(&mut self, f: impl FnOnce(&mut dyn Endpoint) -> T) -> T {
        self.shared.with(|state| f(state.endpoint_mut()))
    }

    fn begin_turn<T>(&mut self, f: impl FnOnce(&mut dyn Endpoint) -> T) -> T {
        self.shared.with(|state| {
            state.begin_turn(self.waker);
            f(state.endpoint_mut())
        })
    }

    fn settle<T>(&mut self, f: impl FnOnce(&mut dyn Endpoint) -> T) -> T {
        self.shared.with(|state| {
            let result = f(state.endpoint_mut());
            state.settle();
            let endpoint = state.endpoint();
            (self.finished, self.wakeup) = (endpoint.is_finished(), endpoint.poll_wakeup());
            result
        })
    }
}

impl<E: Endpoint> Drop for Driver<E> {
    fn drop(&mut self) {
        self.shared.with(|state| state.end());
    }
}
