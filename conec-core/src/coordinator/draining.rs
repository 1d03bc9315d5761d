//! How a Coordinator sends its Clients to another one before it stops.

use std::{net::SocketAddr, time::Instant};

use super::{
    Coordinator,
    drain::{Drain, Draining},
};
use crate::{
    ErrorCode,
    wire::{CoordinatorMessage, MAX_ALTERNATIVES, MAX_HOST},
};

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
