//! Direct paths to other Clients: found by probes, used while they deliver, left when they do not.
//!
//! One [`PeerPath`] for each peer channel decides by itself what this end's packets travel on. Here is what all of them
//! share: where the Client is, and what it may send to strangers.

mod address;
mod budget;
mod health;
mod host_refresh;
mod peer_path;
mod prober;
mod window;
mod wiring;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::Instant,
};

use self::{
    address::Surroundings,
    budget::{Budget, Share},
    host_refresh::HostRefresh,
    peer_path::PeerPath,
};
use crate::{
    ChannelId, ClientLimits, PathStats, Traffic, Transmit,
    transport::{EngineId, Link},
    util::Deadlines,
    wire::Route,
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
    /// The routes of channels that are over, whose links still say goodbye: who sends more on such a route is told so again.
    leaving: BTreeMap<Route, (ChannelId, EngineId)>,
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
            leaving: BTreeMap::new(),
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

    /// A channel with a path is over, and its link says goodbye.
    pub(super) fn leave(&mut self, route: Route, id: ChannelId, engine: EngineId) {
        if self.table.contains_key(&id) {
            self.leaving.insert(route, (id, engine));
        }
    }

    /// Which channel has used this route, if it is over and its link still says goodbye.
    pub(super) fn leaving(&self, route: Route) -> Option<(ChannelId, EngineId)> {
        self.leaving.get(&route).copied()
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
            + self.leaving.len()
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
