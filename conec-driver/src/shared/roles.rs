//! What only the handles of a Client do, or of a Coordinator.

use std::time::Instant;

use conec_core::{
    ChannelId, Client, ClientState, CloseReason, Coordinator, CoordinatorEvent, Endpoint,
    IntroduceError, IntroductionId, KeyChange, KnownClients, OpenChannelError, PathPolicy,
    PeerInfo, Target,
};

use super::{State, state::Held, waiters::Subject};

impl State<Client> {
    /// Holds the present home channel.
    pub(crate) fn hold_home(&mut self) -> ChannelId {
        let id = self.endpoint.home();
        let channel = self.endpoint.channel(id);
        let is_open = channel.is_some_and(|channel| channel.is_open());
        let end = self.how_ended();
        let held = self.hold(id, true, None);
        held.opened |= is_open;
        held.closed = held.closed.or(end);
        id
    }

    /// Whether the Client is connected, or will never be again.
    pub(crate) fn connected(&self) -> Result<Result<(), CloseReason>, Subject> {
        match self.how_ended() {
            Some(reason) => Ok(Err(reason)),
            None if self.endpoint.state() == ClientState::Connected => Ok(Ok(())),
            None => Err(Subject::Application),
        }
    }

    /// Another state than this one.
    pub(crate) fn state_other_than(&self, known: ClientState) -> Result<ClientState, Subject> {
        let state = match self.how_ended() {
            Some(reason) => ClientState::Ended { reason },
            None => self.endpoint.state(),
        };
        (state != known)
            .then_some(state)
            .ok_or(Subject::Application)
    }

    /// Whether the Client has ended.
    pub(crate) fn client_ended(&self) -> Result<CloseReason, Subject> {
        self.how_ended().ok_or(Subject::Application)
    }

    fn how_ended(&self) -> Option<CloseReason> {
        match self.endpoint.state() {
            // Of a home channel that somebody holds, how it has ended is told by its own end, the last of all.
            ClientState::Ended { reason } => match self.channels.get(&self.endpoint.home()) {
                Some(held) => held.closed,
                None => Some(reason),
            },
            ClientState::Unused
            | ClientState::Connecting
            | ClientState::Connected
            | ClientState::Reconnecting { .. }
            | _ => self.ended.then_some(CloseReason::Local),
        }
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
        self.hold(id, false, None);
        Ok(id)
    }

    /// The next name under which somebody else came than is known by it. `None` once the Client is not connected any more.
    pub(crate) fn next_key_change(&mut self) -> Result<Option<KeyChange>, Subject> {
        let known = self.endpoint.known_mut();
        if let Some((change, _)) = known.and_then(KnownClients::poll_key_change) {
            return Ok(Some(change));
        }
        let over = self.how_ended();
        over.map(|_| None).ok_or(Subject::Application)
    }

    /// Asks for a channel between two others.
    pub(crate) fn introduce(
        &mut self,
        now: Instant,
        from: Target,
        to: Target,
        label: &[u8],
    ) -> Result<IntroductionId, IntroduceError> {
        if self.ended {
            return Err(IntroduceError::NotConnected);
        }
        self.waiters.wake_driver();
        self.endpoint.introduce(now, from, to, label)
    }

    /// What has become of that.
    pub(crate) fn introduced(
        &mut self,
        id: IntroductionId,
    ) -> Result<Result<(), CloseReason>, Subject> {
        match self.endpoint.poll_introduction(id) {
            Some(outcome) => Ok(outcome),
            None if self.ended => Ok(Err(CloseReason::Local)),
            None => Err(Subject::Application),
        }
    }

    /// Nobody waits for what becomes of it.
    pub(crate) fn ignore_introduction(&mut self, id: IntroductionId) {
        self.endpoint.ignore_introduction(id);
    }

    /// The next channel that is offered, which is held from here on. `None` once the Client is not connected any more.
    pub(crate) fn next_offer(&mut self) -> Result<Option<ChannelId>, Subject> {
        if let Some(id) = self.endpoint.poll_offer() {
            let peer = self.endpoint.peer(id);
            self.hold(id, false, peer);
            // Where it was accepted automatically, it is open.
            self.settle();
            return Ok(Some(id));
        }
        let over = self.how_ended();
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
            self.hold(client, true, peer).opened = true;
        }
        is_there
    }
}

impl<E: Endpoint> State<E> {
    /// Counts another handle to a channel.
    fn hold(&mut self, id: ChannelId, home: bool, peer: Option<PeerInfo>) -> &mut Held {
        let held = self.channels.entry(id).or_default();
        held.handles += 1;
        held.home = home;
        held.peer = held.peer.take().or(peer);
        held
    }
}
