//! What the handles of a Coordinator do.

use bytes::Bytes;

use super::{Attempt, BindError, Hub, Role, channel::Entry, waiters::Subject};
use crate::{
    ChannelEvent, ChannelId, Coordinator, CoordinatorConfig, CoordinatorEvent, Identity, PeerInfo,
};

impl<W> Hub<W, Coordinator> {
    /// A Coordinator, held once.
    pub fn coordinator(config: CoordinatorConfig) -> Result<Self, BindError> {
        let seed = Identity::generate_seed()?;
        Ok(Self::new(Coordinator::new(config, seed)?))
    }

    /// The next event. `None` once nobody drives the Coordinator any more.
    ///
    /// Of what happens on home channels only their ends are told. At most 65536 events wait to be taken; then the oldest
    /// are dropped, and [counted](Self::missed_events).
    pub fn next_event(&mut self) -> Attempt<Option<CoordinatorEvent>> {
        match self.events.pop_front() {
            Some(event) => Attempt::Done(Some(event)),
            None if self.ended => Attempt::Done(None),
            None => Subject::News.wait(),
        }
    }

    /// How many events were dropped because too many waited to be taken.
    pub fn missed_events(&self) -> u64 {
        self.missed_events
    }

    /// The home channel of a connected Client, if this is one, held once more.
    pub fn home_channel(&mut self, client: ChannelId) -> Option<ChannelId> {
        self.channels.get(&client)?;
        self.hold(Some(client));
        Some(client)
    }
}

impl Role for Coordinator {
    fn handle_event<W>(hub: &mut Hub<W, Self>, event: CoordinatorEvent) {
        match event {
            CoordinatorEvent::Channel { channel, event } => {
                if let ChannelEvent::Closed { .. } = event {
                    let event = event.clone();
                    hub.tell(CoordinatorEvent::Channel { channel, event });
                }
                hub.handle_channel_event(channel, event);
            }
            CoordinatorEvent::ClientConnected {
                client,
                id,
                ref name,
                ..
            } => {
                let peer = PeerInfo {
                    id,
                    name: name.clone(),
                    label: Bytes::new(),
                };
                hub.channels.insert(client, Entry::home(Some(peer)));
                hub.tell(event);
            }
            CoordinatorEvent::ClientAsks { .. }
            | CoordinatorEvent::PairAsks { .. }
            | CoordinatorEvent::PairStarted { .. }
            | CoordinatorEvent::PairClosed { .. } => hub.tell(event),
        }
    }
}

impl<W> Hub<W, Coordinator> {
    pub(super) fn tell(&mut self, event: CoordinatorEvent) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
            self.missed_events += 1;
        }
        self.events.push_back(event);
        self.waiters.wake(Subject::News);
    }
}

/// How many events may wait for the application.
const MAX_EVENTS: usize = 1 << 16;
