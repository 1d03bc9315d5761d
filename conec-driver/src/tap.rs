//! Where tests get between an adapter and the system.

use std::{io, net::SocketAddr, num::NonZeroUsize};

use conec_core::{Datagram, Transmit};

/// Stands between an adapter and the system, in tests: counts, invents failures and datagrams.
pub trait Tap: Send + Sync {
    /// What becomes of a transmit. `None` has it sent.
    fn send(&self, transmit: &Transmit) -> Option<io::Result<()>> {
        let _ = transmit;
        None
    }

    /// What is received. `None` has the system asked.
    fn recv(&self, into: &mut Vec<Datagram>) -> Option<io::Result<()>> {
        let _ = into;
        None
    }

    /// How many segments may be sent at once, of those that the system allows.
    fn max_segments(&self, max: NonZeroUsize) -> NonZeroUsize {
        max
    }

    /// The machine's addresses. `None` has the system asked.
    fn host_addresses(&self) -> Option<Vec<SocketAddr>> {
        None
    }
}
