//! Coordinators.

use std::{
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use conec_core::{
    AnswerError, ChannelId, ChannelStats, ClientId, ClientInfo, Code, CoordinatorConfig,
    CoordinatorEvent, Drain, Endpoint, EndpointStats, GroupConfig, GroupError, GroupMember,
    GroupState, Identity, KeyPin, Lossy, MembershipId, Name, PairError, PairId, PairInfo,
    Revocation, Rules, Secret, Target,
};
use futures_core::Stream;

use crate::{
    BindError, Channel, Driver, Socket, Sockets, Subscription,
    shared::{EndpointHandle, Items, LOGS, Shared},
};

/// A Coordinator: the one server that all Clients connect to.
///
/// A cheap handle: clones are the same Coordinator. A Client is named by its home channel's id, as events tell it.
///
/// Adapters have a shorter way to one than [`start`](Self::start): they bind, and drive it.
///
/// # Dropping
///
/// When the last handle is dropped, the Coordinator closes gracefully in the background, with a patience of 10 seconds,
/// and then its driver ends. [`Channel`]s, [`Sender`](crate::Sender)s, [`Receiver`](crate::Receiver)s and
/// [`Subscription`]s count as handles. A program that is about to exit should call [`close`](Self::close) instead, which can be waited for.
#[derive(Clone)]
pub struct Coordinator {
    shared: Arc<Shared<conec_core::Coordinator>>,
    handle: Arc<EndpointHandle>,
    address: SocketAddr,
    second_port: Option<u16>,
}

impl Coordinator {
    /// Takes Clients on this socket, as the driver is turned. The configuration's
    /// [second port](CoordinatorConfig::second_port) is bound beside it. `clock` is the one whose time the driver is turned
    /// with.
    pub fn start(
        mut socket: Socket,
        mut config: CoordinatorConfig,
        clock: fn() -> Instant,
    ) -> Result<(Self, Driver<conec_core::Coordinator>, Sockets), BindError> {
        let address = socket.local_addr()?;
        socket.prepare(&mut config)?;
        let second_port = config.second_port;
        let mut coordinator = conec_core::Coordinator::new(config, Identity::generate_seed()?)?;
        // Until the application asks for one.
        coordinator.ignore_events(true);
        let span = tracing::error_span!(target: LOGS, "coordinator", %address);
        let shared = Shared::new(coordinator, clock, span);
        let (driver, sockets) = Driver::new(socket, Arc::clone(&shared));
        let this = Self {
            handle: Arc::new(EndpointHandle(shared.clone())),
            shared,
            address,
            second_port,
        };
        Ok((this, driver, sockets))
    }

    /// Where it listens: the port is the actual one.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The [second port](CoordinatorConfig::second_port), if there is one: the actual one.
    pub fn second_port(&self) -> Option<u16> {
        self.second_port
    }

    /// The hash of the Coordinator's key, for [`Trust::Pin`](conec_core::Trust::Pin).
    pub fn pin(&self) -> KeyPin {
        self.core(|core| core.pin())
    }

    /// The next event, or `None` once the Coordinator has ended. The only [`Channel`](CoordinatorEvent::Channel) event is
    /// [`Closed`](conec_core::ChannelEvent::Closed), which tells that a Client is gone; what is published in groups is told by
    /// [`Subscription`]s.
    ///
    /// From the first call on, events wait for the application: when [`events`](conec_core::CoordinatorLimits::events) do, no
    /// more Clients are let in and no more channels arranged until it takes some. One whose
    /// [policies](conec_core::Policy) leave no questions need not ask for events at all: then the oldest give way, and are
    /// [counted](Self::missed_events).
    pub async fn next_event(&self) -> Option<CoordinatorEvent> {
        self.shared.wait(|state| state.next_event()).await
    }

    /// The events, as [`next_event`](Self::next_event) gives them. Keeps the Coordinator from being closed.
    pub fn events(&self) -> impl Stream<Item = CoordinatorEvent> + Send + Unpin + use<> {
        let handle = Arc::clone(&self.handle);
        Items::new(&self.shared, move |state| {
            let _keeps_open = &handle;
            state.next_event()
        })
    }

    /// How many events have given way to others before the application asked for the first.
    pub fn missed_events(&self) -> u64 {
        self.core(|core| core.missed_events())
    }

    /// Lets a Client in that [asked](CoordinatorEvent::ClientAsks), under a name of the application's choice.
    pub fn admit(&self, client: ChannelId, name: Option<Name>) -> Result<(), AnswerError> {
        self.shared
            .command(|core, now| core.admit(now, client, name))
    }

    /// Turns a Client away that [asked](CoordinatorEvent::ClientAsks); it learns the code.
    pub fn refuse(&self, client: ChannelId, code: Code) -> Result<(), AnswerError> {
        self.shared
            .command(|core, now| core.refuse(now, client, code))
    }

    /// Who may connect, and who may reach whom, at present.
    pub fn rules(&self) -> Rules {
        self.core(|core| core.rules().clone())
    }

    /// From now on, other rules count, also for what stands, as [`conec_core::Coordinator::set_rules`] has it.
    pub fn set_rules(&self, rules: Rules) {
        self.shared.command(|core, now| core.set_rules(now, rules));
    }

    /// Lets nobody in who has this key, and disconnects who has it: a rule in front of all others.
    pub fn forbid(&self, id: ClientId) {
        self.shared.command(|core, now| core.forbid(now, id));
    }

    /// Takes back what [`forbid`](Self::forbid) has added. Whether there was such a rule.
    pub fn permit(&self, id: ClientId) -> bool {
        self.shared.command(|core, _| core.permit(id))
    }

    /// The token by which somebody may connect, once, within this time, as [`conec_core::Coordinator::invite`] has it.
    pub fn invite(
        &self,
        names: impl IntoIterator<Item = Name>,
        tags: impl IntoIterator<Item = Name>,
        valid: Duration,
    ) -> Secret<Bytes> {
        self.shared
            .command(|core, now| core.invite(now, names, tags, valid))
    }

    /// Connects two Clients. Each is offered the channel and can reject it, `from` as its initiator.
    ///
    /// [`PairStarted`](CoordinatorEvent::PairStarted) or [`PairClosed`](CoordinatorEvent::PairClosed) follows.
    pub fn connect(
        &self,
        from: impl Into<Target>,
        to: impl Into<Target>,
        label: impl AsRef<[u8]>,
    ) -> Result<PairId, PairError> {
        self.shared
            .command(|core, now| core.connect(now, from, to, label.as_ref()))
    }

    /// Lets a Client have the channel that it [asked](CoordinatorEvent::PairAsks) for, if the other end wants it too.
    pub fn grant(&self, pair: PairId) -> Result<(), AnswerError> {
        self.shared.command(|core, now| core.grant(now, pair))
    }

    /// Denies a Client the channel that it [asked](CoordinatorEvent::PairAsks) for.
    pub fn deny(&self, pair: PairId) -> Result<(), AnswerError> {
        self.shared.command(|core, now| core.deny(now, pair))
    }

    /// Takes a channel from the two Clients that it connects; both learn the code.
    pub fn disconnect(&self, pair: PairId, code: Code) -> Result<(), AnswerError> {
        self.shared
            .command(|core, now| core.disconnect(now, pair, code))
    }

    /// Makes a group that stays until it is [ended](Self::end_group), with members or without. One that Clients may make by joining needs
    /// not be made.
    pub fn make_lasting_group(&self, name: Name, config: GroupConfig) -> Result<(), GroupError> {
        self.shared
            .command(|core, _| core.make_lasting_group(name, config))
    }

    /// Ends a group. Its members are told that there is [none](conec_core::ErrorCode::NotFound) of that name, and
    /// [subscriptions](Self::subscribe) end.
    pub fn end_group(&self, name: &Name) -> Result<(), GroupError> {
        let now = self.shared.now();
        self.shared.with(|state| state.end_group(now, name))
    }

    /// Publishes a message in a group, and gives its number. Members see that it is the Coordinator's application's.
    ///
    /// It never waits: in a group that [pushes back](GroupConfig::push_back) it fails with [`Blocked`](GroupError::Blocked) while the
    /// slowest member is behind.
    pub fn publish(&self, group: &Name, message: impl Into<Bytes>) -> Result<u64, GroupError> {
        let message = message.into();
        self.shared
            .command(|core, now| core.publish(now, group, message))
    }

    /// Hears what is published in a group from now on, of which so much waits to be received. Of a sealed group, that is what its members
    /// have sealed.
    ///
    /// There is one subscription to a group: another one ends this.
    pub fn subscribe(&self, group: &Name, queue: Lossy) -> Result<Subscription, GroupError> {
        let id = self.shared.with(|state| state.subscribe(group, queue))?;
        let (shared, handle) = (Arc::clone(&self.shared), Arc::clone(&self.handle));
        Ok(Subscription::new(shared, handle, group.clone(), id))
    }

    /// What is known of a group.
    pub fn group_state(&self, name: &Name) -> Option<GroupState> {
        self.core(|core| core.group_state(name))
    }

    /// The groups, page by page, as [`conec_core::Coordinator::groups`] has it.
    pub fn groups(&self, after: Option<&Name>, most: usize) -> Vec<Name> {
        self.core(|core| core.groups(after, most))
    }

    /// The members of a group, page by page, as [`conec_core::Coordinator::group_members`] has it.
    pub fn group_members(
        &self,
        name: &Name,
        after: Option<ClientId>,
        most: usize,
    ) -> Vec<GroupMember> {
        self.core(|core| core.group_members(name, after, most))
    }

    /// Sends somebody out of a group, who is told that there is [none](conec_core::ErrorCode::NotFound) of that name. Nothing keeps it
    /// from joining again but [rules](Rules). Whether it was there.
    pub fn remove_member(&self, name: &Name, id: ClientId) -> bool {
        self.shared
            .command(|core, now| core.remove_member(now, name, id))
    }

    /// Lets somebody into a group that [asked](CoordinatorEvent::MemberAsks) to be a member.
    pub fn grant_membership(&self, request: MembershipId) -> Result<(), AnswerError> {
        self.shared
            .command(|core, now| core.grant_membership(now, request))
    }

    /// Does not. It learns no more than that there is no such group that it may be in.
    pub fn deny_membership(&self, request: MembershipId) -> Result<(), AnswerError> {
        self.shared
            .command(|core, now| core.deny_membership(now, request))
    }

    /// The home channel of a connected Client, for streams between it and this application. Closing it disconnects the
    /// Client.
    pub fn channel(&self, client: ChannelId) -> Option<Channel> {
        let held = self.shared.with(|state| state.hold_client(client));
        held.then(|| Channel::new(self.shared.clone(), Arc::clone(&self.handle), client))
    }

    /// The home channel's id of a connected Client.
    pub fn find(&self, target: impl Into<Target>) -> Option<ChannelId> {
        self.core(|core| core.find(target))
    }

    /// Who is connected on this home channel, and under which name.
    pub fn client(&self, client: ChannelId) -> Option<(ClientId, Option<Name>)> {
        self.core(|core| core.client(client).map(|(id, name)| (id, name.cloned())))
    }

    /// What is known of a connected Client.
    pub fn info(&self, target: impl Into<Target>) -> Option<ClientInfo> {
        self.core(|core| core.info(target))
    }

    /// The connected Clients, page by page, as [`conec_core::Coordinator::list`] has it.
    pub fn list(&self, after: Option<ClientId>, most: usize) -> Vec<ClientInfo> {
        self.core(|core| core.list(after, most))
    }

    /// The channels between Clients, page by page, as [`conec_core::Coordinator::pairs`] has it.
    pub fn pairs(&self, after: Option<PairId>, most: usize) -> Vec<PairInfo> {
        self.core(|core| core.pairs(after, most))
    }

    /// How many Clients are connected.
    pub fn clients(&self) -> usize {
        self.core(|core| core.clients())
    }

    /// What is going on in the home channel of a connected Client.
    pub fn client_stats(&self, client: ChannelId) -> Option<ChannelStats> {
        self.shared
            .with(|state| state.endpoint_mut().channel(client)?.stats())
    }

    /// Where a Client's packets come from: the last address that it has confirmed.
    pub fn address(&self, client: ChannelId) -> Option<SocketAddr> {
        self.core(|core| core.address(client))
    }

    /// What it is a handle to, without keeping that open.
    #[cfg(feature = "metrics")]
    pub(crate) fn weak(&self) -> std::sync::Weak<Shared<conec_core::Coordinator>> {
        Arc::downgrade(&self.shared)
    }

    /// What was counted so far.
    pub fn stats(&self) -> EndpointStats {
        self.core(Endpoint::stats)
    }

    /// Takes no more Clients, lets those that are there complete what is under way, disconnects them, after `patience` in
    /// any case, and waits for the end.
    ///
    /// Dropped early, the Coordinator is being closed nonetheless.
    pub async fn close(&self, patience: Duration) {
        let now = self.shared.now();
        self.shared.with(|state| state.close(now, patience));
        self.shared.wait(|state| state.ended()).await;
    }

    /// Sends the Clients to another Coordinator, as [`conec_core::Coordinator::drain`] has it. When [`clients`](Self::clients) are none,
    /// or the deadline has passed, this one can be [closed](Self::close).
    pub fn drain(&self, drain: &Drain) {
        self.shared.command(|core, now| core.drain(now, drain));
    }

    /// The channels that were taken away and may not come back, as [`conec_core::Coordinator::revocations`] has them.
    pub fn revocations(&self) -> Vec<Revocation> {
        self.core(|core| core.revocations().collect())
    }

    fn core<T>(&self, f: impl FnOnce(&conec_core::Coordinator) -> T) -> T {
        self.shared.with(|state| f(state.endpoint()))
    }
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Coordinator({})", self.address)
    }
}
