//! What conec's own tests look at inside. No promise is made of anything here.

use std::{future::Future, io};

use conec_core::Endpoint;
use conec_driver::{Socket, testing::driver};

use crate::task::Task;

/// The task that drives an endpoint.
pub fn drive<E: Endpoint + Unpin>(
    endpoint: E,
    socket: Socket,
) -> io::Result<impl Future<Output = ()>> {
    let (driver, sockets) = driver(endpoint, socket, crate::task::now);
    Task::new(driver, sockets)
}
