//! What becomes of the application's datagrams.

/// The application's datagrams, as far as the engine does not count them.
#[derive(Debug, Default)]
pub(super) struct DatagramCounts {
    /// How much room the engine has for datagrams while none wait.
    pub(super) empty_buffer: usize,
    /// Given to the engine, not taken from the application, and taken from the engine.
    pub(super) queued: u64,
    pub(super) refused: u64,
    pub(super) taken: u64,
    /// Given to the engine, and not sent, when last none waited there.
    pub(super) discarded: u64,
    /// Not to be had from the engine, when last none waited there.
    pub(super) displaced: u64,
}
