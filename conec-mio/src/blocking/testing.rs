//! What conec's own tests look at inside. No promise is made of anything here.

use std::io;

use conec_core::{hub::Role, testing::hub};
use conec_driver::Socket;

use super::{shared::Shared, thread};

/// Starts the thread that drives an endpoint.
pub fn drive<E>(endpoint: E, socket: Socket) -> io::Result<()>
where
    E: Role + Send + 'static,
{
    thread::spawn(Shared::new(hub(endpoint)), socket)
}
