//! What only the handles of a Client do, or of a Coordinator.

use std::time::Instant;

use conec_core::{
    ChannelId, Client, Coordinator, CoordinatorEvent, Endpoint, OpenChannelError, PathPolicy,
    Target,
};

use super::{State, state::Held, waiters::Subject};

impl State<Client> {
    /// Holds the home channel of a Client that begins to connect.
    pub(crate) fn hold_home(&mut self) {
        let home = Held {
            home: true,
            ..Held::default()
        };
        self.hold(ChannelId::HOME, home);
    }

    /// Asks for a channel to another Client, and holds it.
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
        self.hold(id, Held::default());
        Ok(id)
    }

    /// The next channel that is offered, which is held from here on. `None` once the Client is not connected any more.
    pub(crate) fn next_offer(&mut self) -> Result<Option<ChannelId>, Subject> {
        if let Some(id) = self.endpoint.poll_offer() {
            let peer = self.endpoint.peer(id);
            self.hold(
                id,
                Held {
                    peer,
                    ..Held::default()
                },
            );
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

    /// Holds the home channel of a connected Client, if this is one.
    pub(crate) fn hold_client(&mut self, client: ChannelId) -> bool {
        let peer = self.endpoint.peer(client).filter(|_| !self.ended);
        let is_there = peer.is_some() || self.channels.contains_key(&client);
        if is_there {
            let (home, opened) = (true, true);
            self.hold(
                client,
                Held {
                    home,
                    opened,
                    peer,
                    ..Held::default()
                },
            );
        }
        is_there
    }
}

impl<E: Endpoint> State<E> {
    /// Counts a handle to a channel, of which this is known if nobody has held it so far.
    fn hold(&mut self, id: ChannelId, new: Held) {
        self.channels.entry(id).or_insert(new).handles += 1;
    }
}
