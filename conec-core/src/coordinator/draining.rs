//! How a Coordinator sends its Clients to another one before it stops.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::Coordinator;
use crate::{
    ErrorCode,
    wire::{CoordinatorMessage, MAX_ALTERNATIVES, MAX_HOST},
};

/// How a Coordinator is [drained](Coordinator::drain). Begin with the default, and set fields.
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
    /// certificates, and addresses, of which the first 8 are told. None by default: they look where they have found this one.
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
    deadline: Option<Instant>,
}

impl Draining {
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.deadline
    }
}

impl Coordinator {
    pub(super) fn begin_draining(&mut self, now: Instant, drain: &Drain) {
        self.draining = Some(Draining {
            deadline: Some(now + drain.deadline),
        });
        let fits = |(host, _): &&(String, SocketAddr)| host.len() <= MAX_HOST;
        let alternatives = drain
            .alternatives
            .iter()
            .filter(fits)
            .take(MAX_ALTERNATIVES);
        let alternatives = alternatives.map(|(host, at)| (host.as_str().into(), *at));
        let message = CoordinatorMessage::Draining {
            spread: u64::try_from(drain.spread.as_millis()).unwrap_or(u64::MAX),
            alternatives: alternatives.collect(),
        };
        tracing::debug!(clients = self.registry.len(), "draining");
        for client in self.registry.ids() {
            self.tell(client, &message);
        }
    }

    /// Disconnects those that are left when it is time.
    pub(super) fn go_on_draining(&mut self, now: Instant) {
        let is_due = |at: &mut Instant| *at <= now;
        let deadline = self
            .draining
            .as_mut()
            .and_then(|it| it.deadline.take_if(is_due));
        if deadline.is_none() {
            return;
        }
        for client in self.registry.ids() {
            if let Some(member) = self.registry.get(client) {
                self.close_session(now, member.session, ErrorCode::Shutdown.into());
            }
        }
    }
}
