//! Connecting, registering, what the Coordinator says. All transitions of [`Stage`] are here; which address is tried when is
//! the [`Race`]'s.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Home, Stage, outage::Outage};
use crate::{
    ChannelId, CloseReason, ConnectError, ErrorCode, Name, Trust, Unreachable, Violation,
    channel::{ChannelCore, Notice},
    client::{
        Client, ClientEvent,
        peer::{Ask, Peer},
        race::{Places, Race},
    },
    host::Hosted,
    transport::{HomeEnd, Link, is_host_name},
    wire::{ClientMessage, CoordinatorMessage, RoleMessage},
};

impl Client {
    pub(in crate::client) fn begin_connecting(
        &mut self,
        now: Instant,
        places: &[(&str, &[SocketAddr])],
    ) -> Result<(), ConnectError> {
        if !matches!(self.home.stage, Stage::Unused) {
            return Err(ConnectError::AlreadyUsed);
        }
        let places = places_of(places)?;
        let limit = self.config.limits.handshake_timeout;
        let race = Race::new(now, &places, limit, &[]).ok_or(ConnectError::NoAddress)?;
        self.home.given = places;
        self.insert_home();
        self.paths.hosts_in_doubt(now);
        self.home.stage = Stage::Connecting(race);
        self.go_on_racing(now);
        Ok(())
    }

    pub(in crate::client) fn look_for_coordinator(
        &mut self,
        now: Instant,
        places: &[(&str, &[SocketAddr])],
    ) -> Result<(), ConnectError> {
        if matches!(self.home.stage, Stage::Unused) || self.home.has_ended() {
            return Err(ConnectError::AlreadyUsed);
        }
        let places = places_of(places)?;
        // Whether any of them can be tried.
        let limit = Duration::from_secs(1);
        Race::new(now, &places, limit, &[]).ok_or(ConnectError::NoAddress)?;
        self.home.given = places;
        let places = self.home.places();
        if let Some(race) = self.home.race_mut() {
            race.widen(&places);
            self.go_on_racing(now);
        }
        Ok(())
    }

    /// Another home channel is to be had.
    fn insert_home(&mut self) {
        let core = ChannelCore::new(self.home.id, &self.config.home, None);
        self.host.insert(self.home.id, core, None);
    }

    /// Tries what addresses it is time for, and waits until it is time for others, or the race is over.
    fn go_on_racing(&mut self, now: Instant) {
        let mut engine = self.home.engine;
        let Some(race) = self.home.race_mut() else {
            return;
        };
        while let Some(address) = race.next_address(now) {
            let id = self.host.fresh_id();
            let host_name = race.host_name(address);
            let end = HomeEnd {
                address,
                host_name: &host_name,
                tls: &self.tls,
            };
            let channel = &self.config.home;
            let transport = &mut self.host.transport;
            match transport.connect_home(now, engine, id, &end, channel) {
                Some(link) => {
                    tracing::debug!(%address, link = ?id, "connecting");
                    engine = Some(link.engine());
                    self.host.add_link(id, link);
                    race.begin(now, id, address);
                }
                None => race.fail(now, id, CloseReason::Unreachable(Unreachable::NoRoute)),
            }
        }
        let (lost, next_due) = (race.lost(now), race.next_due());
        self.home.engine = engine;
        match lost {
            Some(reason) => self.lose_race(now, reason),
            None => self.host.set_deadline(self.home.id, Some(next_due)),
        }
    }

    /// No attempt is left, or none is to be made any more.
    fn lose_race(&mut self, now: Instant, reason: CloseReason) {
        self.leave_race(now);
        self.home.refused.clear();
        if self.home.is_ready() || self.is_to_reconnect(reason) {
            self.look_again_later(now, reason);
        } else {
            self.home.stage = Stage::Lost(reason);
            self.host.set_deadline(self.home.id, None);
            self.end_peers(now);
        }
    }

    /// Ends all attempts.
    fn leave_race(&mut self, now: Instant) {
        let Some(race) = self.home.race() else {
            return;
        };
        for id in race.links() {
            match self.host.link(id) {
                // So that the Coordinator does not wait for the rest. Who was silent to the end is not it.
                Some(link) if link.has_heard() || !race.is_over(now) => leave(link, now),
                Some(_) | None => self.host.discard(id),
            }
        }
        match &mut self.home.stage {
            Stage::Ready { successor, .. } => *successor = None,
            Stage::Connecting(_) => self.home.stage = Stage::Waiting,
            Stage::Unused
            | Stage::Registering
            | Stage::Waiting
            | Stage::Lost(_)
            | Stage::Ended(_) => {}
        }
    }

    /// Whether to look for the Coordinator again when it was lost, or not found, for this reason.
    fn is_to_reconnect(&self, reason: CloseReason) -> bool {
        let wants = self.config.reconnect && self.home.lasts() && !self.is_closing();
        wants && !reason.is_permanent()
    }

    /// Who is closing does not look for another Coordinator, whatever becomes of the last words.
    pub(in crate::client) fn is_closing(&self) -> bool {
        let home = self.host.get(self.home.id);
        home.is_some_and(|home| home.core.is_closing())
    }

    /// An attempt has failed, or the home channel was lost: waits for a while.
    fn look_again_later(&mut self, now: Instant, reason: CloseReason) {
        let is_leaving = self.home.is_leaving();
        let pause = match &mut self.home.outage {
            None if is_leaving => Duration::from_millis(self.host.random() % 1000),
            Some(outage) => {
                outage.failed(reason);
                let pause = outage.pause(self.host.random());
                self.tell_state(ClientEvent::Reconnecting { reason });
                pause
            }
            None => self.begin_outage(now, reason),
        };
        tracing::debug!(?reason, ?pause, "looking for the coordinator again");
        self.host.set_deadline(self.home.id, Some(now + pause));
    }

    /// There is no Coordinator to be heard of. How long to wait before one is looked for.
    fn begin_outage(&mut self, now: Instant, reason: CloseReason) -> Duration {
        let outage = Outage::new(now, reason);
        let pause = outage.pause(self.host.random());
        self.home.outage = Some(outage);
        self.tell_state(ClientEvent::Reconnecting { reason });
        pause
    }

    fn tell_state(&mut self, news: ClientEvent) {
        let is_state = |event: &ClientEvent| {
            matches!(
                event,
                ClientEvent::Connected { .. } | ClientEvent::Reconnecting { .. }
            )
        };
        self.tell_latest(news, is_state);
    }

    /// Tells the application something that makes earlier events of its kind worthless, if it lags behind.
    pub(in crate::client) fn tell_latest(
        &mut self,
        news: ClientEvent,
        is_stale: fn(&ClientEvent) -> bool,
    ) {
        self.events.retain(|event| !is_stale(event));
        self.events.push_back(news);
    }

    /// Looks for the Coordinator anew.
    fn look_again(&mut self, now: Instant) {
        let limit = self.config.limits.handshake_timeout;
        let places = self.home.places();
        let others = Race::new(now, &places, limit, &self.home.refused);
        let race = others.or_else(|| {
            // All have: one of them may have been started anew.
            self.home.refused.clear();
            Race::new(now, &places, limit, &[])
        });
        let Some(race) = race else {
            return;
        };
        match &mut self.home.stage {
            Stage::Ready { successor, .. } => *successor = Some(Box::new(race)),
            Stage::Waiting => self.home.stage = Stage::Connecting(race),
            Stage::Unused
            | Stage::Connecting(_)
            | Stage::Registering
            | Stage::Lost(_)
            | Stage::Ended(_) => return,
        }
        self.paths.hosts_in_doubt(now);
        self.go_on_racing(now);
    }

    /// Nothing is heard on the home channel though something should be.
    pub(in crate::client) fn home_silent(&mut self, now: Instant) {
        if self.config.reconnect && self.home.is_ready() && self.home.outage.is_none() {
            self.host.set_deadline(self.home.id, Some(now + DOUBT));
        }
    }

    /// It was not over.
    pub(in crate::client) fn home_audible(&mut self, now: Instant) {
        if !self.home.is_ready() {
            return;
        }
        if !self.home.is_leaving() {
            self.leave_race(now);
            self.host.set_deadline(self.home.id, None);
        }
        if self.home.outage.take().is_some() {
            self.tell_connected();
        }
    }

    fn tell_connected(&mut self) {
        if let Stage::Ready { name, observed, .. } = &self.home.stage {
            let (name, observed) = (name.clone(), *observed);
            self.tell_state(ClientEvent::Connected { name, observed });
        }
    }

    /// The home channel is over, and another one is to be had: what stands of the peer channels is kept.
    fn replace_home(&mut self, now: Instant, reason: CloseReason) {
        let before = self.home.id;
        self.host.set_deadline(before, None);
        if self.home.is_ready() {
            self.host.abandon(before, reason);
            self.orphan_peers(now);
        } else {
            // The application has never heard of it.
            self.host.remove(before);
        }
        self.home.id = self.host.fresh_id();
        self.insert_home();
    }

    /// An attempt is connected, with the Coordinator and nobody else: it is the one that says Hello.
    pub(in crate::client) fn attempt_connected(&mut self, now: Instant, winner: ChannelId) {
        let Some(race) = self.home.race() else {
            return;
        };
        let Some(address) = race.address_of(winner) else {
            return;
        };
        tracing::debug!(%address, "reached the coordinator");
        if self.is_closing() {
            return self.leave_race(now);
        }
        let attempts: Vec<_> = race.links().collect();
        if self.home.is_leaving() {
            if let Some(link) = self.host.link(self.home.id) {
                link.close(now, ErrorCode::Moved.into(), CloseReason::Local);
            }
            self.home.former = self.home.address;
            let reason = CloseReason::Remote(ErrorCode::Shutdown);
            self.replace_home(now, reason);
            // That the Client goes over was told. It may be refused, and has to look further.
            self.home.outage = Some(Outage::new(now, reason));
        } else if self.home.is_ready() {
            // Nothing is heard on the former one. A goodbye, if it arrived, would be one for all channels.
            self.host.discard(self.home.id);
            self.replace_home(now, CloseReason::TimedOut);
        }
        self.home.stage = Stage::Registering;
        self.home.address = Some(address);
        self.host.rename_link(winner, self.home.id);
        // Others may have reached it too, and its answers may be on the way.
        for id in attempts {
            if let Some(link) = self.host.link(id) {
                leave(link, now);
            }
        }
        self.say_hello(now);
    }

    /// An attempt has failed by itself.
    pub(in crate::client) fn attempt_failed(
        &mut self,
        now: Instant,
        link: ChannelId,
        reason: CloseReason,
    ) {
        let Some(race) = self.home.race_mut() else {
            return;
        };
        if race.address_of(link).is_none() {
            return;
        }
        race.fail(now, link, reason);
        if matches!(reason, CloseReason::Identity | CloseReason::Signer) {
            // That is an answer, and one to look into. Another address would hide it, or give the same: of this side, too.
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
        let Some(race) = self.home.race_mut() else {
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
            Notice::StreamsAvailable => self.join_waiting(),
            Notice::GivenUp => self.give_up_home(now),
            // Told of by their streams.
            Notice::Stream(..) => {}
            Notice::Ended(_) => {}
        }
    }

    /// The application wants no home channel any more, where there is none.
    fn give_up_home(&mut self, now: Instant) {
        self.leave_race(now);
        if !matches!(self.home.stage, Stage::Lost(_) | Stage::Ended(_)) {
            self.home.stage = Stage::Lost(CloseReason::Local);
            self.host.set_deadline(self.home.id, None);
            self.end_peers(now);
        }
    }

    /// The home channel's link is connected: this Client introduces itself.
    fn say_hello(&mut self, now: Instant) {
        // The Coordinator may still wait for the last of the handshake, and then for the Hello.
        let patience = self.config.limits.introduction();
        self.host.set_deadline(self.home.id, Some(now + patience));
        let hello = ClientMessage::Hello {
            version: PROTOCOL_VERSION,
            name: self.config.name.clone(),
            token: self.config.token.clone(),
            instance: self.home.instance,
        };
        let credential = self.config.credential.as_ref();
        let credential = credential.map(|it| ClientMessage::Credential {
            chain: it.to_wire(),
        });
        if let Some((entry, link)) = self.host.linked(self.home.id) {
            entry.core.connected(link);
            entry.core.open_control(link);
            for message in credential.iter().chain([&hello]) {
                entry.core.send_control(link, message.encode());
            }
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
            CoordinatorMessage::Ticket { route, ticket } => self.ticket_given(route, ticket),
            CoordinatorMessage::Resumed { route } => self.resumed(route),
            CoordinatorMessage::Draining {
                spread,
                alternatives,
            } => self.sent_away(now, Duration::from_millis(spread), &alternatives),
            CoordinatorMessage::ChannelClosed { route, code } => {
                if let Some(&(id, _)) = self.routes.get(&route) {
                    self.end_peer(now, id, code.into(), None);
                    self.host.discard(id);
                }
            }
            CoordinatorMessage::OpenFailed { request, code } => {
                match self.asks.answered(request) {
                    Some(Ask::Channel(id)) => self.end_peer(now, id, code.into(), None),
                    Some(Ask::Introduction(id)) => {
                        self.introductions.end(id, Err(code.into()));
                    }
                    None => {}
                }
                self.ask(now);
            }
            CoordinatorMessage::Introduced { request } => {
                match self.asks.answered(request) {
                    Some(Ask::Introduction(id)) => self.introductions.end(id, Ok(())),
                    Some(Ask::Channel(_)) => {
                        return self.violate_home(now, Violation::Unexpected);
                    }
                    None => {}
                }
                self.ask(now);
            }
            CoordinatorMessage::Introducer { route, id } => self.introductions.announce(route, id),
            CoordinatorMessage::SecondPort { route, port } => self.second_port(now, route, port),
            CoordinatorMessage::SeenAt { echo, address } => self.seen_at(echo, address),
            CoordinatorMessage::Throttled { packets } => self.throttled(packets),
            CoordinatorMessage::ObservedAddress { nonce, address } => {
                self.send_home(&ClientMessage::AddressEcho { nonce });
                if let Stage::Ready { observed, .. } = &mut self.home.stage
                    && *observed != address
                {
                    *observed = address;
                    self.tell_latest(ClientEvent::AddressObserved { address }, |event| {
                        matches!(event, ClientEvent::AddressObserved { .. })
                    });
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
            name,
            observed,
            successor: None,
            leaving: false,
        };
        self.home.outage = None;
        self.home.refused.clear();
        self.host.set_deadline(self.home.id, None);
        self.tell_connected();
        self.surroundings_changed(now);
        if let Some((entry, link)) = self.host.linked(self.home.id) {
            entry.core.open(link, now);
        }
        self.update_home_hold();
        self.claim_peers(now);
        self.join_waiting();
    }

    /// The Coordinator is about to stop: goes over to another one, which may be at one of these addresses, within so long.
    fn sent_away(
        &mut self,
        now: Instant,
        spread: Duration,
        alternatives: &[(Box<str>, SocketAddr)],
    ) {
        self.tell_latest(ClientEvent::Draining, |event| {
            matches!(event, ClientEvent::Draining)
        });
        if !self.config.reconnect || !self.is_home_open() {
            return;
        }
        // Whom this Client trusts by its host name is for its own application to say.
        let trusted = |host: &str| match self.config.trust {
            Trust::Pin(_) => is_host_name(host),
            Trust::Roots(_) => self.home.given.iter().any(|(known, _)| **known == *host),
        };
        let places = alternatives.iter().filter(|(host, _)| trusted(host));
        let places: Places = places.map(|(host, at)| (host.clone(), vec![*at])).collect();
        if !places.is_empty() {
            self.home.alternatives = places;
        }
        if let Stage::Ready { leaving, .. } = &mut self.home.stage {
            *leaving = true;
            let nanos = u64::try_from(spread.min(MAX_SPREAD).as_nanos()).unwrap_or(u64::MAX);
            let wait = Duration::from_nanos(self.host.random() % nanos.saturating_add(1));
            self.host.set_deadline(self.home.id, Some(now + wait));
        }
    }

    fn throttled(&mut self, packets: u64) {
        let waiting = self.events.iter_mut().find_map(|event| match event {
            ClientEvent::Throttled { packets } => Some(packets),
            ClientEvent::Connected { .. }
            | ClientEvent::Reconnecting { .. }
            | ClientEvent::Draining
            | ClientEvent::AddressObserved { .. }
            | ClientEvent::Offered { .. }
            | ClientEvent::Learned { .. }
            | ClientEvent::NotLearned { .. }
            | ClientEvent::KeyChanged { .. }
            | ClientEvent::Introduced { .. }
            | ClientEvent::IntroductionFailed { .. }
            | ClientEvent::Group { .. }
            | ClientEvent::Channel { .. } => None,
        });
        match waiting {
            Some(sum) => *sum = sum.saturating_add(packets),
            None => self.events.push_back(ClientEvent::Throttled { packets }),
        }
    }

    /// The Coordinator wants to close: the peer channels go first.
    fn home_closing(&mut self, now: Instant) {
        self.close_peers(now, Duration::MAX);
        self.interrupt_groups();
        self.update_home_hold();
    }

    pub(in crate::client) fn home_deadline_passed(&mut self, now: Instant) {
        match &self.home.stage {
            Stage::Connecting(_)
            | Stage::Ready {
                successor: Some(_), ..
            } => self.go_on_racing(now),
            Stage::Ready { .. } if self.is_closing() => {}
            Stage::Ready { .. } => {
                if self.home.outage.is_none() && !self.home.is_leaving() {
                    self.begin_outage(now, CloseReason::TimedOut);
                }
                self.look_again(now);
            }
            Stage::Waiting => self.look_again(now),
            Stage::Registering => {
                if let Some(link) = self.host.link(self.home.id) {
                    link.close(now, ErrorCode::NoAnswer.into(), CloseReason::TimedOut);
                }
            }
            Stage::Unused | Stage::Lost(_) | Stage::Ended(_) => {}
        }
    }

    /// The link to the Coordinator is over.
    pub(in crate::client) fn home_lost(&mut self, now: Instant, reason: CloseReason) {
        if self.is_to_reconnect(reason) {
            self.replace_home(now, reason);
            let former = std::mem::replace(&mut self.home.stage, Stage::Waiting);
            if let (Stage::Registering, Some(address)) = (&former, self.home.address) {
                if reason == CloseReason::Remote(ErrorCode::Shutdown) {
                    self.home.refused.push(address);
                } else {
                    self.home.refused.clear();
                }
            }
            // Who was looked for already is looked for on.
            if let Stage::Ready {
                successor: Some(mut race),
                ..
            } = former
            {
                if self.home.outage.is_none() {
                    self.begin_outage(now, reason);
                }
                // There is a hurry now, if there was none.
                race.widen(&self.home.places());
                self.home.stage = Stage::Connecting(*race);
                return self.go_on_racing(now);
            }
            return self.look_again_later(now, reason);
        }
        self.leave_race(now);
        if let Stage::Registering | Stage::Ready { .. } = self.home.stage {
            self.home.stage = Stage::Lost(reason);
        }
        self.host.set_deadline(self.home.id, None);
        self.end_peers(now);
    }

    /// Whether the home link is lost and every peer channel's end was told.
    pub(in crate::client) fn home_ends_next(&self) -> bool {
        matches!(self.home.stage, Stage::Lost(_)) && self.host.len() <= 1
    }

    /// Ends the home channel as the last one.
    pub(in crate::client) fn end_home_when_alone(&mut self) {
        if let Stage::Lost(reason) = self.home.stage
            && self.home_ends_next()
        {
            self.home = Home {
                id: self.home.id,
                stage: Stage::Ended(reason),
                ..Home::new(self.home.instance)
            };
            self.host.abandon(self.home.id, reason);
        }
    }

    /// The home channel carries the peer channels: it stays until they are gone.
    pub(in crate::client) fn update_home_hold(&mut self) {
        // Those that have ended may only wait for their last events to be taken.
        let is_live =
            |channel: &Hosted<Option<Peer>>| channel.role.is_some() && !channel.core.is_ended();
        let held = self.host.iter().any(|(_, channel)| is_live(channel));
        if let Some((entry, link)) = self.host.linked(self.home.id) {
            entry.core.hold_open(link, held);
        }
    }

    pub(in crate::client) fn send_home(&mut self, message: &ClientMessage) {
        self.host.send_control(self.home.id, message.encode());
    }

    /// Has the Coordinator give a sign of life, and see where this Client is.
    pub(in crate::client) fn ping_home(&mut self) {
        if let Some(home) = self.host.link(self.home.id) {
            home.ping();
        }
    }

    pub(in crate::client) fn violate_home(&mut self, now: Instant, violation: Violation) {
        self.host.violate(now, self.home.id, violation);
    }

    /// Whether the home channel can be used, and is not being closed.
    pub(in crate::client) fn is_home_open(&self) -> bool {
        let home = self.host.get(self.home.id);
        home.is_some_and(|home| home.core.is_open())
    }
}

/// The places under these host names, if they are some.
fn places_of(given: &[(&str, &[SocketAddr])]) -> Result<Places, ConnectError> {
    if given.iter().any(|(name, _)| !is_host_name(name)) {
        return Err(ConnectError::InvalidHostName);
    }
    let places = given.iter().map(|&(name, at)| (name.into(), at.to_vec()));
    Ok(places.collect())
}

/// Says goodbye on a link that is not needed.
fn leave(link: &mut Link, now: Instant) {
    link.close(now, ErrorCode::None.into(), CloseReason::Local);
}

/// How long nothing may be heard after the first sign of that, when timers have fired in vain.
const DOUBT: Duration = Duration::from_millis(500);
/// No Coordinator can have a Client wait for longer before it goes.
const MAX_SPREAD: Duration = Duration::from_secs(600);
/// The version of the control protocol that this crate speaks.
const PROTOCOL_VERSION: u64 = 1;
