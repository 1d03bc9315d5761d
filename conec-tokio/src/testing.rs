//! What conec's own tests look at inside. No promise is made of anything here.

use std::{future::Future, io};

use conec_core::{hub::Role, testing::hub};
use conec_driver::Socket;

use crate::{driver::Driver, shared::Shared};

/// The task that drives an endpoint.
pub fn drive<E: Role>(endpoint: E, socket: Socket) -> io::Result<impl Future<Output = ()>> {
    Driver::new(Shared::new(hub(endpoint)), socket)
}
