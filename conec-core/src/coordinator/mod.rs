//! The Coordinator: admits Clients, arranges channels between them, forwards their packets.

mod broker;
mod drain;
mod draining;
mod event;
mod forward;
mod groups;
mod info;
mod names;
mod pairs;
mod place;
mod quotas;
mod refusals;
mod registry;
mod resuming;
mod ruling;
mod second_port;
mod session;
mod tickets;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

pub(crate) use self::forward::run_length;
pub use self::{
    drain::Drain,
    event::CoordinatorEvent,
    groups::GroupState,
    info::{ClientInfo, PairInfo},
};
use self::{
    drain::Draining,
    event::Events,
    forward::{Forwarder, Run},
    groups::Groups,
    pairs::Pairs,
    registry::{Member, Registry},
    session::Session,
    tickets::Tickets,
};
use crate::{
    AnswerError, Channel, ChannelEvent, ChannelId, ClientId, Code, ConfigError, CoordinatorConfig,
    Datagram, Endpoint, EndpointStats, GroupEvent, GroupId, KeyPin, Name, PairError, PairId,
    PathStats, PeerInfo, Revocation, Rules, Secret, Target, TimeoutCause, Transmit, Unreachable,
    channel::{ChannelCore, Notice},
    endpoint::sealed::Sealed,
    host::{Host, HostEvent, Role, earliest},
    transport::{Admissions, Arrival, EngineId, LinkChange},
    wire::{CoordinatorMessage, PacketKind, Route, classify},
};

/// A Coordinator: the one server that all Clients connect to.
///
/// A Client is named by its home channel, from [`ClientAsks`](CoordinatorEvent::ClientAsks) or
/// [`ClientConnected`](CoordinatorEvent::ClientConnected) until the end of that channel. To disconnect one, end its
/// home channel with [`Channel::close`] or [`Channel::abort`].
///
/// Methods that change something take effect with the next [`poll_transmit`](Endpoint::poll_transmit). Dropping a
/// Coordinator says goodbye to nobody; the Clients notice by their idle timeouts. [`close`](Endpoint::close) it first.
pub struct Coordinator {
    config: CoordinatorConfig,
    rules: Rules,
    host: Host<Session>,
    engine: EngineId,
    registry: Registry,
    pairs: Pairs,
    groups: Groups,
    tickets: Tickets,
    forwarder: Forwarder,
    /// Whose probes to the second port bear these.
    second_routes: BTreeMap<Route, ChannelId>,
    events: Events,
    closing: bool,
    draining: Option<Draining>,
    /// Whether forwarded packets or our own are sent next.
    forward_next: bool,
    /// Datagrams have come since groups were served.
    unserved: bool,
}

impl Coordinator {
    /// A Coordinator that waits for Clients. All its randomness but that of TLS comes from `seed`, which must be
    /// unpredictable outside of tests.
    pub fn new(config: CoordinatorConfig, seed: [u8; 32]) -> Result<Self, ConfigError> {
        config.validate()?;
        let limits = &config.limits;
        let mut host = Host::new(seed, config.shares(), config.unix_time);
        let admissions = Admissions {
            handshakes: limits.handshakes,
            before_retry: limits.handshakes_before_retry,
            per_network: limits.handshakes_per_network,
            links: limits.clients.saturating_add(limits.handshakes),
        };
        let (certificate, home) = (&config.certificate, &config.home);
        let transport = &mut host.transport;
        let engine = transport.listen(certificate, home, admissions, config.reset_key)?;
        Ok(Self {
            host,
            engine,
            registry: Registry::default(),
            pairs: Pairs::new(),
            groups: Groups::new(&config.limits),
            rules: config.rules(),
            tickets: Tickets::new(&config),
            forwarder: Forwarder::new(limits),
            second_routes: BTreeMap::new(),
            events: Events::new(limits.events),
            closing: false,
            draining: None,
            forward_next: false,
            unserved: false,
            config,
        })
    }

    /// The hash of the Coordinator's key, for [`Trust::Pin`](crate::Trust::Pin).
    pub fn pin(&self) -> KeyPin {
        self.config.certificate.pin()
    }

    /// Lets a Client in that [asked](CoordinatorEvent::ClientAsks), under a name of the application's choice.
    ///
    /// If another identity has the name, the Client is refused with
    /// [`NameInUse`](crate::ErrorCode::NameInUse).
    pub fn admit(
        &mut self,
        now: Instant,
        client: ChannelId,
        name: Option<Name>,
    ) -> Result<(), AnswerError> {
        self.command(now, |it, now| {
            it.within(client, |it| it.admit_asking(now, client, name))
        })
    }

    /// Turns a Client away that [asked](CoordinatorEvent::ClientAsks); it learns the code.
    pub fn refuse(
        &mut self,
        now: Instant,
        client: ChannelId,
        code: Code,
    ) -> Result<(), AnswerError> {
        self.command(now, |it, now| it.refuse_asking(now, client, code))
    }

    /// Who may connect, and who may reach whom, at present.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// From now on, other rules count, also for what stands: Clients that may not connect are disconnected, with
    /// [`Refused`](crate::ErrorCode::Refused), and channels that may not be end with it, and cannot be claimed any more. Clients keep
    /// their names until they connect again, and get the tags that the rules give them.
    pub fn set_rules(&mut self, now: Instant, rules: Rules) {
        self.command(now, |it, now| {
            it.rules = rules;
            it.apply_rules(now);
        });
    }

    /// Adds a rule in front of all others by which this key may not connect, and [applies](Self::set_rules) it.
    pub fn forbid(&mut self, now: Instant, id: ClientId) {
        self.command(now, |it, now| {
            it.rules.forbid(id);
            it.apply_rules(now);
        });
    }

    /// Takes back what [`forbid`](Self::forbid) has added. Whether there was such a rule.
    pub fn permit(&mut self, id: ClientId) -> bool {
        self.rules.permit(id)
    }

    /// Invites somebody: gives a token that lets one Client in, once, and for so long. The Client shows it as
    /// [`ClientConfig::token`](crate::ClientConfig::token), mostly from an [`Invitation`](crate::Invitation). A rule is added for it,
    /// in front of all others except those that [forbid](Self::forbid) keys.
    ///
    /// The Client gets these names, of which others see the first; without any it chooses for itself. By the tags, other
    /// [rules](Rules) know it.
    ///
    /// Who comes with it is from then on known by its key, and [`ClientJoined`](CoordinatorEvent::ClientJoined) tells. Of the token
    /// itself only a hash is kept.
    pub fn invite(
        &mut self,
        now: Instant,
        names: impl IntoIterator<Item = Name>,
        tags: impl IntoIterator<Item = Name>,
        valid: Duration,
    ) -> Secret<Bytes> {
        let (names, tags) = (names.into_iter().collect(), tags.into_iter().collect());
        self.command(now, |it, now| it.invite_somebody(now, names, tags, valid))
    }

    /// Connects two Clients. Each is offered the channel and can reject it, `from` as its initiator.
    ///
    /// [`PairStarted`](CoordinatorEvent::PairStarted) follows, or
    /// [`PairClosed`](CoordinatorEvent::PairClosed) within the timeouts of [`CoordinatorLimits`](crate::CoordinatorLimits).
    pub fn connect(
        &mut self,
        now: Instant,
        from: impl Into<Target>,
        to: impl Into<Target>,
        label: &[u8],
    ) -> Result<PairId, PairError> {
        self.command(now, |it, now| {
            it.connect_pair(now, &from.into(), &to.into(), label)
        })
    }

    /// Lets a Client have the channel that it [asked](CoordinatorEvent::PairAsks) for, if the other end wants it too; or
    /// [two others](CoordinatorEvent::IntroductionAsks), if both do.
    pub fn grant(&mut self, now: Instant, pair: PairId) -> Result<(), AnswerError> {
        self.command(now, |it, now| it.grant_pair(now, pair))
    }

    /// Denies a Client the channel that it asked for, for [itself](CoordinatorEvent::PairAsks) or for
    /// [others](CoordinatorEvent::IntroductionAsks). It learns no more than that no such
    /// Client could be found, a whole number of seconds after it has asked: after the first one, if nobody is there. An
    /// application that takes longer than a second to say no tells by that that somebody is.
    pub fn deny(&mut self, now: Instant, pair: PairId) -> Result<(), AnswerError> {
        self.command(now, |it, now| it.deny_pair(now, pair))
    }

    /// Takes a channel from the two Clients that it connects; both learn the code. It cannot be claimed with a ticket any more: see
    /// [`revocations`](Self::revocations).
    pub fn disconnect(
        &mut self,
        now: Instant,
        pair: PairId,
        code: Code,
    ) -> Result<(), AnswerError> {
        self.command(now, |it, now| it.disconnect_pair(now, pair, code))
    }

    /// Sends the Clients to another Coordinator, before this one is closed: they go over without losing their channels to each other.
    ///
    /// Nobody is let in any more, and no channels are arranged. When [`clients`](Self::clients) are none, or the
    /// [deadline](Drain::deadline) has passed, it can be [closed](Endpoint::close) at no loss. Clients that do not
    /// [reconnect](crate::ClientConfig::reconnect) stay until the deadline. A second call begins anew.
    pub fn drain(&mut self, now: Instant, drain: &Drain) {
        self.command(now, |it, now| it.begin_draining(now, drain));
    }

    /// The channels that were taken away and may not come back, neither here nor at another Coordinator with the same
    /// [ticket key](CoordinatorConfig::ticket_key). To be stored, and given to
    /// [one that is started anew](CoordinatorConfig::revocations), by who wants that to last; within two hours they are gone, with all
    /// tickets. The oldest are forgotten where they are more than channels there may be.
    pub fn revocations(&self) -> impl Iterator<Item = Revocation> {
        self.tickets.revocations()
    }

    /// The next event of those that are not about a channel's inside, and the ends of home channels.
    ///
    /// For drivers that take [channel events by themselves](Endpoint::poll_channel_event), when the application asks for an
    /// event. What nobody asks for waits, and [`events`](crate::CoordinatorLimits::events) bounds it.
    pub fn poll_application_event(&mut self) -> Option<CoordinatorEvent> {
        self.events.pop()
    }

    /// Says whether the application has no use for events. As long as it has none they hold up nothing: of those that
    /// nobody takes, the oldest give way.
    pub fn ignore_events(&mut self, ignored: bool) {
        self.events.ignore(ignored);
    }

    /// How many events have given way.
    pub fn missed_events(&self) -> u64 {
        self.events.missed()
    }

    /// The home channel of a connected Client.
    pub fn find(&self, target: impl Into<Target>) -> Option<ChannelId> {
        let id = self.registry.find(&target.into())?;
        Some(self.registry.get(id)?.session)
    }

    /// Who is connected on this home channel, and under which name.
    pub fn client(&self, client: ChannelId) -> Option<(ClientId, Option<&Name>)> {
        let (id, member) = self.member(client)?;
        Some((id, member.name.as_ref()))
    }

    /// What is known of a connected Client.
    pub fn info(&self, target: impl Into<Target>) -> Option<ClientInfo> {
        let id = self.registry.find(&target.into())?;
        Some(self.client_info(id, self.registry.get(id)?))
    }

    /// The connected Clients, so many at most of those whose ids come after this one: to be asked again, with the last one's id,
    /// until there are no more.
    pub fn list(&self, after: Option<ClientId>, most: usize) -> Vec<ClientInfo> {
        let members = self.registry.after(after).take(most);
        members
            .map(|(id, member)| self.client_info(id, member))
            .collect()
    }

    /// The channels between Clients, those being arranged included, so many at most of those that come after this one: to be asked
    /// again, with the last one, until there are no more.
    pub fn pairs(&self, after: Option<PairId>, most: usize) -> Vec<PairInfo> {
        let first = after.map_or(PairId(0), |it| PairId(it.0 + 1));
        let pairs = self.pairs.from(first).take(most);
        pairs.filter_map(|id| self.pair_info(id)).collect()
    }

    /// How many Clients are connected.
    pub fn clients(&self) -> usize {
        self.registry.len()
    }

    /// Where a Client's packets come from: the last address that it has confirmed.
    pub fn address(&self, client: ChannelId) -> Option<SocketAddr> {
        let (_, member) = self.member(client)?;
        Some(member.place.address())
    }
}

impl Sealed for Coordinator {}

impl Endpoint for Coordinator {
    type Event = CoordinatorEvent;

    fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        let (now, _) = self.begin_turn(now);
        let Datagram {
            source,
            destination_ip,
            second_port,
            ecn,
            segment_size,
            payload,
        } = datagram;
        let mut batch = self.host.batch(payload, segment_size);
        let arrival = Arrival {
            remote: Some(source),
            local_ip: destination_ip,
            ecn,
        };
        while let Some(first) = batch.first() {
            match self.destination(first, second_port) {
                Destination::Home => {
                    self.host
                        .handle_packet(now, self.engine, &arrival, &mut batch);
                }
                Destination::Client(route) => {
                    let (first, segment_size) = (first.len(), batch.segment_size);
                    let more = run_length(&batch.rest()[first..], segment_size, route);
                    let (payload, memory) = batch.take_run(first + more);
                    let run = Run {
                        source,
                        ecn,
                        segment_size,
                        payload,
                        memory,
                    };
                    self.forwarder.forward(now, route, run);
                }
                Destination::SecondPort(route) => {
                    self.second_port_heard(now, source, route, batch.take_packet());
                }
                Destination::Nobody => self.host.transport.drop_packet(&mut batch),
            }
        }
        while let Some((client, packets)) = self.forwarder.pop_throttled() {
            self.tell(client, &CoordinatorMessage::Throttled { packets });
        }
        // What is published in all datagrams of a turn goes to members together, which is less work for each message.
        self.react_to_all(now);
        self.unserved = true;
    }

    fn take_buffer(&mut self) -> Option<BytesMut> {
        self.host.take_buffer()
    }

    fn handle_timeout(&mut self, now: Instant) {
        let (now, _) = self.begin_turn(now);
        self.host.handle_timeout(now);
        while let Some(pair) = self.pairs.pop_due(now) {
            self.pair_deadline_passed(now, pair);
        }
        while let Some((client, request, code)) = self.pairs.pop_refusal(now) {
            self.open_failed(client, request, code);
        }
        self.renew_tickets(now);
        self.go_on_draining(now);
        self.settle(now);
    }

    fn handle_socket_error(&mut self) {
        self.host.stats.socket_errors += 1;
    }

    fn handle_unreachable(&mut self, _: Instant, _: SocketAddr, _: Unreachable) {}

    fn wants_unreachable(&self) -> bool {
        false
    }

    fn wants_host_addresses(&mut self) -> bool {
        false
    }

    fn handle_host_addresses(&mut self, _: Instant, _: &[SocketAddr]) {}

    fn poll_event(&mut self) -> Option<CoordinatorEvent> {
        self.settle_output();
        if let Some(event) = self.events.pop() {
            return Some(event);
        }
        if let Some((group, _)) = self.groups.poll_readable() {
            let group = group.clone();
            return Some(CoordinatorEvent::GroupReadable { group });
        }
        let (channel, event) = self.host.poll_event(ChannelCore::poll_event)?;
        Some(CoordinatorEvent::Channel { channel, event })
    }

    fn poll_channel_event(&mut self) -> Option<(ChannelId, ChannelEvent)> {
        self.settle_output();
        let (channel, event) = self.host.poll_event(ChannelCore::poll_signal)?;
        if let ChannelEvent::Closed { .. } = event {
            let event = event.clone();
            self.events
                .push(CoordinatorEvent::Channel { channel, event });
        }
        Some((channel, event))
    }

    fn poll_group_event(&mut self) -> Option<(GroupId, GroupEvent)> {
        self.settle_output();
        let (_, subscription) = self.groups.poll_readable()?;
        Some((subscription, GroupEvent::Readable))
    }

    fn has_application_events(&self) -> bool {
        self.events.len() > 0 || self.groups.has_news()
    }

    fn state_changed(&mut self) -> bool {
        false
    }

    fn poll_transmit(&mut self, now: Instant, max_segments: NonZeroUsize) -> Option<Transmit> {
        let now = self.host.advance(now);
        self.forward_next = !self.forward_next;
        if self.forward_next
            && let Some(transmit) = self.forwarder.poll_transmit(max_segments.get())
        {
            return Some(transmit);
        }
        if self.unserved {
            self.settle(now);
        }
        loop {
            if let Some((_, transmit)) = self.host.poll_transmit(now, max_segments) {
                return Some(transmit);
            }
            if !self.host.is_unsettled() && !self.groups.has_work() {
                let forwarded = self.forwarder.poll_transmit(max_segments.get());
                if forwarded.is_some() || !self.host.serve_newcomer(now) {
                    return forwarded;
                }
            }
            self.settle(now);
        }
    }

    fn poll_timeout_cause(&self) -> Option<(Instant, TimeoutCause)> {
        if self.has_application_events() || self.host.is_eventful() {
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
        let (id, name) = self.client(id)?;
        Some(PeerInfo {
            id,
            name: name.cloned(),
            label: Bytes::new(),
            certified: None,
            introducer: None,
        })
    }

    fn path_stats(&self, _: ChannelId) -> Option<PathStats> {
        None
    }

    fn channel_event(
        event: CoordinatorEvent,
    ) -> Result<(ChannelId, ChannelEvent), CoordinatorEvent> {
        match event {
            CoordinatorEvent::Channel { channel, event } => Ok((channel, event)),
            event @ (CoordinatorEvent::ClientAsks { .. }
            | CoordinatorEvent::ClientJoined { .. }
            | CoordinatorEvent::ClientConnected { .. }
            | CoordinatorEvent::PairAsks { .. }
            | CoordinatorEvent::IntroductionAsks { .. }
            | CoordinatorEvent::PairStarted { .. }
            | CoordinatorEvent::PairResumed { .. }
            | CoordinatorEvent::PairClosed { .. }
            | CoordinatorEvent::MemberAsks { .. }
            | CoordinatorEvent::GroupReadable { .. }) => Err(event),
        }
    }

    fn close(&mut self, now: Instant, patience: Duration) {
        self.command(now, |it, now| {
            it.closing = true;
            for id in it.host.ids() {
                if let Some(mut home) = it.channel(id) {
                    home.close(now, patience);
                }
            }
        });
    }

    fn is_finished(&self) -> bool {
        self.closing && self.host.is_empty()
    }

    fn stats(&self) -> EndpointStats {
        let forwarded = self.forwarder.counts();
        EndpointStats {
            datagrams_forwarded: forwarded.datagrams,
            bytes_forwarded: forwarded.bytes,
            forwards_dropped: forwarded.dropped,
            forwards_denied: forwarded.denied,
            ..self.host.stats()
        }
    }
}

impl Role for Coordinator {
    type Channel = Session;

    fn host(&self) -> &Host<Session> {
        &self.host
    }

    fn host_mut(&mut self) -> &mut Host<Session> {
        &mut self.host
    }

    fn react(&mut self, now: Instant, id: ChannelId, event: HostEvent) {
        match event {
            HostEvent::Link(change) => self.handle_link_change(now, id, change),
            HostEvent::Notice(notice) => self.handle_notice(now, id, notice),
            HostEvent::Overdue => self.session_deadline_passed(now, id),
        }
    }

    fn next_due(&self) -> Option<(Instant, TimeoutCause)> {
        let renewal = self.tickets.next_due().filter(|_| self.pairs.len() > 0);
        let drained = self.draining.as_ref().and_then(Draining::next_due);
        let next = [self.pairs.next_deadline(), renewal, drained];
        let next = next.into_iter().flatten().min();
        earliest([
            next.map(|at| (at, TimeoutCause::Pair)),
            self.groups.next_due().map(|at| (at, TimeoutCause::Group)),
        ])
    }

    fn has_output(&self) -> bool {
        !self.forwarder.is_idle() || self.groups.has_work()
    }

    fn settled(&mut self, now: Instant) {
        self.unserved = false;
        self.serve_groups(now);
    }
}

/// Where a datagram belongs.
enum Destination {
    /// To a home channel, or to one that is to be.
    Home,
    /// To the Client at the end of a peer channel with this route.
    Client(Route),
    /// It is a probe, which says how a Client's NAT maps.
    SecondPort(Route),
    Nobody,
}

impl Coordinator {
    fn destination(&self, packet: &[u8], second_port: bool) -> Destination {
        let kind = classify(packet);
        // Probes to the second port, and nothing else there: others go directly or not at all.
        if second_port != matches!(kind, PacketKind::Probe(_)) {
            return Destination::Nobody;
        }
        match kind {
            PacketKind::Short(Some(route)) | PacketKind::Long(Some(route))
                if self.forwarder.knows(route) =>
            {
                Destination::Client(route)
            }
            // A straggler of a channel that is over. An answer would be taken for the other end's.
            PacketKind::Long(Some(_)) | PacketKind::Short(Some(_)) => Destination::Nobody,
            PacketKind::Probe(route) => Destination::SecondPort(route),
            PacketKind::Other => Destination::Nobody,
            PacketKind::Long(None) | PacketKind::Short(None) => Destination::Home,
        }
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(crate) fn entries(&self) -> usize {
        let tables = self.registry.entries() + self.pairs.entries() + self.second_routes.len();
        let tables = tables + self.groups.entries();
        tables + self.events.len() + self.forwarder.entries() + self.host.entries()
    }

    /// The Client that has this home channel.
    fn member(&self, session: ChannelId) -> Option<(ClientId, &Member)> {
        let id = self.host.get(session)?.role.admitted()?;
        let member = self.registry.get(id)?;
        (member.session == session).then_some((id, member))
    }

    /// Whether nobody is let in any more, and nothing arranged.
    fn is_stopping(&self) -> bool {
        self.closing || self.draining.is_some()
    }

    /// Whether so many events wait that nothing may begin which leads to more.
    fn is_lagging(&self) -> bool {
        self.events.is_full()
    }

    fn handle_link_change(&mut self, now: Instant, id: ChannelId, change: LinkChange) {
        match change {
            LinkChange::Accepted => self.session_accepted(now, id),
            LinkChange::Connected { identity, at } => {
                self.session_connected(now, id, identity, &at);
            }
            LinkChange::Moved(address) => self.session_moved(id, address),
            LinkChange::Silent | LinkChange::Audible => {}
            LinkChange::Closed(reason) => self.host.abandon(id, reason),
        }
    }

    fn handle_notice(&mut self, now: Instant, id: ChannelId, notice: Notice) {
        match notice {
            Notice::Control(payload) => self.session_control(now, id, payload),
            Notice::Stream(stream, told) => self.group_notice(now, stream, told),
            // The Client's own business: it lets go of its channels by itself.
            Notice::Closing | Notice::GivenUp => {}
            // Memberships are for Clients to open.
            Notice::StreamsAvailable => {}
            Notice::Ended(reason) => self.session_ended(now, id, reason),
        }
    }
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coordinator")
            .field("clients", &self.registry.len())
            .finish_non_exhaustive()
    }
}
