//! Direct paths to other Clients: found by probes, used while they deliver, left when they do not.
//!
//! One [`PeerPath`] for each peer channel decides by itself what this end's packets travel on. Here they are connected
//! with the Client, and with what all of its channels share: where the Client is, and what it may send to strangers.

mod address;
mod budget;
mod health;
mod host_refresh;
mod peer_path;
mod prober;
mod window;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Instant,
};

use bytes::BytesMut;

use self::{
    address::Surroundings,
    budget::{Budget, Share},
    host_refresh::HostRefresh,
    peer_path::{Action, Context, PeerPath, Way},
};
use super::Client;
use crate::{
    ChannelId, ClientLimits, CloseReason, ErrorCode, Path, PathStats, Traffic, Transmit, Violation,
    transport::Link,
    util::Deadlines,
    wire::{
        Generation, PROBE_LABEL, PROBE_SECRET_LEN, PeerMessage, ProbeKeys, Role as EndRole,
        RoleMessage, Route,
    },
};

pub(super) use self::{address::canonical, peer_path::Required};

/// The paths of all of a Client's channels.
#[derive(Debug)]
pub(super) struct Paths {
    surroundings: Surroundings,
    host_refresh: HostRefresh,
    budget: Budget,
    /// For probes that belong to no channel.
    share: Share,
    table: BTreeMap<ChannelId, Entry>,
    /// How many of them are of channels that are over.
    over: usize,
    deadlines: Deadlines<ChannelId>,
    /// Those that are armed for too early by now.
    early: Vec<ChannelId>,
    /// Probes to be sent.
    probes: VecDeque<Transmit>,
    /// What was sent directly and goes through the Coordinator as well.
    copy: Option<Transmit>,
}

#[derive(Debug)]
struct Entry {
    path: PeerPath,
    /// When the path is to be looked after, or earlier than that where it is among the early ones.
    armed: Option<Instant>,
    is_early: bool,
    direct: Traffic,
    /// Sent through the Coordinator in addition to what the engine knows of.
    copied: Traffic,
    changes: u64,
}

impl Entry {
    /// It may be that there is more time than the path is armed for.
    fn arm_later(&mut self, id: ChannelId, early: &mut Vec<ChannelId>) {
        if !std::mem::replace(&mut self.is_early, true) {
            early.push(id);
        }
    }
}

impl Paths {
    pub(super) fn new(limits: &ClientLimits) -> Self {
        let budget = Budget::new(limits);
        Self {
            surroundings: Surroundings::default(),
            host_refresh: HostRefresh::default(),
            share: budget.share(),
            budget,
            table: BTreeMap::new(),
            over: 0,
            deadlines: Deadlines::new(),
            early: Vec::new(),
            probes: VecDeque::new(),
            copy: None,
        }
    }

    /// The driver is there, and can be asked something.
    pub(super) fn awake(&mut self, now: Instant) {
        self.host_refresh.awake(now);
    }

    /// Perhaps this Client's own addresses have changed.
    pub(super) fn hosts_in_doubt(&mut self, now: Instant) {
        self.host_refresh.doubt(now);
    }

    pub(super) fn wants_host_addresses(&mut self, now: Instant) -> bool {
        self.host_refresh.wants(now)
    }

    /// The machine's addresses, as the driver has reported them.
    pub(super) fn hosts(&self) -> &[SocketAddr] {
        &self.surroundings.hosts
    }

    /// Sends a probe that belongs to no path, if there may be another one now.
    pub(super) fn probe(&mut self, now: Instant, probe: Transmit) -> bool {
        let allowed = self.budget.ask(now, &mut self.share);
        if allowed {
            self.probes.push_back(probe);
        }
        allowed
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.copy.take().or_else(|| self.probes.pop_front())
    }

    pub(super) fn has_output(&self) -> bool {
        self.copy.is_some() || !self.probes.is_empty()
    }

    /// How many things are kept.
    #[cfg(feature = "__testing")]
    pub(super) fn entries(&self) -> usize {
        self.table.len()
            + self.deadlines.entries()
            + self.probes.len()
            + usize::from(self.copy.is_some())
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<ChannelId> {
        self.deadlines.pop_due(now)
    }

    /// What a channel's packets travel on, according to this end.
    pub(super) fn stats(&self, id: ChannelId, link: &Link) -> PathStats {
        let total = link.traffic();
        let Some(entry) = self.table.get(&id) else {
            return PathStats {
                proxied: total,
                ..PathStats::default()
            };
        };
        let through = total.without(entry.direct);
        PathStats {
            proxied: Traffic {
                packets_sent: through.packets_sent + entry.copied.packets_sent,
                bytes_sent: through.bytes_sent + entry.copied.bytes_sent,
                ..through
            },
            direct: entry.direct,
            changes: entry.changes,
        }
    }
}

// What happens to the Client.
impl Client {
    pub(super) fn set_hosts(&mut self, now: Instant, addresses: &[SocketAddr]) {
        let addresses = addresses.iter().take(MAX_OWN_ADDRESSES);
        let hosts: Vec<_> = addresses.map(|&it| canonical(it)).collect();
        // Mostly it is asked for in vain.
        if hosts != self.paths.surroundings.hosts {
            tracing::debug!(?hosts, "own addresses");
            self.paths.surroundings.hosts = hosts;
            self.surroundings_changed(now);
        }
    }

    pub(super) fn set_mapped(&mut self, now: Instant, addresses: &[SocketAddr]) {
        let addresses = addresses.iter().take(MAX_OWN_ADDRESSES);
        self.paths.surroundings.mapped = addresses.map(|&it| canonical(it)).collect();
        self.surroundings_changed(now);
    }

    /// The Client is somewhere else, or is seen somewhere else.
    pub(super) fn surroundings_changed(&mut self, now: Instant) {
        self.paths.surroundings.observed = self.home.observed().map(canonical);
        self.paths.surroundings.coordinator = self.home.address.map(canonical);
        let channels: Vec<_> = self.paths.table.keys().copied().collect();
        for id in channels {
            self.with_path(now, id, |path, context| path.surroundings_changed(context));
        }
    }

    /// Both ends are ready for direct paths, and the channel is bound.
    pub(super) fn start_path(
        &mut self,
        now: Instant,
        id: ChannelId,
        role: EndRole,
        peer_route: Route,
        required: Option<Required>,
    ) {
        let secret = self
            .host
            .peek(id)
            .and_then(|link| link.export_secret::<PROBE_SECRET_LEN>(PROBE_LABEL));
        let Some(secret) = secret else {
            tracing::debug!(channel = ?id, "no keys for probes");
            return;
        };
        let keys = ProbeKeys::new(&secret, role);
        let initiator = role == EndRole::Initiator;
        let entry = Entry {
            path: PeerPath::new(
                peer_route,
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

    /// The other end says where it may be reached. `None` if it was not asked to.
    pub(super) fn peer_candidates(
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

    pub(super) fn handle_probe(
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
    pub(super) fn path_heard(&mut self, now: Instant, id: ChannelId, from_home: bool, len: usize) {
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

    pub(super) fn path_silent(&mut self, now: Instant, id: ChannelId) {
        self.with_path(now, id, PeerPath::silence);
    }

    /// After a silence, something is heard on this channel again.
    pub(super) fn path_heard_again(&mut self, now: Instant, id: ChannelId) {
        if id != ChannelId::HOME {
            self.with_path(now, id, PeerPath::hear_again);
            return;
        }
        let channels: Vec<_> = self.paths.table.keys().copied().collect();
        for id in channels {
            self.with_path(now, id, PeerPath::hear_again);
        }
    }

    pub(super) fn path_due(&mut self, now: Instant, id: ChannelId) {
        if let Some(entry) = self.paths.table.get_mut(&id) {
            entry.armed = None;
        }
        self.with_path(now, id, PeerPath::handle_timeout);
    }

    /// Says where a peer channel's packets are to go; `None` when nowhere.
    pub(super) fn send_on_path(
        &mut self,
        now: Instant,
        id: Option<ChannelId>,
        mut transmit: Transmit,
    ) -> Option<Transmit> {
        let coordinator = self.home.address;
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

    /// The channel is over, though there may be goodbyes to say.
    pub(super) fn end_path(&mut self, id: ChannelId) {
        if let Some(entry) = self.paths.table.get_mut(&id)
            && !entry.path.is_over()
        {
            entry.path.end();
            self.paths.deadlines.set(id, None);
            self.paths.over += 1;
        }
    }

    /// Forgets the paths of channels that have nothing more to say.
    pub(super) fn forget_paths(&mut self) {
        if self.paths.over > 0 {
            let host = &self.host;
            let table = &mut self.paths.table;
            table.retain(|&id, entry| !entry.path.is_over() || host.peek(id).is_some());
            self.paths.over = table.values().filter(|entry| entry.path.is_over()).count();
        }
    }

    /// Sees to it that nobody is woken earlier than is needed.
    pub(super) fn rearm_paths(&mut self, now: Instant) {
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
                if let Some(home) = self.host.link(ChannelId::HOME) {
                    home.ping();
                }
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
