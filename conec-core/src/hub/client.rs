//! What the handles of a Client do.

use std::{io, net::SocketAddr, time::Instant};

use super::{Attempt, BindError, ConnectError, Hub, Role, channel::Entry, waiters::Subject};
use crate::{
    ChannelEvent, ChannelId, Client, ClientConfig, ClientEvent, Code, Endpoint, Identity,
    OpenChannelError, PathPolicy, Target,
};

impl<W> Hub<W, Client> {
    /// A Client that connects as [`Client::connect`] does. Its home channel is held once.
    pub fn client(
        now: Instant,
        host_name: &str,
        addresses: &[SocketAddr],
        config: ClientConfig,
    ) -> Result<Self, ConnectError> {
        let seed = Identity::generate_seed().map_err(BindError::from)?;
        let mut client = Client::new(config, seed).map_err(BindError::from)?;
        client.connect(now, host_name, addresses)?;
        let mut hub = Self::new(client);
        let mut home = Entry::home(None);
        home.hold();
        hub.channels.insert(ChannelId::HOME, home);
        Ok(hub)
    }

    /// Asks for a channel to another Client, as [`Client::open_channel`] does, or [`Client::open_channel_with`] if it is to
    /// have a policy of its own. It is held once.
    pub fn open_channel(
        &mut self,
        now: Instant,
        target: impl Into<Target>,
        label: &[u8],
        policy: Option<PathPolicy>,
    ) -> Result<ChannelId, OpenChannelError> {
        if self.ended {
            return Err(OpenChannelError::NotConnected);
        }
        let client = self.command();
        let id = match policy {
            Some(policy) => client.open_channel_with(now, target, label, policy),
            None => client.open_channel(now, target, label),
        }?;
        self.channels.insert(id, Entry::default());
        self.hold(Some(id));
        Ok(id)
    }

    /// The next channel that is offered, held once. `None` once the Client is not connected any more.
    pub fn next_offer(&mut self) -> Attempt<Option<ChannelId>> {
        if let Some(id) = self.offers.pop_front() {
            self.hold(Some(id));
            return Attempt::Done(Some(id));
        }
        match self.close_reason(ChannelId::HOME) {
            Some(_) => Attempt::Done(None),
            None => Subject::News.wait(),
        }
    }

    /// Accepts an offered channel, with a policy of its own if it is to have one. Whether that was of use,
    /// [`opened`](Self::opened) tells.
    pub fn accept_offer(&mut self, now: Instant, id: ChannelId, policy: Option<PathPolicy>) {
        let client = self.command();
        // An offer that needs no answer, or is too late for one, shows what has become of it.
        let _ = match policy {
            Some(policy) => client.accept_with(now, id, policy),
            None => client.accept(now, id),
        };
    }

    /// Rejects an offered channel, or ends it where it was accepted automatically; the other end learns the code.
    pub fn reject_offer(&mut self, now: Instant, id: ChannelId, code: Code) {
        if self.command().reject(now, id, code).is_err() {
            self.abort_channel(now, id, code);
        }
    }

    fn offered(&mut self, id: ChannelId) {
        let entry = Entry::new(self.endpoint.peer(id));
        self.channels.insert(id, entry);
        self.offers.push_back(id);
        self.waiters.wake(Subject::News);
    }
}

impl Role for Client {
    fn handle_event<W>(hub: &mut Hub<W, Self>, event: ClientEvent) {
        match event {
            ClientEvent::Offered { channel, .. } => hub.offered(channel),
            ClientEvent::Channel { channel, event } => {
                if event == ChannelEvent::Opened {
                    let peer = hub.endpoint.peer(channel);
                    match hub.channels.get_mut(&channel) {
                        Some(entry) => entry.peer = peer,
                        // Accepted automatically.
                        None => hub.offered(channel),
                    }
                } else if let ChannelEvent::Closed { .. } = event {
                    hub.offers.retain(|&offer| offer != channel);
                    hub.waiters.wake(Subject::News);
                }
                hub.handle_channel_event(channel, event);
            }
            // Waited for by way of the home channel, and asked for when needed.
            ClientEvent::Connected { .. }
            | ClientEvent::AddressObserved { .. }
            | ClientEvent::Throttled { .. } => {}
        }
    }
}

/// The host in `host:port`, without the brackets of an IPv6 address.
pub fn host_of(coordinator: &str) -> Result<&str, ConnectError> {
    let (host, _) = coordinator
        .rsplit_once(':')
        .ok_or_else(|| ConnectError::Resolve {
            host: coordinator.into(),
            error: io::Error::new(io::ErrorKind::InvalidInput, "write it as host:port"),
        })?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    Ok(bare.unwrap_or(host))
}
