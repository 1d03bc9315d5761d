//! What the messages of a channel take.

/// The memory that messages take, with buffers kept for others to come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MessageMemory {
    /// Messages that wait for the application: it is slow.
    pub(crate) ready: usize,
    /// Those that have arrived in part, and gaps: the rest is the sender's to send.
    pub(crate) partial: usize,
}

impl MessageMemory {
    pub(crate) fn sum(self) -> usize {
        self.ready + self.partial
    }

    /// One part of it has changed.
    pub(crate) fn replace(&mut self, before: Self, now: Self) {
        self.ready = self.ready - before.ready + now.ready;
        self.partial = self.partial - before.partial + now.partial;
    }
}
