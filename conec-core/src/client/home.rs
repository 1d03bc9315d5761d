//! The home channel: connecting, registering, what the Coordinator says. All transitions of [`Home`] are here.

use std::{collections::VecDeque, net::SocketAddr, time::Instant};

use bytes::Bytes;

use super::{Client, ClientEvent, Role};
use crate::{
    ChannelId, CloseReason, ErrorCode, Name, Violation,
    transport::{EngineId, Link},
    wire::{ClientMessage, CoordinatorMessage, RoleMessage},
};

/// Where a Client is with its Coordinator.
///
/// ```text
/// Unused ─connect─▶ Connecting ─TLS done─▶ Registering ─welcome─▶ Ready ──▶ Lost ─peers gone─▶ Ended
///                    │     ▲ next address      └──────────────────────────────▲
///                    └─────┴──────── no address left ─────────────────────────┘
/// ```
#[derive(Debug)]
pub(super) enum Home {
    Unused,
    Connecting {
        attempt: Attempt,
        engine: EngineId,
        address: SocketAddr,
    },
    Registering {
        engine: EngineId,
        address: SocketAddr,
    },
    Ready {
        engine: EngineId,
        address: SocketAddr,
        name: Option<Name>,
        observed: SocketAddr,
    },
    /// The link is over; the peer channels' ends are told first.
    Lost {
        reason: CloseReason,
        /// Whom to say goodbye to.
        last: Option<(EngineId, SocketAddr)>,
    },
    Ended,
}

/// Addresses still to be tried.
#[derive(Debug)]
pub(super) struct Attempt {
    host_name: Box<str>,
    addresses: VecDeque<SocketAddr>,
}

impl Attempt {
    pub(super) fn new(host_name: Box<str>, addresses: VecDeque<SocketAddr>) -> Self {
        Self {
            host_name,
            addresses,
        }
    }
}

impl Home {
    pub(super) fn engine(&self) -> Option<EngineId> {
        self.contact().map(|(engine, _)| engine)
    }

    /// The Coordinator's address.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.contact().map(|(_, address)| address)
    }

    pub(super) fn name(&self) -> Option<&Name> {
        match self {
            Self::Ready { name, .. } => name.as_ref(),
            Self::Unused
            | Self::Connecting { .. }
            | Self::Registering { .. }
            | Self::Lost { .. }
            | Self::Ended => None,
        }
    }

    pub(super) fn observed(&self) -> Option<SocketAddr> {
        match self {
            Self::Ready { observed, .. } => Some(*observed),
            Self::Unused
            | Self::Connecting { .. }
            | Self::Registering { .. }
            | Self::Lost { .. }
            | Self::Ended => None,
        }
    }

    fn contact(&self) -> Option<(EngineId, SocketAddr)> {
        match *self {
            Self::Connecting {
                engine, address, ..
            }
            | Self::Registering { engine, address }
            | Self::Ready {
                engine, address, ..
            } => Some((engine, address)),
            Self::Lost { last, .. } => last,
            Self::Unused | Self::Ended => None,
        }
    }
}

impl Client {
    /// Connects to the next address; without one, the Client is over for `reason`.
    pub(super) fn try_next_address(
        &mut self,
        now: Instant,
        mut attempt: Attempt,
        reason: CloseReason,
    ) {
        while let Some(address) = attempt.addresses.pop_front() {
            let engine = self.transport.connect_home(
                now,
                address,
                &attempt.host_name,
                &self.tls,
                &self.config.home,
            );
            if let Some(engine) = engine {
                tracing::debug!(%address, "connecting");
                let deadline = now + self.config.limits.handshake_timeout;
                self.deadlines.set(ChannelId::HOME, Some(deadline));
                self.home = Home::Connecting {
                    attempt,
                    engine,
                    address,
                };
                return;
            }
        }
        self.home = Home::Lost { reason, last: None };
    }

    pub(super) fn home_connected(&mut self, now: Instant) {
        let Home::Connecting {
            engine, address, ..
        } = self.home
        else {
            return;
        };
        self.home = Home::Registering { engine, address };
        // The Coordinator may still wait for the last of the handshake, and then for the Hello.
        let patience = self.config.limits.introduction();
        self.deadlines.set(ChannelId::HOME, Some(now + patience));
        let hello = ClientMessage::Hello {
            version: PROTOCOL_VERSION,
            name: self.config.name.clone(),
            token: self.config.token.clone(),
        };
        if let (Some(entry), Some(link)) = (
            self.channels.get_mut(ChannelId::HOME),
            self.transport.link(ChannelId::HOME),
        ) {
            entry.core.open_control(link);
            entry.core.send_control(link, hello.encode());
        }
    }

    pub(super) fn home_control(&mut self, now: Instant, payload: Bytes) {
        let message = match CoordinatorMessage::decode(payload) {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(_) => return self.violate_home(now, Violation::Malformed),
        };
        if let CoordinatorMessage::Welcome { name, observed } = message {
            return self.welcomed(now, name, observed);
        }
        if !self.is_connected() {
            return self.violate_home(now, Violation::Unexpected);
        }
        match message {
            CoordinatorMessage::Welcome { .. } => {}
            CoordinatorMessage::Offer(offer) => self.offered(now, offer),
            CoordinatorMessage::Start { route } => self.start_peer(now, route),
            CoordinatorMessage::ChannelClosed { route, code } => {
                if let Some(&(id, _)) = self.routes.get(&route) {
                    self.end_peer(id, code.into(), None);
                    self.transport.discard(id);
                }
            }
            CoordinatorMessage::OpenFailed { request, code } => {
                if let Some(&id) = self.requests.get(&request) {
                    self.end_peer(id, code.into(), None);
                }
            }
            CoordinatorMessage::SecondPort { route, port } => self.second_port(now, route, port),
            CoordinatorMessage::SeenAt { echo, address } => self.seen_at(echo, address),
            CoordinatorMessage::Throttled { packets } => self.throttled(packets),
            CoordinatorMessage::ObservedAddress { nonce, address } => {
                self.send_home(&ClientMessage::AddressEcho { nonce });
                if let Home::Ready { observed, .. } = &mut self.home
                    && *observed != address
                {
                    *observed = address;
                    // Only the latest is of interest to an application that lags behind.
                    let stale =
                        |event: &ClientEvent| matches!(event, ClientEvent::AddressObserved { .. });
                    self.events.retain(|event| !stale(event));
                    self.events
                        .push_back(ClientEvent::AddressObserved { address });
                    self.paths.hosts_in_doubt(now);
                    self.mapping.restart(now);
                    self.surroundings_changed(now);
                }
            }
        }
    }

    fn welcomed(&mut self, now: Instant, name: Option<Name>, observed: SocketAddr) {
        let Home::Registering { engine, address } = self.home else {
            return self.violate_home(now, Violation::Unexpected);
        };
        tracing::debug!(?name, %observed, "connected");
        self.home = Home::Ready {
            engine,
            address,
            name: name.clone(),
            observed,
        };
        self.deadlines.set(ChannelId::HOME, None);
        self.events
            .push_back(ClientEvent::Connected { name, observed });
        self.surroundings_changed(now);
        if let (Some(entry), Some(link)) = (
            self.channels.get_mut(ChannelId::HOME),
            self.transport.link(ChannelId::HOME),
        ) {
            entry.core.open(link, now);
        }
    }

    fn throttled(&mut self, packets: u64) {
        let waiting = self.events.iter_mut().find_map(|event| match event {
            ClientEvent::Throttled { packets } => Some(packets),
            ClientEvent::Connected { .. }
            | ClientEvent::AddressObserved { .. }
            | ClientEvent::Offered { .. }
            | ClientEvent::Channel { .. } => None,
        });
        match waiting {
            Some(sum) => *sum = sum.saturating_add(packets),
            None => self.events.push_back(ClientEvent::Throttled { packets }),
        }
    }

    /// The Coordinator wants to close: the peer channels go first.
    pub(super) fn home_closing(&mut self, now: Instant) {
        self.close_peers(now, std::time::Duration::MAX);
        self.update_home_hold();
    }

    pub(super) fn home_deadline_passed(&mut self, now: Instant) {
        if let Home::Connecting { .. } = self.home {
            return self.home_lost(now, CloseReason::TimedOut);
        }
        if let Some(link) = self.transport.link(ChannelId::HOME) {
            link.close(now, ErrorCode::NoAnswer.into(), CloseReason::TimedOut);
        }
    }

    /// The link to the Coordinator is over.
    pub(super) fn home_lost(&mut self, now: Instant, reason: CloseReason) {
        let last = self.home.contact();
        match std::mem::replace(&mut self.home, Home::Ended) {
            // Another address may lead to the right place, whatever was wrong with this one. A local end is meant.
            Home::Connecting { attempt, .. } if reason != CloseReason::Local => {
                self.transport.discard(ChannelId::HOME);
                self.try_next_address(now, attempt, reason);
            }
            Home::Unused
            | Home::Connecting { .. }
            | Home::Registering { .. }
            | Home::Ready { .. } => self.home = Home::Lost { reason, last },
            lost @ (Home::Lost { .. } | Home::Ended) => self.home = lost,
        }
        if !matches!(self.home, Home::Connecting { .. }) {
            self.deadlines.set(ChannelId::HOME, None);
            let peers = self.channels.ids();
            for id in peers.into_iter().filter(|&id| id != ChannelId::HOME) {
                // One that has just been closed may yet tell the other side.
                let closed = self.transport.peek(id).is_some_and(Link::is_closed);
                self.end_peer(id, CloseReason::CoordinatorLost, None);
                if !closed {
                    self.transport.discard(id);
                }
            }
        }
    }

    /// Whether the home link is lost and every peer channel's end was told.
    pub(super) fn home_ends_next(&self) -> bool {
        matches!(self.home, Home::Lost { .. }) && self.channels.len() <= 1
    }

    /// Ends the home channel as the last one.
    pub(super) fn end_home_when_alone(&mut self) {
        if !self.home_ends_next() {
            return;
        }
        if let Home::Lost { reason, .. } = std::mem::replace(&mut self.home, Home::Ended)
            && let Some(entry) = self.channels.get_mut(ChannelId::HOME)
        {
            entry.core.abandon(reason);
        }
    }

    /// The home channel carries the peer channels: it stays until they are gone.
    pub(super) fn update_home_hold(&mut self) {
        let held = self.live_peers() > 0;
        if let (Some(entry), Some(link)) = (
            self.channels.get_mut(ChannelId::HOME),
            self.transport.link(ChannelId::HOME),
        ) {
            entry.core.hold_open(link, held);
        }
    }

    pub(super) fn send_home(&mut self, message: &ClientMessage) {
        if let (Some(entry), Some(link)) = (
            self.channels.get_mut(ChannelId::HOME),
            self.transport.link(ChannelId::HOME),
        ) {
            entry.core.send_control(link, message.encode());
        }
    }

    pub(super) fn violate_home(&mut self, now: Instant, violation: Violation) {
        self.transport.stats.violations += 1;
        if let (Some(entry), Some(link)) = (
            self.channels.get_mut(ChannelId::HOME),
            self.transport.link(ChannelId::HOME),
        ) {
            entry.core.violate(link, now, violation);
        }
    }

    /// Peer channels that have not ended, though their last events may still wait.
    fn live_peers(&self) -> usize {
        self.channels
            .iter()
            .filter(|(_, entry)| matches!(entry.role, Role::Peer(_)) && !entry.core.is_ended())
            .count()
    }
}

/// The version of the control protocol that this crate speaks.
const PROTOCOL_VERSION: u64 = 1;
