//! Clients that have lost their home channels, and come back for their channels to others: to this Coordinator, or to it as the
//! successor of the one that arranged them.

use std::time::Instant;

use super::{
    Coordinator, CoordinatorEvent,
    pairs::{Claimed, End, Presence, Seat, Side},
};
use crate::{
    ClientId, ErrorCode, PairId, Policy,
    error::WireCode,
    wire::{Claim, CoordinatorMessage, Instance, NO_INSTANCE},
};

impl Coordinator {
    /// A Client has vanished, and may be back: what stands is kept for a while.
    pub(super) fn client_vanished(&mut self, now: Instant, client: ClientId) {
        self.keep_pairs(now, client, Presence::Gone);
    }

    /// A Client has gone over to another Coordinator. What stands is forwarded for, until both ends are there.
    pub(super) fn client_moved(&mut self, now: Instant, client: ClientId) {
        self.keep_pairs(now, client, Presence::Moved);
        if self.pairs.pairs_of(client).is_empty() {
            self.forwarder.forget(client);
        }
    }

    /// A Client is there, perhaps again. What it had as the same instance stands, and is to be claimed.
    pub(super) fn client_returned(&mut self, now: Instant, client: ClientId, instance: Instance) {
        for pair in self.pairs.pairs_of(client) {
            let own = |end: &&End| end.id == client;
            let Some(stands) = self.pairs.get(pair) else {
                continue;
            };
            // The other end has claimed it, and this Client is yet to.
            let is_expected = |end: &End| end.presence == Presence::Gone;
            if !stands.is_started() && stands.ends.iter().filter(own).all(is_expected) {
                continue;
            }
            let had = |end: &End| end.instance == instance;
            let is_same = instance != NO_INSTANCE && stands.ends.iter().filter(own).all(had);
            if !is_same || !self.keep_pair(now, pair, client, Presence::Unclaimed) {
                self.close_pair(now, pair, Some(client), ErrorCode::PeerGone.into());
            }
        }
    }

    /// A Client claims an end.
    pub(super) fn end_claimed(&mut self, now: Instant, client: ClientId, claim: &Claim) {
        if let Err(code) = self.claim_end(now, client, claim) {
            tracing::debug!(channel = claim.channel, ?code, "a claim is refused");
            self.host.stats.tickets_refused += 1;
            let route = claim.own_route;
            self.tell(client, &CoordinatorMessage::ChannelClosed { route, code });
        }
    }

    /// The ends of a pair that stood before are there, and it may go on.
    pub(super) fn resume_pair(&mut self, now: Instant, id: PairId) {
        self.pairs.resume(id);
        self.forward_for(id);
        let Some(pair) = self.pairs.get(id) else {
            return;
        };
        let ends = pair.ends.each_ref().map(|end| (end.id, end.route));
        for (client, route) in ends {
            self.tell(client, &CoordinatorMessage::Resumed { route });
        }
        self.tell_neighbours(now, id);
        self.give_tickets(now, id);
        let [from, to] = ends.map(|(client, _)| client);
        self.events
            .push(CoordinatorEvent::PairResumed { pair: id, from, to });
    }

    /// Forwards for a pair, if both of its Clients have home channels.
    pub(super) fn forward_for(&mut self, id: PairId) {
        let Some(pair) = self.pairs.get(id) else {
            return;
        };
        let [from, to] = &pair.ends;
        let place = |end: &End| {
            let member = self.registry.get(end.id)?;
            (end.presence != Presence::Gone).then_some((end.id, member.place))
        };
        if let (Some(from_at), Some(to_at)) = (place(from), place(to)) {
            self.forwarder.add(to.route, from_at, to_at);
            self.forwarder.add(from.route, to_at, from_at);
        }
    }

    /// Gives the Clients of a pair what it takes to claim their ends, if they are going to.
    pub(super) fn give_tickets(&mut self, now: Instant, id: PairId) {
        let time = self.host.unix_time(now);
        for side in Side::BOTH {
            let Some(pair) = self.pairs.get(id) else {
                return;
            };
            let end = pair.end(side);
            if end.instance != NO_INSTANCE {
                let (bearer, route) = (end.id, end.route);
                let ticket = self.tickets.give(now, time, bearer, &pair.claim(side));
                self.tell(bearer, &CoordinatorMessage::Ticket { route, ticket });
            }
        }
    }

    /// Gives new tickets for some of the pairs, where that is due.
    pub(super) fn renew_tickets(&mut self, now: Instant) {
        let pairs = &self.pairs;
        for id in self.tickets.take_renewals(now, |first| pairs.from(first)) {
            if self.pairs.get(id).is_some_and(|it| it.is_started()) {
                self.give_tickets(now, id);
            }
        }
    }

    fn claim_end(&mut self, now: Instant, client: ClientId, claim: &Claim) -> Result<(), WireCode> {
        let side = Side::of(claim.role);
        let (own, peer) = (claim.own_route, claim.peer_route);
        let known = self.pairs.find(own).map(|(pair, _)| pair);
        let stands = |pair| self.pairs.get(pair).is_some_and(|it| it.is_started());
        let is_new = !known.is_some_and(stands);
        let pair = match known {
            Some(pair) if self.is_of(pair, client, claim) => {
                // What stands needs no ticket.
                if is_new
                    && !self
                        .tickets
                        .is_good(self.host.unix_time(now), client, claim)
                {
                    return Err(ErrorCode::NotResumed.into());
                }
                let takes_place = self.pairs.get(pair).is_some_and(|it| it.takes_place(side));
                if takes_place && !self.may_have(client, self.pairs.len() - 1) {
                    return Err(ErrorCode::Limit.into());
                }
                pair
            }
            // The Client is told to go elsewhere, and claims it there.
            None if self.is_stopping() => return Ok(()),
            None if self.pairs.find(peer).is_none() => self.enter_claimed(now, client, claim)?,
            Some(_) | None => return Err(ErrorCode::NotResumed.into()),
        };
        let member = self.registry.get(client);
        let instance = member.map_or(NO_INSTANCE, |member| member.instance);
        match self.pairs.claim(pair, side, (instance, claim.direct)) {
            Claimed::Waits if is_new => {}
            // That the other end is missing is for it to mend.
            Claimed::Waits => self.tell(client, &CoordinatorMessage::Resumed { route: own }),
            Claimed::GoesOn if self.policy_of(pair) == Policy::Deny => {
                self.revoke_pair(now, pair, ErrorCode::NotResumed.into());
            }
            Claimed::GoesOn => {
                self.tell(client, &CoordinatorMessage::Resumed { route: own });
                self.forward_for(pair);
                self.tell_neighbours(now, pair);
            }
            Claimed::MayStart => match self.policy_of(pair) {
                Policy::Allow => self.resume_pair(now, pair),
                Policy::Ask => {
                    let deadline = now + self.config.limits.answer_timeout;
                    self.pairs.ask_about(pair, deadline);
                    self.ask_for_pair(pair);
                }
                Policy::Deny => {
                    self.close_pair(now, pair, None, ErrorCode::NotResumed.into());
                }
            },
        }
        Ok(())
    }

    /// Whether it is an end of this pair that the Client claims, and its own.
    fn is_of(&self, pair: PairId, client: ClientId, claim: &Claim) -> bool {
        self.pairs.get(pair).is_some_and(|pair| {
            let side = Side::of(claim.role);
            let plain = Claim {
                direct: false,
                ticket: bytes::Bytes::new(),
                ..claim.clone()
            };
            pair.end(side).id == client && pair.is_claimable() && pair.claim(side) == plain
        })
    }

    /// Enters a pair that stood before, as one end tells.
    fn enter_claimed(
        &mut self,
        now: Instant,
        client: ClientId,
        claim: &Claim,
    ) -> Result<PairId, WireCode> {
        let is_taken = |route| self.second_routes.contains_key(&route);
        if self.rules.allow_no_channels()
            || is_taken(claim.own_route)
            || is_taken(claim.peer_route)
            || claim.own_route == claim.peer_route
            || !self
                .tickets
                .is_good(self.host.unix_time(now), client, claim)
        {
            return Err(ErrorCode::NotResumed.into());
        }
        let end = |id, route| End {
            id,
            name: None,
            route,
            instance: NO_INSTANCE,
            presence: Presence::Gone,
            direct: None,
            seat: Seat::None,
        };
        let own = end(client, claim.own_route);
        let peer = end(claim.peer, claim.peer_route);
        let by = Side::of(claim.role);
        let ends = match by {
            Side::Initiator => [own, peer],
            Side::Acceptor => [peer, own],
        };
        if !self.may_ask(client) {
            return Err(ErrorCode::Limit.into());
        }
        let id = PairId(self.host.fresh_id().0);
        let times = (now, self.config.limits.resume_timeout);
        let label = claim.label.clone();
        self.pairs.expect(id, ends, label, claim.channel, by, times);
        Ok(id)
    }

    /// A Client has no home channel any more. Of its pairs, keeps those that can be claimed, and ends the others.
    fn keep_pairs(&mut self, now: Instant, client: ClientId, presence: Presence) {
        for pair in self.pairs.pairs_of(client) {
            if !self.keep_pair(now, pair, client, presence) {
                self.close_pair(now, pair, Some(client), ErrorCode::PeerGone.into());
            }
        }
    }

    /// Keeps a pair for as long as an end may be claimed.
    fn keep_pair(
        &mut self,
        now: Instant,
        id: PairId,
        client: ClientId,
        presence: Presence,
    ) -> bool {
        let deadline = now + self.config.limits.resume_timeout;
        let may = presence == Presence::Unclaimed || self.has_instance(id, client);
        if !may || !self.pairs.keep(id, client, presence, deadline) {
            return false;
        }
        match presence {
            Presence::Gone => {
                for end in self.pairs.get(id).into_iter().flat_map(|it| &it.ends) {
                    self.forwarder.remove(end.route);
                }
            }
            Presence::Unclaimed | Presence::There => self.forward_for(id),
            Presence::Moved => {}
        }
        true
    }

    /// Whether the Client has said that it keeps its channels.
    fn has_instance(&self, pair: PairId, client: ClientId) -> bool {
        let ends = self.pairs.get(pair).into_iter().flat_map(|it| &it.ends);
        let mut own = ends.filter(|end| end.id == client);
        own.all(|end| end.instance != NO_INSTANCE)
    }
}
