//! What conec's own tests look at inside. No promise is made of anything here.

use std::{io, time::Instant};

use conec_core::Endpoint;
use conec_driver::{Socket, testing::driver};

use super::thread;

/// Starts the thread that drives an endpoint.
pub fn drive<E>(endpoint: E, socket: Socket) -> io::Result<()>
where
    E: Endpoint + Send + 'static,
{
    let (driver, sockets) = driver(endpoint, socket, Instant::now);
    thread::spawn(driver, sockets)
}
