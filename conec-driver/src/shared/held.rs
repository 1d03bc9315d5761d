//! What is known of channels and streams that somebody holds.

use conec_core::{CloseReason, PeerInfo, RecvEnd, SendEnd};

/// A channel that somebody holds.
#[derive(Debug)]
pub(super) struct Held {
    /// Stays open when nobody holds it.
    pub(super) home: bool,
    pub(super) peer: Option<PeerInfo>,
    pub(super) opened: bool,
    pub(super) closed: Option<CloseReason>,
    pub(super) handles: usize,
    /// Everybody has let go of it.
    pub(super) dropped: bool,
}

impl Held {
    /// A channel that is held once, and not open as far as is known.
    pub(super) fn new(home: bool, peer: Option<PeerInfo>) -> Self {
        Self {
            home,
            peer,
            opened: false,
            closed: None,
            handles: 1,
            dropped: false,
        }
    }

    pub(super) fn opened(self) -> Self {
        Self {
            opened: true,
            ..self
        }
    }

    pub(super) fn hold(&mut self) {
        self.handles += 1;
    }

    pub(super) fn unhold(&mut self) {
        self.handles = self.handles.saturating_sub(1);
    }

    pub(super) fn end(&mut self, reason: CloseReason) {
        self.closed.get_or_insert(reason);
    }
}

/// The sending half of a stream.
#[derive(Debug, Default)]
pub(super) struct Sending {
    pub(super) finished: bool,
    pub(super) end: Option<SendEnd>,
}

impl Sending {
    pub(super) fn end(&mut self, end: SendEnd) {
        self.end.get_or_insert(end);
    }
}

/// The receiving half of a stream.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    pub(super) end: Option<RecvEnd>,
}

impl Receiving {
    pub(super) fn end(&mut self, end: RecvEnd) {
        self.end.get_or_insert(end);
    }
}
