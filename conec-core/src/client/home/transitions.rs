//! Connecting, registering, what the Coordinator says. All transitions of [`Stage`] are here; which address is tried when is
//! the [`Race`]'s.

use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;

use super::{Home, Stage};
use crate::{
    ChannelId, CloseReason, ConnectError, ErrorCode, Name, Unreachable, Violation,
    channel::{ChannelCore, Notice},
    client::{Client, ClientEvent, peer::Peer, race::Race},
    host::Hosted,
    transport::{HomeEnd, Link, is_host_name},
    wire::{ClientMessage, CoordinatorMessage, RoleMessage},
};

impl Client {
    pub(in crate::client) fn begin_connecting(
        &mut self,
        now: Instant,
        host_name: &str,
        addresses: &[SocketAddr],
    ) -> Result<(), ConnectError> {
        if !matches!(self.home.stage, Stage::Unused) {
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
        self.home.stage = Stage::Connecting(race);
        self.go_on_racing(now);
        Ok(())
    }

    /// Tries what addresses it is time for, and waits until it is time for others, or the race is over.
    fn go_on_racing(&mut self, now: Instant) {
        let Stage::Connecting(race) = &mut self.home.stage else {
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
            match transport.connect_home(now, self.home.engine, id, &end, channel) {
                Some(link) => {
                    tracing::debug!(%address, link = ?id, "connecting");
                    self.home.engine = Some(link.engine());
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
        let Stage::Connecting(race) = &self.home.stage else {
            return;
        };
        for id in race.links() {
            match self.host.link(id) {
                // So that the Coordinator does not wait for the rest. Who was silent to the end is not it.
                Some(link) if link.has_heard() || !race.is_over(now) => leave(link, now),
                Some(_) | None => self.host.discard(id),
            }
        }
        self.home.stage = Stage::Lost(reason);
        self.host.set_deadline(ChannelId::HOME, None);
    }

    /// An attempt is connected, with the Coordinator and nobody else: it is the one that says Hello.
    pub(in crate::client) fn attempt_connected(&mut self, now: Instant, winner: ChannelId) {
        let Stage::Connecting(race) = &self.home.stage else {
            return;
        };
        let Some(address) = race.address_of(winner) else {
            return;
        };
        tracing::debug!(%address, "reached the coordinator");
        let attempts: Vec<_> = race.links().collect();
        self.home.stage = Stage::Registering;
        self.home.address = Some(address);
        self.host.rename_link(winner, ChannelId::HOME);
        // Others may have reached it too, and its answers may be on the way.
        for id in attempts {
            if let Some(link) = self.host.link(id) {
                leave(link, now);
            }
        }
        self.introduce(now);
    }

    /// An attempt has failed by itself.
    pub(in crate::client) fn attempt_failed(
        &mut self,
        now: Instant,
        link: ChannelId,
        reason: CloseReason,
    ) {
        let Stage::Connecting(race) = &mut self.home.stage else {
            return;
        };
        if race.address_of(link).is_none() {
            return;
        }
        race.fail(now, link, reason);
        if reason == CloseReason::Identity {
            // That is an answer, and one to look into. Another address would hide it, or give the same.
            self.lose_race(now, reason);
        } else {
            self.go_on_racing(now);
        }
    }

    /// The system says that datagrams do not get to an address.
    pub(in crate::client) fn address_unreachable(
        &mut self,
        now: Instant,
        address: SocketAddr,
        reason: Unreachable,
    ) {
        let Stage::Connecting(race) = &mut self.home.stage else {
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

    pub(in crate::client) fn home_notice(&mut self, now: Instant, notice: Notice) {
        match notice {
            Notice::Control(payload) => self.home_control(now, payload),
            Notice::Closing => self.home_closing(now),
            Notice::GivenUp => self.lose_race(now, CloseReason::Local),
            Notice::Ended(_) => {}
        }
    }

    /// The home channel's link is connected: this Client introduces itself.
    fn introduce(&mut self, now: Instant) {
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
            entry.core.connected(link);
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
            CoordinatorMessage::Neighbour { route, neighbour } => {
                self.called_neighbour(now, route, neighbour);
            }
            CoordinatorMessage::ChannelClosed { route, code } => {
                if let Some(&(id, _)) = self.routes.get(&route) {
                    self.end_peer(now, id, code.into(), None);
                    self.host.discard(id);
                }
            }
            CoordinatorMessage::OpenFailed { request, code } => {
                if let Some(id) = self.asks.answered(request) {
                    self.end_peer(now, id, code.into(), None);
                }
                self.ask(now);
            }
            CoordinatorMessage::SecondPort { route, port } => self.second_port(now, route, port),
            CoordinatorMessage::SeenAt { echo, address } => self.seen_at(echo, address),
            CoordinatorMessage::Throttled { packets } => self.throttled(packets),
            CoordinatorMessage::ObservedAddress { nonce, address } => {
                self.send_home(&ClientMessage::AddressEcho { nonce });
                if let Stage::Ready { observed, .. } = &mut self.home.stage
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
        if !matches!(self.home.stage, Stage::Registering) {
            return self.violate_home(now, Violation::Unexpected);
        }
        tracing::debug!(?name, %observed, "connected");
        self.home.stage = Stage::Ready {
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

    pub(in crate::client) fn home_deadline_passed(&mut self, now: Instant) {
        if self.home.race().is_some() {
            return self.go_on_racing(now);
        }
        if let Some(link) = self.host.link(ChannelId::HOME) {
            link.close(now, ErrorCode::NoAnswer.into(), CloseReason::TimedOut);
        }
    }

    /// The link to the Coordinator is over.
    pub(in crate::client) fn home_lost(&mut self, now: Instant, reason: CloseReason) {
        if let Stage::Registering | Stage::Ready { .. } = self.home.stage {
            self.home.stage = Stage::Lost(reason);
        }
        self.host.set_deadline(ChannelId::HOME, None);
        self.asks.clear();
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
    pub(in crate::client) fn home_ends_next(&self) -> bool {
        matches!(self.home.stage, Stage::Lost(_)) && self.host.len() <= 1
    }

    /// Ends the home channel as the last one.
    pub(in crate::client) fn end_home_when_alone(&mut self) {
        if self.home_ends_next() {
            let ended = Home {
                stage: Stage::Ended,
                ..Home::default()
            };
            if let Stage::Lost(reason) = std::mem::replace(&mut self.home, ended).stage {
                self.host.abandon(ChannelId::HOME, reason);
            }
        }
    }

    /// The home channel carries the peer channels: it stays until they are gone.
    pub(in crate::client) fn update_home_hold(&mut self) {
        // Those that have ended may only wait for their last events to be taken.
        let is_live =
            |channel: &Hosted<Option<Peer>>| channel.role.is_some() && !channel.core.is_ended();
        let held = self.host.iter().any(|(_, channel)| is_live(channel));
        if let Some((entry, link)) = self.host.linked(ChannelId::HOME) {
            entry.core.hold_open(link, held);
        }
    }

    pub(in crate::client) fn send_home(&mut self, message: &ClientMessage) {
        self.host.send_control(ChannelId::HOME, message.encode());
    }

    pub(in crate::client) fn violate_home(&mut self, now: Instant, violation: Violation) {
        self.host.violate(now, ChannelId::HOME, violation);
    }

    /// Whether the home channel can be used, and is not being closed.
    pub(in crate::client) fn is_home_open(&self) -> bool {
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
