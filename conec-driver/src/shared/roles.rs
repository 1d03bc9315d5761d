//! What only the handles of a Client do, or of a Coordinator.

use std::time::Instant;

use conec_core::{
    ChannelId, Client, Coordinator, CoordinatorEvent, Endpoint, OpenChannelError, PathPolicy,
    Target,
};

use super::{State, held::Held, waiters::Subject};

impl State<Client> {
    /// The home channel of a Client that begins to connect, held once.
    pub(crate) fn hold_home(&mut self) {
        let home = Held::new(true, None);
        self.channels.insert(ChannelId::HOME, home);
    }

    /// Asks for a channel to another Client. It is held once.
    pub(crate) fn open_channel(
        &mut self,
        now: Instant,
        target: Target,
        label: &[u8],
        policy: Option<PathPolicy>,
    ) -> Result<ChannelId, OpenChannelError> {
        if self.ended {
            return Err(OpenChannelError::NotConnected);
        }
        self.waiters.wake_driver();
        let id = match policy {
            Some(policy) => self.endpoint.open_channel_with(now, target, label, policy),
            None => self.endpoint.open_channel(now, target, label),
        }?;
        self.hold_new(id, Held::new(false, None));
        Ok(id)
    }

    /// The next channel that is offered, held once. `None` once the Client is not connected any more.
    pub(crate) fn next_offer(&mut self) -> Result<Option<ChannelId>, Subject> {
        if let Some(id) = self.endpoint.poll_offer() {
            let peer = self.endpoint.peer(id);
            self.hold_new(id, Held::new(false, peer));
            // Where it was accepted automatically, it is open.
            self.settle();
            return Ok(Some(id));
        }
        let over = self.close_reason(ChannelId::HOME);
        over.map(|_| None).ok_or(Subject::Application)
    }
}

impl State<Coordinator> {
    /// The next event. `None` once nobody drives the Coordinator any more.
    pub(crate) fn next_event(&mut self) -> Result<Option<CoordinatorEvent>, Subject> {
        // From now on they wait for the application.
        self.endpoint.ignore_events(false);
        match self.endpoint.poll_application_event() {
            Some(event) => Ok(Some(event)),
            None if self.ended => Ok(None),
            None => Err(Subject::Application),
        }
    }

    /// Holds the home channel of a connected Client once more, if this is one.
    pub(crate) fn hold_client(&mut self, client: ChannelId) -> bool {
        if self.channels.contains_key(&client) {
            self.hold(Some(client));
            return true;
        }
        let Some(peer) = self.endpoint.peer(client).filter(|_| !self.ended) else {
            return false;
        };
        self.hold_new(client, Held::new(true, Some(peer)).opened());
        true
    }
}

impl<E: Endpoint> State<E> {
    fn hold_new(&mut self, id: ChannelId, held: Held) {
        self.channels.insert(id, held);
        self.hold(None);
    }
}
