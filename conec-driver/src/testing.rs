//! What conec's own tests look at inside. No promise is made of anything here.

use std::time::Instant;

use conec_core::Endpoint;

use crate::{Driver, Socket, Sockets, shared::Shared};

/// What drives an endpoint of a test's own, without handles.
pub fn driver<E: Endpoint>(
    endpoint: E,
    socket: Socket,
    clock: fn() -> Instant,
) -> (Driver<E>, Sockets) {
    Driver::new(socket, Shared::new(endpoint, clock, tracing::Span::none()))
}
