//! What a Client says, and what becomes of it. All transitions of [`Phase`] are here.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Newcomer, Phase, Session};
use crate::{
    AnswerError, ChannelId, ClientId, CloseReason, Code, ErrorCode, Name, Policy, Secret,
    Violation,
    access::{Applicant, Tags},
    channel::{ChannelCore, Toll},
    coordinator::{
        Coordinator, CoordinatorEvent,
        place::{Claim, Place},
        registry::Entrant,
    },
    error::WireCode,
    identity::PeerIdentity,
    transport::Handshaken,
    util::{Bucket, Network},
    wire::{AddressNonce, ClientMessage, CoordinatorMessage, NO_INSTANCE, RoleMessage},
};

impl Coordinator {
    pub(in crate::coordinator) fn session_accepted(&mut self, now: Instant, client: ChannelId) {
        let limits = &self.config.limits;
        let (rate, burst) = (limits.control_rate, limits.control_burst);
        let toll = Toll::new(rate, burst, ClientMessage::is_answer);
        let mut core = ChannelCore::new(client, &self.config.home, Some(toll));
        core.take_members();
        self.host.insert(client, core, Session::default());
        self.host
            .set_deadline(client, Some(now + limits.handshake_timeout));
    }

    pub(in crate::coordinator) fn session_connected(
        &mut self,
        now: Instant,
        client: ChannelId,
        PeerIdentity { id }: PeerIdentity,
        at: &Handshaken,
    ) {
        let Some((entry, link)) = self.host.linked(client) else {
            return;
        };
        entry.core.connected(link);
        entry.role.phase = Phase::Greeting(Box::new(Newcomer {
            id,
            place: Place::of_handshake(at),
            instance: NO_INSTANCE,
            certified: None,
            wanted: None,
            names: Vec::new(),
            tags: Tags::new(),
            invitation: None,
        }));
        self.host
            .set_deadline(client, Some(now + self.config.limits.hello_timeout));
    }

    pub(in crate::coordinator) fn session_control(
        &mut self,
        now: Instant,
        client: ChannelId,
        payload: Bytes,
    ) {
        let message = match ClientMessage::decode(payload) {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(_) => return self.violate_session(now, client, Violation::Malformed),
        };
        let Some(entry) = self.host.get_mut(client) else {
            return;
        };
        match (&entry.role.phase, message) {
            (Phase::Greeting(newcomer), ClientMessage::Credential { chain })
                if newcomer.certified.is_none() =>
            {
                let id = newcomer.id;
                self.credential_shown(now, client, id, chain);
            }
            (
                Phase::Greeting(newcomer),
                ClientMessage::Hello {
                    version: _,
                    name,
                    token,
                    instance,
                },
            ) => {
                let newcomer = Box::new(Newcomer {
                    instance,
                    ..(**newcomer).clone()
                });
                self.greeted(now, client, newcomer, name, token)
            }
            (
                &Phase::Admitted { id, .. },
                ClientMessage::OpenChannel {
                    request,
                    target,
                    label,
                },
            ) => self.channel_requested(now, id, request, &target, label),
            (
                &Phase::Admitted { id, .. },
                ClientMessage::Introduce {
                    request,
                    from,
                    to,
                    label,
                },
            ) => {
                self.introduction_requested(now, (id, client), request, [&from, &to], label);
            }
            (&Phase::Admitted { id, .. }, ClientMessage::Accept { route, direct }) => {
                self.end_accepted(now, id, route, direct);
            }
            (&Phase::Admitted { id, .. }, ClientMessage::CloseChannel { route, code }) => {
                self.end_closed(now, id, route, code);
            }
            (&Phase::Admitted { id, .. }, ClientMessage::PathReport { route, direct }) => {
                self.path_reported(id, route, direct);
            }
            (&Phase::Admitted { id, .. }, ClientMessage::Resume(claim)) => {
                self.end_claimed(now, id, &claim);
            }
            (&Phase::Admitted { id, .. }, ClientMessage::AddressEcho { nonce }) => {
                self.address_confirmed(now, client, id, nonce);
            }
            (
                Phase::Handshake | Phase::Greeting(_) | Phase::Asking(_) | Phase::Admitted { .. },
                _,
            ) => self.violate_session(now, client, Violation::Unexpected),
        }
    }

    /// A Client has shown what an authority says of it.
    fn credential_shown(&mut self, now: Instant, client: ChannelId, id: ClientId, chain: Bytes) {
        let Some(authorities) = &self.config.authorities else {
            return;
        };
        match authorities.check(id, chain, self.host.unix_time(now)) {
            Ok(proved) => {
                if let Some(entry) = self.host.get_mut(client)
                    && let Phase::Greeting(newcomer) = &mut entry.role.phase
                {
                    newcomer.certified = Some(proved);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "a credential is not good");
                self.turn_away(now, client, error.code().into());
            }
        }
    }

    /// A Client has introduced itself.
    fn greeted(
        &mut self,
        now: Instant,
        client: ChannelId,
        mut newcomer: Box<Newcomer>,
        name: Option<Name>,
        token: Secret<Bytes>,
    ) {
        if self.is_stopping() {
            return self.turn_away(now, client, ErrorCode::Shutdown.into());
        }
        if self.is_lagging() {
            return self.turn_away(now, client, ErrorCode::Limit.into());
        }
        let authorities = self.config.authorities.as_ref();
        if newcomer.certified.is_none() && authorities.is_some_and(|it| it.is_required()) {
            return self.turn_away(now, client, ErrorCode::CredentialMissing.into());
        }
        let id = newcomer.id;
        // What an authority calls it counts more than what it calls itself.
        let name = newcomer
            .certified
            .as_ref()
            .map(|it| it.name.clone())
            .or(name);
        let admission = self.rules.admission(&Applicant {
            id,
            name: name.as_ref(),
            certified: newcomer.certified.is_some(),
            token: &token,
            time: self.host.unix_time(now),
        });
        newcomer.names = match admission.names {
            names if names.is_empty() => name.iter().cloned().collect(),
            names => names,
        };
        newcomer.wanted = name;
        newcomer.tags = admission.tags;
        newcomer.invitation = admission.invitation;
        match admission.policy {
            Policy::Allow => self.let_in_named(now, client, *newcomer),
            Policy::Deny => self.turn_away(now, client, ErrorCode::Refused.into()),
            Policy::Ask => {
                let certified = newcomer.certified.clone();
                let name = newcomer.names.first().cloned();
                if let Some(entry) = self.host.get_mut(client) {
                    entry.role.phase = Phase::Asking(newcomer);
                }
                self.host
                    .set_deadline(client, Some(now + self.config.limits.answer_timeout));
                self.events.push(CoordinatorEvent::ClientAsks {
                    client,
                    id,
                    name,
                    token,
                    certified,
                });
            }
        }
    }

    pub(in crate::coordinator) fn admit_asking(
        &mut self,
        now: Instant,
        client: ChannelId,
        name: Option<Name>,
    ) -> Result<(), AnswerError> {
        let mut newcomer = self.asking(client)?.clone();
        match name {
            // Others by which rules call it stay.
            Some(_) => {
                newcomer.names.splice(..newcomer.names.len().min(1), name);
            }
            None => newcomer.names.clear(),
        }
        self.let_in_named(now, client, newcomer);
        Ok(())
    }

    pub(in crate::coordinator) fn refuse_asking(
        &mut self,
        now: Instant,
        client: ChannelId,
        code: Code,
    ) -> Result<(), AnswerError> {
        self.asking(client)?;
        self.turn_away(now, client, WireCode::Application(code));
        Ok(())
    }

    fn asking(&self, client: ChannelId) -> Result<&Newcomer, AnswerError> {
        match self.host.get(client).map(|entry| &entry.role.phase) {
            Some(Phase::Asking(newcomer)) => Ok(newcomer),
            Some(Phase::Handshake | Phase::Greeting(_) | Phase::Admitted { .. }) | None => {
                Err(AnswerError)
            }
        }
    }

    /// Lets a Client in, unless others are called as it would be.
    fn let_in_named(&mut self, now: Instant, client: ChannelId, newcomer: Newcomer) {
        let is_taken = |name: &Name| self.registry.is_taken(now, name, newcomer.id);
        if newcomer.names.iter().any(is_taken) {
            return self.turn_away(now, client, ErrorCode::NameInUse.into());
        }
        self.let_in(now, client, newcomer);
    }

    fn let_in(&mut self, now: Instant, client: ChannelId, newcomer: Newcomer) {
        let Newcomer {
            id,
            place,
            instance,
            certified,
            wanted,
            names,
            tags,
            invitation,
        } = newcomer;
        let before = self.registry.get(id).map(|member| member.session);
        // What is still under way of a Client that was started anew must not push out the one that goes on.
        if before.is_some_and(|before| before > client) {
            return self.turn_away(now, client, ErrorCode::Superseded.into());
        }
        // A Client that is connected already has its place.
        let (from, limits) = (place.address().ip(), &self.config.limits);
        if before.is_none() && !self.registry.has_room(from, limits) {
            tracing::debug!(%from, "no place for a client from there");
            return self.turn_away(now, client, ErrorCode::Limit.into());
        }
        let per_minute = limits.takeovers_per_minute.into();
        let takeovers = || Bucket::new(per_minute, Duration::from_secs(60), per_minute);
        if before.is_some() && !self.registry.take_over(now, id, takeovers) {
            return self.turn_away(now, client, ErrorCode::RateLimited.into());
        }
        let Some((entry, link)) = self.host.linked(client) else {
            return;
        };
        if link.is_closed() {
            return;
        }
        if let Some(hash) = invitation
            && !self.rules.joined(hash, id)
        {
            // Somebody else was faster.
            return self.turn_away(now, client, ErrorCode::Refused.into());
        }
        let (address, seen_at) = (place.address(), link.remote());
        let name = names.first().cloned();
        let entrant = Entrant {
            session: client,
            wanted,
            names,
            tags,
            certified,
            place,
            instance,
        };
        self.registry.enter(now, id, entrant);
        let from = Network::of(address.ip());
        entry.role.phase = Phase::Admitted { id, from };
        let welcome = CoordinatorMessage::Welcome {
            name: name.clone(),
            observed: address,
        };
        entry.core.send_control(link, welcome.encode());
        entry.core.open(link, now);
        tracing::debug!(?name, %address, "client connected");
        if invitation.is_some() {
            self.events
                .push(CoordinatorEvent::ClientJoined { client, id });
        }
        self.events.push(CoordinatorEvent::ClientConnected {
            client,
            id,
            name,
            address,
        });
        self.host.set_deadline(client, None);
        self.host.admitted(now, client);
        if seen_at != address {
            self.session_moved(client, seen_at);
        }
        self.announce_second_port(client);
        // The same key is the same Client: what it held before is over, unless it has kept it.
        if let Some(before) = before {
            self.close_session(now, before, ErrorCode::Superseded.into());
        }
        self.client_returned(now, id, instance);
    }

    /// A Client's packets come from elsewhere. What is forwarded to it goes there once it has shown that it hears us
    /// there. One that was not let in yet is [asked](Self::let_in) then.
    pub(in crate::coordinator) fn session_moved(&mut self, client: ChannelId, address: SocketAddr) {
        let claim = Claim::new(self.host.random(), address);
        if let Some((entry, link)) = self.host.linked(client)
            && entry.role.admitted().is_some()
        {
            // One question at a time: who flaps and answers none would have ever more of them waiting.
            if let Some(claim) = &mut entry.role.moving {
                claim.void();
                return;
            }
            let (question, answers) = (claim.question(), claim.question().answers());
            entry.role.moving = Some(Box::new(claim));
            entry.core.ask(link, question.encode(), answers);
        }
    }

    fn address_confirmed(
        &mut self,
        now: Instant,
        client: ChannelId,
        id: ClientId,
        nonce: AddressNonce,
    ) {
        let Some((entry, link)) = self.host.linked(client) else {
            return;
        };
        // Another echo is not wrong, and says nothing.
        let answered = entry.role.moving.take_if(|claim| claim.is_of(nonce));
        let Some(claim) = answered else {
            return;
        };
        let seen_at = link.remote();
        let Some(member) = self.registry.get_mut(id).filter(|it| it.session == client) else {
            return;
        };
        if let Some(place) = claim.proves(seen_at, member.place) {
            tracing::debug!(address = %seen_at, "client has moved");
            member.place = place;
            let routes = self.pairs.routes_of(id);
            self.forwarder.moved(id, place, routes);
            for pair in self.pairs.pairs_of(id) {
                self.tell_neighbours(now, pair);
            }
        } else if member.place.address() != seen_at {
            self.session_moved(client, seen_at);
        }
    }

    pub(in crate::coordinator) fn session_deadline_passed(
        &mut self,
        now: Instant,
        client: ChannelId,
    ) {
        let code = match self.host.get(client).map(|entry| &entry.role.phase) {
            Some(Phase::Handshake | Phase::Greeting(_)) => {
                self.host.stats.handshakes_refused += 1;
                ErrorCode::HelloTimeout
            }
            Some(Phase::Asking(_)) => {
                self.host.stats.clients_refused += 1;
                ErrorCode::Refused
            }
            Some(Phase::Admitted { .. }) | None => return,
        };
        self.close_session(now, client, code.into());
    }

    /// A session is over: unless it was taken over, the Client's name is free, and its channels go with it.
    pub(in crate::coordinator) fn session_ended(
        &mut self,
        now: Instant,
        client: ChannelId,
        reason: CloseReason,
    ) {
        self.host.set_deadline(client, None);
        let Some(session) = self.host.get(client).map(|entry| &entry.role) else {
            return;
        };
        if let Some(second) = &session.second {
            self.second_routes.remove(&second.route);
        }
        let announced = session.is_announced();
        if let Some((id, _)) = self.member(client) {
            self.registry.leave(now, id, &self.config.limits);
            self.pairs.forget_refusals(id);
            if reason != MOVED {
                self.forwarder.forget(id);
            }
            match reason {
                MOVED => self.client_moved(now, id),
                // A Client that is gone with a code has meant it for all; its own word may be lost on the way.
                CloseReason::Application(code) => self.release_pairs(now, id, code.into()),
                // It may be back.
                CloseReason::TimedOut
                | CloseReason::Unreachable(_)
                | CloseReason::Reset
                | CloseReason::Transport(_) => self.client_vanished(now, id),
                CloseReason::Local
                | CloseReason::Remote(_)
                | CloseReason::Violation(_)
                | CloseReason::Identity
                | CloseReason::Credential(_)
                | CloseReason::KeyChanged
                | CloseReason::Signer
                | CloseReason::Version
                | CloseReason::Overloaded
                | CloseReason::CoordinatorLost
                | CloseReason::NoDirectPath => {
                    self.release_pairs(now, id, ErrorCode::PeerGone.into());
                }
            }
        }
        // Never announced: no event.
        if !announced {
            self.host.remove(client);
        }
    }

    /// Ends all channels of a Client which is gone.
    fn release_pairs(&mut self, now: Instant, id: ClientId, code: WireCode) {
        for pair in self.pairs.pairs_of(id) {
            self.close_pair(now, pair, Some(id), code);
        }
    }

    /// Closes the session of a Client that has introduced itself and is not let in.
    fn turn_away(&mut self, now: Instant, client: ChannelId, code: WireCode) {
        self.host.stats.clients_refused += 1;
        self.close_session(now, client, code);
    }

    pub(in crate::coordinator) fn close_session(
        &mut self,
        now: Instant,
        client: ChannelId,
        code: WireCode,
    ) {
        let span = self.host.span(client);
        if let Some(link) = self.host.link(client) {
            span.in_scope(|| tracing::debug!(?code, "disconnecting a client"));
            link.close(now, code, CloseReason::Local);
        }
    }

    pub(in crate::coordinator) fn violate_session(
        &mut self,
        now: Instant,
        client: ChannelId,
        violation: Violation,
    ) {
        self.host.violate(now, client, violation);
    }

    /// Sends a control message to a Client.
    pub(in crate::coordinator) fn tell(&mut self, id: ClientId, message: &CoordinatorMessage) {
        let member = self.registry.get(id);
        if let Some((entry, link)) = member.and_then(|it| self.host.linked(it.session)) {
            entry.core.ask(link, message.encode(), message.answers());
        }
    }
}

/// The Client has gone over to another Coordinator.
const MOVED: CloseReason = CloseReason::Remote(ErrorCode::Moved);
