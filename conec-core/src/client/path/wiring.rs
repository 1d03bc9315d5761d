//! Between the paths and the Client: what happens to it, and what they want of it.

use std::{net::SocketAddr, time::Instant};

use bytes::BytesMut;

use super::{
    Entry, Required, canonical,
    peer_path::{Action, Context, PeerPath, Way},
};
use crate::{
    ChannelId, CloseReason, ErrorCode, Path, Traffic, Transmit, Violation,
    client::Client,
    host::Role,
    wire::{
        Generation, PROBE_LABEL, PROBE_SECRET_LEN, PeerMessage, ProbeKeys, Role as EndRole,
        RoleMessage, Route,
    },
};

impl Client {
    pub(in crate::client) fn set_hosts(&mut self, now: Instant, addresses: &[SocketAddr]) {
        let addresses = addresses.iter().take(MAX_OWN_ADDRESSES);
        let hosts: Vec<_> = addresses.map(|&it| canonical(it)).collect();
        // Mostly it is asked for in vain.
        if hosts != self.paths.surroundings.hosts {
            tracing::debug!(?hosts, "own addresses");
            self.paths.surroundings.hosts = hosts;
            self.surroundings_changed(now);
        }
    }

    pub(in crate::client) fn set_mapped(&mut self, now: Instant, addresses: &[SocketAddr]) {
        let addresses = addresses.iter().take(MAX_OWN_ADDRESSES);
        self.paths.surroundings.mapped = addresses.map(|&it| canonical(it)).collect();
        self.surroundings_changed(now);
    }

    /// The Client is somewhere else, or is seen somewhere else.
    pub(in crate::client) fn surroundings_changed(&mut self, now: Instant) {
        self.paths.surroundings.observed = self.home.observed().map(canonical);
        self.paths.surroundings.coordinator = self.home.address.map(canonical);
        let channels: Vec<_> = self.paths.table.keys().copied().collect();
        for id in channels {
            self.with_path(now, id, |path, context| path.surroundings_changed(context));
        }
    }

    /// Both ends are ready for direct paths, and the channel is bound.
    pub(in crate::client) fn start_path(
        &mut self,
        now: Instant,
        id: ChannelId,
        role: EndRole,
        (peer_route, neighbour): (Route, bool),
        required: Option<Required>,
    ) {
        let secret = self
            .host
            .peek(id)
            .and_then(|link| link.export_secret::<PROBE_SECRET_LEN>(PROBE_LABEL));
        let Some(secret) = secret else {
            tracing::debug!("no keys for probes");
            return;
        };
        let keys = ProbeKeys::new(&secret, role);
        let initiator = role == EndRole::Initiator;
        let entry = Entry {
            path: PeerPath::new(
                (peer_route, neighbour),
                keys,
                initiator,
                required,
                self.paths.budget.share(),
            ),
            armed: None,
            is_early: false,
            direct: Traffic::default(),
            copied: Traffic::default(),
            changes: 0,
        };
        self.paths.table.insert(id, entry);
        self.with_path(now, id, PeerPath::start);
    }

    /// The Coordinator says whether the other end is a neighbour.
    pub(in crate::client) fn path_to_neighbour(
        &mut self,
        now: Instant,
        id: ChannelId,
        neighbour: bool,
    ) {
        self.with_path(now, id, |path, context| {
            path.set_neighbour(context, neighbour);
        });
    }

    /// The other end says where it may be reached. `None` if it was not asked to.
    pub(in crate::client) fn peer_candidates(
        &mut self,
        now: Instant,
        id: ChannelId,
        generation: Generation,
        addresses: Vec<SocketAddr>,
    ) -> Result<(), Violation> {
        self.with_path(now, id, |path, context| {
            path.peer_candidates(context, generation, addresses)
        })
        .unwrap_or(Err(Violation::Unexpected))
    }

    pub(in crate::client) fn handle_probe(
        &mut self,
        now: Instant,
        source: SocketAddr,
        route: Route,
        mut packet: BytesMut,
    ) {
        let id = self.routes.get(&route).map(|&(id, _)| id);
        let handled = id.and_then(|id| {
            self.with_path(now, id, |path, context| {
                path.handle_probe(context, source, &mut packet);
            })
        });
        if handled.is_none() {
            self.host.stats.probes_rejected += 1;
        }
    }

    /// A datagram of a peer channel has come.
    pub(in crate::client) fn path_heard(
        &mut self,
        now: Instant,
        id: ChannelId,
        from_home: bool,
        len: usize,
    ) {
        let Some(entry) = self.paths.table.get_mut(&id) else {
            return;
        };
        if !from_home {
            entry.direct.packets_received += 1;
            entry.direct.bytes_received += len as u64;
        }
        if entry.path.is_news(now, !from_home) {
            self.with_path(now, id, PeerPath::heard);
        } else if entry.path.is_owed() {
            entry.arm_later(id, &mut self.paths.early);
        }
    }

    pub(in crate::client) fn path_silent(&mut self, now: Instant, id: ChannelId) {
        self.with_path(now, id, PeerPath::silence);
    }

    /// After a silence, something is heard on this channel again.
    pub(in crate::client) fn path_heard_again(&mut self, now: Instant, id: ChannelId) {
        if id != self.home.id {
            self.with_path(now, id, PeerPath::hear_again);
            return;
        }
        let channels: Vec<_> = self.paths.table.keys().copied().collect();
        for id in channels {
            self.with_path(now, id, PeerPath::hear_again);
        }
    }

    pub(in crate::client) fn path_due(&mut self, now: Instant, id: ChannelId) {
        if let Some(entry) = self.paths.table.get_mut(&id) {
            entry.armed = None;
        }
        self.with_path(now, id, PeerPath::handle_timeout);
    }

    /// Says where a peer channel's packets are to go; `None` when nowhere.
    pub(in crate::client) fn send_on_path(
        &mut self,
        now: Instant,
        id: Option<ChannelId>,
        mut transmit: Transmit,
    ) -> Option<Transmit> {
        let coordinator = self.forwarder_of(id);
        let bytes = transmit.payload.len() as u64;
        let packets = bytes.div_ceil(
            transmit
                .segment_size
                .map_or(bytes, |size| size as u64)
                .max(1),
        );
        // Handshakes, and answers to those that failed, go through the Coordinator.
        let is_long = transmit
            .payload
            .first()
            .is_some_and(|byte| byte & 0x80 != 0);
        let Some((id, entry)) = id
            .filter(|_| !is_long)
            .and_then(|id| Some((id, self.paths.table.get_mut(&id)?)))
        else {
            transmit.destination = coordinator?;
            return Some(transmit);
        };
        let (direct, copied) = match entry.path.way() {
            Way::Coordinator => (None, None),
            Way::Direct(address) => (Some(address), None),
            Way::Both(address) => (Some(address), coordinator),
        };
        if direct.is_some() {
            entry.direct.packets_sent += packets;
            entry.direct.bytes_sent += bytes;
        }
        if let Some(destination) = copied {
            entry.copied.packets_sent += packets;
            entry.copied.bytes_sent += bytes;
            self.paths.copy = Some(Transmit {
                destination,
                ..transmit.clone()
            });
        }
        if direct.is_some() || entry.path.is_curious() {
            let packets = u32::try_from(packets).unwrap_or(u32::MAX);
            self.with_path(now, id, |path, context| path.sent(context, packets));
        }
        transmit.destination = direct.or(coordinator)?;
        Some(transmit)
    }

    /// The Coordinator that forwards for a channel.
    fn forwarder_of(&self, id: Option<ChannelId>) -> Option<SocketAddr> {
        let by_former = |former: &SocketAddr| {
            let peer = self.host.get(id?)?.role.as_ref()?;
            peer.is_by_former().then_some(*former)
        };
        let former = self.home.former.as_ref().and_then(by_former);
        former.or(self.home.address)
    }

    /// The channel is over, though there may be goodbyes to say.
    pub(in crate::client) fn end_path(&mut self, id: ChannelId) {
        if let Some(entry) = self.paths.table.get_mut(&id)
            && !entry.path.is_over()
        {
            entry.path.end();
            self.paths.deadlines.set(id, None);
            self.paths.over += 1;
        }
    }

    /// Forgets the paths of channels that have nothing more to say.
    pub(in crate::client) fn forget_paths(&mut self) {
        if self.paths.over > 0 {
            let host = &self.host;
            let table = &mut self.paths.table;
            table.retain(|&id, entry| !entry.path.is_over() || host.peek(id).is_some());
            self.paths.over = table.values().filter(|entry| entry.path.is_over()).count();
            let leaving = &mut self.paths.leaving;
            leaving.retain(|_, (id, _)| host.peek(*id).is_some());
        }
    }

    /// Sees to it that nobody is woken earlier than is needed.
    pub(in crate::client) fn rearm_paths(&mut self, now: Instant) {
        while let Some(id) = self.paths.early.pop() {
            if let (Some(entry), Some(link)) = (self.paths.table.get_mut(&id), self.host.peek(id)) {
                entry.is_early = false;
                entry.path.follow(&link.progress());
                entry.armed = entry.path.next_timeout(now);
                self.paths.deadlines.set(id, entry.armed);
            }
        }
    }

    /// Lets something happen to a path, and does what comes of it.
    fn with_path<T>(
        &mut self,
        now: Instant,
        id: ChannelId,
        happen: impl FnOnce(&mut PeerPath, &mut Context<'_>) -> T,
    ) -> Option<T> {
        self.within(id, |it| it.happen_to_path(now, id, happen))
    }

    fn happen_to_path<T>(
        &mut self,
        now: Instant,
        id: ChannelId,
        happen: impl FnOnce(&mut PeerPath, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let entry = self.paths.table.get_mut(&id)?;
        let mut context = Context {
            now,
            progress: self.host.peek(id)?.progress(),
            config: &self.config.paths,
            surroundings: &self.paths.surroundings,
            budget: &mut self.paths.budget,
            out: &mut self.paths.probes,
            stats: &mut self.host.stats,
        };
        let result = happen(&mut entry.path, &mut context);
        while let Some(action) = self
            .paths
            .table
            .get_mut(&id)
            .and_then(|entry| entry.path.pop_action())
        {
            self.act(now, id, action);
        }
        let entry = self.paths.table.get_mut(&id)?;
        let next = entry.path.next_timeout(now);
        match (entry.armed, next) {
            (armed, next) if armed == next => {}
            // Deadlines move away with most packets: it is cheaper to follow them once at the end of a turn.
            (Some(armed), next) if next.is_none_or(|next| armed < next) => {
                entry.arm_later(id, &mut self.paths.early);
            }
            (_, next) => {
                entry.armed = next;
                self.paths.deadlines.set(id, next);
            }
        }
        Some(result)
    }

    fn act(&mut self, now: Instant, id: ChannelId, action: Action) {
        let Some((entry, link)) = self.host.linked(id) else {
            return;
        };
        match action {
            Action::Announce(generation, addresses) => {
                let message = PeerMessage::Candidates {
                    generation,
                    addresses,
                };
                entry.core.send_control(link, message.encode());
            }
            Action::Reset(rtt) => link.path_changed(now, rtt),
            Action::Ping => link.ping(),
            Action::Nudge => link.nudge(),
            Action::Mute(muted) => link.mute(muted),
            Action::PingHome => {
                self.paths.host_refresh.doubt(now);
                self.ping_home();
            }
            Action::Changed(path, rtt) => {
                let rtt = rtt.unwrap_or_else(|| link.rtt());
                entry.core.path_changed(path, rtt);
                if let Some(entry) = self.paths.table.get_mut(&id) {
                    entry.changes += 1;
                }
                if let Path::Direct(_) = path {
                    self.peer_direct(now, id);
                }
                self.report_path(id);
            }
            Action::GiveUp => {
                let code = ErrorCode::NoDirectPath;
                self.end_peer(now, id, CloseReason::NoDirectPath, Some(code.into()));
            }
        }
    }
}

/// Own addresses that are remembered, the first ones. Less are told.
const MAX_OWN_ADDRESSES: usize = 64;
