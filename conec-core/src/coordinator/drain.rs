//! How a Coordinator is drained, and how far it has come.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How a Coordinator is [drained](crate::Coordinator::drain). Begin with the default, and set fields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Drain {
    /// The Clients go over at random times within so long, so that they do not come to the other Coordinator all at once. 5 s by
    /// default.
    pub spread: Duration,
    /// After so long, those that are left are disconnected. They look for another Coordinator then, if they look for one at all. 30 s by
    /// default.
    pub deadline: Duration,
    /// Where they find another Coordinator with the same [ticket key](crate::CoordinatorConfig::ticket_key): host names, for their
    /// certificates, and addresses, of which the first 8 are told. They are tried before those that the Clients know. None by
    /// default: they look where they have found this one.
    pub alternatives: Vec<(String, SocketAddr)>,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            spread: Duration::from_secs(5),
            deadline: Duration::from_secs(30),
            alternatives: Vec::new(),
        }
    }
}

/// The Clients are to go.
#[derive(Debug)]
pub(super) struct Draining {
    /// When those that are left are disconnected.
    pub(super) deadline: Option<Instant>,
}

impl Draining {
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.deadline
    }
}
