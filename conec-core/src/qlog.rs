//! What the QUIC engine does, packet by packet, for who looks for the reason of something.

use std::{fmt, io};

use crate::ChannelId;

/// Where the qlogs of channels go (feature `qlog`): what the QUIC engine does with each packet, as draft-ietf-quic-qlog has it, for tools such
/// as qvis.
///
/// Set it in [`ChannelConfig::qlog`](crate::ChannelConfig::qlog). The writers are called from within the core, with every packet, and hold it up as
/// long as they take. They must not panic.
///
/// ```
/// use std::io;
/// use conec_core::{Qlog, QlogConnection};
///
/// /// Writes to standard error.
/// #[derive(Debug)]
/// struct Stderr;
///
/// impl Qlog for Stderr {
///     fn begin(&self, connection: &QlogConnection) -> Option<Box<dyn io::Write + Send + Sync>> {
///         eprintln!("{connection:?}");
///         Some(Box::new(io::stderr()))
///     }
/// }
/// ```
pub trait Qlog: fmt::Debug + Send + Sync {
    /// Where to write what happens on another connection, as a JSON text sequence (`.sqlog`). With `None` it is not written.
    ///
    /// At a Coordinator it is asked for whoever begins to connect, before that is let in: bound how many there are.
    fn begin(&self, connection: &QlogConnection) -> Option<Box<dyn io::Write + Send + Sync>>;
}

/// A QUIC connection that is to be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct QlogConnection {
    /// The channel that it is for. Not known where the Coordinator is connected to by who has not said yet who it is.
    pub channel: Option<ChannelId>,
    /// Whether this end has begun it.
    pub is_initiator: bool,
}
