//! The Client: its home channel, and its channels with other Clients.

mod event;
mod groups;
mod home;
mod introducing;
mod nat;
mod path;
mod peer;
mod race;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    net::SocketAddr,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use bytes::BytesMut;

pub use self::{
    event::ClientEvent,
    groups::{Group, GroupEvent, GroupInfo},
    home::ClientState,
    nat::Nat,
};
use self::{
    groups::Groups,
    home::{Home, Watch},
    introducing::Introductions,
    nat::Mapping,
    path::Paths,
    peer::{Asks, Peer},
};
use crate::{
    AnswerError, Channel, ChannelEvent, ChannelId, ClientConfig, ClientId, CloseReason, Code,
    ConfigError, ConnectError, Datagram, Endpoint, EndpointStats, GroupId, IntroduceError,
    IntroductionId, JoinConfig, JoinError, KnownClients, Name, OpenChannelError, PathPolicy,
    PathStats, PeerInfo, Target, TimeoutCause, Transmit, Unreachable,
    channel::{ChannelCore, Notice},
    endpoint::sealed::Sealed,
    error::WireCode,
    host::{Host, HostEvent, Role, earliest},
    transport::{Arrival, EngineId, HomeTls, LinkChange, VIRTUAL},
    wire::{NO_INSTANCE, PacketKind, Route, classify},
};

/// A Client: connects to one Coordinator, and through it to other Clients.
///
/// Methods that change something take effect with the next [`poll_transmit`](Endpoint::poll_transmit). Dropping a
/// Client says goodbye to nobody; the others notice by their idle timeouts. [`close`](Endpoint::close) it first.
pub struct Client {
    config: ClientConfig,
    tls: HomeTls,
    /// Of each channel, what is known of it besides: nothing, of the home channel.
    host: Host<Option<Peer>>,
    home: Home,
    /// The state that a driver knows of.
    known_state: ClientState,
    watch: Watch,
    /// Peer channels by the route of this Client's end.
    routes: BTreeMap<Route, (ChannelId, Option<EngineId>)>,
    paths: Paths,
    mapping: Mapping,
    asks: Asks,
    /// Whose which name is.
    known: Option<KnownClients>,
    introductions: Introductions,
    groups: Groups,
    events: VecDeque<ClientEvent>,
    /// Channels that others want, of which the application has not heard.
    offers: BTreeSet<ChannelId>,
}

impl Client {
    /// A Client that does nothing yet. All its randomness but that of TLS comes from `seed`, which must be unpredictable
    /// outside of tests.
    pub fn new(config: ClientConfig, seed: [u8; 32]) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut config = config.fit_link();
        let tls = HomeTls::new(&config.identity, &config.trust, &config.home)?;
        let mut host = Host::new(seed, config.shares(), config.unix_time);
        Ok(Self {
            tls,
            home: Home::new(match config.reconnect {
                true => host.random().max(1),
                false => NO_INSTANCE,
            }),
            host,
            known_state: ClientState::Unused,
            watch: Watch::default(),
            routes: BTreeMap::new(),
            paths: Paths::new(&config.limits),
            mapping: Mapping::default(),
            asks: Asks::new(),
            known: config.known.take(),
            introductions: Introductions::new(),
            groups: Groups::default(),
            events: VecDeque::new(),
            offers: BTreeSet::new(),
            config,
        })
    }

    /// Connects to the Coordinator at whichever of these addresses leads to it first.
    ///
    /// They are raced (RFC 8305): every 250 ms, or as soon as one has failed, the next one is tried, of IPv6 and IPv4 in
    /// turn, beginning with the first that is given. Those that were tried before are tried on, until one is connected or
    /// the [handshake timeout](crate::ClientLimits::handshake_timeout) is over, which is for all of them together and long enough
    /// for each to get its turn. An IPv4 address that is written as an IPv6 one (`::ffff:192.0.2.1`) is taken as what it is;
    /// one that is given twice is tried once; of more than 16, the first are tried.
    ///
    /// `host_name` is what the Coordinator's certificate is checked against, unless its key is pinned.
    ///
    /// [`ClientEvent::Connected`] follows, within the handshake and hello timeouts of [`ClientLimits`](crate::ClientLimits) after one of
    /// them is connected, or the end of [`ChannelId::HOME`]. Why that is:
    ///
    /// * [`Identity`](CloseReason::Identity), at once, if a server at one of the addresses does not prove to be the
    ///   Coordinator: to try others would only hide it.
    /// * [`Signer`](CloseReason::Signer), at once, if the Client's [own](crate::Signer) has failed.
    /// * [`Unreachable`](CloseReason::Unreachable), as soon as it is known of all addresses. It takes a
    ///   [driver](Endpoint::handle_unreachable) that asks the system; those of this project do. That nothing listens at an
    ///   address is told within a second where the system hears of it.
    /// * [`TimedOut`](CloseReason::TimedOut) if there was no answer to the end.
    /// * Otherwise what the Coordinator has answered.
    ///
    /// Where addresses differ, the one reason is told that says most of the Coordinator.
    pub fn connect(
        &mut self,
        now: Instant,
        host_name: &str,
        addresses: &[SocketAddr],
    ) -> Result<(), ConnectError> {
        self.connect_to_any(now, &[(host_name, addresses)])
    }

    /// Connects to whichever of several Coordinators leads to itself first, which are at these addresses under these host names. They
    /// are raced together, as the addresses of [one](Self::connect) are, and they have to be the same to everybody: with the same
    /// [ticket key](crate::CoordinatorConfig::ticket_key), so that channels go on when a Client has to go over to another.
    pub fn connect_to_any(
        &mut self,
        now: Instant,
        places: &[(&str, &[SocketAddr])],
    ) -> Result<(), ConnectError> {
        self.command(now, |it, now| it.begin_connecting(now, places))
    }

    /// This Client's identity.
    pub fn id(&self) -> ClientId {
        self.config.identity.id()
    }

    /// The name that the Coordinator has granted.
    pub fn name(&self) -> Option<&Name> {
        self.home.name()
    }

    /// Where this Client's packets come from, as the Coordinator sees it.
    pub fn observed_address(&self) -> Option<SocketAddr> {
        self.home.observed()
    }

    /// From now on, looks for the Coordinator, or for another one with the same [ticket key](crate::CoordinatorConfig::ticket_key), at these
    /// addresses under these host names, instead of those that were given before: to name several, or what was looked up anew.
    /// They are [raced](Self::connect_to_any) together, and with those that a Coordinator has named when it was
    /// [drained](crate::Drain::alternatives). An attempt that is under way goes on, and tries them too.
    pub fn set_coordinators(
        &mut self,
        now: Instant,
        places: &[(&str, &[SocketAddr])],
    ) -> Result<(), ConnectError> {
        self.command(now, |it, now| it.look_for_coordinator(now, places))
    }

    /// The home channel: the one that there is, or, while the Client connects, the one that is to be. At first that is
    /// [`ChannelId::HOME`], and another one after each [`Reconnecting`](ClientEvent::Reconnecting), as the streams of a home channel end with
    /// it.
    pub fn home(&self) -> ChannelId {
        self.home.id
    }

    /// How this Client and its Coordinator stand to each other.
    pub fn state(&self) -> ClientState {
        self.home.state()
    }

    /// Whether the Coordinator has admitted this Client, and the home channel stands.
    pub fn is_connected(&self) -> bool {
        self.home.is_ready()
    }

    /// Asks for a channel to another Client, under a label of at most 255 bytes.
    ///
    /// [`ChannelEvent::Opened`] follows, or [`ChannelEvent::Closed`] within the timeouts of
    /// [`ClientLimits`](crate::ClientLimits). Of many channels that are asked for at once, the first 128 are at first, and
    /// others as those are answered; after 256, 50 a second. The rest waits for that, and of more than 256 that wait it is said
    /// that they come [too fast](OpenChannelError::TooFast).
    pub fn open_channel(
        &mut self,
        now: Instant,
        target: impl Into<Target>,
        label: &[u8],
    ) -> Result<ChannelId, OpenChannelError> {
        self.open_channel_with(now, target, label, self.config.paths.policy)
    }

    /// Like [`open_channel`](Self::open_channel), with a policy for what this channel's packets may travel on.
    pub fn open_channel_with(
        &mut self,
        now: Instant,
        target: impl Into<Target>,
        label: &[u8],
        policy: PathPolicy,
    ) -> Result<ChannelId, OpenChannelError> {
        self.command(now, |it, now| {
            it.request_channel(now, target.into(), label, policy)
        })
    }

    /// Asks for a channel between two others, or between a third and this Client itself, under a label of at most 255 bytes.
    ///
    /// Both are offered it, `from` as its initiator, learn [who has introduced them](crate::PeerInfo::introducer), and decide. It is theirs
    /// alone: this Client is no end of it. The Coordinator has to let this Client introduce others, which by default it does not, and
    /// `from` reach `to`: its [`Rules`](crate::Rules) say whom it lets.
    ///
    /// [`ClientEvent::Introduced`] follows when both have accepted, or [`ClientEvent::IntroductionFailed`]: with the code of who has rejected
    /// it; with [`NotFound`](crate::ErrorCode::NotFound) where one is not there, or that may not be; within the timeouts of
    /// [`ClientLimits`](crate::ClientLimits) in any case. Channels and introductions that this Client asks for wait for the same
    /// [turns](Self::open_channel). What is asked for counts among this Client's channels at the Coordinator, for as long as it stands, and
    /// among those that others ask the two for. While the Client is not connected, nothing is asked for, and when the home channel is
    /// lost, what was asked for is not asked for again.
    ///
    /// ```
    /// # use conec_core::{Client, ClientEvent, ClientId, Endpoint, IntroduceError};
    /// # use std::time::Instant;
    /// fn connect_others(client: &mut Client, now: Instant, alice: ClientId, bob: ClientId) -> Result<(), IntroduceError> {
    ///     let introduction = client.introduce(now, alice, bob, b"chat")?;
    ///     println!("{introduction:?} is under way");
    ///     Ok(())
    /// }
    ///
    /// fn tell(event: &ClientEvent) {
    ///     match event {
    ///         ClientEvent::Introduced { introduction } => println!("{introduction:?}: they talk"),
    ///         ClientEvent::IntroductionFailed { introduction, reason } => println!("{introduction:?}: {reason}"),
    ///         _ => {}
    ///     }
    /// }
    /// ```
    pub fn introduce(
        &mut self,
        now: Instant,
        from: impl Into<Target>,
        to: impl Into<Target>,
        label: &[u8],
    ) -> Result<IntroductionId, IntroduceError> {
        self.command(now, |it, now| {
            it.request_introduction(now, from.into(), to.into(), label)
        })
    }

    /// What has become of an introduction, once that is known: told once, here or by an event.
    ///
    /// For drivers that take [channel events by themselves](Endpoint::poll_channel_event).
    pub fn poll_introduction(&mut self, id: IntroductionId) -> Option<Result<(), CloseReason>> {
        self.introductions.take(id)
    }

    /// Nobody wants to know any more what becomes of an introduction. If it waits for its turn, it is not asked for; otherwise it goes
    /// its way.
    pub fn ignore_introduction(&mut self, id: IntroductionId) {
        self.forget_introduction(id);
    }

    /// Becomes a member of the group of this name at the Coordinator, which is made where there is none, if this Client may.
    ///
    /// [`GroupEvent::Readable`] follows when it has [joined](crate::GroupItem::Joined), and otherwise [`GroupEvent::Ended`], which says
    /// why. It need not be connected yet. It stays a member until it [leaves](Group::leave), and when it has lost its home channel and has
    /// another, it joins again and goes on where it was: what it has missed meanwhile and the group [keeps](crate::GroupConfig::history)
    /// it hears, and is told how much else [there was](crate::Joined::missed).
    ///
    /// What members publish, the Coordinator brings into one order, and all hear it in that. It can read it, if it is not
    /// [sealed](JoinConfig::sealed). A membership takes one of the [streams](crate::ChannelConfig::bi_streams) that the Coordinator
    /// allows.
    ///
    /// ```
    /// use conec_core::{Client, GroupId, GroupItem, JoinConfig, JoinError};
    ///
    /// fn enter(client: &mut Client, now: std::time::Instant) -> Result<GroupId, JoinError> {
    ///     let name = "lobby".parse().expect("it is a name");
    ///     client.join(now, name, JoinConfig::default())
    /// }
    ///
    /// /// On `Readable`.
    /// fn hear(client: &mut Client, group: GroupId) {
    ///     while let Some(item) = client.group(group).recv() {
    ///         match item {
    ///             GroupItem::Message(message) => println!("{}: {:?}", message.sequence, message.payload),
    ///             GroupItem::Lagged(missing) => println!("{missing} messages are missing"),
    ///             other => println!("{other:?}"),
    ///         }
    ///     }
    /// }
    /// ```
    pub fn join(
        &mut self,
        now: Instant,
        group: Name,
        config: JoinConfig,
    ) -> Result<GroupId, JoinError> {
        self.command(now, |it, _| it.begin_membership(group, config))
    }

    /// Access to a membership. One that is unknown or over says so when it is used.
    pub fn group(&mut self, id: GroupId) -> Group<'_> {
        Group { client: self, id }
    }

    /// Accepts an [offered](ClientEvent::Offered) channel. [`ChannelEvent::Opened`] or [`ChannelEvent::Closed`] follows.
    pub fn accept(&mut self, now: Instant, id: ChannelId) -> Result<(), AnswerError> {
        self.accept_with(now, id, self.config.paths.policy)
    }

    /// Like [`accept`](Self::accept), with a policy for what this channel's packets may travel on.
    pub fn accept_with(
        &mut self,
        now: Instant,
        id: ChannelId,
        policy: PathPolicy,
    ) -> Result<(), AnswerError> {
        self.command(now, |it, now| {
            it.answerable(id)?;
            it.within(id, |it| it.accept_offer(now, id, policy));
            Ok(())
        })
    }

    /// Rejects an [offered](ClientEvent::Offered) channel; the other end learns the code. [`ChannelEvent::Closed`]
    /// follows.
    pub fn reject(&mut self, now: Instant, id: ChannelId, code: Code) -> Result<(), AnswerError> {
        self.command(now, |it, now| {
            it.answerable(id)?;
            it.end_peer(
                now,
                id,
                CloseReason::Local,
                Some(WireCode::Application(code)),
            );
            Ok(())
        })
    }

    /// The next channel that another Client, or the Coordinator on its own account, wants with this one: to be
    /// [accepted](Self::accept) or [rejected](Self::reject), or open already where it was accepted
    /// [automatically](ClientConfig::auto_accept).
    ///
    /// For drivers that take [channel events by themselves](Endpoint::poll_channel_event). Others are told by
    /// [`Offered`](ClientEvent::Offered). An offer that is withdrawn before it was taken is never seen.
    pub fn poll_offer(&mut self) -> Option<ChannelId> {
        let id = self.offers.pop_first()?;
        self.host.let_through(id);
        Some(id)
    }

    /// Whose which name is, as far as this Client knows, and has learned. `None` where it was [not configured](ClientConfig::known) to.
    pub fn known(&self) -> Option<&KnownClients> {
        self.known.as_ref()
    }

    /// The same, to forget names, or to give them other keys. It holds for channels that are set up from now on.
    pub fn known_mut(&mut self) -> Option<&mut KnownClients> {
        self.known.as_mut()
    }

    /// Tells the Client at which other addresses it can be reached, such as that of a port which a router forwards,
    /// instead of those it was told before.
    ///
    /// Where a [`PathPolicy`] allows direct paths, other ends are told them first of all, within 5 seconds on channels
    /// that stand. Only the first 64 are looked at, and 12 addresses of all kinds told.
    pub fn set_mapped_addresses(&mut self, now: Instant, addresses: &[SocketAddr]) {
        self.command(now, |it, now| it.set_mapped(now, addresses));
    }

    /// Ends all channels at once and tells the other sides this code.
    pub fn abort(&mut self, now: Instant, code: Code) {
        self.end_introductions(CloseReason::Local);
        self.leave_groups();
        // The home channel is the way to all others: they end before it does.
        let home = self.home.id;
        let mut ids = self.host.ids();
        ids.sort_by_key(|&id| id == home);
        for id in ids {
            self.command(now, |it, now| {
                if let Some(mut channel) = it.channel(id) {
                    channel.abort(now, code);
                }
            });
        }
    }
}

impl Sealed for Client {}

impl Endpoint for Client {
    type Event = ClientEvent;

    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        let now = self.turn(now);
        let Datagram {
            source,
            destination_ip: _,
            second_port: _,
            ecn,
            segment_size,
            payload,
        } = datagram;
        let mut batch = self.host.batch(payload, segment_size);
        let at_home = Arrival {
            remote: Some(source),
            local_ip: None,
            ecn,
        };
        let on_any_path = Arrival {
            remote: None,
            ..at_home
        };
        let from_home = self.home.is_at(source);
        let mut forwarded = false;
        while let Some(packet) = batch.first() {
            let len = packet.len();
            match self.destination(packet, from_home) {
                Destination::Home(engine) => {
                    self.host.handle_packet(now, engine, &at_home, &mut batch);
                }
                Destination::Peer(id, engine) => {
                    let arrival = &on_any_path;
                    self.host.handle_packet(now, engine, arrival, &mut batch);
                    self.path_heard(now, id, from_home, len);
                    forwarded = from_home;
                }
                Destination::Path(route) => {
                    self.handle_probe(now, source, route, batch.take_packet());
                }
                Destination::Nobody => self.host.transport.drop_packet(&mut batch),
            }
        }
        if forwarded && self.config.reconnect {
            self.watch.heard(now);
        }
        self.settle(now);
    }

    fn take_buffer(&mut self) -> Option<BytesMut> {
        self.host.take_buffer()
    }

    fn handle_timeout(&mut self, now: Instant) {
        let now = self.turn(now);
        self.host.handle_timeout(now);
        while let Some(id) = self.paths.pop_due(now) {
            self.path_due(now, id);
        }
        if self.watch.is_time_to_ask(now) {
            self.ping_home();
        }
        self.ask_second_port(now);
        if self.asks.next_due().is_some_and(|due| due <= now) {
            self.ask(now);
        }
        self.end_late_introductions(now);
        self.settle(now);
    }

    fn handle_socket_error(&mut self) {
        self.host.stats.socket_errors += 1;
        if let Some(now) = self.host.now() {
            self.paths.hosts_in_doubt(now);
        }
    }

    fn handle_unreachable(&mut self, now: Instant, destination: SocketAddr, reason: Unreachable) {
        self.command(now, |it, now| {
            it.address_unreachable(now, destination, reason);
        });
    }

    fn wants_unreachable(&self) -> bool {
        self.home.race().is_some()
    }

    fn wants_host_addresses(&mut self) -> bool {
        let now = self.host.now();
        now.is_some_and(|now| self.paths.wants_host_addresses(now))
    }

    fn handle_host_addresses(&mut self, now: Instant, addresses: &[SocketAddr]) {
        self.command(now, |it, now| it.set_hosts(now, addresses));
    }

    fn poll_event(&mut self) -> Option<ClientEvent> {
        self.settle_output();
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        if let Some(event) = self.known.as_mut().and_then(known_event) {
            return Some(event);
        }
        if let Some((introduction, outcome)) = self.introductions.pop() {
            return Some(match outcome {
                Ok(()) => ClientEvent::Introduced { introduction },
                Err(reason) => ClientEvent::IntroductionFailed {
                    introduction,
                    reason,
                },
            });
        }
        if let Some((group, event)) = self.groups.poll_event() {
            return Some(ClientEvent::Group { group, event });
        }
        while let Some(id) = self.poll_offer() {
            if let Some(offered) = self.offer(id) {
                return Some(offered);
            }
        }
        let (channel, event) = self.next_channel_event(ChannelCore::poll_event)?;
        Some(ClientEvent::Channel { channel, event })
    }

    fn poll_channel_event(&mut self) -> Option<(ChannelId, ChannelEvent)> {
        self.settle_output();
        self.next_channel_event(ChannelCore::poll_signal)
    }

    fn poll_group_event(&mut self) -> Option<(GroupId, GroupEvent)> {
        self.settle_output();
        self.groups.poll_signal()
    }

    fn has_application_events(&self) -> bool {
        !self.offers.is_empty() || self.introductions.has_news() || self.groups.has_news()
    }

    fn state_changed(&mut self) -> bool {
        let has_news = self.known.as_mut().is_some_and(KnownClients::take_news);
        let state = self.home.state();
        std::mem::replace(&mut self.known_state, state) != state || has_news
    }

    fn poll_transmit(&mut self, now: Instant, max_segments: NonZeroUsize) -> Option<Transmit> {
        let now = self.host.advance(now);
        loop {
            if let Some(transmit) = self.paths.poll_transmit() {
                return Some(transmit);
            }
            let Some((from, transmit)) = self.host.poll_transmit(now, max_segments) else {
                if !self.host.is_unsettled() {
                    self.rearm_paths(now);
                    return None;
                }
                self.settle(now);
                continue;
            };
            // A peer channel's packets have no address of their own.
            if transmit.destination != VIRTUAL {
                return Some(transmit);
            }
            if let Some(transmit) = self.send_on_path(now, from, transmit) {
                return Some(transmit);
            }
        }
    }

    fn poll_timeout_cause(&self) -> Option<(Instant, TimeoutCause)> {
        let has_names = self.known.as_ref().is_some_and(KnownClients::is_eventful);
        if !self.events.is_empty()
            || has_names
            || self.has_application_events()
            || self.host.is_eventful()
        {
            return Some((self.host.now()?, TimeoutCause::Events));
        }
        self.wakeup()
    }

    fn poll_wakeup(&self) -> Option<Instant> {
        self.wakeup().map(|(at, _)| at)
    }

    fn channel(&mut self, id: ChannelId) -> Option<Channel<'_>> {
        self.host.channel(id)
    }

    fn peer(&self, id: ChannelId) -> Option<PeerInfo> {
        self.host.get(id)?.role.as_ref()?.info()
    }

    fn path_stats(&self, id: ChannelId) -> Option<PathStats> {
        self.host.get(id)?.role.as_ref()?;
        Some(self.paths.stats(id, self.host.peek(id)?))
    }

    fn channel_event(event: ClientEvent) -> Result<(ChannelId, ChannelEvent), ClientEvent> {
        match event {
            ClientEvent::Channel { channel, event } => Ok((channel, event)),
            event @ (ClientEvent::Connected { .. }
            | ClientEvent::Reconnecting { .. }
            | ClientEvent::Draining
            | ClientEvent::AddressObserved { .. }
            | ClientEvent::Throttled { .. }
            | ClientEvent::Offered { .. }
            | ClientEvent::Learned { .. }
            | ClientEvent::NotLearned { .. }
            | ClientEvent::KeyChanged { .. }
            | ClientEvent::Introduced { .. }
            | ClientEvent::IntroductionFailed { .. }
            | ClientEvent::Group { .. }) => Err(event),
        }
    }

    fn close(&mut self, now: Instant, patience: Duration) {
        self.command(now, |it, now| {
            it.end_introductions(CloseReason::Local);
            it.leave_groups();
            it.close_peers(now, patience);
            if let Some(mut home) = it.channel(it.home.id) {
                home.close(now, patience);
            }
        });
    }

    fn is_finished(&self) -> bool {
        self.home.has_ended() && self.host.is_empty()
    }

    fn stats(&self) -> EndpointStats {
        self.host.stats()
    }
}

impl Role for Client {
    type Channel = Option<Peer>;

    fn host(&self) -> &Host<Option<Peer>> {
        &self.host
    }

    fn host_mut(&mut self) -> &mut Host<Option<Peer>> {
        &mut self.host
    }

    fn react(&mut self, now: Instant, id: ChannelId, event: HostEvent) {
        match event {
            HostEvent::Link(change) => self.handle_link_change(now, id, change),
            HostEvent::Notice(Notice::Stream(stream, told)) => self.group_notice(stream, told),
            HostEvent::Notice(notice) if id == self.home.id => self.home_notice(now, notice),
            HostEvent::Notice(notice) => self.peer_notice(now, id, notice),
            HostEvent::Overdue => {
                tracing::debug!("not set up in time");
                if id == self.home.id {
                    self.home_deadline_passed(now);
                } else {
                    self.peer_deadline_passed(now, id);
                }
            }
        }
    }

    fn settled(&mut self, now: Instant) {
        self.settle_groups();
        self.forget_former();
        self.forget_paths();
        self.rearm_paths(now);
    }

    fn next_due(&self) -> Option<(Instant, TimeoutCause)> {
        let (path, port) = (self.paths.next_timeout(), self.mapping.next_due());
        earliest([
            self.asks.next_due().map(|at| (at, TimeoutCause::Setup)),
            self.introductions
                .next_due()
                .map(|at| (at, TimeoutCause::Setup)),
            path.map(|at| (at, TimeoutCause::Path)),
            self.watch
                .next_due()
                .map(|at| (at, TimeoutCause::Connection)),
            port.map(|at| (at, TimeoutCause::SecondPort)),
        ])
    }

    fn has_output(&self) -> bool {
        self.paths.has_output() || self.home_ends_next()
    }
}

/// Where a datagram belongs.
enum Destination {
    /// To the Coordinator's side.
    Home(EngineId),
    Peer(ChannelId, EngineId),
    /// It is a probe, for the path of the channel with this route.
    Path(Route),
    Nobody,
}

impl Client {
    fn destination(&self, packet: &[u8], from_home: bool) -> Destination {
        let home = || {
            self.home
                .engine
                .map_or(Destination::Nobody, Destination::Home)
        };
        let peer = |route| {
            let (id, engine) = match self.routes.get(&route) {
                Some(&(id, engine)) => (id, engine?),
                None => self.paths.leaving(route)?,
            };
            Some(Destination::Peer(id, engine))
        };
        match classify(packet) {
            PacketKind::Long(Some(_)) if !from_home => Destination::Nobody,
            PacketKind::Long(Some(route)) => peer(route).unwrap_or(Destination::Nobody),
            // A stateless reset looks as if it were going anywhere.
            PacketKind::Short(Some(route)) => peer(route).unwrap_or_else(home),
            PacketKind::Long(None) | PacketKind::Short(None) => home(),
            PacketKind::Probe(route) => Destination::Path(route),
            PacketKind::Other => Destination::Nobody,
        }
    }

    fn next_channel_event(
        &mut self,
        poll: fn(&mut ChannelCore) -> Option<ChannelEvent>,
    ) -> Option<(ChannelId, ChannelEvent)> {
        self.host.poll_event(poll).or_else(|| {
            // The home channel's end is the last event of all.
            self.end_home_when_alone();
            self.settle_output();
            self.host.poll_event(poll)
        })
    }

    /// The driver's turn begins, perhaps after a long time.
    fn turn(&mut self, now: Instant) -> Instant {
        let (now, overslept) = self.begin_turn(now);
        if overslept {
            self.paths.hosts_in_doubt(now);
        }
        self.paths.awake(now);
        now
    }

    fn handle_link_change(&mut self, now: Instant, id: ChannelId, change: LinkChange) {
        match change {
            LinkChange::Accepted | LinkChange::Moved(_) => {}
            LinkChange::Connected { identity, at: _ } => match self.host.get(id) {
                Some(_) => self.peer_connected(now, id, identity),
                None => self.attempt_connected(now, id),
            },
            LinkChange::Silent => {
                self.paths.hosts_in_doubt(now);
                if id == self.home.id {
                    self.home_silent(now);
                } else if self.host.get(id).is_some() {
                    // Perhaps a NAT on the way has moved us, which only the Coordinator can notice.
                    self.ping_home();
                    self.path_silent(now, id);
                }
            }
            LinkChange::Audible => {
                if id == self.home.id {
                    self.home_audible(now);
                }
                self.path_heard_again(now, id);
            }
            LinkChange::Closed(reason) if id == self.home.id => self.home_lost(now, reason),
            LinkChange::Closed(reason) if self.host.get(id).is_some() => {
                self.host.abandon(id, reason);
            }
            LinkChange::Closed(reason) => self.attempt_failed(now, id, reason),
        }
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(crate) fn entries(&self) -> usize {
        let tables = self.routes.len() + self.asks.entries() + self.paths.entries();
        let tables = tables + self.introductions.entries() + self.groups.entries();
        tables + self.events.len() + self.offers.len() + self.host.entries()
    }
}

/// The next thing to tell about names.
fn known_event(known: &mut KnownClients) -> Option<ClientEvent> {
    if let Some((name, id)) = known.poll_learned() {
        return Some(ClientEvent::Learned { name, id });
    }
    let (change, channel) = known.poll_key_change()?;
    Some(ClientEvent::KeyChanged { channel, change })
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id())
            .field("home", &self.home)
            .field("channels", &self.host.len())
            .finish_non_exhaustive()
    }
}
