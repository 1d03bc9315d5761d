//! The home channel: connecting, registering, what the Coordinator says. All transitions of [`Home`] are here; which address
//! is tried when is the [`Race`]'s.

use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;

use super::{Client, ClientEvent, peer::Peer, race::Race};
use crate::{
    ChannelId, CloseReason, ConnectError, ErrorCode, Name, Unreachable, Violation,
    channel::{ChannelCore, Notice},
    host::Hosted,
    transport::{EngineId, HomeEnd, Link, LinkEvent, is_host_name},
    wire::{ClientMessage, CoordinatorMessage, RoleMessage},
};

/// Where a Client is with its Coordinator.
///
/// ```text
/// Unused ─connect─▶ Connecting ─first TLS done─▶ Registering ─welcome─▶ Ready ──▶ Lost ─peers gone─▶ Ended
///                        │                            └──────────────────────────▲
///                        └──────────────────── race lost ────────────────────────┘
/// ```
#[derive(Debug)]
pub(super) enum Home {
    Unused,
    /// Attempts have links of their own. The winner's becomes that of [`ChannelId::HOME`]; the others' are closed.
    Connecting {
        race: Race,
        /// The one engine of all attempts, once there is one.
        engine: Option<EngineId>,
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
        /// For goodbyes.
        engine: Option<EngineId>,
        address: Option<SocketAddr>,
    },
    Ended,
}

impl Home {
    /// Where packets from the Coordinator belong.
    pub(super) fn engine(&self) -> Option<EngineId> {
        match *self {
            Self::Connecting { engine, .. } | Self::Lost { engine, .. } => engine,
            Self::Registering { engine, .. } | Self::Ready { engine, .. } => Some(engine),
            Self::Unused | Self::Ended => None,
        }
    }

    /// The Coordinator's address, once it is known which of them it is.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match *self {
            Self::Registering { address, .. } | Self::Ready { address, .. } => Some(address),
            Self::Lost { address, .. } => address,
            Self::Unused | Self::Connecting { .. } | Self::Ended => None,
        }
    }

    /// Whether a link is one of several that may lead to the Coordinator.
    pub(super) fn is_attempt(&self, link: ChannelId) -> bool {
        self.race()
            .is_some_and(|race| race.address_of(link).is_some())
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

    fn race(&self) -> Option<&Race> {
        match self {
            Self::Connecting { race, .. } => Some(race),
            Self::Unused
            | Self::Registering { .. }
            | Self::Ready { .. }
            | Self::Lost { .. }
            | Self::Ended => None,
        }
    }
}

impl Client {
    pub(super) fn begin_connecting(
        &mut self,
        now: Instant,
        host_name: &str,
        addresses: &[SocketAddr],
    ) -> Result<(), ConnectError> {
        if !matches!(self.home, Home::Unused) {
            return Err(ConnectError::AlreadyUsed);
        }
        if !is_host_name(host_name) {
            return Err(ConnectError::InvalidHostName);
        }
        let limit = self.config.limits.handshake_timeout;
        let race = Race::new(now, host_name, addresses, limit).ok_or(ConnectError::NoAddress)?;
        let core = ChannelCore::new(ChannelId::HOME, &self.config.home, None);
        self.host.insert(ChannelId::HOME, core, None);
        self.paths.hosts_in_doubt(now);
        self.home = Home::Connecting { race, engine: None };
        self.go_on_racing(now);
        Ok(())
    }

    /// Tries what addresses it is time for, and waits until it is time for others, or the race is over.
    fn go_on_racing(&mut self, now: Instant) {
        let Home::Connecting { race, engine } = &mut self.home else {
            return;
        };
        while let Some(address) = race.next_address(now) {
            let id = self.host.fresh_id();
            let end = HomeEnd {
                address,
                host_name: race.host_name(),
                tls: &self.tls,
            };
            let channel = &self.config.home;
            let transport = &mut self.host.transport;
            match transport.connect_home(now, *engine, id, &end, channel) {
                Some(link) => {
                    tracing::debug!(%address, link = ?id, "connecting");
                    *engine = Some(link.engine());
                    self.host.add_link(id, link);
                    race.begin(now, id, address);
                }
                None => race.fail(now, id, CloseReason::Unreachable(Unreachable::NoRoute)),
            }
        }
        match race.lost(now) {
            Some(reason) => self.lose_race(now, reason),
            None => self
                .host
                .set_deadline(ChannelId::HOME, Some(race.next_due())),
        }
    }

    /// No attempt is left, or none is to be made any more.
    fn lose_race(&mut self, now: Instant, reason: CloseReason) {
        let Home::Connecting { race, engine } = &self.home else {
            return;
        };
        let engine = *engine;
        for id in race.links() {
            match self.host.link(id) {
                // So that the Coordinator does not wait for the rest. Who was silent to the end is not it.
                Some(link) if link.has_heard() || !race.is_over(now) => leave(link, now),
                Some(_) | None => self.host.discard(id),
            }
        }
        self.home = Home::Lost {
            reason,
            engine,
            address: None,
        };
        self.host.set_deadline(ChannelId::HOME, None);
    }

    /// An attempt is connected, with the Coordinator and nobody else: it is the one that says Hello.
    pub(super) fn attempt_connected(&mut self, now: Instant, winner: ChannelId, event: LinkEvent) {
        let Home::Connecting {
            race,
            engine: Some(engine),
        } = &self.home
        else {
            return;
        };
        let Some(address) = race.address_of(winner) else {
            return;
        };
        tracing::debug!(%address, "reached the coordinator");
        let engine = *engine;
        let attempts: Vec<_> = race.links().collect();
        self.home = Home::Registering { engine, address };
        self.host.rename_link(winner, ChannelId::HOME);
        // Others may have reached it too, and its answers may be on the way.
        for id in attempts {
            if let Some(link) = self.host.link(id) {
                leave(link, now);
            }
        }
        if let Some((home, link)) = self.host.linked(ChannelId::HOME) {
            home.core.handle_link_event(link, now, event);
        }
    }

    /// An attempt has failed by itself.
    pub(super) fn attempt_failed(&mut self, now: Instant, link: ChannelId, reason: CloseReason) {
        let Home::Connecting { race, .. } = &mut self.home else {
            return;
        };
        race.fail(now, link, reason);
        if reason == CloseReason::Identity {
            // That is an answer, and one to look into. Another address would hide it, or give the same.
            self.lose_race(now, reason);
        } else {
            self.go_on_racing(now);
        }
    }

    /// The system says that datagrams do not get to an address.
    pub(super) fn address_unreachable(
        &mut self,
        now: Instant,
        address: SocketAddr,
        reason: Unreachable,
    ) {
        let Home::Connecting { race, .. } = &mut self.home else {
            return;
        };
        let Some(link) = race.attempt_at(address) else {
            return;
        };
        // The answers that have come say the opposite, with more authority.
        if self.host.peek(link).is_some_and(Link::has_heard) {
            return;
        }
        tracing::debug!(%address, ?reason, "unreachable");
        let failed = match reason {
            Unreachable::NoRoute => true,
            Unreachable::Host | Unreachable::Prohibited | Unreachable::Port => {
                race.doubt(now, link)
            }
        };
        if failed {
            self.host.discard(link);
            race.fail(now, link, CloseReason::Unreachable(reason));
        }
        self.go_on_racing(now);
    }

    pub(super) fn home_notice(&mut self, now: Instant, notice: Notice) {
        match notice {
            Notice::Connected { .. } => self.home_connected(now),
            Notice::Control(payload) => self.home_control(now, payload),
            Notice::Closing => self.home_closing(now),
            Notice::GivenUp => self.lose_race(now, CloseReason::Local),
            Notice::Ended(_) => {}
        }
    }

    /// The home channel's link is connected: this Client introduces itself.
    fn home_connected(&mut self, now: Instant) {
        // The Coordinator may still wait for the last of the handshake, and then for the Hello.
        let patience = self.config.limits.introduction();
        self.host
            .set_deadline(ChannelId::HOME, Some(now + patience));
        let hello = ClientMessage::Hello {
            version: PROTOCOL_VERSION,
            name: self.config.name.clone(),
            token: self.config.token.clone(),
        };
        if let Some((entry, link)) = self.host.linked(ChannelId::HOME) {
            entry.core.open_control(link);
            entry.core.send_control(link, hello.encode());
        }
    }

    fn home_control(&mut self, now: Instant, payload: Bytes) {
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
                    self.end_peer(now, id, code.into(), None);
                    self.host.discard(id);
                }
            }
            CoordinatorMessage::OpenFailed { request, code } => {
                if let Some(&id) = self.requests.get(&request) {
                    self.end_peer(now, id, code.into(), None);
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
        self.host.set_deadline(ChannelId::HOME, None);
        self.events
            .push_back(ClientEvent::Connected { name, observed });
        self.surroundings_changed(now);
        if let Some((entry, link)) = self.host.linked(ChannelId::HOME) {
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
    fn home_closing(&mut self, now: Instant) {
        self.close_peers(now, std::time::Duration::MAX);
        self.update_home_hold();
    }

    pub(super) fn home_deadline_passed(&mut self, now: Instant) {
        if let Home::Connecting { .. } = self.home {
            return self.go_on_racing(now);
        }
        if let Some(link) = self.host.link(ChannelId::HOME) {
            link.close(now, ErrorCode::NoAnswer.into(), CloseReason::TimedOut);
        }
    }

    /// The link to the Coordinator is over.
    pub(super) fn home_lost(&mut self, now: Instant, reason: CloseReason) {
        if let Home::Registering { .. } | Home::Ready { .. } = self.home {
            self.home = Home::Lost {
                reason,
                engine: self.home.engine(),
                address: self.home.address(),
            };
        }
        self.host.set_deadline(ChannelId::HOME, None);
        let peers = self.host.ids();
        for id in peers.into_iter().filter(|&id| id != ChannelId::HOME) {
            // One that has just been closed may yet tell the other side.
            let closed = self.host.peek(id).is_some_and(Link::is_closed);
            self.end_peer(now, id, CloseReason::CoordinatorLost, None);
            if !closed {
                self.host.discard(id);
            }
        }
    }

    /// Whether the home link is lost and every peer channel's end was told.
    pub(super) fn home_ends_next(&self) -> bool {
        matches!(self.home, Home::Lost { .. }) && self.host.len() <= 1
    }

    /// Ends the home channel as the last one.
    pub(super) fn end_home_when_alone(&mut self) {
        if !self.home_ends_next() {
            return;
        }
        if let Home::Lost { reason, .. } = std::mem::replace(&mut self.home, Home::Ended) {
            self.host.abandon(ChannelId::HOME, reason);
        }
    }

    /// The home channel carries the peer channels: it stays until they are gone.
    pub(super) fn update_home_hold(&mut self) {
        // Those that have ended may only wait for their last events to be taken.
        let is_live =
            |channel: &Hosted<Option<Peer>>| channel.role.is_some() && !channel.core.is_ended();
        let held = self.host.iter().any(|(_, channel)| is_live(channel));
        if let Some((entry, link)) = self.host.linked(ChannelId::HOME) {
            entry.core.hold_open(link, held);
        }
    }

    pub(super) fn send_home(&mut self, message: &ClientMessage) {
        self.host.send_control(ChannelId::HOME, message.encode());
    }

    pub(super) fn violate_home(&mut self, now: Instant, violation: Violation) {
        self.host.violate(now, ChannelId::HOME, violation);
    }

    /// Whether the home channel can be used, and is not being closed.
    pub(super) fn is_home_open(&self) -> bool {
        let home = self.host.get(ChannelId::HOME);
        home.is_some_and(|home| home.core.is_open())
    }
}

/// Says goodbye on a link that is not needed.
fn leave(link: &mut Link, now: Instant) {
    link.close(now, ErrorCode::None.into(), CloseReason::Local);
}

/// The version of the control protocol that this crate speaks.
const PROTOCOL_VERSION: u64 = 1;
